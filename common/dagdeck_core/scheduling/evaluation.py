"""Judging task instances: what becomes of those that are none, and who is released.

Decides skip, upstream_failed, immediate success of empty tasks, candidates, releases and the marking
as scheduled. Called by the machine in every step, after the facts were taken in.
"""

from __future__ import annotations

from dagdeck_core.scheduling import deadlines, deferral, human_input, mapping, past, side_work
from dagdeck_core.scheduling.run_state import Ends, RunState, Task
from dagdeck_core.scheduling.timers import TimerKind
from dagdeck_core.scheduling.world import World
from dagdeck_core.states import TERMINAL, DagRunState, TaskInstanceState
from dagdeck_core.trigger_rules import Judgement

_S = TaskInstanceState
_BY_TIMER = frozenset({_S.UP_FOR_RETRY, _S.UP_FOR_RESCHEDULE})


def judge_dirty(world: World) -> None:
    """Judge the none instances of every task whose upstream changed, until nothing changes or rows run out.

    It goes in rounds, as in Airflow's scheduler: what a round ends is seen by the next one only. Where a task has a
    skipped upstream and one that is given up for a task further up, the round in which each of them ended decides.
    """
    while (world.dirty or world.dirty_instances) and world.rows_left > 0:
        batch, world.dirty = world.dirty, {}
        ends: Ends = []
        for (run_key, index), start in batch.items():
            run = world.runs.get(run_key)
            if run is None or run.state is not DagRunState.RUNNING or not run.complete or run_key in world.stops:
                continue
            if run.graph.expansion is not None and run.graph.expansion.is_expanded(index):
                mapping.judge_task(world, run, index, start or 0, ends)
            else:
                _judge_task(world, run, index, ends)
        if world.dirty_instances:
            mapping.judge_some(world, ends)
        _carry_out(world, ends)


def _carry_out(world: World, ends: Ends) -> None:
    """End what a round decided to end; what rows do not suffice for is judged again before what is new."""
    left = iter(ends)
    for task, state, reason in left:
        if world.rows_left <= 0:
            again: dict[tuple[int, int], int | None] = {(task.run.key, task.task_index): None}
            again.update(((each.run.key, each.task_index), None) for each, _, _ in left)
            world.dirty = {**again, **world.dirty, **again}
            return
        if task.state in TERMINAL or task.state is state:
            # Judged twice in this round: with its task's instances, and as partner of one in its mapped group.
            continue
        if state is _S.DEFERRED:
            deferral.begin(world, task)
            continue
        tried = task.try_number + 1 if state is _S.SUCCESS else None
        world.move(task, state, reason=reason, try_number=tried)


def _judge_task(world: World, run: RunState, index: int, ends: Ends) -> None:
    """Judge one task's instances: what may run becomes a candidate, what ends without that is added to `ends`."""
    paused = world.is_paused(run.record.dag_id)
    for task in run.tasks[index]:
        if task.state is _S.NONE:
            _judge_none(world, task, run.judge(index), paused, ends)
        elif task.state is _S.SCHEDULED:
            if run.skipped_by[index]:
                ends.append((task, _S.SKIPPED, _why_skipped(run, index)))
            elif not task.ticket:
                offer_candidate(world, task)
        elif task.state in _BY_TIMER and not task.ticket and _is_due(world, task):
            if _begins_in_trigger(task):
                ends.append((task, _S.DEFERRED, "it begins in its trigger"))
            else:
                offer_candidate(world, task)


def _judge_none(world: World, task: Task, judgement: Judgement, paused: bool, ends: Ends) -> None:
    """What its trigger rule says of a none instance. In a paused DAG nothing starts, but skips go on."""
    if judgement is Judgement.SKIP:
        ends.append((task, _S.SKIPPED, _why_skipped(task.run, task.task_index)))
    elif judgement is Judgement.UPSTREAM_FAILED:
        ends.append((task, _S.UPSTREAM_FAILED, "its trigger rule can no longer hold"))
    elif judgement is Judgement.WAIT:
        # It was a candidate until an upstream was cleared.
        world.admission.withdraw(task)
    elif not task.ticket and not paused and past.allows(world, task):
        if task.spec.is_empty:
            ends.append((task, _S.SUCCESS, "it has nothing to execute"))
        elif task.spec.start_trigger is not None:
            ends.append((task, _S.DEFERRED, "it begins in its trigger"))
        else:
            offer_candidate(world, task)


