"""What is typed as JSON and cannot be taken is told by its place."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.edits import BadEdit, parsed

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=12,
)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{\n  "a": 1,\n  "b": x\n}', "It is no JSON: Expecting value (line 3, column 8)."),
        (
            '{\n  "a": 1,\n  "rows": [{"b": 1, "b": 2}]\n}',
            "The name “b” stands twice in one object (line 3, column 21).",
        ),
        (
            '{"a": {"a": 1},\n"\\u0061": 2}',
            "The name “a” stands twice in one object (line 2, column 1).",
        ),
        (
            '{"1.00000000000000000001": "1e999",\n "b": [1, 1e999]}',
            "The number 1e999 means different things to different readers (line 2, column 11).",
        ),
        (
            '["\\"NaN", -Infinity]',
            "The number -Infinity means different things to different readers (line 1, column 11).",
        ),
        (
            "9" * 5_000,
            f"The number {'9' * 39}… means different things to different readers (line 1, column 1).",
        ),
    ],
)
def test_the_line_and_the_column_are_named(text, said):
    with pytest.raises(BadEdit) as refused:
        parsed(text)
    assert str(refused.value) == said


@given(VALUES, st.integers(0, 3))
def test_what_can_be_read_in_one_way_is_taken(value, indent):
    assert parsed(json.dumps(value, indent=indent)) == value


@given(VALUES, VALUES, st.text(max_size=5), st.booleans())
def test_a_name_that_stands_twice_is_found_wherever_it_is(before, inside, name, ascii):
    key = json.dumps(name, ensure_ascii=ascii)
    begun = f"[{json.dumps(before, indent=1)},\n{{{key}: {json.dumps(inside)}, "
    with pytest.raises(BadEdit) as refused:
        parsed(f"{begun}{key}: 1}}]")
    line, column = begun.count("\n") + 1, len(begun) - begun.rfind("\n")
    assert str(refused.value).endswith(f"(line {line}, column {column}).")
