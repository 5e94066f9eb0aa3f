"""Who is told what, once, and of what no more."""

from datetime import timedelta

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from jobs import lifecycle
from jobs.access import Action, allowed_actions, who_may
from jobs.lifecycle import Reason
from jobs.models import Gate, Job, Membership, Role, Status, Verb
from reviews import mailing, notices, occasions
from reviews.actions import Ask, decide
from reviews.models import (
    ASKS,
    How,
    Letter,
    Notice,
    NoticeKind,
    Occurrence,
    ReviewerNote,
    Ruling,
)
from reviews.notes import write_note
from reviews.signals import mentioned
from tests.factories import (
    NOW,
    JobFactory,
    JobTypeFactory,
    UserFactory,
    WorkspaceFactory,
    approve,
    finish,
    start,
)
from tests.told import choose, queued, tell, told

pytestmark = pytest.mark.django_db

REVIEW, ENDED = NoticeKind.NEEDS_REVIEW, NoticeKind.FINISHED


@pytest.fixture
def here():
    return WorkspaceFactory()


@pytest.fixture
def people(here):
    """One of each role."""
    return {role: UserFactory(workspace=here, roles=[role]) for role in Role}


def waiting(here, **more):
    return JobFactory(workspace=here, status=Status.NEEDS_REVIEW, **more)


def failed(here, *, code="invalid_prompt", now=NOW, **more):
    job = JobFactory(workspace=here, now=now, **more)
    start(job, now=now)
    finish(job, "failed", now=now, error={"code": code, "message": "No."})
    return job


def happened(job, verb, *, actor=None, now=NOW, by="Jobsite", reason="Because."):
    """An event of a review that goes on, as it may come to be recorded."""
    with lifecycle.locked(job.pk) as held:
        return lifecycle.record(
            held, verb, now=now, actor=actor, by=by, reason=Reason("said", reason)
        )


# Who


def test_a_review_is_told_to_those_who_may_decide_it(here, people):
    job = waiting(here, requester=people[Role.REQUESTER])
    tell(NOW)
    assert {role: told(person) for role, person in people.items() if told(person)} == {
        Role.REVIEWER: [(REVIEW, job.ref)],
        Role.LEAD: [(REVIEW, job.ref)],
    }
    notice = Notice.objects.get(person=people[Role.LEAD])
    assert notice.due_at == job.open_gate.due_at
    assert notice.why


@pytest.mark.parametrize("own_approval", [True, False])
def test_a_requester_who_reviews_is_told_of_their_own_only_where_they_may_approve_it(
    here, own_approval
):
    both = UserFactory(workspace=here, roles=[Role.REQUESTER, Role.REVIEWER])
    waiting(here, requester=both, job_type=JobTypeFactory(own_approval=own_approval))
    tell(NOW)
    assert bool(told(both)) == own_approval


def test_whoever_is_inactive_or_elsewhere_hears_nothing(here):
    gone = UserFactory(workspace=here, roles=[Role.LEAD], is_active=False)
    elsewhere = UserFactory(workspace=WorkspaceFactory(), roles=[Role.LEAD])
    waiting(here)
    tell(NOW)
    assert told(gone) == told(elsewhere) == []


def test_a_review_that_was_given_to_somebody_is_told_to_them_alone(here, people):
    other = UserFactory(workspace=here, roles=[Role.REVIEWER])
    job = waiting(here)
    Gate.objects.filter(pk=job.open_gate_id).update(assignee=other)
    tell(NOW)
    assert told(other) == [(REVIEW, job.ref)]
    assert told(people[Role.REVIEWER]) == told(people[Role.LEAD]) == []


@pytest.mark.parametrize("level", [1, 2])
@pytest.mark.parametrize("own_approval", [True, False])
def test_those_who_are_told_are_those_whom_the_rule_lets_decide(here, people, level, own_approval):
    """The one rule, for many people at once."""
    mixed = UserFactory(workspace=here, roles=[Role.REQUESTER, Role.LEAD])
    everybody = [*people.values(), mixed, UserFactory(is_superuser=True)]
    job_type = JobTypeFactory(own_approval=own_approval)
    job = waiting(here, requester=mixed, job_type=job_type)
    Gate.objects.filter(pk=job.open_gate_id).update(level=level)
    job = Job.objects.select_related("open_gate", "job_type").get(pk=job.pk)
    for action in (Action.APPROVE, Action.VIEW, Action.CANCEL):
        may = {person for person in everybody if allowed_actions(person, job)[action].allowed}
        assert set(who_may(job, action)) == {one for one in may if not one.is_superuser}


