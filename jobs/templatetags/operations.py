"""Where the rows behind a number are."""

from collections.abc import Mapping
from urllib.parse import urlencode

from django import template
from django.template import RequestContext
from django.urls import reverse

register = template.Library()

_IN_ADMIN = {"status": "status__exact", "lane": "lane__exact", "reason": "reason_code__exact"}


@register.simple_tag(takes_context=True)
def rows(context: RequestContext, filters: Mapping[str, str] | None = None, **more: str) -> str:
    """The address of the jobs behind a number: in the workspace's list, or the admin's for all."""
    given = {name: str(value) for name, value in {**(filters or {}), **more}.items() if value}
    if context["workspace"]:
        address = reverse("jobs:job_list", args=[context["workspace"].slug])
    else:
        address = reverse("admin:jobs_job_changelist")
        given = {_IN_ADMIN[name]: value for name, value in given.items()}
        given["archived"] = "no"
    return f"{address}?{urlencode(given)}" if given else address
