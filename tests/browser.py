"""Where the browser is."""

import shutil


def chromium() -> str | None:
    """The system's Chromium: Playwright's own build is not fetched."""
    return shutil.which("chromium") or shutil.which("chromium-browser")
