"""What differs between two versions: true, readable, and bounded in its work."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.rendering import alignment, changes
from jobs.rendering.changes import Piece, data_changes, shown, text_changes, value_text
from tests.anything import anything

#: Texts that share much: few words, few lines.
ALIKE = st.lists(st.sampled_from(["a", "b", "tide", " ", "\n", "\r\n", "é", "."]), max_size=60).map(
    "".join
)


def first(pieces):
    return "".join(piece.text for piece in pieces if piece.kind != "added")


def second(pieces):
    return "".join(piece.text for piece in pieces if piece.kind != "removed")


@given(st.one_of(ALIKE, st.text()), st.one_of(ALIKE, st.text()))
def test_the_difference_holds_both_texts_to_the_letter(before, after):
    found = text_changes(before, after)
    assert (first(found.pieces), second(found.pieces)) == (before, after)
    assert found.any == (before != after)
    assert all(piece.text for piece in found.pieces)


@given(ALIKE)
def test_a_text_does_not_differ_from_itself(text):
    assert not text_changes(text, text).any


def test_a_changed_line_is_told_word_by_word():
    found = text_changes("One.\nThe tide is low.\nThree.\n", "One.\nThe tide is high.\nThree.\n")
    assert found.pieces == (
        Piece("same", "One.\nThe tide is "),
        Piece("removed", "low"),
        Piece("added", "high"),
        Piece("same", ".\nThree.\n"),
    )


def test_a_line_that_is_another_one_is_told_as_a_whole():
    found = text_changes("Same.\nThe moon pulls.\nSame.", "Same.\nBring 4 boats!\nSame.")
    kinds = [(piece.kind, piece.text) for piece in found.pieces if piece.kind != "same"]
    assert kinds == [("removed", "The moon pulls.\n"), ("added", "Bring 4 boats!\n")]


def test_lines_that_were_put_in_are_alone_in_the_difference():
    lines = [f"Line {number}.\n" for number in range(1000)]
    found = text_changes("".join(lines), "".join([*lines[:500], "New.\n", *lines[500:]]))
    assert [piece for piece in found.pieces if piece.kind != "same"] == [Piece("added", "New.\n")]
    assert [piece.kind for piece in shown(found)] == [
        "gap",
        "same",
        "added",
        "same",
        "gap",
    ]


def test_two_texts_with_nothing_in_common_are_not_compared():
    found = text_changes("The moon pulls.", "四艘船")
    assert not found.comparable
    assert [piece.kind for piece in found.pieces] == ["removed", "added"]


HOSTILE = {
    "one long line": ("a b " * 250_000, "b a " * 250_000),
    "two lines over and over": ("x\ny\n" * 250_000, "y\nx\nz\n" * 160_000),
    "lines that are all alike": ("x\n" * 500_000, "x\n" * 250_000 + "y\n" + "x\n" * 249_000),
    "every line another": (
        "\n".join(map(str, range(150_000))),
        "\n".join(map(str, range(150_000, 0, -1))),
    ),
    "no line end at all": ("a" * 1_000_000, "a" * 500_000 + "b" + "a" * 499_000),
    "longer than is compared": ("a" * 2_100_000, "b"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_the_work_is_bounded_by_count_and_not_by_the_clock(case, monkeypatch):
    before, after = HOSTILE[case]
    budget = alignment.Budget(changes.MOST_WORK)
    steps = []
    walk = alignment.matches_of

    def counted(old, new, budget):
        left = budget.left
        found = walk(old, new, budget)
        steps.append(left - budget.left)
        return found

    monkeypatch.setattr(alignment, "matches_of", counted)
    found = text_changes(before, after, budget=budget)
    assert (first(found.pieces), second(found.pieces)) == (before, after)
    # The last row of steps may go over by its own length.
    assert sum(steps) <= changes.MOST_WORK + max(len(before), len(after))
    assert sum(len(piece.text) for piece in shown(found)) <= 2 * changes.MOST_SHOWN


def test_what_is_shown_is_cut_and_says_so():
    before = "\n".join(f"old {number}" for number in range(20_000))
    found = shown(text_changes(before, before.replace("old", "new")))
    assert found[-1].kind == "gap"
    assert found[-1].lines > 1


def test_hidden_characters_are_named():
    [_same, added] = shown(text_changes("The tide.", "The tide.\u202e"))
    assert added == Piece("added", "⟦U+202E⟧")


def at(value, path):
    for part in path:
        value = value[part]
    return value


def steps(path):
    """The keys and places of a path; only for keys without dots and brackets."""
    for part in path.removeprefix("$").replace("[", ".[").split(".")[1:]:
        yield int(part[1:-1]) if part.startswith("[") else part


NAMES = st.sampled_from(["a", "b", "c"])
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-2, 2), st.sampled_from(["tide", "the tide"])),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(NAMES, inner, max_size=3)),
    max_leaves=12,
)


@given(VALUES, VALUES)
def test_every_place_that_differs_is_where_it_says(before, after):
    found = data_changes(before, after)
    for place in found.places:
        if place.kind != "removed":
            assert at(after, steps(place.path)) == place.after
        if place.kind == "removed":
            assert at(before, steps(place.path)) == place.before
    same = changes._canonical(before, alignment.Budget(10**9)) == changes._canonical(
        after, alignment.Budget(10**9)
    )
    assert same == (not found.places)


@given(anything, anything)
def test_any_two_values_can_be_compared(before, after):
    assert data_changes(before, before).places == ()
    for place in data_changes(before, after).places:
        value_text(place.before)


def test_an_item_put_in_first_changes_none_of_the_others():
    before = {"findings": [{"text": "One"}, {"text": "Two words here"}]}
    after = {"findings": [{"text": "New"}, {"text": "One"}, {"text": "Two words there"}]}
    found = data_changes(before, after)
    assert [(place.path, place.kind) for place in found.places] == [
        ("$.findings[0]", "added"),
        ("$.findings[2].text", "changed"),
    ]
    assert found.places[1].pieces[1:] == (Piece("removed", "here"), Piece("added", "there"))


def test_a_number_a_text_and_a_truth_are_not_the_same():
    assert [place.path for place in data_changes({"a": 1}, {"a": True}).places] == ["$.a"]
    assert [place.path for place in data_changes({"a": 1}, {"a": "1"}).places] == ["$.a"]


def test_of_very_many_places_the_first_are_listed_and_the_rest_is_owned_up_to():
    found = data_changes(list(range(100_000)), list(range(100_000, 200_000)))
    assert (len(found.places), found.more) == (changes.MOST_PLACES, -1)


def test_what_is_nested_without_end_is_compared_without_breaking():
    deep = value = []
    for _step in range(50_000):
        value.append([])
        value = value[0]
    assert data_changes(deep, [1]).more in (0, -1)
