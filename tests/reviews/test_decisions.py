"""Every ruling: what it does, what is written down, and that it is carried out once."""

from datetime import timedelta

import pytest
from django.core.files.storage import default_storage
from django.db import IntegrityError, connection, transaction
from django.db.migrations.executor import MigrationExecutor

from jobs import audit, lapses, outcomes, requests
from jobs.access import NotAllowed, NotNow, may_decide
from jobs.inputs import BadInput
from jobs.models import (
    Cause,
    GateKind,
    Job,
    Lane,
    Result,
    Role,
    State,
    Status,
    Verb,
    WebhookReceipt,
    immutable,
)
from jobs.results import evidence_hash, leaving
from reviews.actions import Ask, NotLooked, decide
from reviews.models import CLOSING, Decision, ReviewerNote, Ruling
from reviews.notes import NoteMissing, write_note
from tests import payloads
from tests.factories import (
    NOW,
    JobFactory,
    JobTypeFactory,
    UserFactory,
    become_unknown,
    finish,
    last_turn,
    start,
    wants,
)

pytestmark = pytest.mark.django_db

LATER = NOW + timedelta(hours=1)


@pytest.fixture(autouse=True)
def histories_verify():
    """Whatever a test does, every chain is as written afterwards."""
    yield
    assert list(audit.verify()) == []


def _person(job, *roles):
    return UserFactory(workspace=job.workspace, roles=roles)


def _unknown():
    job = JobFactory()
    become_unknown(job)
    job.refresh_from_db()
    return job


def _late_result():
    job = _unknown()
    turn = last_turn(job)
    lapses.unknown_wait_over(turn.pk, now=NOW)
    answer = payloads.response("completed", id="resp_late")
    outcomes.accepted(turn.pk, answer, now=NOW, adopted=True)
    job.refresh_from_db()
    return job


def _rule(job, ruling, actor, **more):
    if ruling is Ruling.REASSIGN:
        able = may_decide(job)
        more.setdefault("assignee", able[0].username if able else "")
    decision = decide(job.pk, Ask(ruling, actor, more.pop("now", LATER), **more))
    job.refresh_from_db()
    return decision


#: ruling → (a job that it can be made on, role, status after, verb of its event)
RULINGS = {
    Ruling.APPROVE: (
        lambda: JobFactory(status=Status.NEEDS_REVIEW),
        Role.REVIEWER,
        Status.COMPLETED,
        Verb.APPROVED,
    ),
    Ruling.REQUEST_CHANGES: (
        lambda: JobFactory(status=Status.NEEDS_REVIEW),
        Role.REVIEWER,
        Status.QUEUED,
        Verb.CHANGES_REQUESTED,
    ),
    Ruling.REFUSE: (wants, Role.REVIEWER, Status.RUNNING, Verb.CALLS_REFUSED),
    Ruling.REJECT: (
        lambda: JobFactory(status=Status.NEEDS_REVIEW),
        Role.REVIEWER,
        Status.FAILED,
        Verb.REJECTED,
    ),
    Ruling.RETRY: (
        lambda: JobFactory(status=Status.NEEDS_REVIEW),
        Role.REVIEWER,
        Status.QUEUED,
        Verb.RETRIED,
    ),
    Ruling.CANCEL: (
        lambda: JobFactory(status=Status.NEEDS_REVIEW),
        Role.REVIEWER,
        Status.CANCELED,
        Verb.CANCELED,
    ),
    Ruling.ESCALATE: (
        lambda: JobFactory(status=Status.NEEDS_REVIEW),
        Role.LEAD,
        Status.NEEDS_REVIEW,
        Verb.ESCALATED,
    ),
    Ruling.REASSIGN: (
        lambda: JobFactory(status=Status.NEEDS_REVIEW),
        Role.REVIEWER,
        Status.NEEDS_REVIEW,
        Verb.REASSIGNED,
    ),
    Ruling.REOPEN: (
        lambda: JobFactory(status=Status.COMPLETED),
        Role.LEAD,
        Status.NEEDS_REVIEW,
        Verb.REOPENED,
    ),
    Ruling.USE_RESULT: (_late_result, Role.OPERATOR, Status.NEEDS_REVIEW, Verb.RESULT_TAKEN),
    Ruling.SETTLE: (_unknown, Role.OPERATOR, Status.FAILED, Verb.SETTLED),
    Ruling.ARCHIVE: (
        lambda: JobFactory(status=Status.FAILED),
        Role.OPERATOR,
        Status.FAILED,
        Verb.ARCHIVED,
    ),
}


