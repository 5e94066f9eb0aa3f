"""The verbs in the admin: shown before they are done, done once a row, and told row by row."""

import json
import uuid

import pytest
from django.contrib.auth.models import Permission
from django.contrib.messages import get_messages
from django.urls import reverse

from jobs import actions, lapses, outcomes
from jobs.models import Gate, Job, Lane, Role, State, Status, WebhookReceipt
from jobs.tools import registry
from reviews.actions import Ask, decide
from reviews.admin.desk import MOST_ROWS
from reviews.models import Decision, Ruling
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

LIST = "/admin/jobs/job/"


@pytest.fixture
def home():
    return WorkspaceFactory(slug="home")


@pytest.fixture
def staff(client, home):
    """Logs in somebody of the workspace with these roles who may see the admin's jobs."""

    def log_in(*roles, **kwargs):
        user = UserFactory(workspace=home, roles=roles, is_staff=True, **kwargs)
        user.user_permissions.set(Permission.objects.filter(codename__startswith="view_"))
        client.force_login(user)
        return user

    return log_in


def ask(client, ruling, *jobs, **extra):
    """Select the jobs and choose the action: the page that shows what would happen."""
    return client.post(
        LIST, {"action": ruling, "_selected_action": [str(job.pk) for job in jobs], **extra}
    )


def confirm(client, page, **extra):
    """Send the form of that page, as a browser would."""
    data = {
        "action": page.context["ruling"].value,
        "confirmed": "1",
        "_selected_action": [str(row.job.pk) for row in page.context["able"]],
        "refused": [str(row.job.pk) for row in page.context["refused"]],
        **{row.hash_field: row.content_hash for row in page.context["able"]},
        **({"from_job": "1"} if page.context["from_job"] else {}),
        **extra,
    }
    return client.post(LIST, data)


def said(response):
    return [str(message) for message in get_messages(response.wsgi_request)]


def told(response):
    return " ".join(said(response))


def status(job):
    return Job.objects.get(pk=job.pk).status


def another_answer(job, text):
    """The job, tried again, waits with another result."""
    start(job)
    message = {
        "type": "message",
        "id": "msg_2",
        "role": "assistant",
        "status": "completed",
        "content": [{"type": "output_text", "text": text, "annotations": [], "logprobs": []}],
    }
    finish(job, "completed", output=[message])


# First a page ------------------------------------------------------------------------------------


def test_the_page_says_for_each_job_whether_the_rule_allows_it_and_writes_nothing(
    client, staff, home
):
    staff(Role.OPERATOR)
    queued = JobFactory(workspace=home)
    done = JobFactory(workspace=home, status=Status.COMPLETED)
    before = (Decision.objects.count(), list(Job.objects.values().order_by("pk")))
    page = ask(client, "cancel", queued, done)
    assert page.status_code == 200
    assert [row.job for row in page.context["able"]] == [queued]
    shown = page.content.decode()
    assert f"{done.ref} is completed: there is nothing left to cancel." in shown
    assert "Cancel: 1 job" in shown
    assert (Decision.objects.count(), list(Job.objects.values().order_by("pk"))) == before


def test_the_page_of_an_approval_shows_what_is_judged_and_carries_its_hash(client, staff, home):
    staff(Role.LEAD)
    job = JobFactory(workspace=home, status=Status.NEEDS_REVIEW)
    gate = job.gates.get()
    gate.result.text = "<script>alert(1)</script> & more"
    gate.result.save()
    shown = ask(client, "approve", job).content.decode()
    assert f'name="hash-{job.pk}" value="{gate.content_hash}"' in shown
    assert "&lt;script&gt;alert(1)&lt;/script&gt; &amp; more" in shown
    assert reverse("admin:jobs_result_change", args=[gate.result_id]) in shown


def test_the_page_of_an_approval_before_the_run_shows_what_would_be_sent(client, staff, home):
    staff(Role.LEAD)
    job = JobFactory(workspace=home, job_type=JobTypeFactory(lane=Lane.APPROVAL))
    assert "Topic: tides" in ask(client, "approve", job).content.decode()


