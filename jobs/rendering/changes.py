"""What differs between two versions: of a text, word by word where a line was changed, and of
structured output, place by place. Pure, and bounded in its work whatever it is given."""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Literal

from jobs.rendering import unseen
from jobs.rendering.alignment import Budget, Spent, blocks

Kind = Literal["same", "added", "removed", "gap"]

#: Characters of a version; two of which one is longer are not compared.
LONGEST = 2_000_000
#: Comparisons of two words or two lines that one call makes.
MOST_WORK = 400_000
#: Words of a changed passage up to which it is compared by words.
MOST_WORDS = 4_000
#: Below this share of words in common, a passage is another one.
ALIKE = 0.3
#: Below this share of characters in common, two texts are not two versions of one.
RELATED = 0.02
#: Characters that a page shows of a difference, and lines of what did not change beside it.
MOST_SHOWN = 40_000
CONTEXT = 2
#: Places of structured output that are listed.
MOST_PLACES = 200
#: Characters of one value that is listed.
LONGEST_VALUE = 4_000
#: Depth up to which structured output is taken apart.
DEEPEST = 40

_WORDS = re.compile(r"\w+|\s|[^\w\s]")


@dataclass(frozen=True)
class Piece:
    """A part of two versions taken together. The "same" and the "removed" ones are the first; the
    "same" and the "added" ones the second. A "gap" stands for `lines` that did not change."""

    kind: Kind
    text: str
    lines: int = 0


@dataclass(frozen=True)
class TextChanges:
    """`pieces` in the order of reading. Where `comparable` is false the versions have too little in
    common, or are too long, and are given one after the other."""

    pieces: tuple[Piece, ...]
    comparable: bool = True

    @property
    def added(self) -> int:
        return sum(len(piece.text) for piece in self.pieces if piece.kind == "added")

    @property
    def removed(self) -> int:
        return sum(len(piece.text) for piece in self.pieces if piece.kind == "removed")

    @property
    def any(self) -> bool:
        return any(piece.kind != "same" for piece in self.pieces)


@dataclass(frozen=True)
class Place:
    """One place of structured output that differs. `path` is where it stands in the second version,
    or stood in the first if it was removed; `kind` is "added", "removed" or "changed"; `pieces` is
    how its text changed, where it was and is a text."""

    path: str
    kind: Literal["added", "removed", "changed"]
    before: Any = None
    after: Any = None
    pieces: tuple[Piece, ...] = ()


@dataclass(frozen=True)
class DataChanges:
    """`more` counts places beyond those that are listed; -1: some, uncounted."""

    places: tuple[Place, ...]
    more: int = 0


def text_changes(before: str, after: str, *, budget: Budget | None = None) -> TextChanges:
    """How one text became the other."""
    if before == after:
        return TextChanges(_merged([Piece("same", before)]))
    apart = TextChanges(
        _merged([Piece("removed", before), Piece("added", after)]), comparable=False
    )
    if max(len(before), len(after)) > LONGEST:
        return apart
    budget = budget or Budget(MOST_WORK)
    lines_before, lines_after = before.splitlines(keepends=True), after.splitlines(keepends=True)
    pieces: list[Piece] = []
    for kind, one, other in blocks(lines_before, lines_after, budget):
        if kind == "same":
            pieces.append(Piece("same", "".join(one)))
        else:
            pieces += _passage("".join(one), "".join(other), budget)
    found = TextChanges(_merged(pieces))
    kept = sum(len(piece.text) for piece in found.pieces if piece.kind == "same")
    return found if kept >= RELATED * max(len(before), len(after)) else apart


def shown(changes: TextChanges) -> tuple[Piece, ...]:
    """The pieces as a page shows them: with hidden characters named, what did not change cut to the
    lines beside what did, and no more than a person reads."""
    found: list[Piece] = []
    left, last = MOST_SHOWN, len(changes.pieces) - 1
    for index, piece in enumerate(changes.pieces):
        parts = (
            _context(piece.text, first=index == 0, last=index == last)
            if piece.kind == "same"
            else [piece]
        )
        for part in parts:
            if len(part.text) > left:
                cut = part.text[:left]
                rest = "".join(p.text for p in changes.pieces[index:]).count("\n")
                found += [Piece(part.kind, unseen.shown(cut))] if cut else []
                return (*found, Piece("gap", "", max(1, rest)))
            left -= len(part.text)
            found.append(Piece(part.kind, unseen.shown(part.text), part.lines))
    return tuple(found)


def data_changes(before: Any, after: Any) -> DataChanges:
    """What differs between two values of JSON, by path. Never fails: what is nested too deeply, or
    costs too much to take apart, is compared as a whole."""
    found: list[Place] = []
    budget = Budget(MOST_WORK)
    try:
        for place in _places(before, after, "$", 0, budget):
            if len(found) == MOST_PLACES:
                return DataChanges(tuple(found), -1)
            found.append(place)
    except Spent:
        return DataChanges(tuple(found), -1)
    return DataChanges(tuple(found))


