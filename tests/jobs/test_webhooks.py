"""The webhook door: what is genuine is written down, and nothing else changes anything."""

import base64
import hmac
import json
from datetime import timedelta

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from standardwebhooks import Webhook

from jobs import webhooks
from jobs.models import Attempt, State, Status, Turn, Verb, WebhookReceipt
from tests.factories import JobFactory, finish, start
from tests.steps import lives, now_of, only_response, run_out, verbs

URL = "/webhooks/openai/"


@pytest.fixture
def turn(db):
    """The turn of a running job, whose first check is not due yet."""
    turn = start(JobFactory(), response_id="resp_running")
    later = timezone.now() + timedelta(seconds=60)
    Attempt.objects.update(next_check_at=later)
    return turn


def event(response_id="resp_running", type="response.completed", **changes):
    return {
        "object": "event",
        "id": "evt_1",
        "type": type,
        "created_at": 1772442000,
        "data": {"id": response_id},
        **changes,
    }


def signed(body, secret, *, id="wh_1", at=None):
    at = at or timezone.now()
    return {
        "webhook-id": id,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": Webhook(secret).sign(id, at, body),
    }


def send(body, headers, **extra):
    """A POST as it comes in. Django's client raises what a view does not catch."""
    if isinstance(body, dict):
        body = json.dumps(body)
    return Client().post(URL, body, content_type="application/json", headers=headers, **extra)


def deliver(secret, said=None, **kwargs):
    body = json.dumps(said or event())
    return send(body, signed(body, secret, **kwargs))


def is_due(turn):
    return Attempt.objects.due(timezone.now()).filter(turns=turn).exists()


def what_is_stored():
    return list(Attempt.objects.values()), list(WebhookReceipt.objects.values())


# Genuine


def test_the_door_stands_where_openai_was_told():
    assert reverse("webhook_openai") == URL


def test_a_genuine_webhook_makes_its_attempt_due_now(turn, webhook_secret):
    assert not is_due(turn)
    answer = deliver(webhook_secret)
    assert (answer.status_code, answer.content) == (200, b"ok")
    assert is_due(turn)
    receipt = WebhookReceipt.objects.get()
    assert (receipt.webhook_id, receipt.event_type) == ("wh_1", "response.completed")
    assert (receipt.response_id, receipt.outcome) == ("resp_running", "known")
    assert json.loads(bytes(receipt.body)) == event()
    assert receipt.next_check_at is None


@pytest.mark.parametrize("ending", ["completed", "failed", "incomplete", "cancelled", "new_word"])
def test_every_word_about_a_running_response_is_a_nudge(turn, webhook_secret, ending):
    assert deliver(webhook_secret, event(type=f"response.{ending}")).status_code == 200
    assert is_due(turn)


def test_the_same_webhook_again_is_welcomed_and_changes_nothing(turn, webhook_secret):
    deliver(webhook_secret)
    Attempt.objects.update(next_check_at=timezone.now() + timedelta(seconds=60))
    before = what_is_stored()
    assert deliver(webhook_secret).status_code == 200
    assert what_is_stored() == before


def test_two_signatures_are_good_if_one_of_them_is(turn, webhook_secret):
    """As while a secret is being rotated."""
    body = json.dumps(event())
    headers = signed(body, webhook_secret)
    old = Webhook("whsec_" + base64.b64encode(b"the old secret, 24 bytes").decode())
    signature = old.sign("wh_1", timezone.now(), body)
    headers["webhook-signature"] = f"{signature} {headers['webhook-signature']}"
    assert send(body, headers).status_code == 200


def test_an_event_about_something_else_is_kept_and_never_looked_up(db, webhook_secret):
    said = event("batch_1", "batch.completed")
    assert deliver(webhook_secret, said).status_code == 200
    receipt = WebhookReceipt.objects.get()
    assert (receipt.outcome, receipt.next_check_at) == ("not about a response", None)


