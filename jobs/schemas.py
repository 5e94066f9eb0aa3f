"""What a job type's JSON Schema asks for, read as a list of inputs. For drawing a form, never for
judging an answer: that is `jobs.inputs.input_problems`.

Any schema can be read; whatever is too involved comes out as an input without a plain type.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jobs.text import clean, clipped

#: Where a schema holds others that may hold as well: each alone, by a condition, by a name.
_BRANCHES = ("anyOf", "oneOf", "then", "else", "if", "dependentSchemas")
_MOST_BRANCHES_DEEP = 3
#: References and combinations that are followed for one input.
_MOST_STEPS = 20
_NULL = {"type": "null"}
#: With one of these and no type, an input is not just any text.
_COMPOUND = {"anyOf", "oneOf", "allOf", "not", "if", "properties", "items", "prefixItems"}
#: Stands for a type where an answer may be of several that are typed differently.
SEVERAL = "several"


@dataclass(frozen=True)
class Asked:
    """One input. `kind` is its JSON type, or `SEVERAL`; `items` the schema of a list's items;
    `options` the values to choose from, with what to call them, and `item_options` a list's."""

    key: str
    schema: Mapping[str, Any]
    items: Mapping[str, Any]
    required: bool
    nullable: bool

    @property
    def kind(self) -> str:
        kind = self.schema.get("type")
        if isinstance(kind, str):
            return kind
        return SEVERAL if _COMPOUND & set(self.schema) else "string"

    @property
    def options(self) -> list[tuple[Any, str]]:
        return _options(self.schema)

    @property
    def item_options(self) -> list[tuple[Any, str]]:
        return _options(self.items)

    @property
    def label(self) -> str:
        title = self.schema.get("title")
        if isinstance(title, str) and title.strip():
            return title.strip()
        words = re.sub(r"[_\-\s]+", " ", self.key).strip()
        return clipped(words[:1].upper() + words[1:], 100) or "Input"

    @property
    def description(self) -> str:
        """What the schema says of it, with up to three examples."""
        said = self.schema.get("description")
        examples = [clipped(worded(one), 80) for one in _list(self.schema.get("examples"))[:3]]
        told = f"For example: {' · '.join(examples)}." if examples else ""
        return " ".join(part for part in (said if isinstance(said, str) else "", told) if part)

    def number(self, *words: str) -> int | float | None:
        """The first of these keywords that is a number."""
        found = [self.schema.get(word) for word in words]
        numbers = (n for n in found if isinstance(n, int | float) and not isinstance(n, bool))
        return next(numbers, None)


class FormSchema:
    def __init__(self, root: Any) -> None:
        self._root = clean(root)
        self._top, _nullable = self._flat(self._root)

    def asked(self) -> Iterable[Asked]:
        """Every input that it names. What is asked for under a condition alone is optional here."""
        sure = _mapping(self._top.get("properties"))
        required = [name for name in _list(self._top.get("required")) if isinstance(name, str)]
        anywhere = self._named(self._top, depth=0)
        for name in dict.fromkeys([*sure, *required, *anywhere]):
            parts = [sure[name]] if name in sure else anywhere.get(name, [{}])
            schema = parts[0] if len(parts) == 1 else {"anyOf": parts, "title": _title(parts)}
            flat, nullable = self._flat(schema)
            items, _nullable = self._flat(flat.get("items"))
            yield Asked(name, flat, items, name in required, nullable)

    @property
    def takes_any(self) -> bool:
        """Whether it says what inputs are like that it does not name."""
        words = ("additionalProperties", "unevaluatedProperties", "patternProperties")
        return any(isinstance(self._top.get(word), dict) and self._top[word] for word in words)

    @property
    def is_closed(self) -> bool:
        words = ("additionalProperties", "unevaluatedProperties")
        return any(self._top.get(word) is False for word in words)

    def _named(self, schema: Mapping[str, Any], *, depth: int) -> dict[str, list[Any]]:
        """The different schemas of each input that is named anywhere at the top."""
        named = {name: [part] for name, part in _mapping(schema.get("properties")).items()}
        for word in _BRANCHES if depth < _MOST_BRANCHES_DEEP else ():
            held = schema.get(word)
            branches = held if isinstance(held, list) else [held]
            if word == "dependentSchemas":
                branches = list(_mapping(held).values())
            for branch in branches:
                flat, _nullable = self._flat(branch)
                for name, parts in self._named(flat, depth=depth + 1).items():
                    known = named.setdefault(name, [])
                    known += [part for part in parts if part not in known]
        return named

    def _flat(self, schema: Any) -> tuple[dict[str, Any], bool]:
        """A schema with its local references followed, its `allOf` taken together and null taken
        out of it; and whether null was in it."""
        flat, nullable = _mapping(schema), False
        for _step in range(_MOST_STEPS):
            if "$ref" in flat:
                target = self._at(flat["$ref"])
                flat = {**target, **{word: held for word, held in flat.items() if word != "$ref"}}
            elif parts := _list(flat.get("allOf")):
                own = {word: held for word, held in flat.items() if word != "allOf"}
                flat = _together([own, *parts])
            elif beside := _beside_null(flat):
                union, one = beside
                flat = {**one, **{word: held for word, held in flat.items() if word != union}}
                nullable = True
            else:
                break
        kinds = flat.get("type")
        if isinstance(kinds, list):
            nullable = nullable or "null" in kinds
            flat = {**flat, "type": _one_kind([kind for kind in kinds if kind != "null"])}
        return flat, nullable

    def _at(self, reference: Any) -> dict[str, Any]:
        """What a reference within the schema points to; nothing known for any other."""
        if not isinstance(reference, str) or not reference.startswith("#/"):
            return {}
        found = self._root
        for part in reference[2:].split("/"):
            name = part.replace("~1", "/").replace("~0", "~")
            found = found.get(name) if isinstance(found, dict) else None
        return _mapping(found)


