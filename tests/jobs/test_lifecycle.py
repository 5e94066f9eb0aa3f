"""The two state machines, over the full square of pairs."""

from itertools import product

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from jobs import audit, lifecycle
from jobs.access import allowed_actions
from jobs.lifecycle import (
    ATTEMPT_TRANSITIONS,
    TRANSITIONS,
    GateSpec,
    IllegalMove,
    Reason,
    Superseded,
)
from jobs.models import (
    ENDED,
    LIVE,
    OPEN,
    SETTLED,
    Attempt,
    Cause,
    Gate,
    GateKind,
    Job,
    State,
    Status,
    Verb,
)
from jobs.report import as_text, job_document
from tests.factories import NOW, JobFactory

pytestmark = pytest.mark.django_db

BECAUSE = Reason("because", "Because a test says so.")
GATE = GateSpec(GateKind.BEFORE_RUN, (BECAUSE,), "a-hash")

PAIRS = [pytest.param(source, to, id=f"{source}-{to}") for source, to in product(Status, repeat=2)]
LEGAL = [pair for pair in PAIRS if pair.values[1] in TRANSITIONS[pair.values[0]]]
ILLEGAL = [pair for pair in PAIRS if pair not in LEGAL]

ATTEMPT_PAIRS = [
    pytest.param(source, to, id=f"{source}-{to}") for source, to in product(State, repeat=2)
]
#: Real moves from *submitting* to each state.
WAYS = {
    State.SUBMITTING: (),
    State.LIVE: (State.LIVE,),
    State.UNKNOWN: (State.UNKNOWN,),
    State.SUCCEEDED: (State.LIVE, State.SUCCEEDED),
    State.INCOMPLETE: (State.LIVE, State.INCOMPLETE),
    State.FAILED: (State.FAILED,),
    State.CANCELED: (State.CANCELED,),
    State.LOST: (State.LIVE, State.LOST),
}


def _move(job, to, **changes):
    """Any move, with what the target asks for."""
    what = {
        "verb": Verb.REVIEW_ASKED,
        "now": NOW,
        "reason": BECAUSE,
        "gate": GATE if to == Status.NEEDS_REVIEW else None,
        **changes,
    }
    with lifecycle.locked(job.pk) as held:
        lifecycle.move(held, to, **what)
    return held


def _attempt(state):
    attempt = JobFactory().attempts.get()
    for step in WAYS[state]:
        lifecycle.move_attempt(attempt, step, now=NOW)
    return attempt


def test_every_status_and_every_state_has_its_edges_named():
    assert set(TRANSITIONS) == set(Status)
    assert set(ATTEMPT_TRANSITIONS) == set(State)
    assert set(Status) == LIVE | SETTLED and not LIVE & SETTLED
    assert set(State) == OPEN | ENDED and not OPEN & ENDED


def test_only_settled_statuses_are_left_by_a_person_alone():
    for status in SETTLED:
        assert TRANSITIONS[status] <= {Status.QUEUED, Status.NEEDS_REVIEW}


def test_an_ended_attempt_has_no_way_on():
    assert all(not ATTEMPT_TRANSITIONS[state] for state in ENDED)
    # A turn that ended with tool calls is followed by another; nothing else is sent again.
    again = {source for source, to in ATTEMPT_TRANSITIONS.items() if State.SUBMITTING in to}
    assert again == {State.LIVE, State.UNKNOWN}


@pytest.mark.parametrize(("source", "to"), LEGAL)
def test_a_legal_move_is_stored_with_its_event_and_its_gate(source, to):
    job = JobFactory(status=source)
    events, gates = job.event_count, job.gates.count()
    held = _move(job, to)
    job.refresh_from_db()
    assert job.status == held.status == to
    assert (job.reason_code, job.reason_text) == (BECAUSE.code, BECAUSE.text)
    assert (job.settled_at is not None) == (to in SETTLED)
    last = job.events.last()
    assert job.event_count == last.seq == events + 1
    assert job.event_head == last.hash
    assert (last.from_status, last.to_status, last.at) == (source, to, NOW)
    assert (last.reason_code, last.actor_name) == (BECAUSE.code, lifecycle.SYSTEM)
    if source == Status.NEEDS_REVIEW:
        assert job.gates.get().outcome == Verb.REVIEW_ASKED
        assert job.gates.get().closed_at == NOW
    if to == Status.NEEDS_REVIEW:
        assert job.gates.count() == gates + 1
        assert job.open_gate.closed_at is None
        assert job.open_gate.reasons == [{"code": BECAUSE.code, "text": BECAUSE.text}]
    else:
        assert job.open_gate is None
    assert list(audit.verify()) == []


@pytest.mark.parametrize(("source", "to"), ILLEGAL)
def test_an_illegal_move_changes_nothing(source, to):
    job = JobFactory(status=source)
    before = job_document(job)
    with pytest.raises(IllegalMove, match=job.ref):
        _move(job, to)
    job.refresh_from_db()
    assert job_document(job) == before


@pytest.mark.parametrize(("source", "to"), LEGAL)
def test_a_gate_opens_if_and_only_if_the_job_needs_review(source, to):
    job = JobFactory(status=source)
    wrong = None if to == Status.NEEDS_REVIEW else GATE
    with pytest.raises(IllegalMove, match="if and only if a gate"):
        _move(job, to, gate=wrong)
    job.refresh_from_db()
    assert job.status == source
    assert job.gates.filter(closed_at=None).count() == (source == Status.NEEDS_REVIEW)


