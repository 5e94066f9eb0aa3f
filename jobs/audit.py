"""The keyed hash chain over a job's events, and the seals over all chains.

Each event's hash covers its own content and the hash before it, under an HMAC key that is not in
the database: whoever can write rows cannot mend a chain. A seal records, chained to the seal
before it, the head of every chain that grew since. Together they show a changed, removed or
re-ordered event, a cut tail and a vanished job, as far back as the last seal; an exported seal
shows it even where the seals themselves were rewritten.
"""

import hashlib
import hmac
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import F, OuterRef, Subquery
from django.db.models.functions import Coalesce

from jobs.evidence import content_hash
from jobs.models import Event, Job, Result, Seal, Status

SEAL_BATCH = 5_000
OTHER_KEY = "was made with another AUDIT_KEY."


@dataclass(frozen=True)
class Finding:
    """Something that is not as it was written."""

    ref: str
    seq: int | None
    text: str

    def __str__(self) -> str:
        where = self.ref if self.seq is None else f"{self.ref} event {self.seq}"
        return f"{where}: {self.text}"


def event_hash(event: Event, previous: str) -> str:
    """The hash of `event` after the one whose hash is `previous` ("" for the first)."""
    return _digest(
        [
            previous,
            str(event.job_id),
            event.seq,
            _moment(event.at),
            event.verb,
            event.actor_id,
            event.actor_name,
            event.from_status,
            event.to_status,
            event.reason_code,
            event.reason_text,
            event.data,
        ]
    )


def seal(*, now: datetime, at_most_every: timedelta = timedelta(0)) -> Seal | None:
    """Seal the chains that grew. None where nothing did, or the last seal is too young."""
    # A seal from the future was made before the clock was set back: it stops nothing.
    if Seal.objects.filter(at__gt=now - at_most_every, at__lte=now).exists():
        return None
    # Before any job is held: it takes the longer, the more there are.
    count = Job.objects.count()
    with transaction.atomic():
        grown = list(
            Job.objects.select_for_update(skip_locked=True, no_key=True)
            .exclude(sealed_count=F("event_count"))
            .order_by("id")
            .only("id", "event_count", "event_head")[:SEAL_BATCH]
        )
        if not grown:
            return None
        last = Seal.objects.order_by("-number").first()
        row = Seal(
            number=last.number + 1 if last else 1,
            at=now,
            jobs=count,
            heads=[[str(job.id), job.event_count, job.event_head] for job in grown],
            key_id=key_id(),
        )
        row.hash = _seal_hash(row, last.hash if last else "")
        try:
            with transaction.atomic():
                row.save(force_insert=True)
        except IntegrityError:
            return None
        Job.objects.filter(pk__in=[job.pk for job in grown]).update(sealed_count=F("event_count"))
    return row


def verify(*, against: list[dict[str, Any]] | None = None) -> Iterator[Finding]:
    """Walk every chain and every seal, and yield what is wrong, in the order of the walk.

    `against` holds exported seals, as `export` gave them, to hold the stored ones against. With
    another key than the last seal's nothing can be said, and that is all that is said.
    """
    last = Seal.objects.order_by("-number").defer("heads").first()
    if last and last.key_id != key_id():
        yield Finding(f"seal {last.number}", None, OTHER_KEY)
        return
    broken = set()
    for finding in _verify_chains():
        broken.add(finding.ref)
        yield finding
    yield from _verify_results()
    # A chain that was changed says nothing about anything else.
    yield from (finding for finding in _verify_completed() if finding.ref not in broken)
    yield from _verify_seals()
    for exported in against or []:
        stored = Seal.objects.filter(number=exported["number"]).first()
        if stored is None or stored.hash != exported["hash"]:
            yield Finding(f"seal {exported['number']}", None, "differs from the exported seal.")


def export() -> list[dict[str, Any]]:
    """The seals' numbers, moments and hashes: to be kept where this database's writers cannot."""
    return [
        {"number": row.number, "at": _moment(row.at), "jobs": row.jobs, "hash": row.hash}
        for row in Seal.objects.order_by("number").defer("heads").iterator()
    ]


def key_id() -> str:
    """Names the key without giving it away."""
    return hashlib.sha256(f"key id:{settings.AUDIT_KEY}".encode()).hexdigest()[:16]


def _verify_chains() -> Iterator[Finding]:
    jobs = Job.objects.order_by("id").values_list("id", "ref", "event_count", "event_head")
    for job_id, ref, count, head in jobs.iterator(chunk_size=500):
        if finding := _verify_chain(job_id, ref, count, head):
            yield finding


