"""What has happened: failures by their cause, what settled and when, what it cost, how long it took.

All of it reads a range of time through an index.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db.models import CharField, Count, Func, Max, Q, Sum

from jobs.ids import first_id_at
from jobs.models import Attempt, Job, State, Status, Workspace
from jobs.operations import causes
from jobs.operations.snapshot import MOST, jobs_of, settled_since

HOURS = 24
DAYS = 14
#: Jobs of each hour whose attempts are measured.
SAMPLED = 300
FAILED = (Status.FAILED, Status.EXPIRED)


class Hour(Func):
    """The hour of a moment in UTC, as "2026-03-02 09". Many times faster than TruncHour, which
    SQLite has to ask Python for."""

    output_field = CharField()
    template = "to_char(%(expressions)s AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24')"

    def as_sqlite(self, compiler: Any, connection: Any, **context: Any) -> Any:
        return self.as_sql(compiler, connection, template="substr(%(expressions)s, 1, 13)")


@dataclass(frozen=True)
class Settled:
    """What settled within an hour or a day, by how it ended, and what it had cost.

    A job counts once: where it settled last. `usd` leaves `unknown` jobs out, which ran and of
    which nobody knows the cost.
    """

    at: datetime
    by_status: Mapping[Status, int]
    usd: Decimal = Decimal(0)
    unknown: int = 0

    @property
    def total(self) -> int:
        return sum(self.by_status.values())


def settled_by_hour(
    workspace: Workspace | None, *, since: datetime, until: datetime
) -> tuple[Settled, ...]:
    """One for each hour from `since` up to `until`, empty ones included."""
    rows = (
        settled_since(workspace, since).filter(settled_at__lt=until).annotate(h=Hour("settled_at"))
    )
    numbers: dict[str, dict[Status, int]] = defaultdict(dict)
    costs: dict[str, Decimal] = defaultdict(Decimal)
    for hour, status, number, usd in rows.values_list("h", "status").annotate(
        number=Count("*"), usd=Sum("cost_usd")
    ):
        numbers[hour][Status(status)] = number
        costs[hour] += usd or Decimal(0)
    # One that never ran cost nothing, whatever its row says.
    unknown = rows.filter(cost_usd=None, started_at__isnull=False).values_list("h")
    in_doubt = dict(unknown.annotate(number=Count("*")))
    hours = []
    while since < until:
        name = f"{since:%Y-%m-%d %H}"
        hours.append(Settled(since, numbers[name], costs[name], in_doubt.get(name, 0)))
        since += timedelta(hours=1)
    return tuple(hours)


def cost_today(now: datetime) -> Settled:
    """What has settled since midnight in UTC."""
    midnight = first_day(now) + timedelta(days=DAYS - 1)
    return by_day(settled_by_hour(None, since=midnight, until=now))[0]


def settled_counts(*, since: datetime) -> list[tuple[str, str, int]]:
    """What has settled, as (workspace, status, number), for all workspaces."""
    groups = settled_since(None, since).values_list("workspace__slug", "status")
    return [(slug, status, number) for slug, status, number in groups.annotate(n=Count("*"))]


def by_day(hours: Iterable[Settled]) -> tuple[Settled, ...]:
    """The hours put together by their day in UTC."""
    days: dict[date, list[Settled]] = {}
    for hour in hours:
        days.setdefault(hour.at.date(), []).append(hour)
    return tuple(
        Settled(
            datetime(day.year, day.month, day.day, tzinfo=UTC),
            {status: sum(part.by_status.get(status, 0) for part in parts) for status in Status},
            sum((part.usd for part in parts), Decimal(0)),
            sum(part.unknown for part in parts),
        )
        for day, parts in days.items()
    )


def first_hour(now: datetime) -> datetime:
    """Where the last `HOURS` hours begin, the one that goes on included."""
    this = now.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    return this - timedelta(hours=HOURS - 1)


def first_day(now: datetime) -> datetime:
    """Where the last `DAYS` days begin, today included."""
    today = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return today - timedelta(days=DAYS - 1)


# Failures ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Cause:
    """Jobs that failed or expired for one reason and have stayed so. `said` is the newest one's
    own sentence."""

    status: Status
    code: str
    explanation: causes.Explanation
    day: int
    week: int
    newest_at: datetime
    newest_ref: str
    said: str


@dataclass(frozen=True)
class Failing:
    """What the failures say about now. `refused` is the code of the newest refusal of the account
    within a day, if there was one; `failed` and `settled` count the last hour."""

    refused: str = ""
    refused_at: datetime | None = None
    failed: int = 0
    settled: int = 0


def causes_of_failure(workspace: Workspace | None, now: datetime) -> tuple[Cause, ...]:
    """The last seven days by reason, the most frequent first. A job that has been retried is in
    nobody's way any more, so it is not among them, and neither is an archived one."""
    failed = settled_since(workspace, now - timedelta(days=7)).filter(
        status__in=FAILED, archived_at=None
    )
    today = Q(settled_at__gte=now - timedelta(days=1))
    groups = failed.values_list("status", "reason_code").annotate(
        day=Count("settled_at", filter=today), week=Count("*"), newest_at=Max("settled_at")
    )
    found = {(status, code): numbers for status, code, *numbers in groups}
    newest = settled_since(workspace, now - timedelta(days=7)).filter(
        settled_at__in={newest_at for _day, _week, newest_at in found.values()}, status__in=FAILED
    )
    named = {
        (status, code, at): (ref, text)
        for status, code, at, ref, text in newest.values_list(
            "status", "reason_code", "settled_at", "ref", "reason_text"
        )
    }
    rows = [
        Cause(Status(status), code, causes.explain(code), day, week, at, *named[status, code, at])
        for (status, code), (day, week, at) in found.items()
        if (status, code, at) in named
    ]
    return tuple(
        sorted(rows, key=lambda cause: (-cause.explanation.fault, -cause.day, -cause.week))
    )


