"""Files that an answer names in a container: fetched before it is written down, over real HTTP."""

import asyncio
import hashlib
import threading
import uuid
from collections import Counter
from contextlib import contextmanager

import pytest
from aiohttp import web
from django.test import Client
from django.utils import timezone

from jobs import outcomes, results
from jobs.documents import Upload
from jobs.models import FetchedFile, Review, Role, State, Status, SweepSlot, Turn
from jobs.policy import FILE_TRIES
from jobs.provider import downloads
from jobs.provider.client import Provider
from jobs.provider.downloads import Limits, named
from jobs.provider.errors import AccountProblem, Unavailable
from jobs.provider.payloads import Fetched
from tests.driver import Driver
from tests.factories import JobFactory, JobTypeFactory, UserFactory, last_turn
from tests.payloads import message, response, response_object
from tests.steps import lives

CSV = b"day,high\nMonday,06:12\n"
PNG = b"\x89PNG\r\n\x1a\n" + b"a picture" * 20


def cited(file_id="cfile_1", filename="tides.csv", container="cntr_1", **changes):
    note = {
        "type": "container_file_citation",
        "container_id": container,
        "file_id": file_id,
        "filename": filename,
        "start_index": 0,
        "end_index": 5,
        **changes,
    }
    return message("Tides are here.", annotations=[note])


def ran(*outputs, container="cntr_1"):
    return {
        "type": "code_interpreter_call",
        "id": "ci_1",
        "status": "completed",
        "container_id": container,
        "code": "plot()",
        "outputs": list(outputs),
    }


def drawn(file_id="cfile_2", container="cntr_1"):
    url = f"https://api.openai.com/v1/containers/{container}/files/{file_id}/content"
    return {"type": "image", "url": url}


class Provided:
    """A provider of the test's own: one response, and the files of its containers. `files` maps a
    file's id to its content, or to the status of an error; a list is used up in its order."""

    def __init__(self, output):
        self.output = output
        self.files = {}
        self.status = "completed"
        self.at_once = False
        self.asked = Counter()
        self.waits = {}
        self.at_work = self.most_at_work = 0
        self.ids = Counter()

    async def create(self, request):
        body = await request.json()
        self.ids["created"] += 1
        data = self.answer(f"resp_{uuid.uuid4().hex}", ended=self.at_once) | {
            "metadata": body["metadata"]
        }
        return web.json_response(data)

    async def retrieve(self, request):
        return web.json_response(self.answer(request.match_info["id"], ended=True))

    async def file(self, request):
        file_id = request.match_info["file"]
        self.asked[file_id] += 1
        self.at_work += 1
        self.most_at_work = max(self.most_at_work, self.at_work)
        try:
            await asyncio.sleep(self.waits.get(file_id, 0))
        finally:
            self.at_work -= 1
        content = self.files.get(file_id, 404)
        if isinstance(content, list):
            content = content.pop(0) if len(content) > 1 else content[0]
        if isinstance(content, int):
            error = {"message": "No.", "type": None, "code": None, "param": None}
            return web.json_response({"error": error}, status=content)
        return web.Response(body=content)

    def answer(self, response_id, *, ended):
        status = self.status if ended else "in_progress"
        return response_object(status, id=response_id, output=self.output if ended else [])

    @contextmanager
    def serving(self):
        """Yields the base URL."""
        loop, ready, url = asyncio.new_event_loop(), threading.Event(), []

        async def start():
            app = web.Application(client_max_size=2**26)
            app.router.add_post("/v1/responses", self.create)
            app.router.add_get("/v1/responses/{id}", self.retrieve)
            app.router.add_post("/v1/responses/{id}/cancel", self.retrieve)
            app.router.add_get("/v1/containers/{container}/files/{file}/content", self.file)
            runner = web.AppRunner(app, shutdown_timeout=0.1)
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            url.append(f"http://127.0.0.1:{runner.addresses[0][1]}/v1")
            ready.set()
            return runner

        def run():
            runner = loop.run_until_complete(start())
            loop.run_forever()
            loop.run_until_complete(runner.cleanup())
            loop.close()

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        assert ready.wait(5)
        try:
            yield url[0]
        finally:
            loop.call_soon_threadsafe(loop.stop)
            thread.join(5)


