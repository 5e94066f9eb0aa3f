"""Asking for a job: which types there are, the form of one, and files that are added to it."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.core.files.uploadedfile import UploadedFile
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.shortcuts import get_object_or_404, render
from django.template.defaultfilters import filesizeformat
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from jobs import forecast, library, tools, uploads
from jobs.access import may_submit
from jobs.documents import Unusable, Upload
from jobs.forms import InputForm
from jobs.ids import read_ref
from jobs.inputs import BadInput, file_count, file_count_problems
from jobs.models import (
    Job,
    JobType,
    Lane,
    LibraryDocument,
    Review,
    StagedUpload,
    User,
    Workspace,
)
from jobs.pages import job_or_404, person, workspace_or_404
from jobs.text import clean, clipped

LOST_FILES = (
    "Some files that you added are no longer kept: they are deleted after a day. Add them again."
)


LOST_DOCUMENTS = "A document that you chose is no longer in the library. Look at the others again."


@require_safe
def type_list(request: HttpRequest, workspace: str) -> HttpResponse:
    """What can be asked for here, for every member; whoever may not ask is told so."""
    here = workspace_or_404(request, workspace)
    types = JobType.objects.of(here).offered().order_by("name")
    shown = {
        "workspace": here,
        "cards": [_about(job_type) for job_type in types],
        "may_submit": may_submit(person(request), here),
    }
    return render(request, "jobs/type_list.html", shown)


@require_http_methods(["GET", "HEAD", "POST"])
def job_submit(request: HttpRequest, workspace: str, type: str) -> HttpResponse:
    """The form of a job type, empty or with the input of the job ``?from=``; by POST, the job."""
    asking = _asking(request, workspace, type)
    if request.method == "POST":
        return _submit(request, asking)
    if not asking.job_type.is_open:
        shown = {"workspace": asking.workspace, "job_type": asking.job_type}
        return render(request, "jobs/type_closed.html", shown)
    ref = request.GET.get("from", "")
    parent = job_or_404(request, ref) if ref else None
    request.workspace = asking.workspace  # type: ignore[attr-defined]
    form = InputForm(asking.job_type, before=parent.input if parent else None)
    return _page(request, asking, form, parent=parent, choice=_choice(request, asking, parent))


@require_POST
def upload_create(request: HttpRequest, workspace: str, type: str) -> HttpResponse:
    """Keep one file for a form that is open: 201, or 422 with the ``error`` in a sentence."""
    asking = _asking(request, workspace, type)
    file = request.FILES.get("file")
    if file is None:
        return JsonResponse({"error": "No file came with the request."}, status=400)
    try:
        row = _stage(file, asking, beside=_staged(request, asking))
    except Unusable as error:
        return JsonResponse({"error": str(error)}, status=422)
    said = {"id": row.pk, "name": row.name, "size": filesizeformat(row.size)}
    return JsonResponse(said, status=201)


@require_POST
def upload_remove(
    request: HttpRequest, workspace: str, type: str, upload: uuid.UUID
) -> HttpResponse:
    """Forget a file of one's own that was added to a form."""
    here = workspace_or_404(request, workspace)
    job_type = get_object_or_404(JobType.objects.of(here), slug=type)
    mine = StagedUpload.objects.of(person(request), workspace=here, job_type=job_type)
    uploads.remove(get_object_or_404(mine, pk=upload))
    return HttpResponse(status=204)


@dataclass(frozen=True)
class _Asking:
    """Who asks, and for what, where."""

    user: User
    workspace: Workspace
    job_type: JobType


def _asking(request: HttpRequest, workspace: str, slug: str) -> _Asking:
    """404 for strangers and unknown types, 403 for members who may not submit."""
    here = workspace_or_404(request, workspace)
    if not may_submit(person(request), here):
        raise PermissionDenied
    types = JobType.objects.of(here).filter(follows=False).select_related("current_version")
    return _Asking(person(request), here, get_object_or_404(types, slug=slug))


@dataclass(frozen=True)
class _Choice:
    """What a form takes from the library. `others` are offered besides the `chosen`; `searching`
    says that the form was sent to look for others, and not to be submitted."""

    chosen: Sequence[LibraryDocument]
    others: Sequence[LibraryDocument]
    query: str
    searching: bool
    problems: Sequence[str]


def _choice(request: HttpRequest, asking: _Asking, parent: Job | None = None) -> _Choice:
    """A type that takes no files is offered none. A form that begins from `parent` takes what that
    job took."""
    post, here = request.POST, asking.workspace
    if not asking.job_type.max_documents:
        return _Choice((), (), "", searching=False, problems=())
    refs = post.getlist("library")
    if parent:
        taken = parent.documents.filter(library_document__isnull=False)
        refs = list(taken.values_list("library_document__ref", flat=True))
    chosen = library.named(here, refs)
    query = clipped(clean(post.get("find", "")), 200)
    # The key Enter sends the form as well, by whichever button: what was typed says what is meant.
    searching = "look" in post or query != post.get("found", "")
    others = [row for row in library.offered(here, query) if row not in chosen]
    problems = [LOST_DOCUMENTS] if len(chosen) < len(set(refs)) else []
    return _Choice(chosen, others, query, searching=searching, problems=problems)


