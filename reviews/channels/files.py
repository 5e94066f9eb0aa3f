"""The files of a result, read as they leave: what they were when they were recorded, or nothing."""

import hashlib
from collections.abc import Iterator

from jobs.models import ResultFile
from jobs.rendering import unseen
from reviews.channels.outcomes import Passing, Permanent


def shown(file: ResultFile) -> str:
    """Its name, on one line and with nothing hidden in it."""
    return unseen.line(file.name, 100) or "without a name"


def pieces(file: ResultFile) -> Iterator[bytes]:
    """Its bytes, one piece after the other. Whoever takes them uses none before the last has come:
    only then is it known, and raised as `Permanent`, that they are not those that were recorded.
    Raises `Passing` where they cannot be read."""
    digest = hashlib.sha256()
    try:
        with file.file.open("rb") as stored:
            for piece in stored.chunks():
                digest.update(piece)
                yield piece
    except (FileNotFoundError, ValueError) as error:
        text = f"The stored file {shown(file)} is not where it was kept."
        raise Passing(text, left=False) from error
    except OSError as error:
        text = f"The stored file {shown(file)} cannot be read ({error.strerror})."
        raise Passing(text, left=False) from error
    if digest.hexdigest() != file.sha256:
        raise Permanent(
            f"The stored file {shown(file)} is not what was recorded with the result. "
            "It must not leave."
        )
