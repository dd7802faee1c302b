"""DayOfWeekSensor: waits for some days of the week.

Decides which day counts as today. Used in DAG files.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from dagdeck import moments
from dagdeck.context import Context
from dagdeck.sensors.base import BaseSensorOperator
from dagdeck.weekday import WeekDay


class DayOfWeekSensor(BaseSensorOperator):
    """Waits until today is `week_day`, or one of several.

    Today is the day now in UTC, or with `use_task_logical_date` the day of the run's logical date.
    """

    def __init__(
        self,
        *,
        week_day: str | WeekDay | Iterable[str | WeekDay],
        use_task_logical_date: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.week_day = week_day
        self.use_task_logical_date = use_task_logical_date
        self._week_day_num = WeekDay.validate_week_day(week_day)

    def poke(self, context: Context) -> bool:
        """Look at the day."""
        moment = moments.date_of_run(context) if self.use_task_logical_date else moments.now()
        today = WeekDay(moment.isoweekday())
        self.log.info("Waiting for %s, it is %s", self.week_day, today.name.capitalize())
        return today in self._week_day_num
