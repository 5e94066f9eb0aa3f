"""One door for every ruling."""

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_http_methods

from jobs.access import Action, NotAllowed, NotNow, may_decide, require
from jobs.calls import BadVerdict
from jobs.edits import BadEdit
from jobs.inputs import BadInput
from jobs.models import Job
from jobs.pages import job_or_404, person
from reviews import inbox, offers
from reviews.actions import decide
from reviews.callcards import verdicts
from reviews.desk import case
from reviews.edits import Changes, EditCard, card, edited, of_typed
from reviews.forms import NoteForm, ReassignForm, RulingForm, ruling_form
from reviews.models import Ruling
from reviews.notes import NoteMissing
from reviews.passes import Way
from reviews.views.desk import desk, inspects, refused


@require_http_methods(["GET", "HEAD", "POST"])
def job_decide(request: HttpRequest, ref: str, ruling: Ruling) -> HttpResponse:
    """Any ruling: asked for on its own page, carried out by POST."""
    job = job_or_404(request, ref)
    user = person(request)
    form = _form(request, job, ruling)
    try:
        if _only_asks(request) or not form.is_valid():
            # The page shows what waits.
            require(user, job, Action(ruling.value))
        else:
            said = verdicts(job.open_gate, request.POST) if ruling is Ruling.APPROVE else {}
            edit = edited(job, request.POST) if ruling is Ruling.APPROVE else None
            decide(job.pk, form.ask(user, timezone.now(), said, edit))
            return _onwards(request, job, ruling)
    except (NotAllowed, NotNow) as error:
        return refused(request, job, error, ruling)
    except BadVerdict as error:
        return desk(request, job, NoteForm(), problems=error.problems)
    except BadEdit as error:
        return desk(request, job, NoteForm(), bad_edit=error.problems)
    except NoteMissing as error:
        form.add_error("note", str(error))
    except BadInput as error:
        form.add_error(error.problems[0].field, error.problems[0].text)
    return _confirm(request, job, form)


def _form(request: HttpRequest, job: Job, ruling: Ruling) -> RulingForm:
    if request.method == "POST":
        return ruling_form(ruling, request.POST)
    seen = job.open_gate.content_hash if job.open_gate else ""
    level = job.open_gate.level if job.open_gate else None
    following = request.GET.get("next", "")
    initial = {"content_hash": seen, "level": level, "next": following}
    return ruling_form(ruling, initial=initial)


def _confirm(request: HttpRequest, job: Job, form: RulingForm) -> HttpResponse:
    if isinstance(form, ReassignForm) and job.open_gate:
        form.offer(may_decide(job), person(request), job.open_gate.assignee)
    edit, changes = None, None
    if form.ruling is Ruling.APPROVE:
        edit, changes = _preview(request, job)
    context = {
        "job": job,
        "form": form,
        "offer": offers.offers(person(request), job, [form.ruling])[0],
        "consequence": offers.consequence(form.ruling, job),
        "back": _back(request, job),
        "case": case(job, typed=request.POST) if inspects(request, job) and job.open_gate else None,
        # What stands there is what is approved, so it is sent along.
        "approves": form.ruling is Ruling.APPROVE,
        "edit": edit,
        "changes": changes,
    }
    status = 200 if _only_asks(request) else 422
    return render(request, "reviews/decide.html", context, status=status)


def _preview(request: HttpRequest, job: Job) -> tuple[EditCard | None, Changes | None]:
    """The fields as they were filled in, and what would be approved instead of what waits."""
    try:
        text = edited(job, request.POST)
        return card(job, typed=request.POST), of_typed(job, text) if text is not None else None
    except BadEdit as error:
        return card(job, typed=request.POST, problems=error.problems), None


def _only_asks(request: HttpRequest) -> bool:
    """Whether nothing is decided yet: the ruling's page is opened, or the review page leads to it
    with what was typed there ("words": where nothing was)."""
    asks = request.POST.get("ask")
    if asks == "words":
        return not request.POST.get("note", "").strip()
    return request.method != "POST" or asks is not None


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


def _back(request: HttpRequest, job: Job) -> str:
    """Where leaving it as it is leads: from the review page, back to it and not on from it."""
    following = _next(request)
    path, _, query = following.partition("?")
    if path == reverse("reviews:job_next", args=[job.ref]):
        return Way.read(QueryDict(query)).to(job)
    return following or job.get_absolute_url()


def _next(request: HttpRequest) -> str:
    """Where the person wants to go on, if it is within this site."""
    given: Any = request.POST.get("next") or request.GET.get("next", "")
    within = url_has_allowed_host_and_scheme(
        given, allowed_hosts={request.get_host()}, require_https=request.is_secure()
    )
    # A word alone would be looked up as the name of a page.
    return str(given) if within and given.startswith("/") else ""
