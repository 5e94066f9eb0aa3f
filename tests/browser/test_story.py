"""One job through the pages, from submit to approval, by three people in browsers of their own,
against real processes: web server, cluster and the stand-in."""

import re
import time
from contextlib import contextmanager

import pytest
from playwright.sync_api import Error as PlaywrightError
from playwright.sync_api import expect

from jobsite.sandbox.testing import RunningSandbox
from tests.browser import PHONE, faults, shifts
from tests.processes import ROOT, installation

DOCUMENT = ROOT / "docs" / "examples" / "incident-review.md"
PASSWORD = "only for this test"
#: What a page that is looked at says within, in milliseconds. The machine may be busy.
SOON = 30_000


@contextmanager
def running(folder):
    with (
        RunningSandbox(pace=0.5) as sandbox,
        installation(
            folder, OPENAI_API_KEY="sk-test", OPENAI_BASE_URL=sandbox.base_url, DEBUG="true"
        ) as site,
    ):
        site.start("run", "--port", str(site.port))
        yield site


def wait_until_served(page, url):
    ends = time.monotonic() + 60
    while time.monotonic() < ends:
        try:
            page.request.get(f"{url}/healthz", timeout=5_000)
            return
        except PlaywrightError:
            page.wait_for_timeout(500)
    raise AssertionError("the site does not answer")


def submit(page, focus):
    page.get_by_role("link", name="New job").click()
    page.get_by_role("link", name=re.compile("Document digest")).first.click()
    page.get_by_label(re.compile("Focus")).fill(focus)
    page.locator("input[type=file]").set_input_files(DOCUMENT)


@pytest.mark.parametrize("javascript", [True, False], ids=["with JavaScript", "without"])
def test_a_job_is_submitted_changed_and_approved(tmp_path, visitors, javascript):
    with running(tmp_path) as site:
        url = f"http://127.0.0.1:{site.port}"
        options = {"java_script_enabled": javascript}
        requester = visitors(url, **options, **({"viewport": PHONE} if javascript else {}))
        wait_until_served(requester.page, url)

        def follows(person, text):
            """The page comes to say `text`: by itself, or, without JavaScript, when reloaded."""
            told = person.page.get_by_role("status").filter(has_text=text)
            if javascript:
                expect(told).to_be_visible(timeout=SOON)
                return
            for _look in range(SOON // 500):
                if told.count():
                    return
                person.page.wait_for_timeout(500)
                person.page.reload()
            raise AssertionError(f"the page never said {text!r}")

        def heard(person, text):
            """The history comes to hold `text`."""
            if not javascript:
                person.page.reload()
            expect(person.page.get_by_text(text).first).to_be_visible(timeout=SOON)

        def checked(person):
            if javascript:
                assert faults(person.page) == []

        page = requester.log_in("requester", PASSWORD)
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        checked(requester)
        submit(page, "what went wrong")
        if javascript:
            expect(page.get_by_text("incident-review.md added.")).to_be_visible()
            checked(requester)
        page.get_by_role("button", name="Submit job").click()
        page.wait_for_url(re.compile(r"/jobs/J-\w{7}/$"))
        ref = page.url.rstrip("/").rpartition("/")[2]
        follows(requester, "waits for a reviewer")
        expect(page.get_by_text("a reviewer sees it before you do")).to_be_visible()
        checked(requester)

        reviewer = visitors(url, **options)
        page = reviewer.log_in("reviewer", PASSWORD)
        page.get_by_role("link", name=re.compile("^Review")).click()
        page.get_by_role("link", name=re.compile("incident-review")).first.click()
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        checked(reviewer)
        ask_for_changes(page, "Name the people who were on call.")
        lead = visitors(url, **options)
        heard(requester, "Name the people who were on call.")
        follows(requester, "waits for a reviewer")

        page = lead.log_in("lead", PASSWORD)
        page.goto(f"/jobs/{ref}/review/")
        page.get_by_role("button", name="Approve").click()
        expect(page.get_by_text(f"Approved {ref}")).to_be_visible()
        follows(requester, "Completed")
        expect(requester.page).to_have_title(re.compile("^Completed: "))
        expect(requester.page.get_by_text("lead approved it.")).to_be_visible()
        expect(requester.page.get_by_role("heading", name="Result")).to_be_visible()
        if javascript:
            checked(requester)
            assert shifts(requester.page) == []
            looks_no_more(requester.page)
        job = site.json("job", ref)
        assert job["status"] == "completed"
        assert [attempt["cause"] for attempt in job["attempts"]] == ["first", "changes"]
        site.manage("verify_audit")
        for one in (requester, reviewer, lead):
            # Before the site stops: an open page would say that it cannot be reached.
            one.leave()


def ask_for_changes(page, note):
    """From the review page, by the verb's own page or in place."""
    page.get_by_role("link", name="Request changes").or_(
        page.get_by_role("button", name="Request changes")
    ).first.click()
    page.get_by_label(re.compile("change", re.IGNORECASE)).first.fill(note)
    # Nobody reads and writes as fast as this: the page takes it for a second click.
    page.wait_for_timeout(450)
    page.get_by_role("button", name="Request changes").click()


def looks_no_more(page):
    """A settled job's page asks for nothing any more."""
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.wait_for_timeout(7_000)
    assert asked == []
