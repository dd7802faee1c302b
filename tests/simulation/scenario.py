"""Random DAGs and the script by which their tasks end: all from one seed.

A task's end depends only on (seed, task, map index, try), so every cluster, however it is tormented, must come to
the same ends.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from dagdeck_core.graph import Graph
from dagdeck_core.spec import DagSpec, DeadlineSpec, ReferencePoint, StartTriggerSpec, TaskSpec, TriggerRule
from dagdeck_core.timetables import CalendarDelta, CustomSpec, DeltaTriggerSpec, NullSpec, TimetableSpec
from dagdeck_core.wire import Effects
from dagdeck_core.work import DeadlineMoment, JudgePartition, ManualInterval, MapKeys, NextRuns, WorkRecord
from tests.simulation.lineage import answer_keys, answer_policy, listeners
from tests.simulation.mapping import with_mapping

BASE = datetime(2026, 1, 1, tzinfo=UTC)
EVERY = timedelta(seconds=10)
"""How often a DAG with a schedule runs."""
LAST = timedelta(seconds=30)
"""When its last run is due."""

_RULES = [
    TriggerRule.ALL_SUCCESS,
    TriggerRule.ALL_SUCCESS,
    TriggerRule.ALL_SUCCESS,
    TriggerRule.ALL_DONE,
    TriggerRule.NONE_FAILED,
    TriggerRule.NONE_FAILED_MIN_ONE_SUCCESS,
    TriggerRule.ALL_DONE_MIN_ONE_SUCCESS,
    TriggerRule.ONE_SUCCESS,
    TriggerRule.ONE_FAILED,
    TriggerRule.ONE_DONE,
    TriggerRule.ALL_FAILED,
    TriggerRule.ALL_SKIPPED,
    TriggerRule.NONE_SKIPPED,
    TriggerRule.ALWAYS,
]


@dataclass(frozen=True)
class Ending:
    """How one try of a task ends, after how many seconds."""

    result: str
    duration: float
    effects: Effects | None = None
    dies: bool = False
    """Whether its process dies and somebody else has to call its callbacks."""


@dataclass(frozen=True)
class Waiting:
    """How one try of a task waits before it ends: when its trigger fires, and when that has taken too long, in seconds
    (None: never). With `ends`, the trigger itself ends the task, as the script says that it does."""

    fires_after: float | None
    timeout: float | None
    ends: bool = False


@dataclass(frozen=True)
class Scenario:
    """DAGs, pools and the script of one seed."""

    seed: int
    dags: tuple[DagSpec, ...]
    runs_per_dag: int
    pool_slots: int
    people: bool
    """Whether people act on the runs while they go on."""
    listeners: tuple[DagSpec, ...] = ()
    """DAGs whose runs start by what the tasks of the others emit."""

    def waiting(
        self, dag_id: str, task: TaskSpec, graph: Graph, try_number: int, map_index: int = -1
    ) -> Waiting | None:
        """How this try of this task instance waits for a trigger; None when it does not."""
        rng = random.Random(f"waiting/{self.seed}/{dag_id}/{_place(task, map_index)}/{try_number}")
        ending = self.ending(dag_id, task, graph, try_number, map_index)
        if task.start_trigger is not None:
            found: Waiting | None = _waiting_from_start(rng, ending, task.start_trigger)
        else:
            found = _waiting(rng, ending)
        # What a trigger ends as failed has failed for good.
        final = ending.result != "failed" or try_number > task.retries
        if found is not None and found.ends and not final:
            return replace(found, ends=False) if task.start_trigger is not None else None
        return found

    def asks(self, dag_id: str, task: TaskSpec, graph: Graph, try_number: int, map_index: int = -1) -> float | None:
        """Seconds for which this try of it waits for a person's answer; None when it asks nobody."""
        if self.waiting(dag_id, task, graph, try_number, map_index) is not None:
            return None
        rng = random.Random(f"asks/{self.seed}/{dag_id}/{_place(task, map_index)}/{try_number}")
        return rng.choice([0.0, 0.5, 4.0, 15.0]) if rng.random() < 0.12 else None

    def ending(self, dag_id: str, task: TaskSpec, graph: Graph, try_number: int, map_index: int = -1) -> Ending:
        """How this try of this task instance ends."""
        rng = random.Random(f"{self.seed}/{dag_id}/{_place(task, map_index)}/{try_number}")
        duration = rng.choice([0.0, 0.05, 0.3, 2.0])
        roll = rng.random()
        if roll < 0.15 and not task.depends_on_past:
            return Ending("failed", duration, dies=task.has_on_failure_callback and rng.random() < 0.5)
        if roll < 0.20:
            return Ending("skipped", duration)
        index = graph.index[task.task_id]
        branches = task.can_skip_downstream and bool(graph.down[index])
        skip: tuple[str, ...] = ()
        if branches:
            below = graph.closure([index], downstream=True) if rng.random() < 0.3 else graph.down[index]
            names = [graph.tasks[i].task_id for i in below if i != index and not graph.tasks[i].is_teardown]
            skip = tuple(name for name in names if rng.random() < 0.6)
        if graph.expansion is not None and any(index in sources for sources in graph.expansion.sources):
            length = rng.choice([0, 1, 2, 3, 3, 3, 3, None]) if map_index < 0 else None
            effects = Effects(skip=skip, mapped_length=length, returned=map_index >= 0 and rng.random() < 0.8)
            return Ending("success", duration, effects)
        return Ending("success", duration, Effects(skip=skip) if branches else None)

    def work_takes(self, work_id: int) -> float:
        """Seconds that a callback or a question to user code takes."""
        return random.Random(f"{self.seed}/work/{work_id}").choice([0.0, 0.1, 1.5])

    def work_fails(self, work: WorkRecord) -> bool:
        """Whether user code raises there."""
        # A timetable that fails is asked again much later; a run whose interval nobody knows is refused.
        # An event whose key cannot be mapped is told of, and reaches nobody.
        often = {NextRuns: 0.05, ManualInterval: 0.0, MapKeys: 0.0, JudgePartition: 0.0}.get(type(work.order), 0.2)
        return random.Random(f"{self.seed}/fails/{work.work_id}").random() < often

    @staticmethod
    def answer(work: WorkRecord) -> Any:
        """What user code answers: for a timetable the same rhythm as that of the others."""
        if isinstance(work.order, DeadlineMoment):
            return (work.order.queued_at + timedelta(seconds=3)).isoformat()
        if isinstance(work.order, MapKeys):
            return answer_keys(work.dag_id, work.order)
        if isinstance(work.order, JudgePartition):
            return answer_policy(work.order)
        if not isinstance(work.order, NextRuns):
            return None
        last = work.order.last_start
        moment = BASE + EVERY if last is None else last + EVERY
        text = moment.isoformat()
        return {"run_after": text, "start": text, "end": text} if moment <= BASE + LAST else {}


