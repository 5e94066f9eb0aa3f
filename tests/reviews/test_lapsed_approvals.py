"""Approvals whose givers may not approve any more: they count no longer, and the page says whose."""

from datetime import timedelta
from types import SimpleNamespace

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from jobs import audit, report
from jobs.access import Action, NotNow, may_decide, permission, who_may
from jobs.ballots import ballot, missing
from jobs.calls import Verdict
from jobs.models import (
    Approval,
    FunctionCall,
    Job,
    JobType,
    Membership,
    Role,
    Status,
    User,
    Verb,
)
from jobs.standing import standing
from reviews import offers, receivers
from reviews.actions import Ask, decide
from reviews.approvals import standing_verdicts
from reviews.models import Decision, Notice, NoticeKind, Occurrence, Ruling
from reviews.standing import review_standing
from tests import payloads
from tests.factories import EMAIL, NOW, JobFactory, JobTypeFactory, UserFactory, wants
from tests.jobs.test_races import _ruling, _sorted_out, at_once
from tests.told import tell

pytestmark = pytest.mark.django_db

TWO = [("Reviewers", Role.REVIEWER, 2), ("Leadership", Role.LEAD, 2)]
THREE = [("Reviewers", Role.REVIEWER, 3)]
LATER = NOW + timedelta(minutes=5)


@pytest.fixture(autouse=True)
def histories_verify():
    yield
    assert list(audit.verify()) == []


def review(ladder=TWO, **type_fields):
    job_type = JobTypeFactory(ladder=ladder, **type_fields)
    return JobFactory(status=Status.NEEDS_REVIEW, job_type=job_type)


def someone(job, *roles, **more):
    return UserFactory(workspace=job.workspace, roles=roles or [Role.REVIEWER], **more)


def approve(job, actor, now=NOW, **more):
    decision = decide(job.pk, Ask(Ruling.APPROVE, actor, now, **more))
    job.refresh_from_db()
    return decision


def demoted(job, person):
    """With another role in the workspace."""
    Membership.objects.filter(user=person).update(role=Role.OPERATOR)


def gone(job, person):
    Membership.objects.filter(user=person).delete()


def deactivated(job, person):
    User.objects.filter(pk=person.pk).update(is_active=False)


def requested_it(job, person):
    Job.objects.filter(pk=job.pk).update(requester=person)


LOST = [
    (demoted, "Not a reviewer any more."),
    (gone, "No member of {place} any more."),
    (deactivated, "The account is deactivated."),
    (requested_it, "Requested this job, so somebody else must approve it."),
]


@pytest.mark.parametrize(("lose", "why"), LOST)
def test_an_approval_counts_no_more_once_its_giver_may_not_approve(lose, why):
    job = review()
    ann, ben, cas = (someone(job) for _ in range(3))
    approve(job, ann)
    lose(job, ann)
    second = approve(job, ben, LATER)
    assert (second.partial, job.status, job.open_gate.given) == (True, Status.NEEDS_REVIEW, 1)
    why = why.format(place=job.workspace)
    event = job.events.last()
    assert event.reason_text == (
        f"1 of 2 approvals is given. That of {ann} does not count any more: {why}"
    )
    assert (event.data["lapsed"], event.data["anew"]) == ([ann.username], False)
    lapsed = Approval.objects.get(actor=ann)
    assert (lapsed.lapsed_at, lapsed.lapsed_why) == (LATER, why)
    assert approve(job, cas).closes
    assert job.status == Status.COMPLETED


def requesters(job):
    """What the requester reads comes next."""
    gate = job.open_gate
    return standing(job, attempt=None, gate=gate, events=[], heartbeat=NOW, now=NOW).then


@pytest.mark.parametrize(("lose", "why"), LOST)
def test_the_pages_say_whose_does_not_count_and_why_before_anybody_else_approves(client, lose, why):
    job = review()
    ann, ben = someone(job), someone(job)
    approve(job, ann)
    lose(job, ann)
    job = Job.objects.get(pk=job.pk)
    seen = review_standing(job, now=NOW)
    assert (seen.approvals, seen.missing) == ([], 2)
    assert [(one.approval.actor, one.why) for one in seen.lapsed] == [
        (ann, why.format(place=job.workspace))
    ]
    assert "0 of 2 approvals are given. Yours is counted" in offers.consequence(Ruling.APPROVE, job)
    assert "approvals are given" not in requesters(job)
    assert report.job_document(job)["gate"]["approvals"] == {"given": 0, "needed": 2}
    client.force_login(ben)
    page = " ".join(client.get(f"/jobs/{job.ref}/review/").content.decode().split())
    assert "0 of 2" in page
    assert f"which does not count any more: {why.format(place=job.workspace)}" in page