def test_every_ruling_is_tried_here():
    assert set(RULINGS) == set(Ruling)


@pytest.mark.parametrize("ruling", Ruling)
def test_a_ruling_moves_the_job_and_is_written_down(ruling):
    make, role, status, verb = RULINGS[ruling]
    job = make()
    gate = job.open_gate
    actor = _person(job, role)
    decision = _rule(job, ruling, actor, note="Because.")
    assert job.status == status
    event = job.events.last()
    assert (event.verb, event.actor, event.at) == (verb, actor, LATER)
    assert event.reason_text == "Because."
    assert Decision.objects.get(job=job, ruling=ruling) == decision
    assert (decision.actor, decision.role, decision.at) == (actor, role, LATER)
    assert (decision.requester, decision.own_approval) == (job.requester, False)
    assert decision.note == "Because."
    if gate is None:
        assert (decision.gate, decision.content_hash, decision.level) == (None, "", None)
        assert decision.policy == []
    else:
        assert decision.gate == gate
        assert decision.content_hash == gate.content_hash
        assert decision.policy == gate.reasons
        codes = [reason["code"] for reason in decision.policy]
        if gate.kind == GateKind.OUTPUT:
            assert (decision.content_hash, codes) == (last_hash(job), ["always"])
        else:
            assert codes == ["tool_call"]
        assert decision.level == gate.level
        gate.refresh_from_db()
        assert (gate.closed_at is not None) == (ruling in CLOSING)
        assert gate.outcome == (verb if ruling in CLOSING else "")


def last_hash(job):
    attempts = job.attempts.filter(result__isnull=False).order_by("-number")
    return attempts[0].result.content_hash


@pytest.mark.parametrize("ruling", Ruling)
@pytest.mark.parametrize("same_person", [True, False], ids=["the same person", "a colleague"])
def test_a_ruling_is_refused_the_second_time_and_says_who_was_first(ruling, same_person):
    make, role, _status, _verb = RULINGS[ruling]
    job = make()
    first = _person(job, role)
    second = first if same_person else _person(job, role)
    _rule(job, ruling, first, note="Because.")
    with pytest.raises(NotNow) as refused:
        _rule(job, ruling, second, note="Because.")
    assert first.get_username() in str(refused.value)
    assert "10:00:00 UTC on 02 Mar 2026" in str(refused.value)
    assert job.ref in str(refused.value)
    assert Decision.objects.filter(job=job, ruling=ruling).count() == 1


@pytest.mark.parametrize("ruling", sorted(CLOSING | {Ruling.ESCALATE}))
def test_a_ruling_on_an_older_result_is_refused(ruling):
    job = RULINGS[ruling][0]()
    actor = _person(job, Role.REVIEWER)
    with pytest.raises(NotNow, match="you looked at"):
        _rule(job, ruling, actor, note="Because.", content_hash="0" * 64)
    job.refresh_from_db()
    assert job.status == Status.NEEDS_REVIEW
    assert not Decision.objects.exists()
    looked_at = job.open_gate.content_hash
    assert _rule(job, ruling, actor, note="Because.", content_hash=looked_at).pk


def test_an_approval_names_the_content_in_its_event():
    job = JobFactory(status=Status.NEEDS_REVIEW)
    approved = job.open_gate.content_hash
    _rule(job, Ruling.APPROVE, _person(job, Role.REVIEWER))
    event = job.events.get(verb="approved")
    evidence = evidence_hash(leaving(job).evidence)
    assert event.data == {"content_hash": approved, "evidence_hash": evidence, "role": "reviewer"}
    assert (event.from_status, event.to_status) == ("needs_review", "completed")
    assert job.progress_done == job.progress_total


def test_an_approval_before_the_run_starts_the_first_attempt():
    job = JobFactory(job_type=JobTypeFactory(lane=Lane.APPROVAL))
    assert job.status == Status.NEEDS_REVIEW
    assert not job.attempts.exists()
    gate = job.open_gate
    decision = _rule(job, Ruling.APPROVE, _person(job, Role.REVIEWER))
    assert job.status == Status.QUEUED
    assert job.attempts.get().cause == Cause.FIRST
    assert decision.content_hash == gate.content_hash
    # What was approved is what will be sent.
    sent = requests.describe(last_turn(job))
    assert requests.content_hash(sent) == decision.content_hash


