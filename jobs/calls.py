"""Calls that a model asks for and that are answered here: read out of an answer, judged by what
the job's prompt version offers, decided by people where they change something, run at most once.
"""

import hashlib
import json
import logging
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import connection
from django.db.models import Q
from django_q.tasks import async_task

from jobs import lifecycle, tools
from jobs.evidence import Warned
from jobs.models import (
    OPEN,
    Attempt,
    CallEffect,
    CallKind,
    CallOutcome,
    CallState,
    FunctionCall,
    Job,
    PromptVersion,
    Status,
    Turn,
)
from jobs.rendering import unseen
from jobs.text import clean, clipped
from jobs.timelimit import OverTime, time_limit

logger = logging.getLogger(__name__)

RUN = "jobs.tasks.run_tool"
#: A call whose task was lost is handed to the queue again after this.
NUDGE_AGAIN = timedelta(seconds=15)
#: What a run may take beyond its tool's time limit before it is taken for dead.
GRACE = timedelta(seconds=20)
#: Calls read out of one answer.
MOST_ASKED = 1_000

_KINDS = {
    "function_call": CallKind.FUNCTION,
    "custom_tool_call": CallKind.FUNCTION,
    "mcp_approval_request": CallKind.MCP,
}


#: Items that this side answers; other calls are the provider's own.
ANSWERED_HERE = frozenset(_KINDS)


class BadVerdict(ValueError):
    """A reviewer's verdict cannot be taken: `problems` says what to mend, by the call's position."""

    def __init__(self, problems: Mapping[int, str]) -> None:
        super().__init__(" ".join(problems.values()))
        self.problems = dict(problems)


@dataclass(frozen=True)
class Asked:
    """One call as the answer holds it. `call_id` is what its answer must name."""

    call_id: str
    item_type: str
    kind: CallKind
    name: str
    server: str
    arguments: str


@dataclass(frozen=True)
class Verdict:
    """What a person says of one call. `arguments` is JSON text, None to leave them as they are."""

    approved: bool = True
    arguments: str | None = None
    reason: str = ""


def asked(data: Mapping[str, Any]) -> list[Asked]:
    """The calls in a response, each once. Those that name no usable id cannot be answered, and are
    left to the evidence."""
    output = data.get("output")
    found: dict[str, Asked] = {}
    for item in output if isinstance(output, list) else []:
        kind = _KINDS.get(str(item.get("type"))) if isinstance(item, dict) else None
        if kind is None:
            continue
        call_id = item.get("id" if kind is CallKind.MCP else "call_id")
        name, arguments = item.get("name"), item.get("arguments", item.get("input"))
        if not isinstance(call_id, str) or not 0 < len(call_id) <= 200 or clean(call_id) != call_id:
            continue
        server = item.get("server_label")
        found.setdefault(
            call_id,
            Asked(
                call_id,
                str(item["type"]),
                kind,
                clean(name)[:200] if isinstance(name, str) else "",
                clean(server)[:200] if isinstance(server, str) else "",
                clean(arguments) if isinstance(arguments, str) else "",
            ),
        )
    return list(found.values())[:MOST_ASKED]


def take_down(job: Job, turn: Turn, asks: Sequence[Asked], *, now: datetime) -> list[FunctionCall]:
    """The rows for what `turn` asked for: those that cannot run answered already, with why."""
    version, limit = job.prompt_version, job.job_type.max_calls
    made = FunctionCall.objects.filter(turn__attempt=turn.attempt_id).count()
    rows = []
    for position, ask in enumerate(asks, 1):
        call = FunctionCall(
            turn=turn,
            position=position,
            call_id=ask.call_id,
            item_type=ask.item_type,
            kind=ask.kind,
            name=ask.name,
            server=ask.server,
            arguments=ask.arguments,
            asked_at=now,
        )
        _judge(call, version)
        if call.state != CallState.ANSWERED and made + position > limit:
            said = f"Not run: this job may make {limit} calls, and has made them."
            _refuse(call, CallOutcome.OVER_LIMIT, said)
        if call.state == CallState.ANSWERED:
            call.ended_at = now
        elif call.state == CallState.READY:
            call.next_check_at = now
        rows.append(call)
    return FunctionCall.objects.bulk_create(rows)


