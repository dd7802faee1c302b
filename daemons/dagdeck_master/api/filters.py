"""Query parameters of the listings, and what each means in SQL.

Decides names, types and meaning of filters, as Airflow's: `*_pattern` finds a text anywhere whatever the case,
`*_prefix_pattern` finds a beginning by index, `|` means or, `~` means everything, ranges end in gte, gt, lte, lt.
Does not decide which columns they apply to (`queries`). Parsed by FastAPI, so a bad value is a 422 of its form.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

import sqlalchemy as sa
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from dagdeck_core.states import DagRunState, DagRunType, TaskInstanceState
from dagdeck_master.api.paging import PageRequest

DEFAULT_LIMIT = 50
_LAST_CHARACTER = "\U0010ffff"


def _utc(value: datetime) -> datetime:
    """An instant in UTC; one without a zone is taken as UTC."""
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


UtcDatetime = Annotated[datetime, AfterValidator(_utc)]
Int = Annotated[int, Field(ge=-(2**31), le=2**31 - 1)]
"""A number as the database's integers hold it; larger ones are refused before they reach it."""
RowId = Annotated[int, Field(ge=0, le=2**63 - 1)]
MapIndex = Annotated[int, Field(ge=-1, le=2**31 - 1)]
Pattern = Annotated[str, Field(max_length=1000)]
Names = Annotated[list[str], Field(max_length=1000)]


def _task_state(value: str) -> TaskInstanceState:
    if value in ("null", "no_status"):
        return TaskInstanceState.NONE
    return TaskInstanceState(value)


def _task_states(values: list[str]) -> list[TaskInstanceState]:
    try:
        return [_task_state(value) for value in values]
    except ValueError:
        raise ValueError(f"Invalid value for state. Valid values are {[*TaskInstanceState]}") from None


TaskStates = Annotated[list[str], AfterValidator(_task_states), Field(max_length=100)]


class Paging(BaseModel):
    """Limit, offset and order; every listing has them."""

    model_config = ConfigDict(extra="ignore")

    limit: Annotated[int, Field(ge=0, le=2**63 - 1)] = DEFAULT_LIMIT
    offset: Annotated[int, Field(ge=0, le=2**62)] = 0
    order_by: Annotated[list[str], Field(max_length=20)] = []

    def page(self, cap: int) -> PageRequest:
        """The page asked for, no larger than `cap`."""
        return PageRequest(limit=min(self.limit, cap), offset=self.offset, cursor=getattr(self, "cursor", None))


class RunAfterRange(BaseModel):
    """When runs may start."""

    run_after_gte: UtcDatetime | None = None
    run_after_gt: UtcDatetime | None = None
    run_after_lte: UtcDatetime | None = None
    run_after_lt: UtcDatetime | None = None


class LogicalDateRange(BaseModel):
    """Logical dates."""

    logical_date_gte: UtcDatetime | None = None
    logical_date_gt: UtcDatetime | None = None
    logical_date_lte: UtcDatetime | None = None
    logical_date_lt: UtcDatetime | None = None


class ExecutionRanges(RunAfterRange, LogicalDateRange):
    """Dates and durations of runs and task instances."""

    start_date_gte: UtcDatetime | None = None
    start_date_gt: UtcDatetime | None = None
    start_date_lte: UtcDatetime | None = None
    start_date_lt: UtcDatetime | None = None
    end_date_gte: UtcDatetime | None = None
    end_date_gt: UtcDatetime | None = None
    end_date_lte: UtcDatetime | None = None
    end_date_lt: UtcDatetime | None = None
    duration_gte: float | None = None
    duration_gt: float | None = None
    duration_lte: float | None = None
    duration_lt: float | None = None


class UpdatedRange(BaseModel):
    """When rows changed last."""

    updated_at_gte: UtcDatetime | None = None
    updated_at_gt: UtcDatetime | None = None
    updated_at_lte: UtcDatetime | None = None
    updated_at_lt: UtcDatetime | None = None


class DagFilters(Paging):
    """Filters of GET and PATCH /dags."""

    tags: Names = []
    tags_match_mode: Annotated[str, Field(pattern="^(any|all)$")] | None = None
    owners: Names = []
    dag_id_pattern: Pattern | None = None
    dag_id_prefix_pattern: Pattern | None = None
    dag_display_name_pattern: Pattern | None = None
    dag_display_name_prefix_pattern: Pattern | None = None
    exclude_stale: bool = True
    paused: bool | None = None
    has_import_errors: bool | None = None
    has_asset_schedule: bool | None = None
    last_dag_run_state: DagRunState | None = None
    bundle_name: str | None = None
    bundle_version: str | None = None
    dag_run_start_date_gte: UtcDatetime | None = None
    dag_run_start_date_gt: UtcDatetime | None = None
    dag_run_start_date_lte: UtcDatetime | None = None
    dag_run_start_date_lt: UtcDatetime | None = None
    dag_run_end_date_gte: UtcDatetime | None = None
    dag_run_end_date_gt: UtcDatetime | None = None
    dag_run_end_date_lte: UtcDatetime | None = None
    dag_run_end_date_lt: UtcDatetime | None = None
    dag_run_state: Annotated[list[DagRunState], Field(max_length=10)] = []
    is_favorite: bool | None = None
    timetable_type: Names = []


