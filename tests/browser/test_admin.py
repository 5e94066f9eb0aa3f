"""The admin in a real browser: what those who operate Jobsite look at."""

import pytest
from django.contrib import admin
from django.urls import reverse
from playwright.sync_api import expect

from jobs.models import Role, Status
from tests.browser import DESK, PHONE, faults, violations
from tests.factories import JobFactory, WorkspaceFactory

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(params=["light", "dark"])
def root(request, person, visit):
    person("root", WorkspaceFactory(), Role.ADMIN, is_staff=True, is_superuser=True)
    return visit("root", color_scheme=request.param)


def test_an_admin_finds_a_job_and_reads_it(root):
    job = JobFactory(status=Status.NEEDS_REVIEW, input={"topic": "<script>alert(1)</script> tides"})
    page = root.page
    page.goto("/admin/jobs/job/")
    expect(page.get_by_role("status").filter(has_text="Stand-in")).to_be_visible()
    page.locator("#searchbar").fill(job.ref)
    page.keyboard.press("Enter")
    page.get_by_role("link", name=job.ref).click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("job")
    expect(page.get_by_text("<script>alert(1)</script> tides").first).to_be_visible()
    expect(page.get_by_role("button", name="Save")).to_have_count(0)
    assert violations(page) == []


def test_an_admin_is_asked_before_a_verb_is_carried_out(root):
    job = JobFactory(status=Status.NEEDS_REVIEW)
    page = root.page
    page.goto(f"/admin/jobs/job/{job.pk}/change/")
    page.get_by_role("button", name="Cancel …").click()
    expect(page.get_by_role("heading", name="Will be done")).to_be_visible()
    assert faults(page) == []


@pytest.mark.parametrize("viewport", [DESK, PHONE], ids=["desk", "phone"])
def test_an_admin_gives_somebody_a_role(person, visit, viewport):
    home = WorkspaceFactory()
    person("root", home, Role.ADMIN, is_staff=True, is_superuser=True)
    ada = person("ada")
    page = visit("root", viewport=viewport).page
    page.goto(f"/admin/jobs/workspace/{home.pk}/change/")
    page.get_by_role("button", name="Add another Member").click()
    assert faults(page) == []
    page.locator(".select2-selection").last.click()
    page.get_by_role("option", name="ada").click()
    page.get_by_role("combobox", name="Role").last.select_option("Reviewer")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.locator(".messagelist")).to_be_visible()
    assert ada.memberships.get().role == Role.REVIEWER
    page.goto(f"/admin/jobs/workspace/{home.pk}/change/")
    page.get_by_label("Delete ada: reviewer").check()
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.locator(".messagelist")).to_be_visible()
    assert not ada.memberships.exists()


def test_no_page_of_the_admin_is_refused_anything_by_its_policy(person, visit):
    person("root", WorkspaceFactory(), Role.ADMIN, is_staff=True, is_superuser=True)
    JobFactory(status=Status.COMPLETED)
    root = visit("root")
    page = root.page
    for model in admin.site._registry:
        name = f"admin:{model._meta.app_label}_{model._meta.model_name}"
        page.goto(reverse(f"{name}_changelist"))
        if page.locator(".object-tools .addlink").count():
            page.goto(reverse(f"{name}_add"))
        for row in model._default_manager.all()[:1]:
            page.goto(reverse(f"{name}_change", args=[row.pk]))
    # The ones that draw most by script: a calendar, a search in a list, a new row, a pop-up.
    page.goto("/admin/django_q/schedule/add/")
    page.locator(".datetimeshortcuts a").first.click()
    page.locator(".date-icon").first.click()
    expect(page.locator(".calendarbox").first).to_be_visible()
    page.goto("/admin/jobs/workspace/add/")
    page.get_by_label("Name").press_sequentially("A new one")
    expect(page.get_by_label("Slug")).to_have_value("a-new-one")
    page.locator(".add-row a").click()
    page.locator(".select2-selection").last.click()
    expect(page.locator(".select2-results__option").first).to_be_visible()
    assert [line for line in root.said if "Policy" in line] == []
    # Chromium also remarks on fields that Django's pages give the focus.
    root.said.clear()


def test_a_requester_does_not_get_into_the_admin(person, visit):
    person("rea", WorkspaceFactory(), Role.REQUESTER)
    rea = visit("rea")
    rea.said.clear()
    rea.page.goto("/admin/")
    expect(rea.page.get_by_role("heading", name="Not allowed")).to_be_visible()
    # The browser notes that the page came with a 403, and nothing else.
    assert all("403" in line for line in rea.said)
    rea.said.clear()
