"""Reading a stored answer anew."""

from decimal import Decimal

import pytest
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.test import Client

from jobs import audit, evidence, lifecycle, outcomes, results
from jobs.access import Action, NotAllowed, NotNow, allowed_actions
from jobs.lifecycle import Reason, Superseded
from jobs.models import FetchedFile, Job, Result, ResultFile, Review, Role, Status, Turn, Verb
from jobs.provider.payloads import Fetched
from jobs.reextract import re_extract, said
from reviews.actions import Ask, decide
from reviews.models import Ruling
from tests.factories import (
    NOW,
    JobFactory,
    UserFactory,
    approve,
    finish,
    start,
)
from tests.payloads import message, response, usage
from tests.steps import verbs

pytestmark = pytest.mark.django_db

SEARCH = {
    "type": "web_search_call",
    "status": "completed",
    "action": {"type": "search", "query": "tides"},
}


def person(job, role=Role.OPERATOR):
    return UserFactory(workspace=job.workspace, roles=[role])


def client_of(user):
    client = Client()
    client.force_login(user)
    return client


def fresh(job):
    return Job.objects.select_related("open_gate__result").get(pk=job.pk)


def blind(monkeypatch):
    """Answers cannot be read, as if the reading had a fault."""

    def broken(*args, **kwargs):
        raise RuntimeError("a fault in the reading")

    monkeypatch.setattr(evidence, "read", broken)


@pytest.fixture
def unreadable(monkeypatch):
    """A job in review whose answer could not be read as it came; it could be now."""
    job = JobFactory(job_type__review=Review.RULES)
    start(job)
    with monkeypatch.context() as patched:
        blind(patched)
        finish(job, "completed", output=[SEARCH, message("The tides.")], usage=usage(1000, 10))
    job = fresh(job)
    assert job.open_gate.result.text == ""
    assert [warning["code"] for warning in job.warnings] == ["unreadable", "empty"]
    return job


def test_an_answer_that_could_not_be_read_is_read_after_the_fault_is_mended(unreadable):
    job, actor = unreadable, person(unreadable)
    before = job.open_gate.content_hash
    done = re_extract(job, actor=actor, now=NOW)
    assert (done.role, done.changed) == (Role.OPERATOR, True)
    job = fresh(job)
    result = job.open_gate.result
    assert (result.text, result.warnings, job.warnings) == ("The tides.", [], [])
    assert result.usage["total_tokens"] == 1010
    assert [call.title for call in result.tool_calls.all()] == ["Searched the web"]
    assert job.open_gate.content_hash == results.stored_hash(result) != before
    assert job.open_gate.reasons == [
        {"code": "re_extracted", "text": "It was read anew while it was in review."}
    ]
    event = job.events.order_by("-seq")[0]
    assert (event.verb, event.actor, event.data["content_hash"]) == (
        Verb.RE_EXTRACTED,
        actor,
        result.content_hash,
    )
    assert list(audit.verify()) == []


def test_costs_are_never_made_anew(unreadable):
    unreadable.attempts.update(cost_usd=Decimal("1.23"))
    Job.objects.filter(pk=unreadable.pk).update(cost_usd=Decimal("1.23"))
    re_extract(unreadable, actor=person(unreadable), now=NOW)
    assert unreadable.attempts.get().cost_usd == fresh(unreadable).cost_usd == Decimal("1.23")


def test_whoever_looked_at_what_was_there_before_is_refused(unreadable):
    lead, looked_at = person(unreadable, Role.LEAD), unreadable.open_gate.content_hash
    re_extract(unreadable, actor=lead, now=NOW)
    with pytest.raises(NotNow, match="Look at it again"):
        decide(unreadable.pk, Ask(Ruling.APPROVE, lead, NOW, content_hash=looked_at))
    now = fresh(unreadable).open_gate.content_hash
    decide(unreadable.pk, Ask(Ruling.APPROVE, lead, NOW, content_hash=now))
    assert fresh(unreadable).status == Status.COMPLETED


def test_what_reads_the_same_keeps_its_hash_and_its_decision_open():
    job = JobFactory(status=Status.NEEDS_REVIEW)
    before = fresh(job).open_gate
    done = re_extract(job, actor=person(job, Role.LEAD), now=NOW)
    after = fresh(job).open_gate
    assert not done.changed and "is the same" in said(job, done)
    assert (after.pk, after.content_hash, after.reasons) == (
        before.pk,
        before.content_hash,
        before.reasons,
    )


