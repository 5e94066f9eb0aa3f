from django.db import models
from django.db.models import Q

from jobs.ids import uuid7
from jobs.models.attempts import Turn
from jobs.models.due import DueQuerySet, DueRow, due_index, lease_is_whole


class CallKind(models.TextChoices):
    FUNCTION = "function", "Function"  # one of Jobsite's own tools runs here
    MCP = "mcp", "MCP approval"  # the provider runs it at a server, once it is approved


class CallEffect(models.TextChoices):
    READ = "read", "Reads"
    WRITE = "write", "Changes something"
    NONE = "none", "Is not offered"


class CallState(models.TextChoices):
    WAITING = "waiting", "Waits for a person"
    READY = "ready", "About to run"
    RUNNING = "running", "Running"
    ANSWERED = "answered", "Answered"


class CallOutcome(models.TextChoices):
    DONE = "done", "Done"
    APPROVED = "approved", "Approved"  # an MCP call: the provider runs it
    REFUSED = "refused", "Refused"
    INVALID = "invalid", "Not run: wrong arguments"
    NOT_OFFERED = "not_offered", "Not run: not offered"
    OVER_LIMIT = "over_limit", "Not run: too many calls"
    FAILED = "failed", "Failed"
    TIMED_OUT = "timed_out", "Took too long"
    INTERRUPTED = "interrupted", "Interrupted: it may have taken effect"


#: What comes after a run, or may have been one.
RAN = frozenset(
    {
        CallOutcome.DONE,
        CallOutcome.FAILED,
        CallOutcome.TIMED_OUT,
        CallOutcome.INTERRUPTED,
    }
)


class FunctionCall(DueRow):
    """A call that a response asked for and that is answered here: at most once, for good.

    ``arguments`` is the JSON text as it came; ``edited_arguments`` what a reviewer made of it, or "".
    ``approved_hash`` covers the name and the arguments that a person approved: a call that
    changes something runs with nothing else.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    turn = models.ForeignKey(Turn, models.PROTECT, related_name="function_calls")
    position = models.PositiveSmallIntegerField()
    call_id = models.CharField(max_length=200)
    item_type = models.CharField(max_length=60, help_text="Of the item that asked for it.")
    kind = models.CharField(max_length=20, choices=CallKind)
    name = models.CharField(max_length=200)
    server = models.CharField(max_length=200, blank=True)
    arguments = models.TextField(blank=True)
    effect = models.CharField(max_length=10, choices=CallEffect)
    state = models.CharField(max_length=20, choices=CallState)
    edited_arguments = models.TextField(blank=True)
    approved_hash = models.CharField(max_length=64, blank=True)
    refusal = models.TextField(blank=True, help_text="Why a person refused it.")
    outcome = models.CharField(max_length=20, choices=CallOutcome, blank=True)
    output = models.TextField(blank=True, help_text="What the next turn is told.")
    asked_at = models.DateTimeField()
    started_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)

    objects = DueQuerySet["FunctionCall"].as_manager()

    class Meta:
        ordering = ["turn", "position"]
        constraints = [
            models.UniqueConstraint(fields=["turn", "call_id"], name="call_once"),
            models.UniqueConstraint(fields=["turn", "position"], name="call_position_once"),
            models.CheckConstraint(
                condition=Q(state__in=CallState.values), name="call_state_known"
            ),
            models.CheckConstraint(
                condition=Q(state=CallState.ANSWERED, ended_at__isnull=False) & ~Q(outcome="")
                | ~Q(state=CallState.ANSWERED) & Q(ended_at__isnull=True, outcome=""),
                name="call_answered_iff_ended",
            ),
            models.CheckConstraint(
                condition=~Q(state=CallState.RUNNING) | Q(started_at__isnull=False),
                name="call_running_has_started",
            ),
            models.CheckConstraint(
                condition=Q(started_at__isnull=True)
                | Q(effect=CallEffect.READ)
                | Q(effect=CallEffect.WRITE) & ~Q(approved_hash=""),
                name="call_that_writes_was_approved",
            ),
            lease_is_whole("call_lease_until_and_token"),
        ]
        indexes = [due_index("call_due")]

    def __str__(self) -> str:
        return f"{self.name} ({self.call_id})"

    @property
    def effective_arguments(self) -> str:
        """The JSON text that it runs with."""
        return self.edited_arguments or self.arguments
