"""The inbox: what waits for whom, why, in which order, and what is said where nothing does."""

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from jobs import lapses
from jobs.access import Action, permission
from jobs.models import Gate, Job, JobType, Lane, Role, Status
from reviews import claims, history, inbox
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


def follow_up(job, requester):
    """A waiting job of a type that lets requesters approve, and asks about `job`."""
    job_type = JobTypeFactory(own_approval=True)
    made = waiting(job.workspace, requester=requester, job_type=job_type)
    JobType.objects.filter(pk=job_type.pk).update(follows=True)
    Job.objects.filter(pk=made.pk).update(parent=job)
    return made


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
    assert "in 3 days" in page or "in 2 days 23 h" in page
    assert 'class="overdue"' not in page


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
        assert shown(look(client, reviewer, workspace, q=spelled)[0]) == ["J-10A0001"]


def test_nothing_waiting_is_praised_and_nothing_found_is_not(client, workspace, reviewer):
    _answer, page = look(client, reviewer, workspace)
    assert "Nothing waits for you." in page
    waiting(workspace)
    for query in ({"q": "zzzz"}, {"kind": "tool_call"}, {"tab": "overdue", "level": "3"}):
        _answer, page = look(client, reviewer, workspace, **query)
        assert "Nothing waits for you." not in page
        assert "No review matches" in page


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
        answer, _text = look(client, reviewer, workspace, **({"after": after} if after else {}))
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
        "9999-12-31T23:59:59-12:00~1",
        "0001-01-01T00:00:00+12:00~1",
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
    tally = '<span id="tally" class="tally nums" hx-swap-oob="true">1<span'
    assert tally in page, "the number in the header goes along"
    auditor = UserFactory(workspace=workspace, roles=[Role.AUDITOR])
    _answer, page = look(client, auditor, workspace, {"HX-Request": "true"})
    assert "tally" not in page, "where there is none in the header"


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
    assert counts[0] <= 30


def test_looking_writes_nothing(client, workspace, reviewer):
    waiting(workspace)
    client.force_login(reviewer)
    with CaptureQueriesContext(connection) as queries:
        client.get(reverse("reviews:inbox", args=[workspace.slug]))
    written = [q["sql"] for q in queries if q["sql"].split()[0] in ("INSERT", "UPDATE", "DELETE")]
    assert written == []


def test_a_tab_holds_what_it_says_and_its_count(client, workspace, reviewer, lead):
    now = timezone.now()
    plain, late, lifted, asked, opened = jobs = [waiting(workspace, now=now) for _ in range(5)]
    Gate.objects.filter(pk=late.open_gate_id).update(due_at=now - timedelta(hours=1))
    escalate(lifted, lead)
    Gate.objects.filter(pk=lifted.open_gate_id).update(due_at=now + timedelta(days=1))
    Gate.objects.filter(pk=asked.open_gate_id).update(assignee=reviewer)
    claims.claim(opened.open_gate, reviewer, now=now)
    expected = {
        "": {job.ref for job in jobs} - {lifted.ref},
        "mine": {asked.ref, opened.ref},
        "escalated": {lifted.ref},
        "overdue": {late.ref},
    }
    for tab, refs in expected.items():
        answer, page = look(client, reviewer, workspace, **({"tab": tab} if tab else {}))
        assert set(shown(answer)) == refs, tab
        counts = {each.value: number for each, number in answer.context["tabs"]}
        assert counts == {
            "waiting": "4",
            "mine": "2",
            "escalated": "1",
            "overdue": "1",
            "history": "1",
        }
    assert "Overdue" in page


def test_a_claim_that_lapsed_is_nobodys(client, workspace, reviewer):
    job = waiting(workspace, now=timezone.now())
    claims.claim(job.open_gate, reviewer, now=timezone.now() - claims.LASTS - timedelta(seconds=1))
    answer, page = look(client, reviewer, workspace, tab="mine")
    assert shown(answer) == []
    assert "Nothing is on your desk." in page
    _answer, page = look(client, reviewer, workspace)
    assert "has it open" not in page and "You have it open" not in page


def test_who_looks_at_it_and_who_was_asked_stand_in_the_row(client, workspace, reviewer, lead):
    job = waiting(workspace, now=timezone.now())
    claims.claim(job.open_gate, lead, now=timezone.now())
    Gate.objects.filter(pk=job.open_gate_id).update(assignee=lead)
    _answer, page = look(client, reviewer, workspace)
    assert "lee has it open" in page
    assert "Assigned to lee" in page
    _answer, page = look(client, lead, workspace)
    assert "You have it open" in page
    assert "Assigned to you" in page


