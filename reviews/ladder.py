"""What happens at a review by itself: the reminder before it is due, the step up the ladder, and the
word that it is overdue."""

import logging
from datetime import datetime, timedelta
from uuid import UUID

from jobs import ladder, lifecycle
from jobs.ballots import ballot
from jobs.lifecycle import Reason
from jobs.models import Gate, Job, Verb

logger = logging.getLogger(__name__)

#: Reviews that one look handles; the next is a second later.
AT_ONCE = 20
#: What cannot be handled stands back for this long, so that it does not hold up the others.
STAND_BACK = timedelta(minutes=1)


def look_after(now: datetime) -> None:
    """Do what is due by itself at open reviews. Several sweeps may do so at once: each thing is done
    once."""
    watched = Gate.objects.filter(closed_at=None, watch_at__lte=now).order_by("watch_at")
    for gate_id, job_id in watched.values_list("pk", "job_id")[:AT_ONCE]:
        try:
            take_step(job_id, now=now)
        except Exception:
            logger.exception("what is due at the review of job %s could not be done", job_id)
            Gate.objects.filter(pk=gate_id, watch_at__lte=now).update(watch_at=now + STAND_BACK)


def take_step(job_id: UUID, *, now: datetime) -> None:
    """Do what is due now at the open gate of a job: nothing, where it was done or decided already."""
    with lifecycle.locked(job_id) as job:
        gate = job.open_gate
        if gate is None or gate.watch_at is None or gate.watch_at > now:
            return
        match ladder.step_due(job.job_type, gate, now):
            case Verb.ESCALATED:
                _escalate(job, gate, now=now)
                return
            case Verb.OVERDUE:
                _tell(job, gate, Verb.OVERDUE, f"{_so_far(job)}, and the time is over.", now=now)
            case Verb.REMINDED:
                left = in_words(gate.due_at - now)
                _tell(job, gate, Verb.REMINDED, f"{_so_far(job)}; {left} left.", now=now)
        lifecycle.watch_again(job, gate, now=now)


def _so_far(job: Job) -> str:
    """How far the people have come with the open review."""
    gate, number = job.open_gate, len(ballot(job).counting)
    if gate is None or not number:
        return "Nobody has decided"
    word = "is" if number == 1 else "are"
    return f"Only {number} of {gate.approvals} approvals {word} given"


def _escalate(job: Job, gate: Gate, *, now: datetime) -> None:
    before, name = gate.level, gate.level_name
    percent = job.job_type.escalate_after
    lifecycle.raise_gate(job, gate, now=now)
    share = f"{percent} % of the time" if percent else "the time that was set"
    text = f"{name} did not decide within {share}: it goes to {gate.level_name} by itself."
    data = {"level": gate.level, "from": before, "due_at": gate.due_at.isoformat()}
    reason = Reason("escalated_by_policy", text)
    lifecycle.record(job, Verb.ESCALATED, now=now, reason=reason, data=data)


def _tell(job: Job, gate: Gate, verb: Verb, text: str, *, now: datetime) -> None:
    data = {"level": gate.level, "due_at": gate.due_at.isoformat()}
    lifecycle.record(job, verb, now=now, reason=Reason(f"review_{verb.value}", text), data=data)


def in_words(span: timedelta) -> str:
    """A span of time in its largest unit: "2 hours", "1 minute"."""
    seconds = max(0, int(span.total_seconds()))
    for size, unit in ((86_400, "day"), (3_600, "hour"), (60, "minute")):
        if seconds >= size:
            count = round(seconds / size)
            return f"{count} {unit}{'' if count == 1 else 's'}"
    return "less than a minute"
