"""What the topics read from the database.

Decides the SQL and the shape of a task instance on the stream. Reads by key or through the attention table and the kept
counts; nothing here scans by state. Called by the topics and the reader, in the reader's thread.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from datetime import datetime
from itertools import islice
from typing import Any

import msgspec
import sqlalchemy as sa

from dagdeck_core.records import WorkerState
from dagdeck_core.states import DagRunState, TaskInstanceState
from dagdeck_io.db.tables import attention, dag, dag_run, dag_stats, import_error, log_chunk, task_instance, worker
from dagdeck_master.api.dag_scope import DagScope, only
from dagdeck_master.api.identity import uuid_of
from dagdeck_master.api.push.news import RunState
from dagdeck_master.api.queries.cluster import UNFINISHED_RUN
from dagdeck_master.api.queries.problems import of_files
from dagdeck_master.api.queries.runs import run_of, select_runs
from dagdeck_master.api.queries.versions import unpacked
from dagdeck_master.api.reply import wire_state

BATCH = 500
"""Keys in one IN."""
RECENT_RUNS = 50
UNFINISHED_RUNS = 200
LOG_PIECES = 8
"""Stored pieces of a log that are read at once."""

# ---------------------------------------------------------------- runs


def runs_by_key(connection: sa.Connection, keys: Iterable[int]) -> dict[int, RunState | None]:
    """These runs by key; None for one that is gone."""
    found: dict[int, RunState | None] = {}
    for batch in _batches(keys):
        found.update(dict.fromkeys(batch))
        found.update(_runs(connection, select_runs().where(dag_run.c.run_key.in_(batch))))
    return found


def run_by_name(connection: sa.Connection, dag_id: str, dag_run_id: str) -> tuple[int, RunState] | None:
    """One run with its key."""
    statement = select_runs().where(dag_run.c.dag_id == dag_id, dag_run.c.run_id == dag_run_id)
    return next(iter(_runs(connection, statement).items()), None)


Scope = frozenset[str] | None
"""The DAGs that are shown; None for all."""


def _only(scope: Scope, column: sa.ColumnElement[Any]) -> list[sa.ColumnElement[bool]]:
    return only(None if scope is None else DagScope(scope), column)


def recent_runs(connection: sa.Connection, dag_id: str | None = None, scope: Scope = None) -> dict[int, RunState]:
    """The last runs by run_after, newest first, of one DAG or of all."""
    statement = select_runs().order_by(dag_run.c.run_after.desc(), dag_run.c.run_key.desc()).limit(RECENT_RUNS)
    if dag_id is not None:
        statement = statement.where(dag_run.c.dag_id == dag_id)
    return _runs(connection, statement.where(*_only(scope, dag_run.c.dag_id)))


def unfinished_runs(connection: sa.Connection, scope: Scope = None) -> dict[int, RunState]:
    """Runs that are queued or running, newest first."""
    statement = (
        sa.select(attention.c.subject_id)
        .where(attention.c.kind == UNFINISHED_RUN)
        .order_by(attention.c.subject_id.desc())
        .limit(UNFINISHED_RUNS)
    )
    if scope is not None:
        statement = statement.join(dag_run, dag_run.c.run_key == attention.c.subject_id)
        statement = statement.where(*_only(scope, dag_run.c.dag_id))
    keys = list(connection.execute(statement).scalars())
    found = runs_by_key(connection, keys)
    return {key: run for key in keys if (run := found.get(key)) is not None}


def _runs(connection: sa.Connection, statement: sa.Select[Any]) -> dict[int, RunState]:
    return {
        row.run_key: RunState(shown=run_of(row), created_tasks=row.created_tasks)
        for row in connection.execute(statement)
    }


# ---------------------------------------------------------------- task instances

Task = tuple[str, str | None, str, int, int, datetime | None, datetime | None, str | None, int | None, datetime | None]
"""A task instance on the stream; docs/push.md names the items."""

_WAITS = frozenset({TaskInstanceState.UP_FOR_RETRY, TaskInstanceState.UP_FOR_RESCHEDULE})
_TASKS = sa.select(
    task_instance.c.ti_id,
    task_instance.c.state,
    task_instance.c.task_id,
    task_instance.c.map_index,
    task_instance.c.try_number,
    task_instance.c.start_date,
    task_instance.c.end_date,
    task_instance.c.rendered_map_index,
    task_instance.c.worker_id,
    task_instance.c.next_at,
)


def tasks_of_run(connection: sa.Connection, run_key: int) -> dict[int, Task]:
    """All task instances of a run by ti_id, ordered by task and map index."""
    statement = _TASKS.where(task_instance.c.run_key == run_key).order_by(
        task_instance.c.task_id, task_instance.c.map_index
    )
    return {row[0]: _task(row) for row in connection.execute(statement)}


def tasks_by_id(connection: sa.Connection, run_key: int, ids: Iterable[int]) -> dict[int, Task]:
    """These task instances of a run; what is gone is left out."""
    found: dict[int, Task] = {}
    for batch in _batches(ids):
        statement = _TASKS.where(task_instance.c.ti_id.in_(batch), task_instance.c.run_key == run_key)
        found.update((row[0], _task(row)) for row in connection.execute(statement))
    return found


def _task(row: Any) -> Task:
    ti_id, state, task_id, map_index, try_number, start_date, end_date, rendered, worker_id, next_at = row
    shown = wire_state(state)
    due = next_at if state in _WAITS else None
    return str(uuid_of(ti_id)), shown, task_id, map_index, try_number, start_date, end_date, rendered, worker_id, due


# ---------------------------------------------------------------- DAGs and counts


class DagState(msgspec.Struct, frozen=True, kw_only=True):
    """A DAG on the stream."""

    dag_id: str
    is_paused: bool
    has_import_errors: bool
    next_dagrun_run_after: datetime | None
    version_number: int
    revision: int


_DAGS = sa.select(
    dag.c.dag_id,
    dag.c.is_paused,
    dag.c.has_import_errors,
    dag.c.next_run_after,
    dag.c.version_number,
    dag.c.revision,
)


def all_dags(connection: sa.Connection, scope: Scope = None) -> dict[str, DagState]:
    """Every DAG that is in the DAG folder."""
    statement = _DAGS.where(dag.c.is_stale.is_(False), *_only(scope, dag.c.dag_id))
    return {row.dag_id: _dag(row) for row in connection.execute(statement)}


def one_dag(connection: sa.Connection, dag_id: str) -> DagState | None:
    """One DAG, whether its file is still there or not."""
    row = connection.execute(_DAGS.where(dag.c.dag_id == dag_id)).one_or_none()
    return None if row is None else _dag(row)


def _dag(row: Any) -> DagState:
    return DagState(
        dag_id=row.dag_id,
        is_paused=row.is_paused,
        has_import_errors=row.has_import_errors,
        next_dagrun_run_after=row.next_run_after,
        version_number=row.version_number,
        revision=row.revision,
    )


def counts(connection: sa.Connection, scope: Scope = None) -> dict[str, Any]:
    """What Home shows as numbers."""
    within = None if scope is None else DagScope(scope)
    paused = {
        bool(row.is_paused): row.found
        for row in connection.execute(
            sa.select(dag.c.is_paused, sa.func.count().label("found"))
            .where(dag.c.is_stale.is_(False), *_only(scope, dag.c.dag_id))
            .group_by(dag.c.is_paused)
        )
    }
    kept = {
        row.state: int(row.found)
        for row in connection.execute(
            sa.select(dag_stats.c.state, sa.func.sum(dag_stats.c.run_count).label("found"))
            .where(*_only(scope, dag_stats.c.dag_id))
            .group_by(dag_stats.c.state)
        )
    }
    working = {
        row.state: row
        for row in connection.execute(
            sa.select(worker.c.state, sa.func.count().label("found"), sa.func.sum(worker.c.slots).label("slots"))
            .where(worker.c.state.in_((WorkerState.ACTIVE, WorkerState.DRAINING)))
            .group_by(worker.c.state)
        )
    }
    return {
        "dags": {"total": sum(paused.values()), "active": paused.get(False, 0), "paused": paused.get(True, 0)},
        "import_errors": connection.execute(
            sa.select(sa.func.count()).select_from(import_error).where(*of_files(within))
        ).scalar_one(),
        "run_counts": {state.value: kept.get(state, 0) for state in DagRunState},
        "workers": {
            "active": working[WorkerState.ACTIVE].found if WorkerState.ACTIVE in working else 0,
            "draining": working[WorkerState.DRAINING].found if WorkerState.DRAINING in working else 0,
            "slots": sum(int(row.slots) for row in working.values()),
        },
    }


# ---------------------------------------------------------------- logs


def log_subject(connection: sa.Connection, ti_id: int) -> Any:
    """The task instance whose log is shown, with its run's names; None when there is none."""
    statement = (
        sa.select(
            task_instance.c.run_key,
            task_instance.c.task_id,
            task_instance.c.map_index,
            task_instance.c.try_number,
            task_instance.c.dispatch_no,
            task_instance.c.state,
            dag_run.c.dag_id,
            dag_run.c.run_id,
        )
        .join(dag_run, dag_run.c.run_key == task_instance.c.run_key)
        .where(task_instance.c.ti_id == ti_id)
    )
    return connection.execute(statement).one_or_none()


