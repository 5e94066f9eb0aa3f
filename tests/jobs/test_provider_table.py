"""What the provider does, and what then becomes of the attempt and of the job.

Everything goes over real HTTP to the stand-in, which counts what it started.
"""

import json
from datetime import timedelta

import pytest
from django_q.models import OrmQ

from jobs import policy, tasks
from jobs.access import NotNow
from jobs.documents import Upload
from jobs.models import Cause, OnIncomplete, Review, Role, State, Status, Verb, WebhookReceipt
from jobs.operations import causes
from jobs.provider.errors import ACCOUNT_CODES
from reviews.models import Ruling
from tests import wire
from tests.driver import Driver
from tests.factories import JobFactory, JobTypeFactory, UserFactory, WorkspaceFactory
from tests.payloads import message, response_object, usage
from tests.steps import (
    lives,
    now_of,
    only_response,
    refusal,
    rules_on,
    run_out,
    verbs,
    webhook_names,
)

pytestmark = pytest.mark.usefixtures("nothing_paid_twice")

SCHEMA = {
    "type": "object",
    "properties": {"title": {"type": "string"}, "count": {"type": "integer"}},
    "required": ["title", "count"],
    "additionalProperties": False,
}


def on_create(sandbox, do, **rule):
    sandbox.script({"on": "create", "do": do, **rule})


# Refused before it was sent


@pytest.mark.parametrize("host", ["127.0.0.1", "nobody.invalid"])
def test_a_create_that_never_left_is_tried_again_with_growing_pauses(
    driver, sandbox, clock, job, host
):
    pauses = []
    with Driver(f"http://{host}:{wire.closed_port()}/v1", clock) as cut_off:
        for failures in (1, 2, 3):
            cut_off.work()
            job, attempt, turn = now_of(job)
            assert (attempt.state, attempt.failures) == (State.SUBMITTING, failures)
            assert turn.sent_at is None
            assert job.status == Status.QUEUED
            assert job.reason_code == "not_started_unreachable"
            assert "cannot be reached" in job.reason_text
            assert f"Next try at {attempt.next_check_at:%H:%M:%S} UTC" in job.reason_text
            pauses.append((attempt.next_check_at - clock()).total_seconds())
            clock.now = attempt.next_check_at
    assert 2 <= pauses[0] < pauses[1] < pauses[2]
    # Said once, however often it happens.
    assert verbs(job) == [Verb.SUBMITTED, Verb.WAITING]
    driver.settle(job)
    job, attempt, turn = now_of(job)
    assert (attempt.state, job.status, job.reason_text) == (State.SUCCEEDED, Status.COMPLETED, "")
    assert sandbox.stats()["creates"] == 1


# Nobody knows whether it started

UNANSWERED = {
    "the connection closes before the work": {"drop": "before"},
    "the connection closes after the work": {"drop": "after"},
    "a time-out": {"hang": 20},
    "a 500": refusal(500),
    "a 502 from a proxy": {"raw": "<html>Bad gateway</html>", "status": 502},
    "a 503 that does not say that it is overloaded": refusal(503),
    "a 200 that is not JSON": {"raw": "<html>Welcome</html>"},
    "a 200 without an id": {"raw": '{"id": null, "status": "queued"}'},
}


@pytest.mark.parametrize("do", UNANSWERED.values(), ids=UNANSWERED)
def test_a_create_without_an_answer_may_have_started_and_is_never_sent_again(
    hasty, sandbox, clock, job, do
):
    on_create(sandbox, do)
    sent_at = clock()
    hasty.work()
    job, attempt, turn = now_of(job)
    assert attempt.state == State.UNKNOWN
    assert attempt.next_check_at == sent_at + timedelta(seconds=60)
    assert turn.sent_at == sent_at and turn.response_id is None
    assert (job.status, job.reason_code) == (Status.RUNNING, "may_have_started")
    assert "may have started" in job.reason_text
    assert f"until {attempt.next_check_at:%H:%M:%S} UTC" in job.reason_text

    hasty.settle(job)
    job, attempt, turn = now_of(job)
    assert clock() == sent_at + timedelta(seconds=60)
    assert attempt.state == State.FAILED
    assert (job.status, job.reason_code) == (Status.FAILED, "submit_outcome_unknown")
    assert "may pay for the same work twice" in job.reason_text
    assert job.cost_usd is None
    assert verbs(job) == [Verb.SUBMITTED, Verb.STARTED, Verb.FAILED]
    run_out(hasty)
    assert sandbox.stats()["creates"] == 1


