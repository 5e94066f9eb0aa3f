"""Markdown from outside, as HTML that is still to be sanitised.

Nothing is fetched, nothing is markup but Markdown's own, and nothing that was written is left out:
a block of which Markdown would swallow a part (cells beyond the last column, quotes within twenty
quotes) is shown as it was written. Reference definitions are not read, as they show nowhere.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from html import escape
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.rules_core import StateCore
from markdown_it.token import Token

from jobs.rendering import links
from jobs.rendering.citations import Numbers, numbered, numbers_for
from jobs.rendering.code import highlighted
from jobs.rendering.headings import Headings, has_title, section_name, slug

#: Characters of one paragraph that are read as Markdown; a longer one is shown as it is.
LONGEST_PARAGRAPH = 20_000
MOST_ROWS = 500
MOST_HIGHLIGHTED = 50_000
_BASE = 3

_INKLESS = re.compile(r"[\s!-/:-@\[-`{-~]+")
_PLAIN = re.compile(r"[^\\`*_\[\]<>&!~\n]*")


@dataclass
class _Page:
    """What a rendering knows of itself: where it stands, and what it has spent."""

    level: int = _BASE
    prefix: str = ""
    numbers: Numbers | None = None
    anchors: dict[str, str] = field(default_factory=dict)
    headings: Headings = field(default_factory=Headings)
    #: What stands after the heading that is open.
    after_heading: str = ""
    highlighted: int = 0
    cut: bool = False
    #: The links that are open: where they began, and the numbers that wait for their end.
    links: list[tuple[int, list[str]]] = field(default_factory=list)


@dataclass(frozen=True)
class Rendered:
    """HTML that is not sanitised yet. `cut` says that a table was too long to be shown whole."""

    html: str
    cut: bool = False


def rendered(
    text: str,
    *,
    level: int = _BASE,
    headings: Headings | None = None,
    places: Iterable[tuple[int, int]] = (),
    breaks: bool = False,
) -> Rendered:
    """A whole text. Its highest headings become `<h{level}>`.

    With `headings` they have ids, and its sections are taken down there. `places` are (offset,
    number of a source): the numbers stand there, but for those that would break the markup.
    """
    page = _Page(level=level, numbers=numbers_for(text))
    source = _lines(text)
    tokens = _parse(source, breaks=breaks)
    places = list(places)
    if places and page.numbers:
        marked = _parse(_lines(numbered(text, places, page.numbers)), breaks=breaks)
        _take_numbers(tokens, marked, page.numbers)
    _demote(tokens, level)
    if headings is not None:
        page.headings, page.prefix = headings, headings.prefix
        _anchor(tokens, page)
    html = "".join(_blocks(source, _few_rows(tokens, page), page, breaks=breaks))
    return Rendered(html, page.cut)


def inline(text: str) -> str:
    """A text within one line: emphasis, code and links, and no blocks."""
    if _PLAIN.fullmatch(text) or len(text) > LONGEST_PARAGRAPH:
        return escape(text)
    md = _markdown(breaks=True)
    env: dict[str, Any] = {"page": _Page()}
    html: str = md.renderer.render(md.parseInline(text, env), md.options, env)
    return html


def verbatim(text: str) -> str:
    """A text as it was written."""
    return f'<pre class="verbatim" dir="auto">{escape(text)}</pre>\n'


class _Renderer(RendererHTML):
    """HTML of tokens. Every public method is the rule for the tokens that it is named after."""

    def text(self, tokens: Sequence[Token], idx: int, options: Any, env: Any) -> str:
        return _with_numbers(tokens[idx].content, env["page"])

    def code_inline(self, tokens: Sequence[Token], idx: int, options: Any, env: Any) -> str:
        content, after = _without_numbers(tokens[idx].content, env["page"])
        return f"<code>{escape(content)}</code>{after}"

    def image(self, tokens: Sequence[Token], idx: int, options: Any, env: Any) -> str:
        """Words in place of the picture: fetching it would tell somebody who reads this."""
        token, page = tokens[idx], env["page"]
        alt, after = _without_numbers(token.content, page)
        said = f"[image: {alt}]" if alt.strip() else "[image]"
        html = f'<span class="image-text">{escape(said)}</span>'
        url = links.outward(str(token.attrs.get("src", "")))
        if page.links:
            # In a link of its own already.
            return html + (f' <span class="host">({escape(links.host(url))})</span>' if url else "")
        if url:
            title = str(token.attrs.get("title", ""))
            html = f"{links.opening(url, title)}{html}{links.closing(url, said)}"
        return html + after

    def link_open(self, tokens: Sequence[Token], idx: int, options: Any, env: Any) -> str:
        token, page = tokens[idx], env["page"]
        href = str(token.attrs.get("href", ""))
        page.links.append((idx, []))
        if href.startswith("#"):
            anchor = page.anchors.get(slug(links.unquoted(href[1:])))
            return f'<a href="#{escape(anchor)}">' if anchor else "<span>"
        shown = "" if _text_in(tokens, idx).strip() else escape(href)
        return links.opening(href, str(token.attrs.get("title", ""))) + shown

    def link_close(self, tokens: Sequence[Token], idx: int, options: Any, env: Any) -> str:
        page = env["page"]
        begin, waiting = page.links.pop()
        href = str(tokens[begin].attrs.get("href", ""))
        if href.startswith("#"):
            known = slug(links.unquoted(href[1:])) in page.anchors
            end = "</a>" if known else f'</span> <span class="host">({escape(href)})</span>'
            return end + "".join(waiting)
        text = _text_in(tokens, begin)
        if page.numbers:
            text = page.numbers.removed(text)
        return links.closing(href, text if text.strip() else href) + "".join(waiting)

    def fence(self, tokens: Sequence[Token], idx: int, options: Any, env: Any) -> str:
        token, page = tokens[idx], env["page"]
        info = token.info.strip()
        page.highlighted += len(token.content)
        language = info.split()[0] if info else ""
        if page.highlighted > MOST_HIGHLIGHTED:
            language = ""
        name = f'<p class="code-name">{escape(info)}</p>' if info else ""
        code = highlighted(token.content, language)
        return f'<div class="code">{name}<pre dir="ltr"><code>{code}</code></pre></div>\n'

    def code_block(self, tokens: Sequence[Token], idx: int, options: Any, env: Any) -> str:
        code = escape(tokens[idx].content)
        return f'<div class="code"><pre dir="ltr"><code>{code}</code></pre></div>\n'

    def heading_open(self, tokens: Sequence[Token], idx: int, options: Any, env: Any) -> str:
        token, before = tokens[idx], ""
        page: _Page = env["page"]
        if "section" in token.meta:
            before, page.after_heading = page.headings.section(
                token.meta["section"], level=int(token.tag[1]), anchor=str(token.meta["id"])
            )
        anchor = f' id="{escape(str(token.meta["id"]))}"' if "id" in token.meta else ""
        return f'{before}<{token.tag} dir="auto"{anchor}>'

    def heading_close(self, tokens: Sequence[Token], idx: int, options: Any, env: Any) -> str:
        page: _Page = env["page"]
        after, page.after_heading = page.after_heading, ""
        return f"</{tokens[idx].tag}>{after}\n"

    def table_open(self, tokens: Sequence[Token], idx: int, options: Any, env: Any) -> str:
        return f'{TABLE_START}\n<table class="table">\n'

    def table_close(self, tokens: Sequence[Token], idx: int, options: Any, env: Any) -> str:
        left_out = tokens[idx].meta.get("left_out", 0)
        return f"</table></div>\n{cut_sentence(left_out, 'row') if left_out else ''}"

    def th_open(self, tokens: Sequence[Token], idx: int, options: Any, env: Any) -> str:
        return f'<th scope="col" dir="auto"{_alignment(tokens[idx])}>'

    def td_open(self, tokens: Sequence[Token], idx: int, options: Any, env: Any) -> str:
        return f'<td dir="auto"{_alignment(tokens[idx])}>'

    def paragraph_open(self, tokens: Sequence[Token], idx: int, options: Any, env: Any) -> str:
        return "" if tokens[idx].hidden else '<p dir="auto">'

    def list_item_open(self, tokens: Sequence[Token], idx: int, options: Any, env: Any) -> str:
        return '<li dir="auto">'

    def blockquote_open(self, tokens: Sequence[Token], idx: int, options: Any, env: Any) -> str:
        return '<blockquote dir="auto">\n'


#: A wide table scrolls by itself, and the keyboard must reach it for that.
TABLE_START = '<div class="table-wrap" tabindex="0" role="region" aria-label="Table">'


def cut_sentence(left_out: int, what: str) -> str:
    """What stands where something was left out."""
    many = "" if left_out == 1 else "s"
    are = "is" if left_out == 1 else "are"
    sentence = f"… {left_out:,} more {what}{many} {are} not shown here. Download the whole."
    return f'<p class="cut">{sentence}</p>\n'


@cache
def _markdown(*, breaks: bool) -> MarkdownIt:
    md = MarkdownIt(
        "commonmark",
        {"html": False, "linkify": False, "breaks": breaks},
        renderer_cls=_Renderer,
    )
    md.enable(["table", "strikethrough"])
    md.disable(["html_block", "html_inline", "reference"])
    # What may not be linked to is no link, and stays to be read as it was written.
    md.validateLink = _may_be_linked  # type: ignore[method-assign]
    # An address is shown as it is looked up: what looks like another's stays punycode.
    md.normalizeLinkText = lambda link: link  # type: ignore[method-assign]
    md.core.ruler.at("inline", _short_paragraphs)
    return md


def _may_be_linked(url: str) -> bool:
    return url.startswith("#") or bool(links.outward(url))


def _short_paragraphs(state: StateCore) -> None:
    for token in state.tokens:
        if token.type != "inline":
            continue
        token.children = []
        if len(token.content) > LONGEST_PARAGRAPH:
            token.children.append(Token("text", "", 0, content=token.content))
        else:
            state.md.inline.parse(token.content, state.md, state.env, token.children)


def _parse(source: str, *, breaks: bool) -> list[Token]:
    return _markdown(breaks=breaks).parse(source, {})


def _lines(text: str) -> str:
    """As the parser sees it, so that its line numbers count for it."""
    return re.sub(r"\r\n?", "\n", text).replace("\x00", "\ufffd")


def _blocks(source: str, tokens: list[Token], page: _Page, *, breaks: bool) -> Iterator[str]:
    """The HTML of each top-level block, or the block as it was written where some would be lost."""
    md = _markdown(breaks=breaks)
    lines = source.split("\n")
    done = 0
    for block in _top_level(tokens):
        begin, end = block[0].map or (done, done)
        if begin > done and _ink("\n".join(lines[done:begin])):
            yield verbatim("\n".join(lines[done:begin]))
        written = "\n".join(lines[begin:end])
        left_out = sum(token.meta.get("ink", 0) for token in block)
        if _ink(written) == left_out + sum(map(_token_ink, block)):
            yield md.renderer.render(block, md.options, {"page": page})
        else:
            yield verbatim(written)
        done = max(done, end)
    if _ink(rest := "\n".join(lines[done:])):
        yield verbatim(rest)


def _top_level(tokens: Sequence[Token]) -> Iterator[list[Token]]:
    block: list[Token] = []
    depth = 0
    for token in tokens:
        block.append(token)
        depth += token.nesting
        if depth == 0:
            yield block
            block = []


def _ink(text: str) -> int:
    """How many characters of a text are neither blank nor possibly markup."""
    return len(_INKLESS.sub("", text))


def _token_ink(token: Token) -> int:
    if token.type in ("inline", "code_block"):
        return _ink(token.content)
    if token.type == "fence":
        return _ink(token.content) + _ink(token.info)
    return _ink(token.info) if token.type == "list_item_open" else 0


def _take_numbers(tokens: list[Token], marked: list[Token], numbers: Numbers) -> None:
    """Take each paragraph's numbers where they changed nothing else."""
    if [(t.type, t.map, t.level) for t in tokens] != [(t.type, t.map, t.level) for t in marked]:
        return
    nothing = re.compile(r"(?!)")
    for token, with_numbers in zip(tokens, marked, strict=True):
        if token.type != "inline":
            continue
        reads_alike = _shape(token, nothing) == _shape(with_numbers, numbers.pattern)
        if reads_alike and len(token.content) <= LONGEST_PARAGRAPH:
            token.children = with_numbers.children


