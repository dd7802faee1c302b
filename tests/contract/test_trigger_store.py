"""The contract of TriggerStore, and what the other stores do with triggers, over every adapter."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest

from dagdeck_core.deferral import TriggerFailure as Why
from dagdeck_core.deferral import TriggerOutcome, failure_kwargs
from dagdeck_core.errors import EnvironmentFault, UserError
from dagdeck_core.ports import ClaimedTrigger, LogChunk, TriggerCounts, TriggerFiring, TriggerLog, XComWrite
from dagdeck_core.scheduling.decisions import (
    DeclareWorkerLost,
    DeleteRun,
    DropTriggerEvents,
    FailDeferral,
    StartDeferral,
)
from dagdeck_core.spec import StartTriggerSpec
from dagdeck_core.states import TaskInstanceState
from dagdeck_core.wire import Deferral, FiredTrigger
from dagdeck_io.db.retention import Retention
from dagdeck_io.db.trigger_store import SqlTriggerStore
from dagdeck_io.db.worker_writes import unpack_log
from dagdeck_io.secrets import Vault, generate_key
from tests.contract.store_world import NOW, StoreWorld, task_spec
from tests.support.retention_periods import periods

S = TaskInstanceState
WAITING = Deferral("x.Trigger", '{"n":1}', "go_on", '{"a":2}', 60.0)


@dataclass
class Waiting:
    """A deferred task instance."""

    run_key: int
    ti_id: int
    dispatch_no: int


@pytest.fixture
def triggers(stores: StoreWorld) -> Iterator[SqlTriggerStore]:
    """A triggerer's store beside the others."""
    store = stores.worker_database.trigger_store()
    yield store
    store.connection.close()


def defer(stores: StoreWorld, worker_id: int, *, count: int = 1, **options: Any) -> list[Waiting]:
    """Task instances of one run that have deferred on this worker."""
    tasks = [task_spec(f"t{number}") for number in range(count)]
    run_key, ti_ids = stores.run(f"dag_{stores.database.new_id()}", tasks)
    found = []
    for ti_id in ti_ids:
        number = stores.running(ti_id, worker_id)
        values: dict[str, Any] = {"deferral": WAITING, "log_end": 30, **options}
        ends, _ = stores.worker.transact(worker_id, [stores.finish(ti_id, number, S.DEFERRED, **values)], [])
        assert ends == [(number, S.DEFERRED)]
        found.append(Waiting(run_key, ti_id, number))
    return found


def fired(trigger: ClaimedTrigger, event_id: int, **options: Any) -> TriggerFiring:
    """A trigger's event."""
    values: dict[str, Any] = {"outcome": TriggerOutcome.RESUME, "payload": '{"x":[1]}'}
    return TriggerFiring(trigger=trigger, event_id=event_id, **(values | options))


# ------------------------------------------------------------------ deferring


def test_a_deferred_end_leaves_a_trigger(stores: StoreWorld, triggers: SqlTriggerStore) -> None:
    worker_id = stores.register()
    [ti] = defer(stores, worker_id)
    row = stores.task(ti.ti_id)
    assert (row["state"], row["next_method"], row["next_kwargs"]) == (S.DEFERRED, "go_on", {"a": 2})
    assert row["first_start_date"] is not None
    assert triggers.look(worker_id) == TriggerCounts(are_free=True, held=0)
    (stored,) = stores.rows("trigger")
    assert '"n"' not in stored["kwargs"], "arguments are encrypted"
    assert triggers.claim(worker_id, 10) == [
        ClaimedTrigger(
            trigger_id=stored["trigger_id"],
            claim_no=1,
            owner="task",
            classpath="x.Trigger",
            kwargs='{"n":1}',
            version_id=row["version_id"],
            run_key=ti.run_key,
            run_id=stores.rows("dag_run", run_key=ti.run_key)[0]["run_id"],
            ti_id=ti.ti_id,
            dispatch_no=ti.dispatch_no,
            task_id="t0",
            map_index=-1,
            try_number=1,
            log_offset=30,
        )
    ]


def test_a_revoked_end_leaves_none(stores: StoreWorld) -> None:
    worker_id = stores.register()
    _, (ti_id,) = stores.run()
    number = stores.running(ti_id, worker_id)
    stores.commit(stores.revoke(ti_id, number, worker_id, S.SUCCESS))
    end = stores.finish(ti_id, number, S.DEFERRED, deferral=WAITING)
    assert stores.worker.transact(worker_id, [end], [])[0] == [(number, S.SUCCESS)]
    assert stores.rows("trigger") == []


