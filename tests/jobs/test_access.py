"""Who may do what: roles × whose job × every situation × every action."""

import json

import pytest
from django.db import transaction

from jobs import lapses, outcomes
from jobs.access import Action, NotAllowed, NotNow, allowed_actions, may_submit, require, roles_of
from jobs.models import Job, Lane, Membership, Role, Status
from jobs.report import job_document
from reviews.actions import Ask, decide
from reviews.models import Ruling
from tests import payloads
from tests.factories import (
    NOW,
    JobFactory,
    JobTypeFactory,
    UserFactory,
    WorkspaceFactory,
    approve,
    become_unknown,
    finish,
    wants,
)

pytestmark = pytest.mark.django_db


# Situations: every status, and what changes the answer within one -------------------------------


def _plain(status):
    return lambda: JobFactory(status=status)


def _escalated():
    job = JobFactory(status=Status.NEEDS_REVIEW)
    lead = UserFactory(workspace=job.workspace, roles=[Role.LEAD])
    decide(job.pk, Ask(Ruling.ESCALATE, lead, NOW, note="Above me."))
    return job


def _before_run():
    return JobFactory(job_type=JobTypeFactory(lane=Lane.APPROVAL))


def _tool_call():
    return wants()


def _canceling():
    job = JobFactory(status=Status.RUNNING)
    decide(job.pk, Ask(Ruling.CANCEL, job.requester, NOW))
    return job


def _unknown():
    job = JobFactory()
    become_unknown(job)
    return job


def _late_result():
    job = JobFactory()
    turn = become_unknown(job)
    lapses.unknown_wait_over(turn.pk, now=NOW)
    answer = payloads.response("completed", id="resp_late")
    outcomes.accepted(turn.pk, answer, now=NOW, adopted=True)
    return job


def _archived():
    job = JobFactory(status=Status.COMPLETED)
    decide(job.pk, Ask(Ruling.ARCHIVE, job.requester, NOW))
    return job


SITUATIONS = {
    "queued": _plain(Status.QUEUED),
    "running": _plain(Status.RUNNING),
    "canceling": _canceling,
    "unknown": _unknown,
    "before_run": _before_run,
    "review": _plain(Status.NEEDS_REVIEW),
    "tool_call": _tool_call,
    "escalated": _escalated,
    "completed": _plain(Status.COMPLETED),
    "archived": _archived,
    "failed": _plain(Status.FAILED),
    "late_result": _late_result,
    "canceled": _plain(Status.CANCELED),
    "expired": _plain(Status.EXPIRED),
}

# The expected table: role, action, the situations in which it is allowed ------------------------

ALWAYS = set(SITUATIONS)
LIVE = {"queued", "running", "unknown", "before_run", "review", "tool_call", "escalated"}
SETTLED = {"completed", "failed", "late_result", "canceled", "expired"}
BAD_END = {"failed", "late_result", "canceled", "expired"}
FIRST_LEVEL = {"before_run", "review", "tool_call"}
ANSWERED = {"review", "escalated", "completed", "archived", "failed", "late_result"}
COMPLETED = {"completed", "archived"}

_READER = {action: ALWAYS for action in (Action.VIEW, Action.READ_RESULT, Action.INSPECT)}
_KEEPER = {
    **_READER,
    Action.CANCEL: LIVE,
    Action.RETRY: BAD_END | {"review", "tool_call", "escalated"},
    Action.REASSIGN: FIRST_LEVEL | {"escalated"},
    Action.ARCHIVE: SETTLED,
    Action.SETTLE: {"unknown"},
    Action.USE_RESULT: {"late_result"},
    Action.RE_EXTRACT: ANSWERED,
    Action.KEEP: COMPLETED,
}

#: On any job of the workspace.
ANY_JOB = {
    Role.REQUESTER: {},
    Role.REVIEWER: {
        **_READER,
        Action.NOTE: ALWAYS,
        Action.APPROVE: FIRST_LEVEL,
        Action.REJECT: FIRST_LEVEL,
        Action.CANCEL: FIRST_LEVEL,
        Action.ESCALATE: FIRST_LEVEL,
        Action.REASSIGN: FIRST_LEVEL,
        Action.REQUEST_CHANGES: {"review"},
        Action.REFUSE: {"tool_call"},
        Action.RETRY: {"review", "tool_call"},
        Action.KEEP: COMPLETED,
    },
    Role.LEAD: {
        **_READER,
        Action.NOTE: ALWAYS,
        Action.APPROVE: FIRST_LEVEL | {"escalated"},
        Action.REJECT: FIRST_LEVEL | {"escalated"},
        Action.CANCEL: FIRST_LEVEL | {"escalated"},
        Action.ESCALATE: FIRST_LEVEL,
        Action.REASSIGN: FIRST_LEVEL | {"escalated"},
        Action.REQUEST_CHANGES: {"review", "escalated"},
        Action.REFUSE: {"tool_call"},
        Action.RETRY: {"review", "tool_call", "escalated"},
        Action.REOPEN: COMPLETED,
        Action.USE_RESULT: {"late_result"},
        Action.RE_EXTRACT: ANSWERED,
        Action.KEEP: COMPLETED,
    },
    Role.OPERATOR: _KEEPER,
    Role.ADMIN: _KEEPER,
    Role.AUDITOR: _READER,
}
#: On any job, for requesters who hold another role as well, and so see it.
SEEING_REQUESTER = {Action.FOLLOW_UP: {"completed", "archived"}}
#: On a job that one requested, besides.
OWN_JOB = {
    Role.REQUESTER: {
        Action.VIEW: ALWAYS,
        Action.READ_RESULT: COMPLETED,
        Action.KEEP: COMPLETED,
        Action.CANCEL: LIVE,
        Action.RETRY: BAD_END,
        Action.ARCHIVE: SETTLED,
        Action.USE_RESULT: {"late_result"},
        Action.FOLLOW_UP: {"completed", "archived"},
    },
    # Whoever holds any role in a workspace still sees what they once requested there.
    **{role: {Action.VIEW: ALWAYS} for role in set(Role) - {Role.REQUESTER}},
}

