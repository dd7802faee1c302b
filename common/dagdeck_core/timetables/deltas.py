"""Arithmetic on calendar deltas: months move the date, the rest is exact.

Decides how a CalendarDelta is added, subtracted, rounded, checked and written for people. Called by
the timetables that have a delta and by `from_schedule`.
"""

from __future__ import annotations

import calendar
from datetime import datetime, timedelta
from typing import Any

from dagdeck_core.errors import UserError
from dagdeck_core.timetables.specs import CalendarDelta
from dagdeck_core.zones import EPOCH

_YEAR = timedelta(days=365)
_MONTH = timedelta(days=30)
_SHORTEST_MONTH = timedelta(days=28)
_LONGEST = timedelta(days=365_000)
_ABSOLUTE_PARTS = ("year", "month", "day", "weekday", "hour", "minute", "second", "microsecond")


def add(moment: datetime, delta: CalendarDelta) -> datetime:
    """The moment moved by the delta; a day that the month lacks becomes the month's last one."""
    if delta.months:
        moment = _add_months(moment, delta.months)
    return moment + delta.duration


def subtract(moment: datetime, delta: CalendarDelta) -> datetime:
    """The moment moved back by the delta."""
    if delta.months:
        moment = _add_months(moment, -delta.months)
    return moment - delta.duration


def _add_months(moment: datetime, months: int) -> datetime:
    year, month = divmod(moment.year * 12 + moment.month - 1 + months, 12)
    month += 1
    day = min(moment.day, calendar.monthrange(year, month)[1])
    return moment.replace(year=year, month=month, day=day)


def nominal_length(delta: CalendarDelta) -> timedelta:
    """The delta as a duration, with years of 365 and months of 30 days, for rounding."""
    years, months = divmod(delta.months, 12)
    return years * _YEAR + months * _MONTH + delta.duration


def round_down(moment: datetime, delta: CalendarDelta) -> datetime:
    """The last multiple of the delta's nominal length since 1970 that is not after the moment."""
    return moment - (moment - EPOCH) % nominal_length(delta)


def require_positive(delta: CalendarDelta, field: str) -> CalendarDelta:
    """The delta, or UserError unless adding it always leads into the future, within the calendar."""
    if delta.months < 0 or not timedelta() < delta.months * _SHORTEST_MONTH + delta.duration <= _LONGEST:
        raise UserError(
            "the time between two runs must be positive and at most 1000 years",
            field=field,
            value=format_delta(delta),
            remedy="Give a positive timedelta, for example timedelta(hours=1)",
        )
    return delta


def require_not_negative(delta: CalendarDelta, field: str) -> CalendarDelta:
    """The delta, or UserError when it points into the past."""
    if delta.months < 0 or delta.duration < timedelta() or nominal_length(delta) > _LONGEST:
        raise UserError(
            "the length of the data interval must not be negative, and at most 1000 years",
            field=field,
            value=format_delta(delta),
            remedy="Give a timedelta of zero or more",
        )
    return delta


def calendar_delta(value: Any, field: str) -> CalendarDelta:
    """A CalendarDelta from a timedelta, a pendulum Duration or a dateutil relativedelta.

    The latter two are known by their parts, so that neither library is needed here. Raises UserError
    for anything else and for a relativedelta that sets a field (`day=1`) instead of moving it.
    """
    if isinstance(value, CalendarDelta):
        return value
    years, months = getattr(value, "years", 0), getattr(value, "months", 0)
    if isinstance(value, timedelta):
        exact = timedelta(seconds=value.days * 86_400 + value.seconds, microseconds=value.microseconds)
        if years or months:
            # Such a Duration counts its years and months as 365 and 30 days in its total.
            exact -= years * _YEAR + months * _MONTH
        return CalendarDelta(months=12 * years + months, duration=exact)
    if hasattr(value, "leapdays") and hasattr(value, "months"):
        if value.leapdays or any(getattr(value, part, None) is not None for part in _ABSOLUTE_PARTS):
            raise UserError(
                "this relativedelta sets parts of the date; a schedule needs a distance",
                field=field,
                value=value,
                remedy="Use the plural parts (months=1, days=2), or a cron expression",
            )
        exact = timedelta(
            days=value.days,
            hours=value.hours,
            minutes=value.minutes,
            seconds=value.seconds,
            microseconds=value.microseconds,
        )
        return CalendarDelta(months=12 * value.years + value.months, duration=exact)
    raise UserError(
        "this is not a length of time",
        field=field,
        value=value,
        remedy="Give a timedelta, for example timedelta(hours=1)",
    )


def format_delta(delta: CalendarDelta) -> str:
    """`1 day, 0:00:00` as Python writes it, months and years in front."""
    years, months = divmod(abs(delta.months), 12)
    sign = "-" if delta.months < 0 else ""
    parts = [
        f"{sign}{count} {unit}{'' if count == 1 else 's'}"
        for count, unit in ((years, "year"), (months, "month"))
        if count
    ]
    if delta.duration or not parts:
        parts.append(str(delta.duration))
    return ", ".join(parts)


def describe_delta(delta: CalendarDelta) -> str:
    """`Every day`, `Every 2 hours and 30 minutes`."""
    years, months = divmod(delta.months, 12)
    minutes, seconds = divmod(delta.duration.seconds, 60)
    hours, minutes = divmod(minutes, 60)
    counts = (
        (years, "year"),
        (months, "month"),
        (delta.duration.days, "day"),
        (hours, "hour"),
        (minutes, "minute"),
        (seconds, "second"),
        (delta.duration.microseconds, "microsecond"),
    )
    parts = [(count, unit) for count, unit in counts if count]
    if len(parts) == 1 and parts[0][0] == 1:
        return f"Every {parts[0][1]}"
    words = [f"{count} {unit}{'' if count == 1 else 's'}" for count, unit in parts]
    return "Every " + (words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}")
