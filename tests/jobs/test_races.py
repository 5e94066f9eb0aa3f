"""Several at once, on real connections: exactly one wins, and every history still verifies."""

import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial

import pytest
from django.conf import settings
from django.db import connection, transaction

from jobs import actions, audit, calls, lapses, leases, lifecycle, outcomes, results
from jobs.access import NotNow
from jobs.documents import Upload
from jobs.models import (
    Attempt,
    CallOutcome,
    CallState,
    Cause,
    Document,
    FunctionCall,
    Job,
    ResultEdit,
    Role,
    State,
    Status,
    Verb,
)
from reviews.actions import Ask, decide
from reviews.models import Decision, Ruling
from tests import payloads
from tests.factories import (
    NOW,
    JobFactory,
    JobTypeFactory,
    UserFactory,
    WorkspaceFactory,
    last_turn,
    start,
    wants,
)

pytestmark = pytest.mark.django_db(transaction=True)


def at_once(*calls):
    """Run all calls at the same moment, each on a connection of its own. Answers what each
    returned or raised, in their order."""
    barrier = threading.Barrier(len(calls))

    def run(call):
        try:
            barrier.wait(10)
            return call()
        except Exception as error:
            return error
        finally:
            connection.close()

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(run, calls))


def _people(job, role, count):
    return [UserFactory(workspace=job.workspace, roles=[role]) for _ in range(count)]


def _ruling(job, ruling, actor, **more):
    return partial(decide, job.pk, Ask(ruling, actor, NOW, **more))


def _sorted_out(answers):
    """(what succeeded, what was refused as too late); anything else fails the test."""
    won = [answer for answer in answers if not isinstance(answer, Exception)]
    late = [answer for answer in answers if isinstance(answer, NotNow)]
    assert len(won) + len(late) == len(answers), answers
    return won, late


def test_ten_approvals_of_one_gate_are_one_decision():
    job = JobFactory(status=Status.NEEDS_REVIEW)
    people = _people(job, Role.REVIEWER, 10)
    answers = at_once(*(_ruling(job, Ruling.APPROVE, person) for person in people))
    won, late = _sorted_out(answers)
    assert (len(won), len(late)) == (1, 9)
    assert Decision.objects.get() == won[0]
    winner = won[0].actor.get_username()
    assert all(winner in str(error) and "decided at" in str(error) for error in late)
    job.refresh_from_db()
    assert job.status == Status.COMPLETED
    assert job.events.filter(verb=Verb.APPROVED).count() == 1
    assert list(audit.verify()) == []


def test_of_ten_who_approve_with_edits_of_their_own_one_wins():
    job = JobFactory(status=Status.NEEDS_REVIEW)
    seen = job.open_gate.content_hash
    people = _people(job, Role.REVIEWER, 10)
    answers = at_once(
        *(
            _ruling(job, Ruling.APPROVE, person, content_hash=seen, edit=f"As {person} has it.")
            for person in people
        )
    )
    won, late = _sorted_out(answers)
    assert (len(won), len(late)) == (1, 9)
    [edit] = ResultEdit.objects.all()
    assert (won[0].edit, edit.made_by) == (edit, won[0].actor)
    assert results.leaving(job).text == f"As {won[0].actor} has it."
    assert list(audit.verify()) == []


def test_one_person_who_clicks_ten_times_decides_once():
    job = JobFactory(status=Status.NEEDS_REVIEW)
    [person] = _people(job, Role.REVIEWER, 1)
    won, late = _sorted_out(at_once(*[_ruling(job, Ruling.APPROVE, person)] * 10))
    assert (len(won), len(late)) == (1, 9)
    assert Decision.objects.count() == 1


@pytest.mark.parametrize("_again", range(3))
def test_of_five_rulings_at_once_exactly_one_wins(_again):
    job = JobFactory(status=Status.NEEDS_REVIEW)
    ends = {
        Ruling.APPROVE: Status.COMPLETED,
        Ruling.CANCEL: Status.CANCELED,
        Ruling.REJECT: Status.FAILED,
        Ruling.REQUEST_CHANGES: Status.QUEUED,
        Ruling.RETRY: Status.QUEUED,
    }
    people = _people(job, Role.REVIEWER, len(ends))
    won, late = _sorted_out(
        at_once(
            *(
                _ruling(job, ruling, person, note="Because.")
                for ruling, person in zip(ends, people, strict=True)
            )
        )
    )
    assert (len(won), len(late)) == (1, len(ends) - 1)
    job.refresh_from_db()
    assert job.status == ends[won[0].ruling]
    assert job.gates.get().outcome == job.events.last().verb
    winner = won[0].actor.get_username()
    assert all(winner in str(error) and "decided at" in str(error) for error in late)
    assert list(audit.verify()) == []


