"""The loop of function calls: from an answer that asks to the answer that ends, over real HTTP."""

import json
from datetime import timedelta

import pytest
from django.core import mail
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django_q.models import OrmQ
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs import calls, engine, lapses, outcomes, requests
from jobs.access import NotNow
from jobs.calls import BadVerdict, Verdict
from jobs.documents import Upload
from jobs.models import (
    CallEffect,
    CallOutcome,
    CallState,
    FunctionCall,
    GateKind,
    Live,
    Role,
    State,
    Status,
    Turn,
    Verb,
)
from jobs.provider.payloads import read
from jobs.tools import registry
from jobs.tools.registry import ToolContext, ToolProblem
from reviews.actions import Ask, decide
from reviews.callcards import cards
from reviews.models import Decision, Ruling
from tests import payloads
from tests.anything import anything
from tests.factories import (
    EMAIL,
    NOW,
    JobFactory,
    JobTypeFactory,
    UserFactory,
    last_turn,
    start,
    wants,
)

pytestmark = pytest.mark.django_db


@pytest.fixture
def ran(monkeypatch):
    """Registers `look` (reads) and `ring` (writes); answers the list of their runs."""
    registry.registered()
    monkeypatch.setattr(registry, "_tools", dict(registry._tools))
    runs = []

    def look(context: ToolContext, what: str, times: int = 1) -> dict:
        """Look something up."""
        runs.append(("look", what, times))
        if what == "nothing":
            raise ToolProblem("There is no such thing.")
        if what == "trouble":
            raise RuntimeError("a bug")
        return {"found": f"{what} found"}

    def ring(context: ToolContext, number: str) -> str:
        """Ring somebody up."""
        runs.append(("ring", number, str(context.key)))
        return "They answered."

    registry.tool(effect=CallEffect.READ, title="Look up")(look)
    registry.tool(effect=CallEffect.WRITE, title="Ring up")(ring)
    return runs


def tools_type(*names, **more):
    tools = [{"type": "function", "name": name} for name in names]
    return JobTypeFactory(version__tools=tools, **more)


def script(sandbox, *outputs, **more):
    """The responses of one job, one after the other."""
    for output in outputs:
        sandbox.script(
            {"on": "create", "do": {"life": {"queued": 0, "running": 0, "output": output, **more}}}
        )


def asks(*made):
    return [
        payloads.function_call(name, arguments, call_id=f"call_{at}")
        for at, (name, arguments) in enumerate(made, 1)
    ]


def final(text="Done."):
    return [payloads.message(text)]


def sent(sandbox):
    """The bodies of all create calls, as the stand-in understood them."""
    return [sandbox.response(one["id"])["request"] for one in sandbox.responses()]


def test_a_read_tool_runs_by_itself_and_its_output_goes_out_with_the_next_turn(
    driver, sandbox, ran
):
    script(sandbox, asks(("look", {"what": "tides", "times": 2})), final("Found it."))
    job = driver.settle(JobFactory(job_type=tools_type("look")))
    assert ran == [("look", "tides", 2)]
    attempt = job.attempts.get()
    assert (attempt.state, attempt.result.text) == (State.SUCCEEDED, "Found it.")
    first, second = attempt.turns.all()
    assert second.request["previous_response_id"] == first.response_id
    assert second.request["input"] == [
        {
            "type": "function_call_output",
            "call_id": "call_1",
            "output": json.dumps({"found": "tides found"}),
        }
    ]
    assert second.request["instructions"] == first.request["instructions"]
    assert second.request["tools"] == first.request["tools"]
    assert [tool["name"] for tool in first.request["tools"]] == ["look"]
    call = FunctionCall.objects.get()
    assert (call.state, call.outcome) == (CallState.ANSWERED, CallOutcome.DONE)
    assert job.status == Status.NEEDS_REVIEW
    assert job.open_gate.kind == GateKind.OUTPUT
    # People read what a tool does, not what it is called in code.
    assert job.events.get(verb=Verb.CALLS_ASKED).reason_text == "It asked for tools: Look up."


