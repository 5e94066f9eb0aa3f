"""Fills the price book from a maintained price list, the package genai-prices."""

import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, time
from decimal import Decimal
from importlib.metadata import version
from itertools import groupby
from operator import attrgetter
from typing import Any

from django.db import transaction
from simple_history.utils import bulk_create_with_history

from jobs.models import Price, Tier, ToolFee

logger = logging.getLogger(__name__)

#: Since when a price counts of which the list names no beginning.
EARLY = datetime(2020, 1, 1, tzinfo=UTC)
PACKAGE = "genai-prices"
#: Tools as answers name them, by the unit under which the list has their price per thousand calls.
TOOLS = {"web_search_call": "web_searches_kcount", "file_search_call": "storage_searches_kcount"}
#: How the list is asked for the prices of a tier.
_ASKED = {
    Tier.DEFAULT: None,
    Tier.FLEX: {"service_tier": "flex"},
    Tier.PRIORITY: {"service_tier": "priority"},
    Tier.BATCH: {"processing": "batch"},
}
_TOKENS = {"input_mtok", "cache_read_mtok", "cache_write_mtok", "output_mtok"}
#: Models that are paid for by more than text.
_MORE_THAN_TEXT = re.compile("audio|realtime|transcribe|tts|image|live")
_DATE = re.compile(r"-\d{4}-\d{2}-\d{2}$")
#: How far multipliers of one price may lie apart: the list has rounded ones.
_ROUNDED = Decimal("0.1")


@dataclass(frozen=True)
class Seeded:
    """How many rows are new."""

    prices: int
    fees: int


def seed(now: datetime) -> Seeded:
    """Take over what the list has and the book has not. Nothing that is in the book changes.

    A model or tier that is new comes with its past. Where the list has another price than the
    book's newest, which came from the list as well, the new one counts from now on; a newest row
    that somebody wrote stays the newest.
    """
    with transaction.atomic():
        prices = list(_missing(list(listed_prices()), Price, ("model", "tier"), now))
        fees = list(_missing(list(listed_fees()), ToolFee, ("tool", "model"), now))
        for model, rows in ((Price, prices), (ToolFee, fees)):
            if rows:
                bulk_create_with_history(rows, model, default_change_reason="seeded")
    return Seeded(len(prices), len(fees))


def _missing(listed: list[Any], model: Any, key: tuple[str, ...], now: datetime) -> Iterator[Any]:
    name = attrgetter(*key)
    newest = {name(row): row for row in model.objects.order_by("effective_from")}
    for named, group in groupby(sorted(listed, key=name), key=name):
        known, rows = newest.get(named), list(group)
        if known is None:
            yield from rows
        elif known.source.startswith(PACKAGE):
            yield from _since(known, rows, now)


def _since(known: Any, rows: list[Any], now: datetime) -> Iterator[Any]:
    """Of listed rows of one kind, oldest first: what counts now, if the newest one that is known says
    something else, and what will."""
    begun = [row for row in rows if row.effective_from <= now][-1:]
    for row in begun:
        if known.effective_from < now and not _same(known, row):
            row.effective_from = now
            yield row
    for row in rows:
        if row.effective_from > max(now, known.effective_from):
            yield row


def _same(one: Any, other: Any) -> bool:
    apart = {"id", "effective_from", "source"}
    names = [field.attname for field in one._meta.concrete_fields if field.attname not in apart]
    return all(getattr(one, name) == getattr(other, name) for name in names)


def listed_prices() -> Iterator[Price]:
    """What the list has of OpenAI's text models, oldest first within each model and tier."""
    for model in _models():
        for tier in Tier:
            try:
                rows = [_row(model, tier, at) for at in _beginnings(model, tier)]
            except CannotBeWritten as error:
                logger.warning("no price of %s (%s) is taken over: %s", model.id, tier, error)
                continue
            kept: list[Price] = []
            for row in rows:
                if row and not (kept and _same(kept[-1], row)):
                    kept.append(row)
            for name in _names(model.match):
                for row in kept:
                    yield _named(row, name)


class CannotBeWritten(Exception):
    """The list has a price that a row of the book cannot hold. Without it, those before it would
    count for too long: none of them is taken."""


def _named(row: Price, name: str) -> Price:
    values = {field.attname: getattr(row, field.attname) for field in Price._meta.concrete_fields}
    return Price(**{**values, "model": name})


