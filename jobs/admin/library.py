"""The libraries of workspaces, to read; a document is withdrawn here as on its own page."""

from typing import Any, ClassVar

from django.contrib import admin, messages
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.template.defaultfilters import filesizeformat
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from jobs import library
from jobs.access import NotAllowed, NotNow
from jobs.admin.lists import Room, ScopedFilter, person
from jobs.admin.shown import link, long_text
from jobs.ids import read_ref
from jobs.models import LibraryDocument, Workspace


class WithdrawnFilter(admin.SimpleListFilter):
    title = "whether it is withdrawn"
    parameter_name = "withdrawn"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("no", "In the library"), ("yes", "Withdrawn")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if self.value() is None:
            return queryset
        return queryset.filter(withdrawn_at__isnull=self.value() == "no")


@admin.register(LibraryDocument)
class LibraryDocumentAdmin(Room):
    """For those who see every job of its workspace."""

    list_display = ("title", "ref", "workspace", "source", "added_by", "added_at", "withdrawn_at")
    list_filter = (("workspace", ScopedFilter), "source", WithdrawnFilter)
    list_select_related = ("workspace", "added_by")
    search_fields: ClassVar[Any] = ("ref",)
    search_help_text = "The reference of a document (D-7K3M9QX, however it is written)."
    actions = ("withdraw",)
    deferred = ("text",)
    fields = (
        ("workspace", "ref"),
        ("title", "name"),
        ("content_type", "bytes"),
        "sha256",
        ("source", "job_link", "result_link"),
        ("added_by", "added_at"),
        ("withdrawn_by", "withdrawn_at"),
        "text_shown",
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows = super().get_queryset(request)
        if person(request).is_superuser:
            return rows
        theirs = list(Workspace.objects.overseen_by(person(request)).values_list("pk", flat=True))
        return rows.filter(workspace__in=theirs)

    def found(self, queryset: QuerySet[Any], term: str) -> QuerySet[Any]:
        return queryset.filter(Q(ref=read_ref(term, "D")))

    def view_on_site(self, row: LibraryDocument) -> str:
        return row.get_absolute_url()

    @admin.action(description="Withdraw from the library", permissions=["view"])
    def withdraw(self, request: HttpRequest, queryset: QuerySet[LibraryDocument]) -> None:
        """One domain call a row; what it did, skipped, and why."""
        done, skipped = 0, []
        for document in queryset.select_related("workspace", "withdrawn_by"):
            try:
                library.withdraw(document, actor=person(request), now=timezone.now())
                done += 1
            except (NotAllowed, NotNow) as refusal:
                skipped.append(str(refusal))
        if done:
            messages.success(request, f"{done} withdrawn.")
        if skipped:
            reasons = format_html_join("", "<li>{}</li>", ((why,) for why in skipped))
            said = format_html('{} skipped:<ul class="room-skipped">{}</ul>', len(skipped), reasons)
            messages.warning(request, said)

    @admin.display(description="Size")
    def bytes(self, document: LibraryDocument) -> str:
        return filesizeformat(document.size)

    @admin.display(description="Job")
    def job_link(self, document: LibraryDocument) -> SafeString:
        return link(document.job)

    @admin.display(description="Result")
    def result_link(self, document: LibraryDocument) -> SafeString:
        return link(document.result, "Result")

    @admin.display(description="Text that is searched")
    def text_shown(self, document: LibraryDocument) -> SafeString:
        return long_text(document.text)
