"""The comparison of documents against a baseline: extracted word for word, and honest."""

from __future__ import annotations

import json

import pytest

from jobsite.sandbox.comparing import baseline_of, compare
from jobsite.sandbox.documents import Document
from jobsite.sandbox.gaps import WORDS, is_gaps, nearest
from jobsite.sandbox.structured import problems

from .parts import DIGEST, QUOTE, file_part, message
from .test_sandbox_files import upload

BASE = """# Information security policy

Passwords must be changed at least every 90 days by every member of staff.
Laptops shall be encrypted with a key that is kept by the security office.
Visitors must never be left alone in the machine room of any building.
The canteen serves soup on most days and bread on all of them.
Backups must be tested within 14 days of every change to the storage system.
"""
VENDOR = """# Security terms of the vendor

Passwords must be changed at least every 180 days by every member of staff.
All laptops shall be encrypted with a key that is kept by the security office.
Backups should be tested within 14 days of every change to the storage system.
The vendor's office is open from nine to five on every working day.
"""
ROW = {
    "type": "object",
    "properties": {
        "requirement": {"type": "string"},
        "baseline_quote": {"$ref": "#/$defs/quote"},
        "status": {"enum": ["met", "differs", "missing"]},
        "other_quote": {"$ref": "#/$defs/quote"},
        "comment": {"type": "string"},
    },
    "required": ["requirement", "baseline_quote", "status", "other_quote", "comment"],
    "additionalProperties": False,
}


def table(row=ROW, name="gaps"):
    return {
        "type": "object",
        "properties": {
            "title": {"type": "string"},
            "summary": {"type": "string"},
            name: {"type": "array", "items": row},
        },
        "required": ["title", "summary", name],
        "additionalProperties": False,
        "$defs": {"quote": QUOTE},
    }


def columns(**properties):
    return {"type": "object", "properties": properties, "required": list(properties)}


def compared(client, start, *, schema=None, ask="Compare these.", files=None, **options):
    files = {"policy.md": BASE, "vendor.md": VENDOR} if files is None else files
    schema = schema or table()
    made = start(
        message(ask, *(file_part(name, text) for name, text in files.items())),
        text={"format": {"type": "json_schema", "name": "gaps", "schema": schema}},
        **options,
    )
    done = client.responses.retrieve(made.id)
    assert done.status == "completed", done.error
    found = json.loads(done.output_text)
    assert problems(schema, found) == []
    return found


def test_each_requirement_is_looked_up_word_for_word(client, start):
    found = compared(client, start)
    assert found["title"] == "policy.md against vendor.md"
    assert "1 met, 2 different, 1 missing" in found["summary"]
    by_start = {row["requirement"].split()[0]: row for row in found["gaps"]}
    assert {name: row["status"] for name, row in by_start.items()} == {
        "Passwords": "differs",
        "Laptops": "met",
        "Visitors": "missing",
        "Backups": "differs",
    }
    for row in found["gaps"]:
        assert row["baseline_quote"]["document"] == "policy.md"
        assert row["baseline_quote"]["quote"] in BASE
        if row["status"] == "missing":
            assert row["other_quote"] == {"document": "", "quote": ""}
            assert row["comment"] == "No sentence of vendor.md speaks of this."
        else:
            assert row["other_quote"]["document"] == "vendor.md"
            assert row["other_quote"]["quote"] in VENDOR
    assert "180" in by_start["Passwords"]["comment"]
    assert "binds" in by_start["Backups"]["comment"]


@pytest.mark.parametrize(
    ("demand", "told", "status", "words"),
    [
        (
            "2.1 Customer records must be kept for six years after the end of the contract.",
            "Records of customers are kept for six (6) years after the end of the contract.",
            "met",
            "says the same",
        ),
        (
            "Job applications must be deleted within six months of the decision.",
            "Job applications must be deleted within 12 months of the decision.",
            "differs",
            "a.md has 6 here, and b.md 12.",
        ),
        (
            "Two-factor authentication is required for remote access to the network.",
            "Two-factor authentication is not required for remote access to the network.",
            "differs",
            "denies what the other says",
        ),
        (
            "The officer must inform the authority of every breach without delay.",
            "The officer should inform the authority of every breach without delay.",
            "differs",
            "binds less or more firmly",
        ),
        (
            "Every access to health data must be logged and looked at each month.",
            "The canteen serves soup on most days and bread on all of them, too.",
            "missing",
            "No sentence of b.md speaks of this.",
        ),
    ],
    ids=["number", "figures", "denial", "firmness", "nothing"],
)
def test_what_makes_a_difference(demand, told, status, words):
    [row] = compare([Document("a.md", demand), Document("b.md", told)])
    assert (row.status, words in row.comment) == (status, True), row.comment
    assert row.other == ("" if status == "missing" else told)


