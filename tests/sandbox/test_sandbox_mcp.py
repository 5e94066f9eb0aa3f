"""Remote tools: listed, approved, called, refused; nothing is ever contacted."""

from __future__ import annotations

import openai
import pytest

from .talks import DESK, Talk


def test_a_remote_tool_waits_for_approval_and_is_then_called(client):
    talk = Talk(client, [DESK])
    listed, asked = talk.say("What is a webhook?").output
    assert (listed.type, asked.type, asked.id[:5]) == (
        "mcp_list_tools",
        "mcp_approval_request",
        "mcpr_",
    )
    assert "Made up by the sandbox" in listed.tools[0].description
    assert (asked.name, asked.server_label) == ("lookup", "desk")
    verdict = {"type": "mcp_approval_response", "approval_request_id": asked.id, "approve": True}
    called, said = talk.say([verdict]).output
    assert (called.type, called.approval_request_id) == ("mcp_call", asked.id)
    assert (called.arguments, called.error, called.status) == (asked.arguments, None, "completed")
    assert "A webhook is an HTTP request" in called.output
    assert "A webhook is an HTTP request" in talk.last.output_text
    assert said.type == "message"


def test_a_refused_call_is_not_made(client):
    talk = Talk(client, [DESK])
    asked = talk.say("What is a webhook?").output[-1]
    verdict = {"type": "mcp_approval_response", "approval_request_id": asked.id, "approve": False}
    done = talk.say([{**verdict, "reason": "Not today."}])
    assert [item.type for item in done.output] == ["message"]
    assert done.output_text == "The call of `lookup` on the server “desk” was refused: Not today."
    with pytest.raises(openai.BadRequestError, match="'mcpr_x' not found"):
        talk.say([{**verdict, "approval_request_id": "mcpr_x"}])


@pytest.mark.parametrize(
    ("options", "types", "name"),
    [
        ({"require_approval": "never"}, ["mcp_list_tools", "mcp_call", "message"], "lookup"),
        (
            {"require_approval": {"never": {"tool_names": ["lookup"]}}},
            ["mcp_list_tools", "mcp_call", "message"],
            "lookup",
        ),
        (
            {"require_approval": {"always": {"tool_names": ["lookup"]}}},
            ["mcp_list_tools", "mcp_approval_request"],
            "lookup",
        ),
        ({"allowed_tools": ["ask"]}, ["mcp_list_tools", "mcp_approval_request"], "ask"),
        (
            {"allowed_tools": {"tool_names": ["ask", "lookup"]}},
            ["mcp_list_tools", "mcp_approval_request"],
            "lookup",
        ),
        ({"allowed_tools": []}, ["mcp_list_tools", "message"], None),
    ],
    ids=str,
)
def test_approval_and_allowed_tools_are_heeded(client, options, types, name):
    output = Talk(client, [{**DESK, **options}]).say("What is a webhook?").output
    assert [item.type for item in output] == types
    named = [item.name for item in output if item.type in ("mcp_call", "mcp_approval_request")]
    assert named == ([name] if name else [])


def test_max_tool_calls_holds_for_built_in_tools(client):
    servers = [{**DESK, "server_label": f"desk{n}", "require_approval": "never"} for n in range(3)]
    done = Talk(client, servers, max_tool_calls=2).say("What is a webhook?")
    assert sum(item.type == "mcp_call" for item in done.output) == 2
    done = Talk(client, [*servers, {"type": "web_search"}], max_tool_calls=1).say("Webhooks?")
    kinds = [item.type for item in done.output]
    assert kinds.count("web_search_call") + kinds.count("mcp_call") == 1