def retrieved(provided, *, limits=None, call="retrieve", **kwargs):
    """The answer to one retrieve, or to another call."""

    async def ask(url):
        provider = Provider(
            base_url=url,
            api_key="sk-test",
            create_timeout=5,
            lookup_timeout=5,
            file_limits=limits or Limits(),
        )
        try:
            return await getattr(provider, call)("resp_1", **kwargs)
        finally:
            await provider.close()

    with provided.serving() as url:
        return asyncio.run(ask(url))


# What is named


def test_files_are_named_by_citations_and_by_what_code_made_each_once():
    data = response_object(
        output=[
            ran(drawn("cfile_2"), {"type": "files", "files": [{"file_id": "cfile_3"}]}),
            cited("cfile_1"),
            cited("cfile_2", "plot.png"),
        ]
    )
    assert named(data) == [
        Fetched("cntr_1", "cfile_2", "plot.png"),
        Fetched("cntr_1", "cfile_3", ""),
        Fetched("cntr_1", "cfile_1", "tides.csv"),
    ]


@pytest.mark.parametrize("bad", ["../../files", "a/b", "", "a b", "ä", "x" * 300, None, 7, ["a"]])
def test_what_is_no_id_never_becomes_part_of_a_path(bad):
    assert named(response_object(output=[cited(bad)])) == []
    assert named(response_object(output=[cited(container=bad)])) == []
    url = f"https://evil.example/{bad}"
    assert named(response_object(output=[ran({"type": "image", "url": url})])) == []


def test_only_so_many_files_are_wanted():
    notes = [cited(f"cfile_{n}") for n in range(90)]
    assert len(named(response_object(output=notes))) == downloads.MOST_FILES


# Fetching


def test_an_answer_comes_with_its_files():
    provided = Provided([ran(drawn()), cited()])
    provided.files = {"cfile_1": CSV, "cfile_2": PNG}
    assert retrieved(provided).files == (
        Fetched("cntr_1", "cfile_2", "", PNG),
        Fetched("cntr_1", "cfile_1", "tides.csv", CSV),
    )
    assert provided.asked == {"cfile_1": 1, "cfile_2": 1}


def test_nothing_is_fetched_for_an_answer_that_has_not_ended():
    provided = Provided([cited()])
    provided.status = "in_progress"
    answer = retrieved(provided)
    assert (answer.state, answer.files, provided.asked) == (State.LIVE, (), {})


def test_a_container_that_is_gone_is_said_to_be():
    (file,) = retrieved(Provided([cited()])).files
    assert (file.content, file.problem) == (None, "the container has expired.")


@pytest.mark.parametrize("status", [400, 410, 422])
def test_a_refusal_for_good_is_not_tried_again(status):
    provided = Provided([cited()])
    provided.files = {"cfile_1": status}
    (file,) = retrieved(provided).files
    assert file.content is None and str(status) in file.problem


@pytest.mark.parametrize(
    ("status", "raised"),
    [(500, Unavailable), (503, Unavailable), (429, Unavailable), (403, AccountProblem)],
)
def test_a_passing_fault_makes_the_whole_answer_unavailable_until_it_is_given_up(status, raised):
    provided = Provided([cited()])
    provided.files = {"cfile_1": status}
    with pytest.raises(raised):
        retrieved(provided)
    (file,) = retrieved(provided, give_up_on_files=True).files
    assert (file.content, file.problem) == (None, "No.")


def test_a_file_that_drips_is_given_up_in_time():
    provided = Provided([cited("cfile_1"), cited("cfile_2")])
    provided.files = {"cfile_1": CSV, "cfile_2": CSV}
    provided.waits = {"cfile_2": 30}
    for limits in (Limits(file_seconds=0.3), Limits(seconds=0.3)):
        with pytest.raises(Unavailable):
            retrieved(provided, limits=limits)
        first, second = retrieved(provided, limits=limits, give_up_on_files=True).files
        assert (first.content, second.content) == (CSV, None)
        assert second.problem == "OpenAI did not send it in time." or "in time" in second.problem


def test_a_file_that_is_too_big_is_left_out_and_the_others_are_kept():
    provided = Provided([cited("cfile_1"), cited("cfile_2")])
    provided.files = {"cfile_1": b"x" * 3_000_000, "cfile_2": CSV}
    first, second = retrieved(provided, limits=Limits(file=2**20)).files
    assert (first.content, first.problem) == (None, "it is bigger than 1 MB.")
    assert second.content == CSV


