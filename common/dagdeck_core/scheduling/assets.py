"""Assets in the scheduling machine: events are registered, queued for those who listen, and consumed by runs.

Decides which DAGs an event reaches, into which of their partitions, and when a DAG's condition holds; creates the
runs. Does not evaluate users' code: a mapper of the author's own is told of as a problem. Called by the machine.

Each event is registered in the transaction that removes it from its change, and consumed in the transaction that
creates its run, both guarded by the rows themselves.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

import msgspec

from dagdeck_core.asset_records import (
    AssetChange,
    AssetRecord,
    AssetState,
    OutletEvent,
    PartitionRecord,
    QueuedEvent,
)
from dagdeck_core.errors import UserError
from dagdeck_core.partitions.mappers import PartitionMapper, RollupMapper, downstream_keys
from dagdeck_core.scheduling.asset_conditions import AssetNames, holds, leaves
from dagdeck_core.scheduling.asset_decisions import (
    AdvanceChange,
    CreateAsset,
    DropPartition,
    DropQueued,
    LinkAlias,
    NoteAssetProblem,
    QueueEvent,
    WriteAssetEvent,
    WritePartition,
)
from dagdeck_core.scheduling.asset_queues import Backlog, Consumer, Pending, Queue
from dagdeck_core.timetables.partitioned import AssetTriggeredTimetable

if TYPE_CHECKING:
    from dagdeck_core.scheduling.world import DagEntry, World

MOST_QUEUED = 1000
"""Most events of one asset that wait for one DAG or partition; the oldest makes room for the newest."""


@dataclass(slots=True)
class Assets:
    """All that the machine remembers of assets."""

    names: AssetNames = field(default_factory=AssetNames)
    consumers: dict[str, Consumer] = field(default_factory=dict)
    listeners: dict[tuple[str, str, str], dict[str, None]] = field(default_factory=dict)
    """What conditions name (`asset_conditions.leaves`) → dag_ids."""
    backlogs: dict[str, Backlog] = field(default_factory=dict)
    changes: dict[int, AssetChange] = field(default_factory=dict)
    """Posted and not registered yet, in order."""
    due: dict[str, None] = field(default_factory=dict)
    """DAGs whose condition may hold now."""
    is_stale: bool = False
    """A transaction failed: rows must be read again."""

    def backlog(self, dag_id: str) -> Backlog:
        """What waits for a DAG."""
        found = self.backlogs.get(dag_id)
        if found is None:
            found = self.backlogs[dag_id] = Backlog()
        return found


# ---------------------------------------------------------------- facts come in


def loaded(world: World, state: AssetState) -> None:
    """Take in all rows about assets, replacing what was known."""
    assets = world.assets
    assets.names = AssetNames()
    assets.backlogs = {}
    assets.is_stale = False
    for asset in state.assets:
        assets.names.add(asset)
    for alias, asset_id in state.aliases:
        assets.names.link(alias, asset_id)
    for partition in state.partitions:
        assets.backlog(partition.dag_id).add_partition(partition)
    for event in state.queued:
        assets.backlog(event.dag_id).add(event)
    for dag_id in assets.backlogs:
        assets.due[dag_id] = None


def names_loaded(world: World, assets: tuple[AssetRecord, ...], aliases: tuple[tuple[str, int], ...]) -> None:
    """Take in all assets and what aliases stand for; what waits stays as it is."""
    names = AssetNames()
    for asset in assets:
        names.add(asset)
    for alias, asset_id in aliases:
        names.link(alias, asset_id)
    world.assets.names = names
    for dag_id in world.assets.backlogs:
        world.assets.due[dag_id] = None


def dag_changed(world: World, entry: DagEntry) -> None:
    """A DAG is new, has a new version or was unpaused: note what it listens to, and look at what waits for it."""
    dag_id = entry.record.dag_id
    dag_removed(world, dag_id)
    spec = entry.version.spec
    if spec.asset_expression is None or entry.record.is_stale:
        if dag_id in world.assets.backlogs:
            world.assets.due[dag_id] = None
        return
    timetable = entry.timetable if isinstance(entry.timetable, AssetTriggeredTimetable) else None
    is_partitioned = timetable is not None and timetable.partitioned
    rollup = hashlib.sha256(msgspec.json.encode(spec.timetable)).hexdigest() if is_partitioned else ""
    world.assets.consumers[dag_id] = Consumer(
        dag_id=dag_id,
        expression=spec.asset_expression,
        timetable=timetable if is_partitioned else None,
        rollup=rollup,
    )
    for leaf in leaves(spec.asset_expression):
        world.assets.listeners.setdefault(leaf, {})[dag_id] = None
    world.assets.due[dag_id] = None


def dag_removed(world: World, dag_id: str) -> None:
    """Forget what a DAG listens to."""
    known = world.assets.consumers.pop(dag_id, None)
    if known is None:
        return
    for leaf in leaves(known.expression):
        listening = world.assets.listeners.get(leaf)
        if listening is not None:
            listening.pop(dag_id, None)
            if not listening:
                del world.assets.listeners[leaf]


def post(world: World, changes: tuple[AssetChange, ...]) -> None:
    """Take in changes; one that is under way already is not begun again."""
    for change in changes:
        world.assets.changes.setdefault(change.change_id, change)


# ---------------------------------------------------------------- events are registered


def register(world: World) -> None:
    """Register the events of the posted changes, in order, as far as rows allow."""
    assets = world.assets
    for change_id, change in list(assets.changes.items()):
        done = change.done
        while done < len(change.events) and world.rows_left > 0:
            emit_event(world, change, change.events[done])
            done += 1
        ended = done == len(change.events)
        if done == change.done and not ended:
            return
        world.emit(AdvanceChange(change_id=change_id, old_done=change.done, done=done, ended=ended))
        if not ended:
            assets.changes[change_id] = msgspec.structs.replace(change, done=done)
            return
        del assets.changes[change_id]


def emit_event(world: World, change: AssetChange, event: OutletEvent) -> int | None:
    """Record one event and queue it for every DAG that listens; its id, or None when its asset is not there."""
    asset = _asset_of(world, change, event)
    if asset is None:
        return None
    own_key = event.partition_key is None or event.partition_key == change.partition_key
    key = change.partition_key if event.partition_key is None else event.partition_key
    event_id = world.new_id()
    world.emit(
        WriteAssetEvent(
            event_id=event_id,
            asset_id=asset.asset_id,
            at=world.now,
            extra=event.extra,
            source_dag_id=change.source_dag_id,
            source_run_id=change.source_run_id,
            source_task_id=change.source_task_id,
            source_map_index=change.source_map_index,
            partition_key=key,
            aliases=event.aliases,
        ),
        rows=1 + len(event.aliases),
    )
    found = _Emitted(
        event_id=event_id, asset=asset, key=key, date=change.partition_date if own_key else None, change=change
    )
    for dag_id in _listening(world, asset, event.aliases):
        consumer = world.assets.consumers[dag_id]
        if consumer.timetable is not None:
            _queue_in_partitions(world, consumer, consumer.timetable, found)
        elif key is None:
            _queue(world, consumer, found, counts=not world.is_paused(dag_id))
    return event_id


@dataclass(frozen=True, slots=True, kw_only=True)
class _Emitted:
    """An event while it is being queued. `date` is the producing run's, where the key is its too."""

    event_id: int
    asset: AssetRecord
    key: str | None
    date: datetime | None
    change: AssetChange


