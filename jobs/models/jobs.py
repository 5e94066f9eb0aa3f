from pathlib import PurePath
from typing import Any, Self

from django.apps import apps
from django.db import models
from django.db.models import Exists, F, OuterRef, Q
from django.urls import reverse

from jobs.ids import new_ref, uuid7
from jobs.models.ordered import OrderedJSONField
from jobs.models.own_requests import own_refused
from jobs.models.types import JobType, Lane, PromptVersion
from jobs.models.workspaces import SEES_ALL, Role, User, Workspace


class Status(models.TextChoices):
    """What people read. Never the provider's words."""

    QUEUED = "queued", "Queued"  # accepted, nothing has started yet
    RUNNING = "running", "Running"  # the provider has it, or may have it
    NEEDS_REVIEW = "needs_review", "Needs review"  # a person must decide: one gate is open
    COMPLETED = "completed", "Completed"  # settled: the result may be used
    FAILED = "failed", "Failed"  # settled: no usable result, and the reason says why
    CANCELED = "canceled", "Canceled"  # settled: a person, or the provider, stopped it
    EXPIRED = "expired", "Expired"  # settled: a deadline passed


class Carry(models.TextChoices):
    """How a job's documents reach the model."""

    INLINE = "inline", "In the request"
    FILES = "files", "As files at OpenAI"
    SEARCH = "search", "In a vector store at OpenAI, to be searched"


SETTLED = frozenset({Status.COMPLETED, Status.FAILED, Status.CANCELED, Status.EXPIRED})
LIVE = frozenset(Status) - SETTLED


class JobQuerySet(models.QuerySet["Job"]):
    def live(self) -> Self:
        return self.filter(status__in=sorted(LIVE))

    def visible_to(self, user: User) -> Self:
        """The jobs that `user` may see: all of a workspace for its staff, else one's own."""
        if not user.is_active:
            return self.none()
        if user.is_superuser:
            return self
        wide = user.memberships.filter(role__in=SEES_ALL).values("workspace")
        own = user.memberships.values("workspace")
        return self.filter(Q(workspace__in=wide) | Q(requester=user, workspace__in=own))

    def awaiting(self, user: User) -> Self:
        """The jobs whose open gate waits for `user`, among others: at a level on which they decide,
        not requested by themselves unless all types whose rules hold let them approve that, and not
        approved by them already."""
        lead = user.memberships.filter(role=Role.LEAD).values("workspace")
        first = user.memberships.filter(role=Role.REVIEWER).values("workspace")
        theirs = Q(workspace__in=lead) | Q(workspace__in=first, open_gate__role=Role.REVIEWER)
        approved = Q(open_gate__given=0) | ~Exists(
            apps.get_model("jobs", "Approval").objects.filter(
                gate=OuterRef("open_gate"),
                ballot=OuterRef("open_gate__ballot"),
                actor=user,
                lapsed_at=None,
            )
        )
        return self.filter(theirs & ~own_refused(user) & approved, status=Status.NEEDS_REVIEW)


