"""Answers to what DAG files ask while they are imported: Variables and Connections.

Decides which requests make sense without a running task. Does not decide the answers (`dagdeck_io.db`). Called by
`pool` through `app`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from dagdeck_core.errors import DagDeckError
from dagdeck_core.wire import Reply, Request
from dagdeck_io.db.faults import NotFound

_ANSWERED = frozenset({"variable_get", "connection_get"})


class Queries(Protocol):
    """The part of the workers' queries that imports need."""

    def answer(self, ti_id: int, method: str, arguments: Mapping[str, Any]) -> Any:
        """The answer. Raises NotFound, UserError, EnvironmentFault."""


def answer_request(queries: Queries, request: Request) -> Reply:
    """The reply to one request of an import. Never raises: what goes wrong is said in the reply."""
    if request.method not in _ANSWERED:
        return Reply(
            number=request.number,
            error=("not_allowed", f"{request.method} works only while a task is running, not at a file's top level"),
        )
    try:
        return Reply(number=request.number, value=queries.answer(0, request.method, request.arguments))
    except NotFound as error:
        return Reply(number=request.number, error=("not_found", str(error)))
    except DagDeckError as error:
        return Reply(number=request.number, error=("failed", str(error)))
