"""Containers of the code interpreter, as the real SDK sees them."""

from __future__ import annotations

import base64
import csv
import io

import openai
import pytest

from jobsite.sandbox.testing import ControlError, RunningSandbox

from .parts import DIGEST_FORMAT, client_of, file_part, message
from .test_sandbox_files import TOLL, later, upload  # noqa: F401 (a fixture)

AUTO = {"type": "code_interpreter", "container": {"type": "auto"}}
CITED = {
    "type": "container_file_citation",
    "container_id": "cntr_1",
    "file_id": "cfile_1",
    "filename": "plot.png",
    "start_index": 0,
    "end_index": 4,
}
OUTPUT = [
    {
        "id": "msg_1",
        "type": "message",
        "status": "completed",
        "role": "assistant",
        "content": [
            {"type": "output_text", "text": "Plot.", "annotations": [CITED], "logprobs": []}
        ],
    }
]
FILE = {"container_id": "cntr_1", "file_id": "cfile_1", "filename": "a.txt", "text": "Hello."}


def counted(client, start, **options):
    parts = [file_part("a.txt", TOLL), file_part("b.txt", "In 1840 there were 7 ships, not 8.5.")]
    made = start(message("Count the words.", *parts), tools=[AUTO], **options)
    return client.responses.retrieve(made.id)


def test_the_code_interpreter_counts_and_cites_its_file(client, sandbox, start):
    done = counted(client, start)
    call, answer = done.output
    assert (call.type, call.status, call.outputs) == ("code_interpreter_call", "completed", None)
    assert "counts.csv" in call.code
    [note] = answer.content[0].annotations
    text = answer.content[0].text
    assert note.type == "container_file_citation"
    assert note.container_id == call.container_id
    assert text[note.start_index : note.end_index] == "sandbox:/mnt/data/counts.csv"

    container = client.containers.retrieve(note.container_id)
    assert (container.status, container.expires_after.minutes) == ("running", 20)
    file = client.containers.files.retrieve(note.file_id, container_id=note.container_id)
    assert (file.path, file.source) == ("/mnt/data/counts.csv", "assistant")
    assert client.containers.files.list(note.container_id).data[0].id == file.id
    data = client.containers.files.content.retrieve(
        note.file_id, container_id=note.container_id
    ).read()
    assert len(data) == file.bytes
    rows = list(csv.DictReader(io.StringIO(data.decode())))
    assert [(row["document"], row["words"], row["numbers"]) for row in rows] == [
        ("a.txt", str(len(TOLL.split())), "0"),
        ("b.txt", "8", "3"),
    ]
    assert sandbox.stats()["downloads"] == 1
    told = client.responses.retrieve(done.id, include=["code_interpreter_call.outputs"])
    assert told.output[0].outputs[0].logs == data.decode()
    [known] = sandbox.containers()
    assert [one["id"] for one in known["files"]] == [note.file_id]


def test_files_put_into_the_container_are_counted(client, start):
    ids = [upload(client, "toll.txt").id, upload(client, "x.bin", b"\x00").id]
    tool = {"type": "code_interpreter", "container": {"type": "auto", "file_ids": ids}}
    done = client.responses.retrieve(
        start("Count the words.", tools=[tool], include=["code_interpreter_call.outputs"]).id
    )
    [head, row] = done.output[0].outputs[0].logs.splitlines()
    assert row == f"toll.txt,{len(TOLL)},{len(TOLL.split())},0"


def test_a_structured_answer_stays_as_it_is(client, start):
    done = counted(client, start, text={"format": DIGEST_FORMAT})
    [note] = done.output[-1].content[0].annotations
    assert note.start_index == note.end_index == len(done.output_text)
    assert done.output_text.endswith("}")


def test_a_container_that_is_named_is_used(client, start):
    made = client.containers.create(name="mine")
    [listed] = client.containers.list().data
    assert listed.to_dict() == made.to_dict()
    tool = {"type": "code_interpreter", "container": made.id}
    done = client.responses.retrieve(start("Count these words.", tools=[tool]).id)
    assert done.output[0].container_id == made.id
    assert len(client.containers.files.list(made.id).data) == 1


@pytest.mark.parametrize(
    ("container", "error", "param"),
    [
        (None, openai.BadRequestError, "tools[0].container"),
        (7, openai.BadRequestError, "tools[0].container"),
        ({"type": "manual"}, openai.BadRequestError, "tools[0].container.type"),
        ("cntr_gone", openai.NotFoundError, None),
        ({"type": "auto", "file_ids": ["file-gone"]}, openai.NotFoundError, "id"),
    ],
)
def test_an_unsound_container_is_refused(client, start, container, error, param):
    with pytest.raises(error) as refused:
        start(tools=[{"type": "code_interpreter", "container": container}])
    assert refused.value.param == param


