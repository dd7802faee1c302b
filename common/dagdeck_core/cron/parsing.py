"""The text of a cron expression, read and checked field by field.

Decides which expressions are valid and what each field names; says for every other text what is
wrong, where, and what to write instead. Finding times is walltime.py's part. Called through
`parse_cron` by timetables, the API's validation and the desktop's editor.

Five fields (minute, hour, day of month, month, day of week) or six (seconds come last). Names, lists,
ranges (they may wrap: `fri-mon`), steps, `L`, `5L`, `mon#2`, `?` and the usual `@` presets. 0 and 7
are Sunday. Day of month and day of week: a day that matches either, unless one of the two fields
starts with `*` or is `?`; then both have to match, as in standard cron.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass

from dagdeck_core.cron.walltime import FULL_HOURS, DayFields, WallTimes
from dagdeck_core.dst import DstElapsed
from dagdeck_core.errors import UserError

PRESETS: Mapping[str, str] = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@quarterly": "0 0 1 */3 *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
MONTH_NAMES = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
WEEKDAY_NAMES = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_LONGEST_TEXT = 1_000
_MONTH_LENGTHS = (0, 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


class CronError(UserError):
    """A cron expression is wrong: which field, which value, what the field allows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Field:
    """One field's name and the values that it allows."""

    name: str
    low: int
    high: int
    names: Mapping[str, int]
    example: str

    def error(self, problem: str, value: str) -> CronError:
        """The error about a part of this field, with what the field allows."""
        allowed = f"{self.low}-{self.high}"
        if self.names:
            words = list(self.names)
            allowed += f" or {words[0]}-{words[-1]}"
        return CronError(
            f"cron field '{self.name}': {problem}",
            field="schedule",
            value=value,
            remedy=f"Allowed: {allowed}, for example {self.example}",
        )

    def number(self, text: str) -> int:
        """A single value, by number or name."""
        if text in self.names:
            return self.names[text]
        if not (text.isascii() and text.isdigit()):
            raise self.error("this is neither a number nor a known name", text)
        value = int(text) if len(text) <= 4 else self.high + 1
        if not self.low <= value <= self.high:
            raise self.error("out of range", text)
        return value


_MINUTE = _Field(name="minute", low=0, high=59, names={}, example="0, */15 or 10-20")
_HOUR = _Field(name="hour", low=0, high=23, names={}, example="6, */2 or 8-17")
_DAY = _Field(name="day of month", low=1, high=31, names={}, example="1, 1,15 or L (the last day)")
_MONTH = _Field(
    name="month",
    low=1,
    high=12,
    names={name: number for number, name in enumerate(MONTH_NAMES, 1)},
    example="1, jan-mar or */3",
)
_WEEKDAY = _Field(
    name="day of week",
    low=0,
    high=7,
    names={name: number for number, name in enumerate(WEEKDAY_NAMES)},
    example="mon-fri, 0 (Sunday), 5L (the last Friday) or mon#2 (the second Monday)",
)
_SECOND = _Field(name="second", low=0, high=59, names={}, example="0 or */10")


@dataclass(frozen=True, slots=True, kw_only=True)
class CronExpression:
    """A valid cron expression: its text, presets replaced, and the wall times that it names."""

    text: str
    wall_times: WallTimes
    day_fields: DayFields
    days_by_date: bool
    """Whether the day-of-month field restricts anything."""
    days_by_weekday: bool
    """Whether the day-of-week field restricts anything."""
    starred_time: bool
    """Whether the minute or the hour field starts with `*`."""

    def follows_elapsed_time(self, rule: DstElapsed) -> bool:
        """Whether this expression runs at every real occurrence when clocks move, under such a rule."""
        if rule is DstElapsed.EVERY_HOUR:
            return self.wall_times.hours == FULL_HOURS
        return rule is DstElapsed.WILDCARD and self.starred_time


@functools.lru_cache(maxsize=4096)
def parse_cron(text: str) -> CronExpression:
    """Read an expression or preset.

    Raises CronError (a UserError) that names the field, the value, what is allowed and the remedy;
    also for dates that never come, such as the 30th of February.
    """
    fields = _split(text)
    minute, hour, day, month, weekday = fields[:5]
    days_of_month, last_day = _parse_days(day)
    weekdays, nth_weekdays, last_weekdays = _parse_weekdays(weekday)
    day_fields = DayFields(
        days_of_month=days_of_month,
        last_day_of_month=last_day,
        weekdays=weekdays,
        nth_weekdays=nth_weekdays,
        last_weekdays=last_weekdays,
        both_must_match=day[0] in "*?" or weekday[0] in "*?",
    )
    wall_times = WallTimes(
        seconds=_parse_plain(_SECOND, fields[5]) if len(fields) == 6 else 1,
        minutes=_parse_plain(_MINUTE, minute),
        hours=_parse_plain(_HOUR, hour),
        months=_parse_plain(_MONTH, month),
        day_table=day_fields.table(),
    )
    _require_some_day(wall_times, day, month, weekday)
    return CronExpression(
        text=" ".join(PRESETS.get(text.strip().lower(), text).split()),
        wall_times=wall_times,
        day_fields=day_fields,
        days_by_date=last_day or days_of_month != (1 << 32) - 2,
        days_by_weekday=weekdays != (1 << 7) - 1,
        starred_time=minute[0] == "*" or hour[0] == "*",
    )


