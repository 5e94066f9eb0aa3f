"""Test objects. A job reaches its status by the real transitions, never by being written."""

import itertools
from datetime import UTC, datetime, timedelta
from typing import Any

import factory
from factory.django import DjangoModelFactory

from jobs import actions, lapses, outcomes
from jobs.documents import Upload
from jobs.models import (
    Job,
    JobType,
    Membership,
    PromptVersion,
    Review,
    ReviewLevel,
    Role,
    State,
    Status,
    Turn,
    User,
    Workspace,
)
from reviews.actions import Ask, decide
from reviews.models import Ruling
from tests import payloads

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
_numbers = itertools.count(1)


class WorkspaceFactory(DjangoModelFactory[Workspace]):
    class Meta:
        model = Workspace

    slug = factory.Sequence(lambda n: f"workspace-{n}")
    name = factory.Sequence(lambda n: f"Workspace {n}")


class UserFactory(DjangoModelFactory[User]):
    """`UserFactory(roles=[Role.LEAD], workspace=w)`: a person with these memberships."""

    class Meta:
        model = User
        skip_postgeneration_save = True

    username = factory.Sequence(lambda n: f"person-{n}")
    email = factory.LazyAttribute(lambda person: f"{person.username}@example.com")
    workspace = None
    roles: tuple[Role, ...] = ()

    @classmethod
    def _create(cls, model_class: type[User], *args: Any, **kwargs: Any) -> User:
        workspace, roles = kwargs.pop("workspace"), kwargs.pop("roles")
        user = super()._create(model_class, *args, **kwargs)
        for role in roles:
            Membership.objects.create(user=user, workspace=workspace, role=role)
        return user


class JobTypeFactory(DjangoModelFactory[JobType]):
    """A type of plain text, reviewed always, with one prompt version."""

    class Meta:
        model = JobType
        skip_postgeneration_save = True

    slug = factory.Sequence(lambda n: f"type-{n}")
    name = factory.Sequence(lambda n: f"Type {n}")
    description = "For tests."
    review = Review.ALWAYS
    max_documents = 5

    @factory.post_generation
    def version(self: JobType, create: bool, extracted: Any, **kwargs: Any) -> None:
        fields = {
            "model": "gpt-5.6-terra",
            "instructions": "Answer.",
            "template": "Topic: {topic}",
            **kwargs,
        }
        self.current_version = PromptVersion.objects.create(job_type=self, number=1, **fields)
        self.save(update_fields=["current_version"])

    @factory.post_generation
    def ladder(self: JobType, create: bool, extracted: Any, **kwargs: Any) -> None:
        """`ladder=[("Legal", Role.REVIEWER, 2), ("Board", Role.LEAD)]`: the levels from the lowest,
        each with how many must approve and the seconds that they have."""
        for number, (name, role, *rest) in enumerate(extracted or (), 1):
            limits = dict(zip(("approvals", "within"), rest, strict=False))
            ReviewLevel.objects.create(job_type=self, number=number, name=name, role=role, **limits)


class JobFactory(factory.Factory[Job]):
    """`JobFactory()` is queued; `JobFactory(status=Status.FAILED)` has walked there."""

    class Meta:
        model = Job

    workspace = factory.SubFactory(WorkspaceFactory)
    job_type = factory.SubFactory(JobTypeFactory)
    requester = None
    input = factory.LazyFunction(lambda: {"topic": "tides"})
    uploads: tuple[Upload, ...] = ()
    status = Status.QUEUED
    now = NOW

    @classmethod
    def _create(cls, model_class: type[Job], *args: Any, **kwargs: Any) -> Job:
        status, now = kwargs.pop("status"), kwargs["now"]
        workspace = kwargs["workspace"]
        if kwargs["requester"] is None:
            kwargs["requester"] = UserFactory(workspace=workspace, roles=[Role.REQUESTER])
        job = actions.submit(kwargs.pop("job_type"), **kwargs).job
        walk(job, status, now=now)
        job.refresh_from_db()
        return job


def walk(job: Job, to: Status, *, now: datetime = NOW) -> None:
    """Move a queued job to `to` along real edges, with answers like the provider's."""
    if to == Status.QUEUED:
        return
    if to == Status.EXPIRED:
        late = now + timedelta(seconds=job.job_type.start_within)
        lapses.deadline_passed(last_turn(job).pk, now=late)
    elif to == Status.CANCELED:
        decide(job.pk, Ask(Ruling.CANCEL, job.requester, now))
    else:
        start(job, now=now)
        if to == Status.FAILED:
            finish(job, "failed", now=now, error={"code": "invalid_prompt", "message": "No."})
        elif to in (Status.NEEDS_REVIEW, Status.COMPLETED):
            finish(job, "completed", now=now)
            if to == Status.COMPLETED and Job.objects.get(pk=job.pk).open_gate:
                approve(job, now=now)


def start(job: Job, *, now: datetime = NOW, response_id: str | None = None) -> Turn:
    """The provider accepts the job's open attempt."""
    turn = last_turn(job)
    turn.sent_at = now
    turn.save(update_fields=["sent_at"])
    accepted = payloads.response("queued", id=response_id or f"resp_{next(_numbers)}")
    outcomes.accepted(turn.pk, accepted, now=now, adopted=False)
    turn.refresh_from_db()
    return turn


def finish(job: Job, status: str, *, now: datetime = NOW, **changes: Any) -> None:
    """The provider ends the job's running attempt."""
    turn = last_turn(job)
    answer = payloads.response(status, id=turn.response_id, **changes)
    outcomes.looked_up(turn.pk, answer, now=now)


EMAIL = {"to": "client@example.com", "subject": "Your question", "body": "We looked into it."}


def wants(job_type: JobType | None = None, *calls: dict[str, Any], **more: Any) -> Job:
    """A job whose running attempt has asked for tools: to send an e-mail, if nothing else is said.
    `calls` are output items."""
    if job_type is None:
        job_type = JobTypeFactory(version__tools=[{"type": "function", "name": "send_email"}])
    job = JobFactory(job_type=job_type, **more)
    start(job)
    finish(job, "completed", output=list(calls) or [payloads.function_call("send_email", EMAIL)])
    job.refresh_from_db()
    return job


def become_unknown(job: Job, *, now: datetime = NOW) -> Turn:
    """The create left and was never answered."""
    turn = last_turn(job)
    turn.sent_at = now
    turn.save(update_fields=["sent_at"])
    lapses.send_never_answered(turn.pk, now=now)
    assert job.attempts.get(state=State.UNKNOWN)
    return turn


def approve(job: Job, *, now: datetime = NOW) -> User:
    lead = UserFactory(workspace=job.workspace, roles=[Role.LEAD])
    decide(job.pk, Ask(Ruling.APPROVE, lead, now))
    return lead


def last_turn(job: Job) -> Turn:
    return (
        Turn.objects.filter(attempt__job=job)
        .select_related("attempt")
        .order_by("-attempt__number", "-number")[0]
    )
