"""A signed POST, by the Standard Webhooks specification."""

import json
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from jobs import outbound
from jobs.text import clean, clipped
from reviews.channels.outcomes import Passing, Permanent
from reviews.content import Content
from reviews.models import Endpoint
from reviews.signing import secrets

#: Bytes.
LONGEST_BODY = 5 * 1024 * 1024
#: Answers that say "not now" rather than "no".
_LATER = frozenset({408, 425, 429})
#: Answers after which it was certainly not taken, though they are not about the request.
_NOT_TAKEN = frozenset({503})
#: Seconds that a receiver can ask for.
LONGEST_WAIT = 24 * 3600.0


def send(content: Content, now: datetime) -> str:
    endpoint = content.delivery.endpoint
    assert endpoint is not None
    return post(endpoint, content.body(), key=content.key, now=now)


def test_event(endpoint: Endpoint, *, key: str, now: datetime) -> str:
    """Post an event that means nothing. Raises as `send` does."""
    document = {
        "type": "endpoint.test",
        "timestamp": now.isoformat(),
        "data": {"endpoint": endpoint.name, "workspace": endpoint.workspace.slug},
    }
    return post(endpoint, json.dumps(document).encode(), key=key, now=now)


def post(endpoint: Endpoint, body: bytes, *, key: str, now: datetime) -> str:
    if len(body) > LONGEST_BODY:
        raise Permanent(f"It is {len(body):,} bytes long, and {LONGEST_BODY:,} can be posted.")
    try:
        outbound.check_url(endpoint.url)
        headers = outbound.signed(body, key=key, at=now, secrets=secrets(endpoint, now=now))
        answer = outbound.post(endpoint.url, body, headers)
    except (outbound.BadAddress, outbound.Within) as error:
        raise Permanent(str(error)) from error
    except outbound.Unreachable as error:
        raise Passing(str(error), left=error.left) from error
    if 200 <= answer.status < 300:
        return f"{answer.status}"
    said = clipped(clean(answer.said), 200)
    text = f"{endpoint.host} answered {answer.status}{f': {said}' if said else '.'}"
    if answer.status in _LATER or answer.status >= 500:
        left = answer.status >= 500 and answer.status not in _NOT_TAKEN
        after = _after(answer.headers.get("retry-after", ""), now)
        raise Passing(text, left=left, after=after)
    if 300 <= answer.status < 400:
        text = f"{text} Redirects are not followed: enter the address that it leads to."
    raise Permanent(text, gone=answer.status == 410)


def _after(given: str, now: datetime) -> float | None:
    """Seconds, of a Retry-After in either of its spellings."""
    try:
        seconds = float(given) if given.isascii() and given.isdecimal() else _until(given, now)
    except (ValueError, TypeError, OverflowError):
        return None
    return min(max(seconds, 0.0), LONGEST_WAIT)


def _until(given: str, now: datetime) -> float:
    at = parsedate_to_datetime(given)
    return ((at if at.tzinfo else at.replace(tzinfo=UTC)) - now).total_seconds()
