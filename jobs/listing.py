"""The list of jobs: what is asked for, what matches, and how many there are of each status.

No question walks a whole table. It goes through the rows of an index in their order, newest first,
and looks at `LOOKED` of them at most, or `READ` where texts are searched; what no index holds is
asked of these alone. Where that was not all, counts carry a "+" and a page says how far back it
looked, and goes on from there.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import cached_property
from typing import Any
from uuid import UUID

from django.db import models
from django.db.models import Case, Count, OuterRef, Q, QuerySet, Subquery, When
from django.db.models.lookups import IsNull

from jobs.access import Action, allowed_actions, roles_of
from jobs.ids import first_id_at, is_ref, made_at, read_ref
from jobs.models import (
    LIVE,
    SEES_ALL,
    Document,
    Job,
    JobType,
    Lane,
    Result,
    Role,
    Status,
    User,
    Workspace,
)
from jobs.operations import causes
from jobs.operations.snapshot import Counted
from jobs.text import clipped

#: How many rows of an index one question goes through.
LOOKED = 10_000
#: The same where it reads the texts of each: PostgreSQL takes some 30 µs for one.
READ = 3_000
#: Jobs on a page.
PAGE = 25
#: Words of a search that count.
MOST_WORDS = 8
#: Jobs of a person's own that the page of workspaces looks at.
NEWEST_OWN = 1_000


class Whose(models.TextChoices):
    ALL = "all", "Everyone’s"
    MINE = "mine", "Mine"


@dataclass(frozen=True)
class Wanted:
    """What somebody asks to see. `until` is the last day, not the first one after it; days are
    UTC's. `types` are what the word for the type stands for: a workspace may have its own."""

    status: Status | None = None
    types: Sequence[JobType] = ()
    lane: Lane | None = None
    whose: Whose = Whose.ALL
    since: date | None = None
    until: date | None = None
    archived: bool = False
    reason: str = ""
    text: str = ""

    @property
    def why(self) -> str:
        """The reason in words."""
        return causes.explain(self.reason).text if self.reason else ""

    @property
    def words(self) -> list[str]:
        return self.text.split()[:MOST_WORDS]

    def said(self) -> list[str]:
        """Each thing that narrows the list, in words."""
        said = [
            f"status {self.status.label.lower()}" if self.status else "",
            "archived" if self.archived else "",
            f"type {self.types[0]}" if self.types else "",
            f"lane {self.lane.label.lower()}" if self.lane else "",
            f"reason {self.reason}" if self.reason else "",
            "requested by you" if self.whose is Whose.MINE else "",
            f"from {self.since:%d %b %Y}" if self.since else "",
            f"until {self.until:%d %b %Y}" if self.until else "",
            f"“{clipped(self.text, 80)}”" if self.words else "",
        ]
        return [part for part in said if part]


@dataclass(frozen=True)
class Page:
    """Jobs, newest first. `newer` and `older` are the cursors of the pages beside it. `looked_to`
    is the moment at which looking stopped, after `looked` jobs, where more may match further on."""

    jobs: Sequence[Job] = ()
    newer: UUID | None = None
    older: UUID | None = None
    looked_to: datetime | None = None
    looked: Counted | None = None

    @property
    def is_live(self) -> bool:
        return any(job.status in LIVE for job in self.jobs)


@dataclass(frozen=True)
class Counts:
    """`most` is how far anything is counted."""

    by_status: Mapping[Status, Counted]
    archived: Counted
    most: int

    @property
    def all(self) -> Counted:
        number = sum(count.number for count in self.by_status.values())
        more = any(count.more for count in self.by_status.values())
        return Counted(min(number, self.most), more=more or number > self.most)