def _place(task: TaskSpec, map_index: int) -> str:
    return task.task_id if map_index < 0 else f"{task.task_id}[{map_index}]"


def _waiting(rng: random.Random, ending: Ending) -> Waiting | None:
    roll = rng.random()
    if roll < 0.75:
        return None
    if roll < 0.82:
        return Waiting(None, rng.choice([0.5, 3.0]))
    if roll < 0.87:
        return Waiting(rng.choice([0.9, 1.0, 1.1]), 1.0)
    ends = roll > 0.95 and ending.effects is None
    return Waiting(rng.choice([0.0, 0.3, 5.0]), None, ends)


def _waiting_from_start(rng: random.Random, ending: Ending, start: StartTriggerSpec) -> Waiting:
    if start.timeout is not None:
        return Waiting(rng.choice([None, 0.9, 1.0, 1.1]), start.timeout)
    return Waiting(rng.choice([0.0, 0.3, 5.0]), None, rng.random() < 0.4 and ending.effects is None)


def make_scenario(seed: int) -> Scenario:
    """One to three DAGs of 1 to 12 tasks, in every shape the scheduler must handle."""
    rng = random.Random(f"scenario/{seed}")
    people = rng.random() < 0.5
    dags = tuple(
        _make_dag(rng, random.Random(f"scopes/{seed}/{i}"), f"dag{i}", people) for i in range(rng.randint(1, 3))
    )
    dags = tuple(_with_triggers(random.Random(f"triggers/{seed}/{dag.dag_id}"), dag) for dag in dags)
    dags = tuple(_mapped(random.Random(f"mapping/{seed}/{dag.dag_id}"), dag) for dag in dags)
    return Scenario(
        seed=seed,
        dags=dags,
        runs_per_dag=rng.randint(1, 3),
        pool_slots=rng.choice([1, 3, 128]),
        people=people,
        listeners=listeners(seed),
    )


def _make_dag(rng: random.Random, scopes: random.Random, dag_id: str, people: bool) -> DagSpec:
    size = rng.randint(1, 12)
    past = rng.random() < 0.2
    tasks = tuple(_make_task(rng, i, past) for i in range(size))
    scheduled = rng.random() < 0.25
    return DagSpec(
        dag_id=dag_id,
        fileloc=f"{dag_id}.py",
        tasks=_with_scopes(scopes, list(tasks)),
        # A cleared run that a running one looks back at may need a place beside it.
        max_active_runs=16 if past and people else rng.choice([1, 2, 16]),
        max_active_tasks=rng.choice([1, 4, 16]),
        fail_fast=all(task.trigger_rule is TriggerRule.ALL_SUCCESS for task in tasks) and rng.random() < 0.5,
        timetable=_rhythm(rng, past) if scheduled else NullSpec(),
        start_date=BASE + EVERY,
        end_date=BASE + LAST,
        catchup=rng.random() < 0.7,
        has_on_failure_callback=(told := rng.random() < 0.4),
        has_on_success_callback=told,
        deadlines=_deadlines(rng),
    )


