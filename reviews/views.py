"""The inbox, the review page, and one door for every ruling."""

from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_http_methods, require_POST, require_safe
from django.views.decorators.vary import vary_on_headers

from jobs.access import (
    Action,
    NotAllowed,
    NotNow,
    allowed_actions,
    may_review,
    require,
    roles_of,
)
from jobs.actions import BadInput
from jobs.models import SEES_ALL, Job, JobType
from jobs.pages import job_or_404, person, workspace_or_404
from jobs.text import clean
from reviews import inbox, offers
from reviews.actions import NoteMissing, NotLooked, decide, write_note
from reviews.desk import case
from reviews.forms import NoteForm, RulingForm, ruling_form
from reviews.models import Ruling


@require_safe
@vary_on_headers("HX-Request")
def review_inbox(request: HttpRequest, workspace: str) -> HttpResponse:
    """What waits for a decision, soonest due first."""
    found = workspace_or_404(request, workspace)
    user, now = person(request), timezone.now()
    if not roles_of(user, found) & SEES_ALL:
        raise PermissionDenied("What waits for review is for those who review it.")
    reviews = may_review(user, found)
    wanted = inbox.Wanted(
        everyone=not reviews or request.GET.get("whose") == "all",
        type_slug=clean(request.GET.get("type", "")),
        ref=request.GET.get("ref", "").strip()[:40],
        after=request.GET.get("after", ""),
    )
    context = {
        "workspace": found,
        "page": inbox.page(user, found, wanted, now=now),
        "wanted": wanted,
        "reviews": reviews,
        "count": inbox.count(user, found, everyone=not reviews),
        "elsewhere": inbox.elsewhere(user, found),
    }
    if "HX-Request" in request.headers:
        return render(request, "reviews/inbox.html#waiting", context)
    context |= {
        "types": JobType.objects.filter(jobs__workspace=found).distinct().order_by("name"),
        "recent": inbox.recent(user, found) if reviews else [],
    }
    return render(request, "reviews/inbox.html", context)


@require_safe
def job_review(request: HttpRequest, ref: str) -> HttpResponse:
    """What to judge, what it rests on, and the verbs."""
    job = job_or_404(request, ref)
    return _desk(request, job, NoteForm())


@require_POST
def note_write(request: HttpRequest, ref: str) -> HttpResponse:
    job = job_or_404(request, ref)
    form = NoteForm(request.POST)
    try:
        if form.is_valid():
            write_note(
                job, author=person(request), text=form.cleaned_data["text"], now=timezone.now()
            )
            messages.success(request, "Your note is kept.")
            return redirect(reverse("reviews:job_review", args=[job.ref]) + "#notes")
    except NotAllowed as error:
        return _refused(request, job, error)
    except NoteMissing as error:
        form.add_error("text", str(error))
    return _desk(request, job, form)


@require_http_methods(["GET", "HEAD", "POST"])
def job_decide(request: HttpRequest, ref: str, ruling: Ruling) -> HttpResponse:
    """Any ruling: asked for on its own page, carried out by POST."""
    job = job_or_404(request, ref)
    user = person(request)
    form = _form(request, job, ruling)
    try:
        if _only_asks(request):
            require(user, job, Action(ruling.value))
        elif form.is_valid():
            decide(job.pk, form.ask(user, timezone.now()))
            return _onwards(request, job, ruling)
    except (NotAllowed, NotNow) as error:
        return _refused(request, job, error, ruling)
    except NoteMissing as error:
        form.add_error("note", str(error))
    except BadInput as error:
        form.add_error("response_id", str(error.problems[0].text))
    return _confirm(request, job, form)


def _form(request: HttpRequest, job: Job, ruling: Ruling) -> RulingForm:
    if request.method == "POST":
        return ruling_form(ruling, request.POST)
    seen = job.open_gate.content_hash if job.open_gate else ""
    following = request.GET.get("next", "")
    return ruling_form(ruling, initial={"content_hash": seen, "next": following})


def _confirm(request: HttpRequest, job: Job, form: RulingForm) -> HttpResponse:
    context = {
        "job": job,
        "form": form,
        "offer": offers.offers(person(request), job, [form.ruling])[0],
        "consequence": offers.consequence(form.ruling, job),
        "back": _next(request) or job.get_absolute_url(),
        "case": case(job) if _inspects(request, job) and job.open_gate else None,
    }
    status = 200 if _only_asks(request) else 422
    return render(request, "reviews/decide.html", context, status=status)


def _only_asks(request: HttpRequest) -> bool:
    """Whether nothing is decided yet: the ruling's page is opened, or the review page leads to it
    with what was typed there ("words": where nothing was)."""
    asks = request.POST.get("ask")
    if asks == "words":
        return not request.POST.get("note", "").strip()
    return request.method != "POST" or asks is not None


def _desk(request: HttpRequest, job: Job, form: NoteForm) -> HttpResponse:
    user = person(request)
    may = allowed_actions(user, job)
    if not may[Action.INSPECT].allowed:
        return _refused(request, job, NotAllowed(may[Action.INSPECT].why))
    context = {
        "job": job,
        "case": case(job),
        "verbs": offers.at_the_desk(user, job),
        "notes_allowed": may[Action.NOTE].allowed,
        "note_form": form,
        "inbox_url": reverse("reviews:inbox", args=[job.workspace.slug]),
        "overdue": job.open_gate is not None and job.open_gate.due_at <= timezone.now(),
    }
    return render(request, "reviews/job_review.html", context, status=422 if form.errors else 200)


def _refused(
    request: HttpRequest, job: Job, error: NotAllowed | NotNow, ruling: Ruling | None = None
) -> HttpResponse:
    """403 or 409, with why, and with what was typed: it must not be lost."""
    job.refresh_from_db()
    last = job.decisions.select_related("actor").order_by("-id").first()
    context = {
        "job": job,
        "why": str(error),
        "forbidden": isinstance(error, NotAllowed),
        "look_first": isinstance(error, NotLooked),
        "first": last if last and last.actor_id != person(request).pk else None,
        "ruling": ruling,
        "note": request.POST.get("note") or request.POST.get("text", ""),
        "inspects": _inspects(request, job),
    }
    status = 403 if isinstance(error, NotAllowed) else 409
    return render(request, "reviews/refused.html", context, status=status)


def _onwards(request: HttpRequest, job: Job, ruling: Ruling) -> HttpResponse:
    """Say what was done, and go on: to the next review for those who came from the inbox."""
    job.refresh_from_db()
    said = offers.done(ruling, job)
    following = _next(request)
    if following == reverse("reviews:inbox", args=[job.workspace.slug]):
        coming = inbox.next_for(person(request), job.workspace)
        if coming:
            url = reverse("reviews:job_review", args=[coming.ref])
            said = format_html('{} Next: <a href="{}">{}</a>.', said, url, coming.ref)
        else:
            said = f"{said} Nothing else waits for you."
    messages.success(request, said)
    return redirect(following or job.get_absolute_url())


def _next(request: HttpRequest) -> str:
    """Where the person wants to go on, if it is within this site."""
    given: Any = request.POST.get("next") or request.GET.get("next", "")
    within = url_has_allowed_host_and_scheme(
        given, allowed_hosts={request.get_host()}, require_https=request.is_secure()
    )
    # A word alone would be looked up as the name of a page.
    return str(given) if within and given.startswith("/") else ""


def _inspects(request: HttpRequest, job: Job) -> bool:
    return allowed_actions(person(request), job)[Action.INSPECT].allowed
