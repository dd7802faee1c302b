"""What can go wrong between a client and the control API, each with an exception of its own.

Decides how an answer's status and `detail` become an error with a sentence for people. Does not decide what a
caller does about it: the command line maps each class to an exit code, the desktop to a banner.
"""

from __future__ import annotations

from typing import Any

import msgspec

from dagdeck_core.errors import EnvironmentFault, UserError


class Unreachable(EnvironmentFault):
    """No answer: connection refused, name unknown, TLS failure or time-out."""


class ServerFault(EnvironmentFault):
    """The server answered 5xx, or something that is not its API."""

    def __init__(self, message: str, *, status: int = 0, transient: bool = True, action_id: int | None = None) -> None:
        super().__init__(message, transient=transient)
        self.status = status
        self.action_id = action_id


class VersionMismatch(EnvironmentFault):
    """The server speaks another version of DagDeck's API than this client."""

    def __init__(self, message: str, *, remedy: str) -> None:
        super().__init__(message, transient=False, remedy=remedy)


class ApiRefusal(UserError):
    """The server understood and said no. `status` is the HTTP status, `detail` what it answered."""

    def __init__(self, message: str, *, status: int, detail: Any = None, remedy: str = "") -> None:
        super().__init__(message, remedy=remedy)
        self.status = status
        self.detail = detail


class NotAuthenticated(ApiRefusal):
    """401: no token, or one that is unknown or has expired."""


class NotAllowed(ApiRefusal):
    """403: the token's role may not do this."""


class NotFound(ApiRefusal):
    """404: the thing asked for does not exist."""


class Conflict(ApiRefusal):
    """409: it exists already, or its state forbids this."""


class BadRequest(ApiRefusal):
    """400 or 422: something in the request is wrong."""


_REFUSALS: dict[int, type[ApiRefusal]] = {
    400: BadRequest,
    401: NotAuthenticated,
    403: NotAllowed,
    404: NotFound,
    409: Conflict,
    422: BadRequest,
}
_REMEDIES = {
    401: "Log in with `dagdeck auth login`, or give a token with --token or DAGDECK_TOKEN",
    403: "Ask an administrator for a role that allows it",
}


def error_of(status: int, content: bytes) -> ApiRefusal | ServerFault:
    """The exception that an answer with `status` ≥ 400 stands for."""
    body = _decoded(content)
    detail = body.get("detail") if isinstance(body, dict) else None
    message = describe_detail(detail) or f"the server answered with HTTP status {status}"
    if status >= 500:
        action_id = body.get("action_id") if isinstance(body, dict) else None
        return ServerFault(message, status=status, action_id=action_id if isinstance(action_id, int) else None)
    kind = _REFUSALS.get(status, ApiRefusal)
    return kind(message, status=status, detail=detail, remedy=_REMEDIES.get(status, ""))


def describe_detail(detail: Any) -> str:
    """A FastAPI or Airflow `detail` as one sentence; "" when there is nothing to say."""
    if isinstance(detail, str):
        return detail
    if isinstance(detail, dict):
        return str(detail.get("reason") or detail.get("message") or detail)
    if isinstance(detail, list):
        return "; ".join(_describe_problem(item) for item in detail)
    return ""


def _describe_problem(item: Any) -> str:
    """One entry of a validation error: where, and what is wrong there."""
    if not isinstance(item, dict):
        return str(item)
    place = ".".join(str(part) for part in item.get("loc", ()) if part not in ("body", "query", "path"))
    message = str(item.get("msg", item))
    return f"{place}: {message}" if place else message


def _decoded(content: bytes) -> Any:
    try:
        return msgspec.json.decode(content)
    except msgspec.DecodeError:
        return None
