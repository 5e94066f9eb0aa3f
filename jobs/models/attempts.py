from django.db import models
from django.db.models import Q

from jobs.ids import uuid7
from jobs.models.due import DueQuerySet, DueRow, due_index, lease_is_whole
from jobs.models.jobs import Job
from jobs.models.ordered import OrderedJSONField
from jobs.models.workspaces import User


class State(models.TextChoices):
    """The provider's side of an attempt. Requesters never see these words."""

    SUBMITTING = "submitting", "Submitting"  # intent is stored; the create call has not succeeded
    LIVE = "live", "Live"  # the provider accepted it and has not ended it
    UNKNOWN = "unknown", "Unknown"  # the create call left and was never answered
    SUCCEEDED = "succeeded", "Succeeded"
    INCOMPLETE = "incomplete", "Incomplete"
    FAILED = "failed", "Failed"
    CANCELED = "canceled", "Canceled"
    LOST = "lost", "Lost"  # accepted once, and not found at the provider since


OPEN = frozenset({State.SUBMITTING, State.LIVE, State.UNKNOWN})
ENDED = frozenset(State) - OPEN


class Cause(models.TextChoices):
    FIRST = "first", "First attempt"
    AUTOMATIC = "automatic", "Automatic retry"
    RETRY = "retry", "Retry by a person"
    CHANGES = "changes", "Changes requested"


class Attempt(DueRow):
    """One try at a job.

    An open attempt is always due some time. An ended one is due only while something is left to
    tidy up at the provider.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    job = models.ForeignKey(Job, models.PROTECT, related_name="attempts")
    number = models.PositiveSmallIntegerField()
    cause = models.CharField(max_length=20, choices=Cause, default=Cause.FIRST)
    caused_by = models.ForeignKey(User, models.PROTECT, null=True, blank=True, related_name="+")
    feedback = models.TextField(blank=True)
    state = models.CharField(max_length=20, choices=State, default=State.SUBMITTING)
    error_code = models.CharField(max_length=60, blank=True)
    error_text = models.TextField(blank=True)
    cost_usd = models.DecimalField(max_digits=14, decimal_places=6, null=True, blank=True)

    created_at = models.DateTimeField()
    submitted_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)
    cancel_sent_at = models.DateTimeField(null=True, blank=True)
    missing_since = models.DateTimeField(null=True, blank=True)
    last_heard_at = models.DateTimeField(null=True, blank=True)

    checks = models.PositiveIntegerField(default=0, help_text="Requests made for it.")

    objects = DueQuerySet["Attempt"].as_manager()

    class Meta:
        ordering = ["job", "number"]
        constraints = [
            models.UniqueConstraint(fields=["job", "number"], name="attempt_number_once"),
            models.UniqueConstraint(
                fields=["job"], condition=Q(state__in=sorted(OPEN)), name="attempt_one_open"
            ),
            models.CheckConstraint(condition=Q(state__in=State.values), name="attempt_state_known"),
            models.CheckConstraint(
                condition=Q(
                    state__in=sorted(OPEN), next_check_at__isnull=False, ended_at__isnull=True
                )
                | Q(state__in=sorted(ENDED), ended_at__isnull=False),
                name="attempt_open_is_due_ended_is_dated",
            ),
            lease_is_whole("attempt_lease_until_and_token"),
        ]
        indexes = [
            models.Index(
                fields=["state", "next_check_at"],
                condition=Q(next_check_at__isnull=False),
                name="attempt_due",
            ),
            models.Index(
                fields=["lease_token"],
                condition=Q(lease_token__isnull=False),
                name="attempt_leased",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.job_id} attempt {self.number}"

    @property
    def is_open(self) -> bool:
        return self.state in OPEN


class Turn(models.Model):
    """One provider response inside an attempt. A response that asks for tools ends its turn, and
    the answers go out with the next one.

    ``request`` is what was, or is to be, sent, without the documents' content. ``payload`` is the
    terminal answer, byte for byte; ``late_payload`` one that came after the attempt had ended.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    attempt = models.ForeignKey(Attempt, models.PROTECT, related_name="turns")
    number = models.PositiveSmallIntegerField(default=1)
    request = OrderedJSONField(default=dict)
    sent_at = models.DateTimeField(null=True, blank=True)
    previous_gone = models.BooleanField(
        default=False,
        help_text="OpenAI no longer has the response that it follows: the stored text goes along.",
    )
    response_id = models.CharField(max_length=200, null=True, blank=True, unique=True)
    request_id = models.CharField(max_length=200, blank=True)
    provider_status = models.CharField(max_length=60, blank=True)
    cost_usd = models.DecimalField(max_digits=14, decimal_places=6, null=True, blank=True)
    payload = models.BinaryField(null=True, blank=True)
    late_payload = models.BinaryField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["attempt", "number"]
        constraints = [
            models.UniqueConstraint(fields=["attempt", "number"], name="turn_number_once"),
            models.CheckConstraint(
                condition=Q(response_id__isnull=True)
                | (~Q(response_id="") & Q(sent_at__isnull=False)),
                name="turn_answered_was_sent",
            ),
            models.CheckConstraint(
                condition=Q(payload__isnull=True) | Q(ended_at__isnull=False),
                name="turn_payload_has_ended",
            ),
        ]

    def __str__(self) -> str:
        return self.response_id or f"turn {self.id}"


class LiveText(DueRow):
    """What a running response has written so far, followed by one consumer for all who watch.

    ``sequence`` is the number of the last event that is in ``text``, -1 before the first. Due
    while it can be followed; what is lost of it is in the terminal answer.
    """

    turn = models.OneToOneField(Turn, models.CASCADE, related_name="live")
    text = models.TextField(blank=True)
    doing = models.CharField(max_length=200, blank=True, help_text="What it does just now.")
    sequence = models.IntegerField(default=-1)
    began_at = models.DateTimeField()
    updated_at = models.DateTimeField()

    objects = DueQuerySet["LiveText"].as_manager()

    class Meta:
        constraints = [
            lease_is_whole("live_text_lease_until_and_token"),
            models.CheckConstraint(condition=Q(sequence__gte=-1), name="live_text_sequence"),
        ]
        indexes = [due_index("live_text_due")]

    def __str__(self) -> str:
        return f"live text of {self.turn_id}"
