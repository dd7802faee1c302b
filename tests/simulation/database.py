"""The simulation's metadata database: rows in dictionaries, transactions that undo, faults on demand.

Keeps the contracts of `SchedulerStore` and of a worker's transactions in the plainest way, so that a
difference between it and the machine's memory is the machine's fault. Single-threaded.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, TypeVar

import msgspec

from dagdeck_core.asset_records import AssetChange, AssetRecord, AssetState, OutletEvent, PartitionRecord, QueuedEvent
from dagdeck_core.errors import EnvironmentFault
from dagdeck_core.ports import CommitUnknown, GuardFailed, LeadershipLost, Snapshot
from dagdeck_core.records import (
    ActionRecord,
    DagRecord,
    DagVersionRecord,
    DeadlineRecord,
    PoolRecord,
    RunRecord,
    TaskRecord,
    WorkerRecord,
    WorkerState,
)
from dagdeck_core.scheduling import asset_decisions as ad
from dagdeck_core.scheduling import decisions as d
from dagdeck_core.states import DISPATCHED, DagRunState, TaskInstanceState, may_move, run_may_move
from dagdeck_core.wire import Effects, FiredTrigger
from dagdeck_core.work import ENDED, WorkRecord, WorkState

_S = TaskInstanceState
_replace = msgspec.structs.replace


class Crash(Exception):
    """The process that called dies here."""


Result = TypeVar("Result")


@dataclass
class Lease:
    owner: str = ""
    epoch: int = 0
    counter: int = 0


@dataclass
class SimDatabase:
    """All rows. `faults` rolls for what goes wrong; `down_until` is a simulated time."""

    clock: Callable[[], float]
    rng: random.Random
    down_until: float = -1.0
    unknown_rate: float = 0.0
    dags: dict[str, DagRecord] = field(default_factory=dict)
    revisions: dict[str, int] = field(default_factory=dict)
    versions: dict[int, DagVersionRecord] = field(default_factory=dict)
    runs: dict[int, RunRecord] = field(default_factory=dict)
    tasks: dict[int, TaskRecord] = field(default_factory=dict)
    tasks_of: dict[int, list[int]] = field(default_factory=dict)
    pools: dict[str, PoolRecord] = field(default_factory=dict)
    workers: dict[int, WorkerRecord] = field(default_factory=dict)
    actions: dict[int, ActionRecord] = field(default_factory=dict)
    action_ends: dict[int, d.EndAction] = field(default_factory=dict)
    triggers: dict[int, SimTrigger] = field(default_factory=dict)
    trigger_events: dict[int, FiredTrigger] = field(default_factory=dict)
    next_methods: dict[int, str] = field(default_factory=dict)
    """ti_id → how a task instance goes on after a deferral: "event", "timeout"."""
    ready: dict[int, tuple[str, int, int]] = field(default_factory=dict)
    """dispatch_no → (queue, −priority, ti_id)."""
    lease: Lease = field(default_factory=Lease)
    committed_dispatches: set[int] = field(default_factory=set)
    moves: list[tuple[int, TaskInstanceState, TaskInstanceState, int]] = field(default_factory=list)
    deleted: dict[int, RunRecord] = field(default_factory=dict)
    notes: dict[tuple[int, int | None], str] = field(default_factory=dict)
    works: dict[int, WorkRecord] = field(default_factory=dict)
    warnings: dict[tuple[str, str], str] = field(default_factory=dict)
    deadlines: dict[int, DeadlineRecord] = field(default_factory=dict)
    missed: dict[int, int] = field(default_factory=dict)
    settled: dict[int, WorkRecord] = field(default_factory=dict)
    assets: dict[int, AssetRecord] = field(default_factory=dict)
    aliases: dict[tuple[str, int], bool] = field(default_factory=dict)
    asset_changes: dict[int, AssetChange] = field(default_factory=dict)
    emitted: dict[int, AssetChange] = field(default_factory=dict)
    """Each change that was ever committed."""
    asset_events: dict[int, ad.WriteAssetEvent] = field(default_factory=dict)
    queued: dict[tuple[str, int, int], QueuedEvent] = field(default_factory=dict)
    """(dag_id, partition_id, event_id) → what waits."""
    partitions: dict[int, PartitionRecord] = field(default_factory=dict)
    consumed: dict[tuple[int, int], str] = field(default_factory=dict)
    """(run_key, event_id) → dag_id."""
    asset_problems: dict[int, ad.NoteAssetProblem] = field(default_factory=dict)
    committed: Callable[[Sequence[d.Decision]], None] = lambda decisions: None
    """Called with the decisions of each transaction of the scheduler that took effect."""
    _undo: list[Callable[[], None]] = field(default_factory=list)

    def every_run(self, run_key: int) -> RunRecord:
        """A run, deleted or not."""
        return self.runs.get(run_key) or self.deleted[run_key]

    # ------------------------------------------------------------ transactions

    def reach(self) -> None:
        """Raise when the database cannot be reached now."""
        if self.clock() < self.down_until:
            raise EnvironmentFault("simulated: the database is down")

    def put(self, table: dict[Any, Any], key: object, value: object) -> None:
        """Set or (None) delete a row, remembering how to undo it."""
        missing = object()
        old = table.get(key, missing)
        self._undo.append(lambda: table.pop(key, None) if old is missing else table.__setitem__(key, old))
        if value is None:
            table.pop(key, None)
        else:
            table[key] = value

    def transaction(self, body: Callable[[], Result]) -> Result:
        """Run `body`; undo it when it raises, and sometimes lose the reply to COMMIT (either way)."""
        self.reach()
        self._undo = []
        try:
            result = body()
        except Exception:
            self._roll_back()
            raise
        if self.rng.random() < self.unknown_rate:
            if self.rng.random() < 0.5:
                self._roll_back()
            raise CommitUnknown("simulated: the reply to COMMIT was lost")
        self._undo = []
        return result

    def _roll_back(self) -> None:
        for undo in reversed(self._undo):
            undo()
        self._undo = []

    def move_task(self, row: TaskRecord, new: TaskInstanceState, **changes: object) -> TaskRecord:
        """Write a task instance's move, checking the table of legal moves."""
        assert may_move(row.state, new), f"illegal move {row.state} -> {new}"
        moved = _replace(row, state=new, **changes)
        self.put(self.tasks, row.ti_id, moved)
        self.moves.append((row.ti_id, row.state, new, moved.dispatch_no))
        self._undo.append(lambda: self.moves.__delitem__(-1))
        return moved


