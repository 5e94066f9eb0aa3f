"""Several at once, on real connections: nothing leaves a reopened job, and nothing leaves twice."""

import uuid
from datetime import timedelta
from functools import partial

import pytest

from jobs import audit
from jobs.access import NotNow
from jobs.models import Role, Status
from reviews import outbox
from reviews.actions import Ask, decide
from reviews.models import Channel, Delivery, DeliveryState, Endpoint, Route, Ruling
from tests.factories import NOW, JobFactory, UserFactory, WorkspaceFactory
from tests.jobs.test_races import at_once
from tests.receiver import Receiver

pytestmark = pytest.mark.django_db(transaction=True)

DUE = NOW + timedelta(seconds=60)


@pytest.fixture
def handed(monkeypatch):
    tasks = []
    monkeypatch.setattr(outbox, "async_task", lambda name, **kwargs: tasks.append(kwargs))
    return tasks


@pytest.fixture
def receiver(settings):
    settings.WEBHOOKS_WITHIN = True
    running = Receiver()
    yield running
    running.close()


@pytest.fixture
def job(receiver, handed):
    workspace = WorkspaceFactory()
    endpoint = Endpoint.objects.create(workspace=workspace, name="CMS", url=receiver.url)
    Route.objects.create(workspace=workspace, channel=Channel.WEBHOOK, endpoint=endpoint)
    return JobFactory(workspace=workspace, status=Status.COMPLETED)


def sending(task):
    pk, token = uuid.UUID(task["delivery_id"]), uuid.UUID(task["token"])
    return partial(outbox.run, pk, token, clock=lambda: DUE)


@pytest.mark.parametrize("round", range(6))
def test_of_a_reopening_and_a_delivery_one_is_first(job, receiver, handed, round):
    outbox.hand_out(DUE)
    lead = UserFactory(workspace=job.workspace, roles=[Role.LEAD])
    reopen = partial(decide, job.pk, Ask(Ruling.REOPEN, lead, DUE, note="Wait."))
    calls = [reopen, sending(handed[0])]
    if round % 2:
        calls.reverse()
    answers = at_once(*calls)
    reopened = answers[round % 2]
    job.refresh_from_db()
    delivery = Delivery.objects.get()
    if isinstance(reopened, NotNow):
        assert (job.status, delivery.state) == (Status.COMPLETED, DeliveryState.DELIVERED)
        assert len(receiver.got) == 1
    else:
        assert not isinstance(reopened, Exception), reopened
        assert (job.status, delivery.state) == (Status.NEEDS_REVIEW, DeliveryState.STOPPED)
        assert receiver.got == []
    assert list(audit.verify()) == []


def test_sweeps_that_look_at_once_hand_a_delivery_out_once(job, handed):
    at_once(*[partial(outbox.hand_out, DUE)] * 4)
    assert len(handed) == 1


def test_a_task_that_runs_several_times_at_once_sends_once(job, receiver, handed):
    outbox.hand_out(DUE)
    answers = at_once(*[sending(handed[0])] * 4)
    assert [answer for answer in answers if answer is not None] == []
    assert len(receiver.got) == 1
    assert Delivery.objects.get().state == DeliveryState.DELIVERED
    assert list(audit.verify()) == []
