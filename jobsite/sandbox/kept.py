"""What outlives the sandbox besides its responses: one file of JSON for each object, and bytes."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any


class Drawer:
    """One kind of object in a folder of its own. Without a folder, nothing is kept."""

    def __init__(self, folder: Path | None, kind: str) -> None:
        self.folder = folder / kind if folder else None

    def write(self, id: str, made: dict[str, Any]) -> None:
        """Keep an object, in place of what it was. A crash leaves the old or the new, whole."""
        self._put(f"{id}.json", json.dumps(made, separators=(",", ":")).encode())

    def write_bytes(self, id: str, data: bytes) -> None:
        self._put(f"{id}.bin", data)

    def _put(self, name: str, data: bytes) -> None:
        if self.folder is None:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        fresh = self.folder / f"{name}.new"
        fresh.write_bytes(data)
        os.replace(fresh, self.folder / name)

    def read_bytes(self, id: str) -> bytes:
        """Raises FileNotFoundError when they were not kept."""
        if self.folder is None:
            raise FileNotFoundError(id)
        return (self.folder / f"{id}.bin").read_bytes()

    def remove(self, id: str) -> None:
        """Forget an object and the bytes of the same name. Nothing happens if there are none."""
        if self.folder is None:
            return
        for suffix in ("json", "bin"):
            with contextlib.suppress(FileNotFoundError):
                (self.folder / f"{id}.{suffix}").unlink()

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """All objects that were kept, in no order."""
        if self.folder is not None and self.folder.exists():
            for path in self.folder.glob("*.json"):
                yield json.loads(path.read_bytes())

    def clear(self) -> None:
        if self.folder is not None and self.folder.exists():
            for path in self.folder.iterdir():
                path.unlink()
