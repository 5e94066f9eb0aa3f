"""Rules that make the sandbox misbehave.

A rule is ``{"on": ENDPOINT, "match": {...}, "times": 1, "skip": 0, "do": {...}}``. The
first live rule whose ``match`` holds is used; ``times`` (null: for ever) counts down, after ``skip``
matching requests were let pass.

``match`` (all that are given must hold): ``metadata`` (a subset), ``model``, ``input_contains``,
``response_id``. On retrieve, stream and cancel they speak of the response that is asked for.

``on`` is one of:

- ``create``, ``retrieve``, ``stream``, ``cancel``: of responses. "stream" is a retrieve with
  ``stream=true``, which rules on "retrieve" do not touch.
- ``upload`` (match: ``filename``, ``purpose``); ``file`` (look at one or download it) and
  ``file_delete`` (match: ``file_id`` as well).
- ``store_create`` (match: ``metadata`` of the new store); ``store_attach`` (files or a batch of
  them are added), ``store_delete`` and ``store`` (all else that is asked of one vector store, its
  files, batches and search) (match: ``vector_store_id``, ``metadata`` of the store).
- ``container_file``: look at, download or delete one (match: ``container_id``, ``file_id``,
  ``filename``).
- ``file_list`` (match: ``purpose``) and ``store_list``: the lists of what is there.

``do``, for any endpoint:

- ``{"status": 429, "error": {"message", "type", "code", "param"}, "headers": {...}}``: an HTTP
  error; nothing is done. ``{"not_found": true}``: the 404 of an unknown response (file, store, …).
- ``{"raw": "text", "status": 200, "content_type": "..."}``: this body, nothing is done.
- ``{"drop": "before" | "after"}``: the connection closes without an answer, before or after the
  work. After an upload or a create the file, the store or the response exists, and the client never
  heard of it.
- ``{"hang": seconds, "work": true | false}``: the answer comes that late. The work is done at once,
  or after the wait, and then only for a client that is still there.
- ``{"delay": seconds}``: waits, then goes on as usual.

``do``, on create:

- ``{"life": {...}}``: ``queued`` and ``running`` (seconds, not scaled by the pace), ``end`` (a
  terminal status, ``never``, ``vanish``, or any word, sent as it is), ``error``,
  ``incomplete_reason``, ``output`` (items, word for word), ``output_text``, ``usage``,
  ``at_once`` (ended in the answer to the create), ``files``, ``events``, ``webhook``. ``files`` are
  made in containers when it ends: ``{container_id, file_id, filename, text | base64, expires_in?}``,
  where ``expires_in`` is in seconds from then (0: gone at once). A container file that ``output``
  cites is made as well, with a line of text in it. ``events`` are extra events of its stream, of any
  type: a list of ``{"after": n, "event": {...}}``. They have a number among the others and come
  again in every replay.
- ``{"webhook": {...}}``: ``send`` (false: none), ``times``, ``delay`` (seconds), ``before_reply``.
- ``{"invent_quotes": n}``, ``{"break_schema": true}``: bad work.
- ``{"previous_not_found": true}``: the response before is not found, as if it had expired.

``do``, on create with ``stream``, and on stream, for this connection alone:

- ``{"cut_after": n}``: the connection breaks after n events; with ``"clean": true`` the stream ends
  in order, but too early.
- ``{"stall": seconds, "after": n}``: nothing comes for so long after n events (0 if not said).
- ``{"send": {...}, "after": n}``: sends this after n events, such as ``{"type": "error", "code",
  "message", "param"}``, which gets the number of the event after it if it has none;
  or ``{"error": {...}}``, sent word for word. The stream goes on unless ``cut_after`` ends it (what
  was sent counts: ``"after": 3, "cut_after": 4``). It is in no replay.

``do``, on store_create: ``{"index": seconds}``: so long takes each file of this store, not scaled by
the pace. ``{"index_fails": [file names]}``: those end as failed with ``server_error``.

``do``, on cancel: ``{"cancel_lost": true}``: says cancelled, but the response lives on.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .containers import sound_files
from .errors import ApiError

ENDPOINTS = (
    *("create", "retrieve", "stream", "cancel"),
    *("upload", "file", "file_delete"),
    *("store_create", "store", "store_attach", "store_delete"),
    *("container_file", "file_list", "store_list"),
)

Check = Callable[[Any], bool]


def _seconds(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e7


def _count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 1000


def _is(*kinds: type) -> Check:
    return lambda value: isinstance(value, kinds)


def _items(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, dict) for item in value)


def _strings(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(part, str) for part in value.values())


_nullable_object = _is(dict, type(None))

EXTRA: dict[str, Check] = {"after": _count, "event": _is(dict)}


def _extra(value: Any) -> bool:
    return isinstance(value, list) and all(
        _fault_in(part, EXTRA, "events") is None and part.keys() == EXTRA.keys() for part in value
    )


WEBHOOK: dict[str, Check] = {
    "send": _is(bool),
    "times": _count,
    "delay": _seconds,
    "before_reply": _is(bool),
}
LIFE: dict[str, Check] = {
    "queued": _seconds,
    "running": _seconds,
    "end": _is(str),
    "error": _nullable_object,
    "incomplete_reason": _is(str),
    "output": _items,
    "output_text": _is(str),
    "files": sound_files,
    "usage": _nullable_object,
    "at_once": _is(bool),
    "events": _extra,
    "webhook": lambda value: _fault_in(value, WEBHOOK, "webhook") is None,
}
DO: dict[str, Check] = {
    "status": lambda value: _count(value) and 200 <= value <= 599,
    "error": _nullable_object,
    "headers": _strings,
    "raw": _is(str),
    "content_type": _is(str),
    "not_found": _is(bool),
    "drop": lambda value: value in ("before", "after"),
    "hang": _seconds,
    "work": _is(bool),
    "delay": _seconds,
    "life": lambda value: _fault_in(value, LIFE, "life") is None,
    "webhook": LIFE["webhook"],
    "invent_quotes": _count,
    "break_schema": _is(bool),
    "cancel_lost": _is(bool),
    "previous_not_found": _is(bool),
    "cut_after": _count,
    "clean": _is(bool),
    "stall": _seconds,
    "send": _is(dict),
    "after": _count,
    "index": _seconds,
    "index_fails": lambda value: isinstance(value, list) and all(map(_is(str), value)),
}
MATCH: dict[str, Check] = {
    "metadata": _strings,
    "model": _is(str),
    "input_contains": _is(str),
    "response_id": _is(str),
    "filename": _is(str),
    "purpose": _is(str),
    "file_id": _is(str),
    "vector_store_id": _is(str),
    "container_id": _is(str),
}
RULE: dict[str, Check] = {
    "on": lambda value: value in ENDPOINTS,
    "match": lambda value: _fault_in(value, MATCH, "match") is None,
    "times": lambda value: value is None or _count(value),
    "skip": _count,
    "do": lambda value: _fault_in(value, DO, "do") is None,
}
_NESTED = {"match": MATCH, "do": DO, "life": LIFE, "webhook": WEBHOOK}


def _fault_in(value: Any, known: dict[str, Check], where: str) -> str | None:
    """What is wrong with an object of a rule, in a sentence; None when nothing is."""
    if not isinstance(value, dict):
        return f"'{where}' must be an object."
    for key, part in value.items():
        if key not in known:
            return f"'{where}' does not know '{key}'; it knows {', '.join(known)}."
        if not known[key](part):
            deeper = _fault_in(part, _NESTED[key], key) if key in _NESTED else None
            return deeper or f"'{key}' in '{where}' cannot be {part!r}."
    return None


def check_do(do: dict[str, Any]) -> dict[str, Any]:
    """The ``do`` of a directive, if it is sound. Raises ApiError (400)."""
    if fault := _fault_in(do, DO, "do"):
        raise ApiError(fault, param="do", code="invalid_rule")
    return do


@dataclass(frozen=True, slots=True)
class Facts:
    """What a rule may look at in a request."""

    response_id: str = ""
    model: str = ""
    text: str = ""
    metadata: Any = None
    filename: str = ""
    purpose: str = ""
    file_id: str = ""
    vector_store_id: str = ""
    container_id: str = ""


NAMED = (
    "response_id",
    "model",
    "filename",
    "purpose",
    "file_id",
    "vector_store_id",
    "container_id",
)


@dataclass(slots=True)
class Rule:
    id: str
    on: str
    match: dict[str, Any]
    do: dict[str, Any]
    times: int | None
    skip: int

    def holds(self, on: str, facts: Facts) -> bool:
        match = self.match
        metadata = facts.metadata if isinstance(facts.metadata, dict) else {}
        return (
            self.on == on
            and self.times != 0
            and all(match.get(name, getattr(facts, name)) == getattr(facts, name) for name in NAMED)
            and match.get("input_contains", "") in facts.text
            and (match.get("metadata") or {}).items() <= metadata.items()
        )


class Rules:
    """The live rules, oldest first."""

    def __init__(self) -> None:
        self.rules: list[Rule] = []
        self.numbers = itertools.count(1)

    def add(self, body: Any) -> Rule:
        """A new rule from its JSON. Raises ApiError (400) when it makes no sense."""
        fault = _fault_in(body, RULE, "rule")
        if not fault and not {"on", "do"} <= body.keys():
            fault = "A rule needs 'on' and 'do'."
        if fault:
            raise ApiError(fault, code="invalid_rule")
        rule = Rule(
            id=f"rule_{next(self.numbers)}",
            on=body["on"],
            match=body.get("match") or {},
            do=body["do"],
            times=body.get("times", 1),
            skip=body.get("skip", 0),
        )
        self.rules.append(rule)
        return rule

    def take(self, on: str, facts: Facts) -> Rule | None:
        """The rule for this request, counted as used; None when it is to be answered as usual."""
        for rule in self.rules:
            if not rule.holds(on, facts):
                continue
            if rule.skip:
                rule.skip -= 1
                continue
            if rule.times is not None:
                rule.times -= 1
                if rule.times == 0:
                    self.rules.remove(rule)
            return rule
        return None

    def clear(self) -> None:
        self.rules.clear()
