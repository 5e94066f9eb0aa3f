"""What a person was told of the job whose page they are on."""

from django import template

from jobs.models import Job, User
from reviews import notices

register = template.Library()


@register.simple_tag
def unread_here(job: Job, user: User, *, review: bool = False) -> list[int]:
    """For `reviews/_unread.html`: the unread notices that lead to this page."""
    return notices.unread_here(user, job, review=review)
