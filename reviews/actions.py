"""What people decide. Every ruling becomes one `Decision`, in the transaction that carries it out."""

from dataclasses import replace
from typing import Any
from uuid import UUID

from django.db import IntegrityError

from jobs import calls, edits, lifecycle
from jobs.access import Action, NotNow, last_word, require
from jobs.calls import BadVerdict
from jobs.edits import BadEdit, Problem
from jobs.lifecycle import Superseded
from jobs.models import FunctionCall, Gate, GateKind, Job, User
from jobs.text import clean
from reviews import approvals, claims, mentions, seen
from reviews.models import CLOSING, REASONS, Decision, Ruling
from reviews.notes import NoteMissing, check_length
from reviews.rulings import RULINGS, asked_at, check_stored, named, particular
from reviews.rulings import Ask as Ask


class ReasonUnknown(ValueError):
    """The ruling is not given for such a reason."""


class NotLooked(NotNow):
    """The ruling names no content, and some waits: it must be looked at first."""


#: Rulings that are worthless without words, and what the words must say: somebody else goes by them.
NEEDS_NOTE = {
    Ruling.REQUEST_CHANGES: "what to change",
    Ruling.REFUSE: "why",
    Ruling.REJECT: "why",
    Ruling.ESCALATE: "what somebody else has to decide",
    Ruling.REOPEN: "why",
}


def decide(job_id: UUID, ask: Ask) -> Decision:
    """Carry a ruling out, once.

    Raises `jobs.access.NotAllowed` where this person may not, `jobs.access.NotNow` where the job
    has moved on or somebody was first (`NotLooked` where no content was named), `NoteMissing`,
    `ReasonUnknown`, `jobs.inputs.BadInput` for a response id that is none or an assignee who may not
    decide, `jobs.calls.BadVerdict` for arguments that a tool cannot be called with, and
    `jobs.edits.BadEdit` for a version of the result that cannot be taken.
    """
    ask = replace(ask, note=clean(ask.note))
    try:
        with lifecycle.locked(job_id) as job:
            # Before anything is said about the job: it may be none of theirs.
            action = Action(ask.ruling.value)
            role, gate = require(ask.actor, job, action), job.open_gate
            if gate and claims.binds(action, role):
                claims.check(gate, ask.actor, now=ask.now)
            _check_looked_at(job, gate, ask)
            if ask.ruling in NEEDS_NOTE and not ask.note.strip():
                wanted = NEEDS_NOTE[ask.ruling]
                raise NoteMissing(f"{ask.ruling.label} needs a note that says {wanted}.")
            check_length(ask.note)
            _check_reason(ask)
            if gate and ask.ruling is Ruling.APPROVE:
                seen.check(job, gate, ask.actor)
            level = gate.level if gate else None
            waited_for = gate.assignee if gate else None
            asked = asked_at(gate)
            if ask.verdicts and not asked:
                raise BadVerdict({0: f"{job.ref} waits for no decision about a tool call."})
            data = {name: said for name, said in particular(job, ask).items() if name != "reason"}
            if number := _edited(job, gate, ask):
                data["edited"] = number
            role = RULINGS[ask.ruling](job, ask)
            partial = ask.ruling is Ruling.APPROVE and job.open_gate is not None
            decision = Decision.objects.create(
                job=job,
                workspace_id=job.workspace_id,
                gate=gate,
                ruling=ask.ruling,
                actor=ask.actor,
                role=role,
                requester=job.requester,
                own_approval=job.job_type.own_approval,
                reason_code=ask.reason_code,
                note=ask.note,
                policy=gate.reasons if gate else [],
                content_hash=gate.content_hash if gate else "",
                edit=gate.result.edit
                if ask.ruling is Ruling.APPROVE and gate and gate.result
                else None,
                level=level,
                partial=partial,
                seconds=_in_sight(gate, ask),
                data=data | _data(gate, ask, asked, partial=partial, waited_for=waited_for),
                at=ask.now,
            )
            if not ask.quiet:
                mentions.announce(decision, text=ask.note, author=ask.actor, job=job)
            if gate and ask.ruling is Ruling.ESCALATE:
                # Whoever gives it away has it open no more.
                claims.release(gate, ask.actor)
            return decision
    except Superseded as error:
        raise NotNow(f"Somebody else was first: {error}") from error
    except IntegrityError as error:
        # What the rule let through, a constraint did not: the rule's picture was out of date.
        raise NotNow("Somebody else was first. Look at the job again.") from error


def _edited(job: Job, gate: Gate | None, ask: Ask) -> int:
    """Let the gate ask about the version that this person wrote; the number of their edit, or 0."""
    if ask.edit is None:
        return 0
    if ask.ruling is not Ruling.APPROVE or gate is None or gate.kind != GateKind.OUTPUT:
        raise BadEdit([Problem("", f"{job.ref} waits with no result that could be edited.")])
    check_stored(job, gate)
    made = edits.store(job, gate, ask.edit, actor=ask.actor, now=ask.now)
    return made.number if made else 0


def _in_sight(gate: Gate | None, ask: Ask) -> int | None:
    """The seconds, as far as they can be true: nobody looks longer than it has been there."""
    if gate is None or ask.seconds is None or ask.seconds < 0:
        return None
    return min(ask.seconds, max(0, int((ask.now - gate.opened_at).total_seconds())))


def _data(
    gate: Gate | None,
    ask: Ask,
    asked: list[FunctionCall],
    *,
    partial: bool,
    waited_for: User | None,
) -> dict[str, Any]:
    """What was decided in particular. `waited_for` is who had been asked before."""
    if gate and partial:
        return approvals.record_of(gate, ask.verdicts)
    if ask.ruling in (Ruling.APPROVE, Ruling.REFUSE):
        return _decided(asked)
    if gate and ask.ruling is Ruling.REASSIGN:
        return {"from": named(waited_for), "to": named(gate.assignee)}
    return {}


def _decided(asked: list[FunctionCall]) -> dict[str, Any]:
    if not asked:
        return {}
    rows = FunctionCall.objects.in_bulk([call.pk for call in asked])
    return {"calls": [calls.as_decided(rows[call.pk]) for call in asked]}


def _check_looked_at(job: Job, gate: Gate | None, ask: Ask) -> None:
    """What was looked at is what the ruling is carried out on, or the ruling comes too late."""
    looked_at = ask.content_hash
    if looked_at is None:
        return
    if gate is None:
        if looked_at and ask.ruling in CLOSING:
            raise NotNow(f"{job.ref} is no longer waiting for a decision. {last_word(job)}".strip())
    elif not looked_at:
        raise NotLooked(f"{job.ref} waits for a decision. Look at it before you make one.")
    elif not _is_hash(looked_at, gate.content_hash):
        raise NotNow(
            f"{job.ref} has changed: you looked at {looked_at[:12]}, and it is {gate.content_hash[:12]} now. "
            "Look at it again."
        )


def _is_hash(given: str, whole: str) -> bool:
    """Whether `given` is the hash, or its beginning as it is shown."""
    return len(given) >= 12 and whole.startswith(given.lower())


def _check_reason(ask: Ask) -> None:
    if ask.reason_code and ask.reason_code not in REASONS.get(ask.ruling, ()):
        known = ", ".join(REASONS.get(ask.ruling, ())) or "none"
        raise ReasonUnknown(
            f"{ask.ruling.label} is not given for that reason. Its reasons: {known}."
        )
