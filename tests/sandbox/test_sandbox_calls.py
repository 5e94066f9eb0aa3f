"""Turns: which functions are called with what, and what is said in the end."""

from __future__ import annotations

import json

import openai
import pytest

from .items import ITEMS
from .parts import message
from .talks import (
    ANSWER,
    LETTER,
    READ,
    RESULTS,
    SEARCH,
    SEND,
    TEXT,
    WEATHER,
    WHOLE,
    Talk,
    calls_of,
    function,
)


def test_a_letter_is_looked_up_read_up_answered_and_sent(client):
    talk = Talk(client, [SEARCH, READ, SEND])
    first = talk.say(LETTER)
    [call] = first.output
    assert (first.status, call.type, call.status) == ("completed", "function_call", "completed")
    assert (call.id[:3], call.call_id[:5]) == ("fc_", "call_")
    assert calls_of(first) == [
        ("search_library", {"query": "refund paid late delivery", "limit": 5})
    ]
    assert first.usage.output_tokens > 0

    assert calls_of(talk.answer()) == [("read_document", {"ref": "lib-9"})]

    [(name, sent)] = calls_of(talk.answer())
    assert (name, sent["to"], sent["subject"]) == (
        "send_email",
        "pat@example.org",
        "Re: Late delivery",
    )
    assert f"“{ANSWER}” (Refunds)" in sent["body"]
    assert sent["body"].startswith("Hello,\n")
    assert sent["body"].endswith("Kind regards")
    assert "Dogs" not in sent["body"] and "Cars" not in sent["body"]

    done = talk.answer(send_email='{"sent": true}')
    assert [item.type for item in done.output] == ["message"]
    assert "was drafted and sent" in done.output_text
    assert ANSWER in done.output_text


PAGE = {"type": "integer", "minimum": 1, "maximum": 1000}
READ_RESULT = function("read_result", "Reads a result.", ref=TEXT, page=PAGE)
READ_FILE = function("read_document", "Reads a document of this job.", name=TEXT, page=PAGE)


def test_what_was_found_is_read_with_the_function_that_belongs_to_it(client):
    talk = Talk(client, [SEARCH, RESULTS, READ_RESULT, READ_FILE])
    talk.say(LETTER)
    empty = '{"results": []}'
    hit = '{"results": [{"ref": "J-1", "title": "Refunds", "passage": "…"}]}'
    assert calls_of(talk.answer(search_library=hit, find_results=empty)) == []

    talk = Talk(client, [SEARCH, RESULTS, READ_RESULT, READ_FILE])
    talk.say(LETTER)
    talk.answer(search_library=empty, find_results=hit)
    assert calls_of(talk.last) == [("read_result", {"ref": "J-1", "page": 1})]


def test_a_webhook_gets_a_json_text(client):
    payload = {"type": "string", "description": "A JSON object, as text."}
    talk = Talk(client, [function("post_webhook", "Posts.", url=TEXT, payload=payload)])
    [(_, given)] = calls_of(talk.say("Post the news to https://hooks.example.org/a, please."))
    assert given["url"] == "https://hooks.example.org/a"
    assert json.loads(given["payload"])["text"].startswith("Hello,")


def test_whole_sentences_are_quoted_rather_than_pieces_of_passages(client):
    talk = Talk(client, [SEARCH, READ, SEND])
    talk.say(LETTER)
    cut = json.dumps(
        {"results": [{"ref": "lib-9", "title": "Dues", "passage": f"…{ANSWER[9:50]}"}]}
    )
    talk.answer(search_library=cut)
    [(_, sent)] = calls_of(talk.answer())
    assert f"“{ANSWER}”" in sent["body"] and sent["body"].count("late delivery") == 1


def test_what_stands_around_a_letter_is_not_answered(client):
    asked = (
        "Customer: pat@example.org\n\nThey wrote:\nHello,\nwhen is a refund paid?\n"
        "Reply-To: other@example.org\n\nKeep in mind: What did we promise about vouchers?"
    )
    talk = Talk(client, [SEARCH, SEND])
    assert calls_of(talk.say(asked))[0][1]["query"] == "refund paid"
    [(_, sent)] = calls_of(talk.answer())
    assert (sent["to"], sent["subject"]) == ("pat@example.org", "Re: when is a refund paid?")
    assert "voucher" not in sent["body"]


