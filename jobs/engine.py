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
from django.db import InterfaceError, OperationalError, reset_queries
from django.db.models import F
from django.utils import timezone

from jobs import audit, leases, lifecycle, outcomes, policy, requests, settling, uploads
from jobs.actions import NAMED_BY_OPERATOR
from jobs.forecast import Forecast
from jobs.lifecycle import Reason
from jobs.models import Attempt, Gate, State, Status, Turn, Verb, WebhookReceipt
from jobs.provider.client import Provider
from jobs.provider.errors import NotFound, OutcomeUnknown, ProviderError
from jobs.provider.payloads import ProviderResponse

logger = logging.getLogger(__name__)

DATABASE_AWAY = (OperationalError, InterfaceError)
#: Calls under way at once in one sweep. Creates are fewer: those that a kill catches on their way
#: become unknown, and a person has to look at each.
MOST_IN_FLIGHT = 64
MOST_CREATES = 8
#: Seconds.
LOOP_TURN = 0.2
BEAT_EVERY = 0.5
RENEW_EVERY = 4.0
#: A row that breaks the sweep is put off by this much, doubled each time, up to an hour.
POISON_PAUSE = 30.0
#: Deaths in a row while a row was held, after which its answer is stored without being read.
MOST_STRIKES = 3
LOOK_AROUND_EVERY = timedelta(seconds=1)
SEAL_EVERY = timedelta(minutes=1)
RECEIPT_LEASE = timedelta(seconds=30)
RECEIPT_TRIES = 12


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


@dataclass
class Adoption:
    """A response that a webhook or a person named, and that no turn has."""

    receipt: WebhookReceipt


