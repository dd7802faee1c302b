"""DateTimeSensor: waits for a moment.

Decides how the moment may be written. Used in DAG files.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, ClassVar

from dagdeck import moments
from dagdeck.context import Context
from dagdeck.sensors.base import BaseSensorOperator


class DateTimeSensor(BaseSensorOperator):
    """Waits until `target_time`: a datetime, or text that may be a template. One without a zone is in the DAG's."""

    template_fields: ClassVar[Sequence[str]] = ("target_time",)

    def __init__(self, *, target_time: str | datetime, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.target_time = target_time

    def poke(self, context: Context) -> bool:
        """Look at the clock."""
        self.log.info("Checking if the time (%s) has come", self.target_time)
        return moments.now() > self.moment

    @property
    def moment(self) -> datetime:
        """The target as an aware datetime. Raises UserError when it is no date."""
        found = moments.parse_moment(
            self.target_time, moments.zone_of(self), subject=f"task {self.task_id!r}", field="target_time"
        )
        return moments.plain(found)


class DateTimeSensorAsync(DateTimeSensor):
    """As DateTimeSensor, without a slot while it waits.

    With `start_from_trigger` it never takes one before the time has come, and with `end_from_trigger` not then
    either; a template as target needs a worker first, so `start_from_trigger` takes none.
    """

    def __init__(
        self,
        *,
        start_from_trigger: bool = False,
        end_from_trigger: bool = False,
        trigger_kwargs: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.end_from_trigger = end_from_trigger
        self.start_from_trigger = start_from_trigger
        if start_from_trigger:
            from dagdeck.triggers.base import StartTriggerArgs

            self.start_trigger_args = StartTriggerArgs(
                trigger_cls="dagdeck.triggers.temporal.DateTimeTrigger",
                trigger_kwargs={"moment": self.moment, "end_from_trigger": end_from_trigger},
                next_method="execute_complete",
            )

    def execute(self, context: Context) -> None:
        """Hand the waiting over."""
        from dagdeck.triggers.temporal import DateTimeTrigger

        trigger = DateTimeTrigger(moment=self.moment, end_from_trigger=self.end_from_trigger)
        self.defer(trigger=trigger, method_name="execute_complete")

    def execute_complete(self, context: Context, event: Any = None) -> None:
        """The time has come."""