def test_escalate_and_approve_at_once_leave_one_story():
    job = JobFactory(status=Status.NEEDS_REVIEW)
    first, second = _people(job, Role.LEAD, 2)
    won, _late = _sorted_out(
        at_once(
            _ruling(job, Ruling.ESCALATE, first, note="Above me."),
            _ruling(job, Ruling.APPROVE, second),
        )
    )
    job.refresh_from_db()
    assert job.status == Status.COMPLETED
    approval = Decision.objects.get(ruling=Ruling.APPROVE)
    assert approval.level == (2 if len(won) == 2 else 1)
    assert list(audit.verify()) == []


def test_the_same_idempotency_key_ten_times_at_once_is_one_job():
    workspace, job_type = WorkspaceFactory(), JobTypeFactory()
    requester = UserFactory(workspace=workspace, roles=[Role.REQUESTER])
    uploads = (Upload("a.txt", b"one"), Upload("b.txt", b"two"))
    call = partial(
        actions.submit,
        job_type,
        requester=requester,
        workspace=workspace,
        input={"topic": "tides"},
        uploads=uploads,
        idempotency_key="once",
        now=NOW,
    )
    answers = at_once(*[call] * 10)
    assert not [answer for answer in answers if isinstance(answer, Exception)]
    job = Job.objects.get()
    assert {answer.job.pk for answer in answers} == {job.pk}
    assert sum(answer.created for answer in answers) == 1
    assert all(answer.same_request for answer in answers)
    assert Attempt.objects.count() == 1
    stored = [path for path in settings.MEDIA_ROOT.rglob("*") if path.is_file()]
    assert len(stored) == Document.objects.count() == 2
    assert list(audit.verify()) == []


def test_two_sweeps_never_claim_the_same_attempt():
    for _ in range(24):
        JobFactory()
    tokens = [uuid.uuid4() for _ in range(6)]
    claims = at_once(*(partial(leases.claim_due, token, now=NOW, limit=8) for token in tokens))
    assert not [claim for claim in claims if isinstance(claim, Exception)]
    claimed = [pk for claim in claims for pk in claim]
    assert len(claimed) == len(set(claimed))
    for token, claim in zip(tokens, claims, strict=True):
        held = Attempt.objects.filter(lease_token=token).values_list("pk", flat=True)
        assert set(held) == set(claim)
    rest = leases.claim_due(uuid.uuid4(), now=NOW, limit=100)
    assert len(claimed) + len(rest) == 24


def test_one_sweep_slot_is_claimed_once():
    slots = at_once(*[partial(leases.Slot.claim, now=NOW)] * 8)
    assert not [slot for slot in slots if isinstance(slot, Exception)]
    numbers = [slot.number for slot in slots if slot]
    assert sorted(numbers) == list(range(settings.SWEEPS))


def test_of_ten_retries_one_starts_one_attempt():
    job = JobFactory(status=Status.FAILED)
    people = [job.requester, *_people(job, Role.OPERATOR, 9)]
    won, late = _sorted_out(at_once(*(_ruling(job, Ruling.RETRY, p) for p in people)))
    assert (len(won), len(late)) == (1, 9)
    assert list(job.attempts.values_list("number", "cause")) == [
        (1, Cause.FIRST),
        (2, Cause.RETRY),
    ]
    assert list(audit.verify()) == []


def test_a_cancel_and_the_end_of_the_work_at_once_settle_the_job_once():
    job = JobFactory(status=Status.RUNNING)
    turn = last_turn(job)
    answer = payloads.response("completed", id=turn.response_id)
    cancel, ended = at_once(
        _ruling(job, Ruling.CANCEL, job.requester),
        partial(outcomes.looked_up, turn.pk, answer, now=NOW),
    )
    assert ended is None
    assert not isinstance(cancel, Exception)
    job.refresh_from_db()
    # Either the end came first and the gate was canceled, or the wish came first and won.
    assert job.status == Status.CANCELED
    assert job.attempts.get().state == State.SUCCEEDED
    assert bytes(last_turn(job).payload) == answer.body
    assert list(audit.verify()) == []


