"""What a task's result makes of its task instance: the retry rules.

Decides the state that follows a result, and when a retry may start. Does not run or store anything.
Called by the worker before it commits a result, by the runner to choose which callback to call, and by
`dag.test()`; so all three tell a retry from a final failure in the same way.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from dagdeck_core.spec import TaskSpec
from dagdeck_core.states import TaskInstanceState

LONGEST_RETRY_DELAY = 24 * 3600.0
"""Seconds: the cap of an exponential delay that has no max_retry_delay of its own (Airflow's)."""


class Result(StrEnum):
    """How user code ended, before retries are taken into account (`wire.Outcome.result`)."""

    SUCCESS = "success"
    SKIPPED = "skipped"
    FAILED = "failed"
    FAIL_WITHOUT_RETRY = "fail_without_retry"
    TIMED_OUT = "timed_out"
    UP_FOR_RESCHEDULE = "up_for_reschedule"
    DEFERRED = "deferred"
    AWAITING_INPUT = "awaiting_input"


_DIRECT = {
    Result.SUCCESS: TaskInstanceState.SUCCESS,
    Result.SKIPPED: TaskInstanceState.SKIPPED,
    Result.FAIL_WITHOUT_RETRY: TaskInstanceState.FAILED,
    Result.DEFERRED: TaskInstanceState.DEFERRED,
    Result.AWAITING_INPUT: TaskInstanceState.AWAITING_INPUT,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The state that a result leads to, and when the task instance may run again (None: not by itself)."""

    state: TaskInstanceState
    next_at: datetime | None = None


_VERDICTS = {result.value: Verdict(state=state) for result, state in _DIRECT.items()}


def decide(
    result: Result | str,
    *,
    task: TaskSpec,
    ti_id: int,
    try_number: int,
    max_tries: int,
    now: datetime,
    reschedule_at: datetime | None = None,
    retry_after: float | None = None,
) -> Verdict:
    """What `result` makes of the task instance; `now` is the end of the try, aware UTC.

    A failure is retried while `try_number` ≤ `max_tries`, as in Airflow: max_tries is the number of
    retries allowed beyond what a clear has already spent, and the first try has number 1.
    `retry_after` are the seconds that the task's retry policy chose instead of its delay.
    Raises ValueError for an unknown result.
    """
    direct = _VERDICTS.get(result)
    if direct is not None:
        return direct
    kind = Result(result)
    if kind is Result.UP_FOR_RESCHEDULE:
        return Verdict(state=TaskInstanceState.UP_FOR_RESCHEDULE, next_at=reschedule_at or now)
    if try_number <= max_tries:
        delay = retry_delay(task, ti_id=ti_id, try_number=try_number) if retry_after is None else retry_after
        return Verdict(state=TaskInstanceState.UP_FOR_RETRY, next_at=now + timedelta(seconds=delay))
    return Verdict(state=TaskInstanceState.FAILED)


def retry_delay(task: TaskSpec, *, ti_id: int, try_number: int) -> float:
    """Seconds to wait after try `try_number` (1 is the first) failed.

    With an exponential factor f the delay lies between d·f^(n−1) and twice that; where in between
    is fixed by a hash of the task instance and the try, so that many tasks that failed together do
    not come back together, and so that the same input gives the same answer (Airflow's rule).
    """
    delay = task.retry_delay
    factor = task.retry_exponential_backoff
    if factor and factor != 1.0:
        exponent = max(try_number - 1, 0)
        cap = min(task.max_retry_delay or LONGEST_RETRY_DELAY, LONGEST_RETRY_DELAY)
        # Compare logarithms first: a float power overflows long before anyone waits that long.
        if delay > 0 and math.log(delay) + exponent * math.log(factor) > math.log(cap):
            return cap
        floor = max(1, math.ceil(delay * factor**exponent))
        digest = hashlib.blake2b(f"{ti_id}#{try_number}".encode(), digest_size=8).digest()
        delay = min(float(floor + int.from_bytes(digest, "big") % floor), LONGEST_RETRY_DELAY)
    if task.max_retry_delay is not None:
        delay = min(delay, task.max_retry_delay)
    return delay