def test_files_that_are_too_big_together_are_left_out():
    provided = Provided([cited(f"cfile_{n}") for n in range(5)])
    provided.files = {f"cfile_{n}": b"x" * 400_000 for n in range(5)}
    files = retrieved(provided, limits=Limits(total=1_000_000)).files
    assert sum(len(file.content or b"") for file in files) <= 1_000_000
    assert {file.problem for file in files if file.content is None} == {
        "the files of this answer are too big together."
    }


def test_so_many_are_fetched_at_once_and_no_more():
    provided = Provided([cited(f"cfile_{n}") for n in range(12)])
    provided.files = {f"cfile_{n}": CSV for n in range(12)}
    provided.waits = {f"cfile_{n}": 0.05 for n in range(12)}
    assert all(file.content == CSV for file in retrieved(provided).files)
    assert provided.most_at_work == downloads.AT_ONCE


def test_an_answer_to_a_cancel_that_names_files_is_looked_at_again():
    provided = Provided([cited()])
    provided.status = "cancelled"
    answer = retrieved(provided, call="cancel")
    assert (answer.status, answer.state, answer.files) == ("cancelled", State.LIVE, ())
    provided.output = [message("No files.")]
    assert retrieved(provided, call="cancel").state is State.CANCELED


# The engine


@pytest.fixture
def finished(db, clock):
    """`finished(provided)`: a job that the engine has worked on against this provider."""

    def work(provided, job=None):
        job = job or JobFactory(now=clock(), job_type__review=Review.ALWAYS)
        with provided.serving() as url, Driver(url, clock) as driver:
            return driver.settle(job)

    return work


@pytest.mark.parametrize("at_once", [False, True])
def test_a_generated_file_is_kept_with_its_source_and_its_hash(at_once, finished):
    provided = Provided([ran(drawn()), cited()])
    provided.files, provided.at_once = {"cfile_1": CSV, "cfile_2": PNG}, at_once
    job = finished(provided)
    assert (job.status, provided.ids["created"]) == (Status.NEEDS_REVIEW, 1)
    result = job.open_gate.result
    picture, table = result.files.order_by("position")
    assert (picture.name, picture.content_type) == ("cfile_2.png", "image/png")
    assert (table.name, table.content_type) == ("tides.csv", "text/csv")
    assert (table.container_id, table.file_id) == ("cntr_1", "cfile_1")
    assert table.sha256 == hashlib.sha256(CSV).hexdigest()
    with table.file.open() as stored:
        assert stored.read() == CSV
    assert result.content_hash == results.stored_hash(result)
    assert result.warnings == []
    client = Client()
    client.force_login(UserFactory(workspace=job.workspace, roles=[Role.LEAD]))
    page = client.get(f"/jobs/{job.ref}/review/").content.decode()
    assert f'src="/jobs/{job.ref}/files/1/1/?inline=1"' in page
    # The citation leads to the file.
    assert f'<a href="/jobs/{job.ref}/files/1/2/"><bdi>tides.csv</bdi></a>' in page
    shown = client.get(f"/jobs/{job.ref}/files/1/1/?inline=1")
    assert (shown["Content-Type"], b"".join(shown.streaming_content)) == ("image/png", PNG)
    sent = client.get(f"/jobs/{job.ref}/files/1/2/?inline=1")
    assert sent["Content-Disposition"].startswith("attachment")
    assert b"".join(sent.streaming_content) == CSV


def test_the_hash_covers_the_files(finished):
    hashes = set()
    for content in (CSV, CSV + b"more"):
        provided = Provided([cited()])
        provided.files = {"cfile_1": content}
        hashes.add(finished(provided).open_gate.content_hash)
    assert len(hashes) == 2


def test_a_file_that_fails_for_a_while_is_fetched_later(finished):
    provided = Provided([cited()])
    provided.files = {"cfile_1": [500, 503, 500, CSV]}
    job = finished(provided)
    assert job.open_gate.result.files.get().name == "tides.csv"
    assert provided.asked["cfile_1"] == 4


def test_a_file_that_never_comes_does_not_hold_the_answer_for_ever(finished):
    provided = Provided([cited()])
    provided.files = {"cfile_1": 500}
    job = finished(provided)
    assert job.status == Status.NEEDS_REVIEW
    assert provided.asked["cfile_1"] == FILE_TRIES + 1
    (warning,) = job.warnings
    assert warning["code"] == "file_missing" and "tides.csv" in warning["text"]
    assert FetchedFile.objects.get().problem == "No."


