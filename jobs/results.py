"""Results: read out of a terminal answer, and stored with their evidence."""

import hashlib
import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from itertools import islice
from typing import Any
from uuid import UUID

from django.core.files.base import ContentFile
from django.core.files.storage import default_storage

from jobs import evidence
from jobs.access import NotNow
from jobs.costs import cost_usd
from jobs.evidence import Evidence, ToolUse, Warned
from jobs.models import (
    Attempt,
    CallKind,
    CallOutcome,
    CallState,
    Citation,
    FetchedFile,
    FunctionCall,
    Job,
    ProviderFile,
    Result,
    ResultEdit,
    ResultFile,
    State,
    Status,
    ToolCall,
    Turn,
)
from jobs.provider import downloads, payloads
from jobs.provider.payloads import Fetched, ProviderResponse
from jobs.text import clean, clipped

logger = logging.getLogger(__name__)

#: Citations that go along with a result.
MOST_LISTED = 500
NO_LONGER_KEPT = "it is no longer where it was kept."
NEVER_FETCHED = "it was not fetched with the answer."


@dataclass(frozen=True)
class Read:
    """A terminal answer with what was read out of it, before the job is held.

    ``cost`` is that of this response alone. ``paths`` is where the files of the evidence are
    stored, in its order; ``fetched`` where those are that were fetched with this response, "" where
    one was not.
    """

    response: ProviderResponse
    evidence: Evidence
    cost: Decimal | None
    paths: tuple[str, ...] = ()
    fetched: tuple[tuple[Fetched, str], ...] = ()


def read(turn: Turn, response: ProviderResponse) -> Read:
    """Read a terminal answer, with those of the earlier turns of its attempt. Never fails: an
    answer that cannot be read is kept, and says so."""
    job = turn.attempt.job
    try:
        documents = [
            evidence.DocumentText(document.pk, document.name, document.text)
            for document in job.documents.all()
        ]
        earlier, unreadable = _earlier(turn)
        before = _stored_files(turn.attempt.turns.filter(number__lt=turn.number))
        named = [*before, *(_named(file, turn.number) for file in response.files)]
        found = evidence.read(
            response.data,
            schema=job.prompt_version.output_schema,
            documents=documents,
            check_quotes=job.job_type.check_quotes,
            turn=turn.number,
            earlier=earlier,
            fetched=named,
            files=_documents_at_provider(job),
            warnings=unreadable,
        )
        cost = cost_usd(
            # Of more steps than are read nobody has counted the fees.
            None if found.cut else found.own_usage,
            model=found.model,
            tier=found.service_tier,
            at=turn.sent_at or turn.attempt.created_at,
            tool_uses=[use for use in found.tool_uses if use.turn == turn.number],
            tool_usage=response.data.get("tool_usage"),
        )
    except Exception:
        logger.exception("the answer %s of %s cannot be read", response.id, job.ref)
        return unread(turn, response)
    paths = tuple(_keep(job.pk, file.content) for file in found.files)
    return Read(response, found, cost, paths, _kept(job, response))


def steps_so_far(attempt: Attempt) -> list[ToolCall]:
    """The steps of an attempt that has not ended yet, as rows that are not stored."""
    after_all = attempt.turns.count() + 1
    answers, _unreadable = _earlier(Turn(attempt=attempt, number=after_all))
    found = evidence.read({}, turn=after_all, earlier=answers)
    return [_step(None, position, use) for position, use in enumerate(found.tool_uses, 1)]


def unread(turn: Turn, response: ProviderResponse) -> Read:
    """A terminal answer that is kept, with its files, without being read."""
    warned = Warned("unreadable", "The answer cannot be read. It is kept as it came.")
    return Read(
        response, Evidence(warnings=(warned,)), None, fetched=_kept(turn.attempt.job, response)
    )


def reread(turn: Turn) -> Read:
    """A stored answer, read anew, with the files that were fetched with it. Raises
    `payloads.Unreadable` where it is not even a response."""
    response = payloads.read(bytes(turn.payload or b""), request_id=turn.request_id)
    stored = {
        (file.container_id, file.file_id): Fetched(
            file.container_id, file.file_id, file.name, file.content, file.problem
        )
        for file in _stored_files([turn])
    }
    for file in downloads.named(response.data):
        missing = replace(file, problem=NEVER_FETCHED)
        stored.setdefault((file.container_id, file.file_id), missing)
    return read(turn, replace(response, files=tuple(stored.values())))


def keep_files(turn: Turn, found: Read) -> None:
    """Say what became of the files that a turn's answer names, with the answer itself."""
    FetchedFile.objects.bulk_create(
        (
            FetchedFile(
                turn=turn,
                container_id=file.container_id,
                file_id=file.file_id,
                name=clean(file.name)[-255:],
                file=path,
                problem="" if path else clipped(clean(file.problem), 300) or NO_LONGER_KEPT,
            )
            for file, path in found.fetched
        ),
        ignore_conflicts=True,
    )