ROLE_SETS = [
    *([role] for role in Role),
    [],
    [Role.REQUESTER, Role.REVIEWER],
    [Role.REQUESTER, Role.LEAD],
    [Role.REVIEWER, Role.LEAD],
    [Role.REVIEWER, Role.OPERATOR],
    [Role.AUDITOR, Role.REQUESTER],
    list(Role),
]
WHOSE = ["own", "colleague's", "other workspace's"]


def _expected(roles, whose, situation):
    """The actions allowed, and those that are not for this person whatever the state."""
    if whose == "other workspace's" or not roles:
        return set(), set(Action)
    rows = [ANY_JOB[role] for role in roles]
    if whose == "own":
        rows += [OWN_JOB[role] for role in roles]
    if Role.REQUESTER in roles and len(roles) > 1:
        rows.append(SEEING_REQUESTER)
    allowed = {action for row in rows for action, where in row.items() if situation in where}
    ever = {action for row in rows for action in row}
    if whose == "own":
        allowed.discard(Action.APPROVE)
        ever.discard(Action.APPROVE)
    if situation == "escalated" and Role.LEAD not in roles:
        # The first level has lost its say. What another role gives stays.
        others = [row for row in rows if row is not ANY_JOB[Role.REVIEWER]]
        ever = {*_READER, Action.NOTE, Action.KEEP} & ever | {
            action for row in others for action in row
        }
    if Action.VIEW not in allowed:
        return set(), set(Action)
    return allowed, set(Action) - ever


class Cast:
    """Three people around one job, whose roles a test sets."""

    def __init__(self, job):
        self.job = job
        self.people = {
            "own": (job.requester, job.workspace),
            "colleague's": (UserFactory(), job.workspace),
            "other workspace's": (UserFactory(), WorkspaceFactory()),
        }

    def person(self, whose, roles):
        user, workspace = self.people[whose]
        user.memberships.all().delete()
        Membership.objects.bulk_create(
            Membership(user=user, workspace=workspace, role=role) for role in roles
        )
        return user


def _cells(cast, role_sets):
    for roles in role_sets:
        for whose in WHOSE:
            yield roles, whose, cast.person(whose, roles)


@pytest.mark.parametrize("situation", SITUATIONS)
def test_the_rule_is_the_table(situation):
    cast = Cast(SITUATIONS[situation]())
    job = Job.objects.select_related("open_gate", "job_type").get(pk=cast.job.pk)
    for roles, whose, person in _cells(cast, ROLE_SETS):
        allowed, never = _expected(roles, whose, situation)
        said = allowed_actions(person, job)
        cell = f"{'+'.join(roles) or 'no role'} on {whose} {situation} job"
        assert set(said) == set(Action)
        assert {a for a in said if said[a].allowed} == allowed, cell
        assert {a for a in said if said[a].forbidden} == never, cell
        for action, permission in said.items():
            assert permission.allowed == (permission.why == ""), f"{action}: {cell}"
            if permission.allowed:
                assert permission.role in roles, f"{action}: {cell}"
        assert Job.objects.visible_to(person).exists() == (Action.VIEW in allowed), cell


@pytest.mark.parametrize("situation", SITUATIONS)
def test_deciding_enforces_what_the_rule_says(situation):
    """Every cell is really tried, and taken back."""
    cast = Cast(SITUATIONS[situation]())
    able = UserFactory(workspace=cast.job.workspace, roles=[Role.LEAD]).username
    for roles, whose, person in _cells(cast, ([role] for role in Role)):
        allowed, never = _expected(roles, whose, situation)
        for ruling in Ruling:
            cell = f"{ruling} by {'+'.join(roles)} on {whose} {situation} job"
            ask = Ask(ruling, person, NOW, note="Because.", assignee=able)
            with transaction.atomic():
                try:
                    decision = decide(cast.job.pk, ask)
                except NotAllowed:
                    assert ruling in never, cell
                except NotNow:
                    assert ruling not in allowed | never, cell
                else:
                    assert ruling in allowed, cell
                    assert decision.role in roles, cell
                transaction.set_rollback(True)


