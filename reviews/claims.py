"""Who has a review open: a lease on the gate that renews while the page is open, and lapses.

It keeps two people from doing the same work. What keeps them from deciding twice is the gate.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Q

from jobs.access import AT_GATE, Action, NotAllowed, NotNow, Permission, allowed_actions
from jobs.ballots import JUDGES
from jobs.models import Gate, Job, Role, User

#: How long a claim lasts without being renewed, and how often an open page renews it. Seconds.
LASTS = timedelta(seconds=90)
RENEW_EVERY = 30


@dataclass(frozen=True)
class Claim:
    """Who holds an open gate, since when, and until when unless it is renewed."""

    holder: User
    since: datetime
    until: datetime


def claim(gate: Gate, person: User, *, now: datetime, take_over: bool = False) -> Claim | None:
    """Hold the gate, or go on holding it. The answer is who holds it then: `person`, unless somebody
    else does and `take_over` is false. None: it is closed."""
    free = Q(claimed_by=None) | Q(claimed_until__lte=now) | Q(claimed_by=person)
    rows = Gate.objects.filter(pk=gate.pk, closed_at=None)
    until = now + LASTS
    held = Q(claimed_by=person, claimed_until__gt=now)
    if not rows.filter(held).update(claimed_until=until):
        rows.filter(Q() if take_over else free).update(
            claimed_by=person, claimed_at=now, claimed_until=until
        )
    gate.refresh_from_db(fields=["claimed_by", "claimed_at", "claimed_until", "closed_at"])
    return None if gate.closed_at else held_by(gate, now=now)


def release(gate: Gate, person: User) -> None:
    """Let go of the gate, if `person` holds it."""
    Gate.objects.filter(pk=gate.pk, claimed_by=person).update(
        claimed_by=None, claimed_at=None, claimed_until=None
    )


def binds(action: Action, role: Role | None) -> bool:
    """Whether `action`, taken in `role` at an open gate, is for whoever holds that: all that ends or
    lifts the review, by those who judge it. The requester's own cancel and the emergency stop of
    those who keep things moving wait for nobody; giving the review to somebody takes the hold."""
    return role in JUDGES and action in AT_GATE | {Action.CANCEL, Action.RETRY}


def decides(may: Mapping[Action, Permission]) -> bool:
    """Whether somebody may decide something at the gate, by what they may do with the job: whose
    page claims it."""
    return any(may[action].allowed for action in AT_GATE)


def require_decider(user: User, job: Job) -> Gate:
    """The open gate, for somebody who may decide something at it. Raises `NotAllowed` and `NotNow`."""
    may = allowed_actions(user, job)
    if job.open_gate is not None and decides(may):
        return job.open_gate
    refused = may[Action.REJECT]
    raise (NotAllowed if refused.forbidden else NotNow)(refused.why)


def held_by(gate: Gate, *, now: datetime) -> Claim | None:
    """Who holds the gate at `now`, by the row as it was read."""
    if gate.claimed_by is None or gate.claimed_at is None or gate.claimed_until is None:
        return None
    if gate.closed_at or gate.claimed_until <= now:
        return None
    return Claim(gate.claimed_by, gate.claimed_at, gate.claimed_until)


def check(gate: Gate, person: User, *, now: datetime) -> None:
    """Raises `NotNow` where somebody else holds the gate."""
    held = held_by(gate, now=now)
    if held and held.holder != person:
        raise NotNow(
            f"{held.holder} has this review open (since {held.since:%H:%M} UTC). Take it over, or "
            "go on to another one."
        )
