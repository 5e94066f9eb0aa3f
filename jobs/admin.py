"""The admin: what is configured can be edited; what has happened can only be read."""

import json
from typing import Any

from django.contrib import admin
from django.contrib.auth.admin import UserAdmin
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from jobs import models


class ReadOnly:
    """No adding, changing or deleting: these rows are facts, written by the life cycle."""

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class MembershipInline(admin.TabularInline):
    model = models.Membership
    extra = 0
    autocomplete_fields = ("user",)


@admin.register(models.User)
class PersonAdmin(UserAdmin):
    pass


@admin.register(models.Workspace)
class WorkspaceAdmin(admin.ModelAdmin):
    list_display = ("name", "slug", "created_at")
    search_fields = ("name", "slug")
    prepopulated_fields = {"slug": ("name",)}
    inlines = (MembershipInline,)


@admin.register(models.JobType)
class JobTypeAdmin(admin.ModelAdmin):
    list_display = ("name", "slug", "workspace", "lane", "review", "current_version", "enabled")
    list_filter = ("enabled", "lane", "review")
    list_select_related = ("workspace", "current_version__job_type")
    search_fields = ("name", "slug")
    fieldsets = (
        (None, {"fields": ("name", "slug", "workspace", "description", "enabled")}),
        ("What is sent", {"fields": ("current_version",)}),
        ("What is asked for", {"fields": ("input_schema", "min_documents", "max_documents")}),
        (
            "Review",
            {
                "fields": (
                    ("lane", "review", "on_incomplete"),
                    ("check_quotes", "own_approval"),
                    ("review_levels", "review_within", "expire_overdue_review"),
                )
            },
        ),
        (
            "Retries and deadlines",
            {
                "fields": (
                    ("max_attempts", "may_pay_twice", "unknown_wait"),
                    ("start_within", "finish_within"),
                )
            },
        ),
    )

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """A type can only use its own versions."""
        if db_field.name == "current_version":
            match = request.resolver_match
            job_type = match.kwargs.get("object_id") if match else None
            kwargs["queryset"] = models.PromptVersion.objects.filter(
                job_type=job_type or 0
            ).select_related("job_type")
        return super().formfield_for_foreignkey(db_field, request, **kwargs)


@admin.register(models.PromptVersion)
class PromptVersionAdmin(admin.ModelAdmin):
    """Versions are added, with the latest one's content to begin from, and never changed."""

    list_display = ("job_type", "number", "model", "created_by", "created_at")
    list_filter = ("job_type",)
    list_select_related = ("job_type", "created_by")
    fields = ("job_type", "model", "instructions", "template", "tools", "output_schema", "options")

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        initial: dict[str, Any] = super().get_changeform_initial_data(request)
        latest = models.PromptVersion.objects.filter(job_type=initial.get("job_type") or 0).first()
        if latest:
            initial |= {name: getattr(latest, name) for name in self.fields if name != "job_type"}
        return initial

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        latest = models.PromptVersion.objects.filter(job_type=obj.job_type).first()
        obj.number = latest.number + 1 if latest else 1
        obj.created_by = request.user
        super().save_model(request, obj, form, change)


class ReadOnlyInline(ReadOnly, admin.TabularInline):
    extra = 0
    show_change_link = True


class AttemptInline(ReadOnlyInline):
    model = models.Attempt
    fields = ("number", "state", "cause", "error_code", "cost_usd", "submitted_at", "ended_at")


class EventInline(ReadOnlyInline):
    model = models.Event
    fields = ("seq", "at", "verb", "actor_name", "from_status", "to_status", "reason_text")


class DocumentInline(ReadOnlyInline):
    model = models.Document
    fields = ("position", "name", "content_type", "size", "sha256")


class TurnInline(ReadOnlyInline):
    model = models.Turn
    fields = ("number", "response_id", "provider_status", "sent_at", "ended_at")


