"""Ids: UUIDv7 for rows, and a short reference that people can read out."""

import re
import secrets
import uuid
from datetime import UTC, datetime

from uuid_utils.compat import uuid7 as _uuid7

#: Crockford's base 32: no I, L, O or U, so that nothing is misread or spells a word.
ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
REF_LENGTH = 7


def uuid7() -> uuid.UUID:
    """A new id that sorts by its time of making."""
    return _uuid7()


def first_id_at(moment: datetime) -> uuid.UUID:
    """Where the ids of a moment begin: rows made since then are those with ``id >=`` it."""
    return uuid.UUID(int=int(moment.timestamp() * 1000) << 80)


def made_at(id: uuid.UUID) -> datetime:
    """When a row of this id was made, to the millisecond."""
    return datetime.fromtimestamp((id.int >> 80) / 1000, UTC)


def new_ref(kind: str = "J") -> str:
    """A random reference such as ``J-7K3M9QX``. Unique by the database, not by this function.
    `kind` is "J" for a job and "D" for a document of the library."""
    return f"{kind}-" + "".join(secrets.choice(ALPHABET) for _ in range(REF_LENGTH))


def read_ref(text: str, kind: str = "J") -> str:
    """The reference that somebody meant: any case, with or without ``J-``, O for 0, I or L for 1."""
    bare = text.strip().upper().removeprefix(f"{kind}-")
    return f"{kind}-" + bare.translate(str.maketrans("OIL\0", "011\ufffd"))


def is_ref(text: str) -> bool:
    """Whether `text` reads as a reference from end to end."""
    return re.fullmatch(f"J-[{ALPHABET}]{{{REF_LENGTH}}}", read_ref(text)) is not None
