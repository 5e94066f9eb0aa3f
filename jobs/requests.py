"""The body of a create call, made from a turn's job, its pinned prompt version and its documents."""

import base64
import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

from django.db.models import QuerySet

from jobs.models import OPTIONS, Attempt, Cause, Document, GateKind, Job, Lane, Result, Turn, Verb

_PLACEHOLDER = re.compile(r"\{(\w+)\}")
#: Extra output that is only sent when asked for, by the tool that it belongs to.
_INCLUDES = {
    "web_search": "web_search_call.action.sources",
    "file_search": "file_search_call.results",
    "code_interpreter": "code_interpreter_call.outputs",
}
#: Characters of the previous result that go along with a request for changes.
PREVIOUS_RESULT_LENGTH = 100_000


class DocumentChanged(Exception):
    """A document's file is gone, or no longer what the job was given."""


def create_body(turn: Turn) -> dict[str, Any]:
    """The whole body, documents included. Reads their files; raises `DocumentChanged`."""
    body = describe(turn)
    content = body["input"][0]["content"]
    for part, document in zip(content, _documents(turn.attempt.job), strict=False):
        part.clear()
        part.update(_file_part(document))
    return body


def describe(turn: Turn) -> dict[str, Any]:
    """The body as it is stored: each document's content stands in by its name and its hash."""
    job, version = turn.attempt.job, turn.attempt.job.prompt_version
    tools = _filled(version.tools, job.input)
    files = [
        {"type": "input_file", "filename": document.name, "sha256": document.sha256}
        for document in _documents(job)
    ]
    body: dict[str, Any] = {
        **{name: value for name, value in dict(version.options).items() if name in OPTIONS},
        "model": version.model,
        "instructions": version.instructions,
        "input": [
            {
                "role": "user",
                "content": [*files, {"type": "input_text", "text": _message(turn)}],
            }
        ],
        "background": True,
        "store": True,
        "metadata": {
            "job": str(job.pk),
            "attempt": str(turn.attempt_id),
            "turn": str(turn.pk),
        },
    }
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


def includes(tools: list[dict[str, Any]]) -> list[str]:
    kinds = [str(tool.get("type", "")) for tool in tools]
    return [value for kind, value in _INCLUDES.items() if any(k.startswith(kind) for k in kinds)]


def content_hash(body: Mapping[str, Any]) -> str:
    """SHA-256 of what a person approves before it runs: the stored body, without its metadata."""
    content = {key: value for key, value in body.items() if key != "metadata"}
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
    if attempt.cause != Cause.CHANGES:
        return text
    previous = Result.objects.filter(attempt__job=job, attempt__number__lt=attempt.number)
    before = previous.order_by("-attempt__number").first()
    parts = [text, "A reviewer asked for these changes to the previous result:", attempt.feedback]
    if before and before.text:
        parts += ["The previous result:", before.text[:PREVIOUS_RESULT_LENGTH]]
    return "\n\n".join(part for part in parts if part)


def _file_part(document: Document) -> dict[str, Any]:
    try:
        with document.file.open("rb") as file:
            content = file.read()
    except OSError as error:
        raise DocumentChanged(f"The file of {document.name} cannot be read: {error}") from error
    if hashlib.sha256(content).hexdigest() != document.sha256:
        raise DocumentChanged(f"The file of {document.name} is not what the job was given.")
    encoded = base64.b64encode(content).decode()
    return {
        "type": "input_file",
        "filename": document.name,
        "file_data": f"data:{document.content_type};base64,{encoded}",
    }


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