def test_the_page_of_an_approval_shows_each_tool_call_with_its_server_and_not_cut(
    client, staff, home
):
    staff(Role.LEAD)
    asks = [
        {
            "type": "mcp_approval_request",
            "id": f"mcpr_{at}",
            "name": "post",
            "server_label": f"wiki-{at}",
            "arguments": json.dumps({"text": "x" * 4_000, "end": f"the end of {at}"}),
        }
        for at in (1, 2)
    ]
    shown = ask(client, "approve", wants(JobTypeFactory(), *asks, workspace=home)).content.decode()
    assert all(text in shown for text in ("post at wiki-1", "end of 1", "wiki-2", "end of 2"))


def test_calls_that_are_too_long_to_be_shown_here_say_so(client, staff, home, monkeypatch):
    monkeypatch.setattr("reviews.admin.desk.SHOWN_OF_CALLS", 50)
    staff(Role.LEAD)
    assert "more characters: decide on" in ask(client, "approve", wants(workspace=home)).text


def test_a_call_whose_tool_is_gone_is_skipped_with_the_reason(client, staff, home, monkeypatch):
    staff(Role.LEAD)
    job = wants(workspace=home)
    page = ask(client, "approve", job)
    left = {name: tool for name, tool in registry._tools.items() if name != "send_email"}
    monkeypatch.setattr(registry, "_tools", left)
    assert "There is no tool send_email here any more" in told(confirm(client, page))
    assert status(job) == Status.NEEDS_REVIEW


def test_a_page_without_a_job_that_may_be_decided_has_nothing_to_confirm(client, staff, home):
    staff(Role.AUDITOR)
    shown = ask(client, "cancel", JobFactory(workspace=home)).content.decode()
    assert "Your role (auditor) does not allow “Cancel”." in shown
    assert 'type="submit" class="default"' not in shown


# Then the decisions ------------------------------------------------------------------------------


def test_each_job_becomes_a_decision_and_what_is_skipped_is_told_with_its_reason(
    client, staff, home
):
    user = staff(Role.OPERATOR)
    queued = [JobFactory(workspace=home) for _ in range(3)]
    done = JobFactory(workspace=home, status=Status.COMPLETED)
    failed = JobFactory(workspace=home, status=Status.FAILED)
    response = confirm(client, ask(client, "cancel", *queued, done, failed), note="Wrong files.")
    assert response.status_code == 302
    good, skipped = said(response)
    assert good == "3 canceled."
    assert skipped.startswith("2 skipped:")
    assert f"{done.ref} is completed: there is nothing left to cancel." in skipped
    assert f"{failed.ref} is failed: there is nothing left to cancel." in skipped
    assert [status(job) for job in queued] == [Status.CANCELED] * 3
    for job in queued:
        decision = job.decisions.get()
        assert (decision.ruling, decision.actor) == (Ruling.CANCEL, user)
        assert (decision.role, decision.note) == (Role.OPERATOR, "Wrong files.")
    assert not failed.decisions.exists()


def test_a_job_that_runs_is_told_as_being_canceled(client, staff, home):
    staff(Role.OPERATOR)
    job = JobFactory(workspace=home, status=Status.RUNNING)
    other = JobFactory(workspace=home)
    response = confirm(client, ask(client, "cancel", job, other))
    assert said(response) == ["1 canceled. 1 being canceled: OpenAI is told."]


def _late_result(home):
    job = JobFactory(workspace=home)
    turn = become_unknown(job)
    lapses.unknown_wait_over(turn.pk, now=NOW)
    answer = payloads.response("completed", id=f"resp_{uuid.uuid4().hex}")
    outcomes.accepted(turn.pk, answer, now=NOW, adopted=True)
    return job


def _unknown(home):
    job = JobFactory(workspace=home)
    become_unknown(job)
    return job


