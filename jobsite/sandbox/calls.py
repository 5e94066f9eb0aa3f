"""Which functions are called, with what: decided by their names, descriptions and schemas.

A function that searches is asked for the key words of the message; one that reads, for what a
search has found; one that sends, once, with a draft. Any other is called only if it has to be.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

from .brief import questions_in
from .intake import new_id
from .passages import STOPWORDS, collapse, terms
from .replies import Draft
from .structured import CannotFill, problems
from .thread import (
    Thread,
    json_or_none,
    letter_in,
    link_in,
    mail_address_in,
    without_addresses,
)
from .tooling import Choice, Tool

Item = dict[str, Any]
Schema = dict[str, Any]

KEY_WORDS = 6
A_FEW = 5  # for a number that nothing else is known of

_ROLES = {
    "search": frozenset({"search", "find", "lookup", "look", "query"}),
    "read": frozenset({"read", "fetch", "get", "open", "load", "retrieve"}),
    "send": frozenset({"send", "post", "notify", "email", "mail", "publish"}),
}
_QUERY = ("query", "question", "text", "q", "search", "keywords", "words", "terms", "phrase")
_NUMBER = ("id", "ref", "reference", "key", "slug", "uuid")  # what any hit may be known by
_REFERENCE = (*_NUMBER, "document", "number", "name", "filename", "file_name")
_AMOUNT = frozenset({"limit", "count", "size", "top", "max", "result", "hit", "number"})
_TO = ("to", "recipient", "recipients", "email", "address", "to_address", "to_email")
_SUBJECT = ("subject", "title", "headline")
_BODY = ("body", "text", "message", "content", "reply", "payload", "note")
_URL = ("url", "webhook", "webhook_url", "endpoint", "link")
_GREETINGS = frozenset(
    """hello dear hi hey thanks thank kind best regards sincerely cheers customer message question
    know want like would""".split()  # noqa: SIM905
)
_WORD = re.compile(r"[^\W_]+(?:[-'’][^\W_]+)*")


def next_calls(thread: Thread, choice: Choice, *, parallel: bool) -> list[Item]:
    """The function_call items of the next turn; empty when there is nothing to call."""
    found = list(_searches(thread, choice)) or list(_reads(thread, choice))
    if not found:
        found = list(_sends(thread, choice))[:1]
    if not found and choice.required and not thread.fresh:
        found = list(_forced(thread, choice))[:1]
    calls = found if parallel else found[:1]
    return [
        {
            "id": new_id("fc"),
            "type": "function_call",
            "status": "completed",
            "call_id": new_id("call"),
            "name": tool["name"],
            "arguments": json.dumps(arguments, ensure_ascii=False),
        }
        for tool, arguments in calls
    ]


def role_of(tool: Tool) -> str:
    """``search``, ``read``, ``send``, or "" for what is none of these."""
    told = tool.get("description") or ""
    for text, named in ((tool["name"], True), (told.replace("e-mail", "email"), False)):
        for word in _words(text):
            for role, known in _ROLES.items():
                if word in known and _fits(tool, role, named=named):
                    return role
    return ""


def sends(tool: Tool) -> bool:
    return role_of(tool) == "send"


def _fits(tool: Tool, role: str, *, named: bool) -> bool:
    if role == "search":
        return _query_parameter(tool) is not None
    if role == "read":
        return _reference_parameter(tool) is not None
    return named or any(name in (*_BODY, *_TO) for name in _properties(tool))


def _words(name: str) -> list[str]:
    """The words of a name or a sentence, in lower case, without the commonest endings."""
    apart = re.sub(r"([a-z0-9])([A-Z])", r"\1 \2", name)
    words = re.findall(r"[a-z]+", apart.lower())
    return [re.sub(r"(?<=ch|sh|ss)es$|(?<=[^s])s$", "", word) for word in words]


def _properties(tool: Tool) -> dict[str, Schema]:
    schema = tool.get("parameters") or {}
    definitions = schema.get("$defs") or {}
    found = {}
    for name, part in (schema.get("properties") or {}).items():
        part = part if isinstance(part, dict) else {}
        reference = part.get("$ref")
        if isinstance(reference, str) and reference.startswith("#/$defs/"):
            named = definitions.get(reference.removeprefix("#/$defs/"))
            part = {**(named if isinstance(named, dict) else {}), **part}
        found[name] = part
    return found


def _required(tool: Tool) -> set[str]:
    return set((tool.get("parameters") or {}).get("required") or [])


def _kinds(schema: Schema) -> list[str]:
    """The types that a value may have, those of ``anyOf`` included; none for any."""
    kinds = schema.get("type") or []
    found = [kinds] if isinstance(kinds, str) else list(kinds)
    for part in [*(schema.get("anyOf") or []), *(schema.get("oneOf") or [])]:
        if isinstance(part, dict):
            found += _kinds(part)
    return found


def _takes_text(schema: Schema) -> bool:
    return "enum" not in schema and (not _kinds(schema) or "string" in _kinds(schema))


def _query_parameter(tool: Tool) -> str | None:
    texts = [name for name, schema in _properties(tool).items() if _takes_text(schema)]
    named = [name for name in _QUERY if name in texts]
    if named:
        return named[0]
    return texts[0] if len(texts) == 1 and texts[0] not in _REFERENCE else None


def _reference_parameter(tool: Tool) -> str | None:
    for name, schema in _properties(tool).items():
        simple = not _kinds(schema) or {"string", "integer"} & set(_kinds(schema))
        if simple and (name in _REFERENCE or name.endswith(("_id", "_ref", "_key", "_slug"))):
            return name
    return None


def key_words(text: str, count: int = KEY_WORDS) -> str:
    """The words that a message is about, as it writes them and in its order."""
    plain = without_addresses(letter_in(text))
    asked = " ".join(questions_in(plain))
    for source in (asked, plain):
        words = [
            word
            for word in _WORD.findall(source)
            if terms(word) and word.lower() not in STOPWORDS | _GREETINGS
        ]
        if words:
            break
    else:
        return collapse(plain)[:100]
    counts = Counter(word.lower() for word in words)
    first = {word.lower(): place for place, word in reversed(list(enumerate(words)))}
    best = sorted(counts, key=lambda word: (-counts[word], -len(word), first[word]))[:count]
    return " ".join(words[first[word]] for word in sorted(best, key=first.__getitem__))


def _searches(thread: Thread, choice: Choice) -> Iterator[tuple[Tool, Any]]:
    made = {call.name for call in thread.fresh}
    query = key_words(thread.asked)
    for tool in choice.functions if query else ():
        name = _query_parameter(tool)
        if role_of(tool) == "search" and name is not None and tool["name"] not in made:
            arguments = _filled(tool, {name: query})
            if not thread.was_made(tool["name"], arguments):
                yield tool, arguments


def _reads(thread: Thread, choice: Choice) -> Iterator[tuple[Tool, Any]]:
    """Each function that reads gets the best of what was found for it."""
    readers = [tool for tool in choice.functions if role_of(tool) == "read"]
    searches = [tool["name"] for tool in choice.functions if role_of(tool) == "search"]
    made = {call.name for call in thread.fresh}
    wanted = set(terms(thread.asked))
    for tool in readers:
        name = _reference_parameter(tool)
        if name is None or tool["name"] in made:
            continue
        kin = {other for other in searches if set(_words(other)) & set(_words(tool["name"]))}
        found = []
        for call in thread.fresh:
            if kin and call.name not in kin:
                continue
            for hit in _hits(json_or_none(call.output or "")):
                value, exact = _reference(hit, name, _properties(tool)[name])
                if value is not None and (exact or kin or len(readers) == 1):
                    shared = len(wanted & set(terms(json.dumps(hit, ensure_ascii=False))))
                    found.append(((exact, shared), value))
        found.sort(key=lambda pair: pair[0], reverse=True)
        for _, value in found[:1]:
            arguments = _filled(tool, {name: value})
            if not thread.was_made(tool["name"], arguments):
                yield tool, arguments


def _hits(found: Any, depth: int = 0) -> Iterator[Item]:
    """The objects in a search's output, from the outside in."""
    if isinstance(found, dict):
        yield found
        found = list(found.values())
    if isinstance(found, list) and depth < 6:
        for part in found:
            yield from _hits(part, depth + 1)


