"""A sandbox inside a test: the same server over real HTTP, in a thread of this process.

Example::

    with RunningSandbox(pace=0.0) as sandbox:
        client = openai.OpenAI(api_key="sk-test", base_url=sandbox.base_url, max_retries=0)
        sandbox.script({"on": "create", "do": {"life": {"end": "failed"}}})

The sandbox reads ``time.time()``, so a test that moves the clock of this process moves the
sandbox's as well: responses end early, and those more than a day old are forgotten.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import threading
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from .engine import Sandbox
from .server import serve

START_WITHIN = 30.0  # seconds


class ControlError(Exception):
    """The control API refused; the message is its own."""


class RunningSandbox:
    """A context manager. Its methods may be called from any thread.

    ``webhook_pause`` is the wait in seconds before a failed webhook is tried again (doubling).
    ``state`` is a folder that outlives it; the same folder in the next one continues its work.
    """

    def __init__(
        self,
        *,
        pace: float = 0.0,
        webhook_url: str | None = None,
        webhook_secret: str | None = None,
        state: Path | None = None,
        port: int = 0,
        webhook_pause: float = 0.05,
    ) -> None:
        self.sandbox = Sandbox(
            pace=pace,
            webhook_url=webhook_url,
            webhook_secret=webhook_secret,
            state=state,
            webhook_pause=webhook_pause,
        )
        self.port = port
        self.base_url = ""
        self._started = threading.Event()
        self._failure: BaseException | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._thread = threading.Thread(target=self._run, name="sandbox", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        if not self._started.wait(START_WITHIN):
            raise RuntimeError("The sandbox did not start in time.")
        if self._failure:
            raise self._failure
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._loop is not None and self._stop is not None and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(START_WITHIN)

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:
            self._failure = error
        finally:
            self._started.set()

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        await serve(
            self.sandbox, host="127.0.0.1", port=self.port, stop=self._stop, ready=self._ready
        )

    def _ready(self, base_url: str) -> None:
        self.base_url = base_url
        self._started.set()

    def _call(self, method: str, path: str, body: Any = None) -> Any:
        connection = http.client.HTTPConnection(urlsplit(self.base_url).netloc, timeout=60)
        try:
            payload = None if body is None else json.dumps(body)
            connection.request(method, f"/sandbox/{path}", payload)
            reply = connection.getresponse()
            answered = json.loads(reply.read())
        finally:
            connection.close()
        if reply.status != 200:
            raise ControlError(answered["error"]["message"])
        return answered

    def script(self, rule: dict[str, Any]) -> str:
        """Add a rule (see :mod:`jobsite.sandbox.faults`); its id. Raises ControlError if unsound."""
        return str(self._call("POST", "rules", rule)["id"])

    def clear_rules(self) -> None:
        self._call("DELETE", "rules")

    def reset(self) -> None:
        """Forget responses, files, stores, containers, rules, counts and requests.

        Webhooks go where they first went.
        """
        self._call("POST", "reset")

    def stats(self) -> dict[str, Any]:
        """Counts: creates, retrieves, cancels, responses, live, webhooks, by_turn, by_status, …

        ``streams`` were opened, by create or retrieve, and are no retrieves; ``streaming`` are
        open now.
        Of files: ``uploads`` (requests), ``uploaded`` (files that came to be), ``file_deletes``,
        ``downloads``, ``files`` (that are there now). Of stores: ``store_creates``,
        ``stores_made``, ``store_deletes``, ``vector_stores``.
        """
        return dict(self._call("GET", "stats"))

    def requests(self, limit: int = 1000) -> list[dict[str, Any]]:
        """The latest requests to the API, oldest first: method, path, status, metadata, …"""
        return list(self._call("GET", f"requests?limit={limit}")["data"])

    def responses(self) -> list[dict[str, Any]]:
        """What the provider believes: id, status, metadata, created_at, done_at of each."""
        return list(self._call("GET", "responses")["data"])

    def response(self, response_id: str) -> dict[str, Any]:
        """The same of one, with ``request`` (parameters as echoed), ``text``, ``life``, ``told``."""
        return dict(self._call("GET", f"responses/{response_id}"))

    def files(self) -> list[dict[str, Any]]:
        """The uploaded files that exist, oldest first, as the API shows them."""
        return list(self._call("GET", "files")["data"])

    def vector_stores(self) -> list[dict[str, Any]]:
        """The vector stores that exist, oldest first, with file_counts and ``file_ids``."""
        return list(self._call("GET", "vector_stores")["data"])

    def containers(self) -> list[dict[str, Any]]:
        """The containers that are there now, with the ``files`` of each."""
        return list(self._call("GET", "containers")["data"])

    def set_webhook(self, url: str | None, secret: str | None = None) -> None:
        """Where webhooks go from now on; None for nowhere. An omitted secret stays as it is."""
        self._call("POST", "webhooks", {"url": url, "secret": secret})

    def emit_webhook(
        self,
        response_id: str,
        type: str = "response.completed",
        *,
        kind: str = "good",
        webhook_id: str | None = None,
    ) -> dict[str, Any]:
        """Send one now; ``{"status": the receiver's or None, "error", "webhook_id"}``.

        ``kind``: good, forged, stale, malformed, no_headers or non_ascii.
        """
        body = {"type": type, "response_id": response_id, "kind": kind, "webhook_id": webhook_id}
        return dict(self._call("POST", "webhooks/emit", body))