def test_all_turns_are_paid_for(driver, sandbox, ran):
    usage = payloads.usage(1_000_000, 0)
    script(sandbox, asks(("look", {"what": "tides"})), usage=usage)
    script(sandbox, final(), usage=usage)
    job = driver.settle(JobFactory(job_type=tools_type("look")))
    one, two = Turn.objects.values_list("cost_usd", flat=True)
    assert one == two and one > 0
    assert job.attempts.get().cost_usd == job.cost_usd == 2 * one


def test_several_calls_are_answered_in_their_order(driver, sandbox, ran):
    asked = asks(("look", {"what": "a"}), ("look", {"what": "b"}), ("look", {"what": "nothing"}))
    script(sandbox, asked, final())
    job = driver.settle(JobFactory(job_type=tools_type("look")))
    outputs = last_turn(job).request["input"]
    assert [one["call_id"] for one in outputs] == ["call_1", "call_2", "call_3"]
    assert "There is no such thing." in outputs[2]["output"]


@pytest.mark.parametrize(
    ("name", "arguments", "outcome", "told"),
    [
        ("look", {"what": 7}, CallOutcome.INVALID, "what: input should be a valid string"),
        ("look", {"what": "a", "colour": "red"}, CallOutcome.INVALID, "colour: extra inputs"),
        ("look", {}, CallOutcome.INVALID, "what: field required"),
        ("look", {"what": "a\0b"}, CallOutcome.INVALID, "cannot be stored"),
        ("look", "{not json", CallOutcome.INVALID, "arguments of look are"),
        ("look", "[" * 100_000, CallOutcome.INVALID, "arguments of look are"),
        ("ring", {"number": "1"}, CallOutcome.NOT_OFFERED, "There is no tool ring"),
        ("rm", {}, CallOutcome.NOT_OFFERED, "There is no tool rm"),
        ("look", {"what": "trouble"}, CallOutcome.FAILED, "look failed."),
    ],
)
def test_what_cannot_be_done_is_said_to_the_model(
    driver, sandbox, ran, name, arguments, outcome, told
):
    script(sandbox, asks((name, arguments)), final())
    job = driver.settle(JobFactory(job_type=tools_type("look")))
    call = FunctionCall.objects.get()
    assert call.outcome == outcome
    assert told in json.loads(call.output)["error"]
    assert job.attempts.get().state == State.SUCCEEDED


def test_only_the_allowed_tools_run_whatever_the_model_makes_of_it(driver, sandbox, ran):
    allowed = {
        "type": "allowed_tools",
        "mode": "auto",
        "tools": [{"type": "function", "name": "x"}],
    }
    script(sandbox, asks(("look", {"what": "tides"})), final())
    job_type = tools_type("look", version__options={"tool_choice": allowed})
    driver.settle(JobFactory(job_type=job_type))
    assert ran == []
    assert FunctionCall.objects.get().outcome == CallOutcome.NOT_OFFERED


def test_calls_beyond_the_types_limit_are_not_made(driver, sandbox, ran):
    script(sandbox, asks(("look", {"what": "a"}), ("look", {"what": "b"})))
    script(sandbox, asks(("look", {"what": "c"})), final())
    driver.settle(JobFactory(job_type=tools_type("look", max_calls=1)))
    assert ran == [("look", "a", 1)]
    outcomes = FunctionCall.objects.order_by("asked_at", "position").values_list(
        "outcome", flat=True
    )
    assert list(outcomes) == [CallOutcome.DONE, CallOutcome.OVER_LIMIT, CallOutcome.OVER_LIMIT]


