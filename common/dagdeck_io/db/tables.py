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

from dagdeck_io.db.asset_tables import (
    asset_alias,
    asset_alias_asset,
    asset_change,
    asset_event_alias,
    asset_partition,
    asset_reference,
    asset_watcher,
    dag_run_asset_event,
    queued_asset_event,
)
from dagdeck_io.db.cluster_tables import (
    action,
    asset,
    asset_event,
    asset_state_store,
    audit_log,
    backfill,
    connection,
    dag_favorite,
    deadline,
    hitl_detail,
    id_node,
    lease,
    measurement,
    pool,
    task_state_store,
    token,
    user,
    variable,
    work,
    worker,
)
from dagdeck_io.db.columns import NAME, PATH, REASON, metadata
from dagdeck_io.db.dag_tables import (
    bundle,
    bundle_content,
    bundle_file,
    bundle_key_succession,
    bundle_signature,
    dag,
    dag_tag,
    dag_version,
    dag_warning,
    import_error,
    parse_request,
)
from dagdeck_io.db.run_tables import (
    attention,
    dag_run,
    dag_stats,
    log_chunk,
    ready,
    removal,
    rendered_fields,
    revocation,
    task_instance,
    task_instance_history,
    transition,
    xcom,
)
from dagdeck_io.db.trigger_tables import trigger, trigger_event

__all__ = [
    "NAME",
    "PATH",
    "REASON",
    "action",
    "asset",
    "asset_alias",
    "asset_alias_asset",
    "asset_change",
    "asset_event",
    "asset_event_alias",
    "asset_partition",
    "asset_reference",
    "asset_state_store",
    "asset_watcher",
    "attention",
    "audit_log",
    "backfill",
    "bundle",
    "bundle_content",
    "bundle_file",
    "bundle_key_succession",
    "bundle_signature",
    "connection",
    "dag",
    "dag_favorite",
    "dag_run",
    "dag_run_asset_event",
    "dag_stats",
    "dag_tag",
    "dag_version",
    "dag_warning",
    "deadline",
    "hitl_detail",
    "id_node",
    "import_error",
    "lease",
    "log_chunk",
    "measurement",
    "metadata",
    "parse_request",
    "pool",
    "queued_asset_event",
    "ready",
    "removal",
    "rendered_fields",
    "revocation",
    "task_instance",
    "task_instance_history",
    "task_state_store",
    "token",
    "transition",
    "trigger",
    "trigger_event",
    "user",
    "variable",
    "work",
    "worker",
    "xcom",
]
