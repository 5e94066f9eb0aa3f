"""Canceling, and deadlines: at every moment of a job's life, whatever the provider does."""

import json
from datetime import timedelta

import pytest

from jobs.models import Attempt, State, Status, Verb
from reviews.models import Ruling
from tests import wire
from tests.driver import Driver
from tests.factories import JobFactory, JobTypeFactory
from tests.payloads import response_object, usage
from tests.steps import (
    lives,
    now_of,
    only_response,
    refusal,
    rules_on,
    run_out,
    verbs,
    webhook_names,
)

pytestmark = pytest.mark.usefixtures("nothing_paid_twice")


@pytest.fixture
def running(driver, sandbox, clock, job):
    """A job that the provider works on and never ends by itself."""
    lives(sandbox, end="never", running=0)
    driver.work()
    clock.advance(1)
    return job


def test_a_queued_job_is_canceled_at_once_and_nothing_is_ever_sent(driver, sandbox, clock, job):
    rules_on(job, Ruling.CANCEL, clock)
    job, attempt, _turn = now_of(job)
    assert (attempt.state, job.status) == (State.CANCELED, Status.CANCELED)
    run_out(driver)
    assert sandbox.requests() == []


def test_a_running_job_is_canceled_at_the_provider_and_keeps_what_was_written(
    driver, sandbox, clock, running
):
    rules_on(running, Ruling.CANCEL, clock, note="No longer needed.")
    job, attempt, _turn = now_of(running)
    assert (job.status, job.reason_code) == (Status.RUNNING, "cancel_requested")
    driver.settle(job)
    job, attempt, turn = now_of(job)
    assert (attempt.state, job.status) == (State.CANCELED, Status.CANCELED)
    assert job.reason_code == "canceled_by_person"
    assert f"Canceled by {job.requester}." in job.reason_text
    assert "kept as evidence" in job.reason_text
    assert attempt.result.text and attempt.result.partial
    assert not attempt.result.deliverable
    assert job.cost_usd is None  # a canceled response reports no usage
    assert json.loads(bytes(turn.payload))["status"] == "cancelled"
    assert sandbox.stats()["by_status"] == {"cancelled": 1}
    assert verbs(job)[2:] == [Verb.CANCEL_REQUESTED, Verb.CANCELED]
    run_out(driver)
    assert sandbox.stats()["cancels"] == 1


def test_a_job_that_completed_meanwhile_is_canceled_and_paid_for(driver, sandbox, clock, job):
    lives(sandbox, end="completed", usage=usage(100_000, 50_000))
    driver.work()
    rules_on(job, Ruling.CANCEL, clock)
    driver.settle(job)
    job, attempt, turn = now_of(job)
    assert (attempt.state, job.status) == (State.SUCCEEDED, Status.CANCELED)
    assert not attempt.result.deliverable and not attempt.result.partial
    assert str(job.cost_usd) == "1.000000"
    assert turn.payload
    refused = [request for request in sandbox.requests() if request["path"].endswith("/cancel")]
    assert [request["status"] for request in refused] == [400]


@pytest.mark.parametrize("life", [{"end": "failed"}, {"end": "incomplete"}, {"end": "cancelled"}])
def test_a_job_that_ended_otherwise_meanwhile_is_canceled(driver, sandbox, clock, job, life):
    lives(sandbox, **life)
    driver.work()
    rules_on(job, Ruling.CANCEL, clock)
    driver.settle(job)
    assert (job.status, job.reason_code) == (Status.CANCELED, "canceled_by_person")
    assert job.attempts.count() == 1  # not even a passing fault is tried again
    run_out(driver)


def test_a_cancel_without_an_answer_is_sent_again(driver, sandbox, clock, running):
    sandbox.script({"on": "cancel", "do": {"drop": "before"}})
    sandbox.script({"on": "cancel", "do": refusal(500)})
    rules_on(running, Ruling.CANCEL, clock)
    driver.settle(running)
    assert running.status == Status.CANCELED
    assert sandbox.stats()["by_status"] == {"cancelled": 1}


def test_a_cancel_of_a_response_that_is_gone_is_a_cancel(driver, sandbox, clock, job):
    lives(sandbox, end="vanish")
    driver.work()
    rules_on(job, Ruling.CANCEL, clock)
    driver.settle(job)
    job, attempt, _turn = now_of(job)
    assert (attempt.state, job.status) == (State.LOST, Status.CANCELED)
    assert "no longer has the answer" in job.reason_text
    assert job.cost_usd is None
    run_out(driver)


