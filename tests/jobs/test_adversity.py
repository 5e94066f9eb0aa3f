"""Databases that go away, processes that die of a row, providers that mix things up."""

import json

import psycopg
import pytest
from django.db import DataError, InterfaceError, InternalError, OperationalError

from jobs import engine, leases, outcomes, results
from jobs.models import Attempt, Result, Role, State, Status
from jobs.outage import database_is_away
from reviews.actions import Ask, NotNow, decide
from reviews.models import Ruling
from tests.factories import JobFactory, UserFactory, become_unknown
from tests.payloads import response_object


@pytest.fixture
def job(db, clock):
    return JobFactory(now=clock())


def breaks_once(monkeypatch, module, name, error):
    real, calls = getattr(module, name), []

    def broken(*args, **kwargs):
        calls.append(args)
        if len(calls) == 1:
            raise error
        return real(*args, **kwargs)

    monkeypatch.setattr(module, name, broken)
    return calls


def test_an_answer_is_kept_while_the_database_is_away(driver, sandbox, job, monkeypatch):
    calls = breaks_once(monkeypatch, outcomes, "accepted", OperationalError("away"))
    with pytest.raises(OperationalError):
        driver.work()
    driver.work()
    attempt = job.attempts.get()
    assert len(calls) == 2
    assert (attempt.state, sandbox.stats()["creates"]) == (State.LIVE, 1)


def fault(kind, cause):
    error = kind("No.")
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "away"),
    [
        (OperationalError("database is locked"), True),
        (InterfaceError("connection already closed"), True),
        (fault(OperationalError, psycopg.errors.AdminShutdown()), True),
        (fault(OperationalError, psycopg.errors.DeadlockDetected()), True),
        (fault(OperationalError, psycopg.errors.LockNotAvailable()), True),
        (fault(OperationalError, psycopg.errors.DiskFull()), True),
        (fault(InternalError, psycopg.errors.ReadOnlySqlTransaction()), True),
        (fault(OperationalError, psycopg.errors.QueryCanceled()), False),
        (fault(OperationalError, psycopg.errors.StatementTooComplex()), False),
        (fault(InternalError, psycopg.errors.InFailedSqlTransaction()), False),
        (InternalError("No."), False),
        (DataError("No."), False),
        (ValueError("No."), False),
        (None, False),
    ],
)
def test_a_database_that_is_away_is_told_from_a_row_that_breaks(error, away):
    assert database_is_away(error) is away


def test_creates_on_their_way_outlive_a_claim_that_breaks(driver, sandbox, job, monkeypatch):
    sandbox.script({"on": "create", "do": {"delay": 0.5}})
    driver.sweep.tick()
    assert len(driver.sweep.calls) == 1
    breaks_once(monkeypatch, leases, "claim_due", OperationalError("away"))
    with pytest.raises(OperationalError):
        driver.sweep.tick()
    assert len(driver.sweep.calls) == 1
    driver.work()
    assert job.attempts.get().state == State.LIVE


def test_a_slow_round_does_not_make_its_own_create_unknown(driver, sandbox, job, clock):
    sandbox.script({"on": "create", "do": {"delay": 0.5, "status": 429, "error": {"message": "x"}}})
    driver.sweep.tick()
    clock.advance(leases.ATTEMPT_LEASE.total_seconds() + 1)
    driver.sweep.tick()
    assert job.attempts.get().state == State.SUBMITTING
    driver.settle(job)
    assert sandbox.stats()["responses"] == 1
    assert job.attempts.get().state == State.SUCCEEDED


def test_a_definite_refusal_ends_the_doubt_about_a_submit(driver, job, clock):
    turn = become_unknown(job, now=clock())
    refused = engine.ProviderError("rate_limit_exceeded", "Too many.")
    outcomes.not_accepted(turn.pk, refused, now=clock())
    job.refresh_from_db()
    assert (job.status, job.reason_code) == (Status.FAILED, "rate_limit_exceeded")
    assert job.cost_usd == 0


def test_an_answer_that_kills_its_reader_is_kept_unread_in_the_end(
    driver, sandbox, job, monkeypatch
):
    driver.work()

    class Killed(BaseException):
        pass

    def lethal(turn, response):
        raise Killed

    monkeypatch.setattr(results, "read", lethal)
    deaths = 0
    while not job.is_settled and job.open_gate is None:
        try:
            driver.step()
        except Killed:
            deaths += 1
            driver.sweep.calls.clear()
            driver.drop_calls()
        job.refresh_from_db()
        assert deaths <= engine.MOST_STRIKES + 1
    assert deaths == engine.MOST_STRIKES
    assert job.status == Status.NEEDS_REVIEW
    assert "unreadable" in [warning["code"] for warning in job.warnings]
    assert job.attempts.get().turns.get().payload


def test_an_answer_about_another_response_is_not_believed(driver, sandbox, job):
    driver.work()
    other = json.dumps(response_object(id="resp_of_another_workspace"))
    sandbox.script({"on": "retrieve", "do": {"raw": other}})
    driver.step()
    attempt = job.attempts.get()
    assert (attempt.state, attempt.failures) == (State.LIVE, 1)
    driver.settle(job)
    assert job.attempts.get().result.text != "The answer."


def test_a_cancel_that_is_refused_for_good_does_not_hide_the_end(driver, sandbox, job, clock):
    sandbox.script({"on": "create", "do": {"life": {"running": 0, "end": "completed"}}})
    refusal = {"status": 409, "error": {"message": "Conflict."}}
    sandbox.script({"on": "cancel", "times": None, "do": refusal})
    driver.work()
    decide(job.pk, Ask(Ruling.CANCEL, job.requester, clock()))
    driver.settle(job)
    assert job.status == Status.CANCELED
    result = Result.objects.get(attempt__job=job)
    assert not result.deliverable


def test_a_cancel_is_not_put_off_by_what_a_lookup_was_told(driver, sandbox, job, clock):
    sandbox.script({"on": "create", "do": {"life": {"end": "never"}}})
    driver.work()
    limit = {"status": 429, "error": {"message": "x"}, "headers": {"retry-after": "3600"}}
    sandbox.script({"on": "retrieve", "do": {"delay": 0.4, **limit}})
    clock.now = job.attempts.get().next_check_at
    driver.sweep.tick()
    clock.advance(0.1)
    decide(job.pk, Ask(Ruling.CANCEL, job.requester, clock()))
    while driver.sweep.calls:
        driver.sweep.tick(claim=False)
    assert (job.attempts.get().next_check_at - clock()).total_seconds() < 60


def test_tidying_up_behind_a_job_ends(driver, sandbox, job, clock):
    sandbox.script({"on": "create", "do": {"life": {"end": "never"}}})
    sandbox.script({"on": "cancel", "times": None, "do": {"cancel_lost": True}})
    driver.work()
    clock.advance(job.job_type.finish_within + 1)
    Attempt.objects.update(next_check_at=clock())
    driver.work()
    job.refresh_from_db()
    assert job.status == Status.EXPIRED
    sandbox.clear_rules()
    sandbox.script({"on": "cancel", "times": None, "do": {"status": 500}})
    clock.advance(2 * 86400)
    driver.until(lambda: job.attempts.get().next_check_at is None)


def test_a_result_that_was_changed_in_the_database_cannot_be_approved(driver, job, clock):
    driver.settle(job)
    Result.objects.update(text="Tampered.")
    lead = UserFactory(workspace=job.workspace, roles=[Role.LEAD])
    with pytest.raises(NotNow, match="not what was produced"):
        decide(job.pk, Ask(Ruling.APPROVE, lead, clock()))
