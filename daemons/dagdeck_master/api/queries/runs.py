"""Listings and look-ups of dag runs.

Decides their SQL, how rows become answers, and which counts come from the kept statistics instead of a scan. Called
by the run routes and by selection.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import sqlalchemy as sa

from dagdeck_core.states import DagRunState
from dagdeck_io.db.tables import dag, dag_run, dag_stats, dag_version
from dagdeck_master.api.bodies import DagRunsBatchBody
from dagdeck_master.api.dag_scope import DagScope, only
from dagdeck_master.api.errors import not_found
from dagdeck_master.api.filters import (
    RunFilters,
    equality_conditions,
    membership_conditions,
    pattern_conditions,
    range_conditions,
)
from dagdeck_master.api.models.runs import DAGRunCollectionResponse, DAGRunResponse
from dagdeck_master.api.paging import Page, PageRequest, Sorting, fetch_page, sorting
from dagdeck_master.api.queries.elapsed import seconds_elapsed
from dagdeck_master.api.queries.versions import display_name, embedded_version, require_dag, version_columns
from dagdeck_master.api.reply import seconds_between

ANY = "~"
duration = seconds_elapsed(dag_run.c.start_date, dag_run.c.end_date)

RANGES = {
    "run_after": dag_run.c.run_after,
    "logical_date": dag_run.c.logical_date,
    "start_date": dag_run.c.start_date,
    "end_date": dag_run.c.end_date,
    "updated_at": dag_run.c.updated_at,
    "duration": duration,
}
PATTERNS = {
    "dag_id": dag_run.c.dag_id,
    "run_id": dag_run.c.run_id,
    "triggering_user_name": dag_run.c.triggering_user,
    "partition_key": dag_run.c.partition_key,
}
ORDERS: dict[str, sa.ColumnElement[Any]] = {
    "id": dag_run.c.run_key,
    "state": dag_run.c.state,
    "dag_id": dag_run.c.dag_id,
    "run_id": dag_run.c.run_id,
    "dag_run_id": dag_run.c.run_id,
    "logical_date": dag_run.c.logical_date,
    "partition_date": dag_run.c.partition_date,
    "run_after": dag_run.c.run_after,
    "start_date": dag_run.c.start_date,
    "end_date": dag_run.c.end_date,
    "updated_at": dag_run.c.updated_at,
    "conf": dag_run.c.conf,
    "duration": duration,
}

_SELECT = (
    sa.select(dag_run, display_name.label("shown"), *version_columns)
    .select_from(dag_run)
    .outerjoin(dag, dag.c.dag_id == dag_run.c.dag_id)
    .outerjoin(dag_version, dag_version.c.version_id == dag_run.c.version_id)
)


def select_runs() -> sa.Select[Any]:
    """A statement for runs with all that `run_of` reads; the caller adds conditions."""
    return _SELECT


def run_of(row: Any) -> DAGRunResponse:
    """The answer for a row of `select_runs`."""
    return _run(row)


def run_order(order_by: Sequence[str]) -> Sorting:
    """The order of a listing of runs; by id without one, as Airflow does."""
    return sorting(order_by, ORDERS, {"id": dag_run.c.run_key}, ["id"])


def list_runs(
    connection: sa.Connection, dag_id: str, filters: RunFilters, cap: int, scope: DagScope | None
) -> DAGRunCollectionResponse:
    """One page of a DAG's runs, or of all DAGs' for `~`. Raises ApiProblem 404 for an unknown DAG."""
    conditions = only(scope, dag_run.c.dag_id)
    if dag_id != ANY:
        require_dag(connection, dag_id)
        conditions.append(dag_run.c.dag_id == dag_id)
    special = [*_run_conditions(filters)]
    by_state = [dag_run.c.state.in_(filters.state)] if filters.state else []
    statement = _SELECT.where(*conditions, *special, *by_state)
    count = None
    if not special and (scope is None or dag_id != ANY):
        states = filters.state or list(DagRunState)

        def count() -> int:
            return _kept_count(connection, None if dag_id == ANY else dag_id, states)

    page = fetch_page(connection, statement, run_order(filters.order_by), filters.page(cap), count)
    return _collection(page)


def _run_conditions(filters: RunFilters) -> Iterable[sa.ColumnElement[bool]]:
    """Conditions beside DAG and state."""
    yield from range_conditions(filters, RANGES)
    yield from pattern_conditions(filters, PATTERNS)
    yield from membership_conditions(
        filters, {"run_type": dag_run.c.run_type, "dag_version": dag_version.c.version_number}
    )
    yield from equality_conditions(filters, {"bundle_version": dag_version.c.bundle_version})
    if filters.conf_contains:
        yield _conf_contains(filters.conf_contains)


def _conf_contains(text: str) -> sa.ColumnElement[bool]:
    """True for runs whose conf, as JSON, contains `text`."""
    escaped = text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return sa.type_coerce(dag_run.c.conf, sa.Text()).ilike(f"%{escaped}%", escape="\\")


def _kept_count(connection: sa.Connection, dag_id: str | None, states: Sequence[DagRunState]) -> int:
    """How many runs there are, from the counts that are kept per DAG and state."""
    statement = sa.select(sa.func.coalesce(sa.func.sum(dag_stats.c.run_count), 0)).where(dag_stats.c.state.in_(states))
    if dag_id is not None:
        statement = statement.where(dag_stats.c.dag_id == dag_id)
    return int(connection.execute(statement).scalar_one())


def list_runs_batch(
    connection: sa.Connection, body: DagRunsBatchBody, cap: int, scope: DagScope | None
) -> DAGRunCollectionResponse:
    """One page of the runs that a batch body asks for."""
    conditions = [
        *only(scope, dag_run.c.dag_id),
        *range_conditions(body, {k: v for k, v in RANGES.items() if k != "updated_at"}),
    ]
    if body.dag_ids is not None:
        conditions.append(dag_run.c.dag_id.in_(body.dag_ids))
    if body.states is not None:
        conditions.append(dag_run.c.state.in_([state for state in body.states if state is not None]))
    if body.conf_contains:
        conditions.append(_conf_contains(body.conf_contains))
    order = run_order([body.order_by] if body.order_by else [])
    request = PageRequest(limit=min(body.page_limit, cap), offset=body.page_offset)
    return _collection(fetch_page(connection, _SELECT.where(*conditions), order, request))


def _collection(page: Page) -> DAGRunCollectionResponse:
    return DAGRunCollectionResponse(
        dag_runs=[_run(row) for row in page.rows],
        total_entries=page.total,
        total_entries_limit=page.total_limit,
        next_cursor=page.next_cursor,
        previous_cursor=page.previous_cursor,
    )


def get_run(connection: sa.Connection, dag_id: str, run_id: str) -> DAGRunResponse:
    """One run by its id. Raises ApiProblem 404."""
    row = connection.execute(_SELECT.where(dag_run.c.dag_id == dag_id, dag_run.c.run_id == run_id)).one_or_none()
    if row is None:
        not_found("The DagRun", dag_id=dag_id, run_id=run_id)
    return _run(row)


def get_run_by_key(connection: sa.Connection, run_key: int) -> DAGRunResponse:
    """One run by its row's key. Raises ApiProblem 404 when it was deleted meanwhile."""
    row = connection.execute(_SELECT.where(dag_run.c.run_key == run_key)).one_or_none()
    if row is None:
        not_found("The DagRun", run_key=run_key)
    return _run(row)


