"""Structured output as a document: any JSON, read into the few kinds of block that documents have.

What a key means is guessed from what is under it, never from a job type: a text under "quote" is a
quote, a list of flat objects with the same keys is a table, a "title" leads.
"""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

#: Fields that lead an object: the first that it has is its heading.
TITLES = ("title", "heading", "name")
SUMMARIES = ("summary", "abstract", "overview")
#: Labels that say nothing which their content does not show.
SELF_EVIDENT = frozenset({"quotes", "sections"})
LONGEST_TITLE = 300
LONGEST_FACT = 100
MOST_COLUMNS = 12
LONGEST_CELL = 400
LONGEST_QUOTE = 1_000


@dataclass(frozen=True)
class Limits:
    """How much of a value is read. What is over is counted and said."""

    values: int = 3_000
    characters: int = 150_000
    rows: int = 200
    depth: int = 8


#: For downloads. Depth stays, as what is deeper is no document any more: it is given as JSON.
WHOLE = Limits(values=10**9, characters=10**12, rows=10**9)


@dataclass(frozen=True)
class Text:
    text: str
    lead: bool = False


@dataclass(frozen=True)
class Facts:
    rows: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Bullets:
    items: tuple[str, ...]


@dataclass(frozen=True)
class Quote:
    """`path` is where it stands in the value, as its citation names it."""

    text: str
    document: str
    path: str


@dataclass(frozen=True)
class Table:
    columns: tuple[str, ...]
    rows: tuple[tuple[str | Quote, ...], ...]
    #: Columns of numbers alone.
    numeric: frozenset[int]


@dataclass(frozen=True)
class Raw:
    """What is nested too deeply for a document, as JSON."""

    json: str


@dataclass(frozen=True)
class Cut:
    left_out: int
    what: str


@dataclass(frozen=True)
class Part:
    label: str
    blocks: tuple["Block", ...]


Block = Text | Facts | Bullets | Table | Quote | Raw | Cut | Part


@dataclass(frozen=True)
class Outline:
    blocks: tuple[Block, ...]
    cut: bool


def outline(value: Any, limits: Limits | None = None) -> Outline:
    """Read any JSON value. Never fails."""
    reader = _Reader(limits or Limits())
    return Outline(tuple(reader.read(value, "$", 0)), reader.cut)