@pytest.mark.parametrize(
    ("ask", "instructions"),
    [
        ("Compare these.\nBaseline: vendor.md", None),
        ("Compare these.\nBaseline: the-vendor is not it\nBaseline: none", "Baseline: vendor"),
        ("Compare these.", "You compare.\nBaseline: vendor.md\n"),
    ],
)
def test_the_baseline_can_be_named(client, start, ask, instructions):
    if "none" in ask:
        ask = "Compare these."
    found = compared(client, start, ask=ask, instructions=instructions)
    assert found["title"] == "vendor.md against policy.md"
    assert all(row["baseline_quote"]["document"] == "vendor.md" for row in found["gaps"])


def test_the_baseline_is_the_first_by_name_unless_one_fits():
    documents = [Document("b.md", "b"), Document("A.md", "a"), Document("old a.md", "c")]
    assert baseline_of(documents, "").name == "A.md"
    assert baseline_of(documents, "B.MD").name == "b.md"
    assert baseline_of(documents, "old").name == "old a.md"
    assert baseline_of(documents, "zebra").name == "A.md"


def test_a_focus_chooses_the_requirements(client, start):
    found = compared(client, start, ask="Compare these.\nBaseline: policy.md\nFocus: passwords")
    assert [row["requirement"].split()[0] for row in found["gaps"]] == ["Passwords"]
    for ask in ("Focus: zebras", "Focus: ", "Focus: the security policy"):  # the last: its heading
        assert len(compared(client, start, ask=f"Compare.\n{ask}")["gaps"]) == 4


def test_what_was_asked_counts_in_the_turns_after_it(client, start):
    ids = [upload(client, name, text).id for name, text in (("p.md", BASE), ("v.md", VENDOR))]
    store = client.vector_stores.create(file_ids=ids)
    options = {
        "tools": [
            {"type": "file_search", "vector_store_ids": [store.id]},
            {
                "type": "function",
                "name": "search_library",
                "parameters": {
                    "type": "object",
                    "properties": {"query": {"type": "string"}},
                    "required": ["query"],
                    "additionalProperties": False,
                },
                "strict": True,
            },
        ],
        "text": {"format": {"type": "json_schema", "name": "gaps", "schema": table()}},
        "include": ["file_search_call.results"],
    }
    first = start("Compare the documents.\nBaseline: v.md\nFocus: passwords", **options)
    [call] = client.responses.retrieve(first.id).output
    assert (call.type, call.name) == ("function_call", "search_library")
    answered = {"type": "function_call_output", "call_id": call.call_id, "output": '{"found": []}'}
    second = start([answered], previous_response_id=first.id, **options)
    done = client.responses.retrieve(second.id)
    found = json.loads(done.output_text)
    assert found["title"] == "v.md against p.md"
    [row] = found["gaps"]
    assert row["requirement"].startswith("Passwords must be changed at least every 180 days")
    assert "Compare the documents" in done.output[0].queries[0]


def test_several_documents_are_compared_each(client, start):
    files = {"policy.md": BASE, "v1.md": VENDOR, "v2.md": "Nothing of note stands in here at all."}
    found = compared(client, start, files=files)
    assert len(found["gaps"]) == 8
    assert "No sentence of v2.md speaks of this." in {row["comment"] for row in found["gaps"]}


def test_of_many_documents_every_requirement_is_shown(client, start):
    files = {"policy.md": BASE, **{f"v{n:02}.md": VENDOR for n in range(30)}}
    found = compared(client, start, files=files)
    assert len(found["gaps"]) == 60
    assert {row["requirement"].split()[0] for row in found["gaps"]} == {
        *("Passwords", "Laptops", "Visitors", "Backups")
    }


def test_the_files_of_a_store_are_compared(client, start):
    ids = [upload(client, name, text).id for name, text in (("p.md", BASE), ("v.md", VENDOR))]
    store = client.vector_stores.create(file_ids=ids)
    tool = {"type": "file_search", "vector_store_ids": [store.id]}
    found = compared(client, start, files={}, tools=[tool])
    assert found["title"] == "p.md against v.md"
    assert len(found["gaps"]) == 4