#: A ruling: the job it can be made on, and the status that it leads to.
RULINGS = {
    Ruling.APPROVE: (Status.NEEDS_REVIEW, Status.COMPLETED),
    Ruling.REQUEST_CHANGES: (Status.NEEDS_REVIEW, Status.QUEUED),
    Ruling.REFUSE: (lambda w: wants(workspace=w), Status.RUNNING),
    Ruling.REJECT: (Status.NEEDS_REVIEW, Status.FAILED),
    Ruling.RETRY: (Status.FAILED, Status.QUEUED),
    Ruling.CANCEL: (Status.NEEDS_REVIEW, Status.CANCELED),
    Ruling.ESCALATE: (Status.NEEDS_REVIEW, Status.NEEDS_REVIEW),
    Ruling.REASSIGN: (Status.NEEDS_REVIEW, Status.NEEDS_REVIEW),
    Ruling.REOPEN: (Status.COMPLETED, Status.NEEDS_REVIEW),
    Ruling.USE_RESULT: (_late_result, Status.NEEDS_REVIEW),
    Ruling.SETTLE: (_unknown, Status.FAILED),
    Ruling.ARCHIVE: (Status.COMPLETED, Status.COMPLETED),
}


@pytest.mark.parametrize("ruling", Ruling)
def test_every_ruling_can_be_made_here(client, staff, home, ruling):
    staff(Role.LEAD, Role.OPERATOR)
    before, after = RULINGS[ruling]
    make = before if callable(before) else lambda w: JobFactory(workspace=w, status=before)
    jobs = [make(home), make(home)]
    hashes = [job.open_gate.content_hash if job.open_gate else "" for job in Job.objects.all()]
    made = Decision.objects.count()
    able = UserFactory(workspace=home, roles=[Role.REVIEWER]).username
    page = ask(client, ruling.value, *jobs)
    response = confirm(client, page, note="Because.", assignee=able)
    assert said(response)[0].startswith("2 "), told(response)
    assert [status(job) for job in jobs] == [after] * 2
    decisions = Decision.objects.filter(ruling=ruling, job__in=jobs)
    assert Decision.objects.count() == made + 2
    assert sorted(d.content_hash for d in decisions) == sorted(hashes)
    assert {d.note for d in decisions} == {"Because."}


def test_request_changes_without_words_asks_for_them_and_keeps_the_selection(client, staff, home):
    staff(Role.LEAD)
    job = JobFactory(workspace=home, status=Status.NEEDS_REVIEW)
    page = confirm(client, ask(client, "request_changes", job), note="  ")
    assert page.status_code == 200
    assert "needs a note that says what to change" in page.content.decode()
    assert status(job) == Status.NEEDS_REVIEW
    confirm(client, page, note="Shorter.")
    assert status(job) == Status.QUEUED


def test_a_refused_page_keeps_its_refused_rows(client, staff, home):
    staff(Role.LEAD)
    job = JobFactory(workspace=home, status=Status.NEEDS_REVIEW)
    other = JobFactory(workspace=home)
    page = confirm(client, ask(client, "request_changes", job, other), note="")
    assert [row.job for row in page.context["refused"]] == [other]


# Approval is of what was seen --------------------------------------------------------------------


def test_an_approval_of_a_result_that_is_no_longer_there_is_refused(client, staff, home):
    staff(Role.LEAD)
    job = JobFactory(workspace=home, status=Status.NEEDS_REVIEW)
    page = ask(client, "approve", job)
    other = UserFactory(workspace=home, roles=[Role.LEAD])
    decide(job.pk, Ask(Ruling.REQUEST_CHANGES, other, NOW, note="Again."))
    another_answer(job, "Another answer.")
    response = confirm(client, page)
    assert "1 skipped" in told(response) and "Look at it again" in told(response)
    assert status(job) == Status.NEEDS_REVIEW
    assert not job.decisions.filter(ruling=Ruling.APPROVE).exists()


def test_an_approval_that_others_must_join_is_told_as_that(client, staff, home):
    staff(Role.LEAD)
    two = JobTypeFactory(ladder=[("Reviewers", Role.REVIEWER, 2)])
    shared, alone = (
        JobFactory(workspace=home, status=Status.NEEDS_REVIEW, **more)
        for more in ({"job_type": two}, {})
    )
    response = confirm(client, ask(client, "approve", shared, alone))
    assert "1 approved. 1 approved by you: others must approve as well." in told(response)


