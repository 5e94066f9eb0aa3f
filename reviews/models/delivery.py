"""What leaves the building: where it may go, and each piece that goes there."""

from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, validate_email
from django.db import models
from django.db.models import Q
from simple_history.models import HistoricalRecords

from jobs import outbound
from jobs.ids import uuid7
from jobs.models import Job, JobType, Workspace
from jobs.models.due import DueQuerySet, DueRow, due_index, lease_is_whole
from reviews.models.decisions import Decision


class Channel(models.TextChoices):
    EMAIL = "email", "E-mail"
    WEBHOOK = "webhook", "Webhook"
    LIBRARY = "library", "Library"
    FOLDER = "folder", "File drop"


class Extent(models.TextChoices):
    WHOLE = "whole", "The whole result"
    LINK = "link", "What it is, and the link"


class DeliveryState(models.TextChoices):
    WAITING = "waiting", "Waiting"  # for its first try, or for the next one
    SENDING = "sending", "Being sent"  # the request may have left
    DELIVERED = "delivered", "Delivered"  # the receiver said so
    DEAD = "dead", "Not delivered"  # given up: a person decides
    DROPPED = "dropped", "Dropped"  # given up by a person
    STOPPED = "stopped", "Stopped"  # the job was no longer what was approved


#: States in which nothing more happens by itself.
OVER = frozenset(
    {DeliveryState.DELIVERED, DeliveryState.DEAD, DeliveryState.DROPPED, DeliveryState.STOPPED}
)


def check_address(url: str) -> None:
    try:
        outbound.check_url(url)
    except outbound.BadAddress as error:
        raise ValidationError(str(error)) from None


