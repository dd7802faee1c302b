"""TimeDeltaSensor and WaitSensor: wait for a while.

Decides from when the while is counted. Used in DAG files.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from dagdeck import argument_types as types
from dagdeck import moments
from dagdeck.async_operator import default_deferrable
from dagdeck.context import Context
from dagdeck.sensors.base import BaseSensorOperator


class TimeDeltaSensor(BaseSensorOperator):
    """Waits until `delta` after the end of the run's data interval; in a run without one, after its run_after."""

    def __init__(
        self,
        *,
        delta: timedelta,
        deferrable: bool | None = None,
        end_from_trigger: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.delta = delta
        self.deferrable = default_deferrable() if deferrable is None else deferrable
        self.end_from_trigger = end_from_trigger

    def _target(self, context: Context) -> datetime:
        base: datetime = context.get("data_interval_end") or context["dag_run"].run_after
        return moments.plain(base) + self.delta

    def poke(self, context: Context) -> bool:
        """Look at the clock."""
        target = self._target(context)
        self.log.info("Checking if the time (%s) has come", target)
        return moments.now() > target

    def execute(self, context: Context) -> Any:
        """Wait, or hand the waiting over; nothing is handed over when the time has come already."""
        if not self.deferrable:
            return super().execute(context)
        target = self._target(context)
        if moments.now() > target:
            return True
        from dagdeck.triggers.temporal import DateTimeTrigger

        trigger = DateTimeTrigger(moment=target, end_from_trigger=self.end_from_trigger)
        self.defer(trigger=trigger, method_name="execute_complete", timeout=self.time_left(context))

    def execute_complete(self, context: Context, event: Any = None) -> None:
        """The time has come."""


class TimeDeltaSensorAsync(TimeDeltaSensor):
    """As TimeDeltaSensor with deferrable=True; kept for files that use its name."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{**kwargs, "deferrable": True})


class WaitSensor(BaseSensorOperator):
    """Waits for `time_to_wait` from the moment the task starts: a timedelta, or a number of minutes."""

    def __init__(self, *, time_to_wait: timedelta | int, deferrable: bool | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        subject = f"task {self.task_id!r}"
        wait = timedelta(minutes=time_to_wait) if isinstance(time_to_wait, int) else time_to_wait
        self.time_to_wait = types.duration(wait, subject=subject, field="time_to_wait")
        self.deferrable = default_deferrable() if deferrable is None else deferrable

    def poke(self, context: Context) -> bool:
        """Look at the clock."""
        return moments.now() >= moments.plain(context["ti"].start_date) + self.time_to_wait

    def pause_after(self, looks: int) -> float:
        """Never longer than the whole wait."""
        return min(super().pause_after(looks), self.time_to_wait.total_seconds())

    def execute(self, context: Context) -> Any:
        """Wait, or hand the waiting over."""
        if not self.deferrable:
            return super().execute(context)
        from dagdeck.triggers.temporal import TimeDeltaTrigger

        self.defer(trigger=TimeDeltaTrigger(self.time_to_wait, end_from_trigger=True), method_name="execute_complete")

    def execute_complete(self, context: Context, event: Any = None) -> None:
        """The time has come."""
