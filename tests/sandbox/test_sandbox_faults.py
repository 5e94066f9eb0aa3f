"""Each way in which the sandbox can be told to misbehave."""

from __future__ import annotations

import json
import threading
import time

import openai
import pytest
from jsonschema import Draft202012Validator

from jobsite.sandbox.testing import ControlError, RunningSandbox

from .parts import DIGEST, DIGEST_FORMAT, client_of, file_part, message, shelf_text


def test_an_http_error_is_sent_as_scripted_and_nothing_is_done(client, sandbox, start):
    error = {"message": "Slow down.", "type": "requests", "code": "rate_limit_exceeded"}
    rule = {"status": 429, "error": error, "headers": {"retry-after": "2"}}
    sandbox.script({"on": "create", "do": rule})
    with pytest.raises(openai.RateLimitError) as refused:
        start()
    assert (refused.value.code, refused.value.type) == ("rate_limit_exceeded", "requests")
    assert refused.value.response.headers["retry-after"] == "2"
    assert sandbox.stats()["responses"] == 0
    assert start().status == "queued"


def test_a_server_error_on_retrieve_passes(client, sandbox, start):
    made = start()
    sandbox.script({"on": "retrieve", "times": 2, "do": {"status": 503}})
    for _ in range(2):
        with pytest.raises(openai.InternalServerError):
            client.responses.retrieve(made.id)
    assert client.responses.retrieve(made.id).status == "completed"


def test_a_body_can_be_anything(client, sandbox, start):
    made = start()
    sandbox.script({"on": "retrieve", "do": {"raw": "<html>", "content_type": "text/html"}})
    raw = client.responses.with_raw_response.retrieve(made.id)
    assert (raw.http_response.text, raw.headers["content-type"]) == ("<html>", "text/html")
    sandbox.script({"on": "retrieve", "do": {"raw": "not json"}})
    with pytest.raises(json.JSONDecodeError):
        client.responses.retrieve(made.id)


def test_a_dropped_create_may_or_may_not_have_been_done(sandbox, start):
    sandbox.script({"on": "create", "do": {"drop": "before"}})
    with pytest.raises(openai.APIConnectionError):
        start(metadata={"turn": "a"})
    assert sandbox.stats()["by_turn"] == {}
    sandbox.script({"on": "create", "do": {"drop": "after"}})
    with pytest.raises(openai.APIConnectionError):
        start(metadata={"turn": "a"})
    assert sandbox.stats()["by_turn"] == {"a": 1}
    assert [response["metadata"] for response in sandbox.responses()] == [{"turn": "a"}]
    assert [(entry["status"]) for entry in sandbox.requests()] == [None, None]


def test_the_sdk_retries_a_lost_create_and_pays_twice(sandbox):
    """The trap that the product must avoid, shown to be real."""
    sandbox.script({"on": "create", "do": {"drop": "after"}})
    with client_of(sandbox, max_retries=1) as eager:
        eager.responses.create(
            model="m", input="Hello.", background=True, metadata={"turn": "paid"}
        )
    assert sandbox.stats()["by_turn"] == {"paid": 2}


@pytest.mark.parametrize(("work", "responses"), [(True, 1), (False, 0)])
def test_a_hanging_create_outlasts_the_client(sandbox, work, responses):
    sandbox.script({"on": "create", "do": {"hang": 0.15, "work": work}})
    with client_of(sandbox, timeout=0.05) as hasty, pytest.raises(openai.APITimeoutError):
        hasty.responses.create(model="m", input="Hello.", background=True)
    assert sandbox.stats()["responses"] == responses
    time.sleep(0.15)  # past the end of the hang, when a wrong sandbox would do the work
    assert sandbox.stats()["responses"] == responses


def test_a_delay_only_delays(client, sandbox, start):
    sandbox.script({"on": "create", "do": {"delay": 0.05}})
    began = time.monotonic()
    assert start().status == "queued"
    assert time.monotonic() - began >= 0.05


def test_a_response_can_be_missing_for_a_while_or_vanish(client, sandbox, start):
    made = start()
    sandbox.script({"on": "retrieve", "do": {"not_found": True}})
    with pytest.raises(openai.NotFoundError, match=made.id):
        client.responses.retrieve(made.id)
    assert client.responses.retrieve(made.id).status == "completed"

    sandbox.script({"on": "create", "do": {"life": {"queued": 0, "running": 0, "end": "vanish"}}})
    made = start()
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(made.id)
    assert sandbox.responses()[-1]["status"] == "vanished"


def test_a_response_can_run_for_ever(client, sandbox, start):
    sandbox.script({"on": "create", "do": {"life": {"queued": 0, "running": 0, "end": "never"}}})
    assert client.responses.retrieve(start().id).status == "in_progress"