def test_a_rejection_before_the_run_never_starts_anything():
    job = JobFactory(job_type=JobTypeFactory(lane=Lane.APPROVAL))
    _rule(job, Ruling.REJECT, _person(job, Role.REVIEWER), note="Not our topic.")
    assert (job.status, job.reason_code) == (Status.FAILED, "rejected")
    assert job.reason_text == "Not our topic."
    assert not job.attempts.exists()


def test_requested_changes_reach_the_next_attempt_and_its_request():
    job = JobFactory(status=Status.NEEDS_REVIEW)
    actor = _person(job, Role.REVIEWER)
    _rule(job, Ruling.REQUEST_CHANGES, actor, note="Name the year of each figure.")
    first, second = job.attempts.all()
    assert (second.cause, second.caused_by) == (Cause.CHANGES, actor)
    assert second.feedback == "Name the year of each figure."
    assert (second.state, second.next_check_at) == (State.SUBMITTING, LATER)
    text = requests.create_body(last_turn(job))["input"][0]["content"][-1]["text"]
    assert text.startswith("Topic: tides")
    assert "Name the year of each figure." in text
    assert first.result.text in text
    assert job.start_by == LATER + timedelta(seconds=job.job_type.start_within)
    assert job.warnings == []


@pytest.mark.parametrize(
    ("ruling", "missing"),
    [
        (Ruling.REQUEST_CHANGES, "what to change"),
        (Ruling.REJECT, "why"),
        (Ruling.ESCALATE, "what somebody else has to decide"),
        (Ruling.REOPEN, "why"),
    ],
)
def test_rulings_that_others_go_by_are_refused_without_words(ruling, missing):
    make, role, _status, _verb = RULINGS[ruling]
    job = make()
    person = _person(job, role)
    with pytest.raises(NoteMissing, match=f"says {missing}"):
        _rule(job, ruling, person, note="  ")
    assert not Decision.objects.filter(actor=person).exists()


def test_who_comes_second_is_told_so_and_not_asked_for_words():
    job = JobFactory(status=Status.NEEDS_REVIEW)
    _rule(job, Ruling.APPROVE, _person(job, Role.REVIEWER))
    with pytest.raises(NotNow, match="decided at"):
        _rule(job, Ruling.REJECT, _person(job, Role.REVIEWER))


@pytest.mark.parametrize("ruling", sorted(CLOSING | {Ruling.ESCALATE}))
def test_a_ruling_of_somebody_who_looked_at_nothing_is_refused(ruling):
    job = RULINGS[ruling][0]()
    with pytest.raises(NotLooked, match="Look at it before"):
        _rule(job, ruling, _person(job, Role.REVIEWER), note="Because.", content_hash="")
    assert not Decision.objects.exists()


@pytest.mark.parametrize("ruling", [Ruling.CANCEL, Ruling.RETRY])
def test_a_ruling_on_what_was_decided_already_does_not_hit_what_came_of_it(ruling):
    job = JobFactory(status=Status.NEEDS_REVIEW)
    lead, seen = _person(job, Role.LEAD), job.open_gate.content_hash
    other = Ruling.REJECT if ruling is Ruling.RETRY else Ruling.REQUEST_CHANGES
    _rule(job, other, lead, note="Not sound.")
    with pytest.raises(NotNow, match=f"{lead} decided at"):
        _rule(job, ruling, job.requester, content_hash=seen)
    assert _rule(job, ruling, job.requester, content_hash="").ruling == ruling


def test_a_second_review_judges_the_new_result():
    job = JobFactory(status=Status.NEEDS_REVIEW)
    actor = _person(job, Role.REVIEWER)
    old = job.open_gate.content_hash
    _rule(job, Ruling.REQUEST_CHANGES, actor, note="Shorter.")
    start(job, now=LATER)
    finish(job, "completed", now=LATER, output=[payloads.message("Shorter.")])
    job.refresh_from_db()
    assert job.open_gate.content_hash != old
    with pytest.raises(NotNow, match="you looked at"):
        _rule(job, Ruling.APPROVE, actor, content_hash=old)
    decision = _rule(job, Ruling.APPROVE, actor, content_hash=job.open_gate.content_hash)
    assert decision.content_hash == job.attempts.last().result.content_hash


