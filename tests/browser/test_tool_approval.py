"""A tool call that waits: read, edited, refused or approved in the browser."""

import json
import re

import pytest
from django.core import mail
from django.utils import timezone
from playwright.sync_api import expect

from jobs import calls
from jobs.models import CallOutcome, FunctionCall, Job, Role, Status
from reviews.models import Decision
from tests import payloads
from tests.browser import PHONE, faults
from tests.factories import EMAIL, JobTypeFactory, WorkspaceFactory, wants

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def desk(db, person):
    workspace = WorkspaceFactory(slug="quality")
    person("ruth", workspace, Role.REVIEWER)
    return workspace


def mailer(workspace):
    return JobTypeFactory(
        name="Customer reply", version__tools=[{"type": "function", "name": "send_email"}]
    )


def said_before():
    return payloads.message("The terms say thirty days, so this is the answer.")


def tolerates(visitor, status):
    """The browser notes a refusal's status on its console; nothing else may be there."""
    visitor.said[:] = [line for line in visitor.said if str(status) not in line]


@pytest.mark.parametrize("look", [{}, {"viewport": PHONE, "color_scheme": "dark"}])
def test_an_email_is_read_edited_and_approved_and_leaves_as_it_was_approved(desk, visit, look):
    call = payloads.function_call("send_email", EMAIL)
    job = wants(mailer(desk), said_before(), call, workspace=desk)
    ruth = visit("ruth", **look)
    page = ruth.page
    page.goto("/w/quality/reviews/")
    expect(page.get_by_text("A tool call.")).to_be_visible()
    assert faults(page) == []
    page.goto(f"/jobs/{job.ref}/review/")
    expect(page.get_by_role("heading", name="Send an e-mail")).to_be_visible()
    said = page.get_by_role("blockquote").filter(has_text="The terms say thirty days")
    expect(said).to_be_visible()
    expect(page.get_by_label("To", exact=True)).to_have_value(EMAIL["to"])
    assert faults(page) == []
    approve = page.get_by_role("button", name=re.compile("^Approve"))
    expect(approve).to_have_text("Approve")
    page.get_by_label("Body").fill("We looked into it twice.")
    expect(approve).to_have_text("Approve with edits")
    page.get_by_label("Body").fill(EMAIL["body"])
    expect(approve).to_have_text("Approve")
    page.get_by_label("Subject").fill("About your question")
    approve.click()
    expect(page.get_by_text(f"Approved. {job.ref} goes on.")).to_be_visible()
    asked = FunctionCall.objects.get()
    assert json.loads(asked.effective_arguments) == {**EMAIL, "subject": "About your question"}
    assert Decision.objects.get().data["calls"][0]["edited"] is True
    assert mail.outbox == []
    calls.run(asked.pk, clock=timezone.now)
    assert [(m.to, m.subject) for m in mail.outbox] == [([EMAIL["to"]], "About your question")]


def test_what_a_tool_cannot_take_is_said_at_the_call_and_nothing_typed_is_lost(desk, visit):
    job = wants(mailer(desk), workspace=desk)
    ruth = visit("ruth")
    page = ruth.page
    page.goto(f"/jobs/{job.ref}/review/")
    page.get_by_label("Subject").fill("")
    page.get_by_label("Your note").fill("Looks right.")
    page.get_by_role("button", name="Approve with edits").click()
    problem = page.get_by_role("alert").filter(has_text="subject: string should have at least 1")
    expect(problem).to_be_in_viewport()
    expect(problem).to_be_focused()
    expect(page.get_by_role("button", name="Approve with edits")).to_be_visible()
    expect(page.get_by_label("Subject")).to_have_value("")
    expect(page.get_by_label("Your note")).to_have_value("Looks right.")
    assert faults(page) == []
    assert Job.objects.get().status == Status.NEEDS_REVIEW
    tolerates(ruth, 422)


def test_a_refusal_asks_why_and_the_job_goes_on(desk, visit):
    job = wants(mailer(desk), workspace=desk)
    page = visit("ruth", java_script_enabled=False).page
    page.goto(f"/jobs/{job.ref}/review/")
    page.get_by_role("button", name="Refuse").click()
    page.get_by_label("Why is it refused?").fill("They asked us by telephone.")
    page.get_by_role("button", name="Refuse").click()
    expect(page.get_by_text(f"Refused what {job.ref} wanted to do.")).to_be_visible()
    call = FunctionCall.objects.get()
    assert call.outcome == CallOutcome.REFUSED
    assert "by telephone" in call.output
    assert Job.objects.get().status == Status.RUNNING


def test_of_two_calls_one_is_refused_by_keyboard_alone(desk, visit):
    two = [
        payloads.function_call("send_email", EMAIL, call_id="call_1"),
        payloads.function_call("send_email", {**EMAIL, "to": "boss@example.com"}, call_id="call_2"),
    ]
    job = wants(mailer(desk), *two, workspace=desk)
    ruth = visit("ruth")
    page = ruth.page
    page.goto(f"/jobs/{job.ref}/review/")
    second = page.get_by_role("article").nth(1).get_by_label("Do it")
    second.focus()
    page.keyboard.press("ArrowDown")
    expect(page.get_by_role("article").nth(1).get_by_label("Refuse this one")).to_be_checked()
    assert faults(page) == []
    page.get_by_role("button", name="Approve").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_text(f"Approved. {job.ref} goes on.")).to_be_visible()
    decided = Decision.objects.get().data["calls"]
    assert [one["approved"] for one in decided] == [True, False]


def test_what_the_model_hides_in_its_arguments_is_seen(desk, visit):
    hidden = {**EMAIL, "body": "Pay\u202e no\u200b one <script>alert(1)</script>"}
    job = wants(mailer(desk), payloads.function_call("send_email", hidden), workspace=desk)
    ruth = visit("ruth")
    page = ruth.page
    page.goto(f"/jobs/{job.ref}/review/")
    shown = "Pay⟦U+202E⟧ no⟦U+200B⟧ one <script>alert(1)</script>"
    expect(page.get_by_label("Body")).to_have_value(shown)
    page.get_by_role("button", name="Approve").click()
    expect(page.get_by_text(f"Approved. {job.ref} goes on.")).to_be_visible()
    # What nobody edited leaves as it came, byte for byte.
    assert json.loads(FunctionCall.objects.get().effective_arguments) == hidden
