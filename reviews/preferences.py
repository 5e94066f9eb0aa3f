"""How each person wants to hear of what: by kind, and when their daily digest comes."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo, available_timezones

from django.conf import settings
from django.db import transaction

from jobs.models import Role, User
from reviews.models import (
    ASKS,
    DEFAULTS,
    PERSONAL,
    DigestTime,
    How,
    Letter,
    LetterKind,
    NoticeChoice,
    NoticeKind,
)

#: The roles that ever hear of a kind. Of what names them, everybody.
_HEARD_BY: Mapping[NoticeKind, Collection[Role]] = {
    **dict.fromkeys(ASKS, (Role.REVIEWER, Role.LEAD)),
    NoticeKind.FINISHED: (Role.REQUESTER,),
    NoticeKind.FAILED: (Role.REQUESTER,),
    NoticeKind.TROUBLE: (Role.OPERATOR, Role.ADMIN),
}


@dataclass(frozen=True)
class Preferences:
    """What holds for a person, whether they chose it or not. `zone` "" is the site's."""

    how: Mapping[NoticeKind, How]
    hour: int
    zone: str


def of(person: User) -> Preferences:
    chosen = {
        NoticeKind(kind): How(how) for kind, how in person.notice_choices.values_list("kind", "how")
    }
    at = DigestTime.objects.filter(person=person).first() or DigestTime(person=person)
    return Preferences({**DEFAULTS, **chosen}, at.hour, at.zone)


def chosen(people: Collection[User], kind: NoticeKind) -> dict[int, How]:
    """How each of `people` hears of `kind`, by their ids."""
    rows = NoticeChoice.objects.filter(person__in=people, kind=kind)
    said = {person: How(how) for person, how in rows.values_list("person", "how")}
    return {person.pk: said.get(person.pk, DEFAULTS[kind]) for person in people}


def offered(person: User) -> list[NoticeKind]:
    """The kinds that this person can ever hear of."""
    held = set(person.memberships.values_list("role", flat=True))
    return [kind for kind in NoticeKind if kind not in _HEARD_BY or held & set(_HEARD_BY[kind])]


def ways(kind: NoticeKind) -> list[How]:
    """How one may hear of a kind: what names a person does not pass them by."""
    return [how for how in How if how is not How.OFF or kind not in PERSONAL]


def zones() -> list[str]:
    return sorted(name for name in available_timezones() if "/" in name and name[0] != "S")


def save(
    person: User, how: Mapping[NoticeKind, How], *, hour: int, zone: str, now: datetime
) -> None:
    """Keep a person's choices. A digest that is waiting moves to its new hour; never to a day that
    has had one."""
    with transaction.atomic():
        for kind, one in how.items():
            NoticeChoice.objects.update_or_create(person=person, kind=kind, defaults={"how": one})
        DigestTime.objects.update_or_create(person=person, defaults={"hour": hour, "zone": zone})
        waiting = Letter.objects.filter(
            person=person, kind=LetterKind.DIGEST, sealed_at=None, lease_token=None
        )
        for letter in waiting.select_for_update():
            taken = set(days_with_digest([person.pk], now=now)[person.pk]) - {letter.day}
            day, due = next_digest(now, hour, zone, taken)
            Letter.objects.filter(pk=letter.pk).update(day=day, next_check_at=due)


def days_with_digest(people: Collection[int], *, now: datetime) -> dict[int, set[date]]:
    """The days, from yesterday on, that have their digest, by person."""
    found: dict[int, set[date]] = {person: set() for person in people}
    since = now.date() - timedelta(days=1)
    rows = Letter.objects.filter(person__in=people, kind=LetterKind.DIGEST, day__gte=since)
    for person, day in rows.values_list("person", "day"):
        if day:
            found[person].add(day)
    return found


def next_digest(
    now: datetime, hour: int, zone: str, taken: Collection[date]
) -> tuple[date, datetime]:
    """The next day without a digest whose hour is still to come, in the zone, and that moment."""
    place = ZoneInfo(zone or settings.TIME_ZONE)
    day = now.astimezone(place).date()
    while True:
        due = datetime.combine(day, time(hour), place).astimezone(UTC)
        if due > now and day not in taken:
            return day, due
        day += timedelta(days=1)