def _with_triggers(rng: random.Random, dag: DagSpec) -> DagSpec:
    """In some DAGs some tasks begin in a trigger, and some have what a trigger that ends them tells of."""
    if rng.random() < 0.5:
        return dag
    tasks = list(dag.tasks)
    for number, task in enumerate(tasks):
        if rng.random() < 0.3:
            told = rng.random() < 0.6
            task = msgspec.structs.replace(task, has_on_success_callback=told, has_on_skipped_callback=told)
        if not task.is_empty and not task.can_skip_downstream and rng.random() < 0.3:
            start = StartTriggerSpec(
                classpath="a.Trigger", kwargs="{}", next_method="go_on", timeout=rng.choice([None, None, 1.0])
            )
            task = msgspec.structs.replace(task, start_trigger=start)
        tasks[number] = task
    return msgspec.structs.replace(dag, tasks=tuple(tasks))


def _mapped(rng: random.Random, dag: DagSpec) -> DagSpec:
    tasks, groups = with_mapping(rng, dag.tasks)
    return msgspec.structs.replace(dag, tasks=tasks, groups=groups)


def _with_scopes(rng: random.Random, tasks: list[TaskSpec]) -> tuple[TaskSpec, ...]:
    """In some DAGs some tasks are setups, and later ones their teardowns."""
    if len(tasks) < 3 or rng.random() < 0.6:
        return tuple(tasks)
    for _ in range(rng.randint(1, 2)):
        first = rng.randrange(len(tasks) - 1)
        last = rng.randrange(first + 1, len(tasks))
        if tasks[first].is_teardown or tasks[last].is_setup:
            continue
        tasks[first] = msgspec.structs.replace(tasks[first], is_setup=True, can_skip_downstream=False)
        tasks[last] = msgspec.structs.replace(
            tasks[last],
            is_teardown=True,
            on_failure_fail_dagrun=rng.random() < 0.3,
            trigger_rule=TriggerRule.ALL_DONE_SETUP_SUCCESS,
            upstream=tuple(sorted({*tasks[last].upstream, tasks[first].task_id})),
            depends_on_past=False,
        )
    setups = {task.task_id for task in tasks if task.is_setup}
    return tuple(
        task
        if task.is_teardown or not setups & set(task.upstream)
        else msgspec.structs.replace(task, trigger_rule=TriggerRule.ALL_SUCCESS)
        for task in tasks
    )


def _deadlines(rng: random.Random) -> tuple[DeadlineSpec, ...]:
    """Deadlines that some runs meet and some miss."""
    if rng.random() < 0.7:
        return ()
    points = [ReferencePoint.QUEUED_AT, ReferencePoint.FIXED, ReferencePoint.AVERAGE_RUNTIME, ReferencePoint.CUSTOM]
    return tuple(
        DeadlineSpec(
            reference=rng.choice(points),
            callback="alerts.page",
            interval=rng.choice([1.0, 5.0, 60.0]),
            at=BASE + timedelta(seconds=20),
            max_runs=2,
            min_runs=1,
        )
        for _ in range(rng.randint(1, 2))
    )


def _rhythm(rng: random.Random, past: bool) -> TimetableSpec:
    """The rhythm of a scheduled DAG, computed by the scheduler or answered by user code.

    With user code, runs that people start are created in the order of its answers: one that looks at the run before
    could get its place first, and wait for ever.
    """
    if rng.random() < 0.5 and not past:
        return CustomSpec(class_path="plugins.EveryTenSeconds")
    return DeltaTriggerSpec(delta=CalendarDelta(duration=EVERY))


def _make_task(rng: random.Random, i: int, past: bool) -> TaskSpec:
    ups = rng.sample(range(i), k=min(i, rng.choice([0, 1, 1, 2, 3])))
    return TaskSpec(
        task_id=f"t{i}",
        task_type="PythonOperator",
        upstream=tuple(sorted(f"t{u}" for u in ups)),
        trigger_rule=rng.choice(_RULES),
        retries=rng.choice([0, 0, 1, 2]),
        retry_delay=rng.choice([0.0, 0.5]),
        pool="narrow" if rng.random() < 0.3 else "default_pool",
        pool_slots=rng.choice([1, 1, 1, 2]),
        priority_weight=rng.randint(1, 5),
        # A failed or upstream_failed one would hold back every later run for ever, as it should.
        depends_on_past=past and not ups and rng.random() < 0.5,
        is_empty=rng.random() < 0.1,
        can_skip_downstream=rng.random() < 0.3,
        max_active_tis_per_dag=1 if rng.random() < 0.1 else None,
        has_on_failure_callback=rng.random() < 0.3,
    )
