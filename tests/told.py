"""What the queue does with what is to be told and sent, on a clock that tests move."""

from datetime import datetime, timedelta

from django_q.models import OrmQ

from jobs.models import User
from reviews import mailing, notices
from reviews.models import How, Letter, Notice, NoticeChoice, NoticeKind, Occurrence


def tell(now: datetime) -> None:
    """Tell people of all that is due."""
    due = (
        Occurrence.objects.filter(next_check_at__lte=now)
        .order_by("pk")
        .values_list("pk", flat=True)
    )
    notices.tell(list(due), clock=lambda: now)


def send(now: datetime) -> None:
    """Send every letter that is due."""
    due = Letter.objects.due(now).order_by("next_check_at").values_list("pk", flat=True)
    mailing.send(list(due), clock=lambda: now)


def post(now: datetime, *, after: timedelta = timedelta(minutes=11)) -> None:
    """Tell, and send what is due once letters have waited for more."""
    tell(now)
    send(now + after)


def told(person: User) -> list[tuple[str, str]]:
    """(kind, job) of what a person was told and has not read, the oldest first."""
    rows = Notice.objects.filter(person=person).unread().order_by("id")
    return [(row.kind, row.job.ref) for row in rows.select_related("job")]


def choose(person: User, kind: NoticeKind, how: How) -> None:
    NoticeChoice.objects.create(person=person, kind=kind, how=how)


def queued() -> list[str]:
    """The functions that wait in the queue, for reviews."""
    names = [task.func() for task in OrmQ.objects.order_by("id")]
    return [name for name in names if str(name).startswith("reviews.")]