def store(
    attempt: Attempt,
    found: Read,
    *,
    state: State,
    deliverable: bool,
    also: Sequence[Warned] = (),
    now: datetime,
) -> Result | None:
    """The result, with its evidence. None where nothing was produced and nothing was promised.

    `state` is how the attempt ended: what a response calls complete may not be a result. `also` are
    warnings that are not in the answer.
    """
    fields = _fields(attempt, found, state, also)
    if fields is None:
        return None
    result = Result.objects.create(
        attempt=attempt, deliverable=deliverable, created_at=now, **fields
    )
    _store_rows(result, found)
    return result


def store_anew(result: Result, found: Read, *, state: State, also: Sequence[Warned] = ()) -> bool:
    """What was read anew, in the place of what stood there. False where `found` holds no result;
    then all stays as it was."""
    fields = _fields(result.attempt, found, state, also)
    if fields is None:
        return False
    result.citations.all().delete()
    result.tool_calls.all().delete()
    result.files.all().delete()
    if fields["content_hash"] != result.content_hash:
        # What a reviewer edited was another text.
        fields["edit"] = None
    for name, value in fields.items():
        setattr(result, name, value)
    result.save(update_fields=list(fields))
    _store_rows(result, found)
    return True


def _fields(
    attempt: Attempt, found: Read, state: State, also: Sequence[Warned]
) -> dict[str, Any] | None:
    read = found.evidence
    if read.is_empty and state not in (State.SUCCEEDED, State.INCOMPLETE):
        return None
    warnings = [*read.warnings, *also]
    if state is State.INCOMPLETE:
        why = {
            "turn_limit": "It asked for tools as often as its type allows, and has no final answer.",
            "max_output_tokens": "The answer was cut off at its token limit.",
            "content_filter": "The answer was cut off by OpenAI's content filter.",
        }.get(attempt.error_code, "The answer is incomplete.")
        warnings.insert(0, Warned("incomplete", why))
    if not read.says_something:
        warnings.append(Warned("empty", "The answer holds no result."))
    return {
        "text": read.text,
        "structured": read.structured,
        "warnings": [warning.as_json() for warning in warnings],
        "usage": read.usage or {},
        "model": read.model,
        "service_tier": read.service_tier,
        "partial": state is not State.SUCCEEDED,
        "content_hash": read.content_hash,
    }


def _store_rows(result: Result, found: Read) -> None:
    read = found.evidence
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
            turn=source.turn,
        )
        for position, source in enumerate(read.sources, 1)
    )
    ToolCall.objects.bulk_create(
        _step(result, position, use) for position, use in enumerate(read.tool_uses, 1)
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
            turn=file.turn,
            container_id=file.container_id,
            file_id=file.file_id,
        )
        for position, (file, path) in enumerate(zip(read.files, found.paths, strict=True), 1)
    )


def _step(result: Result | None, position: int, use: ToolUse) -> ToolCall:
    return ToolCall(
        result=result,
        position=position,
        kind=use.kind,
        name=use.name,
        status=use.status,
        summary=use.summary,
        raw=use.raw,
        title=use.title,
        detail=[part.as_json() for part in use.parts],
        turn=use.turn,
    )


@dataclass(frozen=True)
class Leaving:
    """What a completed job gives out: `result` in the version that was approved. The hash is made
    from what is stored now, `data` is read out of the text that it covers, None where that is not
    structured, and `files` are those whose hashes it covers; `edit` is whose version it is, None
    for the model's own. `evidence` goes along."""

    text: str
    data: Any
    files: tuple[ResultFile, ...]
    content_hash: str
    result: Result
    edit: ResultEdit | None
    evidence: Mapping[str, Any]


def leaving(job: Job) -> Leaving:
    """What may leave for a job: nothing else ever does. Raises `NotNow` where nothing may."""
    results = Result.objects.filter(attempt__job=job, deliverable=True)
    last = results.select_related("attempt__job", "edit").order_by("-attempt__number").first()
    status = Job.objects.values_list("status", flat=True).get(pk=job.pk)
    if status != Status.COMPLETED or last is None:
        raise NotNow(f"{job.ref} has no result that may leave.")
    version = last.as_judged()
    data = None
    if version.structured is not None:
        # Where it does not read, the hash does not fit either.
        with suppress(ValueError):
            data = clean(json.loads(version.text))
    files = tuple(version.files.order_by("position"))
    made = evidence.content_hash(version.text, [file.sha256 for file in files])
    return Leaving(version.text, data, files, made, version, last.edit, along_with(version))


