"""The contract of WorkerStore, over every adapter."""

from __future__ import annotations

import threading
from datetime import timedelta

import msgspec
import pytest

from dagdeck_core.errors import EnvironmentFault
from dagdeck_core.ports import (
    ClaimedTask,
    CommitUnknown,
    GuardFailed,
    LeaseLost,
    LogChunk,
    Revealing,
    XComWrite,
)
from dagdeck_core.records import WorkerState
from dagdeck_core.scheduling import decisions as d
from dagdeck_core.states import TaskInstanceState
from dagdeck_core.wire import Effects
from dagdeck_io.db import sealed_xcoms
from dagdeck_io.db.dialects import Row, Script
from dagdeck_io.db.tables import lease
from dagdeck_io.db.worker_writes import unpack_log
from tests.contract.store_world import NOW, StoreWorld, task_spec

S = TaskInstanceState


# ------------------------------------------------------------------ registration and lease


def test_registration_is_seen_by_the_scheduler(stores: StoreWorld) -> None:
    worker_id = stores.register("w", slots=8, queues=["gpu", "default"], version="1.2")
    (seen,) = stores.scheduler.load_workers()
    assert (seen.worker_id, seen.name, seen.slots, seen.queues, seen.version, seen.state) == (
        worker_id,
        "w",
        8,
        ("gpu", "default"),
        "1.2",
        WorkerState.ACTIVE,
    )
    assert stores.lease.renew(worker_id) == []
    (later,) = stores.scheduler.load_workers()
    assert later.counter > seen.counter


def test_earlier_incarnation_on_the_same_host_is_lost(stores: StoreWorld) -> None:
    old = stores.register("w")
    elsewhere = stores.register("w", hostname="other")
    other = stores.register("w2")
    new = stores.register("w")
    assert {worker.worker_id for worker in stores.scheduler.load_workers()} == {elsewhere, other, new}
    with pytest.raises(LeaseLost):
        stores.lease.renew(old)
    stores.lease.renew(new)


def test_stopped_worker_is_gone(stores: StoreWorld) -> None:
    worker_id = stores.register()
    stores.worker.stop(worker_id)
    stores.worker.stop(worker_id)  # harmless
    assert stores.scheduler.load_workers() == []
    assert stores.rows("worker")[0]["state"] is WorkerState.STOPPED
    with pytest.raises(LeaseLost):
        stores.lease.renew(worker_id)


# ------------------------------------------------------------------ claiming


def test_claim_gives_what_is_needed_to_run(stores: StoreWorld) -> None:
    run_key, ti_ids = stores.run("d", [task_spec("a", retries=2)], map_indexes=(0, 1))
    worker_id = stores.register()
    numbers = stores.queue(*ti_ids)
    _, won = stores.worker.transact(worker_id, [], list(zip(ti_ids, numbers, strict=True)))
    assert won == [
        ClaimedTask(
            run_key=run_key,
            ti_id=ti_id,
            dispatch_no=number,
            version_id=stores.version_of("d"),
            task_id="a",
            map_index=index,
            try_number=1,
            max_tries=2,
            run=stores.worker.run_context(run_key),
        )
        for index, (ti_id, number) in enumerate(zip(ti_ids, numbers, strict=True))
    ]
    row = stores.task(ti_ids[0])
    assert (row["state"], row["worker_id"], row["hostname"]) == (S.RUNNING, worker_id, "host")
    assert row["start_date"] is not None
    assert stores.transitions(ti_ids[0])[-1] == ("queued", "running")
    assert stores.rows("transition", ti_id=ti_ids[0])[-1]["actor"] == f"worker:{worker_id}"


def test_claim_of_a_void_dispatch_is_not_won(stores: StoreWorld) -> None:
    _, (one, two) = stores.run("d", [task_spec("a"), task_spec("b")])
    worker_id = stores.register()
    (old,) = stores.queue(one)
    fresh = stores.database.new_id()
    stores.commit(stores.move(one, S.QUEUED, new_no=fresh))
    _, won = stores.worker.transact(worker_id, [], [(one, old), (two, fresh), (123, 456)])
    assert won == []
    assert stores.task(one)["state"] is S.QUEUED
    assert stores.rows("transition", to_state="running", ti_id=one) == []


