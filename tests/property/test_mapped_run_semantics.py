"""Runs with expanded tasks and mapped groups: the scheduling machine against the slow model.

Hypothesis draws a DAG, what its tasks return, how each instance would end and in which order; both sides must leave
every instance, and the run, in the same state.
"""

from __future__ import annotations

from dataclasses import replace

import hypothesis.strategies as st
from hypothesis import HealthCheck, event, given, settings

from dagdeck_core.spec import DagSpec, LengthSpec, MappedSpec, TaskGroupSpec, TaskSpec, TriggerRule
from dagdeck_core.states import DagRunState, TaskInstanceState
from tests.core.machine_driver import Driver
from tests.property.reference_mapping import Instance, MapEnding, MappedRun, MapTask

S = TaskInstanceState
R = TriggerRule
LONGEST = 3
RULES = [R.ALL_SUCCESS, R.ALL_SUCCESS, R.ALL_SUCCESS, R.ALL_DONE, R.NONE_FAILED, R.ONE_SUCCESS, R.ONE_FAILED]


@st.composite
def dags(draw: st.DrawFn) -> tuple[list[MapTask], str | int]:
    """A source, plain and expanded tasks, and a mapped group of two to three tasks among them; what that is over."""
    found = [MapTask(task_id="t0")]
    sources = ["t0"]
    group_over: str | int = draw(st.one_of(st.just("t0"), st.just(2)))
    in_group: list[str] = []
    for number in range(1, draw(st.integers(2, 6)) + 1):
        kind = draw(st.sampled_from(["plain", "plain", "mapped", "group", "group"]))
        known = [task.task_id for task in found]
        upstream = set(draw(st.lists(st.sampled_from(known), max_size=2, unique=True)))
        over: str | int | None = None
        if kind == "mapped":
            over = draw(st.one_of(st.sampled_from(sources), st.just(2)))
        elif kind == "group":
            over = group_over
            # What is first in a group waits for what the group is expanded over.
            if not upstream & set(in_group) and isinstance(over, str):
                upstream.add(over)
            in_group.append(f"t{number}")
        if kind == "mapped" and isinstance(over, str):
            upstream.add(over)
        if kind == "plain":
            sources.append(f"t{number}")
        found.append(
            MapTask(
                task_id=f"t{number}",
                upstream=tuple(sorted(upstream)),
                rule=draw(st.sampled_from(RULES)),
                over=(over,) if over is not None and kind == "mapped" else None,
                in_group=kind == "group",
            )
        )
    return found, group_over


@st.composite
def endings(draw: st.DrawFn, tasks: list[MapTask]) -> dict[Instance, MapEnding]:
    """How each instance would end if it ran; some are branches."""
    found: dict[Instance, MapEnding] = {}
    for task in tasks:
        below = [each.task_id for each in tasks if task.task_id in each.upstream and _may_skip(task, each)]
        for index in range(-1, LONGEST):
            state = draw(st.sampled_from([S.SUCCESS, S.SUCCESS, S.SUCCESS, S.FAILED, S.SKIPPED]))
            skip: list[str] = []
            if below and state is S.SUCCESS and draw(st.integers(0, 2)) == 0:
                skip = draw(st.lists(st.sampled_from(below), max_size=2, unique=True))
            found[task.task_id, index] = MapEnding(state=state, skip=tuple(skip))
    return found


def _may_skip(task: MapTask, below: MapTask) -> bool:
    return (task.over is None and not task.in_group) or (task.in_group and below.in_group)


def spec_of(tasks: list[MapTask], group_over: str | int) -> DagSpec:
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
                mapped=_mapped(task.over[0]) if task.over is not None else None,
            )
            for task in tasks
        ),
        groups=(TaskGroupSpec(group_id="g", mapped=_mapped(group_over)),),
    )


def _mapped(over: str | int) -> MappedSpec:
    length = LengthSpec(length=over) if isinstance(over, int) else LengthSpec(task_id=over)
    return MappedSpec(kind="expand", inputs={"x": length})


def play_on_machine(
    spec: DagSpec, ends: dict[Instance, MapEnding], order: list[str]
) -> tuple[dict[Instance, TaskInstanceState], DagRunState]:
    """The same run on the machine: of what it queues, an instance of the first task in `order` ends next."""
    driver = Driver(spec, slots=1000)
    driver.trigger()
    run_key = driver.run().run_key
    while True:
        rows = driver.rows_of(run_key)
        queued = [(order.index(row.task_id), row.map_index, row) for row in rows if row.state is S.QUEUED]
        if not queued:
            return {(row.task_id, row.map_index): row.state for row in rows}, driver.run().state
        row = min(queued, key=lambda each: each[:2])[2]
        ending = ends[row.task_id, row.map_index]
        name = f"r.{row.task_id}" + (f"[{row.map_index}]" if row.map_index >= 0 else "")
        driver.end(name, ending.state, skip=ending.skip, length=ending.length, returned=ending.returned)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_expanded_tasks_and_mapped_groups(data: st.DataObject) -> None:
    tasks, group_over = data.draw(dags())
    ends = data.draw(endings(tasks))
    for task in tasks:
        first = ends[task.task_id, -1]
        if first.state is S.SUCCESS and task.over is None and not task.in_group and data.draw(_MOSTLY):
            ends[task.task_id, -1] = replace(first, length=data.draw(st.integers(0, LONGEST)))
    order = list(data.draw(st.permutations([task.task_id for task in tasks])))
    reference = MappedRun(tasks, (group_over,), ends.__getitem__)
    expected = reference.play(lambda running: min(running, key=lambda each: (order.index(each[0]), each[1])))
    states, run_state = play_on_machine(spec_of(tasks, group_over), ends, order)
    ended = {key: state for key, state in expected.items() if state is not S.NONE}
    assert {key: states.get(key) for key in ended} == ended
    assert states.keys() == expected.keys()
    assert run_state == reference.run_state()
    event(f"run {run_state}, expanded: {any(key[1] >= 0 for key in states)}")


_MOSTLY = st.sampled_from([True, True, True, False])
