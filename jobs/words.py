"""Text as it is searched: cut into passages, and read as words whose case and plural do not matter."""

import re
import unicodedata
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

#: Characters of a passage: it ends at the best place between these. The last one of a text may be
#: a little longer.
SHORTEST = 400
USUAL = 800
LONGEST = 1_200
REST = 200
LONGEST_HEADING = 200
#: Words of a query that count.
MOST_WORDS = 12
#: Different words of one document that are found. Tables of numbers have more; no prose has.
MOST_TERMS = 50_000
#: Passages in which a word of one document is found: those that have it most often.
MOST_PLACES = 1_000
LONGEST_TERM = 60
#: What stands for the title in place of a passage's number.
TITLE = "0"

#: Words that are in every passage, and find nothing.
_FUNCTION_WORDS = """
    a an and are as at be been but by can could did do does for from had has have he her his how i if
    in into is it its may more not of on or our shall she should so such than that the their them
    then there these they this those to up was we were what when where which who will with would you
    your
"""
STOP_WORDS = frozenset(_FUNCTION_WORDS.split())

_HEADING = re.compile(
    r"""^(?:
        \#{1,6}[ \t]++(?P<marked>[^\n]{1,200}?)[ \t#]*$
        |(?P<under>[^\s\#>|*+-][^\n]{0,120})\n(?:={3,}|-{3,})[ \t]*$
        |(?<=\n\n)(?P<numbered>\d{1,2}(?:\.\d{1,2}){0,3}\.?[ \t]+[^\W\d_][^\n]{0,80}[^\s.,;:])\n[ \t]*$
    )""",
    re.MULTILINE | re.VERBOSE,
)
_PARAGRAPH_ENDS = re.compile(r"\n[ \t]*\n\s*|\f")
_LINE_ENDS = re.compile(r"\n")
_SENTENCE_ENDS = re.compile(r"[.!?。！？]['\"”’)]*\s+")
_SPACES = re.compile(r"\s+")
#: Signs of headings and tables, which are noise on one line.
_MARKS = re.compile(r"^(?:#{1,6}[ \t]+|[-=|:+ \t]{3,}$)", re.MULTILINE)
#: Scripts that put no spaces between words are searched character by character.
_UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff"
_WORD = re.compile(rf"[{_UNSPACED}]|(?:(?![{_UNSPACED}])[^\W_])+")


@dataclass(frozen=True)
class Cut:
    """A passage of a text: ``text[start:end]``, under the heading before it."""

    start: int
    end: int
    heading: str


@dataclass(frozen=True)
class Piece:
    text: str
    marked: bool


def passages(text: str) -> list[Cut]:
    """The whole of `text` in passages, cut at headings where there are any, else at the ends of
    paragraphs, lines, sentences or words. Passages of blanks alone are left out."""
    headings = [(found.start(), _title(found)) for found in _HEADING.finditer(text)]
    starts = [at for at, _heading in headings]
    cuts: list[Cut] = []
    start = 0
    while start < len(text):
        end = _end(text, start, starts)
        body = text[start:end]
        begin = start + len(body) - len(body.lstrip())
        if body.strip():
            at = bisect_right(starts, begin) - 1
            heading = headings[at][1] if at >= 0 else ""
            cuts.append(Cut(begin, begin + len(body.strip()), heading))
        start = end
    return cuts


def title(text: str) -> str:
    """The heading that `text` begins with, or ""."""
    found = _HEADING.match(text, len(text) - len(text.lstrip()))
    return _title(found) if found else ""


def _end(text: str, start: int, headings: Sequence[int]) -> int:
    at = bisect_right(headings, start + SHORTEST - 1)
    if at < len(headings) and headings[at] <= start + LONGEST:
        return headings[at]
    if len(text) - start <= LONGEST + REST:
        return len(text)
    for ends in (_PARAGRAPH_ENDS, _LINE_ENDS, _SENTENCE_ENDS, _SPACES):
        found = [end.end() for end in ends.finditer(text, start + USUAL, start + LONGEST)]
        if found:
            return found[-1]
    return start + LONGEST


def _title(found: re.Match[str]) -> str:
    title = found["marked"] or found["under"] or found["numbered"] or ""
    return " ".join(title.split())[:LONGEST_HEADING]


