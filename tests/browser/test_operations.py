"""The operations page, left open on a screen."""

from datetime import timedelta

import pytest
from django.utils import timezone
from playwright.sync_api import expect

from jobs.models import Job, Role, Status, SweepSlot
from jobs.operations import overview
from tests.browser import DESK, PHONE, faults
from tests.factories import JobFactory, WorkspaceFactory, finish, start

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def workspace():
    overview.kept.clear()
    workspace = WorkspaceFactory(slug="here", name="Here")
    now = timezone.now()
    for status in (Status.QUEUED, Status.RUNNING, Status.NEEDS_REVIEW, Status.COMPLETED):
        JobFactory(workspace=workspace, status=status, now=now - timedelta(seconds=9))
    job = JobFactory(workspace=workspace, now=now)
    start(job, now=now)
    finish(job, "failed", now=now, error={"code": "invalid_prompt", "message": "Oh. " * 90})
    return workspace


@pytest.mark.parametrize("viewport", [DESK, PHONE], ids=["desk", "phone"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_renews_itself_and_nothing_moves(visit, person, workspace, viewport, scheme):
    person("olga", workspace, Role.OPERATOR)
    page = visit("olga", viewport=viewport, color_scheme=scheme).page
    page.goto("/w/here/operations/")
    expect(page.get_by_role("heading", name="Not working")).to_be_visible()
    as_of = page.get_by_text("As of ")
    first = as_of.text_content()
    look(page)
    expect(as_of).not_to_have_text(first)
    assert faults(page) == []

    numbers = page.locator("details", has_text="The numbers").first
    numbers.locator("summary").click()
    SweepSlot.objects.create(number=0, holder="here:1", beat_at=timezone.now())
    Job.objects.filter(status=Status.FAILED).update(reason_text="Otherwise.")
    look(page)
    expect(page.get_by_role("heading", name="Working", exact=True)).to_be_visible()
    expect(page.get_by_text("Otherwise.")).to_be_visible()
    expect(numbers.locator("table")).to_be_visible()


def look(page):
    """As the page does by itself every ten seconds."""
    page.wait_for_timeout(1_000)
    overview.kept.clear()
    page.evaluate("htmx.trigger(document.getElementById('live'), 'look')")
