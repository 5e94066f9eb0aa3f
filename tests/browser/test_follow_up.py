"""Reading a long result by its sections, and asking about one of them, in a real browser."""

import pytest
from playwright.sync_api import expect

from jobs import shipped
from jobs.models import Job, Review, Role, Status
from tests import payloads
from tests.browser import DESK, PHONE, faults
from tests.factories import JobFactory, JobTypeFactory, WorkspaceFactory, finish, start

pytestmark = pytest.mark.django_db(transaction=True)

LOOKS = [
    pytest.param({"color_scheme": "light", "viewport": DESK}, id="light-desk"),
    pytest.param({"color_scheme": "dark", "viewport": PHONE}, id="dark-phone"),
]
SECTIONS = 120
LONG = "# The report\n\nIn short.\n\n" + "\n\n".join(
    f"## Part {number}\n\n" + "Words that fill a paragraph. " * 30
    for number in range(1, SECTIONS + 1)
)


@pytest.fixture
def report(person):
    """A completed job of rea's, whose result has many sections."""
    shipped.load()
    here = WorkspaceFactory(slug="here")
    rea = person("rea", here, Role.REQUESTER)
    job = JobFactory(
        workspace=here,
        requester=rea,
        job_type=JobTypeFactory(name="Report", review=Review.NEVER),
    )
    start(job)
    finish(job, "completed", output=[payloads.message(LONG)])
    job.refresh_from_db()
    assert job.status == Status.COMPLETED
    return job


@pytest.mark.parametrize("look", LOOKS)
def test_from_a_section_to_a_question_and_back(visit, report, look):
    rea = visit("rea", **look)
    page = rea.page
    page.goto(f"/jobs/{report.ref}/")
    assert faults(page) == []
    contents = page.get_by_role("navigation", name="Sections")
    expect(contents.get_by_role("link")).to_have_count(SECTIONS)
    contents.get_by_role("link", name="Part 7", exact=True).click()
    expect(page.get_by_role("heading", name="Part 7", exact=True)).to_be_in_viewport()
    expect(contents.locator("[aria-current]")).to_have_text("Part 7")
    page.get_by_role("link", name="Ask about this section: Part 7", exact=True).click()
    page.wait_for_url("**/follow-up/?section=Part%207")
    expect(page.get_by_label("Section")).to_have_value("Part 7")
    assert faults(page) == []
    page.get_by_label("Question").fill("  ")
    page.get_by_role("button", name="Ask").click()
    expect(page.get_by_role("alert").filter(has_text="One thing to correct")).to_be_focused()
    expect(page.get_by_label("Section")).to_have_value("Part 7")
    assert faults(page) == []
    page.get_by_label("Question").fill("What does it rest on?")
    page.get_by_role("button", name="Ask").click()
    page.wait_for_url("**/jobs/J-*/")
    asked = report.follow_ups.get()
    assert page.url.endswith(f"/jobs/{asked.ref}/")
    assert asked.input == {"question": "What does it rest on?", "section": "Part 7"}
    expect(page.get_by_text("Follows up")).to_be_visible()
    assert faults(page) == []
    page.locator(".follows").get_by_role("link").click()
    page.wait_for_url(f"**/jobs/{report.ref}/")
    card = page.get_by_role("region", name="Follow-ups")
    expect(card.get_by_text("Queued")).to_be_visible()
    assert faults(page) == []
    card.get_by_role("link", name="What does it rest on?").click()
    page.wait_for_url(f"**/jobs/{asked.ref}/")
    # A browser tells its console of every 422.
    rea.said[:] = [line for line in rea.said if "status of 422" not in line]


def test_a_double_click_asks_once_and_everything_works_without_scripts(visit, report):
    page = visit("rea", java_script_enabled=False).page
    page.goto(f"/jobs/{report.ref}/")
    page.get_by_role("navigation", name="Sections").get_by_role("link", name="Part 120").click()
    expect(page.get_by_role("heading", name="Part 120")).to_be_in_viewport()
    page.get_by_role("link", name="Ask a follow-up").click()
    page.get_by_label("Question").fill("Why?")
    page.get_by_role("button", name="Ask").dblclick()
    page.wait_for_url("**/jobs/J-*/")
    assert Job.objects.filter(parent=report).count() == 1


def test_the_contents_stay_beside_the_text_that_is_read(visit, report):
    """On a desk the list stands still and follows what is read within itself."""
    page = visit("rea").page
    page.goto(f"/jobs/{report.ref}/")
    heading = page.get_by_role("heading", name="Part 60", exact=True)
    heading.evaluate("heading => heading.scrollIntoView()")
    contents = page.get_by_role("navigation", name="Sections")
    expect(contents).to_be_in_viewport()
    now = contents.locator("[aria-current]")
    expect(now).to_have_text("Part 60")
    expect(now).to_be_in_viewport()
    beside = contents.bounding_box()["x"]
    assert beside > heading.bounding_box()["x"] + heading.bounding_box()["width"] - 1
