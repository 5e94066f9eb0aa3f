"""Who may do what: the one rule. It draws the buttons, and every door enforces it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache, partial

from django.db import models
from django.db.models import Q, QuerySet

from jobs import ladder, signals
from jobs.ballots import JUDGES, judges, missing, own_approval
from jobs.models import (
    LIVE,
    OPEN,
    SEES_ALL,
    SETTLED,
    Approval,
    Cause,
    Gate,
    GateKind,
    Job,
    LibraryDocument,
    Live,
    Membership,
    Result,
    Role,
    State,
    Status,
    Turn,
    User,
    Verb,
    Workspace,
)

#: Reason codes after which a result may still turn up and be used.
UNKNOWN_SUBMIT = "submit_outcome_unknown"
#: The reason of a running job whose answer is there, and whose files are not yet.
FILES_MISSING = "files_missing"


class Action(models.TextChoices):
    VIEW = "view", "See"
    READ_RESULT = "read_result", "Read the result"
    INSPECT = "inspect", "See what the provider said"
    CANCEL = "cancel", "Cancel"
    RETRY = "retry", "Retry"
    ARCHIVE = "archive", "Archive"
    APPROVE = "approve", "Approve"
    REQUEST_CHANGES = "request_changes", "Request changes"
    REFUSE = "refuse", "Refuse"
    REJECT = "reject", "Reject"
    ESCALATE = "escalate", "Escalate"
    REASSIGN = "reassign", "Reassign"
    REOPEN = "reopen", "Reopen"
    USE_RESULT = "use_result", "Use the late result"
    SETTLE = "settle", "Settle an unknown submit"
    NOTE = "note", "Write a note"
    RE_EXTRACT = "re_extract", "Read the answer anew"
    KEEP = "keep", "Keep in the library"
    FOLLOW_UP = "follow_up", "Ask a follow-up"


#: Actions that need an open gate, and are for those who decide at its level.
AT_GATE = frozenset(
    {Action.APPROVE, Action.REQUEST_CHANGES, Action.REFUSE, Action.REJECT, Action.ESCALATE}
)
#: Actions that requesters have on their own jobs.
REQUESTERS = frozenset(
    {Action.CANCEL, Action.RETRY, Action.ARCHIVE, Action.USE_RESULT, Action.KEEP}
)
#: Roles that add to the library of their workspace; the others look.
CONTRIBUTORS = frozenset(Role) - {Role.AUDITOR}


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
    return {action: _theirs(action, user, job, roles, own, said_last) for action in Action}


def permission(user: User, job: Job, action: Action) -> Permission:
    """As `allowed_actions` says it of one action, with the questions that one asks alone."""
    roles = roles_of(user, job.workspace_id)
    own = job.requester_id == user.pk and bool(roles)
    if not own and not roles & SEES_ALL:
        return Permission(None, f"There is no job {job.ref} that you may see.", forbidden=True)
    return _theirs(action, user, job, roles, own, partial(last_word, job))


def require(user: User, job: Job, action: Action) -> Role:
    """The role in which `user` may take `action` now. Raises `NotAllowed` or `NotNow`."""
    said = permission(user, job, action)
    if said.role is None or not said.allowed:
        raise (NotAllowed if said.forbidden else NotNow)(said.why)
    return said.role


def who_may(job: Job, action: Action) -> list[User]:
    """The active members of the job's workspace who may take `action` on it now."""
    held: dict[User, set[Role]] = {}
    members = Membership.objects.filter(workspace=job.workspace_id, user__is_active=True)
    for member in members.select_related("user"):
        held.setdefault(member.user, set()).add(Role(member.role))
    done: set[int] = set()
    if action is Action.APPROVE and (gate := job.open_gate) and gate.given:
        done = set(_approved(gate).values_list("actor", flat=True))
    return [
        user
        for user, roles in held.items()
        if user.pk not in done
        if user.pk == job.requester_id or roles & SEES_ALL
        if _permission(
            action, job, frozenset(roles), user.pk == job.requester_id, lambda: ""
        ).allowed
    ]


