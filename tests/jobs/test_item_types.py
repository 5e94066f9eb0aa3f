"""Every type of item and every status of an answer, over real HTTP: what is kept of it, and what a
reviewer sees."""

import json
import re
from html import unescape

import pytest
from django.db import transaction
from django.test import Client
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types.responses import Response, ResponseOutputItem
from pydantic import TypeAdapter

from jobs import calls, evidence, outcomes, results
from jobs.documents import Upload
from jobs.evidence import steps
from jobs.models import (
    Carriage,
    GateKind,
    Lane,
    OnIncomplete,
    Review,
    Role,
    State,
    Status,
    ToolCall,
    Turn,
)
from jobs.provider import payloads
from jobs.rendering import turns
from tests import wire_payloads
from tests.anything import anything, is_storable
from tests.factories import JobFactory, JobTypeFactory, UserFactory, last_turn, start
from tests.payloads import message, response, response_object, usage
from tests.steps import lives

#: By file, the titles of the steps that a reviewer reads, in their order.
TITLES = {
    "message": [],
    "message_commentary": ["Said on the way"],
    "message_refusal": [],
    "reasoning": ["Thought about it"],
    "function_call": ["Called look_up_station"],
    "function_call_output": ["Called look_up_station", "look_up_station answered"],
    "custom_tool_call": ["Called query_tables"],
    "custom_tool_call_output": ["Called query_tables", "query_tables answered"],
    "web_search_call": ["Searched the web"],
    "web_search_call_open_page": ["Opened a page"],
    "web_search_call_find_in_page": ["Looked for words on a page"],
    "file_search_call": ["Searched the documents"],
    "code_interpreter_call": ["Ran code"],
    "image_generation_call": ["Made a picture"],
    "computer_call": ["Used a computer"],
    "computer_call_output": ["Saw the screen"],
    "mcp_list_tools": ["Asked harbour for its tools"],
    "mcp_call": ["Called berths at harbour"],
    "mcp_call_error_object": ["Called berths at harbour"],
    "mcp_call_error_string": ["Called berths at harbour"],
    "mcp_approval_request": ["Asked to call book_berth at harbour"],
    "mcp_approval_response": [
        "Asked to call book_berth at harbour",
        "Was not allowed to call book_berth",
    ],
    "local_shell_call": ["Ran a command"],
    "local_shell_call_output": ["The command ended"],
    "shell_call": ["Ran a command"],
    "shell_call_output": ["The command ended"],
    "apply_patch_call": ["Asked to change tables.csv"],
    "apply_patch_call_output": ["The change was tried"],
    "tool_search_call": ["Looked for tools"],
    "tool_search_output": ["Found tools"],
    "additional_tools": ["Was given more tools"],
    "program": ["Wrote a program"],
    "program_output": ["The program ended"],
    "compaction": ["Shortened what it keeps in mind"],
    "unknown": ["Unknown item hologram_call, kept as it came"],
}
#: By file, words of its details that the page must hold.
SHOWN = {
    "message": ["follow the moon.", "The moon and the tides", "https://tides.example/moon"],
    "message_commentary": ["Let me look at the tables first.", "High water comes twice a day."],
    "message_refusal": ["The model refused: I cannot help with that."],
    "reasoning": ["Weighed the two tables", "The first table is older."],
    "function_call": ['"station": "Harbour"', '"days": 3'],
    "function_call_output": ['"high_water": "06:12"'],
    "custom_tool_call": ["SELECT high FROM tides"],
    "custom_tool_call_output": ["06:12"],
    "web_search_call": ["neap tides 2026", "https://tides.example/spring"],
    "web_search_call_open_page": ["https://tides.example/spring"],
    "web_search_call_find_in_page": ["equinox"],
    "file_search_call": ["notice period", "supplier-policy.md", "0.87", "Notice is given 30 days"],
    "code_interpreter_call": ["print(6 * 7)", "42", "image-1.png"],
    "image_generation_call": ["A harbour at low water", "image-1.png"],
    "computer_call": ["click", "The page gives instructions."],
    "computer_call_output": ["Safety checks that were accepted"],
    "mcp_list_tools": ["berths"],
    "mcp_call": ['"day": "Monday"', '"free": 4'],
    "mcp_call_error_object": ["http_error: Service unavailable", "failed"],
    "mcp_call_error_string": ["no such berth"],
    "mcp_approval_request": ['"berth": 7'],
    "mcp_approval_response": ["Berth 7 is closed."],
    "local_shell_call": ["ls -l", "/tides"],
    "local_shell_call_output": ["tables.csv"],
    "shell_call": ["wc -l tables.csv"],
    "shell_call_output": ["365 tables.csv", "exit code 0", "timed out", "too slow"],
    "apply_patch_call": ["+06:13"],
    "apply_patch_call_output": ["The line is not there."],
    "tool_search_call": ['"query": "berths"'],
    "tool_search_output": ["berths"],
    "additional_tools": ["moorings"],
    "program": ["look_up_station"],
    "program_output": ['"high_water": "06:12"'],
    "compaction": [],
    "unknown": ['"depth": 3', "hologram_call"],
}