class DagPatchFilters(DagFilters):
    """Filters of PATCH /dags, which needs a pattern so that nobody pauses everything by mistake."""

    update_mask: Names | None = None


class RunFilters(Paging, ExecutionRanges, UpdatedRange):
    """Filters of GET /dags/{dag_id}/dagRuns."""

    cursor: Annotated[str, Field(max_length=4000)] | None = None
    conf_contains: Annotated[str, Field(max_length=1000)] | None = None
    run_type: Annotated[list[DagRunType], Field(max_length=10)] = []
    state: Annotated[list[DagRunState], Field(max_length=10)] = []
    dag_version: Annotated[list[Int], Field(max_length=100)] = []
    bundle_version: str | None = None
    run_id_pattern: Pattern | None = None
    run_id_prefix_pattern: Pattern | None = None
    triggering_user_name_pattern: Pattern | None = None
    triggering_user_name_prefix_pattern: Pattern | None = None
    dag_id_pattern: Pattern | None = None
    dag_id_prefix_pattern: Pattern | None = None
    partition_key_pattern: Pattern | None = None
    partition_key_prefix_pattern: Pattern | None = None


class TaskInstanceFilters(Paging, ExecutionRanges, UpdatedRange):
    """Filters of GET …/taskInstances and …/listMapped."""

    cursor: Annotated[str, Field(max_length=4000)] | None = None
    task_id: str | None = None
    task_display_name_pattern: Pattern | None = None
    task_display_name_prefix_pattern: Pattern | None = None
    task_group_id: str | None = None
    dag_id_pattern: Pattern | None = None
    dag_id_prefix_pattern: Pattern | None = None
    run_id_pattern: Pattern | None = None
    run_id_prefix_pattern: Pattern | None = None
    state: TaskStates = []
    pool: Names = []
    pool_name_pattern: Pattern | None = None
    pool_name_prefix_pattern: Pattern | None = None
    queue: Names = []
    queue_name_pattern: Pattern | None = None
    queue_name_prefix_pattern: Pattern | None = None
    executor: Names = []
    version_number: Annotated[list[Int], Field(max_length=100)] = []
    try_number: Annotated[list[Int], Field(max_length=100)] = []
    operator: Names = []
    operator_name_pattern: Pattern | None = None
    operator_name_prefix_pattern: Pattern | None = None
    map_index: Annotated[list[Int], Field(max_length=1000)] = []
    rendered_map_index_pattern: Pattern | None = None
    rendered_map_index_prefix_pattern: Pattern | None = None


class HITLFilters(Paging):
    """Filters of GET …/hitlDetails."""

    dag_id_pattern: Pattern | None = None
    dag_id_prefix_pattern: Pattern | None = None
    task_id: str | None = None
    task_id_pattern: Pattern | None = None
    task_id_prefix_pattern: Pattern | None = None
    map_index: Int | None = None
    state: TaskStates = []
    response_received: bool | None = None
    responded_by_user_id: Names = []
    responded_by_user_name: Names = []
    subject_search: Pattern | None = None
    body_search: Pattern | None = None
    created_at_gte: UtcDatetime | None = None
    created_at_gt: UtcDatetime | None = None
    created_at_lte: UtcDatetime | None = None
    created_at_lt: UtcDatetime | None = None


class XComFilters(Paging, RunAfterRange, LogicalDateRange):
    """Filters of GET …/xcomEntries."""

    xcom_key: str | None = None
    map_index: MapIndex | None = None
    map_index_filter: Int | None = None
    xcom_key_pattern: Pattern | None = None
    xcom_key_prefix_pattern: Pattern | None = None
    dag_display_name_pattern: Pattern | None = None
    dag_display_name_prefix_pattern: Pattern | None = None
    run_id_pattern: Pattern | None = None
    run_id_prefix_pattern: Pattern | None = None
    task_id_pattern: Pattern | None = None
    task_id_prefix_pattern: Pattern | None = None


class NamedFilters(Paging):
    """Filters of the listings of pools, variables, connections and tags; each uses its own pair of patterns."""

    pool_name_pattern: Pattern | None = None
    pool_name_prefix_pattern: Pattern | None = None
    variable_key_pattern: Pattern | None = None
    variable_key_prefix_pattern: Pattern | None = None
    connection_id_pattern: Pattern | None = None
    connection_id_prefix_pattern: Pattern | None = None
    tag_name_pattern: Pattern | None = None
    tag_name_prefix_pattern: Pattern | None = None


class VersionFilters(Paging):
    """Filters of GET /dags/{dag_id}/dagVersions."""

    version_number: Int | None = None
    bundle_name: str | None = None
    bundle_version: str | None = None


