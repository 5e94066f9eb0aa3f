"""The rules, pure: what is tried again, when to look next. `jobs.reviewing` says what is reviewed."""

import random
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta

from jobs.models import Cause, JobType, OnIncomplete

#: Codes of a failed response that a second try may not meet (the SDK's ResponseError codes).
TRANSIENT = frozenset({"server_error", "rate_limit_exceeded", "vector_store_timeout"})

#: Seconds.
FIRST_CHECK = 1.5
CLOSEST_CHECKS = 1.0
FIRST_MINUTE_GAP = 5.0
LONGEST_GAP = 60.0
LONGEST_GAP_WITH_WEBHOOKS = 300.0
LONGEST_BACKOFF = 120.0
SECOND_LOOK = 8.0
#: Failed looks in a row after which an answer is taken without the files that it names.
FILE_TRIES = 8
#: Times in a row, over about a minute, that a document's file may be out of reach.
READ_TRIES = 6


@dataclass(frozen=True)
class Typical:
    """How long this type's attempts take, in seconds: the middle one, and nine in ten."""

    median: float
    most: float


def fails_when_incomplete(job_type: JobType) -> bool:
    return job_type.on_incomplete == OnIncomplete.FAIL


def tries_again(job_type: JobType, error_code: str, *, causes: Iterable[str]) -> bool:
    """Whether a failed response is retried by itself.

    `causes` are those of the job's attempts, oldest first: a person's retry begins a new series.
    """
    return error_code in TRANSIENT and tries_in_series(causes) < job_type.max_attempts


def tries_in_series(causes: Iterable[str]) -> int:
    series = 0
    for cause in causes:
        series = series + 1 if cause == Cause.AUTOMATIC else 1
    return series


def retry_delay(tries: int, *, chance: float | None = None) -> timedelta:
    """The pause before an automatic retry, after `tries` attempts: 4 s, 8 s, 16 s … with jitter."""
    return _backoff(4.0, tries - 1, None, chance)


def submit_delay(
    failures: int, *, retry_after: float | None = None, chance: float | None = None
) -> timedelta:
    """The pause after the `failures`-th create in a row that started nothing."""
    return _backoff(2.0, failures - 1, retry_after, chance)


def lookup_delay(
    failures: int, *, retry_after: float | None = None, chance: float | None = None
) -> timedelta:
    """The pause after the `failures`-th lookup in a row without a usable answer."""
    return _backoff(2.0, failures - 1, retry_after, chance)


def check_delay(
    age: float,
    *,
    typical: Typical | None = None,
    webhooks_arrive: bool = False,
    chance: float | None = None,
) -> timedelta:
    """The pause until the next look at a response that is still running, `age` seconds old.

    Within the first minute at most 5 s. Afterwards a twelfth of the age, so that finding out late
    costs a share of the wait and not a fixed price; sparser where this type's attempts usually
    take much longer still, or where webhooks are seen to arrive and polls are only the safety net.
    Jitter only ever shortens a pause, so that the limits hold.
    """
    chance = random.random() if chance is None else chance  # noqa: S311 - not a secret
    if age < 60:
        gap = min(max(CLOSEST_CHECKS, age * 0.4), FIRST_MINUTE_GAP)
    else:
        longest = LONGEST_GAP_WITH_WEBHOOKS if webhooks_arrive else LONGEST_GAP
        gap = max(FIRST_MINUTE_GAP, age / 12) * (4 if webhooks_arrive else 1)
        if typical and age < typical.median:
            gap = max(gap, (typical.median - age) / 4)
        elif typical and age < typical.most:
            gap = min(gap, max(FIRST_MINUTE_GAP, (typical.most - age) / 3))
        gap = min(gap, longest)
    return timedelta(seconds=gap * (1 - 0.2 * chance))


def index_delay(age: timedelta) -> timedelta:
    """The pause until the next look at a vector store that is being indexed."""
    return timedelta(seconds=min(max(0.5, age.total_seconds() / 10), 5.0))


def _backoff(
    base: float, doublings: int, retry_after: float | None, chance: float | None
) -> timedelta:
    chance = random.random() if chance is None else chance  # noqa: S311 - not a secret
    seconds = min(base * 2 ** min(max(doublings, 0), 16), LONGEST_BACKOFF) * (1 + 0.25 * chance)
    return timedelta(seconds=max(seconds, retry_after or 0.0) if retry_after else seconds)