def text_of(html):
    """What a page says: tags that colour code are gone."""
    return unescape(re.sub(r"<span class=\"hl-[^>]*>([^<]*)</span>", r"\1", html))


def client_of(user):
    client = Client()
    client.force_login(user)
    return client


def lead_of(job):
    return client_of(UserFactory(workspace=job.workspace, roles=[Role.LEAD]))


def review_page(job):
    answer = lead_of(job).get(f"/jobs/{job.ref}/review/")
    assert answer.status_code == 200
    return text_of(answer.content.decode())


def answered(driver, sandbox, clock, *items, end="completed", **life):
    """A job in review. An answer with calls that wait for an answer ends early: it would go on."""
    if calls.asked({"output": list(items)}):
        end = "incomplete"
    # What belongs to a tool comes along only where the type has that tool.
    kinds = [{"type": "web_search"}, {"type": "code_interpreter", "container": {"type": "auto"}}]
    job_type = JobTypeFactory(version__tools=kinds, carriage=Carriage.SEARCH)
    uploads = (Upload("tides.txt", b"High water comes twice a day."),)
    job = JobFactory(now=clock(), job_type=job_type, uploads=uploads)
    lives(sandbox, end=end, output=list(items), **life)
    return driver.settle(job)


# Items


def test_there_is_a_payload_of_every_type_that_is_known():
    kinds = {item["type"] for name in TITLES for item in wire_payloads.items(name)}
    assert set(wire_payloads.names("items")) == TITLES.keys() == SHOWN.keys()
    assert kinds - {"hologram_call"} == steps.KNOWN_KINDS
    assert len(steps.KNOWN_KINDS) == 28


#: The SDK's own types are stricter here than what was seen on the wire.
NOT_IN_THE_SDK = {"unknown", "mcp_call_error_string"}


@pytest.mark.parametrize("name", sorted(TITLES.keys() - NOT_IN_THE_SDK))
def test_the_payloads_are_such_as_the_sdk_knows(name):
    for item in wire_payloads.items(name):
        read = TypeAdapter(ResponseOutputItem).validate_python(item)
        assert read.type == item["type"]


@pytest.mark.django_db
@pytest.mark.parametrize("name", sorted(TITLES))
def test_an_item_becomes_a_step_that_a_reviewer_can_read(name, driver, sandbox, clock):
    items = wire_payloads.items(name)
    job = answered(driver, sandbox, clock, *items)
    assert job.status == Status.NEEDS_REVIEW
    result = job.open_gate.result
    made = list(result.tool_calls.order_by("position"))
    assert [call.title for call in made] == TITLES[name]
    page = review_page(job)
    for words in [*TITLES[name], *SHOWN[name]]:
        assert words in page
    # The answer itself is kept whole.
    payload = json.loads(bytes(last_turn(job).payload))
    assert payload["output"] == items
    # Of the steps, all but what nobody reads.
    kept = json.dumps([call.raw for call in made])
    assert "gAAAAABo" not in kept and len(kept) < 3_000


@pytest.mark.django_db
@pytest.mark.parametrize(("status", "said"), [("failed", "failed"), ("incomplete", "not finished")])
def test_a_step_that_ended_badly_says_so_and_is_a_warning(status, said, driver, sandbox, clock):
    (item,) = wire_payloads.items("code_interpreter_call")
    job = answered(driver, sandbox, clock, item | {"status": status}, message("Done."))
    assert "tool_failed" in [warning["code"] for warning in job.warnings]
    page = review_page(job)
    assert said in page and "“Ran code”" in page


def test_a_call_and_its_answer_meet_across_turns():
    (call,) = wire_payloads.items("function_call")
    _call, answer = wire_payloads.items("function_call_output")
    found = evidence.read(
        response_object(output=[answer, message("Done.")]),
        turn=2,
        earlier=[(1, response_object(output=[call]))],
    )
    assert [(use.turn, use.title) for use in found.tool_uses] == [
        (1, "Called look_up_station"),
        (2, "look_up_station answered"),
    ]


