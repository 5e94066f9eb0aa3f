"""What may be done with a job, as buttons."""

from django import template

from jobs.models import Job, User
from reviews.offers import Buttons, on_the_job

register = template.Library()


@register.simple_tag
def verbs(job: Job, user: User) -> Buttons:
    """For `reviews/_verbs.html`: what `user` may do with `job`, and what not now and why."""
    return on_the_job(user, job)
