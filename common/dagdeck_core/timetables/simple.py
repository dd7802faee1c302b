"""Timetables without a rhythm: never, once, continuously, at listed times, user-coded.

Decides their next run. Made by `compile_timetable`.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from datetime import datetime, timedelta

from dagdeck_core.errors import UserError
from dagdeck_core.states import DagRunType
from dagdeck_core.timetables.base import (
    BY_INTERVAL,
    BY_LOGICAL_DATE,
    DagRunInfo,
    DataInterval,
    TimeRestriction,
    Timetable,
    require_aware_utc,
    run_id_for,
)
from dagdeck_core.timetables.specs import CustomSpec, EventsSpec


class ExactTimetable:
    """What the plain timetables share: a manual run is about its own point in time."""

    __slots__ = ()

    summary = ""
    description = ""
    periodic = False
    can_be_scheduled = True
    run_ordering: tuple[str, ...] = BY_LOGICAL_DATE
    active_runs_limit: int | None = None

    def next_dagrun_info(
        self,
        *,
        last_automated_data_interval: DataInterval | None,
        restriction: TimeRestriction,
        now: datetime,
    ) -> DagRunInfo | None:
        """Never by time, unless a subclass knows better."""
        return None

    def infer_manual_data_interval(self, *, run_after: datetime) -> DataInterval:
        return DataInterval.exact(require_aware_utc(run_after, "run_after"))

    def generate_run_id(self, *, run_type: DagRunType, run_after: datetime, data_interval: DataInterval | None) -> str:
        return run_id_for(run_type, run_after)


class NullTimetable(ExactTimetable):
    """Never by itself."""

    __slots__ = ()

    summary = "None"
    description = "Never, external triggers only"
    can_be_scheduled = False


class OnceTimetable(ExactTimetable):
    """Once, at the start date or at once, whatever catchup says."""

    __slots__ = ()

    summary = "@once"
    description = "Once, as soon as possible"

    def next_dagrun_info(
        self,
        *,
        last_automated_data_interval: DataInterval | None,
        restriction: TimeRestriction,
        now: datetime,
    ) -> DagRunInfo | None:
        if last_automated_data_interval is not None:
            return None
        at = require_aware_utc(restriction.earliest or now, "earliest")
        if restriction.latest is not None and at > restriction.latest:
            return None
        return DagRunInfo.exact(at)


SHORTEST_CONTINUOUS = timedelta(seconds=1)
"""Runs that take no time at all would otherwise fill the database with themselves."""


class ContinuousTimetable(ExactTimetable):
    """One run after another, each about the time since the previous one's end, at most one in a second."""

    __slots__ = ()

    summary = "@continuous"
    description = "As frequently as possible, but only one run at a time."
    active_runs_limit: int | None = 1

    def next_dagrun_info(
        self,
        *,
        last_automated_data_interval: DataInterval | None,
        restriction: TimeRestriction,
        now: datetime,
    ) -> DagRunInfo | None:
        now = require_aware_utc(now, "now")
        start = require_aware_utc(restriction.earliest or now, "earliest")
        last = last_automated_data_interval
        if last is None:
            end = max(start, now)
        elif last.end > now:
            # The previous run's interval lies in the future (a future start date): repeat its length.
            end = start + last.length
        else:
            start = require_aware_utc(last.end, "data_interval.end")
            end = max(now, start + SHORTEST_CONTINUOUS)
        if restriction.latest is not None and end > restriction.latest:
            return None
        return DagRunInfo.interval(start, end)