def _split(text: str) -> list[str]:
    """The fields in lower case, presets replaced."""
    if len(text) > _LONGEST_TEXT:
        raise CronError(f"this cron expression has {len(text)} characters, more than {_LONGEST_TEXT}", field="schedule")
    lowered = text.strip().lower()
    if lowered.startswith("@"):
        if lowered in ("@once", "@continuous"):
            raise CronError(
                "this is a schedule of its own, not a cron expression",
                field="schedule",
                value=text,
                remedy=f"Write schedule={lowered!r} instead of a cron timetable",
            )
        if lowered not in PRESETS:
            raise CronError(
                "unknown preset",
                field="schedule",
                value=text,
                remedy=f"Known presets: @once, @continuous, {', '.join(PRESETS)}",
            )
        lowered = PRESETS[lowered]
    fields = lowered.split()
    if len(fields) not in (5, 6):
        raise CronError(
            f"a cron expression has 5 fields, or 6 with seconds as the last one; this has {len(fields)}",
            field="schedule",
            value=text,
            remedy="Write minute, hour, day of month, month, day of week: '30 6 * * mon-fri'",
        )
    return fields


def _parse_plain(field: _Field, text: str) -> int:
    """The mask of a field that knows only values, ranges, lists and steps."""
    mask = 0
    for item in text.split(","):
        for value in _values(field, item):
            mask |= 1 << value
    return mask


def _parse_days(text: str) -> tuple[int, bool]:
    """The day-of-month field: the mask of days and whether the last day is named."""
    if text == "?":
        text = "*"
    mask, last = 0, False
    for item in text.split(","):
        if item == "l":
            last = True
            continue
        if "l" in item or "w" in item:
            raise _DAY.error("only L alone (the last day) is known; L-3, LW and 15W are not", item)
        for value in _values(_DAY, item):
            mask |= 1 << value
    return mask, last


def _parse_weekdays(text: str) -> tuple[int, tuple[tuple[int, int], ...], tuple[int, ...]]:
    """The day-of-week field: the mask of weekdays, the n-th and the last weekdays of the month."""
    if text == "?":
        text = "*"
    mask = 0
    nth_weekdays: dict[tuple[int, int], None] = {}
    last_weekdays: dict[int, None] = {}
    for item in text.split(","):
        if "#" in item:
            name, _, nth = item.partition("#")
            if nth not in ("1", "2", "3", "4", "5"):
                raise _WEEKDAY.error("after # comes which one of the month, 1 to 5", item)
            nth_weekdays[(_WEEKDAY.number(name) % 7, int(nth))] = None
        elif item == "l":
            raise _WEEKDAY.error("L needs a weekday, as in 5L", item)
        elif item.endswith("l") or item.startswith("l"):
            last_weekdays[_WEEKDAY.number(item[:-1] if item.endswith("l") else item[1:]) % 7] = None
        else:
            for value in _values(_WEEKDAY, item):
                mask |= 1 << value % 7
    return mask, tuple(sorted(nth_weekdays)), tuple(sorted(last_weekdays))


def _values(field: _Field, item: str) -> list[int]:
    """The values of one item of a list: `*`, `3`, `1-5`, each with or without `/step`."""
    if not item:
        raise field.error("empty list item", item)
    base, slash, step_text = item.partition("/")
    step = 1
    if slash:
        if not (step_text.isascii() and step_text.isdigit()) or int(step_text[:5]) == 0:
            raise field.error("a step is a number from 1 on", item)
        step = int(step_text[:5])
    if base == "?":
        raise field.error("? is for day of month and day of week, alone", item)
    if base == "*":
        values = list(range(field.low, field.high + 1))
    elif "-" in base:
        low_text, _, high_text = base.partition("-")
        values = _range(field, field.number(low_text), field.number(high_text))
    elif slash:
        values = list(range(field.number(base), field.high + 1))
    else:
        values = [field.number(base)]
    return values[::step]


def _range(field: _Field, low: int, high: int) -> list[int]:
    """The values from low to high in order; a range that ends before it starts wraps around."""
    if low <= high:
        return list(range(low, high + 1))
    if field is _WEEKDAY:
        low %= 7
        return [day % 7 for day in range(low, high + 1 if low <= high else high + 8)]
    return list(range(low, field.high + 1)) + list(range(field.low, high + 1))


def _require_some_day(wall_times: WallTimes, day: str, month: str, weekday: str) -> None:
    """Refuse expressions whose day never comes, whatever the year."""
    for number in range(1, 13):
        if wall_times.months >> number & 1:
            lengths = (28, 29) if number == 2 else (_MONTH_LENGTHS[number],)
            for first_weekday in range(7):
                for length in lengths:
                    if wall_times.day_table[4 * first_weekday + length - 28]:
                        return
    raise CronError(
        "no such day exists in any year: the months named never have the days named",
        field="schedule",
        value=f"{day} {month} {weekday}",
        remedy="Use L for the last day of a month",
    )
