"""Sends what was planned to leave (`deliveries`): at least once, and never after a stop.

A delivery is claimed with a lease, begun under the job's row, sent outside of any transaction, and
written back. Whoever dies before it began has sent nothing; whoever dies after that leaves it *being
sent*: it is then in doubt, is sent again under the same key, and its job can no longer be reopened.
"""

import logging
import random
import time
import uuid
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import connection
from django.db.models import F
from django.db.models.functions import Coalesce
from django_q.tasks import async_task

from jobs import lifecycle
from jobs.access import Action, NotNow, permission
from jobs.models import Job, Status, Verb
from jobs.results import evidence_hash, leaving
from jobs.text import clean, clipped
from jobs.timelimit import OverTime, time_limit
from reviews import channels
from reviews.content import Content, decision_on
from reviews.deliveries import over, record, said, targets
from reviews.models import Channel, Delivery, DeliveryState, Endpoint, Route

logger = logging.getLogger(__name__)

DELIVER = "reviews.tasks.deliver"
#: Seconds. The pause after the n-th try in a row that failed; the last one repeats.
PAUSES = (5, 30, 120, 600, 3600, 3 * 3600, 6 * 3600, 12 * 3600)
#: The longest that an endpoint which fails is left alone.
LONGEST_REST = timedelta(minutes=10)
#: A delivery whose task was lost is handed out again after this.
HANDED_FOR = timedelta(seconds=15)
#: Seconds that a try may take.
TRY_LASTS = 30.0
#: What is being sent and was not written back for so long has died.
SENDING_FOR = timedelta(seconds=60)
#: Seconds for which a task goes on with what else is due: less than the queue's time-out together.
WORKS_FOR = 25.0
#: Rows of one look.
MOST_LOOKED_AT = 20


class _Stopped(Exception):
    """The job is no longer as it was let out."""


class _Refused(Exception):
    """It must not leave as it is."""


# Handed out: from each sweep's look around ------------------------------------------------------------


def hand_out(now: datetime) -> None:
    """Give what is due to the queue, and see to those whose process died."""
    due = Delivery.objects.due(now).order_by("next_check_at")
    rows = list(due.values_list("pk", "state")[:MOST_LOOKED_AT])
    if not rows:
        return
    for pk, state in rows:
        if state == DeliveryState.SENDING:
            _interrupted(pk, now=now)
    for pk, token in claim(now):
        async_task(DELIVER, delivery_id=str(pk), token=str(token))


def claim(now: datetime, *, limit: int | None = None) -> list[tuple[UUID, UUID]]:
    """Claim what is due, the longest overdue first, as far as there is room: (delivery, token)."""
    held = Delivery.objects.filter(lease_until__gt=now).count()
    room = settings.DELIVERIES_AT_A_TIME - held
    room = room if limit is None else min(room, limit)
    if room <= 0:
        return []
    waiting = Delivery.objects.due(now).filter(state=DeliveryState.WAITING)
    claimed = []
    for pk in waiting.order_by("next_check_at").values_list("pk", flat=True)[:room]:
        token = uuid.uuid4()
        taken = waiting.filter(pk=pk).update(lease_token=token, lease_until=now + HANDED_FOR)
        if taken:
            claimed.append((pk, token))
    return claimed


def _interrupted(pk: UUID, *, now: datetime) -> None:
    # Another sweep may have seen to it, and somebody else may be sending it by now.
    died = Delivery.objects.due(now).filter(pk=pk, state=DeliveryState.SENDING)
    row = died.select_related("endpoint").first()
    if row is None:
        return
    text = "Whatever was sending it died on the way: it may have arrived."
    _failed(row, channels.Passing(text, left=True), token=row.lease_token, now=now)


# Sent: by a task of the queue ---------------------------------------------------------------------------


def work(pk: UUID, token: UUID, *, clock: Callable[[], datetime]) -> None:
    """Send a delivery that was claimed, and go on for a while with what else is due."""
    until = time.monotonic() + WORKS_FOR
    run(pk, token, clock=clock)
    while time.monotonic() < until and (more := claim(clock(), limit=1)):
        run(*more[0], clock=clock)


def run(pk: UUID, token: UUID, *, clock: Callable[[], datetime]) -> None:
    """One try, here and now. Does nothing where the claim is somebody else's by now."""
    content = _begin(pk, token, now=clock())
    if content is None:
        return
    row = content.delivery
    try:
        receipt = _tried(content, now=clock())
    except channels.Permanent as error:
        _given_up(row, error, token=token, now=clock())
    except channels.Passing as error:
        _failed(row, error, token=token, now=clock())
    else:
        _delivered(row, receipt, now=clock())