def _asset_of(world: World, change: AssetChange, event: OutletEvent) -> AssetRecord | None:
    """The asset of an event; one that an alias led to is made if need be."""
    names = world.assets.names
    asset = names.by_id.get(event.asset_id) if event.asset_id else names.find(event.name, event.uri)
    if not event.aliases:
        if asset is None or not asset.is_active:
            wanted = f"the id {event.asset_id}" if event.asset_id else f"the name {event.name!r} and URI {event.uri!r}"
            _tell(world, change, "asset is not active", f"no event was recorded: no active asset has {wanted}")
            return None
        return asset
    is_free = event.name not in names.active_by_name and event.uri not in names.active_by_uri
    if asset is None:
        asset = AssetRecord(
            asset_id=world.new_id(),
            name=event.name,
            uri=event.uri,
            group=event.group,
            is_active=is_free,
            extra=event.asset_extra,
        )
        names.add(asset)
        world.emit(CreateAsset(asset=asset))
    activates = is_free and not asset.is_active
    if activates:
        asset = msgspec.structs.replace(asset, is_active=True)
        names.add(asset)
    for alias in event.aliases:
        if asset.asset_id not in names.of_alias.get(alias, {}):
            names.link(alias, asset.asset_id)
            world.emit(LinkAlias(alias=alias, asset_id=asset.asset_id, activates=activates))
    return asset


def _listening(world: World, asset: AssetRecord, aliases: tuple[str, ...]) -> list[str]:
    """The DAGs whose condition names the asset, a reference to it, or an alias that the event came through."""
    listeners = world.assets.listeners
    wanted = [("asset", asset.name, asset.uri), ("ref", asset.name, ""), ("ref", "", asset.uri)]
    wanted += [("alias", alias, "") for alias in aliases]
    found: dict[str, None] = {}
    for leaf in wanted:
        found.update(listeners.get(leaf, {}))
    return list(found)


