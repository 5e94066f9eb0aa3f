"""What waits for a decision in a workspace: for whom, why, and in which order.

Every question walks the index of open gates in the order of the page and stops when that is full.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Self
from uuid import UUID

from django.db import models
from django.db.models import (
    Case,
    Exists,
    F,
    OuterRef,
    Q,
    QuerySet,
    Subquery,
    TextField,
    Value,
    When,
)
from django.db.models.fields.tuple_lookups import (
    Tuple,
    TupleGreaterThan,
    TupleGreaterThanOrEqual,
    TupleLessThan,
    TupleLessThanOrEqual,
)
from django.db.models.functions import Cast
from django.db.models.lookups import IsNull
from django.utils.dateparse import parse_datetime

from jobs.access import may_review, roles_of
from jobs.ids import read_ref
from jobs.models import (
    Gate,
    GateKind,
    Job,
    JobType,
    Role,
    Status,
    User,
    Workspace,
    own_refused,
)
from reviews import claims, history
from reviews.claims import Claim

PAGE = 25
#: What waits is counted up to here, so that no page pays for a long queue.
MOST_COUNTED = 100
#: Words of a search that count.
MOST_WORDS = 8


class Tab(models.TextChoices):
    WAITING = "waiting", "Waiting"
    MINE = "mine", "Mine"  # asked of this person, or open with them now
    ESCALATED = "escalated", "Escalated"
    OVERDUE = "overdue", "Overdue"
    HISTORY = "history", "History"


class Sort(models.TextChoices):
    DUE = "", "Due first"
    OLDEST = "oldest", "Longest waiting"
    NEWEST = "newest", "Newest"


_ORDERS = {
    Sort.DUE: ("due_at", "id"),
    Sort.OLDEST: ("opened_at", "id"),
    Sort.NEWEST: ("-opened_at", "-id"),
}


@dataclass(frozen=True)
class Wanted:
    """Which waiting jobs a page shows. `everyone` is also those that wait for somebody else; `after`
    is where the page before ended. `assignee` is who was asked; `unassigned`, that nobody was."""

    everyone: bool = False
    type_slug: str = ""
    text: str = ""
    after: str = ""
    tab: Tab = Tab.WAITING
    sort: Sort = Sort.DUE
    kind: GateKind | None = None
    level: int | None = None
    warned: bool | None = None
    requester: User | None = field(default=None)
    assignee: User | None = field(default=None)
    unassigned: bool = False
    reason: str = ""
    cost_over: Decimal | None = None

    @property
    def is_narrow(self) -> bool:
        plain = Wanted(self.everyone, tab=self.tab, sort=self.sort, after=self.after)
        return self != plain


@dataclass(frozen=True)
class Waiting:
    """One waiting job as `user` sees it. `whom` is whom it waits for, where that is not them;
    `claim` is who has it open now."""

    job: Job
    overdue: bool
    whom: str
    claim: Claim | None = None


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
class Position:
    """`number` of `total`; `number` is "" where a long queue is not counted that far, or the job is
    not in it."""

    number: str
    total: str


@dataclass(frozen=True)
class Place:
    """Where in the order a page ended: keys, so that a late page costs what the first one does."""

    moment: datetime
    gate: int

    @classmethod
    def read(cls, text: str) -> Self | None:
        moment, _, gate = text.partition("~")
        try:
            at = parse_datetime(moment)
            if at is None or at.tzinfo is None or not gate.isascii() or not gate.isdecimal():
                return None
            return cls(at.astimezone(UTC), int(gate[:18]))
        except (ValueError, OverflowError):
            return None

    def __str__(self) -> str:
        return f"{self.moment.isoformat()}~{self.gate}"


def page(user: User, workspace: Workspace, wanted: Wanted, *, now: datetime) -> Page:
    """The waiting jobs that come next in the order that is wanted."""
    gates = _beyond(matching(user, workspace, wanted, now=now), wanted)
    found = jobs_at(gates[: PAGE + 1])
    shown, more = found[:PAGE], found[PAGE:]
    whom = _whom(shown, user) if wanted.everyone else {}
    rows = [
        Waiting(job, _is_overdue(job, now), whom.get(job.pk, ""), _claim(job, now)) for job in shown
    ]
    return Page(rows, place_of(shown[-1], wanted.sort) if more else "")


def matching(user: User, workspace: Workspace, wanted: Wanted, *, now: datetime) -> QuerySet[Gate]:
    """The open gates of all that is wanted, in its order, from the first on."""
    gates = _of_tab(_open(user, workspace, everyone=wanted.everyone), user, wanted.tab, now)
    gates = _narrowed(gates, wanted, None if wanted.everyone else user)
    return gates.order_by(*_ORDERS[wanted.sort])


def jobs_at(gates: QuerySet[Gate]) -> list[Job]:
    """The jobs that wait at these gates, in their order, with what a list shows of them. One that
    has been decided in between is left out."""
    ids = list(gates.values_list("pk", flat=True))
    rows = Job.objects.filter(open_gate__in=ids).select_related(
        "job_type", "requester", "open_gate__claimed_by", "open_gate__assignee"
    )
    jobs = {job.open_gate_id: job for job in rows.defer("input").order_by()}
    return [jobs[pk] for pk in ids if pk in jobs]


def next_for(user: User, workspace: Workspace) -> Job | None:
    """The job whose review this person should do next."""
    gates = waiting(user, workspace, everyone=False)
    return _first(gates.order_by(*_ORDERS[Sort.DUE]))


def after(
    user: User, workspace: Workspace, wanted: Wanted, place: str, now: datetime
) -> Job | None:
    """The first job behind `place` (`place_of`; "" is the beginning) that is wanted, waits for this
    person, and that nobody else has open."""
    mine = replace(wanted, everyone=False, after=place)
    gates = _beyond(matching(user, workspace, mine, now=now), mine)
    return _first(gates.filter(Q(claimed_by=None) | Q(claimed_by=user) | Q(claimed_until__lte=now)))


def place_of(job: Job, sort: Sort = Sort.DUE) -> str:
    """Where a waiting job stands in the order: what `after` and `Wanted.after` go on from."""
    assert job.open_gate is not None, "only what waits has a place"
    return place_at(job.open_gate, sort)


def place_at(gate: Gate, sort: Sort = Sort.DUE) -> str:
    """Where a gate stands in the order, or stood when it was open."""
    return str(Place(gate.due_at if sort is Sort.DUE else gate.opened_at, gate.pk))


def position(
    user: User, workspace: Workspace, wanted: Wanted, job: Job, now: datetime
) -> Position | None:
    """Where `job` stands among what is wanted and waits for this person; None where nothing does."""
    gates = matching(user, workspace, replace(wanted, everyone=False), now=now)
    if not (total := count(gates, MOST_COUNTED)):
        return None
    number, gate = 0, job.open_gate
    if gate and gates.filter(pk=gate.pk).exists():
        first, keys = _keys(wanted.sort)
        upto = TupleGreaterThanOrEqual if first.startswith("-") else TupleLessThanOrEqual
        place = Place.read(place_at(gate, wanted.sort))
        assert place is not None
        # SQLite is given an OR instead of a row, and would walk all that waits.
        side = "gte" if first.startswith("-") else "lte"
        gates = gates.filter(**{f"{first.removeprefix('-')}__{side}": place.moment})
        number = count(gates.filter(upto(keys, (place.moment, place.gate))), MOST_COUNTED)
    return Position(str(number) if 0 < number < MOST_COUNTED else "", _said(total))


def waiting(user: User, workspace: Workspace, *, everyone: bool) -> QuerySet[Gate]:
    """What waits in the workspace: for this person, or for anybody."""
    gates = _open(user, workspace, everyone=everyone)
    return gates if everyone else gates.filter(_awaits(user))


def counts(user: User, workspace: Workspace, *, everyone: bool, now: datetime) -> dict[Tab, str]:
    """How many there are on each tab: "3", "99+", or "" for none. What waits is what waits for this
    person, unless `everyone`; the history is counted by what people decided."""
    whose = {Tab.WAITING: everyone}
    waits = {
        tab: _capped(
            _of_tab(waiting(user, workspace, everyone=whose.get(tab, True)), user, tab, now)
        )
        for tab in (Tab.WAITING, Tab.MINE, Tab.ESCALATED, Tab.OVERDUE)
    }
    return waits | {Tab.HISTORY: _said(history.count(workspace, MOST_COUNTED))}


def count(gates: QuerySet[Gate], most: int) -> int:
    """How many there are, counted up to `most`."""
    return gates.order_by()[:most].count()


def elsewhere(user: User, workspace: Workspace) -> Elsewhere:
    """Of one's own requests, those that one may not approve."""
    if not may_review(user, workspace):
        return Elsewhere("", "")
    others = waiting(user, workspace, everyone=True)
    requested = Job.objects.filter(
        own_refused(user), workspace=workspace, status=Status.NEEDS_REVIEW
    )
    own = _said(requested.order_by()[:MOST_COUNTED].count())
    if Role.LEAD in roles_of(user, workspace):
        return Elsewhere("", own)
    leads = others.filter(role=Role.LEAD).exclude(job__in=requested.order_by())
    return Elsewhere(_said(count(leads, MOST_COUNTED)), own)


