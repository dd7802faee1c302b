"""Tables of the cluster, of people and what they steer, and of what later features fill.

Decides their columns, keys and indexes. Joined by tables.py, through which everyone reads them.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy import Boolean, Column, Index, Integer, PrimaryKeyConstraint, String, UniqueConstraint

from dagdeck_core.actions import ActionState
from dagdeck_core.records import WorkerState
from dagdeck_core.work import WorkKind, WorkState
from dagdeck_io.db.columns import ENCRYPTED, PATH, REASON, count_, flag_, id_, name_, table_, time_
from dagdeck_io.db.types import EnumText, JsonText, long_text

# ------------------------------------------------------------------ the cluster

worker = table_(
    "worker",
    id_("worker_id", primary_key=True),
    name_("name", nullable=False),
    name_("hostname", nullable=False),
    Column("state", EnumText(WorkerState), nullable=False),
    count_("slots"),
    Column("queues", JsonText(), nullable=False),
    Column("counter", sa.BigInteger(), nullable=False, default=0),
    Column("version", String(100), nullable=False, default=""),
    count_("wire_version", 1),
    Column("pid", Integer()),
    Column("unixname", String(100)),
    time_("started_at", nullable=False),
    time_("last_seen_at", nullable=False),  # by the database's clock, for people only
    time_("ended_at"),
    Column("reason", String(REASON)),
    count_("trigger_capacity"),  # 0: it runs no triggers
    Column("key_ids", String(200)),  # names of the keys that it knows, newest first
    Index(None, "state"),
    Index(None, "name", "hostname"),
)

lease = table_(
    "lease",
    Column("name", String(50), nullable=False),  # "scheduler", "dag_processor"
    count_("shard"),
    name_("owner"),
    id_("epoch", nullable=False, default=0),
    Column("counter", sa.BigInteger(), nullable=False, default=0),
    Column("connection_id", sa.BigInteger()),
    time_("acquired_at"),
    time_("renewed_at"),  # by the database's clock, for people only
    Column("wire_version", Integer()),  # what the holder speaks: a worker that speaks another takes nothing
    PrimaryKeyConstraint("name", "shard"),
)

measurement = table_(  # figures of the leading scheduler and DAG processor, for monitoring
    "measurement",
    Column("name", String(50), primary_key=True),  # "scheduler", "dag_processor"
    name_("owner", nullable=False),
    time_("measured_at", nullable=False),  # by the database's clock
    Column("figures", long_text(), nullable=False),  # JSON
)

id_node = table_(
    "id_node",
    Column("node", Integer(), primary_key=True, autoincrement=False),
    name_("owner"),
    id_("epoch", nullable=False, default=0),
    Column("counter", sa.BigInteger(), nullable=False, default=0),
    time_("leased_at"),
    time_("renewed_at"),
)

problem = table_(  # what a daemon cannot do now until somebody helps; written by that daemon (problems.py)
    "problem",
    Column("name", String(50)),
    name_("owner"),
    Column("message", long_text(), nullable=False),
    time_("since", nullable=False),  # by the database's clock, as the next one
    time_("told_at", nullable=False),
    PrimaryKeyConstraint("name", "owner"),
)

work = table_(  # callbacks and questions to user code (`dagdeck_core.work`): made by the scheduler and by workers
    "work",
    id_("work_id", primary_key=True),
    Column("kind", EnumText(WorkKind), nullable=False),
    Column("state", EnumText(WorkState), nullable=False),
    flag_("settled"),  # what it led to is decided
    name_("dag_id", nullable=False),
    id_("version_id", nullable=False),
    id_("run_key", nullable=False, default=0),
    Column("queue", String(250), nullable=False),
    id_("dispatch_no", nullable=False, default=0),
    id_("worker_id"),
    count_("lost_count"),
    Column("order", long_text(), nullable=False),  # JSON
    Column("answer", long_text()),  # JSON
    Column("error", long_text()),
    time_("created_at", nullable=False),
    time_("queued_at"),
    time_("start_date"),
    time_("end_date"),
    Index(None, "settled", "work_id"),
    Index(None, "run_key"),
)

# ------------------------------------------------------------------ people and what they steer (API)

pool = table_(  # written by the scheduler, as the effect of an action
    "pool",
    name_("name", primary_key=True),
    count_("slots"),
    Column("description", long_text()),
    flag_("include_deferred"),
    time_("updated_at"),
)

variable = table_(
    "variable",
    name_("key", primary_key=True),
    Column("value", long_text(), nullable=False, info=ENCRYPTED),
    Column("description", long_text()),
    time_("updated_at"),
)

connection = table_(
    "connection",
    name_("conn_id", primary_key=True),
    Column("conn_type", String(500), nullable=False),
    Column("host", String(500)),
    Column("schema", String(500)),
    Column("login", long_text()),
    Column("password", long_text(), info=ENCRYPTED),
    Column("port", Integer()),
    Column("extra", long_text(), info=ENCRYPTED),
    Column("description", long_text()),
    time_("updated_at"),
)

action = table_(  # inserted by the API, ended by the scheduler
    "action",
    id_("action_id", primary_key=True),
    name_("idempotency_key"),
    Column("kind", String(50), nullable=False),
    Column("payload", JsonText(), nullable=False),  # `dagdeck_core.actions.Action`
    Column("state", EnumText(ActionState), nullable=False),
    name_("actor", nullable=False),
    Column("source", String(50), nullable=False),
    time_("requested_at", nullable=False),
    time_("ended_at"),
    Column("refused", long_text()),
    Column("result", JsonText()),
    Column("address", String(64)),  # from where it was sent
    id_("token_id"),  # with which token
    UniqueConstraint("actor", "idempotency_key"),
    Index(None, "state", "action_id"),
)

audit_log = table_(  # Airflow's event log
    "audit_log",
    id_("event_log_id", primary_key=True),
    time_("when", nullable=False),
    Column("event", String(60), nullable=False),
    name_("owner"),  # who did it
    Column("source", String(50)),
    name_("dag_id"),
    name_("run_id"),
    name_("task_id"),
    Column("map_index", Integer()),
    Column("try_number", Integer()),
    time_("logical_date"),
    id_("action_id"),
    Column("refused", long_text()),
    Column("extra", JsonText()),  # the request, and "before" and "after" of what it changed
    Column("address", String(64)),  # from where
    id_("token_id"),  # with which token
    Index(None, "dag_id", "event_log_id"),
)

audit_chain = table_(  # by the leading scheduler; never changed, cut off at the beginning by retention
    "audit_chain",
    id_("sequence", primary_key=True),
    id_("event_log_id", nullable=False),
    Column("hash", String(64), nullable=False),  # SHA-256, hexadecimal: over the record and the hash before
    UniqueConstraint("event_log_id"),
)

audit_seal = table_(
    "audit_seal",
    id_("sequence", nullable=False),
    Column("kind", String(20), nullable=False),  # `dagdeck_io.audit.seals.SealKind`
    Column("hash", String(64), nullable=False),
    Column("sealed_at", String(40), nullable=False),  # as it was signed
    Column("public_key", String(64), nullable=False),
    Column("signature", String(100), nullable=False),
    PrimaryKeyConstraint("sequence", "kind"),
)

user = table_(
    "user",
    id_("user_id", primary_key=True),
    name_("username", nullable=False),
    Column("password_hash", String(500)),
    Column("role", String(50), nullable=False),
    name_("display_name"),
    name_("email"),
    Column("is_active", Boolean(), nullable=False, default=True),
    count_("failed_attempts"),
    time_("locked_until"),
    time_("created_at", nullable=False),
    time_("last_login_at"),
    Column("roles", JsonText()),  # names of roles that grants and DAG files give rights to; a list
    UniqueConstraint("username"),
)

token = table_(
    "token",
    id_("token_id", primary_key=True),
    id_("user_id", nullable=False),
    Column("token_hash", String(64), nullable=False),  # SHA-256, hexadecimal
    name_("name"),
    Column("scope", String(50), nullable=False),
    time_("created_at", nullable=False),
    time_("expires_at"),
    time_("last_used_at"),
    time_("revoked_at"),
    UniqueConstraint("token_hash"),
    Index(None, "user_id"),
)

dag_grant = table_(  # what people granted; `dag_access` is what DAG files say
    "dag_grant",
    id_("grant_id", primary_key=True),
    Column("subject_kind", String(10), nullable=False),  # "user" or "role"
    name_("subject", nullable=False),
    Column("level", String(20), nullable=False),  # "viewer" or "operator"
    Column("target_kind", String(10), nullable=False),  # "dag", "pattern" or "tag"
    name_("target", nullable=False),
    time_("created_at", nullable=False),
    name_("created_by"),
    UniqueConstraint("subject_kind", "subject", "target_kind", "target"),
)

dag_access = table_(  # access_control of DAG files, written by the DAG processor
    "dag_access",
    name_("dag_id", nullable=False),
    name_("role", nullable=False),
    Column("level", String(20), nullable=False),
    PrimaryKeyConstraint("dag_id", "role"),
    Index(None, "role"),
)

dag_favorite = table_(
    "dag_favorite",
    id_("user_id"),
    name_("dag_id"),
    PrimaryKeyConstraint("user_id", "dag_id"),
)

# ------------------------------------------------------------------ what later features fill

asset = table_(
    "asset",
    id_("asset_id", primary_key=True),
    name_("name", nullable=False),
    Column("uri", String(PATH), nullable=False),
    name_("group", nullable=False),
    Column("extra", JsonText()),
    flag_("is_active"),
    time_("created_at", nullable=False),
    time_("updated_at", nullable=False),
    UniqueConstraint("name", "uri"),
)

asset_event = table_(
    "asset_event",
    id_("asset_event_id", primary_key=True),
    id_("asset_id", nullable=False),
    Column("extra", JsonText()),
    name_("source_dag_id"),
    name_("source_run_id"),
    name_("source_task_id"),
    count_("source_map_index", -1),
    name_("partition_key"),
    time_("timestamp", nullable=False),
    Index(None, "asset_id", "asset_event_id"),
)

backfill = table_(
    "backfill",
    id_("backfill_id", primary_key=True),
    name_("dag_id", nullable=False),
    time_("from_date", nullable=False),
    time_("to_date", nullable=False),
    Column("dag_run_conf", JsonText()),
    flag_("is_paused"),
    Column("reprocess_behavior", String(50), nullable=False),
    count_("max_active_runs", 10),
    name_("triggering_user"),
    time_("created_at", nullable=False),
    time_("updated_at", nullable=False),
    time_("completed_at"),
    Index(None, "dag_id"),
)


def _question() -> list[Column[Any]]:
    """What a task asked, and what it was answered."""
    return [
        Column("subject", long_text(), nullable=False),
        Column("body", long_text()),
        Column("options", JsonText(), nullable=False),
        Column("defaults", JsonText()),
        flag_("multiple"),
        Column("params", JsonText()),
        Column("assigned_users", JsonText()),
        time_("created_at", nullable=False),
        time_("responded_at"),
        Column("responded_by", JsonText()),
        Column("chosen_options", JsonText()),
        Column("params_input", JsonText()),
    ]


hitl_detail = table_(
    "hitl_detail",
    id_("ti_id", primary_key=True),
    *_question(),
    Column("try_number", Integer()),  # None for questions of before there was this column
)

hitl_detail_history = table_(  # the questions of earlier tries
    "hitl_detail_history",
    id_("ti_id", primary_key=True),
    Column("try_number", Integer(), primary_key=True, autoincrement=False),
    *_question(),
)

deadline = table_(
    "deadline",
    id_("deadline_id", primary_key=True),
    id_("run_key", nullable=False),
    time_("deadline_time", nullable=False),
    Column("callback", JsonText(), nullable=False),
    Column("callback_state", String(24)),  # "missed" once its moment has passed, else nothing
    time_("created_at", nullable=False),
    count_("number"),
    id_("work_id"),
    Index(None, "run_key"),
    Index(None, "deadline_time"),
    Index(None, "callback_state"),
)

task_state_store = table_(
    "task_state_store",
    id_("ti_id"),
    Column("key", String(512), nullable=False),
    Column("value", JsonText()),
    time_("updated_at", nullable=False),
    time_("expires_at"),
    PrimaryKeyConstraint("ti_id", "key"),
)

asset_state_store = table_(
    "asset_state_store",
    id_("asset_id"),
    Column("key", String(512), nullable=False),
    Column("value", JsonText()),
    Column("last_updated_by", JsonText()),
    time_("updated_at", nullable=False),
    PrimaryKeyConstraint("asset_id", "key"),
)