def test_the_limit_of_hosted_calls_is_for_all_turns_together(driver, sandbox, ran):
    search = {"type": "web_search_call", "id": "ws_1", "status": "completed"}
    search["action"] = {"type": "search", "query": "tides", "queries": ["tides"]}
    script(sandbox, [search, *asks(("look", {"what": "a"}))])
    script(sandbox, [search, *asks(("look", {"what": "b"}))], final())
    tools = [{"type": "function", "name": "look"}, {"type": "web_search"}]
    job_type = JobTypeFactory(version__tools=tools, version__options={"max_tool_calls": 2})
    driver.settle(JobFactory(job_type=job_type))
    sent = [turn.request for turn in Turn.objects.order_by("number")]
    assert [body["max_tool_calls"] for body in sent] == [2, 1, 1]
    offered = [[tool["type"] for tool in body["tools"]] for body in sent]
    assert offered == [["function", "web_search"], ["function", "web_search"], ["function"]]


@pytest.mark.parametrize(
    ("choice", "left"),
    [
        ({"type": "web_search"}, "auto"),
        ({"type": "function", "name": "look"}, {"type": "function", "name": "look"}),
        ("required", "required"),
        (
            {
                "type": "allowed_tools",
                "mode": "auto",
                "tools": [{"type": "function", "name": "look"}, {"type": "web_search"}],
            },
            {
                "type": "allowed_tools",
                "mode": "auto",
                "tools": [{"type": "function", "name": "look"}],
            },
        ),
    ],
)
def test_no_choice_names_a_tool_that_is_used_up(driver, sandbox, ran, choice, left):
    search = {"type": "web_search_call", "id": "ws_1", "status": "completed"}
    script(sandbox, [search, *asks(("look", {"what": "a"}))], final())
    tools = [{"type": "function", "name": "look"}, {"type": "web_search"}]
    options = {"max_tool_calls": 1, "tool_choice": choice}
    job = JobFactory(job_type=JobTypeFactory(version__tools=tools, version__options=options))
    driver.settle(job)
    first, second = [turn.request for turn in Turn.objects.order_by("number")]
    assert first["tool_choice"] == choice
    assert [tool["type"] for tool in second["tools"]] == ["function"]
    assert second["tool_choice"] == left


def test_a_model_that_never_stops_asking_is_stopped_and_what_it_said_is_kept(driver, sandbox, ran):
    again = [*final("Still looking."), *asks(("look", {"what": "a"}))]
    script(sandbox, again, again, again)
    job = driver.settle(JobFactory(job_type=tools_type("look", max_turns=3)))
    attempt = job.attempts.get()
    assert (attempt.turns.count(), attempt.state) == (3, State.INCOMPLETE)
    assert (attempt.error_code, len(ran)) == ("turn_limit", 2)
    assert attempt.turns.last().request["tool_choice"] == "none"
    assert attempt.result.partial and attempt.result.text == "Still looking."
    assert job.status == Status.NEEDS_REVIEW
    assert "asked for tools as often as its type allows" in job.warnings[0]["text"]


def test_every_call_is_answered_however_many_there_are(driver, sandbox, ran):
    script(sandbox, asks(*[("look", {"what": str(at)}) for at in range(150)]), final())
    job = driver.settle(JobFactory(job_type=tools_type("look", max_calls=3)))
    assert len(last_turn(job).request["input"]) == 150
    assert (len(ran), job.attempts.get().state) == (3, State.SUCCEEDED)


def test_calls_leave_the_queue_room_for_the_sweeps(clock, settings):
    for _job in range(4):
        wants()
    FunctionCall.objects.update(state=CallState.READY, next_check_at=clock())

    def handed_out():
        calls.hand_out(clock())
        return [task for task in OrmQ.objects.all() if task.func() == calls.RUN]

    assert len(handed_out()) == settings.CALLS_AT_A_TIME
    first = handed_out()
    assert len(first) == settings.CALLS_AT_A_TIME, "there is no room yet"
    FunctionCall.objects.get(pk=first[0].kwargs()["call_id"]).delete()
    assert len(handed_out()) == settings.CALLS_AT_A_TIME + 1
    held = settings.CALLS_AT_A_TIME + settings.DELIVERIES_AT_A_TIME
    assert held < settings.Q_CLUSTER["workers"]


