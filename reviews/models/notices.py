from typing import Self

from django.db import models
from django.db.models import Q

from jobs.models import SEES_ALL, Event, Job, User, Workspace
from reviews.models.letters import Letter


class NoticeKind(models.TextChoices):
    """What a person is told of."""

    NEEDS_REVIEW = "needs_review", "A job needs review"
    ESCALATED = "escalated", "A review was escalated to you"
    ASSIGNED = "assigned", "A review was given to you"
    REMINDED = "reminded", "A review is due soon"
    OVERDUE = "overdue", "A review is overdue"
    FINISHED = "finished", "A job of yours ended"
    FAILED = "failed", "A job of yours failed"
    TROUBLE = "trouble", "Jobs fail, grouped by cause"
    MENTIONED = "mentioned", "Somebody mentioned you"


#: They ask for a decision, and are settled once there is nothing left to decide.
ASKS = frozenset(
    {
        NoticeKind.NEEDS_REVIEW,
        NoticeKind.ESCALATED,
        NoticeKind.ASSIGNED,
        NoticeKind.REMINDED,
        NoticeKind.OVERDUE,
    }
)
#: Meant for one person by name: they stay in the app whatever that person prefers.
PERSONAL = frozenset({NoticeKind.ASSIGNED, NoticeKind.MENTIONED})


class How(models.TextChoices):
    """How a person wants to hear of a kind."""

    AT_ONCE = "at_once", "In the app, and by e-mail within minutes"
    DIGEST = "digest", "In the app, and in the daily digest"
    APP = "app", "In the app only"
    OFF = "off", "Not at all"


class Occurrence(models.Model):
    """Something that people are to be told of, written in the transaction in which it happened and
    deleted in the one that tells them. `key` tells what is the same from what is not; ``people`` are
    the ids of whom it is for, where the kind alone does not say."""

    kind = models.CharField(max_length=20, choices=NoticeKind)
    key = models.CharField(max_length=120)
    job = models.ForeignKey(Job, models.CASCADE, related_name="+")
    event = models.ForeignKey(Event, models.CASCADE, null=True, blank=True, related_name="+")
    actor = models.ForeignKey(User, models.CASCADE, null=True, blank=True, related_name="+")
    people = models.JSONField(default=list, blank=True)
    at = models.DateTimeField()
    next_check_at = models.DateTimeField()
    failures = models.PositiveIntegerField(default=0, help_text="Times that telling broke.")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["kind", "key"], name="occurrence_once"),
            models.CheckConstraint(
                condition=Q(kind__in=NoticeKind.values), name="occurrence_kind_known"
            ),
        ]
        indexes = [models.Index(fields=["next_check_at"], name="occurrence_due")]

    def __str__(self) -> str:
        return f"{self.kind} {self.key}"


class NoticeQuerySet(models.QuerySet["Notice"]):
    def shown_to(self, person: User) -> Self:
        """A person's notices, without those of jobs that they may no longer see."""
        mine = self.filter(person=person)
        if person.is_superuser:
            return mine
        wide = person.memberships.filter(role__in=sorted(SEES_ALL)).values("workspace")
        own = person.memberships.values("workspace")
        return mine.filter(Q(workspace__in=wide) | Q(workspace__in=own, job__requester=person))

    def unread(self) -> Self:
        """Neither read, nor dealt with by somebody else in the meantime."""
        return self.filter(read_at__isnull=True, done_at__isnull=True)


class Notice(models.Model):
    """What one person is told of one thing. ``done_*`` says that it needs no attention any more,
    and why; ``times`` counts what was grouped into it."""

    person = models.ForeignKey(User, models.CASCADE, related_name="notices")
    workspace = models.ForeignKey(Workspace, models.CASCADE, related_name="+")
    kind = models.CharField(max_length=20, choices=NoticeKind)
    key = models.CharField(max_length=120)
    job = models.ForeignKey(Job, models.CASCADE, related_name="notices")
    event = models.ForeignKey(Event, models.CASCADE, null=True, blank=True, related_name="+")
    actor = models.ForeignKey(User, models.CASCADE, null=True, blank=True, related_name="+")
    said = models.CharField(max_length=60, blank=True, help_text="What happened, in a word or two.")
    why = models.CharField(max_length=300, blank=True)
    cause = models.CharField(max_length=60, blank=True, help_text="The code of the reason.")
    due_at = models.DateTimeField(null=True, blank=True)
    times = models.PositiveIntegerField(default=1)
    created_at = models.DateTimeField()
    read_at = models.DateTimeField(null=True, blank=True)
    done_at = models.DateTimeField(null=True, blank=True)
    done_by = models.CharField(max_length=200, blank=True)
    letter = models.ForeignKey(
        Letter, models.SET_NULL, null=True, blank=True, related_name="notices"
    )

    objects = NoticeQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["person", "kind", "key"], name="notice_once"),
            models.CheckConstraint(
                condition=Q(kind__in=NoticeKind.values), name="notice_kind_known"
            ),
            models.CheckConstraint(
                condition=Q(done_at__isnull=True, done_by="")
                | (Q(done_at__isnull=False) & ~Q(done_by="")),
                name="notice_done_at_and_by",
            ),
            models.CheckConstraint(condition=Q(times__gte=1), name="notice_of_something"),
        ]
        indexes = [
            models.Index(fields=["person", "-id"], name="notice_newest"),
            models.Index(
                fields=["person", "-id"],
                condition=Q(read_at__isnull=True, done_at__isnull=True),
                name="notice_unread",
            ),
            models.Index(
                fields=["job"],
                condition=Q(done_at__isnull=True, kind__in=sorted(ASKS)),
                name="notice_asks",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} for {self.person_id}"


class NoticeChoice(models.Model):
    """How one person wants to hear of one kind. Without a row, `DEFAULTS` holds."""

    person = models.ForeignKey(User, models.CASCADE, related_name="notice_choices")
    kind = models.CharField(max_length=20, choices=NoticeKind)
    how = models.CharField(max_length=10, choices=How)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["person", "kind"], name="notice_choice_once"),
            models.CheckConstraint(
                condition=Q(kind__in=NoticeKind.values), name="notice_choice_kind_known"
            ),
            models.CheckConstraint(condition=Q(how__in=How.values), name="notice_choice_how_known"),
            models.CheckConstraint(
                condition=~Q(how=How.OFF) | ~Q(kind__in=sorted(PERSONAL)),
                name="notice_choice_personal_stays",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind}: {self.how}"


#: A reviewer may get two hundred a day: those come once a day, unless somebody is named or waits.
DEFAULTS = {kind: How.AT_ONCE for kind in NoticeKind} | {NoticeKind.NEEDS_REVIEW: How.DIGEST}


class DigestTime(models.Model):
    """When a person's digest comes. Without a row: at eight in the site's time zone."""

    person = models.OneToOneField(User, models.CASCADE, related_name="digest_time")
    hour = models.PositiveSmallIntegerField(default=8)
    zone = models.CharField(max_length=60, blank=True)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(hour__lt=24), name="digest_hour_of_a_day"),
        ]

    def __str__(self) -> str:
        return f"{self.hour}:00 {self.zone}"
