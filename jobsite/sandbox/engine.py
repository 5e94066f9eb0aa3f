"""What the sandbox does, without HTTP: create, look up, cancel, delete, count."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from pathlib import Path
from typing import Any

from .containers import Containers, scripted
from .documents import Document
from .errors import ApiError, response_not_found
from .faults import Rules
from .files import File, Files
from .intake import Request, new_id, read
from .life import LIVE, VANISHED, Response, plan
from .shapes import echo
from .store import Store
from .thread import Thread, check_answers
from .vector_stores import Entry, VectorStores
from .webhooks import Courier
from .work import Answer, Item, answer, input_tokens, tool_of

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
        self.files = Files(state)
        self.stores = VectorStores(self.files, pace=pace, state=state)
        self.containers = Containers(state)
        self.rules = Rules()
        self.courier = Courier(
            url=webhook_url, secret=webhook_secret, told=self.store.mark_told, pause=webhook_pause
        )
        self.first_target = (webhook_url, webhook_secret)
        self.log: deque[dict[str, Any]] = deque(maxlen=LOGGED)
        self.counts: Counter[str] = Counter()
        self.by_turn: Counter[str] = Counter()
        self.streaming = 0  # connections that are told events now

    def open(self) -> None:
        """Read what was kept from the last time; webhooks still owed are set up again."""
        self.store.open(time.time())
        self.files.open(time.time())
        self.stores.open()
        self.containers.open()
        for response in self.store:
            self.abandon(response)
            self._count(response)
            self.courier.arrange(response)

    async def close(self) -> None:
        for response in self.store:
            self.abandon(response)
        await self.courier.close()
        self.store.close()

    async def reset(self) -> None:
        """Forget responses, files, stores, containers, rules, counts and requests.

        Webhooks go where they first went.
        """
        await self.courier.clear()
        self.courier.configure(*self.first_target)
        self.rules.clear()
        self.store.clear()
        self.stores.clear()
        self.files.clear()
        self.containers.clear()
        self.log.clear()
        self.counts.clear()
        self.by_turn.clear()

    async def create(self, body: Any, *, do: dict[str, Any], shelf_url: str, size: int) -> Response:
        """Start a response. Its webhook is not arranged yet: that is for after the reply.

        ``size`` is that of the body in bytes. Raises ApiError when the API would refuse it.
        """
        history, past = self._history(body, lost=bool(do.get("previous_not_found")))

        def work() -> tuple[Request, Answer]:
            request = read(body, self.files)
            self._resolve(request)
            check_answers(Thread(past, request.items))
            return request, answer(
                request,
                history=history,
                past=past,
                shelf_url=shelf_url,
                ready=self._tool_files(request),
                invent_quotes=do.get("invent_quotes", 0),
                break_schema=do.get("break_schema", False),
            )

        size += sum(len(document.text) for document in history)
        small = size <= INLINE and not _names_files(body)
        request, answered = work() if small else await asyncio.to_thread(work)
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
            streamed=bool(request.params.get("stream")),
        )
        made = [*answered.made, *scripted(life)] if "output" not in life else scripted(life)
        if made and response.ends_at is not None:
            self.containers.take(made, at=response.ends_at)
        if response.echo["store"]:
            self.store.add(response)
        self._count(response)
        return response

    def _tool_files(self, request: Request) -> list[tuple[File, Entry]]:
        """What file_search may read. Raises ApiError (404) when a tool names what is not there.

        Files that are put into a container become documents of the request.
        """
        now = time.time()
        coder = tool_of(request, "code_interpreter") or {}
        container = coder.get("container")
        if isinstance(container, str):
            self.containers.get(container, now)
        elif isinstance(container, dict):
            for file_id in container.get("file_ids") or []:
                document = self.files.get(file_id, now).readable()
                if document and document not in request.documents:
                    request.documents.append(document)
        searcher = tool_of(request, "file_search") or {}
        stores = [self.stores.usable(one, now) for one in searcher.get("vector_store_ids") or []]
        pairs = [pair for store in stores for pair in self.stores.ready(store, now)]
        return list({file.id: (file, entry) for file, entry in pairs}.values())

    def _count(self, response: Response) -> None:
        self.counts["responses"] += 1
        if turn := response.metadata.get("turn"):
            self.by_turn[turn] += 1

    def _history(self, body: Any, *, lost: bool = False) -> tuple[list[Document], list[Item]]:
        """The documents and the items of the turns before.

        Raises ApiError if the last is unknown, or is to be taken for ``lost``.
        """
        previous_id = body.get("previous_response_id") if isinstance(body, dict) else None
        if previous_id is None:
            return [], []
        now = time.time()
        try:
            previous = self.store.get("" if lost else str(previous_id), now)
        except ApiError:
            raise _previous_not_found(previous_id) from None
        documents: list[Document] = []
        items: list[Item] = []
        for _ in range(LINEAGE):
            documents = [*previous.documents, *documents]
            items = [*previous.items, *previous.output(previous.status(now)), *items]
            earlier = self.store.responses.get(previous.echo["previous_response_id"] or "")
            if earlier is None:
                break
            previous = earlier
        return documents, items

    def _resolve(self, request: Request) -> None:
        """Put items in the place of references to them. Raises ApiError (400) for unknown ones."""
        wanted = {item["id"] for item in request.items if item["type"] == "item_reference"}
        if not wanted:
            return
        known = {
            item["id"]: item
            for response in list(self.store)
            for item in [*response.items, *response.life.output]
            if isinstance(item.get("id"), str) and item["id"] in wanted
        }
        for index, item in enumerate(request.items):
            if item["type"] == "item_reference":
                if item["id"] not in known:
                    raise ApiError(f"Item with id '{item['id']}' not found.", param="input")
                request.items[index] = known[item["id"]]

    async def count_tokens(self, body: Any, *, size: int) -> int:
        """The estimate of a request's input tokens. Raises ApiError as a create would."""
        history, past = self._history(body)
        small = size <= INLINE and not _names_files(body)
        request = (
            read(body, self.files) if small else await asyncio.to_thread(read, body, self.files)
        )
        return input_tokens(request, history, past)

    def get(self, response_id: str) -> Response:
        """Raises ApiError (404); also for one that is not in the background and still streams."""
        now = time.time()
        response = self.store.get(response_id, now)
        if not response.background and response.status(now) in LIVE:
            raise response_not_found(response_id)
        return response

    def abandon(self, response: Response) -> None:
        """End a response that lives only as long as its stream: nobody is there any more."""
        now = time.time()
        if not response.background and response.status(now) in LIVE:
            self.store.cancel(response, now)

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
            "streams": self.counts["stream"],
            "streaming": self.streaming,
            "cancels": self.counts["cancel"],
            "deletes": self.counts["delete"],
            "responses": self.counts["responses"],
            "uploads": self.counts["upload"],
            "uploaded": self.counts["uploaded"],
            "file_deletes": self.counts["file_delete"],
            "store_creates": self.counts["store_create"],
            "stores_made": self.counts["stores_made"],
            "store_deletes": self.counts["store_delete"],
            "downloads": self.counts["download"],
            "files": sum(not file.gone(now) for file in self.files),
            "vector_stores": len(self.stores.stores),
            "containers": sum(container.there(now) for container in self.containers),
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


def _previous_not_found(response_id: Any) -> ApiError:
    return ApiError(
        f"Previous response with id '{response_id}' not found.",
        param="previous_response_id",
        code="previous_response_not_found",
    )


def _names_files(body: Any) -> bool:
    """Whether a body points to files that are kept here, whose size its own does not tell."""
    given = body if isinstance(body, dict) else {}
    if isinstance(given.get("tools"), list) and given["tools"]:
        return True
    items = given.get("input")
    for item in items if isinstance(items, list) else []:
        parts = item.get("content") if isinstance(item, dict) else None
        for part in parts if isinstance(parts, list) else []:
            if isinstance(part, dict) and "file_id" in part:
                return True
    return False
