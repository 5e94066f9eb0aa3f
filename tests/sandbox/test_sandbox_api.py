"""Each endpoint, each status and each refusal, as the real SDK sees them."""

from __future__ import annotations

import asyncio
import http.client
import json
import time
from urllib.parse import urlsplit

import openai
import pytest

from jobsite.sandbox.testing import RunningSandbox

from .parts import client_of, file_part, message


def test_a_background_response_is_queued_and_then_completed(client, start):
    made = start(metadata={"job": "7"}, instructions="Be brief.", reasoning={"effort": "low"})

    assert made.status == "queued"
    assert made.id.startswith("resp_")
    assert (made.usage, made.completed_at, made.output) == (None, None, [])
    assert (made.service_tier, made.background, made.metadata) == ("auto", True, {"job": "7"})
    assert made.to_dict()["store"] is True

    done = client.responses.retrieve(made.id)

    assert (done.status, done.service_tier, done.error) == ("completed", "default", None)
    wire = client.responses.with_raw_response.retrieve(made.id).http_response.json()
    assert isinstance(wire["created_at"], int) and isinstance(wire["completed_at"], int)
    assert done.completed_at >= done.created_at
    assert [item.type for item in done.output] == ["reasoning", "message"]
    assert done.output_text.strip()
    usage = done.usage
    assert usage.total_tokens == usage.input_tokens + usage.output_tokens > 0
    assert usage.input_tokens_details.cache_write_tokens == 0
    assert done.instructions == "Be brief."


def test_a_life_passes_through_queued_and_in_progress(client, sandbox, start):
    sandbox.script({"on": "create", "do": {"life": {"queued": 0, "running": 60}}})
    assert client.responses.retrieve(start().id).status == "in_progress"
    sandbox.script({"on": "create", "do": {"life": {"queued": 60}}})
    assert client.responses.retrieve(start().id).status == "queued"
    assert sandbox.stats()["live"] == 2


@pytest.mark.parametrize("end", ["completed", "failed", "incomplete", "cancelled"])
def test_every_terminal_status_has_a_valid_shape(client, sandbox, start, end):
    sandbox.script({"on": "create", "do": {"life": {"queued": 0, "running": 0, "end": end}}})
    ended = client.responses.retrieve(start().id)
    assert ended.status == end
    assert (ended.completed_at is None) == (end != "completed")
    assert (ended.error is None) == (end != "failed")
    assert (ended.incomplete_details is None) == (end != "incomplete")
    assert (ended.usage is None) == (end in ("failed", "cancelled"))
    message_status = {"incomplete": "incomplete", "cancelled": "in_progress"}
    if end in message_status:
        assert ended.output[-1].status == message_status[end]


def test_a_foreground_response_is_answered_when_it_is_done(client):
    made = client.responses.create(model="gpt-6-sol", input="What is a webhook?")
    assert (made.status, made.background) == ("completed", False)
    with pytest.raises(openai.BadRequestError, match="Cannot cancel a synchronous response"):
        client.responses.cancel(made.id)


def test_a_response_that_is_not_stored_cannot_be_found(client):
    made = client.responses.create(model="gpt-6-sol", input="Hello there.", store=False)
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(made.id)


def test_cancelling_keeps_what_was_written_and_has_no_usage(client, sandbox, start):
    sandbox.script({"on": "create", "do": {"life": {"queued": 0, "running": 0.2}}})
    made = start(file_text := "The first sentence is here to be quoted. " * 20)
    while (time.time() - sandbox.response(made.id)["created_at"]) < 0.05:
        pass
    cancelled = client.responses.cancel(made.id)

    assert (cancelled.status, cancelled.usage, cancelled.completed_at) == ("cancelled", None, None)
    assert cancelled.output[-1].status == "in_progress"
    assert 0 < len(cancelled.output_text) < len(file_text)
    assert client.responses.cancel(made.id).to_dict() == cancelled.to_dict()
    assert client.responses.retrieve(made.id).to_dict() == cancelled.to_dict()


def test_cancelling_in_the_queue_leaves_nothing(client, sandbox, start):
    sandbox.script({"on": "create", "do": {"life": {"queued": 60}}})
    assert client.responses.cancel(start().id).output == []


@pytest.mark.parametrize(
    ("end", "words"),
    [("completed", "a completed"), ("failed", "a failed"), ("incomplete", "an incomplete")],
)
def test_what_has_ended_cannot_be_cancelled(client, sandbox, start, end, words):
    sandbox.script({"on": "create", "do": {"life": {"queued": 0, "running": 0, "end": end}}})
    made = start()
    with pytest.raises(openai.BadRequestError, match=f"Cannot cancel {words} response"):
        client.responses.cancel(made.id)


def test_a_deleted_response_is_gone(client, start):
    made = start()
    raw = client.responses.with_raw_response.delete(made.id)
    assert raw.http_response.json() == {"id": made.id, "object": "response", "deleted": True}
    for call in (client.responses.retrieve, client.responses.cancel, client.responses.delete):
        with pytest.raises(openai.NotFoundError, match=f"Response with id '{made.id}' not found."):
            call(made.id)


