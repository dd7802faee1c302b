"""People's actions: what each one changes.

Decides the effect of an action, or why it has none. Every action ends in exactly one `EndAction`, in the
transaction of its effect. One that writes more rows than a step may is carried out in parts, and ends with its
last; meanwhile later actions wait, so that they happen in the order in which they were asked for. After a failed
commit or a failover a pending action is simply posted again: what it has done already counts as expected.
Called by the machine; the runs that an action names are in memory.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec

from dagdeck_core.actions import (
    BY_TASK,
    ClearTaskInstances,
    CreateAssetEvent,
    DeleteDag,
    DeleteDagRun,
    DeletePool,
    DeleteQueuedEvents,
    PutPool,
    RespondToInput,
    SetDagRunState,
    SetDagsPaused,
    SetNote,
    SetTaskInstanceState,
    SetWorkerDrain,
    TaskTarget,
    TriggerDagRun,
)
from dagdeck_core.asset_records import AssetChange, OutletEvent
from dagdeck_core.errors import UserError
from dagdeck_core.records import PoolRecord, WorkerState
from dagdeck_core.scheduling import assets, deletion, human_input, timetable_answers
from dagdeck_core.scheduling.decisions import (
    EndAction,
    PauseDag,
    RepinRun,
    SetWorkerState,
    WriteNote,
    WritePool,
)
from dagdeck_core.scheduling.events import ActionPosted
from dagdeck_core.scheduling.instances import concerned
from dagdeck_core.scheduling.parts import Parts, Refused, Result
from dagdeck_core.scheduling.run_state import RunState, Task
from dagdeck_core.scheduling.runs import create_run, move_run
from dagdeck_core.scheduling.stopping import end_tasks, revoke
from dagdeck_core.scheduling.world import DagEntry, World
from dagdeck_core.spec import DEFAULT_POOL
from dagdeck_core.states import TERMINAL, DagRunState, DagRunType, TaskInstanceState
from dagdeck_core.timetables import DataInterval, run_id_for
from dagdeck_core.timetables.partitioned import AssetTriggeredTimetable, CronPartitionTimetable

_S = TaskInstanceState
_MARKS = frozenset({_S.SUCCESS, _S.FAILED, _S.SKIPPED})


class AnswerAwaited(Exception):
    """An action cannot be carried out before user code has answered a question."""


_AWAITED = EndAction(action_id=0)


@dataclass(slots=True, kw_only=True)
class Work:
    """An action that was posted and is not done. `parts` is None until its turn comes."""

    event: ActionPosted
    parts: Parts | None = None

    @property
    def run_key(self) -> int | None:
        """The run that the action is about, if it is about one."""
        return getattr(self.event.record.action, "run_key", None)


def post(world: World, event: ActionPosted) -> None:
    """Take in one action; one that is under way already is not begun again."""
    world.works.setdefault(event.record.action_id, Work(event=event))


def carry_out(world: World) -> None:
    """Carry out the actions that were posted, in order, as far as rows allow."""
    for action_id, work in list(world.works.items()):
        if world.rows_left <= 0:
            return
        ended = _go_on(world, work)
        if ended is None:
            return
        del world.works[action_id]
        if ended is not _AWAITED:
            world.emit(ended, rows=2)


def _go_on(world: World, work: Work) -> EndAction | None:
    """Do the next part of an action; None when it must go on in the next step."""
    record = work.event.record
    try:
        if work.parts is None:
            begun = _HANDLERS[type(record.action)](world, work.event, record.action)
            if isinstance(begun, dict):
                return EndAction(action_id=record.action_id, result=begun)
            work.parts = begun
        next(work.parts)
    except Refused as refusal:
        return EndAction(action_id=record.action_id, refused=str(refusal), result={"kind": refusal.kind})
    except AnswerAwaited:
        # It stays pending in the database, and comes again with the answer; others need not wait for it.
        return _AWAITED
    except StopIteration as stop:
        return EndAction(action_id=record.action_id, result=stop.value)
    return None


def _cause(event: ActionPosted) -> str:
    return f"action:{event.record.action_id}"


def _run(world: World, run_key: int) -> RunState:
    run = world.runs.get(run_key)
    if run is None:
        raise Refused("not_found", f"the dag run with key {run_key} does not exist")
    return run


# ---------------------------------------------------------------- runs


def _trigger(world: World, event: ActionPosted, action: TriggerDagRun) -> Result:
    entry = world.dags.get(action.dag_id)
    if entry is None:
        raise Refused("not_found", f"the DAG {action.dag_id!r} does not exist")
    if entry.record.is_stale:
        raise Refused(
            "conflict", f"the DAG {action.dag_id!r} is no longer in the DAG folder, so it cannot be triggered"
        )
    run_key = world.new_id()
    run_after = action.run_after or world.now
    run_type = DagRunType.ASSET_MATERIALIZATION if action.materializes else DagRunType.MANUAL
    answer = _timetable_says(world, entry, event, action, run_type, run_after)
    run_id = (
        action.run_id
        or answer.run_id
        or run_id_for(run_type, action.logical_date or run_after, "" if action.logical_date else f"{run_key:x}")
    )
    taken = run_id in event.existing_run_ids or any(r.record.run_id == run_id for r in entry.runs.values())
    if taken:
        raise Refused("exists", f"the DAG {action.dag_id!r} already has a run with run_id {run_id!r}")
    if event.logical_date_taken or (
        action.logical_date is not None
        and any(run.record.logical_date == action.logical_date for run in entry.runs.values())
    ):
        raise Refused("exists", f"the DAG {action.dag_id!r} already has a run with logical_date {action.logical_date}")
    partition_date = answer.partition_date or _partition_date(entry, action)
    interval = answer.interval
    if action.data_interval_start is not None and action.data_interval_end is not None:
        interval = DataInterval(start=action.data_interval_start, end=action.data_interval_end)
    elif (
        action.logical_date is not None
        and entry.timetable is not None
        and not timetable_answers.is_asked_elsewhere(entry)
    ):
        interval = entry.timetable.infer_manual_data_interval(run_after=action.logical_date)
    create_run(
        world,
        entry,
        run_id=run_id,
        run_type=DagRunType.OPERATOR_TRIGGERED if event.record.source == BY_TASK else run_type,
        run_after=run_after,
        logical_date=action.logical_date,
        interval=interval,
        conf=action.conf,
        note=action.note,
        triggered_by=event.record.source,
        triggering_user=None if event.record.source == BY_TASK else event.record.actor,
        partition_key=action.partition_key,
        partition_date=partition_date,
        run_key=run_key,
        cause=_cause(event),
    )
    return {"run_key": run_key, "run_id": run_id}


def _timetable_says(
    world: World, entry: DagEntry, event: ActionPosted, action: TriggerDagRun, run_type: DagRunType, due: datetime
) -> timetable_answers.ManualAnswer:
    """What an author's timetable has answered about the run. Raises AnswerAwaited until it has."""
    question = timetable_answers.about_started_run(entry, event.record.action_id, action, run_type, due)
    if question is None:
        return timetable_answers.ManualAnswer()
    answer = timetable_answers.manual_answer(world, entry, question)
    if answer is None:
        raise AnswerAwaited
    if answer.problem:
        raise Refused("invalid", answer.problem)
    return answer


