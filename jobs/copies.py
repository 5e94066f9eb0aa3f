"""Copies of documents at the provider: sent, indexed, found again, deleted.

The rows of `ProviderFile` and `ProviderStore` are due like all other work. Each has one call at a
time on its way, and is marked as sent before the call goes out; what was sent and never answered
is looked for before it is sent again.
"""

import logging
import random
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from jobs import carriage, lifecycle, policy, settling
from jobs.lifecycle import Reason
from jobs.models import (
    KEPT,
    Attempt,
    Carried,
    Carry,
    Job,
    ProviderFile,
    ProviderStore,
    State,
    Status,
)
from jobs.provider.client import Provider
from jobs.provider.errors import (
    AccountProblem,
    NotFound,
    NotStarted,
    OutcomeUnknown,
    ProviderError,
    Refused,
)
from jobs.provider.storage import StoreStatus
from jobs.text import clean, clipped

logger = logging.getLogger(__name__)

#: An attempt whose documents are on their way is looked at again after this, should the last
#: nudge be lost.
LOOK_AGAIN = timedelta(seconds=60)
#: Looks for a sent file or store before it is sent again, and the seconds between them.
LOOKS_FOR_LOST = 2
LOOK_FOR_LOST = 4.0
#: Deletions that fail this often are given up: the copy expires by itself.
TIDYING_ENDS_AFTER = 30


def begin(attempt_id: UUID, *, now: datetime) -> None:
    """Want a copy of each document that has none, and let the attempt wait for them."""
    job_id = Attempt.objects.values_list("job_id", flat=True).get(pk=attempt_id)
    with lifecycle.locked(job_id) as job:
        attempt = Attempt.objects.get(pk=attempt_id)
        if attempt.state != State.SUBMITTING or job.status not in (Status.QUEUED, Status.RUNNING):
            return
        _drop_expiring(job, now)
        kept = ProviderFile.objects.filter(job=job, state__in=sorted(KEPT))
        missing = job.documents.exclude(pk__in=kept.values("document")).defer("text")
        ProviderFile.objects.bulk_create(
            ProviderFile(
                job=job,
                document=document,
                purpose=carriage.purpose(job, document),
                # Below the provider's 30 days; the odd seconds are the upload's mark.
                keeps_for=carriage.KEPT_DAYS * 86_400 + random.randrange(43_200),  # noqa: S311
                created_at=now,
                next_check_at=now,
            )
            for document in missing
        )
        settling.start(job, attempt, now=now)
        _say_how_far(job)
        # The last copy may have arrived since the sweep looked, and its nudge is spent.
        waits = timedelta(0) if carriage.is_ready(job, now=now) else LOOK_AGAIN
        Attempt.objects.filter(pk=attempt.pk).update(next_check_at=now + waits, **lifecycle.LET_GO)
        _want_store(job, now)


def file_call(file: ProviderFile, provider: Provider, now: datetime) -> Any:
    """The call that a claimed file is due for, or None where there is nothing to do."""
    storage = provider.storage
    if file.state in (Carried.HELD, Carried.DELETING):
        if not _deletes(file, now):
            return None
        return storage.delete_file(str(file.file_id))
    if file.state == Carried.WANTED and file.job.is_settled:
        _update(file, state=Carried.GONE, gone_at=now, next_check_at=None)
        return None
    if file.state == Carried.SENT:
        assert file.sent_at is not None
        return storage.find_file(
            name=file.document.name,
            size=file.document.size,
            purpose=file.purpose,
            seconds=file.keeps_for,
            since=file.sent_at,
        )
    if file.state != Carried.WANTED:
        return None
    try:
        content = carriage.read_document(file.document)
    except carriage.CannotRead as error:
        _read_later(file, str(error), now)
        return None
    except carriage.CannotCarry as error:
        _fail_file(file, Reason("document_unusable", str(error)), now)
        return None
    if not _mark_sent(file, now):
        return None
    return storage.upload(
        name=file.document.name,
        content=content,
        content_type=file.document.content_type,
        purpose=file.purpose,
        seconds=file.keeps_for,
    )


def file_answered(
    file_id: UUID, answer: Any, error: BaseException | None, *, now: datetime
) -> None:
    """Write down what came of a file's call."""
    job_id = ProviderFile.objects.values_list("job_id", flat=True).get(pk=file_id)
    with lifecycle.locked(job_id) as job:
        file = ProviderFile.objects.select_related("document").get(pk=file_id)
        if file.state == Carried.DELETING:
            _deleted(file, error, now)
        elif isinstance(answer, str):
            _update(
                file,
                state=Carried.HELD,
                file_id=answer,
                held_at=now,
                expires_at=now + timedelta(seconds=file.keeps_for),
                failures=0,
                # A job that has settled meanwhile needs it no more.
                next_check_at=now if job.is_settled else None,
            )
            _say_how_far(job)
            _want_store(job, now)
            _wake(job, now)
        elif error is None or isinstance(error, OutcomeUnknown):
            _lost(file, found_nothing=error is None, now=now)
        elif isinstance(error, NotStarted):
            _update(file, state=Carried.WANTED, sent_at=None, **_later(file, error, now))
        elif not isinstance(error, ProviderError):
            raise error
        elif file.state == Carried.SENT and _is_refusal(error):
            text = f"OpenAI does not take {file.document.name}: {clean(error.text)}"
            _fail_file(file, Reason(clean(error.code)[:60], text), now, job=job)
        else:
            _update(file, **_later(file, error, now))


