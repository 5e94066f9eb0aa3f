"""The life of a response: planned when it is created, then read off the clock.

Nothing runs while a response lives. Its plan says when it leaves the queue, when it ends and how;
its status is worked out whenever somebody asks.
"""

from __future__ import annotations

import dataclasses
import random
from dataclasses import dataclass, field
from typing import Any

from .documents import Document
from .intake import Request
from .work import Answer, Item, message_item, text_of, tokens

PAGE = 3000  # characters
LONGEST = 25.0  # seconds of running, at pace 1
LIVE = ("queued", "in_progress")
VANISHED = "vanished"
ANSWERS = ("message", "function_call", "mcp_approval_request")  # what scripted text replaces

DEFAULT_ERROR = {"code": "server_error", "message": "The model failed to produce a response."}


@dataclass(frozen=True, slots=True)
class Life:
    """When things happen, in seconds since the create, and what stands at the end.

    ``end`` is a terminal status, any other word (sent as it is), or ``never`` or ``vanish``.
    ``output`` is that of the end; ``written`` is what would have been said in full, of which a
    cancelled response keeps the beginning. ``events`` are extra ones of its stream: how many come
    before each, and the event.
    """

    queued: float
    running: float
    end: str
    output: list[Item]
    written: list[Item]
    usage: dict[str, Any] | None = None
    scripted: bool = False  # a rule gave the output, which is sent as it is
    tool_usage: dict[str, Any] | None = None
    error: dict[str, Any] | None = None
    reason: str | None = None
    at_once: bool = False
    events: list[tuple[int, Item]] = field(default_factory=list)

    @property
    def total(self) -> float:
        return 0.0 if self.at_once else self.queued + self.running


def plan(
    answer: Answer, request: Request, *, response_id: str, pace: float, do: dict[str, Any]
) -> Life:
    """The life of a new response, as long as its input asks for, unless ``do["life"]`` says so."""
    asked = do.get("life") or {}
    chance = random.Random(response_id)  # noqa: S311 (not a secret: the same after a restart)
    pages = request.length / PAGE
    queued = pace * (1 + chance.random())
    running = pace * min(LONGEST, 4 + pages * (0.8 + 0.4 * chance.random()))
    early = bool((do.get("webhook") or asked.get("webhook") or {}).get("before_reply"))
    waits = request.params.get("background") or request.params.get("stream")
    at_once = asked.get("at_once", (early and not asked) or not waits)

    written = asked.get("output", answer.output)
    if "output_text" in asked:
        kept = [item for item in answer.output if item["type"] not in ANSWERS]
        written = [*kept, message_item(asked["output_text"])]
    end, usage, error, reason = "completed", answer.usage, answer.error, None
    limit = request.params.get("max_output_tokens")
    room = sum(len(text_of(item)) for item in written) // 2
    if error and "output" not in asked and "output_text" not in asked:
        end = "failed"
    elif limit and usage and usage["output_tokens"] > limit and not asked:
        end, reason = "incomplete", "max_output_tokens"
        room = max(0, limit - usage["output_tokens_details"]["reasoning_tokens"]) * 4
        usage = {**usage, "output_tokens": limit, "total_tokens": usage["input_tokens"] + limit}
    end = asked.get("end", end)

    output = written
    if end == "failed":
        output, usage = asked.get("output", []), None
        error = {**DEFAULT_ERROR, **(asked.get("error") or answer.error or {})}
    elif end == "incomplete":
        reason = asked.get("incomplete_reason", reason or "max_output_tokens")
        if "output" not in asked:
            output = cut(written, room, status="incomplete")
        if usage and not limit:
            half = tokens(sum(len(text_of(item)) for item in output))
            usage = {
                **usage,
                "output_tokens": half,
                "output_tokens_details": {"reasoning_tokens": 0},
                "total_tokens": usage["input_tokens"] + half,
            }
    elif end == "cancelled":
        output, usage = asked.get("output", cut(written, room, status="in_progress")), None
    elif end != "completed":
        output, usage = asked.get("output", []), None
    return Life(
        queued=float(asked.get("queued", 0.0 if asked.get("at_once") else queued)),
        running=float(asked.get("running", 0.0 if asked.get("at_once") else running)),
        end=end,
        output=output,
        written=written,
        usage=asked.get("usage", usage),
        scripted="output" in asked,
        tool_usage=answer.tool_usage if end == "completed" else None,
        error=error if end == "failed" else None,
        reason=reason if end == "incomplete" else None,
        at_once=bool(at_once),
        events=[(extra["after"], extra["event"]) for extra in asked.get("events", [])],
    )


def cut(items: list[Item], room: int, *, status: str) -> list[Item]:
    """Items with only the first ``room`` characters of their messages' text."""
    kept: list[Item] = []
    for item in items:
        if item.get("type") != "message":
            kept.append(item)
            continue
        if room <= 0:
            break
        parts = []
        content = item.get("content")
        for part in content if isinstance(content, list) else []:
            if not isinstance(part, dict) or "text" not in part:
                parts.append(part)
                continue
            text = str(part["text"])[:room]
            room -= len(text)
            notes = [note for note in part.get("annotations") or [] if _ends(note) <= len(text)]
            parts.append({**part, "text": text, "annotations": notes})
        kept.append({**item, "status": status, "content": parts})
    return kept


def _ends(annotation: Any) -> int:
    end = (
        annotation.get("end_index", annotation.get("index")) if isinstance(annotation, dict) else 0
    )
    return end if isinstance(end, int) else 0


@dataclass(slots=True)
class Response:
    """A stored response. Moments are seconds since the epoch.

    ``told`` is set when its webhook was delivered, or given up; ``streamed`` when it was created
    with ``stream``.
    """

    id: str
    started: float
    echo: dict[str, Any]
    life: Life
    items: list[Item]
    text: str
    documents: list[Document]
    webhook: dict[str, Any] = field(default_factory=dict)
    cancelled_at: float | None = None
    told: bool = False
    streamed: bool = False
    bodies: dict[tuple[object, ...], bytes] = field(default_factory=dict, compare=False)

    @property
    def background(self) -> bool:
        return bool(self.echo["background"])

    @property
    def metadata(self) -> dict[str, str]:
        return dict(self.echo["metadata"])

    @property
    def ends_at(self) -> float | None:
        """When it ends, or None if it never does."""
        if self.cancelled_at is not None:
            return self.cancelled_at
        return None if self.life.end == "never" else self.started + self.life.total

    def status(self, now: float) -> str:
        """The status at a moment: the API's words, an unknown one if planned, or ``vanished``."""
        if self.cancelled_at is not None and now >= self.cancelled_at:
            return "cancelled"
        passed = now - self.started
        if self.life.end != "never" and passed >= self.life.total:
            return VANISHED if self.life.end == "vanish" else self.life.end
        return "queued" if passed < self.life.queued else "in_progress"

    def output(self, status: str) -> list[Item]:
        if status in LIVE:
            return []
        if self.cancelled_at is None:
            return self.life.output
        running = self.cancelled_at - self.started - self.life.queued
        if running <= 0:
            return []
        share = min(0.95, running / self.life.running) if self.life.running else 0.5
        whole = sum(len(text_of(item)) for item in self.life.written)
        return cut(self.life.written, int(whole * share), status="in_progress")

    def to_json(self) -> dict[str, Any]:
        made = dataclasses.asdict(self)
        del made["bodies"]
        return made

    @classmethod
    def from_json(cls, made: dict[str, Any]) -> Response:
        life = Life(**made.pop("life"))
        documents = [Document(**document) for document in made.pop("documents")]
        return cls(**made, life=life, documents=documents)