def test_the_same_end_twice_leaves_one(stores: StoreWorld) -> None:
    worker_id = stores.register()
    [ti] = defer(stores, worker_id)
    end = stores.finish(ti.ti_id, ti.dispatch_no, S.DEFERRED, deferral=WAITING)
    assert stores.worker.transact(worker_id, [end], [])[0] == [(ti.dispatch_no, S.DEFERRED)]
    assert len(stores.rows("trigger")) == 1


def test_without_a_key_nothing_is_stored(stores: StoreWorld) -> None:
    worker_id = stores.register()
    _, (ti_id,) = stores.run()
    number = stores.running(ti_id, worker_id)
    vault, stores.worker.vault = stores.worker.vault, None
    try:
        with pytest.raises(UserError, match="needs a key"):
            stores.worker.transact(worker_id, [stores.finish(ti_id, number, S.DEFERRED, deferral=WAITING)], [])
    finally:
        stores.worker.vault = vault
    assert stores.task(ti_id)["state"] is S.RUNNING


def test_what_went_on_and_ended_has_no_next_method(stores: StoreWorld, triggers: SqlTriggerStore) -> None:
    worker_id = stores.register()
    [ti] = defer(stores, worker_id)
    [trigger] = triggers.claim(worker_id, 1)
    triggers.commit(worker_id, [fired(trigger, 7)])
    (number,) = stores.queue(ti.ti_id)
    _, [task] = stores.worker.transact(worker_id, [], [(ti.ti_id, number)])
    assert (task.next_method, json.loads(task.next_kwargs or "")) == ("go_on", {"a": 2, "event": {"x": [1]}})
    returned = stores.finish(ti.ti_id, number, S.UP_FOR_RESCHEDULE, next_at=NOW)
    stores.worker.transact(worker_id, [returned], [])
    assert stores.task(ti.ti_id)["next_method"] == "go_on", "handed back, it goes on elsewhere"
    number = stores.running(ti.ti_id, worker_id)
    failed = stores.finish(ti.ti_id, number, S.UP_FOR_RETRY, next_at=NOW, forgets_next_method=True)
    stores.worker.transact(worker_id, [failed], [])
    row = stores.task(ti.ti_id)
    assert (row["next_method"], row["next_kwargs"]) == (None, None)


def test_it_may_defer_again(stores: StoreWorld, triggers: SqlTriggerStore) -> None:
    worker_id = stores.register()
    [ti] = defer(stores, worker_id)
    [trigger] = triggers.claim(worker_id, 1)
    triggers.commit(worker_id, [fired(trigger, 7)])
    number = stores.running(ti.ti_id, worker_id)
    again = Deferral("y.Trigger", "{}", "later")
    end = stores.finish(ti.ti_id, number, S.DEFERRED, deferral=again, forgets_next_method=True)
    stores.worker.transact(worker_id, [end], [])
    row = stores.task(ti.ti_id)
    assert (row["next_method"], row["next_kwargs"]) == ("later", {})
    assert [each["classpath"] for each in stores.rows("trigger")] == ["y.Trigger"]


# ------------------------------------------------------------------ claiming


def test_a_trigger_has_one_holder(stores: StoreWorld, triggers: SqlTriggerStore) -> None:
    first, second = stores.register("a"), stores.register("b")
    defer(stores, first, count=3)
    assert len(triggers.claim(first, 2)) == 2
    assert len(triggers.claim(second, 2)) == 1
    assert triggers.claim(second, 2) == []
    assert triggers.look(first) == TriggerCounts(are_free=False, held=2)
    assert len(triggers.held(second)) == 1
    triggers.release(first)
    assert triggers.held(first) == {}
    assert [each.claim_no for each in triggers.claim(second, 9)] == [2, 2]