@dataclass(frozen=True)
class SimTrigger:
    """A trigger row."""

    trigger_id: int
    ti_id: int
    dispatch_no: int
    run_key: int
    worker_id: int | None = None
    claim_no: int = 0


class SimSchedulerStore:
    """`SchedulerStore` over a SimDatabase, for one master process."""

    def __init__(self, db: SimDatabase, takeover: float) -> None:
        self.db = db
        self.takeover = takeover
        self._seen: tuple[str, int, int] | None = None
        self._seen_at = 0.0

    def acquire_leadership(self, owner: str) -> int | None:
        db = self.db
        db.reach()
        current = (db.lease.owner, db.lease.epoch, db.lease.counter)
        if current != self._seen:
            self._seen, self._seen_at = current, db.clock()
        if db.lease.owner and db.clock() - self._seen_at < self.takeover:
            return None
        db.lease = Lease(owner, db.lease.epoch + 1, 0)
        return db.lease.epoch

    def renew_leadership(self, epoch: int) -> None:
        self._check(epoch)
        self.db.lease.counter += 1

    def release_leadership(self, epoch: int) -> None:
        if self.db.lease.epoch == epoch:
            self.db.lease.owner = ""

    def _check(self, epoch: int) -> None:
        self.db.reach()
        if self.db.lease.epoch != epoch:
            raise LeadershipLost("simulated: another epoch holds the lease")

    def load(self, epoch: int) -> Snapshot:
        self._check(epoch)
        db = self.db
        revoking = dict.fromkeys(task.run_key for task in db.tasks.values() if task.revoke_to is not None)
        runs = tuple(self._whole(key) for key in dict.fromkeys([*self.unfinished_run_keys(epoch), *revoking]))
        return Snapshot(
            dags=tuple(self.load_dags(epoch, None)),
            versions=tuple(db.versions[key] for key in sorted({run.version_id for run, _ in runs})),
            runs=runs,
            pools=tuple(db.pools.values()),
            workers=tuple(self.load_workers()),
            works=self.load_works(epoch),
            deadlines=self.load_deadlines(epoch),
            assets=self.load_assets(epoch),
        )

    def _whole(self, run_key: int) -> tuple[RunRecord, tuple[TaskRecord, ...]]:
        db = self.db
        return db.runs[run_key], tuple(db.tasks[ti_id] for ti_id in db.tasks_of.get(run_key, ()))

    def load_runs(
        self, epoch: int, run_keys: Sequence[int]
    ) -> tuple[list[DagVersionRecord], list[tuple[RunRecord, tuple[TaskRecord, ...]]]]:
        self._check(epoch)
        loaded = [self._whole(key) for key in run_keys if key in self.db.runs]
        return [self.db.versions[run.version_id] for run, _ in loaded], loaded

    def unfinished_run_keys(self, epoch: int) -> list[int]:
        wanted = (DagRunState.QUEUED, DagRunState.RUNNING)
        return sorted(key for key, run in self.db.runs.items() if run.state in wanted)

    def load_dags(self, epoch: int, dag_ids: Sequence[str] | None) -> list[tuple[DagRecord, DagVersionRecord]]:
        self.db.reach()
        names = self.db.dags if dag_ids is None else [name for name in dag_ids if name in self.db.dags]
        return [(self.db.dags[name], self.db.versions[self.db.dags[name].version_id]) for name in names]

    def dag_revisions(self) -> dict[str, int]:
        self.db.reach()
        return dict(self.db.revisions)

    def previous_run_key(self, dag_id: str, before: datetime) -> int | None:
        self.db.reach()
        earlier = [
            (run.logical_date, run.run_key)
            for run in self.db.runs.values()
            if run.dag_id == dag_id and run.logical_date is not None and run.logical_date < before
        ]
        return max(earlier)[1] if earlier else None

    def run_record(self, run_key: int) -> RunRecord | None:
        self.db.reach()
        return self.db.runs.get(run_key)

    def run_keys_of(self, dag_id: str, limit: int) -> list[int]:
        self.db.reach()
        return [run.run_key for run in self.db.runs.values() if run.dag_id == dag_id][:limit]

    def load_pools(self, epoch: int) -> list[PoolRecord]:
        self._check(epoch)
        return list(self.db.pools.values())

    def load_workers(self) -> list[WorkerRecord]:
        self.db.reach()
        gone = (WorkerState.STOPPED, WorkerState.LOST)
        return [worker for worker in self.db.workers.values() if worker.state not in gone]

    def load_deadlines(self, epoch: int) -> tuple[DeadlineRecord, ...]:
        self._check(epoch)
        return tuple(each for key, each in sorted(self.db.deadlines.items()) if key not in self.db.missed)

    def has_deadline(self, run_key: int, number: int) -> bool:
        self.db.reach()
        return any((each.run_key, each.number) == (run_key, number) for each in self.db.deadlines.values())

    def average_runtime(self, dag_id: str, runs: int, before: datetime) -> tuple[int, float]:
        self.db.reach()
        ended = [run for run in self.db.runs.values() if run.dag_id == dag_id and run.state in ("success", "failed")]
        return min(len(ended), runs), 5.0

    def load_works(self, epoch: int) -> tuple[WorkRecord, ...]:
        self._check(epoch)
        return tuple(work for key, work in sorted(self.db.works.items()) if key not in self.db.settled)[:5]

    def pending_actions(self, limit: int) -> list[ActionRecord]:
        self.db.reach()
        return [a for key, a in sorted(self.db.actions.items()) if key not in self.db.action_ends][:limit]

    def load_assets(self, epoch: int) -> AssetState:
        self._check(epoch)
        assets, aliases = self.load_asset_names(epoch)
        return AssetState(
            assets=assets,
            aliases=aliases,
            queued=tuple(sorted(self.db.queued.values(), key=lambda event: event.event_id)),
            partitions=tuple(row for _, row in sorted(self.db.partitions.items())),
        )

    def load_asset_names(self, epoch: int) -> tuple[tuple[AssetRecord, ...], tuple[tuple[str, int], ...]]:
        self._check(epoch)
        return tuple(row for _, row in sorted(self.db.assets.items())), tuple(sorted(self.db.aliases))

    def pending_asset_changes(self, limit: int) -> list[AssetChange]:
        self.db.reach()
        return [change for _, change in sorted(self.db.asset_changes.items())][:limit]

    def trigger_events(self, limit: int) -> list[FiredTrigger]:
        self.db.reach()
        return [event for _, event in sorted(self.db.trigger_events.items())][:limit]

    def trigger_facts(
        self, dag_id: str, run_id: str | None, logical_date: datetime | None
    ) -> tuple[dict[str, int], bool]:
        self.db.reach()
        of_dag = [run for run in self.db.runs.values() if run.dag_id == dag_id]
        return (
            {run.run_id: run.run_key for run in of_dag if run.run_id == run_id},
            logical_date is not None and any(run.logical_date == logical_date for run in of_dag),
        )

    def commit(self, epoch: int, now: datetime, decisions: Sequence[d.Decision]) -> None:
        def body() -> None:
            self._check(epoch)
            for decision in decisions:
                self._apply(now, decision)
            self.db.committed(decisions)

        self.db.transaction(body)

    # ------------------------------------------------------------ decisions

    def _apply(self, now: datetime, decision: d.Decision) -> None:
        match decision:
            case d.CreateRun() | d.MoveRun() | d.DeleteRun() | d.RepinRun():
                self._apply_to_run(now, decision)
            case d.CreateTasks():
                self._create_tasks(decision)
            case d.ExpandTask():
                self._expand_task(decision)
            case d.MoveTask():
                self._move_task(decision)
            case d.Revoke():
                self._revoke(decision)
            case d.WarnDag():
                db = self.db
                db.put(db.warnings, (decision.dag_id, decision.warning_type), decision.message or None)
            case d.StartDeferral():
                self._start_deferral(decision)
            case d.FailDeferral():
                self._fail_deferral(decision)
            case d.DropTriggerEvents(event_ids=ids):
                for event_id in ids:
                    self.db.put(self.db.trigger_events, event_id, None)
            case d.ScheduleNext() | d.PauseDag() | d.CountFailures() | d.DeleteDagRows():
                self._apply_to_dag(decision)
            case d.DeclareWorkerLost() | d.SetWorkerState():
                self._apply_to_worker(decision)
            case d.AnswerInput():
                row = self.db.tasks.get(decision.ti_id)
                if row is None or row.state is not _S.AWAITING_INPUT or row.dispatch_no != decision.dispatch_no:
                    raise GuardFailed("answering a question")
                timed_out = decision.chosen_options is None
                assert not timed_out or (row.next_at is not None and row.next_at <= now), (
                    "nobody had the time to answer"
                )
                self.db.put(self.db.next_methods, row.ti_id, "default" if timed_out else "answer")
            case d.CreateWork() | d.MoveWork() | d.SettleWork():
                self._apply_to_work(decision)
            case d.CreateDeadline() | d.MissDeadline() | d.DropDeadlines():
                self._apply_to_deadline(decision)
            case d.Offer() | d.EmptyReady() | d.WritePool() | d.WriteNote() | d.EndAction():
                self._apply_to_rest(decision)
            case ad.OfAssets():
                apply_to_assets(self.db, decision)

    def _apply_to_run(self, now: datetime, decision: d.CreateRun | d.MoveRun | d.DeleteRun | d.RepinRun) -> None:
        db = self.db
        if isinstance(decision, d.CreateRun):
            run = decision.run
            for other in db.runs.values():
                same_date = run.logical_date is not None and other.logical_date == run.logical_date
                if other.dag_id == run.dag_id and (other.run_id == run.run_id or same_date):
                    raise GuardFailed("run exists", taken=(run.dag_id, run.run_id))
            db.put(db.runs, run.run_key, run)
            return
        known = db.runs.get(decision.run_key)
        if known is None or (isinstance(decision, d.MoveRun) and known.state is not decision.old):
            raise GuardFailed("run state")
        match decision:
            case d.MoveRun():
                assert run_may_move(decision.old, decision.new)
                start = now if decision.new is DagRunState.RUNNING else known.start_date
                db.put(db.runs, known.run_key, _replace(known, state=decision.new, start_date=start))
            case d.RepinRun():
                db.put(db.runs, known.run_key, _replace(known, version_id=decision.version_id))
            case d.DeleteRun():
                for ti_id in db.tasks_of.get(known.run_key, ()):
                    assert db.tasks[ti_id].state not in DISPATCHED, "a live dispatch was deleted"
                    db.put(db.tasks, ti_id, None)
                    end_deferral(db, ti_id)
                for each in [each for each in db.deadlines.values() if each.run_key == known.run_key]:
                    db.put(db.deadlines, each.deadline_id, None)
                for work in [work for work in db.works.values() if work.run_key == known.run_key]:
                    db.put(db.works, work.work_id, None)
                db.put(db.tasks_of, known.run_key, None)
                db.put(db.runs, known.run_key, None)
                db.put(db.deleted, known.run_key, known)

    def _apply_to_dag(self, decision: d.ScheduleNext | d.PauseDag | d.CountFailures | d.DeleteDagRows) -> None:
        db = self.db
        dag = db.dags[decision.dag_id]
        match decision:
            case d.ScheduleNext():
                dag = _replace(
                    dag,
                    next_run_after=decision.run_after,
                    next_interval_start=decision.interval_start,
                    next_interval_end=decision.interval_end,
                    asked=decision.asked,
                )
                if decision.last_interval_start is not None:
                    dag = _replace(
                        dag,
                        last_interval_start=decision.last_interval_start,
                        last_interval_end=decision.last_interval_end,
                    )
            case d.PauseDag():
                dag = _replace(dag, is_paused=decision.is_paused)
                db.put(db.revisions, dag.dag_id, db.revisions[dag.dag_id] + 1)
            case d.CountFailures():
                dag = _replace(dag, consecutive_failures=decision.consecutive_failures)
            case d.DeleteDagRows():
                db.put(db.dags, dag.dag_id, None)
                db.put(db.revisions, dag.dag_id, None)
                return
        db.put(db.dags, dag.dag_id, dag)

    def _apply_to_worker(self, decision: d.DeclareWorkerLost | d.SetWorkerState) -> None:
        db = self.db
        worker = db.workers[decision.worker_id]
        if worker.state in (WorkerState.LOST, WorkerState.STOPPED):
            raise GuardFailed("worker is gone")
        if isinstance(decision, d.SetWorkerState):
            db.put(db.workers, worker.worker_id, _replace(worker, state=WorkerState(decision.state)))
            return
        if worker.counter != decision.counter:
            raise GuardFailed("worker is alive after all")
        db.put(db.workers, worker.worker_id, _replace(worker, state=WorkerState.LOST))
        free_triggers(db, worker.worker_id)

    def _apply_to_rest(self, decision: d.Offer | d.EmptyReady | d.WritePool | d.WriteNote | d.EndAction) -> None:
        db = self.db
        match decision:
            case d.Offer():
                for ti_id, dispatch_no, priority in decision.dispatches:
                    db.put(db.ready, dispatch_no, (decision.queue, -priority, ti_id))
            case d.EmptyReady():
                for dispatch_no in list(db.ready):
                    db.put(db.ready, dispatch_no, None)
            case d.WritePool(slots=None):
                db.put(db.pools, decision.name, None)
            case d.WritePool(slots=int(slots)):
                record = PoolRecord(name=decision.name, slots=slots, include_deferred=decision.include_deferred)
                db.put(db.pools, decision.name, record)
            case d.WriteNote():
                db.put(db.notes, (decision.run_key, decision.ti_id), decision.note)
            case d.EndAction():
                if decision.action_id in db.action_ends:
                    raise GuardFailed("action ended before")
                db.put(db.action_ends, decision.action_id, decision)

    def _apply_to_deadline(self, decision: d.CreateDeadline | d.MissDeadline | d.DropDeadlines) -> None:
        db = self.db
        match decision:
            case d.CreateDeadline(deadline=record):
                assert record.run_key in db.runs
                db.put(db.deadlines, record.deadline_id, record)
            case d.MissDeadline():
                if decision.deadline_id not in db.deadlines or decision.deadline_id in db.missed:
                    raise GuardFailed("missing a deadline")
                db.put(db.missed, decision.deadline_id, decision.work_id)
            case d.DropDeadlines(deadline_ids=ids):
                for deadline_id in ids:
                    if deadline_id not in db.deadlines or deadline_id in db.missed:
                        raise GuardFailed("taking a deadline away")
                    db.put(db.deadlines, deadline_id, None)

    def _apply_to_work(self, decision: d.CreateWork | d.MoveWork | d.SettleWork) -> None:
        db = self.db
        if isinstance(decision, d.CreateWork):
            work = decision.work
            assert work.work_id not in db.works
            self._new_dispatch(work.dispatch_no)
            db.put(db.works, work.work_id, work)
            return
        known = db.works.get(decision.work_id)
        if isinstance(decision, d.SettleWork):
            if known is None or known.dispatch_no != decision.dispatch_no or known.work_id in db.settled:
                raise GuardFailed("settling work")
            assert known.state in ENDED, "work was settled before its end"
            db.put(db.settled, known.work_id, known)
            return
        if known is None or known.state is not decision.old or known.dispatch_no != decision.old_no:
            raise GuardFailed("moving work")
        if decision.new_no != decision.old_no:
            self._new_dispatch(decision.new_no)
        moved = _replace(
            known,
            state=decision.new,
            dispatch_no=decision.new_no,
            worker_id=None,
            lost_count=decision.lost_count,
            error=decision.error,
        )
        db.put(db.works, known.work_id, moved)

    def _new_dispatch(self, dispatch_no: int) -> None:
        assert dispatch_no not in self.db.committed_dispatches, "a dispatch_no was used twice"
        self.db.committed_dispatches.add(dispatch_no)

    def _revoke(self, decision: d.Revoke) -> None:
        row = self.db.tasks[decision.ti_id]
        if row.dispatch_no != decision.dispatch_no or row.state not in (_S.RUNNING, _S.RESTARTING):
            raise GuardFailed("revoke")
        self.db.put(self.db.tasks, row.ti_id, _replace(row, revoke_to=decision.target))

    def _start_deferral(self, decision: d.StartDeferral) -> None:
        row = self.db.tasks[decision.ti_id]
        assert (row.state, row.dispatch_no) == (_S.DEFERRED, decision.dispatch_no)
        trigger = SimTrigger(decision.dispatch_no, row.ti_id, decision.dispatch_no, row.run_key)
        self.db.put(self.db.triggers, trigger.trigger_id, trigger)

    def _fail_deferral(self, decision: d.FailDeferral) -> None:
        db = self.db
        row = db.tasks.get(decision.ti_id)
        if row is None or row.dispatch_no != decision.dispatch_no or row.state is not _S.DEFERRED:
            raise GuardFailed("deferral")
        if any(trigger.ti_id == row.ti_id for trigger in db.triggers.values()):
            assert not any(event.ti_id == row.ti_id for event in db.trigger_events.values())
            db.put(db.next_methods, row.ti_id, "timeout")
        for trigger in [trigger for trigger in db.triggers.values() if trigger.ti_id == row.ti_id]:
            db.put(db.triggers, trigger.trigger_id, None)

    def _create_tasks(self, decision: d.CreateTasks) -> None:
        db = self.db
        run = db.runs.get(decision.run_key)
        if run is None or run.created_tasks != decision.old_count:
            raise GuardFailed("created_tasks")
        ids = list(db.tasks_of.get(run.run_key, ()))
        for seed in decision.seeds:
            row = TaskRecord(
                ti_id=seed.ti_id, run_key=run.run_key, task_id=seed.task.task_id, max_tries=seed.task.retries
            )
            db.put(db.tasks, row.ti_id, row)
            ids.append(row.ti_id)
        db.put(db.tasks_of, run.run_key, ids)
        db.put(db.runs, run.run_key, _replace(run, created_tasks=decision.new_count))

    def _expand_task(self, decision: d.ExpandTask) -> None:
        db = self.db
        ids = list(db.tasks_of.get(decision.run_key, ()))
        taken = {db.tasks[ti_id].map_index for ti_id in ids if db.tasks[ti_id].task_id == decision.task.task_id}
        if decision.summary_id is not None:
            summary = db.tasks.get(decision.summary_id)
            if summary is None or summary.map_index != -1:
                raise GuardFailed("summary instance")
            if decision.is_last:
                db.put(db.tasks, summary.ti_id, _replace(summary, map_index=0))
        for map_index, ti_id in enumerate(decision.ti_ids, decision.first_index):
            if map_index in taken:
                raise GuardFailed(f"instance {map_index} of {decision.task.task_id} exists")
            row = TaskRecord(
                ti_id=ti_id,
                run_key=decision.run_key,
                task_id=decision.task.task_id,
                map_index=map_index,
                max_tries=decision.task.retries,
            )
            db.put(db.tasks, row.ti_id, row)
            ids.append(row.ti_id)
        db.put(db.tasks_of, decision.run_key, ids)

    def _move_task(self, decision: d.MoveTask) -> None:
        db = self.db
        row = db.tasks.get(decision.ti_id)
        if row is None or row.state is not decision.old or row.dispatch_no != decision.old_no:
            raise GuardFailed(f"task instance {decision.ti_id}")
        if decision.new in (_S.QUEUED, _S.DEFERRED):
            self._new_dispatch(decision.new_no)
        db.move_task(
            row,
            decision.new,
            dispatch_no=decision.new_no,
            try_number=decision.try_number,
            max_tries=decision.max_tries,
            lost_count=decision.lost_count,
            next_at=decision.next_at,
            worker_id=row.worker_id if decision.new is _S.RESTARTING else None,
            revoke_to=row.revoke_to if decision.new is _S.RESTARTING else None,
            effects=None if decision.new is _S.NONE else row.effects,
        )
        if decision.new is _S.NONE:
            db.put(db.next_methods, row.ti_id, None)
        if row.state is _S.AWAITING_INPUT and decision.new in (_S.QUEUED, _S.SCHEDULED):
            assert row.ti_id in db.next_methods, "it goes on, and neither was it answered nor is its time over"
        if row.state is _S.DEFERRED:
            waited = not any(trigger.ti_id == row.ti_id for trigger in db.triggers.values())
            assert waited or decision.new not in (_S.QUEUED, _S.SCHEDULED), "it goes on, and its trigger has not fired"
            end_deferral(db, row.ti_id)


