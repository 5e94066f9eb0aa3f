"""Vector stores and the search in them, as the real SDK sees them."""

from __future__ import annotations

import contextlib
import copy
import http.client
import json
import random
import time
from urllib.parse import urlsplit

import openai
import pytest

from jobsite.sandbox.testing import RunningSandbox

from .parts import DIGEST, DIGEST_FORMAT, client_of, file_part, message, shelf_text
from .test_sandbox_files import TOLL, later, png, upload  # noqa: F401 (a fixture)
from .test_sandbox_nonsense import ODD, places

NAMES = ("queues", "webhooks", "retention", "token-costs")


@pytest.fixture
def shelf(client):
    """Four uploaded articles by their names."""
    return {name: upload(client, f"{name}.md", shelf_text(name)) for name in NAMES}


@pytest.fixture
def store(client, shelf):
    return client.vector_stores.create(name="shelf", file_ids=[file.id for file in shelf.values()])


def counts(made):
    found = made.file_counts
    return (found.in_progress, found.completed, found.failed, found.cancelled, found.total)


def test_a_store_is_made_looked_at_changed_and_deleted(client, sandbox, shelf, store):
    assert store.id.startswith("vs_")
    assert (store.name, store.status, counts(store)) == ("shelf", "completed", (0, 4, 0, 0, 4))
    assert store.usage_bytes == sum(file.bytes for file in shelf.values())
    assert (store.expires_at, store.expires_after, store.metadata) == (None, None, {})
    assert client.vector_stores.retrieve(store.id) == store
    changed = client.vector_stores.update(
        store.id,
        name="b",
        metadata={"job": "7"},
        expires_after={"anchor": "last_active_at", "days": 2},
    )
    assert (changed.name, changed.metadata, changed.expires_after.days) == ("b", {"job": "7"}, 2)
    assert changed.expires_at == changed.last_active_at + 2 * 24 * 3600
    [told] = sandbox.vector_stores()
    assert told["file_ids"] == [file.id for file in shelf.values()]
    assert told["file_counts"]["completed"] == 4
    deleted = client.vector_stores.delete(store.id)
    assert (deleted.deleted, deleted.object) == (True, "vector_store.deleted")
    with pytest.raises(openai.NotFoundError, match="not found"):
        client.vector_stores.retrieve(store.id)
    assert len(client.files.list().data) == 4
    stats = sandbox.stats()
    assert (stats["store_creates"], stats["stores_made"], stats["store_deletes"]) == (1, 1, 1)


def test_an_empty_store_is_ready(client):
    made = client.vector_stores.create()
    assert (made.status, counts(made), made.name) == ("completed", (0, 0, 0, 0, 0), "")


def test_a_list_of_stores_has_pages(client):
    made = [client.vector_stores.create(name=str(n)).id for n in range(3)]
    assert [store.id for store in client.vector_stores.list(limit=2)] == made[::-1]
    assert client.vector_stores.list(order="asc", after=made[0]).data[0].id == made[1]


def test_files_are_indexed_one_after_the_other(client, sandbox, later):  # noqa: F811
    sandbox.script({"on": "store_create", "do": {"index": 10}})
    ids = [upload(client, f"{n}.txt", f"Sentence number {n} of this test.").id for n in range(5)]
    made = client.vector_stores.create(file_ids=ids)
    assert (made.status, counts(made)) == ("in_progress", (5, 0, 0, 0, 5))
    later(31)
    made = client.vector_stores.retrieve(made.id)
    assert (made.status, counts(made)) == ("in_progress", (2, 3, 0, 0, 5))
    listed = client.vector_stores.files.list(made.id, filter="in_progress", order="asc")
    assert [file.id for file in listed] == ids[3:]
    batch = client.vector_stores.file_batches.create(
        made.id, file_ids=[upload(client, "last.txt").id]
    )
    assert (batch.status, counts(batch)) == ("in_progress", (1, 0, 0, 0, 1))
    later(20)
    assert counts(client.vector_stores.retrieve(made.id)) == (1, 5, 0, 0, 6)
    later(10)
    made = client.vector_stores.retrieve(made.id)
    assert (made.status, counts(made)) == ("completed", (0, 6, 0, 0, 6))
    batch = client.vector_stores.file_batches.retrieve(batch.id, vector_store_id=made.id)
    assert (batch.status, counts(batch)) == ("completed", (0, 1, 0, 0, 1))


