"""Webhooks, verified by the SDK as a receiver would."""

from __future__ import annotations

import pytest

from jobsite.sandbox.testing import ControlError, RunningSandbox
from jobsite.sandbox.webhooks import BadTarget, check_target

from .parts import SECRET, client_of


@pytest.mark.parametrize("end", ["completed", "failed", "incomplete", "cancelled"])
def test_the_end_is_announced_and_verifies(client, sandbox, receiver, start, end):
    sandbox.script({"on": "create", "do": {"life": {"queued": 0, "running": 0, "end": end}}})
    made = start()
    ((headers, body),) = receiver.wait_for(1)
    event = client.webhooks.unwrap(body, headers)
    assert (event.type, event.data.id, event.object) == (f"response.{end}", made.id, "event")
    assert event.id.startswith("evt_")
    assert headers["webhook-id"].startswith("wh_")
    assert headers["user-agent"] == "OpenAI/1.0 (+https://platform.openai.com/docs/webhooks)"
    assert headers["content-type"] == "application/json"
    assert sandbox.stats()["webhooks"]["ok"] == 1


def test_a_cancellation_is_announced(client, sandbox, receiver, start):
    sandbox.script({"on": "create", "do": {"life": {"queued": 60}}})
    made = start()
    client.responses.cancel(made.id)
    ((headers, body),) = receiver.wait_for(1)
    event = client.webhooks.unwrap(body, headers)
    assert (event.type, event.data.id) == ("response.cancelled", made.id)


def test_failed_tries_are_repeated_with_one_id_and_fresh_signatures(
    client, sandbox, receiver, start
):
    receiver.replies = [500, 302]
    start()
    got = receiver.wait_for(3)
    assert len({headers["webhook-id"] for headers, _ in got}) == 1
    assert len({body for _, body in got}) == 1
    for headers, body in got:
        client.webhooks.unwrap(body, headers)
    counts = sandbox.stats()["webhooks"]
    assert (counts["sent"], counts["failed"]) == (3, 2)


def test_duplicates_share_their_id(sandbox, receiver, start):
    sandbox.script({"on": "create", "do": {"webhook": {"times": 3}}})
    start()
    got = receiver.wait_for(3)
    assert len({headers["webhook-id"] for headers, _ in got}) == 1


def test_webhooks_can_be_withheld_or_late(sandbox, receiver, start):
    sandbox.script({"on": "create", "do": {"webhook": {"send": False}}})
    sandbox.script({"on": "create", "do": {"life": {"webhook": {"delay": 0.05}}}})
    start()
    late = start()
    ((_, body),) = receiver.wait_for(1)
    assert late.id in body.decode()
    assert sandbox.stats()["webhooks"]["sent"] == 1


def test_a_webhook_can_beat_the_answer_to_the_create(client, sandbox, receiver, start):
    sandbox.script({"on": "create", "do": {"webhook": {"before_reply": True}}})
    seen = []
    receiver.on_webhook = lambda event: seen.append(
        client.responses.retrieve(event["data"]["id"]).status
    )
    made = start()
    assert made.status == "completed"
    assert seen == ["completed"]  # already, when the create was answered
    assert len(receiver.got) == 1


def test_a_lost_answer_does_not_lose_the_webhook(sandbox, receiver, start):
    sandbox.script({"on": "create", "do": {"drop": "after"}})
    with pytest.raises(Exception, match="Connection error"):
        start()
    ((_, body),) = receiver.wait_for(1)
    assert sandbox.responses()[0]["id"] in body.decode()


def test_foreground_and_deleted_responses_announce_nothing(client, sandbox, receiver, start):
    sandbox.script({"on": "create", "do": {"webhook": {"delay": 0.02}}})
    client.responses.delete(start().id)
    client.responses.create(model="m", input="Hello.")
    made = start()
    ((_, body),) = receiver.wait_for(1)
    assert made.id in body.decode()


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("good", None),
        ("forged", ValueError),
        ("stale", ValueError),
        ("malformed", ValueError),
        ("no_headers", ValueError),
        ("non_ascii", (TypeError, ValueError)),
    ],
)
def test_genuine_and_other_webhooks_can_be_sent_by_hand(client, sandbox, receiver, kind, error):
    receiver.replies = [204]
    sent = sandbox.emit_webhook("resp_1", "response.failed", kind=kind, webhook_id="wh_mine")
    assert (sent["status"], sent["webhook_id"]) == (204, "wh_mine")
    ((headers, body),) = receiver.wait_for(1)
    if error is None:
        event = client.webhooks.unwrap(body, headers)
        assert (event.type, event.data.id) == ("response.failed", "resp_1")
        assert headers["webhook-id"] == "wh_mine"
    else:
        with pytest.raises(error):
            client.webhooks.unwrap(body, headers)


def test_a_receiver_that_is_not_there_is_reported(sandbox, receiver):
    sandbox.set_webhook("http://127.0.0.1:9/nobody")
    sent = sandbox.emit_webhook("resp_1")
    assert sent["status"] is None
    assert "ClientConnectorError" in sent["error"]


@pytest.mark.parametrize(
    ("url", "secret", "words"),
    [
        ("https://example.org/hook", SECRET, "only to this machine"),
        ("http://10.0.0.1/hook", SECRET, "only to this machine"),
        ("http://localhost.example.org/", SECRET, "only to this machine"),
        ("ftp://127.0.0.1/", SECRET, "must start with http"),
        ("http://127.0.0.1:none/", SECRET, "is not a URL"),
        ("http://127.0.0.1/", None, "need a secret"),
        ("http://127.0.0.1/", "whsec_", "followed by base64"),
        ("http://127.0.0.1/", "whsec_?", "followed by base64"),
    ],
)
def test_webhooks_stay_on_this_machine_and_are_signed(url, secret, words):
    with pytest.raises(BadTarget, match=words):
        check_target(url, secret)


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:8000/", "http://localhost/", "http://[::1]:80/", None]
)
def test_this_machine_has_many_names(url):
    check_target(url, SECRET)


def test_the_control_api_refuses_other_machines(sandbox):
    with pytest.raises(ControlError, match="only to this machine"):
        sandbox.set_webhook("https://example.org/hook", SECRET)
    with pytest.raises(ControlError, match="No webhook address"):
        sandbox.emit_webhook("resp_1")


def test_a_webhook_that_was_owed_is_sent_after_a_restart(receiver, tmp_path):
    options = {"webhook_url": receiver.url, "webhook_secret": SECRET, "state": tmp_path}
    with RunningSandbox(**options) as first, client_of(first) as client:
        first.script({"on": "create", "do": {"webhook": {"delay": 60}}})
        made = client.responses.create(model="m", input="Hello.", background=True)
        client.responses.create(model="m", input="Told at once.", background=True)
        receiver.wait_for(1)
        while (
            not first.responses()[1]["done_at"]
            or not first.response(first.responses()[1]["id"])["told"]
        ):
            pass
    lines = (tmp_path / "responses.jsonl").read_text()
    (tmp_path / "responses.jsonl").write_text(lines.replace('"delay":60', '"delay":0'))
    with RunningSandbox(**options):
        got = receiver.wait_for(2)
    assert made.id in got[1][1].decode()
    assert len(got) == 2
