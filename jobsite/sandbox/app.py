"""The API's doors under ``/v1``, and the shelf's pages."""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import time
import traceback
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from aiohttp import web

from . import brief, shapes
from .containers_api import add_containers
from .control import add_control
from .engine import Sandbox
from .errors import ApiError, envelope, response_not_found
from .faults import Facts, check_do
from .files_api import add_files
from .intake import directive, loose_text
from .life import LIVE, Response
from .stores_api import add_stores
from .stream import EventStream, resumed

LARGEST_BODY = 64 * 1024 * 1024  # bytes
SANDBOX = web.AppKey("sandbox", Sandbox)
ENTRY = web.RequestKey("entry", dict[str, Any])  # its line in the log
AFTER = web.RequestKey("after", list[Callable[[], None]])  # what is due after the reply

Reply = TypeVar("Reply", bound=web.StreamResponse)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Dropped(Exception):
    """The connection is to close without an answer."""


def build_app(sandbox: Sandbox) -> web.Application:
    app = web.Application(client_max_size=LARGEST_BODY, middlewares=[edge])
    app[SANDBOX] = sandbox
    app.add_routes(
        [
            web.post("/v1/responses", create),
            web.post("/v1/responses/input_tokens", input_tokens),
            web.get("/v1/responses/{id}", retrieve, allow_head=False),
            web.delete("/v1/responses/{id}", delete),
            web.post("/v1/responses/{id}/cancel", cancel),
            web.get("/v1/responses/{id}/input_items", input_items, allow_head=False),
            web.get("/shelf/", shelf_index),
            web.get("/shelf/{name}", shelf_page),
            web.get("/healthz", healthz),
        ]
    )
    add_files(app, sandbox, guarded)
    add_stores(app, sandbox, guarded)
    add_containers(app, sandbox, guarded)
    add_control(app, sandbox)
    return app


