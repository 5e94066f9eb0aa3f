"""The rules: what is tried again, when to look next."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs import policy
from jobs.models import Cause, JobType, OnIncomplete
from jobs.policy import Typical, check_delay

_chances = st.floats(0, 1, exclude_max=True)
_seconds = st.floats(0, 10 * 86400)
_typicals = st.none() | st.builds(
    lambda a, b: Typical(median=min(a, b), most=max(a, b)), _seconds, _seconds
)


def test_an_incomplete_answer_fails_only_where_the_type_says_so():
    assert policy.fails_when_incomplete(JobType(on_incomplete=OnIncomplete.FAIL))
    assert not policy.fails_when_incomplete(JobType())


@pytest.mark.parametrize("code", ["server_error", "rate_limit_exceeded", "vector_store_timeout"])
def test_a_passing_fault_is_tried_again_up_to_the_attempts_of_the_type(code):
    job_type = JobType(max_attempts=3)
    first, again = [Cause.FIRST], [Cause.AUTOMATIC]
    assert policy.tries_again(job_type, code, causes=first)
    assert policy.tries_again(job_type, code, causes=first + again)
    assert not policy.tries_again(job_type, code, causes=first + 2 * again)
    assert not policy.tries_again(JobType(max_attempts=1), code, causes=first)


@pytest.mark.parametrize("code", ["invalid_prompt", "bio_policy", "never_heard_of", "", "failed"])
def test_any_other_fault_is_not(code):
    assert not policy.tries_again(JobType(max_attempts=3), code, causes=[Cause.FIRST])


@pytest.mark.parametrize("by_person", [Cause.RETRY, Cause.CHANGES])
def test_a_retry_by_a_person_begins_a_new_series(by_person):
    causes = [Cause.FIRST, Cause.AUTOMATIC, Cause.AUTOMATIC, by_person]
    assert policy.tries_in_series(causes) == 1
    assert policy.tries_again(JobType(max_attempts=3), "server_error", causes=causes)


def test_retries_wait_longer_each_time():
    waits = [policy.retry_delay(tries, chance=0).total_seconds() for tries in (1, 2, 3)]
    assert waits == [4, 8, 16]


@given(st.integers(0, 10_000), _chances)
def test_a_pause_after_a_failure_has_limits(failures, chance):
    for delay in (policy.submit_delay, policy.lookup_delay):
        seconds = delay(failures, chance=chance).total_seconds()
        assert 2 <= seconds <= policy.LONGEST_BACKOFF * 1.25


@given(st.integers(1, 100), st.floats(0, 3600), _chances)
def test_the_wait_that_the_provider_asks_for_is_kept(failures, asked, chance):
    for delay in (policy.submit_delay, policy.lookup_delay):
        pause = delay(failures, retry_after=asked, chance=chance)
        assert pause >= timedelta(seconds=asked)
        assert pause >= delay(failures, chance=chance)


def test_the_first_check_comes_within_two_seconds():
    assert policy.FIRST_CHECK <= 2


@given(st.floats(0, 60, exclude_max=True), _typicals, st.booleans(), _chances)
def test_checks_are_at_most_five_seconds_apart_in_the_first_minute(age, typical, arrive, chance):
    delay = check_delay(age, typical=typical, webhooks_arrive=arrive, chance=chance)
    assert timedelta(seconds=0.8) <= delay <= timedelta(seconds=5)


@given(_seconds, _typicals, st.booleans(), _chances)
def test_checks_never_pause_for_longer_than_their_limit(age, typical, arrive, chance):
    longest = policy.LONGEST_GAP_WITH_WEBHOOKS if arrive else policy.LONGEST_GAP
    delay = check_delay(age, typical=typical, webhooks_arrive=arrive, chance=chance)
    assert timedelta(seconds=0.8) <= delay <= timedelta(seconds=longest)


def test_checks_thin_out_with_age():
    gaps = [check_delay(age, chance=0).total_seconds() for age in (1, 10, 120, 600, 7200)]
    assert gaps == sorted(gaps)
    assert gaps[0] == 1 and gaps[-1] == policy.LONGEST_GAP


def test_checks_thin_out_further_where_webhooks_arrive():
    assert check_delay(600, webhooks_arrive=True, chance=0) > check_delay(600, chance=0)


def test_checks_wait_for_the_usual_duration_and_gather_around_it():
    slow = Typical(median=1200, most=1500)
    assert check_delay(100, typical=slow, chance=0) > check_delay(100, chance=0)
    assert check_delay(1450, typical=slow, chance=0) < check_delay(1450, chance=0)


def test_jitter_only_shortens_a_check():
    assert check_delay(30, chance=0.99) < check_delay(30, chance=0) == timedelta(seconds=5)


@given(_seconds)
def test_a_random_chance_is_taken_where_none_is_given(age):
    shortest, longest = check_delay(age, chance=1), check_delay(age, chance=0)
    assert shortest <= check_delay(age) <= longest