def test_handing_out_reads_no_answers(clock):
    wants()
    FunctionCall.objects.update(state=CallState.READY, next_check_at=clock())
    with CaptureQueriesContext(connection) as queries:
        calls.hand_out(clock())
    assert not any('"payload"' in query["sql"] for query in queries if "SELECT" in query["sql"])
    assert any("jobs_functioncall" in query["sql"] for query in queries)


def wanting(driver, sandbox, ran, *more, **type_fields):
    """A job that waits for a decision on `ring`."""
    script(sandbox, asks(("ring", {"number": "112"}), *more), final("It rang."))
    job = driver.settle(JobFactory(job_type=tools_type("ring", "look", **type_fields)))
    assert (job.status, job.open_gate.kind) == (Status.NEEDS_REVIEW, GateKind.TOOL_CALL)
    assert not any(run[0] == "ring" for run in ran)
    return job


def reviewer(job):
    return UserFactory(workspace=job.workspace, roles=[Role.REVIEWER])


def test_a_write_tool_waits_for_a_person_and_runs_once(driver, sandbox, clock, ran):
    job = wanting(driver, sandbox, ran)
    seen = job.open_gate.content_hash
    clock.advance(3600)
    decision = decide(job.pk, Ask(Ruling.APPROVE, reviewer(job), clock(), content_hash=seen))
    job.refresh_from_db()
    assert (job.status, job.reason_text) == (Status.RUNNING, "")
    assert job.finish_by == clock() + timedelta(seconds=job.job_type.finish_within)
    driver.settle(job)
    call = FunctionCall.objects.get()
    assert ran == [("ring", "112", str(call.pk))]
    assert decision.data == {
        "calls": [
            {
                "call_id": "call_1",
                "name": "ring",
                "approved": True,
                "edited": False,
                "hash": calls.call_hash(call, call.arguments),
            }
        ]
    }
    assert job.open_gate.kind == GateKind.OUTPUT
    assert job.attempts.get().result.text == "It rang."


def test_edited_arguments_are_what_runs_and_both_are_kept(driver, sandbox, clock, ran):
    job = wanting(driver, sandbox, ran)
    edited = json.dumps({"number": "110"})
    ask = Ask(Ruling.APPROVE, reviewer(job), clock(), verdicts={1: Verdict(arguments=edited)})
    decision = decide(job.pk, ask)
    driver.settle(job)
    call = FunctionCall.objects.get()
    assert [run[1] for run in ran] == ["110"]
    assert (json.loads(call.arguments)["number"], call.edited_arguments) == ("112", edited)
    assert decision.data["calls"][0]["edited"]
    assert decision.data["calls"][0]["hash"] == calls.call_hash(call, edited)


def test_arguments_that_do_not_fit_are_refused_and_nothing_is_decided(driver, sandbox, clock, ran):
    job = wanting(driver, sandbox, ran)
    wrong = {1: Verdict(arguments='{"number": 5}')}
    with pytest.raises(BadVerdict, match="number: input should be a valid string"):
        decide(job.pk, Ask(Ruling.APPROVE, reviewer(job), clock(), verdicts=wrong))
    job.refresh_from_db()
    assert (job.status, Decision.objects.count()) == (Status.NEEDS_REVIEW, 0)


def test_a_refused_call_is_not_made_and_the_model_reads_why(driver, sandbox, clock, ran):
    job = wanting(driver, sandbox, ran)
    decide(job.pk, Ask(Ruling.REFUSE, reviewer(job), clock(), note="Nobody is ill."))
    driver.settle(job)
    assert ran == []
    [answer] = last_turn(job).request["input"]
    assert "Nobody is ill." in answer["output"]
    assert job.attempts.get().result.text == "It rang."


