"""Where an open review stands: whom it waits for, what is there already, what happens by itself."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from jobs import ladder
from jobs.access import may_decide
from jobs.ballots import Given, ballot
from jobs.models import Approval, Gate, Job, Role, User, Verb


@dataclass(frozen=True)
class ReviewStanding:
    """`who` says who may decide; `approvals` are those that count now, of `needed`;
    `lapsed` those that do not any more, each with why. `assignee_may`: whom it was given to may
    decide it still. `then` is what
    happens by itself next, and `then_at` when: "" where nothing does. `came_up` says why it was
    escalated, where no person did that."""

    level: int
    levels: int
    name: str
    who: str
    approvals: Sequence[Approval]
    lapsed: Sequence[Given]
    needed: int
    assignee: User | None
    assignee_may: bool
    due_at: datetime
    overdue: bool
    expires: bool
    then: str
    then_at: datetime | None
    came_up: str

    @property
    def missing(self) -> int:
        return self.needed - len(self.approvals)


def review_standing(job: Job, *, now: datetime) -> ReviewStanding | None:
    """Of the open gate; None where none is open."""
    gate = job.open_gate
    if gate is None:
        return None
    given = ballot(job)
    then, then_at = _next(job, gate, now)
    return ReviewStanding(
        gate.level,
        ladder.top(job.job_type),
        gate.level_name,
        "a lead decides" if gate.role == Role.LEAD else "a reviewer or a lead decides",
        given.counting,
        given.lapsed,
        gate.approvals,
        gate.assignee,
        gate.assignee_id is not None and may_decide(job).filter(pk=gate.assignee_id).exists(),
        gate.due_at,
        gate.due_at <= now,
        gate.expires,
        then,
        then_at,
        _came_up(job, gate),
    )


def _came_up(job: Job, gate: Gate) -> str:
    if gate.level == 1:
        return ""
    last = job.events.filter(verb=Verb.ESCALATED).order_by("-seq").first()
    return last.reason_text if last and last.actor_id is None else ""


def _next(job: Job, gate: Gate, now: datetime) -> tuple[str, datetime | None]:
    at = gate.watch_at
    if gate.expires and (at is None or gate.due_at < at):
        return "It expires", gate.due_at
    if at is None:
        return "", None
    # What is due and not done yet is done within a second or so.
    match ladder.step_due(job.job_type, gate, max(now, at)):
        case Verb.ESCALATED:
            above = ladder.rung(job.ruling_types(), gate.level + 1)
            return f"It goes up to {above.name} by itself", at
        case Verb.REMINDED:
            return "Those who may decide are reminded", at
        case Verb.OVERDUE:
            return "It is overdue", at
    return "", None
