"""Documents on their way to the model: inline, as files, in a vector store; and what dies on it."""

from datetime import timedelta
from pathlib import Path

import pytest
from django.utils import timezone

from jobs import carriage, copies, requests
from jobs.documents import Upload
from jobs.models import (
    Attempt,
    Carriage,
    Carried,
    Carry,
    JobType,
    Lane,
    ProviderFile,
    ProviderStore,
    Role,
    State,
    Status,
    SweepSlot,
)
from reviews.actions import Ask, decide
from reviews.models import Ruling
from tests import payloads
from tests.factories import EMAIL, JobFactory, JobTypeFactory, UserFactory, last_turn

pytestmark = pytest.mark.django_db

TIDES = "The harbour is 12 metres deep at low tide. The pilot must board outside the bar."


@pytest.fixture(autouse=True)
def small(settings):
    """Limits that a test's documents reach."""
    settings.INLINE_BYTES, settings.FILES_BYTES, settings.FILES_IN_REQUEST = 100, 1000, 3


def uploads(count, text=TIDES):
    return tuple(Upload(f"{at}.txt", f"Part {at}. {text}".encode()) for at in range(1, count + 1))


def job_with(count, text=TIDES, **more):
    return JobFactory(
        job_type=JobTypeFactory(max_documents=20, **more), uploads=uploads(count, text)
    )


def kept(sandbox):
    """The names of the files that are at the provider."""
    return sorted(file["filename"] for file in sandbox.files())


@pytest.mark.parametrize(
    ("sizes", "type_carriage", "expected"),
    [
        ([], Carriage.BY_SIZE, Carry.INLINE),
        ([], Carriage.SEARCH, Carry.INLINE),
        ([100], Carriage.BY_SIZE, Carry.INLINE),
        ([101], Carriage.BY_SIZE, Carry.FILES),
        ([500, 500], Carriage.BY_SIZE, Carry.FILES),
        ([500, 501], Carriage.BY_SIZE, Carry.SEARCH),
        ([1] * 4, Carriage.BY_SIZE, Carry.SEARCH),
        ([1], Carriage.SEARCH, Carry.SEARCH),
    ],
)
def test_the_way_follows_from_size_and_number(sizes, type_carriage, expected):
    documents = [(size, "text/plain") for size in sizes]
    assert carriage.way(JobType(carriage=type_carriage), documents) == expected


@pytest.mark.parametrize("size", [1, 101, 5000])
def test_images_are_never_searched(size):
    documents = [(size, "image/png"), (1, "text/plain")]
    way = carriage.way(JobType(carriage=Carriage.SEARCH), documents)
    assert way == (Carry.INLINE if size == 1 else Carry.FILES)


def test_larger_documents_go_up_as_files_and_are_named_in_the_request(driver, sandbox):
    job = job_with(2)
    assert (job.carry, job.progress_total) == (Carry.FILES, 4)
    driver.settle(job)
    assert job.status == Status.NEEDS_REVIEW
    [response] = sandbox.responses()
    assert sandbox.response(response["id"])["documents"] == ["1.txt", "2.txt"]
    assert kept(sandbox) == ["1.txt", "2.txt"]
    assert TIDES[:20] in job.attempts.get().result.text
    stored = last_turn(job).request["input"][0]["content"]
    assert [part.get("filename") for part in stored] == ["1.txt", "2.txt", None]
    assert all("file_id" not in part for part in stored)


def test_every_upload_expires_by_itself(driver, sandbox):
    driver.settle(job_with(1, TIDES * 2))
    [file] = sandbox.files()
    days = (file["expires_at"] - file["created_at"]) / 86_400
    assert 3 <= days < 4


