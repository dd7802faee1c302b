"""What the machine decides about task instances: starting, fanning out, skipping, retrying, clearing, marking.

The tables compare everything that a step decides, in order.
"""

from __future__ import annotations

from datetime import timedelta

import pytest

from dagdeck_core.actions import ClearTaskInstances, TaskTarget
from dagdeck_core.records import PoolRecord
from dagdeck_core.scheduling.events import DispatchesClaimed, DispatchesFinished, PoolsLoaded
from dagdeck_core.spec import TriggerRule
from dagdeck_core.states import DagRunState, TaskInstanceState
from dagdeck_core.wire import FinishedDispatch
from tests.core.machine_driver import Driver, dag, tasks

S = TaskInstanceState


def test_a_trigger_creates_starts_and_dispatches_in_one_step() -> None:
    driver = Driver(dag("d", "a", "b < a"))
    assert driver.trigger() == [
        "create r",
        "done 1",
        "r queued→running",
        "create r tasks 0-2",
        "r.a none→queued try 1",
        "offer default: r.a",
    ]


def test_the_end_of_a_task_starts_its_successor_in_the_same_step() -> None:
    driver = Driver(dag("d", "a", "b < a"))
    driver.trigger()
    assert driver.run_task("r.a") == []
    assert driver.end("r.a") == ["r.b none→queued try 1", "offer default: r.b"]
    assert driver.end("r.b") == ["r running→success"]


def test_fan_out_and_fan_in() -> None:
    driver = Driver(dag("d", "a", "b < a", "c < a", "e < b c"))
    driver.trigger()
    assert driver.end("r.a") == ["r.b none→queued try 1", "r.c none→queued try 1", "offer default: r.b r.c"]
    assert driver.end("r.c") == []
    assert driver.end("r.b") == ["r.e none→queued try 1", "offer default: r.e"]


def test_what_depends_on_a_failure_is_upstream_failed_in_one_step() -> None:
    driver = Driver(dag("d", "a", "b < a", "c < b", "e"))
    driver.trigger()
    assert driver.end("r.a", S.FAILED) == ["r.b none→upstream_failed", "r.c none→upstream_failed"]
    assert driver.end("r.e") == ["r running→failed", "failures d 1"]


def test_a_higher_priority_goes_first_and_offers_keep_the_order() -> None:
    specs = tasks(
        *"abc",
        a={"priority_weight": 1},
        b={"priority_weight": 3},
        c={"priority_weight": 2},
    )
    driver = Driver(dag("d", specs=specs), slots=2)
    assert driver.trigger()[4:] == [
        "r.b none→queued try 1",
        "r.c none→queued try 1",
        "r.a none→scheduled try 1",
        "offer default: r.b r.c",
    ]
    assert driver.end("r.c") == ["r.a scheduled→queued try 1", "offer default: r.a"]


def test_empty_tasks_succeed_without_a_worker() -> None:
    specs = tasks("a", "b < a", "c < b", a={"is_empty": True}, c={"is_empty": True})
    driver = Driver(dag("d", specs=specs))
    assert driver.trigger()[4:] == ["r.a none→success", "r.b none→queued try 1", "offer default: r.b"]
    assert driver.end("r.b") == ["r.c none→success", "r running→success"]
    assert driver.row("r.c").try_number == 1


# ---------------------------------------------------------------- skipping


def test_a_branch_skips_what_it_did_not_take() -> None:
    driver = Driver(dag("d", "pick", "left < pick", "right < pick", "after < right"))
    driver.trigger()
    assert driver.end("r.pick", skip=["right"]) == [
        "r.right none→skipped",
        "r.after none→skipped",
        "r.left none→queued try 1",
        "offer default: r.left",
    ]


