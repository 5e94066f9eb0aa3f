"""The sweep: claim what is due, ask the provider about all of it at once, write the answers down.

What there is to do is rows that are due, never messages: a sweep may die at any instruction, and
the next one finds the same rows. Calls run on one event loop with one client for the life of the
process; between two turns of that loop, answers are written and new work is claimed, so that one
slow call holds nothing up.
"""

import asyncio
import logging
import time
import uuid
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import models, reset_queries
from django.utils import timezone

from jobs import (
    audit,
    calls,
    carriage,
    copies,
    lapses,
    leases,
    lifecycle,
    outcomes,
    policy,
    requests,
    settling,
    signals,
    turns,
    uploads,
)
from jobs.errands import KINDS, Errand, Kind, PoisonKeptApart
from jobs.forecast import Forecast
from jobs.models import (
    Attempt,
    Carry,
    Gate,
    State,
    Status,
    Turn,
)
from jobs.models.due import DueRow
from jobs.provider.client import Provider
from jobs.provider.downloads import Limits
from jobs.provider.errors import OutcomeUnknown, ProviderError
from jobs.provider.payloads import ProviderResponse

logger = logging.getLogger(__name__)

#: Calls under way at once in one sweep. Creates are fewer: those that a kill catches on their way
#: become unknown, and a person has to look at each.
MOST_IN_FLIGHT = 64
MOST_CREATES = 8
#: Seconds.
LOOP_TURN = 0.2
BEAT_EVERY = 0.5
RENEW_EVERY = 4.0
#: Deaths in a row while a row was held, after which its answer is stored without being read.
MOST_STRIKES = 3
LOOK_AROUND_EVERY = timedelta(seconds=1)
SEAL_EVERY = timedelta(minutes=1)


@dataclass
class Call:
    """One call on its way, and what it is about."""

    kind: str
    attempt_id: UUID
    turn_id: UUID
    was_due_at: datetime
    deadline: datetime
    age: float = 0.0
    job_type_id: int = 0
    shown: str = ""
    plain: bool = True
    lethal: bool = False


@cache
def runtime() -> tuple[asyncio.AbstractEventLoop, Provider]:
    """This process's event loop and its client: made once, because connections are worth keeping."""
    provider = Provider(
        base_url=settings.OPENAI_BASE_URL,
        api_key=settings.OPENAI_API_KEY or "sandbox",
        create_timeout=settings.OPENAI_CREATE_TIMEOUT,
        lookup_timeout=settings.OPENAI_RETRIEVE_TIMEOUT,
        file_limits=Limits(settings.MAX_RESULT_FILE_BYTES, settings.MAX_RESULT_FILES_BYTES),
    )
    return asyncio.new_event_loop(), provider


