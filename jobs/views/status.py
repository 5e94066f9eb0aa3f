"""The status page: everything about one job, live while it is."""

import hashlib
from typing import Any

from django.db.models import Prefetch, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_safe

from jobs import following, forecast
from jobs.access import Action, allowed_actions, live_rule, may_submit, may_watch, readable_results
from jobs.ballots import missing
from jobs.library import kept_from
from jobs.live import written
from jobs.models import Attempt, Document, GateKind, Job, Live, Result, Status, Turn
from jobs.operations.snapshot import last_beat
from jobs.pages import job_or_404, person
from jobs.rendering import ResultView, draft, result_view
from jobs.reviewing import always_reviewed
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
    # What was sent and answered is long, and not for this page.
    turns = Prefetch("turns", Turn.objects.defer("request", "payload", "late_payload"))
    results = Prefetch("result", Result.objects.only("attempt", "usage", "model", "service_tier"))
    attempts = list(job.attempts.order_by("number").prefetch_related(turns, results))
    events = list(job.events.order_by("-seq")[:MOST_EVENTS])[::-1]
    found = readable_results(user, job).select_related("edit__made_by").first()
    result = found.as_judged() if found else None
    live = written(job) if may_watch(user, job) else None
    asks = may[Action.FOLLOW_UP].allowed and following.find_type(job.workspace)
    ask = reverse("jobs:job_follow_up", args=[job.ref]) if asks else ""
    return {
        "job": job,
        "version": _version(job),
        "look_every": look_every(job),
        "standing": standing(
            job,
            attempt=attempts[-1] if attempts else None,
            gate=job.open_gate,
            events=events,
            heartbeat=last_beat(),
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
        "documents": _documents(job),
        "result": result,
        "view": _view(job, result, ask=ask) if result else None,
        "ask": ask,
        "follow_ups": following.follow_ups(user, job),
        "parent": Job.objects.visible_to(user).filter(follow_ups=job).first(),
        "always_reviewed": always_reviewed(job.ruling_types()),
        "live": live,
        "draft": draft(live.text) if live and not job.prompt_version.output_schema else "",
        "inspects": may[Action.INSPECT].allowed,
        "rereads": may[Action.RE_EXTRACT].allowed,
        "may_keep": may[Action.KEEP].allowed,
        "kept": kept_from(result) if result else None,
        "may_submit": may_submit(user, job.workspace),
    }


def _documents(job: Job) -> QuerySet[Document]:
    documents = job.documents.select_related("library_document__workspace")
    return documents.defer("text", "library_document__text")


def look_every(job: Job) -> int | None:
    """Seconds between two looks of an open page, None where nothing changes any more."""
    if job.status == Status.RUNNING and live_rule(job) != Live.OFF:
        return 1
    return LOOKS.get(Status(job.status))


def _view(job: Job, result: Result, *, ask: str) -> ResultView:
    citations = result.citations.select_related("document").defer("document__text", "raw")
    ask = ask if job.status == Status.COMPLETED and result.deliverable else ""
    return result_view(job, result, citations=citations, files=result.files.all(), ask=ask)


def _version(job: Job) -> str:
    """Changes with whatever a page shows of the job, clocks aside."""
    attempt = Attempt.objects.filter(job=job).order_by("-number").first()
    beat = last_beat()
    working = beat is not None and timezone.now() - beat < HEART_STOPPED
    gate = job.open_gate
    said = [
        job.event_count,
        job.status,
        job.progress_message,
        job.reason_text,
        job.cost_usd,
        attempt and (attempt.number, attempt.state, attempt.last_heard_at, attempt.next_check_at),
        live.sequence if (live := written(job)) else None,
        gate
        and (
            gate.pk,
            gate.level,
            # An approval stops counting once its giver may not approve any more.
            gate.given and missing(job),
            gate.assignee_id,
            gate.due_at,
            gate.due_at < timezone.now(),
        ),
        working,
    ]
    return hashlib.sha256(repr(said).encode()).hexdigest()[:16]
