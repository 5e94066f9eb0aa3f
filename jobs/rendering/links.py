"""Links that a model wrote: only to the outside, only by schemes that open a page or a letter, and
always with the place they lead to in sight."""

import re
from html import escape
from urllib.parse import unquote, urlsplit

from markdown_it.common.normalize_url import normalizeLink

LONGEST_URL = 2_000
REL = "noopener noreferrer nofollow ugc"
_MAILTO = re.compile(r"mailto:[\w.+%-]+@[A-Za-z0-9.-]+(?:\?[^\s]*)?", re.IGNORECASE | re.ASCII)
#: What browsers read in a way of their own, or drop.
_ODD = re.compile(r"[\s\\<>\"`{}|^\x00-\x20\x7f-\x9f]")
_HOST = re.compile(r"(?=.{1,253}$)[a-z0-9_.-]*[a-z0-9][a-z0-9_.-]*|\[?[0-9a-f:.]+\]?", re.ASCII)


def outward(url: str) -> str:
    """`url` as it may be linked to, normalised, or "" where it may not.

    Relative addresses may not: a model has no business linking into this site. Neither may those
    with a user name, which is there to look like a host.
    """
    if len(url) > LONGEST_URL or not url.isprintable():
        return ""
    try:
        url = normalizeLink(url)
        parts = urlsplit(url)
        _port = parts.port
    except ValueError:
        return ""
    if _ODD.search(url) or not url.isascii():
        return ""
    if parts.scheme == "mailto":
        return url if _MAILTO.fullmatch(url) else ""
    if parts.scheme not in ("http", "https") or "@" in parts.netloc:
        return ""
    if not url[len(parts.scheme) :].startswith("://") or not _HOST.fullmatch(parts.hostname or ""):
        return ""
    return url


def host(url: str) -> str:
    """Where an outward `url` leads: its host as it is looked up, or the address of a letter."""
    parts = urlsplit(url)
    return parts.path if parts.scheme == "mailto" else parts.hostname or ""


def opening(url: str, title: str = "") -> str:
    """The start tag of a link to an outward `url`."""
    titled = f' title="{escape(title)}"' if title else ""
    return f'<a class="external" href="{escape(url)}" rel="{REL}" target="_blank"{titled}>'


def closing(url: str, text: str) -> str:
    """The end tag, with the host after it where `text`, which is the link's, does not say it."""
    where = host(url)
    if _says(text, where):
        return "</a>"
    return f'</a> <span class="host">(<bdi>{escape(where)}</bdi>)</span>'


def _says(text: str, where: str) -> bool:
    """Whether `text` is an address that begins with the host; one that only holds it may lie."""
    said = re.sub(r"^(https?://|mailto:)", "", text.strip().casefold()).removeprefix("www.")
    where = where.casefold().removeprefix("www.")
    return said == where or said.startswith((f"{where}/", f"{where}?", f"{where}#", f"{where}:"))


def unquoted(fragment: str) -> str:
    """A fragment as it was written, before it was normalised."""
    return unquote(fragment)
