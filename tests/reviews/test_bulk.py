"""One ruling on many jobs: looked over first, each an ordinary decision, at most once."""

from datetime import timedelta
from itertools import count as numbers

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from jobs import signals
from jobs.access import NotNow
from jobs.models import Gate, Job, Lane, Role, Status
from reviews import bulk, claims, inbox, preflight, tasks
from reviews.actions import Ask, decide
from reviews.models import (
    BulkAction,
    BulkItem,
    BulkState,
    Decision,
    Hindrance,
    NoticeKind,
    Occurrence,
    Outcome,
    Ruling,
)
from reviews.notes import NoteMissing
from reviews.preflight import Chosen, NotPlanned
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


class Killed(BaseException):
    """As if the process were gone."""


@pytest.fixture
def workspace():
    return WorkspaceFactory(slug="quality")


@pytest.fixture
def ruth(workspace):
    return UserFactory(username="ruth", workspace=workspace, roles=[Role.REVIEWER])


@pytest.fixture
def lee(workspace):
    return UserFactory(username="lee", workspace=workspace, roles=[Role.LEAD])


@pytest.fixture
def queued(monkeypatch):
    """What was given to the queue."""
    given = []
    monkeypatch.setattr(bulk, "async_task", lambda name, **more: given.append((name, more)))
    return given


@pytest.fixture
def job_type():
    return JobTypeFactory()


@pytest.fixture
def waiting(workspace, job_type):
    def made(number=1, **more):
        fields = {"workspace": workspace, "job_type": job_type, **more}
        return [JobFactory(status=Status.NEEDS_REVIEW, **fields) for _ in range(number)]

    return made


def tick(jobs):
    return [Chosen(job.ref, job.open_gate.content_hash[:16]) for job in jobs]


def plan(user, workspace, jobs, ruling=Ruling.APPROVE, now=NOW, **more):
    return preflight.plan(user, workspace, ruling, chosen=tick(jobs), now=now, **more)


def run(action, now=NOW):
    bulk.work(action.pk, clock=lambda: now)
    action.refresh_from_db()


def start_it(action, user, django_capture_on_commit_callbacks, note="", now=NOW):
    with django_capture_on_commit_callbacks(execute=True):
        bulk.start(action, user, note=note, now=now)
    action.refresh_from_db()


@pytest.fixture
def begin(django_capture_on_commit_callbacks, queued):
    def begun(action, user, note="", now=NOW):
        start_it(action, user, django_capture_on_commit_callbacks, note, now)
        return action

    return begun


def why(action):
    return dict(action.items.exclude(hindrance="").values_list("job__ref", "hindrance"))


def test_what_is_looked_over_is_counted_by_why_not_and_decides_nothing(
    workspace, ruth, lee, waiting
):
    able = waiting(2)
    held, newer, gone, lifted, warned = waiting(5)
    [before] = [JobFactory(workspace=workspace, job_type=JobTypeFactory(lane=Lane.APPROVAL))]
    ruth.memberships.create(workspace=workspace, role=Role.REQUESTER)
    [own] = waiting(requester=ruth)
    chosen = tick([*able, held, newer, gone, lifted, before, own])
    claims.claim(held.open_gate, lee, now=NOW)
    Gate.objects.filter(pk=newer.open_gate_id).update(content_hash="f" * 64)
    decide(gone.pk, Ask(Ruling.REJECT, lee, NOW, note="No."))
    decide(lifted.pk, Ask(Ruling.ESCALATE, lee, NOW, note="Up."))
    decisions = Decision.objects.count()
    action = preflight.plan(ruth, workspace, Ruling.APPROVE, chosen=chosen, now=NOW)
    assert why(action) == {
        held.ref: Hindrance.HELD,
        newer.ref: Hindrance.CHANGED,
        gone.ref: Hindrance.GONE,
        lifted.ref: Hindrance.NOT_YOURS,
        before.ref: Hindrance.ONE_BY_ONE,
        own.ref: Hindrance.NOT_YOURS,
    }
    tally = bulk.tally(action)
    assert (tally.able, tally.left_out_count, tally.total) == (2, 6, 8)
    assert Decision.objects.count() == decisions
    assert action.state == BulkState.PLANNED


