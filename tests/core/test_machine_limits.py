"""Who is released when: pools, limits of DAG, run and task, workers' slots and queues, pause."""

from __future__ import annotations

import pytest

from dagdeck_core.actions import DeletePool, PutPool, SetWorkerDrain
from dagdeck_core.records import PoolRecord, WorkerState
from dagdeck_core.scheduling.events import PoolsLoaded, QueueSwitched
from dagdeck_core.states import DagRunState, TaskInstanceState
from tests.core.machine_driver import Driver, dag, tasks

S = TaskInstanceState


def with_pools(*specs: object, slots: int = 16, **pools: int) -> Driver:
    driver = Driver(*specs, slots=slots)  # type: ignore[arg-type]
    for name, count in pools.items():
        driver.db.pools[name] = PoolRecord(name=name, slots=count)
    driver.settle(PoolsLoaded(pools=tuple(driver.db.pools.values())))
    return driver


def queued(driver: Driver, run_id: str = "r") -> str:
    return "".join(sorted(task for task, state in driver.states(run_id).items() if state in ("queued", "running")))


# ---------------------------------------------------------------- pools


def test_a_big_task_is_not_starved_by_small_ones() -> None:
    specs = tasks(
        *"abcde",
        a={"pool": "p", "priority_weight": 9},
        b={"pool": "p", "pool_slots": 2, "priority_weight": 5},
        c={"pool": "p"},
        e={"pool": "p"},
    )
    driver = with_pools(dag("d", specs=specs), p=2)
    driver.trigger()
    assert queued(driver) == "ad", "b needs two slots and is next: the free one is kept for it"
    driver.end("r.a")
    assert queued(driver) == "bd"
    driver.end("r.b")
    assert queued(driver) == "cde"


def test_a_big_task_is_not_starved_by_small_ones_of_another_queue() -> None:
    specs = tasks(
        *"abc",
        a={"pool": "p", "priority_weight": 9},
        b={"pool": "p", "pool_slots": 2, "priority_weight": 5, "queue": "other"},
        c={"pool": "p"},
    )
    driver = with_pools(dag("d", specs=specs), p=2)
    driver.put_worker(1, queues=("default", "other"))
    driver.seen(1)
    driver.trigger()
    assert queued(driver) == "a"
    assert driver.end("r.a") == ["r.b scheduled→queued try 1", "offer other: r.b"]


def test_a_queue_without_workers_does_not_hold_back_its_pool() -> None:
    specs = tasks("a", "b", a={"queue": "gpu", "priority_weight": 9})
    driver = Driver(dag("d", specs=specs))
    driver.trigger()
    assert driver.states() == {"a": "scheduled", "b": "queued"}


def test_pools_do_not_wait_for_each_other() -> None:
    specs = tasks("a", "b", "c", a={"pool": "p"}, b={"pool": "p"}, c={"pool": "q"})
    driver = with_pools(dag("d", specs=specs), p=1, q=1)
    driver.trigger()
    assert queued(driver) == "ac"


@pytest.mark.parametrize(("slots", "released"), [(-1, "abc"), (0, ""), (2, "ab")])
def test_pool_sizes(slots: int, released: str) -> None:
    specs = tasks(*"abc", **{name: {"pool": "p"} for name in "abc"})
    driver = with_pools(dag("d", specs=specs), p=slots)
    driver.trigger()
    assert queued(driver) == released


def test_a_pool_that_shrinks_lets_its_tasks_finish_and_releases_fewer() -> None:
    specs = tasks(*"abcd", **{name: {"pool": "p"} for name in "abcd"})
    driver = with_pools(dag("d", specs=specs), p=2)
    driver.trigger()
    driver.act(PutPool(name="p", slots=1))
    assert queued(driver) == "ab"
    driver.end("r.a")
    assert queued(driver) == "b"
    driver.end("r.b")
    assert queued(driver) == "c"
    assert driver.act(PutPool(name="p", slots=5)) == [
        "pool p 5",
        "done 3",
        "r.d scheduled→queued try 1",
        "offer default: r.d",
    ]


def test_a_task_larger_than_its_pool_waits_without_holding_others_back() -> None:
    specs = tasks("a", "b", a={"pool": "p", "pool_slots": 3, "priority_weight": 9}, b={"pool": "p"})
    driver = with_pools(dag("d", specs=specs), p=2)
    driver.trigger()
    assert queued(driver) == "b"
    driver.act(PutPool(name="p", slots=4))
    assert queued(driver) == "ab"


def test_a_deleted_pool_holds_its_tasks_until_it_is_there_again() -> None:
    specs = tasks("a", "b", a={"pool": "p"}, b={"pool": "p"})
    driver = with_pools(dag("d", specs=specs), p=1)
    driver.trigger()
    driver.act(DeletePool(name="p"))
    assert driver.end("r.a") == []
    driver.act(PutPool(name="p", slots=1, create=True))
    assert queued(driver) == "b"


