"""Revision 0001: all tables, as the first version of DagDeck has them."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

from dagdeck_io.db.types import UtcDateTime, big_id, long_blob, long_text

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create everything, and the pool in which tasks run that name none."""
    _part_1()
    _part_2()
    _part_3()
    _part_4()
    _part_5()
    _part_6()
    _part_7()
    _part_8()
    pool = sa.table("pool", *(sa.column(name) for name in ("name", "slots", "description", "include_deferred")))
    op.bulk_insert(
        pool, [{"name": "default_pool", "slots": 128, "description": "Default pool", "include_deferred": False}]
    )


def downgrade() -> None:
    """There is nothing before this."""


def _table(name: str, *items: Any) -> None:
    op.create_table(name, *items, mysql_engine="InnoDB", mysql_charset="utf8mb4", mysql_collate="utf8mb4_bin")


def _column(name: str, kind: Any, *, nullable: bool = True) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=nullable, autoincrement=False)


def _key(name: str, kind: Any) -> sa.Column[Any]:
    return sa.Column(name, kind, primary_key=True, autoincrement=False)


def _unique(table: str, *columns: str) -> sa.UniqueConstraint:
    return sa.UniqueConstraint(*columns, name=f"uq_{table}_{'_'.join(columns)}")


def _index(table: str, *columns: str) -> None:
    op.create_index(f"ix_{table}_{'_'.join(columns)}", table, list(columns))


def _part_1() -> None:
    _table(
        "dag",
        _key("dag_id", sa.String(250)),
        _column("dag_display_name", sa.String(250)),
        _column("description", long_text()),
        _column("fileloc", sa.String(2000), nullable=False),
        _column("bundle_name", sa.String(250), nullable=False),
        _column("bundle_version", sa.String(64), nullable=False),
        _column("version_id", big_id(), nullable=False),
        _column("version_number", sa.Integer(), nullable=False),
        _column("is_paused", sa.Boolean(), nullable=False),
        _column("is_stale", sa.Boolean(), nullable=False),
        _column("has_import_errors", sa.Boolean(), nullable=False),
        _column("has_task_concurrency_limits", sa.Boolean(), nullable=False),
        _column("has_asset_schedule", sa.Boolean(), nullable=False),
        _column("owners", long_text()),
        _column("timetable_type", sa.String(250)),
        _column("timetable_summary", sa.String(1000)),
        _column("timetable_description", sa.String(1000)),
        _column("timetable_periodic", sa.Boolean(), nullable=False),
        _column("timetable_partitioned", sa.Boolean(), nullable=False),
        _column("allowed_run_types", long_text()),
        _column("max_active_runs", sa.Integer(), nullable=False),
        _column("max_active_tasks", sa.Integer(), nullable=False),
        _column("max_consecutive_failed_dag_runs", sa.Integer(), nullable=False),
        _column("next_run_after", UtcDateTime()),
        _column("next_interval_start", UtcDateTime()),
        _column("next_interval_end", UtcDateTime()),
        _column("last_interval_start", UtcDateTime()),
        _column("last_interval_end", UtcDateTime()),
        _column("consecutive_failures", sa.Integer(), nullable=False),
        _column("revision", sa.BigInteger(), nullable=False),
        _column("created_at", UtcDateTime(), nullable=False),
        _column("last_parsed_time", UtcDateTime()),
        _column("last_parse_duration", sa.Double()),
        _column("last_expired", UtcDateTime()),
    )
    _table(
        "dag_tag",
        _key("dag_id", sa.String(250)),
        _key("name", sa.String(100)),
    )
    _index("dag_tag", "name")
    _table(
        "dag_version",
        _key("version_id", big_id()),
        _column("dag_id", sa.String(250), nullable=False),
        _column("version_number", sa.Integer(), nullable=False),
        _column("bundle_name", sa.String(250), nullable=False),
        _column("bundle_version", sa.String(64), nullable=False),
        _column("spec_sha256", sa.String(64), nullable=False),
        _column("code_sha256", sa.String(64), nullable=False),
        _column("spec", long_blob(), nullable=False),
        _column("created_at", UtcDateTime(), nullable=False),
        _unique("dag_version", "dag_id", "version_number"),
    )
    _table(
        "bundle",
        _key("bundle_id", big_id()),
        _column("name", sa.String(250), nullable=False),
        _column("version", sa.String(64), nullable=False),
        _column("file_count", sa.Integer(), nullable=False),
        _column("total_size", sa.BigInteger(), nullable=False),
        _column("created_at", UtcDateTime(), nullable=False),
        _column("published_at", UtcDateTime()),
        _unique("bundle", "name", "version"),
    )
    _table(
        "bundle_file",
        _key("bundle_id", big_id()),
        _key("path", sa.String(500)),
        _column("sha256", sa.String(64), nullable=False),
        _column("size", sa.BigInteger(), nullable=False),
        _column("executable", sa.Boolean(), nullable=False),
    )
    _index("bundle_file", "sha256")