def readable_results(user: User, job: Job) -> QuerySet[Result]:
    """The results of `job` that `user` may read now, the last attempt's first. Those who see the
    workspace's jobs may read all; a requester, the one that the job completed with."""
    may = allowed_actions(user, job)
    results = Result.objects.filter(attempt__job=job).select_related("attempt", "edit")
    results = results.order_by("-attempt__number")
    if may[Action.INSPECT].allowed:
        return results
    if may[Action.READ_RESULT].allowed and (last := results.filter(deliverable=True).first()):
        return results.filter(pk=last.pk)
    return results.none()


def may_submit(user: User, workspace: Workspace) -> bool:
    return Role.REQUESTER in roles_of(user, workspace)


def may_watch(user: User, job: Job) -> bool:
    """Whether this person may read what a running job is writing: before anybody has reviewed it."""
    shown_to = live_rule(job)
    if shown_to == Live.OFF:
        return False
    inspects = bool(roles_of(user, job.workspace_id) & SEES_ALL)
    return inspects or (shown_to == Live.REQUESTER and job.requester_id == user.pk)


def live_rule(job: Job) -> Live:
    """Who may watch a job being written. A follow-up is shown to nobody who could not watch what it
    follows."""
    if job.job_type.live == Live.OFF:
        return Live.OFF
    return Live.narrowest(job_type.live for job_type in job.ruling_types())


def may_operate(user: User, workspace: Workspace) -> bool:
    """Whether this person looks after the machine: what is stuck, what failed, what it costs."""
    return bool(roles_of(user, workspace) & {Role.OPERATOR, Role.ADMIN, Role.AUDITOR})


def may_see_reviews(user: User, workspace: Workspace) -> bool:
    """Whether this person may look at all that waits for a decision in the workspace."""
    return bool(roles_of(user, workspace) & SEES_ALL)


def may_review(user: User, workspace: Workspace) -> bool:
    """Whether reviews in the workspace wait for this person, among others."""
    return bool(roles_of(user, workspace) & set(JUDGES))


def deciders(workspace: Workspace | int) -> QuerySet[User]:
    """Those for whom reviews of the workspace wait, by name."""
    members = Membership.objects.filter(workspace=workspace, role__in=JUDGES)
    people = User.objects.filter(is_active=True, pk__in=members.values("user"))
    return people.order_by("username")


def may_decide(job: Job) -> QuerySet[User]:
    """Who may approve at the open gate of `job` and has not done so, by name; nobody where none is
    open."""
    gate = job.open_gate
    if gate is None:
        return User.objects.none()
    people = deciders(job.workspace_id)
    if gate.role == Role.LEAD:
        leads = Membership.objects.filter(workspace=job.workspace_id, role=Role.LEAD)
        people = people.filter(pk__in=leads.values("user"))
    if not own_approval(job):
        people = people.exclude(pk=job.requester_id)
    return people.exclude(pk__in=_approved(gate).values("actor"))


def may_see_library(user: User, workspace: Workspace | int) -> bool:
    """Whether this person may read and search what the workspace knows: every member may."""
    return bool(roles_of(user, workspace))


def may_add_to_library(user: User, workspace: Workspace | int) -> bool:
    return bool(roles_of(user, workspace) & CONTRIBUTORS)


def may_withdraw(user: User, document: LibraryDocument) -> bool:
    """Whether this person may take the document out of the library: whoever added it, as long as
    they may add, and those who answer for the workspace."""
    roles = roles_of(user, document.workspace_id)
    own = document.added_by_id == user.pk and bool(roles & CONTRIBUTORS)
    return own or bool(roles & {Role.LEAD, Role.ADMIN})


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
    if action is Action.APPROVE and own and not own_approval(job):
        return Permission(
            None, "You requested this job, so somebody else must approve it.", forbidden=True
        )
    return Permission(role, _not_now(action, job, gate, role, last_word))


def _theirs(
    action: Action,
    user: User,
    job: Job,
    roles: frozenset[Role],
    own: bool,
    last_word: Callable[[], str],
) -> Permission:
    said = _permission(action, job, roles, own, last_word)
    if action is Action.APPROVE and said.allowed:
        return Permission(said.role, _approved_already(job, user))
    return said