def _partition_date(entry: DagEntry, action: TriggerDagRun) -> datetime | None:
    """The date of the partition that a person asks for, where the DAG's timetable can tell it."""
    timetable = entry.timetable
    if action.partition_key is None or not isinstance(timetable, (CronPartitionTimetable, AssetTriggeredTimetable)):
        return None
    try:
        return timetable.partition_date_of(action.partition_key)
    except UserError as error:
        raise Refused("invalid", str(error)) from error


def _create_asset_event(world: World, event: ActionPosted, action: CreateAssetEvent) -> Result:
    asset = world.assets.names.by_id.get(action.asset_id)
    if asset is None:
        raise Refused("not_found", f"there is no asset with id {action.asset_id}")
    if not asset.is_active:
        raise Refused("conflict", f"the asset {asset.name!r} is not active: no DAG names it")
    emitted = OutletEvent(name=asset.name, uri=asset.uri, extra=action.extra, partition_key=action.partition_key)
    change = AssetChange(change_id=0, events=(emitted,), at=world.now)
    event_id = assets.emit_event(world, change, emitted)
    return {"asset_event_id": event_id}


def _delete_queued_events(world: World, event: ActionPosted, action: DeleteQueuedEvents) -> Result:
    found = 0
    for dag_id, backlog in list(world.assets.backlogs.items()):
        if action.dag_id not in (None, dag_id):
            continue
        events = [
            each
            for each in backlog.queue.events()
            if action.asset_id in (None, each.asset_id) and (action.before is None or each.at < action.before)
        ]
        if events:
            assets.drop_events(world, dag_id, backlog.queue, events)
            found += len(events)
        if not backlog:
            del world.assets.backlogs[dag_id]
    if not found:
        asked = {"dag_id": action.dag_id, "asset_id": action.asset_id}
        named = " and ".join(f"{name}: `{value}`" for name, value in asked.items() if value is not None)
        raise Refused("not_found", f"Queue event with {named} was not found")
    return {"deleted": found}


