from jobs.models.attempts import ENDED, OPEN, Attempt, Cause, LiveText, State, Turn
from jobs.models.calls import (
    RAN,
    CallEffect,
    CallKind,
    CallOutcome,
    CallState,
    FunctionCall,
)
from jobs.models.carried import AWAY, KEPT, Carried, ProviderFile, ProviderStore
from jobs.models.edits import ResultEdit
from jobs.models.engine import SweepSlot, WebhookReceipt
from jobs.models.gates import Gate, GateKind
from jobs.models.jobs import LIVE, SETTLED, Carry, Document, Event, Job, Seal, Status, Verb
from jobs.models.ladder import Approval, ReviewLevel
from jobs.models.library import LibraryDocument, LibraryPassage, LibrarySource, LibraryTerm
from jobs.models.own_requests import own_refused
from jobs.models.prices import Price, Tier, ToolFee
from jobs.models.results import Citation, FetchedFile, Result, ResultFile, ToolCall
from jobs.models.rules import Review
from jobs.models.types import (
    OPTIONS,
    Carriage,
    JobType,
    Lane,
    Live,
    OnIncomplete,
    PromptVersion,
)
from jobs.models.uploads import StagedUpload
from jobs.models.workspaces import SEES_ALL, Membership, Role, User, Workspace

__all__ = [
    "ENDED",
    "LIVE",
    "OPEN",
    "OPTIONS",
    "SEES_ALL",
    "SETTLED",
    "Approval",
    "Attempt",
    "Cause",
    "Citation",
    "Document",
    "Event",
    "FetchedFile",
    "Gate",
    "GateKind",
    "Job",
    "JobType",
    "Lane",
    "LibraryDocument",
    "LibraryPassage",
    "LibrarySource",
    "LibraryTerm",
    "Membership",
    "OnIncomplete",
    "Price",
    "PromptVersion",
    "Result",
    "ResultEdit",
    "ResultFile",
    "Review",
    "ReviewLevel",
    "Role",
    "Seal",
    "StagedUpload",
    "State",
    "Status",
    "SweepSlot",
    "Tier",
    "ToolCall",
    "ToolFee",
    "Turn",
    "User",
    "Verb",
    "WebhookReceipt",
    "Workspace",
    "RAN",
    "CallEffect",
    "CallKind",
    "CallOutcome",
    "CallState",
    "FunctionCall",
    "AWAY",
    "KEPT",
    "Carried",
    "Carry",
    "ProviderFile",
    "ProviderStore",
    "Carriage",
    "Live",
    "LiveText",
    "own_refused",
]
