"""What a response holds, read out of its payload."""

import base64
import json

import pytest
from django.db import transaction
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs import evidence, outcomes
from jobs.evidence import DocumentText, read
from jobs.models import ENDED, SETTLED, Result, Status
from jobs.provider import payloads
from tests.anything import anything, is_storable, text
from tests.factories import JobFactory, JobTypeFactory, start
from tests.payloads import message, response_object, usage

SCHEMA = {
    "type": "object",
    "properties": {
        "title": {"type": "string"},
        "count": {"type": "integer", "minimum": 0},
        "quotes": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"document": {"type": "string"}, "quote": {"type": "string"}},
                "required": ["document", "quote"],
                "additionalProperties": False,
            },
        },
    },
    "required": ["title", "count", "quotes"],
    "additionalProperties": False,
}
TIDES = DocumentText(
    "tides", "Tides.txt", "High water comes twice a day.\nThe moon’s pull does it."
)
MOON = DocumentText("moon", "moon.md", "The moon's pull does it — and the sun's.")

PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n and so on").decode()


def output(*items, **changes):
    return response_object(output=list(items), **changes)


def structured(value, **kwargs):
    return read(output(message(json.dumps(value))), schema=SCHEMA, **kwargs)


def quoting(*quotes, document="Tides.txt"):
    quoted = [{"document": document, "quote": quote} for quote in quotes]
    return {"title": "Tides", "count": 1, "quotes": quoted}


def codes(found):
    return [warning.code for warning in found.warnings]


# Text and citations


def test_the_text_is_that_of_all_parts_of_the_final_answer():
    two = message("First.")
    two["content"].append(message("Second.")["content"][0])
    assert read(output(two, message("Third."))).text == "First.\n\nSecond.\n\nThird."


def test_commentary_on_the_way_is_not_the_answer():
    commentary = message("Let me look.") | {"phase": "commentary"}
    final = message("It is so.") | {"phase": "final_answer"}
    assert read(output(commentary, final)).text == "It is so."
    assert read(output(commentary)).text == "Let me look."


def test_a_refusal_is_a_warning_and_no_text():
    refused = message("") | {"content": [{"type": "refusal", "refusal": "I will\nnot."}]}
    found = read(output(refused))
    assert found.text == ""
    assert codes(found) == ["refusal"]
    assert "I will not." in found.warnings[0].text
    assert found.is_empty


def test_a_citation_keeps_its_place_in_the_whole_text():
    cited = {"type": "url_citation", "url": "https://x.example/", "title": "X"}
    parts = [
        message("Intro."),
        message("Tides are real.", annotations=[cited | {"start_index": 0, "end_index": 5}]),
    ]
    found = read(output(*parts))
    (source,) = found.sources
    assert (source.kind, source.quote, source.url) == ("url_citation", "Tides", cited["url"])
    assert found.text[source.start : source.end] == "Tides"


@pytest.mark.parametrize(
    ("start", "end"), [(5, 2), (0, 999), (-1, 3), (True, 3), ("0", "3"), (None, 3), (0.0, 3)]
)
def test_a_citation_whose_place_is_nonsense_is_kept_without_one(start, end):
    cited = {"type": "url_citation", "url": "u", "start_index": start, "end_index": end}
    (source,) = read(output(message("Tides.", annotations=[cited]))).sources
    assert (source.start, source.end, source.quote) == (None, None, "")
    assert source.raw == cited


def test_an_annotation_of_an_unknown_type_is_kept():
    smell = {"type": "smell_citation", "filename": "rose.txt", "strength": 3}
    (source,) = read(output(message("A rose.", annotations=[smell, "nonsense"]))).sources
    assert (source.kind, source.title, source.raw) == ("smell_citation", "rose.txt", smell)


# Tools and files


def test_what_the_model_did_on_its_way_is_kept():
    search = {
        "type": "web_search_call",
        "status": "completed",
        "action": {"type": "search", "query": "tides", "queries": ["tides", "moon"]},
    }
    call = {"type": "function_call", "name": "look_up", "arguments": '{"id": 1}', "call_id": "c"}
    found = read(output(search, call, message("Done.")))
    assert [(use.kind, use.name, use.summary) for use in found.tool_uses] == [
        ("web_search_call", "", "tides · moon"),
        ("function_call", "look_up", '{"id": 1}'),
    ]
    assert found.tool_uses[0].raw == search


