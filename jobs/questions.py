"""The form fields that inputs are asked for with. They read what was typed and show what is known;
what is right or wrong with an answer, the schema says, except for what it cannot see."""

import json
import math
import re
from datetime import UTC, date, datetime, time
from typing import Any
from urllib.parse import urlsplit

from django import forms
from django.core.exceptions import ValidationError
from django.core.validators import validate_email

from jobs.schemas import Asked, as_json

#: What a field gives that was left empty.
LEFT_OUT = object()
#: Characters beyond which a text is asked for in a box of several lines.
LINE_LENGTH = 200
#: Choices that are shown all at once; more are a list to choose from.
MOST_RADIOS = 5
#: Digits of a number that is taken. Databases and other programs read far fewer exactly.
MOST_DIGITS = 40
_LONG_FORMATS = {"textarea", "multiline", "multi-line", "text", "markdown", "html"}
_YES_NO = [(True, "Yes"), (False, "No")]


class Question(forms.Field):
    """One input. `clean` reads what was posted and gives its JSON value, or `empty` where nothing
    was; `shown` is the way back, from a JSON value to what the widget holds.

    `must` says whether the page calls it required, `hint` how to answer.
    """

    hint = ""

    def __init__(self, asked: Asked, **kwargs: Any) -> None:
        self.asked = asked
        self.empty: Any = LEFT_OUT
        if asked.required and asked.kind == "array" and not asked.number("minItems"):
            self.empty = []
        elif asked.required and asked.nullable:
            self.empty = None
        self.must = asked.required and self.empty is LEFT_OUT
        said = [asked.description, self.hint]
        kwargs = {
            "label": asked.label,
            "help_text": " ".join(part for part in said if part),
            **kwargs,
        }
        super().__init__(required=False, **kwargs)
        if "default" in asked.schema:
            self.initial = self.shown(asked.schema["default"])

    def clean(self, value: Any) -> Any:
        text = str(value or "").strip()
        return self.read(text) if text else self.empty

    def read(self, text: str) -> Any:
        return text

    def shown(self, value: Any) -> Any:
        return value if isinstance(value, str) else as_json(value)

    def unreadable(self, text: str) -> ValidationError:
        return ValidationError(sentence(str(self.label), text))


class Line(Question):
    """A short text, or one in a format that browsers know."""

    formats = {
        "date": ("date", "a date, such as 2026-03-31"),
        "date-time": ("datetime-local", "a date and a time, such as 2026-03-31T14:30"),
        "email": ("email", "an e-mail address, such as name@example.com"),
        "time": ("time", "a time, such as 14:30"),
        "uri": ("url", "a web address, such as https://example.com/page"),
    }

    def __init__(self, asked: Asked) -> None:
        self.format = str(asked.schema.get("format", ""))
        kind, self.wanted = self.formats.get(self.format, ("text", ""))
        widget = forms.TextInput({"type": kind})
        if self.format in ("date-time", "time"):
            widget.attrs["step"] = "any"
        if self.format == "date-time":
            self.hint = "In UTC."
        super().__init__(asked, widget=widget)

    def read(self, text: str) -> str:
        try:
            match self.format:
                case "email":
                    validate_email(text)
                case "uri":
                    parts = urlsplit(text)
                    if not parts.scheme or not (parts.netloc or parts.path):
                        raise ValueError
                case "date":
                    return date.fromisoformat(text).isoformat()
                case "time":
                    time.fromisoformat(text)
                case "date-time":
                    moment = datetime.fromisoformat(text)
                    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
                    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
        except (ValueError, OverflowError, ValidationError):
            raise self.unreadable(f"must be {self.wanted}.") from None
        return text

    def shown(self, value: Any) -> Any:
        if self.format != "date-time":
            return super().shown(value)
        try:
            moment = datetime.fromisoformat(str(value))
            moment = moment.astimezone(UTC) if moment.tzinfo else moment
            return moment.replace(tzinfo=None).isoformat()
        except (ValueError, OverflowError):
            return ""


class Text(Question):
    """A text of several lines."""

    widget = forms.Textarea({"rows": 4})

    def __init__(self, asked: Asked) -> None:
        if most := asked.number("maxLength"):
            self.hint = f"Up to {int(most):,} characters."
        super().__init__(asked)

    def clean(self, value: Any) -> Any:
        text = str(value or "").replace("\r\n", "\n").replace("\r", "\n")
        return text if text.strip() else self.empty


class Number(Question):
    def __init__(self, asked: Asked) -> None:
        self.whole = asked.kind == "integer"
        super().__init__(asked, widget=forms.NumberInput(self._limits(asked)))

    def _limits(self, asked: Asked) -> dict[str, Any]:
        """What the browser may check already. It counts steps from the least value; the schema
        counts multiples from nought."""
        least = asked.number("minimum", "exclusiveMinimum")
        most = asked.number("maximum", "exclusiveMaximum")
        multiple = asked.number("multipleOf")
        limits: dict[str, Any] = {"step": 1 if self.whole else "any"}
        if least is not None:
            limits["min"] = math.ceil(least) if self.whole else least
        if most is not None:
            limits["max"] = math.floor(most) if self.whole else most
        if multiple and least is None and (not self.whole or multiple == int(multiple)):
            limits["step"] = multiple
        return limits

    def read(self, text: str) -> int | float:
        try:
            number = float(text) if len(text) <= MOST_DIGITS else math.nan
            if not abs(number) < 10.0**MOST_DIGITS or (self.whole and number != int(number)):
                raise ValueError
            if re.fullmatch(r"[+-]?\d+", text):
                return int(text)
            return int(number) if self.whole else number
        except ValueError:
            wanted = "a whole number" if self.whole else "a number"
            raise self.unreadable(f"must be {wanted}.") from None