def store_call(store: ProviderStore, provider: Provider, now: datetime) -> Any:
    """The call that a claimed store is due for, or None where there is nothing to do."""
    storage, job = provider.storage, store.job
    if store.state == Carried.DELETING or (
        store.state in (Carried.HELD, Carried.INDEXING) and job.is_settled
    ):
        if not _deletes(store, now):
            return None
        return storage.delete_store(str(store.store_id))
    if store.state == Carried.WANTED and job.is_settled:
        _update(store, state=Carried.GONE, gone_at=now, next_check_at=None)
        return None
    if store.state == Carried.INDEXING:
        return storage.store_status(str(store.store_id), files=store.total)
    if store.state == Carried.SENT:
        assert store.sent_at is not None
        return storage.find_store(mark=str(store.pk), files=store.total, since=store.sent_at)
    if store.state != Carried.WANTED or not _mark_sent(store, now):
        return None
    held = ProviderFile.objects.filter(job=job, state=Carried.HELD).order_by("document__position")
    return storage.create_store(
        name=f"Jobsite {job.ref}",
        file_ids=[str(file.file_id) for file in held],
        mark=str(store.pk),
        days=carriage.KEPT_DAYS,
    )


def store_answered(
    store_id: UUID, answer: Any, error: BaseException | None, *, now: datetime
) -> None:
    """Write down what came of a store's call."""
    job_id = ProviderStore.objects.values_list("job_id", flat=True).get(pk=store_id)
    with lifecycle.locked(job_id) as job:
        store = ProviderStore.objects.get(pk=store_id)
        if store.state == Carried.DELETING:
            _deleted(store, error, now)
        elif isinstance(answer, StoreStatus):
            _indexed_so_far(job, store, answer, now)
        elif error is None or isinstance(error, OutcomeUnknown):
            _lost(store, found_nothing=error is None, now=now)
        elif isinstance(error, NotStarted):
            _update(store, state=Carried.WANTED, sent_at=None, **_later(store, error, now))
        elif not isinstance(error, ProviderError):
            raise error
        elif isinstance(error, NotFound) or (store.state == Carried.SENT and _is_refusal(error)):
            said = clipped(clean(error.text), 1000)
            _update(store, state=Carried.FAILED, error_text=said, next_check_at=None)
            _fail_attempt(job, Reason("not_indexed", f"OpenAI cannot index: {said}"), now)
        else:
            _update(store, **_later(store, error, now))


def _drop_expiring(job: Job, now: datetime) -> None:
    """Copies that the provider is about to drop are not relied on; their stores neither."""
    rows = ProviderFile.objects.filter(
        job=job, state=Carried.HELD, expires_at__lte=now + carriage.EXPIRES_SOON
    )
    dropped = rows.update(state=Carried.DELETING, next_check_at=now)
    held_until = now if dropped else carriage.stores_held_since(now)
    ProviderStore.objects.filter(job=job, state=Carried.HELD, held_at__lte=held_until).update(
        state=Carried.DELETING, next_check_at=now
    )


def _want_store(job: Job, now: datetime) -> None:
    """Once all files are there, the store is next."""
    if job.carry != Carry.SEARCH or job.is_settled:
        return
    count = job.documents.count()
    held = ProviderFile.objects.filter(job=job, state=Carried.HELD).count()
    if held == count and not ProviderStore.objects.filter(job=job, state__in=sorted(KEPT)).exists():
        ProviderStore.objects.create(job=job, total=count, created_at=now, next_check_at=now)


def _indexed_so_far(job: Job, store: ProviderStore, status: StoreStatus, now: datetime) -> None:
    known = store.store_id is not None
    still = not status.is_done
    _update(
        store,
        state=Carried.INDEXING if still else Carried.HELD,
        store_id=status.id,
        held_at=None if still else now,
        total=status.total,
        indexed=status.indexed,
        failed=status.failed,
        failures=0,
        next_check_at=now + policy.index_delay(now - store.created_at) if still else None,
    )
    if job.is_settled:
        _update(store, next_check_at=now)
        return
    _say_how_far(job)
    if not still and status.indexed == 0:
        _update(store, state=Carried.DELETING, next_check_at=now)
        text = "OpenAI could index none of the documents."
        _fail_attempt(job, Reason("not_indexed", text), now)
    elif not still or not known:
        _wake(job, now)


