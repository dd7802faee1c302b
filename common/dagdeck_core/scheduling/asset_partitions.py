"""Partitions of DAGs that listen to assets: which an event belongs to, when one is complete, and its date.

Decides all three with the built-in mappers. Where a mapper is code of the author's, its answers are kept with the
queued events and read here; what must be asked is only noted (`partition_answers` asks). Called by `assets`,
`asset_runs` and `partition_answers`.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

import msgspec

from dagdeck_core.asset_records import AssetRecord, MappedKey, PartitionRecord, QueuedEvent
from dagdeck_core.errors import UserError
from dagdeck_core.partitions.mappers import PartitionMapper, RollupMapper, downstream_keys
from dagdeck_core.scheduling.asset_conditions import holds
from dagdeck_core.scheduling.asset_decisions import WritePartition
from dagdeck_core.scheduling.asset_queueing import Emitted, queue_event, tell
from dagdeck_core.scheduling.asset_queues import Consumer, Pending
from dagdeck_core.timetables.partitioned import AssetTriggeredTimetable

if TYPE_CHECKING:
    from dagdeck_core.scheduling.world import World


def queue_in_partitions(world: World, consumer: Consumer, timetable: AssetTriggeredTimetable, emitted: Emitted) -> None:
    """Queue the event for each partition of the DAG that its key leads to, or note that its mapper must be asked."""
    if world.is_paused(consumer.dag_id):
        return
    asset, key = emitted.asset, emitted.key
    if key is None:
        tell(
            world,
            emitted.change,
            "missing partition key",
            f"the DAG {consumer.dag_id!r} has partitions, but the event of asset {asset.name!r} has no partition key",
        )
        return
    mapper = timetable.mapper(asset.name, asset.uri)
    if mapper is None:
        world.assets.unmapped.setdefault(consumer.dag_id, []).append(emitted)
        return
    try:
        keys = downstream_keys(mapper, key)
    except (UserError, ValueError) as error:
        cannot_map(world, consumer, emitted, str(error))
        return
    carried = mapper.carry_partition_date(emitted.date)
    queue_mapped(world, consumer, emitted, [MappedKey(key=each, carried=carried) for each in keys], is_kept=False)


def queue_mapped(
    world: World, consumer: Consumer, emitted: Emitted, keys: Sequence[MappedKey], *, is_kept: bool
) -> None:
    """Queue the event for the partitions of these keys; with `is_kept`, what was said of each is kept with it."""
    timetable, asset = consumer.timetable, emitted.asset
    own = timetable.mapper_spec(asset.name, asset.uri).max_downstream_keys if timetable is not None else None
    limit = own or world.settings.most_downstream_keys
    if len(keys) > limit:
        message = (
            f"partition_key {emitted.key!r} of {_place(consumer, asset)} leads to {len(keys)} keys, more than {limit}; "
            "no run was queued"
        )
        tell(world, emitted.change, "partition fan-out exceeded", message)
        return
    for each in keys:
        pending = _partition(world, consumer, each.key, each.carried)
        queue_event(world, consumer, emitted, counts=True, pending=pending, mapped=each if is_kept else None)


def cannot_map(world: World, consumer: Consumer, emitted: Emitted, why: str) -> None:
    """Tell people that an event's key leads nowhere."""
    message = f"could not map partition_key {emitted.key!r} of {_place(consumer, emitted.asset)}: {why}"
    tell(world, emitted.change, "failed to map partition_key", message)


def _place(consumer: Consumer, asset: AssetRecord) -> str:
    return f"asset (name={asset.name!r}, uri={asset.uri!r}) in target Dag {consumer.dag_id!r}"


def _partition(world: World, consumer: Consumer, key: str, date: datetime | None) -> Pending:
    """The pending partition of a key, made if need be.

    Events that bring different dates leave it without one: taking either would depend on their order.
    """
    backlog = world.assets.backlog(consumer.dag_id)
    pending = backlog.partitions.get(backlog.by_key.get(key, 0))
    if pending is None:
        record = PartitionRecord(
            partition_id=world.new_id(),
            dag_id=consumer.dag_id,
            key=key,
            created_at=world.now,
            date=date,
            rollup=consumer.rollup,
        )
        pending = backlog.add_partition(record)
        world.emit(WritePartition(partition=record, is_new=True))
    elif date is not None and date != pending.record.date:
        kept = date if pending.record.date is None else None
        pending.record = msgspec.structs.replace(pending.record, date=kept)
        world.emit(WritePartition(partition=pending.record, is_new=False))
    return pending


