"""Figures that the cluster's rows tell: what waits and runs, pools, workers, who is alive, what does not load.

Decides their queries. All of them read what is unfinished, or small tables; none counts history. Called by `metrics`.
"""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from dagdeck_core.actions import ActionState
from dagdeck_core.records import WorkerState
from dagdeck_core.states import TERMINAL, DagRunState, TaskInstanceState
from dagdeck_io.db.problems import problems_now
from dagdeck_io.db.tables import (
    action,
    attention,
    backfill,
    dag,
    dag_run,
    dag_stats,
    import_error,
    lease,
    pool,
    ready,
    task_instance,
    trigger,
    worker,
)
from dagdeck_io.db.task_writes import FAILED_TASK
from dagdeck_master.api.live import LiveCluster
from dagdeck_master.api.metrics.exposition import Exposition
from dagdeck_master.api.queries.cluster import UNFINISHED_RUN, database_now, served_queues

_S = TaskInstanceState
_WAITING = tuple(state for state in TaskInstanceState if state not in TERMINAL)
_SLOTS_OF = {_S.QUEUED: "queued", _S.RUNNING: "running", _S.RESTARTING: "running", _S.DEFERRED: "deferred"}
_HERE = (WorkerState.ACTIVE, WorkerState.DRAINING)


def add(out: Exposition, connection: sa.Connection) -> None:
    """All that stands in the database."""
    now = database_now(connection)
    unfinished = _unfinished(connection)
    _add_instances(out, unfinished)
    _add_runs(out, connection, now)
    _add_pools(out, connection, unfinished)
    _add_workers(out, connection, now, unfinished)
    _add_leases(out, connection, now)
    _add_dags(out, connection)
    _add_waiting(out, connection)
    told = [({"problem": each.name, "owner": each.owner}, 1) for each in problems_now(connection, now)]
    out.gauge("dagdeck_problems", "What a daemon cannot do until somebody helps, such as making room on a disk", told)


def _unfinished(connection: sa.Connection) -> list[Any]:
    """Task instances of unfinished runs by state, pool and worker."""
    columns = (task_instance.c.state, task_instance.c.pool, task_instance.c.worker_id)
    statement = (
        sa.select(*columns, sa.func.count().label("number"), sa.func.sum(task_instance.c.pool_slots).label("slots"))
        .select_from(attention)
        .join(task_instance, task_instance.c.run_key == attention.c.run_key)
        .where(attention.c.kind == UNFINISHED_RUN, task_instance.c.state.in_(_WAITING))
        .group_by(*columns)
    )
    return list(connection.execute(statement))


def _add_instances(out: Exposition, unfinished: list[Any]) -> None:
    by_state = Counter(dict.fromkeys(_WAITING, 0))
    for row in unfinished:
        by_state[row.state] += row.number
    out.gauge(
        "dagdeck_task_instances",
        "Task instances of unfinished runs that have not ended, by state",
        [({"state": state.value}, number) for state, number in by_state.items()],
    )


def _add_runs(out: Exposition, connection: sa.Connection, now: datetime) -> None:
    states = (DagRunState.QUEUED, DagRunState.RUNNING)
    counted = connection.execute(
        sa.select(dag_stats.c.state, sa.func.sum(dag_stats.c.run_count).label("number"))
        .where(dag_stats.c.state.in_(states))
        .group_by(dag_stats.c.state)
    )
    found = {row.state: int(row.number) for row in counted}
    out.gauge(
        "dagdeck_dag_runs",
        "Unfinished dag runs by state",
        [({"state": state.value}, found.get(state, 0)) for state in states],
    )
    oldest = connection.execute(
        sa.select(sa.func.min(dag_run.c.queued_at))
        .select_from(attention)
        .join(dag_run, dag_run.c.run_key == attention.c.run_key)
        .where(attention.c.kind == UNFINISHED_RUN, dag_run.c.state == DagRunState.QUEUED)
    ).scalar()
    age = 0.0 if oldest is None else max((now - oldest).total_seconds(), 0.0)
    out.gauge("dagdeck_dag_run_oldest_queued_seconds", "How long the oldest queued dag run has waited", age)


def _add_pools(out: Exposition, connection: sa.Connection, unfinished: list[Any]) -> None:
    pools = connection.execute(sa.select(pool.c.name, pool.c.slots).order_by(pool.c.name)).all()
    used = Counter[tuple[str, str]]()
    for row in unfinished:
        kind = _SLOTS_OF.get(row.state) or ("scheduled" if row.state is _S.SCHEDULED else None)
        if kind is not None:
            used[(row.pool, kind)] += int(row.slots)
    out.gauge(
        "dagdeck_pool_slots",
        "Slots of each pool; -1: without limit",
        [({"pool": each.name}, each.slots) for each in pools],
    )
    out.gauge(
        "dagdeck_pool_slots_used",
        "Slots that task instances hold (queued, running) or would hold (deferred, scheduled), by pool and state",
        [
            ({"pool": each.name, "state": kind}, used[(each.name, kind)])
            for each in pools
            for kind in ("running", "queued", "deferred", "scheduled")
        ],
    )