def test_all_that_match_are_taken_and_no_more_than_a_bound(
    workspace, ruth, waiting, job_type, monkeypatch
):
    waiting(4)
    JobFactory(workspace=workspace, status=Status.NEEDS_REVIEW)
    wanted = inbox.Wanted(type_slug=job_type.slug)
    action = preflight.plan(ruth, workspace, Ruling.APPROVE, wanted=wanted, now=NOW)
    assert (action.matched, action.items.count()) == (4, 4)
    monkeypatch.setattr(preflight, "MOST", 3)
    action = preflight.plan(ruth, workspace, Ruling.APPROVE, wanted=wanted, now=NOW)
    assert (action.matched, action.items.count()) == (4, 3)


# Many


@pytest.fixture
def many(workspace, ruth, lee, waiting, monkeypatch):
    """Five that match, which is more than are looked over at once; one of them is open with Lee."""
    monkeypatch.setattr(preflight, "AT_ONCE", 4)
    jobs = waiting(5)
    claims.claim(jobs[3].open_gate, lee, now=NOW)
    wanted = inbox.Wanted()
    action = preflight.plan(ruth, workspace, Ruling.APPROVE, wanted=wanted, query="x", now=NOW)
    return jobs, action


def test_more_than_are_looked_over_at_once_are_looked_over_by_the_queue(
    workspace, ruth, many, queued, begin
):
    jobs, action = many
    assert (action.state, action.matched) == (BulkState.LOOKING, 5)
    assert set(action.items.values_list("outcome", flat=True)) == {Outcome.NEW}
    # What happens to one until it is looked at is seen; what comes to match later is not meant.
    decide(jobs[0].pk, Ask(Ruling.CANCEL, jobs[0].requester, NOW))
    JobFactory(workspace=workspace, status=Status.NEEDS_REVIEW)
    with pytest.raises(NotNow, match="still being looked over"):
        bulk.start(action, ruth, note="", now=NOW)
    bulk.revive(NOW)
    assert queued == [(bulk.WORK, {"action_id": str(action.pk)})]
    run(action)
    assert (action.state, action.next_check_at) == (BulkState.PLANNED, None)
    assert why(action) == {jobs[0].ref: Hindrance.GONE, jobs[3].ref: Hindrance.HELD}
    tally = bulk.tally(action)
    assert (tally.able, tally.pending, tally.left_out_count) == (3, 3, 2)
    run(begin(action, ruth))
    assert (bulk.tally(action).done, action.state) == (3, BulkState.DONE)


def test_looking_over_goes_on_with_the_next_task(many, queued, monkeypatch):
    _jobs, action = many
    monkeypatch.setattr(preflight, "PART", 2)
    monkeypatch.setattr(bulk, "WORK_LASTS", timedelta(seconds=-1))
    for left in (3, 1, 0):
        run(action)
        assert action.items.filter(outcome=Outcome.NEW).count() == left
        assert action.state == BulkState.LOOKING and action.lease_token is None
    assert len(queued) == 3
    run(action)
    assert action.state == BulkState.PLANNED


def test_a_job_that_kills_whoever_looks_it_over_is_left_out(many, monkeypatch):
    jobs, action = many
    real = preflight.hindrance

    def dies(job, *args):
        if job == jobs[2]:
            raise Killed
        return real(job, *args)

    monkeypatch.setattr(preflight, "hindrance", dies)
    for number in range(bulk.MOST_STRIKES):
        with pytest.raises(Killed):
            run(action, now=NOW + bulk.LEASE * number)
    run(action, now=NOW + bulk.LEASE * bulk.MOST_STRIKES)
    assert action.state == BulkState.PLANNED
    assert why(action)[jobs[2].ref] == Hindrance.BROKEN
    assert bulk.tally(action).able == 4


def test_who_is_no_reviewer_any_more_can_do_none_of_many(many, ruth):
    _jobs, action = many
    ruth.memberships.all().delete()
    run(action)
    assert set(why(action).values()) == {Hindrance.NOT_YOURS}


