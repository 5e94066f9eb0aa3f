"""A workspace in the middle of its day, made by the real engine on the real example documents."""

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from django.utils import timezone

from jobs import actions, leases, shipped
from jobs.documents import Upload
from jobs.models import Job, JobType, Role, Status, User, Workspace
from reviews.actions import Ask, decide, write_note
from reviews.models import Ruling
from tests.driver import Driver
from tests.factories import WorkspaceFactory, walk

EXAMPLES = Path(__file__).resolve().parent.parent / "docs" / "examples"


@dataclass
class Day:
    workspace: Workspace
    people: dict[str, User]
    jobs: dict[str, Job]


def day(driver: Driver, person) -> Day:
    """`person(username, workspace, *roles)` makes somebody who can log in. Jobs in every status;
    those named "review", "changed" and "done" hold results that the stand-in wrote."""
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
        return Upload(name, (EXAMPLES / name).read_bytes())

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
    for name, status in (
        ("failed", Status.FAILED),
        ("canceled", Status.CANCELED),
        ("running", Status.RUNNING),
        ("queued", Status.QUEUED),
    ):
        job = submit(name, brief, input={"topic": f"webhooks that come late ({name})"}, pause=60)
        walk(job, status, now=driver.clock.now)
    leases.Slot.claim(now=timezone.now())
    for job in made.values():
        job.refresh_from_db()
    return Day(workspace, people, made)
