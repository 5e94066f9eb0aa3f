"""What the model did on its way, as a list that people read."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from django.utils.safestring import SafeString

from jobs.models import ToolCall
from jobs.rendering import code, links, unseen
from jobs.rendering.sanitizer import sanitized

#: Steps on one page, and the characters of all their details together.
MOST_STEPS = 200
MOST_DETAIL = 300_000
#: The provider's words for the state of an item; "" is what needs no saying.
_STATUSES = {
    "": "",
    "completed": "",
    "failed": "failed",
    "incomplete": "not finished",
    "in_progress": "not finished",
    "searching": "not finished",
    "interpreting": "not finished",
    "generating": "not finished",
    "calling": "not finished",
}
_BAD = frozenset({"failed", "not finished"})


@dataclass(frozen=True)
class Line:
    """`url` is "" where it is no address that may be linked to."""

    text: str
    url: str


@dataclass(frozen=True)
class PartView:
    """`html` is safe, and "" where the part is a list of `lines`. `cut` says what is left out."""

    label: str
    html: SafeString
    lines: tuple[Line, ...]
    cut: str


@dataclass(frozen=True)
class StepView:
    """`kind` is the provider's word for it. `left_out` says that its details are not here."""

    number: int
    title: str
    kind: str
    status: str
    bad: bool
    summary: str
    parts: tuple[PartView, ...]
    left_out: bool


@dataclass(frozen=True)
class TurnView:
    number: int
    steps: Sequence[StepView]


def turns(calls: Iterable[ToolCall]) -> list[TurnView]:
    """The steps of a result in their order, turn by turn; asks the database for nothing."""
    room = MOST_DETAIL
    views: list[tuple[int, StepView]] = []
    for call in list(calls)[:MOST_STEPS]:
        parts = [part for part in call.detail if isinstance(part, dict)]
        room -= sum(_length(part) for part in parts)
        views.append((call.turn, _step(call, parts if room >= 0 else [], left_out=room < 0)))
    return [
        TurnView(number, [step for _turn, step in group])
        for number, group in groupby(views, key=lambda view: view[0])
    ]


def _step(call: ToolCall, parts: Sequence[Mapping[str, Any]], *, left_out: bool) -> StepView:
    status = _STATUSES.get(call.status, unseen.line(call.status, 60))
    title = call.title or call.kind.replace("_", " ")
    return StepView(
        number=call.position,
        title=unseen.line(title, 200),
        kind=unseen.line(call.kind, 60),
        status=status,
        bad=status in _BAD,
        summary=unseen.line(call.summary, 200),
        parts=tuple(_part(part) for part in parts),
        left_out=left_out,
    )


def _part(part: Mapping[str, Any]) -> PartView:
    text, kind, cut = str(part.get("text", "")), part.get("kind"), int(part.get("cut", 0))
    html = ""
    if kind != "list" and text:
        html = code.highlighted(unseen.shown(text), str(part.get("language", "")))
    what = "line" if kind == "list" else "character"
    return PartView(
        label=unseen.line(str(part.get("label", "")), 200),
        html=sanitized(html),
        lines=tuple(
            Line(unseen.line(str(item), 300), links.outward(str(item)))
            for item in part.get("items", [])
        ),
        cut=f"… {cut:,} more {what}{'' if cut == 1 else 's'}" if cut else "",
    )


def _length(part: Mapping[str, Any]) -> int:
    return len(str(part.get("text", ""))) + sum(len(str(item)) for item in part.get("items", []))
