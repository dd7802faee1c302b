"""Look-ups of questions to people, and of deadlines of runs.

Decides their SQL and how rows become answers. Called by the routes of `routes.human`.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from dagdeck_io.db.tables import dag_run, deadline, hitl_detail, hitl_detail_history, task_instance, work
from dagdeck_master.api.dag_scope import DagScope, only
from dagdeck_master.api.errors import not_found
from dagdeck_master.api.filters import (
    HITLFilters,
    equality_conditions,
    membership_conditions,
    pattern_conditions,
    range_conditions,
)
from dagdeck_master.api.identity import uuid_of
from dagdeck_master.api.models.human import (
    DeadlineCollectionResponse,
    DeadlineResponse,
    HITLDetail,
    HITLDetailCollection,
    HITLDetailHistory,
    HITLUser,
)
from dagdeck_master.api.paging import fetch_page, sorting
from dagdeck_master.api.queries.runs import ANY, run_row
from dagdeck_master.api.queries.task_instances import get_try, task_instance_row, task_instances_by_id
from dagdeck_master.api.queries.versions import require_dag
from dagdeck_master.api.specs import SpecCache

_SELECT = (
    sa.select(hitl_detail, dag_run.c.dag_id, dag_run.c.run_id)
    .join(task_instance, task_instance.c.ti_id == hitl_detail.c.ti_id)
    .join(dag_run, dag_run.c.run_key == task_instance.c.run_key)
)
_ORDERS: dict[str, sa.ColumnElement[Any]] = {
    "ti_id": hitl_detail.c.ti_id,
    "subject": hitl_detail.c.subject,
    "responded_at": hitl_detail.c.responded_at,
    "created_at": hitl_detail.c.created_at,
    "responded_by_user_id": hitl_detail.c.responded_by,
    "responded_by_user_name": hitl_detail.c.responded_by,
    "dag_id": dag_run.c.dag_id,
    "run_id": dag_run.c.run_id,
    "task_display_name": sa.func.coalesce(task_instance.c.task_display_name, task_instance.c.task_id),
    "run_after": dag_run.c.run_after,
    "rendered_map_index": task_instance.c.rendered_map_index,
    "task_instance_operator": task_instance.c.operator,
    "task_instance_state": task_instance.c.state,
}


def list_details(
    connection: sa.Connection,
    specs: SpecCache,
    dag_id: str,
    run_id: str,
    filters: HITLFilters,
    cap: int,
    scope: DagScope | None,
) -> HITLDetailCollection:
    """One page of the questions of a run, or with `~` of any DAG or run. Raises ApiProblem 404."""
    conditions = [*_scope(connection, dag_id, run_id), *_conditions(filters), *only(scope, dag_run.c.dag_id)]
    order = sorting(filters.order_by, _ORDERS, {"ti_id": hitl_detail.c.ti_id}, ["ti_id"])
    page = fetch_page(connection, _SELECT.where(*conditions), order, filters.page(cap))
    found = task_instances_by_id(connection, specs, [row.ti_id for row in page.rows])
    by_id = {instance.id: instance for instance in found.task_instances}
    details = [
        HITLDetail(task_instance=by_id[uuid_of(row.ti_id)], **_fields(row))
        for row in page.rows
        if uuid_of(row.ti_id) in by_id
    ]
    return HITLDetailCollection(hitl_details=details, total_entries=page.total)


def _scope(connection: sa.Connection, dag_id: str, run_id: str) -> list[sa.ColumnElement[bool]]:
    if dag_id != ANY and run_id != ANY:
        return [task_instance.c.run_key == run_row(connection, dag_id, run_id).run_key]
    if dag_id != ANY:
        require_dag(connection, dag_id)
        return [dag_run.c.dag_id == dag_id]
    return [] if run_id == ANY else [dag_run.c.run_id == run_id]


def _conditions(filters: HITLFilters) -> list[sa.ColumnElement[bool]]:
    found = [
        *range_conditions(filters, {"created_at": hitl_detail.c.created_at}),
        *pattern_conditions(filters, {"dag_id": dag_run.c.dag_id, "task_id": task_instance.c.task_id}),
        *membership_conditions(filters, {"state": task_instance.c.state}),
        *equality_conditions(filters, {"task_id": task_instance.c.task_id, "map_index": task_instance.c.map_index}),
    ]
    for text, column in ((filters.subject_search, hitl_detail.c.subject), (filters.body_search, hitl_detail.c.body)):
        if text is not None:
            found.append(column.ilike(f"%{text}%"))
    if filters.response_received is not None:
        is_null = hitl_detail.c.responded_at.is_(None)
        found.append(sa.not_(is_null) if filters.response_received else is_null)
    # The person stands there as JSON, whose text is always made in the same way.
    who = sa.cast(hitl_detail.c.responded_by, sa.Text)
    for name, values in (("id", filters.responded_by_user_id), ("name", filters.responded_by_user_name)):
        if values:
            found.append(
                sa.or_(*(who.contains(f'"{name}":"{_inside_json(value)}"', autoescape=True) for value in values))
            )
    return found


def _inside_json(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"')


def detail_row(connection: sa.Connection, dag_id: str, run_id: str, task_id: str, map_index: int) -> tuple[Any, Any]:
    """The rows of a task instance and of its question. Raises ApiProblem 404."""
    ti = task_instance_row(connection, dag_id, run_id, task_id, map_index)
    found = connection.execute(sa.select(hitl_detail).where(hitl_detail.c.ti_id == ti.ti_id)).one_or_none()
    if found is None:
        not_found("The Human-in-the-loop detail", dag_id=dag_id, run_id=run_id, task_id=task_id, map_index=map_index)
    return ti, found


def get_detail(
    connection: sa.Connection, specs: SpecCache, dag_id: str, run_id: str, task_id: str, map_index: int
) -> HITLDetail:
    """The question of a task instance. Raises ApiProblem 404."""
    ti, found = detail_row(connection, dag_id, run_id, task_id, map_index)
    (instance,) = task_instances_by_id(connection, specs, [ti.ti_id]).task_instances
    return HITLDetail(task_instance=instance, **_fields(found))


def get_detail_of_try(
    connection: sa.Connection,
    specs: SpecCache,
    dag_id: str,
    run_id: str,
    task_id: str,
    map_index: int,
    try_number: int,
) -> HITLDetailHistory:
    """The question of a try, of the last one or an earlier one. Raises ApiProblem 404."""
    ti = task_instance_row(connection, dag_id, run_id, task_id, map_index)
    last = sa.select(hitl_detail).where(
        hitl_detail.c.ti_id == ti.ti_id, sa.func.coalesce(hitl_detail.c.try_number, ti.try_number) == try_number
    )
    earlier = sa.select(hitl_detail_history).where(
        hitl_detail_history.c.ti_id == ti.ti_id, hitl_detail_history.c.try_number == try_number
    )
    found = connection.execute(last).one_or_none() or connection.execute(earlier).one_or_none()
    if found is None:
        not_found("The Human-in-the-loop detail", task_id=task_id, try_number=try_number)
    instance = get_try(connection, specs, dag_id, run_id, task_id, map_index, try_number)
    return HITLDetailHistory(task_instance=instance, **_fields(found))


def _fields(row: Any) -> dict[str, Any]:
    user = row.responded_by
    received = row.responded_at is not None
    return {
        "options": row.options,
        "subject": row.subject,
        "body": row.body,
        "defaults": row.defaults,
        "multiple": bool(row.multiple),
        "params": row.params or {},
        "assigned_users": [HITLUser(id=each["id"], name=each["name"]) for each in row.assigned_users or []],
        "created_at": row.created_at,
        "responded_by_user": None if user is None else HITLUser(id=user["id"], name=user["name"]),
        "responded_at": row.responded_at,
        "chosen_options": row.chosen_options,
        "params_input": row.params_input or {},
        "response_received": received,
    }


# ---------------------------------------------------------------- deadlines


def list_deadlines(connection: sa.Connection, dag_id: str, run_id: str) -> DeadlineCollectionResponse:
    """The deadlines of a run that were not met, by their moment. Raises ApiProblem 404."""
    run = run_row(connection, dag_id, run_id)
    statement = (
        sa.select(deadline, work.c.state.label("work_state"), work.c.error.label("work_error"))
        .outerjoin(work, work.c.work_id == deadline.c.work_id)
        .where(deadline.c.run_key == run.run_key)
        .order_by(deadline.c.deadline_time, deadline.c.deadline_id)
    )
    found = [_deadline(row, dag_id, run_id) for row in connection.execute(statement)]
    return DeadlineCollectionResponse(deadlines=found, total_entries=len(found))


def _deadline(row: Any, dag_id: str, run_id: str) -> DeadlineResponse:
    return DeadlineResponse(
        id=str(uuid_of(row.deadline_id)),
        dag_id=dag_id,
        dag_run_id=run_id,
        deadline_time=row.deadline_time,
        missed=row.callback_state is not None,
        created_at=row.created_at,
        alert_name=row.callback.get("name") or None,
        reference=row.callback["reference"],
        interval=row.callback.get("interval"),
        callback=row.callback["callback"],
        callback_state=None if row.work_state is None else row.work_state.value,
        callback_error=row.work_error,
    )
