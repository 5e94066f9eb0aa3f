"""From one turn to the next: what an answer asked for is answered, and the answers go out with a
new response."""

import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from jobs import calls, lifecycle
from jobs.calls import Asked
from jobs.lifecycle import PROVIDER, GateSpec, Reason
from jobs.models import (
    Attempt,
    CallKind,
    CallOutcome,
    CallState,
    FunctionCall,
    GateKind,
    Job,
    State,
    Status,
    Turn,
    Verb,
)
from jobs.provider.payloads import ProviderResponse
from jobs.rendering import unseen
from jobs.text import clipped

#: A turn that waits for answers is looked at again after this, should the last answer's nudge be lost.
LOOK_AGAIN = timedelta(seconds=60)
#: The reason of an answer that asks for tools once more than its type allows.
TURN_LIMIT = "turn_limit"


def asks_of(response: ProviderResponse) -> list[Asked]:
    """The calls that must be answered for this response to go on; none unless it succeeded."""
    return calls.asked(response.data) if response.state is State.SUCCEEDED else []


def may_go_on(job: Job, turn: Turn) -> bool:
    return turn.number < job.job_type.max_turns


def go_on(job: Job, attempt: Attempt, turn: Turn, asks: Sequence[Asked], *, now: datetime) -> None:
    """Take down what a finished turn asked for, and make the next one. A job in which a person
    must decide a call needs review from here on. The caller holds the running job."""
    rows = calls.take_down(job, turn, asks, now=now)
    Turn.objects.create(attempt=attempt, number=turn.number + 1)
    names = clipped(", ".join(dict.fromkeys(map(calls.told_as, rows))), 150)
    lifecycle.record(
        job,
        Verb.CALLS_ASKED,
        now=now,
        by=PROVIDER,
        reason=Reason("calls_asked", f"It asked for tools: {names}."),
        data={"attempt": attempt.number, "turn": turn.number, "calls": len(rows)},
    )
    if attempt.state == State.SUBMITTING:
        # The create was answered with the end.
        lifecycle.move_attempt(attempt, State.LIVE, now=now, next_check_at=now)
    lifecycle.move_attempt(
        attempt,
        State.SUBMITTING,
        now=now,
        next_check_at=now if _all_answered(rows) else now + LOOK_AGAIN,
        submitted_at=attempt.submitted_at or turn.sent_at or now,
        failures=0,
        last_heard_at=now,
        checks=attempt.checks + 1,
    )
    lifecycle.note(job, progress_message=f"Working with its tools: {names}")
    waiting = [call for call in rows if call.state == CallState.WAITING]
    if waiting:
        lifecycle.move(
            job,
            Status.NEEDS_REVIEW,
            verb=Verb.REVIEW_ASKED,
            now=now,
            reason=_why(waiting[0]),
            gate=GateSpec(
                GateKind.TOOL_CALL,
                tuple(_why(call) for call in waiting),
                calls.gate_hash(waiting),
                attempt=attempt,
            ),
            progress_message="Waiting for a reviewer",
        )


def go_on_decided(job: Job, attempt: Attempt, *, now: datetime) -> None:
    """A person has decided what an attempt asked for: it goes on. The caller holds the job."""
    Attempt.objects.filter(pk=attempt.pk, state=State.SUBMITTING).update(next_check_at=now)
    lifecycle.note(
        job,
        progress_done=job.progress_total - 2,
        progress_message="Working with its tools",
    )


def is_ready(turn: Turn) -> bool:
    """Whether everything that the turn before asked for is answered."""
    return turn.number == 1 or not calls.unanswered(turn.attempt)


def answers(turn: Turn) -> list[dict[str, Any]]:
    """The input of a later turn: an answer to each call of the turn before, in order."""
    before = FunctionCall.objects.filter(
        turn__attempt=turn.attempt_id, turn__number=turn.number - 1
    )
    return [_answer(call) for call in before.order_by("position")]


def hosted_calls(turn: Turn) -> int:
    """How often the turns before this one used tools that the provider runs itself."""
    before = Turn.objects.filter(attempt=turn.attempt_id, number__lt=turn.number)
    payloads = before.exclude(payload=None).values_list("payload", flat=True)
    return sum(_hosted_in(bytes(payload)) for payload in payloads if payload)


def _hosted_in(payload: bytes) -> int:
    try:
        output = json.loads(payload).get("output")
    except (ValueError, RecursionError, AttributeError):
        return 0
    kinds = [
        str(item.get("type"))
        for item in (output if isinstance(output, list) else [])
        if isinstance(item, dict)
    ]
    return sum(kind.endswith("_call") and kind not in calls.ANSWERED_HERE for kind in kinds)


def _answer(call: FunctionCall) -> dict[str, Any]:
    if call.kind == CallKind.MCP:
        approved = call.outcome == CallOutcome.APPROVED
        said = {"reason": call.refusal} if call.refusal else {}
        return {
            "type": "mcp_approval_response",
            "approval_request_id": call.call_id,
            "approve": approved,
            **said,
        }
    return {
        "type": call.item_type.replace("_call", "_call_output"),
        "call_id": call.call_id,
        "output": call.output,
    }


def _all_answered(rows: Sequence[FunctionCall]) -> bool:
    return all(call.state == CallState.ANSWERED for call in rows)


def _why(call: FunctionCall) -> Reason:
    """Why a person must see a call. Not its arguments: requesters read reasons too."""
    if call.kind == CallKind.MCP:
        name, server = unseen.line(call.name, 200), unseen.line(call.server, 200)
        return Reason("mcp_call", f"It asks to call {name} at {server}.")
    return Reason(
        "tool_call", f"{calls.told_as(call)}: this changes something outside, so a person decides."
    )
