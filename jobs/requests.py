"""The body of a create call, made from a turn's job, its pinned prompt version and its documents."""

import base64
import hashlib
import json
import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db.models import QuerySet
from django.utils import timezone

from jobs import carriage, turns
from jobs.access import live_rule
from jobs.models import (
    OPTIONS,
    Attempt,
    Carry,
    Cause,
    Document,
    GateKind,
    Job,
    Lane,
    Live,
    Result,
    State,
    Turn,
    Verb,
)
from jobs.rendering.results import result_markdown
from jobs.rendering.sections import section_markdown
from jobs.tools import registry

_PLACEHOLDER = re.compile(r"\{(\w+)\}")
#: Extra output that is only sent when asked for, by the tool that it belongs to.
_INCLUDES = {
    "web_search": "web_search_call.action.sources",
    "file_search": "file_search_call.results",
    "code_interpreter": "code_interpreter_call.outputs",
}
#: Stands for the id of the job's vector store in what is stored of a request.
DOCUMENTS = "the job's documents"
#: Characters of the previous result that go along with a request for changes, or a follow-up.
PREVIOUS_RESULT_LENGTH = 100_000


#: Stands for the response that a follow-up goes on from, and for the stored text instead of it.
FOLLOWED = "the result that it follows"
#: Goes before the stored text of the result that a follow-up asks about.
RETOLD = (
    "This is the result that the question is about. The documents and pages that it was made from "
    "are not here, only this text."
)


class CannotSend(Exception):
    """A request must not, or cannot, be sent; in a sentence."""


def create_body(turn: Turn, *, now: datetime | None = None) -> dict[str, Any]:
    """The whole body, documents included. Reads their files; raises `CannotCarry`, and `CannotSend`
    where what a follow-up asks about has been withdrawn."""
    body, job = describe(turn), turn.attempt.job
    if job.carry == Carry.SEARCH:
        store = carriage.store_id(job)
        for tool in body["tools"]:
            if ids := tool.get("vector_store_ids"):
                tool["vector_store_ids"] = [store if id == DOCUMENTS else id for id in ids]
    if turn.number > 1:
        return body
    content = body["input"][0]["content"]
    copies = carriage.file_ids(job) if job.carry == Carry.FILES else {}
    parts = [
        _document_part(document, copies)
        for document in _documents(job)
        if job.carry != Carry.SEARCH
    ]
    body["input"][0]["content"] = [*parts, *(part for part in content if "sha256" not in part)]
    if job.is_follow_up:
        _follow(body, turn, now or timezone.now())
    return body


def _follow(body: dict[str, Any], turn: Turn, now: datetime) -> None:
    """Put the response that a follow-up asks about into its body or, where the provider no longer
    has that, the stored text of the result."""
    job = turn.attempt.job
    result = followed_result(job)
    if result is None:
        raise CannotSend("The result that it asks about has been withdrawn.")
    if response_id := _response_followed(turn, result, now):
        body["previous_response_id"] = response_id
        return
    del body["previous_response_id"]
    part = {"type": "input_text", "text": _retold(result, str(job.input.get("section", "")))}
    body["input"][0]["content"].insert(0, part)


def followed_result(job: Job) -> Result | None:
    """The result that a follow-up asks about: what its parent gave out last."""
    results = Result.objects.filter(attempt__job=job.parent_id, deliverable=True)
    last = results.select_related("attempt__job", "edit").order_by("-attempt__number").first()
    return last.as_judged() if last else None


def _response_followed(turn: Turn, result: Result, now: datetime) -> str | None:
    """The response to go on from, as long as the provider keeps it whole: what it was given as
    files or in a vector store is deleted there once its job has settled. It knows nothing of what a
    reviewer has edited."""
    attempt = result.attempt
    if result.is_edited or attempt.job.carry != Carry.INLINE or attempt.state != State.SUCCEEDED:
        return None
    if Turn.objects.filter(attempt__job=turn.attempt.job_id, previous_gone=True).exists():
        return None
    last = attempt.turns.order_by("-number").first()
    kept = timedelta(days=settings.OPENAI_RESPONSES_KEPT_DAYS)
    fresh = last is not None and last.ended_at is not None and now - last.ended_at < kept
    return last.response_id if last is not None and fresh else None


def _retold(result: Result, section: str) -> str:
    part = section_markdown(result, section)[:PREVIOUS_RESULT_LENGTH] if section else ""
    whole = result_markdown(result)[: PREVIOUS_RESULT_LENGTH - len(part)]
    asked = ["The section that is asked about:", part, "The whole:"] if part else []
    return "\n\n".join(part for part in (RETOLD, *asked, whole) if part)