def _approved_already(job: Job, user: User) -> str:
    gate = job.open_gate
    theirs = _approved(gate).filter(actor=user).first() if gate and gate.given else None
    if gate is None or theirs is None:
        return ""
    number = missing(job)
    more = "1 more approval is" if number == 1 else f"{number} more approvals are"
    return f"You approved already, at {said_at(theirs.at)}; {more} needed."


def _approved(gate: Gate) -> QuerySet[Approval]:
    """The approvals at the gate whose givers need not give them again, as long as they may."""
    return Approval.objects.filter(gate=gate, ballot=gate.ballot, lapsed_at=None)


def _reading(action: Action, job: Job, roles: frozenset[Role]) -> Permission:
    """What the provider said is for those who see the workspace's jobs. A requester reads a result
    once nobody has to see it first: on a completed job."""
    if wide := sorted(roles & SEES_ALL):
        return Permission(wide[0])
    if action is Action.INSPECT:
        return Permission(
            None, "Reviews, and what OpenAI said, are not shown to requesters.", forbidden=True
        )
    if job.status != Status.COMPLETED:
        return Permission(Role.REQUESTER, f"{job.ref} shows its result once it is completed.")
    return Permission(Role.REQUESTER)


def _role_for(
    action: Action, job: Job, roles: frozenset[Role], own: bool, gate: Gate | None
) -> Role | None:
    """The role that gives the right to `action`, the state of the job aside."""
    keepers: list[Role] = [role for role in (Role.OPERATOR, Role.ADMIN) if role in roles]
    readers, deciding = judges(roles, None), judges(roles, gate)
    requester = [Role.REQUESTER] if own and Role.REQUESTER in roles else []
    match action:
        case Action.CANCEL:
            able = requester + keepers + deciding
        case Action.RETRY if gate:
            # What to do with a result under review is for those who judge it.
            able = keepers + deciding + requester
        case Action.RETRY:
            able = requester + keepers + deciding
        case Action.ARCHIVE:
            able = requester + keepers
        case Action.SETTLE:
            able = keepers
        case Action.REASSIGN:
            # Whoever keeps things moving may ask somebody, without a say in the matter.
            able = deciding + keepers
        case Action.USE_RESULT:
            able = requester + keepers + [role for role in deciding if role is Role.LEAD]
        case Action.RE_EXTRACT:
            able = keepers + [role for role in deciding if role is Role.LEAD]
        case Action.REOPEN:
            able = [role for role in deciding if role is Role.LEAD]
        case Action.NOTE:
            able = readers
        case Action.KEEP:
            able = requester + keepers + readers
        case Action.FOLLOW_UP:
            # Whoever sees a job at all and may submit: it becomes a job of theirs.
            able = [Role.REQUESTER] if Role.REQUESTER in roles else []
        case _:
            able = deciding
    return able[0] if able else None


def _not_you(action: Action, roles: frozenset[Role], own: bool, gate: Gate | None) -> str:
    at_gate = AT_GATE | {Action.CANCEL, Action.RETRY, Action.REASSIGN}
    if action in at_gate and gate and gate.role == Role.LEAD and Role.REVIEWER in roles:
        if gate.level == 1:
            return f"This review waits for {gate.level_name}: a lead decides."
        named = "" if gate.level_name == "Leads" else f" ({gate.level_name})"
        return f"This review was escalated to level {gate.level}{named}: a lead decides."
    held = ", ".join(sorted(role.label.lower() for role in roles))
    strange = not own and Role.REQUESTER in roles and action in REQUESTERS
    whose = " on somebody else's job" if strange else ""
    return f"Your role ({held}) does not allow “{action.label}”{whose}."


