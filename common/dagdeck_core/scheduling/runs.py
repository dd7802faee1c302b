"""Dag runs: when they are created, started, timed out and ended.

Decides everything about runs as wholes. Does not judge single tasks (`evaluation`) nor carry out
people's actions (`people`, which creates manual runs through `create_run`).
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from dagdeck_core.errors import Bug, UserError
from dagdeck_core.records import AskedRuns, DagRecord, RunRecord, TaskRecord
from dagdeck_core.scheduling import deadlines, past, side_work, stopping, timetable_answers
from dagdeck_core.scheduling.decisions import (
    CountFailures,
    CreateRun,
    CreateTasks,
    MoveRun,
    PauseDag,
    ScheduleNext,
    TaskSeed,
)
from dagdeck_core.scheduling.run_state import RunState
from dagdeck_core.scheduling.world import DagEntry, World
from dagdeck_core.states import DagRunState, DagRunType, TaskInstanceState, run_may_move
from dagdeck_core.timetables import DagRunInfo, DataInterval, TimeRestriction
from dagdeck_core.timetables.partitioned import CronPartitionTimetable

_S = TaskInstanceState
MOST_TASKS_PER_CHUNK = 1000
"""Most task_instance rows inserted by one step."""


# ---------------------------------------------------------------- scheduled runs


def create_due(world: World) -> None:
    """Create the runs whose time has come, and store when each DAG runs next."""
    for dag_id in list(world.due):
        if world.rows_left <= 0:
            return
        del world.due[dag_id]
        entry = world.dags.get(dag_id)
        if entry is not None:
            _create_due_of(world, entry)


def _create_due_of(world: World, entry: DagEntry) -> None:
    record, spec = entry.record, entry.version.spec
    entry.held = False
    created = 0
    made: DagRunInfo | None = None
    last = _last_interval(entry)
    asked = timetable_answers.is_asked_elsewhere(entry)
    is_void = entry.recompute and asked
    info = _stored_next(world, entry) or (None if is_void else _next_info(world, entry, last))
    while info is not None and info.run_after <= world.now and not record.is_paused and not record.is_stale:
        limit = spec.max_active_runs
        if entry.timetable is not None and entry.timetable.active_runs_limit is not None:
            limit = min(limit, entry.timetable.active_runs_limit)
        if limit and len(entry.runs) >= limit:
            entry.held = True
            break
        if created >= world.settings.most_runs_per_step or world.rows_left <= 0:
            world.due_later[record.dag_id] = None
            break
        _create_scheduled(world, entry, info)
        created += 1
        made, last = info, info.data_interval
        info = _next_info(world, entry, last)
    _store_next(world, entry, info, last, _said(entry, info, made) if asked else None)
    if info is None and asked:
        timetable_answers.ask(world, entry)


def _stored_next(world: World, entry: DagEntry) -> DagRunInfo | None:
    """The stored next run when it is due: a timetable asked again now might leave it out as missed.

    One that follows its own runs is asked anew: what was stored when the last run began ends before that run did.
    """
    record = entry.record
    follows_itself = entry.timetable is not None and entry.timetable.active_runs_limit is not None
    if entry.recompute or follows_itself:
        entry.recompute = False
        return None
    if record.next_run_after is None or record.next_run_after > world.now:
        return None
    return _stored_info(record, record.next_run_after)


def _stored_info(record: DagRecord, run_after: datetime) -> DagRunInfo:
    start, end = record.next_interval_start or run_after, record.next_interval_end or run_after
    asked = record.asked or _NOTHING_SAID
    return DagRunInfo(
        run_after=run_after,
        data_interval=DataInterval(start=start, end=end),
        run_id=asked.next_run_id,
        partition_key=asked.next_partition_key,
        partition_date=asked.next_partition_date,
        is_dateless=asked.next_is_dateless,
    )


_NOTHING_SAID = AskedRuns()


def _said(entry: DagEntry, info: DagRunInfo | None, made: DagRunInfo | None) -> AskedRuns | None:
    """What is kept of an author's timetable's words: of the next run, and of the last one that was made."""
    asked = entry.record.asked or _NOTHING_SAID
    if made is not None:
        asked = AskedRuns(
            last_run_after=made.run_after,
            last_partition_key=made.partition_key,
            last_partition_date=made.partition_date,
            last_is_dateless=made.is_dateless,
        )
    asked = msgspec.structs.replace(
        asked,
        next_run_id=info.run_id if info else "",
        next_partition_key=info.partition_key if info else None,
        next_partition_date=info.partition_date if info else None,
        next_is_dateless=info.is_dateless if info else False,
    )
    return None if asked == _NOTHING_SAID else asked


def _last_interval(entry: DagEntry) -> DataInterval | None:
    start, end = entry.record.last_interval_start, entry.record.last_interval_end
    return DataInterval(start=start, end=end) if start is not None and end is not None else None


def _next_info(world: World, entry: DagEntry, last: DataInterval | None) -> DagRunInfo | None:
    """The timetable's answer; one that cannot be computed here has none, unless a later run is stored already."""
    if entry.timetable is None or entry.record.is_stale:
        return None
    if timetable_answers.is_asked_elsewhere(entry):
        return _stored_later(world, entry, last)
    spec = entry.version.spec
    restriction = TimeRestriction(earliest=spec.start_date, latest=spec.end_date, catchup=spec.catchup)
    try:
        return entry.timetable.next_dagrun_info(
            last_automated_data_interval=last, restriction=restriction, now=world.now
        )
    except UserError:
        return None


