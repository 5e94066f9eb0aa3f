"""What people decide. Every ruling becomes one `Decision`, in the transaction that carries it out."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from uuid import UUID

from django.db import IntegrityError

from jobs import actions, lifecycle
from jobs.access import Action, NotNow, last_word, require
from jobs.lifecycle import GateSpec, Reason, Superseded
from jobs.models import Cause, Gate, GateKind, Job, Role, Status, User, Verb
from jobs.results import stored_hash
from jobs.text import clean
from reviews.models import CLOSING, Decision, ReviewerNote, Ruling


@dataclass(frozen=True)
class Ask:
    """What somebody asks for. `content_hash` is what they looked at, and a ruling on anything newer
    or older is refused: "" is nothing, which is enough only where nothing waits for a decision.
    None leaves it open."""

    ruling: Ruling
    actor: User
    now: datetime
    note: str = ""
    content_hash: str | None = None
    response_id: str | None = field(default=None)


class NoteMissing(ValueError):
    """The ruling, or the note itself, needs words, or fewer of them."""


class NotLooked(NotNow):
    """The ruling names no content, and some waits: it must be looked at first."""


#: Rulings that are worthless without words, and what the words must say: somebody else goes by them.
NEEDS_NOTE = {
    Ruling.REQUEST_CHANGES: "what to change",
    Ruling.REJECT: "why",
    Ruling.ESCALATE: "what somebody else has to decide",
    Ruling.REOPEN: "why",
}


#: Characters. Pages show every note of a job.
LONGEST_NOTE = 10_000


def decide(job_id: UUID, ask: Ask) -> Decision:
    """Carry a ruling out, once.

    Raises `jobs.access.NotAllowed` where this person may not, `jobs.access.NotNow` where the job
    has moved on or somebody was first (`NotLooked` where no content was named), `NoteMissing`, and
    `jobs.actions.BadInput` for a response id that is none.
    """
    ask = replace(ask, note=clean(ask.note))
    try:
        with lifecycle.locked(job_id) as job:
            # Before anything is said about the job: it may be none of theirs.
            require(ask.actor, job, Action(ask.ruling.value))
            gate = job.open_gate
            _check_looked_at(job, gate, ask)
            if ask.ruling in NEEDS_NOTE and not ask.note.strip():
                wanted = NEEDS_NOTE[ask.ruling]
                raise NoteMissing(f"{ask.ruling.label} needs a note that says {wanted}.")
            _check_length(ask.note)
            level = gate.level if gate else None
            role = _RULINGS[ask.ruling](job, ask)
            return Decision.objects.create(
                job=job,
                gate=gate,
                ruling=ask.ruling,
                actor=ask.actor,
                role=role,
                requester=job.requester,
                own_approval=job.job_type.own_approval,
                note=ask.note,
                policy=gate.reasons if gate else [],
                content_hash=gate.content_hash if gate else "",
                level=level,
                at=ask.now,
            )
    except Superseded as error:
        raise NotNow(f"Somebody else was first: {error}") from error
    except IntegrityError as error:
        # What the rule let through, a constraint did not: the rule's picture was out of date.
        raise NotNow("Somebody else was first. Look at the job again.") from error


def _check_looked_at(job: Job, gate: Gate | None, ask: Ask) -> None:
    """What was looked at is what the ruling is carried out on, or the ruling comes too late."""
    seen = ask.content_hash
    if seen is None:
        return
    if gate is None:
        if seen and ask.ruling in CLOSING:
            raise NotNow(f"{job.ref} waits for no decision any more. {last_word(job)}".strip())
    elif not seen:
        raise NotLooked(f"{job.ref} waits for a decision. Look at it before you make one.")
    elif not _is_hash(seen, gate.content_hash):
        raise NotNow(
            f"{job.ref} waits with {gate.content_hash[:12]}, and you looked at {seen[:12]}. "
            "Look at it again."
        )


def _is_hash(given: str, whole: str) -> bool:
    """Whether `given` is the hash, or its beginning as it is shown."""
    return len(given) >= 12 and whole.startswith(given.lower())


def write_note(job: Job, *, author: User, text: str, now: datetime) -> ReviewerNote:
    """A note for colleagues. Raises `jobs.access.NotAllowed` and `NoteMissing`."""
    require(author, job, Action.NOTE)
    if not text.strip():
        raise NoteMissing("A note needs words.")
    _check_length(text)
    return ReviewerNote.objects.create(job=job, author=author, text=clean(text), created_at=now)


def _check_length(note: str) -> None:
    if len(note) > LONGEST_NOTE:
        said = f"A note can have {LONGEST_NOTE:,} characters at most; this one has {len(note):,}."
        raise NoteMissing(said)


def _approve(job: Job, ask: Ask) -> Role:
    role = require(ask.actor, job, Action.APPROVE)
    gate = _gate(job)
    reason = Reason("approved", ask.note) if ask.note else None
    data = {"content_hash": gate.content_hash, "role": role.value}
    if gate.kind == GateKind.BEFORE_RUN:
        lifecycle.move(
            job,
            Status.QUEUED,
            verb=Verb.APPROVED,
            now=ask.now,
            actor=ask.actor,
            reason=reason,
            data=data,
            progress_message="Waiting to start",
            # The time that the approval took is not the job's.
            **actions.deadlines(job.job_type, ask.now),
        )
        lifecycle.open_attempt(job, now=ask.now, cause=Cause.FIRST)
        return role
    assert gate.result is not None
    if stored_hash(gate.result) != gate.content_hash:
        raise NotNow(f"{job.ref}: the stored result is not what was produced. Retry the job.")
    lifecycle.move(
        job,
        Status.COMPLETED,
        verb=Verb.APPROVED,
        now=ask.now,
        actor=ask.actor,
        reason=reason,
        data=data,
        progress_done=job.progress_total,
        progress_message="Completed",
    )
    return role


def _reject(job: Job, ask: Ask) -> Role:
    role = require(ask.actor, job, Action.REJECT)
    actions.withhold_results(job)
    lifecycle.move(
        job,
        Status.FAILED,
        verb=Verb.REJECTED,
        now=ask.now,
        actor=ask.actor,
        reason=Reason("rejected", ask.note),
        progress_message="Rejected",
    )
    return role


def _escalate(job: Job, ask: Ask) -> Role:
    role = require(ask.actor, job, Action.ESCALATE)
    gate = _gate(job)
    due_at = ask.now + timedelta(seconds=job.job_type.review_within)
    lifecycle.raise_gate(job, gate, due_at=due_at)
    lifecycle.record(
        job,
        Verb.ESCALATED,
        now=ask.now,
        actor=ask.actor,
        reason=Reason("escalated", ask.note),
        data={"level": gate.level},
    )
    return role


def _reopen(job: Job, ask: Ask) -> Role:
    role = require(ask.actor, job, Action.REOPEN)
    _open_for_review(job, ask, Verb.REOPENED, "Reopened")
    return role


def _use_result(job: Job, ask: Ask) -> Role:
    role = require(ask.actor, job, Action.USE_RESULT)
    _open_for_review(job, ask, Verb.RESULT_TAKEN, "The result that arrived late is used")
    return role


def _open_for_review(job: Job, ask: Ask, verb: Verb, said: str) -> None:
    """Open the output gate on the last attempt's result."""
    attempt = job.attempts.select_related("result").order_by("-number")[0]
    reason = Reason(verb.value, ask.note or f"{said}, by {ask.actor}.")
    lifecycle.move(
        job,
        Status.NEEDS_REVIEW,
        verb=verb,
        now=ask.now,
        actor=ask.actor,
        reason=reason,
        gate=GateSpec(
            GateKind.OUTPUT,
            (reason,),
            attempt.result.content_hash,
            attempt=attempt,
            result=attempt.result,
        ),
        archived_at=None,
        archived_by=None,
        warnings=attempt.result.warnings,
        progress_done=2,
        progress_message="Waiting for a reviewer",
    )