def _set_run_state(world: World, event: ActionPosted, action: SetDagRunState) -> Parts:
    run = _run(world, action.run_key)
    cause = _cause(event)
    if action.state is DagRunState.QUEUED:
        if run.state is DagRunState.RUNNING:
            raise Refused("conflict", "the run is already running")
        if run.state is not DagRunState.QUEUED:
            _requeue(world, run, cause)
    elif action.state is DagRunState.RUNNING:
        raise Refused("invalid", "a run cannot be set to running; set it to queued, success or failed")
    else:
        mark = _S.SUCCESS if action.state is DagRunState.SUCCESS else _S.FAILED
        rest = _S.SUCCESS if action.state is DagRunState.SUCCESS else _S.SKIPPED
        reason = f"its run was marked {action.state}"
        cleans_up = action.state is DagRunState.FAILED and _has_to_clean_up(run)
        if cleans_up:
            leaves = [task.ti_id for leaf in run.graph.leaves for task in run.tasks[leaf] if _waits(task)]
            yield from _for_each(world, run.key, leaves, lambda task: _fail_waiting(world, task, reason, cause))
        yield from end_tasks(
            world, run.key, rest=rest, running=mark, reason=reason, cause=cause, spare_teardowns=cleans_up
        )
        run = _run(world, action.run_key)
        if not cleans_up and run.state is not action.state:
            move_run(world, run, action.state, reason="a person marked it", cause=cause)
    if action.note is not None:
        world.emit(WriteNote(run_key=run.key, ti_id=None, note=action.note))
    return {"run_key": run.key}


def _has_to_clean_up(run: RunState) -> bool:
    """Whether work of a running run is unfinished and a teardown has yet to take away what its setups prepared.

    Such a run is not failed at once: its teardowns still run, and then it ends by its leaves, which have failed.
    """
    if run.state is not DagRunState.RUNNING or not run.complete:
        return False
    unfinished = [task for task in run.by_id.values() if task.state not in TERMINAL]
    return any(not task.spec.is_teardown for task in unfinished) and any(
        before.state is _S.SUCCESS and before.spec.is_setup
        for task in unfinished
        if task.spec.is_teardown
        for up in run.graph.up[task.task_index]
        for before in run.tasks[up]
    )


def _waits(task: Task) -> bool:
    return task.state not in TERMINAL and task.state not in (_S.RUNNING, _S.RESTARTING) and not task.spec.is_teardown


