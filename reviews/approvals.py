"""Approvals where a level asks for several: one that is not the last is a decision of its own, and
leaves the review open."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any

from jobs import calls, lifecycle
from jobs.ballots import ballot
from jobs.calls import Verdict
from jobs.lifecycle import Reason
from jobs.models import Approval, Gate, GateKind, Job, Role, User, Verb
from reviews.models import Decision, Ruling


def give(
    job: Job,
    gate: Gate,
    actor: User,
    role: Role,
    *,
    verdicts: Mapping[int, Verdict],
    note: str,
    now: datetime,
) -> bool:
    """Count an approval of a `locked` job: whether it is the last that is needed, and what was
    approved happens now. Otherwise it becomes an event, and the review waits for somebody else.

    Approvals count together that are of the same content with the same verdicts: whoever edits what
    others approved begins the count anew. An approval whose giver may not approve any more lapses
    here, for good. Raises `jobs.calls.BadVerdict`.
    """
    of, lapsed = _what(gate, verdicts), ballot(job).lapsed
    reasons = {one.approval.pk: one.why for one in lapsed if one.approval.lapsed_at is None}
    if lifecycle.count_approval(job, gate, actor, of=of, lapsed=reasons, now=now):
        return True
    earlier = Decision.objects.filter(gate=gate, level=gate.level, partial=True)
    first = Approval.objects.filter(gate=gate, ballot=gate.ballot).count() == 1
    anew = first and earlier.exists()
    said = f"{progress(job)}."
    if anew:
        said += " It differs from what was approved before, so the count begins anew."
    for one in lapsed:
        if one.approval.pk in reasons:
            said += f" That of {one.approval.actor} does not count any more: {one.why}"
    lifecycle.record(
        job,
        Verb.APPROVAL_GIVEN,
        now=now,
        actor=actor,
        reason=Reason("approval_given", f"{said} {note}".strip()),
        data={
            "content_hash": gate.content_hash,
            "role": role.value,
            "level": gate.level,
            "given": gate.given,
            "needed": gate.approvals,
            "anew": anew,
            "lapsed": [
                one.approval.actor.get_username() for one in lapsed if one.approval.pk in reasons
            ],
        },
    )
    return False


def record_of(gate: Gate, verdicts: Mapping[int, Verdict]) -> dict[str, Any]:
    """What a decision keeps of an approval that is not the last one: for tool calls, what would be
    done with each, and the verdicts, which the next person begins from."""
    if gate.kind != GateKind.TOOL_CALL or gate.attempt is None:
        return {}
    kept = {str(place): asdict(verdict) for place, verdict in verdicts.items()}
    return {"calls": calls.weighed(gate.attempt, verdicts), "verdicts": kept}


def standing_verdicts(gate: Gate | None) -> dict[int, Verdict]:
    """The verdicts on tool calls that the approvals that count so far agree on."""
    if gate is None or not gate.given or not ballot(gate.job).counting:
        return {}
    last = Decision.objects.filter(gate=gate, ruling=Ruling.APPROVE, partial=True)
    found = last.order_by("-id").first()
    kept = found.data.get("verdicts", {}) if found else {}
    return {int(place): Verdict(**verdict) for place, verdict in kept.items()}


def progress(job: Job) -> str:
    """How far the approvals at the open gate are: "1 of 2 approvals is given"."""
    number = len(ballot(job).counting)
    word = "is" if number == 1 else "are"
    return f"{number} of {job.open_gate.approvals if job.open_gate else 0} approvals {word} given"


def _what(gate: Gate, verdicts: Mapping[int, Verdict]) -> str:
    """The hash of exactly what would happen."""
    if gate.kind != GateKind.TOOL_CALL or gate.attempt is None or gate.approvals == 1:
        return gate.content_hash
    said = json.dumps([gate.content_hash, calls.weighed(gate.attempt, verdicts)])
    return hashlib.sha256(said.encode()).hexdigest()
