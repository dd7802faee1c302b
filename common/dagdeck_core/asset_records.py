"""Assets, their events and what waits for them, as the stores and the scheduling machine see them.

Decides which facts travel and in which shape. Does not know tables or SQL (`dagdeck_io.db`). An outlet event leaves a
task with its effects; an asset change is the outbox row that it becomes when the task's success is committed.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

MOST_OUTLET_EVENTS = 1000
"""Most asset events that one task may emit."""
MOST_EXTRA_BYTES = 65_536
"""Most bytes that the extra of one event may have, as JSON."""


class OutletEvent(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One event that a task emits. A name or URI alone refers to the active asset that has it, `asset_id` to that one.

    With `aliases` it came through them; the asset is made, with `asset_extra`, if nobody has defined it yet.
    Without `partition_key` the run's counts.
    """

    name: str = ""
    uri: str = ""
    group: str = "asset"
    extra: dict[str, Any] = {}
    partition_key: str | None = None
    aliases: tuple[str, ...] = ()
    asset_extra: dict[str, Any] = {}
    asset_id: int = 0


class AssetRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One asset. Only active ones, which some DAG names, are found by references."""

    asset_id: int
    name: str
    uri: str
    group: str = "asset"
    is_active: bool = True
    extra: dict[str, Any] = {}


class AssetChange(msgspec.Struct, frozen=True, kw_only=True):
    """Events that were committed and that the scheduler has not registered yet; `done` of them it has.

    `partition_key` and `partition_date` are those of the run they came from.
    """

    change_id: int
    events: tuple[OutletEvent, ...]
    at: datetime
    done: int = 0
    source_dag_id: str | None = None
    source_run_id: str | None = None
    source_task_id: str | None = None
    source_map_index: int = -1
    partition_key: str | None = None
    partition_date: datetime | None = None


class MappedKey(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What code of an author's said of a partition when it mapped an event to it.

    `expected` is None for a mapper that does not roll up: then the event alone is enough. Else so many upstream keys
    make the partition up, `is_expected` tells whether the event's is one of them, and `needed` of them are enough
    (None: never). With `by_keys` the wait policy looks at the keys themselves, and is asked anew when more have come.
    """

    key: str
    date: datetime | None = None
    """The instant that the key stands for, if the mapper says one."""
    carried: datetime | None = None
    """The date that the producing run hands on."""
    expected: int | None = None
    is_expected: bool = False
    needed: int | None = None
    by_keys: bool = False


class QueuedEvent(msgspec.Struct, frozen=True, kw_only=True):
    """An event that a DAG has not consumed yet.

    `partition_id` is the pending partition that it counts for, 0 for DAGs without partitions. One that came while the
    DAG was paused does not count (`counts`), but is consumed together with the next one that does.
    """

    dag_id: str
    event_id: int
    asset_id: int
    at: datetime
    partition_id: int = 0
    counts: bool = True
    source_key: str | None = None
    mapped: MappedKey | None = None


class PartitionRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A partition of a DAG for which events have come and whose run is not made yet.

    `rollup` identifies the mappers that its events were mapped by: a partition of other mappers is dropped.
    """

    partition_id: int
    dag_id: str
    key: str
    created_at: datetime
    date: datetime | None = None
    rollup: str = ""


class AssetState(msgspec.Struct, frozen=True, kw_only=True):
    """All that the machine needs of assets, read in one transaction under the leadership lock."""

    assets: tuple[AssetRecord, ...] = ()
    aliases: tuple[tuple[str, int], ...] = ()
    """(alias, asset_id): events of the asset came through the alias."""
    queued: tuple[QueuedEvent, ...] = ()
    """By event_id."""
    partitions: tuple[PartitionRecord, ...] = ()
    """By partition_id."""
