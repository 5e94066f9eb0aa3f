"""Views of the inbox, kept under a name."""

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST

from jobs.models import Workspace
from jobs.pages import person
from jobs.text import clean
from reviews import saved
from reviews.models import SavedView
from reviews.views.filters import FilterForm
from reviews.views.inbox import inbox_or_403


@require_POST
def view_save(request: HttpRequest, workspace: str) -> HttpResponse:
    """Keep what the inbox shows under a name, or keep it under the name that it came from."""
    place = inbox_or_403(request, workspace)
    query = _query(request, place)
    if query is None:
        messages.error(request, "A view is saved once its filters can be read.")
        return redirect("reviews:inbox", place.slug)
    try:
        if request.POST.get("view"):
            view = _own(request, place, request.POST["view"])
            saved.change(view, query=query)
        else:
            name = request.POST.get("name", "")
            view = saved.save(person(request), place, name=name, query=query)
        view.query = query
        messages.success(request, f"The view “{view.name}” is saved.")
        return redirect(address(view))
    except saved.NotSaved as error:
        messages.error(request, str(error))
    return redirect(f"{reverse('reviews:inbox', args=[place.slug])}?{query}")


@require_http_methods(["GET", "HEAD", "POST"])
def view_edit(request: HttpRequest, workspace: str, view: int) -> HttpResponse:
    """Another name for a view."""
    found = _own(request, inbox_or_403(request, workspace), view)
    problem = ""
    name = clean(request.POST.get("name", found.name))
    if request.method == "POST":
        try:
            saved.change(found, name=name)
            messages.success(request, f"The view is called “{name.strip()}” now.")
            return redirect(address(found))
        except saved.NotSaved as error:
            problem = str(error)
    context = {"view": found, "name": name, "problem": problem, "back": address(found)}
    return render(request, "reviews/view_edit.html", context, status=422 if problem else 200)


@require_http_methods(["GET", "HEAD", "POST"])
def view_delete(request: HttpRequest, workspace: str, view: int) -> HttpResponse:
    found = _own(request, inbox_or_403(request, workspace), view)
    if request.method == "POST":
        saved.delete(found)
        messages.success(request, f"The view “{found.name}” is deleted. No job has changed.")
        return redirect("reviews:inbox", found.workspace.slug)
    return render(request, "reviews/view_delete.html", {"view": found, "back": address(found)})


def address(view: SavedView) -> str:
    """Where a view is looked at."""
    query = f"{view.query}&view={view.pk}".lstrip("&")
    return f"{reverse('reviews:inbox', args=[view.workspace.slug])}?{query}"


def _query(request: HttpRequest, place: Workspace) -> str | None:
    """What is to be kept, as the inbox would write it; None where it cannot be read."""
    form = FilterForm(QueryDict(clean(request.POST.get("query", ""))[:4_000]), workspace=place)
    return form.query if form.is_valid() else None


def _own(request: HttpRequest, place: Workspace, key: int | str) -> SavedView:
    mine = SavedView.objects.select_related("workspace").filter(
        user=person(request), workspace=place
    )
    text = str(key)
    view = mine.filter(pk=int(text)).first() if text.isdecimal() and len(text) < 19 else None
    if view is None:
        raise Http404("You have no such view.")
    return view
