"""The body of a create call."""

import base64

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage

from jobs import requests, shipped
from jobs.carriage import CannotCarry
from jobs.documents import Upload
from jobs.models import Job, JobType, Role, State, Status
from jobs.requests import create_body, describe
from reviews.actions import Ask, decide
from reviews.models import Ruling
from tests.factories import NOW, JobFactory, JobTypeFactory, UserFactory, last_turn
from tests.jobs.test_documents import pdf

pytestmark = pytest.mark.django_db

UPLOADS = (Upload("notes.md", b"# Tides"), Upload("chart.pdf", pdf("High water at noon.")))


def _body(**changes):
    return create_body(last_turn(JobFactory(**changes)))


def _typed(**version):
    return JobTypeFactory(**{f"version__{name}": value for name, value in version.items()})


def _brief(**input):
    shipped.load()
    job_type = JobType.objects.get(slug="research-brief")
    return _body(job_type=job_type, input={"topic": "tides", **input})


def test_a_body_runs_in_the_background_and_is_kept():
    body = _body()
    assert (body["background"], body["store"]) == (True, True)
    assert (body["model"], body["instructions"]) == ("gpt-5.6-terra", "Answer.")
    [message] = body["input"]
    assert message["role"] == "user"
    assert message["content"] == [{"type": "input_text", "text": "Topic: tides"}]
    assert not {"tools", "include", "text"} & set(body)


def test_an_answer_is_asked_for_in_the_order_of_its_schema():
    properties = {name: {"type": "string"} for name in ("reasons", "gap", "verdict", "by")}
    schema = {"type": "object", "properties": properties}
    job = JobFactory(job_type=_typed(output_schema=schema, tools=[{"type": "a", "by": 1}]))
    body = create_body(last_turn(Job.objects.get(pk=job.pk)))
    assert list(body["text"]["format"]["schema"]["properties"]) == list(properties)
    assert list(body["tools"][0]) == ["type", "by"]


def test_a_body_names_its_job_its_attempt_and_its_turn():
    job = JobFactory()
    turn = last_turn(job)
    assert create_body(turn)["metadata"] == {
        "job": str(job.pk),
        "attempt": str(turn.attempt_id),
        "turn": str(turn.pk),
    }


def test_options_never_undo_what_always_holds():
    options = {"background": False, "store": False, "metadata": {}, "model": "other"}
    body = _body(job_type=_typed(options={**options, "service_tier": "flex"}))
    assert (body["background"], body["store"], body["model"]) == (True, True, "gpt-5.6-terra")
    assert set(body["metadata"]) == {"job", "attempt", "turn"}
    assert body["service_tier"] == "flex"


def test_documents_travel_as_data_urls_in_their_order():
    content = _body(uploads=UPLOADS)["input"][0]["content"]
    assert [part["type"] for part in content] == ["input_file", "input_file", "input_text"]
    for part, upload, kind in zip(
        content, UPLOADS, ("text/markdown", "application/pdf"), strict=False
    ):
        head, _comma, data = part["file_data"].partition(",")
        assert part["filename"] == upload.name
        assert head == f"data:{kind};base64"
        assert base64.b64decode(data, validate=True) == upload.content
        assert set(part) == {"type", "filename", "file_data"}


def test_what_is_stored_of_a_request_has_hashes_for_documents():
    turn = last_turn(JobFactory(uploads=UPLOADS))
    stored = describe(turn)
    assert "base64" not in str(stored)
    hashes = [document.sha256 for document in turn.attempt.job.documents.all()]
    assert [part.get("sha256") for part in stored["input"][0]["content"]] == [*hashes, None]
    sent = create_body(turn)
    assert {**sent, "input": None} == {**stored, "input": None}


def test_the_hash_of_a_request_leaves_its_metadata_out():
    first, second = (describe(last_turn(JobFactory())) for _ in range(2))
    assert first != second
    assert requests.content_hash(first) == requests.content_hash(second)
    assert requests.content_hash(first) != requests.content_hash({**first, "model": "other"})


@pytest.mark.parametrize("change", ["changed", "gone"])
def test_a_document_that_is_no_longer_what_it_was_is_not_sent(change):
    job = JobFactory(uploads=UPLOADS)
    path = job.documents.first().file.name
    default_storage.delete(path)
    if change == "changed":
        default_storage.save(path, ContentFile(b"# Ebbs"))
    with pytest.raises(CannotCarry, match=r"notes\.md"):
        create_body(last_turn(job))


