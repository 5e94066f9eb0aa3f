"""What is configured: job types, and the prompt versions that they send."""

from collections.abc import Iterable
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import JSONField, Q, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.safestring import SafeString

from jobs import models
from jobs.admin import review_rules
from jobs.admin.coherence import (
    impossible_inputs,
    is_closed,
    misgivings,
    strict_faults,
    unknown_inputs,
    unknown_tools,
    unpriced,
)
from jobs.admin.fields import json_formfield
from jobs.admin.history import Line, WithHistory, changes_of, levels_of
from jobs.admin.levels import LevelInline
from jobs.admin.lists import Dressed, RoomInline, ScopedFilter, overseen, person
from jobs.admin.shown import NOTHING, link, long_text, readable
from jobs.spending import WINDOW, spending
from jobs.tools import registry


def configured_types(user: models.User) -> QuerySet[models.JobType]:
    """The types that `user` may change. What every workspace has is for superusers."""
    if user.is_superuser:
        return models.JobType.objects.all()
    return models.JobType.objects.filter(workspace__in=models.Workspace.objects.configured_by(user))


def may_make_version(request: HttpRequest, job_type: int) -> bool:
    user = person(request)
    types = configured_types(user).filter(pk=job_type)
    return user.has_perm("jobs.add_promptversion") and types.exists()


class Configured(Dressed):
    """JSON is edited as text."""

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if isinstance(db_field, JSONField):
            return json_formfield(db_field, **kwargs)
        return super().formfield_for_dbfield(db_field, request, **kwargs)


class JobTypeForm(forms.ModelForm):
    """What is certainly wrong is said beside its field; what may be meant so, after saving."""

    class Meta:
        labels = {"current_version": "Version for new jobs"}

    review_tools = review_rules.ToolsField()
    review_roles = review_rules.RolesField()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        tools = self.fields.get("review_tools")
        if isinstance(tools, review_rules.ToolsField):
            tools.keep(self.instance.review_tools)

    def clean(self) -> dict[str, Any]:
        data: dict[str, Any] = super().clean() or {}
        if "input_schema" in data and (why := impossible_inputs(data["input_schema"])):
            self.add_error("input_schema", why)
        least, most = data.get("min_documents"), data.get("max_documents")
        if least is not None and most is not None and least > most:
            self.add_error("min_documents", f"At least {least} and at most {most}: none would fit.")
        for name in ("start_within", "finish_within", "review_within"):
            if data.get(name) == 0:
                self.add_error(name, "0 seconds: the deadline is over at once.")
        for name, why in review_rules.review_faults(data):
            self.add_error(name, why)
        self._check_place(data)
        return data

    def _check_place(self, data: dict[str, Any]) -> None:
        if "workspace" not in data or "slug" not in data:
            return
        place = data["workspace"]
        others = models.JobType.objects.exclude(pk=self.instance.pk)
        if others.filter(workspace=place, slug=data["slug"]).exists():
            where = place or "every workspace"
            self.add_error("slug", f"There is a job type of that name in {where} already.")
        if place and self.instance.pk and self.instance.jobs.exclude(workspace=place).exists():
            self.add_error("workspace", "Jobs of other workspaces use this type.")


class VersionInline(RoomInline):
    model = models.PromptVersion
    fk_name = "job_type"
    verbose_name_plural = "Prompt versions"
    fields = ("number", "model", "used", "created_by", "created_at")
    readonly_fields = ("used", "created_at")
    deferred = ("instructions", "template", "tools", "output_schema", "options")
    related = ("created_by",)

    @admin.display(description="For new jobs", boolean=True)
    def used(self, version: models.PromptVersion) -> bool:
        return version.pk == version.job_type.current_version_id


