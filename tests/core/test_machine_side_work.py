"""Callbacks in the machine: made in the step that ends something, offered, lost, settled."""

from __future__ import annotations

from typing import Any

import pytest

from dagdeck_core.actions import DeleteDagRun
from dagdeck_core.records import WorkerState
from dagdeck_core.scheduling.events import DispatchesClaimed, DispatchesFinished, QueueSwitched, WorkLoaded
from dagdeck_core.states import DagRunState, TaskInstanceState
from dagdeck_core.wire import FinishedDispatch
from dagdeck_core.work import RunBegun, RunCallback, TaskCallback, TaskFacts, WorkRecord, WorkState, hint_id
from tests.core.machine_driver import Driver, dag, tasks
from tests.simulation.database import claim_work, finish_work

S = TaskInstanceState
FAILED = ("on_failure_callback", "on_success_callback")
TOLD: dict[str, Any] = {f"has_{name}": True for name in FAILED}


def only_work(driver: Driver) -> WorkRecord:
    """The only piece of work that is not settled."""
    (record,) = (work for key, work in driver.db.works.items() if key not in driver.db.settled)
    return record


def claimed(driver: Driver, worker_id: int = 1) -> list[str]:
    """A worker claims it, and the machine hears of it."""
    record = only_work(driver)
    assert claim_work(driver.db, worker_id, hint_id(record.work_id), record.dispatch_no) is not None
    return driver.settle(
        DispatchesClaimed(
            worker_id=worker_id, dispatches=((record.run_key, hint_id(record.work_id), record.dispatch_no),)
        )
    )


def ended(driver: Driver, state: WorkState = WorkState.SUCCESS) -> list[str]:
    """Its worker ends it, and the machine hears of it."""
    record = only_work(driver)
    assert finish_work(driver.db, hint_id(record.work_id), record.dispatch_no, state) is state
    told = FinishedDispatch(record.run_key, hint_id(record.work_id), record.dispatch_no, S.SUCCESS)
    return driver.settle(DispatchesFinished(worker_id=1, finished=(told,)))


def test_the_end_of_a_run_and_its_callback_are_one_step() -> None:
    driver = Driver(dag("d", "a", "b < a", **TOLD))
    driver.trigger()
    driver.end("r.a")
    told = driver.end("r.b", S.FAILED)
    assert told == ["r running→failed", "work RunCallback d", "failures d 1", "offer default: RunCallback"]
    order = only_work(driver).order
    assert isinstance(order, RunCallback)
    assert (order.is_failure, order.reason) == (True, "task_failure")
    assert order.task is not None
    assert (order.task.task_id, order.task.state) == ("b", S.FAILED)


def test_a_successful_run_tells_of_its_last_task() -> None:
    driver = Driver(dag("d", "a", "b < a", **TOLD))
    driver.trigger()
    driver.end("r.a")
    driver.end("r.b")
    order = only_work(driver).order
    assert isinstance(order, RunCallback)
    assert (order.is_failure, order.reason, order.task and order.task.task_id) == (False, "success", "b")


def test_without_callbacks_nothing_is_made() -> None:
    driver = Driver(dag("d", "a"))
    driver.trigger()
    driver.end("r.a", S.FAILED)
    assert driver.db.works == {}


@pytest.mark.parametrize(
    ("fields", "what", "reason"),
    [
        ({"dagrun_timeout": 10.0}, "timeout", "timed_out"),
        ({}, "mark", None),
    ],
)
def test_how_a_run_ended_is_told_in_airflows_words(fields: dict[str, Any], what: str, reason: str | None) -> None:
    driver = Driver(dag("d", "a", **TOLD, **fields))
    driver.trigger()
    if what == "timeout":
        driver.wait(11)
        driver.wait(1)
        order = only_work(driver).order
        assert isinstance(order, RunCallback)
        assert order.reason == reason
    else:
        driver.mark_run(DagRunState.FAILED)
        assert driver.db.works == {}, "who marks a run by hand knows of it"


def test_work_is_settled_once_it_has_ended() -> None:
    driver = Driver(dag("d", "a", **TOLD))
    driver.trigger()
    driver.end("r.a")
    claimed(driver)
    assert ended(driver) == ["settle RunCallback"]
    assert driver.machine.world.side.by_id == {}
    assert driver.wait(300) == []