def reasons(workspace: Workspace) -> Sequence[str]:
    """The codes of the reasons for which the most urgent reviews of the workspace wait."""
    gates = Gate.objects.filter(workspace=workspace, closed_at__isnull=True)
    asked = gates.order_by(*_ORDERS[Sort.DUE]).values_list("reasons", flat=True)[:MOST_COUNTED]
    return sorted({str(reason.get("code", "")) for row in asked for reason in row} - {""})


def _open(user: User, workspace: Workspace, *, everyone: bool) -> QuerySet[Gate]:
    """The open gates of the workspace; unless for everyone, without those that wait for leads where
    `user` is none. Whom each waits for is still to be asked, which costs much more."""
    gates = Gate.objects.filter(workspace=workspace, closed_at__isnull=True)
    leads = user.memberships.filter(workspace=workspace, role=Role.LEAD)
    return gates if everyone else gates.filter(Q(role=Role.REVIEWER) | Exists(leads))


def _awaits(user: User) -> IsNull:
    """Whether a gate waits for `user`: asked of gate after gate. An EXISTS may be answered by reading
    all jobs first."""
    awaited = Job.objects.awaiting(user).filter(open_gate=OuterRef("pk")).order_by()
    return IsNull(Subquery(awaited.values("pk")[:1]), False)