@admin.register(models.JobType)
class JobTypeAdmin(WithHistory, Configured):
    form = JobTypeForm
    list_display = ("name", "slug", "place", "lane", "review", "version", "enabled")
    list_filter = ("enabled", "lane", "review", ("workspace", ScopedFilter))
    list_select_related = ("workspace", "current_version")
    search_fields = ("name", "slug")
    prepopulated_fields = {"slug": ("name",)}
    inlines = (LevelInline, VersionInline)
    change_form_template = "admin/room/job_type.html"
    fieldsets = (
        (None, {"fields": ("name", "slug", "workspace", "description", ("enabled", "follows"))}),
        ("What is sent", {"fields": ("current_version",)}),
        (
            "What is asked for",
            {"fields": ("input_schema", ("min_documents", "max_documents"), "carriage")},
        ),
        (
            "Review",
            {
                "fields": (
                    ("lane", "review", "on_incomplete"),
                    ("check_quotes", "own_approval", "live"),
                    ("review_within", "remind_after", "escalate_after", "expire_overdue_review"),
                    "max_rounds",
                    "evidence_seen",
                )
            },
        ),
        review_rules.FIELDSET,
        (
            "Retries and deadlines",
            {
                "fields": (
                    ("max_attempts", "may_pay_twice", "unknown_wait"),
                    ("start_within", "finish_within"),
                    ("max_turns", "max_calls"),
                )
            },
        ),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        types = super().get_queryset(request)
        user = person(request)
        if not user.is_superuser:
            seen = models.Workspace.objects.overseen_by(user)
            types = types.filter(Q(workspace=None) | Q(workspace__in=seen))
        if request.resolver_match and request.resolver_match.url_name == "jobs_jobtype_changelist":
            long = ("instructions", "template", "tools", "output_schema", "options")
            types = types.defer(
                "input_schema", "description", *(f"current_version__{name}" for name in long)
            )
        return types

    def has_add_permission(self, request: HttpRequest) -> bool:
        places = models.Workspace.objects.configured_by(person(request))
        return super().has_add_permission(request) and (
            person(request).is_superuser or places.exists()
        )

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        if not super().has_change_permission(request, obj):
            return False
        return obj is None or configured_types(person(request)).filter(pk=obj.pk).exists()

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """A type that is no longer wanted is switched off: its jobs go on telling of it."""
        return False

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """A new type has no version to choose from."""
        fieldsets = super().get_fieldsets(request, obj)
        return fieldsets if obj else [part for part in fieldsets if part[0] != "What is sent"]

    def get_prepopulated_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """The slug follows the name while the type is new: later, addresses hold it."""
        return {} if obj else self.prepopulated_fields

    def get_form(
        self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any
    ) -> Any:
        form: Any = super().get_form(request, obj, change, **kwargs)
        for name in {"current_version", "workspace"} & form.base_fields.keys():
            widget = form.base_fields[name].widget
            widget.can_add_related = widget.can_change_related = False
            widget.can_delete_related = widget.can_view_related = False
        return form

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """A type can only use its own versions, and be put where this person configures."""
        if db_field.name == "current_version":
            match = request.resolver_match
            job_type = match.kwargs.get("object_id") if match else None
            kwargs["queryset"] = (
                models.PromptVersion.objects.filter(
                    job_type=job_type if str(job_type).isdecimal() else 0
                )
                .select_related("job_type")
                .only("number", "job_type__slug")
            )
        if db_field.name == "workspace" and not person(request).is_superuser:
            kwargs["queryset"] = models.Workspace.objects.configured_by(person(request))
            kwargs["required"] = True
        elif db_field.name == "workspace":
            kwargs["empty_label"] = "Every workspace"
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        super().save_related(request, form, formsets, change)
        warn_about(request, form.instance)

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> Any:
        if (job_type := context.get("original")) and may_make_version(request, job_type.pk):
            add = reverse("admin:jobs_promptversion_add")
            context["new_version_url"] = f"{add}?job_type={job_type.pk}"
        if job_type:
            context |= {
                "unpriced": unpriced(job_type.current_version),
                "reviewed": review_rules.reviewed(job_type, overseen(request)),
                "window": WINDOW,
                "spent": spending(job_type, overseen(request), since=timezone.now() - WINDOW),
            }
        return super().render_change_form(request, context, *args, **kwargs)

    def history_lines(self, request: HttpRequest, row: Any) -> Iterable[Line]:
        return [*changes_of(row), *levels_of(row)]

    @admin.display(description="Workspace")
    def place(self, job_type: models.JobType) -> str:
        return str(job_type.workspace or "every workspace")

    @admin.display(description="For new jobs")
    def version(self, job_type: models.JobType) -> SafeString:
        version = job_type.current_version
        return link(version, f"v{version.number}") if version else NOTHING


class VersionForm(forms.ModelForm):
    class Meta:
        help_texts = {
            "template": "The user message: {name} stands for an input, and a line whose inputs are "
            "all empty is left out.",
            "tools": "A JSON list, empty for none.",
            "output_schema": "JSON Schema of structured output. Empty: the answer is text.",
        }

    use_for_new_jobs = forms.BooleanField(
        required=False,
        label="Use for new jobs",
        help_text="From now on. Jobs that exist keep the version that they were submitted with.",
    )

    def clean(self) -> dict[str, Any]:
        data: dict[str, Any] = super().clean() or {}
        tools = data.get("tools")
        if tools is not None and not (
            isinstance(tools, list)
            and all(isinstance(tool, dict) and tool.get("type") for tool in tools)
        ):
            self.add_error("tools", "A list of objects, each with a “type”.")
        elif unknown := unknown_tools(tools or []):
            known = ", ".join(tool.name for tool in registry.registered())
            self.add_error(
                "tools", f"There is no tool {', '.join(unknown)} here. There are: {known}."
            )
        if "options" in data and not isinstance(data["options"], dict):
            self.add_error("options", "Must be a JSON object.")
        self._check_output(data.get("output_schema"))
        job_type = data.get("job_type")
        if job_type and not self.errors and data.get("use_for_new_jobs"):
            version = models.PromptVersion(template=data["template"], tools=data["tools"])
            unknown = unknown_inputs(job_type.input_schema, version)
            if unknown and is_closed(job_type.input_schema):
                listed = ", ".join(f"{{{name}}}" for name in unknown)
                self.add_error(
                    "template",
                    f"It names {listed}, and the form of {job_type} allows no such input. Change "
                    "the form first, or save this version without using it for new jobs.",
                )
        return data

    def _check_output(self, schema: Any) -> None:
        if schema in (None, {}):
            return
        if not isinstance(schema, dict) or schema.get("type") != "object":
            self.add_error("output_schema", "Structured output is an object: “type”: “object”.")
        elif faults := list(strict_faults(schema)):
            self.add_error("output_schema", ["OpenAI refuses this schema.", *faults[:5]])


@admin.register(models.PromptVersion)
class PromptVersionAdmin(Configured):
    """Versions are added, with another one's content to begin from, and never changed."""

    form = VersionForm
    list_display = ("__str__", "model", "used", "created_by", "created_at")
    list_filter = (("job_type", ScopedFilter),)
    list_select_related = ("job_type", "created_by")
    ordering = ("-id",)
    change_form_template = "admin/room/prompt_version.html"
    content = ("model", "instructions", "template", "tools", "output_schema", "options")
    fields = ("job_type", *content, "use_for_new_jobs")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        versions = super().get_queryset(request)
        user = person(request)
        if not user.is_superuser:
            seen = models.Workspace.objects.overseen_by(user)
            versions = versions.filter(
                Q(job_type__workspace=None) | Q(job_type__workspace__in=seen)
            )
        return versions

    def has_add_permission(self, request: HttpRequest) -> bool:
        return super().has_add_permission(request) and configured_types(person(request)).exists()

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        if obj is None:
            return self.fields if self._may_use(request) else self.fields[:-1]
        return (
            ("type_link", "number", "used"),
            ("created_by", "created_at"),
            "model",
            "instructions_shown",
            "template_shown",
            "tools_shown",
            "output_schema_shown",
            "options_shown",
        )

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name == "job_type":
            kwargs["queryset"] = configured_types(person(request))
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def get_form(
        self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any
    ) -> Any:
        form: Any = super().get_form(request, obj, change, **kwargs)
        if "job_type" in form.base_fields:
            widget = form.base_fields["job_type"].widget
            widget.can_add_related = widget.can_change_related = widget.can_view_related = False
        if not self._may_use(request):
            form.base_fields.pop("use_for_new_jobs", None)
        return form

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        """``?from=`` a version, or ``?job_type=`` for the one that this type uses."""
        version = self._begun_from(request)
        if version is None:
            named = request.GET.get("job_type", "")
            return {"job_type": named, "use_for_new_jobs": True} if named.isdecimal() else {}
        return {
            "job_type": version.job_type_id,
            **{name: getattr(version, name) for name in self.content},
        }

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        job_type = models.JobType.objects.select_for_update().get(pk=obj.job_type_id)
        latest = job_type.versions.order_by("-number").first()
        obj.number = latest.number + 1 if latest else 1
        obj.created_by = person(request)
        obj.job_type = job_type
        super().save_model(request, obj, form, change)
        if form.cleaned_data.get("use_for_new_jobs"):
            job_type.current_version = obj
            job_type.save(update_fields=["current_version"])
            messages.success(request, f"New jobs of {job_type} use version {obj.number} now.")
            warn_about(request, job_type)
            return
        used = job_type.current_version
        kept = f"Its new jobs go on using version {used.number}." if used else "It uses none yet."
        messages.info(request, f"Version {obj.number} of {job_type} is stored. {kept}")

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> Any:
        version = context.get("original")
        if version is None:
            context["begun_from"] = self._begun_from(request)
        if version and may_make_version(request, version.job_type_id):
            add = reverse("admin:jobs_promptversion_add")
            context["new_version_url"] = f"{add}?from={version.pk}"
        return super().render_change_form(request, context, *args, **kwargs)

    def _begun_from(self, request: HttpRequest) -> models.PromptVersion | None:
        """The version whose content a new one begins with."""
        seen = self.get_queryset(request).select_related("job_type")
        asked, named = request.GET.get("from", ""), request.GET.get("job_type", "")
        if asked:
            return seen.filter(pk=asked if asked.isdecimal() else 0).first()
        of_type = seen.filter(job_type=named if named.isdecimal() else 0)
        used = of_type.filter(pk__in=models.JobType.objects.values("current_version"))
        found: models.PromptVersion | None = used.first() or of_type.order_by("-number").first()
        return found

    def _may_use(self, request: HttpRequest) -> bool:
        return person(request).has_perm("jobs.change_jobtype")

    @admin.display(description="Job type")
    def type_link(self, version: models.PromptVersion) -> SafeString:
        return link(version.job_type)

    @admin.display(description="For new jobs", boolean=True)
    def used(self, version: models.PromptVersion) -> bool:
        return version.pk == version.job_type.current_version_id

    @admin.display(description="Instructions")
    def instructions_shown(self, version: models.PromptVersion) -> SafeString:
        return long_text(version.instructions)

    @admin.display(description="Template of the message")
    def template_shown(self, version: models.PromptVersion) -> SafeString:
        return long_text(version.template)

    @admin.display(description="Tools")
    def tools_shown(self, version: models.PromptVersion) -> SafeString:
        return readable(version.tools)

    @admin.display(description="Output schema")
    def output_schema_shown(self, version: models.PromptVersion) -> SafeString:
        return readable(version.output_schema)

    @admin.display(description="Options")
    def options_shown(self, version: models.PromptVersion) -> SafeString:
        return readable(version.options)


def warn_about(request: HttpRequest, job_type: models.JobType) -> None:
    """Say what is odd about a stored type."""
    stored = models.JobType.objects.select_related("current_version__job_type", "workspace")
    for sentence in misgivings(stored.get(pk=job_type.pk)):
        messages.warning(request, sentence)
