"""The API's doors to containers and the files in them."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from .containers import IDLE, no_such_container, no_such_file
from .engine import Sandbox
from .errors import ApiError
from .faults import Facts
from .files_api import Guarded, reply
from .listing import page, whole_number, wrong_type, wrong_value
from .stores_api import body_of

LIMITS = ("1g", "4g", "16g", "64g")


def add_containers(app: web.Application, sandbox: Sandbox, guarded: Guarded) -> None:
    containers = sandbox.containers

    async def create(request: web.Request) -> web.Response:
        known = ("name", "expires_after", "memory_limit", "file_ids", "network_policy")
        body = await body_of(request, *known)
        name, after = body.get("name"), body.get("expires_after")
        if not isinstance(name, str) or not name:
            raise wrong_type("name", "a string")
        idle = IDLE
        if after is not None:
            if not isinstance(after, dict) or after.get("anchor") != "last_active_at":
                raise wrong_value("expires_after.anchor", "it must be 'last_active_at'.")
            minutes = after.get("minutes")
            idle = 60.0 * whole_number(minutes, param="expires_after.minutes", low=1, high=20)
        limit = body.get("memory_limit") or "1g"
        if limit not in LIMITS:
            raise wrong_value("memory_limit", f"one of {', '.join(LIMITS)}.")
        if body.get("file_ids"):
            raise ApiError("The sandbox puts no files into containers.", param="file_ids")
        now = time.time()
        made = containers.create(name=name, idle=idle, memory_limit=limit, now=now)
        return reply(made.body())

    async def index(request: web.Request) -> web.Response:
        now = time.time()
        bodies = [container.body() for container in containers if container.there(now)]
        return reply(page(request.query, bodies))

    async def show(request: web.Request) -> web.Response:
        return reply(containers.get(request.match_info["container"], time.time()).body())

    async def delete(request: web.Request) -> web.Response:
        container = containers.get(request.match_info["container"], time.time())
        containers.delete(container)
        return reply({"id": container.id, "object": "container.deleted", "deleted": True})

    async def files(request: web.Request) -> web.Response:
        now = time.time()
        container = containers.get(request.match_info["container"], now)
        found = [file for file in list(container.files.values()) if file.created_at <= now]
        return reply(page(request.query, [file.body(container.id) for file in found]))

    def on_file(
        work: Callable[[str, str], web.Response],
    ) -> Callable[[web.Request], Awaitable[web.Response]]:
        """A handler of a request about one file, as the rules want it."""

        async def handle(request: web.Request) -> web.Response:
            container_id, file_id = request.match_info["container"], request.match_info["file"]
            known = containers.containers.get(container_id)
            file = known.files.get(file_id) if known else None
            facts = Facts(
                container_id=container_id,
                file_id=file_id,
                filename=file.path.removeprefix("/mnt/data/") if file else "",
            )

            async def do_it(do: dict[str, Any]) -> web.Response:
                return work(container_id, file_id)

            missing = (
                no_such_file(container_id, file_id) if known else no_such_container(container_id)
            )
            return await guarded(request, "container_file", facts, do_it, missing=missing)

        return handle

    def show_file(container_id: str, file_id: str) -> web.Response:
        return reply(containers.file(container_id, file_id, time.time()).body(container_id))

    def content(container_id: str, file_id: str) -> web.Response:
        file = containers.file(container_id, file_id, time.time())
        sandbox.counts["download"] += 1
        return web.Response(body=file.data, content_type="application/octet-stream")

    def delete_file(container_id: str, file_id: str) -> web.Response:
        containers.file(container_id, file_id, time.time())
        containers.delete_file(containers.get(container_id, time.time()), file_id)
        return reply({"id": file_id, "object": "container.file.deleted", "deleted": True})

    one = "/v1/containers/{container}"
    a_file = one + "/files/{file}"
    app.add_routes(
        [
            web.post("/v1/containers", create),
            web.get("/v1/containers", index, allow_head=False),
            web.get(one, show, allow_head=False),
            web.delete(one, delete),
            web.get(f"{one}/files", files, allow_head=False),
            web.get(a_file, on_file(show_file), allow_head=False),
            web.delete(a_file, on_file(delete_file)),
            web.get(f"{a_file}/content", on_file(content), allow_head=False),
        ]
    )