@pytest.mark.parametrize("breaking", [wire.hang_up, wire.reset, wire.break_off, wire.babble])
def test_a_connection_that_breaks_after_sending_is_not_one_that_never_began(clock, job, breaking):
    with wire.raw_server(breaking) as base_url, Driver(base_url, clock) as broken:
        broken.work()
    _job, attempt, turn = now_of(job)
    assert (attempt.state, attempt.error_code) == (State.UNKNOWN, "no_answer")
    assert turn.sent_at


def test_the_wait_for_an_unknown_submit_is_the_types_and_counts_from_the_sending(
    driver, sandbox, clock
):
    job = JobFactory(now=clock(), job_type__unknown_wait=300)
    on_create(sandbox, refusal(500))
    with driver.holding("create"):
        driver.reach(lambda: sandbox.stats()["creates"] == 1)
        sent_at = clock()
        clock.advance(10)
    driver.work()
    job, attempt, _turn = now_of(job)
    assert attempt.next_check_at == sent_at + timedelta(seconds=300)
    assert f"until {attempt.next_check_at:%H:%M:%S} UTC" in job.reason_text


def test_a_lost_answer_is_found_by_a_webhook_and_its_metadata(driver, sandbox, clock, job):
    on_create(sandbox, {"drop": "after"})
    driver.work()
    assert now_of(job)[1].state == State.UNKNOWN
    clock.advance(5)
    receipt = webhook_names(only_response(sandbox), clock)
    driver.settle(job)
    job, attempt, turn = now_of(job)
    receipt.refresh_from_db()
    assert (receipt.outcome, receipt.next_check_at) == ("adopted", None)
    assert turn.response_id == only_response(sandbox)
    assert (attempt.state, job.status) == (State.SUCCEEDED, Status.COMPLETED)
    assert attempt.result.deliverable
    assert job.cost_usd is not None
    assert job.reason_text == ""
    assert verbs(job) == [Verb.SUBMITTED, Verb.STARTED, Verb.ADOPTED, Verb.COMPLETED]
    assert sandbox.stats()["creates"] == 1


def test_a_lost_answer_that_still_runs_is_adopted_and_followed(driver, sandbox, clock, job):
    on_create(sandbox, {"drop": "after", "life": {"end": "never"}})
    driver.work()
    clock.advance(5)
    webhook_names(only_response(sandbox), clock)
    driver.work()
    job, attempt, _turn = now_of(job)
    assert (attempt.state, job.status, job.reason_code) == (State.LIVE, Status.RUNNING, "")
    assert attempt.next_check_at - clock() <= timedelta(seconds=2)


def test_a_lookup_of_a_lost_answer_is_repeated_until_it_is_answered(driver, sandbox, clock, job):
    on_create(sandbox, {"drop": "after"})
    sandbox.script({"on": "retrieve", "times": 3, "do": refusal(500)})
    driver.work()
    receipt = webhook_names(only_response(sandbox), clock)
    driver.settle(job)
    receipt.refresh_from_db()
    assert (receipt.outcome, receipt.failures) == ("adopted", 3)
    assert job.status == Status.COMPLETED


def test_a_response_of_somebody_else_is_not_adopted(driver, sandbox, clock, job):
    on_create(sandbox, refusal(500))
    driver.work()
    _job, attempt, turn = now_of(job)
    named = {"job": str(job.pk), "attempt": str(attempt.pk), "turn": str(turn.pk)}
    strange = [
        {},
        {"turn": "nonsense"},
        named | {"turn": str(job.pk)},
        named | {"job": str(attempt.pk)},
        {"turn": str(turn.pk)},
    ]
    for number, metadata in enumerate(strange):
        response_id = f"resp_strange_{number}"
        body = json.dumps(response_object(id=response_id, metadata=metadata))
        match = {"response_id": response_id}
        sandbox.script({"on": "retrieve", "match": match, "do": {"raw": body}})
        webhook_names(response_id, clock)
    webhook_names("resp_of_nobody", clock)
    driver.work()
    outcomes = WebhookReceipt.objects.order_by("webhook_id").values_list("outcome", flat=True)
    assert list(outcomes) == ["", *["not ours"] * len(strange)], "a 404 is looked at again"
    assert now_of(job)[1].state == State.UNKNOWN