def _part_2() -> None:
    _table(
        "bundle_content",
        _key("sha256", sa.String(64)),
        _column("size", sa.BigInteger(), nullable=False),
        _column("encoding", sa.String(16), nullable=False),
        _column("data", long_blob(), nullable=False),
        _column("created_at", UtcDateTime(), nullable=False),
    )
    _table(
        "import_error",
        _key("import_error_id", big_id()),
        _column("bundle_name", sa.String(250), nullable=False),
        _column("bundle_version", sa.String(64)),
        _column("filename", sa.String(500), nullable=False),
        _column("line", sa.Integer()),
        _column("message", long_text()),
        _column("stack_trace", long_text()),
        _column("timestamp", UtcDateTime(), nullable=False),
        _unique("import_error", "bundle_name", "filename"),
    )
    _table(
        "dag_warning",
        _key("dag_id", sa.String(250)),
        _key("warning_type", sa.String(50)),
        _column("message", long_text(), nullable=False),
        _column("timestamp", UtcDateTime(), nullable=False),
    )
    _table(
        "parse_request",
        _key("parse_request_id", big_id()),
        _column("bundle_name", sa.String(250), nullable=False),
        _column("filename", sa.String(2000), nullable=False),
        _column("requested_at", UtcDateTime(), nullable=False),
    )
    _table(
        "dag_run",
        _key("run_key", big_id()),
        _column("dag_id", sa.String(250), nullable=False),
        _column("run_id", sa.String(250), nullable=False),
        _column("version_id", big_id(), nullable=False),
        _column("state", sa.String(24), nullable=False),
        _column("run_type", sa.String(24), nullable=False),
        _column("run_after", UtcDateTime(), nullable=False),
        _column("queued_at", UtcDateTime()),
        _column("logical_date", UtcDateTime()),
        _column("data_interval_start", UtcDateTime()),
        _column("data_interval_end", UtcDateTime()),
        _column("start_date", UtcDateTime()),
        _column("end_date", UtcDateTime()),
        _column("conf", long_text()),
        _column("note", long_text()),
        _column("triggered_by", sa.String(50)),
        _column("triggering_user", sa.String(250)),
        _column("partition_key", sa.String(250)),
        _column("partition_date", UtcDateTime()),
        _column("backfill_id", big_id()),
        _column("created_tasks", sa.Integer(), nullable=False),
        _column("clear_number", sa.Integer(), nullable=False),
        _column("last_scheduling_decision", UtcDateTime()),
        _column("context_carrier", long_text()),
        _column("updated_at", UtcDateTime(), nullable=False),
        _unique("dag_run", "dag_id", "run_id"),
        _unique("dag_run", "dag_id", "logical_date"),
    )
    _index("dag_run", "dag_id", "run_after")
    _index("dag_run", "run_after")
    _index("dag_run", "state", "run_after")


