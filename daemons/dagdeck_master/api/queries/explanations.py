"""The facts that an explanation judges, read from the database.

Decides which rows those are, all of one moment. Decides nothing about them: `dagdeck_core.scheduling.explain` does,
with the machine's own rules. Called by the explain routes and by Airflow's `…/dependencies`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec
import sqlalchemy as sa

from dagdeck_core.records import AskedRuns, DagRecord, PoolRecord, RunRecord, TaskRecord, WorkerRecord, WorkerState
from dagdeck_core.scheduling.explain import Facts, Gate, explain_run, explain_task
from dagdeck_core.states import DISPATCHED, DagRunState, TaskInstanceState
from dagdeck_core.wire import Effects
from dagdeck_io.db.tables import attention, dag, dag_run, dag_stats, pool, task_instance, worker
from dagdeck_master.api.errors import not_found
from dagdeck_master.api.queries.cluster import UNFINISHED_RUN, slots_in_use
from dagdeck_master.api.queries.runs import run_row
from dagdeck_master.api.queries.task_instances import task_instance_row
from dagdeck_master.api.specs import KnownVersion, SpecCache

_S = TaskInstanceState
_TASK_FIELDS = tuple(name for name in TaskRecord.__struct_fields__ if name != "effects")


def why_run(connection: sa.Connection, specs: SpecCache, dag_id: str, run_id: str, now: datetime) -> list[Gate]:
    """What keeps a run from starting or going on. Raises ApiProblem 404."""
    return explain_run(_facts(connection, specs, run_row(connection, dag_id, run_id), now))


def why_task(
    connection: sa.Connection,
    specs: SpecCache,
    dag_id: str,
    run_id: str,
    task_id: str,
    map_index: int,
    now: datetime,
) -> tuple[TaskInstanceState, list[Gate]]:
    """A task instance's state and what holds it there. Raises ApiProblem 404."""
    row = task_instance_row(connection, dag_id, run_id, task_id, map_index)
    facts = _facts(connection, specs, run_row(connection, dag_id, run_id), now)
    state: TaskInstanceState = row.state
    return state, explain_task(facts, row.ti_id, _since(row))


def _since(row: Any) -> datetime | None:
    """When a task instance came into its state, where the row knows."""
    if row.state is _S.QUEUED:
        return row.queued_at
    if row.state is _S.RESTARTING or row.revoke_to is not None:
        return row.updated_at
    return None


def _facts(connection: sa.Connection, specs: SpecCache, run: Any, now: datetime) -> Facts:
    known = specs.get(connection, run.version_id)
    if known is None:
        not_found("The DagVersion", dag_id=run.dag_id, run_id=run.run_id)
    dag_row = connection.execute(sa.select(dag).where(dag.c.dag_id == run.dag_id)).one_or_none()
    record = _run(run)
    return Facts(
        now=now,
        run=record,
        tasks=_tasks(connection, run.run_key),
        spec=known.spec,
        graph=known.graph(),
        dag=None if dag_row is None else _dag(dag_row),
        max_active_runs=known.spec.max_active_runs if dag_row is None else dag_row.max_active_runs,
        running_runs=_running_runs(connection, run.dag_id),
        pools=_pools(connection),
        workers=_workers(connection),
        queue_active=_dispatched(connection, task_instance.c.queue),
        task_active=_dispatched(connection, task_instance.c.task_id, run.dag_id),
        predecessor=_predecessor(connection, known, record),
    )


def _run(row: Any) -> RunRecord:
    fields = {name: getattr(row, name) for name in RunRecord.__struct_fields__}
    fields["conf"] = row.conf or {}
    fields["queued_at"] = row.queued_at or row.run_after
    fields["triggered_by"] = row.triggered_by or "timetable"
    return RunRecord(**fields)


def _dag(row: Any) -> DagRecord:
    fields = {name: getattr(row, name) for name in DagRecord.__struct_fields__ if name != "asked"}
    asked = None if row.asked_runs is None else msgspec.convert(row.asked_runs, AskedRuns)
    return DagRecord(**fields, asked=asked)


def _tasks(connection: sa.Connection, run_key: int) -> list[TaskRecord]:
    """Every task instance of a run."""
    columns = [task_instance.c[name] for name in (*_TASK_FIELDS, "effects")]
    statement = sa.select(*columns).where(task_instance.c.run_key == run_key).order_by(task_instance.c.ti_id)
    return [
        TaskRecord(
            **{name: getattr(row, name) for name in _TASK_FIELDS},
            effects=None if row.effects is None else msgspec.convert(row.effects, Effects),
        )
        for row in connection.execute(statement)
    ]


def _running_runs(connection: sa.Connection, dag_id: str) -> int:
    statement = sa.select(dag_stats.c.run_count).where(
        dag_stats.c.dag_id == dag_id, dag_stats.c.state == DagRunState.RUNNING
    )
    return int(connection.execute(statement).scalar_one_or_none() or 0)


def _pools(connection: sa.Connection) -> dict[str, tuple[PoolRecord, int]]:
    """Pools and the slots that are held in each."""
    used = slots_in_use(connection)
    found = {}
    for row in connection.execute(sa.select(pool)):
        states = used.get(row.name, Counter())
        held = sum(states[state] for state in DISPATCHED)
        held += states[_S.DEFERRED] if row.include_deferred else 0
        record = PoolRecord(name=row.name, slots=row.slots, include_deferred=row.include_deferred)
        found[row.name] = (record, held)
    return found


def _workers(connection: sa.Connection) -> list[WorkerRecord]:
    statement = sa.select(worker).where(worker.c.state.in_((WorkerState.ACTIVE, WorkerState.DRAINING)))
    names = [name for name in WorkerRecord.__struct_fields__ if name != "queues"]
    return [
        WorkerRecord(**{name: getattr(row, name) for name in names}, queues=tuple(row.queues))
        for row in connection.execute(statement.order_by(worker.c.worker_id))
    ]


def _dispatched(connection: sa.Connection, by: sa.ColumnElement[str], dag_id: str | None = None) -> dict[str, int]:
    """How many task instances are queued or running, by a column; of all DAGs or of one."""
    statement = (
        sa.select(by.label("name"), sa.func.count().label("tasks"))
        .select_from(attention)
        .join(task_instance, task_instance.c.run_key == attention.c.run_key)
        .where(attention.c.kind == UNFINISHED_RUN, task_instance.c.state.in_(sorted(DISPATCHED)))
        .group_by(by)
    )
    if dag_id is not None:
        statement = statement.join(dag_run, dag_run.c.run_key == attention.c.run_key).where(dag_run.c.dag_id == dag_id)
    return {row.name: row.tasks for row in connection.execute(statement)}


def _predecessor(
    connection: sa.Connection, known: KnownVersion, run: RunRecord
) -> tuple[RunRecord, Sequence[TaskRecord]] | None:
    """The run before by logical date, where a task of the DAG looks back."""
    if run.logical_date is None or not any(t.depends_on_past or t.wait_for_downstream for t in known.spec.tasks):
        return None
    row = connection.execute(
        sa.select(dag_run)
        .where(dag_run.c.dag_id == run.dag_id, dag_run.c.logical_date < run.logical_date)
        .order_by(dag_run.c.logical_date.desc())
        .limit(1)
    ).one_or_none()
    return None if row is None else (_run(row), _tasks(connection, row.run_key))
