"""What waits for a decision, and what was decided."""

from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_safe
from django.views.decorators.vary import vary_on_headers

from jobs.access import may_review, may_see_reviews
from jobs.models import User, Workspace
from jobs.pages import person, workspace_or_404
from reviews import history, inbox, saved
from reviews.bulk_words import offer_of
from reviews.history import Cursor
from reviews.inbox import Place, Tab
from reviews.models import SavedView
from reviews.preflight import AT_ONCE, OFFERED
from reviews.views.filters import FilterForm


@require_safe
@vary_on_headers("HX-Request")
def review_inbox(request: HttpRequest, workspace: str) -> HttpResponse:
    """What waits for a decision, soonest due first; or what was decided, latest first."""
    place = inbox_or_403(request, workspace)
    if "" in request.GET.values():
        return redirect(_without_blanks(request))
    form = FilterForm(request.GET, workspace=place)
    context = _found(request, place, form)
    if "HX-Request" in request.headers:
        return render(request, "reviews/inbox.html#waiting", context | {"renewed": True})
    form.reasons = inbox.reasons(place)
    return render(request, "reviews/inbox.html", context | _around(request, place, form))


def inbox_or_403(request: HttpRequest, slug: str) -> Workspace:
    """The workspace, for those who may look at all that waits there."""
    place = workspace_or_404(request, slug)
    if not may_see_reviews(person(request), place):
        raise PermissionDenied("What waits for review is for those who review it.")
    return place


def _found(request: HttpRequest, place: Workspace, form: FilterForm) -> dict[str, Any]:
    """The rows, and what stands with them."""
    user, now, decides = person(request), timezone.now(), may_review(person(request), place)
    counts = inbox.counts(user, place, everyone=not decides, now=now)
    context: dict[str, Any] = {
        "workspace": place,
        "form": form,
        "tab": form.on,
        "tabs": [(tab, counts[tab]) for tab in Tab],
        "reviews": decides,
        "path": request.get_full_path(),
        "query": form.query,
        "after": "",
        "offered": [offer_of(ruling) for ruling in OFFERED] if decides else [],
        "most": AT_ONCE,
    }
    if not form.is_valid():
        return context
    reader: type[Cursor | Place] = Cursor if form.on is Tab.HISTORY else Place
    asked = request.GET.get("after", "")
    context["after"] = asked if reader.read(asked) else ""
    context["lost"] = asked and not context["after"]
    if form.on is Tab.HISTORY:
        said = form.cleaned_data
        entries = history.page(
            place, person=said["person"], ruling=said["ruling"] or None, after=context["after"]
        )
        return context | {"page": entries, "narrow": bool(said["person"] or said["ruling"])}
    wanted = form.wanted(decides=decides, after=context["after"])
    shown = inbox.page(user, place, wanted, now=now)
    return context | {
        "page": shown,
        "wanted": wanted,
        "narrow": wanted.is_narrow,
        "matching": _how_many(request, place, wanted, shown),
        "elsewhere": _elsewhere(user, place, wanted),
    }


def _elsewhere(user: User, place: Workspace, wanted: inbox.Wanted) -> inbox.Elsewhere | None:
    """Said where the page shows only what waits for this person."""
    if wanted.everyone or wanted.tab is not Tab.WAITING:
        return None
    return inbox.elsewhere(user, place)


def _how_many(
    request: HttpRequest, place: Workspace, wanted: inbox.Wanted, shown: inbox.Page
) -> int:
    """How many match in all, up to one more than are looked over at once; 0 where they are all here."""
    if not shown.next and not wanted.after:
        return 0
    every = inbox.matching(person(request), place, wanted, now=timezone.now())
    return inbox.count(every, AT_ONCE + 1)


def _around(request: HttpRequest, place: Workspace, form: FilterForm) -> dict[str, Any]:
    """What is drawn once, around the rows: one's saved views, and which of them this is."""
    user = person(request)
    views = saved.views(user, place)
    return {
        "views": views,
        "current": next((view for view in views if view.query == form.query), None),
        "changed": _view_of(request, views),
    }


def _view_of(request: HttpRequest, views: Any) -> SavedView | None:
    """The view that the address came from."""
    asked = request.GET.get("view", "")
    return next((view for view in views if str(view.pk) == asked), None)


def _without_blanks(request: HttpRequest) -> str:
    """The address without what it asks nothing of: a form sends its empty fields as well."""
    asked: QueryDict = request.GET.copy()
    for name in list(asked):
        asked.setlist(name, [value for value in asked.getlist(name) if value])
    query = asked.urlencode()
    return f"{request.path}?{query}" if query else request.path