def _models() -> list[Any]:
    from genai_prices import data  # 0.3 s: not paid by every command

    provider = next(provider for provider in data.providers if provider.id == "openai")
    return [model for model in provider.models if not _MORE_THAN_TEXT.search(model.id)]


def _beginnings(model: Any, tier: Tier) -> list[datetime]:
    """The moments at which a model's price for a tier changed. None where it has none of its own."""
    conditions = model.prices if isinstance(model.prices, list) else []
    moments = {_moment(condition.constraint) for condition in conditions} or {EARLY}
    if not (asked := _ASKED[tier]):
        return sorted(moments)
    first = [
        _moment(variant.constraint)
        for variant in model.price_variants or ()
        if variant.when == asked
    ]
    if not first:
        return []
    return sorted({*first, *(moment for moment in moments if moment > min(first))})


def _moment(constraint: Any) -> datetime:
    """When a price begins. `start_date` is a day in UTC."""
    if constraint is None:
        return EARLY
    if not hasattr(constraint, "start_date"):
        raise CannotBeWritten(f"it holds at some times of the day: {constraint}")
    return datetime.combine(constraint.start_date, time(), UTC)


def _row(model: Any, tier: Tier, at: datetime) -> Price | None:
    """The price as a row; None where it is no price of tokens alone."""
    resolved = {
        unit: price
        for unit, price in vars(model.get_prices(at, _ASKED[tier])).items()
        if price is not None and unit not in TOOLS.values()
    }
    if not {"input_mtok", "output_mtok"} <= resolved.keys() <= _TOKENS:
        return None
    limit, asked, answered = _long_context(resolved)
    base = {unit: getattr(price, "base", price) for unit, price in resolved.items()}
    return Price(
        tier=tier,
        effective_from=at,
        source=_source(),
        input=base["input_mtok"],
        cached_input=base.get("cache_read_mtok"),
        cache_write=base.get("cache_write_mtok"),
        output=base["output_mtok"],
        long_context_above=limit,
        long_input_multiplier=asked,
        long_output_multiplier=answered,
    )


def _long_context(resolved: dict[str, Any]) -> tuple[int | None, Decimal, Decimal]:
    """The limit, and the multipliers above it."""
    tiered = {unit: price for unit, price in resolved.items() if getattr(price, "tiers", None)}
    if not tiered:
        return None, Decimal(1), Decimal(1)
    limits = {tier.start for price in tiered.values() for tier in price.tiers}
    multipliers = {
        unit: price.tiers[0].price / price.base if unit in tiered else Decimal(1)
        for unit, price in resolved.items()
    }
    asked = multipliers["input_mtok"]
    apart = [abs(multipliers[unit] - asked) for unit in multipliers if unit != "output_mtok"]
    if len(limits) != 1 or max(apart) > _ROUNDED:
        raise CannotBeWritten(f"several limits, or multipliers of the input: {resolved}")
    return limits.pop(), asked, multipliers["output_mtok"]


def _names(match: Any) -> list[str]:
    """The names of a model, without those of its dated snapshots, which follow from it, and without
    spellings of other providers (dashes for dots)."""
    clauses = getattr(match, "or_", [match])
    exact = {clause.equals for clause in clauses if hasattr(clause, "equals")}
    plain = {
        name
        for name in exact
        if _DATE.sub("", name) == name or _DATE.sub("", name) not in exact
        if not any(name == other.replace(".", "-") for other in exact if "." in other)
    }
    begun = {f"{clause.starts_with}*" for clause in clauses if hasattr(clause, "starts_with")}
    return sorted(plain | begun)


def listed_fees() -> Iterator[ToolFee]:
    """The fees of tools: where all models that name one name the same, it is everybody's."""
    models = _models()
    for tool, unit in TOOLS.items():
        named = {
            name: fee / 1000
            for model in models
            if (fee := getattr(model.get_prices(datetime.now(UTC)), unit)) is not None
            for name in _names(model.match)
        }
        if len(set(named.values())) == 1:
            named = {"": next(iter(named.values()))}
        for name, usd in named.items():
            yield ToolFee(tool=tool, model=name, usd=usd, effective_from=EARLY, source=_source())


def _source() -> str:
    return f"{PACKAGE} {version(PACKAGE)}"