def end_deferral(db: SimDatabase, ti_id: int) -> None:
    """What a task instance waited for is gone."""
    for trigger in [trigger for trigger in db.triggers.values() if trigger.ti_id == ti_id]:
        db.put(db.triggers, trigger.trigger_id, None)
    for event in [event for event in db.trigger_events.values() if event.ti_id == ti_id]:
        db.put(db.trigger_events, event.event_id, None)


def free_triggers(db: SimDatabase, worker_id: int) -> None:
    """Others may claim what a worker's triggerer had."""
    for trigger in [trigger for trigger in db.triggers.values() if trigger.worker_id == worker_id]:
        db.put(db.triggers, trigger.trigger_id, replace(trigger, worker_id=None))


def claim_triggers(db: SimDatabase, worker_id: int, limit: int) -> list[SimTrigger]:
    """A worker's claim of triggers."""
    if db.workers[worker_id].state is WorkerState.LOST:
        return []
    free = sorted(key for key, trigger in db.triggers.items() if trigger.worker_id is None)[:limit]
    for key in free:
        trigger = db.triggers[key]
        db.put(db.triggers, key, replace(trigger, worker_id=worker_id, claim_no=trigger.claim_no + 1))
    return [db.triggers[key] for key in free]


def fire(db: SimDatabase, worker_id: int, trigger: SimTrigger, event_id: int, outcome: str) -> FiredTrigger | None:
    """A triggerer's event: what is told of it, or None when the claim does not hold any more."""
    held = db.triggers.get(trigger.trigger_id)
    if held is None or held.worker_id != worker_id or held.claim_no != trigger.claim_no:
        return None
    row = db.tasks[trigger.ti_id]
    assert row.state is _S.DEFERRED, f"the trigger of {row} is there"
    assert row.dispatch_no == trigger.dispatch_no, f"the trigger of another dispatch of {row}"
    event = FiredTrigger(event_id, trigger.run_key, trigger.ti_id, trigger.dispatch_no, outcome)
    db.put(db.triggers, trigger.trigger_id, None)
    db.put(db.next_methods, trigger.ti_id, "event")
    db.put(db.trigger_events, event_id, event)
    return event