def test_repeated_claim_is_won_again_but_written_once(stores: StoreWorld) -> None:
    _, (ti_id,) = stores.run()
    worker_id, other = stores.register("w"), stores.register("w2")
    (number,) = stores.queue(ti_id)
    _, (first,) = stores.worker.transact(worker_id, [], [(ti_id, number)])
    assert first.run is not None
    # The run's facts are told once; the worker remembers them.
    _, again = stores.worker.transact(worker_id, [], [(ti_id, number)])
    assert again == [msgspec.structs.replace(first, run=None)]
    assert stores.worker.transact(other, [], [(ti_id, number)]) == ([], [])
    assert stores.transitions(ti_id).count(("queued", "running")) == 1


def test_lost_worker_wins_nothing_but_may_report(stores: StoreWorld) -> None:
    _, (one, two) = stores.run("d", [task_spec("a"), task_spec("b")])
    worker_id = stores.register()
    running = stores.running(one, worker_id)
    (queued,) = stores.queue(two)
    (seen,) = stores.scheduler.load_workers()
    stores.commit(d.DeclareWorkerLost(worker_id=worker_id, counter=seen.counter, reason="silent"))
    ends, won = stores.worker.transact(worker_id, [stores.finish(one, running)], [(two, queued)])
    assert ends == [(running, S.SUCCESS)]
    assert won == []
    assert stores.task(two)["state"] is S.QUEUED


