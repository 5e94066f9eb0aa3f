from collections.abc import Collection
from typing import Self

from django.contrib.auth.models import AbstractUser
from django.db import models
from simple_history.models import HistoricalRecords


class User(AbstractUser):
    """A person who can log in. What they may do comes from their memberships."""


class WorkspaceQuerySet(models.QuerySet["Workspace"]):
    def overseen_by(self, user: User) -> Self:
        """The workspaces of which `user` sees every job."""
        return self.held_by(user, SEES_ALL)

    def configured_by(self, user: User) -> Self:
        """The workspaces whose job types and members `user` may change."""
        return self.held_by(user, {Role.ADMIN})

    def held_by(self, user: User, roles: Collection["Role"]) -> Self:
        """Those in which `user` holds one of these roles; all of them for a superuser."""
        if not user.is_active:
            return self.none()
        if user.is_superuser:
            return self
        held = user.memberships.filter(role__in=roles).values("workspace")
        return self.filter(pk__in=held)

    def of(self, user: User) -> Self:
        """Those in which `user` holds a role, by name; all of them for a superuser."""
        held = self if user.is_superuser else self.filter(memberships__user=user).distinct()
        return held.order_by("name")


class Workspace(models.Model):
    """The tenant. Everything that a person sees is scoped by it."""

    slug = models.SlugField(unique=True)
    name = models.CharField(max_length=100)
    created_at = models.DateTimeField(auto_now_add=True)
    members = models.ManyToManyField(User, through="Membership", related_name="workspaces")

    objects = WorkspaceQuerySet.as_manager()
    history = HistoricalRecords()

    def __str__(self) -> str:
        return self.name


class Role(models.TextChoices):
    REQUESTER = "requester", "Requester"  # submits jobs and follows their own
    REVIEWER = "reviewer", "Reviewer"  # decides on the first level
    LEAD = "lead", "Lead"  # decides on every level
    OPERATOR = "operator", "Operator"  # keeps things moving, approves nothing
    AUDITOR = "auditor", "Auditor"  # sees everything, changes nothing
    ADMIN = "admin", "Admin"  # configures, and an operator's verbs


#: Roles that see every job of their workspace; a requester sees their own.
SEES_ALL = frozenset(Role) - {Role.REQUESTER}


class Membership(models.Model):
    """One role of one person in one workspace. A person may hold several roles."""

    workspace = models.ForeignKey(Workspace, models.CASCADE, related_name="memberships")
    user = models.ForeignKey(User, models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=20, choices=Role)

    history = HistoricalRecords()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["workspace", "user", "role"], name="membership_once"),
            models.CheckConstraint(
                condition=models.Q(role__in=Role.values), name="membership_role_known"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.user}: {self.role} in {self.workspace}"