def test_a_container_is_gone_when_it_was_idle_too_long(client, start, later):  # noqa: F811
    call = counted(client, start).output[0]
    later(19 * 60)
    client.containers.retrieve(call.container_id)
    later(19 * 60)
    [file] = client.containers.files.list(call.container_id).data
    later(20 * 60 + 1)
    for use in (
        lambda: client.containers.retrieve(call.container_id),
        lambda: client.containers.files.list(call.container_id),
        lambda: client.containers.files.retrieve(file.id, container_id=call.container_id),
        lambda: client.containers.files.content.retrieve(file.id, container_id=call.container_id),
    ):
        with pytest.raises(openai.NotFoundError, match=call.container_id):
            use()


def test_containers_and_their_files_are_deleted(client, start):
    call = counted(client, start).output[0]
    [file] = client.containers.files.list(call.container_id).data
    client.containers.files.delete(file.id, container_id=call.container_id)
    with pytest.raises(openai.NotFoundError, match=f"File {file.id} not found on container"):
        client.containers.files.retrieve(file.id, container_id=call.container_id)
    client.containers.delete(call.container_id)
    with pytest.raises(openai.NotFoundError):
        client.containers.retrieve(call.container_id)


def test_a_scripted_citation_makes_its_file(client, sandbox, start):
    sandbox.script({"on": "create", "do": {"life": {"output": OUTPUT}}})
    start()
    data = client.containers.files.content.retrieve("cfile_1", container_id="cntr_1").read()
    assert data.startswith(b"\x89PNG")


def test_scripted_calls_are_sent_as_they_are(client, sandbox, start):
    call = {"id": "ci_1", "type": "code_interpreter_call", "status": "completed"}
    call |= {"code": "1", "container_id": "cntr_1", "outputs": [{"type": "logs", "logs": "1"}]}
    sandbox.script({"on": "create", "do": {"life": {"output": [call]}}})
    assert client.responses.retrieve(start().id).to_dict()["output"] == [call]


def test_scripted_files_hold_what_the_rule_says(client, sandbox, start):
    other = {**FILE, "file_id": "cfile_2", "filename": "b.bin"}
    del other["text"]
    other["base64"] = base64.b64encode(b"\x00\x01").decode()
    sandbox.script({"on": "create", "do": {"life": {"output": OUTPUT, "files": [FILE, other]}}})
    start()
    content = client.containers.files.content
    assert content.retrieve("cfile_1", container_id="cntr_1").read() == b"Hello."
    assert content.retrieve("cfile_2", container_id="cntr_1").read() == b"\x00\x01"


def test_files_are_there_when_the_response_ends_and_no_longer_than_said(
    client,
    sandbox,
    start,
    later,  # noqa: F811
):
    life = {"queued": 0, "running": 100, "files": [{**FILE, "expires_in": 50}]}
    sandbox.script({"on": "create", "do": {"life": life}})
    start()
    with pytest.raises(openai.NotFoundError):
        client.containers.retrieve("cntr_1")
    later(110)
    client.containers.retrieve("cntr_1")
    later(45)
    with pytest.raises(openai.NotFoundError):
        client.containers.retrieve("cntr_1")


@pytest.mark.parametrize(
    "files",
    [7, [7], [{}], [{**FILE, "file_id": "../x"}], [{**FILE, "base64": "?"}], [{**FILE, "x": 1}]],
    ids=str,
)
def test_unsound_files_of_a_rule_are_refused(sandbox, files):
    with pytest.raises(ControlError, match="files"):
        sandbox.script({"on": "create", "do": {"life": {"files": files}}})


def test_rules_for_a_container_file(client, sandbox, start):
    sandbox.script({"on": "create", "do": {"life": {"files": [FILE]}}})
    start()
    match = {"container_id": "cntr_1", "filename": "a.txt"}
    sandbox.script({"on": "container_file", "match": match, "do": {"status": 500}})
    sandbox.script({"on": "container_file", "match": match, "do": {"drop": "after"}})
    content = client.containers.files.content
    with pytest.raises(openai.InternalServerError):
        content.retrieve("cfile_1", container_id="cntr_1")
    with pytest.raises(openai.APIConnectionError):
        content.retrieve("cfile_1", container_id="cntr_1")
    assert content.retrieve("cfile_1", container_id="cntr_1").read() == b"Hello."


def test_a_restart_loses_no_container(tmp_path):
    with RunningSandbox(state=tmp_path) as first, client_of(first) as client:
        first.script({"on": "create", "do": {"life": {"files": [FILE]}}})
        client.responses.create(model="m", input="Hello.", background=True)
        before = client.containers.retrieve("cntr_1")
    with RunningSandbox(state=tmp_path) as second, client_of(second) as client:
        after = client.containers.retrieve("cntr_1")
        assert (after.id, after.created_at) == (before.id, before.created_at)
        data = client.containers.files.content.retrieve("cfile_1", container_id="cntr_1").read()
        assert data == b"Hello."
        client.containers.delete("cntr_1")
    assert not list(tmp_path.glob("containers/*")) + list(tmp_path.glob("container_files/*"))


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"{", b'{"name": 7}', b'{"name": "a", "expires_after": {"minutes": 5}}'],
)
def test_an_unsound_container_is_not_made(client, sandbox, body):
    with pytest.raises(openai.BadRequestError):
        client.post("/containers", content=body, cast_to=object)
    assert sandbox.containers() == []
