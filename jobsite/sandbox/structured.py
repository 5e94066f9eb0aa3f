"""An instance of any JSON Schema, filled with words from the input."""

from __future__ import annotations

import datetime as dt
import math
import re
from collections.abc import Callable, Iterator
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError
from referencing import Registry
from referencing.exceptions import Unresolvable

from .passages import condense

Schema = dict[str, Any]

MAX_DEPTH = 8  # where recursive schemas are cut off
LARGEST = 10_000  # items of an array, characters of a string
_SAMPLES = (
    "a", "A", "ab", "AB", "abc", "ABC", "A1", "abc-123", "ABC-123", "abc_def", "example", "Example",
    "0", "1", "12", "123", "1234", "12345", "1.0", "1.0.0", "2026-01-31", "2026-01", "12:30",
    "12:30:00", "2026-01-31T12:30:00Z", "DE", "EUR", "en", "en-GB", "+4912345678", "#336699",
    "00000000-0000-4000-8000-000000000000", "a@example.org", "https://example.org/", "example.org",
    "0" * 32, "a" * 40, "0" * 64, "x" * 8, "10.00", "$10", "50%", "yes", "true", "low", "P1D",
)  # fmt: skip


class CannotFill(Exception):
    """No instance was found. The message says of which part."""


def problems(schema: Any, instance: Any) -> list[str]:
    """What is wrong with an instance; empty when it is valid.

    Raises CannotFill when the schema turns out to be no good: a reference that leads nowhere or
    in a circle (nothing is fetched), a pattern that is not one.
    """
    try:
        checker = Draft202012Validator(schema, registry=Registry())
        return [error.message for error in checker.iter_errors(instance)]
    except (Unresolvable, RecursionError, re.error) as error:
        raise CannotFill(f"The schema cannot be used: {error}") from None


def schema_fault(schema: Any) -> str | None:
    """Why this is not a JSON Schema, or None."""
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        return str(error.message)
    except RecursionError:
        return "It is nested too deeply."
    return None


def strict_fault(schema: Any, where: str) -> str | None:
    """What strict mode does not allow: objects that are open, or have optional properties."""
    if not isinstance(schema, dict):
        return None
    if "properties" in schema or schema.get("type") == "object":
        if schema.get("additionalProperties") is not False:
            return f"In context={where}, 'additionalProperties' must be given and be false."
        missing = set(schema.get("properties", {})) - set(schema.get("required", []))
        if missing:
            return f"In context={where}, 'required' must list every property; missing: {min(missing)!r}."
    inner: list[tuple[str, Any]] = [("items", schema.get("items"))]
    for key in ("properties", "$defs", "definitions"):
        if isinstance(schema.get(key), dict):
            inner += [(f"{key}.{name}", part) for name, part in schema[key].items()]
    for key in ("anyOf", "oneOf", "allOf"):
        inner += [(f"{key}.{i}", part) for i, part in enumerate(schema.get(key) or [])]
    faults = (strict_fault(part, f"{where}.{name}") for name, part in inner)
    return next((fault for fault in faults if fault), None)


def fill(schema: Schema, material: list[str], *, link: str = "https://example.org/") -> Any:
    """A valid instance whose strings are sentences of ``material``.

    Raises CannotFill when the schema asks for more than could be worked out (a rare pattern, a
    condition between fields).
    """
    try:
        value = Filler(schema, material, link=link).value(schema)
    except (RecursionError, re.error, ArithmeticError) as error:
        raise CannotFill(f"The schema cannot be used: {error}") from None
    if wrong := problems(schema, value):
        raise CannotFill(wrong[0])
    return value


