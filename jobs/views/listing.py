"""Home, and the list of a workspace's jobs."""

from datetime import date
from uuid import UUID

from django import forms
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db.models import Q
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.views.decorators.http import require_safe
from django.views.decorators.vary import vary_on_headers
from django_htmx.http import HttpResponseClientRedirect

from jobs.access import may_submit
from jobs.listing import Listing, Page, Wanted, Whose, job_named, places
from jobs.models import JobType, Lane, Status, Workspace
from jobs.pages import person, workspace_or_404


@require_safe
def home(request: HttpRequest) -> HttpResponse:
    """The jobs of the person's workspace, or a choice where they have several."""
    held = places(person(request))
    if len(held) == 1:
        return redirect("jobs:job_list", held[0].workspace.slug)
    return render(request, "jobs/home.html", {"places": held})


@require_safe
@vary_on_headers("HX-Request", "HX-Target")
def job_list(request: HttpRequest, workspace: str) -> HttpResponse:
    """The list, or the part of it that changes. A reference alone leads to its job."""
    place, user = workspace_or_404(request, workspace), person(request)
    if job := job_named(user, request.GET.get("q", "")):
        go = HttpResponseClientRedirect if _is_fragment(request) else redirect
        return go(job.get_absolute_url())
    if "" in request.GET.values():
        return redirect(_without_blanks(request))
    form = FilterForm(request.GET, workspace=place)
    listing = Listing(user, place, form.wanted()) if form.is_valid() else None
    page, submits = _page(request, listing) if listing else Page(), may_submit(user, place)
    shown = {
        "workspace": place,
        "form": form,
        "listing": listing,
        "page": page,
        "is_new": listing is not None and listing.is_new(page),
        "may_submit": submits,
        "offers_mine": listing and listing.sees_all and (submits or form["whose"].value()),
        "path": request.get_full_path(),
    }
    return render(request, "jobs/job_list.html" + _part(request), shown)


class FilterForm(forms.Form):
    """What the address asks for. An empty field asks for nothing."""

    q = forms.CharField(
        label="Search",
        required=False,
        max_length=200,
        error_messages={
            "max_length": "A search can have 200 characters at most; this one has %(show_value)d.",
            "null_characters_not_allowed": "NUL characters cannot be searched for.",
        },
        widget=forms.TextInput(attrs={"type": "search", "placeholder": "Reference, title or text"}),
    )
    type = forms.ChoiceField(
        required=False, error_messages={"invalid_choice": "There is no job type “%(value)s” here."}
    )
    lane = forms.ChoiceField(
        required=False,
        choices=[("", "All lanes"), *Lane.choices],
        error_messages={"invalid_choice": "There is no lane “%(value)s”."},
    )
    since = forms.DateField(label="From", required=False)
    until = forms.DateField(label="Until", required=False)
    status = forms.ChoiceField(
        required=False,
        choices=Status.choices,
        widget=forms.HiddenInput,
        error_messages={"invalid_choice": "There is no status “%(value)s”."},
    )
    reason = forms.CharField(required=False, max_length=60, widget=forms.HiddenInput)
    whose = forms.ChoiceField(
        required=False,
        choices=Whose.choices,
        widget=forms.HiddenInput,
        error_messages={"invalid_choice": "Jobs are “mine” or “all”, not “%(value)s”."},
    )
    archived = forms.ChoiceField(
        required=False,
        choices=[("1", "Archived")],
        widget=forms.HiddenInput,
        error_messages={"invalid_choice": "“archived” is 1, or left out; not “%(value)s”."},
    )

    def __init__(self, data: QueryDict, *, workspace: Workspace) -> None:
        super().__init__(data, auto_id="filter-%s", label_suffix="")
        self.types: dict[str, list[JobType]] = {}
        known = JobType.objects.filter(Q(workspace=None) | Q(workspace=workspace))
        for job_type in known.order_by("name"):
            self.types.setdefault(job_type.slug, []).append(job_type)
        named = [(slug, types[0].name) for slug, types in self.types.items()]
        field = self.fields["type"]
        assert isinstance(field, forms.ChoiceField)
        field.choices = [("", "All types"), *named]
        for name in ("since", "until"):
            self.fields[name].widget = forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d")
            self.fields[name].error_messages["invalid"] = "Write a day as 2026-03-31."
            # As far as ids tell the time.
            self.fields[name].validators += [
                MinValueValidator(date(1970, 1, 1), "There were no jobs before 1970."),
                MaxValueValidator(date(2999, 12, 31), "That is too far ahead."),
            ]

    @property
    def more(self) -> list[forms.BoundField]:
        """The fields that are asked for less often."""
        return [self[name] for name in ("lane", "since", "until")]

    def clean(self) -> None:
        since, until = self.cleaned_data.get("since"), self.cleaned_data.get("until")
        if since and until and since > until:
            self.add_error("until", "The last day comes before the first.")

    def wanted(self) -> Wanted:
        said = self.cleaned_data
        return Wanted(
            status=Status(said["status"]) if said["status"] else None,
            types=self.types.get(said["type"], ()),
            lane=Lane(said["lane"]) if said["lane"] else None,
            whose=Whose(said["whose"] or Whose.ALL),
            since=said["since"],
            until=said["until"],
            archived=bool(said["archived"]),
            reason=said["reason"],
            text=said["q"],
        )


def _page(request: HttpRequest, listing: Listing) -> Page:
    """What the cursor points at. One that cannot be read points at the newest."""
    return listing.page(
        before=_cursor(request.GET.get("before")), after=_cursor(request.GET.get("after"))
    )


def _cursor(text: str | None) -> UUID | None:
    try:
        return UUID(text) if text else None
    except ValueError:
        return None


def _without_blanks(request: HttpRequest) -> str:
    """The address without what it asks nothing of: a form sends its empty fields as well."""
    asked = request.GET.copy()
    for name in list(asked):
        asked.setlist(name, [value for value in asked.getlist(name) if value])
    query = asked.urlencode()
    return f"{request.path}?{query}" if query else request.path


def _is_fragment(request: HttpRequest) -> bool:
    return request.headers.get("HX-Request") == "true"


def _part(request: HttpRequest) -> str:
    """The page is renewed by what was clicked, or only its rows, by themselves."""
    if not _is_fragment(request):
        return ""
    return "#rows" if request.headers.get("HX-Target") == "rows" else "#listing"
