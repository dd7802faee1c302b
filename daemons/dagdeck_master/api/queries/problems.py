"""Listings of import errors, warnings and the audit log.

Decides their SQL and how rows become answers. Called by the routes of the same subjects.
"""

from __future__ import annotations

from typing import Any

import msgspec
import sqlalchemy as sa

from dagdeck_io.db.tables import audit_log, dag, dag_warning, import_error
from dagdeck_master.api.dag_scope import DagScope, only
from dagdeck_master.api.errors import not_found
from dagdeck_master.api.filters import (
    AuditFilters,
    ImportErrorFilters,
    WarningFilters,
    equality_conditions,
    pattern_conditions,
)
from dagdeck_master.api.models.admin import EventLogCollectionResponse, EventLogResponse
from dagdeck_master.api.models.dags import (
    DAGWarningCollectionResponse,
    DAGWarningResponse,
    ImportErrorCollectionResponse,
    ImportErrorResponse,
)
from dagdeck_master.api.paging import fetch_page, sorting
from dagdeck_master.api.queries.versions import display_name


def list_import_errors(
    connection: sa.Connection, filters: ImportErrorFilters, cap: int, scope: DagScope | None
) -> ImportErrorCollectionResponse:
    """One page of files that could not be loaded."""
    statement = sa.select(import_error).where(
        *pattern_conditions(filters, {"filename": import_error.c.filename}),
        *equality_conditions(filters, {"filename": import_error.c.filename, "bundle_name": import_error.c.bundle_name}),
        *of_files(scope),
    )
    key = {"id": import_error.c.import_error_id}
    orders: dict[str, sa.ColumnElement[Any]] = {
        "id": import_error.c.import_error_id,
        "import_error_id": import_error.c.import_error_id,
        "timestamp": import_error.c.timestamp,
        "filename": import_error.c.filename,
        "bundle_name": import_error.c.bundle_name,
        "stacktrace": import_error.c.stack_trace,
    }
    page = fetch_page(connection, statement, sorting(filters.order_by, orders, key, ["id"]), filters.page(cap))
    return ImportErrorCollectionResponse(
        import_errors=[_import_error(row) for row in page.rows], total_entries=page.total or 0
    )


def of_files(scope: DagScope | None) -> list[sa.ColumnElement[bool]]:
    """Import errors of files that define a DAG of the scope, and no other."""
    if scope is None:
        return []
    defined = sa.exists().where(
        dag.c.fileloc == import_error.c.filename, dag.c.bundle_name == import_error.c.bundle_name
    )
    (within,) = only(scope, dag.c.dag_id)
    return [defined.where(within), sa.not_(defined.where(sa.not_(within)))]


def get_import_error(connection: sa.Connection, import_error_id: int, scope: DagScope | None) -> ImportErrorResponse:
    """One import error. Raises ApiProblem 404."""
    row = connection.execute(
        sa.select(import_error).where(import_error.c.import_error_id == import_error_id, *of_files(scope))
    ).one_or_none()
    if row is None:
        not_found("The ImportError", import_error_id=import_error_id)
    return _import_error(row)


def _import_error(row: Any) -> ImportErrorResponse:
    """Without a stack trace (a syntax error found before loading) the message with its place stands for it."""
    place = row.filename if row.line is None else f"{row.filename}:{row.line}"
    return ImportErrorResponse(
        import_error_id=row.import_error_id,
        timestamp=row.timestamp,
        filename=row.filename,
        bundle_name=row.bundle_name,
        stack_trace=row.stack_trace or f"{place}: {row.message or 'could not be loaded'}",
    )


