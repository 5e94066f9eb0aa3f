"""Carrying one ruling out on many jobs, as they were looked over (`reviews.preflight`).

Each is an ordinary decision by that person, on the content that waited then: the same rule, the same
constraints. An item and its decision are written in one transaction, so that a kill at any moment
leaves it either to do or done.
"""

import logging
import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import DatabaseError, transaction
from django.db.models import Count, F, Min, Q, QuerySet
from django_q.tasks import async_task

from jobs import lifecycle
from jobs.access import NotAllowed, NotNow
from jobs.ballots import ballots
from jobs.models import Job, User, Verb
from jobs.text import clean
from reviews import claims, preflight
from reviews.actions import NEEDS_NOTE, Ask, decide
from reviews.models import (
    UNDER_WAY,
    BulkAction,
    BulkItem,
    BulkState,
    Hindrance,
    Outcome,
    Ruling,
)
from reviews.notes import LONGEST_NOTE, NoteMissing
from reviews.preflight import hindrance

logger = logging.getLogger(__name__)

WORK = "reviews.tasks.work_bulk"
#: How long what was looked over may be started.
PLAN_LASTS = timedelta(hours=1)
#: How long a worker holds an action without finishing an item.
LEASE = timedelta(seconds=30)
#: An action whose task was lost is handed to the queue again after this.
NUDGE_AGAIN = timedelta(seconds=15)
#: One task decides this many, and for this long at most; then the next one goes on.
AT_ONCE = 200
WORK_LASTS = timedelta(seconds=8)
#: After so many workers in a row have died on it, an item is left out.
MOST_STRIKES = 3

_NEVER_ENDED = "It was tried several times and never finished. Look at it by itself."
_LET_GO: dict[str, Any] = {"lease_token": None, "lease_until": None}


@dataclass(frozen=True)
class Group:
    """Items that are not done for the same kind of reason, with the sentence of one of them."""

    hindrance: Hindrance
    number: int
    example: str


@dataclass(frozen=True)
class Tally:
    """`able` could be done when they were looked over; of these `done`, `pending` and `refused`.
    `left_out` could not. `partial` of those that are done are approvals that others had to join."""

    able: int
    done: int
    pending: int
    refused: Sequence[Group]
    left_out: Sequence[Group]
    partial: int = 0

    @property
    def whole(self) -> int:
        return self.done - self.partial

    @property
    def refused_count(self) -> int:
        return sum(group.number for group in self.refused)

    @property
    def left_out_count(self) -> int:
        return sum(group.number for group in self.left_out)

    @property
    def not_done(self) -> int:
        return self.refused_count + self.left_out_count

    @property
    def total(self) -> int:
        return self.able + self.left_out_count

    @property
    def settled(self) -> int:
        return self.able - self.pending


@dataclass(frozen=True)
class Caution:
    """What somebody should know of those that would be done: how many have warnings, and for how
    many others must approve as well."""

    warned: int
    shared: int


def tally(action: BulkAction) -> Tally:
    rows = action.items.order_by().values("planned", "outcome", "hindrance", "decision__partial")
    groups = list(rows.annotate(number=Count("pk"), example=Min("said")))

    def number(outcome: Outcome) -> int:
        return sum(row["number"] for row in groups if row["outcome"] == outcome)

    def refused(*, planned: bool) -> list[Group]:
        return [
            Group(Hindrance(row["hindrance"]), row["number"], row["example"])
            for row in sorted(groups, key=lambda row: -row["number"])
            if row["outcome"] == Outcome.REFUSED and row["planned"] is planned
        ]

    able = sum(row["number"] for row in groups if row["planned"])
    return Tally(
        able,
        number(Outcome.DONE),
        number(Outcome.PENDING),
        refused(planned=True),
        refused(planned=False),
        sum(row["number"] for row in groups if row["decision__partial"]),
    )


def more_needed(items: Iterable[BulkItem]) -> dict[int, int]:
    """By the key of an item: how many more must approve, once this person has. 0 is none any more:
    somebody has decided it since. Those are left out for which nobody else is needed."""
    shared = {item.pk: item for item in items if item.decision is None or item.decision.partial}
    rows = Job.objects.filter(pk__in=[item.job_id for item in shared.values()])
    rows = rows.select_related("job_type", "workspace", "open_gate").defer("input")
    jobs = {job.pk: job for job in rows}
    given = ballots(list(jobs.values()))
    found: dict[int, int] = {}
    for item in shared.values():
        gate = jobs[item.job_id].open_gate
        missing = 0
        if gate and gate.pk == item.gate_id:
            missing = gate.approvals - len(given[item.job_id].counting)
        if item.decision:
            found[item.pk] = missing
        elif missing > 1:
            found[item.pk] = missing - 1
    return found