def test_at_pace_one_a_file_takes_its_time():
    with RunningSandbox(pace=1.0) as running, client_of(running) as client:
        made = client.vector_stores.create(file_ids=[upload(client).id for _ in range(3)])
        assert made.status == "in_progress"
        began = time.monotonic()
        polled = client.vector_stores.files.poll(
            client.vector_stores.files.list(made.id).data[0].id,
            vector_store_id=made.id,
            poll_interval_ms=50,
        )
        assert polled.status == "completed"
        assert 0.2 < time.monotonic() - began < 5


def test_a_file_is_added_looked_at_and_taken_out(client, shelf):
    made = client.vector_stores.create()
    file = shelf["queues"]
    added = client.vector_stores.files.create(
        made.id, file_id=file.id, attributes={"year": 2026, "kind": "a"}
    )
    assert (added.id, added.status, added.last_error) == (file.id, "completed", None)
    assert added.attributes == {"year": 2026, "kind": "a"}
    assert added.chunking_strategy.type == "static"
    assert client.vector_stores.files.retrieve(file.id, vector_store_id=made.id) == added
    changed = client.vector_stores.files.update(
        file.id, vector_store_id=made.id, attributes={"kind": "b"}
    )
    assert changed.attributes == {"kind": "b"}
    [part] = client.vector_stores.files.content(file.id, vector_store_id=made.id).data
    assert part.text == shelf_text("queues")
    gone = client.vector_stores.files.delete(file.id, vector_store_id=made.id)
    assert (gone.deleted, gone.object) == (True, "vector_store.file.deleted")
    assert client.vector_stores.files.list(made.id).data == []
    with pytest.raises(openai.NotFoundError):
        client.vector_stores.files.retrieve(file.id, vector_store_id=made.id)


def test_a_file_without_text_ends_as_failed(client, sandbox):
    picture = upload(client, "picture.bin", b"\x00\x01\x02")
    empty = upload(client, "empty.txt", b" ")
    broken = upload(client, "broken.pdf", b"%PDF-1.4 and no more")
    good, unlucky = upload(client), upload(client, "unlucky.txt", "Nothing is wrong with this.")
    sandbox.script({"on": "store_create", "do": {"index_fails": ["unlucky.txt"]}})
    made = client.vector_stores.create()
    batch = client.vector_stores.file_batches.create(
        made.id, file_ids=[file.id for file in (picture, empty, broken, good, unlucky)]
    )
    assert (batch.status, counts(batch)) == ("completed", (0, 1, 4, 0, 5))
    failed = client.vector_stores.file_batches.list_files(
        batch.id, vector_store_id=made.id, filter="failed", order="asc"
    ).data
    assert [(file.id, file.last_error.code) for file in failed] == [
        (picture.id, "unsupported_file"),
        (empty.id, "invalid_file"),
        (broken.id, "invalid_file"),
        (unlucky.id, "server_error"),
    ]
    assert "picture.bin" in failed[0].last_error.message
    assert client.vector_stores.retrieve(made.id).usage_bytes == good.bytes


def test_a_batch_that_is_cancelled_stops(client, sandbox, later):  # noqa: F811
    sandbox.script({"on": "store_create", "do": {"index": 10}})
    made = client.vector_stores.create()
    files = [{"file_id": upload(client).id, "attributes": {"n": n}} for n in range(3)]
    batch = client.vector_stores.file_batches.create(made.id, files=files)
    later(11)
    batch = client.vector_stores.file_batches.cancel(batch.id, vector_store_id=made.id)
    assert (batch.status, counts(batch)) == ("cancelled", (0, 1, 0, 2, 3))
    made = client.vector_stores.retrieve(made.id)
    assert (made.status, counts(made)) == ("completed", (0, 1, 0, 2, 3))


def test_a_deleted_file_leaves_its_stores(client, shelf, store):
    client.files.delete(shelf["queues"].id)
    assert counts(client.vector_stores.retrieve(store.id)) == (0, 3, 0, 0, 3)


