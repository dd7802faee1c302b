"""The contract of SchedulerStore, over every adapter."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec
import pytest

from dagdeck_core import actions as a
from dagdeck_core.errors import EnvironmentFault
from dagdeck_core.ports import GuardFailed, LeadershipLost
from dagdeck_core.records import AskedRuns, PoolRecord, WorkerState
from dagdeck_core.scheduling import decisions as d
from dagdeck_core.states import DagRunState, TaskInstanceState
from dagdeck_io.db.retention import Retention
from tests.contract.store_world import NOW, StoreWorld, task_spec
from tests.support.retention_periods import periods

S = TaskInstanceState
R = DagRunState


# ------------------------------------------------------------------ leadership


def test_lease_is_taken_renewed_and_given_up(stores: StoreWorld) -> None:
    first, second = stores.scheduler, stores.another_scheduler(takeover=60)
    epoch = first.acquire_leadership("first")
    assert epoch is not None
    assert second.acquire_leadership("second") is None
    first.renew_leadership(epoch)
    first.release_leadership(epoch)
    later = second.acquire_leadership("second")
    assert later is not None
    assert later > epoch
    with pytest.raises(LeadershipLost):
        first.renew_leadership(epoch)
    first.release_leadership(epoch)  # harmless
    second.renew_leadership(later)


def test_silent_leader_is_replaced_and_its_epoch_refused(stores: StoreWorld) -> None:
    clock = [0.0]
    epoch = stores.lead()
    run_key, (ti_id,) = stores.run()
    second = stores.another_scheduler(takeover=10, monotonic=lambda: clock[0])
    assert second.acquire_leadership("second") is None
    clock[0] = 9.0
    stores.scheduler.renew_leadership(epoch)
    clock[0] = 11.0
    assert second.acquire_leadership("second") is None, "it was raised in between"
    clock[0] = 20.9
    assert second.acquire_leadership("second") is None
    clock[0] = 21.1
    later = second.acquire_leadership("second")
    assert later == epoch + 1
    move = stores.move(ti_id, S.SCHEDULED)
    with pytest.raises(EnvironmentFault):  # its connection was ended, or it is told at once
        stores.scheduler.renew_leadership(epoch)
    for call in (
        lambda: stores.scheduler.commit(epoch, NOW, [move]),
        lambda: stores.scheduler.load(epoch),
        lambda: stores.scheduler.load_runs(epoch, [run_key]),
        lambda: stores.scheduler.unfinished_run_keys(epoch),
        lambda: stores.scheduler.load_dags(epoch, None),
        lambda: stores.scheduler.load_pools(epoch),
    ):
        with pytest.raises(LeadershipLost):
            call()
    assert stores.task(ti_id)["state"] is S.NONE
    second.commit(later, NOW, [move])
    assert stores.task(ti_id)["state"] is S.SCHEDULED


def test_taker_ends_the_open_transaction_of_the_old_leader(stores: StoreWorld) -> None:
    if stores.database.kind == "sqlite":
        pytest.skip("nobody can end another process's transaction on SQLite; its lock dies with it")
    epoch = stores.lead()
    _, (ti_id,) = stores.run()
    frozen = stores.scheduler.connection
    script = frozen.script()
    stores.scheduler.leadership.check(script, epoch)
    script.add(f"UPDATE task_instance SET state = 'failed' WHERE ti_id = {ti_id}", expect=1)
    frozen.run(script, commit=False)  # frozen here, before COMMIT
    clock = [0.0]
    second = stores.another_scheduler(takeover=1, monotonic=lambda: clock[0])
    assert second.acquire_leadership("second") is None
    clock[0] = 2.0
    later = second.acquire_leadership("second")
    assert later is not None
    assert stores.task(ti_id)["state"] is S.NONE
    second.commit(later, NOW, [stores.move(ti_id, S.SCHEDULED)])
    assert stores.task(ti_id)["state"] is S.SCHEDULED


# ------------------------------------------------------------------ loading


def test_load_gives_everything_unfinished(stores: StoreWorld) -> None:
    epoch = stores.lead()
    tasks = (task_spec("a", retries=2, pool="p"), task_spec("b"))
    day = NOW - timedelta(days=1)
    run_key, ti_ids = stores.run("d", tasks, logical_date=day, conf={"x": [1, "ü"]}, note="n")
    finished, _ = stores.run("d", tasks)
    stores.end_run(finished)
    worker_id = stores.register()
    snapshot = stores.scheduler.load(epoch)
    ((dag, version),) = snapshot.dags
    assert (dag.dag_id, dag.version_id, version.spec.tasks) == ("d", version.version_id, tasks)
    ((run, rows),) = snapshot.runs
    assert (run.run_key, run.state, run.logical_date, run.conf, run.note) == (
        run_key,
        R.RUNNING,
        day,
        {"x": [1, "ü"]},
        "n",
    )
    assert run.created_tasks == 2
    assert [(row.ti_id, row.task_id, row.max_tries, row.state) for row in rows] == [
        (ti_ids[0], "a", 2, S.NONE),
        (ti_ids[1], "b", 0, S.NONE),
    ]
    assert snapshot.pools == (PoolRecord(name="default_pool", slots=128),)
    assert [worker.worker_id for worker in snapshot.workers] == [worker_id]
    assert snapshot.versions == ()
    assert stores.scheduler.unfinished_run_keys(epoch) == [run_key]


def test_load_gives_the_older_version_that_a_run_is_pinned_to(stores: StoreWorld) -> None:
    epoch = stores.lead()
    old = stores.dag("d", task_spec("a"))
    stores.run("d")
    new = stores.dag("d", task_spec("a"), task_spec("b"))
    snapshot = stores.scheduler.load(epoch)
    assert [version.version_id for _, version in snapshot.dags] == [new]
    assert [version.version_id for version in snapshot.versions] == [old]


def test_load_gives_an_ended_run_whose_dispatch_is_still_being_revoked(stores: StoreWorld) -> None:
    epoch = stores.lead()
    run_key, (ti_id,) = stores.run()
    worker_id = stores.register()
    number = stores.running(ti_id, worker_id)
    stores.commit(stores.revoke(ti_id, number, worker_id, S.FAILED))
    stores.end_run(run_key, state=R.FAILED)
    snapshot = stores.scheduler.load(epoch)
    assert [(run.run_key, [row.revoke_to for row in rows]) for run, rows in snapshot.runs] == [(run_key, [S.FAILED])]
    assert stores.scheduler.unfinished_run_keys(epoch) == []
    stores.worker.transact(worker_id, [stores.finish(ti_id, number, S.FAILED, revoked=True)], [])
    assert stores.scheduler.load(epoch).runs == ()


def test_load_runs_gives_finished_ones_and_leaves_out_unknown_keys(stores: StoreWorld) -> None:
    epoch = stores.lead()
    run_key, (ti_id,) = stores.run()
    stores.end_run(run_key)
    versions, runs = stores.scheduler.load_runs(epoch, [run_key, 12345])
    assert [version.version_id for version in versions] == [stores.version_of("d")]
    assert [(run.run_key, run.state, [row.ti_id for row in rows]) for run, rows in runs] == [
        (run_key, R.SUCCESS, [ti_id])
    ]
    assert stores.scheduler.load_runs(epoch, []) == ([], [])


def test_dags_pools_and_revisions(stores: StoreWorld) -> None:
    epoch = stores.lead()
    stores.dag("d1")
    stores.dag("d2")
    before = stores.scheduler.dag_revisions()
    assert set(before) == {"d1", "d2"}
    stores.dag("d2", task_spec("other"))
    stores.commit(d.PauseDag(dag_id="d1", is_paused=False))
    after = stores.scheduler.dag_revisions()
    assert all(after[dag_id] > before[dag_id] for dag_id in before)
    ((one, _),) = stores.scheduler.load_dags(epoch, ["d1", "unknown"])
    assert (one.dag_id, one.is_paused) == ("d1", False)
    assert [dag.dag_id for dag, _ in stores.scheduler.load_dags(epoch, None)] == ["d1", "d2"]
    assert stores.scheduler.load_dags(epoch, []) == []
    stores.commit(d.WritePool(name="p", slots=-1, description="all", include_deferred=True))
    stores.commit(d.WritePool(name="p", slots=3))
    assert PoolRecord(name="p", slots=3) in stores.scheduler.load_pools(epoch)
    stores.commit(d.WritePool(name="p", slots=None))
    assert [pool.name for pool in stores.scheduler.load_pools(epoch)] == ["default_pool"]


def test_trigger_facts_and_previous_run(stores: StoreWorld) -> None:
    stores.lead()
    days = [NOW + timedelta(days=number) for number in range(3)]
    keys = [stores.run("d", run_id=f"r{n}", logical_date=day)[0] for n, day in enumerate(days)]
    facts = stores.scheduler.trigger_facts
    assert facts("d", "r1", None) == ({"r1": keys[1]}, False)
    assert facts("d", None, days[2]) == ({}, True)
    assert facts("other", "r1", days[0]) == ({}, False)
    assert facts("d", "R1", None) == ({}, False), "names are told apart by case"
    assert stores.scheduler.previous_run_key("d", days[2]) == keys[1]
    assert stores.scheduler.previous_run_key("d", days[0]) is None


# ------------------------------------------------------------------ runs


def test_run_is_created_with_its_counts_transition_and_attention(stores: StoreWorld) -> None:
    run_key, _ = stores.run("d", state=R.QUEUED)
    assert stores.stats() == {"queued": 1}
    assert stores.attention("unfinished_run") == [run_key]
    stores.commit(d.MoveRun(run_key=run_key, dag_id="d", old=R.QUEUED, new=R.RUNNING, reason="room", cause="c"))
    (row,) = stores.rows("dag_run", run_key=run_key)
    assert (row["state"], row["start_date"], row["end_date"]) == (R.RUNNING, NOW, None)
    later = NOW + timedelta(seconds=5)
    stores.commit(d.MoveRun(run_key=run_key, dag_id="d", old=R.RUNNING, new=R.FAILED), now=later)
    (row,) = stores.rows("dag_run", run_key=run_key)
    assert (row["state"], row["start_date"], row["end_date"]) == (R.FAILED, NOW, later)
    assert stores.stats() == {"failed": 1}
    assert stores.attention("unfinished_run") == []
    stores.commit(d.MoveRun(run_key=run_key, dag_id="d", old=R.FAILED, new=R.QUEUED, clear_number_up=True))
    (row,) = stores.rows("dag_run", run_key=run_key)
    assert (row["state"], row["start_date"], row["end_date"], row["clear_number"]) == (R.QUEUED, None, None, 1)
    assert stores.attention("unfinished_run") == [run_key]
    moves = [(t["from_state"], t["to_state"], t["ti_id"]) for t in stores.rows("transition", run_key=run_key)]
    assert moves == [
        ("none", "queued", None),
        ("queued", "running", None),
        ("running", "failed", None),
        ("failed", "queued", None),
    ]


def test_run_may_be_created_and_moved_in_one_batch(stores: StoreWorld) -> None:
    stores.lead()
    stores.dag("d")
    run_key = stores.database.new_id()
    record = stores.scheduler.load_runs(stores.epoch, [stores.run("d", state=R.QUEUED)[0]])[1][0][0]
    fresh = msgspec.structs.replace(record, run_key=run_key, run_id="other")
    stores.commit(
        d.CreateRun(run=fresh),
        d.MoveRun(run_key=run_key, dag_id="d", old=R.QUEUED, new=R.RUNNING),
        d.MoveRun(run_key=run_key, dag_id="d", old=R.RUNNING, new=R.SUCCESS),
    )
    assert stores.stats() == {"queued": 1, "success": 1}
    assert run_key not in stores.attention("unfinished_run")


@pytest.mark.parametrize("same", ["run_id", "logical_date"])
def test_taken_name_of_a_run_is_told(stores: StoreWorld, same: str) -> None:
    _, (ti_id,) = stores.run("d", run_id="r", logical_date=NOW)
    values: dict[str, Any] = {"run_id": "other", "logical_date": NOW + timedelta(days=1)}
    values[same] = "r" if same == "run_id" else NOW
    record = stores.scheduler.load_runs(stores.epoch, [stores.task(ti_id)["run_key"]])[1][0][0]
    fresh = msgspec.structs.replace(record, run_key=stores.database.new_id(), **values)
    with pytest.raises(GuardFailed) as failed:
        stores.commit(stores.move(ti_id, S.SCHEDULED), d.CreateRun(run=fresh))
    assert failed.value.taken == ("d", values["run_id"])
    assert stores.task(ti_id)["state"] is S.NONE, "nothing of the batch was written"
    assert stores.stats() == {"running": 1}


def test_runs_without_logical_date_do_not_collide(stores: StoreWorld) -> None:
    stores.run("d")
    stores.run("d")
    assert stores.stats() == {"running": 2}


def test_tasks_are_created_in_chunks_guarded_by_their_count(stores: StoreWorld) -> None:
    tasks = [task_spec(f"t{n}", queue="q", pool="p", pool_slots=2, operator_name="@task", retries=1) for n in range(3)]
    run_key, _ = stores.run("d", tasks[:1])
    seeds = tuple(d.TaskSeed(ti_id=stores.database.new_id(), task=task, map_index=-1, priority=9) for task in tasks[1:])
    chunk = d.CreateTasks(
        run_key=run_key,
        dag_id="d",
        run_id="x",
        version_id=stores.version_of("d"),
        seeds=seeds,
        old_count=1,
        new_count=3,
    )
    stores.commit(chunk)
    with pytest.raises(GuardFailed):
        stores.commit(chunk)
    row = stores.task(seeds[0].ti_id)
    assert (row["queue"], row["pool"], row["pool_slots"], row["priority_weight"]) == ("q", "p", 2, 9)
    assert (row["operator"], row["custom_operator_name"], row["max_tries"]) == ("PythonOperator", "@task", 1)
    assert len(stores.rows("task_instance", run_key=run_key)) == 3


def _expansion(stores: StoreWorld, run_key: int, summary_id: int | None, **options: Any) -> d.ExpandTask:
    values: dict[str, Any] = {
        "run_key": run_key,
        "dag_id": "d",
        "run_id": "x",
        "version_id": stores.version_of("d"),
        "task": task_spec("a", queue="q", retries=2, display_name="It's A"),
        "priority": 7,
        "first_index": 1,
        "ti_ids": (),
        "summary_id": summary_id,
    }
    return d.ExpandTask(**(values | options))


def test_an_expansion_is_written_in_chunks_and_its_summary_becomes_the_first(stores: StoreWorld) -> None:
    run_key, (summary,) = stores.run("d")
    first = tuple(stores.database.new_id() for _ in range(1500))
    stores.commit(_expansion(stores, run_key, summary, ti_ids=first))
    assert stores.task(summary)["map_index"] == -1, "it is there until the last chunk"
    last = (stores.database.new_id(),)
    number = stores.database.new_id()
    move = d.MoveTask(
        run_key=run_key,
        ti_id=last[0],
        old=S.NONE,
        new=S.QUEUED,
        old_no=0,
        new_no=number,
        try_number=1,
        max_tries=2,
    )
    stores.commit(_expansion(stores, run_key, summary, first_index=1501, ti_ids=last, is_last=True), move)
    rows = sorted(stores.rows("task_instance", run_key=run_key), key=lambda row: row["map_index"])
    assert [row["map_index"] for row in rows] == list(range(1502))
    assert [row["ti_id"] for row in rows] == [summary, *first, *last]
    assert {(row["queue"], row["max_tries"], row["priority_weight"]) for row in rows[1:-1]} == {("q", 2, 7)}
    assert rows[1]["task_display_name"] == "It's A"
    assert (rows[-1]["state"], rows[-1]["dispatch_no"]) == (S.QUEUED, number)
    loaded = stores.scheduler.load_runs(stores.epoch, [run_key])[1][0][1]
    assert len({record.map_index for record in loaded}) == 1502


def test_an_expansion_is_guarded_by_its_summary_and_its_indexes(stores: StoreWorld) -> None:
    run_key, (summary,) = stores.run("d")
    once = _expansion(stores, run_key, summary, ti_ids=(stores.database.new_id(),), is_last=True)
    stores.commit(once)
    with pytest.raises(GuardFailed):
        stores.commit(once)
    with pytest.raises(GuardFailed):
        stores.commit(_expansion(stores, run_key, summary, first_index=2, ti_ids=(stores.database.new_id(),)))
    with pytest.raises(GuardFailed):
        stores.commit(_expansion(stores, run_key, None, ti_ids=(stores.database.new_id(),)))
    stores.commit(_expansion(stores, run_key, None, first_index=2, ti_ids=(stores.database.new_id(),)))
    assert sorted(row["map_index"] for row in stores.rows("task_instance", run_key=run_key)) == [0, 1, 2]


def test_a_removed_instance_loses_what_it_had_pushed(stores: StoreWorld) -> None:
    run_key, (ti_id,) = stores.run("d", map_indexes=(0,))
    stores.insert("xcom", ti_id=ti_id, key="k", run_key=run_key, value="1", timestamp=NOW)
    stores.commit(stores.move(ti_id, S.REMOVED))
    assert stores.rows("xcom") == []
    assert stores.task(ti_id)["state"] is S.REMOVED


# ------------------------------------------------------------------ task instances


def test_move_to_queued_sets_the_new_dispatch(stores: StoreWorld) -> None:
    _, (ti_id,) = stores.run()
    stores.commit(stores.move(ti_id, S.SCHEDULED, priority=5, queue="gpu"))
    later = NOW + timedelta(seconds=1)
    number = stores.database.new_id()
    stores.commit(
        stores.move(
            ti_id, S.QUEUED, new_no=number, try_number=1, priority=6, queue="gpu", reason="slot free", cause="e:1"
        ),
        now=later,
    )
    row = stores.task(ti_id)
    assert (row["state"], row["dispatch_no"], row["try_number"]) == (S.QUEUED, number, 1)
    assert (row["queue"], row["priority_weight"]) == ("gpu", 6)
    assert (row["scheduled_at"], row["queued_at"]) == (NOW, later)
    last = stores.rows("transition", ti_id=ti_id)[-1]
    assert (last["dispatch_no"], last["reason"], last["cause"], last["actor"]) == (
        number,
        "slot free",
        "e:1",
        "scheduler",
    )


def test_moves_with_different_values_in_one_batch(stores: StoreWorld) -> None:
    tasks = [task_spec(f"t{n}") for n in range(600)]
    _, ti_ids = stores.run("d", tasks)
    rows = {row["ti_id"]: row for row in stores.rows("task_instance")}
    moves = [
        d.MoveTask(
            run_key=rows[ti_id]["run_key"],
            ti_id=ti_id,
            old=S.NONE,
            new=S.QUEUED,
            old_no=0,
            new_no=stores.database.new_id(),
            try_number=1,
            max_tries=number % 3,
            priority=number,
            queue=f"q'{number % 2}\\",
            next_at=NOW + timedelta(microseconds=number) if number % 2 else None,
        )
        for number, ti_id in enumerate(ti_ids)
    ]
    stores.commit(*reversed(moves))
    for number, (move, row) in enumerate(zip(moves, stores.rows("task_instance"), strict=True)):
        assert row["ti_id"] == move.ti_id
        assert (row["dispatch_no"], row["max_tries"], row["priority_weight"], row["queue"], row["next_at"]) == (
            move.new_no,
            number % 3,
            number,
            move.queue,
            move.next_at,
        )


@pytest.mark.parametrize("wrong", ["state", "dispatch", "gone"])
def test_failed_guard_leaves_nothing(stores: StoreWorld, wrong: str) -> None:
    run_key, (one, two) = stores.run("d", [task_spec("a"), task_spec("b")])
    stores.queue(two)
    change: dict[str, dict[str, Any]] = {
        "state": {"old": S.SCHEDULED},
        "dispatch": {"old_no": 5, "new_no": 5},
        "gone": {"ti_id": 99},
    }
    bad = stores.move(two, S.SUCCESS, **change[wrong])
    before = stores.rows("task_instance"), stores.rows("transition"), stores.rows("attention"), stores.stats()
    with pytest.raises(GuardFailed):
        stores.commit(
            stores.move(one, S.FAILED),
            bad,
            d.MoveRun(run_key=run_key, dag_id="d", old=R.RUNNING, new=R.FAILED),
        )
    after = stores.rows("task_instance"), stores.rows("transition"), stores.rows("attention"), stores.stats()
    assert after == before


def test_guard_does_not_mix_up_pairs(stores: StoreWorld) -> None:
    """Two task instances whose expected dispatches are swapped must both miss."""
    _, (one, two) = stores.run("d", [task_spec("a"), task_spec("b")])
    first, second = stores.queue(one, two)
    with pytest.raises(GuardFailed):
        stores.commit(
            stores.move(one, S.SCHEDULED, old_no=second, new_no=second),
            stores.move(two, S.SCHEDULED, old_no=first, new_no=first),
        )


def test_several_moves_of_one_task_instance_happen_in_order(stores: StoreWorld) -> None:
    _, (ti_id,) = stores.run()
    first = stores.move(ti_id, S.SCHEDULED)
    number = stores.database.new_id()
    queued = stores.move(ti_id, S.QUEUED, old=S.SCHEDULED, new_no=number, try_number=1)
    back = stores.move(ti_id, S.SCHEDULED, old=S.QUEUED, old_no=number, new_no=number, try_number=0, reason="recalled")
    stores.commit(first, queued, back)
    assert stores.transitions(ti_id) == [("none", "scheduled"), ("scheduled", "queued"), ("queued", "scheduled")]
    assert stores.task(ti_id)["state"] is S.SCHEDULED
    (history,) = stores.rows("task_instance_history", ti_id=ti_id)
    assert (history["dispatch_no"], history["state"], history["ended_by"], history["reason"]) == (
        number,
        S.QUEUED,
        "scheduler",
        "recalled",
    )


def test_terminal_moves_and_clear(stores: StoreWorld) -> None:
    _, (ti_id,) = stores.run()
    stores.commit(stores.move(ti_id, S.FAILED, reason="marked"))
    row = stores.task(ti_id)
    assert (row["state"], row["start_date"], row["end_date"]) == (S.FAILED, NOW, NOW)
    assert stores.attention("failed_task") == [ti_id]
    stores.insert("xcom", ti_id=ti_id, key="k", run_key=row["run_key"], value="1", timestamp=NOW)
    stores.commit(stores.move(ti_id, S.NONE, try_number=3, max_tries=5))
    row = stores.task(ti_id)
    assert (row["state"], row["start_date"], row["end_date"], row["try_number"], row["max_tries"]) == (
        S.NONE,
        None,
        None,
        3,
        5,
    )
    assert stores.attention("failed_task") == []
    assert stores.rows("xcom") == []


def test_redispatch_ends_the_earlier_dispatch(stores: StoreWorld) -> None:
    _, (ti_id,) = stores.run()
    worker_id = stores.register()
    number = stores.running(ti_id, worker_id)
    fresh = stores.database.new_id()
    later = NOW + timedelta(days=400)
    stores.commit(stores.move(ti_id, S.QUEUED, new_no=fresh, lost_count=1, reason="worker lost"), now=later)
    row = stores.task(ti_id)
    assert (row["dispatch_no"], row["lost_count"], row["worker_id"], row["start_date"]) == (fresh, 1, None, None)
    (history,) = stores.rows("task_instance_history")
    assert (history["dispatch_no"], history["state"], history["worker_id"], history["end_date"]) == (
        number,
        S.FAILED,
        worker_id,
        later,
    )
    assert history["duration"] == pytest.approx((later - history["start_date"]).total_seconds())


def test_cleared_task_takes_the_version_of_its_run(stores: StoreWorld) -> None:
    old = stores.dag("d", task_spec("a"), task_spec("b"))
    run_key, (one, two) = stores.run("d", [task_spec("a"), task_spec("b")])
    stores.commit(stores.move(one, S.SUCCESS))
    new = stores.dag("d", task_spec("a", pool="p2", queue="q2"), task_spec("b", pool="p2", pool_slots=4))
    stores.commit(d.RepinRun(run_key=run_key, version_id=new))
    assert stores.rows("dag_run", run_key=run_key)[0]["version_id"] == new
    assert stores.task(one)["version_id"] == old
    assert (stores.task(two)["version_id"], stores.task(two)["pool"], stores.task(two)["pool_slots"]) == (new, "p2", 4)
    stores.commit(stores.move(one, S.NONE))
    assert stores.task(one)["version_id"] == new


# ------------------------------------------------------------------ workers, ready rows, DAG rows


def test_worker_is_declared_lost_only_at_the_counter_that_was_seen(stores: StoreWorld) -> None:
    worker_id = stores.register()
    (seen,) = stores.scheduler.load_workers()
    stores.lease.renew(worker_id)
    lost = d.DeclareWorkerLost(worker_id=worker_id, counter=seen.counter, reason="silent for 20 s")
    with pytest.raises(GuardFailed):
        stores.commit(lost)
    (seen,) = stores.scheduler.load_workers()
    stores.commit(d.DeclareWorkerLost(worker_id=worker_id, counter=seen.counter, reason="silent for 20 s"))
    assert stores.scheduler.load_workers() == []
    (row,) = stores.rows("worker")
    assert (row["state"], row["reason"], row["ended_at"]) == (WorkerState.LOST, "silent for 20 s", NOW)
    with pytest.raises(GuardFailed):
        stores.commit(d.SetWorkerState(worker_id=worker_id, state="draining"))


def test_worker_is_drained(stores: StoreWorld) -> None:
    worker_id = stores.register()
    stores.commit(d.SetWorkerState(worker_id=worker_id, state="draining"))
    assert stores.worker.is_draining(worker_id)
    assert [worker.state for worker in stores.scheduler.load_workers()] == [WorkerState.DRAINING]
    stores.commit(d.SetWorkerState(worker_id=worker_id, state="active"))
    assert not stores.worker.is_draining(worker_id)


def test_ready_rows_are_written_once_and_emptied(stores: StoreWorld) -> None:
    _, (ti_id,) = stores.run()
    (number,) = stores.queue(ti_id)
    offer = d.Offer(queue="default", dispatches=((ti_id, number, 7),), as_rows=True)
    stores.commit(offer)
    stores.commit(offer, d.Offer(queue="default", dispatches=((1, 2, 3),)))
    ((row),) = stores.rows("ready")
    assert (row["queue"], row["ti_id"], row["dispatch_no"], row["priority"]) == ("default", ti_id, number, 7)
    stores.commit(d.EmptyReady(), offer)
    assert len(stores.rows("ready")) == 1
    stores.commit(d.EmptyReady())
    assert stores.rows("ready") == []


def test_recalled_dispatch_leaves_the_ready_table(stores: StoreWorld) -> None:
    _, (ti_id,) = stores.run()
    (number,) = stores.queue(ti_id)
    stores.commit(d.Offer(queue="default", dispatches=((ti_id, number, 7),), as_rows=True))
    stores.commit(stores.move(ti_id, S.SCHEDULED))
    assert stores.rows("ready") == []


def test_next_run_pause_and_failure_count_are_stored(stores: StoreWorld) -> None:
    stores.lead()
    stores.dag("d")
    day = timedelta(days=1)
    asked = AskedRuns(next_run_id="it's mine", next_partition_date=NOW, last_is_dateless=True)
    stores.commit(
        d.ScheduleNext(
            dag_id="d",
            run_after=NOW + day,
            interval_start=NOW,
            interval_end=NOW + day,
            last_interval_start=NOW - day,
            last_interval_end=NOW,
            asked=asked,
        ),
        d.CountFailures(dag_id="d", consecutive_failures=3),
        d.PauseDag(dag_id="d", is_paused=True),
    )
    ((dag, _),) = stores.scheduler.load_dags(stores.epoch, ["d"])
    assert (dag.next_run_after, dag.next_interval_start, dag.next_interval_end) == (NOW + day, NOW, NOW + day)
    assert (dag.last_interval_start, dag.last_interval_end, dag.asked) == (NOW - day, NOW, asked)
    assert (dag.consecutive_failures, dag.is_paused) == (3, True)
    stores.commit(d.ScheduleNext(dag_id="d", run_after=None))
    ((dag, _),) = stores.scheduler.load_dags(stores.epoch, ["d"])
    assert (dag.next_run_after, dag.asked) == (None, None)


# ------------------------------------------------------------------ removals, notes, actions


def test_deleting_a_run_takes_everything_of_it(stores: StoreWorld) -> None:
    run_key, (ti_id,) = stores.run()
    other, (kept,) = stores.run()
    worker_id = stores.register()
    for each in (ti_id, kept):
        number = stores.running(each, worker_id)
        stores.worker.transact(worker_id, [stores.finish(each, number, S.FAILED)], [])
        stores.insert("xcom", ti_id=each, key="k", run_key=run_key, value="1", timestamp=NOW)
    stores.end_run(run_key, state=R.FAILED)
    stores.commit(d.DeleteRun(run_key=run_key, dag_id="d"))
    assert stores.stats() == {"running": 1}
    assert [row["run_key"] for row in stores.rows("dag_run")] == [other]
    assert [row["subject_id"] for row in stores.rows("removal")] == [run_key]
    retention = Retention(connection=stores.scheduler.connection, periods=periods())
    while retention.step(NOW):
        pass
    assert stores.rows("removal") == []
    for table in ("task_instance", "xcom", "task_instance_history"):
        assert [row["ti_id"] for row in stores.rows(table)] == [kept], table
    assert {row["run_key"] for row in stores.rows("transition")} == {other}
    assert stores.attention("failed_task") == [kept]
    with pytest.raises(GuardFailed):
        stores.commit(d.DeleteRun(run_key=run_key, dag_id="d"))


def test_deleting_a_dag_takes_its_runs_and_versions(stores: StoreWorld) -> None:
    stores.dag("d", tags=("x",))
    stores.run("d")
    stores.run("kept")
    keys = stores.scheduler.run_keys_of("d", 10)
    record = stores.scheduler.run_record(keys[0])
    assert record is not None
    assert (record.run_key, record.dag_id) == (keys[0], "d")
    stores.commit(*(d.DeleteRun(run_key=key, dag_id="d") for key in keys), d.DeleteDagRows(dag_id="d"))
    assert stores.scheduler.run_record(keys[0]) is None
    retention = Retention(connection=stores.scheduler.connection, periods=periods())
    while retention.step(NOW):
        pass
    for table in ("dag", "dag_run", "dag_version", "dag_stats"):
        assert {row["dag_id"] for row in stores.rows(table)} == {"kept"}, table
    assert len(stores.rows("task_instance")) == 1
    assert stores.rows("dag_tag") == []


def test_notes(stores: StoreWorld) -> None:
    run_key, (ti_id,) = stores.run()
    stores.commit(
        d.WriteNote(run_key=run_key, ti_id=None, note="it's\\ 'so'\0"),
        d.WriteNote(run_key=run_key, ti_id=ti_id, note="x" * 10_000),
    )
    assert stores.rows("dag_run")[0]["note"] == "it's\\ 'so'\0"
    assert stores.task(ti_id)["note"] == "x" * 10_000
    stores.commit(d.WriteNote(run_key=run_key, ti_id=None, note=None))
    assert stores.rows("dag_run")[0]["note"] is None


def _post(stores: StoreWorld, action: Any) -> int:
    action_id = stores.database.new_id()
    payload = msgspec.to_builtins(action)
    stores.insert(
        "action",
        action_id=action_id,
        kind=payload["kind"],
        payload=payload,
        state=a.ActionState.PENDING,
        actor="ann",
        source="cli",
        requested_at=NOW,
    )
    return action_id


def test_actions_are_read_ended_and_audited(stores: StoreWorld) -> None:
    run_key, (ti_id,) = stores.run(run_id="r")
    clear = a.ClearTaskInstances(run_key=run_key, targets=(a.TaskTarget(ti_id, "a"),))
    first = _post(stores, clear)
    second = _post(stores, a.SetDagRunState(run_key=run_key, state=R.FAILED))
    records = stores.scheduler.pending_actions(10)
    assert [(record.action_id, record.actor, record.source) for record in records] == [
        (first, "ann", "cli"),
        (second, "ann", "cli"),
    ]
    assert records[0].action == clear
    assert records[0].requested_at == NOW
    assert len(stores.scheduler.pending_actions(1)) == 1
    stores.commit(d.EndAction(action_id=first, result={"cleared": 1}), d.EndAction(action_id=second, refused="it runs"))
    assert stores.scheduler.pending_actions(10) == []
    done, refused = stores.rows("action")
    assert (done["state"], done["result"], done["ended_at"]) == (a.ActionState.DONE, {"cleared": 1}, NOW)
    assert (refused["state"], refused["refused"]) == (a.ActionState.REFUSED, "it runs")
    told, told_refused = stores.rows("audit_log")
    assert (told["event"], told["owner"], told["source"], told["action_id"]) == (
        "clear_task_instances",
        "ann",
        "cli",
        first,
    )
    assert (told["dag_id"], told["run_id"], told["task_id"], told["map_index"]) == ("d", "r", "a", -1)
    assert told["extra"]["before"]["task_instances"][0]["state"] == "none"
    assert told_refused["refused"] == "it runs"
    assert told_refused["extra"]["before"] == told_refused["extra"]["after"]
    with pytest.raises(GuardFailed):
        stores.commit(d.EndAction(action_id=first))


def test_action_of_a_newer_version_is_refused_and_blocks_nothing(stores: StoreWorld) -> None:
    strange = stores.database.new_id()
    stores.insert(
        "action",
        action_id=strange,
        kind="teleport",
        payload={"kind": "teleport"},
        state=a.ActionState.PENDING,
        actor="ann",
        source="cli",
        requested_at=NOW,
    )
    good = _post(stores, a.SetDagsPaused(dag_ids=("d",), is_paused=True))
    assert [record.action_id for record in stores.scheduler.pending_actions(10)] == [good]
    (row,) = stores.rows("action", action_id=strange)
    assert row["state"] is a.ActionState.REFUSED
    assert "teleport" in row["refused"]
