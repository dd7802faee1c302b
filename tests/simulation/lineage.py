"""Assets in the simulation: what tasks emit, the DAGs that listen to it, and the promises about both.

Decides that no event may be lost, none registered twice, none consumed twice by one DAG, and that no DAG waits for
what has come. Called by the cluster, its workers and the checks.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Set
from typing import TYPE_CHECKING, Any

from dagdeck import Asset, PartitionedAssetTimetable
from dagdeck.assets import BaseAsset
from dagdeck.partition_mappers import (
    FixedKeyMapper,
    IdentityMapper,
    PartitionSatisfaction,
    RollupMapper,
    SegmentWindow,
    WaitPolicy,
)
from dagdeck_core.asset_records import AssetRecord, OutletEvent, QueuedEvent
from dagdeck_core.spec import DagSpec, TaskSpec
from dagdeck_core.timetables import AssetTriggeredSpec, TimetableSpec
from dagdeck_core.work import JudgePartition, MapKeys

if TYPE_CHECKING:
    from tests.simulation.cluster import Cluster

NAMES = ("raw", "clean")
KEYS = ("k0", "k1")
_RAW, _CLEAN = (Asset(name) for name in NAMES)
ASSETS = tuple(AssetRecord(asset_id=number, name=name, uri=name) for number, name in enumerate(NAMES, start=1))
_ROLLUP = RollupMapper(upstream_mapper=FixedKeyMapper("all"), window=SegmentWindow(list(KEYS)))


class Own(IdentityMapper):
    """Code of an author's, which only a worker can ask (`answer_keys`)."""

    def to_downstream(self, key: str) -> str:
        """The key itself."""
        return key


class Both(WaitPolicy):
    """Waits for both keys by looking at them."""

    def is_satisfied_by_keys(self, *, matched: Set[str], expected: Set[str]) -> PartitionSatisfaction:
        """Whether both are there."""
        return PartitionSatisfaction(expected <= matched, unreachable=False, unreachable_reason=None)


_GATHER = RollupMapper(upstream_mapper=FixedKeyMapper("all"), window=SegmentWindow(list(KEYS)), wait_policy=Both())
LISTENERS: dict[str, tuple[BaseAsset, TimetableSpec]] = {
    "any": (_RAW | _CLEAN, AssetTriggeredSpec()),
    "all": (_RAW & _CLEAN, AssetTriggeredSpec()),
    "each": (
        _RAW | _CLEAN,
        PartitionedAssetTimetable(assets=_RAW | _CLEAN, default_partition_mapper=IdentityMapper()).spec,
    ),
    "together": (_RAW, PartitionedAssetTimetable(assets=_RAW, default_partition_mapper=_ROLLUP).spec),
    "each_asked": (
        _RAW | _CLEAN,
        PartitionedAssetTimetable(assets=_RAW | _CLEAN, default_partition_mapper=Own()).spec,
    ),
    "together_asked": (_RAW, PartitionedAssetTimetable(assets=_RAW, default_partition_mapper=_GATHER).spec),
}
"""dag_id → what it listens to: any, all, each key by itself, all keys together, the last two by an author's code."""
EACH, TOGETHER = ("each", "each_asked"), ("together", "together_asked")


def answer_keys(dag_id: str, order: MapKeys) -> list[dict[str, Any]]:
    """What the authors' mappers say of events."""
    if dag_id in EACH:
        return [{"keys": [{"key": event.key}]} for event in order.events]
    said = {"key": "all", "expected": len(KEYS), "is_expected": True, "by_keys": True}
    return [{"keys": [said]} for _ in order.events]


def answer_policy(order: JudgePartition) -> bool:
    """What the author's wait policy says."""
    return set(KEYS) <= set(order.arrived)


def listeners(seed: int) -> tuple[DagSpec, ...]:
    """The DAGs of this seed that listen; there are none in many."""
    rng = random.Random(f"listeners/{seed}")
    if rng.random() < 0.5:
        return ()
    return tuple(
        DagSpec(
            dag_id=dag_id,
            fileloc=f"{dag_id}.py",
            tasks=(TaskSpec(task_id="t0", task_type="Sim"),),
            timetable=timetable,
            asset_expression=condition.as_expression(),
            # One at a time, all the runs that these two get would not end in time.
            max_active_runs=rng.choice([1, 16]) if dag_id in ("any", "all", "each", "together") else 16,
        )
        for dag_id, (condition, timetable) in LISTENERS.items()
        if rng.random() < 0.5
    )


def emitted_by(cluster: Cluster, dag_id: str, task_id: str) -> tuple[OutletEvent, ...]:
    """What a success of this task emits."""
    rng = random.Random(f"outlets/{cluster.seed}/{dag_id}/{task_id}")
    if not cluster.scenario.listeners or dag_id in LISTENERS or rng.random() < 0.4:
        return ()
    return tuple(
        OutletEvent(name=name, uri=name, partition_key=rng.choice([None, *KEYS]))
        for name in rng.choices(NAMES, k=rng.randint(1, 3))
    )


