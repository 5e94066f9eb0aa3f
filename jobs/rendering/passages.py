"""A page of a document's text, with the cited place marked. Text is text here, whatever it is of."""

import re
from dataclasses import dataclass

from jobs.rendering import unseen

#: Characters and lines on one page.
PAGE = 60_000
MOST_LINES = 1_500
_LINE_ENDS = re.compile("\r\n|\n|\r|\f")
_MANY_LINES = re.compile(rf"(?:[^\n\r\f]*+(?:\r\n|[\n\r\f])){{{MOST_LINES}}}")


@dataclass(frozen=True)
class Segment:
    """`anchor` is set for the first marked piece alone."""

    text: str
    marked: bool = False
    anchor: bool = False


@dataclass(frozen=True)
class Line:
    """`page` is the number of the paper page that begins with it, or None."""

    number: int
    segments: tuple[Segment, ...]
    page: int | None = None


@dataclass(frozen=True)
class Passage:
    """Page `number` of `pages`. `hidden` counts the hidden characters on it, which are named."""

    lines: tuple[Line, ...]
    number: int
    pages: int
    hidden: int
    has_mark: bool

    @property
    def previous(self) -> int | None:
        return self.number - 1 if self.number > 1 else None

    @property
    def next(self) -> int | None:
        return self.number + 1 if self.number < self.pages else None


def passage(text: str, *, page: int | None = None, mark: tuple[int, int] | None = None) -> Passage:
    """The page that was asked for, else the one with the mark, else the first. `mark` is (start,
    end) in `text`; one that lies outside is no mark."""
    starts = _page_starts(text)
    if mark and not 0 <= mark[0] < mark[1] <= len(text):
        mark = None
    if page is None:
        at = mark[0] if mark else 0
        page = sum(start <= at for start in starts) or 1
    page = min(max(1, page), len(starts))
    begin = starts[page - 1]
    end = starts[page] if page < len(starts) else len(text)
    return Passage(
        lines=_lines(text, begin, end, mark),
        number=page,
        pages=len(starts),
        hidden=unseen.count(text[begin:end]),
        has_mark=mark is not None and mark[0] < end and mark[1] > begin,
    )


def _page_starts(text: str) -> list[int]:
    """Where pages begin: at the beginning of a line, unless a line is longer than half a page."""
    starts = [0]
    while True:
        start = starts[-1]
        end = start + PAGE
        many = _MANY_LINES.match(text, start, end)
        if many and many.end() < len(text):
            starts.append(many.end())
        elif end < len(text):
            starts.append(text.rfind("\n", start + PAGE // 2, end) + 1 or end)
        else:
            return starts


def _lines(text: str, begin: int, end: int, mark: tuple[int, int] | None) -> tuple[Line, ...]:
    has_pages = "\f" in text
    number = sum(1 for _end in _LINE_ENDS.finditer(text, 0, begin)) + 1
    paper = text.count("\f", 0, begin) + 1
    starts_page = has_pages and (begin == 0 or text[begin - 1] == "\f")
    lines: list[Line] = []
    at, anchored = begin, False
    while at < end or not lines:
        stop = _LINE_ENDS.search(text, at, end)
        to = stop.start() if stop else end
        segments = _segments(text, at, to, mark, anchored=anchored)
        anchored = anchored or any(segment.anchor for segment in segments)
        lines.append(Line(number, segments, paper if starts_page else None))
        if stop is None:
            break
        starts_page = stop[0] == "\f"
        paper += starts_page
        number, at = number + 1, stop.end()
    return tuple(lines)


def _segments(
    text: str, begin: int, end: int, mark: tuple[int, int] | None, *, anchored: bool
) -> tuple[Segment, ...]:
    if mark is None or mark[0] >= end or mark[1] <= begin:
        return (Segment(unseen.shown(text[begin:end])),)
    start, stop = max(begin, mark[0]), min(end, mark[1])
    pieces = (
        Segment(unseen.shown(text[begin:start])),
        Segment(unseen.shown(text[start:stop]), marked=True, anchor=not anchored),
        Segment(unseen.shown(text[stop:end])),
    )
    return tuple(piece for piece in pieces if piece.text)
