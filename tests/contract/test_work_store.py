"""The contract of both stores about other work than task instances, over every adapter."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from dagdeck_core.ports import FinishWrite, GuardFailed, LogChunk
from dagdeck_core.records import DeadlineRecord
from dagdeck_core.scheduling import decisions as d
from dagdeck_core.spec import DeadlineSpec, ReferencePoint
from dagdeck_core.states import DagRunState, TaskInstanceState
from dagdeck_core.work import (
    NextRuns,
    Order,
    RunCallback,
    TaskCallback,
    TaskFacts,
    UnheardEnd,
    WorkRecord,
    WorkState,
    hint_id,
)
from dagdeck_io.db.retention import Retention
from tests.contract.store_world import NOW, StoreWorld, task_spec
from tests.support.retention_periods import periods

S = TaskInstanceState
ORDER = RunCallback(is_failure=True, reason="task_failure", task=TaskFacts(ti_id=5, task_id="a", error="it's ✗"))


def work(stores: StoreWorld, run_key: int = 0, order: Order = ORDER, **changes: Any) -> WorkRecord:
    """A committed piece of work, queued."""
    if not stores.rows("dag", dag_id="d"):
        stores.dag("d")
    values: dict[str, Any] = {
        "work_id": stores.database.new_id(),
        "order": order,
        "dag_id": "d",
        "version_id": stores.version_of("d"),
        "run_key": run_key,
        "state": WorkState.QUEUED,
        "dispatch_no": stores.database.new_id(),
    }
    record = WorkRecord(**{**values, **changes})
    stores.commit(d.CreateWork(work=record))
    return record


def loaded(stores: StoreWorld) -> tuple[WorkRecord, ...]:
    """All that is not settled."""
    return stores.scheduler.load_works(stores.epoch or stores.lead())


def end(record: WorkRecord, state: TaskInstanceState = S.SUCCESS, **changes: Any) -> FinishWrite:
    """A worker's end of it."""
    return FinishWrite(
        run_key=record.run_key,
        ti_id=hint_id(record.work_id),
        dispatch_no=record.dispatch_no,
        state=state,
        start_date=NOW,
        end_date=NOW + timedelta(seconds=1),
        duration=1.0,
        **changes,
    )


def test_work_is_loaded_as_it_was_made(stores: StoreWorld) -> None:
    first, second = work(stores), work(stores, order=NextRuns(at=NOW, last_start=NOW))
    assert loaded(stores) == (first, second)
    assert stores.scheduler.load(stores.epoch).works == (first, second)


def test_work_goes_from_claim_to_answer(stores: StoreWorld) -> None:
    record = work(stores, order=NextRuns(at=NOW))
    worker_id = stores.register()
    pair = (hint_id(record.work_id), record.dispatch_no)
    _, won = stores.worker.transact(worker_id, [], [pair])
    assert [(task.ti_id, task.dispatch_no, task.version_id, task.order) for task in won] == [
        (*pair, record.version_id, record.order)
    ]
    (running,) = loaded(stores)
    assert (running.state, running.worker_id) == (WorkState.RUNNING, worker_id)
    _, again = stores.worker.transact(worker_id, [], [pair])
    assert [task.dispatch_no for task in again] == [record.dispatch_no]
    log = LogChunk(ti_id=pair[0], dispatch_no=pair[1], try_number=0, offset=0, data=b"asked\n")
    for _ in range(2):  # the same report twice is success
        ends, _ = stores.worker.transact(worker_id, [end(record, answer={"next": ["x", 1]}, log=log)], [])
        assert ends == [(record.dispatch_no, S.SUCCESS)]
    (ended,) = loaded(stores)
    assert (ended.state, ended.answer) == (WorkState.SUCCESS, {"next": ["x", 1]})
    assert len(stores.rows("log_chunk", ti_id=pair[0])) == 1
    stores.commit(d.SettleWork(work_id=record.work_id, dispatch_no=record.dispatch_no))
    assert loaded(stores) == ()
    with pytest.raises(GuardFailed):
        stores.commit(d.SettleWork(work_id=record.work_id, dispatch_no=record.dispatch_no))