def test_only_requesters_submit_and_only_where_they_are():
    here, there = WorkspaceFactory(), WorkspaceFactory()
    for role in Role:
        person = UserFactory(workspace=here, roles=[role])
        assert may_submit(person, here) == (role == Role.REQUESTER)
        assert not may_submit(person, there)


def test_nobody_approves_a_job_that_they_requested():
    job = JobFactory(status=Status.NEEDS_REVIEW)
    Membership.objects.create(user=job.requester, workspace=job.workspace, role=Role.LEAD)
    with pytest.raises(NotAllowed, match="somebody else must approve"):
        require(job.requester, job, Action.APPROVE)
    with pytest.raises(NotAllowed, match="somebody else must approve"):
        decide(job.pk, Ask(Ruling.APPROVE, job.requester, NOW))


def test_a_type_can_allow_requesters_to_approve_their_own():
    job = JobFactory(status=Status.NEEDS_REVIEW, job_type=JobTypeFactory(own_approval=True))
    with pytest.raises(NotAllowed):
        require(job.requester, job, Action.APPROVE)
    Membership.objects.create(user=job.requester, workspace=job.workspace, role=Role.REVIEWER)
    decision = decide(job.pk, Ask(Ruling.APPROVE, job.requester, NOW))
    assert decision.own_approval
    assert decision.role == Role.REVIEWER


def test_a_superuser_is_an_admin_everywhere_and_approves_nothing():
    job = JobFactory(status=Status.NEEDS_REVIEW)
    superuser = UserFactory(is_superuser=True)
    assert roles_of(superuser, job.workspace) == {Role.ADMIN}
    said = allowed_actions(superuser, job)
    assert {action for action in said if said[action].allowed} == {
        *_READER,
        Action.CANCEL,
        Action.RETRY,
        Action.RE_EXTRACT,
        Action.REASSIGN,
    }
    assert said[Action.APPROVE].forbidden


def test_whoever_is_no_longer_active_may_nothing():
    job = JobFactory()
    for person in (job.requester, UserFactory(is_superuser=True)):
        person.is_active = False
        person.save()
        assert roles_of(person, job.workspace) == frozenset()
        assert not any(permission.allowed for permission in allowed_actions(person, job).values())
        assert not Job.objects.visible_to(person).exists()


def test_a_requester_who_left_the_workspace_sees_nothing_of_it():
    job = JobFactory()
    job.requester.memberships.all().delete()
    assert not Job.objects.visible_to(job.requester).exists()
    with pytest.raises(NotAllowed):
        require(job.requester, job, Action.VIEW)


def test_whoever_may_not_see_a_job_learns_nothing_about_it():
    job = JobFactory(status=Status.NEEDS_REVIEW)
    stranger = UserFactory(workspace=WorkspaceFactory(), roles=list(Role))
    ask = Ask(Ruling.APPROVE, stranger, NOW, content_hash="something else")
    with pytest.raises(NotAllowed, match=f"no job {job.ref} that you may see"):
        decide(job.pk, ask)
    why = {permission.why for permission in allowed_actions(stranger, job).values()}
    assert why == {f"There is no job {job.ref} that you may see."}


def test_the_first_level_is_told_that_a_lead_decides():
    job = _escalated()
    reviewer = UserFactory(workspace=job.workspace, roles=[Role.REVIEWER])
    job.refresh_from_db()
    for action in (Action.APPROVE, Action.REJECT, Action.CANCEL, Action.RETRY):
        with pytest.raises(NotAllowed, match="escalated to level 2: a lead decides"):
            require(reviewer, job, action)
    assert require(reviewer, job, Action.NOTE) == Role.REVIEWER


def test_a_review_with_one_level_cannot_be_escalated():
    job = JobFactory(
        status=Status.NEEDS_REVIEW, job_type=JobTypeFactory(ladder=[("Reviewers", Role.REVIEWER)])
    )
    lead = UserFactory(workspace=job.workspace, roles=[Role.LEAD])
    with pytest.raises(NotNow, match=r"highest level \(1\)"):
        require(lead, job, Action.ESCALATE)


def test_the_rule_asks_the_database_little(django_assert_max_num_queries):
    job = JobFactory(status=Status.COMPLETED)
    lead = UserFactory(workspace=job.workspace, roles=[Role.LEAD])
    job = Job.objects.select_related("job_type", "open_gate").get(pk=job.pk)
    with django_assert_max_num_queries(7):
        allowed_actions(lead, job)


def test_a_requester_is_not_told_how_a_result_was_made():
    job = JobFactory(status=Status.RUNNING)
    action = {"type": "search", "query": "a secret query", "sources": []}
    step = {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": action}
    finish(job, "completed", output=[step, payloads.message("The answer.")])
    lead = approve(job)
    job.refresh_from_db()
    assert "a secret query" in json.dumps(job_document(job, reader=lead), default=str)
    told = job_document(job, reader=job.requester)
    assert told["result"]["text"] == "The answer."
    assert "a secret query" not in json.dumps(told, default=str)
