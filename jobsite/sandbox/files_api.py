"""The API's doors to files: upload, list, look at, download, delete."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

from aiohttp import web

from .engine import Sandbox
from .errors import ApiError
from .faults import Facts
from .files import CLOSED, PURPOSES, no_such_file
from .forms import Upload, read_form
from .listing import page, whole_number, wrong_value
from .shapes import to_bytes

HOUR, MONTH = 3600, 30 * 24 * 3600  # seconds: the bounds of a file's life


class Guarded(Protocol):
    """Does the work of one request as the rules for ``on`` want it to go."""

    def __call__(
        self,
        request: web.Request,
        on: str,
        facts: Facts,
        work: Callable[[dict[str, Any]], Awaitable[web.Response]],
        *,
        missing: ApiError | None = None,
    ) -> Awaitable[web.Response]: ...


def reply(body: Any) -> web.Response:
    return web.Response(body=to_bytes(body), content_type="application/json")


def check_upload(upload: Upload) -> int | None:
    """For how many seconds the file is to be kept; None for ever. Raises ApiError (400)."""
    for name, given in (("file", upload.data), ("purpose", upload.fields.get("purpose"))):
        if given is None:
            raise ApiError(
                f"Missing required parameter: '{name}'.",
                param=name,
                code="missing_required_parameter",
            )
    if not upload.filename:
        raise ApiError("The file has no name.", param="file", code="invalid_value")
    purpose = upload.fields["purpose"]
    if purpose not in PURPOSES:
        raise wrong_value("purpose", f"{purpose!r} is not one of {', '.join(PURPOSES)}.")
    for name in upload.fields:
        if name not in ("purpose", "expires_after[anchor]", "expires_after[seconds]"):
            raise ApiError(f"Unknown parameter: '{name}'.", param=name, code="unknown_parameter")
    anchor = upload.fields.get("expires_after[anchor]")
    seconds: Any = upload.fields.get("expires_after[seconds]")
    if anchor is None and seconds is None:
        return None
    if anchor != "created_at":
        raise wrong_value("expires_after.anchor", "it must be 'created_at'.")
    with contextlib.suppress(ValueError, TypeError):
        seconds = int(seconds)
    return whole_number(seconds, param="expires_after.seconds", low=HOUR, high=MONTH)


def add_files(app: web.Application, sandbox: Sandbox, guarded: Guarded) -> None:
    files = sandbox.files

    async def upload(request: web.Request) -> web.Response:
        sandbox.counts["upload"] += 1
        form = await read_form(request)
        seconds = check_upload(form)
        purpose = form.fields["purpose"]

        async def work(do: dict[str, Any]) -> web.Response:
            file = files.add(
                form.data or b"",
                filename=form.filename,
                purpose=purpose,
                media_type=form.media_type,
                seconds=seconds,
                now=time.time(),
            )
            sandbox.counts["uploaded"] += 1
            if purpose in CLOSED:  # those are to be read; long PDFs take their time
                await asyncio.to_thread(file.readable)
            return reply(file.body())

        facts = Facts(filename=form.filename, purpose=purpose)
        return await guarded(request, "upload", facts, work)

    async def index(request: web.Request) -> web.Response:
        purpose = request.query.get("purpose")

        async def work(do: dict[str, Any]) -> web.Response:
            files.sweep(time.time())
            bodies = [file.body() for file in files if purpose in (None, file.purpose)]
            return reply(page(request.query, bodies, default=10_000, most=10_000))

        return await guarded(request, "file_list", Facts(purpose=purpose or ""), work)

    def facts_of(match: Mapping[str, str]) -> Facts:
        file = files.find(match["file"], time.time())
        if file is None:
            return Facts(file_id=match["file"])
        return Facts(file_id=file.id, filename=file.filename, purpose=file.purpose)

    async def on_one(
        request: web.Request, on: str, work: Callable[[dict[str, Any]], Awaitable[web.Response]]
    ) -> web.Response:
        missing = no_such_file(request.match_info["file"])
        return await guarded(request, on, facts_of(request.match_info), work, missing=missing)

    async def show(request: web.Request) -> web.Response:
        async def work(do: dict[str, Any]) -> web.Response:
            return reply(files.get(request.match_info["file"], time.time()).body())

        return await on_one(request, "file", work)

    async def content(request: web.Request) -> web.Response:
        async def work(do: dict[str, Any]) -> web.Response:
            file = files.get(request.match_info["file"], time.time())
            if file.purpose in CLOSED:
                raise ApiError(f"Not allowed to download files of purpose: {file.purpose}")
            sandbox.counts["download"] += 1
            return web.Response(body=file.data, content_type="application/octet-stream")

        return await on_one(request, "file", work)

    async def delete(request: web.Request) -> web.Response:
        sandbox.counts["file_delete"] += 1

        async def work(do: dict[str, Any]) -> web.Response:
            file = files.get(request.match_info["file"], time.time())
            files.delete(file)
            return reply({"object": "file", "deleted": True, "id": file.id})

        return await on_one(request, "file_delete", work)

    app.add_routes(
        [
            web.post("/v1/files", upload),
            web.get("/v1/files", index, allow_head=False),
            web.get("/v1/files/{file}", show, allow_head=False),
            web.delete("/v1/files/{file}", delete),
            web.get("/v1/files/{file}/content", content, allow_head=False),
        ]
    )
