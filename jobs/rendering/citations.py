"""Numbers of sources, put into a text before it is read as Markdown.

A number is a pair of rare brackets around digits. Whether it disturbed the markup is found out by
reading the text without it as well (`jobs.rendering.markdown`).
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

#: Punctuation, as emphasis that ends before a number goes by what follows; whichever pair the text
#: does not have itself.
_PAIRS = (("⁅", "⁆"), ("⟦", "⟧"), ("⦗", "⦘"), ("⸨", "⸩"), ("❲", "❳"))
#: The rest of the word that an offset falls into, unless it goes on for ever.
_WORD_REST = re.compile(r"\w{1,30}(?!\w)")
#: Lines that are markup alone: rules, fences, the second line of a table.
_MARKUP_ONLY = re.compile(r"[\s|:\-=*_#>+`~.)\d]*")


@dataclass(frozen=True)
class Numbers:
    """How numbers are written in one text."""

    start: str
    end: str

    @property
    def pattern(self) -> re.Pattern[str]:
        return re.compile(rf"{re.escape(self.start)}(\d+){re.escape(self.end)}")

    def removed(self, text: str) -> str:
        return self.pattern.sub("", text)

    def found(self, text: str) -> list[str]:
        return self.pattern.findall(text)

    def html(self, number: str, prefix: str) -> str:
        """The number, leading to its source in the list of evidence."""
        return (
            f'<sup class="cite"><a href="#{prefix}source-{number}" '
            f'aria-label="Source {number}">[{number}]</a></sup>'
        )


def numbers_for(text: str) -> Numbers | None:
    for start, end in _PAIRS:
        if start not in text and end not in text:
            return Numbers(start, end)
    return None


def numbered(text: str, places: Iterable[tuple[int, int]], numbers: Numbers) -> str:
    """`text` with a number after each place; `places` are (offset, number).

    A number stands after the word at its offset, or the last before it. Where that would be in a
    line of markup alone, it is left out.
    """
    pieces: list[str] = []
    last = 0
    for offset, number in sorted(set(places)):
        if not 0 < offset <= len(text):
            continue
        at = len(text[last:offset].rstrip()) + last
        if rest := _WORD_REST.match(text, at):
            at = rest.end()
        begin = text.rfind("\n", 0, at) + 1
        if _MARKUP_ONLY.fullmatch(text, begin, at):
            continue
        pieces += [text[last:at], f"{numbers.start}{number}{numbers.end}"]
        last = at
    return "".join([*pieces, text[last:]])
