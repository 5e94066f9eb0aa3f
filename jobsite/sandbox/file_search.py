"""Searching the files of vector stores by the words that they share with a question."""

from __future__ import annotations

import math
import secrets
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from .documents import Document, Unreadable
from .errors import ApiError
from .files import File, Piece
from .listing import wrong_type, wrong_value
from .passages import QUOTE_MAX, Scorer, condense, quotable, sections, terms

PASSAGE = 700  # characters of a passage, unless one sentence is longer
DEEPEST = 10  # filters inside filters
COMPARED = ("eq", "ne", "gt", "gte", "lt", "lte", "in", "nin")


class Attributed(Protocol):
    """What a store knows of a file besides its bytes."""

    attributes: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Passage:
    """Neighbouring sentences of one section of a file. ``score`` is 0 to 1."""

    file: File
    attributes: dict[str, Any]
    sentences: tuple[str, ...]
    score: float

    @property
    def text(self) -> str:
        return " ".join(self.sentences)

    def result(self) -> dict[str, Any]:
        """As the search of a store answers it."""
        return {
            "file_id": self.file.id,
            "filename": self.file.filename,
            "score": self.score,
            "attributes": self.attributes,
            "content": [{"type": "text", "text": self.text}],
        }

    def call_result(self) -> dict[str, Any]:
        """As a file_search_call lists it."""
        return {
            "file_id": self.file.id,
            "filename": self.file.filename,
            "score": self.score,
            "text": self.text,
            "attributes": self.attributes,
        }


def search(
    ready: Sequence[tuple[File, Attributed]],
    queries: list[str],
    *,
    count: int,
    filters: dict[str, Any] | None = None,
    least: float = 0.0,
) -> list[Passage]:
    """The passages that share most words with the queries, rare words first; best first."""
    asked = set(terms(" ".join(queries)))
    found = []
    seen: Counter[str] = Counter()
    pieces: list[tuple[File, Attributed, tuple[str, ...], frozenset[str]]] = []
    for file, entry in ready:
        if filters is not None and not passes(filters, entry.attributes):
            continue
        try:
            if file.pieces is None:
                file.pieces = list(_pieces(file.document()))
        except Unreadable:
            continue
        for sentences, words in file.pieces:
            seen.update(words & asked)
            pieces.append((file, entry, sentences, words & asked))
    weights = {word: math.log1p(len(pieces) / seen[word]) for word in asked if seen[word]}
    whole = sum(weights.values())
    for file, entry, sentences, shared in pieces:
        score = round(sum(weights[word] for word in shared) / whole, 4) if shared else 0.0
        if score > 0 and score >= least:
            found.append(Passage(file, entry.attributes, sentences, score))
    found.sort(key=lambda passage: -passage.score)
    return found[:count]


def _pieces(document: Document) -> Iterator[Piece]:
    for section in sections(document.text, table=document.is_table):
        piece: list[str] = []
        for sentence in [*section.sentences, ""]:
            if piece and (not sentence or sum(map(len, piece)) + len(sentence) > PASSAGE):
                yield tuple(piece), frozenset(terms(" ".join(piece)))
                piece = []
            piece.append(sentence)


@dataclass(frozen=True, slots=True)
class Found:
    """What a file_search tool came back with. ``documents`` are those of all files it may read."""

    queries: list[str]
    passages: list[Passage]
    documents: list[Document]

    @property
    def item(self) -> dict[str, Any]:
        return {
            "id": f"fs_{secrets.token_hex(24)}",
            "type": "file_search_call",
            "status": "completed",
            "queries": self.queries,
            "results": [passage.call_result() for passage in self.passages],
        }

    def sentences(self, count: int = 8) -> list[str]:
        """The strongest sentences of the passages, those of the best passage first."""
        return [line for passage in self.passages for line in self._best(passage)][:count]

    def _best(self, passage: Passage) -> list[str]:
        lines = list(passage.sentences)
        good = [line for line in lines if quotable(line)] or [line[:QUOTE_MAX] for line in lines]
        return Scorer(lines, focus=" ".join(self.queries)).best(good, 1)

    def answer(self, before: str = "") -> tuple[str, list[dict[str, Any]]]:
        """Markdown with a point for each passage, and the citations of their files.

        ``before`` stands in front of it.
        """
        if not self.passages:
            return before + "No passage of the files speaks of this.\n", []
        text, notes, told = before + "From the files:\n\n", [], set()
        for passage in self.passages[:8]:
            for line in self._best(passage):
                if line in told:
                    continue
                told.add(line)
                text += f"- {condense(line, limit=QUOTE_MAX)}"
                notes.append(
                    {
                        "type": "file_citation",
                        "file_id": passage.file.id,
                        "filename": passage.file.filename,
                        "index": len(text),
                    }
                )
                text += "\n"
        return text + "\n*Found by the sandbox by shared words, without a model.*\n", notes


