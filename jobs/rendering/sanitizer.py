"""The last gate: whatever made the HTML, only this leaves.

Everything before it escapes already. This stands behind it, so that a mistake there shows as odd
text and never as markup of somebody else's.
"""

import re
from functools import cache

import nh3
from django.utils.safestring import SafeString

from jobs.rendering import code, unseen
from jobs.rendering.links import REL, outward

HEADINGS = frozenset({"h2", "h3", "h4", "h5", "h6"})
TAGS = HEADINGS | frozenset(
    [
        "a",
        "b",
        "bdi",
        "blockquote",
        "br",
        "caption",
        "code",
        "dd",
        "div",
        "dl",
        "dt",
        "em",
        "figcaption",
        "figure",
        "hr",
        "li",
        "ol",
        "p",
        "pre",
        "s",
        "span",
        "strong",
        "sup",
        "table",
        "tbody",
        "td",
        "th",
        "thead",
        "tr",
        "ul",
    ]
)
ATTRIBUTES: dict[str, set[str]] = {
    "*": {"dir"},
    **{tag: {"id"} for tag in HEADINGS},
    "a": {"href", "rel", "target", "title", "aria-label", "id"},
    "div": {"tabindex", "role", "aria-label"},
    "ol": {"start"},
    "th": {"scope"},
}
CLASSES: dict[str, set[str]] = {
    "a": {"ask", "external", "quote-place"},
    "div": {"table-wrap", "code", "part", "section-head"},
    "dl": {"facts"},
    "figure": {"quote", "quote-found", "quote-missing", "quote-unchecked"},
    "p": {"code-name", "cut", "lead", "part-name", "verbatim"},
    "pre": {"verbatim"},
    "span": {"host", "dead", "image-text", "quote-state", "none"},
    "sup": {"cite"},
    "table": {"table"},
    "td": {"align-center", "align-right", "num"},
    "th": {"align-center", "align-right", "num"},
}
#: Values that an attribute may have; for those that are not here, any text.
_VALUES = {
    "dir": re.compile("auto|ltr"),
    "id": re.compile(r"r\d+-[\w-]+"),
    "rel": re.compile(re.escape(REL)),
    "role": re.compile("region"),
    "scope": re.compile("col|row"),
    "start": re.compile(r"\d{1,9}"),
    "tabindex": re.compile("0"),
    "target": re.compile("_blank"),
}
#: Ways within the site that the product itself writes: a note on this page, a place in a document,
#: a question about a section.
_INWARD = re.compile(
    r"#r\d+-[\w-]+|(?:/[\w.~-]+)*/jobs/J-[0-9A-Z]+/"
    r"(?:documents/\d+/\?quote=\d+&attempt=\d+#quote|follow-up/\?section=[\w.~%-]+)"
)


def sanitized(html: str) -> SafeString:
    """`html` as it may stand in a page, with hidden characters named."""
    clean = nh3.clean(
        unseen.shown(html),
        tags=set(TAGS),
        attributes=ATTRIBUTES,
        allowed_classes=_classes(),
        attribute_filter=_attribute,
        url_schemes={"http", "https", "mailto"},
        link_rel=None,
        strip_comments=True,
    )
    return SafeString(clean)


def _attribute(tag: str, name: str, value: str) -> str | None:
    if name == "href":
        return value if _INWARD.fullmatch(value) or outward(value) == value else None
    allowed = _VALUES.get(name)
    return value if allowed is None or allowed.fullmatch(value) else None


@cache
def _classes() -> dict[str, set[str]]:
    return {**CLASSES, "span": CLASSES["span"] | code.classes()}
