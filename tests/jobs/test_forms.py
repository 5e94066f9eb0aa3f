"""The form of a job type: every schema has one, and what it reads is what the schema judges."""

import json

import pytest
from django.http import QueryDict
from django.template import engines
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator, SchemaError

from jobs.forms import OTHER, InputForm
from jobs.models import JobType
from jobs.questions import Check, Choice, Choices, Json, Line, Lines, Number, Text
from jobs.text import clean
from tests.anything import anything, text


def job_type(schema):
    return JobType(slug="type", name="Type", input_schema=schema)


def asked(schema, required=False):
    """A type that asks for one input, `x`."""
    return job_type(
        {"type": "object", "properties": {"x": schema}, "required": ["x"] if required else []}
    )


def question(schema, required=False):
    return InputForm(asked(schema, required)).questions["x"]


def posted(**values):
    data = QueryDict(mutable=True)
    for name, value in values.items():
        data.setlist(f"input-{name}", value if isinstance(value, list) else [value])
    return data


def read(schema, *typed, required=False):
    """The input that is made of what was typed, and what is wrong with it."""
    form = InputForm(asked(schema, required), posted(x=list(typed)) if typed else QueryDict())
    form.is_valid()
    return form.input, [said for _at, said in form.summary]


STRING = {"type": "string"}
LONG = {"type": "string", "maxLength": 201}
DAY = {"type": "string", "format": "date"}
MOMENT = {"type": "string", "format": "date-time"}
MAIL = {"type": "string", "format": "email"}
ADDRESS = {"type": "string", "format": "uri"}
WHOLE = {"type": "integer", "minimum": 1, "maximum": 9}
KINDS = {"enum": ["short", "long"]}
TITLED = {"oneOf": [{"const": 1, "title": "One"}, {"const": 2, "title": "Two"}]}


@pytest.mark.parametrize(
    ("schema", "field", "widget"),
    [
        (STRING, Line, "text"),
        ({}, Line, "text"),
        (True, Line, "text"),
        ({"type": "string", "maxLength": 200}, Line, "text"),
        (LONG, Text, "textarea"),
        ({"type": "string", "format": "textarea"}, Text, "textarea"),
        (DAY, Line, "date"),
        (MOMENT, Line, "datetime-local"),
        (MAIL, Line, "email"),
        ({**MAIL, "maxLength": 254}, Line, "email"),
        (ADDRESS, Line, "url"),
        (WHOLE, Number, "number"),
        ({"type": "number"}, Number, "number"),
        ({"type": ["integer", "null"]}, Number, "number"),
        ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, Number, "number"),
        ({"type": "boolean"}, Check, "checkbox"),
        ({"type": ["boolean", "null"]}, Choice, "select"),
        (KINDS, Choice, "select"),
        ({"type": "string", **KINDS}, Choice, "select"),
        (TITLED, Choice, "select"),
        ({"type": "array", "items": STRING}, Lines, "textarea"),
        ({"type": "array", "items": KINDS}, Choices, "checkbox"),
        ({"type": "array", "items": {"type": "object"}}, Json, "textarea"),
        ({"type": "array"}, Json, "textarea"),
        ({"type": "object"}, Json, "textarea"),
        ({"type": ["integer", "boolean"]}, Json, "textarea"),
        ({"anyOf": [STRING, {"type": "integer"}]}, Json, "textarea"),
    ],
)
def test_each_kind_of_input_has_its_field(schema, field, widget):
    found = question(schema)
    assert type(found) is field
    kind = getattr(found.widget, "input_type", "textarea")
    assert kind == widget


def test_a_required_choice_of_few_is_seen_at_once_and_one_of_many_is_a_list():
    few, many = question(KINDS, required=True), question({"enum": list("abcdef")}, required=True)
    assert few.widget.input_type == "radio"
    assert [label for _value, label in few.widget.choices] == ["short", "long"]
    assert many.widget.input_type == "select"
    assert next(iter(many.widget.choices)) == ("", "Choose one")