# ---------------------------------------------------------------- when a partition is complete


def is_complete(world: World, consumer: Consumer, pending: Pending) -> bool:
    """Whether a partition's condition holds: assets whose mapper rolls up count once their window is full enough."""
    timetable, names = consumer.timetable, world.assets.names
    if timetable is None:
        return False
    has_changed: dict[int, bool] = {}
    for asset_id, events in pending.queue.by_asset.items():
        asset = names.by_id.get(asset_id)
        if asset is None or not asset.is_active:
            continue
        mapper = timetable.mapper(asset.name, asset.uri)
        if mapper is None:
            has_changed[asset_id] = _is_enough(world, consumer, pending, asset_id)
        else:
            arrived = dict.fromkeys(event.source_key or "" for event in events.values())
            has_changed[asset_id] = _is_full(mapper, pending.record.key, arrived)
    return holds(consumer.expression, names, lambda asset_id: has_changed.get(asset_id, False))


def _is_full(mapper: PartitionMapper, key: str, arrived: dict[str, None]) -> bool:
    """Whether enough upstream keys have arrived for a downstream key; a mapper that fails says no."""
    if not isinstance(mapper, RollupMapper):
        return True
    try:
        expected = mapper.to_upstream(key)
    except (UserError, ValueError):
        return False
    matched = sum(1 for each in arrived if each in expected)
    return mapper.wait_policy.is_satisfied(matched, len(expected)) and not mapper.wait_policy.is_unreachable(
        len(expected)
    )


def _is_enough(world: World, consumer: Consumer, pending: Pending, asset_id: int) -> bool:
    """The same by what the author's code said when it mapped the events, the last word of which counts."""
    said = last_said(pending, asset_id)
    if said is None:
        return False
    if said.expected is None:
        return True
    if said.by_keys:
        judged = pending.judged.get(asset_id)
        arrived = arrived_keys(pending, asset_id)
        if judged is None or judged[0] != arrived:
            world.assets.unjudged[consumer.dag_id, pending.record.partition_id, asset_id] = None
            return False
        return judged[1]
    events = pending.queue.by_asset[asset_id].values()
    matched = dict.fromkeys(event.source_key for event in events if event.mapped and event.mapped.is_expected)
    return said.needed is not None and len(matched) >= said.needed


def last_said(pending: Pending, asset_id: int) -> MappedKey | None:
    """What the author's code said of the partition when it mapped the asset's newest event."""
    newest: QueuedEvent | None = max(
        pending.queue.by_asset.get(asset_id, {}).values(), key=lambda event: event.event_id, default=None
    )
    return None if newest is None else newest.mapped


def _said_date(pending: Pending, asset_id: int) -> datetime | None:
    said = last_said(pending, asset_id)
    return None if said is None else said.date


def arrived_keys(pending: Pending, asset_id: int) -> tuple[str, ...]:
    """The upstream keys of an asset that have come for a partition, sorted."""
    events = pending.queue.by_asset.get(asset_id, {}).values()
    return tuple(sorted(dict.fromkeys(event.source_key or "" for event in events)))


def partition_date(consumer: Consumer, pending: Pending, assets: dict[int, AssetRecord]) -> datetime | None:
    """The date of a partition's run: what its mappers of dates agree on, else what the events brought."""
    found: dict[datetime, None] = {}
    for asset_id in pending.queue.by_asset:
        asset = assets.get(asset_id)
        if asset is None or consumer.timetable is None:
            continue
        mapper = consumer.timetable.mapper(asset.name, asset.uri)
        try:
            date = mapper.to_partition_date(pending.record.key) if mapper is not None else _said_date(pending, asset_id)
        except (UserError, ValueError):
            return None
        if date is not None:
            found[date] = None
    if not found:
        return pending.record.date
    return next(iter(found)) if len(found) == 1 else None
