"""Text taken apart: sections under their headings, sentences, and what they are about.

A sentence is what the document says, character for character, except that runs of white space are
one space. Nothing here ever joins text that does not stand together in the document.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

QUOTE_MIN, QUOTE_MAX = 40, 300  # characters

STOPWORDS = frozenset(
    """a about above after again against all also am an and any are as at be because been before
    being below between both but by can cannot could did do does doing down during each either
    else ever every few for from further had has have having he her here hers him his how i if in
    into is it its itself just let like made make many may me might more most much must my neither
    no nor not now of off often on once one only onto or other our out over own per rather same
    shall she should since so some still such than that the their them then there these they this
    those though through thus to too two under until up upon us use used uses using very was we
    were what when where whether which while who whom whose why will with within without would yet
    you your please tell give write answer find list say says said und der die das den dem ein eine
    ist nicht mit von les des une est pas pour dans que los las una por para con del""".split()  # noqa: SIM905
)

_ABBREVIATIONS = frozenset(
    """mr mrs ms dr prof sr jr st vs etc e.g i.e cf no nos art arts para sec fig figs vol pp p al
    approx inc ltd co corp dept est eq ch ed eds jan feb mar apr jun jul aug sep sept oct nov dec
    u.s u.k d.h z.b bzw nr""".split()  # noqa: SIM905
)
_END = re.compile(r"[.!?]+[\"”’')\]]*(?=\s|$)|[。！？]+")
_HEADING_MARK = re.compile(r"^\s{0,3}(#{1,6})\s+(.*?)\s*#*$")
_NUMBERED = re.compile(
    r"^(?:(?:chapter|section|part|article|annex|appendix)\s+[\w.]+|\d+(?:\.\d+)*[.)]?|[IVXLC]+\.)"
    r"(?:[\s:.—–-]+\S.*)?$",
    re.IGNORECASE,
)
_BULLET = re.compile(r"^\s*(?:[-*+•‣◦▪–]|\(?\d{1,3}[.)]|\(?[a-z][.)])\s+")
_CLUTTER = re.compile(r"[,;:`|/#=+*_]")
_WORD = re.compile(r"[^\W_]+(?:[-'’][^\W_]+)*")


@dataclass(slots=True)
class Section:
    """A stretch of a document under one heading, with its sentences in their order."""

    heading: str | None
    sentences: list[str] = field(default_factory=list)

    @property
    def size(self) -> int:
        return sum(map(len, self.sentences))


def collapse(text: str) -> str:
    return " ".join(text.split())


def terms(text: str) -> list[str]:
    """The words that carry meaning, in lower case, without the commonest English endings."""
    return [
        _stem(word)
        for word in _WORD.findall(text.lower())
        if len(word) > 2 and word not in STOPWORDS and not word.isdigit()
    ]


def _stem(word: str) -> str:
    for ending, instead in (("ies", "y"), ("ing", ""), ("ed", ""), ("s", "")):
        if word.endswith(ending) and len(word) - len(ending) >= 4 and not word.endswith("ss"):
            return word.removesuffix(ending) + instead
    return word


def split_sentences(block: str) -> Iterator[str]:
    """Whole sentences of a paragraph whose white space has been collapsed."""
    start = 0
    for match in _END.finditer(block):
        end = match.end()
        before = block[start : match.start()].rsplit(" ", 1)[-1].lstrip("(\"'“").lower()
        after = block[end:].lstrip()[:1]
        if match.group()[0] == "." and (
            before in _ABBREVIATIONS or (len(before) == 1 and before.isalpha()) or after.islower()
        ):
            continue
        if sentence := block[start:end].strip():
            yield sentence
        start = end
    if rest := block[start:].strip():
        yield rest


def sections(text: str, *, table: bool = False) -> list[Section]:
    """The sections of a document, in order; those without a sentence are left out."""
    found = [Section(None)]
    if table:
        head, _, rest = text.strip().partition("\n")
        found = [Section(collapse(head)[:80] or None, list(joined_lines(rest or head)))]
        return [section for section in found if section.sentences]
    for kind, value in _blocks(text):
        if kind == "heading":
            found.append(Section(value))
        else:
            found[-1].sentences.extend(split_sentences(value))
    kept = [section for section in found if any(map(quotable, section.sentences))]
    return kept or [Section(found[-1].heading, list(joined_lines(text)))]


def quotable(sentence: str) -> bool:
    """A whole sentence of a fit length, free of the marks that text extraction leaves behind."""
    return (
        QUOTE_MIN <= len(sentence) <= QUOTE_MAX
        and len(sentence.split()) >= 5
        and sentence.isprintable()
        and "\ufffd" not in sentence
        and not re.search(r"\w- [a-z]|\w[”\"][A-Z]", sentence)
    )


def joined_lines(text: str) -> Iterator[str]:
    """Pieces of 40–300 characters made of whole neighbouring lines; the last may be shorter."""
    piece = ""
    for line in map(collapse, text.splitlines()):
        if not line:
            continue
        if piece and (len(piece) >= QUOTE_MIN or len(piece) + len(line) >= QUOTE_MAX):
            yield piece
            piece = ""
        piece = f"{piece} {line}".strip()
        if len(piece) > QUOTE_MAX:
            piece = piece[:QUOTE_MAX].rsplit(" ", 1)[0]
            yield piece
            piece = ""
    if piece:
        yield piece


def _blocks(text: str) -> Iterator[tuple[str, str]]:
    """``("heading" | "text", collapsed text)``, from Markdown, plain text and PDF pages alike."""
    for page in text.split("\f"):
        lines = page.split("\n")
        block: list[str] = []
        fenced = False
        usual = sorted(len(line) for line in lines if line.strip()) or [0]
        usual_length = usual[len(usual) * 3 // 4]
        for number, line in enumerate(lines):
            here = collapse(line)
            following = collapse(lines[number + 1]) if number + 1 < len(lines) else ""
            fence = line.lstrip().startswith(("```", "~~~"))
            heading = None if fenced else _heading(here, line, block, following, usual_length)
            aside = fence or fenced or here.startswith(("|", ">")) or set(here) <= set("-=*_ ")
            if block and (not here or heading or aside or _BULLET.match(line)):
                yield "text", " ".join(block)
                block = []
            if fence:
                fenced = not fenced
            elif heading:
                yield "heading", heading
            elif here.startswith(">"):
                yield "text", here.lstrip("> ")
            elif here and not aside:
                block.append(collapse(_BULLET.sub("", line)) if not block else here)
        if block:
            yield "text", " ".join(block)


def _heading(
    here: str, line: str, block: list[str], following: str, usual_length: int
) -> str | None:
    if marked := _HEADING_MARK.match(line):
        return marked.group(2).strip("*_ ") or None
    if not here or len(here) > 90 or here[-1] in ".,;:!?" or not re.search(r"[^\W\d_]", here):
        return None
    if re.fullmatch(r"={3,}|-{3,}", following):
        return here
    if _BULLET.match(line) and not _NUMBERED.match(here):
        return None
    begins = not block or block[-1].endswith((".", "!", "?", ":"))
    if not begins or not (here[0].isupper() or here[0].isdigit()):
        return None
    few = len(here.split()) <= 10
    if few and (here.isupper() or (_NUMBERED.match(here) and not following)):
        return here
    alone = not block and not following
    short = len(here) < 0.6 * usual_length and following[:1].isupper()
    return here if few and (alone or short) else None


class Scorer:
    """How much a sentence says about its documents, and about what was asked for."""

    def __init__(self, sentences: Iterable[str], *, focus: str = "") -> None:
        self.counts = Counter(term for sentence in sentences for term in set(terms(sentence)))
        self.focus = set(terms(focus))

    def score(self, sentence: str, *, position: float) -> float:
        """``position`` is 0.0 for the first sentence of its section and 1.0 for the last."""
        words = terms(sentence)
        if not words:
            return 0.0
        weight = sum(math.log1p(self.counts[word]) for word in set(words)) / (4 + len(words)) ** 0.7
        asked = sum(1 for word in set(words) if word in self.focus)
        whole = 1.0 if sentence.endswith((".", "!", "?", "”", '"', "。")) else 0.5
        clutter = len(_CLUTTER.findall(sentence)) / len(sentence.split())  # lists read badly
        return float((weight + 1.5 * asked) * whole * (1.15 - 0.3 * position) / (1 + clutter))

    def best(self, sentences: list[str], count: int) -> list[str]:
        """The ``count`` strongest different sentences, in the order of the document."""
        last = max(1, len(sentences) - 1)
        ranked = sorted(
            enumerate(sentences),
            key=lambda pair: (-self.score(pair[1], position=pair[0] / last), pair[0]),
        )
        chosen: dict[str, int] = {}
        for index, sentence in ranked:
            if len(chosen) == count:
                break
            chosen.setdefault(sentence, index)
        return sorted(chosen, key=chosen.__getitem__)


def key_phrase(sentences: list[str]) -> str:
    """The words that come up most together (two in a row, or one), as the text writes them."""
    pairs: Counter[str] = Counter()
    written: dict[str, str] = {}
    for sentence in sentences:
        words = [(match.group(), match.start(), match.end()) for match in _WORD.finditer(sentence)]
        for index, (word, start, end) in enumerate(words):
            if not terms(word):
                continue
            pairs[word.lower()] += 1
            written.setdefault(word.lower(), word)
            if index + 1 < len(words) and terms(words[index + 1][0]):
                _, after, finish = words[index + 1]
                if sentence[end:after] == " ":
                    pair = sentence[start:finish]
                    pairs[pair.lower()] += 3
                    written.setdefault(pair.lower(), pair)
    if not pairs:
        return ""
    phrase = written[max(pairs, key=lambda key: pairs[key])]
    return phrase[:1].upper() + phrase[1:]


_LEAD_IN = re.compile(
    r"^(?:however|moreover|furthermore|therefore|thus|in addition|additionally|for example|"
    r"for instance|in particular|of course|indeed|finally|also|and|but|so),?\s+",
    re.IGNORECASE,
)


def condense(sentence: str, *, limit: int = 220) -> str:
    """A shorter telling: without lead-in words and asides, cut at a clause if it is still long."""
    plain = re.sub(r"\s*\([^()]*\)|\*\*|__", "", sentence).strip("*_ ")
    short = _LEAD_IN.sub("", plain)
    if short != plain:
        short = short[:1].upper() + short[1:]
    if len(short) <= limit:
        return short
    cut = max(short.rfind(mark, 60, limit) for mark in ("; ", ", which ", " – ", " — ", ": ", ", "))
    if cut < 0:
        cut = short.rfind(" ", 0, limit - 1)
    return short[: cut if cut > 0 else limit - 1].rstrip(" ,;:–—") + "…"
