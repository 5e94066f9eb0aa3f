"""Everything about one job, as one document: what the commands print, and programs read."""

from typing import Any

from jobs.access import Action, allowed_actions
from jobs.models import Attempt, Event, Gate, Job, Result, Turn, User
from jobs.text import printable


def job_document(job: Job, *, reader: User | None = None) -> dict[str, Any]:
    """The whole of a job. Moments are ISO 8601 in UTC; costs are US dollars as text, or null.

    With a `reader`, without what the rule keeps from them: a result that is not theirs to read yet
    (and its warnings, which quote it), and what the provider said.
    """
    may = allowed_actions(reader, job) if reader else None
    reads = may is None or may[Action.READ_RESULT].allowed
    inspects = may is None or may[Action.INSPECT].allowed
    attempts = list(job.attempts.order_by("number").prefetch_related("turns"))
    results = {
        result.attempt_id: result
        for result in Result.objects.filter(attempt__job=job)
        .select_related("attempt")
        .prefetch_related("citations__document", "tool_calls", "files")
    }
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
        "parent": job.parent.ref if job.parent else None,
        "start_by": job.start_by,
        "finish_by": job.finish_by,
        "cancel_requested": job.cancel_requested_at is not None,
        "attempts": [_attempt(attempt) for attempt in attempts] if inspects else [],
        "gate": _gate(job.open_gate),
        "result": _result(last) if reads else None,
        "events": [_event(event) for event in job.events.order_by("seq")],
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
    }


def _gate(gate: Gate | None) -> dict[str, Any] | None:
    if gate is None:
        return None
    return {
        "kind": gate.kind,
        "level": gate.level,
        "reasons": gate.reasons,
        "content_hash": gate.content_hash,
        "opened_at": gate.opened_at,
        "due_at": gate.due_at,
    }


def result_document(result: Result) -> dict[str, Any]:
    """A result with its evidence, without what the provider said on the way."""
    return {
        "attempt": result.attempt.number,
        "text": result.text,
        "structured": result.structured,
        "partial": result.partial,
        "citations": [
            {
                "kind": citation.kind,
                "quote": citation.quote,
                "document": citation.document.name if citation.document else None,
                "path": citation.path,
                "start": citation.start,
                "end": citation.end,
                "url": citation.url,
                "title": citation.title,
            }
            for citation in result.citations.all()
        ],
        "files": [
            {"name": f.name, "content_type": f.content_type, "size": f.size, "sha256": f.sha256}
            for f in result.files.all()
        ],
        "warnings": result.warnings,
        "hash": result.content_hash,
    }


def _result(result: Result | None) -> dict[str, Any] | None:
    if result is None:
        return None
    return {
        **result_document(result),
        "deliverable": result.deliverable,
        "tool_calls": [
            {
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
    }


def _event(event: Event) -> dict[str, Any]:
    return {
        "seq": event.seq,
        "verb": event.verb,
        "actor": event.actor_name,
        "from": event.from_status or None,
        "to": event.to_status or None,
        "at": event.at,
        "reason": _reason(event.reason_code, event.reason_text),
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
    for warning in document["warnings"]:
        lines.append(f"  warning: {warning['text']}")
    for attempt in document["attempts"]:
        ids = ", ".join(turn["response_id"] or "no response" for turn in attempt["turns"])
        lines.append(f"  attempt {attempt['number']}: {attempt['state']} ({ids})")
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
