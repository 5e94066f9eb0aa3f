"""What colleagues wrote, with those whom they named marked."""

from collections.abc import Mapping

from django import template
from django.utils.safestring import SafeString

from jobs.models import User
from reviews.mentions import marked

register = template.Library()


@register.filter
def mentions(text: str, known: Mapping[str, User]) -> SafeString:
    return marked(text, known)
