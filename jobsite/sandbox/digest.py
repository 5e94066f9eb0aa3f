"""An extractive digest: what documents say, section by section, with word-for-word quotes.

Fits any JSON Schema of this shape; other properties in it are filled as well::

    {title, summary, sections: [{heading, summary, quotes: [{document, quote}]}]}
"""

from __future__ import annotations

import math
from typing import Any

from .documents import Document
from .passages import (
    QUOTE_MAX,
    Scorer,
    Section,
    collapse,
    condense,
    joined_lines,
    key_phrase,
    quotable,
    sections,
)
from .structured import CannotFill, Filler, Schema, fit_text, problems

SECTIONS_MIN, SECTIONS_MAX = 3, 12  # of a whole digest; more only when there are more documents
CHARS_PER_SECTION = 2500

INVENTED = (
    "The committee resolved unanimously to double the reserve before the end of the quarter.",
    "No objection was recorded by any of the parties at the time of the second reading.",
    "An independent laboratory in Trondheim confirmed the figure to four decimal places.",
    "The remaining balance was transferred in full on the last Thursday of the month.",
)


def is_digest(schema: Any) -> bool:
    """Whether a schema asks for a digest."""
    if not isinstance(schema, dict):
        return False
    try:
        parts = _Parts(schema)
    except CannotFill:
        return False
    return (
        {"title", "summary", "sections"} <= set(parts.root.get("properties", {}))
        and {"heading", "summary", "quotes"} <= set(parts.section.get("properties", {}))
        and {"document", "quote"} <= set(parts.quote.get("properties", {}))
    )


class _Parts:
    """The three nested object schemas of a digest, references resolved."""

    def __init__(self, schema: Schema) -> None:
        self.filler = Filler(schema, [], link="")
        self.root = self.filler.resolve(schema)
        self.sections = self.property(self.root, "sections")
        self.section = self.filler.resolve(self.sections.get("items"))
        self.quotes = self.property(self.section, "quotes")
        self.quote = self.filler.resolve(self.quotes.get("items"))

    def property(self, schema: Schema, name: str) -> Schema:
        return self.filler.resolve(schema.get("properties", {}).get(name))

    def fit(self, schema: Schema, name: str, text: str) -> str:
        """The text as long as this property of the schema allows."""
        part = self.property(schema, name)
        return fit_text(text, part.get("minLength", 0), part.get("maxLength", math.inf))


def digest(
    schema: Schema, documents: list[Document], *, focus: str = "", invent_quotes: int = 0
) -> dict[str, Any]:
    """A digest of at least one document; valid, or CannotFill is raised.

    ``invent_quotes`` adds so many quotes that stand in no document, for those who test what checks
    quotes.
    """
    parts = _Parts(schema)
    divided = [
        (document, sections(document.text, table=document.is_table)) for document in documents
    ]
    everything = [
        sentence for _, found in divided for section in found for sentence in section.sentences
    ]
    scorer = Scorer(everything, focus=focus)
    key = scorer.best([line for line in everything if quotable(line)] or everything, 3)
    filler = Filler(schema, [condense(sentence) for sentence in key], link="https://example.org/")

    made = []
    counts = _shares([len(document.text) for document in documents])
    for (document, found), count in zip(divided, counts, strict=True):
        for section in _regroup(found, count):
            made.append(_section(parts, filler, scorer, document, section))
    made = made[: parts.sections.get("maxItems", len(made))]
    _add_invented(made, documents, invent_quotes, most=parts.quotes.get("maxItems", math.inf))

    titles = [_title(document, found) for document, found in divided]
    title = titles[0] if len(titles) == 1 else f"{len(titles)} documents: " + "; ".join(titles)
    result = {
        **filler.value(_outline(parts.root, "sections")),
        "title": parts.fit(parts.root, "title", condense(title, limit=150)),
        "summary": parts.fit(parts.root, "summary", " ".join(map(condense, key))),
        "sections": made,
    }
    if wrong := problems(schema, result):
        raise CannotFill(wrong[0])
    return result


def _outline(schema: Schema, *leave_out: str) -> Schema:
    """The schema without these properties, to have only the others filled."""
    properties = {k: v for k, v in schema.get("properties", {}).items() if k not in leave_out}
    required = [name for name in schema.get("required", []) if name not in leave_out]
    return {"type": "object", "properties": properties, "required": required}