class Endpoint(models.Model):
    """Where webhooks of a workspace are posted to.

    Its secrets are stored nowhere: `reviews.signing` makes them from a key of the environment, this
    row's id and ``serial``. For a while after a rotation the one before is good as well.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    workspace = models.ForeignKey(Workspace, models.PROTECT, related_name="endpoints")
    name = models.CharField(max_length=100)
    url = models.CharField("address", max_length=2000, validators=[check_address])
    enabled = models.BooleanField(default=True)
    serial = models.PositiveIntegerField(default=1, editable=False)
    previous_until = models.DateTimeField(
        "the secret before is good until", null=True, blank=True, editable=False
    )
    failures = models.PositiveIntegerField(default=0, editable=False)
    failing_since = models.DateTimeField(null=True, blank=True, editable=False)
    last_error = models.TextField(blank=True, editable=False)
    rest_until = models.DateTimeField(null=True, blank=True, editable=False)

    history = HistoricalRecords(
        excluded_fields=["failures", "failing_since", "last_error", "rest_until"]
    )

    class Meta:
        ordering = ["workspace", "name"]
        constraints = [
            models.UniqueConstraint(fields=["workspace", "name"], name="endpoint_name_once"),
            models.CheckConstraint(
                condition=Q(failures=0, failing_since__isnull=True)
                | Q(failures__gt=0, failing_since__isnull=False),
                name="endpoint_failing_iff_since",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def host(self) -> str:
        return urlsplit(self.url).hostname or ""


class Route(models.Model):
    """Where the results of a workspace's jobs go once they are completed."""

    workspace = models.ForeignKey(Workspace, models.PROTECT, related_name="routes")
    job_type = models.ForeignKey(
        JobType,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="routes",
        help_text="Empty: every type of the workspace, follow-ups aside.",
    )
    channel = models.CharField(max_length=20, choices=Channel)
    recipients = models.TextField(
        blank=True, help_text="E-mail addresses, one a line. Each gets a message of its own."
    )
    to_requester = models.BooleanField(
        "to the requester", default=False, help_text="E-mail: to whoever asked for the job as well."
    )
    endpoint = models.ForeignKey(
        Endpoint, models.PROTECT, null=True, blank=True, related_name="routes"
    )
    extent = models.CharField("sends", max_length=10, choices=Extent, default=Extent.WHOLE)
    hold = models.PositiveIntegerField(
        default=60,
        validators=[MaxValueValidator(30 * 86_400)],
        help_text="Seconds between completion and the first try. Until then a lead can still reopen "
        "the job, and nothing has left.",
    )
    enabled = models.BooleanField(default=True)

    history = HistoricalRecords()

    class Meta:
        ordering = ["workspace", "id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(channel__in=Channel.values), name="route_channel_known"
            ),
            models.CheckConstraint(
                condition=Q(extent__in=Extent.values), name="route_extent_known"
            ),
            models.CheckConstraint(
                condition=Q(channel=Channel.EMAIL, endpoint=None)
                & (~Q(recipients="") | Q(to_requester=True))
                | Q(channel=Channel.WEBHOOK, endpoint__isnull=False, recipients="")
                & Q(to_requester=False)
                | Q(channel__in=[Channel.LIBRARY, Channel.FOLDER], endpoint=None, recipients="")
                & Q(to_requester=False),
                name="route_target_fits_channel",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_channel_display()} of {self.job_type or 'every type'}"

    def addresses(self) -> list[str]:
        """The recipients, each once."""
        return list(dict.fromkeys(self.recipients.split()))

    def clean(self) -> None:
        wrong: dict[str, str] = {}
        email, webhook = self.channel == Channel.EMAIL, self.channel == Channel.WEBHOOK
        if email and not self.recipients.strip() and not self.to_requester:
            wrong["recipients"] = "Name an address, or tick “to the requester”."
        if not email and self.recipients.strip():
            wrong["recipients"] = "Only e-mail goes to addresses."
        if not email and self.to_requester:
            wrong["to_requester"] = "Only e-mail goes to the requester."
        if webhook and self.endpoint_id is None:
            wrong["endpoint"] = "Choose the endpoint that it is posted to."
        if not webhook and self.endpoint_id is not None:
            wrong["endpoint"] = "Only a webhook goes to an endpoint."
        if self.endpoint and self.endpoint.workspace_id != self.workspace_id:
            wrong["endpoint"] = "This endpoint belongs to another workspace."
        if self.job_type and self.job_type.workspace_id not in (None, self.workspace_id):
            wrong["job_type"] = "This type belongs to another workspace."
        if self.channel == Channel.FOLDER and not settings.FILE_DROP_ROOT:
            wrong["channel"] = "No folder is set up for it: FILE_DROP_ROOT is empty."
        if self._same_folder().exists():
            said = "Another file drop of this workspace writes into the same folder."
            wrong.setdefault("job_type", said)
        if self.channel == Channel.LIBRARY and self.extent != Extent.WHOLE:
            wrong["extent"] = "The library keeps whole results."
        for address in self.addresses():
            if said := address_fault(address):
                wrong.setdefault("recipients", said)
        if len(self.addresses()) > 20:
            wrong.setdefault("recipients", "20 addresses at most. Use a mailing list for more.")
        if wrong:
            raise ValidationError(wrong)
        self.recipients = "\n".join(self.addresses())

    def _same_folder(self) -> models.QuerySet["Route"]:
        """Other file drops that are switched on and write under the names of this one."""
        if self.channel != Channel.FOLDER or not self.enabled:
            return Route.objects.none()
        if self.job_type is None:
            alike = Q(job_type=None) | Q(job_type__follows=False)
        elif self.job_type.follows:
            alike = Q(job_type=self.job_type)
        else:
            alike = Q(job_type=self.job_type) | Q(job_type=None)
        drops = Route.objects.filter(
            alike, workspace=self.workspace_id, channel=Channel.FOLDER, enabled=True
        )
        return drops.exclude(pk=self.pk)


def address_fault(address: str) -> str:
    """Why this is no address that mail is sent to, or ""."""
    try:
        validate_email(address)
    except ValidationError:
        return f"{address[:100]} is no e-mail address."
    if not address.isascii() or len(address) > 254:
        return f"{address[:100]} has letters that look like others: write its domain as xn--…."
    return ""


class DeliveryQuerySet(DueQuerySet["Delivery"]):
    def of(self, workspace: Workspace) -> "DeliveryQuerySet":
        return self.filter(job__workspace=workspace)


