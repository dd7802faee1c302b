"""BaseSensorOperator: a task that waits until something holds.

Decides how often it looks, when it gives up, and whether it holds its slot meanwhile (mode "poke") or gives it
back between two looks (mode "reschedule"). Subclasses say what they look for.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NoReturn

from dagdeck import argument_types as types
from dagdeck.context import Context
from dagdeck.exceptions import (
    AirflowException,
    AirflowFailException,
    AirflowRescheduleException,
    AirflowSensorTimeout,
    AirflowSkipException,
    AirflowTaskTimeout,
    TaskDeferralTimeout,
    invalid,
    unavailable,
)
from dagdeck.operator import BaseOperator

MODES = ("poke", "reschedule")
BACKOFF_FACTOR = 2.0
_SOFT = (AirflowSensorTimeout, AirflowTaskTimeout, AirflowFailException)
"""What soft_fail turns into a skip, whether it comes out of poke or after a deferral; other errors fail the sensor."""


class PokeReturnValue:
    """What `poke` may return instead of a bool: whether the waiting is over, and the task's value if so."""

    def __init__(self, is_done: bool, xcom_value: Any = None) -> None:
        self.is_done = is_done
        self.xcom_value = xcom_value

    def __bool__(self) -> bool:
        return self.is_done


class BaseSensorOperator(BaseOperator):
    """Calls `poke` every `poke_interval` until it returns something true.

    After `timeout` it fails for good, or is skipped with `soft_fail`. `exponential_backoff` doubles the interval
    each time, up to `max_wait`. `silent_fail` takes an exception of `poke` for "not yet"; `never_fail` skips the
    task instead of failing it for any exception. Durations are seconds or timedeltas.

    A sensor that can leave the waiting to a trigger takes `deferrable` (by default what `default_deferrable()` says)
    and, when it is set, calls `self.defer(trigger=…, method_name=…, timeout=self.time_left(context))` in `execute`.
    """

    ui_color = "#e6f1f2"
    is_sensor = True

    def __init__(
        self,
        *,
        poke_interval: timedelta | float = 60,
        timeout: timedelta | float = timedelta(days=7),
        soft_fail: bool = False,
        mode: str = "poke",
        exponential_backoff: bool = False,
        max_wait: timedelta | float | None = None,
        silent_fail: bool = False,
        never_fail: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        subject = f"task {self.task_id!r}"
        self.poke_interval = types.duration(poke_interval, subject=subject, field="poke_interval").total_seconds()
        self.timeout = types.duration(timeout, subject=subject, field="timeout").total_seconds()
        self.max_wait = None
        if max_wait is not None:
            self.max_wait = types.duration(max_wait, subject=subject, field="max_wait").total_seconds()
        if mode not in MODES:
            raise invalid("there is no such mode", subject=subject, field="mode", value=mode, remedy=f"Use {MODES}")
        if soft_fail and never_fail:
            raise invalid("soft_fail and never_fail exclude each other", subject=subject, field="never_fail")
        self.mode = mode
        self.soft_fail = soft_fail
        self.exponential_backoff = exponential_backoff
        self.silent_fail = silent_fail
        self.never_fail = never_fail

    @property
    def reschedule(self) -> bool:
        """Whether the sensor gives its slot back while it waits."""
        return self.mode == "reschedule"

    def poke(self, context: Context) -> bool | PokeReturnValue:
        """Whether the waiting is over. Subclasses override it."""
        raise unavailable(f"{self.task_type} has no poke method: running it", "Override poke(self, context)")

    def execute(self, context: Context) -> Any:
        """Wait. Raises AirflowSensorTimeout, AirflowSkipException or AirflowRescheduleException."""
        begun = self._begun(context)
        looks = 0
        while True:
            looks += 1
            found = self._look(context)
            if found:
                self.log.info("Success criteria met. Exiting.")
                return found.xcom_value if isinstance(found, PokeReturnValue) else None
            waited = (datetime.now(UTC) - begun).total_seconds()
            if waited > self.timeout:
                self._give_up(waited)
            pause = self.pause_after(looks if not self.reschedule else self._looks_so_far(waited))
            if self.reschedule:
                raise AirflowRescheduleException(datetime.now(UTC) + timedelta(seconds=pause))
            time.sleep(pause)

    def pause_after(self, looks: int) -> float:
        """Seconds to wait after the given number of looks."""
        if not self.exponential_backoff:
            return self.poke_interval
        # Beyond 2^40 intervals nothing but the cap matters.
        pause = self.poke_interval * BACKOFF_FACTOR ** min(looks - 1, 40)
        return min(pause, self.max_wait if self.max_wait is not None else self.timeout)

    def _begun(self, context: Mapping[str, Any]) -> datetime:
        """When the waiting began: for a sensor that is rescheduled, at the first start of this try."""
        moment = context["ti"].start_date if self.reschedule else datetime.now(UTC)
        return datetime.fromtimestamp(moment.timestamp(), UTC)

    def _looks_so_far(self, waited: float) -> int:
        """How many looks fit into the time waited, for the back-off of a sensor that starts anew each time."""
        looks, total = 1, 0.0
        while total + self.pause_after(looks) <= waited and looks < 1_000:
            total += self.pause_after(looks)
            looks += 1
        return looks

    def time_left(self, context: Mapping[str, Any]) -> timedelta:
        """What is left of `timeout` for a trigger to wait, counted from the first start of this try; at least 0."""
        begun = context["ti"].start_date
        waited = datetime.now(UTC) - datetime.fromtimestamp(begun.timestamp(), UTC)
        return max(timedelta(seconds=self.timeout) - waited, timedelta())

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Go on after a deferral; a trigger that did not fire in time means the sensor's timeout."""
        try:
            return super().resume_execution(next_method, next_kwargs, context)
        except TaskDeferralTimeout as error:
            self._fail(AirflowSensorTimeout(f"the sensor's trigger did not fire in time: {error}"), error)
        except AirflowSkipException:
            raise
        except (*_SOFT, AirflowException) as error:
            self._fail(error, error)

    def _look(self, context: Context) -> Any:
        try:
            return self.poke(context)
        except AirflowSkipException:
            raise
        except _SOFT as error:
            self._fail(error, error)
        except Exception as error:
            if not self.silent_fail:
                self._fail(error, error)
            self.log.exception("poke failed; it counts as not yet")
            return False

    def _give_up(self, waited: float) -> NoReturn:
        error = AirflowSensorTimeout(f"the sensor waited {waited:.1f} s, longer than its timeout of {self.timeout:g} s")
        # As on Airflow, never_fail is about what poke raises.
        raise AirflowSkipException(str(error)) if self.soft_fail else error

    def _fail(self, error: BaseException, cause: BaseException | None = None) -> NoReturn:
        """Raise `error`, or skip where soft_fail or never_fail ask for that."""
        softly = self.soft_fail and isinstance(error, _SOFT)
        if softly or self.never_fail:
            why = "soft_fail" if softly else "never_fail"
            raise AirflowSkipException(f"skipped because of {why}: {error}") from error
        if error is cause:
            raise error
        raise error from cause


def poke_mode_only(cls: type[BaseSensorOperator]) -> type[BaseSensorOperator]:
    """A class decorator for sensors that only work in mode "poke": any other one is refused."""
    if not issubclass(cls, BaseSensorOperator):
        raise invalid(f"poke_mode_only decorates a sensor class, not {cls!r}")

    def refuse(self: BaseSensorOperator, value: str) -> None:
        if value != "poke":
            raise invalid(f"{cls.__name__} only works in mode 'poke'", field="mode", value=value)

    cls.mode = property(lambda self: "poke", refuse)  # type: ignore[assignment]
    return cls
