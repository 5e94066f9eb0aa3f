from django.core.validators import MinValueValidator
from django.db import models
from django.db.models import Q
from simple_history.models import HistoricalRecords

from jobs.models.gates import Gate
from jobs.models.types import JobType
from jobs.models.workspaces import Role, User

#: Roles that can be asked to decide at a level. A lead may at any.
DECIDING = ((Role.REVIEWER.value, "Reviewers and leads"), (Role.LEAD.value, "Leads"))


class ReviewLevel(models.Model):
    """One rung of a job type's ladder: who decides there, how many of them, and in what time.

    Open gates keep what held when they came to their level. A type without rows has the ladder of
    `jobs.ladder.DEFAULT`.
    """

    job_type = models.ForeignKey(JobType, models.CASCADE, related_name="levels")
    number = models.PositiveSmallIntegerField(
        validators=[MinValueValidator(1)], help_text="From 1, without holes."
    )
    name = models.CharField(max_length=60, help_text="Whom it waits for: Reviewers, Legal …")
    role = models.CharField("decided by", max_length=20, choices=DECIDING, default=Role.REVIEWER)
    approvals = models.PositiveSmallIntegerField(
        default=1,
        validators=[MinValueValidator(1)],
        help_text="How many different people must approve.",
    )
    within = models.PositiveIntegerField(
        null=True,
        blank=True,
        validators=[MinValueValidator(1)],
        help_text="Seconds that they have. Empty: the type's.",
    )

    history = HistoricalRecords()

    class Meta:
        ordering = ["job_type", "number"]
        constraints = [
            models.UniqueConstraint(fields=["job_type", "number"], name="review_level_once"),
            models.CheckConstraint(condition=Q(number__gte=1), name="review_level_from_one"),
            models.CheckConstraint(condition=~Q(name=""), name="review_level_has_name"),
            models.CheckConstraint(
                condition=Q(role__in=[value for value, _label in DECIDING]),
                name="review_level_role_decides",
            ),
            models.CheckConstraint(
                condition=Q(approvals__gte=1), name="review_level_needs_approval"
            ),
            models.CheckConstraint(
                condition=Q(within=None) | Q(within__gte=1), name="review_level_has_time"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.number}. {self.name}"


class Approval(models.Model):
    """One person's approval at a gate, towards the number that its level asks for. Those of one
    ballot are of exactly the same thing, and nobody has two that count among them.

    ``lapsed_*`` is written once the approvals are counted and its giver may not approve any more:
    from then on it never counts again.
    """

    gate = models.ForeignKey(Gate, models.PROTECT, related_name="approved")
    ballot = models.PositiveSmallIntegerField()
    actor = models.ForeignKey(User, models.PROTECT, related_name="+")
    at = models.DateTimeField()
    lapsed_at = models.DateTimeField(null=True, blank=True)
    lapsed_why = models.CharField(max_length=200, blank=True)

    class Meta:
        ordering = ["gate", "id"]
        constraints = [
            models.UniqueConstraint(
                fields=["gate", "ballot", "actor"],
                condition=Q(lapsed_at=None),
                name="approval_counts_once",
            ),
            models.CheckConstraint(
                condition=Q(lapsed_at=None, lapsed_why="")
                | (Q(lapsed_at__isnull=False) & ~Q(lapsed_why="")),
                name="approval_lapsed_at_and_why",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.actor} at {self.gate_id}"
