"""The review page, and the one door of every ruling."""

import re
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils.html import escape

from jobs import lapses, outcomes
from jobs.documents import Upload
from jobs.models import Job, Lane, Role, State, Status, WebhookReceipt
from reviews import offers
from reviews.actions import Ask, decide
from reviews.models import Decision, ReviewerNote, Ruling
from reviews.notes import write_note
from tests import payloads
from tests.factories import (
    NOW,
    JobFactory,
    JobTypeFactory,
    UserFactory,
    WorkspaceFactory,
    become_unknown,
    finish,
    start,
    wants,
)

pytestmark = pytest.mark.django_db


@pytest.fixture
def workspace():
    return WorkspaceFactory(slug="quality")


@pytest.fixture
def reviewer(workspace):
    return UserFactory(username="ruth", workspace=workspace, roles=[Role.REVIEWER])


@pytest.fixture
def lead(workspace):
    return UserFactory(username="lee", workspace=workspace, roles=[Role.LEAD])


@pytest.fixture
def job(workspace):
    return JobFactory(workspace=workspace, status=Status.NEEDS_REVIEW)


INBOX = "/w/quality/reviews/"


def said(answer):
    return " ".join(answer.content.decode().split())


def desk(client, user, job):
    client.force_login(user)
    return client.get(reverse("reviews:job_review", args=[job.ref]))


def press(client, user, job, ruling, note="", *, seen=None, **more):
    """Press a button of the review page, as it was when `seen` was its content."""
    client.force_login(user)
    if seen is None:
        seen = job.open_gate.content_hash if job.open_gate else ""
    data = {"note": note, "content_hash": seen, **more}
    return client.post(offers.url_of(ruling, job), data)


# The page ---------------------------------------------------------------------------------------


def test_it_shows_what_to_judge_and_what_it_rests_on(client, workspace, reviewer, lead):
    requester = UserFactory(username="rea", workspace=workspace, roles=[Role.REQUESTER])
    job = JobFactory(
        workspace=workspace,
        requester=requester,
        status=Status.NEEDS_REVIEW,
        uploads=(Upload("tides.txt", b"High at noon."),),
    )
    write_note(job, author=lead, text="Mind the summer time.", now=NOW)
    page = said(desk(client, reviewer, job))
    for words in (
        "The answer.",
        "Results of this type are always reviewed.",
        "tides",
        "tides.txt",
        "rea",
        "gpt-5.6-terra",
        "Mind the summer time.",
        job.open_gate.content_hash[:12],
    ):
        assert words in page
    assert f'href="/jobs/{job.ref}/documents/1/"' in page
    assert f'href="/jobs/{job.ref}/documents/1/file/"' in page
    assert f'value="{job.open_gate.content_hash}"' in page


def test_before_a_run_it_shows_just_what_would_be_sent(client, workspace, reviewer):
    job_type = JobTypeFactory(
        lane=Lane.APPROVAL,
        max_documents=1,
        version__instructions="Write <b>letters</b>.",
        version__tools=[{"type": "web_search"}],
        version__options={"max_output_tokens": 321},
    )
    job = JobFactory(
        workspace=workspace, job_type=job_type, uploads=(Upload("order.txt", b"Order 2231."),)
    )
    answer = desk(client, reviewer, job)
    page = said(answer)
    for words in ("What would be sent", "Topic: tides", "web_search", "321", "order.txt"):
        assert words in page
    assert escape("Write <b>letters</b>.") in page
    assert '"instructions"' in answer.context["case"].planned.body
    assert "metadata" not in answer.context["case"].planned.body


def test_a_long_input_is_folded_and_a_short_one_stands_as_it_is(client, workspace, reviewer):
    short, long = "High\ntide", "word " * 100
    for text in (short, long):
        job = JobFactory(workspace=workspace, status=Status.NEEDS_REVIEW, input={"topic": text})
        page = desk(client, reviewer, job).content.decode()
        assert (f'dir="auto">{text}\n</dd>' in page) == (text == short)
        assert ("<summary>word word" in page) == (text == long)
        assert text in page


