"""Pages of lists, and the checks that several endpoints share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .errors import ApiError


def page(
    query: Mapping[str, str], bodies: list[dict[str, Any]], *, default: int = 20, most: int = 100
) -> dict[str, Any]:
    """A page of objects, which are given oldest first; newest first unless ``order`` is ``asc``.

    Raises ApiError (400) for a limit or an order that makes no sense.
    """
    try:
        limit = int(query.get("limit", default))
    except ValueError:
        limit = 0
    if not 1 <= limit <= most:
        raise ApiError(
            f"Invalid 'limit': it must be 1 to {most}.", param="limit", code="invalid_value"
        )
    order = query.get("order", "desc")
    if order not in ("asc", "desc"):
        raise ApiError("Invalid 'order': asc or desc.", param="order", code="invalid_value")
    ordered = bodies if order == "asc" else bodies[::-1]
    ids = [body["id"] for body in ordered]
    if (after := query.get("after")) is not None:
        ordered = ordered[ids.index(after) + 1 :] if after in ids else []
    elif (before := query.get("before")) is not None:
        ordered = ordered[: ids.index(before)] if before in ids else []
        ordered = ordered[-limit:]
    data = ordered[:limit]
    return {
        "object": "list",
        "data": data,
        "first_id": data[0]["id"] if data else None,
        "last_id": data[-1]["id"] if data else None,
        "has_more": len(ordered) > limit,
    }


def wrong_type(param: str, wanted: str) -> ApiError:
    return ApiError(
        f"Invalid type for '{param}': expected {wanted}.", param=param, code="invalid_type"
    )


def wrong_value(param: str, why: str) -> ApiError:
    return ApiError(f"Invalid '{param}': {why}", param=param, code="invalid_value")


def whole_number(value: Any, *, param: str, low: int, high: int) -> int:
    """A number of a body. Raises ApiError (400)."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise wrong_type(param, "a whole number")
    if not low <= value <= high:
        raise wrong_value(param, f"it must be {low} to {high}.")
    return value


def pairs(value: Any, *, param: str, strings: bool) -> dict[str, Any]:
    """At most 16 short pairs; the values are strings, or also numbers and booleans. None is {}."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise wrong_type(param, "an object")
    if len(value) > 16:
        raise ApiError(
            f"Invalid '{param}': {len(value)} pairs, but at most 16 are allowed.",
            param=param,
            code="object_above_max_properties",
        )
    for key, part in value.items():
        if not isinstance(part, str if strings else str | int | float):
            raise wrong_type(f"{param}.{key}", "a string" if strings else "a string or a number")
        if len(key) > 64 or (isinstance(part, str) and len(part) > 512):
            raise ApiError(
                f"Invalid '{param}': a key has at most 64 characters, and a value 512.",
                param=param,
                code="string_above_max_length",
            )
    return value
