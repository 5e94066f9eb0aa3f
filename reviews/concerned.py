"""Whom an occurrence concerns. Nobody is told of what they did themselves."""

from collections.abc import Callable, Mapping

from jobs.access import Action, allowed_actions, roles_of, who_may
from jobs.ballots import Given, ballot
from jobs.models import Approval, Job, Membership, Role, User
from reviews.models import ASKS, Notice, NoticeKind, Occurrence

#: Who hears of failures that are not their own.
KEEPERS = frozenset({Role.OPERATOR, Role.ADMIN})


def concerned(occurrence: Occurrence, job: Job) -> list[User]:
    """The active people whom the occurrence concerns, as things stand now. `job` is freshly read."""
    found = _WHO[NoticeKind(occurrence.kind)](occurrence, job)
    return [person for person in found if person.pk != occurrence.actor_id and person.is_active]


def still_concerned(notice: Notice) -> bool:
    """Whether the person of a notice may still do, or see, what it is about."""
    if not notice.person.is_active:
        return False
    kind = NoticeKind(notice.kind)
    if kind is NoticeKind.TROUBLE:
        return bool(roles_of(notice.person, notice.workspace_id) & KEEPERS)
    action = Action.APPROVE if kind in ASKS else Action.VIEW
    may = allowed_actions(notice.person, notice.job)
    if kind is NoticeKind.OVERDUE and may[Action.VIEW].allowed:
        return notice.job.open_gate_id is not None
    return may[action].allowed


def _judges(occurrence: Occurrence, job: Job) -> list[User]:
    """Whom the open gate waits for: whom it was given to, or those who may decide it, where nobody
    was asked or that person may not any more."""
    gate = job.open_gate
    if gate is None:
        return []
    may = who_may(job, Action.APPROVE)
    return [person for person in may if person.pk == gate.assignee_id] or may


def _asked(occurrence: Occurrence, job: Job) -> list[User]:
    """Whom a review waits for that has opened; of one that goes on, those who do not
    know that it waits for them."""
    gate, event = job.open_gate, occurrence.event
    if event is None:
        return _judges_anew(occurrence, job)
    if gate is None or event.to_status:
        return _judges(occurrence, job)
    if event.verb == "reassigned" and gate.assignee_id:
        return []
    told = Notice.objects.filter(job=job, done_at=None, kind__in=sorted(ASKS))
    known = set(told.values_list("person", flat=True))
    return [person for person in _judges(occurrence, job) if person.pk not in known]


def _judges_anew(occurrence: Occurrence, job: Job) -> list[User]:
    """Those who may decide, and were not told of this approval before, where it counts no more."""
    if lapsed(occurrence, job) is None:
        return []
    told = Notice.objects.filter(job=job, kind=occurrence.kind, key=occurrence.key)
    known = set(told.values_list("person", flat=True))
    return [person for person in _judges(occurrence, job) if person.pk not in known]


def lapsed(occurrence: Occurrence, job: Job) -> Given | None:
    """The approval that an occurrence is about, where it counts no more at the open gate."""
    given = ballot(job).lapsed
    return next((one for one in given if occurrence.key == lapse_key(one.approval)), None)


def lapse_key(approval: Approval) -> str:
    return f"approval:{approval.pk}"


def _assignee(occurrence: Occurrence, job: Job) -> list[User]:
    asked = job.open_gate.assignee_id if job.open_gate else None
    return [person for person in _judges(occurrence, job) if person.pk == asked]


def _judges_and_leads(occurrence: Occurrence, job: Job) -> list[User]:
    if job.open_gate is None:
        return []
    leads = _members(job, frozenset({Role.LEAD}))
    return list({person.pk: person for person in [*_judges(occurrence, job), *leads]}.values())


def _requester(occurrence: Occurrence, job: Job) -> list[User]:
    may = allowed_actions(job.requester, job)[Action.VIEW]
    return [job.requester] if may.allowed else []


def _keepers(occurrence: Occurrence, job: Job) -> list[User]:
    # Of a job of their own they hear as its requester.
    return [person for person in _members(job, KEEPERS) if person.pk != job.requester_id]


def _named(occurrence: Occurrence, job: Job) -> list[User]:
    named = User.objects.filter(pk__in=occurrence.people)
    return [person for person in named if allowed_actions(person, job)[Action.VIEW].allowed]


def _members(job: Job, roles: frozenset[Role]) -> list[User]:
    members = Membership.objects.filter(
        workspace=job.workspace_id, role__in=sorted(roles), user__is_active=True
    )
    return list({member.user_id: member.user for member in members.select_related("user")}.values())


_WHO: Mapping[NoticeKind, Callable[[Occurrence, Job], list[User]]] = {
    NoticeKind.NEEDS_REVIEW: _asked,
    NoticeKind.ESCALATED: _judges,
    NoticeKind.ASSIGNED: _assignee,
    NoticeKind.REMINDED: _judges,
    NoticeKind.OVERDUE: _judges_and_leads,
    NoticeKind.FINISHED: _requester,
    NoticeKind.FAILED: _requester,
    NoticeKind.TROUBLE: _keepers,
    NoticeKind.MENTIONED: _named,
}
