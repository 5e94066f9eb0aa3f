"""Files that wait for their form: checked and kept as they are added, so that nothing is lost when
the form has to be mended, and a submit that is sent twice finds them twice."""

import logging
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.db import transaction
from django.db.models import Sum

from jobs.actions import Submitted, submit
from jobs.documents import Unusable, Upload, check, check_total, megabytes
from jobs.inputs import BadInput, InputProblem, file_count_problems
from jobs.models import Job, JobType, LibraryDocument, StagedUpload, User, Workspace

logger = logging.getLogger(__name__)

KEPT_FOR = timedelta(hours=24)
#: After a submit. Until then the same form, sent again, is known to be the same; and where it was
#: changed meanwhile, its files are still there for another job.
KEPT_AFTER_USE = timedelta(hours=1)
#: Of one person together, those used aside.
MOST_BYTES = 200 * 1024 * 1024
MOST_FILES = 200
#: A file that cannot be deleted is tried again after this.
DELETE_AGAIN_AFTER = timedelta(hours=1)


def stage(
    upload: Upload,
    *,
    owner: User,
    workspace: Workspace,
    job_type: JobType,
    beside: Sequence[StagedUpload] = (),
    now: datetime,
) -> StagedUpload:
    """Check a file by its content and keep it for a form that has those `beside` it already.

    Raises `Unusable`; then nothing is kept.
    """
    name = check(upload)
    if len(beside) >= job_type.max_documents:
        [problem] = file_count_problems(job_type, len(beside) + 1)
        raise Unusable(f"{name} is one too many. {problem.text}")
    size = len(upload.content)
    check_total(size + sum(row.size for row in beside))
    row = StagedUpload(
        owner=owner,
        workspace=workspace,
        job_type=job_type,
        name=name,
        size=size,
        created_at=now,
        expires_at=now + KEPT_FOR,
    )
    with transaction.atomic():
        # Two files that arrive at once are counted one after the other.
        User.objects.select_for_update().get(pk=owner.pk)
        waiting = StagedUpload.objects.filter(owner=owner, used_at=None).kept(now)
        held = waiting.aggregate(bytes=Sum("size", default=0))["bytes"]
        if held + size > MOST_BYTES or waiting.count() >= MOST_FILES:
            raise Unusable(
                f"{name} cannot be added: {megabytes(held)} of your files wait for forms that were "
                f"not submitted. The most is {megabytes(MOST_BYTES)} in {MOST_FILES} files. They are "
                "deleted after a day; remove some, or submit first."
            )
        row.save(force_insert=True)
    try:
        default_storage.save(row.path, ContentFile(upload.content))
    except BaseException:
        row.delete()
        raise
    return row


def remove(row: StagedUpload) -> None:
    default_storage.delete(row.path)
    row.delete()


def submit_staged(
    job_type: JobType,
    *,
    staged: Sequence[StagedUpload],
    requester: User,
    workspace: Workspace,
    input: Mapping[str, Any],
    idempotency_key: str,
    parent: Job | None = None,
    known: Sequence[LibraryDocument] = (),
    now: datetime,
) -> Submitted:
    """`actions.submit` with staged files, which are let go once a job has them, and with copies of
    the `known` documents of the library."""
    submitted = submit(
        job_type,
        requester=requester,
        workspace=workspace,
        input=input,
        uploads=[*map(_read, staged), *map(_copied, known)],
        idempotency_key=idempotency_key,
        parent=parent,
        now=now,
    )
    if submitted.same_request:
        unused = StagedUpload.objects.filter(pk__in=[row.pk for row in staged], used_at=None)
        unused.update(used_at=now, expires_at=now + KEPT_AFTER_USE)
    return submitted


def delete_expired(now: datetime, *, limit: int = 100) -> int:
    """Delete the files that have waited long enough, up to `limit`, and say how many went.

    The file goes first: a crash in between leaves the row, and the next round comes back to it.
    """
    gone: list[UUID] = []
    kept: list[UUID] = []
    for row in StagedUpload.objects.expired(now).order_by("expires_at")[:limit]:
        try:
            default_storage.delete(row.path)
            gone.append(row.pk)
        except Exception:
            logger.exception("the staged upload %s could not be deleted", row.pk)
            kept.append(row.pk)
    StagedUpload.objects.filter(pk__in=kept).update(expires_at=now + DELETE_AGAIN_AFTER)
    StagedUpload.objects.filter(pk__in=gone).delete()
    return len(gone)


def _read(row: StagedUpload) -> Upload:
    try:
        with default_storage.open(row.path) as file:
            return Upload(row.name, file.read())
    except FileNotFoundError:
        text = f"{row.name} is no longer there. Remove it, and add it again."
        raise BadInput([InputProblem("files", text)]) from None


def _copied(document: LibraryDocument) -> Upload:
    try:
        with document.file.open("rb") as file:
            return Upload(document.name, file.read(), library_id=document.pk)
    except FileNotFoundError:
        text = f"The file of {document.ref} ({document.title}) is gone. Leave it out."
        raise BadInput([InputProblem("files", text)]) from None
