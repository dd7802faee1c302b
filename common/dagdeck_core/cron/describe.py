"""A cron expression in words.

Decides the English sentence that people read beside an expression. It is made from what the fields
match, not from their spelling, so equal schedules read alike. Called by timetables' descriptions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from dagdeck_core.cron.parsing import CronExpression
from dagdeck_core.cron.walltime import FULL_HOURS, DayFields

_WEEKDAYS = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")
_MONTHS = (
    "",
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)
_NTH = ("", "first", "second", "third", "fourth", "fifth")
_FULL_SIXTY = (1 << 60) - 1
_MOST_CLOCK_TIMES = 6


def describe(expression: CronExpression) -> str:
    """One sentence without a full stop: "At 06:30 on Monday through Friday"."""
    times = expression.wall_times
    text = _describe_time(times.seconds, times.minutes, times.hours)
    days = _describe_days(expression)
    if days:
        text += f" {days}"
    months = _values(times.months)
    if len(months) < 12:
        text += f" in {_name_values(months, lambda month: _MONTHS[month])}"
    return text


def _values(mask: int) -> list[int]:
    return [bit for bit in range(mask.bit_length()) if mask >> bit & 1]


def _step_of(values: Sequence[int], size: int) -> int:
    """n when the values are 0, n, 2n … up to the end of the field and n divides it, else 0."""
    if len(values) < 2 or values[0] != 0:
        return 0
    step = values[1]
    return step if size % step == 0 and list(values) == list(range(0, size, step)) else 0


def _join(words: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def _name_values(values: Sequence[int], name: Callable[[int], str]) -> str:
    """The values in words; three and more in a row become "a through c"."""
    words: list[str] = []
    at = 0
    while at < len(values):
        end = at
        while end + 1 < len(values) and values[end + 1] == values[end] + 1:
            end += 1
        if end - at >= 2:
            words.append(f"{name(values[at])} through {name(values[end])}")
        else:
            words.extend(name(value) for value in values[at : end + 1])
        at = end + 1
    return _join(words)


def _plural(count: int, unit: str) -> str:
    return f"every {unit}" if count == 1 else f"every {count} {unit}s"


def _describe_time(seconds: int, minutes: int, hours: int) -> str:
    """The part about the time of day; its first letter is a capital."""
    second_values, minute_values, hour_values = _values(seconds), _values(minutes), _values(hours)
    count = len(second_values) * len(minute_values) * len(hour_values)
    if count <= _MOST_CLOCK_TIMES:
        with_seconds = seconds != 1
        clock = [
            f"{hour:02d}:{minute:02d}" + (f":{second:02d}" if with_seconds else "")
            for hour in hour_values
            for minute in minute_values
            for second in second_values
        ]
        return f"At {_join(clock)}"
    hour_step = 1 if hours == FULL_HOURS else _step_of(hour_values, 24)
    if minutes == 1 and seconds == 1 and hour_step:
        return f"Every {'hour' if hour_step == 1 else f'{hour_step} hours'}"
    parts = [
        _describe_sixty(seconds, "second", "minute") if seconds != 1 else "",
        _describe_minutes(minutes, seconds),
        _describe_hours(hours),
    ]
    text = ", ".join(part for part in parts if part)
    return text[0].upper() + text[1:]


def _describe_sixty(mask: int, unit: str, larger: str) -> str:
    """Minutes or seconds: "every 5 minutes", "at 30 minutes past the hour"."""
    values = _values(mask)
    step = 1 if mask == _FULL_SIXTY else _step_of(values, 60)
    if step:
        return _plural(step, unit)
    named = _name_values(values, str)
    plural = "" if values == [1] else "s"
    return f"at {named} {unit}{plural} past the {larger}"


def _describe_minutes(minutes: int, seconds: int) -> str:
    """The minutes, left out where the seconds already say it."""
    if minutes == _FULL_SIXTY and seconds != 1:
        return ""
    if minutes == 1:
        return "on the hour"
    return _describe_sixty(minutes, "minute", "hour")


def _describe_hours(hours: int) -> str:
    """The hours: "every 2 hours", "during hours 8 through 17"."""
    values = _values(hours)
    step = 1 if hours == FULL_HOURS else _step_of(values, 24)
    if step == 1:
        return ""
    if step:
        return _plural(step, "hour")
    return f"during hour{'' if len(values) == 1 else 's'} {_name_values(values, str)}"


def _describe_days(expression: CronExpression) -> str:
    """The part about days, empty for every day."""
    fields = expression.day_fields
    by_date = _describe_dates(fields) if expression.days_by_date else ""
    by_weekday = _describe_weekdays(fields) if expression.days_by_weekday else ""
    if by_date and by_weekday:
        if fields.both_must_match:
            return f"on {by_weekday}, only if it is also {by_date}"
        return f"on {by_date} or on {by_weekday}"
    return f"on {by_date or by_weekday}" if by_date or by_weekday else ""


def _describe_dates(fields: DayFields) -> str:
    """The days of the month: "days 1 and 15 of the month"."""
    days = _values(fields.days_of_month)
    words = []
    if len(days) > 2 and days == list(range(1, 32, days[1] - days[0])) and days[1] > 2:
        words.append(f"every {days[1] - 1}{'nd' if days[1] == 3 else 'rd' if days[1] == 4 else 'th'} day")
    elif days:
        words.append(f"day{'' if len(days) == 1 else 's'} {_name_values(days, str)}")
    if fields.last_day_of_month:
        words.append("the last day")
    return f"{_join(words)} of the month"


def _describe_weekdays(fields: DayFields) -> str:
    """The weekdays, first the plain ones: "Monday through Friday", "the last Friday of the month"."""
    # Weekdays are told from Monday on, so that a weekend is one range.
    plain = [day for day in (1, 2, 3, 4, 5, 6, 7) if fields.weekdays >> day % 7 & 1]
    words = []
    if plain:
        words.append(_name_values(plain, lambda day: _WEEKDAYS[day % 7]))
    words.extend(f"the {_NTH[nth]} {_WEEKDAYS[day]} of the month" for day, nth in fields.nth_weekdays)
    words.extend(f"the last {_WEEKDAYS[day]} of the month" for day in fields.last_weekdays)
    return _join(words)