def test_escalating_takes_the_say_from_the_first_level():
    job = JobFactory(status=Status.NEEDS_REVIEW)
    reviewer, lead = _person(job, Role.REVIEWER), _person(job, Role.LEAD)
    decision = _rule(job, Ruling.ESCALATE, reviewer, note="Above me.")
    assert decision.level == 1
    gate = job.open_gate
    assert (gate.level, gate.closed_at) == (2, None)
    assert gate.due_at == LATER + timedelta(seconds=job.job_type.review_within)
    assert job.events.last().data == {"level": 2, "from": 1}
    for ruling in (Ruling.APPROVE, Ruling.REJECT, Ruling.ESCALATE):
        with pytest.raises(NotAllowed, match="a lead decides"):
            _rule(job, ruling, reviewer)
    assert _rule(job, Ruling.APPROVE, lead).level == 2
    assert job.status == Status.COMPLETED


def test_a_review_is_escalated_level_by_level():
    rungs = [("Reviewers", Role.REVIEWER), ("Legal", Role.LEAD), ("Leadership", Role.LEAD)]
    job = JobFactory(status=Status.NEEDS_REVIEW, job_type=JobTypeFactory(ladder=rungs))
    lead = _person(job, Role.LEAD)
    assert [_rule(job, Ruling.ESCALATE, lead, note="Above me.").level for _ in range(2)] == [1, 2]
    with pytest.raises(NotNow, match=r"highest level \(3\)"):
        _rule(job, Ruling.ESCALATE, lead)


def test_a_reopened_job_is_judged_again_on_the_same_result():
    job = JobFactory(status=Status.COMPLETED)
    before = job.attempts.get().result
    _rule(job, Ruling.ARCHIVE, job.requester)
    _rule(job, Ruling.REOPEN, _person(job, Role.LEAD), note="A reader doubts it.")
    assert job.status == Status.NEEDS_REVIEW
    assert (job.settled_at, job.archived_at, job.archived_by) == (None, None, None)
    gate = job.open_gate
    assert (gate.kind, gate.result, gate.content_hash) == (
        GateKind.OUTPUT,
        before,
        before.content_hash,
    )
    assert [reason["code"] for reason in gate.reasons] == ["reopened"]
    _rule(job, Ruling.APPROVE, _person(job, Role.REVIEWER))
    assert job.status == Status.COMPLETED


def test_a_late_result_that_is_used_goes_to_review():
    job = _late_result()
    assert job.status == Status.FAILED
    assert "its result is here" in job.reason_text
    _rule(job, Ruling.USE_RESULT, job.requester)
    result = job.attempts.get().result
    assert result.deliverable
    assert job.open_gate.content_hash == result.content_hash
    _rule(job, Ruling.APPROVE, _person(job, Role.REVIEWER))
    assert job.status == Status.COMPLETED


def test_an_unknown_submit_is_settled_as_not_there():
    job = _unknown()
    operator = _person(job, Role.OPERATOR)
    _rule(job, Ruling.SETTLE, operator)
    attempt = job.attempts.get()
    assert (attempt.state, attempt.error_code) == (State.FAILED, "submit_outcome_unknown")
    assert job.status == Status.FAILED
    assert job.reason_text == f"{operator} found no response for this submit at OpenAI."


def test_an_unknown_submit_is_settled_by_naming_its_response():
    job = _unknown()
    operator = _person(job, Role.OPERATOR)
    decision = _rule(job, Ruling.SETTLE, operator, response_id="resp_found")
    assert decision.role == Role.OPERATOR
    receipt = WebhookReceipt.objects.get()
    assert (receipt.response_id, receipt.next_check_at) == ("resp_found", LATER)
    assert job.attempts.get().state == State.UNKNOWN
    assert job.status == Status.RUNNING
    assert "resp_found" in job.events.last().reason_text
    # A wrong id can be corrected while the submit is still unknown.
    _rule(job, Ruling.SETTLE, operator, response_id="resp_other")
    assert WebhookReceipt.objects.count() == 2


