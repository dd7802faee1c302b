"""Operations on the state stores of assets and task instances.

Decides their paths and parameters, as Airflow's. Reads and writes through `queries.states`.
"""

from __future__ import annotations

from datetime import timedelta
from enum import Enum
from typing import Annotated

from fastapi import APIRouter, Query, Response

from dagdeck_master.api.asset_bodies import StateBody, TaskStateBody
from dagdeck_master.api.context import Context, Sending
from dagdeck_master.api.filters import MapIndex, Paging, RowId
from dagdeck_master.api.models.assets import (
    AssetStateStoreCollectionResponse,
    AssetStateStoreResponse,
    TaskStateStoreCollectionResponse,
    TaskStateStoreResponse,
)
from dagdeck_master.api.queries import states
from dagdeck_master.api.reply import documented, no_content, reply

router = APIRouter(prefix="/api/v2")
_ASSET = "/assets/{asset_id}/state-store"
_TASK = "/dags/{dag_id}/dagRuns/{dag_run_id}/taskInstances/{task_id}/state-store"
_OF_ASSETS: list[str | Enum] = ["Asset State Store"]
_OF_TASKS: list[str | Enum] = ["Task State Store"]

# ---------------------------------------------------------------- assets


@router.get(
    _ASSET,
    operation_id="list_asset_state_store",
    tags=_OF_ASSETS,
    **documented(AssetStateStoreCollectionResponse),
)
def list_asset_state_store(asset_id: RowId, filters: Annotated[Paging, Query()], context: Context) -> Response:
    """List what tasks have stored for an asset."""
    with context.database.reading() as connection:
        return reply(states.list_asset_states(connection, asset_id, filters, context.cap))


@router.get(
    _ASSET + "/{key:path}",
    operation_id="get_asset_state_store",
    tags=_OF_ASSETS,
    **documented(AssetStateStoreResponse),
)
def get_asset_state_store(asset_id: RowId, key: str, context: Context) -> Response:
    """Get one stored value of an asset."""
    with context.database.reading() as connection:
        return reply(states.get_asset_state(connection, asset_id, key))


@router.put(_ASSET + "/{key:path}", operation_id="set_asset_state_store", tags=_OF_ASSETS, **documented(None, 204))
def set_asset_state_store(asset_id: RowId, key: str, body: StateBody, context: Context, sending: Sending) -> Response:
    """Store a value for an asset."""
    states.put_asset_state(context.database, asset_id, key, body.value, sending, context.clock())
    return no_content()


@router.delete(
    _ASSET + "/{key:path}", operation_id="delete_asset_state_store", tags=_OF_ASSETS, **documented(None, 204)
)
def delete_asset_state_store(asset_id: RowId, key: str, context: Context, sending: Sending) -> Response:
    """Forget one stored value of an asset."""
    states.delete_asset_states(context.database, asset_id, key, sending, context.clock())
    return no_content()


@router.delete(_ASSET, operation_id="clear_asset_state_store", tags=_OF_ASSETS, **documented(None, 204))
def clear_asset_state_store(asset_id: RowId, context: Context, sending: Sending) -> Response:
    """Forget all that is stored for an asset."""
    states.delete_asset_states(context.database, asset_id, None, sending, context.clock())
    return no_content()


# ---------------------------------------------------------------- task instances


@router.get(_TASK, operation_id="list_task_state_store", tags=_OF_TASKS, **documented(TaskStateStoreCollectionResponse))
def list_task_state_store(
    dag_id: str,
    dag_run_id: str,
    task_id: str,
    filters: Annotated[Paging, Query()],
    context: Context,
    map_index: MapIndex = -1,
) -> Response:
    """List what a task instance has stored."""
    scope = (dag_id, dag_run_id, task_id, map_index)
    with context.database.reading() as connection:
        return reply(states.list_task_states(connection, scope, filters, context.cap))


@router.get(
    _TASK + "/{key:path}",
    operation_id="get_task_state_store",
    tags=_OF_TASKS,
    **documented(TaskStateStoreResponse),
)
def get_task_state_store(
    dag_id: str, dag_run_id: str, task_id: str, key: str, context: Context, map_index: MapIndex = -1
) -> Response:
    """Get one stored value of a task instance."""
    with context.database.reading() as connection:
        return reply(states.get_task_state(connection, (dag_id, dag_run_id, task_id, map_index), key))


@router.put(_TASK + "/{key:path}", operation_id="set_task_state_store", tags=_OF_TASKS, **documented(None, 204))
def set_task_state_store(
    dag_id: str,
    dag_run_id: str,
    task_id: str,
    key: str,
    body: TaskStateBody,
    context: Context,
    sending: Sending,
    map_index: MapIndex = -1,
) -> Response:
    """Store a value for a task instance."""
    scope, now = (dag_id, dag_run_id, task_id, map_index), context.clock()
    expires = body.expires_at
    if expires == "default":
        days = context.settings.state_store.default_retention_days
        expires = now + timedelta(days=days) if days else None
    states.put_task_state(context.database, scope, key, body.value, expires, sending, now)
    return no_content()


@router.patch(_TASK + "/{key:path}", operation_id="patch_task_state_store", tags=_OF_TASKS, **documented(None))
def patch_task_state_store(
    dag_id: str,
    dag_run_id: str,
    task_id: str,
    key: str,
    body: StateBody,
    context: Context,
    sending: Sending,
    map_index: MapIndex = -1,
) -> Response:
    """Change a stored value of a task instance; when it expires stays."""
    scope = (dag_id, dag_run_id, task_id, map_index)
    states.patch_task_state(context.database, scope, key, body.value, sending, context.clock())
    return Response(b"null", media_type="application/json")


@router.delete(_TASK + "/{key:path}", operation_id="delete_task_state_store", tags=_OF_TASKS, **documented(None, 204))
def delete_task_state_store(
    dag_id: str,
    dag_run_id: str,
    task_id: str,
    key: str,
    context: Context,
    sending: Sending,
    map_index: MapIndex = -1,
) -> Response:
    """Forget one stored value of a task instance."""
    scope = (dag_id, dag_run_id, task_id, map_index)
    states.delete_task_states(context.database, scope, key, sending, context.clock())
    return no_content()


@router.delete(_TASK, operation_id="clear_task_state_store", tags=_OF_TASKS, **documented(None, 204))
def clear_task_state_store(
    dag_id: str,
    dag_run_id: str,
    task_id: str,
    context: Context,
    sending: Sending,
    map_index: MapIndex = -1,
    all_map_indices: bool = False,
) -> Response:
    """Forget all that a task instance, or with `all_map_indices` every one of its task, has stored."""
    scope = (dag_id, dag_run_id, task_id, None if all_map_indices else map_index)
    states.delete_task_states(context.database, scope, None, sending, context.clock())
    return no_content()
