"""Rows as the stores read them, turned into the core's records.

Decides the column lists of the stores' reading statements and the order in which their values stand. Does not decide
which rows are read. Called by scheduler_store.py and the worker's stores.
"""

from __future__ import annotations

import msgspec

from dagdeck_core.errors import Bug
from dagdeck_core.records import (
    AskedRuns,
    DagRecord,
    DagVersionRecord,
    DeadlineRecord,
    PoolRecord,
    RunRecord,
    TaskRecord,
    WorkerRecord,
    WorkerState,
)
from dagdeck_core.spec import DeadlineSpec
from dagdeck_core.states import DagRunState, DagRunType, TaskInstanceState
from dagdeck_core.wire import DagRunContext, Effects
from dagdeck_core.work import WorkRecord, WorkState, order_decoder
from dagdeck_io.db.dialects import Dialect, Row
from dagdeck_io.db.types import from_json, unpack_spec

TASK_STATES = {state.value: state for state in TaskInstanceState}
_effects = msgspec.json.Decoder(Effects)
_asked = msgspec.json.Decoder(AskedRuns)
_deadline = msgspec.json.Decoder(DeadlineSpec)

DAG_COLUMNS = (
    "dag_id, version_id, is_paused, is_stale, next_run_after, next_interval_start, next_interval_end, "
    "last_interval_start, last_interval_end, consecutive_failures, asked_runs"
)
VERSION_COLUMNS = "version_id, dag_id, version_number, bundle_name, bundle_version, spec"
RUN_COLUMNS = (
    "run_key, dag_id, run_id, version_id, state, run_type, run_after, queued_at, logical_date, data_interval_start, "
    "data_interval_end, start_date, end_date, conf, note, triggered_by, triggering_user, partition_key, backfill_id, "
    "created_tasks, partition_date"
)
TASK_COLUMNS = (
    "ti_id, run_key, task_id, map_index, state, dispatch_no, try_number, max_tries, worker_id, next_at, lost_count, "
    "revoke_to, duration, effects"
)
POOL_COLUMNS = "name, slots, include_deferred"
WORKER_COLUMNS = "worker_id, name, state, slots, counter, queues, version, wire_version"

DEADLINE_COLUMNS = "d.deadline_id, d.run_key, r.dag_id, r.version_id, d.number, d.deadline_time, d.callback"
WORK_COLUMNS = (
    "work_id, `order`, dag_id, version_id, run_key, `queue`, state, dispatch_no, worker_id, lost_count, answer, error"
)


def task_state(text: str) -> TaskInstanceState:
    """The state stored as `text`. Raises Bug for one that nobody knows."""
    try:
        return TASK_STATES[text]
    except KeyError:
        raise Bug(f"a task instance is stored in the unknown state {text!r}") from None


def dag_record(row: Row, dialect: Dialect) -> DagRecord:
    """A row of DAG_COLUMNS."""
    instant = dialect.read_instant
    return DagRecord(
        dag_id=row[0],
        version_id=row[1],
        is_paused=bool(row[2]),
        is_stale=bool(row[3]),
        next_run_after=instant(row[4]),
        next_interval_start=instant(row[5]),
        next_interval_end=instant(row[6]),
        last_interval_start=instant(row[7]),
        last_interval_end=instant(row[8]),
        consecutive_failures=row[9],
        asked=None if row[10] is None else _asked.decode(row[10]),
    )


def version_record(row: Row) -> DagVersionRecord:
    """A row of VERSION_COLUMNS."""
    return DagVersionRecord(
        version_id=row[0],
        dag_id=row[1],
        version_number=row[2],
        bundle_name=row[3],
        bundle_version=row[4],
        spec=unpack_spec(row[5]),
    )


def run_record(row: Row, dialect: Dialect) -> RunRecord:
    """A row of RUN_COLUMNS."""
    instant = dialect.read_instant
    run_after, queued_at = instant(row[6]), instant(row[7])
    if run_after is None:
        raise Bug(f"dag run {row[0]} is stored without run_after")
    return RunRecord(
        run_key=row[0],
        dag_id=row[1],
        run_id=row[2],
        version_id=row[3],
        state=DagRunState(row[4]),
        run_type=DagRunType(row[5]),
        run_after=run_after,
        queued_at=queued_at or run_after,
        logical_date=instant(row[8]),
        data_interval_start=instant(row[9]),
        data_interval_end=instant(row[10]),
        start_date=instant(row[11]),
        end_date=instant(row[12]),
        conf=from_json(row[13]) if row[13] else {},
        note=row[14],
        triggered_by=row[15] or "timetable",
        triggering_user=row[16],
        partition_key=row[17],
        backfill_id=row[18],
        created_tasks=row[19],
        partition_date=instant(row[20]),
    )


def run_context(row: Row, dialect: Dialect) -> DagRunContext:
    """A row of RUN_COLUMNS, as a task sees its run."""
    run = run_record(row, dialect)
    return DagRunContext(
        run_key=run.run_key,
        dag_id=run.dag_id,
        run_id=run.run_id,
        run_type=run.run_type.value,
        state=run.state.value,
        logical_date=run.logical_date,
        data_interval_start=run.data_interval_start,
        data_interval_end=run.data_interval_end,
        run_after=run.run_after,
        start_date=run.start_date,
        end_date=run.end_date,
        conf=run.conf,
        triggering_user=run.triggering_user,
        partition_key=run.partition_key,
        note=run.note,
        partition_date=run.partition_date,
    )


def task_record(row: Row, dialect: Dialect) -> TaskRecord:
    """A row of TASK_COLUMNS."""
    return TaskRecord(
        ti_id=row[0],
        run_key=row[1],
        task_id=row[2],
        map_index=row[3],
        state=task_state(row[4]),
        dispatch_no=row[5],
        try_number=row[6],
        max_tries=row[7],
        worker_id=row[8],
        next_at=dialect.read_instant(row[9]),
        lost_count=row[10],
        revoke_to=None if row[11] is None else task_state(row[11]),
        duration=row[12],
        effects=None if row[13] is None else _effects.decode(row[13]),
    )


def pool_record(row: Row) -> PoolRecord:
    """A row of POOL_COLUMNS."""
    return PoolRecord(name=row[0], slots=row[1], include_deferred=bool(row[2]))


def worker_record(row: Row) -> WorkerRecord:
    """A row of WORKER_COLUMNS."""
    return WorkerRecord(
        worker_id=row[0],
        name=row[1],
        state=WorkerState(row[2]),
        slots=row[3],
        counter=row[4],
        queues=tuple(from_json(row[5])),
        version=row[6],
        wire_version=row[7],
    )


def work_record(row: Row) -> WorkRecord:
    """A row of WORK_COLUMNS. Raises msgspec's errors for an order of a newer release."""
    return WorkRecord(
        work_id=row[0],
        order=order_decoder.decode(row[1]),
        dag_id=row[2],
        version_id=row[3],
        run_key=row[4],
        queue=row[5],
        state=WorkState(row[6]),
        dispatch_no=row[7],
        worker_id=row[8],
        lost_count=row[9],
        answer=None if row[10] is None else from_json(row[10]),
        error=row[11],
    )


def deadline_record(row: Row, dialect: Dialect) -> DeadlineRecord:
    """A row of DEADLINE_COLUMNS."""
    at = dialect.read_instant(row[5])
    if at is None:
        raise Bug(f"deadline {row[0]} is stored without its time")
    return DeadlineRecord(
        deadline_id=row[0],
        run_key=row[1],
        dag_id=row[2],
        version_id=row[3],
        number=row[4],
        at=at,
        spec=_deadline.decode(row[6]),
    )
