from typing import Self

from django.db import models
from django.db.models import F, Q
from django.urls import reverse

from jobs.ids import new_ref
from jobs.models.jobs import Job
from jobs.models.results import Result
from jobs.models.workspaces import User, Workspace


class LibrarySource(models.TextChoices):
    UPLOAD = "upload", "Uploaded"
    RESULT = "result", "Kept from a result"


def new_library_ref() -> str:
    return new_ref("D")


class LibraryDocumentQuerySet(models.QuerySet["LibraryDocument"]):
    def held(self) -> Self:
        """Those that are in the library now."""
        return self.filter(withdrawn_at=None)


class LibraryDocument(models.Model):
    """A document of a workspace that any of its jobs may use. Written by `jobs.library`.

    Withdrawn, it is in no list and no search; what used it still leads to it.
    """

    workspace = models.ForeignKey(Workspace, models.PROTECT, related_name="library", db_index=False)
    ref = models.CharField(max_length=12, unique=True, default=new_library_ref, editable=False)
    title = models.CharField(max_length=200)
    name = models.CharField(max_length=255, help_text="The name of its file.")
    content_type = models.CharField(max_length=100)
    size = models.PositiveBigIntegerField(help_text="Bytes.")
    sha256 = models.CharField(max_length=64)
    file = models.FileField(max_length=255)
    text = models.TextField(blank=True)
    source = models.CharField(max_length=20, choices=LibrarySource)
    job = models.ForeignKey(
        Job, models.PROTECT, null=True, blank=True, related_name="kept_documents"
    )
    result = models.ForeignKey(
        Result, models.PROTECT, null=True, blank=True, related_name="kept_documents"
    )
    added_by = models.ForeignKey(User, models.PROTECT, related_name="+")
    added_at = models.DateTimeField()
    withdrawn_at = models.DateTimeField(null=True, blank=True)
    withdrawn_by = models.ForeignKey(User, models.PROTECT, null=True, blank=True, related_name="+")

    objects = LibraryDocumentQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(source=LibrarySource.UPLOAD, job=None, result=None)
                | Q(source=LibrarySource.RESULT, job__isnull=False, result__isnull=False),
                name="library_source_known_and_named",
            ),
            models.CheckConstraint(
                condition=Q(withdrawn_at=None, withdrawn_by=None)
                | Q(withdrawn_at__isnull=False, withdrawn_by__isnull=False),
                name="library_withdrawn_at_and_by",
            ),
            models.UniqueConstraint(
                fields=["workspace", "sha256"],
                condition=Q(withdrawn_at=None),
                name="library_content_once",
            ),
        ]
        indexes = [
            models.Index(fields=["workspace", "-id"], name="library_by_workspace"),
            models.Index(
                fields=["workspace", "-id"],
                condition=Q(withdrawn_at=None),
                name="library_listed",
            ),
        ]

    def __str__(self) -> str:
        return self.title

    def get_absolute_url(self) -> str:
        return reverse("jobs:library_detail", args=[self.workspace.slug, self.ref])


class LibraryPassage(models.Model):
    """A part of a document that a search finds: ``document.text[start:end]``. A document without
    text has one that is empty, so that its title finds it."""

    document = models.ForeignKey(
        LibraryDocument, models.CASCADE, related_name="passages", db_index=False
    )
    position = models.PositiveIntegerField()
    heading = models.CharField(max_length=200, blank=True)
    text = models.TextField(blank=True)
    start = models.PositiveIntegerField()
    end = models.PositiveIntegerField()

    class Meta:
        ordering = ["document_id", "position"]
        constraints = [
            models.UniqueConstraint(fields=["document", "position"], name="library_passage_once"),
            models.CheckConstraint(
                condition=Q(start__lte=F("end")), name="library_passage_start_lte_end"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.document_id} {self.position}"


class LibraryTerm(models.Model):
    """Where a word is in a document, as `jobs.words.index` writes it. Withdrawn documents have
    none."""

    workspace = models.ForeignKey(Workspace, models.PROTECT, related_name="+", db_index=False)
    term = models.CharField(max_length=60)
    document = models.ForeignKey(LibraryDocument, models.CASCADE, related_name="terms")
    places = models.TextField()

    class Meta:
        constraints = [
            # Also the index that a search goes by.
            models.UniqueConstraint(
                fields=["workspace", "term", "document"], name="library_term_once"
            ),
        ]

    def __str__(self) -> str:
        return self.term