def test_the_page_says_how_far_the_looking_over_is(client, workspace, ruth, waiting, monkeypatch):
    monkeypatch.setattr(preflight, "AT_ONCE", 4)
    waiting(5, now=timezone.now())
    client.force_login(ruth)
    page = words(post(client, "bulk_plan", all="1", ruling="approve", query=""))
    assert "Being looked over." in page and "0 of 5" in page and "every 2s" in page
    action = BulkAction.objects.get()
    url = action.get_absolute_url()
    part = client.get(url, headers={"HX-Request": "true"})
    assert "0 of 5" in words(part) and "<h1>" not in words(part)
    assert "still being looked over" in words(post(client, "bulk_start", action.ref))
    tasks.work_bulk(action_id=str(action.pk))
    assert client.get(url, headers={"HX-Request": "true"})["HX-Refresh"] == "true"
    assert "5 match, 5 can be approved." in words(client.get(url))


def test_another_workspaces_jobs_cannot_be_ticked(ruth, workspace, waiting):
    strange = JobFactory(status=Status.NEEDS_REVIEW)
    with pytest.raises(NotPlanned):
        plan(ruth, workspace, [strange])
    [mine] = waiting()
    action = plan(ruth, workspace, [strange, mine])
    assert [item.job for item in action.items.all()] == [mine]


@pytest.mark.parametrize("ruling", sorted(set(Ruling) - set(preflight.OFFERED)))
def test_what_says_something_of_one_result_is_not_offered(ruth, workspace, waiting, ruling):
    with pytest.raises(NotPlanned, match="one job at a time"):
        plan(ruth, workspace, waiting(), ruling)


def test_each_is_an_ordinary_decision_by_that_person(workspace, ruth, waiting, begin, queued):
    jobs = waiting(3)
    action = begin(plan(ruth, workspace, jobs), ruth, "Seen in the meeting.")
    assert queued == [(bulk.WORK, {"action_id": str(action.pk)})]
    run(action)
    assert action.state == BulkState.DONE and action.ended_at == NOW
    assert action.next_check_at is None and action.lease_token is None
    for job in jobs:
        seen = job.open_gate.content_hash
        job.refresh_from_db()
        assert job.status == Status.COMPLETED
        decision = Decision.objects.get(job=job)
        assert (decision.actor, decision.role, decision.note) == (
            ruth,
            Role.REVIEWER,
            "Seen in the meeting.",
        )
        assert decision.content_hash == seen
        assert decision.bulk_item.action == action


@pytest.mark.parametrize(
    ("ruling", "status"),
    [
        (Ruling.REJECT, Status.FAILED),
        (Ruling.ESCALATE, Status.NEEDS_REVIEW),
        (Ruling.RETRY, Status.QUEUED),
        (Ruling.CANCEL, Status.CANCELED),
    ],
)
def test_every_ruling_that_is_offered_is_carried_out(
    workspace, ruth, waiting, begin, ruling, status
):
    jobs = waiting(2)
    run(begin(plan(ruth, workspace, jobs, ruling), ruth, "Because."))
    assert set(Job.objects.filter(pk__in=[j.pk for j in jobs]).values_list("status")) == {(status,)}
    assert Decision.objects.filter(ruling=ruling).count() == 2


def test_what_changes_after_it_was_looked_over_is_refused_in_words(
    workspace, ruth, lee, waiting, begin
):
    fine, newer, gone, held, again = jobs = waiting(5)
    action = begin(plan(ruth, workspace, jobs), ruth)
    decide(newer.pk, Ask(Ruling.REQUEST_CHANGES, lee, NOW, note="Shorter."))
    start(newer)
    finish(newer, "completed")
    decide(gone.pk, Ask(Ruling.REJECT, lee, NOW, note="No."))
    claims.claim(held.open_gate, lee, now=NOW)
    decide(again.pk, Ask(Ruling.APPROVE, lee, NOW))
    decide(again.pk, Ask(Ruling.REOPEN, lee, NOW, note="Look again."))
    run(action)
    assert action.state == BulkState.DONE
    assert why(action) == {
        newer.ref: Hindrance.CHANGED,
        gone.ref: Hindrance.GONE,
        held.ref: Hindrance.HELD,
        again.ref: Hindrance.CHANGED,
    }
    said = dict(action.items.values_list("job__ref", "said"))
    assert "lee decided at" in said[gone.ref]
    assert "lee has this review open" in said[held.ref]
    assert Decision.objects.get(actor=ruth).job == fine