def _first(gates: QuerySet[Gate]) -> Job | None:
    return next(iter(jobs_at(gates[:1])), None)


def _of_tab(gates: QuerySet[Gate], user: User, tab: Tab, now: datetime) -> QuerySet[Gate]:
    match tab:
        case Tab.MINE:
            # Each by an index of its own, which an OR would not always be.
            asked = Gate.objects.filter(assignee=user, closed_at__isnull=True)
            claimed = Gate.objects.filter(
                claimed_by=user, claimed_until__gt=now, closed_at__isnull=True
            )
            mine = asked.order_by().values("pk").union(claimed.order_by().values("pk"))
            return gates.filter(pk__in=mine)
        case Tab.ESCALATED:
            return gates.filter(level__gt=1)
        case Tab.OVERDUE:
            return gates.filter(due_at__lte=now)
        case _:
            return gates


def _narrowed(gates: QuerySet[Gate], wanted: Wanted, user: User | None) -> QuerySet[Gate]:
    """Those that match every filter and wait for `user`, where one is given."""
    also = Q()
    if wanted.type_slug:
        known = JobType.objects.filter(slug=wanted.type_slug)
        also &= Q(job__job_type__in=list(known.values_list("pk", flat=True)))
    if wanted.kind:
        also &= Q(kind=wanted.kind)
    if wanted.level:
        also &= Q(level=wanted.level)
    if wanted.warned is not None:
        also &= ~Q(job__warnings=[]) if wanted.warned else Q(job__warnings=[])
    if wanted.requester:
        also &= Q(job__requester=wanted.requester)
    if wanted.assignee:
        also &= Q(assignee=wanted.assignee)
    if wanted.unassigned:
        also &= Q(assignee=None)
    if wanted.cost_over is not None:
        also &= Q(job__cost_usd__gt=wanted.cost_over)
    if wanted.reason:
        # SQLite knows no containment of JSON. Quotes inside a text are escaped there.
        gates = gates.alias(asked=Cast("reasons", TextField()))
        also &= Q(asked__contains=f'"code": "{wanted.reason}"')
    for word in wanted.text.split()[:MOST_WORDS]:
        also &= Q(job__input_summary__icontains=word) | Q(
            job__ref__contains=read_ref(word).removeprefix("J-")
        )
    if also:
        # Inside a CASE, what is asked of each job leads no planner away from the order of the gates,
        # and whom it waits for is asked of those alone that match.
        then = _awaits(user) if user else Value(True)
        return gates.alias(kept=Case(When(also, then=then), default=False)).filter(kept=True)
    return gates.filter(_awaits(user)) if user else gates


def _beyond(gates: QuerySet[Gate], wanted: Wanted) -> QuerySet[Gate]:
    place = Place.read(wanted.after)
    if place is None:
        return gates
    first, keys = _keys(wanted.sort)
    beyond = TupleLessThan if first.startswith("-") else TupleGreaterThan
    return gates.filter(beyond(keys, (place.moment, place.gate)))


def _keys(sort: Sort) -> tuple[str, Tuple]:
    """The first key of an order as it is sorted by, and both as one value."""
    first, _ = _ORDERS[sort]
    return first, Tuple(F(first.removeprefix("-")), F("id"))


def _is_overdue(job: Job, now: datetime) -> bool:
    return job.open_gate is not None and job.open_gate.due_at <= now


def _claim(job: Job, now: datetime) -> Claim | None:
    return claims.held_by(job.open_gate, now=now) if job.open_gate else None


def _whom(jobs: Sequence[Job], user: User) -> dict[UUID, str]:
    """For whom those wait that do not wait for `user`."""
    rows = Job.objects.filter(pk__in=[job.pk for job in jobs]).order_by()
    theirs = set(rows.awaiting(user).values_list("pk", flat=True))
    own = set(rows.filter(own_refused(user)).values_list("pk", flat=True))
    return {
        job.pk: "somebody else, as you requested it"
        if job.pk in own
        else "a lead"
        if job.open_gate and job.open_gate.role == Role.LEAD
        else "a reviewer"
        for job in jobs
        if job.pk not in theirs
    }


def _capped(gates: QuerySet[Gate]) -> str:
    return _said(count(gates, MOST_COUNTED))


def _said(found: int) -> str:
    return f"{MOST_COUNTED - 1}+" if found == MOST_COUNTED else str(found or "")
