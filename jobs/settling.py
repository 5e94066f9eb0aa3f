"""How the end of an attempt settles its job: by what people asked for, and by its type's policy.

Every function works on a job that the caller holds with `lifecycle.locked`.
"""

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from typing import Any

from django_q.tasks import async_task

from jobs import calls, carriage, lifecycle, policy, results, turns
from jobs.access import UNKNOWN_SUBMIT
from jobs.lifecycle import PROVIDER, GateSpec, Reason
from jobs.models import Attempt, Cause, GateKind, Job, LiveText, Result, State, Status, Turn, Verb
from jobs.provider.errors import ACCOUNT_CODES
from jobs.results import Read
from jobs.review_facts import review_reasons
from jobs.reviewing import told
from jobs.text import clean


def finish(job: Job, attempt: Attempt, turn: Turn, found: Read, *, now: datetime) -> None:
    """Keep a terminal answer, byte for byte, and let it end what it still can."""
    response = found.response
    Turn.objects.filter(pk=turn.pk).update(
        payload=response.body,
        ended_at=now,
        provider_status=clean(response.status),
        cost_usd=found.cost,
    )
    results.keep_files(turn, found)
    # What was written so far is in the answer.
    LiveText.objects.filter(turn=turn).delete()
    code, text = (clean(part) for part in response.error)
    was_open = attempt.is_open
    asks = turns.asks_of(response)
    goes_on = was_open and asks and job.status == Status.RUNNING and not job.cancel_requested_at
    if goes_on and turns.may_go_on(job, turn):
        lifecycle.note(job, cost_usd=lifecycle.job_cost(job))
        turns.go_on(job, attempt, turn, asks, now=now)
        return
    state = response.state
    if asks:
        # What asks for tools is no result.
        state = State.INCOMPLETE
        code = turns.TURN_LIMIT if goes_on else code
    cost = lifecycle.turns_cost(attempt)
    if was_open:
        lifecycle.move_attempt(
            attempt,
            state,
            now=now,
            error_code=code[:60],
            error_text=text,
            cost_usd=cost,
            submitted_at=attempt.submitted_at or turn.sent_at or now,
            last_heard_at=now,
            failures=0,
            checks=attempt.checks + 1,
        )
    else:
        tidied(attempt, cost_usd=cost)
    # A submit that had been given up as unknown may still be used, as long as that is how the job
    # ended: not where it was canceled, or has been tried again since.
    usable = (
        state is State.SUCCEEDED
        and attempt.error_code == job.reason_code == UNKNOWN_SUBMIT
        and job.status == Status.FAILED
    )
    wanted = was_open and not job.cancel_requested_at
    also = [*carriage.warnings(job), *calls.warnings(attempt)]
    result = results.store(
        attempt, found, state=state, deliverable=wanted or usable, also=also, now=now
    )
    lifecycle.note(job, cost_usd=lifecycle.job_cost(job))
    if was_open and job.status == Status.RUNNING:
        _settle_by(job, attempt, result, now=now)
        return
    late(job, attempt, f"{response.id} ended as {response.status or 'unknown'}.", now=now)
    if usable:
        text = "OpenAI had started it after all, and its result is here: use it, or retry."
        lifecycle.note(job, reason_text=text)


def _settle_by(job: Job, attempt: Attempt, result: Result | None, *, now: datetime) -> None:
    """Move a running job by the end of its attempt and the policy of its type."""
    state = State(attempt.state)
    reason = Reason(attempt.error_code or state.value, attempt.error_text or state.label + ".")
    if job.cancel_requested_at:
        kept = " What it had written is kept as evidence." if result else ""
        settle_canceled(job, f"Canceled by {job.cancel_requested_by}.{kept}", now=now)
    elif state is State.CANCELED:
        text = "Canceled by OpenAI, without being asked."
        move_to(job, Status.CANCELED, Verb.CANCELED, Reason("by_provider", text), now=now)
    elif state is State.FAILED:
        if policy.tries_again(job.job_type, reason.code, causes=causes(job)):
            retry_by_itself(job, reason, now=now)
        else:
            move_to(job, Status.FAILED, Verb.FAILED, reason, now=now)
    elif state is State.INCOMPLETE and policy.fails_when_incomplete(job.job_type):
        text = f"The answer is incomplete ({reason.code})."
        move_to(job, Status.FAILED, Verb.FAILED, Reason("incomplete", text), now=now)
    else:
        assert result is not None
        _review_or_complete(job, attempt, result, now=now)


