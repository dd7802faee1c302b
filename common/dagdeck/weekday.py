"""WeekDay: the days of the week as Airflow numbers them, Monday 1 to Sunday 7.

Decides how a day, or several, may be written. Used by the weekday branch and sensor, and in DAG files.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum

from dagdeck.exceptions import InvalidArguments, close_match, invalid


class WeekDay(IntEnum):
    """A day of the week, numbered as `datetime.isoweekday` does."""

    MONDAY = 1
    TUESDAY = 2
    WEDNESDAY = 3
    THURSDAY = 4
    FRIDAY = 5
    SATURDAY = 6
    SUNDAY = 7

    @classmethod
    def get_weekday_number(cls, week_day_str: str) -> int:
        """The number of the day with this English name, in any case. Raises UserError for another text."""
        name = week_day_str.upper()
        if name not in cls.__members__:
            raise invalid(
                f"there is no such day of the week{close_match(name, cls.__members__)}",
                field="week_day",
                value=week_day_str,
                remedy='Write for example "Monday"',
                error=InvalidArguments,
            )
        return int(cls[name])

    @classmethod
    def convert(cls, day: str | WeekDay) -> int:
        """The number of a day. Raises UserError when it is none."""
        if isinstance(day, WeekDay):
            return int(day)
        if isinstance(day, str):
            return cls.get_weekday_number(day)
        raise invalid(
            "a day of the week is a name or a WeekDay",
            field="week_day",
            value=day,
            remedy='Write for example "Monday" or WeekDay.MONDAY',
            error=InvalidArguments,
        )

    @classmethod
    def validate_week_day(cls, week_day: str | WeekDay | Iterable[str | WeekDay]) -> set[int]:
        """The numbers of one day or several. Raises UserError when something else is given."""
        if isinstance(week_day, (str, WeekDay)):
            return {cls.convert(week_day)}
        if not isinstance(week_day, Iterable):
            return {cls.convert(week_day)}
        return {cls.convert(day) for day in week_day}
