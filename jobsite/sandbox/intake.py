"""The body of a create request: checked as the API checks it, and read."""

from __future__ import annotations

import json
import re
import secrets
from dataclasses import dataclass, field
from typing import Any

from .attachments import file_part, image_part
from .documents import Document
from .errors import ApiError
from .files import Files
from .hosted import check_tool
from .structured import schema_fault, strict_fault
from .tooling import check_item, check_tools

PARAMETERS = frozenset(
    """access_programs background context_management conversation image include input instructions
    max_output_tokens max_tool_calls metadata model moderation parallel_tool_calls
    previous_response_id prompt prompt_cache_key prompt_cache_options prompt_cache_retention
    reasoning safety_identifier service_tier store stream stream_options temperature text
    tool_choice tools top_logprobs top_p truncation user""".split()  # noqa: SIM905
)
INCLUDABLE = frozenset(
    """file_search_call.results web_search_call.results web_search_call.action.sources
    message.input_image.image_url computer_call_output.output.image_url
    code_interpreter_call.outputs reasoning.encrypted_content
    message.output_text.logprobs""".split()  # noqa: SIM905
)
_KINDS: dict[str, tuple[type, ...]] = {
    "background": (bool,),
    "include": (list,),
    "instructions": (str, list),
    "max_output_tokens": (int,),
    "max_tool_calls": (int,),
    "metadata": (dict,),
    "model": (str,),
    "parallel_tool_calls": (bool,),
    "previous_response_id": (str,),
    "reasoning": (dict,),
    "safety_identifier": (str,),
    "service_tier": (str,),
    "store": (bool,),
    "stream": (bool,),
    "stream_options": (dict,),
    "temperature": (int, float),
    "text": (dict,),
    "tool_choice": (str, dict),
    "tools": (list,),
    "top_p": (int, float),
    "truncation": (str,),
    "user": (str,),
}
_DIRECTIVE = re.compile(r"\bsandbox:\s*(?=\{)")


@dataclass(slots=True)
class Request:
    """A create request that was found good. ``params`` is the body as sent."""

    params: dict[str, Any]
    text: str = ""
    documents: list[Document] = field(default_factory=list)
    images: list[str] = field(default_factory=list)
    unreadable: str | None = None
    items: list[dict[str, Any]] = field(default_factory=list)
    files: Files | None = None

    @property
    def format(self) -> dict[str, Any]:
        """``text.format`` of the request; ``{"type": "text"}`` unless it says otherwise."""
        chosen = (self.params.get("text") or {}).get("format")
        return chosen if isinstance(chosen, dict) else {"type": "text"}

    @property
    def instructions(self) -> str:
        given = self.params.get("instructions")
        return given if isinstance(given, str) else ""

    @property
    def length(self) -> int:
        """All characters that the model would read."""
        instructions = self.params.get("instructions") or ""
        files = sum(len(document.text) for document in self.documents)
        return len(self.text) + len(str(instructions)) + files


def new_id(prefix: str) -> str:
    return f"{prefix}_{secrets.token_hex(24)}"


def directive(text: str) -> tuple[dict[str, Any] | None, str]:
    """The ``sandbox: {json}`` in a text, if there is one, and the text without it."""
    match = _DIRECTIVE.search(text)
    if not match:
        return None, text
    try:
        found, length = json.JSONDecoder().raw_decode(text[match.end() :])
    except (json.JSONDecodeError, RecursionError):
        raise ApiError("The sandbox directive in the input is not JSON.", param="input") from None
    return found, (text[: match.start()] + text[match.end() + length :]).strip()


def loose_text(body: Any, *, of: tuple[str, ...] = ("content", "output")) -> str:
    """The text of an input that may be malformed: strings and text parts, not files.

    ``of``: whether that of messages, that of tools' outputs, or both.
    """
    given = body.get("input") if isinstance(body, dict) else None
    if isinstance(given, str):
        return given if "content" in of else ""
    texts: list[str] = []
    for item in given if isinstance(given, list) else []:
        found = [item[key] for key in of if key in item] if isinstance(item, dict) else []
        content = found[0] if found else None
        parts = content if isinstance(content, list) else [{"text": content}]
        for part in parts:
            text = part.get("text") if isinstance(part, dict) else None
            if isinstance(text, str):
                texts.append(text)
    return "\n\n".join(texts)


