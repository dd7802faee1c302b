"""BranchDayOfWeekOperator: goes one way on some days of the week and the other way on the rest.

Decides which day counts as today. Used in DAG files.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

from dagdeck import moments
from dagdeck.context import Context
from dagdeck.operators.skipping import BaseBranchOperator
from dagdeck.timetables import load_zone
from dagdeck.weekday import WeekDay


class BranchDayOfWeekOperator(BaseBranchOperator):
    """Follows `follow_task_ids_if_true` on `week_day` (one, or several), otherwise `follow_task_ids_if_false`.

    Today is the day now in the DAG's time zone, or with `use_task_logical_date` the day of the run's logical date.
    """

    template_fields: ClassVar[Sequence[str]] = ("follow_task_ids_if_true", "follow_task_ids_if_false")
    ui_color = "#ddeeff"

    def __init__(
        self,
        *,
        follow_task_ids_if_true: str | Iterable[str],
        follow_task_ids_if_false: str | Iterable[str],
        week_day: str | WeekDay | Iterable[str | WeekDay],
        use_task_logical_date: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.follow_task_ids_if_true = follow_task_ids_if_true
        self.follow_task_ids_if_false = follow_task_ids_if_false
        self.week_day = week_day
        self.use_task_logical_date = use_task_logical_date
        self._week_day_num = WeekDay.validate_week_day(week_day)

    def choose_branch(self, context: Context) -> str | Iterable[str]:
        """Look at the day and choose."""
        if self.use_task_logical_date:
            today = moments.date_of_run(context).isoweekday()
        else:
            today = moments.now().astimezone(load_zone(moments.zone_of(self))).isoweekday()
        matches = today in self._week_day_num
        self.log.info("It is a %s", WeekDay(today).name.capitalize())
        return self.follow_task_ids_if_true if matches else self.follow_task_ids_if_false
