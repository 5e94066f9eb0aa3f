from django.db import models

from jobs.models import Gate, User


class Seen(models.Model):
    """One piece of evidence that somebody ticked as seen at a gate.

    ``key`` is that of a `reviews.exhibits.Exhibit`: it goes with what was shown, so that evidence
    that is read anew and differs counts as not seen.
    """

    gate = models.ForeignKey(Gate, models.PROTECT, related_name="seen")
    person = models.ForeignKey(User, models.PROTECT, related_name="+")
    key = models.CharField(max_length=60)
    at = models.DateTimeField()

    class Meta:
        ordering = ["gate", "id"]
        constraints = [
            models.UniqueConstraint(fields=["gate", "person", "key"], name="seen_once"),
            models.CheckConstraint(condition=~models.Q(key=""), name="seen_is_of_something"),
        ]

    def __str__(self) -> str:
        return f"{self.key} at gate {self.gate_id}"
