"""The headings of a result, taken down as they are written: its sections."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from urllib.parse import quote

from jobs.rendering import unseen

#: Characters of a section's name: what a follow-up can name.
LONGEST_NAME = 300
#: Sections that are listed and can be asked about. What comes after them can still be read.
MOST_SECTIONS = 1_000


@dataclass(frozen=True)
class Section:
    """`level` is that of its heading in the page."""

    name: str
    level: int
    anchor: str


def section_name(text: str) -> str:
    """What a heading is called where it is listed, and in a question about it."""
    return unseen.line(text, LONGEST_NAME)


def slug(text: str) -> str:
    return re.sub(r"\W+", "-", text.casefold()).strip("-")[:80]


def has_title(levels: Sequence[int]) -> bool:
    """Whether the first of these headings stands above all others: the title, and no section."""
    return len(levels) > 1 and levels.count(min(levels)) == 1 and levels[0] == min(levels)


@dataclass
class Headings:
    """The sections of one page, and ids for their headings that begin with `prefix`.

    `ask` is the address where one can ask about a section, "" where nobody may.
    """

    prefix: str = ""
    ask: str = ""
    found: list[Section] = field(default_factory=list)
    _anchors: set[str] = field(default_factory=set)
    _times: dict[str, int] = field(default_factory=dict)

    def anchor(self, text: str) -> str:
        """An id that nothing else on the page has: that of a second "Costs" ends in 2."""
        wanted = anchor = f"{self.prefix}text-{slug(text) or 'section'}"
        while anchor in self._anchors:
            self._times[wanted] = self._times.get(wanted, 1) + 1
            anchor = f"{wanted}-{self._times[wanted]}"
        self._anchors.add(anchor)
        return anchor

    def section(self, text: str, *, level: int, anchor: str) -> tuple[str, str]:
        """Take down the section that begins here; what stands before its heading, and after."""
        name = section_name(text)
        if not name or len(self.found) >= MOST_SECTIONS:
            return "", ""
        self.found.append(Section(name, level, anchor))
        if not self.ask:
            return "", ""
        address = f"{self.ask}?section={quote(name, safe='')}"
        link = (
            f'<a class="ask" href="{escape(address)}" '
            f'aria-label="Ask about this section: {escape(name)}">Ask about this section</a>'
        )
        return '<div class="section-head">', f"{link}</div>"

    def contents(self) -> tuple[Section, ...]:
        """Two levels of sections, as a list of contents has them; their levels count from 1."""
        outermost = min((section.level for section in self.found), default=1)
        return tuple(
            Section(one.name, one.level - outermost + 1, one.anchor)
            for one in self.found
            if one.level < outermost + 2
        )
