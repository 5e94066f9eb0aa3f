"""Who may approve at a gate, and which of the approvals there still count: those of people who may
approve now. Nothing is written here; what is counted for good is `jobs.lifecycle`'s."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from django.db.models import F

from jobs.models import Approval, Gate, Job, Membership, Role

#: Roles that decide at gates, and only there.
JUDGES = (Role.REVIEWER, Role.LEAD)


@dataclass(frozen=True)
class Given:
    """An approval of what waits. `why` says why it does not count any more; "" where it does."""

    approval: Approval
    why: str = ""


@dataclass(frozen=True)
class Ballot:
    """The approvals at an open gate, from the first on. Nobody is among them twice."""

    given: Sequence[Given] = ()

    @property
    def counting(self) -> Sequence[Approval]:
        return [one.approval for one in self.given if not one.why]

    @property
    def lapsed(self) -> Sequence[Given]:
        return [one for one in self.given if one.why]


def missing(job: Job) -> int:
    """How many approvals the open gate of `job` still needs; 0 where none is open."""
    return job.open_gate.approvals - len(ballot(job).counting) if job.open_gate else 0


def judges(roles: Collection[Role], gate: Gate | None) -> list[Role]:
    """Of `roles` those that decide at the gate: a lead does at any."""
    return [
        role
        for role in JUDGES
        if role in roles and (role is Role.LEAD or not gate or gate.role == Role.REVIEWER)
    ]


def own_approval(job: Job) -> bool:
    """Whether the requester of the job may approve it: every type whose rules hold allows it."""
    return job.job_type.own_approval and all(t.own_approval for t in job.ruling_types())


def ballot(job: Job) -> Ballot:
    """The approvals at the open gate of `job` as they stand now."""
    return ballots([job])[job.pk]


def ballots(jobs: Sequence[Job]) -> Mapping[UUID, Ballot]:
    """The same of many jobs, by their keys, with two queries for all."""
    found: dict[UUID, dict[int, Given]] = {job.pk: {} for job in jobs}
    at = {job.open_gate.pk: job for job in jobs if job.open_gate and job.open_gate.given}
    if at:
        rows = Approval.objects.filter(gate__in=at, ballot=F("gate__ballot"))
        approvals = list(rows.select_related("gate", "actor").order_by("id"))
        held = _roles(approvals)
        for row in approvals:
            job = at[row.gate_id]
            roles = held.get((job.workspace_id, row.actor_id), frozenset())
            # What somebody has given anew stands for what had lapsed.
            found[job.pk][row.actor_id] = Given(row, row.lapsed_why or _lapses(row, job, roles))
    return {key: Ballot(list(given.values())) for key, given in found.items()}


def _roles(approvals: Sequence[Approval]) -> Mapping[tuple[int, int], Collection[Role]]:
    """What those who gave them hold, by workspace and person."""
    held: dict[tuple[int, int], set[Role]] = {}
    members = Membership.objects.filter(
        workspace__in={row.gate.workspace_id for row in approvals},
        user__in={row.actor_id for row in approvals},
    )
    for workspace, user, role in members.values_list("workspace", "user", "role"):
        held.setdefault((workspace, user), set()).add(Role(role))
    return held


def _lapses(approval: Approval, job: Job, roles: Collection[Role]) -> str:
    """Why the approval does not count as things stand, or ""."""
    gate = approval.gate
    if not approval.actor.is_active:
        return "The account is deactivated."
    if not judges(roles, gate):
        if not roles:
            return f"No member of {job.workspace} any more."
        return "Not a lead any more." if gate.role == Role.LEAD else "Not a reviewer any more."
    if approval.actor_id == job.requester_id and not own_approval(job):
        return "Requested this job, so somebody else must approve it."
    return ""
