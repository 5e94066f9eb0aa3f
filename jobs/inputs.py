"""What is wrong with what a job is asked with: its inputs by the type's schema, and its files."""

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jsonschema import Draft202012Validator, ValidationError
from referencing import Registry

from jobs.models import JobType
from jobs.text import clean, clipped

logger = logging.getLogger(__name__)

#: Characters of all of a job's input together, documents aside.
MAX_INPUT_LENGTH = 200_000


@dataclass(frozen=True)
class InputProblem:
    """What is wrong with one input; `field` is "" where it is about the whole. `rule` is the
    schema's keyword that was broken, if it was the schema's."""

    field: str
    text: str
    rule: str = ""


TOO_DEEP = InputProblem("", "The input is nested too deeply.")


class BadInput(ValueError):
    """The input cannot be taken. `problems` says what to mend, field by field."""

    def __init__(self, problems: Sequence[InputProblem]) -> None:
        super().__init__(" ".join(f"{p.field}: {p.text}" if p.field else p.text for p in problems))
        self.problems = tuple(problems)


def file_count(least: int, most: int) -> str:
    """How many files a job takes: "1 to 10 files", "up to 5 files", "1 file", "no files"."""
    word = f"{most or 'no'} {'file' if most == 1 else 'files'}"
    if least == most:
        return word
    return f"{least} to {word}" if least else f"up to {word}"


def file_count_problems(job_type: JobType, count: int) -> list[InputProblem]:
    """What is wrong with submitting `count` files: nothing, or one sentence."""
    least, most = job_type.min_documents, job_type.max_documents
    if least <= count <= most:
        return []
    takes = f"{job_type} takes {file_count(least, most)}"
    text = f"{takes}; {count} given." if count else f"Add a file: {takes}."
    return [InputProblem("files", text)]


def input_problems(job_type: JobType, input: Mapping[str, Any]) -> list[InputProblem]:
    """Everything that is wrong with an input, as the type's schema and the database see it."""
    try:
        return _input_problems(job_type, dict(input))
    except RecursionError:
        return [TOO_DEEP]


def _input_problems(job_type: JobType, input: dict[str, Any]) -> list[InputProblem]:
    unstorable = [
        InputProblem(clean(name), "has characters or numbers that cannot be stored, such as NUL.")
        for name, value in input.items()
        if clean({name: value}) != {name: value}
    ]
    if unstorable:
        return unstorable
    if len(json.dumps(input, ensure_ascii=False)) > MAX_INPUT_LENGTH:
        return [InputProblem("", f"The input is longer than {MAX_INPUT_LENGTH} characters.")]
    # A registry of our own: the default one fetches what a schema refers to from the network.
    try:
        validator = Draft202012Validator(job_type.input_schema, registry=Registry())
        violations = list(validator.iter_errors(input))
    except RecursionError:
        raise
    except Exception:
        # A schema may be well-formed and still refer to nothing, or ask for impossible sums.
        logger.exception("the input schema of %s cannot be applied", job_type.slug)
        text = f"The form for {job_type} is broken, so your input cannot be checked. Tell an admin."
        return [InputProblem("", text)]
    # Each missing input is its own violation, and each of those names them all: once is enough.
    return list(dict.fromkeys(problem for error in violations for problem in _worded(error)))


def _worded(error: ValidationError) -> list[InputProblem]:
    """A violation of the form's schema, at its field and in a sentence."""
    field, limit = ".".join(str(part) for part in error.path), error.validator_value
    text = f"{clipped(error.message, 300)}."
    match error.validator:
        case "required":
            missing = [name for name in limit if name not in error.instance]
            return [
                InputProblem(".".join([*map(str, error.path), name]), "is required.", "required")
                for name in missing
            ]
        case "additionalProperties":
            known = ", ".join(error.schema.get("properties", {})) or "none"
            text = f"{text} Known inputs: {known}."
        case "minLength" if limit == 1:
            text = "must not be empty."
        case "minLength":
            text = f"must have at least {limit} characters."
        case "maxLength":
            text = f"can have {limit} characters at most; it has {len(error.instance)}."
        case "minimum":
            text = f"must be {limit} or more."
        case "maximum":
            text = f"must be {limit} or less."
    return [InputProblem(field, text, str(error.validator or ""))]
