"""The library of a workspace: what is in it, what a search finds, one document, and adding to it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django import forms
from django.conf import settings
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.core.files.base import File
from django.http import FileResponse, Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.html import format_html
from django.views.decorators.http import require_http_methods, require_safe

from jobs import library, words
from jobs.access import (
    Action,
    NotAllowed,
    NotNow,
    may_add_to_library,
    may_see_library,
    may_withdraw,
    require,
)
from jobs.documents import Unusable, Upload
from jobs.models import Job, LibraryDocument, Workspace
from jobs.pages import job_or_404, person, workspace_or_404
from jobs.rendering import unseen
from jobs.rendering.files import content_type, download_name
from jobs.rendering.passages import passage
from jobs.text import clipped
from jobs.views.files import number, sealed

#: Passages that the page of a search shows.
SHOWN = 20
#: Headings and jobs that the page of a document lists.
MOST_HEADINGS = 100
MOST_JOBS = 20


@dataclass(frozen=True)
class Found:
    """A passage as the page shows it: its words marked, and nothing hidden in it."""

    hit: library.Hit
    title: str
    pieces: Sequence[words.Piece]


class KeepForm(forms.Form):
    title = forms.CharField(
        max_length=library.LONGEST_TITLE,
        error_messages={
            "required": "Give it a title: it is found by it.",
            "max_length": "A title can have %(limit_value)d characters at most.",
            "null_characters_not_allowed": "A title cannot have NUL characters.",
        },
    )


@require_safe
def library_list(request: HttpRequest, workspace: str) -> HttpResponse:
    """What the workspace knows, newest first; or the passages that ``?q=`` finds in it."""
    here = _workspace(request, workspace)
    query = request.GET.get("q", "").strip()
    shown: dict[str, Any] = {
        "workspace": here,
        "may_add": may_add_to_library(person(request), here),
        "query": unseen.line(query, 200),
    }
    if query:
        shown["found"] = [_found(hit, query) for hit in library.search(here, query, limit=SHOWN)]
        shown["asked"] = words.asked(query)
    else:
        before, after = request.GET.get("before", ""), request.GET.get("after", "")
        shown["page"] = library.page(here, before=before, after=after)
    return render(request, "jobs/library.html", shown)


@require_http_methods(["GET", "HEAD", "POST"])
def library_add(request: HttpRequest, workspace: str) -> HttpResponse:
    """The form for files; by POST, what became of each."""
    here, user = _workspace(request, workspace), person(request)
    if not may_add_to_library(user, here):
        raise PermissionDenied(f"Your role in {here} does not add to its library.")
    files = request.FILES.getlist("files")
    uploads = (Upload(file.name or "", file.read()) for file in files)
    outcomes = library.add(here, uploads, actor=user, now=timezone.now())
    if outcomes and all(outcome.added for outcome in outcomes):
        count, title = len(outcomes), unseen.line(str(outcomes[0].document), 200)
        said = f"{count} documents are" if count > 1 else f"“{title}” is"
        messages.success(request, f"{said} in the library now.")
        return _to(request, "jobs:library", here.slug)
    problems = any(outcome.problem for outcome in outcomes)
    nothing = request.method == "POST" and not outcomes
    shown = {
        "workspace": here,
        "outcomes": outcomes,
        "nothing": nothing,
        "most_bytes": settings.MAX_DOCUMENT_BYTES,
        "most_together": settings.MAX_DOCUMENTS_BYTES,
    }
    return render(
        request, "jobs/library_add.html", shown, status=422 if problems or nothing else 200
    )


@require_safe
def library_detail(request: HttpRequest, workspace: str, document: str) -> HttpResponse:
    """The text of a document, open at the passage ``?passage=``, with where it came from."""
    row, user = _document(request, workspace, document), person(request)
    place = row.passages.filter(position=number(request, "passage") or 0).first()
    mark = (place.start, place.end) if place else None
    visible = Job.objects.visible_to(user)
    uses = visible.filter(documents__library_document=row).distinct()
    shown = {
        "workspace": row.workspace,
        "document": row,
        "title": unseen.line(row.title, 200),
        "name": unseen.line(row.name, 200),
        "passage": passage(row.text, page=number(request, "page"), mark=mark),
        "place": place,
        "kept": f"&passage={place.position}" if place else "",
        "headings": _headings(row),
        "sees_job": row.job_id is not None and visible.filter(pk=row.job_id).exists(),
        "uses": uses.select_related("job_type").defer("input")[:MOST_JOBS],
        "may_withdraw": may_withdraw(user, row) and row.withdrawn_at is None,
    }
    return render(request, "jobs/library_document.html", shown)


@require_safe
def library_file(request: HttpRequest, workspace: str, document: str) -> HttpResponseBase:
    row = _document(request, workspace, document)
    try:
        content: File[Any] = row.file.open("rb")
    except (FileNotFoundError, ValueError):
        shown = {"workspace": row.workspace, "document": row, "name": unseen.line(row.name, 200)}
        return render(request, "jobs/library_file_gone.html", shown, status=404)
    response = FileResponse(
        content,
        as_attachment=True,
        filename=download_name(row.name),
        content_type=content_type(row.content_type),
    )
    return sealed(response)


@require_http_methods(["GET", "HEAD", "POST"])
def library_withdraw(request: HttpRequest, workspace: str, document: str) -> HttpResponse:
    """Asks first; by POST, it is done."""
    row, user = _document(request, workspace, document), person(request)
    shown = {"workspace": row.workspace, "document": row, "title": unseen.line(row.title, 200)}
    try:
        if request.method == "POST":
            library.withdraw(row, actor=user, now=timezone.now())
            messages.success(request, f"“{shown['title']}” is withdrawn from the library.")
            return _to(request, "jobs:library", row.workspace.slug)
        library.check_withdraw(row, actor=user)
    except NotAllowed as error:
        raise PermissionDenied(str(error)) from error
    except NotNow as error:
        shown["why"] = str(error)
        return render(request, "jobs/library_withdraw.html", shown, status=409)
    return render(request, "jobs/library_withdraw.html", shown)


@require_http_methods(["GET", "HEAD", "POST"])
def job_keep(request: HttpRequest, ref: str) -> HttpResponse:
    """Keep a completed job's result in the library, under a title."""
    job, user = job_or_404(request, ref), person(request)
    posted = request.POST if request.method == "POST" else None
    form = KeepForm(posted, initial={"title": clipped(job.input_summary or str(job.job_type), 200)})
    shown: dict[str, Any] = {"job": job, "form": form}
    try:
        require(user, job, Action.KEEP)
        result = library.result_of(job)
        if form.is_valid():
            title = form.cleaned_data["title"]
            outcome = library.keep_result(result, title, actor=user, now=timezone.now())
            return _kept(request, outcome)
        shown["known"] = library.kept_from(result)
    except NotAllowed as error:
        raise PermissionDenied(str(error)) from error
    except (NotNow, Unusable) as error:
        shown["why"] = str(error)
        return render(request, "jobs/library_keep.html", shown, status=409)
    return render(request, "jobs/library_keep.html", shown, status=422 if form.errors else 200)


