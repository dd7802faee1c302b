"""Answers of DagDeck's own API (`/api/dagdeck/v1`), such as workers, log ranges, tokens and structures.

Decides the fields of these answers. Filled by `queries.cluster`, `queries.logs`, `queries.structure` and `actions`.
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
    trigger_capacity: int
    """Most triggers of deferred tasks that it runs; 0: none."""
    triggers: int | None


class WorkerCollectionResponse(_Answer):
    """Workers, newest first."""

    workers: list[WorkerResponse]
    total_entries: int


class HealthResponse(_Answer):
    """Whether something works, and if not, why; and what needs a hand although it works."""

    status: str
    reasons: list[str]
    problems: list[str] = []


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
    roles: list[str]
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


class TokenResponse(_Answer):
    """One token of the caller's; the secret itself is shown once, when it is made. `scope` is the role that it is
    narrowed to, null when it may do what its user may; `origin` is how it came to be."""

    token_id: int
    name: str | None
    origin: str
    scope: str | None
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None


class TokenCollectionResponse(_Answer):
    """The caller's tokens that are still good, newest first."""

    tokens: list[TokenResponse]
    total_entries: int


class NewTokenResponse(_Answer):
    """A new token with its secret, which is stored nowhere."""

    access_token: str
    token: TokenResponse


class NodeResponse(_Answer):
    """A task as a picture needs it. `setup_teardown_type` is "setup", "teardown" or null."""

    task_id: str
    label: str
    group_id: str | None
    operator: str
    is_mapped: bool
    setup_teardown_type: str | None


class EdgeResponse(_Answer):
    """That a task comes after another one."""

    source_id: str
    target_id: str
    label: str | None


class GroupResponse(_Answer):
    """A task group; groups stand in groups."""

    group_id: str
    label: str
    parent_id: str | None
    tooltip: str | None
    is_mapped: bool


class StructureResponse(_Answer):
    """The shape of one version of a DAG."""

    dag_id: str
    version_number: int
    nodes: list[NodeResponse]
    edges: list[EdgeResponse]
    groups: list[GroupResponse]


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


class GrantResponse(_Answer):
    """A right of a user or a role on DAGs. The origin is "granted", or "dag_file" for what access_control says."""

    grant_id: int | None
    subject_kind: str
    subject: str
    level: str
    target_kind: str
    target: str
    origin: str
    created_at: datetime | None
    created_by: str | None


class GrantCollectionResponse(_Answer):
    """Rights on DAGs."""

    grants: list[GrantResponse]
    total_entries: int
