"""The two state machines, and the only writer of ``Job.status`` and ``Attempt.state``.

Every function that writes works inside `locked`, which holds the job's row: so an event's place
in the chain, the status it tells of and the gate that goes with it are one fact.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Max, Q

from jobs import ladder, signals
from jobs.audit import event_hash
from jobs.models import (
    AWAY,
    ENDED,
    SETTLED,
    Approval,
    Attempt,
    Carried,
    Cause,
    Event,
    Gate,
    GateKind,
    Job,
    ProviderFile,
    ProviderStore,
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
    # A turn that ended with tool calls goes on with another.
    State.LIVE: ENDED | {State.SUBMITTING},
    State.UNKNOWN: ENDED | {State.LIVE, State.SUBMITTING},
    State.SUCCEEDED: frozenset(),
    State.INCOMPLETE: frozenset(),
    State.FAILED: frozenset(),
    State.CANCELED: frozenset(),
    State.LOST: frozenset(),
}

#: What an attempt's row gets with anything that is written down after a claim.
LET_GO: Mapping[str, None | int] = {"lease_token": None, "lease_until": None, "strikes": 0}

#: What an open gate gets that nobody has open.
UNHELD: Mapping[str, None] = {"claimed_by": None, "claimed_at": None, "claimed_until": None}

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
    signals.recorded.send(Event, job=job, event=event)
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
        if to is not Status.RUNNING:
            _end_open_attempt(job, now=now)
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
    if to in SETTLED:
        _leave_nothing_behind(job, now=now)


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


def raise_gate(job: Job, gate: Gate, *, now: datetime) -> None:
    """Lift the open gate of a `locked` job to the next level, with that one's time. Nobody there
    has approved it yet, nor was asked to, nor has it open."""
    if gate.level >= ladder.top(job.job_type):
        raise IllegalMove(f"{job.ref}: there is no level above {gate.level}.")
    pinned = ladder.pinned(job.ruling_types(), gate.level + 1, now=now)
    _change(job, gate, **pinned, **UNHELD, **_new_ballot(gate), assignee=None)


def rejudge(job: Job, gate: Gate, *, content_hash: str, reasons: tuple[Reason, ...]) -> None:
    """Let the open gate of a `locked` job ask about other content, or for other reasons. Whoever
    looked at the content before names its hash, and is refused; whoever approved that before is not
    counted for this."""
    said = [{"code": reason.code, "text": reason.text} for reason in reasons]
    anew = _new_ballot(gate) if content_hash != gate.content_hash else {}
    _change(job, gate, content_hash=content_hash, reasons=said, **anew)


def assign(job: Job, gate: Gate, person: User | None) -> None:
    """Ask `person` to decide at the open gate of a `locked` job, or nobody in particular. Whoever
    else has it open loses their hold."""
    _change(job, gate, assignee=person, **(UNHELD if gate.claimed_by != person else {}))


def count_approval(
    job: Job,
    gate: Gate,
    actor: User,
    *,
    of: str,
    lapsed: Mapping[int, str] | None = None,
    now: datetime,
) -> bool:
    """Count a person's approval at the open gate of a `locked` job: whether it is the last that is
    needed. `of` is the hash of what exactly is approved: where those before approved something
    else, the count begins anew with this one. `lapsed` are the keys of those before that count no
    more, and why. Whoever gave one that is not the last lets go of the gate, and it waits for
    somebody else.

    A person's second approval of the same thing breaks a constraint (`IntegrityError`)."""
    _lapse(job, gate, lapsed or {}, now=now)
    if gate.given and gate.approved_hash != of:
        _change(job, gate, **_new_ballot(gate))
    Approval.objects.create(gate=gate, ballot=gate.ballot, actor=actor, at=now)
    more: dict[str, Any] = {}
    if gate.given + 1 < gate.approvals:
        more |= UNHELD if gate.claimed_by == actor else {}
        more |= {"assignee": None} if gate.assignee == actor else {}
    _change(job, gate, given=gate.given + 1, approved_hash=of, **more)
    return gate.given >= gate.approvals