def test_a_cancel_that_the_provider_loses_stays_a_cancel(driver, sandbox, clock, running):
    """It says cancelled, works on, and is done later: kept beside, and changes nothing."""
    sandbox.script({"on": "cancel", "do": {"cancel_lost": True}})
    rules_on(running, Ruling.CANCEL, clock)
    driver.settle(running)
    job, attempt, turn = now_of(running)
    assert (attempt.state, job.status) == (State.CANCELED, Status.CANCELED)
    first, heads = bytes(turn.payload), verbs(job)
    late = json.dumps(response_object(id=turn.response_id, usage=usage()))
    sandbox.script({"on": "retrieve", "times": None, "do": {"raw": late}})
    for _webhook in range(2):
        Attempt.objects.filter(pk=attempt.pk).update(next_check_at=clock())
        driver.work()
    job, attempt, turn = now_of(job)
    assert (attempt.state, job.status) == (State.CANCELED, Status.CANCELED)
    assert bytes(turn.payload) == first
    assert bytes(turn.late_payload) == late.encode()
    assert verbs(job) == [*heads, Verb.LATE_ANSWER]
    assert "now says completed" in job.events.last().reason_text
    run_out(driver)


def test_a_cancel_while_the_create_is_on_its_way_catches_up_with_it(driver, sandbox, clock, job):
    lives(sandbox, end="never")
    with driver.holding("create"):
        driver.reach(lambda: sandbox.stats()["responses"] == 1)
        clock.advance(1)
        rules_on(job, Ruling.CANCEL, clock)
        job, attempt, _turn = now_of(job)
        assert (attempt.state, job.status) == (State.CANCELED, Status.CANCELED)
    run_out(driver)
    job, attempt, turn = now_of(job)
    assert (attempt.state, job.status) == (State.CANCELED, Status.CANCELED)
    assert turn.response_id == only_response(sandbox)
    assert sandbox.stats()["by_status"] == {"cancelled": 1}
    assert sandbox.stats()["cancels"] == 1
    assert Verb.LATE_ANSWER in verbs(job)
    assert job.cost_usd is None


@pytest.mark.parametrize(
    "do", [refusal(429, "slow_down"), refusal(400), refusal(401), refusal(500)]
)
def test_a_cancel_while_the_create_is_being_refused_stands(driver, sandbox, clock, job, do):
    sandbox.script({"on": "create", "do": do})
    with driver.holding("create"):
        driver.reach(lambda: sandbox.stats()["creates"] == 1)
        rules_on(job, Ruling.CANCEL, clock)
    run_out(driver)
    job, attempt, _turn = now_of(job)
    assert (attempt.state, job.status) == (State.CANCELED, Status.CANCELED)
    assert sandbox.stats()["creates"] == 1


def test_a_retry_of_a_job_canceled_while_its_create_was_on_its_way_starts_one_more(
    driver, sandbox, clock, job
):
    lives(sandbox, end="never")
    with driver.holding("create"):
        driver.reach(lambda: sandbox.stats()["responses"] == 1)
        rules_on(job, Ruling.CANCEL, clock)
        rules_on(job, Ruling.RETRY, clock)
    driver.settle(job)
    assert job.status == Status.COMPLETED
    run_out(driver)
    assert sandbox.stats()["by_status"] == {"cancelled": 1, "completed": 1}


def test_a_cancel_while_a_lookup_is_on_its_way_is_sent_right_after_it(
    driver, sandbox, clock, running
):
    with driver.holding("retrieve"):
        clock.advance(5)
        driver.reach(lambda: sandbox.stats()["retrieves"] == 1)
        clock.advance(0.5)
        rules_on(running, Ruling.CANCEL, clock)
    asked_at = clock()
    driver.work()
    assert now_of(running)[0].status == Status.CANCELED
    assert clock() == asked_at


def test_a_cancel_of_an_unknown_submit_cancels_what_turns_up(driver, sandbox, clock, job):
    sandbox.script({"on": "create", "do": {"drop": "after", "life": {"end": "never"}}})
    driver.work()
    clock.advance(1)
    rules_on(job, Ruling.CANCEL, clock)
    webhook_names(only_response(sandbox), clock)
    driver.settle(job)
    assert job.status == Status.CANCELED
    assert sandbox.stats()["by_status"] == {"cancelled": 1}


def test_a_cancel_of_an_unknown_submit_that_stays_unknown_says_so(driver, sandbox, clock, job):
    sandbox.script({"on": "create", "do": refusal(500)})
    driver.work()
    rules_on(job, Ruling.CANCEL, clock)
    driver.settle(job)
    assert (job.status, job.reason_code) == (Status.CANCELED, "canceled_by_person")
    assert "Nobody knows whether OpenAI started this" in job.reason_text
    assert job.cost_usd is None


# Deadlines


def test_a_job_that_cannot_start_expires_at_its_moment(clock, job, driver, sandbox):
    job_type = JobTypeFactory(start_within=300)
    job = JobFactory(now=clock(), job_type=job_type)
    with Driver(f"http://127.0.0.1:{wire.closed_port()}/v1", clock) as cut_off:
        cut_off.settle(job)
    job, attempt, _turn = now_of(job)
    assert (attempt.state, job.status) == (State.CANCELED, Status.EXPIRED)
    assert (job.reason_code, clock()) == ("not_started", job.start_by)
    assert f"not started by {job.start_by:%H:%M:%S} UTC" in job.reason_text
    assert sandbox.stats()["by_turn"] == {}