def test_another_workers_claim_and_a_void_dispatch_win_nothing(stores: StoreWorld) -> None:
    record = work(stores)
    first, other = stores.register("one"), stores.register("two", hostname="there")
    pair = (hint_id(record.work_id), record.dispatch_no)
    assert stores.worker.transact(first, [], [(pair[0], record.dispatch_no + 1)]) == ([], [])
    stores.worker.transact(first, [], [pair])
    assert stores.another_worker_store().transact(other, [], [pair]) == ([], [])
    void = WorkRecord(**{name: getattr(record, name) for name in record.__struct_fields__} | {"dispatch_no": 1})
    ends, _ = stores.worker.transact(first, [end(void)], [])
    assert ends == [(1, None)]


def test_a_lost_worker_wins_no_work(stores: StoreWorld) -> None:
    record = work(stores)
    lost = stores.register("w")
    stores.register("w")
    _, won = stores.worker.transact(lost, [], [(hint_id(record.work_id), record.dispatch_no)])
    assert won == []
    assert loaded(stores)[0].state is WorkState.QUEUED


def test_one_transaction_ends_and_claims_tasks_and_work_together(stores: StoreWorld) -> None:
    run_key, (first, second) = stores.run(tasks=[task_spec("a"), task_spec("b")])
    done, fresh = work(stores, run_key), work(stores, run_key)
    worker_id = stores.register()
    number = stores.running(first, worker_id)
    stores.worker.transact(worker_id, [], [(hint_id(done.work_id), done.dispatch_no)])
    (queued,) = stores.queue(second)
    ends, won = stores.worker.transact(
        worker_id,
        [stores.finish(first, number), end(done, S.FAILED, error="RuntimeError: no pager")],
        [(second, queued), (hint_id(fresh.work_id), fresh.dispatch_no)],
    )
    assert ends == [(number, S.SUCCESS), (done.dispatch_no, S.FAILED)]
    assert [task.ti_id for task in won] == [second, hint_id(fresh.work_id)]
    assert stores.task(first)["state"] is S.SUCCESS
    states = {row["work_id"]: (row["state"], row["error"]) for row in stores.rows("work")}
    assert states[done.work_id] == (WorkState.FAILED, "RuntimeError: no pager")


def test_work_that_is_handed_back_waits_for_a_new_dispatch(stores: StoreWorld) -> None:
    record = work(stores)
    worker_id = stores.register()
    stores.worker.transact(worker_id, [], [(hint_id(record.work_id), record.dispatch_no)])
    ends, _ = stores.worker.transact(worker_id, [end(record, S.UP_FOR_RESCHEDULE)], [])
    assert ends == [(record.dispatch_no, S.UP_FOR_RESCHEDULE)]
    (back,) = loaded(stores)
    assert back.state is WorkState.NEW
    number = stores.database.new_id()
    stores.commit(
        d.MoveWork(
            work_id=record.work_id,
            old=WorkState.NEW,
            new=WorkState.QUEUED,
            old_no=record.dispatch_no,
            new_no=number,
        )
    )
    (again,) = loaded(stores)
    assert (again.state, again.dispatch_no, again.worker_id) == (WorkState.QUEUED, number, None)


def test_ready_rows_offer_work_and_tasks(stores: StoreWorld) -> None:
    _, (ti_id,) = stores.run()
    record = work(stores)
    worker_id = stores.register()
    (number,) = stores.queue(ti_id)
    offers = ((hint_id(record.work_id), record.dispatch_no, 1), (ti_id, number, 5))
    stores.commit(d.Offer(queue="default", dispatches=offers, as_rows=True))
    won = stores.worker.take_ready(worker_id, ["default"], 10)
    assert [task.ti_id for task in won] == [ti_id, hint_id(record.work_id)]
    assert stores.rows("ready") == []
    assert loaded(stores)[0].state is WorkState.RUNNING


def unheard(stores: StoreWorld, ti_id: int) -> UnheardEnd:
    """What is to be called for a task whose process died."""
    return UnheardEnd(
        dag_id="d",
        version_id=stores.version_of("d"),
        queue="default",
        task=TaskFacts(ti_id=ti_id, task_id="a", try_number=1),
        by_state={"failed": ("on_failure_callback",), "up_for_retry": ("on_retry_callback",)},
    )


