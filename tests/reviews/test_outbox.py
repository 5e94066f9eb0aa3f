"""What leaves the building: at least once, never without its approval, never after a stop."""

import json
import os
import uuid
from datetime import timedelta

import pytest
from standardwebhooks import Webhook

from jobs import audit
from jobs.access import Action, NotAllowed, NotNow, allowed_actions
from jobs.models import (
    Citation,
    LibraryDocument,
    Result,
    ResultFile,
    Review,
    Role,
    Status,
    Verb,
)
from jobs.tasks import timezone as django_timezone
from reviews import channels, deadletters, outbox, rulings, signing, tasks
from reviews.actions import Ask, decide
from reviews.models import (
    Channel,
    Decision,
    Delivery,
    DeliveryState,
    Endpoint,
    Extent,
    Route,
    Ruling,
)
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
from tests.payloads import message
from tests.receiver import Receiver

pytestmark = pytest.mark.django_db

HOLD = timedelta(seconds=60)


@pytest.fixture(autouse=True)
def queue(monkeypatch):
    """What was handed to the queue and has not run yet."""
    waiting = []
    monkeypatch.setattr(outbox, "async_task", lambda name, **kwargs: waiting.append(kwargs))
    return waiting


@pytest.fixture
def receiver(settings):
    settings.WEBHOOKS_WITHIN = True
    running = Receiver()
    yield running
    running.close()


@pytest.fixture
def workspace():
    return WorkspaceFactory(slug="press")


@pytest.fixture
def endpoint(workspace, receiver):
    return Endpoint.objects.create(workspace=workspace, name="CMS", url=receiver.url)


@pytest.fixture
def route(workspace, endpoint):
    return Route.objects.create(workspace=workspace, channel=Channel.WEBHOOK, endpoint=endpoint)


def completed(workspace, **more):
    return JobFactory(workspace=workspace, status=Status.COMPLETED, **more)


def clock_at(now):
    return lambda: now


def look(queue, now):
    """A sweep looks around, and a worker runs what it handed out."""
    outbox.hand_out(now)
    run(queue, now)


def run(queue, now):
    while queue:
        task = queue.pop(0)
        outbox.run(uuid.UUID(task["delivery_id"]), uuid.UUID(task["token"]), clock=clock_at(now))


def settle(queue, delivery, now, tries=30):
    """Look whenever it is due, until it is over."""
    for _ in range(tries):
        delivery.refresh_from_db()
        if delivery.ended_at:
            return now
        now = max(now, delivery.next_check_at)
        look(queue, now)
    raise AssertionError(f"{delivery} is {delivery.state}")


def verbs(job):
    return [event.verb for event in job.events.order_by("seq")]


def lead(job):
    return UserFactory(workspace=job.workspace, roles=[Role.LEAD])


def test_an_approved_result_is_posted_once_signed_and_whole(queue, workspace, route, receiver):
    job = completed(workspace)
    delivery = Delivery.objects.get()
    assert (delivery.state, delivery.next_check_at) == (DeliveryState.WAITING, NOW + HOLD)
    look(queue, NOW + HOLD - timedelta(seconds=1))
    assert receiver.got == []
    now = django_timezone.now()
    look(queue, now)
    delivery.refresh_from_db()
    [(headers, body)] = receiver.got
    [secret] = signing.secrets(route.endpoint, now=now)
    said = Webhook(secret).verify(body, headers)
    result = Result.objects.get(attempt__job=job)
    decision = Decision.objects.get(job=job)
    assert headers["webhook-id"] == str(delivery.pk) == said["data"]["id"]
    assert said["type"] == "job.completed"
    assert said["data"]["result"]["text"] == result.text
    assert said["data"]["content_hash"] == result.content_hash == decision.content_hash
    assert said["data"]["decision"]["by"] == decision.actor.username
    assert (delivery.state, delivery.decision, delivery.attempts) == ("delivered", decision, 1)
    assert delivery.receipt == "200" and not delivery.in_doubt
    look(queue, now + timedelta(days=9))
    assert len(receiver.got) == 1
    assert verbs(job)[-1] == Verb.DELIVERED
    assert list(audit.verify()) == []


CITED = {"type": "url_citation", "url": "https://tides.example/", "title": "Tides"}


def cited(workspace, **more):
    """Completed with a source, and a warning about a step."""
    job = JobFactory(workspace=workspace, **more)
    start(job)
    failed = {"type": "web_search_call", "id": "ws_1", "status": "failed"}
    finish(job, "completed", output=[failed, message("High water.", annotations=[CITED])])
    job.refresh_from_db()
    if job.open_gate:
        approve(job)
    return job


def other_source():
    Citation.objects.update(url="https://elsewhere.example/")


def no_warning():
    Result.objects.update(warnings=[])


@pytest.mark.parametrize("review", [Review.ALWAYS, Review.NEVER])
@pytest.mark.parametrize("change", [other_source, no_warning])
def test_evidence_that_is_not_what_was_let_out_does_not_leave(
    queue, workspace, route, receiver, change, review
):
    job = cited(workspace, job_type=JobTypeFactory(review=review))
    change()
    look(queue, NOW + HOLD)
    delivery = Delivery.objects.get()
    assert (delivery.state, receiver.got) == (DeliveryState.DEAD, [])
    assert "citations or warnings" in delivery.last_error
    lead_of_it = lead(job)
    decide(job.pk, Ask(Ruling.REOPEN, lead_of_it, NOW + HOLD, note="Look at the sources."))
    decide(job.pk, Ask(Ruling.APPROVE, lead_of_it, NOW + HOLD))
    look(queue, NOW + 2 * HOLD)
    assert len(receiver.got) == 1


def test_evidence_leaves_with_what_was_approved(queue, workspace, route, receiver):
    cited(workspace)
    look(queue, NOW + HOLD)
    said = json.loads(receiver.got[0][1])["data"]["result"]
    assert [one["url"] for one in said["citations"]] == [CITED["url"]]
    assert [one["code"] for one in said["warnings"]] == ["tool_failed"]


