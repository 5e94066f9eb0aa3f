"""Vector stores: which files they hold, and how far those are indexed.

Nothing runs while files are indexed: each entry knows when it is ready, one after the other, and a
status is worked out whenever somebody asks.
"""

from __future__ import annotations

import dataclasses
import secrets
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .documents import Unreadable
from .errors import ApiError
from .files import File, Files
from .kept import Drawer

INDEXING = 0.15  # seconds a file, at pace 1
DAY = 24 * 3600
STATIC = {
    "type": "static",
    "static": {"max_chunk_size_tokens": 800, "chunk_overlap_tokens": 400},
}
STATES = ("in_progress", "completed", "failed", "cancelled")


@dataclass(slots=True)
class Entry:
    """A file in a store. ``error`` is why it will fail, once it is ready."""

    file_id: str
    created_at: float
    ready_at: float
    error: dict[str, str] | None
    attributes: dict[str, Any]
    chunking: dict[str, Any]
    cancelled: bool = False

    def status(self, now: float) -> str:
        if self.cancelled:
            return "cancelled"
        if now < self.ready_at:
            return "in_progress"
        return "failed" if self.error else "completed"


@dataclass(slots=True)
class Batch:
    id: str
    created_at: float
    file_ids: list[str]
    cancelled: bool = False


@dataclass(slots=True)
class VectorStore:
    """``pause`` is how long one file takes, in seconds; ``failing`` are file names that shall fail."""

    id: str
    name: str
    description: str | None
    created_at: float
    last_active_at: float
    metadata: dict[str, str]
    days: int | None
    pause: float
    failing: list[str] = field(default_factory=list)
    entries: dict[str, Entry] = field(default_factory=dict)
    batches: dict[str, Batch] = field(default_factory=dict)

    @property
    def expires_at(self) -> int | None:
        return None if self.days is None else int(self.last_active_at) + self.days * DAY

    def expired(self, now: float) -> bool:
        return self.expires_at is not None and now >= self.expires_at

    @classmethod
    def from_json(cls, made: dict[str, Any]) -> VectorStore:
        entries = {key: Entry(**entry) for key, entry in made.pop("entries").items()}
        batches = {key: Batch(**batch) for key, batch in made.pop("batches").items()}
        return cls(**made, entries=entries, batches=batches)


def counts_of(statuses: Iterable[str]) -> dict[str, int]:
    counted = Counter(statuses)
    return {**{state: counted[state] for state in STATES}, "total": counted.total()}


def no_such_store(store_id: str) -> ApiError:
    return ApiError(f"Vector store with id '{store_id}' not found.", status=404)


