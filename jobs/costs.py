"""What an attempt cost, from the usage that the provider reported."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from jobs.evidence import ToolUse

#: Tools with a fee of their own that the price list does not carry.
UNPRICED_TOOLS = frozenset({"code_interpreter_call", "image_generation_call", "computer_call"})
#: US dollars. A response that is said to have cost more was miscounted.
MOST = 100_000


def cost_usd(
    usage: Mapping[str, Any] | None, *, model: str, tier: str, tool_uses: Sequence[ToolUse] = ()
) -> Decimal | None:
    """US dollars, to six places. None means unknown: no usage or one that cannot be true, an
    unknown model, or an unpriced tool. Never an error."""
    from genai_prices import Usage, calc_price  # 0.3 s: not paid by every command

    if not usage or any(use.kind in UNPRICED_TOOLS for use in tool_uses):
        return None
    input_tokens, output_tokens = usage.get("input_tokens"), usage.get("output_tokens")
    if not _is_count(input_tokens) or not _is_count(output_tokens):
        return None
    details = usage.get("input_tokens_details")
    details = details if isinstance(details, dict) else {}
    counted = Usage(
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        cache_read_tokens=_count(details.get("cached_tokens")),
        cache_write_tokens=_count(details.get("cache_write_tokens")),
        web_searches=sum(use.kind == "web_search_call" for use in tool_uses),
        storage_searches=sum(use.kind == "file_search_call" for use in tool_uses),
    )
    context = {"service_tier": tier} if tier else None
    try:
        price = calc_price(counted, model, provider_id="openai", price_context=context).total_price
        return price.quantize(Decimal("0.000001")) if price <= MOST else None
    except (LookupError, ValueError, ArithmeticError):
        return None


def _count(value: Any) -> int:
    return value if _is_count(value) else 0


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