@pytest.mark.parametrize("about", [None, {}, [], "resp_1", {"id": None}, {"id": 7}, {"id": "a/b"}])
def test_an_event_that_names_no_response_is_kept_and_never_looked_up(db, webhook_secret, about):
    assert deliver(webhook_secret, event(data=about)).status_code == 200
    receipt = WebhookReceipt.objects.get()
    assert (receipt.response_id, receipt.next_check_at) == ("", None)


def test_an_event_with_a_nul_in_its_type_can_be_stored(db, webhook_secret):
    assert deliver(webhook_secret, event(type="response.\x00")).status_code == 200
    assert WebhookReceipt.objects.get().event_type == "response.\ufffd"


def test_no_call_is_made_while_a_webhook_is_answered(turn, sandbox, webhook_secret, settings):
    settings.OPENAI_BASE_URL = sandbox.base_url
    deliver(webhook_secret)
    deliver(webhook_secret, event("resp_unknown"), id="wh_2")
    assert sandbox.requests() == []


# After the end


@pytest.mark.parametrize(
    ("ended", "told", "looks"),
    [
        ("completed", "completed", False),
        ("failed", "failed", False),
        ("cancelled", "cancelled", False),
        ("cancelled", "completed", True),
        ("incomplete", "completed", True),
    ],
)
def test_an_ended_turn_is_looked_at_again_only_where_the_event_contradicts_it(
    turn, webhook_secret, ended, told, looks
):
    finish(turn.attempt.job, ended, error={"code": "bio_policy"} if ended == "failed" else None)
    assert deliver(webhook_secret, event(type=f"response.{told}")).status_code == 200
    assert is_due(turn) == looks


# Not believed

OTHER_SECRET = "whsec_" + base64.b64encode(b"somebody else's secret..").decode()


@pytest.mark.parametrize("header", ["webhook-id", "webhook-timestamp", "webhook-signature"])
@pytest.mark.parametrize(
    "value",
    [None, "", "nonsense", "v1,", "v1,AAAA", "v1,üß", "9" * 5000, "-1"],
    ids=lambda value: repr(value)[:20],
)
def test_a_webhook_with_a_bad_header_is_refused(turn, webhook_secret, header, value):
    before = what_is_stored()
    body = json.dumps(event())
    headers = signed(body, webhook_secret) | {header: value}
    answer = send(body, {name: given for name, given in headers.items() if given is not None})
    assert answer.status_code == 400
    assert what_is_stored() == before


def test_a_webhook_without_any_of_its_headers_is_refused(turn):
    assert send(event(), {}).status_code == 400
    assert WebhookReceipt.objects.count() == 0


def test_a_forged_webhook_is_refused(turn, webhook_secret):
    before = what_is_stored()
    assert deliver(OTHER_SECRET).status_code == 400
    body = json.dumps(event())
    assert send(body + " ", signed(body, webhook_secret)).status_code == 400
    assert what_is_stored() == before


@pytest.mark.parametrize("seconds", [-310, 310, -86400, 86400])
def test_a_stale_or_future_webhook_is_refused(turn, webhook_secret, seconds):
    at = timezone.now() + timedelta(seconds=seconds)
    assert deliver(webhook_secret, at=at).status_code == 400
    assert WebhookReceipt.objects.count() == 0


@pytest.mark.parametrize("seconds", [-290, 290])
def test_a_webhook_within_five_minutes_is_taken(turn, webhook_secret, seconds):
    at = timezone.now() + timedelta(seconds=seconds)
    assert deliver(webhook_secret, at=at).status_code == 200


@pytest.mark.parametrize(
    "body",
    ["", "{", '{"type": ', "null", "[]", '"text"', "7", "{}", '{"type": 7}', "[" * 20_000]
    + ['{"type": null, "data": {"id": "resp_running"}}'],
    ids=lambda body: repr(body)[:20],
)
def test_a_signed_body_that_is_no_event_is_refused(turn, webhook_secret, body):
    assert send(body, signed(body, webhook_secret)).status_code == 400
    assert WebhookReceipt.objects.count() == 0