def test_a_pool_counts_what_ran_while_it_was_away() -> None:
    specs = tasks("a", "b", a={"pool": "p"}, b={"pool": "p"})
    driver = with_pools(dag("d", specs=specs), p=1)
    driver.trigger()
    driver.act(DeletePool(name="p"))
    driver.act(PutPool(name="p", slots=1))
    assert queued(driver) == "a"


@pytest.mark.parametrize(("counted", "released"), [(True, ""), (False, "b")])
def test_deferred_tasks_hold_slots_where_the_pool_says_so(counted: bool, released: str) -> None:
    specs = tasks("a", "b", a={"pool": "p"}, b={"pool": "p"})
    driver = with_pools(dag("d", specs=specs))
    driver.act(PutPool(name="p", slots=1, include_deferred=counted))
    driver.trigger()
    driver.end("r.a", S.DEFERRED)
    assert queued(driver) == released


@pytest.mark.parametrize(
    ("action", "refusal"),
    [
        (PutPool(name="default_pool", slots=3, create=True), "a pool named 'default_pool' already exists"),
        (PutPool(name="p", slots=-2), "a pool has -1 (no limit) or at least 0 slots, not -2"),
        (DeletePool(name="default_pool"), "the pool 'default_pool' cannot be deleted; set its slots instead"),
        (DeletePool(name="none"), "there is no pool named 'none'"),
        (SetWorkerDrain(worker_id=77, drain=True), "there is no live worker with id 77"),
    ],
)
def test_refused(action: PutPool | DeletePool | SetWorkerDrain, refusal: str) -> None:
    assert Driver(dag("d", "a")).act(action) == [f"refused: {refusal}"]


# ---------------------------------------------------------------- limits of runs and tasks


def test_max_active_tasks_holds_per_run() -> None:
    driver = Driver(dag("d", *"abc", max_active_tasks=2))
    driver.trigger("r1")
    driver.trigger("r2")
    assert queued(driver, "r1") == queued(driver, "r2") == "ab"
    driver.run_task("r1.a")
    assert queued(driver, "r1") == "ab", "running counts like queued"
    assert driver.end("r1.a") == ["r1.c scheduled→queued try 1", "offer default: r1.c"]


def test_max_active_tis_per_dag_holds_across_runs() -> None:
    driver = Driver(dag("d", specs=tasks("a", a={"max_active_tis_per_dag": 1})))
    driver.trigger("r1")
    assert driver.trigger("r2")[-1] == "r2.a none→scheduled try 1"
    assert driver.end("r1.a") == ["r1 running→success", "r2.a scheduled→queued try 1", "offer default: r2.a"]


def test_max_active_tis_per_dagrun_holds_per_run() -> None:
    driver = Driver(dag("d", specs=tasks("a", a={"max_active_tis_per_dagrun": 1})))
    driver.trigger("r1")
    driver.trigger("r2")
    assert queued(driver, "r1") == queued(driver, "r2") == "a"


def test_what_one_limit_holds_back_lets_others_pass() -> None:
    specs = tasks("a", "b", a={"max_active_tis_per_dag": 1, "priority_weight": 9})
    driver = Driver(dag("d", specs=specs, max_active_tasks=2), slots=3)
    driver.trigger("r1")
    driver.trigger("r2")
    assert queued(driver, "r1") == "ab"
    assert queued(driver, "r2") == "b", "r2.a waits for r1.a; the slot goes to r2.b"


def test_a_place_that_a_called_back_task_cannot_take_goes_to_the_next() -> None:
    specs = tasks("a", "b", "c", "e", a={"priority_weight": 9}, b={"priority_weight": 5, "pool": "p"})
    driver = with_pools(dag("d", specs=specs, max_active_tasks=1), p=0)
    driver.trigger()
    assert queued(driver) == "a"
    driver.end("r.a")
    assert queued(driver) == "c", "b is next for the run's place, but its pool has no slots"
    driver.end("r.c")
    assert queued(driver) == "e"
    driver.end("r.e")
    driver.act(PutPool(name="p", slots=1))
    assert queued(driver) == "b"


def test_max_active_runs() -> None:
    driver = Driver(dag("d", "a", max_active_runs=1))
    driver.trigger("r1")
    assert driver.trigger("r2") == ["create r2", "done 2", "create r2 tasks 0-1"]
    driver.trigger("r3")
    assert driver.end("r1.a") == [
        "r1 running→success",
        "r2 queued→running",
        "r2.a none→queued try 1",
        "offer default: r2.a",
    ]


def test_a_new_version_may_raise_max_active_runs() -> None:
    driver = Driver(dag("d", "a", max_active_runs=1))
    driver.trigger("r1")
    driver.trigger("r2")
    told = driver.settle(driver.put_dag(dag("d", "a", max_active_runs=2)))
    assert told == ["r2 queued→running", "r2.a none→queued try 1", "offer default: r2.a"]


