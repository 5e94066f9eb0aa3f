"""Who has a review open, and which evidence they have seen: what its page sends while it is open.

htmx gets fragments, at status 200 whatever they say; forms without it are led back to the page.
"""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_POST

from jobs.access import NotAllowed, NotNow, allowed_actions
from jobs.models import Job, User
from jobs.pages import job_or_404, person
from jobs.text import clean
from reviews import claims, seen
from reviews.claims import require_decider
from reviews.desk import evidence_rows, hold, standing, verbs
from reviews.passes import Way
from reviews.views.desk import refused

#: By which htmx stops asking.
STOP_POLLING = 286


@require_POST
def job_claim(request: HttpRequest, ref: str) -> HttpResponse:
    """Have the review open, or go on having it; taken over from somebody else only where asked."""
    job, user, now = job_or_404(request, ref), person(request), timezone.now()
    try:
        gate = require_decider(user, job)
        claims.claim(gate, user, now=now, take_over="take_over" in request.POST)
    except NotAllowed as error:
        return refused(request, job, error)
    except NotNow as error:
        if not request.headers.get("HX-Request"):
            return refused(request, job, error)
    if not request.headers.get("HX-Request"):
        return redirect(Way.read(request.GET).to(job))
    job.refresh_from_db()
    held, shown = "held" in request.POST, request.POST.get("content_hash", "")
    context = _verbs(user, job)
    decides = bool(context["decides"])
    state = standing(user, job, now=now, decides=decides, shown=shown, held=held)
    context |= {"standing": state, "shown_hash": shown}
    over = state.state in ("closed", "changed", "watching")
    return render(request, "reviews/_claimed.html", context, status=STOP_POLLING if over else 200)


@require_POST
def job_release(request: HttpRequest, ref: str) -> HttpResponse:
    """The page was left."""
    job, user = job_or_404(request, ref), person(request)
    try:
        claims.release(require_decider(user, job), user)
    except NotAllowed as error:
        return refused(request, job, error)
    except NotNow:
        # It is closed or somebody else's already: there is nothing to let go of.
        return HttpResponse(status=204)
    return HttpResponse(status=204)


@require_POST
def evidence_seen(request: HttpRequest, ref: str) -> HttpResponse:
    """Tick evidence as seen ("tick", "every"), or take the tick back ("untick")."""
    job, user, now = job_or_404(request, ref), person(request), timezone.now()
    problem = ""
    try:
        gate = require_decider(user, job)
        if key := request.POST.get("untick", ""):
            seen.untick(gate, user, clean(key))
        elif "every" in request.POST:
            seen.tick_every(job, gate, user, now=now)
        else:
            seen.tick(job, gate, user, clean(request.POST.get("tick", "")), now=now)
    except NotAllowed as error:
        return refused(request, job, error)
    except NotNow as error:
        if not request.headers.get("HX-Request"):
            return refused(request, job, error)
        problem = str(error)
    if not request.headers.get("HX-Request"):
        return redirect(Way.read(request.GET).to(job) + "#evidence")
    context = _verbs(user, job)
    rows = evidence_rows(user, job, None, decides=bool(context["decides"]))
    context |= {"evidence": rows, "problem": problem}
    return render(request, "reviews/_ticked.html", context)


def _verbs(user: User, job: Job) -> dict[str, object]:
    now, decides = timezone.now(), claims.decides(allowed_actions(user, job))
    return {
        "job": job,
        "way": Way(),
        "verbs": verbs(user, job, now=now),
        "hold": hold(user, job, now=now, decides=decides),
        "decides": decides,
    }
