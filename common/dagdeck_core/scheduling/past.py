"""Which run a run looks back at, for depends_on_past and wait_for_downstream.

Decides whether the run before lets a task instance start, and which runs must be kept in memory because
another one looks at them. Which run came before is asked of the database (`Machine.take_predecessors_wanted`);
a run without a logical date has none before it, as in Airflow. Called by the modules beside it.
"""

from __future__ import annotations

from dagdeck_core.scheduling.run_state import RunState, Task
from dagdeck_core.scheduling.world import World
from dagdeck_core.states import DagRunState, TaskInstanceState

NO_PREDECESSOR = 0
_PAST_OK = frozenset({TaskInstanceState.SUCCESS, TaskInstanceState.SKIPPED, TaskInstanceState.REMOVED})


def allows(world: World, task: Task) -> bool:
    """Whether depends_on_past and wait_for_downstream let the task run: the run before ended it well."""
    spec, run = task.spec, task.run
    if not (spec.depends_on_past or spec.wait_for_downstream) or run.predecessor_key == NO_PREDECESSOR:
        return True
    before = world.runs.get(run.predecessor_key) if run.predecessor_key is not None else None
    if before is None or not before.complete:
        return False
    index = before.graph.index.get(spec.task_id)
    if index is None:
        return True
    wanted = [index, *(before.graph.down[index] if spec.wait_for_downstream else ())]
    return all(other.state in _PAST_OK for i in wanted for other in before.tasks[i])


def found(world: World, run_key: int, predecessor_key: int) -> None:
    """Take in which run came before `run_key` (0: none). One that is not in memory is asked for again."""
    run = world.runs.get(run_key)
    if run is None or (predecessor_key and predecessor_key not in world.runs):
        return
    world.stop_looking_back(run)
    run.predecessor_key = predecessor_key
    if predecessor_key:
        world.successors.setdefault(predecessor_key, {})[run_key] = None
    if run.state is DagRunState.RUNNING:
        world.mark_all_dirty(run)


def run_created(world: World, created: RunState) -> None:
    """A run may have come between others and the run that they look back at: let those ask again."""
    date = created.record.logical_date
    entry = world.dags.get(created.record.dag_id)
    if date is None or entry is None:
        return
    for run in entry.runs.values():
        other = run.record.logical_date
        if run.predecessor_key is not None and other is not None and other > date:
            world.look_back(run)


def run_deleted(world: World, run_key: int) -> None:
    """A run is gone: those that looked back at it ask again."""
    for successor in list(world.successors.get(run_key, ())):
        if successor in world.runs:
            world.look_back(world.runs[successor])
