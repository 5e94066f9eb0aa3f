"""What every page asks for first: whose workspace, and whose job. A stranger's is not there."""

from typing import cast

from django.http import Http404, HttpRequest

from jobs.access import Action, allowed_actions, roles_of
from jobs.ids import read_ref
from jobs.models import Job, User, Workspace


def person(request: HttpRequest) -> User:
    """Who is logged in. Only for views that are behind the log-in."""
    return cast(User, request.user)


def workspace_or_404(request: HttpRequest, slug: str) -> Workspace:
    """The workspace, for a member. The page belongs to it from here on."""
    workspace = Workspace.objects.filter(slug=slug).first()
    if workspace is None or not roles_of(person(request), workspace):
        raise Http404(f"There is no workspace {slug} that you may see.")
    request.workspace = workspace  # type: ignore[attr-defined]
    return workspace


def job_or_404(request: HttpRequest, ref: str) -> Job:
    """The job with what pages show of it, for whoever may see it. The page belongs to its
    workspace from here on."""
    job = (
        Job.objects.select_related(
            "workspace",
            "job_type",
            "prompt_version",
            "requester",
            "open_gate__result",
            "cancel_requested_by",
            "archived_by",
            "parent",
        )
        .filter(ref=read_ref(ref))
        .first()
    )
    if job is None or not allowed_actions(person(request), job)[Action.VIEW].allowed:
        raise Http404(f"There is no job {ref} that you may see.")
    request.workspace = job.workspace  # type: ignore[attr-defined]
    return job