def test_rows_are_replaced_and_not_doubled():
    job = JobFactory()
    start(job)
    cited = {"type": "url_citation", "url": "https://x.example/", "start_index": 0, "end_index": 3}
    finish(job, "completed", output=[SEARCH, message("The tides.", annotations=[cited])])
    for _time in range(2):
        re_extract(job, actor=person(job), now=NOW)
    result = Result.objects.get(attempt__job=job)
    assert (result.tool_calls.count(), result.citations.count()) == (1, 1)
    assert verbs(job).count(Verb.RE_EXTRACTED) == 2


def test_a_completed_job_keeps_its_content(unreadable):
    approve(unreadable)
    with pytest.raises(NotNow, match="Reopen it first"):
        re_extract(unreadable, actor=person(unreadable), now=NOW)
    result = Result.objects.get(attempt__job=unreadable)
    assert (result.text, result.tool_calls.count()) == ("", 0)
    lead = person(unreadable, Role.LEAD)
    decide(unreadable.pk, Ask(Ruling.REOPEN, lead, NOW, note="It was empty."))
    re_extract(unreadable, actor=lead, now=NOW)
    job = fresh(unreadable)
    assert job.open_gate.result.text == "The tides."
    assert [reason["code"] for reason in job.open_gate.reasons] == ["reopened"]


def test_a_completed_job_may_get_new_evidence_for_the_same_content(monkeypatch):
    job = JobFactory(status=Status.COMPLETED)
    Result.objects.filter(attempt__job=job).update(warnings=[{"code": "odd", "text": "Odd."}])
    done = re_extract(job, actor=person(job), now=NOW)
    assert not done.changed and fresh(job).status == Status.COMPLETED
    assert Result.objects.get(attempt__job=job).warnings == fresh(job).warnings == []


def test_an_answer_of_a_job_that_failed_becomes_evidence_and_no_more(monkeypatch):
    job = JobFactory(job_type__max_attempts=1)
    start(job)
    with monkeypatch.context() as patched:
        blind(patched)
        finish(job, "failed", output=[SEARCH])
    assert not Result.objects.exists()
    done = re_extract(job, actor=person(job), now=NOW)
    assert (done.changed, done.result.deliverable) == (True, False)
    assert fresh(job).status == Status.FAILED
    assert done.result.tool_calls.get().summary == "tides"


def test_files_that_were_fetched_are_kept():
    job = JobFactory()
    turn = start(job)
    note = {
        "type": "container_file_citation",
        "container_id": "cntr_1",
        "file_id": "cfile_1",
        "filename": "tides.csv",
    }
    answer = response(id=turn.response_id, output=[message("Here.", annotations=[note])])
    fetched = (
        Fetched("cntr_1", "cfile_1", "tides.csv", b"06:12"),
        Fetched("cntr_1", "cfile_2", "gone.csv", None, "the container has expired."),
    )
    answer = type(answer)(**{**vars(answer), "files": fetched})
    outcomes.looked_up(turn.pk, answer, now=NOW)
    before = fresh(job).open_gate.content_hash
    done = re_extract(job, actor=person(job), now=NOW)
    assert (done.changed, fresh(job).open_gate.content_hash) == (False, before)
    file = ResultFile.objects.get()
    with file.file.open() as stored:
        assert stored.read() == b"06:12"
    assert [warning["code"] for warning in done.result.warnings] == ["file_missing"]
    # A file that was lost since is missing, and is said to be.
    file.file.storage.delete(file.file.name)
    done = re_extract(job, actor=person(job), now=NOW)
    assert done.changed and not ResultFile.objects.exists()
    assert "no longer where it was kept" in done.result.warnings[0]["text"]
    assert FetchedFile.objects.count() == 2


