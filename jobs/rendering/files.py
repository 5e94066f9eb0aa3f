"""Files as they leave: under names that are only names, as types that no browser runs."""

from pathlib import PurePath

#: What a file may say that it is. Everything else is bytes.
SAFE_TYPES = frozenset(
    {
        "application/json",
        "application/pdf",
        "image/gif",
        "image/jpeg",
        "image/png",
        "image/webp",
        "text/csv",
        "text/markdown",
        "text/plain",
    }
)
BYTES = "application/octet-stream"
LONGEST_NAME = 150
#: Pictures that a page may show, by how they begin. SVG is a program, and is not among them.
HEAD = 16


def content_type(claimed: str) -> str:
    bare = claimed.partition(";")[0].strip().casefold()
    return bare if bare in SAFE_TYPES else BYTES


def picture_type(head: bytes) -> str:
    """The type of a picture by its first `HEAD` bytes, or "" where it is none that may be shown."""
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if head.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if head.startswith((b"GIF87a", b"GIF89a")):
        return "image/gif"
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return "image/webp"
    return ""


def download_name(name: str) -> str:
    """A bare file name that no system reads as anything else, at most 150 characters long."""
    bare = name.replace("\\", "/").rpartition("/")[2]
    bare = "".join(c if c.isprintable() and c not in '<>:"|?*' else "_" for c in bare)
    bare = bare.strip(" .")
    path = PurePath(bare or "file")
    suffix = path.suffix[:20]
    return f"{path.stem[: LONGEST_NAME - len(suffix)]}{suffix}"
