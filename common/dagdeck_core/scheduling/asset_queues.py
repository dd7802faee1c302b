"""What DAGs that listen to assets have not consumed yet.

Decides how queued events are kept in memory: by DAG and pending partition, in order of their ids. Decides nothing
about when they are consumed (`scheduling.assets`). Rows and memory hold the same.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from dagdeck_core.asset_records import PartitionRecord, QueuedEvent
from dagdeck_core.scheduling.asset_conditions import Expression
from dagdeck_core.timetables.partitioned import AssetTriggeredTimetable


@dataclass(slots=True)
class Queue:
    """The events that wait for one DAG, or for one partition of it, by asset."""

    by_asset: dict[int, dict[int, QueuedEvent]] = field(default_factory=dict)

    def add(self, event: QueuedEvent) -> None:
        """Take in an event."""
        self.by_asset.setdefault(event.asset_id, {})[event.event_id] = event

    def events(self) -> list[QueuedEvent]:
        """All, oldest first."""
        found = [event for events in self.by_asset.values() for event in events.values()]
        return sorted(found, key=lambda event: event.event_id)

    def counts(self, asset_id: int) -> bool:
        """Whether an event of the asset counts for the condition."""
        return any(event.counts for event in self.by_asset.get(asset_id, {}).values())

    def remove(self, events: list[QueuedEvent]) -> None:
        """Forget these."""
        for event in events:
            of_asset = self.by_asset[event.asset_id]
            del of_asset[event.event_id]
            if not of_asset:
                del self.by_asset[event.asset_id]

    def __bool__(self) -> bool:
        return bool(self.by_asset)


@dataclass(slots=True)
class Pending:
    """One partition whose run is not made yet, and its events."""

    record: PartitionRecord
    queue: Queue = field(default_factory=Queue)
    judged: dict[int, tuple[tuple[str, ...], bool]] = field(default_factory=dict)
    """asset_id → the upstream keys that its wait policy was asked about last, and whether they are enough."""


@dataclass(slots=True)
class Backlog:
    """Everything that waits for one DAG."""

    queue: Queue = field(default_factory=Queue)
    partitions: dict[int, Pending] = field(default_factory=dict)
    by_key: dict[str, int] = field(default_factory=dict)
    """partition key → partition_id of the pending one."""

    def add_partition(self, record: PartitionRecord) -> Pending:
        """Take in a pending partition."""
        pending = self.partitions[record.partition_id] = Pending(record)
        self.by_key[record.key] = record.partition_id
        return pending

    def drop_partition(self, partition_id: int) -> None:
        """Forget a pending partition with its events."""
        pending = self.partitions.pop(partition_id)
        if self.by_key.get(pending.record.key) == partition_id:
            del self.by_key[pending.record.key]

    def add(self, event: QueuedEvent) -> None:
        """Take in a queued event; one of a partition that is not there any more is left out."""
        if not event.partition_id:
            self.queue.add(event)
        elif event.partition_id in self.partitions:
            self.partitions[event.partition_id].queue.add(event)

    def __bool__(self) -> bool:
        return bool(self.queue or self.partitions)


@dataclass(frozen=True, slots=True, kw_only=True)
class Consumer:
    """A DAG that runs when assets change."""

    dag_id: str
    expression: Expression
    timetable: AssetTriggeredTimetable | None
    """Set for one that has a run for each partition."""
    rollup: str
    """Identifies its partition mappers; empty without partitions."""
