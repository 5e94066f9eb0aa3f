"""The events of a streamed response: a pure function of its plan.

What is written, and when, follows from the response alone, so that every reader gets the same
events with the same numbers, at once or later, also after a restart.
"""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from . import shapes
from .life import Response

Item = dict[str, Any]

DELTAS = 1500  # of one text; the words of a longer one come several at a time
LONGEST_WORD = 40  # characters; what has no spaces is cut into pieces of this length
STEP = 60  # characters that a search or a run of code takes as long as
PADDED = 16  # the length of a delta and its obfuscation is a multiple of this

_PIECE = re.compile(rf"\S{{1,{LONGEST_WORD}}}\s*|\s+")

#: What a call goes through between being added and being done.
_STAGES: dict[str, tuple[str, ...]] = {
    "web_search_call": ("in_progress", "searching", "completed"),
    "file_search_call": ("in_progress", "searching", "completed"),
    "code_interpreter_call": ("in_progress", "interpreting", "completed"),
    "image_generation_call": ("in_progress", "generating", "completed"),
    "mcp_call": ("in_progress", "completed"),
    "mcp_list_tools": ("in_progress", "completed"),
}
#: What is written piece by piece in a call: the field, and the name of its events.
_WRITTEN: dict[str, tuple[str, str]] = {
    "function_call": ("arguments", "function_call_arguments"),
    "mcp_call": ("arguments", "mcp_call_arguments"),
    "custom_tool_call": ("input", "custom_tool_call_input"),
    "code_interpreter_call": ("code", "code_interpreter_call_code"),
}
#: Ends that a stream announces; a cancelled one just ends, and "never" never does.
_SILENT = ("cancelled", "vanish", "never")


@dataclass(frozen=True, slots=True)
class Event:
    """``at`` is in seconds since the create."""

    at: float
    data: dict[str, Any]

    @property
    def number(self) -> int:
        return int(self.data["sequence_number"])


def events(
    response: Response, *, include: frozenset[str] = frozenset(), obfuscation: bool = True
) -> list[Event]:
    """All events of a life that nobody cancels, in order, numbered from 0.

    ``include`` is as in the API, beside what the create included.
    """
    life = response.life
    begun = min(life.queued, life.total)
    told: list[tuple[float, Item]] = []
    first = "queued" if response.background else "in_progress"
    told.append((0.0, _snapshot(response, "created", first, include)))
    if response.background:
        told.append((0.0, _snapshot(response, "queued", "queued", include)))
    told.append((begun, _snapshot(response, "in_progress", "in_progress", include)))

    steps = list(_writing(_items(response, include)))
    whole = sum(weight for weight, _ in steps)
    passed = 0
    half = life.end not in ("completed", "incomplete")
    for weight, event in steps:
        passed += weight
        if half and passed * 2 > whole:
            break
        share = passed / whole if whole else 1.0
        told.append((begun + (life.total - begun) * share, event))
    for place, extra in life.events:
        at = told[min(place, len(told)) - 1][0] if place else 0.0
        told.insert(place, (at, extra))
    if life.end not in _SILENT:
        told.append((life.total, _snapshot(response, life.end, life.end, include)))
    made = []
    for number, (at, event) in enumerate(told):
        event = {**event, "sequence_number": number}
        if obfuscation and isinstance(event.get("delta"), str):
            event["obfuscation"] = _padding(f"{response.id} {number}", len(event["delta"]))
        made.append(Event(at, event))
    return made


def _snapshot(response: Response, name: str, status: str, include: frozenset[str]) -> Item:
    return {
        "type": f"response.{name}",
        "response": _body(response, status, include),
    }


def _body(response: Response, status: str, include: frozenset[str]) -> Item:
    sources = "web_search_call.action.sources" in include | frozenset(response.echo["include"])
    return shapes.body(response, status, sources=sources, include=include)


def _items(response: Response, include: frozenset[str]) -> list[Item]:
    """What is written, as a body of its completed response would show it."""
    life = response.life
    output = life.output if life.end in ("completed", "incomplete") else life.written
    done = dataclasses.replace(life, end="completed", output=output)
    whole = dataclasses.replace(response, life=done, cancelled_at=None, bodies={})
    return list(_body(whole, "completed", include)["output"])


def _padding(seed: str, length: int) -> str:
    mark = hashlib.sha256(seed.encode()).hexdigest()
    return mark[: PADDED - length % PADDED]


