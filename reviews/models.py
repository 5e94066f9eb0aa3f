from typing import Any

from django.db import models
from django.db.models import F, Q

from jobs.ids import uuid7
from jobs.models import Gate, Job, Role, User


class Ruling(models.TextChoices):
    """What a person can decide."""

    APPROVE = "approve", "Approve"
    REQUEST_CHANGES = "request_changes", "Request changes"
    REJECT = "reject", "Reject"
    RETRY = "retry", "Retry"
    CANCEL = "cancel", "Cancel"
    ESCALATE = "escalate", "Escalate"
    REOPEN = "reopen", "Reopen"
    USE_RESULT = "use_result", "Use the late result"
    SETTLE = "settle", "Settle an unknown submit"
    ARCHIVE = "archive", "Archive"


_DEEDS = {
    Ruling.APPROVE: "Approved",
    Ruling.REQUEST_CHANGES: "Changes requested",
    Ruling.REJECT: "Rejected",
    Ruling.RETRY: "Tried again",
    Ruling.CANCEL: "Canceled",
    Ruling.ESCALATE: "Escalated",
    Ruling.REOPEN: "Reopened",
    Ruling.USE_RESULT: "Late result used",
    Ruling.SETTLE: "Settled",
    Ruling.ARCHIVE: "Archived",
}
#: Rulings after which the gate that they were made at is closed.
CLOSING = frozenset(
    {Ruling.APPROVE, Ruling.REQUEST_CHANGES, Ruling.REJECT, Ruling.RETRY, Ruling.CANCEL}
)


class Decision(models.Model):
    """What a person decided, for good. Append-only.

    ``policy`` is why the gate asked for a person; ``content_hash`` what the person judged.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    job = models.ForeignKey(Job, models.PROTECT, related_name="decisions")
    gate = models.ForeignKey(Gate, models.PROTECT, null=True, blank=True, related_name="decisions")
    ruling = models.CharField(max_length=20, choices=Ruling)
    actor = models.ForeignKey(User, models.PROTECT, related_name="decisions")
    role = models.CharField(max_length=20, choices=Role)
    requester = models.ForeignKey(User, models.PROTECT, related_name="+")
    own_approval = models.BooleanField(default=False, help_text="The job's type allowed it.")
    note = models.TextField(blank=True)
    policy = models.JSONField(default=list)
    content_hash = models.CharField(max_length=64, blank=True)
    level = models.PositiveSmallIntegerField(null=True, blank=True)
    at = models.DateTimeField()

    class Meta:
        ordering = ["job", "id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(ruling__in=Ruling.values), name="decision_ruling_known"
            ),
            models.UniqueConstraint(
                fields=["gate"],
                condition=Q(ruling__in=sorted(CLOSING)),
                name="decision_closes_gate_once",
            ),
            models.CheckConstraint(
                condition=~Q(ruling=Ruling.APPROVE) | (~Q(content_hash="") & Q(gate__isnull=False)),
                name="decision_approval_names_content",
            ),
            models.CheckConstraint(
                condition=~Q(ruling=Ruling.APPROVE)
                | ~Q(actor=F("requester"))
                | Q(own_approval=True),
                name="decision_no_own_approval",
            ),
        ]
        indexes = [models.Index(fields=["actor", "-id"], name="decision_by_actor")]

    def __str__(self) -> str:
        return f"{self.ruling} by {self.actor}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        if not self._state.adding:
            raise TypeError("Decisions are append-only.")
        super().save(*args, **kwargs)

    @property
    def deed(self) -> str:
        """What was done, in a word or two."""
        return _DEEDS[Ruling(self.ruling)]


class ReviewerNote(models.Model):
    """What a reviewer wrote down for colleagues. It decides nothing."""

    job = models.ForeignKey(Job, models.PROTECT, related_name="notes")
    author = models.ForeignKey(User, models.PROTECT, related_name="+")
    text = models.TextField()
    created_at = models.DateTimeField()

    class Meta:
        ordering = ["job", "id"]
        constraints = [models.CheckConstraint(condition=~Q(text=""), name="note_says_something")]

    def __str__(self) -> str:
        return self.text[:60]
