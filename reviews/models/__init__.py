from reviews.models.bulk import (
    UNDER_WAY,
    BulkAction,
    BulkItem,
    BulkState,
    Hindrance,
    Outcome,
)
from reviews.models.decisions import CLOSING, REASONS, Decision, Ruling
from reviews.models.delivery import (
    OVER,
    Channel,
    Delivery,
    DeliveryState,
    Endpoint,
    Extent,
    Route,
    address_fault,
)
from reviews.models.letters import Letter, LetterEnd, LetterKind
from reviews.models.notes import ReviewerNote
from reviews.models.notices import (
    ASKS,
    DEFAULTS,
    PERSONAL,
    DigestTime,
    How,
    Notice,
    NoticeChoice,
    NoticeKind,
    Occurrence,
)
from reviews.models.reasons import ReasonCode
from reviews.models.seen import Seen
from reviews.models.views import SavedView

__all__ = [
    "ASKS",
    "BulkAction",
    "BulkItem",
    "BulkState",
    "CLOSING",
    "Channel",
    "DEFAULTS",
    "Decision",
    "Delivery",
    "DeliveryState",
    "DigestTime",
    "Endpoint",
    "Extent",
    "Hindrance",
    "How",
    "Letter",
    "LetterEnd",
    "LetterKind",
    "Notice",
    "NoticeChoice",
    "NoticeKind",
    "OVER",
    "Occurrence",
    "Outcome",
    "PERSONAL",
    "REASONS",
    "ReasonCode",
    "ReviewerNote",
    "Route",
    "Ruling",
    "SavedView",
    "Seen",
    "UNDER_WAY",
    "address_fault",
]