def _fail_waiting(world: World, task: Task, reason: str, cause: str) -> None:
    if _waits(task):
        world.move(task, _S.FAILED, reason=reason, cause=cause)


# ---------------------------------------------------------------- task instances


def _targets(run: RunState, targets: tuple[TaskTarget, ...], wanted: TaskInstanceState) -> list[Task]:
    """The task instances that an action means; those that are in the wanted state already are as expected."""
    found = []
    for target in targets:
        task = run.by_id.get(target.ti_id)
        if task is None:
            raise Refused("not_found", f"the run has no task instance {target.task_id!r} with id {target.ti_id}")
        if target.expected is not None and task.state is not target.expected and task.state is not wanted:
            raise Refused(
                "conflict",
                f"task instance {target.task_id!r} is {task.state} now, not {target.expected} as when you looked",
            )
        found.append(task)
    return found


def _for_each(
    world: World, run_key: int, ti_ids: Iterable[int], change: Callable[[Task], None]
) -> Generator[None, None, None]:
    """Call `change` for each of these task instances that the run has, in parts."""
    left = deque(ti_ids)
    run = _run(world, run_key)
    while left:
        if world.rows_left <= 0:
            yield
            run = _run(world, run_key)
        task = run.by_id.get(left.popleft())
        if task is not None:
            change(task)


def _write_notes(world: World, run_key: int, ti_ids: Iterable[int], note: str | None) -> Generator[None, None, None]:
    if note is not None:
        yield from _for_each(
            world, run_key, ti_ids, lambda task: world.emit(WriteNote(run_key=run_key, ti_id=task.ti_id, note=note))
        )


def _clear(world: World, event: ActionPosted, action: ClearTaskInstances) -> Parts:
    run = _run(world, action.run_key)
    targets = [task.ti_id for task in _targets(run, action.targets, _S.NONE)]
    cause = _cause(event)
    if action.latest_version:
        _repin(world, run)
    yield from _for_each(world, action.run_key, targets, lambda task: clear_task(world, task, cause))
    yield from _write_notes(world, action.run_key, targets, action.note)
    run = _run(world, action.run_key)
    if targets and action.reset_run and run.state in (DagRunState.SUCCESS, DagRunState.FAILED):
        _requeue(world, run, cause)
    if run.state is DagRunState.RUNNING:
        world.mark_all_dirty(run)
    return {"run_key": run.key, "cleared": targets}


def clear_task(world: World, task: Task, cause: str) -> None:
    """Make one task instance none again; a running one is ended first."""
    max_tries = task.try_number + task.spec.retries
    if task.state is _S.RUNNING:
        world.move(task, _S.RESTARTING, reason="cleared", cause=cause, max_tries=max_tries)
        revoke(world, task, _S.NONE, cause=cause)
    elif task.state not in (_S.NONE, _S.RESTARTING):
        world.move(task, _S.NONE, reason="cleared", cause=cause, max_tries=max_tries, lost_count=0)


def _mark(world: World, event: ActionPosted, action: SetTaskInstanceState) -> Parts:
    if action.state not in _MARKS:
        raise Refused("invalid", f"a task instance can be marked success, failed or skipped, not {action.state}")
    run = _run(world, action.run_key)
    tasks = _targets(run, action.targets, action.state)
    removed = next((task for task in tasks if task.state is _S.REMOVED), None)
    if removed is not None:
        what = removed.spec.task_id if removed.map_index < 0 else f"{removed.spec.task_id}[{removed.map_index}]"
        raise Refused("conflict", f"the run no longer has the task instance {what!r}; it cannot be marked")
    cause = _cause(event)
    changed = [task.ti_id for task in tasks if task.state is not action.state]
    yield from _for_each(world, action.run_key, changed, lambda task: _mark_task(world, task, action.state, cause))
    below = _below(_run(world, action.run_key), action.targets)
    yield from _for_each(world, action.run_key, below, lambda task: _run_failed_again(world, task, cause))
    yield from _write_notes(world, action.run_key, [task.ti_id for task in tasks], action.note)
    run = _run(world, action.run_key)
    ended = run.state in (DagRunState.SUCCESS, DagRunState.FAILED)
    if ended and any(run.by_id[ti_id].state is _S.NONE for ti_id in below):
        _requeue(world, run, cause)
    return {"run_key": run.key, "changed": changed}


