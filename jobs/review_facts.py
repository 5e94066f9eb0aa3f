"""What the review rules are told of a result, read from the rows. What no rule needs is not read."""

from collections.abc import Collection, Sequence

from django.conf import settings
from django.db.models import QuerySet

from jobs import reviewing
from jobs.access import roles_of
from jobs.lifecycle import Reason
from jobs.models import Attempt, Cause, Gate, GateKind, Job, JobType, PromptVersion, Result, Verb
from jobs.reviewing import RECORD, SAYS_NOTHING, Approvals, Facts

#: Warnings after which nobody knows what else the answer held.
_NOT_SEEN_WHOLE = frozenset({"unreadable", "turn_unreadable", "cut"})
#: Warnings of structured output that does not fit, or was not held against its schema.
_MISFITS = frozenset({"schema_violation", "schema_unusable", "not_json"})

#: Reviews of one job, as far as they are usual.
_REVIEWS_EACH = 10


def review_reasons(job: Job, result: Result) -> tuple[Reason, ...]:
    """Why a person must see `result` of a `locked` job first. Empty: nobody has to."""
    types = job.ruling_types()
    return reviewing.reasons(types, facts(job, result, types))


def facts(job: Job, result: Result, types: Sequence[JobType]) -> Facts:
    codes = {str(warning.get("code", "")) for warning in result.warnings}
    steps = result.tool_calls.values_list("kind", "name").distinct()
    adapts = any(one.review_share_adapts for one in types)
    return Facts(
        incomplete=result.partial,
        sent_back=_sent_back(result.attempt),
        warnings=len(result.warnings),
        fits_schema=_fits(job.prompt_version, result, codes),
        citations=_count(result, types),
        cost=job.cost_usd,
        tools=frozenset(part for step in steps for part in step if part)
        if any(one.review_tools for one in types)
        else frozenset(),
        seen_whole=not codes & _NOT_SEEN_WHOLE,
        before=_before(job, most=max(one.review_first for one in types)),
        roles=roles_of(job.requester, job.workspace_id)
        if any(one.review_roles for one in types)
        else frozenset(),
        approvals=approvals(job.prompt_version, [job.workspace_id]) if adapts else Approvals(),
        draw=reviewing.draw(job.pk, key=settings.AUDIT_KEY),
    )


def _sent_back(attempt: Attempt) -> bool:
    """Whether it was made with what a reviewer had said; a try after a passing fault still is."""
    if attempt.cause != Cause.AUTOMATIC:
        return attempt.cause == Cause.CHANGES
    asked = Attempt.objects.filter(job=attempt.job_id).exclude(cause=Cause.AUTOMATIC)
    last = asked.order_by("-number").first()
    return last is not None and last.cause == Cause.CHANGES


def approvals(version: PromptVersion, workspaces: Collection[int] | None) -> Approvals:
    """How the last results of a version that were decided in these workspaces ended. None means in
    all of them, which no rule goes by: nobody's approvals thin out the reviews of others."""
    decided = _reviews(version).filter(closed_at__isnull=False)
    if workspaces is not None:
        decided = decided.filter(workspace__in=workspaces)
    last = decided.order_by("-closed_at", "-id")[:RECORD]
    ended = list(last.values_list("outcome", "content_hash", "result__content_hash"))
    # What was approved, and is not what was produced, somebody has changed.
    unchanged = sum(
        outcome == Verb.APPROVED and approved == produced for outcome, approved, produced in ended
    )
    return Approvals(unchanged, len(ended) - unchanged)


def _reviews(version: PromptVersion) -> QuerySet[Gate]:
    gates = Gate.objects.filter(prompt_version=version, kind=GateKind.OUTPUT)
    return gates.exclude(outcome__in=SAYS_NOTHING)


def _before(job: Job, *, most: int) -> int:
    """How many other jobs of its version were put before a person in its workspace, up to `most`.
    Of two that finish at the same time neither may see the other: then both are among the first.

    Only the last reviews are looked at, a few for each job, so that an index answers however many
    there are: at worst more is reviewed than has to be.
    """
    if not most:
        return 0
    others = _reviews(job.prompt_version).filter(workspace=job.workspace_id).exclude(job=job)
    last = others.order_by("-closed_at", "-id").values_list("job", flat=True)
    return min(most, len(set(last[: _REVIEWS_EACH * most])))


def _count(result: Result, types: Sequence[JobType]) -> int:
    asked = any(one.review_without_citations for one in types)
    return result.citations.count() if asked else 0


def _fits(version: PromptVersion, result: Result, codes: set[str]) -> bool:
    return not version.output_schema or (result.structured is not None and not codes & _MISFITS)