def _add_workers(out: Exposition, connection: sa.Connection, now: datetime, unfinished: list[Any]) -> None:
    counted = connection.execute(
        sa.select(worker.c.state, sa.func.count().label("number"))
        .where(worker.c.state.in_(_HERE))
        .group_by(worker.c.state)
    )
    found = {row.state: row.number for row in counted}
    out.gauge(
        "dagdeck_workers", "Workers that are there, by state", [({"state": s.value}, found.get(s, 0)) for s in _HERE]
    )
    rows = connection.execute(sa.select(worker).where(worker.c.state.in_(_HERE)).order_by(worker.c.worker_id)).all()
    labelled = [({"worker": row.name, "hostname": row.hostname}, row) for row in rows]
    running = Counter[int]()
    for each in unfinished:
        if each.worker_id is not None and each.state in (_S.RUNNING, _S.RESTARTING):
            running[each.worker_id] += each.number
    out.gauge("dagdeck_worker_slots", "Slots of each worker", [(labels, row.slots) for labels, row in labelled])
    out.gauge(
        "dagdeck_worker_running_tasks",
        "Task instances that run on each worker",
        [(labels, running[row.worker_id]) for labels, row in labelled],
    )
    out.gauge(
        "dagdeck_worker_heartbeat_age_seconds",
        "Since each worker last renewed its lease",
        [(labels, max((now - row.last_seen_at).total_seconds(), 0.0)) for labels, row in labelled],
    )
    out.gauge(
        "dagdeck_worker_info",
        "Version and state of each worker",
        [({**labels, "version": row.version, "state": row.state.value}, 1) for labels, row in labelled],
    )


def _add_leases(out: Exposition, connection: sa.Connection, now: datetime) -> None:
    rows = {row.name: row for row in connection.execute(sa.select(lease).where(lease.c.shard == 0))}
    samples = []
    for name in ("scheduler", "dag_processor"):
        row = rows.get(name)
        led = row is not None and row.owner is not None and row.renewed_at is not None
        samples.append(({"component": name}, (now - row.renewed_at).total_seconds() if row and led else None))
    out.gauge(
        "dagdeck_heartbeat_age_seconds",
        "Since the leading scheduler or DAG processor renewed its lease; absent while nobody leads",
        [(labels, None if age is None else max(age, 0.0)) for labels, age in samples],
    )
    out.gauge("dagdeck_leader", "Whether somebody leads", [(labels, int(age is not None)) for labels, age in samples])


def _add_dags(out: Exposition, connection: sa.Connection) -> None:
    counted = connection.execute(
        sa.select(dag.c.is_paused, sa.func.count().label("number"))
        .where(dag.c.is_stale.is_(False))
        .group_by(dag.c.is_paused)
    )
    found = {bool(row.is_paused): row.number for row in counted}
    out.gauge(
        "dagdeck_dags",
        "DAGs, by whether they are paused",
        [({"paused": str(paused).lower()}, found.get(paused, 0)) for paused in (False, True)],
    )
    out.gauge("dagdeck_import_errors", "DAG files that do not load", _count(connection, import_error))
    slowest = connection.execute(sa.select(sa.func.max(dag.c.last_parse_duration)).where(dag.c.is_stale.is_(False)))
    out.gauge("dagdeck_dag_file_slowest_parse_seconds", "The slowest DAG file's last parse", slowest.scalar() or 0.0)


def _add_waiting(out: Exposition, connection: sa.Connection) -> None:
    """Triggers, and what waits for the scheduler or for workers without a queue."""
    held = connection.execute(
        sa.select(trigger.c.triggerer_id.is_not(None).label("held"), sa.func.count().label("number")).group_by("held")
    )
    found = {bool(row.held): row.number for row in held}
    out.gauge(
        "dagdeck_triggers",
        "Triggers of deferred tasks and watchers, by whether a worker runs them",
        [({"state": name}, found.get(is_held, 0)) for is_held, name in ((True, "running"), (False, "waiting"))],
    )
    pending = sa.select(sa.func.count()).select_from(action).where(action.c.state == ActionState.PENDING)
    out.gauge(
        "dagdeck_actions_pending",
        "People's actions that the scheduler has not done",
        connection.execute(pending).scalar_one(),
    )
    out.gauge(
        "dagdeck_ready_offers", "Work offered in the database because the queue is down", _count(connection, ready)
    )
    failures = sa.select(sa.func.count()).select_from(attention).where(attention.c.kind == FAILED_TASK)
    out.gauge(
        "dagdeck_open_failures",
        "Failed task instances that nobody has cleared, marked or removed",
        connection.execute(failures).scalar_one(),
    )
    open_backfills = sa.select(sa.func.count()).select_from(backfill).where(backfill.c.completed_at.is_(None))
    out.gauge("dagdeck_backfills", "Backfills that are not complete", connection.execute(open_backfills).scalar_one())


def _count(connection: sa.Connection, table: sa.Table) -> int:
    return int(connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one())


def add_queues(out: Exposition, connection: sa.Connection, live: LiveCluster) -> None:
    """How many hints wait in each queue that a worker serves, as far as the queue answers."""
    depths = [({"queue": name}, live.depth(name)) for name in sorted(served_queues(connection))]
    out.gauge("dagdeck_queue_hints", "Hints of queued work that no worker has taken, by queue", depths)
    is_up = not depths or any(depth is not None for _, depth in depths)
    out.gauge("dagdeck_queue_up", "Whether the message queue answers this control API", int(is_up))
