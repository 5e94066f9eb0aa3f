"""Streams, as the real SDK reads them: from the start, again, and when they break."""

from __future__ import annotations

import asyncio
import http.client
import json
import threading
import time
from urllib.parse import urlsplit

import openai
import pytest

from jobsite.sandbox.testing import RunningSandbox

from .items import ITEMS
from .parts import client_of, file_part, message, shelf_text

BACKGROUND = {"model": "gpt-6-sol", "background": True, "stream": True}
SEARCH = {"type": "web_search"}


def listen(client, given="What is a webhook?", **options):
    """All events of a new background stream."""
    return list(client.responses.create(**{**BACKGROUND, "input": given, **options}))


def types(events):
    """The types in their order, runs of the same one told once."""
    found = []
    for event in events:
        if not found or found[-1] != event.type:
            found.append(event.type.removeprefix("response."))
    return list(dict.fromkeys(found))


def text_of(events):
    return "".join(event.delta for event in events if event.type == "response.output_text.delta")


def live(**life):
    return {"on": "create", "do": {"life": {"queued": 0, **life}}}


def test_a_stream_tells_the_life_of_a_response_in_order(client):
    events = listen(client, tools=[SEARCH], reasoning={"effort": "low", "summary": "auto"})

    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert types(events) == [
        "created",
        "queued",
        "in_progress",
        "output_item.added",
        "reasoning_summary_part.added",
        "reasoning_summary_text.delta",
        "reasoning_summary_text.done",
        "reasoning_summary_part.done",
        "output_item.done",
        "web_search_call.in_progress",
        "web_search_call.searching",
        "web_search_call.completed",
        "content_part.added",
        "output_text.delta",
        "output_text.annotation.added",
        "output_text.done",
        "content_part.done",
        "completed",
    ]
    statuses = [event.response.status for event in events if hasattr(event, "response")]
    assert statuses == ["queued", "queued", "in_progress", "completed"]
    last = events[-1].response
    assert text_of(events) == last.output_text
    assert last.to_dict() == client.responses.retrieve(last.id).to_dict()
    marked = [e.annotation for e in events if e.type == "response.output_text.annotation.added"]
    assert [one.url for one in marked] == [
        note.url for note in last.output[-1].content[0].annotations
    ]


def test_on_the_wire_it_is_server_sent_events(sandbox):
    connection = http.client.HTTPConnection(urlsplit(sandbox.base_url).netloc, timeout=10)
    body = json.dumps({**BACKGROUND, "input": "What is a webhook?\u2028 Or two\nlines?"})
    connection.request("POST", "/v1/responses", body, {"authorization": "Bearer k"})
    reply = connection.getresponse()
    assert reply.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert reply.headers["x-request-id"].startswith("req_")
    blocks = reply.read().decode().split("\n\n")
    connection.close()
    assert blocks.pop() == ""
    for number, block in enumerate(blocks):
        name, data = block.split("\n")
        event = json.loads(data.removeprefix("data: "))
        assert (name, event["sequence_number"]) == (f"event: {event['type']}", number)


def test_no_word_comes_before_its_time(client, sandbox):
    sandbox.script(live(running=0.6))
    begun, came = time.monotonic(), []
    for event in client.responses.create(**BACKGROUND, input=shelf_text("webhooks")):
        if event.type == "response.output_text.delta":
            came.append(time.monotonic() - begun)
    assert len(came) > 40
    for share in (0.25, 0.5, 0.9):
        assert came[int(len(came) * share)] > 0.6 * (share - 0.2)


def test_what_is_being_written_is_only_on_the_stream(client, sandbox):
    sandbox.script(live(running=60))
    with client.responses.create(**BACKGROUND, input="Hello there.") as stream:
        polled = client.responses.retrieve(next(iter(stream)).response.id)
    assert (polled.status, polled.output) == ("in_progress", [])


def test_a_stream_without_background_is_never_queued(client):
    events = list(client.responses.create(model="m", input="Hello there.", stream=True))
    assert types(events)[:2] == ["created", "in_progress"]
    assert events[-1].type == "response.completed"
    assert client.responses.retrieve(events[-1].response.id).status == "completed"
    with pytest.raises(openai.BadRequestError) as refused:
        client.responses.retrieve(events[-1].response.id, stream=True)
    assert "not created with background=true" in str(refused.value)
    assert refused.value.body["code"] == "invalid_request_error"
    assert (refused.value.type, refused.value.param) == ("invalid_request_error", "stream")