@pytest.mark.parametrize(
    "response_id", ["  ", "../responses", "resp x", "resp_a\n", "\x00", "r" * 201]
)
def test_a_named_response_must_have_the_shape_of_an_id(response_id):
    job = _unknown()
    with pytest.raises(BadInput, match="not the id of a response"):
        _rule(job, Ruling.SETTLE, _person(job, Role.OPERATOR), response_id=response_id)
    assert not WebhookReceipt.objects.exists()


def test_canceling_before_anything_was_sent_ends_it_at_once():
    job = JobFactory()
    _rule(job, Ruling.CANCEL, job.requester)
    assert job.status == Status.CANCELED
    assert job.attempts.get().state == State.CANCELED
    assert job.reason_text == f"Canceled by {job.requester}."


def test_canceling_what_runs_asks_the_provider_first():
    job = JobFactory(status=Status.RUNNING)
    _rule(job, Ruling.CANCEL, job.requester)
    assert job.status == Status.RUNNING
    assert (job.cancel_requested_at, job.cancel_requested_by) == (LATER, job.requester)
    attempt = job.attempts.get()
    assert (attempt.state, attempt.next_check_at) == (State.LIVE, LATER)
    assert job.events.last().verb == Verb.CANCEL_REQUESTED


def test_a_retry_is_a_new_attempt_with_new_deadlines():
    job = JobFactory(status=Status.EXPIRED)
    _rule(job, Ruling.ARCHIVE, job.requester)
    _rule(job, Ruling.RETRY, job.requester)
    assert job.status == Status.QUEUED
    assert (job.settled_at, job.archived_at, job.cancel_requested_at) == (None, None, None)
    second = job.attempts.last()
    assert (second.number, second.cause, second.caused_by) == (2, Cause.RETRY, job.requester)
    assert job.start_by == LATER + timedelta(seconds=job.job_type.start_within)
    assert job.finish_by == LATER + timedelta(seconds=job.job_type.finish_within)


def test_a_canceled_run_can_be_retried():
    job = JobFactory(status=Status.RUNNING)
    _rule(job, Ruling.CANCEL, job.requester)
    finish(job, "cancelled", now=LATER)
    job.refresh_from_db()
    assert job.status == Status.CANCELED
    _rule(job, Ruling.RETRY, job.requester)
    assert (job.status, job.cancel_requested_at) == (Status.QUEUED, None)


def test_a_refused_ruling_leaves_no_trace():
    job = JobFactory(status=Status.NEEDS_REVIEW)
    events = job.event_count
    with pytest.raises(NotAllowed):
        _rule(job, Ruling.APPROVE, _person(job, Role.OPERATOR))
    job.refresh_from_db()
    assert (job.status, job.event_count) == (Status.NEEDS_REVIEW, events)
    assert not Decision.objects.exists()
    assert job.open_gate.closed_at is None


def test_a_decision_is_never_saved_again():
    job = JobFactory(status=Status.NEEDS_REVIEW)
    decision = _rule(job, Ruling.APPROVE, _person(job, Role.REVIEWER))
    decision.note = "Another."
    with pytest.raises(TypeError):
        decision.save()


@pytest.mark.django_db(transaction=True)
def test_decisions_of_before_know_their_workspace_and_are_kept_all_the_same(transactional_db):
    jobs = [JobFactory(status=Status.CANCELED), JobFactory(status=Status.NEEDS_REVIEW)]
    decide(jobs[1].pk, Ask(Ruling.APPROVE, _person(jobs[1], Role.LEAD), NOW))
    leaves = MigrationExecutor(connection).loader.graph.leaf_nodes("reviews")
    try:
        MigrationExecutor(connection).migrate([("reviews", "0010_bulk")])
        # The database keeps them as it does while the site runs.
        immutable.install()
    finally:
        MigrationExecutor(connection).migrate(leaves)
    found = {decision.job: decision for decision in Decision.objects.all()}
    assert {job: decision.workspace for job, decision in found.items()} == {
        job: job.workspace for job in jobs
    }
    with pytest.raises(IntegrityError, match="never change"), transaction.atomic():
        Decision.objects.filter(job=jobs[0]).update(note="Another.")


