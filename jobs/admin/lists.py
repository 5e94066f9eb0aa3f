"""Lists that stay quick however long their tables are, and show nobody what is not theirs to see."""

from contextlib import suppress
from typing import Any, ClassVar, cast
from uuid import UUID

from django.contrib import admin
from django.core.paginator import Page, Paginator
from django.db.models import F, Model, Q, QuerySet
from django.http import HttpRequest
from django.utils.functional import cached_property

from jobs.ids import read_ref
from jobs.models import Job, Turn, User, Workspace
from jobs.text import clean


def person(request: HttpRequest) -> User:
    """Who is logged in: the admin lets nobody else through."""
    return cast(User, request.user)


class CappedPaginator(Paginator):
    """Counts to its cap and no further: the price of a count does not grow with the table.

    `narrow` says again, in a way that an index can answer, what the rows are limited to. Few rows
    are best found by that index and sorted. Many are not: there the newest are near the end of the
    table, and walking back from it finds a page of them at once.
    """

    CAP = 10_000
    narrow = Q()

    @cached_property
    def _seen(self) -> int:
        rows = cast(QuerySet[Model], self.object_list)
        return rows.filter(self.narrow).order_by()[: self.CAP + 1].count()

    @property
    def capped(self) -> bool:
        return self._seen > self.CAP

    @property
    def said(self) -> str:
        return f"{self.CAP:,}+" if self.capped else f"{self.count:,}"

    @cached_property
    def count(self) -> int:
        return min(self._seen, self.CAP)

    def page(self, number: Any) -> Page[Any]:
        if not self.capped:
            self.object_list = cast(QuerySet[Model], self.object_list).filter(self.narrow)
        return super().page(number)


class ScopedFilter(admin.RelatedFieldListFilter):
    """Offers only what the related list shows to this person."""

    def field_choices(self, field: Any, request: HttpRequest, model_admin: Any) -> Any:
        related = model_admin.admin_site.get_model_admin(field.remote_field.model)
        return [(row.pk, str(row)) for row in related.get_queryset(request)]


class SuperusersOnly:
    """Pages that could make somebody more than they are, or that belong to no workspace."""

    def has_module_permission(self, request: HttpRequest) -> bool:
        return person(request).is_superuser

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return person(request).is_superuser

    def has_add_permission(self, request: HttpRequest, *args: Any) -> bool:
        add: bool = super().has_add_permission(request, *args)  # type: ignore[misc]
        return person(request).is_superuser and add

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        change: bool = super().has_change_permission(request, obj)  # type: ignore[misc]
        return person(request).is_superuser and change

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        delete: bool = super().has_delete_permission(request, obj)  # type: ignore[misc]
        return person(request).is_superuser and delete


class FoundByKey:
    def get_object(self, request: HttpRequest, object_id: str, from_field: Any = None) -> Any:
        """An empty ``_to_field`` names none; Django asks the model for a field without a name."""
        return super().get_object(request, object_id, from_field or None)  # type: ignore[misc]


class Dressed(FoundByKey, admin.ModelAdmin):
    """With the admin's own few rules of style; and filtered by what it offers alone. Django lets an
    address ask any column: by a pattern that runs for hours, or for what the page keeps back."""

    class Media:
        css = {"all": ["jobsite/admin-room.css"]}

    #: Fields that pages of ours filter by in their links, without a list to choose from.
    filters_in_links: tuple[str, ...] = ()

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        offered = {_filtered_by(item) for item in self.get_list_filter(request)}
        offered |= set(self.filters_in_links)
        name, _, how = lookup.partition("__")
        plain = how in ("", "exact", "id__exact", "isnull") and "\0" not in value
        return name in offered and plain


