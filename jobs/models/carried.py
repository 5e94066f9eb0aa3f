from django.db import models
from django.db.models import Q

from jobs.ids import uuid7
from jobs.models.due import DueQuerySet, DueRow, due_index, lease_is_whole
from jobs.models.jobs import Document, Job


class Carried(models.TextChoices):
    """Where something of ours stands at the provider."""

    WANTED = "wanted", "To be sent"
    SENT = "sent", "On its way"  # it left; no answer is known yet
    INDEXING = "indexing", "Being indexed"  # vector stores only
    HELD = "held", "At OpenAI"
    DELETING = "deleting", "Being deleted"
    GONE = "gone", "Deleted"
    FAILED = "failed", "Failed"


#: What an attempt can still use or wait for.
KEPT = frozenset({Carried.WANTED, Carried.SENT, Carried.INDEXING, Carried.HELD})
#: What is, or may be, at the provider.
AWAY = frozenset({Carried.SENT, Carried.INDEXING, Carried.HELD, Carried.DELETING})


class ProviderFile(DueRow):
    """A document's copy in the provider's file storage, for the jobs whose documents are too large
    to go inline.

    ``keeps_for`` are the seconds after which the provider drops it by itself. The number is drawn
    for each upload, and with name and size it tells an upload whose answer was lost from others.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    document = models.ForeignKey(Document, models.PROTECT, related_name="provider_files")
    job = models.ForeignKey(Job, models.PROTECT, related_name="provider_files")
    purpose = models.CharField(max_length=20)
    state = models.CharField(max_length=20, choices=Carried, default=Carried.WANTED)
    keeps_for = models.PositiveIntegerField()
    file_id = models.CharField(max_length=200, null=True, blank=True, unique=True)
    error_text = models.TextField(blank=True)
    created_at = models.DateTimeField()
    sent_at = models.DateTimeField(null=True, blank=True)
    held_at = models.DateTimeField(null=True, blank=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    gone_at = models.DateTimeField(null=True, blank=True)

    objects = DueQuerySet["ProviderFile"].as_manager()

    class Meta:
        ordering = ["document", "created_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["document"],
                condition=Q(state__in=sorted(KEPT)),
                name="provider_file_one_kept",
            ),
            models.CheckConstraint(
                condition=~Q(state__in=[Carried.HELD, Carried.DELETING])
                | Q(file_id__isnull=False, held_at__isnull=False),
                name="provider_file_held_has_id",
            ),
            models.CheckConstraint(
                condition=~Q(state__in=sorted(AWAY)) | Q(sent_at__isnull=False),
                name="provider_file_was_sent",
            ),
            lease_is_whole("provider_file_lease_until_and_token"),
        ]
        indexes = [due_index("provider_file_due")]

    def __str__(self) -> str:
        return self.file_id or f"upload of {self.document_id}"


class ProviderStore(DueRow):
    """A vector store with all of a job's documents, to be searched by ``file_search``.

    Its id here is in the store's metadata, by which one whose answer was lost is found again.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    job = models.ForeignKey(Job, models.PROTECT, related_name="provider_stores")
    state = models.CharField(max_length=20, choices=Carried, default=Carried.WANTED)
    store_id = models.CharField(max_length=200, null=True, blank=True, unique=True)
    total = models.PositiveIntegerField(default=0)
    indexed = models.PositiveIntegerField(default=0)
    failed = models.PositiveIntegerField(default=0)
    error_text = models.TextField(blank=True)
    created_at = models.DateTimeField()
    sent_at = models.DateTimeField(null=True, blank=True)
    held_at = models.DateTimeField(null=True, blank=True)
    gone_at = models.DateTimeField(null=True, blank=True)

    objects = DueQuerySet["ProviderStore"].as_manager()

    class Meta:
        ordering = ["job", "created_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["job"],
                condition=Q(state__in=sorted(KEPT)),
                name="provider_store_one_kept",
            ),
            models.CheckConstraint(
                condition=~Q(state__in=[Carried.INDEXING, Carried.HELD, Carried.DELETING])
                | Q(store_id__isnull=False),
                name="provider_store_held_has_id",
            ),
            lease_is_whole("provider_store_lease_until_and_token"),
        ]
        indexes = [due_index("provider_store_due")]

    def __str__(self) -> str:
        return self.store_id or f"store of {self.job_id}"