def _stored_later(world: World, entry: DagEntry, last: DataInterval | None) -> DagRunInfo | None:
    """The answer that the author's code gave, while it is about the run after the last one."""
    record = entry.record
    if record.next_run_after is None or record.next_run_after <= world.now or last != _last_interval(entry):
        return None
    return _stored_info(record, record.next_run_after)


def _create_scheduled(world: World, entry: DagEntry, info: DagRunInfo) -> None:
    assert entry.timetable is not None
    run_id = info.run_id or entry.timetable.generate_run_id(
        run_type=DagRunType.SCHEDULED, run_after=info.run_after, data_interval=info.data_interval
    )
    if world.taken.pop((entry.record.dag_id, run_id), 0) is None:
        return
    if isinstance(entry.timetable, CronPartitionTimetable):
        date, key = entry.timetable.partition_of(info.run_after)
        create_run(
            world,
            entry,
            run_id=run_id,
            run_type=DagRunType.SCHEDULED,
            run_after=info.run_after,
            logical_date=None,
            interval=None,
            partition_key=key,
            partition_date=date,
        )
        return
    create_run(
        world,
        entry,
        run_id=run_id,
        run_type=DagRunType.SCHEDULED,
        run_after=info.run_after,
        logical_date=None if info.is_dateless else info.logical_date,
        interval=None if info.is_dateless else info.data_interval,
        partition_key=info.partition_key,
        partition_date=info.partition_date,
    )


def _store_next(
    world: World, entry: DagEntry, info: DagRunInfo | None, last: DataInterval | None, asked: AskedRuns | None
) -> None:
    """Decide a ScheduleNext when what is stored differs."""
    record = entry.record
    fresh = msgspec.structs.replace(
        record,
        next_run_after=info.run_after if info else None,
        next_interval_start=info.data_interval.start if info else None,
        next_interval_end=info.data_interval.end if info else None,
        last_interval_start=last.start if last else None,
        last_interval_end=last.end if last else None,
        asked=asked,
    )
    if fresh == record:
        return
    entry.record = fresh
    world.watch_schedule(entry)
    world.emit(
        ScheduleNext(
            dag_id=record.dag_id,
            run_after=fresh.next_run_after,
            interval_start=fresh.next_interval_start,
            interval_end=fresh.next_interval_end,
            last_interval_start=fresh.last_interval_start,
            last_interval_end=fresh.last_interval_end,
            asked=asked,
        )
    )


# ---------------------------------------------------------------- creation


