"""Outlines of structured output, as HTML that is still to be sanitised, and as Markdown."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from html import escape

from jobs.rendering import markdown
from jobs.rendering.headings import Headings, has_title
from jobs.rendering.outline import Block, Bullets, Cut, Facts, Part, Quote, Raw, Table, Text

#: The lowest level that HTML has headings for.
LOWEST = 6
_NOTHING = '<span class="none">–</span>'


@dataclass(frozen=True)
class Found:
    """What is known of a quote: the address and the document of its place, or that there is none.

    `state` is "found", "missing" (looked up in vain) or "unchecked" (not looked up).
    """

    state: str
    url: str = ""
    document: str = ""


STATES = {
    "found": "Found in the document",
    "missing": "Not found in the documents",
    "unchecked": "Not looked up",
}


def html(
    blocks: Sequence[Block],
    *,
    level: int,
    find: Callable[[Quote], Found],
    headings: Headings | None = None,
) -> str:
    """The headings of the outermost parts are `<h{level}>`. With `headings` they have ids, and the
    sections are taken down there."""
    page = _Page(find, headings or Headings())
    titled = headings is not None and has_title(list(_levels(blocks, level)))
    return "".join(_html(block, level, page, is_title=titled) for block in blocks)


@dataclass(frozen=True)
class _Page:
    find: Callable[[Quote], Found]
    headings: Headings


def _levels(blocks: Sequence[Block], level: int) -> Iterator[int]:
    """The levels of the headings, in the order of reading."""
    for block in blocks:
        if isinstance(block, Part):
            yield from [level] if level <= LOWEST else []
            yield from _levels(block.blocks, level + 1)


def _html(block: Block, level: int, page: _Page, *, is_title: bool = False) -> str:
    match block:
        case Part(label, inner):
            head = _heading(label, level, page.headings, is_title=is_title)
            return head + "".join(_html(part, level + 1, page) for part in inner)
        case Text(text, lead):
            return _text(text, level, lead=lead)
        case Facts(rows):
            pairs = (
                f'<dt dir="auto">{escape(label)}</dt><dd dir="auto">{_inline(text)}</dd>'
                for label, text in rows
            )
            return f'<dl class="facts">{"".join(pairs)}</dl>\n'
        case Bullets(items):
            return f"<ul>{''.join(map(_bullet, items))}</ul>\n"
        case Table():
            return _table(block, page.find)
        case Quote():
            return _quote(block, page.find(block))
        case Raw(json):
            return markdown.verbatim(json)
        case Cut(left_out, what):
            return markdown.cut_sentence(left_out, what)


def _heading(label: str, level: int, headings: Headings, *, is_title: bool) -> str:
    if level <= LOWEST:
        anchor = headings.anchor(label) if headings.prefix else ""
        before = after = ""
        # A number is the place of an item that has no name.
        if anchor and not is_title and not label.isdecimal():
            before, after = headings.section(label, level=level, anchor=anchor)
        id = f' id="{escape(anchor)}"' if anchor else ""
        return f'{before}<h{level} dir="auto"{id}>{escape(label)}</h{level}>{after}\n'
    return f'<p class="part-name" dir="auto">{escape(label)}</p>\n'


def _text(text: str, level: int, *, lead: bool) -> str:
    if not lead and "\n" in text.strip():
        # Beyond what inline reads, line breaks are its writer's own.
        return markdown.rendered(text, level=min(6, level), breaks=True).html
    shown = _inline(text)
    return f'<p dir="auto"{" class=lead" if lead else ""}>{shown}</p>\n'


def _inline(text: str) -> str:
    return markdown.inline(text) if text.strip() else _NOTHING


def _bullet(text: str) -> str:
    if "\n" in text.strip():
        return f'<li dir="auto">{markdown.rendered(text, level=6, breaks=True).html}</li>'
    return f'<li dir="auto">{_inline(text)}</li>'


def _table(table: Table, find: Callable[[Quote], Found]) -> str:
    def number(index: int) -> str:
        return ' class="num"' if index in table.numeric else ""

    head = "".join(
        f'<th scope="col" dir="auto"{number(i)}>{escape(name)}</th>'
        for i, name in enumerate(table.columns)
    )
    body = "".join(
        "<tr>"
        + "".join(
            f'<td dir="auto"{number(i)}>'
            f"{_quote(cell, find(cell)) if isinstance(cell, Quote) else _inline(cell)}</td>"
            for i, cell in enumerate(cells)
        )
        + "</tr>\n"
        for cells in table.rows
    )
    return (
        f'{markdown.TABLE_START}<table class="table"><thead><tr>{head}</tr></thead>\n'
        f"<tbody>{body}</tbody></table></div>\n"
    )


def _quote(quote: Quote, found: Found) -> str:
    """What was cited, to the letter: a quote is not read as Markdown."""
    name = escape(found.document or quote.document)
    if found.url:
        source = f'<a class="quote-place" href="{escape(found.url)}"><bdi>{name}</bdi></a> '
    else:
        source = f"<bdi>{name}</bdi> " if name else ""
    return (
        f'<figure class="quote quote-{found.state}">'
        f'<blockquote dir="auto"><p class="verbatim">{escape(quote.text)}</p></blockquote>'
        f'<figcaption>{source}<span class="quote-state">{STATES[found.state]}</span></figcaption>'
        "</figure>\n"
    )


def as_markdown(blocks: Sequence[Block], *, level: int = 1) -> str:
    """The same document for a file."""
    return "\n\n".join(filter(None, (_markdown(block, level) for block in blocks)))


def _markdown(block: Block, level: int) -> str:
    match block:
        case Part(label, inner):
            heading = f"{'#' * min(6, level)} {_line(label)}"
            return f"{heading}\n\n{as_markdown(inner, level=level + 1)}".rstrip()
        case Text(text):
            return text.strip()
        case Facts(rows):
            return "\n".join(f"- **{_line(label)}:** {_line(text) or '–'}" for label, text in rows)
        case Bullets(items):
            return "\n".join("- " + "\n  ".join(item.splitlines()) for item in items)
        case Table(columns, rows):
            lines = [columns, ["---"] * len(columns), *rows]
            return "\n".join(f"| {' | '.join(map(_cell, line))} |" for line in lines)
        case Quote(text, document):
            quoted = "\n".join(f"> {line}" for line in text.splitlines())
            return f"{quoted}\n>\n> — {_line(document)}" if document else quoted
        case Raw(json):
            longest = max(map(len, re.findall("`+", json)), default=0)
            fence = "`" * max(3, longest + 1)
            return f"{fence}json\n{json}\n{fence}"
        case Cut(left_out, what):
            return f"… {left_out} more {what}s."


def _line(text: str) -> str:
    return " ".join(text.split())


def _cell(cell: str | Quote) -> str:
    text = cell
    if isinstance(cell, Quote):
        text = f"“{cell.text}” ({cell.document})" if cell.document else f"“{cell.text}”"
    assert isinstance(text, str)
    return _line(text).replace("|", "\\|") or "–"
