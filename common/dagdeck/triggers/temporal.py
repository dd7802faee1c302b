"""Triggers that wait for a moment.

Decides how they wait: in steps, so that a clock that is set is noticed. Used by time sensors and in DAG files.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

from dagdeck.triggers.base import BaseTrigger, TaskSuccessEvent, TriggerEvent

LONGEST_SLEEP = 3600.0
"""Seconds between two looks at the clock, at the longest."""


class DateTimeTrigger(BaseTrigger):
    """Fires at `moment` (aware), or at `target_time`: the same as ISO text, possibly a template.

    With `end_from_trigger` the task ends as a success then, without going on in a worker.
    """

    template_fields: ClassVar[Sequence[str]] = ("target_time",)

    def __init__(
        self,
        moment: datetime | None = None,
        *,
        target_time: datetime | str | None = None,
        end_from_trigger: bool = False,
    ) -> None:
        super().__init__()
        if (moment is None) == (target_time is None):
            raise TypeError("DateTimeTrigger takes either moment or target_time")
        if moment is not None and not isinstance(moment, datetime):
            raise TypeError(f"moment must be a datetime, this is a {type(moment).__name__}: {moment!r}")
        if moment is not None and moment.utcoffset() is None:
            raise ValueError(f"moment must have a time zone, {moment!r} has none")
        self._moment = None if moment is None else moment.astimezone(UTC)
        self.target_time = target_time
        self.end_from_trigger = end_from_trigger

    @property
    def moment(self) -> datetime:
        """When it fires. Raises ValueError when the target_time is no date."""
        if self._moment is None:
            self._moment = _parsed(self.target_time)
        return self._moment

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """See BaseTrigger."""
        when = {"target_time": self.target_time} if self._moment is None else {"moment": self._moment}
        return "dagdeck.triggers.temporal.DateTimeTrigger", {**when, "end_from_trigger": self.end_from_trigger}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait until the moment has come."""
        import asyncio  # also runners of other tasks import this module, and do without

        while (left := (self.moment - datetime.now(UTC)).total_seconds()) > 0:
            # Half of what is left, so that the last step is short whatever happens to the clock meanwhile.
            await asyncio.sleep(min(LONGEST_SLEEP, left / 2 if left > 20 else left))
        self.log.info("%s has come", self.moment.isoformat())
        yield TaskSuccessEvent() if self.end_from_trigger else TriggerEvent(self.moment)


class TimeDeltaTrigger(DateTimeTrigger):
    """Fires when `delta` has passed since it was made. Written down as the DateTimeTrigger that it amounts to."""

    def __init__(self, delta: timedelta, *, end_from_trigger: bool = False) -> None:
        super().__init__(moment=datetime.now(UTC) + delta, end_from_trigger=end_from_trigger)


def _parsed(target: datetime | str | None) -> datetime:
    if isinstance(target, datetime):
        moment = target
    else:
        try:
            moment = datetime.fromisoformat(str(target))
        except ValueError as error:
            raise ValueError(f"target_time is no date in ISO form: {target!r}") from error
    return (moment if moment.utcoffset() is not None else moment.replace(tzinfo=UTC)).astimezone(UTC)