@cache
def runtime() -> tuple[asyncio.AbstractEventLoop, Provider]:
    """This process's event loop and its client: made once, because connections are worth keeping."""
    provider = Provider(
        base_url=settings.OPENAI_BASE_URL,
        api_key=settings.OPENAI_API_KEY or "sandbox",
        create_timeout=settings.OPENAI_CREATE_TIMEOUT,
        lookup_timeout=settings.OPENAI_RETRIEVE_TIMEOUT,
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
        self.calls: dict[asyncio.Task[ProviderResponse], Call | Adoption] = {}
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
            self._look_around()
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
        turns = (
            Turn.objects.filter(attempt__in=ids)
            .select_related("attempt__job__job_type", "attempt__job__prompt_version")
            .defer("payload", "late_payload", "request")
            .order_by("number")
        )
        # One whose lease has lapsed under a slow round is still ours, and its call is on its way.
        ours = {call.attempt_id for call in self.calls.values() if isinstance(call, Call)}
        for turn in {turn.attempt_id: turn for turn in turns}.values():
            if turn.attempt_id in ours:
                continue
            with self._poison_kept_apart(turn.attempt):
                self._take_up(turn)

    def _take_up(self, turn: Turn) -> None:
        """Do what is due for an attempt, or put the call that it needs on its way."""
        now, attempt, job = self.clock(), turn.attempt, turn.attempt.job
        limit = outcomes.deadline(job, attempt)
        if not attempt.is_open:
            self._tidy_up(turn)
        elif attempt.state == State.SUBMITTING and turn.sent_at:
            outcomes.send_never_answered(turn.pk, now=now)
        elif limit <= now and job.status in (Status.QUEUED, Status.RUNNING):
            outcomes.deadline_passed(turn.pk, now=now)
        elif attempt.state == State.SUBMITTING:
            self._send(turn)
        elif attempt.state == State.UNKNOWN:
            outcomes.unknown_wait_over(turn.pk, now=now)
        elif job.cancel_requested_at and _cancels_now(attempt):
            self._start("cancel", turn, self.provider.cancel(str(turn.response_id)))
        else:
            self._retrieve(turn)

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
                raise requests.DocumentChanged("Making the request ended the process, repeatedly.")
            if not requests.may_run(turn.attempt.job):
                raise requests.DocumentChanged("What would be sent is not what was approved.")
            described, body = requests.describe(turn), requests.create_body(turn)
        except requests.DocumentChanged as error:
            outcomes.cannot_be_sent(turn.pk, str(error), now=self.clock())
            return
        marked = Turn.objects.filter(
            pk=turn.pk,
            sent_at=None,
            attempt__state=State.SUBMITTING,
            attempt__lease_token=self.token,
        ).update(sent_at=self.clock(), request=described)
        if marked:
            self._start("create", turn, self.provider.create(body))

    def _retrieve(self, turn: Turn) -> None:
        include = requests.includes(turn.attempt.job.prompt_version.tools)
        self._start(
            "retrieve", turn, self.provider.retrieve(str(turn.response_id), include=include)
        )

    def _start(self, kind: str, turn: Turn, call: Coroutine[Any, Any, ProviderResponse]) -> None:
        attempt, job = turn.attempt, turn.attempt.job
        submitted = attempt.submitted_at or self.clock()
        self.requests += 1
        self.calls[self.loop.create_task(call)] = Call(
            kind,
            attempt.pk,
            turn.pk,
            was_due_at=attempt.next_check_at or self.clock(),
            deadline=outcomes.deadline(job, attempt),
            age=(self.clock() - submitted).total_seconds(),
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
            if isinstance(call, Adoption):
                self._adopt(call.receipt, response, error)
            elif response and call.kind == "retrieve" and self._is_plain(call, response):
                row = (call.attempt_id, call.was_due_at, self._next_check(call))
                still_running[task] = row
                continue
            else:
                with self._poison_kept_apart(call.attempt_id):
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
        """Once a second: named responses to adopt, and overdue reviews. Once a minute: the audit
        seal, and files that nobody submitted."""
        now = self.clock()
        if now - self._looked_around < LOOK_AROUND_EVERY:
            return
        self._looked_around = now
        for receipt in WebhookReceipt.objects.due(now).order_by("next_check_at")[:20]:
            self._take_up_receipt(receipt, now)
        overdue = Gate.objects.filter(closed_at=None, expires=True, due_at__lte=now)
        for job_id in overdue.values_list("job_id", flat=True)[:50]:
            try:
                outcomes.review_overdue(job_id, now=now)
            except Exception:
                logger.exception("the overdue review of job %s could not be handled", job_id)
        if now - self._sealed >= SEAL_EVERY:
            self._sealed = now
            audit.seal(now=now, at_most_every=SEAL_EVERY)
            uploads.delete_expired(now)

    def _take_up_receipt(self, receipt: WebhookReceipt, now: datetime) -> None:
        claimed = WebhookReceipt.objects.filter(
            pk=receipt.pk, next_check_at=receipt.next_check_at
        ).update(next_check_at=now + RECEIPT_LEASE)
        if not claimed:
            return
        known = Turn.objects.filter(response_id=receipt.response_id).first()
        if known:
            # The create was answered in the meantime.
            Attempt.objects.filter(pk=known.attempt_id, ended_at=None).update(next_check_at=now)
            _close(receipt, "known")
            return
        self.requests += 1
        task = self.loop.create_task(self.provider.retrieve(receipt.response_id))
        self.calls[task] = Adoption(receipt)

    def _adopt(
        self,
        receipt: WebhookReceipt,
        response: ProviderResponse | None,
        error: BaseException | None,
    ) -> None:
        if response is not None:
            try:
                turn = _turn_named_by(response)
                if turn is None:
                    _close(receipt, "not ours")
                else:
                    taken = outcomes.accepted(turn.pk, response, now=self.clock(), adopted=True)
                    _close(receipt, "adopted" if taken else "second response")
                return
            except DATABASE_AWAY:
                raise
            except Exception:
                logger.exception("the response %s could not be adopted", response.id)
        elif isinstance(error, NotFound) and receipt.failures:
            _close(receipt, "not found")
            return
        if receipt.failures + 1 >= RECEIPT_TRIES:
            _close(receipt, "given up")
        else:
            pause = policy.lookup_delay(receipt.failures + 1)
            WebhookReceipt.objects.filter(pk=receipt.pk).update(
                failures=F("failures") + 1, next_check_at=self.clock() + pause
            )

    def _renew(self) -> None:
        moment = time.monotonic()
        if self.calls and moment - self._renewed >= RENEW_EVERY:
            self._renewed = moment
            ids = [call.attempt_id for call in self.calls.values() if isinstance(call, Call)]
            leases.renew(ids, self.token, now=self.clock())

    def _poison_kept_apart(self, attempt: Attempt | UUID) -> "_PoisonKeptApart":
        return _PoisonKeptApart(attempt if isinstance(attempt, UUID) else attempt.pk, self.clock)


class _PoisonKeptApart:
    """A row whose handling breaks is logged and put off, so that it cannot stop the others."""

    def __init__(self, attempt_id: UUID, clock: Callable[[], datetime]) -> None:
        self.attempt_id = attempt_id
        self.clock = clock

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> bool:
        # A database that is away is no fault of the row: what came back is written again later.
        if not isinstance(error, Exception) or isinstance(error, DATABASE_AWAY):
            return False
        logger.error("attempt %s could not be handled", self.attempt_id, exc_info=error)
        attempt = Attempt.objects.get(pk=self.attempt_id)
        pause = min(POISON_PAUSE * 2 ** min(attempt.failures, 7), 3600.0)
        Attempt.objects.filter(pk=attempt.pk).update(
            failures=F("failures") + 1,
            next_check_at=self.clock() + timedelta(seconds=pause),
            **lifecycle.LET_GO,
        )
        return True


def _cancels_now(attempt: Attempt) -> bool:
    """Whether the next call is a cancel. After one that failed comes a look, then another cancel:
    a cancel that is refused for good must not keep us from seeing how the response ends."""
    return attempt.cancel_sent_at is None and attempt.failures % 2 == 0


def _turn_named_by(response: ProviderResponse) -> Turn | None:
    """The turn that a response's metadata names, if the job and the attempt fit."""
    named = response.metadata
    try:
        turn_id = UUID(str(named.get("turn", "")))
    except ValueError:
        return None
    turn = Turn.objects.select_related("attempt").filter(pk=turn_id).first()
    if turn is None:
        return None
    ours = (str(turn.attempt.job_id), str(turn.attempt_id))
    return turn if (named.get("job"), named.get("attempt")) == ours else None


def _close(receipt: WebhookReceipt, outcome: str) -> None:
    WebhookReceipt.objects.filter(pk=receipt.pk).update(outcome=outcome, next_check_at=None)
    if outcome in ("adopted", "known") or not receipt.webhook_id.startswith(NAMED_BY_OPERATOR):
        return
    named = receipt.webhook_id.removeprefix(NAMED_BY_OPERATOR)[:36]
    text = f"The response {receipt.response_id} that an operator named is of no use: {outcome}."
    with lifecycle.locked(UUID(named)) as job:
        reason = Reason("named_response_unusable", text)
        lifecycle.record(job, Verb.WAITING, now=timezone.now(), reason=reason)