def test_a_skipped_task_that_is_cleared_alone_is_skipped_again() -> None:
    driver = Driver(dag("d", "pick", "left < pick", "right < pick"))
    driver.trigger()
    driver.end("r.pick", skip=["right"])
    driver.end("r.left")
    assert driver.clear("r.right") == [
        "r.right skipped→none",
        "r success→queued",
        "done 2",
        "r queued→running",
        "r.right none→skipped",
        "r running→success",
    ]


def test_a_cleared_branch_forgets_what_it_skipped() -> None:
    driver = Driver(dag("d", "pick", "left < pick", "right < pick"))
    driver.trigger()
    driver.end("r.pick", skip=["right"])
    driver.end("r.left")
    driver.clear("r.pick", "r.left", "r.right")
    assert driver.end("r.pick", skip=["left"])[:2] == ["r.left none→skipped", "r.right none→queued try 1"]


def test_a_branch_also_skips_what_waits_for_a_slot_by_another_rule() -> None:
    specs = tasks("other", "pick", "late < other pick", late={"trigger_rule": TriggerRule.ONE_SUCCESS})
    driver = Driver(dag("d", specs=specs), slots=2)
    driver.trigger()
    driver.put_worker(1, slots=1)
    driver.seen(1)
    assert driver.end("r.other") == ["r.late none→scheduled try 1"]
    assert driver.end("r.pick", skip=["late"]) == ["r.late scheduled→skipped", "r running→success"]


def test_a_candidate_whose_upstream_is_cleared_waits_again() -> None:
    """Rows ran out before it was written as scheduled; meanwhile its rule ceased to hold."""
    driver = Driver(dag("d", "a", "b < a", "c < a", "e < a"), slots=1, max_rows=4)
    driver.trigger()
    assert driver.step(driver.finished("r.a")) == [
        "r.b none→queued try 1",
        "r.c none→scheduled try 1",
        "offer default: r.b",
    ]
    assert driver.clear("r.a") == ["r.a success→none", "done 2", "r.a none→scheduled try 2"]
    assert driver.states() == {"a": "scheduled", "b": "queued", "c": "scheduled", "e": "none"}


# ---------------------------------------------------------------- trying again


def test_a_retry_starts_when_its_time_has_come_and_not_before() -> None:
    driver = Driver(dag("d", specs=tasks("a", a={"retries": 1})))
    driver.trigger()
    at = driver.now + timedelta(seconds=60)
    assert driver.end("r.a", S.UP_FOR_RETRY, next_at=at) == []
    assert driver.machine.next_wakeup is not None
    assert driver.wait(59.9) == []
    assert driver.wait(0.1) == ["r.a up_for_retry→queued try 2", "offer default: r.a"]


def test_a_reschedule_is_the_same_try() -> None:
    driver = Driver(dag("d", "a"))
    driver.trigger()
    driver.end("r.a", S.UP_FOR_RESCHEDULE, next_at=driver.now + timedelta(seconds=5))
    assert driver.wait(5) == ["r.a up_for_reschedule→queued try 1", "offer default: r.a"]


def test_an_overdue_retry_found_at_start_is_dispatched_at_once() -> None:
    driver = Driver(dag("d", specs=tasks("a", a={"retries": 1})))
    driver.trigger()
    driver.end("r.a", S.UP_FOR_RETRY, next_at=driver.now + timedelta(seconds=60))
    driver.now += timedelta(seconds=3600)
    assert driver.fail_over() == ["r.a up_for_retry→queued try 2", "offer default: r.a"]


# ---------------------------------------------------------------- reports