@pytest.mark.parametrize(
    ("state", "names"),
    [(S.FAILED, ["on_failure_callback"]), (S.UP_FOR_RETRY, ["on_retry_callback"]), (S.SKIPPED, [])],
)
def test_an_unheard_end_becomes_work_once(stores: StoreWorld, state: TaskInstanceState, names: list[str]) -> None:
    _, (ti_id,) = stores.run()
    worker_id = stores.register()
    number = stores.running(ti_id, worker_id)
    for _ in range(2):
        stores.worker.transact(worker_id, [stores.finish(ti_id, number, state, unheard=unheard(stores, ti_id))], [])
    made = loaded(stores)
    orders = [record.order for record in made if isinstance(record.order, TaskCallback)]
    assert [name for order in orders for name in order.names] == names
    assert all(record.state is WorkState.NEW for record in made)
    assert all(order.task.state is state for order in orders)


def test_the_end_that_a_person_asked_for_is_the_one_that_is_told(stores: StoreWorld) -> None:
    _, (ti_id,) = stores.run()
    worker_id = stores.register()
    number = stores.running(ti_id, worker_id)
    stores.commit(stores.revoke(ti_id, number, worker_id, S.FAILED))
    finish = stores.finish(ti_id, number, S.UP_FOR_RETRY, unheard=unheard(stores, ti_id), revoked=True)
    stores.worker.transact(worker_id, [finish], [])
    (record,) = loaded(stores)
    assert isinstance(record.order, TaskCallback)
    assert record.order.names == ("on_failure_callback",)


def test_work_goes_with_its_run_and_with_time(stores: StoreWorld) -> None:
    run_key, _ = stores.run()
    of_run, of_dag = work(stores, run_key), work(stores)
    worker_id = stores.register()
    for record in (of_run, of_dag):
        pair = (hint_id(record.work_id), record.dispatch_no)
        log = LogChunk(ti_id=pair[0], dispatch_no=pair[1], try_number=0, offset=0, data=b"x")
        stores.worker.transact(worker_id, [], [pair])
        stores.worker.transact(worker_id, [end(record, log=log)], [])
    stores.end_run(run_key)
    stores.commit(d.DeleteRun(run_key=run_key, dag_id="d"))
    assert [record.work_id for record in loaded(stores)] == [of_dag.work_id]
    year = timedelta(days=365)
    retention = Retention(connection=stores.scheduler.connection, periods=periods(callbacks=year))
    purge(retention, NOW)
    assert [row["ti_id"] for row in stores.rows("log_chunk")] == [hint_id(of_dag.work_id)]
    assert [row["work_id"] for row in stores.rows("work")] == [of_dag.work_id]
    later = NOW + 10 * year
    purge(retention, later)
    assert len(stores.rows("work")) == 1, "what is not settled stays"
    stores.commit(d.SettleWork(work_id=of_dag.work_id, dispatch_no=of_dag.dispatch_no))
    purge(retention, later)
    assert stores.rows("work") == []
    assert stores.rows("log_chunk") == []


def purge(retention: Retention, now: datetime) -> None:
    """A whole pass."""
    for _ in range(100):
        if not retention.step(now):
            return
    raise AssertionError("a pass never ends")


def test_an_order_of_a_newer_release_blocks_nothing(stores: StoreWorld) -> None:
    record = work(stores)
    with stores.database.writing() as connection:
        connection.exec_driver_sql('UPDATE work SET `order` = \'{"order":"from_the_future"}\'')
    assert loaded(stores) == ()
    (row,) = stores.rows("work")
    assert (row["settled"], row["state"]) == (True, WorkState.FAILED)
    assert "cannot read the order" in row["error"]
    assert row["work_id"] == record.work_id


