"""Listings and look-ups of DAGs, their tags, tasks and run counts.

Decides their SQL and how rows and specs become answers. Called by the DAG routes.
"""

from __future__ import annotations

import base64
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any

import msgspec
import sqlalchemy as sa

from dagdeck_core.spec import ParamSpec, TaskSpec, params_in_order
from dagdeck_core.states import DagRunState
from dagdeck_io.db.tables import dag, dag_favorite, dag_run, dag_stats, dag_tag, dag_version
from dagdeck_master.api.dag_scope import DagScope, only
from dagdeck_master.api.errors import ApiProblem, not_found
from dagdeck_master.api.filters import (
    DagFilters,
    NamedFilters,
    equality_conditions,
    membership_conditions,
    pattern_conditions,
    range_conditions,
)
from dagdeck_master.api.models.dags import (
    DAGCollectionResponse,
    DAGDetailsResponse,
    DAGResponse,
    DagStatsCollectionResponse,
    DagStatsResponse,
    DagStatsStateResponse,
    DAGTagCollectionResponse,
    DagTagResponse,
    TaskCollectionResponse,
    TaskResponse,
    TimeDelta,
)
from dagdeck_master.api.paging import fetch_page, sorting
from dagdeck_master.api.queries.versions import display_name, embedded_version, version_columns
from dagdeck_master.api.specs import KnownVersion, SpecCache

_UNUSED = (
    "revision",
    "created_at",
    "last_interval_start",
    "last_interval_end",
    "consecutive_failures",
    "timetable_type",
)
# Reading a column costs microseconds a row, and a page has up to thousands of rows.
_SELECT = sa.select(*(column for column in dag.c if column.name not in _UNUSED), display_name.label("shown"))


def latest_run(column: str) -> sa.ScalarSelect[Any]:
    """A column of each DAG's newest run."""
    newest = dag_run.alias(f"newest_{column}")
    return (
        sa.select(newest.c[column])
        .where(newest.c.dag_id == dag.c.dag_id)
        .order_by(newest.c.run_after.desc(), newest.c.run_key.desc())
        .limit(1)
        .correlate(dag)
        .scalar_subquery()
    )


def dag_conditions(filters: DagFilters, user_id: int) -> Iterable[sa.ColumnElement[bool]]:
    """Conditions on rows of `dag`."""
    yield from pattern_conditions(filters, {"dag_id": dag.c.dag_id, "dag_display_name": display_name})
    yield from equality_conditions(
        filters,
        {
            "has_import_errors": dag.c.has_import_errors,
            "has_asset_schedule": dag.c.has_asset_schedule,
            "bundle_name": dag.c.bundle_name,
            "bundle_version": dag.c.bundle_version,
        },
    )
    yield from membership_conditions(filters, {"timetable_type": dag.c.timetable_type})
    if filters.exclude_stale:
        yield dag.c.is_stale.is_(False)
    if filters.paused is not None:
        yield dag.c.is_paused.is_(filters.paused)
    if filters.tags:
        yield from _tag_conditions(filters.tags, match_all=filters.tags_match_mode == "all")
    if filters.owners:
        yield sa.or_(*(dag.c.owners.like(_quoted_owner(name), escape="\\") for name in filters.owners))
    if filters.is_favorite is not None:
        mine = sa.select(dag_favorite.c.dag_id).where(dag_favorite.c.user_id == user_id)
        yield dag.c.dag_id.in_(mine) if filters.is_favorite else dag.c.dag_id.not_in(mine)
    yield from _run_conditions(filters)


def _quoted_owner(name: str) -> Any:
    """A LIKE pattern that finds `name` in a JSON list of names."""
    text = msgspec.json.encode(name).decode()
    escaped = text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return sa.literal(f"%{escaped}%", sa.String())


def _tag_conditions(names: Sequence[str], *, match_all: bool) -> Iterable[sa.ColumnElement[bool]]:
    if not match_all:
        yield dag.c.dag_id.in_(sa.select(dag_tag.c.dag_id).where(dag_tag.c.name.in_(names)))
        return
    for name in dict.fromkeys(names):
        yield dag.c.dag_id.in_(sa.select(dag_tag.c.dag_id).where(dag_tag.c.name == name))


def _run_conditions(filters: DagFilters) -> Iterable[sa.ColumnElement[bool]]:
    """Conditions on a DAG's runs: any run in a range or state, or the newest one's state."""
    if filters.last_dag_run_state is not None:
        yield latest_run("state") == filters.last_dag_run_state
    ranges = list(
        range_conditions(filters, {"dag_run_start_date": dag_run.c.start_date, "dag_run_end_date": dag_run.c.end_date})
    )
    if filters.dag_run_state:
        ranges.append(dag_run.c.state.in_(filters.dag_run_state))
    if ranges:
        yield sa.exists().where(dag_run.c.dag_id == dag.c.dag_id, *ranges)


