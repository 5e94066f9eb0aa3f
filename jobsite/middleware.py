"""What a request may not bring along: a NUL in its address, and a longer body than its address
takes. That is asked before anything reads it: the CSRF check reads forms, and with them files, before
any view is called."""

from collections.abc import Callable

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponseBase, JsonResponse
from django.shortcuts import render
from django.urls import Resolver404, resolve

#: Bytes.
MOST_ELSEWHERE = 6 * 1024 * 1024
#: Bytes beside the files: the other fields, and what parts them.
BESIDE_FILES = 1024 * 1024
#: Where files come in.
WITH_FILES = frozenset({"jobs:job_submit", "jobs:upload_create", "jobs:library_add"})


def limit_bodies(
    get_response: Callable[[HttpRequest], HttpResponseBase],
) -> Callable[[HttpRequest], HttpResponseBase]:
    """Middleware: 413 for a body that is too long for its address, 411 for one of unknown length."""

    def limited(request: HttpRequest) -> HttpResponseBase:
        length = request.META.get("CONTENT_LENGTH") or ""
        if not length and request.META.get("HTTP_TRANSFER_ENCODING"):
            return _refused(request, 411, "Say how long the request is: send its Content-Length.")
        size = int(length) if length.isdecimal() and len(length) < 16 else 0
        if len(length) >= 16 or size > MOST_ELSEWHERE:
            most = _most(request.path_info)
            if len(length) >= 16 or size > most:
                text = f"That is more than can be taken at once: {most // 1024 // 1024} MB."
                return _refused(request, 413, text)
        return get_response(request)

    return limited


def refuse_nul(
    get_response: Callable[[HttpRequest], HttpResponseBase],
) -> Callable[[HttpRequest], HttpResponseBase]:
    """Middleware: 404 for an address with a NUL. PostgreSQL takes none, not even to look for it."""

    def refused(request: HttpRequest) -> HttpResponseBase:
        if "\0" in request.path_info:
            raise Http404("There is nothing at an address with a NUL.")
        return get_response(request)

    return refused


def _most(path: str) -> int:
    try:
        name = resolve(path).view_name
    except Resolver404:
        name = ""
    return settings.MAX_DOCUMENTS_BYTES + BESIDE_FILES if name in WITH_FILES else MOST_ELSEWHERE


def _refused(request: HttpRequest, status: int, text: str) -> HttpResponseBase:
    """As a page, or as JSON for whoever asks for that. The rest of the body is not read."""
    if "application/json" in request.headers.get("Accept", ""):
        response: HttpResponseBase = JsonResponse({"error": text}, status=status)
    else:
        response = render(request, "413.html", {"text": text}, status=status)
    response.headers["Connection"] = "close"
    return response
