"""The price book: what a provider asks for tokens and tools, each from a moment on."""

import re
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Self

from django.core.exceptions import ValidationError
from django.core.validators import MinValueValidator
from django.db import models
from django.db.models import Exists, OuterRef, Q
from django.utils import timezone
from simple_history.models import HistoricalRecords

IN_EFFECT = (
    "This price is in effect, so it never changes: what it priced stays as it was. "
    "Make a new price from another moment instead."
)
#: What begins now is not yet stored: it is in the past by then.
A_FORMS_TIME = timedelta(minutes=1)
#: How dated snapshots of a model are named.
_DATED = re.compile(r"-\d{4}-\d{2}-\d{2}$")


class Tier(models.TextChoices):
    """How a request is served, and therefore charged."""

    DEFAULT = "default", "Default"
    FLEX = "flex", "Flex"
    PRIORITY = "priority", "Priority"
    BATCH = "batch", "Batch"

    @classmethod
    def named(cls, said: str) -> "Tier | None":
        """The tier that a response names; None for one that nobody knows."""
        return _TIERS.get(said)


_TIERS = {
    "": Tier.DEFAULT,
    "auto": Tier.DEFAULT,
    "fast": Tier.PRIORITY,
    **{tier.value: tier for tier in Tier},
}


def names_of(model: str) -> dict[str, int]:
    """The names in the book that stand for `model`, with the closest as 0: its own; for a dated
    snapshot, the model's; and every beginning of it with a star."""
    wanted = model.strip().lower()
    found = {wanted: 2 * len(wanted) + 1}
    if dated := _DATED.search(wanted):
        found[wanted[: dated.start()]] = 2 * dated.start() + 1
    found |= {f"{wanted[:length]}*": 2 * length for length in range(len(wanted) + 1)}
    ranked = sorted(found, key=lambda name: -found[name])
    return {name: rank for rank, name in enumerate(ranked) if name}


