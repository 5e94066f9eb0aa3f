"""The sections of a result: listed, led to, asked about, whatever models call them."""

import re
from types import SimpleNamespace
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.models import Result
from jobs.rendering import headings, markdown, result_view, section_names
from jobs.rendering.sections import section_markdown
from tests.anything import anything
from tests.hostile import XSS, markup

JOB = SimpleNamespace(ref="J-1234567")
ASK = "/jobs/J-1234567/follow-up/"


def result(text="", structured=None):
    row = Result(text=text, structured=structured, warnings=[])
    row._state.fields_cache["attempt"] = SimpleNamespace(number=1)
    return row


def view(text="", structured=None, *, ask=ASK):
    return result_view(JOB, result(text, structured), citations=[], ask=ask)


def contents(found):
    return [(section.level, section.name) for section in found.sections]


def asked(found):
    """The sections that the page has a link to ask about."""
    queries = [urlsplit(link).query for link in markup(found.html).links if link.startswith(ASK)]
    return [parse_qs(query)["section"][0] for query in queries]


def test_the_title_is_no_section_and_two_levels_are_listed():
    found = view("# Report\n\n## A\n\n### A one\n\n#### Deep\n\n## B *bold* `x`")
    assert contents(found) == [(1, "A"), (2, "A one"), (1, "B bold x")]
    assert asked(found) == ["A", "A one", "Deep", "B bold x"]
    assert contents(view("# A\n\n# B")) == [(1, "A"), (1, "B")]
    assert contents(view("# Report\n\nWords.")) == []
    assert asked(view("# Report\n\nWords.")) == ["Report"]
    assert view("Words.").sections == ()


def test_structured_output_has_the_sections_of_its_parts():
    digest = {
        "title": "Tides",
        "summary": "High and low.",
        "sections": [
            {"heading": "The moon", "summary": "It pulls.", "quotes": []},
            {"heading": "The moon", "summary": "Again.", "quotes": []},
        ],
        "rows": [{"a": {"b": "c"}}, {"a": {"b": "d"}}],
    }
    found = view(structured=digest)
    assert contents(found)[:2] == [(1, "The moon"), (1, "The moon")]
    assert [name for _level, name in contents(found) if name.isdecimal()] == []
    assert len(set(markup(found.html).ids)) == len(markup(found.html).ids)
    assert {section.anchor for section in found.sections} <= set(markup(found.html).ids)
    assert section_names(result(structured=digest))[0] == "The moon"
    assert "It pulls." in section_markdown(result(structured=digest), "The moon")
    assert "Again." not in section_markdown(result(structured=digest), "The moon")


def test_headings_in_quotes_lists_and_code_begin_no_section():
    text = "# A\n\n> # Quoted\n\n- # Listed\n\n```\n# Code\n```\n\n# B"
    assert contents(view(text)) == [(1, "A"), (1, "B")]


def test_where_nobody_may_ask_there_is_no_link():
    found = view("# A\n\n# B", ask="")
    assert contents(found) == [(1, "A"), (1, "B")]
    assert "Ask about" not in found.html and "section-head" not in found.html


@pytest.mark.parametrize("text", XSS)
def test_a_heading_that_tries_more_is_a_name(text):
    line = text.replace("\n", " ")
    for found in (
        view(f"# {line}\n\n# {line}\n\n# B"),
        view(structured={"sections": [{"heading": line}, {"heading": "B"}]}),
    ):
        page = markup(found.html)
        assert {section.anchor for section in found.sections} <= set(page.ids)
        for name in asked(found):
            assert len(name) <= headings.LONGEST_NAME
            assert name in {section.name for section in found.sections}


def test_a_model_cannot_write_a_link_that_asks():
    for text in (f"[x]({ASK}?section=A)", f'<a class="ask" href="{ASK}?section=A">x</a>'):
        found = view(text)
        assert asked(found) == []
        assert not [link for link in markup(found.html).links if "follow-up" in link]


def test_hidden_characters_in_a_name_are_counted_once_and_named():
    found = view("# A\u200bB\n\n# C")
    assert found.hidden == 1
    assert found.sections[0].name == "A⟦U+200B⟧B"
    assert asked(found)[0] == "A⟦U+200B⟧B"
    assert section_markdown(result("# A\u200bB\n\nHere.\n\n# C"), "A⟦U+200B⟧B").endswith("Here.")


def test_numbers_of_sources_are_no_part_of_a_name():
    text = "# Tides rise\n\n# B"
    places = [(len("# Tides rise"), 1)]
    found = headings.Headings("r1-", ASK)
    html = markdown.rendered(text, headings=found, places=places).html
    assert [section.name for section in found.found] == ["Tides rise", "B"]
    assert '<sup class="cite">' in html


def test_hundreds_of_sections_are_listed_and_thousands_can_still_be_read():
    text = "\n\n".join(f"# {number}\n\nWords." for number in range(3_000))
    found = view(text)
    assert len(found.sections) == headings.MOST_SECTIONS
    assert len(asked(found)) == headings.MOST_SECTIONS
    assert "2999" in found.html


@pytest.mark.parametrize(
    ("name", "holds"),
    [
        ("A", "# A\n\none\n\n## A in\n\ntwo"),
        ("A in", "## A in\n\ntwo"),
        ("B", "B\n=\n\n```\n# no\n```\nthree"),
        ("no", ""),
        ("", ""),
    ],
)
def test_a_section_goes_to_the_next_heading_that_is_as_high(name, holds):
    text = "# A\r\n\r\none\r\n\r\n## A in\n\ntwo\n\nB\n=\n\n```\n# no\n```\nthree\n"
    assert section_markdown(result(text), name) == holds


@given(st.text("ab #*_`[]()<>\n-=1é", max_size=80))
def test_every_section_of_a_text_can_be_asked_about_and_found(text):
    found = view(text)
    page = markup(found.html)
    assert {section.anchor for section in found.sections} <= set(page.ids)
    for name in section_names(result(text)):
        assert section_markdown(result(text), name)


@given(anything)
def test_every_section_of_any_value_can_be_asked_about_and_found(value):
    found = view(structured=value)
    page = markup(found.html)
    assert len(page.ids) == len(set(page.ids))
    for name in set(asked(found)):
        assert re.search(r"\S", section_markdown(result(structured=value), name))