def test_what_is_long_is_cut_with_its_length_said():
    call = {"type": "function_call", "name": "x", "arguments": "a" * 9_000}
    search = {"type": "file_search_call", "queries": [f"query {n}" for n in range(80)]}
    first, second = evidence.read(response_object(output=[call, search])).tool_uses
    assert (len(first.parts[0].text), first.parts[0].cut) == (8_000, 1_000)
    assert (len(second.parts[0].items), second.parts[0].cut) == (50, 30)


@pytest.mark.django_db
def test_what_a_model_wrote_cannot_become_markup_or_a_link_to_anywhere(driver, sandbox, clock):
    evil = "<script>alert(1)</script>"
    call = {"type": "mcp_call", "name": evil, "server_label": evil, "arguments": evil}
    page_opened = {
        "type": "web_search_call",
        "status": "completed",
        "action": {"type": "open_page", "url": "javascript:alert(1)"},
    }
    job = answered(driver, sandbox, clock, call, page_opened, {"type": evil}, message("Done."))
    answer = lead_of(job).get(f"/jobs/{job.ref}/review/").content.decode()
    assert "<script>alert" not in answer
    assert 'href="javascript' not in answer


# Turns


def multi(job, *payloads):
    """The job's attempt with one turn for each payload, the last of which has just come."""
    turn = start(job)
    *before, last = payloads
    for number, payload in enumerate(before, 1):
        body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        made = turn if number == 1 else Turn(attempt=turn.attempt, number=number)
        made.payload, made.ended_at, made.sent_at = body, job.created_at, job.created_at
        made.save()
        turn = made
    if before:
        turn = Turn.objects.create(
            attempt=turn.attempt, number=len(payloads), sent_at=job.created_at
        )
    return turn, response(**last)


@pytest.mark.django_db
def test_an_answer_of_several_turns_is_read_as_one():
    job = JobFactory()
    cited = {"type": "url_citation", "url": "https://tides.example/", "title": "Tides"}
    first = response_object(
        output=[
            *wire_payloads.items("function_call"),
            message("I look it up.", annotations=[cited | {"start_index": 0, "end_index": 3}]),
        ],
        usage=usage(100, 10),
    )
    turn, last = multi(job, first, {"output": [message("At 06:12.")], "usage": usage(300, 30)})
    found = results.read(turn, last)
    assert found.evidence.text == "At 06:12."
    assert [(use.turn, use.title) for use in found.evidence.tool_uses] == [
        (1, "Called look_up_station"),
        (1, "Said on the way"),
    ]
    (source,) = found.evidence.sources
    assert (source.turn, source.start, source.url) == (1, None, "https://tides.example/")
    assert found.evidence.usage["total_tokens"] == 440
    alone = results.read(start(JobFactory()), response(usage=usage(300, 30)))
    assert found.cost == alone.cost is not None


@pytest.mark.django_db
@pytest.mark.parametrize("broken", [b"", b"{", b"[]", b'{"id": 7}', b"[" * 100_000])
def test_an_earlier_answer_that_cannot_be_read_is_skipped_with_a_warning(broken):
    turn, last = multi(JobFactory(), broken, {"output": [message("Done.")]})
    found = results.read(turn, last).evidence
    assert found.text == "Done."
    assert [warning.code for warning in found.warnings] == ["turn_unreadable"]


@pytest.mark.django_db
def test_what_was_said_to_a_call_here_is_a_step_between_the_turns(driver, sandbox, clock):
    job = JobFactory(now=clock(), job_type__review=Review.ALWAYS)
    lives(sandbox, end="completed", output=wire_payloads.items("function_call"))
    lives(sandbox, end="completed", output=[message("At 06:12.")])
    driver.settle(job)
    made = job.open_gate.result.tool_calls.order_by("position")
    assert [(call.turn, call.title) for call in made] == [
        (1, "Called look_up_station"),
        (1, "look_up_station answered"),
    ]
    # The type offers no such tool, and that is what the model was told.
    assert made[1].status == "Not run: not offered"
    page = review_page(job)
    assert "Not run: not offered" in page and "At 06:12." in page


@pytest.mark.django_db
def test_whoever_decides_a_call_sees_what_led_to_it(driver, sandbox, clock):
    job_type = JobTypeFactory(
        version__tools=[
            {"type": "web_search"},
            {"type": "mcp", "server_label": "harbour", "server_url": "https://harbour.example/"},
        ]
    )
    job = JobFactory(now=clock(), job_type=job_type)
    asked = wire_payloads.items("mcp_approval_request")
    lives(sandbox, end="completed", output=[*wire_payloads.items("web_search_call"), *asked])
    driver.settle(job)
    assert job.open_gate.kind == GateKind.TOOL_CALL
    page = review_page(job)
    assert "What it did so far" in page
    assert "Searched the web" in page and "neap tides 2026" in page
    assert not ToolCall.objects.exists()