def test_an_unknown_status_is_sent_as_it_is(sandbox, start):
    sandbox.script(
        {"on": "create", "do": {"life": {"queued": 0, "running": 0, "end": "pondering"}}}
    )
    made = start()
    with client_of(sandbox, _strict_response_validation=False) as lenient:
        assert lenient.responses.retrieve(made.id).status == "pondering"


def test_a_response_can_have_ended_in_the_answer_to_its_create(sandbox, start):
    sandbox.script({"on": "create", "do": {"life": {"at_once": True}}})
    assert start().status == "completed"


def test_a_life_can_say_what_is_at_its_end(client, sandbox, start):
    life = {"end": "failed", "error": {"code": "rate_limit_exceeded", "message": "Too busy."}}
    sandbox.script({"on": "create", "do": {"life": life}})
    failed = client.responses.retrieve(start().id)
    assert (failed.error.code, failed.error.message) == ("rate_limit_exceeded", "Too busy.")

    life = {"output_text": "Just this.", "usage": None}
    sandbox.script({"on": "create", "do": {"life": life}})
    done = client.responses.retrieve(start(reasoning={"effort": "low"}).id)
    assert (done.output_text, done.usage) == ("Just this.", None)
    assert done.output[0].type == "reasoning"

    life = {"end": "incomplete", "incomplete_reason": "content_filter", "output": []}
    sandbox.script({"on": "create", "do": {"life": life}})
    done = client.responses.retrieve(start().id)
    assert (done.incomplete_details.reason, done.output) == ("content_filter", [])


def test_incomplete_structured_output_is_cut_in_the_middle(client, sandbox, start):
    sandbox.script({"on": "create", "do": {"life": {"end": "incomplete"}}})
    made = start(
        message("Digest.", file_part("w.md", shelf_text("webhooks"))),
        text={"format": DIGEST_FORMAT},
    )
    done = client.responses.retrieve(made.id)
    assert done.incomplete_details.reason == "max_output_tokens"
    with pytest.raises(json.JSONDecodeError):
        json.loads(done.output_text)


def test_a_limit_on_output_is_kept(client, start):
    made = start(shelf_text("webhooks"), max_output_tokens=20)
    done = client.responses.retrieve(made.id)
    assert (done.status, done.incomplete_details.reason) == ("incomplete", "max_output_tokens")
    assert done.usage.output_tokens == 20
    assert len(done.output_text) == 80


def test_quotes_can_be_invented(client, sandbox, start):
    sandbox.script({"on": "create", "do": {"invent_quotes": 7}})
    text = shelf_text("webhooks")
    made = start(message("Digest.", file_part("w.md", text)), text={"format": DIGEST_FORMAT})
    digest = json.loads(client.responses.retrieve(made.id).output_text)
    quotes = [quote["quote"] for section in digest["sections"] for quote in section["quotes"]]
    missing = [quote for quote in quotes if quote not in " ".join(text.split())]
    assert len(set(missing)) == 7
    assert len(quotes) > 7


@pytest.mark.parametrize(
    "schema",
    [
        DIGEST,
        {
            "type": "object",
            "properties": {"one": {"type": "string"}},
            "required": ["one"],
            "additionalProperties": False,
        },
    ],
)
def test_structured_output_can_break_its_schema_twice(client, sandbox, start, schema):
    sandbox.script({"on": "create", "do": {"break_schema": True}})
    made = start(text={"format": {**DIGEST_FORMAT, "schema": schema}})
    broken = json.loads(client.responses.retrieve(made.id).output_text)
    assert len(list(Draft202012Validator(schema).iter_errors(broken))) >= 2


def test_a_cancellation_can_get_lost(client, sandbox, start):
    sandbox.script({"on": "create", "do": {"life": {"queued": 0.1, "running": 0}}})
    sandbox.script({"on": "cancel", "do": {"cancel_lost": True}})
    made = start()
    assert client.responses.cancel(made.id).status == "cancelled"
    assert client.responses.retrieve(made.id).status == "queued"
    while (status := client.responses.retrieve(made.id).status) == "queued":
        time.sleep(0.01)
    assert status == "completed"


def test_a_lost_answer_to_a_cancel_still_cancels(client, sandbox, start):
    sandbox.script({"on": "create", "do": {"life": {"queued": 60}}})
    sandbox.script({"on": "cancel", "do": {"drop": "after"}})
    made = start()
    with pytest.raises(openai.APIConnectionError):
        client.responses.cancel(made.id)
    assert client.responses.retrieve(made.id).status == "cancelled"


