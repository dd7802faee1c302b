"""DAGs with timetables of their own, one of which is broken.

Decides a rhythm that no built-in timetable has. Read by the DAG processor.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from dagdeck import DAG, EmptyOperator
from dagdeck.timetable_values import DagRunInfo, DataInterval
from dagdeck.timetables import Timetable

_START = datetime(2025, 1, 1, tzinfo=UTC)


class Squares(Timetable):
    """Runs on the days whose distance from the first is a square, three times."""

    def next_dagrun_info(self, *, last_automated_data_interval: Any, restriction: Any) -> DagRunInfo | None:
        """The day after the next square."""
        last = last_automated_data_interval
        root = 0 if last is None else round((last.start - restriction.earliest).days ** 0.5) + 1
        if root > 2:
            return None
        start = restriction.earliest.add(days=root * root)
        return DagRunInfo.interval(start, start.add(days=1))

    def generate_run_id(self, *, run_type: Any, run_after: Any, data_interval: Any, **extra: Any) -> str:
        """The day, after what made the run."""
        return f"{run_type.value}_{run_after:%Y_%m_%d}"

    def infer_manual_data_interval(self, *, run_after: Any) -> DataInterval:
        """The hour before."""
        return DataInterval(run_after - timedelta(hours=1), run_after)


class Broken(Timetable):
    """Cannot say anything."""

    def next_dagrun_info(self, *, last_automated_data_interval: Any, restriction: Any) -> DagRunInfo | None:
        """Raise."""
        raise RuntimeError("the calendar is lost")


with DAG("squares", schedule=Squares(), start_date=_START, catchup=True):
    EmptyOperator(task_id="rests")

with DAG("broken_rhythm", schedule=Broken(), start_date=_START, catchup=False):
    EmptyOperator(task_id="rests")
