"""When a waiting task instance is written as scheduled: not for moments, and not in the way of releases."""

from __future__ import annotations

from datetime import timedelta

from dagdeck_core.states import TaskInstanceState
from tests.core.machine_driver import START, Driver, dag, tasks

_S = TaskInstanceState


def waiting(*lines: str) -> Driver:
    """A DAG on a worker with one slot, triggered; marks are put off."""
    driver = Driver(dag("d", specs=tasks(*lines)), slots=1, mark_after=0.5)
    driver.trigger()
    assert driver.row("r.a").state is _S.QUEUED
    return driver


def test_what_is_released_within_moments_goes_from_none_to_queued() -> None:
    driver = waiting("a", "b")
    assert driver.wait(0.4) == []
    assert "r.b none→queued try 1" in driver.end("r.a")


def test_what_waits_is_marked_and_the_machine_asks_to_be_woken_for_it() -> None:
    driver = waiting("a", "b")
    assert driver.machine.next_wakeup == START + timedelta(seconds=0.5)
    assert driver.wait(0.49) == []
    assert driver.wait(0.01) == ["r.b none→scheduled try 1"]
    assert driver.machine.next_wakeup is not None
    assert driver.machine.next_wakeup > driver.now
    assert "r.b scheduled→queued try 1" in driver.end("r.a")


def test_marks_give_way_to_releases_that_go_on_but_not_for_ever() -> None:
    names = [chr(ord("a") + number) for number in range(25)]
    driver = waiting(*names)
    told: list[str] = []
    for name in names[:20]:
        # A release every 0.2 s leaves no pause of 0.25 s.
        told += driver.wait(0.2)
        assert driver.machine.next_wakeup is not None
        assert driver.machine.next_wakeup > driver.now
        told += driver.end(f"r.{name}")
    assert not [line for line in told if "scheduled" in line]
    assert driver.wait(0.2) == []
    # 4.2 s after the trigger; a pause marks them, and so would five seconds.
    assert driver.wait(0.05) == [f"r.{name} none→scheduled try 1" for name in names[21:]]


def test_after_ten_times_the_wait_it_is_marked_in_any_case() -> None:
    names = [chr(ord("a") + number) for number in range(26)]
    driver = waiting(*names)
    told: list[str] = []
    for name in names[:25]:
        told = driver.wait(0.2)
        if told:
            break
        driver.end(f"r.{name}")
    assert driver.now == START + timedelta(seconds=5)
    assert told == ["r.z none→scheduled try 1"]


def test_a_candidate_that_is_none_any_more_is_not_marked() -> None:
    specs = tasks("a", "u", "b < u", a={"priority_weight": 9})
    driver = Driver(dag("d", specs=specs), slots=1, mark_after=0.5)
    driver.trigger()
    assert driver.row("r.a").state is _S.QUEUED
    driver.mark(_S.SUCCESS, "r.u")
    driver.wait(0.3)
    driver.clear("r.u")
    # b was a candidate for a moment, and waits for u again, which is one since the clear.
    assert driver.wait(0.3) == []
    assert driver.wait(0.2) == ["r.u none→scheduled try 1"]


def test_a_mark_counts_the_try_once() -> None:
    driver = waiting("a", "b")
    driver.wait(0.5)
    assert driver.row("r.b").try_number == 1
    driver.end("r.a")
    assert driver.row("r.b").try_number == 1
