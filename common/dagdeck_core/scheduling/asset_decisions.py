"""Decisions about assets: what is to be written of events, of what waits for them, and of what was consumed.

Decides the vocabulary, which joins that of `decisions`. Made by `scheduling.assets` alone, carried out by
`dagdeck_io.db.asset_writes`. Those that delete name the very rows, and fail the transaction if one is not there: so no
event is registered twice or consumed twice.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from dagdeck_core.asset_records import AssetRecord, PartitionRecord, QueuedEvent


class OfAssets(msgspec.Struct, frozen=True, kw_only=True):
    """Base: values that compare by content."""


class CreateAsset(OfAssets, frozen=True, kw_only=True):
    """Insert an asset that an alias led to and nobody had defined."""

    asset: AssetRecord


class LinkAlias(OfAssets, frozen=True, kw_only=True):
    """An asset's event came through an alias for the first time; with `activates` the asset is active from then on."""

    alias: str
    asset_id: int
    activates: bool = False


class WriteAssetEvent(OfAssets, frozen=True, kw_only=True):
    """Insert an asset event, with the aliases that it came through."""

    event_id: int
    asset_id: int
    at: datetime
    extra: dict[str, Any] = {}
    source_dag_id: str | None = None
    source_run_id: str | None = None
    source_task_id: str | None = None
    source_map_index: int = -1
    partition_key: str | None = None
    aliases: tuple[str, ...] = ()


class QueueEvent(OfAssets, frozen=True, kw_only=True):
    """Remember that a DAG has not consumed an event."""

    queued: QueuedEvent


class DropQueued(OfAssets, frozen=True, kw_only=True):
    """Forget events that a DAG will not consume; guard: all of them are there."""

    dag_id: str
    partition_id: int
    event_ids: tuple[int, ...]


class WritePartition(OfAssets, frozen=True, kw_only=True):
    """Insert a pending partition, or change its date."""

    partition: PartitionRecord
    is_new: bool


class DropPartition(OfAssets, frozen=True, kw_only=True):
    """Delete a pending partition; guard: it is there. Its queued events are dropped or consumed beside it."""

    partition_id: int


class ConsumeEvents(OfAssets, frozen=True, kw_only=True):
    """Give events that were queued for a DAG to a run of it; guard: all of them are there."""

    run_key: int
    dag_id: str
    partition_id: int
    event_ids: tuple[int, ...]


class AdvanceChange(OfAssets, frozen=True, kw_only=True):
    """So many events of a change are registered now; guard: `old_done` were before. With `ended` it is deleted."""

    change_id: int
    old_done: int
    done: int
    ended: bool


class NoteAssetProblem(OfAssets, frozen=True, kw_only=True):
    """Tell people, in the audit log, why an event did not reach a DAG or was not recorded."""

    event: str
    """A few words by which people filter, as Airflow's log has them."""
    message: str
    dag_id: str | None = None
    run_id: str | None = None
    task_id: str | None = None
    map_index: int = -1


AssetDecision = (
    CreateAsset
    | LinkAlias
    | WriteAssetEvent
    | QueueEvent
    | DropQueued
    | WritePartition
    | DropPartition
    | ConsumeEvents
    | AdvanceChange
    | NoteAssetProblem
)