def run_row(connection: sa.Connection, dag_id: str, run_id: str) -> Any:
    """The plain row of a run. Raises ApiProblem 404."""
    row = connection.execute(
        sa.select(dag_run).where(dag_run.c.dag_id == dag_id, dag_run.c.run_id == run_id)
    ).one_or_none()
    if row is None:
        not_found("The DagRun", dag_id=dag_id, run_id=run_id)
    return row


def _run(row: Any) -> DAGRunResponse:
    shown = row.shown or row.dag_id
    version = embedded_version(row, row.dag_id, shown)
    return DAGRunResponse(
        dag_run_id=row.run_id,
        dag_id=row.dag_id,
        logical_date=row.logical_date,
        queued_at=row.queued_at,
        start_date=row.start_date,
        end_date=row.end_date,
        duration=seconds_between(row.start_date, row.end_date),
        data_interval_start=row.data_interval_start,
        data_interval_end=row.data_interval_end,
        run_after=row.run_after,
        last_scheduling_decision=row.last_scheduling_decision,
        run_type=row.run_type,
        state=row.state,
        triggered_by=row.triggered_by,
        triggering_user_name=row.triggering_user,
        conf=row.conf or {},
        note=row.note,
        dag_versions=[] if version is None else [version],
        bundle_version=row.v_bundle_version,
        dag_display_name=shown,
        partition_key=row.partition_key,
        partition_date=row.partition_date,
    )
