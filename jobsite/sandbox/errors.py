"""What is said when a request is refused: OpenAI's error envelope."""

from __future__ import annotations

from typing import Any


def envelope(
    message: str, *, type: str | None, param: str | None, code: str | None
) -> dict[str, Any]:
    """The body of every refused request: ``{"error": {message, type, param, code}}``."""
    return {"error": {"message": message, "type": type, "param": param, "code": code}}


class ApiError(Exception):
    """A request that is answered with an HTTP error; raised anywhere, answered in one place."""

    def __init__(
        self,
        message: str,
        *,
        status: int = 400,
        type: str = "invalid_request_error",
        param: str | None = None,
        code: str | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.body = envelope(message, type=type, param=param, code=code)


def response_not_found(response_id: str) -> ApiError:
    return ApiError(f"Response with id '{response_id}' not found.", status=404)
