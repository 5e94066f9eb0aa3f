"""The inbox: what waits for whom, why, in which order, and what is said where nothing does."""

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from jobs.models import Gate, Job, Lane, Role, Status
from reviews import inbox
from reviews.actions import Ask, decide
from reviews.models import Ruling
from tests import payloads
from tests.factories import (
    NOW,
    JobFactory,
    JobTypeFactory,
    UserFactory,
    WorkspaceFactory,
    finish,
    start,
)

pytestmark = pytest.mark.django_db


@pytest.fixture
def workspace():
    return WorkspaceFactory(slug="quality", name="Quality")


@pytest.fixture
def reviewer(workspace):
    return UserFactory(username="ruth", workspace=workspace, roles=[Role.REVIEWER])


@pytest.fixture
def lead(workspace):
    return UserFactory(username="lee", workspace=workspace, roles=[Role.LEAD])


def waiting(workspace, **more):
    return JobFactory(workspace=workspace, status=Status.NEEDS_REVIEW, **more)


def escalate(job, actor):
    seen = job.open_gate.content_hash
    decide(job.pk, Ask(Ruling.ESCALATE, actor, NOW, note="Above me.", content_hash=seen))
    job.refresh_from_db()


def due(job, after):
    Gate.objects.filter(pk=job.open_gate_id).update(due_at=NOW + after)


def look(client, user, workspace, headers=None, **query):
    client.force_login(user)
    answer = client.get(reverse("reviews:inbox", args=[workspace.slug]), query, headers=headers)
    return answer, " ".join(answer.content.decode().split())


def shown(answer):
    return [row.job.ref for row in answer.context["page"].rows]


def test_it_says_what_waits_why_from_whom_and_since_when(client, workspace, reviewer):
    job_type = JobTypeFactory(name="Supplier check")
    requester = UserFactory(username="rea", workspace=workspace, roles=[Role.REQUESTER])
    job = waiting(workspace, job_type=job_type, requester=requester, now=timezone.now())
    answer, page = look(client, reviewer, workspace)
    assert shown(answer) == [job.ref]
    for words in ("tides", job.ref, "Supplier check", "rea", "always reviewed.", "The result."):
        assert words in page
    assert f'href="/jobs/{job.ref}/review/"' in page
    assert "in 3 days" in page
    assert "Overdue" not in page


def test_what_is_approved_before_it_runs_says_so_and_costs_nothing_yet(client, workspace, reviewer):
    job = JobFactory(workspace=workspace, job_type=JobTypeFactory(lane=Lane.APPROVAL))
    assert job.status == Status.NEEDS_REVIEW
    _answer, page = look(client, reviewer, workspace)
    assert "Before it runs." in page
    assert "none yet" in page


def test_warnings_escalation_and_delay_are_named(client, workspace, lead):
    job = JobFactory(workspace=workspace)
    start(job)
    finish(job, "incomplete", output=[payloads.message("Half of")])
    job.refresh_from_db()
    escalate(job, lead)
    due(job, timedelta(0))
    _answer, page = look(client, lead, workspace)
    assert "1 warning" in page
    assert "Escalated to level 2" in page
    assert "Overdue" in page


def test_what_is_due_first_stands_first(client, workspace, reviewer):
    jobs = [waiting(workspace) for _ in range(3)]
    for job, hours in zip(jobs, (5, 1, 3), strict=True):
        due(job, timedelta(hours=hours))
    answer, _page = look(client, reviewer, workspace)
    assert shown(answer) == [jobs[1].ref, jobs[2].ref, jobs[0].ref]


def test_what_waits_for_others_is_counted_with_why(client, workspace, reviewer, lead):
    theirs = waiting(workspace)
    for _ in range(2):
        escalate(waiting(workspace), lead)
    reviewer.memberships.create(workspace=workspace, role=Role.REQUESTER)
    own = waiting(workspace, requester=reviewer)
    answer, page = look(client, reviewer, workspace)
    assert shown(answer) == [theirs.ref]
    assert "2 more wait for a lead." in page
    assert "1 of your own request waits for somebody else." in page
    answer, page = look(client, reviewer, workspace, whose="all")
    assert len(shown(answer)) == 4
    whom = {row.job.ref: row.whom for row in answer.context["page"].rows}
    assert whom[theirs.ref] == ""
    assert whom[own.ref] == "somebody else, as you requested it"
    assert sorted(whom.values()).count("a lead") == 2
    answer, page = look(client, lead, workspace)
    assert len(shown(answer)) == 4
    assert "more wait" not in page


def test_own_requests_are_there_where_the_type_allows_it(client, workspace, reviewer):
    reviewer.memberships.create(workspace=workspace, role=Role.REQUESTER)
    job = waiting(workspace, requester=reviewer, job_type=JobTypeFactory(own_approval=True))
    answer, page = look(client, reviewer, workspace)
    assert shown(answer) == [job.ref]
    assert "somebody else" not in page


@pytest.mark.parametrize("role", [Role.OPERATOR, Role.ADMIN, Role.AUDITOR])
def test_others_of_the_workspace_may_look_and_are_told_that_they_cannot_decide(
    client, workspace, lead, role
):
    job = waiting(workspace)
    escalate(job, lead)
    onlooker = UserFactory(workspace=workspace, roles=[role])
    answer, page = look(client, onlooker, workspace)
    assert shown(answer) == [job.ref]
    assert "not decide it" in page
    assert "Waits for a lead." in page