def test_what_changed_and_what_was_decided_stays_in_sight(client, job, reviewer, lead):
    press(client, reviewer, job, Ruling.REQUEST_CHANGES, "Name the year.")
    start(job)
    finish(job, "completed", output=[payloads.message("In 2026.")])
    job.refresh_from_db()
    press(client, reviewer, job, Ruling.ESCALATE, "It names a customer.")
    page = said(desk(client, lead, job))
    assert "In 2026." in page
    assert "The answer." not in page
    assert "of attempt 2" in page
    assert "It ran again with these words:" in page
    assert "ruth escalated it:" in page
    assert page.count("It names a customer.") == 2
    assert "Changes requested" in page


def test_requesters_are_refused_and_read_nothing_of_the_result(client, job):
    answer = desk(client, job.requester, job)
    assert answer.status_code == 403
    assert "not shown to requesters" in said(answer)
    assert "The answer." not in said(answer)


def test_verbs_that_are_off_stand_there_with_their_reason(client, workspace, reviewer):
    job = JobFactory(workspace=workspace, job_type=JobTypeFactory(lane=Lane.APPROVAL))
    page = said(desk(client, reviewer, job))
    assert "it has no result yet to change. Approve or reject it." in page
    assert "it has not run yet. Approve it instead." in page
    assert page.count('type="button" disabled') == 2


def test_who_requested_it_reads_why_somebody_else_must_approve(client, workspace):
    own = UserFactory(workspace=workspace, roles=[Role.REQUESTER, Role.LEAD])
    job = JobFactory(workspace=workspace, requester=own, status=Status.NEEDS_REVIEW)
    page = said(desk(client, own, job))
    assert "You requested this job, so somebody else must approve it." in page
    assert offers.url_of(Ruling.APPROVE, job) not in page
    answer = press(client, own, job, Ruling.APPROVE)
    assert answer.status_code == 403
    assert "somebody else must approve it" in said(answer)


@pytest.mark.parametrize("role", [Role.AUDITOR, Role.OPERATOR])
def test_onlookers_see_it_and_are_offered_what_they_may_alone(client, workspace, job, role):
    page = said(desk(client, UserFactory(workspace=workspace, roles=[role]), job))
    assert "The answer." in page
    assert f"Your role ({role.label.lower()}) does not allow “Approve”." in page
    assert offers.url_of(Ruling.APPROVE, job) not in page
    assert (offers.url_of(Ruling.CANCEL, job) in page) == (role == Role.OPERATOR)


def test_a_job_that_waits_for_nobody_says_so(client, workspace, lead):
    page = said(desk(client, lead, JobFactory(workspace=workspace, status=Status.COMPLETED)))
    assert "not waiting for a decision" in page
    assert "Reopen" in page
    page = said(desk(client, lead, JobFactory(workspace=workspace)))
    assert "No result yet" in page


def test_more_notes_and_decisions_ask_no_more_of_the_database(client, job, lead):
    counts = []
    for _ in range(2):
        write_note(job, author=lead, text="Look.", now=NOW)
        client.force_login(lead)
        with CaptureQueriesContext(connection) as queries:
            desk(client, lead, job)
        counts.append(len(queries))
        press(client, lead, job, Ruling.REQUEST_CHANGES, "Shorter.")
        start(job)
        finish(job, "completed", output=[payloads.message(f"Version {len(counts)}.")])
        job.refresh_from_db()
    assert counts[0] == counts[1]
    assert counts[0] <= 46


# Deciding ---------------------------------------------------------------------------------------


def test_an_approval_is_one_press_and_leads_to_the_next_review(client, workspace, job, reviewer):
    coming = JobFactory(workspace=workspace, status=Status.NEEDS_REVIEW)
    answer = press(client, reviewer, job, Ruling.APPROVE, next=INBOX)
    assert (answer.status_code, answer.url) == (302, INBOX)
    page = said(client.get(answer.url))
    assert f"Approved {job.ref}." in page
    assert f'Next: <a href="/jobs/{coming.ref}/review/">{coming.ref}</a>.' in page
    decision = Decision.objects.get()
    assert (decision.job, decision.actor, decision.ruling) == (job, reviewer, Ruling.APPROVE)
    answer = press(client, reviewer, coming, Ruling.APPROVE, next=INBOX)
    assert "Nothing else waits for you." in said(client.get(answer.url))


