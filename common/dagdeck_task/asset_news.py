"""Telling listeners of assets, in a runner.

Decides what they are given, which is Airflow's. Does not decide when they are told: `scheduling.asset_news` of the core
and the publication of DAGs do. Carried out for `side_work`, and called by `in_process` for tested runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from dagdeck import runtime
from dagdeck.asset_definitions import find_asset
from dagdeck.assets import Asset, AssetAlias
from dagdeck.exceptions import AirflowException
from dagdeck.listeners import get_listener_manager
from dagdeck_core.work import AssetNews, NamedAsset, NewsOfEvent
from dagdeck_task.dag_run import as_pendulum
from dagdeck_task.execution import MaskingChannel
from dagdeck_task.side_work import Desk, carries


@dataclass(frozen=True, slots=True, kw_only=True)
class ListenedEvent:
    """An asset event as listeners are given it."""

    asset: Asset
    extra: dict[str, Any]
    source_dag_id: str | None
    source_task_id: str | None
    source_run_id: str | None
    source_map_index: int | None
    source_aliases: list[AssetAlias]
    partition_key: str | None
    partition_date: Any


@carries(AssetNews)
def tell(desk: Desk, order: AssetNews) -> None:
    """Tell of what is new, then of events, each in the order in which it came about."""
    manager = get_listener_manager()
    with runtime.answering(MaskingChannel(desk.channel, desk.masker)):
        for each in order.assets:
            manager.call("on_asset_created", asset=_asset(each))
        for alias in order.aliases:
            manager.call("on_asset_alias_created", asset_alias=AssetAlias(alias.name, group=alias.group))
        for event in order.events:
            _tell_of_event(_asset(event.asset), event)


def tell_of_tested(rows: Sequence[dict[str, Any]]) -> None:
    """The same of what a task of a tested run has emitted."""
    for row in rows:
        asset = Asset(name=row["asset"]["name"], uri=row["asset"]["uri"], extra=row["asset"]["extra"])
        _tell_of_event(
            asset,
            NewsOfEvent(
                asset=NamedAsset(name=asset.name, uri=asset.uri),
                extra=row["extra"],
                aliases=tuple(row["source_aliases"]),
                partition_key=row["partition_key"],
                source_dag_id=row["source_dag_id"],
                source_run_id=row["source_run_id"],
                source_task_id=row["source_task_id"],
                source_map_index=row["source_map_index"],
            ),
        )


def _tell_of_event(asset: Asset, event: NewsOfEvent) -> None:
    manager = get_listener_manager()
    if event.is_new:
        manager.call("on_asset_created", asset=asset)
    manager.call("on_asset_changed", asset=asset)
    manager.call(
        "on_asset_event_emitted",
        asset_event=ListenedEvent(
            asset=asset,
            extra=event.extra,
            source_dag_id=event.source_dag_id,
            source_task_id=event.source_task_id,
            source_run_id=event.source_run_id,
            source_map_index=event.source_map_index,
            source_aliases=[AssetAlias(name) for name in event.aliases],
            partition_key=event.partition_key,
            partition_date=as_pendulum(event.partition_date),
        ),
    )


def _asset(named: NamedAsset) -> Asset:
    """The asset with what is stored of it; one that is not active, as it was named."""
    try:
        return find_asset(name=named.name, uri=named.uri)
    except AirflowException:
        return Asset(name=named.name, uri=named.uri, group=named.group)