def _reference(hit: Item, name: str, schema: Schema) -> tuple[Any, bool]:
    """What a hit can be read by, and whether it says so by the parameter's own name."""
    keys = [name]
    if name.rsplit("_", 1)[-1] in _NUMBER:
        keys += [*_NUMBER, *(key for key in hit if key.endswith(("_id", "_ref")))]
    for key in keys:
        value = hit.get(key)
        if isinstance(value, bool) or not isinstance(value, str | int) or value == "":
            continue
        kinds = _kinds(schema)
        if "integer" in kinds and "string" not in kinds:
            if not str(value).isdecimal():
                continue
            return int(value), key == name
        return str(value), key == name
    return None, False


def _sends(thread: Thread, choice: Choice) -> Iterator[tuple[Tool, Any]]:
    """The functions that can send what was drafted, those to an address first; none after one was
    called."""
    senders = [tool for tool in choice.functions if sends(tool)]
    if any(call.name == tool["name"] for call in thread.calls for tool in senders):
        return
    address = mail_address_in(thread.said)
    link = link_in(thread.said)
    draft = Draft.of(thread)
    ready = []
    for tool in senders:
        values: dict[str, Any] = {}
        for names, value in (
            (_TO, address),
            (_URL, link),
            (_SUBJECT, draft.subject),
            (_BODY, draft.body),
        ):
            values |= {name: value for name in names if name in _properties(tool) and value}
        for name in [
            name for name in values if name in _BODY and _is_json(_properties(tool)[name])
        ]:
            written = {"subject": draft.subject, "text": draft.body}
            values[name] = json.dumps(written, ensure_ascii=False)
        goes_to = [name for name in (*_TO, *_URL) if name in _properties(tool)]
        lacking = [name for name in goes_to if name not in values and name in _required(tool)]
        if not lacking or choice.required:
            ready.append(
                (not any(name in _TO and values.get(name) for name in goes_to), tool, values)
            )
    for _, tool, values in sorted(ready, key=lambda one: one[0]):
        yield tool, _filled(tool, values)