def apply_to_assets(db: SimDatabase, decision: ad.OfAssets) -> None:
    """Write one decision about assets; what it names must be there, and what it makes must not."""
    match decision:
        case ad.CreateAsset(asset=asset):
            if any((row.name, row.uri) == (asset.name, asset.uri) for row in db.assets.values()):
                raise GuardFailed("asset exists")
            db.put(db.assets, asset.asset_id, asset)
        case ad.LinkAlias():
            db.put(db.aliases, (decision.alias, decision.asset_id), True)
            if decision.activates:
                db.put(db.assets, decision.asset_id, _replace(db.assets[decision.asset_id], is_active=True))
        case ad.WriteAssetEvent():
            db.put(db.asset_events, decision.event_id, decision)
        case ad.QueueEvent(queued=event):
            db.put(db.queued, (event.dag_id, event.partition_id, event.event_id), event)
        case ad.DropQueued() | ad.ConsumeEvents():
            for event_id in decision.event_ids:
                key = (decision.dag_id, decision.partition_id, event_id)
                if key not in db.queued:
                    raise GuardFailed("queued event")
                db.put(db.queued, key, None)
                if isinstance(decision, ad.ConsumeEvents):
                    db.put(db.consumed, (decision.run_key, event_id), decision.dag_id)
        case ad.WritePartition(partition=partition):
            db.put(db.partitions, partition.partition_id, partition)
        case ad.DropPartition():
            if decision.partition_id not in db.partitions:
                raise GuardFailed("partition")
            db.put(db.partitions, decision.partition_id, None)
        case ad.AdvanceChange():
            change = db.asset_changes.get(decision.change_id)
            if change is None or change.done != decision.old_done:
                raise GuardFailed("asset change")
            moved = None if decision.ended else _replace(change, done=decision.done)
            db.put(db.asset_changes, change.change_id, moved)
        case ad.NoteAssetProblem():
            db.put(db.asset_problems, len(db.asset_problems), decision)


