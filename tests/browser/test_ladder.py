"""A review that asks for two: given to somebody, approved by both, with the page saying how it stands."""

from datetime import timedelta

import pytest
from django.utils import timezone
from playwright.sync_api import expect

from jobs.models import Job, Role, Status
from tests.browser import PHONE, faults
from tests.factories import JobFactory, JobTypeFactory, WorkspaceFactory

pytestmark = pytest.mark.django_db(transaction=True)

LADDER = [("Editors", Role.REVIEWER, 2), ("Legal", Role.LEAD)]


@pytest.mark.parametrize("javascript", [True, False])
def test_two_people_approve_one_after_the_other(person, visit, javascript):
    workspace = WorkspaceFactory(slug="quality")
    person("rea", workspace, Role.REVIEWER)
    person("ben", workspace, Role.REVIEWER)
    job = JobFactory(
        now=timezone.now() - timedelta(hours=1),
        workspace=workspace,
        status=Status.NEEDS_REVIEW,
        job_type=JobTypeFactory(ladder=LADDER, escalate_after=50),
    )
    options = {} if javascript else {"java_script_enabled": False}
    rea = visit("rea", **options).page
    rea.goto(f"/jobs/{job.ref}/review/")
    expect(rea.get_by_text("level 1 of 2")).to_be_visible()
    expect(rea.get_by_text("It goes up to Legal by itself")).to_be_visible()
    rea.get_by_role("link", name="Reassign").or_(rea.get_by_role("button", name="Reassign")).click()
    expect(rea.get_by_label("Waits for")).to_have_value("rea")
    rea.get_by_label("Waits for").select_option("ben")
    if javascript:
        assert faults(rea) == []
    rea.get_by_role("button", name="Reassign").click()
    expect(rea.get_by_text(f"{job.ref} waits for ben.")).to_be_visible()
    rea.goto(f"/jobs/{job.ref}/review/")
    rea.get_by_role("button", name="Approve").click()
    expect(rea.get_by_text("1 of 2 approvals is given")).to_be_visible()
    ben = visit("ben", viewport=PHONE, **options).page
    ben.goto(f"/jobs/{job.ref}/review/")
    expect(ben.get_by_text("1 of 2", exact=True)).to_be_visible()
    if javascript:
        assert faults(ben) == []
    ben.get_by_role("button", name="Approve").click()
    expect(ben.get_by_text(f"Approved {job.ref}")).to_be_visible()
    assert Job.objects.get(pk=job.pk).status == Status.COMPLETED