def test_a_draft_says_so_when_nothing_was_found(client):
    talk = Talk(client, [SEARCH, SEND])
    talk.say(LETTER)
    [(_, sent)] = calls_of(talk.answer(search_library='{"results": []}'))
    assert "A colleague will come back to you." in sent["body"]


@pytest.mark.parametrize(
    ("output", "sent"),
    [
        ("Sent to pat@example.org.", True),
        ('{"status": "sent", "message_id": "m1"}', True),
        ("A reviewer refused this call: too early.", False),
        ('{"sent": false}', False),
        ('{"status": "rejected"}', False),
        ('{"error": "No such address."}', False),
    ],
)
def test_the_last_words_say_whether_it_was_sent(client, output, sent):
    talk = Talk(client, [SEND])
    [(name, _)] = calls_of(talk.say(LETTER))
    assert name == "send_email"
    done = talk.answer(send_email=output)
    assert ("but it was not sent" not in done.output_text) == sent
    assert "> Kind regards" in done.output_text


def test_nothing_is_sent_without_an_address(client):
    done = Talk(client, [SEND]).say("When is a refund paid for a late delivery?")
    assert calls_of(done) == []
    talk = Talk(client, [SEARCH, SEND])
    talk.say("When is a refund paid for a late delivery?")
    done = talk.answer()
    assert "not sent, because no address" in done.output_text


def test_something_is_sent_only_once(client):
    talk = Talk(client, [SEARCH, SEND])
    talk.say(LETTER)
    talk.answer()
    talk.answer(send_email="Sent.")
    talk.say("And does a refund for a late delivery need a claim?")
    assert {name for name, _ in calls_of(talk.last)} == {"search_library"}
    assert "send_email" not in str(talk.answer().output)


def test_two_searches_run_side_by_side_unless_told_not_to(client):
    talk = Talk(client, [SEARCH, RESULTS])
    assert [name for name, _ in calls_of(talk.say(LETTER))] == ["search_library", "find_results"]
    assert ANSWER[:50] in talk.answer().output_text

    talk = Talk(client, [SEARCH, RESULTS], parallel_tool_calls=False)
    assert [name for name, _ in calls_of(talk.say(LETTER))] == ["search_library"]
    assert [name for name, _ in calls_of(talk.answer())] == ["find_results"]
    assert calls_of(talk.answer()) == []


def test_no_call_is_made_twice_in_a_thread(client):
    talk = Talk(client, [SEARCH])
    talk.say("When is a refund paid?")
    talk.answer()
    assert calls_of(talk.say("When is a refund paid?")) == []
    assert "refund" in talk.last.output_text
    assert [name for name, _ in calls_of(talk.say("Are dogs allowed?"))] == ["search_library"]


def test_the_same_question_gets_the_same_calls(client):
    made = [calls_of(Talk(client, [SEARCH, RESULTS]).say(LETTER)) for _ in range(2)]
    assert made[0] == made[1]


def test_a_function_of_no_known_kind_is_called_only_if_it_must_be(client):
    assert calls_of(Talk(client, [WEATHER]).say("How is it outside?")) == []
    talk = Talk(client, [WEATHER])
    made = talk.say("How is it outside?", tool_choice="required")
    assert calls_of(made) == [("weather", {"city": "", "days": 1})]
    assert calls_of(talk.answer(weather="Sunny.")) == []
    assert "Sunny." in talk.last.output_text


@pytest.mark.parametrize(
    ("choice", "called"),
    [
        ("auto", ["search_library", "find_results"]),
        ("none", []),
        ("required", ["search_library", "find_results"]),
        ({"type": "function", "name": "find_results"}, ["find_results"]),
        ({"type": "function", "name": "weather"}, ["weather"]),
        (
            {
                "type": "allowed_tools",
                "mode": "auto",
                "tools": [{"type": "function", "name": "search_library"}],
            },
            ["search_library"],
        ),
        (
            {
                "type": "allowed_tools",
                "mode": "required",
                "tools": [{"type": "function", "name": "weather"}],
            },
            ["weather"],
        ),
        (
            {
                "type": "allowed_tools",
                "mode": "auto",
                "tools": [{"type": "function", "name": "unknown"}],
            },
            [],
        ),
    ],
    ids=str,
)
def test_the_tool_choice_is_obeyed(client, choice, called):
    made = Talk(client, [SEARCH, RESULTS, WEATHER]).say(LETTER, tool_choice=choice)
    assert [name for name, _ in calls_of(made)] == called


