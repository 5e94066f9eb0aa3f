from django.db import models
from django.db.models import Q

from jobs.models import User, Workspace


class SavedView(models.Model):
    """What somebody looks for in an inbox, under a name: the query of its address, which was valid
    when it was saved."""

    user = models.ForeignKey(User, models.CASCADE, related_name="saved_views")
    workspace = models.ForeignKey(Workspace, models.CASCADE, related_name="+")
    name = models.CharField(max_length=60)
    query = models.CharField(max_length=1_000, blank=True)

    class Meta:
        ordering = ["name", "id"]
        constraints = [
            models.UniqueConstraint(
                fields=["user", "workspace", "name"], name="saved_view_name_once"
            ),
            models.CheckConstraint(condition=~Q(name=""), name="saved_view_named"),
        ]

    def __str__(self) -> str:
        return self.name
