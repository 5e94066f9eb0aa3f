"""Webhooks: verified by the SDK, read by us."""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from jobs.provider.payloads import is_response_id
from jobs.text import clean

if TYPE_CHECKING:
    from openai import OpenAI


class Rejected(ValueError):
    """Forged, stale, malformed or incomplete: not to be believed."""


@dataclass(frozen=True)
class WebhookEvent:
    """``response_id`` is "" where the event is not about a response."""

    id: str
    type: str
    response_id: str


@cache
def verifier() -> "OpenAI":
    """The SDK's client, made once: importing and making it costs more than answering a webhook
    may, so the web server makes it before the first one comes."""
    from openai import OpenAI

    return OpenAI(api_key="unused", base_url="http://127.0.0.1:9/v1")


def verify(body: bytes, headers: Mapping[str, str], *, secret: str) -> WebhookEvent:
    """The event in a webhook that was signed with `secret` less than five minutes ago.

    Raises `Rejected` for everything else. The SDK raises ValueErrors of several kinds, and
    TypeError for a signature that is not ASCII.
    """
    if not _has_key(secret):
        raise Rejected("no usable webhook secret is set")
    try:
        verifier().webhooks.verify_signature(body, headers, secret=secret)
        data = json.loads(body)
    except (ValueError, TypeError, RecursionError) as error:
        raise Rejected(str(error) or type(error).__name__) from None
    webhook_id = headers.get("webhook-id", "")
    if not isinstance(data, dict) or not isinstance(data.get("type"), str) or not webhook_id:
        raise Rejected("not a webhook event")
    about = data.get("data")
    about_id = about.get("id") if isinstance(about, dict) else None
    is_response = data["type"].startswith("response.") and is_response_id(about_id)
    return WebhookEvent(
        id=webhook_id[:200],
        type=clean(data["type"])[:100],
        response_id=str(about_id) if is_response else "",
    )


def _has_key(secret: str) -> bool:
    """Whether the SDK makes a key of `secret`: what is not base64 it decodes to an empty one, with
    which anybody can sign."""
    try:
        return bool(base64.b64decode(secret.removeprefix("whsec_"), validate=True))
    except ValueError:
        return False