@pytest.mark.parametrize(
    "following",
    ["", "//evil.example/x", "https://evil.example/", "javascript:alert(1)", "\\\\evil", "word"],
)
def test_it_leads_nowhere_outside(client, job, reviewer, following):
    answer = press(client, reviewer, job, Ruling.APPROVE, next=following)
    assert (answer.status_code, answer.url) == (302, f"/jobs/{job.ref}/")


def test_one_reason_for_several_verbs_is_said_once(client, workspace, lead):
    reviewer = UserFactory(workspace=workspace, roles=[Role.REVIEWER])
    job = JobFactory(workspace=workspace, status=Status.NEEDS_REVIEW)
    decide(job.pk, Ask(Ruling.ESCALATE, lead, NOW, note="Too big for me."))
    client.force_login(reviewer)
    page = said(client.get(reverse("reviews:job_review", args=[job.ref])))
    assert page.count("This review was escalated to level 2: a lead decides.") == 1
    assert "<strong>Approve, Request changes, Reject, Escalate, Retry, Cancel:</strong>" in page


@pytest.mark.parametrize("ruling", Ruling)
def test_every_rulings_page_says_what_it_does_and_asks_without_deciding(
    client, workspace, lead, ruling
):
    job = _job_for(ruling, workspace)
    operator = UserFactory(workspace=workspace, roles=[Role.OPERATOR])
    actor = operator if ruling in (Ruling.SETTLE, Ruling.ARCHIVE) else lead
    client.force_login(actor)
    url = offers.url_of(ruling, job)
    before = job.event_count
    with CaptureQueriesContext(connection) as queries:
        answer = client.get(url)
    assert answer.status_code == 200
    page = said(answer)
    assert escape(offers.consequence(ruling, job)) in page
    asked = "Cancel the job" if ruling is Ruling.CANCEL else ruling.label
    assert f"<h1>{asked}?</h1>" in page
    assert f"</svg>{asked}</button>" in page
    assert f'action="{url}"' in page
    assert not [q for q in queries if q["sql"].split()[0] in ("INSERT", "UPDATE", "DELETE")]
    # What it showed is what it sends.
    form = answer.context["form"]
    data = {"note": "Because.", "content_hash": form["content_hash"].value()}
    if "assignee" in form.fields:
        data["assignee"] = form["assignee"].value()
    assert client.post(url, data).status_code == 302
    job.refresh_from_db()
    assert job.event_count > before
    assert Decision.objects.get(job=job, ruling=ruling).note == "Because."


def _job_for(ruling, workspace):
    statuses = {Ruling.REOPEN: Status.COMPLETED, Ruling.ARCHIVE: Status.FAILED}
    if ruling is Ruling.REFUSE:
        return wants(workspace=workspace)
    if ruling not in (Ruling.SETTLE, Ruling.USE_RESULT):
        status = statuses.get(ruling, Status.NEEDS_REVIEW)
        return JobFactory(workspace=workspace, status=status)
    job = JobFactory(workspace=workspace)
    turn = become_unknown(job)
    if ruling is Ruling.USE_RESULT:
        lapses.unknown_wait_over(turn.pk, now=NOW)
        late = payloads.response("completed", id="resp_late")
        outcomes.accepted(turn.pk, late, now=NOW, adopted=True)
    job.refresh_from_db()
    return job


@pytest.mark.parametrize("ruling", [Ruling.REJECT, Ruling.RETRY, Ruling.CANCEL])
def test_what_cannot_be_undone_is_asked_again_with_the_words_kept(client, job, reviewer, ruling):
    page = said(desk(client, reviewer, job))
    url = offers.url_of(ruling, job)
    assert f'formaction="{url}" name="ask" value="first"' in page
    answer = press(client, reviewer, job, ruling, "Not our topic.", ask="first", next=INBOX)
    assert answer.status_code == 200
    assert "Not our topic." in said(answer)
    assert "autofocus" not in said(answer)
    assert f'value="{job.open_gate.content_hash}"' in said(answer)
    assert f'value="{INBOX}"' in said(answer)
    assert not Decision.objects.exists()


