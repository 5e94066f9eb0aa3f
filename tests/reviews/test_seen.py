"""Evidence as rows, ticked as seen by a person at a gate."""

import io
import json

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from jobs.access import NotNow
from jobs.documents import Upload
from jobs.models import Job, JobType, Role, Status
from reviews import exhibits, seen
from reviews.actions import Ask, decide
from reviews.models import Decision, Ruling, Seen
from tests.factories import (
    NOW,
    JobFactory,
    JobTypeFactory,
    UserFactory,
    WorkspaceFactory,
    finish,
    start,
    wants,
)
from tests.payloads import message

pytestmark = pytest.mark.django_db

HTMX = {"HX-Request": "true"}
FOUND = ["High tide was at noon.", "Low tide came six hours later."]


@pytest.fixture
def workspace():
    return WorkspaceFactory()


@pytest.fixture
def reviewer(workspace):
    return UserFactory(username="ruth", workspace=workspace, roles=[Role.REVIEWER])


@pytest.fixture
def job(workspace):
    return quoting(workspace)


def quoting(workspace, quotes=(*FOUND, "It never rained."), output=(), **fields):
    """A review of a result that quotes a document, and once what is in none."""
    schema = {"version__output_schema": {"type": "object"}}
    job_type = JobTypeFactory(check_quotes=True, **{"evidence_seen": True, **schema, **fields})
    upload = Upload("tides.txt", "\n".join(FOUND).encode())
    job = JobFactory(workspace=workspace, job_type=job_type, uploads=(upload,))
    start(job)
    points = [{"claim": "One", "quote": quote} for quote in quotes]
    finish(job, "completed", output=[*output, message(json.dumps({"points": points}))])
    return again(job)


def again(job):
    return Job.objects.select_related("open_gate__result__attempt", "job_type").get(pk=job.pk)


def rows(job):
    return exhibits.at_gate(job, job.open_gate)


def tick_all(job, person):
    for row in rows(job):
        seen.tick(job, job.open_gate, person, row.key, now=NOW)


def approve(job, person, **fields):
    return decide(job.pk, Ask(Ruling.APPROVE, person, NOW, **fields))


def send(client, user, job, headers=HTMX, **data):
    client.force_login(user)
    url = reverse("reviews:evidence_seen", args=[job.ref])
    return client.post(url, data, headers=headers)


def said(answer):
    return " ".join(answer.content.decode().split())


# Rows -------------------------------------------------------------------------------------------


def test_each_quote_leads_to_its_place_and_what_was_not_found_comes_first(job):
    warned, first, second = rows(job)
    assert (warned.group, warned.bad, warned.where) == (
        exhibits.WARNINGS,
        True,
        "Quote not found, $.points[2]",
    )
    assert (first.text, first.where, first.beside) == (FOUND[0], "tides.txt", True)
    assert second.url == f"/jobs/{job.ref}/documents/1/?quote=2&attempt=1#quote"


def test_sources_are_rows_once_and_lead_to_their_number_beside_the_result(workspace):
    job = JobFactory(workspace=workspace)
    start(job)
    cited = [
        {"type": "url_citation", "url": url, "title": "Tides", "start_index": 0, "end_index": 5}
        for url in ("https://a.example/", "https://a.example/", "javascript:alert(1)")
    ]
    finish(job, "completed", output=[message("Tides follow the moon.", annotations=cited)])
    found = rows(again(job))
    assert [(row.group, row.where, row.url) for row in found] == [
        (exhibits.SOURCES, "a.example", "#r1-source-1"),
        (exhibits.SOURCES, "", "#r1-source-2"),
    ]


def test_the_steps_of_tools_are_rows_and_thoughts_are_none(workspace):
    thought = {
        "type": "reasoning",
        "id": "rs_1",
        "summary": [{"type": "summary_text", "text": "Hm."}],
    }
    search = {
        "type": "web_search_call",
        "id": "ws_1",
        "status": "completed",
        "action": {"type": "search", "query": "tides"},
    }
    job = quoting(workspace, quotes=(), output=[thought, search])
    [step] = rows(job)
    assert (step.group, step.url) == (exhibits.STEPS, "#step-2")


