"""What a job was given and what it made, as pages and as downloads."""

from typing import Any

from django.core.exceptions import PermissionDenied
from django.core.files.base import File
from django.db.models import QuerySet
from django.db.models.fields.files import FieldFile
from django.http import FileResponse, Http404, HttpRequest, HttpResponse, JsonResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_safe

from jobs.access import Action, allowed_actions, readable_results
from jobs.documents import IMAGES
from jobs.models import Citation, Document, Job, Result
from jobs.pages import job_or_404, person
from jobs.rendering import unseen
from jobs.rendering.files import HEAD, content_type, download_name, picture_type
from jobs.rendering.passages import passage
from jobs.rendering.results import QUOTE, result_markdown
from jobs.report import result_document


@require_safe
def document_detail(request: HttpRequest, ref: str, position: int) -> HttpResponse:
    job = job_or_404(request, ref)
    document = get_object_or_404(job.documents, position=position)
    quotes, quote = _quotes(request, job, document)
    mark = (quote.start or 0, quote.end or 0) if quote else None
    page = passage(document.text, page=number(request, "page"), mark=mark)
    at = quotes.index(quote) if quote else -1
    attempt = quotes[0].result.attempt.number if quotes else None
    context = {
        "job": job,
        "document": document,
        "name": unseen.line(document.name, 200),
        "is_image": document.content_type in IMAGES,
        "passage": page,
        "attempt": attempt,
        "kept": f"&quote={quote.position}&attempt={attempt}" if quote else "",
        "quote": quote,
        "quote_number": at + 1,
        "quotes": quotes,
        "previous_quote": quotes[at - 1] if at > 0 else None,
        "next_quote": quotes[at + 1] if at + 1 < len(quotes) else None,
    }
    return render(request, "jobs/document.html", context)


@require_safe
def document_file(request: HttpRequest, ref: str, position: int) -> HttpResponseBase:
    job = job_or_404(request, ref)
    document = get_object_or_404(job.documents.defer("text"), position=position)
    return _file(request, job, document.file, document.name, document.content_type)


@require_safe
def result_file(request: HttpRequest, ref: str, attempt: int, position: int) -> HttpResponseBase:
    job = job_or_404(request, ref)
    result = get_object_or_404(_results(request, job), attempt__number=attempt)
    file = get_object_or_404(result.files, position=position)
    return _file(request, job, file.file, file.name, file.content_type)


@require_safe
def result_download(request: HttpRequest, ref: str) -> HttpResponseBase:
    """The whole of a result: the one of ``?attempt=``, or the last that this person may read. Where
    a reviewer has edited it, ``?version=produced`` is what the model wrote, for those who judge."""
    job = job_or_404(request, ref)
    result = _chosen(_results(request, job), request)
    if result is None:
        raise Http404(f"{job.ref} has no such result.")
    if request.GET.get("version") != "produced":
        result = result.as_judged()
    elif not allowed_actions(person(request), job)[Action.INSPECT].allowed:
        raise PermissionDenied("What the model wrote is for those who judge it.")
    response: HttpResponse
    match request.GET.get("format", "md"):
        case "md":
            text = result_markdown(result)
            response = HttpResponse(text, content_type="text/markdown; charset=utf-8")
            name = f"{job.ref}.md"
        case "json":
            content = {"ref": job.ref, **result_document(result)}
            options = {"indent": 2, "ensure_ascii": False}
            response = JsonResponse(content, json_dumps_params=options)
            name = f"{job.ref}.json"
        case _:
            raise Http404("A result comes as md or json.")
    response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    return sealed(response)


def number(request: HttpRequest, name: str) -> int | None:
    given = request.GET.get(name, "")
    return int(given) if given.isascii() and given.isdigit() and len(given) < 8 else None


def _results(request: HttpRequest, job: Job) -> QuerySet[Result]:
    """The results, for whoever may read one: a requester's may still be somebody else's to judge."""
    reading = allowed_actions(person(request), job)[Action.READ_RESULT]
    if not reading.allowed:
        raise PermissionDenied(reading.why)
    return readable_results(person(request), job)


def _chosen(results: QuerySet[Result], request: HttpRequest) -> Result | None:
    attempt = number(request, "attempt")
    return results.first() if attempt is None else results.filter(attempt__number=attempt).first()


def _quotes(
    request: HttpRequest, job: Job, document: Document
) -> tuple[list[Citation], Citation | None]:
    """The places that a result cites in the document, and the one that was asked for. What a reviewer
    has edited out is for those who judge."""
    result = _chosen(readable_results(person(request), job), request)
    if result is None:
        return [], None
    quotes = list(
        result.citations.filter(document=document, kind=QUOTE, start__isnull=False)
        .filter(end__isnull=False)
        .select_related("result__attempt")
        .order_by("position")
    )
    if not allowed_actions(person(request), job)[Action.INSPECT].allowed:
        version = result.as_judged()
        quotes = [quote for quote in quotes if quote.goes_with(version)]
    position = number(request, "quote")
    return quotes, next((quote for quote in quotes if quote.position == position), None)


def _file(
    request: HttpRequest, job: Job, stored: FieldFile, name: str, claimed: str
) -> HttpResponseBase:
    """The file as a download; as a picture where one was asked for and it is one."""
    try:
        content: File[Any] = stored.open("rb")
    except (FileNotFoundError, ValueError):
        context = {"job": job, "name": unseen.line(name, 200)}
        return render(request, "jobs/file_gone.html", context, status=404)
    picture = ""
    if request.GET.get("inline"):
        picture = picture_type(content.read(HEAD))
        content.seek(0)
    response = FileResponse(
        content,
        as_attachment=not picture,
        filename=download_name(name),
        content_type=picture or content_type(claimed),
    )
    return sealed(response)


def sealed(response: HttpResponseBase) -> HttpResponseBase:
    """Whatever it is, no browser runs it, guesses what it is, or keeps it."""
    response.headers["Content-Security-Policy"] = "sandbox; default-src 'none'"
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Cross-Origin-Resource-Policy"] = "same-origin"
    response.headers["Cache-Control"] = "private, no-store"
    return response
