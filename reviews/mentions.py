"""People who are named with an @ in what colleagues write: `@name`."""

import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice

from django.db.models import QuerySet
from django.db.models.functions import Lower
from django.utils.html import escape, format_html
from django.utils.safestring import SafeString, mark_safe

from jobs.models import SEES_ALL, Job, User, Workspace
from reviews import signals
from reviews.models import Decision, ReviewerNote

#: Names in one text; more is no note to somebody.
MOST_NAMED = 20
#: People who are offered while one types.
MOST_OFFERED = 200
#: What a username may be of; an @ within a word is an address and no name.
_NAME = re.compile(r"(?<![\w.@+-])@([\w.@+-]{1,150})")


def people(workspace: Workspace) -> list[User]:
    """Who can be named in a workspace, in the order of their usernames."""
    return list(_may_be_named(workspace).order_by("username")[:MOST_OFFERED])


def named(texts: Iterable[str], workspace: Workspace) -> dict[str, User]:
    """By the lower-cased name, those who are named in `texts` and may see the reviews of the
    workspace. One query."""
    wanted = {
        name
        for text in texts
        for said in islice(_NAME.findall(text), MOST_NAMED)
        for name in _readings(said)
    }
    if not wanted:
        return {}
    found = _may_be_named(workspace).annotate(lower=Lower("username")).filter(lower__in=wanted)
    return {user.username.lower(): user for user in found}


def announce(note: ReviewerNote | Decision, *, text: str, author: User, job: Job) -> None:
    """Tell whoever listens who is named in a note. For the transaction that stores it."""
    found = named([text], job.workspace)
    called = [user for user in found.values() if user != author]
    if called:
        signals.mentioned.send(
            type(note), note=note, text=text, author=author, people=called, job=job
        )


def marked(text: str, known: Mapping[str, User]) -> SafeString:
    """`text`, escaped, with the names of those in `known` marked."""
    pieces, last = [], 0
    for start, end, user in _places(text, known):
        pieces += [escape(text[last:start]), _mark(text[start:end], user)]
        last = end
    # Every piece is escaped.
    return mark_safe("".join([*pieces, escape(text[last:])]))  # noqa: S308


def _places(text: str, known: Mapping[str, User]) -> Iterator[tuple[int, int, User]]:
    for found in _NAME.finditer(text):
        for name in _readings(found[1]):
            if name in known:
                yield found.start(), found.start(1) + len(name), known[name]
                break


def _mark(text: str, user: User) -> SafeString:
    full = user.get_full_name()
    title = format_html(' title="{}"', full) if full else ""
    return format_html('<strong class="mention"{}>{}</strong>', title, text)


def _readings(name: str) -> list[str]:
    """What may have been meant, the longest first: "@name." ends a sentence."""
    readings = [name.lower()]
    while readings[-1] and readings[-1][-1] in ".,@+-":
        readings.append(readings[-1][:-1])
    return [reading for reading in readings if reading]


def _may_be_named(workspace: Workspace) -> QuerySet[User]:
    return User.objects.filter(
        is_active=True, memberships__workspace=workspace, memberships__role__in=sorted(SEES_ALL)
    ).distinct()