@pytest.mark.parametrize("change", ["changed", "gone"])
def test_a_job_whose_document_changed_fails_before_anything_is_sent(change, driver, clock):
    job = JobFactory(uploads=UPLOADS, now=clock())
    path = job.documents.first().file.name
    default_storage.delete(path)
    if change == "changed":
        default_storage.save(path, ContentFile(b"# Ebbs"))
    driver.settle(job)
    assert (job.status, job.reason_code) == (Status.FAILED, "document_unusable")
    assert "notes.md" in job.reason_text
    attempt = job.attempts.get()
    assert (attempt.state, attempt.cost_usd, job.cost_usd) == (State.FAILED, 0, 0)
    turn = attempt.turns.get()
    assert (turn.sent_at, turn.response_id) == (None, None)
    assert driver.sweep.requests == 0


def test_a_structured_output_is_asked_for_strictly():
    schema = {"type": "object", "properties": {}, "required": [], "additionalProperties": False}
    job_type = _typed(output_schema=schema, options={"text": {"verbosity": "low"}})
    job_type.slug = "a-type"
    job_type.save()
    assert _body(job_type=job_type)["text"] == {
        "verbosity": "low",
        "format": {"type": "json_schema", "name": "a_type", "schema": schema, "strict": True},
    }


def test_evidence_is_asked_for_with_its_tool():
    tools = [{"type": "web_search"}, {"type": "code_interpreter", "container": {"type": "auto"}}]
    options = {"include": ["reasoning.encrypted_content"]}
    body = _body(job_type=_typed(tools=tools, options=options))
    assert body["tools"] == tools
    assert body["include"] == [
        "reasoning.encrypted_content",
        "web_search_call.action.sources",
        "code_interpreter_call.outputs",
    ]


def test_where_the_requester_is_goes_along_with_the_search():
    body = _brief(city="Pune", country="IN", timezone="Asia/Kolkata")
    assert body["tools"] == [
        {
            "type": "web_search",
            "user_location": {
                "type": "approximate",
                "city": "Pune",
                "country": "IN",
                "timezone": "Asia/Kolkata",
            },
        }
    ]
    assert body["include"] == ["web_search_call.action.sources"]


def test_a_place_that_is_known_in_part_is_sent_in_part():
    [tool] = _brief(country="IN")["tools"]
    assert tool["user_location"] == {"type": "approximate", "country": "IN"}


@pytest.mark.parametrize("input", [{}, {"city": "", "timezone": ""}])
def test_no_place_is_sent_where_none_is_known(input):
    assert _brief(**input)["tools"] == [{"type": "web_search"}]


def test_a_tool_without_placeholders_goes_out_as_it_is():
    tool = {"type": "code_interpreter", "container": {"type": "auto"}}
    assert _body(job_type=_typed(tools=[tool]))["tools"] == [tool]


@pytest.mark.parametrize(
    ("template", "values", "text"),
    [
        ("Topic: {a}\nFocus: {b}", {"a": "tides"}, "Topic: tides"),
        ("Topic: {a}\nFocus: {b}", {"a": "tides", "b": ""}, "Topic: tides"),
        ("{a} and {b}", {"a": "x"}, "x and"),
        ("{a}", {"a": ["x", "y"]}, "- x\n- y"),
        ("{a}", {"a": 0}, "0"),
        ("{a}", {"a": "{b}", "b": "secret"}, "{b}"),
        ("{a.__class__} {a!r} {}", {"a": "x"}, "{a.__class__} {a!r} {}"),
        ("No names.", {}, "No names."),
        ("", {"a": "x"}, ""),
    ],
)
def test_a_template_is_filled_line_by_line(template, values, text):
    assert requests.rendered(template, values) == text


def test_feedback_goes_along_with_the_result_that_it_is_about():
    job = JobFactory(status=Status.NEEDS_REVIEW)
    reviewer = UserFactory(workspace=job.workspace, roles=[Role.REVIEWER])
    decide(job.pk, Ask(Ruling.REQUEST_CHANGES, reviewer, NOW, note="Shorter."))
    text = create_body(last_turn(job))["input"][0]["content"][-1]["text"]
    assert text == "\n\n".join(
        [
            "Topic: tides",
            "A reviewer asked for these changes to the previous result:",
            "Shorter.",
            "The previous result:",
            "The answer.",
        ]
    )


def test_a_retry_asks_the_same_question_again():
    job = JobFactory(status=Status.FAILED)
    before = requests.content_hash(describe(last_turn(job)))
    decide(job.pk, Ask(Ruling.RETRY, job.requester, NOW, note="It should work now."))
    assert requests.content_hash(describe(last_turn(job))) == before
