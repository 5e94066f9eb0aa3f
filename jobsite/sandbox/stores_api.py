"""The API's doors to vector stores, their files and batches of files, and to their search."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from .engine import Sandbox
from .errors import ApiError
from .faults import Facts
from .file_search import check_filters, query_of, search
from .files_api import Guarded, reply
from .listing import page, pairs, whole_number, wrong_type, wrong_value
from .vector_stores import STATES, STATIC, VectorStore, no_such_store

AT_CREATE, AT_ONCE = 500, 2000  # files that can be named in one request
Do = dict[str, Any]


async def body_of(request: web.Request, *known: str) -> dict[str, Any]:
    """The JSON object of a body, which may be missing. Raises ApiError (400)."""
    raw = await request.read()
    try:
        body = json.loads(raw or b"{}")
    except (ValueError, RecursionError):
        raise ApiError("The body could not be parsed as JSON.") from None
    if not isinstance(body, dict):
        raise ApiError("The body must be a JSON object.")
    for name in body:
        if name not in known:
            raise ApiError(f"Unknown parameter: '{name}'.", param=name, code="unknown_parameter")
    return body


def text(body: Do, name: str) -> str | None:
    value = body.get(name)
    if not isinstance(value, str | None):
        raise wrong_type(name, "a string")
    return value


def days_of(body: Do) -> int | None:
    """The days of ``expires_after``; None for ever."""
    given = body.get("expires_after")
    if given is None:
        return None
    if not isinstance(given, dict):
        raise wrong_type("expires_after", "an object")
    if given.get("anchor") != "last_active_at":
        raise wrong_value("expires_after.anchor", "it must be 'last_active_at'.")
    return whole_number(given.get("days"), param="expires_after.days", low=1, high=365)


def chunking_of(body: Do) -> Do:
    given = body.get("chunking_strategy")
    if given is None or given == {"type": "auto"}:
        return STATIC
    static = given.get("static") if isinstance(given, dict) else None
    if not isinstance(static, dict) or given.get("type") != "static":
        raise wrong_value("chunking_strategy", "its type must be 'auto' or 'static'.")
    most = whole_number(
        static.get("max_chunk_size_tokens"),
        param="chunking_strategy.static.max_chunk_size_tokens",
        low=100,
        high=4096,
    )
    overlap = whole_number(
        static.get("chunk_overlap_tokens"),
        param="chunking_strategy.static.chunk_overlap_tokens",
        low=0,
        high=most // 2,
    )
    made = {"max_chunk_size_tokens": most, "chunk_overlap_tokens": overlap}
    return {"type": "static", "static": made}


def wanted_of(body: Do, *, most: int) -> list[Do]:
    """``{file_id, attributes, chunking}`` for each file that a body names."""
    ids, files = body.get("file_ids"), body.get("files")
    if ids is not None and files is not None:
        raise ApiError("'file_ids' and 'files' exclude each other.", param="files")
    name = "files" if files is not None else "file_ids"
    given = (files if files is not None else ids) or []
    if not isinstance(given, list):
        raise wrong_type(name, "a list")
    if len(given) > most:
        raise ApiError(
            f"Invalid '{name}': array too long. Expected at most {most} items.",
            param=name,
            code="array_above_max_length",
        )
    wanted = []
    for index, one in enumerate(given):
        item = one if files is not None else {**body, "file_id": one}
        if not isinstance(item, dict) or not isinstance(item.get("file_id"), str):
            raise wrong_type(f"{name}[{index}]", "a file id")
        attributes = pairs(item.get("attributes"), param="attributes", strings=False)
        wanted.append(
            {"file_id": item["file_id"], "attributes": attributes, "chunking": chunking_of(item)}
        )
    return wanted


def add_stores(app: web.Application, sandbox: Sandbox, guarded: Guarded) -> None:
    stores, files = sandbox.stores, sandbox.files

    async def read_all(wanted: list[Do]) -> None:
        """Every file exists (else ApiError, 404), and its text is read."""
        found = [files.get(one["file_id"], time.time()) for one in wanted]

        def read() -> None:
            for file in found:
                file.readable()

        if any(file.reading is None for file in found):
            await asyncio.to_thread(read)

    async def create(request: web.Request) -> web.Response:
        sandbox.counts["store_create"] += 1
        known = "name description file_ids metadata expires_after chunking_strategy"
        body = await body_of(request, *known.split())
        metadata = pairs(body.get("metadata"), param="metadata", strings=True)
        name, description, days = text(body, "name"), text(body, "description"), days_of(body)
        wanted = wanted_of({**body, "attributes": None}, most=AT_CREATE)

        async def work(do: Do) -> web.Response:
            await read_all(wanted)
            now = time.time()
            store = stores.create(
                name=name or "",
                description=description,
                metadata=metadata,
                days=days,
                now=now,
                do=do,
            )
            sandbox.counts["stores_made"] += 1
            if wanted:
                stores.attach(store, wanted, now=now)
            return reply(stores.body(store, now))

        return await guarded(request, "store_create", Facts(metadata=metadata), work)

    async def index(request: web.Request) -> web.Response:
        async def work(do: Do) -> web.Response:
            now = time.time()
            return reply(page(request.query, [stores.body(store, now) for store in stores]))

        return await guarded(request, "store_list", Facts(), work)

    def door(
        on: str, work: Callable[[web.Request, VectorStore, Do], Awaitable[Any]]
    ) -> Callable[[web.Request], Awaitable[web.Response]]:
        """A handler of a request about one store; ``work`` gives the body of the answer."""

        async def handle(request: web.Request) -> web.Response:
            store_id = request.match_info["store"]
            known = stores.stores.get(store_id)
            if on == "store_delete":
                sandbox.counts["store_delete"] += 1
            facts = Facts(vector_store_id=store_id, metadata=known.metadata if known else None)

            async def do_it(do: Do) -> web.Response:
                return reply(await work(request, stores.get(store_id), do))

            return await guarded(request, on, facts, do_it, missing=no_such_store(store_id))

        return handle

    async def show(request: web.Request, store: VectorStore, do: Do) -> Do:
        return stores.body(store, time.time())

    async def modify(request: web.Request, store: VectorStore, do: Do) -> Do:
        body = await body_of(request, "name", "metadata", "expires_after")
        name, days = text(body, "name"), days_of(body)
        metadata = pairs(body.get("metadata"), param="metadata", strings=True)
        now = time.time()
        if "name" in body:
            store.name = name or ""
        if "metadata" in body:
            store.metadata = metadata
        if "expires_after" in body:
            store.days = days
        store.last_active_at = now
        stores.keep(store)
        return stores.body(store, now)

    async def delete(request: web.Request, store: VectorStore, do: Do) -> Do:
        stores.delete(store)
        return {"id": store.id, "object": "vector_store.deleted", "deleted": True}

    def listed(request: web.Request, bodies: list[Do]) -> Do:
        wanted = request.query.get("filter")
        if wanted not in (None, *STATES):
            raise wrong_value("filter", f"one of {', '.join(STATES)}.")
        return page(request.query, [body for body in bodies if wanted in (None, body["status"])])

    async def entries(request: web.Request, store: VectorStore, do: Do) -> Do:
        now = time.time()
        found = stores.entries(store, now)
        return listed(request, [stores.entry_body(store, entry, now) for entry in found])

    async def attach(request: web.Request, store: VectorStore, do: Do) -> Do:
        body = await body_of(request, "file_id", "attributes", "chunking_strategy")
        [one] = wanted_of({"files": [body]}, most=1)
        await read_all([one])
        now = time.time()
        stores.attach(stores.usable(store.id, now), [one], now=now)
        return stores.entry_body(store, stores.entry(store, one["file_id"], now), now)

    async def entry(request: web.Request, store: VectorStore, do: Do) -> Do:
        now = time.time()
        found = stores.entry(store, request.match_info["file"], now)
        return stores.entry_body(store, found, now)

    async def set_attributes(request: web.Request, store: VectorStore, do: Do) -> Do:
        body = await body_of(request, "attributes")
        now = time.time()
        found = stores.entry(store, request.match_info["file"], now)
        found.attributes = pairs(body.get("attributes"), param="attributes", strings=False)
        stores.keep(store)
        return stores.entry_body(store, found, now)

    async def detach(request: web.Request, store: VectorStore, do: Do) -> Do:
        found = stores.entry(store, request.match_info["file"], time.time())
        stores.detach(store, found.file_id)
        return {"id": found.file_id, "object": "vector_store.file.deleted", "deleted": True}

    async def content(request: web.Request, store: VectorStore, do: Do) -> Do:
        found = stores.entry(store, request.match_info["file"], time.time())
        if found.status(time.time()) != "completed":
            raise ApiError("The file has not been indexed.")
        file = files.get(found.file_id, time.time())
        parts = [{"type": "text", "text": (await asyncio.to_thread(file.document)).text}]
        made = {"object": "vector_store.file_content.page", "data": parts}
        return {**made, "has_more": False, "next_page": None}

    async def batch_create(request: web.Request, store: VectorStore, do: Do) -> Do:
        known = ("file_ids", "files", "attributes", "chunking_strategy")
        wanted = wanted_of(await body_of(request, *known), most=AT_ONCE)
        if not wanted:
            raise ApiError(
                "Missing required parameter: 'file_ids'.",
                param="file_ids",
                code="missing_required_parameter",
            )
        await read_all(wanted)
        now = time.time()
        made = stores.attach(stores.usable(store.id, now), wanted, now=now, batch=True)
        return stores.batch_body(store, made, now)

    async def batch(request: web.Request, store: VectorStore, do: Do) -> Do:
        found = stores.batch(store, request.match_info["batch"])
        return stores.batch_body(store, found, time.time())

    async def batch_cancel(request: web.Request, store: VectorStore, do: Do) -> Do:
        found, now = stores.batch(store, request.match_info["batch"]), time.time()
        stores.cancel(store, found, now)
        return stores.batch_body(store, found, now)

    async def batch_files(request: web.Request, store: VectorStore, do: Do) -> Do:
        found, now = stores.batch(store, request.match_info["batch"]), time.time()
        inside = stores.batch_entries(store, found, now)
        return listed(request, [stores.entry_body(store, entry, now) for entry in inside])

    async def look_up(request: web.Request, store: VectorStore, do: Do) -> Do:
        known = "query rewrite_query max_num_results filters ranking_options"
        body = await body_of(request, *known.split())
        queries = query_of(body)
        filters = check_filters(body.get("filters"), param="filters")
        count = whole_number(
            body.get("max_num_results", 10), param="max_num_results", low=1, high=50
        )
        ranking = body.get("ranking_options") or {}
        least = ranking.get("score_threshold", 0) if isinstance(ranking, dict) else "?"
        if not isinstance(least, int | float):
            raise wrong_type("ranking_options.score_threshold", "a number")
        now = time.time()
        ready = stores.ready(stores.usable(store.id, now), now)
        found = await asyncio.to_thread(
            search, ready, queries, count=count, filters=filters, least=least
        )
        data = [passage.result() for passage in found]
        made = {"object": "vector_store.search_results.page", "search_query": queries}
        return {**made, "data": data, "has_more": False, "next_page": None}

    one = "/v1/vector_stores/{store}"
    a_file, a_batch = one + "/files/{file}", one + "/file_batches/{batch}"
    app.add_routes(
        [
            web.post("/v1/vector_stores", create),
            web.get("/v1/vector_stores", index, allow_head=False),
            web.get(one, door("store", show), allow_head=False),
            web.post(one, door("store", modify)),
            web.delete(one, door("store_delete", delete)),
            web.post(f"{one}/search", door("store", look_up)),
            web.post(f"{one}/files", door("store_attach", attach)),
            web.get(f"{one}/files", door("store", entries), allow_head=False),
            web.get(a_file, door("store", entry), allow_head=False),
            web.post(a_file, door("store", set_attributes)),
            web.delete(a_file, door("store", detach)),
            web.get(f"{a_file}/content", door("store", content), allow_head=False),
            web.post(f"{one}/file_batches", door("store_attach", batch_create)),
            web.get(a_batch, door("store", batch), allow_head=False),
            web.post(f"{a_batch}/cancel", door("store", batch_cancel)),
            web.get(f"{a_batch}/files", door("store", batch_files), allow_head=False),
        ]
    )
