"""The shipped types at work, end to end against the stand-in, which makes its answers of what it is
given."""

import re
from html import escape

import pytest
from django.core import mail

from jobs import actions, library, shipped
from jobs.documents import Upload
from jobs.models import FunctionCall, GateKind, JobType, Role, Status
from reviews.actions import Ask, decide
from reviews.models import Ruling
from tests.factories import UserFactory, WorkspaceFactory

pytestmark = pytest.mark.django_db

TERMS = b"""# Returns

Goods can be returned within thirty days of delivery. The customer pays for the parcel.

# Refunds

A refund is paid within ten days after the goods have arrived.
"""
BASELINE = b"""# Access

Passwords must have at least twelve characters. Access rights must be reviewed every quarter by their owners.

# Retention

Audit logs must be kept for one year in a safe place. Backups must be encrypted.

# Premises

Visitors must sign in at the gate and wear a badge.
"""
OTHERS = {
    "north.md": b"# Access\n\nPasswords must have at least twelve characters. Access rights are "
    b"reviewed once a year by their owners.\n\n# Retention\n\nAudit logs are kept for ninety days in a safe place.\n",
    "south.md": b"# Access\n\nPasswords must have at least eight characters. Access rights must be "
    b"reviewed every quarter by their owners.\n\n# Retention\n\nBackups must be encrypted.\n",
}


@pytest.fixture
def workspace():
    shipped.load()
    return WorkspaceFactory()


@pytest.fixture
def submit(workspace, clock):
    requester = UserFactory(workspace=workspace, roles=[Role.REQUESTER])

    def submitted(slug, uploads=(), **input):
        return actions.submit(
            JobType.objects.get(slug=slug),
            requester=requester,
            workspace=workspace,
            input=input,
            uploads=uploads,
            now=clock(),
        ).job

    return submitted


def test_a_customer_is_answered_from_the_library_once_a_person_has_approved(
    driver, workspace, submit, clock, client
):
    lead = UserFactory(workspace=workspace, roles=[Role.LEAD])
    library.add(workspace, [Upload("terms.md", TERMS)], actor=lead, now=clock())
    job = submit(
        "customer-reply",
        customer="rosa@example.com",
        message="How long can I return the goods after delivery, and when is the refund paid?",
    )
    driver.settle(job)
    assert (job.status, job.open_gate.kind) == (Status.NEEDS_REVIEW, GateKind.TOOL_CALL)
    names = list(
        FunctionCall.objects.order_by("turn__number", "position").values_list("name", flat=True)
    )
    assert names[0] == "search_library" and names[-1] == "send_email"
    assert mail.outbox == []
    decide(job.pk, Ask(Ruling.APPROVE, lead, clock(), content_hash=job.open_gate.content_hash))
    driver.settle(job)
    assert (job.status, job.warnings) == (Status.COMPLETED, [])
    client.force_login(lead)
    page = client.get(job.get_absolute_url()).content.decode()
    assert f"{lead} approved its tool calls." in page
    [letter] = mail.outbox
    assert letter.to == ["rosa@example.com"]
    assert "within thirty days of delivery" in letter.body
    assert job.attempts.get().turns.count() >= 3
    assert job.cost_usd and job.cost_usd > 0


def test_a_refused_letter_is_not_sent_and_the_job_says_so(driver, workspace, submit, clock):
    lead = UserFactory(workspace=workspace, roles=[Role.LEAD])
    job = driver.settle(submit("customer-reply", customer="rosa@example.com", message="A refund?"))
    decide(job.pk, Ask(Ruling.REFUSE, lead, clock(), note="She was called."))
    driver.settle(job)
    assert job.status == Status.COMPLETED
    assert mail.outbox == []


def test_policies_are_compared_with_the_baseline_row_by_row(
    driver, sandbox, workspace, submit, client
):
    uploads = [Upload("baseline.md", BASELINE)]
    uploads += [Upload(name, text) for name, text in OTHERS.items()]
    job = driver.settle(submit("policy-comparison", uploads, baseline="baseline.md"), steps=200)
    assert job.status == Status.NEEDS_REVIEW
    assert job.warnings == []
    result = job.attempts.get().result
    gaps = result.structured["gaps"]
    assert {row["status"] for row in gaps} == {"met", "differs", "missing"}
    assert all(row["baseline_quote"]["document"] == "baseline.md" for row in gaps)
    found = {citation.document.name for citation in result.citations.filter(kind="quote")}
    assert found == {"baseline.md", *OTHERS}
    missing = [row for row in gaps if row["status"] == "missing"]
    assert any("sign in at the gate" in row["requirement"] for row in missing)
    assert "file_search_call" in result.tool_calls.values_list("kind", flat=True)
    assert sandbox.stats()["stores_made"] == 1
    client.force_login(UserFactory(workspace=workspace, roles=[Role.REVIEWER]))
    page = client.get(f"/jobs/{job.ref}/review/").content.decode()
    tables = re.findall(r"<table.*?</table>", page, re.DOTALL)
    table = max(tables, key=len)
    assert table.count("<tr") == len(gaps) + 1
    assert all(escape(row["requirement"], quote=False) in table for row in gaps)