@web.middleware
async def edge(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Key, log, headers, and every error in the API's envelope."""
    started = time.perf_counter()
    api = request.path.startswith("/v1")
    entry: dict[str, Any] = {
        "method": request.method,
        "path": request.path,
        "response_id": request.match_info.get("id"),
        "metadata": None,
        "status": None,
        "rule": None,
        "at": time.time(),
        "idempotency_key": request.headers.get("idempotency-key"),
        "retry_count": request.headers.get("x-stainless-retry-count"),
    }
    request[ENTRY] = entry
    request[AFTER] = []
    reply: web.StreamResponse
    try:
        if api:
            request.app[SANDBOX].log.append(entry)
            _check_key(request)
        reply = await handler(request)
    except Dropped:
        if request.transport is not None:
            request.transport.close()
        return web.Response()
    except ApiError as error:
        reply = _json(error.body, status=error.status)
    except web.HTTPException as error:
        reply = _json(_http_error(request, error), status=error.status)
        if "allow" in error.headers:
            reply.headers["allow"] = error.headers["allow"]
    except Exception:
        traceback.print_exc()
        fault = envelope("The sandbox has a bug.", type="server_error", param=None, code=None)
        reply = _json(fault, status=500)
    entry["status"] = reply.status
    if api:
        _add_headers(reply, started)
    if isinstance(reply, EventStream):
        await reply.prepare(request)
        _run_after(request)
        await reply.tell(request)
    elif request[AFTER]:
        try:
            await reply.prepare(request)
            await reply.write_eof()
        finally:
            _run_after(request)
    return reply


def _check_key(request: web.Request) -> None:
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not key.strip():
        raise ApiError(
            "No API key was given. Send it as 'Authorization: Bearer KEY'; "
            "the sandbox takes any key that is not empty.",
            status=401,
            code="invalid_api_key",
        )


def _http_error(request: web.Request, error: web.HTTPException) -> dict[str, Any]:
    message = {
        404: f"Invalid URL ({request.method} {request.path})",
        405: f"Not allowed: {request.method} {request.path}",
        413: "The request body is too large.",
    }.get(error.status, error.reason)
    return envelope(message, type="invalid_request_error", param=None, code=None)


def _json(body: Any, *, status: int = 200) -> web.Response:
    return _json_bytes(shapes.to_bytes(body), status=status)


def _json_bytes(body: bytes, *, status: int = 200) -> web.Response:
    return web.Response(body=body, status=status, content_type="application/json")


def _add_headers(reply: web.StreamResponse, started: float) -> None:
    took = round((time.perf_counter() - started) * 1000)
    for name, value in (
        ("x-request-id", f"req_{secrets.token_hex(16)}"),
        ("openai-processing-ms", str(took)),
        ("openai-version", "2020-10-01"),
        ("openai-organization", "sandbox"),
        ("x-ratelimit-limit-requests", "10000"),
        ("x-ratelimit-remaining-requests", "9999"),
        ("x-ratelimit-reset-requests", "6ms"),
        ("x-ratelimit-limit-tokens", "30000000"),
        ("x-ratelimit-remaining-tokens", "29999000"),
        ("x-ratelimit-reset-tokens", "2ms"),
    ):
        reply.headers.setdefault(name, value)


async def _body(request: web.Request) -> tuple[Any, int]:
    """The JSON of a body and its size in bytes. Raises ApiError (400)."""
    raw = await request.read()
    try:
        return json.loads(raw), len(raw)
    except (ValueError, RecursionError):
        raise ApiError("The body could not be parsed as JSON.") from None


async def _with_faults(
    request: web.Request,
    do: dict[str, Any],
    work: Callable[[], Awaitable[Reply]],
    *,
    response_id: str = "",
    missing: ApiError | None = None,
) -> Reply | web.Response:
    """Do the work as a rule wants it to go wrong; as usual when ``do`` says nothing."""
    if "delay" in do:
        await asyncio.sleep(do["delay"])
    if do.get("not_found"):
        raise missing or response_not_found(response_id)
    if "raw" in do:
        made = web.Response(text=do["raw"], status=do.get("status", 200))
        made.headers["content-type"] = do.get("content_type", "application/json")
        made.headers.update(do.get("headers") or {})
        return made
    if "status" in do:
        fault = {"message": "The sandbox was told to refuse this.", "type": None}
        fault |= {"param": None, "code": None} | (do.get("error") or {})
        made = _json({"error": fault}, status=do["status"])
        made.headers.update(do.get("headers") or {})
        return made
    if do.get("drop") == "before":
        raise Dropped
    if "hang" in do and not do.get("work", True):
        await asyncio.sleep(do["hang"])
        if request.transport is None or request.transport.is_closing():
            raise Dropped
    reply = await work()
    reply.headers.update(do.get("headers") or {})
    if "hang" in do and do.get("work", True):
        _run_after(request)
        await asyncio.sleep(do["hang"])
    if do.get("drop") == "after":
        _run_after(request)
        raise Dropped
    return reply


async def guarded(
    request: web.Request,
    on: str,
    facts: Facts,
    work: Callable[[dict[str, Any]], Awaitable[web.Response]],
    *,
    missing: ApiError | None = None,
) -> web.Response:
    """Do the work of a request, unless a rule for it wants something else. It is told the ``do``."""
    rule = request.app[SANDBOX].rules.take(on, facts)
    if rule:
        request[ENTRY]["rule"] = rule.id
    if facts.filename:
        request[ENTRY]["filename"] = facts.filename
    do = rule.do if rule else {}
    return await _with_faults(request, do, lambda: work(do), missing=missing)


def _run_after(request: web.Request) -> None:
    """What is due after the reply, now: because the reply is late, or never goes out."""
    while request[AFTER]:
        request[AFTER].pop()()


async def create(request: web.Request) -> web.StreamResponse:
    sandbox = request.app[SANDBOX]
    sandbox.counts["create"] += 1
    body, size = await _body(request)
    given = body if isinstance(body, dict) else {}
    text = loose_text(body)
    request[ENTRY]["metadata"] = given.get("metadata")
    facts = Facts(model=str(given.get("model")), text=text, metadata=given.get("metadata"))
    rule = sandbox.rules.take("create", facts)
    if rule:
        request[ENTRY]["rule"] = rule.id
        do = rule.do
    else:
        asked, _ = directive(loose_text(body, of=("content",)))
        do = check_do(asked) if asked is not None else {}

    async def work() -> web.StreamResponse:
        shelf_url = f"{request.scheme}://{request.host}/shelf"
        response = await sandbox.create(body, do=do, shelf_url=shelf_url, size=size)
        request[ENTRY]["response_id"] = response.id
        if response.webhook.get("before_reply"):
            await sandbox.courier.deliver_now(response)
        request[AFTER].append(lambda: sandbox.courier.arrange(response))
        if response.streamed:
            options = body.get("stream_options") or {}
            obfuscation = options.get("include_obfuscation") is not False
            return EventStream(sandbox, response, obfuscation=obfuscation, do=dict(do))
        status = response.status(time.time())
        if status not in LIVE and not response.life.at_once:
            status = "queued"  # however short its life is, the answer comes before the end
        return _json_bytes(shapes.body_bytes(response, status, sources=False))

    return await _with_faults(request, do, work)


async def retrieve(request: web.Request) -> web.StreamResponse:
    sandbox = request.app[SANDBOX]
    streams = request.query.get("stream") == "true"
    sandbox.counts["retrieve"] += not streams

    async def work(do: dict[str, Any]) -> web.StreamResponse:
        response = sandbox.get(request.match_info["id"])
        include = frozenset(
            request.query.getall("include[]", []) + request.query.getall("include", [])
        )
        if streams:
            return resumed(sandbox, response, request.query, include=include, do=do)
        sources = "web_search_call.action.sources" in include
        return _json_bytes(
            shapes.body_bytes(
                response,
                response.status(time.time()),
                sources=sources,
                include=include,
            )
        )

    return await _on_response(request, "stream" if streams else "retrieve", work)


async def cancel(request: web.Request) -> web.StreamResponse:
    sandbox = request.app[SANDBOX]
    sandbox.counts["cancel"] += 1

    async def work(do: dict[str, Any]) -> web.Response:
        response = sandbox.get(request.match_info["id"])
        before = response.cancelled_at
        lost = bool(do.get("cancel_lost"))
        sandbox.cancel(response, lost=lost)
        if lost:
            return _json(shapes.body(response, "cancelled") | {"output": [], "usage": None})
        if before is None and response.cancelled_at is not None:
            request[AFTER].append(lambda: sandbox.courier.arrange(response))
        return _json_bytes(shapes.body_bytes(response, "cancelled", sources=False))

    return await _on_response(request, "cancel", work)


async def _on_response(
    request: web.Request, on: str, work: Callable[[dict[str, Any]], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """A call about one response, with the rules that match it."""
    sandbox = request.app[SANDBOX]
    response_id = request.match_info["id"]
    known: Response | None = sandbox.store.responses.get(response_id)
    facts = Facts(response_id=response_id)
    if known:
        request[ENTRY]["metadata"] = known.metadata
        facts = Facts(response_id, known.echo["model"], known.text, known.metadata)
    rule = sandbox.rules.take(on, facts)
    if rule:
        request[ENTRY]["rule"] = rule.id
    do = rule.do if rule else {}
    return await _with_faults(request, do, lambda: work(do), response_id=response_id)


async def delete(request: web.Request) -> web.Response:
    sandbox = request.app[SANDBOX]
    sandbox.counts["delete"] += 1
    response = sandbox.get(request.match_info["id"])
    request[ENTRY]["metadata"] = response.metadata
    sandbox.delete(response)
    return _json(shapes.deleted(response.id))


async def input_items(request: web.Request) -> web.Response:
    response = request.app[SANDBOX].get(request.match_info["id"])
    limit = 0
    with contextlib.suppress(ValueError):
        limit = int(request.query.get("limit", "20"))
    if not 1 <= limit <= 100:
        raise ApiError("Invalid 'limit': it must be 1 to 100.", param="limit", code="invalid_value")
    order = request.query.get("order", "desc")
    if order not in ("asc", "desc"):
        raise ApiError("Invalid 'order': asc or desc.", param="order", code="invalid_value")
    after = request.query.get("after")
    return _json(shapes.input_items(response.items, after=after, limit=limit, order=order))


async def input_tokens(request: web.Request) -> web.Response:
    body, size = await _body(request)
    counted = await request.app[SANDBOX].count_tokens(body, size=size)
    return _json({"object": "response.input_tokens", "input_tokens": counted})


async def shelf_index(request: web.Request) -> web.Response:
    return web.Response(text=brief.index(), content_type="text/html")


async def shelf_page(request: web.Request) -> web.Response:
    article = brief.shelf().get(request.match_info["name"])
    if article is None:
        raise web.HTTPNotFound
    return web.Response(text=brief.page(article), content_type="text/html")


async def healthz(request: web.Request) -> web.Response:
    return web.Response(text="ok\n")
