"""What an answer of the provider does to its attempt and its job.

Each function takes what came back from one call and writes it down, in one transaction that holds
the job. All may be called late or twice: what the job has become meanwhile wins, and the answer is
kept as evidence.
"""

import logging
from datetime import datetime, timedelta
from decimal import Decimal
from uuid import UUID

from jobs import lapses, lifecycle, live, policy, results, settling
from jobs.access import FILES_MISSING
from jobs.lifecycle import PROVIDER, Reason
from jobs.models import (
    Attempt,
    Job,
    State,
    Status,
    Turn,
    Verb,
)
from jobs.provider.errors import (
    ACCOUNT_CODES,
    AccountProblem,
    CannotCancel,
    FilesUnavailable,
    NotFound,
    NotStarted,
    OutcomeUnknown,
    ProviderError,
    Refused,
)
from jobs.provider.payloads import ProviderResponse
from jobs.results import Read
from jobs.text import clean, clipped

logger = logging.getLogger(__name__)

#: The reason of a running job whose provider does not answer.
SILENT = "provider_silent"
#: The code of a refusal: the response that a create follows is not there.
PREVIOUS_GONE = "previous_response_not_found"
#: Characters of a provider's sentence that are kept.
MOST_ERROR_TEXT = 1_000
#: How long an ended attempt is tidied up behind.
TIDYING_LASTS = timedelta(days=1)
#: Failed lookups in a row after which the status page says so.
SAYS_SO_AFTER = 3
#: Lookups in a row after which tidying up behind an ended attempt is given up.
TIDYING_ENDS_AFTER = 30


def accepted(turn_id: UUID, response: ProviderResponse, *, now: datetime, adopted: bool) -> bool:
    """A create was answered, or (`adopted`) its lost answer was found through its metadata.

    False where the turn already has another response: then this one is nobody's, and is reported.
    """
    turn = _turn(turn_id)
    found = results.read(turn, response) if response.state is not State.LIVE else None
    with lifecycle.locked(turn.attempt.job_id) as job:
        attempt, turn = lapses.current(turn_id)
        if turn.response_id and turn.response_id != response.id:
            logger.error("%s: a second response, %s, for one turn", job.ref, response.id)
            reason = Reason("second_response", f"OpenAI has a second response, {response.id}.")
            lifecycle.record(job, Verb.LATE_ANSWER, now=now, by=PROVIDER, reason=reason)
            return False
        if _has_gone_on(attempt, turn):
            return True
        first_seen = not turn.response_id
        Turn.objects.filter(pk=turn.pk).update(
            response_id=response.id,
            request_id=response.request_id,
            provider_status=clean(response.status),
            sent_at=turn.sent_at or now,
        )
        turn.response_id = response.id
        if not attempt.is_open:
            if first_seen:
                settling.late(job, attempt, f"OpenAI did start it, as {response.id}.", now=now)
            if found and turn.payload is None:
                settling.finish(job, attempt, turn, found, now=now)
            else:
                _wake(attempt, now)
            return True
        if adopted and first_seen:
            said = Reason("adopted", "OpenAI's lost answer was found.")
            lifecycle.record(job, Verb.ADOPTED, now=now, by=PROVIDER, reason=said)
        settling.start(job, attempt, now=now)
        if found:
            settling.finish(job, attempt, turn, found, now=now)
        elif attempt.state != State.LIVE:
            lifecycle.move_attempt(
                attempt,
                State.LIVE,
                now=now,
                submitted_at=attempt.submitted_at or turn.sent_at or now,
                last_heard_at=now,
                failures=0,
                checks=attempt.checks + 1,
                error_code="",
                error_text="",
                next_check_at=now + timedelta(seconds=policy.FIRST_CHECK),
            )
            live.begin(turn, now=now)
    return True