class Check(Question):
    """Ticked or not. Not ticked is an answer as well, unless the schema has none for it."""

    widget = forms.CheckboxInput

    def __init__(self, asked: Asked) -> None:
        super().__init__(asked)
        only = [value for value, _label in asked.options]
        if not only or False in only:
            self.empty, self.must = False, False

    def clean(self, value: Any) -> Any:
        return True if value else self.empty

    def shown(self, value: Any) -> bool:
        return value is True


class Choice(Question):
    """One of the values that a schema lists, whatever their types."""

    def __init__(self, asked: Asked) -> None:
        options = asked.options or _YES_NO
        self.values = {_option(value): value for value, _label in options}
        super().__init__(asked, widget=forms.Select())
        choices = [(_option(value), label) for value, label in options]
        if self.must and len(choices) <= MOST_RADIOS:
            self.widget = forms.RadioSelect(choices=choices)
        else:
            first = ("", "Choose one" if self.must else "Nothing chosen")
            self.widget = forms.Select(choices=[first, *choices])
        if self.must and len(self.values) == 1:
            self.initial = next(iter(self.values))

    def clean(self, value: Any) -> Any:
        if not value:
            return self.empty
        if value not in self.values:
            raise self.unreadable("must be one of the choices.")
        return self.values[value]

    def shown(self, value: Any) -> str:
        return _option(value)


class Choices(Question):
    """Any of the values that a schema lists."""

    def __init__(self, asked: Asked) -> None:
        self.values = {_option(value): value for value, _label in asked.item_options}
        choices = [(_option(value), label) for value, label in asked.item_options]
        super().__init__(asked, widget=forms.CheckboxSelectMultiple(choices=choices))

    def clean(self, value: Any) -> Any:
        chosen = list(value or ())
        if not set(chosen) <= set(self.values):
            raise self.unreadable("must be among the choices.")
        return [self.values[option] for option in chosen] or self.empty

    def shown(self, value: Any) -> list[str]:
        return [_option(item) for item in value] if isinstance(value, list) else []


class Lines(Question):
    """Texts, one a line."""

    hint = "One a line."
    widget = forms.Textarea({"rows": 4})

    def read(self, text: str) -> Any:
        return [line.strip() for line in text.splitlines() if line.strip()]

    def shown(self, value: Any) -> str:
        return "\n".join(map(str, value)) if isinstance(value, list) else ""


class Json(Question):
    """Whatever no other field can ask for."""

    widget = forms.Textarea({"rows": 6, "class": "mono", "spellcheck": "false"})

    def __init__(self, asked: Asked) -> None:
        samples = {"object": '{"name": "value"}', "array": '["one", "two"]'}
        self.hint = f"As JSON, such as {samples.get(asked.kind, '12')}."
        super().__init__(asked)

    def read(self, text: str) -> Any:
        try:
            return json.loads(text, parse_int=_few_digits, parse_constant=_no_number)
        except RecursionError:
            raise self.unreadable("is nested too deeply.") from None
        except json.JSONDecodeError as error:
            text = f"must be JSON; line {error.lineno} cannot be read: {error.msg}."
            raise self.unreadable(text) from None
        except ValueError:
            raise self.unreadable("must be JSON, with numbers of sensible length.") from None

    def shown(self, value: Any) -> str:
        return as_json(value, indent=2)


class OtherInputs(Json):
    """Inputs that the schema does not name."""

    def __init__(self) -> None:
        super().__init__(Asked("Other inputs", {"type": "object"}, {}, False, False))

    def read(self, text: str) -> Any:
        value = super().read(text)
        if not isinstance(value, dict):
            raise self.unreadable('must be a JSON object, such as {"name": "value"}.')
        return value


def sentence(label: str, text: str) -> str:
    """What is wrong with an input, after its name where the text goes on from it."""
    return f"{label} {text}" if re.match(r"(is|must|can|has)\b", text) else text


def question(asked: Asked) -> Question:
    """The field that asks for it most plainly."""
    question = _kind_of_question(asked)(asked)
    if question.must and question.widget.use_required_attribute(None):
        question.widget.attrs["required"] = True
    return question


def _kind_of_question(asked: Asked) -> type[Question]:
    listed = asked.kind == "array" and "prefixItems" not in asked.schema
    if asked.kind == "boolean":
        return Choice if asked.nullable else Check
    if asked.options:
        return Choice
    if asked.kind in ("integer", "number"):
        return Number
    if asked.kind == "string":
        if asked.schema.get("format") in Line.formats:
            return Line
        is_long = (asked.number("maxLength") or 0) > LINE_LENGTH
        return Text if is_long or asked.schema.get("format") in _LONG_FORMATS else Line
    if listed and asked.item_options:
        return Choices
    if listed and asked.items.get("type") == "string":
        return Lines
    return Json


def _option(value: Any) -> str:
    """A value as a form posts it: text as it is, everything else as JSON."""
    return value if isinstance(value, str) and value else as_json(value)


def _few_digits(text: str) -> int:
    if len(text) > MOST_DIGITS:
        raise ValueError
    return int(text)


def _no_number(text: str) -> float:
    raise ValueError
