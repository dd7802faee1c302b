"""Listings and look-ups of task instances and their tries.

Decides their SQL and how rows become answers. A listing of one run goes by the run's key; nothing here searches by
state alone without a run or a time range. Called by the task instance routes and by selection.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import sqlalchemy as sa

from dagdeck_core.records import WorkerState
from dagdeck_core.states import TaskInstanceState
from dagdeck_io.db.tables import (
    dag,
    dag_run,
    dag_version,
    rendered_fields,
    task_instance,
    task_instance_history,
    trigger,
    worker,
)
from dagdeck_master.api.bodies import TaskInstancesBatchBody
from dagdeck_master.api.dag_scope import DagScope, only
from dagdeck_master.api.errors import ApiProblem, not_found
from dagdeck_master.api.filters import (
    TaskInstanceFilters,
    equality_conditions,
    membership_conditions,
    pattern_conditions,
    range_conditions,
)
from dagdeck_master.api.identity import uuid_of
from dagdeck_master.api.models.runs import (
    JobResponse,
    TaskInstanceCollectionResponse,
    TaskInstanceHistoryCollectionResponse,
    TaskInstanceHistoryResponse,
    TaskInstanceResponse,
    TriggerResponse,
)
from dagdeck_master.api.paging import Page, PageRequest, Sorting, fetch_page, sorting
from dagdeck_master.api.queries.elapsed import seconds_elapsed
from dagdeck_master.api.queries.runs import ANY, run_row
from dagdeck_master.api.queries.versions import display_name, embedded_version, require_dag, version_columns
from dagdeck_master.api.reply import seconds_between, wire_state
from dagdeck_master.api.specs import SpecCache

_operator_name = sa.func.coalesce(task_instance.c.custom_operator_name, task_instance.c.operator)
_task_shown = sa.func.coalesce(task_instance.c.task_display_name, task_instance.c.task_id)
_duration = seconds_elapsed(task_instance.c.start_date, task_instance.c.end_date)

_RANGES = {
    "run_after": dag_run.c.run_after,
    "logical_date": dag_run.c.logical_date,
    "start_date": task_instance.c.start_date,
    "end_date": task_instance.c.end_date,
    "updated_at": task_instance.c.updated_at,
    "duration": _duration,
}
_PATTERNS = {
    "task_display_name": _task_shown,
    "dag_id": dag_run.c.dag_id,
    "run_id": dag_run.c.run_id,
    "pool_name": task_instance.c.pool,
    "queue_name": task_instance.c.queue,
    "operator_name": _operator_name,
    "rendered_map_index": task_instance.c.rendered_map_index,
}
_MEMBERSHIPS = {
    "state": task_instance.c.state,
    "pool": task_instance.c.pool,
    "queue": task_instance.c.queue,
    "executor": task_instance.c.executor,
    "version_number": dag_version.c.version_number,
    "try_number": task_instance.c.try_number,
    "operator": task_instance.c.operator,
    "map_index": task_instance.c.map_index,
}
_ORDERS: dict[str, sa.ColumnElement[Any]] = {
    "id": task_instance.c.ti_id,
    "state": task_instance.c.state,
    "duration": _duration,
    "start_date": task_instance.c.start_date,
    "end_date": task_instance.c.end_date,
    "map_index": task_instance.c.map_index,
    "try_number": task_instance.c.try_number,
    "logical_date": dag_run.c.logical_date,
    "run_after": dag_run.c.run_after,
    "data_interval_start": dag_run.c.data_interval_start,
    "data_interval_end": dag_run.c.data_interval_end,
    "rendered_map_index": task_instance.c.rendered_map_index,
    "operator": task_instance.c.operator,
    "task_id": task_instance.c.task_id,
}

_COLUMNS = [
    column
    for column in task_instance.c
    if column.name not in ("effects", "context_carrier", "next_kwargs", "next_method", "error")
]
_FROM = (
    sa.join(task_instance, dag_run, dag_run.c.run_key == task_instance.c.run_key)
    .outerjoin(dag, dag.c.dag_id == dag_run.c.dag_id)
    .outerjoin(dag_version, dag_version.c.version_id == task_instance.c.version_id)
    .outerjoin(rendered_fields, rendered_fields.c.ti_id == task_instance.c.ti_id)
    .outerjoin(trigger, trigger.c.ti_id == task_instance.c.ti_id)
    .outerjoin(worker, worker.c.worker_id == trigger.c.triggerer_id)
)
_SELECT = sa.select(
    *_COLUMNS,
    dag_run.c.dag_id,
    dag_run.c.run_id,
    dag_run.c.logical_date,
    dag_run.c.run_after,
    display_name.label("shown"),
    rendered_fields.c.fields,
    trigger.c.trigger_id.label("t_trigger_id"),
    trigger.c.triggerer_id.label("t_triggerer_id"),
    trigger.c.classpath.label("t_classpath"),
    trigger.c.queue.label("t_queue"),
    trigger.c.created_at.label("t_created_at"),
    worker.c.state.label("w_state"),
    worker.c.started_at.label("w_started_at"),
    worker.c.ended_at.label("w_ended_at"),
    worker.c.last_seen_at.label("w_last_seen_at"),
    worker.c.hostname.label("w_hostname"),
    worker.c.unixname.label("w_unixname"),
    *version_columns,
).select_from(_FROM)


def _order(order_by: Sequence[str]) -> Sorting:
    return sorting(order_by, _ORDERS, {"id": task_instance.c.ti_id}, ["map_index"])


def list_task_instances(
    connection: sa.Connection,
    specs: SpecCache,
    dag_id: str,
    run_id: str,
    filters: TaskInstanceFilters,
    cap: int,
    scope: DagScope | None,
    only_task: str | None = None,
) -> TaskInstanceCollectionResponse:
    """One page of the task instances of a run, or with `~` of a DAG's runs or of all.

    `only_task` restricts it to the mapped instances of one task. Raises ApiProblem 404.
    """
    conditions = [*_scope(connection, dag_id, run_id), *_conditions(filters), *only(scope, dag_run.c.dag_id)]
    if filters.task_group_id is not None:
        conditions.append(task_instance.c.task_id.in_(_group_tasks(connection, specs, dag_id, filters.task_group_id)))
    if only_task is not None:
        conditions += [task_instance.c.task_id == only_task, task_instance.c.map_index >= 0]
    page = fetch_page(connection, _SELECT.where(*conditions), _order(filters.order_by), filters.page(cap))
    if only_task is not None and not page.rows and filters.offset == 0:
        _require_task(connection, specs, dag_id, only_task)
    return _collection(connection, specs, page)


def _scope(connection: sa.Connection, dag_id: str, run_id: str) -> Iterable[sa.ColumnElement[bool]]:
    """Conditions for the DAG and run named in a path, where `~` means any."""
    if dag_id != ANY and run_id != ANY:
        yield task_instance.c.run_key == run_row(connection, dag_id, run_id).run_key
    elif dag_id != ANY:
        require_dag(connection, dag_id)
        yield dag_run.c.dag_id == dag_id
    elif run_id != ANY:
        yield dag_run.c.run_id == run_id


def _conditions(filters: TaskInstanceFilters) -> Iterable[sa.ColumnElement[bool]]:
    yield from range_conditions(filters, _RANGES)
    yield from pattern_conditions(filters, _PATTERNS)
    yield from membership_conditions(filters, _MEMBERSHIPS)
    yield from equality_conditions(filters, {"task_id": task_instance.c.task_id})


def _newest(connection: sa.Connection, specs: SpecCache, dag_id: str) -> Any:
    version_id = connection.execute(sa.select(dag.c.version_id).where(dag.c.dag_id == dag_id)).scalar_one_or_none()
    return None if version_id is None else specs.get(connection, version_id)


def _group_tasks(connection: sa.Connection, specs: SpecCache, dag_id: str, group_id: str) -> list[str]:
    """Ids of the tasks of a group in a DAG's newest version. Raises ApiProblem 400 or 404."""
    if dag_id == ANY:
        raise ApiProblem(400, "task_group_id needs a dag_id: groups of the same name in several DAGs are not one group")
    known = _newest(connection, specs, dag_id)
    tasks: list[str] = [] if known is None else known.tasks_of_group(group_id)
    if not tasks:
        not_found("The task group", task_group_id=group_id, dag_id=dag_id)
    return tasks


