"""Answers of DagDeck's own API (`/api/dagdeck/v1`): workers, queues, actions, log ranges, users.

Decides the fields of these answers. Filled by `queries.cluster`, `queries.logs` and `actions`.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from dagdeck_core.scheduling.gates import Gate


class _Answer(msgspec.Struct, kw_only=True):
    """Base of answers: every field is always sent."""


class WorkerResponse(_Answer):
    """One incarnation of a worker. Load is that of its last sample, null when the queue has none."""

    worker_id: int
    name: str
    hostname: str
    state: str
    slots: int
    running: int
    queues: list[str]
    version: str
    pid: int | None
    started_at: datetime
    last_seen_at: datetime
    ended_at: datetime | None
    reason: str | None
    sampled_at: datetime | None
    cpu: float | None
    memory_used: int | None
    memory_total: int | None
    load1: float | None
    net_received: float | None
    net_sent: float | None


class WorkerCollectionResponse(_Answer):
    """Workers, newest first."""

    workers: list[WorkerResponse]
    total_entries: int


class QueueResponse(_Answer):
    """One queue: hints that wait in it (null when the queue cannot be asked) and workers that serve it."""

    name: str
    depth: int | None
    workers: int


class QueueCollectionResponse(_Answer):
    """All queues that a worker serves."""

    queues: list[QueueResponse]
    total_entries: int


class ActionResponse(_Answer):
    """Where a person's action stands."""

    action_id: int
    kind: str
    state: str
    actor: str
    source: str
    requested_at: datetime
    ended_at: datetime | None
    refused: str | None
    result: dict[str, Any] | None


class LogRangeResponse(_Answer):
    """Bytes `offset` to `next_offset` of a dispatch's log as text; `size` is what is stored of it so far."""

    text: str
    offset: int
    next_offset: int
    size: int
    is_complete: bool
    try_number: int
    dispatch_no: int


class UserResponse(_Answer):
    """One user; nothing of the password."""

    username: str
    role: str
    display_name: str | None
    email: str | None
    is_active: bool
    created_at: datetime
    last_login_at: datetime | None
    locked_until: datetime | None


class UserCollectionResponse(_Answer):
    """All users."""

    users: list[UserResponse]
    total_entries: int


class GateResponse(_Answer):
    """One thing that holds a run or task instance; `at` is when it opens by itself, if time alone opens it."""

    kind: str
    reason: str
    opens: str
    subjects: list[str]
    numbers: dict[str, float]
    at: datetime | None

    @classmethod
    def of(cls, gate: Gate) -> GateResponse:
        """The answer for a gate that was judged."""
        return cls(
            kind=gate.kind,
            reason=gate.reason,
            opens=gate.opens,
            subjects=list(gate.subjects),
            numbers=gate.numbers,
            at=gate.at,
        )


class ExplanationResponse(_Answer):
    """Why something does not run, as of `at`; without gates nothing holds it."""

    state: str | None
    at: datetime
    gates: list[GateResponse]
