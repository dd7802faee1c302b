"""LatestOnlyOperator: what comes after it runs only in the newest run.

Decides by the run's data interval and the time now whether the run is the newest. Used in DAG files.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from dagdeck.context import Context
from dagdeck.operators.skipping import BaseBranchOperator
from dagdeck.timetable_values import DataInterval, TimeRestriction
from dagdeck_core.states import DagRunType


class LatestOnlyOperator(BaseBranchOperator):
    """Skips its direct downstream tasks unless this run is the newest; a run that a person started always goes on."""

    ui_color = "#e9ffdb"

    def choose_branch(self, context: Context) -> list[str]:
        """All downstream tasks, or none."""
        run = context["dag_run"]
        everything = sorted(self.downstream_task_ids)
        if run.run_type == DagRunType.MANUAL.value or self._is_latest(run):
            self.log.info("This run is the newest, so what comes after goes on")
            return everything
        self.log.info("There is a newer run, so what comes after is skipped")
        return []

    def _is_latest(self, run: Any) -> bool:
        """Whether the next scheduled run is not due yet."""
        if run.data_interval_end is None:
            return True
        now = datetime.now(UTC)
        following = self.dag.timetable.next_dagrun_info(
            last_automated_data_interval=DataInterval(run.data_interval_start, run.data_interval_end),
            restriction=TimeRestriction(None, None, True),
        )
        return following is None or following.run_after > now
