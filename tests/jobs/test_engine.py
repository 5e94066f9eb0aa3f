"""The sweep: when it looks, who holds what, and what a kill at any instruction leaves behind."""

import json
import uuid
from datetime import timedelta

import pytest

from jobs import engine, lapses, leases, outcomes
from jobs.models import Attempt, Seal, State, Status, Turn, Verb
from tests.factories import JobFactory, JobTypeFactory
from tests.payloads import response_object
from tests.steps import lives, now_of, only_response, refusal, run_out, verbs, webhook_names

pytestmark = pytest.mark.usefixtures("nothing_paid_twice")

LAPSED = leases.ATTEMPT_LEASE.total_seconds() + 0.1


def test_a_job_runs_to_its_review(driver, clock):
    job = JobFactory(now=clock())
    driver.settle(job)
    assert job.status == Status.NEEDS_REVIEW
    attempt = job.attempts.get()
    assert attempt.state == State.SUCCEEDED
    assert attempt.result.text
    assert job.open_gate.content_hash == attempt.result.content_hash


def test_many_jobs_run_side_by_side(driver, sandbox, clock):
    jobs = [JobFactory(now=clock()) for _ in range(20)]
    for job in jobs:
        driver.settle(job)
    assert {job.status for job in jobs} == {Status.NEEDS_REVIEW}
    assert sandbox.stats()["creates"] == 20


# When it looks


def test_the_first_look_comes_within_two_seconds_and_then_at_most_five_apart(
    driver, sandbox, clock, job
):
    submitted_at = clock()
    lives(sandbox, end="never")
    driver.work()
    looks = [submitted_at]
    while clock() < submitted_at + timedelta(seconds=60):
        driver.step()
        looks.append(clock())
    assert looks[1] - looks[0] <= timedelta(seconds=2)
    gaps = [later - earlier for earlier, later in zip(looks, looks[1:], strict=False)]
    assert max(gaps) <= timedelta(seconds=5)
    assert sandbox.stats()["retrieves"] == len(gaps) < 30


def test_a_look_that_finds_nothing_new_changes_nothing_but_the_clock(driver, sandbox, clock, job):
    lives(sandbox, end="never")
    for _step in range(3):
        driver.step()
    job, attempt, _turn = now_of(job)
    before, checks = job.event_count, attempt.checks
    driver.step()
    job, attempt, _turn = now_of(job)
    assert job.event_count == before
    assert attempt.checks == checks + 1
    assert attempt.last_heard_at == clock()
    assert (attempt.lease_token, attempt.lease_until) == (None, None)


@pytest.mark.parametrize("failures", [0, 1])
def test_a_nudge_while_a_look_is_on_its_way_is_not_lost(driver, sandbox, clock, job, failures):
    lives(sandbox, end="never")
    driver.step()
    clock.advance(30)
    Attempt.objects.update(failures=failures)  # one goes the fast way, the other the slow one
    with driver.holding("retrieve"):
        driver.reach(lambda: sandbox.stats()["retrieves"] == 2)
        clock.advance(0.5)
        Attempt.objects.update(next_check_at=clock())
    driver.work()
    assert sandbox.stats()["retrieves"] == 3
    assert now_of(job)[1].next_check_at > clock()


# Who holds what


def test_what_one_sweep_holds_no_other_takes(driver, sandbox, clock, job):
    driver.work()
    clock.advance(2)
    with driver.holding("retrieve"):
        driver.reach(lambda: sandbox.stats()["retrieves"] == 1)
        other = driver.new_sweep()
        other.tick()
        assert (other.calls, other.requests) == ({}, 0)
    driver.settle(job)
    assert sandbox.stats()["retrieves"] == 1


def test_two_claims_never_share_a_row(driver, clock):
    for _ in range(5):
        JobFactory(now=clock())
    first = leases.claim_due(uuid.uuid4(), now=clock(), limit=3)
    second = leases.claim_due(uuid.uuid4(), now=clock(), limit=10)
    assert (len(first), len(second)) == (3, 2)
    assert not set(first) & set(second)
    assert leases.claim_due(uuid.uuid4(), now=clock(), limit=10) == []


def test_the_longest_overdue_is_claimed_first(driver, clock):
    late, later, latest = (JobFactory(now=clock()).attempts.get() for _ in range(3))
    for attempt, overdue in ((later, 10), (latest, 5), (late, 20)):
        due = clock() - timedelta(seconds=overdue)
        Attempt.objects.filter(pk=attempt.pk).update(next_check_at=due)
    assert leases.claim_due(uuid.uuid4(), now=clock(), limit=2) == [late.pk, later.pk]


