"""What the queue runs. Any of these may be lost, run twice or run late: the rows stay due."""

import logging
import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.core.mail import send_mail
from django.db import Error, close_old_connections, connection
from django.utils import timezone
from django_q.models import OrmQ
from django_q.tasks import async_task

from jobs import leases
from jobs.models import Event, Membership, Role
from jobs.outage import database_is_away

logger = logging.getLogger(__name__)

SWEEP = "jobs.tasks.sweep"
#: Seconds. A sweep works this long and hands over to its successor.
SWEEP_LASTS = 10.0
#: Seconds for which answers are kept for a database that is away: less than the queue's time-out.
WRITING_LASTS = 75.0
#: Seconds that a sweep waits for a slot: a little longer than a dead holder keeps one.
SLOT_PATIENCE = 2.6
#: Seconds between two looks of a worker at whether enough sweeps are at work.
WATCH_EVERY = 1.0
ALERT_AT_MOST_EVERY = timedelta(minutes=15)


def sweep() -> None:
    """Work through what is due for about ten seconds, then enqueue the next sweep.

    Leaves at once where as many sweeps as are wanted are at work already.
    """
    # The SDK is imported where it is used: it takes 0.5 s.
    from jobs import engine

    slot = _wait_for_slot()
    if slot is None:
        return
    work = engine.Sweep(*engine.runtime())
    began, beaten, told = time.monotonic(), 0.0, 0
    held = True
    try:
        while held or work.calls:
            try:
                if held and time.monotonic() - beaten >= engine.BEAT_EVERY:
                    beaten, done = time.monotonic(), work.requests - told
                    told = work.requests
                    held = slot.beat(now=timezone.now(), requests=done)
                work.tick(claim=held)
                if held and time.monotonic() - began >= SWEEP_LASTS:
                    held = False
                    slot.release()
                    async_task(SWEEP)
            except Error as error:
                if not database_is_away(error) or time.monotonic() - began >= WRITING_LASTS:
                    raise
                # Answers are kept and written once it is back. Claiming goes on elsewhere.
                logger.exception("the database does not answer")
                connection.close()
                time.sleep(0.5)
    except BaseException:
        work.abandon()
        raise


def _wait_for_slot() -> leases.Slot | None:
    patience = time.monotonic() + SLOT_PATIENCE
    while True:
        slot = leases.Slot.claim(now=timezone.now())
        if slot or time.monotonic() > patience:
            return slot
        time.sleep(0.1)


def start_sweeping(**kwargs: Any) -> None:
    """A worker process has begun: see to it that enough sweeps are at work, from now on."""
    threading.Thread(target=_watch, name="watch", daemon=True).start()


def _watch() -> None:
    """Enqueue a sweep whenever one is missing and none is waiting. Outlives every error."""
    first = True
    while True:
        try:
            close_old_connections()
            waiting = OrmQ.objects.filter(lock__lte=timezone.now()).exists()
            # The first look does not wait for a dead holder's slot to lapse: the sweep does.
            if not waiting and (first or leases.slots_free(now=timezone.now())):
                async_task(SWEEP)
            first = False
        except Exception:
            logger.exception("the watch could not look after the sweeps")
            connection.close()
        time.sleep(WATCH_EVERY)


def alert_operators(*, code: str, text: str, ref: str) -> None:
    """Tell the operators of a job's workspace that the account or the key is refused.

    Once per cause and quarter of an hour in each workspace, by the first job that it met: a
    closed account fails many jobs at once, before the first of these tasks runs.
    """
    logger.error("%s: %s (%s)", ref, text, code)
    told = Event.objects.filter(reason_code=code)
    ours = told.filter(job__ref=ref).order_by("id").last()
    if ours is None:
        return
    quarter = ours.at - (ours.at - datetime.min.replace(tzinfo=UTC)) % ALERT_AT_MOST_EVERY
    same = told.filter(job__workspace=ours.job.workspace_id, at__gte=quarter, id__lt=ours.id)
    if same.exists():
        return
    members = Membership.objects.filter(
        workspace__jobs__ref=ref, role__in=[Role.OPERATOR, Role.ADMIN]
    )
    addresses = {*settings.OPERATORS, *members.values_list("user__email", flat=True)} - {""}
    if addresses:
        send_mail(
            f"Jobsite: OpenAI refuses the account ({code})",
            f"{ref}, and others will follow: {text}\n\nCheck the API key, its project and its "
            "credit at OpenAI. Then retry the jobs that failed.",
            settings.DEFAULT_FROM_EMAIL,
            sorted(addresses),
        )


def run_tool(*, call_id: str) -> None:
    """Run a tool call that may run; nothing where it has been, or is being, run."""
    from jobs import calls

    calls.run(UUID(call_id), clock=timezone.now)
