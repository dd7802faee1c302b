"""What timetables of one's own are given and answer: intervals, restrictions, runs.

Decides their form, which is Airflow's: tuples with names, so that both `DataInterval(start, end)` and keywords work.
Does not compute times. Used by authors' timetables and by whoever asks them (`dagdeck_task.timetable_questions`).
"""

from __future__ import annotations

from typing import Any, NamedTuple


class DataInterval(NamedTuple):
    """The stretch of time whose data a run works on: from `start` up to `end`, aware."""

    start: Any
    end: Any

    @classmethod
    def exact(cls, at: Any) -> DataInterval:
        """An interval without length."""
        return cls(start=at, end=at)


class TimeRestriction(NamedTuple):
    """What the DAG allows: its first and last date (either may be None), and whether missed runs are made up for."""

    earliest: Any
    latest: Any
    catchup: bool


class DagRunInfo(NamedTuple):
    """A run that a timetable asks for: not before `run_after`, about `data_interval`."""

    run_after: Any
    data_interval: DataInterval | None = None
    partition_date: Any = None
    partition_key: str | None = None

    @classmethod
    def exact(cls, at: Any) -> DagRunInfo:
        """A run at a point in time, about that point."""
        return cls(run_after=at, data_interval=DataInterval.exact(at))

    @classmethod
    def interval(cls, start: Any, end: Any) -> DagRunInfo:
        """A run at the end of the interval that it is about."""
        return cls(run_after=end, data_interval=DataInterval(start, end))

    @property
    def logical_date(self) -> Any:
        """The date that names the run: where its interval starts; None without one."""
        return None if self.data_interval is None else self.data_interval.start
