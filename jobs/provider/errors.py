"""What can go wrong between us and the provider, split by what the caller must do."""

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from openai import APIConnectionError, APIStatusError, APITimeoutError

#: 429s that time does not mend (help.openai.com, "error codes"; the type is the older spelling).
QUOTA_CODES = frozenset(
    {
        "insufficient_quota",
        "credit_balance_exhausted",
        "organization_spend_limit_exceeded",
        "project_spend_limit_exceeded",
        "organization_usage_limit_exceeded",
        "billing_hard_limit_reached",
        "billing_not_active",
    }
)
#: What an operator has to see to at OpenAI, quotas and keys.
ACCOUNT_CODES = QUOTA_CODES | {
    "account_deactivated",
    "http_401",
    "http_403",
    "insufficient_permissions",
    "invalid_api_key",
    "invalid_organization",
    "ip_not_authorized",
    "missing_scope",
    "unsupported_country_region_territory",
}
#: 503s that say that nothing was started.
OVERLOADED_CODES = frozenset({"server_is_overloaded", "slow_down", "service_unavailable_error"})
#: Seconds. A longer Retry-After is a mistake or a closed account, and is looked at again by then.
LONGEST_RETRY_AFTER = 3600.0


class ProviderError(Exception):
    """`code` for programs, `text` for people, `retry_after` in seconds where the provider named it."""

    def __init__(self, code: str, text: str, *, retry_after: float | None = None) -> None:
        super().__init__(f"{code}: {text}")
        self.code = code
        self.text = text
        self.retry_after = retry_after


class NotStarted(ProviderError):
    """Nothing was started: the same create may be sent again later."""


class OutcomeUnknown(ProviderError):
    """The create left and was not answered: it may have started, and must not be sent again."""


class Refused(ProviderError):
    """The request itself is wrong: sending it again changes nothing."""


class AccountProblem(ProviderError):
    """The key or the account is refused: an operator must act."""


class NotFound(ProviderError):
    """The provider does not know this response."""


class CannotCancel(ProviderError):
    """The response has ended in another way: look it up."""


class Unavailable(ProviderError):
    """No usable answer about a response that exists: look again later."""


class FilesUnavailable(Unavailable):
    """The answer is there, and a file that it names could not be fetched: look again later."""


def from_create(error: Exception) -> ProviderError:
    """What an exception of a create call means."""
    if isinstance(error, APIConnectionError):
        if _never_connected(error):
            return NotStarted("unreachable", "OpenAI cannot be reached.")
        late = isinstance(error, APITimeoutError)
        return OutcomeUnknown(
            "timeout" if late else "no_answer",
            "OpenAI did not answer in time." if late else "The connection broke before an answer.",
        )
    if isinstance(error, TimeoutError):
        return OutcomeUnknown("timeout", "OpenAI did not answer in time.")
    if not isinstance(error, APIStatusError):
        return OutcomeUnknown("unreadable_answer", f"OpenAI's answer cannot be read: {error}")
    status, code, text, wait = _read(error)
    if _is_account_problem(error, code):
        return AccountProblem(code or f"http_{status}", text)
    if status in (409, 429) or (status == 503 and _is_overloaded(error, code, wait)):
        return NotStarted(code or f"http_{status}", text, retry_after=wait)
    if status == 408 or status >= 500:
        return OutcomeUnknown(code or f"http_{status}", text)
    return Refused(code or f"http_{status}", text)


def from_lookup(error: Exception, *, canceling: bool) -> ProviderError:
    """What an exception of a retrieve or (`canceling`) a cancel call means."""
    if isinstance(error, APIConnectionError):
        return Unavailable("unreachable", "OpenAI cannot be reached.")
    if isinstance(error, TimeoutError):
        return Unavailable("timeout", "OpenAI did not answer in time.")
    if not isinstance(error, APIStatusError):
        return Unavailable("unreadable_answer", f"OpenAI's answer cannot be read: {error}")
    status, code, text, wait = _read(error)
    if status == 404:
        return NotFound("not_found", text)
    if status in (401, 403):
        return AccountProblem(code or f"http_{status}", text)
    if canceling and status == 400 and "cancel" in text.lower():
        return CannotCancel("cannot_cancel", text)
    return Unavailable(code or f"http_{status}", text, retry_after=wait)


def _never_connected(error: Exception) -> bool:
    """Whether the connection was never made, so that no byte of the request has left.

    Only true of plain httpx2, through which creates go: its aiohttp transport reports a connection
    that broke *after* sending as ``ConnectTimeout`` too.
    """
    import httpx2

    cause = error.__cause__
    return isinstance(cause, httpx2.ConnectError | httpx2.ConnectTimeout | httpx2.PoolTimeout)


def _is_account_problem(error: APIStatusError, code: str) -> bool:
    if error.status_code in (401, 403):
        return True
    return error.status_code == 429 and _says(error, code, QUOTA_CODES)


def _is_overloaded(error: APIStatusError, code: str, wait: float | None) -> bool:
    return wait is not None or _says(error, code, OVERLOADED_CODES)


def _says(error: APIStatusError, code: str, codes: frozenset[str]) -> bool:
    """Whether code or type is one of `codes`. The type is whatever the body had there."""
    return code in codes or str(error.type) in codes


def _read(error: APIStatusError) -> tuple[int, str, str, float | None]:
    body: Any = error.body
    message = body.get("message") if isinstance(body, dict) else None
    text = message if isinstance(message, str) and message else error.message
    return error.status_code, str(error.code or ""), text, _retry_after(error.response.headers)


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds, from ``retry-after-ms``, or ``retry-after`` as a number or a date."""
    try:
        if "retry-after-ms" in headers:
            seconds = float(headers["retry-after-ms"]) / 1000
        elif (value := headers.get("retry-after", "")).replace(".", "", 1).isdigit():
            seconds = float(value)
        elif value:
            seconds = (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds()
        else:
            return None
    except (ValueError, TypeError):
        return None
    return min(max(seconds, 0.0), LONGEST_RETRY_AFTER)