@pytest.mark.django_db
def test_turns_are_told_apart_on_the_page():
    job = JobFactory()
    first = response_object(output=wire_payloads.items("function_call"))
    second = [*wire_payloads.items("web_search_call"), message("Done.")]
    turn, last = multi(job, first, {"output": second})
    stored = results.store(
        turn.attempt,
        results.read(turn, last),
        state=State.SUCCEEDED,
        deliverable=True,
        now=job.created_at,
    )
    views = turns(stored.tool_calls.order_by("position"))
    assert [(view.number, [step.number for step in view.steps]) for view in views] == [
        (1, [1]),
        (2, [2]),
    ]


# Citations


@pytest.mark.django_db
def test_a_file_citation_leads_to_the_document_that_it_names(driver, sandbox, clock):
    job = JobFactory(
        now=clock(),
        job_type__review=Review.ALWAYS,
        uploads=(Upload("policy.md", b"Notice is given 30 days before."),),
    )
    cited = {"type": "file_citation", "file_id": "file-1", "filename": "policy.md", "index": 6}
    lives(sandbox, end="completed", output=[message("Notice is short.", annotations=[cited])])
    driver.settle(job)
    (citation,) = job.open_gate.result.citations.all()
    assert citation.document == job.documents.get()
    assert (citation.start, citation.end) == (6, 6)
    assert f'<a href="/jobs/{job.ref}/documents/1/"><bdi>policy.md</bdi></a>' in review_page(job)


def test_a_file_is_a_document_by_its_id_before_its_name():
    documents = [evidence.DocumentText(n, "same.md", "x") for n in ("one", "two")]
    by_id = {"type": "file_citation", "file_id": "file-2", "filename": "same.md"}
    unclear = {"type": "file_citation", "file_id": "file-9", "filename": "same.md"}
    path = {"type": "file_path", "file_id": "file-2", "index": 0}
    said = message("Both.", annotations=[by_id, unclear, path])
    found = evidence.read(
        response_object(output=[said]), documents=documents, files={"file-2": "two"}
    )
    assert [(s.kind, s.document) for s in found.sources] == [
        ("file_citation", "two"),
        ("file_citation", None),
        ("file_path", "two"),
    ]


# Statuses


@pytest.mark.parametrize("name", wire_payloads.names("responses"))
def test_the_responses_are_such_as_the_sdk_knows(name):
    data = wire_payloads.response(name)
    assert Response.model_validate(data).status == data["status"]


#: By file: the state of the attempt, the status of the job, and codes of its warnings.
ENDS = {
    "completed": (State.SUCCEEDED, Status.NEEDS_REVIEW, []),
    "incomplete_max_output_tokens": (State.INCOMPLETE, Status.NEEDS_REVIEW, ["incomplete"]),
    "incomplete_content_filter": (
        State.INCOMPLETE,
        Status.NEEDS_REVIEW,
        ["incomplete", "empty"],
    ),
    "failed": (State.FAILED, Status.FAILED, None),
    "cancelled": (State.CANCELED, Status.CANCELED, []),
}


@pytest.mark.django_db
@pytest.mark.parametrize("name", sorted(ENDS))
def test_a_status_ends_its_job_and_keeps_what_there_is(name, driver, sandbox, clock):
    data, (state, status, codes) = wire_payloads.response(name), ENDS[name]
    job_type = JobTypeFactory(
        max_attempts=1, on_incomplete=OnIncomplete.REVIEW, lane=Lane.BACKGROUND
    )
    job = JobFactory(now=clock(), job_type=job_type)
    driver.until(lambda: job.attempts.filter(state=State.LIVE).exists())
    turn = last_turn(job)
    body = json.dumps(data | {"id": turn.response_id})
    sandbox.script({"on": "retrieve", "do": {"raw": body, "status": 200}, "times": None})
    driver.settle(job)
    attempt = job.attempts.get()
    assert (attempt.state, job.status) == (state, status)
    assert bytes(last_turn(job).payload) == body.encode()
    if codes is None:
        assert not hasattr(attempt, "result")
        return
    assert [warning["code"] for warning in attempt.result.warnings] == codes
    assert attempt.result.partial == (name != "completed")
    assert attempt.result.usage == (data["usage"] or {})
    page = review_page(job)
    if data["usage"]:
        for count in ("12,000", "8,000", "500", "900", "640", "12,900"):
            assert count in page
    if name == "completed":
        assert "really <strong>flex</strong>" in page


