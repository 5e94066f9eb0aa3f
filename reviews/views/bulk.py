"""Many jobs at once: looked over, begun, followed, stopped."""

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_POST, require_safe
from django.views.decorators.vary import vary_on_headers

from jobs.access import NotNow, deciders, may_review
from jobs.ids import read_ref
from jobs.models import Workspace
from jobs.pages import person
from jobs.text import clean
from reviews import bulk as bulk_actions
from reviews import preflight
from reviews.bulk_words import lines, offer_for, offer_of, shared_counts
from reviews.inbox import Tab
from reviews.models import BulkAction, BulkState, Outcome, Ruling
from reviews.notes import NoteMissing
from reviews.views.filters import FilterForm
from reviews.views.inbox import inbox_or_403

#: Items that a page names: before it begins, and of each kind afterwards.
SAMPLES = 10
MOST_NAMED = 100
RECENT = 50


@require_POST
def bulk_plan(request: HttpRequest, workspace: str) -> HttpResponse:
    """Look over the jobs that were ticked, or all that match, before anything is decided."""
    place = _for_judges(request, workspace)
    query = str(clean(request.POST.get("query", "")))[:4_000]
    back = reverse("reviews:inbox", args=[place.slug])
    form = FilterForm(QueryDict(query), workspace=place)
    everything, ruling = bool(request.POST.get("all")), request.POST.get("ruling", "")
    waits = form.is_valid() and form.on is not Tab.HISTORY
    if not waits or ruling not in Ruling.values:
        messages.error(request, "Nothing was chosen that could be done.")
        return redirect(back)
    chosen = request.POST.getlist("job")
    if ruling == Ruling.REASSIGN and "assignee" not in request.POST and (everything or chosen):
        return _whom(request, place, form.query)
    try:
        action = preflight.plan(
            person(request),
            place,
            Ruling(ruling),
            chosen=[preflight.Chosen.read(text) for text in chosen],
            wanted=form.wanted(decides=True) if everything else None,
            query=form.query,
            assignee=request.POST.get("assignee", ""),
            now=timezone.now(),
        )
    except preflight.NotPlanned as error:
        messages.warning(request, str(error))
        return redirect(f"{back}?{form.query}" if form.query else back)
    return redirect(action)


@require_safe
def bulk_list(request: HttpRequest, workspace: str) -> HttpResponse:
    """What this person has done in bulk, the latest first."""
    place = inbox_or_403(request, workspace)
    mine = BulkAction.objects.filter(person=person(request), workspace=place)
    latest = mine.select_related("assignee").order_by("-id")[:RECENT]
    actions = [(action, bulk_actions.tally(action)) for action in latest]
    return render(request, "reviews/bulk_list.html", {"workspace": place, "actions": actions})


@require_safe
@vary_on_headers("HX-Request")
def bulk_detail(request: HttpRequest, workspace: str, bulk: str) -> HttpResponse:
    """What would be done, before it begins; then how far it is, and what it did."""
    return _shown(request, _own(request, workspace, bulk))


@require_POST
def bulk_start(request: HttpRequest, workspace: str, bulk: str) -> HttpResponse:
    action, note = _own(request, workspace, bulk), request.POST.get("note", "")
    try:
        bulk_actions.start(action, person(request), note=note, now=timezone.now())
    except NoteMissing as error:
        return _shown(request, action, problem=str(error), note=note, status=422)
    except NotNow as error:
        messages.warning(request, str(error))
    return redirect(action)


@require_POST
def bulk_stop(request: HttpRequest, workspace: str, bulk: str) -> HttpResponse:
    action = _own(request, workspace, bulk)
    try:
        bulk_actions.stop(action, now=timezone.now())
        messages.success(request, "Stopped. What is done is done; the others are as they were.")
    except NotNow as error:
        messages.warning(request, str(error))
    return redirect(action)


def _shown(
    request: HttpRequest,
    action: BulkAction,
    *,
    problem: str = "",
    note: str = "",
    status: int = 200,
) -> HttpResponse:
    if action.state == BulkState.LOOKING:
        return _looking(request, action)
    planned, tally = action.state == BulkState.PLANNED, bulk_actions.tally(action)
    if "HX-Request" in request.headers and planned:
        # It was being looked over, and is now.
        return HttpResponse(headers={"HX-Refresh": "true"})
    items = action.items.select_related("job__job_type", "job__requester", "decision")
    items = items.defer("job__input")
    more = {}
    if tally.partial:
        partial = action.items.filter(decision__partial=True).select_related("decision")
        more = bulk_actions.more_needed(partial)
    context = {
        "action": action,
        "workspace": action.workspace,
        "tally": tally,
        "not_done": tally.not_done,
        "shared": shared_counts(more),
        "done": lines(items.filter(outcome=Outcome.DONE)[:MOST_NAMED], more),
        "refused": lines(items.filter(outcome=Outcome.REFUSED)[:MOST_NAMED], {}),
        "offer": offer_for(action),
        "path": request.path,
    }
    if "HX-Request" in request.headers:
        return render(request, "reviews/bulk_progress.html#progress", context)
    if not planned:
        return render(request, "reviews/bulk_progress.html", context)
    samples = list(items.filter(outcome=Outcome.PENDING)[:SAMPLES])
    approves = action.ruling == Ruling.APPROVE
    context |= {
        "samples": lines(samples, bulk_actions.more_needed(samples) if approves else {}),
        "caution": bulk_actions.caution(action),
        "most": preflight.MOST,
        "stale": timezone.now() - action.created_at > bulk_actions.PLAN_LASTS,
        "problem": problem,
        "note": note,
    }
    return render(request, "reviews/bulk_plan.html", context, status=status)


def _looking(request: HttpRequest, action: BulkAction) -> HttpResponse:
    """How far the looking over of many is."""
    number = action.items.count()
    context = {
        "action": action,
        "workspace": action.workspace,
        "offer": offer_for(action),
        "path": request.path,
        "number": number,
        "looked": number - action.items.filter(outcome=Outcome.NEW).count(),
    }
    template = "reviews/bulk_looking.html"
    if "HX-Request" in request.headers:
        template = f"{template}#looking"
    return render(request, template, context)


def _whom(request: HttpRequest, place: Workspace, query: str) -> HttpResponse:
    """Ask to whom the reviews are given, before they are looked over."""
    context = {
        "workspace": place,
        "offer": offer_of(Ruling.REASSIGN),
        "people": deciders(place),
        "jobs": request.POST.getlist("job"),
        "everything": bool(request.POST.get("all")),
        "query": query,
    }
    return render(request, "reviews/bulk_whom.html", context)


def _for_judges(request: HttpRequest, workspace: str) -> Workspace:
    place = inbox_or_403(request, workspace)
    if not may_review(person(request), place):
        raise PermissionDenied("Deciding in bulk is for those who review.")
    return place


def _own(request: HttpRequest, workspace: str, ref: str) -> BulkAction:
    place = inbox_or_403(request, workspace)
    mine = BulkAction.objects.select_related("workspace", "person", "assignee")
    action = mine.filter(workspace=place, person=person(request), ref=read_ref(ref, "B")).first()
    if action is None:
        raise Http404(f"There is no {ref} of yours.")
    return action
