"""Jobs that are approved before they run: nothing is sent without it, by any way round."""

from datetime import timedelta

import pytest

from jobs.access import Action, allowed_actions
from jobs.models import GateKind, Lane, Role, Status, Verb
from reviews.actions import Ask, decide
from reviews.models import Ruling
from tests.factories import NOW, JobFactory, JobTypeFactory, UserFactory


@pytest.fixture
def job(db, clock):
    return JobFactory(job_type=JobTypeFactory(lane=Lane.APPROVAL), now=clock())


@pytest.fixture
def reviewer(job):
    return UserFactory(workspace=job.workspace, roles=[Role.REVIEWER])


def rule(job, ruling, actor, now=NOW):
    decide(job.pk, Ask(ruling, actor, now, note="Because."))
    job.refresh_from_db()


def test_nothing_is_sent_before_the_approval(driver, sandbox, job, reviewer, clock):
    driver.work()
    assert (job.status, job.open_gate.kind) == (Status.NEEDS_REVIEW, GateKind.BEFORE_RUN)
    assert sandbox.stats()["creates"] == 0
    rule(job, Ruling.APPROVE, reviewer, clock())
    driver.settle(job)
    assert sandbox.stats()["creates"] == 1
    assert job.open_gate.kind == GateKind.OUTPUT


@pytest.mark.parametrize("ending", ["canceled", "rejected", "overdue"])
def test_a_retry_goes_back_to_the_gate_and_not_round_it(
    driver, sandbox, job, reviewer, clock, ending
):
    if ending == "canceled":
        rule(job, Ruling.CANCEL, job.requester)
    elif ending == "rejected":
        rule(job, Ruling.REJECT, reviewer)
    else:
        job.job_type.expire_overdue_review = True
        type(job.open_gate).objects.update(expires=True, due_at=clock())
        clock.advance(2)
        driver.sweep.tick()
        job.refresh_from_db()
        assert job.status == Status.EXPIRED
    rule(job, Ruling.RETRY, job.requester, clock())
    assert (job.status, job.open_gate.kind) == (Status.NEEDS_REVIEW, GateKind.BEFORE_RUN)
    driver.work()
    assert sandbox.stats()["creates"] == 0
    rule(job, Ruling.APPROVE, reviewer, clock())
    driver.settle(job)
    assert sandbox.stats()["creates"] == 1


def test_a_retry_after_an_approval_needs_no_second_one(driver, sandbox, job, reviewer, clock):
    rule(job, Ruling.APPROVE, reviewer, clock())
    rule(job, Ruling.CANCEL, job.requester, clock())
    rule(job, Ruling.RETRY, job.requester, clock())
    assert job.status == Status.QUEUED
    driver.settle(job)
    assert job.open_gate.kind == GateKind.OUTPUT


def test_the_time_that_an_approval_takes_is_not_the_jobs(driver, job, reviewer, clock):
    clock.advance(job.job_type.start_within + 3600)
    rule(job, Ruling.APPROVE, reviewer, clock())
    assert job.start_by == clock() + timedelta(seconds=job.job_type.start_within)
    driver.settle(job)
    assert job.status == Status.NEEDS_REVIEW


def test_what_was_not_approved_is_not_sent(driver, sandbox, job, reviewer, clock):
    rule(job, Ruling.APPROVE, reviewer, clock())
    job.input = {"topic": "something else"}
    job.save(update_fields=["input"])
    driver.settle(job)
    assert (job.status, job.reason_code) == (Status.FAILED, "document_unusable")
    assert "not what was approved" in job.reason_text
    assert sandbox.stats()["creates"] == 0


def test_an_escalated_review_stays_escalated_over_cancel_and_retry(job, reviewer):
    rule(job, Ruling.ESCALATE, reviewer)
    rule(job, Ruling.CANCEL, job.requester)
    rule(job, Ruling.RETRY, job.requester)
    assert job.open_gate.level == 2
    assert not allowed_actions(reviewer, job)[Action.APPROVE].allowed
    assert job.events.filter(verb=Verb.ESCALATED).count() == 1