def test_many_documents_are_indexed_and_searched(driver, sandbox, clock):
    sandbox.script({"on": "store_create", "do": {"index": 0.3}})
    job = job_with(4)
    assert (job.carry, job.progress_total) == (Carry.SEARCH, 5)
    said = []

    def rests():
        job.refresh_from_db()
        said.append((job.progress_done, job.progress_total, job.progress_message))
        return job.open_gate is not None

    driver.until(rests, steps=400)
    messages = list(dict.fromkeys(said))
    assert any(done == 2 and "Indexing documents" in text for done, _all, text in messages)
    assert said[-1][:2] == (4, 5)
    [store] = sandbox.vector_stores()
    turn = last_turn(job)
    sent = sandbox.response(turn.response_id)["request"]
    assert sent["tools"][0]["vector_store_ids"] == [store["id"]]
    assert turn.request["tools"][0]["vector_store_ids"] == ["the job's documents"]
    assert "- 4.txt" in turn.request["input"][0]["content"][-1]["text"]


def test_sending_is_a_stage_of_its_own(driver, sandbox, client):
    job = job_with(2)
    with driver.holding_upload():
        driver.reach(lambda: sandbox.files())
        job.refresh_from_db()
        assert (job.status, job.progress_done) == (Status.RUNNING, 1)
        assert job.progress_message == "Sending documents: 0 of 2"
        SweepSlot.objects.create(number=9, beat_at=timezone.now())
        client.force_login(job.requester)
        page = client.get(job.get_absolute_url()).content.decode()
        assert "Sending documents: 0 of 2." in page and "Stage 1 of 4." in page
    driver.settle(job)


def test_the_type_may_always_search(driver, sandbox):
    job = job_with(1, carriage=Carriage.SEARCH)
    driver.settle(job)
    assert sandbox.stats()["store_creates"] == 1
    kinds = set(job.attempts.get().result.tool_calls.values_list("kind", flat=True))
    assert "file_search_call" in kinds


def test_nothing_is_left_at_the_provider_once_the_job_has_settled(driver, sandbox, clock):
    job = job_with(4)
    driver.settle(job)
    assert len(sandbox.files()) == 4
    lead = UserFactory(workspace=job.workspace, roles=[Role.LEAD])
    decide(job.pk, Ask(Ruling.APPROVE, lead, clock()))
    driver.work()
    assert sandbox.files() == [] and sandbox.vector_stores() == []
    states = [*ProviderFile.objects.values_list("state", flat=True)]
    states += [*ProviderStore.objects.values_list("state", flat=True)]
    assert set(states) == {Carried.GONE}


def test_a_second_attempt_uses_the_copies_of_the_first(driver, sandbox, clock):
    job = job_with(2)
    driver.settle(job)
    lead = UserFactory(workspace=job.workspace, roles=[Role.LEAD])
    decide(job.pk, Ask(Ruling.REQUEST_CHANGES, lead, clock(), note="Shorter."))
    driver.settle(job)
    assert sandbox.stats()["uploads"] == 2
    assert sandbox.stats()["creates"] == 2


def test_a_retry_of_a_settled_job_sends_them_anew(driver, sandbox, clock):
    sandbox.script(
        {"on": "create", "do": {"life": {"end": "failed", "error": {"code": "invalid_prompt"}}}}
    )
    job = job_with(2)
    driver.settle(job)
    driver.work()
    assert (job.status, sandbox.files()) == (Status.FAILED, [])
    decide(job.pk, Ask(Ruling.RETRY, job.requester, clock()))
    driver.settle(job)
    assert job.status == Status.NEEDS_REVIEW
    assert sandbox.stats()["uploads"] == 4


def test_a_canceled_job_leaves_nothing_either(driver, sandbox, clock):
    sandbox.script({"on": "store_create", "do": {"index": 1000}})
    job = job_with(4)
    driver.until(lambda: ProviderStore.objects.filter(state=Carried.INDEXING).exists())
    decide(job.pk, Ask(Ruling.CANCEL, job.requester, clock()))
    job.refresh_from_db()
    assert (job.status, job.cost_usd) == (Status.CANCELED, 0)
    driver.work()
    assert sandbox.files() == [] and sandbox.vector_stores() == []
    assert sandbox.stats()["creates"] == 0


