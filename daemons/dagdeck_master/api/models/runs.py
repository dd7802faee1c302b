"""Answers about dag runs, task instances, their tries, logs and XComs.

Decides the fields of these answers. Filled by the modules of `queries` of the same subjects.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from dagdeck_master.api.models.dags import DagVersionResponse


class _Answer(msgspec.Struct, kw_only=True):
    """Base of answers: every field is always sent, null included, as Airflow does."""


class DAGRunResponse(_Answer):
    """One run of a DAG."""

    dag_run_id: str
    dag_id: str
    logical_date: datetime | None
    queued_at: datetime | None
    start_date: datetime | None
    end_date: datetime | None
    duration: float | None
    data_interval_start: datetime | None
    data_interval_end: datetime | None
    run_after: datetime
    last_scheduling_decision: datetime | None
    run_type: str
    state: str
    triggered_by: str | None
    triggering_user_name: str | None
    conf: dict[str, Any] | None
    note: str | None
    dag_versions: list[DagVersionResponse]
    bundle_version: str | None
    dag_display_name: str
    partition_key: str | None
    partition_date: datetime | None


class DAGRunCollectionResponse(_Answer):
    """One page of runs; with a cursor, `total_entries` stops counting at `total_entries_limit`."""

    dag_runs: list[DAGRunResponse]
    total_entries: int | None
    total_entries_limit: int | None
    next_cursor: str | None
    previous_cursor: str | None


class TriggerResponse(_Answer):
    """What a deferred task instance waits for."""

    id: int
    classpath: str
    kwargs: str
    created_date: datetime
    queue: str | None
    triggerer_id: int | None


class JobResponse(_Answer):
    """A process that works for a task instance."""

    id: int
    dag_id: str | None
    state: str | None
    job_type: str | None
    start_date: datetime | None
    end_date: datetime | None
    latest_heartbeat: datetime | None
    executor_class: str | None
    hostname: str | None
    unixname: str | None
    dag_display_name: str | None


class TaskInstanceResponse(_Answer):
    """One task of one run."""

    id: UUID
    task_id: str
    dag_id: str
    dag_run_id: str
    map_index: int
    logical_date: datetime | None
    run_after: datetime
    start_date: datetime | None
    end_date: datetime | None
    duration: float | None
    state: str | None
    try_number: int
    max_tries: int
    task_display_name: str
    dag_display_name: str
    hostname: str | None
    unixname: str | None
    pool: str
    pool_slots: int
    queue: str | None
    priority_weight: int | None
    operator: str | None
    operator_name: str | None
    queued_when: datetime | None
    scheduled_when: datetime | None
    pid: int | None
    executor: str | None
    executor_config: str
    note: str | None
    rendered_map_index: str | None
    rendered_fields: dict[str, Any]
    trigger: TriggerResponse | None
    triggerer_job: JobResponse | None
    dag_version: DagVersionResponse | None


class TaskInstanceCollectionResponse(_Answer):
    """One page of task instances; with a cursor, `total_entries` stops counting at `total_entries_limit`."""

    task_instances: list[TaskInstanceResponse]
    total_entries: int | None
    total_entries_limit: int | None
    next_cursor: str | None
    previous_cursor: str | None


class TaskInstanceHistoryResponse(_Answer):
    """One try of a task instance."""

    task_id: str
    dag_id: str
    dag_run_id: str
    map_index: int
    start_date: datetime | None
    end_date: datetime | None
    duration: float | None
    state: str | None
    try_number: int
    max_tries: int
    task_display_name: str
    dag_display_name: str
    hostname: str | None
    unixname: str | None
    pool: str
    pool_slots: int
    queue: str | None
    priority_weight: int | None
    operator: str | None
    operator_name: str | None
    queued_when: datetime | None
    scheduled_when: datetime | None
    pid: int | None
    executor: str | None
    executor_config: str
    dag_version: DagVersionResponse | None


class TaskInstanceHistoryCollectionResponse(_Answer):
    """All tries of a task instance, oldest first."""

    task_instances: list[TaskInstanceHistoryResponse]
    total_entries: int


class TaskDependencyResponse(_Answer):
    """One thing that keeps a task instance from running."""

    name: str
    reason: str


class TaskDependencyCollectionResponse(_Answer):
    """What keeps a task instance from running; empty when nothing does."""

    dependencies: list[TaskDependencyResponse]


class NewTaskResponse(_Answer):
    """A task of the newest version that a run does not have yet."""

    task_id: str
    task_display_name: str


class ClearTaskInstanceCollectionResponse(_Answer):
    """What clearing a run would run again."""

    task_instances: list[TaskInstanceResponse]
    total_entries: int


class StructuredLogMessage(_Answer):
    """One line of a log, taken apart where it has the shape of a log record."""

    timestamp: datetime | None
    event: str
    level: str | None
    logger: str | None


class TaskInstancesLogResponse(_Answer):
    """A piece of a try's log; without a continuation token it is the last one."""

    content: list[StructuredLogMessage]
    continuation_token: str | None


class XComResponse(_Answer):
    """One XCom without its value."""

    key: str
    timestamp: datetime
    logical_date: datetime | None
    map_index: int
    task_id: str
    dag_id: str
    run_id: str
    dag_display_name: str
    task_display_name: str
    run_after: datetime


class XComValueResponse(XComResponse, kw_only=True):
    """One XCom with its value."""

    value: Any


class ExtraLinkCollectionResponse(_Answer):
    """The extra links of a task instance: addresses by name, "" where there is none."""

    extra_links: dict[str, str]
    total_entries: int


class XComCollectionResponse(_Answer):
    """One page of XComs."""

    xcom_entries: list[XComResponse]
    total_entries: int
