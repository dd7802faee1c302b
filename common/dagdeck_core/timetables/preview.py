"""What a stored timetable does when clocks move, for people to see before they save it.

Decides nothing; it asks the same fires as the scheduler will. Called by the API and the desktop.
"""

from __future__ import annotations

from datetime import datetime

from dagdeck_core.cron import ClockChange, clock_changes
from dagdeck_core.timetables.base import ZoneLoader
from dagdeck_core.timetables.rhythms import cron_fires
from dagdeck_core.timetables.specs import (
    AssetOrTimeSpec,
    CronDataIntervalSpec,
    CronTriggerSpec,
    MultipleCronTriggerSpec,
    TimetableSpec,
)


def clock_changes_of(
    spec: TimetableSpec, zone_loader: ZoneLoader, *, start: datetime, end: datetime
) -> list[tuple[str, ClockChange]]:
    """Per cron expression of a spec, each move of the clock within [start, end) that touches it."""
    match spec:
        case AssetOrTimeSpec():
            return clock_changes_of(spec.timetable, zone_loader, start=start, end=end)
        case CronTriggerSpec() | CronDataIntervalSpec():
            crons: tuple[str, ...] = (spec.cron,)
        case MultipleCronTriggerSpec():
            crons = spec.crons
        case _:
            return []
    return [
        (cron, change)
        for cron in crons
        for change in clock_changes(cron_fires(cron, spec.timezone, spec.dst, zone_loader), start, end)
    ]
