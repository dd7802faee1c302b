"""Expanded tasks: from the summary instance to instances with map indexes, and these to the candidates.

Decides when a task is expanded and into how many instances, in chunks over several steps; what becomes of instances
when the length changes after a clear; and how many of the instances that may run compete for slots at a time. An
expansion under way is found again from the rows alone: its summary instance is there until the last chunk, or an
instance that is none is. Called by `evaluation` and by the machine; plain tasks never come here.
"""

from __future__ import annotations

from collections import deque
from itertools import islice

from dagdeck_core.records import TaskRecord
from dagdeck_core.scheduling import past
from dagdeck_core.scheduling.decisions import ExpandTask
from dagdeck_core.scheduling.instances import MISSING, length_of
from dagdeck_core.scheduling.run_state import IN_FEED, Ends, RunState, Task
from dagdeck_core.scheduling.stopping import revoke
from dagdeck_core.scheduling.world import World
from dagdeck_core.states import DagRunState, TaskInstanceState
from dagdeck_core.trigger_rules import Judgement

_S = TaskInstanceState
_WAITING = (_S.NONE, _S.SCHEDULED)
_BY_TIMER = (_S.UP_FOR_RETRY, _S.UP_FOR_RESCHEDULE)
MOST_PER_CHUNK = 500
"""Most task_instance rows that one expansion inserts in one step."""
JUDGED_PER_STEP = 8_000
"""Most instances of expanded tasks that one step looks at, if it has to look at all of a task's."""
_WHY = {
    Judgement.SKIP: (_S.SKIPPED, "its trigger rule skips it"),
    Judgement.UPSTREAM_FAILED: (_S.UPSTREAM_FAILED, "its trigger rule can no longer hold"),
}


# ---------------------------------------------------------------- judging


def judge_task(world: World, run: RunState, index: int, start: int, ends: Ends) -> None:
    """Judge an expanded task's instances from position `start` on; what is left over is marked to be judged again."""
    tasks = run.tasks[index]
    if not tasks:
        return
    first = tasks[0]
    if first.map_index < 0:
        _judge_summary(world, run, index, first, ends)
        start = max(start, 1)
    elif start == 0 and _differs_in_length(run, index):
        world.expanding[(run.key, index)] = None
        return
    common = _common_verdict(run, index)
    if common is Judgement.WAIT and run.settled.get(index) is common:
        return
    if start <= 1:
        _empty_feed(run, index)
    allowed = past.allows(world, first) and not world.is_paused(run.record.dag_id)
    stop, room = start + max(world.look_left, 1), len(ends) + max(world.rows_left, 1)
    position = start
    for position, task in enumerate(islice(tasks, start, stop), start):
        if len(ends) >= room:
            world.dirty[(run.key, index)] = position
            return
        _judge_instance(world, task, common or run.verdict(task), allowed, ends)
    world.look_left -= position + 1 - start
    if stop < len(tasks):
        world.dirty_later[(run.key, index)] = stop
    elif common is not None:
        run.settled[index] = common


def judge_some(world: World, ends: Ends) -> None:
    """Judge the single instances whose partners in a mapped group have changed."""
    batch, world.dirty_instances = world.dirty_instances, {}
    for task in batch:
        run = task.run
        if world.runs.get(run.key) is run and run.state is DagRunState.RUNNING and run.key not in world.stops:
            paused = world.is_paused(run.record.dag_id)
            _judge_instance(world, task, run.verdict(task), not paused and past.allows(world, task), ends)


def _common_verdict(run: RunState, index: int) -> Judgement | None:
    """What all instances are to do, where that cannot differ between them; None where each is judged by itself."""
    expansion = run.graph.expansion
    assert expansion is not None
    by_index = expansion.partial_up[index] or (expansion.groups[index] and index in run.graph.guards)
    if by_index or run.skipped_at:
        return None
    return run.verdict(run.tasks[index][-1])


