"""Who changed what: the history page of everything that is configured."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.contrib.admin.models import LogEntry
from django.contrib.admin.options import get_content_type_for_model
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.db import models
from django.db.models import Q
from django.http import Http404, HttpRequest
from django.template.response import TemplateResponse
from django.utils.text import capfirst

from jobs.admin.lists import Dressed, person
from jobs.models import JobType, Membership, ReviewLevel, Role, User, Workspace

#: Lines of a history page. Older ones stay in the database.
MOST_LINES = 200


@dataclass(frozen=True)
class Change:
    """One value that became another. A long one is folded away."""

    label: str
    before: str
    after: str

    @property
    def is_long(self) -> bool:
        return "\n" in self.before + self.after or len(self.before + self.after) > 120


@dataclass(frozen=True)
class Line:
    at: datetime
    who: str
    said: str
    changes: tuple[Change, ...] = ()


class WithHistory(Dressed):
    """A page whose *History* tells of the model's own records instead of this admin's log, which
    does not see what other doors change."""

    object_history_template = "admin/room/history.html"

    def history_view(
        self, request: HttpRequest, object_id: str, extra_context: Any = None
    ) -> TemplateResponse:
        row = self.get_object(request, unquote(object_id))
        if row is None:
            raise Http404(f"There is no {self.opts.verbose_name} {object_id}.")
        if not self.has_view_or_change_permission(request, row):
            raise PermissionDenied
        lines = sorted(self.history_lines(request, row), key=lambda line: line.at, reverse=True)
        context = {
            **self.admin_site.each_context(request),
            "title": f"History of {row}",
            "subtitle": None,
            "lines": lines[:MOST_LINES],
            "more": len(lines) > MOST_LINES,
            "most": MOST_LINES,
            "module_name": str(capfirst(self.opts.verbose_name_plural)),
            "object": row,
            "opts": self.opts,
            "media": self.media,
        }
        request.current_app = self.admin_site.name
        return TemplateResponse(request, self.object_history_template, context)

    def history_lines(self, request: HttpRequest, row: Any) -> Iterable[Line]:
        return changes_of(row)


def changes_of(row: Any) -> Iterator[Line]:
    """The row's own records, newest first, each with what it changed."""
    newest = row.history.select_related("history_user").order_by("-history_date", "-history_id")
    records = list(newest[: MOST_LINES + 2])
    for index, record in enumerate(records[: MOST_LINES + 1]):
        before = records[index + 1] if index + 1 < len(records) else None
        changes = tuple(_compared(before, record)) if before and record.history_type == "~" else ()
        if record.history_type == "~" and before and not changes:
            continue
        said = {"+": "Made", "~": "Changed", "-": "Deleted"}[record.history_type]
        yield Line(record.history_date, _who(record), said, changes)


def memberships_of(who_or_where: User | Workspace, within: Any = None) -> Iterator[Line]:
    """What happened to the roles of a person, or in a workspace. `within` limits the workspaces."""
    history = Membership.history
    if isinstance(who_or_where, User):
        records = history.filter(user_id=who_or_where.pk)
    else:
        records = history.filter(workspace_id=who_or_where.pk)
    if within is not None:
        records = records.filter(workspace_id__in=within)
    rows = list(
        records.select_related("history_user").order_by("-history_date", "-history_id")[
            : MOST_LINES + 1
        ]
    )
    people = dict(_names(User, "username", {row.user_id for row in rows}))
    places = dict(_names(Workspace, "name", {row.workspace_id for row in rows}))
    for index, row in enumerate(rows):
        name = people.get(row.user_id, f"account {row.user_id}")
        place = places.get(row.workspace_id, f"workspace {row.workspace_id}")
        role = _role(row.role)
        said = {
            "+": f"{name} became {role} in {place}",
            "~": f"{name} is {role} in {place} now",
            "-": f"{name} is no longer {role} in {place}",
        }[row.history_type]
        before = next((r for r in rows[index + 1 :] if r.id == row.id), None)
        if row.history_type == "~" and before:
            said += f" (before: {_role(before.role)})"
        yield Line(row.history_date, _who(row), said)


def levels_of(job_type: JobType) -> Iterator[Line]:
    """What happened to the levels of a type's reviews."""
    records = ReviewLevel.history.filter(job_type_id=job_type.pk).select_related("history_user")
    rows = list(records.order_by("-history_date", "-history_id")[: MOST_LINES + 1])
    for index, row in enumerate(rows):
        before = next((r for r in rows[index + 1 :] if r.id == row.id), None)
        changes = tuple(_compared(before, row)) if before and row.history_type == "~" else ()
        if row.history_type == "~" and before and not changes:
            continue
        done = {"+": "was added", "~": "was changed", "-": "was taken out"}[row.history_type]
        yield Line(row.history_date, _who(row), f"Level {row.number}, {row.name}, {done}", changes)


def logged(row: Any) -> Iterator[Line]:
    """What this admin's own log has: for accounts, whose passwords belong in no history."""
    entries = LogEntry.objects.filter(
        object_id=str(row.pk), content_type=get_content_type_for_model(row)
    )
    for entry in entries.select_related("user").order_by("-action_time")[: MOST_LINES + 1]:
        yield Line(entry.action_time, entry.user.get_username(), entry.get_change_message())


def _compared(before: Any, after: Any) -> Iterator[Change]:
    for field in after.tracked_fields:
        old, new = getattr(before, field.attname), getattr(after, field.attname)
        if old != new:
            yield Change(str(field.verbose_name), _worded(field, old), _worded(field, new))


def _worded(field: models.Field, value: Any) -> str:
    if value is None or value == "":
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(field, models.JSONField):
        return json.dumps(value, indent=2, ensure_ascii=False)
    if isinstance(field, models.ForeignKey):
        named = field.remote_field.model._base_manager.filter(pk=value).first()
        return str(named) if named else f"no. {value}"
    return str(dict(field.flatchoices).get(value, value))


def _names(model: Any, field: str, pks: set[int]) -> Iterable[tuple[int, str]]:
    rows: Iterable[tuple[int, str]] = model.objects.filter(Q(pk__in=pks)).values_list("pk", field)
    return rows


def _role(role: str) -> str:
    return Role(role).label.lower() if role in Role.values else role


def _who(record: Any) -> str:
    user = record.history_user
    return user.get_username() if user else "Jobsite"


def may_see(request: HttpRequest) -> Any:
    """The workspaces whose memberships this person sees; None for all."""
    user = person(request)
    return None if user.is_superuser else Workspace.objects.overseen_by(user).values("pk")
