"""What the control API answers with, as typed values.

Decides which fields a client reads; fields it does not know are passed over, so that an answer of a newer
server, or of an Airflow 3 server, can be read. Does not decide how answers are fetched. Made by
`dagdeck_client.requests`, shown by the command line and the desktop.

States stay plain strings here: a state that a newer server adds must not make an old client fail.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec


class _Model(msgspec.Struct, frozen=True, kw_only=True):
    """Base of all answers."""


class Token(_Model, frozen=True):
    """A bearer token for the following requests."""

    access_token: str


class TokenInfo(_Model, frozen=True):
    """What is known of a token. `scope` is the role that it is narrowed to; None: what its user may."""

    token_id: int
    created_at: datetime
    origin: str = ""
    name: str | None = None
    scope: str | None = None
    expires_at: datetime | None = None
    last_used_at: datetime | None = None


class TokenInfoPage(_Model, frozen=True):
    """One's own tokens, newest first."""

    tokens: tuple[TokenInfo, ...]
    total_entries: int


class NewToken(_Model, frozen=True):
    """A token that was just made; its secret is shown this once."""

    access_token: str
    token: TokenInfo


class VersionInfo(_Model, frozen=True):
    """The server's version."""

    version: str
    git_version: str | None = None


class DagTag(_Model, frozen=True):
    """One tag of a DAG."""

    name: str


class Dag(_Model, frozen=True):
    """A DAG as listed."""

    dag_id: str
    dag_display_name: str
    is_paused: bool
    is_stale: bool = False
    description: str | None = None
    fileloc: str = ""
    relative_fileloc: str | None = None
    bundle_name: str | None = None
    bundle_version: str | None = None
    owners: tuple[str, ...] = ()
    tags: tuple[DagTag, ...] = ()
    timetable_summary: str | None = None
    timetable_description: str | None = None
    max_active_tasks: int = 0
    max_active_runs: int | None = None
    has_import_errors: bool = False
    last_parsed_time: datetime | None = None
    next_dagrun_logical_date: datetime | None = None
    next_dagrun_run_after: datetime | None = None


class DagDetails(Dag, frozen=True, kw_only=True):
    """A DAG with what only its definition knows."""

    catchup: bool = False
    start_date: datetime | None = None
    end_date: datetime | None = None
    timezone: str | None = None
    doc_md: str | None = None
    params: dict[str, Any] | None = None
    dag_run_timeout: str | None = None
    active_runs_count: int | None = None


class DagPage(_Model, frozen=True):
    """One page of DAGs."""

    dags: tuple[Dag, ...]
    total_entries: int


class RunVersion(_Model, frozen=True):
    """A version of the DAG that a run had."""

    version_number: int


class DagRun(_Model, frozen=True):
    """One run of a DAG."""

    dag_id: str
    dag_run_id: str
    state: str
    run_type: str
    run_after: datetime
    logical_date: datetime | None = None
    queued_at: datetime | None = None
    start_date: datetime | None = None
    end_date: datetime | None = None
    duration: float | None = None
    data_interval_start: datetime | None = None
    data_interval_end: datetime | None = None
    conf: dict[str, Any] | None = None
    note: str | None = None
    triggered_by: str | None = None
    triggering_user_name: str | None = None
    bundle_version: str | None = None
    dag_versions: tuple[RunVersion, ...] = ()


class DagRunPage(_Model, frozen=True):
    """One page of runs; cursors are set only where they were asked for."""

    dag_runs: tuple[DagRun, ...]
    total_entries: int | None = None
    next_cursor: str | None = None


class TaskInstance(_Model, frozen=True):
    """One task of one run. `id` is missing where a server tells of an earlier try."""

    task_id: str
    dag_id: str
    dag_run_id: str
    map_index: int = -1
    state: str | None = None
    try_number: int = 0
    max_tries: int = 0
    start_date: datetime | None = None
    end_date: datetime | None = None
    duration: float | None = None
    operator: str | None = None
    operator_name: str | None = None
    pool: str = ""
    queue: str | None = None
    priority_weight: int | None = None
    hostname: str | None = None
    pid: int | None = None
    note: str | None = None
    queued_when: datetime | None = None
    scheduled_when: datetime | None = None
    rendered_fields: dict[str, Any] | None = None
    rendered_map_index: str | None = None
    id: str | None = None


class TaskInstancePage(_Model, frozen=True):
    """One page of task instances; cursors are set only where they were asked for."""

    task_instances: tuple[TaskInstance, ...]
    total_entries: int | None = None
    next_cursor: str | None = None


class Task(_Model, frozen=True):
    """One task of a DAG's newest version."""

    task_id: str
    operator_name: str | None = None
    owner: str | None = None
    trigger_rule: str | None = None
    downstream_task_ids: tuple[str, ...] | None = None
    pool: str | None = None
    queue: str | None = None
    retries: float | None = None
    task_display_name: str | None = None
    doc_md: str | None = None
    is_mapped: bool | None = None


class TaskPage(_Model, frozen=True):
    """All tasks of a DAG."""

    tasks: tuple[Task, ...]
    total_entries: int


