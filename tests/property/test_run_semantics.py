"""Whole runs: the scheduling machine driven to the end against the slow model of Airflow's run semantics.

Hypothesis draws a DAG, how each task would end if it ran, and in which order tasks end; both sides must leave every
task instance and the run in the same state.
"""

from __future__ import annotations

import hypothesis.strategies as st
from hypothesis import HealthCheck, event, given, settings

from dagdeck_core.spec import DagSpec, TaskSpec, TriggerRule
from dagdeck_core.states import DagRunState, TaskInstanceState
from tests.core.machine_driver import Driver
from tests.property.reference_run import Ending, ReferenceRun, RefTask

S = TaskInstanceState
R = TriggerRule
PLAIN_RULES = [rule for rule in R if rule is not R.ALL_DONE_SETUP_SUCCESS]
FINISHED = (DagRunState.SUCCESS, DagRunState.FAILED)


@st.composite
def plain_dags(draw: st.DrawFn) -> list[RefTask]:
    """Up to eight tasks under any rules, most of them under the usual ones."""
    rules = st.sampled_from([R.ALL_SUCCESS, R.ALL_SUCCESS, R.NONE_FAILED_MIN_ONE_SUCCESS, *PLAIN_RULES])
    found: list[RefTask] = []
    for number in range(draw(st.integers(1, 8))):
        upstream = draw(st.lists(st.sampled_from(range(number)), max_size=3, unique=True)) if number else []
        found.append(
            RefTask(task_id=f"t{number}", upstream=tuple(f"t{up}" for up in sorted(upstream)), rule=draw(rules))
        )
    return found


@st.composite
def endings(draw: st.DrawFn, tasks: list[RefTask]) -> dict[str, Ending]:
    """How each task would end; a success may skip what comes directly after it (a branch), or all that does."""
    found = {}
    for task in tasks:
        state = draw(st.sampled_from([S.SUCCESS, S.SUCCESS, S.SUCCESS, S.FAILED, S.SKIPPED]))
        direct = [down.task_id for down in tasks if task.task_id in down.upstream]
        skip: list[str] = []
        if state is S.SUCCESS and direct and draw(st.booleans()):
            skip = draw(st.lists(st.sampled_from(direct), max_size=3, unique=True))
            if draw(st.integers(0, 3)) == 0:
                skip = _all_below(tasks, task.task_id)
        found[task.task_id] = Ending(state=state, skip=tuple(skip))
    return found


def _all_below(tasks: list[RefTask], task_id: str) -> list[str]:
    below: list[str] = []
    for task in tasks:
        if any(up == task_id or up in below for up in task.upstream):
            below.append(task.task_id)
    return below


def play_on_machine(
    tasks: list[RefTask], ends: dict[str, Ending], order: list[str]
) -> tuple[dict[str, TaskInstanceState], DagRunState]:
    """The same run on the machine: what it queues ends one at a time, the first in `order` next."""
    spec = DagSpec(
        dag_id="d",
        fileloc="d.py",
        tasks=tuple(
            TaskSpec(
                task_id=task.task_id,
                task_type="PythonOperator",
                upstream=tuple(sorted(task.upstream)),
                trigger_rule=task.rule,
                is_setup=task.is_setup,
                is_teardown=task.is_teardown,
                on_failure_fail_dagrun=task.fails_run,
            )
            for task in tasks
        ),
    )
    driver = Driver(spec)
    driver.trigger()
    while True:
        states = driver.states()
        queued = next((task_id for task_id in order if states[task_id] == S.QUEUED), None)
        if queued is None:
            return {task_id: S(state) for task_id, state in states.items()}, driver.run().state
        driver.end(f"r.{queued}", ends[queued].state, skip=ends[queued].skip)


def check(tasks: list[RefTask], ends: dict[str, Ending], order: list[str]) -> None:
    """Both sides end alike. What the model leaves unfinished the machine ends as a run that cannot go on."""
    reference = ReferenceRun(tasks, ends)
    expected = reference.play(order)
    states, run_state = play_on_machine(tasks, ends, order)
    ended = {task_id: state for task_id, state in expected.items() if state is not S.NONE}
    assert {task_id: states[task_id] for task_id in ended} == ended
    assert run_state == reference.run_state()
    event(f"run {run_state}, stuck: {len(ended) < len(expected)}")


QUICK = settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@QUICK
@given(data=st.data())
def test_rules_branches_and_skips(data: st.DataObject) -> None:
    tasks = data.draw(plain_dags())
    ends = data.draw(endings(tasks))
    order = data.draw(st.permutations([task.task_id for task in tasks]))
    check(tasks, ends, list(order))


@st.composite
def dags_with_setups(draw: st.DrawFn) -> list[RefTask]:
    """Up to nine tasks, some of them setups and teardowns, as authors may write them."""
    found: list[RefTask] = []
    for number in range(draw(st.integers(2, 9))):
        known = [task for task in found if not task.is_teardown or draw(st.booleans())]
        upstream = tuple(
            sorted(task.task_id for task in draw(st.lists(st.sampled_from(known), max_size=3, unique=True)))
            if known
            else ()
        )
        kind = draw(st.sampled_from(["work", "work", "work", "setup", "teardown"]))
        follows_setup = any(task.is_setup and task.task_id in upstream for task in found)
        rule = R.ALL_SUCCESS if follows_setup else draw(st.sampled_from([R.ALL_SUCCESS, R.ALL_DONE, *PLAIN_RULES]))
        found.append(
            RefTask(
                task_id=f"t{number}",
                upstream=upstream,
                rule=R.ALL_DONE_SETUP_SUCCESS if kind == "teardown" else rule,
                is_setup=kind == "setup",
                is_teardown=kind == "teardown",
                fails_run=kind == "teardown" and draw(st.booleans()),
            )
        )
    return found


@QUICK
@given(data=st.data())
def test_setups_and_teardowns(data: st.DataObject) -> None:
    tasks = data.draw(dags_with_setups())
    ends = data.draw(endings(tasks))
    spared = {task.task_id for task in tasks if task.is_teardown}
    ends = {
        task_id: Ending(state=end.state, skip=tuple(name for name in end.skip if name not in spared))
        for task_id, end in ends.items()
    }
    order = data.draw(st.permutations([task.task_id for task in tasks]))
    check(tasks, ends, list(order))
