"""A result being written, on pages of real processes: web server, cluster and the stand-in."""

import re
import time

from django.conf import settings
from playwright.sync_api import expect

from jobs.tasks import SWEEP_LASTS
from jobsite.sandbox.testing import RunningSandbox
from tests.browser import faults
from tests.browser.test_story import PASSWORD, SOON, wait_until_served
from tests.processes import installation

TEXT = "\n\n".join(
    f"Paragraph {at}. The tide turns twice a day, and so it goes." for at in range(40)
)


def test_pages_show_what_is_being_written_over_one_connection(tmp_path, visitors):
    with (
        RunningSandbox(pace=0.5) as sandbox,
        installation(
            tmp_path, OPENAI_API_KEY="sk-test", OPENAI_BASE_URL=sandbox.base_url, DEBUG="true"
        ) as site,
    ):
        life = {"queued": 0.5, "running": 25, "output_text": TEXT}
        sandbox.script({"on": "create", "do": {"life": life}})
        site.start("run", "--port", str(site.port))
        url = f"http://127.0.0.1:{site.port}"
        requester, operator = visitors(url), visitors(url)
        wait_until_served(requester.page, url)
        page = requester.log_in("requester", PASSWORD)
        began = time.monotonic()
        page.goto("/w/demo/jobs/new/research-brief/")
        page.get_by_label(re.compile("Topic")).fill("tides")
        page.get_by_role("button", name="Submit job").click()
        page.wait_for_url(re.compile(r"/jobs/J-\w{7}/$"))
        expect(page.get_by_role("heading", name="Being written now")).to_be_visible(timeout=SOON)
        expect(page.get_by_text("Draft")).to_be_visible()
        other = operator.log_in("operator", PASSWORD)
        other.goto(page.url)
        written = page.locator(".live-text")
        lengths = set()
        for _look in range(20):
            lengths.add(len(written.inner_text()))
            page.wait_for_timeout(250)
        assert len(lengths) >= 3, lengths
        # Nothing moves while it grows; what changes at the end may.
        assert faults(page) == []
        expect(other.locator(".live-text")).to_contain_text("Paragraph 1.")
        streams, lasted = sandbox.stats()["streams"], time.monotonic() - began
        # It cites nothing, so a reviewer sees it first.
        expect(page.get_by_text("a reviewer sees it before you do")).to_be_visible(timeout=SOON)
        expect(other.get_by_text("Paragraph 39.")).to_be_visible(timeout=SOON)
        expect(page.get_by_role("heading", name="Being written now")).to_have_count(0)
        # The create, one consumer, and one more for each sweep that took over meanwhile: as many of
        # them work by turns as are wanted. Two pages that each had their own would have opened more.
        assert streams <= 2 + settings.SWEEPS * (1 + lasted / SWEEP_LASTS)
        for one in (requester, operator):
            one.leave()
