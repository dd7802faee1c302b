"""TimeSensor: waits for a time of day.

Decides which day's time is meant: that of the day on which the try began, in the DAG's time zone. Used in DAG files.
"""

from __future__ import annotations

from datetime import datetime, time
from typing import Any

from dagdeck import moments
from dagdeck.async_operator import default_deferrable
from dagdeck.context import Context
from dagdeck.sensors.base import BaseSensorOperator
from dagdeck.timetables import load_zone


class TimeSensor(BaseSensorOperator):
    """Waits until the clock shows `target_time` in the DAG's time zone, on the day on which the waiting began."""

    def __init__(
        self,
        *,
        target_time: time,
        deferrable: bool | None = None,
        start_from_trigger: bool = False,
        end_from_trigger: bool = False,
        trigger_kwargs: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.target_time = target_time
        self.deferrable = default_deferrable() if deferrable is None else deferrable
        self.start_from_trigger = start_from_trigger
        self.end_from_trigger = end_from_trigger
        if start_from_trigger:
            from dagdeck.triggers.base import StartTriggerArgs

            self.start_trigger_args = StartTriggerArgs(
                trigger_cls="dagdeck.triggers.temporal.DateTimeTrigger",
                trigger_kwargs={"moment": self.target_datetime, "end_from_trigger": end_from_trigger},
                next_method="execute_complete",
            )

    @property
    def target_datetime(self) -> datetime:
        """The moment that is waited for when the waiting begins now."""
        return self._target_on(moments.now())

    def _target_on(self, begun: datetime) -> datetime:
        zone = moments.zone_of(self)
        day = begun.astimezone(load_zone(zone)).date()
        return moments.plain(moments.at(day, self.target_time, zone))

    def poke(self, context: Context) -> bool:
        """Look at the clock."""
        target = self._target_on(self._begun_on(context))
        self.log.info("Checking if the time (%s) has come", target)
        return moments.now() > target

    def execute(self, context: Context) -> Any:
        """Wait, or hand the waiting over."""
        if not self.deferrable:
            return super().execute(context)
        from dagdeck.triggers.temporal import DateTimeTrigger

        trigger = DateTimeTrigger(moment=self.target_datetime, end_from_trigger=self.end_from_trigger)
        self.defer(trigger=trigger, method_name="execute_complete")

    def execute_complete(self, context: Context, event: Any = None) -> None:
        """The time has come."""

    @staticmethod
    def _begun_on(context: Context) -> datetime:
        return moments.plain(context["ti"].start_date)


class TimeSensorAsync(TimeSensor):
    """As TimeSensor with deferrable=True; kept for files that use its name."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{**kwargs, "deferrable": True})