def list_warnings(
    connection: sa.Connection, filters: WarningFilters, cap: int, scope: DagScope | None
) -> DAGWarningCollectionResponse:
    """One page of warnings about DAGs."""
    statement = (
        sa.select(dag_warning, display_name.label("shown"))
        .outerjoin(dag, dag.c.dag_id == dag_warning.c.dag_id)
        .where(
            *equality_conditions(filters, {"dag_id": dag_warning.c.dag_id, "warning_type": dag_warning.c.warning_type}),
            *only(scope, dag_warning.c.dag_id),
        )
    )
    columns = {name: dag_warning.c[name] for name in ("dag_id", "warning_type", "message", "timestamp")}
    key = {name: columns[name] for name in ("dag_id", "warning_type")}
    page = fetch_page(connection, statement, sorting(filters.order_by, columns, key, ["dag_id"]), filters.page(cap))
    return DAGWarningCollectionResponse(
        dag_warnings=[
            DAGWarningResponse(
                dag_id=row.dag_id,
                warning_type=row.warning_type,
                message=row.message,
                timestamp=row.timestamp,
                dag_display_name=row.shown or row.dag_id,
            )
            for row in page.rows
        ],
        total_entries=page.total or 0,
    )


# ---------------------------------------------------------------- the audit log

_AUDIT = sa.select(audit_log, display_name.label("shown")).outerjoin(dag, dag.c.dag_id == audit_log.c.dag_id)
_AUDIT_ORDERS: dict[str, sa.ColumnElement[Any]] = {
    "id": audit_log.c.event_log_id,
    "event_log_id": audit_log.c.event_log_id,
    "dttm": audit_log.c.when,
    "when": audit_log.c.when,
    "dag_id": audit_log.c.dag_id,
    "task_id": audit_log.c.task_id,
    "run_id": audit_log.c.run_id,
    "event": audit_log.c.event,
    "logical_date": audit_log.c.logical_date,
    "owner": audit_log.c.owner,
    "extra": audit_log.c.extra,
}
_AUDIT_NAMES = ("dag_id", "task_id", "run_id", "owner", "event")


def list_audit(
    connection: sa.Connection, filters: AuditFilters, cap: int, scope: DagScope | None, *, whole: bool
) -> EventLogCollectionResponse:
    """One page of what people did; `whole`: with addresses and tokens."""
    equal = {name: audit_log.c[name] for name in (*_AUDIT_NAMES, "map_index", "try_number")}
    conditions = [
        *equality_conditions(filters, equal),
        *pattern_conditions(filters, {name: audit_log.c[name] for name in _AUDIT_NAMES}),
        *only(scope, audit_log.c.dag_id),
    ]
    if filters.excluded_events:
        conditions.append(audit_log.c.event.not_in(filters.excluded_events))
    if filters.included_events:
        conditions.append(audit_log.c.event.in_(filters.included_events))
    if filters.before is not None:
        conditions.append(audit_log.c.when <= filters.before)
    if filters.after is not None:
        conditions.append(audit_log.c.when >= filters.after)
    order = sorting(filters.order_by, _AUDIT_ORDERS, {"id": audit_log.c.event_log_id}, ["id"])
    page = fetch_page(connection, _AUDIT.where(*conditions), order, filters.page(cap))
    return EventLogCollectionResponse(
        event_logs=[_event(row, whole) for row in page.rows], total_entries=page.total or 0
    )


def get_audit_entry(
    connection: sa.Connection, event_log_id: int, scope: DagScope | None, *, whole: bool
) -> EventLogResponse:
    """One entry; `whole`: with address and token. Raises ApiProblem 404."""
    row = connection.execute(
        _AUDIT.where(audit_log.c.event_log_id == event_log_id, *only(scope, audit_log.c.dag_id))
    ).one_or_none()
    if row is None:
        not_found("The Event Log", event_log_id=event_log_id)
    return _event(row, whole)


def _event(row: Any, whole: bool) -> EventLogResponse:
    """Airflow's fields; what it has no field for stands in `extra`, beside what was recorded there."""
    beside = ("source", "refused", "address", "token_id") if whole else ("source", "refused")
    extra = {**(row.extra or {}), **{name: row._mapping[name] for name in beside if row._mapping[name] is not None}}
    return EventLogResponse(
        event_log_id=row.event_log_id,
        when=row.when,
        dag_id=row.dag_id,
        task_id=row.task_id,
        run_id=row.run_id,
        map_index=row.map_index,
        try_number=row.try_number,
        event=row.event,
        logical_date=row.logical_date,
        owner=row.owner,
        extra=msgspec.json.encode(extra).decode() if extra else None,
        dag_display_name=row.shown if row.dag_id is not None else None,
        task_display_name=row.task_id,
    )
