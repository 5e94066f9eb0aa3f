"""Two people at one review, and a page that is older than what it shows."""

import re

import pytest
from playwright.sync_api import expect

from jobs.models import Job, Role, Status
from reviews.models import Decision
from tests.factories import JobFactory, WorkspaceFactory, finish, start

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def review(db, person):
    workspace = WorkspaceFactory(slug="quality")
    person("ruth", workspace, Role.REVIEWER)
    person("lee", workspace, Role.LEAD)
    return JobFactory(workspace=workspace, status=Status.NEEDS_REVIEW)


def tolerates(visitor):
    """The browser notes a refusal's 409 on its console; nothing else may be there."""
    visitor.said[:] = [line for line in visitor.said if "409" not in line]


def claims_nothing(visitor):
    """The claims of this browser never arrive: what keeps two from deciding is not the claim."""
    visitor.page.route("**/review/claim/", lambda route: route.fulfill(status=204))


@pytest.mark.parametrize("javascript", [True, False])
def test_the_second_of_two_is_told_who_was_first_and_what_they_decided(review, visit, javascript):
    first = visit("ruth", java_script_enabled=javascript)
    second = visit("lee", java_script_enabled=javascript)
    for one in (first, second):
        claims_nothing(one)
        one.page.goto(f"/jobs/{review.ref}/review/")
    first.page.get_by_role("button", name="Approve").click()
    expect(first.page.get_by_text(f"Approved {review.ref}")).to_be_visible()
    second.page.get_by_role("button", name="Approve").click()
    expect(second.page.get_by_text(re.compile(r"ruth decided at .* \(approved\)"))).to_be_visible()
    assert Decision.objects.count() == 1
    tolerates(second)


def test_a_stale_page_cannot_decide_over_a_newer_result(review, visit):
    stale = visit("lee")
    claims_nothing(stale)
    stale.page.goto(f"/jobs/{review.ref}/review/")
    quick = visit("ruth")
    quick.page.goto(f"/jobs/{review.ref}/request-changes/")
    quick.page.get_by_role("textbox").first.fill("Shorter.")
    quick.page.get_by_role("button", name="Request changes").click()
    expect(quick.page.get_by_text(review.ref).first).to_be_visible()
    start(review)
    finish(review, "completed", output=newer())
    stale.page.get_by_role("button", name="Approve").click()
    expect(stale.page.get_by_text(re.compile("Look at it again"))).to_be_visible()
    assert Job.objects.get(pk=review.pk).status == Status.NEEDS_REVIEW
    tolerates(stale)


def newer():
    return [
        {
            "type": "message",
            "id": "msg_2",
            "role": "assistant",
            "status": "completed",
            "content": [{"type": "output_text", "text": "Shorter.", "annotations": []}],
        }
    ]