def _why_skipped(run: RunState, index: int) -> str:
    return "a branch did not take it" if run.skipped_by[index] else "its trigger rule skips it"


def _begins_in_trigger(task: Task) -> bool:
    """Whether a task instance that is to run again begins in its trigger. A retry does; a reschedule goes on."""
    return task.state is _S.UP_FOR_RETRY and task.spec.start_trigger is not None


def _is_due(world: World, task: Task) -> bool:
    return task.next_at is None or task.next_at <= world.now


def offer_candidate(world: World, task: Task) -> None:
    """Let a task instance compete for a slot; one of many siblings waits for its turn to."""
    if task.map_index >= 0:
        mapping.offer(world, task)
    else:
        world.offer_candidate(task)


def release(world: World) -> None:
    """Dispatch candidates, best first, as far as limits, workers and rows allow; mark those that wait scheduled."""
    if world.hungry:
        mapping.feed_candidates(world)
    if world.rows_left > 0:
        for task in world.admission.pick():
            world.dispatch(task, reason="every limit has room")
            world.released_at = world.now
            if task.map_index >= 0:
                world.place_freed(task)
                mapping.feed_candidates(world)
            if world.rows_left <= 0:
                return
    _mark_waiting(world)


def _mark_waiting(world: World) -> None:
    """Write as scheduled what has waited for a while.

    Going through scheduled costs as much as a dispatch, and most candidates are released within moments: those go
    from none to queued. Nothing is decided by the mark, so it gives way to releases (`World.mark_at`).
    """
    waiting = world.unmarked
    while waiting and world.rows_left > 0:
        task, ticket, since = waiting[0]
        if task.ticket == ticket and task.state is not _S.SCHEDULED:
            if world.mark_at(since) > world.now:
                return
            fresh = task.state in (_S.NONE, _S.UP_FOR_RETRY)
            world.move(
                task,
                _S.SCHEDULED,
                reason="it waits for a slot",
                try_number=task.try_number + (1 if fresh else 0),
                lost_count=0 if fresh else None,
            )
        waiting.popleft()


def fire_timers(world: World) -> None:
    """Wake what has become due, as far as rows allow."""
    while world.rows_left > 0 and (due := world.timers.pop_due(world.now)) is not None:
        _, kind, run_key, ti_id, dag_id = due
        if kind is TimerKind.DAG:
            world.due[dag_id] = None
            continue
        if kind is TimerKind.WORK:
            side_work.offer_due(world, ti_id)
            continue
        if kind is TimerKind.DEADLINE:
            deadlines.passed(world, ti_id)
            continue
        run = world.runs.get(run_key)
        if run is None:
            continue
        if kind is TimerKind.RUN_AFTER:
            world.to_activate[run.record.dag_id] = None
        elif kind is TimerKind.RUN_TIMEOUT:
            at = world.times_out_at(run)
            # A run that was cleared has begun anew since.
            if run.state is DagRunState.RUNNING and at is not None and at <= world.now:
                world.timed_out[run_key] = None
        elif (task := run.by_id.get(ti_id)) is not None:
            _wake_task(world, task, kind)


def _wake_task(world: World, task: Task, kind: TimerKind) -> None:
    if kind is TimerKind.OFFER:
        if task.state is _S.QUEUED and task.offer_at is not None and task.offer_at <= world.now:
            world.offer(task)
    elif task.state is _S.DEFERRED:
        deferral.timed_out(world, task)
    elif task.state is _S.AWAITING_INPUT:
        human_input.timed_out(world, task)
    elif (
        task.state in _BY_TIMER
        and not task.ticket
        and _is_due(world, task)
        and task.run.state is DagRunState.RUNNING
        and task.run.key not in world.stops
    ):
        if _begins_in_trigger(task):
            deferral.begin(world, task)
        else:
            offer_candidate(world, task)
