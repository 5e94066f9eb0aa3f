"""What people decided and wrote down, to read."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.db.models.functions import Left
from django.http import HttpRequest
from django.utils.safestring import SafeString

from jobs.admin.parts import LONG_OF_JOB, OfJob, under
from jobs.admin.shown import link, long_text, readable
from reviews.models import Decision, ReviewerNote


@admin.register(Decision)
class DecisionAdmin(OfJob):
    list_display = ("line", "job_link", "actor", "role", "level", "at")
    list_filter = ("ruling", "role", "reason_code")
    list_select_related = ("job", "actor")
    deferred = ("note", "policy", "data", *under("job", LONG_OF_JOB))
    fields = (
        ("job_link", "gate_link", "result_link"),
        ("ruling", "actor", "role", "at"),
        ("requester", "own_approval", "level"),
        ("reason_code", "seconds"),
        "note",
        "content_hash",
        "edit_link",
        "edited_shown",
        "data_shown",
        "policy_shown",
    )

    def name_of(self, row: Decision) -> str:
        return f"decision: {row.get_ruling_display().lower()}"

    @admin.display(description="Decision")
    def line(self, decision: Decision) -> str:
        return decision.get_ruling_display()

    @admin.display(description="Gate")
    def gate_link(self, decision: Decision) -> SafeString:
        return link(decision.gate, decision.gate.get_kind_display() if decision.gate else "")

    @admin.display(description="Result")
    def result_link(self, decision: Decision) -> SafeString:
        return link(decision.gate.result if decision.gate else None, "Result")

    @admin.display(description="Approved in the version")
    def edit_link(self, decision: Decision) -> SafeString:
        return link(decision.edit, str(decision.edit))

    @admin.display(description="What was approved instead of the result")
    def edited_shown(self, decision: Decision) -> SafeString:
        return long_text(decision.edit.text if decision.edit else "")

    @admin.display(description="In particular")
    def data_shown(self, decision: Decision) -> SafeString:
        return readable(decision.data)

    @admin.display(description="Why a person had to decide")
    def policy_shown(self, decision: Decision) -> SafeString:
        return readable(decision.policy)


@admin.register(ReviewerNote)
class ReviewerNoteAdmin(OfJob):
    list_display = ("line", "job_link", "author", "created_at")
    list_select_related = ("job", "author")
    deferred = ("text", *under("job", LONG_OF_JOB))
    fields = (("job_link", "author", "created_at"), "text")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        notes: QuerySet[Any] = super().get_queryset(request).annotate(beginning=Left("text", 100))
        return notes

    def name_of(self, row: ReviewerNote) -> str:
        return "note"

    @admin.display(description="Note")
    def line(self, note: Any) -> str:
        beginning: str = note.beginning
        return beginning