def _part_3() -> None:
    _table(
        "task_instance",
        _key("ti_id", big_id()),
        _column("run_key", big_id(), nullable=False),
        _column("task_id", sa.String(250), nullable=False),
        _column("map_index", sa.Integer(), nullable=False),
        _column("state", sa.String(24), nullable=False),
        _column("dispatch_no", big_id(), nullable=False),
        _column("try_number", sa.Integer(), nullable=False),
        _column("max_tries", sa.Integer(), nullable=False),
        _column("version_id", big_id(), nullable=False),
        _column("worker_id", big_id()),
        _column("next_at", UtcDateTime()),
        _column("lost_count", sa.Integer(), nullable=False),
        _column("revoke_to", sa.String(24)),
        _column("duration", sa.Double(), nullable=False),
        _column("effects", long_text()),
        _column("scheduled_at", UtcDateTime()),
        _column("queued_at", UtcDateTime()),
        _column("first_start_date", UtcDateTime()),
        _column("start_date", UtcDateTime()),
        _column("end_date", UtcDateTime()),
        _column("pool", sa.String(250), nullable=False),
        _column("pool_slots", sa.Integer(), nullable=False),
        _column("queue", sa.String(250), nullable=False),
        _column("priority_weight", sa.Integer(), nullable=False),
        _column("executor", sa.String(250)),
        _column("operator", sa.String(250)),
        _column("custom_operator_name", sa.String(250)),
        _column("task_display_name", sa.String(2000)),
        _column("hostname", sa.String(250)),
        _column("unixname", sa.String(100)),
        _column("pid", sa.Integer()),
        _column("error", long_text()),
        _column("note", long_text()),
        _column("rendered_map_index", sa.String(250)),
        _column("trigger_id", big_id()),
        _column("triggerer_id", big_id()),
        _column("trigger_timeout", UtcDateTime()),
        _column("next_method", sa.String(1000)),
        _column("next_kwargs", long_text()),
        _column("external_executor_id", sa.String(250)),
        _column("context_carrier", long_text()),
        _column("updated_at", UtcDateTime(), nullable=False),
        _unique("task_instance", "run_key", "task_id", "map_index"),
    )
    _table(
        "task_instance_history",
        _key("dispatch_no", big_id()),
        _column("ti_id", big_id(), nullable=False),
        _column("run_key", big_id(), nullable=False),
        _column("try_number", sa.Integer(), nullable=False),
        _column("max_tries", sa.Integer(), nullable=False),
        _column("state", sa.String(24), nullable=False),
        _column("version_id", big_id(), nullable=False),
        _column("worker_id", big_id()),
        _column("scheduled_at", UtcDateTime()),
        _column("queued_at", UtcDateTime()),
        _column("start_date", UtcDateTime()),
        _column("end_date", UtcDateTime()),
        _column("duration", sa.Double()),
        _column("queue", sa.String(250)),
        _column("priority_weight", sa.Integer(), nullable=False),
        _column("hostname", sa.String(250)),
        _column("unixname", sa.String(100)),
        _column("pid", sa.Integer()),
        _column("external_executor_id", sa.String(250)),
        _column("rendered_map_index", sa.String(250)),
        _column("error", long_text()),
        _column("ended_by", sa.String(250), nullable=False),
        _column("reason", sa.String(500), nullable=False),
    )
    _index("task_instance_history", "ti_id")


def _part_4() -> None:
    _table(
        "transition",
        _key("transition_id", big_id()),
        _column("run_key", big_id(), nullable=False),
        _column("ti_id", big_id()),
        _column("dispatch_no", big_id(), nullable=False),
        _column("from_state", sa.String(24), nullable=False),
        _column("to_state", sa.String(24), nullable=False),
        _column("at", UtcDateTime(), nullable=False),
        _column("actor", sa.String(250), nullable=False),
        _column("reason", sa.String(500), nullable=False),
        _column("cause", sa.String(250), nullable=False),
    )
    _index("transition", "run_key")
    _table(
        "xcom",
        _key("ti_id", big_id()),
        _key("key", sa.String(512)),
        _column("run_key", big_id(), nullable=False),
        _column("dispatch_no", big_id(), nullable=False),
        _column("value", long_text(), nullable=False),
        _column("timestamp", UtcDateTime(), nullable=False),
    )
    _table(
        "rendered_fields",
        _key("ti_id", big_id()),
        _column("run_key", big_id(), nullable=False),
        _column("dispatch_no", big_id(), nullable=False),
        _column("fields", long_text(), nullable=False),
    )
    _table(
        "log_chunk",
        _key("ti_id", big_id()),
        _key("dispatch_no", big_id()),
        _key("offset", sa.BigInteger()),
        _column("try_number", sa.Integer(), nullable=False),
        _column("size", sa.Integer(), nullable=False),
        _column("encoding", sa.String(16), nullable=False),
        _column("data", long_blob(), nullable=False),
        _column("created_at", UtcDateTime(), nullable=False),
    )
    _table(
        "attention",
        _key("kind", sa.String(24)),
        _key("subject_id", big_id()),
        _column("run_key", big_id(), nullable=False),
        _column("since", UtcDateTime(), nullable=False),
    )
    _index("attention", "run_key")
    _table(
        "dag_stats",
        _key("dag_id", sa.String(250)),
        _key("state", sa.String(24)),
        _column("run_count", sa.BigInteger(), nullable=False),
    )
    _table(
        "revocation",
        _key("dispatch_no", big_id()),
        _column("ti_id", big_id(), nullable=False),
        _column("worker_id", big_id(), nullable=False),
        _column("requested_at", UtcDateTime(), nullable=False),
    )
    _index("revocation", "worker_id")
    _table(
        "ready",
        _key("dispatch_no", big_id()),
        _column("ti_id", big_id(), nullable=False),
        _column("queue", sa.String(250), nullable=False),
        _column("priority", sa.Integer(), nullable=False),
    )
    _index("ready", "queue", "priority", "dispatch_no")


