"""Text from outside: made storable, and searched for quotes."""

import math
import re
import unicodedata
from array import array
from collections.abc import Iterator, Sequence
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


def quoted(value: Any) -> Iterator[tuple[str, str, str]]:
    """Every object of structured output that has a text under "quote", in order and however deep:
    its path, the quote, and the document that it names."""
    left = [("$", value)]
    while left:
        path, found = left.pop()
        if isinstance(found, dict):
            # An empty one says that there is nothing to quote.
            if isinstance(found.get("quote"), str) and found["quote"].strip():
                named = found.get("document")
                yield path, found["quote"], named if isinstance(named, str) else ""
            left += [(f"{path}.{key}", item) for key, item in reversed(found.items())]
        elif isinstance(found, list):
            places = range(len(found) - 1, -1, -1)
            left += [(f"{path}[{place}]", found[place]) for place in places]


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
