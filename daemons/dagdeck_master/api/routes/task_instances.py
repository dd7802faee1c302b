"""Operations on task instances: listings, tries, marks and clears.

Decides their paths and parameters, as Airflow's. Reads through `queries`; what a mark or clear means is resolved
by `selection` and goes through the door.

Paths that end in a word come before those that end in a map index, because the first match wins.
"""

from __future__ import annotations

from typing import Annotated, Literal

import sqlalchemy as sa
from fastapi import APIRouter, Query, Response

from dagdeck_core.actions import Action, ClearTaskInstances, SetNote, SetTaskInstanceState
from dagdeck_core.states import TaskInstanceState
from dagdeck_master.api.actions import Sender
from dagdeck_master.api.bodies import ClearTaskInstancesBody, PatchTaskInstanceBody, TaskInstancesBatchBody
from dagdeck_master.api.context import ApiContext, Context, Scoped, Sending
from dagdeck_master.api.errors import ApiProblem
from dagdeck_master.api.filters import Int, MapIndex, TaskInstanceFilters
from dagdeck_master.api.markers import with_marked
from dagdeck_master.api.models.runs import (
    TaskInstanceCollectionResponse,
    TaskInstanceHistoryCollectionResponse,
    TaskInstanceHistoryResponse,
    TaskInstanceResponse,
)
from dagdeck_master.api.queries import task_instances as queries
from dagdeck_master.api.queries.runs import run_row
from dagdeck_master.api.queries.versions import require_dag
from dagdeck_master.api.reply import documented, reply
from dagdeck_master.api.selection import RunTargets, Wish, require_within, resolve, runs_between, runs_from
from dagdeck_master.api.vaulted import check_mask

router = APIRouter(prefix="/api/v2/dags/{dag_id}", tags=["Task Instance"])
_RUN = "/dagRuns/{dag_run_id}"
_ONE = _RUN + "/taskInstances/{task_id}"
Mask = Annotated[list[str] | None, Query()]

# ---------------------------------------------------------------- listings


@router.get(_RUN + "/taskInstances", operation_id="get_task_instances", **documented(TaskInstanceCollectionResponse))
def get_task_instances(
    dag_id: str, dag_run_id: str, filters: Annotated[TaskInstanceFilters, Query()], context: Context, scope: Scoped
) -> Response:
    """List the task instances of a run; `~` stands for any DAG or run. By offset, or with `cursor` by cursor."""
    with context.database.reading() as connection:
        return reply(
            queries.list_task_instances(connection, context.specs, dag_id, dag_run_id, filters, context.cap, scope)
        )


@router.post(
    _RUN + "/taskInstances/list",
    operation_id="get_task_instances_batch",
    **documented(TaskInstanceCollectionResponse),
)
def get_task_instances_batch(
    dag_id: Literal["~"], dag_run_id: Literal["~"], body: TaskInstancesBatchBody, context: Context, scope: Scoped
) -> Response:
    """List task instances of many DAGs and runs, with filters too long for a URL."""
    with context.database.reading() as connection:
        return reply(queries.list_task_instances_batch(connection, context.specs, body, context.cap, scope))


@router.get(_ONE, operation_id="get_task_instance", **documented(TaskInstanceResponse))
def get_task_instance(dag_id: str, dag_run_id: str, task_id: str, context: Context) -> Response:
    """Get one task instance."""
    with context.database.reading() as connection:
        return reply(queries.get_task_instance(connection, context.specs, dag_id, dag_run_id, task_id))


@router.get(
    _ONE + "/listMapped", operation_id="get_mapped_task_instances", **documented(TaskInstanceCollectionResponse)
)
def get_mapped_task_instances(
    dag_id: str,
    dag_run_id: str,
    task_id: str,
    filters: Annotated[TaskInstanceFilters, Query()],
    context: Context,
    scope: Scoped,
) -> Response:
    """List the mapped instances of a task."""
    with context.database.reading() as connection:
        found = queries.list_task_instances(
            connection, context.specs, dag_id, dag_run_id, filters, context.cap, scope, only_task=task_id
        )
        return reply(found)


# ---------------------------------------------------------------- tries


@router.get(
    _ONE + "/tries", operation_id="get_task_instance_tries", **documented(TaskInstanceHistoryCollectionResponse)
)
def get_task_instance_tries(
    dag_id: str, dag_run_id: str, task_id: str, context: Context, map_index: MapIndex = -1
) -> Response:
    """List all tries of a task instance."""
    with context.database.reading() as connection:
        return reply(queries.list_tries(connection, context.specs, dag_id, dag_run_id, task_id, map_index))


