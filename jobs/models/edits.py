from typing import Any

from django.db import models
from django.db.models import Q

from jobs.models.ordered import OrderedJSONField
from jobs.models.results import Result
from jobs.models.workspaces import User


class ResultEdit(models.Model):
    """A result as a reviewer wants it: the whole version, beside what the model produced.
    Append-only; `Result.edit` says which version counts.

    ``content_hash`` is made as a result's is; ``of_hash`` is that of the version it was made from.
    """

    result = models.ForeignKey(Result, models.PROTECT, related_name="edits")
    number = models.PositiveSmallIntegerField()
    text = models.TextField()
    structured = OrderedJSONField(null=True, blank=True)
    content_hash = models.CharField(max_length=64)
    of_hash = models.CharField(max_length=64)
    made_by = models.ForeignKey(User, models.PROTECT, related_name="+")
    made_at = models.DateTimeField()

    class Meta:
        ordering = ["result", "number"]
        constraints = [
            models.UniqueConstraint(fields=["result", "number"], name="result_edit_once"),
            models.CheckConstraint(condition=Q(number__gte=1), name="result_edit_from_one"),
            models.CheckConstraint(
                condition=~Q(text="") & ~Q(content_hash="") & ~Q(of_hash=""),
                name="result_edit_says_something",
            ),
            models.CheckConstraint(
                condition=~Q(content_hash=models.F("of_hash")), name="result_edit_changes_something"
            ),
        ]

    def __str__(self) -> str:
        return f"edit {self.number} of {self.result_id}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        if not self._state.adding:
            raise TypeError("Edits are append-only.")
        super().save(*args, **kwargs)
