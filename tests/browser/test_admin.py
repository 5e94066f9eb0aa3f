"""The admin in a real browser: what those who operate Jobsite look at."""

import os

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect, sync_playwright

from jobs.models import Role, Status
from tests.browser import chromium
from tests.factories import JobFactory, UserFactory, WorkspaceFactory

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture(scope="module")
def chrome():
    # Playwright's sync API keeps an event loop in this thread, which Django would object to.
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        yield browser
        browser.close()
    del os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"]


@pytest.fixture(params=["light", "dark"])
def page(chrome, live_server, request):
    """A page whose console stays silent."""
    context = chrome.new_context(base_url=live_server.url, color_scheme=request.param)
    page = context.new_page()
    page.set_default_timeout(5_000)
    said = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    yield page
    context.close()
    assert said == []


@pytest.fixture
def admin():
    workspace = WorkspaceFactory()
    user = UserFactory(workspace=workspace, roles=[Role.ADMIN], is_staff=True, is_superuser=True)
    user.set_password("correct horse")
    user.save()
    return user


def log_in(page, user):
    page.goto("/")
    page.get_by_label("Username").fill(user.username)
    page.get_by_label("Password").fill("correct horse")
    page.get_by_role("button", name="Log in").click()


def test_an_admin_logs_in_finds_a_job_and_reads_it(page, admin):
    job = JobFactory(status=Status.NEEDS_REVIEW, input={"topic": "<script>alert(1)</script> tides"})
    log_in(page, admin)
    expect(page.get_by_role("status").filter(has_text="Stand-in")).to_be_visible()
    page.goto("/admin/jobs/job/")
    page.locator("#searchbar").fill(job.ref)
    page.keyboard.press("Enter")
    page.get_by_role("link", name=job.ref).click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("job")
    expect(page.get_by_text("<script>alert(1)</script> tides").first).to_be_visible()
    expect(page.get_by_role("button", name="Save")).to_have_count(0)
    found = Axe().run(page).response["violations"]
    # Django's own admin markup is not ours to mend; what is serious would be.
    assert [rule["id"] for rule in found if rule["impact"] == "critical"] == []


def test_a_requester_does_not_get_into_the_admin(page):
    user = UserFactory(workspace=WorkspaceFactory(), roles=[Role.REQUESTER])
    user.set_password("correct horse")
    user.save()
    log_in(page, user)
    expect(page.get_by_role("heading", name="Not allowed")).to_be_visible()