def _mark_task(world: World, task: Task, state: TaskInstanceState, cause: str) -> None:
    if task.state in (_S.RUNNING, _S.RESTARTING):
        if task.revoke_to is not state:
            revoke(world, task, state, cause=cause)
    elif task.state is not state:
        world.move(task, state, reason=f"marked {state}", cause=cause)


def _below(run: RunState, targets: tuple[TaskTarget, ...]) -> list[int]:
    """Task instances downstream of the marked ones; inside a mapped group those of their indexes."""
    marked = dict.fromkeys(target.ti_id for target in targets)
    tasks = [run.by_id[ti_id] for ti_id in marked if ti_id in run.by_id]
    if run.graph.expansion is None:
        reached = run.graph.closure([task.task_index for task in tasks], downstream=True)
        return [task.ti_id for index in reached for task in run.tasks[index] if task.ti_id not in marked]
    below: dict[int, None] = {}
    closures: dict[int, list[int]] = {}
    for task in tasks:
        own = task.task_index
        if own not in closures:
            closures[own] = [index for index in run.graph.closure([own], downstream=True) if index != own]
        others = [other for index in closures[own] for other in concerned(run, task, index)]
        below.update((other.ti_id, None) for other in others if other.ti_id not in marked)
    return list(below)


def _run_failed_again(world: World, task: Task, cause: str) -> None:
    """What failed because of a task instance that is marked now runs again, as in Airflow."""
    if task.state in (_S.FAILED, _S.UPSTREAM_FAILED):
        clear_task(world, task, cause)


def _requeue(world: World, run: RunState, cause: str) -> None:
    move_run(world, run, DagRunState.QUEUED, reason="cleared", cause=cause, cleared=True)
    world.to_activate[run.record.dag_id] = None


def _repin(world: World, run: RunState) -> None:
    """Pin a run to its DAG's newest version, when no dispatch of it is live."""
    entry = world.dags.get(run.record.dag_id)
    if entry is None or entry.version.version_id == run.record.version_id:
        return
    if run.active:
        raise Refused("conflict", "tasks of the run are still running; it cannot move to the newest version now")
    rows = tuple(world.row_of(task) for task in run.by_id.values())
    graph = world.add_version(entry.version)
    known = dict.fromkeys(row.task_id for row in rows)
    if any(task.task_id not in known for task in graph.tasks) or any(row.task_id not in graph.index for row in rows):
        raise Refused(
            "conflict",
            "the newest version of the DAG has other tasks than this run; trigger a new run to use it",
        )
    expansion = graph.expansion
    for row in rows:
        if row.map_index >= 0 and (expansion is None or not expansion.is_expanded(graph.index[row.task_id])):
            raise Refused(
                "conflict",
                f"the newest version of the DAG no longer expands the task {row.task_id!r}; trigger a new run for it",
            )
    world.emit(RepinRun(run_key=run.key, version_id=entry.version.version_id))
    record = msgspec.structs.replace(run.record, version_id=entry.version.version_id, created_tasks=len(graph.tasks))
    world.add_run(record, rows)


def _respond(world: World, event: ActionPosted, action: RespondToInput) -> Result:
    run = _run(world, action.run_key)
    task = run.by_id.get(action.ti_id)
    if task is None:
        raise Refused("not_found", f"the run has no task instance {action.task_id!r} with id {action.ti_id}")
    if task.state is not _S.AWAITING_INPUT:
        raise Refused("conflict", f"task instance {action.task_id!r} is {task.state} and waits for no answer")
    user = {"id": action.user_id, "name": action.user_name}
    chosen, given = list(action.chosen_options), action.params_input
    human_input.answered(world, task, chosen, given, user, _cause(event))
    return {"run_key": run.key, "responded_at": world.now.isoformat(), "responded_by": user}