def value_text(value: Any) -> str:
    """A value as a person reads it, cut where it is long."""
    if isinstance(value, str):
        text = value
    else:
        try:
            text = json.dumps(value, ensure_ascii=False, indent=2)
        except RecursionError:
            text = "…"
    return unseen.shown(text[:LONGEST_VALUE]) + ("…" if len(text) > LONGEST_VALUE else "")


def _places(before: Any, after: Any, path: str, depth: int, budget: Budget) -> Iterator[Place]:
    budget.spend(1)
    if depth > DEEPEST:
        if _canonical(before, budget) != _canonical(after, budget):
            yield Place(path, "changed", before, after)
    elif isinstance(before, dict) and isinstance(after, dict):
        for key in dict.fromkeys([*after, *before]):
            at = f"{path}.{key}"
            if key not in after:
                yield Place(at, "removed", before=before[key])
            elif key not in before:
                yield Place(at, "added", after=after[key])
            else:
                yield from _places(before[key], after[key], at, depth + 1, budget)
    elif isinstance(before, list) and isinstance(after, list):
        yield from _items(before, after, path, depth, budget)
    elif _canonical(before, budget) != _canonical(after, budget):
        pieces: tuple[Piece, ...] = ()
        if isinstance(before, str) and isinstance(after, str):
            changes = text_changes(before, after, budget=budget)
            pieces = shown(changes) if changes.comparable else ()
        yield Place(path, "changed", before, after, pieces)


def _items(
    before: Sequence[Any], after: Sequence[Any], path: str, depth: int, budget: Budget
) -> Iterator[Place]:
    """Items that are alike are matched first; of those in between, the n-th with the n-th."""
    old = [_canonical(item, budget) for item in before]
    new = [_canonical(item, budget) for item in after]
    i = j = 0
    for kind, one, other in blocks(old, new, budget):
        if kind != "same":
            for step in range(max(len(one), len(other))):
                if step >= len(other):
                    yield Place(f"{path}[{i + step}]", "removed", before=before[i + step])
                elif step >= len(one):
                    yield Place(f"{path}[{j + step}]", "added", after=after[j + step])
                else:
                    at = f"{path}[{j + step}]"
                    yield from _places(before[i + step], after[j + step], at, depth + 1, budget)
        i, j = i + len(one), j + len(other)


def _canonical(value: Any, budget: Budget) -> str:
    try:
        text = json.dumps(value, sort_keys=True)
    except RecursionError:
        raise Spent from None
    budget.spend(1 + len(text) // 100)
    return text


def _passage(before: str, after: str, budget: Budget) -> list[Piece]:
    """What took the place of a passage, word by word if it is still the same one."""
    apart = [Piece("removed", before), Piece("added", after)]
    if not before or not after:
        return apart
    one, other = _WORDS.findall(before), _WORDS.findall(after)
    if len(one) + len(other) > MOST_WORDS:
        return apart
    pieces: list[Piece] = []
    for kind, old, new in blocks(one, other, budget):
        if kind == "same":
            pieces.append(Piece("same", "".join(old)))
        else:
            pieces += [Piece("removed", "".join(old)), Piece("added", "".join(new))]
    kept = sum(len(piece.text) for piece in pieces if piece.kind == "same" and piece.text.strip())
    return _readable(pieces) if kept >= ALIKE * max(len(before), len(after)) else apart


def _readable(pieces: Sequence[Piece]) -> list[Piece]:
    """Without islands of white space between two changes: nobody reads those."""
    found: list[Piece] = []
    for index, piece in enumerate(pieces):
        inside = 0 < index < len(pieces) - 1
        if piece.kind == "same" and inside and not piece.text.strip() and "\n" not in piece.text:
            found += [Piece("removed", piece.text), Piece("added", piece.text)]
        else:
            found.append(piece)
    return found


def _merged(pieces: Sequence[Piece]) -> tuple[Piece, ...]:
    """Neighbours of one kind as one, and of each change what was removed before what was added."""
    found: list[Piece] = []
    for is_same, group in groupby(pieces, key=lambda piece: piece.kind == "same"):
        run = list(group)
        kinds: tuple[Kind, ...] = ("same",) if is_same else ("removed", "added")
        for kind in kinds:
            if text := "".join(piece.text for piece in run if piece.kind == kind):
                found.append(Piece(kind, text))
    return tuple(found)


def _context(text: str, *, first: bool, last: bool) -> list[Piece]:
    lines = text.splitlines(keepends=True)
    head = 0 if first else CONTEXT + 1
    tail = 0 if last else CONTEXT + 1
    hidden = len(lines) - head - tail
    if hidden < 4:
        return [Piece("same", text)]
    parts = [
        Piece("same", "".join(lines[:head])),
        Piece("gap", "", hidden),
        Piece("same", "".join(lines[len(lines) - tail :])),
    ]
    return [part for part in parts if part.text or part.kind == "gap"]
