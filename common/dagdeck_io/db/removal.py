"""Removing runs and DAGs with every row that belongs to them.

Decides which tables hold rows of a run or a DAG. Audit records stay. Does not decide whether a removal is allowed
(the scheduling machine does). Called by decision_writes.py.
"""

from __future__ import annotations

from collections.abc import Sequence

from dagdeck_io.db.dialects import Script, id_list

_BY_TASK_INSTANCE = (
    "xcom",
    "rendered_fields",
    "log_chunk",
    "task_instance_history",
    "task_state_store",
    "hitl_detail",
    "`trigger`",
    "trigger_event",
    "revocation",
    "ready",
)
_BY_RUN = ("transition", "attention", "deadline", "work", "dag_run_asset_event", "task_instance")
_BY_DAG = (
    "dag_run",
    "dag_stats",
    "dag_tag",
    "dag_warning",
    "dag_version",
    "dag_favorite",
    "backfill",
    "work",
    "asset_reference",
    "asset_watcher",
    "queued_asset_event",
    "asset_partition",
    "dag",
)


def delete_run(script: Script, run_key: int, dag_id: str) -> None:
    """Append the removal of one run; guard: it is there."""
    script.add(
        "UPDATE dag_stats SET run_count = run_count - 1 "
        f"WHERE dag_id = {script.text(dag_id)} AND state = (SELECT state FROM dag_run WHERE run_key = {run_key})"
    )
    for table in _BY_TASK_INSTANCE:
        script.add(script.dialect.delete_joined(table, "ti_id", "task_instance t", "t", f"t.run_key = {run_key}"))
    script.add(f"DELETE FROM log_chunk WHERE ti_id IN (SELECT -work_id FROM work WHERE run_key = {run_key})")
    for table in _BY_RUN:
        script.add(f"DELETE FROM {table} WHERE run_key = {run_key}")
    script.add(f"DELETE FROM dag_run WHERE run_key = {run_key}", expect=1, what="deleting a run")


def delete_tasks(script: Script, ti_ids: Sequence[int]) -> None:
    """Append the removal of these task instances of a finished run that is about to go."""
    ids = id_list(ti_ids)
    for table in (*_BY_TASK_INSTANCE, "task_instance"):
        script.add(f"DELETE FROM {table} WHERE ti_id IN ({ids})")


def delete_dag(script: Script, dag_id: str) -> None:
    """Append the removal of a DAG, its versions and its runs."""
    tasks = "dag_run r JOIN task_instance t ON t.run_key = r.run_key"
    for table in _BY_TASK_INSTANCE:
        where = f"r.dag_id = {script.text(dag_id)}"
        script.add(script.dialect.delete_joined(table, "ti_id", tasks, "t", where))
    works = f"SELECT -work_id FROM work WHERE dag_id = {script.text(dag_id)}"
    script.add(f"DELETE FROM log_chunk WHERE ti_id IN ({works})")
    for table in _BY_RUN:
        where = f"r.dag_id = {script.text(dag_id)}"
        script.add(script.dialect.delete_joined(table, "run_key", "dag_run r", "r", where))
    for table in _BY_DAG:
        script.add(f"DELETE FROM {table} WHERE dag_id = {script.text(dag_id)}")
    script.add(
        "DELETE FROM `trigger` WHERE owner = 'asset' AND NOT EXISTS "
        "(SELECT 1 FROM asset_watcher w WHERE w.trigger_id = `trigger`.trigger_id)"
    )
