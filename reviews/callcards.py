"""Tool calls that wait for a person: as cards with fields to edit, and what came back from them."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jobs import calls, edits, evidence, tools
from jobs.calls import Verdict
from jobs.models import Attempt, CallEffect, CallKind, FunctionCall, Gate, GateKind, Job
from jobs.rendering import unseen
from jobs.text import clipped
from reviews.approvals import standing_verdicts

#: Characters of what the model said beside its calls.
MOST_SAID = 2_000
MOST_ROWS = 14
#: Characters up to which an argument is one line by its schema.
LONGEST_LINE = 300


@dataclass(frozen=True)
class Field:
    """One argument. `value` is text; with `is_json`, of any other kind of value. `is_line` is
    what fits on one line."""

    key: str
    label: str
    value: str
    help: str = ""
    is_json: bool = False
    is_line: bool = False

    @property
    def rows(self) -> int:
        lines = sum(1 + len(line) // 80 for line in self.value.splitlines())
        return min(max(1, lines), MOST_ROWS)


@dataclass(frozen=True)
class CallCard:
    """A call as it is put before a person. `place` counts from 1; `problem` is why its edited
    arguments were not taken; `said` is what the model wrote beside it; `fixed` that it cannot be
    edited here. `before` are calls of the same tool that this job has made already, or may have."""

    place: int
    title: str
    name: str
    server: str
    fields: Sequence[Field]
    said: str = ""
    problem: str = ""
    refused: bool = False
    fixed: bool = False
    before: Sequence[FunctionCall] = ()


def cards(
    gate: Gate | None,
    *,
    typed: Mapping[str, str] | None = None,
    problems: Mapping[int, str] | None = None,
) -> list[CallCard]:
    """The cards of an open gate; none where it is about something else. `typed` is what a person
    had put into the fields, which is shown again beside `problems`. Where that says nothing the fields
    hold what those who approved already made of the calls."""
    attempt = _attempt_at(gate)
    if attempt is None:
        return []
    waiting = calls.waiting(attempt)
    # Another form of the page sends none of these fields.
    typed = {**_as_typed(waiting, standing_verdicts(gate)), **dict((typed or {}).items())}
    made = _made_before(attempt)
    said = _said(waiting[0]) if waiting else ""
    return [
        CallCard(
            place,
            _title(call),
            unseen.shown(call.name),
            unseen.shown(call.server),
            _fields(place, call, typed),
            said if place == 1 else "",
            (problems or {}).get(place, ""),
            typed.get(f"call-{place}-verdict") == "refuse",
            call.kind == CallKind.MCP,
            made.get(call.name, []),
        )
        for place, call in enumerate(waiting, 1)
    ]


def verdicts(gate: Gate | None, posted: Mapping[str, str]) -> dict[int, Verdict]:
    """What a person decided in the fields of the cards. Arguments that nobody touched stay as they
    are, byte for byte. Raises `jobs.calls.BadVerdict` for what is no JSON."""
    attempt = _attempt_at(gate)
    found: dict[int, Verdict] = {}
    problems: dict[int, str] = {}
    for place, call in enumerate(calls.waiting(attempt) if attempt else [], 1):
        if posted.get(f"call-{place}-verdict") == "refuse":
            found[place] = Verdict(approved=False, reason=posted.get("note", ""))
            continue
        try:
            found[place] = Verdict(arguments=_edited(place, call, posted))
        except ValueError as error:
            problems[place] = str(error)
    if problems:
        raise calls.BadVerdict(problems)
    return found


def _as_typed(waiting: Sequence[FunctionCall], given: Mapping[int, Verdict]) -> dict[str, str]:
    """Verdicts as the fields of the cards would hold them."""
    typed: dict[str, str] = {}
    for place, call in enumerate(waiting, 1):
        verdict = given.get(place, Verdict())
        if not verdict.approved:
            typed[f"call-{place}-verdict"] = "refuse"
        if verdict.arguments is not None:
            edited = FunctionCall(kind=call.kind, name=call.name, arguments=verdict.arguments)
            for name, value in _arguments(edited).items():
                typed[_key(place, name)] = unseen.shown(_worded(value))
    return typed


def typed_arguments(job: Job, posted: Mapping[str, str]) -> list[Field]:
    """What somebody typed over the arguments of the job's calls, to be shown again where it comes
    too late."""
    made = FunctionCall.objects.filter(turn__attempt__job=job)
    known = {
        (name, edits.with_lines(unseen.shown(_worded(value))))
        for call in made
        for name, value in _arguments(call).items()
    }
    found = ((_KEY.fullmatch(key), text) for key, text in posted.items())
    return [
        Field(key=match[0], label=f"{_label(match[2])} of call {match[1]}", value=text)
        for match, text in found
        if match and (match[2], edits.with_lines(text)) not in known
    ]


def _attempt_at(gate: Gate | None) -> Attempt | None:
    return gate.attempt if gate and gate.kind == GateKind.TOOL_CALL else None


def _made_before(attempt: Attempt) -> dict[str, list[FunctionCall]]:
    """What the job has done outside so far, by tool: a retry may want to do it again."""
    done = FunctionCall.objects.filter(
        turn__attempt__job=attempt.job_id, effect=CallEffect.WRITE, started_at__isnull=False
    )
    found: dict[str, list[FunctionCall]] = {}
    for call in done.select_related("turn__attempt").order_by("started_at"):
        found.setdefault(call.name, []).append(call)
    return found


def _edited(place: int, call: FunctionCall, posted: Mapping[str, str]) -> str | None:
    """The arguments as JSON text, where a field says something else than the call."""
    arguments, touched = _arguments(call), False
    for name, value in arguments.items():
        text = posted.get(_key(place, name))
        if text is None:
            continue
        text = edits.with_lines(text)
        if text == edits.with_lines(unseen.shown(_worded(value))):
            continue
        touched = True
        if isinstance(value, str):
            arguments[name] = text
            continue
        try:
            arguments[name] = edits.parsed(text)
        except edits.BadEdit as error:
            was = clipped(_worded(value), 200)
            raise ValueError(f"{_label(name)} must be JSON, as it was: {was}. {error}") from None
    return json.dumps(arguments, ensure_ascii=False) if touched else None


def _fields(place: int, call: FunctionCall, typed: Mapping[str, str]) -> list[Field]:
    tool = tools.find(call.name) if call.kind == CallKind.FUNCTION else None
    properties = tool.parameters["properties"] if tool else {}
    return [
        Field(
            key=_key(place, name),
            label=_label(name),
            value=typed.get(_key(place, name), unseen.shown(_worded(value))),
            help=str(properties.get(name, {}).get("description", "")),
            is_json=not isinstance(value, str),
            is_line=_is_line(value, properties.get(name, {})),
        )
        for name, value in _arguments(call).items()
    ]


def _arguments(call: FunctionCall) -> dict[str, Any]:
    """The arguments by name; as the text that they are, where that says more than they do."""
    try:
        arguments = edits.parsed(call.arguments or "{}")
    except edits.BadEdit:
        return {"arguments": call.arguments}
    return arguments if isinstance(arguments, dict) else {"arguments": arguments}


def _title(call: FunctionCall) -> str:
    tool = tools.find(call.name) if call.kind == CallKind.FUNCTION else None
    return tool.title if tool else f"Call {unseen.shown(call.name)}"


def _said(call: FunctionCall) -> str:
    """The text that came with the calls, from the stored answer."""
    try:
        data = json.loads(bytes(call.turn.payload or b"{}"))
    except (ValueError, RecursionError):
        return ""
    return unseen.shown(evidence.read(data).text[:MOST_SAID]) if isinstance(data, dict) else ""


#: As `_key` makes them.
_KEY = re.compile(r"call-([0-9]{1,4})-argument-(.{0,200})", re.DOTALL)


def _key(place: int, name: str) -> str:
    return f"call-{place}-argument-{name}"


def _label(name: str) -> str:
    return unseen.shown(name.replace("_", " ").capitalize())


def _is_line(value: Any, schema: Mapping[str, Any]) -> bool:
    short = schema.get("maxLength", LONGEST_LINE + 1) <= LONGEST_LINE
    return isinstance(value, str) and short and "\n" not in edits.with_lines(value)


def _worded(value: Any) -> str:
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, indent=2)