@pytest.mark.parametrize("ruling", [Ruling.REQUEST_CHANGES, Ruling.ESCALATE])
def test_what_needs_words_asks_for_them_only_where_none_came(client, job, reviewer, ruling):
    answer = press(client, reviewer, job, ruling, "  ", ask="words", next=INBOX)
    assert answer.status_code == 200
    assert re.search(r"<textarea name=\"note\"[^>]* autofocus", said(answer))
    assert not Decision.objects.exists()
    answer = press(client, reviewer, job, ruling, "Name the year.", ask="words", next=INBOX)
    assert (answer.status_code, answer.url) == (302, INBOX)
    assert Decision.objects.get().note == "Name the year."


@pytest.mark.parametrize("ruling", [Ruling.REQUEST_CHANGES, Ruling.REJECT, Ruling.ESCALATE])
def test_missing_words_are_asked_for_beside_their_field(client, job, reviewer, ruling):
    answer = press(client, reviewer, job, ruling, " ")
    page = said(answer)
    assert answer.status_code == 422
    assert f"{ruling.label} needs a note that says" in page
    assert 'aria-invalid="true"' in page
    assert 'aria-describedby="id_note_' in page
    assert 'id="id_note_error"' in page
    assert not Decision.objects.exists()


# Coming second ----------------------------------------------------------------------------------


def test_the_second_reads_who_was_first_and_keeps_their_words(client, job, reviewer, lead):
    seen = job.open_gate.content_hash
    press(client, lead, job, Ruling.REJECT, "Not sound.")
    job.refresh_from_db()
    answer = press(client, reviewer, job, Ruling.REQUEST_CHANGES, "Shorter <b>.", seen=seen)
    page = said(answer)
    assert answer.status_code == 409
    assert "Somebody else was first" in page
    assert "lee decided at" in page
    assert "(rejected)" in page
    assert "Not sound." in page
    assert escape("Shorter <b>.") in page
    assert f'href="/jobs/{job.ref}/"' in page
    assert Decision.objects.get().actor == lead


@pytest.mark.parametrize("ruling", [Ruling.APPROVE, Ruling.REJECT, Ruling.CANCEL, Ruling.RETRY])
def test_an_old_page_cannot_decide_over_a_newer_result(client, job, reviewer, lead, ruling):
    seen = job.open_gate.content_hash
    press(client, lead, job, Ruling.REQUEST_CHANGES, "Shorter.")
    start(job)
    finish(job, "completed", output=[payloads.message("Shorter.")])
    for more in ({}, {"ask": "first"}):
        answer = press(client, reviewer, job, ruling, "Because.", seen=seen, **more)
        if not more:
            assert answer.status_code == 409
            assert "Look at it again" in said(answer)
            assert f'href="/jobs/{job.ref}/review/"' in said(answer)
        else:
            # Asked again, it still stands for what was looked at, and is refused in the end.
            assert f'value="{seen}"' in said(answer)
    assert Decision.objects.count() == 1


@pytest.mark.parametrize("ruling", [Ruling.APPROVE, Ruling.REJECT, Ruling.CANCEL])
def test_who_looked_at_nothing_is_told_to_look_first(client, job, reviewer, ruling):
    client.force_login(reviewer)
    answer = client.post(offers.url_of(ruling, job), {"note": "Because."})
    assert answer.status_code == 409
    assert "Look first" in said(answer)
    assert not Decision.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_of_two_who_press_at_once_one_decides_and_the_other_reads_who(job, reviewer, lead):
    seen = job.open_gate.content_hash
    ready = threading.Barrier(2)
    clients = {person: Client() for person in (reviewer, lead)}
    for person, client in clients.items():
        client.force_login(person)

    def approve(client):
        try:
            ready.wait(10)
            return client.post(offers.url_of(Ruling.APPROVE, job), {"content_hash": seen})
        finally:
            connection.close()

    with ThreadPoolExecutor(2) as pool:
        answers = dict(zip(clients, pool.map(approve, clients.values()), strict=True))
    assert sorted(answer.status_code for answer in answers.values()) == [302, 409]
    winner = Decision.objects.get().actor
    loser = next(person for person in clients if person != winner)
    assert answers[winner].status_code == 302
    assert f"{winner} decided at" in said(answers[loser])


# Requesters, and settling -----------------------------------------------------------------------