def terms(text: str) -> Iterator[str]:
    """The words of `text` that find something, as they are compared."""
    for word in _WORD.finditer(text):
        if term := _term(word[0]):
            yield term


def asked(query: str) -> list[str]:
    """The words that a query asks for, each once. Whatever else is in it is ignored."""
    return list(dict.fromkeys(terms(query[:10_000])))[:MOST_WORDS]


@lru_cache(maxsize=50_000)
def _term(word: str) -> str:
    """`word` without case, accents and plural; "" for one that finds nothing."""
    apart = unicodedata.normalize("NFKD", word.casefold())
    folded = "".join(c for c in apart if c.isalnum())[:LONGEST_TERM]
    return "" if folded in STOP_WORDS else _singular(folded)


def _singular(word: str) -> str:
    """Not always the singular, but the same for both: "box", "boxes"; "cache", "caches"."""
    if len(word) < 4 or not word.isascii():
        return word
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if word.endswith("s") and not word.endswith(("ss", "us", "is")):
        word = word[:-1]
    if word.endswith("e") and (len(word) > 4 or word[-2] in "sxz"):
        word = word[:-1]
    return word


def index(title: str, cuts: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Where each word of a document is: ``"0 3:2 7"`` for the title, twice in passage 3, and once
    in passage 7. `cuts` are the headings and texts of its passages in their order."""
    found: dict[str, list[tuple[int, int]]] = {term: [(0, 1)] for term in terms(title)}
    for position, (heading, text) in enumerate(cuts, 1):
        counts = Counter(terms(text))
        # A passage that begins with its heading has it already.
        if heading and not text.lstrip("# \t").startswith(heading):
            counts.update(set(terms(heading)))
        for term, count in counts.items():
            if term in found:
                found[term].append((position, count))
            elif len(found) < MOST_TERMS:
                found[term] = [(position, count)]
    return {term: _packed(places) for term, places in found.items()}


def _packed(places: list[tuple[int, int]]) -> str:
    if len(places) > MOST_PLACES:
        places = sorted(sorted(places, key=lambda place: -place[1])[:MOST_PLACES])
    return " ".join(f"{at}:{count}" if count > 1 else str(at) for at, count in places)


def unpacked(places: str) -> list[tuple[str, int]]:
    """The passages, by their numbers as text, and the counts of what `index` wrote."""
    # Thousands of these are read for one search, and few of them as numbers in the end.
    return [
        (at, int(count) if count else 1)
        for at, _, count in [place.partition(":") for place in places.split()]
    ]


def snippet(text: str, wanted: Iterable[str], length: int = 280) -> str:
    """The part of `text` with most of the `wanted` words in it, on one line."""
    line = " ".join(_MARKS.sub("", text).split())
    if len(line) <= length:
        return line
    places = [(start, term) for start, _end, term in _found(line, frozenset(wanted))]
    best, most = 0, 0
    for number, (start, _term) in enumerate(places):
        inside = {term for at, term in places[number : number + 60] if at < start + length - 80}
        if len(inside) > most:
            best, most = start, len(inside)
    begin = line.rfind(" ", 0, max(0, best - 60)) + 1 if best > 60 else 0
    end = begin + length
    if end >= len(line):
        begin = max(0, line.find(" ", max(0, len(line) - length)) + 1)
        return ("… " if begin else "") + line[begin:]
    cut = line.rfind(" ", begin + length // 2, end)
    return ("… " if begin else "") + line[begin : cut if cut > 0 else end] + " …"


def marked(text: str, wanted: Iterable[str]) -> list[Piece]:
    """`text` in pieces, those that are `wanted` words marked."""
    pieces: list[Piece] = []
    at = 0
    for start, end, _term in _found(text, frozenset(wanted)):
        if start > at:
            pieces.append(Piece(text[at:start], marked=False))
        pieces.append(Piece(text[start:end], marked=True))
        at = end
    if at < len(text):
        pieces.append(Piece(text[at:], marked=False))
    return pieces


def _found(text: str, wanted: frozenset[str]) -> Iterator[tuple[int, int, str]]:
    for word in _WORD.finditer(text):
        term = _term(word[0])
        if term in wanted:
            yield word.start(), word.end(), term
