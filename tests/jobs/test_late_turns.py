"""Answers about a turn that is over, while its attempt goes on with another: nothing moves by them."""

import pytest

from jobs import calls, lapses, outcomes
from jobs.models import (
    Attempt,
    CallEffect,
    CallOutcome,
    FunctionCall,
    State,
    Status,
    WebhookReceipt,
)
from jobs.provider.errors import NotFound, NotStarted, OutcomeUnknown, Refused, Unavailable
from jobs.tools import registry
from jobs.tools.registry import ToolContext
from tests import payloads
from tests.factories import NOW, JobFactory, JobTypeFactory, wants

pytestmark = pytest.mark.django_db

TERMS = (payloads.function_call("read_document", {"name": "a.txt"}),)


def reads_type():
    return JobTypeFactory(version__tools=[{"type": "function", "name": "read_document"}])


@pytest.fixture
def first():
    """The first turn of a job that waits to send its second."""
    job = wants(reads_type(), *TERMS)
    turn = job.attempts.get().turns.get(number=1)
    assert turn.ended_at
    return turn


def answer(turn, status, **more):
    return payloads.response(status, id=turn.response_id, **more)


LATE = {
    "create queued": lambda t: outcomes.accepted(t.pk, answer(t, "queued"), now=NOW, adopted=False),
    "create ended": lambda t: outcomes.accepted(
        t.pk, answer(t, "completed", output=list(TERMS)), now=NOW, adopted=False
    ),
    "adopted": lambda t: outcomes.accepted(
        t.pk, answer(t, "completed", output=list(TERMS)), now=NOW, adopted=True
    ),
    "create unknown": lambda t: outcomes.not_accepted(t.pk, OutcomeUnknown("a", "b"), now=NOW),
    "create not started": lambda t: outcomes.not_accepted(t.pk, NotStarted("a", "b"), now=NOW),
    "create refused": lambda t: outcomes.not_accepted(t.pk, Refused("a", "b"), now=NOW),
    "create never answered": lambda t: lapses.send_never_answered(t.pk, now=NOW),
    "request unusable": lambda t: lapses.cannot_be_sent(t.pk, "gone", now=NOW),
    "look: still running": lambda t: outcomes.looked_up(t.pk, answer(t, "in_progress"), now=NOW),
    "look: ended": lambda t: outcomes.looked_up(
        t.pk, answer(t, "completed", output=list(TERMS)), now=NOW
    ),
    "look: ended otherwise": lambda t: outcomes.looked_up(t.pk, answer(t, "failed"), now=NOW),
    "look: not there": lambda t: outcomes.lookup_failed(t.pk, NotFound("a", "b"), now=NOW),
    "look: no answer": lambda t: outcomes.lookup_failed(t.pk, Unavailable("a", "b"), now=NOW),
}


@pytest.mark.parametrize("late", LATE.values(), ids=LATE)
def test_a_late_answer_about_an_earlier_turn_does_not_touch_the_attempt(first, late):
    before = Attempt.objects.values().get()
    for _time in range(2):
        late(first)
    assert Attempt.objects.values().get() == before
    assert FunctionCall.objects.count() == 1
    job = first.attempt.job
    job.refresh_from_db()
    assert job.status == Status.RUNNING


def test_an_answer_that_says_otherwise_later_is_kept_beside_the_first(first):
    outcomes.looked_up(first.pk, answer(first, "failed"), now=NOW)
    first.refresh_from_db()
    assert b'"failed"' in bytes(first.late_payload)


def test_a_webhook_that_overtakes_the_answer_to_a_create_loses_no_turn(driver, sandbox, clock):
    for output in (list(TERMS), [payloads.message("Read.")]):
        life = {"queued": 0, "running": 0, "output": output}
        sandbox.script({"on": "create", "do": {"life": life}})
    job = JobFactory(job_type=reads_type())
    attempt = job.attempts.get()
    driver.runs_tools = False
    with driver.holding("create"):
        driver.reach(lambda: sandbox.responses())
        [response] = sandbox.responses()
        WebhookReceipt.objects.create(
            webhook_id="wh_1",
            event_type="response.completed",
            response_id=response["id"],
            body=b"",
            received_at=clock(),
            next_check_at=clock(),
        )
        driver.reach(lambda: attempt.turns.count() == 2)
    driver.reach(lambda: not driver.sweep.calls)
    attempt.refresh_from_db()
    assert attempt.state == State.SUBMITTING
    driver.runs_tools = True
    driver.settle(job)
    assert attempt.turns.count() == 2
    assert sandbox.stats()["creates"] == 2
    assert job.attempts.get().result.text == "Read."


def test_a_tool_that_has_come_to_change_something_does_not_run_unapproved(first, monkeypatch):
    monkeypatch.setattr(registry, "_tools", dict(registry._tools))
    del registry._tools["read_document"]
    ran = []

    def read_document(context: ToolContext, name: str) -> str:
        """Read a document, and shred it."""
        ran.append(name)
        return "Shredded."

    registry.tool(effect=CallEffect.WRITE, title="Shred")(read_document)
    call = FunctionCall.objects.get()
    calls.run(call.pk, clock=lambda: NOW)
    call.refresh_from_db()
    assert (ran, call.outcome) == ([], CallOutcome.NOT_OFFERED)
