"""Containers of the code interpreter, and the files that were made in them."""

from __future__ import annotations

import base64
import binascii
import contextlib
import re
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .errors import ApiError
from .kept import Drawer

IDLE = 20 * 60.0  # seconds after the last use; then a container and all that is in it are gone
SAFE = re.compile(r"[A-Za-z0-9_-]{1,100}")
PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNk+A8AAQUBAScY42YAAAAASUVORK5CYII="
)


@dataclass(frozen=True, slots=True)
class Made:
    """A file that a response makes when it ends; with ``expires_in``, gone that soon after, in seconds."""

    container_id: str
    file_id: str
    filename: str
    data: bytes
    expires_in: float | None = None


@dataclass(slots=True)
class ContainerFile:
    id: str
    path: str
    source: str
    created_at: float
    data: bytes = b""

    def body(self, container_id: str) -> dict[str, Any]:
        return {
            "id": self.id,
            "object": "container.file",
            "created_at": int(self.created_at),
            "bytes": len(self.data),
            "container_id": container_id,
            "path": self.path,
            "source": self.source,
        }


@dataclass(slots=True)
class Container:
    """``ends_at`` is set when it is to be gone at a moment, whatever its use."""

    id: str
    name: str
    created_at: float
    last_active_at: float
    idle: float = IDLE
    ends_at: float | None = None
    memory_limit: str = "1g"
    files: dict[str, ContainerFile] = field(default_factory=dict)

    def there(self, now: float) -> bool:
        if self.ends_at is not None and now >= self.ends_at:
            return False
        return self.created_at <= now < self.last_active_at + self.idle

    def body(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "object": "container",
            "created_at": int(self.created_at),
            "status": "running",
            "expires_after": {"anchor": "last_active_at", "minutes": max(1, round(self.idle / 60))},
            "last_active_at": int(self.last_active_at),
            "memory_limit": self.memory_limit,
            "name": self.name,
        }


def no_such_container(container_id: str) -> ApiError:
    return ApiError(f"Container with id '{container_id}' not found.", status=404)


def no_such_file(container_id: str, file_id: str) -> ApiError:
    return ApiError(f"File {file_id} not found on container {container_id}.", status=404)


class Containers:
    """The containers of one sandbox, oldest first."""

    def __init__(self, state: Path | None = None) -> None:
        self.containers: dict[str, Container] = {}
        self.drawer = Drawer(state, "containers")
        self.bytes = Drawer(state, "container_files")

    def open(self) -> None:
        for made in sorted(self.drawer, key=lambda made: made["created_at"]):
            files = [ContainerFile(**file) for file in made.pop("files")]
            container = Container(**made)
            for file in files:
                with contextlib.suppress(FileNotFoundError):
                    file.data = self.bytes.read_bytes(f"{container.id}.{file.id}")
                    container.files[file.id] = file
            self.containers[container.id] = container

    def __iter__(self) -> Iterator[Container]:
        return iter(list(self.containers.values()))

    def keep(self, container: Container) -> None:
        slots = ("id", "name", "created_at", "last_active_at", "idle", "ends_at", "memory_limit")
        made = {name: getattr(container, name) for name in slots}
        names = ("id", "path", "source", "created_at")
        files = [{name: getattr(file, name) for name in names} for file in container.files.values()]
        self.drawer.write(container.id, {**made, "files": files})

    def create(self, *, name: str, idle: float, memory_limit: str, now: float) -> Container:
        made = Container(
            id=new_container_id(),
            name=name,
            created_at=now,
            last_active_at=now,
            idle=idle,
            memory_limit=memory_limit,
        )
        self.containers[made.id] = made
        self.keep(made)
        return made

    def take(self, made: list[Made], *, at: float) -> None:
        """Put what a response made into its containers, which are there from ``at``."""
        for one in made:
            container = self.containers.get(one.container_id)
            if container is None:
                container = Container(one.container_id, "auto", created_at=at, last_active_at=at)
                self.containers[container.id] = container
            container.last_active_at = max(container.last_active_at, at)
            if one.expires_in is not None:
                container.ends_at = min(container.ends_at or at + 1e9, at + one.expires_in)
            file = ContainerFile(
                one.file_id, f"/mnt/data/{one.filename}", "assistant", at, one.data
            )
            container.files[file.id] = file
            self.bytes.write_bytes(f"{container.id}.{file.id}", file.data)
            self.keep(container)

    def get(self, container_id: str, now: float) -> Container:
        """A container, in use from now. Raises ApiError (404): unknown, deleted, expired."""
        container = self.containers.get(container_id)
        if container is None or not container.there(now):
            raise no_such_container(container_id)
        container.last_active_at = now
        self.keep(container)
        return container

    def file(self, container_id: str, file_id: str, now: float) -> ContainerFile:
        """Raises ApiError (404)."""
        file = self.get(container_id, now).files.get(file_id)
        if file is None or file.created_at > now:
            raise no_such_file(container_id, file_id)
        return file

    def delete(self, container: Container) -> None:
        for file_id in list(container.files):
            self.delete_file(container, file_id)
        self.containers.pop(container.id, None)
        self.drawer.remove(container.id)

    def delete_file(self, container: Container, file_id: str) -> None:
        del container.files[file_id]
        self.keep(container)
        self.bytes.remove(f"{container.id}.{file_id}")

    def clear(self) -> None:
        self.containers.clear()
        self.drawer.clear()
        self.bytes.clear()


