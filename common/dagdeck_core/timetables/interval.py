"""Timetables whose runs are about the stretch between two beats and start when it ends.

Decides the next interval and the interval of a manual run, for a cron expression and for a delta.
Made by `compile_timetable`.
"""

from __future__ import annotations

from datetime import datetime

from dagdeck_core.states import DagRunType
from dagdeck_core.timetables.base import (
    BY_INTERVAL,
    DagRunInfo,
    DataInterval,
    TimeRestriction,
    require_aware_utc,
    run_id_for,
)
from dagdeck_core.timetables.rhythms import Rhythm


class DataIntervalTimetable:
    """Adjoining data intervals between the beats of a rhythm."""

    __slots__ = ("_aligns_manual_runs", "_rhythm")

    periodic = True
    can_be_scheduled = True
    run_ordering = BY_INTERVAL
    active_runs_limit: int | None = None

    def __init__(self, rhythm: Rhythm, *, aligns_manual_runs: bool) -> None:
        """`aligns_manual_runs`: manual runs take the last whole interval (cron), else one that ends now."""
        self._rhythm = rhythm
        self._aligns_manual_runs = aligns_manual_runs

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
        earliest = self._earliest_start(restriction, now)
        last = last_automated_data_interval
        if last is None:
            if earliest is None:
                return None
            start = earliest
        else:
            # Aligned, because the schedule may have changed since that run.
            start = self._rhythm.at_or_before(require_aware_utc(last.end, "data_interval.end"))
            if earliest is not None:
                start = max(start, earliest)
            if start <= last.start:
                # The schedule has become coarser: there is a run about this time already.
                start = self._rhythm.next_after(start)
        if restriction.latest is not None and start > restriction.latest:
            return None
        return DagRunInfo.interval(start, self._rhythm.next_after(start))

    def _earliest_start(self, restriction: TimeRestriction, now: datetime) -> datetime | None:
        """Where the first allowed interval starts: by the start date, and by now without catchup."""
        aligned = None
        if restriction.earliest is not None:
            aligned = self._rhythm.at_or_after(require_aware_utc(restriction.earliest, "earliest"))
        if restriction.catchup:
            return aligned
        latest = self._rhythm.start_of_latest_interval(require_aware_utc(now, "now"))
        return latest if aligned is None else max(latest, aligned)

    def infer_manual_data_interval(self, *, run_after: datetime) -> DataInterval:
        end = require_aware_utc(run_after, "run_after")
        if self._aligns_manual_runs:
            end = self._rhythm.at_or_before(end)
        return DataInterval(start=self._rhythm.previous_before(end), end=end)

    def generate_run_id(self, *, run_type: DagRunType, run_after: datetime, data_interval: DataInterval | None) -> str:
        return run_id_for(run_type, run_after)
