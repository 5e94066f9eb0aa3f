"""Files in a request, read as text: plain text, Markdown, CSV, HTML and PDF."""

from __future__ import annotations

import base64
import binascii
import io
import re
from collections import Counter
from dataclasses import dataclass
from html.parser import HTMLParser
from urllib.parse import unquote_to_bytes

from .errors import ApiError

READABLE = "Text, Markdown, CSV, HTML and PDF can be read."


@dataclass(frozen=True, slots=True)
class Document:
    """A named text. Pages of a PDF are divided by a form feed."""

    name: str
    text: str

    @property
    def is_table(self) -> bool:
        return self.name.lower().endswith((".csv", ".tsv"))


class Unreadable(Exception):
    """The bytes arrived, but hold no text that can be read. The message names the file."""


def decode_file_data(file_data: str, *, param: str) -> tuple[str, bytes]:
    """``(media type or "", bytes)`` of a data URL or of bare base64.

    Raises ApiError (400) when it is neither.
    """
    media_type, payload = "", file_data
    if file_data.startswith("data:"):
        head, comma, payload = file_data[5:].partition(",")
        if not comma:
            raise _bad_data(param)
        media_type, *flags = (part.strip().lower() for part in head.split(";"))
        if "base64" not in flags:
            return media_type, unquote_to_bytes(payload)
    try:
        return media_type, base64.b64decode(re.sub(r"\s+", "", payload), validate=True)
    except (binascii.Error, ValueError):
        raise _bad_data(param) from None


def _bad_data(param: str) -> ApiError:
    return ApiError(
        "Invalid file data: expected base64, bare or as a data URL "
        "('data:<media type>;base64,<data>').",
        param=param,
        code="invalid_value",
    )


def read_document(name: str, media_type: str, data: bytes) -> Document:
    """The text of a file. Raises Unreadable when there is none to be had."""
    suffix = name.rsplit(".", 1)[-1].lower() if "." in name else ""
    if data.startswith(b"%PDF") or suffix == "pdf" or media_type == "application/pdf":
        text = _pdf_text(name, data)
    else:
        text = _decode(name, data)
        if suffix in {"html", "htm", "xhtml"} or media_type == "text/html":
            text = _html_text(text)
    if not text.strip():
        raise Unreadable(f"The file '{name}' has no text in it.")
    return Document(name, text.replace("\r\n", "\n").replace("\r", "\n"))


def _decode(name: str, data: bytes) -> str:
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        encodings = ["utf-16"]
    elif b"\x00" in data or data.startswith(b"PK\x03\x04"):
        raise Unreadable(f"The file '{name}' is not text. {READABLE}")
    else:
        encodings = ["utf-8-sig", "cp1252"]
    for encoding in encodings:
        try:
            return data.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise Unreadable(f"The file '{name}' is not text in an encoding that is known. {READABLE}")


def _pdf_text(name: str, data: bytes) -> str:
    from pypdf import PdfReader
    from pypdf.errors import PyPdfError

    try:
        reader = PdfReader(io.BytesIO(data))
        if reader.is_encrypted and not reader.decrypt(""):
            raise Unreadable(f"The file '{name}' is locked with a password.")
        pages = [page.extract_text() for page in reader.pages]
    except Unreadable:
        raise
    except (PyPdfError, ValueError, KeyError, TypeError, AttributeError, RecursionError, OSError):
        raise Unreadable(f"The file '{name}' could not be read as a PDF.") from None
    except NotImplementedError:
        raise Unreadable(f"The file '{name}' is a PDF of a kind that cannot be read.") from None
    return "\f".join(_without_running_lines(pages))


def _without_running_lines(pages: list[str]) -> list[str]:
    """Pages without the headers and footers that most of them share at their edges."""
    split = [page.splitlines() for page in pages]
    edges = Counter(line.strip() for lines in split for line in {*lines[:1], *lines[-1:]})
    running = {line for line, count in edges.items() if count > 2 and count * 2 > len(pages)}
    for lines in split:
        while lines and (lines[0].strip() in running or lines[0].strip().isdigit()):
            del lines[0]
        while lines and (lines[-1].strip() in running or lines[-1].strip().isdigit()):
            del lines[-1]
    return ["\n".join(lines) for lines in split]


class _TextOnly(HTMLParser):
    BLOCKS = frozenset(
        """address article aside blockquote body dd div dl dt figcaption footer form h1 h2 h3 h4 h5
        h6 header hr li main nav ol p pre section table td th tr ul""".split()  # noqa: SIM905
    )
    SILENT = frozenset({"script", "style", "template", "title", "noscript"})

    def __init__(self) -> None:
        super().__init__()
        self.parts: list[str] = []
        self.silent = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in self.SILENT:
            self.silent += 1
        elif tag == "br":
            self.parts.append("\n")
        elif tag in self.BLOCKS:
            self.parts.append("\n\n")

    def handle_endtag(self, tag: str) -> None:
        if tag in self.SILENT:
            self.silent = max(0, self.silent - 1)
        elif tag in self.BLOCKS:
            self.parts.append("\n\n")

    def handle_data(self, data: str) -> None:
        if not self.silent:
            self.parts.append(re.sub(r"\s+", " ", data))


def _html_text(markup: str) -> str:
    parser = _TextOnly()
    parser.feed(markup)
    parser.close()
    lines = (line.strip() for line in "".join(parser.parts).splitlines())
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()
