"""Records of what people did, for whatever is not an action that the scheduler ends (that one records those itself).

Decides what such a record holds: who, with which token, from where, what, before and after, and why it was refused.
Secrets never stand in it: `before_and_after` says only whether they changed. Does not decide who may act. Called by
everything of the API that writes rows itself, by `refusals`, and by `dagdeckd`'s own commands.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import Any

import msgspec
import sqlalchemy as sa

from dagdeck_io.db.tables import audit_log
from dagdeck_master.api.actions import Sender

LONGEST_VALUE = 1_000
"""Characters of JSON of one value; of a longer one only the length is recorded."""
LONGEST_REASON = 1_000
HIDDEN = "hidden"
"""Stands for a secret that is there."""
_PLACES = ("dag_id", "run_id", "task_id", "map_index", "try_number", "logical_date")


def audit(
    connection: sa.Connection,
    *,
    event_log_id: int,
    event: str,
    sender: Sender,
    now: datetime,
    extra: Mapping[str, Any],
    place: Mapping[str, Any] | None = None,
    refused: str | None = None,
) -> None:
    """Record what somebody did, in the transaction that does it; or what was `refused`, and why.

    `place` may hold dag_id, run_id, task_id, map_index, try_number and logical_date.
    """
    connection.execute(
        audit_log.insert().values(
            event_log_id=event_log_id,
            when=now,
            event=event,
            owner=sender.username or None,
            source=sender.source,
            address=sender.address,
            token_id=sender.token_id,
            refused=None if refused is None else refused[:LONGEST_REASON],
            extra=extra,
            **{name: value for name, value in (place or {}).items() if name in _PLACES},
        )
    )


def before_and_after(
    before: Mapping[str, Any] | None,
    after: Mapping[str, Any] | None,
    *,
    fields: Iterable[str],
    secret: Collection[str] = (),
) -> dict[str, Any]:
    """{"before", "after"} of these fields of something that is made (`before` None), changed or deleted (`after` None).

    Of the fields in `secret` the record tells whether they are there, and whether they changed.
    """
    told: dict[str, Any] = {}
    names = list(fields)
    if before is not None:
        told["before"] = {name: _was(before.get(name), name in secret) for name in names}
    if after is not None:
        known = before or {}
        told["after"] = {
            name: _is_now(known.get(name), after.get(name), before is not None) if name in secret else bounded(value)
            for name, value in ((name, after.get(name)) for name in names)
        }
    return told


def _was(value: Any, is_secret: bool) -> Any:
    if not is_secret:
        return bounded(value)
    return None if value is None else HIDDEN


def _is_now(old: Any, new: Any, was_there: bool) -> str | None:
    """What is said of a secret's new value."""
    if was_there:
        return "unchanged" if old == new else "changed"
    return None if new is None else HIDDEN


def bounded(value: Any) -> Any:
    """`value`, or its length when it is long."""
    if value is None or isinstance(value, (bool, int, float)):
        return value
    size = len(value) if isinstance(value, str) else len(msgspec.json.encode(value))
    return value if size <= LONGEST_VALUE else f"({size:,} characters)"