# ---------------------------------------------------------------- workers


def test_no_more_is_released_than_workers_have_slots() -> None:
    driver = Driver(dag("d", *"abcd"), slots=2)
    driver.trigger()
    assert queued(driver) == "ab"
    driver.put_worker(2, slots=1)
    assert driver.seen(1) == ["r.c scheduled→queued try 1", "offer default: r.c"]


def test_short_tasks_are_handed_out_ahead() -> None:
    driver = Driver(dag("d", *"abcd", "first"), slots=1)
    driver.trigger()
    driver.end("r.a", duration=0.001)
    assert len(queued(driver)) > 1


def test_a_draining_worker_gets_nothing_new() -> None:
    driver = Driver(dag("d", "a"))
    driver.act(SetWorkerDrain(worker_id=1, drain=True))
    assert driver.trigger()[-1] == "r.a none→scheduled try 1"
    assert driver.act(SetWorkerDrain(worker_id=1, drain=False)) == [
        "worker 1 active",
        "done 3",
        "r.a scheduled→queued try 1",
        "offer default: r.a",
    ]


def test_workers_of_another_wire_version_do_not_count() -> None:
    driver = Driver(dag("d", "a"), workers=0)
    driver.put_worker(1, wire_version=99)
    driver.seen(1)
    assert driver.trigger()[-1] == "r.a none→scheduled try 1"
    driver.put_worker(2, state=WorkerState.ACTIVE)
    assert driver.seen(1)[0] == "r.a scheduled→queued try 1"


# ---------------------------------------------------------------- pause


def test_in_a_paused_dag_nothing_new_starts_and_what_runs_finishes() -> None:
    driver = Driver(dag("d", "a", "b < a", "c", max_active_tasks=1))
    driver.trigger()
    driver.run_task("r.a")
    assert driver.pause() == ["pause d", "done 2"]
    assert driver.end("r.a") == []
    assert driver.states() == {"a": "success", "b": "none", "c": "scheduled"}
    assert driver.trigger("r2") == ["create r2", "done 3", "create r2 tasks 0-3"]
    assert driver.pause(False) == [
        "unpause d",
        "done 4",
        "r2 queued→running",
        "r2.a none→queued try 1",
        "r.c scheduled→queued try 1",
        "r.b none→scheduled try 1",
        "r2.c none→scheduled try 1",
        "offer default: r2.a r.c",
    ]


def test_a_paused_dag_still_learns_what_can_no_longer_run() -> None:
    driver = Driver(dag("d", "a", "b < a"))
    driver.trigger()
    driver.run_task("r.a")
    driver.pause()
    assert driver.end("r.a", S.FAILED) == ["r.b none→upstream_failed", "r running→failed", "failures d 1"]


def test_a_paused_run_is_not_taken_for_a_deadlock() -> None:
    driver = Driver(dag("d", "a", "b < a"))
    driver.trigger()
    driver.run_task("r.a")
    driver.pause()
    driver.end("r.a")
    assert driver.run().state is DagRunState.RUNNING
    assert driver.pause(False)[2:] == ["r.b none→queued try 1", "offer default: r.b"]


def test_an_empty_task_does_not_start_in_a_paused_dag() -> None:
    driver = Driver(dag("d", specs=tasks("a", "b < a", b={"is_empty": True})))
    driver.trigger()
    driver.run_task("r.a")
    driver.pause()
    assert driver.end("r.a") == []
    assert driver.pause(False) == ["unpause d", "done 3", "r.b none→success", "r running→success"]


# ---------------------------------------------------------------- queue on and off


def test_without_queue_work_is_offered_as_rows_and_anew_when_it_is_back() -> None:
    driver = Driver(dag("d", "a", "b < a"))
    driver.trigger()
    assert driver.settle(QueueSwitched(on=False)) == ["offer rows default: r.a"]
    assert driver.settle(QueueSwitched(on=False)) == []
    assert driver.end("r.a") == ["r.b none→queued try 1", "offer rows default: r.b"]
    assert driver.settle(QueueSwitched(on=True)) == ["EmptyReady()", "offer default: r.b"]
    assert driver.db.ready == {}


def test_offers_as_rows_that_were_not_committed_are_made_again() -> None:
    driver = Driver(dag("d", "a"))
    driver.trigger()
    lost = driver.machine.step(driver.now, [QueueSwitched(on=False)])
    assert [driver.tell(decision) for decision in lost] == ["offer rows default: r.a"]
    driver.machine.drop_touched(lost)
    assert driver.settle() == ["offer rows default: r.a"]


def test_an_emptying_of_rows_that_was_not_committed_is_made_again() -> None:
    driver = Driver(dag("d", "a"))
    driver.settle(QueueSwitched(on=False))
    driver.machine.drop_touched(driver.machine.step(driver.now, [QueueSwitched(on=True)]))
    assert driver.settle() == ["EmptyReady()"]
