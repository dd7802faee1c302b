"""Assets within `dag.test()`: what its tasks emit is what its tasks find, and nothing else exists.

Decides the answers to requests about assets, events and state stores from memory. An asset that no task has named is
taken to exist with that name or URI: other DAGs' assets are not known here. Used by `in_process_channel`.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import msgspec

from dagdeck.assets import Asset
from dagdeck.operator import BaseOperator
from dagdeck_core.asset_records import OutletEvent
from dagdeck_core.wire import Effects
from dagdeck_task.channel import NotFound

Source = tuple[str, str, str, int]
"""dag_id, run_id, task_id and map_index of the task that asks or emits."""


class AssetMemory:
    """The assets, events and stored states of one tested run."""

    def __init__(self) -> None:
        self.assets: dict[tuple[str, str], dict[str, Any]] = {}
        self.events: list[dict[str, Any]] = []
        self.states: dict[tuple[Any, ...], str] = {}

    def learn(self, operator: BaseOperator) -> None:
        """Take in the assets that a task names."""
        for item in (*operator.inlets, *operator.outlets):
            if isinstance(item, Asset):
                self._know(item.name, item.uri, item.group, item.extra)

    def register(self, source: Source, effects: Effects | None, partition_key: str | None) -> list[dict[str, Any]]:
        """Record what a task emitted; the events."""
        dag_id, run_id, task_id, map_index = source
        before = len(self.events)
        for plain in effects.outlet_events if effects is not None else ():
            event = msgspec.convert(plain, OutletEvent)
            if event.aliases:
                asset = self._know(event.name, event.uri, event.group, event.asset_extra)
            else:
                asset = self._find({"name": event.name, "uri": event.uri})
            self.events.append(
                {
                    "id": len(self.events) + 1,
                    "timestamp": datetime.now(UTC).isoformat(),
                    "extra": event.extra,
                    "asset": asset,
                    "source_dag_id": dag_id,
                    "source_run_id": run_id,
                    "source_task_id": task_id,
                    "source_map_index": map_index,
                    "partition_key": event.partition_key or partition_key,
                    "source_aliases": list(event.aliases),
                }
            )
        return self.events[before:]

    def answers(self, source: Source) -> dict[str, Callable[[dict[str, Any]], Any]]:
        """How the requests of one task are answered."""
        return {
            "asset_get": self._find,
            "assets_of_alias": self._of_alias,
            "asset_events_get": self._events_of,
            "triggering_asset_events_get": lambda asked: [],
            "asset_event_runs_get": lambda asked: [],
            "assets_inactive": lambda asked: [],
            "task_state_get": lambda asked: self._state(("task", source[2:], asked["key"])),
            "task_state_set": lambda asked: self._keep(("task", source[2:], asked["key"]), asked["value"]),
            "task_state_delete": lambda asked: self._forget(("task", source[2:]), asked["key"]),
            "asset_state_get": lambda asked: self._state(("asset", self._key(asked), asked["key"])),
            "asset_state_set": lambda asked: self._keep(("asset", self._key(asked), asked["key"]), asked["value"]),
            "asset_state_delete": lambda asked: self._forget(("asset", self._key(asked)), asked["key"]),
        }

    def _know(self, name: str, uri: str, group: str, extra: dict[str, Any]) -> dict[str, Any]:
        known = self.assets.get((name, uri))
        if known is None:
            number = len(self.assets) + 1
            known = {"asset_id": number, "name": name, "uri": uri, "group": group, "extra": dict(extra)}
            self.assets[name, uri] = known
        return known

    def _find(self, asked: dict[str, Any]) -> dict[str, Any]:
        name, uri = asked.get("name") or "", asked.get("uri") or ""
        for asset in self.assets.values():
            if (not name or asset["name"] == name) and (not uri or asset["uri"] == uri):
                return asset
        return self._know(name or uri, uri or name, "asset", {})

    def _key(self, asked: dict[str, Any]) -> tuple[str, str]:
        asset = self._find(asked)
        return asset["name"], asset["uri"]

    def _of_alias(self, asked: dict[str, Any]) -> list[dict[str, Any]]:
        found = {
            (event["asset"]["name"], event["asset"]["uri"]): event["asset"]
            for event in self.events
            if asked["alias"] in event["source_aliases"]
        }
        return list(found.values())

    def _events_of(self, asked: dict[str, Any]) -> list[dict[str, Any]]:
        if asked.get("alias"):
            found = [event for event in self.events if asked["alias"] in event["source_aliases"]]
        else:
            key = self._key(asked)
            found = [event for event in self.events if (event["asset"]["name"], event["asset"]["uri"]) == key]
        if asked.get("after"):
            found = [event for event in found if event["timestamp"] >= asked["after"]]
        if asked.get("before"):
            found = [event for event in found if event["timestamp"] <= asked["before"]]
        if asked.get("ascending") is False:
            found.reverse()
        return found[: asked["limit"]] if asked.get("limit") else found

    def _state(self, key: tuple[Any, ...]) -> str:
        if key not in self.states:
            raise NotFound(f"there is no state {key[-1]!r}")
        return self.states[key]

    def _keep(self, key: tuple[Any, ...], value: str) -> None:
        self.states[key] = value

    def _forget(self, subject: tuple[Any, ...], key: str | None) -> None:
        for known in [known for known in self.states if known[:2] == subject and key in (None, known[2])]:
            del self.states[known]
