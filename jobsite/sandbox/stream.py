"""A streamed response over HTTP: server-sent events, told as the clock reaches them.

A client that goes away hurts no background response: it lives on, and can be streamed again. A
response that is not in the background lives only as long as its stream: it is cancelled then, and
keeps what was written.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import Any

from aiohttp import web

from .engine import Sandbox
from .errors import ApiError
from .events import Event, events
from .life import LIVE, Response
from .shapes import to_bytes

AGE = 300.0  # seconds for which a response can be streamed again
GLANCE = 0.05  # seconds between looks at the clock, which tests move, and at the client


class EventStream(web.StreamResponse):
    """A reply that is not begun yet. ``do`` may hold the faults of a stream."""

    def __init__(
        self,
        sandbox: Sandbox,
        response: Response,
        *,
        after: int = -1,
        include: frozenset[str] = frozenset(),
        obfuscation: bool = True,
        do: dict[str, Any],
    ) -> None:
        super().__init__(headers={"cache-control": "no-cache"})
        self.content_type, self.charset = "text/event-stream", "utf-8"
        self.sandbox, self.response, self.do = sandbox, response, do
        told = events(response, include=include, obfuscation=obfuscation)
        self.events = [event for event in told if event.number > after]
        self.sent = 0

    async def tell(self, request: web.Request) -> None:
        """Send the events as they happen, until the response ends or the client is gone."""
        cut_after = self.do.get("cut_after")
        self.sandbox.counts["stream"] += 1
        self.sandbox.streaming += 1
        try:
            for event in self.events:
                await self._faults(request, event.number)
                if self.sent == cut_after or not await self._until(request, event):
                    break
                await self._send(event.data)
            else:
                await self._faults(request, self.events[-1].number + 1 if self.events else 0)
                await self._to_the_end(request)
            if cut_after is not None and self.sent >= cut_after and not self.do.get("clean"):
                self._hang_up(request)
            else:
                await self.write_eof()
        except ConnectionError:
            pass
        finally:
            self.sandbox.streaming -= 1
            self.sandbox.abandon(self.response)

    async def _send(self, data: dict[str, Any]) -> None:
        name = str(data.get("type") or "error").split("\n")[0]
        await self.write(
            b"event: %b\ndata: %b\n\n" % (name.encode(errors="replace"), to_bytes(data))
        )
        self.sent += 1

    async def _faults(self, request: web.Request, number: int) -> None:
        """What a rule wants between two events. ``number`` is that of the next one."""
        if self.sent != self.do.get("after", 0):
            return
        send = self.do.pop("send", None)
        stall = self.do.pop("stall", None)
        if send is not None:
            await self._send(send if "error" in send else {"sequence_number": number, **send})
        if stall is not None:
            over = time.monotonic() + stall
            while time.monotonic() < over and not _gone(request):
                await asyncio.sleep(min(GLANCE, stall))

    async def _until(self, request: web.Request, event: Event) -> bool:
        """Wait for an event's moment. False: it is never to come, or nobody is there."""
        response = self.response
        while not _gone(request) and self._known():
            if response.cancelled_at is not None and (
                event.at > response.cancelled_at - response.started
            ):
                return False
            left = response.started + event.at - time.time()
            if left <= 0:
                return True
            await asyncio.sleep(min(left, GLANCE))
        return False

    async def _to_the_end(self, request: web.Request) -> None:
        """Wait for the end of a response that has no last event."""
        while self._known() and self.response.status(time.time()) in LIVE and not _gone(request):
            await asyncio.sleep(GLANCE)

    def _known(self) -> bool:
        kept = self.sandbox.store.responses.get(self.response.id)
        return kept is self.response or not self.response.echo["store"]

    def _hang_up(self, request: web.Request) -> None:
        if request.transport is not None:
            with contextlib.suppress(OSError):
                request.transport.close()


def _gone(request: web.Request) -> bool:
    return request.transport is None or request.transport.is_closing()


def resumed(
    sandbox: Sandbox, response: Response, query: Any, *, include: frozenset[str], do: dict[str, Any]
) -> EventStream:
    """The stream of a response again, from ``starting_after`` on. Raises ApiError (400)."""
    after = -1
    if (given := query.get("starting_after")) is not None:
        if not str(given).isascii() or not str(given).isdigit() or len(given) > 18:
            raise ApiError(
                "Invalid 'starting_after': expected an integer that is 0 or more.",
                param="starting_after",
                code="invalid_value",
            )
        after = int(given)
    if not response.background or not response.streamed:
        missing = "stream=true" if response.background else "background=true"
        raise _cannot(f"cannot be streamed because it was not created with {missing}.")
    if time.time() - response.started > AGE:
        raise _cannot("can no longer be streamed because it is more than 5 minutes old.")
    obfuscation = query.get("include_obfuscation", "true") != "false"
    return EventStream(
        sandbox, response, after=after, include=include, obfuscation=obfuscation, do=dict(do)
    )


def _cannot(why: str) -> ApiError:
    return ApiError(f"This response {why}", param="stream", code="invalid_request_error")
