"""What waits for a decision in a workspace: for whom, why, and which is due first."""

from dataclasses import dataclass
from datetime import datetime
from typing import Self
from uuid import UUID

from django.db.models import F, Q
from django.db.models.fields.tuple_lookups import Tuple, TupleGreaterThan
from django.utils.dateparse import parse_datetime

from jobs.access import may_review, roles_of
from jobs.ids import read_ref
from jobs.models import Job, Role, Status, User, Workspace
from jobs.models.jobs import JobQuerySet
from reviews.models import Decision

PAGE = 25
#: What waits for others is counted up to here, so that no page pays for a long queue.
MOST_COUNTED = 100
RECENT = 10


@dataclass(frozen=True)
class Wanted:
    """Which waiting jobs a page shows. `everyone` is also those that wait for somebody else; `after`
    is where the page before ended."""

    everyone: bool = False
    type_slug: str = ""
    ref: str = ""
    after: str = ""

    @property
    def is_narrow(self) -> bool:
        return bool(self.type_slug or self.ref)


@dataclass(frozen=True)
class Waiting:
    """One waiting job as `user` sees it. `whom` is whom it waits for, where that is not them."""

    job: Job
    overdue: bool
    whom: str


@dataclass(frozen=True)
class Page:
    rows: list[Waiting]
    next: str


@dataclass(frozen=True)
class Elsewhere:
    """How many reviews of the workspace wait, and not for this person: "3", "99+", or ""."""

    leads: str
    own: str


@dataclass(frozen=True)
class _Place:
    """Where in the order a page ended: keys, so that a late page costs what the first one does."""

    due_at: datetime
    gate: int

    @classmethod
    def read(cls, text: str) -> Self | None:
        moment, _, gate = text.partition("~")
        try:
            due_at = parse_datetime(moment)
        except ValueError:
            return None
        if due_at is None or due_at.tzinfo is None or not gate.isascii() or not gate.isdecimal():
            return None
        return cls(due_at, int(gate[:18]))

    def __str__(self) -> str:
        return f"{self.due_at.isoformat()}~{self.gate}"


def page(user: User, workspace: Workspace, wanted: Wanted, *, now: datetime) -> Page:
    """The waiting jobs that are due next."""
    jobs = _waiting(user, workspace, everyone=wanted.everyone)
    if wanted.type_slug:
        jobs = jobs.filter(job_type__slug=wanted.type_slug)
    if wanted.ref:
        jobs = jobs.filter(ref__contains=read_ref(wanted.ref).removeprefix("J-"))
    if place := _Place.read(wanted.after):
        jobs = jobs.filter(
            TupleGreaterThan(
                Tuple(F("open_gate__due_at"), F("open_gate__id")), (place.due_at, place.gate)
            )
        )
    found = list(
        jobs.select_related("job_type", "requester", "open_gate")
        .defer("input")
        .order_by("open_gate__due_at", "open_gate__id")[: PAGE + 1]
    )
    shown, more = found[:PAGE], found[PAGE:]
    theirs = {job.pk for job in shown}
    if wanted.everyone:
        ids = Job.objects.awaiting(user).filter(pk__in=theirs).order_by()
        theirs = set(ids.values_list("pk", flat=True))
    rows = [Waiting(job, _is_overdue(job, now), _whom(job, user, theirs)) for job in shown]
    return Page(rows, _place_of(shown[-1]) if more else "")


def next_for(user: User, workspace: Workspace) -> Job | None:
    """The job whose review this person should do next."""
    return (
        _waiting(user, workspace, everyone=False)
        .order_by("open_gate__due_at", "open_gate__id")
        .only("ref")
        .first()
    )


def count(user: User, workspace: Workspace, *, everyone: bool) -> str:
    """How many wait: "3", "99+", or "" for none."""
    return _capped(_waiting(user, workspace, everyone=everyone))


def elsewhere(user: User, workspace: Workspace) -> Elsewhere:
    others = Job.objects.filter(workspace=workspace, status=Status.NEEDS_REVIEW)
    own = Q(requester=user, job_type__own_approval=False)
    if not may_review(user, workspace):
        return Elsewhere("", "")
    if Role.LEAD in roles_of(user, workspace):
        return Elsewhere("", _capped(others.filter(own)))
    leads = others.filter(open_gate__level__gt=1).exclude(own)
    return Elsewhere(_capped(leads), _capped(others.filter(own)))


def recent(user: User, workspace: Workspace) -> list[Decision]:
    """What this person decided last."""
    decisions = Decision.objects.filter(actor=user, job__workspace=workspace)
    return list(decisions.select_related("job__job_type").order_by("-id")[:RECENT])


def _waiting(user: User, workspace: Workspace, *, everyone: bool) -> JobQuerySet:
    jobs = Job.objects.all() if everyone else Job.objects.awaiting(user)
    # A job that needs review has its open gate. That is said again for the database's sake: it can
    # then walk the index of open gates in the order of the page, and stop when that is full.
    return jobs.filter(
        workspace=workspace,
        status=Status.NEEDS_REVIEW,
        open_gate__due_at__isnull=False,
        open_gate__closed_at__isnull=True,
    )


def _is_overdue(job: Job, now: datetime) -> bool:
    return job.open_gate is not None and job.open_gate.due_at <= now


def _place_of(job: Job) -> str:
    assert job.open_gate is not None
    return str(_Place(job.open_gate.due_at, job.open_gate.pk))


def _whom(job: Job, user: User, theirs: set[UUID]) -> str:
    if job.pk in theirs:
        return ""
    if job.requester_id == user.pk:
        return "somebody else, as you requested it"
    if job.open_gate and job.open_gate.level > 1:
        return "a lead"
    return "a reviewer"


def _capped(jobs: JobQuerySet) -> str:
    found = jobs.order_by()[:MOST_COUNTED].count()
    return f"{MOST_COUNTED - 1}+" if found == MOST_COUNTED else str(found or "")
