"""What a reviewer has before them: what is to be judged, and what it rests on."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from django.db.models import QuerySet

from jobs import requests
from jobs.access import Action, NotNow, allowed_actions
from jobs.models import Attempt, Cause, Document, Gate, GateKind, Job, Result, Turn, User
from jobs.rendering import ResultView, TurnView, result_view, turns, unseen
from jobs.rendering.steps import MOST_STEPS
from jobs.results import steps_so_far
from reviews import claims, exhibits, mentions, offers, seen
from reviews.callcards import CallCard, cards
from reviews.claims import Claim
from reviews.edits import Changes, against_previous, of_edit
from reviews.exhibits import Exhibit
from reviews.models import Decision, ReviewerNote, Ruling
from reviews.offers import Buttons


@dataclass(frozen=True)
class Planned:
    """What would be sent, taken apart for people and with its hidden characters named; `body` is
    all of it as JSON."""

    model: str
    instructions: str
    message: str
    tools: Sequence[str]
    options: Sequence[tuple[str, str]]
    body: str


@dataclass(frozen=True)
class Evidence:
    """What a result rests on, beside what `view` shows with it. The counts are of all there is;
    `responses` are the provider's, of the attempt that made it."""

    view: ResultView
    turns: Sequence[TurnView]
    step_count: int
    steps_left_out: int
    responses: Sequence[Turn]


@dataclass(frozen=True)
class Case:
    """`planned` before a run, `calls` where tool calls wait, `result` and its `evidence` after one; neither where there is nothing
    to look at yet. `content_hash` is that of the open gate, or "". `changes` are what differs between
    the result and those before it; `rounds` counts how often changes were asked for."""

    planned: Planned | None
    calls: Sequence[CallCard]
    result: Result | None
    evidence: Evidence | None
    so_far: Sequence[TurnView]
    content_hash: str
    inputs: Sequence[tuple[str, Any]]
    documents: QuerySet[Document]
    attempts: Sequence[Attempt]
    decisions: Sequence[Decision]
    notes: Sequence[ReviewerNote]
    named: Mapping[str, User]
    changes: Sequence[Changes] = ()
    rounds: int = 0

    @property
    def escalation(self) -> Decision | None:
        """Who lifted the open gate to its level, and why."""
        for decision in self.decisions:
            if decision.ruling == Ruling.ESCALATE:
                return decision
            if decision.ruling != Ruling.REASSIGN and not decision.partial:
                break
        return None

    @property
    def feedback(self) -> str:
        """The words that the result was made with, where somebody had asked for changes."""
        return self.result.attempt.feedback if self.result else ""


def case(
    job: Job,
    *,
    typed: Mapping[str, str] | None = None,
    problems: Mapping[int, str] | None = None,
) -> Case:
    """`typed` is what was put into the fields of tool calls, and `problems` what is wrong with it,
    by the calls' place."""
    gate = job.open_gate
    before_run = gate is not None and gate.kind == GateKind.BEFORE_RUN
    at_call = gate is not None and gate.kind == GateKind.TOOL_CALL
    attempts = list(
        job.attempts.order_by("-number").select_related("result__edit__made_by", "caused_by")
    )
    decisions = list(job.decisions.select_related("actor").order_by("-id"))
    notes = list(job.notes.select_related("author").order_by("id"))
    said = [note.text for note in notes] + [decision.note for decision in decisions]
    # What an earlier attempt produced is not what is judged here.
    result = None if before_run or at_call else _judged(job, attempts)
    return Case(
        planned=_planned(job) if before_run else None,
        calls=cards(gate, typed=typed, problems=problems),
        result=result,
        evidence=_evidence(job, result) if result else None,
        so_far=turns(steps_so_far(gate.attempt)) if gate and at_call and gate.attempt else [],
        content_hash=gate.content_hash if gate else "",
        inputs=job.titled_input(),
        documents=job.documents.defer("text"),
        attempts=attempts,
        changes=_changes(job, result) if result else [],
        rounds=sum(attempt.cause == Cause.CHANGES for attempt in attempts),
        decisions=decisions,
        notes=notes,
        named=mentions.named(said, job.workspace),
    )


@dataclass(frozen=True)
class Ticked:
    """A row of evidence, and whether this person has seen it."""

    exhibit: Exhibit
    seen: bool


@dataclass(frozen=True)
class Rows:
    """All evidence of what is judged. `ticks`: this person can tick it; `wanted`: all of it must be
    seen before an approval."""

    rows: Sequence[Ticked]
    ticks: bool
    wanted: bool

    @property
    def seen(self) -> int:
        return sum(row.seen for row in self.rows)


