"""Documents as they come in: checked by what they are, and read as text."""

import hashlib
import io
import logging
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

import filetype
from django.conf import settings

from jobs.text import clean

logger = logging.getLogger(__name__)

PDF = "application/pdf"
#: Pictures that models read.
IMAGES = frozenset({"image/png", "image/jpeg", "image/webp", "image/gif"})
_TEXT_TYPES = {
    ".md": "text/markdown",
    ".markdown": "text/markdown",
    ".csv": "text/csv",
    ".html": "text/html",
    ".htm": "text/html",
    ".json": "application/json",
    ".xml": "text/xml",
}
#: Formats that are text themselves, and of no use read as such.
_MARKUP = {"application/rtf", "application/postscript"}
_BYTE_ORDER_MARKS = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16", b"\xef\xbb\xbf": "utf-8-sig"}


#: Seconds that reading the PDFs of one job may take together. A few kilobytes can describe more pages
#: than anybody reads.
PDF_SECONDS = 60.0


class Unusable(ValueError):
    """The file cannot be taken, in a sentence for the person who sent it."""


@dataclass(frozen=True)
class Upload:
    """A file that came in: its name as given, and its content. `library_id` is the document of the
    library that it was taken from."""

    name: str
    content: bytes
    library_id: int | None = None


@dataclass(frozen=True)
class ReadDocument:
    """A file that may be taken. `text` is "" where none could be read."""

    name: str
    content: bytes
    content_type: str
    text: str
    library_id: int | None = None

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()


def read_documents(uploads: list[Upload]) -> list[ReadDocument]:
    """All of them, under names that differ. Raises `Unusable` at the first that cannot be taken."""
    documents: list[ReadDocument] = []
    names: set[str] = set()
    until = time.monotonic() + PDF_SECONDS
    for upload in uploads:
        document = _read(upload, _free_name(upload.name, names), until)
        names.add(document.name.casefold())
        documents.append(document)
    check_total(sum(len(document.content) for document in documents))
    return documents


def read_each(uploads: Iterable[Upload]) -> Iterator[tuple[str, ReadDocument | Unusable]]:
    """Each by itself and one at a time: its name, and as it may be taken, or why not. Together they may be as long as those of one
    job; what comes after that is refused."""
    until = time.monotonic() + PDF_SECONDS
    size = 0
    for upload in uploads:
        name = _free_name(upload.name, set())
        try:
            check_total(size + len(upload.content))
            document = _read(upload, name, until)
        except Unusable as error:
            yield name, error
        else:
            size += len(upload.content)
            yield document.name, document


def check_total(size: int) -> None:
    """Whether one job can take files of `size` bytes together. Raises `Unusable`."""
    if size > settings.MAX_DOCUMENTS_BYTES:
        raise Unusable(
            f"The files are {megabytes(size)} together; "
            f"at most {megabytes(settings.MAX_DOCUMENTS_BYTES)} can be taken."
        )


def check(upload: Upload) -> str:
    """The name under which this file may be taken alone. Raises `Unusable`. Quick: a PDF's text is
    not read for it."""
    name = _free_name(upload.name, set())
    _kind(name, upload.content)
    return name


def _read(upload: Upload, name: str, until: float) -> ReadDocument:
    content_type, text = _kind(name, upload.content)
    if text is None:
        text = _pdf_text(name, upload.content, until)
    return ReadDocument(name, upload.content, content_type, clean(text), upload.library_id)


def _kind(name: str, content: bytes) -> tuple[str, str | None]:
    """The content type and the text; None for a PDF, whose text takes long to read."""
    if not content:
        raise Unusable(f"{name} is empty.")
    if len(content) > settings.MAX_DOCUMENT_BYTES:
        raise Unusable(
            f"{name} is {megabytes(len(content))}; "
            f"a file can be {megabytes(settings.MAX_DOCUMENT_BYTES)} at most."
        )
    kind = filetype.guess_mime(content[:8192])
    if kind == PDF:
        return PDF, None
    if kind in IMAGES:
        return kind, ""
    text = _plain_text(content, legacy=kind is None)
    if text is None or kind in _MARKUP:
        raise Unusable(f"{name} is neither text, a PDF nor a picture.")
    if not text.strip():
        raise Unusable(f"{name} holds no text.")
    return _TEXT_TYPES.get(PurePath(name).suffix.lower(), "text/plain"), text


def _plain_text(content: bytes, *, legacy: bool) -> str | None:
    """The text, or None where it is none.

    A few letters are enough to look like a format (BM: an image, MZ: a program), so what looks like
    one may still be UTF-8; only the guess at an older encoding (`legacy`) is not made for it.
    """
    for mark, encoding in _BYTE_ORDER_MARKS.items():
        if content.startswith(mark):
            try:
                return content.decode(encoding)
            except UnicodeDecodeError:
                return None
    if b"\x00" in content:
        return None
    try:
        return content.decode()
    except UnicodeDecodeError:
        if not legacy:
            return None
        # An older Windows text: every byte is a character there, so control bytes give it away.
        text = content.decode("cp1252", errors="replace")
        odd = sum(character < " " and character not in "\t\r\n\f" for character in text)
        return text if odd == 0 else None


def _pdf_text(name: str, content: bytes, until: float) -> str:
    """The text layer, pages parted by form feeds; "" where there is none or it cannot be read, or
    where that goes on after `until` or makes more text than a text file may have."""
    import pypdf  # 0.2 s: not paid by every command

    pages: list[str] = []
    length = 0

    def in_bounds(*operation: Any) -> None:
        if time.monotonic() > until or length > settings.MAX_DOCUMENT_BYTES:
            raise ValueError("there is more in it than can be read at once")

    try:
        for page in pypdf.PdfReader(io.BytesIO(content)).pages:
            pages.append(page.extract_text(visitor_operand_before=in_bounds))
            length += len(pages[-1])
            in_bounds()
        return "\f".join(pages).strip("\f")
    except Exception as error:
        logger.warning("no text could be read in %s: %s", name, error)
        return ""


def _free_name(name: str, taken: set[str]) -> str:
    """The bare file name, without control characters, that no other document of the job has."""
    bare = name.replace("\\", "/").rpartition("/")[2]
    bare = "".join(character for character in clean(bare) if character.isprintable()).strip()
    path = PurePath(bare if bare.strip(".") else "document")
    suffix = path.suffix[:20]
    stem = path.stem[: 240 - len(suffix)]
    free, number = f"{stem}{suffix}", 1
    while free.casefold() in taken:
        number += 1
        free = f"{stem} ({number}){suffix}"
    return free


def megabytes(size: int) -> str:
    return f"{size / 1024 / 1024:.1f} MB"
