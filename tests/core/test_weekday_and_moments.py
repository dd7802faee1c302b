"""Days of the week and moments: how they may be written, and what the branches and sensors make of them."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta, timezone
from typing import Any
from unittest.mock import Mock

import pendulum
import pytest

from dagdeck import DAG, moments
from dagdeck.context import Context
from dagdeck.operators.datetime import BranchDateTimeOperator, target_times_as_dates
from dagdeck.operators.weekday import BranchDayOfWeekOperator
from dagdeck.sensors.date_time import DateTimeSensor
from dagdeck.sensors.time import TimeSensor
from dagdeck.sensors.time_delta import TimeDeltaSensor, WaitSensor
from dagdeck.sensors.weekday import DayOfWeekSensor
from dagdeck.weekday import WeekDay
from dagdeck_core.errors import UserError


def local(hour: int) -> datetime:
    """That hour of the Wednesday, without a zone."""
    return datetime(2026, 3, 4, hour)  # noqa: DTZ001 - what it means is what is tested


NOON = datetime(2026, 3, 4, 12, tzinfo=UTC)  # a Wednesday


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The time as operators see it; changed by assigning to `at`."""
    found = Mock(at=NOON)
    monkeypatch.setattr(moments, "now", lambda: found.at)
    return found


def context(date: datetime | None = NOON, **values: Any) -> Context:
    """A run of that logical date."""
    run = Mock(run_after=pendulum.instance(NOON))
    dated = {"logical_date": pendulum.instance(date)} if date else {}
    return Context({"dag_run": run, "ti": Mock(start_date=pendulum.instance(NOON)), **dated, **values})


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("Monday", {1}),
        ("SUNDAY", {7}),
        (WeekDay.FRIDAY, {5}),
        ({"Saturday", "sunday"}, {6, 7}),
        ([WeekDay.TUESDAY, "Wednesday"], {2, 3}),
    ],
)
def test_days_may_be_written_in_many_ways(given: Any, expected: set[int]) -> None:
    assert WeekDay.validate_week_day(given) == expected


@pytest.mark.parametrize("given", ["Mondy", 3, None, ["Monday", 4]])
def test_what_is_no_day_is_refused(given: Any) -> None:
    with pytest.raises(UserError, match="day of the week"):
        WeekDay.validate_week_day(given)


@pytest.mark.parametrize(
    ("lower", "upper", "expected"),
    [
        (time(10), time(14), (10, 14, 0)),
        (time(14), time(10), (14, 10, 1)),
        (time(10), None, (10, None, 0)),
        (None, time(10), (None, 10, 0)),
        (local(9), time(10), (9, 10, 0)),
    ],
)
def test_times_of_day_become_that_days(lower: Any, upper: Any, expected: tuple[int | None, int | None, int]) -> None:
    first, last = target_times_as_dates(NOON, lower, upper)
    assert (first and first.hour, last and last.hour) == expected[:2]
    if last is not None:
        assert last.day == 4 + expected[2]


@pytest.mark.parametrize(
    ("lower", "upper", "zone", "chosen"),
    [
        (local(11), local(13), "UTC", "yes"),
        (local(12), local(12), "UTC", "yes"),
        (local(11), local(13), "Asia/Tokyo", "no"),
        (local(20), local(22), "Asia/Tokyo", "yes"),
        (pendulum.datetime(2026, 3, 4, 13), None, "UTC", "no"),
        (None, pendulum.datetime(2026, 3, 4, 11), "UTC", "no"),
        (None, pendulum.datetime(2026, 3, 4, 13), "UTC", "yes"),
        (time(22), time(2), "UTC", "no"),
        (time(10), time(2), "UTC", "yes"),
        (time(10, tzinfo=timezone(timedelta(hours=-5))), None, "UTC", "no"),
    ],
)
def test_branch_by_datetime(clock: Any, lower: Any, upper: Any, zone: str, chosen: str) -> None:
    with DAG("d", start_date=pendulum.datetime(2026, 1, 1, tz=zone)):
        branch = BranchDateTimeOperator(
            task_id="t",
            follow_task_ids_if_true="yes",
            follow_task_ids_if_false="no",
            target_lower=lower,
            target_upper=upper,
        )
        by_date = BranchDateTimeOperator(
            task_id="u",
            follow_task_ids_if_true="yes",
            follow_task_ids_if_false="no",
            target_lower=lower,
            target_upper=upper,
            use_task_logical_date=True,
        )
    assert branch.choose_branch(context(None)) == chosen
    clock.at = NOON + timedelta(days=100)
    assert by_date.choose_branch(context()) == chosen
    assert by_date.choose_branch(context(None)) == chosen, "without a logical date, run_after counts"


