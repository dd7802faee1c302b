"""Answers as bytes, and how they appear in the OpenAPI document.

Decides that a good answer is one struct, encoded once by msgspec (a page of 1,000 DAGs takes milliseconds), and that
its JSON schema stands in the OpenAPI document under the struct's name. Does not decide what is answered. Used by
every route; `app` completes the document with `response_schemas`.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from enum import Enum
from typing import Any

import msgspec
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.responses import Response

from dagdeck_master.api.models import admin, assets, dags, human, own, runs

JSON = "application/json"
_REF = "#/components/schemas/{name}"


def reply(answer: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """`answer` as a JSON answer."""
    return Response(msgspec.json.encode(answer), status, headers, media_type=JSON)


def no_content() -> Response:
    """204: done, and nothing to say."""
    return Response(status_code=204)


def documented(answer: type[msgspec.Struct] | None, status: int = 200, *, also: tuple[str, ...] = ()) -> dict[str, Any]:
    """Arguments for a route: its OpenAPI entry says that it answers `answer`, and in which other media types."""
    content: dict[str, Any] = {}
    if answer is not None:
        content[JSON] = {"schema": {"$ref": _REF.format(name=answer.__name__)}}
    for media_type in also:
        content[media_type] = {"schema": {"type": "string"}}
    good: dict[str, Any] = {"description": "Successful Response"}
    if content:
        good["content"] = content
    problem = {"content": {JSON: {"schema": {"$ref": _REF.format(name="ProblemResponse")}}}}
    bad = {code: {"description": text, **problem} for code, text in _PROBLEMS.items()}
    return {
        "status_code": status,
        "response_model": None,
        "response_class": Response,
        "openapi_extra": {"responses": {str(status): good, **bad}},
    }


_PROBLEMS = {
    "400": "Bad Request",
    "401": "Unauthorized",
    "403": "Forbidden",
    "404": "Not Found",
    "409": "Conflict",
    "503": "Service Unavailable",
}


def _answers() -> Iterator[type[msgspec.Struct]]:
    """Every struct that the modules of `models` define."""
    for module in (dags, runs, admin, own, human, assets):
        for value in vars(module).values():
            is_answer = isinstance(value, type) and issubclass(value, msgspec.Struct)
            if is_answer and value.__module__ == module.__name__ and not value.__name__.startswith("_"):
                yield value


def response_schemas() -> dict[str, Any]:
    """JSON schema of every answer by its name."""
    _, components = msgspec.json.schema_components(list(_answers()), ref_template=_REF)
    return components


def openapi_document(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI document of `app`, made on first use and kept."""
    if app.openapi_schema is None:
        document = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
        schemas = document.setdefault("components", {}).setdefault("schemas", {})
        schemas.update(response_schemas())
        app.openapi_schema = document
    return app.openapi_schema


def wire_state(state: Enum | None) -> str | None:
    """A task instance's state as Airflow shows it: none is null."""
    if state is None or state.value == "none":
        return None
    return str(state.value)


def seconds_between(start: datetime | None, end: datetime | None) -> float | None:
    """Seconds from `start` to `end`; None while one is missing."""
    return None if start is None or end is None else (end - start).total_seconds()
