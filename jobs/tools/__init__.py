"""Functions that a model may call: registered with `tool`, run by `jobs.calls`."""

from jobs.tools.registry import (
    Tool,
    ToolContext,
    ToolProblem,
    find,
    may_change,
    offered,
    tool,
)

__all__ = ["Tool", "ToolContext", "ToolProblem", "find", "may_change", "offered", "tool"]
