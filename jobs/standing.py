"""Where a job stands, in a requester's words: what happens now, why it waits, what comes next."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from jobs.access import FILES_MISSING, UNKNOWN_SUBMIT
from jobs.ballots import ballot
from jobs.lifecycle import Reason
from jobs.models import (
    Attempt,
    Carry,
    Cause,
    Event,
    Gate,
    GateKind,
    Job,
    Lane,
    Role,
    State,
    Status,
    Verb,
)
from jobs.reviewing import always_reviewed, told

#: Without a heartbeat for this long, no cluster is at work.
HEART_STOPPED = timedelta(seconds=30)

_ADVICE = {
    "rejected": "Submit it again with changes, or ask whoever rejected it.",
    "lost_at_provider": "Retry it: it runs again from the start.",
    "document_unusable": "Submit it again, with the document.",
    "incomplete": "Retry it, or ask for less in one job.",
    UNKNOWN_SUBMIT: "Wait a while: a late result may still arrive. A retry may cost twice.",
    "server_error": "The fault was OpenAI's. Retry it.",
    "rate_limit_exceeded": "OpenAI was too busy. Retry it later.",
    "insufficient_quota": "An operator has to fix the OpenAI account first. Then retry it.",
    "invalid_prompt": "OpenAI refused what was asked. Submit it again with changes.",
}


@dataclass(frozen=True)
class Step:
    """A stage of a job's life. `state` is "done", "now", "stopped" or "ahead"."""

    label: str
    state: str


@dataclass(frozen=True)
class Standing:
    """`sentence` says what is happening, `detail` why, `then` what comes next or what to do.

    `since` is when this began; `checked_at` and `next_check_at` are when the provider was last
    heard of and will be asked next; `due_at` is the deadline that counts now.
    """

    sentence: str
    detail: str = ""
    then: str = ""
    since: datetime | None = None
    checked_at: datetime | None = None
    next_check_at: datetime | None = None
    due_at: datetime | None = None
    overdue: bool = False


def standing(
    job: Job,
    *,
    attempt: Attempt | None,
    gate: Gate | None,
    events: Sequence[Event],
    heartbeat: datetime | None,
    now: datetime,
) -> Standing:
    """`attempt` is the latest one, `gate` the open one, `heartbeat` when a cluster last beat."""
    working = heartbeat is not None and now - heartbeat < HEART_STOPPED
    match Status(job.status):
        case Status.QUEUED:
            return _queued(job, attempt, working=working)
        case Status.RUNNING:
            return _running(job, attempt, working=working)
        case Status.NEEDS_REVIEW:
            return _under_review(job, gate, now=now)
        case Status.COMPLETED:
            return _completed(job, events)
        case Status.FAILED:
            advice = _ADVICE.get(job.reason_code, "Retry it, or submit it again with changes.")
            return Standing("It failed.", job.reason_text, advice, since=job.settled_at)
        case Status.CANCELED:
            kept = "Nothing more happens. It can be retried."
            return Standing("It was canceled.", job.reason_text, kept, since=job.settled_at)
        case Status.EXPIRED:
            again = "Retry it: its deadlines start again."
            return Standing("Its time ran out.", job.reason_text, again, since=job.settled_at)


def _queued(job: Job, attempt: Attempt | None, *, working: bool) -> Standing:
    if not working:
        return _nobody_works("It starts", due_at=job.start_by)
    sentence, detail = "Waiting to start.", "This takes seconds as a rule."
    if job.reason_code.startswith("not_started_"):
        sentence, detail = "Waiting for OpenAI to accept it.", job.reason_text
    elif attempt and attempt.cause == Cause.CHANGES:
        sentence, detail = "A reviewer asked for changes.", "It runs again with what they said."
    elif attempt and attempt.cause == Cause.AUTOMATIC:
        sentence, detail = "Waiting to be tried again.", job.reason_text
    return Standing(
        sentence,
        detail,
        "You can leave this page: it goes on without you.",
        since=attempt.created_at if attempt else job.created_at,
        next_check_at=attempt.next_check_at if attempt and attempt.failures else None,
        due_at=job.start_by,
    )


def _running(job: Job, attempt: Attempt | None, *, working: bool) -> Standing:
    if not working:
        return _nobody_works("It goes on", due_at=job.finish_by)
    then = "You can leave this page: it goes on without you."
    sentence, detail = "OpenAI is working on it.", ""
    if job.cancel_requested_at:
        sentence = "It is being canceled."
        detail = f"{job.cancel_requested_by} asked for it, and OpenAI is being told."
        then = "It will be canceled, whatever OpenAI answers."
    elif job.progress_done < job.progress_total - 2:
        sentence = f"{job.progress_message}."
        stage = f"Stage {job.progress_done} of {job.progress_total}"
        detail = f"{stage}. OpenAI reads the documents once they have arrived."
    elif attempt and attempt.state == State.SUBMITTING:
        sentence, detail = "It is using its tools.", job.reason_text
    elif attempt and attempt.state == State.UNKNOWN:
        sentence, detail = "Waiting for news from OpenAI.", job.reason_text
    elif job.reason_code == FILES_MISSING:
        sentence, detail = "The answer is there, and its files are being fetched.", job.reason_text
    elif job.reason_text:
        sentence, detail = "OpenAI does not answer at the moment.", job.reason_text
    elif job.progress_message.endswith("queue"):
        sentence = "OpenAI has it in its queue."
    return Standing(
        sentence,
        detail,
        then,
        since=attempt.submitted_at if attempt else job.started_at,
        checked_at=attempt.last_heard_at if attempt else None,
        next_check_at=attempt.next_check_at if attempt else None,
        due_at=job.finish_by,
    )