def _not_now(
    action: Action, job: Job, gate: Gate | None, role: Role, last_word: Callable[[], str]
) -> str:
    status = Status(job.status)
    said = f"{job.ref} is {status.label.lower()}"
    if action is Action.CANCEL and job.cancel_requested_at and status in LIVE:
        at = said_at(job.cancel_requested_at)
        return f"{job.cancel_requested_by} asked to cancel {job.ref} at {at} already."
    if action is Action.ARCHIVE and job.archived_at:
        return f"{job.archived_by} archived {job.ref} at {said_at(job.archived_at)} already."
    if why := _obstacle(action, job, status, gate, role):
        return " ".join(part for part in (f"{said}: {why}", last_word()) if part)
    return ""


def _obstacle(action: Action, job: Job, status: Status, gate: Gate | None, role: Role) -> str:
    """What stands in the way in this state, or ""."""
    if action in AT_GATE | {Action.REASSIGN} and gate is None:
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
            other = "refuse" if gate.kind == GateKind.TOOL_CALL else "reject"
            return f"it has no result yet to change. Approve or {other} it."
        case Action.REQUEST_CHANGES if rounds(job) >= job.job_type.max_rounds:
            most = job.job_type.max_rounds
            return f"this was round {most} of {most}. Approve, reject or escalate it."
        case Action.REFUSE if gate and gate.kind != GateKind.TOOL_CALL:
            return "it asks for no tool call."
        case Action.ESCALATE if gate and gate.level >= ladder.top(job.job_type):
            return f"its review is at the highest level ({gate.level}) already."
        case Action.ARCHIVE if status not in SETTLED:
            return "only a job that has ended can be archived."
        case Action.REOPEN if status is not Status.COMPLETED or not _has_result(job):
            return "only a completed job with a result can be reopened."
        case Action.REOPEN:
            answers = signals.asked_to_reopen.send(Job, job=job)
            return next((why for _receiver, why in answers if why), "")
        case Action.RE_EXTRACT if not _is_answered(job, status, gate):
            return "no answer of OpenAI is stored."
        case Action.KEEP if status is not Status.COMPLETED or not _has_result(job):
            return "only the result of a completed job can be kept."
        case Action.FOLLOW_UP if status is not Status.COMPLETED or not _has_result(job):
            return "only a completed job with a result can be asked about."
        case Action.SETTLE if not _is_in_doubt(job):
            return "it has no unanswered submit to settle."
        case Action.USE_RESULT if not (
            status is Status.FAILED and job.reason_code == UNKNOWN_SUBMIT and _has_result(job)
        ):
            return "no late result has arrived."
    return ""


def rounds(job: Job) -> int:
    """How often a reviewer has asked for changes to the job."""
    return job.attempts.filter(cause=Cause.CHANGES).count()


def last_word(job: Job) -> str:
    """Who decided last, for the one who comes second; "" where no person has."""
    rulings = job.events.filter(~Q(from_status="") | Q(verb=Verb.ESCALATED), actor__isnull=False)
    last = rulings.order_by("-seq").first()
    if last is None:
        return ""
    verb = Verb(last.verb).label.lower()
    return f"{last.actor_name} decided at {said_at(last.at)} ({verb})."


def said_at(moment: datetime) -> str:
    return f"{moment:%H:%M:%S} UTC on {moment:%d %b %Y}"


def _is_in_doubt(job: Job) -> bool:
    """Whether a submit is unknown, or was given up as that and nothing has arrived since."""
    given_up = job.status == Status.FAILED and job.reason_code == UNKNOWN_SUBMIT
    return job.attempts.filter(state=State.UNKNOWN).exists() or (given_up and not _has_result(job))


def stored_answers(job: Job) -> QuerySet[Turn]:
    """The turns of ended attempts whose answers are stored, the last one's first."""
    turns = Turn.objects.filter(attempt__job=job, payload__isnull=False)
    return turns.exclude(attempt__state__in=sorted(OPEN)).order_by("-attempt__number", "-number")


def _is_answered(job: Job, status: Status, gate: Gate | None) -> bool:
    if status is Status.COMPLETED or (gate and gate.result_id):
        return True
    return stored_answers(job).exists()


def _has_result(job: Job) -> bool:
    last = job.attempts.order_by("-number").first()
    return last is not None and hasattr(last, "result") and last.result.deliverable
