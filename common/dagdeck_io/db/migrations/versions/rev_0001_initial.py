"""All tables, as the first version of DagDeck has them.

Revision ID: 0001
Revises: nothing
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

from dagdeck_io.db.types import UtcDateTime, big_id, long_blob, long_text

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


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
    _part_9()
    _part_10()
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


def _part_1() -> None:
    _table(
        "dag",
        _column("dag_id", sa.String(250), nullable=False),
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
        sa.PrimaryKeyConstraint("dag_id", name="pk_dag"),
    )
    _table(
        "dag_tag",
        _column("dag_id", sa.String(250), nullable=False),
        _column("name", sa.String(100), nullable=False),
        sa.PrimaryKeyConstraint("dag_id", "name", name="pk_dag_tag"),
    )
    op.create_index("ix_dag_tag_name", "dag_tag", ["name"])
    _table(
        "dag_version",
        _column("version_id", big_id(), nullable=False),
        _column("dag_id", sa.String(250), nullable=False),
        _column("version_number", sa.Integer(), nullable=False),
        _column("bundle_name", sa.String(250), nullable=False),
        _column("bundle_version", sa.String(64), nullable=False),
        _column("spec_sha256", sa.String(64), nullable=False),
        _column("code_sha256", sa.String(64), nullable=False),
        _column("spec", long_blob(), nullable=False),
        _column("created_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("version_id", name="pk_dag_version"),
        sa.UniqueConstraint("dag_id", "version_number", name="uq_dag_version_dag_id_version_number"),
    )


def _part_2() -> None:
    _table(
        "bundle",
        _column("bundle_id", big_id(), nullable=False),
        _column("name", sa.String(250), nullable=False),
        _column("version", sa.String(64), nullable=False),
        _column("file_count", sa.Integer(), nullable=False),
        _column("total_size", sa.BigInteger(), nullable=False),
        _column("created_at", UtcDateTime(), nullable=False),
        _column("published_at", UtcDateTime()),
        sa.PrimaryKeyConstraint("bundle_id", name="pk_bundle"),
        sa.UniqueConstraint("name", "version", name="uq_bundle_name_version"),
    )
    _table(
        "bundle_file",
        _column("bundle_id", big_id(), nullable=False),
        _column("path", sa.String(500), nullable=False),
        _column("sha256", sa.String(64), nullable=False),
        _column("size", sa.BigInteger(), nullable=False),
        _column("executable", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("bundle_id", "path", name="pk_bundle_file"),
    )
    op.create_index("ix_bundle_file_sha256", "bundle_file", ["sha256"])
    _table(
        "bundle_content",
        _column("sha256", sa.String(64), nullable=False),
        _column("size", sa.BigInteger(), nullable=False),
        _column("encoding", sa.String(16), nullable=False),
        _column("data", long_blob(), nullable=False),
        _column("created_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("sha256", name="pk_bundle_content"),
    )
    _table(
        "import_error",
        _column("import_error_id", big_id(), nullable=False),
        _column("bundle_name", sa.String(250), nullable=False),
        _column("bundle_version", sa.String(64)),
        _column("filename", sa.String(500), nullable=False),
        _column("line", sa.Integer()),
        _column("message", long_text()),
        _column("stack_trace", long_text()),
        _column("timestamp", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("import_error_id", name="pk_import_error"),
        sa.UniqueConstraint("bundle_name", "filename", name="uq_import_error_bundle_name_filename"),
    )
    _table(
        "dag_warning",
        _column("dag_id", sa.String(250), nullable=False),
        _column("warning_type", sa.String(50), nullable=False),
        _column("message", long_text(), nullable=False),
        _column("timestamp", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("dag_id", "warning_type", name="pk_dag_warning"),
    )
    _table(
        "parse_request",
        _column("parse_request_id", big_id(), nullable=False),
        _column("bundle_name", sa.String(250), nullable=False),
        _column("filename", sa.String(2000), nullable=False),
        _column("requested_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("parse_request_id", name="pk_parse_request"),
    )


def _part_3() -> None:
    _table(
        "dag_run",
        _column("run_key", big_id(), nullable=False),
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
        sa.PrimaryKeyConstraint("run_key", name="pk_dag_run"),
        sa.UniqueConstraint("dag_id", "logical_date", name="uq_dag_run_dag_id_logical_date"),
        sa.UniqueConstraint("dag_id", "run_id", name="uq_dag_run_dag_id_run_id"),
    )
    op.create_index("ix_dag_run_dag_id_run_after", "dag_run", ["dag_id", "run_after"])
    op.create_index("ix_dag_run_run_after", "dag_run", ["run_after"])
    op.create_index("ix_dag_run_state_run_after", "dag_run", ["state", "run_after"])


def _part_4() -> None:
    _table(
        "task_instance",
        _column("ti_id", big_id(), nullable=False),
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
        sa.PrimaryKeyConstraint("ti_id", name="pk_task_instance"),
        sa.UniqueConstraint("run_key", "task_id", "map_index", name="uq_task_instance_run_key_task_id_map_index"),
    )


def _part_5() -> None:
    _table(
        "task_instance_history",
        _column("dispatch_no", big_id(), nullable=False),
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
        sa.PrimaryKeyConstraint("dispatch_no", name="pk_task_instance_history"),
    )
    op.create_index("ix_task_instance_history_ti_id", "task_instance_history", ["ti_id"])
    _table(
        "transition",
        _column("transition_id", big_id(), nullable=False),
        _column("run_key", big_id(), nullable=False),
        _column("ti_id", big_id()),
        _column("dispatch_no", big_id(), nullable=False),
        _column("from_state", sa.String(24), nullable=False),
        _column("to_state", sa.String(24), nullable=False),
        _column("at", UtcDateTime(), nullable=False),
        _column("actor", sa.String(250), nullable=False),
        _column("reason", sa.String(500), nullable=False),
        _column("cause", sa.String(250), nullable=False),
        sa.PrimaryKeyConstraint("transition_id", name="pk_transition"),
    )
    op.create_index("ix_transition_run_key", "transition", ["run_key"])
    _table(
        "xcom",
        _column("ti_id", big_id(), nullable=False),
        _column("key", sa.String(512), nullable=False),
        _column("run_key", big_id(), nullable=False),
        _column("dispatch_no", big_id(), nullable=False),
        _column("value", long_text(), nullable=False),
        _column("timestamp", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("ti_id", "key", name="pk_xcom"),
    )
    _table(
        "rendered_fields",
        _column("ti_id", big_id(), nullable=False),
        _column("run_key", big_id(), nullable=False),
        _column("dispatch_no", big_id(), nullable=False),
        _column("fields", long_text(), nullable=False),
        sa.PrimaryKeyConstraint("ti_id", name="pk_rendered_fields"),
    )


def _part_6() -> None:
    _table(
        "log_chunk",
        _column("ti_id", big_id(), nullable=False),
        _column("dispatch_no", big_id(), nullable=False),
        _column("offset", sa.BigInteger(), nullable=False),
        _column("try_number", sa.Integer(), nullable=False),
        _column("size", sa.Integer(), nullable=False),
        _column("encoding", sa.String(16), nullable=False),
        _column("data", long_blob(), nullable=False),
        _column("created_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("ti_id", "dispatch_no", "offset", name="pk_log_chunk"),
    )
    _table(
        "attention",
        _column("kind", sa.String(24), nullable=False),
        _column("subject_id", big_id(), nullable=False),
        _column("run_key", big_id(), nullable=False),
        _column("since", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("kind", "subject_id", name="pk_attention"),
    )
    op.create_index("ix_attention_run_key", "attention", ["run_key"])
    _table(
        "dag_stats",
        _column("dag_id", sa.String(250), nullable=False),
        _column("state", sa.String(24), nullable=False),
        _column("run_count", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("dag_id", "state", name="pk_dag_stats"),
    )
    _table(
        "revocation",
        _column("dispatch_no", big_id(), nullable=False),
        _column("ti_id", big_id(), nullable=False),
        _column("worker_id", big_id(), nullable=False),
        _column("requested_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("dispatch_no", name="pk_revocation"),
    )
    op.create_index("ix_revocation_worker_id", "revocation", ["worker_id"])
    _table(
        "ready",
        _column("dispatch_no", big_id(), nullable=False),
        _column("ti_id", big_id(), nullable=False),
        _column("queue", sa.String(250), nullable=False),
        _column("priority", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("dispatch_no", name="pk_ready"),
    )
    op.create_index("ix_ready_queue_priority_dispatch_no", "ready", ["queue", "priority", "dispatch_no"])
    _table(
        "worker",
        _column("worker_id", big_id(), nullable=False),
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
        sa.PrimaryKeyConstraint("worker_id", name="pk_worker"),
    )
    op.create_index("ix_worker_name_hostname", "worker", ["name", "hostname"])
    op.create_index("ix_worker_state", "worker", ["state"])


def _part_7() -> None:
    _table(
        "lease",
        _column("name", sa.String(50), nullable=False),
        _column("shard", sa.Integer(), nullable=False),
        _column("owner", sa.String(250)),
        _column("epoch", big_id(), nullable=False),
        _column("counter", sa.BigInteger(), nullable=False),
        _column("connection_id", sa.BigInteger()),
        _column("acquired_at", UtcDateTime()),
        _column("renewed_at", UtcDateTime()),
        sa.PrimaryKeyConstraint("name", "shard", name="pk_lease"),
    )
    _table(
        "id_node",
        _column("node", sa.Integer(), nullable=False),
        _column("owner", sa.String(250)),
        _column("epoch", big_id(), nullable=False),
        _column("counter", sa.BigInteger(), nullable=False),
        _column("leased_at", UtcDateTime()),
        _column("renewed_at", UtcDateTime()),
        sa.PrimaryKeyConstraint("node", name="pk_id_node"),
    )
    _table(
        "pool",
        _column("name", sa.String(250), nullable=False),
        _column("slots", sa.Integer(), nullable=False),
        _column("description", long_text()),
        _column("include_deferred", sa.Boolean(), nullable=False),
        _column("updated_at", UtcDateTime()),
        sa.PrimaryKeyConstraint("name", name="pk_pool"),
    )
    _table(
        "variable",
        _column("key", sa.String(250), nullable=False),
        _column("value", long_text(), nullable=False),
        _column("description", long_text()),
        _column("updated_at", UtcDateTime()),
        sa.PrimaryKeyConstraint("key", name="pk_variable"),
    )
    _table(
        "connection",
        _column("conn_id", sa.String(250), nullable=False),
        _column("conn_type", sa.String(500), nullable=False),
        _column("host", sa.String(500)),
        _column("schema", sa.String(500)),
        _column("login", long_text()),
        _column("password", long_text()),
        _column("port", sa.Integer()),
        _column("extra", long_text()),
        _column("description", long_text()),
        _column("updated_at", UtcDateTime()),
        sa.PrimaryKeyConstraint("conn_id", name="pk_connection"),
    )


def _part_8() -> None:
    _table(
        "action",
        _column("action_id", big_id(), nullable=False),
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
        sa.PrimaryKeyConstraint("action_id", name="pk_action"),
        sa.UniqueConstraint("actor", "idempotency_key", name="uq_action_actor_idempotency_key"),
    )
    op.create_index("ix_action_state_action_id", "action", ["state", "action_id"])
    _table(
        "audit_log",
        _column("event_log_id", big_id(), nullable=False),
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
        sa.PrimaryKeyConstraint("event_log_id", name="pk_audit_log"),
    )
    op.create_index("ix_audit_log_dag_id_event_log_id", "audit_log", ["dag_id", "event_log_id"])
    _table(
        "user",
        _column("user_id", big_id(), nullable=False),
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
        sa.PrimaryKeyConstraint("user_id", name="pk_user"),
        sa.UniqueConstraint("username", name="uq_user_username"),
    )
    _table(
        "token",
        _column("token_id", big_id(), nullable=False),
        _column("user_id", big_id(), nullable=False),
        _column("token_hash", sa.String(64), nullable=False),
        _column("name", sa.String(250)),
        _column("scope", sa.String(50), nullable=False),
        _column("created_at", UtcDateTime(), nullable=False),
        _column("expires_at", UtcDateTime()),
        _column("last_used_at", UtcDateTime()),
        _column("revoked_at", UtcDateTime()),
        sa.PrimaryKeyConstraint("token_id", name="pk_token"),
        sa.UniqueConstraint("token_hash", name="uq_token_token_hash"),
    )
    op.create_index("ix_token_user_id", "token", ["user_id"])


def _part_9() -> None:
    _table(
        "dag_favorite",
        _column("user_id", big_id(), nullable=False),
        _column("dag_id", sa.String(250), nullable=False),
        sa.PrimaryKeyConstraint("user_id", "dag_id", name="pk_dag_favorite"),
    )
    _table(
        "asset",
        _column("asset_id", big_id(), nullable=False),
        _column("name", sa.String(250), nullable=False),
        _column("uri", sa.String(500), nullable=False),
        _column("group", sa.String(250), nullable=False),
        _column("extra", long_text()),
        _column("is_active", sa.Boolean(), nullable=False),
        _column("created_at", UtcDateTime(), nullable=False),
        _column("updated_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("asset_id", name="pk_asset"),
        sa.UniqueConstraint("name", "uri", name="uq_asset_name_uri"),
    )
    _table(
        "asset_event",
        _column("asset_event_id", big_id(), nullable=False),
        _column("asset_id", big_id(), nullable=False),
        _column("extra", long_text()),
        _column("source_dag_id", sa.String(250)),
        _column("source_run_id", sa.String(250)),
        _column("source_task_id", sa.String(250)),
        _column("source_map_index", sa.Integer(), nullable=False),
        _column("partition_key", sa.String(250)),
        _column("timestamp", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("asset_event_id", name="pk_asset_event"),
    )
    op.create_index("ix_asset_event_asset_id_asset_event_id", "asset_event", ["asset_id", "asset_event_id"])
    _table(
        "backfill",
        _column("backfill_id", big_id(), nullable=False),
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
        sa.PrimaryKeyConstraint("backfill_id", name="pk_backfill"),
    )
    op.create_index("ix_backfill_dag_id", "backfill", ["dag_id"])
    _table(
        "trigger",
        _column("trigger_id", big_id(), nullable=False),
        _column("ti_id", big_id()),
        _column("dispatch_no", big_id()),
        _column("classpath", sa.String(1000), nullable=False),
        _column("kwargs", long_text(), nullable=False),
        _column("queue", sa.String(250)),
        _column("triggerer_id", big_id()),
        _column("created_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("trigger_id", name="pk_trigger"),
    )
    op.create_index("ix_trigger_ti_id", "trigger", ["ti_id"])
    op.create_index("ix_trigger_triggerer_id", "trigger", ["triggerer_id"])


def _part_10() -> None:
    _table(
        "hitl_detail",
        _column("ti_id", big_id(), nullable=False),
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
        sa.PrimaryKeyConstraint("ti_id", name="pk_hitl_detail"),
    )
    _table(
        "deadline",
        _column("deadline_id", big_id(), nullable=False),
        _column("run_key", big_id(), nullable=False),
        _column("deadline_time", UtcDateTime(), nullable=False),
        _column("callback", long_text(), nullable=False),
        _column("callback_state", sa.String(24)),
        _column("created_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("deadline_id", name="pk_deadline"),
    )
    op.create_index("ix_deadline_deadline_time", "deadline", ["deadline_time"])
    op.create_index("ix_deadline_run_key", "deadline", ["run_key"])
    _table(
        "task_state_store",
        _column("ti_id", big_id(), nullable=False),
        _column("key", sa.String(512), nullable=False),
        _column("value", long_text()),
        _column("updated_at", UtcDateTime(), nullable=False),
        _column("expires_at", UtcDateTime()),
        sa.PrimaryKeyConstraint("ti_id", "key", name="pk_task_state_store"),
    )
    _table(
        "asset_state_store",
        _column("asset_id", big_id(), nullable=False),
        _column("key", sa.String(512), nullable=False),
        _column("value", long_text()),
        _column("last_updated_by", long_text()),
        _column("updated_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("asset_id", "key", name="pk_asset_state_store"),
    )
