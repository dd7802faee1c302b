"""Refusals and failures of a request, and how each becomes an HTTP answer.

Decides status codes and the `{"detail": …}` shape (Airflow's and FastAPI's), that every failure is logged with its
request's id, and that a traceback never leaves the process. Does not decide when a request is refused: routes and
queries raise `ApiProblem`. Installed by `app.create_app`.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NoReturn

import msgspec
from fastapi import FastAPI, Request
from fastapi.encoders import jsonable_encoder
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from sqlalchemy import exc as sql_errors
from starlette.exceptions import HTTPException

from dagdeck_core.errors import DagDeckError, EnvironmentFault, UserError

_logger = logging.getLogger(__name__)

DATABASE_DOWN = "The metadata database cannot be reached at the moment. Nothing was changed; try again in a while."


class ApiProblem(Exception):
    """A request that is refused with `status`. `extra` stands beside `detail` in the answer."""

    def __init__(
        self,
        status: int,
        detail: Any,
        *,
        headers: dict[str, str] | None = None,
        extra: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(str(detail))
        self.status = status
        self.detail = detail
        self.headers = headers
        self.extra = extra or {}


def not_found(what: str, **names: object) -> NoReturn:
    """Refuse with 404, saying what was looked for."""
    shown = ", ".join(f"{name}: `{value}`" for name, value in names.items())
    raise ApiProblem(404, f"{what} with {shown} was not found")


def request_id_of(request: Request) -> str:
    """The id that the request's log lines and its answer carry."""
    return str(request.scope.get("state", {}).get("request_id", "-"))


def _answer(status: int, body: dict[str, Any], headers: dict[str, str] | None = None) -> Response:
    return Response(msgspec.json.encode(body), status, headers, media_type="application/json")


async def _told(request: Request, status: int, detail: Any, extra: Mapping[str, Any] | None = None) -> None:
    """Let a refusal be recorded before it is answered."""
    await request.app.state.on_refusal(request, status, detail, extra or {})


async def _problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, ApiProblem)
    await _told(request, error.status, error.detail, error.extra)
    if error.status >= 500:
        _logger.warning("%s: %s", request.url.path, error.detail, extra={"request_id": request_id_of(request)})
    return _answer(error.status, {"detail": error.detail, **error.extra}, error.headers)


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    await _told(request, error.status_code, error.detail)
    return _answer(error.status_code, {"detail": error.detail}, dict(error.headers or {}))


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    # A body's values are not repeated: they may be passwords, and answers end in the logs of clients and proxies.
    found = [
        {name: value for name, value in each.items() if name != "input" or tuple(each.get("loc", ()))[:1] != ("body",)}
        for each in error.errors()
    ]
    problems = jsonable_encoder(found, custom_encoder={Exception: str, bytes: lambda data: repr(data[:200])})
    await _told(request, 422, problems)
    return _answer(422, {"detail": problems})


async def _user_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, UserError)
    await _told(request, 400, error)
    return _answer(400, {"detail": str(error)})


async def _environment(request: Request, error: Exception) -> Response:
    assert isinstance(error, (EnvironmentFault, sql_errors.SQLAlchemyError))
    request_id = request_id_of(request)
    _logger.warning("%s failed: %s", request.url.path, error, extra={"request_id": request_id})
    detail = str(error) if isinstance(error, EnvironmentFault) else DATABASE_DOWN
    return _answer(503, {"detail": detail, "request_id": request_id}, {"Retry-After": "2"})


async def _sql(request: Request, error: Exception) -> Response:
    """Connection trouble is the environment's; any other SQL error is a bug of ours."""
    if isinstance(error, (sql_errors.OperationalError, sql_errors.InterfaceError, sql_errors.TimeoutError)) or (
        isinstance(error, sql_errors.DBAPIError) and error.connection_invalidated
    ):
        return await _environment(request, error)
    return await _bug(request, error)


async def _bug(request: Request, error: Exception) -> Response:
    request_id = request_id_of(request)
    _logger.error(
        "%s %s failed unexpectedly (request %s)",
        request.method,
        request.url.path,
        request_id,
        exc_info=error,
        extra={"request_id": request_id},
    )
    detail = f"The server met an unexpected error; its log has the details under request id {request_id}"
    return _answer(500, {"detail": detail, "request_id": request_id})


OnRefusal = Callable[[Request, int, Any, Mapping[str, Any]], Awaitable[None]]


def install_error_handlers(app: FastAPI, on_refusal: OnRefusal) -> None:
    """Give every kind of failure its answer; `on_refusal` hears of each refusal before it is answered.

    All are registered for their own class, never for Exception: the outermost layer would log a second time and
    pass the exception on to the server.
    """
    app.state.on_refusal = on_refusal
    app.add_exception_handler(ApiProblem, _problem)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(UserError, _user_error)
    app.add_exception_handler(EnvironmentFault, _environment)
    app.add_exception_handler(DagDeckError, _bug)
    app.add_exception_handler(sql_errors.SQLAlchemyError, _sql)


async def answer_unexpected(request: Request, error: Exception) -> Response:
    """The answer to an exception that no handler is registered for; called by the request layer."""
    return await _bug(request, error)