def test_a_lost_worker_claims_nothing_and_its_triggers_are_free(stores: StoreWorld, triggers: SqlTriggerStore) -> None:
    worker_id = stores.register("a")
    defer(stores, worker_id, count=2)
    assert len(triggers.claim(worker_id, 1)) == 1
    counter = stores.rows("worker", worker_id=worker_id)[0]["counter"]
    stores.commit(DeclareWorkerLost(worker_id=worker_id, counter=counter, reason="silent"))
    assert triggers.look(worker_id) == TriggerCounts(are_free=True, held=0)
    assert triggers.claim(worker_id, 5) == []
    assert len(triggers.claim(stores.register("b"), 5)) == 2


@pytest.mark.parametrize("end", ["restart", "stop"])
def test_a_worker_that_ends_frees_its_triggers(stores: StoreWorld, triggers: SqlTriggerStore, end: str) -> None:
    worker_id = stores.register("a")
    defer(stores, worker_id)
    triggers.claim(worker_id, 1)
    if end == "stop":
        stores.worker.stop(worker_id)
    else:
        stores.register("a")
    assert triggers.look(worker_id) == TriggerCounts(are_free=True, held=0)


def test_arguments_of_another_key_are_told_apart(stores: StoreWorld, triggers: SqlTriggerStore) -> None:
    worker_id = stores.register()
    defer(stores, worker_id)
    triggers.vault = Vault(generate_key())
    assert [each.kwargs for each in triggers.claim(worker_id, 1)] == [None]
    triggers.release(worker_id)
    triggers.vault = None
    assert [each.kwargs for each in triggers.claim(worker_id, 1)] == [None]


# ------------------------------------------------------------------ firing


def test_an_event_is_stored_with_how_the_task_goes_on(stores: StoreWorld, triggers: SqlTriggerStore) -> None:
    worker_id = stores.register()
    [ti] = defer(stores, worker_id)
    [trigger] = triggers.claim(worker_id, 1)
    told = FiredTrigger(7, ti.run_key, ti.ti_id, ti.dispatch_no, "resume")
    assert triggers.commit(worker_id, [fired(trigger, 7)]) == [told]
    assert stores.scheduler.trigger_events(10) == [told]
    assert stores.task(ti.ti_id)["next_kwargs"] == {"a": 2, "event": {"x": [1]}}
    assert stores.task(ti.ti_id)["state"] is S.DEFERRED, "the scheduler moves it"
    assert triggers.held(worker_id) == {}
    assert triggers.commit(worker_id, [fired(trigger, 7)]) == [], "the same event twice"
    assert stores.scheduler.trigger_events(10) == [told]


def test_a_failure_replaces_the_next_method(stores: StoreWorld, triggers: SqlTriggerStore) -> None:
    worker_id = stores.register()
    [ti] = defer(stores, worker_id)
    [trigger] = triggers.claim(worker_id, 1)
    triggers.commit(worker_id, [fired(trigger, 7, payload=None, failed=failure_kwargs(Why.FAILURE, "boom"))])
    row = stores.task(ti.ti_id)
    assert (row["next_method"], row["next_kwargs"]) == (
        "__fail__",
        {"error": "Trigger failure", "traceback": ["boom"]},
    )


def test_an_end_brings_its_xcoms(stores: StoreWorld, triggers: SqlTriggerStore) -> None:
    worker_id = stores.register()
    defer(stores, worker_id, xcoms=(XComWrite(key="k", value="0"),))
    [trigger] = triggers.claim(worker_id, 1)
    xcoms = (XComWrite(key="k", value="1"), XComWrite(key="é", value='"ü"'))
    [told] = triggers.commit(worker_id, [fired(trigger, 7, outcome=TriggerOutcome.SUCCESS, xcoms=xcoms)])
    assert told.outcome == "success"
    assert {row["key"]: row["value"] for row in stores.rows("xcom")} == {"k": "1", "é": '"ü"'}


def test_only_the_live_claim_may_fire(stores: StoreWorld, triggers: SqlTriggerStore) -> None:
    first, second = stores.register("a"), stores.register("b")
    [ti] = defer(stores, first)
    [old] = triggers.claim(first, 1)
    triggers.release(first)
    [again] = triggers.claim(first, 1)
    assert triggers.commit(first, [fired(old, 7)]) == [], "an earlier claim of the same worker"
    triggers.release(first)
    [other] = triggers.claim(second, 1)
    log = TriggerLog(trigger=again, offset=30, data=b"late\n")
    assert triggers.commit(first, [fired(again, 8)], [log]) == [], "another worker has it"
    assert stores.task(ti.ti_id)["next_kwargs"] == {"a": 2}
    assert stores.rows("log_chunk") == []
    assert len(triggers.commit(second, [fired(other, 9)])) == 1