def _require_task(connection: sa.Connection, specs: SpecCache, dag_id: str, task_id: str) -> None:
    known = None if dag_id == ANY else _newest(connection, specs, dag_id)
    if known is not None and task_id not in known.tasks:
        not_found("The Task", task_id=task_id)


def list_task_instances_batch(
    connection: sa.Connection, specs: SpecCache, body: TaskInstancesBatchBody, cap: int, scope: DagScope | None
) -> TaskInstanceCollectionResponse:
    """One page of the task instances that a batch body asks for."""
    conditions = [*only(scope, dag_run.c.dag_id), *range_conditions(body, _RANGES)]
    for names, column in (
        (body.dag_ids, dag_run.c.dag_id),
        (body.dag_run_ids, dag_run.c.run_id),
        (body.task_ids, task_instance.c.task_id),
        (body.pool, task_instance.c.pool),
        (body.queue, task_instance.c.queue),
        (body.executor, task_instance.c.executor),
    ):
        if names is not None:
            conditions.append(column.in_(names))
    if body.state is not None:
        conditions.append(task_instance.c.state.in_([state or TaskInstanceState.NONE for state in body.state]))
    request = PageRequest(limit=min(body.page_limit, cap), offset=body.page_offset)
    order = _order([body.order_by] if body.order_by else [])
    return _collection(connection, specs, fetch_page(connection, _SELECT.where(*conditions), order, request))


