"""Runs with expanded tasks and mapped groups: the scheduling machine against the slow model.

Hypothesis draws a DAG, what its tasks return, how each instance would end and in which order; both sides must leave
every instance, and the run, in the same state.
"""

from __future__ import annotations

import hypothesis.strategies as st
from hypothesis import HealthCheck, event, given, settings

from dagdeck_core.spec import DagSpec, LengthSpec, MappedSpec, TaskGroupSpec, TaskSpec, TriggerRule
from dagdeck_core.states import DagRunState, TaskInstanceState
from tests.core.machine_driver import Driver
from tests.property.reference_mapped_run import Key, MappedReferenceRun, MappedTask
from tests.property.reference_run import Ending

S = TaskInstanceState
R = TriggerRule
LONGEST = 3
RULES = [R.ALL_SUCCESS, R.ALL_SUCCESS, R.ALL_SUCCESS, R.ALL_DONE, R.NONE_FAILED, R.ONE_SUCCESS, R.ONE_FAILED]


@st.composite
def dags(draw: st.DrawFn) -> list[MappedTask]:
    """A source, plain and expanded tasks, and a mapped group of two to three tasks among them."""
    found = [MappedTask(task_id="t0")]
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
            MappedTask(
                task_id=f"t{number}",
                upstream=tuple(sorted(upstream)),
                rule=draw(st.sampled_from(RULES)),
                over=over,
                group="g" if kind == "group" else None,
            )
        )
    return found


@st.composite
def endings(draw: st.DrawFn, tasks: list[MappedTask]) -> dict[Key, Ending]:
    """How each instance would end if it ran; some are branches."""
    found: dict[Key, Ending] = {}
    for task in tasks:
        below = [each.task_id for each in tasks if task.task_id in each.upstream and _may_skip(task, each)]
        for index in range(-1, LONGEST):
            state = draw(st.sampled_from([S.SUCCESS, S.SUCCESS, S.SUCCESS, S.FAILED, S.SKIPPED]))
            skip: list[str] = []
            if below and state is S.SUCCESS and draw(st.integers(0, 2)) == 0:
                skip = draw(st.lists(st.sampled_from(below), max_size=2, unique=True))
            found[task.task_id, index] = Ending(state=state, skip=tuple(skip))
    return found


def _may_skip(task: MappedTask, below: MappedTask) -> bool:
    return task.over is None or (task.group is not None and task.group == below.group)


def spec_of(tasks: list[MappedTask]) -> DagSpec:
    group = next((task for task in tasks if task.group is not None), None)
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
                group_id=task.group,
                mapped=_mapped(task.over) if task.group is None else None,
            )
            for task in tasks
        ),
        groups=(TaskGroupSpec(group_id="g", mapped=_mapped(group.over)),) if group is not None else (),
    )


def _mapped(over: str | int | None) -> MappedSpec | None:
    if over is None:
        return None
    length = LengthSpec(length=over) if isinstance(over, int) else LengthSpec(task_id=over)
    return MappedSpec(kind="expand", inputs={"x": length})


def play_on_machine(
    tasks: list[MappedTask], ends: dict[Key, Ending], lengths: dict[str, int], order: list[str]
) -> tuple[dict[Key, TaskInstanceState], DagRunState]:
    """The same run on the machine: of what it queues, an instance of the first task in `order` ends next."""
    driver = Driver(spec_of(tasks), slots=1000)
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
        is_success = ending.state is S.SUCCESS
        length = lengths.get(row.task_id) if is_success and row.map_index < 0 else None
        driver.end(name, ending.state, skip=ending.skip if is_success else (), length=length, returned=is_success)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_expanded_tasks_and_mapped_groups(data: st.DataObject) -> None:
    tasks = data.draw(dags())
    ends = data.draw(endings(tasks))
    lengths = {
        task.task_id: data.draw(st.integers(0, LONGEST)) for task in tasks if task.over is None and data.draw(_MOSTLY)
    }
    order = list(data.draw(st.permutations([task.task_id for task in tasks])))
    reference = MappedReferenceRun(tasks, ends, lengths)
    expected = reference.play(order)
    states, run_state = play_on_machine(tasks, ends, lengths, order)
    ended = {key: state for key, state in expected.items() if state is not S.NONE}
    assert {key: states.get(key) for key in ended} == ended
    assert states.keys() == expected.keys()
    assert run_state == reference.run_state()
    event(f"run {run_state}, expanded: {any(key[1] >= 0 for key in states)}")


_MOSTLY = st.sampled_from([True, True, True, False])