def caution(action: BulkAction) -> Caution:
    pending = action.items.filter(outcome=Outcome.PENDING)
    several = pending.filter(gate__approvals__gt=1)
    shared = more_needed(several) if action.ruling == Ruling.APPROVE else {}
    return Caution(pending.exclude(job__warnings=[]).count(), len(shared))


def start(action: BulkAction, user: User, *, note: str, now: datetime) -> None:
    """Begin. Raises `NotNow` where it has begun or is too old, and `NoteMissing`."""
    ruling, note = Ruling(action.ruling), str(clean(note))
    if action.state == BulkState.LOOKING:
        raise NotNow(f"{action.ref} is still being looked over.")
    if action.state != BulkState.PLANNED:
        raise NotNow(f"{action.ref} has begun already.")
    if now - action.created_at > PLAN_LASTS:
        raise NotNow("This was looked over more than an hour ago. Choose the jobs again.")
    if ruling in NEEDS_NOTE and not note.strip():
        raise NoteMissing(f"{ruling.label} needs a note that says {NEEDS_NOTE[ruling]}.")
    if len(note) > LONGEST_NOTE:
        raise NoteMissing(f"A note can have {LONGEST_NOTE:,} characters at most.")
    if not action.items.filter(outcome=Outcome.PENDING).exists():
        raise NotNow("None of these jobs can be decided like this.")
    planned = BulkAction.objects.filter(pk=action.pk, person=user, state=BulkState.PLANNED)
    with transaction.atomic():
        if not planned.update(
            state=BulkState.RUNNING, note=note, started_at=now, next_check_at=now + NUDGE_AGAIN
        ):
            raise NotNow(f"{action.ref} has begun already.")
        transaction.on_commit(lambda: async_task(WORK, action_id=str(action.pk)))


def stop(action: BulkAction, *, now: datetime) -> None:
    """Leave the rest as it is; one that is being decided is still finished. Raises `NotNow`."""
    if not _end(BulkAction.objects.filter(pk=action.pk), BulkState.STOPPED, now):
        raise NotNow(f"{action.ref} is not under way any more.")


def revive(now: datetime) -> None:
    """Hand actions whose task was lost to the queue again."""
    for action in BulkAction.objects.due(now).order_by("next_check_at")[:20]:
        taken = BulkAction.objects.filter(pk=action.pk, next_check_at=action.next_check_at)
        if taken.update(next_check_at=now + NUDGE_AGAIN):
            async_task(WORK, action_id=str(action.pk))


def work(action_id: UUID, *, clock: Callable[[], datetime]) -> None:
    """Decide the next items, or look the next ones over. Does nothing where somebody else is at it,
    or it is not under way."""
    token, began = uuid.uuid4(), clock()
    mine = BulkAction.objects.filter(pk=action_id, state__in=UNDER_WAY)
    free = mine.filter(Q(lease_until=None) | Q(lease_until__lte=began))
    if not free.update(lease_token=token, lease_until=began + LEASE, strikes=F("strikes") + 1):
        return
    mine = mine.filter(lease_token=token)
    action = BulkAction.objects.select_related("person", "assignee").get(pk=action_id)
    if action.state == BulkState.LOOKING:
        _look_over(action, mine, clock)
        return
    items = action.items.filter(outcome=Outcome.PENDING).order_by("id")
    for number, item in enumerate(list(items[:AT_ONCE])):
        if number == 0 and action.strikes > MOST_STRIKES:
            _refuse(item, Hindrance.BROKEN, _NEVER_ENDED)
        elif not _carry_out(action, item, token, clock()):
            return
        if clock() - began > WORK_LASTS:
            break
    if not items.exists():
        _end(mine, BulkState.DONE, clock())
    else:
        _goes_on(action, mine, clock())