@pytest.mark.django_db
def test_the_log_page_is_linked_only_where_openai_itself_answered(settings):
    job = JobFactory(status=Status.NEEDS_REVIEW)
    link = f'href="https://platform.openai.com/logs/{last_turn(job).response_id}"'
    client = lead_of(job)
    for url in (f"/jobs/{job.ref}/", f"/jobs/{job.ref}/review/"):
        settings.SANDBOX = True
        assert link not in client.get(url).content.decode()
        settings.SANDBOX = False
        page = client.get(url).content.decode()
        assert f'<a class="external" {link} rel="noopener noreferrer" target="_blank">' in page


@pytest.mark.django_db
def test_every_violation_stands_with_the_result_by_its_path(driver, sandbox, clock):
    schema = {
        "type": "object",
        "properties": {"n": {"type": "array", "items": {"type": "string"}}},
        "required": ["n"],
        "additionalProperties": False,
    }
    job_type = JobTypeFactory(version__output_schema=schema)
    job = JobFactory(now=clock(), job_type=job_type)
    wrong = message(json.dumps({"n": [*range(60)]}))
    lives(sandbox, end="completed", output=[wrong])
    driver.settle(job)
    page = review_page(job)
    for at in (0, 9, 10, 49):
        assert f'<span class="mono">$.n[{at}]</span>: {at} is not of type' in page
    assert "$.n[50]" not in page
    assert "… and 10 more violations." in page


# Anything


_items = st.fixed_dictionaries(
    {"type": st.sampled_from([*sorted(steps.KNOWN_KINDS), "hologram"]) | anything},
    optional={
        name: anything | st.lists(st.fixed_dictionaries({}, optional={n: anything for n in inner}))
        for name, inner in {
            "action": ("type", "query", "url", "sources", "commands"),
            "content": ("type", "text", "annotations", "refusal"),
            "output": ("text", "stdout", "stderr", "outcome"),
            "outputs": ("type", "logs", "url", "file_id"),
            "results": ("filename", "score", "text"),
            "tools": ("name", "type"),
            "summary": ("text",),
            "error": ("type", "message"),
            "operation": ("type", "path", "diff"),
            "pending_safety_checks": ("message",),
        }.items()
    }
    | dict.fromkeys(
        ("status", "name", "server_label", "arguments", "input", "call_id", "id", "code"), anything
    )
    | dict.fromkeys(("queries", "container_id", "result", "phase", "approve", "reason"), anything),
)


@pytest.mark.parametrize(
    "arguments",
    ['{"a": "\\u0000"}', '{"a": "\\ud800"}', '{"a": 1e999}', "[" * 5_000, "\x00", "\ud800"],
)
def test_arguments_are_laid_out_so_that_they_can_be_stored(arguments):
    call = {"type": "function_call", "name": "x", "arguments": arguments}
    (use,) = evidence.read(response_object(output=[call])).tool_uses
    assert is_storable([use.summary, *(part.as_json() for part in use.parts)])


@pytest.mark.django_db
@settings(max_examples=50)
@given(
    st.lists(_items, max_size=4),
    st.lists(_items, max_size=3) | anything,
    st.sampled_from(["completed", "incomplete", "failed", "cancelled"]),
    st.fixed_dictionaries(
        {},
        optional=dict.fromkeys(["usage", "model", "service_tier", "incomplete_details"], anything),
    ),
)
def test_no_answer_whatsoever_breaks_the_pages(items, earlier, status, changes):
    with transaction.atomic():
        job = JobFactory(job_type__max_attempts=1)
        turn = start(job)
        turn.payload = json.dumps({"id": "resp_before", "output": earlier}).encode()
        turn.ended_at = job.created_at
        turn.save()
        turn = Turn.objects.create(
            attempt=turn.attempt, number=2, sent_at=job.created_at, response_id="resp_last"
        )
        data = response_object(status, id="resp_last", output=items) | changes
        body = json.dumps(data).encode()
        outcomes.looked_up(turn.pk, payloads.read(body), now=job.created_at)
        turn.refresh_from_db()
        assert bytes(turn.payload) == body
        client = lead_of(job)
        for url in (f"/jobs/{job.ref}/", f"/jobs/{job.ref}/review/"):
            assert client.get(url).status_code == 200
        transaction.set_rollback(True)
