"""A job, to read. Its verbs are added by `reviews.admin`."""

from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import Case, QuerySet, When
from django.http import HttpRequest
from django.template.defaultfilters import filesizeformat
from django.utils.html import format_html
from django.utils.safestring import SafeString

from jobs import models
from jobs.admin.calls import ProviderFileInline, ProviderStoreInline
from jobs.admin.lists import JobRoom, RoomInline, ScopedFilter
from jobs.admin.parts import LONG_OF_JOB, LONG_OF_TYPE, GateInline, moved, under
from jobs.admin.shown import NOTHING, link, list_link, readable
from jobs.templatetags.jobsite import icon, moment, money, status_badge, status_word


class AttemptInline(RoomInline):
    model = models.Attempt
    fields = (
        "number",
        "state",
        "cause",
        "error_code",
        "cost",
        "submitted_at",
        "ended_at",
        "result_link",
    )
    readonly_fields = ("cost", "result_link")
    deferred = (
        "feedback",
        "error_text",
        *under("result", ("text", "structured", "warnings", "usage")),
    )
    related = ("result",)

    @admin.display(description="Cost")
    def cost(self, attempt: models.Attempt) -> str:
        return money(attempt.cost_usd)

    @admin.display(description="Result")
    def result_link(self, attempt: models.Attempt) -> SafeString:
        return link(getattr(attempt, "result", None), "Result")


class EventInline(RoomInline):
    model = models.Event
    fields = ("seq", "at", "verb", "actor_name", "moved", "reason_text")
    readonly_fields = ("moved",)
    deferred = ("data",)

    @admin.display(description="Status")
    def moved(self, event: models.Event) -> SafeString:
        return moved(event)


class DocumentInline(RoomInline):
    model = models.Document
    fields = ("position", "name", "content_type", "bytes")
    readonly_fields = ("bytes",)
    deferred = ("text",)

    @admin.display(description="Size")
    def bytes(self, document: models.Document) -> str:
        return filesizeformat(document.size)


class ArchivedFilter(admin.SimpleListFilter):
    title = "archive"
    parameter_name = "archived"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("no", "Not archived"), ("yes", "Archived")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if self.value() is None:
            return queryset
        return queryset.filter(archived_at__isnull=self.value() == "no")


# Registered by `reviews.admin`, which knows the verbs and what people decided.
class JobAdmin(JobRoom):
    to_job = ""
    list_display: Any = (
        "ref",
        "status_shown",
        "job_type",
        "created",
        "requester",
        "asked",
    )
    list_filter = (
        "status",
        ("job_type", ScopedFilter),
        ("workspace", ScopedFilter),
        ArchivedFilter,
    )
    filters_in_links = ("lane", "reason_code")
    list_select_related = ("job_type", "requester")
    deferred = (*LONG_OF_JOB, *under("job_type", LONG_OF_TYPE))
    inlines: ClassVar[Any] = (
        AttemptInline,
        GateInline,
        EventInline,
        DocumentInline,
        ProviderFileInline,
        ProviderStoreInline,
    )
    fieldsets = (
        (None, {"fields": ("badge", "reason", "progress", "gate_shown", "parts")}),
        (
            "What was asked for",
            {
                "fields": (
                    ("workspace", "job_type", "prompt_version"),
                    ("requester", "lane", "parent"),
                    "carry",
                    "input_shown",
                    "warnings_shown",
                )
            },
        ),
        (
            "When",
            {
                "fields": (
                    ("created_at", "started_at", "settled_at"),
                    ("start_by", "finish_by"),
                    ("cancel_requested_at", "cancel_requested_by"),
                    ("archived_at", "archived_by"),
                )
            },
        ),
        (
            "For the record",
            {
                "classes": ("collapse",),
                "fields": (
                    "id",
                    ("cost", "event_count", "sealed_count"),
                    "event_head",
                    ("idempotency_key", "request_fingerprint"),
                ),
            },
        ),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        warned = Case(When(warnings=[], then=False), default=True)
        jobs: QuerySet[Any] = super().get_queryset(request).annotate(warned=warned)
        return jobs

    @admin.display(description="Status")
    def status_shown(self, job: Any) -> SafeString:
        """As `status_badge` has it, without reading the warnings of every row."""
        word = status_word(job.status)
        if job.status != models.Status.COMPLETED or not job.warned:
            return word
        return format_html("{} {}", word, icon("triangle-alert", "with warnings"))

    @admin.display(description="Created")
    def created(self, job: models.Job) -> SafeString:
        return moment(job.created_at)

    @admin.display(description="Asked for")
    def asked(self, job: models.Job) -> SafeString:
        return format_html('<span class="room-line">{}</span>', job.input_summary or NOTHING)

    @admin.display(description="Status")
    def badge(self, job: models.Job) -> SafeString:
        return status_badge(job)

    @admin.display(description="Why")
    def reason(self, job: models.Job) -> SafeString:
        if not job.reason_code:
            return NOTHING
        return format_html("{} <code>{}</code>", job.reason_text, job.reason_code)

    @admin.display(description="Progress")
    def progress(self, job: models.Job) -> str:
        return f"{job.progress_done} of {job.progress_total}: {job.progress_message}"

    @admin.display(description="Waits for")
    def gate_shown(self, job: models.Job) -> SafeString:
        gate = job.open_gate
        if gate is None:
            return NOTHING
        due = f"level {gate.level}, due {gate.due_at:%d %b %Y, %H:%M} UTC"
        return format_html("{} ({})", link(gate, gate.get_kind_display()), due)

    @admin.display(description="Lists")
    def parts(self, job: models.Job) -> SafeString:
        kinds: tuple[tuple[type[Any], str], ...] = (
            (models.Attempt, "Attempts"),
            (models.Turn, "Turns"),
            (models.Result, "Results"),
            (models.Event, "Events"),
        )
        said = [list_link(model, name, q=job.ref) for model, name in kinds]
        return format_html("{} · {} · {} · {}", *said)

    @admin.display(description="Input")
    def input_shown(self, job: models.Job) -> SafeString:
        return readable(job.input)

    @admin.display(description="Warnings")
    def warnings_shown(self, job: models.Job) -> SafeString:
        return readable(job.warnings)

    @admin.display(description="Cost")
    def cost(self, job: models.Job) -> str:
        return money(job.cost_usd)