def test_a_document_that_the_provider_refuses_fails_the_job_in_its_words(driver, sandbox):
    error = {"message": "That is no file.", "type": "invalid_request_error"}
    sandbox.script({"on": "upload", "do": {"status": 400, "error": error}})
    job = driver.settle(job_with(2))
    assert job.status == Status.FAILED
    assert "That is no file." in job.reason_text
    driver.work()
    assert sandbox.files() == []


def test_a_document_whose_file_is_gone_fails_the_job(driver, sandbox):
    job = job_with(1, TIDES * 2)
    job.documents.get().file.delete(save=False)
    driver.settle(job)
    assert (job.status, job.reason_code) == (Status.FAILED, "document_unusable")


def test_a_refused_store_fails_the_job_in_words_that_any_database_stores(driver, sandbox):
    error = {"message": "No\x00 such thing. " * 200, "type": "invalid_request_error"}
    sandbox.script({"on": "store_create", "do": {"status": 400, "error": error}})
    job = driver.settle(job_with(4))
    assert (job.status, job.reason_code) == (Status.FAILED, "not_indexed")
    assert job.reason_text.startswith("OpenAI cannot index: No")
    assert "\x00" not in job.reason_text


@pytest.mark.parametrize(("length", "rows"), [(1, Attempt), (200, ProviderFile)])
def test_a_document_that_is_out_of_reach_for_a_while_is_read_later(length, rows, driver, sandbox):
    job = JobFactory(uploads=(Upload("notes.txt", b"." * length),))
    file = Path(job.documents.get().file.path)
    away = file.rename(file.with_suffix(".away"))
    driver.until(lambda: rows.objects.filter(failures=3).exists())
    job.refresh_from_db()
    assert not job.is_settled and sandbox.stats()["creates"] == 0
    if rows is Attempt:
        said = "The file of notes.txt cannot be read: No such file or directory. It is tried again"
        assert said in job.reason_text
    away.rename(file)
    driver.settle(job)
    assert job.status == Status.NEEDS_REVIEW
    assert sandbox.stats()["creates"] == 1


def test_a_busy_provider_is_asked_again_later(driver, sandbox, clock):
    sandbox.script({"on": "upload", "do": {"status": 429}, "times": 2})
    job = job_with(2)
    driver.settle(job)
    assert job.status == Status.NEEDS_REVIEW
    assert kept(sandbox) == ["1.txt", "2.txt"]


def test_documents_that_cannot_be_indexed_are_named_in_a_warning(driver, sandbox):
    sandbox.script({"on": "store_create", "do": {"index_fails": ["2.txt"]}})
    job = driver.settle(job_with(4))
    assert job.status == Status.NEEDS_REVIEW
    warning = next(w for w in job.warnings if w["code"] == "not_indexed")
    assert "1 of 4" in warning["text"]


def test_where_nothing_can_be_indexed_the_job_fails(driver, sandbox):
    names = [f"{at}.txt" for at in range(1, 5)]
    sandbox.script({"on": "store_create", "do": {"index_fails": names}})
    job = driver.settle(job_with(4))
    assert (job.status, job.reason_code) == (Status.FAILED, "not_indexed")
    assert sandbox.stats()["creates"] == 0


# What dies on the way -----------------------------------------------------------------------------


@pytest.mark.parametrize("drop", ["before", "after"])
def test_an_upload_that_was_never_answered_is_looked_for_before_it_is_sent_again(
    driver, sandbox, drop
):
    sandbox.script({"on": "upload", "match": {"filename": "1.txt"}, "do": {"drop": drop}})
    job = driver.settle(job_with(2))
    assert job.status == Status.NEEDS_REVIEW
    assert kept(sandbox) == ["1.txt", "2.txt"]
    assert sandbox.stats()["uploaded"] == 2


@pytest.mark.parametrize("drop", ["before", "after"])
def test_a_store_that_was_never_answered_is_looked_for_before_it_is_made_again(
    driver, sandbox, drop
):
    sandbox.script({"on": "store_create", "do": {"drop": drop}})
    job = driver.settle(job_with(4))
    assert job.status == Status.NEEDS_REVIEW
    assert sandbox.stats()["stores_made"] == 1


