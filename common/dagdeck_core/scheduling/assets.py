"""Assets in the scheduling machine: events are registered, queued for those who listen, and consumed by runs.

Decides which DAGs an event reaches and what is dropped of what waits for them. Which partitions it belongs to is
decided by `asset_partitions`, when runs are made by `asset_runs`. Called by the machine and, for people, by `people`.

Each event is registered in the transaction that removes it from its change, and consumed in the transaction that
creates its run, both guarded by the rows themselves.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec

from dagdeck_core.asset_records import AssetChange, AssetRecord, AssetState, OutletEvent, QueuedEvent
from dagdeck_core.scheduling import asset_news
from dagdeck_core.scheduling.asset_conditions import AssetNames, leaves
from dagdeck_core.scheduling.asset_decisions import (
    AdvanceChange,
    CreateAsset,
    DropPartition,
    DropQueued,
    LinkAlias,
    WriteAssetEvent,
)
from dagdeck_core.scheduling.asset_partitions import queue_in_partitions
from dagdeck_core.scheduling.asset_queueing import Emitted, queue_event, tell
from dagdeck_core.scheduling.asset_queues import Backlog, Consumer, Queue
from dagdeck_core.timetables.partitioned import AssetTriggeredTimetable
from dagdeck_core.work import NewsOfEvent

if TYPE_CHECKING:
    from dagdeck_core.scheduling.world import DagEntry, World


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
    unmapped: dict[str, list[Emitted]] = field(default_factory=dict)
    """dag_id → events of this step whose keys only code of the author's can map."""
    unjudged: dict[tuple[str, int, int], None] = field(default_factory=dict)
    """(dag_id, partition_id, asset_id) of which this step must ask the author's wait policy."""
    news: dict[str, list[NewsOfEvent]] = field(default_factory=dict)
    """dag_id → events of this step that listeners among its plugins want to be told of."""
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
    is_known = not event.aliases or world.assets.names.find(event.name, event.uri) is not None
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
    found = Emitted(
        event_id=event_id, asset=asset, key=key, date=change.partition_date if own_key else None, change=change
    )
    consumers = _listening(world, asset, event.aliases)
    asset_news.note(world, found, event, consumers, is_new=not is_known)
    for dag_id in consumers:
        consumer = world.assets.consumers[dag_id]
        if consumer.timetable is not None:
            queue_in_partitions(world, consumer, consumer.timetable, found)
        elif key is None:
            queue_event(world, consumer, found, counts=not world.is_paused(dag_id))
    return event_id


def _asset_of(world: World, change: AssetChange, event: OutletEvent) -> AssetRecord | None:
    """The asset of an event; one that an alias led to is made if need be."""
    names = world.assets.names
    asset = names.by_id.get(event.asset_id) if event.asset_id else names.find(event.name, event.uri)
    if not event.aliases:
        if asset is None or not asset.is_active:
            wanted = f"the id {event.asset_id}" if event.asset_id else f"the name {event.name!r} and URI {event.uri!r}"
            tell(world, change, "asset is not active", f"no event was recorded: no active asset has {wanted}")
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