@pytest.mark.parametrize("body", [b"\xff\xfe\xff", b'{"type": "\xe9"}', b"\x00" * 40])
def test_a_body_that_is_not_utf_8_is_refused(turn, webhook_secret, body):
    headers = signed("{}", webhook_secret)
    assert send(body, headers).status_code == 400
    assert WebhookReceipt.objects.count() == 0


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_!!!", "whsec_üß"])
def test_without_a_usable_secret_nobody_is_believed(turn, settings, secret):
    """What the SDK makes of such a secret is an empty key, with which anybody can sign."""
    settings.OPENAI_WEBHOOK_SECRET = secret
    body = json.dumps(event())
    headers = signed(body, OTHER_SECRET)
    content = f"wh_1.{headers['webhook-timestamp']}.{body}".encode()
    forged = base64.b64encode(hmac.digest(b"", content, "sha256")).decode()
    assert send(body, headers | {"webhook-signature": f"v1,{forged}"}).status_code == 400
    assert WebhookReceipt.objects.count() == 0


def test_a_webhook_that_is_too_large_is_refused_unread(turn, webhook_secret):
    large = event(padding="x" * webhooks.LARGEST_BODY)
    assert deliver(webhook_secret, large).status_code == 400
    assert WebhookReceipt.objects.count() == 0


@pytest.mark.parametrize("length", ["many", "-1", "²", "9" * 30])
def test_a_length_that_is_none_is_refused(turn, webhook_secret, length):
    body = json.dumps(event())
    answer = send(body, signed(body, webhook_secret), CONTENT_LENGTH=length)
    assert answer.status_code == (413 if length.startswith("9") else 400)
    assert WebhookReceipt.objects.count() == 0


@pytest.mark.parametrize("method", ["get", "head", "put", "patch", "delete", "options"])
def test_only_a_post_is_taken(turn, method):
    assert getattr(Client(), method)(URL).status_code == 405
    assert WebhookReceipt.objects.count() == 0


def test_the_door_needs_no_login_and_no_csrf_token(turn, webhook_secret):
    body = json.dumps(event())
    client = Client(enforce_csrf_checks=True)
    answer = client.post(
        URL, body, content_type="application/json", headers=signed(body, webhook_secret)
    )
    assert answer.status_code == 200


# A response that is not known yet


@pytest.fixture
def real_clock(clock):
    """The engine's clock, at the moment of the door's, to which it can be moved again."""

    def catch_up():
        clock.now = timezone.now()

    catch_up()
    return catch_up


def test_a_response_that_is_not_known_yet_is_kept_until_its_turn_is(
    real_clock, driver, sandbox, job, webhook_secret
):
    sandbox.script({"on": "create", "do": {"drop": "after"}})
    driver.work()
    assert now_of(job)[1].state == State.UNKNOWN
    assert deliver(webhook_secret, event(only_response(sandbox))).status_code == 200
    receipt = WebhookReceipt.objects.get()
    assert receipt.outcome == "" and receipt.next_check_at == receipt.received_at
    real_clock()
    driver.settle(job)
    receipt.refresh_from_db()
    assert (receipt.outcome, receipt.next_check_at) == ("adopted", None)
    assert job.status == Status.COMPLETED


def test_a_response_of_nobody_is_marked_and_not_looked_up_again(real_clock, driver, webhook_secret):
    deliver(webhook_secret, event("resp_of_nobody"))
    real_clock()
    driver.work()
    receipt = WebhookReceipt.objects.get()
    assert (receipt.outcome, receipt.failures) == ("", 1), "a first 404 is looked at again"
    run_out(driver)
    receipt.refresh_from_db()
    assert (receipt.outcome, receipt.next_check_at) == ("not found", None)


def test_a_response_that_cannot_be_looked_up_is_given_up_in_the_end(
    real_clock, driver, sandbox, webhook_secret
):
    sandbox.script({"on": "retrieve", "times": None, "do": {"status": 500}})
    deliver(webhook_secret, event("resp_hidden"))
    run_out(driver)
    receipt = WebhookReceipt.objects.get()
    assert (receipt.outcome, receipt.next_check_at) == ("given up", None)
    assert sandbox.stats()["retrieves"] == 12