def test_a_second_response_for_one_turn_is_reported_and_changes_nothing(
    driver, sandbox, clock, job, caplog
):
    lives(sandbox, end="never")
    driver.work()
    _job, attempt, turn = now_of(job)
    named = {"job": str(job.pk), "attempt": str(attempt.pk), "turn": str(turn.pk)}
    body = json.dumps(response_object(id="resp_second", metadata=named))
    sandbox.script({"on": "retrieve", "match": {"response_id": "resp_second"}, "do": {"raw": body}})
    receipt = webhook_names("resp_second", clock)
    driver.work()
    receipt.refresh_from_db()
    job, attempt, turn = now_of(job)
    assert receipt.outcome == "second response"
    assert (attempt.state, turn.response_id) == (State.LIVE, only_response(sandbox))
    assert job.events.get(verb=Verb.LATE_ANSWER).reason_code == "second_response"
    assert "a second response" in caplog.text


def test_a_retry_of_an_unknown_submit_is_a_turn_of_its_own(driver, sandbox, clock, job):
    on_create(sandbox, {"drop": "after"})
    driver.settle(job)
    assert "A retry may pay for the same work twice." in job.reason_text
    rules_on(job, Ruling.RETRY, clock)
    driver.settle(job)
    job, attempt, _turn = now_of(job)
    assert (attempt.number, attempt.cause, job.status) == (2, Cause.RETRY, Status.COMPLETED)
    assert sorted(sandbox.stats()["by_turn"].values()) == [1, 1]
    assert job.cost_usd is None  # what the first one cost is not known


def test_a_late_result_of_a_given_up_submit_is_offered(driver, sandbox, clock, job):
    on_create(sandbox, {"drop": "after"})
    driver.settle(job)
    assert job.reason_code == "submit_outcome_unknown"
    with pytest.raises(NotNow, match="no late result"):
        rules_on(job, Ruling.USE_RESULT, clock)
    clock.advance(3600)
    webhook_names(only_response(sandbox), clock)
    driver.work()
    job, attempt, turn = now_of(job)
    assert (job.status, attempt.state) == (Status.FAILED, State.FAILED)
    assert "its result is here: use it, or retry" in job.reason_text
    assert verbs(job)[-2:] == [Verb.LATE_ANSWER, Verb.LATE_ANSWER]
    assert turn.payload and attempt.result.deliverable
    assert job.cost_usd == attempt.cost_usd > 0

    rules_on(job, Ruling.USE_RESULT, clock)
    job.refresh_from_db()
    assert job.status == Status.NEEDS_REVIEW
    assert job.open_gate.content_hash == attempt.result.content_hash
    run_out(driver)
    assert sandbox.stats()["creates"] == 1


def test_a_late_result_of_a_canceled_unknown_submit_is_never_delivered(driver, sandbox, clock, job):
    on_create(sandbox, {"drop": "after"})
    driver.work()
    rules_on(job, Ruling.CANCEL, clock)
    driver.settle(job)
    assert job.status == Status.CANCELED
    webhook_names(only_response(sandbox), clock)
    driver.work()
    job, attempt, _turn = now_of(job)
    assert (job.status, job.reason_code) == (Status.CANCELED, "canceled_by_person")
    assert not attempt.result.deliverable


def test_a_late_result_that_comes_after_a_retry_is_evidence_only(driver, sandbox, clock, job):
    on_create(sandbox, {"drop": "after"})
    driver.settle(job)
    first, lost = job.attempts.get(), only_response(sandbox)
    rules_on(job, Ruling.RETRY, clock)
    lives(sandbox, end="never")
    driver.work()
    webhook_names(lost, clock)
    driver.work()
    job, attempt, _turn = now_of(job)
    assert (job.status, attempt.state) == (Status.RUNNING, State.LIVE)
    assert not first.result.deliverable


def test_a_type_that_may_pay_twice_starts_again_by_itself(driver, sandbox, clock):
    job = JobFactory(now=clock(), job_type__may_pay_twice=True)
    on_create(sandbox, {"drop": "after"})
    driver.settle(job)
    job, attempt, _turn = now_of(job)
    assert (attempt.number, attempt.cause) == (2, Cause.AUTOMATIC)
    assert job.status == Status.NEEDS_REVIEW
    assert sorted(sandbox.stats()["by_turn"].values()) == [1, 1]


# Not now