def _say_how_far(job: Job) -> None:
    """Progress, as a stage of the job and in words."""
    if job.status != Status.RUNNING or job.cancel_requested_at:
        return
    files = ProviderFile.objects.filter(job=job)
    count, held = job.documents.count(), files.filter(state=Carried.HELD).count()
    store = ProviderStore.objects.filter(job=job, state__in=sorted(KEPT)).first()
    if held < count:
        lifecycle.note(
            job, progress_done=1, progress_message=f"Sending documents: {held} of {count}"
        )
    elif job.carry == Carry.SEARCH:
        indexed = store.indexed + store.failed if store else 0
        said = f"Indexing documents: {indexed} of {count}"
        lifecycle.note(job, progress_done=2, progress_message=said)


def _mark_sent(row: ProviderFile | ProviderStore, now: datetime) -> bool:
    """Marked, and committed, before the call goes out; by the holder of the lease alone."""
    rows: Any = type(row).objects
    return bool(
        rows.filter(pk=row.pk, state=Carried.WANTED, lease_token=row.lease_token).update(
            state=Carried.SENT, sent_at=now
        )
    )


def _deletes(row: ProviderFile | ProviderStore, now: datetime) -> bool:
    """Whether the copy goes: not while its job may still use it."""
    with lifecycle.locked(row.job_id) as job:
        if row.state != Carried.DELETING and not job.is_settled:
            # Retried since: what is still being indexed is waited for again.
            _update(row, next_check_at=None if row.state == Carried.HELD else now)
            return False
        rows: Any = type(row).objects
        rows.filter(pk=row.pk).update(state=Carried.DELETING)
    return True


def _deleted(row: ProviderFile | ProviderStore, error: BaseException | None, now: datetime) -> None:
    if error is not None and not isinstance(error, ProviderError):
        raise error
    gone = error is None or isinstance(error, NotFound)
    if gone or row.failures + 1 >= TIDYING_ENDS_AFTER:
        said = "" if gone else clipped(clean(f"Left to expire: {error}"), 1000)
        _update(row, state=Carried.GONE, gone_at=now, next_check_at=None, error_text=said)
    else:
        assert isinstance(error, ProviderError)
        _update(row, **_later(row, error, now))


def _lost(row: ProviderFile | ProviderStore, *, found_nothing: bool, now: datetime) -> None:
    """Nobody knows whether it arrived: it is looked for, and sent again once it is not there."""
    looks = row.failures + 1 if found_nothing else 0
    if looks >= LOOKS_FOR_LOST:
        _update(row, state=Carried.WANTED, sent_at=None, failures=0, next_check_at=now)
    else:
        later = now + timedelta(seconds=LOOK_FOR_LOST)
        _update(row, failures=looks, next_check_at=later)


def _later(
    row: ProviderFile | ProviderStore, error: ProviderError, now: datetime
) -> dict[str, Any]:
    failures = row.failures + 1
    pause = policy.lookup_delay(failures, retry_after=error.retry_after)
    return {
        "failures": failures,
        "next_check_at": now + pause,
        "error_text": clipped(clean(error.text), 1000),
    }


def _is_refusal(error: ProviderError) -> bool:
    return isinstance(error, Refused | AccountProblem)


def _read_later(file: ProviderFile, text: str, now: datetime) -> None:
    failures = file.failures + 1
    if failures >= policy.READ_TRIES:
        _fail_file(file, Reason("document_unusable", text), now)
    else:
        later = now + policy.submit_delay(failures)
        _update(file, failures=failures, error_text=text, next_check_at=later)


def _fail_file(
    file: ProviderFile, reason: Reason, now: datetime, *, job: Job | None = None
) -> None:
    _update(file, state=Carried.FAILED, error_text=reason.text, next_check_at=None)
    if job is not None:
        _fail_attempt(job, reason, now)
        return
    with lifecycle.locked(file.job_id) as held:
        _fail_attempt(held, reason, now)


def _fail_attempt(job: Job, reason: Reason, now: datetime) -> None:
    attempt = job.attempts.filter(state=State.SUBMITTING).first()
    if attempt is not None and job.status in (Status.QUEUED, Status.RUNNING):
        settling.fail(job, attempt, reason, now=now, cost=Decimal(0))


def _wake(job: Job, now: datetime) -> None:
    Attempt.objects.filter(job=job, state=State.SUBMITTING).update(next_check_at=now)


def _update(row: ProviderFile | ProviderStore, **fields: Any) -> None:
    rows: Any = type(row).objects
    rows.filter(pk=row.pk).update(**{**lifecycle.LET_GO, **fields})
    for name, value in fields.items():
        setattr(row, name, value)