def worded(value: Any) -> str:
    """A JSON value as a person reads it."""
    if isinstance(value, str):
        return value.strip() or as_json(value)
    words = {None: "None", True: "Yes", False: "No"}
    return words[value] if value is None or isinstance(value, bool) else as_json(value)


def as_json(value: Any, *, indent: int | None = None) -> str:
    return json.dumps(value, ensure_ascii=False, indent=indent)


def _options(schema: Mapping[str, Any]) -> list[tuple[Any, str]]:
    if "const" in schema:
        return [(schema["const"], worded(schema["const"]))]
    if values := _list(schema.get("enum")):
        return [(value, worded(value)) for value in values]
    for word in ("oneOf", "anyOf"):
        parts = _list(schema.get(word))
        if parts and all(isinstance(part, dict) and "const" in part for part in parts):
            return [_titled(part) for part in parts]
    return []


def _titled(part: Mapping[str, Any]) -> tuple[Any, str]:
    label = str(part.get("title") or worded(part["const"]))
    said = part.get("description")
    return part["const"], f"{label}: {said}" if isinstance(said, str) and said else label


def _together(parts: Sequence[Any]) -> dict[str, Any]:
    """Schemas that hold all at once, as one."""
    merged: dict[str, Any] = {}
    for part in map(_mapping, parts):
        properties = {**_mapping(merged.get("properties")), **_mapping(part.get("properties"))}
        required = [*_list(merged.get("required")), *_list(part.get("required"))]
        inner = [*_list(merged.get("allOf")), *_list(part.get("allOf"))]
        merged = {**part, **merged}
        for word, value in (("properties", properties), ("required", required), ("allOf", inner)):
            if value:
                merged[word] = value
    return merged


def _beside_null(flat: Mapping[str, Any]) -> tuple[str, dict[str, Any]] | None:
    """The keyword of a union of null and one other schema, and that other one."""
    for word in ("anyOf", "oneOf"):
        parts = _list(flat.get(word))
        others = [part for part in parts if part != _NULL]
        if len(parts) == 2 and len(others) == 1 and isinstance(others[0], dict):
            return word, others[0]
    return None


def _one_kind(kinds: Sequence[Any]) -> str | None:
    """The type to ask for where several are taken: the one that is easiest to type, if any."""
    if len(kinds) < 2:
        return str(kinds[0]) if kinds else None
    if "string" in kinds:
        return "string"
    return "number" if set(kinds) == {"integer", "number"} else SEVERAL


def _title(parts: Sequence[Any]) -> Any:
    return next((p["title"] for p in parts if isinstance(p, dict) and "title" in p), None)


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
