"""What a reviewer has before them: what is to be judged, and what it rests on."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import QuerySet

from jobs import requests
from jobs.models import Attempt, Citation, Document, GateKind, Job, Result, ToolCall
from jobs.rendering import ResultView, result_view, unseen
from reviews.models import Decision, ReviewerNote, Ruling

#: Citations of this kind are quotes from documents; the other ones stand with the result.
QUOTE = "quote"
#: Of each kind of evidence; a page with more would not be read.
MOST_SHOWN = 200


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
    """What a result rests on, beside what `view` shows with it. The counts are of all there is."""

    view: ResultView
    quotes: Sequence[Citation]
    quote_count: int
    tool_calls: Sequence[ToolCall]
    tool_call_count: int


@dataclass(frozen=True)
class Case:
    """`planned` before a run, `result` and its `evidence` after one; neither where there is nothing
    to look at yet. `content_hash` is that of the open gate, or ""."""

    planned: Planned | None
    result: Result | None
    evidence: Evidence | None
    content_hash: str
    inputs: Sequence[tuple[str, Any]]
    documents: QuerySet[Document]
    attempts: Sequence[Attempt]
    decisions: Sequence[Decision]
    notes: QuerySet[ReviewerNote]

    @property
    def escalation(self) -> Decision | None:
        """Who lifted the open gate to its level, and why."""
        last = self.decisions[0] if self.decisions else None
        return last if last and last.ruling == Ruling.ESCALATE else None

    @property
    def feedback(self) -> str:
        """The words that the result was made with, where somebody had asked for changes."""
        return self.result.attempt.feedback if self.result else ""


def case(job: Job) -> Case:
    gate = job.open_gate
    before_run = gate is not None and gate.kind == GateKind.BEFORE_RUN
    attempts = list(job.attempts.order_by("-number").select_related("result", "caused_by"))
    result = None if before_run else _judged(job, attempts)
    return Case(
        planned=_planned(job) if before_run else None,
        result=result,
        evidence=_evidence(job, result) if result else None,
        content_hash=gate.content_hash if gate else "",
        inputs=_inputs(job),
        documents=job.documents.defer("text"),
        attempts=attempts,
        decisions=list(job.decisions.select_related("actor").order_by("-id")),
        notes=job.notes.select_related("author").order_by("id"),
    )


def _judged(job: Job, attempts: Sequence[Attempt]) -> Result | None:
    """The result at the gate; without one, the last that there is."""
    results = [attempt.result for attempt in attempts if hasattr(attempt, "result")]
    at_gate = job.open_gate.result_id if job.open_gate else None
    return next((result for result in results if at_gate in (None, result.pk)), None)


def _evidence(job: Job, result: Result) -> Evidence:
    citations = list(
        result.citations.select_related("document").defer("document__text", "raw").all()
    )
    quotes = [citation for citation in citations if citation.kind == QUOTE]
    calls = list(result.tool_calls.defer("raw"))
    return Evidence(
        view=result_view(job, result, citations=citations, files=result.files.all()),
        quotes=quotes[:MOST_SHOWN],
        quote_count=len(quotes),
        tool_calls=calls[:MOST_SHOWN],
        tool_call_count=len(calls),
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


def _inputs(job: Job) -> list[tuple[str, Any]]:
    """The input under the titles that its form had."""
    properties = job.job_type.input_schema.get("properties", {})
    titles = {
        name: schema.get("title", name)
        for name, schema in properties.items()
        if isinstance(schema, dict)
    }
    return [(str(titles.get(name, name)), value) for name, value in job.input.items()]
