"""The tokens that the provider counted, as rows of a table."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

#: (label, path in the usage, whether it is a part of the row above).
_ROWS = (
    ("Input", ("input_tokens",), False),
    ("from the cache", ("input_tokens_details", "cached_tokens"), True),
    ("written to the cache", ("input_tokens_details", "cache_write_tokens"), True),
    ("Output", ("output_tokens",), False),
    ("reasoning", ("output_tokens_details", "reasoning_tokens"), True),
    ("Together", ("total_tokens",), False),
)


@dataclass(frozen=True)
class UsageRow:
    label: str
    tokens: str
    is_part: bool


def usage_rows(usage: Any) -> tuple[UsageRow, ...]:
    """The rows for which there is a count; none where nothing was counted."""
    return tuple(
        UsageRow(label, f"{count:,}", is_part)
        for label, path, is_part in _ROWS
        if (count := _count(usage, path)) is not None
    )


def _count(usage: Any, path: tuple[str, ...]) -> int | None:
    for name in path:
        usage = usage.get(name) if isinstance(usage, Mapping) else None
    is_count = isinstance(usage, int) and not isinstance(usage, bool) and 0 <= usage < 10**15
    return usage if is_count else None
