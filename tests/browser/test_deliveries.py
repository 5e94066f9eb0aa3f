"""Deliveries in a real browser: what did not arrive, retried by somebody with a keyboard."""

import uuid

import pytest
from playwright.sync_api import expect

from jobs.models import Role, Status
from reviews import outbox
from reviews.deliveries import KEEPS_TRYING
from reviews.models import Channel, Delivery, DeliveryState, Endpoint, Route
from tests.browser import PHONE, faults
from tests.factories import NOW, JobFactory, WorkspaceFactory

pytestmark = pytest.mark.django_db(transaction=True)

LATER = NOW + KEEPS_TRYING


@pytest.fixture
def job(person, settings, monkeypatch):
    """With a webhook that leads into this network, and a mail that waits."""
    monkeypatch.setattr(outbox, "async_task", lambda *args, **kwargs: None)
    here = WorkspaceFactory(slug="here", name="Harbour office")
    person("olga", here, Role.OPERATOR)
    person("lea", here, Role.LEAD)
    endpoint = Endpoint.objects.create(
        workspace=here, name="Website", url="https://169.254.169.254/import/results"
    )
    Route.objects.create(workspace=here, channel=Channel.WEBHOOK, endpoint=endpoint)
    job = JobFactory(workspace=here, status=Status.COMPLETED)
    Route.objects.create(workspace=here, channel=Channel.EMAIL, recipients="desk@example.com")
    JobFactory(workspace=here, status=Status.COMPLETED)
    row = job.deliveries.get()
    token = uuid.uuid4()
    Delivery.objects.filter(pk=row.pk).update(lease_token=token, lease_until=LATER)
    outbox.run(row.pk, token, clock=lambda: LATER)
    return job


@pytest.mark.parametrize(
    "look", [{}, {"viewport": PHONE, "color_scheme": "dark"}], ids=["desk", "phone"]
)
def test_an_operator_retries_what_did_not_arrive(visit, job, look):
    page = visit("olga", **look).page
    page.goto("/w/here/operations/")
    page.locator(".finding", has_text="One delivery was not made.").get_by_role("link").click()
    expect(page.get_by_role("heading", name="Deliveries", level=1)).to_be_visible()
    expect(page.get_by_text("it is within this network").first).to_be_visible()
    assert faults(page) == []
    page.locator("tbody summary").focus()
    page.keyboard.press("Enter")
    page.locator("tbody").get_by_label("Reason").fill("The address is right now.")
    assert faults(page) == []
    page.get_by_role("button", name="Retry now").click()
    expect(page.get_by_text("It is tried again now.")).to_be_visible()
    expect(page.get_by_role("heading", name="Nothing was given up")).to_be_visible()
    assert job.deliveries.get().state == DeliveryState.WAITING
    page.get_by_role("link", name="On their way").click()
    assert faults(page) == []
    page.goto(job.get_absolute_url())
    expect(page.get_by_role("heading", name="Deliveries")).to_be_visible()
    assert faults(page) == []
