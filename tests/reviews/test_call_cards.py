"""Tool calls as a reviewer sees them: nothing hidden, nothing left out, nothing read two ways."""

import html
import json
import re

import pytest
from django.urls import reverse

from jobs.calls import BadVerdict, Verdict
from jobs.models import CallOutcome, FunctionCall, Role
from reviews.actions import Ask, decide
from reviews.callcards import cards, verdicts
from reviews.models import Ruling
from tests import payloads
from tests.factories import EMAIL, NOW, JobTypeFactory, UserFactory, wants

pytestmark = pytest.mark.django_db


def asking(arguments, **more):
    """A job that waits with an MCP call."""
    request = {
        "type": "mcp_approval_request",
        "id": "mcpr_1",
        "name": "post",
        "server_label": "wiki",
        "arguments": arguments,
        **more,
    }
    return wants(JobTypeFactory(), request)


def page_of(client, job, name="reviews:job_review"):
    client.force_login(UserFactory(workspace=job.workspace, roles=[Role.REVIEWER]))
    return client.get(reverse(name, args=[job.ref]))


@pytest.mark.parametrize(
    "arguments",
    [
        '{"to": "first@example.com", "to": "last@example.com"}',
        '{"in": {"to": "first@example.com", "to": "last@example.com"}}',
        '{"count": 1e999}',
        '{"count": 1e-99999999999999999999}',
        '{"count": NaN}',
        '{"count": 9007199254740993.0}',
        '{"count": 1.00000000000000000001}',
        "[1, 2",
    ],
)
def test_arguments_that_can_be_read_two_ways_are_shown_as_they_are(arguments):
    [card] = cards(asking(arguments).open_gate)
    assert [field.value for field in card.fields] == [arguments]


@pytest.mark.parametrize("arguments", ['{"count": 1.5}', '{"count": 0.1}', '{"count": 1e3}'])
def test_plain_numbers_stand_under_their_names(arguments):
    [card] = cards(asking(arguments).open_gate)
    assert [field.label for field in card.fields] == ["Count"]


def test_no_name_hides_anything_or_breaks_the_page(client):
    job = asking('{"\\ud800ot\\u202e": "\\ud800"}', name="del\u202eete", server_label="wi\u202eki")
    for name in ("reviews:job_review", "jobs:job_detail"):
        page = page_of(client, job, name)
        assert page.status_code == 200
        assert "\u202e" not in page.text
        assert "del⟦U+202E⟧ete" in page.text


def test_a_call_with_a_name_twice_is_approved_as_it_stands_or_refused(client):
    arguments = json.dumps(EMAIL)[:-1] + ', "to": "other@example.com"}'
    job = wants(None, {**CALL, "arguments": arguments})
    [card] = cards(job.open_gate)
    [field] = card.fields
    said = verdicts(job.open_gate, {field.key: field.value})
    lead = UserFactory(workspace=job.workspace, roles=[Role.LEAD])
    decide(job.pk, Ask(Ruling.APPROVE, lead, NOW, verdicts=said))
    assert FunctionCall.objects.get().effective_arguments == arguments


def test_what_is_no_number_is_not_taken_from_a_field():
    job = asking('{"count": 1}')
    [card] = cards(job.open_gate)
    with pytest.raises(ValueError, match="must be JSON"):
        verdicts(job.open_gate, {card.fields[0].key: "NaN"})


CALL = {
    "type": "function_call",
    "id": "fc_1",
    "call_id": "call_1",
    "name": "send_email",
    "status": "completed",
}


@pytest.mark.parametrize("end", ["\r", "\n", "\r\n"])
def test_what_a_form_makes_of_line_ends_is_no_edit(end):
    email = {**EMAIL, "subject": f"Your{end}question", "body": f"Dear client,{end}we looked."}
    job = wants(None, {**CALL, "arguments": json.dumps(email)})
    [card] = cards(job.open_gate)
    assert [field.is_line for field in card.fields] == [True, False, False]
    posted = {
        field.key: "\r\n".join(field.value.replace("\r\n", "\n").replace("\r", "\n").split("\n"))
        for field in card.fields
    }
    assert verdicts(job.open_gate, posted)[1].arguments is None


# The page that asks before an approval ----------------------------------------------------------


def _posted(page):
    """What the approval form on a page would send of its calls."""
    fields = re.findall(r'<textarea[^>]* name="(call-[^"]+)"[^>]*>\n?(.*?)</textarea>', page, re.S)
    lines = re.findall(r'<input [^>]*name="(call-[^"]+-argument-[^"]+)"[^>]* value="([^"]*)"', page)
    choices = re.findall(r'name="(call-\d+-verdict)" value="(\w+)" checked', page)
    return {name: html.unescape(value) for name, value in [*fields, *lines, *choices]}