def not_accepted(turn_id: UUID, error: ProviderError, *, now: datetime) -> None:
    """A create failed: before anything was started, for good, or nobody knows."""
    with lifecycle.locked(lapses.job_of(turn_id)) as job:
        attempt, turn = lapses.current(turn_id)
        if _has_gone_on(attempt, turn):
            return
        code, text = clean(error.code)[:60], clipped(clean(error.text), MOST_ERROR_TEXT)
        if attempt.state == State.UNKNOWN and not isinstance(error, OutcomeUnknown):
            # The lease had lapsed while the answer was on its way, and it says that nothing began.
            settling.fail(job, attempt, Reason(code, text), now=now, cost=Decimal(0))
        if attempt.state != State.SUBMITTING:
            return
        if isinstance(error, OutcomeUnknown):
            lapses.becomes_unknown(job, attempt, turn, now=now, why=text)
        elif isinstance(error, NotStarted):
            Turn.objects.filter(pk=turn.pk).update(sent_at=None)
            failures = attempt.failures + 1
            pause = policy.submit_delay(failures, retry_after=error.retry_after)
            limit = lapses.deadline(job, attempt)
            due_at = min(now + pause, limit)
            Attempt.objects.filter(pk=attempt.pk).update(
                failures=failures,
                checks=attempt.checks + 1,
                error_code=code,
                error_text=text,
                next_check_at=due_at,
                **lifecycle.LET_GO,
            )
            then = f"{'Next try' if due_at < limit else 'It expires'} at {settling.clock(due_at)}."
            said = f"OpenAI has not taken it yet: {settling.sentence(text)} {then}"
            lifecycle.explain(job, Reason(f"not_started_{code}"[:60], said), now=now)
        elif _can_do_without(job, turn, error):
            _send_with_text(job, attempt, turn, now=now)
        else:
            settling.fail(job, attempt, Reason(code, text), now=now, cost=Decimal(0))
            if isinstance(error, AccountProblem) and code not in ACCOUNT_CODES:
                settling.alert(job, code, text)


def _can_do_without(job: Job, turn: Turn, error: ProviderError) -> bool:
    """Whether a refused follow-up can be sent again with the stored text instead: once."""
    gone = isinstance(error, Refused) and error.code == PREVIOUS_GONE
    return gone and job.is_follow_up and turn.number == 1 and not turn.previous_gone


def _send_with_text(job: Job, attempt: Attempt, turn: Turn, *, now: datetime) -> None:
    """The refusal says that nothing was started, so nothing is paid twice."""
    Turn.objects.filter(pk=turn.pk).update(sent_at=None, previous_gone=True)
    Attempt.objects.filter(pk=attempt.pk).update(
        checks=attempt.checks + 1, next_check_at=now, **lifecycle.LET_GO
    )
    text = "OpenAI no longer has the response before it: the stored result goes along instead."
    lifecycle.explain(job, Reason("previous_gone", text), now=now)


def looked_up(
    turn_id: UUID,
    response: ProviderResponse,
    *,
    now: datetime,
    was_due_at: datetime | None = None,
    reads: bool = True,
) -> None:
    """A retrieve or a cancel was answered. `was_due_at` is when the look was due as it began: a
    check that somebody has pulled nearer since is not put off again. Without `reads` a terminal
    answer is kept as it is: reading it has ended processes."""
    turn = _turn(turn_id)
    found = None
    if response.state is not State.LIVE:
        found = results.read(turn, response) if reads else results.unread(turn, response)
    with lifecycle.locked(turn.attempt.job_id) as job:
        attempt, turn = lapses.current(turn_id)
        if not found and _has_gone_on(attempt, turn):
            return
        Turn.objects.filter(pk=turn.pk).update(provider_status=clean(response.status))
        if found and turn.payload is None:
            settling.finish(job, attempt, turn, found, now=now)
        elif found:
            _differs_later(job, attempt, turn, found, now=now)
        else:
            _still_running(job, attempt, turn, response, now=now, was_due_at=was_due_at)


def cancel_sent(turn_id: UUID, *, now: datetime) -> None:
    """The provider was asked to cancel: look at once how the response ended."""
    attempt_id = Turn.objects.values_list("attempt_id", flat=True).get(pk=turn_id)
    Attempt.objects.filter(pk=attempt_id).update(
        cancel_sent_at=now, next_check_at=now, **lifecycle.LET_GO
    )