def test_an_item_of_an_unknown_type_is_kept_as_a_tool_call_of_its_own_type():
    hologram = {"type": "hologram", "depth": 3}
    found = read(output(hologram, {"no": "type"}, "nonsense", None, message("Done.")))
    assert [use.kind for use in found.tool_uses] == ["hologram", "unknown"]
    assert found.tool_uses[0].raw == hologram
    assert found.text == "Done."
    assert found.warnings == ()


def test_a_tool_that_failed_is_a_warning():
    failed = {"type": "file_search_call", "status": "failed"}
    erred = {"type": "mcp_call", "name": "ask", "error": {"type": "http_error"}}
    assert [warning.text for warning in read(output(failed, erred)).warnings] == [
        "“Searched the documents” failed.",
        "“Called ask at a server without a name” ended in error.",
    ]


def test_reasoning_is_kept_only_where_it_says_something():
    silent = {"type": "reasoning", "summary": [], "encrypted_content": "x" * 99}
    spoken = {
        "type": "reasoning",
        "summary": [{"type": "summary_text", "text": "Weighed it."}],
        "encrypted_content": "x" * 99,
    }
    (use,) = read(output(silent, spoken)).tool_uses
    assert use.summary == "Weighed it."
    assert "encrypted_content" not in use.raw


def test_an_image_becomes_a_file():
    image = {"type": "image_generation_call", "status": "completed", "result": PNG}
    found = read(output(image))
    (file,) = found.files
    assert (file.name, file.content_type) == ("image-1.png", "image/png")
    assert file.content == base64.b64decode(PNG)
    assert not found.is_empty


@pytest.mark.parametrize("result", ["", "not base64!", "ü", None, 7, ["x"]])
def test_an_image_that_is_none_is_no_file(result):
    image = {"type": "image_generation_call", "status": "completed", "result": result}
    assert read(output(image)).files == ()


# Structured output


def test_output_that_keeps_to_its_schema_is_no_warning():
    found = structured(quoting())
    assert found.structured == quoting()
    assert found.warnings == ()


def test_each_violation_is_a_warning_with_its_path():
    found = structured({"title": 3, "count": -1, "quotes": [{"quote": "x"}], "more": 1})
    assert [(warning.code, warning.path) for warning in found.warnings] == [
        ("schema_violation", "$"),
        ("schema_violation", "$.count"),
        ("schema_violation", "$.quotes[0]"),
        ("schema_violation", "$.title"),
    ]
    assert found.structured["title"] == 3
    assert all(warning.path in warning.text for warning in found.warnings)


def test_of_many_violations_the_first_are_listed():
    wrong = quoting() | {"quotes": [0] * 80}
    found = structured(wrong)
    assert len(found.warnings) == evidence.MOST_VIOLATIONS + 1
    assert found.warnings[-1].text == "… and 30 more violations."
    wrong = quoting() | {"quotes": [0] * 5_000}
    assert structured(wrong).warnings[-1].text == "… and more than 950 more violations."


@pytest.mark.parametrize("said", ["Sorry, no.", '{"title": "cut o', "```json\n{}\n```", "1" * 5000])
def test_output_that_is_not_json_is_kept_as_text_with_a_warning(said):
    found = read(output(message(said)), schema=SCHEMA)
    assert (found.text, found.structured) == (said, None)
    assert codes(found) == ["not_json"]


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#/$defs/nowhere"},
        {"$ref": "https://schemas.example/never-fetched"},
        {"properties": {"title": {"pattern": "("}}},
        {"properties": {"count": {"multipleOf": 0.1}}},
    ],
    ids=str,
)
def test_a_schema_that_cannot_be_applied_is_a_warning_and_loses_nothing(schema):
    said = json.dumps({"title": "Tides", "count": 10**400})
    found = read(output(message(said)), schema=schema)
    assert found.text == said
    assert found.structured["title"] == "Tides"
    assert codes(found) == ["schema_unusable"]


