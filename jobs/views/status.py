"""The status page: everything about one job, live while it is."""

import hashlib
from typing import Any

from django.db.models import Max
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_safe

from jobs import forecast
from jobs.access import Action, allowed_actions, may_submit, readable_results
from jobs.models import Attempt, GateKind, Job, Result, Status, SweepSlot
from jobs.pages import job_or_404, person
from jobs.rendering import ResultView, result_view
from jobs.standing import HEART_STOPPED, standing, steps

#: Seconds between two looks of an open page.
LOOKS = {Status.QUEUED: 2, Status.RUNNING: 2, Status.NEEDS_REVIEW: 5}
#: Lines of the history that a page shows; a job with more has been retried many times.
MOST_EVENTS = 200


@require_safe
def job_detail(request: HttpRequest, ref: str) -> HttpResponse:
    """The page of a job. Safe to reload, to bookmark and to leave."""
    job = job_or_404(request, ref)
    return render(request, "jobs/job_detail.html", _shown(request, job))


@require_safe
def job_live(request: HttpRequest, ref: str) -> HttpResponse:
    """What of the page may have changed: 204 where it looks as in the version ``v``."""
    job = job_or_404(request, ref)
    if request.GET.get("v") == _version(job):
        return HttpResponse(status=204)
    return render(request, "jobs/job_detail.html#live", _shown(request, job))


def _shown(request: HttpRequest, job: Job) -> dict[str, Any]:
    user, now = person(request), timezone.now()
    may = allowed_actions(user, job)
    attempts = list(job.attempts.order_by("number").prefetch_related("turns"))
    events = list(job.events.order_by("-seq")[:MOST_EVENTS])[::-1]
    result = readable_results(user, job).first()
    return {
        "job": job,
        "now": now,
        "version": _version(job),
        "look_every": LOOKS.get(Status(job.status)),
        "standing": standing(
            job,
            attempt=attempts[-1] if attempts else None,
            gate=job.open_gate,
            events=events,
            heartbeat=SweepSlot.objects.aggregate(at=Max("beat_at"))["at"],
            now=now,
        ),
        "steps": steps(
            job, job.open_gate, reviewed=job.gates.filter(kind=GateKind.OUTPUT).exists()
        ),
        "typical": forecast.typical(job.job_type_id),
        "took": job.settled_at - job.created_at if job.settled_at else None,
        "attempts": attempts if may[Action.INSPECT].allowed else [],
        "tries": len(attempts),
        "events": events,
        "inputs": job.titled_input(),
        "documents": job.documents.defer("text"),
        "result": result,
        "view": _view(job, result) if result else None,
        "inspects": may[Action.INSPECT].allowed,
        "may_submit": may_submit(user, job.workspace),
        "is_requester": job.requester_id == user.pk,
    }


def _view(job: Job, result: Result) -> ResultView:
    citations = result.citations.select_related("document").defer("document__text", "raw")
    return result_view(job, result, citations=citations, files=result.files.all())


def _version(job: Job) -> str:
    """Changes with whatever a page shows of the job, clocks aside."""
    attempt = Attempt.objects.filter(job=job).order_by("-number").first()
    beat = SweepSlot.objects.aggregate(at=Max("beat_at"))["at"]
    working = beat is not None and timezone.now() - beat < HEART_STOPPED
    gate = job.open_gate
    said = [
        job.event_count,
        job.status,
        job.progress_message,
        job.reason_text,
        job.cost_usd,
        attempt and (attempt.number, attempt.state, attempt.last_heard_at, attempt.next_check_at),
        gate and (gate.pk, gate.level, gate.due_at, gate.due_at < timezone.now()),
        working,
    ]
    return hashlib.sha256(repr(said).encode()).hexdigest()[:16]
