"""The ladder of a job type, edited as a whole on the type's page."""

from typing import Any

from django import forms
from django.contrib import admin
from django.db import transaction
from django.db.models import F
from django.http import HttpRequest

from jobs import models
from jobs.admin.lists import person

#: Where rows wait while they change places.
ASIDE = 10_000


class LevelForm(forms.ModelForm):
    def _get_validation_exclusions(self) -> set[str]:
        # Whether the numbers go together is a matter of all rows, as they will be.
        exclusions: set[str] = super()._get_validation_exclusions()  # type: ignore[misc]
        return exclusions | {"number"}


class LevelFormSet(forms.BaseInlineFormSet):
    """The levels count from 1, without holes; so a level is put between others, taken out or moved
    in one go."""

    def clean(self) -> None:
        super().clean()
        if any(self.errors):
            return
        # Held until it is saved: a row of somebody else's would be left aside.
        models.JobType.objects.select_for_update(no_key=True).filter(pk=self.instance.pk).first()
        known = [form.instance.pk for form in self.initial_forms]
        if (
            models.ReviewLevel.objects.filter(job_type=self.instance.pk)
            .exclude(pk__in=known)
            .exists()
        ):
            raise forms.ValidationError(
                "Somebody else has added a level meanwhile. Open this page again, and change that."
            )
        numbers = sorted(self._numbers().values())
        if numbers != list(range(1, len(numbers) + 1)):
            said = ", ".join(map(str, numbers))
            raise forms.ValidationError(
                f"Levels are numbered from 1, each once and without holes; these are {said}."
            )

    def save(self, commit: bool = True) -> Any:
        rows = models.ReviewLevel.objects.filter(job_type=self.instance)
        with transaction.atomic():
            rows.update(number=F("number") + ASIDE)
            saved = super().save(commit)
            for form, number in self._numbers().items():
                rows.filter(pk=form.instance.pk).update(number=number)
        return saved

    def _numbers(self) -> dict[Any, int]:
        """Of the rows that stay."""
        return {
            form: form.cleaned_data["number"]
            for form in self.forms
            if form.cleaned_data.get("number") is not None and not form.cleaned_data.get("DELETE")
        }


class LevelInline(admin.TabularInline):
    model = models.ReviewLevel
    form = LevelForm
    formset = LevelFormSet
    template = "admin/room/inline_rows.html"
    fields = ("number", "name", "role", "approvals", "within")
    ordering = ("number",)
    extra = 0
    verbose_name = "review level"
    verbose_name_plural = (
        "Review levels. Without any: reviewers decide, and leads after an escalation. Reviews that "
        "are open keep what held when they came to their level"
    )

    def _may_change(self, request: HttpRequest, job_type: Any) -> bool:
        """Whoever changes a type changes its ladder. Which types that is, the page asks."""
        verb = "change" if job_type else "add"
        user = person(request)
        if not user.has_perm(f"jobs.{verb}_jobtype"):
            return False
        theirs = user.is_superuser or job_type is None
        if not theirs:
            configured = models.Workspace.objects.configured_by(user)
            theirs = configured.filter(pk=job_type.workspace_id).exists()
        return theirs

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return person(request).has_perm("jobs.view_jobtype") or self._may_change(request, obj)

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._may_change(request, obj)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._may_change(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._may_change(request, obj)
