"""Verbs that people use. Each asks the one rule (`jobs.access`) before it does anything.

All but `submit` work on a job that the caller holds with `lifecycle.locked`, and answer the role
in which the person acted.
"""

import hashlib
import json
import logging
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.db import IntegrityError, transaction
from django.db.models import Q

from jobs import carriage, lifecycle, requests
from jobs.access import UNKNOWN_SUBMIT, Action, NotAllowed, NotNow, last_word, may_submit, require
from jobs.documents import ReadDocument, Unusable, Upload, read_documents
from jobs.ids import new_ref, uuid7
from jobs.inputs import TOO_DEEP, BadInput, InputProblem, file_count_problems, input_problems
from jobs.lifecycle import GateSpec, Reason
from jobs.models import (
    Attempt,
    Cause,
    Document,
    GateKind,
    Job,
    JobType,
    Lane,
    PromptVersion,
    Result,
    Role,
    State,
    Status,
    Turn,
    User,
    Verb,
    WebhookReceipt,
    Workspace,
)
from jobs.models.jobs import document_path
from jobs.provider.payloads import RESPONSE_ID
from jobs.text import clean, clipped

logger = logging.getLogger(__name__)

#: How the receipt of a response begins that an operator named; the job's id follows.
NAMED_BY_OPERATOR = "operator-"


@dataclass(frozen=True)
class Submitted:
    """`created` is false where the idempotency key had been used before; then `same_request` says
    whether it was for the same request."""

    job: Job
    created: bool
    same_request: bool = True


def submit(
    job_type: JobType,
    *,
    requester: User,
    workspace: Workspace,
    input: Mapping[str, Any],
    uploads: Sequence[Upload] = (),
    idempotency_key: str = "",
    parent: Job | None = None,
    now: datetime,
) -> Submitted:
    """Store a job, its documents and its first attempt; the engine does the rest.

    The same `idempotency_key` of the same person in the same workspace gives the same job. Raises
    `NotAllowed` and `BadInput`; then nothing is stored.
    """
    if not may_submit(requester, workspace):
        raise NotAllowed(f"{requester} may not submit jobs in {workspace}.")
    if job_type.follows and parent is None:
        raise BadInput([InputProblem("", f"{job_type} needs a job to follow.")])
    if parent:
        require(requester, parent, Action.FOLLOW_UP if job_type.follows else Action.VIEW)
    key = idempotency_key
    _check_key(key)
    try:
        fingerprint = _fingerprint(job_type, input, uploads, parent)
    except RecursionError:
        raise BadInput([TOO_DEEP]) from None
    if key and (known := _known(requester, workspace, key, fingerprint)):
        return known
    version, documents = _checked(job_type, workspace, input, uploads, parent)
    job_id = uuid7()
    carry = carriage.way(job_type, [(len(one.content), one.content_type) for one in documents])
    stored: list[str] = []
    try:
        rows = [_stored(job_id, at, document, stored) for at, document in enumerate(documents, 1)]
        with transaction.atomic():
            job = Job.objects.create(
                id=job_id,
                ref=_free_ref(),
                workspace=workspace,
                job_type=job_type,
                prompt_version=version,
                requester=requester,
                parent=parent,
                lane=lane_of(job_type, parent),
                input=dict(input),
                idempotency_key=key,
                request_fingerprint=fingerprint,
                carry=carry,
                progress_total=carriage.stages(carry),
                progress_message="Waiting to start",
                created_at=now,
                updated_at=now,
                **deadlines(job_type, now),
            )
            Document.objects.bulk_create(rows)
            names = ", ".join(document.name for document in documents)
            said = " · ".join(part for part in (requests.summary(job), names) if part)
            lifecycle.note(job, input_summary=clipped(said, 200))
            _begin(job, now=now)
    except BaseException as error:
        for name in stored:
            default_storage.delete(name)
        if isinstance(error, IntegrityError) and key:
            # The same key arrived twice at once, and the other one was first.
            known = _known(requester, workspace, key, fingerprint)
            if known:
                return known
        raise
    return Submitted(job, created=True)


