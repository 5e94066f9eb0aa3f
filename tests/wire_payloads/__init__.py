"""Answers as the provider sends them, one file for each type of item and each status.

Written after the published description of the API; `tests/jobs/test_item_types.py` holds them
against the SDK's types.
"""

import json
from pathlib import Path
from typing import Any

_HERE = Path(__file__).parent


def names(folder: str) -> list[str]:
    return sorted(path.stem for path in (_HERE / folder).glob("*.json"))


def items(name: str) -> list[dict[str, Any]]:
    """The items of an answer's output."""
    found: list[dict[str, Any]] = json.loads((_HERE / "items" / f"{name}.json").read_text())
    return found


def response(name: str) -> dict[str, Any]:
    """A whole response object."""
    found: dict[str, Any] = json.loads((_HERE / "responses" / f"{name}.json").read_text())
    return found
