from django.db import models
from django.db.models import Q
from django.urls import reverse

from jobs.ids import new_ref, uuid7
from jobs.models import Gate, Job, User, Workspace
from jobs.models.due import DueQuerySet, DueRow, due_index, lease_is_whole
from reviews.models.decisions import Decision, Ruling


class BulkState(models.TextChoices):
    LOOKING = "looking", "Being looked over"  # many: by the queue, before anything can begin
    PLANNED = "planned", "Not started"  # checked, and nothing is decided yet
    RUNNING = "running", "Under way"
    DONE = "done", "Done"
    STOPPED = "stopped", "Stopped"  # by the person; what was left stays as it was


#: States in which the queue is at it.
UNDER_WAY = frozenset({BulkState.LOOKING, BulkState.RUNNING})


class Outcome(models.TextChoices):
    NEW = "new", "To look over"
    PENDING = "pending", "To do"
    DONE = "done", "Done"
    REFUSED = "refused", "Not done"


class Hindrance(models.TextChoices):
    """Why an item is not done, so that alike ones are counted together."""

    NOT_YOURS = "not_yours", "not yours to decide"
    HELD = "held", "open with somebody else"
    ONE_BY_ONE = "one_by_one", "to be looked at one by one"
    CHANGED = "changed", "changed since you chose them"
    GONE = "gone", "decided or ended already"
    NOT_THEIRS = "not_theirs", "not for that person to decide"
    ASKED_ALREADY = "asked_already", "with that person already"
    NOT_NOW = "not_now", "not possible as they are"
    BROKEN = "broken", "not carried out, as something went wrong"


def _new_ref() -> str:
    return new_ref("B")


class BulkAction(DueRow):
    """One ruling by one person on many jobs, each of which is an ordinary decision. ``assignee`` is
    whom reviews are given to that are reassigned.

    ``query`` is the inbox's, where all that matched was meant; ``matched`` how many the person
    meant, which may be more than there are items. It is a due row while many are looked over, and
    while it runs.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    ref = models.CharField(max_length=12, unique=True, default=_new_ref, editable=False)
    workspace = models.ForeignKey(Workspace, models.PROTECT, related_name="+")
    person = models.ForeignKey(User, models.PROTECT, related_name="bulk_actions")
    ruling = models.CharField(max_length=20, choices=Ruling)
    assignee = models.ForeignKey(User, models.PROTECT, null=True, blank=True, related_name="+")
    note = models.TextField(blank=True)
    everything = models.BooleanField(default=False)
    query = models.CharField(max_length=1_000, blank=True)
    matched = models.PositiveIntegerField(default=0)
    state = models.CharField(max_length=10, choices=BulkState, default=BulkState.PLANNED)
    created_at = models.DateTimeField()
    started_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)

    objects = DueQuerySet["BulkAction"].as_manager()

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(state__in=sorted(UNDER_WAY), next_check_at__isnull=False)
                | (~Q(state__in=sorted(UNDER_WAY)) & Q(next_check_at__isnull=True)),
                name="bulk_due_iff_under_way",
            ),
            models.CheckConstraint(
                condition=Q(
                    state__in=[BulkState.LOOKING, BulkState.PLANNED],
                    started_at=None,
                    ended_at=None,
                )
                | Q(state=BulkState.RUNNING, started_at__isnull=False, ended_at=None)
                | Q(
                    state__in=[BulkState.DONE, BulkState.STOPPED],
                    started_at__isnull=False,
                    ended_at__isnull=False,
                ),
                name="bulk_state_and_moments",
            ),
            models.CheckConstraint(condition=Q(ruling__in=Ruling.values), name="bulk_ruling_known"),
            models.CheckConstraint(
                condition=Q(ruling=Ruling.REASSIGN, assignee__isnull=False)
                | (~Q(ruling=Ruling.REASSIGN) & Q(assignee=None)),
                name="bulk_reassigns_to_somebody",
            ),
            lease_is_whole("bulk_lease_whole"),
        ]
        indexes = [
            due_index("bulk_due"),
            models.Index(fields=["person", "workspace", "-id"], name="bulk_by_person"),
        ]

    def __str__(self) -> str:
        return self.ref

    def get_absolute_url(self) -> str:
        return reverse("reviews:bulk_detail", args=[self.workspace.slug, self.ref])

    @property
    def is_live(self) -> bool:
        return self.state == BulkState.RUNNING


class BulkItem(models.Model):
    """One job of a bulk action: what it waited with as the person looked over the list, and what
    became of it. ``said`` is why it was not done, in a sentence."""

    action = models.ForeignKey(BulkAction, models.CASCADE, related_name="items")
    job = models.ForeignKey(Job, models.PROTECT, related_name="+")
    gate = models.ForeignKey(Gate, models.PROTECT, null=True, blank=True, related_name="+")
    content_hash = models.CharField(max_length=64, blank=True)
    outcome = models.CharField(max_length=10, choices=Outcome, default=Outcome.PENDING)
    hindrance = models.CharField(max_length=20, choices=Hindrance, blank=True)
    said = models.TextField(blank=True)
    planned = models.BooleanField(
        default=True, help_text="It was to be done when it was looked at."
    )
    decision = models.OneToOneField(
        Decision, models.PROTECT, null=True, blank=True, related_name="bulk_item"
    )

    class Meta:
        ordering = ["action", "id"]
        constraints = [
            models.UniqueConstraint(fields=["action", "job"], name="bulk_item_once"),
            models.CheckConstraint(
                condition=Q(outcome=Outcome.DONE, decision__isnull=False, hindrance="")
                | Q(outcome__in=[Outcome.NEW, Outcome.PENDING], decision=None, hindrance="")
                | (Q(outcome=Outcome.REFUSED, decision=None) & ~Q(hindrance="") & ~Q(said="")),
                name="bulk_item_outcome_whole",
            ),
        ]
        indexes = [
            models.Index(
                fields=["action", "id"],
                condition=Q(outcome=Outcome.PENDING),
                name="bulk_item_pending",
            )
        ]

    def __str__(self) -> str:
        return f"{self.job_id} of {self.action_id}"