def along_with(version: Result) -> dict[str, Any]:
    """The evidence that goes along with a version of a result: its warnings, and its citations as
    far as it rests on them."""
    citations = version.citations.select_related("document").defer("document__text", "raw")
    cited = (one for one in citations.order_by("position") if one.goes_with(version))
    return {
        "warnings": version.warnings,
        "citations": [
            {
                "kind": citation.kind,
                "quote": citation.quote_in(version),
                "document": citation.document.name if citation.document else None,
                "url": citation.url,
                "title": citation.title,
            }
            for citation in islice(cited, MOST_LISTED)
        ],
    }


def evidence_hash(evidence: Mapping[str, Any]) -> str:
    """SHA-256 of what `along_with` gives. The event that completes a job names it, and nothing else
    goes along: evidence that is read anew is no other content, and nobody has decided on it."""
    return hashlib.sha256(json.dumps(evidence, sort_keys=True).encode()).hexdigest()


def stored_hash(result: Result) -> str:
    """The content hash of a result as it is stored now; of a version of it, that one's."""
    files = result.files.order_by("position").values_list("sha256", flat=True)
    return evidence.content_hash(result.text, list(files))


def _documents_at_provider(job: Job) -> Mapping[str, Any]:
    """By the provider's id of a file, the document that it is a copy of."""
    copies = ProviderFile.objects.filter(job=job, file_id__isnull=False)
    return {str(file_id): key for file_id, key in copies.values_list("file_id", "document")}


def _earlier(turn: Turn) -> tuple[list[tuple[int, Mapping[str, Any]]], list[Warned]]:
    """The answers of the turns before this one by their numbers, each with what was said to its
    calls here, and a warning for each that cannot be read."""
    answers: list[tuple[int, Mapping[str, Any]]] = []
    warnings: list[Warned] = []
    turns = turn.attempt.turns.filter(number__lt=turn.number, payload__isnull=False)
    for number, payload in turns.order_by("number").values_list("number", "payload"):
        assert payload is not None
        try:
            data = clean(payloads.read(bytes(payload)).data)
            output = data.get("output")
            said = _said_to_calls(turn.attempt, number)
            items = [*(output if isinstance(output, list) else []), *said]
            answers.append((number, {**data, "output": items}))
        except (payloads.Unreadable, RecursionError):
            text = f"What OpenAI answered in turn {number} cannot be read. It is kept as it came."
            warnings.append(Warned("turn_unreadable", text))
    return answers, warnings


def _said_to_calls(attempt: Attempt, turn: int) -> list[dict[str, Any]]:
    """What the calls of a turn were answered here, as the items that went out with the next."""
    rows = FunctionCall.objects.filter(
        turn__attempt=attempt, turn__number=turn, state=CallState.ANSWERED
    )
    return [_said_to_call(row) for row in rows.order_by("position")]


def _said_to_call(row: FunctionCall) -> dict[str, Any]:
    if row.kind == CallKind.MCP:
        return {
            "type": "mcp_approval_response",
            "approval_request_id": row.call_id,
            "approve": row.outcome == CallOutcome.APPROVED,
            "reason": row.refusal or None,
        }
    return {
        "type": f"{row.item_type}_output",
        "call_id": row.call_id,
        "output": row.output,
        "status": "completed" if row.outcome == CallOutcome.DONE else row.get_outcome_display(),
    }


def _stored_files(turns: Iterable[Turn]) -> list[evidence.FetchedFile]:
    """The files that were fetched with these turns, as they are stored."""
    rows = FetchedFile.objects.filter(turn__in=turns).select_related("turn")
    return [_stored_file(row) for row in rows.order_by("turn__number", "id")]


def _stored_file(row: FetchedFile) -> evidence.FetchedFile:
    content, problem = None, row.problem
    if row.file:
        try:
            with row.file.open("rb") as file:
                content = file.read()
        except OSError:
            problem = NO_LONGER_KEPT
    return evidence.FetchedFile(
        row.container_id, row.file_id, row.name, content, problem, row.turn.number
    )


def _named(file: Fetched, turn: int) -> evidence.FetchedFile:
    name = clean(file.name)[-255:]
    return evidence.FetchedFile(
        file.container_id, file.file_id, name, file.content, clean(file.problem), turn
    )


def _kept(job: Job, response: ProviderResponse) -> tuple[tuple[Fetched, str], ...]:
    """The files that were fetched with a response, and where they are stored."""
    return tuple(
        (file, "" if file.content is None else _keep(job.pk, file.content))
        for file in response.files
    )


def _keep(job_id: UUID, content: bytes) -> str:
    """Store a file under the name of its content, so that storing it twice stores it once."""
    path = f"results/{job_id}/{hashlib.sha256(content).hexdigest()}"
    if default_storage.exists(path):
        if default_storage.size(path) == len(content):
            return path
        # Left half-written by a process that was killed.
        default_storage.delete(path)
    return default_storage.save(path, ContentFile(content))
