"""The beat under a timetable: which moments a schedule names, before any dag run is thought of.

Decides next, previous and aligned moments for cron expressions and for deltas. What a run is made of
them is decided by the timetables in interval.py and trigger.py.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Protocol

from dagdeck_core.cron import CronError, CronFires, describe, parse_cron
from dagdeck_core.dst import DstPolicy
from dagdeck_core.timetables import deltas
from dagdeck_core.timetables.base import ZoneLoader
from dagdeck_core.timetables.specs import CalendarDelta
from dagdeck_core.zones import zone_offsets

_SHORTEST_GRACE = timedelta(minutes=5)


class Rhythm(Protocol):
    """Moments in time, in order. All moments are aware UTC."""

    @property
    def summary(self) -> str:
        """The expression or delta as text."""
        ...

    @property
    def description(self) -> str:
        """The rhythm in words."""
        ...

    def next_after(self, moment: datetime) -> datetime:
        """The first beat strictly after the moment."""
        ...

    def previous_before(self, moment: datetime) -> datetime:
        """The last beat strictly before the moment."""
        ...

    def at_or_after(self, moment: datetime) -> datetime:
        """The moment if it is a beat, else the next one; a delta accepts every moment as a beat."""
        ...

    def at_or_before(self, moment: datetime) -> datetime:
        """The moment if it is a beat, else the previous one; a delta accepts every moment as a beat."""
        ...

    def start_of_latest_interval(self, now: datetime) -> datetime:
        """Where the latest interval between two beats starts that has ended by now."""
        ...

    def first_run(self, now: datetime, run_immediately: bool | timedelta | None) -> datetime:
        """The first run of a DAG that has neither a start date nor an earlier run."""
        ...


def cron_fires(cron: str, timezone: str, dst: DstPolicy, zone_loader: ZoneLoader) -> CronFires:
    """The fires of an expression; raises CronError for it, or what the loader raises for the zone."""
    return CronFires(parse_cron(cron), zone_offsets(zone_loader(timezone)), dst)


class CronRhythm:
    """The fires of a cron expression in a zone."""

    __slots__ = ("_fires", "description")

    def __init__(self, cron: str, timezone: str, dst: DstPolicy, zone_loader: ZoneLoader) -> None:
        """Raises CronError for a wrong expression; the loader raises UserError for an unknown zone."""
        self._fires = cron_fires(cron, timezone, dst, zone_loader)
        self.description = describe(self._fires.expression)

    @property
    def summary(self) -> str:
        return self._fires.expression.text

    def next_after(self, moment: datetime) -> datetime:
        return self._within_calendar(self._fires.next_after(moment), moment)

    def previous_before(self, moment: datetime) -> datetime:
        return self._within_calendar(self._fires.previous_before(moment), moment)

    def at_or_after(self, moment: datetime) -> datetime:
        return self._within_calendar(self._fires.at_or_after(moment), moment)

    def at_or_before(self, moment: datetime) -> datetime:
        return self._within_calendar(self._fires.at_or_before(moment), moment)

    def start_of_latest_interval(self, now: datetime) -> datetime:
        return self.previous_before(self.at_or_before(now))

    def first_run(self, now: datetime, run_immediately: bool | timedelta | None) -> datetime:
        past = self.at_or_before(now)
        if run_immediately is True:
            return past
        upcoming = self.at_or_after(now)
        if isinstance(run_immediately, timedelta):
            grace = run_immediately
        else:
            grace = max((upcoming - past) / 10, _SHORTEST_GRACE)
        return past if now - past <= grace else upcoming

    def _within_calendar(self, found: datetime | None, moment: datetime) -> datetime:
        if found is None:
            raise CronError(
                f"no time of this schedule lies between {moment.isoformat()} and the calendar's end",
                field="schedule",
                value=self.summary,
                remedy="Give a start date between the years 3 and 9997",
            )
        return found


class DeltaRhythm:
    """Moments a delta apart, counted from wherever the first run stands."""

    __slots__ = ("_delta",)

    def __init__(self, delta: CalendarDelta) -> None:
        """Raises UserError unless the delta is positive."""
        self._delta = deltas.require_positive(delta, "schedule")

    @property
    def summary(self) -> str:
        return deltas.format_delta(self._delta)

    @property
    def description(self) -> str:
        return deltas.describe_delta(self._delta)

    def next_after(self, moment: datetime) -> datetime:
        return deltas.add(moment, self._delta)

    def previous_before(self, moment: datetime) -> datetime:
        return deltas.subtract(moment, self._delta)

    def at_or_after(self, moment: datetime) -> datetime:
        return moment

    def at_or_before(self, moment: datetime) -> datetime:
        return moment

    def start_of_latest_interval(self, now: datetime) -> datetime:
        return self.previous_before(deltas.round_down(now, self._delta))

    def first_run(self, now: datetime, run_immediately: bool | timedelta | None) -> datetime:
        return now
