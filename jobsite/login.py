"""Closed by default, for fragments too."""

from collections.abc import Callable
from typing import Any

from django.contrib.auth.middleware import LoginRequiredMiddleware
from django.http import HttpRequest, HttpResponse


class FragmentsRequireLogin(LoginRequiredMiddleware):
    """Django's own, which redirects whoever is not logged in. A fragment that is asked for after
    the session has ended would swap the log-in page into a corner of the old one; the whole page
    is loaded again instead, and goes to log-in from there."""

    def handle_no_permission(  # type: ignore[override]
        self, request: HttpRequest, view_func: Callable[..., Any]
    ) -> HttpResponse:
        if request.headers.get("HX-Request") == "true":
            return HttpResponse(status=204, headers={"HX-Refresh": "true"})
        return super().handle_no_permission(request, view_func)