def test_two_workers_claiming_the_same_dispatch(stores: StoreWorld) -> None:
    _, ti_ids = stores.run("d", [task_spec(f"t{n}") for n in range(20)])
    workers = [stores.register("w1"), stores.register("w2")]
    numbers = stores.queue(*ti_ids)
    claims = list(zip(ti_ids, numbers, strict=True))
    won: dict[int, list[int]] = {}
    start = threading.Barrier(2)

    def claim(worker_id: int, order: int) -> None:
        store = stores.another_worker_store()
        start.wait()
        found: list[int] = []
        for first in range(0, 20, 5):
            some = claims[first : first + 5][::order]
            found += [task.dispatch_no for task in store.transact(worker_id, [], some)[1]]
        won[worker_id] = found

    threads = [threading.Thread(target=claim, args=(w, order)) for w, order in zip(workers, (1, -1), strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(won[workers[0]] + won[workers[1]]) == sorted(numbers)
    for worker_id in workers:
        assert {row["dispatch_no"] for row in stores.rows("task_instance", worker_id=worker_id)} == set(won[worker_id])


# ------------------------------------------------------------------ finishing


def test_an_xcom_with_secrets_is_sealed_and_its_reader_gets_it_whole(stores: StoreWorld) -> None:
    run_key, (ti_id, other) = stores.run(tasks=[task_spec("a"), task_spec("b")])
    worker_id = stores.register()
    number = stores.running(ti_id, worker_id)
    value = '{"a":"gé\'heim","b":1}'
    item = XComWrite(key="k", value=value, shown='{"a":"***","b":1}', secrets=("gé'heim", "other"))
    finish = stores.finish(ti_id, number, xcoms=(item, XComWrite(key="plain", value="1")))
    assert stores.worker.transact(worker_id, [finish], []) == ([(number, S.SUCCESS)], [])
    stored = {x["key"]: x["value"] for x in stores.rows("xcom")}
    assert stored["plain"] == "1"
    assert "heim" not in stored["k"]
    assert sealed_xcoms.shown(stored["k"]) == item.shown
    queries = stores.worker_database.worker_queries()
    asked = {"run_key": run_key, "task_id": "a", "key": "k"}
    assert queries.answer(other, "xcom_get", asked) == Revealing([[-1, value]], ("gé'heim", "other"))
    assert queries.answer(other, "xcom_get", asked | {"key": "plain"}) == [[-1, "1"]]


def test_a_worker_tells_which_keys_it_knows(stores: StoreWorld) -> None:
    worker_id = stores.register()
    assert [row["key_ids"] for row in stores.rows("worker")] == [None]
    stores.lease.is_draining(worker_id)
    assert [row["key_ids"] for row in stores.rows("worker")] == [" ".join(stores.database.vault.ids)]


def test_finish_stores_everything_of_the_dispatch(stores: StoreWorld) -> None:
    run_key, (ti_id,) = stores.run()
    worker_id = stores.register()
    number = stores.running(ti_id, worker_id)
    effects = Effects(skip=("b",), mapped_length=3)
    text = b"line\n" * 200
    finish = stores.finish(
        ti_id,
        number,
        effects=effects,
        xcoms=(
            XComWrite(key="return_value", value='"it\'s \\\\ ü"'),
            XComWrite(key="big", value='"' + "x" * 9000 + '"'),
        ),
        rendered_fields={"bash_command": "echo 'hi'"},
        rendered_map_index="one",
        log=LogChunk(ti_id=ti_id, dispatch_no=number, try_number=1, offset=0, data=text),
        pid=77,
    )
    assert stores.worker.transact(worker_id, [finish], []) == ([(number, S.SUCCESS)], [])
    row = stores.task(ti_id)
    assert (row["state"], row["start_date"], row["end_date"], row["duration"], row["pid"]) == (
        S.SUCCESS,
        finish.start_date,
        finish.end_date,
        2.0,
        77,
    )
    assert row["rendered_map_index"] == "one"
    _, ((_, (record,)),) = stores.scheduler.load_runs(stores.epoch, [run_key])
    assert record.effects == effects
    assert {x["key"]: x["value"] for x in stores.rows("xcom")} == {x.key: x.value for x in finish.xcoms}
    assert stores.rows("rendered_fields")[0]["fields"] == {"bash_command": "echo 'hi'"}
    (chunk,) = stores.rows("log_chunk")
    assert (unpack_log(chunk["data"], chunk["encoding"]), chunk["size"], chunk["offset"]) == (text, len(text), 0)
    (history,) = stores.rows("task_instance_history")
    assert (history["dispatch_no"], history["state"], history["try_number"], history["duration"]) == (
        number,
        S.SUCCESS,
        1,
        2.0,
    )
    assert (history["worker_id"], history["hostname"], history["pid"]) == (worker_id, "host", 77)
    assert stores.transitions(ti_id)[-1] == ("running", "success")
    assert stores.attention("failed_task") == []


def test_failed_task_gets_attention_and_its_error(stores: StoreWorld) -> None:
    _, (ti_id,) = stores.run()
    worker_id = stores.register()
    number = stores.running(ti_id, worker_id)
    stores.worker.transact(worker_id, [stores.finish(ti_id, number, S.FAILED, error="ValueError: no")], [])
    assert stores.attention("failed_task") == [ti_id]
    assert stores.task(ti_id)["error"] == "ValueError: no"
    assert stores.rows("task_instance_history")[0]["error"] == "ValueError: no"
    assert stores.rows("transition", to_state="failed")[0]["reason"] == "ValueError: no"


def test_many_ends_and_claims_in_one_transaction(stores: StoreWorld) -> None:
    _, ti_ids = stores.run("d", [task_spec(f"t{n}") for n in range(80)])
    worker_id = stores.register()
    numbers = stores.queue(*ti_ids[:40])
    stores.worker.transact(worker_id, [], list(zip(ti_ids[:40], numbers, strict=True)))
    more = stores.queue(*ti_ids[40:])
    states = [S.SUCCESS, S.FAILED, S.UP_FOR_RETRY, S.SKIPPED]
    finishes = [
        stores.finish(
            ti_id,
            number,
            states[n % 4],
            next_at=NOW + timedelta(seconds=n) if n % 4 == 2 else None,
            error=f"e{n}" if n % 4 == 1 else None,
        )
        for n, (ti_id, number) in enumerate(zip(ti_ids, numbers, strict=False))
    ]
    ends, won = stores.worker.transact(worker_id, finishes[::-1], list(zip(ti_ids[40:], more, strict=True)))
    assert ends == [(finish.dispatch_no, finish.state) for finish in finishes[::-1]]
    assert sorted(task.dispatch_no for task in won) == more
    for finish in finishes:
        row = stores.task(finish.ti_id)
        assert (row["state"], row["next_at"], row["error"]) == (finish.state, finish.next_at, finish.error)


def test_same_report_twice_is_success_and_written_once(stores: StoreWorld) -> None:
    _, (ti_id,) = stores.run("d", [task_spec("a", retries=3)])
    worker_id = stores.register()
    number = stores.running(ti_id, worker_id)
    finish = stores.finish(ti_id, number, S.UP_FOR_RETRY, xcoms=(XComWrite(key="k", value="1"),))
    first = stores.worker.transact(worker_id, [finish], [])
    assert stores.worker.transact(worker_id, [finish, finish], []) == ([*first[0], *first[0]], [])
    stores.queue(ti_id)
    assert stores.worker.transact(worker_id, [finish], []) == first, "also after the next dispatch began"
    assert stores.task(ti_id)["state"] is S.QUEUED
    assert len(stores.rows("task_instance_history")) == 1
    assert stores.transitions(ti_id).count(("running", "up_for_retry")) == 1


def test_late_report_changes_nothing(stores: StoreWorld) -> None:
    _, (ti_id,) = stores.run()
    worker_id = stores.register()
    number = stores.running(ti_id, worker_id)
    stores.commit(stores.move(ti_id, S.QUEUED, new_no=stores.database.new_id(), reason="worker lost"))
    before = stores.task(ti_id)
    finish = stores.finish(ti_id, number, xcoms=(XComWrite(key="k", value="1"),))
    assert stores.worker.transact(worker_id, [finish], []) == ([(number, None)], [])
    unknown = stores.finish(ti_id, 42)
    assert stores.worker.transact(worker_id, [unknown], []) == ([(42, None)], [])
    assert stores.task(ti_id) == before
    assert stores.rows("xcom") == []


def test_report_of_a_dispatch_that_the_scheduler_ended_for_good_is_late(stores: StoreWorld) -> None:
    _, (ti_id,) = stores.run()
    worker_id = stores.register()
    number = stores.running(ti_id, worker_id)
    stores.commit(stores.move(ti_id, S.FAILED, reason="the third worker in a row was lost"))
    assert stores.worker.transact(worker_id, [stores.finish(ti_id, number)], []) == ([(number, None)], [])
    assert stores.task(ti_id)["state"] is S.FAILED


def test_reschedule_keeps_the_first_start(stores: StoreWorld) -> None:
    _, (ti_id,) = stores.run()
    worker_id = stores.register()
    number = stores.running(ti_id, worker_id)
    again_at = NOW + timedelta(minutes=1)
    finish = stores.finish(ti_id, number, S.UP_FOR_RESCHEDULE, next_at=again_at)
    stores.worker.transact(worker_id, [finish], [])
    assert stores.task(ti_id)["next_at"] == again_at
    (second,) = stores.queue(ti_id)
    (task,) = stores.worker.transact(worker_id, [], [(ti_id, second)])[1]
    assert task.first_start_date == finish.start_date
    stores.worker.transact(worker_id, [stores.finish(ti_id, second, S.UP_FOR_RETRY)], [])
    (third,) = stores.queue(ti_id)
    (task,) = stores.worker.transact(worker_id, [], [(ti_id, third)])[1]
    assert task.first_start_date is None


def test_next_try_begins_without_the_xcoms_of_the_last(stores: StoreWorld) -> None:
    _, (ti_id,) = stores.run("d", [task_spec("a", retries=1)])
    worker_id = stores.register()
    number = stores.running(ti_id, worker_id)
    finish = stores.finish(ti_id, number, S.UP_FOR_RETRY, xcoms=(XComWrite(key="k", value="1"),))
    stores.worker.transact(worker_id, [finish], [])
    assert [row["key"] for row in stores.rows("xcom")] == ["k"]
    stores.running(ti_id, worker_id)
    assert stores.rows("xcom") == []


# ------------------------------------------------------------------ revocations


def test_revocation_travels_with_the_renewal(stores: StoreWorld) -> None:
    _, (ti_id,) = stores.run()
    worker_id, other = stores.register("w"), stores.register("w2")
    number = stores.running(ti_id, worker_id)
    stores.commit(stores.revoke(ti_id, number, worker_id, S.FAILED))
    assert stores.lease.renew(worker_id) == [(ti_id, number)]
    assert stores.lease.renew(other) == []
    assert stores.task(ti_id)["state"] is S.RUNNING
    ends, _ = stores.worker.transact(worker_id, [stores.finish(ti_id, number, S.SUCCESS, revoked=True)], [])
    assert ends == [(number, S.FAILED)]
    row = stores.task(ti_id)
    assert (row["state"], row["revoke_to"]) == (S.FAILED, None)
    assert stores.lease.renew(worker_id) == []


def test_clear_of_a_running_task_restarts_it(stores: StoreWorld) -> None:
    _, (ti_id,) = stores.run()
    worker_id = stores.register()
    number = stores.running(ti_id, worker_id)
    stores.commit(stores.revoke(ti_id, number, worker_id, S.NONE))
    assert stores.task(ti_id)["state"] is S.RESTARTING
    assert stores.transitions(ti_id)[-1] == ("running", "restarting")
    stores.commit(stores.revoke(ti_id, number, worker_id, S.NONE))  # cleared once more
    assert stores.transitions(ti_id).count(("running", "restarting")) == 1
    finish = stores.finish(ti_id, number, S.FAILED, revoked=True, xcoms=(XComWrite(key="k", value="1"),))
    assert stores.worker.transact(worker_id, [finish], []) == ([(number, S.NONE)], [])
    assert stores.worker.transact(worker_id, [finish], []) == ([(number, S.NONE)], [])
    row = stores.task(ti_id)
    assert (row["state"], row["start_date"], row["worker_id"], row["try_number"]) == (S.NONE, None, None, 1)
    assert stores.rows("xcom") == []
    (history,) = stores.rows("task_instance_history")
    assert (history["state"], history["end_date"]) == (S.FAILED, finish.end_date)
    assert stores.transitions(ti_id)[-1] == ("restarting", "none")
    assert stores.attention("failed_task") == []


@pytest.mark.parametrize("target", [S.NONE, S.FAILED, S.SUCCESS, S.SKIPPED])
def test_persons_wish_wins_over_a_task_that_ended_by_itself(stores: StoreWorld, target: TaskInstanceState) -> None:
    _, (ti_id,) = stores.run()
    worker_id = stores.register()
    number = stores.running(ti_id, worker_id)
    stores.commit(stores.revoke(ti_id, number, worker_id, target))
    finish = stores.finish(ti_id, number, S.UP_FOR_RETRY, next_at=NOW, effects=Effects(skip=("x",)))
    assert stores.worker.transact(worker_id, [finish], []) == ([(number, target)], [])
    row = stores.task(ti_id)
    assert (row["state"], row["next_at"], row["effects"], row["revoke_to"]) == (target, None, None, None)
    assert stores.rows("revocation") == []


def test_revocation_of_a_dispatch_that_ended_is_refused(stores: StoreWorld) -> None:
    _, (ti_id,) = stores.run()
    worker_id = stores.register()
    number = stores.running(ti_id, worker_id)
    revoke = stores.revoke(ti_id, number, worker_id, S.FAILED)
    stores.worker.transact(worker_id, [stores.finish(ti_id, number)], [])
    with pytest.raises(GuardFailed):
        stores.commit(revoke)
    assert stores.rows("revocation") == []


def test_restarting_task_of_a_lost_worker_becomes_none(stores: StoreWorld) -> None:
    _, (ti_id,) = stores.run()
    worker_id = stores.register()
    number = stores.running(ti_id, worker_id)
    stores.commit(stores.move(ti_id, S.RESTARTING, reason="cleared"), stores.revoke(ti_id, number, worker_id, S.NONE))
    assert stores.transitions(ti_id).count(("running", "restarting")) == 1
    stores.commit(stores.move(ti_id, S.NONE, reason="its worker was lost"))
    assert stores.rows("revocation") == []
    assert stores.worker.transact(worker_id, [stores.finish(ti_id, number)], []) == ([(number, None)], [])


# ------------------------------------------------------------------ ready rows, logs, reads


def test_ready_rows_are_claimed_by_priority_and_deleted(stores: StoreWorld) -> None:
    _, ti_ids = stores.run("d", [task_spec(f"t{n}") for n in range(5)])
    worker_id = stores.register()
    numbers = stores.queue(*ti_ids)
    priorities = [1, 5, 3, 5, 9]
    dispatches = tuple(zip(ti_ids, numbers, priorities, strict=True))
    stores.commit(
        d.Offer(queue="default", dispatches=dispatches[:4], as_rows=True),
        d.Offer(queue="gpu", dispatches=dispatches[4:], as_rows=True),
    )
    won = stores.worker.take_ready(worker_id, ["default"], 2)
    assert [task.dispatch_no for task in won] == [numbers[1], numbers[3]]
    assert stores.task(ti_ids[1])["state"] is S.RUNNING
    won = stores.worker.take_ready(worker_id, ["default", "gpu"], 10)
    assert [task.dispatch_no for task in won] == [numbers[4], numbers[2], numbers[0]]
    assert stores.rows("ready") == []
    assert stores.worker.take_ready(worker_id, ["default"], 10) == []


def test_void_ready_rows_are_deleted(stores: StoreWorld) -> None:
    _, (one, two) = stores.run("d", [task_spec("a"), task_spec("b")])
    worker_id = stores.register()
    first, second = stores.queue(one, two)
    stores.commit(d.Offer(queue="default", dispatches=((one, first, 1), (two, second, 1), (8, 9, 1)), as_rows=True))
    stores.worker.transact(worker_id, [], [(one, first)])
    assert [task.ti_id for task in stores.worker.take_ready(worker_id, ["default"], 10)] == [two]
    assert stores.rows("ready") == []


def test_lost_worker_takes_no_ready_rows(stores: StoreWorld) -> None:
    _, (ti_id,) = stores.run()
    worker_id = stores.register()
    (number,) = stores.queue(ti_id)
    stores.commit(d.Offer(queue="default", dispatches=((ti_id, number, 1),), as_rows=True))
    stores.register()
    assert stores.worker.take_ready(worker_id, ["default"], 10) == []
    assert len(stores.rows("ready")) == 1
    assert stores.task(ti_id)["state"] is S.QUEUED


def test_ready_rows_whose_commit_is_unknown_are_found_again(stores: StoreWorld) -> None:
    """Otherwise a task instance would run on a worker that does not know of it."""
    _, (ti_id,) = stores.run()
    worker_id = stores.register()
    (number,) = stores.queue(ti_id)
    stores.commit(d.Offer(queue="default", dispatches=((ti_id, number, 1),), as_rows=True))
    connection = stores.worker.connection
    run = connection.run

    def lose_the_reply(script: Script, *, begin: bool = True, commit: bool = True) -> list[list[Row]]:
        found = run(script, begin=begin, commit=commit)
        if commit:
            raise CommitUnknown("the reply to COMMIT was lost")
        return found

    connection.run = lose_the_reply  # type: ignore[method-assign]
    with pytest.raises(CommitUnknown):
        stores.worker.take_ready(worker_id, ["default"], 5)
    connection.run = run  # type: ignore[method-assign]
    assert stores.task(ti_id)["state"] is S.RUNNING
    assert [task.dispatch_no for task in stores.worker.take_ready(worker_id, ["default"], 5)] == [number]
    assert stores.worker.take_ready(worker_id, ["default"], 5) == []


def test_log_pieces_are_stored_once(stores: StoreWorld) -> None:
    worker_id = stores.register()
    data = bytes(range(256)) * 300
    chunks = [
        LogChunk(ti_id=1, dispatch_no=2, try_number=1, offset=0, data=b"short ' \\ \x00\xff"),
        LogChunk(ti_id=1, dispatch_no=2, try_number=1, offset=10, data=data),
    ]
    stores.worker.transact(worker_id, [], [], chunks)
    stores.worker.transact(worker_id, [], [], chunks[1:])
    stored = [(row["offset"], unpack_log(row["data"], row["encoding"])) for row in stores.rows("log_chunk")]
    assert stored == [(0, b"short ' \\ \x00\xff"), (10, data)]


def test_run_context_and_version(stores: StoreWorld) -> None:
    run_key, _ = stores.run("d", run_id="r", logical_date=NOW, conf={"k": "v"}, triggering_user="ann")
    context = stores.worker.run_context(run_key)
    assert (context.dag_id, context.run_id, context.run_type, context.state) == ("d", "r", "manual", "running")
    assert (context.logical_date, context.conf, context.triggering_user) == (NOW, {"k": "v"}, "ann")
    version = stores.worker.version(stores.version_of("d"))
    assert (version.dag_id, version.version_number, version.spec.fileloc) == ("d", 1, "d.py")
    for missing in (lambda: stores.worker.run_context(5), lambda: stores.worker.version(5)):
        with pytest.raises(EnvironmentFault) as fault:
            missing()
        assert not fault.value.transient


def test_text_that_is_no_text_is_stored_readably(stores: StoreWorld) -> None:
    _, (ti_id,) = stores.run()
    worker_id = stores.register()
    number = stores.running(ti_id, worker_id)
    broken = b"caf\xe9".decode("utf-8", "surrogateescape")
    finish = stores.finish(ti_id, number, S.FAILED, error=broken, rendered_fields={"f": object, "when": NOW})
    assert stores.worker.transact(worker_id, [finish], [])[0] == [(number, S.FAILED)]
    assert stores.task(ti_id)["error"] == "caf?"
    assert "object" in stores.rows("rendered_fields")[0]["fields"]["f"]


def test_a_worker_takes_nothing_from_a_scheduler_of_another_wire_version(
    stores: StoreWorld, caplog: pytest.LogCaptureFixture
) -> None:
    stores.lead()
    worker_id = stores.register()
    assert not stores.worker.is_draining(worker_id)
    with stores.database.writing() as connection:
        connection.execute(lease.update().where(lease.c.name == "scheduler").values(wire_version=99))
    assert stores.worker.is_draining(worker_id)
    assert "it speaks wire version 1 and the scheduler 99. Upgrade this worker" in caplog.text


def test_ends_are_judged_one_by_one_when_one_is_not_as_it_nearly_always_is(stores: StoreWorld) -> None:
    _, ti_ids = stores.run("d", [task_spec(f"t{n}") for n in range(12)])
    worker_id = stores.register()
    numbers = [stores.running(ti_id, worker_id) for ti_id in ti_ids]
    stores.commit(stores.revoke(ti_ids[3], numbers[3], worker_id, S.FAILED))
    finishes = [stores.finish(ti_id, number) for ti_id, number in zip(ti_ids, numbers, strict=True)]
    ends, _ = stores.worker.transact(worker_id, finishes, [])
    assert [state for _, state in ends] == [S.FAILED if n == 3 else S.SUCCESS for n in range(12)]
    assert [stores.task(ti_id)["state"] for ti_id in ti_ids] == [state for _, state in ends]
    assert stores.rows("revocation") == []
    again, _ = stores.worker.transact(worker_id, finishes, [])
    assert again == ends
