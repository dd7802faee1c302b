"""Requests about dag runs, task instances and logs.

Decides paths and parameters of these calls. Called by the command line and the desktop.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from dagdeck_client.models import DagRun, DagRunPage, Explanation, LogRange, TaskInstance, TaskInstancePage
from dagdeck_client.requests.base import ANY, API, OWN_API, Request, body_of, path, query

_RUN = API + "/dags/{}/dagRuns/{}"
_TASK_INSTANCE = _RUN + "/taskInstances/{}"


def list_runs(
    dag_id: str = ANY,
    *,
    limit: int = 100,
    offset: int = 0,
    state: Sequence[str] = (),
    run_type: Sequence[str] = (),
    run_after_gte: datetime | None = None,
    run_after_lte: datetime | None = None,
    order_by: Sequence[str] = (),
    cursor: str | None = None,
) -> Request[DagRunPage]:
    """One page of runs of a DAG, or of all."""
    return Request(
        method="GET",
        path=path(API + "/dags/{}/dagRuns", dag_id),
        query=query(
            limit=limit,
            offset=offset,
            state=list(state),
            run_type=list(run_type),
            run_after_gte=run_after_gte,
            run_after_lte=run_after_lte,
            order_by=list(order_by),
            cursor=cursor,
        ),
        answer=DagRunPage,
    )


def get_run(dag_id: str, run_id: str) -> Request[DagRun]:
    """One run."""
    return Request(method="GET", path=path(_RUN, dag_id, run_id), answer=DagRun)


def trigger_run(
    dag_id: str,
    *,
    run_id: str | None = None,
    logical_date: datetime | None = None,
    run_after: datetime | None = None,
    conf: Mapping[str, Any] | None = None,
    note: str | None = None,
) -> Request[DagRun]:
    """Create a manual run. Without a logical date the run has none, as in Airflow."""
    body = body_of(dag_run_id=run_id, run_after=run_after, conf=conf, note=note)
    body["logical_date"] = logical_date
    return Request(method="POST", path=path(API + "/dags/{}/dagRuns", dag_id), body=body, answer=DagRun, is_action=True)


def set_run_state(dag_id: str, run_id: str, state: str) -> Request[DagRun]:
    """Mark a run success or failed, or queue it again."""
    return Request(
        method="PATCH", path=path(_RUN, dag_id, run_id), body={"state": state}, answer=DagRun, is_action=True
    )


def delete_run(dag_id: str, run_id: str) -> Request[None]:
    """Delete a run with everything stored of it."""
    return Request(method="DELETE", path=path(_RUN, dag_id, run_id), answer=None, is_action=True)


def list_task_instances(
    dag_id: str,
    run_id: str,
    *,
    limit: int = 100,
    offset: int = 0,
    state: Sequence[str] = (),
    task_id: str | None = None,
    order_by: Sequence[str] = (),
    cursor: str | None = None,
) -> Request[TaskInstancePage]:
    """One page of a run's task instances."""
    return Request(
        method="GET",
        path=path(_RUN + "/taskInstances", dag_id, run_id),
        query=query(
            limit=limit, offset=offset, state=list(state), task_id=task_id, order_by=list(order_by), cursor=cursor
        ),
        answer=TaskInstancePage,
    )


def get_task_instance(dag_id: str, run_id: str, task_id: str, map_index: int = -1) -> Request[TaskInstance]:
    """One task instance."""
    where = path(_TASK_INSTANCE, dag_id, run_id, task_id)
    return Request(method="GET", path=where if map_index < 0 else f"{where}/{map_index}", answer=TaskInstance)


def list_tries(dag_id: str, run_id: str, task_id: str, map_index: int = -1) -> Request[TaskInstancePage]:
    """Every try of a task instance, the first one first."""
    where = path(_TASK_INSTANCE, dag_id, run_id, task_id)
    if map_index >= 0:
        where = f"{where}/{map_index}"
    return Request(method="GET", path=f"{where}/tries", answer=TaskInstancePage)


def clear_task_instances(
    dag_id: str,
    run_id: str,
    *,
    task_ids: Sequence[str] | None = None,
    only_failed: bool = False,
    include_upstream: bool = False,
    include_downstream: bool = False,
    include_future: bool = False,
    include_past: bool = False,
    latest_version: bool = False,
    dry_run: bool = False,
) -> Request[TaskInstancePage]:
    """Run task instances once more; with `dry_run` only say which it would be."""
    return Request(
        method="POST",
        path=path(API + "/dags/{}/clearTaskInstances", dag_id),
        body=body_of(
            dag_run_id=run_id,
            task_ids=None if task_ids is None else list(task_ids),
            only_failed=only_failed,
            only_running=False,
            include_upstream=include_upstream,
            include_downstream=include_downstream,
            include_future=include_future,
            include_past=include_past,
            reset_dag_runs=True,
            run_on_latest_version=latest_version,
            dry_run=dry_run,
        ),
        answer=TaskInstancePage,
        is_action=not dry_run,
    )


def set_task_instance_state(
    dag_id: str, run_id: str, task_id: str, state: str, *, map_index: int | None = None
) -> Request[TaskInstancePage]:
    """Mark a task instance success, failed or skipped."""
    return Request(
        method="PATCH",
        path=path(_TASK_INSTANCE, dag_id, run_id, task_id),
        query=query(map_index=map_index),
        body={"new_state": state},
        answer=TaskInstancePage,
        is_action=True,
    )


def read_log(
    dag_id: str,
    run_id: str,
    task_id: str,
    *,
    try_number: int | None = None,
    dispatch_no: int | None = None,
    map_index: int = -1,
    offset: int = 0,
    limit: int = 256 * 1024,
) -> Request[LogRange]:
    """A piece of a try's, or a dispatch's, log from byte `offset` on, at most `limit` bytes; else of the last one's."""
    return Request(
        method="GET",
        path=path(OWN_API + "/dags/{}/dagRuns/{}/taskInstances/{}/logRange", dag_id, run_id, task_id),
        query=query(
            try_number=try_number,
            dispatch_no=dispatch_no,
            map_index=map_index if map_index >= 0 else None,
            offset=offset,
            limit=limit,
        ),
        answer=LogRange,
    )


def explain(dag_id: str, run_id: str, task_id: str | None = None, *, map_index: int = -1) -> Request[Explanation]:
    """Why a run, or one task instance of it, does not run."""
    where = path(OWN_API + "/dags/{}/dagRuns/{}", dag_id, run_id)
    if task_id is not None:
        where += path("/taskInstances/{}", task_id)
    return Request(
        method="GET",
        path=f"{where}/explain",
        query=query(map_index=map_index if map_index >= 0 else None),
        answer=Explanation,
    )


def list_all_running(limit: int = 1_000) -> Request[TaskInstancePage]:
    """Task instances that run now, of all DAGs."""
    return list_task_instances(ANY, ANY, limit=limit, state=["running"])