def test_who_loses_the_role_midway_is_refused_the_rest(
    workspace, ruth, waiting, begin, monkeypatch
):
    monkeypatch.setattr(bulk, "AT_ONCE", 2)
    action = begin(plan(ruth, workspace, waiting(4)), ruth)
    run(action)
    assert bulk.tally(action).done == 2
    ruth.memberships.all().delete()
    run(action)
    tally = bulk.tally(action)
    assert (tally.done, tally.pending, action.state) == (2, 0, BulkState.DONE)
    assert [(group.hindrance, group.number) for group in tally.refused] == [
        (Hindrance.NOT_YOURS, 2)
    ]
    assert "that you may see" in tally.refused[0].example


def test_a_task_does_a_part_and_hands_on(workspace, ruth, waiting, begin, queued, monkeypatch):
    monkeypatch.setattr(bulk, "AT_ONCE", 2)
    action = begin(plan(ruth, workspace, waiting(3)), ruth)
    tasks.work_bulk(action_id=str(action.pk))
    action.refresh_from_db()
    assert (bulk.tally(action).done, action.state) == (2, BulkState.RUNNING)
    assert len(queued) == 2
    run(action)
    assert (bulk.tally(action).done, action.state) == (3, BulkState.DONE)
    assert len(queued) == 2


def test_a_task_ends_in_time(workspace, ruth, waiting, begin):
    action = begin(plan(ruth, workspace, waiting(3)), ruth)
    ticks = numbers()
    bulk.work(action.pk, clock=lambda: NOW + bulk.WORK_LASTS * next(ticks))
    assert bulk.tally(action).done == 1


def test_two_tasks_at_once_decide_each_item_once(workspace, ruth, waiting, begin, monkeypatch):
    action = begin(plan(ruth, workspace, waiting(3)), ruth)

    def also(job_id, ask):
        # A second task begins while the first one decides.
        bulk.work(action.pk, clock=lambda: NOW)
        return decide(job_id, ask)

    monkeypatch.setattr(bulk, "decide", also)
    run(action)
    assert Decision.objects.filter(actor=ruth).count() == 3
    assert action.state == BulkState.DONE


def test_a_task_whose_lease_was_taken_over_decides_nothing_more(
    workspace, ruth, waiting, begin, monkeypatch
):
    action = begin(plan(ruth, workspace, waiting(2)), ruth)

    def slow(job_id, ask):
        made = decide(job_id, ask)
        BulkAction.objects.filter(pk=action.pk).update(lease_token=action.pk)
        return made

    monkeypatch.setattr(bulk, "decide", slow)
    run(action)
    assert (bulk.tally(action).done, action.state) == (1, BulkState.RUNNING)


@pytest.mark.parametrize("after", [False, True])
def test_a_kill_leaves_an_item_to_do_or_done_and_another_task_goes_on(
    workspace, ruth, waiting, begin, queued, monkeypatch, after
):
    action = begin(plan(ruth, workspace, waiting(3)), ruth)
    real, made = decide, []

    def dies(job_id, ask):
        made.append(job_id)
        if len(made) == 2:
            if after:
                real(job_id, ask)
            raise Killed
        return real(job_id, ask)

    monkeypatch.setattr(bulk, "decide", dies)
    with pytest.raises(Killed):
        run(action)
    assert Decision.objects.filter(actor=ruth).count() == 1 == bulk.tally(action).done
    queued.clear()
    bulk.revive(NOW + timedelta(seconds=16))
    assert queued == [], "it is still held"
    lapsed = NOW + bulk.LEASE
    bulk.revive(lapsed)
    bulk.revive(lapsed)
    assert queued == [(bulk.WORK, {"action_id": str(action.pk)})]
    run(action, now=lapsed)
    assert action.state == BulkState.DONE
    assert Decision.objects.filter(actor=ruth).count() == 3


def test_what_kills_every_task_is_left_out(workspace, ruth, waiting, begin, monkeypatch):
    jobs = waiting(2)
    action = begin(plan(ruth, workspace, jobs), ruth)

    def dies(job_id, ask):
        if job_id == jobs[0].pk:
            raise Killed
        return decide(job_id, ask)

    monkeypatch.setattr(bulk, "decide", dies)
    for number in range(bulk.MOST_STRIKES):
        with pytest.raises(Killed):
            run(action, now=NOW + bulk.LEASE * number)
    run(action, now=NOW + bulk.LEASE * bulk.MOST_STRIKES)
    assert action.state == BulkState.DONE
    assert why(action) == {jobs[0].ref: Hindrance.BROKEN}


