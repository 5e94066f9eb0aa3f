"""Text from outside: made storable, and searched for quotes."""

import math
import re
import unicodedata
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_ALIKE = str.maketrans(
    {
        **dict.fromkeys("‘’‚‛′`´", "'"),
        **dict.fromkeys("“”„‟″«»", '"'),
        **dict.fromkeys("‐‑‒–—―−", "-"),
    }
)
_DROPPED = {"\u00ad", "\u200b", "\u200c", "\u200d", "\ufeff"}


def clean(value: Any) -> Any:
    """`value` with what no database stores (NUL, lone surrogates, NaN) replaced, at every depth."""
    if isinstance(value, str):
        return _UNSTORABLE.sub("\ufffd", value)
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, list):
        return [clean(item) for item in value]
    if isinstance(value, dict):
        return {clean(str(key)): clean(item) for key, item in value.items()}
    return value


def clipped(text: str, length: int) -> str:
    """`text` on one line, cut to `length` characters."""
    line = " ".join(text.split())
    return line if len(line) <= length else line[: length - 1].rstrip() + "…"


def printable(text: str) -> str:
    """`text` as a terminal may print it: without escape sequences and other control characters."""
    return "".join(
        character if character in "\n\t" or unicodedata.category(character) != "Cc" else "\ufffd"
        for character in text
    )


@dataclass(frozen=True)
class Searchable:
    """A text in which quotes are found whatever its line breaks, quotation marks and dashes.

    ``offsets[i]`` is where the i-th character of ``folded`` stands in the text.
    """

    folded: str
    offsets: Sequence[int]

    @classmethod
    def of(cls, text: str) -> "Searchable":
        folded: list[str] = []
        # Four bytes each: a tuple of the offsets of a long document would take a gigabyte.
        offsets = array("I")
        space = True
        for offset, character in enumerate(text.translate(_ALIKE)):
            if character in _DROPPED:
                continue
            if character.isspace():
                if not space:
                    folded.append(" ")
                    offsets.append(offset)
                space = True
            else:
                folded.append(character)
                offsets.append(offset)
                space = False
        return cls("".join(folded), offsets)

    def find(self, quote: str) -> tuple[int, int] | None:
        """Start and end of the first place that reads `quote`, as character offsets, or None."""
        wanted = Searchable.of(quote.strip().strip("\"'“”‘’«»")).folded.strip()
        if not wanted:
            return None
        at = self.folded.find(wanted)
        if at < 0:
            return None
        return self.offsets[at], self.offsets[at + len(wanted) - 1] + 1