def test_input_items_come_in_pages(client, start):
    made = start([{"role": "user", "content": f"Line {n}."} for n in range(5)])
    page = client.responses.input_items.list(made.id, limit=2)
    assert [item.content[0].text for item in page.data] == ["Line 4.", "Line 3."]
    assert page.has_more
    everything = client.responses.input_items.list(made.id, limit=2, order="asc")
    assert [item.content[0].text for item in everything] == [f"Line {n}." for n in range(5)]


def test_a_string_is_listed_as_a_message(client, start):
    (item,) = client.responses.input_items.list(start("Hello.").id).data
    assert (item.type, item.role, item.content[0].text) == ("message", "user", "Hello.")


def test_input_tokens_are_about_four_characters_each(client):
    counted = client.responses.input_tokens.count(model="gpt-6-sol", input="x" * 400)
    assert counted.input_tokens == 100


def test_headers_say_who_answered_and_how_much_is_left(client):
    raw = client.responses.with_raw_response.create(model="m", input="Hello.", background=True)
    for name in (
        "x-request-id",
        "openai-processing-ms",
        "openai-version",
        "x-ratelimit-limit-requests",
        "x-ratelimit-remaining-tokens",
        "x-ratelimit-reset-requests",
    ):
        assert raw.headers[name]
    with pytest.raises(openai.NotFoundError) as refused:
        client.responses.retrieve("resp_none")
    assert refused.value.request_id.startswith("req_")


REFUSED = [
    ({"background": True, "store": False}, "background", "unsupported_parameter"),
    ({"model": None}, "model", "missing_required_parameter"),
    ({"input": ""}, "input", "missing_required_parameter"),
    ({"input": 7}, "input", "invalid_type"),
    ({"input": [7]}, "input[0]", "invalid_type"),
    ({"input": [{}]}, "input[0].type", "missing_required_parameter"),
    ({"input": [{"role": "king", "content": ""}]}, "input[0].role", "invalid_value"),
    ({"input": message({"type": "input_smell"})}, "input[0].content[0].type", "invalid_value"),
    ({"metadata": {str(n): "" for n in range(17)}}, "metadata", "object_above_max_properties"),
    ({"metadata": {"k" * 65: "v"}}, "metadata", "string_above_max_length"),
    ({"metadata": {"k": "v" * 513}}, "metadata.k", "string_above_max_length"),
    ({"metadata": {"k": 1}}, "metadata.k", "invalid_type"),
    ({"temperature": 3}, "temperature", "invalid_value"),
    ({"background": "yes"}, "background", "invalid_type"),
    ({"tools": [{}]}, "tools[0]", "invalid_type"),
    ({"include": ["everything"]}, "include[0]", "invalid_value"),
    ({"wish": 1}, "wish", "unknown_parameter"),
    ({"stream_options": {}}, "stream_options", "unsupported_parameter"),
    ({"text": {"format": {"type": "xml"}}}, "text.format.type", "invalid_value"),
    (
        {"text": {"format": {"type": "json_schema", "name": "x", "schema": {"type": "thing"}}}},
        "text.format.schema",
        "invalid_json_schema",
    ),
    (
        {
            "text": {
                "format": {
                    "type": "json_schema",
                    "name": "x",
                    "strict": True,
                    "schema": {"type": "object", "properties": {"a": {"type": "string"}}},
                }
            }
        },
        "text.format.schema",
        "invalid_json_schema",
    ),
    (
        {"input": message({"type": "input_file", "filename": "a.txt", "file_data": "data:,"} | {})},
        None,
        None,
    ),
    (
        {"input": message({"type": "input_file", "filename": "a.txt", "file_data": "not base64!"})},
        "input[0].content[0].file_data",
        "invalid_value",
    ),
    (
        {"input": message({"type": "input_file", "file_id": "file_1"})},
        "input[0].content[0].file_id",
        "file_not_found",
    ),
]


@pytest.mark.parametrize(("change", "param", "code"), REFUSED)
def test_what_the_api_refuses_is_refused_in_its_words(client, sandbox, change, param, code):
    body = {"model": "gpt-6-sol", "input": "Hello.", **change}
    if param is None:  # a file without text is no reason to refuse the request
        assert client.post("/responses", body=body, cast_to=object)["status"] == "failed"
        return
    with pytest.raises(openai.BadRequestError) as refused:
        client.post("/responses", body=body, cast_to=object)
    error = refused.value
    assert (error.param, error.code, error.type) == (param, code, "invalid_request_error")
    assert set(error.body) == {"message", "type", "param", "code"}
    assert sandbox.stats()["responses"] == 0


def test_follow_ups_need_a_response_that_is_known(client, start):
    with pytest.raises(
        openai.BadRequestError, match="Previous response with id 'resp_x'"
    ) as refused:
        start(previous_response_id="resp_x")
    assert refused.value.code == "previous_response_not_found"
    assert start(previous_response_id=start().id).status == "queued"