def _verify_chain(job_id: UUID, ref: str, count: int, head: str) -> Finding | None:
    previous, seq = "", 0
    for event in Event.objects.filter(job_id=job_id).order_by("seq").iterator():
        if event.seq != seq + 1:
            return Finding(ref, seq + 1, "is missing.")
        seq = event.seq
        if not hmac.compare_digest(event.hash, event_hash(event, previous)):
            return Finding(ref, seq, "was changed, or stands in another's place.")
        previous = event.hash
    if (seq, previous) == (count, head):
        return None
    # The job may have gone on since it was read: then it is read again, with its whole chain.
    now = Job.objects.filter(pk=job_id).values_list("event_count", "event_head").first()
    if now and now != (count, head):
        return _verify_chain(job_id, ref, *now)
    return Finding(ref, min(seq, count) + 1, f"{count} events are recorded, {seq} found.")


def _verify_results() -> Iterator[Finding]:
    """Each result, and each edit of one, against its own hash."""
    rows = Result.objects.select_related("attempt__job").order_by("id")
    rows = rows.prefetch_related("files", "edits").only(
        "text", "content_hash", "attempt__number", "attempt__job__ref"
    )
    for result in rows.iterator(chunk_size=100):
        files = [file.sha256 for file in sorted(result.files.all(), key=lambda f: f.position)]
        if content_hash(result.text, files) != result.content_hash:
            job = result.attempt.job
            yield Finding(
                job.ref, None, f"the result of attempt {result.attempt.number} was changed."
            )
        for edit in result.edits.all():
            if content_hash(edit.text, files) != edit.content_hash:
                said = f"edit {edit.number} of the result of attempt {result.attempt.number}"
                yield Finding(result.attempt.job.ref, None, f"{said} was changed.")


def _verify_completed() -> Iterator[Finding]:
    """What each completed job holds against what the chain says that it was completed with."""
    last = Event.objects.filter(job=OuterRef("pk"), to_status=Status.COMPLETED).order_by("-seq")
    held = Result.objects.filter(attempt__job=OuterRef("pk"), deliverable=True)
    counts = held.order_by("-attempt__number").values(
        counts=Coalesce("edit__content_hash", "content_hash")
    )
    rows = Job.objects.filter(status=Status.COMPLETED).order_by("id")
    asked = (Subquery(last.values("data")[:1]), Subquery(counts[:1]))
    for ref, data, content in rows.values_list("ref", *asked).iterator(chunk_size=500):
        named = (data or {}).get("content_hash")
        if named and named != content:
            yield Finding(ref, None, "its result is not the one that it was completed with.")


def _verify_seals() -> Iterator[Finding]:
    previous, number = "", 0
    for row in Seal.objects.order_by("number").iterator():
        name = f"seal {number + 1}"
        if row.number != number + 1:
            yield Finding(name, None, "is missing.")
            return
        number = row.number
        if row.key_id != key_id():
            yield Finding(name, None, OTHER_KEY)
            return
        if not hmac.compare_digest(row.hash, _seal_hash(row, previous)):
            yield Finding(name, None, "was changed.")
            return
        previous = row.hash
        yield from _verify_heads(row)


def _verify_heads(row: Seal) -> Iterator[Finding]:
    for start in range(0, len(row.heads), 400):
        heads = row.heads[start : start + 400]
        ids = [head[0] for head in heads]
        refs = {str(pk): ref for pk, ref in Job.objects.filter(pk__in=ids).values_list("pk", "ref")}
        hashes = {
            (str(job_id), seq): value
            for job_id, seq, value in Event.objects.filter(
                job__in=ids, seq__in={head[1] for head in heads}
            ).values_list("job_id", "seq", "hash")
        }
        for job_id, count, head in heads:
            if job_id not in refs:
                yield Finding(
                    f"job {job_id}", None, f"was sealed in seal {row.number} and is gone."
                )
            elif hashes.get((job_id, count)) != head:
                yield Finding(refs[job_id], count, f"is not what seal {row.number} recorded.")


def _seal_hash(row: Seal, previous: str) -> str:
    return _digest([previous, row.number, _moment(row.at), row.jobs, row.heads, row.key_id])


def _digest(content: list[Any]) -> str:
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hmac.new(settings.AUDIT_KEY.encode(), canonical.encode(), hashlib.sha256).hexdigest()


def _moment(at: datetime) -> str:
    return at.isoformat(timespec="microseconds")
