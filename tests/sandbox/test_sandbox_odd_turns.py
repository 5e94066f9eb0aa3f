"""Turns that are malformed, or follow something that is: refused or answered, never a crash."""

from __future__ import annotations

import contextlib
import copy
import http.client
import json
import random
from urllib.parse import urlsplit

import openai
import pytest

from .parts import message
from .talks import DESK, FOUND, LETTER, READ, SEARCH, SEND, Talk
from .test_sandbox_nonsense import ODD, places


@pytest.mark.parametrize(
    ("options", "param"),
    [
        ({"tools": [{"type": "function"}]}, "tools[0].name"),
        ({"tools": [{"type": "function", "name": "a b"}]}, "tools[0].name"),
        ({"tools": [{**SEARCH, "parameters": 7}]}, "tools[0].parameters"),
        ({"tools": [{**SEARCH, "parameters": {"type": "array"}}]}, "tools[0].parameters"),
        (
            {"tools": [{**SEARCH, "parameters": {"type": "object", "properties": {}}}]},
            "tools[0].parameters",
        ),
        ({"tools": [SEARCH, SEARCH]}, "tools[1]"),
        ({"tools": [{"type": "mcp", "server_label": "desk"}]}, "tools[0].server_url"),
        ({"tools": [{**DESK, "require_approval": "maybe"}]}, "tools[0].require_approval"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"tool_choice": "often"}, "tool_choice"),
        ({"tools": [SEARCH], "tool_choice": {"type": "function", "name": "x"}}, "tool_choice"),
        ({"tools": [SEARCH], "tool_choice": {"type": "allowed_tools"}}, "tool_choice.mode"),
        ({"input": [{"type": "mcp_approval_response"}]}, "input[0].approval_request_id"),
        ({"input": [{"type": "function_call", "call_id": "c"}]}, "input[0].name"),
        (
            {"input": [{"type": "function_call_output", "call_id": "c", "output": [7]}]},
            "input[0].output",
        ),
    ],
    ids=str,
)
def test_bad_tools_and_items_are_refused(client, options, param):
    body = {"model": "m", "input": "Hello there.", "background": True, **options}
    with pytest.raises(openai.BadRequestError) as refused:
        client.post("/responses", body=body, cast_to=object)
    assert refused.value.param == param


def test_odd_threads_are_answered_or_refused(client, sandbox):
    """Whatever is sent, and to whatever it is a reply, the answer is 200 or 400."""
    chance = random.Random(11)
    thread = {
        "model": "m",
        "stream": True,
        "stream_options": {"include_obfuscation": True},
        "tools": [SEARCH, READ, SEND, {**DESK, "allowed_tools": ["lookup"]}],
        "tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "mcp"}]},
        "max_tool_calls": 3,
        "input": [
            *message(LETTER),
            {"type": "function_call", "call_id": "c", "name": "search_library", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c", "output": FOUND},
            {"type": "reasoning", "id": "rs_1", "summary": []},
        ],
    }
    thread["tool_choice"]["tools"] = [{"type": "function", "name": "send_email"}]
    netloc = urlsplit(sandbox.base_url).netloc
    seen = set()
    with contextlib.closing(http.client.HTTPConnection(netloc, timeout=10)) as connection:
        for _ in range(500):
            body = copy.deepcopy(thread)
            if chance.random() < 0.3:
                del body["stream"], body["stream_options"]
            for _ in range(chance.choice([1, 1, 2])):
                holder, key = chance.choice(places(body))
                holder[key] = copy.deepcopy(chance.choice(ODD))
            connection.request(
                "POST", "/v1/responses", json.dumps(body), {"authorization": "Bearer k"}
            )
            reply = connection.getresponse()
            text = reply.read()
            assert reply.status in (200, 400), (body, text)
            seen.add(reply.status)
    assert seen == {200, 400}


@pytest.mark.parametrize(
    "output",
    [
        [{"type": "function_call", "call_id": 7, "name": [], "arguments": {}}],
        [{"type": "mcp_approval_request", "id": [], "server_label": {}}],
        [{"type": "mcp_call", "output": 7, "arguments": None}],
        [{"type": "message", "role": "user", "content": 7}, {"type": "function_call_output"}],
        [{"type": {"a": 1}, "role": []}],
        [
            {
                "type": "message",
                "role": "assistant",
                "content": [{"type": "refusal", "refusal": "No"}],
            }
        ],
    ],
    ids=str,
)
def test_a_thread_can_follow_any_output(client, sandbox, output):
    sandbox.script({"on": "create", "do": {"life": {"output": output}}})
    body = {"model": "m", "input": LETTER, "background": True, "tools": [SEARCH, READ, SEND, DESK]}
    made = client.post("/responses", body=body, cast_to=object)
    again = {**body, "previous_response_id": made["id"]}
    assert client.post("/responses", body=again, cast_to=object)["status"] == "queued"


@pytest.mark.parametrize(
    "output", ["", "null", "7", '"x"', "[[[]]]", "[" * 5000, '{"a": {"b": 1}}']
)
def test_outputs_of_any_kind_lead_on(client, output):
    talk = Talk(client, [SEARCH, READ])
    talk.say(LETTER)
    done = talk.answer(search_library=output)
    assert done.status == "completed" and done.output_text
