"""The final answer's text, its citations, and refusals."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from jobs.evidence.parts import Source, Warned, a_text, an_index, dicts
from jobs.text import clipped

LONGEST_REFUSAL = 2_000
#: Parts of a message that may be empty.
_TEXTS = ("output_text", "text", "refusal")
#: Says which document a citation is in, by the provider's id of the file and by its name; or None.
DocumentFor = Callable[[str, str], Any]


def said_on_the_way(item: dict[str, Any]) -> bool:
    return item.get("phase") == "commentary"


def final_messages(items: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The messages that are the answer: commentary is one only where nothing else was said."""
    messages = [item for item in items if item.get("type") == "message"]
    return [item for item in messages if not said_on_the_way(item)] or messages


def answer(
    items: Sequence[dict[str, Any]], document_for: DocumentFor, *, turn: int
) -> tuple[str, list[Source], list[Warned]]:
    """The text of the answer, with the citations in it and a warning for each refusal."""
    texts: list[str] = []
    length = 0
    sources: list[Source] = []
    warnings: list[Warned] = []
    for message in final_messages(items):
        for part in dicts(message.get("content")):
            if part.get("type") == "refusal":
                refusal = clipped(a_text(part.get("refusal")), LONGEST_REFUSAL)
                warnings.append(Warned("refusal", f"The model refused: {refusal}"))
                continue
            content = a_text(part.get("text"))
            if not content:
                if part.get("type") not in _TEXTS:
                    kind = clipped(a_text(part.get("type")), 60) or "without a name"
                    said = f"A part of the answer is of the unknown type {kind}. It is kept."
                    warnings.append(Warned("unknown_part", said))
                continue
            base = length + 2 if texts else 0
            texts.append(content)
            length = base + len(content)
            sources += [
                _citation(annotation, content, base, document_for, turn)
                for annotation in dicts(part.get("annotations"))
            ]
    return "\n\n".join(texts), sources, warnings


def citations(
    items: Sequence[dict[str, Any]], document_for: DocumentFor, *, turn: int
) -> list[Source]:
    """The citations of messages that are not the answer: they have no place in its text."""
    return [
        replace(_citation(note, "", 0, document_for, turn), start=None, end=None)
        for item in items
        if item.get("type") == "message"
        for part in dicts(item.get("content"))
        for note in dicts(part.get("annotations"))
    ]


def message_text(item: dict[str, Any]) -> str:
    """What a message says, refusals included."""
    said = [
        a_text(part.get("text")) or a_text(part.get("refusal"))
        for part in dicts(item.get("content"))
    ]
    return "\n\n".join(text for text in said if text)


def _citation(
    note: dict[str, Any], text: str, base: int, document_for: DocumentFor, turn: int
) -> Source:
    """A citation as the provider gave it. Its offsets count from the start of its own part."""
    filename = a_text(note.get("filename"))
    source = Source(
        kind=a_text(note.get("type"))[:40] or "unknown",
        document=document_for(a_text(note.get("file_id")), filename),
        url=a_text(note.get("url")),
        title=a_text(note.get("title")) or filename,
        raw=note,
        turn=turn,
    )
    start, end = an_index(note.get("start_index")), an_index(note.get("end_index"))
    if start is not None and end is not None and start <= end <= len(text):
        return replace(source, quote=text[start:end], start=base + start, end=base + end)
    # A file is cited at a place, not over a span.
    at = an_index(note.get("index"))
    if at is not None and at <= len(text) and start is None and end is None:
        return replace(source, start=base + at, end=base + at)
    return source