def test_an_expired_container_is_a_warning_that_names_the_file(finished):
    job = finished(Provided([cited()]))
    (warning,) = job.warnings
    assert warning["text"] == "The file tides.csv is missing: the container has expired."
    assert job.open_gate.result.text == "Tides are here."


def test_a_file_of_the_stand_ins_container_is_kept(driver, sandbox, clock):
    job = JobFactory(now=clock(), job_type__review=Review.ALWAYS)
    made = {"container_id": "cntr_1", "file_id": "cfile_1", "filename": "tides.csv"}
    files = [made | {"text": CSV.decode()}]
    lives(sandbox, end="completed", output=[cited()], files=files)
    sandbox.script({"on": "container_file", "do": {"status": 500}, "times": 2})
    driver.settle(job)
    file = job.open_gate.result.files.get()
    assert file.sha256 == hashlib.sha256(CSV).hexdigest()


def test_while_a_file_fails_the_page_says_that_the_answer_is_there(driver, sandbox, clock, client):
    job = JobFactory(now=clock(), job_type__review=Review.ALWAYS)
    lives(sandbox, end="completed", output=[cited()])
    sandbox.script({"on": "container_file", "do": {"status": 500}, "times": None})

    def says_so():
        job.refresh_from_db()
        return job.reason_code == "files_missing"

    driver.until(says_so)
    SweepSlot.objects.create(number=9, beat_at=timezone.now())
    client.force_login(job.requester)
    page = client.get(job.get_absolute_url()).content.decode()
    assert "The answer is there, and its files are being fetched." in page
    assert "does not answer" not in page


def test_a_container_of_the_stand_in_that_expired_leaves_a_warning(driver, sandbox, clock):
    job = JobFactory(now=clock(), job_type__review=Review.ALWAYS)
    made = {"container_id": "cntr_1", "file_id": "cfile_1", "filename": "tides.csv"}
    files = [made | {"text": "x", "expires_in": 0}]
    lives(sandbox, end="completed", output=[cited()], files=files)
    driver.settle(job)
    (warning,) = job.warnings
    assert warning["text"] == "The file tides.csv is missing: the container has expired."


def test_what_code_really_made_at_the_stand_in_is_kept(driver, sandbox, clock):
    job_type = JobTypeFactory(
        version__tools=[{"type": "code_interpreter", "container": {"type": "auto"}}]
    )
    uploads = (Upload("tides.txt", b"High water comes twice a day, at 6 and at 18."),)
    job = driver.settle(JobFactory(now=clock(), job_type=job_type, uploads=uploads))
    result = job.open_gate.result
    file = result.files.get()
    assert (file.name, file.content_type) == ("counts.csv", "text/csv")
    with file.file.open() as stored:
        assert b"tides.txt" in stored.read()
    assert "Ran code" in [call.title for call in result.tool_calls.all()]


@pytest.mark.django_db
def test_files_of_an_earlier_turn_are_files_of_the_result():
    job = JobFactory()
    turn = last_turn(job)
    first = response(output=[cited()], id="resp_first")
    fetched = Fetched("cntr_1", "cfile_1", "tides.csv", CSV)
    found = results.read(turn, type(first)(**{**vars(first), "files": (fetched,)}))
    Turn.objects.filter(pk=turn.pk).update(
        payload=first.body, ended_at=job.created_at, sent_at=job.created_at
    )
    results.keep_files(turn, found)
    later = Turn.objects.create(attempt=turn.attempt, number=2)
    (file,) = results.read(later, response(output=[message("Done.")])).evidence.files
    assert (file.name, file.content, file.turn) == ("tides.csv", CSV, 1)


@pytest.mark.django_db
def test_a_hostile_name_is_only_a_name():
    job = JobFactory(job_type__review=Review.ALWAYS)
    turn = last_turn(job)
    name = "../../\x00etc/\ud800" + "n" * 400 + ".csv"
    fetched = Fetched("cntr_1", "cfile_1", name, CSV)
    answer = response(output=[cited()])
    answer = type(answer)(**{**vars(answer), "files": (fetched,)})
    outcomes.accepted(turn.pk, answer, now=job.created_at, adopted=False)
    job.refresh_from_db()
    file = job.open_gate.result.files.get()
    assert len(file.name) == 255 and file.file.name.startswith(f"results/{job.pk}/")
    client = Client()
    client.force_login(UserFactory(workspace=job.workspace, roles=[Role.LEAD]))
    sent = client.get(f"/jobs/{job.ref}/files/1/1/")
    assert b"".join(sent.streaming_content) == CSV
