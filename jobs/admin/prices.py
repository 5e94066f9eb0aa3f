"""The price book: rows that are in effect are read, later ones edited, new ones begun from others."""

from decimal import Decimal
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone

from jobs import models
from jobs.admin.closed import Moment
from jobs.admin.history import WithHistory
from jobs.admin.lists import SuperusersOnly
from jobs.models.prices import IN_EFFECT, Dated
from jobs.pricing import FREE


class WhenFilter(admin.SimpleListFilter):
    title = "whether it counts"
    parameter_name = "counts"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("now", "In effect"), ("later", "In the future"), ("before", "In the past")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        now = timezone.now()
        match self.value():
            case "now":
                return queryset.filter(effective_from__lte=now, superseded=False)
            case "later":
                return queryset.filter(effective_from__gt=now)
            case "before":
                return queryset.filter(effective_from__lte=now, superseded=True)
            case _:
                return queryset


class DatedForm(forms.ModelForm):
    effective_from = forms.SplitDateTimeField(
        label="From",
        required=False,
        widget=Moment,
        help_text="UTC. Work that begins at this moment or later. Empty: from now on.",
    )

    def clean_effective_from(self) -> Any:
        return self.cleaned_data["effective_from"] or timezone.now()


class FeeForm(DatedForm):
    def clean_tool(self) -> str:
        tool: str = self.cleaned_data["tool"].strip().lower()
        if tool in FREE:
            raise forms.ValidationError("It costs nothing by itself: its tokens are in the usage.")
        return tool


class DatedAdmin(SuperusersOnly, WithHistory):
    """What is in effect can be read, and a new row begun from it."""

    change_form_template = "admin/room/price.html"
    actions = None
    begins_with: tuple[str, ...] = ()
    said_new = ""

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows: Any = super().get_queryset(request)
        counted: QuerySet[Any] = rows.with_successor(timezone.now())
        return counted

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_change_permission(request, obj) and not _counts(obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_delete_permission(request, obj) and not _counts(obj)

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        return self._too_late(request, object_id) or super().change_view(
            request, object_id, form_url, extra_context
        )

    def delete_view(
        self, request: HttpRequest, object_id: str, extra_context: Any = None
    ) -> HttpResponse:
        return self._too_late(request, object_id) or super().delete_view(
            request, object_id, extra_context
        )

    def _too_late(self, request: HttpRequest, object_id: str) -> HttpResponse | None:
        """The answer to whoever posts about a row that has come into effect meanwhile."""
        if request.method != "POST" or not super().has_change_permission(request):
            return None
        if not _counts(row := self.get_object(request, object_id)):
            return None
        messages.error(request, IN_EFFECT)
        meta = self.opts
        page = reverse(f"admin:{meta.app_label}_{meta.model_name}_change", args=[row.pk])
        return HttpResponseRedirect(page)

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        """``?from=`` a row, without its moment and its source."""
        asked = request.GET.get("from", "")
        row = self.get_queryset(request).filter(pk=asked if asked.isdecimal() else 0).first()
        if row is None:
            return {}
        return {name: _plain(getattr(row, name)) for name in self.begins_with}

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> Any:
        row = context.get("original")
        context["said_new"] = self.said_new
        if row and self.has_add_permission(request):
            meta = self.opts
            add = reverse(f"admin:{meta.app_label}_{meta.model_name}_add")
            context["new_url"] = f"{add}?from={row.pk}"
        if row and _counts(row):
            context["in_effect"] = IN_EFFECT
        return super().render_change_form(request, context, *args, **kwargs)

    @admin.display(description="Counts")
    def counts(self, row: Any) -> str:
        if not _counts(row):
            return "in the future"
        return "no longer" if row.superseded else "in effect"


@admin.register(models.Price)
class PriceAdmin(DatedAdmin):
    form = DatedForm
    said_new = "New price from …"
    list_display = (
        "model",
        "tier",
        "input_usd",
        "cached_usd",
        "write_usd",
        "output_usd",
        "long",
        "effective_from",
        "counts",
    )
    list_filter = (WhenFilter, "tier", "model")
    search_fields = ("model",)
    search_help_text = "Part of a model's name."
    list_per_page = 100
    begins_with = (
        "model",
        "tier",
        "input",
        "cached_input",
        "cache_write",
        "output",
        "long_context_above",
        "long_input_multiplier",
        "long_output_multiplier",
        "batch_multiplier",
    )
    fieldsets = (
        (None, {"fields": (("model", "tier"), "effective_from", "source")}),
        (
            "US dollars for a million tokens",
            {
                "fields": (("input", "output"), ("cached_input", "cache_write")),
                "description": "Empty means that it is not known: work that uses it is of unknown "
                "cost. What costs nothing is 0.",
            },
        ),
        (
            "Long context and batch",
            {
                "fields": (
                    "long_context_above",
                    ("long_input_multiplier", "long_output_multiplier"),
                    "batch_multiplier",
                )
            },
        ),
    )

    @admin.display(description="Input", ordering="input")
    def input_usd(self, price: models.Price) -> str:
        return _usd(price.input)

    @admin.display(description="Cached")
    def cached_usd(self, price: models.Price) -> str:
        return _usd(price.cached_input)

    @admin.display(description="Cache write")
    def write_usd(self, price: models.Price) -> str:
        return _usd(price.cache_write)

    @admin.display(description="Output", ordering="output")
    def output_usd(self, price: models.Price) -> str:
        return _usd(price.output)

    @admin.display(description="Long context")
    def long(self, price: models.Price) -> str:
        if price.long_context_above is None:
            return "–"
        asked, answered = _plain(price.long_input_multiplier), _plain(price.long_output_multiplier)
        return f"above {price.long_context_above:,}: × {asked} in, × {answered} out"


@admin.register(models.ToolFee)
class ToolFeeAdmin(DatedAdmin):
    form = FeeForm
    said_new = "New fee from …"
    list_display = ("tool", "with_model", "fee", "effective_from", "counts")
    list_filter = (WhenFilter, "tool")
    begins_with = ("tool", "model", "usd")
    fields = ("tool", "model", "usd", "effective_from", "source")

    @admin.display(description="With model")
    def with_model(self, fee: models.ToolFee) -> str:
        return fee.model or "every model"

    @admin.display(description="Fee of a call")
    def fee(self, fee: models.ToolFee) -> str:
        return _usd(fee.usd)


def _counts(row: Any) -> bool:
    """Whether the row, if it is one, is in effect."""
    return isinstance(row, Dated) and row.is_in_effect(timezone.now())


def _usd(amount: Decimal | None) -> str:
    return "unknown" if amount is None else f"${_plain(amount)}"


def _plain(value: Any) -> Any:
    """A number without the zeros at its end."""
    return f"{value.normalize():f}" if isinstance(value, Decimal) else value
