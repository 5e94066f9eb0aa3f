"""A result that is edited before it is approved, in the browser."""

import json
import re

import pytest
from playwright.sync_api import expect

from jobs import results
from jobs.models import Job, Role, Status
from reviews.actions import Ask, decide
from reviews.models import Decision, Ruling
from tests.browser import PHONE, faults
from tests.factories import (
    NOW,
    JobFactory,
    JobTypeFactory,
    UserFactory,
    WorkspaceFactory,
    finish,
    start,
)
from tests.payloads import message

pytestmark = pytest.mark.django_db(transaction=True)

BEFORE = "# Tides\n\nThe moon pulls the sea.\n\nThe tide turns at noon.\n\nBring a boat.\n"
AFTER = "# Tides\n\nThe moon pulls the sea.\n\nThe tide turns at nine.\n\nBring two boats.\n"
SCHEMA = {
    "type": "object",
    "properties": {"title": {"type": "string"}, "cost": {"type": "number"}},
    "required": ["title", "cost"],
}


@pytest.fixture
def desk(db, person):
    workspace = WorkspaceFactory(slug="quality")
    person("ruth", workspace, Role.REVIEWER)
    return workspace


def reviewed(workspace, text, job_type=None):
    job = JobFactory(workspace=workspace, job_type=job_type or JobTypeFactory())
    start(job)
    finish(job, "completed", output=[message(text)])
    return job


def tolerates(visitor, status):
    """The browser notes a refusal's status on its console; nothing else may be there."""
    visitor.said[:] = [line for line in visitor.said if str(status) not in line]


@pytest.mark.parametrize(
    "look", [{}, {"viewport": PHONE, "color_scheme": "dark"}, {"java_script_enabled": False}]
)
def test_a_result_is_edited_looked_at_and_approved(desk, visit, look):
    job = reviewed(desk, BEFORE)
    ruth = visit("ruth", **look)
    page, script = ruth.page, look.get("java_script_enabled", True)
    page.goto(f"/jobs/{job.ref}/review/")
    approve = page.locator("#verbs").get_by_role("button", name=re.compile("^Approve"))
    expect(approve).to_have_text("Approve")
    page.get_by_text("Edit before approving").click()
    if script:
        assert faults(page) == []
    page.get_by_label("The result").fill(AFTER)
    if script:
        expect(approve).to_have_text("Approve with edits")
    page.get_by_role("button", name="Look at what I changed").click()
    changes = page.get_by_role("region", name="Your edits")
    expect(changes.locator("ins").first).to_contain_text("nine")
    expect(changes.locator("del").first).to_contain_text("noon")
    if script:
        assert faults(page) == []
    # A second click, or a key that is held, is none of the new page's.
    page.wait_for_timeout(450)
    page.get_by_role("button", name="Approve with edits").click()
    expect(page.get_by_text(f"Approved {job.ref}.")).to_be_visible()
    assert results.leaving(Job.objects.get(pk=job.pk)).text.rstrip() == AFTER.rstrip()
    assert Decision.objects.get().edit is not None


def test_what_does_not_fit_is_said_at_its_field(desk, visit):
    job_type = JobTypeFactory(version__output_schema=SCHEMA)
    job = reviewed(desk, json.dumps({"title": "The bridge", "cost": 12}), job_type)
    ruth = visit("ruth")
    page = ruth.page
    page.goto(f"/jobs/{job.ref}/review/")
    page.get_by_text("Edit before approving").click()
    page.get_by_label("Title").fill("The ferry")
    page.get_by_label("Cost").fill("much")
    page.get_by_role("button", name="Approve with edits").click()
    expect(page.get_by_text("It must be JSON, as it was: 12")).to_be_in_viewport()
    expect(page.get_by_role("alert")).to_be_focused()
    expect(page.get_by_label("Title")).to_have_value("The ferry")
    assert faults(page) == []
    tolerates(ruth, 422)


@pytest.mark.parametrize("look", [{}, {"viewport": PHONE}, {"color_scheme": "dark"}])
def test_the_next_attempt_is_held_against_the_one_before(desk, visit, look):
    job = reviewed(desk, BEFORE)
    lead = UserFactory(workspace=desk, roles=[Role.LEAD])
    decide(job.pk, Ask(Ruling.REQUEST_CHANGES, lead, NOW, note="Nine, and two boats."))
    start(job)
    finish(job, "completed", output=[message(AFTER)])
    assert Job.objects.get(pk=job.pk).status == Status.NEEDS_REVIEW
    ruth = visit("ruth", **look)
    ruth.page.goto(f"/jobs/{job.ref}/review/")
    changes = ruth.page.get_by_role("region", name="Against attempt 1")
    expect(changes.locator("ins").first).to_contain_text("nine")
    assert faults(ruth.page) == []
