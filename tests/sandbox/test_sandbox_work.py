"""What the sandbox answers: word for word from the input, and valid."""

from __future__ import annotations

import base64
import json
import re
import urllib.request

import pytest
from jsonschema import Draft202012Validator

from jobsite.sandbox.documents import Unreadable, read_document
from jobsite.sandbox.passages import condense, sections, split_sentences
from jobsite.sandbox.structured import CannotFill, fill, problems

from .parts import DIGEST, DIGEST_FORMAT, file_part, message, pdf, shelf_text


def squeeze(text: str) -> str:
    return " ".join(text.split())


def make_digest(client, start, *files, ask="Make a digest."):
    made = start(message(ask, *files), text={"format": DIGEST_FORMAT})
    done = client.responses.retrieve(made.id)
    assert done.status == "completed", done.error
    return json.loads(done.output_text)


LONG = "\n\n".join(shelf_text(name) for name in ("queues", "webhooks", "retention", "token-costs"))
PLAIN = """THE HARBOUR

The harbour was dug by hand between 1822 and
1831, and it silted up twice before it was opened to ships of any size.

Dues and Tolls

Every ship paid a toll of two shillings for each ton that it carried into the basin. Captains who
refused were held at the outer wall, e.g. in the winter of 1840, until the money was found.
The toll was abolished in 1902, when Dr. Hale showed that it cost more to collect than it brought.
"""
TABLE = "name,city,remark\n" + "".join(
    f"Person {n},Town {n},has asked for a copy of the report number {n}\n" for n in range(9)
)
HTML = """<html><head><title>No</title><style>p {}</style></head><body><h1>On Bees</h1>
<p>Bees leave the hive in the <b>early morning</b> and return before the dew has fallen again.</p>
<script>alert("A sentence inside a script must never be quoted by anyone at all.")</script>
<p>A hive of forty thousand needs about twenty kilograms of honey to come through a winter.</p>
</body></html>"""
PAGES = [
    ["Annual Report", *["The council met on nine occasions in the year and kept minutes of"]]
    + [f"each meeting. It spent {n} thousand crowns on roads and on the repair of bridges.", "7"]
    for n in range(1, 4)
]


@pytest.mark.parametrize(
    "files",
    [
        {"long.md": LONG},
        {"harbour.txt": PLAIN},
        {"people.csv": TABLE},
        {"short.txt": "Just a few words"},
        {"line.txt": "no end " * 200},
        {"a.md": LONG, "b.txt": PLAIN, "c.csv": TABLE},
        {f"{n}.txt": PLAIN for n in range(15)},
    ],
    ids=lambda files: "+".join(files)[:20],
)
def test_a_digest_quotes_every_document_word_for_word(client, start, files):
    parts = [file_part(name, text) for name, text in files.items()]
    digest = make_digest(client, start, *parts)
    assert problems(DIGEST, digest) == []
    assert digest["title"] and digest["summary"]
    assert 1 <= len(digest["sections"]) <= max(12, len(files))
    quoted = set()
    for section in digest["sections"]:
        assert section["heading"] and section["summary"]
        assert 1 <= len(section["quotes"]) <= 3
        for quote in section["quotes"]:
            quoted.add(quote["document"])
            assert quote["quote"] in squeeze(files[quote["document"]])
            assert len(quote["quote"]) <= 300
    assert quoted == set(files)


def test_a_long_document_has_several_sections_under_its_own_headings(client, start):
    digest = make_digest(client, start, file_part("long.md", LONG))
    headings = {section["heading"] for section in digest["sections"]}
    assert 3 <= len(digest["sections"]) <= 12
    assert {line[2:] for line in LONG.splitlines() if line.startswith("# ")} <= headings
    for section in digest["sections"]:
        for quote in section["quotes"]:
            assert 40 <= len(quote["quote"]) <= 300
            assert quote["quote"].endswith((".", "!", "?"))


def test_the_focus_decides_what_is_quoted(client, start):
    def quotes(ask: str) -> str:
        digest = make_digest(client, start, file_part("long.md", LONG), ask=ask)
        return str([section["quotes"] for section in digest["sections"]])

    assert "dead letter" not in quotes("Make a digest.")
    assert "dead letter" in quotes("Make a digest.\nFocus: the dead letter list\n")


@pytest.mark.parametrize(
    ("name", "data", "media_type", "document"),
    [
        ("bees.html", HTML.encode(), "text/html", HTML),
        ("harbour.txt", PLAIN.encode("utf-16"), "text/plain", PLAIN),
        ("café.txt", ("Café. " + PLAIN).encode("cp1252"), "text/plain", "Café. " + PLAIN),
        ("report.pdf", pdf(PAGES), "application/pdf", "\n".join(map("\n".join, PAGES))),
    ],
    ids=["html", "utf-16", "cp1252", "pdf"],
)
def test_files_of_many_kinds_are_read(client, start, name, data, media_type, document):
    digest = make_digest(client, start, file_part(name, data, media_type))
    quotes = [quote["quote"] for section in digest["sections"] for quote in section["quotes"]]
    stripped = squeeze(re.sub(r"<[^>]+>", "", document))
    assert quotes
    for quote in quotes:
        assert quote in stripped
        assert "script" not in quote
        assert "Annual Report" not in quote


