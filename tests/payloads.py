"""Response objects as the provider sends them, for tests that begin after the wire."""

import json
from typing import Any

from jobs.provider import payloads
from jobs.provider.payloads import ProviderResponse


def response_object(status: str = "completed", **changes: Any) -> dict[str, Any]:
    """A response in the shape of the wire, with `changes` on top."""
    ended = status not in ("queued", "in_progress")
    return {
        "id": "resp_test",
        "object": "response",
        "created_at": 1772442000,
        "status": status,
        "background": True,
        "error": {"code": "server_error", "message": "It broke."} if status == "failed" else None,
        "incomplete_details": {"reason": "max_output_tokens"} if status == "incomplete" else None,
        "model": "gpt-5.6-terra",
        "output": [message("The answer.")] if status in ("completed", "incomplete") else [],
        "service_tier": "default",
        "metadata": {},
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "usage": usage() if ended and status != "cancelled" else None,
        **changes,
    }


def message(text: str, *, annotations: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    part = {
        "type": "output_text",
        "text": text,
        "annotations": annotations or [],
        "logprobs": [],
    }
    return {
        "type": "message",
        "id": "msg_test",
        "role": "assistant",
        "status": "completed",
        "content": [part],
    }


def function_call(name: str, arguments: Any, *, call_id: str = "call_test") -> dict[str, Any]:
    text = arguments if isinstance(arguments, str) else json.dumps(arguments)
    return {
        "type": "function_call",
        "id": f"fc_{call_id}",
        "call_id": call_id,
        "name": name,
        "arguments": text,
        "status": "completed",
    }


def usage(input_tokens: int = 1000, output_tokens: int = 100) -> dict[str, Any]:
    return {
        "input_tokens": input_tokens,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": output_tokens,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": input_tokens + output_tokens,
    }


def response(status: str = "completed", **changes: Any) -> ProviderResponse:
    """The same, read."""
    return payloads.read(json.dumps(response_object(status, **changes)).encode())