def _judge(call: FunctionCall, version: PromptVersion) -> None:
    """Whether it is offered, its arguments are right, and a person must see it first."""
    call.effect, call.state = CallEffect.WRITE, CallState.WAITING
    if call.kind == CallKind.MCP:
        return
    tool = tools.offered(version.tools).get(call.name)
    if tool is None or call.item_type != "function_call" or not _is_allowed(call.name, version):
        call.effect = CallEffect.NONE
        _refuse(call, CallOutcome.NOT_OFFERED, f"There is no tool {call.name} here.")
        return
    call.effect = tool.effect
    try:
        tool.arguments(call.arguments)
    except tools.ToolProblem as error:
        _refuse(call, CallOutcome.INVALID, str(error))
        return
    if tool.effect == CallEffect.READ:
        call.state = CallState.READY


def _is_allowed(name: str, version: PromptVersion) -> bool:
    """What the request's ``tool_choice`` leaves of the tools, whatever the model makes of it."""
    choice = version.options.get("tool_choice")
    if choice == "none":
        return False
    if not isinstance(choice, dict) or choice.get("type") != "allowed_tools":
        return True
    listed = choice.get("tools")
    return any(
        isinstance(one, dict) and one.get("name") == name
        for one in (listed if isinstance(listed, list) else [])
    )


def _refuse(call: FunctionCall, outcome: CallOutcome, text: str) -> None:
    call.state, call.outcome, call.output = CallState.ANSWERED, outcome, problem(text)


def problem(text: str) -> str:
    """What a model is told where there is no output."""
    return json.dumps({"error": text}, ensure_ascii=False)


def call_hash(call: FunctionCall, arguments: str) -> str:
    """SHA-256 over what would happen: the tool, where it is, and the arguments."""
    said = json.dumps([call.kind, call.server, call.name, arguments])
    return hashlib.sha256(said.encode()).hexdigest()


def gate_hash(calls: Sequence[FunctionCall]) -> str:
    """SHA-256 over all that a person is asked about."""
    said = [[call.call_id, call_hash(call, call.arguments)] for call in calls]
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()


def waiting(attempt: Attempt) -> list[FunctionCall]:
    """The calls of an attempt that a person must decide, in order."""
    found = FunctionCall.objects.filter(turn__attempt=attempt, state=CallState.WAITING)
    return list(found.select_related("turn").order_by("turn__number", "position"))


def unanswered(attempt: Attempt) -> bool:
    """Whether the next turn still waits for an answer."""
    rows = FunctionCall.objects.filter(turn__attempt=attempt)
    return rows.exclude(state=CallState.ANSWERED).exists()


def decide(
    attempt: Attempt, verdicts: Mapping[int, Verdict], *, now: datetime
) -> list[FunctionCall]:
    """Carry a person's verdicts out, by the calls' place among those that wait, from 1; a call
    without one is approved as it stands. Answers the calls as they are now.

    The caller holds the job. Raises `BadVerdict`; then nothing is decided.
    """
    calls = _weigh(attempt, verdicts, now=now)
    for call in calls:
        call.save()
    return calls


def weighed(attempt: Attempt, verdicts: Mapping[int, Verdict]) -> list[dict[str, Any]]:
    """What `decide` would make of the calls that wait, as `as_decided` says it. Nothing is written.
    Raises `BadVerdict`."""
    return [as_decided(call) for call in _weigh(attempt, verdicts, now=attempt.created_at)]


