"""The page of those on call."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from django.views.decorators.vary import vary_on_headers

from jobs.access import may_operate
from jobs.models import Status, Workspace
from jobs.operations.charts import Chart, Point, layered, nice_seconds, stacked
from jobs.operations.overview import Numbers, overview
from jobs.operations.trends import Durations, Settled
from jobs.pages import person, workspace_or_404
from jobs.templatetags.jobsite import duration, money

#: From the ground up.
OUTCOMES = [Status.COMPLETED, Status.CANCELED, Status.EXPIRED, Status.FAILED]


@require_safe
def operations(request: HttpRequest, workspace: str) -> HttpResponse:
    place = workspace_or_404(request, workspace)
    if not may_operate(person(request), place):
        raise PermissionDenied
    return _page(request, place)


@require_safe
def operations_all(request: HttpRequest) -> HttpResponse:
    if not person(request).is_superuser:
        raise PermissionDenied
    return _page(request, None)


@never_cache
@vary_on_headers("HX-Request")
def _page(request: HttpRequest, workspace: Workspace | None) -> HttpResponse:
    """The whole page, or only the part of it that goes on being renewed."""
    now = timezone.now()
    seen = overview(workspace, now=now)
    name = "jobs/operations.html" + ("#live" if request.headers.get("HX-Request") else "")
    context = {
        "workspace": workspace,
        "seen": seen,
        "late": seen.pulse.late_by(now),
        "outcomes": OUTCOMES,
        "hours": [
            (hour.at, [hour.by_status.get(s, 0) for s in OUTCOMES]) for hour in seen.numbers.hours
        ],
        **_charts(seen.numbers),
    }
    return render(request, name, context)


def _charts(numbers: Numbers) -> dict[str, Chart]:
    return {
        "throughput": throughput(numbers.hours),
        "spend": spend(numbers.days),
        "speed": speed(numbers.durations),
    }


def throughput(hours: Sequence[Settled]) -> Chart:
    totals = {s: sum(hour.by_status.get(s, 0) for hour in hours) for s in OUTCOMES}
    points = [
        Point(
            _hour(hour.at),
            f"{_hour(hour.at)} UTC: {_outcomes(hour.by_status) or 'nothing'}",
            [(f"bar-{status}", hour.by_status.get(status, 0)) for status in OUTCOMES],
        )
        for hour in hours
    ]
    said = f"Settled jobs per hour, the last {len(hours)} hours: {_outcomes(totals) or 'none'}."
    return stacked(points, said=said)


def _outcomes(numbers: Mapping[Status, int]) -> str:
    told = [s for s in OUTCOMES if numbers.get(s)]
    return ", ".join(f"{numbers[status]:,} {status.label.lower()}" for status in told)


def spend(days: Sequence[Settled]) -> Chart:
    points = []
    for day in days:
        unknown = f", and {day.unknown} of unknown cost" if day.unknown else ""
        says = f"{day.at:%a %d %b}: {money(day.usd)} for {day.total:,} jobs{unknown}"
        points.append(Point(f"{day.at:%d %b}", says, [("bar-spend", float(day.usd))]))
    total = money(sum(day.usd for day in days))
    return stacked(points, said=f"Cost per day, the last {len(days)} days: {total} in all.")


def speed(durations: Durations) -> Chart:
    points = []
    for at, took in durations.by_hour:
        says = f"{_hour(at)} UTC: nothing was measured"
        if took.number:
            half, most = duration(took.median), duration(took.most)
            says = f"{_hour(at)} UTC: half within {half}, nine in ten within {most}"
        values = [("bar-most", took.most or 0), ("bar-median", took.median or 0)]
        points.append(Point(_hour(at), says, values))
    slowest = max((took.most or 0 for _at, took in durations.by_hour), default=0)
    said = "From asked to answered, by the hour of asking: half stayed under the first, nine in ten under the second."
    return layered(points, said=said, top=nice_seconds(slowest))


def _hour(at: datetime) -> str:
    return f"{at:%H}:00"