class Listing:
    """The jobs of `workspace` that `user` may see, as they are `wanted`."""

    def __init__(self, user: User, workspace: Workspace, wanted: Wanted) -> None:
        self.user = user
        self.workspace = workspace
        self.wanted = wanted
        self.sees_all = bool(roles_of(user, workspace) & SEES_ALL)
        self._own = wanted.whose is Whose.MINE or not self.sees_all
        #: How many jobs one look goes through.
        self.looks = READ if wanted.words else LOOKED

    def page(self, *, before: UUID | None = None, after: UUID | None = None) -> Page:
        """The newest jobs; those next older than the cursor `before`, or next newer than `after`.
        A cursor need not be a job's id. New jobs move nothing between pages."""
        rows, also = self._reach(self.wanted.status, archived=self.wanted.archived)
        if after:
            return self._newer(rows, also, after) or self.page()
        if before:
            rows = rows.filter(id__lt=before)
        found, edge = self._look_through(rows.order_by("-id"), also)
        shown = found[:PAGE]
        newer = (shown[0].pk if shown else before) if before else None
        if len(found) > PAGE:
            return Page(shown, newer=newer, older=shown[-1].pk)
        if edge is None:
            return Page(shown, newer=newer)
        looked = Counted(self.looks)
        return Page(shown, newer=newer, older=edge, looked_to=made_at(edge), looked=looked)

    def is_new(self, page: Page) -> bool:
        """Whether `page` is empty because there is nothing at all, archived jobs aside."""
        return self.wanted == Wanted() and not (page.jobs or page.newer or page.older)

    @cached_property
    def counts(self) -> Counts:
        """How many there would be of each status, and archived, with the rest as it is wanted."""
        by_status = {status.value: Q(status=status) for status in Status}
        if self._own:
            kept = {name: Q(archived_at=None) & status for name, status in by_status.items()}
            numbers = self._count(None, None, {**kept, "archived": Q(archived_at__isnull=False)})
        elif self.wanted.words:
            # Texts are read once for all statuses.
            numbers = self._count(None, False, by_status)
            numbers |= self._count(None, True, {"archived": Q()})
        else:
            numbers = self._count(None, True, {"archived": Q()})
            for status in Status:
                numbers |= self._count(status, False, {status.value: Q()})
        counted = {status: numbers[status.value] for status in Status}
        return Counts(counted, numbers["archived"], most=self.looks)

    def _count(
        self, status: Status | None, archived: bool | None, kinds: Mapping[str, Q]
    ) -> dict[str, Counted]:
        rows, also = self._reach(status, archived=archived)
        newest = rows.order_by("-id")[: self.looks + 1]
        counts = {
            f"n_{name}": Count("pk", filter=also & kind or None) for name, kind in kinds.items()
        }
        numbers = newest.aggregate(seen=Count("*"), **counts)
        more = numbers["seen"] > self.looks
        return {name: Counted(min(numbers[f"n_{name}"], self.looks), more) for name in kinds}

    def _newer(self, rows: QuerySet[Job], also: Q, after: UUID) -> Page | None:
        """None where they would not fill a page: the newest page shows them as well."""
        found, edge = self._look_through(rows.filter(id__gt=after).order_by("id"), also)
        shown = found[:PAGE][::-1]
        if len(found) > PAGE:
            return Page(shown, newer=shown[0].pk, older=shown[-1].pk)
        return Page(shown, newer=edge, older=after) if edge else None

    def _reach(self, status: Status | None, *, archived: bool | None) -> tuple[QuerySet[Job], Q]:
        """Rows that an index holds together, in the order of ids; and what they must be besides,
        which is asked of each."""
        wanted, also = self.wanted, Q()
        if self._own:
            rows = Job.objects.filter(requester=self.user)
            also &= Q(workspace=self.workspace)
            if archived is not None:
                also &= Q(archived_at__isnull=not archived)
        else:
            rows = Job.objects.filter(workspace=self.workspace, archived_at__isnull=not archived)
        if status and not self._own and not archived:
            rows = rows.filter(status=status)
        elif status:
            also &= Q(status=status)
        if wanted.since:
            rows = rows.filter(id__gte=first_id_at(_midnight(wanted.since)))
        if wanted.until:
            rows = rows.filter(id__lt=first_id_at(_midnight(wanted.until) + timedelta(days=1)))
        if wanted.types:
            also &= Q(job_type__in=[job_type.pk for job_type in wanted.types])
        if wanted.lane:
            also &= Q(lane=wanted.lane)
        if wanted.reason:
            also &= Q(reason_code=wanted.reason)
        if wanted.words:
            rows = rows.alias(says=Case(When(self._says, then=True), default=False))
            also &= Q(says=True)
        return rows, also

    def _look_through(self, rows: QuerySet[Job], also: Q) -> tuple[list[Job], UUID | None]:
        """The first of the ordered `rows` that match, one more than a page; and the last one that
        was looked at, where there may be more behind it."""
        edge = None
        if also:
            edge = rows.values_list("id", flat=True)[self.looks : self.looks + 1].first()
            if edge:
                backwards = rows.query.order_by[0] == "-id"
                rows = rows.filter(Q(id__gte=edge) if backwards else Q(id__lte=edge))
            # Inside a CASE the planner does not see it, and keeps to the index of the rows.
            rows = rows.alias(kept=Case(When(also, then=True), default=False)).filter(kept=True)
        shown = rows.select_related("job_type", "requester", "cancel_requested_by").defer("input")
        return list(shown[: PAGE + 1]), edge

    @cached_property
    def _says(self) -> Q:
        """Each word stands in the title, in a document's name, in the name of the type, or in a
        result that this person may read."""
        says = Q()
        types = JobType.objects.filter(Q(workspace=None) | Q(workspace=self.workspace))
        named = dict(types.order_by().values_list("pk", "name"))
        for word in self.wanted.words:
            of_type = [pk for pk, name in named.items() if word.casefold() in name.casefold()]
            says &= (
                _contains("input_summary", word)
                | Q(job_type__in=of_type)
                | _any(Document.objects.filter(_contains("name", word), job=OuterRef("pk")))
                | self._result_says(word)
            )
        return says

    def _result_says(self, word: str) -> Q:
        """As `jobs.access` has it: a requester reads the result of a completed job."""
        produced, edited = _contains("text", word), _contains("edit__text", word)
        results = Result.objects.filter(attempt__job=OuterRef("pk"))
        if self.sees_all:
            return _any(results.filter(produced | edited))
        # What a reviewer has taken out is not to be found.
        read = results.filter(Q(produced, edit=None) | edited, deliverable=True)
        return Q(status=Status.COMPLETED) & _any(read)


