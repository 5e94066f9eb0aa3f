"""Looking over many jobs before one ruling is carried out on them: which can be, and why not the
others. Decides nothing."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import DatabaseError, transaction
from django.db.models import QuerySet

from jobs.access import Action, deciders, last_word, may_decide, permission
from jobs.models import Gate, GateKind, Job, User, Workspace
from jobs.text import clean
from reviews import claims, inbox, seen
from reviews.inbox import Wanted
from reviews.models import BulkAction, BulkItem, BulkState, Hindrance, Outcome, Ruling

logger = logging.getLogger(__name__)

#: Jobs that one action takes.
MOST = 10_000
#: So many are looked over at once. Where there are more, the queue looks them over, a part at a time.
AT_ONCE = 1_000
PART = 200
#: How far those that match are counted where they are more.
MOST_COUNTED = 50_000
#: What can be said of many at once. What says something of one result alone cannot.
OFFERED = (
    Ruling.APPROVE,
    Ruling.REJECT,
    Ruling.ESCALATE,
    Ruling.REASSIGN,
    Ruling.RETRY,
    Ruling.CANCEL,
)
#: Plans that were never started are thrown away after this.
KEPT_UNSTARTED = timedelta(days=1)


class NotPlanned(ValueError):
    """Nothing was chosen, or what was chosen cannot be done in bulk: the message says which."""


@dataclass(frozen=True)
class Chosen:
    """A job as it was ticked: its reference, and the beginning of the hash of what it showed."""

    ref: str
    content_hash: str = ""

    @classmethod
    def read(cls, text: str) -> "Chosen":
        ref, _, content_hash = str(clean(text)).partition(".")
        return cls(ref[:12], content_hash[:64])


def plan(
    user: User,
    workspace: Workspace,
    ruling: Ruling,
    *,
    chosen: Sequence[Chosen] = (),
    wanted: Wanted | None = None,
    query: str = "",
    assignee: str = "",
    now: datetime,
) -> BulkAction:
    """Look over what a ruling would be carried out on: the jobs that are `chosen`, or all that are
    `wanted`, the first `MOST` of them. Of more than `AT_ONCE` it is written down which they are, and
    they are still to be looked over (`look_over`). `assignee` is the username of whom they are
    reassigned to. Raises `NotPlanned`."""
    if ruling not in OFFERED:
        raise NotPlanned(f"{ruling.label} is for one job at a time.")
    seen = {choice.ref: choice.content_hash for choice in chosen}
    gates = None
    if wanted is None:
        matched, jobs = len(seen), _ticked(workspace, seen)
    else:
        gates = inbox.matching(user, workspace, wanted, now=now)
        matched = inbox.count(gates, MOST_COUNTED)
        jobs = [] if matched > AT_ONCE else inbox.jobs_at(gates[:MOST])
    many = gates is not None and matched > AT_ONCE
    if not jobs and not many:
        raise NotPlanned("Nothing is chosen. Tick the jobs that you mean, then choose an action.")
    to = _assignee(workspace, assignee) if ruling is Ruling.REASSIGN else None
    if gates is not None and many:
        items = _to_look_over(gates[:MOST])
    else:
        items = [_item(job, user, ruling, seen.get(job.ref, ""), now, to) for job in jobs]
    with transaction.atomic():
        _throw_away(user, now)
        action = BulkAction.objects.create(
            workspace=workspace,
            person=user,
            ruling=ruling,
            assignee=to,
            everything=wanted is not None,
            query=query[:1_000],
            matched=matched,
            state=BulkState.LOOKING if many else BulkState.PLANNED,
            next_check_at=now if many else None,
            created_at=now,
        )
        for item in items:
            item.action = action
        BulkItem.objects.bulk_create(items, batch_size=200)
    return action


def look_over(action: BulkAction, *, now: datetime, limit: int = PART) -> int:
    """Look over the next items of an action of many, each as it matched when all were meant. How many
    those are; 0 where none is left."""
    new = action.items.filter(outcome=Outcome.NEW)
    items = list(new.order_by("id")[:limit])
    rows = Job.objects.filter(pk__in=[item.job_id for item in items]).defer("input")
    jobs = rows.select_related("job_type", "open_gate__claimed_by").in_bulk()
    able, refused = [], []
    for item in items:
        why = _looked(jobs[item.job_id], item, action, now)
        if why is None:
            able.append(item.pk)
        else:
            refused.append((item.pk, why))
    with transaction.atomic():
        new.filter(pk__in=able).update(outcome=Outcome.PENDING)
        for key, (kind, said) in refused:
            new.filter(pk=key).update(
                outcome=Outcome.REFUSED, planned=False, hindrance=kind, said=said
            )
    return len(items)


def _looked(
    job: Job, item: BulkItem, action: BulkAction, now: datetime
) -> tuple[Hindrance, str] | None:
    ruling, seen = Ruling(action.ruling), item.content_hash
    try:
        return hindrance(job, action.person, ruling, seen, now, action.assignee)
    except DatabaseError:
        raise
    except Exception:
        logger.exception("%s: job %s was not looked over", action.ref, job.pk)
        return Hindrance.BROKEN, "Something went wrong. Look at it by itself."


def hindrance(
    job: Job,
    user: User,
    ruling: Ruling,
    looked_at: str,
    now: datetime,
    assignee: User | None = None,
) -> tuple[Hindrance, str] | None:
    """Why `ruling` cannot be carried out on a job with the others, in a word and in a sentence; None
    where it can. `looked_at` is the hash that was looked at, or its beginning; "" is what is there.
    `assignee` is whom it would be reassigned to."""
    gate, may = job.open_gate, permission(user, job, Action(ruling.value))
    if may.forbidden:
        return Hindrance.NOT_YOURS, may.why
    if gate is None:
        said = f"{job.ref} is no longer waiting for a decision. {last_word(job)}"
        return Hindrance.GONE, said.strip()
    if not gate.content_hash.startswith(looked_at):
        return Hindrance.CHANGED, f"{job.ref} has changed since. Look at it again."
    if not may.allowed:
        return Hindrance.NOT_NOW, may.why
    held = claims.held_by(gate, now=now)
    if held and held.holder not in (user, assignee):
        return Hindrance.HELD, f"{held.holder} has {job.ref} open."
    if assignee and gate.assignee_id == assignee.pk:
        return Hindrance.ASKED_ALREADY, f"{job.ref} waits for {assignee} already."
    if assignee and not may_decide(job).filter(pk=assignee.pk).exists():
        return Hindrance.NOT_THEIRS, f"{assignee} may not decide {job.ref} at its level."
    if ruling is Ruling.APPROVE and gate.kind != GateKind.OUTPUT:
        what = "what it wants to do" if gate.kind == GateKind.TOOL_CALL else "what would be sent"
        return Hindrance.ONE_BY_ONE, f"{job.ref}: {what} is looked at before it is approved."
    if ruling is Ruling.APPROVE and (unseen := seen.lacking(job, gate, user)):
        return Hindrance.ONE_BY_ONE, f"{job.ref}: {unseen}"
    return None


def _ticked(workspace: Workspace, seen: Mapping[str, str]) -> list[Job]:
    """The jobs of these references, in their order."""
    order = {ref: place for place, ref in enumerate(list(seen)[:AT_ONCE])}
    found = Job.objects.filter(workspace=workspace, ref__in=order).defer("input")
    related = found.select_related("job_type", "requester", "open_gate__claimed_by")
    return sorted(related, key=lambda job: order[job.ref])


def _to_look_over(gates: QuerySet[Gate]) -> list[BulkItem]:
    return [
        BulkItem(job_id=job, gate_id=gate, content_hash=content_hash, outcome=Outcome.NEW)
        for job, gate, content_hash in gates.values_list("job", "pk", "content_hash")
    ]


def _assignee(workspace: Workspace, username: str) -> User:
    person = deciders(workspace).filter(username=clean(username)).first()
    if person is None:
        raise NotPlanned("Say to whom: somebody who decides reviews here.")
    return person


def _item(
    job: Job, user: User, ruling: Ruling, seen: str, now: datetime, to: User | None
) -> BulkItem:
    gate, why = job.open_gate, hindrance(job, user, ruling, seen, now, to)
    item = BulkItem(job=job, gate=gate, content_hash=gate.content_hash if gate else "")
    if why:
        item.outcome, item.planned = Outcome.REFUSED, False
        item.hindrance, item.said = why
    return item


def _throw_away(user: User, now: datetime) -> None:
    """What this person looked over and never started. Nothing was decided by it."""
    BulkAction.objects.filter(
        person=user, state=BulkState.PLANNED, created_at__lt=now - KEPT_UNSTARTED
    ).delete()
