"""Functions of `airflow.utils.dates`, as Airflow 2 had them.

Decides the dates that they give. Found by DAG files through the table.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from dagdeck import timezone
from dagdeck.timetables import load_zone, zone_name
from dagdeck_core.cron import PRESETS
from dagdeck_core.dst import DstPolicy
from dagdeck_core.timetables.rhythms import cron_fires

cron_presets: Mapping[str, str] = dict(PRESETS)


def days_ago(n: int, hour: int = 0, minute: int = 0, second: int = 0, microsecond: int = 0) -> datetime:
    """Midnight in UTC (or the given time of day) `n` days ago."""
    today = timezone.utcnow().replace(hour=hour, minute=minute, second=second, microsecond=microsecond)
    return today.subtract(days=n)


def date_range(
    start_date: datetime,
    end_date: datetime | None = None,
    num: int | None = None,
    delta: Any = None,
) -> list[datetime]:
    """Times from `start_date` on, a timedelta or the steps of a cron expression apart.

    They end at `end_date`, or there are `num` of them (negative: before the start). Raises ValueError, TypeError.
    """
    if not delta:
        return []
    if end_date is not None and num:
        raise ValueError("give date_range either end_date or num")
    if end_date is not None and start_date > end_date:
        raise ValueError("start_date must not be later than end_date")
    start: Any = timezone.coerce_datetime(start_date)
    assert start is not None
    step = _step(delta, start, backwards=bool(num and num < 0))
    if num:
        around = [start]
        for _ in range(abs(num) - 1):
            around.append(step(around[-1]))
        return sorted(around)
    last = timezone.coerce_datetime(end_date) or timezone.utcnow()
    found: list[datetime] = []
    while start <= last:
        found.append(start)
        start = step(start)
    return found


def _step(delta: Any, start: datetime, *, backwards: bool) -> Callable[[Any], Any]:
    if isinstance(delta, str):
        fires = cron_fires(delta, zone_name(start.tzinfo), DstPolicy(), load_zone)

        def along(moment: datetime) -> Any:
            plain = datetime.fromtimestamp(moment.timestamp(), UTC)
            found = fires.previous_before(plain) if backwards else fires.next_after(plain)
            return timezone.coerce_datetime(found, start.tzinfo)

        return along
    if not hasattr(delta, "__radd__"):
        raise TypeError("delta must be a timedelta, a relativedelta or a cron expression")
    length = abs(delta)
    return (lambda moment: moment - length) if backwards else (lambda moment: moment + length)


_BEGINNING = datetime(1, 1, 1, tzinfo=UTC)


def round_time(dt: datetime, delta: Any, start_date: datetime = _BEGINNING) -> Any:
    """The time nearest to `dt` that lies whole steps of `delta` after `start_date`."""
    if isinstance(delta, str):
        step = _step(delta, start_date, backwards=False)
        found = timezone.coerce_datetime(start_date)
        return found if found == dt else step(found)
    length = delta.total_seconds()
    steps = round((dt - start_date).total_seconds() / length)
    return start_date + timedelta(seconds=steps * length)


def infer_time_unit(time_seconds_arr: Collection[float]) -> str:
    """The unit in which the longest of some durations in seconds is best shown."""
    longest = max(time_seconds_arr, default=0)
    for unit, limit in (("seconds", 120), ("minutes", 7200), ("hours", 172_800)):
        if longest <= limit:
            return unit if time_seconds_arr else "hours"
    return "days"


def scale_time_units(time_seconds_arr: Collection[float], unit: str) -> list[float]:
    """Durations in seconds in another unit."""
    length = {"minutes": 60, "hours": 3600, "days": 86_400}.get(unit, 1)
    return [seconds / length for seconds in time_seconds_arr]
