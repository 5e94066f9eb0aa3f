"""Who holds what: claims on due attempts and on the right to sweep.

A claim is a compare-and-set with a token and an end. Whoever dies while holding one loses it when
the lease lapses; whoever lost one finds its token gone and writes nothing.
"""

import os
import socket
import uuid
from collections.abc import Collection, Iterable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import connection, transaction
from django.db.models import F, Field, Q
from django.utils import timezone

from jobs.models import Attempt, State, SweepSlot
from jobs.models.due import DueQuerySet, DueRow

#: How long a claim on an attempt holds without being renewed.
ATTEMPT_LEASE = timedelta(seconds=15)
#: Longer than a waiting sweep's patience, and than a worker takes to hear that it is to stop.
STOPPING_LEASE = timedelta(seconds=4)
#: Short: after a kill, the next sweep begins when the dead one's slot lapses.
SLOT_LEASE = timedelta(seconds=2)


def claim_due(token: UUID, *, now: datetime, limit: int, submits: int | None = None) -> list[UUID]:
    """Claim up to `limit` due attempts, the longest overdue first, and answer their ids.

    At most `submits` of them (all, if None) are still to be submitted; the others come first, so
    that a burst of submits does not hold up what runs.

    On PostgreSQL rows that another process is claiming are skipped; on SQLite the transaction
    takes the write lock at its start, so no other process is claiming.
    """
    due = Attempt.objects.due(now).order_by("next_check_at")
    running = due.filter(state__in=sorted(frozenset(State) - {State.SUBMITTING}))
    submitting = due.filter(state=State.SUBMITTING)
    if not running.exists() and not (submits != 0 and submitting.exists()):
        return []
    with transaction.atomic():
        ids = _hold(running, limit)
        room = limit - len(ids)
        ids += _hold(submitting, room if submits is None else min(room, submits))
        Attempt.objects.filter(pk__in=ids).update(
            lease_token=token, lease_until=now + ATTEMPT_LEASE, strikes=F("strikes") + 1
        )
    return ids


def claim_rows(
    model: type[DueRow], token: UUID, *, now: datetime, limit: int, skip: Collection[Any] = ()
) -> list[Any]:
    """Claim up to `limit` due rows of a kind, the longest overdue first, and answer them."""
    rows: Any = model._default_manager
    due = rows.due(now).exclude(pk__in=list(skip)).order_by("next_check_at")
    if limit <= 0 or not due.exists():
        return []
    with transaction.atomic():
        ids = list(due.select_for_update(skip_locked=True).values_list("pk", flat=True)[:limit])
        rows.filter(pk__in=ids).update(
            lease_token=token, lease_until=now + ATTEMPT_LEASE, strikes=F("strikes") + 1
        )
    return list(rows.filter(pk__in=ids))


def _hold(due: DueQuerySet[Attempt], limit: int) -> list[UUID]:
    rows = due.select_for_update(skip_locked=True).values_list("pk", flat=True)
    return list(rows[:limit])


def renew(model: type[DueRow], ids: Iterable[Any], token: UUID, *, now: datetime) -> None:
    model._default_manager.filter(pk__in=list(ids), lease_token=token).update(
        lease_until=now + ATTEMPT_LEASE
    )


def write_still_running(
    rows: Iterable[tuple[UUID, datetime, datetime]], token: UUID, *, now: datetime
) -> None:
    """Write "still running" for many attempts at once, and give up their leases.

    Each row is (attempt id, when it was due as the look began, when it is due next). A check that
    was pulled nearer while the look was on its way stays where it was pulled to.
    """
    table = connection.ops.quote_name(Attempt._meta.db_table)

    def adapted(name: str, value: object) -> Any:
        field = Attempt._meta.get_field(name)
        assert isinstance(field, Field)
        return field.get_db_prep_save(value, connection)

    with connection.cursor() as cursor:
        cursor.executemany(
            f"UPDATE {table} SET checks = checks + 1, last_heard_at = %s, lease_token = NULL, strikes = 0, "  # noqa: S608
            "lease_until = NULL, next_check_at = "
            "CASE WHEN next_check_at = %s THEN %s ELSE next_check_at END "
            "WHERE id = %s AND lease_token = %s",
            [
                (
                    adapted("last_heard_at", now),
                    adapted("next_check_at", due),
                    adapted("next_check_at", next_due),
                    adapted("id", pk),
                    adapted("lease_token", token),
                )
                for pk, due, next_due in rows
            ],
        )


class Slot:
    """The right to sweep, held by this process until it is released or not renewed in time."""

    def __init__(self, number: int, token: UUID) -> None:
        self.number = number
        self.token = token

    @classmethod
    def claim(cls, *, now: datetime) -> "Slot | None":
        """The first free slot, or None while all are held."""
        free = Q(lease_until__isnull=True) | Q(lease_until__lte=now)
        token = uuid.uuid4()
        for number in range(settings.SWEEPS):
            held = {
                "lease_token": token,
                "lease_until": now + SLOT_LEASE,
                "holder": f"{socket.gethostname()}:{os.getpid()}",
                "started_at": now,
                "beat_at": now,
            }
            rows = SweepSlot.objects.filter(number=number)
            if rows.filter(free).update(**held, sweeps=F("sweeps") + 1):
                return cls(number, token)
            if not rows.exists():
                SweepSlot.objects.bulk_create([SweepSlot(number=number)], ignore_conflicts=True)
                if rows.filter(free).update(**held, sweeps=F("sweeps") + 1):
                    return cls(number, token)
        return None

    def beat(self, *, now: datetime, requests: int) -> bool:
        """Renew, and say that the work goes on. False where somebody else has taken over."""
        return bool(
            SweepSlot.objects.filter(number=self.number, lease_token=self.token).update(
                beat_at=now, lease_until=now + SLOT_LEASE, requests=F("requests") + requests
            )
        )

    def release(self) -> None:
        SweepSlot.objects.filter(number=self.number, lease_token=self.token).update(
            lease_token=None, lease_until=None
        )


def slots_free(*, now: datetime) -> bool:
    """Whether fewer sweeps are at work than are wanted."""
    return SweepSlot.objects.filter(lease_until__gt=now).count() < settings.SWEEPS


def revoke_here() -> None:
    """Take the slots of this machine's sweeps away: each stops claiming at its next beat, and for
    as long as a lease nobody else begins."""
    SweepSlot.objects.filter(holder__startswith=f"{socket.gethostname()}:").update(
        lease_token=uuid.uuid4(), lease_until=timezone.now() + STOPPING_LEASE, holder=""
    )