def cancel(
    job: Job, *, actor: User, now: datetime, note: str = "", data: dict[str, Any] | None = None
) -> Role:
    """Cancel: at once where nothing runs; otherwise the engine asks the provider, and the job is
    canceled whichever way that ends."""
    role = require(actor, job, Action.CANCEL)
    by = Reason("canceled_by_person", note or f"Canceled by {actor}.")
    if job.status == Status.RUNNING and not _is_at_rest(job):
        asked = Reason(
            "cancel_requested", note or f"{actor} asked to cancel; OpenAI is being told."
        )
        lifecycle.note(
            job,
            cancel_requested_at=now,
            cancel_requested_by=actor,
            reason_code=asked.code,
            reason_text=asked.text,
        )
        lifecycle.record(job, Verb.CANCEL_REQUESTED, now=now, actor=actor, reason=asked, data=data)
        Attempt.objects.filter(job=job, state=State.LIVE).update(next_check_at=now)
        return role
    for attempt in job.attempts.filter(state=State.SUBMITTING):
        # A create that is on its way meanwhile is canceled at the provider once it is answered.
        cost = lifecycle.turns_cost(attempt)
        lifecycle.move_attempt(attempt, State.CANCELED, now=now, cost_usd=cost)
    withhold_results(job)
    lifecycle.note(job, cost_usd=lifecycle.job_cost(job))
    lifecycle.move(
        job,
        Status.CANCELED,
        verb=Verb.CANCELED,
        now=now,
        actor=actor,
        reason=by,
        data=data,
        progress_message="Canceled",
    )
    return role


def _is_at_rest(job: Job) -> bool:
    """Whether the running attempt has nothing on its way to, or at, the provider: between turns, or
    while its documents are sent."""
    last = Turn.objects.filter(attempt__job=job).order_by("-attempt__number", "-number").first()
    return last is not None and last.attempt.state == State.SUBMITTING and last.sent_at is None


def retry(
    job: Job, *, actor: User, now: datetime, note: str = "", data: dict[str, Any] | None = None
) -> Role:
    """A new attempt of the same job, with the deadlines of its type counted anew."""
    role = require(actor, job, Action.RETRY)
    _queue_again(job, Verb.RETRIED, Cause.RETRY, actor=actor, now=now, note=note, data=data)
    return role


def request_changes(
    job: Job, *, actor: User, now: datetime, note: str, data: dict[str, Any] | None = None
) -> Role:
    """A new attempt that is given the feedback in `note`, and that of the rounds before."""
    role = require(actor, job, Action.REQUEST_CHANGES)
    _queue_again(
        job, Verb.CHANGES_REQUESTED, Cause.CHANGES, actor=actor, now=now, note=note, data=data
    )
    return role


def archive(job: Job, *, actor: User, now: datetime, note: str = "") -> Role:
    role = require(actor, job, Action.ARCHIVE)
    lifecycle.note(job, archived_at=now, archived_by=actor)
    reason = Reason("archived", note) if note else None
    lifecycle.record(job, Verb.ARCHIVED, now=now, actor=actor, reason=reason)
    return role


def settle(
    job: Job, *, actor: User, now: datetime, note: str = "", response_id: str | None = None
) -> Role:
    """End the wait for an unknown submit: name its response, or say that there is none.

    A named response is looked up by the engine, and adopted if its metadata names this job.
    Raises `BadInput` for what cannot be the id of a response.
    """
    role = require(actor, job, Action.SETTLE)
    if response_id is not None and not RESPONSE_ID.fullmatch(response_id):
        raise BadInput([InputProblem("response_id", "That is not the id of a response.")])
    if response_id is not None:
        WebhookReceipt.objects.create(
            webhook_id=f"{NAMED_BY_OPERATOR}{job.pk}-{uuid.uuid4()}",
            event_type="operator",
            response_id=response_id,
            body=b"",
            received_at=now,
            next_check_at=now,
        )
        reason = Reason("response_named", note or f"{actor} named the response {response_id}.")
        data = {"response_id": response_id}
        lifecycle.record(job, Verb.SETTLED, now=now, actor=actor, reason=reason, data=data)
        return role
    attempt = job.attempts.filter(state=State.UNKNOWN).first()
    if attempt is None:
        raise NotNow(f"{job.ref} has failed already. {last_word(job)}")
    text = note or f"{actor} found no response for this submit at OpenAI."
    lifecycle.move_attempt(
        attempt, State.FAILED, now=now, error_code=UNKNOWN_SUBMIT, error_text=text
    )
    lifecycle.move(
        job,
        Status.FAILED,
        verb=Verb.SETTLED,
        now=now,
        actor=actor,
        reason=Reason(UNKNOWN_SUBMIT, text),
        progress_message="Failed",
    )
    return role


def withhold_results(job: Job) -> None:
    """What the job has produced so far is evidence from now on, and is never delivered."""
    Result.objects.filter(attempt__job=job).update(deliverable=False)


def _queue_again(
    job: Job,
    verb: Verb,
    cause: Cause,
    *,
    actor: User,
    now: datetime,
    note: str,
    data: dict[str, Any] | None = None,
) -> None:
    withhold_results(job)
    gate = None if requests.may_run(job) else _gate_before_run(job)
    lifecycle.move(
        job,
        Status.NEEDS_REVIEW if gate else Status.QUEUED,
        verb=verb,
        now=now,
        actor=actor,
        reason=Reason(verb.value, note) if note else None,
        gate=gate,
        data=data,
        cancel_requested_at=None,
        cancel_requested_by=None,
        archived_at=None,
        archived_by=None,
        progress_done=0,
        progress_message="Waiting for approval" if gate else "Waiting to start",
        warnings=[],
        **deadlines(job.job_type, now),
    )
    if not gate:
        lifecycle.open_attempt(job, now=now, cause=cause, caused_by=actor, feedback=note)


