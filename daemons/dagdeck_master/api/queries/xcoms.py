"""Listings and look-ups of XComs.

Decides their SQL and how stored JSON becomes a value. Called by the XCom routes.
"""

from __future__ import annotations

from typing import Any

import msgspec
import sqlalchemy as sa

from dagdeck_io.db import sealed_xcoms
from dagdeck_io.db.tables import dag, dag_run, task_instance, xcom
from dagdeck_master.api.dag_scope import DagScope, only
from dagdeck_master.api.errors import not_found
from dagdeck_master.api.filters import XComFilters, equality_conditions, pattern_conditions, range_conditions
from dagdeck_master.api.models.runs import XComCollectionResponse, XComResponse, XComValueResponse
from dagdeck_master.api.paging import fetch_page, sorting
from dagdeck_master.api.queries.runs import ANY
from dagdeck_master.api.queries.versions import display_name

_SELECT = (
    sa.select(
        xcom.c.key,
        xcom.c.timestamp,
        dag_run.c.dag_id,
        dag_run.c.run_id,
        dag_run.c.logical_date,
        dag_run.c.run_after,
        task_instance.c.task_id,
        task_instance.c.map_index,
        task_instance.c.task_display_name,
        display_name.label("shown"),
    )
    .select_from(xcom)
    .join(task_instance, task_instance.c.ti_id == xcom.c.ti_id)
    .join(dag_run, dag_run.c.run_key == xcom.c.run_key)
    .outerjoin(dag, dag.c.dag_id == dag_run.c.dag_id)
)
_ORDERS: dict[str, sa.ColumnElement[Any]] = {
    "key": xcom.c.key,
    "dag_id": dag_run.c.dag_id,
    "run_id": dag_run.c.run_id,
    "task_id": task_instance.c.task_id,
    "map_index": task_instance.c.map_index,
    "timestamp": xcom.c.timestamp,
    "run_after": dag_run.c.run_after,
}


def _scope(dag_id: str, run_id: str, task_id: str) -> list[sa.ColumnElement[bool]]:
    named = ((dag_id, dag_run.c.dag_id), (run_id, dag_run.c.run_id), (task_id, task_instance.c.task_id))
    return [column == name for name, column in named if name != ANY]


def list_xcoms(
    connection: sa.Connection,
    dag_id: str,
    run_id: str,
    task_id: str,
    filters: XComFilters,
    cap: int,
    scope: DagScope | None,
) -> XComCollectionResponse:
    """One page of XComs without their values; `~` stands for any DAG, run or task."""
    conditions = [
        *_scope(dag_id, run_id, task_id),
        *only(scope, dag_run.c.dag_id),
        *range_conditions(filters, {"run_after": dag_run.c.run_after, "logical_date": dag_run.c.logical_date}),
        *pattern_conditions(
            filters,
            {
                "xcom_key": xcom.c.key,
                "dag_display_name": display_name,
                "run_id": dag_run.c.run_id,
                "task_id": task_instance.c.task_id,
            },
        ),
        *equality_conditions(
            filters,
            {
                "xcom_key": xcom.c.key,
                "map_index": task_instance.c.map_index,
                "map_index_filter": task_instance.c.map_index,
            },
        ),
    ]
    order = sorting(filters.order_by, _ORDERS, {"ti_id": xcom.c.ti_id, "key": xcom.c.key}, ["run_after"])
    page = fetch_page(connection, _SELECT.where(*conditions), order, filters.page(cap))
    return XComCollectionResponse(
        xcom_entries=[XComResponse(**_fields(row)) for row in page.rows], total_entries=page.total or 0
    )


def get_xcom(
    connection: sa.Connection,
    dag_id: str,
    run_id: str,
    task_id: str,
    key: str,
    *,
    map_index: int,
    stringify: bool,
    scope: DagScope | None = None,
) -> XComValueResponse:
    """One XCom with its value: as JSON, or as the JSON's text; secrets in it are hidden. Raises ApiProblem 404."""
    statement = _SELECT.add_columns(xcom.c.value).where(
        *_scope(dag_id, run_id, task_id),
        *only(scope, dag_run.c.dag_id),
        xcom.c.key == key,
        task_instance.c.map_index == map_index,
    )
    row = connection.execute(statement.order_by(dag_run.c.run_key.desc()).limit(1)).one_or_none()
    if row is None:
        not_found("XCom entry", key=key, dag_id=dag_id, run_id=run_id, task_id=task_id, map_index=map_index)
    text = sealed_xcoms.shown(row.value)
    value = text if stringify else msgspec.json.decode(text)
    return XComValueResponse(value=value, **_fields(row))


def _fields(row: Any) -> dict[str, Any]:
    return {
        "key": row.key,
        "timestamp": row.timestamp,
        "logical_date": row.logical_date,
        "map_index": row.map_index,
        "task_id": row.task_id,
        "dag_id": row.dag_id,
        "run_id": row.run_id,
        "dag_display_name": row.shown or row.dag_id,
        "task_display_name": row.task_display_name or row.task_id,
        "run_after": row.run_after,
    }