def test_what_completed_before_its_evidence_was_hashed_leaves(
    queue, workspace, route, receiver, monkeypatch
):
    monkeypatch.setattr(rulings, "evidence_hash", lambda evidence: None)
    cited(workspace)
    look(queue, NOW + HOLD)
    assert len(receiver.got) == 1


def test_what_nobody_had_to_approve_leaves_without_a_decision(queue, workspace, route, receiver):
    job = completed(workspace, job_type=JobTypeFactory(review=Review.NEVER))
    look(queue, NOW + HOLD)
    delivery = Delivery.objects.get()
    assert (delivery.state, delivery.decision, delivery.unreviewed) == ("delivered", None, True)
    said = json.loads(receiver.got[0][1])
    assert said["data"]["decision"] is None
    assert said["data"]["content_hash"] == Result.objects.get(attempt__job=job).content_hash


def test_a_rejected_job_and_one_that_is_canceled_plan_nothing(workspace, route):
    job = JobFactory(workspace=workspace, status=Status.NEEDS_REVIEW)
    decide(job.pk, Ask(Ruling.REJECT, lead(job), NOW, note="No."))
    JobFactory(workspace=workspace, status=Status.CANCELED)
    JobFactory(workspace=workspace, status=Status.FAILED)
    assert not Delivery.objects.exists()


def test_a_completion_that_is_rolled_back_plans_nothing(workspace, route, monkeypatch):
    job = JobFactory(workspace=workspace, status=Status.NEEDS_REVIEW)

    def broken(**kwargs):
        raise RuntimeError("the power went")

    monkeypatch.setattr(Decision.objects, "create", broken)
    with pytest.raises(RuntimeError):
        decide(job.pk, Ask(Ruling.APPROVE, lead(job), NOW))
    assert not Delivery.objects.exists()


def test_only_the_routes_of_the_jobs_own_workspace_and_type_are_taken(workspace, endpoint):
    mine, other = JobTypeFactory(), JobTypeFactory()
    follows = JobTypeFactory(follows=True)
    named = Route.objects.create(workspace=workspace, job_type=mine, channel=Channel.LIBRARY)
    every = Route.objects.create(workspace=workspace, channel=Channel.WEBHOOK, endpoint=endpoint)
    Route.objects.create(workspace=workspace, job_type=other, channel=Channel.LIBRARY)
    Route.objects.create(workspace=workspace, channel=Channel.LIBRARY, enabled=False)
    Route.objects.create(workspace=WorkspaceFactory(), channel=Channel.LIBRARY)
    job = completed(workspace, job_type=mine)
    assert {row.route for row in job.deliveries.all()} == {named, every}
    assert not follows.routes.exists()


# Reopened before it left ------------------------------------------------------------------------


def test_a_job_that_is_reopened_within_the_hold_sends_nothing(queue, workspace, route, receiver):
    job = completed(workspace)
    decide(job.pk, Ask(Ruling.REOPEN, lead(job), NOW, note="One more look."))
    delivery = Delivery.objects.get()
    assert delivery.state == DeliveryState.STOPPED
    assert "Reopened by" in delivery.last_error
    look(queue, NOW + timedelta(days=4))
    assert receiver.got == []
    assert Verb.DELIVERY_STOPPED in verbs(job)
    approve(job, now=NOW + timedelta(hours=1))
    look(queue, NOW + timedelta(hours=2))
    assert [row.state for row in Delivery.objects.order_by("id")] == ["stopped", "delivered"]
    assert len(receiver.got) == 1


@pytest.mark.parametrize("state", ["delivered", "sending", "in doubt"])
def test_what_has_left_or_may_have_is_not_reopened(queue, workspace, route, receiver, state):
    job = completed(workspace)
    if state == "in doubt":
        receiver.answers = [500]
    if state == "sending":
        outbox.hand_out(NOW + HOLD)
        task = queue.pop()
        outbox._begin(uuid.UUID(task["delivery_id"]), uuid.UUID(task["token"]), now=NOW + HOLD)
    else:
        look(queue, NOW + HOLD)
    person = lead(job)
    job.refresh_from_db()
    why = allowed_actions(person, job)[Action.REOPEN].why
    assert "the building" in why and "127.0.0.1" in why
    with pytest.raises(NotNow, match="the building"):
        decide(job.pk, Ask(Ruling.REOPEN, person, NOW + HOLD, note="Too late."))
    job.refresh_from_db()
    assert job.status == Status.COMPLETED


def test_what_was_certainly_not_taken_can_still_be_reopened(queue, workspace, route, receiver):
    receiver.answers = [503]
    job = completed(workspace)
    look(queue, NOW + HOLD)
    assert len(receiver.got) == 1
    decide(job.pk, Ask(Ruling.REOPEN, lead(job), NOW + HOLD, note="In time."))
    look(queue, NOW + timedelta(days=1))
    assert len(receiver.got) == 1


def test_a_reopening_between_the_claim_and_the_send_wins(queue, workspace, route, receiver):
    job = completed(workspace)
    outbox.hand_out(NOW + HOLD)
    decide(job.pk, Ask(Ruling.REOPEN, lead(job), NOW + HOLD, note="Just in time."))
    run(queue, NOW + HOLD)
    assert receiver.got == []
    assert Delivery.objects.get().state == DeliveryState.STOPPED


def test_nothing_leaves_a_job_that_was_moved_past_the_outbox(queue, workspace, route, receiver):
    """Whatever moved it: what counts is the job as it is when the try begins."""
    job = completed(workspace)
    Delivery.objects.update(completion=99)
    look(queue, NOW + HOLD)
    assert receiver.got == []
    assert Delivery.objects.get().state == DeliveryState.STOPPED
    assert verbs(job)[-1] == Verb.DELIVERY_STOPPED