def test_whoever_has_approved_already_is_not_reminded(here, people):
    job_type = JobTypeFactory(ladder=[("Reviewers", Role.REVIEWER, 2), ("Leads", Role.LEAD)])
    job = waiting(here, job_type=job_type)
    tell(NOW)
    decide(job.pk, Ask(Ruling.APPROVE, people[Role.REVIEWER], NOW))
    job = Job.objects.select_related("open_gate", "job_type").get(pk=job.pk)
    assert who_may(job, Action.APPROVE) == [people[Role.LEAD]]
    Notice.objects.update(read_at=NOW)
    happened(job, "reminded")
    tell(NOW)
    assert told(people[Role.REVIEWER]) == []
    assert told(people[Role.LEAD]) == [(NoticeKind.REMINDED, job.ref)]


def test_an_escalation_is_told_to_those_at_the_new_level_with_its_reason(here, people):
    job = waiting(here)
    tell(NOW)
    decide(job.pk, Ask(Ruling.ESCALATE, people[Role.REVIEWER], NOW, note="It names a customer."))
    tell(NOW)
    assert told(people[Role.REVIEWER]) == []
    assert told(people[Role.LEAD]) == [(NoticeKind.ESCALATED, job.ref)]
    assert Notice.objects.get(kind=NoticeKind.ESCALATED).why == "It names a customer."


@pytest.mark.parametrize(
    ("verb", "kind", "hear"),
    [
        ("reminded", NoticeKind.REMINDED, {Role.REVIEWER, Role.LEAD}),
        ("overdue", NoticeKind.OVERDUE, {Role.REVIEWER, Role.LEAD}),
        ("escalated", NoticeKind.ESCALATED, {Role.REVIEWER, Role.LEAD}),
    ],
)
def test_what_happens_to_a_review_by_itself_is_told_too(here, people, verb, kind, hear):
    job = waiting(here)
    tell(NOW)
    Notice.objects.update(read_at=NOW)
    happened(job, verb)
    tell(NOW)
    assert {role for role, person in people.items() if (kind, job.ref) in told(person)} == hear


def test_an_overdue_review_is_told_to_its_assignee_and_to_leads(here, people):
    job = waiting(here)
    other = UserFactory(workspace=here, roles=[Role.REVIEWER])
    Gate.objects.filter(pk=job.open_gate_id).update(assignee=people[Role.REVIEWER])
    Occurrence.objects.all().delete()
    happened(job, "overdue")
    tell(NOW)
    assert told(people[Role.REVIEWER]) == told(people[Role.LEAD])
    assert told(people[Role.LEAD]) == [(NoticeKind.OVERDUE, job.ref)]
    assert told(other) == []


@pytest.mark.parametrize("verb", ["reminded", "overdue"])
def test_what_waits_for_somebody_who_lost_their_role_is_told_to_those_who_may(here, people, verb):
    job = waiting(here)
    gone = UserFactory(workspace=here, roles=[Role.REVIEWER])
    Gate.objects.filter(pk=job.open_gate_id).update(assignee=gone)
    gone.memberships.all().delete()
    Occurrence.objects.all().delete()
    happened(job, "assigned")
    happened(job, verb)
    tell(NOW)
    assert told(gone) == []
    assert told(people[Role.REVIEWER]) == told(people[Role.LEAD]) == [(verb, job.ref)]


@pytest.mark.parametrize("verb", ["assigned", "reassigned"])
def test_whoever_a_review_is_given_to_hears_of_it_and_the_others_are_relieved(here, people, verb):
    job = waiting(here)
    tell(NOW)
    Gate.objects.filter(pk=job.open_gate_id).update(assignee=people[Role.REVIEWER])
    happened(job, verb, actor=people[Role.LEAD])
    tell(NOW)
    assert told(people[Role.REVIEWER]) == [(NoticeKind.ASSIGNED, job.ref)]
    assert told(people[Role.LEAD]) == []


