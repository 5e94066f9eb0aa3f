"""What the machine does at this moment, and what waits for a person.

Every query is bounded: it reads a few rows by an index, or counts up to `MOST`. A workspace of None
means all of them.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import Count, Exists, F, Max, Min, OuterRef, Q, QuerySet, Sum
from django.db.models.functions import Coalesce
from django_q.models import Failure, OrmQ

from jobs.access import UNKNOWN_SUBMIT
from jobs.models import (
    LIVE,
    OPEN,
    Attempt,
    FunctionCall,
    Gate,
    Job,
    Lane,
    ProviderFile,
    ProviderStore,
    Result,
    State,
    Status,
    SweepSlot,
    WebhookReceipt,
    Workspace,
)

#: Rows are counted up to here.
MOST = 10_000
#: Rows that are shown of anything.
SHOWN = 6
#: The newest attempts, in which signs of the provider's life are looked for.
LATEST = 500

LATELY = timedelta(hours=24)
#: How long a submit that was given up as unknown is asked about.
DOUBT_LASTS = timedelta(days=30)
#: As the engine does: claims in a row that were never written back (`engine.MOST_STRIKES`), and
#: calls in a row that failed (`outcomes.SAYS_SO_AFTER`).
MOST_STRIKES = 3
MOST_FAILURES = 3
#: How many responses end without a webhook before that is worth a word, and how long one may take.
UNANNOUNCED = 3
WEBHOOK_PATIENCE = timedelta(minutes=2)


@dataclass(frozen=True)
class Counted:
    """A count that stops at `MOST`, so that no page pays for a long table."""

    number: int
    more: bool = False

    def __str__(self) -> str:
        return f"{self.number:,}{'+' if self.more else ''}"

    def __bool__(self) -> bool:
        return self.number > 0


def counted(number: int) -> Counted:
    return Counted(min(number, MOST), more=number > MOST)


def jobs_of(workspace: Workspace | None) -> QuerySet[Job]:
    return Job.objects.filter(workspace=workspace) if workspace else Job.objects.all()


def settled_since(workspace: Workspace | None, since: datetime) -> QuerySet[Job]:
    """Settled jobs by the index on when they were: it begins with the workspace, so all are named."""
    named = [workspace.pk] if workspace else list(Workspace.objects.values_list("pk", flat=True))
    return Job.objects.filter(workspace__in=named, settled_at__gte=since).order_by()


# The machine, which all workspaces share ---------------------------------------------------------


@dataclass(frozen=True)
class Pulse:
    """What the machine's parts last did. `oldest_due_at` is of what nobody has picked up yet;
    `unannounced_since`, since when responses have ended without a webhook."""

    beat_at: datetime | None
    holders: tuple[str, ...]
    wanted: int
    sweeps: int
    requests: int
    due: Counted
    oldest_due_at: datetime | None
    heard_at: datetime | None
    accepted_at: datetime | None
    webhook_at: datetime | None
    unannounced_since: datetime | None
    tasks: Counted
    failed_tasks: Counted
    failed_task: str

    def late_by(self, now: datetime) -> timedelta:
        """How long the oldest due work has waited to be picked up."""
        return max(now - self.oldest_due_at, timedelta(0)) if self.oldest_due_at else timedelta(0)


def last_beat() -> datetime | None:
    beats = SweepSlot.objects.filter(beat_at__isnull=False).order_by("-beat_at")
    return beats.values_list("beat_at", flat=True).first()


def due_attempts(now: datetime) -> tuple[Counted, datetime | None]:
    """How many attempts wait to be picked up, and since when the oldest has."""
    due = Attempt.objects.due(now).filter(state__in=State.values).order_by()[: MOST + 1]
    found = due.aggregate(number=Count("*"), oldest=Min("next_check_at"))
    return counted(found["number"]), found["oldest"]


def due_work(now: datetime) -> tuple[Counted, datetime | None]:
    """The same of all work: attempts, tool calls, and documents on their way."""
    found = [due_attempts(now)]
    for rows in (FunctionCall.objects, ProviderFile.objects, ProviderStore.objects):
        due = rows.due(now).order_by()[: MOST + 1]
        one = due.aggregate(number=Count("*"), oldest=Min("next_check_at"))
        found.append((counted(one["number"]), one["oldest"]))
    oldest = [at for _count, at in found if at]
    return counted(sum(count.number for count, _at in found)), min(oldest, default=None)


def last_webhook() -> datetime | None:
    arrived = WebhookReceipt.objects.exclude(event_type="operator").order_by("-received_at")
    return arrived.values_list("received_at", flat=True).first()


def pulse(now: datetime) -> Pulse:
    slots = list(SweepSlot.objects.order_by("number"))
    due, oldest_due_at = due_work(now)
    latest = Attempt.objects.order_by("-id").values_list(
        "submitted_at", "last_heard_at", "ended_at", "state"
    )[:LATEST]
    live = Attempt.objects.filter(state=State.LIVE, next_check_at__isnull=False).order_by()
    accepted, heard, ended, states = zip(*latest, strict=True) if latest else ((), (), (), ())
    failures = Failure.objects.filter(stopped__gte=now - LATELY).order_by("-stopped")
    failed = list(failures.values_list("func", flat=True)[: MOST + 1])
    webhook_at = last_webhook()
    beats = [slot.beat_at for slot in slots if slot.beat_at]
    return Pulse(
        beat_at=max(beats, default=None),
        holders=tuple(s.holder for s in slots if s.lease_until and s.lease_until > now),
        wanted=settings.SWEEPS,
        sweeps=sum(slot.sweeps for slot in slots),
        requests=sum(slot.requests for slot in slots),
        due=due,
        oldest_due_at=oldest_due_at,
        heard_at=_latest(*heard, live[: MOST + 1].aggregate(at=Max("last_heard_at"))["at"]),
        accepted_at=_latest(*accepted),
        webhook_at=webhook_at,
        unannounced_since=_unannounced(zip(ended, states, strict=True), webhook_at, now),
        tasks=queued_tasks(),
        failed_tasks=counted(len(failed)),
        failed_task=failed[0] if failed else "",
    )


def _latest(*moments: datetime | None) -> datetime | None:
    return max((moment for moment in moments if moment), default=None)


def _unannounced(
    attempts: Iterator[tuple[datetime | None, str]], webhook_at: datetime | None, now: datetime
) -> datetime | None:
    """Since when responses that ended within the last day were not followed by a webhook."""
    ended = [
        at
        for at, state in attempts
        if at and state in (State.SUCCEEDED, State.INCOMPLETE)
        if now - LATELY <= at <= now - WEBHOOK_PATIENCE
        if webhook_at is None or at > webhook_at + WEBHOOK_PATIENCE
    ]
    return min(ended) if len(ended) >= UNANNOUNCED else None


# A workspace's jobs, or everybody's ----------------------------------------------------------------


@dataclass(frozen=True)
class Row:
    """Jobs of one status: in all, and by lane."""

    status: Status
    total: Counted
    by_lane: tuple[tuple[Lane, Counted], ...]


@dataclass(frozen=True)
class Counts:
    """Jobs by status, and by those lanes that have any."""

    lanes: tuple[Lane, ...]
    rows: tuple[Row, ...]

    def of(self, status: Status) -> Counted:
        return next(row.total for row in self.rows if row.status == status)

    @property
    def queued(self) -> Counted:
        return self.of(Status.QUEUED)

    @property
    def running(self) -> Counted:
        return self.of(Status.RUNNING)


def counts(workspace: Workspace | None) -> Counts:
    """Of each status the newest `MOST` are looked at; archived ones are left out."""
    found = {status: _by_lane(workspace, status) for status in Status}
    lanes = tuple(lane for lane in Lane if any(numbers[lane] for numbers in found.values()))
    return Counts(
        lanes,
        tuple(
            Row(
                status,
                Counted(min(sum(numbers[lane] for lane in Lane), MOST), numbers["seen"] > MOST),
                tuple((lane, Counted(numbers[lane], numbers["seen"] > MOST)) for lane in lanes),
            )
            for status, numbers in found.items()
        ),
    )


def _by_lane(workspace: Workspace | None, status: Status) -> Mapping[str, int]:
    kept = jobs_of(workspace).filter(status=status, archived_at=None).order_by("-id")
    by_lane = {str(lane): Count("pk", filter=Q(lane=lane)) for lane in Lane}
    return kept[: MOST + 1].aggregate(seen=Count("*"), **by_lane)


@dataclass(frozen=True)
class Waiting:
    """A job and since when it has been where it is. `until` is when that ends."""

    ref: str
    job_type: str
    since: datetime
    until: datetime
    why: str = ""


def oldest(workspace: Workspace | None, status: Status) -> Waiting | None:
    """The queued or running job that has been so for the longest, among the thousand oldest."""
    waits = status is Status.QUEUED
    candidates = jobs_of(workspace).filter(status=status).order_by("id").values("pk")[:1000]
    attempts = Attempt.objects.filter(job__in=candidates, state__in=sorted(OPEN))
    since = F("created_at") if waits else Coalesce("submitted_at", "created_at")
    rows = attempts.order_by(since).values_list(
        "job__ref",
        "job__job_type__name",
        since,
        "job__start_by" if waits else "job__finish_by",
        "job__reason_text",
    )
    return next((Waiting(*row) for row in rows[:1]), None)


@dataclass(frozen=True)
class Doubt:
    """A submit of which nobody knows whether it started. `arrived`: its result is here after all;
    `until`: news of it is still waited for."""

    ref: str
    job_type: str
    since: datetime
    until: datetime | None
    arrived: bool


@dataclass(frozen=True)
class Desk:
    """What waits for a person, or was put aside. `reasons` counts queued and running jobs by the
    reason that they give; `struck` and `put_off` are references of jobs."""

    overdue: Counted
    overdue_jobs: tuple[Waiting, ...]
    doubts: tuple[Doubt, ...]
    reasons: Mapping[str, int]
    struck: tuple[str, ...]
    put_off: tuple[str, ...]


def desk(workspace: Workspace | None, now: datetime) -> Desk:
    overdue, overdue_jobs = _overdue(workspace, now)
    struck, put_off = _put_aside(workspace)
    return Desk(
        overdue=overdue,
        overdue_jobs=overdue_jobs,
        doubts=(*_unknown(workspace), *_given_up(workspace, now)),
        reasons=_reasons(workspace),
        struck=struck,
        put_off=put_off,
    )


def _overdue(workspace: Workspace | None, now: datetime) -> tuple[Counted, tuple[Waiting, ...]]:
    in_review = jobs_of(workspace).filter(status=Status.NEEDS_REVIEW).order_by("id")
    late = Job.objects.filter(
        pk__in=in_review.values("pk")[: MOST + 1], open_gate__due_at__lt=now
    ).order_by("open_gate__due_at")
    number = late.order_by().count()
    rows = late.values_list(
        "ref", "job_type__name", "open_gate__opened_at", "open_gate__due_at", "reason_text"
    )
    return counted(number), tuple(Waiting(*row) for row in (rows[:SHOWN] if number else ()))


def _unknown(workspace: Workspace | None) -> Iterator[Doubt]:
    unknown = Attempt.objects.filter(state=State.UNKNOWN, next_check_at__isnull=False)
    rows = unknown.order_by("next_check_at").values_list(
        "job__workspace", "job__ref", "job__job_type__name", "created_at", "next_check_at"
    )
    for place, ref, job_type, since, until in rows[:MOST]:
        if _is_within(place, workspace):
            yield Doubt(ref, job_type, since, until, arrived=False)


def _is_within(place: int, workspace: Workspace | None) -> bool:
    """Asked of the rows that were found: asked in the query, SQLite reads all of the workspace's
    jobs rather than the few attempts that an index has ready."""
    return workspace is None or place == workspace.pk


def _given_up(workspace: Workspace | None, now: datetime) -> Iterator[Doubt]:
    result = Result.objects.filter(attempt__job=OuterRef("pk"), deliverable=True)
    rows = (
        settled_since(workspace, now - DOUBT_LASTS)
        .filter(status=Status.FAILED, reason_code=UNKNOWN_SUBMIT, archived_at=None)
        .order_by("-settled_at")
        .values_list("ref", "job_type__name", "settled_at", Exists(result))
    )
    for ref, job_type, since, arrived in rows[:MOST]:
        yield Doubt(ref, job_type, since, None, arrived)


def _reasons(workspace: Workspace | None) -> dict[str, int]:
    """Queued and running jobs that give a reason, counted by it."""
    moving = jobs_of(workspace).filter(status__in=[Status.QUEUED, Status.RUNNING]).order_by()
    telling = Job.objects.filter(pk__in=moving.values("pk")[: MOST + 1]).exclude(reason_code="")
    rows = telling.order_by().values("reason_code").annotate(number=Count("*"))
    return {row["reason_code"]: row["number"] for row in rows}


def _put_aside(workspace: Workspace | None) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Jobs whose attempt ended the process that held it, again and again, and those whose handling
    fails again and again for no reason that the provider gave."""
    open_ones = Attempt.objects.filter(state__in=sorted(OPEN), next_check_at__isnull=False)
    struck_out, failing = Q(strikes__gt=MOST_STRIKES), Q(failures__gte=MOST_FAILURES)
    rows = (
        Attempt.objects.filter(pk__in=open_ones.order_by().values("pk")[: MOST + 1])
        .filter(struck_out | failing & Q(error_code="", job__reason_code=""))
        .order_by("id")
        .values_list("job__workspace", "job__ref", "strikes")
    )
    struck: list[str] = []
    put_off: list[str] = []
    for place, ref, strikes in rows:
        if _is_within(place, workspace):
            (struck if strikes > MOST_STRIKES else put_off).append(ref)
    return tuple(struck), tuple(put_off)