def test_a_lease_is_renewed_while_its_call_is_on_its_way(driver, sandbox, clock, job, monkeypatch):
    monkeypatch.setattr(engine, "RENEW_EVERY", 0.0)
    driver.work()
    clock.advance(2)
    with driver.holding("retrieve"):
        driver.reach(lambda: sandbox.stats()["retrieves"] == 1)
        clock.advance(10)
        driver.tick()
        assert now_of(job)[1].lease_until == clock() + leases.ATTEMPT_LEASE
        clock.advance(10)
        assert leases.claim_due(uuid.uuid4(), now=clock(), limit=1) == []


def test_whoever_lost_a_lease_does_not_renew_it_and_writes_nothing(driver, sandbox, clock, job):
    driver.work()
    attempt = now_of(job)[1]
    loser, holder = uuid.uuid4(), uuid.uuid4()
    clock.advance(2)
    assert leases.claim_due(loser, now=clock(), limit=1) == [attempt.pk]
    clock.advance(LAPSED)
    assert leases.claim_due(holder, now=clock(), limit=1) == [attempt.pk]
    held = Attempt.objects.get(pk=attempt.pk)
    leases.renew(Attempt, [attempt.pk], loser, now=clock() + timedelta(seconds=60))
    far = clock() + timedelta(days=1)
    leases.write_still_running([(attempt.pk, held.next_check_at, far)], loser, now=clock())
    kept = Attempt.objects.get(pk=attempt.pk)
    assert (kept.lease_token, kept.lease_until) == (holder, held.lease_until)
    assert (kept.next_check_at, kept.checks) == (held.next_check_at, held.checks)


def test_whoever_lost_a_lease_sends_nothing(driver, sandbox, clock, job):
    slow = driver.sweep
    assert leases.claim_due(slow.token, now=clock(), limit=1)
    clock.advance(LAPSED)
    assert leases.claim_due(uuid.uuid4(), now=clock(), limit=1)
    slow._take_up(now_of(job)[2])
    assert (slow.calls, now_of(job)[2].sent_at) == ({}, None)


# What a kill leaves behind


def test_a_kill_between_the_claim_and_the_sending_sends_once(driver, sandbox, clock, job):
    assert leases.claim_due(uuid.uuid4(), now=clock(), limit=1)
    driver.work()
    assert sandbox.stats()["creates"] == 0
    clock.advance(LAPSED)
    driver.settle(job)
    assert job.status == Status.COMPLETED
    assert sandbox.stats()["creates"] == 1


def test_a_kill_between_the_mark_and_the_sending_never_sends(driver, sandbox, clock, job):
    driver.sweep._claim(1)  # marked as sent; the loop has not turned yet
    assert now_of(job)[2].sent_at
    driver.drop_calls()
    driver.work()
    job, attempt, _turn = now_of(job)
    assert (attempt.state, job.status) == (State.UNKNOWN, Status.RUNNING)
    assert "may have started" in job.reason_text
    driver.settle(job)
    run_out(driver)
    assert job.reason_code == "submit_outcome_unknown"
    assert sandbox.stats()["creates"] == 0


def test_a_kill_in_the_middle_of_a_create_never_sends_again(driver, sandbox, clock, job):
    with driver.holding("create"):
        driver.reach(lambda: sandbox.stats()["responses"] == 1)
        driver.drop_calls()
    driver.work()
    assert now_of(job)[1].state == State.UNKNOWN
    webhook_names(only_response(sandbox), clock)
    driver.settle(job)
    assert job.status == Status.COMPLETED
    run_out(driver)
    assert sandbox.stats()["creates"] == 1


def test_a_kill_in_the_middle_of_a_lookup_looks_again(driver, sandbox, clock, job):
    driver.work()
    clock.advance(2)
    with driver.holding("retrieve"):
        driver.reach(lambda: sandbox.stats()["retrieves"] == 1)
        driver.drop_calls()
    driver.settle(job)
    assert job.status == Status.COMPLETED
    assert sandbox.stats()["retrieves"] == 2


def test_a_create_answered_after_its_holder_was_thought_dead_is_taken(driver, sandbox, clock, job):
    lives(sandbox, end="never")
    with driver.holding("create"):
        driver.reach(lambda: sandbox.stats()["responses"] == 1)
        clock.advance(LAPSED)
        other = driver.new_sweep()
        other.tick()
        assert now_of(job)[1].state == State.UNKNOWN
    driver.work()
    job, attempt, turn = now_of(job)
    assert (attempt.state, job.status, job.reason_text) == (State.LIVE, Status.RUNNING, "")
    assert turn.response_id == only_response(sandbox)
    assert sandbox.stats()["creates"] == 1