@pytest.mark.parametrize("reads", [False, True])
def test_files_of_an_answer_that_was_not_read_are_there_once_it_is(reads, monkeypatch):
    job = JobFactory()
    turn = start(job)
    note = {"type": "container_file_citation", "container_id": "c", "file_id": "f"}
    answer = response(id=turn.response_id, output=[message("Here.", annotations=[note])])
    answer = type(answer)(**{**vars(answer), "files": (Fetched("c", "f", "", b"06:12"),)})
    with monkeypatch.context() as patched:
        blind(patched)
        outcomes.looked_up(turn.pk, answer, now=NOW, reads=reads)
    assert not ResultFile.objects.exists()
    re_extract(job, actor=person(job), now=NOW)
    with ResultFile.objects.get().file.open() as stored:
        assert stored.read() == b"06:12"
    # Of an answer that was stored before files were fetched at all, they are said to be missing.
    FetchedFile.objects.all().delete()
    done = re_extract(job, actor=person(job), now=NOW)
    assert "was not fetched with the answer" in done.result.warnings[0]["text"]


def test_without_a_stored_answer_there_is_nothing_to_read():
    job = JobFactory(status=Status.RUNNING)
    assert not allowed_actions(person(job), job)[Action.RE_EXTRACT].allowed
    with pytest.raises(NotNow, match="no answer of OpenAI is stored"):
        re_extract(job, actor=person(job), now=NOW)


def test_a_stored_answer_that_is_none_is_said_to_be(unreadable):
    Turn.objects.filter(attempt__job=unreadable).update(payload=b"gibberish")
    with pytest.raises(NotNow, match="is no response"):
        re_extract(unreadable, actor=person(unreadable), now=NOW)


@pytest.mark.parametrize("role", [Role.REQUESTER, Role.REVIEWER, Role.AUDITOR])
def test_it_is_not_for_everybody(role, unreadable):
    with pytest.raises(NotAllowed):
        re_extract(unreadable, actor=person(unreadable, role), now=NOW)


def test_a_gate_that_was_decided_meanwhile_is_not_judged_anew(unreadable):
    gate = unreadable.open_gate
    approve(unreadable)
    with lifecycle.locked(unreadable.pk) as job, pytest.raises(Superseded):
        lifecycle.rejudge(job, gate, content_hash="0" * 64, reasons=(Reason("x", "y"),))


# Doors


def test_the_page_asks_first_and_then_says_what_was_done(unreadable):
    url, client = f"/jobs/{unreadable.ref}/re-extract/", client_of(person(unreadable))
    asked = client.get(url).content.decode()
    assert "Nothing is sent to OpenAI" in asked
    assert fresh(unreadable).open_gate.result.text == ""
    answer = client.post(url, follow=True)
    assert answer.redirect_chain == [(f"/jobs/{unreadable.ref}/review/", 302)]
    assert "its result is another now" in answer.content.decode()
    assert fresh(unreadable).open_gate.result.text == "The tides."


def test_the_page_says_why_not(unreadable):
    approve(unreadable)
    answer = client_of(person(unreadable)).post(f"/jobs/{unreadable.ref}/re-extract/")
    assert answer.status_code == 409 and "Reopen it first" in answer.content.decode()


def test_the_pages_offer_it_to_those_who_may(unreadable):
    link = f'href="/jobs/{unreadable.ref}/re-extract/"'
    for role, offered in ((Role.LEAD, True), (Role.OPERATOR, True), (Role.REVIEWER, False)):
        client = client_of(person(unreadable, role))
        for url in (f"/jobs/{unreadable.ref}/", f"/jobs/{unreadable.ref}/review/"):
            assert (link in client.get(url).content.decode()) == offered


def test_the_command_reads_several_and_reports_each(unreadable, shell):
    other = JobFactory(status=Status.RUNNING)
    actor = UserFactory(is_superuser=True)
    ran = shell("reextract", unreadable.ref, other.ref, "--as", actor.username, "--json")
    assert ran.code == 1
    first, second = ran.json["jobs"]
    assert (first["ref"], first["done"], first["changed"]) == (unreadable.ref, True, True)
    assert (second["done"], "no answer of OpenAI" in second["text"]) == (False, True)
    ran = shell("reextract", unreadable.ref, "--as", actor.username)
    assert (ran.code, "is the same" in ran.out) == (0, True)


def test_the_admin_reads_anew_and_says_what_it_skipped(unreadable):
    other = JobFactory(status=Status.RUNNING)
    root = client_of(UserFactory(is_superuser=True, is_staff=True))
    data = {"action": "read_anew", ACTION_CHECKBOX_NAME: [str(unreadable.pk), str(other.pk)]}
    page = root.post("/admin/jobs/job/", data, follow=True).content.decode()
    assert f"The answer of {unreadable.ref} was read anew" in page
    assert f"{other.ref} was skipped" in page