@pytest.mark.parametrize(
    ("do", "asked"),
    [
        (refusal(429, "rate_limit_exceeded", headers={"retry-after": "90"}), 90),
        (refusal(429, "slow_down"), 2),
        (refusal(503, "server_is_overloaded", headers={"retry-after": "45"}), 45),
        (refusal(503, type="service_unavailable_error"), 2),
        (refusal(503, headers={"retry-after-ms": "7500"}), 7.5),
    ],
)
def test_a_busy_provider_is_asked_again_no_sooner_than_it_wants(
    driver, sandbox, clock, job, do, asked
):
    on_create(sandbox, do)
    driver.work()
    job, attempt, turn = now_of(job)
    assert (attempt.state, turn.sent_at, job.status) == (State.SUBMITTING, None, Status.QUEUED)
    assert attempt.next_check_at >= clock() + timedelta(seconds=asked)
    assert job.reason_code.startswith("not_started_")
    assert "taken it yet: No, said the provider. Next try at" in job.reason_text
    clock.now = attempt.next_check_at - timedelta(seconds=0.1)
    driver.work()
    assert sandbox.stats()["creates"] == 1
    driver.settle(job)
    assert (job.status, job.reason_code) == (Status.COMPLETED, "")
    assert sandbox.stats()["creates"] == 2
    assert verbs(job) == [Verb.SUBMITTED, Verb.WAITING, Verb.STARTED, Verb.COMPLETED]


# Never


@pytest.mark.parametrize(
    "do",
    [
        refusal(401, "invalid_api_key"),
        refusal(403),
        refusal(429, "insufficient_quota"),
        refusal(429, type="insufficient_quota"),
        refusal(429, "organization_spend_limit_exceeded"),
    ],
)
def test_a_refused_account_fails_the_job_and_alerts_the_operators(driver, sandbox, job, do):
    on_create(sandbox, do)
    driver.settle(job)
    job, attempt, _turn = now_of(job)
    assert (attempt.state, job.status) == (State.FAILED, Status.FAILED)
    assert job.reason_text == "No, said the provider."
    assert job.cost_usd == 0
    (queued,) = alerts()
    assert queued.task["func"] == "jobs.tasks.alert_operators"
    said = {"code": job.reason_code, "text": job.reason_text, "ref": job.ref}
    assert queued.task["kwargs"] == said
    run_out(driver)
    assert sandbox.stats()["creates"] == 1


def test_an_answer_that_ends_for_want_of_credit_alerts_the_operators(driver, sandbox, job):
    lives(sandbox, end="failed", error={"code": "insufficient_quota", "message": "No credit."})
    driver.settle(job)
    assert (job.status, job.reason_code) == (Status.FAILED, "insufficient_quota")
    assert [queued.task["kwargs"]["code"] for queued in alerts()] == ["insufficient_quota"]


def test_a_refused_upload_alerts_the_operators(driver, sandbox, settings):
    settings.INLINE_BYTES = 10
    error = {"message": "No such key.", "code": "invalid_api_key", "type": "invalid_request_error"}
    sandbox.script({"on": "upload", "do": {"status": 401, "error": error}})
    job = driver.settle(JobFactory(uploads=(Upload("notes.txt", b"Low tide is at noon."),)))
    assert (job.status, job.reason_code) == (Status.FAILED, "invalid_api_key")
    assert [queued.task["kwargs"]["code"] for queued in alerts()] == ["invalid_api_key"]


def test_what_is_told_of_as_the_accounts_alerts_the_operators():
    assert causes.ACCOUNT.keys() == ACCOUNT_CODES


def alerts():
    """The alerts that wait in the queue."""
    waiting = OrmQ.objects.order_by("id")
    return [task for task in waiting if task.func() == "jobs.tasks.alert_operators"]


def work_and_alert(driver):
    """All that is due, and only then the alerts that were queued by it."""
    driver.work()
    for queued in alerts():
        tasks.alert_operators(**queued.task["kwargs"])
    OrmQ.objects.all().delete()


