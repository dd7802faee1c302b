"""Runs with expanded tasks that are cleared and expanded anew, in steps of few rows or many, against a model."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

import hypothesis.strategies as st
from hypothesis import HealthCheck, event, example, given, settings

from dagdeck_core.actions import ClearTaskInstances, TaskTarget
from dagdeck_core.spec import DagSpec, LengthSpec, MappedSpec, TaskGroupSpec, TaskSpec
from dagdeck_core.states import TaskInstanceState
from tests.core.machine_driver import Driver, shown_id
from tests.property.reference_mapping import RULES, Instance, MapEnding, MappedRun, MapTask, below

S = TaskInstanceState


@st.composite
def mapped_dags(draw: st.DrawFn) -> tuple[list[MapTask], tuple[str | int, ...]]:
    """Up to seven tasks: some expanded, some in a mapped group, over lists in the file and each other's results."""
    size = draw(st.integers(2, 7))
    begin = draw(st.integers(0, size))
    inputs: st.SearchStrategy[list[str | int]] = st.lists(
        st.sampled_from([*(f"t{i}" for i in range(begin)), 1, 2, 2]), min_size=1, max_size=2
    )
    group_over: tuple[str | int, ...] = tuple(draw(inputs))
    tasks: list[MapTask] = []
    for number in range(size):
        ups = draw(st.lists(st.sampled_from(range(number)), max_size=3, unique=True)) if number else []
        names = {f"t{up}" for up in ups}
        in_group = number >= begin and draw(st.booleans())
        over: tuple[str | int, ...] | None = None
        if in_group:
            names |= {each for each in group_over if isinstance(each, str)}
        elif draw(st.booleans()):
            choices = [*(f"t{i}" for i in range(number)), *([0, 1, 2, 3] if not number else [2])]
            over = tuple(draw(st.lists(st.sampled_from(choices), min_size=1, max_size=2)))
            names |= {each for each in over if isinstance(each, str)}
        rule = draw(st.sampled_from(RULES))
        upstream = tuple(sorted(names))
        tasks.append(MapTask(task_id=f"t{number}", upstream=upstream, rule=rule, over=over, in_group=in_group))
    return tasks, group_over


def endings(tasks: Sequence[MapTask], seed: int) -> Callable[[Instance], MapEnding]:
    """How instances end, by a seed."""

    def ending(instance: Instance) -> MapEnding:
        rng = random.Random(f"{seed}/{instance}")
        state = rng.choice([S.SUCCESS, S.SUCCESS, S.SUCCESS, S.SUCCESS, S.FAILED, S.SKIPPED])
        if state is not S.SUCCESS:
            return MapEnding(state=state)
        direct = [task.task_id for task in tasks if instance[0] in task.upstream]
        skip = tuple(name for name in direct if rng.random() < 0.15)
        is_instance = instance[1] >= 0
        length = None if is_instance else rng.choice([0, 1, 2, 2, 3, None])
        return MapEnding(state=state, skip=skip, length=length, returned=is_instance and rng.random() < 0.8)

    return ending


def chooser(seed: int) -> Callable[[Sequence[Instance]], Instance]:
    """Which of the running instances ends next."""
    return lambda running: min(running, key=lambda each: random.Random(f"{seed}/{each}").random())


def spec_of(tasks: Sequence[MapTask], group_over: tuple[str | int, ...]) -> DagSpec:
    def mapped(over: tuple[str | int, ...]) -> MappedSpec:
        lengths = [LengthSpec(length=each) if isinstance(each, int) else LengthSpec(task_id=each) for each in over]
        return MappedSpec(kind="expand", inputs={f"x{number}": each for number, each in enumerate(lengths)})

    return DagSpec(
        dag_id="d",
        fileloc="d.py",
        max_active_tasks=1000,
        tasks=tuple(
            TaskSpec(
                task_id=task.task_id,
                task_type="PythonOperator",
                upstream=task.upstream,
                trigger_rule=task.rule,
                group_id="g" if task.in_group else None,
                mapped=mapped(task.over) if task.over is not None else None,
            )
            for task in tasks
        ),
        groups=(TaskGroupSpec(group_id="g", mapped=mapped(group_over)),),
    )


def play(
    driver: Driver, ending: Callable[[Instance], MapEnding], first: Callable[[Sequence[Instance]], Instance]
) -> None:
    """Run what the machine queues, one at a time."""
    key = driver.run().run_key
    while queued := [row for row in driver.rows_of(key) if row.state is S.QUEUED]:
        chosen = first([(row.task_id, row.map_index) for row in queued])
        row = next(row for row in queued if (row.task_id, row.map_index) == chosen)
        told = ending(chosen)
        driver.end(f"r.{shown_id(row)}", told.state, skip=told.skip, length=told.length, returned=told.returned)


def compare(driver: Driver, expected: dict[Instance, TaskInstanceState]) -> None:
    """What the model leaves unfinished the machine ends as a run that cannot go on."""
    rows = {(row.task_id, row.map_index): row.state for row in driver.rows_of(driver.run().run_key)}
    assert set(rows) == set(expected)
    ended = {each: state for each, state in expected.items() if state is not S.NONE}
    assert {each: rows[each] for each in ended} == ended


LEFT_OVER = (
    [
        MapTask(task_id="t0"),
        MapTask(task_id="t1", in_group=True),
        MapTask(task_id="t2"),
        MapTask(task_id="t3", upstream=("t0",), in_group=True),
        MapTask(task_id="t4", upstream=("t0", "t2"), in_group=True),
        MapTask(task_id="t5"),
    ],
    (2, 2),
)


@example(dag=LEFT_OVER, seed=324, max_rows=14)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(dag=mapped_dags(), seed=st.integers(0, 999), max_rows=st.sampled_from([14, 2000]))
def test_runs_and_clears(dag: tuple[list[MapTask], tuple[str | int, ...]], seed: int, max_rows: int) -> None:
    tasks, group_over = dag
    ending, first = endings(tasks, seed), chooser(seed)
    driver = Driver(spec_of(tasks, group_over), slots=1000, check_every=3, max_rows=max_rows)
    driver.trigger()
    play(driver, ending, first)
    model = MappedRun(tasks, group_over, ending)
    expected = model.play(first)
    compare(driver, expected)
    event(f"instances: {sum(index > 0 for _, index in expected) > 0}, stuck: {S.NONE in expected.values()}")
    if S.NONE in expected.values():
        return
    again = list(below(tasks, [tasks[seed % len(tasks)].task_id]))
    key = driver.run().run_key
    targets = [row for row in driver.rows_of(key) if row.task_id in again]
    told = tuple(TaskTarget(row.ti_id, row.task_id, row.map_index) for row in targets)
    driver.act(ClearTaskInstances(run_key=key, targets=told))
    model.clear(again, endings(tasks, seed + 1000))
    play(driver, endings(tasks, seed + 1000), first)
    compare(driver, model.play(first))