def list_dags(
    connection: sa.Connection, filters: DagFilters, cap: int, user_id: int, scope: DagScope | None
) -> DAGCollectionResponse:
    """One page of DAGs."""
    statement = _SELECT.where(*dag_conditions(filters, user_id), *only(scope, dag.c.dag_id))
    order = sorting(
        filters.order_by,
        {
            "dag_id": dag.c.dag_id,
            "dag_display_name": display_name,
            "next_dagrun": dag.c.next_run_after,
            "state": latest_run("state"),
            "start_date": latest_run("start_date"),
            "last_run_state": latest_run("state"),
            "last_run_start_date": latest_run("start_date"),
        },
        {"dag_id": dag.c.dag_id},
        ["dag_id"],
    )
    page = fetch_page(connection, statement, order, filters.page(cap))
    tags = _tags_of(connection, [row.dag_id for row in page.rows])
    return DAGCollectionResponse(
        dags=[DAGResponse(**_dag_fields(row, tags.get(row.dag_id, ()))) for row in page.rows],
        total_entries=page.total or 0,
    )


def dag_ids_of(
    connection: sa.Connection, filters: DagFilters, user_id: int, limit: int, scope: DagScope | None
) -> list[str]:
    """Ids of the DAGs that match, at most `limit`."""
    found = (*dag_conditions(filters, user_id), *only(scope, dag.c.dag_id))
    statement = sa.select(dag.c.dag_id).where(*found).order_by(dag.c.dag_id)
    return list(connection.execute(statement.offset(filters.offset).limit(limit)).scalars())


def get_dag(connection: sa.Connection, dag_id: str) -> DAGResponse:
    """One DAG. Raises ApiProblem 404."""
    row = _dag_row(connection, dag_id)
    return DAGResponse(**_dag_fields(row, _tags_of(connection, [dag_id]).get(dag_id, ())))


def _dag_row(connection: sa.Connection, dag_id: str) -> Any:
    row = connection.execute(_SELECT.where(dag.c.dag_id == dag_id)).one_or_none()
    if row is None:
        not_found("The Dag", dag_id=dag_id)
    return row


def _tags_of(connection: sa.Connection, dag_ids: Sequence[str]) -> dict[str, list[str]]:
    found: defaultdict[str, list[str]] = defaultdict(list)
    if dag_ids:
        statement = sa.select(dag_tag.c.dag_id, dag_tag.c.name).where(dag_tag.c.dag_id.in_(dag_ids))
        for dag_id, name in connection.execute(statement.order_by(dag_tag.c.name)):
            found[dag_id].append(name)
    return found


def file_token(bundle_name: str, fileloc: str) -> str:
    """Names a DAG file in `PUT /parseDagFile/{file_token}`. Not a secret: the operation has its own rule."""
    return base64.urlsafe_b64encode(msgspec.json.encode([bundle_name, fileloc])).decode("ascii").rstrip("=")


def file_of_token(token: str) -> tuple[str, str]:
    """(bundle name, path) of a file token. Raises ApiProblem 404 when it is none."""
    try:
        data = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        return msgspec.json.decode(data, type=tuple[str, str])
    except (ValueError, msgspec.MsgspecError):
        raise ApiProblem(404, "File not found") from None


def _dag_fields(row: Any, tags: Iterable[str]) -> dict[str, Any]:
    """The fields of a DAGResponse."""
    return {
        "dag_id": row.dag_id,
        "dag_display_name": row.shown,
        "is_paused": row.is_paused,
        "is_stale": row.is_stale,
        "last_parsed_time": row.last_parsed_time,
        "last_parse_duration": row.last_parse_duration,
        "last_expired": row.last_expired,
        "bundle_name": row.bundle_name,
        "bundle_version": row.bundle_version,
        "relative_fileloc": row.fileloc,
        "fileloc": row.fileloc,
        "description": row.description,
        "timetable_summary": row.timetable_summary,
        "timetable_description": row.timetable_description,
        "timetable_partitioned": row.timetable_partitioned,
        "timetable_periodic": row.timetable_periodic,
        "tags": [DagTagResponse(name=name, dag_id=row.dag_id, dag_display_name=row.shown) for name in tags],
        "max_active_tasks": row.max_active_tasks,
        "max_active_runs": row.max_active_runs,
        "max_consecutive_failed_dag_runs": row.max_consecutive_failed_dag_runs,
        "has_task_concurrency_limits": row.has_task_concurrency_limits,
        "has_import_errors": row.has_import_errors,
        # The logical date of a scheduled run is the start of its interval.
        "next_dagrun_logical_date": row.next_interval_start or row.next_run_after,
        "next_dagrun_data_interval_start": row.next_interval_start,
        "next_dagrun_data_interval_end": row.next_interval_end,
        "next_dagrun_run_after": row.next_run_after,
        "allowed_run_types": row.allowed_run_types,
        "owners": row.owners or [],
        "is_backfillable": row.timetable_periodic and not row.has_asset_schedule,
        "file_token": file_token(row.bundle_name, row.fileloc),
    }