def _shape(token: Token, ignored: re.Pattern[str]) -> list[Any]:
    """What the parts of a paragraph are and say."""
    shape: list[Any] = []
    for child in token.children or ():
        content = ignored.sub("", child.content)
        if child.type == "text" and shape and shape[-1][0] == "text":
            shape[-1][3] += content
        elif content or child.type != "text":
            kinds = [child.type, child.markup, dict(child.attrs), content]
            shape.append([*kinds, _shape(child, ignored)])
    return shape


def _demote(tokens: Sequence[Token], level: int) -> None:
    """The page's own headings stay above: the highest of the text's gets `level`."""
    headings = [token for token in tokens if token.type in ("heading_open", "heading_close")]
    highest = min((int(token.tag[1]) for token in headings), default=1)
    for token in headings:
        token.tag = f"h{min(6, int(token.tag[1]) - highest + level)}"


def _anchor(tokens: Sequence[Token], page: _Page) -> None:
    """Ids for the headings, and the slugs under which the text may link to them. Those that stand
    in no list or quote begin sections, but for the title."""
    found = [pair for pair in zip(tokens, tokens[1:], strict=False) if _is_heading(pair[0])]
    outer = [token for token, _content in found if token.level == 0]
    titled = has_title([int(token.tag[1]) for token in outer])
    for token, content in found:
        token.meta["id"] = page.headings.anchor(content.content)
        if wanted := slug(content.content):
            page.anchors.setdefault(wanted, token.meta["id"])
        if token.level == 0 and not (titled and token is outer[0]):
            token.meta["section"] = _plain(content, page.numbers)


