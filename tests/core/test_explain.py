"""What is said about everything that waits: the gates, their words and their numbers."""

from __future__ import annotations

import dataclasses
from datetime import timedelta
from typing import Any

import pytest

from dagdeck_core.actions import SetWorkerDrain, TriggerDagRun
from dagdeck_core.records import PoolRecord
from dagdeck_core.scheduling.events import PoolsLoaded
from dagdeck_core.scheduling.explain import Gate, GateKind, explain_run, explain_task
from dagdeck_core.scheduling.gates import listed, span
from dagdeck_core.spec import DagSpec, TriggerRule
from dagdeck_core.states import DagRunState, TaskInstanceState
from tests.core.machine_driver import START, Driver, dag, tasks

S = TaskInstanceState
K = GateKind


def said(gates: list[Gate]) -> list[tuple[str, str]]:
    return [(gate.kind.value, gate.reason) for gate in gates]


def triggered(spec: DagSpec, *, slots: int = 16, **pools: int) -> Driver:
    driver = Driver(spec, slots=slots)
    for name, count in pools.items():
        driver.db.pools[name] = PoolRecord(name=name, slots=count)
    driver.settle(PoolsLoaded(pools=tuple(driver.db.pools.values())))
    driver.trigger()
    return driver


# ---------------------------------------------------------------- runs


def test_a_paused_dag_holds_its_runs_and_their_tasks() -> None:
    driver = Driver(dag("d", "a"))
    driver.pause()
    driver.trigger()
    paused = ("dag_paused", "the DAG d is paused, so nothing new starts in it")
    assert said(explain_run(driver.facts())) == [paused]
    assert said(driver.explain("r.a")) == [paused]


def test_max_active_runs() -> None:
    driver = Driver(dag("d", "a", max_active_runs=1))
    driver.trigger("r1")
    driver.trigger("r2")
    assert explain_run(driver.facts("r1")) == []
    gate = explain_run(driver.facts("r2"))[0]
    assert (gate.kind, gate.reason) == (K.MAX_ACTIVE_RUNS, "max_active_runs: 1 of 1 runs of d are running")
    assert gate.numbers == {"active": 1, "limit": 1}
    assert gate.opens == "when one of them ends, or when the DAG allows more"


def test_a_run_in_the_future() -> None:
    driver = Driver(dag("d", "a"))
    at = START + timedelta(hours=26)
    driver.trigger(run_after=at)
    gate = explain_run(driver.facts())[0]
    assert (gate.kind, gate.at) == (K.RUN_AFTER, at)
    assert gate.reason == "the run may start at 2026-01-02 02:00:00 UTC, in 1 d 2 h"


def test_a_run_that_is_being_created() -> None:
    driver = Driver(dag("d", *(f"t{i}" for i in range(30))), max_rows=10)
    driver.step(*driver.posted(TriggerDagRun(dag_id="d", run_id="r")))
    assert driver.run().state is DagRunState.RUNNING
    kinds = [gate.kind for gate in explain_run(driver.facts())]
    assert kinds == [K.RUN_CREATING]


def test_a_dag_that_was_deleted() -> None:
    driver = triggered(dag("d", "a", "b < a"))
    facts = driver.facts()
    assert said(explain_run(dataclasses.replace(facts, dag=None))) == [("dag_gone", "the DAG d was deleted")]


def test_an_ended_run_and_its_cleared_task() -> None:
    driver = triggered(dag("d", "a"))
    driver.end("r.a")
    assert explain_run(driver.facts()) == []
    driver.clear("r.a", reset_run=False)
    assert said(driver.explain("r.a")) == [("run_ended", "the run has ended (success)")]


# ---------------------------------------------------------------- upstream and branches


def test_upstream_names_who_is_waited_for() -> None:
    driver = triggered(dag("d", "a", "b", "c", "e < a b c"))
    driver.end("r.a")
    driver.run_task("r.b")
    gate = driver.explain("r.e")[0]
    assert gate.kind is K.UPSTREAM
    assert gate.reason == "trigger rule all_success: 2 of 3 upstream have not ended: b (running), c (queued)"
    assert gate.opens == "when b, c end"
    assert gate.subjects == ("b", "c")
    assert gate.numbers == {"total": 3, "ended": 1, "success": 1, "failed": 0}


def test_many_upstream_are_not_all_named() -> None:
    names = [f"t{i}" for i in range(9)]
    driver = triggered(dag("d", *names, "e < " + " ".join(names)))
    gate = driver.explain("r.e")[0]
    assert gate.reason.endswith("t4 (queued) and 4 more")
    assert len(gate.subjects) == 9