class Sweep:
    """Works through due rows until told to stop; `tick` is one round."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        provider: Provider,
        *,
        clock: Callable[[], datetime] = timezone.now,
    ) -> None:
        self.loop = loop
        self.provider = provider
        self.clock = clock
        self.token = uuid.uuid4()
        self.forecast = Forecast()
        self.calls: dict[asyncio.Task[Any], Call | Errand] = {}
        self.requests = 0
        self._renewed = time.monotonic()
        self._looked_around = self._sealed = datetime.min.replace(tzinfo=UTC)

    def tick(self, *, claim: bool = True) -> None:
        """Claim, let calls run for up to `LOOP_TURN` seconds, write down what came back."""
        reset_queries()
        self._renew()
        room = MOST_IN_FLIGHT - len(self.calls)
        if claim and room > 0:
            self._claim(room)
            self._claim_errands()
            calls.hand_out(self.clock())
            self._look_around()
        elif not claim:
            # Whoever sweeps next follows on from the last event that is written down.
            self.loop.run_until_complete(self.provider.live.close_all())
        self._run_loop()
        self._write_back([task for task in self.calls if task.done()])

    def abandon(self) -> None:
        """Give up the calls that are on their way: time is up. Their leases lapse, and a create
        among them becomes unknown."""
        for task in self.calls:
            task.cancel()
        if self.calls:
            self.loop.run_until_complete(asyncio.wait(self.calls))
        self.calls.clear()

    def run_until_idle(self) -> None:
        """Finish the calls that are on their way, claiming nothing new."""
        while self.calls:
            self.tick(claim=False)

    def _claim(self, room: int) -> None:
        creating = sum(isinstance(c, Call) and c.kind == "create" for c in self.calls.values())
        ids = leases.claim_due(
            self.token, now=self.clock(), limit=room, submits=max(0, MOST_CREATES - creating)
        )
        if not ids:
            return
        found = (
            Turn.objects.filter(attempt__in=ids)
            .select_related("attempt__job__job_type", "attempt__job__prompt_version")
            .defer("payload", "late_payload", "request")
            .order_by("number")
        )
        # One whose lease has lapsed under a slow round is still ours, and its call is on its way.
        ours = {call.attempt_id for call in self.calls.values() if isinstance(call, Call)}
        for turn in {turn.attempt_id: turn for turn in found}.values():
            if turn.attempt_id in ours:
                continue
            with PoisonKeptApart(Attempt, turn.attempt_id, self.clock):
                self._take_up(turn)

    def _claim_errands(self) -> None:
        for kind in KINDS:
            ours = {
                call.row_id
                for call in self.calls.values()
                if isinstance(call, Errand) and call.kind is kind
            }
            rows = leases.claim_rows(
                kind.model,
                self.token,
                now=self.clock(),
                limit=kind.most - len(ours),
                skip=ours,
            )
            models.prefetch_related_objects(rows, *kind.related)
            for row in rows:
                with PoisonKeptApart(kind.model, row.pk, self.clock):
                    self._run_errand(kind, row)

    def _run_errand(self, kind: Kind, row: Any) -> None:
        call = kind.call(row, self.provider, self.clock())
        if call is None:
            kind.model._default_manager.filter(pk=row.pk, lease_token=self.token).update(
                **lifecycle.LET_GO
            )
        else:
            self.requests += 1
            self.calls[self.loop.create_task(call)] = Errand(kind, row.pk)

    def _take_up(self, turn: Turn) -> None:
        """Do what is due for an attempt, or put the call that it needs on its way."""
        now, attempt, job = self.clock(), turn.attempt, turn.attempt.job
        limit = lapses.deadline(job, attempt)
        if not attempt.is_open:
            self._tidy_up(turn)
        elif attempt.state == State.SUBMITTING and turn.sent_at:
            lapses.send_never_answered(turn.pk, now=now)
        elif limit <= now and job.status in (Status.QUEUED, Status.RUNNING):
            lapses.deadline_passed(turn.pk, now=now)
        elif attempt.state == State.SUBMITTING:
            self._go_on(turn)
        elif attempt.state == State.UNKNOWN:
            lapses.unknown_wait_over(turn.pk, now=now)
        elif job.cancel_requested_at and _cancels_now(attempt):
            self._start("cancel", turn, self.provider.cancel(str(turn.response_id)))
        else:
            self._retrieve(turn)

    def _go_on(self, turn: Turn) -> None:
        """Send the turn, or see to what it still needs."""
        now, job = self.clock(), turn.attempt.job
        if job.cancel_requested_at:
            lapses.canceled_before_sending(turn.pk, now=now)
        elif job.status == Status.NEEDS_REVIEW or not turns.is_ready(turn):
            was_due_at = turn.attempt.next_check_at
            lapses.not_ready(turn.pk, was_due_at=was_due_at, due_at=now + turns.LOOK_AGAIN)
        elif not _names_no_copy(turn) and not carriage.is_ready(job, now=now):
            copies.begin(turn.attempt_id, now=now)
        else:
            self._send(turn)

    def _tidy_up(self, turn: Turn) -> None:
        """An ended attempt: cancel what the job no longer waits for, then see how it ended."""
        attempt = turn.attempt
        unwanted = attempt.state == State.CANCELED and turn.payload is None
        if not turn.response_id:
            Attempt.objects.filter(pk=attempt.pk).update(next_check_at=None, **lifecycle.LET_GO)
        elif unwanted and _cancels_now(attempt):
            self._start("cancel", turn, self.provider.cancel(turn.response_id))
        else:
            self._retrieve(turn)

    def _send(self, turn: Turn) -> None:
        """Mark the turn as sent, and only then send it."""
        try:
            if turn.attempt.strikes > MOST_STRIKES:
                raise requests.CannotSend("Making the request ended the process, repeatedly.")
            if not requests.may_run(turn.attempt.job):
                raise requests.CannotSend("What would be sent is not what was approved.")
            described = requests.describe(turn)
            body = requests.create_body(turn, now=self.clock())
        except carriage.CannotRead as error:
            lapses.document_out_of_reach(turn.pk, str(error), now=self.clock())
            return
        except (requests.CannotSend, carriage.CannotCarry) as error:
            lapses.cannot_be_sent(turn.pk, str(error), now=self.clock())
            return
        if self._mark_sent(turn, described):
            self._start("create", turn, self.provider.create(body))

    def _mark_sent(self, turn: Turn, described: dict[str, Any]) -> bool:
        """Whether it is this sweep that sends it. Both rows are held, and read as they are then:
        through a join, PostgreSQL would see an attempt as it was before somebody let go of it."""
        with lifecycle.locked(turn.attempt.job_id):
            attempt = Attempt.objects.select_for_update(no_key=True).filter(
                pk=turn.attempt_id, state=State.SUBMITTING, lease_token=self.token
            )
            if not attempt.values_list("pk", flat=True):
                return False
            unsent = Turn.objects.filter(pk=turn.pk, sent_at=None)
            return bool(unsent.update(sent_at=self.clock(), request=described))

    def _retrieve(self, turn: Turn) -> None:
        include = requests.included(turn.attempt.job)
        gives_up = turn.attempt.failures >= policy.FILE_TRIES
        call = self.provider.retrieve(
            str(turn.response_id), include=include, give_up_on_files=gives_up
        )
        self._start("retrieve", turn, call)

    def _start(self, kind: str, turn: Turn, call: Coroutine[Any, Any, ProviderResponse]) -> None:
        attempt, job = turn.attempt, turn.attempt.job
        sent = turn.sent_at or self.clock()
        self.requests += 1
        self.calls[self.loop.create_task(call)] = Call(
            kind,
            attempt.pk,
            turn.pk,
            was_due_at=attempt.next_check_at or self.clock(),
            deadline=lapses.deadline(job, attempt),
            age=(self.clock() - sent).total_seconds(),
            job_type_id=job.job_type_id,
            shown=job.progress_message,
            plain=attempt.is_open and not attempt.failures and not attempt.missing_since,
            lethal=attempt.strikes > MOST_STRIKES,
        )

    def _run_loop(self) -> None:
        async def turn() -> None:
            if self.calls:
                await asyncio.wait(
                    self.calls, timeout=LOOP_TURN, return_when=asyncio.FIRST_COMPLETED
                )
            else:
                await asyncio.sleep(LOOP_TURN)

        self.loop.run_until_complete(turn())

    def _write_back(self, done: Iterable[asyncio.Task[ProviderResponse]]) -> None:
        """Write down what came back. A call leaves `calls` only once it is written: where the
        database is away, its answer is kept and written in a later round."""
        still_running: dict[asyncio.Task[ProviderResponse], tuple[UUID, datetime, datetime]] = {}
        for task in done:
            call, error = self.calls[task], task.exception()
            response = None if error else task.result()
            if isinstance(call, Errand):
                with PoisonKeptApart(call.kind.model, call.row_id, self.clock):
                    call.kind.answered(call.row_id, response, error, now=self.clock())
            elif response and call.kind == "retrieve" and self._is_plain(call, response):
                row = (call.attempt_id, call.was_due_at, self._next_check(call))
                still_running[task] = row
                continue
            else:
                with PoisonKeptApart(Attempt, call.attempt_id, self.clock):
                    self._write(call, response, error)
            del self.calls[task]
        if still_running:
            leases.write_still_running(still_running.values(), self.token, now=self.clock())
            for task in still_running:
                del self.calls[task]

    def _write(
        self, call: Call, response: ProviderResponse | None, error: BaseException | None
    ) -> None:
        now = self.clock()
        if response is not None:
            if call.kind == "create":
                outcomes.accepted(call.turn_id, response, now=now, adopted=False)
            elif call.lethal:
                outcomes.looked_up(call.turn_id, response, now=now, reads=False)
            elif call.kind == "cancel" and response.state is State.LIVE:
                outcomes.cancel_sent(call.turn_id, now=now)
            else:
                outcomes.looked_up(call.turn_id, response, now=now, was_due_at=call.was_due_at)
        elif not isinstance(error, ProviderError):
            if call.kind != "create":
                raise error or RuntimeError("a call ended without an answer or an error")
            # Nothing is known of what left: it must not be sent again.
            logger.error("the create of attempt %s broke", call.attempt_id, exc_info=error)
            unknown = OutcomeUnknown("no_answer", f"Submitting it broke: {error!r}")
            outcomes.not_accepted(call.turn_id, unknown, now=now)
        elif call.kind == "create":
            outcomes.not_accepted(call.turn_id, error, now=now)
        else:
            outcomes.lookup_failed(call.turn_id, error, now=now, was_due_at=call.was_due_at)

    def _is_plain(self, call: Call, response: ProviderResponse) -> bool:
        """Whether nothing has changed but the clock, so that the bulk write says it all."""
        said = settling.progress_message(response.status)
        return response.state is State.LIVE and call.plain and call.shown == said

    def _next_check(self, call: Call) -> datetime:
        now = self.clock()
        pause = policy.check_delay(
            call.age,
            typical=self.forecast.typical(call.job_type_id),
            webhooks_arrive=self.forecast.webhooks_arrive(now),
        )
        return min(now + pause, call.deadline)

    def _look_around(self) -> None:
        """Once a second: overdue reviews, and what other apps look after. Once a minute: the audit seal, and files that nobody
        submitted."""
        now = self.clock()
        if now - self._looked_around < LOOK_AROUND_EVERY:
            return
        self._looked_around = now
        overdue = Gate.objects.filter(closed_at=None, expires=True, due_at__lte=now)
        overdue = overdue.exclude(escalate_at__isnull=False, escalate_at__lte=now)
        for job_id in overdue.values_list("job_id", flat=True)[:50]:
            try:
                lapses.review_overdue(job_id, now=now)
            except Exception:
                logger.exception("the overdue review of job %s could not be handled", job_id)
        signals.looked_around.send_robust(Sweep, now=now)
        if now - self._sealed >= SEAL_EVERY:
            self._sealed = now
            audit.seal(now=now, at_most_every=SEAL_EVERY)
            uploads.delete_expired(now)

    def _renew(self) -> None:
        moment = time.monotonic()
        if self.calls and moment - self._renewed >= RENEW_EVERY:
            self._renewed = moment
            held: dict[type[DueRow], list[Any]] = {}
            for call in self.calls.values():
                if isinstance(call, Call):
                    held.setdefault(Attempt, []).append(call.attempt_id)
                elif isinstance(call, Errand):
                    held.setdefault(call.kind.model, []).append(call.row_id)
            for model, ids in held.items():
                leases.renew(model, ids, self.token, now=self.clock())


def _names_no_copy(turn: Turn) -> bool:
    """Whether the request rests on a response before it, which has the documents."""
    return turn.number > 1 and turn.attempt.job.carry == Carry.FILES


def _cancels_now(attempt: Attempt) -> bool:
    """Whether the next call is a cancel. After one that failed comes a look, then another cancel:
    a cancel that is refused for good must not keep us from seeing how the response ends."""
    return attempt.cancel_sent_at is None and attempt.failures % 2 == 0
