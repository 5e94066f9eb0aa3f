"""Webhooks: signed by the Standard Webhooks convention, sent to this machine only.

The provider's documentation says: reply with 2xx within a few seconds, or the webhook is tried
again with growing pauses for up to 72 hours; redirects are not followed and count as failures;
``webhook-id`` stays the same over all tries. Receivers refuse timestamps more than five minutes
old, so every try is stamped and signed anew.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import ipaddress
import json
import secrets
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from standardwebhooks import Webhook

from .errors import ApiError
from .life import LIVE, Response
from .shapes import event

USER_AGENT = "OpenAI/1.0 (+https://platform.openai.com/docs/webhooks)"
ANNOUNCED = frozenset({"completed", "failed", "incomplete", "cancelled"})
TRIES, TRY_FOR = 20, 72 * 3600.0  # seconds
LONGEST_PAUSE = 3600.0  # seconds
REPLY_WITHIN = 10.0  # seconds
KINDS = ("good", "forged", "stale", "malformed", "no_headers", "non_ascii")


class BadTarget(ValueError):
    """The address or the secret cannot be used. The message is a sentence for people."""


def check_target(url: str | None, secret: str | None) -> None:
    """Raises BadTarget unless webhooks may be sent there, signed with that."""
    if secret:
        signing_key(secret)
    if not url:
        return
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        _ = parts.port
    except ValueError:
        raise BadTarget(f"The webhook address {url!r} is not a URL.") from None
    if parts.scheme not in ("http", "https") or not host:
        raise BadTarget(f"The webhook address {url!r} must start with http:// or https://.")
    try:
        loopback = ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = host == "localhost"
    if not loopback:
        raise BadTarget(
            "Webhooks go only to this machine (127.0.0.1, ::1 or localhost), "
            f"and {host!r} is not known to be it."
        )
    if not secret:
        raise BadTarget("Webhooks need a secret to be signed with: set SANDBOX_WEBHOOK_SECRET.")


def signing_key(secret: str) -> bytes:
    """The key of a secret: base64 behind ``whsec_``; without that prefix, the text itself."""
    if not secret.startswith("whsec_"):
        return secret.encode()
    try:
        key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not key:
        raise BadTarget("The webhook secret must be 'whsec_' followed by base64.")
    return key


def signed_headers(key: bytes, webhook_id: str, body: bytes, *, at: float) -> dict[str, str]:
    moment = datetime.fromtimestamp(int(at), UTC)
    return {
        "webhook-id": webhook_id,
        "webhook-timestamp": str(int(at)),
        "webhook-signature": Webhook(key).sign(webhook_id, moment, body.decode()),
    }


class Courier:
    """Sends a webhook for each background response when it ends.

    Lives in one event loop. ``told`` is called when a response needs no more tries. ``pause`` is
    the wait in seconds before the second try; it doubles for each further one.
    """

    def __init__(
        self,
        *,
        url: str | None,
        secret: str | None,
        told: Callable[[Response], None],
        pause: float = 1.0,
    ) -> None:
        check_target(url, secret)
        self.url, self.secret = url, secret
        self.told = told
        self.pause = pause
        self.timers: dict[str, asyncio.TimerHandle] = {}
        self.tasks: set[asyncio.Task[None]] = set()
        self.session: aiohttp.ClientSession | None = None
        self.counts = {"sent": 0, "ok": 0, "failed": 0, "given_up": 0}

    def configure(self, url: str | None, secret: str | None) -> None:
        """Where webhooks go from now on. Raises BadTarget and changes nothing if it may not be."""
        check_target(url, secret)
        self.url, self.secret = url, secret

    def arrange(self, response: Response) -> None:
        """Set the clock for the response's webhook; replaces what was set before."""
        self.forget(response)
        ends_at = response.ends_at
        wanted = response.webhook.get("send", True) and response.background and not response.told
        if wanted and ends_at is not None:
            wait = max(0.0, ends_at - time.time()) + response.webhook.get("delay", 0.0)
            self._set(response, wait)

    def _set(self, response: Response, wait: float) -> None:
        loop = asyncio.get_running_loop()
        self.timers[response.id] = loop.call_later(wait, self._due, response)

    def _due(self, response: Response) -> None:
        self.timers.pop(response.id, None)
        status = response.status(time.time())
        if status in LIVE:  # the two clocks differ by a little
            self._set(response, 0.005)
        elif status in ANNOUNCED and not self.url:
            self.told(response)
        elif status in ANNOUNCED:
            for _ in range(response.webhook.get("times", 1)):
                self._spawn(response, status)

    def _spawn(self, response: Response, status: str, *, tries_made: int = 0) -> None:
        task = asyncio.create_task(self._deliver(response, status, tries_made))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    def forget(self, response: Response) -> None:
        if timer := self.timers.pop(response.id, None):
            timer.cancel()

    async def deliver_now(self, response: Response) -> None:
        """One try for each wanted copy, awaited; further tries, if needed, follow on their own.

        The status is the one that the response is going to end with.
        """
        if response.life.end not in ANNOUNCED or not self.url:
            return
        for _ in range(response.webhook.get("times", 1)):
            if not await self._try(response, response.life.end):
                self._spawn(response, response.life.end, tries_made=1)
        self.told(response)

    async def _deliver(self, response: Response, status: str, tries_made: int) -> None:
        until = time.monotonic() + TRY_FOR
        for number in range(tries_made, TRIES):
            if number:
                await asyncio.sleep(min(LONGEST_PAUSE, self.pause * 2 ** (number - 1)))
            if time.monotonic() > until:
                break
            if await self._try(response, status):
                self.told(response)
                return
        self.counts["given_up"] += 1
        self.told(response)

    async def _try(self, response: Response, status: str) -> bool:
        if not self.url or not self.secret:
            return False
        mark = hashlib.sha256(f"{response.id} {status}".encode()).hexdigest()[:32]
        made_at = int(response.ends_at or time.time())
        body = json.dumps(event(f"evt_{mark}", f"response.{status}", response.id, made_at)).encode()
        headers = signed_headers(signing_key(self.secret), f"wh_{mark}", body, at=time.time())
        code, _ = await self._post(body, headers)
        return code is not None and 200 <= code < 300

    async def emit(
        self, *, type: str, response_id: str, webhook_id: str | None, kind: str
    ) -> dict[str, Any]:
        """Send one webhook now, genuine or not, and say what the receiver answered."""
        if not self.url or not self.secret:
            raise ApiError("No webhook address is set.", code="no_webhook_url")
        if kind not in KINDS:
            raise ApiError(f"'kind' must be one of {', '.join(KINDS)}.", param="kind")
        webhook_id = webhook_id or f"wh_{secrets.token_hex(16)}"
        now = time.time()
        at = now - 600 if kind == "stale" else now
        key = secrets.token_bytes(32) if kind == "forged" else signing_key(self.secret)
        made = event(f"evt_{secrets.token_hex(16)}", type, response_id, int(now))
        body = b'{"object": "event", "type": ' if kind == "malformed" else json.dumps(made).encode()
        headers = {} if kind == "no_headers" else signed_headers(key, webhook_id, body, at=at)
        if kind == "non_ascii":
            headers["webhook-signature"] = "v1,\u00fc\u00df"
        code, error = await self._post(body, headers)
        return {"status": code, "error": error, "webhook_id": webhook_id}

    async def _post(self, body: bytes, headers: dict[str, str]) -> tuple[int | None, str | None]:
        assert self.url is not None
        if self.session is None:
            self.session = aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=REPLY_WITHIN), trust_env=False
            )
        headers = {"user-agent": USER_AGENT, "content-type": "application/json", **headers}
        self.counts["sent"] += 1
        try:
            async with self.session.post(
                self.url, data=body, headers=headers, allow_redirects=False
            ) as reply:
                await reply.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            self.counts["failed"] += 1
            return None, f"{error.__class__.__name__}: {error}"
        self.counts["ok" if 200 <= reply.status < 300 else "failed"] += 1
        return reply.status, None

    async def clear(self) -> None:
        """Drop everything that waits to be sent, and start counting anew."""
        for timer in self.timers.values():
            timer.cancel()
        self.timers.clear()
        tasks = list(self.tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self.counts = dict.fromkeys(self.counts, 0)

    async def close(self) -> None:
        await self.clear()
        if self.session is not None:
            await self.session.close()
            self.session = None
