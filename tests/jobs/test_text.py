"""Text from outside: made storable, and searched for quotes."""

import json
import math

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from jobs.text import Searchable, clean, clipped, printable
from tests.anything import anything, is_storable

TEXT = (
    "The harbour bridge was closed\non 3 May. “We did not\u00a0know”, said the engineer\u2009— "
    "and nobody’s report\r\n  mentions the co\u00adrrosion.\tIt re-\u200bopened."
)


@given(anything)
def test_whatever_is_cleaned_can_be_stored(value):
    assert is_storable(clean(value))


@given(anything)
def test_cleaning_twice_changes_nothing_more(value):
    once = clean(value)
    assert clean(once) == once


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00")))
def test_text_that_can_be_stored_is_left_alone(text):
    assert clean(text) == text


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_numbers_that_json_does_not_have_become_words(value):
    assert json.loads(json.dumps(clean([value]), allow_nan=False)) == [str(value)]


def test_what_is_replaced_keeps_its_length_so_that_offsets_hold():
    assert clean("a\x00b\ud800c") == "a\ufffdb\ufffdc"


@pytest.mark.parametrize(
    "quote",
    [
        "The harbour bridge was closed on 3 May.",
        "closed\n\n   on\t3 May",
        '"We did not know"',
        "“We did not know”, said the engineer - and nobody's report mentions",
        "«We did not know», said the engineer – and nobody`s report",
        "mentions the corrosion. It re-opened.",
        " “nobody's report” ",
        "re\u2011opened",
        "T",
    ],
)
def test_a_quote_is_found_whatever_its_breaks_marks_and_dashes(quote):
    start, end = Searchable.of(TEXT).find(quote)
    assert normal(TEXT[start:end]) == normal(quote)


@pytest.mark.parametrize(
    "quote",
    ["", " ", "“”", '"', "\u200b", "the harbour bridge", "closed on 4 May", "harbourbridge"],
)
def test_what_is_not_there_is_not_found(quote):
    assert Searchable.of(TEXT).find(quote) is None


def test_the_first_place_is_taken():
    assert Searchable.of("a tide, a tide").find("a tide") == (0, 6)


_marks = st.sampled_from(
    "'‘’‚‛′`´\"“”„‟″«»-‐‑‒–—―−\u00ad\u200b\u200c\u200d\ufeff \n\r\t\u00a0\u2003"
)
_prose = st.text(st.sampled_from("abcäß漢😀.,") | _marks, max_size=80)


@given(_prose, st.data())
def test_every_part_of_a_text_is_found_in_it_at_offsets_that_read_the_same(text, data):
    start = data.draw(st.integers(0, len(text)))
    quote = text[start : data.draw(st.integers(start, len(text)))]
    assume(normal(quote))
    place = Searchable.of(text).find(quote)
    assert place is not None
    assert normal(text[slice(*place)]) == normal(quote)


@given(_prose, st.text(max_size=10) | _prose)
def test_what_is_found_reads_the_same_as_what_was_looked_for(text, quote):
    place = Searchable.of(text).find(quote)
    if place is not None:
        start, end = place
        assert 0 <= start < end <= len(text)
        assert normal(text[start:end]) == normal(quote)


@given(st.text(), st.integers(1, 50))
def test_clipped_text_is_one_line_of_at_most_its_length(text, length):
    line = clipped(text, length)
    assert len(line) <= length
    assert line == " ".join(line.split())


def test_clipped_text_says_that_it_was_cut():
    assert clipped("one two\nthree", 50) == "one two three"
    assert clipped("one two three", 8) == "one two…"


def normal(text):
    """`text` as a reader hears it: one space, one kind of quotation mark and of dash, and without
    the marks that a quote stands in."""
    for alike, plain in (("‘’‚‛′`´", "'"), ("“”„‟″«»", '"'), ("‐‑‒–—―−", "-")):
        for mark in alike:
            text = text.replace(mark, plain)
    for dropped in "\u00ad\u200b\u200c\u200d\ufeff":
        text = text.replace(dropped, "")
    return " ".join(text.split()).strip("\"' ")


def test_what_is_printed_cannot_steer_a_terminal():
    assert printable("a\x1b[2Jb\x9bc\x07\n\td–é") == "a\ufffd[2Jb\ufffdc\ufffd\n\td–é"
