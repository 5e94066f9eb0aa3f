from collections.abc import Mapping
from typing import Any

from django.db import models
from django.db.models import F, Q

from jobs.ids import uuid7
from jobs.models import Gate, Job, ResultEdit, Role, User, Workspace
from reviews.models.reasons import ReasonCode


class Ruling(models.TextChoices):
    """What a person can decide."""

    APPROVE = "approve", "Approve"
    REQUEST_CHANGES = "request_changes", "Request changes"
    REFUSE = "refuse", "Refuse"
    REJECT = "reject", "Reject"
    RETRY = "retry", "Retry"
    CANCEL = "cancel", "Cancel"
    ESCALATE = "escalate", "Escalate"
    REASSIGN = "reassign", "Reassign"
    REOPEN = "reopen", "Reopen"
    USE_RESULT = "use_result", "Use the late result"
    SETTLE = "settle", "Settle an unknown submit"
    ARCHIVE = "archive", "Archive"


_DEEDS = {
    Ruling.APPROVE: "Approved",
    Ruling.REQUEST_CHANGES: "Changes requested",
    Ruling.REFUSE: "Tool call refused",
    Ruling.REJECT: "Rejected",
    Ruling.RETRY: "Tried again",
    Ruling.CANCEL: "Canceled",
    Ruling.ESCALATE: "Escalated",
    Ruling.REASSIGN: "Reassigned",
    Ruling.REOPEN: "Reopened",
    Ruling.USE_RESULT: "Late result used",
    Ruling.SETTLE: "Settled",
    Ruling.ARCHIVE: "Archived",
}
#: Rulings after which the gate that they were made at is closed; an approval, where it is the last
#: that is needed (`Decision.closes`).
CLOSING = frozenset(
    {
        Ruling.APPROVE,
        Ruling.REQUEST_CHANGES,
        Ruling.REFUSE,
        Ruling.REJECT,
        Ruling.RETRY,
        Ruling.CANCEL,
    }
)


_CONTENT = (
    ReasonCode.WRONG,
    ReasonCode.UNSUPPORTED,
    ReasonCode.INCOMPLETE,
    ReasonCode.FORM,
    ReasonCode.UNSAFE,
    ReasonCode.OTHER,
)

#: The reasons that a ruling can be given, in the order in which they are offered. Those that are
#: not here are given none.
REASONS: Mapping[Ruling, tuple[ReasonCode, ...]] = {
    Ruling.REQUEST_CHANGES: _CONTENT,
    Ruling.REJECT: _CONTENT,
    Ruling.REOPEN: _CONTENT,
    Ruling.RETRY: _CONTENT,
    Ruling.REFUSE: (
        ReasonCode.WRONG,
        ReasonCode.NOT_NEEDED,
        ReasonCode.UNSAFE,
        ReasonCode.OTHER,
    ),
    Ruling.ESCALATE: (
        ReasonCode.BEYOND_AUTHORITY,
        ReasonCode.NEEDS_EXPERT,
        ReasonCode.CONFLICT,
        ReasonCode.OTHER,
    ),
    Ruling.CANCEL: (ReasonCode.NOT_NEEDED, ReasonCode.UNSAFE, ReasonCode.OTHER),
}


class Decision(models.Model):
    """What a person decided, for good. Append-only.

    ``policy`` is why the gate asked for a person; ``content_hash`` what the person judged; ``data``
    what was decided in particular: of each tool call, whether it runs and with what; of a review
    that was reassigned, ``from`` whom ``to`` whom. ``edit`` is the version that was approved, where a
    reviewer had edited it; ``seconds`` how long the page was in sight, where that is known.
    ``partial`` is an approval that others must join before anything happens.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    job = models.ForeignKey(Job, models.PROTECT, related_name="decisions")
    workspace = models.ForeignKey(
        Workspace, models.PROTECT, related_name="+", editable=False, db_index=False
    )
    gate = models.ForeignKey(Gate, models.PROTECT, null=True, blank=True, related_name="decisions")
    ruling = models.CharField(max_length=20, choices=Ruling)
    actor = models.ForeignKey(User, models.PROTECT, related_name="decisions")
    role = models.CharField(max_length=20, choices=Role)
    requester = models.ForeignKey(User, models.PROTECT, related_name="+")
    own_approval = models.BooleanField(default=False, help_text="The job's type allowed it.")
    reason_code = models.CharField(max_length=30, choices=ReasonCode, blank=True)
    note = models.TextField(blank=True)
    policy = models.JSONField(default=list)
    content_hash = models.CharField(max_length=64, blank=True)
    data = models.JSONField(default=dict, blank=True)
    edit = models.ForeignKey(
        ResultEdit, models.PROTECT, null=True, blank=True, related_name="decisions"
    )
    level = models.PositiveSmallIntegerField(null=True, blank=True)
    partial = models.BooleanField(default=False, help_text="Others had to approve as well.")
    seconds = models.PositiveIntegerField(null=True, blank=True)
    at = models.DateTimeField()

    class Meta:
        ordering = ["job", "id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(ruling__in=Ruling.values), name="decision_ruling_known"
            ),
            models.UniqueConstraint(
                fields=["gate"],
                condition=Q(ruling__in=sorted(CLOSING), partial=False),
                name="decision_closes_gate_once",
            ),
            models.CheckConstraint(
                condition=Q(partial=False) | Q(ruling=Ruling.APPROVE),
                name="decision_only_approvals_are_partial",
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
            models.CheckConstraint(
                condition=Q(reason_code="") | Q(reason_code__in=ReasonCode.values),
                name="decision_reason_known",
            ),
            models.CheckConstraint(
                condition=Q(edit=None) | Q(ruling=Ruling.APPROVE), name="decision_edit_is_approved"
            ),
        ]
        indexes = [
            models.Index(fields=["actor", "-id"], name="decision_by_actor"),
            # The job's own, so that the history of one workspace walks past no other's.
            models.Index(fields=["workspace", "-id"], name="decision_by_workspace"),
        ]

    def __str__(self) -> str:
        return f"{self.ruling} by {self.actor}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        if not self._state.adding:
            raise TypeError("Decisions are append-only.")
        super().save(*args, **kwargs)

    @property
    def closes(self) -> bool:
        """Whether the gate was closed by it."""
        return self.ruling in CLOSING and not self.partial

    @property
    def deed(self) -> str:
        """What was done, in a word or two."""
        if self.partial:
            return "Approved, with others to come"
        if self.ruling == Ruling.REASSIGN:
            return f"Reassigned to {self.data.get('to') or 'nobody in particular'}"
        if self.data.get("edited"):
            return "Approved with edits"
        return _DEEDS[Ruling(self.ruling)]
