"""What the machine counts of its own work."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dagdeck_core.measures import Histogram
from dagdeck_core.scheduling.events import DagDue
from dagdeck_core.states import TaskInstanceState
from dagdeck_core.timetables import CronDataIntervalSpec
from tests.core.machine_driver import START, Driver, dag

S = TaskInstanceState


def driver_of(*lines: str) -> Driver:
    driver = Driver(dag("d", *lines))
    driver.put_worker(1)
    driver.settle(driver.workers_seen())
    return driver


def test_moves_of_tasks_and_runs_are_counted_by_the_state_they_take() -> None:
    driver = driver_of("a", "b < a")
    driver.trigger()
    driver.run_task("r.a")
    driver.end("r.a", S.FAILED)
    figures = driver.machine.figures()
    assert {state: n for state, n in figures.task_moves.items() if n} == {
        "queued": 1,
        "running": 1,
        "failed": 1,
        "upstream_failed": 1,
    }
    assert figures.run_moves == {"queued": 1, "running": 1, "success": 0, "failed": 1}
    assert (figures.run_durations["failed"].count, figures.run_durations["success"].count) == (1, 0)


def test_a_run_s_duration_is_from_its_start_to_its_end() -> None:
    driver = driver_of("a")
    driver.trigger()
    driver.run_task("r.a")
    driver.now += timedelta(seconds=40)
    driver.end("r.a")
    assert driver.machine.figures().run_durations["success"].total == pytest.approx(40)


def test_the_latency_is_that_until_the_worker_was_heard_whichever_way() -> None:
    driver = driver_of("a", "b")
    driver.trigger()
    driver.now += timedelta(seconds=2)
    driver.run_task("r.a")
    assert driver.machine.figures().dispatch_latency.total == pytest.approx(2, abs=0.01)
    # Of b's claim nothing is heard: its end says how long it ran.
    driver.now += timedelta(seconds=6)
    driver.settle(driver.finished("r.b", S.SUCCESS, duration=5.0))
    latency = driver.machine.figures().dispatch_latency
    assert latency.count == 2
    assert latency.total == pytest.approx(2 + 8 - 5, abs=0.01)


def test_the_same_report_twice_counts_once() -> None:
    driver = driver_of("a", "b < a")
    driver.trigger()
    driver.run_task("r.a")
    told = driver.finished("r.a")
    driver.settle(told, told)
    figures = driver.machine.figures()
    assert (figures.task_moves["success"], figures.dispatch_latency.count) == (1, 1)


def test_ends_that_nobody_reported_count_when_the_run_is_read_again() -> None:
    driver = driver_of("a", "b < a")
    driver.trigger()
    driver.run_task("r.a")
    driver.finished("r.a")  # committed, and its report is lost
    driver.settle(*driver.loaded(driver.run().run_key))
    assert driver.machine.figures().task_moves["success"] == 1


def test_the_delay_of_a_schedule_s_run() -> None:
    driver = Driver(dag("d", "a", timetable=CronDataIntervalSpec(cron="0 * * * *"), start_date=START))
    driver.now += timedelta(hours=1, seconds=7)
    driver.settle(DagDue(dag_id="d"))
    delay = driver.machine.figures().schedule_delay
    assert delay.count == 1
    assert delay.total == pytest.approx(7)


def test_a_lost_worker_is_counted() -> None:
    driver = driver_of("a")
    for _ in range(8):
        driver.seen(4.0)
    assert driver.machine.figures().workers_lost == 1


@given(st.lists(st.floats(-5, 50)), st.lists(st.floats(0, 10), min_size=1, unique=True).map(sorted))
def test_a_histogram_s_places_are_the_values_up_to_each_bound(values: list[float], bounds: list[float]) -> None:
    histogram = Histogram.over(tuple(bounds))
    for value in values:
        histogram.observe(value)
    seen = 0
    for bound, number in zip(bounds, histogram.counts, strict=False):
        seen += number
        assert seen == sum(max(value, 0.0) <= bound for value in values)
    assert histogram.count == len(values)