def _look_over(
    action: BulkAction, mine: QuerySet[BulkAction], clock: Callable[[], datetime]
) -> None:
    """Look over what is next; once all are, it waits for its person. After a worker has died on it,
    one at a time, so that the one that kills them is found."""
    began = clock()
    if action.strikes > MOST_STRIKES:
        first = action.items.filter(outcome=Outcome.NEW).order_by("id")[:1]
        BulkItem.objects.filter(pk__in=list(first.values_list("pk", flat=True))).update(
            outcome=Outcome.REFUSED, planned=False, hindrance=Hindrance.BROKEN, said=_NEVER_ENDED
        )
    limit = 1 if action.strikes > 1 else preflight.PART
    while preflight.look_over(action, now=clock(), limit=limit):
        if clock() - began > WORK_LASTS:
            _goes_on(action, mine, clock())
            return
    mine.update(state=BulkState.PLANNED, next_check_at=None, strikes=0, **_LET_GO)


def _goes_on(action: BulkAction, mine: QuerySet[BulkAction], now: datetime) -> None:
    """The next task goes on with it."""
    if mine.update(**_LET_GO, strikes=0, next_check_at=now + NUDGE_AGAIN):
        async_task(WORK, action_id=str(action.pk))


def _carry_out(action: BulkAction, item: BulkItem, token: UUID, now: datetime) -> bool:
    """Decide one item. False where the action was stopped, or is somebody else's by now."""
    held = BulkAction.objects.filter(pk=action.pk, state=BulkState.RUNNING, lease_token=token)
    ask = Ask(
        Ruling(action.ruling),
        action.person,
        now,
        action.note,
        content_hash=item.content_hash,
        assignee=action.assignee.get_username() if action.assignee else "",
        # Whoever the note names is told once, not job by job.
        quiet="@" in action.note and action.items.filter(outcome=Outcome.DONE).exists(),
    )
    try:
        with transaction.atomic():
            if not held.update(lease_until=now + LEASE, strikes=0):
                return False
            to_do = BulkItem.objects.select_for_update().filter(pk=item.pk)
            if not to_do.filter(outcome=Outcome.PENDING).exists():
                return True
            with lifecycle.locked(item.job_id) as job:
                _check_unmoved(job, item, action, now)
                decision = decide(item.job_id, ask)
            to_do.update(outcome=Outcome.DONE, decision=decision)
            return True
    except (NotAllowed, NotNow, ValueError) as error:
        _refuse(item, _kind(action, item, error, now), str(error))
    except DatabaseError:
        # The lease lapses, and another task tries again.
        raise
    except Exception:
        logger.exception("%s: job %s was not decided", action.ref, item.job_id)
        said = "Something went wrong, and nothing was changed. Look at it by itself."
        _refuse(item, Hindrance.BROKEN, said)
    return True


def _check_unmoved(job: Job, item: BulkItem, action: BulkAction, now: datetime) -> None:
    """The same gate waits as when it was looked over, and nobody else has it open."""
    if job.open_gate and job.open_gate.pk != item.gate_id:
        raise NotNow(f"{job.ref} was decided since, and waits again. Look at it again.")
    if _went_up(job, action):
        raise NotNow(f"{job.ref} was escalated since. Look at it again.")
    held = claims.held_by(job.open_gate, now=now) if job.open_gate else None
    if job.open_gate and held and held.holder != action.assignee:
        claims.check(job.open_gate, action.person, now=now)


def _went_up(job: Job, action: BulkAction) -> bool:
    """Whether a job that is to be escalated was escalated since it was looked over."""
    if action.ruling != Ruling.ESCALATE:
        return False
    return job.events.filter(verb=Verb.ESCALATED, at__gt=action.created_at).exists()


def _kind(action: BulkAction, item: BulkItem, error: Exception, now: datetime) -> Hindrance:
    """The kind of reason for which a decision was refused: the refusal itself is a sentence."""
    if isinstance(error, NotAllowed):
        return Hindrance.NOT_YOURS
    job = Job.objects.select_related("job_type", "open_gate__claimed_by").get(pk=item.job_id)
    if job.open_gate and (job.open_gate.pk != item.gate_id or _went_up(job, action)):
        return Hindrance.CHANGED
    ruling, seen = Ruling(action.ruling), item.content_hash
    why = hindrance(job, action.person, ruling, seen, now, action.assignee)
    return why[0] if why else Hindrance.NOT_NOW


def _refuse(item: BulkItem, kind: Hindrance, said: str) -> None:
    BulkItem.objects.filter(pk=item.pk, outcome=Outcome.PENDING).update(
        outcome=Outcome.REFUSED, hindrance=kind, said=said or kind.label
    )


def _end(rows: Any, state: BulkState, now: datetime) -> int:
    ended: int = rows.filter(state=BulkState.RUNNING).update(
        state=state, ended_at=now, next_check_at=None, strikes=0, **_LET_GO
    )
    return ended