def test_an_error_in_one_leaves_it_out_and_the_others_go_on(
    workspace, ruth, waiting, begin, monkeypatch
):
    jobs = waiting(2)
    action = begin(plan(ruth, workspace, jobs), ruth)

    def breaks(job_id, ask):
        if job_id == jobs[0].pk:
            decide(job_id, ask)
            raise KeyError("a fault")
        return decide(job_id, ask)

    monkeypatch.setattr(bulk, "decide", breaks)
    run(action)
    assert why(action) == {jobs[0].ref: Hindrance.BROKEN}
    assert Job.objects.get(pk=jobs[0].pk).status == Status.NEEDS_REVIEW, "nothing was changed"
    assert (bulk.tally(action).done, action.state) == (1, BulkState.DONE)


def test_it_can_be_stopped_and_the_rest_stays_as_it_was(
    workspace, ruth, waiting, begin, monkeypatch
):
    action = begin(plan(ruth, workspace, waiting(3)), ruth)

    monkeypatch.setattr(bulk, "AT_ONCE", 1)
    run(action)
    bulk.stop(action, now=NOW)
    run(action)
    assert action.state == BulkState.STOPPED
    assert (bulk.tally(action).done, bulk.tally(action).pending) == (1, 2)
    assert Job.objects.filter(status=Status.NEEDS_REVIEW).count() == 2
    with pytest.raises(NotNow):
        bulk.stop(action, now=NOW)
    bulk.revive(NOW + timedelta(days=1))


def test_it_begins_once_and_not_late_and_with_words(workspace, ruth, waiting, begin):
    action = plan(ruth, workspace, waiting(2), Ruling.REJECT)
    with pytest.raises(NoteMissing, match="needs a note that says why"):
        begin(action, ruth, "  ")
    with pytest.raises(NotNow, match="more than an hour ago"):
        begin(action, ruth, "No.", now=NOW + timedelta(minutes=61))
    stale = BulkAction.objects.get(pk=action.pk)
    begin(action, ruth, "No.")
    for again in (action, stale):
        with pytest.raises(NotNow, match="begun already"):
            begin(again, ruth, "No.")


def test_what_was_never_begun_is_thrown_away_with_the_next(workspace, ruth, waiting):
    jobs = waiting(1)
    old = plan(ruth, workspace, jobs)
    plan(ruth, workspace, jobs, now=NOW + timedelta(hours=25))
    assert not BulkAction.objects.filter(pk=old.pk).exists()


def test_a_look_around_revives_what_was_lost_with_one_question(
    workspace, ruth, waiting, begin, queued
):
    action = begin(plan(ruth, workspace, waiting(1)), ruth)
    queued.clear()
    with CaptureQueriesContext(connection) as queries:
        signals.looked_around.send(None, now=NOW)
    assert queued == []
    assert sum("bulkaction" in query["sql"] for query in queries) == 1
    signals.looked_around.send(None, now=NOW + bulk.NUDGE_AGAIN)
    assert queued == [(bulk.WORK, {"action_id": str(action.pk)})]


def test_looking_over_many_asks_few_questions_of_each(workspace, ruth, waiting):
    asked = []
    for number in (2, 6):
        jobs = waiting(number)
        with CaptureQueriesContext(connection) as queries:
            plan(ruth, workspace, jobs)
        asked.append(len(queries) / number)
    assert (asked[1] * 6 - asked[0] * 2) / 4 <= 3


def test_whoever_the_note_names_is_told_once_and_not_job_by_job(
    workspace, ruth, lee, waiting, begin
):
    action = plan(ruth, workspace, waiting(3), ruling=Ruling.REJECT)
    run(begin(action, ruth, note="As agreed with @lee."))
    assert bulk.tally(action).done == 3
    told = Occurrence.objects.filter(kind=NoticeKind.MENTIONED)
    assert [one.people for one in told] == [[lee.pk]]


# Pages


def post(client, name, *args, **data):
    return client.post(reverse(f"reviews:{name}", args=["quality", *args]), data, follow=True)


def words(answer):
    return " ".join(answer.content.decode().split())


