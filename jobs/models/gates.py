from django.db import models
from django.db.models import Q

from jobs.models.attempts import Attempt
from jobs.models.jobs import Job
from jobs.models.results import Result


class GateKind(models.TextChoices):
    BEFORE_RUN = "before_run", "Before it runs"
    OUTPUT = "output", "The result"


class Gate(models.Model):
    """A point where a person must decide. Opened and closed by `jobs.lifecycle` only.

    ``reasons`` says why, as ``{"code", "text"}`` rows; ``content_hash`` is what is judged: the
    result's, or the request's before a run.
    """

    job = models.ForeignKey(Job, models.PROTECT, related_name="gates")
    attempt = models.ForeignKey(
        Attempt, models.PROTECT, null=True, blank=True, related_name="gates"
    )
    result = models.ForeignKey(Result, models.PROTECT, null=True, blank=True, related_name="gates")
    kind = models.CharField(max_length=20, choices=GateKind)
    level = models.PositiveSmallIntegerField(default=1)
    reasons = models.JSONField(default=list)
    content_hash = models.CharField(max_length=64)
    opened_at = models.DateTimeField()
    due_at = models.DateTimeField()
    expires = models.BooleanField(default=False)
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
                | Q(kind=GateKind.OUTPUT, result__isnull=False),
                name="gate_output_has_result",
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
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} of {self.job_id}"
