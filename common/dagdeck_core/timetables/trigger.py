"""Timetables whose runs stand for a point in time and start at it.

Decides the next point for one rhythm and for several together; the data interval is a stretch of a
given length that ends at that point. Made by `compile_timetable`.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from dagdeck_core.states import DagRunType
from dagdeck_core.timetables import deltas
from dagdeck_core.timetables.base import (
    BY_INTERVAL,
    DagRunInfo,
    DataInterval,
    TimeRestriction,
    require_aware_utc,
    run_id_for,
)
from dagdeck_core.timetables.rhythms import Rhythm
from dagdeck_core.timetables.specs import CalendarDelta


class TriggerTimetable:
    """A run at every beat of one rhythm."""

    __slots__ = ("_interval", "_rhythm", "_run_immediately")

    periodic = True
    can_be_scheduled = True
    run_ordering = BY_INTERVAL
    active_runs_limit: int | None = None

    def __init__(self, rhythm: Rhythm, interval: CalendarDelta, run_immediately: bool | timedelta | None) -> None:
        """Raises UserError when the interval is negative."""
        self._rhythm = rhythm
        self._interval = deltas.require_not_negative(interval, "interval")
        self._run_immediately = run_immediately

    @property
    def summary(self) -> str:
        return self._rhythm.summary

    @property
    def description(self) -> str:
        return self._rhythm.description

    def next_dagrun_info(
        self,
        *,
        last_automated_data_interval: DataInterval | None,
        restriction: TimeRestriction,
        now: datetime,
    ) -> DagRunInfo | None:
        now = require_aware_utc(now, "now")
        if restriction.catchup:
            at = self._next_with_catchup(last_automated_data_interval, restriction, now)
        else:
            at = self._next_without_catchup(last_automated_data_interval, restriction, now)
        if restriction.latest is not None and at > restriction.latest:
            return None
        return DagRunInfo.interval(deltas.subtract(at, self._interval), at)

    def _next_with_catchup(self, last: DataInterval | None, restriction: TimeRestriction, now: datetime) -> datetime:
        if last is not None:
            return self._rhythm.next_after(require_aware_utc(last.end, "data_interval.end"))
        if restriction.earliest is None:
            return self._rhythm.first_run(now, self._run_immediately)
        return self._rhythm.at_or_after(require_aware_utc(restriction.earliest, "earliest"))

    def _next_without_catchup(self, last: DataInterval | None, restriction: TimeRestriction, now: datetime) -> datetime:
        """The latest beat up to now, or a later one that the last run or the start date demands."""
        at = self._rhythm.at_or_before(now)
        if last is not None:
            at = max(at, self._rhythm.next_after(require_aware_utc(last.end, "data_interval.end")))
        elif restriction.earliest is None:
            at = max(at, self._rhythm.first_run(now, self._run_immediately))
        if restriction.earliest is not None:
            at = max(at, self._rhythm.at_or_after(require_aware_utc(restriction.earliest, "earliest")))
        return at

    def infer_manual_data_interval(self, *, run_after: datetime) -> DataInterval:
        end = require_aware_utc(run_after, "run_after")
        return DataInterval(start=deltas.subtract(end, self._interval), end=end)

    def generate_run_id(self, *, run_type: DagRunType, run_after: datetime, data_interval: DataInterval | None) -> str:
        return run_id_for(run_type, run_after)


class MultipleTriggerTimetable:
    """A run whenever one of several trigger timetables has one; at most one at any instant."""

    __slots__ = ("_timetables",)

    periodic = True
    can_be_scheduled = True
    run_ordering = BY_INTERVAL
    active_runs_limit: int | None = None

    def __init__(self, timetables: Sequence[TriggerTimetable]) -> None:
        self._timetables = tuple(timetables)

    @property
    def summary(self) -> str:
        return ", ".join(timetable.summary for timetable in self._timetables)

    @property
    def description(self) -> str:
        return ", ".join(timetable.description for timetable in self._timetables)

    def next_dagrun_info(
        self,
        *,
        last_automated_data_interval: DataInterval | None,
        restriction: TimeRestriction,
        now: datetime,
    ) -> DagRunInfo | None:
        infos = [
            info
            for timetable in self._timetables
            if (
                info := timetable.next_dagrun_info(
                    last_automated_data_interval=last_automated_data_interval,
                    restriction=restriction,
                    now=now,
                )
            )
            is not None
        ]
        due = [] if restriction.catchup else [info for info in infos if info.logical_date <= now]
        if due:
            # Without catchup everything missed but the latest is left out.
            return max(due, key=lambda info: info.logical_date)
        return min(infos, key=lambda info: info.logical_date, default=None)

    def infer_manual_data_interval(self, *, run_after: datetime) -> DataInterval:
        # All members have one interval length, so that any of them answers for all.
        return self._timetables[0].infer_manual_data_interval(run_after=run_after)

    def generate_run_id(self, *, run_type: DagRunType, run_after: datetime, data_interval: DataInterval | None) -> str:
        return run_id_for(run_type, run_after)