def test_operators_hear_once_of_an_account_that_fails_every_job(
    driver, sandbox, clock, mailoutbox, settings
):
    settings.OPERATORS = ["duty@example.com"]
    workspace = WorkspaceFactory()
    operator = UserFactory(workspace=workspace, roles=[Role.OPERATOR])
    UserFactory(workspace=workspace, roles=[Role.REVIEWER])
    UserFactory(workspace=WorkspaceFactory(), roles=[Role.OPERATOR])
    on_create(sandbox, refusal(401, "invalid_api_key"), times=None)
    jobs = [JobFactory(now=clock(), workspace=workspace) for _ in range(3)]
    work_and_alert(driver)
    (mail,) = mailoutbox
    assert sorted(mail.to) == ["duty@example.com", operator.email]
    assert "invalid_api_key" in mail.subject
    assert "No, said the provider." in mail.body
    assert any(job.ref in mail.body for job in jobs)

    clock.advance(5 * 60)
    JobFactory(now=clock(), workspace=workspace)
    work_and_alert(driver)
    assert len(mailoutbox) == 1

    clock.advance(11 * 60)
    JobFactory(now=clock(), workspace=workspace)
    work_and_alert(driver)
    assert len(mailoutbox) == 2


def test_operators_of_each_workspace_hear_of_a_refused_account(driver, sandbox, clock, mailoutbox):
    on_create(sandbox, refusal(401, "invalid_api_key"), times=None)
    operators = []
    for workspace in (WorkspaceFactory(), WorkspaceFactory()):
        operators.append(UserFactory(workspace=workspace, roles=[Role.OPERATOR]).email)
        JobFactory(now=clock(), workspace=workspace)
    work_and_alert(driver)
    assert sorted(address for mail in mailoutbox for address in mail.to) == sorted(operators)


def test_an_alert_with_nobody_to_tell_is_no_error(driver, sandbox, job, mailoutbox):
    on_create(sandbox, refusal(403))
    work_and_alert(driver)
    assert now_of(job)[0].status == Status.FAILED
    assert mailoutbox == []


@pytest.mark.parametrize("status", [400, 404, 422])
def test_a_refused_request_fails_with_the_providers_sentence(driver, sandbox, job, status):
    on_create(sandbox, refusal(status, "bad", message="Invalid value: 'x'."))
    driver.settle(job)
    job, attempt, turn = now_of(job)
    assert (attempt.state, job.status) == (State.FAILED, Status.FAILED)
    assert (job.reason_code, job.reason_text) == ("bad", "Invalid value: 'x'.")
    assert job.cost_usd == 0 and turn.response_id is None
    assert verbs(job) == [Verb.SUBMITTED, Verb.FAILED]
    assert alerts() == []
    run_out(driver)
    assert sandbox.stats()["creates"] == 1


# Ended in the answer to the create


@pytest.mark.parametrize(
    ("life", "state", "status"),
    [
        ({"end": "completed"}, State.SUCCEEDED, Status.COMPLETED),
        ({"end": "incomplete"}, State.INCOMPLETE, Status.NEEDS_REVIEW),
        (
            {"end": "failed", "error": {"code": "invalid_prompt", "message": "No."}},
            State.FAILED,
            Status.FAILED,
        ),
        ({"end": "cancelled"}, State.CANCELED, Status.CANCELED),
    ],
)
def test_an_end_in_the_answer_to_the_create_is_an_end(
    driver, sandbox, clock, job, life, state, status
):
    lives(sandbox, at_once=True, **life)
    driver.work()
    job, attempt, turn = now_of(job)
    assert (attempt.state, job.status) == (state, status)
    assert attempt.submitted_at == attempt.ended_at == turn.ended_at == clock()
    assert json.loads(bytes(turn.payload))["status"] == life["end"]
    run_out(driver)
    assert sandbox.stats()["retrieves"] == 0


# Completed

REFUSAL = [message("") | {"content": [{"type": "refusal", "refusal": "I will not."}]}]


@pytest.mark.parametrize(
    ("review", "life", "status", "reasons"),
    [
        (Review.ALWAYS, {}, Status.NEEDS_REVIEW, ["always"]),
        (Review.ALWAYS, {"output": REFUSAL}, Status.NEEDS_REVIEW, ["always", "warnings"]),
        (Review.RULES, {}, Status.COMPLETED, []),
        (Review.RULES, {"output": REFUSAL}, Status.NEEDS_REVIEW, ["warnings"]),
        (Review.NEVER, {}, Status.COMPLETED, []),
        (Review.NEVER, {"output": REFUSAL}, Status.COMPLETED, []),
    ],
)
def test_a_completed_response_is_reviewed_as_the_type_says(
    driver, sandbox, clock, review, life, status, reasons
):
    job = JobFactory(now=clock(), job_type__review=review)
    lives(sandbox, end="completed", **life)
    driver.settle(job)
    job, attempt, turn = now_of(job)
    assert (attempt.state, job.status) == (State.SUCCEEDED, status)
    said = job.open_gate.reasons if job.open_gate else []
    assert [reason["code"] for reason in said] == reasons
    assert bool(job.warnings) == ("output" in life)
    assert job.cost_usd == attempt.cost_usd
    assert verbs(job)[-1] == (Verb.REVIEW_ASKED if reasons else Verb.COMPLETED)
    assert json.loads(bytes(turn.payload))["id"] == turn.response_id
    run_out(driver)


