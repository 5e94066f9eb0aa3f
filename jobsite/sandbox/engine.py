"""What the sandbox does, without HTTP: create, look up, cancel, delete, count."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from pathlib import Path
from typing import Any

from .documents import Document
from .errors import ApiError
from .faults import Rules
from .intake import Request, new_id, read
from .life import LIVE, VANISHED, Response, plan
from .shapes import echo
from .store import Store
from .webhooks import Courier
from .work import Answer, answer, input_tokens

LOGGED = 5000  # requests
INLINE = 20_000  # bytes of a body; the work on a longer one is done in a thread
LINEAGE = 50  # turns


class Sandbox:
    """The whole state of one sandbox. Belongs to one event loop."""

    def __init__(
        self,
        *,
        pace: float = 1.0,
        webhook_url: str | None = None,
        webhook_secret: str | None = None,
        state: Path | None = None,
        webhook_pause: float = 1.0,
    ) -> None:
        self.pace = pace
        self.store = Store(state)
        self.rules = Rules()
        self.courier = Courier(
            url=webhook_url, secret=webhook_secret, told=self.store.mark_told, pause=webhook_pause
        )
        self.first_target = (webhook_url, webhook_secret)
        self.log: deque[dict[str, Any]] = deque(maxlen=LOGGED)
        self.counts: Counter[str] = Counter()
        self.by_turn: Counter[str] = Counter()

    def open(self) -> None:
        """Read what was kept from the last time; webhooks still owed are set up again."""
        self.store.open(time.time())
        for response in self.store:
            self._count(response)
            self.courier.arrange(response)

    async def close(self) -> None:
        await self.courier.close()
        self.store.close()

    async def reset(self) -> None:
        """Forget all responses, rules, counts and requests; webhooks go where they first went."""
        await self.courier.clear()
        self.courier.configure(*self.first_target)
        self.rules.clear()
        self.store.clear()
        self.log.clear()
        self.counts.clear()
        self.by_turn.clear()

    async def create(self, body: Any, *, do: dict[str, Any], shelf_url: str, size: int) -> Response:
        """Start a response. Its webhook is not arranged yet: that is for after the reply.

        ``size`` is that of the body in bytes. Raises ApiError when the API would refuse it.
        """
        history = self._history(body)

        def work() -> tuple[Request, Answer]:
            request = read(body)
            return request, answer(
                request,
                history=history,
                shelf_url=shelf_url,
                invent_quotes=do.get("invent_quotes", 0),
                break_schema=do.get("break_schema", False),
            )

        request, answered = work() if size <= INLINE else await asyncio.to_thread(work)
        response_id = new_id("resp")
        life = do.get("life") or {}
        response = Response(
            id=response_id,
            started=time.time(),
            echo=echo(request),
            life=plan(answered, request, response_id=response_id, pace=self.pace, do=do),
            items=request.items,
            text=request.text,
            documents=request.documents,
            webhook=do.get("webhook") or life.get("webhook") or {},
        )
        if response.echo["store"]:
            self.store.add(response)
        self._count(response)
        return response

    def _count(self, response: Response) -> None:
        self.counts["responses"] += 1
        if turn := response.metadata.get("turn"):
            self.by_turn[turn] += 1

    def _history(self, body: Any) -> list[Document]:
        """The documents of the turns before; raises ApiError if the last turn cannot be followed."""
        previous_id = body.get("previous_response_id") if isinstance(body, dict) else None
        if previous_id is None:
            return []
        now = time.time()
        try:
            previous = self.store.get(str(previous_id), now)
        except ApiError:
            raise ApiError(
                f"Previous response with id '{previous_id}' not found.",
                param="previous_response_id",
                code="previous_response_not_found",
            ) from None
        given = body.get("input")
        answered = {
            item.get("call_id")
            for item in (given if isinstance(given, list) else [])
            if isinstance(item, dict) and item.get("type") == "function_call_output"
        }
        for item in previous.output(previous.status(now)):
            if item.get("type") == "function_call" and item.get("call_id") not in answered:
                raise ApiError(
                    f"No tool output found for function call {item.get('call_id')}.", param="input"
                )
        documents: list[Document] = []
        for _ in range(LINEAGE):
            documents = [*previous.documents, *documents]
            earlier = self.store.responses.get(previous.echo["previous_response_id"] or "")
            if earlier is None:
                break
            previous = earlier
        return documents

    async def count_tokens(self, body: Any, *, size: int) -> int:
        """The estimate of a request's input tokens. Raises ApiError as a create would."""
        history = self._history(body)
        request = read(body) if size <= INLINE else await asyncio.to_thread(read, body)
        return input_tokens(request, history)

    def get(self, response_id: str) -> Response:
        return self.store.get(response_id, time.time())

    def cancel(self, response: Response, *, lost: bool = False) -> None:
        """End a live response. Raises ApiError (400) for one that has ended otherwise.

        ``lost``: the cancellation is accepted and then gets lost, so nothing changes.
        """
        status = response.status(time.time())
        if status == "cancelled":
            return
        if not response.background:
            raise ApiError("Cannot cancel a synchronous response.")
        if status not in LIVE:
            article = "an" if status[:1] in "aeiou" else "a"
            raise ApiError(f"Cannot cancel {article} {status} response.")
        if not lost:
            self.store.cancel(response, time.time())

    def delete(self, response: Response) -> None:
        self.courier.forget(response)
        self.store.delete(response)

    def stats(self) -> dict[str, Any]:
        now = time.time()
        statuses = Counter(response.status(now) for response in self.store)
        return {
            "creates": self.counts["create"],
            "retrieves": self.counts["retrieve"],
            "cancels": self.counts["cancel"],
            "deletes": self.counts["delete"],
            "responses": self.counts["responses"],
            "live": sum(statuses[status] for status in LIVE),
            "by_status": dict(statuses),
            "by_turn": dict(self.by_turn),
            "webhooks": dict(self.courier.counts),
            "rules": len(self.rules.rules),
            "pace": self.pace,
        }

    def describe(self, response: Response) -> dict[str, Any]:
        """What the provider believes of a response: also of one that has vanished."""
        now = time.time()
        status = response.status(now)
        ends_at = response.ends_at
        over = status not in LIVE
        return {
            "id": response.id,
            "status": status,
            "metadata": response.metadata,
            "created_at": response.started,
            "done_at": ends_at if over and status != VANISHED else None,
        }
