"""What people are told: taken down with the event, told by the queue, read in the app.

An event costs its transaction one row, however many people it concerns. Telling them is one
transaction too, in which that row goes: a process that dies tells everybody later, or nobody twice.
"""

import logging
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import F
from django_q.tasks import async_task

from jobs.models import Approval, Event, Job, User, Workspace
from jobs.operations.causes import ACCOUNT, explain
from jobs.text import clipped
from reviews import mailing, occasions, preferences
from reviews.approvals import progress
from reviews.concerned import concerned, lapse_key, lapsed
from reviews.lines import READ_IN_REVIEW
from reviews.models import (
    ASKS,
    Decision,
    How,
    Letter,
    LetterKind,
    Notice,
    NoticeKind,
    Occurrence,
    ReviewerNote,
)

logger = logging.getLogger(__name__)

TELL = "reviews.tasks.tell"
#: Occurrences that one task is given.
MOST_AT_ONCE = 100
#: An occurrence whose task was lost is handed to the queue again after this.
NUDGE_AGAIN = timedelta(seconds=30)
#: One that cannot be told is tried again after this.
PUT_OFF = timedelta(minutes=5)
#: Notices and letters are kept this long, and are forgotten so many at a time: what was decided
#: stands in the job's own history.
KEPT = timedelta(days=90)
MOST_FORGOTTEN = 1_000
#: Notices on a page.
PAGE = 25
#: Unread ones are counted up to here.
MOST_UNREAD = 100


def take_down(job: Job, event: Event) -> None:
    """Within the event's transaction: settle what it leaves nothing to do about, and note what is to
    be told."""
    said = (event.verb, event.from_status, event.to_status)
    asks = Notice.objects.filter(job=job, done_at=None, kind__in=sorted(ASKS))
    by = clipped(f"{event.get_verb_display()} by {event.actor_name}", 200)
    if event.verb in occasions.DOES_ONES_PART:
        asks.filter(person=event.actor).update(done_at=event.at, done_by=by)
    if occasions.settles(*said):
        asks.update(done_at=event.at, done_by=by)
        Occurrence.objects.filter(job=job, kind__in=sorted(ASKS)).delete()
    Occurrence.objects.bulk_create(
        Occurrence(
            kind=kind,
            key=f"event:{event.pk}",
            job=job,
            event=event,
            actor=event.actor,
            at=event.at,
            next_check_at=event.at,
        )
        for kind in occasions.kinds(*said)
    )


def take_down_mention(
    note: ReviewerNote | Decision, author: User, people: Iterable[User], job: Job
) -> None:
    """Within the note's transaction."""
    at = note.at if isinstance(note, Decision) else note.created_at
    row = Occurrence(
        kind=NoticeKind.MENTIONED,
        key=f"{note._meta.model_name}:{note.pk}",
        job=job,
        actor=author,
        people=sorted({person.pk for person in people}),
        at=at,
        next_check_at=at,
    )
    Occurrence.objects.bulk_create([row], ignore_conflicts=True)


def take_down_lapses(person: User, workspace: Workspace | None, *, now: datetime) -> None:
    """Somebody has lost a right to decide, in all workspaces for None: those of their approvals at
    open reviews may count no more. Whether that is so is asked as people are told."""
    given = Approval.objects.filter(
        actor=person, lapsed_at=None, gate__closed_at=None, ballot=F("gate__ballot")
    )
    if workspace is not None:
        given = given.filter(gate__workspace=workspace)
    rows = [
        Occurrence(
            kind=NoticeKind.NEEDS_REVIEW,
            key=lapse_key(approval),
            job_id=approval.gate.job_id,
            at=now,
            next_check_at=now,
        )
        for approval in given.select_related("gate")
    ]
    Occurrence.objects.bulk_create(rows, ignore_conflicts=True)


def hand_out(now: datetime) -> None:
    """Give what is to be told to the queue, unless some is there already: many things that happen at
    once keep no sweep from its turn. One query where there is nothing."""
    due = Occurrence.objects.filter(next_check_at__lte=now)
    ids = list(due.order_by("next_check_at").values_list("pk", flat=True)[:MOST_AT_ONCE])
    handed_out = Occurrence.objects.filter(
        next_check_at__gt=now, next_check_at__lte=now + NUDGE_AGAIN, failures=0
    )
    if (
        ids
        and not handed_out.exists()
        and due.filter(pk__in=ids).update(next_check_at=now + NUDGE_AGAIN)
    ):
        async_task(TELL, occurrences=ids)


def tell(occurrences: Sequence[int], *, clock: Callable[[], datetime]) -> None:
    """Tell the people concerned. One that breaks is put off, and holds up none of the others."""
    for pk in occurrences:
        now = clock()
        try:
            _tell(pk, now=now)
        except Exception:
            logger.exception("occurrence %s could not be told", pk)
            Occurrence.objects.filter(pk=pk).update(
                next_check_at=now + PUT_OFF, failures=F("failures") + 1
            )
    forget(clock())


def forget(now: datetime) -> None:
    """Delete the oldest notices and letters where they are too old. A look at the beginning of each
    table; of long lists, some at a time."""
    notices = Notice.objects.order_by("pk").values_list("pk", "created_at")[:MOST_FORGOTTEN]
    letters = Letter.objects.order_by("pk").values_list("pk", "ended_at")[:MOST_FORGOTTEN]
    old = [pk for pk, at in notices if at < now - KEPT]
    if old:
        Notice.objects.filter(pk__in=old).delete()
    ended = [pk for pk, at in letters if at and at < now - KEPT]
    if ended:
        Letter.objects.filter(pk__in=ended).delete()