class StructureNode(_Model, frozen=True):
    """A task as a picture needs it."""

    task_id: str
    label: str = ""
    group_id: str | None = None
    operator: str = ""
    is_mapped: bool = False
    setup_teardown_type: str | None = None


class StructureEdge(_Model, frozen=True):
    """That a task comes after another one."""

    source_id: str
    target_id: str
    label: str | None = None


class StructureGroup(_Model, frozen=True):
    """A task group; `parent_id` names the group that it stands in."""

    group_id: str
    label: str = ""
    parent_id: str | None = None
    tooltip: str | None = None
    is_mapped: bool = False


class Structure(_Model, frozen=True):
    """The shape of one version of a DAG."""

    dag_id: str
    version_number: int
    nodes: tuple[StructureNode, ...]
    edges: tuple[StructureEdge, ...]
    groups: tuple[StructureGroup, ...]


class LogRange(_Model, frozen=True):
    """A piece of a try's log. `next_offset` is where to read on; `is_complete` means that nothing will follow."""

    offset: int
    next_offset: int
    size: int
    is_complete: bool
    text: str
    try_number: int
    dispatch_no: int | None = None


class ImportError_(_Model, frozen=True):
    """A DAG file that could not be loaded."""

    import_error_id: int
    filename: str
    timestamp: datetime
    stack_trace: str
    bundle_name: str | None = None


class ImportErrorPage(_Model, frozen=True):
    """One page of import errors."""

    import_errors: tuple[ImportError_, ...]
    total_entries: int


class Pool(_Model, frozen=True):
    """A pool with its slots; -1 slots means without limit."""

    name: str
    slots: int
    description: str | None = None
    include_deferred: bool = False
    occupied_slots: int = 0
    running_slots: int = 0
    queued_slots: int = 0
    scheduled_slots: int = 0
    open_slots: int = 0
    deferred_slots: int = 0


class PoolPage(_Model, frozen=True):
    """One page of pools."""

    pools: tuple[Pool, ...]
    total_entries: int


class Variable(_Model, frozen=True):
    """A variable; the value of a sensitive one is masked by the server."""

    key: str
    value: str | None = None
    description: str | None = None
    is_encrypted: bool = True


class VariablePage(_Model, frozen=True):
    """One page of variables."""

    variables: tuple[Variable, ...]
    total_entries: int


class Connection(_Model, frozen=True):
    """A connection; its password never leaves the server."""

    connection_id: str
    conn_type: str
    description: str | None = None
    host: str | None = None
    login: str | None = None
    schema: str | None = None
    port: int | None = None
    password: str | None = None
    extra: str | None = None


class ConnectionPage(_Model, frozen=True):
    """One page of connections."""

    connections: tuple[Connection, ...]
    total_entries: int


class Worker(_Model, frozen=True):
    """One incarnation of a worker, with its last sample when the queue has one."""

    worker_id: int
    name: str
    state: str
    slots: int
    running: int = 0
    queues: tuple[str, ...] = ()
    hostname: str = ""
    pid: int | None = None
    version: str = ""
    started_at: datetime | None = None
    cpu: float | None = None
    memory_used: int | None = None
    memory_total: int | None = None
    load1: float | None = None
    net_received: float | None = None
    net_sent: float | None = None
    trigger_capacity: int = 0
    triggers: int | None = None
    last_seen_at: datetime | None = None


class WorkerPage(_Model, frozen=True):
    """Workers that the cluster knows."""

    workers: tuple[Worker, ...]
    total_entries: int


class Queue(_Model, frozen=True):
    """A queue: what waits in it (None while the queue does not answer), and how many workers take from it."""

    name: str
    depth: int | None = None
    workers: int = 0


class QueuePage(_Model, frozen=True):
    """All queues."""

    queues: tuple[Queue, ...]
    total_entries: int


class XComKey(_Model, frozen=True):
    """A value that a task pushed, by its key; the value itself is asked for separately."""

    key: str
    timestamp: datetime | None = None
    map_index: int = -1


class XComPage(_Model, frozen=True):
    """The keys that a task instance pushed."""

    xcom_entries: tuple[XComKey, ...]
    total_entries: int


class ExtraLinks(_Model, frozen=True):
    """Addresses by the names of a task's links; "" or None where its last try gave none."""

    extra_links: dict[str, str | None]


class DagSource(_Model, frozen=True):
    """The file that defines a DAG, as it was when its newest version was read."""

    content: str | None = None
    version_number: int | None = None


class ActionStatus(_Model, frozen=True):
    """Where a person's action stands: pending, done or refused."""

    action_id: int
    kind: str
    state: str
    refused: str | None = None
    result: dict[str, Any] | None = None


class Gate(_Model, frozen=True):
    """One thing that holds a run or task instance, and what opens it."""

    kind: str
    reason: str
    opens: str
    subjects: tuple[str, ...] = ()
    at: datetime | None = None


class Explanation(_Model, frozen=True):
    """Why something does not run, as of `at`; without gates nothing holds it."""

    state: str | None
    at: datetime
    gates: tuple[Gate, ...] = ()
