"""The metadata database's tables, in Airflow's words, as SQLAlchemy Core tables on one MetaData.

Decides columns, keys and indexes. Does not decide who may write what: states of runs and task instances are
written by the scheduler's and the workers' stores alone, everything else by the part named beside its table.
The migrations create the same schema (a test compares). Read by the stores here and by the control API.

Rules: no index contains the state of a task instance; no foreign keys (hot paths must not lock parents, and rows
of one run are deleted by its key). Ids are those of `dagdeck_core.ids`: they begin with the time, so retention
of transition, task_instance_history, audit_log and the like deletes a range of the primary key, and no index on a
time column is needed there. Texts compare byte by byte (case counts).
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy import Boolean, Column, Double, Index, Integer, MetaData, PrimaryKeyConstraint, String, UniqueConstraint

from dagdeck_core.actions import ActionState
from dagdeck_core.records import WorkerState
from dagdeck_core.states import DagRunState, DagRunType, TaskInstanceState
from dagdeck_io.db.types import EnumText, JsonText, SpecBlob, UtcDateTime, big_id, long_blob, long_text

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

NAME = 250
"""Most characters of a dag_id, task_id, run_id and other names."""
PATH = 500
REASON = 500
"""Most characters of a reason; longer ones are cut."""


def _table(name: str, *items: Any) -> sa.Table:
    return sa.Table(name, metadata, *items, mysql_engine="InnoDB", mysql_charset="utf8mb4", mysql_collate="utf8mb4_bin")


def _id(name: str, **options: Any) -> Column[int]:
    return Column(name, big_id(), autoincrement=False, **options)


def _name(name: str, **options: Any) -> Column[str]:
    return Column(name, String(NAME), **options)


def _time(name: str, **options: Any) -> Column[Any]:
    return Column(name, UtcDateTime(), **options)


def _flag(name: str) -> Column[bool]:
    return Column(name, Boolean(), nullable=False, default=False)


def _count(name: str, default: int = 0) -> Column[int]:
    return Column(name, Integer(), nullable=False, default=default)


def _state(name: str, **options: Any) -> Column[Any]:
    return Column(name, EnumText(TaskInstanceState), **options)


# ------------------------------------------------------------------ DAGs and their code (DAG processor)

dag = _table(
    "dag",
    _name("dag_id", primary_key=True),
    _name("dag_display_name"),
    Column("description", long_text()),
    Column("fileloc", String(2000), nullable=False, default=""),  # relative to the bundle's root
    _name("bundle_name", nullable=False),
    Column("bundle_version", String(64), nullable=False),
    _id("version_id", nullable=False),  # the newest version
    _count("version_number", 1),
    _flag("is_paused"),
    _flag("is_stale"),
    _flag("has_import_errors"),
    _flag("has_task_concurrency_limits"),
    _flag("has_asset_schedule"),
    Column("owners", JsonText()),  # list of names, sorted
    Column("timetable_type", String(NAME)),
    Column("timetable_summary", String(1000)),
    Column("timetable_description", String(1000)),
    _flag("timetable_periodic"),
    _flag("timetable_partitioned"),
    Column("allowed_run_types", JsonText()),
    _count("max_active_runs", 16),
    _count("max_active_tasks", 16),
    _count("max_consecutive_failed_dag_runs"),
    # The scheduler's: when it runs next, and the newest automated run's data interval.
    _time("next_run_after"),
    _time("next_interval_start"),
    _time("next_interval_end"),
    _time("last_interval_start"),
    _time("last_interval_end"),
    _count("consecutive_failures"),
    # Changes with each change by the DAG processor or a person (`dag_revisions()`).
    Column("revision", sa.BigInteger(), nullable=False, default=1),
    _time("created_at", nullable=False),
    _time("last_parsed_time"),
    Column("last_parse_duration", Double()),
    _time("last_expired"),
)

dag_tag = _table(
    "dag_tag",
    _name("dag_id"),
    Column("name", String(100), nullable=False),
    PrimaryKeyConstraint("dag_id", "name"),
    Index(None, "name"),
)

dag_version = _table(
    "dag_version",
    _id("version_id", primary_key=True),
    _name("dag_id", nullable=False),
    _count("version_number", 1),
    _name("bundle_name", nullable=False),
    Column("bundle_version", String(64), nullable=False),
    Column("spec_sha256", String(64), nullable=False),
    Column("code_sha256", String(64), nullable=False),  # of all that the DAG's code may read
    Column("spec", SpecBlob(), nullable=False),
    _time("created_at", nullable=False),
    UniqueConstraint("dag_id", "version_number"),
)

bundle = _table(
    "bundle",
    _id("bundle_id", primary_key=True),
    _name("name", nullable=False),
    Column("version", String(64), nullable=False),
    _count("file_count"),
    Column("total_size", sa.BigInteger(), nullable=False, default=0),
    _time("created_at", nullable=False),
    _time("published_at"),  # when the DAG processor last made it the current one
    UniqueConstraint("name", "version"),
)

bundle_file = _table(
    "bundle_file",
    _id("bundle_id"),
    Column("path", String(PATH), nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("size", sa.BigInteger(), nullable=False),
    _flag("executable"),
    PrimaryKeyConstraint("bundle_id", "path"),
    Index(None, "sha256"),
)

bundle_content = _table(
    "bundle_content",
    Column("sha256", String(64), primary_key=True),
    Column("size", sa.BigInteger(), nullable=False),  # of the file, before compression
    Column("encoding", String(16), nullable=False),  # "zlib" or "raw"
    Column("data", long_blob(), nullable=False),
    _time("created_at", nullable=False),
)

import_error = _table(
    "import_error",
    _id("import_error_id", primary_key=True),
    _name("bundle_name", nullable=False),
    Column("bundle_version", String(64)),
    Column("filename", String(PATH), nullable=False),
    Column("line", Integer()),
    Column("message", long_text()),
    Column("stack_trace", long_text()),
    _time("timestamp", nullable=False),
    UniqueConstraint("bundle_name", "filename"),
)

dag_warning = _table(
    "dag_warning",
    _name("dag_id"),
    Column("warning_type", String(50), nullable=False),
    Column("message", long_text(), nullable=False),
    _time("timestamp", nullable=False),
    PrimaryKeyConstraint("dag_id", "warning_type"),
)

parse_request = _table(  # written by the API, deleted by the DAG processor
    "parse_request",
    _id("parse_request_id", primary_key=True),
    _name("bundle_name", nullable=False),
    Column("filename", String(2000), nullable=False),
    _time("requested_at", nullable=False),
)

# ------------------------------------------------------------------ runs and task instances (scheduler, workers)

dag_run = _table(
    "dag_run",
    _id("run_key", primary_key=True),
    _name("dag_id", nullable=False),
    _name("run_id", nullable=False),
    _id("version_id", nullable=False),
    Column("state", EnumText(DagRunState), nullable=False),
    Column("run_type", EnumText(DagRunType), nullable=False),
    _time("run_after", nullable=False),
    _time("queued_at"),
    _time("logical_date"),
    _time("data_interval_start"),
    _time("data_interval_end"),
    _time("start_date"),
    _time("end_date"),
    Column("conf", JsonText()),
    Column("note", long_text()),
    Column("triggered_by", String(50)),
    _name("triggering_user"),
    _name("partition_key"),
    _time("partition_date"),
    _id("backfill_id"),
    _count("created_tasks"),
    _count("clear_number"),
    _time("last_scheduling_decision"),
    Column("context_carrier", JsonText()),
    _time("updated_at", nullable=False),
    UniqueConstraint("dag_id", "run_id"),
    UniqueConstraint("dag_id", "logical_date"),
    Index(None, "state", "run_after"),
    Index(None, "dag_id", "run_after"),
    Index(None, "run_after"),
)

task_instance = _table(
    "task_instance",
    _id("ti_id", primary_key=True),
    _id("run_key", nullable=False),
    _name("task_id", nullable=False),
    _count("map_index", -1),
    _state("state", nullable=False, default=TaskInstanceState.NONE),
    _id("dispatch_no", nullable=False, default=0),
    _count("try_number"),
    _count("max_tries"),
    _id("version_id", nullable=False),
    _id("worker_id"),
    _time("next_at"),
    _count("lost_count"),
    _state("revoke_to"),
    Column("duration", Double(), nullable=False, default=0.0),
    Column("effects", JsonText()),
    _time("scheduled_at"),
    _time("queued_at"),
    _time("first_start_date"),  # of this try: kept while a sensor is rescheduled or a task deferred
    _time("start_date"),
    _time("end_date"),
    Column("pool", String(NAME), nullable=False),
    _count("pool_slots", 1),
    Column("queue", String(NAME), nullable=False),
    _count("priority_weight", 1),
    Column("executor", String(NAME)),
    Column("operator", String(NAME)),
    Column("custom_operator_name", String(NAME)),
    Column("task_display_name", String(2000)),  # None: the same as task_id
    Column("hostname", String(NAME)),
    Column("unixname", String(100)),
    Column("pid", Integer()),
    Column("error", long_text()),
    Column("note", long_text()),
    Column("rendered_map_index", String(NAME)),
    _id("trigger_id"),
    _id("triggerer_id"),  # the worker whose triggerer has it
    _time("trigger_timeout"),
    Column("next_method", String(1000)),
    Column("next_kwargs", JsonText()),
    Column("external_executor_id", String(NAME)),
    Column("context_carrier", JsonText()),
    _time("updated_at", nullable=False),
    UniqueConstraint("run_key", "task_id", "map_index"),
)

task_instance_history = _table(  # one row per ended dispatch; what it lacks is on its task_instance
    "task_instance_history",
    _id("dispatch_no", primary_key=True),
    _id("ti_id", nullable=False),
    _id("run_key", nullable=False),
    _count("try_number"),
    _count("max_tries"),
    _state("state", nullable=False),
    _id("version_id", nullable=False),
    _id("worker_id"),
    _time("scheduled_at"),
    _time("queued_at"),
    _time("start_date"),
    _time("end_date"),
    Column("duration", Double()),
    Column("queue", String(NAME)),
    _count("priority_weight", 1),
    Column("hostname", String(NAME)),
    Column("unixname", String(100)),
    Column("pid", Integer()),
    Column("external_executor_id", String(NAME)),
    Column("rendered_map_index", String(NAME)),
    Column("error", long_text()),
    Column("ended_by", String(NAME), nullable=False),  # "worker:<id>" that reported it, or "scheduler"
    Column("reason", String(REASON), nullable=False, default=""),
    Index(None, "ti_id"),
)

transition = _table(  # append-only; moves of runs have no ti_id
    "transition",
    _id("transition_id", primary_key=True),
    _id("run_key", nullable=False),
    _id("ti_id"),
    _id("dispatch_no", nullable=False, default=0),
    Column("from_state", String(24), nullable=False),
    Column("to_state", String(24), nullable=False),
    _time("at", nullable=False),
    Column("actor", String(NAME), nullable=False),  # "scheduler" or "worker:<id>"
    Column("reason", String(REASON), nullable=False, default=""),
    Column("cause", String(NAME), nullable=False, default=""),
    Index(None, "run_key"),
)

xcom = _table(
    "xcom",
    _id("ti_id"),
    Column("key", String(512), nullable=False),
    _id("run_key", nullable=False),
    _id("dispatch_no", nullable=False, default=0),
    Column("value", long_text(), nullable=False),  # JSON
    _time("timestamp", nullable=False),
    PrimaryKeyConstraint("ti_id", "key"),
)

rendered_fields = _table(
    "rendered_fields",
    _id("ti_id", primary_key=True),
    _id("run_key", nullable=False),
    _id("dispatch_no", nullable=False, default=0),
    Column("fields", JsonText(), nullable=False),
)

log_chunk = _table(
    "log_chunk",
    _id("ti_id"),
    _id("dispatch_no"),
    Column("offset", sa.BigInteger(), nullable=False),  # uncompressed bytes from the dispatch's start
    _count("try_number"),
    _count("size"),  # uncompressed
    Column("encoding", String(16), nullable=False),  # "zlib" or "raw"
    Column("data", long_blob(), nullable=False),
    _time("created_at", nullable=False),
    PrimaryKeyConstraint("ti_id", "dispatch_no", "offset"),
)

attention = _table(
    "attention",
    Column("kind", String(24), nullable=False),  # "unfinished_run" or "failed_task"
    _id("subject_id"),  # run_key or ti_id
    _id("run_key", nullable=False),
    _time("since", nullable=False),
    PrimaryKeyConstraint("kind", "subject_id"),
    Index(None, "run_key"),
)

dag_stats = _table(
    "dag_stats",
    _name("dag_id"),
    Column("state", EnumText(DagRunState), nullable=False),
    Column("run_count", sa.BigInteger(), nullable=False, default=0),
    PrimaryKeyConstraint("dag_id", "state"),
)

revocation = _table(  # the live dispatches that a worker is to end; read with each lease renewal
    "revocation",
    _id("dispatch_no", primary_key=True),
    _id("ti_id", nullable=False),
    _id("worker_id", nullable=False),
    _time("requested_at", nullable=False),
    Index(None, "worker_id"),
)

ready = _table(
    "ready",
    _id("dispatch_no", primary_key=True),
    _id("ti_id", nullable=False),
    Column("queue", String(NAME), nullable=False),
    _count("priority", 1),
    Index(None, "queue", "priority", "dispatch_no"),
)

# ------------------------------------------------------------------ the cluster

worker = _table(
    "worker",
    _id("worker_id", primary_key=True),
    _name("name", nullable=False),
    _name("hostname", nullable=False),
    Column("state", EnumText(WorkerState), nullable=False),
    _count("slots"),
    Column("queues", JsonText(), nullable=False),
    Column("counter", sa.BigInteger(), nullable=False, default=0),
    Column("version", String(100), nullable=False, default=""),
    _count("wire_version", 1),
    Column("pid", Integer()),
    Column("unixname", String(100)),
    _time("started_at", nullable=False),
    _time("last_seen_at", nullable=False),  # by the database's clock, for people only
    _time("ended_at"),
    Column("reason", String(REASON)),
    Index(None, "state"),
    Index(None, "name", "hostname"),
)

lease = _table(
    "lease",
    Column("name", String(50), nullable=False),  # "scheduler", "dag_processor"
    _count("shard"),
    _name("owner"),
    _id("epoch", nullable=False, default=0),
    Column("counter", sa.BigInteger(), nullable=False, default=0),
    Column("connection_id", sa.BigInteger()),
    _time("acquired_at"),
    _time("renewed_at"),  # by the database's clock, for people only
    PrimaryKeyConstraint("name", "shard"),
)

id_node = _table(
    "id_node",
    Column("node", Integer(), primary_key=True, autoincrement=False),
    _name("owner"),
    _id("epoch", nullable=False, default=0),
    Column("counter", sa.BigInteger(), nullable=False, default=0),
    _time("leased_at"),
    _time("renewed_at"),
)

# ------------------------------------------------------------------ people and what they steer (API)

pool = _table(  # written by the scheduler, as the effect of an action
    "pool",
    _name("name", primary_key=True),
    _count("slots"),
    Column("description", long_text()),
    _flag("include_deferred"),
    _time("updated_at"),
)

variable = _table(
    "variable",
    _name("key", primary_key=True),
    Column("value", long_text(), nullable=False),  # encrypted
    Column("description", long_text()),
    _time("updated_at"),
)

connection = _table(
    "connection",
    _name("conn_id", primary_key=True),
    Column("conn_type", String(500), nullable=False),
    Column("host", String(500)),
    Column("schema", String(500)),
    Column("login", long_text()),
    Column("password", long_text()),  # encrypted
    Column("port", Integer()),
    Column("extra", long_text()),  # encrypted
    Column("description", long_text()),
    _time("updated_at"),
)

action = _table(  # inserted by the API, ended by the scheduler
    "action",
    _id("action_id", primary_key=True),
    _name("idempotency_key"),
    Column("kind", String(50), nullable=False),
    Column("payload", JsonText(), nullable=False),  # `dagdeck_core.actions.Action`
    Column("state", EnumText(ActionState), nullable=False),
    _name("actor", nullable=False),
    Column("source", String(50), nullable=False),
    _time("requested_at", nullable=False),
    _time("ended_at"),
    Column("refused", long_text()),
    Column("result", JsonText()),
    UniqueConstraint("actor", "idempotency_key"),
    Index(None, "state", "action_id"),
)

audit_log = _table(  # Airflow's event log
    "audit_log",
    _id("event_log_id", primary_key=True),
    _time("when", nullable=False),
    Column("event", String(60), nullable=False),
    _name("owner"),  # who did it
    Column("source", String(50)),
    _name("dag_id"),
    _name("run_id"),
    _name("task_id"),
    Column("map_index", Integer()),
    Column("try_number", Integer()),
    _time("logical_date"),
    _id("action_id"),
    Column("refused", long_text()),
    Column("extra", JsonText()),  # the request, and "before" and "after" of what it changed
    Index(None, "dag_id", "event_log_id"),
)

user = _table(
    "user",
    _id("user_id", primary_key=True),
    _name("username", nullable=False),
    Column("password_hash", String(500)),
    Column("role", String(50), nullable=False),
    _name("display_name"),
    _name("email"),
    Column("is_active", Boolean(), nullable=False, default=True),
    _count("failed_attempts"),
    _time("locked_until"),
    _time("created_at", nullable=False),
    _time("last_login_at"),
    UniqueConstraint("username"),
)

token = _table(
    "token",
    _id("token_id", primary_key=True),
    _id("user_id", nullable=False),
    Column("token_hash", String(64), nullable=False),  # SHA-256, hexadecimal
    _name("name"),
    Column("scope", String(50), nullable=False),
    _time("created_at", nullable=False),
    _time("expires_at"),
    _time("last_used_at"),
    _time("revoked_at"),
    UniqueConstraint("token_hash"),
    Index(None, "user_id"),
)

dag_favorite = _table(
    "dag_favorite",
    _id("user_id"),
    _name("dag_id"),
    PrimaryKeyConstraint("user_id", "dag_id"),
)

# ------------------------------------------------------------------ what later features fill

asset = _table(
    "asset",
    _id("asset_id", primary_key=True),
    _name("name", nullable=False),
    Column("uri", String(PATH), nullable=False),
    _name("group", nullable=False),
    Column("extra", JsonText()),
    _flag("is_active"),
    _time("created_at", nullable=False),
    _time("updated_at", nullable=False),
    UniqueConstraint("name", "uri"),
)

asset_event = _table(
    "asset_event",
    _id("asset_event_id", primary_key=True),
    _id("asset_id", nullable=False),
    Column("extra", JsonText()),
    _name("source_dag_id"),
    _name("source_run_id"),
    _name("source_task_id"),
    _count("source_map_index", -1),
    _name("partition_key"),
    _time("timestamp", nullable=False),
    Index(None, "asset_id", "asset_event_id"),
)

backfill = _table(
    "backfill",
    _id("backfill_id", primary_key=True),
    _name("dag_id", nullable=False),
    _time("from_date", nullable=False),
    _time("to_date", nullable=False),
    Column("dag_run_conf", JsonText()),
    _flag("is_paused"),
    Column("reprocess_behavior", String(50), nullable=False),
    _count("max_active_runs", 10),
    _name("triggering_user"),
    _time("created_at", nullable=False),
    _time("updated_at", nullable=False),
    _time("completed_at"),
    Index(None, "dag_id"),
)

trigger = _table(
    "trigger",
    _id("trigger_id", primary_key=True),
    _id("ti_id"),
    _id("dispatch_no"),
    Column("classpath", String(1000), nullable=False),
    Column("kwargs", long_text(), nullable=False),  # encrypted
    _name("queue"),
    _id("triggerer_id"),
    _time("created_at", nullable=False),
    Index(None, "ti_id"),
    Index(None, "triggerer_id"),
)

hitl_detail = _table(
    "hitl_detail",
    _id("ti_id", primary_key=True),
    Column("subject", long_text(), nullable=False),
    Column("body", long_text()),
    Column("options", JsonText(), nullable=False),
    Column("defaults", JsonText()),
    _flag("multiple"),
    Column("params", JsonText()),
    Column("assigned_users", JsonText()),
    _time("created_at", nullable=False),
    _time("responded_at"),
    Column("responded_by", JsonText()),
    Column("chosen_options", JsonText()),
    Column("params_input", JsonText()),
)

deadline = _table(
    "deadline",
    _id("deadline_id", primary_key=True),
    _id("run_key", nullable=False),
    _time("deadline_time", nullable=False),
    Column("callback", JsonText(), nullable=False),
    Column("callback_state", String(24)),
    _time("created_at", nullable=False),
    Index(None, "run_key"),
    Index(None, "deadline_time"),
)

task_state_store = _table(
    "task_state_store",
    _id("ti_id"),
    Column("key", String(512), nullable=False),
    Column("value", JsonText()),
    _time("updated_at", nullable=False),
    _time("expires_at"),
    PrimaryKeyConstraint("ti_id", "key"),
)

asset_state_store = _table(
    "asset_state_store",
    _id("asset_id"),
    Column("key", String(512), nullable=False),
    Column("value", JsonText()),
    Column("last_updated_by", JsonText()),
    _time("updated_at", nullable=False),
    PrimaryKeyConstraint("asset_id", "key"),
)