def test_the_stream_can_be_read_again_from_any_place_by_many(client):
    events = listen(client)
    made = events[0].response.id
    for after in (0, 5, len(events) - 2, len(events), 10**17):
        again = list(client.responses.retrieve(made, stream=True, starting_after=after))
        assert [e.to_dict() for e in again] == [e.to_dict() for e in events[after + 1 :]]
    assert [e.to_dict() for e in client.responses.retrieve(made, stream=True)] == [
        e.to_dict() for e in events
    ]


def test_a_reader_that_comes_late_catches_up_and_goes_on_live(client, sandbox):
    sandbox.script(live(running=0.5))
    first = client.responses.create(**BACKGROUND, input="What is a webhook? And what is a lease?")
    made = next(iter(first)).response.id
    first.close()

    async def read(client):
        stream = await client.responses.retrieve(made, stream=True, starting_after=1)
        return [event.sequence_number async for event in stream]

    async def many():
        async with openai.AsyncOpenAI(
            api_key="k", base_url=sandbox.base_url, _strict_response_validation=True
        ) as client:
            return await asyncio.gather(*(read(client) for _ in range(10)))

    numbers = asyncio.run(many())
    assert all(found == list(range(2, len(found) + 2)) for found in numbers)
    assert len({len(found) for found in numbers}) == 1
    assert client.responses.retrieve(made).status == "completed"


def test_the_async_client_streams_too(sandbox):
    async def read():
        async with openai.AsyncOpenAI(
            api_key="k", base_url=sandbox.base_url, _strict_response_validation=True
        ) as client:
            stream = await client.responses.create(**BACKGROUND, input="Hello there.")
            return [event.type async for event in stream]

    assert asyncio.run(read())[-1] == "response.completed"


@pytest.mark.parametrize(
    ("end", "last"),
    [
        ("failed", "response.failed"),
        ("incomplete", "response.incomplete"),
        ("expired", "response.expired"),
        ("cancelled", "response.output_text.delta"),
        ("vanish", "response.output_text.delta"),
    ],
)
def test_every_end_has_its_last_event(sandbox, end, last):
    sandbox.script(live(running=0, end=end))
    with client_of(sandbox, _strict_response_validation=False) as client:
        events = listen(client, "What is a webhook, and what is a lease, and who holds one?")
    assert events[-1].type == last
    assert "response.output_text.delta" in [event.type for event in events]
    if hasattr(events[-1], "response"):
        assert events[-1].response["status"] == end if end == "expired" else True
    if end == "failed":
        assert events[-1].response.error.code == "server_error"


def test_a_cancelled_stream_just_ends(client, sandbox):
    sandbox.script(live(running=60))
    events = []
    for event in client.responses.create(**BACKGROUND, input=shelf_text("webhooks")):
        events.append(event.type)
        if len(events) == 3:
            client.responses.cancel(event.response.id)
    assert len(events) < 10
    assert "response.cancelled" not in events


def test_a_cancelled_stream_is_told_again_as_far_as_it_came(client, sandbox):
    sandbox.script(live(running=5))
    events = []
    for event in client.responses.create(**BACKGROUND, input=shelf_text("webhooks")):
        events.append(event)
        if event.type == "response.output_text.delta" and len(events) < 8:
            client.responses.cancel(events[0].response.id)
    again = list(client.responses.retrieve(events[0].response.id, stream=True))
    assert [event.to_dict() for event in again] == [event.to_dict() for event in events]
    assert again[-1].type == "response.output_text.delta"


def test_streams_are_counted_apart_from_polls(client, sandbox):
    made = listen(client)[0].response.id
    list(client.responses.retrieve(made, stream=True))
    client.responses.retrieve(made)
    sandbox.script(live(running=60))
    held = client.responses.create(**BACKGROUND, input="Hello there.")
    next(iter(held))
    stats = sandbox.stats()
    assert (stats["streams"], stats["retrieves"], stats["streaming"]) == (3, 1, 1)
    held.close()


