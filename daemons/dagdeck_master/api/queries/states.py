"""State stores of assets and task instances: values that people read and write beside tasks.

Decides their SQL, and that every change has its audit record in one transaction. Called by the routes of state stores.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from dagdeck_io.db.tables import asset_state_store, dag_run, task_instance, task_state_store
from dagdeck_master.api.actions import Sender
from dagdeck_master.api.audit import audit, bounded
from dagdeck_master.api.database import ApiDatabase
from dagdeck_master.api.errors import ApiProblem, not_found
from dagdeck_master.api.filters import Paging
from dagdeck_master.api.models.assets import (
    AssetStateStoreCollectionResponse,
    AssetStateStoreResponse,
    AssetStateWriter,
    TaskStateStoreCollectionResponse,
    TaskStateStoreResponse,
)
from dagdeck_master.api.paging import fetch_page, sorting
from dagdeck_master.api.queries.assets import asset_row

_assets, _tasks = asset_state_store, task_state_store
BY_API = {"kind": "api"}
MOST_RECORDED = 20
"""Values of which a record tells what they were."""


def list_asset_states(
    connection: sa.Connection, asset_id: int, filters: Paging, cap: int
) -> AssetStateStoreCollectionResponse:
    """One page of an asset's states, by key. Raises ApiProblem 404."""
    asset_row(connection, asset_id)
    statement = sa.select(_assets).where(_assets.c.asset_id == asset_id)
    order = sorting([], {"key": _assets.c.key}, {"key": _assets.c.key}, ["key"])
    page = fetch_page(connection, statement, order, filters.page(cap))
    return AssetStateStoreCollectionResponse(
        asset_state_store=[_asset_state(row) for row in page.rows], total_entries=page.total or 0
    )


def get_asset_state(connection: sa.Connection, asset_id: int, key: str) -> AssetStateStoreResponse:
    """One state of an asset. Raises ApiProblem 404."""
    asset_row(connection, asset_id)
    query = sa.select(_assets).where(_assets.c.asset_id == asset_id, _assets.c.key == key)
    row = connection.execute(query).one_or_none()
    if row is None:
        raise ApiProblem(404, f"Asset state store key {key!r} not found")
    return _asset_state(row)


def _asset_state(row: Any) -> AssetStateStoreResponse:
    writer = row.last_updated_by
    return AssetStateStoreResponse(
        key=row.key,
        value=row.value,
        updated_at=row.updated_at,
        last_updated_by=None if writer is None else AssetStateWriter(**writer),
    )


def put_asset_state(database: ApiDatabase, asset_id: int, key: str, value: Any, sender: Sender, now: datetime) -> None:
    """Create or replace a state of an asset. Raises ApiProblem 404."""
    _check_key(key)
    with database.writing() as connection:
        asset_row(connection, asset_id)
        where = (_assets.c.asset_id == asset_id, _assets.c.key == key)
        before = _values_at(connection, _assets, where)
        values = {"value": value, "last_updated_by": BY_API, "updated_at": now}
        if connection.execute(_assets.update().where(*where).values(**values)).rowcount == 0:
            connection.execute(_assets.insert().values(asset_id=asset_id, key=key, **values))
        told = {"asset_id": asset_id, "key": key, "before": before, "after": {key: bounded(value)}}
        _audit(connection, database, "set_asset_state_store", sender, now, told)


def delete_asset_states(database: ApiDatabase, asset_id: int, key: str | None, sender: Sender, now: datetime) -> None:
    """Forget a state of an asset, or all. Raises ApiProblem 404 for the asset."""
    with database.writing() as connection:
        asset_row(connection, asset_id)
        where = [_assets.c.asset_id == asset_id, *([] if key is None else [_assets.c.key == key])]
        before = _values_at(connection, _assets, where)
        connection.execute(_assets.delete().where(*where))
        told = {"asset_id": asset_id, "key": key, "before": before}
        _audit(connection, database, "delete_asset_state_store", sender, now, told)


# ---------------------------------------------------------------- task instances

Scope = tuple[str, str, str, int | None]
"""dag_id, run_id, task_id and map_index; None means every index."""


def _ti_ids(connection: sa.Connection, scope: Scope) -> list[int]:
    dag_id, run_id, task_id, map_index = scope
    query = (
        sa.select(task_instance.c.ti_id)
        .join(dag_run, dag_run.c.run_key == task_instance.c.run_key)
        .where(dag_run.c.dag_id == dag_id, dag_run.c.run_id == run_id, task_instance.c.task_id == task_id)
    )
    if map_index is not None:
        query = query.where(task_instance.c.map_index == map_index)
    return list(connection.execute(query).scalars())