def _any(texts: QuerySet[Any]) -> Q:
    """Whether there are any, asked of job after job. For an EXISTS, PostgreSQL may read the whole
    table of texts first."""
    return Q(IsNull(Subquery(texts.order_by().values("pk")[:1]), False))


def _contains(field: str, word: str) -> Q:
    """Whatever the case, of which SQLite, and PostgreSQL with the locale C, know ASCII's alone."""
    spellings = {word} if word.isascii() else {word, word.lower(), word.upper(), word.capitalize()}
    found = Q()
    for spelling in sorted(spellings):
        found |= Q(**{f"{field}__icontains": spelling})
    return found


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)


def job_named(user: User, text: str) -> Job | None:
    """The job whose reference `text` is, in any workspace, if `user` may see it."""
    if not is_ref(text):
        return None
    job = Job.objects.select_related("job_type", "open_gate").filter(ref=read_ref(text)).first()
    return job if job and allowed_actions(user, job)[Action.VIEW].allowed else None


@dataclass(frozen=True)
class Place:
    """A workspace as its member finds it: `reviews` wait for them, `live` jobs are theirs."""

    workspace: Workspace
    roles: Sequence[Role]
    reviews: Counted
    live: Counted


def places(user: User) -> list[Place]:
    """Each workspace of `user`. Of their own jobs the newest `NEWEST_OWN` are looked at."""
    roles: dict[int, list[Role]] = {}
    for workspace, role in user.memberships.values_list("workspace", "role"):
        roles.setdefault(workspace, []).append(Role(role))
    awaiting = Job.objects.awaiting(user).order_by().values_list("workspace", flat=True)
    reviews = Counter(awaiting[: LOOKED + 1])
    own = Job.objects.filter(requester=user).order_by("-id")
    newest = own.values_list("workspace", "status")[:NEWEST_OWN]
    live = Counter(workspace for workspace, status in newest if status in LIVE)
    everywhere = [Role.ADMIN] if user.is_superuser else []
    return [
        Place(
            workspace,
            sorted(set(roles.get(workspace.pk, []) + everywhere), key=list(Role).index),
            Counted(reviews[workspace.pk]),
            Counted(live[workspace.pk]),
        )
        for workspace in Workspace.objects.of(user)
    ]
