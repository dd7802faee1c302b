"""Runs that assets start.

Decides when a DAG whose condition holds gets a run, which events that run consumes, and what it is called. Does not
decide which events wait for a DAG (`scheduling.assets`). Called by the machine in every step.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from dagdeck_core.scheduling import asset_partitions, assets, runs
from dagdeck_core.scheduling.asset_conditions import holds
from dagdeck_core.scheduling.asset_decisions import ConsumeEvents, DropPartition
from dagdeck_core.scheduling.asset_queues import Backlog, Consumer, Queue
from dagdeck_core.states import DagRunType
from dagdeck_core.timetables import run_id_for

if TYPE_CHECKING:
    from dagdeck_core.scheduling.world import DagEntry, World


def create_runs(world: World) -> None:
    """Create the runs of the DAGs in which an event or a free place may have made one possible."""
    for dag_id in list(world.assets.due):
        if world.rows_left <= 0:
            return
        del world.assets.due[dag_id]
        assets.drop_outdated(world, dag_id)
        entry, consumer = world.dags.get(dag_id), world.assets.consumers.get(dag_id)
        backlog = world.assets.backlogs.get(dag_id)
        if entry is None or consumer is None or backlog is None or entry.record.is_paused or entry.record.is_stale:
            continue
        if consumer.timetable is not None:
            _of_partitions(world, entry, consumer, backlog)
        elif backlog.queue and holds(consumer.expression, world.assets.names, backlog.queue.counts):
            _of_queue(world, entry, backlog)


def _of_queue(world: World, entry: DagEntry, backlog: Backlog) -> None:
    """One run for all that waits, unless max_active_runs has no room: then more gathers until it has."""
    limit = entry.version.spec.max_active_runs
    if limit and len(entry.runs) >= limit:
        return
    events = backlog.queue.events()
    triggered = max((event.at for event in events if event.counts), default=world.now)
    _create(world, entry, backlog.queue, run_after=triggered)
    if not backlog:
        del world.assets.backlogs[entry.record.dag_id]


def _of_partitions(world: World, entry: DagEntry, consumer: Consumer, backlog: Backlog) -> None:
    """One run for each partition that is complete, oldest first."""
    for partition_id, pending in list(backlog.partitions.items()):
        if not asset_partitions.is_complete(world, consumer, pending):
            continue
        if world.rows_left <= 0:
            world.assets.due[entry.record.dag_id] = None
            return
        _create(
            world,
            entry,
            pending.queue,
            run_after=world.now,
            partition_id=partition_id,
            partition_key=pending.record.key,
            partition_date=asset_partitions.partition_date(consumer, pending, world.assets.names.by_id),
        )
        backlog.drop_partition(partition_id)
        world.emit(DropPartition(partition_id=partition_id))
    if not backlog:
        del world.assets.backlogs[entry.record.dag_id]


def _create(
    world: World,
    entry: DagEntry,
    queue: Queue,
    *,
    run_after: datetime,
    partition_id: int = 0,
    partition_key: str | None = None,
    partition_date: datetime | None = None,
) -> None:
    run_key = world.new_id()
    runs.create_run(
        world,
        entry,
        run_id=run_id_for(DagRunType.ASSET_TRIGGERED, run_after, f"{run_key:x}"),
        run_type=DagRunType.ASSET_TRIGGERED,
        run_after=run_after,
        logical_date=None,
        interval=None,
        triggered_by="asset",
        partition_key=partition_key,
        partition_date=partition_date,
        run_key=run_key,
    )
    events = queue.events()
    queue.remove(events)
    world.emit(
        ConsumeEvents(
            run_key=run_key,
            dag_id=entry.record.dag_id,
            partition_id=partition_id,
            event_ids=tuple(event.event_id for event in events),
        ),
        rows=2 * len(events),
    )