class Job(models.Model):
    """The durable record of one piece of work. Status and reason are written by `jobs.lifecycle`.

    ``reason_*`` says why the job is where it is: what a live one waits for, why a settled one ended.
    ``event_count`` and ``event_head`` are the length and the last hash of its event chain.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    ref = models.CharField(max_length=12, unique=True, default=new_ref, editable=False)
    workspace = models.ForeignKey(Workspace, models.PROTECT, related_name="jobs")
    job_type = models.ForeignKey(JobType, models.PROTECT, related_name="jobs")
    prompt_version = models.ForeignKey(PromptVersion, models.PROTECT, related_name="jobs")
    requester = models.ForeignKey(User, models.PROTECT, related_name="jobs")
    parent = models.ForeignKey(
        "self", models.PROTECT, null=True, blank=True, related_name="follow_ups"
    )
    lane = models.CharField(max_length=20, choices=Lane)
    input = OrderedJSONField(default=dict)
    input_summary = models.CharField(max_length=200, blank=True)
    idempotency_key = models.CharField(max_length=200, blank=True)
    request_fingerprint = models.CharField(max_length=64, blank=True)

    status = models.CharField(max_length=20, choices=Status, default=Status.QUEUED)
    reason_code = models.CharField(max_length=60, blank=True)
    reason_text = models.TextField(blank=True)
    carry = models.CharField("documents go", max_length=10, choices=Carry, default=Carry.INLINE)
    progress_done = models.PositiveSmallIntegerField(default=0)
    progress_total = models.PositiveSmallIntegerField(default=3)
    progress_message = models.CharField(max_length=200, blank=True)
    warnings = models.JSONField(default=list)
    open_gate = models.OneToOneField(
        "jobs.Gate", models.PROTECT, null=True, blank=True, related_name="open_for"
    )
    cost_usd = models.DecimalField(max_digits=14, decimal_places=6, null=True, blank=True)

    cancel_requested_at = models.DateTimeField(null=True, blank=True)
    cancel_requested_by = models.ForeignKey(
        User, models.PROTECT, null=True, blank=True, related_name="+"
    )
    archived_at = models.DateTimeField(null=True, blank=True)
    archived_by = models.ForeignKey(User, models.PROTECT, null=True, blank=True, related_name="+")
    created_at = models.DateTimeField()
    updated_at = models.DateTimeField()
    started_at = models.DateTimeField(null=True, blank=True)
    settled_at = models.DateTimeField(null=True, blank=True)
    start_by = models.DateTimeField()
    finish_by = models.DateTimeField()

    event_count = models.PositiveIntegerField(default=0)
    event_head = models.CharField(max_length=64, blank=True)
    sealed_count = models.PositiveIntegerField(default=0)

    objects = JobQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(condition=Q(status__in=Status.values), name="job_status_known"),
            models.CheckConstraint(condition=Q(lane__in=Lane.values), name="job_lane_known"),
            models.CheckConstraint(condition=Q(carry__in=Carry.values), name="job_carry_known"),
            models.CheckConstraint(
                condition=Q(status=Status.NEEDS_REVIEW, open_gate__isnull=False)
                | (~Q(status=Status.NEEDS_REVIEW) & Q(open_gate__isnull=True)),
                name="job_needs_review_iff_open_gate",
            ),
            models.CheckConstraint(
                condition=Q(status__in=sorted(SETTLED), settled_at__isnull=False)
                | Q(status__in=sorted(LIVE), settled_at__isnull=True),
                name="job_settled_iff_settled_at",
            ),
            models.CheckConstraint(
                condition=Q(status__in=sorted(LIVE | {Status.COMPLETED})) | ~Q(reason_code=""),
                name="job_bad_end_has_reason",
            ),
            models.CheckConstraint(
                condition=Q(cancel_requested_at__isnull=True, cancel_requested_by__isnull=True)
                | Q(cancel_requested_at__isnull=False, cancel_requested_by__isnull=False),
                name="job_cancel_requested_at_and_by",
            ),
            models.CheckConstraint(
                condition=Q(archived_at__isnull=True, archived_by__isnull=True)
                | Q(
                    archived_at__isnull=False,
                    archived_by__isnull=False,
                    status__in=sorted(SETTLED),
                ),
                name="job_archived_at_and_by_and_settled",
            ),
            models.CheckConstraint(
                condition=Q(progress_done__lte=F("progress_total")), name="job_progress_in_range"
            ),
            models.CheckConstraint(
                condition=Q(sealed_count__lte=F("event_count")), name="job_sealed_lte_events"
            ),
            models.UniqueConstraint(
                fields=["workspace", "requester", "idempotency_key"],
                condition=~Q(idempotency_key=""),
                name="job_idempotency_key",
            ),
        ]
        indexes = [
            models.Index(fields=["workspace", "status", "-id"], name="job_by_status"),
            models.Index(fields=["requester", "-id"], name="job_by_requester"),
            models.Index(fields=["status", "-id"], name="job_status_newest"),
            models.Index(fields=["workspace", "-id"], name="job_by_workspace"),
            models.Index(fields=["job_type", "-id"], name="job_by_type"),
            # Also what the operations page reads of the settled ones, so that it reads no rows.
            models.Index(
                fields=["workspace", "settled_at", "status", "cost_usd"],
                condition=Q(settled_at__isnull=False),
                name="job_by_settled",
            ),
            # What is counted of a type's costs, so that it reads no rows either.
            models.Index(
                fields=["job_type", "workspace", "settled_at", "status", "cost_usd"],
                condition=Q(settled_at__isnull=False),
                name="job_type_spending",
            ),
            models.Index(
                fields=["id"], condition=~Q(sealed_count=F("event_count")), name="job_unsealed"
            ),
            # Lists: what is not archived, of one status or all, and what is; newest first. They stand
            # last, and are made last: of several that fit, SQLite takes the latest, and by one that
            # holds both it would walk past all that is archived, or past all that is not.
            models.Index(
                fields=["workspace", "status", "-id"],
                condition=Q(archived_at=None),
                name="job_listed_by_status",
            ),
            models.Index(
                fields=["workspace", "-id"], condition=Q(archived_at=None), name="job_listed"
            ),
            models.Index(
                fields=["workspace", "-id"],
                condition=Q(archived_at__isnull=False),
                name="job_archived",
            ),
        ]

    def __str__(self) -> str:
        return self.ref

    def get_absolute_url(self) -> str:
        return reverse("jobs:job_detail", args=[self.ref])

    def titled_input(self) -> list[tuple[str, Any]]:
        """The input, each value under the title that its form had."""
        properties = self.job_type.input_schema.get("properties", {})
        titles = {
            name: schema.get("title", name)
            for name, schema in properties.items()
            if isinstance(schema, dict)
        }
        return [(str(titles.get(name, name)), value) for name, value in self.input.items()]

    @property
    def is_settled(self) -> bool:
        return self.status in SETTLED

    @property
    def is_follow_up(self) -> bool:
        """Whether it asks about its parent's result. Any other job with a parent began with its
        input."""
        return self.parent_id is not None and self.job_type.follows

    def ruling_types(self) -> list[JobType]:
        """The types whose rules hold for this job: its own first and, for a follow-up, those of the
        jobs that it rests on."""
        types, job = [self.job_type], self
        while job.is_follow_up:
            job = Job.objects.select_related("job_type").get(follow_ups=job)
            types.append(job.job_type)
        return types


def document_path(document: "Document", name: str) -> str:
    """Where a document is stored: never under the name that somebody gave it."""
    return f"documents/{document.job_id}/{document.position}{PurePath(name).suffix[:10].lower()}"


class Document(models.Model):
    """A file that a job was given, and the text read from it, in which quotes are looked up."""

    job = models.ForeignKey(Job, models.PROTECT, related_name="documents")
    position = models.PositiveSmallIntegerField()
    name = models.CharField(max_length=255)
    content_type = models.CharField(max_length=100)
    size = models.PositiveBigIntegerField(help_text="Bytes.")
    sha256 = models.CharField(max_length=64)
    file = models.FileField(upload_to=document_path, max_length=255)
    text = models.TextField(blank=True)
    library_document = models.ForeignKey(
        "jobs.LibraryDocument",
        models.PROTECT,
        null=True,
        blank=True,
        related_name="uses",
        help_text="What it is a copy of, if it was taken from the library.",
    )

    class Meta:
        ordering = ["job", "position"]
        constraints = [
            models.UniqueConstraint(fields=["job", "position"], name="document_position_once"),
            models.UniqueConstraint(fields=["job", "name"], name="document_name_once"),
        ]

    def __str__(self) -> str:
        return self.name


class Verb(models.TextChoices):
    """The catalogue of events: what can happen to a job."""

    SUBMITTED = "submitted", "Submitted"
    CALLS_ASKED = "calls_asked", "Tools asked for"  # a turn ended with them
    CALLS_REFUSED = "calls_refused", "Tool call refused"
    WAITING = "waiting", "Waiting"  # still the same status, for a new reason
    STARTED = "started", "Started"  # the provider accepted it, or may have
    ADOPTED = "adopted", "Adopted"  # a lost answer was found again
    RETRYING = "retrying", "Retrying"  # by itself, after a passing fault
    REVIEW_ASKED = "review_asked", "Review asked for"
    COMPLETED = "completed", "Completed"
    FAILED = "failed", "Failed"
    CANCELED = "canceled", "Canceled"
    EXPIRED = "expired", "Expired"
    CANCEL_REQUESTED = "cancel_requested", "Cancel requested"
    RETRIED = "retried", "Retried"  # by a person
    APPROVED = "approved", "Approved"
    CHANGES_REQUESTED = "changes_requested", "Changes requested"
    REJECTED = "rejected", "Rejected"
    APPROVAL_GIVEN = "approval_given", "Approval given"  # one of several that are asked for
    ESCALATED = "escalated", "Escalated"
    REASSIGNED = "reassigned", "Reassigned"  # or waits for nobody in particular again
    REMINDED = "reminded", "Reminded"  # a review is due soon
    OVERDUE = "overdue", "Overdue"  # a review, and nothing expires
    REOPENED = "reopened", "Reopened"
    RESULT_TAKEN = "result_taken", "Late result taken"
    SETTLED = "settled", "Settled by an operator"
    ARCHIVED = "archived", "Archived"
    LATE_ANSWER = "late_answer", "Late answer"  # evidence: it changes nothing
    RE_EXTRACTED = "re_extracted", "Read anew"  # from the stored answer
    DELIVERED = "delivered", "Delivered"  # it has left, and the receiver said so
    DELIVERY_FAILED = "delivery_failed", "Not delivered"  # given up: an operator decides
    DELIVERY_STOPPED = "delivery_stopped", "Delivery stopped"
    DELIVERY_RETRIED = "delivery_retried", "Delivery tried again"
    DELIVERY_DROPPED = "delivery_dropped", "Delivery dropped"


class Event(models.Model):
    """One line of a job's history. Append-only, and chained by `hash` to the line before it."""

    job = models.ForeignKey(Job, models.PROTECT, related_name="events")
    seq = models.PositiveIntegerField()
    at = models.DateTimeField()
    verb = models.CharField(max_length=30, choices=Verb)
    actor = models.ForeignKey(User, models.PROTECT, null=True, blank=True, related_name="+")
    actor_name = models.CharField(max_length=150)
    from_status = models.CharField(max_length=20, blank=True)
    to_status = models.CharField(max_length=20, blank=True)
    reason_code = models.CharField(max_length=60, blank=True)
    reason_text = models.TextField(blank=True)
    data = models.JSONField(default=dict)
    hash = models.CharField(max_length=64)

    class Meta:
        ordering = ["job", "seq"]
        constraints = [
            models.UniqueConstraint(fields=["job", "seq"], name="event_seq_once"),
            models.CheckConstraint(condition=Q(seq__gte=1), name="event_seq_from_one"),
        ]
        indexes = [
            models.Index(
                fields=["at", "id"], condition=Q(verb="escalated"), name="event_escalated"
            ),
            models.Index(fields=["at", "id"], condition=Q(verb="expired"), name="event_expired"),
        ]

    def __str__(self) -> str:
        return f"{self.job_id} {self.seq} {self.verb}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        if not self._state.adding:
            raise TypeError("Events are append-only.")
        super().save(*args, **kwargs)

    @property
    def is_among_reviewers(self) -> bool:
        """Whether its words are a reviewer's to colleagues: they may quote a result that the
        requester must not read yet."""
        inside = {Verb.ESCALATED, Verb.REASSIGNED, Verb.APPROVAL_GIVEN}
        return self.verb in inside and self.actor_id is not None


class Seal(models.Model):
    """The heads of all event chains that grew since the seal before, chained to that seal.

    ``heads`` holds ``[job id, events, head]`` rows; ``jobs`` counts all jobs at that moment.
    """

    number = models.PositiveIntegerField(primary_key=True)
    at = models.DateTimeField()
    jobs = models.PositiveIntegerField()
    heads = models.JSONField()
    key_id = models.CharField(max_length=16)
    hash = models.CharField(max_length=64)

    def __str__(self) -> str:
        return f"seal {self.number}"