def describe(turn: Turn) -> dict[str, Any]:
    """The body as it is stored: each document's content stands in by its name and its hash, and the
    ids that the provider gives to copies are not in it."""
    job, version = turn.attempt.job, turn.attempt.job.prompt_version
    tools = _tools(job)
    body: dict[str, Any] = {
        **{name: value for name, value in dict(version.options).items() if name in OPTIONS},
        "model": version.model,
        "instructions": version.instructions,
        "input": _first_input(turn) if turn.number == 1 else turns.answers(turn),
        "background": True,
        "store": True,
        "metadata": {
            "job": str(job.pk),
            "attempt": str(turn.attempt_id),
            "turn": str(turn.pk),
        },
    }
    if turn.number > 1:
        body["previous_response_id"] = _response_before(turn)
        if not turns.may_go_on(job, turn):
            # The last one: an answer is wanted, and no more calls.
            body["tool_choice"] = "none"
        if limit := body.get("max_tool_calls"):
            # The provider counts anew with each response; the limit is for all of them.
            left = limit - turns.hosted_calls(turn)
            body["max_tool_calls"] = max(1, left)
            if left < 1:
                tools = [tool for tool in tools if tool.get("type") == "function"]
                if choice := _choice_of(body.pop("tool_choice", None), tools):
                    body["tool_choice"] = choice
    elif job.is_follow_up:
        # Whichever way it goes along: what a person approves is the question about this content.
        result = followed_result(job)
        body["previous_response_id"] = (
            f"{FOLLOWED}, sha256 {result.content_hash if result else '-'}"
        )
    if live_rule(job) != Live.OFF:
        body["stream"] = True
    if tools:
        body["tools"] = tools
    if include := includes(tools):
        body["include"] = [*body.get("include", []), *include]
    if version.output_schema:
        body["text"] = {
            **body.get("text", {}),
            "format": {
                "type": "json_schema",
                "name": re.sub(r"\W", "_", job.job_type.slug)[:64],
                "schema": version.output_schema,
                "strict": True,
            },
        }
    return body


def _first_input(turn: Turn) -> list[dict[str, Any]]:
    files = [
        {"type": _part_type(document), "filename": document.name, "sha256": document.sha256}
        for document in _documents(turn.attempt.job)
    ]
    return [{"role": "user", "content": [*files, {"type": "input_text", "text": _message(turn)}]}]


def _response_before(turn: Turn) -> str:
    before = Turn.objects.get(attempt=turn.attempt_id, number=turn.number - 1)
    return str(before.response_id)


def _tools(job: Job) -> list[dict[str, Any]]:
    """The prompt version's tools, ours with their schemas, and the search of the job's documents
    where these are to be searched."""
    listed = _filled(job.prompt_version.tools, job.input)
    ours = registry.offered(listed)
    # One of ours that is no longer registered has no schema: it is not offered.
    made = [
        ours[tool["name"]].definition if tool.get("name") in ours else tool
        for tool in listed
        if isinstance(tool, dict) and (tool.get("type") != "function" or _is_whole(tool, ours))
    ]
    if job.carry != Carry.SEARCH:
        return made
    search = next((tool for tool in made if tool.get("type") == "file_search"), {})
    others = [tool for tool in made if tool is not search]
    stores = [*search.get("vector_store_ids", []), DOCUMENTS]
    return [{"type": "file_search", **search, "vector_store_ids": stores}, *others]


def _choice_of(choice: Any, tools: list[dict[str, Any]]) -> Any:
    """What is left of a ``tool_choice`` where only these tools are: one that names another is
    refused. None where there is nothing to choose from."""
    if not tools:
        return None
    if not isinstance(choice, dict):
        return choice
    listed = choice.get("tools")
    if choice.get("type") == "allowed_tools" and isinstance(listed, list):
        kept = [one for one in listed if _names_one(one, tools)]
        return {**choice, "tools": kept} if kept else "none"
    return choice if _names_one(choice, tools) else "auto"


def _names_one(named: Any, tools: list[dict[str, Any]]) -> bool:
    """Whether a ``tool_choice`` means one of these functions."""
    named = named if isinstance(named, dict) else {}
    return named.get("type") == "function" and any(
        tool.get("name") == named.get("name") for tool in tools
    )


def _is_whole(tool: Mapping[str, Any], ours: Mapping[str, Any]) -> bool:
    return tool.get("name") in ours or "parameters" in tool


def included(job: Job) -> list[str]:
    """What a lookup of the job's responses asks for beside the usual."""
    searches = [{"type": "file_search"}] if job.carry == Carry.SEARCH else []
    return includes([*job.prompt_version.tools, *searches])


def includes(tools: list[dict[str, Any]]) -> list[str]:
    kinds = [str(tool.get("type", "")) for tool in tools]
    return [value for kind, value in _INCLUDES.items() if any(k.startswith(kind) for k in kinds)]


def content_hash(body: Mapping[str, Any]) -> str:
    """SHA-256 of what a person approves before it runs: the stored body, without its metadata
    and whether it is streamed."""
    content = {key: value for key, value in body.items() if key not in ("metadata", "stream")}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def planned(job: Job) -> dict[str, Any]:
    """What the job's first attempt sends, as it is stored, without the ids that it will carry."""
    body = describe(Turn(attempt=Attempt(job=job, cause=Cause.FIRST)))
    del body["metadata"]
    return body