def test_from_the_ticks_to_the_end_without_javascript(
    client, workspace, ruth, lee, waiting, queued, django_capture_on_commit_callbacks
):
    jobs = waiting(4, now=timezone.now())
    client.force_login(ruth)
    page = words(client.get("/w/quality/reviews/"))
    for job in jobs:
        assert f'value="{job.ref}.{job.open_gate.content_hash[:16]}"' in page
    claims.claim(jobs[3].open_gate, lee, now=timezone.now())
    ticked = [f"{job.ref}.{job.open_gate.content_hash[:16]}" for job in jobs]
    answer = post(client, "bulk_plan", job=ticked, ruling="approve", query="kind=output")
    page = words(answer)
    assert "4 are ticked, 3 can be approved, 1 cannot: 1 open with somebody else." in page
    assert "lee has" in page
    assert not Decision.objects.exists()
    action = BulkAction.objects.get()
    with django_capture_on_commit_callbacks(execute=True):
        page = words(post(client, "bulk_start", action.ref, note="Fine."))
    assert "Under way." in page and "every 2s" in page
    tasks.work_bulk(action_id=str(action.pk))
    page = words(client.get(action.get_absolute_url()))
    assert "All that can be approved are." in page
    assert "every 2s" not in page, "what is done is not asked for again"
    assert "reviews/?kind=output" in page
    assert action.ref in words(client.get("/w/quality/reviews/bulk/"))


def test_all_that_match_is_the_filter_of_the_page(client, workspace, ruth, waiting):
    waiting(2)
    other = JobFactory(workspace=workspace, status=Status.NEEDS_REVIEW)
    client.force_login(ruth)
    query = f"type={other.job_type.slug}"
    answer = post(client, "bulk_plan", all="1", ruling="cancel", query=query)
    assert "1 matches, 1 can be canceled." in words(answer)
    assert BulkItem.objects.get().job == other


def test_nothing_ticked_is_told_and_makes_nothing(client, workspace, ruth, waiting):
    waiting(1)
    client.force_login(ruth)
    assert "Nothing is chosen." in words(post(client, "bulk_plan", ruling="approve"))
    assert "Nothing was chosen" in words(post(client, "bulk_plan", ruling="explode"))
    for query in ("level=x", "tab=history&person=ruth"):
        said = words(post(client, "bulk_plan", ruling="approve", all="1", query=query))
        assert "Nothing was chosen" in said
    assert not BulkAction.objects.exists()


@pytest.mark.parametrize("job", ["", ".", "\0", "J-0000000." + "z" * 9_000, "é" * 50])
def test_a_tick_that_is_none_is_nothing(client, workspace, ruth, waiting, job):
    client.force_login(ruth)
    answer = post(client, "bulk_plan", ruling="approve", job=job)
    assert "Nothing is chosen." in words(answer)


def test_a_missing_note_is_asked_for_and_begins_nothing(client, workspace, ruth, waiting, queued):
    action = plan(ruth, workspace, waiting(1), Ruling.REJECT, now=timezone.now())
    client.force_login(ruth)
    answer = post(client, "bulk_start", action.ref, note=" ")
    assert answer.status_code == 422
    assert "Reject needs a note that says why." in words(answer)
    assert " required autofocus>" in answer.content.decode()
    assert BulkAction.objects.get().state == BulkState.PLANNED


def test_somebody_elses_action_is_not_there(client, workspace, ruth, lee, waiting):
    action = plan(ruth, workspace, waiting(1))
    client.force_login(lee)
    assert client.get(action.get_absolute_url()).status_code == 404
    assert post(client, "bulk_start", action.ref).status_code == 404
    assert post(client, "bulk_stop", action.ref).status_code == 404


def test_what_waits_for_an_onlooker_has_no_ticks(client, workspace, waiting):
    waiting(1)
    client.force_login(UserFactory(workspace=workspace, roles=[Role.OPERATOR]))
    assert "data-tick" not in words(client.get("/w/quality/reviews/"))
    answer = client.post(reverse("reviews:bulk_plan", args=["quality"]), {"ruling": "approve"})
    assert answer.status_code == 403


def test_looking_at_it_writes_nothing(client, workspace, ruth, waiting):
    action = plan(ruth, workspace, waiting(1), now=timezone.now())
    client.force_login(ruth)
    with CaptureQueriesContext(connection) as queries:
        client.get(action.get_absolute_url())
    assert not [q for q in queries if q["sql"].split()[0] in ("INSERT", "UPDATE", "DELETE")]
    assert action.items.get().outcome == Outcome.PENDING