def _lapse(job: Job, gate: Gate, lapsed: Mapping[int, str], *, now: datetime) -> None:
    rows = Approval.objects.filter(gate=gate, ballot=gate.ballot, lapsed_at=None)
    gone = sum(
        rows.filter(pk=key).update(lapsed_at=now, lapsed_why=why) for key, why in lapsed.items()
    )
    if gone:
        _change(job, gate, given=gate.given - gone)


def watch_again(job: Job, gate: Gate, *, now: datetime) -> None:
    """What was to be done by itself at the open gate of a `locked` job is done until `now`."""
    _change(job, gate, **ladder.to_come(gate, now))


def _new_ballot(gate: Gate) -> dict[str, Any]:
    return {"ballot": gate.ballot + 1, "given": 0, "approved_hash": ""}


def _change(job: Job, gate: Gate, **fields: Any) -> None:
    """Compare-and-set on an open gate and on the object, together."""
    moved = Gate.objects.filter(
        pk=gate.pk,
        closed_at=None,
        level=gate.level,
        ballot=gate.ballot,
        given=gate.given,
        content_hash=gate.content_hash,
        watch_at=gate.watch_at,
    ).update(**fields)
    if not moved:
        raise Superseded(f"{job.ref}: the review has moved on.")
    for name, value in fields.items():
        setattr(gate, name, value)


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
        **ladder.pinned(job.ruling_types(), highest or 1, now=now),
        job=job,
        workspace_id=job.workspace_id,
        prompt_version_id=job.prompt_version_id,
        attempt=spec.attempt,
        result=spec.result,
        kind=spec.kind,
        reasons=[{"code": reason.code, "text": reason.text} for reason in spec.reasons],
        content_hash=spec.content_hash,
        opened_at=now,
    )


def _close_gate(job: Job, *, outcome: str, now: datetime) -> None:
    assert job.open_gate is not None
    closed = Gate.objects.filter(pk=job.open_gate.pk, closed_at=None).update(
        closed_at=now, outcome=outcome
    )
    if not closed:
        raise Superseded(f"{job.ref} was decided already.")


def _end_open_attempt(job: Job, *, now: datetime) -> None:
    """The attempt that waited for a tool call goes no further."""
    for attempt in job.attempts.filter(state=State.SUBMITTING):
        move_attempt(attempt, State.CANCELED, now=now, cost_usd=turns_cost(attempt))


def turns_cost(attempt: Attempt) -> Decimal | None:
    """What an attempt has cost; None as soon as a turn that was sent has no known cost."""
    costs = attempt.turns.filter(sent_at__isnull=False).values_list("cost_usd", flat=True)
    return None if None in costs else sum((cost for cost in costs if cost), Decimal(0))


def job_cost(job: Job) -> Decimal | None:
    """All attempts together; unknown as soon as a turn that may have cost something is unknown. A
    turn that still runs is left out."""
    sent = Turn.objects.filter(attempt__job=job, sent_at__isnull=False)
    runs = Q(attempt__ended_at__isnull=True, ended_at__isnull=True)
    costs = list(sent.exclude(runs).values_list("cost_usd", flat=True))
    return None if None in costs else sum((cost for cost in costs if cost), Decimal(0))


def _leave_nothing_behind(job: Job, *, now: datetime) -> None:
    """Copies of a settled job's documents at the provider are due to be deleted."""
    away = sorted(AWAY | {Carried.WANTED})
    ProviderFile.objects.filter(job=job, state__in=away).update(next_check_at=now)
    ProviderStore.objects.filter(job=job, state__in=away).update(next_check_at=now)


def _write(job: Job, *, only_if: Mapping[str, Any] | None = None, **fields: Any) -> None:
    """Compare-and-set on the row and on the object, together."""
    moved = Job.objects.filter(pk=job.pk, event_count=job.event_count, **(only_if or {})).update(
        **fields
    )
    if not moved:
        raise Superseded(f"{job.ref} has changed since it was read.")
    for name, value in fields.items():
        setattr(job, name, value)