def test_a_wait_that_the_provider_asks_for_does_not_outlast_the_deadline(driver, sandbox, clock):
    job = JobFactory(now=clock(), job_type=JobTypeFactory(start_within=300))
    sandbox.script({"on": "create", "do": refusal(429, headers={"retry-after": "3600"})})
    driver.settle(job)
    assert (job.status, clock()) == (Status.EXPIRED, job.start_by)
    assert sandbox.stats()["creates"] == 1


def test_a_job_that_does_not_finish_expires_and_is_canceled_at_the_provider(driver, sandbox, clock):
    job = JobFactory(now=clock(), job_type=JobTypeFactory(finish_within=300))
    lives(sandbox, end="never")
    driver.settle(job)
    job, attempt, _turn = now_of(job)
    assert (attempt.state, job.status) == (State.CANCELED, Status.EXPIRED)
    assert job.reason_code == "not_finished"
    assert job.finish_by <= clock() <= job.finish_by + timedelta(seconds=30)
    run_out(driver)
    assert sandbox.stats()["by_status"] == {"cancelled": 1}
    assert sandbox.stats()["cancels"] == 1
    job, attempt, turn = now_of(job)
    assert job.status == Status.EXPIRED and turn.payload
    assert verbs(job)[-2:] == [Verb.EXPIRED, Verb.LATE_ANSWER]


def test_a_job_whose_provider_is_silent_expires_too(driver, sandbox, clock):
    job = JobFactory(now=clock(), job_type=JobTypeFactory(finish_within=300))
    lives(sandbox, end="never")
    driver.work()
    silent = refusal(503, headers={"retry-after": "3600"})
    sandbox.script({"on": "retrieve", "times": None, "do": silent})
    driver.settle(job)
    assert (job.status, clock()) == (Status.EXPIRED, job.finish_by)


def test_a_response_that_ends_after_its_job_expired_is_evidence(driver, sandbox, clock):
    job = JobFactory(now=clock(), job_type=JobTypeFactory(finish_within=300))
    lives(sandbox, end="completed")
    driver.work()
    clock.advance(301)
    driver.settle(job)
    assert job.status == Status.EXPIRED
    run_out(driver)
    job, attempt, turn = now_of(job)
    assert job.status == Status.EXPIRED
    assert turn.payload and not attempt.result.deliverable
    assert job.cost_usd == attempt.cost_usd > 0


def test_an_unknown_submit_whose_deadline_passes_expires(driver, sandbox, clock):
    job = JobFactory(now=clock(), job_type=JobTypeFactory(unknown_wait=600, finish_within=300))
    sandbox.script({"on": "create", "do": {"drop": "after"}})
    driver.work()
    clock.advance(301)
    Attempt.objects.update(next_check_at=clock())
    driver.settle(job)
    job, attempt, _turn = now_of(job)
    assert (attempt.state, job.status) == (State.FAILED, Status.EXPIRED)
    webhook_names(only_response(sandbox), clock)
    driver.work()
    job, attempt, _turn = now_of(job)
    assert job.status == Status.EXPIRED
    assert not attempt.result.deliverable


def test_a_cancel_that_is_never_confirmed_ends_with_the_deadline(driver, sandbox, clock):
    job = JobFactory(now=clock(), job_type=JobTypeFactory(finish_within=300))
    lives(sandbox, end="never")
    driver.work()
    for on in ("cancel", "retrieve"):
        sandbox.script({"on": on, "times": None, "do": refusal(500)})
    rules_on(job, Ruling.CANCEL, clock)
    driver.settle(job)
    assert (job.status, job.reason_code) == (Status.CANCELED, "canceled_by_person")
    assert "never confirmed" in job.reason_text


def test_tidying_up_behind_a_settled_job_is_given_up_some_day(driver, sandbox, clock):
    job = JobFactory(now=clock(), job_type=JobTypeFactory(finish_within=60))
    lives(sandbox, end="never")
    driver.work()
    for on in ("cancel", "retrieve"):
        sandbox.script({"on": on, "times": None, "do": refusal(500)})
    driver.settle(job)
    run_out(driver)
    assert now_of(job)[1].next_check_at is None
    assert sandbox.stats()["cancels"] < 50


def test_an_overdue_review_expires_only_where_the_type_says_so(driver, clock, sandbox):
    kept = JobFactory(now=clock(), job_type=JobTypeFactory(review_within=60))
    dropped = JobFactory(
        now=clock(), job_type=JobTypeFactory(review_within=60, expire_overdue_review=True)
    )
    driver.settle(kept)
    driver.settle(dropped)
    clock.advance(61)
    driver.tick()
    kept.refresh_from_db()
    dropped.refresh_from_db()
    assert kept.status == Status.NEEDS_REVIEW
    assert (dropped.status, dropped.reason_code) == (Status.EXPIRED, "review_overdue")
    assert dropped.gates.get().closed_at == clock()