def _review_or_complete(job: Job, attempt: Attempt, result: Result, *, now: datetime) -> None:
    reasons = review_reasons(job, result)
    lifecycle.note(job, warnings=result.warnings)
    if not reasons:
        lifecycle.move(
            job,
            Status.COMPLETED,
            verb=Verb.COMPLETED,
            now=now,
            data={
                "content_hash": result.content_hash,
                "evidence_hash": results.evidence_hash(results.along_with(result)),
            },
            progress_done=job.progress_total,
            progress_message="Completed",
        )
        return
    lifecycle.move(
        job,
        Status.NEEDS_REVIEW,
        verb=Verb.REVIEW_ASKED,
        now=now,
        # The job and its history are read by the requester; the gate keeps the reasons whole.
        reason=told(reasons)[0],
        gate=GateSpec(
            GateKind.OUTPUT, reasons, result.content_hash, attempt=attempt, result=result
        ),
        progress_done=job.progress_total - 1,
        progress_message="Waiting for a reviewer",
    )


def start(job: Job, attempt: Attempt, *, now: datetime, reason: Reason | None = None) -> None:
    """Make the job running, or clear what a running one waited for."""
    if job.status == Status.QUEUED:
        lifecycle.move(
            job,
            Status.RUNNING,
            verb=Verb.STARTED,
            now=now,
            by=PROVIDER,
            reason=reason,
            data={"attempt": attempt.number},
            started_at=job.started_at or now,
            **_working(job),
        )
    elif job.status == Status.RUNNING and reason:
        lifecycle.explain(job, reason, now=now)
    elif job.status == Status.RUNNING and not job.cancel_requested_at:
        lifecycle.note(job, reason_code="", reason_text="", **_working(job))


def _working(job: Job) -> dict[str, Any]:
    return {
        "progress_done": job.progress_total - 2,
        "progress_message": progress_message("queued"),
    }


def fail(
    job: Job, attempt: Attempt, reason: Reason, *, now: datetime, cost: Decimal | None
) -> None:
    """End an attempt that nothing came of, and its job with it. `cost` is that of its last turn."""
    attempt.turns.filter(ended_at=None).update(cost_usd=cost)
    lifecycle.move_attempt(
        attempt,
        State.FAILED,
        now=now,
        error_code=reason.code,
        error_text=reason.text,
        cost_usd=lifecycle.turns_cost(attempt),
        checks=attempt.checks + 1,
    )
    lifecycle.note(job, cost_usd=lifecycle.job_cost(job))
    if job.cancel_requested_at:
        settle_canceled(job, f"Canceled by {job.cancel_requested_by}. {reason.text}", now=now)
    else:
        move_to(job, Status.FAILED, Verb.FAILED, reason, now=now)


def retry_by_itself(job: Job, reason: Reason, *, now: datetime) -> None:
    tries = policy.tries_in_series(causes(job))
    due_at = now + policy.retry_delay(tries)
    text = f"{sentence(reason.text)} Tried again at {clock(due_at)}, as number {tries + 1}."
    lifecycle.move(
        job,
        Status.QUEUED,
        verb=Verb.RETRYING,
        now=now,
        reason=Reason(reason.code, text),
        progress_done=0,
        progress_message="Waiting to be tried again",
    )
    lifecycle.open_attempt(job, now=now, cause=Cause.AUTOMATIC, due_at=due_at)


def settle_canceled(job: Job, text: str, *, now: datetime) -> None:
    move_to(job, Status.CANCELED, Verb.CANCELED, Reason("canceled_by_person", text), now=now)


def move_to(job: Job, to: Status, verb: Verb, reason: Reason, *, now: datetime) -> None:
    lifecycle.move(job, to, verb=verb, now=now, reason=reason, progress_message=to.label)
    if to is Status.FAILED and reason.code in ACCOUNT_CODES:
        alert(job, reason.code, reason.text)


def alert(job: Job, code: str, text: str) -> None:
    """Tell the operators that the account or the key is refused."""
    async_task("jobs.tasks.alert_operators", code=code, text=text, ref=job.ref)


def late(job: Job, attempt: Attempt, text: str, *, now: datetime) -> None:
    lifecycle.record(
        job,
        Verb.LATE_ANSWER,
        now=now,
        by=PROVIDER,
        reason=Reason("late_answer", text),
        data={"attempt": attempt.number},
    )


def tidied(attempt: Attempt, **fields: Decimal | None) -> None:
    """Nothing is left to do at the provider for an ended attempt."""
    Attempt.objects.filter(pk=attempt.pk).update(next_check_at=None, **lifecycle.LET_GO, **fields)


def causes(job: Job) -> Iterable[str]:
    return list(job.attempts.order_by("number").values_list("cause", flat=True))


def progress_message(provider_status: str) -> str:
    queued = provider_status == "queued"
    return "OpenAI has it in its queue" if queued else "OpenAI is working on it"


def sentence(text: str) -> str:
    return text if text.endswith((".", "!", "?")) else f"{text}."


def clock(moment: datetime | None) -> str:
    return f"{moment:%H:%M:%S} UTC" if moment else "an unknown time"