class Delivery(DueRow):
    """One piece that leaves, to one place, for one completion of a job: the outbox.

    The id is the idempotency key that the receiver is given. ``completion`` is the place of the
    event in the job's chain that completed it, ``content_hash`` what was decided on then.
    ``unreviewed``: the policy asked for nobody. ``in_doubt``: a try has left and nobody knows
    whether it arrived.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    job = models.ForeignKey(Job, models.PROTECT, related_name="deliveries")
    completion = models.PositiveIntegerField()
    route = models.ForeignKey(
        Route, models.SET_NULL, null=True, blank=True, related_name="deliveries"
    )
    channel = models.CharField(max_length=20, choices=Channel)
    endpoint = models.ForeignKey(
        Endpoint, models.PROTECT, null=True, blank=True, related_name="deliveries"
    )
    target = models.CharField(max_length=2000, blank=True)
    extent = models.CharField(max_length=10, choices=Extent)
    content_hash = models.CharField(max_length=64)
    decision = models.ForeignKey(
        Decision, models.PROTECT, null=True, blank=True, related_name="deliveries"
    )
    unreviewed = models.BooleanField(default=False)
    facts = models.JSONField(default=dict)

    state = models.CharField(max_length=20, choices=DeliveryState, default=DeliveryState.WAITING)
    attempts = models.PositiveIntegerField(default=0)
    in_doubt = models.BooleanField(default=False)
    last_error = models.TextField(blank=True)
    receipt = models.CharField(max_length=300, blank=True)
    created_at = models.DateTimeField()
    first_tried_at = models.DateTimeField(null=True, blank=True)
    give_up_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)

    objects = DeliveryQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        verbose_name_plural = "deliveries"
        constraints = [
            models.CheckConstraint(
                condition=Q(state__in=DeliveryState.values), name="delivery_state_known"
            ),
            models.CheckConstraint(
                condition=Q(channel__in=Channel.values), name="delivery_channel_known"
            ),
            models.UniqueConstraint(
                fields=["job", "completion", "route", "target"], name="delivery_once"
            ),
            models.CheckConstraint(condition=~Q(content_hash=""), name="delivery_names_content"),
            models.CheckConstraint(
                condition=Q(state__in=sorted(OVER), ended_at__isnull=False, next_check_at=None)
                | Q(
                    state__in=sorted(frozenset(DeliveryState) - OVER),
                    ended_at__isnull=True,
                    next_check_at__isnull=False,
                ),
                name="delivery_over_is_dated_else_due",
            ),
            models.CheckConstraint(
                condition=Q(attempts=0, first_tried_at__isnull=True)
                | Q(attempts__gt=0, first_tried_at__isnull=False)
                & (Q(decision__isnull=False) | Q(unreviewed=True)),
                name="delivery_that_left_was_decided",
            ),
            models.CheckConstraint(
                condition=~Q(state__in=[DeliveryState.SENDING, DeliveryState.DELIVERED])
                | Q(attempts__gt=0),
                name="delivery_sent_was_tried",
            ),
            lease_is_whole("delivery_lease_until_and_token"),
        ]
        indexes = [
            due_index("delivery_due"),
            models.Index(
                fields=["lease_until"],
                condition=Q(lease_until__isnull=False),
                name="delivery_held",
            ),
            models.Index(fields=["state", "-id"], name="delivery_by_state"),
            models.Index(
                fields=["endpoint", "next_check_at"],
                condition=Q(state=DeliveryState.WAITING),
                name="delivery_by_endpoint",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_channel_display()} to {self.target}"

    @property
    def host(self) -> str:
        """Where it goes, as far as everybody may know: no address, no path."""
        if self.channel == Channel.EMAIL:
            return self.target.rpartition("@")[2]
        if self.channel == Channel.WEBHOOK:
            return urlsplit(self.target).hostname or ""
        return ""

    def tries_again_at(self) -> datetime | None:
        return self.next_check_at if self.state == DeliveryState.WAITING else None

    def save(self, *args: Any, **kwargs: Any) -> None:
        if not self._state.adding:
            raise TypeError("A delivery is moved by `reviews.outbox`.")
        super().save(*args, **kwargs)
