"""Several approvals of one thing: who counts, what they count for, and when it happens."""

import json
from datetime import timedelta
from functools import partial

import pytest

from jobs import audit, lapses, lifecycle
from jobs.access import Action, NotAllowed, NotNow, allowed_actions, require
from jobs.calls import BadVerdict, Verdict
from jobs.lifecycle import Reason
from jobs.models import (
    Approval,
    CallState,
    FunctionCall,
    Job,
    Lane,
    Membership,
    Role,
    Status,
    Verb,
)
from reviews import claims, offers
from reviews.actions import Ask, decide
from reviews.callcards import cards, verdicts
from reviews.models import Decision, Ruling
from tests import payloads
from tests.factories import (
    EMAIL,
    NOW,
    JobFactory,
    JobTypeFactory,
    UserFactory,
    finish,
    start,
    wants,
)
from tests.jobs.test_races import _ruling, _sorted_out, at_once

pytestmark = pytest.mark.django_db

TWO = [("Reviewers", Role.REVIEWER, 2), ("Leadership", Role.LEAD)]
TOOLS = {"version__tools": [{"type": "function", "name": "send_email"}]}
LATER = NOW + timedelta(minutes=5)


@pytest.fixture(autouse=True)
def histories_verify():
    yield
    assert list(audit.verify()) == []


def _review(**type_fields):
    return JobFactory(
        status=Status.NEEDS_REVIEW, job_type=JobTypeFactory(**{"ladder": TWO, **type_fields})
    )


def _call(count=1):
    asks = [
        payloads.function_call("send_email", EMAIL, call_id=f"call_{at}") for at in range(count)
    ]
    return wants(JobTypeFactory(ladder=TWO, **TOOLS), *asks)


def _people(job, count=2, role=Role.REVIEWER):
    return [UserFactory(workspace=job.workspace, roles=[role]) for _ in range(count)]


def _rule(job, ruling, actor, now=NOW, **more):
    decision = decide(job.pk, Ask(ruling, actor, now, **more))
    job.refresh_from_db()
    return decision


def test_the_first_of_two_is_kept_and_the_second_completes_the_job():
    job = _review()
    ann, ben = _people(job)
    gate = job.open_gate
    first = _rule(job, Ruling.APPROVE, ann, note="Fine.")
    assert (first.partial, first.closes, first.gate, first.level) == (True, False, gate, 1)
    assert first.content_hash == gate.content_hash
    assert job.status == Status.NEEDS_REVIEW
    event = job.events.last()
    assert (event.verb, event.actor, event.to_status) == (Verb.APPROVAL_GIVEN, ann, "")
    assert event.reason_text == "1 of 2 approvals is given. Fine."
    assert (event.data["given"], event.data["needed"]) == (1, 2)
    second = _rule(job, Ruling.APPROVE, ben, LATER)
    assert (second.partial, second.closes) == (False, True)
    assert job.status == Status.COMPLETED
    assert job.events.filter(verb=Verb.APPROVED).get().actor == ben


def test_nobody_counts_twice():
    job = _review()
    [ann] = _people(job, 1)
    _rule(job, Ruling.APPROVE, ann)
    with pytest.raises(NotNow, match="You approved already, at 09:00:00 UTC.*1 more approval is"):
        _rule(job, Ruling.APPROVE, ann, LATER)
    assert Decision.objects.count() == Approval.objects.count() == 1


def test_a_person_with_two_roles_counts_once():
    job = _review()
    [ann] = _people(job, 1)
    Membership.objects.create(user=ann, workspace=job.workspace, role=Role.LEAD)
    _rule(job, Ruling.APPROVE, ann)
    with pytest.raises(NotNow, match="You approved already"):
        _rule(job, Ruling.APPROVE, ann)


def test_a_requester_does_not_count_unless_the_type_says_so():
    for own in (False, True):
        job = _review(own_approval=own)
        Membership.objects.create(user=job.requester, workspace=job.workspace, role=Role.LEAD)
        if own:
            assert _rule(job, Ruling.APPROVE, job.requester).partial
        else:
            with pytest.raises(NotAllowed, match="somebody else must approve"):
                _rule(job, Ruling.APPROVE, job.requester)


