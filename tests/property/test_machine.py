"""The scheduling machine under any sequence of events keeps its invariants and loses nothing.

Memory equals what a reload gives, and everything that waits has an explanation.

The driver commits every step to the simulation's database, which refuses illegal moves and failed guards; so a
sequence that gets through has also been written as a real database would have accepted it.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import hypothesis.strategies as st
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from dagdeck_core.actions import (
    ClearTaskInstances,
    DeleteDagRun,
    PutPool,
    SetDagRunState,
    SetDagsPaused,
    SetTaskInstanceState,
    SetWorkerDrain,
    TaskTarget,
    TriggerDagRun,
)
from dagdeck_core.records import PoolRecord, TaskRecord, WorkerState
from dagdeck_core.scheduling.events import (
    DagDue,
    DispatchesClaimed,
    DispatchesFinished,
    PoolsLoaded,
    QueueSwitched,
)
from dagdeck_core.scheduling.explain import GateKind, explain_run, explain_task
from dagdeck_core.spec import DagSpec, LengthSpec, MappedSpec, TaskGroupSpec, TaskSpec, TriggerRule
from dagdeck_core.states import DagRunState, TaskInstanceState
from dagdeck_core.timetables import CalendarDelta, DeltaTriggerSpec, NullSpec, TimetableSpec
from dagdeck_core.wire import Effects, FinishedDispatch
from tests.core.machine_driver import START, Driver
from tests.simulation.database import claim, finish

S = TaskInstanceState
TIMETABLES: list[TimetableSpec] = [
    NullSpec(),
    DeltaTriggerSpec(delta=CalendarDelta(duration=timedelta(minutes=1))),
]
EXPLAINED = 12
"""Task instances of a run that are explained after each event."""
ENDS = [S.SUCCESS, S.SUCCESS, S.SUCCESS, S.FAILED, S.SKIPPED, S.UP_FOR_RETRY, S.UP_FOR_RESCHEDULE, S.DEFERRED]


@st.composite
def mapped_over(draw: st.DrawFn, before: int) -> MappedSpec:
    """Expanded over lists in the file and results of the first `before` tasks."""
    inputs = {}
    for name in draw(st.sampled_from(["x", "x", "xy"])):
        if before and draw(st.booleans()):
            inputs[name] = LengthSpec(task_id=f"t{draw(st.integers(0, min(before, 6) - 1))}")
        else:
            inputs[name] = LengthSpec(length=draw(st.integers(0, 2)))
    return MappedSpec(kind="expand", inputs=inputs)


@st.composite
def specs(draw: st.DrawFn) -> DagSpec:
    """A small DAG with every feature that the scheduler knows."""
    size = draw(st.integers(1, 6))
    # From this task on, some lie in a mapped group, and some of these in another one inside it.
    begin = draw(st.sampled_from([0, 1, 2, 9]))
    group, inner = draw(mapped_over(begin)), MappedSpec(kind="expand", inputs={"y": LengthSpec(length=2)})
    tasks = []
    for i in range(size):
        upstream = draw(st.lists(st.sampled_from(range(i)), max_size=3, unique=True)) if i else []
        names = {f"t{u}" for u in upstream}
        group_id = draw(st.sampled_from(["g", "g", "h", None])) if i >= begin else None
        mapped = draw(st.one_of(st.none(), st.none(), mapped_over(i))) if group_id is None else None
        names |= set(mapped.sources) if mapped is not None else set(group.sources) if group_id else set()
        tasks.append(
            TaskSpec(
                task_id=f"t{i}",
                task_type="PythonOperator",
                upstream=tuple(sorted(names)),
                group_id=group_id,
                mapped=mapped,
                trigger_rule=draw(st.sampled_from(TriggerRule)),
                retries=draw(st.integers(0, 2)),
                pool=draw(st.sampled_from(["default_pool", "narrow", "missing"])),
                pool_slots=draw(st.integers(1, 2)),
                priority_weight=draw(st.integers(1, 3)),
                queue=draw(st.sampled_from(["default", "default", "gpu"])),
                is_setup=draw(st.sampled_from([False, False, True])),
                is_teardown=draw(st.sampled_from([False, False, True])),
                is_empty=draw(st.booleans()) and draw(st.booleans()),
                depends_on_past=draw(st.booleans()) and draw(st.booleans()),
                wait_for_downstream=draw(st.booleans()) and draw(st.booleans()),
                max_active_tis_per_dag=draw(st.sampled_from([None, None, 1])),
                max_active_tis_per_dagrun=draw(st.sampled_from([None, None, 1])),
            )
        )
    return DagSpec(
        dag_id="d",
        fileloc="d.py",
        tasks=tuple(tasks),
        groups=(
            TaskGroupSpec(group_id="g", mapped=group),
            TaskGroupSpec(group_id="h", parent_id="g", mapped=inner),
        ),
        max_active_runs=draw(st.sampled_from([1, 2, 16])),
        max_active_tasks=draw(st.sampled_from([1, 2, 16])),
        dagrun_timeout=draw(st.sampled_from([None, None, 50.0])),
        fail_fast=draw(st.booleans()) and draw(st.booleans()),
        max_consecutive_failed_dag_runs=draw(st.sampled_from([0, 0, 2])),
        timetable=draw(st.sampled_from(TIMETABLES)),
        start_date=START,
        catchup=draw(st.booleans()),
    )


class AnyEvents(RuleBasedStateMachine):
    """Rules are what the world can do; after each the machine has settled unless `max_rows` keeps it going."""

    @initialize(spec=specs(), max_rows=st.sampled_from([6, 20, 2000]))
    def begin(self, spec: DagSpec, max_rows: int) -> None:
        self.driver = Driver(spec, workers=2, slots=2, max_rows=max_rows, reoffer_after=5.0)
        self.driver.db.pools["narrow"] = PoolRecord(name="narrow", slots=1)
        self.driver.settle(PoolsLoaded(pools=tuple(self.driver.db.pools.values())))
        self.spec = spec
        self.names = 0

    # ------------------------------------------------------------ the world

    @rule(day=st.one_of(st.none(), st.integers(1, 9)))
    def trigger(self, day: int | None) -> None:
        self.names += 1
        date = None if day is None else START + timedelta(days=day)
        self.driver.act(TriggerDagRun(dag_id="d", run_id=f"r{self.names}", logical_date=date))

    @rule(data=st.data())
    def claim(self, data: st.DataObject) -> None:
        row = self._pick(data, S.QUEUED)
        worker = data.draw(st.sampled_from(self._workers() or [0]))
        if row is None or not worker:
            return
        assert claim(self.driver.db, worker, row.ti_id, row.dispatch_no) is not None
        if data.draw(st.booleans()):
            told = (row.run_key, row.ti_id, row.dispatch_no)
            self.driver.settle(DispatchesClaimed(worker_id=worker, dispatches=(told,)))
        else:
            # Not heard of: what the scheduler reads next must make it good.
            self.driver.settle(*self.driver.loaded(row.run_key))

    @rule(data=st.data(), end=st.sampled_from(ENDS), seconds=st.sampled_from([0, 3]), repeat=st.booleans())
    def finish(self, data: st.DataObject, end: TaskInstanceState, seconds: int, repeat: bool) -> None:
        row = self._pick(data, S.RUNNING, S.RESTARTING)
        if row is None:
            return
        at = self.driver.now + timedelta(seconds=seconds) if end in (S.UP_FOR_RETRY, S.UP_FOR_RESCHEDULE) else None
        skipped = data.draw(st.lists(st.sampled_from([task.task_id for task in self.spec.tasks]), max_size=2))
        length = data.draw(st.sampled_from([None, 0, 1, 2]))
        found = Effects(skip=tuple(skipped), mapped_length=length, returned=row.map_index >= 0 and length is not None)
        effects = found if end is S.SUCCESS and found != Effects() else None
        worker = row.worker_id or 0
        state = finish(self.driver.db, worker, row.ti_id, row.dispatch_no, end, next_at=at, effects=effects)
        assert state is not None
        told = FinishedDispatch(
            row.run_key,
            row.ti_id,
            row.dispatch_no,
            state,
            1.0,
            at if state is end else None,
            effects if state is end else None,
        )
        event = DispatchesFinished(worker_id=worker, finished=(told,))
        self.driver.settle(*([event] * (2 if repeat else 1)))

    @rule(seconds=st.sampled_from([1, 5, 60]))
    def wait(self, seconds: int) -> None:
        self.driver.wait(seconds)
        self.driver.settle(DagDue(dag_id="d"))

    @rule(data=st.data())
    def lose_worker(self, data: st.DataObject) -> None:
        workers = self._workers()
        if len(workers) < 2:
            return
        self.driver.put_worker(data.draw(st.sampled_from(workers)), state=WorkerState.LOST)
        self.driver.seen(1)
        wanted = self.driver.machine.take_reload_wanted()
        self.driver.settle(*(event for key in wanted for event in self.driver.loaded(key)))
        self.driver.seen(1)

    @rule(slots=st.integers(0, 3), gpu=st.booleans())
    def add_worker(self, slots: int, gpu: bool) -> None:
        if len(self._workers()) < 4:
            queues = ("default", "gpu") if gpu else ("default",)
            self.driver.put_worker(max(self.driver.db.workers) + 1, slots=slots, queues=queues)
            self.driver.seen(1)

    @rule(on=st.booleans())
    def switch_queue(self, on: bool) -> None:
        self.driver.settle(QueueSwitched(on=on))

    # ------------------------------------------------------------ people

    @rule(data=st.data(), reset=st.booleans())
    def clear(self, data: st.DataObject, reset: bool) -> None:
        targets = self._targets(data)
        if targets is not None:
            self.driver.act(ClearTaskInstances(run_key=targets[0], targets=targets[1], reset_run=reset))

    @rule(data=st.data(), state=st.sampled_from([S.SUCCESS, S.FAILED, S.SKIPPED]))
    def mark(self, data: st.DataObject, state: TaskInstanceState) -> None:
        targets = self._targets(data)
        if targets is not None:
            self.driver.act(SetTaskInstanceState(run_key=targets[0], targets=targets[1], state=state))

    @rule(data=st.data(), state=st.sampled_from([DagRunState.SUCCESS, DagRunState.FAILED, DagRunState.QUEUED]))
    def mark_run(self, data: st.DataObject, state: DagRunState) -> None:
        if self.driver.db.runs:
            key = data.draw(st.sampled_from(sorted(self.driver.db.runs)))
            self.driver.act(SetDagRunState(run_key=key, state=state))

    @rule(data=st.data())
    def delete_run(self, data: st.DataObject) -> None:
        if self.driver.db.runs:
            self.driver.act(DeleteDagRun(run_key=data.draw(st.sampled_from(sorted(self.driver.db.runs)))))

    @rule(paused=st.booleans())
    def pause(self, paused: bool) -> None:
        self.driver.act(SetDagsPaused(dag_ids=("d",), is_paused=paused))

    @rule(name=st.sampled_from(["default_pool", "narrow", "missing"]), slots=st.integers(-1, 3), deferred=st.booleans())
    def put_pool(self, name: str, slots: int, deferred: bool) -> None:
        self.driver.act(PutPool(name=name, slots=slots, include_deferred=deferred))

    @rule(data=st.data(), drain=st.booleans())
    def drain(self, data: st.DataObject, drain: bool) -> None:
        self.driver.act(SetWorkerDrain(worker_id=data.draw(st.sampled_from(self._workers() or [1])), drain=drain))

    # ------------------------------------------------------------ faults

    @rule()
    def fail_over(self) -> None:
        self.driver.fail_over()

    @rule(data=st.data(), committed=st.booleans())
    def lose_a_commit(self, data: st.DataObject, committed: bool) -> None:
        """A step whose commit is unknown: it happened or it did not; everything it touched is read again."""
        driver = self.driver
        driver.now += timedelta(seconds=3)
        driver.mono += 3
        self.names += 1
        posted = driver.posted(TriggerDagRun(dag_id="d", run_id=f"r{self.names}"))
        targets = self._targets(data)
        if targets is not None:
            posted += driver.posted(ClearTaskInstances(run_key=targets[0], targets=targets[1]))
        decisions = driver.machine.step(driver.now, posted)
        if committed:
            driver.store.commit(driver.epoch, driver.now, driver.written(decisions))
        driver.recover(decisions)

    # ------------------------------------------------------------ what always holds

    @precondition(lambda self: hasattr(self, "driver"))
    @invariant()
    def memory_is_what_a_reload_gives(self) -> None:
        """A new leader's counters equal those kept by moves; `settle` has left nothing to be decided."""
        kept, fresh = self.driver.machine.world, self.driver.fresh_machine().world
        for key, run in fresh.runs.items():
            same = kept.runs[key]
            for name in (
                "state",
                "up",
                "skipped_by",
                "skipped_at",
                "unfinished",
                "active",
                "scheduled",
                "sleeping",
                "created",
            ):
                assert getattr(same, name) == getattr(run, name), name
            for ti_id, task in run.by_id.items():
                assert kept.row_of(same.by_id[ti_id]) == fresh.row_of(task)
        unfinished = (DagRunState.QUEUED, DagRunState.RUNNING)
        assert {key for key, run in kept.runs.items() if run.state in unfinished or run.active} == set(fresh.runs)
        for name, pool in kept.admission.pools.items():
            assert pool.used == fresh.admission.pools[name].used

    @precondition(lambda self: hasattr(self, "driver"))
    @invariant()
    def everything_that_waits_is_explained(self) -> None:
        """And the explanation is a real gate: nothing is left that the scheduler could still act on."""
        for run in self.driver.db.runs.values():
            if run.state not in (DagRunState.QUEUED, DagRunState.RUNNING):
                continue
            facts = self.driver.facts(run.run_id)
            facts = replace(facts, graph=self.driver.machine.world.runs[run.run_key].graph)
            gates = explain_run(facts)
            assert run.state is DagRunState.RUNNING or gates
            assert all(gate.kind is not GateKind.NEXT_ROUND for gate in gates), gates
            for row in facts.tasks[:EXPLAINED]:
                if row.state in (S.SUCCESS, S.FAILED, S.SKIPPED, S.UPSTREAM_FAILED, S.REMOVED, S.RUNNING):
                    continue
                kinds = [gate.kind for gate in explain_task(facts, row.ti_id)]
                assert kinds, row
                assert GateKind.NEXT_ROUND not in kinds, (row, kinds)
                assert kinds != [GateKind.PRIORITY] or self._slots_are_kept(row), row

    def _slots_are_kept(self, row: TaskRecord) -> bool:
        """Whether a task instance of its pool waits for more slots than are free."""
        world = self.driver.machine.world
        waiting = [
            task
            for run in world.runs.values()
            for task in run.by_id.values()
            if task.state is S.SCHEDULED and task.spec.pool == world.runs[row.run_key].by_id[row.ti_id].spec.pool
        ]
        return any(task.spec.pool_slots > world.admission.pools[task.spec.pool].free for task in waiting)

    # ------------------------------------------------------------ choosing

    def _workers(self) -> list[int]:
        return [worker.worker_id for worker in self.driver.store.load_workers()]

    def _pick(self, data: st.DataObject, *states: TaskInstanceState) -> TaskRecord | None:
        rows = [row for row in self.driver.db.tasks.values() if row.state in states]
        return data.draw(st.sampled_from(rows)) if rows else None

    def _targets(self, data: st.DataObject) -> tuple[int, tuple[TaskTarget, ...]] | None:
        if not self.driver.db.tasks:
            return None
        key = data.draw(st.sampled_from(sorted({row.run_key for row in self.driver.db.tasks.values()})))
        rows = data.draw(st.lists(st.sampled_from(self.driver.rows_of(key)), min_size=1, max_size=4, unique=True))
        return key, tuple(TaskTarget(row.ti_id, row.task_id, expected=row.state) for row in rows)


AnyEvents.TestCase.settings = settings(
    max_examples=60,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
)
TestAnyEvents: Any = AnyEvents.TestCase
