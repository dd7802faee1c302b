"""Callbacks and questions to user code: made, dispatched, watched and settled.

Decides when such work is offered to workers, what a lost worker or a lost offer means for it, and when it is over.
What an answer leads to is decided by the module that asked (`timetable_answers`). Its rows never touch those of task
instances: a plain task's way does not come through here. Memory holds the unsettled work, the oldest first, as the
last read of the rows had it; the rows are read whenever somebody says that there is new work, and now and then.
Called by the machine.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import msgspec

from dagdeck_core.scheduling.decisions import CreateWork, MoveWork, Offer, SettleWork
from dagdeck_core.scheduling.run_state import RunState, Task
from dagdeck_core.scheduling.timers import TimerKind
from dagdeck_core.spec import DEFAULT_QUEUE, DagSpec
from dagdeck_core.states import DagRunState, TaskInstanceState
from dagdeck_core.wire import FinishedDispatch
from dagdeck_core.work import (
    ENDED,
    Order,
    RunBegun,
    RunCallback,
    TaskCallback,
    TaskFacts,
    WorkRecord,
    WorkState,
    hint_id,
)

if TYPE_CHECKING:
    from dagdeck_core.scheduling.world import World

_S = TaskInstanceState
PRIORITY = 1
LONGEST_OFFER_WAIT = 60.0
"""Seconds between two offers of work that nobody claims, at the longest."""


@dataclass(slots=True, kw_only=True)
class SideWork:
    """One piece of work that is not settled."""

    record: WorkRecord
    offer_wait: float = 0.0


@dataclass(slots=True, kw_only=True)
class SideWorks:
    """All of it that is in memory."""

    by_id: dict[int, SideWork] = field(default_factory=dict)
    offers: dict[int, None] = field(default_factory=dict)
    """Ids to be offered at the end of the step."""
    stale: bool = False
    """The rows must be read before memory is trusted again."""
    incoming: dict[int, WorkRecord] = field(default_factory=dict)
    """Rows as they were read last that no step has taken in yet."""
    manual_answers: dict[int, Any] = field(default_factory=dict)
    """action_id → what a timetable said of the run that the action starts (`timetable_answers`)."""
    wants_actions: bool = False
    """An action waits in the database for an answer that is here now."""
    on_answer: dict[type, Callable[[World, WorkRecord], None]] = field(default_factory=dict)
    """Order's type → what goes on when such an order has ended."""


# ---------------------------------------------------------------- making


def create(world: World, order: Order, *, dag_id: str, version_id: int, run_key: int = 0, queue: str = "") -> int:
    """Make a piece of work and dispatch it, in one row; returns its id."""
    record = WorkRecord(
        work_id=world.new_id(),
        order=order,
        dag_id=dag_id,
        version_id=version_id,
        run_key=run_key,
        queue=queue or queue_for(world, world.versions[version_id].spec),
        state=WorkState.QUEUED,
        dispatch_no=world.new_id(),
    )
    world.emit(CreateWork(work=record))
    _keep(world, record)
    return record.work_id


def queue_for(world: World, spec: DagSpec) -> str:
    """The queue for work of a DAG as a whole: the default one, or else one of its tasks' that a worker serves."""
    names = dict.fromkeys([DEFAULT_QUEUE, *(task.queue for task in spec.tasks)])
    return next((name for name in names if world.leases.slots_of(name)), DEFAULT_QUEUE)


def task_failed_unheard(world: World, task: Task, reason: str) -> None:
    """A task instance failed without any process of it being there to say so: call what its author wants called."""
    if task.spec.has_on_failure_callback or task.spec.email:
        call_back(world, task, "on_failure_callback", reason)


def call_back(world: World, task: Task, name: str, reason: str) -> None:
    """Call a callback of a task instance that has ended without a process of its own."""
    order = TaskCallback(task=facts_of_task(task, error=reason), names=(name,))
    record = task.run.record
    create(
        world,
        order,
        dag_id=record.dag_id,
        version_id=record.version_id,
        run_key=task.run.key,
        queue=task.spec.queue,
    )


def facts_of_task(task: Task, *, error: str = "") -> TaskFacts:
    """What a callback is told of a task instance."""
    return TaskFacts(
        ti_id=task.ti_id,
        task_id=task.spec.task_id,
        map_index=task.map_index,
        try_number=task.try_number,
        max_tries=task.max_tries,
        dispatch_no=task.dispatch_no,
        state=task.state,
        error=error,
    )


def run_began(world: World, run: RunState) -> None:
    """A run began: tell the listeners that want to know."""
    if not world.spec_of(run).has_on_running_listener:
        return
    create(
        world,
        RunBegun(queued_at=run.record.queued_at, start_date=run.record.start_date),
        dag_id=run.record.dag_id,
        version_id=run.record.version_id,
        run_key=run.key,
    )


def run_ended(world: World, run: RunState, state: DagRunState, reason: str) -> None:
    """A run ended by itself: call its DAG's callback, if it has one."""
    spec = world.spec_of(run)
    is_failure = state is DagRunState.FAILED
    if not (spec.has_on_failure_callback if is_failure else spec.has_on_success_callback):
        return
    shown = _shown_task(run, is_failure=is_failure)
    create(
        world,
        RunCallback(is_failure=is_failure, reason=reason, task=None if shown is None else facts_of_task(shown)),
        dag_id=run.record.dag_id,
        version_id=run.record.version_id,
        run_key=run.key,
    )


def _shown_task(run: RunState, *, is_failure: bool) -> Task | None:
    """The task instance that a DAG's callback sees as `ti`: the first that failed, or the last of all."""
    tasks = list(run.by_id.values())
    if is_failure:
        failed = next((task for task in tasks if task.state is _S.FAILED), None)
        if failed is not None:
            return failed
    return tasks[-1] if tasks else None