def _judge_instance(world: World, task: Task, verdict: Judgement, allowed: bool, ends: Ends) -> None:
    state = task.state
    if state is _S.NONE:
        if verdict is Judgement.WAIT:
            withdraw(world, task)
        elif verdict is not Judgement.RUN:
            end, reason = _WHY[verdict]
            by_branch = verdict is Judgement.SKIP and _is_skipped(task)
            ends.append((task, end, "a branch did not take it" if by_branch else reason))
        elif allowed and task.spec.is_empty:
            ends.append((task, _S.SUCCESS, "it has nothing to execute"))
        elif allowed:
            offer(world, task)
    elif state is _S.SCHEDULED:
        if _is_skipped(task):
            ends.append((task, _S.SKIPPED, "a branch did not take it"))
        else:
            offer(world, task)
    elif state in _BY_TIMER and (task.next_at is None or task.next_at <= world.now):
        offer(world, task)


def _is_skipped(task: Task) -> bool:
    run = task.run
    return bool(run.skipped_by[task.task_index] or run.skipped_at.get((task.task_index, task.map_index)))


# ---------------------------------------------------------------- the feed


def offer(world: World, task: Task) -> None:
    """Let an instance compete for a slot, or wait until some of its siblings have been released.

    Siblings are alike to every limit, so no more of them need to compete than can be looked at cheaply.
    """
    if task.ticket:
        return
    run, index = task.run, task.task_index
    feed = run.feeds.get(index)
    if feed is None:
        feed = run.feeds[index] = deque()
    if feed or run.offered.get(index, 0) >= world.settings.offered_per_task:
        task.ticket = IN_FEED
        run.candidates += 1
        feed.append(task)
    else:
        run.offered[index] = run.offered.get(index, 0) + 1
        world.offer_candidate(task)


def withdraw(world: World, task: Task) -> None:
    """An instance competes no longer: another may."""
    if task.ticket > 0:
        world.place_freed(task)
    world.admission.withdraw(task)


def feed_candidates(world: World) -> None:
    """Let the next instances compete where places have become free."""
    for run_key, index in list(world.hungry):
        del world.hungry[(run_key, index)]
        run = world.runs.get(run_key)
        feed = run.feeds.get(index) if run is not None else None
        if run is None or feed is None:
            continue
        while feed and run.offered.get(index, 0) < world.settings.offered_per_task:
            task = feed.popleft()
            if task.ticket == IN_FEED:
                run.offered[index] = run.offered.get(index, 0) + 1
                world.offer_candidate(task)


def _empty_feed(run: RunState, index: int) -> None:
    """Forget who waits; they are about to be judged again. One whose trigger fired is not, and goes on waiting."""
    stay: deque[Task] = deque()
    for task in run.feeds.pop(index, ()):
        if task.ticket != IN_FEED:
            continue
        if task.state is _S.DEFERRED:
            stay.append(task)
        else:
            task.ticket = 0
            run.candidates -= 1
    if stay:
        run.feeds[index] = stay


# ---------------------------------------------------------------- expanding


def _judge_summary(world: World, run: RunState, index: int, summary: Task, ends: Ends) -> None:
    """See whether the time to expand has come, or never will."""
    if summary.state is not _S.NONE:
        return
    length = _literal_length(run, index)
    if length is None:
        verdict = run.verdict(summary)
        if verdict in _WHY:
            end, reason = _WHY[verdict]
            ends.append((summary, end, "a branch did not take it" if _is_skipped(summary) else reason))
            return
        if verdict is Judgement.WAIT or world.is_paused(run.record.dag_id):
            return
        length = length_of(run, index)
    if length is None:
        return
    if length == MISSING:
        ends.append((summary, _S.UPSTREAM_FAILED, "what it is expanded over was not returned"))
    elif length == 0:
        ends.append((summary, _S.SKIPPED, "it is expanded over nothing"))
    elif length > world.settings.most_instances:
        reason = f"it would have {length} instances; the setting scheduler.max_mapped_instances allows "
        ends.append((summary, _S.FAILED, f"{reason}{world.settings.most_instances}"))
    else:
        world.expanding[(run.key, index)] = None


def _literal_length(run: RunState, index: int) -> int | None:
    """The number of instances when the DAG file says it: such tasks are expanded as soon as their run begins."""
    expansion = run.graph.expansion
    assert expansion is not None
    return None if expansion.sources[index] else length_of(run, index)


