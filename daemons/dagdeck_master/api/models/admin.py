"""Answers about pools, variables, connections, the audit log, health and tokens.

Decides the fields of these answers. Filled by `queries.pools`, `vaulted`, `queries.audit` and `queries.cluster`.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec


class _Answer(msgspec.Struct, kw_only=True):
    """Base of answers: every field is always sent, null included, as Airflow does."""


class PoolResponse(_Answer):
    """A pool with its slots."""

    name: str
    slots: int
    description: str | None
    include_deferred: bool
    occupied_slots: int
    running_slots: int
    queued_slots: int
    scheduled_slots: int
    open_slots: int
    deferred_slots: int
    team_name: str | None


class PoolCollectionResponse(_Answer):
    """One page of pools."""

    pools: list[PoolResponse]
    total_entries: int


class VariableResponse(_Answer):
    """A variable; a sensitive one's value is masked."""

    key: str
    value: str
    description: str | None
    is_encrypted: bool
    team_name: str | None


class VariableCollectionResponse(_Answer):
    """One page of variables."""

    variables: list[VariableResponse]
    total_entries: int


class ConnectionResponse(_Answer):
    """A connection; its password is never shown."""

    connection_id: str
    conn_type: str
    description: str | None
    host: str | None
    login: str | None
    schema: str | None
    port: int | None
    password: str | None
    extra: str | None
    team_name: str | None


class ConnectionCollectionResponse(_Answer):
    """One page of connections."""

    connections: list[ConnectionResponse]
    total_entries: int


class EventLogResponse(_Answer):
    """One entry of the audit log."""

    event_log_id: int
    when: datetime
    dag_id: str | None
    task_id: str | None
    run_id: str | None
    map_index: int | None
    try_number: int | None
    event: str
    logical_date: datetime | None
    owner: str | None
    extra: str | None
    dag_display_name: str | None
    task_display_name: str | None


class EventLogCollectionResponse(_Answer):
    """One page of the audit log."""

    event_logs: list[EventLogResponse]
    total_entries: int


class BaseInfoResponse(_Answer):
    """Health of a component without a heartbeat."""

    status: str | None


class SchedulerInfoResponse(_Answer):
    """Health of the scheduler."""

    status: str | None
    latest_scheduler_heartbeat: str | None


class TriggererInfoResponse(_Answer):
    """Health of the triggerer; null when there is none."""

    status: str | None
    latest_triggerer_heartbeat: str | None


class DagProcessorInfoResponse(_Answer):
    """Health of the DAG processor."""

    status: str | None
    latest_dag_processor_heartbeat: str | None


class HealthInfoResponse(_Answer):
    """Health of the cluster."""

    metadatabase: BaseInfoResponse
    scheduler: SchedulerInfoResponse
    triggerer: TriggererInfoResponse
    dag_processor: DagProcessorInfoResponse | None


class VersionInfo(_Answer):
    """The server's version."""

    version: str
    git_version: str | None


class LoginResponse(_Answer):
    """A bearer token."""

    access_token: str


class ProblemResponse(_Answer):
    """Why a request was refused."""

    detail: Any