def test_one_of_two_calls_may_be_refused(driver, sandbox, clock, ran):
    job = wanting(driver, sandbox, ran, ("ring", {"number": "999"}))
    verdicts = {2: Verdict(approved=False, reason="Once is enough.")}
    decision = decide(job.pk, Ask(Ruling.APPROVE, reviewer(job), clock(), verdicts=verdicts))
    driver.settle(job)
    assert [run[1] for run in ran] == ["112"]
    assert [one["approved"] for one in decision.data["calls"]] == [True, False]


def test_what_only_reads_does_not_wait_for_the_person(driver, sandbox, ran):
    wanting(driver, sandbox, ran, ("look", {"what": "tides"}))
    driver.work()
    assert ran == [("look", "tides", 1)]


def test_a_row_that_was_changed_behind_our_back_does_not_run(driver, sandbox, clock, ran):
    job = wanting(driver, sandbox, ran)
    decide(job.pk, Ask(Ruling.APPROVE, reviewer(job), clock()))
    FunctionCall.objects.update(arguments='{"number": "1-900"}')
    driver.settle(job)
    assert ran == []
    assert FunctionCall.objects.get().outcome == CallOutcome.REFUSED


@pytest.mark.parametrize("ruling", [Ruling.REJECT, Ruling.CANCEL, Ruling.RETRY])
def test_a_job_that_ends_otherwise_makes_no_call(driver, sandbox, clock, ran, ruling):
    job = wanting(driver, sandbox, ran)
    script(sandbox, final("Without ringing."))
    decide(job.pk, Ask(ruling, reviewer(job), clock(), note="No."))
    driver.settle(job)
    assert ran == []
    first = job.attempts.first()
    assert first.state == State.CANCELED
    assert first.cost_usd is not None
    assert job.cost_usd is not None
    assert (job.attempts.count() == 2) == (ruling is Ruling.RETRY)


def test_a_requester_does_not_approve_their_own_tool_call(driver, sandbox, clock, ran):
    job = wanting(driver, sandbox, ran)
    job.requester.memberships.create(workspace=job.workspace, role=Role.LEAD)
    with pytest.raises(Exception, match="somebody else must approve"):
        decide(job.pk, Ask(Ruling.APPROVE, job.requester, clock()))


def test_an_overdue_decision_expires_the_job_and_ends_its_attempt(driver, sandbox, clock, ran):
    job = wanting(driver, sandbox, ran, expire_overdue_review=True)
    clock.advance(job.job_type.review_within + 1)
    driver.tick()
    job.refresh_from_db()
    assert job.status == Status.EXPIRED
    assert job.attempts.get().state == State.CANCELED
    with pytest.raises(NotNow):
        decide(job.pk, Ask(Ruling.APPROVE, reviewer(job), clock()))


def test_a_cancel_between_turns_ends_the_job_at_once(driver, sandbox, clock, ran):
    job = wanting(driver, sandbox, ran)
    decide(job.pk, Ask(Ruling.APPROVE, reviewer(job), clock()))
    decide(job.pk, Ask(Ruling.CANCEL, job.requester, clock()))
    job.refresh_from_db()
    assert job.status == Status.CANCELED
    driver.work()
    assert ran == []
    assert sandbox.stats()["creates"] == 1


def test_a_cancel_while_the_next_turn_is_sent_cancels_that_response(driver, sandbox, clock, ran):
    script(sandbox, asks(("look", {"what": "tides"})))
    sandbox.script({"on": "create", "do": {"life": {"queued": 0, "running": 600}}})
    job = JobFactory(job_type=tools_type("look"))
    driver.until(lambda: Turn.objects.filter(number=2, response_id__isnull=False).exists())
    decide(job.pk, Ask(Ruling.CANCEL, job.requester, clock()))
    driver.settle(job)
    assert job.status == Status.CANCELED
    assert sandbox.stats()["by_status"] == {"completed": 1, "cancelled": 1}


