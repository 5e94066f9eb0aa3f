"""What left the building, for pages about a job."""

from collections.abc import Sequence
from dataclasses import dataclass

from django import template
from django.urls import reverse

from jobs.models import Job, User
from reviews import deadletters, dispatch
from reviews.models import Delivery, DeliveryState

register = template.Library()

STATE_ICONS = {
    DeliveryState.WAITING: "clock",
    DeliveryState.SENDING: "loader-circle",
    DeliveryState.DELIVERED: "circle-check",
    DeliveryState.DEAD: "circle-x",
    DeliveryState.DROPPED: "archive",
    DeliveryState.STOPPED: "ban",
}
#: As the style sheet calls the colours, by the statuses of jobs.
STATE_COLOURS = {
    DeliveryState.SENDING: "running",
    DeliveryState.DELIVERED: "completed",
    DeliveryState.DEAD: "failed",
}


@dataclass(frozen=True)
class Sent:
    """`inside`: whether addresses and errors are shown; `url` leads to the list, or is ""."""

    rows: Sequence[Delivery]
    inside: bool
    url: str


@register.simple_tag
def deliveries(job: Job, user: User) -> Sent:
    """For `reviews/_deliveries.html`: what left of `job`, as far as `user` may know."""
    rows = dispatch.of_job(job)
    inside = bool(rows) and deadletters.may_see(user, job.workspace_id)
    return Sent(
        rows, inside, reverse("reviews:deliveries", args=[job.workspace.slug]) if inside else ""
    )


@register.filter
def state_icon(state: str) -> str:
    return STATE_ICONS[DeliveryState(state)]


@register.filter
def state_colour(state: str) -> str:
    return STATE_COLOURS.get(DeliveryState(state), "queued")
