from datetime import datetime
from typing import Self, TypeVar

from django.db import models
from django.db.models import Q

_Row = TypeVar("_Row", bound=models.Model, covariant=True)


class DueQuerySet(models.QuerySet[_Row]):
    def due(self, now: datetime) -> Self:
        """Rows whose next check has come and that nobody holds."""
        return self.filter(next_check_at__lte=now).filter(
            Q(lease_until__isnull=True) | Q(lease_until__lte=now)
        )


class DueRow(models.Model):
    """A row with work to do: ``next_check_at`` says when it is next due, the lease who holds it."""

    next_check_at = models.DateTimeField(null=True, blank=True)
    lease_until = models.DateTimeField(null=True, blank=True)
    lease_token = models.UUIDField(null=True, blank=True)
    failures = models.PositiveIntegerField(default=0, help_text="Failed requests in a row.")
    strikes = models.PositiveSmallIntegerField(
        default=0, help_text="Claims in a row after which nothing was written: their holder died."
    )

    class Meta:
        abstract = True


def lease_is_whole(name: str) -> models.CheckConstraint:
    """A lease has an end and a token, or there is none."""
    return models.CheckConstraint(
        condition=Q(lease_until__isnull=True, lease_token__isnull=True)
        | Q(lease_until__isnull=False, lease_token__isnull=False),
        name=name,
    )


def due_index(name: str) -> models.Index:
    return models.Index(
        fields=["next_check_at"], condition=Q(next_check_at__isnull=False), name=name
    )