@pytest.mark.parametrize(
    ("tab", "praise"),
    [
        ("waiting", "Nothing waits for you."),
        ("mine", "Nothing is on your desk."),
        ("escalated", "Nothing is escalated."),
        ("overdue", "Nothing is overdue. Well done."),
        ("history", "Nothing was decided yet."),
    ],
)
def test_each_tab_has_words_for_being_empty(client, workspace, reviewer, tab, praise):
    assert praise in look(client, reviewer, workspace, tab=tab)[1]


def test_filters_narrow_by_what_they_name(client, workspace, reviewer, lead):
    plain = waiting(workspace)
    warned = JobFactory(workspace=workspace, job_type=JobTypeFactory(name="Long"))
    start(warned)
    finish(warned, "incomplete", output=[payloads.message("Half of")])
    before = JobFactory(workspace=workspace, job_type=JobTypeFactory(lane=Lane.APPROVAL))
    Job.objects.filter(pk=plain.pk).update(cost_usd="2.50")
    Gate.objects.filter(pk=before.open_gate_id).update(assignee=lead, level=2)
    every = {plain.ref, warned.ref, before.ref}
    cases = [
        ({"kind": "before_run"}, {before.ref}),
        ({"warnings": "yes"}, {warned.ref}),
        ({"warnings": "no"}, every - {warned.ref}),
        ({"level": "2"}, {before.ref}),
        ({"requester": plain.requester.username}, {plain.ref}),
        ({"assignee": "lee"}, {before.ref}),
        ({"assignee": "nobody"}, every - {before.ref}),
        ({"reason": "incomplete"}, {warned.ref}),
        ({"reason": "always"}, {plain.ref, warned.ref}),
        ({"cost": "2.4"}, {plain.ref}),
        ({"cost": "2.5"}, set()),
        ({"q": "tides"}, every),
        ({"type": warned.job_type.slug, "warnings": "yes"}, {warned.ref}),
    ]
    for query, refs in cases:
        answer, _page = look(client, lead, workspace, whose="all", **query)
        assert set(shown(answer)) == refs, query


def test_a_reason_that_only_stands_in_a_text_is_not_found(client, workspace, reviewer):
    job = waiting(workspace)
    said = [{"code": "other", "text": 'it says "code": "secret" here'}]
    Gate.objects.filter(pk=job.open_gate_id).update(reasons=said)
    assert shown(look(client, reviewer, workspace, reason="secret")[0]) == []
    assert shown(look(client, reviewer, workspace, reason="other")[0]) == [job.ref]


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ({"tab": "secret"}, "There is no tab “secret” here."),
        ({"type": "no-such"}, "There is no job type “no-such” here."),
        ({"level": "0"}, "Levels begin at 1."),
        ({"level": "two"}, "A level is a number, such as 2."),
        ({"cost": "much"}, "A cost is a number of dollars, such as 2.50."),
        ({"cost": "NaN"}, "A cost is a number of dollars, such as 2.50."),
        ({"requester": "nemo"}, "Nobody called “nemo” is in this workspace."),
        ({"reason": "a b"}, "A reason is a code such as “warnings”."),
        ({"warnings": "some"}, "Warnings are “yes” or “no”, not “some”."),
        ({"sort": "up"}, "There is no order “up”."),
        ({"q": "x" * 201}, "A search can have 200 characters at most; this one has 201."),
    ],
)
def test_what_cannot_be_read_is_said_and_nothing_is_lost(client, workspace, reviewer, query, said):
    waiting(workspace)
    answer, page = look(client, reviewer, workspace, kind="output", **query)
    assert answer.status_code == 200
    assert said in page
    assert '<option value="output" selected>' in page