def test_what_was_escalated_since_goes_no_further(workspace, ruth, lee, queued, waiting):
    three = [("One", Role.REVIEWER), ("Two", Role.REVIEWER), ("Three", Role.LEAD)]
    [job, other] = waiting(2, job_type=JobTypeFactory(ladder=three))
    action = plan(ruth, workspace, [job, other], Ruling.ESCALATE)
    later = NOW + timedelta(minutes=1)
    decide(job.pk, Ask(Ruling.ESCALATE, lee, later, note="Look."))
    bulk.start(action, ruth, note="Look.", now=later)
    run(action, later)
    levels = Job.objects.order_by("id").values_list("open_gate__level", flat=True)
    assert list(levels) == [2, 2]
    assert action.items.get(job=job).hindrance == Hindrance.CHANGED
    assert action.items.get(job=other).outcome == Outcome.DONE


# Where several must approve


TWO = [("Reviewers", Role.REVIEWER, 2), ("Leadership", Role.LEAD)]


def test_an_approval_that_others_must_join_is_said_as_that(
    client, workspace, ruth, lee, waiting, begin
):
    ben = UserFactory(workspace=workspace, roles=[Role.REVIEWER])
    [alone] = waiting()
    [first, second] = waiting(2, job_type=JobTypeFactory(ladder=TWO))
    decide(second.pk, Ask(Ruling.APPROVE, ben, NOW))
    three = JobTypeFactory(ladder=[("Reviewers", Role.REVIEWER, 3)])
    [long] = waiting(job_type=three)
    later = timezone.now()
    action = plan(ruth, workspace, [alone, first, second, long], now=later)
    client.force_login(ruth)
    page = words(client.get(action.get_absolute_url()))
    assert "<strong>2</strong> of them are not completed by it: others must approve them" in page
    assert "After you, 1 more must approve." in page
    assert "After you, 2 more must approve." in page
    begin(action, ruth, now=later)
    run(action, later)
    tally = bulk.tally(action)
    assert (tally.done, tally.whole, tally.partial) == (4, 2, 2)
    page = words(client.get(action.get_absolute_url()))
    for said in (
        '<dt>Approved</dt><dd class="nums">2</dd>',
        '<dt>Approved by you, 1 more must</dt><dd class="nums">1</dd>',
        '<dt>Approved by you, 2 more must</dt><dd class="nums">1</dd>',
        "All of them are approved by you. Where several must approve, yours is one of them.",
        "Approved by you: 4",
        "Approved by you, 1 more must.",
    ):
        assert said in page
    # What the page says follows what becomes of them.
    decide(first.pk, Ask(Ruling.APPROVE, ben, later))
    ruth.memberships.filter(role=Role.REVIEWER).update(role=Role.AUDITOR)
    page = words(client.get(action.get_absolute_url()))
    assert "Approved by you, and decided since." in page
    assert "Approved by you, 3 more must." in page


def test_where_nobody_else_must_approve_it_is_said_as_before(
    client, workspace, ruth, waiting, begin
):
    action = begin(plan(ruth, workspace, waiting(2)), ruth)
    run(action)
    client.force_login(ruth)
    page = words(client.get(action.get_absolute_url()))
    assert "All of them are approved." in page
    assert "by you" not in page


def test_however_many_wait_for_others_few_questions_say_so(workspace, ruth, waiting, begin):
    asked = []
    for number in (1, 4):
        jobs = waiting(number, job_type=JobTypeFactory(ladder=TWO))
        action = begin(plan(ruth, workspace, jobs), ruth)
        run(action)
        items = action.items.select_related("decision")
        with CaptureQueriesContext(connection) as queries:
            assert list(bulk.more_needed(items).values()) == [1] * number
        asked.append(len(queries))
    assert asked[0] == asked[1] == 4


# Reassigned