# ---------------------------------------------------------------- what rows and workers tell


def loaded(world: World, records: tuple[WorkRecord, ...]) -> None:
    """All unsettled work as its rows are now; what is not among them is settled, or waits its turn."""
    side = world.side
    side.stale = False
    side.incoming = {record.work_id: record for record in records}
    side.by_id = {work_id: work for work_id, work in side.by_id.items() if work_id in side.incoming}


def take_in(world: World) -> None:
    """Act on the rows that were read, as far as this step's rows allow."""
    incoming = world.side.incoming
    for work_id, record in list(incoming.items()):
        if world.rows_left <= 0:
            return
        del incoming[work_id]
        before = world.side.by_id.get(work_id)
        if before is not None and before.record == record:
            continue
        if record.state in ENDED:
            _settle(world, record)
        elif record.state is WorkState.NEW:
            _dispatch(world, record, lost=False)
        else:
            _keep(world, record)


def claimed(world: World, worker_id: int, dispatches: tuple[tuple[int, int, int], ...]) -> None:
    """A worker holds these; entries that name task instances are passed over."""
    for _, ti_id, dispatch_no in dispatches:
        work = _live(world, ti_id, dispatch_no)
        if work is not None and work.record.state is WorkState.QUEUED:
            work.record = msgspec.structs.replace(work.record, state=WorkState.RUNNING, worker_id=worker_id)


def finished(world: World, item: FinishedDispatch) -> None:
    """A worker ended this one and committed it; the row has the answer, so it is read."""
    if _live(world, item.ti_id, item.dispatch_no) is not None:
        world.side.stale = True


def workers_seen(world: World) -> None:
    """Dispatch anew what gone workers held."""
    for work in list(world.side.by_id.values()):
        record = work.record
        if record.state is WorkState.RUNNING and not world.leases.is_live(record.worker_id or 0):
            if record.lost_count + 1 >= world.settings.lost_workers_limit:
                reason = f"{record.lost_count + 1} workers in a row were lost while they ran it"
                _move(world, record, msgspec.structs.replace(record, state=WorkState.FAILED, error=reason))
                _settle(world, msgspec.structs.replace(record, state=WorkState.FAILED, error=reason))
            else:
                _dispatch(world, record, lost=True)


def offer_due(world: World, work_id: int) -> None:
    """An offer's time has come again: nobody may have heard of it."""
    work = world.side.by_id.get(work_id)
    if work is not None and work.record.state is WorkState.QUEUED:
        _offer(world, work)


def offer_all(world: World) -> None:
    """Offer everything that is queued once more: the way that offers take has changed."""
    for work in world.side.by_id.values():
        if work.record.state is WorkState.QUEUED:
            world.side.offers[work.record.work_id] = None


def flush_offers(world: World) -> None:
    """Turn the collected offers into decisions."""
    offers, world.side.offers = world.side.offers, {}
    by_queue: dict[str, list[tuple[int, int, int]]] = {}
    for work_id in offers:
        work = world.side.by_id.get(work_id)
        if work is not None and work.record.state is WorkState.QUEUED:
            triple = (hint_id(work_id), work.record.dispatch_no, PRIORITY)
            by_queue.setdefault(work.record.queue, []).append(triple)
    for queue, triples in by_queue.items():
        rows = 0 if world.queue_on else len(triples)
        world.emit(Offer(queue=queue, dispatches=tuple(triples), as_rows=not world.queue_on), rows=rows)


def run_gone(world: World, run_key: int) -> None:
    """A run is being deleted, and its work with it."""
    for work_id, work in list(world.side.by_id.items()):
        if work.record.run_key == run_key:
            del world.side.by_id[work_id]


# ---------------------------------------------------------------- inside


def _live(world: World, ti_id: int, dispatch_no: int) -> SideWork | None:
    work = world.side.by_id.get(-ti_id) if ti_id < 0 else None
    return work if work is not None and work.record.dispatch_no == dispatch_no else None


def _keep(world: World, record: WorkRecord) -> None:
    work = world.side.by_id[record.work_id] = SideWork(record=record)
    if record.state is WorkState.QUEUED:
        _offer(world, work)


def _offer(world: World, work: SideWork) -> None:
    work.offer_wait = min(max(work.offer_wait * 2, world.settings.reoffer_after), LONGEST_OFFER_WAIT)
    world.side.offers[work.record.work_id] = None
    at = world.now + timedelta(seconds=work.offer_wait)
    world.timers.set(at, TimerKind.WORK, work.record.run_key, work.record.work_id)


def _dispatch(world: World, record: WorkRecord, *, lost: bool) -> None:
    fresh = msgspec.structs.replace(
        record,
        state=WorkState.QUEUED,
        dispatch_no=world.new_id(),
        worker_id=None,
        lost_count=record.lost_count + 1 if lost else record.lost_count,
    )
    _move(world, record, fresh)
    _keep(world, fresh)


def _move(world: World, old: WorkRecord, new: WorkRecord) -> None:
    world.emit(
        MoveWork(
            work_id=old.work_id,
            old=old.state,
            new=new.state,
            old_no=old.dispatch_no,
            new_no=new.dispatch_no,
            lost_count=new.lost_count,
            error=new.error,
        )
    )


def _settle(world: World, record: WorkRecord) -> None:
    """It is over: let what asked for it go on, and never look at the row again."""
    world.side.by_id.pop(record.work_id, None)
    go_on = world.side.on_answer.get(type(record.order))
    if go_on is not None:
        go_on(world, record)
    world.emit(SettleWork(work_id=record.work_id, dispatch_no=record.dispatch_no))
