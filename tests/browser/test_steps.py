"""How a result was made, in a browser: every type of step, opened, and reading anew."""

import pytest
from playwright.sync_api import expect

from jobs.models import Role
from tests import wire_payloads
from tests.browser import DESK, PHONE, faults
from tests.factories import JobFactory, WorkspaceFactory, finish, start
from tests.payloads import message, usage

pytestmark = pytest.mark.django_db(transaction=True)


def made_by_everything(workspace):
    """A job in review whose answer holds each type of item once."""
    items = [
        item
        for name in wire_payloads.names("items")
        if not name.startswith("message")
        for item in wire_payloads.items(name)
    ]
    cited = {
        "type": "url_citation",
        "url": "https://tides.example/moon",
        "title": "The moon and the tides",
        "start_index": 0,
        "end_index": 5,
    }
    job = JobFactory(workspace=workspace)
    start(job)
    said = message("Tides follow the moon, twice a day.", annotations=[cited])
    # Complete, it would go on: some of its calls wait for an answer.
    finish(job, "incomplete", output=[*items, said], usage=usage(12_000, 900), service_tier="flex")
    return job


@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
def test_every_step_opens_and_nothing_is_wrong_with_the_page(size, person, visit):
    workspace = WorkspaceFactory(slug="quality")
    person("lead", workspace, Role.LEAD)
    job = made_by_everything(workspace)
    visitor = visit("lead", viewport=size)
    page = visitor.page
    page.goto(f"/jobs/{job.ref}/review/")
    steps = page.locator("#steps details")
    assert steps.count() > 25
    for at in range(steps.count()):
        steps.nth(at).locator("summary").first.click()
    expect(page.get_by_text("print(6 * 7)").last).to_be_visible()
    assert faults(page) == []
    page.locator("#steps").scroll_into_view_if_needed()
    page.evaluate("window.scrollTo(0, 260)")
    page.goto(f"/jobs/{job.ref}/")
    page.locator("#attempts summary").click()
    expect(page.get_by_text("from the cache")).to_be_visible()
    assert faults(page) == []
    page.get_by_role("link", name="Read the stored answer anew").click()
    assert faults(page) == []
    page.get_by_role("button", name="Read it anew").click()
    expect(page.get_by_text("was read anew, and its result is the same.")).to_be_visible()
    assert visitor.said == []
