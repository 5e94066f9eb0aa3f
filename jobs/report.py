"""Everything about one job, as one document: what the commands print, and programs read."""

from typing import Any

from django.db.models import QuerySet

from jobs.access import Action, allowed_actions
from jobs.ballots import ballot
from jobs.lifecycle import Reason
from jobs.models import Attempt, Citation, Event, FunctionCall, Job, Result, Turn, User
from jobs.models.results import QUOTE
from jobs.reviewing import told
from jobs.text import clipped, printable


def job_document(job: Job, *, reader: User | None = None) -> dict[str, Any]:
    """The whole of a job. Moments are ISO 8601 in UTC; costs are US dollars as text, or null.

    With a `reader`, without what the rule keeps from them: a result that is not theirs to read yet
    (and its warnings, which quote it), and what the provider said.
    """
    may = allowed_actions(reader, job) if reader else None
    reads = may is None or may[Action.READ_RESULT].allowed
    inspects = may is None or may[Action.INSPECT].allowed
    attempts = list(job.attempts.order_by("number").prefetch_related("turns__function_calls"))
    results = {
        result.attempt_id: result.as_judged()
        for result in Result.objects.filter(attempt__job=job)
        .select_related("attempt", "edit__made_by")
        .prefetch_related("citations__document", "tool_calls", "files")
    }
    parent = _seen_by(reader).filter(follow_ups=job).first()
    last = next((results[a.pk] for a in reversed(attempts) if a.pk in results), None)
    return {
        **job_line(job),
        "id": str(job.pk),
        "workspace": job.workspace.slug,
        "lane": job.lane,
        "input": job.input,
        "documents": [
            {"name": d.name, "content_type": d.content_type, "size": d.size, "sha256": d.sha256}
            for d in job.documents.all()
        ],
        "warnings": job.warnings if reads else [],
        "parent": parent.ref if parent else None,
        "follows": _named(parent) if parent and job.is_follow_up else None,
        "follow_ups": _follow_ups(job, reader),
        "start_by": job.start_by,
        "finish_by": job.finish_by,
        "cancel_requested": job.cancel_requested_at is not None,
        "attempts": [_attempt(attempt) for attempt in attempts] if inspects else [],
        "gate": _gate(job, inspects=inspects),
        "result": _result(last, inspects=inspects) if reads else None,
        "events": [_event(event, inspects=inspects) for event in job.events.order_by("seq")],
    }


def job_line(job: Job) -> dict[str, Any]:
    """The part of a job that a list shows."""
    return {
        "ref": job.ref,
        "type": job.job_type.slug,
        "status": job.status,
        "reason": _reason(job.reason_code, job.reason_text),
        "progress": {
            "done": job.progress_done,
            "total": job.progress_total,
            "message": job.progress_message,
        },
        "summary": job.input_summary,
        "requester": job.requester.get_username(),
        "archived": job.archived_at is not None,
        "cost": _cost(job.cost_usd),
        "created_at": job.created_at,
        "settled_at": job.settled_at,
    }


def _follow_ups(job: Job, reader: User | None) -> list[dict[str, Any]]:
    asked = _seen_by(reader).filter(parent=job, job_type__follows=True).order_by("id")
    return [_named(one) for one in asked.only("ref", "status", "input_summary")]


def _named(job: Job) -> dict[str, Any]:
    return {"ref": job.ref, "status": job.status, "summary": job.input_summary}


def _seen_by(reader: User | None) -> QuerySet[Job]:
    return Job.objects.visible_to(reader) if reader else Job.objects.all()


def _attempt(attempt: Attempt) -> dict[str, Any]:
    return {
        "number": attempt.number,
        "state": attempt.state,
        "cause": attempt.cause,
        "turns": [_turn(turn) for turn in attempt.turns.all()],
        "error": _reason(attempt.error_code, attempt.error_text) if attempt.error_code else None,
        "cost": _cost(attempt.cost_usd),
        "checks": attempt.checks,
        "submitted_at": attempt.submitted_at,
        "ended_at": attempt.ended_at,
    }


