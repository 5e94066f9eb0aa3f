"""Two sequences laid beside each other, with a bound on the work: what is the same in both, and what
took each other's place."""

from collections.abc import Iterator, Sequence
from itertools import takewhile
from typing import Literal


class Spent(Exception):
    """The work that is left is not enough."""


class Budget:
    """Comparisons that may still be made."""

    def __init__(self, work: int) -> None:
        self.left = work

    def spend(self, work: int) -> None:
        self.left -= work
        if self.left < 0:
            raise Spent


Block = tuple[Literal["same", "other"], Sequence[str], Sequence[str]]


def blocks(before: Sequence[str], after: Sequence[str], budget: Budget) -> Iterator[Block]:
    """Two sequences as runs that are the same and runs that took each other's place. Where the
    budget is not enough for the shortest way, a rougher one is given, and never none."""
    start = _alike(before, after)
    head, before, after = before[:start], before[start:], after[start:]
    end = _alike(before[::-1], after[::-1])
    tail = before[len(before) - end :]
    if head:
        yield "same", head, head
    yield from _middle(before[: len(before) - end], after[: len(after) - end], budget)
    if tail:
        yield "same", tail, tail


def _middle(before: Sequence[str], after: Sequence[str], budget: Budget) -> Iterator[Block]:
    if not before or not after:
        if before or after:
            yield "other", before, after
        return
    ids: dict[str, int] = {}
    old = [ids.setdefault(item, len(ids)) for item in before]
    new = [ids.setdefault(item, len(ids)) for item in after]
    matches = matches_of(old, new, budget)
    if matches is None:
        # Too far apart for the shortest way: items that stand once in each say where to begin.
        matches = _anchors(old, new)
    i = j = 0
    for at_old, at_new, length in matches:
        if at_old > i or at_new > j:
            yield "other", before[i:at_old], after[j:at_new]
        yield "same", before[at_old : at_old + length], after[at_new : at_new + length]
        i, j = at_old + length, at_new + length
    if i < len(before) or j < len(after):
        yield "other", before[i:], after[j:]


def _alike(before: Sequence[str], after: Sequence[str]) -> int:
    """How many items two sequences begin with in common."""
    return sum(1 for _pair in takewhile(lambda p: p[0] == p[1], zip(before, after, strict=False)))


_Match = tuple[int, int, int]


def matches_of(old: Sequence[int], new: Sequence[int], budget: Budget) -> list[_Match] | None:
    """What is the same on the shortest way from one to the other (Myers), as places and lengths.
    None where finding it would cost more than half of what is left."""
    work, most = 0, budget.left // 2
    reached = {1: 0}
    trail: list[dict[int, int]] = []
    for steps in range(len(old) + len(new) + 1):
        trail.append(dict(reached))
        work += 2 * steps + 1
        for diagonal in range(-steps, steps + 1, 2):
            down = diagonal == -steps or (
                diagonal != steps and reached[diagonal - 1] < reached[diagonal + 1]
            )
            x = reached[diagonal + 1] if down else reached[diagonal - 1] + 1
            y = x - diagonal
            began = x
            while x < len(old) and y < len(new) and old[x] == new[y]:
                x, y = x + 1, y + 1
            work += x - began
            reached[diagonal] = x
            if x >= len(old) and y >= len(new):
                budget.left -= work
                return _walked_back(trail, len(old), len(new))
        if work > most:
            budget.left -= work
            return None
    raise AssertionError("every two sequences are reached from each other")


def _walked_back(trail: Sequence[dict[int, int]], x: int, y: int) -> list[_Match]:
    found: list[_Match] = []
    for steps in range(len(trail) - 1, -1, -1):
        reached, diagonal = trail[steps], x - y
        down = diagonal == -steps or (
            diagonal != steps and reached[diagonal - 1] < reached[diagonal + 1]
        )
        before = diagonal + 1 if down else diagonal - 1
        from_x = reached[before] if steps else 0
        from_y = from_x - before if steps else 0
        began = (from_x if down else from_x + 1) if steps else 0
        if x > began:
            found.append((began, y - (x - began), x - began))
        x, y = from_x, from_y
    return found[::-1]


def _anchors(old: Sequence[int], new: Sequence[int]) -> list[_Match]:
    """Items that stand once in each, as far as they stand in the same order in both."""
    once_old, once_new = _once(old), _once(new)
    pairs = [(at, once_new[item]) for item, at in once_old.items() if item in once_new]
    kept: list[_Match] = []
    for at_old, at_new in _longest_rise(pairs):
        if kept and (kept[-1][0] + kept[-1][2], kept[-1][1] + kept[-1][2]) == (at_old, at_new):
            first_old, first_new, length = kept.pop()
            kept.append((first_old, first_new, length + 1))
        else:
            kept.append((at_old, at_new, 1))
    return kept


def _once(items: Sequence[int]) -> dict[int, int]:
    places: dict[int, int] = {}
    for at, item in enumerate(items):
        places[item] = -1 if item in places else at
    return {item: at for item, at in places.items() if at >= 0}


def _longest_rise(pairs: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """The longest run of pairs, in the order of the first number, whose second one rises."""
    ends: list[int] = []
    before: list[int] = []
    for index, (_old, new) in enumerate(pairs):
        low, high = 0, len(ends)
        while low < high:
            middle = (low + high) // 2
            low, high = (middle + 1, high) if pairs[ends[middle]][1] < new else (low, middle)
        before.append(ends[low - 1] if low else -1)
        ends[low : low + 1] = [index]
    found: list[tuple[int, int]] = []
    at = ends[-1] if ends else -1
    while at >= 0:
        found.append(pairs[at])
        at = before[at]
    return found[::-1]
