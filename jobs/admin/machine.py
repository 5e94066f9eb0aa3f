"""What belongs to no job: webhooks as they came, who sweeps, and the seals. For superusers."""

from typing import Any

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString

from jobs import models
from jobs.admin.lists import Room, SuperusersOnly
from jobs.admin.shown import link, payload, readable


class OutcomeFilter(admin.SimpleListFilter):
    """Named, not asked for: the values of a column without an index cost a walk of the table."""

    title = "outcome"
    parameter_name = "outcome"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("due", "Still looked up"), ("known", "Known"), ("adopted", "Adopted")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        match self.value():
            case None:
                return queryset
            case "due":
                return queryset.filter(next_check_at__isnull=False)
            case outcome:
                return queryset.filter(outcome=outcome)


@admin.register(models.WebhookReceipt)
class WebhookReceiptAdmin(SuperusersOnly, Room):
    list_display = ("webhook_id", "event_type", "response_id", "outcome", "received_at")
    list_filter = (OutcomeFilter,)
    search_fields = ("webhook_id",)
    search_help_text = "The id of a webhook or of a response, in full."
    ordering = ("-received_at", "-webhook_id")
    deferred = ("body",)
    fields = (
        ("webhook_id", "event_type"),
        ("response_id", "turn_link"),
        ("received_at", "outcome"),
        ("next_check_at", "failures"),
        "body_shown",
    )

    def found(self, queryset: QuerySet[Any], term: str) -> QuerySet[Any]:
        return queryset.filter(Q(webhook_id=term) | Q(response_id=term))

    @admin.display(description="Turn")
    def turn_link(self, receipt: models.WebhookReceipt) -> SafeString:
        named = models.Turn.objects.filter(response_id=receipt.response_id or None)
        return link(named.only("response_id").first())

    @admin.display(description="Body")
    def body_shown(self, receipt: models.WebhookReceipt) -> SafeString:
        return payload(receipt.body)


@admin.register(models.SweepSlot)
class SweepSlotAdmin(SuperusersOnly, Room):
    list_display = ("number", "holder", "beat_at", "sweeps", "requests")
    ordering = ("number",)


@admin.register(models.Seal)
class SealAdmin(SuperusersOnly, Room):
    list_display = ("number", "at", "jobs", "hash")
    ordering = ("-number",)
    deferred = ("heads",)
    fields = (("number", "at", "jobs"), ("hash", "key_id"), "heads_shown")

    @admin.display(description="Heads: job, events, hash")
    def heads_shown(self, seal: models.Seal) -> SafeString:
        return readable(seal.heads)
