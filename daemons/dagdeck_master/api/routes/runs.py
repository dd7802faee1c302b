"""Operations on dag runs.

Decides their paths and parameters, as Airflow's. Reads through `queries`; everything that changes a run goes through
the door.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Annotated, Any, Literal

import msgspec
import sqlalchemy as sa
from fastapi import APIRouter, Query, Response
from fastapi.responses import StreamingResponse

from dagdeck_core.actions import Action, ClearTaskInstances, DeleteDagRun, SetDagRunState, SetNote, TriggerDagRun
from dagdeck_core.states import DagRunState, DagRunType
from dagdeck_io.db.tables import dag
from dagdeck_master.api.bodies import DagRunClearBody, DagRunPatchBody, DagRunsBatchBody, TriggerDagRunBody
from dagdeck_master.api.conf import check_conf
from dagdeck_master.api.context import ApiContext, Context, Scoped, Sending
from dagdeck_master.api.errors import ApiProblem, not_found
from dagdeck_master.api.filters import RunFilters
from dagdeck_master.api.markers import with_marked
from dagdeck_master.api.models.runs import (
    ClearTaskInstanceCollectionResponse,
    DAGRunCollectionResponse,
    DAGRunResponse,
)
from dagdeck_master.api.queries import runs as run_queries
from dagdeck_master.api.queries import xcoms
from dagdeck_master.api.queries.task_instances import task_instances_by_id
from dagdeck_master.api.reply import documented, no_content, reply
from dagdeck_master.api.selection import Wish, require_within, resolve
from dagdeck_master.api.vaulted import check_mask

router = APIRouter(prefix="/api/v2/dags/{dag_id}", tags=["DagRun"])
_ENDED = (DagRunState.SUCCESS, DagRunState.FAILED)
SHORTEST_WAIT = 0.2
"""Seconds between looks at a run that a client waits for, at least."""


@router.get("/dagRuns", operation_id="get_dag_runs", **documented(DAGRunCollectionResponse))
def get_dag_runs(dag_id: str, filters: Annotated[RunFilters, Query()], context: Context, scope: Scoped) -> Response:
    """List the runs of a DAG, or of all for `~`; by offset, or with `cursor` (at first empty) by cursor."""
    with context.database.reading() as connection:
        return reply(run_queries.list_runs(connection, dag_id, filters, context.cap, scope))


@router.post("/dagRuns/list", operation_id="get_list_dag_runs_batch", **documented(DAGRunCollectionResponse))
def get_list_dag_runs_batch(dag_id: Literal["~"], body: DagRunsBatchBody, context: Context, scope: Scoped) -> Response:
    """List runs of many DAGs, with filters too long for a URL."""
    with context.database.reading() as connection:
        return reply(run_queries.list_runs_batch(connection, body, context.cap, scope))


@router.post("/dagRuns", operation_id="trigger_dag_run", **documented(DAGRunResponse))
async def trigger_dag_run(dag_id: str, body: TriggerDagRunBody, context: Context, sending: Sending) -> Response:
    """Create a manual run. The conf is checked against the DAG's params first."""
    action = TriggerDagRun(
        dag_id=dag_id,
        run_id=body.dag_run_id,
        logical_date=body.logical_date,
        data_interval_start=body.data_interval_start,
        data_interval_end=body.data_interval_end,
        run_after=body.run_after,
        conf=body.conf or {},
        note=body.note,
        partition_key=body.partition_key,
    )
    result = await context.door.carry_out_one(
        action, sending, check=lambda connection: check_trigger(context, connection, dag_id, body)
    )
    return reply(await context.read(lambda connection: run_queries.get_run_by_key(connection, result["run_key"])))


def check_trigger(
    context: ApiContext,
    connection: sa.Connection,
    dag_id: str,
    body: TriggerDagRunBody,
    run_type: DagRunType = DagRunType.MANUAL,
) -> None:
    """Refuse a trigger that cannot succeed, with the reason."""
    row = connection.execute(sa.select(dag).where(dag.c.dag_id == dag_id)).one_or_none()
    if row is None:
        not_found("The Dag", dag_id=dag_id)
    if row.has_import_errors:
        raise ApiProblem(400, f"Dag with dag_id: '{dag_id}' has import errors and cannot be triggered")
    if row.allowed_run_types is not None and run_type not in row.allowed_run_types:
        raise ApiProblem(400, f"Dag with dag_id: '{dag_id}' does not allow {run_type.replace('_', ' ')} runs")
    known = context.specs.get(connection, row.version_id)
    if known is None:
        not_found("The newest version of the Dag", dag_id=dag_id)
    check_conf(known.spec.params, body.conf or {})


@router.get("/dagRuns/{dag_run_id}", operation_id="get_dag_run", **documented(DAGRunResponse))
def get_dag_run(dag_id: str, dag_run_id: str, context: Context) -> Response:
    """Get one run."""
    with context.database.reading() as connection:
        return reply(run_queries.get_run(connection, dag_id, dag_run_id))