def test_what_waits_for_nobody_in_particular_again_is_told_to_all_who_may(here, people):
    job = waiting(here)
    ann, lead = people[Role.REVIEWER], people[Role.LEAD]
    decide(job.pk, Ask(Ruling.REASSIGN, lead, NOW, assignee=ann.username))
    tell(NOW)
    assert told(ann) == [(NoticeKind.ASSIGNED, job.ref)]
    ben = UserFactory(workspace=here, roles=[Role.REVIEWER])
    decide(job.pk, Ask(Ruling.REASSIGN, lead, NOW))
    tell(NOW)
    assert told(ann) == told(ben) == [(REVIEW, job.ref)]


def test_who_must_approve_too_is_told_and_whoever_did_has_no_more_to_do(here, people):
    job = waiting(here, job_type=JobTypeFactory(ladder=[("Two", Role.REVIEWER, 2)]))
    ann, lead = people[Role.REVIEWER], people[Role.LEAD]
    decide(job.pk, Ask(Ruling.REASSIGN, lead, NOW, assignee=ann.username))
    tell(NOW)
    decide(job.pk, Ask(Ruling.APPROVE, ann, NOW))
    tell(NOW)
    assert told(ann) == []
    assert told(lead) == [(REVIEW, job.ref)]
    happened(job, "reminded")
    tell(NOW)
    assert told(ann) == []
    Notice.objects.filter(kind=NoticeKind.REMINDED).delete()
    decide(job.pk, Ask(Ruling.APPROVE, lead, NOW, edit="Better."))
    tell(NOW)
    assert told(ann) == [(REVIEW, job.ref)], "the count began anew"
    assert told(lead) == []


def test_a_requester_hears_how_their_job_ended(here, people):
    mine = people[Role.REQUESTER]
    done = waiting(here, requester=mine)
    approve(done)
    rejected = waiting(here, requester=mine)
    decide(rejected.pk, Ask(Ruling.REJECT, people[Role.LEAD], NOW, note="Not this."))
    late = JobFactory(workspace=here, requester=mine, status=Status.EXPIRED)
    stopped = JobFactory(workspace=here, requester=mine)
    decide(stopped.pk, Ask(Ruling.CANCEL, people[Role.OPERATOR], NOW))
    JobFactory(workspace=here, requester=mine, status=Status.CANCELED)
    tell(NOW + timedelta(days=2))
    assert told(mine) == [(ENDED, job.ref) for job in (done, rejected, late, stopped)]
    assert list(
        Notice.objects.filter(person=mine).order_by("id").values_list("said", flat=True)
    ) == [
        "approved",
        "rejected",
        "expired",
        "canceled",
    ]


def test_nobody_is_told_of_what_they_did_themselves(here):
    both = UserFactory(workspace=here, roles=[Role.REQUESTER, Role.LEAD])
    job = waiting(here, requester=both, job_type=JobTypeFactory(own_approval=True))
    decide(job.pk, Ask(Ruling.APPROVE, both, NOW))
    decide(job.pk, Ask(Ruling.REOPEN, both, NOW, note="Again."))
    tell(NOW)
    assert told(both) == []


def test_a_failure_is_told_to_its_requester_and_to_those_who_keep_things_moving(here, people):
    job = failed(here, requester=people[Role.REQUESTER])
    tell(NOW)
    assert {role: told(person) for role, person in people.items() if told(person)} == {
        Role.REQUESTER: [(NoticeKind.FAILED, job.ref)],
        Role.OPERATOR: [(NoticeKind.TROUBLE, job.ref)],
        Role.ADMIN: [(NoticeKind.TROUBLE, job.ref)],
    }


