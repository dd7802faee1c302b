"""Partition mappers, windows and wait policies that are code of the author's: asked for as work, answered as data.

Decides when they are asked, what an answer means for what waits, and what people are told of code that raises or
hangs. An event whose key must be mapped so stands in the question until its answer is taken in, both in one
transaction: none is lost and none counts twice. Called by the machine.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from dagdeck_core.asset_records import AssetChange, MappedKey
from dagdeck_core.scheduling import side_work
from dagdeck_core.scheduling.asset_decisions import NoteAssetProblem
from dagdeck_core.scheduling.asset_partitions import arrived_keys, cannot_map, last_said, queue_mapped
from dagdeck_core.scheduling.asset_queueing import Emitted
from dagdeck_core.scheduling.asset_queues import Pending
from dagdeck_core.work import JudgePartition, KeyToMap, MapKeys, WorkRecord, WorkState

if TYPE_CHECKING:
    from dagdeck_core.scheduling.world import World


class MappedEvent(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What code of the author's said of one event; `problem` when it could not."""

    keys: tuple[MappedKey, ...] = ()
    problem: str = ""


def ask(world: World) -> None:
    """Make the questions that this step has noted."""
    unmapped, world.assets.unmapped = world.assets.unmapped, {}
    for dag_id, emitted in unmapped.items():
        _ask_for_keys(world, dag_id, emitted)
    unjudged, world.assets.unjudged = world.assets.unjudged, {}
    for dag_id, partition_id, asset_id in unjudged:
        _ask_for_judgement(world, dag_id, partition_id, asset_id)


def _ask_for_keys(world: World, dag_id: str, emitted: list[Emitted]) -> None:
    """Ask for the keys that these events lead to: one question for what came from one task."""
    by_change: dict[int, list[Emitted]] = {}
    for each in emitted:
        by_change.setdefault(each.change.change_id, []).append(each)
    for events in by_change.values():
        change = events[0].change
        order = MapKeys(
            rollup=world.assets.consumers[dag_id].rollup,
            events=tuple(
                KeyToMap(
                    event_id=each.event_id,
                    asset_id=each.asset.asset_id,
                    name=each.asset.name,
                    uri=each.asset.uri,
                    key=each.key or "",
                    date=each.date,
                )
                for each in events
            ),
            source_dag_id=change.source_dag_id,
            source_run_id=change.source_run_id,
            source_task_id=change.source_task_id,
            source_map_index=change.source_map_index,
        )
        _create(world, dag_id, order)


def _create(world: World, dag_id: str, order: MapKeys | JudgePartition) -> None:
    side_work.create(world, order, dag_id=dag_id, version_id=world.dags[dag_id].version.version_id)


def keys_mapped(world: World, work: WorkRecord) -> None:
    """A mapper answered, or its code failed: queue the events for their partitions, or tell people.

    What an answer leaves out, because it would be too large, is asked for again, and so is what this step's rows do
    not suffice for.
    """
    order, consumer = work.order, world.assets.consumers.get(work.dag_id)
    if not isinstance(order, MapKeys) or consumer is None or consumer.rollup != order.rollup:
        return  # The DAG does not listen in this way any more: what waited for it so is dropped.
    answers, problem = _read(work)
    for number, event in enumerate(order.events):
        if not problem and (number == len(answers) or (number and world.rows_left <= 0)):
            _create(world, work.dag_id, msgspec.structs.replace(order, events=order.events[number:]))
            return
        asset = world.assets.names.by_id.get(event.asset_id)
        if asset is None:
            continue
        emitted = Emitted(
            event_id=event.event_id, asset=asset, key=event.key, date=event.date, change=_source(world, order)
        )
        why = problem or answers[number].problem
        if why:
            cannot_map(world, consumer, emitted, why)
        else:
            queue_mapped(world, consumer, emitted, answers[number].keys, is_kept=True)


def _read(work: WorkRecord) -> tuple[tuple[MappedEvent, ...], str]:
    if work.state is not WorkState.SUCCESS:
        return (), work.error or "its code ended without saying why"
    try:
        answers = msgspec.convert(work.answer or (), tuple[MappedEvent, ...], strict=False)
    except msgspec.ValidationError as error:
        return (), f"the answer cannot be read: {error}"
    return answers, "" if answers else "there was no answer"


def _source(world: World, order: MapKeys) -> AssetChange:
    """Where the events of a question came from."""
    return AssetChange(
        change_id=0,
        events=(),
        at=world.now,
        source_dag_id=order.source_dag_id,
        source_run_id=order.source_run_id,
        source_task_id=order.source_task_id,
        source_map_index=order.source_map_index,
    )


# ---------------------------------------------------------------- wait policies that look at keys


def _ask_for_judgement(world: World, dag_id: str, partition_id: int, asset_id: int) -> None:
    """Ask whether the keys that have come are enough, unless that question is open."""
    pending = _pending(world, dag_id, partition_id)
    asset = world.assets.names.by_id.get(asset_id)
    if pending is None or asset is None or last_said(pending, asset_id) is None:
        return
    for work in world.side.by_id.values():
        order = work.record.order
        if isinstance(order, JudgePartition) and (order.partition_id, order.asset_id) == (partition_id, asset_id):
            return
    order = JudgePartition(
        partition_id=partition_id,
        key=pending.record.key,
        asset_id=asset_id,
        name=asset.name,
        uri=asset.uri,
        arrived=arrived_keys(pending, asset_id),
    )
    _create(world, dag_id, order)


def _pending(world: World, dag_id: str, partition_id: int) -> Pending | None:
    backlog = world.assets.backlogs.get(dag_id)
    return None if backlog is None else backlog.partitions.get(partition_id)


def partition_judged(world: World, work: WorkRecord) -> None:
    """A wait policy answered: whether these keys are enough. One that fails says no, until more have come."""
    order = work.order
    if not isinstance(order, JudgePartition):
        return
    pending = _pending(world, work.dag_id, order.partition_id)
    if pending is not None:
        if work.state is not WorkState.SUCCESS:
            _tell_of_policy(world, work, order)
        is_enough = work.state is WorkState.SUCCESS and work.answer is True
        pending.judged[order.asset_id] = (order.arrived, is_enough)
        world.assets.due[work.dag_id] = None


def _tell_of_policy(world: World, work: WorkRecord, order: JudgePartition) -> None:
    why = work.error or "its code ended without saying why"
    world.emit(
        NoteAssetProblem(
            event="failed to evaluate rollup",
            message=f"the wait policy of asset {order.name!r} for the partition {order.key!r} of the DAG "
            f"{work.dag_id!r} could not be asked: {why}",
            dag_id=work.dag_id,
        )
    )


ON_ANSWER: dict[type, Any] = {MapKeys: keys_mapped, JudgePartition: partition_judged}
"""Order's type → what goes on when it has ended."""
