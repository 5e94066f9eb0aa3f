from django.db import models
from django.db.models import Q

from jobs.ids import uuid7
from jobs.models import User
from jobs.models.due import DueQuerySet, DueRow, due_index, lease_is_whole


class LetterKind(models.TextChoices):
    SOON = "soon", "Soon"  # what happened within minutes, bundled
    DIGEST = "digest", "Daily digest"


class LetterEnd(models.TextChoices):
    SENT = "sent", "Sent"
    EMPTY = "empty", "Not needed"  # all of it was read or dealt with before
    NO_ADDRESS = "no_address", "No address"
    GIVEN_UP = "given_up", "Given up"


class Letter(DueRow):
    """An e-mail to one person with the notices that name it. Open until ``sealed_at``: what happens
    until then goes along; after that its id is the message's, however often it is sent."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    person = models.ForeignKey(User, models.CASCADE, related_name="letters")
    kind = models.CharField(max_length=10, choices=LetterKind)
    day = models.DateField(null=True, blank=True, help_text="Of a digest: in the person's zone.")
    created_at = models.DateTimeField()
    sealed_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)
    outcome = models.CharField(max_length=20, choices=LetterEnd, blank=True)
    problem = models.CharField(max_length=300, blank=True)

    objects = DueQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["person", "kind"],
                condition=Q(sealed_at__isnull=True),
                name="letter_one_open",
            ),
            models.UniqueConstraint(
                fields=["person", "day"],
                condition=Q(kind=LetterKind.DIGEST),
                name="digest_of_a_day",
            ),
            models.CheckConstraint(
                condition=Q(kind=LetterKind.DIGEST, day__isnull=False)
                | Q(kind=LetterKind.SOON, day__isnull=True),
                name="letter_digest_has_day",
            ),
            models.CheckConstraint(
                condition=Q(ended_at__isnull=True, outcome="")
                | (Q(ended_at__isnull=False, next_check_at__isnull=True) & ~Q(outcome="")),
                name="letter_ended_iff_outcome",
            ),
            lease_is_whole("letter_lease_whole"),
        ]
        indexes = [
            due_index("letter_due"),
            models.Index(fields=["person", "-ended_at"], name="letter_by_person"),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} to {self.person_id}"
