"""The submit form in a real browser: files as they are added, and what happens to them."""

import pytest
from playwright.sync_api import expect

from jobs.models import Document, Job, JobType, Role, StagedUpload
from tests.browser import PHONE, faults
from tests.factories import JobTypeFactory, WorkspaceFactory

pytestmark = pytest.mark.django_db(transaction=True)

SCHEMA = {
    "properties": {
        "topic": {"type": "string", "title": "Topic", "maxLength": 5},
        "depth": {"title": "Depth", "enum": ["short", "long"], "default": "short"},
        "kinds": {"title": "Kinds", "type": "array", "items": {"enum": ["a", "b"]}},
        "when": {"title": "When", "type": "string", "format": "date"},
        "sure": {"title": "Sure", "type": "boolean"},
    },
    "required": ["topic", "depth"],
}
NOTES = {"name": "notes.txt", "mimeType": "text/plain", "buffer": b"Some words."}
ARCHIVE = {"name": "a.zip", "mimeType": "application/zip", "buffer": b"PK\x03\x04" + b"\x00" * 40}


@pytest.fixture
def form(person):
    """The address of the form, and a requester called rea."""
    here = WorkspaceFactory(slug="here")
    person("rea", here, Role.REQUESTER)
    JobTypeFactory(
        slug="report", name="Report", workspace=here, input_schema=SCHEMA, max_documents=2
    )
    return "/w/here/jobs/new/report/"


def refusals_expected(visitor):
    """A browser tells its console of every 422, that of a file which is refused included."""
    visitor.said[:] = [line for line in visitor.said if "status of 422" not in line]


@pytest.mark.parametrize("look", [{}, {"viewport": PHONE, "color_scheme": "dark"}])
def test_files_are_added_one_by_one_and_go_with_the_job(visit, form, look):
    rea = visit("rea", **look)
    page = rea.page
    page.goto("/w/here/jobs/new/")
    assert faults(page) == []
    page.get_by_role("link", name="Report").click()
    page.get_by_label("Files").set_input_files([NOTES])
    expect(page.get_by_text("notes.txt added.")).to_have_count(1)
    assert faults(page) == []
    page.get_by_label("Files").set_input_files([ARCHIVE])
    expect(page.locator(".upload-bad")).to_contain_text(
        "a.zip is neither text, a PDF nor a picture"
    )
    # A second file takes the room that it needs.
    page.evaluate("window.shifts = []")
    assert faults(page) == []
    page.get_by_label("Topic").fill("tides and ebbs")
    page.get_by_role("button", name="Submit job").click()
    expect(page.get_by_text("Not submitted yet: a file was not added.")).to_be_visible()
    expect(page.get_by_role("button", name="Remove a.zip")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Remove notes.txt")).to_be_focused()
    page.get_by_role("button", name="Submit job").click()
    summary = page.get_by_role("alert").filter(has_text="One thing to correct")
    expect(summary).to_be_focused()
    assert faults(page) == []
    page.get_by_role("link", name="Topic can have 5 characters at most").click()
    expect(page.get_by_label("Topic")).to_be_focused()
    page.get_by_label("Topic").fill("tides")
    page.get_by_role("button", name="Submit job").click()
    page.wait_for_url("**/jobs/J-*/")
    assert Document.objects.get().name == "notes.txt"
    refusals_expected(rea)


def test_a_job_waits_for_the_files_that_are_still_on_their_way(visit, form):
    page = visit("rea").page
    page.goto(form)
    held = []
    page.route("**/files/", lambda route: held.append(route))
    page.get_by_label("Files").set_input_files([NOTES])
    expect(page.get_by_role("progressbar", name="Adding notes.txt")).to_be_visible()
    page.get_by_label("Topic").fill("tides")
    page.get_by_role("button", name="Submit job").click()
    expect(page.get_by_text("Your files are still being added.")).to_be_visible()
    assert not Job.objects.exists()
    held[0].continue_()
    page.wait_for_url("**/jobs/J-*/")
    assert Job.objects.get().documents.count() == 1


def test_a_file_that_is_removed_is_forgotten(visit, form):
    page = visit("rea").page
    page.goto(form)
    page.get_by_label("Files").set_input_files([NOTES])
    expect(page.get_by_text("notes.txt added.")).to_have_count(1)
    page.get_by_role("button", name="Remove notes.txt").focus()
    with page.expect_response("**/remove/"):
        page.keyboard.press("Enter")
    expect(page.get_by_label("Files")).to_be_focused()
    expect(page.get_by_role("status").filter(has_text="notes.txt removed.")).to_have_count(1)
    assert not StagedUpload.objects.exists()


def test_files_are_dropped_into_the_box_and_beside_it_nothing_happens(visit, form):
    page = visit("rea").page
    page.goto(form)
    drop = """(place) => {
      const files = new DataTransfer();
      files.items.add(new File(["Some words."], "dropped.txt", { type: "text/plain" }));
      const event = { dataTransfer: files, bubbles: true, cancelable: true };
      document.querySelector(place).dispatchEvent(new DragEvent("dragover", event));
      return !document.querySelector(place).dispatchEvent(new DragEvent("drop", event));
    }"""
    assert page.evaluate(drop, "h1")
    expect(page.get_by_role("button", name="Remove dropped.txt")).to_have_count(0)
    assert page.evaluate(drop, "#drop")
    expect(page.get_by_role("button", name="Remove dropped.txt")).to_be_visible()


def test_without_scripts_good_files_are_kept_while_the_form_is_mended(visit, form):
    rea = visit("rea", java_script_enabled=False)
    page = rea.page
    page.goto(form)
    page.get_by_label("Files").set_input_files([NOTES, ARCHIVE])
    page.get_by_label("Topic").fill("tides")
    page.get_by_role("button", name="Submit job").click()
    expect(page.get_by_text("One thing to correct")).to_be_visible()
    expect(page.get_by_label("Keep notes.txt")).to_be_checked()
    page.get_by_role("button", name="Submit job").click()
    page.wait_for_url("**/jobs/J-*/")
    assert Document.objects.get().name == "notes.txt"
    refusals_expected(rea)


def test_a_double_click_makes_one_job(visit, form):
    JobType.objects.update(max_documents=0)
    page = visit("rea", java_script_enabled=False).page
    page.goto(form)
    page.get_by_label("Topic").fill("tides")
    page.get_by_role("button", name="Submit job").dblclick()
    page.wait_for_url("**/jobs/J-*/")
    assert Job.objects.count() == 1