def _is_heading(token: Token) -> bool:
    return token.type == "heading_open"


def _plain(inline: Token, numbers: Numbers | None) -> str:
    """What a line says, without its markup and the numbers of sources."""
    said = "".join(
        " " if child.type in ("softbreak", "hardbreak") else child.content
        for child in inline.children or ()
    )
    return numbers.removed(said) if numbers else said


def section(text: str, name: str) -> str:
    """The lines of a text from the first heading of that name to the next that is as high."""
    source = _lines(text)
    parsed = _parse(source, breaks=False)
    tokens = [
        (token, content)
        for token, content in zip(parsed, parsed[1:], strict=False)
        if _is_heading(token) and token.level == 0 and token.map
    ]
    for at, (token, content) in enumerate(tokens):
        if section_name(_plain(content, None)) != name:
            continue
        ends = (t.map[0] for t, _content in tokens[at + 1 :] if t.map and t.tag <= token.tag)
        lines = source.split("\n")
        return "\n".join(lines[token.map[0] if token.map else 0 : next(ends, len(lines))]).strip()
    return ""


def _few_rows(tokens: list[Token], page: _Page) -> list[Token]:
    """Without the rows beyond the most that a table shows."""
    kept: list[Token] = []
    rows = left_out = ink = 0
    for token in tokens:
        if token.type == "table_open":
            rows = left_out = ink = 0
        rows += token.type == "tr_open"
        if rows > MOST_ROWS + 1 and token.type not in ("tbody_close", "table_close"):
            left_out += token.type == "tr_open"
            ink += _token_ink(token)
            continue
        if token.type == "table_close":
            rows = 0
            if left_out:
                token.meta |= {"left_out": left_out, "ink": ink}
                page.cut = True
        kept.append(token)
    return kept


