"""What a response holds, read out of its payload: pure, and never an error.

A payload may hold anything: types that nobody has seen yet, missing parts, wrong kinds. What is
understood becomes text, structured output, citations, tool calls and files; what is not is kept as
a tool call of its own type, so that a reviewer still sees it.
"""

import base64
import binascii
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from jsonschema import Draft202012Validator

from jobs.text import Searchable, clean, clipped

#: Violations listed one by one; more than these are counted.
MOST_VIOLATIONS = 50
#: What is read out of one answer. The payload is kept whole; what is over is named in a warning.
MOST_SOURCES = 2_000
MOST_TOOL_USES = 1_000
MOST_QUOTES = 500
_IMAGE_TYPES = {b"\x89PNG": "image/png", b"\xff\xd8\xff": "image/jpeg", b"RIFF": "image/webp"}


@dataclass(frozen=True)
class Warned:
    """Something that a person should look at: a code, a sentence, and where it is."""

    code: str
    text: str
    path: str = ""

    def as_json(self) -> dict[str, str]:
        return {"code": self.code, "text": self.text, "path": self.path}


@dataclass(frozen=True)
class Source:
    """A citation. ``document`` is the key of the document in which the quote was found."""

    kind: str
    quote: str = ""
    document: Any = None
    path: str = ""
    start: int | None = None
    end: int | None = None
    url: str = ""
    title: str = ""
    raw: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class ToolUse:
    kind: str
    name: str
    status: str
    summary: str
    raw: Mapping[str, Any]


@dataclass(frozen=True)
class InlineFile:
    name: str
    content_type: str
    content: bytes

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()


@dataclass(frozen=True)
class DocumentText:
    """A document as quotes are looked up in it. `key` comes back in `Source.document`."""

    key: Any
    name: str
    text: str


@dataclass(frozen=True)
class Evidence:
    text: str = ""
    structured: Any = None
    sources: tuple[Source, ...] = ()
    tool_uses: tuple[ToolUse, ...] = ()
    files: tuple[InlineFile, ...] = ()
    warnings: tuple[Warned, ...] = ()
    usage: Mapping[str, Any] | None = None
    model: str = ""
    service_tier: str = ""

    @property
    def is_empty(self) -> bool:
        return not (self.text or self.structured or self.files or self.tool_uses)

    @property
    def content_hash(self) -> str:
        return content_hash(self.text, [file.sha256 for file in self.files])


def content_hash(text: str, files: Sequence[str]) -> str:
    """SHA-256 over what would leave the building: the text, and the hashes of the files.

    Structured output is read from the text, and is left out: databases store JSON numbers in
    their own way, and the hash must come out the same when it is made from the stored row.
    """
    return hashlib.sha256(json.dumps([text, *files]).encode()).hexdigest()


def read(
    data: Mapping[str, Any],
    *,
    schema: Mapping[str, Any] | None = None,
    documents: Sequence[DocumentText] = (),
    check_quotes: bool = False,
) -> Evidence:
    """Read a response object. `schema` is what the text must be JSON of, where it is given."""
    try:
        return _read(clean(data), schema, documents, check_quotes)
    except RecursionError:
        warned = Warned("unreadable", "The answer is nested too deeply to be read. It is kept.")
        return Evidence(warnings=(warned,))


def _read(
    data: Mapping[str, Any],
    schema: Mapping[str, Any] | None,
    documents: Sequence[DocumentText],
    check_quotes: bool,
) -> Evidence:
    items = _dicts(data.get("output"))
    text, sources, warnings = _messages(items)
    tool_uses, files, tool_warnings = _tools(items)
    warnings += tool_warnings
    structured = None
    if schema and text:
        structured, violations = _structured(text, schema)
        warnings += violations
    if check_quotes and structured is not None:
        found, missing = _quotes(structured, documents)
        sources += found
        warnings += missing
    for what, rows, most in (
        ("citations", sources, MOST_SOURCES),
        ("tool calls", tool_uses, MOST_TOOL_USES),
    ):
        if len(rows) > most:
            text_of_it = f"The answer has {len(rows)} {what}; the first {most} are shown."
            warnings.append(Warned("cut", text_of_it))
            del rows[most:]
    usage = data.get("usage")
    return Evidence(
        text=text,
        structured=structured,
        sources=tuple(sources),
        tool_uses=tuple(tool_uses),
        files=tuple(files),
        warnings=tuple(warnings),
        usage=usage if isinstance(usage, dict) else None,
        model=_text(data.get("model"))[:100],
        service_tier=_text(data.get("service_tier"))[:40],
    )


def _messages(items: Sequence[dict[str, Any]]) -> tuple[str, list[Source], list[Warned]]:
    """The final answer's text; commentary on the way counts only where nothing else was said."""
    messages = [item for item in items if item.get("type") == "message"]
    final = [item for item in messages if item.get("phase") != "commentary"] or messages
    parts: list[str] = []
    length = 0
    sources: list[Source] = []
    warnings: list[Warned] = []
    for message in final:
        for part in _dicts(message.get("content")):
            if part.get("type") == "refusal":
                refusal = clipped(_text(part.get("refusal")), 300)
                warnings.append(Warned("refusal", f"The model refused: {refusal}"))
                continue
            content = _text(part.get("text"))
            if not content:
                continue
            base = length + 2 if parts else 0
            parts.append(content)
            length = base + len(content)
            sources += [
                _annotation(annotation, content, base)
                for annotation in _dicts(part.get("annotations"))
            ]
    return "\n\n".join(parts), sources, warnings


