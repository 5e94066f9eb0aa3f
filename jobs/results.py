"""Results: read out of a terminal answer, and stored with their evidence."""

import logging
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from django.core.files.base import ContentFile
from django.core.files.storage import default_storage

from jobs import evidence
from jobs.costs import cost_usd
from jobs.evidence import Evidence, InlineFile, Warned
from jobs.models import Attempt, Citation, Result, ResultFile, State, ToolCall, Turn
from jobs.provider.payloads import ProviderResponse

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Read:
    """A terminal answer with what was read out of it, before the job is held. `paths` is where the
    files that came with it are stored."""

    response: ProviderResponse
    evidence: Evidence
    cost: Decimal | None
    paths: tuple[str, ...] = ()


def read(turn: Turn, response: ProviderResponse) -> Read:
    """Read a terminal answer. Never fails: an answer that cannot be read is kept, and says so."""
    job = turn.attempt.job
    try:
        documents = [
            evidence.DocumentText(document.pk, document.name, document.text)
            for document in job.documents.all()
        ]
        found = evidence.read(
            response.data,
            schema=job.prompt_version.output_schema,
            documents=documents,
            check_quotes=job.job_type.check_quotes,
        )
        cost = cost_usd(
            found.usage, model=found.model, tier=found.service_tier, tool_uses=found.tool_uses
        )
    except Exception:
        logger.exception("the answer %s of %s cannot be read", response.id, job.ref)
        return unread(response)
    paths = tuple(_keep(job.pk, file) for file in found.files)
    return Read(response, found, cost, paths)


def unread(response: ProviderResponse) -> Read:
    """A terminal answer that is kept without being read."""
    warned = Warned("unreadable", "The answer cannot be read. It is kept as it came.")
    return Read(response, Evidence(warnings=(warned,)), None)


def store(attempt: Attempt, found: Read, *, deliverable: bool, now: datetime) -> Result | None:
    """The result, with its evidence. None where nothing was produced and nothing was promised."""
    read, state = found.evidence, found.response.state
    if read.is_empty and state not in (State.SUCCEEDED, State.INCOMPLETE):
        return None
    warnings = list(read.warnings)
    if state is State.INCOMPLETE:
        why = {
            "max_output_tokens": "The answer was cut off at its token limit.",
            "content_filter": "The answer was cut off by OpenAI's content filter.",
        }.get(found.response.error[0], "The answer is incomplete.")
        warnings.insert(0, Warned("incomplete", why))
    if read.is_empty:
        warnings.append(Warned("empty", "The answer holds no result."))
    result = Result.objects.create(
        attempt=attempt,
        text=read.text,
        structured=read.structured,
        warnings=[warning.as_json() for warning in warnings],
        usage=read.usage or {},
        model=read.model,
        service_tier=read.service_tier,
        partial=state is not State.SUCCEEDED,
        deliverable=deliverable,
        content_hash=read.content_hash,
        created_at=now,
    )
    Citation.objects.bulk_create(
        Citation(
            result=result,
            position=position,
            kind=source.kind,
            quote=source.quote,
            document_id=source.document,
            path=source.path,
            start=source.start,
            end=source.end,
            url=source.url,
            title=source.title,
            raw=source.raw or {},
        )
        for position, source in enumerate(read.sources, 1)
    )
    ToolCall.objects.bulk_create(
        ToolCall(
            result=result,
            position=position,
            kind=use.kind,
            name=use.name,
            status=use.status,
            summary=use.summary,
            raw=use.raw,
        )
        for position, use in enumerate(read.tool_uses, 1)
    )
    ResultFile.objects.bulk_create(
        ResultFile(
            result=result,
            position=position,
            name=file.name,
            content_type=file.content_type,
            size=len(file.content),
            sha256=file.sha256,
            file=path,
        )
        for position, (file, path) in enumerate(zip(read.files, found.paths, strict=True), 1)
    )
    return result


def stored_hash(result: Result) -> str:
    """The content hash of a result as it is stored now."""
    files = result.files.order_by("position").values_list("sha256", flat=True)
    return evidence.content_hash(result.text, list(files))


def _keep(job_id: UUID, file: InlineFile) -> str:
    """Store a file under the name of its content, so that storing it twice stores it once."""
    path = f"results/{job_id}/{file.sha256}"
    if default_storage.exists(path):
        if default_storage.size(path) == len(file.content):
            return path
        # Left half-written by a process that was killed.
        default_storage.delete(path)
    return default_storage.save(path, ContentFile(file.content))