# Plain numbers, for whoever keeps their course --------------------------------------------------


def live_counts() -> list[tuple[str, str, str, int]]:
    """Jobs that are not settled, as (workspace, lane, status, number), for all workspaces."""
    live = Job.objects.filter(status__in=sorted(LIVE)).order_by()
    groups = live.values_list("workspace__slug", "lane", "status").annotate(number=Count("*"))
    return [(slug, lane, status, number) for slug, lane, status, number in groups]


def open_attempts() -> dict[str, int]:
    """Attempts under way, by every state that such a one can have."""
    rows = Attempt.objects.filter(state__in=sorted(OPEN), next_check_at__isnull=False).order_by()
    found = dict(rows.values_list("state").annotate(number=Count("*")))
    return {state.value: found.get(state.value, 0) for state in sorted(OPEN)}


def sweep_totals() -> tuple[datetime | None, int, int]:
    """The last heartbeat, and how many sweeps and requests there have been."""
    found = SweepSlot.objects.aggregate(
        beat_at=Max("beat_at"), sweeps=Sum("sweeps"), requests=Sum("requests")
    )
    return found["beat_at"], found["sweeps"] or 0, found["requests"] or 0


def queued_tasks() -> Counted:
    return counted(OrmQ.objects.order_by()[: MOST + 1].count())


def webhooks_since(since: datetime) -> Counted:
    arrived = WebhookReceipt.objects.filter(received_at__gte=since).exclude(event_type="operator")
    return counted(arrived.order_by()[: MOST + 1].count())


def open_reviews(now: datetime) -> tuple[int, int]:
    """Gates that are open, and those of them that are overdue."""
    gates = Gate.objects.filter(closed_at=None).order_by()
    found = gates.aggregate(number=Count("*"), overdue=Count("pk", filter=Q(due_at__lt=now)))
    return found["number"], found["overdue"]
