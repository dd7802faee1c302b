"""Removing runs and DAGs: gone at once for everybody, their many rows bit by bit afterwards.

Decides which tables hold rows of a run or a DAG, and which of these must go at once. A run is gone with its dag_run
row, because everything is found through it; a `removal` row remembers that its other rows are still to be deleted,
and `remains` names them. So removing a run costs the same however many task instances it has. Audit records stay.
Does not decide whether a removal is allowed (the scheduling machine does) nor when the remains go (retention.py).
Called by decision_writes.py and retention.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from dagdeck_io.db.dialects import Script, id_list
from dagdeck_io.db.run_tables import RemovalKind
from dagdeck_io.db.slices import Condition, Rows, plain

_OF_TASK_INSTANCES: tuple[tuple[str, tuple[str, ...], str], ...] = (
    ("trigger", ("trigger_id",), "0"),
    ("trigger_event", ("event_id",), "0"),
    ("xcom", ("ti_id", "key"), "LENGTH(value)"),
    ("rendered_fields", ("ti_id",), "LENGTH(fields)"),
    ("log_chunk", ("ti_id", "dispatch_no", "offset"), "size"),
    ("task_instance_history", ("dispatch_no",), "0"),
    ("task_state_store", ("ti_id", "key"), "LENGTH(value)"),
    ("hitl_detail", ("ti_id",), "0"),
    ("hitl_detail_history", ("ti_id", "try_number"), "0"),
)
"""Table, primary key and bytes of rows that belong to task instances."""
_OF_RUNS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("transition", ("transition_id",)),
    ("attention", ("kind", "subject_id")),
    ("dag_run_asset_event", ("run_key", "asset_event_id")),
)
_OF_DAGS = (
    "dag_stats",
    "dag_tag",
    "dag_warning",
    "dag_version",
    "dag_favorite",
    "dag_access",
    "backfill",
    "asset_reference",
    "asset_watcher",
    "queued_asset_event",
    "asset_partition",
    "dag",
)
_DROPPED = "UPDATE work SET settled = 1, state = 'failed', error = 'what it was for was deleted' WHERE settled = 0 AND"


def delete_run(script: Script, run_key: int, dag_id: str) -> None:
    """Append the removal of one run; guard: it is there. What can have an effect of its own goes at once."""
    script.add(
        "UPDATE dag_stats SET run_count = run_count - 1 "
        f"WHERE dag_id = {script.text(dag_id)} AND state = (SELECT state FROM dag_run WHERE run_key = {run_key})"
    )
    script.add(f"DELETE FROM dag_run WHERE run_key = {run_key}", expect=1, what="deleting a run")
    _leave_remains(script, [run_key], RemovalKind.DELETED_RUN)


def expire_runs(script: Script, dag_id: str, state: str, run_keys: Sequence[int]) -> None:
    """Append the removal of ended runs of one DAG that are old; guard: they are all still in this state."""
    script.add(
        f"DELETE FROM dag_run WHERE run_key IN ({id_list(run_keys)}) AND state = {script.text(state)}",
        expect=len(run_keys),
        what="removing old runs",
    )
    script.add(
        f"UPDATE dag_stats SET run_count = run_count - {len(run_keys)} "
        f"WHERE dag_id = {script.text(dag_id)} AND state = {script.text(state)}"
    )
    _leave_remains(script, run_keys, RemovalKind.EXPIRED_RUN)


def _leave_remains(script: Script, run_keys: Sequence[int], kind: RemovalKind) -> None:
    keys = id_list(run_keys)
    script.add(f"DELETE FROM attention WHERE kind = 'unfinished_run' AND subject_id IN ({keys})")
    script.add(f"DELETE FROM deadline WHERE run_key IN ({keys})")
    script.add(f"{_DROPPED} run_key IN ({keys})")
    script.insert("removal", "kind, subject_id", run_keys, lambda key: f"('{kind}',{key})")


def delete_dag(script: Script, dag_id: str) -> None:
    """Append the removal of a DAG that has no runs any more, with its versions."""
    script.add(f"{_DROPPED} dag_id = {script.text(dag_id)}")
    for table in _OF_DAGS:
        script.add(f"DELETE FROM {table} WHERE dag_id = {script.text(dag_id)}")
    script.add(
        "DELETE FROM `trigger` WHERE owner = 'asset' AND NOT EXISTS "
        "(SELECT 1 FROM asset_watcher w WHERE w.trigger_id = `trigger`.trigger_id)"
    )


def of_task_instances(ti_ids: Sequence[int]) -> Iterator[Rows]:
    """Everything that belongs to these task instances, and then they themselves."""
    where = among("ti_id", ti_ids)
    for table, keys, size in _OF_TASK_INSTANCES:
        yield Rows(table=table, keys=keys, where=where, size=size)
    yield Rows(table="task_instance", keys=("ti_id",), where=where)


def of_runs(run_keys: Sequence[int]) -> Iterator[Rows]:
    """Everything that belongs to these runs but not to a task instance of theirs; work is not among it."""
    where = among("run_key", run_keys)
    for table, keys in _OF_RUNS:
        yield Rows(table=table, keys=keys, where=where)


def of_works(work_ids: Sequence[int]) -> Iterator[Rows]:
    """Pieces of work with their logs."""
    logs = among("ti_id", [-work_id for work_id in work_ids])
    yield Rows(table="log_chunk", keys=("ti_id", "dispatch_no", "offset"), where=logs, size="size")
    yield Rows(table="work", keys=("work_id",), where=among("work_id", work_ids))


def among(column: str, ids: Sequence[int]) -> Condition:
    """The condition that a column is one of these ids."""
    return plain(f"{column} IN ({id_list(ids)})")