def test_an_overdue_review_expires_only_where_the_type_says_so():
    for expires in (True, False):
        job_type = JobTypeFactory(expire_overdue_review=expires, review_within=60)
        job = JobFactory(status=Status.NEEDS_REVIEW, job_type=job_type)
        lapses.review_overdue(job.pk, now=NOW + timedelta(seconds=59))
        job.refresh_from_db()
        assert job.status == Status.NEEDS_REVIEW
        lapses.review_overdue(job.pk, now=NOW + timedelta(seconds=60))
        job.refresh_from_db()
        assert job.status == (Status.EXPIRED if expires else Status.NEEDS_REVIEW)


@pytest.mark.parametrize("status", Status)
def test_reviewers_write_notes_on_any_job_and_others_do_not(status):
    job = JobFactory(status=status)
    reviewer = _person(job, Role.REVIEWER)
    note = write_note(job, author=reviewer, text="Look at page 3.", now=NOW)
    assert list(job.notes.all()) == [note]
    assert (note.author, note.created_at) == (reviewer, NOW)
    for other in (job.requester, _person(job, Role.AUDITOR), _person(job, Role.OPERATOR)):
        with pytest.raises(NotAllowed):
            write_note(job, author=other, text="Mine.", now=NOW)
    assert ReviewerNote.objects.count() == 1
    assert not Decision.objects.filter(actor=reviewer).exists()


@pytest.mark.parametrize("text", ["", "  \n"])
def test_a_note_without_words_is_refused(text):
    job = JobFactory()
    with pytest.raises(NoteMissing):
        write_note(job, author=_person(job, Role.REVIEWER), text=text, now=NOW)
    assert not ReviewerNote.objects.exists()


def test_words_that_no_database_stores_are_made_storable():
    job = JobFactory(status=Status.NEEDS_REVIEW)
    reviewer = _person(job, Role.REVIEWER)
    assert write_note(job, author=reviewer, text="a\x00b", now=NOW).text == "a\ufffdb"
    decision = _rule(job, Ruling.REQUEST_CHANGES, reviewer, note="c\x00d\ud800")
    assert decision.note == "c\ufffdd\ufffd"
    assert job.attempts.last().feedback == "c\ufffdd\ufffd"


def test_deciding_touches_no_stored_file():
    job = JobFactory(status=Status.NEEDS_REVIEW)
    _rule(job, Ruling.APPROVE, _person(job, Role.REVIEWER))
    assert not default_storage.exists("results")


def test_a_submit_that_was_given_up_can_still_be_settled_by_naming_its_response(db):
    job = JobFactory()
    operator = _person(job, Role.OPERATOR)
    turn = become_unknown(job)
    lapses.unknown_wait_over(turn.pk, now=NOW)
    decide(job.pk, Ask(Ruling.SETTLE, operator, NOW, response_id="resp_found"))
    receipt = WebhookReceipt.objects.get()
    assert (receipt.response_id, receipt.next_check_at) == ("resp_found", NOW)
    with pytest.raises(NotNow):
        decide(job.pk, Ask(Ruling.SETTLE, operator, NOW))


@pytest.mark.parametrize("ruling", [Ruling.REJECT, Ruling.CANCEL, Ruling.RETRY])
def test_what_is_not_approved_is_not_delivered(db, ruling):
    job = JobFactory()
    start(job)
    finish(job, "completed")
    assert Result.objects.get().deliverable
    decide(job.pk, Ask(ruling, _person(job, Role.LEAD), NOW, note="Not sound."))
    assert not Result.objects.get().deliverable


def test_the_beginning_of_the_hash_is_enough(db):
    job = JobFactory()
    start(job)
    finish(job, "completed")
    shown = Result.objects.get().content_hash[:12]
    decide(job.pk, Ask(Ruling.APPROVE, _person(job, Role.LEAD), NOW, content_hash=shown))
    assert Job.objects.get().status == Status.COMPLETED


def test_a_note_has_a_length_that_pages_can_show():
    job = JobFactory()
    with pytest.raises(NoteMissing, match="10,000 characters at most; this one has 10,001"):
        _rule(job, Ruling.CANCEL, job.requester, note="x" * 10_001)
    assert job.status == Status.QUEUED
    with pytest.raises(NoteMissing, match="at most"):
        write_note(job, author=_person(job, Role.REVIEWER), text="x" * 10_001, now=NOW)
    assert _rule(job, Ruling.CANCEL, job.requester, note="x" * 10_000).note == "x" * 10_000