def test_failures_of_one_cause_are_one_notice_for_a_quarter_of_an_hour(here, people):
    for minutes, code in ((0, "a"), (3, "a"), (14, "a"), (14, "b"), (15, "a")):
        failed(here, code=code, now=NOW + timedelta(minutes=minutes))
    failed(WorkspaceFactory(), code="a")
    tell(NOW + timedelta(hours=1))
    rows = Notice.objects.filter(person=people[Role.OPERATOR]).order_by("id")
    assert [(row.cause, row.times) for row in rows] == [("a", 3), ("b", 1), ("a", 1)]


def test_a_mention_is_told_to_those_who_may_see_the_job(here, people):
    job = waiting(here)
    Occurrence.objects.all().delete()
    stranger = UserFactory(workspace=WorkspaceFactory(), roles=[Role.LEAD])
    author, named = people[Role.REVIEWER], people[Role.LEAD]
    note = write_note(job, author=author, text="See page 3.", now=NOW)
    for _time in range(2):
        mentioned.send(
            ReviewerNote, note=note, author=author, people=[named, author, stranger], job=job
        )
    tell(NOW)
    assert told(named) == [(NoticeKind.MENTIONED, job.ref)]
    assert told(author) == told(stranger) == []
    assert Notice.objects.get().why == "", "what a note says is read at the job"


def test_who_wants_to_hear_nothing_of_a_kind_does_not(here, people):
    choose(people[Role.LEAD], REVIEW, How.OFF)
    waiting(here)
    tell(NOW)
    assert told(people[Role.LEAD]) == []
    assert told(people[Role.REVIEWER]) != []


def test_events_are_read_by_name_and_most_tell_nobody():
    for verb in Verb:
        if verb not in occasions.WITHIN_REVIEW:
            assert occasions.kinds(verb.value, "", "") == ()
    for status in Status:
        told_of = occasions.kinds("something_new", "running", status.value)
        assert bool(told_of) == (status not in (Status.QUEUED, Status.RUNNING))


# What is dealt with


def test_what_somebody_else_decided_needs_nobody_any_more(here, people):
    job = waiting(here)
    tell(NOW)
    lead = approve(job)
    assert told(people[Role.REVIEWER]) == []
    assert notices.unread_count(people[Role.REVIEWER]) == 0
    row = Notice.objects.get(person=people[Role.REVIEWER])
    assert row.done_by == f"Approved by {lead}"


def test_what_was_decided_before_anybody_was_told_is_never_asked(here, people):
    job = waiting(here)
    approve(job)
    tell(NOW)
    assert told(people[Role.REVIEWER]) == []
    assert not Notice.objects.filter(kind__in=ASKS).exists()


def test_a_second_review_of_the_same_job_is_asked_for_again(here, people):
    job = waiting(here)
    tell(NOW)
    decide(job.pk, Ask(Ruling.REQUEST_CHANGES, people[Role.LEAD], NOW, note="Shorter."))
    start(job)
    finish(job, "completed")
    tell(NOW)
    assert told(people[Role.REVIEWER]) == [(REVIEW, job.ref)]


# Once, whatever dies


def test_an_event_that_is_undone_tells_nobody(here, people):
    with pytest.raises(RuntimeError), transaction.atomic():
        waiting(here)
        raise RuntimeError
    assert not Occurrence.objects.exists()


def test_telling_twice_tells_once(here, people):
    waiting(here)
    ids = list(Occurrence.objects.values_list("pk", flat=True))
    for _time in range(2):
        notices.tell(ids, clock=lambda: NOW)
    assert Notice.objects.filter(person=people[Role.LEAD]).count() == 1
    assert not Occurrence.objects.exists()


def test_a_death_while_telling_tells_nobody_and_later_everybody_once(here, people, monkeypatch):
    """Whatever statement of the telling is the last that is carried out."""
    waiting(here)
    [occurrence] = Occurrence.objects.all()

    class Killed(BaseException):
        pass

    with transaction.atomic(), CaptureQueriesContext(connection) as whole:
        notices._tell(occurrence.pk, now=NOW)
        transaction.set_rollback(True)
    assert len(whole) > 5
    for last in range(len(whole)):
        seen = iter(range(last + 1))

        def dies(execute, sql, params, many, context, seen=seen, last=last):
            if next(seen, None) == last:
                raise Killed
            return execute(sql, params, many, context)

        with pytest.raises(Killed), transaction.atomic(), connection.execute_wrapper(dies):
            notices.tell([occurrence.pk], clock=lambda: NOW)
        assert Occurrence.objects.count() == 1
        assert not Notice.objects.exists()
    tell(NOW)
    assert Notice.objects.count() == 2