def finish(
    db: SimDatabase,
    worker_id: int,
    ti_id: int,
    dispatch_no: int,
    state: TaskInstanceState,
    *,
    next_at: datetime | None,
    effects: Effects | None,
    outlet_events: tuple[OutletEvent, ...] = (),
    at: datetime | None = None,
) -> TaskInstanceState | None:
    """A worker's end of a dispatch: the state now on the row, or None when the dispatch is not live any more."""
    row = db.tasks.get(ti_id)
    if row is None or row.dispatch_no != dispatch_no:
        return None
    if row.state not in (_S.RUNNING, _S.RESTARTING):
        return row.state if row.worker_id is None and row.state is state else None
    target = row.revoke_to if row.revoke_to is not None else state
    moved = db.move_task(
        row,
        target,
        worker_id=None,
        revoke_to=None,
        lost_count=0,
        next_at=next_at if target is state else None,
        effects=effects if target is state else None,
    )
    if outlet_events and row.revoke_to is None and target is state is _S.SUCCESS:
        run = db.runs[row.run_key]
        change = AssetChange(
            change_id=dispatch_no,
            events=outlet_events,
            at=at or run.queued_at,
            source_dag_id=run.dag_id,
            source_run_id=run.run_id,
            source_task_id=row.task_id,
            source_map_index=row.map_index,
            partition_key=run.partition_key,
            partition_date=run.partition_date,
        )
        db.put(db.asset_changes, dispatch_no, change)
        db.put(db.emitted, dispatch_no, change)
    db.put(db.next_methods, ti_id, None)
    if moved.state is _S.DEFERRED:
        db.put(db.triggers, dispatch_no, SimTrigger(dispatch_no, ti_id, dispatch_no, row.run_key))
    return moved.state


