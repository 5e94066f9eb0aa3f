"""Who may do what: the one rule. It draws the buttons, and every door enforces it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache, partial

from django.db import models
from django.db.models import Q, QuerySet

from jobs.models import (
    LIVE,
    SEES_ALL,
    SETTLED,
    Gate,
    GateKind,
    Job,
    Result,
    Role,
    State,
    Status,
    User,
    Verb,
    Workspace,
)

#: Reason codes after which a result may still turn up and be used.
UNKNOWN_SUBMIT = "submit_outcome_unknown"


class Action(models.TextChoices):
    VIEW = "view", "See"
    READ_RESULT = "read_result", "Read the result"
    INSPECT = "inspect", "See what the provider said"
    CANCEL = "cancel", "Cancel"
    RETRY = "retry", "Retry"
    ARCHIVE = "archive", "Archive"
    APPROVE = "approve", "Approve"
    REQUEST_CHANGES = "request_changes", "Request changes"
    REJECT = "reject", "Reject"
    ESCALATE = "escalate", "Escalate"
    REOPEN = "reopen", "Reopen"
    USE_RESULT = "use_result", "Use the late result"
    SETTLE = "settle", "Settle an unknown submit"
    NOTE = "note", "Write a note"


#: Actions that need an open gate, and are for those who decide at its level.
AT_GATE = frozenset({Action.APPROVE, Action.REQUEST_CHANGES, Action.REJECT, Action.ESCALATE})
#: Actions that requesters have on their own jobs.
REQUESTERS = frozenset({Action.CANCEL, Action.RETRY, Action.ARCHIVE, Action.USE_RESULT})
#: Roles that decide at gates, and only there.
JUDGES = (Role.REVIEWER, Role.LEAD)


class NotAllowed(Exception):
    """Not this person, whatever the job's state."""


class NotNow(Exception):
    """Not in this state: too late, too early, or somebody was first."""


@dataclass(frozen=True)
class Permission:
    """Whether an action may be taken. `role` is the one that it is taken in; `why` says why not."""

    role: Role | None
    why: str = ""
    forbidden: bool = False

    @property
    def allowed(self) -> bool:
        return not self.why


def roles_of(user: User, workspace: Workspace | int) -> frozenset[Role]:
    """The roles that `user` holds in a workspace. A superuser is an admin everywhere."""
    if not user.is_active:
        return frozenset()
    held = {
        Role(role)
        for role in user.memberships.filter(workspace=workspace).values_list("role", flat=True)
    }
    return frozenset(held | ({Role.ADMIN} if user.is_superuser else set()))


def allowed_actions(user: User, job: Job) -> Mapping[Action, Permission]:
    """Every action with whether `user` may take it on `job` now, and why not."""
    roles = roles_of(user, job.workspace_id)
    own = job.requester_id == user.pk and bool(roles)
    if not own and not roles & SEES_ALL:
        nothing = Permission(None, f"There is no job {job.ref} that you may see.", forbidden=True)
        return dict.fromkeys(Action, nothing)
    said_last = cache(partial(last_word, job))
    return {action: _permission(action, job, roles, own, said_last) for action in Action}


def require(user: User, job: Job, action: Action) -> Role:
    """The role in which `user` may take `action` now. Raises `NotAllowed` or `NotNow`."""
    permission = allowed_actions(user, job)[action]
    if permission.role is None or not permission.allowed:
        raise (NotAllowed if permission.forbidden else NotNow)(permission.why)
    return permission.role


def readable_results(user: User, job: Job) -> QuerySet[Result]:
    """The results of `job` that `user` may read now, the last attempt's first. Those who see the
    workspace's jobs may read all; a requester, the one that the job completed with."""
    may = allowed_actions(user, job)
    results = Result.objects.filter(attempt__job=job).select_related("attempt")
    results = results.order_by("-attempt__number")
    if may[Action.INSPECT].allowed:
        return results
    if may[Action.READ_RESULT].allowed and (last := results.filter(deliverable=True).first()):
        return results.filter(pk=last.pk)
    return results.none()


def may_submit(user: User, workspace: Workspace) -> bool:
    return Role.REQUESTER in roles_of(user, workspace)


def may_operate(user: User, workspace: Workspace) -> bool:
    """Whether this person looks after the machine: what is stuck, what failed, what it costs."""
    return bool(roles_of(user, workspace) & {Role.OPERATOR, Role.ADMIN, Role.AUDITOR})


def may_review(user: User, workspace: Workspace) -> bool:
    """Whether reviews in the workspace wait for this person, among others."""
    return bool(roles_of(user, workspace) & set(JUDGES))


def _permission(
    action: Action, job: Job, roles: frozenset[Role], own: bool, last_word: Callable[[], str]
) -> Permission:
    gate = job.open_gate
    if action is Action.VIEW:
        return Permission(next(iter(sorted(roles))))
    if action in (Action.READ_RESULT, Action.INSPECT):
        return _reading(action, job, roles)
    role = _role_for(action, job, roles, own, gate)
    if role is None:
        return Permission(None, _not_you(action, roles, own, gate), forbidden=True)
    if action is Action.APPROVE and own and not job.job_type.own_approval:
        return Permission(
            None, "You requested this job, so somebody else must approve it.", forbidden=True
        )
    return Permission(role, _not_now(action, job, gate, role, last_word))


