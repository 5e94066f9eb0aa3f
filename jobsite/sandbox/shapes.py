"""The objects of the API, as they stand on the wire.

The fields and their order in a live body, and which are null when, follow bodies that the live API
was seen to send; the types are those of the SDK, whose strict validation the tests turn on.
"""

from __future__ import annotations

import json
from typing import Any

from .intake import Request
from .life import Response


def echo(request: Request) -> dict[str, Any]:
    """The parameters of a request as every body of its response repeats them."""
    given = request.params
    text = given.get("text") or {}
    format = request.format
    if format["type"] == "json_schema":
        format = {"description": None, "strict": False, **format}
    reasoning = {"effort": None, "summary": None, **(given.get("reasoning") or {})}
    return {
        "background": bool(given.get("background")),
        "frequency_penalty": 0.0,
        "instructions": given.get("instructions"),
        "max_output_tokens": given.get("max_output_tokens"),
        "max_tool_calls": given.get("max_tool_calls"),
        "model": given["model"],
        "parallel_tool_calls": _or(given.get("parallel_tool_calls"), True),
        "presence_penalty": 0.0,
        "previous_response_id": given.get("previous_response_id"),
        "prompt_cache_key": given.get("prompt_cache_key"),
        "prompt_cache_retention": given.get("prompt_cache_retention"),
        "reasoning": reasoning,
        "safety_identifier": given.get("safety_identifier"),
        "service_tier": given.get("service_tier") or "auto",
        "store": _or(given.get("store"), True),
        "temperature": float(_or(given.get("temperature"), 1.0)),
        "text": {"verbosity": "medium", **text, "format": format},
        "tool_choice": given.get("tool_choice") or "auto",
        "tools": [_tool(tool) for tool in given.get("tools") or []],
        "top_logprobs": given.get("top_logprobs") or 0,
        "top_p": float(_or(given.get("top_p"), 1.0)),
        "truncation": given.get("truncation") or "disabled",
        "user": given.get("user"),
        "metadata": given.get("metadata") or {},
        "include": given.get("include") or [],
    }


def _or(value: Any, default: Any) -> Any:
    return default if value is None else value


def _tool(tool: dict[str, Any]) -> dict[str, Any]:
    return {"strict": True, **tool} if tool["type"] == "function" else tool


def body(
    response: Response,
    status: str,
    *,
    sources: bool = False,
    include: frozenset[str] = frozenset(),
) -> dict[str, Any]:
    """The response object at a status.

    ``sources``: whether the pages that a web search looked at are named, which the API does only
    when asked by ``include``. So it is with what a file search found, and what code has written:
    they are told when ``include`` or the request itself named them, or when a rule said so.
    """
    life = response.life
    ended = status not in ("queued", "in_progress")
    at_end = ended and response.cancelled_at is None
    output = response.output(status)
    if not sources:
        output = [_without_sources(item) for item in output]
    if not life.scripted:
        wanted = include | frozenset(response.echo["include"])
        output = [_without_results(item, wanted) for item in output]
    ends_at = response.ends_at
    made = {
        "id": response.id,
        "object": "response",
        "created_at": int(response.started),
        "status": status,
        **response.echo,
        "completed_at": int(ends_at) if status == "completed" and ends_at else None,
        "error": life.error if at_end else None,
        "incomplete_details": {"reason": life.reason} if at_end and life.reason else None,
        "output": output,
        "usage": life.usage if at_end else None,
    }
    del made["include"]
    if ended:
        tier = made["service_tier"]
        made["service_tier"] = {"auto": "default", "fast": "priority"}.get(tier, tier)
    if at_end and life.tool_usage:
        made["tool_usage"] = life.tool_usage
    return made


def _without_sources(item: dict[str, Any]) -> dict[str, Any]:
    action = item.get("action")
    if item.get("type") != "web_search_call" or not isinstance(action, dict):
        return item
    return {**item, "action": {key: value for key, value in action.items() if key != "sources"}}


_ON_DEMAND = {
    "file_search_call": ("results", "file_search_call.results"),
    "code_interpreter_call": ("outputs", "code_interpreter_call.outputs"),
}
_NAMES = frozenset(name for _, name in _ON_DEMAND.values())


def _without_results(item: dict[str, Any], wanted: frozenset[str]) -> dict[str, Any]:
    kind = item.get("type")
    field, name = _ON_DEMAND.get(kind, ("", "")) if isinstance(kind, str) else ("", "")
    return item if field not in item or name in wanted else {**item, field: None}


def body_bytes(
    response: Response, status: str, *, sources: bool, include: frozenset[str] = frozenset()
) -> bytes:
    """The body as JSON; written once for each status and kept."""
    include = include & _NAMES
    sources = sources or "web_search_call.action.sources" in response.echo["include"]
    key = (status, sources, include)
    if key not in response.bodies:
        for stale in [old for old in response.bodies if old[0] != status]:
            del response.bodies[stale]
        response.bodies[key] = to_bytes(body(response, status, sources=sources, include=include))
    return response.bodies[key]


def to_bytes(value: Any) -> bytes:
    text = json.dumps(value, ensure_ascii=False)
    try:
        return text.encode()
    except UnicodeEncodeError:  # half a surrogate pair, which JSON can name and UTF-8 cannot hold
        return json.dumps(value).encode()


def deleted(response_id: str) -> dict[str, Any]:
    return {"id": response_id, "object": "response", "deleted": True}


def input_items(
    items: list[dict[str, Any]], *, after: str | None, limit: int, order: str
) -> dict[str, Any]:
    """A page of the input, newest first unless ``order`` is ``asc``."""
    ordered = items if order == "asc" else items[::-1]
    if after is not None:
        ids = [item["id"] for item in ordered]
        ordered = ordered[ids.index(after) + 1 :] if after in ids else []
    page = ordered[:limit]
    return {
        "object": "list",
        "data": page,
        "first_id": page[0]["id"] if page else "",
        "last_id": page[-1]["id"] if page else "",
        "has_more": len(ordered) > limit,
    }


def event(event_id: str, type: str, response_id: str, created_at: int) -> dict[str, Any]:
    """The thin body of a webhook: it names the response and carries nothing of it."""
    return {
        "object": "event",
        "id": event_id,
        "type": type,
        "created_at": created_at,
        "data": {"id": response_id},
    }
