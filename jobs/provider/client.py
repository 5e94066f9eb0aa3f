"""The calls: create, retrieve, cancel. Each answers with a response or raises a `ProviderError`."""

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any

import aiohttp
import httpx2
from openai import AsyncOpenAI, DefaultAioHttpClient, DefaultAsyncHttpxClient, OpenAIError

from jobs.provider import errors, payloads
from jobs.provider.payloads import ProviderResponse, is_response_id


class Provider:
    """One provider account, for one event loop.

    No call is retried by the SDK. Creates go out on a connection of their own: on a kept one, a
    server that hangs up just then cannot be told from one that started the work. Lookups share
    kept connections on aiohttp, and build no models: a poll mostly reads "still running".
    """

    def __init__(
        self, *, base_url: str, api_key: str, create_timeout: float, lookup_timeout: float
    ) -> None:
        # The clients' own time-outs are per read: an answer that drips would never end.
        self._create_timeout = create_timeout
        self._lookup_timeout = lookup_timeout
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

    async def create(self, body: Mapping[str, Any]) -> ProviderResponse:
        """POST /responses. Raises NotStarted, OutcomeUnknown, Refused or AccountProblem."""
        try:
            async with asyncio.timeout(self._create_timeout):
                raw = await self._create_client.responses.with_raw_response.create(**body)
                return _read(raw.http_response)
        except (OpenAIError, httpx2.HTTPError, TimeoutError, payloads.Unreadable) as error:
            raise errors.from_create(error) from error

    async def retrieve(self, response_id: str, *, include: Iterable[str] = ()) -> ProviderResponse:
        """GET /responses/{id}. Raises NotFound or Unavailable."""
        return await self._look_up(
            "GET", response_id, f"/responses/{_checked(response_id)}", {"include": list(include)}
        )

    async def cancel(self, response_id: str) -> ProviderResponse:
        """POST /responses/{id}/cancel. Raises CannotCancel, NotFound or Unavailable."""
        return await self._look_up(
            "POST", response_id, f"/responses/{_checked(response_id)}/cancel", {}
        )

    async def close(self) -> None:
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


def _checked(response_id: str) -> str:
    """The id, which becomes part of a path."""
    if not is_response_id(response_id):
        raise errors.NotFound("not_found", "That is not the id of a response.")
    return response_id
