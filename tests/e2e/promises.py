"""What must hold after any fault: `check_run` compares a finished run's rows with what its tasks recorded themselves.

Decides nothing about how a fault is made. Called at the end of every fault test.
"""

from __future__ import annotations

from collections import Counter

from dagdeck_core.states import DagRunState, TaskInstanceState
from tests.e2e.harness import ClusterUnderTest
from tests.e2e.stamps import overlaps

_LIVE = {"queued", "running", "restarting"}


def check_run(
    cluster: ClusterUnderTest,
    run_id: str,
    *,
    tries: int = 1,
    state: DagRunState = DagRunState.SUCCESS,
    cleared: frozenset[str] = frozenset(),
) -> None:
    """Raises AssertionError unless the run kept every promise.

    `tries` is the try_number that every task may reach, `cleared` names tasks that a person made run again.
    """
    run = cluster.database.run(run_id)
    assert run is not None, f"{run_id} was lost"
    assert run.state == state, f"{run_id} ended {run.state}"
    tasks = cluster.database.task_instances(run_id)
    history = cluster.database.history(run_id)
    moves = cluster.database.moves(run_id)
    executions = cluster.stamps.executions(run_id)

    if state == DagRunState.SUCCESS:
        assert {ti.state for ti in tasks} == {TaskInstanceState.SUCCESS}
        assert {ti.task_id for ti in tasks} <= {e.task_id for e in executions if e.ended}, "a task never really ran"
    assert overlaps(executions) == [], "two dispatches of one task instance ran at the same time"

    too_many = [(ti.task_id, ti.try_number) for ti in tasks if ti.try_number > tries and ti.task_id not in cleared]
    assert not too_many, f"a fault used up retries: {too_many}"

    numbers = {d.dispatch_no for d in history}
    assert len(numbers) == len(history)
    strangers = [e for e in executions if e.dispatch_no not in numbers]
    assert not strangers, f"executed without having been committed: {strangers}"

    successes = Counter(m.ti_id for m in moves if m.ti_id is not None and m.to_state == "success")
    by_id = {ti.ti_id: ti.task_id for ti in tasks}
    double = {by_id[key]: n for key, n in successes.items() if n > 1 and by_id[key] not in cleared}
    assert not double, f"succeeded more than once: {double}"
    _check_chain_of_states(cluster, run_id)


def _check_chain_of_states(cluster: ClusterUnderTest, run_id: str) -> None:
    """The transitions of each task instance form one chain that ends in the state of its row."""
    tasks = cluster.database.task_instances(run_id)
    for ti in tasks:
        moves = [m for m in cluster.database.moves(run_id) if m.ti_id == ti.ti_id]
        balance = Counter(m.to_state for m in moves)
        balance.subtract(Counter(m.from_state for m in moves))
        # Transitions of two writers are not in the order of their ids, so they are weighed, not walked.
        balance["none"] += 1
        left = {state: n for state, n in balance.items() if n}
        assert left == {ti.state.value: 1}, f"{ti.task_id}: transitions do not lead to {ti.state}: {left}"
