"""Remote tools over MCP, as a response shows them. No server is ever contacted.

Every server is taken to have one tool, which the sandbox makes up, and which looks things up on
the sandbox's own shelf.
"""

from __future__ import annotations

import json
from typing import Any

from .brief import search
from .calls import key_words
from .intake import new_id
from .thread import Thread, json_or_none
from .tooling import Choice, Tool

Item = dict[str, Any]

TOOL = "lookup"


def mcp_items(thread: Thread, choice: Choice, *, room: int) -> tuple[list[Item], str]:
    """``(items, what was refused)``: lists of tools, calls, and requests for approval.

    ``room`` is how many calls may still be made.
    """
    items: list[Item] = []
    told: list[str] = []
    servers = {tool["server_label"]: tool for tool in choice.servers}
    for request_id, verdict in thread.verdicts.items():
        request = thread.requests[request_id]
        name, label = request.get("name"), str(request.get("server_label"))
        called = f"The call of `{name}` on the server “{label}”"
        if verdict.get("approve") is not True:
            reason = str(verdict.get("reason") or "").rstrip(". ")
            told.append(f"{called} was refused{f': {reason}' if reason else ''}.")
        elif label not in servers:
            told.append(f"{called} was approved, but the request no longer offers that server.")
        elif room <= 0:
            told.append(f"{called} was left out, because max_tool_calls was reached.")
        else:
            items.append(_call(request, approval_request_id=request_id))
            room -= 1
    for label, tool in servers.items():
        name = _name(tool)
        if label not in thread.listed:
            items.append(_listing(label, name))
        arguments = {"query": key_words(thread.asked)}
        if name is None or room <= 0 or _was_made(thread, label, name, arguments):
            continue
        asked = {
            "name": name,
            "arguments": json.dumps(arguments, ensure_ascii=False),
            "server_label": label,
        }
        room -= 1
        if _needs_approval(tool, name):
            items.append({"id": new_id("mcpr"), "type": "mcp_approval_request", **asked})
        else:
            items.append(_call(asked, approval_request_id=None))
    return items, " ".join(told)


def _name(tool: Tool) -> str | None:
    """The name of the server's tool: what is allowed decides; None if nothing is."""
    allowed = tool.get("allowed_tools")
    names = allowed.get("tool_names") if isinstance(allowed, dict) else allowed
    if names is None or TOOL in names:
        return TOOL
    return names[0] if names else None


def _needs_approval(tool: Tool, name: str) -> bool:
    wanted = tool.get("require_approval") or "always"
    if isinstance(wanted, str):
        return wanted == "always"
    never = (wanted.get("never") or {}).get("tool_names") or []
    return name not in never


def _was_made(thread: Thread, label: str, name: str, arguments: dict[str, Any]) -> bool:
    earlier = [*thread.requests.values(), *thread.fetched]
    return any(
        (item.get("server_label"), item.get("name")) == (label, name)
        and json_or_none(str(item.get("arguments"))) == arguments
        for item in earlier
    )


def _listing(label: str, name: str | None) -> Item:
    tool = {
        "name": name,
        "description": "Made up by the sandbox, which contacts no server: looks a question up on "
        "the sandbox's own shelf of short articles.",
        "input_schema": {
            "type": "object",
            "properties": {"query": {"type": "string"}},
            "required": ["query"],
            "additionalProperties": False,
        },
        "annotations": {"readOnlyHint": True},
    }
    tools = [tool] if name is not None else []
    return {"id": new_id("mcpl"), "type": "mcp_list_tools", "server_label": label, "tools": tools}


def _call(asked: Item, *, approval_request_id: str | None) -> Item:
    arguments = str(asked.get("arguments"))
    given = json_or_none(arguments)
    query = given.get("query") if isinstance(given, dict) else ""
    found = [
        {"title": passage.article.title, "text": passage.sentence}
        for passage in search(str(query), count=3)
    ]
    note = "Made by the sandbox from its own shelf; no server was contacted."
    return {
        "id": new_id("mcp"),
        "type": "mcp_call",
        "status": "completed",
        "name": str(asked.get("name")),
        "server_label": str(asked.get("server_label")),
        "arguments": arguments,
        "output": json.dumps({"status": note, "results": found}, ensure_ascii=False),
        "error": None,
        "approval_request_id": approval_request_id,
    }
