"""The whole of an attempt's answer, from the payloads of its turns."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jobs.evidence.files import FetchedFile, InlineFile
from jobs.evidence.messages import answer, citations
from jobs.evidence.parts import (
    DocumentText,
    Evidence,
    Source,
    ToolUse,
    Warned,
    a_dict,
    a_text,
    dicts,
)
from jobs.evidence.steps import names_of_calls, steps
from jobs.evidence.structured import quotes, structured
from jobs.evidence.usage import summed
from jobs.text import clean, clipped

#: What is read out of one turn. The payload is kept whole; what is over is named in a warning.
MOST_SOURCES = 2_000
MOST_TOOL_USES = 1_000


@dataclass(frozen=True)
class _Asked:
    """What the answer is held against."""

    schema: Mapping[str, Any] | None
    documents: Sequence[DocumentText]
    files: Mapping[str, Any]
    check_quotes: bool

    def document_for(self, file_id: str, filename: str) -> Any:
        """The document that a file of the provider's is: by its id, else by its name, where just
        one has it."""
        if file_id in self.files:
            return self.files[file_id]
        named = [d.key for d in self.documents if filename and d.name == filename]
        return named[0] if len(named) == 1 else None


def read(
    data: Mapping[str, Any],
    *,
    schema: Mapping[str, Any] | None = None,
    documents: Sequence[DocumentText] = (),
    check_quotes: bool = False,
    turn: int = 1,
    earlier: Sequence[tuple[int, Mapping[str, Any]]] = (),
    fetched: Sequence[FetchedFile] = (),
    files: Mapping[str, Any] | None = None,
    warnings: Sequence[Warned] = (),
) -> Evidence:
    """Read a response object, and those of the `earlier` turns of its attempt by their numbers.

    Text and structured output are the last one's; citations, steps and files are those of all.
    `schema` is what the text must be JSON of, where it is given; `fetched` what was tried to fetch
    of the files that the answers name; `files` says which document each of the provider's files is;
    `warnings` are those that are known already.
    """
    asked = _Asked(schema, documents, files or {}, check_quotes)
    try:
        return _read(
            [(number, clean(dict(payload))) for number, payload in earlier],
            (turn, clean(dict(data))),
            asked,
            fetched,
            warnings,
        )
    except RecursionError:
        warned = Warned("unreadable", "The answer is nested too deeply to be read. It is kept.")
        return Evidence(warnings=(*warnings, warned))


def _read(
    earlier: Sequence[tuple[int, dict[str, Any]]],
    last: tuple[int, dict[str, Any]],
    asked: _Asked,
    fetched: Sequence[FetchedFile],
    known: Sequence[Warned],
) -> Evidence:
    turn, data = last
    turns = [*earlier, last]
    text, sources, warnings = answer(dicts(data.get("output")), asked.document_for, turn=turn)
    tool_uses: list[ToolUse] = []
    inline: list[InlineFile] = []
    names = names_of_calls(item for _n, payload in turns for item in dicts(payload.get("output")))
    before: list[Source] = []
    for number, payload in turns:
        items = dicts(payload.get("output"))
        is_last = number == turn
        found = steps(items, names, turn=number, is_last=is_last, images=len(inline))
        warnings += found.warnings
        tool_uses += _first(found.uses, MOST_TOOL_USES, "steps", warnings)
        inline += found.images
        if not is_last:
            before += citations(items, asked.document_for, turn=number)
    value = None
    if asked.schema and text:
        value, violations = structured(text, asked.schema)
        warnings += violations
    if asked.check_quotes and value is not None:
        quoted, missing = quotes(value, asked.documents, turn=turn)
        sources += quoted
        warnings += missing
    files = [*inline, *(file for f in fetched if (file := f.as_file()))]
    warnings += [
        Warned(
            "file_missing", f"The file {clipped(f.name or f.file_id, 100)} is missing: {f.problem}"
        )
        for f in fetched
        if f.content is None
    ]
    usage = data.get("usage")
    return Evidence(
        text=text,
        structured=value,
        sources=tuple(_first([*before, *sources], MOST_SOURCES, "citations", warnings)),
        tool_uses=tuple(tool_uses),
        files=tuple(files),
        warnings=(*known, *warnings),
        usage=summed([payload.get("usage") for _number, payload in turns]),
        own_usage=a_dict(usage) or None,
        cut=len(found.uses) > MOST_TOOL_USES,
        model=a_text(data.get("model"))[:100],
        service_tier=a_text(data.get("service_tier"))[:40],
    )


def _first(rows: list[Any], most: int, what: str, warnings: list[Warned]) -> list[Any]:
    if len(rows) > most:
        text = f"The answer has {len(rows)} {what}; the first {most} are shown."
        warnings.append(Warned("cut", text))
    return rows[:most]
