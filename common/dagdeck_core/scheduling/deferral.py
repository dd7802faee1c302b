"""Deferred task instances: what becomes of them when their trigger fires, or does not in time.

Decides that, and how a task instance begins that is deferred before anything of it runs. Who runs the triggers is the
workers' business; they store each event and tell of it, or the scheduler reads it. An event is kept until its task
instance has left the state deferred, so being told twice, or again after a failover, changes nothing. Called by the
machine for such events and by `evaluation`.
"""

from __future__ import annotations

from datetime import timedelta

from dagdeck_core.deferral import TriggerOutcome
from dagdeck_core.scheduling import mapping, side_work, stopping
from dagdeck_core.scheduling.decisions import DropTriggerEvents, FailDeferral, StartDeferral
from dagdeck_core.scheduling.events import TriggersFired
from dagdeck_core.scheduling.run_state import Task
from dagdeck_core.scheduling.world import World
from dagdeck_core.states import DagRunState, TaskInstanceState
from dagdeck_core.wire import FiredTrigger

_S = TaskInstanceState
_ENDS = {
    TriggerOutcome.SUCCESS: _S.SUCCESS,
    TriggerOutcome.FAILED: _S.FAILED,
    TriggerOutcome.SKIPPED: _S.SKIPPED,
}


def fired(world: World, event: TriggersFired) -> None:
    """Triggers fired, and their events are stored; `take_events` judges them in this step and the next ones."""
    for item in event.items:
        world.fired[item.event_id] = (item, event.stored or world.fired.get(item.event_id, (item, False))[1])


def take_events(world: World) -> None:
    """Judge the events that were told, as far as rows allow."""
    void = []
    while world.fired and world.rows_left > 0:
        event_id = next(iter(world.fired))
        item, is_stored = world.fired.pop(event_id)
        if not _take(world, item) and is_stored:
            void.append(event_id)
            world.rows_left -= 1
    if void:
        world.emit(DropTriggerEvents(event_ids=tuple(void)), rows=0)


def _take(world: World, item: FiredTrigger) -> bool:
    """Whether the event has, or may yet have, an effect."""
    run = world.runs.get(item.run_key)
    task = run.by_id.get(item.ti_id) if run is not None else None
    if run is None or task is None or task.dispatch_no != item.dispatch_no:
        return False
    if task.state in (_S.QUEUED, _S.RUNNING):
        # That it was deferred was not heard of yet; the event is read again once it is.
        world.reload_wanted[run.key] = None
        return True
    if task.state is not _S.DEFERRED:
        return False
    outcome = TriggerOutcome(item.outcome)
    if outcome is TriggerOutcome.RESUME:
        if _may_go_on(world, task):
            _compete(world, task)
        return True
    reason = "its trigger ended it"
    world.move(task, _ENDS[outcome], reason=reason)
    if outcome is TriggerOutcome.FAILED:
        side_work.task_failed_unheard(world, task, reason)
        stopping.task_failed(world, task)
    elif task.spec.has_on_success_callback if outcome is TriggerOutcome.SUCCESS else task.spec.has_on_skipped_callback:
        name = "on_success_callback" if outcome is TriggerOutcome.SUCCESS else "on_skipped_callback"
        side_work.call_back(world, task, name, reason)
    return True


def begin(world: World, task: Task) -> None:
    """A task instance that begins in its trigger: it is deferred at once, in a new try, and competes for nothing."""
    start = task.spec.start_trigger
    assert start is not None
    until = None if start.timeout is None else world.now + timedelta(seconds=start.timeout)
    world.move(
        task,
        _S.DEFERRED,
        reason="it begins in its trigger",
        try_number=task.try_number + 1,
        lost_count=0,
        next_at=until,
        new_no=world.new_id(),
    )
    world.emit(
        StartDeferral(
            run_key=task.run.key,
            ti_id=task.ti_id,
            dispatch_no=task.dispatch_no,
            version_id=task.run.record.version_id,
            start=start,
        ),
        rows=3,
    )


def timed_out(world: World, task: Task) -> None:
    """The moment until which a deferred task instance waits may have come: it goes on, and will find that it failed."""
    due = task.next_at is not None and task.next_at <= world.now
    if task.state is _S.DEFERRED and due and not task.ticket and _may_go_on(world, task):
        world.emit(FailDeferral(run_key=task.run.key, ti_id=task.ti_id, dispatch_no=task.dispatch_no), rows=2)
        _compete(world, task)


def _may_go_on(world: World, task: Task) -> bool:
    return task.run.state is DagRunState.RUNNING and task.run.key not in world.stops


def _compete(world: World, task: Task) -> None:
    """Let it compete for a slot. One that holds slots of its pool while it waits gives them back first, or it would
    wait for its own."""
    if task.ticket:
        return
    if world.admission.holds_while_deferred(task):
        world.move(task, _S.SCHEDULED, reason="its trigger fired, it waits for a slot")
    if task.map_index >= 0:
        mapping.offer(world, task)
    else:
        world.offer_candidate(task)