def test_an_offer_that_nobody_hears_is_repeated_at_doubling_intervals() -> None:
    driver = Driver(dag("d", "a", **TOLD), reoffer_after=5.0)
    driver.trigger()
    driver.end("r.a")
    offer = ["offer default: RunCallback"]
    assert [driver.wait(seconds) for seconds in (4, 1, 9, 1)] == [[], offer, [], offer]


def test_a_switch_of_the_queue_offers_it_in_the_other_way() -> None:
    driver = Driver(dag("d", "a", **TOLD))
    driver.trigger()
    driver.end("r.a")
    assert driver.settle(QueueSwitched(on=False)) == ["offer rows default: RunCallback"]


def test_a_lost_worker_means_a_new_dispatch_and_the_third_is_the_last() -> None:
    driver = Driver(dag("d", "a", **TOLD), workers=4, lost_workers_limit=3)
    driver.trigger()
    driver.end("r.a")
    numbers = []
    for worker_id in (1, 2, 3):
        numbers.append(only_work(driver).dispatch_no)
        claimed(driver, worker_id)
        driver.put_worker(worker_id, state=WorkerState.LOST)
        told = driver.seen()
    assert len(set(numbers)) == 3
    assert told == ["work RunCallback running→failed", "settle RunCallback"]
    (record,) = driver.db.works.values()
    assert record.error == "3 workers in a row were lost while they ran it"


def test_a_task_whose_workers_were_lost_is_told_by_work() -> None:
    (spec,) = tasks("a", a={"has_on_failure_callback": True})
    driver = Driver(dag("d", specs=[spec]), workers=3, lost_workers_limit=2)
    driver.trigger()
    for worker_id in (1, 2):
        driver.run_task("r.a", worker_id)
        driver.put_worker(worker_id, state=WorkerState.LOST)
        driver.seen()
    order = only_work(driver).order
    assert isinstance(order, TaskCallback)
    assert (order.names, order.task.task_id, order.task.state) == (("on_failure_callback",), "a", S.FAILED)
    assert order.task.error == "2 workers in a row were lost while they ran it"


def test_what_a_worker_made_is_dispatched_when_it_is_read() -> None:
    driver = Driver(dag("d", "a"))
    driver.trigger()
    order = TaskCallback(task=TaskFacts(ti_id=1, task_id="a"), names=("on_retry_callback",))
    driver.db.works[9] = WorkRecord(work_id=9, order=order, dag_id="d", version_id=1, run_key=driver.run().run_key)
    told = driver.settle(WorkLoaded(works=driver.store.load_works(driver.epoch)))
    assert told == ["work TaskCallback new→queued", "offer default: TaskCallback"]


def test_work_survives_a_failover_and_a_commit_whose_fate_is_unknown() -> None:
    driver = Driver(dag("d", "a", **TOLD))
    driver.trigger()
    driver.end("r.a")
    assert "offer default: RunCallback" in driver.fail_over()
    claimed(driver)
    record = only_work(driver)
    finish_work(driver.db, hint_id(record.work_id), record.dispatch_no, WorkState.FAILED)
    assert "settle RunCallback" in driver.recover(driver.machine.step(driver.now, []))
    assert driver.fail_over() == []


def test_work_waits_for_a_queue_that_a_worker_serves() -> None:
    driver = Driver(dag("d", specs=tasks("a", a={"queue": "gpu"}), **TOLD))
    driver.put_worker(1, queues=("gpu",))
    driver.seen()
    driver.trigger()
    driver.end("r.a")
    assert only_work(driver).queue == "gpu"


def test_a_deleted_run_takes_its_work_along() -> None:
    driver = Driver(dag("d", "a", **TOLD))
    driver.trigger()
    driver.end("r.a")
    driver.act(DeleteDagRun(run_key=driver.run().run_key))
    assert driver.db.works == {}
    assert driver.machine.world.side.by_id == {}
    assert driver.wait(300) == []


def test_listeners_are_told_that_a_run_began() -> None:
    driver = Driver(dag("d", specs=tasks("a"), has_on_running_listener=True))
    assert "work RunBegun d" in driver.trigger()
    assert isinstance(only_work(driver).order, RunBegun)
