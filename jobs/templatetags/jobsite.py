"""What pages say in the same way everywhere: statuses, moments, spans, money, icons."""

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import quote

from django import template
from django.conf import settings
from django.templatetags.static import static
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from jobs.models import Job, Status
from jobs.rendering import UsageRow, unseen, usage_rows
from jobs.text import clipped

register = template.Library()

STATUS_ICONS = {
    Status.QUEUED: "clock",
    Status.RUNNING: "loader-circle",
    Status.NEEDS_REVIEW: "eye",
    Status.COMPLETED: "circle-check",
    Status.FAILED: "circle-x",
    Status.CANCELED: "ban",
    Status.EXPIRED: "hourglass",
}


@register.simple_tag
def icon(name: str, label: str = "") -> SafeString:
    """An icon of the sprite. Decoration, unless it has a `label`."""
    href = f"{static('jobsite/icons.svg')}#{name}"
    if label:
        return format_html(
            '<svg class="icon" role="img" aria-label="{}"><use href="{}"></use></svg>', label, href
        )
    return format_html(
        '<svg class="icon" aria-hidden="true" focusable="false"><use href="{}"></use></svg>', href
    )


@register.simple_tag
def status_badge(job: Job) -> SafeString:
    """The status of a job as icon, word and colour; a completed one with warnings says so."""
    status = Status(job.status)
    warned = status is Status.COMPLETED and job.warnings
    return format_html(
        '<span class="status status-{}">{}<span>{}</span>{}</span>',
        status.value,
        icon(STATUS_ICONS[status]),
        status.label,
        format_html("{}", icon("triangle-alert", "with warnings")) if warned else "",
    )


@register.simple_tag
def status_word(status: str) -> SafeString:
    """A status by its value, as icon and word."""
    known = Status(status)
    return format_html(
        '<span class="status status-{}">{}<span>{}</span></span>',
        known.value,
        icon(STATUS_ICONS[known]),
        known.label,
    )


@register.simple_tag
def provider_log(response_id: str | None) -> SafeString:
    """The link to the provider's own page about a response; "" where the stand-in answered."""
    if settings.SANDBOX or not response_id:
        return SafeString("")
    url = settings.OPENAI_LOG_URL.replace("{response_id}", quote(response_id, safe=""))
    return format_html(
        '<a class="external" href="{}" rel="noopener noreferrer" target="_blank">'
        "Log page at OpenAI</a>",
        url,
    )


@register.filter
def tokens(usage: Any) -> tuple[UsageRow, ...]:
    """The tokens in a usage, as rows of a table."""
    return usage_rows(usage)


@register.filter
def said(job: Job) -> str:
    """What a list says of a job beside its status: how far it is, or why it is where it is."""
    status = Status(job.status)
    words = job.reason_text or job.progress_message
    if status is Status.RUNNING and job.cancel_requested_at:
        words = f"{job.cancel_requested_by} asked to cancel it"
    elif status is Status.NEEDS_REVIEW:
        words = job.progress_message
    elif status is Status.COMPLETED:
        words = ""
    number = len(job.warnings)
    warned = f"{number} warning{'' if number == 1 else 's'}" if number else ""
    if status in (Status.NEEDS_REVIEW, Status.COMPLETED):
        words = ", ".join(part for part in (words, warned) if part)
    return clipped(words, 160)


@register.filter
def shown(text: str) -> str:
    """A name or a title that somebody wrote, on one line, with nothing hidden in it."""
    return unseen.line(text, 200)


@register.simple_tag
def moment(at: datetime | None, style: str = "relative") -> SafeString:
    """A moment, with the exact one in its title. `style` is how it is said: "relative" (8 s ago,
    in 12 s), "elapsed" (8 s), "coming" (in 12 s, or now), which go on counting in the browser; or
    "clock" (14:02, with the day where it is another), which becomes the reader's own time there."""
    if at is None:
        return SafeString("–")
    now = timezone.now()
    seconds = (at - now).total_seconds()
    said = {"elapsed": duration(-seconds), "coming": relative(seconds) if seconds > 0 else "now"}
    if style == "clock":
        said["clock"] = f"{at:%H:%M} UTC" if at.date() == now.date() else f"{at:%d %b, %H:%M} UTC"
    return format_html(
        '<time datetime="{}" title="{}" data-moment="{}">{}</time>',
        at.isoformat(timespec="seconds"),
        f"{at:%d %b %Y, %H:%M:%S} UTC",
        style,
        said.get(style) or relative(seconds),
    )


def relative(seconds: float) -> str:
    """`seconds` from now in words: "in 12 s", "8 s ago", "in 3 days"."""
    words = duration(abs(seconds))
    return f"in {words}" if seconds > 0 else f"{words} ago"


@register.filter
def duration(span: float | timedelta | None) -> str:
    """A span of seconds in its two largest units, as in "3 min 20 s"; None is "–"."""
    if span is None:
        return "–"
    seconds = span.total_seconds() if isinstance(span, timedelta) else span
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3_600:
        minutes, rest = divmod(whole, 60)
        return f"{minutes} min {rest} s" if minutes < 10 and rest else f"{minutes} min"
    if whole < 86_400:
        hours, rest = divmod(whole, 3_600)
        return f"{hours} h {rest // 60} min" if rest >= 60 else f"{hours} h"
    days, rest = divmod(whole, 86_400)
    said = f"{days} day" if days == 1 else f"{days} days"
    return f"{said} {rest // 3_600} h" if days < 3 and rest >= 3_600 else said


@register.filter
def money(usd: Decimal | float | None) -> str:
    """US dollars: to the cent, or to a hundredth of one below it; None is "unknown"."""
    if usd is None:
        return "unknown"
    amount = Decimal(usd)
    if 0 < amount < Decimal("0.0001"):
        return "under $0.0001"
    if amount and abs(amount) < Decimal("0.01"):
        return f"${amount:.4f}"
    return f"${amount:,.2f}"