def look_up(
    ready: Sequence[tuple[File, Attributed]], queries: list[str], tool: dict[str, Any]
) -> Found:
    """Do what a file_search tool of a request asks for. Slow when files are read for the first time."""
    filters = tool.get("filters")
    allowed = [
        file for file, entry in ready if filters is None or passes(filters, entry.attributes)
    ]
    documents = [document for file in allowed if (document := file.readable())]
    least = (tool.get("ranking_options") or {}).get("score_threshold") or 0.0
    found = search(
        ready, queries, count=tool.get("max_num_results") or 20, filters=filters, least=least
    )
    return Found(queries, found, documents)


def query_of(body: dict[str, Any]) -> list[str]:
    """The queries of a search. Raises ApiError (400)."""
    given = body.get("query")
    queries = [given] if isinstance(given, str) else given
    if not isinstance(queries, list) or not all(isinstance(one, str) for one in queries):
        raise wrong_type("query", "a string or a list of strings")
    if not any(one.strip() for one in queries):
        raise ApiError(
            "Missing required parameter: 'query'.", param="query", code="missing_required_parameter"
        )
    return queries


def check_filters(filters: Any, *, param: str, depth: int = 0) -> dict[str, Any] | None:
    """A filter that can be used, or None. Raises ApiError (400)."""
    if filters is None:
        return None
    if not isinstance(filters, dict):
        raise wrong_type(param, "an object")
    if depth > DEEPEST:
        raise wrong_value(param, "it is nested too deeply.")
    kind, inner = filters.get("type"), filters.get("filters")
    if kind in ("and", "or"):
        if not isinstance(inner, list) or not inner:
            raise wrong_type(f"{param}.filters", "a list")
        for index, one in enumerate(inner):
            if one is None:
                raise wrong_type(f"{param}.filters[{index}]", "an object")
            check_filters(one, param=f"{param}.filters[{index}]", depth=depth + 1)
        return filters
    if kind not in COMPARED:
        raise wrong_value(f"{param}.type", f"one of and, or, {', '.join(COMPARED)}.")
    if not isinstance(filters.get("key"), str):
        raise wrong_type(f"{param}.key", "a string")
    value = filters.get("value")
    wanted = list if kind in ("in", "nin") else str | int | float
    if not isinstance(value, wanted):
        raise wrong_type(f"{param}.value", "a list" if wanted is list else "a string or a number")
    return filters


def passes(filters: dict[str, Any], attributes: dict[str, Any]) -> bool:
    """Whether attributes fit a checked filter."""
    kind = filters["type"]
    if kind in ("and", "or"):
        inner = (passes(one, attributes) for one in filters["filters"])
        return all(inner) if kind == "and" else any(inner)
    has: Any = attributes.get(filters["key"])
    wanted: Any = filters["value"]
    if kind in ("in", "nin"):
        return bool(has in wanted) is (kind == "in")
    if kind in ("eq", "ne"):
        return bool(has == wanted) is (kind == "eq")
    if isinstance(has, str) != isinstance(wanted, str) or has is None:
        return False
    compared = {"gt": has > wanted, "gte": has >= wanted, "lt": has < wanted, "lte": has <= wanted}
    return bool(compared[kind])
