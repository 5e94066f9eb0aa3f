"""What an answer can be drawn from: documents, tools' outputs and earlier answers, in parts.

A part is a heading with sentences. An answer quotes the sentences that share words with the
question.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from .documents import Document
from .passages import collapse, condense, quotable, sections, terms
from .thread import json_or_none

WORTH = 0.4  # of the best sentence's score, to be quoted beside it; by trial
_HEADINGS = ("heading", "title", "name", "filename", "subject")
_SILENT = ("id", "ref", "url", "link", "uri", "status", "type", "error", "kind", "score")
_MARKS = re.compile(r"\*\*|__|</?mark>| ?\(\[[^\]]*\]\([^)]*\)\)")  # and citations in brackets
_LINKS = re.compile(r"\[([^\]]*)\]\([^)]*\)")


@dataclass(frozen=True, slots=True)
class Part:
    source: str
    heading: str
    sentences: tuple[str, ...]

    @property
    def place(self) -> str:
        """Where it stands, for a reader."""
        return ", ".join(dict.fromkeys(filter(None, (self.source, self.heading))))


@dataclass(frozen=True, slots=True)
class Quote:
    sentence: str
    place: str


def parts_of_document(document: Document, source: str | None = None) -> list[Part]:
    name = document.name if source is None else source
    return [
        Part(name, section.heading or "", tuple(section.sentences))
        for section in sections(document.text, table=document.is_table)
    ]


def parts_of_text(text: str, source: str) -> list[Part]:
    """The parts of an output or an answer: of its JSON, if it is that, or of its Markdown."""
    made = json_or_none(text)
    if isinstance(made, dict | list):
        return list(_parts_of_json(made, source, ""))
    if not text.strip():
        return []
    return parts_of_document(Document("", plain_text(text)), source)


def plain_text(text: str) -> str:
    return _LINKS.sub(r"\1", _MARKS.sub("", text))


def _parts_of_json(made: Any, source: str, heading: str, depth: int = 0) -> Iterator[Part]:
    if depth > 8:
        return
    if isinstance(made, list):
        texts = [part for part in made if isinstance(part, str)]
        yield from _plain_parts(texts, source, heading)
        for part in made:
            if isinstance(part, dict | list):
                yield from _parts_of_json(part, source, heading, depth + 1)
        return
    named = (made.get(key) for key in _HEADINGS)
    here = next((collapse(one) for one in named if isinstance(one, str) and one.strip()), heading)
    silent = (*_SILENT, *_HEADINGS)
    texts = [
        value
        for key, value in made.items()
        if isinstance(value, str) and key not in silent and not key.endswith(("_id", "_ref"))
    ]
    yield from _plain_parts(texts, source, here)
    for key, value in made.items():
        if isinstance(value, dict | list) and key not in silent:
            yield from _parts_of_json(value, source, here, depth + 1)


def _plain_parts(texts: list[str], source: str, heading: str) -> Iterator[Part]:
    """One part for each heading inside the texts; the rest stands under the one above them."""
    for text in texts:
        for section in sections(plain_text(text)):
            if section.sentences:
                yield Part(source, section.heading or heading, tuple(section.sentences))


def quotes(parts: list[Part], question: str, count: int) -> list[Quote]:
    """The sentences that share most with a question, the rarest words weighing most."""
    wanted = set(terms(question))
    found: dict[str, Quote] = {}
    for part in parts:
        for sentence in part.sentences:
            plain = sentence.strip("“”\"'… ")
            if not plain.endswith("?"):
                found.setdefault(plain, Quote(condense(plain, limit=300), part.place))
    words = {sentence: set(terms(sentence)) for sentence in found}
    seen = Counter(word for inside in words.values() for word in inside)
    least = 2 if len(wanted) > 4 else 1

    def score(sentence: str) -> float:
        shared = wanted & words[sentence]
        if len(shared) < least:
            return 0.0
        weight: float = sum(math.log(1 + len(found) / seen[word]) for word in shared)
        begun = sentence[:1].isupper() or sentence[:1].isdigit()
        ended = sentence.endswith((".", "!", "?", ":", ";", "。"))
        whole = 1.0 if quotable(sentence) and begun and ended else 0.4
        return weight * whole / math.pow(4 + len(words[sentence]), 0.3)

    ranked = sorted(((score(sentence), sentence) for sentence in found), key=lambda one: -one[0])
    enough = ranked[0][0] * WORTH if ranked else 0.0
    chosen: list[str] = []
    for value, sentence in ranked:
        if value == 0 or value < enough or len(chosen) == count:
            break
        if not any(sentence in other or other in sentence for other in chosen):
            chosen.append(sentence)  # a passage may be cut out of what is read whole elsewhere
    return [found[sentence] for sentence in chosen]


_SECTION = re.compile(r"^[ \t]*(?:about the )?section:[ \t]*(\S.*)$", re.IGNORECASE | re.MULTILINE)


def section_asked(text: str) -> tuple[str, str]:
    """``(name, the rest)`` of a text with a line ``Section: NAME``; the name is "" without one."""
    match = _SECTION.search(text)
    if not match:
        return "", text
    return collapse(match.group(1)).strip("\"'“”*."), text[: match.start()] + text[match.end() :]


def under(parts: list[Part], name: str) -> list[Part]:
    """The parts under this heading: by its exact words, or else one that has them in it."""
    wanted = name.casefold()
    exact = [part for part in parts if part.heading.casefold() == wanted]
    return exact or [part for part in parts if wanted in part.heading.casefold()]