def _annotation(annotation: dict[str, Any], text: str, base: int) -> Source:
    """A citation as the provider gave it. Its offsets count from the start of its own part."""
    start, end = _index(annotation.get("start_index")), _index(annotation.get("end_index"))
    source = Source(
        kind=_text(annotation.get("type"))[:40] or "unknown",
        url=_text(annotation.get("url")),
        title=_text(annotation.get("title")) or _text(annotation.get("filename")),
        raw=annotation,
    )
    if start is None or end is None or not start <= end <= len(text):
        return source
    return replace(source, quote=text[start:end], start=base + start, end=base + end)


def _tools(
    items: Sequence[dict[str, Any]],
) -> tuple[list[ToolUse], list[InlineFile], list[Warned]]:
    uses: list[ToolUse] = []
    files: list[InlineFile] = []
    warnings: list[Warned] = []
    for item in items:
        kind = _text(item.get("type"))[:60] or "unknown"
        if kind == "message" or (kind == "reasoning" and not _dicts(item.get("summary"))):
            continue
        status = _text(item.get("status"))[:60]
        if kind == "image_generation_call" and (file := _image(item, len(files) + 1)):
            files.append(file)
        raw = {key: value for key, value in item.items() if key != "encrypted_content"}
        if isinstance(raw.get("result"), str) and len(raw["result"]) > 1000:
            raw["result"] = f"({len(raw['result'])} characters)"
        name = _text(item.get("name")) or _text(item.get("server_label"))
        uses.append(ToolUse(kind, name[:200], status, _tool_summary(item), raw))
        if status in ("failed", "incomplete") or item.get("error"):
            warnings.append(Warned("tool_failed", f"{name or kind} ended {status or 'in error'}."))
    return uses, files, warnings


def _tool_summary(item: dict[str, Any]) -> str:
    action = item.get("action")
    action = action if isinstance(action, dict) else {}
    said: list[Any] = [
        action.get("query"),
        *_list(action.get("queries")),
        action.get("url"),
        *_list(item.get("queries")),
        item.get("code"),
        item.get("arguments"),
        *(part.get("text") for part in _dicts(item.get("summary"))),
    ]
    words = dict.fromkeys(part for part in said if isinstance(part, str) and part)
    return clipped(" · ".join(words), 500)


def _image(item: dict[str, Any], number: int) -> InlineFile | None:
    try:
        content = base64.b64decode(_text(item.get("result")), validate=True)
    except (binascii.Error, ValueError):
        return None
    if not content:
        return None
    content_type = next(
        (kind for magic, kind in _IMAGE_TYPES.items() if content.startswith(magic)),
        "application/octet-stream",
    )
    suffix = content_type.partition("/")[2] if content_type.startswith("image/") else "bin"
    return InlineFile(f"image-{number}.{suffix}", content_type, content)


def _structured(text: str, schema: Mapping[str, Any]) -> tuple[Any, list[Warned]]:
    try:
        value = clean(json.loads(text))
    except ValueError as error:
        return None, [Warned("not_json", f"The output is not the JSON that was asked for: {error}")]
    try:
        # One more than are shown, and no more: a long list of errors costs more than its answer.
        found = islice(Draft202012Validator(schema).iter_errors(value), MOST_VIOLATIONS + 1)
        violations = sorted(found, key=lambda v: list(map(str, v.path)))
    except RecursionError:
        raise
    except Exception as error:
        # A reference that leads nowhere, a pattern that is none, a number beyond all floats …
        why = clipped(clean(str(error)), 200)
        text = f"The output could not be held against its schema: {why}"
        return value, [Warned("schema_unusable", text)]
    warnings = [
        Warned(
            "schema_violation",
            clipped(f"{violation.json_path}: {violation.message}", 300),
            violation.json_path,
        )
        for violation in violations[:MOST_VIOLATIONS]
    ]
    if len(violations) > MOST_VIOLATIONS:
        warnings.append(Warned("schema_violation", "… and more violations.", "$"))
    return value, warnings


def _quotes(
    structured: Any, documents: Sequence[DocumentText]
) -> tuple[list[Source], list[Warned]]:
    searchable = [(document, Searchable.of(document.text)) for document in documents]
    found: list[Source] = []
    missing: list[Warned] = [
        Warned(
            "document_without_text",
            f"No text could be read in {document.name}, so quotes from it cannot be looked up.",
            document.name,
        )
        for document in documents
        if not document.text.strip()
    ]
    quotes = list(islice(_quoted(structured, "$"), MOST_QUOTES + 1))
    if len(quotes) > MOST_QUOTES:
        missing.append(Warned("cut", f"Only the first {MOST_QUOTES} quotes were looked up."))
    for path, quote, name in quotes[:MOST_QUOTES]:
        named = [pair for pair in searchable if pair[0].name.casefold() == name.casefold()]
        for document, text in named or searchable:
            if place := text.find(quote):
                found.append(
                    Source("quote", quote, document.key, path[:200], *place, title=document.name)
                )
                break
        else:
            where = name if named else "any document"
            missing.append(
                Warned("quote_not_found", f"Not found in {where}: “{clipped(quote, 160)}”", path)
            )
    return found, missing


def _quoted(value: Any, path: str) -> Iterator[tuple[str, str, str]]:
    """Every object with a text under "quote", with its path and the document that it names."""
    if isinstance(value, dict):
        if isinstance(value.get("quote"), str):
            yield path, value["quote"], _text(value.get("document"))
        for key, item in value.items():
            yield from _quoted(item, f"{path}.{key}")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _quoted(item, f"{path}[{index}]")


def _dicts(value: Any) -> list[dict[str, Any]]:
    return [item for item in _list(value) if isinstance(item, dict)]


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _index(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None
