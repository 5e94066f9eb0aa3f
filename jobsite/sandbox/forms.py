"""Forms with a file in them (multipart/form-data), read as browsers and the SDK write them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from aiohttp import web

from .errors import ApiError
from .files import LARGEST_FILE

OVERHEAD = 100_000  # bytes of a form besides its file
_BOUNDARY = re.compile(r'boundary=(?:"([^"]{1,200})"|([^\s";,]{1,200}))', re.IGNORECASE)
_PARAMETER = re.compile(r'([\w*]+)="((?:\\.|[^"\\])*)"')
_ESCAPED = {"%22": '"', "%0D": "\r", "%0A": "\n"}


@dataclass(slots=True)
class Upload:
    """A form as it arrived; ``data`` is None when there was no file in it."""

    data: bytes | None = None
    filename: str = ""
    media_type: str = ""
    fields: dict[str, str] = field(default_factory=dict)


async def read_form(request: web.Request) -> Upload:
    """Raises ApiError: 400 for what is no form, 413 for a file that is too large."""
    boundary = _BOUNDARY.search(request.headers.get("content-type", ""))
    if request.content_type != "multipart/form-data" or boundary is None:
        raise ApiError("The body must be a form (multipart/form-data).")
    raw = bytearray()
    async for chunk in request.content.iter_any():
        raw += chunk
        if len(raw) > LARGEST_FILE + OVERHEAD:
            raise _too_large()
    upload = Upload()
    for head, data in _parts(bytes(raw), (boundary[1] or boundary[2]).encode()):
        headers = _headers(head)
        named = dict(_PARAMETER.findall(headers.get("content-disposition", "")))
        name = _plain(named.get("name", ""))
        if name != "file":
            upload.fields[name] = data.decode(errors="replace")
            continue
        if len(data) > LARGEST_FILE:
            raise _too_large()
        upload.data, upload.filename = data, _plain(named.get("filename", ""))
        upload.media_type = headers.get("content-type", "").partition(";")[0].strip().lower()
    return upload


def _too_large() -> ApiError:
    return ApiError(
        f"The file is larger than the {LARGEST_FILE} bytes that are allowed.",
        status=413,
        param="file",
    )


def _parts(raw: bytes, boundary: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The head and the data of each part. Raises ApiError (400) for a form that is cut off."""
    pieces = (b"\r\n" + raw).split(b"\r\n--" + boundary)
    for piece in pieces[1:]:
        if piece.startswith(b"--"):
            return
        head, divided, data = piece.partition(b"\r\n\r\n")
        if not divided or not head.startswith(b"\r\n"):
            break
        yield head, data
    raise ApiError("The form could not be read.")


def _headers(head: bytes) -> dict[str, str]:
    lines = head.decode(errors="replace").split("\r\n")
    split = (line.partition(":") for line in lines if line)
    return {name.strip().lower(): value.strip() for name, _, value in split}


def _plain(value: str) -> str:
    """A name without the escapes that stand for quotes, backslashes and line ends."""
    value = re.sub(r"\\(.)", r"\1", value)
    return re.sub("%22|%0D|%0A", lambda found: _ESCAPED[found.group()], value)
