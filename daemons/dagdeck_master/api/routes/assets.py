"""Operations on assets, aliases, their events, and what waits for DAGs.

Decides their paths and parameters, as Airflow's. Reads through `queries.assets`; an event is made, and waiting events
are deleted, by actions through the door.
"""

from __future__ import annotations

from typing import Annotated

import sqlalchemy as sa
from fastapi import APIRouter, Query, Response

from dagdeck_core.actions import CreateAssetEvent, DeleteQueuedEvents, TriggerDagRun
from dagdeck_core.states import DagRunType
from dagdeck_master.api.asset_bodies import CreateAssetEventsBody, MaterializeAssetBody
from dagdeck_master.api.context import Context, Sending
from dagdeck_master.api.errors import ApiProblem
from dagdeck_master.api.filters import AssetAliasFilters, AssetEventFilters, AssetFilters, RowId, UtcDatetime
from dagdeck_master.api.models.assets import (
    AssetAliasCollectionResponse,
    AssetAliasResponse,
    AssetCollectionResponse,
    AssetEventCollectionResponse,
    AssetEventResponse,
    AssetResponse,
    QueuedEventCollectionResponse,
    QueuedEventResponse,
)
from dagdeck_master.api.models.runs import DAGRunResponse
from dagdeck_master.api.queries import assets
from dagdeck_master.api.queries import runs as run_queries
from dagdeck_master.api.reply import documented, no_content, reply
from dagdeck_master.api.routes.runs import check_trigger

router = APIRouter(prefix="/api/v2", tags=["Asset"])
Before = Annotated[UtcDatetime | None, Query()]
_AS_IT_IS = MaterializeAssetBody()
"""What a request without a body asks for."""


@router.get("/assets", operation_id="get_assets", **documented(AssetCollectionResponse))
def get_assets(filters: Annotated[AssetFilters, Query()], context: Context) -> Response:
    """List assets; those that no DAG names any more only with `only_active=false`."""
    with context.database.reading() as connection:
        return reply(assets.list_assets(connection, filters, context.cap))


@router.get("/assets/aliases", operation_id="get_asset_aliases", **documented(AssetAliasCollectionResponse))
def get_asset_aliases(filters: Annotated[AssetAliasFilters, Query()], context: Context) -> Response:
    """List aliases."""
    with context.database.reading() as connection:
        return reply(assets.list_aliases(connection, filters, context.cap))


@router.get("/assets/aliases/{asset_alias_id}", operation_id="get_asset_alias", **documented(AssetAliasResponse))
def get_asset_alias(asset_alias_id: RowId, context: Context) -> Response:
    """Get one alias."""
    with context.database.reading() as connection:
        return reply(assets.get_alias(connection, asset_alias_id))


@router.get("/assets/events", operation_id="get_asset_events", **documented(AssetEventCollectionResponse))
def get_asset_events(filters: Annotated[AssetEventFilters, Query()], context: Context) -> Response:
    """List events of assets, with the runs that consumed them."""
    with context.database.reading() as connection:
        return reply(assets.list_events(connection, filters, context.cap))


@router.post("/assets/events", operation_id="create_asset_event", **documented(AssetEventResponse))
async def create_asset_event(body: CreateAssetEventsBody, context: Context, sending: Sending) -> Response:
    """Record an event of an asset, as if a task had emitted it."""
    action = CreateAssetEvent(
        asset_id=body.asset_id, extra={**body.extra, "from_rest_api": True}, partition_key=body.partition_key
    )

    def check(connection: sa.Connection) -> None:
        assets.asset_row(connection, body.asset_id)

    result = await context.door.carry_out_one(action, sending, check=check)
    return reply(await context.read(lambda connection: assets.get_event(connection, result["asset_event_id"])))


@router.post("/assets/{asset_id}/materialize", operation_id="materialize_asset", **documented(DAGRunResponse))
async def materialize_asset(
    asset_id: RowId, context: Context, sending: Sending, body: MaterializeAssetBody = _AS_IT_IS
) -> Response:
    """Trigger the one DAG that has a task which writes the asset."""
    dags = await context.read(lambda connection: assets.producing_dags(connection, asset_id))
    if not dags:
        raise ApiProblem(404, f"No Dag materializes asset with ID: {asset_id}")
    if len(dags) > 1:
        raise ApiProblem(409, f"More than one Dag materializes asset with ID: {asset_id}")
    action = TriggerDagRun(
        dag_id=dags[0],
        run_id=body.dag_run_id,
        logical_date=body.logical_date,
        data_interval_start=body.data_interval_start,
        data_interval_end=body.data_interval_end,
        run_after=body.run_after,
        conf=body.conf or {},
        note=body.note,
        partition_key=body.partition_key,
        materializes=True,
    )

    def check(connection: sa.Connection) -> None:
        check_trigger(context, connection, dags[0], body, DagRunType.ASSET_MATERIALIZATION)

    result = await context.door.carry_out_one(action, sending, check=check)
    return reply(await context.read(lambda connection: run_queries.get_run_by_key(connection, result["run_key"])))