def test_mcp_calls_wait_and_the_verdict_goes_out(driver, sandbox, clock, ran):
    request = {
        "type": "mcp_approval_request",
        "id": "mcpr_1",
        "name": "delete_page",
        "arguments": '{"page": 4}',
        "server_label": "wiki",
    }
    script(sandbox, [request], final("Deleted."))
    job = driver.settle(JobFactory())
    assert job.open_gate.kind == GateKind.TOOL_CALL
    assert "delete_page at wiki" in job.open_gate.reasons[0]["text"]
    decide(job.pk, Ask(Ruling.APPROVE, reviewer(job), clock()))
    driver.settle(job)
    assert last_turn(job).request["input"] == [
        {"type": "mcp_approval_response", "approval_request_id": "mcpr_1", "approve": True}
    ]


def test_an_email_leaves_once_it_is_approved_and_not_before(driver, sandbox, clock):
    script(sandbox, asks(("send_email", EMAIL)), final("Sent."))
    job = driver.settle(JobFactory(job_type=tools_type("send_email")))
    assert mail.outbox == []
    decide(job.pk, Ask(Ruling.APPROVE, reviewer(job), clock()))
    driver.settle(job)
    [message] = mail.outbox
    assert (message.to, message.subject, message.body) == (
        [EMAIL["to"]],
        EMAIL["subject"],
        EMAIL["body"],
    )
    assert FunctionCall.objects.get().pk.hex in message.extra_headers["Message-ID"]


def test_a_cancel_beats_the_tools_that_an_answer_asks_for(driver, sandbox, clock, ran):
    life = {"queued": 0, "running": 5, "output": asks(("look", {"what": "tides"}))}
    sandbox.script({"on": "create", "do": {"life": life}})
    sandbox.script({"on": "cancel", "do": {"cancel_lost": True}, "times": None})
    job = JobFactory(job_type=tools_type("look"))
    driver.work()
    decide(job.pk, Ask(Ruling.CANCEL, job.requester, clock()))
    driver.settle(job, steps=200)
    attempt = job.attempts.get()
    assert (job.status, ran, attempt.error_code) == (Status.CANCELED, [], "")
    assert not FunctionCall.objects.exists()


def test_a_retry_shows_what_was_done_before(driver, sandbox, clock, client, ran):
    job = wanting(driver, sandbox, ran)
    lead = UserFactory(workspace=job.workspace, roles=[Role.LEAD])
    decide(job.pk, Ask(Ruling.APPROVE, lead, clock()))
    driver.settle(job)
    script(sandbox, asks(("ring", {"number": "112"})))
    decide(job.pk, Ask(Ruling.REQUEST_CHANGES, lead, clock(), note="Again."))
    driver.settle(job)
    client.force_login(lead)
    page = client.get(f"/jobs/{job.ref}/review/").content.decode()
    assert "This job has called it before, in attempt 1" in page


def test_an_answer_that_comes_while_the_attempt_is_put_off_is_not_waited_for(clock):
    job = wants()
    turn = last_turn(job)
    was_due_at = turn.attempt.next_check_at
    nudged = clock.advance(1)
    turn.attempt.__class__.objects.update(next_check_at=nudged)
    lapses.not_ready(turn.pk, was_due_at=was_due_at, due_at=clock.advance(60))
    assert job.attempts.get().next_check_at == nudged


# What dies on the way -----------------------------------------------------------------------------


def test_a_task_that_the_queue_lost_is_handed_out_again(driver, sandbox, clock, ran):
    script(sandbox, asks(("look", {"what": "tides"})), final())
    driver.runs_tools = False
    job = JobFactory(job_type=tools_type("look"))
    driver.until(lambda: FunctionCall.objects.exists())
    driver.tick()
    assert driver.lost_tasks() == 1
    clock.advance(calls.NUDGE_AGAIN.total_seconds() + 1)
    driver.runs_tools = True
    driver.settle(job)
    assert ran == [("look", "tides", 1)]


