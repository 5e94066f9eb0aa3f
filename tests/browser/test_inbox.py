"""The inbox goes on by itself, and the verbs stay in sight without covering anything."""

import pytest
from playwright.sync_api import expect

from jobs.models import Role, Status
from reviews.models import Decision
from tests.browser import PHONE, faults
from tests.factories import JobFactory, WorkspaceFactory

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def workspace(db, person):
    workspace = WorkspaceFactory(slug="quality")
    person("ruth", workspace, Role.REVIEWER)
    return workspace


def test_what_comes_to_review_appears_and_what_is_typed_stays(workspace, visit):
    page = visit("ruth").page
    page.goto("/w/quality/reviews/")
    expect(page.get_by_role("heading", name="Nothing waits for you.")).to_be_visible()
    page.get_by_label("Reference").fill("J-77")
    job = JobFactory(workspace=workspace, status=Status.NEEDS_REVIEW)
    page.evaluate("htmx.trigger('#waiting', 'look')")
    expect(page.get_by_role("link", name="tides")).to_be_visible()
    expect(page.get_by_label("Reference")).to_have_value("J-77")
    row = page.locator(f"#waits-{job.ref}")
    row.evaluate("(element) => { element.same = true; }")
    JobFactory(workspace=workspace, status=Status.NEEDS_REVIEW)
    page.evaluate("htmx.trigger('#waiting', 'look')")
    expect(page.get_by_role("link", name="tides")).to_have_count(2)
    assert row.evaluate("(element) => element.same"), "a row that has not changed is left alone"
    assert faults(page) == []


@pytest.mark.parametrize("viewport", [{"width": 1280, "height": 720}, PHONE])
def test_the_verbs_are_in_sight_and_cover_nothing_at_the_end(workspace, visit, viewport):
    job = JobFactory(workspace=workspace, status=Status.NEEDS_REVIEW)
    page = visit("ruth", viewport=viewport).page
    page.goto(f"/jobs/{job.ref}/review/")
    approve = page.get_by_role("button", name="Approve")
    expect(approve).to_be_in_viewport(ratio=1)
    taken = page.evaluate("document.getElementById('verbs').offsetHeight / innerHeight")
    assert taken < 0.25
    page.evaluate("scrollTo(0, document.body.scrollHeight)")
    covered = page.evaluate(
        "document.querySelector('.columns').getBoundingClientRect().bottom >"
        " document.getElementById('verbs').getBoundingClientRect().top"
    )
    assert not covered
    expect(approve).to_be_in_viewport(ratio=1)


def test_a_review_is_done_by_the_keyboard_alone(workspace, visit):
    job = JobFactory(workspace=workspace, status=Status.NEEDS_REVIEW)
    page = visit("ruth").page
    page.goto(f"/jobs/{job.ref}/review/")
    skip = page.get_by_role("link", name="Skip to the decision")
    skip.focus()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(page.get_by_label("Your words")).to_be_focused()
    page.keyboard.type("Name the year.")
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Approve")).to_be_focused()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_text(f"Requested changes to {job.ref}.")).to_be_visible()
    assert Decision.objects.get().note == "Name the year."