def test_what_is_nested_too_deeply_is_said_to_be():
    deep = []
    for _level in range(50_000):
        deep = [deep]
    assert codes(read(output({"type": "hologram", "deep": deep}))) == ["unreadable"]
    assert codes(read(output(message("[" * 50_000)), schema=SCHEMA)) == ["unreadable"]


# Quotes


def test_a_quote_is_found_in_the_document_that_it_names():
    found = structured(
        quoting("The moon's pull does it"), documents=[MOON, TIDES], check_quotes=True
    )
    (source,) = found.sources
    assert (source.document, source.path, source.title) == ("tides", "$.quotes[0]", "Tides.txt")
    assert TIDES.text[source.start : source.end] == "The moon’s pull does it"
    assert found.warnings == ()


def test_a_quote_that_names_no_known_document_is_looked_for_in_all():
    found = structured(
        quoting("does it - and the sun's", document="?"), documents=[TIDES, MOON], check_quotes=True
    )
    assert [source.document for source in found.sources] == ["moon"]


def test_a_quote_that_is_not_there_is_a_warning_with_its_path():
    found = structured(
        quoting("High water comes twice a day.", "Low water never comes."),
        documents=[TIDES, MOON],
        check_quotes=True,
    )
    (warning,) = found.warnings
    assert (warning.code, warning.path) == ("quote_not_found", "$.quotes[1]")
    assert "Low water never comes." in warning.text and "Tides.txt" in warning.text
    assert len(found.sources) == 1


def test_a_quote_from_another_document_than_it_names_is_not_found():
    found = structured(quoting("and the sun's"), documents=[TIDES, MOON], check_quotes=True)
    assert codes(found) == ["quote_not_found"]


def test_an_empty_quote_is_not_found():
    found = structured(quoting("“ ”"), documents=[TIDES], check_quotes=True)
    assert codes(found) == ["quote_not_found"]


def test_a_document_without_text_is_a_warning():
    scan = DocumentText("scan", "scan.pdf", " \n")
    found = structured(quoting(), documents=[scan], check_quotes=True)
    assert [(w.code, w.path) for w in found.warnings] == [("document_without_text", "scan.pdf")]


def test_quotes_are_looked_up_only_where_the_type_asks_for_it():
    assert structured(quoting("Nowhere."), documents=[TIDES]).warnings == ()


def test_what_is_too_much_to_look_at_is_cut_with_a_warning():
    calls = [{"type": "web_search_call", "status": "completed"}] * (evidence.MOST_TOOL_USES + 1)
    found = read(output(*calls, message("Done.")))
    assert (len(found.tool_uses), codes(found)) == (evidence.MOST_TOOL_USES, ["cut"])
    links = [{"type": "url_citation", "url": "https://example.com"}] * (evidence.MOST_SOURCES + 1)
    found = read(output(message("Done.", annotations=links)))
    assert (len(found.sources), codes(found)) == (evidence.MOST_SOURCES, ["cut"])


# The hash


def test_the_hash_covers_what_would_leave_the_building_and_nothing_else():
    plain = read(output(message("It is so.")))
    image = {"type": "image_generation_call", "status": "completed", "result": PNG}
    assert read(output(message("It is so."), id="resp_2")).content_hash == plain.content_hash
    assert read(output(message("It is not."))).content_hash != plain.content_hash
    assert read(output(message("It is so."), image)).content_hash != plain.content_hash
    # Structured output is read from the text, so it adds nothing.
    said = output(message('{"a": 1e22}'))
    assert read(said, schema={"type": "object"}).content_hash == read(said).content_hash


# Anything