def failing(found: Sequence[Cause], workspace: Workspace | None, now: datetime) -> Failing:
    refusals = [
        c for c in found if c.code in causes.ACCOUNT and c.newest_at > now - timedelta(days=1)
    ]
    newest = max(refusals, key=lambda cause: cause.newest_at, default=None)
    hour = settled_since(workspace, now - timedelta(hours=1))
    ended = dict(hour.values_list("status").annotate(number=Count("*")))
    rejected = hour.filter(status=Status.FAILED, reason_code="rejected").count()
    return Failing(
        refused=newest.code if newest else "",
        refused_at=newest.newest_at if newest else None,
        failed=sum(ended.get(status, 0) for status in FAILED) - rejected,
        settled=sum(ended.values()),
    )


# What waits for review has been paid for as well ---------------------------------------------------


@dataclass(frozen=True)
class Pending:
    """What jobs in review have cost so far: it counts on the day on which they settle."""

    usd: Decimal
    jobs: int
    unknown: int


def pending_cost(workspace: Workspace | None) -> Pending:
    in_review = jobs_of(workspace).filter(status=Status.NEEDS_REVIEW, started_at__isnull=False)
    found = Job.objects.filter(pk__in=in_review.order_by().values("pk")[: MOST + 1]).aggregate(
        usd=Sum("cost_usd"), jobs=Count("*"), unknown=Count("pk", filter=Q(cost_usd=None))
    )
    return Pending(found["usd"] or Decimal(0), found["jobs"], found["unknown"])


# Durations -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Spread:
    """How long `number` attempts took from being asked for to their answer, in seconds: the middle
    one, and what nine in ten stayed under. None where there were none."""

    number: int
    median: float | None
    most: float | None


def spread(seconds: Iterable[float]) -> Spread:
    ranked = sorted(seconds)
    if not ranked:
        return Spread(0, None, None)
    most = ranked[math.ceil(len(ranked) * 0.9) - 1]
    return Spread(len(ranked), ranked[(len(ranked) - 1) // 2], most)


@dataclass(frozen=True)
class Took:
    """The seconds that an attempt took, and the name of its job type."""

    job_type: str
    seconds: float


def sample(workspace: Workspace | None, *, since: datetime, until: datetime) -> tuple[Took, ...]:
    """Attempts that succeeded, of up to `SAMPLED` jobs that were submitted in that time and have
    come to a result. The time that a review takes is no part."""
    # Ids sort by when they were made, so that a range of them is a range of time.
    jobs = jobs_of(workspace).filter(
        status__in=[Status.COMPLETED, Status.NEEDS_REVIEW],
        id__gte=first_id_at(since),
        id__lt=first_id_at(until),
    )
    attempts = Attempt.objects.filter(
        job__in=jobs.order_by().values("pk")[:SAMPLED], state=State.SUCCEEDED
    )
    rows = attempts.order_by().values_list("job__job_type__name", "created_at", "ended_at")
    return tuple(Took(name, (end - start).total_seconds()) for name, start, end in rows if end)


@dataclass(frozen=True)
class Durations:
    """`by_hour` has the hours in which jobs were submitted; `by_type`, the types by their name."""

    by_hour: tuple[tuple[datetime, Spread], ...]
    by_type: tuple[tuple[str, Spread], ...]


def durations(samples: Mapping[datetime, Iterable[Took]]) -> Durations:
    """Of samples by their hour."""
    by_type: dict[str, list[float]] = defaultdict(list)
    for taken in samples.values():
        for took in taken:
            by_type[took.job_type].append(took.seconds)
    return Durations(
        tuple((at, spread(took.seconds for took in taken)) for at, taken in samples.items()),
        tuple(sorted((name, spread(seconds)) for name, seconds in by_type.items())),
    )
