"""The inbox goes on by itself, and the verbs stay in sight without covering anything."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection
from django.utils import timezone
from playwright.sync_api import expect

from jobs.models import Gate, Role, Status
from reviews import bulk, claims, tasks
from reviews.models import Decision, SavedView
from tests.browser import PHONE, faults
from tests.factories import JobFactory, JobTypeFactory, WorkspaceFactory

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def workspace(db, person):
    workspace = WorkspaceFactory(slug="quality")
    person("ruth", workspace, Role.REVIEWER)
    return workspace


def test_what_comes_to_review_appears_and_what_is_typed_stays(workspace, visit):
    page = visit("ruth").page
    page.goto("/w/quality/reviews/")
    expect(page.get_by_role("heading", name="Nothing waits for you.")).to_be_visible()
    page.get_by_label("Search").fill("J-77")
    job = JobFactory(workspace=workspace, status=Status.NEEDS_REVIEW)
    page.evaluate("htmx.trigger('#waiting', 'look')")
    expect(page.get_by_role("link", name="tides")).to_be_visible()
    expect(page.get_by_label("Search")).to_have_value("J-77")
    row = page.locator(f"#waits-{job.ref}")
    row.evaluate("(element) => { element.same = true; }")
    JobFactory(workspace=workspace, status=Status.NEEDS_REVIEW)
    page.evaluate("htmx.trigger('#waiting', 'look')")
    expect(page.get_by_role("link", name="tides")).to_have_count(2)
    expect(page.get_by_role("link", name="Review 2 waiting")).to_be_visible()
    assert row.evaluate("(element) => element.same"), "a row that has not changed is left alone"
    assert faults(page) == []


@pytest.mark.parametrize("viewport", [{"width": 1280, "height": 720}, PHONE])
def test_the_verbs_are_in_sight_and_cover_nothing_at_the_end(workspace, visit, viewport):
    job = JobFactory(workspace=workspace, status=Status.NEEDS_REVIEW)
    page = visit("ruth", viewport=viewport).page
    page.goto(f"/jobs/{job.ref}/review/")
    approve = page.get_by_role("button", name="Approve")
    expect(approve).to_be_in_viewport(ratio=1)
    taken = page.evaluate("document.getElementById('verbs').offsetHeight / innerHeight")
    assert taken < 0.25
    page.evaluate("scrollTo(0, document.body.scrollHeight)")
    covered = page.evaluate(
        "document.querySelector('.columns').getBoundingClientRect().bottom >"
        " document.getElementById('verbs').getBoundingClientRect().top"
    )
    assert not covered
    expect(approve).to_be_in_viewport(ratio=1)


def test_a_review_is_done_by_the_keyboard_alone(workspace, visit):
    job = JobFactory(workspace=workspace, status=Status.NEEDS_REVIEW)
    page = visit("ruth").page
    page.goto(f"/jobs/{job.ref}/review/")
    skip = page.get_by_role("link", name="Skip to the decision")
    skip.focus()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(page.get_by_label("Your note")).to_be_focused()
    page.keyboard.type("Name the year.")
    page.keyboard.press("Tab")
    expect(page.get_by_label("Reason")).to_be_focused()
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Approve")).to_be_focused()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_text(f"Requested changes to {job.ref}.")).to_be_visible()
    assert Decision.objects.get().note == "Name the year."


@pytest.fixture
def worked(monkeypatch):
    """The queue's work on bulk actions, done when the test says so."""
    given = []
    monkeypatch.setattr(bulk, "async_task", lambda name, **more: given.append(more))

    def work():
        # A browser's loop runs in this thread.
        with ThreadPoolExecutor(1) as pool:
            for more in given:
                pool.submit(_apart, more["action_id"]).result()

    return work


def _apart(action_id):
    try:
        tasks.work_bulk(action_id=action_id)
    finally:
        connection.close()


