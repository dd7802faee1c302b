"""Drives a `Machine` in tests: plays the database and the workers, and tells decisions in few words.

Decides nothing about scheduling. After every step it checks the machine's invariants (or every nth time) and commits
the decisions to the simulation's database, which refuses what a real one would refuse. Used by the table tests and by
the property test.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from dagdeck_core.actions import (
    Action,
    ClearTaskInstances,
    SetDagRunState,
    SetDagsPaused,
    SetTaskInstanceState,
    TaskTarget,
    TriggerDagRun,
)
from dagdeck_core.asset_records import OutletEvent
from dagdeck_core.ids import IdSource
from dagdeck_core.records import (
    ActionRecord,
    DagRecord,
    DagVersionRecord,
    PoolRecord,
    RunRecord,
    TaskRecord,
    WorkerRecord,
    WorkerState,
)
from dagdeck_core.scheduling import decisions as d
from dagdeck_core.scheduling import invariants
from dagdeck_core.scheduling.events import (
    ActionPosted,
    AssetChangesPosted,
    AssetsLoaded,
    AverageFound,
    DagChanged,
    DagRunsFound,
    DeadlinesLoaded,
    DispatchesClaimed,
    DispatchesFinished,
    Event,
    PoolsLoaded,
    PredecessorFound,
    RunLoaded,
    VersionLoaded,
    WorkersSeen,
    WorkLoaded,
)
from dagdeck_core.scheduling.explain import Facts, Gate, explain_task
from dagdeck_core.scheduling.machine import Machine
from dagdeck_core.scheduling.machine_settings import MachineSettings
from dagdeck_core.spec import DagSpec, TaskSpec
from dagdeck_core.states import DISPATCHED, DagRunState, TaskInstanceState
from dagdeck_core.wire import Effects, FinishedDispatch
from tests.simulation.database import SimDatabase, SimSchedulerStore, claim, finish

START = datetime(2026, 1, 1, tzinfo=UTC)
_S = TaskInstanceState


class Quiet:
    """A source of faults that never has one."""

    def random(self) -> float:
        return 1.0


def tasks(*lines: str, **changes: dict[str, Any]) -> tuple[TaskSpec, ...]:
    """Task specs out of lines such as "a" and "c < a b" (c after a and b); `changes` by task id."""
    specs = []
    for line in lines:
        task_id, _, upstream = line.partition("<")
        task_id = task_id.strip()
        fields = {"task_type": "PythonOperator", "upstream": tuple(sorted(upstream.split()))}
        specs.append(TaskSpec(task_id=task_id, **{**fields, **changes.get(task_id, {})}))
    return tuple(specs)


def dag(dag_id: str = "d", *lines: str, specs: Sequence[TaskSpec] = (), **fields: Any) -> DagSpec:
    """A DAG out of task lines (see `tasks`) or specs."""
    return DagSpec(dag_id=dag_id, fileloc=f"{dag_id}.py", tasks=tuple(specs) or tasks(*lines), **fields)


class Driver:
    """One machine with its database; `now` moves only by `wait`."""

    def __init__(
        self, *specs: DagSpec, workers: int = 1, slots: int = 16, check_every: int = 1, **settings: Any
    ) -> None:
        self.check_every = check_every
        self.nodes = 0
        self.now = START
        self.mono = 0.0
        # Waiting is written at once, so that a step tells it; what puts it off has tests of its own.
        self.settings = MachineSettings(**{"mark_after": 0.0, **settings})
        self.db = SimDatabase(lambda: self.mono, Quiet())  # type: ignore[arg-type]
        self.store = SimSchedulerStore(self.db, takeover=1.0)
        self.epoch = self.store.acquire_leadership("test") or 0
        self.machine = self._new_machine()
        self.actions = 0
        self.steps: list[list[d.Decision]] = []
        self.db.pools["default_pool"] = PoolRecord(name="default_pool", slots=128)
        for spec in specs:
            self.put_dag(spec)
        for number in range(workers):
            self.put_worker(number + 1, slots=slots)
        self.start()

    def _new_machine(self) -> Machine:
        self.nodes += 1
        return Machine(self.settings, IdSource(node=self.nodes % 1024), lambda name: UTC)

    # ------------------------------------------------------------ rows

    def put_dag(self, spec: DagSpec, **row: Any) -> DagChanged:
        """Store a (new version of a) DAG; the event that tells the machine of it."""
        number = len(self.db.versions) + 1
        version = DagVersionRecord(
            version_id=number,
            dag_id=spec.dag_id,
            version_number=number,
            bundle_name="b",
            bundle_version="1",
            spec=spec,
        )
        self.db.versions[number] = version
        known = self.db.dags.get(spec.dag_id, DagRecord(dag_id=spec.dag_id, version_id=number))
        self.db.dags[spec.dag_id] = msgspec.structs.replace(known, version_id=number, **row)
        self.db.revisions[spec.dag_id] = number
        return DagChanged(dag=self.db.dags[spec.dag_id], version=version)

    def put_worker(self, worker_id: int, **fields: Any) -> None:
        """Insert or change a worker's row."""
        known = self.db.workers.get(worker_id)
        row = {"name": f"w{worker_id}", "state": WorkerState.ACTIVE, "slots": 16}
        if known is not None:
            row = msgspec.structs.asdict(known)
            row.pop("worker_id")
        self.db.workers[worker_id] = WorkerRecord(worker_id=worker_id, **{**row, **fields})

    # ------------------------------------------------------------ steps

    def start(self) -> list[str]:
        """Load everything, as a new leader does."""
        return self.settle(*self._load_events(), self.workers_seen())

    def _load_events(self) -> list[Event]:
        snapshot = self.store.load(self.epoch)
        events: list[Event] = [PoolsLoaded(pools=snapshot.pools)]
        events += [VersionLoaded(version=version) for version in snapshot.versions]
        events += [DagChanged(dag=row, version=version) for row, version in snapshot.dags]
        events += [RunLoaded(run=run, tasks=rows) for run, rows in snapshot.runs]
        events.append(DeadlinesLoaded(deadlines=snapshot.deadlines))
        events.append(WorkLoaded(works=snapshot.works))
        events.append(AssetsLoaded(state=snapshot.assets))
        events.append(self.changes())
        return events

    def changes(self) -> AssetChangesPosted:
        """What tasks have emitted and is not registered yet."""
        return AssetChangesPosted(changes=tuple(self.store.pending_asset_changes(50)))

    def fail_over(self) -> list[str]:
        """Another leader starts from the database; all that it decides."""
        self.machine = self._new_machine()
        return self.start()

    def step(self, *events: Event) -> list[str]:
        """One step: check, commit, and tell what was decided."""
        decisions = self.machine.step(self.now, events)
        if len(self.steps) % self.check_every == 0:
            invariants.check(self.machine.world)
        self.store.commit(self.epoch, self.now, self.written(decisions))
        self.steps.append(decisions)
        return [self.tell(decision) for decision in decisions]

    @staticmethod
    def written(decisions: Sequence[d.Decision]) -> list[d.Decision]:
        """Those decisions that are the database's business."""
        return [decision for decision in decisions if not isinstance(decision, d.Offer) or decision.as_rows]

    def recover(self, decisions: Sequence[d.Decision]) -> list[str]:
        """The commit of `decisions` failed, or its fate is unknown: read again what it touched, and settle."""
        run_keys, dag_ids = self.machine.drop_touched(decisions)
        events: list[Event] = [PoolsLoaded(pools=tuple(self.db.pools.values()))]
        events += [DagChanged(dag=row, version=version) for row, version in self.store.load_dags(self.epoch, dag_ids)]
        events += [event for key in run_keys for event in self.loaded(key)]
        events.append(DeadlinesLoaded(deadlines=self.store.load_deadlines(self.epoch)))
        events.append(WorkLoaded(works=self.store.load_works(self.epoch)))
        if self.machine.wants_assets:
            events.append(AssetsLoaded(state=self.store.load_assets(self.epoch)))
        self.machine.take_back(events)
        pending = self.store.pending_actions(50)
        return self.settle(*(event for record in pending for event in self.repost(record)), self.changes())

    def settle(self, *events: Event) -> list[str]:
        """Steps until nothing is left to decide, answering who came before whom; all that was decided."""
        told = self.step(*events)
        for _ in range(1000):
            answers = self._predecessors()
            for wanted in self.machine.averages_wanted():
                is_set = wanted.again and self.store.has_deadline(wanted.run_key, wanted.number)
                runs, seconds = (
                    (0, 0.0) if is_set else self.store.average_runtime(wanted.dag_id, wanted.most, wanted.before)
                )
                answers.append(AverageFound(run_key=wanted.run_key, number=wanted.number, runs=runs, seconds=seconds))
            for dag_id in self.machine.dag_runs_wanted():
                keys = self.store.run_keys_of(dag_id, 2)
                answers.append(DagRunsFound(dag_id=dag_id, run_keys=tuple(keys), more=len(keys) == 2))
            if self.machine.wants_work:
                answers.append(WorkLoaded(works=self.store.load_works(self.epoch)))
            if not (self.machine.has_more or answers):
                return told
            told += self.step(*answers)
        raise AssertionError("the machine does not settle")

    def _predecessors(self) -> list[Event]:
        events: list[Event] = []
        for run_key, dag_id, before in self.machine.predecessors_wanted():
            found = self.store.previous_run_key(dag_id, before) or 0
            if found and not self.machine.knows_run(found):
                events += self.loaded(found)
            events.append(PredecessorFound(run_key=run_key, predecessor_key=found))
        return events

    def loaded(self, run_key: int) -> list[Event]:
        """The events that bring a run into memory."""
        versions, runs = self.store.load_runs(self.epoch, [run_key])
        return [
            *(VersionLoaded(version=version) for version in versions),
            *(RunLoaded(run=run, tasks=rows) for run, rows in runs),
        ]

    def wait(self, seconds: float) -> list[str]:
        """Let time pass, and settle."""
        self.now += timedelta(seconds=seconds)
        self.mono += seconds
        return self.settle()

    # ------------------------------------------------------------ people

    def act(self, action: Action) -> list[str]:
        """Post an action, its run loaded before if need be; settle."""
        return self.settle(*self.posted(action))

    def posted(self, action: Action) -> list[Event]:
        """The events that post an action."""
        self.actions += 1
        record = ActionRecord(action_id=self.actions, action=action, actor="ann")
        self.db.actions[self.actions] = record
        return self.repost(record)

    def repost(self, record: ActionRecord) -> list[Event]:
        """The events that post an action whose row is there."""
        action = record.action
        run_key = getattr(action, "run_key", None)
        events: list[Event] = []
        if run_key is not None and not self.machine.knows_run(run_key):
            events += self.loaded(run_key)
        if isinstance(action, TriggerDagRun):
            run_id = action.run_id or self.machine.run_id_said(record.action_id)
            taken, date_taken = self.store.trigger_facts(action.dag_id, run_id, action.logical_date)
            return [ActionPosted(record=record, existing_run_ids=taken, logical_date_taken=date_taken)]
        return [*events, ActionPosted(record=record)]

    def trigger(self, run_id: str = "r", dag_id: str = "d", **fields: Any) -> list[str]:
        """Trigger a run."""
        return self.act(TriggerDagRun(dag_id=dag_id, run_id=run_id, **fields))

    def clear(self, *names: str, **fields: Any) -> list[str]:
        """Clear task instances of one run, named "run_id.task_id"."""
        rows = [self.row(name) for name in names]
        return self.act(ClearTaskInstances(run_key=rows[0].run_key, targets=_targets(rows), **fields))

    def mark(self, state: TaskInstanceState, *names: str, **fields: Any) -> list[str]:
        """Mark task instances of one run."""
        rows = [self.row(name) for name in names]
        return self.act(SetTaskInstanceState(run_key=rows[0].run_key, targets=_targets(rows), state=state, **fields))

    def mark_run(self, state: DagRunState, run_id: str = "r") -> list[str]:
        """Set a run's state."""
        return self.act(SetDagRunState(run_key=self.run(run_id).run_key, state=state))

    def pause(self, paused: bool = True, dag_id: str = "d") -> list[str]:
        """Pause or unpause a DAG."""
        return self.act(SetDagsPaused(dag_ids=(dag_id,), is_paused=paused))

    # ------------------------------------------------------------ workers

    def claimed(self, name: str, worker_id: int = 1) -> DispatchesClaimed:
        """A worker claims a queued task instance; the event that tells of it."""
        row = self.row(name)
        won = claim(self.db, worker_id, row.ti_id, row.dispatch_no)
        assert won is not None, f"{name} is {row.state}: it cannot be claimed"
        return DispatchesClaimed(worker_id=worker_id, dispatches=((row.run_key, row.ti_id, row.dispatch_no),))

    def run_task(self, name: str, worker_id: int = 1) -> list[str]:
        """A worker claims a task instance, and the machine hears of it."""
        return self.settle(self.claimed(name, worker_id))

    def finished(
        self,
        name: str,
        state: TaskInstanceState = _S.SUCCESS,
        *,
        worker_id: int = 1,
        next_at: datetime | None = None,
        skip: Iterable[str] = (),
        length: int | None = None,
        returned: bool = False,
        duration: float = 1.0,
        emits: Sequence[OutletEvent] = (),
    ) -> DispatchesFinished:
        """A worker ends a task instance, claiming it first if it still waits; the event that tells of it."""
        row = self.row(name)
        if row.state is _S.QUEUED:
            claim(self.db, worker_id, row.ti_id, row.dispatch_no)
        told_effects = Effects(skip=tuple(skip), mapped_length=length, returned=returned)
        effects = told_effects if told_effects != Effects() else None
        end = finish(
            self.db,
            worker_id,
            row.ti_id,
            row.dispatch_no,
            state,
            next_at=next_at,
            effects=effects,
            outlet_events=tuple(emits),
            at=self.now,
        )
        assert end is not None, f"{name} is {row.state}: it cannot be finished"
        told = FinishedDispatch(
            row.run_key,
            row.ti_id,
            row.dispatch_no,
            end,
            duration,
            next_at if end is state else None,
            effects if end is state else None,
        )
        return DispatchesFinished(worker_id=worker_id, finished=(told,))

    def end(self, name: str, state: TaskInstanceState = _S.SUCCESS, **fields: Any) -> list[str]:
        """A worker ends a task instance, and the machine hears of it."""
        return self.settle(self.finished(name, state, **fields))

    def seen(self, seconds: float = 0.0, *, beating: Iterable[int] = ()) -> list[str]:
        """Workers are read after `seconds`; those `beating` raised their counters before."""
        self.now += timedelta(seconds=seconds)
        self.mono += seconds
        for worker_id in beating:
            self.put_worker(worker_id, counter=self.db.workers[worker_id].counter + 1)
        return self.settle(self.workers_seen())

    def workers_seen(self) -> WorkersSeen:
        return WorkersSeen(workers=tuple(self.store.load_workers()), mono=self.mono)

    # ------------------------------------------------------------ looking

    def run(self, run_id: str = "r", dag_id: str = "d") -> RunRecord:
        """A run's row."""
        return next(run for run in self.db.runs.values() if run.run_id == run_id and run.dag_id == dag_id)

    def row(self, name: str) -> TaskRecord:
        """A task instance's row by "run_id.task_id", or "run_id.task_id[map_index]"."""
        run_id, _, task_id = name.partition(".")
        keys = [run.run_key for run in self.db.runs.values() if run.run_id == run_id]
        return next(row for row in self.db.tasks.values() if row.run_key in keys and shown_id(row) == task_id)

    def states(self, run_id: str = "r") -> dict[str, str]:
        """task_id → state of a run; instances of expanded tasks as task_id[map_index]."""
        key = self.run(run_id).run_key
        return {shown_id(row): row.state.value for row in self.db.tasks.values() if row.run_key == key}

    def facts(self, run_id: str = "r", dag_id: str = "d") -> Facts:
        """What the control API would read to explain a run."""
        run = self.run(run_id, dag_id)
        dag_runs = [other for other in self.db.runs.values() if other.dag_id == dag_id]
        live = [row for row in self.db.tasks.values() if row.state in DISPATCHED]
        spec_of = {
            row.ti_id: self._task_spec(row)
            for row in (*live, *(row for row in self.db.tasks.values() if row.state is _S.DEFERRED))
        }
        before = None
        if run.logical_date is not None:
            key = self.store.previous_run_key(dag_id, run.logical_date)
            before = (self.db.runs[key], self.rows_of(key)) if key else None
        return Facts(
            now=self.now,
            run=run,
            tasks=self.rows_of(run.run_key),
            spec=self.db.versions[run.version_id].spec,
            dag=self.db.dags.get(dag_id),
            max_active_runs=self.db.versions[self.db.dags[dag_id].version_id].spec.max_active_runs,
            running_runs=sum(other.state is DagRunState.RUNNING for other in dag_runs),
            pools={
                pool.name: (
                    pool,
                    sum(
                        spec.pool_slots
                        for ti_id, spec in spec_of.items()
                        if spec.pool == pool.name
                        and (self.db.tasks[ti_id].state in DISPATCHED or pool.include_deferred)
                    ),
                )
                for pool in self.db.pools.values()
            },
            workers=self.store.load_workers(),
            queue_active=Counter(spec_of[row.ti_id].queue for row in live),
            task_active=Counter(row.task_id for row in live if self.db.runs[row.run_key].dag_id == dag_id),
            predecessor=before,
        )

    def explain(self, name: str, since: datetime | None = None) -> list[Gate]:
        """The gates of a task instance."""
        run_id = name.partition(".")[0]
        row = self.row(name)
        return explain_task(self.facts(run_id, self.db.runs[row.run_key].dag_id), row.ti_id, since)

    def rows_of(self, run_key: int) -> list[TaskRecord]:
        """All task instances of a run."""
        return [self.db.tasks[ti_id] for ti_id in self.db.tasks_of.get(run_key, ())]

    def _task_spec(self, row: TaskRecord) -> TaskSpec:
        spec = self.db.versions[self.db.runs[row.run_key].version_id].spec
        return next(task for task in spec.tasks if task.task_id == row.task_id)

    def fresh_machine(self) -> Machine:
        """A machine loaded from the database as a new leader's would be, before its first decisions."""
        machine = self._new_machine()
        machine.world.set_now(self.now)
        machine.take_back(self._load_events())
        return machine

    def tell(self, decision: d.Decision) -> str:
        """A decision in a few words: "r.a none→queued try 1"."""
        match decision:
            case d.CreateRun(run=run):
                return f"create {run.run_id}"
            case d.CreateTasks():
                return f"create {decision.run_id} tasks {decision.old_count}-{decision.new_count}"
            case d.ExpandTask():
                end = decision.first_index + len(decision.ti_ids)
                return f"expand {decision.run_id}.{decision.task.task_id} {decision.first_index}-{end}"
            case d.MoveRun():
                return f"{self.db.runs[decision.run_key].run_id} {decision.old}→{decision.new}"
            case d.MoveTask():
                return f"{self._name(decision.ti_id)} {decision.old}→{decision.new}{_numbers(decision)}"
            case d.Revoke():
                return f"revoke {self._name(decision.ti_id)} to {decision.target}"
            case d.Offer():
                names = " ".join(self._name(ti_id) for ti_id, _, _ in decision.dispatches)
                return f"offer{' rows' if decision.as_rows else ''} {decision.queue}: {names}"
            case d.ScheduleNext():
                at = decision.run_after
                return f"next {decision.dag_id} {f'{at:%m-%dT%H:%M}' if at else 'never'}"
            case d.PauseDag():
                return f"{'pause' if decision.is_paused else 'unpause'} {decision.dag_id}"
            case d.CountFailures():
                return f"failures {decision.dag_id} {decision.consecutive_failures}"
            case d.DeclareWorkerLost():
                return f"lost worker {decision.worker_id}"
            case d.SetWorkerState():
                return f"worker {decision.worker_id} {decision.state}"
            case d.WritePool():
                return f"pool {decision.name} {'deleted' if decision.slots is None else decision.slots}"
            case d.WriteNote():
                return f"note {self._name(decision.ti_id) if decision.ti_id else decision.run_key}: {decision.note}"
            case d.WarnDag():
                return f"warn {decision.dag_id}: {decision.message}"
            case d.CreateDeadline(deadline=each):
                return f"deadline {each.number} at {each.at:%m-%dT%H:%M}"
            case d.MissDeadline():
                return "deadline missed"
            case d.DropDeadlines():
                return f"deadlines taken away {len(decision.deadline_ids)}"
            case d.AnswerInput():
                return f"answer {self._name(decision.ti_id)}"
            case d.CreateWork(work=work):
                return f"work {type(work.order).__name__} {work.dag_id}"
            case d.MoveWork():
                return f"work {type(self.db.works[decision.work_id].order).__name__} {decision.old}→{decision.new}"
            case d.SettleWork():
                return f"settle {type(self.db.works[decision.work_id].order).__name__}"
            case d.EndAction():
                return f"done {decision.action_id}" if decision.refused is None else f"refused: {decision.refused}"
            case _:
                return repr(decision)

    def _name(self, ti_id: int) -> str:
        if ti_id < 0:
            return type(self.db.works[-ti_id].order).__name__
        row = self.db.tasks[ti_id]
        return f"{self.db.runs[row.run_key].run_id}.{shown_id(row)}"


def shown_id(row: TaskRecord) -> str:
    """task_id, or task_id[map_index]."""
    return row.task_id if row.map_index < 0 else f"{row.task_id}[{row.map_index}]"


def _numbers(move: d.MoveTask) -> str:
    text = f" try {move.try_number}" if move.new in (_S.QUEUED, _S.SCHEDULED) else ""
    return text + (f" lost {move.lost_count}" if move.lost_count else "")


def _targets(rows: Iterable[TaskRecord]) -> tuple[TaskTarget, ...]:
    return tuple(TaskTarget(row.ti_id, row.task_id, expected=row.state) for row in rows)
