"""Uploaded files, as the real SDK sees them: kept, named in inputs, expired, and gone wrong."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import random
import struct
import time
import zlib
from urllib.parse import urlsplit

import openai
import pytest

from jobsite.sandbox import files, forms
from jobsite.sandbox.images import size_of
from jobsite.sandbox.testing import RunningSandbox

from .parts import DIGEST_FORMAT, client_of, file_part, message, pdf

TOLL = "Every ship paid a toll of two shillings for each ton that it carried into the basin."


def png(width: int, height: int) -> bytes:
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    made = struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    return b"\x89PNG\r\n\x1a\n" + made


def upload(client, name="toll.txt", data=TOLL, purpose="user_data", **options):
    raw = data.encode() if isinstance(data, str) else data
    return client.files.create(file=(name, raw), purpose=purpose, **options)


@pytest.fixture
def later(monkeypatch):
    """Moves the clock of this process, and with it that of the sandbox."""
    real, ahead = time.time, [0.0]
    monkeypatch.setattr(time, "time", lambda: real() + ahead[0])

    def move(seconds: float) -> None:
        ahead[0] += seconds

    return move


def test_a_file_is_uploaded_listed_looked_at_and_deleted(client, sandbox):
    made = upload(client)
    assert made.id.startswith("file-")
    assert (made.filename, made.bytes, made.purpose) == ("toll.txt", len(TOLL), "user_data")
    assert (made.status, made.expires_at, made.object) == ("processed", None, "file")
    assert abs(made.created_at - time.time()) < 5
    assert client.files.retrieve(made.id) == made
    assert client.files.list().data == [made]
    assert [file["id"] for file in sandbox.files()] == [made.id]
    deleted = client.files.delete(made.id)
    assert (deleted.id, deleted.deleted, deleted.object) == (made.id, True, "file")
    with pytest.raises(openai.NotFoundError, match="No such File object"):
        client.files.retrieve(made.id)
    with pytest.raises(openai.NotFoundError):
        client.files.delete(made.id)
    stats = sandbox.stats()
    assert (stats["uploads"], stats["uploaded"], stats["file_deletes"]) == (1, 1, 2)
    assert stats["files"] == 0


def test_a_list_of_files_has_pages(client):
    made = [upload(client, f"{n}.txt").id for n in range(5)]
    other = upload(client, "x.jsonl", purpose="batch").id
    page = client.files.list(purpose="user_data", order="asc", limit=2)
    assert ([file.id for file in page.data], page.has_more) == (made[:2], True)
    assert [
        file.id for file in client.files.list(purpose="user_data", order="asc", limit=2)
    ] == made
    assert [file.id for file in client.files.list()] == [other, *made[::-1]]
    with pytest.raises(openai.BadRequestError, match="limit"):
        client.files.list(limit=0)


@pytest.mark.parametrize("purpose", ["assistants", "user_data"])
def test_what_was_given_for_reading_cannot_be_downloaded(client, purpose):
    made = upload(client, purpose=purpose)
    with pytest.raises(openai.BadRequestError) as refused:
        client.files.content(made.id)
    assert refused.value.body["message"] == f"Not allowed to download files of purpose: {purpose}"


def test_other_files_come_back_byte_for_byte(client, sandbox):
    data = bytes(range(256)) * 1000
    made = upload(client, "bytes.bin", data, "batch")
    assert client.files.content(made.id).read() == data
    assert made.expires_at == made.created_at + 30 * 24 * 3600
    assert sandbox.stats()["downloads"] == 1


def test_an_expired_file_is_gone(client, sandbox, later):
    made = upload(client, expires_after={"anchor": "created_at", "seconds": 3600})
    assert made.expires_at == made.created_at + 3600
    later(3590)
    assert client.files.retrieve(made.id).expires_at == made.expires_at
    later(20)
    with pytest.raises(openai.NotFoundError):
        client.files.retrieve(made.id)
    assert client.files.list().data == sandbox.files() == []
    assert sandbox.stats()["files"] == 0


@pytest.mark.parametrize(
    ("options", "param"),
    [
        ({"purpose": "fun"}, "purpose"),
        ({"expires_after": {"anchor": "created_at", "seconds": 5}}, "expires_after.seconds"),
        ({"expires_after": {"anchor": "now", "seconds": 5000}}, "expires_after.anchor"),
        ({"expires_after": {"anchor": "created_at", "seconds": "x"}}, "expires_after.seconds"),
    ],
)
def test_an_unsound_upload_is_refused(client, sandbox, options, param):
    with pytest.raises(openai.BadRequestError) as refused:
        upload(client, **options)
    assert refused.value.param == param
    assert sandbox.files() == []


def test_a_file_that_is_too_large_is_refused(client, sandbox, monkeypatch):
    assert files.LARGEST_FILE == 64 * 1024 * 1024
    monkeypatch.setattr(forms, "LARGEST_FILE", 1000)
    with pytest.raises(openai.APIStatusError) as refused:
        upload(client, data="x" * 1001)
    assert upload(client, data="x" * 1000).bytes == 1000
    assert (refused.value.status_code, refused.value.param) == (413, "file")
    assert len(sandbox.files()) == 1


def test_an_uploaded_document_is_as_good_as_one_in_the_request(client, start):
    pages = [["The Harbour", TOLL, "It was abolished in the year when the wall fell down."]]
    made = upload(client, "harbour.pdf", pdf(pages))
    named = start(
        message("Make a digest.", {"type": "input_file", "file_id": made.id}),
        text={"format": DIGEST_FORMAT},
    )
    inline = start(
        message("Make a digest.", file_part("harbour.pdf", pdf(pages), "application/pdf")),
        text={"format": DIGEST_FORMAT},
    )
    one, two = client.responses.retrieve(named.id), client.responses.retrieve(inline.id)
    assert json.loads(one.output_text) == json.loads(two.output_text)
    assert "harbour.pdf" in one.output_text
    assert one.usage == two.usage
    [item] = client.responses.input_items.list(named.id).data
    assert (item.content[1].type, item.content[1].file_id) == ("input_file", made.id)


def test_an_uploaded_file_without_text_fails_the_response(client, start):
    made = upload(client, "picture.bin", b"\x00\x01\x02")
    ended = client.responses.retrieve(
        start(message("Read.", {"type": "input_file", "file_id": made.id})).id
    )
    assert (ended.status, ended.error.code) == ("failed", "invalid_prompt")
    assert "picture.bin" in ended.error.message


@pytest.mark.parametrize("kind", ["input_file", "input_image"])
def test_an_unknown_file_is_refused(client, start, kind):
    with pytest.raises(openai.BadRequestError) as refused:
        start(message("Read.", {"type": kind, "file_id": "file-gone"}))
    assert refused.value.param == "input[0].content[1].file_id"
    assert "file-gone" in refused.value.body["message"]


def test_of_images_it_says_name_kind_and_size(client, start):
    made = upload(client, "wall.png", png(640, 480), "vision")
    data = base64.b64encode(png(3, 4)).decode()
    images = [
        {"type": "input_image", "file_id": made.id},
        {"type": "input_image", "image_url": f"data:image/png;base64,{data}"},
        {"type": "input_image", "image_url": "https://example.org/a.png"},
    ]
    text = client.responses.retrieve(start(message(*images)).id).output_text
    assert "wall.png is a PNG image of 640 by 480 pixels." in text
    assert "image-2 is a PNG image of 3 by 4 pixels." in text
    assert "image-3 is an image at an address that the sandbox does not fetch." in text
    beside = start(message("Tell.", file_part("a.txt", TOLL), images[0]))
    assert "640 by 480" in client.responses.retrieve(beside.id).output_text


@pytest.mark.parametrize("url", ["data:image/png;base64,AAAA", "data:image/png;base64,?"])
def test_what_is_no_image_is_refused(client, start, url):
    with pytest.raises(openai.BadRequestError) as refused:
        start(message({"type": "input_image", "image_url": url}))
    assert refused.value.param == "input[0].content[0].image_url"


@pytest.mark.parametrize(
    ("data", "size"),
    [
        (png(640, 480), ("PNG", 640, 480)),
        (b"GIF89a" + struct.pack("<HH", 7, 9), ("GIF", 7, 9)),
        (
            b"\xff\xd8\xff\xe0\x00\x04ab\xff\xff\xc0\x00\x11\x08" + struct.pack(">HH", 20, 30),
            ("JPEG", 30, 20),
        ),
        (
            b"RIFF\0\0\0\0WEBPVP8X" + bytes(8) + b"\x09\0\0\x13\0\0",
            ("WebP", 10, 20),
        ),
        (b"RIFF\0\0\0\0WEBPVP8 " + bytes(10) + struct.pack("<HH", 5, 6), ("WebP", 5, 6)),
        (b"RIFF\0\0\0\0WEBPVP8L" + bytes(5) + struct.pack("<I", 4 | 5 << 14), ("WebP", 5, 6)),
        (b"%PDF-1.4", None),
        (b"", None),
    ],
    ids=lambda value: str(value)[:12],
)
def test_the_size_of_an_image_stands_in_its_header(data, size):
    assert size_of(data) == size
    for end in range(len(data)):
        size_of(data[:end])  # cut off anywhere, it is no crash


def test_an_answer_that_is_lost_leaves_the_file(client, sandbox):
    sandbox.script({"on": "upload", "match": {"filename": "b.txt"}, "do": {"drop": "after"}})
    upload(client, "a.txt")
    with pytest.raises(openai.APIConnectionError):
        upload(client, "b.txt")
    assert [file["filename"] for file in sandbox.files()] == ["a.txt", "b.txt"]
    assert sandbox.stats()["uploaded"] == 2


@pytest.mark.parametrize(
    ("do", "error"),
    [
        ({"status": 500}, openai.InternalServerError),
        ({"status": 429, "error": {"code": "rate_limit_exceeded"}}, openai.RateLimitError),
        ({"drop": "before"}, openai.APIConnectionError),
        ({"raw": "<html>", "status": 502}, openai.InternalServerError),
    ],
    ids=str,
)
def test_a_refused_upload_leaves_nothing(client, sandbox, do, error):
    sandbox.script({"on": "upload", "match": {"purpose": "user_data"}, "do": do})
    with pytest.raises(error):
        upload(client)
    assert sandbox.files() == []
    assert (sandbox.stats()["uploads"], sandbox.stats()["uploaded"]) == (1, 0)


def test_rules_for_a_file_match_its_id_name_and_purpose(client, sandbox):
    one, two = upload(client, "one.txt"), upload(client, "two.txt")
    sandbox.script({"on": "file", "match": {"file_id": one.id}, "do": {"not_found": True}})
    sandbox.script({"on": "file_delete", "match": {"filename": "two.txt"}, "do": {"status": 503}})
    client.files.retrieve(two.id)
    with pytest.raises(openai.NotFoundError, match=f"No such File object: {one.id}"):
        client.files.retrieve(one.id)
    client.files.delete(one.id)
    with pytest.raises(openai.InternalServerError):
        client.files.delete(two.id)
    assert [file["id"] for file in sandbox.files()] == [two.id]
    assert sandbox.requests()[-1]["filename"] == "two.txt"


@pytest.mark.parametrize("on", ["file_list", "store_list"])
def test_rules_for_lists(client, sandbox, on):
    upload(client)
    sandbox.script({"on": on, "do": {"status": 503}})
    asked = client.files if on == "file_list" else client.vector_stores
    with pytest.raises(openai.InternalServerError):
        asked.list()
    asked.list()


NOWHERE = ["x", "..%2f..%2fx", "%00", "file-%ff", "a" * 5000, "💥".encode().hex(), "?x=1", ""]
PLACES = [
    "files/{}",
    "files/{}/content",
    "vector_stores/{}",
    "vector_stores/{}/files",
    "vector_stores/{}/files/x/content",
    "vector_stores/{}/file_batches/x/files",
    "vector_stores/{}/search",
    "containers/{}",
    "containers/{}/files/x/content",
    "files?limit={}",
    "files?order={}&after={}",
    "vector_stores?limit=-{}",
    "containers?before={}",
]


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_addresses_of_any_shape_are_answered_or_refused(client, sandbox, method):
    upload(client)
    netloc = urlsplit(sandbox.base_url).netloc
    with contextlib.closing(http.client.HTTPConnection(netloc, timeout=10)) as connection:
        for place in PLACES:
            for what in NOWHERE:
                path = "/v1/" + place.replace("{}", what)
                connection.request(method, path, headers={"authorization": "Bearer k"})
                reply = connection.getresponse()
                reply.read()
                assert reply.status in (200, 400, 404, 405), path
    assert len(sandbox.files()) == 1


def test_a_restart_loses_no_file(tmp_path):
    data = bytes(range(256))
    with RunningSandbox(state=tmp_path) as first, client_of(first) as client:
        read = upload(client, expires_after={"anchor": "created_at", "seconds": 3600})
        kept = upload(client, "b.bin", data, "batch")
        client.files.delete(upload(client, "c.txt").id)
    (tmp_path / "files" / f"{kept.id}.json.new").write_text("{")  # killed while it wrote
    with RunningSandbox(state=tmp_path) as second, client_of(second) as client:
        assert client.files.list(order="asc").data == [read, kept]
        assert client.files.content(kept.id).read() == data
        made = client.responses.create(
            model="m", input=message("Read.", {"type": "input_file", "file_id": read.id})
        )
        assert TOLL in made.output_text
        second.reset()
        assert client.files.list().data == []
    assert list((tmp_path / "files").iterdir()) == []


def test_forms_of_any_shape_are_answered_or_refused(sandbox):
    chance = random.Random(11)
    netloc = urlsplit(sandbox.base_url).netloc
    good = (
        b'--b\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nuser_data\r\n'
        b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n'
        b"Content-Type: text/plain\r\n\r\nHello there.\r\n--b--\r\n"
    )
    kinds = ["multipart/form-data; boundary=b"] * 6
    kinds += ["multipart/form-data", "application/json", "multipart/mixed; boundary=b", ""]
    seen = set()
    for _ in range(300):
        body = bytearray(good)
        for _ in range(chance.choice([0, 1, 3])):
            place = chance.randrange(len(body))
            body[place : place + chance.choice([0, 1, 9])] = chance.randbytes(
                chance.choice([0, 1, 4])
            )
        with contextlib.closing(http.client.HTTPConnection(netloc, timeout=10)) as connection:
            headers = {"authorization": "Bearer k", "content-type": chance.choice(kinds)}
            connection.request("POST", "/v1/files", bytes(body), headers)
            status = connection.getresponse().status
        assert status in (200, 400), bytes(body)
        seen.add(status)
    assert seen == {200, 400}


@pytest.mark.parametrize(
    "name",
    [
        "Bücher & Co.txt",
        'a "b".txt',
        "a\\b.txt",
        "a; b=c.txt",
        "文書.txt",
        "a;b;c;d.txt",
        "%.txt",
        " a.txt",
    ],
)
def test_a_name_comes_back_as_it_was_given(client, name):
    assert upload(client, name).filename == name