def create_run(
    world: World,
    entry: DagEntry,
    *,
    run_id: str,
    run_type: DagRunType,
    run_after: datetime,
    logical_date: datetime | None,
    interval: DataInterval | None,
    conf: dict[str, Any] | None = None,
    note: str | None = None,
    triggered_by: str = "timetable",
    triggering_user: str | None = None,
    partition_key: str | None = None,
    partition_date: datetime | None = None,
    run_key: int | None = None,
    cause: str = "",
) -> RunState:
    """Create a queued run of the DAG's newest version; its task instances follow in chunks."""
    record = RunRecord(
        run_key=run_key if run_key is not None else world.new_id(),
        dag_id=entry.record.dag_id,
        run_id=run_id,
        version_id=entry.version.version_id,
        state=DagRunState.QUEUED,
        run_type=run_type,
        run_after=run_after,
        queued_at=world.now,
        logical_date=logical_date,
        data_interval_start=interval.start if interval else None,
        data_interval_end=interval.end if interval else None,
        conf=conf or {},
        note=note,
        triggered_by=triggered_by,
        triggering_user=triggering_user,
        partition_key=partition_key,
        partition_date=partition_date,
    )
    world.emit(CreateRun(run=record, cause=cause), rows=3)
    world.tally.run_created(record)
    run = world.add_run(record, ())
    past.run_created(world, run)
    if entry.version.spec.deadlines:
        deadlines.run_created(world, run)
    return run


def create_tasks(world: World) -> None:
    """Insert the next chunk of task instances of runs that do not have them all yet."""
    for run_key in list(world.creating):
        run = world.runs[run_key]
        while not run.complete and world.rows_left > 0:
            _create_chunk(world, run)
        if not run.complete:
            return
        del world.creating[run_key]
        world.maybe_done[run_key] = None
        if run.state is DagRunState.RUNNING:
            world.mark_all_dirty(run)


def _create_chunk(world: World, run: RunState) -> None:
    start = run.created
    stop = min(len(run.graph.tasks), start + min(MOST_TASKS_PER_CHUNK, max(world.rows_left, 1)))
    seeds = []
    for index in range(start, stop):
        spec = run.graph.tasks[index]
        row = TaskRecord(ti_id=world.new_id(), run_key=run.key, task_id=spec.task_id, max_tries=spec.retries)
        task = run.add(row, index)
        seeds.append(TaskSeed(ti_id=task.ti_id, task=spec, map_index=-1, priority=task.priority))
    run.created = stop
    world.emit(
        CreateTasks(
            run_key=run.key,
            dag_id=run.record.dag_id,
            run_id=run.record.run_id,
            version_id=run.record.version_id,
            seeds=tuple(seeds),
            old_count=start,
            new_count=stop,
        ),
        rows=stop - start,
    )


# ---------------------------------------------------------------- start and end


def activate(world: World) -> None:
    """Start queued runs, earliest first, where max_active_runs has room and the DAG is not paused."""
    for dag_id in list(world.to_activate):
        if world.rows_left <= 0:
            return
        del world.to_activate[dag_id]
        entry = world.dags.get(dag_id)
        if entry is None or entry.record.is_paused:
            continue
        running = sum(run.state is DagRunState.RUNNING for run in entry.runs.values())
        limit = entry.version.spec.max_active_runs
        waiting = [
            run for run in entry.runs.values() if run.state is DagRunState.QUEUED and run.record.run_after <= world.now
        ]
        waiting.sort(key=lambda run: (run.record.run_after, run.key))
        for run in waiting:
            if limit and running >= limit:
                break
            if world.rows_left <= 0:
                world.to_activate[dag_id] = None
                return
            running += 1
            move_run(world, run, DagRunState.RUNNING, reason="max_active_runs has room")
            side_work.run_began(world, run)
            world.set_run_timers(run)
            world.mark_all_dirty(run)


def move_run(
    world: World, run: RunState, new: DagRunState, *, reason: str, cause: str = "", cleared: bool = False
) -> None:
    """Move a run and decide the row's change with it."""
    old = run.state
    if not run_may_move(old, new):
        raise Bug(f"dag run {run.key} cannot go from {old} to {new}")
    run.state = new
    start = world.now if new is DagRunState.RUNNING else run.record.start_date
    run.record = msgspec.structs.replace(run.record, state=new, start_date=start)
    world.tally.run_moved(run.record, world.now)
    world.emit(
        MoveRun(
            run_key=run.key,
            dag_id=run.record.dag_id,
            old=old,
            new=new,
            reason=reason,
            cause=cause,
            clear_number_up=cleared,
        ),
        rows=3,
    )
    if new in (DagRunState.SUCCESS, DagRunState.FAILED):
        world.ended[run.key] = None
        world.stop_looking_back(run)
    elif old in (DagRunState.SUCCESS, DagRunState.FAILED):
        world.look_back(run)
    if new is DagRunState.SUCCESS and world.deadlines.by_id:
        deadlines.run_ended_well(world, run.key)
    elif new is DagRunState.QUEUED:
        deadlines.run_requeued(world, run)
    entry = world.dags.get(run.record.dag_id)
    if entry is None:
        return
    if new in (DagRunState.SUCCESS, DagRunState.FAILED):
        entry.runs.pop(run.key, None)
        world.to_activate[run.record.dag_id] = None
        if entry.held:
            world.due[run.record.dag_id] = None
        if run.record.dag_id in world.assets.backlogs:
            world.assets.due[run.record.dag_id] = None
    else:
        entry.runs[run.key] = run


