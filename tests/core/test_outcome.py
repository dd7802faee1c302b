"""What a result makes of its task instance: retries, their delays, and their cap."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from dagdeck_core.outcome import LONGEST_RETRY_DELAY, Result, Verdict, decide, retry_delay
from dagdeck_core.spec import TaskSpec
from dagdeck_core.states import TaskInstanceState

NOW = datetime(2026, 1, 1, tzinfo=UTC)
S = TaskInstanceState


def task(**fields: object) -> TaskSpec:
    return TaskSpec(**{"task_id": "t", "task_type": "x", **fields})  # type: ignore[arg-type]


def verdict(result: Result | str, *, try_number: int = 1, max_tries: int = 0, **fields: object) -> Verdict:
    return decide(result, task=task(**fields), ti_id=7, try_number=try_number, max_tries=max_tries, now=NOW)


@pytest.mark.parametrize(
    ("result", "state"),
    [
        (Result.SUCCESS, S.SUCCESS),
        (Result.SKIPPED, S.SKIPPED),
        (Result.DEFERRED, S.DEFERRED),
        (Result.FAIL_WITHOUT_RETRY, S.FAILED),
    ],
)
def test_results_that_retries_do_not_touch(result: Result, state: TaskInstanceState) -> None:
    assert verdict(result, max_tries=5) == Verdict(state=state)


@pytest.mark.parametrize("result", [Result.FAILED, Result.TIMED_OUT, "failed"])
@pytest.mark.parametrize(
    ("try_number", "max_tries", "state"),
    [(1, 0, S.FAILED), (1, 1, S.UP_FOR_RETRY), (2, 1, S.FAILED), (3, 5, S.UP_FOR_RETRY), (6, 5, S.FAILED)],
)
def test_a_failure_is_retried_while_tries_are_left(
    result: Result | str, try_number: int, max_tries: int, state: TaskInstanceState
) -> None:
    found = verdict(result, try_number=try_number, max_tries=max_tries, retry_delay=60.0)
    assert found.state is state
    assert found.next_at == (NOW + timedelta(seconds=60) if state is S.UP_FOR_RETRY else None)


def test_a_reschedule_comes_back_when_it_asked_to_or_at_once() -> None:
    later = NOW + timedelta(seconds=5)
    spec = task()
    got = decide("up_for_reschedule", task=spec, ti_id=1, try_number=1, max_tries=0, now=NOW, reschedule_at=later)
    assert got == Verdict(state=S.UP_FOR_RESCHEDULE, next_at=later)
    assert verdict("up_for_reschedule").next_at == NOW


def test_an_unknown_result_is_refused() -> None:
    with pytest.raises(ValueError, match="exploded"):
        verdict("exploded")


# ---------------------------------------------------------------- delays


def test_a_constant_delay_is_constant_and_capped() -> None:
    assert [retry_delay(task(retry_delay=90.0), ti_id=1, try_number=n) for n in (1, 2, 9)] == [90.0] * 3
    assert retry_delay(task(retry_delay=90.0, max_retry_delay=10.0), ti_id=1, try_number=1) == 10.0
    assert retry_delay(task(retry_delay=90.0, retry_exponential_backoff=1.0), ti_id=1, try_number=7) == 90.0


@pytest.mark.parametrize("factor", [1.5, 2.0, 3.0])
def test_an_exponential_delay_lies_between_its_power_and_twice_that(factor: float) -> None:
    spec = task(retry_delay=10.0, retry_exponential_backoff=factor)
    for number in range(1, 8):
        low = 10.0 * factor ** (number - 1)
        assert low <= retry_delay(spec, ti_id=3, try_number=number) <= min(2 * (low + 1), LONGEST_RETRY_DELAY)


def test_tasks_that_failed_together_do_not_come_back_together() -> None:
    spec = task(retry_delay=100.0, retry_exponential_backoff=2.0)
    delays = {retry_delay(spec, ti_id=n, try_number=1) for n in range(200)}
    assert len(delays) > 50
    assert retry_delay(spec, ti_id=5, try_number=2) == retry_delay(spec, ti_id=5, try_number=2)


@pytest.mark.parametrize("number", [40, 2000, 10**6])
def test_large_tries_neither_overflow_nor_exceed_the_cap(number: int) -> None:
    spec = task(retry_delay=300.0, retry_exponential_backoff=2.0)
    assert retry_delay(spec, ti_id=1, try_number=number) == LONGEST_RETRY_DELAY
    capped = task(retry_delay=300.0, retry_exponential_backoff=2.0, max_retry_delay=900.0)
    assert retry_delay(capped, ti_id=1, try_number=number) == 900.0


def test_without_any_delay_a_backoff_still_waits_a_second() -> None:
    assert retry_delay(task(retry_delay=0.0, retry_exponential_backoff=2.0), ti_id=1, try_number=1) == 1.0
    assert retry_delay(task(retry_delay=0.0), ti_id=1, try_number=1) == 0.0


def test_a_retry_policy_s_delay_goes_before_the_task_s_own_but_gives_no_more_tries() -> None:
    task = TaskSpec(task_id="a", task_type="P", retries=1, retry_delay=99.0, max_retry_delay=50.0)
    retried = decide("failed", task=task, ti_id=1, try_number=1, max_tries=1, now=NOW, retry_after=7.0)
    assert retried.next_at == NOW + timedelta(seconds=7)
    last = decide("failed", task=task, ti_id=1, try_number=2, max_tries=1, now=NOW, retry_after=7.0)
    assert last.state is TaskInstanceState.FAILED
