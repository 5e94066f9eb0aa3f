"""Files that an answer names in a container, fetched while the container is there.

Only ids are taken from an answer, never addresses: a file is always asked for at the provider.
"""

import asyncio
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp
import httpx2
from openai import APIStatusError, AsyncOpenAI, OpenAIError

from jobs.provider import errors
from jobs.provider.payloads import Fetched

AT_ONCE = 4
MOST_FILES = 50
EXPIRED = "the container has expired."
#: Answers that time does not mend.
_FOR_GOOD = frozenset({400, 404, 405, 406, 410, 413, 415, 422})
#: What an id looks like: it becomes part of a path.
_ID = re.compile(r"[A-Za-z0-9_-]{1,200}")
_ADDRESS = re.compile(r"/containers/([A-Za-z0-9_-]{1,200})/files/([A-Za-z0-9_-]{1,200})(?:[/?]|$)")

#: Container, id and name of a file, each "" where it is missing.
_Named = tuple[str, str, str]


@dataclass(frozen=True)
class Limits:
    """Bytes of one file, and of all files of an answer; seconds for one, and for all."""

    file: int = 50 * 1024 * 1024
    total: int = 100 * 1024 * 1024
    file_seconds: float = 30.0
    seconds: float = 45.0


class _TooBig(Exception):
    """The sentence is the problem."""


@dataclass
class _Room:
    """What is left of the bytes of an answer."""

    left: int

    def take(self, count: int) -> None:
        self.left -= count
        if self.left < 0:
            raise _TooBig("the files of this answer are too big together.")


def named(data: Mapping[str, Any]) -> list[Fetched]:
    """The files that an answer names, each once, in the order in which they are named; without
    their content. More than `MOST_FILES` are not wanted."""
    found: dict[tuple[str, str], Fetched] = {}
    for container_id, file_id, name in _named(data):
        if _ID.fullmatch(container_id) and _ID.fullmatch(file_id):
            known = found.get((container_id, file_id))
            if known is None or not known.name:
                found[container_id, file_id] = Fetched(container_id, file_id, name)
    return list(found.values())[:MOST_FILES]


async def fetch(
    client: AsyncOpenAI, data: Mapping[str, Any], *, limits: Limits, gives_up: bool
) -> tuple[Fetched, ...]:
    """The files that `data` names, with their content or with what is wrong.

    Raises Unavailable or AccountProblem where one could not be fetched this time, unless it
    `gives_up`; what is gone for good, or too big, is never worth another try.
    """
    wanted = named(data)
    if not wanted:
        return ()
    room, gate = _Room(limits.total), asyncio.Semaphore(AT_ONCE)

    async def one(file: Fetched) -> Fetched:
        async with gate:
            return await _one(client, file, limits, room, gives_up=gives_up)

    tasks = [asyncio.create_task(one(file)) for file in wanted]
    try:
        await asyncio.wait(tasks, timeout=limits.seconds, return_when=asyncio.FIRST_EXCEPTION)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    failed = [error for task in tasks if not task.cancelled() and (error := task.exception())]
    if failed:
        raise failed[0]
    if any(task.cancelled() for task in tasks) and not gives_up:
        raise errors.FilesUnavailable("file_timeout", "OpenAI did not send the files in time.")
    return tuple(
        _without(file, "OpenAI did not send it in time.") if task.cancelled() else task.result()
        for file, task in zip(wanted, tasks, strict=True)
    )


async def _one(
    client: AsyncOpenAI, file: Fetched, limits: Limits, room: _Room, *, gives_up: bool
) -> Fetched:
    try:
        async with asyncio.timeout(limits.file_seconds):
            content = await _content(client, file, limits, room)
    except _TooBig as error:
        return _without(file, str(error))
    except (OpenAIError, httpx2.HTTPError, aiohttp.ClientError, TimeoutError) as error:
        if isinstance(error, APIStatusError) and error.status_code in _FOR_GOOD:
            gone = error.status_code == 404
            refused = f"OpenAI refuses it ({error.status_code})."
            return _without(file, EXPIRED if gone else refused)
        meant = errors.from_lookup(error, canceling=False)
        if not gives_up and isinstance(meant, errors.Unavailable):
            raise errors.FilesUnavailable(
                meant.code, meant.text, retry_after=meant.retry_after
            ) from error
        if not gives_up:
            raise meant from error
        return _without(file, meant.text)
    return Fetched(file.container_id, file.file_id, file.name, content)


async def _content(client: AsyncOpenAI, file: Fetched, limits: Limits, room: _Room) -> bytes:
    answering = client.containers.files.content.with_streaming_response.retrieve(
        file.file_id, container_id=file.container_id
    )
    content = bytearray()
    async with answering as answer:
        async for piece in answer.iter_bytes():
            content += piece
            if len(content) > limits.file:
                raise _TooBig(f"it is bigger than {limits.file // 1024 // 1024} MB.")
            room.take(len(piece))
    return bytes(content)


def _without(file: Fetched, problem: str) -> Fetched:
    return Fetched(file.container_id, file.file_id, file.name, None, problem)


def _named(data: Mapping[str, Any]) -> Iterator[_Named]:
    """Each file that is named: by a citation in a message, or as what code has made."""
    for item in _dicts(data.get("output")):
        for part in _dicts(item.get("content")):
            for note in _dicts(part.get("annotations")):
                if note.get("type") == "container_file_citation":
                    yield _ids(item, note, note.get("filename"))
        if item.get("type") == "code_interpreter_call":
            for output in _dicts(item.get("outputs")):
                yield _ids(item, output, output.get("filename"))
                for each in _dicts(output.get("files")):
                    yield _ids(item, each, each.get("filename") or each.get("name"))


def _ids(item: Mapping[str, Any], place: Mapping[str, Any], name: Any) -> _Named:
    address = place.get("url")
    found = _ADDRESS.search(address) if isinstance(address, str) else None
    if found:
        return found[1], found[2], _text(name)
    container_id = _text(place.get("container_id")) or _text(item.get("container_id"))
    return container_id, _text(place.get("file_id")), _text(name)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _dicts(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
