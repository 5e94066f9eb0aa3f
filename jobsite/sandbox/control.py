"""The control API under ``/sandbox``: rules, counts, logs and webhooks. No key; this machine only.

======================================  ====================================================
``POST /sandbox/rules``                 adds a rule (see :mod:`.faults`); ``{"id": ...}``
``GET`` and ``DELETE /sandbox/rules``   the live rules; drops them all
``POST /sandbox/reset``                 forgets responses, files, rules, counts and requests
``GET /sandbox/stats``                  counts
``GET /sandbox/requests?limit=100``     the latest requests to the API, oldest first
``GET /sandbox/responses``              what the provider believes, oldest first
``GET /sandbox/responses/{id}``         the same of one, with its plan and its echoed parameters
``GET /sandbox/files``                  the files that exist, as the API shows them, oldest first
``GET /sandbox/vector_stores``          the same of vector stores, with the ``file_ids`` of each
``GET /sandbox/containers``             the same of containers, with the ``files`` of each
``POST /sandbox/webhooks``              ``{url, secret}``: where webhooks go from now on
``POST /sandbox/webhooks/emit``         ``{type, response_id, webhook_id?, kind?}``: sends one now
======================================  ====================================================
"""

from __future__ import annotations

import dataclasses
import ipaddress
import json
import time
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from .engine import Sandbox
from .errors import ApiError
from .webhooks import BadTarget

Call = Callable[[web.Request], Awaitable[Any]]


def add_control(app: web.Application, sandbox: Sandbox) -> None:
    async def add_rule(request: web.Request) -> Any:
        return {"id": sandbox.rules.add(await _object(request)).id}

    async def list_rules(request: web.Request) -> Any:
        return {"data": [dataclasses.asdict(rule) for rule in sandbox.rules.rules]}

    async def clear_rules(request: web.Request) -> Any:
        sandbox.rules.clear()
        return {}

    async def reset(request: web.Request) -> Any:
        await sandbox.reset()
        return {}

    async def stats(request: web.Request) -> Any:
        return sandbox.stats()

    async def requests(request: web.Request) -> Any:
        try:
            limit = max(0, int(request.query.get("limit", "100")))
        except ValueError:
            raise ApiError("'limit' must be a number.", param="limit") from None
        entries = list(sandbox.log)
        return {"data": entries[max(0, len(entries) - limit) :]}

    async def responses(request: web.Request) -> Any:
        return {"data": [sandbox.describe(response) for response in sandbox.store]}

    async def one_response(request: web.Request) -> Any:
        response = sandbox.store.responses.get(request.match_info["id"])
        if response is None:
            raise ApiError("No such response.", status=404)
        return {
            **sandbox.describe(response),
            "request": response.echo,
            "text": response.text,
            "documents": [document.name for document in response.documents],
            "life": dataclasses.asdict(response.life),
            "webhook": response.webhook,
            "told": response.told,
        }

    async def files(request: web.Request) -> Any:
        sandbox.files.sweep(time.time())
        return {"data": [file.body() for file in sandbox.files]}

    async def vector_stores(request: web.Request) -> Any:
        now = time.time()
        stores = sandbox.stores
        return {
            "data": [
                {
                    **stores.body(store, now),
                    "file_ids": [entry.file_id for entry in stores.entries(store, now)],
                }
                for store in stores
            ]
        }

    async def containers(request: web.Request) -> Any:
        now = time.time()
        return {
            "data": [
                {
                    **container.body(),
                    "files": [file.body(container.id) for file in container.files.values()],
                }
                for container in sandbox.containers
                if container.there(now)
            ]
        }

    async def set_webhook(request: web.Request) -> Any:
        body = await _object(request)
        url, secret = body.get("url") or None, body.get("secret") or sandbox.courier.secret
        if not isinstance(url, str | None) or not isinstance(secret, str | None):
            raise ApiError("'url' and 'secret' must be strings.")
        try:
            sandbox.courier.configure(url, secret)
        except BadTarget as error:
            raise ApiError(str(error), param="url") from None
        return {"url": url}

    async def emit(request: web.Request) -> Any:
        body = await _object(request)
        for name in ("type", "response_id"):
            if not isinstance(body.get(name), str):
                raise ApiError(f"'{name}' must be a string.", param=name)
        webhook_id = body.get("webhook_id")
        return await sandbox.courier.emit(
            type=body["type"],
            response_id=body["response_id"],
            webhook_id=str(webhook_id) if webhook_id else None,
            kind=str(body.get("kind", "good")),
        )

    for method, path, call in (
        ("POST", "/sandbox/rules", add_rule),
        ("GET", "/sandbox/rules", list_rules),
        ("DELETE", "/sandbox/rules", clear_rules),
        ("POST", "/sandbox/reset", reset),
        ("GET", "/sandbox/stats", stats),
        ("GET", "/sandbox/requests", requests),
        ("GET", "/sandbox/responses", responses),
        ("GET", "/sandbox/responses/{id}", one_response),
        ("GET", "/sandbox/files", files),
        ("GET", "/sandbox/vector_stores", vector_stores),
        ("GET", "/sandbox/containers", containers),
        ("POST", "/sandbox/webhooks", set_webhook),
        ("POST", "/sandbox/webhooks/emit", emit),
    ):
        app.router.add_route(method, path, _door(call))


def _door(call: Call) -> Callable[[web.Request], Awaitable[web.Response]]:
    """A handler that answers JSON, and only callers on this machine."""

    async def handle(request: web.Request) -> web.Response:
        near = _is_here(request.remote) and _is_here(request.url.host)
        if not near or "origin" in request.headers:  # nor a web page that a browser here shows
            raise ApiError("The control API answers only programs on this machine.", status=403)
        return web.json_response(await call(request))

    return handle


def _is_here(host: str | None) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return False


async def _object(request: web.Request) -> dict[str, Any]:
    try:
        body = json.loads(await request.read())
    except (ValueError, RecursionError):
        body = None
    if not isinstance(body, dict):
        raise ApiError("The body must be a JSON object.")
    return body
