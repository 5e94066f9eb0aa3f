"""What a response holds, read out of its payload: pure, and never an error.

A payload may hold anything: types that nobody has seen yet, missing parts, wrong kinds. What is
understood becomes text, structured output, citations, steps and files; what is not is kept as a
step of its own type, so that a reviewer still sees it.
"""

from jobs.evidence.files import FetchedFile, InlineFile, content_type
from jobs.evidence.parts import (
    DocumentText,
    Evidence,
    Part,
    Source,
    ToolUse,
    Warned,
    content_hash,
)
from jobs.evidence.reading import MOST_SOURCES, MOST_TOOL_USES, read
from jobs.evidence.structured import MOST_COUNTED, MOST_VIOLATIONS
from jobs.evidence.usage import summed

__all__ = [
    "MOST_COUNTED",
    "MOST_SOURCES",
    "MOST_TOOL_USES",
    "MOST_VIOLATIONS",
    "DocumentText",
    "Evidence",
    "FetchedFile",
    "InlineFile",
    "Part",
    "Source",
    "ToolUse",
    "Warned",
    "content_hash",
    "content_type",
    "read",
    "summed",
]
