"""DagRun: what a task sees of its run.

Decides the attributes, which are Airflow's, and that times are pendulum's, as Airflow's are. Made of
the run's part of the message that started the task. Found in the context as `dag_run`.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from dagdeck_core.wire import DagRunContext
from dagdeck_task.airflow2_attributes import RunAttributes


def as_pendulum(moment: datetime | None) -> Any:
    """A pendulum DateTime in UTC, or None."""
    if moment is None:
        return None
    import pendulum

    return pendulum.instance(moment.astimezone(UTC), tz="UTC")


class DagRun(RunAttributes):
    """One run of a DAG, as it stood when the task started."""

    def __init__(self, source: DagRunContext, ask: Callable[[str, dict[str, Any]], Any] | None = None) -> None:
        self._source = source
        self._ask = ask
        self.dag_id = source.dag_id
        self.run_id = source.run_id
        self.run_type = source.run_type
        self.state = source.state
        self.conf: dict[str, Any] = source.conf
        self.triggering_user_name = source.triggering_user
        self.partition_key = source.partition_key
        self.note = source.note
        self.queued_at: Any = None
        """When the run was created; only listeners are told."""
        self.version_number: int | None = None
        """Not told."""

    @cached_property
    def logical_date(self) -> Any:
        """The run's logical date, or None."""
        return as_pendulum(self._source.logical_date)

    @cached_property
    def data_interval_start(self) -> Any:
        """Where the run's data interval begins, or None."""
        return as_pendulum(self._source.data_interval_start)

    @cached_property
    def data_interval_end(self) -> Any:
        """Where the run's data interval ends, or None."""
        return as_pendulum(self._source.data_interval_end)

    @cached_property
    def partition_date(self) -> Any:
        """The date of the partition that the run is about, or None."""
        return as_pendulum(self._source.partition_date)

    @cached_property
    def run_after(self) -> Any:
        """When the run might start at the earliest."""
        return as_pendulum(self._source.run_after)

    @cached_property
    def start_date(self) -> Any:
        """When the run started."""
        return as_pendulum(self._source.start_date)

    @cached_property
    def end_date(self) -> Any:
        """When the run ended; None while a task of it runs."""
        return as_pendulum(self._source.end_date)

    @cached_property
    def consumed_asset_events(self) -> list[Any]:
        """The asset events that made the run start, oldest first; read at first use. Empty for listeners."""
        if self._ask is None:
            return []
        from dagdeck_task.asset_event import AssetEvent  # which needs this module

        rows = self._ask("triggering_asset_events_get", {"run_key": self._source.run_key})
        return [AssetEvent(row, self._ask) for row in rows]

    @property
    def is_backfill(self) -> bool:
        """Whether a backfill made the run."""
        return self.run_type == "backfill"

    def __repr__(self) -> str:
        return f"<DagRun {self.dag_id} {self.run_id}: {self.state}>"
