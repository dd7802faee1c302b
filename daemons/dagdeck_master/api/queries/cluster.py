"""What the cluster is made of: pools with their slots, workers, queues, health.

Decides their SQL. Slots in use are counted over the task instances of unfinished runs, which the attention table
lists; no index by state exists or is needed. Called by the routes of pools, workers and health.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa

from dagdeck_core.records import WorkerState
from dagdeck_core.states import TaskInstanceState
from dagdeck_core.wire import WorkerSample
from dagdeck_io.db.tables import attention, lease, pool, task_instance, worker
from dagdeck_master.api.errors import not_found
from dagdeck_master.api.filters import NamedFilters, pattern_conditions
from dagdeck_master.api.models.admin import (
    BaseInfoResponse,
    DagProcessorInfoResponse,
    HealthInfoResponse,
    PoolCollectionResponse,
    PoolResponse,
    SchedulerInfoResponse,
    TriggererInfoResponse,
)
from dagdeck_master.api.models.own import WorkerResponse
from dagdeck_master.api.paging import fetch_page, sorting

_S = TaskInstanceState
HEALTHY_FOR = timedelta(seconds=30)
"""A component whose lease was renewed within this time counts as healthy."""
UNFINISHED_RUN = "unfinished_run"

# ---------------------------------------------------------------- pools


def list_pools(connection: sa.Connection, filters: NamedFilters, cap: int) -> PoolCollectionResponse:
    """One page of pools."""
    statement = sa.select(pool).where(*pattern_conditions(filters, {"pool_name": pool.c.name}))
    orders = {"id": pool.c.name, "name": pool.c.name, "pool": pool.c.name, "slots": pool.c.slots}
    order = sorting(filters.order_by, orders, {"name": pool.c.name}, ["name"])
    page = fetch_page(connection, statement, order, filters.page(cap))
    used = slots_in_use(connection)
    return PoolCollectionResponse(
        pools=[_pool(row, used.get(row.name, Counter())) for row in page.rows], total_entries=page.total or 0
    )


def get_pool(connection: sa.Connection, name: str) -> PoolResponse:
    """One pool. Raises ApiProblem 404."""
    row = pool_row(connection, name)
    return _pool(row, slots_in_use(connection, name).get(name, Counter()))


def pool_row(connection: sa.Connection, name: str) -> Any:
    """The plain row of a pool. Raises ApiProblem 404."""
    row = connection.execute(sa.select(pool).where(pool.c.name == name)).one_or_none()
    if row is None:
        not_found("The Pool", name=name)
    return row


def slots_in_use(connection: sa.Connection, name: str | None = None) -> Mapping[str, Counter[TaskInstanceState]]:
    """Pool → state → slots, for the states in which a task instance waits for or holds slots."""
    states = (_S.SCHEDULED, _S.QUEUED, _S.RUNNING, _S.RESTARTING, _S.DEFERRED)
    statement = (
        sa.select(task_instance.c.pool, task_instance.c.state, sa.func.sum(task_instance.c.pool_slots).label("slots"))
        .select_from(attention)
        .join(task_instance, task_instance.c.run_key == attention.c.run_key)
        .where(attention.c.kind == UNFINISHED_RUN, task_instance.c.state.in_(states))
        .group_by(task_instance.c.pool, task_instance.c.state)
    )
    if name is not None:
        statement = statement.where(task_instance.c.pool == name)
    found: defaultdict[str, Counter[TaskInstanceState]] = defaultdict(Counter)
    for row in connection.execute(statement):
        found[row.pool][row.state] = int(row.slots)
    return found


def _pool(row: Any, used: Counter[TaskInstanceState]) -> PoolResponse:
    running = used[_S.RUNNING] + used[_S.RESTARTING]
    occupied = running + used[_S.QUEUED] + (used[_S.DEFERRED] if row.include_deferred else 0)
    return PoolResponse(
        name=row.name,
        slots=row.slots,
        description=row.description,
        include_deferred=row.include_deferred,
        occupied_slots=occupied,
        running_slots=running,
        queued_slots=used[_S.QUEUED],
        scheduled_slots=used[_S.SCHEDULED],
        open_slots=-1 if row.slots < 0 else row.slots - occupied,
        deferred_slots=used[_S.DEFERRED],
        team_name=None,
    )


# ---------------------------------------------------------------- workers


def list_workers(
    connection: sa.Connection, samples: Mapping[int, WorkerSample], *, include_gone: bool, limit: int
) -> list[WorkerResponse]:
    """Workers, newest first; those that stopped or were lost only on request."""
    statement = sa.select(worker).order_by(worker.c.worker_id.desc()).limit(limit)
    if not include_gone:
        statement = statement.where(worker.c.state.in_((WorkerState.ACTIVE, WorkerState.DRAINING)))
    running = _running_by_worker(connection)
    return [_worker(row, running[row.worker_id], samples.get(row.worker_id)) for row in connection.execute(statement)]


def get_worker(connection: sa.Connection, worker_id: int, samples: Mapping[int, WorkerSample]) -> WorkerResponse:
    """One incarnation of a worker. Raises ApiProblem 404."""
    row = connection.execute(sa.select(worker).where(worker.c.worker_id == worker_id)).one_or_none()
    if row is None:
        not_found("The Worker", worker_id=worker_id)
    return _worker(row, _running_by_worker(connection)[worker_id], samples.get(worker_id))


def workers_by_id(
    connection: sa.Connection, ids: Sequence[int], samples: Mapping[int, WorkerSample]
) -> list[WorkerResponse]:
    """These incarnations, whatever became of them; they run nothing any more as far as this listing is concerned."""
    if not ids:
        return []
    statement = sa.select(worker).where(worker.c.worker_id.in_(ids)).order_by(worker.c.worker_id.desc())
    return [_worker(row, 0, samples.get(row.worker_id)) for row in connection.execute(statement)]


def _running_by_worker(connection: sa.Connection) -> Counter[int]:
    """How many task instances run on each worker."""
    statement = (
        sa.select(task_instance.c.worker_id, sa.func.count().label("tasks"))
        .select_from(attention)
        .join(task_instance, task_instance.c.run_key == attention.c.run_key)
        .where(
            attention.c.kind == UNFINISHED_RUN,
            task_instance.c.state.in_((_S.RUNNING, _S.RESTARTING)),
            task_instance.c.worker_id.is_not(None),
        )
        .group_by(task_instance.c.worker_id)
    )
    return Counter({row.worker_id: row.tasks for row in connection.execute(statement)})


def _worker(row: Any, running: int, sample: WorkerSample | None) -> WorkerResponse:
    return WorkerResponse(
        worker_id=row.worker_id,
        name=row.name,
        hostname=row.hostname,
        state=row.state,
        slots=row.slots,
        running=running,
        queues=list(row.queues),
        version=row.version,
        pid=row.pid,
        started_at=row.started_at,
        last_seen_at=row.last_seen_at,
        ended_at=row.ended_at,
        reason=row.reason,
        sampled_at=None if sample is None else sample.at,
        cpu=None if sample is None else sample.cpu,
        memory_used=None if sample is None else sample.memory_used,
        memory_total=None if sample is None else sample.memory_total,
        load1=None if sample is None else sample.load1,
        net_received=None if sample is None else sample.net_received,
        net_sent=None if sample is None else sample.net_sent,
        trigger_capacity=row.trigger_capacity,
        triggers=None if sample is None else sample.triggers,
    )


def served_queues(connection: sa.Connection) -> Counter[str]:
    """Queue → how many active workers serve it."""
    statement = sa.select(worker.c.queues).where(worker.c.state == WorkerState.ACTIVE)
    return Counter(name for queues in connection.execute(statement).scalars() for name in queues)


# ---------------------------------------------------------------- health


def health(connection: sa.Connection) -> HealthInfoResponse:
    """Health of the components, by their leases and the database's own clock."""
    now = database_now(connection)
    renewed: dict[str, datetime | None] = {
        row.name: row.renewed_at if row.owner is not None else None
        for row in connection.execute(sa.select(lease).where(lease.c.shard == 0))
    }
    newest = sa.select(sa.func.max(worker.c.last_seen_at)).where(
        worker.c.trigger_capacity > 0, worker.c.state != WorkerState.STOPPED
    )
    triggerer: datetime | None = connection.execute(newest).scalar()
    return HealthInfoResponse(
        metadatabase=BaseInfoResponse(status="healthy"),
        scheduler=SchedulerInfoResponse(
            status=_status(renewed.get("scheduler"), now), latest_scheduler_heartbeat=_text(renewed.get("scheduler"))
        ),
        triggerer=TriggererInfoResponse(
            status=None if triggerer is None else _status(triggerer, now), latest_triggerer_heartbeat=_text(triggerer)
        ),
        dag_processor=DagProcessorInfoResponse(
            status=_status(renewed.get("dag_processor"), now),
            latest_dag_processor_heartbeat=_text(renewed.get("dag_processor")),
        ),
    )