def read(body: Any, files: Files | None = None) -> Request:
    """Check a body and read its input. Slow (a second or more) when there are long PDFs.

    ``files`` are those that the input may name by their ids; ``images`` of the request are
    sentences about each image.

    Raises ApiError when the API would refuse it. A file that is whole but cannot be read is not
    refused: its reason is in ``unreadable``.
    """
    _check(body)
    request = Request(body, files=files)
    _, asked = directive(loose_text(body, of=("content",)))
    request.text = "\n\n".join(filter(None, [asked, loose_text(body, of=("output",))]))
    given = body["input"]
    if isinstance(given, str):
        given = [{"role": "user", "content": given}]
    request.items = [_item(request, item, f"input[{i}]") for i, item in enumerate(given)]
    return request


def _check(body: Any) -> None:
    if not isinstance(body, dict):
        raise ApiError("The body must be a JSON object.")
    for name in body:
        if name not in PARAMETERS:
            raise ApiError(f"Unknown parameter: '{name}'.", param=name, code="unknown_parameter")
    for name in ("model", "input"):
        if body.get(name) in (None, "", []):
            raise ApiError(
                f"Missing required parameter: '{name}'.",
                param=name,
                code="missing_required_parameter",
            )
    if not isinstance(body["input"], str | list):
        raise _wrong_type("input", "a string or a list of items")
    for name, kinds in _KINDS.items():
        value = body.get(name)
        if value is not None and (
            not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds)
        ):
            raise _wrong_type(name, " or ".join(kind.__name__ for kind in kinds))
    _check_metadata(body.get("metadata") or {})
    _check_stream_options(body)
    for name in ("conversation", "prompt"):
        if body.get(name) is not None:
            raise _unsupported(name, f"The sandbox does not know '{name}'.")
    if body.get("background") and body.get("store") is False:
        raise _unsupported("background", "Background mode requires 'store' to be true.")
    for index, name in enumerate(body.get("include") or []):
        if not isinstance(name, str) or name not in INCLUDABLE:
            raise ApiError(
                f"Invalid value: '{name}'.", param=f"include[{index}]", code="invalid_value"
            )
    for name, low, high in (
        ("max_output_tokens", 16, None),
        ("max_tool_calls", 1, None),
        ("temperature", 0, 2),
        ("top_p", 0, 1),
    ):
        value = body.get(name)
        if value is not None and (value < low or (high is not None and value > high)):
            raise ApiError(
                f"Invalid '{name}': {value} is out of range.", param=name, code="invalid_value"
            )
    check_tools(body)
    for index, tool in enumerate(body.get("tools") or []):
        check_tool(tool, f"tools[{index}]")
    _check_format((body.get("text") or {}).get("format"))


def _check_stream_options(body: dict[str, Any]) -> None:
    options = body.get("stream_options")
    if options is None:
        return
    if not body.get("stream"):
        raise _unsupported(
            "stream_options", "'stream_options' is only allowed when 'stream' is true."
        )
    for name, value in options.items():
        if name != "include_obfuscation":
            where = f"stream_options.{name}"
            raise ApiError(f"Unknown parameter: '{where}'.", param=where, code="unknown_parameter")
        if not isinstance(value, bool | None):
            raise _wrong_type("stream_options.include_obfuscation", "bool")


def _check_metadata(metadata: dict[str, Any]) -> None:
    if len(metadata) > 16:
        raise ApiError(
            f"Invalid 'metadata': {len(metadata)} pairs, but at most 16 are allowed.",
            param="metadata",
            code="object_above_max_properties",
        )
    for key, value in metadata.items():
        if not isinstance(value, str):
            raise _wrong_type(f"metadata.{key}", "a string")
        if len(key) > 64:
            raise ApiError(
                "Invalid 'metadata': a key is longer than 64 characters.",
                param="metadata",
                code="string_above_max_length",
            )
        if len(value) > 512:
            raise ApiError(
                f"Invalid 'metadata.{key}': the value is longer than 512 characters.",
                param=f"metadata.{key}",
                code="string_above_max_length",
            )


