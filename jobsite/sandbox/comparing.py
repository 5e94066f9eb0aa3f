"""Documents against one of them: each thing that it demands, looked up in the others.

One document is the baseline: its sentences that demand something are the requirements. Each is
looked up in every other document by the words that it shares with its sentences. Nothing is
understood and nothing invented: what is told are sentences of the documents.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from dataclasses import dataclass

from .documents import Document
from .passages import quotable, sections, terms

MOST_REQUIREMENTS = 100
SAME, RELATED = 0.62, 0.34  # shares of a requirement's words, weighted by how rare they are
_DEMAND = re.compile(
    r"\b(must|shall|should|required?|requires|at least|at most|within|never|only|no later than|"
    r"may not|not exceed|prohibited|mandatory)\b",
    re.IGNORECASE,
)
_NUMBER = re.compile(
    r"\d+(?:[.,]\d+)*|\b(?:one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|"
    r"twenty|thirty|forty|fifty|sixty|ninety|hundred)\b"
)
_LISTED_UNDER = re.compile(r"^\W*(?:\d+(?:\.\d+)+[.)]?|\d+[.)])\s+")
_NUMERALS = dict(
    one="1", two="2", three="3", four="4", five="5", six="6", seven="7", eight="8", nine="9",
    ten="10", eleven="11", twelve="12", twenty="20", thirty="30", forty="40", fifty="50",
    sixty="60", ninety="90", hundred="100",
)  # fmt: skip
_WEAK = re.compile(r"\b(should|may|can|where possible|if possible|is encouraged|recommended)\b")
_NO = re.compile(r"\b(not|never|no|without|prohibited|cannot)\b")


@dataclass(frozen=True, slots=True)
class Row:
    """One requirement against one other document; ``other`` is "" when nothing speaks of it."""

    requirement: str
    heading: str | None
    baseline: str
    document: str
    other: str
    status: str

    @property
    def comment(self) -> str:
        if self.status == "missing":
            return f"No sentence of {self.document} speaks of this."
        if self.status == "met":
            return f"{self.document} says the same."
        here, there = _numbers(self.requirement), _numbers(self.other)
        if here != there:
            return (
                f"{self.baseline} has {_listed(here)} here, and {self.document} {_listed(there)}."
            )
        if _denies(self.other) != _denies(self.requirement):
            return f"One of {self.baseline} and {self.document} denies what the other says."
        if _weak(self.other) != _weak(self.requirement):
            return f"{self.document} binds less or more firmly than {self.baseline}."
        return f"{self.document} speaks of this in other words."


def _listed(numbers: frozenset[str]) -> str:
    return " and ".join(sorted(numbers)) or "no number"


def baseline_of(documents: list[Document], named: str) -> Document:
    """The document that is called the baseline, by its name or a part of it; else the first by name."""
    ordered = sorted(documents, key=lambda document: document.name.lower())
    wanted = named.strip(" .\"'`").lower()
    if wanted:
        for fits in (str.__eq__, str.startswith, str.__contains__):
            for document in ordered:
                if fits(document.name.lower(), wanted):
                    return document
    return ordered[0]


def compare(documents: list[Document], *, baseline: str = "", focus: str = "") -> list[Row]:
    """A row for each requirement of the baseline and each other document, in their order.

    Only requirements that share a word with the ``focus``, or stand under a heading that does; all
    of them if none does.
    """
    base = baseline_of(documents, baseline)
    told = [_Told.of(document) for document in documents]
    seen = Counter(word for one in told for _, _, words in one.lines for word in words)
    total = sum(len(one.lines) for one in told)
    weights = {word: math.log1p(total / count) for word, count in seen.items()}
    others = [one for one in told if one.document is not base]
    ours = next(one for one in told if one.document is base)
    found = [line for line in ours.lines if _DEMAND.search(line[1])]
    wanted = set(terms(focus))
    meant = [line for line in found if wanted & (line[2] | set(terms(line[0] or "")))]
    demands = {line[1]: line for line in meant or found}
    rows = []
    for heading, line, words in list(demands.values())[:MOST_REQUIREMENTS]:
        for other in others:
            quote, status = _look_up(line, words, other, weights)
            rows.append(Row(line, heading, base.name, other.document.name, quote, status))
    return rows


def fewer(rows: list[Row], most: int) -> list[Row]:
    """At most so many rows: first one requirement's worst document, then what else is not met."""
    if len(rows) <= most:
        return rows
    worst = {"missing": 0, "differs": 1, "met": 2}
    ranked: dict[str, int] = {}
    order = []
    for index in sorted(range(len(rows)), key=lambda i: (worst[rows[i].status], i)):
        turn = ranked.get(rows[index].requirement, 0)
        ranked[rows[index].requirement] = turn + 1
        order.append((turn, index))
    chosen = sorted(index for _, index in sorted(order)[:most])
    return [rows[index] for index in chosen]


@dataclass(frozen=True, slots=True, eq=False)
class _Told:
    """What a document says: ``(heading, sentence, its words that carry meaning)``, in order."""

    document: Document
    lines: list[tuple[str | None, str, set[str]]]

    @classmethod
    def of(cls, document: Document) -> _Told:
        found = [
            (section.heading, sentence, set(terms(sentence)))
            for section in sections(document.text, table=document.is_table)
            for sentence in section.sentences
        ]
        return cls(document, [line for line in found if quotable(line[1])] or found)


def _look_up(
    requirement: str, asked: set[str], told: _Told, weights: dict[str, float]
) -> tuple[str, str]:
    """The sentence that speaks of it, and what it makes of it; ``("", "missing")``."""
    whole = sum(weights[word] for word in asked) or 1.0
    best, share = "", 0.0
    for _, sentence, words in told.lines:
        common = sum(weights[word] for word in asked & words) / whole
        if common > share:
            best, share = sentence, common
    if share < RELATED:
        return "", "missing"
    differs = (
        share < SAME
        or _numbers(requirement) != _numbers(best)
        or _weak(requirement) != _weak(best)
        or _denies(requirement) != _denies(best)
    )
    return best, "differs" if differs else "met"


def _numbers(text: str) -> frozenset[str]:
    """The numbers in a sentence, words as figures, without the one that it is listed under."""
    plain = _LISTED_UNDER.sub("", text.lower())
    return frozenset(_NUMERALS.get(number, number) for number in _NUMBER.findall(plain))


def _denies(text: str) -> bool:
    return bool(_NO.search(text.lower()))


def _weak(text: str) -> bool:
    return bool(_WEAK.search(text.lower())) and not re.search(r"\b(must|shall)\b", text.lower())