def _note(world: World, event: ActionPosted, action: SetNote) -> Result:
    run = _run(world, action.run_key)
    if action.ti_id is not None and action.ti_id not in run.by_id:
        raise Refused("not_found", f"the run has no task instance with id {action.ti_id}")
    if action.ti_id is None:
        run.record = msgspec.structs.replace(run.record, note=action.note)
    world.emit(WriteNote(run_key=run.key, ti_id=action.ti_id, note=action.note))
    return {"run_key": run.key}


# ---------------------------------------------------------------- dags, pools, workers


def _pause(world: World, event: ActionPosted, action: SetDagsPaused) -> Parts:
    unknown = [dag_id for dag_id in action.dag_ids if dag_id not in world.dags]
    if unknown:
        raise Refused("not_found", f"the DAG {unknown[0]!r} does not exist")
    for dag_id in action.dag_ids:
        if world.rows_left <= 0:
            yield
        entry = world.dags.get(dag_id)
        if entry is None or entry.record.is_paused == action.is_paused:
            continue
        entry.record = msgspec.structs.replace(entry.record, is_paused=action.is_paused)
        world.emit(PauseDag(dag_id=dag_id, is_paused=action.is_paused, cause=_cause(event)))
        if not action.is_paused:
            world.unpaused(dag_id)
    return {"dag_ids": list(action.dag_ids)}


def _put_pool(world: World, event: ActionPosted, action: PutPool) -> Result:
    known = world.admission.pools.get(action.name)
    if action.create and known is not None:
        raise Refused("conflict", f"a pool named {action.name!r} already exists")
    if action.slots < -1:
        raise Refused("invalid", f"a pool has -1 (no limit) or at least 0 slots, not {action.slots}")
    world.emit(
        WritePool(
            name=action.name,
            slots=action.slots,
            description=action.description,
            include_deferred=action.include_deferred,
        )
    )
    world.admission.put_pool(PoolRecord(name=action.name, slots=action.slots, include_deferred=action.include_deferred))
    return {"name": action.name}


def _delete_pool(world: World, event: ActionPosted, action: DeletePool) -> Result:
    if action.name == DEFAULT_POOL:
        raise Refused("invalid", f"the pool {DEFAULT_POOL!r} cannot be deleted; set its slots instead")
    if action.name not in world.admission.pools:
        raise Refused("not_found", f"there is no pool named {action.name!r}")
    world.emit(WritePool(name=action.name, slots=None))
    world.admission.remove_pool(action.name)
    return {"name": action.name}


def _drain(world: World, event: ActionPosted, action: SetWorkerDrain) -> Result:
    if not world.leases.is_live(action.worker_id):
        raise Refused("not_found", f"there is no live worker with id {action.worker_id}")
    state = WorkerState.DRAINING if action.drain else WorkerState.ACTIVE
    world.emit(SetWorkerState(worker_id=action.worker_id, state=state))
    world.leases.set_state(action.worker_id, state)
    return {"worker_id": action.worker_id}


_HANDLERS: Mapping[type, Callable[[World, ActionPosted, Any], Result | Parts]] = {
    TriggerDagRun: _trigger,
    CreateAssetEvent: _create_asset_event,
    DeleteQueuedEvents: _delete_queued_events,
    SetDagsPaused: _pause,
    ClearTaskInstances: _clear,
    SetTaskInstanceState: _mark,
    SetDagRunState: _set_run_state,
    DeleteDagRun: deletion.delete_run,
    RespondToInput: _respond,
    SetNote: _note,
    PutPool: _put_pool,
    DeletePool: _delete_pool,
    DeleteDag: deletion.delete_dag,
    SetWorkerDrain: _drain,
}
