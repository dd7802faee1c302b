"""An asset event on its way to those who listen: queued for a DAG or for a partition of it.

Decides how much may wait, and what people are told of an event that goes no further. Called by `assets`,
`asset_partitions` and `partition_answers`, which decide whom an event reaches.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from dagdeck_core.asset_records import AssetChange, AssetRecord, MappedKey, QueuedEvent
from dagdeck_core.scheduling.asset_decisions import DropQueued, NoteAssetProblem, QueueEvent
from dagdeck_core.scheduling.asset_queues import Consumer, Pending

if TYPE_CHECKING:
    from dagdeck_core.scheduling.world import World

MOST_QUEUED = 1000
"""Most events of one asset that wait for one DAG or partition; the oldest makes room for the newest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Emitted:
    """An event while it is being queued. `date` is the producing run's, where the key is its too."""

    event_id: int
    asset: AssetRecord
    key: str | None
    date: datetime | None
    change: AssetChange


def queue_event(
    world: World,
    consumer: Consumer,
    emitted: Emitted,
    *,
    counts: bool,
    pending: Pending | None = None,
    mapped: MappedKey | None = None,
) -> None:
    """Queue the event for a DAG, or for a partition of it."""
    backlog = world.assets.backlog(consumer.dag_id)
    queue = backlog.queue if pending is None else pending.queue
    partition_id = 0 if pending is None else pending.record.partition_id
    waiting = queue.by_asset.get(emitted.asset.asset_id, {})
    if len(waiting) >= MOST_QUEUED:
        oldest = next(iter(waiting.values()))
        queue.remove([oldest])
        world.emit(DropQueued(dag_id=consumer.dag_id, partition_id=partition_id, event_ids=(oldest.event_id,)))
        # That an event counted must not be forgotten with it.
        counts = counts or oldest.counts
    event = QueuedEvent(
        dag_id=consumer.dag_id,
        event_id=emitted.event_id,
        asset_id=emitted.asset.asset_id,
        at=world.now,
        partition_id=partition_id,
        counts=counts,
        source_key=None if pending is None else emitted.key,
        mapped=mapped,
    )
    queue.add(event)
    world.emit(QueueEvent(queued=event))
    world.assets.due[consumer.dag_id] = None


def tell(world: World, change: AssetChange, event: str, message: str) -> None:
    """Tell people, in the audit log, why an event goes no further."""
    world.emit(
        NoteAssetProblem(
            event=event,
            message=message,
            dag_id=change.source_dag_id,
            run_id=change.source_run_id,
            task_id=change.source_task_id,
            map_index=change.source_map_index,
        )
    )
