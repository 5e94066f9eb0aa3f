"""A real Chromium, on the live server, or on an installation of its own."""

import os

import pytest
from playwright.sync_api import sync_playwright

from tests.browser import DESK, PASSWORD, Visitor, chromium
from tests.factories import UserFactory


def pytest_collection_modifyitems(items):
    for item in items:
        if "tests/browser/" in str(item.path):
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="module")
def chrome():
    """Of its own for each file: what one leaves behind is not the next one's."""
    # Playwright's sync API keeps an event loop in this thread, which Django would object to.
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        yield browser
        browser.close()
    del os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"]


@pytest.fixture
def visitors(chrome):
    """`visitors(base_url, **options)` is a new person with a browser; none may hear a complaint."""
    made = []

    def visitor(base_url, **options):
        context = chrome.new_context(
            base_url=base_url, **{"viewport": DESK, "reduced_motion": "reduce", **options}
        )
        made.append(Visitor(context))
        return made[-1]

    yield visitor
    for one in made:
        one.leave()
    assert [line for one in made for line in one.said] == []


@pytest.fixture
def visit(visitors, live_server):
    """`visit(username, color_scheme="dark")`: somebody who is logged in at the live server."""

    def logged_in(username, **options):
        one = visitors(live_server.url, **options)
        one.log_in(username)
        return one

    return logged_in


@pytest.fixture
def person():
    """`person("rea", workspace, Role.REQUESTER)` can log in."""

    def made(username, workspace=None, *roles, **fields):
        user = UserFactory(username=username, workspace=workspace, roles=roles, **fields)
        user.set_password(PASSWORD)
        user.save()
        return user

    return made
