"""Answers about assets, aliases, their events, and state stores.

Decides the fields of these answers, which are Airflow's. Filled by `queries.assets` and `queries.states`.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec


class _Answer(msgspec.Struct, kw_only=True):
    """Base of answers: every field is always sent, null included, as Airflow does."""


class DagScheduleAssetReference(_Answer):
    """A DAG that runs when an asset changes."""

    dag_id: str
    created_at: datetime
    updated_at: datetime


class TaskAssetReference(_Answer):
    """A task that reads or writes an asset."""

    dag_id: str
    task_id: str
    created_at: datetime
    updated_at: datetime


class AssetAliasResponse(_Answer):
    """One alias."""

    id: int
    name: str
    group: str


class LastAssetEventResponse(_Answer):
    """The newest event of an asset; nothing in it when there is none."""

    id: int | None
    timestamp: datetime | None


class AssetWatcherResponse(_Answer):
    """A trigger that watches an asset."""

    name: str
    trigger_id: int
    created_date: datetime


class AssetResponse(_Answer):
    """One asset and all that names it."""

    id: int
    name: str
    uri: str
    group: str
    extra: dict[str, Any] | None
    created_at: datetime
    updated_at: datetime
    scheduled_dags: list[DagScheduleAssetReference]
    producing_tasks: list[TaskAssetReference]
    consuming_tasks: list[TaskAssetReference]
    aliases: list[AssetAliasResponse]
    watchers: list[AssetWatcherResponse]
    last_asset_event: LastAssetEventResponse


class AssetCollectionResponse(_Answer):
    """One page of assets."""

    assets: list[AssetResponse]
    total_entries: int


class AssetAliasCollectionResponse(_Answer):
    """One page of aliases."""

    asset_aliases: list[AssetAliasResponse]
    total_entries: int


class DagRunAssetReference(_Answer):
    """A run that consumed an event; `triggering` when this event was the newest of them."""

    run_id: str
    dag_id: str
    logical_date: datetime | None
    start_date: datetime | None
    end_date: datetime | None
    state: str
    data_interval_start: datetime | None
    data_interval_end: datetime | None
    partition_key: str | None
    triggering: bool


class AssetEventResponse(_Answer):
    """One event of an asset."""

    id: int
    asset_id: int
    uri: str | None
    name: str | None
    group: str | None
    extra: dict[str, Any] | None
    source_task_id: str | None
    source_dag_id: str | None
    source_run_id: str | None
    source_map_index: int
    created_dagruns: list[DagRunAssetReference]
    timestamp: datetime
    partition_key: str | None


class AssetEventCollectionResponse(_Answer):
    """One page of events."""

    asset_events: list[AssetEventResponse]
    total_entries: int


class QueuedEventResponse(_Answer):
    """That events of an asset wait for a DAG, and since when."""

    dag_id: str
    asset_id: int
    created_at: datetime
    dag_display_name: str


class QueuedEventCollectionResponse(_Answer):
    """All of them."""

    queued_events: list[QueuedEventResponse]
    total_entries: int


class AssetStateWriter(_Answer):
    """Who wrote a state of an asset: a task, or somebody through the API."""

    kind: str
    dag_id: str | None = None
    run_id: str | None = None
    task_id: str | None = None
    map_index: int | None = None


class AssetStateStoreResponse(_Answer):
    """One state of an asset."""

    key: str
    value: Any
    updated_at: datetime
    last_updated_by: AssetStateWriter | None


class AssetStateStoreCollectionResponse(_Answer):
    """One page of an asset's states."""

    asset_state_store: list[AssetStateStoreResponse]
    total_entries: int


class TaskStateStoreResponse(_Answer):
    """One state of a task instance."""

    key: str
    value: Any
    updated_at: datetime
    expires_at: datetime | None


class TaskStateStoreCollectionResponse(_Answer):
    """One page of a task instance's states."""

    task_state_store: list[TaskStateStoreResponse]
    total_entries: int