def test_lines_go_where_the_task_s_log_ends(stores: StoreWorld, triggers: SqlTriggerStore) -> None:
    worker_id = stores.register()
    _, (ti_id,) = stores.run()
    number = stores.running(ti_id, worker_id)
    chunk = LogChunk(ti_id=ti_id, dispatch_no=number, try_number=1, offset=0, data=b"task\n")
    end = stores.finish(ti_id, number, S.DEFERRED, deferral=WAITING, log=chunk, log_end=5)
    stores.worker.transact(worker_id, [end], [])
    [trigger] = triggers.claim(worker_id, 1)
    log = TriggerLog(trigger=trigger, offset=trigger.log_offset, data=b"trigger\n")
    for _ in range(2):
        assert triggers.commit(worker_id, [], [log]) == []
    chunks = stores.rows("log_chunk")
    assert b"".join(unpack_log(each["data"], each["encoding"]) for each in chunks) == b"task\ntrigger\n"
    triggers.release(worker_id)
    assert [each.log_offset for each in triggers.claim(worker_id, 1)] == [13]


def test_another_owner_s_trigger_goes_on(stores: StoreWorld, triggers: SqlTriggerStore) -> None:
    worker_id = stores.register()
    stores.insert(
        "trigger", trigger_id=5, owner="other", owner_key="k", classpath="x.T", kwargs="", claim_no=0, created_at=NOW
    )
    [trigger] = triggers.claim(worker_id, 1)
    assert (trigger.owner, trigger.owner_key, trigger.ti_id, trigger.task_id) == ("other", "k", 0, "")
    for event_id in (7, 8, 8):
        assert triggers.commit(worker_id, [fired(trigger, event_id, ends=False)]) == []
    events = stores.rows("trigger_event")
    assert [(each["event_id"], each["owner_key"], each["payload"]) for each in events] == [
        (7, "k", '{"x":[1]}'),
        (8, "k", '{"x":[1]}'),
    ]
    assert len(triggers.held(worker_id)) == 1
    assert stores.scheduler.trigger_events(10) == []


# ------------------------------------------------------------------ the scheduler's side


@pytest.mark.parametrize("new", [S.QUEUED, S.SCHEDULED, S.NONE, S.SUCCESS, S.FAILED, S.SKIPPED])
def test_leaving_deferred_removes_trigger_and_events(
    stores: StoreWorld, triggers: SqlTriggerStore, new: TaskInstanceState
) -> None:
    worker_id = stores.register()
    gone, fired_one, kept = defer(stores, worker_id, count=3)
    by_task = {each.ti_id: each for each in triggers.claim(worker_id, 3)}
    triggers.commit(worker_id, [fired(by_task[fired_one.ti_id], 7)])
    number = stores.database.new_id()
    options = {"new_no": number} if new is S.QUEUED else {}
    for each in (gone, fired_one):
        options = {"new_no": stores.database.new_id()} if new is S.QUEUED else {}
        stores.commit(stores.move(each.ti_id, new, **options))
    assert [row["ti_id"] for row in stores.rows("trigger")] == [kept.ti_id]
    assert stores.rows("trigger_event") == []
    assert triggers.commit(worker_id, [fired(by_task[gone.ti_id], 8)]) == []
    row = stores.task(gone.ti_id)
    assert (row["next_method"] is None) is (new is S.NONE)
    if new in (S.SUCCESS, S.FAILED, S.SKIPPED):
        assert row["end_date"] == NOW


def test_a_late_deferral_goes_on_to_fail(stores: StoreWorld, triggers: SqlTriggerStore) -> None:
    worker_id = stores.register()
    late, in_time = defer(stores, worker_id, count=2)
    by_task = {each.ti_id: each for each in triggers.claim(worker_id, 2)}
    triggers.commit(worker_id, [fired(by_task[in_time.ti_id], 7)])
    failing = [FailDeferral(run_key=t.run_key, ti_id=t.ti_id, dispatch_no=t.dispatch_no) for t in (late, in_time)]
    for _ in range(2):  # a failover may decide it again
        stores.commit(*failing)
    row = stores.task(late.ti_id)
    assert (row["next_method"], row["next_kwargs"]) == ("__fail__", {"error": "Trigger timeout"})
    assert stores.task(in_time.ti_id)["next_method"] == "go_on", "it had fired"
    assert triggers.commit(worker_id, [fired(by_task[late.ti_id], 8)]) == []
    assert [event.event_id for event in stores.scheduler.trigger_events(10)] == [7]
    stores.commit(DropTriggerEvents(event_ids=(7, 99)))
    assert stores.scheduler.trigger_events(10) == []