# The content is what was decided on --------------------------------------------------------------


def _tamper_text(job):
    Result.objects.filter(attempt__job=job).update(text="Something else.")


def _tamper_text_and_hash(job):
    from jobs.evidence import content_hash

    _tamper_text(job)
    made = content_hash("Something else.", [])
    Result.objects.filter(attempt__job=job).update(content_hash=made)
    Delivery.objects.update(content_hash=made)


def _add_file(job):
    ResultFile.objects.create(
        result=Result.objects.get(attempt__job=job),
        position=1,
        name="a",
        content_type="text/plain",
        size=1,
        sha256="0",
        file="a",
    )


def _withhold(job):
    Result.objects.filter(attempt__job=job).update(deliverable=False)


@pytest.mark.parametrize("tamper", [_tamper_text, _tamper_text_and_hash, _add_file, _withhold])
def test_content_that_is_not_what_was_decided_on_stays(queue, workspace, route, receiver, tamper):
    job = completed(workspace)
    tamper(job)
    look(queue, NOW + HOLD)
    delivery = Delivery.objects.get()
    assert receiver.got == []
    assert (delivery.state, delivery.attempts) == (DeliveryState.DEAD, 0)
    assert "decided on" in delivery.last_error or "no result" in delivery.last_error
    assert verbs(job)[-1] == Verb.DELIVERY_FAILED


def test_structured_data_is_read_out_of_the_text_that_the_hash_covers(
    queue, workspace, route, receiver
):
    job = completed(workspace)
    Result.objects.filter(attempt__job=job).update(structured={"made": "up"})
    look(queue, NOW + HOLD)
    said = json.loads(receiver.got[0][1])["data"]["result"]
    assert said["data"] is None and "made" not in said["text"]


# Tried again -------------------------------------------------------------------------------------


def test_500s_are_tried_again_under_the_same_id_until_it_is_taken(
    queue, workspace, route, receiver
):
    receiver.answers = [500, 502, 429, 200]
    completed(workspace)
    delivery = Delivery.objects.get()
    settle(queue, delivery, NOW + HOLD)
    assert (delivery.state, delivery.attempts) == (DeliveryState.DELIVERED, 4)
    assert receiver.counts == {str(delivery.pk): 4}
    assert len({body for _headers, body in receiver.got}) == 1
    endpoint = route.endpoint
    endpoint.refresh_from_db()
    assert (endpoint.failures, endpoint.failing_since) == (0, None)


def test_pauses_grow_to_hours_and_it_is_given_up_after_three_days(
    queue, workspace, route, receiver
):
    receiver.answers = [500]
    job = completed(workspace)
    delivery = Delivery.objects.get()
    ended = settle(queue, delivery, NOW + HOLD)
    assert delivery.state == DeliveryState.DEAD
    assert 10 <= delivery.attempts <= 14
    assert timedelta(days=2) < ended - NOW <= timedelta(days=3, minutes=2)
    assert "given up after" in job.events.order_by("-seq").first().reason_text
    pauses = [outbox.pause(n, chance=0).total_seconds() for n in (1, 2, 3, 8, 50)]
    assert pauses == [5, 30, 120, 43200, 43200]
    assert outbox.pause(1, chance=1).total_seconds() == 6


def test_a_receiver_may_ask_for_time_but_not_for_ever(queue, workspace, route, receiver):
    receiver.answers = [
        (429, {"retry-after": "1800"}, 0),
        (503, {"retry-after": "99999999"}, 0),
        200,
    ]
    completed(workspace)
    delivery = Delivery.objects.get()
    look(queue, NOW + HOLD)
    delivery.refresh_from_db()
    assert delivery.next_check_at == NOW + HOLD + timedelta(seconds=1800)
    look(queue, delivery.next_check_at)
    waited_from = delivery.next_check_at
    delivery.refresh_from_db()
    assert delivery.next_check_at - waited_from == timedelta(days=1)
    settle(queue, delivery, delivery.next_check_at)
    assert delivery.state == DeliveryState.DELIVERED


@pytest.mark.parametrize("given", ["Mon, 02 Mar 2026 10:31:00 GMT", "soon", "-5", "1e999", "٣"])
def test_a_retry_after_is_read_in_either_spelling(given):
    from reviews.channels import webhook

    after = webhook._after(given, NOW + timedelta(hours=1))
    assert after == (1860.0 if given.startswith("Mon") else None)


@pytest.mark.parametrize("status", [400, 401, 404, 410, 302])
def test_a_plain_no_is_dead_at_once(queue, workspace, route, receiver, status):
    receiver.answers = [(status, {"location": "http://127.0.0.1:1/"}, 0)]
    completed(workspace)
    look(queue, NOW + HOLD)
    delivery, endpoint = Delivery.objects.get(), Endpoint.objects.get()
    assert (delivery.state, len(receiver.got)) == (DeliveryState.DEAD, 1)
    assert str(status) in delivery.last_error
    assert endpoint.enabled is (status != 410)
    assert not delivery.in_doubt


@pytest.mark.parametrize("headers", [{"content-encoding": "gzip"}, {"content-length": "500"}])
@pytest.mark.parametrize(("status", "state"), [(200, "delivered"), (404, "dead")])
def test_the_status_counts_where_the_rest_of_an_answer_cannot_be_read(
    queue, workspace, route, receiver, headers, status, state
):
    receiver.answers = [(status, headers, 0)]
    completed(workspace)
    look(queue, NOW + HOLD)
    delivery = Delivery.objects.get()
    assert (delivery.state, delivery.in_doubt, len(receiver.got)) == (state, False, 1)


@pytest.mark.parametrize("host", [f"{'a' * 64}.example", "a..example"])
@pytest.mark.parametrize("within", [True, False])
def test_a_host_that_can_be_none_is_a_plain_no(queue, workspace, route, settings, within, host):
    settings.WEBHOOKS_WITHIN = within
    Endpoint.objects.update(url=f"https://{host}/hook")
    completed(workspace)
    look(queue, NOW + HOLD)
    delivery = Delivery.objects.get()
    assert (delivery.state, delivery.in_doubt) == ("dead", False)
    assert "This is no address." in delivery.last_error


