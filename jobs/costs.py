"""What an attempt cost: the usage that the provider reported, by the price book."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from jobs import pricing
from jobs.evidence import ToolUse
from jobs.models import Price, Tier, ToolFee
from jobs.text import clean


def cost_usd(
    usage: Mapping[str, Any] | None,
    *,
    model: str,
    tier: str,
    at: datetime,
    tool_uses: Sequence[ToolUse] = (),
    tool_usage: Mapping[str, Any] | None = None,
) -> Decimal | None:
    """US dollars, to six places, by the prices that counted `at` the moment of the work.

    `tool_usage` is the response's count of what its hosted tools used, where it has one. None means
    unknown: no usage or one that cannot be true, or a model, a tier or a tool without a price.
    Whatever a response says, it is never an error. Two queries at most.
    """
    used = pricing.tokens(usage)
    if used is None:
        return None
    price = Price.objects.rate(model=clean(model), tier=tier, at=at)
    if price is None:
        return None
    batched = Tier.named(tier) is Tier.BATCH and price.tier != Tier.BATCH
    asked = pricing.tokens_usd(used, price, batched=batched)
    due = {clean(kind): number for kind, number in pricing.paid_uses(tool_uses, tool_usage).items()}
    fees = ToolFee.objects.fees(due, model=clean(model), at=at) if due else {}
    called = pricing.fees_usd(due, fees)
    return None if asked is None or called is None else pricing.rounded(asked + called)
