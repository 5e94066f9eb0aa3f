from django.db import models
from django.db.models import F, Q

from jobs.models.attempts import Attempt
from jobs.models.jobs import Job
from jobs.models.results import Result
from jobs.models.types import PromptVersion
from jobs.models.workspaces import Role, User, Workspace


class GateKind(models.TextChoices):
    BEFORE_RUN = "before_run", "Before it runs"
    TOOL_CALL = "tool_call", "A tool call"
    OUTPUT = "output", "The result"


class Gate(models.Model):
    """A point where a person must decide. Opened and closed by `jobs.lifecycle` only.

    ``reasons`` says why, as ``{"code", "text"}`` rows; ``content_hash`` is what is judged: the
    result's, the calls' with their arguments, or the request's before a run. ``assignee`` is who was
    asked to decide it; ``claimed_by`` has it open until ``claimed_until`` (`reviews.claims`).
    ``workspace`` and ``prompt_version`` repeat the job's: what waits there, and the record of a version,
    are found by an index of them.

    ``level_name``, ``role``, ``approvals`` and the moments are those of the level when the gate came
    to it (`jobs.ladder`): what is configured later holds for later gates. ``watch_at`` is when
    something is next done by itself. Of ``approvals``, ``given`` are there, in this ``ballot``: all
    of the very same thing, which is ``approved_hash``. They are those that counted when the last one
    was given; which count now, `jobs.ballots` says. A new ballot begins when the gate is lifted,
    asks about something else, or somebody approves something else.
    """

    job = models.ForeignKey(Job, models.PROTECT, related_name="gates")
    workspace = models.ForeignKey(
        Workspace, models.PROTECT, related_name="+", editable=False, db_index=False
    )
    attempt = models.ForeignKey(
        Attempt, models.PROTECT, null=True, blank=True, related_name="gates"
    )
    result = models.ForeignKey(Result, models.PROTECT, null=True, blank=True, related_name="gates")
    prompt_version = models.ForeignKey(
        PromptVersion, models.PROTECT, related_name="+", editable=False, db_index=False
    )
    kind = models.CharField(max_length=20, choices=GateKind)
    level = models.PositiveSmallIntegerField(default=1)
    level_name = models.CharField(max_length=60, default="Reviewers")
    role = models.CharField(max_length=20, choices=Role, default=Role.REVIEWER)
    approvals = models.PositiveSmallIntegerField(default=1)
    ballot = models.PositiveSmallIntegerField(default=1)
    given = models.PositiveSmallIntegerField(default=0)
    approved_hash = models.CharField(max_length=64, blank=True)
    reasons = models.JSONField(default=list)
    content_hash = models.CharField(max_length=64)
    opened_at = models.DateTimeField()
    due_at = models.DateTimeField()
    remind_at = models.DateTimeField(null=True, blank=True)
    escalate_at = models.DateTimeField(null=True, blank=True)
    watch_at = models.DateTimeField(null=True, blank=True)
    expires = models.BooleanField(default=False)
    assignee = models.ForeignKey(User, models.PROTECT, null=True, blank=True, related_name="+")
    claimed_by = models.ForeignKey(User, models.PROTECT, null=True, blank=True, related_name="+")
    claimed_at = models.DateTimeField(null=True, blank=True)
    claimed_until = models.DateTimeField(null=True, blank=True)
    closed_at = models.DateTimeField(null=True, blank=True)
    outcome = models.CharField(max_length=30, blank=True)

    class Meta:
        ordering = ["job", "opened_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["job"], condition=Q(closed_at__isnull=True), name="gate_one_open"
            ),
            models.CheckConstraint(
                condition=Q(closed_at__isnull=True, outcome="")
                | (Q(closed_at__isnull=False) & ~Q(outcome="")),
                name="gate_closed_iff_outcome",
            ),
            models.CheckConstraint(condition=~Q(content_hash=""), name="gate_judges_something"),
            models.CheckConstraint(
                condition=Q(kind=GateKind.BEFORE_RUN, result__isnull=True)
                | Q(kind=GateKind.TOOL_CALL, result__isnull=True, attempt__isnull=False)
                | Q(kind=GateKind.OUTPUT, result__isnull=False),
                name="gate_output_has_result",
            ),
            models.CheckConstraint(
                condition=Q(claimed_by=None, claimed_at=None, claimed_until=None)
                | Q(
                    claimed_by__isnull=False,
                    claimed_at__isnull=False,
                    claimed_until__isnull=False,
                ),
                name="gate_claim_whole",
            ),
            models.CheckConstraint(
                condition=Q(role__in=[Role.REVIEWER, Role.LEAD]), name="gate_role_decides"
            ),
            models.CheckConstraint(
                condition=Q(approvals__gte=1, given__lte=F("approvals")),
                name="gate_given_lte_approvals",
            ),
        ]
        indexes = [
            models.Index(
                fields=["due_at"],
                condition=Q(closed_at__isnull=True, expires=True),
                name="gate_expiring",
            ),
            models.Index(
                fields=["due_at", "id"], condition=Q(closed_at__isnull=True), name="gate_due"
            ),
            models.Index(
                fields=["prompt_version", "workspace", "-closed_at", "-id"],
                condition=Q(kind=GateKind.OUTPUT),
                name="gate_record",
            ),
            models.Index(
                fields=["watch_at"],
                condition=Q(closed_at__isnull=True, watch_at__isnull=False),
                name="gate_watched",
            ),
            models.Index(
                fields=["workspace", "due_at", "id"],
                condition=Q(closed_at__isnull=True),
                name="gate_inbox",
            ),
            models.Index(
                fields=["workspace", "opened_at", "id"],
                condition=Q(closed_at__isnull=True),
                name="gate_inbox_opened",
            ),
            models.Index(
                fields=["workspace", "due_at", "id"],
                condition=Q(closed_at__isnull=True, level__gt=1),
                name="gate_escalated",
            ),
            models.Index(
                fields=["assignee"],
                condition=Q(closed_at__isnull=True, assignee__isnull=False),
                name="gate_assigned",
            ),
            models.Index(
                fields=["claimed_by"],
                condition=Q(closed_at__isnull=True, claimed_by__isnull=False),
                name="gate_claimed",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} of {self.job_id}"