def test_filter_save_tick_and_decide_by_the_keyboard_alone(workspace, visit, worked, person):
    ben = person("ben", workspace, Role.REVIEWER)
    job_type = JobTypeFactory(name="Digest")
    now = timezone.now()
    jobs = [
        JobFactory(workspace=workspace, job_type=job_type, status=Status.NEEDS_REVIEW, now=now)
        for _ in range(3)
    ]
    page = visit("ruth").page
    page.goto("/w/quality/reviews/")
    page.keyboard.press("/")
    expect(page.get_by_label("Search")).to_be_focused()
    page.keyboard.type("tides")
    page.keyboard.press("j")
    expect(page.get_by_label("Search")).to_have_value("tidesj"), "a key that is typed is no command"
    page.keyboard.press("Backspace")
    page.keyboard.press("Enter")
    page.wait_for_url("**?q=tides*")
    page.get_by_text("Save this view").focus()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    page.keyboard.type("About tides")
    page.keyboard.press("Enter")
    expect(page.get_by_text("The view “About tides” is saved.")).to_be_visible()
    expect(page.get_by_role("link", name="About tides")).to_have_attribute("aria-current", "page")
    assert SavedView.objects.get().query == "q=tides"
    expect(page.get_by_role("button", name="Approve")).to_be_disabled()
    for _ in range(2):
        page.keyboard.press("j")
        page.keyboard.press("x")
    expect(page.get_by_text("2 ticked")).to_be_visible()
    assert faults(page) == []
    claims.claim(jobs[2].open_gate, ben, now=timezone.now())
    page.evaluate("htmx.trigger('#waiting', 'look')")
    expect(page.locator(f"#waits-{jobs[2].ref}")).to_contain_text("ben has it open")
    expect(page.get_by_role("checkbox", name=f"Tick {jobs[1].ref}")).to_be_checked()
    expect(page.locator(f"#open-{jobs[1].ref}")).to_be_focused()
    page.get_by_role("button", name="Approve").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Approve 2 jobs?")).to_be_visible()
    assert faults(page) == []
    page.get_by_label("Note").focus()
    page.keyboard.type("Both are fine.")
    page.keyboard.press("Control+Enter")
    expect(page.get_by_text("Under way.")).to_be_visible()
    assert not Decision.objects.exists()
    worked()
    expect(page.get_by_text("All of them are approved.")).to_be_visible()
    assert faults(page) == []
    made = Decision.objects.values_list("job__ref", "note", "actor__username")
    assert sorted(made) == sorted((job.ref, "Both are fine.", "ruth") for job in jobs[:2])


def test_reviews_are_given_to_somebody_at_once(workspace, visit, worked, person):
    ben = person("ben", workspace, Role.REVIEWER)
    job = JobFactory(workspace=workspace, status=Status.NEEDS_REVIEW, now=timezone.now())
    page = visit("ruth").page
    page.goto("/w/quality/reviews/")
    page.get_by_role("checkbox", name=f"Tick {job.ref}").check()
    page.get_by_role("button", name="Reassign").click()
    expect(page.get_by_role("heading", name="To whom?")).to_be_visible()
    assert faults(page) == []
    page.get_by_label("Reassign to").select_option("ben")
    page.get_by_role("button", name="Look them over").click()
    expect(page.get_by_role("heading", name="Reassign 1 job to ben?")).to_be_visible()
    page.get_by_role("button", name="Reassign 1 job").click()
    expect(page.get_by_text("Under way.")).to_be_visible()
    worked()
    expect(page.get_by_text("All of them are reassigned to ben.")).to_be_visible()
    job.open_gate.refresh_from_db()
    assert job.open_gate.assignee == ben


def test_a_tick_on_what_has_changed_is_taken_back_and_said(workspace, visit):
    job = JobFactory(workspace=workspace, status=Status.NEEDS_REVIEW, now=timezone.now())
    page = visit("ruth").page
    page.goto("/w/quality/reviews/")
    page.get_by_role("checkbox", name=f"Tick {job.ref}").check()
    expect(page.get_by_text("1 ticked")).to_be_visible()
    Gate.objects.update(content_hash="e" * 64)
    page.evaluate("htmx.trigger('#waiting', 'look')")
    expect(page.get_by_text("Nothing is ticked, 1 changed and no longer ticked")).to_be_visible()
    expect(page.get_by_role("checkbox", name=f"Tick {job.ref}")).not_to_be_checked()


@pytest.mark.parametrize("query", ["", "?tab=history", "?tab=mine", "?level=x"])
def test_the_inbox_is_without_faults_on_a_phone(workspace, visit, query):
    for _ in range(2):
        JobFactory(workspace=workspace, status=Status.NEEDS_REVIEW, now=timezone.now())
    JobFactory(workspace=workspace, status=Status.COMPLETED, now=timezone.now())
    page = visit("ruth", viewport=PHONE).page
    page.goto(f"/w/quality/reviews/{query}")
    expect(page.get_by_role("heading", name="Review", exact=True)).to_be_visible()
    assert faults(page) == []