@pytest.mark.parametrize(
    ("match", "hits"),
    [
        ({}, True),
        ({"metadata": {"job": "1"}}, True),
        ({"metadata": {"job": "2"}}, False),
        ({"model": "gpt-6-sol"}, True),
        ({"model": "gpt-6-luna"}, False),
        ({"input_contains": "webhook"}, True),
        ({"input_contains": "webhook", "model": "gpt-6-luna"}, False),
    ],
)
def test_rules_apply_where_they_match(client, sandbox, start, match, hits):
    made = start(metadata={"job": "1", "turn": "x"})
    for on in ("create", "retrieve"):
        sandbox.script({"on": on, "match": match, "do": {"status": 500}})
    calls = [
        lambda: start(metadata={"job": "1", "turn": "x"}),
        lambda: client.responses.retrieve(made.id),
    ]
    for call in calls:
        if hits:
            with pytest.raises(openai.InternalServerError):
                call()
        else:
            call()


def test_a_rule_can_name_one_response(client, sandbox, start):
    one, other = start(), start()
    rule = {"on": "retrieve", "match": {"response_id": one.id}, "do": {"status": 500}}
    sandbox.script(rule)
    assert client.responses.retrieve(other.id).status == "completed"
    with pytest.raises(openai.InternalServerError):
        client.responses.retrieve(one.id)


def test_rules_skip_and_count_down_and_are_cleared(client, sandbox, start):
    made = start()

    def statuses(count: int) -> list[int]:
        got = []
        for _ in range(count):
            try:
                client.responses.retrieve(made.id)
                got.append(200)
            except openai.APIStatusError as error:
                got.append(error.status_code)
        return got

    sandbox.script({"on": "retrieve", "skip": 1, "times": 2, "do": {"status": 500}})
    assert statuses(4) == [200, 500, 500, 200]
    sandbox.script({"on": "retrieve", "times": None, "do": {"status": 500}})
    assert statuses(3) == [500, 500, 500]
    sandbox.clear_rules()
    assert statuses(1) == [200]


def test_senseless_rules_are_refused_with_the_reason(sandbox):
    with pytest.raises(ControlError, match="'life' does not know 'ends'; it knows queued"):
        sandbox.script({"on": "create", "do": {"life": {"ends": "failed"}}})
    with pytest.raises(ControlError, match="'drop' in 'do' cannot be 'sometimes'"):
        sandbox.script({"on": "create", "do": {"drop": "sometimes"}})


def test_a_directive_in_the_input_does_what_a_rule_does(client, start):
    made = start('Focus: cats. sandbox: {"life": {"end": "failed"}} and on it goes.')
    assert client.responses.retrieve(made.id).status == "failed"
    with pytest.raises(openai.RateLimitError):
        start(message('Please.\nsandbox: {"status": 429}'))
    with pytest.raises(openai.BadRequestError, match="not JSON"):
        start("sandbox: {nope}")
    with pytest.raises(openai.BadRequestError, match="does not know 'explode'"):
        start('sandbox: {"explode": true}')
    made = start('Dogs bark at night. sandbox: {"delay": 0}')
    assert "sandbox: {" not in client.responses.retrieve(made.id).output_text


def test_requests_and_responses_are_there_to_be_looked_at(client, sandbox, start):
    made = start(metadata={"turn": "t1"})
    client.responses.retrieve(made.id)
    created, retrieved = sandbox.requests()
    assert (created["method"], created["path"], created["status"]) == ("POST", "/v1/responses", 200)
    assert (created["metadata"], created["response_id"]) == ({"turn": "t1"}, made.id)
    assert (retrieved["response_id"], retrieved["metadata"]) == (made.id, {"turn": "t1"})
    assert sandbox.requests(limit=1) == [retrieved]
    (known,) = sandbox.responses()
    assert (known["id"], known["status"], known["metadata"]) == (
        made.id,
        "completed",
        {"turn": "t1"},
    )
    assert known["done_at"] == known["created_at"]
    assert sandbox.response(made.id)["text"] == "What is a webhook?"


def test_it_ends_at_once_while_requests_hang():
    with RunningSandbox() as running, client_of(running) as client:
        running.script({"on": "create", "do": {"hang": 60}})
        failures: list[Exception] = []

        def hang() -> None:
            try:
                client.responses.create(model="m", input="Hello.", background=True)
            except openai.APIConnectionError as error:
                failures.append(error)

        thread = threading.Thread(target=hang)
        thread.start()
        while not running.stats()["responses"]:
            time.sleep(0.005)
        began = time.monotonic()
        running.__exit__(None, None, None)
        thread.join()
    assert time.monotonic() - began < 1
    assert failures