def new_container_id() -> str:
    return f"cntr_{secrets.token_hex(20)}"


def new_file_id() -> str:
    return f"cfile_{secrets.token_hex(16)}"


def sound_files(value: Any) -> bool:
    """Whether the ``files`` of a scripted life can be made."""
    if not isinstance(value, list):
        return False
    for one in value:
        if not isinstance(one, dict) or not _names(one):
            return False
        if not one.keys() <= {*_NAMED, "text", "base64", "expires_in"}:
            return False
        late = one.get("expires_in")
        if not isinstance(late, int | float | None) or isinstance(late, bool):
            return False
        if not isinstance(one.get("text", ""), str) or not isinstance(one.get("base64", ""), str):
            return False
        try:
            base64.b64decode(one.get("base64", ""), validate=True)
        except (binascii.Error, ValueError):
            return False
    return True


_NAMED = ("container_id", "file_id", "filename")


def _names(one: dict[str, Any]) -> bool:
    ids = [one.get("container_id"), one.get("file_id")]
    return isinstance(one.get("filename"), str) and all(
        isinstance(id, str) and SAFE.fullmatch(id) for id in ids
    )


def scripted(life: dict[str, Any]) -> list[Made]:
    """The files that a scripted life makes: those it lists, and those its output cites."""
    made = {}
    for one in _cited(life.get("output")):
        made[one["container_id"], one["file_id"]] = Made(
            one["container_id"], one["file_id"], one["filename"], _sample(one["filename"])
        )
    for one in life.get("files") or []:
        data = base64.b64decode(one.get("base64", "")) or one.get("text", "").encode(
            errors="replace"
        )
        container_id, file_id, filename = (one[name] for name in _NAMED)
        late = one.get("expires_in")
        made[container_id, file_id] = Made(container_id, file_id, filename, data, late)
    return list(made.values())


def _cited(output: Any) -> Iterator[dict[str, Any]]:
    """The sound container file citations anywhere in scripted items, which may have any shape."""
    stack = [output]
    while stack:
        node = stack.pop()
        if isinstance(node, list):
            stack += node
        elif isinstance(node, dict):
            if node.get("type") == "container_file_citation" and _names(node):
                yield node
            stack += node.values()


def _sample(filename: str) -> bytes:
    if filename.lower().endswith(".png"):
        return PIXEL
    if filename.lower().endswith(".csv"):
        return b"name,count\nsandbox,1\n"
    return f"{filename}: made by the sandbox.\n".encode(errors="replace")
