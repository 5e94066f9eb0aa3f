from functools import cached_property

from django.conf import settings
from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject

from jobs.access import may_operate, may_review
from jobs.models import Job, User, Workspace
from reviews import notices

#: Waiting reviews are counted up to here, so that no page pays for a long queue.
MOST_WAITING = 100


def provider(request: HttpRequest) -> dict[str, bool]:
    """``sandbox``: whether the stand-in answers, so that every page can say so."""
    return {"sandbox": settings.SANDBOX}


def navigation(request: HttpRequest) -> dict[str, object]:
    """``nav``: where the person can go from this page. Asks the database only where it is drawn."""
    return {"nav": SimpleLazyObject(lambda: Navigation(request))}


class Navigation:
    def __init__(self, request: HttpRequest) -> None:
        self.user: User | None = request.user if isinstance(request.user, User) else None
        self._named: Workspace | None = getattr(request, "workspace", None)

    @cached_property
    def workspaces(self) -> list[Workspace]:
        return list(Workspace.objects.of(self.user)) if self.user else []

    @property
    def workspace(self) -> Workspace | None:
        """The page's workspace, or the only one that the person has."""
        if self._named or len(self.workspaces) != 1:
            return self._named
        return self.workspaces[0]

    @cached_property
    def may_review(self) -> bool:
        return bool(self.user and self.workspace and may_review(self.user, self.workspace))

    @cached_property
    def may_operate(self) -> bool:
        return bool(self.user and self.workspace and may_operate(self.user, self.workspace))

    @cached_property
    def waiting(self) -> str:
        """How many reviews wait for this person here: "3", "99+", or "" for none."""
        if not self.user or not self.may_review:
            return ""
        jobs = Job.objects.awaiting(self.user).filter(workspace=self.workspace).order_by()
        count = jobs[:MOST_WAITING].count()
        return f"{MOST_WAITING - 1}+" if count == MOST_WAITING else str(count or "")

    @cached_property
    def unread(self) -> str:
        """How many notices this person has not read: "3", "99+", or "" for none."""
        count = notices.unread_count(self.user) if self.user else 0
        most = notices.MOST_UNREAD
        return f"{most - 1}+" if count == most else str(count or "")