def _part_5() -> None:
    _table(
        "worker",
        _key("worker_id", big_id()),
        _column("name", sa.String(250), nullable=False),
        _column("hostname", sa.String(250), nullable=False),
        _column("state", sa.String(24), nullable=False),
        _column("slots", sa.Integer(), nullable=False),
        _column("queues", long_text(), nullable=False),
        _column("counter", sa.BigInteger(), nullable=False),
        _column("version", sa.String(100), nullable=False),
        _column("wire_version", sa.Integer(), nullable=False),
        _column("pid", sa.Integer()),
        _column("unixname", sa.String(100)),
        _column("started_at", UtcDateTime(), nullable=False),
        _column("last_seen_at", UtcDateTime(), nullable=False),
        _column("ended_at", UtcDateTime()),
        _column("reason", sa.String(500)),
    )
    _index("worker", "name", "hostname")
    _index("worker", "state")
    _table(
        "lease",
        _key("name", sa.String(50)),
        _key("shard", sa.Integer()),
        _column("owner", sa.String(250)),
        _column("epoch", big_id(), nullable=False),
        _column("counter", sa.BigInteger(), nullable=False),
        _column("connection_id", sa.BigInteger()),
        _column("acquired_at", UtcDateTime()),
        _column("renewed_at", UtcDateTime()),
        _column("wire_version", sa.Integer()),
    )
    _table(
        "id_node",
        _key("node", sa.Integer()),
        _column("owner", sa.String(250)),
        _column("epoch", big_id(), nullable=False),
        _column("counter", sa.BigInteger(), nullable=False),
        _column("leased_at", UtcDateTime()),
        _column("renewed_at", UtcDateTime()),
    )
    _table(
        "pool",
        _key("name", sa.String(250)),
        _column("slots", sa.Integer(), nullable=False),
        _column("description", long_text()),
        _column("include_deferred", sa.Boolean(), nullable=False),
        _column("updated_at", UtcDateTime()),
    )
    _table(
        "variable",
        _key("key", sa.String(250)),
        _column("value", long_text(), nullable=False),
        _column("description", long_text()),
        _column("updated_at", UtcDateTime()),
    )
    _table(
        "connection",
        _key("conn_id", sa.String(250)),
        _column("conn_type", sa.String(500), nullable=False),
        _column("host", sa.String(500)),
        _column("schema", sa.String(500)),
        _column("login", long_text()),
        _column("password", long_text()),
        _column("port", sa.Integer()),
        _column("extra", long_text()),
        _column("description", long_text()),
        _column("updated_at", UtcDateTime()),
    )


def _part_6() -> None:
    _table(
        "action",
        _key("action_id", big_id()),
        _column("idempotency_key", sa.String(250)),
        _column("kind", sa.String(50), nullable=False),
        _column("payload", long_text(), nullable=False),
        _column("state", sa.String(24), nullable=False),
        _column("actor", sa.String(250), nullable=False),
        _column("source", sa.String(50), nullable=False),
        _column("requested_at", UtcDateTime(), nullable=False),
        _column("ended_at", UtcDateTime()),
        _column("refused", long_text()),
        _column("result", long_text()),
        _unique("action", "actor", "idempotency_key"),
    )
    _index("action", "state", "action_id")
    _table(
        "audit_log",
        _key("event_log_id", big_id()),
        _column("when", UtcDateTime(), nullable=False),
        _column("event", sa.String(60), nullable=False),
        _column("owner", sa.String(250)),
        _column("source", sa.String(50)),
        _column("dag_id", sa.String(250)),
        _column("run_id", sa.String(250)),
        _column("task_id", sa.String(250)),
        _column("map_index", sa.Integer()),
        _column("try_number", sa.Integer()),
        _column("logical_date", UtcDateTime()),
        _column("action_id", big_id()),
        _column("refused", long_text()),
        _column("extra", long_text()),
    )
    _index("audit_log", "dag_id", "event_log_id")
    _table(
        "user",
        _key("user_id", big_id()),
        _column("username", sa.String(250), nullable=False),
        _column("password_hash", sa.String(500)),
        _column("role", sa.String(50), nullable=False),
        _column("display_name", sa.String(250)),
        _column("email", sa.String(250)),
        _column("is_active", sa.Boolean(), nullable=False),
        _column("failed_attempts", sa.Integer(), nullable=False),
        _column("locked_until", UtcDateTime()),
        _column("created_at", UtcDateTime(), nullable=False),
        _column("last_login_at", UtcDateTime()),
        _unique("user", "username"),
    )
    _table(
        "token",
        _key("token_id", big_id()),
        _column("user_id", big_id(), nullable=False),
        _column("token_hash", sa.String(64), nullable=False),
        _column("name", sa.String(250)),
        _column("scope", sa.String(50), nullable=False),
        _column("created_at", UtcDateTime(), nullable=False),
        _column("expires_at", UtcDateTime()),
        _column("last_used_at", UtcDateTime()),
        _column("revoked_at", UtcDateTime()),
        _unique("token", "token_hash"),
    )
    _index("token", "user_id")
    _table(
        "dag_favorite",
        _key("user_id", big_id()),
        _key("dag_id", sa.String(250)),
    )


