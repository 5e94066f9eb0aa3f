"""How a job's documents reach the model.

Few and small ones go inside the request. Larger ones are uploaded first, and named in it. Many are
uploaded, indexed in a vector store and searched. `jobs.copies` sees to it.
"""

import hashlib
from collections.abc import Sequence
from datetime import datetime, timedelta

from django.conf import settings

from jobs.evidence import Warned
from jobs.models import (
    Carriage,
    Carried,
    Carry,
    Document,
    Job,
    JobType,
    ProviderFile,
    ProviderStore,
)

IMAGES = "image/"
#: Days after which the provider drops what is forgotten there.
KEPT_DAYS = 3
#: A copy that the provider drops sooner than this is not relied on.
EXPIRES_SOON = timedelta(hours=1)


class CannotCarry(Exception):
    """A document cannot be put where the model reads it, in a sentence."""


class CannotRead(CannotCarry):
    """Its file could not be opened this time. Storage may come back."""


def way(job_type: JobType, documents: Sequence[tuple[int, str]]) -> Carry:
    """How documents of these sizes in bytes and content types go. Images are never searched."""
    total = sum(size for size, _kind in documents)
    searchable = bool(documents) and not any(kind.startswith(IMAGES) for _size, kind in documents)
    if searchable and job_type.carriage == Carriage.SEARCH:
        return Carry.SEARCH
    if total <= settings.INLINE_BYTES:
        many = len(documents) > settings.FILES_IN_REQUEST
        return Carry.SEARCH if many and searchable else Carry.INLINE
    fits = total <= settings.FILES_BYTES and len(documents) <= settings.FILES_IN_REQUEST
    return Carry.FILES if fits or not searchable else Carry.SEARCH


def stages(carry: Carry) -> int:
    """The stages of a job's life after it was submitted: of the documents, and three more."""
    return {Carry.INLINE: 3, Carry.FILES: 4, Carry.SEARCH: 5}[carry]


def is_ready(job: Job, *, now: datetime) -> bool:
    """Whether the documents are where a request can name them, and stay there for a while: a person
    may have taken days to decide."""
    if job.carry == Carry.INLINE:
        return True
    held = ProviderFile.objects.filter(job=job, state=Carried.HELD)
    if held.filter(expires_at__gt=now + EXPIRES_SOON).count() != job.documents.count():
        return False
    if job.carry == Carry.FILES:
        return True
    stores = ProviderStore.objects.filter(job=job, state=Carried.HELD)
    return stores.filter(held_at__gt=stores_held_since(now)).exists()


def stores_held_since(now: datetime) -> datetime:
    """Stores that were last heard of before this are about to be dropped by the provider."""
    return now + EXPIRES_SOON - timedelta(days=KEPT_DAYS)


def file_ids(job: Job) -> dict[int, str]:
    """The provider's id of each document's copy, by the document's key."""
    held = ProviderFile.objects.filter(job=job, file_id__isnull=False).order_by("created_at")
    return {file.document_id: str(file.file_id) for file in held}


def store_id(job: Job) -> str:
    store = ProviderStore.objects.filter(job=job, state=Carried.HELD).first()
    if store is None or store.store_id is None:
        raise CannotCarry("The documents are no longer indexed at OpenAI.")
    return store.store_id


def warnings(job: Job) -> list[Warned]:
    """What of the documents the model could not read."""
    store = ProviderStore.objects.filter(job=job, failed__gt=0).order_by("-created_at").first()
    if store is None:
        return []
    said = f"{store.failed} of {store.total} documents could not be indexed, so nothing is found in them."
    return [Warned("not_indexed", said)]


def read_document(document: Document) -> bytes:
    """A document's content as the job was given it. Raises `CannotRead` and `CannotCarry`."""
    try:
        with document.file.open("rb") as file:
            content: bytes = file.read()
    except OSError as error:
        why = error.strerror or type(error).__name__
        raise CannotRead(f"The file of {document.name} cannot be read: {why}.") from error
    if hashlib.sha256(content).hexdigest() != document.sha256:
        raise CannotCarry(f"The file of {document.name} is not what the job was given.")
    return content


def purpose(job: Job, document: Document) -> str:
    """What a copy of the document is declared to be for: the provider asks."""
    if document.content_type.startswith(IMAGES):
        return "vision"
    return "assistants" if job.carry == Carry.SEARCH else "user_data"
