"""Deferred task instances: events, ends, timeouts, pools, and people who act on what waits."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from dagdeck_core.actions import PutPool
from dagdeck_core.records import PoolRecord
from dagdeck_core.scheduling.decisions import DropTriggerEvents
from dagdeck_core.scheduling.events import PoolsLoaded, TriggersFired
from dagdeck_core.spec import StartTriggerSpec
from dagdeck_core.states import DagRunState, TaskInstanceState
from dagdeck_core.wire import FiredTrigger
from dagdeck_core.work import TaskCallback
from tests.core.machine_driver import START, Driver, dag, tasks
from tests.simulation.database import fire

S = TaskInstanceState


def waiting(*lines: str, slots: int = 16, timeout: float | None = None, **options: Any) -> Driver:
    """A run whose task `a` is deferred."""
    driver = Driver(dag("d", specs=tasks(*(lines or ("a", "b < a")), **options)), slots=slots)
    driver.trigger()
    next_at = None if timeout is None else driver.now + timedelta(seconds=timeout)
    driver.end("r.a", S.DEFERRED, next_at=next_at)
    return driver


def stored(driver: Driver, name: str = "r.a", outcome: str = "resume", event_id: int = 1) -> FiredTrigger:
    """The trigger of a deferred task instance fires: what is stored."""
    row = driver.row(name)
    trigger = driver.db.triggers[row.dispatch_no]
    event = fire(driver.db, trigger.worker_id, trigger, event_id, outcome)  # type: ignore[arg-type]
    assert event is not None
    return event


def told(*items: FiredTrigger, from_rows: bool = False) -> TriggersFired:
    return TriggersFired(items=items, stored=from_rows)


def test_an_event_brings_its_task_on_in_the_same_try() -> None:
    driver = waiting()
    before = driver.row("r.a")
    assert driver.settle(told(stored(driver))) == ["r.a deferred→queued try 1", "offer default: r.a"]
    assert driver.row("r.a").dispatch_no > before.dispatch_no
    assert (driver.db.triggers, driver.db.trigger_events) == ({}, {})
    assert driver.end("r.a") == ["r.b none→queued try 1", "offer default: r.b"]


def test_the_same_event_twice_changes_nothing() -> None:
    driver = waiting()
    event = stored(driver)
    driver.settle(told(event), told(event, from_rows=True))
    assert driver.settle(told(event)) == []
    decisions = driver.machine.step(driver.now, [told(event, from_rows=True)])
    assert decisions == [DropTriggerEvents(event_ids=(1,))], "it was read, and has no effect any more"


@pytest.mark.parametrize(
    ("outcome", "state", "after", "run"),
    [
        ("success", "success", "queued", "running"),
        ("failed", "failed", "upstream_failed", "failed"),
        ("skipped", "skipped", "skipped", "success"),
    ],
)
def test_an_event_may_end_its_task(outcome: str, state: str, after: str, run: str) -> None:
    driver = waiting()
    driver.settle(told(stored(driver, outcome=outcome)))
    assert driver.states() == {"a": state, "b": after}
    assert driver.run().state == run


def test_a_failure_by_a_trigger_is_one_for_fail_fast() -> None:
    driver = Driver(dag("d", specs=tasks("a", "b"), fail_fast=True))
    driver.trigger()
    driver.end("r.a", S.DEFERRED)
    driver.settle(told(stored(driver, outcome="failed")))
    assert driver.states() == {"a": "failed", "b": "skipped"}


def test_who_waits_too_long_goes_on_to_fail() -> None:
    driver = waiting(timeout=30)
    assert driver.wait(29) == []
    assert driver.wait(1)[1:] == ["r.a deferred→queued try 1", "offer default: r.a"]
    assert driver.db.next_methods[driver.row("r.a").ti_id] == "timeout"
    assert driver.db.triggers == {}


def test_an_event_that_came_in_time_counts_though_it_is_told_late() -> None:
    driver = waiting(timeout=30)
    event = stored(driver)
    driver.wait(30)
    assert driver.db.next_methods[driver.row("r.a").ti_id] == "event"
    assert driver.settle(told(event)) == []


def test_a_timeout_holds_after_a_failover() -> None:
    driver = waiting(timeout=30)
    driver.settle(*driver.loaded(driver.run().run_key))
    assert driver.wait(30)[1:] == ["r.a deferred→queued try 1", "offer default: r.a"]


def test_an_event_that_was_not_told_is_found_after_a_failover() -> None:
    driver = waiting()
    event = stored(driver)
    driver.settle(*driver.loaded(driver.run().run_key))
    assert driver.machine.has_deferred
    assert driver.settle(told(event, from_rows=True)) == ["r.a deferred→queued try 1", "offer default: r.a"]
    assert not driver.machine.has_deferred


def test_an_event_before_the_news_of_the_deferral_has_the_run_read_again() -> None:
    driver = Driver(dag("d", specs=tasks("a")))
    driver.trigger()
    driver.run_task("r.a")
    driver.finished("r.a", S.DEFERRED)  # committed, and its report is lost
    event = stored(driver)
    driver.machine.step(driver.now, [told(event, from_rows=True)])
    assert driver.machine.take_reload_wanted() == [driver.run().run_key]
    driver.settle(*driver.loaded(driver.run().run_key))
    assert driver.settle(told(event, from_rows=True)) == ["r.a deferred→queued try 1", "offer default: r.a"]


@pytest.mark.parametrize("counted", [True, False])
def test_a_pool_that_counts_who_waits_has_room_for_it_to_go_on(counted: bool) -> None:
    driver = Driver(dag("d", specs=tasks("a", "b", a={"pool": "p"}, b={"pool": "p"})))
    driver.db.pools["p"] = PoolRecord(name="p", slots=1, include_deferred=counted)
    driver.settle(PoolsLoaded(pools=tuple(driver.db.pools.values())))
    driver.trigger()
    driver.end("r.a", S.DEFERRED)
    assert driver.states()["b"] == ("scheduled" if counted else "queued")
    driver.settle(told(stored(driver)))
    # Where it held the slot, it competes for it with the other one; where not, it waits for the one that has it.
    states = driver.states()
    assert sorted(states.values()) == ["queued", "scheduled"]
    for name in ("a", "b", "a", "b"):
        if driver.states()[name] == "queued":
            driver.end(f"r.{name}")
    assert driver.run().state is DagRunState.SUCCESS


def test_a_pool_may_begin_to_count_while_a_task_competes() -> None:
    driver = Driver(dag("d", specs=tasks("a", "b", a={"pool": "p"}, b={"pool": "p"})))
    driver.db.pools["p"] = PoolRecord(name="p", slots=1)
    driver.settle(PoolsLoaded(pools=tuple(driver.db.pools.values())))
    driver.trigger()
    driver.end("r.a", S.DEFERRED)
    driver.settle(told(stored(driver)))
    driver.act(PutPool(name="p", slots=1, include_deferred=True))
    driver.end("r.b")
    driver.wait(10)
    assert driver.states()["a"] == "queued"


def test_a_paused_dag_lets_no_one_go_on() -> None:
    driver = waiting()
    driver.pause()
    driver.settle(told(stored(driver)))
    driver.wait(1)
    assert driver.states()["a"] in ("deferred", "scheduled")
    driver.pause(False)
    driver.wait(1)
    assert driver.states()["a"] == "queued"


def test_a_clear_or_mark_ends_the_waiting() -> None:
    driver = waiting()
    old = driver.row("r.a")
    driver.clear("r.a")
    assert driver.states()["a"] == "queued"
    assert driver.row("r.a").dispatch_no > old.dispatch_no
    assert driver.db.triggers == {}
    late = FiredTrigger(9, old.run_key, old.ti_id, old.dispatch_no, "resume")
    assert driver.settle(told(late)) == []
    driver.end("r.a", S.DEFERRED)
    driver.mark(S.SUCCESS, "r.a")
    assert (driver.states()["a"], driver.db.triggers) == ("success", {})


def test_a_run_that_is_ended_ends_who_waits() -> None:
    driver = waiting()
    event = stored(driver)
    driver.mark_run(DagRunState.FAILED)
    assert driver.states() == {"a": "skipped", "b": "skipped"}
    assert driver.settle(told(event)) == []
    assert (driver.db.triggers, driver.db.trigger_events) == ({}, {})


def test_events_of_runs_that_are_gone_are_dropped() -> None:
    driver = waiting()
    strange = FiredTrigger(5, 12345, 6, 7, "resume")
    assert driver.machine.step(driver.now, [told(strange)]) == []
    assert driver.machine.step(driver.now, [told(strange, from_rows=True)]) == [DropTriggerEvents(event_ids=(5,))]


def test_a_run_with_who_waits_is_not_stuck() -> None:
    driver = waiting("a", "b < a")
    driver.wait(3600)
    assert driver.run().state is DagRunState.RUNNING
    assert driver.now > START


def test_many_ends_at_once_are_written_in_parts() -> None:
    names = [f"t{number}" for number in range(30)]
    driver = Driver(dag("d", specs=tasks(*names), max_active_tasks=64), slots=64, max_rows=20)
    driver.trigger()
    for name in names:
        driver.end(f"r.{name}", S.DEFERRED)
    events = [stored(driver, f"r.{name}", "success", number) for number, name in enumerate(names, start=1)]
    driver.settle(told(*events))
    assert set(driver.states().values()) == {"success"}
    assert driver.run().state is DagRunState.SUCCESS


def test_the_callback_of_a_task_that_its_trigger_failed_is_called_for_it() -> None:
    driver = Driver(dag("d", specs=tasks("a", a={"has_on_failure_callback": True})))
    driver.trigger()
    driver.end("r.a", S.DEFERRED)
    driver.settle(told(stored(driver, outcome="failed")))
    assert [type(work.order).__name__ for work in driver.db.works.values()] == ["TaskCallback"]


# ---------------------------------------------------------------- tasks that begin in a trigger


def starting(*lines: str, timeout: float | None = None, slots: int = 16, **options: Any) -> Driver:
    """A run whose task `a` begins in its trigger."""
    start = StartTriggerSpec(classpath="x.Trigger", kwargs="{}", next_method="go_on", timeout=timeout)
    changes = {"start_trigger": start, **options}
    driver = Driver(dag("d", specs=tasks(*(lines or ("a", "b < a")), a=changes)), slots=slots)
    driver.trigger()
    return driver


def test_a_task_that_begins_in_its_trigger_needs_no_slot_before_that_fires() -> None:
    driver = starting("a", "b", "c", slots=1)
    assert driver.states() == {"a": "deferred", "b": "queued", "c": "scheduled"}
    assert driver.row("r.a").try_number == 1
    assert [trigger.dispatch_no for trigger in driver.db.triggers.values()] == [driver.row("r.a").dispatch_no]
    driver.end("r.b")
    driver.end("r.c")
    assert driver.settle(told(stored(driver))) == ["r.a deferred→queued try 1", "offer default: r.a"]
    driver.end("r.a")
    assert driver.run().state is DagRunState.SUCCESS


def test_it_waits_for_its_trigger_rule_and_while_its_dag_is_paused() -> None:
    driver = starting("b", "a < b")
    assert driver.states() == {"a": "none", "b": "queued"}
    driver.pause()
    driver.end("r.b")
    assert driver.states()["a"] == "none"
    driver.pause(False)
    assert driver.states()["a"] == "deferred"


def test_a_retry_begins_in_the_trigger_again() -> None:
    driver = starting("a", retries=1)
    driver.settle(told(stored(driver)))
    driver.end("r.a", S.UP_FOR_RETRY, next_at=driver.now + timedelta(seconds=5))
    driver.wait(6)
    row = driver.row("r.a")
    assert (row.state, row.try_number) == (S.DEFERRED, 2)
    assert [trigger.dispatch_no for trigger in driver.db.triggers.values()] == [row.dispatch_no]


def test_it_too_can_wait_too_long_and_be_cleared() -> None:
    driver = starting("a", timeout=30)
    driver.wait(31)
    assert driver.row("r.a").state is S.QUEUED
    assert driver.db.next_methods[driver.row("r.a").ti_id] == "timeout"
    driver.clear("r.a")
    assert driver.row("r.a").state is S.DEFERRED, "it begins anew"
    driver.clear("r.a")
    assert len(driver.db.triggers) == 1


@pytest.mark.parametrize(
    ("outcome", "callback", "called"),
    [
        ("success", "on_success_callback", 1),
        ("skipped", "on_skipped_callback", 1),
        ("failed", "on_failure_callback", 1),
        ("success", "on_failure_callback", 0),
        ("resume", "on_success_callback", 0),
    ],
)
def test_the_end_by_a_trigger_is_told_to_callbacks(outcome: str, callback: str, called: int) -> None:
    driver = waiting("a", a={f"has_{callback}": True})
    driver.settle(told(stored(driver, outcome=outcome)))
    orders = [work.order for work in driver.db.works.values() if isinstance(work.order, TaskCallback)]
    assert [order.names for order in orders] == [(callback,)] * called
    if called:
        assert orders[0].task.state == driver.states()["a"]
