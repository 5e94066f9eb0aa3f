"""Lists of what left, what waits to leave and what did not arrive."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from django.db.models import Case, Max, QuerySet, When
from django.urls import reverse

from jobs.models import Job, Workspace
from jobs.operations import snapshot
from jobs.operations.health import Finding, Level
from jobs.operations.snapshot import Counted
from reviews.models import Delivery, DeliveryState, Endpoint

#: Rows of a page.
PAGE = 50
#: How far deliveries are counted.
MOST_COUNTED = 1_000


@dataclass(frozen=True)
class Tab:
    """`states` are those that it shows; `count` says how many there are, "1,000+" for more."""

    slug: str
    label: str
    states: tuple[DeliveryState, ...]
    count: str = ""


TABS = (
    Tab("dead", "Not delivered", (DeliveryState.DEAD,)),
    Tab("waiting", "On their way", (DeliveryState.WAITING, DeliveryState.SENDING)),
    Tab("delivered", "Delivered", (DeliveryState.DELIVERED,)),
    Tab("ended", "Stopped or dropped", (DeliveryState.STOPPED, DeliveryState.DROPPED)),
)


@dataclass(frozen=True)
class Page:
    """Deliveries, newest first; `older` is the cursor of those after them, or ""."""

    tab: Tab
    tabs: Sequence[Tab]
    rows: Sequence[Delivery]
    older: str


def page(workspace: Workspace, slug: str = "", *, before: str = "") -> Page:
    tabs = [Tab(tab.slug, tab.label, tab.states, _counted(_rows(workspace, tab))) for tab in TABS]
    tab = next((tab for tab in tabs if tab.slug == slug), tabs[0])
    rows = _rows(workspace, tab).select_related("job", "endpoint")
    if edge := _id(before):
        rows = rows.filter(pk__lt=edge)
    found = list(rows.order_by("-id").defer("facts")[: PAGE + 1])
    older = str(found[PAGE - 1].pk) if len(found) > PAGE else ""
    return Page(tab, tabs, found[:PAGE], older)


def failing(workspace: Workspace) -> QuerySet[Endpoint]:
    """The endpoints that fail at the moment or are switched off, the worst first."""
    ours = Endpoint.objects.filter(workspace=workspace)
    return ours.exclude(failures=0, enabled=True).order_by("-failures")


def dead_in(workspace: Workspace | None) -> Counted:
    """How many were given up and wait for an operator, in all workspaces for None."""
    rows = Delivery.objects.filter(state=DeliveryState.DEAD)
    if workspace is not None:
        # Inside a CASE, or all jobs of the workspace might be read.
        ours = Case(When(job__workspace=workspace, then=True), default=False)
        rows = rows.alias(ours=ours).filter(ours=True)
    return snapshot.counted(rows.order_by()[: snapshot.MOST + 1].count())


def findings(workspace: Workspace | None) -> list[Finding]:
    """What those on call are told of: deliveries that were given up."""
    dead = dead_in(workspace)
    if not dead:
        return []
    one = dead.number == 1
    if workspace is None:
        url = f"{reverse('admin:reviews_delivery_changelist')}?state__exact={DeliveryState.DEAD}"
    else:
        url = reverse("reviews:deliveries", args=[workspace.slug])
    return [
        Finding(
            "not_delivered",
            Level.ATTENTION,
            "One delivery was not made." if one else f"{dead} deliveries were not made.",
            "Read why, then retry or drop it." if one else "Read why, then retry or drop each.",
            url=url,
        )
    ]


def of_job(job: Job) -> list[Delivery]:
    """Those of the job's last completion that planned any, in the order of its routes."""
    last = job.deliveries.aggregate(last=Max("completion"))["last"]
    if last is None:
        return []
    rows = job.deliveries.filter(completion=last).select_related("endpoint")
    return list(rows.order_by("id").defer("facts")[:PAGE])


def _rows(workspace: Workspace, tab: Tab) -> QuerySet[Delivery]:
    return Delivery.objects.of(workspace).filter(state__in=tab.states)


def _counted(rows: QuerySet[Delivery]) -> str:
    number = rows.order_by()[: MOST_COUNTED + 1].count()
    return f"{MOST_COUNTED:,}+" if number > MOST_COUNTED else f"{number:,}"


def _id(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
