"""A comparison of documents against one of them, as a table of gaps: extracted, not invented.

Fits schemas such as::

    {title, summary, gaps: [{requirement, status, baseline_quote: {document, quote},
                             other_quote: {document, quote}, comment}]}

and others with the same columns under other names, of which some may be absent. A column that
holds objects of its own (``findings: [{document, status, quote}]``) has one for each document; then
there is one row for each requirement, and its status is the worst of them.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from dataclasses import dataclass, replace
from typing import Any

from .comparing import Row, baseline_of, compare, fewer
from .digest import INVENTED
from .documents import Document
from .passages import collapse, condense
from .structured import CannotFill, Filler, Schema, fit_text, problems

MOST_ROWS = 60

LISTS = frozenset(
    "gaps rows differences comparison comparisons findings requirements items".split()  # noqa: SIM905
)
REQUIREMENT = ("requirement", "topic", "clause", "rule", "obligation", "provision", "control")
STATUS = ("status", "finding", "verdict", "result", "assessment", "compliance", "coverage")
SEVERITY = ("severity", "priority", "risk", "impact")
COMMENT = ("comment", "note", "notes", "explanation", "difference", "rationale", "gap", "detail")
WORDS = {
    "met": ("met", "covered", "compliant", "same", "equal", "match", "ok", "fulfilled", "present",
            "satisfied", "consistent", "aligned", "agrees", "full", "yes", "no_gap"),
    "differs": ("differs", "different", "partial", "weaker", "conflict", "inconsistent", "deviates",
                "changed", "contradicts", "unclear", "partly"),
    "missing": ("missing", "absent", "gap", "not_covered", "not_met", "uncovered", "non_compliant",
                "not_found", "unmet", "none", "no", "omitted"),
}  # fmt: skip
SEVERITIES = {
    "met": ("none", "info", "low", "minor", "ok"),
    "differs": ("medium", "moderate", "major", "low"),
    "missing": ("high", "critical", "severe", "major"),
}
WORST = ("missing", "differs", "met")


def is_gaps(schema: Any) -> bool:
    """Whether a schema asks for a table of gaps."""
    if not isinstance(schema, dict):
        return False
    try:
        return _Parts.of(schema) is not None
    except CannotFill:
        return False


def _named(name: str, known: tuple[str, ...]) -> bool:
    return name.lower() in known or any(name.lower().endswith(f"_{word}") for word in known)


@dataclass(frozen=True, slots=True)
class _Parts:
    """Where the table of a schema is, references resolved."""

    filler: Filler
    root: Schema
    name: str
    table: Schema
    row: Schema

    @property
    def nested(self) -> dict[str, dict[str, Any]]:
        """The columns of objects for each document, by their names: those objects' properties."""
        found = {}
        for name, part in self.row.get("properties", {}).items():
            part = self.filler.resolve(part)
            inner = self.filler.resolve(part.get("items")).get("properties")
            if part.get("type") != "array" or not isinstance(inner, dict):
                continue
            told = any(_named(column, (*STATUS, *COMMENT)) for column in inner)
            if told and any("document" in column or "quote" in column for column in inner):
                found[name] = inner
        return found

    @classmethod
    def of(cls, schema: Schema, material: list[str] | None = None) -> _Parts | None:
        filler = Filler(schema, material or [], link="https://example.org/")
        root = filler.resolve(schema)
        properties = root.get("properties")
        if not isinstance(properties, dict):
            return None
        for name in properties:
            if name.lower() not in LISTS:
                continue
            table = filler.resolve(properties[name])
            row = filler.resolve(table.get("items"))
            columns = row.get("properties")
            if not isinstance(columns, dict):
                continue
            asks = any(_named(column, REQUIREMENT) for column in columns)
            tells = any(
                _named(column, (*STATUS, *SEVERITY)) or "quote" in column.lower()
                for column in columns
            )
            if asks and tells:
                return cls(filler, root, name, table, row)
        return None


def gaps(
    schema: Schema,
    documents: list[Document],
    *,
    baseline: str = "",
    focus: str = "",
    invent_quotes: int = 0,
) -> Any:
    """An instance of a schema that asks for a table of gaps; valid, or CannotFill is raised.

    ``baseline`` and ``focus`` are as people write them, and may be empty. ``invent_quotes`` replaces so many quotes by ones that stand in no document.
    """
    base = baseline_of(documents, baseline)
    others = [document.name for document in documents if document is not base]
    rows = compare(documents, baseline=baseline, focus=focus)
    counted = Counter(row.status for row in rows)
    versus = ", ".join(others[:5]) + (f" and {len(others) - 5} more" if len(others) > 5 else "")
    title = f"{base.name} against {versus}" if others else f"{base.name} alone"
    summary = (
        f"{len({row.requirement for row in rows})} requirements of {base.name} were looked up in "
        f"{len(others)} other {'document' if len(others) == 1 else 'documents'}: "
        f"{counted['met']} met, {counted['differs']} different, {counted['missing']} missing."
    )
    parts = _Parts.of(schema, [summary])
    if parts is None:
        raise CannotFill("The schema has no table of gaps.")
    least, most = parts.table.get("minItems", 0), parts.table.get("maxItems", MOST_ROWS)
    most = int(min(most, MOST_ROWS))
    if not parts.nested:
        rows = fewer(rows, most)
    if not rows and least:
        only = condense(collapse(base.text)) or base.name
        rows = [Row(only, None, base.name, "", "", "missing")]
    for number in range(min(invent_quotes, len(rows))):
        rows[number] = replace(rows[number], other=INVENTED[number % len(INVENTED)])
    made: dict[str, Any] = {}
    for name, part in parts.root.get("properties", {}).items():
        if name == parts.name:
            made[name] = [_row(parts, group) for group in _groups(parts, rows)][:most]
            continue
        part = parts.filler.resolve(part)
        if name.lower() == "title":
            made[name] = _fit(part, title)
        elif name.lower() == "baseline" and part.get("type") == "string":
            made[name] = _fit(part, base.name)
        elif name.lower() == "documents" and part.get("type") == "array":
            made[name] = [document.name for document in documents]
        elif name.lower() in ("summary", "overview", "conclusion"):
            made[name] = _fit(part, summary)
        else:
            made[name] = parts.filler.value(part, name=name)
    if wrong := problems(schema, made):
        raise CannotFill(wrong[0])
    return made


