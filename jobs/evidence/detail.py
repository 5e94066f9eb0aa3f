"""The parts of a step, bounded: a page shows them as they are."""

import json
import re
from collections.abc import Iterable
from typing import Any

from jobs.evidence.parts import Part
from jobs.text import clean, clipped

#: Characters of a part that are kept, and of one line in a list. The raw item has the whole.
LONGEST_PART = 8_000
LONGEST_ITEM = 400
MOST_ITEMS = 50
#: Arguments that are longer are not laid out anew.
LONGEST_JSON = 100_000
#: What a text in an item is that nobody reads.
_BINARY = re.compile(r"data:[^,]{0,100},.*|[A-Za-z0-9+/_-]{1000,}={0,2}", re.DOTALL)
_SHORT = 1_000


def text(label: str, value: Any, *, language: str = "") -> list[Part]:
    """A part of a text, or none where there is no text."""
    if not isinstance(value, str) or not value.strip():
        return []
    cut = max(0, len(value) - LONGEST_PART)
    kind = "code" if language else "text"
    return [Part(label, kind, value[:LONGEST_PART], language=language, cut=cut)]


def laid_out(label: str, value: Any) -> list[Part]:
    """A part of JSON, given as a value or as a text of it; a text that is no JSON stays as it is."""
    if value is None or value == "":
        return []
    if isinstance(value, str):
        try:
            parsed = json.loads(value) if len(value) <= LONGEST_JSON else None
        except (ValueError, RecursionError):
            parsed = None
        if not isinstance(parsed, dict | list):
            return text(label, value)
        value = parsed
    return text(label, as_json(value), language="json")


def items(label: str, values: Iterable[Any]) -> list[Part]:
    """A part of lines. What is no text is left out."""
    lines = [clipped(value, LONGEST_ITEM) for value in values if isinstance(value, str)]
    lines = [line for line in dict.fromkeys(lines) if line]
    if not lines:
        return []
    cut = max(0, len(lines) - MOST_ITEMS)
    return [Part(label, "list", items=tuple(lines[:MOST_ITEMS]), cut=cut)]


def as_json(value: Any) -> str:
    """JSON for people. Never an error: numbers may be beyond what can be written."""
    try:
        return str(clean(json.dumps(value, indent=2, ensure_ascii=False)))
    except (ValueError, RecursionError):
        return "(It cannot be written out.)"


def slim(value: Any) -> Any:
    """`value` without what nobody reads: pictures in base64, and reasoning that is encrypted."""
    if isinstance(value, str):
        is_binary = len(value) > _SHORT and _BINARY.fullmatch(value)
        return f"({len(value)} characters)" if is_binary else value
    if isinstance(value, list):
        return [slim(item) for item in value]
    if isinstance(value, dict):
        return {key: slim(item) for key, item in value.items() if key != "encrypted_content"}
    return value