def test_a_webhook_brings_the_end_of_a_job_before_its_next_check(
    real_clock, driver, sandbox, job, webhook_secret
):
    driver.work()
    Attempt.objects.update(next_check_at=timezone.now() + timedelta(minutes=5))
    deliver(webhook_secret, event(only_response(sandbox)))
    real_clock()
    driver.work()
    assert now_of(job)[0].status == Status.COMPLETED


def test_a_late_webhook_that_contradicts_a_cancel_is_kept_as_evidence(
    real_clock, driver, sandbox, job, webhook_secret
):
    lives(sandbox, end="cancelled")
    driver.settle(job)
    assert job.status == Status.CANCELED
    response_id = only_response(sandbox)
    late = json.dumps({"id": response_id, "status": "completed", "output": []})
    sandbox.script({"on": "retrieve", "do": {"raw": late}})
    deliver(webhook_secret, event(response_id))
    real_clock()
    driver.work()
    assert now_of(job)[0].status == Status.CANCELED
    assert bytes(Turn.objects.get().late_payload) == late.encode()


# Over real HTTP, signed by the provider's stand-in


@pytest.fixture
def arriving(transactional_db, live_server, sandbox, webhook_secret):
    """The stand-in, with its webhooks going to this site's own server."""
    sandbox.set_webhook(live_server.url + URL, webhook_secret)
    return sandbox


def webhooks_taken(sandbox, count):
    return lambda: sandbox.stats()["webhooks"]["ok"] == count


def test_a_job_completes_by_a_webhook(arriving, real_clock, driver, job):
    driver.work()
    driver.reach(webhooks_taken(arriving, 1))
    assert now_of(job)[0].status == Status.RUNNING
    real_clock()
    driver.work()
    receipt = WebhookReceipt.objects.get()
    assert (receipt.event_type, receipt.outcome) == ("response.completed", "known")
    job, attempt, turn = now_of(job)
    assert (attempt.state, job.status) == (State.SUCCEEDED, Status.COMPLETED)
    assert receipt.response_id == turn.response_id
    assert arriving.stats()["retrieves"] == 1


def test_a_webhook_that_comes_three_times_completes_a_job_once(arriving, real_clock, driver, job):
    lives(arriving, end="completed", webhook={"times": 3})
    driver.work()
    driver.reach(webhooks_taken(arriving, 3))
    real_clock()
    driver.work()
    assert now_of(job)[0].status == Status.COMPLETED
    assert WebhookReceipt.objects.count() == 1
    assert verbs(job).count(Verb.COMPLETED) == 1
    assert arriving.stats()["retrieves"] == 1


def test_a_webhook_before_the_answer_to_the_create_loses_nothing(arriving, real_clock, driver, job):
    lives(arriving, end="completed", webhook={"before_reply": True})
    driver.work()
    assert WebhookReceipt.objects.get().outcome == ""
    assert now_of(job)[1].state == State.LIVE
    real_clock()
    driver.work()
    assert WebhookReceipt.objects.get().outcome == "known"
    assert now_of(job)[0].status == Status.COMPLETED


def test_a_lost_answer_to_a_create_is_mended_by_the_webhook(arriving, real_clock, driver, job):
    arriving.script({"on": "create", "do": {"drop": "after"}})
    driver.work()
    driver.reach(webhooks_taken(arriving, 1))
    real_clock()
    driver.work()
    assert WebhookReceipt.objects.get().outcome == "adopted"
    assert now_of(job)[0].status == Status.COMPLETED
    assert arriving.stats()["creates"] == 1


def test_only_good_webhooks_are_taken_from_the_wire(arriving, turn):
    answers = {
        kind: arriving.emit_webhook("resp_running", kind=kind)["status"]
        for kind in ("forged", "stale", "malformed", "no_headers", "non_ascii")
    }
    assert set(answers.values()) == {400}, answers
    assert WebhookReceipt.objects.count() == 0
    assert arriving.emit_webhook("resp_running", webhook_id="wh_once")["status"] == 200
    assert arriving.emit_webhook("resp_running", webhook_id="wh_once")["status"] == 200
    assert WebhookReceipt.objects.count() == 1
    assert is_due(turn)
