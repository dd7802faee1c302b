"""Ending what is left of a run before its tasks did: timeout, deadlock, fail_fast, and a person's mark.

Decides which state each unfinished task instance takes, in parts: a step ends as many as its rows allow, and
the next one goes on. A stop is remembered in `World.stops` by run_key, so it outlives a reload of the run;
after a failover its cause is found again (the timer, the deadlock, the failed task, the pending action).
Called by the machine and by `people`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator
from dataclasses import dataclass

from dagdeck_core.scheduling.decisions import Revoke
from dagdeck_core.scheduling.run_state import RunState, Task
from dagdeck_core.scheduling.world import World
from dagdeck_core.states import DISPATCHED, TERMINAL, DagRunState, TaskInstanceState

_S = TaskInstanceState
Parts = Generator[None, None, None]
"""Work that yields whenever it must go on in the next step."""


@dataclass(slots=True, kw_only=True)
class Stop:
    """What is left of a run is being ended; then the run takes `run_state` (None: it ends as its tasks say)."""

    run_state: DagRunState | None
    reason: str
    parts: Parts
    word: str = ""
    """Airflow's word for the reason, for the DAG's callback."""


def stop_run(world: World, run: RunState, reason: str, *, word: str = "") -> None:
    """Fail a run before its tasks ended: what runs is revoked, and counts as skipped like what waits."""
    parts = end_tasks(world, run.key, rest=_S.SKIPPED, running=_S.SKIPPED, reason=reason)
    world.stops[run.key] = Stop(run_state=DagRunState.FAILED, reason=reason, parts=parts, word=word)


def task_failed(world: World, task: Task) -> None:
    """A task instance failed for good: with fail_fast, all that is left of its run ends, except teardowns."""
    run = task.run
    if run.state is DagRunState.RUNNING and run.key not in world.stops and world.spec_of(run).fail_fast:
        _fail_fast(world, run, f"{task.spec.task_id} failed (fail_fast)")


def run_loaded(world: World, run: RunState) -> None:
    """Find the failure of a fail_fast run that nobody heard of.

    A run that was cleared since then looks the same and must go on; a task instance that was ever
    cleared has more tries than its spec gives it, and such runs are left alone.
    """
    if run.state is not DagRunState.RUNNING or run.key in world.stops or not world.spec_of(run).fail_fast:
        return
    tasks = run.by_id.values()
    if any(task.max_tries > task.spec.retries for task in tasks):
        return
    failed = next((task for task in tasks if task.state is _S.FAILED), None)
    if failed is not None:
        _fail_fast(world, run, f"{failed.spec.task_id} failed (fail_fast)")


def _fail_fast(world: World, run: RunState, reason: str) -> None:
    parts = end_tasks(world, run.key, rest=_S.SKIPPED, running=_S.FAILED, reason=reason, spare_teardowns=True)
    world.stops[run.key] = Stop(run_state=None, reason=reason, parts=parts)


def carry_on(world: World) -> list[tuple[RunState, Stop]]:
    """Go on with every stop as far as rows allow; returns those whose tasks are all dealt with."""
    done = []
    for run_key in list(world.stops):
        if world.rows_left <= 0:
            break
        stop, run = world.stops[run_key], world.runs.get(run_key)
        if run is None or run.state is not DagRunState.RUNNING:
            del world.stops[run_key]
        elif finishes(stop.parts):
            del world.stops[run_key]
            done.append((run, stop))
    return done


def finishes(parts: Parts) -> bool:
    """Do one part; True when it was the last."""
    try:
        next(parts)
    except StopIteration:
        return True
    return False


def end_tasks(
    world: World,
    run_key: int,
    *,
    rest: TaskInstanceState,
    running: TaskInstanceState,
    reason: str,
    cause: str = "",
    spare_teardowns: bool = False,
) -> Parts:
    """End every unfinished task instance of a run: those that wait take `rest`, live ones are revoked to `running`.

    Yields whenever the step's rows are used up or the run's task instances are still being created. Finds the
    run anew after each yield, since it may have been loaded again; ends at once when it is gone.
    """
    looked_at: RunState | None = None
    left: deque[Task] = deque()
    while (run := world.runs.get(run_key)) is not None:
        if not run.complete:
            yield
            continue
        if run is not looked_at or not left:
            # A large run is looked through once, and once more at the end: some may have come meanwhile.
            looked_at = run
            left = deque(task for task in run.by_id.values() if _is_left(task, running, spare_teardowns))
            if not left:
                return
        while left:
            if world.rows_left <= 0:
                yield
                break
            task = left.popleft()
            if not _is_left(task, running, spare_teardowns):
                continue
            if task.state is _S.RUNNING or task.state is _S.RESTARTING:
                revoke(world, task, running, cause=cause)
            else:
                world.move(task, rest, reason=reason, cause=cause)


def _is_left(task: Task, running: TaskInstanceState, spare_teardowns: bool) -> bool:
    if task.state in TERMINAL or (spare_teardowns and task.spec.is_teardown):
        return False
    return task.state is _S.QUEUED or task.state not in DISPATCHED or task.revoke_to is not running


def revoke(world: World, task: Task, target: TaskInstanceState, *, cause: str = "") -> None:
    """Ask the worker to end a running dispatch; the row takes `target` when the process is known to be dead."""
    task.revoke_to = target
    world.emit(
        Revoke(
            run_key=task.run.key,
            ti_id=task.ti_id,
            dispatch_no=task.dispatch_no,
            worker_id=task.worker_id or 0,
            target=target,
            cause=cause,
        ),
        rows=2,
    )
