"""The register of tools: plain functions with type hints, from which their schemas are made.

A tool is found by its name once its module is imported: those in ``settings.TOOLS`` are, when the
first tool is asked for.
"""

import inspect
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache, cached_property
from importlib import import_module
from typing import Any, get_type_hints
from uuid import UUID

from django.conf import settings

from jobs.models import CallEffect, Job
from jobs.text import clean

#: Characters of an output; the model is told where it was cut.
MOST_OUTPUT = 40_000
_NOT_IN_SCHEMAS = ("title", "default")


class ToolProblem(Exception):
    """What a tool was asked for cannot be done, in a sentence for the model."""


@dataclass(frozen=True)
class ToolContext:
    """On whose behalf a tool runs. ``key`` is the same for the same call however often it is seen:
    an idempotency key for whatever leaves."""

    job: Job
    key: UUID
    now: datetime


@dataclass(frozen=True)
class Tool:
    """A registered function. `seconds` is how long it may take."""

    name: str
    title: str
    effect: CallEffect
    run: Callable[..., Any]
    seconds: float
    description: str = field(repr=False)

    @cached_property
    def _model(self) -> Any:
        from pydantic import ConfigDict, create_model  # 0.2 s: not paid by every command

        hints = get_type_hints(self.run, include_extras=True)
        parameters = list(inspect.signature(self.run).parameters.values())[1:]
        fields: dict[str, Any] = {
            one.name: (hints[one.name], ... if one.default is one.empty else one.default)
            for one in parameters
        }
        # Strict: a number in quotes is a mistake that the model can mend.
        return create_model(self.name, __config__=ConfigDict(extra="forbid", strict=True), **fields)

    @cached_property
    def parameters(self) -> dict[str, Any]:
        """The JSON Schema of the arguments, in the form that strict function calls demand: nothing
        optional, nothing more."""
        schema: dict[str, Any] = _plain(self._model.model_json_schema())
        schema["required"] = list(schema.get("properties", {}))
        schema.setdefault("properties", {})
        schema["additionalProperties"] = False
        return schema

    @property
    def definition(self) -> dict[str, Any]:
        """As it stands among a request's tools."""
        return {
            "type": "function",
            "name": self.name,
            "description": self.description,
            "parameters": self.parameters,
            "strict": True,
        }

    def arguments(self, text: str) -> dict[str, Any]:
        """The arguments in a JSON text. Raises `ToolProblem` with all that is wrong with them."""
        from pydantic import ValidationError

        try:
            checked = self._model.model_validate_json(text or "{}")
        except ValidationError as error:
            said = "; ".join(_worded(problem) for problem in error.errors()[:20])
            raise ToolProblem(f"The arguments of {self.name} are wrong: {said}.") from None
        except (ValueError, RecursionError):
            raise ToolProblem(f"The arguments of {self.name} are no usable JSON.") from None
        values = {name: getattr(checked, name) for name in type(checked).model_fields}
        if clean(values) != values:
            said = f"The arguments of {self.name} hold what cannot be stored, such as NUL."
            raise ToolProblem(said)
        return values

    def call(self, context: ToolContext, arguments: Mapping[str, Any]) -> str:
        """Run it; the output as JSON text, cut where it is too long. Raises whatever it raises."""
        output = self.run(context, **arguments)
        text = output if isinstance(output, str) else json.dumps(output, ensure_ascii=False)
        if len(text) <= MOST_OUTPUT:
            return text
        return f"{text[:MOST_OUTPUT]}\n… cut after {MOST_OUTPUT} of {len(text)} characters."


_tools: dict[str, Tool] = {}


def tool(
    *, effect: CallEffect, title: str, seconds: float = 20.0
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register a function. Its first parameter is the `ToolContext`; its docstring is what the
    model is told; what it returns must be JSON or text.

    An effect of `CallEffect.WRITE` means that a person approves each call and its arguments.
    """

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        name = function.__name__
        if name in _tools and _tools[name].run.__module__ != function.__module__:
            raise ValueError(f"There are two tools named {name}.")
        description = " ".join((inspect.getdoc(function) or "").split())
        if not description:
            raise ValueError(f"The tool {name} has no docstring: the model would know nothing.")
        _tools[name] = Tool(name, title, effect, function, seconds, description)
        return function

    return register


@cache
def _load() -> None:
    for module in settings.TOOLS:
        import_module(module)


def find(name: str) -> Tool | None:
    _load()
    return _tools.get(name)


def registered() -> list[Tool]:
    _load()
    return sorted(_tools.values(), key=lambda one: one.name)


def offered(tools: list[Any]) -> dict[str, Tool]:
    """Those of a prompt version's tools that are functions of ours, by name."""
    names = [
        entry.get("name")
        for entry in tools
        if isinstance(entry, dict) and entry.get("type") == "function"
    ]
    found = {name: find(name) for name in names if isinstance(name, str)}
    return {name: one for name, one in found.items() if one}


def may_change(tools: list[Any]) -> bool:
    """Whether a prompt version with these tools may ask to change something: no such call is made
    without a person's approval."""
    asks_by_itself = any(
        entry.get("type") == "mcp" and entry.get("require_approval") != "never"
        for entry in tools
        if isinstance(entry, dict)
    )
    return asks_by_itself or any(one.effect == CallEffect.WRITE for one in offered(tools).values())


def _plain(schema: Any) -> Any:
    """A schema without what strict function calls do not know."""
    if isinstance(schema, list):
        return [_plain(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    kept = {}
    for key, value in schema.items():
        if key == "properties":
            kept[key] = {name: _plain(part) for name, part in value.items()}
        elif key not in _NOT_IN_SCHEMAS:
            kept[key] = _plain(value)
    return kept


def _worded(problem: Mapping[str, Any]) -> str:
    where = ".".join(str(part) for part in problem["loc"])
    said = str(problem["msg"])
    return f"{where}: {said[:1].lower()}{said[1:]}" if where else said