def evidence_rows(user: User, job: Job, result: Result | None, *, decides: bool) -> Rows:
    """The evidence at the open gate or, without one, of `result`. `decides`: `user` may decide
    something at the gate (`claims.decides`)."""
    gate = job.open_gate
    if gate is None:
        found = exhibits.of_result(job, result) if result else []
        return Rows([Ticked(exhibit, False) for exhibit in found], ticks=False, wanted=False)
    found = exhibits.at_gate(job, gate)
    ticks = bool(found) and decides
    known = seen.keys(gate, user) if ticks else frozenset()
    rows = [Ticked(exhibit, exhibit.key in known) for exhibit in found]
    return Rows(rows, ticks=ticks, wanted=bool(found) and seen.is_wanted(job))


@dataclass(frozen=True)
class Standing:
    """Who has a review open, as its page says it. `state` is "closed" where nothing waits any more,
    "changed" where what waits is not what the page shows, "watching" for those who do not decide it,
    "mine", "theirs", "lost" where somebody took it over from this person, or "free"."""

    state: str
    claim: Claim | None = None


def standing(
    user: User,
    job: Job,
    *,
    now: datetime,
    decides: bool,
    shown: str | None = None,
    held: bool = False,
) -> Standing:
    """`shown` is the content that the page shows; `held`, that this person had the review open."""
    gate = job.open_gate
    if gate is None:
        return Standing("closed")
    claim = claims.held_by(gate, now=now)
    if shown is not None and shown != gate.content_hash:
        return Standing("changed", claim)
    if claim and claim.holder == user:
        return Standing("mine", claim)
    if not decides:
        return Standing("watching", claim)
    if claim:
        return Standing("lost" if held else "theirs", claim)
    return Standing("free")


def verbs(user: User, job: Job, *, now: datetime) -> Buttons:
    """The buttons of the review page, off where somebody else has it open, and approval where
    evidence is still to be seen."""
    buttons, gate = offers.at_the_desk(user, job), job.open_gate
    if gate is None:
        return buttons
    held, unseen_yet = _held(gate, user, now), seen.lacking(job, gate, user)
    if held:
        may = allowed_actions(user, job)
        off = {action.value: held for action in may if claims.binds(action, may[action].role)}
    else:
        off = {Action.APPROVE.value: unseen_yet} if unseen_yet else {}
    return Buttons(
        [
            replace(offer, why=off[offer.value]) if offer.allowed and offer.value in off else offer
            for offer in buttons.every
        ]
    )


def hold(user: User, job: Job, *, now: datetime, decides: bool) -> str:
    """What keeps somebody who may decide from deciding just now, or ""."""
    gate = job.open_gate
    if gate is None or not decides:
        return ""
    return _held(gate, user, now) or seen.lacking(job, gate, user)


def _held(gate: Gate, user: User, now: datetime) -> str:
    try:
        claims.check(gate, user, now=now)
    except NotNow as held:
        return str(held)
    return ""


def _judged(job: Job, attempts: Sequence[Attempt]) -> Result | None:
    """The result at the gate; without one, the last that there is."""
    results = [attempt.result for attempt in attempts if hasattr(attempt, "result")]
    at_gate = job.open_gate.result_id if job.open_gate else None
    found = next((result for result in results if at_gate in (None, result.pk)), None)
    return found.as_judged() if found else None


def _changes(job: Job, result: Result) -> list[Changes]:
    """What differs from what the model wrote, and from the attempt before."""
    found = [of_edit(result), against_previous(job, result)]
    return [changes for changes in found if changes]


def _evidence(job: Job, result: Result) -> Evidence:
    citations = list(
        result.citations.select_related("document").defer("document__text", "raw").all()
    )
    count = result.tool_calls.count()
    shown = result.tool_calls.defer("raw").order_by("position")[:MOST_STEPS]
    responses = result.attempt.turns.only("number", "response_id", "request_id", "provider_status")
    return Evidence(
        view=result_view(job, result, citations=citations, files=result.files.all()),
        turns=turns(shown),
        step_count=count,
        steps_left_out=max(0, count - MOST_STEPS),
        responses=list(responses.order_by("number")),
    )


def _planned(job: Job) -> Planned:
    body = requests.planned(job)
    shown = {"model", "instructions", "input", "tools", "background", "store"}
    return Planned(
        model=body["model"],
        instructions=unseen.shown(body["instructions"]),
        message=unseen.shown(body["input"][0]["content"][-1]["text"]),
        tools=[str(tool.get("type", "unknown")) for tool in body.get("tools", [])],
        options=[
            (name, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
            for name, value in body.items()
            if name not in shown
        ],
        body=unseen.shown(json.dumps(body, indent=2, ensure_ascii=False)),
    )
