"""The bell and its pages, by keyboard, on a phone and without JavaScript."""

import re

import pytest
from django.utils import timezone
from playwright.sync_api import expect

from jobs.models import Role, Status
from reviews.models import Notice, NoticeKind
from tests.browser import PHONE, faults
from tests.factories import JobFactory, WorkspaceFactory, approve
from tests.told import tell

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def workspace(db, person):
    workspace = WorkspaceFactory(slug="quality", name="Quality")
    person("ruth", workspace, Role.REVIEWER, Role.REQUESTER, Role.OPERATOR)
    now = timezone.now()
    for topic in ("tides", "A long title " * 12, "moons"):
        job = JobFactory(
            workspace=workspace, status=Status.NEEDS_REVIEW, input={"topic": topic}, now=now
        )
    tell(timezone.now())
    approve(job, now=timezone.now())
    JobFactory(workspace=workspace, status=Status.FAILED, now=now)
    tell(timezone.now())
    return workspace


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [PHONE, None])
def test_the_pages_of_notices_have_no_faults(workspace, visit, scheme, viewport, tmp_path):
    options = {"viewport": viewport} if viewport else {}
    page = visit("ruth", color_scheme=scheme, **options).page
    for name, path in (("list", "/notices/"), ("choices", "/notices/preferences/")):
        page.goto(path)
        assert faults(page) == []
        page.screenshot(path=tmp_path / f"{name}.png", full_page=True)
    page.goto("/notices/?kind=mentioned")
    assert faults(page) == []


def test_a_notice_is_opened_by_keyboard_and_the_bell_counts_down(workspace, visit):
    page = visit("ruth").page
    page.goto("/w/quality/jobs/")
    bell = page.get_by_role("link", name="Notices, 3 unread")
    bell.focus()
    page.keyboard.press("Enter")
    page.get_by_role("button", name=re.compile("^J-.* needs your review")).last.focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**/review/")
    expect(page.get_by_role("link", name="Notices, 2 unread")).to_be_visible()


def test_the_page_that_a_mail_leads_to_counts_the_bell_down(workspace, visit):
    page = visit("ruth").page
    notice = Notice.objects.filter(kind=NoticeKind.NEEDS_REVIEW, done_at=None).first()
    page.goto(f"/jobs/{notice.job.ref}/review/")
    expect(page.get_by_role("link", name="Notices, 2 unread")).to_be_visible()
    notice.refresh_from_db()
    assert notice.read_at
    page = visit("ruth", java_script_enabled=False).page
    notice = Notice.objects.filter(kind=NoticeKind.TROUBLE).get()
    page.goto(f"/jobs/{notice.job.ref}/")
    page.get_by_role("button", name="Mark what led here as read").click()
    expect(page.get_by_role("link", name="Notices, 1 unread")).to_be_visible()


def test_the_bell_renews_itself_and_nothing_moves(workspace, visit):
    one = visit("ruth")
    page = one.page
    page.goto("/w/quality/jobs/")
    expect(page.get_by_role("link", name="Notices, 3 unread")).to_be_visible()
    Notice.objects.filter(kind=NoticeKind.TROUBLE).update(read_at=timezone.now())
    page.evaluate("htmx.ajax('GET', '/notices/bell/', {target: '#bell', swap: 'morph:outerHTML'})")
    expect(page.get_by_role("link", name="Notices, 2 unread")).to_be_visible()
    assert faults(page) == []


def test_without_javascript_all_of_it_works(workspace, visit):
    page = visit("ruth", java_script_enabled=False).page
    page.goto("/notices/")
    page.get_by_role("button", name="Mark all as read").click()
    expect(page.get_by_text("3 marked as read.")).to_be_visible()
    page.goto("/notices/preferences/")
    page.get_by_label("A job needs review").select_option("at_once")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("Your choices are saved.")).to_be_visible()
    expect(page.get_by_label("A job needs review")).to_have_value("at_once")
