"""Letters: what goes out by e-mail, to whom and when. At least once each, under one message id.

A letter is open for a while, and what happens meanwhile goes along. It is claimed with a lease,
sealed, asked once more whether anything in it still matters, sent, and written down as sent. Whoever
dies in between leaves a lease that lapses.
"""

import logging
import time
import uuid
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from smtplib import SMTPDataError, SMTPRecipientsRefused, SMTPSenderRefused
from uuid import UUID

from django.core.mail import EmailMessage, get_connection
from django.db.models import F, Q
from django_q.tasks import async_task

from jobs.models import User
from jobs.text import clean, clipped
from reviews import preferences
from reviews.composing import compose
from reviews.concerned import still_concerned
from reviews.lines import line
from reviews.models import (
    DigestTime,
    How,
    Letter,
    LetterEnd,
    LetterKind,
    Notice,
    NoticeKind,
)

logger = logging.getLogger(__name__)

SEND = "reviews.tasks.send_letters"
#: How long a letter stays open for more, by what opens it or joins it.
BUNDLED = timedelta(minutes=10)
AT_ONCE = timedelta(seconds=30)
_BUNDLE = frozenset(
    {NoticeKind.NEEDS_REVIEW, NoticeKind.REMINDED, NoticeKind.OVERDUE, NoticeKind.TROUBLE}
)
#: Letters to one person in an hour. What comes after that waits, and goes in one.
MOST_AN_HOUR = 30
#: Notices that a letter names; it says how many more there are.
MOST_IN_LETTER = 50
#: Notices of a letter that are looked at for those.
MOST_JUDGED = 1_000
#: Letters that one task is given, and the seconds after which it begins no more.
MOST_AT_ONCE, LASTS = 50, 30.0
#: Seconds after which the queue ends a task that hangs: less than its lease, so that nobody else
#: sends the same letter meanwhile.
TIME_LIMIT = 60
LEASE = timedelta(seconds=75)
#: Letters whose task was lost are handed to the queue again after this.
NUDGE_AGAIN = timedelta(seconds=90)
#: After a failure: this, doubled each time, up to an hour; and no more after so many hours.
PAUSE, LONGEST_PAUSE = timedelta(minutes=1), timedelta(hours=1)
GIVE_UP_AFTER = timedelta(hours=12)
#: Times that an address is refused for good, or that a sender dies, until it is given up.
MOST_REFUSALS, MOST_STRIKES = 3, 5

#: What the server has against one letter. All else that it, or the way to it, comes up with would
#: meet the others too, and they need not be tried.
_REFUSED = (SMTPDataError, SMTPRecipientsRefused, SMTPSenderRefused)
_LET_GO = {"lease_token": None, "lease_until": None, "strikes": 0}


def open_letters(
    people: Sequence[User], sort: LetterKind, kind: NoticeKind, *, now: datetime
) -> dict[int, Letter]:
    """Each person's open letter, by their ids, held until the transaction ends. Those who have none
    get one; one that is open goes out no later than what joins it wants."""
    due = now + (BUNDLED if kind in _BUNDLE else AT_ONCE)
    found = _held(people, sort)
    missing = [person for person in people if person.pk not in found]
    if missing:
        new = _soon(missing, due, now) if sort is LetterKind.SOON else _digests(missing, now)
        # Somebody else may open the same ones at this moment: then it is theirs.
        Letter.objects.bulk_create(new, ignore_conflicts=True)
        found |= _held(missing, sort)
    if sort is LetterKind.SOON:
        late = [letter.pk for letter in found.values() if (letter.next_check_at or due) > due]
        if late:
            Letter.objects.filter(pk__in=late, lease_token=None).update(next_check_at=due)
    if len(found) < len(people):
        raise LookupError("a letter was sealed while it was looked for")
    return found


def _held(people: Sequence[User], sort: LetterKind) -> dict[int, Letter]:
    rows = Letter.objects.select_for_update().filter(
        person__in=people, kind=sort, sealed_at__isnull=True
    )
    return {letter.person_id: letter for letter in rows.order_by("person_id")}


def _soon(people: Sequence[User], due: datetime, now: datetime) -> list[Letter]:
    return [
        Letter(person=person, kind=LetterKind.SOON, created_at=now, next_check_at=due)
        for person in sorted(people, key=lambda person: person.pk)
    ]


def _digests(people: Sequence[User], now: datetime) -> list[Letter]:
    ids = sorted(person.pk for person in people)
    taken = preferences.days_with_digest(ids, now=now)
    times = {at.person_id: at for at in DigestTime.objects.filter(person__in=ids)}
    letters = []
    for person in ids:
        at = times.get(person) or DigestTime()
        day, due = preferences.next_digest(now, at.hour, at.zone, taken[person])
        letters.append(
            Letter(
                person_id=person,
                kind=LetterKind.DIGEST,
                day=day,
                created_at=now,
                next_check_at=due,
            )
        )
    return letters


def hand_out(now: datetime) -> None:
    """Give letters that are due to the queue, unless some are being sent: a mail server that hangs
    holds one worker, and no more. One query where nothing is due."""
    due = Letter.objects.due(now)
    ids = list(due.order_by("next_check_at").values_list("pk", flat=True)[:MOST_AT_ONCE])
    if not ids or Letter.objects.filter(next_check_at__isnull=False, lease_until__gt=now).exists():
        return
    if due.filter(pk__in=ids).update(next_check_at=now + NUDGE_AGAIN):
        async_task(SEND, letters=[str(pk) for pk in ids], timeout=TIME_LIMIT)