def _begin(job: Job, *, now: datetime) -> None:
    """The first event and, by lane, the first attempt or the gate before it."""
    lifecycle.record(job, Verb.SUBMITTED, now=now, actor=job.requester, to_status=Status.QUEUED)
    if job.lane != Lane.APPROVAL:
        lifecycle.open_attempt(job, now=now, cause=Cause.FIRST)
        return
    lifecycle.move(
        job,
        Status.NEEDS_REVIEW,
        verb=Verb.REVIEW_ASKED,
        now=now,
        gate=_gate_before_run(job),
        progress_message="Waiting for approval",
    )


def lane_of(job_type: JobType, parent: Job | None) -> str:
    """The lane of a new job. What follows up is approved first where what it follows was."""
    if parent is not None and job_type.follows:
        lanes = {parent.lane, *(one.lane for one in parent.ruling_types())}
        return Lane.APPROVAL if Lane.APPROVAL in lanes else job_type.lane
    return job_type.lane


def _gate_before_run(job: Job) -> GateSpec:
    text = "Jobs of this type are approved before they run."
    if job.job_type.lane != Lane.APPROVAL and job.is_follow_up:
        text = "What it follows is approved before it runs, and so is this."
    return GateSpec(
        GateKind.BEFORE_RUN,
        (Reason("before_run", text),),
        requests.planned_hash(job),
    )


def _checked(
    job_type: JobType,
    workspace: Workspace,
    input: Mapping[str, Any],
    uploads: Sequence[Upload],
    parent: Job | None,
) -> tuple[PromptVersion, list[ReadDocument]]:
    """The version that a new job pins, and its documents. Raises `BadInput` with every problem."""
    version = job_type.current_version
    problems: list[InputProblem] = []
    if job_type.workspace_id not in (None, workspace.pk):
        problems.append(InputProblem("", f"{job_type} is not a job type of {workspace}."))
    if job_type.follows and parent is not None and parent.workspace_id != workspace.pk:
        problems.append(InputProblem("", f"{parent.ref} is not a job of {workspace}."))
    if not job_type.is_open or version is None:
        problems.append(InputProblem("", f"{job_type} takes no new jobs at the moment."))
    problems += input_problems(job_type, input)
    problems += file_count_problems(job_type, len(uploads))
    documents: list[ReadDocument] = []
    if len(uploads) <= job_type.max_documents:
        try:
            documents = read_documents(list(uploads))
        except Unusable as error:
            problems.append(InputProblem("files", str(error)))
    if problems or version is None:
        raise BadInput(problems)
    return version, documents


def _check_key(key: str) -> None:
    if len(key) > 200 or clean(key) != key:
        raise BadInput([InputProblem("idempotency_key", "can have 200 characters at most.")])


def _known(requester: User, workspace: Workspace, key: str, fingerprint: str) -> Submitted | None:
    job = Job.objects.filter(
        Q(requester=requester, workspace=workspace, idempotency_key=key)
    ).first()
    if job is None:
        return None
    return Submitted(job, created=False, same_request=job.request_fingerprint == fingerprint)


def _fingerprint(
    job_type: JobType, input: Mapping[str, Any], uploads: Sequence[Upload], parent: Job | None
) -> str:
    files = [[upload.name, hashlib.sha256(upload.content).hexdigest()] for upload in uploads]
    followed = [parent.ref] if parent is not None and job_type.follows else []
    said = [job_type.pk, dict(input), files, *followed]
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def _stored(
    job_id: uuid.UUID, position: int, document: ReadDocument, stored: list[str]
) -> Document:
    """The row of a document whose file is stored now, outside the transaction."""
    row = Document(
        job_id=job_id,
        position=position,
        name=document.name,
        content_type=document.content_type,
        size=len(document.content),
        sha256=document.sha256,
        text=document.text,
        library_document_id=document.library_id,
    )
    path = document_path(row, document.name)
    row.file.name = default_storage.save(path, ContentFile(document.content))
    stored.append(row.file.name)
    return row


def _free_ref() -> str:
    ref = new_ref()
    while Job.objects.filter(ref=ref).exists():
        ref = new_ref()
    return ref


def deadlines(job_type: JobType, now: datetime) -> dict[str, Any]:
    """The deadlines of a job that is let go now, as fields of its row."""
    return {
        "start_by": now + timedelta(seconds=job_type.start_within),
        "finish_by": now + timedelta(seconds=job_type.finish_within),
    }
