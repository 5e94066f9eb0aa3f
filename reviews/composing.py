"""The e-mail of a letter: what happened, why, by when, and a link to each. No text of any result, no
decision by link, and nothing that somebody wrote becomes a link or a header."""

import re
from collections.abc import Sequence
from email.utils import format_datetime
from urllib.parse import urlsplit

from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.template.loader import render_to_string
from django.urls import reverse

from reviews.lines import Line
from reviews.models import ASKS, Letter, LetterKind, NoticeKind

#: Mail programs make links of what looks like one.
_LINKABLE = re.compile(r"(?<=\w)\.(?=\w{2,})|(?<=\w)://|(?<=\w)@(?=\w)")
#: Why something happened goes along where the machine said so, or where somebody is asked to act on
#: it. What a reviewer wrote to a requester may quote the result, and stays on its page.
_WITH_WHY = ASKS | {NoticeKind.FAILED, NoticeKind.TROUBLE}
_GROUPS = (
    ("For you to decide", ASKS),
    ("About your jobs", {NoticeKind.FINISHED, NoticeKind.FAILED}),
    ("You were mentioned", {NoticeKind.MENTIONED}),
    ("Failures", {NoticeKind.TROUBLE}),
)


def compose(letter: Letter, lines: Sequence[Line], more: int = 0) -> EmailMultiAlternatives:
    """`more` says how many further notices there are. The letter is sealed."""
    entries = [_entry(line) for line in lines]
    groups = [
        (
            title,
            [entry for line, entry in zip(lines, entries, strict=True) if line.notice.kind in of],
        )
        for title, of in _GROUPS
    ]
    context = {
        "groups": [(title, rows) for title, rows in groups if rows],
        "more": more,
        "person": letter.person,
        "digest": letter.kind == LetterKind.DIGEST,
        "all": absolute(reverse("reviews:notices")),
        "preferences": absolute(reverse("reviews:notice_preferences")),
    }
    message = EmailMultiAlternatives(
        subject(letter, lines, more),
        render_to_string("reviews/mail/letter.txt", context),
        settings.DEFAULT_FROM_EMAIL,
        [letter.person.email],
        headers={
            "Message-ID": message_id(letter),
            "Date": format_datetime(letter.sealed_at or letter.created_at),
            "Auto-Submitted": "auto-generated",
            "List-Unsubscribe": f"<{context['preferences']}>",
        },
    )
    message.attach_alternative(render_to_string("reviews/mail/letter.html", context), "text/html")
    return message


def subject(letter: Letter, lines: Sequence[Line], more: int) -> str:
    number = len(lines) + more
    if letter.kind == LetterKind.DIGEST:
        what = f"Daily digest: {number} notice{'' if number == 1 else 's'}"
    elif number == 1:
        what = f"{lines[0].said}: {inert(lines[0].title)}"
    else:
        asks = sum(line.notice.kind in ASKS for line in lines)
        what = f"{number} notices" + (f", {asks} for you to decide" if asks else "")
    return settings.ACCOUNT_EMAIL_SUBJECT_PREFIX + " ".join(what.split())[:200]


def message_id(letter: Letter) -> str:
    """The same however often the letter is sent, so that mail programs show it once."""
    return f"<letter.{letter.pk.hex}@{urlsplit(settings.SITE_URL).hostname or 'jobsite'}>"


def absolute(path: str) -> str:
    return f"{settings.SITE_URL}{path}"


def inert(text: str) -> str:
    """`text` so that no mail program makes a link of it."""
    return _LINKABLE.sub(lambda found: f"[{found[0]}]", text)


def _entry(line: Line) -> dict[str, object]:
    notice = line.notice
    return {
        "said": line.said,
        "title": inert(line.title),
        "type": inert(str(notice.job.job_type)),
        "why": inert(line.why) if NoticeKind(notice.kind) in _WITH_WHY else "",
        "by": inert(line.by),
        "due_at": notice.due_at,
        "workspace": inert(str(notice.workspace)),
        "url": absolute(line.url),
    }
