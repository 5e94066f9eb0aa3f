"""The provider's client: what each answer, and each lack of one, is turned into."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from jobs.models import State
from jobs.provider import payloads
from jobs.provider.client import Provider
from jobs.provider.errors import (
    LONGEST_RETRY_AFTER,
    AccountProblem,
    CannotCancel,
    NotFound,
    NotStarted,
    OutcomeUnknown,
    Refused,
    Unavailable,
)
from jobs.provider.storage import MOST_FILES, _status
from tests import wire
from tests.payloads import response_object

BODY = {"model": "gpt-5.6-terra", "input": "Tides.", "background": True, "store": True}


def ask(base_url, call, *, timeout=5.0):
    """`call(provider)` on a loop of its own; what it raises is raised here."""

    async def asked():
        provider = Provider(
            base_url=base_url, api_key="sk-test", create_timeout=timeout, lookup_timeout=timeout
        )
        try:
            return await call(provider)
        finally:
            await provider.close()

    return asyncio.run(asked())


def create(base_url, **kwargs):
    return ask(base_url, lambda provider: provider.create(BODY), **kwargs)


def retrieve(base_url, response_id="resp_1", **kwargs):
    return ask(base_url, lambda provider: provider.retrieve(response_id), **kwargs)


def cancel(base_url, response_id="resp_1", **kwargs):
    return ask(base_url, lambda provider: provider.cancel(response_id), **kwargs)


def refusal(status, *, code=None, type=None, headers=None, message="No, said the provider."):
    error = {"message": message, "type": type, "code": code}
    return {"status": status, "error": error, "headers": headers or {}}


def test_a_create_is_answered_with_a_live_response(sandbox):
    response = create(sandbox.base_url)
    assert response.state is State.LIVE
    assert response.id == sandbox.responses()[0]["id"]
    assert response.request_id.startswith("req_")


def test_a_body_is_kept_byte_for_byte(sandbox):
    body = json.dumps(response_object(id="resp_1"), indent=3)
    sandbox.script({"on": "retrieve", "do": {"raw": body}})
    assert retrieve(sandbox.base_url).body == body.encode()


@pytest.mark.parametrize(
    ("do", "kind", "code"),
    [
        (refusal(400, code="invalid_value"), Refused, "invalid_value"),
        (refusal(404, code="model_not_found"), Refused, "model_not_found"),
        (refusal(422), Refused, "http_422"),
        (refusal(413), Refused, "http_413"),
        (refusal(401, code="invalid_api_key"), AccountProblem, "invalid_api_key"),
        (refusal(403), AccountProblem, "http_403"),
        (refusal(429, code="rate_limit_exceeded"), NotStarted, "rate_limit_exceeded"),
        (refusal(429, code="slow_down"), NotStarted, "slow_down"),
        (refusal(429), NotStarted, "http_429"),
        (refusal(429, code="insufficient_quota"), AccountProblem, "insufficient_quota"),
        (refusal(429, type="insufficient_quota"), AccountProblem, "http_429"),
        (refusal(429, code="credit_balance_exhausted"), AccountProblem, "credit_balance_exhausted"),
        (refusal(409), NotStarted, "http_409"),
        (refusal(503, code="server_is_overloaded"), NotStarted, "server_is_overloaded"),
        (refusal(503, type="service_unavailable_error"), NotStarted, "http_503"),
        (refusal(503, headers={"retry-after": "7"}), NotStarted, "http_503"),
        (refusal(503), OutcomeUnknown, "http_503"),
        (refusal(500, code="server_error"), OutcomeUnknown, "server_error"),
        (refusal(502), OutcomeUnknown, "http_502"),
        (refusal(504), OutcomeUnknown, "http_504"),
        (refusal(408), OutcomeUnknown, "http_408"),
        ({"raw": "<html>Welcome</html>", "content_type": "text/html"}, OutcomeUnknown, None),
        ({"raw": "[]"}, OutcomeUnknown, "unreadable_answer"),
        ({"raw": '{"status": "queued"}'}, OutcomeUnknown, "unreadable_answer"),
        ({"raw": '{"id": null, "status": "queued"}'}, OutcomeUnknown, "unreadable_answer"),
        ({"raw": '{"id": 17, "status": "queued"}'}, OutcomeUnknown, "unreadable_answer"),
        ({"raw": '{"id": "../resp_1"}'}, OutcomeUnknown, "unreadable_answer"),
        ({"raw": "[" * 100_000}, OutcomeUnknown, "unreadable_answer"),
        ({"drop": "before"}, OutcomeUnknown, "no_answer"),
        ({"drop": "after"}, OutcomeUnknown, "no_answer"),
    ],
    ids=lambda part: json.dumps(part)[:60] if isinstance(part, dict) else "",
)
def test_what_an_answer_to_a_create_means(sandbox, do, kind, code):
    sandbox.script({"on": "create", "do": do})
    with pytest.raises(kind) as raised:
        create(sandbox.base_url)
    assert type(raised.value) is kind
    if code:
        assert raised.value.code == code
    assert sandbox.stats()["creates"] == 1


@pytest.mark.parametrize(
    ("do", "kind"),
    [
        (refusal(404), NotFound),
        ({"not_found": True}, NotFound),
        (refusal(500), Unavailable),
        (refusal(503), Unavailable),
        (refusal(429, headers={"retry-after": "7"}), Unavailable),
        (refusal(401), AccountProblem),
        (refusal(400), Unavailable),
        (refusal(400, message="The response was cancelled."), Unavailable),
        ({"raw": "<html>"}, Unavailable),
        ({"raw": "{}"}, Unavailable),
        ({"drop": "before"}, Unavailable),
    ],
    ids=lambda part: json.dumps(part)[:60] if isinstance(part, dict) else "",
)
def test_what_an_answer_to_a_lookup_means(sandbox, do, kind):
    response_id = create(sandbox.base_url).id
    sandbox.script({"on": "retrieve", "times": None, "do": do})
    with pytest.raises(kind) as raised:
        retrieve(sandbox.base_url, response_id)
    assert type(raised.value) is kind


def test_a_cancel_of_what_has_ended_is_told_apart(sandbox):
    ended = create(sandbox.base_url).id
    with pytest.raises(CannotCancel, match="Cannot cancel a completed response"):
        cancel(sandbox.base_url, ended)
    with pytest.raises(NotFound):
        cancel(sandbox.base_url, "resp_of_nobody")
    sandbox.script({"on": "cancel", "do": refusal(500)})
    with pytest.raises(Unavailable):
        cancel(sandbox.base_url, ended)


@pytest.mark.parametrize("call", [create, retrieve, cancel])
def test_nothing_is_sent_twice_by_the_sdk(sandbox, call):
    for on in ("create", "retrieve", "cancel"):
        sandbox.script({"on": on, "times": None, "do": refusal(500)})
    with pytest.raises((OutcomeUnknown, Unavailable)):
        call(sandbox.base_url)
    assert len(sandbox.requests()) == 1
    assert sandbox.requests()[0]["retry_count"] == "0"


@pytest.mark.parametrize("host", ["127.0.0.1", "nobody.invalid"])
def test_a_create_that_never_connected_was_not_started(host):
    with pytest.raises(NotStarted) as raised:
        create(f"http://{host}:{wire.closed_port()}/v1")
    assert raised.value.code == "unreachable"


@pytest.mark.parametrize("breaking", [wire.hang_up, wire.reset, wire.break_off, wire.babble])
def test_a_create_whose_connection_breaks_after_sending_is_unknown(breaking):
    with wire.raw_server(breaking) as base_url, pytest.raises(OutcomeUnknown) as raised:
        create(base_url)
    assert raised.value.code == "no_answer"


@pytest.mark.parametrize("breaking", [wire.hang_up, wire.reset, wire.break_off, wire.babble])
@pytest.mark.parametrize("call", [retrieve, cancel])
def test_a_lookup_whose_connection_breaks_is_tried_again_later(breaking, call):
    with wire.raw_server(breaking) as base_url, pytest.raises(Unavailable):
        call(base_url)


def test_a_server_that_closes_kept_connections_does_not_make_a_create_ambiguous(sandbox):
    """Each create has a connection of its own, so that no kept one can break under it."""

    async def twice(provider):
        first = await provider.create(BODY)
        return first, await provider.create(BODY), provider._create_client._client

    first, second, client = ask(sandbox.base_url, twice)
    assert first.id != second.id
    assert client._transport._pool._max_keepalive_connections == 0


def test_a_create_that_is_not_answered_in_time_is_unknown(sandbox):
    sandbox.script({"on": "create", "do": {"hang": 20}})
    with pytest.raises(OutcomeUnknown) as raised:
        create(sandbox.base_url, timeout=0.3)
    assert raised.value.code == "timeout"
    assert sandbox.stats()["responses"] == 1  # it did start


def test_a_lookup_that_is_not_answered_in_time_is_tried_again_later(sandbox):
    response_id = create(sandbox.base_url).id
    sandbox.script({"on": "retrieve", "do": {"hang": 20}})
    with pytest.raises(Unavailable):
        retrieve(sandbox.base_url, response_id, timeout=0.3)


@pytest.mark.parametrize("bad", ["../admin", "resp_1?x=1", "a b", "", "r" * 201, "resp_1\n"])
def test_an_id_that_is_none_is_never_made_part_of_a_path(sandbox, bad):
    with pytest.raises(NotFound):
        retrieve(sandbox.base_url, bad)
    with pytest.raises(NotFound):
        cancel(sandbox.base_url, bad)
    assert sandbox.requests() == []


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "30"}, 30),
        ({"retry-after": "1.5"}, 1.5),
        ({"retry-after-ms": "2500"}, 2.5),
        ({"retry-after-ms": "2500", "retry-after": "9"}, 2.5),
        ({"retry-after": "999999999"}, LONGEST_RETRY_AFTER),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "²"}, None),
        ({"retry-after-ms": "soon"}, None),
        ({"retry-after": "Mon, 02 Mar 2020 09:00:00 GMT"}, 0),
        ({}, None),
    ],
)
def test_how_long_the_provider_asks_to_wait(sandbox, headers, seconds):
    sandbox.script({"on": "create", "do": refusal(429, headers=headers)})
    with pytest.raises(NotStarted) as raised:
        create(sandbox.base_url)
    assert raised.value.retry_after == seconds


def test_a_wait_until_a_date_is_counted_from_now(sandbox):
    until = format_datetime(datetime.now(UTC) + timedelta(seconds=100), usegmt=True)
    sandbox.script({"on": "create", "do": refusal(429, headers={"retry-after": until})})
    with pytest.raises(NotStarted) as raised:
        create(sandbox.base_url)
    assert 90 < raised.value.retry_after <= 100


@pytest.mark.parametrize(
    "error",
    [
        {"message": ["not", "text"], "type": {"a": 1}, "code": ["x"]},
        {"message": None, "type": ["insufficient_quota"], "code": {"b": 2}},
        {"message": 5, "type": 7, "code": 0},
    ],
)
@pytest.mark.parametrize("status", [429, 503, 400])
def test_an_error_of_any_shape_is_understood_by_its_status(sandbox, status, error):
    body = json.dumps({"error": error})
    sandbox.script({"on": "create", "do": {"raw": body, "status": status}})
    with pytest.raises({429: NotStarted, 503: OutcomeUnknown, 400: Refused}[status]) as raised:
        create(sandbox.base_url)
    assert isinstance(raised.value.code, str) and isinstance(raised.value.text, str)


@pytest.mark.parametrize(
    "body", ['"no"', "null", '{"error": "no"}', "<html>Bad gateway</html>", ""]
)
def test_an_error_without_an_envelope_is_understood_by_its_status(sandbox, body):
    sandbox.script({"on": "create", "do": {"raw": body, "status": 502}})
    with pytest.raises(OutcomeUnknown) as raised:
        create(sandbox.base_url)
    assert raised.value.code == "http_502"


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ("queued", State.LIVE),
        ("in_progress", State.LIVE),
        ("completed", State.SUCCEEDED),
        ("incomplete", State.INCOMPLETE),
        ("failed", State.FAILED),
        ("cancelled", State.CANCELED),
        ("requires_action", State.LIVE),
        ("", State.LIVE),
        (None, State.LIVE),
        (["completed"], State.LIVE),
    ],
)
def test_a_status_becomes_a_state_and_an_unknown_one_has_not_ended(status, state):
    body = json.dumps(response_object(status="queued") | {"status": status}).encode()
    assert payloads.read(body).state is state


@pytest.mark.parametrize("count", [-1, 10**30, "7", True, None, 1e99])
def test_a_count_that_no_store_has_is_not_taken_down(count):
    counts = dict.fromkeys(("total", "completed", "failed", "cancelled"), count)
    status = _status({"id": "vs_1", "file_counts": counts}, least=2)
    assert 0 <= status.indexed <= status.total <= MOST_FILES
    assert 0 <= status.failed <= status.total