def test_the_same_name_and_size_in_two_jobs_are_told_apart(driver, sandbox):
    sandbox.script({"on": "upload", "do": {"drop": "after"}, "times": 2})
    jobs = [job_with(1, TIDES * 2) for _ in range(2)]
    for job in jobs:
        driver.settle(job)
    ids = list(ProviderFile.objects.values_list("file_id", flat=True))
    assert len(set(ids)) == len(sandbox.files()) == 2


def test_a_kill_at_any_moment_sends_nothing_twice(driver, sandbox, clock):
    """The sweep dies after every tick, with the calls on their way made or not, and unanswered."""
    job = job_with(4)
    for _round in range(40):
        driver.sweep.tick()
        if any(getattr(call, "kind", "") == "create" for call in driver.sweep.calls.values()):
            driver.reach(lambda: not driver.sweep.calls)
            break
        driver.drop_calls()
    driver.settle(job)
    assert job.status == Status.NEEDS_REVIEW
    assert kept(sandbox) == ["1.txt", "2.txt", "3.txt", "4.txt"]
    stats = sandbox.stats()
    assert (stats["uploaded"], stats["stores_made"], stats["creates"]) == (4, 1, 1)


def test_a_settled_job_whose_upload_was_on_its_way_leaves_nothing(driver, sandbox, clock):
    job = job_with(1, TIDES * 2)
    with driver.holding_upload():
        driver.reach(lambda: sandbox.files())
        decide(job.pk, Ask(Ruling.CANCEL, job.requester, clock()))
    driver.work()
    assert sandbox.files() == []
    assert ProviderFile.objects.get().state == Carried.GONE


def test_a_deletion_that_fails_is_tried_again_and_given_up_in_the_end(driver, sandbox, clock):
    sandbox.script({"on": "file_delete", "do": {"status": 500}, "times": None})
    job = driver.settle(job_with(1, TIDES * 2))
    decide(
        job.pk, Ask(Ruling.CANCEL, UserFactory(workspace=job.workspace, roles=[Role.LEAD]), clock())
    )
    driver.until(lambda: ProviderFile.objects.get().state == Carried.GONE, steps=100)
    file = ProviderFile.objects.get()
    assert file.failures == copies.TIDYING_ENDS_AFTER - 1
    assert "Left to expire" in file.error_text


def test_an_approval_covers_the_documents_however_they_are_carried(driver, sandbox, clock):
    job = job_with(4, lane=Lane.APPROVAL)
    assert (job.status, sandbox.stats()["uploads"]) == (Status.NEEDS_REVIEW, 0)
    lead = UserFactory(workspace=job.workspace, roles=[Role.LEAD])
    seen = job.open_gate.content_hash
    decide(job.pk, Ask(Ruling.APPROVE, lead, clock(), content_hash=seen))
    driver.settle(job)
    assert job.attempts.get().state == State.SUCCEEDED


def test_waiting_for_documents_counts_against_the_time_to_finish(driver, sandbox, clock):
    sandbox.script({"on": "upload", "do": {"status": 429}, "times": None})
    job = job_with(1, TIDES * 2, finish_within=3600)
    driver.settle(job, steps=200)
    assert (job.status, job.reason_code) == (Status.EXPIRED, "not_finished")
    assert Attempt.objects.get().state == State.CANCELED


PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x02\0\0\0\x03\x08\x02" + b"\0" * 40


@pytest.mark.parametrize("carry", [Carry.INLINE, Carry.FILES])
def test_pictures_reach_the_model_as_pictures(driver, sandbox, settings, carry):
    settings.INLINE_BYTES = 5000 if carry == Carry.INLINE else 10
    job_type = JobTypeFactory(max_documents=2)
    job = driver.settle(JobFactory(job_type=job_type, uploads=(Upload("map.png", PNG),)))
    assert (job.status, job.carry) == (Status.NEEDS_REVIEW, carry)
    stored = last_turn(job).request["input"][0]["content"]
    assert stored[0]["type"] == "input_image"
    part = requests.create_body(last_turn(job))["input"][0]["content"][0]
    assert part["detail"] == "auto"
    if carry == Carry.FILES:
        [file] = sandbox.files()
        assert (file["purpose"], part["file_id"]) == ("vision", file["id"])


