"""The review page, the way from one to the next, and the notes on it."""

from collections.abc import Mapping, Sequence

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_POST, require_safe

from jobs.access import Action, NotAllowed, NotNow, allowed_actions, may_review, may_see_reviews
from jobs.edits import Problem
from jobs.models import Job, Workspace
from jobs.pages import job_or_404, person, workspace_or_404
from reviews import claims, inbox, mentions, offers
from reviews.actions import NotLooked
from reviews.callcards import typed_arguments
from reviews.desk import case, evidence_rows, hold, standing, verbs
from reviews.edits import card, typed_text
from reviews.forms import NoteForm, reason_groups
from reviews.inbox import Wanted
from reviews.models import Decision, Ruling
from reviews.notes import NoteMissing, write_note
from reviews.passes import Way
from reviews.views.filters import FilterForm


@require_safe
def job_review(request: HttpRequest, ref: str) -> HttpResponse:
    """What to judge, what it rests on, and the verbs."""
    job = job_or_404(request, ref)
    return desk(request, job, NoteForm())


@require_safe
def job_next(request: HttpRequest, ref: str) -> HttpResponse:
    """On to the next review that nobody else has open, or to the end of the pass."""
    job, user = job_or_404(request, ref), person(request)
    if not inspects(request, job):
        return refused(request, job, NotAllowed("What waits for review is for those who review."))
    way = Way.read(request.GET)
    wanted = wanted_on(way, job.workspace)
    coming = inbox.after(user, job.workspace, wanted, way.at, timezone.now())
    way = way.past(job)
    return redirect(way.to(coming) if coming else way.over(job.workspace))


@require_safe
def pass_over(request: HttpRequest, workspace: str) -> HttpResponse:
    """The end of a pass: all done, or what was left out on the way."""
    found, user, now = workspace_or_404(request, workspace), person(request), timezone.now()
    if not may_see_reviews(user, found):
        raise PermissionDenied("What waits for review is for those who review it.")
    way = Way.read(request.GET)
    today = now.replace(hour=0, minute=0, second=0, microsecond=0)
    made = Decision.objects.filter(actor=user, workspace=found, at__gte=today)
    wanted = wanted_on(way, found)
    left = inbox.after(user, found, wanted, way.at, now) if may_review(user, found) else None
    context = {
        "workspace": found,
        "left": Way(queue=way.queue).to(left) if left else "",
        "today": made[: inbox.MOST_COUNTED].count(),
        "most": inbox.MOST_COUNTED,
        "back_url": way.back,
        "queue_url": way.inbox(found),
    }
    return render(request, "reviews/pass_over.html", context)


@require_POST
def note_write(request: HttpRequest, ref: str) -> HttpResponse:
    job = job_or_404(request, ref)
    form = NoteForm(request.POST)
    try:
        if form.is_valid():
            write_note(
                job, author=person(request), text=form.cleaned_data["text"], now=timezone.now()
            )
            messages.success(request, "Your note is saved.")
            return redirect(Way.read(request.GET).to(job) + "#notes")
    except NotAllowed as error:
        return refused(request, job, error)
    except NoteMissing as error:
        form.add_error("text", str(error))
    return desk(request, job, form)


def desk(
    request: HttpRequest,
    job: Job,
    form: NoteForm,
    problems: Mapping[int, str] | None = None,
    bad_edit: Sequence[Problem] = (),
) -> HttpResponse:
    user, now = person(request), timezone.now()
    may = allowed_actions(user, job)
    if not may[Action.INSPECT].allowed:
        return refused(request, job, NotAllowed(may[Action.INSPECT].why))
    way, shown = way_of(request), case(job, typed=request.POST, problems=problems)
    decides = claims.decides(may)
    on_url = way.on_from(job)
    context = {
        "job": job,
        "case": shown,
        "note": request.POST.get("note", ""),
        "edit": card(job, typed=request.POST, problems=bad_edit)
        if may[Action.APPROVE].allowed
        else None,
        "reasons": reason_groups(
            ruling for ruling in offers.ORDER if may[Action(ruling.value)].allowed
        ),
        "reason": request.POST.get("reason", ""),
        "seconds": _seconds(request),
        "verbs": verbs(user, job, now=now),
        "hold": hold(user, job, now=now, decides=decides),
        "decides": decides,
        "standing": standing(user, job, now=now, decides=decides),
        "renew_every": claims.RENEW_EVERY,
        "evidence": evidence_rows(user, job, shown.result, decides=decides),
        "notes_allowed": may[Action.NOTE].allowed,
        "people": mentions.people(job.workspace) if may[Action.NOTE].allowed else [],
        "rereads": may[Action.RE_EXTRACT].allowed,
        "note_form": form,
        "way": way,
        "position": inbox.position(user, job.workspace, wanted_on(way, job.workspace), job, now)
        if decides or way.trail
        else None,
        "on_url": on_url,
        "back_url": way.back,
        "queue_url": way.inbox(job.workspace),
        "next": on_url if decides else way.inbox(job.workspace),
        "overdue": job.open_gate is not None and job.open_gate.due_at <= now,
    }
    wrong = form.errors or problems or bad_edit
    return render(request, "reviews/job_review.html", context, status=422 if wrong else 200)


def wanted_on(way: Way, workspace: Workspace) -> Wanted:
    """What one goes through: as the inbox was narrowed that one came from."""
    if not way.queue:
        return Wanted()
    form = FilterForm(QueryDict(way.queue), workspace=workspace)
    return form.wanted(decides=True) if form.is_valid() else Wanted()


def way_of(request: HttpRequest) -> Way:
    """Where somebody is in their pass: by the address or, where a form of the review page comes
    back to it, by where that would have led."""
    _path, _, query = request.POST.get("next", "").partition("?")
    return Way.read(QueryDict(query) if query else request.GET)


def _seconds(request: HttpRequest) -> str:
    """The time on screen so far, of a page that is shown again because something was missing."""
    said = request.POST.get("seconds", "")[:6]
    return said if said.isascii() and said.isdecimal() else ""


def refused(
    request: HttpRequest, job: Job, error: NotAllowed | NotNow, ruling: Ruling | None = None
) -> HttpResponse:
    """403 or 409, with why, and with what was typed: it must not be lost."""
    job.refresh_from_db()
    last = job.decisions.select_related("actor").order_by("-id").first()
    following = request.POST.get("next", "")
    goes_on = following.partition("?")[0] == reverse("reviews:job_next", args=[job.ref])
    context = {
        "job": job,
        "why": str(error),
        "forbidden": isinstance(error, NotAllowed),
        "look_first": isinstance(error, NotLooked),
        "first": last if last and last.actor_id != person(request).pk else None,
        "ruling": ruling,
        "note": request.POST.get("note") or request.POST.get("text", ""),
        "typed": typed_text(job, request.POST) if ruling is Ruling.APPROVE else "",
        "arguments": typed_arguments(job, request.POST) if ruling is Ruling.APPROVE else [],
        "inspects": inspects(request, job),
        "on_url": following if goes_on else "",
    }
    status = 403 if isinstance(error, NotAllowed) else 409
    return render(request, "reviews/refused.html", context, status=status)


def inspects(request: HttpRequest, job: Job) -> bool:
    return allowed_actions(person(request), job)[Action.INSPECT].allowed