def test_an_endpoint_that_is_switched_off_is_sent_nothing(queue, workspace, route, receiver):
    completed(workspace)
    Endpoint.objects.update(enabled=False)
    look(queue, NOW + HOLD)
    assert receiver.got == []
    assert "switched off" in Delivery.objects.get().last_error


@pytest.mark.parametrize("gone", [True, False])
def test_a_route_that_is_switched_off_sends_nothing_more(
    queue, workspace, route, receiver, operator, gone
):
    completed(workspace)
    if gone:
        route.delete()
    else:
        Route.objects.update(enabled=False)
    look(queue, NOW + HOLD)
    delivery = Delivery.objects.get()
    assert (receiver.got, delivery.state, delivery.in_doubt) == ([], "dead", False)
    assert "route" in delivery.last_error
    Route.objects.update(enabled=True)
    deadletters.retry(delivery.pk, actor=operator, reason="On again.", now=NOW + HOLD)
    look(queue, NOW + HOLD)
    assert len(receiver.got) == (0 if gone else 1)


def test_one_of_many_finds_out_that_an_endpoint_does_not_answer(queue, workspace, route, receiver):
    receiver.answers = [500]
    for _ in range(5):
        completed(workspace)
    look(queue, NOW + HOLD)
    for _ in range(3):
        look(queue, NOW + HOLD + timedelta(seconds=1))
    assert len(receiver.got) == 1, "the others wait"
    receiver.answers = [200]
    now = NOW + HOLD
    for _ in range(20):
        now += timedelta(seconds=30)
        look(queue, now)
    assert {row.state for row in Delivery.objects.all()} == {"delivered"}
    assert len(receiver.got) == 6


def test_a_receiver_that_answers_after_the_time_is_up_gets_it_again(
    queue, workspace, route, receiver, monkeypatch
):
    monkeypatch.setattr(outbox, "TRY_LASTS", 0.3)
    receiver.answers = [(200, {}, 1.0), 200]
    completed(workspace)
    delivery = Delivery.objects.get()
    look(queue, NOW + HOLD)
    delivery.refresh_from_db()
    assert (delivery.state, delivery.in_doubt) == (DeliveryState.WAITING, True)
    settle(queue, delivery, NOW + HOLD)
    assert receiver.counts == {str(delivery.pk): 2}
    assert (delivery.state, delivery.in_doubt) == (DeliveryState.DELIVERED, False)


# Killed ------------------------------------------------------------------------------------------


class Killed(BaseException):
    pass


def _dies(*_args, **_kwargs):
    raise Killed


def _sends_and_dies(monkeypatch):
    real = channels.send

    def send(*args, **kwargs):
        real(*args, **kwargs)
        raise Killed

    monkeypatch.setattr(channels, "send", send)


#: Where a process dies, and how often the receiver is called before the death.
DEATHS = {
    "after the claim": (lambda m: m.setattr(outbox, "_begin", _dies), 0),
    "while it is checked": (lambda m: m.setattr(outbox, "_checked", _dies), 0),
    "as it begins to send": (lambda m: m.setattr(channels, "send", _dies), 0),
    "with the answer in its hands": (_sends_and_dies, 1),
    "before it writes": (lambda m: m.setattr(outbox, "_delivered", _dies), 1),
    "while it writes": (lambda m: m.setattr(outbox, "record", _dies), 1),
}


@pytest.mark.parametrize("death", DEATHS)
def test_a_delivery_outlives_a_death_at_every_step(
    queue, workspace, route, receiver, death, monkeypatch
):
    dies, before = DEATHS[death]
    completed(workspace)
    delivery = Delivery.objects.get()
    with monkeypatch.context() as dying:
        dies(dying)
        with pytest.raises(Killed):
            look(queue, NOW + HOLD)
    assert len(receiver.got) == before
    # Nobody sends it while the dead one's lease lasts.
    look(queue, NOW + HOLD + timedelta(seconds=5))
    assert len(receiver.got) == before
    settle(queue, delivery, NOW + HOLD + timedelta(seconds=90))
    assert delivery.state == DeliveryState.DELIVERED
    assert receiver.counts == {str(delivery.pk): before + 1}
    assert verbs(delivery.job).count(Verb.DELIVERED) == 1
    assert list(audit.verify()) == []


def test_a_death_in_the_middle_of_sending_keeps_the_job_from_being_reopened(
    queue, workspace, route, receiver, monkeypatch
):
    job = completed(workspace)
    with monkeypatch.context() as dying:
        _sends_and_dies(dying)
        with pytest.raises(Killed):
            look(queue, NOW + HOLD)
    outbox.hand_out(NOW + timedelta(hours=1))
    delivery = Delivery.objects.get()
    assert (delivery.state, delivery.in_doubt) == (DeliveryState.WAITING, True)
    with pytest.raises(NotNow, match="may have left"):
        decide(job.pk, Ask(Ruling.REOPEN, lead(job), NOW + timedelta(hours=1), note="Why not?"))


def test_a_lost_task_is_handed_out_again(queue, workspace, route, receiver):
    completed(workspace)
    outbox.hand_out(NOW + HOLD)
    queue.clear()
    look(queue, NOW + HOLD + timedelta(seconds=1))
    assert receiver.got == []
    look(queue, NOW + HOLD + outbox.HANDED_FOR)
    assert len(receiver.got) == 1


def test_a_task_that_runs_twice_or_late_sends_once(queue, workspace, route, receiver):
    completed(workspace)
    outbox.hand_out(NOW + HOLD)
    [task] = queue
    queue.append(task)
    run(queue, NOW + HOLD)
    tasks.deliver(**task)
    assert len(receiver.got) == 1