def task_instances_by_id(
    connection: sa.Connection, specs: SpecCache, ids: Sequence[int]
) -> TaskInstanceCollectionResponse:
    """These task instances in the given order; those that are gone are left out."""
    found: dict[int, Any] = {}
    for start in range(0, len(ids), 500):
        statement = _SELECT.where(task_instance.c.ti_id.in_(ids[start : start + 500]))
        found.update((row.ti_id, row) for row in connection.execute(statement))
    rows = [found[each] for each in ids if each in found]
    return _collection(connection, specs, Page(rows=rows, total=len(rows)))


def get_task_instance(
    connection: sa.Connection, specs: SpecCache, dag_id: str, run_id: str, task_id: str, map_index: int = -1
) -> TaskInstanceResponse:
    """One task instance. Raises ApiProblem 404; of a mapped task it asks for the map index."""
    row = _find(connection, _SELECT, dag_id, run_id, task_id, map_index)
    return _collection(connection, specs, Page(rows=[row], total=1)).task_instances[0]


def task_instance_row(connection: sa.Connection, dag_id: str, run_id: str, task_id: str, map_index: int = -1) -> Any:
    """The plain row of a task instance with its run's. Raises ApiProblem 404."""
    statement = sa.select(
        task_instance, dag_run.c.dag_id, dag_run.c.run_id, dag_run.c.logical_date, dag_run.c.run_after
    ).join(dag_run, dag_run.c.run_key == task_instance.c.run_key)
    return _find(connection, statement, dag_id, run_id, task_id, map_index)


def _find(
    connection: sa.Connection, statement: sa.Select[Any], dag_id: str, run_id: str, task_id: str, map_index: int
) -> Any:
    found = connection.execute(
        statement.where(
            dag_run.c.dag_id == dag_id,
            dag_run.c.run_id == run_id,
            task_instance.c.task_id == task_id,
            task_instance.c.map_index == map_index,
        )
    ).one_or_none()
    if found is not None:
        return found
    if map_index == -1:
        run_key = run_row(connection, dag_id, run_id).run_key
        mapped = sa.select(task_instance.c.ti_id).where(
            task_instance.c.run_key == run_key, task_instance.c.task_id == task_id
        )
        if connection.execute(mapped.limit(1)).one_or_none() is not None:
            raise ApiProblem(404, "Task instance is mapped, add the map_index value to the URL")
        not_found("The Task Instance", dag_id=dag_id, run_id=run_id, task_id=task_id)
    not_found("The Mapped Task Instance", dag_id=dag_id, run_id=run_id, task_id=task_id, map_index=map_index)


def _collection(connection: sa.Connection, specs: SpecCache, page: Page) -> TaskInstanceCollectionResponse:
    versions = specs.get_all(connection, (row.version_id for row in page.rows))
    answers = []
    for row in page.rows:
        known = versions.get(row.version_id)
        task = None if known is None else known.tasks.get(row.task_id)
        answers.append(_task_instance(row, "{}" if task is None else str(task.executor_config)))
    return TaskInstanceCollectionResponse(
        task_instances=answers,
        total_entries=page.total,
        total_entries_limit=page.total_limit,
        next_cursor=page.next_cursor,
        previous_cursor=page.previous_cursor,
    )


def _common_fields(row: Any, executor_config: str) -> dict[str, Any]:
    """Fields that a task instance and a try of it share."""
    shown = row.shown or row.dag_id
    return {
        "task_id": row.task_id,
        "dag_id": row.dag_id,
        "dag_run_id": row.run_id,
        "map_index": row.map_index,
        "start_date": row.start_date,
        "end_date": row.end_date,
        "duration": seconds_between(row.start_date, row.end_date),
        "state": wire_state(row.state),
        "try_number": row.try_number,
        "max_tries": row.max_tries,
        "task_display_name": row.task_display_name or row.task_id,
        "dag_display_name": shown,
        "hostname": row.hostname,
        "unixname": row.unixname,
        "pool": row.pool,
        "pool_slots": row.pool_slots,
        "queue": row.queue,
        "priority_weight": row.priority_weight,
        "operator": row.operator,
        "operator_name": row.custom_operator_name or row.operator,
        "queued_when": row.queued_at,
        "scheduled_when": row.scheduled_at,
        "pid": row.pid,
        "executor": row.executor,
        "executor_config": executor_config,
        "dag_version": embedded_version(row, row.dag_id, shown),
    }