@router.patch("/dagRuns/{dag_run_id}", operation_id="patch_dag_run", **documented(DAGRunResponse))
async def patch_dag_run(
    dag_id: str,
    dag_run_id: str,
    body: DagRunPatchBody,
    context: Context,
    sending: Sending,
    update_mask: Annotated[list[str] | None, Query()] = None,
) -> Response:
    """Mark a run, queue it again, or change its note."""
    fields = check_mask(update_mask, ("state", "note")) or [*body.model_fields_set]
    run = await context.read(lambda connection: run_queries.run_row(connection, dag_id, dag_run_id))
    actions: list[Action] = []
    if "state" in fields and body.state is not None:
        actions.append(SetDagRunState(run_key=run.run_key, state=body.state))
    if "note" in fields:
        actions.append(SetNote(run_key=run.run_key, note=body.note or None))
    await context.door.carry_out(actions, sending)
    return reply(await context.read(lambda connection: run_queries.get_run_by_key(connection, run.run_key)))


@router.delete("/dagRuns/{dag_run_id}", operation_id="delete_dag_run", **documented(None, 204))
async def delete_dag_run(dag_id: str, dag_run_id: str, context: Context, sending: Sending) -> Response:
    """Delete a run with everything stored of it."""
    run = await context.read(lambda connection: run_queries.run_row(connection, dag_id, dag_run_id))
    await context.door.carry_out_one(DeleteDagRun(run_key=run.run_key), sending)
    return no_content()


@router.post(
    "/dagRuns/{dag_run_id}/clear", operation_id="clear_dag_run", **documented(ClearTaskInstanceCollectionResponse)
)
async def clear_dag_run(
    dag_id: str, dag_run_id: str, body: DagRunClearBody, context: Context, scope: Scoped, sending: Sending
) -> Response:
    """Run all (or the failed) tasks of a run once more; a dry run, which is the default, only lists them."""
    if body.only_new:
        raise ApiProblem(400, "only_new: a run keeps the tasks of the version that it is pinned to; trigger a new run")
    run = await context.read(lambda connection: run_queries.run_row(connection, dag_id, dag_run_id))
    wish = Wish(only_failed=body.only_failed)
    found = await context.read(
        lambda connection: with_marked(
            connection, context.specs, [run], resolve(connection, context.specs, [run], wish)
        )
    )
    await context.read(lambda connection: require_within(connection, found, scope))
    if body.dry_run:
        ids = [target.ti_id for each in found for target in each.targets]
        listed = await context.read(lambda connection: task_instances_by_id(connection, context.specs, ids))
        return reply(
            ClearTaskInstanceCollectionResponse(
                task_instances=listed.task_instances, total_entries=len(listed.task_instances)
            )
        )
    own = next((each for each in found if each.run_key == run.run_key), None)
    actions = [
        ClearTaskInstances(
            run_key=run.run_key,
            targets=tuple(own.targets) if own is not None else (),
            latest_version=body.run_on_latest_version,
            note=body.note,
        )
    ]
    actions += [
        ClearTaskInstances(run_key=each.run_key, targets=tuple(each.targets)) for each in found if each is not own
    ]
    await context.door.carry_out(actions, sending)
    return reply(await context.read(lambda connection: run_queries.get_run_by_key(connection, run.run_key)))


@router.get(
    "/dagRuns/{dag_run_id}/wait",
    operation_id="wait_dag_run_until_finished",
    **documented(None, also=("application/x-ndjson",)),
)
async def wait_dag_run_until_finished(
    dag_id: str,
    dag_run_id: str,
    context: Context,
    interval: Annotated[float, Query(gt=0.0, le=3600.0)],
    result: Annotated[list[str] | None, Query(max_length=100)] = None,
) -> Response:
    """Send the run's state as a line of JSON every `interval` seconds until it has ended.

    The last line also holds the return values of the tasks named by `result`.
    """
    run = await context.read(lambda connection: run_queries.run_row(connection, dag_id, dag_run_id))

    async def lines() -> AsyncIterator[bytes]:
        pause = max(SHORTEST_WAIT, timedelta(seconds=interval).total_seconds())
        while True:
            now = await context.read(lambda connection: run_queries.get_run_by_key(connection, run.run_key))
            line: dict[str, Any] = {"state": now.state}
            if now.state in _ENDED:
                if result:
                    line["results"] = await context.read(
                        lambda connection: _return_values(connection, dag_id, dag_run_id, result)
                    )
                yield msgspec.json.encode(line) + b"\n"
                return
            yield msgspec.json.encode(line) + b"\n"
            await asyncio.sleep(pause)

    return StreamingResponse(lines(), media_type="application/x-ndjson")


def _return_values(connection: sa.Connection, dag_id: str, run_id: str, task_ids: list[str]) -> dict[str, Any]:
    """Return values by task; tasks without one are null."""
    values: dict[str, Any] = {}
    for task_id in task_ids:
        try:
            found = xcoms.get_xcom(connection, dag_id, run_id, task_id, "return_value", map_index=-1, stringify=False)
            values[task_id] = found.value
        except ApiProblem:
            values[task_id] = None
    return values
