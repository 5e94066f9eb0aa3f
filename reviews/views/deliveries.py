"""What left the building, and what operators do with what did not arrive."""

from uuid import UUID

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_POST, require_safe

from jobs.access import NotAllowed, NotNow
from jobs.models import Workspace
from jobs.pages import person, workspace_or_404
from reviews import deadletters, dispatch
from reviews.models import Delivery, Endpoint


@require_safe
def deliveries(request: HttpRequest, workspace: str) -> HttpResponse:
    """What was sent where, by how that went."""
    found = _workspace(request, workspace)
    context = {
        "workspace": found,
        "page": dispatch.page(
            found, request.GET.get("show", ""), before=request.GET.get("before", "")
        ),
        "failing": dispatch.failing(found),
        "mends": deadletters.may_mend(person(request), found),
    }
    return render(request, "reviews/deliveries.html", context)


@require_POST
def delivery_retry(request: HttpRequest, workspace: str, delivery: UUID) -> HttpResponse:
    return _mend(request, workspace, delivery, retry=True)


@require_POST
def delivery_drop(request: HttpRequest, workspace: str, delivery: UUID) -> HttpResponse:
    return _mend(request, workspace, delivery, retry=False)


@require_POST
def endpoint_retry(request: HttpRequest, workspace: str, endpoint: UUID) -> HttpResponse:
    """Retry what was not delivered to an endpoint, all of it."""
    found = _workspace(request, workspace)
    row = Endpoint.objects.filter(pk=endpoint, workspace=found).first()
    if row is None:
        raise Http404("There is no such endpoint here.")
    reason = request.POST.get("reason", "")
    try:
        done = deadletters.retry_all(row, actor=person(request), reason=reason, now=timezone.now())
    except NotAllowed as error:
        raise PermissionDenied(str(error)) from error
    except deadletters.ReasonMissing as error:
        messages.warning(request, str(error))
        return _back(request, found)
    messages.success(request, f"{done.number} of {row} are tried again.")
    for why in done.skipped[:5]:
        messages.warning(request, why)
    return _back(request, found)


def _mend(request: HttpRequest, workspace: str, pk: UUID, *, retry: bool) -> HttpResponse:
    found = _workspace(request, workspace)
    if not Delivery.objects.of(found).filter(pk=pk).exists():
        raise Http404("There is no such delivery here.")
    verb = deadletters.retry if retry else deadletters.drop
    reason = request.POST.get("reason", "")
    try:
        verb(pk, actor=person(request), reason=reason, now=timezone.now())
        messages.success(request, "It is tried again now." if retry else "Dropped.")
    except NotAllowed as error:
        raise PermissionDenied(str(error)) from error
    except (NotNow, deadletters.ReasonMissing) as error:
        messages.warning(request, str(error))
    return _back(request, found)


def _workspace(request: HttpRequest, slug: str) -> Workspace:
    found = workspace_or_404(request, slug)
    if not deadletters.may_see(person(request), found):
        raise PermissionDenied("Where results go is for operators, leads, auditors and admins.")
    return found


def _back(request: HttpRequest, workspace: Workspace) -> HttpResponse:
    shown = request.POST.get("show", "")
    known = shown if shown in {tab.slug for tab in dispatch.TABS} else "dead"
    response = redirect("reviews:deliveries", workspace=workspace.slug)
    response["Location"] += f"?show={known}"
    return response
