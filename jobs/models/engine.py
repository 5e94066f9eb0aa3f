from django.db import models

from jobs.models.due import DueQuerySet, DueRow, due_index, lease_is_whole


class WebhookReceipt(DueRow):
    """A verified webhook, once. Due while its response is not one that we know yet."""

    webhook_id = models.CharField(max_length=200, primary_key=True)
    event_type = models.CharField(max_length=100)
    response_id = models.CharField(max_length=200, blank=True, db_index=True)
    body = models.BinaryField()
    received_at = models.DateTimeField(db_index=True)
    outcome = models.CharField(max_length=40, blank=True)

    objects = DueQuerySet["WebhookReceipt"].as_manager()

    class Meta:
        constraints = [lease_is_whole("receipt_lease_until_and_token")]
        indexes = [
            due_index("receipt_due"),
        ]

    def __str__(self) -> str:
        return self.webhook_id


class SweepSlot(models.Model):
    """The right to sweep, and the heartbeat of whoever sweeps.

    There are ``settings.SWEEPS`` slots. The lease is short, so that another process takes over
    within seconds of a holder's death. Totals are since the slot was first used.
    """

    number = models.PositiveSmallIntegerField(primary_key=True)
    lease_token = models.UUIDField(null=True, blank=True)
    lease_until = models.DateTimeField(null=True, blank=True)
    holder = models.CharField(max_length=200, blank=True)
    started_at = models.DateTimeField(null=True, blank=True)
    beat_at = models.DateTimeField(null=True, blank=True, db_index=True)
    sweeps = models.PositiveBigIntegerField(default=0)
    requests = models.PositiveBigIntegerField(default=0)

    class Meta:
        constraints = [
            lease_is_whole("sweep_slot_lease_until_and_token"),
        ]

    def __str__(self) -> str:
        return f"sweep slot {self.number}"