@router.get(
    _ONE + "/tries/{task_try_number}",
    operation_id="get_task_instance_try_details",
    **documented(TaskInstanceHistoryResponse),
)
def get_task_instance_try_details(
    dag_id: str, dag_run_id: str, task_id: str, task_try_number: Int, context: Context, map_index: MapIndex = -1
) -> Response:
    """Get one try of a task instance."""
    with context.database.reading() as connection:
        return reply(
            queries.get_try(connection, context.specs, dag_id, dag_run_id, task_id, map_index, task_try_number)
        )


# ---------------------------------------------------------------- clear


@router.post(
    "/clearTaskInstances", operation_id="post_clear_task_instances", **documented(TaskInstanceCollectionResponse)
)
async def post_clear_task_instances(
    dag_id: str, body: ClearTaskInstancesBody, context: Context, scope: Scoped, sending: Sending
) -> Response:
    """Run task instances once more; a dry run, which is the default, only lists them."""
    found = await context.read(lambda connection: _to_clear(context, connection, dag_id, body))
    await context.read(lambda connection: require_within(connection, found, scope))
    ids = [target.ti_id for each in found for target in each.targets]
    if not body.dry_run:
        running = [t.task_id for each in found for t in each.targets if t.expected is TaskInstanceState.RUNNING]
        if running and body.prevent_running_task:
            raise ApiProblem(409, f"Task instances are running, so nothing was cleared: {', '.join(running[:10])}")
        actions = [
            ClearTaskInstances(
                run_key=each.run_key,
                targets=tuple(each.targets),
                reset_run=body.reset_dag_runs,
                latest_version=body.run_on_latest_version,
                note=body.note,
            )
            for each in found
        ]
        await context.door.carry_out(actions, sending)
    return reply(await context.read(lambda connection: queries.task_instances_by_id(connection, context.specs, ids)))


def _to_clear(
    context: ApiContext, connection: sa.Connection, dag_id: str, body: ClearTaskInstancesBody
) -> list[RunTargets]:
    """The task instances that a clear means."""
    require_dag(connection, dag_id)
    if body.dag_run_id is not None:
        run = run_row(connection, dag_id, body.dag_run_id)
        runs = runs_from(connection, run, past=body.include_past, future=body.include_future)
    else:
        runs = runs_between(connection, dag_id, body.start_date, body.end_date)
    wish = Wish(
        tasks=body.task_ids,
        upstream=body.include_upstream,
        downstream=body.include_downstream,
        only_failed=body.only_failed,
        only_running=body.only_running,
        with_setups=True,
    )
    return with_marked(connection, context.specs, runs, resolve(connection, context.specs, runs, wish))


# ---------------------------------------------------------------- marks and notes


@router.patch(
    _ONE + "/dry_run", operation_id="patch_task_instance_dry_run", **documented(TaskInstanceCollectionResponse)
)
async def patch_task_instance_dry_run(
    dag_id: str,
    dag_run_id: str,
    task_id: str,
    body: PatchTaskInstanceBody,
    context: Context,
    map_index: Int | None = None,
    update_mask: Mask = None,
) -> Response:
    """List what marking a task instance would change."""
    return await _dry_run(context, dag_id, dag_run_id, task_id, map_index, body, update_mask)


@router.patch(
    _ONE + "/{map_index}/dry_run",
    operation_id="patch_task_instance_dry_run_by_map_index",
    **documented(TaskInstanceCollectionResponse),
)
async def patch_task_instance_dry_run_by_map_index(
    dag_id: str,
    dag_run_id: str,
    task_id: str,
    map_index: Int,
    body: PatchTaskInstanceBody,
    context: Context,
    update_mask: Mask = None,
) -> Response:
    """List what marking a mapped task instance would change."""
    return await _dry_run(context, dag_id, dag_run_id, task_id, map_index, body, update_mask)


@router.patch(_ONE, operation_id="patch_task_instance", **documented(TaskInstanceCollectionResponse))
async def patch_task_instance(
    dag_id: str,
    dag_run_id: str,
    task_id: str,
    body: PatchTaskInstanceBody,
    context: Context,
    sending: Sending,
    map_index: Int | None = None,
    update_mask: Mask = None,
) -> Response:
    """Mark a task instance success, failed or skipped, or change its note; without a map index all mapped ones."""
    return await _patch(context, sending, dag_id, dag_run_id, task_id, map_index, body, update_mask)


@router.patch(
    _ONE + "/{map_index}",
    operation_id="patch_task_instance_by_map_index",
    **documented(TaskInstanceCollectionResponse),
)
async def patch_task_instance_by_map_index(
    dag_id: str,
    dag_run_id: str,
    task_id: str,
    map_index: Int,
    body: PatchTaskInstanceBody,
    context: Context,
    sending: Sending,
    update_mask: Mask = None,
) -> Response:
    """Mark a mapped task instance success, failed or skipped, or change its note."""
    return await _patch(context, sending, dag_id, dag_run_id, task_id, map_index, body, update_mask)