def _weigh(
    attempt: Attempt, verdicts: Mapping[int, Verdict], *, now: datetime
) -> list[FunctionCall]:
    """The calls that wait, with the verdicts on them, unsaved."""
    calls, problems = waiting(attempt), {}
    for place, call in enumerate(calls, 1):
        verdict = verdicts.get(place, Verdict())
        try:
            _decide(call, verdict, now)
        except tools.ToolProblem as error:
            problems[place] = str(error)
    for place in verdicts.keys() - set(range(1, len(calls) + 1)):
        problems[place] = f"There is no call {place}: {len(calls)} wait for a decision."
    if problems:
        raise BadVerdict(problems)
    return calls


def as_decided(call: FunctionCall) -> dict[str, Any]:
    """What was decided of a call, for the record: `hash` covers what it may run with."""
    approved = bool(call.approved_hash)
    return {
        "call_id": call.call_id,
        "name": call.name,
        "approved": approved,
        "edited": bool(call.edited_arguments),
        "hash": call.approved_hash or call_hash(call, call.arguments),
    }


def warnings(attempt: Attempt) -> list[Warned]:
    """What a person should know of an attempt's calls: those whose effect nobody knows."""
    doubtful = FunctionCall.objects.filter(
        turn__attempt=attempt,
        effect=CallEffect.WRITE,
        outcome__in=[CallOutcome.INTERRUPTED, CallOutcome.TIMED_OUT, CallOutcome.FAILED],
    )
    return [
        Warned("call_in_doubt", f"{told_as(call)}: {call.get_outcome_display().lower()}.")
        for call in doubtful.order_by("asked_at", "position")
    ]


def told_as(call: FunctionCall) -> str:
    """What people call the tool."""
    tool = tools.find(call.name) if call.kind == CallKind.FUNCTION else None
    return tool.title if tool else unseen.line(call.name or call.server, 150)


def _decide(call: FunctionCall, verdict: Verdict, now: datetime) -> None:
    if not verdict.approved:
        reason = clean(verdict.reason.strip())
        call.refusal = reason
        told = "A reviewer refused this call" + (f": {reason}" if reason else ".")
        _refuse(call, CallOutcome.REFUSED, told)
        call.ended_at = now
        return
    arguments = clean(verdict.arguments) if verdict.arguments is not None else call.arguments
    if call.kind == CallKind.MCP:
        if arguments != call.arguments:
            raise tools.ToolProblem("What an MCP server is called with cannot be edited here.")
        call.state, call.outcome, call.ended_at = CallState.ANSWERED, CallOutcome.APPROVED, now
    else:
        tool = tools.find(call.name)
        if tool is None:
            raise tools.ToolProblem(f"There is no tool {call.name} here any more: refuse it.")
        tool.arguments(arguments)
        if arguments != call.arguments:
            call.edited_arguments = arguments
        call.state, call.next_check_at = CallState.READY, now
    call.approved_hash = call_hash(call, arguments)


def hand_out(now: datetime) -> None:
    """Give what may run to the queue, as far as there is room, and answer for runs whose process
    died."""
    due = FunctionCall.objects.due(now).select_related("turn__attempt").order_by("next_check_at")
    # What was sent and answered may be megabytes, once for each of its calls.
    found = list(due.defer("turn__request", "turn__payload", "turn__late_payload")[:50])
    room = settings.CALLS_AT_A_TIME - _at_work(now) if found else 0
    for call in found:
        if call.state == CallState.READY and call.turn.attempt.is_open:
            if room <= 0:
                continue
            room -= 1
            taken = FunctionCall.objects.filter(
                pk=call.pk, state=CallState.READY, next_check_at=call.next_check_at
            ).update(next_check_at=now + NUDGE_AGAIN)
            if taken:
                async_task(RUN, call_id=str(call.pk))
        elif call.state == CallState.RUNNING:
            text = "The call was interrupted, and is not made again: it may have taken effect."
            _answer(call, CallOutcome.INTERRUPTED, problem(text), token=call.lease_token, now=now)
        else:
            FunctionCall.objects.filter(pk=call.pk).update(next_check_at=None)