def end_runs(world: World) -> None:
    """End the runs in which nothing is left to do, or nothing can move any more."""
    for run_key in list(world.timed_out):
        del world.timed_out[run_key]
        run = world.runs.get(run_key)
        if run is not None and run.state is DagRunState.RUNNING:
            stopping.stop_run(world, run, "it ran longer than its dagrun_timeout", word="timed_out")
    carry_on_stops(world)
    for run_key in list(world.maybe_done):
        if world.rows_left <= 0:
            return
        del world.maybe_done[run_key]
        run = world.runs.get(run_key)
        if run is None or run.state is not DagRunState.RUNNING or not run.complete or run_key in world.stops:
            continue
        if not run.unfinished:
            _end_run(world, run, _outcome(world, run), "all its tasks ended")
        elif run.is_stuck and not world.is_paused(run.record.dag_id) and _nothing_waits(world, run):
            reason = "no task is left that could still run (deadlock)"
            stopping.stop_run(world, run, reason, word="all_tasks_deadlocked")


def _outcome(world: World, run: RunState) -> DagRunState:
    """The state that a run ends in. With fail_fast a failure counts wherever it was: what came after was skipped."""
    failed = any(task.state is _S.FAILED for task in run.by_id.values()) if world.spec_of(run).fail_fast else False
    return DagRunState.FAILED if failed else run.outcome()


def carry_on_stops(world: World) -> None:
    """Go on with the runs that are being ended, and end those whose last task instance was dealt with."""
    for run, stop in stopping.carry_on(world):
        if stop.run_state is not None:
            _end_run(world, run, stop.run_state, stop.reason, word=stop.word)
        else:
            world.mark_all_dirty(run)


def _nothing_waits(world: World, run: RunState) -> bool:
    """Whether a run without anything under way is truly stuck: no candidate, nothing to judge, no past to wait for."""
    if run.candidates or run.key in world.predecessors_wanted:
        return False
    if any(key[0] == run.key for key in (*world.expanding, *world.dirty_later)):
        return False
    for index, tasks in enumerate(run.tasks):
        spec = run.graph.tasks[index]
        for task in tasks:
            if task.state is _S.NONE and (
                (run.key, index) in world.dirty
                or task in world.dirty_instances
                or ((spec.depends_on_past or spec.wait_for_downstream) and run.verdict(task) != "wait")
            ):
                return False
    return True


def _end_run(world: World, run: RunState, state: DagRunState, reason: str, *, word: str = "") -> None:
    move_run(world, run, state, reason=reason)
    usual = "success" if state is DagRunState.SUCCESS else "task_failure"
    side_work.run_ended(world, run, state, word or usual)
    entry = world.dags.get(run.record.dag_id)
    if entry is None:
        return
    failures = entry.record.consecutive_failures + 1 if state is DagRunState.FAILED else 0
    if failures == entry.record.consecutive_failures:
        return
    entry.record = msgspec.structs.replace(entry.record, consecutive_failures=failures)
    world.emit(CountFailures(dag_id=run.record.dag_id, consecutive_failures=failures))
    limit = entry.version.spec.max_consecutive_failed_dag_runs
    if limit and failures >= limit and not entry.record.is_paused:
        entry.record = msgspec.structs.replace(entry.record, is_paused=True)
        world.emit(
            PauseDag(
                dag_id=run.record.dag_id,
                is_paused=True,
                reason=f"{failures} runs failed in a row (max_consecutive_failed_dag_runs)",
            )
        )