def _tell(pk: int, *, now: datetime) -> None:
    with transaction.atomic():
        occurrence = Occurrence.objects.select_related("event", "actor").filter(pk=pk).first()
        if occurrence is None:
            return
        # Held, so that nobody decides between the look at the gate and the notices about it.
        jobs = Job.objects.select_for_update(of=("self",))
        job = jobs.select_related("job_type", "workspace", "requester").get(pk=occurrence.job_id)
        if not Occurrence.objects.filter(pk=pk).delete()[0]:
            return
        kind = NoticeKind(occurrence.kind)
        people = concerned(occurrence, job)
        how = preferences.chosen(people, kind) if people else {}
        told = [person for person in people if how[person.pk] is not How.OFF]
        if kind is NoticeKind.TROUBLE:
            told = _grouped(occurrence, job, told)
        if told:
            _write(occurrence, job, told, how, now=now)


def _grouped(occurrence: Occurrence, job: Job, people: list[User]) -> list[User]:
    """Count the failure in the notices of its cause that are there; who has none is left."""
    # One after the other: two that find none would both begin to count.
    Workspace.objects.select_for_update(no_key=True).get(pk=job.workspace_id)
    there = Notice.objects.filter(
        person__in=people, kind=NoticeKind.TROUBLE, key=_key(occurrence, job)
    )
    have = set(there.values_list("person", flat=True))
    there.update(times=F("times") + 1)
    return [person for person in people if person.pk not in have]


def _write(
    occurrence: Occurrence, job: Job, people: list[User], how: dict[int, How], *, now: datetime
) -> None:
    kind, event, gate = NoticeKind(occurrence.kind), occurrence.event, job.open_gate
    cause = event.reason_code if event else ""
    letters: dict[int, Letter] = {}
    # Of a refused account the operators are told at once, by a mail of its own.
    if not (kind is NoticeKind.TROUBLE and cause in ACCOUNT):
        for way, sort in ((How.AT_ONCE, LetterKind.SOON), (How.DIGEST, LetterKind.DIGEST)):
            those = [person for person in people if how[person.pk] is way and person.email]
            letters |= mailing.open_letters(those, sort, kind, now=now)
    Notice.objects.bulk_create(
        [
            Notice(
                person=person,
                workspace=job.workspace,
                kind=kind,
                key=_key(occurrence, job),
                job=job,
                event=event,
                actor=occurrence.actor,
                said=event.verb if event else "",
                why=clipped(_why(kind, occurrence, job), 300),
                cause=cause,
                due_at=gate.due_at if gate and kind in ASKS else None,
                created_at=occurrence.at,
                letter=letters.get(person.pk),
            )
            for person in people
        ],
        ignore_conflicts=True,
    )


def _key(occurrence: Occurrence, job: Job) -> str:
    if occurrence.kind == NoticeKind.TROUBLE and occurrence.event:
        return occasions.grouped_as(
            job.workspace_id, occurrence.event.reason_code, occurrence.event.at
        )
    return occurrence.key


def _why(kind: NoticeKind, occurrence: Occurrence, job: Job) -> str:
    event, gate = occurrence.event, job.open_gate
    if kind is NoticeKind.TROUBLE and event:
        return explain(event.reason_code).text
    if kind is NoticeKind.NEEDS_REVIEW and not event and (lost := lapsed(occurrence, job)):
        whose = f"The approval of {lost.approval.actor} does not count any more"
        return f"{whose}: {lost.why} {progress(job)}."
    if kind is NoticeKind.NEEDS_REVIEW and gate:
        return " ".join(str(reason.get("text", "")) for reason in gate.reasons)
    return event.reason_text if event else ""


@dataclass(frozen=True)
class Page:
    """Notices, newest first. `before` is the cursor of the older ones."""

    notices: Sequence[Notice]
    before: int | None


def page(
    person: User, *, kind: NoticeKind | None = None, unread: bool = False, before: int | None = None
) -> Page:
    rows = Notice.objects.shown_to(person).select_related("job__job_type", "workspace", "actor")
    if kind:
        rows = rows.filter(kind=kind)
    if unread:
        rows = rows.unread()
    if before is not None:
        rows = rows.filter(pk__lt=before)
    found = list(rows.order_by("-id")[: PAGE + 1])
    return Page(found[:PAGE], found[PAGE - 1].pk if len(found) > PAGE else None)


def unread_count(person: User) -> int:
    """Up to `MOST_UNREAD`."""
    return Notice.objects.shown_to(person).unread().order_by()[:MOST_UNREAD].count()


def unread_here(person: User, job: Job, *, review: bool) -> list[int]:
    """The ids of a person's unread notices that lead to the page of `job`, or of its `review`: up to
    `MOST_UNREAD`, the newest first."""
    rows = Notice.objects.filter(person=person, job=job).unread()
    if review:
        rows = rows.filter(kind__in=sorted(READ_IN_REVIEW))
    else:
        # What was grouped leads to a list.
        rows = rows.exclude(kind__in=sorted(READ_IN_REVIEW)).filter(times=1)
    return list(rows.order_by("-id").values_list("pk", flat=True)[:MOST_UNREAD])


def mark_read(
    person: User, *, now: datetime, only: Collection[int] | None = None, upto: int = 0
) -> int:
    """Mark some notices, or all up to one, as read. The answer is how many were not yet."""
    rows = Notice.objects.filter(person=person).unread()
    rows = rows.filter(pk__in=only) if only is not None else rows.filter(pk__lte=upto)
    return rows.update(read_at=now)