def test_the_helper_of_the_sdk_takes_a_stream_up(client):
    with client.responses.stream(model="m", input="What is a webhook?", background=True) as stream:
        done = stream.get_final_response()
    with client.responses.stream(response_id=done.id, starting_after=5) as stream:
        numbers = [event.sequence_number for event in stream]
    assert numbers[0] == 6
    assert done.status == "completed"


@pytest.mark.parametrize("gone", ["delete", "reset"])
def test_a_stream_ends_when_its_response_is_gone(client, sandbox, gone):
    sandbox.script(live(running=60))
    for event in client.responses.create(**BACKGROUND, input="Hello there."):
        if event.type == "response.created":
            client.responses.delete(event.response.id) if gone == "delete" else sandbox.reset()
    assert event.type != "response.completed"


def test_a_client_that_goes_away_does_not_hurt_a_background_response(client, sandbox):
    sandbox.script(live(running=0.2))
    stream = client.responses.create(**BACKGROUND, input="Hello there.")
    made = next(iter(stream)).response.id
    stream.close()
    time.sleep(0.25)  # until its life is over
    assert client.responses.retrieve(made).status == "completed"


def test_a_client_that_goes_away_ends_a_response_without_background(client, sandbox):
    sandbox.script(live(running=60))
    stream = client.responses.create(model="m", input="Hello there.", stream=True)
    made = next(iter(stream)).response.id
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(made)
    stream.close()
    deadline = time.monotonic() + 5
    while sandbox.response(made)["status"] == "in_progress" and time.monotonic() < deadline:
        time.sleep(0.01)
    assert client.responses.retrieve(made).status == "cancelled"


def test_a_response_that_was_not_streamed_cannot_be_streamed_later(client, start):
    with pytest.raises(openai.BadRequestError, match="not created with stream=true"):
        client.responses.retrieve(start().id, stream=True)
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve("resp_x", stream=True)


def test_a_stream_can_be_read_again_for_five_minutes(client, monkeypatch):
    made = listen(client)[0].response.id
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 299)
    assert list(client.responses.retrieve(made, stream=True))
    monkeypatch.setattr(time, "time", lambda: now + 301)
    with pytest.raises(openai.BadRequestError) as refused:
        client.responses.retrieve(made, stream=True)
    assert "can no longer be streamed because it is more than 5 minutes old." in str(refused.value)
    assert client.responses.retrieve(made).status == "completed"


def test_a_rule_can_refuse_a_stream_and_leave_polling_alone(client, sandbox):
    made = listen(client)[0].response.id
    error = {"message": "This response can no longer be streamed.", "param": "stream"}
    sandbox.script({"on": "stream", "do": {"status": 400, "error": error}})
    assert client.responses.retrieve(made).status == "completed"
    with pytest.raises(openai.BadRequestError, match="no longer be streamed"):
        client.responses.retrieve(made, stream=True)
    assert list(client.responses.retrieve(made, stream=True))


def test_a_cut_stream_breaks_off_and_can_be_taken_up(client, sandbox):
    sandbox.script({"on": "create", "do": {"cut_after": 6}})
    seen = []
    with pytest.raises(openai.APIConnectionError):
        seen.extend(client.responses.create(**BACKGROUND, input="What is a webhook?"))
    made, seen = sandbox.responses()[0]["id"], []
    sandbox.script({"on": "stream", "do": {"cut_after": 3, "clean": True}})
    seen = list(client.responses.retrieve(made, stream=True, starting_after=5))
    assert [event.sequence_number for event in seen] == [6, 7, 8]
    rest = list(client.responses.retrieve(made, stream=True, starting_after=8))
    assert rest[-1].type == "response.completed"


def test_a_stalled_stream_outlasts_a_hasty_client(client, sandbox):
    sandbox.script({"on": "create", "do": {"stall": 3, "after": 2}})
    seen = []
    with client_of(sandbox, timeout=0.5) as hasty, pytest.raises(openai.APITimeoutError):
        for event in hasty.responses.create(**BACKGROUND, input="What is a webhook?"):
            seen.append(event.type)
    assert seen == ["response.created", "response.queued"]


