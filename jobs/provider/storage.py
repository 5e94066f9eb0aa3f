"""Files and vector stores at the provider: put there, found again, deleted.

Every upload and every store carries a mark of its own, so that one whose answer was lost is found
by listing what is there instead of being sent twice: a file the number of seconds after which it
expires, a store an entry of its metadata.
"""

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import aiohttp
import httpx2
from openai import AsyncOpenAI, OpenAIError

from jobs.provider import errors
from jobs.provider.payloads import Unreadable, is_response_id

#: Pages of a hundred that are looked through for a lost upload, newest first.
MOST_PAGES = 20
#: Files of a store that are counted.
MOST_FILES = 1_000_000
#: Between the provider's clock and ours.
CLOCKS_DIFFER = timedelta(minutes=5)
_BROKEN = (OpenAIError, httpx2.HTTPError, aiohttp.ClientError, TimeoutError, Unreadable)


@dataclass(frozen=True)
class StoreStatus:
    """How far a vector store is: numbers of files."""

    id: str
    total: int
    indexed: int
    failed: int

    @property
    def is_done(self) -> bool:
        return self.indexed + self.failed >= self.total


class Storage:
    """Calls are not retried here. Uploads take `upload_timeout` seconds at most, others
    `lookup_timeout`."""

    def __init__(
        self,
        creates: AsyncOpenAI,
        lookups: AsyncOpenAI,
        *,
        upload_timeout: float,
        lookup_timeout: float,
    ) -> None:
        self._creates = creates
        self._lookups = lookups
        self._upload_timeout = upload_timeout
        self._lookup_timeout = lookup_timeout

    async def upload(
        self, *, name: str, content: bytes, content_type: str, purpose: Any, seconds: int
    ) -> str:
        """POST /files: the file's id. Raises as `Provider.create` does."""
        try:
            async with asyncio.timeout(self._upload_timeout):
                raw = await self._creates.files.with_raw_response.create(
                    file=(name, content, content_type),
                    purpose=purpose,
                    expires_after={"anchor": "created_at", "seconds": seconds},
                    timeout=httpx2.Timeout(self._upload_timeout, connect=5.0),
                )
            return _id(_object(raw.http_response))
        except _BROKEN as error:
            raise errors.from_create(error) from error

    async def find_file(
        self, *, name: str, size: int, purpose: str, seconds: int, since: datetime
    ) -> str | None:
        """The id of the file that an upload at `since` left behind, or None. Raises Unavailable."""
        earliest = (since - CLOCKS_DIFFER).timestamp()
        async for file in self._newest_first("/files", {"purpose": purpose}):
            created = file.get("created_at")
            if not isinstance(created, int | float) or created < earliest:
                return None
            mark = (file.get("filename"), file.get("bytes"), file.get("expires_at"))
            if mark == (name, size, created + seconds):
                return _id(file)
        return None

    async def delete_file(self, file_id: str) -> None:
        """DELETE /files/{id}. Raises NotFound or Unavailable."""
        await self._look_up("DELETE", f"/files/{_checked(file_id)}")

    async def create_store(
        self, *, name: str, file_ids: Sequence[str], mark: str, days: int
    ) -> StoreStatus:
        """POST /vector_stores with all its files. Raises as `Provider.create` does."""
        try:
            async with asyncio.timeout(self._lookup_timeout):
                raw = await self._creates.vector_stores.with_raw_response.create(
                    name=name,
                    file_ids=list(file_ids),
                    metadata={"jobsite": mark},
                    expires_after={"anchor": "last_active_at", "days": days},
                )
            return _status(_object(raw.http_response), least=len(file_ids))
        except _BROKEN as error:
            raise errors.from_create(error) from error

    async def find_store(self, *, mark: str, files: int, since: datetime) -> StoreStatus | None:
        """The store that a create at `since` left behind, or None. Raises Unavailable."""
        earliest = (since - CLOCKS_DIFFER).timestamp()
        async for store in self._newest_first("/vector_stores", {}):
            created = store.get("created_at")
            if not isinstance(created, int | float) or created < earliest:
                return None
            metadata = store.get("metadata")
            if isinstance(metadata, dict) and metadata.get("jobsite") == mark:
                return _status(store, least=files)
        return None

    async def store_status(self, store_id: str, *, files: int) -> StoreStatus:
        """GET /vector_stores/{id}. Raises NotFound or Unavailable."""
        found = await self._look_up("GET", f"/vector_stores/{_checked(store_id)}")
        try:
            return _status(found, least=files)
        except Unreadable as error:
            raise errors.from_lookup(error, canceling=False) from error

    async def delete_store(self, store_id: str) -> None:
        """DELETE /vector_stores/{id}. Raises NotFound or Unavailable."""
        await self._look_up("DELETE", f"/vector_stores/{_checked(store_id)}")

    async def _newest_first(self, path: str, params: Mapping[str, str]) -> Any:
        after: dict[str, str] = {}
        for _page in range(MOST_PAGES):
            query = {"limit": "100", "order": "desc", **params, **after}
            found = await self._look_up("GET", path, query)
            rows = found.get("data")
            rows = [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
            for row in rows:
                yield row
            if not rows or not found.get("has_more"):
                return
            after = {"after": str(rows[-1].get("id", ""))}

    async def _look_up(
        self, method: str, path: str, params: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        client = self._lookups
        try:
            async with asyncio.timeout(self._lookup_timeout):
                if method == "GET":
                    raw = await client.get(
                        path, cast_to=httpx2.Response, options={"params": dict(params or {})}
                    )
                else:
                    raw = await client.delete(path, cast_to=httpx2.Response)
            return _object(raw)
        except _BROKEN as error:
            raise errors.from_lookup(error, canceling=False) from error


def _object(raw: Any) -> dict[str, Any]:
    try:
        data = json.loads(raw.content)
    except (ValueError, RecursionError) as error:
        raise Unreadable(f"not JSON: {error}") from None
    if not isinstance(data, dict):
        raise Unreadable("not an object")
    return data


def _id(data: Mapping[str, Any]) -> str:
    if not is_response_id(data.get("id")):
        raise Unreadable("it names no id")
    return str(data["id"])


def _status(data: Mapping[str, Any], *, least: int) -> StoreStatus:
    """A store is done when it says so of every file: counts lag behind a create."""
    counts = data.get("file_counts")
    counts = counts if isinstance(counts, dict) else {}

    def number(name: str) -> int:
        value = counts.get(name)
        return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0

    failed = number("failed") + number("cancelled")
    total = min(max(number("total"), least), MOST_FILES)
    return StoreStatus(_id(data), total, min(number("completed"), total), min(failed, total))


def _checked(id: str) -> str:
    """The id, which becomes part of a path."""
    if not is_response_id(id):
        raise errors.NotFound("not_found", "That is no id.")
    return id
