"""What the clock, and the lack of an answer, does to an attempt and its job: waits that are over,
deadlines, turns that are not sent.

Each function writes in one transaction that holds the job. All may be called late or twice: what
the job has become meanwhile wins.
"""

from datetime import datetime, timedelta
from decimal import Decimal
from uuid import UUID

from jobs import ladder, lifecycle, policy, settling
from jobs.access import UNKNOWN_SUBMIT
from jobs.lifecycle import Reason
from jobs.models import Attempt, Cause, Job, State, Status, Turn, Verb


def deadline(job: Job, attempt: Attempt) -> datetime:
    """When the job expires unless this attempt moves on. An automatic retry has started before."""
    waits = job.status == Status.QUEUED and attempt.cause != Cause.AUTOMATIC
    return job.start_by if waits else job.finish_by


def deadline_passed(turn_id: UUID, *, now: datetime) -> None:
    """The job was to start, or to finish, by now."""
    with lifecycle.locked(job_of(turn_id)) as job:
        attempt, turn = current(turn_id)
        if not attempt.is_open or job.status not in (Status.QUEUED, Status.RUNNING):
            return
        limit = deadline(job, attempt)
        lifecycle.move_attempt(
            attempt,
            State.FAILED if attempt.state == State.UNKNOWN else State.CANCELED,
            now=now,
            error_code="deadline",
            cost_usd=lifecycle.turns_cost(attempt),
            # What still runs at the provider is canceled there, behind the settled job.
            next_check_at=now if turn.response_id else None,
        )
        lifecycle.note(job, cost_usd=lifecycle.job_cost(job))
        if job.cancel_requested_at:
            settling.settle_canceled(job, "Canceled; OpenAI never confirmed it.", now=now)
            return
        what = "started" if limit == job.start_by else "finished"
        lifecycle.move(
            job,
            Status.EXPIRED,
            verb=Verb.EXPIRED,
            now=now,
            reason=Reason(f"not_{what}", f"It had not {what} by {settling.clock(limit)}."),
            progress_message="Expired",
        )


def send_never_answered(turn_id: UUID, *, now: datetime) -> None:
    """The holder of a sent create died before it wrote the answer down."""
    with lifecycle.locked(job_of(turn_id)) as job:
        attempt, turn = current(turn_id)
        if attempt.state == State.SUBMITTING and turn.sent_at and not turn.ended_at:
            why = "The process that submitted it ended before the answer came."
            becomes_unknown(job, attempt, turn, now=now, why=why)


def unknown_wait_over(turn_id: UUID, *, now: datetime) -> None:
    """No news of an unknown submit within the type's wait."""
    with lifecycle.locked(job_of(turn_id)) as job:
        attempt, _turn = current(turn_id)
        if attempt.state != State.UNKNOWN:
            return
        reason = Reason(
            UNKNOWN_SUBMIT,
            "Nobody knows whether OpenAI started this: no answer came. "
            "A retry may pay for the same work twice.",
        )
        again = job.job_type.may_pay_twice and not job.cancel_requested_at
        if again and policy.tries_in_series(settling.causes(job)) < job.job_type.max_attempts:
            lifecycle.move_attempt(
                attempt, State.FAILED, now=now, error_code=reason.code, error_text=reason.text
            )
            settling.retry_by_itself(job, reason, now=now)
        else:
            settling.fail(job, attempt, reason, now=now, cost=None)


def canceled_before_sending(turn_id: UUID, *, now: datetime) -> None:
    """Somebody asked to cancel, and the next turn has not been sent."""
    with lifecycle.locked(job_of(turn_id)) as job:
        attempt, turn = current(turn_id)
        if attempt.state != State.SUBMITTING or turn.sent_at or not job.cancel_requested_at:
            return
        cost = lifecycle.turns_cost(attempt)
        lifecycle.move_attempt(attempt, State.CANCELED, now=now, cost_usd=cost)
        lifecycle.note(job, cost_usd=lifecycle.job_cost(job))
        settling.settle_canceled(job, f"Canceled by {job.cancel_requested_by}.", now=now)