def test_a_run_whose_process_died_is_not_run_again(driver, sandbox, clock, ran, monkeypatch):
    job = wanting(driver, sandbox, ran)
    decide(job.pk, Ask(Ruling.APPROVE, reviewer(job), clock()))

    def die(*_args, **_kwargs):
        ran.append(("died",))
        raise SystemExit

    with monkeypatch.context() as dying:
        dying.setattr(calls, "_outcome", die)
        with pytest.raises(SystemExit):
            calls.run(FunctionCall.objects.get().pk, clock=clock)
    clock.advance(600)
    driver.settle(job)
    assert ran == [("died",)]
    call = FunctionCall.objects.get()
    assert call.outcome == CallOutcome.INTERRUPTED
    assert "may have taken effect" in call.output
    [warning] = job.warnings
    assert warning["code"] == "call_in_doubt"
    assert warning["text"].startswith("Ring up: ")


def test_what_only_reads_is_run_once_too_whoever_dies(driver, sandbox, clock, ran, monkeypatch):
    script(sandbox, asks(("look", {"what": "tides"})), final())
    driver.runs_tools = False
    job = JobFactory(job_type=tools_type("look"))
    driver.until(lambda: FunctionCall.objects.exists())

    def die(*_args, **_kwargs):
        raise SystemExit

    # It has run, and nothing of that is written down.
    with monkeypatch.context() as dying, pytest.raises(SystemExit):
        dying.setattr(calls, "_answer", die)
        calls.run(FunctionCall.objects.get().pk, clock=clock)
    driver.runs_tools = True
    driver.settle(job)
    assert ran == [("look", "tides", 1)]
    assert FunctionCall.objects.get().outcome == CallOutcome.INTERRUPTED
    assert job.attempts.get().state == State.SUCCEEDED


def test_two_workers_with_the_same_task_run_it_once(driver, sandbox, ran):
    script(sandbox, asks(("look", {"what": "tides"})), final())
    driver.runs_tools = False
    job = JobFactory(job_type=tools_type("look"))
    driver.until(lambda: FunctionCall.objects.exists())
    call = FunctionCall.objects.get()
    for _worker in range(2):
        calls.run(call.pk, clock=driver.clock)
    driver.runs_tools = True
    driver.settle(job)
    assert ran == [("look", "tides", 1)]


def test_a_tool_that_takes_too_long_is_stopped(driver, sandbox, monkeypatch, ran):
    def dawdle(context: ToolContext) -> str:
        """Take your time."""
        while True:
            pass

    registry.tool(effect=CallEffect.READ, title="Dawdle", seconds=0.2)(dawdle)
    script(sandbox, asks(("dawdle", {})), final())
    driver.settle(JobFactory(job_type=tools_type("dawdle")))
    assert FunctionCall.objects.get().outcome == CallOutcome.TIMED_OUT


def test_a_kill_at_any_moment_of_the_loop_starts_no_turn_twice(driver, sandbox, clock, ran):
    """The sweep dies after every tick: with each call made, and none of its answers written."""
    script(sandbox, asks(("look", {"what": "tides"})), final("Found."))
    job = JobFactory(job_type=tools_type("look", unknown_wait=1))
    for _round in range(12):
        driver.sweep.tick()
        driver.run_tools()
        if driver.sweep.calls:
            kinds = {getattr(call, "kind", "") for call in driver.sweep.calls.values()}
            if kinds & {"create"}:
                driver.reach(lambda: not driver.sweep.calls)
                continue
        driver.drop_calls()
    driver.settle(job)
    assert sandbox.stats()["creates"] == 2
    assert set(sandbox.stats()["by_turn"].values()) == {1}
    assert ran == [("look", "tides", 1)]