def _writing(items: list[Item]) -> Iterator[tuple[int, Item]]:
    """``(characters, event)``: how long an event takes to come, counted as characters written."""
    for index, item in enumerate(items):
        kind = str(item.get("type"))
        place = {"item_id": str(item.get("id") or f"item_{index}"), "output_index": index}
        shown = dict(item)
        inner: Iterator[tuple[int, Item]] = iter(())
        if kind == "message" and isinstance(item.get("content"), list):
            shown["content"], inner = [], _parts(item["content"], place)
        elif kind == "reasoning":
            inner = _thoughts(item, place)
            for key in ("summary", "content"):
                if isinstance(item.get(key), list):
                    shown[key] = []
        elif kind in _STAGES or kind in _WRITTEN:
            inner = _call(item, kind, place)
            if kind in _WRITTEN and isinstance(item.get(_WRITTEN[kind][0]), str):
                shown[_WRITTEN[kind][0]] = ""
            for key in ("output", "results", "outputs", "result", "error"):
                if shown.get(key) is not None:
                    shown[key] = None
            if kind == "mcp_list_tools":
                shown["tools"] = []
        if kind in ("message", "reasoning", *_STAGES, *_WRITTEN) and "status" in item:
            shown["status"] = "in_progress"
        added = {"type": "response.output_item.added", "output_index": index, "item": shown}
        yield 0, added
        yield from inner
        yield 0, {"type": "response.output_item.done", "output_index": index, "item": item}


def _call(item: Item, kind: str, place: Item) -> Iterator[tuple[int, Item]]:
    failed = item.get("status") == "failed" or bool(item.get("error"))
    stages = list(_STAGES.get(kind, ()))
    if stages:
        yield 1, {"type": f"response.{kind}.{stages.pop(0)}", **place}
    field, name = _WRITTEN.get(kind, ("", ""))
    if isinstance(text := item.get(field), str):
        for piece in _pieces(text):
            yield len(piece), {"type": f"response.{name}.delta", **place, "delta": piece}
        yield 0, {"type": f"response.{name}.done", **place, field: text}
    for stage in stages:
        if stage == "completed" and failed:
            if kind.startswith("mcp_"):
                yield STEP, {"type": f"response.{kind}.failed", **place}
            continue
        yield STEP, {"type": f"response.{kind}.{stage}", **place}


def _thoughts(item: Item, place: Item) -> Iterator[tuple[int, Item]]:
    for index, part in enumerate(_dicts(item.get("summary"))):
        at = {**place, "summary_index": index}
        text = str(part.get("text", ""))
        kind = "response.reasoning_summary_"
        yield 0, {"type": f"{kind}part.added", **at, "part": {**part, "text": ""}}
        for piece in _pieces(text):
            yield len(piece), {"type": f"{kind}text.delta", **at, "delta": piece}
        yield 0, {"type": f"{kind}text.done", **at, "text": text}
        yield 0, {"type": f"{kind}part.done", **at, "part": part}
    for index, part in enumerate(_dicts(item.get("content"))):
        at = {**place, "content_index": index}
        text = str(part.get("text", ""))
        for piece in _pieces(text):
            yield len(piece), {"type": "response.reasoning_text.delta", **at, "delta": piece}
        yield 0, {"type": "response.reasoning_text.done", **at, "text": text}


def _parts(content: list[Any], place: Item) -> Iterator[tuple[int, Item]]:
    for index, part in enumerate(_dicts(content)):
        at = {**place, "content_index": index}
        added: Item = {"type": "response.content_part.added", **at, "part": part}
        if part.get("type") == "output_text" and isinstance(text := part.get("text"), str):
            yield 0, {**added, "part": {**part, "text": "", "annotations": []}}
            yield from _text(text, part.get("annotations"), at)
        elif part.get("type") == "refusal" and isinstance(text := part.get("refusal"), str):
            yield 0, {**added, "part": {**part, "refusal": ""}}
            for piece in _pieces(text):
                yield len(piece), {"type": "response.refusal.delta", **at, "delta": piece}
            yield 0, {"type": "response.refusal.done", **at, "refusal": text}
        else:
            yield 0, added
        yield 0, {"type": "response.content_part.done", **at, "part": part}


def _text(text: str, annotations: Any, at: Item) -> Iterator[tuple[int, Item]]:
    """The text in pieces, each annotation as soon as what it marks is written."""
    waiting = list(enumerate(_dicts(annotations)))
    written = 0
    for piece in _pieces(text):
        written += len(piece)
        kind = "response.output_text.delta"
        yield len(piece), {"type": kind, **at, "delta": piece, "logprobs": []}
        while waiting and _end(waiting[0][1]) <= written:
            yield 0, _annotation(*waiting.pop(0), at)
    for number, annotation in waiting:
        yield 0, _annotation(number, annotation, at)
    yield 0, {"type": "response.output_text.done", **at, "text": text, "logprobs": []}


def _annotation(number: int, annotation: Item, at: Item) -> Item:
    kind = "response.output_text.annotation.added"
    return {"type": kind, **at, "annotation_index": number, "annotation": annotation}


def _end(annotation: Item) -> int:
    end = annotation.get("end_index", annotation.get("index"))
    return end if isinstance(end, int) else 0


def _pieces(text: str) -> list[str]:
    """A text in words with the space behind them; at most DELTAS of them."""
    words = _PIECE.findall(text)
    size = -(-len(words) // DELTAS) or 1
    return ["".join(words[at : at + size]) for at in range(0, len(words), size)]


def _dicts(value: Any) -> list[Item]:
    return [part for part in value if isinstance(part, dict)] if isinstance(value, list) else []