def planned_hash(job: Job) -> str:
    """The content hash of what the job's first attempt sends."""
    return content_hash(planned(job))


def may_run(job: Job) -> bool:
    """Whether nothing stands between the job and the provider: its lane asks for no approval, or a
    person has approved just what would be sent."""
    if job.lane != Lane.APPROVAL:
        return True
    approved = job.gates.filter(kind=GateKind.BEFORE_RUN, outcome=Verb.APPROVED)
    return approved.filter(content_hash=planned_hash(job)).exists()


def rendered(template: str, values: Mapping[str, Any]) -> str:
    """`template` with each ``{name}`` filled in. A line whose names are all empty is left out."""
    lines = []
    for line in template.splitlines():
        names = _PLACEHOLDER.findall(line)
        if names and not any(_worded(values.get(name)) for name in names):
            continue
        lines.append(_PLACEHOLDER.sub(lambda match: _worded(values.get(match[1])), line))
    return "\n".join(lines).strip()


def placeholders(value: Any) -> set[str]:
    """The inputs that a template names, or a tool definition at any depth."""
    if isinstance(value, str):
        return set(_PLACEHOLDER.findall(value))
    if isinstance(value, dict):
        value = list(value.values())
    return set().union(*map(placeholders, value)) if isinstance(value, list) else set()


def summary(job: Job) -> str:
    """The input in one line, for lists."""
    said = [_worded(value).replace("\n", " ") for value in job.input.values() if value]
    return " · ".join(said)


def _documents(job: Job) -> QuerySet[Document]:
    """Without their text, which may be as long as the files."""
    return job.documents.defer("text")


def _message(turn: Turn) -> str:
    job, attempt = turn.attempt.job, turn.attempt
    text = rendered(job.prompt_version.template, job.input)
    if job.carry == Carry.SEARCH:
        names = "\n".join(f"- {document.name}" for document in _documents(job))
        text = f"{text}\n\nThese documents can be searched:\n{names}"
    said = _feedback(attempt)
    if not said:
        return text
    previous = Result.objects.filter(attempt__job=job, attempt__number__lt=attempt.number)
    before = previous.select_related("edit").order_by("-attempt__number").first()
    parts = [text]
    for number, earlier in enumerate(said[:-1], 1):
        parts += [f"In round {number}, a reviewer asked for these changes:", earlier]
    parts += ["A reviewer asked for these changes to the previous result:", said[-1]]
    if before and (judged := before.as_judged().text):
        parts += ["The previous result:", judged[:PREVIOUS_RESULT_LENGTH]]
    return "\n\n".join(part for part in parts if part)


def _feedback(attempt: Attempt) -> list[str]:
    """What reviewers asked for, round by round, for an attempt that follows it: a passing fault in
    between changes nothing, and a retry by a person begins without it."""
    if attempt.cause not in (Cause.CHANGES, Cause.AUTOMATIC):
        return []
    said: list[str] = []
    before = Attempt.objects.filter(job=attempt.job, number__lte=attempt.number)
    for cause, feedback in before.order_by("number").values_list("cause", "feedback"):
        if cause == Cause.CHANGES:
            said.append(feedback)
        elif cause != Cause.AUTOMATIC:
            said.clear()
    return said


def _part_type(document: Document) -> str:
    image = document.content_type.startswith(carriage.IMAGES)
    return "input_image" if image else "input_file"


def _document_part(document: Document, copies: Mapping[int, str]) -> dict[str, Any]:
    kind = _part_type(document)
    # The API's description demands it of every picture.
    picture = {"detail": "auto"} if kind == "input_image" else {}
    if document.pk in copies:
        return {"type": kind, "file_id": copies[document.pk], **picture}
    encoded = base64.b64encode(carriage.read_document(document)).decode()
    data = f"data:{document.content_type};base64,{encoded}"
    if kind == "input_image":
        return {"type": kind, "image_url": data, **picture}
    return {"type": kind, "filename": document.name, "file_data": data}


def _filled(value: Any, values: Mapping[str, Any]) -> Any:
    """Tool definitions with their placeholders filled; what stays empty falls away, and so does an
    object of which nothing but its type is left."""
    if isinstance(value, str):
        return rendered(value, values) if _PLACEHOLDER.search(value) else value
    if isinstance(value, list):
        return [_filled(item, values) for item in value]
    if isinstance(value, dict):
        filled = {key: _filled(item, values) for key, item in value.items()}
        kept = {key: item for key, item in filled.items() if item not in ("", None)}
        for key, item in value.items():
            if isinstance(item, dict) and set(kept[key]) <= {"type"} and kept[key] != item:
                del kept[key]
        return kept
    return value


def _worded(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, list):
        return "\n".join(f"- {item}" for item in value)
    return str(value)