def test_a_branch_that_was_not_taken() -> None:
    driver = triggered(dag("d", "pick", "left < pick", "right < pick", "after < right"))
    driver.end("r.pick", skip=["right"])
    assert said(driver.explain("r.right")) == [("branch", "pick did not take this branch")]
    assert said(driver.explain("r.after")) == [("upstream", "trigger rule all_success cannot hold: right (skipped)")]


def test_upstream_failed() -> None:
    driver = triggered(dag("d", "a", "b < a", "c < b"))
    driver.end("r.a", S.FAILED)
    assert said(driver.explain("r.b")) == [("upstream", "trigger rule all_success cannot hold: a (failed)")]
    assert said(driver.explain("r.c")) == [("upstream", "trigger rule all_success cannot hold: b (upstream_failed)")]


def test_a_rule_that_fits_no_outcome() -> None:
    specs = tasks("a", "b < a", b={"trigger_rule": TriggerRule.ONE_FAILED})
    driver = triggered(dag("d", specs=specs))
    driver.end("r.a")
    assert said(driver.explain("r.b")) == [("upstream", "trigger rule one_failed cannot hold: a (success)")]


def test_what_ran_or_was_marked_needs_no_reason() -> None:
    driver = triggered(dag("d", "a", "b"))
    driver.run_task("r.a")
    assert driver.explain("r.a") == []
    driver.end("r.a", S.FAILED)
    assert driver.explain("r.a") == []
    driver.mark(S.SKIPPED, "r.b")
    assert driver.explain("r.b") == []


# ---------------------------------------------------------------- past and time


def past(**fields: Any) -> Driver:
    driver = Driver(dag("d", specs=tasks("a", "b < a", a={"depends_on_past": True, **fields})))
    for day in (1, 2):
        driver.trigger(f"r{day}", logical_date=START + timedelta(days=day))
    return driver


def test_depends_on_past() -> None:
    driver = past()
    gate = driver.explain("r2.a")[0]
    assert (gate.kind, gate.reason) == (K.DEPENDS_ON_PAST, "depends_on_past: in the run before, r1: a (queued)")
    assert driver.explain("r1.a")[0].kind is K.QUEUED


def test_wait_for_downstream() -> None:
    driver = past(wait_for_downstream=True)
    driver.end("r1.a")
    gate = driver.explain("r2.a")[0]
    assert gate.reason == "wait_for_downstream: in the run before, r1: b (queued)"


def test_a_retry() -> None:
    driver = triggered(dag("d", specs=tasks("a", a={"retries": 3})))
    at = driver.now + timedelta(seconds=200)
    driver.end("r.a", S.UP_FOR_RETRY, next_at=at)
    gate = driver.explain("r.a")[0]
    assert (gate.kind, gate.at) == (K.RETRY_AT, at)
    assert gate.reason == "try 1 of 4 failed; the next is at 2026-01-01 00:03:20 UTC, in 3 min 20 s"


def test_a_sensor_that_looks_again_later() -> None:
    driver = triggered(dag("d", "a"))
    driver.end("r.a", S.UP_FOR_RESCHEDULE, next_at=driver.now + timedelta(seconds=5))
    assert said(driver.explain("r.a")) == [
        ("rescheduled", "the sensor looks again at 2026-01-01 00:00:05 UTC, in 5.0 s")
    ]


@pytest.mark.parametrize(("state", "kind"), [(S.DEFERRED, K.DEFERRED), (S.AWAITING_INPUT, K.AWAITING_INPUT)])
def test_what_waits_for_others(state: TaskInstanceState, kind: GateKind) -> None:
    driver = triggered(dag("d", "a"))
    driver.end("r.a", state)
    assert [gate.kind for gate in driver.explain("r.a")] == [kind]


def test_what_waits_for_a_trigger_says_until_when() -> None:
    driver = triggered(dag("d", "a"))
    driver.end("r.a", S.DEFERRED, next_at=driver.now + timedelta(seconds=5))
    [gate] = driver.explain("r.a")
    assert gate.opens == (
        "when the trigger fires; without that it goes on at 2026-01-01 00:00:05 UTC, in 5.0 s, to fail"
    )
    assert gate.at == driver.now + timedelta(seconds=5)


# ---------------------------------------------------------------- limits


def test_a_full_pool() -> None:
    specs = tasks(*"abcd", **{name: {"pool": "narrow"} for name in "abcd"})
    driver = triggered(dag("d", specs=specs), narrow=3)
    gate = driver.explain("r.d")[0]
    assert (gate.kind, gate.reason) == (K.POOL_FULL, "pool narrow: 3 of 3 slots are used")
    assert gate.numbers == {"slots": 3, "used": 3, "needed": 1}


