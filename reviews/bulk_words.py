"""What pages say of one ruling on many jobs."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from reviews.actions import NEEDS_NOTE
from reviews.models import BulkAction, BulkItem, Outcome, Ruling


@dataclass(frozen=True)
class BulkOffer:
    """A button. `consequence` is what each job comes to, `done` what was done to it, and `asks` the
    label of the note; `kind` is "primary", "danger" or "plain"."""

    ruling: Ruling
    icon: str
    kind: str
    consequence: str
    done: str
    asks: str = "Note"
    reader: str = "It stays in the history of each job."

    @property
    def label(self) -> str:
        return self.ruling.label

    @property
    def needs_note(self) -> bool:
        return self.ruling in NEEDS_NOTE


_WORDS = (
    BulkOffer(
        Ruling.APPROVE,
        "check",
        "primary",
        "Each is completed with the result that it has now, and whoever asked for it can read it. "
        "Where several must approve, yours counts as one of them.",
        "approved",
    ),
    BulkOffer(
        Ruling.REJECT,
        "x",
        "danger",
        "Each fails. What it produced is kept as evidence and is never delivered.",
        "rejected",
        "Why are they rejected?",
        "Whoever asked for one of them reads this.",
    ),
    BulkOffer(
        Ruling.ESCALATE,
        "arrow-up",
        "plain",
        "Each review moves up a level and is due anew.",
        "escalated",
        "What should be decided there?",
    ),
    BulkOffer(
        Ruling.REASSIGN,
        "user",
        "plain",
        "Each review waits for that person. Others who may decide it still can.",
        "reassigned",
    ),
    BulkOffer(
        Ruling.RETRY,
        "rotate-ccw",
        "plain",
        "Each runs again from the start, as a new attempt that is paid for. What it produced is kept "
        "as evidence and is never delivered.",
        "tried again",
        "Why are they tried again?",
    ),
    BulkOffer(
        Ruling.CANCEL,
        "ban",
        "danger",
        "Each ends here. What it produced is kept as evidence and is never delivered.",
        "canceled",
        "Why are they canceled?",
    ),
)
_BY_RULING = {offer.ruling: offer for offer in _WORDS}


@dataclass(frozen=True)
class Line:
    """A job of a bulk action, and what is said of it."""

    item: BulkItem
    says: str


def offer_of(ruling: Ruling) -> BulkOffer:
    return _BY_RULING[ruling]


def offer_for(action: BulkAction) -> BulkOffer:
    """The one of an action, with whom it is about."""
    offer = offer_of(Ruling(action.ruling))
    return replace(offer, done=f"{offer.done} to {action.assignee}") if action.assignee else offer


def lines(items: Iterable[BulkItem], more: Mapping[int, int]) -> list[Line]:
    """`more` is how many others must approve, by the item's key (`reviews.bulk.more_needed`)."""
    return [Line(item, item.said or _says(item, more.get(item.pk))) for item in items]


def shared_counts(more: Mapping[int, int]) -> list[tuple[str, int]]:
    """What became of approvals that others had to join, each with how many there are of it."""
    found = sorted(Counter(more.values()).items(), reverse=True)
    return [(_shared(number), count) for number, count in found]


def _says(item: BulkItem, more: int | None) -> str:
    if more is None:
        return ""
    if item.outcome == Outcome.PENDING:
        return f"After you, {more} more must approve."
    return f"{_shared(more)}."


def _shared(more: int) -> str:
    return f"Approved by you, {more} more must" if more else "Approved by you, and decided since"