def _retry(job: Job, ask: Ask) -> Role:
    return actions.retry(job, actor=ask.actor, now=ask.now, note=ask.note)


def _request_changes(job: Job, ask: Ask) -> Role:
    return actions.request_changes(job, actor=ask.actor, now=ask.now, note=ask.note)


def _cancel(job: Job, ask: Ask) -> Role:
    return actions.cancel(job, actor=ask.actor, now=ask.now, note=ask.note)


def _archive(job: Job, ask: Ask) -> Role:
    return actions.archive(job, actor=ask.actor, now=ask.now, note=ask.note)


def _settle(job: Job, ask: Ask) -> Role:
    return actions.settle(
        job, actor=ask.actor, now=ask.now, note=ask.note, response_id=ask.response_id
    )


_RULINGS: dict[Ruling, Callable[[Job, Ask], Role]] = {
    Ruling.APPROVE: _approve,
    Ruling.REQUEST_CHANGES: _request_changes,
    Ruling.REJECT: _reject,
    Ruling.RETRY: _retry,
    Ruling.CANCEL: _cancel,
    Ruling.ESCALATE: _escalate,
    Ruling.REOPEN: _reopen,
    Ruling.USE_RESULT: _use_result,
    Ruling.SETTLE: _settle,
    Ruling.ARCHIVE: _archive,
}


def _gate(job: Job) -> Gate:
    if job.open_gate is None:
        raise NotNow(f"{job.ref}: there is nothing to decide.")
    return job.open_gate