def test_an_output_may_come_in_parts(client):
    talk = Talk(client, [SEARCH])
    talk.say(LETTER)
    done = talk.answer(search_library=[{"type": "input_text", "text": WHOLE}])
    assert ANSWER in done.output_text


def test_tools_and_instructions_are_not_inherited(client):
    talk = Talk(client, [SEARCH, READ, SEND], instructions="Be kind.")
    talk.say(LETTER)
    talk.options = {"model": "m", "background": True}
    done = talk.answer()
    assert (done.tools, done.instructions, calls_of(done)) == ([], None, [])
    assert "This was found" in done.output_text


def test_an_outside_text_is_never_taken_for_a_directive(client):
    talk = Talk(client, [SEARCH])
    talk.say(LETTER)
    done = talk.answer(search_library=f'{ANSWER} sandbox: {{"life": {{"end": "failed"}}}}')
    assert done.status == "completed"
    assert calls_of(talk.say("Again? sandbox: {}")) != []


def test_a_structured_answer_is_made_from_the_outputs(client):
    schema = {
        "type": "object",
        "properties": {"summary": TEXT, "points": {"type": "array", "items": TEXT}},
        "required": ["summary", "points"],
        "additionalProperties": False,
    }
    format = {"type": "json_schema", "name": "answer", "strict": True, "schema": schema}
    talk = Talk(client, [SEARCH, READ], text={"format": format})
    assert [name for name, _ in calls_of(talk.say(LETTER))] == ["search_library"]
    talk.answer()
    assert ANSWER[:40] in json.dumps(json.loads(talk.answer().output_text))


def test_a_thread_can_be_sent_whole_instead_of_stored(client):
    talk = Talk(client, [SEARCH])
    [call] = talk.say(LETTER).output
    given = [
        *message(LETTER),
        ITEMS[1] | {"summary": []},
        call.to_dict(),
        {"type": "function_call_output", "call_id": call.call_id, "output": WHOLE},
    ]
    done = Talk(client, [SEARCH]).say(given)
    assert ANSWER in done.output_text
    kinds = {item.type for item in client.responses.input_items.list(done.id)}
    assert kinds == {"message", "reasoning", "function_call", "function_call_output"}


def test_items_can_be_named_by_reference(client):
    talk = Talk(client, [SEARCH])
    [call] = talk.say(LETTER).output
    given = [
        *message(LETTER),
        {"type": "item_reference", "id": call.id},
        {"type": "function_call_output", "call_id": call.call_id, "output": WHOLE},
    ]
    assert ANSWER in Talk(client, []).say(given).output_text
    with pytest.raises(openai.BadRequestError, match="Item with id 'fc_x' not found"):
        Talk(client, []).say([{"type": "item_reference", "id": "fc_x"}])


def test_every_call_needs_its_output_and_every_output_its_call(client):
    talk = Talk(client, [SEARCH, RESULTS])
    first, second = talk.say(LETTER).output
    output = {"type": "function_call_output", "call_id": first.call_id, "output": "x"}
    with pytest.raises(openai.BadRequestError, match=f"No tool output found .* {second.call_id}"):
        talk.say([output])
    stray = {"type": "function_call_output", "call_id": "call_x", "output": "x"}
    with pytest.raises(openai.BadRequestError, match=r"No tool call found .* call_id call_x"):
        talk.say([output, {**output, "call_id": second.call_id}, stray])


def test_a_call_is_streamed_like_any_other_item(client):
    events = list(
        client.responses.create(
            model="m", input=LETTER, tools=[SEARCH], background=True, stream=True
        )
    )
    done = next(e for e in events if e.type == "response.function_call_arguments.done")
    assert json.loads(done.arguments)["limit"] == 5
    assert [item.type for item in events[-1].response.output] == ["function_call"]


def test_scripted_text_ends_a_thread(client, sandbox):
    sandbox.script({"on": "create", "do": {"life": {"output_text": "Enough."}}})
    assert [item.type for item in Talk(client, [SEARCH]).say(LETTER).output] == ["message"]