def test_a_lookup_that_two_sweeps_made_settles_the_job_once(driver, sandbox, clock, job):
    driver.work()
    clock.advance(2)
    with driver.holding("retrieve"):
        driver.reach(lambda: sandbox.stats()["retrieves"] == 1)
        clock.advance(LAPSED)
        other = driver.new_sweep()
        other.tick()
        driver.reach(lambda: sandbox.stats()["retrieves"] == 2)
    driver.work()
    other.run_until_idle()
    job, attempt, _turn = now_of(job)
    assert job.status == Status.COMPLETED
    assert verbs(job).count(Verb.COMPLETED) == 1
    assert job.events.count() == 3


# A webhook before the create's answer


@pytest.mark.parametrize("life", [{"end": "completed"}, {"end": "never"}])
def test_a_webhook_may_come_before_the_answer_to_the_create(driver, sandbox, clock, job, life):
    lives(sandbox, **life)
    with driver.holding("create"):
        driver.reach(lambda: sandbox.stats()["responses"] == 1)
        receipt = webhook_names(only_response(sandbox), clock)
        driver.reach(lambda: now_of(job)[2].response_id)
        receipt.refresh_from_db()
        assert receipt.outcome == "adopted"
    driver.work()
    job, attempt, turn = now_of(job)
    if life["end"] == "never":
        assert (attempt.state, job.status) == (State.LIVE, Status.RUNNING)
        return
    assert (attempt.state, job.status) == (State.SUCCEEDED, Status.COMPLETED)
    assert turn.provider_status == "completed"
    run_out(driver)
    assert verbs(job).count(Verb.COMPLETED) == 1
    assert turn.late_payload is None


def test_a_webhook_that_crossed_the_answer_to_the_create_is_a_nudge(driver, sandbox, clock, job):
    driver.work()
    receipt = webhook_names(only_response(sandbox), clock)
    driver.work()
    receipt.refresh_from_db()
    assert (receipt.outcome, receipt.next_check_at) == ("known", None)
    assert now_of(job)[0].status == Status.COMPLETED  # looked at before its first check was due


# Poison


def breaks_for(monkeypatch, module, name, is_poison):
    """`module.name` raises for what `is_poison` says, until the list that it answers is emptied."""
    works, broken = getattr(module, name), [True]

    def breaking(first, *args, **kwargs):
        if broken and is_poison(first):
            raise RuntimeError("this row is poison")
        return works(first, *args, **kwargs)

    monkeypatch.setattr(module, name, breaking)
    return broken


def test_an_answer_that_cannot_be_handled_is_put_off_and_stops_nobody(
    driver, sandbox, clock, job, monkeypatch, caplog
):
    other = JobFactory(now=clock())
    poison = now_of(job)[2].pk
    broken = breaks_for(monkeypatch, outcomes, "looked_up", lambda turn_id: turn_id == poison)
    driver.settle(other)
    assert other.status == Status.NEEDS_REVIEW
    for least in (30, 60, 120):
        _job, attempt, _turn = now_of(job)
        assert attempt.state == State.LIVE
        assert attempt.next_check_at == clock() + timedelta(seconds=least)
        assert attempt.lease_token is None
        clock.now = attempt.next_check_at
        driver.work()
    assert "could not be handled" in caplog.text and "this row is poison" in caplog.text
    broken.clear()
    driver.settle(job)
    assert job.status == Status.COMPLETED


def test_a_request_that_cannot_be_made_is_put_off_and_was_not_sent(
    driver, sandbox, clock, job, monkeypatch
):
    other = JobFactory(now=clock())
    poison = now_of(job)[2].pk
    broken = breaks_for(monkeypatch, engine.requests, "create_body", lambda turn: turn.pk == poison)
    driver.settle(other)
    _job, attempt, turn = now_of(job)
    assert (attempt.state, turn.sent_at) == (State.SUBMITTING, None)
    broken.clear()
    driver.settle(job)
    assert job.status == Status.COMPLETED
    assert sandbox.stats()["creates"] == 2


def test_an_accepted_create_that_cannot_be_written_down_is_unknown_and_not_sent_again(
    driver, sandbox, clock, job, monkeypatch
):
    broken = breaks_for(monkeypatch, outcomes, "accepted", lambda turn_id: True)
    driver.work()
    assert now_of(job)[1].state == State.SUBMITTING
    broken.clear()
    driver.until(lambda: now_of(job)[1].state == State.UNKNOWN)
    webhook_names(only_response(sandbox), clock)
    driver.settle(job)
    assert job.status == Status.COMPLETED
    assert sandbox.stats()["creates"] == 1


