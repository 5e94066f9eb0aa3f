"""Everything that a job is made of, to read: attempts, turns, results, events, gates, documents."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString

from jobs import models
from jobs.admin.lists import JobRoom, RoomInline
from jobs.admin.shown import NOTHING, link, links, long_text, payload, readable
from jobs.templatetags.jobsite import money, status_word

#: Of a job, what only its own page shows.
LONG_OF_JOB = ("input", "warnings", "reason_text")
LONG_OF_CALL = ("arguments", "edited_arguments", "output")
LONG_OF_TYPE = ("input_schema", "description")


def under(path: str, names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(f"{path}__{name}" for name in names)


class OfJob(JobRoom):
    """A part of a job: its list and its page lead to the job."""

    @admin.display(description="Job")
    def job_link(self, row: Any) -> SafeString:
        return link(self.job_of(row))


class GateInline(RoomInline):
    model = models.Gate
    fields = ("kind", "level", "opened_at", "due_at", "closed_at", "outcome", "judged")
    readonly_fields = ("judged",)
    deferred = ("reasons",)

    @admin.display(description="Judged")
    def judged(self, gate: models.Gate) -> SafeString:
        return short_hash(gate.content_hash)


class TurnInline(RoomInline):
    model = models.Turn
    fields = ("number", "response_id", "provider_status", "sent_at", "ended_at")
    deferred = ("request", "payload", "late_payload")


class FunctionCallInline(RoomInline):
    model = models.FunctionCall
    fields = ("position", "name", "effect", "state", "outcome", "started_at", "ended_at")
    deferred = LONG_OF_CALL


class OpenFilter(admin.SimpleListFilter):
    title = "whether it is open"
    parameter_name = "open"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("yes", "Open"), ("no", "Closed")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if self.value() is None:
            return queryset
        return queryset.filter(closed_at__isnull=self.value() == "yes")


@admin.register(models.Attempt)
class AttemptAdmin(OfJob):
    list_display = ("name", "job_link", "state", "cause", "next_check_at", "checks", "cost")
    list_filter = ("state", "cause")
    list_select_related = ("job",)
    deferred = ("feedback", "error_text", *under("job", LONG_OF_JOB))
    inlines = (TurnInline, GateInline)
    fieldsets = (
        (
            None,
            {
                "fields": (
                    ("job_link", "result_link"),
                    ("state", "cause", "caused_by"),
                    ("error_code", "error_text"),
                    "feedback_shown",
                    "cost",
                )
            },
        ),
        (
            "When",
            {
                "fields": (
                    ("created_at", "submitted_at", "ended_at"),
                    ("last_heard_at", "cancel_sent_at", "missing_since"),
                )
            },
        ),
        (
            "The engine's own",
            {
                "fields": (
                    ("next_check_at", "checks", "failures", "strikes"),
                    ("lease_until", "lease_token"),
                    "id",
                )
            },
        ),
    )

    def name_of(self, row: models.Attempt) -> str:
        return f"attempt {row.number}"

    @admin.display(description="Attempt")
    def name(self, attempt: models.Attempt) -> str:
        return f"{attempt.job.ref} attempt {attempt.number}"

    @admin.display(description="Result")
    def result_link(self, attempt: models.Attempt) -> SafeString:
        result = models.Result.objects.filter(attempt=attempt).only("pk").first()
        return link(result, "Result")

    @admin.display(description="Feedback that it was given")
    def feedback_shown(self, attempt: models.Attempt) -> SafeString:
        return long_text(attempt.feedback)

    @admin.display(description="Cost")
    def cost(self, attempt: models.Attempt) -> str:
        return money(attempt.cost_usd)


class FetchedFileInline(RoomInline):
    model = models.FetchedFile
    fields = ("name", "container_id", "file_id", "problem")


@admin.register(models.Turn)
class TurnAdmin(OfJob):
    to_job = "attempt__job"
    inlines = (FunctionCallInline, FetchedFileInline)
    list_display = ("name", "job_link", "attempt_link", "provider_status", "sent_at", "ended_at")
    list_select_related = ("attempt__job",)
    deferred = (
        "request",
        "payload",
        "late_payload",
        "attempt__feedback",
        "attempt__error_text",
        *under("attempt__job", LONG_OF_JOB),
    )
    fields = (
        ("job_link", "attempt_link", "result_link"),
        ("response_id", "request_id"),
        ("provider_status", "sent_at", "ended_at"),
        "request_shown",
        "payload_shown",
        "late_payload_shown",
        "id",
    )

    def found(self, queryset: QuerySet[Any], term: str) -> QuerySet[Any]:
        one = queryset.filter(response_id=term)
        return one if one.exists() else super().found(queryset, term)

    def name_of(self, row: models.Turn) -> str:
        return f"attempt {row.attempt.number} turn {row.number}"

    @admin.display(description="Turn")
    def name(self, turn: models.Turn) -> str:
        return turn.response_id or f"turn {turn.number}, without a response"

    @admin.display(description="Attempt")
    def attempt_link(self, turn: models.Turn) -> SafeString:
        return link(turn.attempt, f"attempt {turn.attempt.number}")

    @admin.display(description="Result")
    def result_link(self, turn: models.Turn) -> SafeString:
        result = models.Result.objects.filter(attempt=turn.attempt_id).only("pk").first()
        return link(result, "Result")

    @admin.display(description="Request, documents by their hash")
    def request_shown(self, turn: models.Turn) -> SafeString:
        return readable(turn.request)

    @admin.display(description="Payload")
    def payload_shown(self, turn: models.Turn) -> SafeString:
        return payload(turn.payload)

    @admin.display(description="Later payload")
    def late_payload_shown(self, turn: models.Turn) -> SafeString:
        return payload(turn.late_payload)


class CitationInline(RoomInline):
    model = models.Citation
    fields = ("position", "kind", "quote_shown", "document_link", "start", "end", "url", "title")
    readonly_fields = ("quote_shown", "document_link")
    deferred = ("document__text", "raw")
    related = ("document",)

    @admin.display(description="Quote")
    def quote_shown(self, citation: models.Citation) -> SafeString:
        return long_text(citation.quote)

    @admin.display(description="Document")
    def document_link(self, citation: models.Citation) -> SafeString:
        return link(citation.document)


class ToolCallInline(RoomInline):
    model = models.ToolCall
    fields = ("position", "turn", "title", "kind", "name", "status", "summary", "raw_shown")
    readonly_fields = ("raw_shown",)
    deferred = ("detail",)

    @admin.display(description="As reported")
    def raw_shown(self, call: models.ToolCall) -> SafeString:
        return readable(call.raw)


class ResultFileInline(RoomInline):
    model = models.ResultFile
    fields = ("position", "name", "content_type", "size", "sha256", "container_id", "file_id")


@admin.register(models.Result)
class ResultAdmin(OfJob):
    to_job = "attempt__job"
    list_display = ("name", "job_link", "extent", "model", "created_at")
    list_filter = ("partial", "deliverable")
    list_select_related = ("attempt__job",)
    deferred = (
        "text",
        "structured",
        "warnings",
        "usage",
        "attempt__feedback",
        "attempt__error_text",
        *under("attempt__job", LONG_OF_JOB),
    )
    inlines = (CitationInline, ToolCallInline, ResultFileInline, GateInline)
    fields = (
        ("job_link", "attempt_link", "turns"),
        ("extent", "created_at"),
        ("model", "service_tier"),
        ("content_hash", "edit_link"),
        "text_shown",
        "structured_shown",
        "warnings_shown",
        "usage_shown",
    )

    def name_of(self, row: models.Result) -> str:
        return f"result of attempt {row.attempt.number}"

    @admin.display(description="Result")
    def name(self, result: models.Result) -> str:
        return f"result of attempt {result.attempt.number}"

    @admin.display(description="Attempt")
    def attempt_link(self, result: models.Result) -> SafeString:
        return link(result.attempt, f"attempt {result.attempt.number}")

    @admin.display(description="What it is")
    def extent(self, result: models.Result) -> str:
        whole = "partial" if result.partial else "whole"
        return f"{whole}, {'for use' if result.deliverable else 'withheld: evidence only'}"

    @admin.display(description="Turns")
    def turns(self, result: models.Result) -> SafeString:
        turns = result.attempt.turns.only("number", "response_id")
        return links([(turn, str(turn)) for turn in turns])

    @admin.display(description="Text")
    def text_shown(self, result: models.Result) -> SafeString:
        return long_text(result.text)

    @admin.display(description="A reviewer's version counts instead")
    def edit_link(self, result: models.Result) -> SafeString:
        return link(result.edit, str(result.edit))

    @admin.display(description="Structured output")
    def structured_shown(self, result: models.Result) -> SafeString:
        return readable(result.structured)

    @admin.display(description="Warnings")
    def warnings_shown(self, result: models.Result) -> SafeString:
        return readable(result.warnings)

    @admin.display(description="Usage")
    def usage_shown(self, result: models.Result) -> SafeString:
        return readable(result.usage)


@admin.register(models.ResultEdit)
class ResultEditAdmin(OfJob):
    to_job = "result__attempt__job"
    list_display = ("name", "job_link", "made_by", "made_at")
    list_select_related = ("result__attempt__job", "made_by")
    deferred = (
        "text",
        "structured",
        *under("result", ("text", "structured", "warnings", "usage")),
        *under("result__attempt", ("feedback", "error_text")),
        *under("result__attempt__job", LONG_OF_JOB),
    )
    fields = (
        ("job_link", "result_link", "number"),
        ("made_by", "made_at"),
        ("content_hash", "of_hash"),
        "text_shown",
    )

    def name_of(self, row: models.ResultEdit) -> str:
        return f"edit {row.number} of a result"

    @admin.display(description="Edit")
    def name(self, edit: models.ResultEdit) -> str:
        return f"edit {edit.number}"

    @admin.display(description="Result")
    def result_link(self, edit: models.ResultEdit) -> SafeString:
        return link(edit.result, "Result")

    @admin.display(description="Text")
    def text_shown(self, edit: models.ResultEdit) -> SafeString:
        return long_text(edit.text)


@admin.register(models.Event)
class EventAdmin(OfJob):
    list_display = ("line", "job_link", "verb", "actor_name", "moved", "at")
    list_filter = ("verb",)
    list_select_related = ("job",)
    deferred = ("data", "reason_text", *under("job", LONG_OF_JOB))
    fields = (
        ("job_link", "seq", "at"),
        ("verb", "actor_name", "actor"),
        "moved",
        ("reason_code", "reason_text"),
        "data_shown",
        "hash",
    )

    def name_of(self, row: models.Event) -> str:
        return f"event {row.seq}"

    @admin.display(description="Status")
    def moved(self, event: models.Event) -> SafeString:
        return moved(event)

    @admin.display(description="Event")
    def line(self, event: models.Event) -> str:
        return f"event {event.seq}"

    @admin.display(description="Data")
    def data_shown(self, event: models.Event) -> SafeString:
        return readable(event.data)


@admin.register(models.Gate)
class GateAdmin(OfJob):
    list_display = ("kind", "job_link", "level", "opened_at", "due_at", "closed_at", "outcome")
    list_filter = ("kind", OpenFilter)
    list_select_related = ("job",)
    deferred = ("reasons", *under("job", LONG_OF_JOB))
    fields = (
        ("job_link", "attempt_link", "result_link"),
        ("kind", "level"),
        ("opened_at", "due_at", "expires"),
        ("closed_at", "outcome"),
        "content_hash",
        "reasons_shown",
    )

    def name_of(self, row: models.Gate) -> str:
        return f"gate: {row.get_kind_display().lower()}"

    @admin.display(description="Attempt")
    def attempt_link(self, gate: models.Gate) -> SafeString:
        return link(gate.attempt, f"attempt {gate.attempt.number}" if gate.attempt else "")

    @admin.display(description="Result")
    def result_link(self, gate: models.Gate) -> SafeString:
        return link(gate.result, "Result")

    @admin.display(description="Why a person must decide")
    def reasons_shown(self, gate: models.Gate) -> SafeString:
        return readable(gate.reasons)


@admin.register(models.Document)
class DocumentAdmin(OfJob):
    list_display = ("name", "job_link", "content_type", "size")
    list_select_related = ("job",)
    deferred = ("text", *under("job", LONG_OF_JOB))
    fields = (
        ("job_link", "position"),
        ("name", "content_type", "size"),
        "sha256",
        "text_shown",
    )

    def name_of(self, row: models.Document) -> str:
        return row.name

    @admin.display(description="Text that quotes are looked up in")
    def text_shown(self, document: models.Document) -> SafeString:
        return long_text(document.text)


def moved(event: models.Event) -> SafeString:
    """The status that an event ended in, where it changed one."""
    return status_word(event.to_status) if event.to_status else NOTHING


def short_hash(content_hash: str) -> SafeString:
    return format_html('<code title="{}">{}</code>', content_hash, content_hash[:12])