class VectorStores:
    """The vector stores of one sandbox, oldest first, over its files."""

    def __init__(self, files: Files, *, pace: float, state: Path | None = None) -> None:
        self.files = files
        self.pace = pace
        self.stores: dict[str, VectorStore] = {}
        self.drawer = Drawer(state, "vector_stores")

    def open(self) -> None:
        for made in sorted(self.drawer, key=lambda made: made["created_at"]):
            store = VectorStore.from_json(made)
            self.stores[store.id] = store

    def __iter__(self) -> Iterator[VectorStore]:
        return iter(list(self.stores.values()))

    def create(
        self,
        *,
        name: str,
        description: str | None,
        metadata: dict[str, str],
        days: int | None,
        now: float,
        do: dict[str, Any],
    ) -> VectorStore:
        """An empty store. ``do`` may say how long a file takes, and which fail."""
        store = VectorStore(
            id=f"vs_{secrets.token_hex(16)}",
            name=name,
            description=description,
            created_at=now,
            last_active_at=now,
            metadata=metadata,
            days=days,
            pause=do.get("index", INDEXING * self.pace),
            failing=do.get("index_fails", []),
        )
        self.stores[store.id] = store
        self.keep(store)
        return store

    def keep(self, store: VectorStore) -> None:
        self.drawer.write(store.id, dataclasses.asdict(store))

    def get(self, store_id: str) -> VectorStore:
        """Raises ApiError (404) for what is unknown or deleted."""
        store = self.stores.get(store_id)
        if store is None:
            raise no_such_store(store_id)
        return store

    def usable(self, store_id: str, now: float) -> VectorStore:
        """A store to search or to add to, which is active from now. Raises ApiError (404, 400)."""
        store = self.get(store_id)
        if store.expired(now):
            raise ApiError(f"Vector store with id '{store_id}' has expired.")
        store.last_active_at = now
        self.keep(store)
        return store

    def delete(self, store: VectorStore) -> None:
        self.stores.pop(store.id, None)
        self.drawer.remove(store.id)

    def attach(
        self,
        store: VectorStore,
        wanted: list[dict[str, Any]],
        *,
        now: float,
        batch: bool = False,
    ) -> Batch:
        """Queue files behind those that wait already; ``{file_id, attributes, chunking}`` each.

        Files must exist, and have been read before if reading them is slow. A file that is in the
        store already stays as it is. The batch is remembered when it is one.
        """
        made = Batch(f"vsfb_{secrets.token_hex(16)}", now, [one["file_id"] for one in wanted])
        ready = max([now, *(entry.ready_at for entry in store.entries.values())])
        for one in wanted:
            known = store.entries.get(one["file_id"])
            if known and known.status(now) != "cancelled":
                continue
            ready += store.pause
            file = self.files.get(one["file_id"], now)
            store.entries[file.id] = Entry(
                file_id=file.id,
                created_at=now,
                ready_at=ready,
                error=_failure(file, store),
                attributes=one["attributes"],
                chunking=one["chunking"],
            )
        if batch:
            store.batches[made.id] = made
        store.last_active_at = now
        self.keep(store)
        return made

    def detach(self, store: VectorStore, file_id: str) -> None:
        del store.entries[file_id]
        self.keep(store)

    def cancel(self, store: VectorStore, batch: Batch, now: float) -> None:
        """Stop what is still waiting; what is indexed stays."""
        if self.batch_status(store, batch, now) != "in_progress":
            return
        batch.cancelled = True
        for file_id in batch.file_ids:
            entry = store.entries.get(file_id)
            if entry and entry.status(now) == "in_progress":
                entry.cancelled = True
        self.keep(store)

    def entries(self, store: VectorStore, now: float) -> list[Entry]:
        """What a store holds: a file that was deleted, or has expired, is gone from it as well."""
        return [
            entry for entry in list(store.entries.values()) if self.files.find(entry.file_id, now)
        ]

    def entry(self, store: VectorStore, file_id: str, now: float) -> Entry:
        """Raises ApiError (404)."""
        for entry in self.entries(store, now):
            if entry.file_id == file_id:
                return entry
        raise ApiError(
            f"No file found with id '{file_id}' in vector store '{store.id}'.", status=404
        )

    def batch(self, store: VectorStore, batch_id: str) -> Batch:
        """Raises ApiError (404)."""
        if batch_id not in store.batches:
            raise ApiError(f"No file batch found with id '{batch_id}'.", status=404)
        return store.batches[batch_id]

    def batch_entries(self, store: VectorStore, batch: Batch, now: float) -> list[Entry]:
        wanted = set(batch.file_ids)
        return [entry for entry in self.entries(store, now) if entry.file_id in wanted]

    def batch_status(self, store: VectorStore, batch: Batch, now: float) -> str:
        if batch.cancelled:
            return "cancelled"
        statuses = {entry.status(now) for entry in self.batch_entries(store, batch, now)}
        return "in_progress" if "in_progress" in statuses else "completed"

    def ready(self, store: VectorStore, now: float) -> list[tuple[File, Entry]]:
        """The files that can be searched."""
        found = [
            (self.files.find(entry.file_id, now), entry)
            for entry in self.entries(store, now)
            if entry.status(now) == "completed"
        ]
        return [(file, entry) for file, entry in found if file is not None]

    def body(self, store: VectorStore, now: float) -> dict[str, Any]:
        entries = self.entries(store, now)
        counts = counts_of(entry.status(now) for entry in entries)
        status = "in_progress" if counts["in_progress"] else "completed"
        expires_after = {"anchor": "last_active_at", "days": store.days} if store.days else None
        return {
            "id": store.id,
            "object": "vector_store",
            "created_at": int(store.created_at),
            "name": store.name,
            "description": store.description,
            "usage_bytes": sum(self.usage(entry, now) for entry in entries),
            "file_counts": counts,
            "status": "expired" if store.expired(now) else status,
            "expires_after": expires_after,
            "expires_at": store.expires_at,
            "last_active_at": int(store.last_active_at),
            "metadata": store.metadata,
        }

    def usage(self, entry: Entry, now: float) -> int:
        file = self.files.find(entry.file_id, now)
        return len(file.data) if file and entry.status(now) == "completed" else 0

    def entry_body(self, store: VectorStore, entry: Entry, now: float) -> dict[str, Any]:
        status = entry.status(now)
        return {
            "id": entry.file_id,
            "object": "vector_store.file",
            "usage_bytes": self.usage(entry, now),
            "created_at": int(entry.created_at),
            "vector_store_id": store.id,
            "status": status,
            "last_error": entry.error if status == "failed" else None,
            "chunking_strategy": entry.chunking,
            "attributes": entry.attributes,
        }

    def batch_body(self, store: VectorStore, batch: Batch, now: float) -> dict[str, Any]:
        return {
            "id": batch.id,
            "object": "vector_store.files_batch",
            "created_at": int(batch.created_at),
            "vector_store_id": store.id,
            "status": self.batch_status(store, batch, now),
            "file_counts": counts_of(
                entry.status(now) for entry in self.batch_entries(store, batch, now)
            ),
        }

    def clear(self) -> None:
        self.stores.clear()
        self.drawer.clear()


def _failure(file: File, store: VectorStore) -> dict[str, str] | None:
    """Why this file will not be indexed; None when it will."""
    if file.filename in store.failing:
        return {"code": "server_error", "message": "An internal error occurred."}
    try:
        file.document()
    except Unreadable as error:
        whole = file.data.strip() and not file.data.startswith(b"%PDF")
        return {"code": "unsupported_file" if whole else "invalid_file", "message": str(error)}
    return None
