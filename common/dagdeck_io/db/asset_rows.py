"""Rows about assets as the scheduler's store reads them.

Decides the reading statements and how rows become the core's records. Called by scheduler_store.py.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from dagdeck_core.asset_records import (
    AssetChange,
    AssetRecord,
    AssetState,
    MappedKey,
    OutletEvent,
    PartitionRecord,
    QueuedEvent,
)
from dagdeck_io.db.asset_writes import CHANGE_COLUMNS
from dagdeck_io.db.dialects import Dialect, Row, Script

_events = msgspec.json.Decoder(tuple[OutletEvent, ...])
_mapped = msgspec.json.Decoder(MappedKey)
Names = tuple[tuple[AssetRecord, ...], tuple[tuple[str, int], ...]]


def read_names(script: Script) -> None:
    """Append the reading of all assets and of what aliases stand for."""
    script.read("SELECT asset_id, name, uri, `group`, is_active FROM asset ORDER BY asset_id")
    script.read(
        "SELECT l.name, x.asset_id FROM asset_alias_asset x JOIN asset_alias l ON l.alias_id = x.alias_id "
        "ORDER BY l.name, x.asset_id"
    )


def read_waiting(script: Script) -> None:
    """Append the reading of everything that waits for DAGs."""
    script.read(
        "SELECT dag_id, asset_event_id, asset_id, queued_at, partition_id, counts, source_key, mapped "
        "FROM queued_asset_event ORDER BY asset_event_id"
    )
    script.read(
        "SELECT partition_id, dag_id, partition_key, created_at, partition_date, rollup FROM asset_partition "
        "ORDER BY partition_id"
    )


def names(assets: Sequence[Row], aliases: Sequence[Row]) -> Names:
    """What `read_names` found."""
    return (
        tuple(
            AssetRecord(asset_id=row[0], name=row[1], uri=row[2], group=row[3], is_active=bool(row[4]))
            for row in assets
        ),
        tuple((row[0], row[1]) for row in aliases),
    )


def state(found: Names, queued: Sequence[Row], partitions: Sequence[Row], dialect: Dialect) -> AssetState:
    """What `read_names` and `read_waiting` found."""
    return AssetState(
        assets=found[0],
        aliases=found[1],
        queued=tuple(
            QueuedEvent(
                dag_id=row[0],
                event_id=row[1],
                asset_id=row[2],
                at=dialect.known_instant(row[3]),
                partition_id=row[4],
                counts=bool(row[5]),
                source_key=row[6],
                mapped=None if row[7] is None else _mapped.decode(row[7]),
            )
            for row in queued
        ),
        partitions=tuple(
            PartitionRecord(
                partition_id=row[0],
                dag_id=row[1],
                key=row[2],
                created_at=dialect.known_instant(row[3]),
                date=dialect.read_instant(row[4]),
                rollup=row[5],
            )
            for row in partitions
        ),
    )


def changes_sql(limit: int) -> str:
    """The oldest changes."""
    return f"SELECT {CHANGE_COLUMNS} FROM asset_change ORDER BY change_id LIMIT {int(limit)}"


def change(row: Row, dialect: Dialect) -> AssetChange:
    """A row of CHANGE_COLUMNS. Raises msgspec.MsgspecError for events that cannot be read."""
    return AssetChange(
        change_id=row[0],
        events=_events.decode(row[1]),
        at=dialect.known_instant(row[2]),
        done=row[3],
        source_dag_id=row[4],
        source_run_id=row[5],
        source_task_id=row[6],
        source_map_index=row[7],
        partition_key=row[8],
        partition_date=dialect.read_instant(row[9]),
    )


__all__ = ["Names", "change", "changes_sql", "names", "read_names", "read_waiting", "state"]