def test_two_sweeps_hand_the_same_delivery_out_once(queue, workspace, route, receiver):
    completed(workspace)
    outbox.hand_out(NOW + HOLD)
    outbox.hand_out(NOW + HOLD)
    assert len(queue) == 1


@pytest.mark.parametrize("meanwhile", ["sent again", "delivered"])
def test_a_sweep_that_comes_second_to_a_death_changes_nothing(
    queue, workspace, route, receiver, monkeypatch, meanwhile
):
    completed(workspace)
    outbox.hand_out(NOW + HOLD)
    with monkeypatch.context() as dying:
        dying.setattr(outbox, "_tried", _dies)
        with pytest.raises(Killed):
            run(queue, NOW + HOLD)
    delivery = Delivery.objects.get()
    late = delivery.next_check_at
    if meanwhile == "delivered":
        outbox._delivered(delivery, "200", now=late)
    else:
        Delivery.objects.update(lease_until=late + HOLD, next_check_at=late + HOLD)
    before = Delivery.objects.values().get()
    outbox._interrupted(delivery.pk, now=late)
    assert Delivery.objects.values().get() == before
    assert Endpoint.objects.get().failures == 0


def test_a_success_that_comes_back_late_counts(queue, workspace, route, receiver):
    """The lease lapsed while the receiver thought; it was taken for dead, and then it answered."""
    completed(workspace)
    outbox.hand_out(NOW + HOLD)
    task = queue.pop()
    pk, token = uuid.UUID(task["delivery_id"]), uuid.UUID(task["token"])
    begun = outbox._begin(pk, token, now=NOW + HOLD)
    outbox.hand_out(NOW + HOLD + timedelta(minutes=2))
    assert Delivery.objects.get().state == DeliveryState.WAITING
    outbox._delivered(begun.delivery, "200", now=NOW + HOLD + timedelta(minutes=2))
    delivery = Delivery.objects.get()
    assert (delivery.state, delivery.next_check_at, delivery.in_doubt) == ("delivered", None, False)
    outbox._failed(
        begun.delivery, channels.Passing("Late.", left=True), token=token, now=NOW + HOLD
    )
    assert Delivery.objects.get().state == DeliveryState.DELIVERED


def test_no_more_are_sent_at_a_time_than_leave_a_worker_for_the_sweeps(
    queue, workspace, route, settings
):
    for _ in range(6):
        completed(workspace)
    outbox.hand_out(NOW + HOLD)
    outbox.hand_out(NOW + HOLD)
    assert len(queue) == settings.DELIVERIES_AT_A_TIME < settings.Q_CLUSTER["workers"]


def test_a_task_goes_on_with_what_else_is_due(queue, workspace, route, receiver):
    for _ in range(6):
        completed(workspace)
    outbox.hand_out(NOW + HOLD)
    task = queue[0]
    outbox.work(
        uuid.UUID(task["delivery_id"]), uuid.UUID(task["token"]), clock=clock_at(NOW + HOLD)
    )
    assert len(receiver.got) == 5, "all but the one that another task holds"


def test_looking_around_with_nothing_due_is_one_query(queue, workspace, django_assert_num_queries):
    with django_assert_num_queries(1):
        outbox.hand_out(NOW)


# Addresses ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "https://127.0.0.1/",
        "https://localhost/",
        "https://[::1]/",
        "https://[::ffff:10.0.0.1]/",
        "https://169.254.169.254/latest/meta-data/",
        "https://2130706433/",
    ],
)
def test_an_endpoint_within_this_network_is_not_reached(queue, workspace, route, settings, url):
    settings.WEBHOOKS_WITHIN = False
    Endpoint.objects.update(url=url)
    completed(workspace)
    look(queue, NOW + HOLD)
    delivery = Delivery.objects.get()
    assert (delivery.state, delivery.in_doubt) == (DeliveryState.DEAD, False)
    assert "within this network" in delivery.last_error


def test_a_name_that_leads_into_this_network_is_not_followed(
    queue, workspace, route, receiver, settings, monkeypatch
):
    import socket

    settings.WEBHOOKS_WITHIN = False
    Endpoint.objects.update(url="https://cms.example.com/")
    inward = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("10.1.2.3", 443))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **kwargs: inward)
    completed(workspace)
    look(queue, NOW + HOLD)
    assert "within this network" in Delivery.objects.get().last_error


def test_a_name_that_leads_nowhere_is_tried_again_and_is_no_doubt(
    queue, workspace, route, receiver, settings, monkeypatch
):
    import socket

    def nowhere(*args, **kwargs):
        raise socket.gaierror("no such name")

    settings.WEBHOOKS_WITHIN = False
    Endpoint.objects.update(url="https://cms.example.com/")
    monkeypatch.setattr(socket, "getaddrinfo", nowhere)
    completed(workspace)
    look(queue, NOW + HOLD)
    delivery = Delivery.objects.get()
    assert (delivery.state, delivery.in_doubt) == (DeliveryState.WAITING, False)


def test_a_port_that_is_closed_is_no_doubt(queue, workspace, route, receiver):
    Endpoint.objects.update(url="http://127.0.0.1:1/")
    completed(workspace)
    look(queue, NOW + HOLD)
    delivery = Delivery.objects.get()
    assert (delivery.state, delivery.in_doubt) == (DeliveryState.WAITING, False)


# Secrets -----------------------------------------------------------------------------------------


def test_during_a_rotation_both_secrets_are_good_and_then_one_is(
    queue, workspace, route, receiver, endpoint
):
    now = django_timezone.now()
    [old] = signing.secrets(endpoint, now=now)
    assert signing.rotate(endpoint, now=now)
    new, before = signing.secrets(endpoint, now=now)
    assert before == old != new
    completed(workspace, now=now)
    look(queue, now + HOLD)
    headers, body = receiver.got[0]
    for secret in (old, new):
        Webhook(secret).verify(body, headers)
    later = now + signing.OVERLAP
    assert signing.secrets(endpoint, now=later) == [new]


