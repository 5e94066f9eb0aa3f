"""What a completed job costs, with all that was paid for and led to nothing charged to it."""

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from django.db.models import Count, Exists, OuterRef, Q, QuerySet, Sum

from jobs.models import Attempt, Job, JobType, Status, Turn, Workspace

#: The time that is looked back on.
WINDOW = timedelta(days=30)


@dataclass(frozen=True)
class Spending:
    """What the jobs of a type that settled within a time cost, in US dollars.

    `wasted_usd` is the part of `total_usd` that attempts cost which completed nothing: those of
    failed, canceled and expired jobs, and those that another attempt followed. Both leave out what
    nobody knows: turns of `unknown` jobs.
    """

    completed: int = 0
    total_usd: Decimal = Decimal(0)
    wasted_usd: Decimal = Decimal(0)
    unknown: int = 0

    @property
    def per_completed_usd(self) -> Decimal | None:
        """None where nothing completed, and where all that is known is that something is not."""
        if not self.completed or (self.unknown and not self.total_usd):
            return None
        return self.total_usd / self.completed

    @property
    def is_at_least(self) -> bool:
        """Whether it may have cost more than what is said."""
        return self.unknown > 0

    @property
    def is_empty(self) -> bool:
        return not (self.completed or self.total_usd or self.unknown)


def spending(
    job_type: JobType, workspaces: Collection[int] | None = None, *, since: datetime
) -> Spending:
    """Of the jobs of a type that settled since then, in these workspaces; None means in all."""
    found = _by_type([job_type.pk], workspaces, since)
    return found.get(job_type.pk, Spending())


def spending_by_type(
    workspace: Workspace | None, *, since: datetime
) -> tuple[tuple[JobType, Spending], ...]:
    """Of every type that settled something since then, the most expensive first."""
    types = {row.pk: row for row in JobType.objects.only("name", "slug")}
    found = _by_type(types, None if workspace is None else [workspace.pk], since)
    ranked = sorted(found.items(), key=lambda item: (-item[1].total_usd, types[item[0]].name))
    return tuple((types[pk], spent) for pk, spent in ranked if not spent.is_empty)


def _by_type(
    types: Collection[int], workspaces: Collection[int] | None, since: datetime
) -> Mapping[int, Spending]:
    """Three queries. The index on a type's settled jobs begins with type and workspace, so all of
    both are named."""
    if workspaces is None:
        workspaces = list(Workspace.objects.values_list("pk", flat=True))
    settled = Job.objects.filter(
        job_type__in=list(types), workspace__in=workspaces, settled_at__gte=since
    ).order_by()
    completed: dict[int, int] = defaultdict(int)
    total: dict[int, Decimal] = defaultdict(Decimal)
    wasted: dict[int, Decimal] = defaultdict(Decimal)
    unknown: dict[int, int] = defaultdict(int)

    def charge(job_type: int, status: str, usd: Decimal | None) -> None:
        total[job_type] += usd or 0
        if status != Status.COMPLETED:
            wasted[job_type] += usd or 0

    groups = settled.values_list("job_type", "status")
    for job_type, status, number, usd in groups.annotate(n=Count("*"), usd=Sum("cost_usd")):
        completed[job_type] += number if status == Status.COMPLETED else 0
        charge(job_type, status, usd)
    # One of which nothing was ever sent cost nothing, whatever its row says. Of the others, what is
    # known counts.
    sent = Turn.objects.filter(attempt__job=OuterRef("pk"), sent_at__isnull=False)
    in_doubt = groups.filter(Q(started_at__isnull=False) | Exists(sent), cost_usd=None)
    for job_type, status, number, usd in in_doubt.annotate(
        n=Count("pk", distinct=True), usd=Sum("attempts__turns__cost_usd")
    ):
        unknown[job_type] += number
        charge(job_type, status, usd)
    for job_type, status, usd in _followed(settled):
        wasted[job_type] += (usd or 0) if status == Status.COMPLETED else 0
    return {
        pk: Spending(completed[pk], _exact(total[pk]), _exact(wasted[pk]), unknown[pk])
        for pk in {*completed, *unknown}
    }


def _exact(usd: Decimal) -> Decimal:
    """SQLite adds in floating point."""
    return usd.quantize(Decimal("0.000001"))


def _followed(settled: QuerySet[Job]) -> QuerySet[Attempt, tuple[int, str, Decimal | None]]:
    """By type and status, what attempts cost that another one followed. The status is not asked for:
    SQLite would go by it, through all that has ever completed."""
    again = Attempt.objects.filter(job=OuterRef("pk"), number=2)
    later = Attempt.objects.filter(job=OuterRef("job"), number__gt=OuterRef("number"))
    retried = settled.filter(Exists(again)).values("pk")
    attempts = Attempt.objects.filter(Exists(later), job__in=retried).order_by()
    return attempts.values_list("job__job_type", "job__status").annotate(usd=Sum("turns__cost_usd"))