def _submit(request: HttpRequest, asking: _Asking) -> HttpResponse:
    key = str(_read_uuid(request.POST.get("key", "")) or uuid.uuid4())
    form = InputForm(asking.job_type, request.POST)
    staged, problems = _take_files(request, asking)
    choice = _choice(request, asking)
    parents = Job.objects.visible_to(asking.user)
    parent = parents.filter(ref=read_ref(request.POST.get("from", ""))).first()
    page: dict[str, Any] = {"staged": staged, "parent": parent, "key": key, "choice": choice}
    if choice.searching:
        # Only to look further: nothing is judged yet but the files that were sent along.
        form.errors.clear()
        form.file_problems = problems
        return _page(request, asking, form, **page)
    count = file_count_problems(asking.job_type, len(staged) + len(choice.chosen))
    form.file_problems = [*problems, *choice.problems] or [problem.text for problem in count]
    if not form.is_valid() or form.file_problems:
        return _page(request, asking, form, status=422, **page)
    try:
        submitted = uploads.submit_staged(
            asking.job_type,
            staged=staged,
            requester=asking.user,
            workspace=asking.workspace,
            input=form.input,
            idempotency_key=key,
            parent=parent,
            known=choice.chosen,
            now=timezone.now(),
        )
    except BadInput as error:
        form.file_problems = [p.text for p in error.problems if p.field == "files"]
        form.refuse(p for p in error.problems if p.field != "files")
        return _page(request, asking, form, status=422, **page)
    if not submitted.same_request:
        page |= {"key": "", "known": submitted.job}
        return _page(request, asking, form, status=409, **page)
    messages.success(request, f"Submitted as {submitted.job.ref}.")
    return HttpResponseRedirect(submitted.job.get_absolute_url(), status=303)


def _page(
    request: HttpRequest,
    asking: _Asking,
    form: InputForm,
    *,
    status: int = 200,
    staged: Sequence[StagedUpload] = (),
    parent: Job | None = None,
    key: str = "",
    known: Job | None = None,
    choice: _Choice | None = None,
) -> HttpResponse:
    """The form, with all that was typed and added. Its `key` lets it make one job however often it
    is sent; `known` is the job that it made with another input."""
    shown = {
        **_about(asking.job_type),
        "workspace": asking.workspace,
        "most_bytes": settings.MAX_DOCUMENT_BYTES,
        "most_together": settings.MAX_DOCUMENTS_BYTES,
        "form": form,
        "staged": staged,
        "parent": parent,
        "key": key or uuid.uuid4(),
        "known": known,
        "choice": choice or _choice(request, asking),
    }
    return render(request, "jobs/job_submit.html", shown, status=status)


def _about(job_type: JobType) -> dict[str, Any]:
    """What is said of a type before one asks for it."""
    least, most = job_type.min_documents, job_type.max_documents
    files = [file_count(least, most)] if most else []
    questions = InputForm(job_type).questions.values()
    return {
        "job_type": job_type,
        "promise": Lane(job_type.lane).promise,
        "review": _review(job_type),
        "typical": forecast.typical(job_type.pk),
        "cost": forecast.usual_cost(job_type.pk),
        "files": file_count(least, most),
        "gives": [*(files if least else []), *(q.label for q in questions if q.must)],
        "may_give": [*([] if least else files), *(q.label for q in questions if not q.must)],
    }


def _review(job_type: JobType) -> str:
    """What a person sees first."""
    said, version = Review(job_type.review).promise, job_type.current_version
    if version and tools.may_change(version.tools):
        return f"What it wants to send or change waits for a reviewer's approval. {said}"
    return said


def _take_files(request: HttpRequest, asking: _Asking) -> tuple[list[StagedUpload], list[str]]:
    """The files of a form, those that come along with it staged too; and what is wrong."""
    staged = _staged(request, asking)
    named = set(request.POST.getlist("upload"))
    problems = [] if len(staged) == len(named) else [LOST_FILES]
    for file in request.FILES.getlist("files"):
        try:
            staged.append(_stage(file, asking, beside=staged))
        except Unusable as error:
            problems.append(str(error))
    return staged, problems


def _stage(
    file: "UploadedFile[Any]", asking: _Asking, *, beside: Sequence[StagedUpload]
) -> StagedUpload:
    return uploads.stage(
        Upload(file.name or "", file.read()),
        owner=asking.user,
        workspace=asking.workspace,
        job_type=asking.job_type,
        beside=beside,
        now=timezone.now(),
    )


def _staged(request: HttpRequest, asking: _Asking) -> list[StagedUpload]:
    """The person's files that the form names, as it names them."""
    mine = StagedUpload.objects.of(
        asking.user, workspace=asking.workspace, job_type=asking.job_type
    )
    return mine.kept(timezone.now()).named(_ids(request))


def _ids(request: HttpRequest) -> list[uuid.UUID]:
    return [id for id in map(_read_uuid, request.POST.getlist("upload")) if id]


def _read_uuid(text: str) -> uuid.UUID | None:
    try:
        return uuid.UUID(text)
    except ValueError:
        return None
