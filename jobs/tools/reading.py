"""Tools that only look: in the workspace's library, at the job's own documents, and at the
workspace's finished jobs as far as the requester may see them."""

from typing import Annotated, Any

from django.db.models import Q, QuerySet
from pydantic import Field

from jobs import library
from jobs.models import CallEffect, Job, Result, Status
from jobs.text import clipped
from jobs.tools.registry import ToolContext, ToolProblem, tool

#: Characters of a text that one call gives.
PAGE = 20_000
#: Finished jobs that a search looks through, the newest first.
MOST_SEARCHED = 2_000


@tool(effect=CallEffect.READ, title="Search past results")
def search_results(
    context: ToolContext,
    query: Annotated[str, Field(description="Words to look for.", min_length=1, max_length=500)],
    limit: Annotated[int, Field(ge=1, le=20)] = 5,
) -> Any:
    """Search the finished results of this workspace's jobs. Gives each hit's ref, title and the
    passage where the words stand; read_result gives the whole."""
    words = list(dict.fromkeys(query.casefold().split()))[:12]
    newest = list(
        _finished(context).order_by("-attempt__job_id").values_list("pk", flat=True)[:MOST_SEARCHED]
    )
    matching = Q()
    for word in words:
        matching |= Q(attempt__job__input_summary__icontains=word)
        matching |= Q(text__icontains=word, edit=None) | Q(edit__text__icontains=word)
    found = Result.objects.filter(matching, pk__in=newest)
    found = found.select_related("attempt__job__job_type", "edit").order_by("-attempt__job_id")
    ranked = sorted(
        [result.as_judged() for result in found[:200]],
        key=lambda result: -sum(word in _all(result).casefold() for word in words),
    )
    return {"results": [_hit(result, words) for result in ranked[:limit]]}


@tool(effect=CallEffect.READ, title="Read a past result")
def read_result(
    context: ToolContext,
    ref: Annotated[str, Field(description="The job's reference, such as J-7K2M9QX.")],
    page: Annotated[int, Field(ge=1, le=1000)] = 1,
) -> Any:
    """Read the finished result of one job of this workspace, a page at a time."""
    wanted = ref.strip().upper()
    result = _finished(context).filter(attempt__job__ref=wanted).order_by("-attempt").first()
    if result is None:
        raise ToolProblem(f"There is no finished job {ref} that this job's requester may see.")
    return {
        "ref": wanted,
        "title": _title(result.attempt.job),
        **paged(result.as_judged().text, page),
    }


@tool(effect=CallEffect.READ, title="Search the library")
def search_library(
    context: ToolContext,
    query: Annotated[str, Field(description="Words to look for.", min_length=1, max_length=500)],
    limit: Annotated[int, Field(ge=1, le=20)] = 8,
) -> Any:
    """Search the workspace's library, its knowledge base. Gives each hit's document, by its ref,
    and the passage where the words stand; read_library_document gives the whole."""
    hits = library.search(context.job.workspace, query, limit=limit)
    return {
        "hits": [
            {
                "ref": hit.document.ref,
                "title": hit.document.title,
                "heading": hit.passage.heading,
                "passage": hit.passage.text,
            }
            for hit in hits
        ]
    }


@tool(effect=CallEffect.READ, title="Read a document of the library")
def read_library_document(
    context: ToolContext,
    ref: Annotated[str, Field(description="The document's reference, such as D-7K2M9QX.")],
    page: Annotated[int, Field(ge=1, le=1000)] = 1,
) -> Any:
    """Read a document of the workspace's library, a page at a time."""
    try:
        found = library.read(context.job.workspace, ref)
    except library.NotThere:
        raise ToolProblem(f"There is no document {ref} in the library.") from None
    return {"ref": found.ref, "title": found.title, **paged(found.text, page)}


@tool(effect=CallEffect.READ, title="Read a document of this job")
def read_document(
    context: ToolContext,
    name: Annotated[str, Field(description="The document's file name.")],
    page: Annotated[int, Field(ge=1, le=1000)] = 1,
) -> Any:
    """Read the text of one of the documents that this job was given, a page at a time."""
    documents = {document.name.casefold(): document for document in context.job.documents.all()}
    found = documents.get(name.strip().casefold())
    if found is None:
        names = ", ".join(document.name for document in documents.values()) or "none"
        raise ToolProblem(f"This job has no document {name}. Its documents: {names}.")
    return {"name": found.name, **paged(found.text, page)}


def paged(text: str, page: int) -> dict[str, Any]:
    """One page of a text, and how many there are."""
    pages = max(1, -(-len(text) // PAGE))
    if page > pages:
        raise ToolProblem(f"There are {pages} pages.")
    return {"page": page, "pages": pages, "text": text[(page - 1) * PAGE : page * PAGE]}


def _finished(context: ToolContext) -> QuerySet[Result]:
    """What the job's requester could read on a page: results of completed jobs, as they ended."""
    visible = Job.objects.visible_to(context.job.requester).filter(
        workspace=context.job.workspace_id, status=Status.COMPLETED
    )
    return Result.objects.filter(attempt__job__in=visible, deliverable=True).select_related(
        "attempt__job__job_type", "edit"
    )


def _hit(result: Result, words: list[str]) -> dict[str, str]:
    job = result.attempt.job
    return {"ref": job.ref, "title": _title(job), "passage": _passage(result.text, words)}


def _passage(text: str, words: list[str]) -> str:
    folded = text.casefold()
    places = [at for word in words if (at := folded.find(word)) >= 0]
    start = max(0, min(places, default=0) - 150)
    return clipped(text[start : start + 600], 500)


def _title(job: Job) -> str:
    return job.input_summary or str(job.job_type)


def _all(result: Result) -> str:
    return f"{result.attempt.job.input_summary} {result.text}"