@pytest.mark.parametrize("sort", ["oldest", "newest"])
def test_other_orders_page_as_well(client, workspace, reviewer, monkeypatch, sort):
    monkeypatch.setattr(inbox, "PAGE", 3)
    jobs = [waiting(workspace) for _ in range(7)]
    for number, job in enumerate(jobs):
        moment = NOW + timedelta(seconds=number // 2)
        Gate.objects.filter(pk=job.open_gate_id).update(opened_at=moment)
    seen, query = [], {"sort": sort}
    for _page in range(3):
        answer, _text = look(client, reviewer, workspace, **query)
        seen += shown(answer)
        query["after"] = answer.context["page"].next
    expected = [job.ref for job in jobs]
    assert seen == (expected if sort == "oldest" else expected[::-1])


def test_what_comes_after_a_place_is_free_and_for_this_person(workspace, reviewer, lead):
    first, held, lifted, last = jobs = [waiting(workspace) for _ in range(4)]
    for hours, job in enumerate(jobs):
        due(job, timedelta(hours=hours + 1))
    escalate(lifted, lead)
    due(lifted, timedelta(hours=3))
    claims.claim(held.open_gate, lead, now=NOW)
    for job in jobs:
        job.open_gate.refresh_from_db()

    def after(place, now=NOW):
        return inbox.after(reviewer, workspace, inbox.Wanted(), place, now)

    assert after("") == first
    assert after(inbox.place_of(first)) == last
    assert after(inbox.place_of(first), NOW + claims.LASTS) == held
    assert after(inbox.place_of(last)) is None


def test_the_history_says_who_decided_what_in_which_role_and_why(client, workspace, reviewer, lead):
    job = waiting(workspace)
    escalate(job, reviewer)
    other = waiting(workspace)
    seen = other.open_gate.content_hash
    decide(other.pk, Ask(Ruling.REJECT, lead, NOW, note="No.", content_hash=seen))
    answer, page = look(client, reviewer, workspace, tab="history")
    entries = answer.context["page"].entries
    assert [(entry.job, entry.who, entry.role) for entry in entries] == [
        (other, lead, "Lead"),
        (job, reviewer, "Reviewer"),
    ]
    for words in ("Rejected", "No.", "Escalated", "Above me."):
        assert words in page
    answer, _page = look(client, reviewer, workspace, tab="history", person="ruth")
    assert [entry.job for entry in answer.context["page"].entries] == [job]
    answer, _page = look(client, reviewer, workspace, tab="history", ruling="reject")
    assert [entry.job for entry in answer.context["page"].entries] == [other]


def test_people_who_have_left_are_found_by_what_they_did(client, workspace, reviewer, lead):
    job, asked = waiting(workspace), waiting(workspace)
    decide(job.pk, Ask(Ruling.REJECT, lead, NOW, note="No."))
    stranger = UserFactory(username="stranger", workspace=WorkspaceFactory(), roles=[Role.LEAD])
    lead.memberships.all().delete()
    asked.requester.memberships.all().delete()
    answer, _page = look(client, reviewer, workspace, tab="history", person="lee")
    assert [entry.job for entry in answer.context["page"].entries] == [job]
    answer, _page = look(client, reviewer, workspace, requester=asked.requester.username)
    assert shown(answer) == [asked.ref]
    for field in ({"tab": "history", "person": stranger.username}, {"requester": "lee"}):
        _answer, page = look(client, reviewer, workspace, **field)
        assert "is in this workspace" in page


def test_the_history_says_what_no_longer_holds(client, workspace, lead):
    job = waiting(workspace)
    seen = job.open_gate.content_hash
    decide(job.pk, Ask(Ruling.APPROVE, lead, NOW, content_hash=seen))
    _answer, page = look(client, lead, workspace, tab="history")
    assert "in review again" not in page
    decide(job.pk, Ask(Ruling.REOPEN, lead, NOW, note="Look again.", content_hash=""))
    _answer, page = look(client, lead, workspace, tab="history")
    assert "It is in review again." in page


def test_the_history_knows_an_approval_that_others_must_join(client, workspace, lead, reviewer):
    job = waiting(workspace, job_type=JobTypeFactory(ladder=[("Both", Role.REVIEWER, 2)]))
    decide(job.pk, Ask(Ruling.APPROVE, lead, NOW))
    _answer, page = look(client, reviewer, workspace, tab="history")
    assert "Approved, with others to come" in page
    assert "in review again" not in page


def test_a_review_whose_time_ran_out_is_history_too(client, workspace, reviewer):
    job = waiting(workspace, job_type=JobTypeFactory(expire_overdue_review=True))
    lapses.review_overdue(job.pk, now=NOW + timedelta(days=9))
    queued = JobFactory(workspace=workspace, status=Status.EXPIRED)
    answer, page = look(client, reviewer, workspace, tab="history")
    assert [entry.job for entry in answer.context["page"].entries] == [job]
    assert "Time ran out" in page
    assert "nobody: time ran out" in page
    assert queued.ref not in page


def test_every_decision_and_event_is_on_exactly_one_page_of_the_history(
    client, workspace, lead, monkeypatch
):
    monkeypatch.setattr(history, "PAGE", 2)
    job_type = JobTypeFactory(expire_overdue_review=True)
    jobs = [waiting(workspace, job_type=job_type) for _ in range(7)]
    for number, job in enumerate(jobs):
        if number % 2:
            lapses.review_overdue(job.pk, now=NOW + timedelta(days=9))
        else:
            seen = job.open_gate.content_hash
            decide(job.pk, Ask(Ruling.REJECT, lead, NOW, note="No.", content_hash=seen))
    seen, query = [], {"tab": "history"}
    for _page in range(4):
        answer, _text = look(client, lead, workspace, **query)
        seen += [entry.job.ref for entry in answer.context["page"].entries]
        query["after"] = answer.context["page"].next
    assert query["after"] == ""
    assert sorted(seen) == sorted(job.ref for job in jobs)


@pytest.mark.parametrize(
    "after",
    [
        "~",
        "x~~",
        "~2026-03-02~1",
        "\0",
        "~2026-13-40T00:00Z~1",
        "~9999-12-31T23:59:59-12:00~1",
        "~0001-01-01T00:00:00+12:00~1",
    ],
)
def test_a_place_in_the_history_that_is_none_is_its_beginning(client, workspace, lead, after):
    job = waiting(workspace)
    decide(job.pk, Ask(Ruling.CANCEL, lead, NOW))
    answer, _page = look(client, lead, workspace, tab="history", after=after)
    assert [entry.job for entry in answer.context["page"].entries] == [job]


def test_a_tab_leads_to_itself_and_keeps_the_filters(client, workspace, reviewer):
    _answer, page = look(client, reviewer, workspace, tab="mine")
    assert 'href="/w/quality/reviews/?" id="tab-waiting"' in page
    _answer, page = look(client, reviewer, workspace, tab="mine", kind="output", after="x~1")
    assert 'href="/w/quality/reviews/?kind=output" id="tab-waiting"' in page
    assert 'href="/w/quality/reviews/?tab=overdue&amp;kind=output" id="tab-overdue"' in page


@pytest.mark.parametrize("depth", [1, 2, 5])
@pytest.mark.parametrize("allowed", [True, False])
def test_what_waits_is_counted_as_the_right_to_approve_it_says_however_deep_it_rests(
    client, workspace, reviewer, depth, allowed
):
    reviewer.memberships.create(workspace=workspace, role=Role.REQUESTER)
    below = waiting(workspace, job_type=JobTypeFactory(own_approval=allowed))
    for _ in range(depth):
        below = job = follow_up(below, reviewer)
    # Began with another one's input, and asks nothing about it.
    again = waiting(workspace, requester=reviewer, job_type=JobTypeFactory(own_approval=True))
    Job.objects.filter(pk=again.pk).update(parent=below)
    awaited = set(Job.objects.awaiting(reviewer))
    right = {one for one in Job.objects.all() if permission(reviewer, one, Action.APPROVE).allowed}
    assert awaited == right
    assert len(awaited) == 2 + depth * allowed
    answer, page = look(client, reviewer, workspace)
    assert len(shown(answer)) == len(right)
    own_ones = "" if allowed else str(depth)
    assert inbox.elsewhere(reviewer, workspace) == inbox.Elsewhere("", own_ones)
    answer, page = look(client, reviewer, workspace, whose="all")
    whom = {row.job.ref: row.whom for row in answer.context["page"].rows}
    assert whom[job.ref] == ("" if allowed else "somebody else, as you requested it")


def test_an_own_request_that_waits_for_a_lead_is_counted_as_that(client, workspace, reviewer, lead):
    reviewer.memberships.create(workspace=workspace, role=Role.REQUESTER)
    job = waiting(workspace, requester=reviewer, job_type=JobTypeFactory(own_approval=True))
    escalate(job, lead)
    assert inbox.elsewhere(reviewer, workspace) == inbox.Elsewhere("1", "")
    answer, _page = look(client, reviewer, workspace, whose="all")
    assert [row.whom for row in answer.context["page"].rows] == ["a lead"]


def test_how_deep_a_request_rests_costs_no_more_questions(client, workspace, reviewer):
    reviewer.memberships.create(workspace=workspace, role=Role.REQUESTER)
    below = waiting(workspace, job_type=JobTypeFactory(own_approval=True))
    asked = []
    for _ in range(3):
        below = follow_up(below, reviewer)
        with CaptureQueriesContext(connection) as queries:
            look(client, reviewer, workspace)
        asked.append(len(queries))
    assert len(set(asked[1:])) == 1
