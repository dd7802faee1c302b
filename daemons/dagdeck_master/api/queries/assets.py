"""Listings and look-ups of assets, aliases, events, and what waits for DAGs.

Decides their SQL. Called by the routes of assets.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from dagdeck_io.db.tables import (
    asset,
    asset_alias,
    asset_alias_asset,
    asset_event,
    asset_reference,
    asset_watcher,
    dag,
    dag_run,
    dag_run_asset_event,
    queued_asset_event,
    trigger,
)
from dagdeck_master.api.errors import not_found
from dagdeck_master.api.filters import (
    AssetAliasFilters,
    AssetEventFilters,
    AssetFilters,
    equality_conditions,
    pattern_conditions,
    range_conditions,
)
from dagdeck_master.api.models.assets import (
    AssetAliasCollectionResponse,
    AssetAliasResponse,
    AssetCollectionResponse,
    AssetEventCollectionResponse,
    AssetEventResponse,
    AssetResponse,
    AssetWatcherResponse,
    DagRunAssetReference,
    DagScheduleAssetReference,
    LastAssetEventResponse,
    QueuedEventCollectionResponse,
    QueuedEventResponse,
    TaskAssetReference,
)
from dagdeck_master.api.paging import fetch_page, sorting
from dagdeck_master.api.vaulted import HIDDEN, sounds_secret

_IN_USE = asset_reference.join(dag, dag.c.dag_id == asset_reference.c.dag_id)
_EVENTS = (
    sa.select(asset_event, asset.c.name, asset.c.uri, asset.c.group)
    .select_from(asset_event)
    .outerjoin(asset, asset.c.asset_id == asset_event.c.asset_id)
)


# ---------------------------------------------------------------- assets


def list_assets(connection: sa.Connection, filters: AssetFilters, cap: int) -> AssetCollectionResponse:
    """One page of assets."""
    conditions = [*pattern_conditions(filters, {"name": asset.c.name, "uri": asset.c.uri})]
    if filters.only_active:
        conditions.append(asset.c.is_active)
    if filters.dag_ids:
        naming = (
            sa.select(asset_reference.c.asset_id)
            .select_from(_IN_USE)
            .where(
                asset_reference.c.dag_id.in_(filters.dag_ids), ~dag.c.is_stale, asset_reference.c.asset_id.is_not(None)
            )
        )
        conditions.append(asset.c.asset_id.in_(naming))
    orders: dict[str, sa.ColumnElement[Any]] = {
        "id": asset.c.asset_id,
        "name": asset.c.name,
        "uri": asset.c.uri,
        "created_at": asset.c.created_at,
        "updated_at": asset.c.updated_at,
    }
    order = sorting(filters.order_by, orders, {"id": asset.c.asset_id}, ["id"])
    page = fetch_page(connection, sa.select(asset).where(*conditions), order, filters.page(cap))
    return AssetCollectionResponse(assets=_assets(connection, page.rows), total_entries=page.total or 0)


def get_asset(connection: sa.Connection, asset_id: int) -> AssetResponse:
    """One asset. Raises ApiProblem 404."""
    return _assets(connection, [asset_row(connection, asset_id)])[0]


def asset_row(connection: sa.Connection, asset_id: int) -> Any:
    """The plain row of an asset. Raises ApiProblem 404."""
    row = connection.execute(sa.select(asset).where(asset.c.asset_id == asset_id)).one_or_none()
    if row is None:
        not_found("The Asset", asset_id=asset_id)
    return row


def _assets(connection: sa.Connection, rows: Sequence[Any]) -> list[AssetResponse]:
    ids = [row.asset_id for row in rows]
    references: dict[int, list[Any]] = {}
    aliases: dict[int, list[AssetAliasResponse]] = {}
    watchers = _watchers(connection, ids)
    newest: dict[int, int] = {}
    times: dict[int, datetime] = {}
    if ids:
        named = (
            sa.select(asset_reference).select_from(_IN_USE).where(asset_reference.c.asset_id.in_(ids), ~dag.c.is_stale)
        )
        for each in connection.execute(named.order_by(asset_reference.c.dag_id, asset_reference.c.task_id)):
            references.setdefault(each.asset_id, []).append(each)
        linked = (
            sa.select(asset_alias_asset.c.asset_id, asset_alias)
            .select_from(asset_alias_asset)
            .join(asset_alias, asset_alias.c.alias_id == asset_alias_asset.c.alias_id)
            .where(asset_alias_asset.c.asset_id.in_(ids))
            .order_by(asset_alias.c.name)
        )
        for each in connection.execute(linked):
            aliases.setdefault(each.asset_id, []).append(_alias(each))
        last = (
            sa.select(asset_event.c.asset_id, sa.func.max(asset_event.c.asset_event_id).label("event_id"))
            .where(asset_event.c.asset_id.in_(ids))
            .group_by(asset_event.c.asset_id)
        )
        newest = {row.asset_id: row.event_id for row in connection.execute(last)}
        when = sa.select(asset_event.c.asset_event_id, asset_event.c.timestamp)
        found = connection.execute(when.where(asset_event.c.asset_event_id.in_(newest.values())))
        times = {row.asset_event_id: row.timestamp for row in found}
    return [_asset(row, references.get(row.asset_id, []), aliases, watchers, newest, times) for row in rows]


def _watchers(connection: sa.Connection, asset_ids: Sequence[int]) -> dict[int, list[AssetWatcherResponse]]:
    columns = (asset_watcher.c.asset_id, asset_watcher.c.name, trigger.c.trigger_id, trigger.c.created_at)
    source = asset_watcher.join(trigger, trigger.c.trigger_id == asset_watcher.c.trigger_id)
    chosen = sa.select(*columns).select_from(source).where(asset_watcher.c.asset_id.in_(asset_ids)).distinct()
    found: dict[int, list[AssetWatcherResponse]] = {}
    for row in connection.execute(chosen.order_by(asset_watcher.c.name, trigger.c.trigger_id)):
        watcher = AssetWatcherResponse(name=row.name, trigger_id=row.trigger_id, created_date=row.created_at)
        found.setdefault(row.asset_id, []).append(watcher)
    return found


def _asset(
    row: Any,
    references: Sequence[Any],
    aliases: dict[int, list[AssetAliasResponse]],
    watchers: dict[int, list[AssetWatcherResponse]],
    newest: dict[int, int],
    times: dict[int, datetime],
) -> AssetResponse:
    event_id = newest.get(row.asset_id)
    return AssetResponse(
        id=row.asset_id,
        name=row.name,
        uri=row.uri,
        group=row.group,
        extra=shown(row.extra or {}),
        created_at=row.created_at,
        updated_at=row.updated_at,
        scheduled_dags=[
            DagScheduleAssetReference(dag_id=each.dag_id, created_at=each.created_at, updated_at=each.updated_at)
            for each in references
            if each.role == "schedule"
        ],
        producing_tasks=_tasks(references, "outlet"),
        consuming_tasks=_tasks(references, "inlet"),
        aliases=aliases.get(row.asset_id, []),
        watchers=watchers.get(row.asset_id, []),
        last_asset_event=LastAssetEventResponse(
            id=event_id, timestamp=None if event_id is None else times.get(event_id)
        ),
    )


def _tasks(references: Sequence[Any], role: str) -> list[TaskAssetReference]:
    return [
        TaskAssetReference(
            dag_id=each.dag_id, task_id=each.task_id, created_at=each.created_at, updated_at=each.updated_at
        )
        for each in references
        if each.role == role
    ]


def shown(value: Any) -> Any:
    """JSON with the values hidden whose names sound secret."""
    if isinstance(value, dict):
        return {key: HIDDEN if sounds_secret(key) and item else shown(item) for key, item in value.items()}
    return [shown(item) for item in value] if isinstance(value, list) else value


def producing_dags(connection: sa.Connection, asset_id: int) -> list[str]:
    """The DAGs with a task that writes an asset."""
    query = (
        sa.select(asset_reference.c.dag_id)
        .select_from(_IN_USE)
        .where(asset_reference.c.asset_id == asset_id, asset_reference.c.role == "outlet", ~dag.c.is_stale)
        .distinct()
        .order_by(asset_reference.c.dag_id)
    )
    return [row.dag_id for row in connection.execute(query)]


# ---------------------------------------------------------------- aliases


def list_aliases(connection: sa.Connection, filters: AssetAliasFilters, cap: int) -> AssetAliasCollectionResponse:
    """One page of aliases."""
    orders: dict[str, sa.ColumnElement[Any]] = {"id": asset_alias.c.alias_id, "name": asset_alias.c.name}
    order = sorting(filters.order_by, orders, {"id": asset_alias.c.alias_id}, ["id"])
    statement = sa.select(asset_alias).where(*pattern_conditions(filters, {"name": asset_alias.c.name}))
    page = fetch_page(connection, statement, order, filters.page(cap))
    return AssetAliasCollectionResponse(asset_aliases=[_alias(row) for row in page.rows], total_entries=page.total or 0)


def get_alias(connection: sa.Connection, alias_id: int) -> AssetAliasResponse:
    """One alias. Raises ApiProblem 404."""
    row = connection.execute(sa.select(asset_alias).where(asset_alias.c.alias_id == alias_id)).one_or_none()
    if row is None:
        not_found("The Asset Alias", asset_alias_id=alias_id)
    return _alias(row)


def _alias(row: Any) -> AssetAliasResponse:
    return AssetAliasResponse(id=row.alias_id, name=row.name, group=row.group)


# ---------------------------------------------------------------- events


def list_events(connection: sa.Connection, filters: AssetEventFilters, cap: int) -> AssetEventCollectionResponse:
    """One page of events."""
    conditions = [
        *equality_conditions(
            filters,
            {
                "asset_id": asset_event.c.asset_id,
                "source_dag_id": asset_event.c.source_dag_id,
                "source_task_id": asset_event.c.source_task_id,
                "source_run_id": asset_event.c.source_run_id,
                "source_map_index": asset_event.c.source_map_index,
            },
        ),
        *pattern_conditions(filters, {"name": asset.c.name}),
        *range_conditions(filters, {"timestamp": asset_event.c.timestamp}),
    ]
    orders: dict[str, sa.ColumnElement[Any]] = {
        "id": asset_event.c.asset_event_id,
        "source_task_id": asset_event.c.source_task_id,
        "source_dag_id": asset_event.c.source_dag_id,
        "source_run_id": asset_event.c.source_run_id,
        "source_map_index": asset_event.c.source_map_index,
        "timestamp": asset_event.c.timestamp,
    }
    order = sorting(filters.order_by, orders, {"id": asset_event.c.asset_event_id}, ["timestamp"])
    page = fetch_page(connection, _EVENTS.where(*conditions), order, filters.page(cap))
    return AssetEventCollectionResponse(asset_events=_events(connection, page.rows), total_entries=page.total or 0)


def get_event(connection: sa.Connection, event_id: int) -> AssetEventResponse:
    """One event. Raises ApiProblem 404."""
    row = connection.execute(_EVENTS.where(asset_event.c.asset_event_id == event_id)).one_or_none()
    if row is None:
        not_found("The Asset Event", asset_event_id=event_id)
    return _events(connection, [row])[0]


def upstream_events(connection: sa.Connection, run_key: int, cap: int) -> AssetEventCollectionResponse:
    """The events that a run consumed, oldest first."""
    consumed = sa.select(dag_run_asset_event.c.asset_event_id).where(dag_run_asset_event.c.run_key == run_key)
    total = connection.execute(sa.select(sa.func.count()).select_from(consumed.subquery())).scalar_one()
    query = _EVENTS.where(asset_event.c.asset_event_id.in_(consumed)).order_by(asset_event.c.asset_event_id).limit(cap)
    return AssetEventCollectionResponse(
        asset_events=_events(connection, connection.execute(query).all()), total_entries=total
    )


def _events(connection: sa.Connection, rows: Sequence[Any]) -> list[AssetEventResponse]:
    runs = _created_runs(connection, [row.asset_event_id for row in rows])
    return [
        AssetEventResponse(
            id=row.asset_event_id,
            asset_id=row.asset_id,
            uri=row.uri,
            name=row.name,
            group=row.group,
            extra=shown(row.extra or {}),
            source_task_id=row.source_task_id,
            source_dag_id=row.source_dag_id,
            source_run_id=row.source_run_id,
            source_map_index=row.source_map_index,
            created_dagruns=runs.get(row.asset_event_id, []),
            timestamp=row.timestamp,
            partition_key=row.partition_key,
        )
        for row in rows
    ]


def _created_runs(connection: sa.Connection, event_ids: Sequence[int]) -> dict[int, list[DagRunAssetReference]]:
    """The runs that consumed these events; the newest event of a run is the one that started it."""
    if not event_ids:
        return {}
    consumed = dag_run_asset_event.alias()
    newest = (
        sa.select(sa.func.max(consumed.c.asset_event_id))
        .where(consumed.c.run_key == dag_run_asset_event.c.run_key)
        .scalar_subquery()
    )
    query = (
        sa.select(dag_run, dag_run_asset_event.c.asset_event_id, newest.label("newest"))
        .select_from(dag_run_asset_event)
        .join(dag_run, dag_run.c.run_key == dag_run_asset_event.c.run_key)
        .where(dag_run_asset_event.c.asset_event_id.in_(event_ids))
        .order_by(dag_run.c.run_key)
    )
    found: dict[int, list[DagRunAssetReference]] = {}
    for row in connection.execute(query):
        found.setdefault(row.asset_event_id, []).append(
            DagRunAssetReference(
                run_id=row.run_id,
                dag_id=row.dag_id,
                logical_date=row.logical_date,
                start_date=row.start_date,
                end_date=row.end_date,
                state=row.state,
                data_interval_start=row.data_interval_start,
                data_interval_end=row.data_interval_end,
                partition_key=row.partition_key,
                triggering=row.asset_event_id == row.newest,
            )
        )
    return found


# ---------------------------------------------------------------- what waits


def queued_events(
    connection: sa.Connection,
    *,
    dag_id: str | None = None,
    asset_id: int | None = None,
    before: datetime | None = None,
    cap: int,
) -> QueuedEventCollectionResponse:
    """That events wait for DAGs without partitions: one entry for each DAG and asset."""
    queued = queued_asset_event
    since = sa.func.min(queued.c.queued_at)
    conditions = [queued.c.partition_id == 0, queued.c.counts]
    if dag_id is not None:
        conditions.append(queued.c.dag_id == dag_id)
    if asset_id is not None:
        conditions.append(queued.c.asset_id == asset_id)
    query = (
        sa.select(queued.c.dag_id, queued.c.asset_id, since.label("since"), dag.c.dag_display_name)
        .select_from(queued)
        .outerjoin(dag, dag.c.dag_id == queued.c.dag_id)
        .where(*conditions)
        .group_by(queued.c.dag_id, queued.c.asset_id, dag.c.dag_display_name)
        .order_by(queued.c.dag_id, queued.c.asset_id)
    )
    if before is not None:
        query = query.having(since < before)
    found = [
        QueuedEventResponse(
            dag_id=row.dag_id,
            asset_id=row.asset_id,
            created_at=row.since,
            dag_display_name=row.dag_display_name or row.dag_id,
        )
        for row in connection.execute(query.limit(cap))
    ]
    return QueuedEventCollectionResponse(queued_events=found, total_entries=len(found))