def _is_json(schema: Schema) -> bool:
    return "JSON" in str(schema.get("description"))


def _forced(thread: Thread, choice: Choice) -> Iterator[tuple[Tool, Any]]:
    for tool in choice.functions:
        arguments = _filled(tool, {})
        if not thread.was_made(tool["name"], arguments):
            yield tool, arguments


def _filled(tool: Tool, values: dict[str, Any]) -> dict[str, Any]:
    """Arguments: these values in the form that the schema wants, its defaults for the required."""
    arguments = {}
    for name, schema in _properties(tool).items():
        if name in values:
            arguments[name] = _as_wanted(values[name], schema)
        elif name in _required(tool):
            arguments[name] = _default(schema, amount=bool(_AMOUNT & set(_words(name))))
    return arguments


def _as_wanted(value: Any, schema: Schema) -> Any:
    kinds = _kinds(schema)
    if isinstance(value, str) and isinstance(most := schema.get("maxLength"), int):
        value = value[:most]
    if not kinds or "string" in kinds or not isinstance(value, str):
        return value
    return [value] if "array" in kinds else _default(schema)


def _default(schema: Schema, *, amount: bool = False) -> Any:
    """The plainest value that a schema allows; of an ``amount``, a few."""
    for key in ("default", "const"):
        if key in schema:
            return schema[key]
    if schema.get("enum"):
        return schema["enum"][0]
    kinds = _kinds(schema)
    if "null" in kinds:
        return None
    if {"integer", "number"} & set(kinds):
        least, most = schema.get("minimum"), schema.get("maximum")
        for value in (A_FEW if amount else least, least, A_FEW, most, 0, 1):
            if isinstance(value, int | float) and _is_allowed(schema, value):
                return value
        return A_FEW
    plain: dict[str, Any] = {"boolean": False, "array": [], "object": {}}
    return next((plain[kind] for kind in kinds if kind in plain), "")


def _is_allowed(schema: Schema, value: Any) -> bool:
    try:
        return not problems(schema, value)
    except CannotFill:
        return False
