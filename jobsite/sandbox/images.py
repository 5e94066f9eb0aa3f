"""Images in a request: of which only the name, the kind and the size can be told without a model."""

from __future__ import annotations

import struct

KINDS = "PNG, JPEG, GIF and WebP"


def describe(name: str, data: bytes) -> str | None:
    """A sentence about an image, from its header; None when it is no image of a known kind."""
    found = size_of(data)
    if found is None:
        return None
    kind, width, height = found
    return f"{name} is a {kind} image of {width} by {height} pixels."


def size_of(data: bytes) -> tuple[str, int, int] | None:
    """``(kind, width, height)``; None for what is not an image, or is cut off in its header."""
    try:
        if data.startswith(b"\x89PNG\r\n\x1a\n") and data[12:16] == b"IHDR":
            return "PNG", *struct.unpack(">II", data[16:24])
        if data[:6] in (b"GIF87a", b"GIF89a"):
            return "GIF", *struct.unpack("<HH", data[6:10])
        if data.startswith(b"\xff\xd8\xff"):
            return _jpeg(data)
        if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
            return _webp(data)
    except struct.error:
        return None
    return None


def _jpeg(data: bytes) -> tuple[str, int, int] | None:
    place = 2
    while place + 4 <= len(data):
        if data[place] != 0xFF:
            return None
        marker = data[place + 1]
        if marker == 0xFF:  # padding before a marker
            place += 1
        elif marker in (0x01, *range(0xD0, 0xD9)):  # markers without a length
            place += 2
        elif 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack(">HH", data[place + 5 : place + 9])
            return "JPEG", width, height
        else:
            [length] = struct.unpack(">H", data[place + 2 : place + 4])
            place += 2 + max(2, length)
    return None


def _webp(data: bytes) -> tuple[str, int, int] | None:
    chunk = data[12:16]
    if chunk == b"VP8X" and len(data) >= 30:
        width = int.from_bytes(data[24:27], "little") + 1
        return "WebP", width, int.from_bytes(data[27:30], "little") + 1
    if chunk == b"VP8L":
        [bits] = struct.unpack("<I", data[21:25])
        return "WebP", (bits & 0x3FFF) + 1, ((bits >> 14) & 0x3FFF) + 1
    if chunk == b"VP8 ":
        width, height = struct.unpack("<HH", data[26:30])
        return "WebP", width & 0x3FFF, height & 0x3FFF
    return None