def _turn(turn: Turn) -> dict[str, Any]:
    return {
        "number": turn.number,
        "response_id": turn.response_id,
        "request_id": turn.request_id,
        "provider_status": turn.provider_status,
        "sent_at": turn.sent_at,
        "ended_at": turn.ended_at,
        "cost": _cost(turn.cost_usd),
        "calls": [_call(call) for call in turn.function_calls.all()],
    }


def _call(call: FunctionCall) -> dict[str, Any]:
    return {
        "name": call.name,
        "arguments": call.arguments,
        "edited_arguments": call.edited_arguments or None,
        "state": call.state,
        "outcome": call.outcome or None,
        "output": call.output,
    }


def _gate(job: Job, *, inspects: bool) -> dict[str, Any] | None:
    gate = job.open_gate
    if gate is None:
        return None
    reasons = [Reason(**reason) for reason in gate.reasons]
    return {
        "kind": gate.kind,
        "level": gate.level,
        "level_name": gate.level_name,
        "decided_by": gate.role,
        "approvals": {"given": len(ballot(job).counting), "needed": gate.approvals},
        "assignee": gate.assignee.get_username() if gate.assignee else None,
        "reasons": [
            _reason(one.code, one.text) for one in (reasons if inspects else told(reasons))
        ],
        "content_hash": gate.content_hash,
        "opened_at": gate.opened_at,
        "due_at": gate.due_at,
    }


def result_document(result: Result) -> dict[str, Any]:
    """A result with its evidence, without what the provider said on the way; of a reviewer's
    version, without the quotes that are not in it any more."""
    return {
        "attempt": result.attempt.number,
        "text": result.text,
        "structured": result.structured,
        "partial": result.partial,
        "citations": [
            {
                "kind": citation.kind,
                "quote": citation.quote_in(result),
                "document": citation.document.name if citation.document else None,
                "path": citation.path,
                "start": citation.start if _is_there(citation, result) else None,
                "end": citation.end if _is_there(citation, result) else None,
                "url": citation.url,
                "title": citation.title,
            }
            for citation in result.citations.all()
            if citation.goes_with(result)
        ],
        "files": [
            {"name": f.name, "content_type": f.content_type, "size": f.size, "sha256": f.sha256}
            for f in result.files.all()
        ],
        "warnings": result.warnings,
        "edited": _edited(result),
        "hash": result.content_hash,
    }


def _is_there(citation: Citation, result: Result) -> bool:
    """Whether a place of the result is where it was: the offsets of sources are those of the text
    that the model wrote."""
    return not result.is_edited or (citation.kind == QUOTE and citation.goes_with(result))


def _edited(result: Result) -> dict[str, Any] | None:
    if not result.is_edited or result.edit is None:
        return None
    return {"by": result.edit.made_by.get_username(), "at": result.edit.made_at}


def _produced(result: Result) -> dict[str, Any] | None:
    """What the model wrote, where a reviewer's version counts instead."""
    made = result.produced
    if made is None:
        return None
    return {"text": made.text, "structured": made.structured, "hash": made.content_hash}


def _result(result: Result | None, *, inspects: bool) -> dict[str, Any] | None:
    if result is None:
        return None
    return {
        **result_document(result),
        "deliverable": result.deliverable,
        "produced": _produced(result) if inspects else None,
        "tool_calls": []
        if not inspects
        else [
            {
                "turn": call.turn,
                "title": call.title,
                "kind": call.kind,
                "name": call.name,
                "status": call.status,
                "summary": call.summary,
                "raw": call.raw,
            }
            for call in result.tool_calls.all()
        ],
        "usage": result.usage,
        "model": result.model,
        "service_tier": result.service_tier,
    }


def _event(event: Event, *, inspects: bool) -> dict[str, Any]:
    return {
        "seq": event.seq,
        "verb": event.verb,
        "actor": event.actor_name,
        "from": event.from_status or None,
        "to": event.to_status or None,
        "at": event.at,
        "reason": _reason(
            event.reason_code,
            event.reason_text if inspects or not event.is_among_reviewers else "",
        ),
        "data": event.data,
        "hash": event.hash,
    }