async def _dry_run(
    context: ApiContext,
    dag_id: str,
    run_id: str,
    task_id: str,
    map_index: Int | None,
    body: PatchTaskInstanceBody,
    update_mask: list[str] | None,
) -> Response:
    check_mask(update_mask, ("new_state", "note"))
    if body.new_state is None:
        raise ApiProblem(422, "new_state is required for a dry run")
    found, _ = await context.read(
        lambda connection: _to_mark(context, connection, dag_id, run_id, task_id, map_index, body)
    )
    ids = [target.ti_id for each in found for target in each.targets]
    return reply(await context.read(lambda connection: queries.task_instances_by_id(connection, context.specs, ids)))


async def _patch(
    context: ApiContext,
    sending: Sender,
    dag_id: str,
    run_id: str,
    task_id: str,
    map_index: Int | None,
    body: PatchTaskInstanceBody,
    update_mask: list[str] | None,
) -> Response:
    fields = check_mask(update_mask, ("new_state", "note")) or [*body.model_fields_set]
    changes, named = await context.read(
        lambda connection: _to_mark(context, connection, dag_id, run_id, task_id, map_index, body)
    )
    actions: list[Action] = []
    ids: list[int] = []
    if "new_state" in fields and body.new_state is not None:
        if not changes:
            raise ApiProblem(409, f"Task id {task_id} is already in {body.new_state} state")
        for each in changes:
            ids += [target.ti_id for target in each.targets]
            actions.append(
                SetTaskInstanceState(run_key=each.run_key, targets=tuple(each.targets), state=body.new_state)
            )
    if "note" in fields:
        for each in named:
            for target in each.targets:
                ids.append(target.ti_id)
                actions.append(SetNote(run_key=each.run_key, ti_id=target.ti_id, note=body.note or None))
    await context.door.carry_out(actions, sending)
    wanted = list(dict.fromkeys(ids))
    answer = await context.read(lambda connection: queries.task_instances_by_id(connection, context.specs, wanted))
    return reply(answer)


def _to_mark(
    context: ApiContext,
    connection: sa.Connection,
    dag_id: str,
    run_id: str,
    task_id: str,
    map_index: Int | None,
    body: PatchTaskInstanceBody,
) -> tuple[list[RunTargets], list[RunTargets]]:
    """What a mark changes (without those that are in the state already), and the task instances that were named.

    Raises ApiProblem 404 when there is none.
    """
    run = run_row(connection, dag_id, run_id)
    entry: str | tuple[str, int] = task_id if map_index is None else (task_id, map_index)
    named = resolve(connection, context.specs, [run], Wish(tasks=[entry]))
    if not named:
        queries.task_instance_row(connection, dag_id, run_id, task_id, -1 if map_index is None else map_index)
    runs = runs_from(connection, run, past=body.include_past, future=body.include_future)
    wish = Wish(tasks=[entry], upstream=body.include_upstream, downstream=body.include_downstream)
    changes = []
    for each in resolve(connection, context.specs, runs, wish):
        targets = [target for target in each.targets if target.expected is not body.new_state]
        if targets:
            changes.append(RunTargets(run_key=each.run_key, run_id=each.run_id, targets=targets))
    return changes, named


# ---------------------------------------------------------------- by map index


@router.get(
    _ONE + "/{map_index}/tries",
    operation_id="get_mapped_task_instance_tries",
    **documented(TaskInstanceHistoryCollectionResponse),
)
def get_mapped_task_instance_tries(
    dag_id: str, dag_run_id: str, task_id: str, map_index: Int, context: Context
) -> Response:
    """List all tries of a mapped task instance."""
    with context.database.reading() as connection:
        return reply(queries.list_tries(connection, context.specs, dag_id, dag_run_id, task_id, map_index))


@router.get(
    _ONE + "/{map_index}/tries/{task_try_number}",
    operation_id="get_mapped_task_instance_try_details",
    **documented(TaskInstanceHistoryResponse),
)
def get_mapped_task_instance_try_details(
    dag_id: str, dag_run_id: str, task_id: str, map_index: Int, task_try_number: Int, context: Context
) -> Response:
    """Get one try of a mapped task instance."""
    with context.database.reading() as connection:
        return reply(
            queries.get_try(connection, context.specs, dag_id, dag_run_id, task_id, map_index, task_try_number)
        )


@router.get(_ONE + "/{map_index}", operation_id="get_mapped_task_instance", **documented(TaskInstanceResponse))
def get_mapped_task_instance(dag_id: str, dag_run_id: str, task_id: str, map_index: Int, context: Context) -> Response:
    """Get one mapped task instance."""
    with context.database.reading() as connection:
        return reply(queries.get_task_instance(connection, context.specs, dag_id, dag_run_id, task_id, map_index))
