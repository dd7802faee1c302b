"""Answers about DAGs, their versions, tags, sources, tasks and problems.

Decides the fields of these answers. Filled by `queries.dags`, `queries.versions` and `queries.problems`.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec


class _Answer(msgspec.Struct, kw_only=True):
    """Base of answers: every field is always sent, null included, as Airflow does."""


class DagTagResponse(_Answer):
    """One tag of one DAG."""

    name: str
    dag_id: str
    dag_display_name: str


class DagVersionResponse(_Answer):
    """One immutable version of a DAG."""

    id: UUID
    version_number: int
    dag_id: str
    dag_display_name: str
    bundle_name: str | None
    bundle_version: str | None
    bundle_url: str | None
    created_at: datetime


class DAGResponse(_Answer):
    """A DAG as listed."""

    dag_id: str
    dag_display_name: str
    is_paused: bool
    is_stale: bool
    last_parsed_time: datetime | None
    last_parse_duration: float | None
    last_expired: datetime | None
    bundle_name: str | None
    bundle_version: str | None
    relative_fileloc: str | None
    fileloc: str
    description: str | None
    timetable_summary: str | None
    timetable_description: str | None
    timetable_partitioned: bool
    timetable_periodic: bool
    tags: list[DagTagResponse]
    max_active_tasks: int
    max_active_runs: int | None
    max_consecutive_failed_dag_runs: int
    has_task_concurrency_limits: bool
    has_import_errors: bool
    next_dagrun_logical_date: datetime | None
    next_dagrun_data_interval_start: datetime | None
    next_dagrun_data_interval_end: datetime | None
    next_dagrun_run_after: datetime | None
    allowed_run_types: list[str] | None
    owners: list[str]
    is_backfillable: bool
    file_token: str


class DAGDetailsResponse(DAGResponse, kw_only=True):
    """A DAG with what only its definition knows."""

    catchup: bool
    dag_run_timeout: str | None
    asset_expression: dict[str, Any] | None
    doc_md: str | None
    start_date: datetime | None
    end_date: datetime | None
    is_paused_upon_creation: bool | None
    params: dict[str, Any] | None
    render_template_as_native_obj: bool
    template_search_path: list[str] | None
    timezone: str | None
    last_parsed: datetime | None
    default_args: dict[str, Any] | None
    owner_links: dict[str, str] | None
    is_favorite: bool
    active_runs_count: int
    latest_dag_version: DagVersionResponse | None
    rerun_with_latest_version: bool | None
    concurrency: int


class DAGCollectionResponse(_Answer):
    """One page of DAGs."""

    dags: list[DAGResponse]
    total_entries: int


class DAGTagCollectionResponse(_Answer):
    """One page of tag names."""

    tags: list[str]
    total_entries: int


class DAGVersionCollectionResponse(_Answer):
    """One page of a DAG's versions."""

    dag_versions: list[DagVersionResponse]
    total_entries: int


class DAGSourceResponse(_Answer):
    """The file that a version of a DAG was read from."""

    content: str | None
    dag_id: str
    version_number: int | None
    dag_display_name: str


class TimeDelta(msgspec.Struct, kw_only=True, tag_field="__type", tag="TimeDelta"):
    """A duration, in Airflow's form."""

    days: int
    seconds: int
    microseconds: int


class TaskResponse(_Answer):
    """One task of a DAG."""

    task_id: str
    task_display_name: str
    owner: str
    start_date: datetime | None
    end_date: datetime | None
    trigger_rule: str
    depends_on_past: bool
    wait_for_downstream: bool
    retries: float
    queue: str
    pool: str
    pool_slots: float
    execution_timeout: TimeDelta | None
    retry_delay: TimeDelta
    retry_exponential_backoff: float
    priority_weight: float
    weight_rule: str
    ui_color: str
    ui_fgcolor: str
    template_fields: list[str]
    downstream_task_ids: list[str]
    doc_md: str | None
    operator_name: str
    params: dict[str, Any]
    class_ref: dict[str, Any]
    is_mapped: bool
    extra_links: list[str]


class TaskCollectionResponse(_Answer):
    """All tasks of a DAG."""

    tasks: list[TaskResponse]
    total_entries: int


class DagStatsStateResponse(_Answer):
    """How many runs of a DAG stand in one state."""

    state: str
    count: int


class DagStatsResponse(_Answer):
    """How many runs of a DAG stand in each state."""

    dag_id: str
    dag_display_name: str
    stats: list[DagStatsStateResponse]


class DagStatsCollectionResponse(_Answer):
    """Run counts of several DAGs."""

    dags: list[DagStatsResponse]
    total_entries: int


class DAGWarningResponse(_Answer):
    """Something about a DAG that works but is not right."""

    dag_id: str
    warning_type: str
    message: str
    timestamp: datetime
    dag_display_name: str


class DAGWarningCollectionResponse(_Answer):
    """One page of warnings."""

    dag_warnings: list[DAGWarningResponse]
    total_entries: int


class ImportErrorResponse(_Answer):
    """A DAG file that could not be loaded."""

    import_error_id: int
    timestamp: datetime
    filename: str
    bundle_name: str | None
    stack_trace: str


class ImportErrorCollectionResponse(_Answer):
    """One page of import errors."""

    import_errors: list[ImportErrorResponse]
    total_entries: int