class ReadOnly:
    """No adding, changing or deleting: these rows are facts, written by the life cycle."""

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class Room(ReadOnly, Dressed):
    """A list to read. Newest first by primary key, which is also how the rows are indexed."""

    paginator = CappedPaginator
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    list_per_page = 50
    ordering: ClassVar[Any] = ("-id",)
    #: Nobody re-sorts a million rows by a column that has no index.
    sortable_by: ClassVar[Any] = ()
    change_form_template = "admin/room/change_form.html"
    #: Long columns that no list shows.
    deferred: tuple[str, ...] = ()

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows: QuerySet[Any] = super().get_queryset(request)
        return rows.defer(*self.deferred)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """Exact matches alone: Django's own `=` ignores the case, and with it the index."""
        term = clean(search_term.strip())
        return (self.found(queryset, term) if term else queryset), False

    def found(self, queryset: QuerySet[Any], term: str) -> QuerySet[Any]:
        return queryset.none()


class JobRoom(Room):
    """Something of a job, for those who see every job of its workspace."""

    #: The way from this model to its job; "" for the job itself.
    to_job = "job"
    search_fields: ClassVar[Any] = ("pk",)
    search_help_text = "A reference (J-7K3M9QX, however it is written) or a response id (resp_…)."

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows = super().get_queryset(request)
        if person(request).is_superuser:
            return rows
        # The sum keeps the index on workspaces out of it: `CappedPaginator` says when it is used.
        place = F(self._path("workspace_id")) + 0
        theirs: QuerySet[Any] = rows.alias(place=place).filter(place__in=_overseen(request))
        return theirs

    def get_paginator(self, request: HttpRequest, queryset: Any, *args: Any, **kwargs: Any) -> Any:
        paginator: Any = super().get_paginator(request, queryset, *args, **kwargs)
        # The history page pages through the admin's log by it.
        if queryset.model is self.model and not person(request).is_superuser:
            paginator.narrow = Q(**{f"{self._path('workspace_id')}__in": _overseen(request)})
        return paginator

    def found(self, queryset: QuerySet[Any], term: str) -> QuerySet[Any]:
        return queryset.filter(**{f"{self._path('pk')}__in": jobs_named(term)})

    def job_of(self, row: Any) -> Job:
        for step in self.to_job.split("__") if self.to_job else ():
            row = getattr(row, step)
        return cast(Job, row)

    def name_of(self, row: Any) -> str:
        """What the row is called beside the reference of its job."""
        return self.opts.verbose_name.__str__()

    def view_on_site(self, row: Any) -> str:
        return self.job_of(row).get_absolute_url()

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> Any:
        if row := context.get("original"):
            job = self.job_of(row)
            name = self.name_of(row) if self.to_job else ""
            context |= {
                "title": f"{job.ref} · {name or self.opts.verbose_name}",
                "subtitle": None,
                "job": job,
                "part_name": name,
            }
        return super().render_change_form(request, context, *args, **kwargs)

    def _path(self, field: str) -> str:
        return f"{self.to_job}__{field}" if self.to_job else field


class RoomInline(ReadOnly, admin.TabularInline):
    """Parts of what is shown, in a table that links to their own pages."""

    extra = 0
    max_num = 0
    show_change_link = True
    template = "admin/room/table.html"
    deferred: tuple[str, ...] = ()
    related: tuple[str, ...] = ()

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows = super().get_queryset(request).defer(*self.deferred)
        return rows.select_related(*self.related) if self.related else rows


def _filtered_by(item: Any) -> str:
    """The parameter of an entry of `list_filter`."""
    named = getattr(item, "parameter_name", item)
    return str(named[0] if isinstance(named, tuple) else named)


def overseen(request: HttpRequest) -> list[int] | None:
    """The workspaces whose jobs this person sees; None for all."""
    return None if person(request).is_superuser else _overseen(request)


def _overseen(request: HttpRequest) -> list[int]:
    """As numbers: a subquery would hide from the planner that it is often only one."""
    workspaces = Workspace.objects.overseen_by(person(request))
    return list(workspaces.values_list("pk", flat=True))


def jobs_named(term: str) -> list[UUID]:
    """The job of a reference, of one of its responses, or of its id in full."""
    named = Q(ref=read_ref(term))
    with suppress(ValueError):
        named |= Q(pk=UUID(term))
    jobs = Job.objects.filter(named).values_list("pk", flat=True)
    turns = Turn.objects.filter(response_id=term).values_list("attempt__job_id", flat=True)
    return [*jobs, *turns]