def test_a_mere_requester_is_refused_and_a_stranger_finds_nothing(client, workspace):
    waiting(workspace)
    requester = UserFactory(workspace=workspace, roles=[Role.REQUESTER])
    assert look(client, requester, workspace)[0].status_code == 403
    stranger = UserFactory(workspace=WorkspaceFactory(), roles=list(Role))
    assert look(client, stranger, workspace)[0].status_code == 404


def test_another_workspaces_reviews_stay_there(client, workspace, reviewer):
    waiting(WorkspaceFactory())
    for query in ({}, {"whose": "all"}):
        assert shown(look(client, reviewer, workspace, **query)[0]) == []


def test_it_is_searched_by_type_and_by_reference_in_any_spelling(client, workspace, reviewer):
    first, second = waiting(workspace), waiting(workspace)
    Job.objects.filter(pk=first.pk).update(ref="J-10A0001")
    Job.objects.filter(pk=second.pk).update(ref="J-22B0002")
    assert shown(look(client, reviewer, workspace, type=second.job_type.slug)[0]) == ["J-22B0002"]
    for spelled in ("J-10A0001", " j-ioaooo1 ", "10a"):
        assert shown(look(client, reviewer, workspace, ref=spelled)[0]) == ["J-10A0001"]


def test_nothing_waiting_is_praised_and_nothing_found_is_not(client, workspace, reviewer):
    _answer, page = look(client, reviewer, workspace)
    assert "Nothing waits for you." in page
    waiting(workspace)
    for query in ({"ref": "zzzz"}, {"type": "no-such"}):
        _answer, page = look(client, reviewer, workspace, **query)
        assert "Nothing waits for you." not in page
        assert "Nothing that waits is like this" in page


@pytest.mark.parametrize("same_moment", [True, False])
def test_every_waiting_job_is_on_exactly_one_page(
    client, workspace, reviewer, monkeypatch, same_moment
):
    monkeypatch.setattr(inbox, "PAGE", 3)
    job_type = JobTypeFactory()
    jobs = [waiting(workspace, job_type=job_type) for _ in range(8)]
    if not same_moment:
        for number, job in enumerate(reversed(jobs)):
            due(job, timedelta(microseconds=number))
    seen, after = [], ""
    for _page in range(3):
        answer, _text = look(client, reviewer, workspace, after=after)
        seen += shown(answer)
        after = answer.context["page"].next
    assert after == ""
    expected = [job.ref for job in jobs]
    assert seen == (expected if same_moment else expected[::-1])


def test_a_job_that_leaves_does_not_shift_the_next_page(client, workspace, reviewer, monkeypatch):
    monkeypatch.setattr(inbox, "PAGE", 2)
    jobs = [waiting(workspace) for _ in range(4)]
    answer, _page = look(client, reviewer, workspace)
    seen = jobs[0].open_gate.content_hash
    decide(jobs[0].pk, Ask(Ruling.APPROVE, reviewer, NOW, content_hash=seen))
    answer, _page = look(client, reviewer, workspace, after=answer.context["page"].next)
    assert shown(answer) == [jobs[2].ref, jobs[3].ref]


@pytest.mark.parametrize(
    "after",
    [
        "~",
        "x~1",
        "2026-03-02~1",
        "2026-13-40T00:00:00+00:00~1",
        "2026-03-02T09:00:00+00:00~٣",
        "\0",
    ],
)
def test_a_place_that_is_none_is_the_first_page(client, workspace, reviewer, after):
    job = waiting(workspace)
    assert shown(look(client, reviewer, workspace, after=after)[0]) == [job.ref]


def test_what_is_polled_is_the_list_alone_and_goes_on_polling(client, workspace, reviewer):
    job = waiting(workspace)
    query = {"type": job.job_type.slug}
    answer, page = look(client, reviewer, workspace, {"HX-Request": "true"}, **query)
    assert page.startswith('<section id="waiting"')
    assert "every 15s" in page
    assert f'hx-get="/w/quality/reviews/?type={job.job_type.slug}"' in page
    assert job.ref in page
    assert "HX-Request" in answer["Vary"]


def test_what_one_decided_lately_is_kept_in_sight(client, workspace, reviewer, lead):
    job = waiting(workspace)
    escalate(job, reviewer)
    other = waiting(workspace)
    seen = other.open_gate.content_hash
    decide(other.pk, Ask(Ruling.REJECT, lead, NOW, note="No.", content_hash=seen))
    answer, page = look(client, reviewer, workspace)
    assert [decision.job for decision in answer.context["recent"]] == [job]
    assert "Escalated" in page
    assert "“Above me.”" in page


def test_a_longer_list_asks_no_more_of_the_database(client, workspace, reviewer):
    counts = []
    for _ in range(2):
        for _ in range(3):
            waiting(workspace)
        client.force_login(reviewer)
        with CaptureQueriesContext(connection) as queries:
            look(client, reviewer, workspace, whose="all")
        counts.append(len(queries))
    assert counts[0] == counts[1]
    assert counts[0] <= 25


def test_looking_writes_nothing(client, workspace, reviewer):
    waiting(workspace)
    client.force_login(reviewer)
    with CaptureQueriesContext(connection) as queries:
        client.get(reverse("reviews:inbox", args=[workspace.slug]))
    written = [q["sql"] for q in queries if q["sql"].split()[0] in ("INSERT", "UPDATE", "DELETE")]
    assert written == []