def test_bare_base64_is_read_too(client, start):
    part = {"type": "input_file", "filename": "a.txt"}
    part["file_data"] = base64.b64encode(b"Foxes are seen in the city at dusk.").decode()
    done = client.responses.retrieve(start(message(part)).id)
    assert "Foxes are seen in the city at dusk." in done.output_text


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("broken.pdf", b"%PDF-1.4 nothing", "'broken.pdf' could not be read as a PDF"),
        ("word.docx", b"PK\x03\x04....", "'word.docx' is not text"),
        ("empty.txt", b"  \n ", "'empty.txt' has no text"),
        ("scan.pdf", pdf([[""]]), "'scan.pdf' has no text"),
        ("noise.txt", b"\x00\x01\x02", "'noise.txt' is not text"),
    ],
)
def test_a_file_that_cannot_be_read_fails_the_response(client, start, name, data, words):
    failed = client.responses.retrieve(start(message("Digest.", file_part(name, data))).id)
    assert failed.status == "failed"
    assert failed.error.code == "invalid_prompt"
    assert words in failed.error.message


def test_unreadable_is_said_of_the_file_by_name():
    with pytest.raises(Unreadable, match="'x.bin'"):
        read_document("x.bin", "", b"\x00")


BRIEF = """Topic: webhooks for long jobs

Write a brief that answers these questions:
1. Why should a receiver check the timestamp of a webhook?
2. Who won the cup in Montevideo in 1930?
3. Which Retry-After rule applies to rate limits?
"""


def make_brief(client, start, text=BRIEF, **tool):
    made = start(text, tools=[{"type": "web_search", **tool}], reasoning={"effort": "low"})
    return client.responses.retrieve(made.id, include=["web_search_call.action.sources"])


def test_a_brief_answers_from_the_shelf_and_cites_it(client, start):
    done = make_brief(client, start)
    assert [item.type for item in done.output] == ["reasoning", "web_search_call", "message"]
    text = done.output_text
    assert text.startswith("# Webhooks for long jobs\n")
    assert "from its own shelf of 10 short articles and not from the web" in text
    found, missing = text.split("## Not found")
    assert "Who won the cup in Montevideo" in missing
    assert "Who won the cup in Montevideo" not in found
    assert "- **Why should a receiver check the timestamp of a webhook?** " in found

    annotations = done.output[-1].content[0].annotations
    assert annotations
    for note in annotations:
        cited = text[note.start_index : note.end_index]
        assert cited == f"([{note.title}]({note.url}))"
        with urllib.request.urlopen(note.url) as page:
            assert f"<h1>{note.title}</h1>" in page.read().decode()
    sources = {source.url for source in done.output[1].action.sources}
    assert sources == {note.url for note in annotations}
    assert done.output[1].action.queries[0].startswith("Why should a receiver")
    assert done.tool_usage.web_search.num_requests == 1


def test_sources_are_sent_only_when_asked_for(client, start):
    made = start(BRIEF, tools=[{"type": "web_search"}])
    assert client.responses.retrieve(made.id).output[0].action.sources is None
    made = start(BRIEF, tools=[{"type": "web_search"}], include=["web_search_call.action.sources"])
    assert client.responses.retrieve(made.id).output[0].action.sources


def test_a_brief_on_anything_else_cites_the_article_on_the_sandbox(client, start):
    done = make_brief(client, start, "Topic: giraffes\nWhat do giraffes eat?")
    (note,) = done.output[-1].content[0].annotations
    assert note.url.endswith("/shelf/about-the-sandbox")
    assert "- What do giraffes eat?" in done.output_text.split("## Not found")[1]


def test_a_location_and_a_filter_are_spoken_of(client, start):
    location = {"type": "approximate", "city": "Bonn", "country": "DE"}
    done = make_brief(
        client, start, user_location=location, filters={"allowed_domains": ["example.org"]}
    )
    assert "approximate location: Bonn, DE" in done.output_text
    assert "near Bonn, DE" in done.output[1].action.query
    assert "filter by domain was not applied" in done.output_text


def test_the_shelf_has_an_index(client, sandbox):
    with urllib.request.urlopen(sandbox.base_url.replace("/v1", "/shelf/")) as page:
        assert page.read().decode().count("<li>") == 10


