"""JSON as it is edited: indented, monospaced, and refused in a sentence that says where."""

import json
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.db import models
from django.forms.fields import InvalidJSONInput

from jobs.text import clean


class JSONText(forms.JSONField):
    """`empty` makes the value of an emptied field."""

    def __init__(self, *, empty: Any = None, **kwargs: Any) -> None:
        kwargs["widget"] = forms.Textarea(
            attrs={"class": "vLargeTextField room-json", "rows": 12, "spellcheck": "false"}
        )
        super().__init__(**kwargs)
        self.empty = empty or (lambda: None)

    def to_python(self, value: Any) -> Any:
        if self.disabled or not isinstance(value, str):
            return value
        if not value.strip():
            return self.empty()
        try:
            read = json.loads(value)
        except json.JSONDecodeError as error:
            where = f"line {error.lineno}, column {error.colno}"
            raise ValidationError(f"Not JSON: {error.msg} ({where}).", code="invalid") from None
        except (ValueError, RecursionError):
            raise ValidationError("This JSON is too deep or too long.", code="invalid") from None
        if clean(read) != read:
            raise ValidationError(
                "It has characters or numbers that cannot be stored, such as NaN or NUL.",
                code="invalid",
            )
        return read

    def bound_data(self, data: Any, initial: Any) -> Any:
        if self.disabled or data is None:
            return initial if self.disabled else None
        # As it was typed, mistakes and all.
        return InvalidJSONInput(data)

    def prepare_value(self, value: Any) -> Any:
        if isinstance(value, InvalidJSONInput):
            return value
        if value is None:
            return ""
        return json.dumps(value, indent=2, ensure_ascii=False)


def json_formfield(db_field: models.JSONField, **kwargs: Any) -> forms.Field | None:
    empty = db_field.get_default if db_field.has_default() else None
    kwargs |= {"form_class": JSONText, "empty": empty, "required": False}
    return db_field.formfield(**kwargs)