def test_a_create_that_breaks_in_a_way_nobody_thought_of_is_unknown(
    driver, sandbox, clock, job, caplog
):
    async def create(body):
        raise LookupError("nobody thought of this")

    driver.provider.create = create
    driver.work()
    job, attempt, _turn = now_of(job)
    assert (attempt.state, job.status) == (State.UNKNOWN, Status.RUNNING)
    assert attempt.next_check_at == clock() + timedelta(seconds=60)
    assert "nobody thought of this" in caplog.text


def test_a_response_that_cannot_be_adopted_is_put_off_and_stops_nobody(
    driver, sandbox, clock, job, monkeypatch, caplog
):
    sandbox.script({"on": "create", "do": {"drop": "after"}})
    driver.work()
    broken = breaks_for(monkeypatch, outcomes, "accepted", lambda turn_id: True)
    receipt = webhook_names(only_response(sandbox), clock)
    driver.tick()
    driver.reach(lambda: not driver.sweep.calls)
    receipt.refresh_from_db()
    assert receipt.outcome == "" and receipt.next_check_at > clock()
    assert "this row is poison" in caplog.text
    broken.clear()
    driver.settle(job)
    assert job.status == Status.COMPLETED


def test_a_review_that_cannot_expire_stops_nobody(driver, sandbox, clock, monkeypatch, caplog):
    job_type = JobTypeFactory(review_within=60, expire_overdue_review=True)
    poison, other = (JobFactory(now=clock(), job_type=job_type) for _ in range(2))
    driver.settle(poison)
    driver.settle(other)
    clock.advance(61)
    breaks_for(monkeypatch, lapses, "review_overdue", lambda job_id: job_id == poison.pk)
    driver.tick()
    other.refresh_from_db()
    assert other.status == Status.EXPIRED
    assert "this row is poison" in caplog.text


# Around it


def test_a_document_that_changed_since_is_not_sent(driver, sandbox, clock, settings):
    from jobs.documents import Upload

    upload = Upload("notes.txt", b"High water comes twice a day.")
    job = JobFactory(now=clock(), uploads=(upload,))
    stored = settings.MEDIA_ROOT / job.documents.get().file.name
    stored.write_bytes(b"Something else.")
    driver.settle(job)
    job, attempt, turn = now_of(job)
    assert (attempt.state, job.status) == (State.FAILED, Status.FAILED)
    assert job.reason_code == "document_unusable"
    assert "is not what the job was given" in job.reason_text
    assert turn.sent_at is None and job.cost_usd == 0
    assert sandbox.requests() == []


def test_what_is_sent_is_what_was_stored_as_intended(driver, sandbox, clock, job):
    driver.work()
    _job, attempt, turn = now_of(job)
    response = sandbox.response(only_response(sandbox))
    assert response["metadata"] == {
        "job": str(job.pk),
        "attempt": str(attempt.pk),
        "turn": str(turn.pk),
    }
    assert response["request"]["background"] is True and response["request"]["store"] is True
    assert turn.request["metadata"] == response["metadata"]
    (create,) = sandbox.requests()
    assert create["retry_count"] == "0"


def test_an_old_answer_does_not_undo_a_newer_one(driver, sandbox, clock, job):
    """An "in progress" that is written down after the end leaves the end as it is."""
    driver.settle(job)
    before = Turn.objects.values("payload", "ended_at").get(attempt__job=job)
    body = json.dumps(response_object("in_progress", id=only_response(sandbox)))
    sandbox.script({"on": "retrieve", "do": {"raw": body}})
    Attempt.objects.update(next_check_at=clock())
    driver.work()
    job, attempt, _turn = now_of(job)
    assert (attempt.state, job.status) == (State.SUCCEEDED, Status.COMPLETED)
    assert Turn.objects.values("payload", "ended_at").get(attempt__job=job) == before
    run_out(driver)


def test_the_record_is_sealed_as_it_grows(driver, sandbox, clock, job):
    driver.settle(job)
    first = Seal.objects.count()
    clock.advance(61)
    driver.tick()
    assert Seal.objects.count() == first + 1
    job.refresh_from_db()
    assert job.sealed_count == job.event_count


def test_a_silent_provider_does_not_hold_up_other_jobs(driver, sandbox, clock, job):
    sandbox.script(
        {"on": "retrieve", "times": None, "match": {"input_contains": "tides"}, "do": refusal(500)}
    )
    quick = JobFactory(now=clock(), input={"topic": "moons"})
    driver.settle(quick)
    assert quick.status == Status.NEEDS_REVIEW
    assert now_of(job)[0].status == Status.RUNNING