SCHEMAS = [
    {"type": "object", "properties": {"a": {"type": "string", "minLength": 500}}},
    {"type": "object", "properties": {"a": {"type": "string", "maxLength": 5}}, "required": ["a"]},
    {"type": "array", "items": {"type": "integer", "minimum": 3, "maximum": 4}, "minItems": 5},
    {"type": "number", "exclusiveMinimum": 1, "exclusiveMaximum": 1.5},
    {"type": "number", "minimum": 7, "multipleOf": 5},
    {"type": "integer", "maximum": -3},
    {"enum": [3, "x"], "type": "string"},
    {"const": {"a": [1]}},
    {"type": ["null", "string"]},
    {"anyOf": [{"type": "null"}, {"type": "boolean"}]},
    {"oneOf": [{"type": "string", "maxLength": 9}, {"type": "integer"}]},
    {"allOf": [{"properties": {"a": {"type": "string"}}}, {"required": ["a", "b"]}]},
    {"type": "string", "format": "date"},
    {"type": "string", "pattern": r"^[A-Z]{3}-\d{3}$"},
    {"type": "array", "uniqueItems": True, "items": {"enum": ["a", "b"]}, "minItems": 2},
    {"type": "array", "uniqueItems": True, "items": {"type": "string"}, "minItems": 2},
    {"type": "array", "prefixItems": [{"type": "integer"}, {"type": "string"}], "items": False},
    {
        "$ref": "#/$defs/node",
        "$defs": {
            "node": {
                "type": "object",
                "properties": {
                    "name": {"type": "string"},
                    "children": {"type": "array", "items": {"$ref": "#/$defs/node"}},
                    "parent": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]},
                },
                "required": ["name", "children", "parent"],
                "additionalProperties": False,
            }
        },
    },
]


@pytest.mark.parametrize("schema", SCHEMAS, ids=lambda schema: json.dumps(schema)[:40])
def test_any_schema_is_filled_with_a_valid_instance(schema):
    made = fill(schema, ["The first sentence is this.", "Here is a second one."])
    assert list(Draft202012Validator(schema).iter_errors(made)) == []


def test_a_schema_that_is_too_much_is_said_to_be(client, start):
    with pytest.raises(CannotFill):
        fill({"type": "string", "pattern": "^zq{7}$"}, ["No."])
    schema = {"type": "object", "properties": {"a": {"type": "string", "pattern": "^zq{7}$"}}}
    made = start(text={"format": {"type": "json_schema", "name": "x", "schema": schema}})
    failed = client.responses.retrieve(made.id)
    assert (failed.status, failed.error.code) == ("failed", "server_error")
    assert "zq{7}" in failed.error.message


def test_structured_output_speaks_of_the_input(client, start):
    schema = {
        "type": "object",
        "properties": {
            "verdict": {"type": "string", "enum": ["yes", "no"]},
            "reason": {"type": "string"},
            "points": {"type": "array", "items": {"type": "string"}, "maxItems": 3},
        },
        "required": ["verdict", "reason", "points"],
        "additionalProperties": False,
    }
    made = start(PLAIN, text={"format": {"type": "json_schema", "name": "x", "schema": schema}})
    told = json.loads(client.responses.retrieve(made.id).output_text)
    assert told["verdict"] == "yes"
    assert told["reason"] in squeeze(PLAIN)
    assert 1 <= len(told["points"]) <= 3


def test_a_search_with_structured_output_speaks_of_the_shelf(client, start):
    schema = {
        "type": "object",
        "properties": {"finding": {"type": "string"}, "url": {"type": "string"}},
        "required": ["finding", "url"],
    }
    form = {"type": "json_schema", "name": "x", "schema": schema}
    made = start("How is a webhook signed?", text={"format": form}, tools=[{"type": "web_search"}])
    done = client.responses.retrieve(made.id)
    assert done.output[0].type == "web_search_call"
    assert "/shelf/webhooks" in json.loads(done.output_text)["url"]


def test_json_mode_is_json(client, start):
    made = start(PLAIN, text={"format": {"type": "json_object"}})
    assert json.loads(client.responses.retrieve(made.id).output_text)["summary"]


def test_free_text_is_an_extract(client, start):
    done = client.responses.retrieve(start(PLAIN).id)
    for line in re.findall(r"^- (.*)$", done.output_text, re.MULTILINE):
        assert line in squeeze(re.sub(r"\s*\([^()]*\)", "", PLAIN))


def test_sentences_end_where_they_end():
    text = "Dr. Hale left at 5.30 p.m. on foot, e.g. by the wall. Was it late? “Yes.” He said so!"
    assert list(split_sentences(text)) == [
        "Dr. Hale left at 5.30 p.m. on foot, e.g. by the wall.",
        "Was it late?",
        "“Yes.”",
        "He said so!",
    ]


def test_headings_are_found_in_plain_text():
    assert [section.heading for section in sections(PLAIN)] == ["THE HARBOUR", "Dues and Tolls"]


def test_condensing_shortens_at_a_clause():
    long = "However, the toll (of 1840) was abolished" + ", and it was missed by nobody" * 12 + "."
    short = condense(long)
    assert short.startswith("The toll was abolished, and it")
    assert short.endswith("…")
    assert len(short) <= 221