def _title(document: Document, found: list[Section]) -> str:
    heading = next((section.heading for section in found if section.heading), None)
    if heading and not document.is_table:
        first = next((collapse(line) for line in document.text.splitlines() if line.strip()), "")
        title = first.lstrip("# ").strip()
        return title if len(title) <= 90 and title[-1:] not in ".,;:" else heading
    return document.name.rsplit(".", 1)[0].replace("_", " ").replace("-", " ").strip().capitalize()


def _shares(lengths: list[int]) -> list[int]:
    """How many sections each document gets, by its length; never none."""
    total = sum(lengths)
    wanted = min(SECTIONS_MAX, max(SECTIONS_MIN, 2 + round(total / CHARS_PER_SECTION)))
    shares = [max(1, math.floor(wanted * length / max(1, total))) for length in lengths]
    while sum(shares) < wanted:
        shares[max(range(len(shares)), key=lambda i: lengths[i] / shares[i])] += 1
    return shares


def _regroup(found: list[Section], count: int) -> list[Section]:
    """The sections of a document as ``count`` neighbouring groups; fewer if it says too little."""
    groups = [Section(section.heading, list(section.sentences)) for section in found]
    while len(groups) > count:
        joined = min(range(len(groups) - 1), key=lambda i: groups[i].size + groups[i + 1].size)
        left, right = groups[joined], groups[joined + 1]
        heading = left.heading if left.size >= right.size or not right.heading else right.heading
        groups[joined : joined + 2] = [
            Section(heading or right.heading, left.sentences + right.sentences)
        ]
    while len(groups) < count:
        widest = max(range(len(groups)), key=lambda i: groups[i].size)
        section = groups[widest]
        half = len(section.sentences) // 2
        sides = [section.sentences[:half], section.sentences[half:]]
        if not all(any(map(quotable, side)) for side in sides):
            break
        groups[widest : widest + 1] = [
            Section(section.heading, sides[0]),
            Section(None, sides[1]),
        ]
    return groups


def _section(
    parts: _Parts, filler: Filler, scorer: Scorer, document: Document, section: Section
) -> dict[str, Any]:
    most = min(QUOTE_MAX, parts.property(parts.quote, "quote").get("maxLength", QUOTE_MAX))
    fit = [line for line in section.sentences if quotable(line) and len(line) <= most]
    if not fit:
        whole = " ".join(joined_lines("\n".join(section.sentences[:1]) or document.text))
        fit = [whole if len(whole) <= most else whole[: int(most)].rsplit(" ", 1)[0]]
    wanted = 1 if len(fit) < 4 else 2 if len(fit) < 12 else 3
    wanted = max(parts.quotes.get("minItems", 1), min(wanted, parts.quotes.get("maxItems", 3)))
    quotes = scorer.best(fit, wanted)
    others = [line for line in section.sentences if line not in quotes and len(line) >= 40]
    told = scorer.best(others or quotes, 2)
    name = section.heading or key_phrase(section.sentences) or document.name
    return {
        **filler.value(_outline(parts.section, "quotes")),
        "heading": parts.fit(parts.section, "heading", condense(name, limit=90)),
        "summary": parts.fit(parts.section, "summary", " ".join(map(condense, told))),
        "quotes": [
            {
                **filler.value(_outline(parts.quote, "document", "quote")),
                "document": document.name,
                "quote": quote,
            }
            for quote in quotes
        ],
    }


def _add_invented(
    made: list[dict[str, Any]], documents: list[Document], count: int, *, most: float
) -> None:
    """Put ``count`` quotes that no document holds into the sections in turn."""
    texts = [collapse(document.text) for document in documents]
    for number in range(count if made and most > 0 else 0):
        quote = INVENTED[number % len(INVENTED)]
        if number >= len(INVENTED) or any(quote in text for text in texts):
            quote = f"{quote[:-1]}, as paragraph {number + 401} of the annex sets out."
        quotes = made[number % len(made)]["quotes"]
        invented = {**quotes[0], "quote": quote}
        if len(quotes) < most:
            quotes.append(invented)
        else:
            quotes[-1 - (number // len(made)) % len(quotes)] = invented