def _kept(request: HttpRequest, outcome: library.Outcome) -> HttpResponse:
    document = outcome.document
    assert document is not None
    if outcome.added:
        messages.success(request, f"Kept in the library as {document.ref}.")
    else:
        said = "The library has this content already, as {}: {} added it."
        messages.info(request, format_html(said, document.ref, document.added_by))
    return HttpResponseRedirect(document.get_absolute_url(), status=303)


def _workspace(request: HttpRequest, slug: str) -> Workspace:
    here = workspace_or_404(request, slug)
    if not may_see_library(person(request), here):
        raise PermissionDenied
    return here


def _document(request: HttpRequest, workspace: str, ref: str) -> LibraryDocument:
    """The document, withdrawn or not: what used it leads here."""
    here = _workspace(request, workspace)
    try:
        return library.read(here, ref, withdrawn=True)
    except library.NotThere as error:
        raise Http404(str(error)) from error


def _found(hit: library.Hit, query: str) -> Found:
    pieces = [
        words.Piece(unseen.shown(piece.text), piece.marked)
        for piece in words.marked(hit.snippet, words.asked(query))
    ]
    return Found(hit, unseen.line(hit.document.title, 200), pieces)


def _headings(document: LibraryDocument) -> list[tuple[int, str]]:
    """(passage, heading) of each heading that a passage begins under."""
    headings: list[tuple[int, str]] = []
    rows = document.passages.exclude(heading="").values_list("position", "heading")
    for position, heading in rows.order_by("position")[: 10 * MOST_HEADINGS]:
        if not headings or headings[-1][1] != unseen.line(heading, 100):
            headings.append((position, unseen.line(heading, 100)))
    return headings[:MOST_HEADINGS]


def _to(request: HttpRequest, name: str, *args: str) -> HttpResponse:
    response = redirect(name, *args)
    response.status_code = 303
    return response