def test_words_that_are_too_long_lose_nothing_that_was_decided_of_the_calls(client):
    job = wants(None, *(payloads.function_call("send_email", EMAIL, call_id=c) for c in "ab"))
    page = page_of(client, job).content.decode()
    sent = _posted(page) | {
        "call-1-argument-to": "legal@example.com",
        "call-2-verdict": "refuse",
        "content_hash": job.open_gate.content_hash,
        "note": "x" * 10_001,
    }
    url = reverse("reviews:job_approve", args=[job.ref])
    again = client.post(url, sent)
    assert again.status_code == 422
    shown = _posted(again.content.decode())
    assert shown["call-1-argument-to"] == "legal@example.com"
    assert shown["call-2-verdict"] == "refuse"
    assert client.post(url, sent | shown | {"note": "Once."}).status_code == 302
    first, second = FunctionCall.objects.order_by("position")
    assert json.loads(first.effective_arguments)["to"] == "legal@example.com"
    assert second.outcome == CallOutcome.REFUSED


def test_what_the_page_of_an_approval_shows_is_what_it_approves(client):
    ladder = [("Reviewers", Role.REVIEWER, 2)]
    tools = [{"type": "function", "name": "send_email"}]
    job = wants(JobTypeFactory(version__tools=tools, ladder=ladder))
    edited = json.dumps({**EMAIL, "to": "legal@example.com"}, ensure_ascii=False)
    first = UserFactory(workspace=job.workspace, roles=[Role.REVIEWER])
    said = {1: Verdict(arguments=edited)}
    decide(
        job.pk,
        Ask(Ruling.APPROVE, first, NOW, verdicts=said, content_hash=job.open_gate.content_hash),
    )
    page = page_of(client, job, "reviews:job_approve").content.decode()
    assert "legal@example.com" in page
    seen = {"content_hash": job.open_gate.content_hash}
    client.post(reverse("reviews:job_approve", args=[job.ref]), seen | _posted(page))
    assert json.loads(FunctionCall.objects.get().effective_arguments) == json.loads(edited)


def test_a_note_without_words_leaves_what_others_made_of_a_call(client):
    tools = [{"type": "function", "name": "send_email"}]
    job = wants(JobTypeFactory(version__tools=tools, ladder=[("Two", Role.REVIEWER, 2)]))
    edited = json.dumps({**EMAIL, "to": "legal@example.com"}, ensure_ascii=False)
    first = UserFactory(workspace=job.workspace, roles=[Role.REVIEWER])
    said = {1: Verdict(arguments=edited)}
    decide(
        job.pk,
        Ask(Ruling.APPROVE, first, NOW, verdicts=said, content_hash=job.open_gate.content_hash),
    )
    page_of(client, job)
    page = client.post(reverse("reviews:note_write", args=[job.ref]), {"text": " "})
    assert page.status_code == 422
    assert _posted(page.content.decode())["call-1-argument-to"] == "legal@example.com"


@pytest.mark.parametrize(
    ("typed", "place"),
    [
        (
            '["b",\n {"name": 1, "name": 2}]',
            "The name “name” stands twice in one object (line 2, column",
        ),
        ("[1,\n 0.10000000000000000001]", "0.10000000000000000001 means different things"),
        ('["b",', "(line 1, column 6)"),
    ],
)
def test_what_cannot_be_taken_from_a_field_is_told_by_its_place(typed, place):
    job = asking('{"rows": ["a"]}')
    [card] = cards(job.open_gate)
    with pytest.raises(BadVerdict) as refused:
        verdicts(job.open_gate, {card.fields[0].key: typed})
    assert place in refused.value.problems[1]
    [again] = cards(job.open_gate, typed={card.fields[0].key: typed})
    assert again.fields[0].value == typed


def test_arguments_that_were_edited_too_late_are_kept_on_the_page(client):
    job = wants(None, {**CALL, "arguments": json.dumps(EMAIL)})
    [card] = cards(job.open_gate)
    fields = {field.key: field.value for field in card.fields}
    edited = fields | {"call-1-argument-subject": "Edited\u202e <b>subject</b>"}
    sent = {"content_hash": job.open_gate.content_hash}
    lead = UserFactory(workspace=job.workspace, roles=[Role.LEAD])
    decide(job.pk, Ask(Ruling.APPROVE, lead, NOW))
    client.force_login(UserFactory(workspace=job.workspace, roles=[Role.REVIEWER]))
    address = reverse("reviews:job_approve", args=[job.ref])
    page = client.post(address, edited | sent)
    assert page.status_code == 409
    assert "Subject of call 1 as you edited it" in page.text
    assert "&lt;b&gt;subject&lt;/b&gt;" in page.text
    assert "Body of call 1" not in page.text
    assert "so that it is not lost" not in client.post(address, fields | sent).text
