"""Reading a stored answer anew: after the reading of answers has been mended, or was wrong."""

from dataclasses import dataclass
from datetime import datetime

from jobs import calls, carriage, lifecycle, results, turns
from jobs.access import Action, NotNow, require, stored_answers
from jobs.lifecycle import Reason, Superseded
from jobs.models import Gate, Job, Result, Role, State, Status, Turn, User, Verb
from jobs.provider.payloads import Unreadable
from jobs.results import Read
from jobs.review_facts import review_reasons
from jobs.reviewing import OF_THE_MOMENT

#: Reasons of a gate that a person has opened: what is read changes nothing about them.
_OPENED_BY_A_PERSON = frozenset({Verb.REOPENED.value, Verb.RESULT_TAKEN.value})
_STILL = Reason(Verb.RE_EXTRACTED.value, "It was read anew while it was in review.")


@dataclass(frozen=True)
class ReExtracted:
    """`changed` says whether what people judge, or use, is another now."""

    role: Role
    result: Result | None
    changed: bool


def said(job: Job, done: ReExtracted) -> str:
    """What was done, in a sentence."""
    if done.result is None:
        return f"The answer of {job.ref} was read anew: it holds no result."
    if done.changed:
        return f"The answer of {job.ref} was read anew, and its result is another now."
    return f"The answer of {job.ref} was read anew, and its result is the same."


def re_extract(job: Job, *, actor: User, now: datetime) -> ReExtracted:
    """Read the stored answers of the last attempt that has some anew, in the place of its result.

    Text, structured output, evidence and warnings are replaced; costs, and files that were fetched,
    stay. Where a person has to judge it, they judge what is there now: a decision on the content
    before is refused. Raises `NotAllowed`, and `NotNow` where a completed job would get another
    content, or somebody was first.
    """
    require(actor, job, Action.RE_EXTRACT)
    turn = _last(job)
    try:
        found = results.reread(turn)
    except Unreadable as error:
        raise NotNow(f"{job.ref}: the stored answer is no response ({error}).") from error
    try:
        with lifecycle.locked(job.pk) as held:
            role = require(actor, held, Action.RE_EXTRACT)
            if _last(held).pk != turn.pk:
                raise NotNow(f"{job.ref} has a newer answer by now. Look at it again.")
            before = Result.objects.select_related("edit").filter(attempt=turn.attempt_id).first()
            old_hash = before.content_hash if before else ""
            result = _stored(held, turn, before, found, now=now)
            new_hash = result.content_hash if result else ""
            data = {"attempt": turn.attempt.number, "content_hash": new_hash}
            lifecycle.record(held, Verb.RE_EXTRACTED, now=now, actor=actor, data=data)
            return ReExtracted(role, result, new_hash != old_hash)
    except Superseded as error:
        raise NotNow(f"Somebody else was first: {error}") from error


def _last(job: Job) -> Turn:
    turn = (
        stored_answers(job)
        .select_related("attempt__job__job_type", "attempt__job__prompt_version")
        .first()
    )
    if turn is None:
        raise NotNow(f"{job.ref}: no answer of OpenAI is stored.")
    return turn


def _stored(
    job: Job, turn: Turn, before: Result | None, found: Read, *, now: datetime
) -> Result | None:
    state = State.INCOMPLETE if turns.asks_of(found.response) else found.response.state
    also = [*carriage.warnings(job), *calls.warnings(turn.attempt)]
    if before is None:
        # It ended without a result. What is found now is evidence: nobody was promised it.
        return results.store(
            turn.attempt, found, state=state, deliverable=False, also=also, now=now
        )
    gate = job.open_gate if job.open_gate and job.open_gate.result_id == before.pk else None
    completed = job.status == Status.COMPLETED
    if completed and found.evidence.content_hash != before.content_hash:
        raise NotNow(
            f"{job.ref} is completed, and the answer reads differently now. Reopen it first."
        )
    if not results.store_anew(before, found, state=state, also=also):
        raise NotNow(f"{job.ref}: nothing is found in the stored answer any more.")
    if gate or completed:
        lifecycle.note(job, warnings=before.as_judged().warnings)
    if gate:
        reasons = _reasons(job, gate, before)
        judged = before.as_judged().content_hash
        lifecycle.rejudge(job, gate, content_hash=judged, reasons=reasons)
    return before


def _reasons(job: Job, gate: Gate, result: Result) -> tuple[Reason, ...]:
    kept = [
        Reason(reason["code"], reason["text"])
        for reason in gate.reasons
        if reason["code"] in _OPENED_BY_A_PERSON | OF_THE_MOMENT
    ]
    found = [one for one in review_reasons(job, result) if one.code not in OF_THE_MOMENT]
    return (*kept, *found) or (_STILL,)