@admin.register(models.Job)
class JobAdmin(ReadOnly, admin.ModelAdmin):
    list_display = ("ref", "status", "job_type", "requester", "input_summary", "created_at")
    list_filter = ("status", "job_type", "workspace")
    list_select_related = ("job_type", "requester")
    search_fields = ("=ref", "=attempts__turns__response_id")
    search_help_text = "A reference (J-7K3M9QX) or a response id (resp_…)."
    ordering = ("-id",)
    show_full_result_count = False
    list_per_page = 50
    inlines = (AttemptInline, EventInline, DocumentInline)
    fields = (
        ("ref", "status", "lane"),
        ("reason_code", "reason_text"),
        ("workspace", "job_type", "prompt_version"),
        ("requester", "created_at", "settled_at"),
        ("progress_message", "cost_usd", "archived_at"),
        "input_shown",
        "warnings_shown",
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[models.Job]:
        return super().get_queryset(request).defer("input", "warnings")

    @admin.display(description="Input")
    def input_shown(self, job: models.Job) -> SafeString:
        return readable(job.input)

    @admin.display(description="Warnings")
    def warnings_shown(self, job: models.Job) -> SafeString:
        return readable(job.warnings)


@admin.register(models.Attempt)
class AttemptAdmin(ReadOnly, admin.ModelAdmin):
    list_display = ("job", "number", "state", "cause", "next_check_at", "checks", "cost_usd")
    list_filter = ("state",)
    list_select_related = ("job",)
    search_fields = ("=job__ref", "=turns__response_id")
    ordering = ("-id",)
    show_full_result_count = False
    inlines = (TurnInline,)


@admin.register(models.Turn)
class TurnAdmin(ReadOnly, admin.ModelAdmin):
    list_display = ("response_id", "attempt", "number", "provider_status", "sent_at", "ended_at")
    list_select_related = ("attempt",)
    search_fields = ("=response_id",)
    ordering = ("-id",)
    show_full_result_count = False
    fields = (
        ("attempt", "number"),
        ("response_id", "request_id"),
        ("provider_status", "sent_at", "ended_at"),
        "request_shown",
        "payload_shown",
        "late_payload_shown",
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[models.Turn]:
        return super().get_queryset(request).defer("request", "payload", "late_payload")

    @admin.display(description="Request, documents by their hash")
    def request_shown(self, turn: models.Turn) -> SafeString:
        return readable(turn.request)

    @admin.display(description="Payload")
    def payload_shown(self, turn: models.Turn) -> SafeString:
        return _payload(turn.payload)

    @admin.display(description="Later payload")
    def late_payload_shown(self, turn: models.Turn) -> SafeString:
        return _payload(turn.late_payload)


class CitationInline(ReadOnlyInline):
    model = models.Citation
    fields = ("position", "kind", "quote", "document", "start", "end", "url")


class ToolCallInline(ReadOnlyInline):
    model = models.ToolCall
    fields = ("position", "kind", "name", "status", "summary")


@admin.register(models.Result)
class ResultAdmin(ReadOnly, admin.ModelAdmin):
    list_display = ("attempt", "job", "partial", "deliverable", "model", "created_at")
    list_select_related = ("attempt__job",)
    search_fields = ("=attempt__job__ref",)
    ordering = ("-id",)
    show_full_result_count = False
    inlines = (CitationInline, ToolCallInline)
    fields = (
        ("attempt", "content_hash"),
        ("partial", "deliverable"),
        ("model", "service_tier"),
        "text",
        "structured_shown",
        "warnings_shown",
        "usage_shown",
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[models.Result]:
        return super().get_queryset(request).defer("text", "structured")

    @admin.display(description="Job")
    def job(self, result: models.Result) -> SafeString:
        return _link(result.attempt.job)

    @admin.display(description="Structured output")
    def structured_shown(self, result: models.Result) -> SafeString:
        return readable(result.structured)

    @admin.display(description="Warnings")
    def warnings_shown(self, result: models.Result) -> SafeString:
        return readable(result.warnings)

    @admin.display(description="Usage")
    def usage_shown(self, result: models.Result) -> SafeString:
        return readable(result.usage)


@admin.register(models.WebhookReceipt)
class WebhookReceiptAdmin(ReadOnly, admin.ModelAdmin):
    list_display = ("webhook_id", "event_type", "response_id", "outcome", "received_at")
    list_filter = ("outcome",)
    search_fields = ("=webhook_id", "=response_id")
    ordering = ("-received_at",)
    show_full_result_count = False
    exclude = ("body",)


@admin.register(models.SweepSlot)
class SweepSlotAdmin(ReadOnly, admin.ModelAdmin):
    list_display = ("number", "holder", "beat_at", "sweeps", "requests")


@admin.register(models.Seal)
class SealAdmin(ReadOnly, admin.ModelAdmin):
    list_display = ("number", "at", "jobs", "hash")
    ordering = ("-number",)
    exclude = ("heads",)


def readable(value: Any) -> SafeString:
    """JSON as a person reads it, escaped: what models write is never markup."""
    if value in (None, "", [], {}):
        return SafeString("–")
    return format_html("<pre>{}</pre>", json.dumps(value, indent=2, ensure_ascii=False))


def _payload(body: Any) -> SafeString:
    if body is None:
        return SafeString("–")
    content = bytes(body)
    try:
        return readable(json.loads(content))
    except (ValueError, RecursionError):
        return format_html("<pre>{}</pre>", content.decode(errors="backslashreplace"))


def _link(row: Model) -> SafeString:
    meta = row._meta
    url = reverse(f"admin:{meta.app_label}_{meta.model_name}_change", args=[row.pk])
    return format_html('<a href="{}">{}</a>', url, row)