def test_reviews_are_given_to_somebody_and_those_that_cannot_be_are_counted(
    workspace, ruth, lee, waiting, begin
):
    ben = UserFactory(username="ben", workspace=workspace, roles=[Role.REVIEWER, Role.REQUESTER])
    able = waiting(2)
    held, his, already, approved = (
        *waiting(),
        *waiting(requester=ben),
        *waiting(),
        *waiting(job_type=JobTypeFactory(ladder=TWO)),
    )
    [open_with_him] = waiting()
    claims.claim(held.open_gate, lee, now=NOW)
    claims.claim(open_with_him.open_gate, ben, now=NOW)
    decide(already.pk, Ask(Ruling.REASSIGN, lee, NOW, assignee="ben"))
    decide(approved.pk, Ask(Ruling.APPROVE, ben, NOW))
    jobs = [*able, held, his, already, approved, open_with_him]
    action = plan(ruth, workspace, jobs, Ruling.REASSIGN, assignee="ben")
    assert why(action) == {
        held.ref: Hindrance.HELD,
        his.ref: Hindrance.NOT_THEIRS,
        already.ref: Hindrance.ASKED_ALREADY,
        approved.ref: Hindrance.NOT_THEIRS,
    }
    begin(action, ruth, "I am away.")
    run(action)
    assert bulk.tally(action).done == 3
    for job in (*able, open_with_him):
        decision = Decision.objects.get(job=job, ruling=Ruling.REASSIGN)
        assert (decision.actor, decision.data["to"], decision.note) == (ruth, "ben", "I am away.")
        assert Job.objects.get(pk=job.pk).open_gate.assignee == ben


def test_at_a_level_of_leads_it_is_given_to_leads_alone(workspace, ruth, lee, waiting):
    [job, lifted] = waiting(2)
    decide(lifted.pk, Ask(Ruling.ESCALATE, lee, NOW, note="Up."))
    lifted.refresh_from_db()
    action = plan(lee, workspace, [job, lifted], Ruling.REASSIGN, assignee="ruth")
    assert why(action) == {lifted.ref: Hindrance.NOT_THEIRS}


@pytest.mark.parametrize("name", ["", "nobody", "olga", "ina", "rea\0"])
def test_nobody_is_given_reviews_who_decides_none_here(workspace, ruth, waiting, name):
    UserFactory(username="olga", workspace=workspace, roles=[Role.OPERATOR])
    UserFactory(username="ina", workspace=workspace, roles=[Role.REVIEWER], is_active=False)
    with pytest.raises(NotPlanned, match="Say to whom"):
        plan(ruth, workspace, waiting(), Ruling.REASSIGN, assignee=name)
    assert not BulkAction.objects.exists()


def test_who_loses_the_right_in_between_is_given_nothing(workspace, ruth, lee, waiting, begin):
    ben = UserFactory(username="ben", workspace=workspace, roles=[Role.REVIEWER])
    action = begin(plan(ruth, workspace, waiting(2), Ruling.REASSIGN, assignee="ben"), ruth)
    ben.memberships.all().delete()
    run(action)
    assert set(why(action).values()) == {Hindrance.NOT_THEIRS}
    assert bulk.tally(action).refused_count == 2


def test_to_whom_is_asked_first_without_javascript(
    client, workspace, ruth, lee, waiting, queued, django_capture_on_commit_callbacks
):
    jobs = waiting(2, now=timezone.now())
    client.force_login(ruth)
    assert 'value="reassign"' in words(client.get("/w/quality/reviews/"))
    ticked = [f"{job.ref}.{job.open_gate.content_hash[:16]}" for job in jobs]
    page = words(post(client, "bulk_plan", job=ticked, ruling="reassign", query="kind=output"))
    assert '<option value="ruth" selected>ruth (you)</option>' in page
    assert '<option value="lee">lee</option>' in page
    assert all(f'name="job" value="{one}"' in page for one in ticked)
    assert not BulkAction.objects.exists()
    page = words(post(client, "bulk_plan", job=ticked, ruling="reassign", assignee="lee"))
    assert "Reassign 2 jobs to <bdi>lee</bdi>?" in page
    assert "2 are ticked, 2 can be reassigned to lee." in page
    action = BulkAction.objects.get()
    with django_capture_on_commit_callbacks(execute=True):
        post(client, "bulk_start", action.ref)
    tasks.work_bulk(action_id=str(action.pk))
    assert "All of them are reassigned to lee." in words(client.get(action.get_absolute_url()))
    assert "to <bdi>lee</bdi>" in words(client.get("/w/quality/reviews/bulk/"))
    assert "Nothing is chosen" in words(post(client, "bulk_plan", ruling="reassign"))
    page = words(post(client, "bulk_plan", all="1", ruling="reassign", query="", assignee="x"))
    assert "Say to whom" in page
