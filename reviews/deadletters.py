"""What operators do with deliveries that did not arrive: try again, or drop them, with a reason."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db.models import Q, QuerySet

from jobs import lifecycle
from jobs.access import NotAllowed, NotNow, roles_of
from jobs.lifecycle import Reason
from jobs.models import Job, Role, Status, User, Verb, Workspace
from jobs.text import clean
from reviews.deliveries import KEEPS_TRYING, about, said
from reviews.models import Delivery, DeliveryState, Endpoint

#: Roles that see where the results of a workspace go.
SEES = frozenset({Role.OPERATOR, Role.ADMIN, Role.AUDITOR, Role.LEAD})
#: Roles that retry and drop.
MENDS = frozenset({Role.OPERATOR, Role.ADMIN})
#: Deliveries that one retry of an endpoint takes.
MOST_AT_ONCE = 500
LONGEST_REASON = 1_000


class ReasonMissing(ValueError):
    """It needs a reason in words."""


@dataclass(frozen=True)
class Done:
    """How many were taken, and why the others were not."""

    number: int
    skipped: tuple[str, ...]


def may_see(user: User, workspace: Workspace | int) -> bool:
    return bool(roles_of(user, workspace) & SEES)


def may_mend(user: User, workspace: Workspace | int) -> bool:
    return bool(roles_of(user, workspace) & MENDS)


def dead(workspace: Workspace) -> QuerySet[Delivery]:
    return Delivery.objects.of(workspace).filter(state=DeliveryState.DEAD)


def retry(pk: UUID, *, actor: User, reason: str, now: datetime) -> None:
    """Try a delivery again at once, and for days. Raises `jobs.access.NotAllowed`, `NotNow` and
    `ReasonMissing`."""
    row, job = _row(pk, actor)
    text = _reason(reason)
    with lifecycle.locked(job.pk) as job:
        completed = job.events.filter(to_status=Status.COMPLETED).order_by("-seq").first()
        if job.status != Status.COMPLETED or completed is None or completed.seq != row.completion:
            raise NotNow(f"{job.ref} is no longer what was let out then: this stays here.")
        # What was never tried is held back so that it can still be reopened.
        failed = Q(state=DeliveryState.DEAD) | Q(state=DeliveryState.WAITING, attempts__gt=0)
        moved = Delivery.objects.filter(failed, pk=pk, lease_token=None).update(
            state=DeliveryState.WAITING,
            next_check_at=now,
            give_up_at=now + KEEPS_TRYING,
            ended_at=None,
            failures=0,
        )
        _check(moved, row)
        if row.endpoint_id:
            Endpoint.objects.filter(pk=row.endpoint_id).update(rest_until=None)
        _record(job, row, Verb.DELIVERY_RETRIED, actor, text, now)


def drop(pk: UUID, *, actor: User, reason: str, now: datetime) -> None:
    """Give a delivery up for good. Raises as `retry` does."""
    row, job = _row(pk, actor)
    text = _reason(reason)
    with lifecycle.locked(job.pk) as job:
        moved = Delivery.objects.filter(
            pk=pk, state__in=[DeliveryState.DEAD, DeliveryState.WAITING], lease_token=None
        ).update(state=DeliveryState.DROPPED, next_check_at=None, ended_at=now)
        _check(moved, row)
        _record(job, row, Verb.DELIVERY_DROPPED, actor, text, now)


def retry_all(endpoint: Endpoint, *, actor: User, reason: str, now: datetime) -> Done:
    """Try the dead deliveries of an endpoint again, the oldest first. Raises `NotAllowed` and
    `ReasonMissing`; what cannot be retried is skipped, and says why."""
    if not may_mend(actor, endpoint.workspace_id):
        raise NotAllowed("Deliveries are retried by operators and admins.")
    _reason(reason)
    rows = Delivery.objects.filter(endpoint=endpoint, state=DeliveryState.DEAD).order_by("id")
    return _each(rows.values_list("pk", flat=True)[:MOST_AT_ONCE], actor, reason, now)


def _each(pks: Iterable[UUID], actor: User, reason: str, now: datetime) -> Done:
    number, skipped = 0, []
    for pk in pks:
        try:
            retry(pk, actor=actor, reason=reason, now=now)
            number += 1
        except NotNow as error:
            skipped.append(str(error))
    return Done(number, tuple(skipped))


def _row(pk: UUID, actor: User) -> tuple[Delivery, Job]:
    row = Delivery.objects.select_related("job").get(pk=pk)
    if not may_mend(actor, row.job.workspace_id):
        raise NotAllowed("Deliveries are retried and dropped by operators and admins.")
    return row, row.job


def _reason(text: str) -> str:
    reason = str(clean(text)).strip()
    if not reason:
        raise ReasonMissing("Say why: it is kept with the job.")
    if len(reason) > LONGEST_REASON:
        raise ReasonMissing(f"A reason can have {LONGEST_REASON:,} characters at most.")
    return reason


def _check(moved: int, row: Delivery) -> None:
    if moved:
        return
    state = DeliveryState(Delivery.objects.values_list("state", flat=True).get(pk=row.pk))
    if state is DeliveryState.WAITING:
        raise NotNow(f"{said(row)} of {row.job.ref} is about to be sent by itself.")
    raise NotNow(f"{said(row)} of {row.job.ref} is {state.label.lower()}: nothing was changed.")


def _record(job: Job, row: Delivery, verb: Verb, actor: User, text: str, now: datetime) -> None:
    reason = Reason(verb.value, f"{said(row)}: {text}")
    lifecycle.record(job, verb, now=now, actor=actor, reason=reason, data=about(row))