def not_ready(turn_id: UUID, *, was_due_at: datetime | None, due_at: datetime) -> None:
    """The next turn waits: for tools, or for a person. What it waited for may have come since the
    attempt was read as due at `was_due_at`: then it is due as it was pulled nearer."""
    # Not through a join: PostgreSQL would look at what it joined as it was before it had to wait.
    attempt_id = Turn.objects.values_list("attempt_id", flat=True).get(pk=turn_id)
    waits = Attempt.objects.filter(pk=attempt_id, state=State.SUBMITTING)
    if not waits.filter(next_check_at=was_due_at).update(next_check_at=due_at, **lifecycle.LET_GO):
        waits.update(**lifecycle.LET_GO)


def review_overdue(job_id: UUID, *, now: datetime) -> None:
    """Nobody decided in time, and the type says that this expires the job."""
    with lifecycle.locked(job_id) as job:
        gate = job.open_gate
        if gate is None or not gate.expires or gate.due_at > now:
            return
        if gate.escalate_at and gate.escalate_at <= now and gate.level < ladder.top(job.job_type):
            # It should have gone up before: it does that first, and gets the time of that level.
            return
        lifecycle.move(
            job,
            Status.EXPIRED,
            verb=Verb.EXPIRED,
            now=now,
            reason=Reason(
                "review_overdue", f"It was not decided by {settling.clock(gate.due_at)}."
            ),
            progress_message="Expired",
        )


def cannot_be_sent(turn_id: UUID, text: str, *, now: datetime) -> None:
    """The request could not even be made: a document's file has changed, say."""
    with lifecycle.locked(job_of(turn_id)) as job:
        attempt, turn = current(turn_id)
        if attempt.state == State.SUBMITTING and not turn.ended_at:
            settling.fail(job, attempt, Reason("document_unusable", text), now=now, cost=Decimal(0))


def document_out_of_reach(turn_id: UUID, text: str, *, now: datetime) -> None:
    """A document's file could not be opened: it is tried again, and given up at last."""
    with lifecycle.locked(job_of(turn_id)) as job:
        attempt, turn = current(turn_id)
        if attempt.state != State.SUBMITTING or turn.sent_at:
            return
        failures = attempt.failures + 1
        if failures >= policy.READ_TRIES:
            settling.fail(job, attempt, Reason("document_unusable", text), now=now, cost=Decimal(0))
            return
        due_at = min(now + policy.submit_delay(failures), deadline(job, attempt))
        Attempt.objects.filter(pk=attempt.pk).update(
            failures=failures, error_text=text, next_check_at=due_at, **lifecycle.LET_GO
        )
        said = f"{text} It is tried again at {settling.clock(due_at)}."
        lifecycle.explain(job, Reason("document_out_of_reach", said), now=now)


def becomes_unknown(job: Job, attempt: Attempt, turn: Turn, *, now: datetime, why: str) -> None:
    until = max(now, (turn.sent_at or now) + timedelta(seconds=job.job_type.unknown_wait))
    lifecycle.move_attempt(
        attempt,
        State.UNKNOWN,
        now=now,
        error_code="no_answer",
        error_text=why,
        checks=attempt.checks + 1,
        next_check_at=until,
    )
    text = f"It may have started: {settling.sentence(why)} News is waited for until {settling.clock(until)}."
    settling.start(job, attempt, now=now, reason=Reason("may_have_started", text))


def job_of(turn_id: UUID) -> UUID:
    return Turn.objects.values_list("attempt__job_id", flat=True).get(pk=turn_id)


def current(turn_id: UUID) -> tuple[Attempt, Turn]:
    """The rows as they are now that the job is held."""
    turn = Turn.objects.select_related("attempt").get(pk=turn_id)
    return turn.attempt, turn
