"""Tool calls, and copies of documents at the provider, to read."""

from django.contrib import admin
from django.utils.safestring import SafeString

from jobs import models
from jobs.admin.lists import RoomInline
from jobs.admin.parts import LONG_OF_CALL, LONG_OF_JOB, OfJob, under
from jobs.admin.shown import link, long_text
from jobs.models.jobs import Document


class ProviderFileInline(RoomInline):
    model = models.ProviderFile
    fields = ("document_link", "state", "file_id", "sent_at", "held_at", "gone_at", "error_text")
    readonly_fields = ("document_link",)
    deferred = ("document__text",)
    related = ("document",)
    show_change_link = False
    verbose_name_plural = "copies of its documents at OpenAI"

    @admin.display(description="Document")
    def document_link(self, file: models.ProviderFile) -> SafeString:
        document: Document = file.document
        return link(document)


class ProviderStoreInline(RoomInline):
    model = models.ProviderStore
    fields = ("state", "store_id", "total", "indexed", "failed", "sent_at", "held_at", "gone_at")
    show_change_link = False
    verbose_name_plural = "vector stores at OpenAI"


@admin.register(models.FunctionCall)
class FunctionCallAdmin(OfJob):
    to_job = "turn__attempt__job"
    list_display = ("name_shown", "job_link", "effect", "state", "outcome", "asked_at", "ended_at")
    list_filter = ("effect", "state")
    list_select_related = ("turn__attempt__job",)
    deferred = (
        *LONG_OF_CALL,
        *under("turn", ("request", "payload", "late_payload")),
        *under("turn__attempt", ("feedback", "error_text")),
        *under("turn__attempt__job", LONG_OF_JOB),
    )
    fields = (
        ("job_link", "turn_link"),
        ("name_shown", "server", "kind", "effect"),
        ("state", "outcome"),
        ("asked_at", "started_at", "ended_at"),
        "arguments_shown",
        "edited_shown",
        "approved_hash",
        "refusal",
        "output_shown",
        ("call_id", "next_check_at", "lease_until", "id"),
    )

    def name_of(self, row: models.FunctionCall) -> str:
        return f"tool call: {row.name}"

    @admin.display(description="Tool")
    def name_shown(self, call: models.FunctionCall) -> str:
        return call.name or "(without a name)"

    @admin.display(description="Turn")
    def turn_link(self, call: models.FunctionCall) -> SafeString:
        return link(call.turn, f"turn {call.turn.number}")

    @admin.display(description="Arguments, as the model gave them")
    def arguments_shown(self, call: models.FunctionCall) -> SafeString:
        return long_text(call.arguments)

    @admin.display(description="Arguments, as a reviewer left them")
    def edited_shown(self, call: models.FunctionCall) -> SafeString:
        return long_text(call.edited_arguments)

    @admin.display(description="What the model was told")
    def output_shown(self, call: models.FunctionCall) -> SafeString:
        return long_text(call.output)
