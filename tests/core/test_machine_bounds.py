"""Large runs: no step writes more than about max_rows, and nothing of what it leaves to the next is lost on the way.

Most tests have 2,500 task instances and a quarter of the default bound, so that a run takes as many steps as one of
10,000 does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from dagdeck_core.actions import ClearTaskInstances, SetDagRunState, SetDagsPaused, SetTaskInstanceState, TaskTarget
from dagdeck_core.scheduling import decisions as d
from dagdeck_core.scheduling import invariants
from dagdeck_core.scheduling.events import Event
from dagdeck_core.spec import DagSpec
from dagdeck_core.states import TERMINAL, DagRunState, TaskInstanceState
from tests.core.machine_driver import Driver, dag

S = TaskInstanceState
SIZE = 2500
MAX_ROWS = 500
SPARE = 60
"""Rows that the last decisions of a step may be beyond the bound."""


def wide(size: int = SIZE, **fields: Any) -> DagSpec:
    return dag("d", "root", *(f"t{i} < root" for i in range(size - 1)), **fields)


def rows_of(decision: d.Decision) -> int:
    """Rows that a decision writes, counted by what the tables are, not by what the machine thinks."""
    match decision:
        case d.CreateTasks(seeds=seeds):
            return len(seeds) + 1
        case d.MoveTask():
            return 2
        case d.MoveRun() | d.CreateRun():
            return 3
        case d.Revoke():
            return 2
        case d.Offer(as_rows=as_rows, dispatches=dispatches):
            return len(dispatches) if as_rows else 0
        case _:
            return 1


@pytest.fixture
def bounded() -> Iterator[Callable[..., Driver]]:
    """Makes drivers; at the end every step of theirs has been within the bound."""
    drivers: list[Driver] = []

    def make(*specs: DagSpec, **settings: object) -> Driver:
        drivers.append(Driver(*specs, check_every=7, **{"max_rows": MAX_ROWS, **settings}))  # type: ignore[arg-type]
        return drivers[-1]

    yield make
    for driver in drivers:
        invariants.check(driver.machine.world)
        bound = driver.settings.max_rows + SPARE
        for decisions in driver.steps:
            assert sum(map(rows_of, decisions)) <= bound


def test_ten_thousand_are_created_in_chunks_and_released_as_slots_allow(bounded: Callable[..., Driver]) -> None:
    driver = bounded(wide(10_000), max_rows=2000)
    driver.trigger()
    assert len(driver.states()) == 10_000
    assert sum(any(isinstance(x, d.CreateTasks) for x in step) for step in driver.steps) >= 5
    driver.end("r.root")
    assert list(driver.states().values()).count("queued") == 16
    assert list(driver.states().values()).count("scheduled") == 10_000 - 17


def test_a_fan_out_is_released_in_bounded_steps(bounded: Callable[..., Driver]) -> None:
    driver = bounded(wide(max_active_tasks=SIZE), slots=SIZE)
    driver.db.pools["default_pool"] = type(driver.db.pools["default_pool"])(name="default_pool", slots=-1)
    driver.fail_over()
    driver.trigger()
    driver.end("r.root")
    assert list(driver.states().values()).count("queued") == SIZE - 1


def test_a_failure_spreads_in_bounded_steps(bounded: Callable[..., Driver]) -> None:
    driver = bounded(wide())
    driver.trigger()
    driver.end("r.root", S.FAILED)
    assert driver.run().state is DagRunState.FAILED
    assert set(driver.states().values()) == {"failed", "upstream_failed"}


@pytest.mark.parametrize("state", [DagRunState.FAILED, DagRunState.SUCCESS])
def test_marking_a_run(bounded: Callable[..., Driver], state: DagRunState) -> None:
    driver = bounded(wide())
    driver.trigger()
    driver.end("r.root")
    driver.run_task("r.t0")
    before = len(driver.steps)
    told = driver.mark_run(state)
    assert told[-1] == "done 2"
    assert len(driver.steps) - before >= SIZE * 2 / MAX_ROWS
    assert "revoke r.t0 to " + state in told
    assert set(driver.states().values()) == {"success", "running", "skipped" if state == "failed" else "success"}


def test_timeout(bounded: Callable[..., Driver]) -> None:
    driver = bounded(wide(dagrun_timeout=60.0))
    driver.trigger()
    driver.wait(60)
    assert driver.run().state is DagRunState.FAILED
    assert set(driver.states().values()) == {"skipped"}


def test_a_timeout_goes_on_after_a_failover(bounded: Callable[..., Driver]) -> None:
    driver = bounded(wide(dagrun_timeout=60.0))
    driver.trigger()
    driver.now += driver.now.resolution * 60_000_000
    driver.step()
    assert driver.run().state is DagRunState.RUNNING
    assert "skipped" in driver.states().values()
    driver.fail_over()
    assert driver.run().state is DagRunState.FAILED
    assert set(driver.states().values()) == {"skipped"}


def test_fail_fast(bounded: Callable[..., Driver]) -> None:
    driver = bounded(wide(fail_fast=True))
    driver.trigger()
    driver.end("r.root")
    driver.end("r.t0", S.FAILED)
    assert driver.run().state is DagRunState.FAILED
    assert set(driver.states().values()) == {"success", "failed", "skipped"}


def finished_run(bounded: Callable[..., Driver]) -> Driver:
    driver = bounded(wide())
    driver.trigger()
    driver.end("r.root", S.FAILED)
    driver.settle()
    return driver


def all_targets(driver: Driver) -> tuple[TaskTarget, ...]:
    rows = driver.db.tasks.values()
    return tuple(TaskTarget(row.ti_id, row.task_id, expected=row.state) for row in rows)


def test_clearing_everything(bounded: Callable[..., Driver]) -> None:
    driver = finished_run(bounded)
    targets = all_targets(driver)
    told = driver.act(ClearTaskInstances(run_key=driver.run().run_key, targets=targets, note="again"))
    assert told.count("r.root failed→none") == 1
    assert sum(text.endswith("→none") for text in told) == SIZE
    assert sum(text.startswith("note ") for text in told) == SIZE
    assert told.index("done 2") > told.index("r failed→queued"), "the run is queued and the action ends with the last"
    assert driver.states()["root"] == "queued"


def begin(driver: Driver, *events: Event) -> None:
    """One step only: the action is under way."""
    driver.step(*events)
    assert driver.machine.has_more
    assert 2 not in driver.db.action_ends


def test_a_half_done_clear_goes_on_after_a_failover_and_nothing_starts_in_between(
    bounded: Callable[..., Driver],
) -> None:
    driver = finished_run(bounded)
    action = ClearTaskInstances(run_key=driver.run().run_key, targets=all_targets(driver))
    begin(driver, *driver.posted(action))
    half = list(driver.states().values()).count("none")
    assert 0 < half < SIZE
    fail_over_with_pending(driver)
    assert driver.db.action_ends[2].refused is None
    assert driver.row("r.root").try_number == 2
    assert all(row.try_number == 0 for row in driver.db.tasks.values() if row.task_id != "root")


def fail_over_with_pending(driver: Driver) -> None:
    """A new leader reads the pending actions with all the rest, before its first decision."""
    driver.machine = driver.fresh_machine()
    events: list[Event] = [driver.workers_seen()]
    for record in driver.store.pending_actions(50):
        events += driver.repost(record)
    driver.settle(*events)


def test_an_action_that_is_read_again_while_it_is_under_way_is_not_begun_again(
    bounded: Callable[..., Driver],
) -> None:
    driver = finished_run(bounded)
    posted = driver.posted(ClearTaskInstances(run_key=driver.run().run_key, targets=all_targets(driver)))
    begin(driver, *posted)
    told = driver.settle(posted[-1])
    assert told.count("done 2") == 1


def test_a_later_action_waits_for_one_that_is_under_way(bounded: Callable[..., Driver]) -> None:
    driver = finished_run(bounded)
    key = driver.run().run_key
    clear = driver.posted(ClearTaskInstances(run_key=key, targets=all_targets(driver)))
    driver.step(*clear, *driver.posted(SetDagRunState(run_key=key, state=DagRunState.SUCCESS)))
    assert not driver.db.action_ends.get(3)
    driver.settle()
    assert driver.run().state is DagRunState.SUCCESS
    assert all(row.state in TERMINAL for row in driver.db.tasks.values())


def test_a_commit_that_fails_in_the_middle_of_an_action(bounded: Callable[..., Driver]) -> None:
    driver = finished_run(bounded)
    posted = driver.posted(ClearTaskInstances(run_key=driver.run().run_key, targets=all_targets(driver)))
    begin(driver, *posted)
    failed = driver.machine.step(driver.now, [])
    run_keys, _ = driver.machine.drop_touched(failed)
    driver.machine.take_back([event for key in run_keys for event in driver.loaded(key)])
    driver.settle(posted[-1])
    assert driver.db.action_ends[2].refused is None
    assert driver.row("r.root").try_number == 2


def test_marking_everything(bounded: Callable[..., Driver]) -> None:
    driver = finished_run(bounded)
    action = SetTaskInstanceState(run_key=driver.run().run_key, targets=all_targets(driver), state=S.SUCCESS)
    assert driver.act(action)[-1] == "done 2"
    assert set(driver.states().values()) == {"success"}


def test_marking_the_root_clears_what_failed_below(bounded: Callable[..., Driver]) -> None:
    driver = finished_run(bounded)
    told = driver.mark(S.SUCCESS, "r.root")
    assert sum(text.endswith("upstream_failed→none") for text in told) == SIZE - 1
    assert driver.run().state is DagRunState.RUNNING


def test_thousands_of_dags_are_paused_in_bounded_steps(bounded: Callable[..., Driver]) -> None:
    driver = bounded(*(dag(f"d{i}", "a") for i in range(3000)))
    names = tuple(driver.db.dags)
    assert driver.act(SetDagsPaused(dag_ids=names, is_paused=True))[-1] == "done 1"
    assert all(row.is_paused for row in driver.db.dags.values())
