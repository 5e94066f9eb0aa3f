"""The list of jobs in a browser: filters in place, Back, and rows that renew themselves."""

import re
from datetime import timedelta

import pytest
from django.utils import timezone
from playwright.sync_api import expect

from jobs.documents import Upload
from jobs.models import Lane, Membership, Role, Status
from reviews.actions import Ask, decide
from reviews.models import Ruling
from tests.browser import DESK, PHONE, faults, shifts
from tests.factories import JobFactory, JobTypeFactory, WorkspaceFactory, finish, start

pytestmark = pytest.mark.django_db(transaction=True)

TOPICS = [
    "How do other teams keep audit logs that cannot be changed afterwards?",
    "Rate limits of the three providers that we use, and what happens at them",
    "Retention of documents after the end of a contract",
    "What is decided, what is open and who owes an answer: the harbour bridge",
    "Idempotency",
]


@pytest.fixture
def quality():
    return WorkspaceFactory(slug="quality", name="Quality")


@pytest.fixture
def crowd(quality, person):
    """Sixty jobs of two people in every status."""
    digest = JobTypeFactory(slug="document-digest", name="Document digest")
    brief = JobTypeFactory(slug="research-brief", name="Research brief", lane=Lane.INTERACTIVE)
    people = [person(name, quality, Role.REQUESTER) for name in ("rea.requester", "max")]
    lead = person("lead", quality, Role.LEAD, Role.REQUESTER)
    jobs = []
    for number in range(60):
        status = list(Status)[number % 7]
        uploads = (Upload("incident-review.md", b"What went wrong."),) if number % 3 == 0 else ()
        job = JobFactory(
            workspace=quality,
            job_type=digest if uploads else brief,
            requester=people[number % 2],
            input={"topic": TOPICS[number % 5]},
            uploads=uploads,
            status=status,
            now=timezone.now() - timedelta(minutes=(61 - number) ** 2),
        )
        jobs.append(job)
    for job in jobs[3:6]:
        decide(job.pk, Ask(Ruling.ARCHIVE, job.requester, timezone.now()))
    return people, lead, jobs


@pytest.mark.parametrize("viewport", [DESK, PHONE], ids=["desk", "phone"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_list_is_without_fault(viewport, scheme, crowd, visit):
    page = visit("lead", color_scheme=scheme, viewport=viewport).page
    for query in ("", "?archived=1", "?q=audit&lane=interactive", "?q=nothing", "?status=done"):
        page.goto("/w/quality/jobs/" + query)
        expect(page.get_by_role("heading", level=1)).to_have_text("Jobs")
        assert faults(page) == []


def test_filters_apply_in_place_and_back_undoes_them(crowd, visit):
    page = visit("lead").page
    page.goto("/w/quality/jobs/")
    page.evaluate("window.stayed = true")
    page.get_by_label("Type").select_option("Document digest")
    page.wait_for_url("**/jobs/?type=document-digest")
    page.get_by_role("link", name=re.compile("^Failed")).click()
    page.wait_for_url("**/jobs/?type=document-digest&status=failed")
    expect(page.get_by_role("link", name=re.compile("^Failed"))).to_have_attribute(
        "aria-current", "true"
    )
    expect(page.locator("tbody .status-completed")).to_have_count(0)
    page.get_by_label("Search").fill("audit")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(r"q=audit"))
    assert "status=failed" in page.url and "type=document-digest" in page.url
    assert page.evaluate("window.stayed"), "the page was not loaded anew"
    page.go_back()
    page.wait_for_url("**/jobs/?type=document-digest&status=failed")
    expect(page.get_by_label("Search")).to_have_value("")
    expect(page.get_by_label("Type")).to_have_value("document-digest")
    page.go_back()
    page.wait_for_url("**/jobs/?type=document-digest")
    expect(page.locator("tbody .status-completed").first).to_be_visible()


def test_a_reference_that_is_searched_for_opens_its_job(crowd, visit):
    page = visit("lead").page
    job = crowd[2][0]
    page.goto("/w/quality/jobs/")
    page.get_by_label("Search").fill(job.ref.lower())
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/jobs/{job.ref}/")


def test_rows_renew_themselves_and_nothing_else_moves(quality, person, visit):
    requester = person("rea", quality, Role.REQUESTER)
    job = JobFactory(workspace=quality, requester=requester, now=timezone.now())
    start(job, now=timezone.now())
    page = visit("rea").page
    page.goto("/w/quality/jobs/")
    link = page.get_by_role("link", name="tides")
    link.focus()
    page.evaluate("document.activeElement.kept = true")
    expect(page.get_by_text("Running", exact=True)).to_be_visible()
    finish(job, "failed", now=timezone.now(), error={"code": "x", "message": "It cannot be."})
    expect(page.locator("tbody").get_by_text("Failed", exact=True)).to_be_visible(timeout=15_000)
    expect(page.get_by_role("link", name=re.compile("^Failed"))).to_contain_text("1")
    assert page.evaluate("document.activeElement.kept"), "the focus is where it was"
    assert shifts(page) == []
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.wait_for_timeout(6_000)
    assert asked == [], "nothing on the page is live any more"


def test_what_is_typed_stays_while_rows_renew_themselves(crowd, visit):
    page = visit("lead").page
    page.goto("/w/quality/jobs/")
    page.get_by_label("Search").fill("half a wo")
    with page.expect_response(lambda answer: "/jobs/" in answer.url, timeout=15_000):
        page.get_by_label("Type").focus()
    page.wait_for_timeout(500)
    expect(page.get_by_label("Search")).to_have_value("half a wo")


def test_without_javascript_the_list_is_all_there(crowd, visit):
    page = visit("lead", java_script_enabled=False).page
    page.goto("/w/quality/jobs/")
    page.get_by_label("Search").fill("audit")
    page.get_by_role("button", name="Search").click()
    page.wait_for_url("**/jobs/?q=audit")
    page.get_by_role("link", name=re.compile("^Expired")).click()
    page.wait_for_url("**/jobs/?q=audit&status=expired")
    page.locator("tbody a").first.click()
    page.wait_for_url(re.compile(r"/jobs/J-\w+/"))


def test_home_is_without_fault(quality, person, visit):
    for number, scheme in enumerate(("light", "dark")):
        person(f"nobody{number}")
        page = visit(f"nobody{number}", color_scheme=scheme).page
        assert faults(page) == []
        both = person(f"both{number}", quality, Role.REQUESTER)
        Membership.objects.create(user=both, workspace=WorkspaceFactory(), role=Role.AUDITOR)
        JobFactory(workspace=quality, requester=both)
        page = visit(f"both{number}", color_scheme=scheme).page
        expect(page.get_by_role("heading", level=1)).to_have_text("Your workspaces")
        assert faults(page) == []