def _queue(
    world: World, consumer: Consumer, emitted: _Emitted, *, counts: bool, pending: Pending | None = None
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
    )
    queue.add(event)
    world.emit(QueueEvent(queued=event))
    world.assets.due[consumer.dag_id] = None


# ---------------------------------------------------------------- partitions


def _queue_in_partitions(
    world: World, consumer: Consumer, timetable: AssetTriggeredTimetable, emitted: _Emitted
) -> None:
    """Queue the event for each partition of the DAG that its key leads to."""
    if world.is_paused(consumer.dag_id):
        return
    asset, key = emitted.asset, emitted.key
    if key is None:
        _tell(
            world,
            emitted.change,
            "missing partition key",
            f"the DAG {consumer.dag_id!r} has partitions, but the event of asset {asset.name!r} has no partition key",
        )
        return
    mapper = timetable.mapper(asset.name, asset.uri)
    place = f"asset (name={asset.name!r}, uri={asset.uri!r}) in target Dag {consumer.dag_id!r}"
    if mapper is None:
        _tell(
            world,
            emitted.change,
            "failed to map partition_key",
            f"could not map partition_key {key!r} of {place}: its mapper is code of the DAG's author",
        )
        return
    try:
        keys = downstream_keys(mapper, key)
    except (UserError, ValueError) as error:
        message = f"could not map partition_key {key!r} of {place}: {error}"
        _tell(world, emitted.change, "failed to map partition_key", message)
        return
    limit = mapper.max_downstream_keys or world.settings.most_downstream_keys
    if len(keys) > limit:
        message = f"partition_key {key!r} of {place} leads to {len(keys)} keys, more than {limit}; no run was queued"
        _tell(world, emitted.change, "partition fan-out exceeded", message)
        return
    for each in keys:
        pending = _partition(world, consumer, each, mapper.carry_partition_date(emitted.date))
        _queue(world, consumer, emitted, counts=True, pending=pending)


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


def is_complete(consumer: Consumer, names: AssetNames, pending: Pending) -> bool:
    """Whether a partition's condition holds: assets whose mapper rolls up count once their window is full enough."""
    timetable = consumer.timetable
    if timetable is None:
        return False
    has_changed: dict[int, bool] = {}
    for asset_id, events in pending.queue.by_asset.items():
        asset = names.by_id.get(asset_id)
        if asset is None or not asset.is_active:
            continue
        mapper = timetable.mapper(asset.name, asset.uri)
        has_changed[asset_id] = mapper is not None and _is_full(
            mapper, pending.record.key, dict.fromkeys(event.source_key or "" for event in events.values())
        )
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


def partition_date(consumer: Consumer, names: AssetNames, pending: Pending) -> datetime | None:
    """The date of a partition's run: what its mappers of dates agree on, else what the events brought."""
    found: dict[datetime, None] = {}
    for asset_id in pending.queue.by_asset:
        asset = names.by_id.get(asset_id)
        mapper = consumer.timetable.mapper(asset.name, asset.uri) if asset and consumer.timetable else None
        try:
            date = mapper.to_partition_date(pending.record.key) if mapper is not None else None
        except (UserError, ValueError):
            return None
        if date is not None:
            found[date] = None
    if not found:
        return pending.record.date
    return next(iter(found)) if len(found) == 1 else None


# ---------------------------------------------------------------- what waits is dropped


def drop_outdated(world: World, dag_id: str) -> None:
    """Drop what waits for a DAG in a way in which it no longer listens: with or without partitions, or mapped anew."""
    backlog, consumer = world.assets.backlogs.get(dag_id), world.assets.consumers.get(dag_id)
    if backlog is None or dag_id not in world.dags:
        return
    if backlog.queue and (consumer is None or consumer.timetable is not None):
        drop_events(world, dag_id, backlog.queue, backlog.queue.events())
    for partition_id, pending in list(backlog.partitions.items()):
        if consumer is None or pending.record.rollup != consumer.rollup:
            if pending.queue:
                drop_events(world, dag_id, pending.queue, pending.queue.events(), partition_id)
            backlog.drop_partition(partition_id)
            world.emit(DropPartition(partition_id=partition_id))
    if not backlog:
        del world.assets.backlogs[dag_id]


def drop_events(world: World, dag_id: str, queue: Queue, events: list[QueuedEvent], partition_id: int = 0) -> None:
    """Forget these events of a DAG's queue."""
    queue.remove(events)
    ids = tuple(event.event_id for event in events)
    world.emit(DropQueued(dag_id=dag_id, partition_id=partition_id, event_ids=ids), rows=len(ids))


def _tell(world: World, change: AssetChange, event: str, message: str) -> None:
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
