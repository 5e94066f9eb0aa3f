"""The ladder of a review: who decides at which level, how many of them, and what happens by itself
when nobody does. Pure but for reading a type's levels."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from jobs.models import Gate, JobType, Role, Verb


@dataclass(frozen=True)
class Rung:
    """One level. `within` is in seconds; None: the type's `review_within`."""

    number: int
    name: str
    role: Role
    approvals: int = 1
    within: int | None = None


#: The ladder of a type that has none of its own.
DEFAULT = (Rung(1, "Reviewers", Role.REVIEWER), Rung(2, "Leads", Role.LEAD))


def ladder(job_type: JobType) -> tuple[Rung, ...]:
    """A type's levels, from the lowest."""
    rows = sorted(job_type.levels.all(), key=lambda row: row.number)
    if not rows:
        return DEFAULT
    return tuple(
        Rung(at, row.name, Role(row.role), row.approvals, row.within)
        for at, row in enumerate(rows, 1)
    )


def rung(job_types: Sequence[JobType], number: int) -> Rung:
    """The level `number` of the first type's ladder, or its highest where that ends before. The
    other ones are those of the jobs that a follow-up rests on: none asks for less than they do."""
    own, *others = [ladder(job_type) for job_type in job_types]
    here = own[min(number, len(own)) - 1]
    same = [rungs[min(number, len(rungs)) - 1] for rungs in others]
    return Rung(
        here.number,
        here.name,
        Role.LEAD if Role.LEAD in {one.role for one in (here, *same)} else here.role,
        max(one.approvals for one in (here, *same)),
        here.within,
    )


def top(job_type: JobType) -> int:
    """How many levels a review of this type has."""
    return len(ladder(job_type))


def pinned(job_types: Sequence[JobType], number: int, *, now: datetime) -> dict[str, Any]:
    """What a gate is given that comes to level `number` now, as fields of its row."""
    job_type, here = job_types[0], rung(job_types, number)
    whole = timedelta(seconds=here.within or job_type.review_within)
    due_at = now + whole
    remind_at = _share(now, whole, job_type.remind_after)
    escalate_at = _share(now, whole, job_type.escalate_after)
    if here.number >= top(job_type):
        escalate_at = None
    if remind_at and escalate_at and remind_at >= escalate_at:
        remind_at = None
    fields = {
        "level": here.number,
        "level_name": here.name,
        "role": here.role,
        "approvals": here.approvals,
        "due_at": due_at,
        "remind_at": remind_at,
        "escalate_at": escalate_at,
    }
    expires = job_type.expire_overdue_review
    first = _after(None, remind_at, escalate_at, None if expires else due_at)
    return {**fields, "expires": expires, "watch_at": first}


def step_due(job_type: JobType, gate: Gate, now: datetime) -> Verb | None:
    """What happens by itself at an open gate now. Where several moments went by unseen, only what
    is left to do: nobody is reminded of what is overdue, and what should have gone up goes up, unless
    the ladder was shortened since."""
    if gate.watch_at is None or gate.watch_at > now:
        return None
    if gate.escalate_at and gate.escalate_at <= now and gate.level < top(job_type):
        return Verb.ESCALATED
    if gate.due_at <= now:
        return None if gate.expires else Verb.OVERDUE
    return Verb.REMINDED if gate.remind_at and gate.remind_at <= now else None


def to_come(gate: Gate, now: datetime) -> dict[str, Any]:
    """What of an open gate's moments is still to come after `now`, as fields of its row."""
    remind_at, escalate_at = (
        moment if moment and moment > now else None for moment in (gate.remind_at, gate.escalate_at)
    )
    due_at = None if gate.expires else gate.due_at
    watch_at = _after(now, remind_at, escalate_at, due_at)
    return {"remind_at": remind_at, "escalate_at": escalate_at, "watch_at": watch_at}


def _share(begins: datetime, whole: timedelta, percent: int | None) -> datetime | None:
    return begins + whole * percent / 100 if percent else None


def _after(now: datetime | None, *moments: datetime | None) -> datetime | None:
    coming = [moment for moment in moments if moment and (now is None or moment > now)]
    return min(coming, default=None)