def _fit(part: Schema, text: str) -> str:
    return fit_text(text, part.get("minLength", 0), part.get("maxLength", math.inf))


def _groups(parts: _Parts, rows: list[Row]) -> list[list[Row]]:
    """What stands in each row of the table: one finding, or all those of a requirement."""
    if not parts.nested:
        return [[row] for row in rows]
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(row.requirement, []).append(row)
    return list(groups.values())


def _row(parts: _Parts, group: list[Row]) -> dict[str, Any]:
    worst = min(group, key=lambda row: WORST.index(row.status))
    made: dict[str, Any] = {}
    for name, part in parts.row.get("properties", {}).items():
        if columns := parts.nested.get(name):
            made[name] = [_cells(parts, columns, row) for row in group if row.document]
        else:
            made[name] = _cell(parts, name, parts.filler.resolve(part), worst)
    return made


def _cells(parts: _Parts, columns: dict[str, Any], row: Row) -> dict[str, Any]:
    return {
        name: _cell(parts, name, parts.filler.resolve(part), row) for name, part in columns.items()
    }


def _cell(parts: _Parts, name: str, part: Schema, row: Row) -> Any:
    low = name.lower()
    first = {"document": row.baseline, "quote": row.requirement}
    second = {"document": row.document if row.other else "", "quote": row.other}
    ours = any(word in low for word in ("baseline", "requirement", "policy", "standard", "source"))
    options = part.get("enum") or _options(parts, part)
    kind = _kind(parts, part)
    if kind == "object" and {"document", "quote"} & set(_object(parts, part)):
        return _quote(parts, part, first if ours else second)
    if kind == "array":
        inner = parts.filler.resolve(part.get("items"))
        columns = _object(parts, inner)
        if {"document", "quote"} <= set(columns):
            return [_quote(parts, inner, one) for one in (first, second) if one["quote"]]
        if _kind(parts, inner) == "string" and "quote" in low:
            return [one["quote"] for one in (first, second) if one["quote"]]
    if options and _named(name, STATUS):
        return nearest(options, row.status, WORDS)
    if options and _named(name, SEVERITY):
        return nearest(options, row.status, SEVERITIES)
    if kind == "string" and not options:
        if text := _text(low, row, ours=ours):
            return _fit(part, text)
        if "quote" in low or "document" in low:
            return ""
    return parts.filler.value(part, name=name)


def _text(low: str, row: Row, *, ours: bool) -> str:
    """The words for a column of strings; "" when it is none that is known."""
    if "quote" in low:
        return row.requirement if ours else row.other
    if "document" in low or low in ("source", "file"):
        return row.baseline if ours else row.document
    if low in ("topic", "section", "heading", "area"):
        return row.heading or condense(row.requirement, limit=90)
    if _named(low, REQUIREMENT):
        return row.requirement
    if _named(low, STATUS):
        return row.status if low != "finding" else row.comment
    if _named(low, SEVERITY):
        return {"met": "low", "differs": "medium", "missing": "high"}[row.status]
    if _named(low, COMMENT):
        return row.comment
    return ""


def _options(parts: _Parts, part: Schema) -> list[Any]:
    """The enum of a nullable column."""
    for one in part.get("anyOf") or part.get("oneOf") or []:
        if found := parts.filler.resolve(one).get("enum"):
            return list(found)
    return []


def _kind(parts: _Parts, part: Schema) -> str:
    """What a column holds; of a nullable one, what it holds when it is not null."""
    kinds = part.get("type")
    if isinstance(kinds, list):
        return next((kind for kind in kinds if kind != "null"), "null")
    if kinds is None:
        found = [parts.filler.resolve(one) for one in part.get("anyOf") or part.get("oneOf") or []]
        return next((str(one.get("type")) for one in found if one.get("type") != "null"), "")
    return str(kinds)


def _object(parts: _Parts, part: Schema) -> dict[str, Any]:
    """The properties of a column that holds objects; {} for any other."""
    found = [part, *map(parts.filler.resolve, part.get("anyOf") or part.get("oneOf") or [])]
    return next((dict(one["properties"]) for one in found if one.get("properties")), {})


def _quote(parts: _Parts, part: Schema, quote: dict[str, str]) -> dict[str, Any]:
    made = {}
    for name, inner in _object(parts, part).items():
        known = name in quote
        made[name] = quote[name] if known else parts.filler.value(inner, name=name)
    return made


def nearest(options: list[Any], status: str, words: dict[str, tuple[str, ...]]) -> Any:
    """The option that says this best: by its word, by a part of it, or by its place."""
    plain = {re.sub(r"[^a-z]+", "_", str(option).lower()).strip("_"): option for option in options}
    for word in words[status]:
        if word in plain:
            return plain[word]
    others = {word for key, known in words.items() if key != status for word in known}
    for word in words[status]:
        for key, option in plain.items():
            if word in key.split("_") and key not in others:
                return option
    places = {"met": 0, "differs": len(options) // 2, "missing": len(options) - 1}
    return options[places[status]]