_types = st.sampled_from(
    [
        "message",
        "reasoning",
        "function_call",
        "web_search_call",
        "file_search_call",
        "mcp_call",
        "image_generation_call",
        "code_interpreter_call",
        "mcp_approval_request",
        "compaction",
        "hologram",
    ]
)
_parts = st.fixed_dictionaries(
    {"type": st.sampled_from(["output_text", "refusal", "scent"]) | anything},
    optional={
        "text": text | anything,
        "refusal": text | anything,
        "annotations": anything
        | st.lists(
            st.fixed_dictionaries(
                {},
                optional={
                    name: anything | st.integers(-2, 30) | text
                    for name in ("type", "url", "title", "filename", "start_index", "end_index")
                },
            ),
            max_size=3,
        ),
    },
)
_items = st.fixed_dictionaries(
    {"type": _types | anything},
    optional={
        "content": st.lists(_parts, max_size=3) | anything,
        "action": st.fixed_dictionaries({}, optional={"query": anything, "queries": anything})
        | anything,
        "result": st.just(PNG) | anything,
        **dict.fromkeys(
            ["status", "phase", "name", "server_label", "summary", "error"], text | anything
        ),
        **dict.fromkeys(["queries", "code", "arguments", "encrypted_content"], text | anything),
    },
)
_quoted = st.fixed_dictionaries(
    {"quotes": st.lists(st.fixed_dictionaries({"quote": text, "document": text}), max_size=3)},
    optional={"title": anything, "more": anything},
)
_answers = (_quoted | anything).map(lambda value: message(json.dumps(value)))
_responses = st.builds(
    lambda items, changes: response_object(output=items) | changes,
    st.lists(_items | _answers, max_size=4),
    st.fixed_dictionaries(
        {},
        optional={
            "output": anything,
            "usage": anything | st.builds(usage, st.integers(), st.integers()),
            **dict.fromkeys(["model", "service_tier", "error", "incomplete_details"], anything),
            **dict.fromkeys(["metadata", "object", "created_at"], anything),
        },
    ),
)


@given(
    _responses,
    st.sampled_from([None, SCHEMA, {}, {"$ref": "#/nowhere"}]),
    st.booleans(),
)
def test_nothing_whatsoever_breaks_the_reading_or_cannot_be_stored(data, schema, check_quotes):
    found = read(data, schema=schema, documents=[TIDES, MOON], check_quotes=check_quotes)
    assert is_storable([found.text, found.structured, found.usage, found.model])
    assert is_storable([warning.as_json() for warning in found.warnings])
    for source in found.sources:
        assert is_storable([source.quote, source.url, source.title, source.path, source.raw])
        assert len(source.kind) <= 40 and len(source.path) <= 200
        if source.kind != "quote" and source.start is not None:
            assert found.text[source.start : source.end] == source.quote
    for use in found.tool_uses:
        assert is_storable([use.kind, use.name, use.status, use.summary, use.raw])
        assert is_storable([use.title, *(part.as_json() for part in use.parts)])
        assert 0 < len(use.title) <= 200
        assert len(use.kind) <= 60 and len(use.name) <= 200 and len(use.status) <= 60
    assert len(found.model) <= 100 and len(found.service_tier) <= 40
    assert len(found.content_hash) == 64


@given(_responses)
def test_reading_is_the_same_each_time(data):
    assert repr(read(data, schema=SCHEMA)) == repr(read(data, schema=SCHEMA))


@pytest.mark.django_db
@settings(max_examples=60)
@given(_responses, st.sampled_from(["completed", "incomplete", "failed", "cancelled"]))
def test_no_terminal_answer_whatsoever_keeps_a_job_from_ending(data, status):
    with transaction.atomic():
        job_type = JobTypeFactory(check_quotes=True, version__output_schema=SCHEMA, max_attempts=1)
        job = JobFactory(job_type=job_type)
        turn = start(job)
        body = json.dumps(data | {"id": turn.response_id, "status": status}).encode()
        outcomes.looked_up(turn.pk, payloads.read(body), now=job.created_at)
        job.refresh_from_db()
        turn.refresh_from_db()
        assert job.status in SETTLED | {Status.NEEDS_REVIEW}
        assert turn.attempt.state in ENDED
        assert bytes(turn.payload) == body
        if status == "completed":
            assert Result.objects.get(attempt=turn.attempt).content_hash
        transaction.set_rollback(True)