def _unasked(cluster: Cluster) -> set[str]:
    """DAGs whose code nobody could ask, because three workers in a row were lost while they did.

    They do not get the event that the question was about, or wait on until other keys have come.
    """
    orders = (MapKeys, JudgePartition)
    return {work.dag_id for work in cluster.db.works.values() if isinstance(work.order, orders) and work.error}


def is_quiet(cluster: Cluster) -> bool:
    """Whether every event is registered, and nobody has what it waits for."""
    return not (
        cluster.db.asset_changes
        or _asked(cluster)
        or any(
            _due(cluster, spec.dag_id) and spec.dag_id not in _unasked(cluster) for spec in cluster.scenario.listeners
        )
    )


def _asked(cluster: Cluster) -> list[int]:
    """Questions about partitions that nobody has answered."""
    orders = (MapKeys, JudgePartition)
    works = cluster.db.works.items()
    return [key for key, work in works if isinstance(work.order, orders) and key not in cluster.db.settled]


def _due(cluster: Cluster, dag_id: str) -> bool:
    """Whether what waits for a DAG is enough for a run."""
    waiting = [event for event in cluster.db.queued.values() if event.dag_id == dag_id and event.counts]
    match dag_id:
        case "all":
            return len({event.asset_id for event in waiting}) == len(NAMES)
        case "together" | "together_asked":
            return any(len(keys) == len(KEYS) for keys in _keys_by_partition(waiting).values())
    return bool(waiting)


def _keys_by_partition(waiting: list[QueuedEvent]) -> dict[int, set[str | None]]:
    found: dict[int, set[str | None]] = {}
    for event in waiting:
        found.setdefault(event.partition_id, set()).add(event.source_key)
    return found


def check_assets(cluster: Cluster) -> None:
    """Every promise about the assets of a finished cluster."""
    db, seed = cluster.db, cluster.seed
    assert not db.asset_changes, f"seed {seed}: {db.asset_changes} were never registered"
    unasked = _unasked(cluster)
    problems = {problem.event for problem in db.asset_problems.values()}
    possible = {"missing partition key"}
    if unasked:
        possible |= {"failed to map partition_key", "failed to evaluate rollup"}
    assert problems <= possible, f"seed {seed}: {problems}"
    wanted = Counter(
        (change.source_dag_id, change.source_run_id, change.source_task_id, event.name, event.partition_key)
        for change in db.emitted.values()
        for event in change.events
    )
    names = {asset.asset_id: asset.name for asset in ASSETS}
    found = Counter(
        (event.source_dag_id, event.source_run_id, event.source_task_id, names[event.asset_id], event.partition_key)
        for event in db.asset_events.values()
    )
    assert found == wanted, f"seed {seed}: registered {found - wanted} too much, {wanted - found} not at all"
    for spec in cluster.scenario.listeners:
        if spec.dag_id not in unasked:
            _check_listener(cluster, spec.dag_id)


def _check_listener(cluster: Cluster, dag_id: str) -> None:
    """Each event that the DAG listens to was consumed by one run of the right partition, or still waits."""
    db, story = cluster.db, f"seed {cluster.seed}: {dag_id}"
    by_key, raw_only = dag_id in (*EACH, *TOGETHER), dag_id in TOGETHER
    wanted = {
        event.event_id
        for event in db.asset_events.values()
        if (event.partition_key is not None) is by_key and not (raw_only and event.asset_id != 1)
    }
    consumed = [(run_key, event_id) for (run_key, event_id), owner in db.consumed.items() if owner == dag_id]
    waiting = [event.event_id for event in db.queued.values() if event.dag_id == dag_id]
    seen = Counter([*(event_id for _, event_id in consumed), *waiting])
    if by_key:
        # An event with a key is not kept for a DAG that is paused.
        wanted -= {event_id for event_id in wanted if event_id not in seen and dag_id in cluster.people.paused}
    assert seen == Counter(wanted), f"{story} consumed or kept {seen}, and should {wanted}"
    assert not _due(cluster, dag_id), f"{story} waits for what has come"
    by_run: dict[int, set[int]] = {}
    for run_key, event_id in consumed:
        by_run.setdefault(run_key, set()).add(event_id)
    runs = {key for key, run in (db.runs | db.deleted).items() if run.dag_id == dag_id}
    assert runs == set(by_run), f"{story} has runs without events"
    for run_key, event_ids in by_run.items():
        events = [db.asset_events[event_id] for event_id in sorted(event_ids)]
        key, keys = db.every_run(run_key).partition_key, {event.partition_key for event in events}
        if dag_id == "all":
            assert len({event.asset_id for event in events}) == len(NAMES), f"{story}: {run_key} had {events}"
        elif by_key:
            complete = set(KEYS) if dag_id in TOGETHER else {key}
            assert keys == complete, f"{story}: the run of {key} had {keys}"