def get_dag_details(connection: sa.Connection, specs: SpecCache, dag_id: str, user_id: int) -> DAGDetailsResponse:
    """One DAG with what its newest version defines. Raises ApiProblem 404."""
    row = _dag_row(connection, dag_id)
    version_row = connection.execute(
        sa.select(*version_columns).where(dag_version.c.version_id == row.version_id)
    ).one_or_none()
    known = specs.get(connection, row.version_id)
    if known is None:
        not_found("The newest version of the Dag", dag_id=dag_id)
    spec = known.spec
    favorite = sa.select(dag_favorite.c.dag_id).where(
        dag_favorite.c.user_id == user_id, dag_favorite.c.dag_id == dag_id
    )
    fields = _dag_fields(row, _tags_of(connection, [dag_id]).get(dag_id, ()))
    return DAGDetailsResponse(
        **fields,
        catchup=spec.catchup,
        dag_run_timeout=None if spec.dagrun_timeout is None else _iso_duration(spec.dagrun_timeout),
        asset_expression=spec.asset_expression,
        doc_md=spec.doc_md,
        start_date=spec.start_date,
        end_date=spec.end_date,
        is_paused_upon_creation=spec.is_paused_upon_creation,
        params=shown_params(params_in_order(spec)),
        render_template_as_native_obj=spec.render_template_as_native_obj,
        template_search_path=None,
        timezone=spec.timezone,
        last_parsed=row.last_parsed_time,
        default_args=spec.default_args,
        owner_links=spec.owner_links,
        is_favorite=connection.execute(favorite).one_or_none() is not None,
        active_runs_count=_active_runs(connection, dag_id),
        latest_dag_version=None if version_row is None else embedded_version(version_row, dag_id, row.shown),
        rerun_with_latest_version=None,
        concurrency=spec.max_active_tasks,
    )


def _active_runs(connection: sa.Connection, dag_id: str) -> int:
    unfinished = (DagRunState.QUEUED, DagRunState.RUNNING)
    statement = sa.select(sa.func.coalesce(sa.func.sum(dag_stats.c.run_count), 0)).where(
        dag_stats.c.dag_id == dag_id, dag_stats.c.state.in_(unfinished)
    )
    return int(connection.execute(statement).scalar_one())


def _iso_duration(seconds: float) -> str:
    """Seconds in ISO 8601, as pydantic writes a duration."""
    return str(msgspec.to_builtins(timedelta(seconds=seconds)))


def shown_params(params: dict[str, ParamSpec]) -> dict[str, Any]:
    """Params in the form that forms are built from: value, description and schema by name."""
    return {
        name: {
            "__class": "airflow.sdk.definitions.param.Param",
            "value": param.value if param.has_value else None,
            "description": param.description,
            "schema": param.schema,
        }
        for name, param in params.items()
    }


# ---------------------------------------------------------------- tags, statistics


def list_tags(
    connection: sa.Connection, filters: NamedFilters, cap: int, scope: DagScope | None
) -> DAGTagCollectionResponse:
    """One page of the names of all tags."""
    found = (*pattern_conditions(filters, {"tag_name": dag_tag.c.name}), *only(scope, dag_tag.c.dag_id))
    statement = sa.select(dag_tag.c.name).distinct().where(*found)
    order = sorting(filters.order_by, {"name": dag_tag.c.name}, {"name": dag_tag.c.name}, ["name"])
    counted = sa.select(sa.func.count()).select_from(statement.subquery())
    page = fetch_page(
        connection, statement, order, filters.page(cap), lambda: int(connection.execute(counted).scalar_one())
    )
    return DAGTagCollectionResponse(tags=[row.name for row in page.rows], total_entries=page.total or 0)


