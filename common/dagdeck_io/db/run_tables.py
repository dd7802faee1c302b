"""Tables of runs and task instances, written by the scheduler's and the workers' stores alone.

Decides their columns, keys and indexes: no index contains the state of a task instance. Joined by tables.py,
through which everyone reads them.
"""

from __future__ import annotations

from enum import StrEnum

import sqlalchemy as sa
from sqlalchemy import Column, Double, Index, Integer, PrimaryKeyConstraint, String, UniqueConstraint

from dagdeck_core.states import DagRunState, DagRunType, TaskInstanceState
from dagdeck_io.db.columns import NAME, REASON, count_, id_, name_, state_, table_, time_
from dagdeck_io.db.types import EnumText, JsonText, long_blob, long_text


class RemovalKind(StrEnum):
    """What a row of `removal` is about, and whether its rows may be archived."""

    EXPIRED_RUN = "expired_run"
    DELETED_RUN = "deleted_run"  # a person's wish: no copy is kept
    BUNDLE = "bundle"


# ------------------------------------------------------------------ runs and task instances (scheduler, workers)

dag_run = table_(
    "dag_run",
    id_("run_key", primary_key=True),
    name_("dag_id", nullable=False),
    name_("run_id", nullable=False),
    id_("version_id", nullable=False),
    Column("state", EnumText(DagRunState), nullable=False),
    Column("run_type", EnumText(DagRunType), nullable=False),
    time_("run_after", nullable=False),
    time_("queued_at"),
    time_("logical_date"),
    time_("data_interval_start"),
    time_("data_interval_end"),
    time_("start_date"),
    time_("end_date"),
    Column("conf", JsonText()),
    Column("note", long_text()),
    Column("triggered_by", String(50)),
    name_("triggering_user"),
    name_("partition_key"),
    time_("partition_date"),
    id_("backfill_id"),
    count_("created_tasks"),
    count_("clear_number"),
    time_("last_scheduling_decision"),
    Column("context_carrier", JsonText()),
    time_("updated_at", nullable=False),
    UniqueConstraint("dag_id", "run_id"),
    UniqueConstraint("dag_id", "logical_date"),
    Index(None, "state", "run_after"),
    Index(None, "dag_id", "run_after"),
    Index(None, "run_after"),
)

task_instance = table_(
    "task_instance",
    id_("ti_id", primary_key=True),
    id_("run_key", nullable=False),
    name_("task_id", nullable=False),
    count_("map_index", -1),
    state_("state", nullable=False, default=TaskInstanceState.NONE),
    id_("dispatch_no", nullable=False, default=0),
    count_("try_number"),
    count_("max_tries"),
    id_("version_id", nullable=False),
    id_("worker_id"),
    time_("next_at"),
    count_("lost_count"),
    state_("revoke_to"),
    Column("duration", Double(), nullable=False, default=0.0),
    Column("effects", JsonText()),
    time_("scheduled_at"),
    time_("queued_at"),
    time_("first_start_date"),  # of this try: kept while a sensor is rescheduled or a task deferred
    time_("start_date"),
    time_("end_date"),
    Column("pool", String(NAME), nullable=False),
    count_("pool_slots", 1),
    Column("queue", String(NAME), nullable=False),
    count_("priority_weight", 1),
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
    id_("trigger_id"),
    id_("triggerer_id"),  # the worker whose triggerer has it
    time_("trigger_timeout"),
    Column("next_method", String(1000)),
    Column("next_kwargs", JsonText()),
    Column("external_executor_id", String(NAME)),
    Column("context_carrier", JsonText()),
    time_("updated_at", nullable=False),
    UniqueConstraint("run_key", "task_id", "map_index"),
)

task_instance_history = table_(  # one row per ended dispatch; what it lacks is on its task_instance
    "task_instance_history",
    id_("dispatch_no", primary_key=True),
    id_("ti_id", nullable=False),
    id_("run_key", nullable=False),
    count_("try_number"),
    count_("max_tries"),
    state_("state", nullable=False),
    id_("version_id", nullable=False),
    id_("worker_id"),
    time_("scheduled_at"),
    time_("queued_at"),
    time_("start_date"),
    time_("end_date"),
    Column("duration", Double()),
    Column("queue", String(NAME)),
    count_("priority_weight", 1),
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

transition = table_(  # append-only; moves of runs have no ti_id
    "transition",
    id_("transition_id", primary_key=True),
    id_("run_key", nullable=False),
    id_("ti_id"),
    id_("dispatch_no", nullable=False, default=0),
    Column("from_state", String(24), nullable=False),
    Column("to_state", String(24), nullable=False),
    time_("at", nullable=False),
    Column("actor", String(NAME), nullable=False),  # "scheduler" or "worker:<id>"
    Column("reason", String(REASON), nullable=False, default=""),
    Column("cause", String(NAME), nullable=False, default=""),
    Index(None, "run_key"),
)

xcom = table_(
    "xcom",
    id_("ti_id"),
    Column("key", String(512), nullable=False),
    id_("run_key", nullable=False),
    id_("dispatch_no", nullable=False, default=0),
    Column("value", long_text(), nullable=False),  # JSON
    time_("timestamp", nullable=False),
    PrimaryKeyConstraint("ti_id", "key"),
)

rendered_fields = table_(
    "rendered_fields",
    id_("ti_id", primary_key=True),
    id_("run_key", nullable=False),
    id_("dispatch_no", nullable=False, default=0),
    Column("fields", JsonText(), nullable=False),
)

log_chunk = table_(
    "log_chunk",
    id_("ti_id"),
    id_("dispatch_no"),
    Column("offset", sa.BigInteger(), nullable=False),  # uncompressed bytes from the dispatch's start
    count_("try_number"),
    count_("size"),  # uncompressed
    Column("encoding", String(16), nullable=False),  # "zlib" or "raw"
    Column("data", long_blob(), nullable=False),
    time_("created_at", nullable=False),
    PrimaryKeyConstraint("ti_id", "dispatch_no", "offset"),
)

attention = table_(
    "attention",
    Column("kind", String(24), nullable=False),  # "unfinished_run" or "failed_task"
    id_("subject_id"),  # run_key or ti_id
    id_("run_key", nullable=False),
    time_("since", nullable=False),
    PrimaryKeyConstraint("kind", "subject_id"),
    Index(None, "run_key"),
)

dag_stats = table_(
    "dag_stats",
    name_("dag_id"),
    Column("state", EnumText(DagRunState), nullable=False),
    Column("run_count", sa.BigInteger(), nullable=False, default=0),
    PrimaryKeyConstraint("dag_id", "state"),
)

revocation = table_(  # the live dispatches that a worker is to end; read with each lease renewal
    "revocation",
    id_("dispatch_no", primary_key=True),
    id_("ti_id", nullable=False),
    id_("worker_id", nullable=False),
    time_("requested_at", nullable=False),
    Index(None, "worker_id"),
)

ready = table_(
    "ready",
    id_("dispatch_no", primary_key=True),
    id_("ti_id", nullable=False),
    Column("queue", String(NAME), nullable=False),
    count_("priority", 1),
    Index(None, "queue", "priority", "dispatch_no"),
)

removal = table_(  # what is gone for everybody while some of its rows are still there (removal.py)
    "removal",
    Column("kind", EnumText(RemovalKind), nullable=False),
    id_("subject_id"),
    PrimaryKeyConstraint("kind", "subject_id"),
)