def unreachable_health() -> HealthInfoResponse:
    """Health when the database does not answer: of the others nothing is known."""
    return HealthInfoResponse(
        metadatabase=BaseInfoResponse(status="unhealthy"),
        scheduler=SchedulerInfoResponse(status=None, latest_scheduler_heartbeat=None),
        triggerer=TriggererInfoResponse(status=None, latest_triggerer_heartbeat=None),
        dag_processor=None,
    )


def living_workers(connection: sa.Connection) -> int:
    """How many workers take work and renewed their lease a moment ago."""
    since = database_now(connection) - HEALTHY_FOR
    statement = (
        sa.select(sa.func.count())
        .select_from(worker)
        .where(worker.c.state == WorkerState.ACTIVE, worker.c.last_seen_at >= since)
    )
    return int(connection.execute(statement).scalar_one())


def database_now(connection: sa.Connection) -> datetime:
    """The database's own time, by which leases are stamped."""
    if connection.dialect.name == "sqlite":
        return datetime.now(UTC)
    value: datetime = connection.exec_driver_sql("SELECT UTC_TIMESTAMP(6)").scalar_one()
    return value.replace(tzinfo=UTC)


def _status(renewed_at: datetime | None, now: datetime) -> str:
    return "healthy" if renewed_at is not None and now - renewed_at <= HEALTHY_FOR else "unhealthy"


def _text(instant: datetime | None) -> str | None:
    return None if instant is None else instant.isoformat()
