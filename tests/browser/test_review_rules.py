"""Whoever configures a job type says which results are reviewed, in a real browser."""

import pytest
from playwright.sync_api import expect

from jobs.models import JobType, Review, Role
from tests.browser import DESK, PHONE, faults
from tests.factories import JobTypeFactory, WorkspaceFactory

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.parametrize("viewport", [DESK, PHONE], ids=["desk", "phone"])
def test_the_rules_of_a_type_are_ticked(person, visit, viewport):
    home = WorkspaceFactory()
    person("root", home, Role.ADMIN, is_staff=True, is_superuser=True)
    job_type = JobTypeFactory(workspace=home, review=Review.RULES)
    page = visit("root", viewport=viewport).page
    page.goto(f"/admin/jobs/jobtype/{job_type.pk}/change/")
    page.get_by_label("There is a warning").uncheck()
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_text("No rule is on, and no share is drawn")).to_be_visible()
    assert faults(page) == []
    page.get_by_label("It cost more than").fill("1.50")
    page.get_by_role("group", name="It used a tool").get_by_label("Web search").check()
    page.get_by_role("group", name="It was asked for by").get_by_label("Requester").check()
    page.get_by_label("Share reviewed, in percent").fill("20")
    page.get_by_label("The share falls").check()
    page.get_by_label("Never below, in percent").fill("5")
    page.get_by_role("button", name="Save and continue editing").click()
    expect(page.get_by_text("was changed successfully")).to_be_visible()
    assert faults(page) == []
    stored = JobType.objects.get(pk=job_type.pk)
    assert (stored.review_tools, stored.review_roles) == (["web_search"], ["requester"])
    assert (stored.review_share, stored.review_share_floor) == (20, 5)