def test_an_expired_store_says_so_and_is_of_no_use(client, start, shelf, later):  # noqa: F811
    made = client.vector_stores.create(
        file_ids=[shelf["queues"].id], expires_after={"anchor": "last_active_at", "days": 1}
    )
    later(23 * 3600)
    client.vector_stores.search(made.id, query="queues")
    later(23 * 3600)
    assert client.vector_stores.retrieve(made.id).status == "completed"
    later(2 * 3600)
    assert client.vector_stores.retrieve(made.id).status == "expired"
    for use in (
        lambda: client.vector_stores.search(made.id, query="queues"),
        lambda: client.vector_stores.files.create(made.id, file_id=shelf["queues"].id),
        lambda: start(tools=[{"type": "file_search", "vector_store_ids": [made.id]}]),
    ):
        with pytest.raises(openai.BadRequestError, match="has expired"):
            use()
    assert client.vector_stores.delete(made.id).deleted


def test_a_search_finds_what_shares_its_words(client, shelf, store):
    found = client.vector_stores.search(store.id, query="dead letter list of a queue").data
    assert found[0].filename == "queues.md"
    assert found[0].file_id == shelf["queues"].id
    assert "dead letter" in found[0].content[0].text
    scores = [one.score for one in found]
    assert scores == sorted(scores, reverse=True)
    assert all(0 < score <= 1 for score in scores)
    assert len(client.vector_stores.search(store.id, query="queue", max_num_results=1).data) == 1
    assert client.vector_stores.search(store.id, query="zebra crossing").data == []
    least = client.vector_stores.search(
        store.id, query=["dead letter", "list"], ranking_options={"score_threshold": 0.99}
    )
    assert all(one.score >= 0.99 for one in least)


@pytest.mark.parametrize(
    ("filters", "years"),
    [
        ({"type": "eq", "key": "year", "value": 2025}, {2025}),
        ({"type": "ne", "key": "year", "value": 2025}, {2024, 2026}),
        ({"type": "gte", "key": "year", "value": 2025}, {2025, 2026}),
        ({"type": "lt", "key": "year", "value": 2025}, {2024}),
        ({"type": "gt", "key": "name", "value": 2025}, set()),
        ({"type": "in", "key": "year", "value": [2024, 2026]}, {2024, 2026}),
        ({"type": "nin", "key": "year", "value": [2024, 2026]}, {2025}),
        (
            {
                "type": "and",
                "filters": [
                    {"type": "gt", "key": "year", "value": 2024},
                    {"type": "or", "filters": [{"type": "eq", "key": "name", "value": "2026"}]},
                ],
            },
            {2026},
        ),
    ],
)
def test_filters_choose_by_attributes(client, filters, years):
    made = client.vector_stores.create()
    files = [
        {
            "file_id": upload(client, f"{year}.txt", f"The report of {year} names a toll.").id,
            "attributes": {"year": year, "name": str(year)},
        }
        for year in (2024, 2025, 2026)
    ]
    client.vector_stores.file_batches.create(made.id, files=files)
    found = client.vector_stores.search(made.id, query="toll report", filters=filters)
    assert {one.attributes["year"] for one in found} == years


def test_file_search_cites_the_files_it_found(client, start, shelf, store):
    tool = {"type": "file_search", "vector_store_ids": [store.id], "max_num_results": 3}
    made = start("What is a dead letter list?", tools=[tool])
    done = client.responses.retrieve(made.id)
    call, message = done.output
    assert (call.type, call.status, call.results) == ("file_search_call", "completed", None)
    assert call.queries == ["What is a dead letter list?"]
    text = message.content[0].text
    notes = message.content[0].annotations
    assert notes
    for note in notes:
        assert note.type == "file_citation"
        assert note.file_id == shelf[note.filename.removesuffix(".md")].id
        sentence = text[: note.index].rsplit("\n- ", 1)[1]
        assert 0 < note.index <= len(text)
        assert "\n" not in sentence
    assert notes[0].filename == "queues.md"
    counted = client.responses.input_tokens.count(
        model="gpt-6-sol", input="What is a dead letter list?"
    )
    assert done.usage.input_tokens > counted.input_tokens + 50  # what was found is read as well

    told = client.responses.retrieve(made.id, include=["file_search_call.results"])
    results = told.output[0].results
    assert 1 <= len(results) <= 3
    assert results[0].filename == "queues.md"
    assert "dead letter" in results[0].text
    assert client.responses.retrieve(made.id).output[0].results is None

    asked = start("What is a lease?", tools=[tool], include=["file_search_call.results"])
    assert client.responses.retrieve(asked.id).output[0].results