class Dated(models.Model):
    """A row that counts from `effective_from` on, until a newer one of the same kind does.

    Once it is in effect it can neither be changed nor deleted, and none can be put before it into
    the past, so that what has been priced comes out the same when it is asked again.
    """

    effective_from = models.DateTimeField(
        "from", help_text="Work that begins at this moment or later. Empty: from now on."
    )
    source = models.CharField(max_length=200, blank=True, help_text="Where this is known from.")

    class Meta:
        abstract = True

    def save(self, *args: Any, **kwargs: Any) -> None:
        now = timezone.now()
        if not self._state.adding:
            self._check_in_effect(now)
        self._check_past(now)
        super().save(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        self._check_in_effect(timezone.now())
        return super().delete(*args, **kwargs)

    def is_in_effect(self, now: datetime) -> bool:
        return self.effective_from <= now

    def stands_in_the_way(self) -> bool:
        """Whether another row prices the moment at which this new one is to begin."""
        raise NotImplementedError

    def clean(self) -> None:
        if self.effective_from:
            self._check_past(timezone.now())

    def _check_past(self, now: datetime) -> None:
        if self.effective_from < now - A_FORMS_TIME and self.stands_in_the_way():
            raise ValidationError(
                {"effective_from": "Another price counts at that moment. A new one begins now."}
            )

    def _check_in_effect(self, now: datetime) -> None:
        stored = type(self)._base_manager.filter(pk=self.pk, effective_from__lte=now)
        if stored.exists():
            raise ValidationError(IN_EFFECT)


class PriceQuerySet(models.QuerySet["Price"]):
    def rate(self, *, model: str, tier: str, at: datetime) -> "Price | None":
        """What counts for a model and a tier at a moment, or None. One query.

        The closest name wins. Batch work is priced by a row of that tier, or by a default one with
        a batch multiplier.
        """
        wanted, ranks = Tier.named(tier), names_of(model)
        if wanted is None:
            return None
        tiers = {wanted, Tier.DEFAULT} if wanted is Tier.BATCH else {wanted}
        begun = self.filter(model__in=ranks, tier__in=tiers, effective_from__lte=at)
        newest: dict[tuple[int, bool], Price] = {}
        for row in begun.order_by("effective_from"):
            newest[ranks[row.model], row.tier != wanted] = row
        for key in sorted(newest):
            if newest[key].tier == wanted or newest[key].batch_multiplier is not None:
                return newest[key]
        return None

    def with_successor(self, now: datetime) -> Self:
        """Each with `superseded`: whether a newer row of its model and tier is in effect."""
        newer = Price.objects.filter(
            model=OuterRef("model"),
            tier=OuterRef("tier"),
            effective_from__gt=OuterRef("effective_from"),
            effective_from__lte=now,
        )
        return self.annotate(superseded=Exists(newer))

    def not_superseded(self, now: datetime) -> Self:
        return self.with_successor(now).filter(superseded=False)


def _usd(label: str, **kwargs: Any) -> "models.DecimalField[Any, Any]":
    return models.DecimalField(
        label, max_digits=14, decimal_places=6, validators=[MinValueValidator(0)], **kwargs
    )


def _multiplier(label: str, **kwargs: Any) -> "models.DecimalField[Any, Any]":
    return models.DecimalField(
        label, max_digits=8, decimal_places=4, validators=[MinValueValidator(0)], **kwargs
    )


def _never_negative(name: str, *fields: str) -> models.CheckConstraint:
    """Holds where a field is NULL as well."""
    condition = Q(**{f"{fields[0]}__gte": 0})
    for field in fields[1:]:
        condition &= Q(**{f"{field}__gte": 0})
    return models.CheckConstraint(condition=condition, name=name)


class Price(Dated):
    """What a million tokens cost in US dollars. What is empty is not known, which is not zero."""

    model = models.CharField(
        max_length=100,
        help_text="As the provider names it. Dated snapshots (…-2026-08-01) are priced by it, unless "
        "they have a row of their own. With a star at its end: all that begin so. The longest wins.",
    )
    tier = models.CharField(max_length=20, choices=Tier, default=Tier.DEFAULT)
    input = _usd("input")
    cached_input = _usd("cached input", null=True, blank=True)
    cache_write = _usd("cache write", null=True, blank=True)
    output = _usd("output", help_text="Reasoning is part of it.")
    long_context_above = models.PositiveIntegerField(
        "long context above",
        null=True,
        blank=True,
        help_text="Tokens of input, above which the whole request is multiplied.",
    )
    long_input_multiplier = _multiplier("long input ×", default=Decimal(1))
    long_output_multiplier = _multiplier("long output ×", default=Decimal(1))
    batch_multiplier = _multiplier(
        "batch ×", null=True, blank=True, help_text="For batch work without a row of that tier."
    )

    objects = PriceQuerySet.as_manager()
    history = HistoricalRecords()

    class Meta:
        ordering = ["model", "tier", "-effective_from"]
        constraints = [
            models.UniqueConstraint(
                fields=["model", "tier", "effective_from"],
                name="price_once",
                violation_error_message="There is a price from that moment already.",
            ),
            models.CheckConstraint(condition=~Q(model=""), name="price_has_model"),
            models.CheckConstraint(condition=Q(tier__in=Tier.values), name="price_tier_known"),
            _never_negative("price_not_negative", "input", "cached_input", "cache_write", "output"),
            _never_negative(
                "price_multipliers_not_negative",
                "long_input_multiplier",
                "long_output_multiplier",
                "batch_multiplier",
            ),
            models.CheckConstraint(
                condition=Q(long_context_above__isnull=False)
                | Q(long_input_multiplier=1, long_output_multiplier=1),
                name="price_long_multipliers_have_limit",
                violation_error_message="From how many tokens on is it multiplied?",
            ),
        ]

    def __str__(self) -> str:
        tier = "" if self.tier == Tier.DEFAULT else f" ({self.get_tier_display()})"
        return f"{self.model}{tier} from {self.effective_from:%d %b %Y}"

    def clean(self) -> None:
        self.model = self.model.strip().lower()
        super().clean()

    def stands_in_the_way(self) -> bool:
        named = self.model.rstrip("*")
        found = Price.objects.rate(model=named, tier=self.tier, at=self.effective_from)
        return found is not None


class ToolFeeQuerySet(models.QuerySet["ToolFee"]):
    def fees(self, tools: Iterable[str], *, model: str, at: datetime) -> Mapping[str, Decimal]:
        """What a call of each of these tools costs with a model at a moment; those that nobody
        knows are left out. One query. The closest name of the model wins, and none is the last."""
        ranks = names_of(model)
        ranks[""] = len(ranks)
        begun = self.filter(tool__in=tools, model__in=ranks, effective_from__lte=at)
        best: dict[str, ToolFee] = {}
        for row in begun.order_by("effective_from"):
            kept = best.get(row.tool)
            if kept is None or ranks[row.model] <= ranks[kept.model]:
                best[row.tool] = row
        return {tool: row.usd for tool, row in best.items()}

    def with_successor(self, now: datetime) -> Self:
        newer = ToolFee.objects.filter(
            model=OuterRef("model"),
            tool=OuterRef("tool"),
            effective_from__gt=OuterRef("effective_from"),
            effective_from__lte=now,
        )
        return self.annotate(superseded=Exists(newer))

    def not_superseded(self, now: datetime) -> Self:
        return self.with_successor(now).filter(superseded=False)


class ToolFee(Dated):
    """What one call of a hosted tool costs beside its tokens. Where calls share a container, it is
    the container's session that is paid for. A tool that costs nothing is written down with 0."""

    tool = models.CharField(
        max_length=60, help_text="As answers name it: web_search_call, code_interpreter_call …"
    )
    model = models.CharField(
        max_length=100, blank=True, help_text="Named as in prices. Empty: with every model."
    )
    usd = models.DecimalField(
        "fee", max_digits=14, decimal_places=8, validators=[MinValueValidator(0)]
    )

    objects = ToolFeeQuerySet.as_manager()
    history = HistoricalRecords()

    class Meta:
        ordering = ["tool", "model", "-effective_from"]
        constraints = [
            models.UniqueConstraint(
                fields=["tool", "model", "effective_from"],
                name="tool_fee_once",
                violation_error_message="There is a fee from that moment already.",
            ),
            models.CheckConstraint(condition=~Q(tool=""), name="tool_fee_has_tool"),
            _never_negative("tool_fee_not_negative", "usd"),
        ]

    def __str__(self) -> str:
        model = f" with {self.model}" if self.model else ""
        return f"{self.tool}{model} from {self.effective_from:%d %b %Y}"

    def clean(self) -> None:
        self.tool, self.model = self.tool.strip().lower(), self.model.strip().lower()
        super().clean()

    def stands_in_the_way(self) -> bool:
        named = self.model.rstrip("*")
        found = ToolFee.objects.fees([self.tool], model=named, at=self.effective_from)
        return self.tool in found