def _part_7() -> None:
    _table(
        "asset",
        _key("asset_id", big_id()),
        _column("name", sa.String(250), nullable=False),
        _column("uri", sa.String(500), nullable=False),
        _column("group", sa.String(250), nullable=False),
        _column("extra", long_text()),
        _column("is_active", sa.Boolean(), nullable=False),
        _column("created_at", UtcDateTime(), nullable=False),
        _column("updated_at", UtcDateTime(), nullable=False),
        _unique("asset", "name", "uri"),
    )
    _table(
        "asset_event",
        _key("asset_event_id", big_id()),
        _column("asset_id", big_id(), nullable=False),
        _column("extra", long_text()),
        _column("source_dag_id", sa.String(250)),
        _column("source_run_id", sa.String(250)),
        _column("source_task_id", sa.String(250)),
        _column("source_map_index", sa.Integer(), nullable=False),
        _column("partition_key", sa.String(250)),
        _column("timestamp", UtcDateTime(), nullable=False),
    )
    _index("asset_event", "asset_id", "asset_event_id")
    _table(
        "backfill",
        _key("backfill_id", big_id()),
        _column("dag_id", sa.String(250), nullable=False),
        _column("from_date", UtcDateTime(), nullable=False),
        _column("to_date", UtcDateTime(), nullable=False),
        _column("dag_run_conf", long_text()),
        _column("is_paused", sa.Boolean(), nullable=False),
        _column("reprocess_behavior", sa.String(50), nullable=False),
        _column("max_active_runs", sa.Integer(), nullable=False),
        _column("triggering_user", sa.String(250)),
        _column("created_at", UtcDateTime(), nullable=False),
        _column("updated_at", UtcDateTime(), nullable=False),
        _column("completed_at", UtcDateTime()),
    )
    _index("backfill", "dag_id")
    _table(
        "trigger",
        _key("trigger_id", big_id()),
        _column("ti_id", big_id()),
        _column("dispatch_no", big_id()),
        _column("classpath", sa.String(1000), nullable=False),
        _column("kwargs", long_text(), nullable=False),
        _column("queue", sa.String(250)),
        _column("triggerer_id", big_id()),
        _column("created_at", UtcDateTime(), nullable=False),
    )
    _index("trigger", "ti_id")
    _index("trigger", "triggerer_id")
    _table(
        "hitl_detail",
        _key("ti_id", big_id()),
        _column("subject", long_text(), nullable=False),
        _column("body", long_text()),
        _column("options", long_text(), nullable=False),
        _column("defaults", long_text()),
        _column("multiple", sa.Boolean(), nullable=False),
        _column("params", long_text()),
        _column("assigned_users", long_text()),
        _column("created_at", UtcDateTime(), nullable=False),
        _column("responded_at", UtcDateTime()),
        _column("responded_by", long_text()),
        _column("chosen_options", long_text()),
        _column("params_input", long_text()),
    )


def _part_8() -> None:
    _table(
        "deadline",
        _key("deadline_id", big_id()),
        _column("run_key", big_id(), nullable=False),
        _column("deadline_time", UtcDateTime(), nullable=False),
        _column("callback", long_text(), nullable=False),
        _column("callback_state", sa.String(24)),
        _column("created_at", UtcDateTime(), nullable=False),
    )
    _index("deadline", "deadline_time")
    _index("deadline", "run_key")
    _table(
        "task_state_store",
        _key("ti_id", big_id()),
        _key("key", sa.String(512)),
        _column("value", long_text()),
        _column("updated_at", UtcDateTime(), nullable=False),
        _column("expires_at", UtcDateTime()),
    )
    _table(
        "asset_state_store",
        _key("asset_id", big_id()),
        _key("key", sa.String(512)),
        _column("value", long_text()),
        _column("last_updated_by", long_text()),
        _column("updated_at", UtcDateTime(), nullable=False),
    )
