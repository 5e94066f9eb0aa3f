"""Into a folder that another program watches."""

import os
import re
import shutil
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path, PurePath
from tempfile import TemporaryDirectory

from django.conf import settings

from jobs.rendering.files import download_name
from reviews.channels.files import pieces
from reviews.channels.outcomes import Passing, Permanent
from reviews.content import Content
from reviews.models import Extent

#: What is still being written ends so: no pattern for what was dropped fits it.
PART = ".part"
_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")


def send(content: Content, now: datetime) -> str:
    """Write the document as JSON, and beside it the result as Markdown and its files. All of it is
    written aside first; the JSON comes into its place last: whoever sees it can read the rest."""
    if not settings.FILE_DROP_ROOT:
        raise Permanent("No folder is set up for it: FILE_DROP_ROOT is empty.")
    job = content.job
    stem = f"{job.ref}-{content.leaving.content_hash[:12]}"
    paths = [f"{stem}-{file.position}-{_bare(file.name)}" for file in content.files]
    left = False
    try:
        folder = _folder(Path(settings.FILE_DROP_ROOT), job.workspace.slug, job.job_type.slug)
        _sweep(folder, content.key)
        with TemporaryDirectory(prefix=f".{content.key}.", suffix=PART, dir=folder) as made:
            aside = Path(made)
            for file, path in zip(content.files, paths, strict=True):
                _write(aside / f"{path}{PART}", pieces(file))
            names = [*paths]
            if content.delivery.extent == Extent.WHOLE:
                names.append(f"{stem}.md")
                _write(aside / f"{stem}.md{PART}", [content.markdown.encode()])
            names.append(f"{stem}.json")
            _write(aside / f"{stem}.json{PART}", [content.body(paths)])
            for name in names:
                os.replace(aside / f"{name}{PART}", folder / name)
                left = True
    except OSError as error:
        raise Passing(f"The folder cannot be written to ({error.strerror}).", left=left) from error
    return f"{job.workspace.slug}/{job.job_type.slug}/{stem}.json"


def _folder(root: Path, *parts: str) -> Path:
    if not all(_PLAIN.fullmatch(part) for part in parts):
        raise Permanent(f"{'/'.join(parts)} cannot be the name of a folder.")
    if not root.is_dir():
        # Made here it might lie where a disk is to be mounted.
        raise Passing("The folder FILE_DROP_ROOT is not there.", left=False)
    folder = root.joinpath(*parts)
    if not folder.resolve().is_relative_to(root.resolve()):
        raise Permanent(f"{'/'.join(parts)} leads out of the folder.")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _sweep(folder: Path, key: str) -> None:
    """Take away what tries of the same delivery left that were killed."""
    for left in folder.glob(f".{key}.*{PART}"):
        shutil.rmtree(left, ignore_errors=True)


def _bare(name: str) -> str:
    """Letters and digits of any script, `.`, `_` and `-`, in no more bytes than file systems take."""
    path = PurePath("".join(c if c.isalnum() or c in "._-" else "_" for c in download_name(name)))
    return _cut(path.stem, 150) + _cut(path.suffix, 30)


def _cut(text: str, most: int) -> str:
    return text.encode()[:most].decode(errors="ignore")


def _write(path: Path, content: Iterable[bytes]) -> None:
    with path.open("xb") as file:
        file.writelines(content)
        file.flush()
        os.fsync(file.fileno())
    path.chmod(0o640)
