"""The record of a change that somebody was refused.

Decides which refusals are recorded: those of operations that change something, for somebody who is signed in, unless
the scheduler refused an action and recorded that itself. How many of one person are recorded in a minute is bounded,
so that nobody fills the audit log by sending nonsense; the log tells when that bound is reached. Called by the
handlers of `errors`.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from anyio.to_thread import run_sync
from fastapi import Request

from dagdeck_core.errors import DagDeckError
from dagdeck_master.api.actions import Sender
from dagdeck_master.api.audit import LONGEST_REASON, audit
from dagdeck_master.api.client_address import address_of
from dagdeck_master.api.permissions import changes_something
from dagdeck_master.api.rate_limit import Allowance
from dagdeck_master.api.users import Principal

_logger = logging.getLogger(__name__)
PER_MINUTE = 60
"""Recorded refusals of one person in a minute."""
SOURCES = ("rest_api", "cli", "ui")


class Refusals:
    """Records refusals. One per app."""

    def __init__(self) -> None:
        self._allowance = Allowance(PER_MINUTE / 60.0, PER_MINUTE)

    async def record(self, request: Request, status: int, detail: Any, extra: Mapping[str, Any]) -> None:
        """Record that a request was answered with `status`, when it is one of those that are recorded."""
        principal: Principal | None = getattr(request.state, "principal", None)
        route = request.scope.get("route")
        if principal is None or not principal.token_id or route is None or not 400 <= status < 500:
            return
        if "action_id" in extra or not changes_something(route.operation_id, request.method):
            return
        if self._allowance.take(principal.username):
            _logger.warning("%s is refused more than %s times a minute", principal.username, PER_MINUTE)
            return
        try:
            await run_sync(self._write, request, principal, route.operation_id, f"{status}: {_sentence(detail)}")
        except DagDeckError as error:
            _logger.warning("a refusal of %s was not recorded: %s", principal.username, error)

    @staticmethod
    def _write(request: Request, principal: Principal, operation: str, reason: str) -> None:
        context = request.app.state.context
        names = dict(request.path_params)
        place = {
            "dag_id": names.pop("dag_id", None),
            "run_id": names.pop("dag_run_id", None),
            "task_id": names.pop("task_id", None),
        }
        with context.database.writing() as connection:
            audit(
                connection,
                event_log_id=context.database.new_id(),
                event=operation,
                sender=sender_behind(request, principal),
                now=context.clock(),
                place={name: value[:250] for name, value in place.items() if value is not None},
                refused=reason,
                extra={"request": {name: str(value)[:250] for name, value in names.items()}},
            )


def sender_behind(request: Request, principal: Principal) -> Sender:
    """Who sent a request, from where, and with which kind of program as it says."""
    source = request.headers.get("dagdeck-source", SOURCES[0])
    return Sender(
        username=principal.username,
        source=source if source in SOURCES else SOURCES[0],
        address=address_of(request.scope),
        token_id=principal.token_id,
    )


def _sentence(detail: Any) -> str:
    """A refusal's reason. Of a malformed body only the places and the messages are given, never a value."""
    if isinstance(detail, list):
        told = [f"{'.'.join(str(part) for part in each.get('loc', ()))}: {each.get('msg', '')}" for each in detail]
        return "; ".join(told)[:LONGEST_REASON]
    return str(detail)[:LONGEST_REASON]