def _nobody_works(goes_on: str, *, due_at: datetime) -> Standing:
    return Standing(
        "Jobs are not being processed at the moment.",
        f"Yours is safe. {goes_on} by itself as soon as processing resumes.",
        "Operators see this too. Tell them if it lasts.",
        due_at=due_at,
    )


def _under_review(job: Job, gate: Gate | None, *, now: datetime) -> Standing:
    assert gate is not None, "a job that needs review has an open gate"
    who = _whom(gate)
    if gate.kind == GateKind.BEFORE_RUN:
        sentence = f"It waits for approval by {who}, before it runs."
        then = "Once it is approved it starts. Nothing has been sent or paid for yet."
    elif gate.kind == GateKind.TOOL_CALL:
        sentence = f"It asks to use a tool that needs approval, and waits for {who}."
        then = "Once that is decided, it continues by itself. The tool has not been used yet."
    elif any(reason["code"] == Verb.REOPENED for reason in gate.reasons):
        sentence = f"It was reopened, and waits for {who}."
        then = "Until that is decided, the result is not shown here."
    else:
        sentence = f"The result is ready and waits for {who}."
        then = "Once it is approved, the result appears here."
    if number := len(ballot(job).counting):
        then = f"{number} of {gate.approvals} approvals are given. {then}"
    overdue = gate.due_at < now
    if overdue and gate.expires:
        then = "The time for the review is over: it expires now."
    return Standing(
        sentence,
        " ".join(one.text for one in told(Reason(**reason) for reason in gate.reasons)),
        then,
        since=gate.opened_at,
        due_at=gate.due_at,
        overdue=overdue,
    )


def _whom(gate: Gate) -> str:
    """Whom it waits for: by the name of the level, where that says more than the role."""
    who = "a lead" if gate.role == Role.LEAD else "a reviewer"
    if gate.level_name not in ("Reviewers", "Leads"):
        who = gate.level_name
    return f"{who}, because it was escalated" if gate.level > 1 else who


def _completed(job: Job, events: Sequence[Event]) -> Standing:
    ended = next((event for event in reversed(events) if event.to_status == job.status), None)
    if ended and ended.verb == Verb.APPROVED:
        edited = ", with edits" if ended.data.get("edit") else ""
        detail = f"{ended.actor_name} approved it{edited}."
        if ended.reason_text:
            detail = f"{detail} “{ended.reason_text}”"
    elif approved := next((event for event in reversed(events) if _let_act(event)), None):
        detail = f"{approved.actor_name} approved its tool calls."
    else:
        detail = "It needed no review."
    count = len(job.warnings)
    headline = (
        "It is done."
        if not count
        else f"It is done, with {'a warning' if count == 1 else f'{count} warnings'}."
    )
    return Standing(headline, detail, "", since=job.settled_at)


def _let_act(event: Event) -> bool:
    """Whether a person approved a tool call here."""
    return event.verb == Verb.APPROVED and event.to_status == Status.RUNNING


def steps(job: Job, gate: Gate | None, *, reviewed: bool) -> list[Step]:
    """The stages of this job's life, with the one that it is in. `reviewed`: a result of it has been
    before a reviewer, or is; where the type asks for that only at times, it is a stage from then on.
    """
    carried = {Carry.FILES: ["Sending"], Carry.SEARCH: ["Sending", "Indexing"]}
    before = carried.get(Carry(job.carry), [])
    labels = ["Submitted", *before, "Running", "Completed"]
    if reviewed or always_reviewed(job.ruling_types()):
        labels.insert(-1, "Review")
    if job.lane == Lane.APPROVAL:
        labels.insert(1, "Approval")
    stage = {GateKind.BEFORE_RUN: "Approval", GateKind.TOOL_CALL: "Running"}
    here = {
        Status.QUEUED: "Running",
        Status.RUNNING: [*before, "Running"][min(max(0, job.progress_done - 1), len(before))],
        Status.NEEDS_REVIEW: stage.get(GateKind(gate.kind), "Review") if gate else "Review",
        Status.COMPLETED: "Completed",
    }.get(Status(job.status))
    if here is None:
        at = min(len(labels) - 1, 1 + job.progress_done)
        reached = [Step(label, "done") for label in labels[:at]]
        return [*reached, Step(Status(job.status).label, "stopped")]
    at = labels.index(here)
    states = ["done"] * at + ["now"] + ["ahead"] * (len(labels) - at - 1)
    if here == "Completed":
        states[-1] = "done"
    return [Step(label, state) for label, state in zip(labels, states, strict=True)]
