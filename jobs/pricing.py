"""What an answer's usage comes to by a price: pure, and never an error.

None means unknown. It is never zero, and whatever is unknown in a part is so for the whole.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from jobs.evidence import ToolUse
from jobs.models import Price

#: US dollars. A response that is said to have cost more was miscounted.
MOST = 100_000
#: More of anything than one answer can have used.
MOST_COUNTED = 10**12
MILLION = 1_000_000

#: Steps of an answer that cost nothing beside their tokens. Every other kind needs a fee.
FREE = frozenset(
    {
        "additional_tools",
        "apply_patch_call",
        "apply_patch_call_output",
        "compaction",
        "computer_call_output",
        "custom_tool_call",
        "custom_tool_call_output",
        "function_call",
        "function_call_output",
        "local_shell_call",
        "local_shell_call_output",
        "mcp_approval_request",
        "mcp_approval_response",
        "mcp_call",
        "mcp_list_tools",
        "message",
        "program_output",
        "reasoning",
        "shell_call_output",
        "tool_search_call",
        "tool_search_output",
    }
)
WEB_SEARCH = "web_search_call"
#: What a web search call may be beside a search. The SDK says of `tool_usage` that opening a page
#: is not billed.
_NO_SEARCH = ("open_page", "find_in_page")
#: Paid for by the container's session, not by the call.
_IN_CONTAINERS = ("code_interpreter_call", "shell_call")


@dataclass(frozen=True)
class Tokens:
    """What was used. `cached` and `written` are parts of `input`; reasoning, of `output`."""

    input: int
    cached: int
    written: int
    output: int


def tokens(usage: Mapping[str, Any] | None) -> Tokens | None:
    """The tokens that a response's `usage` names. None where it names none, or what cannot be."""
    if not usage:
        return None
    details = usage.get("input_tokens_details")
    details = {} if details is None else details
    if not isinstance(details, dict):
        return None
    found = (
        _count(usage.get("input_tokens")),
        _count_or_0(details.get("cached_tokens")),
        _written(details),
        _count(usage.get("output_tokens")),
    )
    if any(number is None for number in found):
        return None
    used = Tokens(*(number or 0 for number in found))
    return used if used.cached + used.written <= used.input else None


def _written(details: Mapping[str, Any]) -> int | None:
    """Tokens written to the cache: the whole, or the sum of its parts where that alone is said."""
    whole, parts = details.get("cache_write_tokens"), details.get("cache_write_tokens_details")
    if whole is not None or not isinstance(parts, dict):
        return _count_or_0(whole)
    short = _count_or_0(parts.get("ttl_30m_tokens"))
    long = _count_or_0(parts.get("ttl_12h_tokens"))
    return None if short is None or long is None else short + long


def _count_or_0(value: Any) -> int | None:
    """Older answers leave counts out."""
    return 0 if value is None else _count(value)


def _count(value: Any) -> int | None:
    if value is None or isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if 0 <= value <= MOST_COUNTED else None


def tokens_usd(used: Tokens, price: Price, *, batched: bool) -> Decimal | None:
    """Of tokens by a price. `batched`: by its batch multiplier. Above the limit of a long context,
    the whole request is multiplied."""
    if used.cached and price.cached_input is None or used.written and price.cache_write is None:
        return None
    plain = used.input - used.cached - used.written
    read = used.cached * (price.cached_input or Decimal(0))
    written = used.written * (price.cache_write or Decimal(0))
    asked = plain * price.input + read + written
    answered = used.output * price.output
    if price.long_context_above is not None and used.input > price.long_context_above:
        asked, answered = (
            asked * price.long_input_multiplier,
            answered * price.long_output_multiplier,
        )
    factor = (price.batch_multiplier or Decimal(0)) if batched else Decimal(1)
    usd: Decimal = (asked + answered) * factor / MILLION
    return usd


def paid_uses(
    tool_uses: Sequence[ToolUse], tool_usage: Mapping[str, Any] | None = None
) -> Mapping[str, int]:
    """How often each tool has to be paid for. `tool_usage` is the response's own count of billable
    searches, which goes before ours."""
    due: Counter[str] = Counter()
    sessions: set[tuple[str, str]] = set()
    for position, use in enumerate(tool_uses):
        if use.kind in FREE or (use.kind == WEB_SEARCH and _part(use.raw, "action") in _NO_SEARCH):
            continue
        if use.kind in _IN_CONTAINERS:
            if _part(use.raw, "environment") != "local":
                sessions.add((use.kind, _container(use.raw) or f"call {position}"))
            continue
        due[use.kind] += 1
    due.update(kind for kind, _container_id in sessions)
    said = tool_usage.get("web_search") if isinstance(tool_usage, Mapping) else None
    number = _count(said.get("num_requests")) if isinstance(said, Mapping) else None
    if number is not None:
        due[WEB_SEARCH] = number
    return {kind: number for kind, number in due.items() if number}


def _part(raw: Mapping[str, Any], name: str) -> str:
    """The type of a part of a call."""
    part = raw.get(name)
    return str(part.get("type")) if isinstance(part, Mapping) else ""


def _container(raw: Mapping[str, Any]) -> str:
    place = raw.get("environment")
    found = raw.get("container_id") or (
        place.get("container_id") if isinstance(place, Mapping) else None
    )
    return found if isinstance(found, str) else ""


def fees_usd(due: Mapping[str, int], fees: Mapping[str, Decimal]) -> Decimal | None:
    """Of tools by their fees. Unknown where one of them has none."""
    if due.keys() - fees.keys():
        return None
    return sum((number * fees[kind] for kind, number in due.items()), Decimal(0))


def rounded(usd: Decimal) -> Decimal | None:
    """To six places, as it is stored."""
    return usd.quantize(Decimal("0.000001")) if 0 <= usd <= MOST else None