def words(key: str) -> str:
    """A key as a person would write it: "key_findings" and "keyFindings" are "Key findings"."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z][a-z])", " ", key[:200])
    spaced = " ".join(re.sub(r"[_\s-]+", " ", spaced).split()) or key.strip()
    if re.search(r"[a-z] [A-Z][a-z]", spaced) and " " not in key:
        spaced = re.sub(r" [A-Z](?=[a-z])", lambda letter: letter[0].lower(), spaced)
    return spaced[:1].upper() + spaced[1:] if spaced else "(no name)"


class _Reader:
    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.values = limits.values
        self.characters = limits.characters
        self.cut = False

    def read(self, value: Any, path: str, depth: int) -> list[Block]:
        if isinstance(value, dict | list) and value and depth > self.limits.depth:
            return [Raw(self._taken(_json(value)))]
        if isinstance(value, dict):
            if _is_quote(value):
                return self._quote(value, path, depth)
            title = next((key for key in TITLES if _is_title(value.get(key))), "")
            if title:
                blocks = self._object(value, path, depth, without={title})
                return [Part(self._taken(value[title]), tuple(blocks))]
            return self._object(value, path, depth)
        if isinstance(value, list):
            return self._list(value, path, depth)
        return [Text(self._scalar(value))]

    def _object(
        self, value: dict[str, Any], path: str, depth: int, *, without: set[str] | None = None
    ) -> list[Block]:
        blocks: list[Block] = []
        without = set(without or ())
        lead = next((key for key in SUMMARIES if _is_text(value.get(key))), "")
        if lead:
            blocks.append(Text(self._scalar(value[lead]), lead=True))
            without.add(lead)
        rest = [(key, item) for key, item in value.items() if key not in without]
        facts: list[tuple[str, str]] = []
        for position, (key, item) in enumerate(rest):
            if self._is_spent():
                blocks += [Facts(tuple(facts))] if facts else []
                return [*blocks, self._left_out(len(rest) - position, "part")]
            if _is_fact(item):
                facts.append((words(str(key)), self._scalar(item)))
                continue
            if facts:
                blocks.append(Facts(tuple(facts)))
                facts = []
            inner = self.read(item, f"{path}.{key}", depth + 1)
            evident = str(key).casefold() in SELF_EVIDENT
            if evident and all(isinstance(block, Part | Quote | Cut) for block in inner):
                blocks += inner
            else:
                blocks.append(Part(words(str(key)), tuple(inner)))
        if facts:
            blocks.append(Facts(tuple(facts)))
        return blocks or ([] if lead or without else [Text("")])

    def _quote(self, value: dict[str, Any], path: str, depth: int) -> list[Block]:
        document = value.get("document")
        known = {"quote", "document"} if isinstance(document, str) else {"quote"}
        quote = Quote(
            self._taken(value["quote"]), document if isinstance(document, str) else "", path
        )
        if set(value) <= known:
            return [quote]
        return [quote, *self._object(value, path, depth, without=known)]

    def _list(self, items: list[Any], path: str, depth: int) -> list[Block]:
        if not items:
            return [Text("")]
        if all(not isinstance(item, dict | list) for item in items):
            return self._bullets(items)
        if columns := _columns(items):
            return self._table(items, columns, path)
        blocks: list[Block] = []
        for position, item in enumerate(items):
            if self._is_spent():
                return [*blocks, self._left_out(len(items) - position, "item")]
            inner = self.read(item, f"{path}[{position}]", depth + 1)
            if inner and isinstance(inner[0], Quote | Part) and isinstance(item, dict):
                blocks += inner
            else:
                blocks.append(Part(str(position + 1), tuple(inner)))
        return blocks

    def _bullets(self, items: Sequence[Any]) -> list[Block]:
        shown: list[str] = []
        for item in items:
            if self._is_spent():
                cut = self._left_out(len(items) - len(shown), "item")
                return [Bullets(tuple(shown)), cut] if shown else [cut]
            shown.append(self._scalar(item))
        return [Bullets(tuple(shown))]

    def _table(self, items: list[dict[str, Any]], columns: list[str], path: str) -> list[Block]:
        rows: list[tuple[str | Quote, ...]] = []
        for position, item in enumerate(items[: self.limits.rows]):
            if self._is_spent():
                break
            rows.append(
                tuple(self._cell(item[name], f"{path}[{position}].{name}") for name in columns)
            )
        numeric = frozenset(
            index
            for index, column in enumerate(columns)
            if all(_is_number(item[column]) for item in items[: len(rows)])
        )
        table = Table(tuple(map(words, columns)), tuple(rows), numeric)
        if len(rows) == len(items):
            return [table]
        return [table, self._left_out(len(items) - len(rows), "row")]

    def _cell(self, value: Any, path: str) -> str | Quote:
        if not _is_quote(value):
            return self._scalar(value)
        # A row that has nothing to quote says so with an empty one.
        text = self._taken(value["quote"])
        return Quote(text, str(value.get("document", "")), path) if text.strip() else ""

    def _is_spent(self) -> bool:
        """Whether no more may be read; otherwise one value of what may be is."""
        self.values -= 1
        return self.values < 0 or self.characters <= 0

    def _left_out(self, count: int, what: str) -> Cut:
        self.cut = True
        return Cut(count, what)

    def _scalar(self, value: Any) -> str:
        return self._taken(_said(value))

    def _taken(self, text: str) -> str:
        allowed = max(0, self.characters)
        self.characters -= len(text)
        if len(text) <= allowed:
            return text
        self.cut = True
        return text[:allowed] + " …"


def _said(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "Yes" if value else "No"
    try:
        return str(value)
    except ValueError:
        # Python does not write integers of thousands of digits.
        return "(a number too long to be shown)"


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _is_title(value: Any) -> bool:
    return _is_text(value) and len(value) <= LONGEST_TITLE and "\n" not in value


def _is_fact(value: Any) -> bool:
    if isinstance(value, str):
        return len(value) <= LONGEST_FACT and "\n" not in value
    return not isinstance(value, dict | list) or not value


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_quote(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("quote"), str)


def _is_cell(value: Any) -> bool:
    if isinstance(value, str):
        return len(value) <= LONGEST_CELL and "\n" not in value
    if _is_quote(value):
        plain = value.keys() <= {"quote", "document"} and isinstance(value.get("document", ""), str)
        return plain and len(value["quote"]) <= LONGEST_QUOTE
    return not isinstance(value, dict | list)


def _columns(items: list[Any]) -> list[str]:
    """The keys that all `items` have, where they make a table."""
    first = items[0]
    if not isinstance(first, dict) or len(items) < 2 or not 1 < len(first) <= MOST_COLUMNS:
        return []
    columns = list(first)
    for item in items:
        if not isinstance(item, dict) or item.keys() != first.keys() or _is_quote(item):
            return []
        if not all(map(_is_cell, item.values())):
            return []
    return columns


def _json(value: Any) -> str:
    try:
        return json.dumps(value, indent=2, ensure_ascii=False, default=str)
    except (TypeError, ValueError, RecursionError):
        return "(nested too deeply to be shown)"


def quotes(blocks: Sequence[Block]) -> Iterator[Quote]:
    """Every quote, in the order of reading."""
    for block in blocks:
        if isinstance(block, Quote):
            yield block
        elif isinstance(block, Table):
            yield from (cell for row in block.rows for cell in row if isinstance(cell, Quote))
        elif isinstance(block, Part):
            yield from quotes(block.blocks)