def test_reports_that_are_late_repeated_or_foreign_change_nothing() -> None:
    driver = Driver(dag("d", specs=tasks("a", "b < a", a={"retries": 1})))
    driver.trigger()
    first = driver.row("r.a")
    report = driver.finished("r.a", S.UP_FOR_RETRY, next_at=driver.now)
    assert driver.settle(report) == ["r.a up_for_retry→queued try 2", "offer default: r.a"]
    assert driver.settle(report) == []
    late = FinishedDispatch(first.run_key, first.ti_id, first.dispatch_no, S.SUCCESS)
    unknown = FinishedDispatch(first.run_key, 999, first.dispatch_no, S.SUCCESS)
    gone = FinishedDispatch(12345, first.ti_id, first.dispatch_no, S.SUCCESS)
    assert driver.settle(DispatchesFinished(worker_id=1, finished=(late, unknown, gone))) == []
    claim = DispatchesClaimed(worker_id=9, dispatches=((first.run_key, first.ti_id, first.dispatch_no),))
    assert driver.settle(claim) == []
    assert driver.states() == {"a": "queued", "b": "none"}


def test_an_end_whose_claim_was_never_heard_of_counts() -> None:
    driver = Driver(dag("d", "a", "b < a"))
    driver.trigger()
    assert driver.settle(driver.finished("r.a")) == ["r.b none→queued try 1", "offer default: r.b"]


def test_a_claim_that_arrives_after_the_end_is_ignored() -> None:
    driver = Driver(dag("d", "a", "b"))
    driver.trigger()
    claim = driver.claimed("r.a")
    finished = driver.finished("r.a")
    assert driver.settle(finished, claim) == []
    assert driver.states() == {"a": "success", "b": "queued"}


# ---------------------------------------------------------------- clear and mark


def test_clearing_what_waits_takes_it_back() -> None:
    driver = Driver(dag("d", specs=tasks("a", "b", a={"priority_weight": 2})), slots=1)
    driver.trigger()
    assert driver.states() == {"a": "queued", "b": "scheduled"}
    old = driver.row("r.a").dispatch_no
    assert driver.clear("r.a", "r.b") == [
        "r.a queued→none",
        "r.b scheduled→none",
        "done 2",
        "r.a none→queued try 2",
        "r.b none→scheduled try 2",
        "offer default: r.a",
    ]
    assert driver.row("r.a").dispatch_no > old


def test_clearing_a_none_task_instance_changes_nothing() -> None:
    driver = Driver(dag("d", "a", "b < a"))
    driver.trigger()
    assert driver.clear("r.b") == ["done 2"]


def test_clearing_a_running_task_ends_it_first_and_only_then_runs_it_again() -> None:
    driver = Driver(dag("d", specs=tasks("a", a={"retries": 2})))
    driver.trigger()
    driver.run_task("r.a")
    assert driver.clear("r.a") == ["r.a running→restarting", "revoke r.a to none", "done 2"]
    assert driver.row("r.a").max_tries == 3
    assert driver.clear("r.a") == ["done 3"]
    assert driver.end("r.a", S.FAILED) == ["r.a none→queued try 2", "offer default: r.a"]


def test_clearing_a_finished_run_runs_it_again() -> None:
    driver = Driver(dag("d", "a", "b < a"))
    driver.trigger()
    driver.end("r.a")
    driver.end("r.b", S.FAILED)
    assert driver.clear("r.b") == [
        "r.b failed→none",
        "r failed→queued",
        "done 2",
        "r queued→running",
        "r.b none→queued try 2",
        "offer default: r.b",
    ]
    assert driver.end("r.b") == ["r running→success", "failures d 0"]


def test_clearing_without_reset_leaves_the_run_ended() -> None:
    driver = Driver(dag("d", "a"))
    driver.trigger()
    driver.end("r.a")
    assert driver.clear("r.a", reset_run=False) == ["r.a success→none", "done 2"]
    assert driver.run().state is DagRunState.SUCCESS


def test_a_clear_is_refused_when_somebody_was_faster() -> None:
    driver = Driver(dag("d", "a", "b < a"))
    driver.trigger()
    row = driver.row("r.a")
    seen = TaskTarget(row.ti_id, "a", expected=S.FAILED)
    assert driver.act(ClearTaskInstances(run_key=row.run_key, targets=(seen,))) == [
        "refused: task instance 'a' is queued now, not failed as when you looked"
    ]
    unknown = TaskTarget(4711, "x")
    assert driver.act(ClearTaskInstances(run_key=row.run_key, targets=(unknown,))) == [
        "refused: the run has no task instance 'x' with id 4711"
    ]