def test_whoever_approved_may_still_do_everything_else_and_a_rejection_closes_at_once():
    job = _review()
    ann, ben = _people(job)
    _rule(job, Ruling.APPROVE, ann)
    may = allowed_actions(ann, Job.objects.get(pk=job.pk))
    assert not may[Action.APPROVE].allowed
    assert not may[Action.APPROVE].forbidden
    assert all(may[action].allowed for action in (Action.REJECT, Action.ESCALATE))
    _rule(job, Ruling.REJECT, ben, note="No.")
    assert job.status == Status.FAILED


def test_it_waits_no_longer_for_whoever_approved():
    job = _review()
    ann, ben = _people(job)
    _rule(job, Ruling.REASSIGN, ben, assignee=ann.username)
    claims.claim(job.open_gate, ann, now=NOW)
    _rule(job, Ruling.APPROVE, ann)
    assert (job.open_gate.assignee, job.open_gate.claimed_by) == (None, None)
    assert not Job.objects.awaiting(ann).exists()
    assert Job.objects.awaiting(ben).get() == job


def test_approvals_do_not_go_up_with_an_escalation():
    job = _review(ladder=[("Reviewers", Role.REVIEWER, 2), ("Legal", Role.REVIEWER, 2)])
    ann, ben = _people(job)
    _rule(job, Ruling.APPROVE, ann)
    _rule(job, Ruling.ESCALATE, ben, note="Contracts.")
    assert job.open_gate.given == 0
    assert _rule(job, Ruling.APPROVE, ann).partial
    _rule(job, Ruling.APPROVE, ben)
    assert job.status == Status.COMPLETED


def test_approvals_of_other_content_do_not_count():
    job = _review()
    ann, ben = _people(job)
    _rule(job, Ruling.APPROVE, ann)
    reason = (Reason("warnings", "There is a warning."),)
    with lifecycle.locked(job.pk) as held:
        gate, same = held.open_gate, held.open_gate.content_hash
        lifecycle.rejudge(held, gate, content_hash=same, reasons=reason)
        assert gate.given == 1
        lifecycle.rejudge(held, gate, content_hash="f" * 64, reasons=reason)
        assert gate.given == 0
        lifecycle.rejudge(held, gate, content_hash=same, reasons=reason)
    # Back at the same content, the count is still a new one.
    assert _rule(job, Ruling.APPROVE, ben).partial
    _rule(job, Ruling.APPROVE, ann)
    assert job.status == Status.COMPLETED


def test_an_edit_of_what_others_approved_begins_the_count_anew_and_says_so():
    job = _review()
    ann, ben = _people(job)
    _rule(job, Ruling.APPROVE, ann)
    assert job.events.last().data["anew"] is False
    assert _rule(job, Ruling.APPROVE, ben, edit="Better.").partial
    event = job.events.last()
    assert "the count begins anew" in event.reason_text
    assert (event.data["given"], event.data["anew"]) == (1, True)
    assert _rule(job, Ruling.APPROVE, ann, LATER).closes


def test_after_changes_the_count_begins_anew():
    job = _review()
    ann, ben = _people(job)
    _rule(job, Ruling.APPROVE, ann)
    _rule(job, Ruling.REQUEST_CHANGES, ben, note="Shorter.")
    start(job)
    finish(job, "completed", output=[payloads.message("Shorter.")])
    job.refresh_from_db()
    assert _rule(job, Ruling.APPROVE, ann).partial


def test_each_approval_is_of_what_is_really_stored():
    job = _review()
    [ann] = _people(job, 1)
    result = job.open_gate.result
    row, text = type(result).objects.filter(pk=result.pk), result.text
    row.update(text="Something else.")
    with pytest.raises(NotNow, match="not what was produced"):
        _rule(job, Ruling.APPROVE, ann)
    assert not Approval.objects.exists()
    row.update(text=text)


def test_a_job_that_waits_to_run_runs_after_the_last_approval():
    job = JobFactory(job_type=JobTypeFactory(ladder=TWO, lane=Lane.APPROVAL))
    ann, ben = _people(job)
    _rule(job, Ruling.APPROVE, ann)
    assert not job.attempts.exists()
    _rule(job, Ruling.APPROVE, ben)
    assert job.status == Status.QUEUED
    assert job.attempts.count() == 1


