"""Live text: what a running response has written so far, stored once for all who watch.

Nothing depends on it: a response that cannot be followed is polled like any other, and its end is
read from the terminal answer.
"""

from datetime import datetime, timedelta
from typing import Any

from jobs import lifecycle
from jobs.models import Attempt, Job, Live, LiveText, State, Status, Turn
from jobs.text import clean

#: Characters that are kept of what is being written; the answer itself has no such limit.
MOST = 200_000
#: Failures in a row after which a response is polled only.
MOST_FAILURES = 5


def begin(turn: Turn, *, now: datetime) -> None:
    """Follow the response of a turn from here on, if it was started so that it can be."""
    if turn.request.get("stream") and turn.attempt.job.job_type.live != Live.OFF:
        LiveText.objects.get_or_create(
            turn=turn, defaults={"began_at": now, "updated_at": now, "next_check_at": now}
        )


def call(row: LiveText, provider: Any, now: datetime) -> Any:
    """The next batch of a claimed row, or None where there is nothing to follow any more."""
    if row.turn.ended_at or row.turn.attempt.state != State.LIVE:
        LiveText.objects.filter(pk=row.pk).update(next_check_at=None)
        return None
    return provider.live.batch(str(row.turn.response_id), after=row.sequence)


def answered(row_id: int, answer: Any, error: BaseException | None, *, now: datetime) -> None:
    """Write a batch down, and be due again at once; or leave the rest to polling."""
    # The SDK is imported where it is used: pages read this module too.
    from jobs.provider.errors import NotFound, ProviderError
    from jobs.provider.live import Batch, CannotFollow

    row = LiveText.objects.select_related("turn").filter(pk=row_id).first()
    if row is None:
        # The whole answer is there.
        return
    fields: dict[str, Any] = {**lifecycle.LET_GO, "next_check_at": now}
    if isinstance(answer, Batch) and answer.after != row.sequence:
        # Another consumer has gone on from there.
        return
    if isinstance(answer, Batch):
        text = (row.text + clean(answer.text))[:MOST] if answer.text else row.text
        fields |= {"text": text, "sequence": answer.sequence, "failures": 0}
        if answer.doing:
            fields["doing"] = answer.doing
        if answer.text or answer.doing:
            fields["updated_at"] = now
        if answer.ended:
            fields["next_check_at"] = None
            open_one = Attempt.objects.filter(pk=row.turn.attempt_id, state=State.LIVE)
            open_one.update(next_check_at=now)
    elif isinstance(error, CannotFollow | NotFound) or row.failures + 1 >= MOST_FAILURES:
        fields["next_check_at"] = None
    elif isinstance(error, ProviderError):
        fields |= {
            "failures": row.failures + 1,
            "next_check_at": now + timedelta(seconds=2 ** min(row.failures, 4)),
        }
    elif error is not None:
        raise error
    # Only onto what was read, for the same reason.
    LiveText.objects.filter(pk=row_id, sequence=row.sequence).update(**fields)


def written(job: Job) -> LiveText | None:
    """What a running job is writing at the moment, if it is followed."""
    if job.status != Status.RUNNING:
        return None
    # Of an attempt that was given up, the text stays until its response has ended.
    rows = LiveText.objects.filter(turn__attempt__job=job, turn__attempt__state=State.LIVE)
    return rows.filter(turn__ended_at=None).order_by("-pk").first()
