"""The links of the chain: each holds the hash over its record and over the link before it.

Decides the exact bytes that are hashed. They are the same on every database and in every export, so that a record read
anywhere gives the hash that it was chained with. Called by the sealer, by exports and by verification.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

GENESIS = "0" * 64
"""Stands for the link before the first one."""
FORM = 1
"""Which fields are hashed, and how; a hash begins with it."""
FIELDS = (
    "event_log_id",
    "when",
    "event",
    "owner",
    "source",
    "address",
    "token_id",
    "dag_id",
    "run_id",
    "task_id",
    "map_index",
    "try_number",
    "logical_date",
    "action_id",
    "refused",
    "extra",
)
"""The columns of a record, in the order in which they are hashed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """One record in the chain. `record` None: the record is gone although its link stands."""

    sequence: int
    event_log_id: int
    hash: str
    record: Mapping[str, Any] | None


def as_record(values: Sequence[Any]) -> dict[str, Any]:
    """A record out of its columns' values in the order of `FIELDS`, in the form in which it is hashed and exported."""
    return {name: _plain(value) for name, value in zip(FIELDS, values, strict=True)}


def link_hash(previous: str, sequence: int, record: Mapping[str, Any]) -> str:
    """The hash, in hexadecimal, of the link number `sequence` behind the one whose hash is `previous`."""
    content = [FORM, previous, sequence, *(record.get(name) for name in FIELDS)]
    text = json.dumps(content, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _plain(value: Any) -> Any:
    """Instants as text with microseconds in UTC, everything else as it is."""
    return value.astimezone(UTC).isoformat(timespec="microseconds") if isinstance(value, datetime) else value