class Filler:
    """Walks a schema and hands out sentences in turn."""

    def __init__(self, root: Schema, material: list[str], *, link: str) -> None:
        self.root = root
        self.link = link
        self.material = material or ["No text was given."]
        self.turn = self._sentences()

    def _sentences(self) -> Iterator[str]:
        while True:
            yield from self.material

    def resolve(self, schema: Any) -> Schema:
        """A schema with its references, and the parts of an ``allOf``, put in place."""
        for _ in range(20):
            if not isinstance(schema, dict):
                return {}
            if "$ref" in schema:
                schema = {**self._target(schema["$ref"]), **_without(schema, "$ref")}
            elif "allOf" in schema:
                merged: Schema = _without(schema, "allOf")
                for part in schema["allOf"]:
                    part = self.resolve(part)
                    properties = {**merged.get("properties", {}), **part.get("properties", {})}
                    required = [*merged.get("required", []), *part.get("required", [])]
                    merged = {**part, **merged}
                    if properties:
                        merged["properties"] = properties
                    if required:
                        merged["required"] = required
                schema = merged
            else:
                return schema
        return {}

    def _target(self, ref: str) -> Schema:
        node: Any = self.root
        for part in ref.lstrip("#").strip("/").split("/") if ref.strip("#/") else []:
            part = part.replace("~1", "/").replace("~0", "~")
            node = node.get(part) if isinstance(node, dict) else None
        if not isinstance(node, dict):
            raise CannotFill(f"The reference {ref} leads nowhere.")
        return node

    def value(self, schema: Any, *, name: str = "", depth: int = 0) -> Any:
        schema = self.resolve(schema)
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            fitting = [option for option in schema["enum"] if _has_type(option, schema.get("type"))]
            if not schema["enum"]:
                raise CannotFill(f"{name or 'The schema'} allows no value.")
            return (fitting or schema["enum"])[0]
        for key in ("anyOf", "oneOf"):
            if key in schema:
                return self._choice(schema, key, name=name, depth=depth)
        kinds = schema.get("type") or _guess_type(schema)
        if isinstance(kinds, list):
            kinds = [kind for kind in kinds if kind != "null" or depth > MAX_DEPTH] or kinds
            kind = "null" if depth > MAX_DEPTH and "null" in kinds else kinds[0]
        else:
            kind = kinds
        if kind == "object":
            return self._object(schema, depth=depth)
        if kind == "array":
            return self._array(schema, name=name, depth=depth)
        makers: dict[str, Callable[[], Any]] = {
            "string": lambda: self.string(schema, name=name),
            "integer": lambda: int(_number(schema, whole=True)),
            "number": lambda: _number(schema, whole=False),
            "boolean": lambda: True,
            "null": lambda: None,
        }
        return makers.get(kind, lambda: None)()

    def _choice(self, schema: Schema, key: str, *, name: str, depth: int) -> Any:
        base = _without(schema, key)
        options = [self.resolve(option) for option in schema[key]]
        options.sort(key=lambda option: (option.get("type") == "null") != (depth > MAX_DEPTH))
        failure: CannotFill | None = None
        for option in options:
            try:
                return self.value({**base, **option}, name=name, depth=depth + 1)
            except CannotFill as error:
                failure = error
        raise failure or CannotFill(f"{name or 'The schema'} has no choice to take.")

    def _object(self, schema: Schema, *, depth: int) -> dict[str, Any]:
        required = schema.get("required", [])
        made = {
            name: self.value(part, name=name, depth=depth + 1)
            for name, part in schema.get("properties", {}).items()
            if depth <= MAX_DEPTH or name in required
        }
        if depth > MAX_DEPTH * 4:
            raise CannotFill("The schema has no end.")
        for name in required:
            made.setdefault(name, next(self.turn))
        extra = schema.get("additionalProperties")
        while len(made) < schema.get("minProperties", 0):
            made[f"field_{len(made) + 1}"] = (
                self.value(extra, depth=depth + 1) if isinstance(extra, dict) else next(self.turn)
            )
        return made

    def _array(self, schema: Schema, *, name: str, depth: int) -> list[Any]:
        least = schema.get("minItems", 0)
        if least > LARGEST:
            raise CannotFill(f"{name or 'An array'} is to have {least} items.")
        most = min(schema.get("maxItems", max(3, least)), max(3, least))
        wanted = max(least, min(most, 2 if depth <= MAX_DEPTH else 0))
        made = [self.value(part, depth=depth + 1) for part in schema.get("prefixItems", [])]
        items = schema.get("items", {})
        if schema.get("uniqueItems"):
            options = self.resolve(items).get("enum")
            if options:
                return list(options[: max(least, min(wanted, len(options)))])
        while len(made) < wanted and items is not False:
            made.append(self.value(items, name=name, depth=depth + 1))
        return made

    def string(self, schema: Schema, *, name: str = "") -> str:
        least, most = schema.get("minLength", 0), schema.get("maxLength", math.inf)
        if least > LARGEST:
            raise CannotFill(f"{name or 'A string'} is to have {least} characters.")
        if pattern := schema.get("pattern"):
            for sample in (*_SAMPLES, *self.material, *" ".join(self.material).split()):
                if least <= len(sample) <= most and re.search(pattern, sample):
                    return sample
            raise CannotFill(f"No string was found for the pattern {pattern}.")
        if made := _formatted(schema.get("format", ""), name, self.link):
            return made
        return fit_text(next(self.turn), least, most)