def test_a_stale_rotation_changes_nothing(endpoint):
    stale = Endpoint.objects.get(pk=endpoint.pk)
    assert signing.rotate(endpoint, now=NOW)
    assert not signing.rotate(stale, now=NOW)
    assert Endpoint.objects.get().serial == 2


def test_secrets_are_different_for_each_endpoint_and_each_key_and_stored_nowhere(
    workspace, endpoint, settings
):
    other = Endpoint.objects.create(workspace=workspace, name="Other", url=endpoint.url)
    [one], [two] = signing.secrets(endpoint, now=NOW), signing.secrets(other, now=NOW)
    assert one != two and one.startswith("whsec_")
    columns = {f.name for f in Endpoint._meta.fields} | {
        f.name for f in Endpoint.history.model._meta.fields
    }
    assert not {name for name in columns if "secret" in name}
    settings.ENDPOINT_KEY = "another"
    assert signing.secrets(endpoint, now=NOW) != [one]


# The other channels ------------------------------------------------------------------------------


def test_a_mail_goes_to_each_address_and_to_the_requester(queue, workspace, mailoutbox, settings):
    settings.SITE_URL = "https://jobs.example.com"
    Route.objects.create(
        workspace=workspace,
        channel=Channel.EMAIL,
        recipients="a@example.com\nb@example.org",
        to_requester=True,
    )
    job = completed(workspace)
    for _ in range(3):
        look(queue, NOW + HOLD)
    assert sorted(mail.to[0] for mail in mailoutbox) == sorted(
        ["a@example.com", "b@example.org", job.requester.email]
    )
    ids = {mail.extra_headers["Message-ID"] for mail in mailoutbox}
    assert ids == {f"<{row.pk}@localhost>" for row in Delivery.objects.all()}
    text = Result.objects.get(attempt__job=job).text
    assert all(text in mail.body and job.get_absolute_url() in mail.body for mail in mailoutbox)


def test_a_mail_that_only_tells_has_no_result_in_it(queue, workspace, mailoutbox):
    Route.objects.create(
        workspace=workspace, channel=Channel.EMAIL, recipients="a@example.com", extent=Extent.LINK
    )
    job = completed(workspace)
    look(queue, NOW + HOLD)
    assert Result.objects.get(attempt__job=job).text not in mailoutbox[0].body


def test_no_header_can_be_put_into_a_mail(queue, workspace, mailoutbox):
    Route.objects.create(workspace=workspace, channel=Channel.EMAIL, recipients="a@example.com")
    job = completed(workspace)
    type(job).objects.filter(pk=job.pk).update(input_summary="Hello\r\nBcc: everybody@example.com")
    look(queue, NOW + HOLD)
    [mail] = mailoutbox
    assert "\n" not in mail.subject
    assert mail.recipients() == ["a@example.com"]
    assert "bcc" not in {name.lower() for name in mail.message()}


@pytest.mark.parametrize(
    ("error", "state", "in_doubt"),
    [
        ("refused", "dead", False),
        ("greylisted", "waiting", False),
        ("gone", "waiting", False),
        ("broke off", "waiting", True),
        ("login", "waiting", False),
    ],
)
def test_what_a_mail_server_says_decides_what_comes_next(
    queue, workspace, monkeypatch, error, state, in_doubt
):
    import smtplib

    from django.core.mail import EmailMessage

    errors = {
        "refused": smtplib.SMTPRecipientsRefused({"a@example.com": (550, b"No such person")}),
        "greylisted": smtplib.SMTPRecipientsRefused({"a@example.com": (451, b"Later")}),
        "gone": ConnectionRefusedError(),
        "broke off": smtplib.SMTPServerDisconnected("lost"),
        "login": smtplib.SMTPAuthenticationError(535, b"Who are you?"),
    }

    def send(self):
        raise errors[error]

    monkeypatch.setattr(EmailMessage, "send", send)
    Route.objects.create(workspace=workspace, channel=Channel.EMAIL, recipients="a@example.com")
    completed(workspace)
    look(queue, NOW + HOLD)
    delivery = Delivery.objects.get()
    assert (delivery.state, delivery.in_doubt) == (state, in_doubt)
    assert delivery.last_error


def test_a_requester_without_an_address_is_a_dead_letter(queue, workspace, mailoutbox):
    Route.objects.create(workspace=workspace, channel=Channel.EMAIL, to_requester=True)
    person = UserFactory(workspace=workspace, roles=[Role.REQUESTER], email="")
    completed(workspace, requester=person)
    look(queue, NOW + HOLD)
    assert mailoutbox == []
    assert "no e-mail address" in Delivery.objects.get().last_error


@pytest.mark.parametrize("lost", ["role", "account"])
def test_a_requester_who_may_not_read_it_any_more_gets_no_mail(queue, workspace, mailoutbox, lost):
    route = Route.objects.create(workspace=workspace, channel=Channel.EMAIL, to_requester=True)
    job = completed(workspace)
    if lost == "role":
        job.requester.memberships.all().delete()
    else:
        type(job.requester).objects.filter(pk=job.requester_id).update(is_active=False)
    look(queue, NOW + HOLD)
    delivery = Delivery.objects.get()
    assert (mailoutbox, delivery.state, delivery.attempts) == ([], "dead", 0)
    assert "may not read it any more" in delivery.last_error
    # An admin may name the address all the same.
    route.recipients = job.requester.email
    route.save()
    operator = UserFactory(workspace=workspace, roles=[Role.OPERATOR])
    deadletters.retry(delivery.pk, actor=operator, reason="They moved on.", now=NOW + HOLD)
    look(queue, NOW + HOLD)
    assert [mail.to for mail in mailoutbox] == [[job.requester.email]]


def _names_others(route):
    route.recipients = "b@example.com"


def _leaves_the_requester_out(route):
    route.to_requester = False


