"""The sandbox as a program: starting, ending, and remembering."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import openai
import pytest

from jobsite.sandbox.server import main
from jobsite.sandbox.testing import RunningSandbox

from .parts import client_of

ROOT = Path(__file__).parents[2]


def test_it_imports_nothing_of_the_project():
    """In a process of its own, because this one has already imported much."""
    code = (
        "import sys; import jobsite.sandbox; light = len(sys.modules);"
        "import jobsite.sandbox.server, jobsite.sandbox.testing, jobsite.sandbox.work;"
        "print([m for m in sys.modules if m.split('.')[0] in ('django', 'jobs', 'reviews', 'openai')"
        " or (m.startswith('jobsite.') and not m.startswith('jobsite.sandbox'))],"
        " 'aiohttp' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout == "[] True\n", done.stderr


def test_importing_the_package_costs_nothing():
    code = "import sys; import jobsite.sandbox; print('aiohttp' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout == "False\n", done.stderr


@pytest.mark.parametrize("name", [signal.SIGTERM, signal.SIGINT])
def test_it_says_where_it_listens_and_ends_on_a_signal(name):
    command = [sys.executable, "-m", "jobsite.sandbox", "--port", "0", "--pace", "0"]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        line = process.stdout.readline()
        said, _, base_url = line.strip().rpartition(" ")
        assert said == "sandbox listening on"
        with openai.OpenAI(api_key="k", base_url=base_url) as client:
            assert client.responses.create(model="m", input="Hello.").status == "completed"
        began = time.monotonic()
        process.send_signal(name)
        assert process.wait(5) == 0
        assert time.monotonic() - began < 2
        assert process.stderr.read() == ""


def test_a_busy_port_is_one_sentence(capsys):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert main(["--port", str(port)]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err == f"Port {port} on 127.0.0.1 is in use; choose another with --port.\n"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--webhook-url", "https://example.org/"], "only to this machine"),
        (["--webhook-url", "http://127.0.0.1/"], "need a secret"),
        (["--webhook-secret", "whsec_?"], "followed by base64"),
        (["--host", "192.0.2.1"], "Cannot listen on 192.0.2.1"),
    ],
)
def test_a_wrong_setting_is_one_sentence(capsys, options, words):
    assert main(["--port", "0", *options]) == 1
    out, err = capsys.readouterr()
    assert words in err
    assert err.count("\n") == 1
    assert out == ""


def test_a_restart_loses_no_response(tmp_path):
    with RunningSandbox(state=tmp_path) as first, client_of(first) as client:

        def start(life: dict) -> str:
            first.script({"on": "create", "do": {"life": life}})
            made = client.responses.create(
                model="m", input="Hello there, all of you.", background=True, metadata={"turn": "t"}
            )
            return made.id

        done, waiting, cancelled, deleted = start({}), *(start({"queued": 60}) for _ in range(3))
        client.responses.cancel(cancelled)
        client.responses.delete(deleted)
        before = {
            rid: client.responses.retrieve(rid).to_dict() for rid in (done, waiting, cancelled)
        }
    with (tmp_path / "responses.jsonl").open("a") as file:
        file.write('{"op":"create","respo')  # killed while it wrote

    with RunningSandbox(state=tmp_path) as second, client_of(second) as client:
        after = {rid: client.responses.retrieve(rid).to_dict() for rid in before}
        assert after == before
        assert [made["status"] for made in after.values()] == ["completed", "queued", "cancelled"]
        with pytest.raises(openai.NotFoundError):
            client.responses.retrieve(deleted)
        assert second.stats()["by_turn"] == {"t": 3}
        second.reset()
    assert (tmp_path / "responses.jsonl").read_text() == ""


def test_what_is_a_day_old_is_forgotten(tmp_path):
    with RunningSandbox(state=tmp_path) as first, client_of(first) as client:
        made = client.responses.create(model="m", input="Hello.", background=True)
    path = tmp_path / "responses.jsonl"
    line = json.loads(path.read_text().splitlines()[0])
    line["response"]["started"] -= 24 * 3600
    path.write_text(json.dumps(line) + "\n")
    with RunningSandbox(state=tmp_path) as second, client_of(second) as client:
        with pytest.raises(openai.NotFoundError):
            client.responses.retrieve(made.id)
        assert second.responses() == []


def test_a_busy_port_leaves_the_state_alone(tmp_path):
    with RunningSandbox(state=tmp_path) as first, client_of(first) as client:
        client.responses.create(model="m", input="Hello.", background=True)
        before = os.stat(tmp_path / "responses.jsonl").st_ino
        port = first.base_url.split(":")[-1].removesuffix("/v1")
        assert main(["--port", port, "--state", str(tmp_path)]) == 1
        assert os.stat(tmp_path / "responses.jsonl").st_ino == before


def test_an_unreadable_state_is_one_sentence(tmp_path, capsys):
    (tmp_path / "responses.jsonl").write_text('{"op": "create", "response": {}}\n')
    assert main(["--port", "0", "--state", str(tmp_path)]) == 1
    assert "The state of the last run cannot be read" in capsys.readouterr().err
