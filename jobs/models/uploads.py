from collections.abc import Iterable
from datetime import datetime
from typing import Self
from uuid import UUID

from django.db import models

from jobs.ids import uuid7
from jobs.models.types import JobType
from jobs.models.workspaces import User, Workspace


class StagedUploadQuerySet(models.QuerySet["StagedUpload"]):
    def of(self, owner: User, *, workspace: Workspace, job_type: JobType) -> Self:
        """Those that this person may use or remove, for a job of this type in this workspace."""
        return self.filter(owner=owner, workspace=workspace, job_type=job_type)

    def kept(self, now: datetime) -> Self:
        return self.filter(expires_at__gt=now)

    def expired(self, now: datetime) -> Self:
        return self.filter(expires_at__lte=now)

    def named(self, ids: Iterable[UUID]) -> list["StagedUpload"]:
        """Those of `ids` that are among these, in the order of `ids` and each once."""
        rows = self.in_bulk(list(ids))
        return [rows[id] for id in dict.fromkeys(ids) if id in rows]


class StagedUpload(models.Model):
    """A file that was checked and waits for the form it belongs to. Written by `jobs.uploads`.

    The row is there before its file and goes after it. What it belongs to may be deleted; the row
    stays even then, until its file has been deleted by age.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    owner = models.ForeignKey(User, models.SET_NULL, null=True, related_name="staged_uploads")
    workspace = models.ForeignKey(Workspace, models.SET_NULL, null=True, related_name="+")
    job_type = models.ForeignKey(JobType, models.SET_NULL, null=True, related_name="+")
    name = models.CharField(max_length=255)
    size = models.PositiveBigIntegerField(help_text="Bytes.")
    created_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True, blank=True)
    expires_at = models.DateTimeField(db_index=True)

    objects = StagedUploadQuerySet.as_manager()

    def __str__(self) -> str:
        return self.name

    @property
    def path(self) -> str:
        """Where its file is in the default storage."""
        return f"staged/{self.pk}"
