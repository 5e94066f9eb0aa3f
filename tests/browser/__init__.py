"""Where the browser is, and what every page must be in it."""

import shutil
from contextlib import suppress
from typing import Any

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import BrowserContext, Error, Page

#: CSS pixels: a narrow phone, and a desk.
PHONE = {"width": 360, "height": 780}
DESK = {"width": 1280, "height": 900}
PASSWORD = "correct horse"

# Counts how far things move without anybody having touched the page.
_WATCH_SHIFTS = """
window.shifts = [];
new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) {
    if (entry.hadRecentInput) continue;
    window.shifts.push({
      value: entry.value,
      what: entry.sources.map((source) => source.node && (source.node.id || source.node.className)),
    });
  }
}).observe({ type: "layout-shift", buffered: true });
"""


def chromium() -> str | None:
    """The system's Chromium: Playwright's own build is not fetched."""
    return shutil.which("chromium") or shutil.which("chromium-browser")


def violations(page: Page) -> list[dict[str, Any]]:
    """What axe finds. Without its look into style sheets, for which it writes styles into the page:
    the page's own policy would refuse them, and say so."""
    options = {"resultTypes": ["violations"], "preload": False}
    found: list[dict[str, Any]] = Axe().run(page, options=options).response["violations"]
    return found


class Visitor:
    """Somebody with a browser of their own. `said` is what its console said: nothing, it must be."""

    def __init__(self, context: BrowserContext) -> None:
        self.context = context
        self.said: list[str] = []
        context.add_init_script(_WATCH_SHIFTS)
        self.page = context.new_page()
        self.page.set_default_timeout(20_000)
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))

    def log_in(self, username: str, password: str = PASSWORD) -> Page:
        page = self.page
        page.goto("/accounts/login/")
        page.get_by_label("Username or e-mail").fill(username)
        page.get_by_label("Password", exact=True).fill(password)
        page.get_by_role("button", name="Log in").click()
        page.wait_for_url(lambda url: "/accounts/login/" not in url)
        return page

    def leave(self) -> None:
        """Close every page. A context that is closed while one of them is on its way, or still
        says something to the server, may never answer: Chromium waits for the page."""
        for page in self.context.pages:
            with suppress(Error):
                # Left in the middle of a review, it would let go of it: in a database that is going.
                page.evaluate("document.querySelector('#claim form')?.remove()")
            with suppress(Error):
                page.goto("about:blank", timeout=10_000)
        self.context.close()


def faults(page: Page) -> list[str]:
    """What is wrong with the page as it stands: accessibility, sideways scrolling, shifts."""
    found = []
    for rule in violations(page):
        where = [node["target"] for node in rule["nodes"]][:3]
        found.append(f"{page.url} {rule['id']}: {rule['help']} {where}")
    wide = page.evaluate(
        "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    )
    if wide > 0:
        found.append(f"{page.url} scrolls sideways by {wide} px")
    found += shifts(page)
    return found


def shifts(page: Page) -> list[str]:
    """What has moved by itself since the page was opened, of what can be noticed (0.01)."""
    seen = page.evaluate("window.shifts || []")
    return [f"{page.url} moved by itself: {shift}" for shift in seen if shift["value"] > 0.01]
