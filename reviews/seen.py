"""Evidence that is ticked as seen, by a person at a gate; and the rule of types that want all of it
seen before an approval."""

from datetime import datetime

from jobs.access import NotNow
from jobs.models import Gate, Job, User
from reviews import exhibits
from reviews.models import Seen


def is_wanted(job: Job) -> bool:
    """Whether whoever approves must have seen all evidence: its type says so or, for a follow-up,
    one of those that it rests on."""
    return any(job_type.evidence_seen for job_type in job.ruling_types())


def keys(gate: Gate, person: User) -> frozenset[str]:
    """What `person` has ticked at the gate, evidence that is no longer there included."""
    return frozenset(Seen.objects.filter(gate=gate, person=person).values_list("key", flat=True))


def tick(job: Job, gate: Gate, person: User, key: str, *, now: datetime) -> None:
    """Note that `person` has seen it; again is no more. Raises `NotNow` where it is not there."""
    if key not in {exhibit.key for exhibit in exhibits.at_gate(job, gate)}:
        raise NotNow("That evidence is not there any more. Look at the review again.")
    _keep(gate, person, [key], now)


def untick(gate: Gate, person: User, key: str) -> None:
    Seen.objects.filter(gate=gate, person=person, key=key).delete()


def tick_every(job: Job, gate: Gate, person: User, *, now: datetime) -> None:
    """Raises `NotNow` where each must be seen for itself."""
    if is_wanted(job):
        raise NotNow("All of this evidence must be seen, piece by piece.")
    _keep(gate, person, [exhibit.key for exhibit in exhibits.at_gate(job, gate)], now)


def lacking(job: Job, gate: Gate, person: User) -> str:
    """Why the evidence keeps `person` from approving, or ""."""
    if not is_wanted(job):
        return ""
    there = [exhibit.key for exhibit in exhibits.at_gate(job, gate)]
    count = len(keys(gate, person).intersection(there))
    if count == len(there):
        return ""
    return (
        f"You have seen {count} of {len(there)} pieces of evidence of {job.ref}. All of it must be "
        "ticked as seen on its review page before you approve."
    )


def check(job: Job, gate: Gate, person: User) -> None:
    """Raises `NotNow` where `person` has still to see evidence before approving."""
    if why := lacking(job, gate, person):
        raise NotNow(why)


def _keep(gate: Gate, person: User, wanted: list[str], now: datetime) -> None:
    rows = [Seen(gate=gate, person=person, key=key, at=now) for key in wanted]
    # Twice at once is once.
    Seen.objects.bulk_create(rows, ignore_conflicts=True)