def _check_format(format: Any) -> None:
    if format is None:
        return
    kind = format.get("type") if isinstance(format, dict) else None
    if kind not in ("text", "json_object", "json_schema"):
        raise ApiError(
            "Invalid 'text.format.type'.", param="text.format.type", code="invalid_value"
        )
    if kind != "json_schema":
        return
    for name, wanted in (("name", str), ("schema", dict)):
        if not isinstance(format.get(name), wanted) or not format[name]:
            raise ApiError(
                f"Missing required parameter: 'text.format.{name}'.",
                param=f"text.format.{name}",
                code="missing_required_parameter",
            )
    fault = schema_fault(format["schema"])
    if fault is None and format.get("strict"):
        try:
            fault = strict_fault(format["schema"], "()")
        except RecursionError:
            fault = "It is nested too deeply."
    if fault:
        raise ApiError(
            f"Invalid schema for response_format '{format['name']}': {fault}",
            param="text.format.schema",
            code="invalid_json_schema",
        )


def _wrong_type(name: str, wanted: str) -> ApiError:
    return ApiError(
        f"Invalid type for '{name}': expected {wanted}.", param=name, code="invalid_type"
    )


def _unsupported(name: str, message: str) -> ApiError:
    return ApiError(message, param=name, code="unsupported_parameter")


def _item(request: Request, item: Any, where: str) -> dict[str, Any]:
    """One input item as GET …/input_items shows it; files are read into the request on the way."""
    if not isinstance(item, dict):
        raise _wrong_type(where, "an object")
    kind = item.get("type", "message" if "role" in item else None)
    if not isinstance(kind, str):
        raise ApiError(
            f"Missing required parameter: '{where}.type'.",
            param=f"{where}.type",
            code="missing_required_parameter",
        )
    if kind != "message":
        check_item(item, kind, where)
        shown = item if kind == "item_reference" else {"status": "completed", **item}
        return {**shown, "type": kind, "id": item.get("id") or new_id(kind.split("_")[0])}
    role = item.get("role")
    if role not in ("user", "system", "developer", "assistant"):
        raise ApiError(
            f"Invalid value for '{where}.role'.", param=f"{where}.role", code="invalid_value"
        )
    content = item.get("content")
    if isinstance(content, str):
        content = [
            {"type": "output_text" if role == "assistant" else "input_text", "text": content}
        ]
    if not isinstance(content, list):
        raise _wrong_type(f"{where}.content", "a string or a list of parts")
    parts = [_part(request, part, f"{where}.content[{i}]") for i, part in enumerate(content)]
    return {
        "id": item.get("id") or new_id("msg"),
        "type": "message",
        "role": role,
        "status": "completed",
        "content": parts,
    }


def _part(request: Request, part: Any, where: str) -> dict[str, Any]:
    kind = part.get("type") if isinstance(part, dict) else None
    if kind in ("input_text", "output_text"):
        if not isinstance(part.get("text"), str):
            raise _wrong_type(f"{where}.text", "a string")
        if kind == "output_text":
            return {"annotations": [], "logprobs": [], **part}
        return dict(part)
    if kind == "input_file":
        shown, text = file_part(part, where, request.files, number=len(request.documents) + 1)
        if isinstance(text, Document):
            request.documents.append(text)
        else:
            request.unreadable = request.unreadable or str(text)
        return shown
    if kind == "input_image":
        shown, told = image_part(part, where, request.files, number=len(request.images) + 1)
        request.images.append(told)
        return shown
    if kind == "refusal":
        return dict(part)
    raise ApiError(
        f"Invalid value for '{where}.type'.", param=f"{where}.type", code="invalid_value"
    )
