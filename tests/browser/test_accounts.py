"""The pages of a person's own account in a real browser."""

import re

import pytest
from django.core.cache import cache
from playwright.sync_api import expect

from jobs.models import Role
from tests.browser import PASSWORD, PHONE, faults
from tests.factories import WorkspaceFactory
from tests.jobsite.test_accounts import code_for

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def nothing_counted(db):
    """Counts of attempts are no model's rows, so they outlive a test that commits."""
    cache.clear()


@pytest.mark.parametrize(
    "options", [{"color_scheme": "dark"}, {"viewport": PHONE}], ids=["dark", "phone"]
)
def test_a_second_step_from_turning_it_on_to_logging_in_with_it(person, visitors, visit, options):
    person("ann", WorkspaceFactory(), Role.REQUESTER, email="ann@example.com")
    ann = visit("ann", **options)
    page = ann.page
    # Where a log-in leads is another page's matter.
    ann.said.clear()
    page.goto("/accounts/2fa/")
    expect(page.get_by_text("It is off.")).to_be_visible()
    assert faults(page) == []
    page.get_by_role("link", name="Turn on").click()
    expect(page.get_by_role("heading", name="Is it you?")).to_be_visible()
    assert faults(page) == []
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_role("button", name="Go on").click()
    expect(page.get_by_role("img", name="QR code")).to_be_visible()
    assert page.locator(".qr").evaluate("image => image.naturalWidth") > 0
    assert faults(page) == []
    page.get_by_text("Cannot scan it?").click()
    secret = page.locator("code").inner_text()
    page.get_by_label("Authenticator code").fill(code_for(secret))
    page.get_by_role("button", name="Turn on").click()
    codes = page.locator(".codes li")
    expect(codes).to_have_count(10)
    recovery = codes.first.inner_text()
    assert faults(page) == []
    page.get_by_role("link", name="Done").click()
    expect(page.get_by_text("10 recovery codes left")).to_be_visible()
    assert faults(page) == []

    other = visitors(page.url.partition("/accounts")[0], **options)
    page = other.page
    page.goto("/accounts/login/")
    assert faults(page) == []
    page.get_by_label("Username or e-mail").fill("ann")
    page.get_by_label("Password", exact=True).fill("wrong")
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("alert")).to_contain_text("No account has")
    assert faults(page) == []
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("heading", name="The second step")).to_be_visible()
    assert faults(page) == []
    page.get_by_label("Code").fill(recovery)
    page.get_by_role("button", name="Log in").click()
    page.wait_for_url(lambda url: "/accounts/" not in url)
    other.said.clear()


def test_the_other_pages_are_as_good(person, visit, visitors, live_server):
    person("ann", WorkspaceFactory(), Role.REQUESTER)
    ann = visit("ann")
    ann.said.clear()
    for path in ("password/change/", "logout/"):
        ann.page.goto(f"/accounts/{path}")
        assert faults(ann.page) == []
    stranger = visitors(live_server.url).page
    for path in ("password/reset/", "password/reset/done/", "password/reset/key/1-x/", "inactive/"):
        stranger.goto(f"/accounts/{path}")
        assert faults(stranger) == []
        assert stranger.get_by_role("heading", level=1).count() == 1


def test_back_shows_nothing_after_logging_out(person, visit):
    person("ann", WorkspaceFactory(), Role.REQUESTER, email="ann@example.com")
    ann = visit("ann")
    ann.said.clear()
    page = ann.page
    page.goto("/accounts/2fa/")
    page.goto("/accounts/logout/")
    page.locator("main").get_by_role("button", name="Log out").click()
    page.wait_for_url(re.compile("/accounts/login/"))
    page.go_back()
    page.go_back()
    expect(page.get_by_role("heading", name="Log in")).to_be_visible()
