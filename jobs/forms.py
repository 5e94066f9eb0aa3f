"""The form that a job type's JSON Schema describes. Whatever the schema, there is one."""

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from django import forms

from jobs.inputs import InputProblem, input_problems
from jobs.models import JobType
from jobs.questions import LEFT_OUT, OtherInputs, Question, question, sentence
from jobs.schemas import FormSchema

#: The field for inputs that the schema does not name. No name of an input looks like it.
OTHER = "other-inputs"


class InputForm(forms.Form):
    """The inputs of a job type. Once valid, `input` is what `actions.submit` takes.

    `before` is the input to begin from; without it, the schema's defaults are.
    """

    def __init__(
        self,
        job_type: JobType,
        data: Mapping[str, Any] | None = None,
        *,
        before: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(data, prefix="input", use_required_attribute=False)
        self.job_type = job_type
        self.input: dict[str, Any] = {}
        #: What is wrong with the files: no field of this form, but part of its summary.
        self.file_problems: list[str] = []
        schema = FormSchema(job_type.input_schema)
        self.questions: dict[str, Question] = {}
        for asked in schema.asked():
            field = question(asked)
            if before is not None:
                known = asked.key in before
                field.initial = field.shown(before[asked.key]) if known else None
            self.questions[asked.key] = self.fields[_html_name(asked.key)] = field
        rest = {key: value for key, value in (before or {}).items() if key not in self.questions}
        posted = data is not None and self.add_prefix(OTHER) in data
        if schema.takes_any or posted or (rest and not schema.is_closed):
            other = self.fields[OTHER] = OtherInputs()
            other.initial = other.shown(rest) if rest else None

    def clean(self) -> dict[str, Any]:
        others = self.cleaned_data.get(OTHER, LEFT_OUT)
        self.input = dict(others) if others is not LEFT_OUT else {}
        for key in self.questions:
            value = self.cleaned_data.get(_html_name(key), LEFT_OUT)
            if value is not LEFT_OUT:
                self.input[key] = value
        self.refuse(input_problems(self.job_type, self.input))
        return self.cleaned_data

    def refuse(self, problems: Iterable[InputProblem]) -> None:
        """Say each problem at its field, or at the top where it has none. What a field could not
        read it has said itself, and that is enough."""
        unread = set(self.errors)
        for problem in problems:
            key = _longest(problem.field, self.questions)
            if key is not None and _html_name(key) not in unread:
                self.add_error(_html_name(key), self._said(key, problem))
            elif key is None:
                name = OTHER if problem.field and OTHER in self.fields else None
                said = sentence(problem.field, problem.text)
                named = said.startswith(problem.field)
                self.add_error(name, said if named else f"{problem.field}: {said}")

    def _said(self, key: str, problem: InputProblem) -> str:
        question = self.questions[key]
        label, told = str(question.label), question.asked.description
        if problem.rule == "pattern" and told and problem.field == key:
            # A pattern says nothing to most people; what the schema says of it may.
            return f"{label} does not have the expected format: {told}"
        inside = _inside(problem.field[len(key) + 1 :])
        return sentence(f"{label}, {inside}," if inside else label, problem.text)

    @property
    def summary(self) -> list[tuple[str, str]]:
        """Every problem in the order of the page: (id of its field, or "", and the sentence)."""
        said = [("", str(text)) for text in self.non_field_errors()]
        for field in self:
            parts = field.subwidgets if field.use_fieldset else []
            at = str(parts[0].id_for_label if parts else field.id_for_label)
            label = str(field.label)
            for text in map(str, field.errors):
                said.append((at, text if text.startswith(label) else f"{label}: {text}"))
        return said + [("id_files", text) for text in self.file_problems]


class FollowUpForm(InputForm):
    """A question about a result with these `sections`, which are to choose from; about `section`,
    if that is one of them."""

    def __init__(
        self,
        job_type: JobType,
        data: Mapping[str, Any] | None = None,
        *,
        sections: Sequence[str],
        section: str = "",
    ) -> None:
        known = {"section": section} if section in sections else {}
        super().__init__(job_type, data, before=known)
        name, field = _html_name("section"), self.questions.get("section")
        if field is None:
            return
        if not sections:
            del self.questions["section"], self.fields[name]
            return
        schema = {**field.asked.schema, "enum": list(sections)}
        choice = question(replace(field.asked, schema=schema))
        choice.initial = known.get("section")
        self.questions["section"] = self.fields[name] = choice


def _html_name(key: str) -> str:
    """A name that comes back from every browser as it was sent."""
    if re.fullmatch(r"[A-Za-z0-9_]{1,60}", key):
        return key
    return f"x-{hashlib.sha256(key.encode(errors='backslashreplace')).hexdigest()[:16]}"


def _longest(field: str, keys: Iterable[str]) -> str | None:
    """The input that a problem's path begins with. Names may have dots themselves."""
    fits = [key for key in keys if key and (field == key or field.startswith(f"{key}."))]
    return max(fits, key=len, default=None)


def _inside(path: str) -> str:
    """Where in an input a problem is: "item 2, name"."""
    parts = [f"item {int(p) + 1}" if re.fullmatch("[0-9]{1,9}", p) else p for p in path.split(".")]
    return ", ".join(part for part in parts if part)