def test_what_cannot_be_told_holds_up_nothing_and_is_tried_again(here, people, monkeypatch):
    first, second = waiting(here), waiting(here)
    whole = notices.concerned

    def breaks(occurrence, job):
        if job == first:
            raise ValueError
        return whole(occurrence, job)

    monkeypatch.setattr(notices, "concerned", breaks)
    tell(NOW)
    assert told(people[Role.LEAD]) == [(REVIEW, second.ref)]
    assert Occurrence.objects.get().failures == 1
    monkeypatch.undo()
    tell(NOW)
    assert len(told(people[Role.LEAD])) == 1, "not yet"
    tell(NOW + notices.PUT_OFF)
    assert (REVIEW, first.ref) in told(people[Role.LEAD])


def test_the_queue_is_nudged_once_and_again_where_the_task_was_lost(here, people):
    waiting(here)
    notices.hand_out(NOW)
    notices.hand_out(NOW)
    assert queued() == [notices.TELL]
    notices.hand_out(NOW + notices.NUDGE_AGAIN)
    assert queued() == [notices.TELL] * 2


def test_many_things_at_once_are_told_one_task_after_the_other(here, people, monkeypatch):
    monkeypatch.setattr(notices, "MOST_AT_ONCE", 2)
    for _job in range(5):
        waiting(here)
    for _look in range(3):
        notices.hand_out(NOW)
    assert queued() == [notices.TELL]
    handed_out = Occurrence.objects.filter(next_check_at__gt=NOW).values_list("pk", flat=True)
    notices.tell(list(handed_out), clock=lambda: NOW)
    notices.hand_out(NOW)
    assert queued() == [notices.TELL] * 2


def test_two_hundred_reviewers_cost_the_event_two_statements_and_the_telling_few(here):
    for _person in range(200):
        Membership.objects.create(user=UserFactory(), workspace=here, role=Role.REVIEWER)
    job = waiting(here)
    Occurrence.objects.all().delete()
    with CaptureQueriesContext(connection) as captured:
        happened(job, "reminded")
    ours = [query for query in captured if "reviews_" in query["sql"]]
    assert len(ours) == 1
    with CaptureQueriesContext(connection) as captured:
        tell(NOW)
    assert Notice.objects.filter(kind=NoticeKind.REMINDED).count() == 200
    assert len(captured) < 40


def test_a_look_at_nothing_is_one_statement_each(django_assert_num_queries):
    with django_assert_num_queries(2):
        notices.hand_out(NOW)
        mailing.hand_out(NOW)


def test_what_is_old_is_forgotten_and_what_waits_is_not(here, people):
    waiting(here)
    tell(NOW)
    late = NOW + notices.KEPT + timedelta(days=1)
    Letter.objects.create(
        person=people[Role.LEAD],
        kind="soon",
        created_at=NOW,
        sealed_at=NOW,
        ended_at=NOW,
        outcome="sent",
    )
    tell(late - timedelta(days=2))
    assert Notice.objects.count() == 2
    job = waiting(here, now=late)
    tell(late)
    assert set(Notice.objects.values_list("job", flat=True)) == {job.pk}
    assert not Letter.objects.filter(outcome="sent").exists()
    assert Letter.objects.filter(ended_at=None).count() == 2


# Those who may no longer see


def test_whoever_lost_their_role_sees_none_of_what_they_were_told(here, people):
    waiting(here)
    tell(NOW)
    reviewer = people[Role.REVIEWER]
    assert notices.unread_count(reviewer) == 1
    Membership.objects.filter(user=reviewer).update(role=Role.REQUESTER)
    assert notices.unread_count(reviewer) == 0
    assert notices.page(reviewer).notices == []
    Membership.objects.filter(user=reviewer).delete()
    assert notices.page(reviewer).notices == []