@pytest.mark.parametrize(
    ("schema", "typed", "value"),
    [
        (STRING, " tides ", "tides"),
        (LONG, "one\r\n two\r\n", "one\n two\n"),
        (DAY, "2026-03-31", "2026-03-31"),
        (MOMENT, "2026-03-31T14:30", "2026-03-31T14:30:00Z"),
        (MOMENT, "2026-03-31T14:30:00+02:00", "2026-03-31T12:30:00Z"),
        (MAIL, "a@example.com", "a@example.com"),
        (ADDRESS, "https://example.com", "https://example.com"),
        (WHOLE, "3", 3),
        (WHOLE, "3.0", 3),
        ({"type": "number"}, "0.5", 0.5),
        ({"type": "number"}, "12", 12),
        ({"type": "boolean"}, "on", True),
        ({"type": ["boolean", "null"]}, "false", False),
        (KINDS, "long", "long"),
        (TITLED, "2", 2),
        ({"enum": ["", None, 0]}, '""', ""),
        ({"enum": ["", None, 0]}, "null", None),
        ({"enum": [{"a": 1}]}, '{"a": 1}', {"a": 1}),
        ({"type": "array", "items": STRING}, "one\r\n\r\n two ", ["one", "two"]),
        ({"type": "object"}, '{"a": [1]}', {"a": [1]}),
    ],
)
def test_what_was_typed_becomes_its_json_value_and_is_shown_again(schema, typed, value):
    assert read(schema, typed) == ({"x": value}, [])
    field = question(schema)
    assert field.clean(field.shown(value)) == value


def test_any_of_a_lists_choices_can_be_ticked():
    schema = {"type": "array", "items": {"enum": ["a", 2]}}
    assert read(schema, "a", "2") == ({"x": ["a", 2]}, [])
    assert read(schema, "c")[1] == ["X must be among the choices."]


@pytest.mark.parametrize(
    "schema", [STRING, LONG, DAY, WHOLE, KINDS, MAIL, {"type": "array", "items": STRING}, {}]
)
@pytest.mark.parametrize("typed", [(), ("",), ("  ",)])
def test_what_is_left_empty_is_left_out(schema, typed):
    assert read(schema, *(typed if schema is not KINDS else typed[:0])) == ({}, [])


def test_what_is_required_and_may_be_empty_is_sent_empty():
    assert read({"type": ["string", "null"]}, required=True) == ({"x": None}, [])
    assert read({"type": "array", "items": STRING}, required=True) == ({"x": []}, [])
    assert not question({"type": ["string", "null"]}, required=True).must


def test_a_box_that_is_not_ticked_says_no_unless_no_is_no_answer():
    assert read({"type": "boolean"}) == ({"x": False}, [])
    assert read({"type": "boolean", "const": True}) == ({}, [])
    assert read({"type": "boolean", "const": True}, required=True) == ({}, ["X is required."])


