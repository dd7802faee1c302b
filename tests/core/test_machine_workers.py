"""What becomes of task instances whose worker is lost, vanishes, or was never heard of."""

from __future__ import annotations

from collections.abc import Iterable

from dagdeck_core.records import WorkerState
from dagdeck_core.scheduling.events import WorkersSeen
from dagdeck_core.states import TaskInstanceState
from tests.core.machine_driver import Driver, dag, tasks

S = TaskInstanceState
LEASE = 20.0


def silence(driver: Driver, seconds: float = 24.0, *, beating: Iterable[int] = ()) -> list[str]:
    """Reads every 2 seconds while only the workers `beating` raise their counters."""
    told: list[str] = []
    for _ in range(int(seconds / 2)):
        told += driver.seen(2, beating=beating)
    return told


def test_a_worker_whose_counter_stands_still_for_the_lease_time_is_lost() -> None:
    driver = Driver(dag("d", "a"), workers=2)
    driver.trigger()
    driver.run_task("r.a", 1)
    # One read sees the counter, the next begins to count.
    assert silence(driver, 20, beating=[2]) == []
    assert driver.seen(2, beating=[2]) == [
        "lost worker 1",
        "r.a running→queued try 1 lost 1",
        "offer default: r.a",
    ]
    assert driver.db.workers[1].state is WorkerState.LOST
    assert driver.seen(2, beating=[2]) == []


def test_a_beating_worker_is_never_lost() -> None:
    driver = Driver(dag("d", "a"))
    driver.trigger()
    driver.run_task("r.a")
    assert silence(driver, 200, beating=[1]) == []


def test_a_gap_in_the_reads_begins_every_lease_anew() -> None:
    driver = Driver(dag("d", "a"))
    driver.trigger()
    driver.run_task("r.a")
    assert silence(driver, 18) == []
    assert driver.seen(11) == []
    assert silence(driver, 20) == []
    assert driver.seen(2)[0] == "lost worker 1"


def test_an_outage_of_the_database_begins_every_lease_anew() -> None:
    driver = Driver(dag("d", "a"))
    driver.trigger()
    driver.run_task("r.a")
    silence(driver, 18)
    driver.machine.restart_leases()
    assert silence(driver, 22) == []
    assert driver.seen(2)[0] == "lost worker 1"


def test_a_slow_read_cannot_shorten_a_lease() -> None:
    """The read begins at 0 and ends at 9; the counter was raised just before it ended."""
    driver = Driver(dag("d", "a"), workers=0)
    driver.put_worker(1, counter=1)
    driver.seen()
    driver.put_worker(1, counter=2)
    slow = driver.workers_seen()
    driver.mono += 9
    driver.settle(slow)
    told: list[str] = []
    while not told:
        told = driver.seen(1)
    assert driver.mono - 9 >= LEASE


def test_a_worker_that_reported_gone_frees_its_tasks_at_once() -> None:
    driver = Driver(dag("d", "a"), workers=2)
    driver.trigger()
    driver.run_task("r.a", 1)
    driver.put_worker(1, state=WorkerState.STOPPED)
    assert driver.seen(1) == ["r.a running→queued try 1 lost 1", "offer default: r.a"]


def test_the_third_lost_worker_in_a_row_fails_the_task_and_no_retry_is_used() -> None:
    driver = Driver(dag("d", specs=tasks("a", "b < a", a={"retries": 5})), workers=4)
    driver.trigger()
    for worker in (1, 2):
        driver.run_task("r.a", worker)
        driver.put_worker(worker, state=WorkerState.LOST)
        assert driver.seen(1) == [f"r.a running→queued try 1 lost {worker}", "offer default: r.a"]
    driver.run_task("r.a", 3)
    driver.put_worker(3, state=WorkerState.LOST)
    assert driver.seen(1) == [
        "r.a running→failed lost 3",
        "r.b none→upstream_failed",
        "r running→failed",
        "failures d 1",
    ]
    assert "3 workers in a row were lost" in driver.steps[-1][0].reason  # type: ignore[union-attr]


def test_an_end_in_between_begins_the_count_anew() -> None:
    driver = Driver(dag("d", specs=tasks("a", a={"retries": 5})), workers=4)
    driver.trigger()
    for worker in (1, 2):
        driver.run_task("r.a", worker)
        driver.put_worker(worker, state=WorkerState.LOST)
        driver.seen(1)
    driver.end("r.a", S.UP_FOR_RETRY, worker_id=3, next_at=driver.now)
    driver.run_task("r.a", 4)
    driver.put_worker(4, state=WorkerState.LOST)
    assert driver.seen(1) == ["r.a running→queued try 2 lost 1"] + ["offer default: r.a"]


def test_a_worker_lost_while_its_task_was_being_ended_gives_what_was_asked_for() -> None:
    driver = Driver(dag("d", "a", "b", "c < b"), workers=2)
    driver.trigger()
    driver.run_task("r.a", 1)
    driver.run_task("r.b", 1)
    driver.clear("r.a")
    driver.mark(S.SUCCESS, "r.b")
    driver.put_worker(1, state=WorkerState.LOST)
    assert driver.seen(1) == [
        "r.a restarting→none",
        "r.b running→success",
        "r.a none→queued try 2",
        "r.c none→queued try 1",
        "offer default: r.a r.c",
    ]


def test_a_worker_lost_under_an_ended_run_frees_its_slots_even_after_a_failover() -> None:
    driver = Driver(dag("d", "a", dagrun_timeout=10.0), workers=2)
    driver.trigger()
    driver.run_task("r.a", 1)
    driver.wait(10)
    driver.fail_over()
    driver.put_worker(1, state=WorkerState.LOST)
    assert driver.seen(1) == ["r.a running→skipped"]


def test_a_claim_that_was_never_heard_of_is_found_when_its_worker_is_lost() -> None:
    driver = Driver(dag("d", "a"), workers=2)
    driver.trigger()
    driver.claimed("r.a", 1)
    driver.put_worker(1, state=WorkerState.LOST)
    assert driver.seen(1) == []
    wanted = driver.machine.take_reload_wanted()
    assert wanted == [driver.run().run_key]
    driver.settle(*driver.loaded(wanted[0]))
    assert driver.seen(1) == ["r.a running→queued try 1 lost 1", "offer default: r.a"]


def test_a_worker_that_vanished_before_the_first_read_is_found_at_start() -> None:
    driver = Driver(dag("d", "a"), workers=2)
    driver.trigger()
    driver.run_task("r.a", 1)
    driver.put_worker(1, state=WorkerState.LOST)
    assert driver.fail_over() == ["r.a running→queued try 1 lost 1", "offer default: r.a"]


def test_a_declaration_that_was_not_committed_is_made_again_after_a_whole_lease() -> None:
    driver = Driver(dag("d", "a"))
    driver.trigger()
    driver.run_task("r.a")
    silence(driver, 20)
    driver.mono += 2
    lost = driver.machine.step(driver.now, [WorkersSeen(workers=tuple(driver.store.load_workers()), mono=driver.mono)])
    assert driver.tell(lost[0]) == "lost worker 1"
    run_keys, _ = driver.machine.drop_touched(lost)
    assert run_keys == [driver.run().run_key]
    driver.machine.take_back(driver.loaded(run_keys[0]))
    assert silence(driver, 20) == []
    assert "lost worker 1" in driver.seen(2) + driver.seen(2)
