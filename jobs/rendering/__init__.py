"""What models and people wrote, made fit to be seen: pure, without queries and requests.

All of it is hostile. What becomes HTML here goes through `sanitizer.sanitized` last; everything
else is text, which templates escape.
"""

from jobs.rendering.results import (
    FileView,
    ResultView,
    SourceView,
    draft,
    result_view,
    section_names,
)
from jobs.rendering.steps import TurnView, turns
from jobs.rendering.usage import UsageRow, usage_rows

__all__ = [
    "FileView",
    "ResultView",
    "SourceView",
    "TurnView",
    "UsageRow",
    "draft",
    "result_view",
    "section_names",
    "turns",
    "usage_rows",
]