def test_a_pool_too_small_a_pool_missing_and_slots_kept_for_a_big_task() -> None:
    specs = tasks(
        *"abcde",
        a={"pool": "p", "pool_slots": 9, "priority_weight": 9},
        b={"pool": "none"},
        c={"pool": "p", "priority_weight": 5},
        d={"pool": "p", "pool_slots": 2, "priority_weight": 4},
        e={"pool": "p"},
    )
    driver = triggered(dag("d", specs=specs), p=2)
    assert said(driver.explain("r.a")) == [("pool_too_small", "pool p: it has 2 slots, and this needs 9")]
    assert said(driver.explain("r.b")) == [("pool_missing", "there is no pool named none")]
    assert said(driver.explain("r.d")) == [("pool_full", "pool p: 1 of 2 slots are used, and this needs 2")]
    assert said(driver.explain("r.e")) == [("priority", "no limit holds it (priority 1)")]


def test_limits_of_run_and_task() -> None:
    specs = tasks("a", "b", a={"max_active_tis_per_dag": 1, "max_active_tis_per_dagrun": 1})
    driver = Driver(dag("d", specs=specs, max_active_tasks=1))
    driver.trigger("r1")
    driver.trigger("r2")
    assert said(driver.explain("r1.b")) == [
        ("max_active_tasks", "max_active_tasks: 1 of 1 task instances of the run are queued or running")
    ]
    assert said(driver.explain("r2.a")) == [
        ("max_active_tasks", "max_active_tasks: 1 of 1 task instances of the run are queued or running"),
        (
            "max_active_tis_per_dag",
            "max_active_tis_per_dag: 1 of 1 task instances of a in all runs are queued or running",
        ),
    ]


# ---------------------------------------------------------------- workers


def test_no_worker_serves_the_queue() -> None:
    driver = triggered(dag("d", specs=tasks("a", a={"queue": "gpu"})))
    gate = driver.explain("r.a")[0]
    assert (gate.kind, gate.reason) == (K.NO_WORKER, "no worker serves the queue gpu")
    assert gate.opens == "when a worker is started with --queues gpu"


def test_workers_that_are_busy_draining_or_of_another_version() -> None:
    driver = triggered(dag("d", "a", "b"), slots=1)
    assert said(driver.explain("r.b")) == [("workers_busy", "queue default: all 1 slots of its workers are taken")]
    driver.act(SetWorkerDrain(worker_id=1, drain=True))
    assert said(driver.explain("r.b")) == [("workers_draining", "every worker of the queue default is draining")]
    driver.put_worker(1, wire_version=2, version="9.0")
    assert said(driver.explain("r.b")) == [
        ("workers_incompatible", "all workers of the queue default are of version 9.0")
    ]


def test_a_queued_task_says_how_long_it_waits_and_why_nobody_comes() -> None:
    driver = triggered(dag("d", "a"))
    since = driver.now
    driver.wait(12)
    gate = driver.explain("r.a", since)[0]
    assert (gate.kind, gate.reason) == (K.QUEUED, "it waits in the queue default for 12 s")
    assert gate.numbers == {"seconds": 12.0}
    driver.put_worker(1, queues=("other",))
    assert [gate.kind for gate in driver.explain("r.a", since)] == [K.NO_WORKER, K.QUEUED]


def test_being_ended() -> None:
    driver = triggered(dag("d", "a", "b"))
    driver.run_task("r.a")
    driver.run_task("r.b")
    driver.clear("r.a")
    driver.mark(S.SUCCESS, "r.b")
    assert said(driver.explain("r.a", driver.now)) == [
        ("being_ended", "its process is being ended, asked 0.0 s ago; then it runs again")
    ]
    assert said(driver.explain("r.b")) == [("being_ended", "its process is being ended; then it becomes success")]


# ---------------------------------------------------------------- words


def test_words() -> None:
    assert listed(range(3)) == "0, 1, 2"
    assert listed(range(7)) == "0, 1, 2, 3, 4 and 2 more"
    for seconds, text in [
        (0, "0.0 s"),
        (9.94, "9.9 s"),
        (60, "1 min"),
        (3600, "1 h"),
        (90_061, "1 d 1 h"),
        (-5, "0.0 s"),
    ]:
        assert span(START, START + timedelta(seconds=seconds)) == text


def test_every_gate_says_what_opens_it() -> None:
    driver = triggered(dag("d", "a", "b < a", "c", max_active_tasks=1))
    for name in ("r.a", "r.b", "r.c"):
        for gate in driver.explain(name):
            assert gate.reason
            assert gate.opens


def test_an_unknown_task_instance() -> None:
    facts = triggered(dag("d", "a")).facts()
    with pytest.raises(KeyError):
        explain_task(facts, 4711)
