"""Following up: a question about the result of a completed job."""

import uuid

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_http_methods

from jobs import following, forecast
from jobs.access import Action, NotAllowed, NotNow, readable_results, require
from jobs.forms import FollowUpForm
from jobs.inputs import BadInput
from jobs.models import Job
from jobs.pages import job_or_404, person
from jobs.rendering import section_names


@require_http_methods(["GET", "HEAD", "POST"])
def job_follow_up(request: HttpRequest, ref: str) -> HttpResponse:
    """The form for a question, about ``?section=`` if it names one; by POST, a job of its own."""
    job = job_or_404(request, ref)
    try:
        require(person(request), job, Action.FOLLOW_UP)
        result = readable_results(person(request), job).filter(deliverable=True).first()
        form = FollowUpForm(
            following.follow_up_type(job.workspace),
            request.POST if request.method == "POST" else None,
            sections=section_names(result.as_judged()) if result else [],
            section=request.GET.get("section", ""),
        )
        return _ask(request, job, form) if form.is_bound else _page(request, job, form)
    except (NotAllowed, NotNow) as error:
        return _refused(request, job, error)


def _ask(request: HttpRequest, job: Job, form: FollowUpForm) -> HttpResponse:
    key = _key(request)
    if not form.is_valid():
        return _page(request, job, form, key=key, status=422)
    try:
        asked = following.follow_up(
            job,
            requester=person(request),
            question=str(form.input.get("question", "")),
            section=str(form.input.get("section", "")),
            idempotency_key=key,
            now=timezone.now(),
        )
    except BadInput as error:
        form.refuse(error.problems)
        return _page(request, job, form, key=key, status=422)
    if not asked.same_request:
        return _page(request, job, form, known=asked.job, status=409)
    messages.success(request, f"Asked as {asked.job.ref}.")
    return HttpResponseRedirect(asked.job.get_absolute_url(), status=303)


def _page(
    request: HttpRequest,
    job: Job,
    form: FollowUpForm,
    *,
    key: str = "",
    known: Job | None = None,
    status: int = 200,
) -> HttpResponse:
    """The form. Its `key` lets it make one job however often it is sent; `known` is the job that it
    made with another question."""
    terms = following.terms(job, form.job_type)
    shown = {
        "job": job,
        "form": form,
        "key": key or uuid.uuid4(),
        "known": known,
        "promise": terms.lane.promise,
        "review": terms.review.promise,
        "typical": forecast.typical(form.job_type.pk),
        "cost": forecast.usual_cost(form.job_type.pk),
    }
    return render(request, "jobs/follow_up.html", shown, status=status)


def _refused(request: HttpRequest, job: Job, error: NotAllowed | NotNow) -> HttpResponse:
    """403 or 409, with why, and with what was typed: it must not be lost."""
    forbidden = isinstance(error, NotAllowed)
    shown = {
        "job": job,
        "why": str(error),
        "forbidden": forbidden,
        "note": request.POST.get("input-question", ""),
    }
    return render(request, "reviews/refused.html", shown, status=403 if forbidden else 409)


def _key(request: HttpRequest) -> str:
    try:
        return str(uuid.UUID(request.POST.get("key", "")))
    except ValueError:
        return str(uuid.uuid4())
