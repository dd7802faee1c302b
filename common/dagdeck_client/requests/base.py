"""The values that travel between a request builder and a transport.

Decides how a query is spelled, how a body is encoded and which answers are errors. Does not know any resource.
Used by every module of this package and by `dagdeck_client.transport`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Any, Generic, TypeVar
from urllib.parse import quote

import msgspec

from dagdeck_client.errors import ServerFault, error_of

API = "/api/v2"
OWN_API = "/api/dagdeck/v1"
API_VERSION = "1"
"""The version of DagDeck's API that this client speaks."""
VERSION_HEADER = "dagdeck-api-version"
ANY = "~"
"""Airflow's wildcard in place of a dag_id or dag_run_id."""

T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """An answer as it came over the wire. Header names are lower case."""

    status: int
    content: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Request(Generic[T_co]):
    """One call. `answer` is the type of a good answer's body: a struct, str for text, None for nothing.

    `is_action` marks calls that change something by an action: they carry an idempotency key, so that a
    DagDeck server takes a repeated one for the same.
    """

    method: str
    path: str
    answer: Any
    query: tuple[tuple[str, str], ...] = ()
    body: Any = None
    accept: str = "application/json"
    is_action: bool = False
    needs_token: bool = True

    @property
    def is_idempotent(self) -> bool:
        """True when sending it twice does what sending it once does, on any server."""
        return self.method in ("GET", "HEAD")

    def encoded_body(self) -> bytes | None:
        """The body as JSON; None when there is none."""
        return None if self.body is None else msgspec.json.encode(self.body)

    def parse(self, response: Response) -> T_co:
        """The answer's value.

        Raises an `ApiRefusal` for 4xx and `ServerFault` for 5xx, and for a body that is not what was asked for.
        """
        if response.status >= 400:
            raise error_of(response.status, response.content)
        if self.answer is None:
            return None  # type: ignore[return-value]
        if self.answer is str:
            return response.content.decode("utf-8", "replace")  # type: ignore[return-value]
        try:
            value: T_co = msgspec.json.decode(response.content, type=self.answer)
        except msgspec.DecodeError as error:
            raise ServerFault(
                f"the answer to {self.method} {self.path} is not what the API promises ({error})",
                status=response.status,
                transient=False,
            ) from error
        return value


def path(template: str, *parts: str | int) -> str:
    """`template` with each {} replaced by a quoted part."""
    return template.format(*(quote(str(part), safe="~") for part in parts))


def query(**values: Any) -> tuple[tuple[str, str], ...]:
    """Query parameters: None is left out, lists repeat the name, dates and booleans take their wire form."""
    pairs: list[tuple[str, str]] = []
    for name, value in values.items():
        for item in value if isinstance(value, (list, tuple)) else (value,):
            if item is not None:
                pairs.append((name, wire_text(item)))
    return tuple(pairs)


def body_of(**values: Any) -> dict[str, Any]:
    """A JSON body without the fields that are None."""
    return {name: value for name, value in values.items() if value is not None}


def wire_text(value: Any) -> str:
    """`value` as it is written in a query."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Enum):
        return str(value.value)
    return str(value)
