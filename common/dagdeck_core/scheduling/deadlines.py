"""Deadlines of runs: set when a run is created or queued again, missed or met.

Decides the moment of each from its reference, what happens when it passes, and when it is taken away: a run that
ended well in time has none. What needs user code (references and intervals of one's own) is asked as work, and what
needs past runs is asked of the database; both set the deadline a little later. Called by `runs` and the machine.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from dagdeck_core.records import DeadlineRecord
from dagdeck_core.scheduling import side_work
from dagdeck_core.scheduling.decisions import CreateDeadline, DropDeadlines, MissDeadline
from dagdeck_core.scheduling.timers import TimerKind
from dagdeck_core.spec import DEFAULT_QUEUE, DeadlineSpec, ReferencePoint
from dagdeck_core.states import DagRunState
from dagdeck_core.work import DeadlineCallback, DeadlineMoment, WorkRecord, WorkState

if TYPE_CHECKING:
    from dagdeck_core.scheduling.run_state import RunState
    from dagdeck_core.scheduling.world import World


@dataclass(slots=True, kw_only=True)
class Deadlines:
    """Those that were neither missed nor met."""

    by_id: dict[int, DeadlineRecord] = field(default_factory=dict)
    stale: bool = False
    """The rows must be read before memory is trusted again."""
    averages_wanted: dict[tuple[int, int], bool] = field(default_factory=dict)
    """(run_key, number of the deadline in its DAG) whose past runs must be looked at; True: unless its row is there."""


class AverageWanted(NamedTuple):
    """A deadline that needs the average duration of the last `most` runs that had ended `before` its run was created.

    With `again` it may have been set and missed already: then its row is there, and nothing is to be found.
    """

    run_key: int
    number: int
    dag_id: str
    most: int
    before: datetime
    again: bool


# ---------------------------------------------------------------- set


def run_created(world: World, run: RunState) -> None:
    """Set the deadlines of a new run."""
    for number, spec in enumerate(world.spec_of(run).deadlines):
        _begin(world, run, number, spec)


def run_requeued(world: World, run: RunState) -> None:
    """A run is queued again: what is counted from there begins anew."""
    specs = world.spec_of(run).deadlines
    if not specs:
        return
    again = [number for number, spec in enumerate(specs) if spec.reference is ReferencePoint.QUEUED_AT]
    if again:
        _drop(world, run.key, again)
    for number in again:
        _begin(world, run, number, specs[number])


def _begin(world: World, run: RunState, number: int, spec: DeadlineSpec) -> None:
    if spec.reference is ReferencePoint.AVERAGE_RUNTIME:
        world.deadlines.averages_wanted[run.key, number] = False
    elif spec.reference is ReferencePoint.CUSTOM or spec.interval is None:
        _ask(world, run, DeadlineMoment(number=number, queued_at=world.now))
    else:
        since = {
            ReferencePoint.LOGICAL_DATE: run.record.logical_date,
            ReferencePoint.QUEUED_AT: world.now,
            ReferencePoint.FIXED: spec.at,
        }[spec.reference]
        if since is not None:
            set_deadline(world, run, number, since + timedelta(seconds=spec.interval))


def _ask(world: World, run: RunState, question: DeadlineMoment) -> None:
    record = run.record
    side_work.create(world, question, dag_id=record.dag_id, version_id=record.version_id, run_key=run.key)


def averages_wanted(world: World) -> list[AverageWanted]:
    """What must be looked up, until `average_found`."""
    wanted = []
    for (run_key, number), again in list(world.deadlines.averages_wanted.items()):
        run = world.runs.get(run_key)
        if run is None:
            del world.deadlines.averages_wanted[run_key, number]
            continue
        record, spec = run.record, world.spec_of(run).deadlines[number]
        wanted.append(AverageWanted(run_key, number, record.dag_id, spec.max_runs, record.queued_at, again))
    return wanted


def average_found(world: World, run_key: int, number: int, runs: int, seconds: float) -> None:
    """`runs` past runs took `seconds` on average."""
    world.deadlines.averages_wanted.pop((run_key, number), None)
    run = world.runs.get(run_key)
    if run is None or run.state in (DagRunState.SUCCESS, DagRunState.FAILED):
        return
    spec = world.spec_of(run).deadlines[number]
    if runs < max(spec.min_runs, 1):
        return
    since = run.record.queued_at + timedelta(seconds=seconds)
    if spec.interval is not None:
        set_deadline(world, run, number, since + timedelta(seconds=spec.interval))
    elif not _is_being_asked(world, run_key, number):
        _ask(world, run, DeadlineMoment(number=number, queued_at=run.record.queued_at, since=since))


def _is_being_asked(world: World, run_key: int, number: int) -> bool:
    records = (work.record for work in world.side.by_id.values())
    return any(
        record.run_key == run_key and isinstance(record.order, DeadlineMoment) and record.order.number == number
        for record in records
    )


def set_deadline(world: World, run: RunState, number: int, at: datetime) -> None:
    """Store a deadline and wake when it comes."""
    record = DeadlineRecord(
        deadline_id=world.new_id(),
        run_key=run.key,
        dag_id=run.record.dag_id,
        version_id=run.record.version_id,
        number=number,
        at=at,
        spec=world.spec_of(run).deadlines[number],
    )
    world.emit(CreateDeadline(deadline=record))
    _keep(world, record)


def asked(world: World, work: WorkRecord) -> None:
    """User code said when the deadline is; None means that this run has none."""
    order, run = work.order, world.runs.get(work.run_key)
    if not isinstance(order, DeadlineMoment) or run is None or work.state is not WorkState.SUCCESS:
        return
    answer: Any = work.answer
    if answer and run.state not in (DagRunState.SUCCESS, DagRunState.FAILED):
        set_deadline(world, run, order.number, datetime.fromisoformat(answer))


# ---------------------------------------------------------------- met and missed


def loaded(world: World, records: tuple[DeadlineRecord, ...]) -> None:
    """All deadlines that were neither missed nor met, as their rows are."""
    world.deadlines.stale = False
    world.deadlines.by_id = {}
    for record in records:
        _keep(world, record)
    _want_missing(world)


def _want_missing(world: World) -> None:
    """Have averages looked up that nobody may have got to: the leader died, or a commit failed, before they were."""
    known = {(record.run_key, record.number): None for record in world.deadlines.by_id.values()}
    for run in world.runs.values():
        specs = world.spec_of(run).deadlines
        if not specs or run.state in (DagRunState.SUCCESS, DagRunState.FAILED):
            continue
        for number, spec in enumerate(specs):
            if spec.reference is ReferencePoint.AVERAGE_RUNTIME and (run.key, number) not in known:
                world.deadlines.averages_wanted[run.key, number] = True


def run_ended_well(world: World, run_key: int) -> None:
    """The run ended with success: what was not missed is met."""
    if any(record.run_key == run_key for record in world.deadlines.by_id.values()):
        _drop(world, run_key, None)


def run_gone(world: World, run_key: int) -> None:
    """A run is being deleted, and its deadlines with it."""
    for deadline_id, record in list(world.deadlines.by_id.items()):
        if record.run_key == run_key:
            del world.deadlines.by_id[deadline_id]


def passed(world: World, deadline_id: int) -> None:
    """A deadline's moment has come and its run has not ended well: have the callback called."""
    record = world.deadlines.by_id.get(deadline_id)
    if record is None or record.at > world.now:
        return
    del world.deadlines.by_id[deadline_id]
    spec, version = record.spec, world.versions.get(record.version_id)
    work_id = side_work.create(
        world,
        DeadlineCallback(
            deadline_id=deadline_id,
            path=spec.callback,
            kwargs=spec.kwargs,
            is_async=spec.is_async,
            deadline_time=record.at,
            name=spec.name,
        ),
        dag_id=record.dag_id,
        version_id=record.version_id,
        run_key=record.run_key,
        queue=side_work.queue_for(world, version.spec) if version is not None else DEFAULT_QUEUE,
    )
    world.emit(MissDeadline(deadline_id=deadline_id, work_id=work_id))


def _keep(world: World, record: DeadlineRecord) -> None:
    world.deadlines.by_id[record.deadline_id] = record
    world.timers.set(max(record.at, world.now), TimerKind.DEADLINE, record.run_key, record.deadline_id)


def _drop(world: World, run_key: int, numbers: list[int] | None) -> None:
    gone = [
        record
        for record in world.deadlines.by_id.values()
        if record.run_key == run_key and (numbers is None or record.number in numbers)
    ]
    for record in gone:
        del world.deadlines.by_id[record.deadline_id]
    if gone:
        world.emit(DropDeadlines(deadline_ids=tuple(record.deadline_id for record in gone)), rows=len(gone))