def test_other_words_for_the_columns_are_understood(client, start):
    row = columns(
        topic={"type": "string"},
        clause={"type": "string", "maxLength": 60},
        quotes={"type": "array", "items": {"$ref": "#/$defs/quote"}},
        finding={"enum": ["covered", "partially_covered", "not_covered"]},
        severity={"enum": ["low", "medium", "high"]},
        policy_quote={"type": "string"},
        evidence_quote={"anyOf": [{"type": "string"}, {"type": "null"}]},
        other_quote={"anyOf": [{"$ref": "#/$defs/quote"}, {"type": "null"}]},
        document={"type": "string"},
        page={"type": ["integer", "null"]},
        note={"type": ["string", "null"]},
    )
    found = compared(client, start, schema=table(row, "rows"))["rows"]
    assert [(row["finding"], row["severity"]) for row in found] == [
        ("partially_covered", "medium"),
        ("covered", "low"),
        ("not_covered", "high"),
        ("partially_covered", "medium"),
    ]
    for row in found:
        assert row["topic"] == "Information security policy"
        assert row["policy_quote"] in BASE
        assert row["evidence_quote"] in VENDOR
        assert row["document"] == "vendor.md"
        assert row["note"]
        assert len(row["quotes"]) == (1 if row["finding"] == "not_covered" else 2)


def test_findings_of_each_document_stand_in_one_row(client, start):
    finding = columns(
        document={"type": "string"},
        status={"enum": ["met", "differs", "missing"]},
        quote={"type": "string"},
    )
    row = columns(
        requirement={"type": "string"},
        status={"enum": ["met", "differs", "missing"]},
        findings={"type": "array", "items": finding},
    )
    files = {"policy.md": BASE, "v1.md": VENDOR, "v2.md": BASE}
    found = compared(client, start, schema=table(row), files=files)["gaps"]
    assert [(row["status"], [one["status"] for one in row["findings"]]) for row in found] == [
        ("differs", ["differs", "met"]),
        ("met", ["met", "met"]),
        ("missing", ["missing", "met"]),
        ("differs", ["differs", "met"]),
    ]
    for row in found:
        first, second = row["findings"]
        assert (first["document"], second["document"]) == ("v1.md", "v2.md")
        assert first["quote"] in VENDOR
        assert second["quote"] == row["requirement"]


def test_documents_of_the_same_name_are_kept_apart(client, start):
    ids = [upload(client, "p.md", text).id for text in (BASE, VENDOR)]
    files = [{"type": "input_file", "file_id": file_id} for file_id in ids]
    format = {"type": "json_schema", "name": "gaps", "schema": table()}
    done = client.responses.retrieve(start(message(*files), text={"format": format}).id)
    assert len(json.loads(done.output_text)["gaps"]) == 4

    twice = client.responses.retrieve(
        start(message(files[0], files[0]), text={"format": format}).id
    )
    assert json.loads(twice.output_text)["gaps"] == []


@pytest.mark.parametrize(
    ("options", "chosen"),
    [
        (["met", "differs", "missing"], ["met", "differs", "missing"]),
        (["Compliant", "Partial", "Non-compliant"], ["Compliant", "Partial", "Non-compliant"]),
        (["gap", "partial gap", "no gap"], ["no gap", "partial gap", "gap"]),
        (["yes", "partly", "no"], ["yes", "partly", "no"]),
        (["covered", "not covered"], ["covered", "not covered", "not covered"]),
        (["green", "amber", "red"], ["green", "amber", "red"]),
    ],
    ids=str,
)
def test_the_status_is_told_in_the_words_of_the_schema(options, chosen):
    assert [nearest(options, status, WORDS) for status in WORDS] == chosen


def test_one_document_has_no_gaps(client, start):
    found = compared(client, start, files={"policy.md": BASE})
    assert found["gaps"] == []
    assert found["title"] == "policy.md alone"


def test_bad_work_can_be_asked_for(client, sandbox, start):
    sandbox.script({"on": "create", "do": {"invent_quotes": 2}})
    found = compared(client, start)
    invented = [row for row in found["gaps"] if row["other_quote"]["quote"] not in VENDOR]
    assert len(invented) == 2


@pytest.mark.parametrize(
    "schema",
    [
        DIGEST,
        {},
        7,
        {"type": "object", "properties": []},
        {"properties": {"gaps": {"type": "array", "items": {"type": "string"}}}},
        {"properties": {"gaps": {"items": columns(requirement={"type": "string"})}}},
        {"properties": {"people": {"items": ROW}}},
        {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/a"}}},
        {"properties": {"gaps": {"$ref": "#/nowhere"}}},
    ],
    ids=str,
)
def test_other_schemas_are_no_tables_of_gaps(schema):
    assert not is_gaps(schema)
    assert is_gaps(table())