# Tool calls -----------------------------------------------------------------------------------


def test_a_tool_call_is_let_go_by_the_last_approval_alone():
    job = _call()
    ann, ben = _people(job)
    first = _rule(job, Ruling.APPROVE, ann)
    call = FunctionCall.objects.get()
    assert (call.state, call.approved_hash, call.next_check_at) == (CallState.WAITING, "", None)
    assert first.data["calls"][0]["approved"]
    _rule(job, Ruling.APPROVE, ben)
    call.refresh_from_db()
    assert (call.state, job.status) == (CallState.READY, Status.RUNNING)
    assert first.data["calls"][0]["hash"] == call.approved_hash


def test_other_arguments_than_were_approved_begin_the_count_anew():
    job = _call()
    ann, ben, cas = _people(job, 3)
    edited = {1: Verdict(arguments=json.dumps({**EMAIL, "to": "legal@example.com"}))}
    _rule(job, Ruling.APPROVE, ann)
    second = _rule(job, Ruling.APPROVE, ben, verdicts=edited)
    assert second.partial
    assert "the count begins anew" in job.events.last().reason_text
    assert job.open_gate.given == 1
    # What ann approved was something else: she may approve this.
    third = _rule(job, Ruling.APPROVE, ann, verdicts=edited)
    assert not third.partial
    call = FunctionCall.objects.get()
    assert json.loads(call.effective_arguments)["to"] == "legal@example.com"
    with pytest.raises(NotNow):
        _rule(job, Ruling.APPROVE, cas)


def test_who_approves_after_an_edit_begins_from_it():
    job = _call(2)
    ann, ben = _people(job)
    changed = {**EMAIL, "to": "legal@example.com"}
    said = {
        1: Verdict(arguments=json.dumps(changed, ensure_ascii=False)),
        2: Verdict(approved=False, reason="Once is enough."),
    }
    _rule(job, Ruling.APPROVE, ann, verdicts=said)
    first, second = cards(job.open_gate)
    values = {field.key: field.value for field in first.fields}
    assert values["call-1-argument-to"] == "legal@example.com"
    assert second.refused
    posted = {
        **values,
        **{field.key: field.value for field in second.fields},
        "call-2-verdict": "refuse",
        "note": "Yes, once.",
    }
    done = _rule(job, Ruling.APPROVE, ben, verdicts=verdicts(job.open_gate, posted))
    assert not done.partial
    ran, refused = FunctionCall.objects.order_by("position")
    assert json.loads(ran.effective_arguments) == changed
    assert refused.state == CallState.ANSWERED


@pytest.mark.parametrize("arguments", ["{}", json.dumps({**EMAIL, "to": "nobody"})])
def test_arguments_that_cannot_be_taken_are_no_approval(arguments):
    job = _call()
    [ann] = _people(job, 1)
    with pytest.raises(BadVerdict):
        _rule(job, Ruling.APPROVE, ann, verdicts={1: Verdict(arguments=arguments)})
    assert not Approval.objects.exists()
    assert job.open_gate.given == 0


# What is said of it ---------------------------------------------------------------------------


def test_the_button_says_what_an_approval_will_do():
    job = _review()
    ann, ben = _people(job)
    assert "This level asks for 2 approvals" in offers.consequence(Ruling.APPROVE, job)
    _rule(job, Ruling.APPROVE, ann)
    assert "1 of 2 approvals is given" in offers.done(Ruling.APPROVE, job)
    assert offers.consequence(Ruling.APPROVE, job).startswith("The job is completed")
    _rule(job, Ruling.APPROVE, ben)
    assert offers.done(Ruling.APPROVE, job) == f"Approved {job.ref}."


def test_an_overdue_review_expires_with_the_approvals_that_it_has():
    job = _review(review_within=60, expire_overdue_review=True)
    [ann] = _people(job, 1)
    _rule(job, Ruling.APPROVE, ann)
    lapses.review_overdue(job.pk, now=NOW + timedelta(seconds=60))
    job.refresh_from_db()
    assert job.status == Status.EXPIRED


