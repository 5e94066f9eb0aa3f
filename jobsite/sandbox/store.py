"""The responses that are remembered; with a folder, also across restarts.

The folder holds one file of JSON lines: each create, cancel, delete and delivered webhook as it
happens. It is read at the start and then rewritten without what is past.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from .errors import response_not_found
from .life import VANISHED, Response

KEPT = 24 * 3600.0  # seconds


class Store:
    def __init__(self, folder: Path | None = None) -> None:
        self.responses: dict[str, Response] = {}
        self.path = folder / "responses.jsonl" if folder else None
        self.file: TextIO | None = None
        self.dropped = 0  # responses that are still in the file but no longer here

    def __iter__(self) -> Iterator[Response]:
        return iter(self.responses.values())

    def __len__(self) -> int:
        return len(self.responses)

    def open(self, now: float) -> None:
        """Read the file, drop what is too old, and write the rest back."""
        if self.path is None:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if self.path.exists():
            with self.path.open(encoding="utf-8") as lines:
                for line in lines:
                    self._apply(line)
        self.drop_old(now)
        self._rewrite()

    def _apply(self, line: str) -> None:
        try:
            entry = json.loads(line)
        except json.JSONDecodeError:
            return  # the last line of a process that was killed while it wrote
        if entry["op"] == "create":
            response = Response.from_json(entry["response"])
            self.responses[response.id] = response
        elif (known := self.responses.get(entry["id"])) is None:
            return
        elif entry["op"] == "cancel":
            known.cancelled_at, known.told = entry["at"], False
        elif entry["op"] == "told":
            known.told = True
        elif entry["op"] == "delete":
            del self.responses[known.id]

    def _rewrite(self) -> None:
        assert self.path is not None
        fresh = self.path.with_suffix(".new")
        with fresh.open("w", encoding="utf-8") as file:
            for response in self:
                file.write(_line({"op": "create", "response": response.to_json()}))
        self.close()
        os.replace(fresh, self.path)
        self.dropped = 0
        self.file = self.path.open("a", encoding="utf-8")

    def _note(self, **entry: Any) -> None:
        if self.file is not None:
            self.file.write(_line(entry))
            self.file.flush()

    def add(self, response: Response) -> None:
        self.drop_old(response.started)
        self.responses[response.id] = response
        if self.file is not None:
            self._note(op="create", response=response.to_json())

    def get(self, response_id: str, now: float) -> Response:
        """Raises ApiError (404) for what is unknown, deleted, too old or vanished."""
        response = self.responses.get(response_id)
        if response is None or now - response.started > KEPT or response.status(now) == VANISHED:
            raise response_not_found(response_id)
        return response

    def cancel(self, response: Response, now: float) -> None:
        response.cancelled_at, response.told = now, False
        self._note(op="cancel", id=response.id, at=now)

    def delete(self, response: Response) -> None:
        del self.responses[response.id]
        self._note(op="delete", id=response.id)

    def mark_told(self, response: Response) -> None:
        """Note that its webhook needs no more tries."""
        if not response.told and response.id in self.responses:
            response.told = True
            self._note(op="told", id=response.id)

    def drop_old(self, now: float) -> None:
        """Forget what is older than a day. Cheap: responses stand in the order of their start."""
        while self.responses:
            oldest = next(iter(self.responses.values()))
            if now - oldest.started <= KEPT:
                break
            del self.responses[oldest.id]
            self.dropped += 1
        if self.file is not None and self.dropped > 1000 + len(self):
            self._rewrite()

    def clear(self) -> None:
        self.responses.clear()
        if self.path is not None:
            self._rewrite()

    def close(self) -> None:
        if self.file is not None:
            self.file.close()
            self.file = None


def _line(entry: dict[str, Any]) -> str:
    return json.dumps(entry, separators=(",", ":")) + "\n"
