"""Live text: what a running response writes, stored by one consumer, read by any number of pages."""

import asyncio
import time
from types import SimpleNamespace

import pytest
from django.urls import reverse

from jobs import lapses, live
from jobs.models import Attempt, Live, LiveText, Review, Role, State, Status, Turn
from jobs.provider.errors import Unavailable
from jobs.provider.live import MOST_TEXT, Batch, _take
from jobs.provider.live import Live as Following
from reviews.actions import Ask, decide
from reviews.models import Ruling
from tests.factories import NOW, JobFactory, JobTypeFactory, UserFactory, last_turn, start

pytestmark = pytest.mark.django_db

TEXT = " ".join(f"Word {at} of the tide table." for at in range(1, 60))


def slowly(sandbox, seconds=2.0, **more):
    life = {"queued": 0, "running": seconds, "output_text": TEXT}
    sandbox.script({"on": "create", "do": {"life": life, **more}})


def live_job(**more):
    return JobFactory(job_type=JobTypeFactory(live=Live.REQUESTER, review=Review.NEVER, **more))


def watch(driver, holds, *, seconds=20):
    """Tick in real time until `holds()`: a stream has a pace of its own."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it never came to that"
        driver.clock.advance(0.2)
        driver.tick()


def written():
    row = LiveText.objects.first()
    return row.text if row else ""


def settled(job):
    job.refresh_from_db()
    return job.is_settled


def test_what_is_written_is_stored_as_it_comes_and_the_end_is_read_at_once(driver, sandbox):
    slowly(sandbox)
    job = live_job()
    grown = []
    watch(driver, lambda: grown.append(written()) or settled(job))
    lengths = sorted({len(text) for text in grown})
    assert len(lengths) > 3
    assert all(TEXT.startswith(text.strip()) for text in grown)
    assert job.attempts.get().result.text == TEXT
    assert sandbox.stats()["streams"] == 2, "the create, and one consumer"
    assert not LiveText.objects.exists(), "it is in the answer now"
    assert Turn.objects.get().request["stream"] is True


def test_another_process_goes_on_from_the_last_event(driver, sandbox):
    slowly(sandbox, 3.0)
    job = live_job()
    watch(driver, lambda: len(written()) > 100)
    before = LiveText.objects.get()
    driver.drop_calls()
    driver.loop.run_until_complete(driver.provider.live.close_all())
    watch(driver, lambda: LiveText.objects.get().sequence > before.sequence + 3)
    after = LiveText.objects.get()
    assert after.text.startswith(before.text)
    assert TEXT.startswith(after.text.strip())
    watch(driver, lambda: settled(job))


def test_a_sweep_that_ends_leaves_its_streams(driver, sandbox):
    slowly(sandbox, 3.0)
    live_job()
    watch(driver, lambda: len(written()) > 50)
    assert sandbox.stats()["streaming"] == 1
    driver.sweep.tick(claim=False)
    assert driver.provider.live._open == {}


@pytest.mark.parametrize(
    "fault",
    [
        {"status": 400, "error": {"message": "… it is more than 5 minutes old."}},
        {"status": 500},
        {"drop": "before"},
        {"cut_after": 5},
        {"not_found": True},
    ],
    ids=["too old", "broken", "dropped", "cut", "not found"],
)
def test_a_lost_stream_falls_back_to_polling_without_anyone_noticing(driver, sandbox, fault):
    sandbox.script({"on": "stream", "do": fault, "times": None})
    slowly(sandbox, 0.5)
    job = live_job()
    watch(driver, lambda: settled(job))
    attempt = job.attempts.get()
    assert (job.status, attempt.state) == (Status.COMPLETED, State.SUCCEEDED)
    assert (attempt.result.text, job.reason_text) == (TEXT, "")


def test_a_stream_that_says_nothing_for_long_keeps_nobody_waiting(driver, sandbox):
    sandbox.script({"on": "stream", "do": {"stall": 30, "after": 2}, "times": None})
    slowly(sandbox, 0.5)
    job = live_job()
    watch(driver, lambda: settled(job))
    assert job.attempts.get().result.text == TEXT


def test_a_type_that_shows_nothing_is_not_streamed(driver, sandbox):
    job = driver.settle(JobFactory())
    assert "stream" not in job.attempts.get().turns.get().request
    assert sandbox.stats()["streams"] == 0
    assert not LiveText.objects.exists()


def test_a_lost_create_of_a_stream_is_never_sent_again(driver, sandbox):
    slowly(sandbox, 0.1, drop="after")
    job = live_job()
    driver.work()
    assert Attempt.objects.get().state == State.UNKNOWN
    driver.settle(job)
    assert sandbox.stats()["creates"] == 1


@pytest.mark.parametrize(
    ("shown_to", "role", "own", "sees"),
    [
        (Live.REQUESTER, Role.REQUESTER, True, True),
        (Live.STAFF, Role.REQUESTER, True, False),
        (Live.STAFF, Role.REVIEWER, False, True),
        (Live.STAFF, Role.AUDITOR, False, True),
        (Live.OFF, Role.LEAD, False, False),
    ],
)
def test_it_is_shown_to_whom_the_type_says(client, shown_to, role, own, sees):
    job = JobFactory(job_type=JobTypeFactory(live=shown_to), status=Status.RUNNING)
    turn = job.attempts.get().turns.get()
    LiveText.objects.create(
        turn=turn,
        text="Half a sentence <b>about [x](javascript:alert(1)) ![y](http://example.com/y.png)",
        sequence=7,
        began_at=job.created_at,
        updated_at=job.created_at,
    )
    person = job.requester if own else UserFactory(workspace=job.workspace, roles=[role])
    client.force_login(person)
    page = client.get(reverse("jobs:job_detail", args=[job.ref])).content.decode()
    assert ("Half a sentence" in page) == sees
    for hostile in ("<b>about", 'href="javascript', 'src="http://example.com'):
        assert hostile not in page
    assert ("Draft" in page) == sees


def test_any_number_of_pages_opens_no_connection(client, driver, sandbox):
    slowly(sandbox, 3.0)
    job = live_job()
    client.force_login(job.requester)
    watch(driver, lambda: len(written()) > 50)
    before = sandbox.stats()["streams"]
    url = reverse("jobs:job_live", args=[job.ref])
    versions = {client.get(url).context["version"] for _page in range(10)}
    assert len(versions) == 1
    assert sandbox.stats()["streams"] == before
    [version] = versions
    assert client.get(url, {"v": version}).status_code == 204
    watch(driver, lambda: client.get(url, {"v": version}).status_code == 200)


@pytest.mark.parametrize("number", [2**31, 10**30, -5])
def test_a_number_that_no_event_has_is_not_taken_down(number):
    batch = Batch(sequence=4)
    event = SimpleNamespace(type="response.output_text.delta", delta="x", sequence_number=number)
    assert not _take(batch, event)
    assert (batch.sequence, batch.text) == (4, "")


def test_two_consumers_of_one_response_write_each_event_down_once():
    job = JobFactory(status=Status.RUNNING)
    row = LiveText.objects.create(
        turn=last_turn(job), began_at=NOW, updated_at=NOW, next_check_at=NOW
    )
    for text, sequence, after in [("One.", 3, -1), ("One.", 3, -1), (" Two.", 5, 3), ("x", 4, 2)]:
        live.answered(row.pk, Batch(text=text, sequence=sequence, after=after), None, now=NOW)
    row.refresh_from_db()
    assert (row.text, row.sequence) == ("One. Two.", 5)


def test_what_a_try_before_had_written_is_not_shown_for_the_next_one():
    job = JobFactory(status=Status.RUNNING)
    LiveText.objects.create(turn=last_turn(job), text="Old.", began_at=NOW, updated_at=NOW)
    lapses.deadline_passed(last_turn(job).pk, now=job.finish_by)
    decide(job.pk, Ask(Ruling.RETRY, job.requester, job.finish_by))
    start(job, now=job.finish_by)
    job.refresh_from_db()
    assert job.status == Status.RUNNING
    assert live.written(job) is None


class _Stream:
    """Each time it is opened: one event without a number, and the end."""

    def __init__(self):
        self.opened, self.responses = 0, self

    async def retrieve(self, *_args, **_kwargs):
        self.opened += 1
        return self

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_error):
        pass

    async def __aiter__(self):
        yield SimpleNamespace(type="response.output_text.delta", delta="x" * 3_000_000)


def test_a_stream_without_numbers_that_ends_early_is_not_read_over_and_over():
    stream = _Stream()
    with pytest.raises(Unavailable):
        asyncio.run(Following(stream).batch("resp_1", after=-1))
    assert stream.opened == 1


def test_no_batch_grows_without_bounds():
    batch = Batch()
    event = SimpleNamespace(type="response.output_text.delta", delta="x" * 3_000_000)
    for _time in range(3):
        _take(batch, event)
    assert len(batch.text) == MOST_TEXT
