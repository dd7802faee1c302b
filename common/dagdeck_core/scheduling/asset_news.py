"""What listeners are told of assets: made as work for a process that has the plugins, where any of them wants to know.

Decides which DAG's plugins are told (the producing one's; for an event that no task made, those of the first DAG that
listens to it), and how much one order tells. Called by `assets` for each event and by the machine in every step that
has news.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from dagdeck_core.asset_records import AssetRecord, OutletEvent
from dagdeck_core.scheduling import side_work
from dagdeck_core.scheduling.asset_queueing import Emitted
from dagdeck_core.work import AssetNews, NamedAsset, NewsOfEvent

if TYPE_CHECKING:
    from dagdeck_core.scheduling.world import World

MOST_EVENTS = 20
"""Events that one order tells of."""
MOST_BYTES = 65_536
"""So much of extras, as JSON, ends an order before that."""


def note(world: World, emitted: Emitted, event: OutletEvent, consumers: Sequence[str], *, is_new: bool) -> None:
    """Remember an event that was registered, if any listener wants to know."""
    source = emitted.change.source_dag_id
    for dag_id in consumers if source is None else (source,):
        entry = world.dags.get(dag_id)
        if entry is None or not entry.version.spec.asset_listeners:
            continue
        change = emitted.change
        told = NewsOfEvent(
            asset=named(emitted.asset),
            is_new=is_new,
            extra=event.extra,
            aliases=event.aliases,
            partition_key=emitted.key,
            partition_date=emitted.date,
            source_dag_id=source,
            source_run_id=change.source_run_id,
            source_task_id=change.source_task_id,
            source_map_index=change.source_map_index,
        )
        world.assets.news.setdefault(dag_id, []).append(told)
        return


def named(asset: AssetRecord) -> NamedAsset:
    """An asset as orders name it."""
    return NamedAsset(name=asset.name, uri=asset.uri, group=asset.group)


def tell(world: World) -> None:
    """Make orders of what this step has noted."""
    news, world.assets.news = world.assets.news, {}
    for dag_id, events in news.items():
        some: list[NewsOfEvent] = []
        size = 0
        for event in events:
            some.append(event)
            size += len(msgspec.json.encode(event.extra))
            if len(some) == MOST_EVENTS or size >= MOST_BYTES:
                _create(world, dag_id, some)
                some, size = [], 0
        if some:
            _create(world, dag_id, some)


def _create(world: World, dag_id: str, events: Sequence[NewsOfEvent]) -> None:
    order = AssetNews(events=tuple(events))
    side_work.create(world, order, dag_id=dag_id, version_id=world.dags[dag_id].version.version_id)