def test_a_requester_cancels_from_the_status_page_without_seeing_the_result(client, job):
    client.force_login(job.requester)
    page = said(client.get(job.get_absolute_url()))
    url = offers.url_of(Ruling.CANCEL, job)
    assert f'href="{url}"' in page
    answer = client.get(url)
    assert "The answer." not in said(answer)
    seen = answer.context["form"]["content_hash"].value()
    answer = client.post(url, {"content_hash": seen})
    assert (answer.status_code, answer.url) == (302, job.get_absolute_url())
    assert f"Canceled {job.ref}." in said(client.get(answer.url))
    job.refresh_from_db()
    assert job.status == Status.CANCELED


def test_a_cancel_of_what_has_come_to_review_meanwhile_is_asked_again(client, workspace):
    job = JobFactory(workspace=workspace, status=Status.RUNNING)
    client.force_login(job.requester)
    seen = client.get(offers.url_of(Ruling.CANCEL, job)).context["form"]["content_hash"].value()
    finish(job, "completed")
    answer = press(client, job.requester, job, Ruling.CANCEL, seen=seen or "")
    assert answer.status_code == 409
    assert "waits for a decision" in said(answer)


def test_whoever_decides_is_led_from_the_status_page_to_the_review(client, job, reviewer):
    client.force_login(reviewer)
    page = said(client.get(job.get_absolute_url()))
    assert f'class="btn btn-primary" href="/jobs/{job.ref}/review/"' in page
    assert offers.url_of(Ruling.APPROVE, job) not in page


def test_an_unknown_submit_is_settled_with_an_id_or_as_none(client, workspace):
    operator = UserFactory(workspace=workspace, roles=[Role.OPERATOR])
    job = _job_for(Ruling.SETTLE, workspace)
    answer = press(client, operator, job, Ruling.SETTLE, response_id="../responses")
    assert answer.status_code == 422
    assert "not the id of a response" in said(answer)
    assert "id_response_id_error" in said(answer)
    answer = press(client, operator, job, Ruling.SETTLE, response_id="resp_found")
    assert answer.status_code == 302
    assert WebhookReceipt.objects.get().response_id == "resp_found"
    answer = press(client, operator, job, Ruling.SETTLE, response_id="")
    assert answer.status_code == 302
    assert job.attempts.get().state == State.FAILED
    assert Job.objects.get(pk=job.pk).status == Status.FAILED


# Notes ------------------------------------------------------------------------------------------


def test_a_note_is_kept_and_shown(client, job, reviewer):
    client.force_login(reviewer)
    url = reverse("reviews:note_write", args=[job.ref])
    answer = client.post(url, {"text": "Look at page 3."})
    assert (answer.status_code, answer.url) == (302, f"/jobs/{job.ref}/review/#notes")
    assert "Look at page 3." in said(client.get(answer.url))
    assert ReviewerNote.objects.get().author == reviewer


def test_a_note_without_words_is_asked_for_beside_its_field(client, job, reviewer):
    client.force_login(reviewer)
    answer = client.post(reverse("reviews:note_write", args=[job.ref]), {"text": "  "})
    assert answer.status_code == 422
    assert "A note needs words." in said(answer)
    assert re.search(r"<textarea name=\"text\"[^>]* autofocus", said(answer))
    assert "autofocus" not in said(desk(client, reviewer, job))
    assert "The answer." in said(answer)
    assert not ReviewerNote.objects.exists()


def test_whoever_writes_no_notes_gets_their_words_back(client, workspace, job):
    auditor = UserFactory(workspace=workspace, roles=[Role.AUDITOR])
    client.force_login(auditor)
    url = reverse("reviews:note_write", args=[job.ref])
    assert url not in said(desk(client, auditor, job))
    answer = client.post(url, {"text": "I found something."})
    assert answer.status_code == 403
    assert "I found something." in said(answer)


def test_a_reference_is_read_in_any_spelling(client, job, reviewer):
    client.force_login(reviewer)
    spelled = job.ref.lower().removeprefix("j-")
    assert client.get(f"/jobs/{spelled}/review/").status_code == 200


def test_decisions_of_a_finished_job_are_told(client, job, reviewer, lead):
    seen = job.open_gate.content_hash
    decide(job.pk, Ask(Ruling.APPROVE, lead, NOW, note="Checked.", content_hash=seen))
    page = said(desk(client, reviewer, job))
    assert "Approved" in page
    assert "Checked." in page
    assert "lee, lead" in page