def test_a_kill_at_any_moment_of_a_job_with_everything_does_all_of_it_once(
    driver, sandbox, clock, ran, settings
):
    """Documents that are searched, a tool that reads, one that writes, and live text; the sweep
    dies after every tick but those in which a create is on its way."""
    settings.INLINE_BYTES, settings.FILES_BYTES, settings.FILES_IN_REQUEST = 10, 20, 1
    uploads = tuple(Upload(f"{at}.txt", f"Part {at} of the tides.".encode()) for at in range(3))
    outputs = [asks(("look", {"what": "tides"})), asks(("ring", {"number": "112"})), final()]
    for output in outputs:
        life = {"queued": 0, "running": 1, "output": output}
        sandbox.script({"on": "create", "do": {"life": life}})
    job_type = tools_type("look", "ring", live=Live.STAFF, unknown_wait=1)
    job = JobFactory(job_type=job_type, uploads=uploads)

    def creates():
        return [call for call in driver.sweep.calls.values() if isinstance(call, engine.Call)]

    for _round in range(200):
        driver.tick()
        job.refresh_from_db()
        if job.open_gate and job.open_gate.kind == GateKind.OUTPUT:
            break
        if job.open_gate:
            decide(job.pk, Ask(Ruling.APPROVE, reviewer(job), clock()))
        if any(call.kind == "create" for call in creates()):
            driver.reach(lambda: not any(call.kind == "create" for call in creates()))
        else:
            driver.drop_calls()
    assert job.attempts.get().result.text == "Done."
    assert set(sandbox.stats()["by_turn"].values()) == {1}
    assert [run[0] for run in ran] == ["look", "ring"]
    assert (len(sandbox.files()), len(sandbox.vector_stores())) == (3, 1)
    decide(job.pk, Ask(Ruling.APPROVE, reviewer(job), clock()))
    driver.until(lambda: not sandbox.files() and not sandbox.vector_stores())


# Whatever is asked --------------------------------------------------------------------------------

_ids = st.sampled_from(["call_1", "call_2", "", "a" * 201, "\x00", "call/../1"]) | anything
_calls = st.fixed_dictionaries(
    {"type": st.sampled_from(["function_call", "custom_tool_call", "mcp_approval_request"])},
    optional={
        "id": _ids,
        "call_id": _ids,
        "name": st.sampled_from(["send_email", "search_library", "nothing"]) | anything,
        "arguments": st.sampled_from([json.dumps(EMAIL), '{"query": "tides"}', "{"]) | anything,
        "server_label": anything,
        "status": anything,
    },
)


@settings(max_examples=60)
@given(st.lists(_calls, max_size=4))
def test_whatever_is_asked_the_job_ends_or_goes_on_and_the_answer_is_kept(items):
    with transaction.atomic():
        job = JobFactory(job_type=tools_type("send_email", "search_library"))
        turn = start(job)
        body = payloads.response_object("completed", id=turn.response_id, output=items)
        outcomes.looked_up(turn.pk, read(json.dumps(body).encode()), now=NOW)
        job.refresh_from_db()
        turn.refresh_from_db()
        assert bytes(turn.payload) == json.dumps(body).encode()
        attempt = job.attempts.get()
        if job.status == Status.RUNNING:
            last = last_turn(job)
            assert (attempt.state, last.number) == (State.SUBMITTING, 2)
            waits_for = FunctionCall.objects.exclude(state=CallState.ANSWERED)
            assert waits_for.exists() or attempt.next_check_at == NOW
            json.dumps(requests.describe(last))
        elif job.open_gate.kind == GateKind.TOOL_CALL:
            assert attempt.state == State.SUBMITTING
            assert cards(job.open_gate)
        else:
            assert attempt.state == State.SUCCEEDED
        transaction.set_rollback(True)
