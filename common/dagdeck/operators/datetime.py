"""BranchDateTimeOperator: goes one way within a window of time and the other way outside of it.

Decides what bounds given as times of day mean. Used in DAG files.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, time, timedelta
from typing import Any

from dagdeck import moments
from dagdeck.context import Context
from dagdeck.exceptions import InvalidArguments, invalid
from dagdeck.operators.skipping import BaseBranchOperator


class BranchDateTimeOperator(BaseBranchOperator):
    """Follows `follow_task_ids_if_true` from `target_lower` to `target_upper`, both included, otherwise the other.

    A bound is a datetime, a time of day or None for an open end; a time means that day's, and with an upper bound
    before the lower one the window goes over midnight. Bounds without a zone are in the DAG's. What is compared
    is the time now, or with `use_task_logical_date` the run's logical date.
    """

    ui_color = "#ddeeff"

    def __init__(
        self,
        *,
        follow_task_ids_if_true: str | Iterable[str],
        follow_task_ids_if_false: str | Iterable[str],
        target_lower: datetime | time | None,
        target_upper: datetime | time | None,
        use_task_logical_date: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if target_lower is None and target_upper is None:
            raise invalid(
                "one of target_lower and target_upper is needed, both are None",
                subject=f"task {self.task_id!r}",
                field="target_lower",
                error=InvalidArguments,
            )
        self.target_lower = target_lower
        self.target_upper = target_upper
        self.follow_task_ids_if_true = follow_task_ids_if_true
        self.follow_task_ids_if_false = follow_task_ids_if_false
        self.use_task_logical_date = use_task_logical_date

    def choose_branch(self, context: Context) -> str | Iterable[str]:
        """Compare and choose."""
        moment = moments.date_of_run(context) if self.use_task_logical_date else moments.now()
        lower, upper = target_times_as_dates(moment, self.target_lower, self.target_upper)
        zone = moments.zone_of(self)
        too_late = upper is not None and moments.aware(upper, zone) < moment
        too_early = lower is not None and moments.aware(lower, zone) > moment
        inside = not too_late and not too_early
        self.log.info("%s is %s the window from %s to %s", moment, "within" if inside else "outside", lower, upper)
        return self.follow_task_ids_if_true if inside else self.follow_task_ids_if_false


def target_times_as_dates(
    base_date: datetime, lower: datetime | time | None, upper: datetime | time | None
) -> tuple[datetime | None, datetime | None]:
    """The bounds as datetimes of the day of `base_date`; an upper time before the lower one is the next day's."""
    if isinstance(lower, datetime) and isinstance(upper, datetime):
        return lower, upper
    first = datetime.combine(base_date, lower) if isinstance(lower, time) else lower
    last = datetime.combine(base_date, upper) if isinstance(upper, time) else upper
    if first is not None and last is not None and last < first:
        last += timedelta(days=1)
    return first, last
