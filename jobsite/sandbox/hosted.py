"""The hosted tools that work on files: file_search and code_interpreter, checked as the API does."""

from __future__ import annotations

from typing import Any

from .errors import ApiError
from .file_search import check_filters
from .listing import whole_number, wrong_type, wrong_value


def check_tool(tool: dict[str, Any], where: str) -> None:
    """Raises ApiError (400) for a file_search or code_interpreter that is not sound."""
    if tool["type"] == "file_search":
        _check_file_search(tool, where)
    elif tool["type"] == "code_interpreter":
        _check_code_interpreter(tool, where)


def _missing(param: str) -> ApiError:
    return ApiError(
        f"Missing required parameter: '{param}'.", param=param, code="missing_required_parameter"
    )


def _check_strings(value: Any, param: str) -> None:
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise wrong_type(param, "a list of strings")


def _check_file_search(tool: dict[str, Any], where: str) -> None:
    if tool.get("vector_store_ids") in (None, []):
        raise _missing(f"{where}.vector_store_ids")
    _check_strings(tool["vector_store_ids"], f"{where}.vector_store_ids")
    if tool.get("max_num_results") is not None:
        whole_number(tool["max_num_results"], param=f"{where}.max_num_results", low=1, high=50)
    check_filters(tool.get("filters"), param=f"{where}.filters")
    ranking = tool.get("ranking_options")
    if not isinstance(ranking, dict | None):
        raise wrong_type(f"{where}.ranking_options", "an object")
    least = (ranking or {}).get("score_threshold")
    if not isinstance(least, int | float | None) or not 0 <= (least or 0) <= 1:
        raise wrong_value(f"{where}.ranking_options.score_threshold", "it must be 0 to 1.")


def _check_code_interpreter(tool: dict[str, Any], where: str) -> None:
    container = tool.get("container")
    if container in (None, ""):
        raise _missing(f"{where}.container")
    if isinstance(container, str):
        return
    if not isinstance(container, dict):
        raise wrong_type(f"{where}.container", "a container id or an object")
    if container.get("type") != "auto":
        raise wrong_value(f"{where}.container.type", "it must be 'auto'.")
    if container.get("file_ids") is not None:
        _check_strings(container["file_ids"], f"{where}.container.file_ids")
