"""The verb that decides nothing: the stored answer is read anew."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_http_methods

from jobs.access import Action, NotAllowed, NotNow, allowed_actions, require
from jobs.pages import job_or_404, person
from jobs.reextract import re_extract, said


@require_http_methods(["GET", "HEAD", "POST"])
def job_re_extract(request: HttpRequest, ref: str) -> HttpResponse:
    """Asked for on its own page, done by POST."""
    job, user = job_or_404(request, ref), person(request)
    inspects = allowed_actions(user, job)[Action.INSPECT].allowed
    back = reverse("reviews:job_review", args=[job.ref]) if inspects else job.get_absolute_url()
    context = {"job": job, "back": back, "why": ""}
    try:
        if request.method == "POST":
            messages.success(request, said(job, re_extract(job, actor=user, now=timezone.now())))
            return redirect(back)
        require(user, job, Action.RE_EXTRACT)
    except (NotAllowed, NotNow) as error:
        status = 403 if isinstance(error, NotAllowed) else 409
        return render(request, "jobs/re_extract.html", context | {"why": str(error)}, status=status)
    return render(request, "jobs/re_extract.html", context)
