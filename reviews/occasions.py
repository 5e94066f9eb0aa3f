"""Which events people are told of, and as what. Pure: verbs and statuses are read by their names."""

from collections.abc import Mapping
from datetime import datetime

from jobs.models import Status
from reviews.models import ASKS, NoticeKind

#: Events of a review that goes on.
WITHIN_REVIEW: Mapping[str, tuple[NoticeKind, ...]] = {
    "escalated": (NoticeKind.ESCALATED,),
    "assigned": (NoticeKind.ASSIGNED,),
    # To somebody, or to nobody in particular.
    "reassigned": (NoticeKind.ASSIGNED, NoticeKind.NEEDS_REVIEW),
    "approval_given": (NoticeKind.NEEDS_REVIEW,),
    "reminded": (NoticeKind.REMINDED,),
    "overdue": (NoticeKind.OVERDUE,),
}
#: Those of them after which whoever did them has no more to do.
DOES_ONES_PART = frozenset({"approval_given"})
#: Those of them after which other people are asked: what was asked before is settled.
ASKS_OTHERS = frozenset({"escalated", "assigned", "reassigned"})
#: A failure by a person's ruling is an end like others, and no fault.
RULED = frozenset({"rejected"})
_ENDS = frozenset({Status.COMPLETED, Status.CANCELED, Status.EXPIRED})


def kinds(verb: str, from_status: str, to_status: str) -> tuple[NoticeKind, ...]:
    """What an event makes people be told of; nothing for most."""
    if to_status == Status.NEEDS_REVIEW:
        return (NoticeKind.NEEDS_REVIEW,)
    if to_status in _ENDS or (to_status == Status.FAILED and verb in RULED):
        return (NoticeKind.FINISHED,)
    if to_status == Status.FAILED:
        return (NoticeKind.FAILED, NoticeKind.TROUBLE)
    if not to_status and verb in WITHIN_REVIEW:
        return WITHIN_REVIEW[verb]
    return ()


def settles(verb: str, from_status: str, to_status: str) -> bool:
    """Whether what was asked of people before the event needs them no more."""
    if from_status == Status.NEEDS_REVIEW:
        return True
    return not to_status and verb in ASKS_OTHERS


def grouped_as(workspace: int, cause: str, at: datetime) -> str:
    """Failures of one cause in one quarter of an hour are one notice."""
    quarter = at.replace(minute=at.minute - at.minute % 15)
    return f"{workspace}:{quarter:%Y%m%dT%H%M}:{cause}"


#: What happened, in a sentence that begins with the job.
_SAID = {
    NoticeKind.NEEDS_REVIEW: "needs your review",
    NoticeKind.ESCALATED: "was escalated to you",
    NoticeKind.ASSIGNED: "was assigned to you for review",
    NoticeKind.REMINDED: "still waits for your review",
    NoticeKind.OVERDUE: "is overdue for review",
    NoticeKind.FINISHED: "has ended",
    NoticeKind.FAILED: "failed",
    NoticeKind.MENTIONED: "has a note that mentions you",
}
_ENDED = {
    "approved": "was approved",
    "rejected": "was rejected",
    "completed": "is completed",
    "canceled": "was canceled",
    "expired": "expired",
}


def said(kind: NoticeKind, happened: str, *, times: int = 1, done: bool = False) -> str:
    """What a notice says of its job: "needs your review". `happened` is the event's verb; `done`:
    nothing is left to do about it."""
    if done and kind in ASKS:
        return "needed a review"
    if kind is NoticeKind.TROUBLE:
        return "failed" if times == 1 else f"and {times - 1} more failed in the same way"
    if kind is NoticeKind.FINISHED:
        return _ENDED.get(happened, _SAID[kind])
    return _SAID[kind]
