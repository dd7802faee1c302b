"""What the end of a task's code means: a value or an exception becomes a result.

Decides that, and nothing about retries (`dagdeck_core.outcome` does). Called by `dagdeck_task.execution`.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from dagdeck.exceptions import (
    AirflowFailException,
    AirflowRescheduleException,
    AirflowSensorTimeout,
    AirflowSkipException,
    AirflowTaskTerminated,
    AirflowTaskTimeout,
    DownstreamTasksSkipped,
    FeatureNotAvailable,
)
from dagdeck_core.human_input import Question
from dagdeck_core.outcome import Result
from dagdeck_core.wire import Deferral, TaskError

if TYPE_CHECKING:
    from dagdeck.context import Context

_log = logging.getLogger("dagdeck.task")

MESSAGE_LIMIT = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How a task's code ended. `error` is set when people should see one."""

    result: Result
    exception: BaseException | None = None
    error: TaskError | None = None
    reschedule_at: datetime | None = None
    skip: tuple[str, ...] = ()
    deferral: Deferral | None = None
    question: Question | None = None
    was_terminated: bool = False
    retry_after: float | None = None
    """Seconds until the next try, where a retry policy chose them."""


SUCCESS = Ending(result=Result.SUCCESS)

_NO_RETRY = (AirflowFailException, AirflowSensorTimeout, FeatureNotAvailable)


def ending_of(error: BaseException) -> Ending:
    """The ending that an exception out of a task's code means."""
    if isinstance(error, AirflowSkipException):
        return Ending(result=Result.SKIPPED, exception=error)
    if isinstance(error, DownstreamTasksSkipped):
        names = tuple(task if isinstance(task, str) else task[0] for task in error.tasks)
        return Ending(result=Result.SUCCESS, skip=names)
    if isinstance(error, AirflowRescheduleException):
        moment = error.reschedule_date
        aware = moment if moment.utcoffset() is not None else moment.replace(tzinfo=UTC)
        return Ending(result=Result.UP_FOR_RESCHEDULE, reschedule_at=aware.astimezone(UTC))
    result = Result.FAILED
    if isinstance(error, _NO_RETRY):
        result = Result.FAIL_WITHOUT_RETRY
    elif isinstance(error, AirflowTaskTimeout):
        result = Result.TIMED_OUT
    return Ending(
        result=result,
        exception=error,
        error=TaskError(type(error).__name__, message_of(error)),
        was_terminated=isinstance(error, AirflowTaskTerminated),
    )


RETRIED = (Result.FAILED, Result.TIMED_OUT)
"""Endings about which a retry policy is asked."""


def judged(ending: Ending, policy: Any, try_number: int, max_tries: int, context: Context) -> Ending:
    """The ending as the task's retry policy wants it. What the policy raises is logged and changes nothing."""
    if ending.exception is None or ending.was_terminated:
        return ending
    try:
        decision = policy.evaluate(ending.exception, try_number, max_tries, context)
        action = decision.action.value
        delay = decision.retry_delay
        seconds = None if delay is None else max(0.0, delay.total_seconds())
    except Exception:  # noqa: BLE001 - a broken policy must not hide the task's own failure
        _log.exception("the retry policy %r failed, so the task's own rules hold", policy)
        return ending
    if action == "fail":
        _log.info("The retry policy fails the task now: %s", decision.reason or "no reason given")
        return replace(ending, result=Result.FAIL_WITHOUT_RETRY)
    if action == "retry" and seconds is not None:
        _log.info("The retry policy chose a delay of %g s: %s", seconds, decision.reason or "no reason given")
        return replace(ending, retry_after=seconds)
    return ending


def message_of(error: BaseException) -> str:
    """A sentence about `error` for people."""
    if isinstance(error, SystemExit):
        return f"the task called sys.exit({error.code!r})"
    try:
        text = str(error)
    except Exception:  # noqa: BLE001 - a broken __str__ of the author's must not hide the failure
        text = ""
    return (text or type(error).__name__)[:MESSAGE_LIMIT]
