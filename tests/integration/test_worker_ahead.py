"""Tasks sent ahead: nothing waits behind a task that lasts, asks, dies or leaves something behind.

Decides that each such task ends as it would alone, and that everything behind it still runs once.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import psutil
import pytest

from dagdeck_core.states import TaskInstanceState
from dagdeck_worker.ahead import SentAhead
from tests.integration.test_worker import Bench, make_bench
from tests.integration.worker_twins import Row

__all__ = ["make_bench"]
_S = TaskInstanceState


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows by one for each task that goes on without being sent by itself."""
    going_on: list[int] = []
    original = SentAhead.next

    def counted(self: SentAhead, runner_id: int) -> Any:
        dispatch = original(self, runner_id)
        if dispatch is not None:
            going_on.append(runner_id)
        return dispatch

    monkeypatch.setattr(SentAhead, "next", counted)
    return going_on


def _warm(bench: Bench) -> None:
    """Have the worker learn that the DAG's tasks are short."""
    pairs = [bench.database.add("say", text="warm") for _ in range(60)]
    for start in range(0, 60, 15):
        bench.offer(*pairs[start : start + 15])
    bench.until(lambda: all(row.state is _S.SUCCESS for row in bench.database.rows.values()), "warm")


def _after(bench: Bench, task_id: str, **conf: Any) -> tuple[Row, list[Row]]:
    """One hint that names `task_id` first and ten short tasks behind it."""
    pairs = [bench.database.add(task_id, **conf), *(bench.database.add("say", text=f"no {n}") for n in range(10))]
    bench.offer(*pairs)
    first, *rest = [bench.database.rows[ti_id] for ti_id, _ in pairs]
    return first, rest


def _all_said(bench: Bench, rows: list[Row]) -> None:
    bench.until(lambda: all(row.state is _S.SUCCESS for row in rows), "all behind it succeed")
    assert {row.claims for row in rows} == {1}
    assert [bench.database.log_text(row.ti_id) for row in rows] == [f"no {n}\n" for n in range(10)]


def test_short_tasks_go_on_without_being_sent_one_by_one(make_bench: Callable[..., Bench], sent: list[int]) -> None:
    bench = make_bench(slots=2)
    _warm(bench)
    pairs = [bench.database.add("say", text=str(number)) for number in range(200)]
    for start in range(0, 200, 16):
        bench.offer(*pairs[start : start + 16])
    bench.until(lambda: all(row.state is _S.SUCCESS for row in bench.database.rows.values()), "all succeed")
    assert [bench.database.log_text(ti_id) for ti_id, _ in pairs] == [f"{number}\n" for number in range(200)]
    assert len(sent) > 50


def test_nothing_waits_behind_a_task_that_turns_out_long(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench(slots=2)
    _warm(bench)
    first, rest = _after(bench, "sleep", seconds=8)
    _all_said(bench, rest)
    assert first.state is _S.RUNNING
    bench.await_state(first, _S.SUCCESS)


def test_what_stood_behind_a_task_that_dies_runs_elsewhere(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench(slots=2)
    _warm(bench)
    first, rest = _after(bench, "exit", code=3)
    _all_said(bench, rest)
    bench.await_state(first, _S.FAILED)
    assert first.finish is not None
    assert "exited with code 3" in (first.finish.error or "")


def test_what_stood_behind_a_task_that_leaves_a_thread_runs_elsewhere(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench(slots=2)
    _warm(bench)
    first, rest = _after(bench, "leave_thread")
    _all_said(bench, rest)
    bench.await_state(first, _S.SUCCESS)
    assert "left behind" in bench.database.log_text(first.ti_id)


def test_a_task_that_asks_gives_back_what_stands_behind_it(make_bench: Callable[..., Bench], sent: list[int]) -> None:
    bench = make_bench(slots=2)
    bench.database.variables["v"] = "x" * 200_000
    _warm(bench)
    first, rest = _after(bench, "ask", method="variable_get", arguments={"key": "v"})
    bench.await_state(first, _S.SUCCESS)
    _all_said(bench, rest)
    # From now on nothing of this DAG is sent ahead.
    sent.clear()
    time.sleep(0.05)
    _, rest = _after(bench, "say", text="more")
    _all_said(bench, rest)
    assert not sent


def test_revoking_a_task_spares_what_stands_behind_it(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench(slots=1, lease_timeout=2)
    _warm(bench)
    first, rest = _after(bench, "ignore_sigterm")
    bench.await_state(first, _S.RUNNING)
    first.revoke_to = _S.FAILED
    bench.await_state(first, _S.FAILED)
    bench.until(lambda: all(row.state in (_S.SUCCESS, _S.UP_FOR_RESCHEDULE) for row in rest), "all behind it go on")
    assert not [row for row in rest if row.finish is not None and row.finish.revoked]


def test_runners_that_get_no_time_for_a_while_lose_nothing(make_bench: Callable[..., Bench]) -> None:
    """Such a runner has not even taken the task that it is to begin with, let alone what stands behind that."""
    bench = make_bench(slots=2)
    _warm(bench)
    runners = psutil.Process(bench.host.keeper_pid).children()
    pairs = [bench.database.add("say", text=f"no {number}") for number in range(40)]
    for runner in runners:
        runner.suspend()
    try:
        for start in range(0, 40, 10):
            bench.offer(*pairs[start : start + 10])
        time.sleep(1)  # as long as makes the worker take back what it has sent ahead
    finally:
        for runner in runners:
            runner.resume()
    rows = [bench.database.rows[ti_id] for ti_id, _ in pairs]
    bench.until(lambda: all(row.state is _S.SUCCESS for row in rows), "all succeed")
    assert [bench.database.log_text(row.ti_id) for row in rows] == [f"no {n}\n" for n in range(40)]
