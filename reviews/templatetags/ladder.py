"""Where an open review stands, for pages about it."""

from django import template
from django.utils import timezone

from jobs.models import Job
from reviews import standing

register = template.Library()


@register.simple_tag
def review_standing(job: Job) -> standing.ReviewStanding | None:
    """For `reviews/_standing.html`."""
    return standing.review_standing(job, now=timezone.now())