def test_a_lead_who_is_one_no_more_does_not_count_where_leads_decide():
    job = review([("Leadership", Role.LEAD, 2)])
    ann, ben = someone(job, Role.LEAD), someone(job, Role.LEAD)
    approve(job, ann)
    Membership.objects.filter(user=ann).update(role=Role.REVIEWER)
    assert [one.why for one in ballot(job).lapsed] == ["Not a lead any more."]
    assert approve(job, ben).partial


def test_a_role_that_suffices_still_counts():
    job = review()
    ann, ben = someone(job), someone(job)
    approve(job, ann)
    Membership.objects.filter(user=ann).update(role=Role.LEAD)
    assert approve(job, ben).closes


def test_a_requester_counts_no_more_once_the_type_does_not_let_them_approve():
    job = review(own_approval=True)
    Membership.objects.create(user=job.requester, workspace=job.workspace, role=Role.REVIEWER)
    approve(job, job.requester)
    JobType.objects.update(own_approval=False)
    assert approve(job, someone(job)).partial
    assert job.open_gate.given == 1


def test_who_may_again_before_anybody_counted_still_counts():
    job = review()
    ann, ben = someone(job), someone(job)
    approve(job, ann)
    deactivated(job, ann)
    User.objects.filter(pk=ann.pk).update(is_active=True)
    assert approve(job, ben).closes


def test_who_may_again_after_it_lapsed_approves_anew():
    job = review(THREE)
    ann, ben, cas = (someone(job) for _ in range(3))
    approve(job, ann)
    demoted(job, ann)
    approve(job, ben)
    Membership.objects.filter(user=ann).update(role=Role.REVIEWER)
    assert missing(job) == 2
    assert Job.objects.awaiting(ann).get() == job
    assert ann in who_may(job, Action.APPROVE)
    assert ann in may_decide(job)
    assert approve(job, ann, LATER).partial
    # What counts again is not named as what does not.
    assert review_standing(job, now=NOW).lapsed == []
    with pytest.raises(NotNow, match="You approved already, at 09:05:00 UTC.*1 more approval is"):
        approve(job, ann)
    assert approve(job, cas).closes


def test_who_approved_is_told_how_many_are_needed_now():
    job = review(THREE)
    ann, ben = someone(job), someone(job)
    approve(job, ann)
    approve(job, ben)
    deactivated(job, ben)
    assert "2 more approvals are needed" in permission(ann, job, Action.APPROVE).why


def test_an_edit_after_an_approval_that_lapsed_begins_no_count_anew_twice():
    job = review(THREE)
    ann, ben, cas, dan = (someone(job) for _ in range(4))
    approve(job, ann)
    approve(job, ben, edit="Better.")
    deactivated(job, ben)
    assert approve(job, cas).partial
    assert job.events.last().data["anew"] is False
    approve(job, ann)
    assert approve(job, dan).closes


def test_verdicts_of_somebody_who_does_not_count_are_not_begun_from():
    tools = {"version__tools": [{"type": "function", "name": "send_email"}]}
    job = wants(JobTypeFactory(ladder=TWO, **tools), payloads.function_call("send_email", EMAIL))
    ann, ben, cas = (someone(job) for _ in range(3))
    approve(job, ann, verdicts={1: Verdict(approved=False, reason="No.")})
    assert standing_verdicts(job.open_gate) == {1: Verdict(approved=False, reason="No.")}
    deactivated(job, ann)
    assert standing_verdicts(job.open_gate) == {}
    assert approve(job, ben).partial
    assert approve(job, cas).closes
    assert FunctionCall.objects.get().approved_hash


def test_an_open_page_looks_anew_once_an_approval_counts_no_more(client):
    job = review()
    ann = someone(job)
    approve(job, ann)
    client.force_login(job.requester)
    version = client.get(f"/jobs/{job.ref}/").context["version"]
    assert client.get(f"/jobs/{job.ref}/live/", {"v": version}).status_code == 204
    deactivated(job, ann)
    assert client.get(f"/jobs/{job.ref}/live/", {"v": version}).status_code == 200


