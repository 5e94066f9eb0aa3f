"""What a requester reads about a job, in every situation that it can be in."""

from datetime import timedelta

import pytest

from jobs import outcomes
from jobs.models import GateKind, Job, Lane, Review, Status
from jobs.provider.errors import NotStarted
from jobs.standing import standing, steps
from reviews.actions import Ask, decide
from reviews.models import Ruling
from tests.factories import (
    NOW,
    JobFactory,
    JobTypeFactory,
    UserFactory,
    become_unknown,
    finish,
    last_turn,
    start,
)

pytestmark = pytest.mark.django_db


def stands(job, *, heartbeat=NOW, now=NOW):
    job.refresh_from_db()
    return standing(
        job,
        attempt=job.attempts.order_by("-number").first(),
        gate=job.open_gate,
        events=list(job.events.order_by("seq")),
        heartbeat=heartbeat,
        now=now,
    )


def stages(job):
    job.refresh_from_db()
    reviewed = job.gates.filter(kind=GateKind.OUTPUT).exists()
    return [(step.label, step.state) for step in steps(job, job.open_gate, reviewed=reviewed)]


def test_a_queued_job_says_that_it_starts_soon_and_until_when():
    said = stands(JobFactory())
    assert said.sentence == "Waiting to start."
    assert said.due_at == NOW + timedelta(hours=6)
    assert said.next_check_at is None


@pytest.mark.parametrize("status", [Status.QUEUED, Status.RUNNING])
@pytest.mark.parametrize("heartbeat", [None, NOW - timedelta(seconds=31)])
def test_a_stopped_cluster_is_said_plainly(status, heartbeat):
    said = stands(JobFactory(status=status), heartbeat=heartbeat)
    assert said.sentence == "Jobs are not being processed at the moment."
    assert "Yours is safe" in said.detail


def test_a_refused_submit_says_what_openai_said_and_when_it_is_tried_again():
    job = JobFactory()
    outcomes.not_accepted(
        last_turn(job).pk, NotStarted("overloaded", "Slow down.", retry_after=20), now=NOW
    )
    said = stands(job)
    assert said.sentence == "Waiting for OpenAI to accept it."
    assert "Slow down." in said.detail
    assert said.next_check_at and said.next_check_at > NOW


def test_a_running_job_says_when_openai_was_last_heard_of_and_is_asked_next():
    job = JobFactory(status=Status.RUNNING)
    said = stands(job)
    assert said.sentence == "OpenAI has it in its queue."
    assert said.checked_at == NOW
    assert said.next_check_at == NOW + timedelta(seconds=1.5)


def test_an_unknown_submit_says_that_it_may_have_started():
    job = JobFactory()
    become_unknown(job)
    said = stands(job)
    assert said.sentence == "Waiting for news from OpenAI."
    assert said.detail.startswith("It may have started")


def test_a_cancel_that_is_on_its_way_names_who_asked():
    job = JobFactory(status=Status.RUNNING)
    decide(job.pk, Ask(Ruling.CANCEL, job.requester, NOW))
    said = stands(job)
    assert said.sentence == "It is being canceled."
    assert str(job.requester) in said.detail


def test_a_review_says_who_decides_why_and_by_when():
    said = stands(JobFactory(status=Status.NEEDS_REVIEW))
    assert said.sentence == "The result is ready and waits for a reviewer."
    assert said.detail == "Results of this type are always reviewed."
    assert (said.since, said.due_at) == (NOW, NOW + timedelta(days=3))
    assert not said.overdue


def test_an_escalated_review_waits_for_a_lead():
    job = JobFactory(status=Status.NEEDS_REVIEW)
    lead = UserFactory(workspace=job.workspace, roles=["lead"])
    decide(job.pk, Ask(Ruling.ESCALATE, lead, NOW, note="Too big for me."))
    assert "a lead, because it was escalated" in stands(job).sentence


def test_an_overdue_review_says_so():
    job = JobFactory(status=Status.NEEDS_REVIEW)
    assert stands(job, now=NOW + timedelta(days=4)).overdue


def test_a_job_that_waits_for_its_first_approval_says_that_nothing_was_paid():
    job = JobFactory(job_type=JobTypeFactory(lane=Lane.APPROVAL))
    said = stands(job)
    assert said.sentence == "It waits for approval by a reviewer, before it runs."
    assert "Nothing has been sent or paid for" in said.then
    assert stages(job)[:2] == [("Submitted", "done"), ("Approval", "now")]


def test_changes_that_were_asked_for_are_the_reason_for_the_new_run():
    job = JobFactory(status=Status.NEEDS_REVIEW)
    lead = UserFactory(workspace=job.workspace, roles=["lead"])
    decide(job.pk, Ask(Ruling.REQUEST_CHANGES, lead, NOW, note="Shorter."))
    assert stands(job).sentence == "A reviewer asked for changes."


def test_a_completed_job_names_who_approved_it_or_that_nobody_had_to():
    assert stands(JobFactory(status=Status.COMPLETED)).detail.endswith("approved it.")
    unseen = JobFactory(status=Status.COMPLETED, job_type=JobTypeFactory(review=Review.NEVER))
    assert stands(unseen).detail == "It needed no review."


def test_a_job_that_was_reopened_does_not_read_like_a_new_one():
    job = JobFactory(status=Status.COMPLETED)
    lead = UserFactory(workspace=job.workspace, roles=["lead"])
    decide(job.pk, Ask(Ruling.REOPEN, lead, NOW, note="A quote is disputed."))
    said = stands(job)
    assert said.sentence == "It was reopened, and waits for a reviewer."
    assert said.detail == "A quote is disputed."


@pytest.mark.parametrize(
    ("warnings", "sentence"),
    [
        ([], "It is done."),
        (["A quote was not found."], "It is done, with a warning."),
        (["A quote was not found.", "No e-mail left."], "It is done, with 2 warnings."),
    ],
)
def test_a_completed_job_does_not_hide_that_there_are_warnings(warnings, sentence):
    job = JobFactory(status=Status.COMPLETED)
    Job.objects.filter(pk=job.pk).update(warnings=warnings)
    assert stands(job).sentence == sentence


def test_a_failed_job_says_why_and_what_to_do():
    said = stands(JobFactory(status=Status.FAILED))
    assert said.detail == "No."
    assert said.then == "OpenAI refused what was asked. Submit it again with changes."


@pytest.mark.parametrize("status", [Status.CANCELED, Status.EXPIRED])
def test_what_ended_otherwise_says_why_and_that_it_can_be_retried(status):
    said = stands(JobFactory(status=status))
    assert said.detail
    assert "retr" in said.then.lower()


def test_the_stages_are_those_of_the_type_and_show_where_the_job_is():
    job = JobFactory()
    assert stages(job) == [
        ("Submitted", "done"),
        ("Running", "now"),
        ("Review", "ahead"),
        ("Completed", "ahead"),
    ]
    start(job)
    finish(job, "completed")
    assert [state for _label, state in stages(job)] == ["done", "done", "now", "ahead"]
    unseen = JobFactory(status=Status.COMPLETED, job_type=JobTypeFactory(review=Review.NEVER))
    assert stages(unseen) == [("Submitted", "done"), ("Running", "done"), ("Completed", "done")]
    at_times = JobFactory(status=Status.COMPLETED, job_type=JobTypeFactory(review=Review.RULES))
    assert "Review" not in dict(stages(at_times))
    assert stages(JobFactory(status=Status.EXPIRED))[-1] == ("Expired", "stopped")