def claim(db: SimDatabase, worker_id: int, ti_id: int, dispatch_no: int) -> TaskRecord | None:
    """A worker's claim: the row when it was won (or had been won by this worker before)."""
    row = db.tasks.get(ti_id)
    if row is None or row.dispatch_no != dispatch_no:
        return None
    if row.state is _S.RUNNING and row.worker_id == worker_id:
        return row
    if row.state is not _S.QUEUED or db.workers[worker_id].state is WorkerState.LOST:
        return None
    return db.move_task(row, _S.RUNNING, worker_id=worker_id)


def claim_work(db: SimDatabase, worker_id: int, ti_id: int, dispatch_no: int) -> WorkRecord | None:
    """A worker's claim of other work, as `claim` for a task instance."""
    row = db.works.get(-ti_id)
    if row is None or row.dispatch_no != dispatch_no:
        return None
    if row.state is WorkState.RUNNING and row.worker_id == worker_id:
        return row
    if row.state is not WorkState.QUEUED or db.workers[worker_id].state is WorkerState.LOST:
        return None
    taken = _replace(row, state=WorkState.RUNNING, worker_id=worker_id)
    db.put(db.works, row.work_id, taken)
    return taken


def finish_work(
    db: SimDatabase, ti_id: int, dispatch_no: int, state: WorkState, answer: Any = None
) -> WorkState | None:
    """A worker's end of other work: the state now on the row, or None when the dispatch is void."""
    row = db.works.get(-ti_id)
    if row is None or row.dispatch_no != dispatch_no:
        return None
    if row.state is not WorkState.RUNNING:
        return row.state if row.state is state else None
    db.put(db.works, row.work_id, _replace(row, state=state, answer=answer, lost_count=0))
    return state


__all__ = [
    "Crash",
    "SimDatabase",
    "SimSchedulerStore",
    "SimTrigger",
    "claim",
    "claim_triggers",
    "claim_work",
    "finish",
    "finish_work",
    "fire",
    "free_triggers",
]