def _goes_elsewhere(route):
    route.channel, route.recipients, route.to_requester = Channel.LIBRARY, "", False


@pytest.mark.parametrize("change", [_names_others, _leaves_the_requester_out, _goes_elsewhere])
def test_a_mail_goes_only_where_its_route_still_leads(queue, workspace, mailoutbox, change):
    route = Route.objects.create(
        workspace=workspace, channel=Channel.EMAIL, recipients="a@example.com", to_requester=True
    )
    job = completed(workspace)
    change(route)
    route.save()
    for _ in range(2):
        look(queue, NOW + HOLD)
    still = {*route.addresses(), job.requester.email if route.to_requester else ""}
    for row in Delivery.objects.all():
        sent = row.target in still
        assert (row.state, row.attempts) == (("delivered", 1) if sent else ("dead", 0))
        assert sent or row.last_error == "The route that it was to take leads elsewhere by now."
    assert {mail.to[0] for mail in mailoutbox} <= still


def test_a_webhook_goes_only_to_the_endpoint_that_its_route_names(
    queue, workspace, route, receiver
):
    completed(workspace)
    route.endpoint = Endpoint.objects.create(
        workspace=workspace, name="Other", url="https://other.example.com/"
    )
    route.save()
    look(queue, NOW + HOLD)
    assert receiver.got == []
    assert "leads elsewhere" in Delivery.objects.get().last_error


def test_a_secret_that_is_made_while_an_endpoint_says_that_it_is_gone_stays(
    queue, workspace, route, receiver, monkeypatch
):
    receiver.answers = [410]
    completed(workspace)
    real = Endpoint.refresh_from_db

    def refresh(self, *args, **kwargs):
        real(self, *args, **kwargs)
        Endpoint.objects.update(serial=7)

    monkeypatch.setattr(Endpoint, "refresh_from_db", refresh)
    look(queue, NOW + HOLD)
    assert Endpoint.objects.values_list("serial", "enabled").get() == (7, False)


def test_what_fails_while_a_secret_is_made_is_not_forgotten(endpoint, monkeypatch):
    real = Endpoint.refresh_from_db

    def refresh(self, *args, **kwargs):
        real(self, *args, **kwargs)
        Endpoint.objects.update(enabled=False, failures=3, failing_since=NOW)

    monkeypatch.setattr(Endpoint, "refresh_from_db", refresh)
    assert signing.rotate(endpoint, now=NOW)
    found = Endpoint.objects.get()
    assert (found.enabled, found.failures, found.serial) == (False, 3, 2)
    assert found.history.first().serial == 2


def test_a_result_goes_into_the_library_once(queue, workspace, monkeypatch):
    Route.objects.create(workspace=workspace, channel=Channel.LIBRARY)
    job = completed(workspace)
    with monkeypatch.context() as dying:
        dying.setattr(outbox, "_delivered", _dies)
        with pytest.raises(Killed):
            look(queue, NOW + HOLD)
    settle(queue, Delivery.objects.get(), NOW + HOLD)
    document = LibraryDocument.objects.get()
    decision = Decision.objects.get(job=job)
    assert (document.job, document.added_by) == (job, decision.actor)
    assert Delivery.objects.get().receipt == document.ref


def test_what_the_approver_may_no_longer_do_goes_into_the_library_all_the_same(queue, workspace):
    Route.objects.create(workspace=workspace, channel=Channel.LIBRARY)
    completed(workspace)
    Decision.objects.get().actor.memberships.all().delete()
    look(queue, NOW + HOLD)
    assert LibraryDocument.objects.count() == 1


def test_a_file_drop_is_whole_and_there_once(queue, workspace, settings, tmp_path, monkeypatch):
    settings.FILE_DROP_ROOT = str(tmp_path)
    Route.objects.create(workspace=workspace, channel=Channel.FOLDER)
    job = completed(workspace)
    with monkeypatch.context() as dying:
        dying.setattr(outbox, "_delivered", _dies)
        with pytest.raises(Killed):
            look(queue, NOW + HOLD)
    settle(queue, Delivery.objects.get(), NOW + HOLD)
    result = Result.objects.get(attempt__job=job)
    stem = f"{job.ref}-{result.content_hash[:12]}"
    folder = tmp_path / "press" / job.job_type.slug
    assert sorted(path.name for path in folder.iterdir()) == [f"{stem}.json", f"{stem}.md"]
    assert json.loads((folder / f"{stem}.json").read_text())["data"]["job"] == job.ref
    assert (folder / f"{stem}.md").read_text() == result.text


def test_a_file_drop_that_was_made_in_part_may_have_left(
    queue, workspace, settings, tmp_path, monkeypatch
):
    settings.FILE_DROP_ROOT = str(tmp_path)
    Route.objects.create(workspace=workspace, channel=Channel.FOLDER)
    completed(workspace)
    real, done = os.replace, []

    def fills_up(source, target):
        if done:
            raise OSError(28, "No space left on device")
        done.append(target)
        real(source, target)

    monkeypatch.setattr("reviews.channels.folder.os.replace", fills_up)
    look(queue, NOW + HOLD)
    delivery = Delivery.objects.get()
    assert (delivery.state, delivery.in_doubt) == (DeliveryState.WAITING, True)


def test_a_file_drop_never_leaves_its_folder(queue, workspace, settings, tmp_path):
    root, outside = tmp_path / "root", tmp_path / "outside"
    root.mkdir()
    outside.mkdir()
    settings.FILE_DROP_ROOT = str(root)
    (root / "press").symlink_to(outside)
    Route.objects.create(workspace=workspace, channel=Channel.FOLDER)
    completed(workspace)
    workspace.slug = "../outside"
    workspace.save()
    look(queue, NOW + HOLD)
    assert "cannot be the name" in Delivery.objects.get().last_error
    workspace.slug = "press"
    workspace.save()
    job = completed(workspace)
    look(queue, NOW + HOLD)
    assert "leads out of" in job.deliveries.get().last_error
    assert list(outside.rglob("*")) == [], "no folder either"