def test_a_completed_response_without_a_word_is_a_warning(driver, sandbox, job):
    lives(sandbox, end="completed", output=[])
    driver.settle(job)
    assert job.status == Status.NEEDS_REVIEW
    assert [warning["code"] for warning in job.warnings] == ["empty"]


def test_steps_alone_are_no_result(driver, sandbox, job):
    search = {"type": "web_search_call", "id": "ws_1", "status": "completed"}
    lives(sandbox, end="completed", output=[search])
    driver.settle(job)
    assert job.status == Status.NEEDS_REVIEW
    assert [warning["code"] for warning in job.warnings] == ["empty"]


def test_the_cost_is_that_of_the_usage(driver, sandbox, job):
    lives(sandbox, end="completed", usage=usage(100_000, 50_000))
    driver.settle(job)
    assert job.cost_usd == 1  # dollars, by the prices of the day of the clock


# Incomplete


@pytest.mark.parametrize("review", Review)
@pytest.mark.parametrize(
    ("reason", "said"), [("max_output_tokens", "token limit"), ("content_filter", "content filter")]
)
def test_an_incomplete_answer_is_reviewed_as_a_partial_result(
    driver, sandbox, clock, review, reason, said
):
    job = JobFactory(now=clock(), job_type__review=review)
    lives(sandbox, end="incomplete", incomplete_reason=reason)
    driver.settle(job)
    job, attempt, _turn = now_of(job)
    assert (attempt.state, job.status) == (State.INCOMPLETE, Status.NEEDS_REVIEW)
    assert job.open_gate.reasons[0]["code"] == "incomplete"
    assert attempt.result.partial and attempt.result.deliverable
    assert job.warnings[0]["code"] == "incomplete" and said in job.warnings[0]["text"]


def test_an_incomplete_answer_fails_where_the_type_says_so(driver, sandbox, clock):
    job = JobFactory(now=clock(), job_type__on_incomplete=OnIncomplete.FAIL)
    lives(sandbox, end="incomplete")
    driver.settle(job)
    job, attempt, _turn = now_of(job)
    assert (attempt.state, job.status) == (State.INCOMPLETE, Status.FAILED)
    assert (job.reason_code, "max_output_tokens" in job.reason_text) == ("incomplete", True)
    assert attempt.result.partial
    assert job.cost_usd is not None


# Failed


@pytest.mark.parametrize("code", sorted(policy.TRANSIENT))
def test_a_passing_fault_is_tried_again_until_the_attempts_are_used_up(
    driver, sandbox, clock, job, code
):
    lives(sandbox, times=3, end="failed", error={"code": code, "message": "Busy."})
    for number, least in ((1, 4), (2, 8)):
        while job.attempts.count() == number:
            assert driver.step()
        job, attempt, _turn = now_of(job)
        assert (job.status, job.reason_code) == (Status.QUEUED, code)
        assert f"Busy. Tried again at {attempt.next_check_at:%H:%M:%S} UTC" in job.reason_text
        assert f"as number {number + 1}." in job.reason_text
        assert (attempt.cause, attempt.state) == (Cause.AUTOMATIC, State.SUBMITTING)
        assert attempt.next_check_at >= clock() + timedelta(seconds=least)
    driver.settle(job)
    assert (job.status, job.reason_code, job.reason_text) == (Status.FAILED, code, "Busy.")
    assert [a.state for a in job.attempts.all()] == [State.FAILED] * 3
    assert verbs(job).count(Verb.RETRYING) == 2
    assert sorted(sandbox.stats()["by_turn"].values()) == [1, 1, 1]


def test_a_passing_fault_passes(driver, sandbox, job):
    lives(sandbox, end="failed", error={"code": "server_error", "message": "Busy."})
    driver.settle(job)
    assert (job.status, job.reason_code) == (Status.COMPLETED, "")
    assert [a.state for a in job.attempts.all()] == [State.FAILED, State.SUCCEEDED]


