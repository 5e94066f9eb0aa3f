"""What goes out to addresses that people or models name: requests never to this network, and never
led elsewhere."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from traceback import walk_tb
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings

#: Seconds.
CONNECT, READ = 5, 15
#: Bytes of a receiver's answer that are read.
MOST_ANSWER = 2_000


class BadAddress(ValueError):
    """No address that anything is posted to; the message says why."""


class Within(Exception):
    """The address leads into this network."""


class Unreachable(Exception):
    """There was no answer. `left` says whether the request may have arrived all the same."""

    def __init__(self, text: str, *, left: bool) -> None:
        super().__init__(text)
        self.left = left


@dataclass(frozen=True)
class Answer:
    """What a receiver said, as far as it is read. The names of `headers` are in lower case."""

    status: int
    said: str
    headers: Mapping[str, str] = field(default_factory=dict)


def check_url(url: str) -> None:
    """Raises `BadAddress`."""
    # A backslash ends the host for some who read it, and not for others.
    if not (url.isascii() and url.isprintable()) or " " in url or "\\" in url:
        said = "has characters that look like others, or like none: write its host as xn--…"
        raise BadAddress(f"A webhook's address {said}, and the rest with %.")
    try:
        parts = urlsplit(url)
        _port, _labels = parts.port, (parts.hostname or "").encode("idna")
    except ValueError:
        raise BadAddress("This is no address.") from None
    plain = settings.WEBHOOKS_WITHIN and parts.scheme == "http"
    if not parts.hostname or not (parts.scheme == "https" or plain) or "@" in parts.netloc:
        raise BadAddress("A webhook's address begins with https:// and names no user.")


def post(url: str, body: bytes, headers: Mapping[str, str]) -> Answer:
    """Post to an address that `check_url` lets through. Raises `Within` and `Unreachable`.

    A receiver that answers byte by byte is waited for without end: put a `time_limit` around it.
    """
    from requests_hardened.ip_filter import InvalidIPAddress

    try:
        with (
            _session() as session,
            session.request("POST", url, data=body, headers=dict(headers), stream=True) as reply,
        ):
            found = {name.lower(): value for name, value in reply.headers.items()}
            return Answer(reply.status_code, _said(reply), found)
    except InvalidIPAddress as error:
        text = f"{urlsplit(url).hostname} cannot be posted to: it is within this network."
        raise Within(text) from error
    except OSError as error:
        text = f"{urlsplit(url).hostname} could not be reached."
        raise Unreachable(text, left=_may_have_left(error)) from error


def signed(body: bytes, *, key: str, at: datetime, secrets: list[str]) -> dict[str, str]:
    """The headers of Standard Webhooks: `key` is the same in each try, and during a rotation each
    of the secrets signs."""
    from standardwebhooks import Webhook

    text = body.decode()
    signatures = [Webhook(secret).sign(key, at, text) for secret in secrets]
    return {
        "content-type": "application/json",
        "webhook-id": key,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": " ".join(signatures),
    }


def mail_domain() -> str:
    """Where mail comes from, for the ids of messages."""
    return settings.DEFAULT_FROM_EMAIL.rpartition("@")[2].strip("> ") or "localhost"


def _said(reply: Any) -> str:
    """What a receiver said beside its status, which counts whatever becomes of the rest."""
    from urllib3.exceptions import HTTPError

    try:
        return str(reply.raw.read(MOST_ANSWER, decode_content=True).decode(errors="replace"))
    except (OSError, HTTPError):
        return ""


def _may_have_left(error: OSError) -> bool:
    """Whether the request may have been read before this happened."""
    import requests
    from urllib3.exceptions import NameResolutionError, NewConnectionError, SSLError

    if isinstance(error, requests.exceptions.ConnectTimeout):
        return False
    reason = getattr(error.args[0] if error.args else None, "reason", None)
    if isinstance(reason, SSLError):
        # Only what goes wrong in the handshake does so before the request.
        steps = walk_tb(getattr(reason.args[0], "__traceback__", None))
        return all(frame.f_code.co_name != "_validate_conn" for frame, _line in steps)
    if isinstance(reason, NewConnectionError | NameResolutionError):
        return False
    # The name led nowhere: it is looked up before anything is connected.
    return "Failed to resolve" not in str(error)


def _session() -> Any:
    """A client that follows no redirect, takes no proxy from the environment and, unless the
    settings say so, connects to no private address, whatever a name resolves to."""
    from requests_hardened import Config, HTTPSession

    session = HTTPSession(
        Config(
            default_timeout=(CONNECT, READ),
            never_redirect=True,
            ip_filter_enable=not settings.WEBHOOKS_WITHIN,
            ip_filter_allow_loopback_ips=False,
            user_agent_override="Jobsite",
        )
    )
    session.trust_env = False
    return session
