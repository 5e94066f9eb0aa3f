"""The page of those on call."""

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from django.views.decorators.vary import vary_on_headers

from jobs.access import may_operate
from jobs.models import Workspace
from jobs.overview import overview
from jobs.pages import person, workspace_or_404


@require_safe
def operations(request: HttpRequest, workspace: str) -> HttpResponse:
    place = workspace_or_404(request, workspace)
    if not may_operate(person(request), place):
        raise PermissionDenied
    return _page(request, place)


@require_safe
def operations_all(request: HttpRequest) -> HttpResponse:
    if not person(request).is_superuser:
        raise PermissionDenied
    return _page(request, None)


@never_cache
@vary_on_headers("HX-Request")
def _page(request: HttpRequest, workspace: Workspace | None) -> HttpResponse:
    """The whole page, or only the part of it that goes on being renewed."""
    seen = overview(workspace, now=timezone.now())
    name = "jobs/operations.html" + ("#live" if request.headers.get("HX-Request") else "")
    return render(request, name, {"workspace": workspace, "seen": seen})