@pytest.mark.parametrize("shown", ["", "0" * 64, "short"])
def test_an_approval_without_the_hash_that_was_shown_is_refused(client, staff, home, shown):
    staff(Role.LEAD)
    job = JobFactory(workspace=home, status=Status.NEEDS_REVIEW)
    response = confirm(client, ask(client, "approve", job), **{f"hash-{job.pk}": shown})
    assert "1 skipped" in told(response)
    assert status(job) == Status.NEEDS_REVIEW


def test_a_superuser_judges_nothing_without_the_role(client, home):
    client.force_login(UserFactory(is_staff=True, is_superuser=True))
    job = JobFactory(workspace=home, status=Status.NEEDS_REVIEW)
    page = ask(client, "approve", job)
    assert "Your role (admin) does not allow “Approve”." in page.content.decode()
    # Nor by sending what the page did not offer.
    forged = {"action": "approve", "confirmed": "1", "_selected_action": [str(job.pk)]}
    response = client.post(LIST, {**forged, f"hash-{job.pk}": job.open_gate.content_hash})
    assert "Your role (admin) does not allow “Approve”." in told(response)
    assert status(job) == Status.NEEDS_REVIEW


def test_nobody_approves_their_own_job_here(client, staff, home):
    user = staff(Role.LEAD, Role.REQUESTER)
    job = JobFactory(workspace=home, requester=user, status=Status.NEEDS_REVIEW)
    forged = {"action": "approve", "confirmed": "1", "_selected_action": [str(job.pk)]}
    response = client.post(LIST, {**forged, f"hash-{job.pk}": job.open_gate.content_hash})
    assert "somebody else must approve it" in told(response)
    assert status(job) == Status.NEEDS_REVIEW


# The world moves between the two pages -----------------------------------------------------------


def test_somebody_was_first(client, staff, home):
    staff(Role.OPERATOR)
    job, other = JobFactory(workspace=home), JobFactory(workspace=home)
    page = ask(client, "cancel", job, other)
    decide(job.pk, Ask(Ruling.CANCEL, job.requester, NOW))
    response = confirm(client, page)
    assert said(response)[0] == "1 canceled."
    assert f"{job.requester.username} decided at" in told(response)
    assert status(other) == Status.CANCELED


def test_what_was_shown_as_skipped_stays_skipped_even_if_it_could_be_done_by_now(
    client, staff, home
):
    staff(Role.OPERATOR)
    job = JobFactory(workspace=home, status=Status.RUNNING)
    sure = JobFactory(workspace=home, status=Status.FAILED)
    page = ask(client, "archive", job, sure)
    finish(job, "failed", error={"code": "invalid_prompt", "message": "No."})
    assert status(job) == Status.FAILED
    response = confirm(client, page)
    assert f"{job.ref} has changed since you looked" in told(response)
    assert not job.decisions.exists() and sure.decisions.exists()


def test_a_list_that_is_filtered_does_not_lose_the_rows_that_have_moved_on(client, staff, home):
    staff(Role.OPERATOR)
    job = JobFactory(workspace=home)
    url = f"{LIST}?status__exact=queued"
    data = {"action": "cancel", "_selected_action": [str(job.pk)]}
    client.post(url, data)
    start(job)
    response = client.post(url, {**data, "confirmed": "1"})
    assert said(response) == ["1 being canceled: OpenAI is told."]
    assert response.url == url


# Whose jobs --------------------------------------------------------------------------------------


def test_jobs_of_other_workspaces_are_not_there(client, staff):
    staff(Role.OPERATOR, Role.LEAD)
    theirs = JobFactory(status=Status.NEEDS_REVIEW)
    page = ask(client, "cancel", theirs)
    assert page.context["rows"] == [] and theirs.ref not in page.content.decode()
    forged = {"action": "cancel", "confirmed": "1", "refused": [str(theirs.pk)]}
    response = client.post(LIST, {**forged, "_selected_action": [str(theirs.pk)]})
    assert theirs.ref not in told(response)
    assert "Nothing has changed" in told(response)
    assert status(theirs) == Status.NEEDS_REVIEW


def test_who_may_not_see_jobs_in_the_admin_may_not_act_there(client, home):
    user = UserFactory(workspace=home, roles=[Role.OPERATOR], is_staff=True)
    client.force_login(user)
    job = JobFactory(workspace=home)
    forged = {"action": "cancel", "confirmed": "1", "_selected_action": [str(job.pk)]}
    assert client.post(LIST, forged).status_code == 403
    assert status(job) == Status.QUEUED