def fit_text(text: str, least: float, most: float) -> str:
    """The text, condensed to at most ``most`` characters and padded to at least ``least``."""
    short = text if len(text) <= most else condense(text, limit=max(2, int(most)))[: int(most)]
    while len(short) < least:
        short = f"{short} {text}"[: int(min(most, max(least, len(short) + len(text) + 1)))] or "."
    return short


def _formatted(format: str, name: str, link: str) -> str | None:
    now = dt.datetime.now(dt.UTC).replace(microsecond=0)
    if format in ("uri", "url", "iri") or name.lower() in ("url", "link", "uri", "href"):
        return link
    return {
        "date": now.date().isoformat(),
        "date-time": now.isoformat().replace("+00:00", "Z"),
        "time": "12:00:00Z",
        "duration": "P1D",
        "email": "nobody@example.org",
        "hostname": "example.org",
        "ipv4": "127.0.0.1",
        "ipv6": "::1",
        "uuid": "00000000-0000-4000-8000-000000000000",
    }.get(format)


def _number(schema: Schema, *, whole: bool) -> float:
    step: Any = schema.get("multipleOf") or (1 if whole else 0)
    low, high = schema.get("minimum"), schema.get("maximum")
    nudge = step or 0.001
    if (above := schema.get("exclusiveMinimum")) is not None:
        low = above + nudge if low is None else max(low, above + nudge)
    if (below := schema.get("exclusiveMaximum")) is not None:
        high = below - nudge if high is None else min(high, below - nudge)
    value: float = 1 if low is None else low
    if low is not None and high is not None and not whole and not schema.get("multipleOf"):
        return float(low + high) / 2
    if high is not None:
        value = min(value, high)
    if step:
        value = math.ceil(value / step) * step
        if high is not None and value > high:
            value -= step
    return float(value)


def _guess_type(schema: Schema) -> str:
    if "properties" in schema or "required" in schema:
        return "object"
    return "array" if "items" in schema or "prefixItems" in schema else "string"


def _has_type(value: Any, kinds: Any) -> bool:
    return kinds is None or Draft202012Validator({"type": kinds}).is_valid(value)


def _without(schema: Schema, key: str) -> Schema:
    return {name: value for name, value in schema.items() if name != key}


def break_in_two_places(schema: Schema, instance: Any) -> Any:
    """A copy of a valid instance that violates its schema at least twice."""
    if not isinstance(instance, dict) or not instance:
        return {"unexpected": None}
    broken = dict(instance)
    required = [name for name in schema.get("required", []) if name in broken]
    first = required[0] if required else next(iter(broken))
    del broken[first]
    wrongs: list[Any] = [0, "wrong", None, {}]
    for name in reversed(list(broken)):
        for wrong in wrongs:
            trial = {**broken, name: wrong}
            if len(problems(schema, trial)) > len(problems(schema, broken)):
                broken = trial
                break
        if len(problems(schema, broken)) >= 2:
            return broken
    return {**broken, "unexpected": None}
