"""The calls: create, retrieve, cancel. Each answers with a response or raises a `ProviderError`."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import aiohttp
import httpx2
from openai import AsyncOpenAI, DefaultAioHttpClient, DefaultAsyncHttpxClient, OpenAIError

from jobs.models import State
from jobs.provider import downloads, errors, payloads
from jobs.provider.downloads import Limits
from jobs.provider.live import Live
from jobs.provider.payloads import ProviderResponse, is_response_id
from jobs.provider.storage import Storage

#: Answers whose files are fetched at once, and the seconds that another one waits for its turn.
ANSWERS_AT_ONCE = 4
WAIT_FOR_ROOM = 5.0


class Provider:
    """One provider account, for one event loop.

    No call is retried by the SDK. Creates go out on a connection of their own: on a kept one, a
    server that hangs up just then cannot be told from one that started the work. Lookups share
    kept connections on aiohttp, and build no models: a poll mostly reads "still running".
    """

    def __init__(
        self,
        *,
        base_url: str,
        api_key: str,
        create_timeout: float,
        lookup_timeout: float,
        file_limits: Limits = Limits(),  # noqa: B008 (frozen)
    ) -> None:
        # The clients' own time-outs are per read: an answer that drips would never end.
        self._create_timeout = create_timeout
        self._lookup_timeout = lookup_timeout
        self._file_limits = file_limits
        self._fetching = asyncio.Semaphore(ANSWERS_AT_ONCE)
        self._create_client = AsyncOpenAI(
            base_url=base_url,
            api_key=api_key,
            max_retries=0,
            timeout=httpx2.Timeout(create_timeout, connect=5.0),
            http_client=DefaultAsyncHttpxClient(
                limits=httpx2.Limits(max_connections=None, max_keepalive_connections=0)
            ),
        )
        self._lookup_client = AsyncOpenAI(
            base_url=base_url,
            api_key=api_key,
            max_retries=0,
            timeout=httpx2.Timeout(lookup_timeout, connect=5.0),
            http_client=DefaultAioHttpClient(limits=httpx2.Limits(max_connections=100)),
        )
        self.live = Live(self._lookup_client)
        self.storage = Storage(
            self._create_client,
            self._lookup_client,
            upload_timeout=create_timeout * 4,
            lookup_timeout=lookup_timeout,
        )

    async def create(self, body: Mapping[str, Any]) -> ProviderResponse:
        """POST /responses. Raises NotStarted, OutcomeUnknown, Refused or AccountProblem.

        With ``stream`` the answer is what the first event tells of the response, and the stream is
        left: with ``background`` the response goes on, and `live` can follow it.
        """
        try:
            async with asyncio.timeout(self._create_timeout):
                if body.get("stream"):
                    return _looked_at_again(await self._create_streamed(body))
                raw = await self._create_client.responses.with_raw_response.create(**body)
                return _looked_at_again(_read(raw.http_response))
        except (OpenAIError, httpx2.HTTPError, TimeoutError, payloads.Unreadable) as error:
            raise errors.from_create(error) from error

    async def _create_streamed(self, body: Mapping[str, Any]) -> ProviderResponse:
        streamed = self._create_client.responses.with_streaming_response
        async with streamed.create(**body) as raw:
            request_id = raw.headers.get("x-request-id", "")
            if "event-stream" not in raw.headers.get("content-type", ""):
                return payloads.read(await raw.read(), request_id=request_id)
            async for line in raw.iter_lines():
                if line.startswith("data:"):
                    return payloads.read_event(line[5:], request_id=request_id)
        raise payloads.Unreadable("the stream ended before it began")

    async def retrieve(
        self, response_id: str, *, include: Iterable[str] = (), give_up_on_files: bool = False
    ) -> ProviderResponse:
        """GET /responses/{id}. Raises NotFound, Unavailable or AccountProblem.

        An answer that has ended comes with the files that it names in containers: those do not
        last. A file that cannot be fetched for now makes all of it `Unavailable`, unless it is
        `give_up_on_files`: then the answer comes without it, and says so.
        """
        answer = await self._look_up(
            "GET", response_id, f"/responses/{_checked(response_id)}", {"include": list(include)}
        )
        if answer.state is State.LIVE:
            return answer
        if not downloads.named(answer.data):
            return answer
        async with self._room_for_files():
            files = await downloads.fetch(
                self._lookup_client,
                answer.data,
                limits=self._file_limits,
                gives_up=give_up_on_files,
            )
        return replace(answer, files=files)

    async def cancel(self, response_id: str) -> ProviderResponse:
        """POST /responses/{id}/cancel. Raises CannotCancel, NotFound or Unavailable."""
        answer = await self._look_up(
            "POST", response_id, f"/responses/{_checked(response_id)}/cancel", {}
        )
        return _looked_at_again(answer)

    @asynccontextmanager
    async def _room_for_files(self) -> AsyncIterator[None]:
        """Files are held in memory until they are written down: those of a few answers at once."""
        try:
            async with asyncio.timeout(WAIT_FOR_ROOM):
                await self._fetching.acquire()
        except TimeoutError as error:
            raise errors.Unavailable("busy", "Files of other answers are being fetched.") from error
        try:
            yield
        finally:
            self._fetching.release()

    async def close(self) -> None:
        await self.live.close_all()
        await self._create_client.close()
        await self._lookup_client.close()

    async def _look_up(
        self, method: str, response_id: str, path: str, params: Mapping[str, Any]
    ) -> ProviderResponse:
        client = self._lookup_client
        try:
            async with asyncio.timeout(self._lookup_timeout):
                if method == "GET":
                    raw = await client.get(
                        path, cast_to=httpx2.Response, options={"params": dict(params)}
                    )
                else:
                    raw = await client.post(path, cast_to=httpx2.Response)
            answer = _read(raw)
            if answer.id != response_id:
                raise payloads.Unreadable(f"it is about {answer.id}")
            return answer
        # What is not HTTP at all comes through as aiohttp's own error.
        except (
            OpenAIError,
            httpx2.HTTPError,
            aiohttp.ClientError,
            TimeoutError,
            payloads.Unreadable,
        ) as error:
            raise errors.from_lookup(error, canceling=method == "POST") from error


def _read(raw: httpx2.Response) -> ProviderResponse:
    return payloads.read(raw.content, request_id=raw.headers.get("x-request-id", ""))


def _looked_at_again(answer: ProviderResponse) -> ProviderResponse:
    """An answer that is not a lookup's counts as still live where it names files: the lookup that
    follows brings them."""
    ended = answer.state is not State.LIVE
    return replace(answer, state=State.LIVE) if ended and downloads.named(answer.data) else answer


def _checked(response_id: str) -> str:
    """The id, which becomes part of a path."""
    if not is_response_id(response_id):
        raise errors.NotFound("not_found", "That is not the id of a response.")
    return response_id
