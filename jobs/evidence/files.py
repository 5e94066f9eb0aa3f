"""Files that come with an answer: inside it, or named by it and fetched."""

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

BYTES = "application/octet-stream"
_MAGIC = {
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"GIF87a": "image/gif",
    b"GIF89a": "image/gif",
    b"%PDF-": "application/pdf",
}
#: Types that are believed by the name of a file; pictures are believed by their content alone.
_SUFFIXES = {
    ".csv": "text/csv",
    ".json": "application/json",
    ".md": "text/markdown",
    ".txt": "text/plain",
}
_DATA_URL = re.compile(r"data:([\w./+-]*)(?:;[\w=.-]+)*;base64,", re.ASCII)


@dataclass(frozen=True)
class InlineFile:
    """A file of the answer. `container_id` and `file_id` say where it was fetched from."""

    name: str
    content_type: str
    content: bytes
    turn: int = 1
    container_id: str = ""
    file_id: str = ""

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()


@dataclass(frozen=True)
class FetchedFile:
    """A file that an answer named and that was, or was not, fetched. `problem` says why it was
    not; `content` is then None."""

    container_id: str
    file_id: str
    name: str
    content: bytes | None
    problem: str = ""
    turn: int = 1

    def as_file(self) -> InlineFile | None:
        if self.content is None:
            return None
        kind = content_type(self.name, self.content)
        return InlineFile(
            self._named_as(kind)[-255:],
            kind,
            self.content,
            self.turn,
            self.container_id,
            self.file_id,
        )

    def _named_as(self, kind: str) -> str:
        if self.name or not kind.startswith("image/"):
            return self.name or self.file_id
        return f"{self.file_id}.{kind.partition('/')[2]}"


def content_type(name: str, content: bytes) -> str:
    """What a file is, by how it begins; a text by its name as well."""
    if content.startswith(b"RIFF") and content[8:12] == b"WEBP":
        return "image/webp"
    for magic, kind in _MAGIC.items():
        if content.startswith(magic):
            return kind
    return _SUFFIXES.get(PurePosixPath(name).suffix.casefold(), BYTES)


def image(encoded: Any, number: int, *, turn: int = 1) -> InlineFile | None:
    """The picture in base64, bare or as a data URL; None where there is none."""
    if not isinstance(encoded, str):
        return None
    if found := _DATA_URL.match(encoded):
        encoded = encoded[found.end() :]
    try:
        content = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        return None
    if not content:
        return None
    kind = content_type("", content)
    suffix = kind.partition("/")[2] if kind.startswith("image/") else "bin"
    return InlineFile(f"image-{number}.{suffix}", kind, content, turn)
