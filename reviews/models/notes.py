from django.db import models
from django.db.models import Q

from jobs.models import Job, User


class ReviewerNote(models.Model):
    """What a reviewer wrote down for colleagues. It decides nothing."""

    job = models.ForeignKey(Job, models.PROTECT, related_name="notes")
    author = models.ForeignKey(User, models.PROTECT, related_name="+")
    text = models.TextField()
    created_at = models.DateTimeField()

    class Meta:
        ordering = ["job", "id"]
        constraints = [models.CheckConstraint(condition=~Q(text=""), name="note_says_something")]

    def __str__(self) -> str:
        return self.text[:60]