def _reading(action: Action, job: Job, roles: frozenset[Role]) -> Permission:
    """What the provider said is for those who see the workspace's jobs. A requester reads a result
    once nobody has to see it first: on a completed job."""
    if wide := sorted(roles & SEES_ALL):
        return Permission(wide[0])
    if action is Action.INSPECT:
        return Permission(None, "What the provider said is not for requesters.", forbidden=True)
    if job.status != Status.COMPLETED:
        return Permission(Role.REQUESTER, f"{job.ref} shows its result once it is completed.")
    return Permission(Role.REQUESTER)


def _role_for(
    action: Action, job: Job, roles: frozenset[Role], own: bool, gate: Gate | None
) -> Role | None:
    """The role that gives the right to `action`, the state of the job aside."""
    keepers: list[Role] = [role for role in (Role.OPERATOR, Role.ADMIN) if role in roles]
    readers: list[Role] = [role for role in JUDGES if role in roles]
    judges = [role for role in readers if role is Role.LEAD or not gate or gate.level == 1]
    requester = [Role.REQUESTER] if own and Role.REQUESTER in roles else []
    match action:
        case Action.CANCEL:
            able = requester + keepers + judges
        case Action.RETRY if gate:
            # What to do with a result under review is for those who judge it.
            able = keepers + judges + requester
        case Action.RETRY:
            able = requester + keepers + judges
        case Action.ARCHIVE:
            able = requester + keepers
        case Action.SETTLE:
            able = keepers
        case Action.USE_RESULT:
            able = requester + keepers + [role for role in judges if role is Role.LEAD]
        case Action.REOPEN:
            able = [role for role in judges if role is Role.LEAD]
        case Action.NOTE:
            able = readers
        case _:
            able = judges
    return able[0] if able else None


def _not_you(action: Action, roles: frozenset[Role], own: bool, gate: Gate | None) -> str:
    at_gate = AT_GATE | {Action.CANCEL, Action.RETRY}
    if action in at_gate and gate and gate.level > 1 and Role.REVIEWER in roles:
        return f"This review was escalated to level {gate.level}: a lead decides."
    held = ", ".join(sorted(role.label.lower() for role in roles))
    strange = not own and Role.REQUESTER in roles and action in REQUESTERS
    whose = " on somebody else's job" if strange else ""
    return f"{action.label} is not for the role {held}{whose}."


def _not_now(
    action: Action, job: Job, gate: Gate | None, role: Role, last_word: Callable[[], str]
) -> str:
    status = Status(job.status)
    said = f"{job.ref} is {status.label.lower()}"
    if action is Action.CANCEL and job.cancel_requested_at and status in LIVE:
        at = _at(job.cancel_requested_at)
        return f"{job.cancel_requested_by} asked to cancel {job.ref} at {at} already."
    if action is Action.ARCHIVE and job.archived_at:
        return f"{job.archived_by} archived {job.ref} at {_at(job.archived_at)} already."
    if why := _obstacle(action, job, status, gate, role):
        return " ".join(part for part in (f"{said}: {why}", last_word()) if part)
    return ""


def _obstacle(action: Action, job: Job, status: Status, gate: Gate | None, role: Role) -> str:
    """What stands in the way in this state, or ""."""
    if action in AT_GATE and gate is None:
        return "there is nothing to decide."
    match action:
        case Action.CANCEL if status not in LIVE:
            return "there is nothing left to cancel."
        case Action.RETRY if status not in SETTLED - {Status.COMPLETED} | {Status.NEEDS_REVIEW}:
            return "there is nothing to retry."
        case Action.CANCEL | Action.RETRY if role in JUDGES and gate is None:
            return f"a {role.label.lower()} can {action.label.lower()} it only during a review."
        case Action.RETRY if role is Role.REQUESTER and gate:
            return "a reviewer decides whether it is tried again."
        case Action.RETRY if gate and gate.kind == GateKind.BEFORE_RUN:
            return "it has not run yet. Approve it instead."
        case Action.REQUEST_CHANGES if gate and gate.kind != GateKind.OUTPUT:
            return "it has no result yet to change. Approve or reject it."
        case Action.ESCALATE if gate and gate.level >= job.job_type.review_levels:
            return f"its review is at the highest level ({gate.level}) already."
        case Action.ARCHIVE if status not in SETTLED:
            return "only a settled job can be archived."
        case Action.REOPEN if status is not Status.COMPLETED or not _has_result(job):
            return "only a completed job with a result can be reopened."
        case Action.SETTLE if not _is_in_doubt(job):
            return "no submit of it is unknown."
        case Action.USE_RESULT if not (
            status is Status.FAILED and job.reason_code == UNKNOWN_SUBMIT and _has_result(job)
        ):
            return "no late result has arrived."
    return ""


def last_word(job: Job) -> str:
    """Who decided last, for the one who comes second; "" where no person has."""
    rulings = job.events.filter(~Q(from_status="") | Q(verb=Verb.ESCALATED), actor__isnull=False)
    last = rulings.order_by("-seq").first()
    if last is None:
        return ""
    verb = Verb(last.verb).label.lower()
    return f"{last.actor_name} decided at {_at(last.at)} ({verb})."


def _at(moment: datetime) -> str:
    return f"{moment:%H:%M:%S} UTC on {moment:%d %b %Y}"


def _is_in_doubt(job: Job) -> bool:
    """Whether a submit is unknown, or was given up as that and nothing has arrived since."""
    given_up = job.status == Status.FAILED and job.reason_code == UNKNOWN_SUBMIT
    return job.attempts.filter(state=State.UNKNOWN).exists() or (given_up and not _has_result(job))


def _has_result(job: Job) -> bool:
    last = job.attempts.order_by("-number").first()
    return last is not None and hasattr(last, "result") and last.result.deliverable
