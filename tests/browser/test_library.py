"""The library in a real browser: added, found, kept, withdrawn; on a phone and without scripts."""

from pathlib import Path

import pytest
from playwright.sync_api import expect

from jobs import library
from jobs.documents import Upload
from jobs.models import Job, LibraryDocument, Role, Status
from tests.browser import PHONE, faults
from tests.factories import NOW, JobFactory, JobTypeFactory, WorkspaceFactory

pytestmark = pytest.mark.django_db(transaction=True)

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
TIDES = {"name": "tides.md", "mimeType": "text/markdown", "buffer": b"# Tides\n\nHigh water.\n"}
FOLDER = {"name": "a.zip", "mimeType": "application/zip", "buffer": b"PK\x03\x04" + b"\x00" * 60}


@pytest.fixture
def here(person):
    """A workspace whose library has the examples, and a requester called rea."""
    place = WorkspaceFactory(slug="here", name="Harbour office")
    rea = person("rea", place, Role.REQUESTER)
    examples = sorted(path for path in EXAMPLES.iterdir() if path.is_file())
    uploads = [Upload(path.name, path.read_bytes()) for path in examples]
    library.add(place, uploads, actor=rea, now=NOW)
    return place


@pytest.mark.parametrize(
    "look", [{}, {"viewport": PHONE, "color_scheme": "dark", "java_script_enabled": False}]
)
def test_a_document_is_added_found_and_withdrawn(visit, here, look):
    scripts = look.get("java_script_enabled", True)
    rea = visit("rea", **look)
    page = rea.page

    def sound(step):
        # Looking for faults is a script itself.
        assert not scripts or faults(page) == []

    page.goto("/w/here/jobs/")
    page.get_by_role("link", name="Library").click()
    expect(page.get_by_role("heading", name="Library", exact=True)).to_be_visible()
    sound("list")
    page.get_by_role("link", name="Add documents").click()
    page.get_by_label("Files").set_input_files([TIDES, FOLDER])
    page.get_by_role("button", name="Add to the library").click()
    expect(page.get_by_text("a.zip is neither text, a PDF nor a picture.")).to_be_visible()
    sound("added")
    page.get_by_role("link", name="To the library").click()
    page.get_by_label("Search in the text").fill("notifying the utility of incidents")
    page.keyboard.press("Enter")
    expect(page.get_by_text("the best first")).to_be_visible()
    sound("found")
    page.locator(".hit-title a").first.click()
    expect(page.locator("#quote")).to_be_in_viewport()
    sound("document")
    page.goto(LibraryDocument.objects.get(name="tides.md").get_absolute_url())
    page.get_by_role("link", name="Withdraw").click()
    sound("withdraw")
    page.get_by_role("button", name="Withdraw it").click()
    expect(page.get_by_text("“Tides” is withdrawn from the library.")).to_be_visible()
    page.get_by_label("Search in the text").fill("tides")
    page.keyboard.press("Enter")
    page.get_by_label("Search in the text").fill("zebra")
    page.get_by_role("button", name="Search").click()
    expect(page.get_by_role("heading", name="Nothing matches")).to_be_visible()
    sound("nothing")
    refusals_expected(rea)


def test_a_result_is_kept_from_the_page_of_its_job(visit, person, here):
    job = JobFactory(workspace=here, status=Status.COMPLETED)
    person("lea", here, Role.LEAD)
    page = visit("lea").page
    page.goto(job.get_absolute_url())
    page.get_by_role("link", name="Keep in the library").click()
    assert faults(page) == []
    page.get_by_label("Title").fill("What came of it")
    page.get_by_role("button", name="Keep it").click()
    expect(page.get_by_role("heading", name="What came of it")).to_be_visible()
    expect(page.get_by_role("link", name=job.ref)).to_be_visible()
    assert faults(page) == []


@pytest.mark.parametrize("look", [{}, {"viewport": PHONE, "java_script_enabled": False}])
def test_a_job_is_given_what_the_library_has(visit, here, look):
    schema = {"properties": {"topic": {"type": "string", "title": "Topic"}}, "required": ["topic"]}
    JobTypeFactory(slug="report", workspace=here, input_schema=schema, max_documents=3)
    page = visit("rea", **look).page
    page.goto("/w/here/jobs/new/report/")
    page.get_by_label("Topic").fill("tides")
    page.get_by_label("Post-incident review").check()
    assert look or faults(page) == []
    page.get_by_label("Find others").fill("swing bridge")
    page.keyboard.press("Enter")
    expect(page.get_by_label("Post-incident review")).to_be_checked()
    expect(page.get_by_label("Topic")).to_have_value("tides")
    expect(page.get_by_label("Information security")).to_have_count(0)
    page.get_by_label("REPLACEMENT OF THE QUAY ROAD").check()
    assert look or faults(page) == []
    page.get_by_label("Topic").press("Enter")
    page.wait_for_url("**/jobs/J-*/")
    assert Job.objects.get().documents.filter(library_document__isnull=False).count() == 2
    expect(page.get_by_text("from the library")).to_have_count(2)


def refusals_expected(visitor):
    """A browser tells its console of every 422."""
    visitor.said[:] = [line for line in visitor.said if "status of 422" not in line]