def _tried(content: Content, *, now: datetime) -> str:
    channel = content.delivery.get_channel_display()
    try:
        with time_limit(TRY_LASTS):
            return channels.send(content, now=now)
    except OverTime:
        if not connection.in_atomic_block and not connection.is_usable():
            connection.close()
        text = f"It took longer than {TRY_LASTS:g} seconds: it may have arrived."
        raise channels.Passing(text, left=True) from None
    except (channels.Passing, channels.Permanent):
        raise
    except Exception as error:
        logger.exception("delivery %s by %s broke", content.key, channel)
        raise channels.Passing(f"It broke here ({type(error).__name__}).", left=True) from error


def _begin(pk: UUID, token: UUID, *, now: datetime) -> Content | None:
    """Mark it as being sent, if it still may leave: from here on it is in doubt."""
    ours = Delivery.objects.filter(pk=pk, lease_token=token, state=DeliveryState.WAITING)
    job_id = ours.values_list("job_id", flat=True).first()
    if job_id is None:
        return None
    with lifecycle.locked(job_id) as job:
        row = ours.select_related("endpoint__workspace", "route").first()
        if row is None:
            return None
        rests = row.endpoint.rest_until if row.endpoint else None
        if rests and rests > now:
            ours.update(next_check_at=rests, **lifecycle.LET_GO)
            return None
        try:
            content = _checked(job, row)
        except _Stopped as error:
            ours.update(last_error=str(error), **over(DeliveryState.STOPPED, now))
            record(job, row, Verb.DELIVERY_STOPPED, str(error), now=now)
            return None
        except _Refused as error:
            ours.update(last_error=str(error), **over(DeliveryState.DEAD, now))
            record(job, row, Verb.DELIVERY_FAILED, str(error), now=now)
            return None
        begun: dict[str, Any] = {
            "state": DeliveryState.SENDING,
            "decision": content.decision,
            "content_hash": content.leaving.content_hash,
            "target": row.endpoint.url if row.endpoint else row.target,
            "first_tried_at": row.first_tried_at or now,
        }
        ours.update(
            **begun,
            attempts=F("attempts") + 1,
            in_doubt=True,
            lease_until=now + SENDING_FOR,
            next_check_at=now + SENDING_FOR,
        )
        # `in_doubt` stays as it was before this try: what is known of that afterwards is added.
        for name, value in begun.items():
            setattr(row, name, value)
        return content


def _checked(job: Job, row: Delivery) -> Content:
    """What leaves, if the job is as it was when this was planned and its content is what was
    decided on. Raises `_Stopped` and `_Refused`."""
    completed = job.events.filter(to_status=Status.COMPLETED).order_by("-seq").first()
    if job.status != Status.COMPLETED or completed is None or completed.seq != row.completion:
        raise _Stopped(f"{job.ref} is no longer what was let out.")
    try:
        found = leaving(job)
    except NotNow as error:
        raise _Refused(str(error)) from None
    decision = None if row.unreviewed else decision_on(found)
    if not row.unreviewed and decision is None:
        raise _Refused("Nobody has approved it.")
    if found.content_hash != (decision.content_hash if decision else row.content_hash):
        raise _Refused("The stored result is not what was decided on. It must not leave.")
    # What completed before its evidence was hashed has none.
    let_out = completed.data.get("evidence_hash")
    if let_out is not None and let_out != evidence_hash(found.evidence):
        raise _Refused(
            "Its citations or warnings are not those that were let out. Reopen it, and decide on them."
        )
    if row.route is None or not row.route.enabled:
        raise _Refused("The route that it was to take is switched off.")
    if not _leads_there(row.route, job, row):
        raise _Refused("The route that it was to take leads elsewhere by now.")
    if row.endpoint and not row.endpoint.enabled:
        raise _Refused(f"The endpoint {row.endpoint} is switched off.")
    if _to_requester(row) and not permission(job.requester, job, Action.READ_RESULT).allowed:
        raise _Refused("Whoever asked for it may not read it any more.")
    return Content(row, job, found, decision, completed)


def _leads_there(route: Route, job: Job, row: Delivery) -> bool:
    """Whether a route that was changed since still goes where this was to go."""
    if (route.channel, route.endpoint_id) != (row.channel, row.endpoint_id):
        return False
    return row.channel != Channel.EMAIL or row.target in targets(job, route)