def _alignment(token: Token) -> str:
    style = str(token.attrs.get("style", ""))
    aligned = next((side for side in ("center", "right") if style.endswith(side)), "")
    return f' class="align-{aligned}"' if aligned else ""


def _text_in(tokens: Sequence[Token], begin: int) -> str:
    """What the link that opens at `begin` shows."""
    text = ""
    for token in tokens[begin + 1 :]:
        if token.type == "link_close":
            break
        text += token.content or ("[image]" if token.type == "image" else "")
    return text


def _with_numbers(text: str, page: _Page) -> str:
    if page.numbers is None or page.numbers.start not in text:
        return escape(text)
    html = ""
    for part, number in _split(text, page.numbers):
        html += escape(part)
        if number:
            html += _number(number, page)
    return html


def _without_numbers(text: str, page: _Page) -> tuple[str, str]:
    """The text, and what stands after it."""
    if page.numbers is None:
        return text, ""
    after = "".join(_number(number, page) for number in page.numbers.found(text))
    return page.numbers.removed(text), after


def _number(number: str, page: _Page) -> str:
    assert page.numbers
    html = page.numbers.html(number, page.prefix)
    if not page.links:
        return html
    # A link within a link is none: the number stands after it.
    page.links[-1][1].append(html)
    return ""


def _split(text: str, numbers: Numbers) -> Iterator[tuple[str, str]]:
    parts = numbers.pattern.split(text)
    for index in range(0, len(parts), 2):
        yield parts[index], parts[index + 1] if index + 1 < len(parts) else ""
