"""AssetEvent: one recorded event of an asset, as a task reads it.

Decides the attributes, which are Airflow's, and that the run and the task that emitted it are asked for at first use.
Made by `dagdeck_task.asset_events` out of the answers to requests.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

from dagdeck.assets import Asset, AssetAlias
from dagdeck.xcom import deserialize
from dagdeck_core.wire import DagRunContext
from dagdeck_task.dag_run import DagRun, as_pendulum

_TIMES = (
    "logical_date",
    "data_interval_start",
    "data_interval_end",
    "run_after",
    "start_date",
    "end_date",
    "partition_date",
)
Ask = Callable[[str, dict[str, Any]], Any]


class SourceTaskInstance:
    """The task instance that emitted an event: its names, and its XComs."""

    def __init__(self, event: AssetEvent, dag_run: DagRun, ask: Ask) -> None:
        self._ask = ask
        self.dag_run = dag_run
        self.dag_id = dag_run.dag_id
        self.run_id = dag_run.run_id
        self.task_id = event.source_task_id
        self.map_index = event.source_map_index

    def xcom_pull(self, *, key: str = "return_value", default: Any = None) -> Any:
        """What it pushed under `key`."""
        question = {
            "run_key": 0,
            "task_id": self.task_id,
            "map_index": self.map_index,
            "key": key,
            "dag_id": self.dag_id,
            "run_id": self.run_id,
            "include_prior_dates": False,
        }
        found = self._ask("xcom_get", question)
        if not found:
            return default
        at, text = found[0]
        return deserialize(
            text, key=key, task_id=self.task_id or "", dag_id=self.dag_id, run_id=self.run_id, map_index=at
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class CreatedRun:
    """A run that consumed an asset event."""

    run_id: str
    dag_id: str
    logical_date: Any
    start_date: Any
    end_date: Any
    state: str
    data_interval_start: Any
    data_interval_end: Any
    partition_key: str | None


def _created_run(row: Mapping[str, Any]) -> CreatedRun:
    return CreatedRun(**{name: as_pendulum(_moment(v)) if name in _TIMES else v for name, v in row.items()})


class AssetEvent:
    """One event. `asset` has its name, URI, group and extra; `source_aliases` are the aliases it came through."""

    def __init__(self, row: Mapping[str, Any], ask: Ask) -> None:
        asset = row["asset"]
        self._ask = ask
        self.id: int = row["id"]
        self.timestamp = as_pendulum(_moment(row["timestamp"]))
        self.extra: dict[str, Any] = row["extra"] or {}
        self.asset = Asset(name=asset["name"], uri=asset["uri"], group=asset["group"], extra=asset["extra"])
        self.uri = self.asset.uri
        self.source_dag_id: str | None = row["source_dag_id"]
        self.source_run_id: str | None = row["source_run_id"]
        self.source_task_id: str | None = row["source_task_id"]
        self.source_map_index: int = row["source_map_index"]
        self.partition_key: str | None = row["partition_key"]
        self.source_aliases: list[AssetAlias] = [AssetAlias(name) for name in row["source_aliases"]]

    @property
    def dataset(self) -> Asset:
        """The asset, by the word of Airflow 2."""
        return self.asset

    @cached_property
    def created_dagruns(self) -> list[CreatedRun]:
        """The runs that the event was one of the reasons for, as they stand when this is looked at first."""
        return [_created_run(row) for row in self._ask("asset_event_runs_get", {"event_id": self.id})]

    @cached_property
    def source_dag_run(self) -> DagRun | None:
        """The run that emitted it; None for an event that a person made."""
        if not self.source_dag_id or not self.source_run_id:
            return None
        found = self._ask("dag_run_get", {"dag_id": self.source_dag_id, "run_id": self.source_run_id})
        fields = {name: _moment(value) if name in _TIMES else value for name, value in found.items()}
        unknown: dict[str, Any] = dict.fromkeys(_NEEDED)
        return DagRun(DagRunContext(**{**unknown, "conf": {}, **fields}))

    @cached_property
    def source_task_instance(self) -> SourceTaskInstance | None:
        """The task instance that emitted it; None for an event that a person made."""
        run = self.source_dag_run
        return SourceTaskInstance(self, run, self._ask) if run is not None and self.source_task_id else None

    def __repr__(self) -> str:
        return f"<AssetEvent {self.id} of {self.asset!r}, extra={self.extra!r}, from {self.source_dag_id}>"


_NEEDED = ("run_key", "run_id", "run_type", "state", *_TIMES)


def _moment(value: Any) -> datetime | None:
    return datetime.fromisoformat(value) if isinstance(value, str) else value