class ImportErrorFilters(Paging):
    """Filters of GET /importErrors."""

    filename_pattern: Pattern | None = None
    filename_prefix_pattern: Pattern | None = None
    filename: str | None = None
    bundle_name: str | None = None


class WarningFilters(Paging):
    """Filters of GET /dagWarnings."""

    dag_id: str | None = None
    warning_type: str | None = None


class AssetFilters(Paging):
    """Filters of GET /assets."""

    name_pattern: Pattern | None = None
    name_prefix_pattern: Pattern | None = None
    uri_pattern: Pattern | None = None
    uri_prefix_pattern: Pattern | None = None
    dag_ids: Names = []
    only_active: bool = True


class AssetAliasFilters(Paging):
    """Filters of GET /assets/aliases."""

    name_pattern: Pattern | None = None
    name_prefix_pattern: Pattern | None = None


class AssetEventFilters(Paging):
    """Filters of GET /assets/events."""

    asset_id: RowId | None = None
    source_dag_id: str | None = None
    source_task_id: str | None = None
    source_run_id: str | None = None
    source_map_index: Int | None = None
    name_pattern: Pattern | None = None
    name_prefix_pattern: Pattern | None = None
    timestamp_gte: UtcDatetime | None = None
    timestamp_gt: UtcDatetime | None = None
    timestamp_lte: UtcDatetime | None = None
    timestamp_lt: UtcDatetime | None = None


class AuditFilters(Paging):
    """Filters of GET /eventLogs."""

    dag_id: str | None = None
    task_id: str | None = None
    run_id: str | None = None
    map_index: Int | None = None
    try_number: Int | None = None
    owner: str | None = None
    event: str | None = None
    excluded_events: Names = []
    included_events: Names = []
    before: UtcDatetime | None = None
    after: UtcDatetime | None = None
    dag_id_pattern: Pattern | None = None
    dag_id_prefix_pattern: Pattern | None = None
    task_id_pattern: Pattern | None = None
    task_id_prefix_pattern: Pattern | None = None
    run_id_pattern: Pattern | None = None
    run_id_prefix_pattern: Pattern | None = None
    owner_pattern: Pattern | None = None
    owner_prefix_pattern: Pattern | None = None
    event_pattern: Pattern | None = None
    event_prefix_pattern: Pattern | None = None


# ---------------------------------------------------------------- what they mean

_COMPARISONS: Mapping[str, Callable[[Any, Any], Any]] = {
    "gte": operator.ge,
    "gt": operator.gt,
    "lte": operator.le,
    "lt": operator.lt,
}


def range_conditions(
    filters: BaseModel, columns: Mapping[str, sa.ColumnElement[Any]]
) -> Iterator[sa.ColumnElement[bool]]:
    """Conditions of all range parameters that are given; `columns` maps their beginnings to columns."""
    for name, column in columns.items():
        for suffix, compare in _COMPARISONS.items():
            value = getattr(filters, f"{name}_{suffix}", None)
            if value is not None:
                yield compare(column, value)


def pattern_conditions(
    filters: BaseModel, columns: Mapping[str, sa.ColumnElement[Any]]
) -> Iterator[sa.ColumnElement[bool]]:
    """Conditions of all `NAME_pattern` and `NAME_prefix_pattern` parameters that are given."""
    for name, column in columns.items():
        pattern = getattr(filters, f"{name}_pattern", None)
        if pattern is not None and pattern != "~":
            yield sa.or_(*(column.ilike(f"%{term}%") for term in _terms(pattern)))
        prefix = getattr(filters, f"{name}_prefix_pattern", None)
        if prefix is not None and prefix != "~":
            yield sa.or_(*(_begins_with(column, term) for term in _terms(prefix)))


def membership_conditions(
    filters: BaseModel, columns: Mapping[str, sa.ColumnElement[Any]]
) -> Iterator[sa.ColumnElement[bool]]:
    """Conditions of parameters that list allowed values; an empty list allows all."""
    for name, column in columns.items():
        values = getattr(filters, name)
        if values:
            yield column.in_(values)


def equality_conditions(
    filters: BaseModel, columns: Mapping[str, sa.ColumnElement[Any]]
) -> Iterator[sa.ColumnElement[bool]]:
    """Conditions of parameters that name one value."""
    for name, column in columns.items():
        value = getattr(filters, name)
        if value is not None:
            yield column == value


def _terms(pattern: str) -> Sequence[str]:
    """The alternatives of a pattern."""
    return [term.strip() for term in pattern.split("|")]


def _begins_with(column: sa.ColumnElement[Any], term: str) -> sa.ColumnElement[bool]:
    """A range condition that an index serves. As in Airflow, special characters at the end do not count."""
    while term and not term[-1].isalnum():
        term = term[:-1]
    if not term:
        return sa.true()
    return sa.and_(column >= term, column < term + _LAST_CHARACTER)
