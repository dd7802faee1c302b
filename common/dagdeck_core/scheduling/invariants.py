"""Invariants of the machine's memory: what must hold between any two steps.

Decides nothing. Every counter is compared with one made afresh from the task instances. Called by tests
and the simulation after every step; too slow for production.
"""

from __future__ import annotations

from dagdeck_core.errors import Bug
from dagdeck_core.scheduling.run_state import IN_FEED, SUMMARY, RunState
from dagdeck_core.scheduling.world import World
from dagdeck_core.states import DISPATCHED, TaskInstanceState


def check(world: World) -> None:
    """Raise Bug, naming the counter, when anything kept differs from what the task instances say."""
    for run in world.runs.values():
        _check_run(world, run)
    _check_pools(world)
    for worker_id, tasks in world.running_on.items():
        for task in tasks.values():
            if task.worker_id != worker_id or task.state not in DISPATCHED:
                raise Bug(f"task instance {task.ti_id} is listed under worker {worker_id} but is {task.state}")


def _check_run(world: World, run: RunState) -> None:
    rows = [world.row_of(task) for task in run.by_id.values()]
    fresh = RunState.from_rows(run.record, run.graph, run.max_active_tasks, rows)
    for name in ("up", "skipped_by", "skipped_at", "unfinished", "active", "scheduled", "sleeping"):
        kept, expected = getattr(run, name), getattr(fresh, name)
        if kept != expected:
            raise Bug(f"run {run.key}: {name} is {kept}, its task instances say {expected}")
    _check_instances(run)
    candidates = sum(task.ticket != 0 for task in run.by_id.values())
    if run.candidates != candidates:
        raise Bug(f"run {run.key}: {run.candidates} candidates counted, there are {candidates}")
    if run.active > 0 and run.max_active_tasks and run.active > run.max_active_tasks:
        live = [task.ti_id for task in run.by_id.values() if task.state in DISPATCHED]
        raise Bug(f"run {run.key}: {len(live)} live dispatches exceed max_active_tasks {run.max_active_tasks}")
    entry = world.dags.get(run.record.dag_id)
    if entry is not None and run.state in ("queued", "running") and run.key not in entry.runs:
        raise Bug(f"run {run.key} is unfinished but its DAG does not list it")


def _check_instances(run: RunState) -> None:
    """Instances of an expanded task stand at their map index, and those that wait to compete are in the feed."""
    for index, tasks in enumerate(run.tasks):
        for position, task in enumerate(tasks):
            if task.map_index != position and not (position == 0 and task.map_index == SUMMARY):
                raise Bug(f"run {run.key}: instance {task.map_index} of {task.spec.task_id} stands at {position}")
        live = sum(task.ticket > 0 and task.map_index >= 0 for task in tasks)
        if live != run.offered.get(index, 0):
            raise Bug(f"run {run.key}: {run.offered.get(index)} instances of task {index} compete, there are {live}")
        feed = run.feeds.get(index, ())
        waiting = [task for task in tasks if task.ticket == IN_FEED]
        if waiting and (not live or any(task not in feed for task in waiting)):
            raise Bug(f"run {run.key}: {len(waiting)} instances of task {index} wait, and nothing will wake them")


def _check_pools(world: World) -> None:
    used: dict[str, int] = {}
    deferred = 0
    queues: dict[str, int] = {}
    for run in world.runs.values():
        for task in run.by_id.values():
            pool = world.admission.pools.get(task.spec.pool)
            deferred += task.state is TaskInstanceState.DEFERRED
            if task.state in DISPATCHED:
                queues[task.spec.queue] = queues.get(task.spec.queue, 0) + 1
            if task.state in DISPATCHED or (
                task.state is TaskInstanceState.DEFERRED and pool is not None and pool.include_deferred
            ):
                used[task.spec.pool] = used.get(task.spec.pool, 0) + task.spec.pool_slots
    if world.admission.deferred != deferred:
        raise Bug(f"{world.admission.deferred} deferred task instances counted, there are {deferred}")
    for name, pool in world.admission.pools.items():
        if pool.used != used.get(name, 0):
            raise Bug(f"pool {name}: {pool.used} slots counted, its task instances hold {used.get(name, 0)}")
    for queue, count in queues.items():
        if world.admission.active_in_queue(queue) != count:
            raise Bug(f"queue {queue}: {world.admission.active_in_queue(queue)} live counted, there are {count}")