def test_a_folder_that_is_not_there_is_waited_for(queue, workspace, settings, tmp_path):
    settings.FILE_DROP_ROOT = str(tmp_path / "not mounted")
    Route.objects.create(workspace=workspace, channel=Channel.FOLDER)
    completed(workspace)
    look(queue, NOW + HOLD)
    delivery = Delivery.objects.get()
    assert (delivery.state, delivery.in_doubt) == (DeliveryState.WAITING, False)
    assert not (tmp_path / "not mounted").exists()


# Dead letters ------------------------------------------------------------------------------------


@pytest.fixture
def dead(queue, workspace, route, receiver):
    receiver.answers = [404]
    completed(workspace)
    look(queue, NOW + HOLD)
    receiver.answers = [200]
    return Delivery.objects.get()


@pytest.fixture
def operator(workspace):
    return UserFactory(workspace=workspace, roles=[Role.OPERATOR])


def test_a_dead_letter_is_retried_with_a_reason(queue, dead, operator, receiver):
    later = NOW + timedelta(days=30)
    deadletters.retry(dead.pk, actor=operator, reason="The CMS is back.", now=later)
    look(queue, later)
    dead.refresh_from_db()
    assert dead.state == DeliveryState.DELIVERED
    event = dead.job.events.get(verb=Verb.DELIVERY_RETRIED)
    assert (event.actor, event.data["delivery"]) == (operator, str(dead.pk))
    assert "The CMS is back." in event.reason_text
    assert receiver.counts == {str(dead.pk): 2}


def test_a_dead_letter_is_dropped_with_a_reason_for_good(queue, dead, operator, receiver):
    deadletters.drop(dead.pk, actor=operator, reason="Sent by hand.", now=NOW + HOLD)
    look(queue, NOW + timedelta(days=9))
    dead.refresh_from_db()
    assert (dead.state, len(receiver.got)) == (DeliveryState.DROPPED, 1)
    with pytest.raises(NotNow, match="dropped"):
        deadletters.retry(dead.pk, actor=operator, reason="Again.", now=NOW + HOLD)


@pytest.mark.parametrize("verb", [deadletters.retry, deadletters.drop])
@pytest.mark.parametrize("role", [Role.REQUESTER, Role.REVIEWER, Role.LEAD, Role.AUDITOR])
def test_only_operators_and_admins_mend(dead, verb, role):
    person = UserFactory(workspace=dead.job.workspace, roles=[role])
    with pytest.raises(NotAllowed):
        verb(dead.pk, actor=person, reason="Me.", now=NOW)


@pytest.mark.parametrize("reason", ["", "  ", "x" * 1001])
def test_a_reason_is_words_and_not_too_many(dead, operator, reason):
    with pytest.raises(deadletters.ReasonMissing):
        deadletters.retry(dead.pk, actor=operator, reason=reason, now=NOW)


def test_a_dead_letter_of_a_reopened_job_is_not_retried(queue, dead, operator, receiver):
    decide(dead.job_id, Ask(Ruling.REOPEN, lead(dead.job), NOW + HOLD, note="Anew."))
    with pytest.raises(NotNow, match="no longer what was let out"):
        deadletters.retry(dead.pk, actor=operator, reason="Again.", now=NOW + HOLD)
    dead.refresh_from_db()
    assert dead.state == DeliveryState.STOPPED


def test_what_is_being_sent_is_neither_retried_nor_dropped(queue, workspace, route, operator):
    completed(workspace)
    outbox.hand_out(NOW + HOLD)
    delivery = Delivery.objects.get()
    for verb in (deadletters.retry, deadletters.drop):
        with pytest.raises(NotNow, match="about to be sent"):
            verb(delivery.pk, actor=operator, reason="Now.", now=NOW + HOLD)


def test_all_dead_letters_of_an_endpoint_are_retried_together(
    queue, workspace, route, receiver, endpoint, operator
):
    receiver.answers = [404]
    jobs = [completed(workspace) for _ in range(3)]
    for _ in range(3):
        look(queue, NOW + HOLD)
    decide(jobs[0].pk, Ask(Ruling.REOPEN, lead(jobs[0]), NOW + HOLD, note="Anew."))
    receiver.answers = [200]
    done = deadletters.retry_all(endpoint, actor=operator, reason="Mended.", now=NOW + HOLD)
    assert (done.number, done.skipped) == (2, ())
    for _ in range(3):
        look(queue, NOW + HOLD)
    assert sorted(row.state for row in Delivery.objects.all()) == [
        "delivered",
        "delivered",
        "stopped",
    ]


def test_no_event_of_the_chain_holds_an_address(queue, workspace, mailoutbox):
    Route.objects.create(workspace=workspace, channel=Channel.EMAIL, recipients="ann@example.com")
    job = completed(workspace)
    look(queue, NOW + HOLD)
    said = json.dumps(list(job.events.values("reason_text", "data")))
    assert "example.com" in said and "ann@" not in said


def test_what_a_receiver_said_stays_out_of_the_chain(queue, workspace, route, receiver, endpoint):
    receiver.answers = [404]
    Endpoint.objects.update(url=f"{receiver.url}/with-a-token")
    job = completed(workspace)
    look(queue, NOW + HOLD)
    told = json.dumps(list(job.events.values("reason_text", "data")))
    assert "with-a-token" not in told and "noted" not in told
    assert "noted" in Delivery.objects.get().last_error


def test_the_signals_reach_the_outbox(queue, workspace, route, receiver):
    from jobs import signals
    from jobs.engine import Sweep

    completed(workspace)
    assert Delivery.objects.exists()
    [answer] = [
        answer
        for function, answer in signals.looked_around.send_robust(Sweep, now=NOW + HOLD)
        if function.__name__ == "hand_out_deliveries"
    ]
    assert answer is None and len(queue) == 1