def list_stats(connection: sa.Connection, dag_ids: Sequence[str], scope: DagScope | None) -> DagStatsCollectionResponse:
    """Run counts per state of these DAGs, or of all; states without runs are listed with 0."""
    statement = (
        sa.select(dag.c.dag_id, display_name.label("shown"), dag_stats.c.state, dag_stats.c.run_count)
        .outerjoin(dag_stats, dag_stats.c.dag_id == dag.c.dag_id)
        .where(*only(scope, dag.c.dag_id))
        .order_by(dag.c.dag_id)
    )
    if dag_ids:
        statement = statement.where(dag.c.dag_id.in_(dag_ids))
    shown: dict[str, str] = {}
    counts: defaultdict[str, dict[str, int]] = defaultdict(dict)
    for row in connection.execute(statement):
        shown[row.dag_id] = row.shown
        if row.state is not None:
            counts[row.dag_id][row.state] = row.run_count
    return DagStatsCollectionResponse(
        dags=[
            DagStatsResponse(
                dag_id=dag_id,
                dag_display_name=name,
                stats=[DagStatsStateResponse(state=s, count=counts[dag_id].get(s, 0)) for s in DagRunState],
            )
            for dag_id, name in shown.items()
        ],
        total_entries=len(shown),
    )


# ---------------------------------------------------------------- tasks


def newest_version(connection: sa.Connection, specs: SpecCache, dag_id: str) -> KnownVersion:
    """The newest version of a DAG. Raises ApiProblem 404."""
    version_id = connection.execute(sa.select(dag.c.version_id).where(dag.c.dag_id == dag_id)).scalar_one_or_none()
    known = None if version_id is None else specs.get(connection, version_id)
    if known is None:
        not_found("The Dag", dag_id=dag_id)
    return known


def list_tasks(version: KnownVersion, order_by: str) -> TaskCollectionResponse:
    """All tasks of a version. Raises ApiProblem 400 for an attribute tasks do not have."""
    downstream = _downstream(version)
    tasks = [_task(task, downstream[task.task_id]) for task in version.spec.tasks]
    attribute = order_by.removeprefix("-")
    if attribute not in TaskResponse.__struct_fields__:
        raise ApiProblem(400, f"'{attribute}' is not an attribute of a task")

    def sort_key(task: TaskResponse) -> tuple[bool, Any, str]:
        value = getattr(task, attribute)
        comparable = value if isinstance(value, (str, int, float)) else str(value)
        return (value is None, comparable if value is not None else "", task.task_id)

    tasks.sort(key=sort_key, reverse=order_by.startswith("-"))
    return TaskCollectionResponse(tasks=tasks, total_entries=len(tasks))


def get_task(version: KnownVersion, task_id: str) -> TaskResponse:
    """One task. Raises ApiProblem 404."""
    if task_id not in version.tasks:
        not_found("The Task", task_id=task_id)
    return _task(version.tasks[task_id], _downstream(version)[task_id])


def _downstream(version: KnownVersion) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {task_id: [] for task_id in version.tasks}
    for task in version.spec.tasks:
        for upstream in task.upstream:
            found[upstream].append(task.task_id)
    return {task_id: sorted(ids) for task_id, ids in found.items()}


def _time_delta(seconds: float) -> TimeDelta:
    delta = timedelta(seconds=seconds)
    return TimeDelta(days=delta.days, seconds=delta.seconds, microseconds=delta.microseconds)


def _task(task: TaskSpec, downstream: list[str]) -> TaskResponse:
    return TaskResponse(
        task_id=task.task_id,
        task_display_name=task.display_name or task.task_id,
        owner=task.owner,
        start_date=task.start_date,
        end_date=task.end_date,
        trigger_rule=task.trigger_rule,
        depends_on_past=task.depends_on_past,
        wait_for_downstream=task.wait_for_downstream,
        retries=task.retries,
        queue=task.queue,
        pool=task.pool,
        pool_slots=task.pool_slots,
        execution_timeout=None if task.execution_timeout is None else _time_delta(task.execution_timeout),
        retry_delay=_time_delta(task.retry_delay),
        retry_exponential_backoff=task.retry_exponential_backoff,
        priority_weight=task.priority_weight,
        weight_rule=task.weight_rule,
        ui_color=task.ui_color,
        ui_fgcolor=task.ui_fgcolor,
        template_fields=list(task.template_fields),
        downstream_task_ids=downstream,
        doc_md=task.doc_md,
        operator_name=task.operator_name or task.task_type,
        params=shown_params(task.params),
        class_ref={"module_path": task.module, "class_name": task.task_type},
        is_mapped=task.mapped is not None,
        extra_links=list(task.extra_links),
    )