@pytest.mark.parametrize("to", sorted(TRANSITIONS[Status.RUNNING]))
def test_a_move_from_a_stale_reading_is_superseded(to):
    job = JobFactory(status=Status.RUNNING)
    with lifecycle.locked(job.pk) as stale:
        pass
    _move(job, Status.FAILED)
    gate = GATE if to == Status.NEEDS_REVIEW else None
    with pytest.raises(Superseded):
        lifecycle.move(stale, to, verb=Verb.EXPIRED, now=NOW, reason=BECAUSE, gate=gate)
    job.refresh_from_db()
    assert job.status == Status.FAILED
    assert list(audit.verify()) == []


def test_a_move_is_superseded_where_only_an_event_came_in_between():
    job = JobFactory(status=Status.RUNNING)
    with lifecycle.locked(job.pk) as stale:
        pass
    with lifecycle.locked(job.pk) as held:
        lifecycle.record(held, Verb.WAITING, now=NOW)
    with pytest.raises(Superseded):
        lifecycle.move(stale, Status.COMPLETED, verb=Verb.COMPLETED, now=NOW)


def test_a_closed_gate_cannot_be_closed_again():
    job = JobFactory(status=Status.NEEDS_REVIEW)
    with lifecycle.locked(job.pk) as stale:
        pass
    Gate.objects.filter(pk=job.open_gate_id).update(closed_at=NOW, outcome="approved")
    with pytest.raises(Superseded, match="decided already"):
        lifecycle.move(stale, Status.COMPLETED, verb=Verb.APPROVED, now=NOW)


def test_a_gate_is_not_raised_twice_from_the_same_level():
    job = JobFactory(status=Status.NEEDS_REVIEW)
    first, second = (Gate.objects.get(pk=job.open_gate_id) for _ in range(2))
    lifecycle.raise_gate(job, first, now=NOW)
    assert first.level == 2
    with pytest.raises(Superseded):
        lifecycle.raise_gate(job, second, now=NOW)


def test_a_move_that_fails_half_way_leaves_the_gate_open():
    job = JobFactory(status=Status.NEEDS_REVIEW)
    with pytest.raises(ZeroDivisionError), lifecycle.locked(job.pk) as held:
        lifecycle.move(held, Status.COMPLETED, verb=Verb.APPROVED, now=NOW)
        raise ZeroDivisionError
    job.refresh_from_db()
    assert job.status == Status.NEEDS_REVIEW
    assert job.open_gate.closed_at is None
    assert list(audit.verify()) == []


def test_facts_beside_the_status_never_include_it():
    job = JobFactory()
    for field in ("status", "open_gate", "settled_at", "event_count", "event_head"):
        with pytest.raises(IllegalMove):
            lifecycle.note(job, **{field: None})


def test_the_same_reason_for_waiting_is_one_event():
    job = JobFactory()
    with lifecycle.locked(job.pk) as held:
        lifecycle.explain(held, Reason("busy", "Tried at nine."), now=NOW)
        lifecycle.explain(held, Reason("busy", "Tried at ten."), now=NOW)
    job.refresh_from_db()
    assert job.reason_text == "Tried at ten."
    assert [event.verb for event in job.events.all()] == [Verb.SUBMITTED, Verb.WAITING]


@pytest.mark.parametrize(("source", "to"), ATTEMPT_PAIRS)
def test_an_attempt_moves_along_its_edges_and_no_others(source, to):
    attempt = _attempt(source)
    legal = to in ATTEMPT_TRANSITIONS[source]
    if legal:
        lifecycle.move_attempt(attempt, to, now=NOW)
    else:
        with pytest.raises(IllegalMove):
            lifecycle.move_attempt(attempt, to, now=NOW)
    attempt.refresh_from_db()
    assert attempt.state == (to if legal else source)
    assert (attempt.ended_at is not None) == (attempt.state in ENDED)


@pytest.mark.parametrize("to", sorted(ENDED - {State.LOST}))
def test_an_ended_attempt_gives_up_its_lease_and_its_next_check(to):
    attempt = _attempt(State.SUBMITTING)
    Attempt.objects.filter(pk=attempt.pk).update(lease_token=attempt.pk, lease_until=NOW)
    lifecycle.move_attempt(attempt, to, now=NOW)
    attempt.refresh_from_db()
    assert (attempt.lease_token, attempt.lease_until, attempt.next_check_at) == (None, None, None)


def test_an_attempt_moved_from_a_stale_reading_is_superseded():
    attempt = _attempt(State.LIVE)
    stale = Attempt.objects.get(pk=attempt.pk)
    lifecycle.move_attempt(attempt, State.SUCCEEDED, now=NOW)
    with pytest.raises(Superseded):
        lifecycle.move_attempt(stale, State.FAILED, now=NOW)
    stale.refresh_from_db()
    assert stale.state == State.SUCCEEDED


def test_attempts_are_numbered_on():
    job = JobFactory(status=Status.FAILED)
    attempt = lifecycle.open_attempt(job, now=NOW, cause=Cause.RETRY)
    assert attempt.number == 2
    assert attempt.turns.get().sent_at is None


@pytest.mark.parametrize("status", Status)
def test_reading_never_writes(status):
    job = JobFactory(status=status)
    with CaptureQueriesContext(
        connection,
    ) as captured:
        fresh = Job.objects.get(pk=job.pk)
        as_text(job_document(fresh))
        allowed_actions(fresh.requester, fresh)
        assert list(Job.objects.visible_to(fresh.requester)) == [fresh]
        assert list(audit.verify()) == []
    said = [query["sql"].lstrip().split()[0].upper() for query in captured.captured_queries]
    assert said and set(said) <= {"SELECT", "DECLARE", "FETCH", "CLOSE"}
