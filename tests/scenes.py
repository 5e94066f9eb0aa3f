"""A workspace in the middle of its day, made by the real engine on the real example documents."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from django.db import connection
from django.utils import timezone

from jobs import actions, leases, library, shipped
from jobs.documents import Upload
from jobs.models import Job, JobType, Role, Status, User, WebhookReceipt, Workspace
from reviews.actions import Ask, decide
from reviews.models import Ruling
from reviews.notes import write_note
from tests.driver import Clock, Driver
from tests.factories import WorkspaceFactory, finish, start, walk

EXAMPLES = Path(__file__).resolve().parent.parent / "docs" / "examples"


@dataclass
class Day:
    workspace: Workspace
    people: dict[str, User]
    jobs: dict[str, Job]


def day(base_url: str, person: Callable[..., User]) -> Day:
    """Jobs in every status; "done", "changed", "review" and "escalated" hold what the stand-in at
    `base_url` wrote. `person(username, workspace, *roles)` makes somebody who can log in.

    Runs in a thread of its own: a browser's loop may already run in the caller's.
    """

    def live() -> Day:
        try:
            with Driver(base_url, Clock()) as driver:
                return _day(driver, person)
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(live).result()


def _day(driver: Driver, person: Callable[..., User]) -> Day:
    driver.clock.now = timezone.now() - timedelta(hours=3)
    shipped.load()
    digest = JobType.objects.get(slug="document-digest")
    brief = JobType.objects.get(slug="research-brief")
    workspace = WorkspaceFactory(slug="quality", name="Quality")
    people = {
        role.value: person(role.value, workspace, role)
        for role in Role
        if role is not Role.REQUESTER
    }
    people["requester"] = person("requester", workspace, Role.REQUESTER)
    made: dict[str, Job] = {}

    def submit(name, job_type, *, pause=420.0, **kwargs):
        driver.clock.advance(pause)
        made[name] = actions.submit(
            job_type,
            requester=people["requester"],
            workspace=workspace,
            now=driver.clock.now,
            **kwargs,
        ).job
        return made[name]

    def document(name):
        path = EXAMPLES / name
        return Upload(path.name, path.read_bytes())

    def rule(name, ruling, who, note=""):
        job = Job.objects.select_related("open_gate").get(pk=made[name].pk)
        looked_at = job.open_gate.content_hash if job.open_gate else None
        driver.clock.advance(95)
        ask = Ask(ruling, people[who], driver.clock.now, note=note, content_hash=looked_at)
        decide(made[name].pk, ask)

    done = submit("done", digest, input={}, uploads=[document("supplier-security-policy.md")])
    driver.settle(done)
    rule("done", Ruling.APPROVE, "reviewer", "Quotes checked against the policy.")
    for topic in ("audit logs", "rate limits", "data retention"):
        driver.settle(submit(topic, brief, input={"topic": topic}, pause=240))
    driver.settle(
        submit(
            "changed",
            digest,
            input={"focus": "Decisions that are still open"},
            uploads=[document("harbour-bridge-feasibility.txt")],
        )
    )
    rule("changed", Ruling.REQUEST_CHANGES, "reviewer", "Give the cost figures with their year.")
    driver.settle(made["changed"])
    driver.settle(
        submit(
            "review",
            digest,
            input={"focus": "What was done too late, and why"},
            uploads=[document("incident-review.md"), document("supplier-security-policy.md")],
        )
    )
    write_note(
        made["review"],
        author=people["lead"],
        text="The second document is there for the notification deadlines.",
        now=driver.clock.now,
    )
    driver.settle(
        submit("escalated", digest, input={}, uploads=[document("incident-review.md")], pause=60)
    )
    rule("escalated", Ruling.ESCALATE, "reviewer", "It names a customer: a lead should decide.")
    library.add(
        workspace,
        [document(name) for name in ("supplier-security-policy.md", "incident-review.md")],
        actor=people["lead"],
        now=driver.clock.now,
    )
    driver.settle(
        submit(
            "compared",
            JobType.objects.get(slug="policy-comparison"),
            input={"baseline": "group-standard.md"},
            uploads=[
                document(f"policies/{name}.md")
                for name in ("group-standard", "harbour-site", "mill-site")
            ],
        ),
        steps=200,
    )
    driver.settle(
        submit(
            "reply",
            JobType.objects.get(slug="customer-reply"),
            input={
                "customer": "supplier@example.com",
                "message": "Within which time do we have to report a security incident to you, "
                "and what about changes of our contacts?",
            },
            pause=120,
        )
    )
    for name, status, topic in (
        ("failed", Status.FAILED, "webhooks that come late"),
        ("canceled", Status.CANCELED, "webhooks that come twice"),
        ("running", Status.RUNNING, "queues that lose nothing"),
        ("queued", Status.QUEUED, "token costs of long answers"),
    ):
        if name == "running":
            driver.clock.now = timezone.now() - timedelta(seconds=75)
        job = submit(name, brief, input={"topic": topic}, pause=30)
        if status is Status.FAILED:
            start(job, now=driver.clock.now)
            error = {
                "code": "invalid_prompt",
                "message": "The request was flagged as against the usage policy.",
            }
            finish(job, "failed", now=driver.clock.now, error=error)
            continue
        walk(job, status, now=driver.clock.now)
    # As if a cluster were at work: it heard of the running job just now, and was told by webhooks.
    now = timezone.now()
    made["running"].attempts.update(last_heard_at=now, next_check_at=now + timedelta(minutes=5))
    for name in ("queued", "reply"):
        made[name].attempts.update(next_check_at=now + timedelta(minutes=5))
    for response in made["done"].attempts.values_list("turns__response_id", flat=True):
        WebhookReceipt.objects.create(
            webhook_id=f"wh_{response}",
            event_type="response.completed",
            response_id=response,
            body=b"{}",
            received_at=now - timedelta(minutes=2),
            outcome="known",
        )
    while leases.Slot.claim(now=now):
        pass
    for job in made.values():
        job.refresh_from_db()
    return Day(workspace, people, made)