@pytest.mark.parametrize("count", [2, 4])
def test_copies_that_have_expired_while_somebody_decided_are_sent_anew(
    driver, sandbox, clock, count
):
    job = job_with(count)
    driver.settle(job)
    clock.advance(4 * 86_400)
    reviewer = UserFactory(workspace=job.workspace, roles=[Role.REVIEWER])
    decide(job.pk, Ask(Ruling.REQUEST_CHANGES, reviewer, clock(), note="Shorter."))
    driver.settle(job)
    copied = job.provider_files.values_list("state", flat=True)
    assert sorted(copied) == [Carried.GONE] * count + [Carried.HELD] * count
    assert job.provider_stores.filter(state=Carried.HELD).count() == (count > 3)
    assert kept(sandbox) == [f"{at}.txt" for at in range(1, count + 1)]


def test_a_store_that_expires_before_its_files_is_made_anew(driver, sandbox, clock):
    job = job_with(4)
    driver.settle(job)
    job.provider_files.update(expires_at=clock() + timedelta(days=9))
    clock.advance(3 * 86_400)
    reviewer = UserFactory(workspace=job.workspace, roles=[Role.REVIEWER])
    decide(job.pk, Ask(Ruling.REQUEST_CHANGES, reviewer, clock(), note="Shorter."))
    driver.settle(job)
    assert (job.provider_files.count(), job.provider_stores.count()) == (4, 2)


def test_a_copy_that_arrives_while_the_attempt_begins_to_wait_is_not_waited_for(driver, clock):
    job = job_with(2)
    driver.settle(job)
    copies_there = job.provider_files.filter(state=Carried.HELD).count()
    reviewer = UserFactory(workspace=job.workspace, roles=[Role.REVIEWER])
    decide(job.pk, Ask(Ruling.RETRY, reviewer, clock()))
    attempt = job.attempts.last()
    copies.begin(attempt.pk, now=clock())
    attempt.refresh_from_db()
    assert (copies_there, attempt.next_check_at) == (2, clock())


def test_a_retry_just_before_a_store_is_deleted_goes_on_waiting_for_it(driver, sandbox, clock):
    sandbox.script({"on": "store_create", "do": {"index": 60}})
    job = job_with(4)
    driver.until(lambda: job.provider_stores.filter(state=Carried.INDEXING).exists())
    decide(job.pk, Ask(Ruling.CANCEL, job.requester, clock()))
    as_claimed = ProviderStore.objects.select_related("job").get()
    decide(job.pk, Ask(Ruling.RETRY, job.requester, clock()))
    assert copies.store_call(as_claimed, driver.provider, clock()) is None
    store = ProviderStore.objects.get()
    assert (store.state, store.next_check_at) == (Carried.INDEXING, clock())


@pytest.mark.parametrize(("count", "again"), [(2, 0), (4, 4)])
def test_a_later_turn_after_days_has_copies_sent_anew_only_where_it_names_them(
    driver, sandbox, clock, count, again
):
    outputs = [payloads.function_call("send_email", EMAIL)], [payloads.message("Sent.")]
    for output in outputs:
        life = {"queued": 0, "running": 0, "output": output}
        sandbox.script({"on": "create", "do": {"life": life}})
    tools = [{"type": "function", "name": "send_email"}]
    job = driver.settle(job_with(count, version__tools=tools))
    clock.advance(4 * 86_400)
    lead = UserFactory(workspace=job.workspace, roles=[Role.LEAD])
    decide(job.pk, Ask(Ruling.APPROVE, lead, clock()))
    driver.settle(job)
    assert job.attempts.get().result.text == "Sent."
    assert job.provider_files.count() == count + again