def test_error_events_come_flat_or_as_an_error(client, sandbox):
    flat = {"type": "error", "code": "server_error", "message": "wfr_1 failed.", "param": None}
    sandbox.script({"on": "create", "do": {"send": flat, "after": 4, "cut_after": 5}})
    seen = []
    with pytest.raises(openai.APIConnectionError):
        for event in client.responses.create(**BACKGROUND, input="What is a webhook?"):
            seen.append(event)
    assert (seen[-1].type, seen[-1].message) == ("error", "wfr_1 failed.")
    assert seen[-1].sequence_number == 4
    made = seen[0].response.id
    sandbox.script({"on": "stream", "do": {"send": {"error": {"message": "Overloaded."}}}})
    with pytest.raises(openai.APIError, match=r"Overloaded\."):
        list(client.responses.retrieve(made, stream=True))
    assert list(client.responses.retrieve(made, stream=True))[-1].type == "response.completed"


def test_unknown_events_have_a_number_and_come_again(sandbox):
    extra = {"after": 4, "event": {"type": "response.mood.changed", "mood": "blue"}}
    sandbox.script(live(running=0, events=[extra]))
    with client_of(sandbox, _strict_response_validation=False) as lenient:
        events = listen(lenient)
        assert events[4].type == "response.mood.changed"
        assert [event.sequence_number for event in events] == list(range(len(events)))
        again = lenient.responses.retrieve(events[0].response.id, stream=True, starting_after=3)
        assert next(iter(again)).type == "response.mood.changed"


def test_a_refusal_and_arguments_are_written_piece_by_piece(client, sandbox):
    refusal = {"type": "refusal", "refusal": "I am not able to do this."}
    call = {**ITEMS[2], "arguments": '{"query": "harbour dues", "limit": 5}'}
    said = {**ITEMS[0], "content": [refusal]}
    sandbox.script(live(running=0, output=[call, said]))
    events = listen(client)
    for kind in ("function_call_arguments", "refusal"):
        pieces = [e.delta for e in events if e.type == f"response.{kind}.delta"]
        whole = call["arguments"] if kind != "refusal" else refusal["refusal"]
        assert len(pieces) > 2
        assert "".join(pieces) == whole
    assert {"response.function_call_arguments.done", "response.refusal.done"} <= {
        event.type for event in events
    }


@pytest.mark.parametrize("item", ITEMS, ids=lambda item: item["type"])
def test_every_type_of_item_passes_through_untouched(client, sandbox, item):
    sandbox.script(live(running=0, output=[item, {"type": "unheard_of", "x": 1}]))
    with client_of(sandbox, _strict_response_validation=False) as lenient:
        events = listen(lenient)
        raw = lenient.get(f"/responses/{events[0].response.id}", cast_to=object)
        assert raw["output"] == [item, {"type": "unheard_of", "x": 1}]
    sandbox.script(live(running=0, output=[item]))
    events = listen(client)  # strict: added and done have the shape of the type, too
    done = [e for e in events if e.type == "response.output_item.done"]
    assert [event.item.to_dict() for event in done] == [item]
    assert [e.item.type for e in events if e.type == "response.output_item.added"] == [item["type"]]


def test_what_was_found_is_told_only_to_those_who_ask(client):
    file = client.files.create(
        file=("a.txt", b"The toll is paid at the wall."), purpose="user_data"
    )
    store = client.vector_stores.create(name="port", file_ids=[file.id])
    tool = {"type": "file_search", "vector_store_ids": [store.id]}
    events = listen(client, "Where is the toll paid?", tools=[tool])
    again = list(
        client.responses.retrieve(
            events[0].response.id, stream=True, include=["file_search_call.results"]
        )
    )
    assert "response.file_search_call.searching" in [event.type for event in events]
    for told, shown in ((events, False), (again, True)):
        done = next(event for event in told if event.type == "response.output_item.done")
        assert bool(done.item.results) == bool(told[-1].response.output[0].results) == shown