def test_a_search_without_a_find_says_so(client, start, store):
    tool = {"type": "file_search", "vector_store_ids": [store.id]}
    done = client.responses.retrieve(start("Zebra crossings?", tools=[tool]).id)
    assert "No passage of the files speaks of this." in done.output_text
    assert done.output[-1].content[0].annotations == []


def test_a_document_beside_a_search_is_told_of_first(client, start, store):
    tool = {"type": "file_search", "vector_store_ids": [store.id]}
    asked = message("What is a dead letter list?", file_part("toll.txt", TOLL))
    done = client.responses.retrieve(start(asked, tools=[tool]).id)
    text = done.output_text
    assert text.index(TOLL) < text.index("From the files:")
    [*_, last] = done.output[-1].content[0].annotations
    assert text[: last.index].rsplit("\n", 1)[1].startswith("- ")
    assert text[last.index] == "\n"


def test_a_digest_is_made_of_the_files_of_a_store(client, start, store):
    tool = {"type": "file_search", "vector_store_ids": [store.id]}
    made = start("Make a digest.", tools=[tool], text={"format": DIGEST_FORMAT})
    digest = json.loads(client.responses.retrieve(made.id).output_text)
    quoted = {quote["document"] for part in digest["sections"] for quote in part["quotes"]}
    assert quoted == {f"{name}.md" for name in NAMES}


def test_any_schema_is_filled_from_what_was_found(client, start, store):
    schema = {**DIGEST, "properties": {"points": {"type": "array", "items": {"type": "string"}}}}
    schema["required"] = ["points"]
    tool = {"type": "file_search", "vector_store_ids": [store.id]}
    format = {"type": "json_schema", "name": "points", "schema": schema}
    made = start("What is a dead letter list?", tools=[tool], text={"format": format})
    points = json.loads(client.responses.retrieve(made.id).output_text)["points"]
    assert any("dead letter" in point for point in points)
    whole = " ".join(" ".join(map(shelf_text, NAMES)).split())
    assert all(point in whole for point in points)


@pytest.mark.parametrize(
    ("tool", "error", "param"),
    [
        ({"vector_store_ids": ["vs_gone"]}, openai.NotFoundError, None),
        ({}, openai.BadRequestError, "tools[0].vector_store_ids"),
        ({"vector_store_ids": [7]}, openai.BadRequestError, "tools[0].vector_store_ids"),
        (
            {"vector_store_ids": ["vs_1"], "filters": {"type": "like"}},
            openai.BadRequestError,
            "tools[0].filters.type",
        ),
        (
            {"vector_store_ids": ["vs_1"], "max_num_results": 51},
            openai.BadRequestError,
            "tools[0].max_num_results",
        ),
    ],
)
def test_an_unsound_file_search_is_refused(client, sandbox, start, tool, error, param):
    with pytest.raises(error) as refused:
        start(tools=[{"type": "file_search", **tool}])
    assert refused.value.param == param
    assert sandbox.stats()["responses"] == 0


def test_limits_on_file_ids_hold(client, sandbox):
    with pytest.raises(openai.BadRequestError, match="array too long"):
        client.vector_stores.create(file_ids=["file-1"] * 501)
    with pytest.raises(openai.NotFoundError, match="No such File object: file-1"):
        client.vector_stores.create(file_ids=["file-1"])
    made = client.vector_stores.create()
    with pytest.raises(openai.NotFoundError, match="No such File object"):
        client.vector_stores.file_batches.create(made.id, file_ids=["file-1"])
    with pytest.raises(openai.BadRequestError, match="file_ids"):
        client.vector_stores.file_batches.create(made.id, file_ids=[])
    assert sandbox.stats()["stores_made"] == 1


def test_an_answer_that_is_lost_leaves_the_store(client, sandbox, shelf):
    sandbox.script(
        {"on": "store_create", "match": {"metadata": {"job": "7"}}, "do": {"drop": "after"}}
    )
    with pytest.raises(openai.APIConnectionError):
        client.vector_stores.create(metadata={"job": "7"})
    [store] = client.vector_stores.list(limit=1).data
    assert store.metadata == {"job": "7"}
    match = {"vector_store_id": store.id}
    sandbox.script({"on": "store_attach", "match": match, "do": {"drop": "after"}})
    with pytest.raises(openai.APIConnectionError):
        client.vector_stores.file_batches.create(store.id, file_ids=[shelf["queues"].id])
    sandbox.script({"on": "store", "match": match, "do": {"not_found": True}})
    with pytest.raises(openai.NotFoundError, match=store.id):
        client.vector_stores.retrieve(store.id)
    assert counts(client.vector_stores.retrieve(store.id)) == (0, 1, 0, 0, 1)
    sandbox.script({"on": "store_delete", "do": {"drop": "before"}})
    with pytest.raises(openai.APIConnectionError):
        client.vector_stores.delete(store.id)
    assert len(sandbox.vector_stores()) == 1


