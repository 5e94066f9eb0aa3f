"""All that the operations page shows, in one. What costs more than a few milliseconds is kept."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial
from itertools import chain
from typing import TypeVar, cast

from django.core.cache.backends.locmem import LocMemCache

from jobs.models import JobType, Status, Workspace
from jobs.operations import health, snapshot, trends
from jobs.operations.health import Finding, Health
from jobs.operations.snapshot import Counts, Desk, Pulse, Waiting
from jobs.operations.trends import Cause, Durations, Failing, Pending, Settled, Took
from jobs.signals import asked_what_is_wrong
from jobs.spending import WINDOW, Spending, spending_by_type

T = TypeVar("T")

#: Seconds for which what is costly is kept: for as long as the page waits to look again.
KEPT_FOR = 10
#: The same for days that are over, and for what looks back on many.
EARLIER_KEPT_FOR = 600
#: Of each process its own: looking at the page must not write to the database.
kept = LocMemCache("operations", {"MAX_ENTRIES": 2_000})


@dataclass(frozen=True)
class Numbers:
    """What changes slowly enough to be kept for a while."""

    counts: Counts
    causes: tuple[Cause, ...]
    failing: Failing
    hours: tuple[Settled, ...]
    days: tuple[Settled, ...]
    pending: Pending
    durations: Durations
    by_type: tuple[tuple[JobType, Spending], ...]

    @property
    def failed_today(self) -> int:
        """Jobs that failed or expired within 24 hours by a fault, and have stayed so."""
        return sum(cause.day for cause in self.causes if cause.explanation.fault)

    @property
    def today(self) -> Settled:
        return self.days[-1]

    @property
    def earlier_average(self) -> Decimal:
        """What a day cost, of those before today on which anything settled."""
        earlier = [day.usd for day in self.days[:-1] if day.total]
        return sum(earlier, Decimal(0)) / len(earlier) if earlier else Decimal(0)


@dataclass(frozen=True)
class Overview:
    at: datetime
    health: Health
    pulse: Pulse
    desk: Desk
    queued: Waiting | None
    running: Waiting | None
    numbers: Numbers


def overview(workspace: Workspace | None, *, now: datetime) -> Overview:
    """Of one workspace, or (None) of all."""
    pulse = snapshot.pulse(now)
    desk = snapshot.desk(workspace, now)
    numbers = _kept("numbers", workspace, KEPT_FOR, lambda: _numbers(workspace, now))
    answers = asked_what_is_wrong.send(Overview, workspace=workspace)
    others = chain.from_iterable(cast(list[Finding], found) for _receiver, found in answers)
    return Overview(
        at=now,
        health=health.examine(pulse, desk, numbers.failing, others, now=now),
        pulse=pulse,
        desk=desk,
        queued=snapshot.oldest(workspace, Status.QUEUED),
        running=snapshot.oldest(workspace, Status.RUNNING),
        numbers=numbers,
    )


def _numbers(workspace: Workspace | None, now: datetime) -> Numbers:
    causes = trends.causes_of_failure(workspace, now)
    since, until = trends.first_hour(now), trends.first_hour(now) + timedelta(hours=trends.HOURS)
    hours = trends.settled_by_hour(workspace, since=since, until=until)
    return Numbers(
        counts=snapshot.counts(workspace),
        causes=causes,
        failing=trends.failing(causes, workspace, now),
        hours=hours,
        days=(*_earlier_days(workspace, now), trends.by_day(hours)[-1]),
        pending=trends.pending_cost(workspace),
        durations=trends.durations(_samples(workspace, since, now)),
        by_type=_by_type(workspace, now),
    )


def _earlier_days(workspace: Workspace | None, now: datetime) -> tuple[Settled, ...]:
    first = trends.first_day(now)
    today = first + timedelta(days=trends.DAYS - 1)
    return _kept(
        f"days-before-{today:%Y-%m-%d}",
        workspace,
        EARLIER_KEPT_FOR,
        lambda: trends.by_day(trends.settled_by_hour(workspace, since=first, until=today)),
    )


def _by_type(workspace: Workspace | None, now: datetime) -> tuple[tuple[JobType, Spending], ...]:
    return _kept(
        "spending-by-type",
        workspace,
        EARLIER_KEPT_FOR,
        lambda: spending_by_type(workspace, since=now - WINDOW),
    )


def _samples(
    workspace: Workspace | None, since: datetime, now: datetime
) -> dict[datetime, tuple[Took, ...]]:
    """By hour. Those of hours that are over are kept."""
    samples = {}
    for hours in range(trends.HOURS):
        begin = since + timedelta(hours=hours)
        end = begin + timedelta(hours=1)
        make = partial(trends.sample, workspace, since=begin, until=end)
        name = f"took-{begin:%Y-%m-%d-%H}"
        samples[begin] = make() if end > now else _kept(name, workspace, EARLIER_KEPT_FOR, make)
    return samples


def _kept(name: str, workspace: Workspace | None, seconds: int, make: Callable[[], T]) -> T:
    key = f"operations-{workspace.pk if workspace else 'all'}-{name}"
    return cast(T, kept.get_or_set(key, make, seconds))