def test_a_deleted_run_takes_its_triggers_along(stores: StoreWorld, triggers: SqlTriggerStore) -> None:
    worker_id = stores.register()
    first, second = defer(stores, worker_id, count=2)
    [trigger, _] = triggers.claim(worker_id, 2)
    triggers.commit(worker_id, [fired(trigger, 7)])
    dag_id = stores.rows("dag_run", run_key=first.run_key)[0]["dag_id"]
    stores.commit(DeleteRun(run_key=first.run_key, dag_id=dag_id))
    retention = Retention(connection=stores.scheduler.connection, periods=periods())
    while retention.step(NOW):
        pass
    assert (stores.rows("trigger"), stores.rows("trigger_event"), stores.rows("removal")) == ([], [], [])
    assert second.run_key == first.run_key


def test_events_are_read_in_pages(stores: StoreWorld, triggers: SqlTriggerStore) -> None:
    worker_id = stores.register()
    defer(stores, worker_id, count=3)
    claimed = triggers.claim(worker_id, 3)
    told = triggers.commit(worker_id, [fired(trigger, 10 + n) for n, trigger in enumerate(claimed)])
    assert stores.scheduler.trigger_events(2) == told[:2]
    assert triggers.new_id() > 0
    assert triggers.commit(worker_id, []) == []


def test_a_broken_connection_leaves_nothing_half_done(
    stores: StoreWorld, triggers: SqlTriggerStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker_id = stores.register()
    [ti] = defer(stores, worker_id)
    [trigger] = triggers.claim(worker_id, 1)

    def lose(*_: Any) -> None:
        raise EnvironmentFault("the connection broke")

    monkeypatch.setattr(SqlTriggerStore, "_write_events", lose)
    with pytest.raises(EnvironmentFault):
        triggers.commit(worker_id, [fired(trigger, 7)])
    monkeypatch.undo()
    assert stores.task(ti.ti_id)["next_kwargs"] == {"a": 2}
    assert len(triggers.commit(worker_id, [fired(trigger, 7)])) == 1


def test_a_task_instance_that_begins_in_its_trigger(stores: StoreWorld, triggers: SqlTriggerStore) -> None:
    worker_id = stores.register()
    run_key, (ti_id,) = stores.run()
    number, version_id = stores.database.new_id(), stores.task(ti_id)["version_id"]
    until = NOW + timedelta(minutes=1)
    move = stores.move(ti_id, S.DEFERRED, new_no=number, try_number=1, next_at=until)
    start = StartTriggerSpec(classpath="x.Trigger", kwargs='{"n":1}', next_method="go_on", next_kwargs='{"a":2}')
    stores.commit(
        move, StartDeferral(run_key=run_key, ti_id=ti_id, dispatch_no=number, version_id=version_id, start=start)
    )
    row = stores.task(ti_id)
    assert (row["state"], row["try_number"], row["dispatch_no"], row["next_at"]) == (S.DEFERRED, 1, number, until)
    assert (row["next_method"], row["next_kwargs"]) == ("go_on", {"a": 2})
    assert row["start_date"] == row["first_start_date"] == NOW
    (ended,) = stores.rows("task_instance_history")
    assert (ended["dispatch_no"], ended["state"], ended["ended_by"]) == (number, S.DEFERRED, "scheduler")
    assert '"n"' not in stores.rows("trigger")[0]["kwargs"], "arguments are encrypted"
    (claimed,) = triggers.claim(worker_id, 10)
    assert (claimed.classpath, claimed.kwargs, claimed.ti_id) == ("x.Trigger", '{"n":1}', ti_id)
    assert [each.outcome for each in triggers.commit(worker_id, [fired(claimed, 7)])] == ["resume"]
    assert stores.task(ti_id)["next_kwargs"] == {"a": 2, "event": {"x": [1]}}