def log_size(connection: sa.Connection, ti_id: int, dispatch_no: int) -> int:
    """Bytes stored of a dispatch's log up to the first gap."""
    statement = (
        sa.select(log_chunk.c.offset, log_chunk.c.size)
        .where(log_chunk.c.ti_id == ti_id, log_chunk.c.dispatch_no == dispatch_no)
        .order_by(log_chunk.c.offset)
    )
    size = 0
    for start, length in connection.execute(statement):
        if start > size:
            break
        size = max(size, start + length)
    return size


def log_after(connection: sa.Connection, ti_id: int, dispatch_no: int, offset: int) -> list[tuple[int, bytes]]:
    """(offset, bytes) of the next stored pieces that go beyond `offset`."""
    statement = (
        sa.select(log_chunk.c.offset, log_chunk.c.encoding, log_chunk.c.data)
        .where(
            log_chunk.c.ti_id == ti_id,
            log_chunk.c.dispatch_no == dispatch_no,
            log_chunk.c.offset + log_chunk.c.size > offset,
        )
        .order_by(log_chunk.c.offset)
        .limit(LOG_PIECES)
    )
    return [(row.offset, unpacked(row.encoding, row.data)) for row in connection.execute(statement)]


def _batches(keys: Iterable[int]) -> Iterator[Collection[int]]:
    rest = iter(sorted(keys))
    while batch := list(islice(rest, BATCH)):
        yield batch
