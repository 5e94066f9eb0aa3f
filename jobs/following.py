"""Questions about the result of a completed job, each a job of its own."""

from dataclasses import dataclass
from datetime import datetime

from jobs.access import Action, NotNow, require
from jobs.actions import Submitted, lane_of, submit
from jobs.models import Job, JobType, Lane, Review, User, Workspace

#: Follow-ups that a page shows of one job.
MOST_SHOWN = 50


@dataclass(frozen=True)
class Terms:
    """What holds for a follow-up, its parent's rules included."""

    lane: Lane
    review: Review


def find_type(workspace: Workspace) -> JobType | None:
    """The type that answers follow-up questions in a workspace: one of its own goes before the
    shared one. None where they are switched off."""
    types = JobType.objects.of(workspace).open().filter(follows=True).order_by("slug")
    found = types.select_related("current_version")
    return min(found, key=lambda one: one.workspace_id is None, default=None)


def follow_up_type(workspace: Workspace) -> JobType:
    """The same. Raises `NotNow` where there is none."""
    job_type = find_type(workspace)
    if job_type is None:
        raise NotNow(f"Follow-up questions are switched off in {workspace}.")
    return job_type


def terms(parent: Job, job_type: JobType) -> Terms:
    types = [job_type, *parent.ruling_types()]
    review = Review.strictest(one.review for one in types)
    return Terms(Lane(lane_of(job_type, parent)), review)


def follow_up(
    job: Job,
    *,
    requester: User,
    question: str,
    section: str = "",
    idempotency_key: str = "",
    now: datetime,
) -> Submitted:
    """Ask about the result of `job`, or about one section of it.

    Raises `NotAllowed` and `NotNow` by the rule, `NotNow` too where no type answers follow-up
    questions, and `BadInput`; then nothing is stored.
    """
    require(requester, job, Action.FOLLOW_UP)
    asked = {"question": question.strip(), "section": section.strip()}
    return submit(
        follow_up_type(job.workspace),
        requester=requester,
        workspace=job.workspace,
        input={name: text for name, text in asked.items() if text},
        idempotency_key=idempotency_key,
        parent=job,
        now=now,
    )


def follow_ups(user: User, job: Job) -> list[Job]:
    """The last questions asked about `job` that `user` may see, the newest first."""
    asked = Job.objects.visible_to(user).filter(parent=job, job_type__follows=True)
    return list(asked.select_related("job_type", "requester").order_by("-id")[:MOST_SHOWN])
