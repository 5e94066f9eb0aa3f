"""What running responses write, as it is written: one connection for each, whoever watches.

A response can be followed that was created with ``background`` and ``stream``, while it is young
(users of openai-python report five minutes). What cannot be followed is found out by polling.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import httpx2
from openai import APIStatusError, AsyncOpenAI, OpenAIError, omit

from jobs.provider import errors
from jobs.provider.payloads import is_response_id

#: Seconds that one batch is waited for.
BATCH = 0.8
#: Events after which the response has ended.
TERMINAL = frozenset(
    {"response.completed", "response.failed", "response.incomplete", "response.cancelled"}
)
#: Characters of one delta, and about as many of one batch.
MOST_TEXT = 1_000_000
#: The database holds no larger number of an event.
MOST_EVENTS = 2**31 - 1
_BROKEN = (OpenAIError, httpx2.HTTPError, aiohttp.ClientError, TimeoutError, ValueError)
_DOING: Mapping[str, str] = {
    "web_search_call": "Searching the web",
    "file_search_call": "Searching the documents",
    "code_interpreter_call": "Running code",
    "image_generation_call": "Drawing a picture",
    "mcp_call": "Calling a tool",
    "function_call": "Asking for a tool",
    "reasoning": "Thinking",
    "message": "Writing",
}


class CannotFollow(Exception):
    """This response cannot be followed, or not any more: poll it."""


@dataclass
class Batch:
    """What has arrived since the event number `after`: more `text`, what it is `doing`, and the
    number of the last event."""

    text: str = ""
    sequence: int = -1
    after: int = -1
    doing: str = ""
    ended: bool = False


@dataclass
class _Followed:
    batch: Batch
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    task: "asyncio.Task[None] | None" = None


class Live:
    """The open streams of one process, by response id. Belongs to one event loop."""

    def __init__(self, client: AsyncOpenAI) -> None:
        self._client = client
        self._open: dict[str, _Followed] = {}

    async def batch(self, response_id: str, *, after: int) -> Batch:
        """What was written after the event number `after`: at once where some has arrived, else
        within `BATCH` seconds. Raises CannotFollow, NotFound or Unavailable; then the stream is
        closed."""
        if not is_response_id(response_id):
            raise CannotFollow("That is not the id of a response.")
        followed = self._open.get(response_id)
        if followed is None or followed.batch.after != after:
            await self.close(response_id)
            followed = _Followed(Batch(sequence=after, after=after))
            followed.task = asyncio.ensure_future(self._pump(response_id, followed, after))
            self._open[response_id] = followed
        assert followed.task is not None
        await asyncio.sleep(BATCH / 4)
        waited = asyncio.ensure_future(followed.arrived.wait())
        await asyncio.wait(
            {waited, followed.task}, timeout=BATCH, return_when=asyncio.FIRST_COMPLETED
        )
        waited.cancel()
        found = followed.batch
        followed.batch = Batch(sequence=found.sequence, after=found.sequence)
        followed.arrived.clear()
        if followed.task.done():
            await self.close(response_id)
            # Without numbers nothing says where to go on: it would be read from its beginning again.
            stalled = not found.text or found.sequence == found.after
            if stalled and not found.ended and not followed.task.cancelled():
                raise _worded(followed.task.exception())
        return found

    async def close(self, response_id: str) -> None:
        followed = self._open.pop(response_id, None)
        if followed and followed.task:
            followed.task.cancel()
            await asyncio.wait({followed.task})

    async def close_all(self) -> None:
        for response_id in list(self._open):
            await self.close(response_id)

    async def _pump(self, response_id: str, followed: _Followed, after: int) -> None:
        stream = await self._client.responses.retrieve(
            response_id, stream=True, starting_after=after if after >= 0 else omit
        )
        async with stream:
            async for event in stream:
                if _take(followed.batch, event):
                    followed.arrived.set()
                if followed.batch.ended:
                    return


def _take(batch: Batch, event: Any) -> bool:
    """Add an event to a batch; whether it says something. By its type alone: the SDK builds what it
    does not know as any other event."""
    kind = str(getattr(event, "type", ""))
    number = getattr(event, "sequence_number", None)
    if isinstance(number, int) and not isinstance(number, bool):
        if not batch.sequence < number <= MOST_EVENTS:
            return False
        batch.sequence = number
    if kind in TERMINAL or kind == "error":
        batch.ended = True
        return True
    if kind in ("response.output_text.delta", "response.refusal.delta"):
        delta = getattr(event, "delta", "")
        if isinstance(delta, str) and len(batch.text) < MOST_TEXT:
            batch.text += delta[:MOST_TEXT]
        return True
    if kind == "response.output_item.added":
        item = getattr(event, "item", None)
        batch.doing = _DOING.get(str(getattr(item, "type", "")), "Working")
        if batch.doing == "Writing":
            # Parts of a message stand apart, as they do in the answer.
            batch.text += "\n\n"
        return True
    return False


def _worded(error: BaseException | None) -> Exception:
    if error is None:
        return errors.Unavailable("stream_ended", "The stream ended before the response did.")
    if isinstance(error, APIStatusError) and error.status_code in (400, 409, 422):
        return CannotFollow(str(error))
    if isinstance(error, _BROKEN):
        return errors.from_lookup(error, canceling=False)
    return CannotFollow(f"{type(error).__name__}: {error}")