def _known(connection: sa.Connection, scope: Scope) -> list[int]:
    found = _ti_ids(connection, scope)
    if not found:
        dag_id, run_id, task_id, map_index = scope
        not_found("Task instance", dag_id=dag_id, run_id=run_id, task_id=task_id, map_index=map_index)
    return found


def list_task_states(
    connection: sa.Connection, scope: Scope, filters: Paging, cap: int
) -> TaskStateStoreCollectionResponse:
    """One page of a task instance's states, by key."""
    statement = sa.select(_tasks).where(_tasks.c.ti_id.in_(_ti_ids(connection, scope)))
    order = sorting([], {"key": _tasks.c.key}, {"key": _tasks.c.key}, ["key"])
    page = fetch_page(connection, statement, order, filters.page(cap))
    return TaskStateStoreCollectionResponse(
        task_state_store=[_task_state(row) for row in page.rows], total_entries=page.total or 0
    )


def get_task_state(connection: sa.Connection, scope: Scope, key: str) -> TaskStateStoreResponse:
    """One state of a task instance. Raises ApiProblem 404."""
    query = sa.select(_tasks).where(_tasks.c.ti_id.in_(_ti_ids(connection, scope)), _tasks.c.key == key)
    row = connection.execute(query).one_or_none()
    if row is None:
        raise ApiProblem(404, f"Task state store key {key!r} not found")
    return _task_state(row)


def _task_state(row: Any) -> TaskStateStoreResponse:
    return TaskStateStoreResponse(key=row.key, value=row.value, updated_at=row.updated_at, expires_at=row.expires_at)


def put_task_state(
    database: ApiDatabase,
    scope: Scope,
    key: str,
    value: Any,
    expires_at: datetime | None,
    sender: Sender,
    now: datetime,
) -> None:
    """Create or replace a state of a task instance. Raises ApiProblem 404."""
    _check_key(key)
    with database.writing() as connection:
        (ti_id,) = _known(connection, scope)
        where = (_tasks.c.ti_id == ti_id, _tasks.c.key == key)
        before = _values_at(connection, _tasks, where)
        values = {"value": value, "expires_at": expires_at, "updated_at": now}
        if connection.execute(_tasks.update().where(*where).values(**values)).rowcount == 0:
            connection.execute(_tasks.insert().values(ti_id=ti_id, key=key, **values))
        told = {"key": key, "before": before, "after": {key: bounded(value)}}
        _audit(connection, database, "set_task_state_store", sender, now, told, scope)


def patch_task_state(database: ApiDatabase, scope: Scope, key: str, value: Any, sender: Sender, now: datetime) -> None:
    """Change the value of a state that is there; when it expires stays. Raises ApiProblem 404."""
    with database.writing() as connection:
        (ti_id,) = _known(connection, scope)
        where = (_tasks.c.ti_id == ti_id, _tasks.c.key == key)
        before = _values_at(connection, _tasks, where)
        if connection.execute(_tasks.update().where(*where).values(value=value, updated_at=now)).rowcount == 0:
            raise ApiProblem(404, f"Task state store key {key!r} not found")
        told = {"key": key, "before": before, "after": {key: bounded(value)}}
        _audit(connection, database, "patch_task_state_store", sender, now, told, scope)


def delete_task_states(database: ApiDatabase, scope: Scope, key: str | None, sender: Sender, now: datetime) -> None:
    """Forget a state of a task instance, or all of it. Raises ApiProblem 404 for a task instance whose all is meant."""
    with database.writing() as connection:
        ids = _known(connection, scope) if key is None else _ti_ids(connection, scope)
        where = [_tasks.c.ti_id.in_(ids), *([] if key is None else [_tasks.c.key == key])]
        before = _values_at(connection, _tasks, where)
        connection.execute(_tasks.delete().where(*where))
        _audit(connection, database, "delete_task_state_store", sender, now, {"key": key, "before": before}, scope)


def _check_key(key: str) -> None:
    if not 0 < len(key) <= 512:
        raise ApiProblem(400, "A state's key has 1 to 512 characters")


def _values_at(connection: sa.Connection, table: sa.Table, where: Sequence[sa.ColumnElement[bool]]) -> dict[str, Any]:
    """What stands there, for the record: the first keys with their values."""
    statement = sa.select(table.c.key, table.c.value).where(*where).order_by(table.c.key).limit(MOST_RECORDED)
    return {row.key: bounded(row.value) for row in connection.execute(statement)}


def _audit(
    connection: sa.Connection,
    database: ApiDatabase,
    event: str,
    sender: Sender,
    now: datetime,
    extra: Mapping[str, Any],
    scope: Scope | None = None,
) -> None:
    place = None if scope is None else dict(zip(("dag_id", "run_id", "task_id", "map_index"), scope, strict=True))
    audit(connection, event_log_id=database.new_id(), event=event, sender=sender, now=now, extra=extra, place=place)
