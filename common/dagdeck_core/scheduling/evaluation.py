"""Judging task instances: what becomes of those that are none, and who is released.

Decides skip, upstream_failed, immediate success of empty tasks, candidates, releases and the marking
as scheduled. Called by the machine in every step, after the facts were taken in.
"""

from __future__ import annotations

from dagdeck_core.scheduling.run_state import RunState, Task
from dagdeck_core.scheduling.timers import TimerKind
from dagdeck_core.scheduling.world import World
from dagdeck_core.states import DagRunState, TaskInstanceState
from dagdeck_core.trigger_rules import Judgement

_S = TaskInstanceState
_PAST_OK = frozenset({_S.SUCCESS, _S.SKIPPED})


def judge_dirty(world: World) -> None:
    """Judge the none instances of every task whose upstream changed, until nothing changes or rows run out."""
    while world.dirty and world.rows_left > 0:
        run_key, index = next(iter(world.dirty))
        del world.dirty[(run_key, index)]
        run = world.runs.get(run_key)
        if (
            run is not None
            and run.state is DagRunState.RUNNING
            and run.complete
            and not world.is_paused(run.record.dag_id)
        ):
            _judge_task(world, run, index)


def _judge_task(world: World, run: RunState, index: int) -> None:
    for task in run.tasks[index]:
        if task.state is not _S.NONE and not (task.state is _S.SCHEDULED and not task.ticket):
            continue
        judgement = run.judge(index) if task.state is _S.NONE else Judgement.RUN
        if judgement is Judgement.SKIP:
            why = "a branch did not take it" if run.skipped_by[index] else "its trigger rule skips it"
            world.move(task, _S.SKIPPED, reason=why)
        elif judgement is Judgement.UPSTREAM_FAILED:
            world.move(task, _S.UPSTREAM_FAILED, reason="its trigger rule can no longer hold")
        elif judgement is Judgement.RUN and not task.ticket and past_allows(world, task):
            if task.spec.is_empty:
                world.move(task, _S.SUCCESS, reason="it has nothing to execute", try_number=task.try_number + 1)
            else:
                offer_candidate(world, task)


def past_allows(world: World, task: Task) -> bool:
    """Whether depends_on_past and wait_for_downstream let the task run: the run before ended it well."""
    spec, run = task.spec, task.run
    if not (spec.depends_on_past or spec.wait_for_downstream):
        return True
    if run.predecessor_key is None:
        return False
    before = world.runs.get(run.predecessor_key)
    if before is None:
        return run.predecessor_key == 0
    index = before.graph.index.get(spec.task_id)
    if index is None:
        return True
    wanted = [index, *(before.graph.down[index] if spec.wait_for_downstream else ())]
    return all(other.state in _PAST_OK for i in wanted for other in before.tasks[i])


def offer_candidate(world: World, task: Task) -> None:
    """Let a task instance compete for a slot."""
    world.admission.offer(task)
    world.unmarked.append((task, task.ticket))


def release(world: World) -> None:
    """Dispatch candidates, best first, as far as limits, workers and rows allow; mark the rest scheduled."""
    if world.rows_left > 0:
        for task in world.admission.pick():
            world.dispatch(task, reason="every limit has room")
            if world.rows_left <= 0:
                return
    while world.unmarked and world.rows_left > 0:
        task, ticket = world.unmarked.popleft()
        if task.ticket == ticket and task.state is not _S.SCHEDULED:
            fresh = task.state in (_S.NONE, _S.UP_FOR_RETRY)
            world.move(
                task,
                _S.SCHEDULED,
                reason="it waits for a slot",
                try_number=task.try_number + (1 if fresh else 0),
                lost_count=0 if fresh else None,
            )


def fire_timers(world: World) -> None:
    """Wake what has become due."""
    while (due := world.timers.pop_due(world.now)) is not None:
        kind, run_key, ti_id = due
        run = world.runs.get(run_key)
        if run is None:
            continue
        if kind is TimerKind.TASK:
            task = run.by_id.get(ti_id)
            if (
                task is not None
                and task.state in (_S.UP_FOR_RETRY, _S.UP_FOR_RESCHEDULE)
                and not task.ticket
                and (task.next_at is None or task.next_at <= world.now)
                and run.state is DagRunState.RUNNING
            ):
                offer_candidate(world, task)
        elif kind is TimerKind.OFFER:
            task = run.by_id.get(ti_id)
            if task is not None and task.state is _S.QUEUED:
                world.offer(task)
        elif kind is TimerKind.RUN_AFTER:
            world.to_activate[run.record.dag_id] = None
        else:
            world.timed_out[run_key] = None