def _reason(code: str, text: str) -> dict[str, str]:
    return {"code": code, "text": text}


def _cost(value: Any) -> str | None:
    return None if value is None else str(value)


def as_text(document: dict[str, Any]) -> str:
    """The document as a person reads it in a terminal."""
    reason, progress = document["reason"], document["progress"]
    lines = [f"{document['ref']}  {document['type']}  {document['status'].replace('_', ' ')}"]
    if document["summary"]:
        lines.append(f"  {document['summary']}")
    if reason["text"]:
        lines.append(f"  why: {reason['text']}")
    lines += [
        f"  progress: {progress['done']} of {progress['total']}, {progress['message']}",
        f"  cost: {'unknown' if document['cost'] is None else '$' + document['cost']}",
    ]
    if followed := document["follows"]:
        lines.append(f"  follows {followed['ref']}: {followed['summary']}")
    elif document["parent"]:
        lines.append(f"  began with the input of {document['parent']}")
    for asked in document["follow_ups"]:
        status = asked["status"].replace("_", " ")
        lines.append(f"  follow-up {asked['ref']}, {status}: {asked['summary']}")
    for warning in document["warnings"]:
        lines.append(f"  warning: {warning['text']}")
    for attempt in document["attempts"]:
        ids = ", ".join(turn["response_id"] or "no response" for turn in attempt["turns"])
        lines.append(f"  attempt {attempt['number']}: {attempt['state']} ({ids})")
        for turn in attempt["turns"]:
            for call in turn["calls"]:
                how = call["outcome"] or call["state"]
                arguments = call["edited_arguments"] or call["arguments"]
                lines.append(f"    {call['name']} ({how}): {clipped(arguments, 160)}")
    if gate := document["gate"]:
        why = " ".join(reason["text"] for reason in gate["reasons"])
        due = f"by {gate['due_at']:%Y-%m-%d %H:%M} UTC"
        lines.append(f"  waits for a person (level {gate['level']}, {due}): {why}")
    elif document["settled_at"] is None:
        limit = document["start_by" if document["status"] == "queued" else "finish_by"]
        lines.append(f"  expires at {limit:%Y-%m-%d %H:%M} UTC")
    for event in document["events"]:
        said = f": {event['reason']['text']}" if event["reason"]["text"] else ""
        lines.append(
            f"  {event['at']:%Y-%m-%d %H:%M:%S}  {event['verb']} by {event['actor']}{said}"
        )
    if result := document["result"]:
        lines += ["", *_result_lines(result), ""]
    # Much of this was written by people and by models: a terminal must not obey it.
    return printable("\n".join(lines))


def _result_lines(result: dict[str, Any]) -> list[str]:
    """The result, under a line that says whose it is and what it is worth."""
    worth = "partial " if result["partial"] else ""
    kept = "" if result["deliverable"] else ", kept as evidence and never delivered"
    found = sum(citation["kind"] == "quote" for citation in result["citations"])
    missing = sum(warning["code"] == "quote_not_found" for warning in result["warnings"])
    quotes = f"{found} of {found + missing} quotes found in the documents, " if found else ""
    body = result["structured"]
    return [
        f"  {worth}result of attempt {result['attempt']}{kept}",
        f"  {quotes}{len(result['citations'])} citations in all, hash {result['hash'][:12]}",
        "",
        *(_outline(body) if body is not None else [result["text"]]),
    ]


def _outline(value: Any, indent: str = "") -> list[str]:
    """Structured output as an indented outline."""
    if isinstance(value, dict):
        lines = []
        for key, item in value.items():
            if isinstance(item, dict | list):
                lines += [f"{indent}{key}:", *_outline(item, indent + "  ")]
            else:
                lines.append(f"{indent}{key}: {item}")
        return lines
    if isinstance(value, list):
        lines = []
        for item in value:
            inner = _outline(item, indent + "  ")
            lines += [f"{indent}- {inner[0].strip()}", *inner[1:]] if inner else [f"{indent}-"]
        return lines
    return [f"{indent}{value}"]
