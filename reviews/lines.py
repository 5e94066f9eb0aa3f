"""A notice as people read it, in the app and in mails."""

from dataclasses import dataclass

from django.urls import reverse
from django.utils.http import urlencode

from jobs.rendering import unseen
from reviews import occasions
from reviews.models import ASKS, Notice, NoticeKind

ICONS = {
    NoticeKind.NEEDS_REVIEW: "eye",
    NoticeKind.ESCALATED: "arrow-up",
    NoticeKind.ASSIGNED: "user",
    NoticeKind.REMINDED: "clock",
    NoticeKind.OVERDUE: "circle-alert",
    NoticeKind.FINISHED: "circle-check",
    NoticeKind.FAILED: "circle-x",
    NoticeKind.TROUBLE: "triangle-alert",
    NoticeKind.MENTIONED: "message-square",
}
#: What is read on the page of a review; the others, on that of their job.
READ_IN_REVIEW = ASKS | {NoticeKind.MENTIONED}
_ENDED_BADLY = {"rejected": "circle-x", "canceled": "ban", "expired": "hourglass"}


@dataclass(frozen=True)
class Line:
    """`said` begins with the job: "J-7K3M9QX needs your review". `by` is who did it, or ""."""

    notice: Notice
    said: str
    title: str
    why: str
    by: str
    icon: str
    url: str


def line(notice: Notice) -> Line:
    kind = NoticeKind(notice.kind)
    job, happened = notice.job, notice.said
    icon = _ENDED_BADLY.get(happened, ICONS[kind]) if kind is NoticeKind.FINISHED else ICONS[kind]
    return Line(
        notice,
        f"{job.ref} {occasions.said(kind, happened, times=notice.times, done=bool(notice.done_at))}",
        unseen.line(job.input_summary or str(job.job_type), 120),
        unseen.line(notice.why, 300),
        str(notice.actor) if notice.actor else "",
        icon,
        leads_to(notice),
    )


def leads_to(notice: Notice) -> str:
    """The page of what a notice is about."""
    job = notice.job
    if notice.kind in READ_IN_REVIEW:
        place = "#notes" if notice.kind == NoticeKind.MENTIONED else ""
        return reverse("reviews:job_review", args=[job.ref]) + place
    if notice.kind == NoticeKind.TROUBLE and notice.times > 1:
        listed = reverse("jobs:job_list", args=[notice.workspace.slug])
        return f"{listed}?{urlencode({'status': 'failed', 'reason': notice.cause})}"
    return job.get_absolute_url()