def test_a_retry_by_a_person_gives_a_failed_job_a_new_series(driver, sandbox, clock, job):
    lives(sandbox, times=4, end="failed", error={"code": "server_error", "message": "Busy."})
    driver.settle(job)
    rules_on(job, Ruling.RETRY, clock)
    driver.settle(job)
    assert job.status == Status.COMPLETED
    assert [a.cause for a in job.attempts.all()][3:] == [Cause.RETRY, Cause.AUTOMATIC]


def test_an_automatic_retry_is_not_held_to_the_moment_to_start_by(driver, sandbox, clock):
    """It did start: what counts from then on is when it must have finished."""
    job_type = JobTypeFactory(start_within=60, finish_within=7200)
    job = JobFactory(now=clock(), job_type=job_type)
    lives(sandbox, end="failed", error={"code": "server_error", "message": "Busy."})
    driver.work()
    clock.advance(600)
    driver.settle(job)
    assert job.status == Status.NEEDS_REVIEW
    assert job.attempts.count() == 2


@pytest.mark.parametrize("code", ["invalid_prompt", "bio_policy", "a_code_of_tomorrow"])
def test_any_other_fault_fails_at_once(driver, sandbox, job, code):
    lives(sandbox, end="failed", error={"code": code, "message": "Not this."})
    driver.settle(job)
    job, attempt, _turn = now_of(job)
    assert (attempt.number, attempt.state) == (1, State.FAILED)
    assert (job.status, job.reason_code, job.reason_text) == (Status.FAILED, code, "Not this.")


# Canceled, not by us


def test_a_response_that_the_provider_canceled_says_so(driver, sandbox, job):
    lives(sandbox, end="cancelled")
    driver.settle(job)
    job, attempt, _turn = now_of(job)
    assert (attempt.state, job.status) == (State.CANCELED, Status.CANCELED)
    assert job.reason_code == "by_provider"
    assert "by OpenAI" in job.reason_text
    assert job.cost_usd is None


# Gone


def test_a_response_that_is_gone_is_lost_after_a_second_look(driver, sandbox, clock, job):
    lives(sandbox, end="vanish")
    driver.until(lambda: now_of(job)[1].missing_since)
    job, attempt, _turn = now_of(job)
    assert (attempt.state, job.status) == (State.LIVE, Status.RUNNING)
    first_look = clock()
    driver.settle(job)
    job, attempt, turn = now_of(job)
    assert timedelta(seconds=0) < clock() - first_look <= timedelta(seconds=15)
    assert (attempt.state, job.status) == (State.LOST, Status.FAILED)
    assert job.reason_code == "lost_at_provider"
    assert job.reason_text == "OpenAI no longer has the answer."
    assert turn.response_id
    assert job.cost_usd is None
    run_out(driver)
    assert sandbox.stats()["creates"] == 1


def test_a_single_404_is_not_believed(driver, sandbox, job):
    lives(sandbox, end="never")
    sandbox.script({"on": "retrieve", "do": {"not_found": True}})
    driver.until(lambda: now_of(job)[1].missing_since)
    driver.step()
    job, attempt, _turn = now_of(job)
    assert (attempt.state, attempt.missing_since) == (State.LIVE, None)
    # Nor is one much later, that follows no other.
    sandbox.script({"on": "retrieve", "do": {"not_found": True}})
    driver.until(lambda: now_of(job)[1].missing_since)
    driver.step()
    job, attempt, _turn = now_of(job)
    assert (attempt.state, job.status) == (State.LIVE, Status.RUNNING)


# Silent

SILENT = {
    "a 500": refusal(500),
    "a 503": refusal(503),
    "a 429": refusal(429, "rate_limit_exceeded"),
    "no answer": {"drop": "before"},
    "no JSON": {"raw": "<html>"},
}


@pytest.mark.parametrize("do", SILENT.values(), ids=SILENT)
def test_a_silent_provider_is_asked_on_and_said_to_be_silent_after_three_times(
    driver, sandbox, clock, job, do
):
    lives(sandbox, end="never")
    driver.work()
    sandbox.script({"on": "retrieve", "times": None, "do": do})
    for failures in (1, 2, 3, 4):
        assert driver.step()
        job, attempt, _turn = now_of(job)
        assert (attempt.state, attempt.failures) == (State.LIVE, failures)
        assert attempt.next_check_at > clock()
        assert job.status == Status.RUNNING
        assert job.reason_code == ("provider_silent" if failures >= 3 else "")
    assert "has not answered 4 times" in job.reason_text
    assert f"last heard of at {attempt.last_heard_at:%H:%M:%S} UTC" in job.reason_text
    sandbox.clear_rules()
    driver.step()
    job, attempt, _turn = now_of(job)
    assert (attempt.failures, job.reason_code, job.reason_text) == (0, "", "")
    assert verbs(job) == [Verb.SUBMITTED, Verb.STARTED, Verb.WAITING]


