"""What was said before: the items of all turns up to a request, oldest first."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any

from .errors import ApiError
from .intake import directive

Item = dict[str, Any]


@dataclass(slots=True)
class Call:
    """A call of a function, with its output once there is one.

    ``fresh``: it came after the user's last message.
    """

    id: str
    name: str
    arguments: str
    fresh: bool = True
    output: str | None = None

    @property
    def given(self) -> Any:
        """The arguments, read; None when they are not JSON."""
        return json_or_none(self.arguments)


@dataclass(slots=True)
class Thread:
    """``past`` are the items of the turns before, in and out; ``given`` those of the request."""

    past: list[Item]
    given: list[Item]
    calls: list[Call] = field(default_factory=list)
    asked: str = ""  # what the user said last
    said: str = ""  # all that the user said, the last first
    answer: str = ""  # the text of the last answer
    listed: set[str] = field(default_factory=set)  # labels of MCP servers whose tools are known
    requests: dict[str, Item] = field(default_factory=dict)  # for approval, by their ids
    verdicts: dict[str, Item] = field(default_factory=dict)  # new ones, by the request's id
    fetched: list[Item] = field(default_factory=list)  # MCP calls since the last message

    def __post_init__(self) -> None:
        texts: list[str] = []
        run: list[str] = []
        for item in [*self.past, *self.given]:
            kind = item.get("type", "message")
            if kind == "message" and item.get("role") == "user":
                run.append(_said(item))
                for call in self.calls:
                    call.fresh = False
                self.fetched = []
                continue
            if run:
                texts.insert(0, "\n\n".join(run))
                run = []
            if kind == "message" and item.get("role") == "assistant":
                self.answer = text_in(item.get("content")) or self.answer
            else:
                self._note(item)
        if run:
            texts.insert(0, "\n\n".join(run))
        self.asked = texts[0] if texts else ""
        self.said = "\n\n".join(texts)
        for item in self.given:
            if item.get("type") == "mcp_approval_response":
                self.verdicts[str(item.get("approval_request_id"))] = item

    def _note(self, item: Item) -> None:
        kind, call_id = item.get("type"), item.get("call_id")
        if kind == "function_call" and isinstance(call_id, str):
            if all(call.id != call_id for call in self.calls):
                name, arguments = str(item.get("name")), str(item.get("arguments"))
                self.calls.append(Call(call_id, name, arguments))
        elif kind == "function_call_output":
            for call in self.calls:
                if call.id == call_id:
                    call.output = text_in(item.get("output"))
        elif kind == "mcp_list_tools":
            self.listed.add(str(item.get("server_label")))
        elif kind == "mcp_approval_request":
            self.requests[str(item.get("id"))] = item
        elif kind == "mcp_call":
            self.fetched.append(item)

    @property
    def fresh(self) -> list[Call]:
        return [call for call in self.calls if call.fresh]

    def was_made(self, name: str, arguments: Any) -> bool:
        """Whether this very call is in the thread already."""
        return any(call.name == name and call.given == arguments for call in self.calls)


def check_answers(thread: Thread) -> None:
    """Raises ApiError (400) when a call was left without its output, or an answer has no question."""
    known = {call.id for call in thread.calls}
    for item in thread.given:
        kind, call_id = item.get("type"), item.get("call_id")
        if kind == "function_call_output" and call_id not in known:
            raise ApiError(
                f"No tool call found for function call output with call_id {call_id}.",
                param="input",
            )
    for call in thread.calls:
        if call.output is None:
            raise ApiError(f"No tool output found for function call {call.id}.", param="input")
    for request_id in thread.verdicts:
        if request_id not in thread.requests:
            raise ApiError(f"Approval request with id '{request_id}' not found.", param="input")


def text_in(content: Any) -> str:
    """The text of a message's content or of a call's output: a string, or its text parts."""
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    texts = [part.get("text") for part in parts if isinstance(part, dict)]
    return "\n\n".join(text for text in texts if isinstance(text, str))


def _said(item: Item) -> str:
    text = text_in(item.get("content"))
    try:
        return directive(text)[1]
    except ApiError:
        return text


def json_or_none(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


_MAIL = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+")
_LINK = re.compile(r"https?://[^\s<>\"')\]]+")
_TAGGED = re.compile(
    r"<(\w*(?:message|question|letter|mail)\w*)>(.*?)</\1>", re.IGNORECASE | re.DOTALL
)
_HEADED = re.compile(
    r"^[\s#*-]*(?:[\w'’]+ ){0,2}(?:message|question|letter|wrote)\b[^:\n]{0,30}:(.*)",
    re.IGNORECASE | re.MULTILINE | re.DOTALL,
)
_ASIDE = re.compile(
    r"^[\s#*-]*(?:keep in mind|hints?)\b[^:\n]{0,20}:", re.IGNORECASE | re.MULTILINE
)
_SENDER = re.compile(
    r"^[\s#*-]*(?:reply[- ]to|from|to|customer|.*\be-?mail|.*\baddress)\b[^:\n]{0,30}:(.*)$",
    re.IGNORECASE | re.MULTILINE,
)


def letter_in(text: str) -> str:
    """The message that is to be answered, out of a prompt around it; or the whole text."""
    found = _TAGGED.search(text) or _HEADED.search(text)
    inner = found.group(found.lastindex or 0) if found else ""
    return _ASIDE.split(inner)[0].strip() or text


def mail_address_in(text: str) -> str:
    """The address to answer to: on a line that says so, or else the first; "" if there is none."""
    for match in _SENDER.finditer(text):
        if found := _MAIL.search(match.group(1)):
            return found.group().rstrip(".")
    return found.group().rstrip(".") if (found := _MAIL.search(text)) else ""


def link_in(text: str) -> str:
    return found.group().rstrip(".,;") if (found := _LINK.search(text)) else ""


def without_addresses(text: str) -> str:
    return _LINK.sub(" ", _MAIL.sub(" ", text))
