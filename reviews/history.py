"""What was decided in a workspace, the latest first: by people, and by deadlines without them.

Two kinds of rows are read side by side, each in the order of an index of its own, and a page's
cursor says how far it had come in both.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Self
from uuid import UUID

from django.db.models import Case, F, Q, QuerySet, When
from django.db.models.fields.tuple_lookups import Tuple, TupleLessThan
from django.utils.dateparse import parse_datetime

from jobs.ids import made_at
from jobs.models import Event, Job, Status, User, Verb, Workspace
from reviews.models import Decision, Ruling

PAGE = 25
_ENDS = (Ruling.APPROVE, Ruling.REJECT, Ruling.CANCEL)


@dataclass(frozen=True)
class Cursor:
    """The last decision and the last event of a page before; None where none was shown yet."""

    decision: UUID | None = None
    event_at: datetime | None = None
    event: int = 0

    @classmethod
    def read(cls, text: str) -> Self | None:
        """The cursor that `text` is, or None."""
        decision, _, rest = text.partition("~")
        moment, _, event = rest.partition("~")
        try:
            at = parse_datetime(moment) if moment else None
            if (at and at.tzinfo is None) or not (event or "0").isdecimal() or len(event) > 18:
                return None
            at = at and at.astimezone(UTC)
            found = cls(UUID(decision) if decision else None, at, int(event or 0))
        except (ValueError, OverflowError):
            return None
        return found if found != cls() else None

    def __str__(self) -> str:
        at = self.event_at.isoformat() if self.event_at else ""
        return f"{self.decision or ''}~{at}~{self.event or ''}"


@dataclass(frozen=True)
class Entry:
    """One line. `who` is None where a deadline decided; `level` is the one that it was lifted to or
    decided at; `closed`, that a review ended with it."""

    job: Job
    deed: str
    at: datetime
    ruling: str
    who: User | None = None
    role: str = ""
    note: str = ""
    level: int | None = None
    content_hash: str = ""
    closed: bool = False

    @property
    def since(self) -> str:
        """Whether the job is no longer as this left it, in words; "" where it is."""
        gate = self.job.open_gate
        if gate and self.content_hash and gate.content_hash != self.content_hash:
            return "Something newer waits for a decision now."
        if gate and self.closed and self.ruling in _ENDS:
            return "It is in review again."
        settled = {Ruling.APPROVE: Status.COMPLETED, Ruling.REJECT: Status.FAILED}
        left = settled.get(Ruling(self.ruling)) if self.ruling in Ruling.values else None
        if left is Status.FAILED and self.job.status != left:
            return "It was tried again since."
        return ""


@dataclass(frozen=True)
class Page:
    entries: Sequence[Entry]
    next: str


def page(
    workspace: Workspace,
    *,
    person: User | None = None,
    ruling: Ruling | None = None,
    after: str = "",
) -> Page:
    """The latest, or those behind `after`. With a person or a ruling, only what people decided."""
    cursor = Cursor.read(after) or Cursor()
    rows = _decision_rows(workspace, person, ruling, cursor)
    # Not joined: a planner that begins with a small table would sort all that there is.
    shown = ("job__job_type", "job__open_gate")
    decisions = list(rows.prefetch_related("actor", *shown)[: PAGE + 1])
    events: list[Event] = []
    if not person and not ruling:
        for verb in (Verb.ESCALATED, Verb.EXPIRED):
            found_events = _event_rows(workspace, verb, cursor).prefetch_related(*shown)
            events += found_events[: PAGE + 1]
        events.sort(key=lambda event: (event.at, event.pk), reverse=True)
    found: list[Entry] = []
    while (decisions or events) and len(found) < PAGE:
        if not events or (decisions and made_at(decisions[0].pk) >= events[0].at):
            decision = decisions.pop(0)
            cursor = replace(cursor, decision=decision.pk)
            found.append(_of_decision(decision))
        else:
            event = events.pop(0)
            cursor = replace(cursor, event_at=event.at, event=event.pk)
            found.append(_of_event(event))
    return Page(found, str(cursor) if decisions or events else "")


def count(workspace: Workspace, most: int) -> int:
    """How often people decided there, counted up to `most`."""
    return Decision.objects.filter(workspace=workspace).order_by()[:most].count()


def _decision_rows(
    workspace: Workspace, person: User | None, ruling: Ruling | None, cursor: Cursor
) -> QuerySet[Decision]:
    rows = Decision.objects.filter(workspace=workspace)
    if person:
        rows = rows.filter(actor=person)
    if ruling:
        rows = rows.filter(ruling=ruling)
    if cursor.decision:
        rows = rows.filter(id__lt=cursor.decision)
    return rows.order_by("-id")


def _event_rows(workspace: Workspace, verb: Verb, cursor: Cursor) -> QuerySet[Event]:
    """What nobody did to reviews, of one kind: there is an index for each."""
    ours = Q(job__workspace=workspace, actor=None)
    if verb is Verb.EXPIRED:
        ours &= Q(from_status=Status.NEEDS_REVIEW)
    # Inside a CASE, what is asked besides leads no planner to another index.
    rows = Event.objects.filter(verb=verb)
    rows = rows.alias(ours=Case(When(ours, then=True), default=False)).filter(ours=True)
    if cursor.event_at:
        rows = rows.filter(TupleLessThan(Tuple(F("at"), F("id")), (cursor.event_at, cursor.event)))
    return rows.order_by("-at", "-id")


def _of_decision(decision: Decision) -> Entry:
    return Entry(
        decision.job,
        decision.deed,
        decision.at,
        decision.ruling,
        who=decision.actor,
        role=decision.get_role_display(),
        note=decision.note,
        level=decision.level,
        content_hash=decision.content_hash,
        closed=decision.closes,
    )


def _of_event(event: Event) -> Entry:
    escalated = event.verb == Verb.ESCALATED
    deed = "Escalated by itself" if escalated else "Time ran out"
    level = event.data.get("level") if isinstance(event.data, dict) else None
    return Entry(event.job, deed, event.at, event.verb, note=event.reason_text, level=level)