class EventsTimetable(ExactTimetable):
    """At the times of a list."""

    __slots__ = ("_events", "_restrict_to_events", "description", "summary")

    periodic = True
    run_ordering = BY_INTERVAL

    def __init__(self, spec: EventsSpec) -> None:
        self._events = sorted({require_aware_utc(event, "event_dates") for event in spec.event_dates})
        self._restrict_to_events = spec.restrict_to_events
        self.summary = spec.description or f"{len(self._events)} events"
        if spec.description is not None:
            self.description = spec.description
        elif self._events:
            first, last = self._events[0].isoformat(), self._events[-1].isoformat()
            self.description = f"{len(self._events)} events between {first} and {last}"
        else:
            self.description = "No events"

    def next_dagrun_info(
        self,
        *,
        last_automated_data_interval: DataInterval | None,
        restriction: TimeRestriction,
        now: datetime,
    ) -> DagRunInfo | None:
        earliest = restriction.earliest
        if not restriction.catchup and (earliest is None or now > earliest):
            earliest = now
        at = 0 if earliest is None else bisect_left(self._events, earliest)
        if last_automated_data_interval is not None:
            at = max(at, bisect_right(self._events, last_automated_data_interval.end))
        if at == len(self._events):
            return None
        event = self._events[at]
        if restriction.latest is not None and event > restriction.latest:
            return None
        return DagRunInfo.exact(event)

    def infer_manual_data_interval(self, *, run_after: datetime) -> DataInterval:
        if not self._restrict_to_events or not self._events:
            return DataInterval.exact(require_aware_utc(run_after, "run_after"))
        past = bisect_right(self._events, run_after)
        return DataInterval.exact(self._events[max(past - 1, 0)])


class AssetOrTimeTimetable:
    """When assets change and, besides, when the inner timetable says."""

    __slots__ = ("_inner", "active_runs_limit", "description", "periodic", "run_ordering", "summary")

    can_be_scheduled = True

    def __init__(self, inner: Timetable) -> None:
        self._inner = inner
        self.summary = f"Asset or {inner.summary}"
        self.description = f"Triggered by assets or {inner.description}"
        self.periodic = inner.periodic
        self.run_ordering = inner.run_ordering
        self.active_runs_limit = inner.active_runs_limit

    def next_dagrun_info(
        self,
        *,
        last_automated_data_interval: DataInterval | None,
        restriction: TimeRestriction,
        now: datetime,
    ) -> DagRunInfo | None:
        return self._inner.next_dagrun_info(
            last_automated_data_interval=last_automated_data_interval, restriction=restriction, now=now
        )

    def infer_manual_data_interval(self, *, run_after: datetime) -> DataInterval:
        return self._inner.infer_manual_data_interval(run_after=run_after)

    def generate_run_id(self, *, run_type: DagRunType, run_after: datetime, data_interval: DataInterval | None) -> str:
        return self._inner.generate_run_id(run_type=run_type, run_after=run_after, data_interval=data_interval)


class CustomTimetable:
    """A user-coded timetable as far as its stored description goes; its times are asked for elsewhere."""

    __slots__ = (
        "_class_path",
        "active_runs_limit",
        "can_be_scheduled",
        "description",
        "periodic",
        "run_ordering",
        "summary",
    )

    def __init__(self, spec: CustomSpec) -> None:
        self._class_path = spec.class_path
        self.summary = spec.summary or spec.class_path.rpartition(".")[2]
        self.description = spec.description
        self.periodic = spec.periodic
        self.can_be_scheduled = spec.can_be_scheduled
        self.run_ordering = spec.run_ordering
        self.active_runs_limit = spec.active_runs_limit

    def next_dagrun_info(
        self,
        *,
        last_automated_data_interval: DataInterval | None,
        restriction: TimeRestriction,
        now: datetime,
    ) -> DagRunInfo | None:
        raise self._user_code_needed()

    def infer_manual_data_interval(self, *, run_after: datetime) -> DataInterval:
        raise self._user_code_needed()

    def generate_run_id(self, *, run_type: DagRunType, run_after: datetime, data_interval: DataInterval | None) -> str:
        return run_id_for(run_type, run_after)

    def _user_code_needed(self) -> UserError:
        return UserError(
            "a user-coded timetable is evaluated only by a process that runs user code",
            field="schedule",
            value=self._class_path,
            remedy="Wait for its stored answer, or use one of the built-in timetables",
        )
