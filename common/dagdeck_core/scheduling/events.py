"""Events: past facts that the scheduling machine is told of.

Decides which facts can reach the machine. Made by the scheduler loop out of reports, rows, timers and
actions, and by the simulation. Every event may carry a `cause` that its decisions repeat.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from dagdeck_core.asset_records import AssetChange, AssetRecord, AssetState
from dagdeck_core.records import (
    ActionRecord,
    DagRecord,
    DagVersionRecord,
    DeadlineRecord,
    PoolRecord,
    RunRecord,
    TaskRecord,
    WorkerRecord,
)
from dagdeck_core.wire import FinishedDispatch, FiredTrigger
from dagdeck_core.work import WorkRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class DagChanged:
    """A DAG is new, has a new version, or its row changed (paused, stale)."""

    dag: DagRecord
    version: DagVersionRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class DagRemoved:
    """A DAG's row is gone."""

    dag_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionLoaded:
    """An older version that a loaded run is pinned to."""

    version: DagVersionRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class RunLoaded:
    """The whole truth about one run, read under the leadership lock. Replaces what was known of it.

    `tasks` holds every task_instance row of the run. Used at start, after a failed commit, by the
    reconciler, and before an action on a run that is not in memory.
    """

    run: RunRecord
    tasks: tuple[TaskRecord, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PredecessorFound:
    """Which run came before `run_key` in its DAG: its key, or 0 for none. It was loaded before."""

    run_key: int
    predecessor_key: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DagDue:
    """The moment stored as a DAG's next_run_after may have come (a wake-up; the machine looks at `now`)."""

    dag_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DispatchesClaimed:
    """A worker claimed these: (run_key, ti_id, dispatch_no)."""

    worker_id: int
    dispatches: tuple[tuple[int, int, int], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DispatchesFinished:
    """A worker ended these and committed their states."""

    worker_id: int
    finished: tuple[FinishedDispatch, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TriggersFired:
    """Triggers of deferred task instances fired. `stored`: these were read from the database, not told."""

    items: tuple[FiredTrigger, ...]
    stored: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkersSeen:
    """All worker rows that are not stopped or lost, with their lease counters, as read at `mono` seconds.

    `mono` is the scheduler's own monotonic clock. Reads further apart than half the lease time are
    a gap: silence before it proves nothing.
    """

    workers: tuple[WorkerRecord, ...]
    mono: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolsLoaded:
    """All pools."""

    pools: tuple[PoolRecord, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionPosted:
    """A person's action; the runs it names were loaded before.

    `existing_run_ids` answers whether the run_id or logical date of a trigger is taken:
    run_id → run_key of runs of that DAG. `ended_run` is the run that a deletion names, when it has ended and is not
    in memory: its task instances need not be loaded to delete them.
    """

    record: ActionRecord
    existing_run_ids: Mapping[str, int] = field(default_factory=dict)
    logical_date_taken: bool = False
    ended_run: RunRecord | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DagRunsFound:
    """Some of a DAG's runs, for its removal (`Machine.dag_runs_wanted`); `more` when there may be others."""

    dag_id: str
    run_keys: tuple[int, ...]
    more: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class AssetsLoaded:
    """The whole truth about assets and what waits for DAGs, read under the leadership lock."""

    state: AssetState


@dataclass(frozen=True, slots=True, kw_only=True)
class AssetNamesLoaded:
    """All assets, and what aliases stand for: DAGs have changed. What waits for DAGs is as known."""

    assets: tuple[AssetRecord, ...]
    aliases: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class AssetChangesPosted:
    """Asset events that tasks and watchers have committed and that are not registered yet."""

    changes: tuple[AssetChange, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueSwitched:
    """Hints go through the queue from now on (`on`), or through the `ready` table."""

    on: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkLoaded:
    """All work that is not settled, the oldest first, as far as one read goes. Replaces what was known of it."""

    works: tuple[WorkRecord, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadlinesLoaded:
    """All deadlines that were neither missed nor met. Replaces what was known of them."""

    deadlines: tuple[DeadlineRecord, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class AverageFound:
    """How long past runs of a run's DAG took: `runs` of them, `seconds` on average."""

    run_key: int
    number: int
    runs: int
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick:
    """Time has passed; nothing else."""


Event = (
    DagChanged
    | DagRemoved
    | VersionLoaded
    | RunLoaded
    | PredecessorFound
    | DagDue
    | DispatchesClaimed
    | DispatchesFinished
    | TriggersFired
    | WorkersSeen
    | PoolsLoaded
    | ActionPosted
    | DagRunsFound
    | AssetsLoaded
    | AssetNamesLoaded
    | AssetChangesPosted
    | QueueSwitched
    | WorkLoaded
    | DeadlinesLoaded
    | AverageFound
    | Tick
)
