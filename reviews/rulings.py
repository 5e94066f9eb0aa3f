"""What each ruling does to its job. All work on a job that is locked, and answer the role in which the
person ruled."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from jobs import actions, calls, lifecycle, turns
from jobs.access import Action, NotNow, last_word, may_decide, require, rounds, said_at
from jobs.calls import Verdict
from jobs.inputs import BadInput, InputProblem
from jobs.lifecycle import GateSpec, Reason
from jobs.models import (
    Cause,
    FunctionCall,
    Gate,
    GateKind,
    Job,
    Role,
    Status,
    User,
    Verb,
)
from jobs.results import along_with, evidence_hash, stored_hash
from jobs.text import clean
from reviews import approvals
from reviews.models import Ruling


@dataclass(frozen=True)
class Ask:
    """What somebody asks for. `content_hash` is what they looked at, and a ruling on anything newer
    or older is refused: "" is nothing, which is enough only where nothing waits for a decision.
    None leaves it open. `verdicts` are on the tool calls that wait, by their place from 1. With an
    approval of a result, `edit` is the whole version that is approved instead: its text, or JSON
    where its prompt asks for structured output. `seconds` is how long it was in sight. `assignee` is
    the username of whom a review is given to; "" is nobody in particular. `level` is where a review
    stood that is escalated: one that has gone up since goes no further; None leaves it open. `quiet`
    tells nobody that the note names them: they were told."""

    ruling: Ruling
    actor: User
    now: datetime
    note: str = ""
    content_hash: str | None = None
    response_id: str | None = field(default=None)
    verdicts: Mapping[int, Verdict] = field(default_factory=dict)
    assignee: str = ""
    reason_code: str = ""
    edit: str | None = None
    seconds: int | None = None
    level: int | None = None
    quiet: bool = False


#: Names that an error lists of those who may decide.
MOST_NAMED = 10


def asked_at(gate: Gate | None) -> list[FunctionCall]:
    if gate is None or gate.attempt is None or gate.kind != GateKind.TOOL_CALL:
        return []
    return calls.waiting(gate.attempt)


def particular(job: Job, ask: Ask) -> dict[str, Any]:
    """What the ruling says beside its words, as its event has it too."""
    data: dict[str, Any] = {"reason": ask.reason_code} if ask.reason_code else {}
    if ask.ruling is Ruling.REQUEST_CHANGES:
        data["round"] = rounds(job) + 1
    return data


def check_stored(job: Job, gate: Gate) -> None:
    assert gate.result is not None
    if stored_hash(gate.result.as_judged()) != gate.content_hash:
        raise NotNow(f"{job.ref}: the stored result is not what was produced. Retry the job.")


def named(person: User | None) -> str | None:
    return person.get_username() if person else None


def _approve(job: Job, ask: Ask) -> Role:
    role = require(ask.actor, job, Action.APPROVE)
    gate = _gate(job)
    if gate.result:
        check_stored(job, gate)
    given = approvals.give(
        job, gate, ask.actor, role, verdicts=ask.verdicts, note=ask.note, now=ask.now
    )
    if not given:
        return role
    reason = Reason("approved", ask.note) if ask.note else None
    data: dict[str, Any] = {"content_hash": gate.content_hash, "role": role.value}
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
    if gate.kind == GateKind.TOOL_CALL:
        _go_on(job, ask, Verb.APPROVED, ask.verdicts, reason)
        return role
    assert gate.result is not None
    version = gate.result.as_judged()
    data["evidence_hash"] = evidence_hash(along_with(version))
    if version.produced and version.edit:
        data |= {"edit": version.edit.number, "produced": version.produced.content_hash}
        # What an edit mends is no warning about what leaves.
        lifecycle.note(job, warnings=version.warnings)
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


def _refuse(job: Job, ask: Ask) -> Role:
    role = require(ask.actor, job, Action.REFUSE)
    refused = Verdict(approved=False, reason=ask.note)
    every = dict.fromkeys(range(1, len(asked_at(_gate(job))) + 1), refused)
    _go_on(job, ask, Verb.CALLS_REFUSED, every, Reason("calls_refused", ask.note))
    return role


def _go_on(
    job: Job, ask: Ask, verb: Verb, verdicts: Mapping[int, Verdict], reason: Reason | None
) -> None:
    """Decide the calls that wait, and let the attempt go on with the answers."""
    attempt = _gate(job).attempt
    assert attempt is not None
    calls.decide(attempt, verdicts, now=ask.now)
    lifecycle.move(
        job,
        Status.RUNNING,
        verb=verb,
        now=ask.now,
        actor=ask.actor,
        reason=reason,
        data=particular(job, ask),
        # The time that the decision took is not the job's.
        **actions.deadlines(job.job_type, ask.now),
    )
    # What was said why it ended up here is no reason for where it is now.
    lifecycle.note(job, reason_code="", reason_text="")
    turns.go_on_decided(job, attempt, now=ask.now)


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
        data=particular(job, ask),
        progress_message="Rejected",
    )
    return role


def _escalate(job: Job, ask: Ask) -> Role:
    role = require(ask.actor, job, Action.ESCALATE)
    gate = _gate(job)
    below = gate.level
    if ask.level is not None and ask.level != below:
        raise NotNow(f"{job.ref} has gone up to level {below} since you looked. {last_word(job)}")
    lifecycle.raise_gate(job, gate, now=ask.now)
    lifecycle.record(
        job,
        Verb.ESCALATED,
        now=ask.now,
        actor=ask.actor,
        reason=Reason("escalated", ask.note),
        data={"level": gate.level, "from": below, **particular(job, ask)},
    )
    return role


def _reassign(job: Job, ask: Ask) -> Role:
    role = require(ask.actor, job, Action.REASSIGN)
    gate = _gate(job)
    before, to = gate.assignee, _assignee(job, ask.assignee)
    if to == before:
        raise NotNow(_waits_already(job, to))
    lifecycle.assign(job, gate, to)
    said = f"It waits for {to}." if to else f"It waits for {gate.level_name} again."
    lifecycle.record(
        job,
        Verb.REASSIGNED,
        now=ask.now,
        actor=ask.actor,
        reason=Reason("reassigned", ask.note or said),
        data={"from": named(before), "to": named(to), "level": gate.level},
    )
    return role


def _waits_already(job: Job, person: User | None) -> str:
    said = f"{job.ref} waits for {person or 'nobody in particular'} already."
    last = job.events.filter(verb=Verb.REASSIGNED).order_by("-seq").first()
    return f"{said} {last.actor_name} decided that at {said_at(last.at)}." if last else said


def _assignee(job: Job, username: str) -> User | None:
    """The person of that name, who may decide at the open gate. Raises `BadInput`, which names those
    who may."""
    if not (username := clean(username.strip())):
        return None
    able = may_decide(job)
    if person := able.filter(username=username).first():
        return person
    names = [user.get_username() for user in able[: MOST_NAMED + 1]]
    more = " and others" if len(names) > MOST_NAMED else ""
    who = f"Those who may: {', '.join(names[:MOST_NAMED])}{more}." if names else "Nobody may."
    text = f"{username} may not decide this review at its level. {who}"
    raise BadInput([InputProblem("assignee", text)])


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
    attempt = job.attempts.select_related("result__edit").order_by("-number")[0]
    judged = attempt.result.as_judged()
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
            judged.content_hash,
            attempt=attempt,
            result=attempt.result,
        ),
        data=particular(job, ask),
        archived_at=None,
        archived_by=None,
        warnings=judged.warnings,
        progress_done=job.progress_total - 1,
        progress_message="Waiting for a reviewer",
    )


def _retry(job: Job, ask: Ask) -> Role:
    data = particular(job, ask)
    return actions.retry(job, actor=ask.actor, now=ask.now, note=ask.note, data=data)


def _request_changes(job: Job, ask: Ask) -> Role:
    data = particular(job, ask)
    return actions.request_changes(job, actor=ask.actor, now=ask.now, note=ask.note, data=data)


def _cancel(job: Job, ask: Ask) -> Role:
    data = particular(job, ask)
    return actions.cancel(job, actor=ask.actor, now=ask.now, note=ask.note, data=data)


def _archive(job: Job, ask: Ask) -> Role:
    return actions.archive(job, actor=ask.actor, now=ask.now, note=ask.note)


def _settle(job: Job, ask: Ask) -> Role:
    return actions.settle(
        job, actor=ask.actor, now=ask.now, note=ask.note, response_id=ask.response_id
    )


RULINGS: dict[Ruling, Callable[[Job, Ask], Role]] = {
    Ruling.APPROVE: _approve,
    Ruling.REQUEST_CHANGES: _request_changes,
    Ruling.REFUSE: _refuse,
    Ruling.REJECT: _reject,
    Ruling.RETRY: _retry,
    Ruling.CANCEL: _cancel,
    Ruling.ESCALATE: _escalate,
    Ruling.REASSIGN: _reassign,
    Ruling.REOPEN: _reopen,
    Ruling.USE_RESULT: _use_result,
    Ruling.SETTLE: _settle,
    Ruling.ARCHIVE: _archive,
}


def _gate(job: Job) -> Gate:
    if job.open_gate is None:
        raise NotNow(f"{job.ref}: there is nothing to decide.")
    return job.open_gate