def test_one_answer_seen_by_ten_is_kept_once():
    job = JobFactory(status=Status.RUNNING)
    turn = last_turn(job)
    answer = payloads.response("completed", id=turn.response_id)
    answers = at_once(*[partial(outcomes.looked_up, turn.pk, answer, now=NOW)] * 10)
    assert answers == [None] * 10
    job.refresh_from_db()
    assert job.status == Status.NEEDS_REVIEW
    assert job.gates.count() == 1
    assert not job.events.filter(verb=Verb.LATE_ANSWER).exists()
    assert list(audit.verify()) == []


def test_events_written_at_once_form_one_chain():
    job = JobFactory()

    def write():
        with lifecycle.locked(job.pk) as held:
            lifecycle.record(held, Verb.WAITING, now=NOW)

    assert at_once(*[write] * 10) == [None] * 10
    job.refresh_from_db()
    assert [event.seq for event in job.events.all()] == list(range(1, 12))
    assert job.event_count == 11
    assert list(audit.verify()) == []


def test_seals_made_at_once_form_one_chain():
    for _ in range(3):
        start(JobFactory())
    seals = at_once(*[partial(audit.seal, now=NOW)] * 6)
    assert not [answer for answer in seals if isinstance(answer, Exception)]
    made = [answer for answer in seals if answer]
    assert sorted(seal.number for seal in made) == list(range(1, len(made) + 1))
    heads = [head for seal in made for head in seal.heads]
    assert len(heads) == 3
    assert list(audit.verify()) == []


def test_what_makes_an_attempt_due_is_not_undone_by_who_found_it_not_ready():
    turn = last_turn(JobFactory(now=NOW))
    attempts = Attempt.objects.filter(pk=turn.attempt_id)
    was_due_at = attempts.get().next_check_at
    sooner, later = NOW + timedelta(seconds=1), NOW + timedelta(seconds=60)
    written = threading.Event()

    def nudge():
        with transaction.atomic():
            attempts.update(next_check_at=sooner)
            written.set()
            time.sleep(0.5)

    def finds_it_not_ready():
        written.wait(10)
        lapses.not_ready(turn.pk, was_due_at=was_due_at, due_at=later)

    assert at_once(nudge, finds_it_not_ready) == [None, None]
    assert attempts.get().next_check_at == sooner


@pytest.mark.parametrize("_again", range(3))
def test_a_tool_call_that_ten_workers_are_given_runs_once(monkeypatch, _again):
    job = wants()
    [lead] = _people(job, Role.LEAD, 1)
    decide(job.pk, Ask(Ruling.APPROVE, lead, NOW))
    call, ran = FunctionCall.objects.get(), []

    def outcome(_tool, _context, arguments):
        ran.append(arguments)
        return CallOutcome.DONE, "Sent."

    monkeypatch.setattr(calls, "_outcome", outcome)
    run = partial(calls.run, call.pk, clock=lambda: NOW)
    hand_out = partial(calls.hand_out, NOW)
    assert at_once(*[run] * 10, *[hand_out] * 2) == [None] * 12
    call.refresh_from_db()
    assert (ran, call.state, call.output) == ([call.arguments], CallState.ANSWERED, "Sent.")


@pytest.mark.parametrize("_again", range(3))
def test_a_call_that_is_approved_refused_canceled_and_expired_at_once_has_one_fate(
    monkeypatch, _again
):
    job, ran = wants(), []
    job.gates.update(expires=True, due_at=NOW)
    people = _people(job, Role.LEAD, 4)
    call = FunctionCall.objects.get()
    monkeypatch.setattr(calls, "_outcome", lambda *_: ran.append(1) or (CallOutcome.DONE, ""))
    answers = at_once(
        _ruling(job, Ruling.APPROVE, people[0]),
        _ruling(job, Ruling.REFUSE, people[1], note="No."),
        _ruling(job, Ruling.CANCEL, people[2]),
        _ruling(job, Ruling.RETRY, people[3]),
        partial(lapses.review_overdue, job.pk, now=NOW),
        partial(calls.run, call.pk, clock=lambda: NOW),
    )
    decisions, _late = _sorted_out(answers[:4])
    assert answers[4:] == [None, None]
    calls.run(call.pk, clock=lambda: NOW)
    job.refresh_from_db()
    assert (len(decisions), job.status == Status.EXPIRED) in ((1, False), (0, True))
    assert bool(ran) == (bool(decisions) and decisions[0].ruling == Ruling.APPROVE)
    still_open = job.attempts.filter(state=State.SUBMITTING).exists()
    assert still_open == (job.status in (Status.RUNNING, Status.QUEUED))
    assert list(audit.verify()) == []