def test_what_waits_before_a_run_rests_on_nothing_yet_and_is_approved(workspace, reviewer):
    job_type = JobTypeFactory(lane="approval", evidence_seen=True)
    job = JobFactory(workspace=workspace, job_type=job_type)
    assert rows(again(job)) == []
    assert approve(job, reviewer)


def test_at_a_tool_call_the_steps_so_far_are_the_evidence(workspace, reviewer):
    job = wants(workspace=workspace)
    JobType.objects.filter(pk=job.job_type_id).update(evidence_seen=True)
    job = again(job)
    found = rows(job)
    assert [row.group for row in found] == [exhibits.STEPS]
    with pytest.raises(NotNow):
        approve(job, reviewer)
    tick_all(job, reviewer)
    assert approve(job, reviewer)


def test_more_than_a_page_shows_is_one_row_that_leads_to_the_whole(
    workspace, reviewer, monkeypatch
):
    monkeypatch.setattr(exhibits, "MOST_SHOWN", 2)
    job = quoting(workspace, quotes=[*FOUND, "High tide", "Low tide"])
    found = rows(job)
    assert [row.text for row in found[:2]] == FOUND
    assert found[2].text == "2 more, in the whole of the evidence"
    whole = reverse("jobs:result_download", args=[job.ref])
    assert found[2].url == f"{whole}?format=json&attempt=1"
    for row in found[:2]:
        seen.tick(job, job.open_gate, reviewer, row.key, now=NOW)
    assert "2 of 3" in seen.lacking(job, job.open_gate, reviewer)
    seen.tick(job, job.open_gate, reviewer, found[2].key, now=NOW)
    assert approve(job, reviewer)


# Ticks ------------------------------------------------------------------------------------------


def test_a_tick_is_kept_once_by_person_and_gate_and_taken_back(job, reviewer, workspace):
    gate, key = job.open_gate, rows(job)[0].key
    for _ in range(2):
        seen.tick(job, gate, reviewer, key, now=NOW)
    assert Seen.objects.count() == 1
    other = UserFactory(workspace=workspace, roles=[Role.LEAD])
    assert seen.keys(gate, other) == frozenset()
    seen.untick(gate, other, key)
    assert seen.keys(gate, reviewer) == {key}
    seen.untick(gate, reviewer, key)
    assert not Seen.objects.exists()


def test_a_tick_goes_with_what_was_shown(job, reviewer):
    tick_all(job, reviewer)
    assert not seen.lacking(job, job.open_gate, reviewer)
    citation = job.open_gate.result.citations.get(position=1)
    citation.quote = "High tide was at one."
    citation.save()
    assert "2 of 3" in seen.lacking(job, job.open_gate, reviewer)


@pytest.mark.parametrize("key", ["", "citation:1:0", "x" * 5_000, "a\x00b"])
def test_what_is_not_there_is_not_ticked(client, job, reviewer, key):
    answer = send(client, reviewer, job, tick=key)
    assert "not there any more" in said(answer)
    assert send(client, reviewer, job, headers={}, tick=key).status_code == 409
    assert not Seen.objects.exists()


def test_ticks_by_htmx_bring_the_rows_and_the_verbs(client, job, reviewer):
    first, *rest = rows(job)
    page = said(send(client, reviewer, job, tick=first.key))
    assert "1 of 3 seen" in page
    assert 'id="offers" hx-swap-oob="morph"' in page
    assert "data-chord" not in page
    for row in rest:
        page = said(send(client, reviewer, job, tick=row.key))
    assert "3 of 3 seen" in page
    assert "data-chord" in page
    page = said(send(client, reviewer, job, untick=first.key))
    assert "2 of 3 seen" in page
    assert "data-chord" not in page