def lookup_failed(
    turn_id: UUID, error: ProviderError, *, now: datetime, was_due_at: datetime | None = None
) -> None:
    """A retrieve or a cancel was not answered, or the response is not there."""
    if isinstance(error, CannotCancel):
        cancel_sent(turn_id, now=now)
        return
    with lifecycle.locked(lapses.job_of(turn_id)) as job:
        attempt, turn = lapses.current(turn_id)
        if _has_gone_on(attempt, turn):
            return
        if isinstance(error, NotFound):
            _missing(job, attempt, turn, now=now)
            return
        failures, code = attempt.failures + 1, clean(error.code)[:60]
        given_up = not attempt.is_open and failures >= TIDYING_ENDS_AFTER
        due_at = now + policy.lookup_delay(failures, retry_after=error.retry_after)
        if was_due_at is not None and attempt.next_check_at != was_due_at:
            # Somebody has pulled the check nearer, to cancel or by a webhook.
            due_at = now + policy.lookup_delay(1)
        if attempt.is_open:
            due_at = min(due_at, lapses.deadline(job, attempt))
        Attempt.objects.filter(pk=attempt.pk).update(
            failures=failures,
            checks=attempt.checks + 1,
            next_check_at=None if given_up else due_at,
            **lifecycle.LET_GO,
        )
        if attempt.is_open and not job.is_settled and failures >= SAYS_SO_AFTER:
            heard = (
                f"; last heard of at {settling.clock(attempt.last_heard_at)}"
                if attempt.last_heard_at
                else ""
            )
            if isinstance(error, AccountProblem):
                text = f"OpenAI refuses to say how it stands: {clean(error.text)}"
                lifecycle.explain(job, Reason(code, text), now=now)
                if failures == SAYS_SO_AFTER:
                    settling.alert(job, code, text)
                return
            if isinstance(error, FilesUnavailable):
                text = f"A file of it could not be fetched {failures} times. It is tried again."
                lifecycle.explain(job, Reason(FILES_MISSING, text), now=now)
                return
            text = f"OpenAI has not answered {failures} times{heard}. It is asked again."
            lifecycle.explain(job, Reason(SILENT, text), now=now)


def _still_running(
    job: Job,
    attempt: Attempt,
    turn: Turn,
    response: ProviderResponse,
    *,
    now: datetime,
    was_due_at: datetime | None,
) -> None:
    """The slow path of `engine.write_still_running`: for what has changed besides the clock."""
    age = (now - (turn.sent_at or now)).total_seconds()
    if attempt.ended_at and now - attempt.ended_at >= TIDYING_LASTS:
        settling.tidied(attempt)
        return
    nudged = was_due_at is not None and attempt.next_check_at != was_due_at
    due_at = now if nudged else now + policy.check_delay(age)
    Attempt.objects.filter(pk=attempt.pk).update(
        failures=0,
        missing_since=None,
        last_heard_at=now,
        checks=attempt.checks + 1,
        next_check_at=min(due_at, lapses.deadline(job, attempt)) if attempt.is_open else due_at,
        **lifecycle.LET_GO,
    )
    if job.status == Status.RUNNING and attempt.is_open:
        # It answers again, so what was said of its silence is no longer true.
        cleared = {"reason_code": "", "reason_text": ""} if attempt.failures else {}
        if job.cancel_requested_at:
            cleared = {}
        lifecycle.note(job, progress_message=settling.progress_message(response.status), **cleared)


def _differs_later(job: Job, attempt: Attempt, turn: Turn, found: Read, *, now: datetime) -> None:
    """An ended turn was looked at again: kept beside the first answer where it says otherwise."""
    if not attempt.is_open:
        settling.tidied(attempt)
    body = found.response.body
    if body == bytes(turn.payload or b"") or turn.late_payload is not None:
        return
    Turn.objects.filter(pk=turn.pk).update(late_payload=body)
    settling.late(job, attempt, f"{found.response.id} now says {found.response.status}.", now=now)


def _missing(job: Job, attempt: Attempt, turn: Turn, *, now: datetime) -> None:
    """A 404: believed at the second look."""
    if not attempt.is_open:
        settling.tidied(attempt)
        return
    if attempt.missing_since is None:
        Attempt.objects.filter(pk=attempt.pk).update(
            missing_since=now,
            checks=attempt.checks + 1,
            next_check_at=now + timedelta(seconds=policy.SECOND_LOOK),
            **lifecycle.LET_GO,
        )
        return
    Turn.objects.filter(pk=turn.pk).update(ended_at=now)
    text = "OpenAI no longer has the answer."
    lifecycle.move_attempt(
        attempt, State.LOST, now=now, error_code="lost_at_provider", error_text=text
    )
    lifecycle.note(job, cost_usd=None)
    if job.cancel_requested_at:
        settling.settle_canceled(job, f"Canceled by {job.cancel_requested_by}. {text}", now=now)
    else:
        settling.move_to(job, Status.FAILED, Verb.FAILED, Reason("lost_at_provider", text), now=now)


def _wake(attempt: Attempt, now: datetime) -> None:
    Attempt.objects.filter(pk=attempt.pk).update(next_check_at=now, **lifecycle.LET_GO)


def _turn(turn_id: UUID) -> Turn:
    return Turn.objects.select_related(
        "attempt__job__job_type", "attempt__job__prompt_version"
    ).get(pk=turn_id)


def _has_gone_on(attempt: Attempt, turn: Turn) -> bool:
    """Whether the attempt waits for a later turn by now: another sweep, or a webhook, had the
    answer first."""
    return attempt.is_open and turn.ended_at is not None