# At once --------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_thirty_approvals_at_once_are_one_decision_and_29_clear_answers():
    job = JobFactory(status=Status.NEEDS_REVIEW)
    people = _people(job, 30)
    won, late = _sorted_out(at_once(*(_ruling(job, Ruling.APPROVE, one) for one in people)))
    assert (len(won), len(late)) == (1, 29)
    assert Decision.objects.get() == won[0]
    winner = won[0].actor.get_username()
    for answer in late:
        assert f"{winner} decided at 09:00:00 UTC on 02 Mar 2026 (approved)" in str(answer)
    job.refresh_from_db()
    assert job.status == Status.COMPLETED


@pytest.mark.django_db(transaction=True)
def test_thirty_mixed_rulings_at_once_are_one_decision_and_29_clear_answers():
    job = JobFactory(status=Status.NEEDS_REVIEW)
    rulings = [
        Ruling.APPROVE,
        Ruling.REJECT,
        Ruling.CANCEL,
        Ruling.REQUEST_CHANGES,
        Ruling.RETRY,
    ] * 6
    seen = job.open_gate.content_hash
    asks = zip(rulings, _people(job, 30), strict=True)
    won, late = _sorted_out(
        at_once(*(_ruling(job, r, who, note="So.", content_hash=seen) for r, who in asks))
    )
    assert (len(won), len(late)) == (1, 29)
    assert Decision.objects.get() == won[0]
    assert job.gates.get().closed_at == NOW
    winner = won[0].actor.get_username()
    assert all(f"{winner} decided at 09:00:00 UTC" in str(answer) for answer in late)


@pytest.mark.django_db(transaction=True)
def test_where_two_must_approve_thirty_at_once_are_exactly_two():
    job = _review()
    people = _people(job, 30)
    won, late = _sorted_out(at_once(*(_ruling(job, Ruling.APPROVE, one) for one in people)))
    assert (len(won), len(late)) == (2, 28)
    assert sorted(decision.closes for decision in won) == [False, True]
    closing = next(decision for decision in won if decision.closes)
    assert len({decision.actor for decision in won}) == 2
    assert all(f"{closing.actor} decided at 09:00:00 UTC" in str(answer) for answer in late)
    job.refresh_from_db()
    assert job.status == Status.COMPLETED
    assert job.events.filter(verb=Verb.APPROVED).count() == 1
    assert job.events.filter(verb=Verb.APPROVAL_GIVEN).count() == 1


@pytest.mark.django_db(transaction=True)
def test_one_person_who_clicks_ten_times_at_once_counts_once():
    job = _review()
    [ann] = _people(job, 1)
    won, late = _sorted_out(at_once(*[_ruling(job, Ruling.APPROVE, ann)] * 10))
    assert (len(won), len(late)) == (1, 9)
    assert all("You approved already" in str(answer) for answer in late)
    job.refresh_from_db()
    assert (job.status, job.open_gate.given) == (Status.NEEDS_REVIEW, 1)


@pytest.mark.django_db(transaction=True)
def test_approvals_and_a_change_of_the_content_at_once_never_complete_what_nobody_saw():
    job = _review()
    ann, ben = _people(job)
    seen = job.open_gate.content_hash

    def changes():
        with lifecycle.locked(job.pk) as held:
            if held.open_gate:
                reason = (Reason("x", "Read anew."),)
                lifecycle.rejudge(held, held.open_gate, content_hash="e" * 64, reasons=reason)

    answers = at_once(
        _ruling(job, Ruling.APPROVE, ann, content_hash=seen),
        _ruling(job, Ruling.APPROVE, ben, content_hash=seen),
        partial(changes),
    )
    decided = [answer for answer in answers if isinstance(answer, Decision)]
    job.refresh_from_db()
    assert (job.status == Status.COMPLETED) == (len(decided) == 2)
    if job.open_gate:
        assert job.open_gate.given == 0
        with pytest.raises(NotNow, match="you looked at"):
            _rule(job, Ruling.APPROVE, ann, content_hash=seen)
    assert require(ann, job, Action.VIEW)