def send(letters: Sequence[UUID], *, clock: Callable[[], datetime]) -> None:
    """Send what of these is still to be sent, over one connection."""
    began, connection = time.monotonic(), get_connection()
    try:
        for place, pk in enumerate(letters):
            if time.monotonic() - began > LASTS:
                _put_off(letters[place:], until=clock())
                return
            letter = _claim(pk, now=clock())
            if letter is None:
                continue
            try:
                message = _sealed(letter, now=clock())
                if message is None:
                    continue
                connection.open()
                connection.send_messages([message])
            except OSError as error:
                _failed(letter, error, now=clock())
                if not isinstance(error, _REFUSED):
                    _put_off(letters[place + 1 :], until=clock() + PAUSE)
                    return
            except Exception as error:
                logger.exception("letter %s could not be written", letter.pk)
                _failed(letter, error, now=clock())
            else:
                _end(letter, LetterEnd.SENT, now=clock())
    finally:
        connection.close()


def _claim(pk: UUID, *, now: datetime) -> Letter | None:
    """Hold a letter that has not ended and that nobody else holds."""
    free = Q(lease_until__isnull=True) | Q(lease_until__lte=now)
    token, until = uuid.uuid4(), now + LEASE
    claimed = Letter.objects.filter(free, pk=pk, ended_at=None).update(
        lease_token=token, lease_until=until, next_check_at=until, strikes=F("strikes") + 1
    )
    if not claimed:
        return None
    letter = Letter.objects.select_related("person").get(pk=pk)
    if letter.strikes > MOST_STRIKES:
        _end(letter, LetterEnd.GIVEN_UP, now=now, problem="Whoever sent it died, again and again.")
        return None
    return letter


def _sealed(letter: Letter, *, now: datetime) -> EmailMessage | None:
    """The message of a letter that is held. None where there is nothing to say any more, or where
    the person has had enough for now."""
    person = letter.person
    if letter.sealed_at is None:
        hour = Letter.objects.filter(
            person=person, outcome=LetterEnd.SENT, ended_at__gt=now - timedelta(hours=1)
        ).order_by("-ended_at")
        ended = list(hour.values_list("ended_at", flat=True)[:MOST_AN_HOUR])
        if len(ended) == MOST_AN_HOUR and letter.kind == LetterKind.SOON:
            until = (ended[-1] or now) + timedelta(hours=1)
            Letter.objects.filter(pk=letter.pk, lease_token=letter.lease_token).update(
                next_check_at=until, **_LET_GO
            )
            return None
        Letter.objects.filter(pk=letter.pk, sealed_at=None).update(sealed_at=now)
        letter.sealed_at = now
    if not person.email or not person.is_active:
        _end(letter, LetterEnd.NO_ADDRESS if person.is_active else LetterEnd.EMPTY, now=now)
        return None
    notices, more = _worth_saying(letter)
    if not notices:
        _end(letter, LetterEnd.EMPTY, now=now)
        return None
    return compose(letter, [line(notice) for notice in notices], more)


def _worth_saying(letter: Letter) -> tuple[list[Notice], int]:
    """What of a letter is neither read nor dealt with, and still for this person: they may have
    lost a role, or chosen otherwise, since it happened. The first `MOST_IN_LETTER`, and how many
    come after those, which are counted without being judged."""
    how = preferences.of(letter.person).how
    mailed = [kind for kind, way in how.items() if way in (How.AT_ONCE, How.DIGEST)]
    rows = Notice.objects.shown_to(letter.person).unread().filter(letter=letter, kind__in=mailed)
    related = ("job__job_type", "job__open_gate", "job__requester", "workspace", "actor", "person")
    kept: list[Notice] = []
    for notice in rows.select_related(*related).order_by("id")[:MOST_JUDGED]:
        if still_concerned(notice):
            kept.append(notice)
            if len(kept) == MOST_IN_LETTER:
                return kept, rows.filter(pk__gt=notice.pk).count()
    return kept, 0


def _put_off(letters: Sequence[UUID], *, until: datetime) -> None:
    Letter.objects.filter(pk__in=letters, ended_at=None, lease_token=None).update(
        next_check_at=until
    )


def _failed(letter: Letter, error: Exception, *, now: datetime) -> None:
    said = clipped(clean(f"{type(error).__name__}: {error}"), 300)
    logger.warning("letter %s could not be sent: %s", letter.pk, said)
    failures = letter.failures + 1
    since = letter.sealed_at or letter.created_at
    if now - since > GIVE_UP_AFTER or (_is_for_good(error) and failures >= MOST_REFUSALS):
        _end(letter, LetterEnd.GIVEN_UP, now=now, problem=said)
        return
    pause = min(PAUSE * 2 ** min(failures - 1, 10), LONGEST_PAUSE)
    Letter.objects.filter(pk=letter.pk, lease_token=letter.lease_token).update(
        failures=failures, problem=said, next_check_at=now + pause, **_LET_GO
    )


def _is_for_good(error: Exception) -> bool:
    """Whether every recipient was refused with a code that says not to try again."""
    if not isinstance(error, SMTPRecipientsRefused):
        return False
    return all(code >= 500 for code, _text in error.recipients.values())


def _end(letter: Letter, outcome: LetterEnd, *, now: datetime, problem: str = "") -> None:
    Letter.objects.filter(pk=letter.pk, lease_token=letter.lease_token).update(
        ended_at=now,
        sealed_at=letter.sealed_at or now,
        outcome=outcome,
        problem=problem,
        next_check_at=None,
        **_LET_GO,
    )
