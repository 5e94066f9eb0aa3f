"""The list of jobs in a browser: filters in place, Back, and rows that renew themselves."""

import re
from datetime import timedelta

import pytest
from django.utils import timezone
from playwright.sync_api import expect

from jobs.documents import Upload
from jobs.models import Lane, Role, Status
from reviews.actions import Ask, decide
from reviews.models import Ruling
from tests.browser import DESK, PHONE, faults, shifts
from tests.factories import JobFactory, JobTypeFactory, WorkspaceFactory, finish, start

pytestmark = pytest.mark.django_db(transaction=True)

TOPICS = [
    "How do other teams keep audit logs that cannot be changed afterwards?",
    "Rate limits of the three providers that we use, and what happens at them",
    "Retention of documents after the end of a contract",
    "What is decided, what is open and who owes an answer: the harbour bridge",
    "Idempotency",
]


@pytest.fixture
def quality():
    return WorkspaceFactory(slug="quality", name="Quality")


@pytest.fixture
def crowd(quality, person):
    """Sixty jobs of two people in every status."""
    digest = JobTypeFactory(slug="document-digest", name="Document digest")
    brief = JobTypeFactory(slug="research-brief", name="Research brief", lane=Lane.INTERACTIVE)
    people = [person(name, quality, Role.REQUESTER) for name in ("rea.requester", "max")]
    lead = person("lead", quality, Role.LEAD, Role.REQUESTER)
    jobs = []
    for number in range(60):
        status = list(Status)[number % 7]
        uploads = (Upload("incident-review.md", b"What went wrong."),) if number % 3 == 0 else ()
        job = JobFactory(
            workspace=quality,
            job_type=digest if uploads else brief,
            requester=people[number % 2],
            input={"topic": TOPICS[number % 5]},
            uploads=uploads,
            status=status,
            now=timezone.now() - timedelta(minutes=(61 - number) ** 2),
        )
        jobs.append(job)
    for job in jobs[3:6]:
        decide(job.pk, Ask(Ruling.ARCHIVE, job.requester, timezone.now()))
    return people, lead, jobs


@pytest.mark.parametrize("viewport", [DESK, PHONE], ids=["desk", "phone"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pictures(viewport, scheme, crowd, visit):
    import os
    folder = "/tmp/listing_bench/pictures"
    os.makedirs(folder, exist_ok=True)
    name = f"{scheme}-{viewport['width']}"
    page = visit("lead", color_scheme=scheme, viewport=viewport).page
    for label, query in {"all": "", "failed": "?status=failed", "none": "?q=nothing&type=research-brief", "bad": "?status=done", "search": "?q=audit&lane=interactive"}.items():
        page.goto("/w/quality/jobs/" + query)
        page.screenshot(path=f"{folder}/{label}-{name}.png", full_page=label=="all")
        print(label, faults(page))
    page = visit("max", color_scheme=scheme, viewport=viewport).page
    page.goto("/w/quality/jobs/")
    page.screenshot(path=f"{folder}/max-{name}.png")
    page.goto("/w/quality/jobs/?archived=1")
    page.screenshot(path=f"{folder}/archived-{name}.png")


def test_home_pictures(person, visit, quality):
    from jobs.models import Membership
    for scheme in ("light", "dark"):
        nobody = person("nobody" + scheme)
        page = visit("nobody"+scheme, color_scheme=scheme, viewport=DESK).page
        page.goto("/")
        page.screenshot(path=f"/tmp/listing_bench/pictures/home-none-{scheme}.png")
        print(faults(page))
        both = person("both"+scheme, quality, Role.REQUESTER)
        Membership.objects.create(user=both, workspace=quality, role=Role.REVIEWER)
        Membership.objects.create(user=both, workspace=WorkspaceFactory(name="Legal" + scheme), role=Role.AUDITOR)
        JobFactory(workspace=quality, status=Status.NEEDS_REVIEW)
        JobFactory(workspace=quality, requester=both)
        page = visit("both"+scheme, color_scheme=scheme, viewport=DESK).page
        page.goto("/")
        page.screenshot(path=f"/tmp/listing_bench/pictures/home-{scheme}.png")
        print(faults(page))
    person("new", WorkspaceFactory(slug="empty", name="Empty"), Role.REQUESTER)
    page = visit("new").page
    page.goto("/")
    page.screenshot(path="/tmp/listing_bench/pictures/new.png")
    print(faults(page))
