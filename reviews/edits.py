"""A result that waits for approval as fields to edit, and what differs between its versions."""

import copy
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from jobs import edits
from jobs.edits import BadEdit, Problem, Version, with_lines
from jobs.evidence.structured import path_of
from jobs.models import GateKind, Job, Result
from jobs.rendering.changes import Piece, data_changes, shown, text_changes, value_text
from jobs.rendering.outline import words

#: Characters that can be edited on a page: the field is sent with every ruling.
LONGEST = 200_000
#: Fields up to which structured output is edited value by value, and how deep they may stand.
MOST_FIELDS = 200
DEEPEST = 8
MOST_ROWS = 24
WHOLE = "edit"

BOTH = (
    "A field and the JSON of all of it were both changed. Change one of them, and leave the other."
)

#: Where a value stands in structured output.
_At = tuple[str | int, ...]


@dataclass(frozen=True)
class Field:
    """One value of the result, or all of it. `path` is where it stands, `group` that in words;
    `is_json` says that it is no text, `beside` that it is all of what has fields as well;
    `problem` is why what was typed was not taken."""

    key: str
    label: str
    path: str
    value: str
    group: str = ""
    at: _At = ()
    is_json: bool = False
    is_line: bool = False
    beside: bool = False
    touched: bool = False
    problem: str = ""

    @property
    def rows(self) -> int:
        lines = sum(1 + len(line) // 80 for line in self.value.splitlines())
        return min(max(2, lines), MOST_ROWS)


@dataclass(frozen=True)
class EditCard:
    """`problems` are about no field alone; `touched` says that the fields hold something else than
    the result; `too_long` that it has no fields here."""

    fields: Sequence[Field]
    problems: Sequence[Problem] = ()
    touched: bool = False
    too_long: bool = False

    @property
    def is_open(self) -> bool:
        return self.touched or bool(self.problems) or any(field.problem for field in self.fields)


@dataclass(frozen=True)
class Row:
    """One place of structured output that differs, as a page shows it."""

    path: str
    kind: str
    before: str
    after: str
    pieces: Sequence[Piece]


@dataclass(frozen=True)
class Changes:
    """What differs between two versions, of which `title` says which. Either `pieces` or `rows`;
    `comparable` says that it is worth while to look. `more` says that there are more rows."""

    title: str
    anchor: str
    pieces: Sequence[Piece] = ()
    rows: Sequence[Row] = ()
    comparable: bool = True
    more: bool = False

    @property
    def any(self) -> bool:
        return bool(self.rows) or any(piece.kind not in ("same", "gap") for piece in self.pieces)


def card(
    job: Job, *, typed: Mapping[str, str] | None = None, problems: Sequence[Problem] = ()
) -> EditCard | None:
    """The fields of the result that waits at the open gate; None where none does. `typed` is what
    somebody had put into them, which is shown again beside `problems`."""
    gate = job.open_gate
    if gate is None or gate.kind != GateKind.OUTPUT or gate.result is None:
        return None
    judged = gate.result.as_judged()
    if len(judged.text) > LONGEST:
        return EditCard((), too_long=True)
    said = [_with(field, typed or {}) for field in _fields(job, judged)]
    as_whole = any(field.beside and field.touched for field in said)
    left = list(problems)
    if not as_whole:
        said, left = _at_fields(said, problems)
    return EditCard(said, left, any(field.touched for field in said))


def edited(job: Job, posted: Mapping[str, str]) -> str | None:
    """The version that somebody typed; None where they left everything as it is. Raises `BadEdit`
    for a value that is no JSON."""
    gate = job.open_gate
    if gate is None or gate.kind != GateKind.OUTPUT or gate.result is None:
        return None
    judged = gate.result.as_judged()
    return _composed(_fields(job, judged), posted, judged.structured)


def typed_text(job: Job, posted: Mapping[str, str]) -> str:
    """What somebody typed, to be shown again where it cannot be taken; "" where they typed
    nothing."""
    results = Result.objects.filter(attempt__job=job).select_related("edit")
    last = results.order_by("-attempt__number").first()
    for version in (last, last.as_judged()) if last else ():
        fields = _fields(job, version)
        given = [(field, posted[field.key]) for field in fields if field.key in posted]
        if not any(_differs(text, field.value) for field, text in given):
            return ""
    said = [(key, text) for key, text in posted.items() if key == WHOLE or _is_key(key)]
    return "\n\n".join(text for _key, text in said)


def against_previous(job: Job, result: Result) -> Changes | None:
    """What differs from the attempt before, as it was judged then."""
    earlier = Result.objects.filter(attempt__job=job, attempt__number__lt=result.attempt.number)
    before = earlier.select_related("attempt", "edit").order_by("-attempt__number").first()
    if before is None:
        return None
    number = before.attempt.number
    return compared(before.as_judged(), result, f"Against attempt {number}", f"against-{number}")


def of_edit(result: Result) -> Changes | None:
    """What a reviewer has edited."""
    if result.produced is None or result.edit is None:
        return None
    return compared(result.produced, result, f"Edited by {result.edit.made_by}", "edited")


def of_typed(job: Job, text: str) -> Changes | None:
    """What somebody is about to approve with, beside what waits. Raises `BadEdit`."""
    gate = job.open_gate
    if gate is None or gate.result is None:
        return None
    return compared(gate.result.as_judged(), edits.read(job, text), "Your edits", "your-edits")


def compared(before: Result, after: Result | Version, title: str, anchor: str) -> Changes:
    one, other = before.structured, after.data if isinstance(after, Version) else after.structured
    if one is not None and other is not None:
        found = data_changes(one, other)
        rows = [
            Row(
                place.path,
                place.kind,
                "" if place.kind == "added" else value_text(place.before),
                "" if place.kind == "removed" else value_text(place.after),
                place.pieces,
            )
            for place in found.places
        ]
        # Too much at its very beginning: then there is nothing to show.
        return Changes(
            title, anchor, rows=rows, comparable=bool(rows) or not found.more, more=bool(found.more)
        )
    changes = text_changes(with_lines(before.text), with_lines(after.text))
    if not changes.comparable:
        return Changes(title, anchor, comparable=False)
    return Changes(title, anchor, pieces=shown(changes))


def _fields(job: Job, result: Result) -> list[Field]:
    """The values of structured output one by one, and all of it beside them, in which parts can be
    added and removed; where there are too many, that alone."""
    value = result.structured
    if job.prompt_version.output_schema is None or value is None:
        is_json = job.prompt_version.output_schema is not None
        return [Field(WHOLE, "The result", "", result.text, is_json=is_json)]
    text = json.dumps(value, ensure_ascii=False, indent=2)
    if len(text) > LONGEST:
        # Deep as it is, most of it would be spaces.
        text = json.dumps(value, ensure_ascii=False)
    whole = Field(WHOLE, "The result", "", text, is_json=True)
    leaves = list(islice(_leaves(value), MOST_FIELDS + 1))
    if not isinstance(value, dict | list) or len(leaves) > MOST_FIELDS:
        return [whole]
    fields = [_of_leaf(f"{WHOLE}-{place}", *leaf) for place, leaf in enumerate(leaves, 1)]
    return [*fields, replace(whole, label="All of it", beside=True)]


def _leaves(value: Any, at: _At = ()) -> Iterator[tuple[_At, Any]]:
    """Each value that holds no others, in order; what is empty, or stands too deep, as it is."""
    inner: Iterable[tuple[str | int, Any]] = ()
    if isinstance(value, dict | list) and len(at) < DEEPEST:
        inner = value.items() if isinstance(value, dict) else enumerate(value)
    if not inner or not value:
        yield at, value
        return
    for step, item in inner:
        yield from _leaves(item, (*at, step))


def _of_leaf(key: str, at: _At, item: Any) -> Field:
    names: list[str] = []
    for step in at:
        if isinstance(step, str):
            names.append(words(step))
        else:
            name = names.pop() if names else "Item"
            names.append(f"{name} {step + 1}")
    is_text = isinstance(item, str)
    return Field(
        key,
        names[-1] if names else "The result",
        path_of(at),
        item if is_text else json.dumps(item, ensure_ascii=False),
        group=" · ".join(names[:-1]),
        at=at,
        is_json=not is_text,
        is_line=not is_text or (len(item) <= 80 and "\n" not in item),
    )


def _with(field: Field, typed: Mapping[str, str]) -> Field:
    text = typed.get(field.key, field.value)
    return replace(field, value=text, touched=_differs(text, field.value))


def _composed(fields: Sequence[Field], posted: Mapping[str, str], value: Any) -> str | None:
    """What was typed into the fields of `value`, as one text; None where nothing was."""
    changed = [field for each in fields if (field := _with(each, posted)).touched]
    if not changed:
        return None
    if changed[-1].key == WHOLE:
        if len(changed) > 1:
            raise BadEdit([Problem("", BOTH)])
        return with_lines(changed[-1].value)
    value, problems = copy.deepcopy(value), list[Problem]()
    stood = {field.key: field.value for field in fields}
    for field in changed:
        text = with_lines(field.value)
        try:
            _put(value, field.at, edits.parsed(text) if field.is_json else text)
        except BadEdit as error:
            said = f"It must be JSON, as it was: {stood[field.key]}. {error}"
            problems.append(Problem(field.path, said))
    if problems:
        raise BadEdit(problems)
    return json.dumps(value, ensure_ascii=False)


def _put(value: Any, at: _At, item: Any) -> None:
    *way, last = at
    for step in way:
        value = value[step]
    value[last] = item


def _at_fields(
    fields: Sequence[Field], problems: Sequence[Problem]
) -> tuple[list[Field], list[Problem]]:
    """Each problem at its field, and those that are about none of them."""
    said: dict[str, str] = {}
    left: list[Problem] = []
    paths = {field.path for field in fields if field.path}
    for problem in problems:
        if problem.path in paths:
            said[problem.path] = " ".join(filter(None, (said.get(problem.path), problem.text)))
        else:
            left.append(problem)
    return [replace(field, problem=said.get(field.path, "")) for field in fields], left


def _differs(one: str, other: str) -> bool:
    return with_lines(one) != with_lines(other)


def _is_key(key: str) -> bool:
    return key.startswith(f"{WHOLE}-") and key.removeprefix(f"{WHOLE}-").isdecimal()