@pytest.mark.parametrize(
    "output",
    [
        [{}],
        [{"type": "message", "content": 7, "id": 7}],
        [{"type": "message", "content": [7, {"text": 7}, {"type": "output_text", "text": None}]}],
        [{"type": "message", "content": [{"type": "output_text", "text": "x", "annotations": 7}]}],
        [{"type": "message", "content": [{"type": "output_text", "text": "\ud800"}]}],
        [{"type": "reasoning", "summary": [3, {}], "content": "x"}],
        [{"type": "function_call", "arguments": 7}],
        [{"type": "mcp_list_tools", "tools": 1, "error": "x"}],
        [{"type": ["x"]}],
    ],
    ids=str,
)
def test_scripted_output_of_any_shape_can_be_streamed(sandbox, output):
    sandbox.script(live(running=0, output=output))
    connection = http.client.HTTPConnection(urlsplit(sandbox.base_url).netloc, timeout=10)
    body = json.dumps({**BACKGROUND, "input": "Hello there."})
    connection.request("POST", "/v1/responses", body, {"authorization": "Bearer k"})
    reply = connection.getresponse()
    text = reply.read().decode()
    connection.close()
    assert reply.status == 200
    last = json.loads(text.strip().rsplit("data: ", 1)[1])
    assert (last["type"], last["response"]["output"]) == ("response.completed", output)


@pytest.mark.parametrize("bad", ["-1", "x", "", "1.5", "9" * 30, "٣"])
def test_a_bad_starting_point_is_refused(client, bad):
    made = listen(client)[0].response.id
    with pytest.raises(openai.BadRequestError, match="starting_after"):
        client.responses.retrieve(made, stream=True, starting_after=bad)


@pytest.mark.parametrize(
    "options",
    [
        {"stream": True, "stream_options": 1},
        {"stream": True, "stream_options": {"include_obfuscation": "yes"}},
        {"stream": True, "stream_options": {"wish": True}},
        {"stream": "yes"},
        {"stream_options": {"include_obfuscation": True}},
    ],
    ids=str,
)
def test_bad_options_are_refused(client, options):
    body = {"model": "m", "input": "Hello.", "background": True, **options}
    with pytest.raises(openai.BadRequestError):
        client.post("/responses", body=body, cast_to=object)


def test_deltas_are_padded_unless_that_is_turned_off(client):
    plain = listen(client, stream_options={"include_obfuscation": False})
    padded = listen(client, stream_options={"include_obfuscation": True})
    assert text_of(plain) == text_of(padded)
    delta = next(e for e in padded if e.type == "response.output_text.delta")
    assert (len(delta.delta) + len(delta.obfuscation)) % 16 == 0
    assert all("obfuscation" not in event.to_dict() for event in plain)


def test_a_long_text_comes_whole_in_a_bounded_number_of_events(client, sandbox):
    text = "".join(f"Wort{n} 語 \n" for n in range(20_000)) + "語" * 1000
    sandbox.script(live(running=0, output_text=text))
    events = listen(client)
    assert text_of(events) == text
    assert len(events) < 2000


def test_the_same_events_are_told_after_a_restart(tmp_path):
    given = message("Focus: dues", file_part("a.txt", shelf_text("webhooks")))
    with RunningSandbox(state=tmp_path) as first:
        extra = {"after": 4, "event": {"type": "response.mood.changed"}}
        first.script(live(running=0, events=[extra], end="incomplete"))
        with client_of(first, _strict_response_validation=False) as client:
            events = listen(client, given, tools=[SEARCH])
    with (
        RunningSandbox(state=tmp_path) as second,
        client_of(second, _strict_response_validation=False) as client,
    ):
        again = client.responses.retrieve(events[0].response.id, stream=True)
        assert [e.to_dict() for e in again] == [e.to_dict() for e in events]


def test_a_stream_without_background_does_not_outlive_the_sandbox(tmp_path):
    with RunningSandbox(state=tmp_path) as first, client_of(first) as client:
        first.script(live(running=60))
        stream = client.responses.create(model="m", input="Hello there.", stream=True)
        made = next(iter(stream)).response.id
        stop = threading.Thread(target=first.__exit__, args=(None, None, None))
        stop.start()
        stop.join()
    with RunningSandbox(state=tmp_path) as second:
        assert second.response(made)["status"] == "cancelled"
