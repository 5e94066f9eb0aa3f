"""The engine, from a submit to the end of the job, against the stand-in."""

import pytest

from jobs.models import State, Status
from tests.factories import JobFactory


@pytest.mark.django_db
def test_a_job_runs_to_its_review(driver, clock):
    job = JobFactory(now=clock())
    driver.settle(job)
    assert job.status == Status.NEEDS_REVIEW
    attempt = job.attempts.get()
    assert attempt.state == State.SUCCEEDED
    assert attempt.result.text
    assert job.open_gate.content_hash == attempt.result.content_hash
