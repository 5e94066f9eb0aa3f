"""Questions about what was said before."""

from __future__ import annotations

import json
import time

import openai
import pytest

from jobsite.sandbox.testing import RunningSandbox

from .parts import DIGEST_FORMAT, client_of, file_part, message
from .talks import LETTER, READ, SEARCH, Talk, calls_of

NOTES = """# Berths

Ships lie at the long quay, which is dredged every second year.

# Dues

The toll is paid at the outer wall before a ship may enter. Fishing boats pay half of the toll.
"""


def test_a_question_is_answered_from_the_documents_before(client):
    talk = Talk(client, [])
    talk.say(message("Sum this up.", file_part("port.md", NOTES)))
    said = talk.say("Who pays half of the toll?").output_text
    assert "- “Fishing boats pay half of the toll.” (port.md, Dues)" in said
    assert "quay" not in said
    assert "say anything about this" in talk.say("Who won the chess tournament?").output_text


def test_a_section_narrows_a_question(client):
    talk = Talk(client, [])
    talk.say(message("Sum this up.", file_part("port.md", NOTES)))
    said = talk.say("Section: Berths\nWhat is said there?").output_text
    assert "## Berths" in said and "long quay" in said and "toll" not in said
    said = talk.say("Section: Cranes\nHow many are there?").output_text
    assert "There is no section “Cranes”" in said and "- Berths\n- Dues" in said


def test_a_question_is_answered_from_the_answer_before(client, sandbox):
    made = {
        "title": "Port",
        "summary": "About a port.",
        "sections": [
            {"heading": "Cranes", "summary": "Three cranes lift coal from barges.", "quotes": []},
            {"heading": "Rails", "summary": "Coal leaves by rail every night.", "quotes": []},
        ],
    }
    sandbox.script({"on": "create", "do": {"life": {"output_text": json.dumps(made)}}})
    talk = Talk(client, [])
    talk.say("Digest, please.")
    said = talk.say("Section: Rails\nWhere does the coal go?").output_text
    assert "“Coal leaves by rail every night.” (the answer before, Rails)" in said
    assert "cranes" not in said
    talk.last = None
    sandbox.script({"on": "create", "do": {"life": {"output_text": json.dumps(made)}}})
    talk.say("Digest, please.")
    assert "Three cranes lift coal" in talk.say("What do the cranes lift?").output_text


def test_a_brief_can_be_asked_about(client):
    talk = Talk(client, [])
    talk.say("Topic: Webhooks\nWhat is a webhook?", tools=[{"type": "web_search"}])
    said = talk.say("Section: Findings\nWhat is a webhook?").output_text
    assert "A webhook is an HTTP request" in said
    assert "](http" not in said


def test_a_section_of_a_text_in_the_message_itself_is_found(client):
    said = Talk(client, []).say(f"Section: Dues\nWhat is paid?\n\n{NOTES}").output_text
    assert "The toll is paid" in said and "quay" not in said


def test_a_structured_follow_up_can_be_about_a_section(client):
    talk = Talk(client, [])
    talk.say(message("Sum this up.", file_part("port.md", NOTES)))
    done = talk.say("Section: Dues", text={"format": DIGEST_FORMAT})
    assert "The toll is paid" in done.output_text and "quay" not in done.output_text


def test_a_response_before_that_is_gone_cannot_be_followed(client, sandbox):
    talk = Talk(client, [])
    talk.say("Hello there.")
    sandbox.script({"on": "create", "do": {"previous_not_found": True}})
    with pytest.raises(openai.BadRequestError, match="not found") as refused:
        talk.say("And?")
    assert refused.value.code == "previous_response_not_found"
    assert talk.say("And?").status == "completed"


def test_a_response_of_the_day_before_yesterday_has_expired(client, monkeypatch):
    talk = Talk(client, [])
    talk.say("Hello there.")
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 2 * 24 * 3600)
    with pytest.raises(openai.BadRequestError) as refused:
        talk.say("And?")
    assert refused.value.code == "previous_response_not_found"


def test_a_thread_goes_on_after_a_restart(tmp_path):
    with RunningSandbox(state=tmp_path) as first, client_of(first) as client:
        talk = Talk(client, [SEARCH, READ])
        talk.say(LETTER)
    with RunningSandbox(state=tmp_path) as second, client_of(second) as client:
        talk.client = client
        assert calls_of(talk.answer()) == [("read_document", {"ref": "lib-9"})]