def _differs_in_length(run: RunState, index: int) -> bool:
    """Whether an expanded task that is to run again is now to have another number of instances."""
    tasks = run.tasks[index]
    if not any(task.state is _S.NONE for task in tasks):
        return False
    length = length_of(run, index)
    if length is None or length == MISSING:
        return False
    return len(tasks) < length or any(_is_misplaced(task, length) for task in tasks)


def _is_misplaced(task: Task, length: int) -> bool:
    """Whether an instance is there that should not be, or removed although it should be there.

    What is being ended is left alone until it has ended. Of no instances at all the first one is left as skipped.
    """
    if task.map_index < length:
        return task.state is _S.REMOVED
    if length == 0 and task.map_index == 0:
        return task.state is _S.NONE
    return task.state not in (_S.REMOVED, _S.RESTARTING) and task.revoke_to is None


def expand(world: World) -> None:
    """Go on with the expansions under way: each step gives them half of its rows, and each of them its turn."""
    for run_key, index in list(world.expanding):
        if _room(world) <= 0:
            return
        del world.expanding[(run_key, index)]
        run = world.runs.get(run_key)
        if run is None or run.state is not DagRunState.RUNNING or run_key in world.stops:
            continue
        if not _expand_some(world, run, index):
            world.expanding[(run_key, index)] = None


def _room(world: World) -> int:
    return min(world.expand_left, world.rows_left)


def _expand_some(world: World, run: RunState, index: int) -> bool:
    """Create or remove the next instances of a task; True when it has those it is to have, or they are not known."""
    tasks = run.tasks[index]
    length = length_of(run, index)
    if length is None or length == MISSING or not tasks:
        return True
    summary = tasks[0] if tasks[0].map_index < 0 else None
    if summary is None:
        if not _remove_some(world, tasks, length):
            return False
    elif summary.state is not _S.NONE or not 0 < length <= world.settings.most_instances:
        return True
    if len(tasks) < length or summary is not None:
        _create_some(world, run, index, length)
    if len(tasks) < length:
        return False
    world.dirty[(run.key, index)] = 0
    return True


def _remove_some(world: World, tasks: list[Task], length: int) -> bool:
    """Remove the instances beyond `length` and bring back those below it; False when rows ran out before the last."""
    for task in tasks:
        if not _is_misplaced(task, length):
            continue
        if _room(world) <= 0:
            return False
        world.expand_left -= 2
        if task.map_index < length:
            world.move(task, _S.NONE, reason="its task is expanded over more values than before")
        elif length == 0 and task.map_index == 0:
            world.move(task, _S.SKIPPED, reason="it is expanded over nothing")
        elif task.state is _S.RUNNING:
            revoke(world, task, _S.REMOVED)
        else:
            world.move(task, _S.REMOVED, reason="its task is expanded over fewer values than before")
    return True


def _create_some(world: World, run: RunState, index: int, length: int) -> None:
    """Insert the next instances; with the last of them the summary instance becomes the first."""
    tasks, spec = run.tasks[index], run.graph.tasks[index]
    begin = len(tasks)
    size = min(length - begin, MOST_PER_CHUNK, max(_room(world), 1))
    is_last = begin + size >= length
    summary = tasks[0] if tasks[0].map_index < 0 else None
    ti_ids = tuple([world.new_id() for _ in range(size)])
    world.emit(
        ExpandTask(
            run_key=run.key,
            dag_id=run.record.dag_id,
            run_id=run.record.run_id,
            version_id=run.record.version_id,
            task=spec,
            priority=run.graph.priority[index],
            first_index=begin,
            ti_ids=ti_ids,
            summary_id=summary.ti_id if summary is not None else None,
            is_last=is_last,
        ),
        rows=size + 1,
    )
    world.expand_left -= size + 1
    for map_index, ti_id in enumerate(ti_ids, begin):
        row = TaskRecord(
            ti_id=ti_id, run_key=run.key, task_id=spec.task_id, map_index=map_index, max_tries=spec.retries
        )
        run.add(row, index)
    run.settled.pop(index, None)
    if summary is not None and is_last:
        run.becomes_first(summary)
        world.wake_all_partners(run, index)
    if (run.key, index) not in world.dirty:
        world.dirty[(run.key, index)] = begin