def _to_requester(row: Delivery) -> bool:
    """Whether it goes there only because that is who asked for the job."""
    route = row.route
    return bool(route and route.to_requester and row.target not in route.addresses())


def _delivered(row: Delivery, receipt: str, *, now: datetime) -> None:
    """What has arrived has arrived: whatever was thought of it meanwhile."""
    with lifecycle.locked(row.job_id) as job:
        moved = (
            Delivery.objects.filter(pk=row.pk)
            .exclude(state=DeliveryState.DELIVERED)
            .update(
                receipt=clipped(clean(receipt), 300),
                in_doubt=False,
                failures=0,
                last_error="",
                **over(DeliveryState.DELIVERED, now),
            )
        )
        if not moved:
            logger.warning("delivery %s was written down already", row.pk)
            return
        record(job, row, Verb.DELIVERED, f"{said(row)}.", now=now)
    if row.endpoint_id:
        Endpoint.objects.filter(pk=row.endpoint_id, failures__gt=0).update(
            failures=0, failing_since=None, last_error="", rest_until=None
        )


def _failed(row: Delivery, error: channels.Passing, *, token: UUID | None, now: datetime) -> None:
    """Try again later, or give it up where that has gone on for too long."""
    rest = _endpoint_failed(row, str(error), now=now)
    with lifecycle.locked(row.job_id) as job:
        ours = Delivery.objects.filter(pk=row.pk, lease_token=token, state=DeliveryState.SENDING)
        failures = ours.values_list("failures", flat=True).first()
        if failures is None:
            logger.warning("delivery %s is somebody else's by now", row.pk)
            return
        next_at = max(now + pause(failures + 1, after=error.after), rest or now)
        changes = {
            "failures": failures + 1,
            "last_error": str(clean(str(error))),
            "in_doubt": row.in_doubt or error.left,
        }
        if next_at <= row.give_up_at:
            ours.update(
                **changes,
                **lifecycle.LET_GO,
                state=DeliveryState.WAITING,
                next_check_at=next_at,
            )
            return
        ours.update(**changes, **over(DeliveryState.DEAD, now))
        # What the receiver said stays with the delivery: the chain is for good, and requesters read it.
        text = f"given up after {failures + 1} tries."
        record(job, row, Verb.DELIVERY_FAILED, text, now=now)


def _given_up(row: Delivery, error: channels.Permanent, *, token: UUID, now: datetime) -> None:
    """Trying again would not help."""
    _endpoint_failed(row, str(error), now=now, gone=error.gone, rests=False)
    with lifecycle.locked(row.job_id) as job:
        moved = Delivery.objects.filter(
            pk=row.pk, lease_token=token, state=DeliveryState.SENDING
        ).update(
            in_doubt=row.in_doubt,
            failures=F("failures") + 1,
            last_error=clean(str(error)),
            **over(DeliveryState.DEAD, now),
        )
        if moved:
            text = "refused, and not tried again."
            record(job, row, Verb.DELIVERY_FAILED, text, now=now)


def _endpoint_failed(
    row: Delivery, text: str, *, now: datetime, gone: bool = False, rests: bool = True
) -> datetime | None:
    """Count it against the endpoint, and leave that alone for a while: with a thousand deliveries
    to one that does not answer, one of them finds out, and the others wait."""
    endpoint = row.endpoint
    if endpoint is None:
        return None
    rows = Endpoint.objects.filter(pk=endpoint.pk)
    rows.update(
        failures=F("failures") + 1,
        failing_since=Coalesce("failing_since", now),
        last_error=clean(text),
    )
    if gone:
        endpoint.refresh_from_db()
        endpoint.enabled = False
        # Nothing else: a secret may have been made in this moment.
        endpoint.save(update_fields=["enabled"])
    if not rests:
        return None
    failures = rows.values_list("failures", flat=True).first() or 1
    rest_until = now + min(pause(failures), LONGEST_REST)
    rows.update(rest_until=rest_until)
    Delivery.objects.filter(
        endpoint=endpoint,
        state=DeliveryState.WAITING,
        next_check_at__lt=rest_until,
        lease_token=None,
    ).update(next_check_at=rest_until)
    return rest_until


def pause(failures: int, *, after: float | None = None, chance: float | None = None) -> timedelta:
    """The pause after so many tries in a row that failed, with up to a fifth of jitter, and no
    less than what the receiver asked for."""
    planned = PAUSES[min(failures, len(PAUSES)) - 1]
    jitter = random.random() if chance is None else chance  # noqa: S311 - spreads load
    return timedelta(seconds=max(planned * (1 + jitter / 5), after or 0))