def test_a_branch_by_datetime_needs_a_bound() -> None:
    with pytest.raises(UserError, match="both are None"):
        BranchDateTimeOperator(
            task_id="t",
            follow_task_ids_if_true="a",
            follow_task_ids_if_false="b",
            target_lower=None,
            target_upper=None,
        )


def test_branch_and_sensor_by_day_of_week(clock: Any) -> None:
    clock.at = datetime(2026, 3, 4, 23, tzinfo=UTC)
    with DAG("d", start_date=pendulum.datetime(2026, 1, 1, tz="Asia/Tokyo")):
        options: dict[str, Any] = {"follow_task_ids_if_true": "yes", "follow_task_ids_if_false": "no"}
        local = BranchDayOfWeekOperator(task_id="a", week_day="Thursday", **options)
        dated = BranchDayOfWeekOperator(task_id="b", week_day={WeekDay.MONDAY}, use_task_logical_date=True, **options)
        sensor = DayOfWeekSensor(task_id="c", week_day="Wednesday")
        dated_sensor = DayOfWeekSensor(task_id="e", week_day=["Monday"], use_task_logical_date=True)
    monday = context(datetime(2026, 3, 2, tzinfo=UTC))
    assert local.choose_branch(monday) == "yes", "it is Thursday already in the DAG's zone"
    assert (dated.choose_branch(monday), dated.choose_branch(context())) == ("yes", "no")
    assert (sensor.poke(monday), dated_sensor.poke(monday), dated_sensor.poke(context())) == (True, True, False)


@pytest.mark.parametrize(
    ("target", "zone", "holds"),
    [
        ("2026-03-04T11:59:59", "UTC", True),
        ("2026-03-04T12:00:01+00:00", "UTC", False),
        ("2026-03-04T20:00:00", "Asia/Tokyo", True),
        ("2026-03-04 22:00", "Asia/Tokyo", False),
        (local(11), "UTC", True),
        (pendulum.datetime(2026, 3, 4, 13), "UTC", False),
    ],
)
def test_datetime_sensor(clock: Any, target: Any, zone: str, holds: bool) -> None:
    with DAG("d", start_date=pendulum.datetime(2026, 1, 1, tz=zone)):
        sensor = DateTimeSensor(task_id="t", target_time=target)
    assert sensor.poke(context()) is holds
    assert type(sensor.moment) is datetime


@pytest.mark.parametrize("target", ["soon", 5, None])
def test_datetime_sensor_refuses_what_is_no_date(target: Any) -> None:
    with pytest.raises(UserError, match="target_time"):
        DateTimeSensor(task_id="t", target_time=target).poke(context())


def test_time_sensor_means_the_day_on_which_the_try_began(clock: Any) -> None:
    with DAG("d", start_date=pendulum.datetime(2026, 1, 1, tz="Asia/Tokyo")):
        sensor = TimeSensor(task_id="t", target_time=time(22, 30), mode="reschedule")
    assert sensor.target_datetime == datetime(2026, 3, 4, 13, 30, tzinfo=UTC)
    assert sensor.poke(context()) is False
    clock.at = datetime(2026, 3, 4, 16, tzinfo=UTC)
    assert sensor.poke(context()) is True, "it is the next day in the DAG's zone, but the time has come"


def test_time_delta_and_wait(clock: Any) -> None:
    sensor = TimeDeltaSensor(task_id="t", delta=timedelta(hours=1))
    run = context(data_interval_end=pendulum.instance(NOON - timedelta(hours=2)))
    assert sensor.poke(run) is True
    assert sensor.poke(context()) is False, "without an interval it counts from run_after"
    wait = WaitSensor(task_id="w", time_to_wait=2)
    assert (wait.time_to_wait, wait.poke(context()), wait.pause_after(1)) == (timedelta(minutes=2), False, 60)
    clock.at = NOON + timedelta(minutes=2)
    assert wait.poke(context()) is True