@pytest.mark.parametrize("chosen", [["nonsense"], [str(uuid.uuid4())], ["' OR 1=1"]])
def test_a_selection_of_nothing_that_exists_changes_nothing(client, staff, chosen):
    staff(Role.OPERATOR)
    for confirmed in ({}, {"confirmed": "1"}):
        data = {"action": "cancel", "_selected_action": chosen, **confirmed}
        assert client.post(LIST, data).status_code in (200, 302)
    assert not Decision.objects.exists()


def test_only_so_many_at_a_time_as_a_person_can_look_over(client, staff, home, monkeypatch):
    monkeypatch.setattr("reviews.admin.desk.MOST_ROWS", 2)
    staff(Role.OPERATOR)
    jobs = [JobFactory(workspace=home) for _ in range(3)]
    assert "Select the jobs one by one" in told(ask(client, "cancel", *jobs))
    every = ask(client, "cancel", jobs[0], select_across="1")
    assert "Select the jobs one by one" in told(every)
    forged = {"action": "cancel", "_selected_action": [str(job.pk) for job in jobs]}
    assert "Select the jobs one by one" in told(client.post(LIST, {**forged, "confirmed": "1"}))
    assert {status(job) for job in jobs} == {Status.QUEUED}
    assert MOST_ROWS == 100


# Settling ----------------------------------------------------------------------------------------


def test_settling_can_name_the_response_of_each_job(client, staff, home):
    staff(Role.OPERATOR)
    named, none = _unknown(home), _unknown(home)
    page = ask(client, "settle", named, none)
    assert f'name="response-{named.pk}"' in page.content.decode()
    confirm(client, page, **{f"response-{named.pk}": " resp_found "})
    assert WebhookReceipt.objects.get().response_id == "resp_found"
    assert named.attempts.get().state == State.UNKNOWN
    assert (status(named), status(none)) == (Status.RUNNING, Status.FAILED)


def test_a_response_id_that_is_none_is_told_and_settles_nothing(client, staff, home):
    staff(Role.OPERATOR)
    job = _unknown(home)
    page = ask(client, "settle", job)
    response = confirm(client, page, **{f"response-{job.pk}": "not an id"})
    assert f"{job.ref}" in told(response) and "not the id of a response" in told(response)
    assert not job.decisions.exists()


# The job's own page ------------------------------------------------------------------------------


def test_the_page_of_a_job_offers_what_is_allowed_and_comes_back_to_it(client, staff, home):
    staff(Role.OPERATOR)
    job = JobFactory(workspace=home)
    url = reverse("admin:jobs_job_change", args=[job.pk])
    shown = client.get(url)
    assert shown.context["verbs"] == [Ruling.CANCEL]
    assert 'name="action" value="cancel"' in shown.content.decode()
    page = ask(client, "cancel", job, from_job="1")
    response = confirm(client, page)
    assert response.url == url
    assert client.get(url).context["verbs"] == [Ruling.RETRY, Ruling.ARCHIVE]


def test_a_job_shows_its_decisions_and_notes(client, staff, home):
    lead = staff(Role.LEAD)
    job = JobFactory(workspace=home, status=Status.NEEDS_REVIEW)
    decide(job.pk, Ask(Ruling.ESCALATE, lead, NOW, note="Look <b>twice</b>."))
    shown = client.get(reverse("admin:jobs_job_change", args=[job.pk])).content.decode()
    assert "Look &lt;b&gt;twice&lt;/b&gt;." in shown
    assert Gate.objects.get().content_hash[:12] in shown


def test_reasons_are_escaped_in_the_report(client, staff, home, monkeypatch):
    staff(Role.OPERATOR)
    job = JobFactory(workspace=home)
    page = ask(client, "cancel", job)
    monkeypatch.setattr(
        "reviews.admin.desk.decide", lambda *a: (_ for _ in ()).throw(actions.NotNow("<b>no</b>"))
    )
    assert "&lt;b&gt;no&lt;/b&gt;" in told(confirm(client, page))
