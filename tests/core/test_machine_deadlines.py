"""Deadlines in the machine: set with the run, met, missed, counted anew."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from dagdeck_core.actions import DeleteDagRun
from dagdeck_core.scheduling.events import DispatchesFinished, Tick
from dagdeck_core.spec import DeadlineSpec, ReferencePoint
from dagdeck_core.states import DagRunState, TaskInstanceState
from dagdeck_core.wire import FinishedDispatch
from dagdeck_core.work import DeadlineCallback, DeadlineMoment, WorkState, hint_id
from tests.core.machine_driver import START, Driver, dag
from tests.simulation.database import claim_work, finish_work

S = TaskInstanceState
R = ReferencePoint


def due(reference: ReferencePoint = R.QUEUED_AT, interval: float | None = 60.0, **fields: Any) -> DeadlineSpec:
    """A deadline."""
    return DeadlineSpec(
        reference=reference, interval=interval, callback="alerts.page", kwargs={"whom": "ann"}, **fields
    )


def driver_of(*deadlines: DeadlineSpec) -> Driver:
    """A cluster with one DAG with these deadlines."""
    return Driver(dag("d", "a", deadlines=deadlines))


def moments(driver: Driver) -> list[float]:
    """Seconds from the start to each pending deadline."""
    pending = [each for key, each in driver.db.deadlines.items() if key not in driver.db.missed]
    return [(each.at - START).total_seconds() for each in pending]


@pytest.mark.parametrize(
    ("spec", "date", "expected"),
    [
        (due(), None, [60]),
        (due(R.LOGICAL_DATE), START - timedelta(seconds=20), [40]),
        (due(R.LOGICAL_DATE), None, []),
        (due(R.FIXED, at=START + timedelta(seconds=5)), None, [65]),
    ],
)
def test_what_a_deadline_is_counted_from(spec: DeadlineSpec, date: Any, expected: list[float]) -> None:
    driver = driver_of(spec)
    told = driver.trigger(logical_date=date)
    assert moments(driver) == expected
    created = next(step for step in driver.steps if any(type(each).__name__ == "CreateRun" for each in step))
    assert any(type(each).__name__ == "CreateDeadline" for each in created) is bool(expected), told


def test_a_run_that_ends_well_in_time_has_no_deadline_any_more() -> None:
    driver = driver_of(due(), due(interval=90.0))
    driver.trigger()
    assert "deadlines taken away 2" in driver.end("r.a")
    assert driver.wait(1000) == []


def test_a_missed_deadline_calls_its_callback_once() -> None:
    driver = driver_of(due(name="slow"))
    driver.trigger()
    driver.run_task("r.a")
    assert driver.wait(59) == []
    told = driver.wait(1)
    assert told[:2] == ["work DeadlineCallback d", "deadline missed"]
    (work,) = driver.db.works.values()
    assert isinstance(work.order, DeadlineCallback)
    assert (work.order.path, work.order.kwargs, work.order.name) == ("alerts.page", {"whom": "ann"}, "slow")
    assert driver.db.missed == {work.order.deadline_id: work.work_id}
    driver.end("r.a")
    driver.fail_over()
    assert len(driver.db.works) == 1


def test_a_failed_run_still_misses_its_deadline() -> None:
    driver = driver_of(due())
    driver.trigger()
    driver.end("r.a", S.FAILED)
    assert "deadline missed" in driver.wait(61)


def test_a_run_that_is_queued_again_is_given_its_time_anew() -> None:
    driver = driver_of(due(), due(R.FIXED, at=START))
    driver.trigger()
    driver.wait(30)
    driver.end("r.a", S.FAILED)
    driver.clear("r.a")
    assert sorted(moments(driver)) == [60, 90]


def test_deadlines_survive_a_failover() -> None:
    driver = driver_of(due())
    driver.trigger()
    driver.wait(30)
    driver.fail_over()
    assert "deadline missed" in driver.wait(31)


def test_one_that_passed_while_nobody_led_is_missed_at_once() -> None:
    driver = driver_of(due())
    driver.trigger()
    driver.now += timedelta(seconds=500)
    assert "deadline missed" in driver.fail_over()


def test_a_run_marked_as_success_has_met_it_and_a_deleted_one_has_none() -> None:
    driver = driver_of(due())
    driver.trigger()
    assert "deadlines taken away 1" in driver.mark_run(DagRunState.SUCCESS)
    driver.trigger("s")
    driver.mark_run(DagRunState.FAILED, "s")
    driver.act(DeleteDagRun(run_key=driver.run("s").run_key))
    assert driver.db.deadlines == {}
    assert driver.wait(100) == []


def test_an_average_counts_once_there_are_enough_runs() -> None:
    driver = driver_of(due(R.AVERAGE_RUNTIME, max_runs=2, min_runs=2))
    for number in range(3):
        driver.trigger(f"r{number}")
        assert moments(driver) == ([] if number < 2 else [65]), "5 s on average"
        driver.end(f"r{number}.a")


def averaged(**fields: Any) -> Driver:
    """A DAG with enough past runs for an average, whose next run is created but not looked up."""
    driver = driver_of(due(R.AVERAGE_RUNTIME, max_runs=2, min_runs=1, **fields))
    driver.trigger("before")
    driver.end("before.a")
    real = driver.machine.averages_wanted
    driver.machine.averages_wanted = list  # type: ignore[method-assign]
    driver.trigger("r")
    driver.machine.averages_wanted = real  # type: ignore[method-assign]
    assert moments(driver) == []
    return driver


def test_an_average_that_a_dead_leader_had_no_time_for_is_looked_up_by_the_next() -> None:
    driver = averaged()
    driver.fail_over()
    assert moments(driver) == [65]
    driver.fail_over()
    assert moments(driver) == [65], "it is set once"
    assert "deadline missed" in driver.wait(66)
    driver.fail_over()
    assert len(driver.db.deadlines) == 1, "one that was missed is not set again"


def test_an_average_whose_commit_failed_is_looked_up_again() -> None:
    driver = averaged()
    driver.settle(Tick())
    (deadline_id,) = driver.db.deadlines
    driver.db.put(driver.db.deadlines, deadline_id, None)
    driver.recover(driver.steps[-1])
    assert moments(driver) == [65]


def test_an_average_with_an_interval_that_a_variable_holds() -> None:
    driver = averaged(interval=None)
    driver.fail_over()
    (work,) = driver.db.works.values()
    assert work.order == DeadlineMoment(number=0, queued_at=START, since=START + timedelta(seconds=5))
    driver.fail_over()
    assert len(driver.db.works) == 1, "it is asked once"


@pytest.mark.parametrize("spec", [due(R.CUSTOM), due(R.QUEUED_AT, None)])
def test_what_only_user_code_knows_is_asked(spec: DeadlineSpec) -> None:
    driver = driver_of(spec)
    assert "work DeadlineMoment d" in driver.trigger()
    (work,) = driver.db.works.values()
    assert work.order == DeadlineMoment(number=0, queued_at=START)
    claim_work(driver.db, 1, hint_id(work.work_id), work.dispatch_no)
    at = START + timedelta(seconds=7)
    finish_work(driver.db, hint_id(work.work_id), work.dispatch_no, WorkState.SUCCESS, at.isoformat())
    told = FinishedDispatch(work.run_key, hint_id(work.work_id), work.dispatch_no, S.SUCCESS)
    driver.settle(DispatchesFinished(worker_id=1, finished=(told,)))
    assert moments(driver) == [7]
    assert "deadline missed" in driver.wait(8)


def test_a_commit_whose_fate_is_unknown_loses_no_deadline() -> None:
    driver = driver_of(due())
    driver.trigger()
    driver.recover(driver.steps[-2] + driver.steps[-1])
    assert moments(driver) == [60]
    assert "deadline missed" in driver.wait(61)