def test_a_restart_loses_no_store(tmp_path, later):  # noqa: F811
    with RunningSandbox(state=tmp_path, pace=100) as first, client_of(first) as client:
        ids = [upload(client, f"{n}.txt").id for n in range(3)]
        made = client.vector_stores.create(name="a", metadata={"b": "c"})
        batch = client.vector_stores.file_batches.create(made.id, file_ids=ids)
        client.vector_stores.files.delete(ids[1], vector_store_id=made.id)
        client.vector_stores.delete(client.vector_stores.create().id)
        before = client.vector_stores.retrieve(made.id)
        assert counts(before) == (2, 0, 0, 0, 2)
    with RunningSandbox(state=tmp_path, pace=100) as second, client_of(second) as client:
        assert client.vector_stores.list().data == [before]
        later(60)
        batch = client.vector_stores.file_batches.retrieve(batch.id, vector_store_id=made.id)
        assert (batch.status, counts(batch)) == ("completed", (0, 2, 0, 0, 2))
        assert len(client.vector_stores.search(made.id, query="toll of a ship").data) == 2


def test_bodies_with_odd_parts_are_answered_or_refused(client, sandbox, shelf, store):
    chance = random.Random(5)
    file_id = shelf["queues"].id
    picture = upload(client, "wall.png", png(3, 4), "vision")
    bodies = {
        "/v1/vector_stores": {
            "name": "a",
            "file_ids": [file_id],
            "metadata": {"a": "b"},
            "expires_after": {"anchor": "last_active_at", "days": 2},
            "chunking_strategy": {
                "type": "static",
                "static": {"max_chunk_size_tokens": 200, "chunk_overlap_tokens": 10},
            },
        },
        f"/v1/vector_stores/{store.id}": {"name": "b", "metadata": {"a": "b"}},
        f"/v1/vector_stores/{store.id}/files": {"file_id": file_id, "attributes": {"a": 1}},
        f"/v1/vector_stores/{store.id}/files/{file_id}": {"attributes": {"a": 1}},
        f"/v1/vector_stores/{store.id}/file_batches": {
            "files": [{"file_id": file_id, "attributes": {"a": True}}]
        },
        f"/v1/vector_stores/{store.id}/search": {
            "query": ["dead letters"],
            "filters": {"type": "and", "filters": [{"type": "in", "key": "a", "value": [1]}]},
            "ranking_options": {"score_threshold": 0.1},
            "max_num_results": 3,
        },
        "/v1/responses": {
            "model": "m",
            "input": message(
                "What is a lease?",
                {"type": "input_file", "file_id": file_id},
                {"type": "input_image", "file_id": picture.id, "detail": "low"},
                {"type": "input_image", "image_url": "data:image/gif;base64,R0lGODlhAQABAA=="},
            ),
            "tools": [
                {
                    "type": "file_search",
                    "vector_store_ids": [store.id],
                    "filters": {"type": "eq", "key": "a", "value": 1},
                    "ranking_options": {"score_threshold": 0.1},
                },
                {"type": "code_interpreter", "container": {"type": "auto", "file_ids": [file_id]}},
            ],
            "text": {"format": DIGEST_FORMAT},
        },
    }
    netloc = urlsplit(sandbox.base_url).netloc
    seen = set()
    with contextlib.closing(http.client.HTTPConnection(netloc, timeout=10)) as connection:
        for _ in range(700):
            path = chance.choice(list(bodies))
            body = copy.deepcopy(bodies[path])
            for _ in range(chance.choice([0, 1, 1, 2])):
                holder, key = chance.choice(places(body))
                holder[key] = copy.deepcopy(chance.choice(ODD))
            connection.request("POST", path, json.dumps(body), {"authorization": "Bearer k"})
            reply = connection.getresponse()
            text = reply.read()
            assert reply.status in (200, 400, 404), (path, body, text)
            seen.add(reply.status)
    assert seen == {200, 400, 404}
    client.vector_stores.list()
    assert sandbox.vector_stores()