def test_the_end_of_a_run_and_its_callback_are_one_transaction(stores: StoreWorld) -> None:
    run_key, _ = stores.run()
    record = WorkRecord(
        work_id=stores.database.new_id(),
        order=ORDER,
        dag_id="d",
        version_id=stores.version_of("d"),
        run_key=run_key,
        state=WorkState.QUEUED,
        dispatch_no=stores.database.new_id(),
    )
    wrong = d.MoveRun(run_key=run_key, dag_id="d", old=DagRunState.QUEUED, new=DagRunState.RUNNING)
    with pytest.raises(GuardFailed):
        stores.commit(d.CreateWork(work=record), wrong)
    assert loaded(stores) == ()


def test_a_warning_at_a_dag_is_replaced_taken_away_and_survives_a_new_version(stores: StoreWorld) -> None:
    stores.dag("d")
    for message in ("it's broken", "still ✗ broken"):
        stores.commit(d.WarnDag(dag_id="d", warning_type="timetable", message=message))
    stores.dag("d", code="c2")
    (row,) = stores.rows("dag_warning")
    assert (row["dag_id"], row["warning_type"], row["message"]) == ("d", "timetable", "still ✗ broken")
    stores.commit(d.WarnDag(dag_id="d", warning_type="timetable"))
    assert stores.rows("dag_warning") == []


# ------------------------------------------------------------------ deadlines


def deadline(stores: StoreWorld, run_key: int, **changes: Any) -> DeadlineRecord:
    """A committed deadline."""
    values: dict[str, Any] = {
        "deadline_id": stores.database.new_id(),
        "run_key": run_key,
        "dag_id": "d",
        "version_id": stores.version_of("d"),
        "number": 1,
        "at": NOW + timedelta(hours=1),
        "spec": DeadlineSpec(reference=ReferencePoint.QUEUED_AT, interval=5.0, callback="a.b", kwargs={"who's": ["✓"]}),
    }
    record = DeadlineRecord(**{**values, **changes})
    stores.commit(d.CreateDeadline(deadline=record))
    return record


def test_a_deadline_is_missed_once_or_taken_away(stores: StoreWorld) -> None:
    run_key, _ = stores.run()
    first, second = deadline(stores, run_key), deadline(stores, run_key, number=2)
    assert stores.scheduler.load_deadlines(stores.epoch) == (first, second)
    assert stores.scheduler.load(stores.epoch).deadlines == (first, second)
    miss = d.MissDeadline(deadline_id=first.deadline_id, work_id=9)
    stores.commit(miss)
    assert stores.scheduler.load_deadlines(stores.epoch) == (second,)
    with pytest.raises(GuardFailed):
        stores.commit(miss)
    with pytest.raises(GuardFailed):
        stores.commit(d.DropDeadlines(deadline_ids=(first.deadline_id,)))
    stores.commit(d.DropDeadlines(deadline_ids=(second.deadline_id,)))
    (left,) = stores.rows("deadline")
    assert stores.scheduler.has_deadline(left["run_key"], left["number"]), "a missed one was set"
    assert not stores.scheduler.has_deadline(left["run_key"], left["number"] + 9)
    assert (left["callback_state"], left["work_id"]) == ("missed", 9)


def test_the_average_of_the_last_runs(stores: StoreWorld) -> None:
    late, early = NOW + timedelta(hours=100), NOW + timedelta(hours=20, seconds=20)
    assert stores.scheduler.average_runtime("d", 5, late) == (0, 0.0)
    for seconds in (10, 20, 60):
        run_key, _ = stores.run(state=DagRunState.QUEUED)
        began = NOW + timedelta(hours=seconds)
        stores.commit(
            d.MoveRun(run_key=run_key, dag_id="d", old=DagRunState.QUEUED, new=DagRunState.RUNNING), now=began
        )
        ended = began + timedelta(seconds=seconds)
        stores.commit(
            d.MoveRun(run_key=run_key, dag_id="d", old=DagRunState.RUNNING, new=DagRunState.SUCCESS), now=ended
        )
    assert stores.scheduler.average_runtime("d", 5, late) == (3, 30.0)
    assert stores.scheduler.average_runtime("d", 5, early) == (2, 15.0), "what had ended by then"
    assert stores.scheduler.average_runtime("d", 1, late)[0] == 1
    assert stores.scheduler.average_runtime("other", 5, late) == (0, 0.0)