def test_without_javascript_a_tick_leads_back_to_the_rows(client, job, reviewer):
    answer = send(client, reviewer, job, headers={}, tick=rows(job)[0].key)
    assert (answer.status_code, answer.url) == (302, f"/jobs/{job.ref}/review/#evidence")
    assert 'aria-pressed="true"' in said(client.get(answer.url))


def test_looking_at_the_page_ticks_nothing(client, job, reviewer):
    client.force_login(reviewer)
    with CaptureQueriesContext(connection) as queries:
        page = client.get(reverse("reviews:job_review", args=[job.ref]))
    assert "0 of 3 seen" in said(page)
    writes = {"INSERT", "UPDATE", "DELETE"}
    assert not [query for query in queries if query["sql"].split()[0] in writes]


def test_all_at_once_is_for_types_that_want_no_single_look(client, workspace, job, reviewer):
    page = said(send(client, reviewer, job, every="1"))
    assert "piece by piece" in page
    assert not Seen.objects.exists()
    relaxed = quoting(workspace, evidence_seen=False)
    client.force_login(reviewer)
    assert "Tick all as seen" in said(client.get(reverse("reviews:job_review", args=[relaxed.ref])))
    assert "3 of 3 seen" in said(send(client, reviewer, relaxed, every="1"))


def test_onlookers_see_the_rows_and_tick_none(client, workspace, job):
    auditor = UserFactory(workspace=workspace, roles=[Role.AUDITOR])
    client.force_login(auditor)
    page = said(client.get(reverse("reviews:job_review", args=[job.ref])))
    assert FOUND[0] in page
    assert 'class="tick"' not in page
    assert send(client, auditor, job, tick=rows(job)[0].key).status_code == 403


# Approval ---------------------------------------------------------------------------------------


def test_an_approval_wants_all_of_it_seen_by_this_person(client, workspace, job, reviewer):
    lead = UserFactory(workspace=workspace, roles=[Role.LEAD])
    tick_all(job, lead)
    with pytest.raises(NotNow, match="You have seen 0 of 3 pieces of evidence"):
        approve(job, reviewer, content_hash=job.open_gate.content_hash)
    client.force_login(reviewer)
    page = said(client.get(reverse("reviews:job_review", args=[job.ref])))
    assert "You have seen 0 of 3 pieces of evidence" in page
    assert approve(job, lead).actor == lead


def test_the_rule_holds_at_the_page_and_at_the_command(client, job, reviewer):
    client.force_login(reviewer)
    url = reverse("reviews:job_approve", args=[job.ref])
    answer = client.post(url, {"content_hash": job.open_gate.content_hash})
    assert answer.status_code == 409
    assert "0 of 3" in said(answer)
    with pytest.raises(CommandError, match="0 of 3"):
        call_command("decide", job.ref, "approve", "--as", "ruth", stdout=io.StringIO())
    assert not Decision.objects.exists()


@pytest.mark.parametrize("ruling", [Ruling.REJECT, Ruling.REQUEST_CHANGES, Ruling.ESCALATE])
def test_only_approvals_want_it(job, reviewer, ruling):
    assert decide(job.pk, Ask(ruling, reviewer, NOW, note="Because."))


def test_a_new_result_is_seen_anew(job, reviewer):
    tick_all(job, reviewer)
    decide(job.pk, Ask(Ruling.REQUEST_CHANGES, reviewer, NOW, note="Shorter."))
    start(job)
    points = [{"claim": "Two", "quote": FOUND[0]}]
    finish(job, "completed", output=[message(json.dumps({"points": points}))])
    with pytest.raises(NotNow, match="0 of 1"):
        approve(job, reviewer)


def test_a_type_without_the_rule_wants_none(workspace, reviewer):
    assert approve(quoting(workspace, evidence_seen=False), reviewer)
    assert (
        JobFactory(workspace=workspace, status=Status.NEEDS_REVIEW).job_type.evidence_seen is False
    )
