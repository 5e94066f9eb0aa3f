"""Files that were uploaded: kept in memory, and in the state folder when there is one."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .documents import Document, Unreadable, read_document
from .errors import ApiError
from .kept import Drawer

Piece = tuple[
    tuple[str, ...], frozenset[str]
]  # sentences that a search finds together; their words

PURPOSES = ("assistants", "batch", "fine-tune", "vision", "user_data", "evals")
CLOSED = ("assistants", "user_data")  # purposes whose files cannot be downloaded again
LARGEST_FILE = 64 * 1024 * 1024  # bytes; the API takes 512 MB
BATCH_FILES_LAST = 30 * 24 * 3600  # seconds


@dataclass(slots=True)
class File:
    """Moments are seconds since the epoch. ``media_type`` is the one that the upload named, or ""."""

    id: str
    filename: str
    purpose: str
    media_type: str
    created_at: float
    expires_at: int | None
    data: bytes = b""
    reading: Document | Unreadable | None = field(default=None, compare=False, repr=False)
    pieces: list[Piece] | None = field(default=None, compare=False, repr=False)

    def gone(self, now: float) -> bool:
        return self.expires_at is not None and now >= self.expires_at

    def document(self) -> Document:
        """Its text; slow the first time for a long PDF. Raises Unreadable when it has none."""
        if self.reading is None:
            try:
                self.reading = read_document(self.filename, self.media_type, self.data)
            except Unreadable as error:
                self.reading = error
        if isinstance(self.reading, Unreadable):
            raise Unreadable(str(self.reading))
        return self.reading

    def readable(self) -> Document | None:
        """Its text, or None when it has none."""
        try:
            return self.document()
        except Unreadable:
            return None

    def body(self) -> dict[str, Any]:
        return {
            "object": "file",
            "id": self.id,
            "purpose": self.purpose,
            "filename": self.filename,
            "bytes": len(self.data),
            "created_at": int(self.created_at),
            "expires_at": self.expires_at,
            "status": "processed",
            "status_details": None,
        }

    def to_json(self) -> dict[str, Any]:
        """All but the bytes."""
        names = ("id", "filename", "purpose", "media_type", "created_at", "expires_at")
        return {name: getattr(self, name) for name in names}


def no_such_file(file_id: str) -> ApiError:
    return ApiError(f"No such File object: {file_id}", status=404, param="id")


class Files:
    """The files of one sandbox, oldest first."""

    def __init__(self, state: Path | None = None) -> None:
        self.files: dict[str, File] = {}
        self.drawer = Drawer(state, "files")

    def open(self, now: float) -> None:
        """Read what was kept from the last time; forget what has expired since."""
        for made in sorted(self.drawer, key=lambda made: made["created_at"]):
            file = File(**made)
            try:
                file.data = self.drawer.read_bytes(file.id)
            except FileNotFoundError:
                continue
            self.files[file.id] = file
        self.sweep(now)

    def __iter__(self) -> Iterator[File]:
        return iter(list(self.files.values()))

    def add(
        self,
        data: bytes,
        *,
        filename: str,
        purpose: str,
        media_type: str,
        seconds: int | None,
        now: float,
    ) -> File:
        """A new file, which expires ``seconds`` from now, or never."""
        self.sweep(now)
        if seconds is None and purpose == "batch":
            seconds = BATCH_FILES_LAST
        file = File(
            id=f"file-{secrets.token_hex(12)}",
            filename=filename,
            purpose=purpose,
            media_type=media_type,
            created_at=now,
            expires_at=None if seconds is None else int(now) + seconds,
            data=data,
        )
        self.drawer.write_bytes(file.id, data)
        self.drawer.write(file.id, file.to_json())
        self.files[file.id] = file
        return file

    def find(self, file_id: Any, now: float) -> File | None:
        """A file that exists at a moment."""
        file = self.files.get(file_id) if isinstance(file_id, str) else None
        return None if file is None or file.gone(now) else file

    def get(self, file_id: str, now: float) -> File:
        """Raises ApiError (404) for what is unknown, deleted or expired."""
        file = self.find(file_id, now)
        if file is None:
            raise no_such_file(file_id)
        return file

    def for_input(self, file_id: Any, *, param: str, now: float) -> File:
        """The file that an input names. Raises ApiError (400) when there is none."""
        file = self.find(file_id, now)
        if file is None:
            raise ApiError(
                f"The requested file '{file_id}' was not found.",
                param=param,
                code="file_not_found",
            )
        return file

    def delete(self, file: File) -> None:
        self.files.pop(file.id, None)
        self.drawer.remove(file.id)

    def sweep(self, now: float) -> None:
        for file in self:
            if file.gone(now):
                self.delete(file)

    def clear(self) -> None:
        self.files.clear()
        self.drawer.clear()
