"""What is still to be told, and the e-mails that were, or could not be, sent. For superusers: who
hears of what is nobody else's business."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString

from jobs.admin.lists import Room, SuperusersOnly
from jobs.admin.shown import link
from reviews.models import Letter, LetterEnd, Occurrence


class LetterFilter(admin.SimpleListFilter):
    """Named, not asked for, as in the other lists."""

    title = "what became of it"
    parameter_name = "outcome"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("waiting", "Still to be sent"), *LetterEnd.choices]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        match self.value():
            case None:
                return queryset
            case "waiting":
                return queryset.filter(next_check_at__isnull=False)
            case outcome:
                return queryset.filter(outcome=outcome)


@admin.register(Letter)
class LetterAdmin(SuperusersOnly, Room):
    list_display = ("id", "person", "kind", "created_at", "outcome", "failures", "problem")
    list_filter = (LetterFilter,)
    list_select_related = ("person",)
    fields = (
        ("person", "kind", "day"),
        ("created_at", "sealed_at", "ended_at"),
        ("outcome", "problem"),
        ("next_check_at", "failures", "strikes"),
        ("lease_until", "lease_token"),
    )


@admin.register(Occurrence)
class OccurrenceAdmin(SuperusersOnly, Room):
    list_display = ("id", "kind", "job_link", "at", "next_check_at", "failures")
    list_select_related = ("job",)
    fields = (("kind", "key"), ("job_link", "actor"), ("at", "next_check_at", "failures"))

    @admin.display(description="Job")
    def job_link(self, row: Occurrence) -> SafeString:
        return link(row.job)
