"""Which local wall times a cron expression names, found by arithmetic on its fields.

Decides the next and the previous matching wall time; knows no zones (fires.py does) and no syntax
(parsing.py does). A wall time is a whole number of seconds since 1970-01-01T00:00 on the wall.
Fields are bit masks: bit n is set when the value n matches.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from dagdeck_core.zones import DAY, EPOCH_ORDINAL

_LAST_YEAR = 9998
_FIRST_YEAR = 2
FULL_HOURS = (1 << 24) - 1
_MONTH_LENGTHS = (0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)

_DAYS_OF_WEEKDAY = tuple(
    tuple(sum(1 << day for day in range(1, 32) if (first_weekday + day - 1) % 7 == weekday) for weekday in range(7))
    for first_weekday in range(7)
)
"""For a month whose first day is `first_weekday` (0 is Sunday): the days that are a given weekday."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DayFields:
    """The day-of-month and day-of-week fields and how they combine. Weekdays count from Sunday, 0."""

    days_of_month: int
    last_day_of_month: bool
    weekdays: int
    nth_weekdays: tuple[tuple[int, int], ...]
    """Pairs (weekday, n): the n-th such weekday of the month, n from 1 to 5."""
    last_weekdays: tuple[int, ...]
    both_must_match: bool
    """True when either field starts with `*`: the day must match both. Otherwise one suffices."""

    def days_in(self, first_weekday: int, length: int) -> int:
        """The matching days (bits 1 to 31) of a month with such a first weekday and such a length."""
        whole_month = (1 << (length + 1)) - 2
        by_date = self.days_of_month & whole_month
        if self.last_day_of_month:
            by_date |= 1 << length
        days_of = _DAYS_OF_WEEKDAY[first_weekday]
        by_weekday = 0
        for weekday in range(7):
            if self.weekdays >> weekday & 1:
                by_weekday |= days_of[weekday]
        for weekday, nth in self.nth_weekdays:
            first = (days_of[weekday] & -days_of[weekday]).bit_length() - 1
            by_weekday |= 1 << (first + 7 * (nth - 1))
        for weekday in self.last_weekdays:
            by_weekday |= 1 << ((days_of[weekday] & whole_month).bit_length() - 1)
        by_weekday &= whole_month
        return by_date & by_weekday if self.both_must_match else by_date | by_weekday

    def table(self) -> tuple[int, ...]:
        """The matching days of all 28 kinds of month, at index 4 * first_weekday + length - 28."""
        return tuple(self.days_in(first, length) for first in range(7) for length in range(28, 32))


def _lowest(mask: int) -> int:
    return (mask & -mask).bit_length() - 1


def _below(mask: int, bit: int) -> int:
    """The highest set bit below `bit`, or -1."""
    return (mask & ((1 << bit) - 1)).bit_length() - 1


def _above(mask: int, bit: int) -> int:
    """The lowest set bit above `bit`, or -1."""
    rest = mask >> (bit + 1)
    return bit + 1 + _lowest(rest) if rest else -1


@dataclass(frozen=True, slots=True, kw_only=True)
class WallTimes:
    """The set of wall times of one expression. Every mask has at least one bit set."""

    seconds: int
    minutes: int
    hours: int
    months: int
    day_table: tuple[int, ...]

    def next_from(self, wall: int) -> int | None:
        """The first matching wall time at or after the given one; None past the year 9998."""
        day, time_of_day = divmod(wall, DAY)
        ordinal = day + EPOCH_ORDINAL
        at = date.fromordinal(ordinal)
        year, month, day_of_month = at.year, at.month, at.day
        if self.months >> month & 1:
            days = self._days_in(year, month)
            if days >> day_of_month & 1:
                time = self._time_from(time_of_day)
                if time >= 0:
                    return day * DAY + time
            later = _above(days, day_of_month)
            if later >= 0:
                return (day + later - day_of_month) * DAY + self._first_time()
        while year <= _LAST_YEAR:
            month = _above(self.months, month)
            if month < 0:
                year, month = year + 1, 0
                continue
            days = self._days_in(year, month)
            if days:
                first = date(year, month, _lowest(days)).toordinal() - EPOCH_ORDINAL
                return first * DAY + self._first_time()
        return None

    def previous_from(self, wall: int) -> int | None:
        """The last matching wall time at or before the given one; None before the year 2."""
        day, time_of_day = divmod(wall, DAY)
        ordinal = day + EPOCH_ORDINAL
        at = date.fromordinal(ordinal)
        year, month, day_of_month = at.year, at.month, at.day
        if self.months >> month & 1:
            days = self._days_in(year, month)
            if days >> day_of_month & 1:
                time = self._time_back_from(time_of_day)
                if time >= 0:
                    return day * DAY + time
            earlier = _below(days, day_of_month)
            if earlier >= 0:
                return (day + earlier - day_of_month) * DAY + self._last_time()
        while year >= _FIRST_YEAR:
            month = _below(self.months, month)
            if month < 0:
                year, month = year - 1, 13
                continue
            days = self._days_in(year, month)
            if days:
                last = date(year, month, days.bit_length() - 1).toordinal() - EPOCH_ORDINAL
                return last * DAY + self._last_time()
        return None

    def _days_in(self, year: int, month: int) -> int:
        if month == 2:
            length = 29 if year % 4 == 0 and (year % 100 != 0 or year % 400 == 0) else 28
        else:
            length = _MONTH_LENGTHS[month]
        first_weekday = date(year, month, 1).toordinal() % 7
        return self.day_table[4 * first_weekday + length - 28]

    def _first_time(self) -> int:
        return _lowest(self.hours) * 3600 + _lowest(self.minutes) * 60 + _lowest(self.seconds)

    def _last_time(self) -> int:
        hour, minute = self.hours.bit_length() - 1, self.minutes.bit_length() - 1
        return hour * 3600 + minute * 60 + self.seconds.bit_length() - 1

    def _time_from(self, time_of_day: int) -> int:
        """The first matching second of a day from the given one on, or -1."""
        hour, rest = divmod(time_of_day, 3600)
        minute, second = divmod(rest, 60)
        if self.hours >> hour & 1:
            if self.minutes >> minute & 1:
                second = _above(self.seconds, second - 1)
                if second >= 0:
                    return hour * 3600 + minute * 60 + second
            minute = _above(self.minutes, minute)
            if minute >= 0:
                return hour * 3600 + minute * 60 + _lowest(self.seconds)
        hour = _above(self.hours, hour)
        if hour < 0:
            return -1
        return hour * 3600 + _lowest(self.minutes) * 60 + _lowest(self.seconds)

    def _time_back_from(self, time_of_day: int) -> int:
        """The last matching second of a day up to the given one, or -1."""
        hour, rest = divmod(time_of_day, 3600)
        minute, second = divmod(rest, 60)
        last_second = self.seconds.bit_length() - 1
        if self.hours >> hour & 1:
            if self.minutes >> minute & 1:
                second = _below(self.seconds, second + 1)
                if second >= 0:
                    return hour * 3600 + minute * 60 + second
            minute = _below(self.minutes, minute)
            if minute >= 0:
                return hour * 3600 + minute * 60 + last_second
        hour = _below(self.hours, hour)
        if hour < 0:
            return -1
        return hour * 3600 + (self.minutes.bit_length() - 1) * 60 + last_second
