"""What keeps each table and folder from growing without end: the settings, or the reason why it cannot.

Decides nothing by itself: it says what sweeps.py, removal.py, the settings and the tables' owners do. A test holds that
every table is named here and that every setting exists; the page about retention is made from it. Read by that test
and by docs/generate.py.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """What bounds these tables or this folder: settings by name, `how` in words for people."""

    of: tuple[str, ...]
    settings: tuple[str, ...] = ()
    how: str = ""


TABLE_LIMITS = (
    Limit(
        of=(
            "dag_run",
            "task_instance",
            "hitl_detail",
            "hitl_detail_history",
            "deadline",
            "attention",
            "dag_run_asset_event",
        ),
        settings=("retention.dag_runs_days",),
        how="ended runs, with everything that is theirs",
    ),
    Limit(of=("transition", "task_instance_history"), settings=("retention.transitions_days",)),
    Limit(of=("log_chunk",), settings=("logs.retention_days", "logs.max_bytes_per_try"), how="with the run at last"),
    Limit(of=("rendered_fields",), settings=("retention.rendered_fields_days",)),
    Limit(of=("xcom",), settings=("retention.xcoms_days", "xcom.max_bytes")),
    Limit(
        of=("task_state_store",),
        settings=("state_store.default_retention_days",),
        how="or what the task said; with the run at last",
    ),
    Limit(of=("work",), settings=("retention.callbacks_days",), how="callbacks and questions that are done with"),
    Limit(
        of=("asset_event", "asset_event_alias"),
        settings=("retention.asset_events_days",),
        how="kept as long as a run that consumed the event, or while a DAG waits with it",
    ),
    Limit(
        of=("audit_log", "audit_chain", "audit_seal"),
        settings=("retention.audit_days",),
        how="in the order of the chain; a signed checkpoint stays",
    ),
    Limit(of=("action",), settings=("retention.actions_days",), how="ended ones"),
    Limit(of=("worker",), settings=("retention.workers_days",), how="ended ones"),
    Limit(of=("token",), settings=("retention.tokens_days",), how="from their end on"),
    Limit(of=("backfill",), settings=("retention.dag_runs_days",), how="from its end on"),
    Limit(
        of=("dag_version", "bundle", "bundle_file", "bundle_content", "bundle_signature"),
        settings=("retention.code_days", "dag_processor.max_bundle_bytes", "dag_processor.max_bundle_files"),
        how="replaced and used by no kept run",
    ),
    Limit(
        of=(
            "dag",
            "dag_tag",
            "dag_warning",
            "dag_stats",
            "dag_favorite",
            "dag_access",
            "asset_reference",
            "asset_watcher",
        ),
        settings=("retention.stale_dags_days",),
        how="one DAG's rows each; gone from the folder and without runs",
    ),
    Limit(of=("import_error",), how="one per file that has an error now"),
    Limit(of=("parse_request",), how="gone when served, after a day at the latest"),
    Limit(of=("asset", "asset_alias", "asset_alias_asset", "asset_state_store"), how="as many as DAGs and tasks name"),
    Limit(
        of=("asset_change", "trigger_event", "revocation", "ready", "removal"),
        how="what is under way; gone when carried out",
    ),
    Limit(
        of=("queued_asset_event", "asset_partition"),
        settings=("retention.asset_events_days",),
        how="what a DAG still waits with: gone with its next run, or forgotten after that time (not for partitions)",
    ),
    Limit(of=("trigger",), how="what waits now; gone when it fires or its task moves on"),
    Limit(of=("problem",), how="one per daemon and cause; gone when it is over, a day later at the latest"),
    Limit(of=("lease", "id_node", "measurement"), how="a fixed number"),
    Limit(
        of=("pool", "variable", "connection", "user", "dag_grant", "bundle_key_succession"),
        how="what people made",
    ),
)
"""Every table, by what bounds it."""

FOLDER_LIMITS = (
    Limit(of=("<paths.home>/bundles (workers)",), settings=("worker.bundle_cache_bytes",), how="unpacked DAG code"),
    Limit(of=("<paths.home>/dag_processor",), how="the DAG folder once or twice, as it is parsed"),
    Limit(
        of=("a running task's output",),
        settings=("logs.max_bytes_per_try", "worker.log_ship_bytes"),
        how="in memory, or on other systems in the temporary folder, until it is stored",
    ),
    Limit(of=("retention.archive_folder",), settings=("retention.archive_days",), how="for ever unless set"),
    Limit(of=("the daemons' own log",), how="the journal's or logrotate's limits; repeated warnings are cut"),
    Limit(
        of=("the queue (Redis or embedded)",),
        settings=("queue.max_hints", "queue.topic_length", "queue.reports_length", "queue.topic_bytes"),
    ),
)
"""Every folder and queue that daemons write to, by what bounds it."""