@pytest.mark.parametrize("state", [S.SUCCESS, S.FAILED, S.SKIPPED])
def test_marking_what_waits_takes_effect_at_once(state: TaskInstanceState) -> None:
    driver = Driver(dag("d", "a", "b < a"))
    driver.trigger()
    follow = {
        S.SUCCESS: ["r.b none→queued try 1", "offer default: r.b"],
        S.FAILED: ["r.b none→upstream_failed", "r running→failed", "failures d 1"],
        S.SKIPPED: ["r.b none→skipped", "r running→success"],
    }
    assert driver.mark(state, "r.a") == [f"r.a queued→{state}", "done 2", *follow[state]]


def test_marking_a_running_task_ends_it_and_then_takes_the_mark() -> None:
    driver = Driver(dag("d", "a", "b < a"))
    driver.trigger()
    driver.run_task("r.a")
    assert driver.mark(S.SUCCESS, "r.a") == ["revoke r.a to success", "done 2"]
    assert driver.mark(S.SUCCESS, "r.a") == ["done 3"]
    assert driver.end("r.a", S.FAILED) == ["r.b none→queued try 1", "offer default: r.b"]
    assert driver.states()["a"] == "success"


def test_marking_success_runs_what_had_failed_because_of_it() -> None:
    driver = Driver(dag("d", "a", "b < a", "c < b"))
    driver.trigger()
    driver.end("r.a", S.FAILED)
    assert driver.mark(S.SUCCESS, "r.a") == [
        "r.a failed→success",
        "r.b upstream_failed→none",
        "r.c upstream_failed→none",
        "r failed→queued",
        "done 2",
        "r queued→running",
        "r.b none→queued try 1",
        "offer default: r.b",
    ]


def test_only_final_states_can_be_marked() -> None:
    driver = Driver(dag("d", "a"))
    driver.trigger()
    assert driver.mark(S.RUNNING, "r.a") == [
        "refused: a task instance can be marked success, failed or skipped, not running"
    ]


def test_a_task_that_the_dag_no_longer_has_cannot_be_marked() -> None:
    driver = Driver(dag("d", "a", "b"))
    driver.trigger()
    row = driver.row("r.a")
    driver.db.tasks[row.ti_id] = type(row)(ti_id=row.ti_id, run_key=row.run_key, task_id="a", state=S.REMOVED)
    driver.fail_over()
    assert driver.mark(S.SUCCESS, "r.a") == [
        "refused: the run no longer has the task instance 'a'; it cannot be marked"
    ]


# ---------------------------------------------------------------- offers


def test_a_dispatch_that_nobody_claims_is_offered_again_at_growing_intervals() -> None:
    driver = Driver(dag("d", "a"), reoffer_after=5.0)
    driver.trigger()
    heard = [second for second in range(1, 200) if driver.wait(1) == ["offer default: r.a"]]
    assert heard == [5, 15, 35, 75, 135, 195]


def test_a_claimed_dispatch_is_not_offered_again() -> None:
    driver = Driver(dag("d", "a"), reoffer_after=5.0)
    driver.trigger()
    driver.run_task("r.a")
    assert driver.wait(100) == []


def test_a_pool_appears_and_disappears() -> None:
    driver = Driver(dag("d", specs=tasks("a", a={"pool": "gpu"})))
    assert driver.trigger()[-1] == "r.a none→scheduled try 1"
    driver.db.pools["gpu"] = PoolRecord(name="gpu", slots=1)
    pools = PoolsLoaded(pools=tuple(driver.db.pools.values()))
    assert driver.settle(pools) == ["r.a scheduled→queued try 1", "offer default: r.a"]
