"""A provider response as we read it: a frozen view over the body that is stored verbatim."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from jobs.models import State

#: The provider's word to our attempt's state. A word that is not here means: not ended yet.
STATES: Mapping[str, State] = {
    "queued": State.LIVE,
    "in_progress": State.LIVE,
    "completed": State.SUCCEEDED,
    "incomplete": State.INCOMPLETE,
    "failed": State.FAILED,
    "cancelled": State.CANCELED,
}


#: What an id looks like: it becomes part of a path, and a key.
RESPONSE_ID = re.compile(r"[A-Za-z0-9_-]{1,200}")


def is_response_id(value: Any) -> bool:
    return isinstance(value, str) and RESPONSE_ID.fullmatch(value) is not None


class Unreadable(ValueError):
    """The body is not a response object."""


@dataclass(frozen=True)
class Fetched:
    """A file that an answer names, as it was fetched. Without ``content``, ``problem`` says why."""

    container_id: str
    file_id: str
    name: str
    content: bytes | None = field(default=None, repr=False)
    problem: str = ""


@dataclass(frozen=True)
class ProviderResponse:
    """``body`` is the answer byte for byte; ``data`` the object in it; ``files`` those that it
    names in containers, where they were fetched with it."""

    body: bytes = field(repr=False)
    data: Mapping[str, Any] = field(repr=False)
    id: str
    status: str
    state: State
    request_id: str = ""
    files: tuple[Fetched, ...] = ()

    @property
    def error(self) -> tuple[str, str]:
        """Code and sentence of a failed response; of an incomplete one, its reason."""
        error = self.data.get("error")
        if isinstance(error, dict):
            return str(error.get("code") or "failed"), str(error.get("message") or "")
        details = self.data.get("incomplete_details")
        reason = details.get("reason") if isinstance(details, dict) else None
        return (str(reason), "") if reason else ("", "")

    @property
    def metadata(self) -> Mapping[str, Any]:
        metadata = self.data.get("metadata")
        return metadata if isinstance(metadata, dict) else {}


def read_event(text: str, *, request_id: str = "") -> ProviderResponse:
    """The response in the data of a stream's event. Raises `Unreadable` where there is none."""
    try:
        event = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Unreadable(f"not JSON: {error}") from None
    found = event.get("response") if isinstance(event, dict) else None
    return read(json.dumps(found).encode(), request_id=request_id)


def read(body: bytes, *, request_id: str = "") -> ProviderResponse:
    """Read a body as a response. Raises `Unreadable` where it has no id."""
    try:
        data = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Unreadable(f"not JSON: {error}") from None
    if not isinstance(data, dict) or not is_response_id(data.get("id")):
        raise Unreadable("not a response object")
    status = data.get("status")
    status = status if isinstance(status, str) else ""
    return ProviderResponse(
        body=body,
        data=data,
        id=data["id"],
        status=status[:60],
        state=STATES.get(status, State.LIVE),
        request_id=request_id[:200],
    )