def _at_work(now: datetime) -> int:
    """How many were given to the queue, or run."""
    handed_out = Q(state=CallState.READY, next_check_at__gt=now)
    return FunctionCall.objects.filter(
        handed_out | Q(state=CallState.RUNNING, lease_until__gt=now)
    ).count()


def run(call_id: UUID, *, clock: Callable[[], datetime]) -> None:
    """Run a call that may run, here and now, within its tool's time limit. Does nothing where it
    has been run, is being run, or its attempt is over."""
    now, token = clock(), uuid.uuid4()
    call = FunctionCall.objects.select_related("turn__attempt__job__workspace").get(pk=call_id)
    job = call.turn.attempt.job
    tool = tools.find(call.name)
    if call.state != CallState.READY:
        return
    # A tool may have come to change something since nobody had to approve this call.
    if tool is None or tool.effect != call.effect:
        _answer(call, CallOutcome.NOT_OFFERED, problem(f"There is no tool {call.name}."), now=now)
        return
    arguments = call.effective_arguments
    if call.effect == CallEffect.WRITE and call.approved_hash != call_hash(call, arguments):
        logger.error("call %s is not what was approved", call.pk)
        _answer(call, CallOutcome.REFUSED, problem("This call was not approved."), now=now)
        return
    until = now + timedelta(seconds=tool.seconds) + GRACE
    with lifecycle.locked(job.pk) as held:
        # What only reads does not wait for what a person decides of its neighbours.
        goes_on = {Status.RUNNING} | (
            {Status.NEEDS_REVIEW} if call.effect == CallEffect.READ else set()
        )
        if held.status not in goes_on or held.cancel_requested_at:
            return
        begun = FunctionCall.objects.filter(
            pk=call.pk, state=CallState.READY, turn__attempt__state__in=sorted(OPEN)
        ).update(
            state=CallState.RUNNING,
            started_at=now,
            lease_token=token,
            lease_until=until,
            next_check_at=until,
        )
    if not begun:
        return
    context = tools.ToolContext(job=job, key=call.pk, now=now)
    outcome, output = _outcome(tool, context, arguments)
    _answer(call, outcome, output, token=token, now=clock())


def _outcome(
    tool: tools.Tool, context: tools.ToolContext, arguments: str
) -> tuple[CallOutcome, str]:
    unsure = " It may have taken effect." if tool.effect == CallEffect.WRITE else ""
    try:
        with time_limit(tool.seconds):
            return CallOutcome.DONE, clean(tool.call(context, tool.arguments(arguments)))
    except tools.ToolProblem as error:
        return CallOutcome.FAILED, problem(clean(str(error)))
    except OverTime:
        if not connection.in_atomic_block and not connection.is_usable():
            connection.close()
        said = f"{tool.name} took longer than {tool.seconds:g} seconds.{unsure}"
        return CallOutcome.TIMED_OUT, problem(said)
    except Exception:
        logger.exception("the tool %s failed for %s", tool.name, context.job.ref)
        return CallOutcome.FAILED, problem(f"{tool.name} failed.{unsure}")


def _answer(
    call: FunctionCall,
    outcome: CallOutcome,
    output: str,
    *,
    now: datetime,
    token: UUID | None = None,
) -> None:
    """Write an answer down, once, and let the attempt go on."""
    with lifecycle.locked(call.turn.attempt.job_id):
        written = (
            FunctionCall.objects.filter(pk=call.pk, lease_token=token)
            .exclude(state=CallState.ANSWERED)
            .update(
                state=CallState.ANSWERED,
                outcome=outcome,
                output=output,
                ended_at=now,
                next_check_at=None,
                **lifecycle.LET_GO,
            )
        )
        if not written:
            logger.warning("call %s was answered already: %s", call.pk, clipped(output, 200))
            return
        Attempt.objects.filter(pk=call.turn.attempt_id, state__in=sorted(OPEN)).update(
            next_check_at=now
        )