@router.get(
    "/assets/{asset_id}/queuedEvents",
    operation_id="get_asset_queued_events",
    **documented(QueuedEventCollectionResponse),
)
def get_asset_queued_events(asset_id: RowId, context: Context, before: Before = None) -> Response:
    """List the DAGs for which events of an asset wait."""
    with context.database.reading() as connection:
        return reply(assets.queued_events(connection, asset_id=asset_id, before=before, cap=context.cap))


@router.delete("/assets/{asset_id}/queuedEvents", operation_id="delete_asset_queued_events", **documented(None, 204))
async def delete_asset_queued_events(
    asset_id: RowId, context: Context, sending: Sending, before: Before = None
) -> Response:
    """Forget the events of an asset that wait for DAGs."""
    await context.door.carry_out_one(DeleteQueuedEvents(asset_id=asset_id, before=before), sending)
    return no_content()


@router.get("/assets/{asset_id}", operation_id="get_asset", **documented(AssetResponse))
def get_asset(asset_id: RowId, context: Context) -> Response:
    """Get one asset."""
    with context.database.reading() as connection:
        return reply(assets.get_asset(connection, asset_id))


# ---------------------------------------------------------------- of a DAG


@router.get(
    "/dags/{dag_id}/assets/queuedEvents",
    operation_id="get_dag_asset_queued_events",
    **documented(QueuedEventCollectionResponse),
)
def get_dag_asset_queued_events(dag_id: str, context: Context, before: Before = None) -> Response:
    """List the assets whose events wait for a DAG."""
    with context.database.reading() as connection:
        return reply(assets.queued_events(connection, dag_id=dag_id, before=before, cap=context.cap))


@router.delete(
    "/dags/{dag_id}/assets/queuedEvents", operation_id="delete_dag_asset_queued_events", **documented(None, 204)
)
async def delete_dag_asset_queued_events(
    dag_id: str, context: Context, sending: Sending, before: Before = None
) -> Response:
    """Forget all events that wait for a DAG."""
    await context.door.carry_out_one(DeleteQueuedEvents(dag_id=dag_id, before=before), sending)
    return no_content()


@router.get(
    "/dags/{dag_id}/assets/{asset_id}/queuedEvents",
    operation_id="get_dag_asset_queued_event",
    **documented(QueuedEventResponse),
)
def get_dag_asset_queued_event(dag_id: str, asset_id: RowId, context: Context, before: Before = None) -> Response:
    """Get whether events of an asset wait for a DAG."""
    with context.database.reading() as connection:
        found = assets.queued_events(connection, dag_id=dag_id, asset_id=asset_id, before=before, cap=1)
    if not found.queued_events:
        raise ApiProblem(404, f"Queued event with dag_id: `{dag_id}` and asset_id: `{asset_id}` was not found")
    return reply(found.queued_events[0])


@router.delete(
    "/dags/{dag_id}/assets/{asset_id}/queuedEvents",
    operation_id="delete_dag_asset_queued_event",
    **documented(None, 204),
)
async def delete_dag_asset_queued_event(
    dag_id: str, asset_id: RowId, context: Context, sending: Sending, before: Before = None
) -> Response:
    """Forget the events of an asset that wait for a DAG."""
    action = DeleteQueuedEvents(dag_id=dag_id, asset_id=asset_id, before=before)
    await context.door.carry_out_one(action, sending)
    return no_content()


@router.get(
    "/dags/{dag_id}/dagRuns/{dag_run_id}/upstreamAssetEvents",
    operation_id="get_upstream_asset_events",
    **documented(AssetEventCollectionResponse),
)
def get_upstream_asset_events(dag_id: str, dag_run_id: str, context: Context) -> Response:
    """List the events that a run consumed."""
    with context.database.reading() as connection:
        run = run_queries.run_row(connection, dag_id, dag_run_id)
        return reply(assets.upstream_events(connection, run.run_key, context.cap))