def _task_instance(row: Any, executor_config: str) -> TaskInstanceResponse:
    return TaskInstanceResponse(
        id=uuid_of(row.ti_id),
        logical_date=row.logical_date,
        run_after=row.run_after,
        note=row.note,
        rendered_map_index=row.rendered_map_index,
        rendered_fields=row.fields or {},
        trigger=_trigger(row),
        triggerer_job=_triggerer(row),
        **_common_fields(row, executor_config),
    )


def _trigger(row: Any) -> TriggerResponse | None:
    """What a deferred task instance waits for. Its arguments may hold secrets and are not shown."""
    if row.t_trigger_id is None:
        return None
    return TriggerResponse(
        id=row.t_trigger_id,
        classpath=row.t_classpath,
        kwargs="{}",
        created_date=row.t_created_at,
        queue=row.t_queue,
        triggerer_id=row.t_triggerer_id,
    )


def _triggerer(row: Any) -> JobResponse | None:
    """The worker whose triggerer runs what a deferred task instance waits for."""
    if row.w_started_at is None:
        return None
    return JobResponse(
        id=row.t_triggerer_id,
        dag_id=None,
        state="running" if row.w_state in (WorkerState.ACTIVE, WorkerState.DRAINING) else str(row.w_state),
        job_type="TriggererJob",
        start_date=row.w_started_at,
        end_date=row.w_ended_at,
        latest_heartbeat=row.w_last_seen_at,
        executor_class=None,
        hostname=row.w_hostname,
        unixname=row.w_unixname,
        dag_display_name=None,
    )


# ---------------------------------------------------------------- tries

_history = task_instance_history
_HISTORY = (
    sa.select(
        _history,
        task_instance.c.task_id,
        task_instance.c.map_index,
        task_instance.c.task_display_name,
        task_instance.c.pool,
        task_instance.c.pool_slots,
        task_instance.c.operator,
        task_instance.c.custom_operator_name,
        task_instance.c.executor,
        dag_run.c.dag_id,
        dag_run.c.run_id,
        display_name.label("shown"),
        *version_columns,
    )
    .select_from(_history)
    .join(task_instance, task_instance.c.ti_id == _history.c.ti_id)
    .join(dag_run, dag_run.c.run_key == _history.c.run_key)
    .outerjoin(dag, dag.c.dag_id == dag_run.c.dag_id)
    .outerjoin(dag_version, dag_version.c.version_id == _history.c.version_id)
)


def list_tries(
    connection: sa.Connection, specs: SpecCache, dag_id: str, run_id: str, task_id: str, map_index: int
) -> TaskInstanceHistoryCollectionResponse:
    """All tries of a task instance, oldest first, the one under way included. Raises ApiProblem 404.

    A try may have had several dispatches (its worker was lost, a sensor was rescheduled): it is shown as the
    last of them.
    """
    ti_id = task_instance_row(connection, dag_id, run_id, task_id, map_index).ti_id
    tries: dict[int, Any] = {}
    for row in connection.execute(_HISTORY.where(_history.c.ti_id == ti_id).order_by(_history.c.dispatch_no)):
        tries[row.try_number] = row
    now = connection.execute(_SELECT.where(task_instance.c.ti_id == ti_id)).one()
    if now.try_number > 0 and (now.state is not TaskInstanceState.NONE or now.try_number not in tries):
        last = tries.get(now.try_number)
        if last is None or last.dispatch_no <= now.dispatch_no:
            tries[now.try_number] = now
    versions = specs.get_all(connection, (row.version_id for row in tries.values()))
    answers = []
    for number in sorted(tries):
        row = tries[number]
        known = versions.get(row.version_id)
        task = None if known is None else known.tasks.get(row.task_id)
        answers.append(
            TaskInstanceHistoryResponse(**_common_fields(row, "{}" if task is None else str(task.executor_config)))
        )
    return TaskInstanceHistoryCollectionResponse(task_instances=answers, total_entries=len(answers))


def get_try(
    connection: sa.Connection,
    specs: SpecCache,
    dag_id: str,
    run_id: str,
    task_id: str,
    map_index: int,
    try_number: int,
) -> TaskInstanceHistoryResponse:
    """One try. Raises ApiProblem 404."""
    tries = list_tries(connection, specs, dag_id, run_id, task_id, map_index)
    for each in tries.task_instances:
        if each.try_number == try_number:
            return each
    not_found("The Task Instance", dag_id=dag_id, run_id=run_id, task_id=task_id, try_number=try_number)
