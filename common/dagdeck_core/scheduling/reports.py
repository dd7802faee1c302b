"""What workers did, and what became of them.

Decides what a report, a claim, a silent worker and a reloaded run mean for task instances. A report
about a dispatch that is no longer live changes nothing. Called by the machine for each such event.
"""

from __future__ import annotations

from dagdeck_core.scheduling import side_work, stopping
from dagdeck_core.scheduling.decisions import DeclareWorkerLost
from dagdeck_core.scheduling.events import DispatchesClaimed, DispatchesFinished, WorkersSeen
from dagdeck_core.scheduling.run_state import Task
from dagdeck_core.scheduling.world import World
from dagdeck_core.states import DISPATCHED, DagRunState, TaskInstanceState, may_move

_S = TaskInstanceState


def claimed(world: World, event: DispatchesClaimed) -> None:
    """Workers hold these dispatches now."""
    for run_key, ti_id, dispatch_no in event.dispatches:
        task = _live(world, run_key, ti_id, dispatch_no)
        if task is not None and task.state is _S.QUEUED:
            world.tally.heard_running(dispatch_no, world.now_ms)
            world.start_running(task, event.worker_id)
    if world.side.by_id:
        side_work.claimed(world, event.worker_id, event.dispatches)


def finished(world: World, event: DispatchesFinished) -> None:
    """Workers ended these dispatches and committed the states told here."""
    for item in event.finished:
        task = _live(world, item.run_key, item.ti_id, item.dispatch_no)
        if task is None:
            if item.ti_id < 0:
                side_work.finished(world, item)
            continue
        if task.state is _S.QUEUED:
            # The claim's notice was lost or overtaken; the end implies it.
            world.tally.heard_running(task.dispatch_no, world.now_ms, item.duration)
            world.start_running(task, event.worker_id)
        if not may_move(task.state, item.state):
            # The row is ahead of what is known here (a person's action met the end of the task).
            world.reload_wanted[item.run_key] = None
            continue
        task.run.set_effects(task, item.effects)
        task.lost_count = 0
        if item.duration >= 0:
            world.admission.note_duration(task.spec.queue, item.duration)
        own = task.revoke_to is None
        world.shift(task, item.state, next_at=item.next_at)
        if item.state is _S.FAILED and own:
            stopping.task_failed(world, task)


def workers_seen(world: World, event: WorkersSeen) -> None:
    """Take in a read of the workers; declare the silent ones lost and free what the gone ones held.

    The read must be later than every fact taken in before: a worker that held a dispatch then and
    has no row now is gone.
    """
    known = [record.worker_id for record in world.leases.records]
    for record in world.leases.seen(event.workers, event.mono):
        world.emit(
            DeclareWorkerLost(
                worker_id=record.worker_id,
                counter=record.counter,
                reason=f"its lease stood still for {world.settings.lease_time:g} s",
            )
        )
        world.leases.forget(record.worker_id)
        world.tally.workers_lost += 1
    gone = [worker_id for worker_id in world.running_on if not world.leases.is_live(worker_id)]
    for worker_id in gone:
        for task in list(world.running_on.pop(worker_id).values()):
            _lost(world, task)
    if world.side.by_id:
        side_work.workers_seen(world)
    if any(not world.leases.is_live(worker_id) for worker_id in known):
        # Its claims may not have been heard of: look at the rows of every run with queued tasks.
        for run in world.runs.values():
            if run.active:
                world.reload_wanted[run.key] = None


def _live(world: World, run_key: int, ti_id: int, dispatch_no: int) -> Task | None:
    """The task instance whose live dispatch this is, if it is one."""
    run = world.runs.get(run_key)
    if run is None:
        return None
    task = run.by_id.get(ti_id)
    if task is None or task.dispatch_no != dispatch_no or task.state not in DISPATCHED:
        return None
    return task


def _lost(world: World, task: Task) -> None:
    """The worker under a running task instance is gone: give it what was asked for, or dispatch it anew."""
    if task.run.key not in world.runs or task.state not in (_S.RUNNING, _S.RESTARTING):
        return
    if task.revoke_to is not None:
        target, reason = task.revoke_to, "its worker was lost while it was being ended"
        world.move(task, target, reason=reason)
        if target is _S.FAILED:
            side_work.task_failed_unheard(world, task, reason)
    elif task.state is _S.RESTARTING:
        world.move(task, _S.NONE, reason="its worker was lost while it was being ended")
    elif task.run.state is not DagRunState.RUNNING:
        reason = "its worker was lost after its run had ended"
        world.move(task, _S.FAILED, reason=reason)
        side_work.task_failed_unheard(world, task, reason)
    elif task.lost_count + 1 >= world.settings.lost_workers_limit:
        reason = f"{task.lost_count + 1} workers in a row were lost while they ran it"
        world.move(task, _S.FAILED, reason=reason, lost_count=task.lost_count + 1)
        side_work.task_failed_unheard(world, task, reason)
        stopping.task_failed(world, task)
    else:
        world.dispatch(task, reason="its worker was lost; no retry is used up", lost=True)
