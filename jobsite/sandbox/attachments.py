"""Files and images in the messages of a request: sent with it, or named by the id of an upload."""

from __future__ import annotations

import time
from typing import Any

from .documents import Document, Unreadable, decode_file_data, read_document
from .errors import ApiError
from .files import File, Files
from .images import KINDS, describe
from .listing import wrong_type

Part = dict[str, Any]


def file_part(
    part: Part, where: str, files: Files | None, *, number: int
) -> tuple[Part, Document | Unreadable]:
    """An input_file as GET …/input_items shows it, and its text, or why it has none.

    Raises ApiError (400) when it names no file that is there.
    """
    file_data, name = part.get("file_data"), part.get("filename")
    if part.get("file_id") and not file_data:
        file = _named(part, where, files)
        shown = {"type": "input_file", "file_id": file.id, "filename": file.filename}
        try:
            return shown, file.document()
        except Unreadable as error:
            return shown, error
    if not isinstance(file_data, str) or not file_data:
        if part.get("file_url"):
            raise ApiError(
                "The sandbox reads only 'file_data' and 'file_id'.",
                param=f"{where}.file_url",
                code="unsupported_parameter",
            )
        raise _missing(f"{where}.file_data")
    if not isinstance(name, str) or not name:
        name = f"document-{number}"
    media_type, data = decode_file_data(file_data, param=f"{where}.file_data")
    shown = {"type": "input_file", "filename": name}
    try:
        return shown, read_document(name, media_type, data)
    except Unreadable as error:
        return shown, error


def image_part(part: Part, where: str, files: Files | None, *, number: int) -> tuple[Part, str]:
    """An input_image as it is shown, and a sentence about it.

    Of an image only its kind and size are read; one at a web address is not fetched. Raises
    ApiError (400) for what is not an image.
    """
    shown = {"detail": "auto", **part}
    url, name, param = part.get("image_url"), f"image-{number}", f"{where}.image_url"
    if part.get("file_id"):
        file = _named(part, where, files)
        name, data, param = file.filename, file.data, f"{where}.file_id"
    elif not isinstance(url, str) or not url:
        raise _missing(param)
    elif not url.startswith("data:"):
        return shown, f"{name} is an image at an address that the sandbox does not fetch."
    else:
        _, data = decode_file_data(url, param=param)
    sentence = describe(name, data)
    if sentence is None:
        raise ApiError(
            f"The image data does not represent a valid image. {KINDS} are known.",
            param=param,
            code="invalid_image_format",
        )
    return shown, sentence


def _named(part: Part, where: str, files: Files | None) -> File:
    if not isinstance(part["file_id"], str):
        raise wrong_type(f"{where}.file_id", "a string")
    known = files or Files()
    return known.for_input(part["file_id"], param=f"{where}.file_id", now=time.time())


def _missing(param: str) -> ApiError:
    return ApiError(
        f"Missing required parameter: '{param}'.", param=param, code="missing_required_parameter"
    )
