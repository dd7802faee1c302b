"""Rows as the scheduling machine sees them: what a loader reads and what a transaction inserts.

Decides which columns the machine depends on. Does not know tables or SQL (`dagdeck_io.db`), which
fill these from whatever they store. Ids are those of `dagdeck_core.ids`; `run_key` is the integer id
of a dag_run row, `run_id` Airflow's text.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

import msgspec

from dagdeck_core.actions import Action
from dagdeck_core.spec import DEFAULT_QUEUE, DagSpec, DeadlineSpec
from dagdeck_core.states import DagRunState, DagRunType, TaskInstanceState
from dagdeck_core.wire import Effects


class WorkerState(StrEnum):
    """Where one incarnation of a worker stands."""

    ACTIVE = "active"
    DRAINING = "draining"
    STOPPED = "stopped"
    LOST = "lost"


class _Record(msgspec.Struct, frozen=True, kw_only=True):
    """Base of all records."""


class DagVersionRecord(_Record, frozen=True, kw_only=True):
    """One immutable version of a DAG: its spec and the bundle it came from."""

    version_id: int
    dag_id: str
    version_number: int
    bundle_name: str
    bundle_version: str
    """The bundle's content hash."""
    spec: DagSpec


class AskedRuns(_Record, frozen=True, kw_only=True, omit_defaults=True):
    """What an author's timetable said beyond times: of the next run, and of the last automated one.

    A run without dates has neither logical date nor data interval.
    """

    next_run_id: str = ""
    next_partition_key: str | None = None
    next_partition_date: datetime | None = None
    next_is_dateless: bool = False
    last_run_after: datetime | None = None
    last_partition_key: str | None = None
    last_partition_date: datetime | None = None
    last_is_dateless: bool = False


class DagRecord(_Record, frozen=True, kw_only=True):
    """A DAG as scheduled now. `version_id` is its newest version; stale DAGs make no new runs."""

    dag_id: str
    version_id: int
    is_paused: bool = False
    is_stale: bool = False
    next_run_after: datetime | None = None
    next_interval_start: datetime | None = None
    next_interval_end: datetime | None = None
    last_interval_start: datetime | None = None
    """Data interval of the newest automated run, or None before the first."""
    last_interval_end: datetime | None = None
    consecutive_failures: int = 0
    asked: AskedRuns | None = None
    """Of a timetable that is code of the author's."""


class RunRecord(_Record, frozen=True, kw_only=True):
    """One dag_run row."""

    run_key: int
    dag_id: str
    run_id: str
    version_id: int
    state: DagRunState
    run_type: DagRunType
    run_after: datetime
    queued_at: datetime
    logical_date: datetime | None = None
    data_interval_start: datetime | None = None
    data_interval_end: datetime | None = None
    start_date: datetime | None = None
    end_date: datetime | None = None
    conf: dict[str, Any] = {}
    note: str | None = None
    triggered_by: str = "timetable"
    """Airflow's DagRunTriggeredByType: timetable, rest_api, cli, ui, test, asset, backfill, operator."""
    triggering_user: str | None = None
    partition_key: str | None = None
    backfill_id: int | None = None
    created_tasks: int = 0
    """How many of the spec's tasks have their task_instance rows; fewer than all while a large run is being created."""
    partition_date: datetime | None = None


class TaskRecord(_Record, frozen=True, kw_only=True):
    """One task_instance row, as far as scheduling goes."""

    ti_id: int
    run_key: int
    task_id: str
    map_index: int = -1
    state: TaskInstanceState = TaskInstanceState.NONE
    dispatch_no: int = 0
    """The live or last dispatch; 0 before the first."""
    try_number: int = 0
    max_tries: int = 0
    worker_id: int | None = None
    next_at: datetime | None = None
    lost_count: int = 0
    """Workers lost in a row under this task instance."""
    revoke_to: TaskInstanceState | None = None
    """Set while a live dispatch is being ended: the state that it then takes."""
    duration: float = 0.0
    effects: Effects | None = None


class PoolRecord(_Record, frozen=True, kw_only=True):
    """One pool. `slots` -1 means without limit."""

    name: str
    slots: int
    include_deferred: bool = False


class WorkerRecord(_Record, frozen=True, kw_only=True):
    """One incarnation of a worker, with its lease counter as just read."""

    worker_id: int
    name: str
    state: WorkerState
    slots: int
    counter: int = 0
    queues: tuple[str, ...] = (DEFAULT_QUEUE,)
    version: str = ""
    wire_version: int = 1


class DeadlineRecord(_Record, frozen=True, kw_only=True):
    """A deadline of a run that was neither missed nor met. `number` is its place in the DAG's spec."""

    deadline_id: int
    run_key: int
    dag_id: str
    version_id: int
    number: int
    at: datetime
    spec: DeadlineSpec


class ActionRecord(_Record, frozen=True, kw_only=True):
    """One pending action and who asked for it."""

    action_id: int
    action: Action
    actor: str
    source: str = "rest_api"
    address: str | None = None
    """From where it was sent, and with which token; None when it was not sent by a person."""
    token_id: int | None = None
    requested_at: datetime | None = None
