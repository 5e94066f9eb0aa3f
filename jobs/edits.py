"""Results as a reviewer wants them: held against what the job's type asks for, and stored beside
what the model produced."""

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from django.db.models import Max

from jobs import evidence, lifecycle
from jobs.evidence.structured import structured
from jobs.lifecycle import Reason
from jobs.models import Gate, Job, Result, ResultEdit, User
from jobs.text import clean, clipped

#: Characters of an edited version.
LONGEST = 1_000_000
#: Of a JSON text: a string, with the colon after a name; a brace; a number.
_TOKENS = re.compile(
    r'("(?:[^"\\]|\\.)*")(\s*:)?|([{}])|(-?(?:[0-9][0-9.eE+-]*|Infinity)|NaN)', re.DOTALL
)


@dataclass(frozen=True)
class Problem:
    """Something that an edit must not have. `path` is where in structured output, or ""."""

    path: str
    text: str


TOO_DEEP = Problem("", "It is nested too deeply.")


class BadEdit(ValueError):
    """An edit that cannot be taken. `problems` says what to mend; nothing is stored."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__(" ".join(f"{p.path}: {p.text}" if p.path else p.text for p in problems))
        self.problems = tuple(problems)


@dataclass(frozen=True)
class Version:
    """A whole version. `data` is its structured output, None where the job has none."""

    text: str
    data: Any = None


def read(job: Job, text: str) -> Version:
    """What somebody typed as a version of the job's result: JSON where its prompt asks for
    structured output. Raises `BadEdit`, with everything that is wrong."""
    text = clean(text)
    if not text.strip():
        raise BadEdit([Problem("", "There is nothing left of the result. Reject it instead.")])
    if len(text) > LONGEST:
        said = f"An edited result can have {LONGEST:,} characters at most; this has {len(text):,}."
        raise BadEdit([Problem("", said)])
    schema = job.prompt_version.output_schema
    if not schema:
        return Version(text)
    try:
        data = clean(parsed(text))
        text = json.dumps(data, ensure_ascii=False)
        problems = _violations(text, schema)
    except RecursionError:
        # A depth that one reader still takes is too much for another one.
        raise BadEdit([TOO_DEEP]) from None
    if problems:
        raise BadEdit(problems)
    return Version(text, data)


def parsed(text: str) -> Any:
    """The value of a JSON text, if every reader takes it for the same. Raises `BadEdit`, which names
    the place."""
    try:
        return json.loads(
            text,
            object_pairs_hook=_each_once,
            parse_float=_exactly,
            parse_constant=_exactly,
        )
    except RecursionError:
        raise BadEdit([TOO_DEEP]) from None
    except json.JSONDecodeError as error:
        said = f"It is no JSON: {error.msg} ({_place(text, error.pos)})."
        raise BadEdit([Problem("", said)]) from None
    except ValueError:
        what, at = _doubt(text)
        raise BadEdit([Problem("", f"{what} ({_place(text, at)}).")]) from None


def store(job: Job, gate: Gate, text: str, *, actor: User, now: datetime) -> ResultEdit | None:
    """Let the open gate of a `locked` job ask about a version of its result that `actor` wrote:
    whoever looked at the one before is refused from now on. None where nothing is changed.

    A version that reads as what the model produced is that again, and no edit. Raises `BadEdit`.
    """
    result, version = gate.result, read(job, text)
    assert result is not None
    judged = result.as_judged()
    if same(version, judged):
        return None
    row = None if same(version, result) else _row(result, version, actor=actor, now=now)
    result.edit = row
    result.save(update_fields=["edit"])
    lifecycle.rejudge(
        job,
        gate,
        content_hash=result.as_judged().content_hash,
        reasons=tuple(Reason(reason["code"], reason["text"]) for reason in gate.reasons),
    )
    return row


def same(version: Version, result: Result) -> bool:
    """Whether a version says just what `result` says, line ends and the layout of JSON aside."""
    if version.data is not None and result.structured is not None:
        return _canonical(version.data) == _canonical(result.structured)
    return with_lines(version.text) == with_lines(result.text)


def with_lines(text: str) -> str:
    """With line ends of one kind: a form makes others of them."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _row(result: Result, version: Version, *, actor: User, now: datetime) -> ResultEdit:
    files = list(result.files.order_by("position").values_list("sha256", flat=True))
    last = result.edits.aggregate(last=Max("number"))["last"]
    return ResultEdit.objects.create(
        result=result,
        number=(last or 0) + 1,
        text=version.text,
        structured=version.data,
        content_hash=evidence.content_hash(version.text, files),
        of_hash=result.as_judged().content_hash,
        made_by=actor,
        made_at=now,
    )


def _violations(text: str, schema: Mapping[str, Any]) -> list[Problem]:
    _value, warnings = structured(text, schema)
    return [
        Problem(warning.path, warning.text.removeprefix(f"{warning.path}: "))
        for warning in warnings
    ]


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=True)


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name stands twice, and it is the reader who takes one of the values")
    return found


def _exactly(text: str) -> float:
    value = float(text)
    try:
        same = math.isfinite(value) and Decimal(repr(value)) == Decimal(text)
    except InvalidOperation:  # beyond what even `Decimal` reads
        same = False
    if not same:
        raise ValueError("this number means different things to different readers")
    return value


def _doubt(text: str) -> tuple[str, int]:
    """What of a JSON text cannot be taken, and at which character: the parser does not tell."""
    objects: list[set[str]] = []
    for token in _TOKENS.finditer(text):
        name, colon, brace, number = token.groups()
        if brace == "{":
            objects.append(set())
        elif brace:
            objects.pop()
        elif number:
            try:
                _exactly(number) if set(number) & set(".eEIN") else int(number)
            except ValueError:
                shown = clipped(number, 40)
                said = f"The number {shown} means different things to different readers"
                return said, token.start()
        elif colon:
            if (key := json.loads(name)) in objects[-1]:
                return f"The name “{clipped(key, 60)}” stands twice in one object", token.start()
            objects[-1].add(key)
    return "It cannot be read", 0


def _place(text: str, at: int) -> str:
    line = text.count("\n", 0, at) + 1
    return f"line {line}, column {at - text.rfind(chr(10), 0, at)}"