@pytest.mark.parametrize(
    ("schema", "typed", "said"),
    [
        (WHOLE, "many", "X must be a whole number."),
        (WHOLE, "1.5", "X must be a whole number."),
        (WHOLE, "10", "X must be 9 or less."),
        (WHOLE, "9" * 5000, "X must be a whole number."),
        ({"type": "number"}, "nan", "X must be a number."),
        ({"type": "number"}, "1e400", "X must be a number."),
        (DAY, "tomorrow", "X must be a date, such as 2026-03-31."),
        (MAIL, "nobody", "X must be an e-mail address, such as name@example.com."),
        (ADDRESS, "example", "X must be a web address, such as https://example.com/page."),
        (ADDRESS, "http://[", "X must be a web address, such as https://example.com/page."),
        (KINDS, "odd", "X must be one of the choices."),
        ({"type": "object"}, "{", "X must be JSON; line 1 cannot be read: "),
        ({"type": "object"}, "NaN", "X must be JSON, with numbers of sensible length."),
        ({"type": "object"}, "9" * 5000, "X must be JSON, with numbers of sensible length."),
        ({"type": "object"}, "[" * 200_000, "X is nested too deeply."),
        ({"type": "object"}, "[]", "X: [] is not of type 'object'."),
        ({"type": "string", "pattern": "^a$"}, "b", "X: 'b' does not match '^a$'."),
        (
            {"type": "string", "pattern": "^a$", "description": "The letter a."},
            "b",
            "X does not have the expected format: The letter a.",
        ),
        (
            {"type": "array", "items": {**STRING, "maxLength": 2}},
            "ab\nabc",
            "X, item 2, can have 2",
        ),
        (
            {"type": "object", "required": ["city"]},
            "{}",
            "X, city, is required.",
        ),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence_and_what_was_typed_stays(schema, typed, said):
    form = InputForm(asked(schema), posted(x=typed))
    assert not form.is_valid()
    [(at, found)] = form.summary
    assert found.startswith(said)
    assert at == "id_input-x"
    assert form["x"].value() == typed


def test_a_required_input_that_is_missing_is_named_by_its_title():
    _input, said = read({"type": "string", "title": "Topic"}, required=True)
    assert said == ["Topic is required."]


def test_everything_wrong_is_said_at_once():
    schema = {
        "properties": {"a": WHOLE, "b": STRING, "c": {"type": "string", "maxLength": 1}},
        "required": ["b"],
    }
    form = InputForm(job_type(schema), posted(a="many", c="long"))
    assert [at for at, _said in form.summary] == ["id_input-a", "id_input-b", "id_input-c"]


def test_title_description_examples_and_default_are_shown():
    schema = {
        "type": "integer",
        "title": "Pages",
        "description": "Of the report.",
        "examples": [3, 5],
        "default": 4,
        "minimum": 1,
        "multipleOf": 1,
    }
    form = InputForm(asked(schema))
    field = form["x"]
    assert (field.label, field.value()) == ("Pages", "4")
    assert field.help_text == "Of the report. For example: 3 · 5."
    assert 'min="1"' in str(field)
    assert question({"default": True, "type": "boolean"}).initial is True
    assert question({"type": "array", "items": KINDS, "default": ["long"]}).initial == ["long"]


def test_a_name_without_a_title_is_spelled_out():
    assert list(InputForm(job_type({"properties": {"due_date": DAY}})))[0].label == "Due date"


def test_references_and_combinations_are_followed():
    schema = {
        "$defs": {
            "Kind": {"enum": ["a", "b"], "title": "Kind"},
            "loop": {"$ref": "#/$defs/loop"},
        },
        "allOf": [{"properties": {"kind": {"$ref": "#/$defs/Kind"}}, "required": ["kind"]}],
        "properties": {
            "maybe": {"anyOf": [{"$ref": "#/$defs/Kind"}, {"type": "null"}]},
            "round": {"$ref": "#/$defs/loop"},
            "away": {"$ref": "https://example.com/schema"},
        },
    }
    questions = InputForm(job_type(schema)).questions
    assert {key: type(field) for key, field in questions.items()} == {
        "kind": Choice,
        "maybe": Choice,
        "round": Line,
        "away": Line,
    }
    assert questions["kind"].must and not questions["maybe"].must


def test_a_schema_that_refers_elsewhere_is_not_fetched_and_does_not_break():
    _input, said = read({"$ref": "https://example.com/schema"}, "value")
    assert said == ["The form for Type is broken, so your input cannot be checked. Tell an admin."]


def test_inputs_that_are_asked_for_under_a_condition_have_fields():
    schema = {
        "properties": {"kind": {"enum": ["a", "b"]}},
        "if": {"properties": {"kind": {"const": "a"}}},
        "then": {"properties": {"why": STRING}, "required": ["why"]},
    }
    form = InputForm(job_type(schema), posted(kind="a"))
    assert list(form.questions) == ["kind", "why"]
    assert not form.questions["why"].must
    assert [said for _at, said in form.summary] == ["Why is required."]


def test_inputs_without_a_name_are_asked_for_as_json():
    schema = {"properties": {"a": STRING}, "additionalProperties": {"type": "integer"}}
    form = InputForm(job_type(schema), posted(a="x", **{OTHER: '{"b": 1, "a": "y"}'}))
    assert form.is_valid()
    assert form.input == {"a": "x", "b": 1}
    form = InputForm(job_type(schema), posted(**{OTHER: '{"b": "no"}'}))
    assert form.summary == [
        (f"id_input-{OTHER}", "Other inputs: b: 'no' is not of type 'integer'.")
    ]
    form = InputForm(job_type(schema), posted(**{OTHER: "[]"}))
    assert "must be a JSON object" in form.summary[0][1]


def test_names_that_browsers_would_change_come_back():
    names = ["", " ", "a b", "a\nb", 'a"b', "key", "upload", "ß", "a.b", "x" * 300]
    schema = {"properties": {name: WHOLE for name in names}}
    form = InputForm(job_type(schema))
    data = QueryDict(mutable=True)
    for field in form:
        assert field.html_name.isascii() and " " not in field.html_name
        data[field.html_name] = "3"
    filled = InputForm(job_type(schema), data)
    assert filled.is_valid()
    assert filled.input == dict.fromkeys(names, 3)


def test_a_form_begins_from_the_input_of_another_job():
    schema = {"properties": {"a": {"default": "x"}, "b": {"type": "boolean"}, "c": WHOLE}}
    form = InputForm(job_type(schema), before={"b": True, "c": 3, "d": [1]})
    assert [form[name].value() for name in ("a", "b", "c")] == [None, True, "3"]
    assert json.loads(form[OTHER].value()) == {"d": [1]}
    closed = InputForm(job_type({**schema, "additionalProperties": False}), before={"d": [1]})
    assert OTHER not in closed.fields


# Any schema ----------------------------------------------------------------------------------------

_words = st.sampled_from(
    ["type", "enum", "const", "properties", "required", "items", "anyOf", "oneOf", "allOf", "not"]
    + ["$ref", "$defs", "title", "description", "default", "examples", "format", "minimum"]
    + ["maximum", "exclusiveMinimum", "multipleOf", "minLength", "maxLength", "pattern", "minItems"]
    + ["additionalProperties", "patternProperties", "prefixItems", "if", "then", "else"]
    + ["dependentSchemas", "dependentRequired", "unevaluatedProperties", "propertyNames", "$id"]
    + ["uniqueItems", "contains", "$anchor", "$dynamicRef", "minProperties", "dependencies"]
)
_types = st.sampled_from(["string", "integer", "number", "boolean", "array", "object", "null"])
_small = st.integers(-3, 5) | st.sampled_from([0.5, 1e308, 10**30])


def _schemas(inner):
    some = {
        "type": _types | st.lists(_types, max_size=3, unique=True),
        "enum": st.lists(anything, max_size=7),
        "const": anything,
        "properties": st.dictionaries(
            st.sampled_from(["x", "y", "", "a b"]) | text, inner, max_size=4
        ),
        "required": st.lists(st.sampled_from(["x", "y", "z", ""]), max_size=3, unique=True),
        "items": inner,
        "anyOf": st.lists(inner, min_size=1, max_size=3),
        "oneOf": st.lists(
            inner | st.builds(lambda v: {"const": v}, anything), min_size=1, max_size=3
        ),
        "allOf": st.lists(inner, min_size=1, max_size=3),
        "not": inner,
        "if": inner,
        "then": inner,
        "else": inner,
        "$ref": st.sampled_from(
            [
                "#",
                "#/$defs/a",
                "#/$defs/b",
                "#/properties/x",
                "#/nowhere",
                "http://127.0.0.1:1/x",
                "?",
            ]
        ),
        "$defs": st.dictionaries(st.sampled_from(["a", "b"]), inner, max_size=2),
        "title": text,
        "description": text,
        "default": anything,
        "examples": st.lists(anything, max_size=4),
        "format": st.sampled_from(["date", "date-time", "email", "uri", "time", "textarea", "odd"]),
        "minimum": _small,
        "maximum": _small,
        "exclusiveMinimum": _small,
        "multipleOf": st.sampled_from([1, 2, 0.1, 1e-30, 10**30]),
        "minLength": st.integers(0, 3),
        "maxLength": st.sampled_from([0, 1, 5.0, 300]),
        "minItems": st.integers(0, 2),
        "pattern": st.sampled_from(["^a+$", "\\d", "("]),
        "additionalProperties": inner,
        "unevaluatedProperties": inner,
        "patternProperties": st.dictionaries(st.sampled_from(["^a", "b"]), inner, max_size=2),
        "prefixItems": st.lists(inner, min_size=1, max_size=2),
        "dependentSchemas": st.dictionaries(st.sampled_from(["x", "y"]), inner, max_size=2),
        "uniqueItems": st.booleans(),
    }
    return st.booleans() | st.fixed_dictionaries({}, optional=some)


schemas = st.recursive(st.just({}) | st.booleans(), _schemas, max_leaves=6)
wild = st.dictionaries(_words, anything, max_size=4)
PAGE = """{% for field in form %}{{ field.label }}{{ field }}{{ field.help_text }}{{ field.errors }}
{% endfor %}{% for at, said in form.summary %}{{ at }}{{ said }}{% endfor %}"""
TYPED = st.sampled_from(
    ["", "x", "3", "-1.5", "9" * 5000, "1e308", "null", "{}", "[1]", '{"a": "\\ud800"}', "[" * 9000]
    + ["2026-03-31", "0001-01-01T00:00+14:00", "a@b.example", "http://[", "\x00", "on"]
)


def is_taken_by_the_admin(schema):
    try:
        Draft202012Validator.check_schema(schema)
    except (SchemaError, RecursionError):
        return False
    return True


@given(schemas | wild, anything, st.data())
def test_every_schema_has_a_form_that_takes_whatever_is_typed(schema, before, data):
    if not is_taken_by_the_admin(schema):
        return
    kind = job_type(schema)
    page = engines["django"].from_string(PAGE)
    empty = InputForm(kind)
    page.render({"form": empty}).encode()
    begun = InputForm(kind, before=clean({"x": before, "q": before, "": before}))
    page.render({"form": begun}).encode()
    typed = QueryDict(mutable=True)
    for field in empty:
        typed.setlist(field.html_name, data.draw(st.lists(TYPED, max_size=2)))
    filled = InputForm(kind, typed)
    if filled.is_valid():
        json.dumps(filled.input, allow_nan=False).encode()
    page.render({"form": filled}).encode()