def test_a_function_call_must_be_answered(client, sandbox, start):
    call = {
        "id": "fc_1",
        "type": "function_call",
        "call_id": "call_1",
        "name": "send",
        "arguments": "{}",
        "status": "completed",
    }
    tool = {"type": "function", "name": "send", "parameters": {}, "strict": True}
    sandbox.script({"on": "create", "do": {"life": {"output": [call]}}})
    made = start(tools=[tool])
    done = client.responses.retrieve(made.id)
    assert (done.status, done.output[0].type) == ("completed", "function_call")

    with pytest.raises(openai.BadRequestError, match="No tool output found for .* call_1"):
        start(previous_response_id=made.id)
    output = {"type": "function_call_output", "call_id": "call_1", "output": "It was sent today."}
    answered = start([output], previous_response_id=made.id)
    assert "It was sent today." in client.responses.retrieve(answered.id).output_text
    assert client.responses.input_items.list(answered.id).data[0].call_id == "call_1"


def test_a_follow_up_reads_the_documents_of_the_turns_before(client, start):
    first = start(message("Sum this up.", file_part("note.txt", "Cats sleep for most of the day.")))
    second = start("Again, please.", previous_response_id=first.id)
    third = start("And again.", previous_response_id=second.id)
    assert "Cats sleep" in client.responses.retrieve(third.id).output_text


def call(running: RunningSandbox, method: str, path: str, body: str | None = None, **headers: str):
    connection = http.client.HTTPConnection(urlsplit(running.base_url).netloc, timeout=10)
    connection.request(method, path, body, headers)
    reply = connection.getresponse()
    text = reply.read().decode()
    connection.close()
    return reply.status, text


def test_a_key_is_needed(sandbox):
    for headers in ({}, {"Authorization": "Bearer "}, {"Authorization": "Basic abc"}):
        status, text = call(sandbox, "GET", "/v1/responses/resp_1", **headers)
        assert status == 401
        assert json.loads(text)["error"]["code"] == "invalid_api_key"


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/v1/responses", "{", 400),
        ("POST", "/v1/responses", "[]", 400),
        ("POST", "/v1/responses", "", 400),
        ("POST", "/v1/responses", "\udcff".encode("utf-8", "surrogateescape"), 400),
        ("POST", "/v1/responses", "[" * 100_000, 400),
        ("GET", "/v1/wishes", None, 404),
        ("PUT", "/v1/responses", "{}", 405),
        ("GET", "/shelf/../server", None, 404),
        ("POST", "/sandbox/rules", "7", 400),
        ("POST", "/sandbox/rules", '{"on": "create"}', 400),
        ("POST", "/sandbox/rules", '{"on": "create", "do": {"lief": {}}}', 400),
        ("POST", "/sandbox/rules", '{"on": "create", "do": {"life": {"queued": "soon"}}}', 400),
        ("GET", "/sandbox/requests?limit=x", None, 400),
    ],
)
def test_nonsense_gets_an_error_in_the_envelope(sandbox, method, path, body, status):
    got, text = call(sandbox, method, path, body, Authorization="Bearer k")
    assert got == status
    assert set(json.loads(text)["error"]) == {"message", "type", "param", "code"}


def test_the_control_api_is_not_for_web_pages(sandbox):
    status, _ = call(sandbox, "POST", "/sandbox/reset", "{}", Origin="https://example.org")
    assert status == 403


def test_health(sandbox):
    assert call(sandbox, "GET", "/healthz") == (200, "ok\n")


def test_two_thousand_responses_live_at_once(sandbox):
    """The mark of the design: nothing runs for a response that nobody asks about."""
    sandbox.script({"on": "create", "times": None, "do": {"life": {"queued": 60}}})

    async def play() -> set[str]:
        import aiohttp

        statuses = set()
        headers = {"authorization": "Bearer k"}
        async with aiohttp.ClientSession(headers=headers) as session:

            async def one(number: int) -> None:
                body = {"model": "m", "input": "Hello.", "background": True}
                body["metadata"] = {"turn": str(number % 2)}
                url = f"{sandbox.base_url}/responses"
                async with session.post(url, json=body) as made:
                    response_id = (await made.json())["id"]
                async with session.get(f"{url}/{response_id}") as polled:
                    statuses.add((await polled.json())["status"])

            await asyncio.gather(*(one(number) for number in range(2000)))
        return statuses

    assert asyncio.run(play()) == {"queued"}
    stats = sandbox.stats()
    assert (stats["live"], stats["creates"], stats["retrieves"]) == (2000, 2000, 2000)
    assert stats["by_turn"] == {"0": 1000, "1": 1000}


def test_at_pace_one_a_response_takes_its_time():
    with RunningSandbox(pace=1.0) as slow, client_of(slow) as client:
        made = client.responses.create(model="m", input="word " * 3000, background=True)
        life = slow.response(made.id)["life"]
        assert 1 <= life["queued"] <= 2
        assert 4 + 5 * 0.8 <= life["running"] <= 4 + 5 * 1.2
        long = client.responses.create(model="m", input="word " * 60_000, background=True)
        assert slow.response(long.id)["life"]["running"] == 25