def test_what_counts_is_asked_with_two_queries_however_many_approved():
    job = review([("Reviewers", Role.REVIEWER, 9)])
    for _ in range(5):
        approve(job, someone(job))
    job = Job.objects.select_related("open_gate", "workspace").get(pk=job.pk)
    with CaptureQueriesContext(connection) as queries:
        assert missing(job) == 4
    assert len(queries) == 2


@pytest.mark.django_db(transaction=True)
def test_beside_one_that_lapsed_thirty_at_once_are_exactly_two():
    job = review()
    ann = someone(job)
    approve(job, ann)
    demoted(job, ann)
    people = [someone(job) for _ in range(30)]
    won, late = _sorted_out(at_once(*(_ruling(job, Ruling.APPROVE, one) for one in people)))
    assert (len(won), len(late)) == (2, 28)
    assert sorted(decision.closes for decision in won) == [False, True]
    job.refresh_from_db()
    assert job.status == Status.COMPLETED
    assert job.events.filter(verb=Verb.APPROVAL_GIVEN).count() == 2
    assert Approval.objects.filter(lapsed_at=None).count() == 2


@pytest.mark.django_db(transaction=True)
def test_a_right_that_is_lost_while_others_approve_is_there_for_all_of_the_count_or_none():
    for _ in range(5):
        job = review()
        ann, ben = someone(job), someone(job)
        approve(job, ann)
        at_once(lambda job=job, ann=ann: demoted(job, ann), _ruling(job, Ruling.APPROVE, ben))
        job.refresh_from_db()
        counts = Approval.objects.filter(gate__job=job, lapsed_at=None).count()
        assert (job.status, counts) in {(Status.COMPLETED, 2), (Status.NEEDS_REVIEW, 1)}
        assert Decision.objects.filter(job=job).count() == 2


# Who hears of it ----------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def on_that_day(monkeypatch):
    monkeypatch.setattr(receivers, "timezone", SimpleNamespace(now=lambda: NOW))


def hears(person):
    """Why a person was told, at last."""
    tell(NOW)
    return list(Notice.objects.filter(person=person).order_by("id").values_list("why", flat=True))


def saved_with_another_role(person):
    membership = person.memberships.get()
    membership.role = Role.OPERATOR
    membership.save()


def taken_off(person):
    person.memberships.get().delete()


def switched_off(person):
    person.is_active = False
    person.save()


@pytest.mark.parametrize("lose", [saved_with_another_role, taken_off, switched_off])
def test_those_who_may_decide_hear_that_an_approval_counts_no_more(lose):
    job = review(THREE)
    ann, ben, cas = (someone(job) for _ in range(3))
    approve(job, ann)
    approve(job, ben)
    assert len(hears(cas)) == 1
    ben_heard, ann_heard = hears(ben), hears(ann)
    lose(ann)
    [why] = [one.why for one in ballot(job).lapsed]
    said = f"The approval of {ann} does not count any more: {why} 1 of 3 approvals is given."
    assert hears(cas)[1:] == [said]
    # Who has approved has nothing to do.
    assert (hears(ben), hears(ann)) == (ben_heard, ann_heard)
    assert Notice.objects.filter(person=cas).last().kind == NoticeKind.NEEDS_REVIEW
    cas.memberships.create(workspace=job.workspace, role=Role.AUDITOR)
    cas.memberships.get(role=Role.AUDITOR).delete()
    assert len(hears(cas)) == 2
    approve(job, cas)
    assert job.status == Status.NEEDS_REVIEW


def test_nobody_hears_of_a_right_that_was_given_back_or_of_what_is_decided_already():
    job, other = review(), review()
    ann, cas = someone(job), someone(job)
    approve(job, ann)
    taken_off(ann)
    Membership.objects.create(user=ann, workspace=job.workspace, role=Role.LEAD)
    assert len(hears(cas)) == 1
    ben, dan = someone(other), someone(other)
    approve(other, ben)
    approve(other, dan)
    assert other.status == Status.COMPLETED
    taken_off(ben)
    assert not Occurrence.objects.filter(kind=NoticeKind.NEEDS_REVIEW).exists()


def test_of_one_approval_that_lapsed_people_hear_once():
    job = review()
    ann, cas = someone(job), someone(job)
    approve(job, ann)
    saved_with_another_role(ann)
    assert len(hears(cas)) == 2
    switched_off(ann)
    assert len(hears(cas)) == 2
