"""Whatever is sent, the answer is one of the API's, and never a crash."""

from __future__ import annotations

import contextlib
import copy
import http.client
import json
import random
from typing import Any
from urllib.parse import urlsplit

import pytest

from jobsite.sandbox.structured import CannotFill, fill

from .parts import DIGEST_FORMAT, file_part, message

BODIES: list[dict[str, Any]] = [
    {
        "model": "m",
        "input": message("Focus: dues", file_part("a.txt", "The toll was paid at the outer wall.")),
        "text": {"format": DIGEST_FORMAT},
        "background": True,
        "metadata": {"turn": "1"},
        "reasoning": {"effort": "low", "summary": "auto"},
    },
    {
        "model": "m",
        "input": "Topic: queues\nWhat is a lease?",
        "tools": [
            {
                "type": "web_search",
                "user_location": {"type": "approximate", "city": "Bonn"},
                "filters": {"allowed_domains": ["example.org"]},
            }
        ],
        "include": ["web_search_call.action.sources"],
        "max_output_tokens": 400,
    },
    {
        "model": "m",
        "previous_response_id": None,
        "input": [
            {"type": "function_call_output", "call_id": "call_1", "output": "Done."},
            {"role": "assistant", "content": [{"type": "output_text", "text": "Well."}]},
        ],
    },
]
ODD: list[Any] = [None, True, 0, -1, 1e308, "", "x", "data:,", [], {}, [[]], {"a": 1}, "\ud800"]


def places(node: Any) -> list[tuple[Any, Any]]:
    """Every (container, key) inside a body."""
    keys = node.keys() if isinstance(node, dict) else range(len(node))
    found = []
    for key in keys:
        found.append((node, key))
        if isinstance(node[key], dict | list):
            found += places(node[key])
    return found


def test_bodies_with_odd_parts_are_answered_or_refused(sandbox):
    chance = random.Random(7)
    netloc = urlsplit(sandbox.base_url).netloc
    headers = {"authorization": "Bearer k"}
    seen = set()
    with contextlib.closing(http.client.HTTPConnection(netloc, timeout=10)) as connection:

        def call(method: str, path: str, body: Any = None) -> tuple[int, bytes]:
            connection.request(method, path, body and json.dumps(body), headers)
            reply = connection.getresponse()
            return reply.status, reply.read()

        for _ in range(600):
            body = copy.deepcopy(chance.choice(BODIES))
            for _ in range(chance.choice([1, 1, 2])):
                holder, key = chance.choice(places(body))
                holder[key] = copy.deepcopy(chance.choice(ODD))
            status, text = call("POST", "/v1/responses", body)
            assert status in (200, 400), (body, text)
            seen.add(status)
            if status == 200:
                status, _ = call("GET", f"/v1/responses/{json.loads(text)['id']}")
                assert status in (200, 404), body  # 404: it was sent with store=false
    assert seen == {200, 400}


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/a"}}},
        {"$ref": "https://example.org/schema.json"},
        {"type": "string", "not": {"$ref": "https://example.org/schema.json"}},
        {"type": "string", "pattern": "["},
        {"enum": []},
        {"type": "array", "minItems": 10**9},
        {"type": "string", "minLength": 10**9},
        {"type": "integer", "minimum": 3, "maximum": 2},
        {"type": "object", "properties": {"a": False}, "required": ["a"]},
    ],
    ids=str,
)
def test_hopeless_schemas_are_given_up_in_time(schema):
    with pytest.raises(CannotFill):
        fill(schema, ["A sentence."])


@pytest.mark.parametrize(
    "output",
    [
        [{}],
        [{"type": "message"}],
        [{"type": "message", "content": "text"}],
        [{"type": "message", "content": [7, {"text": 7}, {"text": "x", "annotations": [7]}]}],
        [{"type": "web_search_call", "action": None}],
    ],
    ids=str,
)
@pytest.mark.parametrize("end", ["completed", "incomplete", "cancelled"])
def test_scripted_output_may_be_of_any_shape(client, sandbox, output, end):
    sandbox.script({"on": "create", "do": {"life": {"end": end, "output": output}}})
    body = {"model": "m", "input": "Hello.", "background": True}
    made = client.post("/responses", body=body, cast_to=object)
    got = client.get(f"/responses/{made['id']}", cast_to=object)
    assert got["output"] == output
    client.post("/responses", body={**body, "previous_response_id": made["id"]}, cast_to=object)
