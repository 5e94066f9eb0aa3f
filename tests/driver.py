"""Drives the real engine, with the real SDK over real HTTP, on a clock that tests move."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Self
from uuid import UUID

from django_q.models import OrmQ

from jobs import calls, leases
from jobs.engine import Sweep
from jobs.models import (
    Attempt,
    FunctionCall,
    Job,
    ProviderFile,
    ProviderStore,
    WebhookReceipt,
)
from jobs.provider.client import Provider
from jobs.provider.errors import ProviderError
from jobs.provider.payloads import ProviderResponse

DUE = [
    model.objects for model in (Attempt, FunctionCall, ProviderFile, ProviderStore, WebhookReceipt)
]


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.now = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def advance(self, seconds: float) -> datetime:
        self.now += timedelta(seconds=seconds)
        return self.now


class Driver:
    """`settle` is what most tests need: work until nothing is left to do for a job."""

    def __init__(self, base_url: str, clock: Clock, *, timeout: float = 5.0) -> None:
        self.clock = clock
        self.loop = asyncio.new_event_loop()
        self.provider = Provider(
            base_url=base_url, api_key="sk-test", create_timeout=timeout, lookup_timeout=timeout
        )
        self.sweep = self.new_sweep()
        self.runs_tools = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        for task in self.sweep.calls:
            task.cancel()
        self.loop.run_until_complete(self.provider.close())
        self.loop.close()

    def new_sweep(self) -> Sweep:
        return Sweep(self.loop, self.provider, clock=self.clock)

    def work(self) -> None:
        """Do everything that is due now, and what becomes due at this moment by it."""
        while True:
            now = self.clock()
            due = any(rows.due(now).exists() for rows in DUE)
            if not due and not self.sweep.calls:
                return
            self.tick()

    def tick(self) -> None:
        """One round of the sweep, with a look at webhooks and overdue reviews."""
        self.sweep._looked_around = datetime.min.replace(tzinfo=UTC)
        self.sweep.tick()
        if self.runs_tools:
            self.run_tools()

    def run_tools(self) -> None:
        """What a worker of the queue does with the tool calls that were handed to it."""
        for task in OrmQ.objects.all():
            if task.func() == calls.RUN:
                task.delete()
                calls.run(UUID(task.kwargs()["call_id"]), clock=self.clock)

    def lost_tasks(self) -> int:
        """Lose the tool calls that were handed to the queue, and say how many."""
        lost = [task for task in OrmQ.objects.all() if task.func() == calls.RUN]
        for task in lost:
            task.delete()
        return len(lost)

    def reach(self, holds: Callable[[], Any], *, ticks: int = 100) -> None:
        """Tick until `holds()`, while the clock stands still; for what is on its way."""
        for _tick in range(ticks):
            self.tick()
            if holds():
                return
        raise AssertionError("it never came to that")

    @contextmanager
    def holding(self, kind: str) -> Iterator[None]:
        """Within the block, answers to "create", "retrieve" or "cancel" are kept back: the call
        was made, and is on its way until the block ends."""
        released, ask = asyncio.Event(), getattr(self.provider, kind)

        async def held(*args: Any, **kwargs: Any) -> ProviderResponse:
            try:
                answer: ProviderResponse = await ask(*args, **kwargs)
            except ProviderError:
                await released.wait()
                raise
            await released.wait()
            return answer

        setattr(self.provider, kind, held)
        try:
            yield
        finally:
            setattr(self.provider, kind, ask)
            released.set()

    @contextmanager
    def holding_upload(self) -> Iterator[None]:
        """As `holding`, for uploads of documents."""
        released, ask = asyncio.Event(), self.provider.storage.upload

        async def held(**kwargs: Any) -> str:
            answer = await ask(**kwargs)
            await released.wait()
            return answer

        self.provider.storage.upload = held  # type: ignore[method-assign]
        try:
            yield
        finally:
            self.provider.storage.upload = ask  # type: ignore[method-assign]
            released.set()

    def step(self) -> bool:
        """Move the clock to the next due moment and work. False where nothing is due any more."""
        self.work()
        moments = [
            moment
            for rows in DUE
            for moment in rows.exclude(next_check_at=None).values_list("next_check_at", flat=True)
        ]
        if not moments:
            return False
        self.clock.now = max(self.clock.now, min(moments))
        self.work()
        return True

    def until(self, holds: Callable[[], Any], *, steps: int = 60) -> None:
        """Step until `holds()`; fails after `steps` steps."""
        self.work()
        for _step in range(steps):
            if holds():
                return
            if not self.step():
                break
        assert holds(), "it never came to that"

    def settle(self, job: Job, *, steps: int = 60) -> Job:
        """Step until the job is settled or waits for a person."""

        def rests() -> bool:
            job.refresh_from_db()
            return job.is_settled or job.open_gate is not None

        self.until(rests, steps=steps)
        return job

    def drop_calls(self) -> None:
        """What a kill does: the process is gone with its calls, and its leases lapse."""
        for task in self.sweep.calls:
            task.cancel()
        if self.sweep.calls:
            self.loop.run_until_complete(asyncio.wait(self.sweep.calls))
        self.sweep.calls.clear()
        self.sweep = self.new_sweep()
        self.clock.advance(leases.ATTEMPT_LEASE.total_seconds() + 0.1)
