"""How the admin shows what is stored: readable, escaped, and never longer than a page can bear."""

import json
from typing import Any
from urllib.parse import urlencode

from django.db.models import Model
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

NOTHING = SafeString("–")
#: Characters of a value that a page shows. The whole of it stands in the database.
LONGEST = 200_000


def readable(value: Any) -> SafeString:
    """JSON as a person reads it, escaped: what models write is never markup."""
    if value in (None, "", [], {}):
        return NOTHING
    return long_text(json.dumps(value, indent=2, ensure_ascii=False), kind="json")


def payload(body: Any) -> SafeString:
    """Bytes as they came: JSON if they are that, else as text."""
    if body is None:
        return NOTHING
    content = bytes(body)
    try:
        return readable(json.loads(content))
    except (ValueError, RecursionError):
        return long_text(content.decode(errors="backslashreplace"), kind="json")


def long_text(text: str, *, kind: str = "prose") -> SafeString:
    """Text in a box that scrolls. `kind` is "json" (monospaced) or "prose"."""
    if not text:
        return NOTHING
    cut = ""
    if len(text) > LONGEST:
        cut = f"The first {LONGEST:,} of {len(text):,} characters are shown."
        text = text[:LONGEST]
    return format_html(
        '<pre class="room-box room-{}" tabindex="0">{}</pre>{}',
        kind,
        text,
        format_html('<p class="help">{}</p>', cut) if cut else "",
    )


def link(row: Model | None, said: str = "") -> SafeString:
    """A link to the admin's page of a row."""
    if row is None:
        return NOTHING
    return format_html('<a href="{}">{}</a>', page_of(row), said or row)


def links(rows: list[tuple[Model, str]]) -> SafeString:
    """Links one after the other."""
    return format_html_join(", ", "{}", ((link(row, said),) for row, said in rows)) or NOTHING


def list_link(model: type[Model], said: str, **asked: str) -> SafeString:
    """A link to a list of the admin, filtered or searched."""
    meta = model._meta
    url = reverse(f"admin:{meta.app_label}_{meta.model_name}_changelist")
    return format_html('<a href="{}?{}">{}</a>', url, urlencode(asked), said)


def page_of(row: Model) -> str:
    meta = row._meta
    return reverse(f"admin:{meta.app_label}_{meta.model_name}_change", args=[row.pk])
