"""The two state machines, and the only writer of ``Job.status`` and ``Attempt.state``.

Every function that writes works inside `locked`, which holds the job's row: so an event's place
in the chain, the status it tells of and the gate that goes with it are one fact.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Max

from jobs.audit import event_hash
from jobs.models import (
    ENDED,
    SETTLED,
    Attempt,
    Cause,
    Event,
    Gate,
    GateKind,
    Job,
    Result,
    State,
    Status,
    Turn,
    User,
    Verb,
)

TRANSITIONS: Mapping[Status, frozenset[Status]] = {
    Status.QUEUED: frozenset(
        {Status.RUNNING, Status.NEEDS_REVIEW, Status.CANCELED, Status.EXPIRED, Status.FAILED}
    ),
    Status.RUNNING: frozenset(
        {
            Status.NEEDS_REVIEW,
            Status.COMPLETED,
            Status.FAILED,
            Status.CANCELED,
            Status.EXPIRED,
            Status.QUEUED,
        }
    ),
    Status.NEEDS_REVIEW: frozenset(
        {
            Status.COMPLETED,
            Status.QUEUED,
            Status.RUNNING,
            Status.FAILED,
            Status.CANCELED,
            Status.EXPIRED,
        }
    ),
    Status.COMPLETED: frozenset({Status.NEEDS_REVIEW}),
    # A result that turned up after its job had failed can be taken into review instead of paid
    # for again.
    Status.FAILED: frozenset({Status.QUEUED, Status.NEEDS_REVIEW}),
    # A job that is approved before it runs goes back to its gate, not to the queue.
    Status.CANCELED: frozenset({Status.QUEUED, Status.NEEDS_REVIEW}),
    Status.EXPIRED: frozenset({Status.QUEUED, Status.NEEDS_REVIEW}),
}

ATTEMPT_TRANSITIONS: Mapping[State, frozenset[State]] = {
    State.SUBMITTING: frozenset(
        {
            State.LIVE,
            State.UNKNOWN,
            State.FAILED,
            State.CANCELED,
            State.SUCCEEDED,
            State.INCOMPLETE,
        }
    ),
    State.LIVE: ENDED,
    State.UNKNOWN: ENDED | {State.LIVE},
    State.SUCCEEDED: frozenset(),
    State.INCOMPLETE: frozenset(),
    State.FAILED: frozenset(),
    State.CANCELED: frozenset(),
    State.LOST: frozenset(),
}

#: What an attempt's row gets with anything that is written down after a claim.
LET_GO: Mapping[str, None | int] = {"lease_token": None, "lease_until": None, "strikes": 0}

#: What a job's event names as its actor where no person acted.
SYSTEM = "Jobsite"
PROVIDER = "OpenAI"


class IllegalMove(Exception):
    """There is no such edge: tell the person, or mend the caller."""


class Superseded(Exception):
    """Somebody was first: the row is no longer as it was read. Carry on, or say who."""


@dataclass(frozen=True)
class Reason:
    """Why: a code for programs, a sentence for people."""

    code: str
    text: str


@dataclass(frozen=True)
class GateSpec:
    """The gate to open with a move to *needs review*."""

    kind: GateKind
    reasons: tuple[Reason, ...]
    content_hash: str
    attempt: Attempt | None = None
    result: Result | None = None


@contextmanager
def locked(job_id: UUID) -> Iterator[Job]:
    """The job, freshly read, with its row held until the block ends."""
    with transaction.atomic():
        yield (
            Job.objects.select_for_update(of=("self",))
            .select_related("job_type", "prompt_version", "workspace", "requester")
            .get(pk=job_id)
        )


def record(
    job: Job,
    verb: Verb,
    *,
    now: datetime,
    actor: User | None = None,
    by: str = SYSTEM,
    reason: Reason | None = None,
    from_status: str = "",
    to_status: str = "",
    data: dict[str, Any] | None = None,
) -> Event:
    """Append an event to the chain of a job that the caller has `locked`."""
    event = Event(
        job=job,
        seq=job.event_count + 1,
        at=now,
        verb=verb,
        actor=actor,
        actor_name=actor.get_username() if actor else by,
        from_status=from_status,
        to_status=to_status,
        reason_code=reason.code if reason else "",
        reason_text=reason.text if reason else "",
        data=data or {},
    )
    event.hash = event_hash(event, job.event_head)
    event.save(force_insert=True)
    _write(job, event_count=event.seq, event_head=event.hash, updated_at=now)
    return event


def move(
    job: Job,
    to: Status,
    *,
    verb: Verb,
    now: datetime,
    actor: User | None = None,
    by: str = SYSTEM,
    reason: Reason | None = None,
    gate: GateSpec | None = None,
    data: dict[str, Any] | None = None,
    **fields: Any,
) -> None:
    """Move a `locked` job from the status it was read in to `to`, with its event and its gate.

    Leaving *needs review* closes the open gate with `verb` as its outcome; entering it opens
    `gate`. Raises `IllegalMove` for an edge that does not exist and `Superseded` where the stored
    status is no longer the one that was read.
    """
    source = Status(job.status)
    if to not in TRANSITIONS[source]:
        raise IllegalMove(
            f"{job.ref} is {source.label.lower()}: it cannot become {to.label.lower()}."
        )
    if (gate is None) == (to is Status.NEEDS_REVIEW):
        raise IllegalMove(f"{job.ref}: a job needs review if and only if a gate opens with it.")
    if source is Status.NEEDS_REVIEW:
        _close_gate(job, outcome=verb, now=now)
    _write(
        job,
        only_if={"status": source},
        status=to,
        open_gate=_open_gate(job, gate, now=now) if gate else None,
        reason_code=reason.code if reason else "",
        reason_text=reason.text if reason else "",
        settled_at=now if to in SETTLED else None,
        **fields,
    )
    record(
        job,
        verb,
        now=now,
        actor=actor,
        by=by,
        reason=reason,
        from_status=source,
        to_status=to,
        data=data,
    )


def explain(job: Job, reason: Reason, *, now: datetime) -> None:
    """Say why a live job is where it is. An event only where the reason is a new one."""
    if job.reason_code == reason.code:
        _write(job, reason_text=reason.text)
        return
    _write(job, reason_code=reason.code, reason_text=reason.text)
    record(job, Verb.WAITING, now=now, reason=reason)


def note(job: Job, **fields: Any) -> None:
    """Write facts beside the status (progress, warnings, cost, flags) of a `locked` job."""
    if fields.keys() & {"status", "open_gate", "settled_at", "event_count", "event_head"}:
        raise IllegalMove("Status, gate and events are written by `move` and `record`.")
    _write(job, **fields)


def raise_gate(job: Job, gate: Gate, *, due_at: datetime) -> None:
    """Lift the open gate of a `locked` job to the next level."""
    moved = Gate.objects.filter(pk=gate.pk, closed_at=None, level=gate.level).update(
        level=gate.level + 1, due_at=due_at
    )
    if not moved:
        raise Superseded(f"{job.ref}: the review has moved on.")
    gate.level += 1
    gate.due_at = due_at


def open_attempt(
    job: Job,
    *,
    now: datetime,
    cause: Cause,
    due_at: datetime | None = None,
    caused_by: User | None = None,
    feedback: str = "",
) -> Attempt:
    """The intent to try, with its first turn, stored before anything is sent."""
    last = job.attempts.order_by("-number").first()
    attempt = Attempt.objects.create(
        job=job,
        number=last.number + 1 if last else 1,
        cause=cause,
        caused_by=caused_by,
        feedback=feedback,
        created_at=now,
        next_check_at=due_at or now,
    )
    Turn.objects.create(attempt=attempt, number=1)
    return attempt


def move_attempt(attempt: Attempt, to: State, *, now: datetime, **fields: Any) -> None:
    """Move an attempt of a `locked` job. Ending it gives up its lease and its next check, unless
    `next_check_at` is passed for what is left to tidy up."""
    source = State(attempt.state)
    if to not in ATTEMPT_TRANSITIONS[source]:
        raise IllegalMove(f"attempt {attempt.pk} is {source}: it cannot become {to}.")
    if to in ENDED:
        fields = {"next_check_at": None, **fields, "ended_at": now}
    fields = {**LET_GO, **fields, "state": to}
    moved = Attempt.objects.filter(pk=attempt.pk, state=source).update(**fields)
    if not moved:
        raise Superseded(f"attempt {attempt.pk} is no longer {source}.")
    for name, value in fields.items():
        setattr(attempt, name, value)


def _open_gate(job: Job, spec: GateSpec, *, now: datetime) -> Gate:
    # What was escalated once stays so: canceling and trying again is no way down.
    highest = job.gates.aggregate(level=Max("level"))["level"]
    return Gate.objects.create(
        level=highest or 1,
        job=job,
        attempt=spec.attempt,
        result=spec.result,
        kind=spec.kind,
        reasons=[{"code": reason.code, "text": reason.text} for reason in spec.reasons],
        content_hash=spec.content_hash,
        opened_at=now,
        due_at=now + timedelta(seconds=job.job_type.review_within),
        expires=job.job_type.expire_overdue_review,
    )


def _close_gate(job: Job, *, outcome: str, now: datetime) -> None:
    assert job.open_gate is not None
    closed = Gate.objects.filter(pk=job.open_gate.pk, closed_at=None).update(
        closed_at=now, outcome=outcome
    )
    if not closed:
        raise Superseded(f"{job.ref} was decided already.")


def _write(job: Job, *, only_if: Mapping[str, Any] | None = None, **fields: Any) -> None:
    """Compare-and-set on the row and on the object, together."""
    moved = Job.objects.filter(pk=job.pk, event_count=job.event_count, **(only_if or {})).update(
        **fields
    )
    if not moved:
        raise Superseded(f"{job.ref} has changed since it was read.")
    for name, value in fields.items():
        setattr(job, name, value)
