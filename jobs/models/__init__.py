from jobs.models.attempts import ENDED, OPEN, Attempt, Cause, State, Turn
from jobs.models.engine import SweepSlot, WebhookReceipt
from jobs.models.gates import Gate, GateKind
from jobs.models.jobs import LIVE, SETTLED, Document, Event, Job, Seal, Status, Verb
from jobs.models.results import Citation, Result, ResultFile, ToolCall
from jobs.models.types import OPTIONS, JobType, Lane, OnIncomplete, PromptVersion, Review
from jobs.models.uploads import StagedUpload
from jobs.models.workspaces import SEES_ALL, Membership, Role, User, Workspace

__all__ = [
    "ENDED",
    "LIVE",
    "OPEN",
    "OPTIONS",
    "SEES_ALL",
    "SETTLED",
    "Attempt",
    "Cause",
    "Citation",
    "Document",
    "Event",
    "Gate",
    "GateKind",
    "Job",
    "JobType",
    "Lane",
    "Membership",
    "OnIncomplete",
    "PromptVersion",
    "Result",
    "ResultFile",
    "Review",
    "Role",
    "Seal",
    "StagedUpload",
    "State",
    "Status",
    "SweepSlot",
    "ToolCall",
    "Turn",
    "User",
    "Verb",
    "WebhookReceipt",
    "Workspace",
]