def test_a_refused_key_while_a_job_runs_is_told_to_the_operators_once(driver, sandbox, job):
    lives(sandbox, end="never")
    driver.work()
    sandbox.script({"on": "retrieve", "times": None, "do": refusal(401, "invalid_api_key")})
    for _failure in range(5):
        driver.step()
    job, attempt, _turn = now_of(job)
    assert (attempt.state, job.status) == (State.LIVE, Status.RUNNING)
    assert job.reason_code == "invalid_api_key"
    (queued,) = alerts()
    assert queued.task["func"] == "jobs.tasks.alert_operators"
    assert queued.task["kwargs"]["ref"] == job.ref
    sandbox.clear_rules()
    driver.step()
    assert now_of(job)[0].reason_code == ""


def test_a_lookup_that_is_not_answered_in_time_is_repeated(driver, hasty, sandbox, job):
    driver.work()
    sandbox.script({"on": "retrieve", "do": {"hang": 20}})
    hasty.step()
    job, attempt, _turn = now_of(job)
    assert (attempt.state, attempt.failures, job.status) == (State.LIVE, 1, Status.RUNNING)
    driver.settle(job)
    assert job.status == Status.COMPLETED


def test_a_lookup_is_not_repeated_sooner_than_the_provider_wants(driver, sandbox, clock, job):
    lives(sandbox, end="never")
    driver.work()
    sandbox.script({"on": "retrieve", "do": refusal(429, headers={"retry-after": "120"})})
    driver.step()
    assert now_of(job)[1].next_check_at >= clock() + timedelta(seconds=120)


# Never seen before


def test_an_unknown_status_is_still_running(driver, sandbox, clock, job):
    lives(sandbox, end="levitating")
    for _step in range(3):
        driver.step()
        job, attempt, turn = now_of(job)
        assert (attempt.state, job.status) == (State.LIVE, Status.RUNNING)
        assert attempt.next_check_at > clock()
    assert job.progress_message == "OpenAI is working on it"
    assert turn.provider_status == "levitating"


def test_unknown_items_and_annotations_are_kept(driver, sandbox, job):
    smell = {"type": "smell_citation", "strength": 3}
    hologram = {"type": "hologram", "id": "holo_1", "depth": [1, 2]}
    lives(sandbox, end="completed", output=[hologram, message("So.", annotations=[smell])])
    driver.settle(job)
    job, attempt, _turn = now_of(job)
    assert job.status == Status.COMPLETED
    assert attempt.result.text == "So."
    assert attempt.result.tool_calls.get().raw == hologram
    assert attempt.result.citations.get().raw == smell


def test_an_answer_with_what_no_database_stores_is_kept(driver, sandbox, job):
    said = message("A\x00B \ud800 C", annotations=[{"type": "x\x00", "n": float("nan")}])
    driver.work()
    response_id = now_of(job)[2].response_id
    body = json.dumps(response_object(id=response_id, output=[said], model="m\x00")).encode()
    sandbox.script({"on": "retrieve", "do": {"raw": body.decode()}})
    driver.settle(job)
    job, attempt, turn = now_of(job)
    assert attempt.state == State.SUCCEEDED
    assert attempt.result.text == "A\ufffdB \ufffd C"
    assert bytes(turn.payload) == body


def test_output_that_violates_its_schema_is_reviewed_with_each_path(driver, sandbox, clock):
    job_type = JobTypeFactory(review=Review.RULES, version__output_schema=SCHEMA)
    job = JobFactory(now=clock(), job_type=job_type)
    lives(sandbox, end="completed", output_text='{"title": 3, "count": "many"}')
    driver.settle(job)
    job, attempt, _turn = now_of(job)
    assert (attempt.state, job.status) == (State.SUCCEEDED, Status.NEEDS_REVIEW)
    paths = [(warning["code"], warning["path"]) for warning in job.warnings]
    assert paths == [("schema_violation", "$.count"), ("schema_violation", "$.title")]
    assert attempt.result.structured == {"title": 3, "count": "many"}
