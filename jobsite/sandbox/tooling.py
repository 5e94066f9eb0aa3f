"""The tools of a request: checked as the API checks them, and which of them may be used."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from .errors import ApiError
from .structured import schema_fault, strict_fault

Tool = dict[str, Any]

_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_MODES = ("none", "auto", "required")


@dataclass(frozen=True, slots=True)
class Choice:
    """What ``tool_choice`` leaves of the tools, and whether one of them has to be used."""

    tools: list[Tool]
    required: bool

    @property
    def functions(self) -> list[Tool]:
        return [tool for tool in self.tools if tool["type"] == "function"]

    def first(self, kind: str) -> Tool | None:
        return next((tool for tool in self.tools if tool["type"] == kind), None)

    @property
    def servers(self) -> list[Tool]:
        return [tool for tool in self.tools if tool["type"] == "mcp"]


def choice_of(params: dict[str, Any]) -> Choice:
    tools = list(params.get("tools") or [])
    chosen = params.get("tool_choice") or "auto"
    if isinstance(chosen, str):
        return Choice([] if chosen == "none" else tools, chosen == "required")
    if chosen["type"] == "allowed_tools":
        allowed = [tool for tool in tools if any(_is_meant(tool, one) for one in chosen["tools"])]
        return Choice(allowed, chosen["mode"] == "required")
    return Choice([tool for tool in tools if _is_meant(tool, chosen)], True)


def _is_meant(tool: Tool, named: dict[str, Any]) -> bool:
    """Whether a definition is what a choice names: by its type, and its name or label if given."""
    kind, wanted = str(tool["type"]), str(named.get("type"))
    same = kind == wanted or (kind.startswith("web_search") and wanted.startswith("web_search"))
    name = "server_label" if kind == "mcp" else "name"
    return same and (kind not in ("function", "mcp", "custom") or tool[name] == named.get(name))


def check_tools(body: dict[str, Any]) -> None:
    """Raises ApiError (400) for tools and a tool_choice that the API would refuse."""
    tools = body.get("tools") or []
    names: set[tuple[str, str]] = set()
    for index, tool in enumerate(tools):
        where = f"tools[{index}]"
        if not isinstance(tool, dict) or not isinstance(tool.get("type"), str):
            raise _wrong(where, "an object with a 'type'")
        for name in ("user_location", "filters"):
            if not isinstance(tool.get(name), dict | None):
                raise _wrong(f"{where}.{name}", "an object")
        kind = tool["type"]
        if kind == "function":
            _check_function(tool, where)
        elif kind == "mcp":
            _check_server(tool, where)
        elif kind == "custom":
            _check_name(tool, "name", where)
        label = tool.get("server_label" if kind == "mcp" else "name")
        if kind in ("function", "mcp", "custom"):
            if (kind, str(label)) in names:
                raise ApiError(f"There are two tools named '{label}'.", param=where)
            names.add((kind, str(label)))
    _check_choice(body.get("tool_choice"), tools)


def _check_name(tool: Tool, field: str, where: str) -> None:
    name = tool.get(field)
    if name is None:
        raise ApiError(
            f"Missing required parameter: '{where}.{field}'.",
            param=f"{where}.{field}",
            code="missing_required_parameter",
        )
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ApiError(
            f"Invalid '{where}.{field}': it must match ^[a-zA-Z0-9_-]{{1,64}}$.",
            param=f"{where}.{field}",
            code="invalid_value",
        )


def _check_function(tool: Tool, where: str) -> None:
    _check_name(tool, "name", where)
    for field, kind in (("description", str), ("strict", bool), ("parameters", dict)):
        if not isinstance(tool.get(field), kind | None):
            raise _wrong(f"{where}.{field}", kind.__name__)
    schema = tool.get("parameters") or {}
    fault = schema_fault(schema)
    if not fault and schema.get("type", "object") != "object":
        fault = "The parameters must be a schema of 'type: \"object\"'."
    if not fault and tool.get("strict"):
        try:
            fault = strict_fault(schema, "()")
        except RecursionError:
            fault = "It is nested too deeply."
    if fault:
        raise ApiError(
            f"Invalid schema for function '{tool['name']}': {fault}",
            param=f"{where}.parameters",
            code="invalid_function_parameters",
        )


def _check_server(tool: Tool, where: str) -> None:
    _check_name(tool, "server_label", where)
    places = ("server_url", "connector_id", "tunnel_id")
    for field in (*places, "server_description", "authorization"):
        if not isinstance(tool.get(field), str | None):
            raise _wrong(f"{where}.{field}", "a string")
    if not any(tool.get(field) for field in places):
        raise ApiError(
            f"Missing required parameter: '{where}.server_url'.",
            param=f"{where}.server_url",
            code="missing_required_parameter",
        )
    approval = tool.get("require_approval")
    if not isinstance(approval, dict) and approval not in (None, "always", "never"):
        raise _wrong(f"{where}.require_approval", "'always', 'never' or a filter")
    for filter in approval.values() if isinstance(approval, dict) else ():
        _check_filter(filter, f"{where}.require_approval")
    allowed = tool.get("allowed_tools")
    if allowed is not None:
        _check_filter({"tool_names": allowed} if isinstance(allowed, list) else allowed, where)


def _check_filter(filter: Any, where: str) -> None:
    names = filter.get("tool_names") if isinstance(filter, dict) else 0
    if names is not None and (
        not isinstance(names, list) or not all(isinstance(name, str) for name in names)
    ):
        raise _wrong(where, "a filter with a list of 'tool_names'")


def _check_choice(chosen: Any, tools: list[Tool]) -> None:
    if chosen is None or (isinstance(chosen, str) and chosen in _MODES):
        if chosen == "required" and not tools:
            raise ApiError(
                "'tool_choice' is required, but there are no tools.", param="tool_choice"
            )
        return
    if not isinstance(chosen, dict) or not isinstance(chosen.get("type"), str):
        raise ApiError(
            "Invalid 'tool_choice': none, auto, required, or an object with a 'type'.",
            param="tool_choice",
            code="invalid_value",
        )
    if chosen["type"] == "allowed_tools":
        if chosen.get("mode") not in ("auto", "required"):
            raise ApiError(
                "Invalid 'tool_choice.mode': auto or required.",
                param="tool_choice.mode",
                code="invalid_value",
            )
        named = chosen.get("tools")
        if not isinstance(named, list) or not all(isinstance(one, dict) for one in named):
            raise _wrong("tool_choice.tools", "a list of objects")
    elif not any(_is_meant(tool, chosen) for tool in tools):
        said = chosen.get("name") or chosen.get("server_label") or chosen["type"]
        raise ApiError(f"Tool choice '{said}' not found in 'tools' parameter.", param="tool_choice")


#: The fields that an input item has to have, by its type.
_FIELDS: dict[str, dict[str, type]] = {
    "function_call": {"call_id": str, "name": str, "arguments": str},
    "function_call_output": {"call_id": str},
    "custom_tool_call_output": {"call_id": str},
    "item_reference": {"id": str},
    "mcp_approval_response": {"approval_request_id": str, "approve": bool},
    "reasoning": {"summary": list},
}


def check_item(item: dict[str, Any], kind: str, where: str) -> None:
    """Raises ApiError (400) for an input item that lacks what its type has to have."""
    if not isinstance(item.get("id"), str | None):
        raise _wrong(f"{where}.id", "a string")
    for field, wanted in _FIELDS.get(kind, {}).items():
        if item.get(field) is None:
            raise ApiError(
                f"Missing required parameter: '{where}.{field}'.",
                param=f"{where}.{field}",
                code="missing_required_parameter",
            )
        if not isinstance(item[field], wanted):
            raise _wrong(f"{where}.{field}", f"a {wanted.__name__}")
    if not isinstance(item.get("reason"), str | None):
        raise _wrong(f"{where}.reason", "a string")
    if kind.endswith("call_output") and kind.startswith(("function", "custom")):
        output = item.get("output")
        parts = output if isinstance(output, list) else [{"type": "input_text"}]
        if not isinstance(output, str | list) or not all(
            isinstance(part, dict)
            and part.get("type") in ("input_text", "input_image", "input_file")
            and isinstance(part.get("text", ""), str)
            for part in parts
        ):
            raise _wrong(f"{where}.output", "a string or a list of parts")


def _wrong(name: str, wanted: str) -> ApiError:
    return ApiError(
        f"Invalid type for '{name}': expected {wanted}.", param=name, code="invalid_type"
    )
