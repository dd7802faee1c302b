"""What the stores promise of assets, over every adapter."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from dagdeck_core.asset_records import AssetRecord, MappedKey, OutletEvent, PartitionRecord, QueuedEvent
from dagdeck_core.deferral import TriggerOutcome
from dagdeck_core.ports import GuardFailed, TriggerFiring
from dagdeck_core.scheduling import asset_decisions as d
from dagdeck_core.spec import ReferenceSpec, TaskSpec, WatcherSpec
from dagdeck_core.states import TaskInstanceState
from dagdeck_core.work import AssetNews, order_decoder
from dagdeck_io.db.faults import NotFound
from tests.contract.store_world import NOW, StoreWorld, task_spec
from tests.contract.test_processor_store import publish, published

S = TaskInstanceState
RAW = ReferenceSpec(kind="asset", name="raw", uri="s3://raw", group="asset", extra={"owner": "ann"})
FOUND = ReferenceSpec(kind="alias", name="found")
LATER = timedelta(seconds=5)


def producer(*outlets: ReferenceSpec) -> TaskSpec:
    """A task that writes assets."""
    return task_spec("a", outlets=outlets or (RAW,))


def asset_id(stores: StoreWorld, name: str = "raw") -> int:
    """The asset of this name."""
    (row,) = stores.rows("asset", name=name)
    return int(row["asset_id"])


# ------------------------------------------------------------------ publishing


def test_what_dags_name_is_active_while_they_are_there(stores: StoreWorld) -> None:
    store = stores.database.processor_store()
    reference = ReferenceSpec(kind="ref", name="raw")
    publish(store, [published("d", schedule_assets=(RAW, FOUND, reference)), published("e", schedule_assets=(RAW,))])
    (row,) = stores.rows("asset")
    assert (row["name"], row["uri"], row["extra"], row["is_active"]) == ("raw", "s3://raw", {"owner": "ann"}, True)
    (alias,) = stores.rows("asset_alias")
    named = {
        (each["dag_id"], each["role"], each["asset_id"], each["alias_id"], each["ref_name"])
        for each in stores.rows("asset_reference")
    }
    assert named == {
        ("d", "schedule", row["asset_id"], None, None),
        ("d", "schedule", None, alias["alias_id"], None),
        ("d", "schedule", None, None, "raw"),
        ("e", "schedule", row["asset_id"], None, None),
    }
    publish(store, [published("d")])
    assert stores.rows("asset")[0]["is_active"] is False, "e is stale, and d names it no more"
    assert {each["dag_id"] for each in stores.rows("asset_reference")} == {"e"}
    publish(store, [published("d"), published("e", schedule_assets=(RAW,))])
    assert [(each["asset_id"], each["is_active"]) for each in stores.rows("asset")] == [(row["asset_id"], True)]


def test_of_two_assets_with_one_name_the_earlier_stays_active(stores: StoreWorld) -> None:
    store = stores.database.processor_store()
    other = ReferenceSpec(kind="asset", name="raw", uri="s3://elsewhere", group="asset")
    publish(store, [published("d", schedule_assets=(RAW,))])
    publish(store, [published("d", schedule_assets=(RAW,)), published("e", schedule_assets=(other,))])
    assert {each["uri"]: each["is_active"] for each in stores.rows("asset")} == {
        "s3://raw": True,
        "s3://elsewhere": False,
    }
    (warning,) = stores.rows("dag_warning")
    assert (warning["dag_id"], warning["warning_type"]) == ("e", "asset conflict")
    assert "s3://elsewhere" in warning["message"]
    publish(store, [published("d"), published("e", schedule_assets=(other,))])
    assert {each["uri"]: each["is_active"] for each in stores.rows("asset")} == {
        "s3://raw": False,
        "s3://elsewhere": True,
    }
    assert stores.rows("dag_warning") == []


# ------------------------------------------------------------------ what workers leave


def test_success_leaves_what_it_emits(stores: StoreWorld) -> None:
    run_key, (ti_id,) = stores.run("d", [producer()], partition_key="eu", partition_date=NOW)
    worker_id = stores.register()
    number = stores.running(ti_id, worker_id)
    events = ({"name": "raw", "uri": "s3://raw", "extra": {"rows": 3}},)
    stores.worker.transact(worker_id, [stores.finish(ti_id, number, outlet_events=events)], [])
    assert stores.task(ti_id)["state"] is S.SUCCESS
    (change,) = stores.scheduler.pending_asset_changes(10)
    (run,) = stores.rows("dag_run", run_key=run_key)
    assert change.events == (OutletEvent(name="raw", uri="s3://raw", extra={"rows": 3}),)
    assert (change.source_dag_id, change.source_run_id, change.source_task_id) == ("d", run["run_id"], "a")
    assert (change.source_map_index, change.partition_key, change.partition_date) == (-1, "eu", NOW)


@pytest.mark.parametrize("target", [S.FAILED, S.SKIPPED])
def test_success_that_was_revoked_emits_nothing(stores: StoreWorld, target: TaskInstanceState) -> None:
    _, (ti_id,) = stores.run("d", [producer()])
    worker_id = stores.register()
    number = stores.running(ti_id, worker_id)
    stores.commit(stores.revoke(ti_id, number, worker_id, target))
    stores.worker.transact(worker_id, [stores.finish(ti_id, number, outlet_events=({"name": "raw"},))], [])
    assert stores.task(ti_id)["state"] is target
    assert stores.scheduler.pending_asset_changes(10) == []


def test_repeated_end_emits_once(stores: StoreWorld) -> None:
    _, (ti_id,) = stores.run("d", [producer()])
    worker_id = stores.register()
    number = stores.running(ti_id, worker_id)
    finish = stores.finish(ti_id, number, outlet_events=({"name": "raw"},))
    stores.worker.transact(worker_id, [finish], [])
    stores.worker.transact(worker_id, [finish], [])
    assert len(stores.scheduler.pending_asset_changes(10)) == 1


# ------------------------------------------------------------------ the scheduler


def emitted(stores: StoreWorld, *, key: str | None = None) -> tuple[int, int]:
    """Publish DAGs d and e, let d emit one event that waits for e; (asset_id, event_id)."""
    stores.dag("d", producer())
    stores.dag("e", schedule_assets=(RAW,))
    raw, event_id = asset_id(stores), stores.database.new_id()
    write = d.WriteAssetEvent(event_id=event_id, asset_id=raw, at=NOW, extra={"rows": 1}, partition_key=key)
    stores.commit(write, d.QueueEvent(queued=QueuedEvent(dag_id="e", event_id=event_id, asset_id=raw, at=NOW)))
    return raw, event_id


def test_what_waits_is_loaded_again(stores: StoreWorld) -> None:
    raw, event_id = emitted(stores)
    partition = PartitionRecord(partition_id=stores.database.new_id(), dag_id="e", key="eu", created_at=NOW, rollup="r")
    queued = QueuedEvent(
        dag_id="e",
        event_id=event_id,
        asset_id=raw,
        at=NOW,
        partition_id=partition.partition_id,
        counts=False,
        source_key="k",
        mapped=MappedKey(key="eu", date=NOW, expected=3, is_expected=True, needed=2),
    )
    stores.commit(d.WritePartition(partition=partition, is_new=True), d.QueueEvent(queued=queued))
    state = stores.scheduler.load_assets(stores.epoch)
    (asset,) = state.assets
    assert (asset.asset_id, asset.name, asset.uri, asset.is_active) == (raw, "raw", "s3://raw", True)
    assert set(state.queued) == {queued, QueuedEvent(dag_id="e", event_id=event_id, asset_id=raw, at=NOW)}
    assert state.partitions == (partition,)
    stores.commit(
        d.DropQueued(dag_id="e", partition_id=partition.partition_id, event_ids=(event_id,)),
        d.DropPartition(partition_id=partition.partition_id),
    )
    assert stores.scheduler.load_assets(stores.epoch).partitions == ()


def test_event_is_consumed_once(stores: StoreWorld) -> None:
    _, event_id = emitted(stores)
    run_key, _ = stores.run("e")
    consume = d.ConsumeEvents(run_key=run_key, dag_id="e", partition_id=0, event_ids=(event_id,))
    stores.commit(consume)
    assert stores.scheduler.load_assets(stores.epoch).queued == ()
    with pytest.raises(GuardFailed):
        stores.commit(consume)
    other_key, _ = stores.run("e")
    with pytest.raises(GuardFailed):
        stores.commit(d.ConsumeEvents(run_key=other_key, dag_id="e", partition_id=0, event_ids=(event_id,)))
    assert [(row["run_key"], row["asset_event_id"]) for row in stores.rows("dag_run_asset_event")] == [
        (run_key, event_id)
    ]


def test_change_is_registered_once(stores: StoreWorld) -> None:
    _, (ti_id,) = stores.run("d", [producer()])
    worker_id = stores.register()
    number = stores.running(ti_id, worker_id)
    events = ({"name": "raw"}, {"name": "raw"})
    stores.worker.transact(worker_id, [stores.finish(ti_id, number, outlet_events=events)], [])
    (change,) = stores.scheduler.pending_asset_changes(10)
    first = d.AdvanceChange(change_id=change.change_id, old_done=0, done=1, ended=False)
    stores.commit(first)
    assert [each.done for each in stores.scheduler.pending_asset_changes(10)] == [1]
    with pytest.raises(GuardFailed):
        stores.commit(first)
    stores.commit(d.AdvanceChange(change_id=change.change_id, old_done=1, done=2, ended=True))
    assert stores.scheduler.pending_asset_changes(10) == []


def test_asset_found_at_run_time_stands_for_its_alias(stores: StoreWorld) -> None:
    stores.dag("d", producer(FOUND))
    made = AssetRecord(asset_id=stores.database.new_id(), name="new", uri="s3://new", is_active=False)
    event_id = stores.database.new_id()
    stores.commit(
        d.CreateAsset(asset=made),
        d.LinkAlias(alias="found", asset_id=made.asset_id, activates=True),
        d.WriteAssetEvent(event_id=event_id, asset_id=made.asset_id, at=NOW, aliases=("found",)),
    )
    assets, aliases = stores.scheduler.load_asset_names(stores.epoch)
    assert [(each.name, each.is_active) for each in assets] == [("new", True)]
    assert aliases == (("found", made.asset_id),)
    queries = stores.worker_database.worker_queries()
    (event,) = queries.asset_events_get(alias="found")
    assert (event["id"], event["asset"]["name"], event["source_aliases"]) == (event_id, "new", ["found"])
    assert [each["uri"] for each in queries.assets_of_alias("found")] == ["s3://new"]


def test_listeners_are_told_of_what_is_named_first(stores: StoreWorld) -> None:
    store = stores.database.processor_store()
    wanted: dict[str, Any] = {"asset_listeners": ("on_asset_created",)}
    publish(store, [published("e", schedule_assets=(RAW,)), published("d", schedule_assets=(RAW, FOUND), **wanted)])
    (work,) = stores.rows("work")
    order = order_decoder.decode(work["order"])
    assert isinstance(order, AssetNews)
    assert (work["dag_id"], work["state"], work["version_id"]) == ("d", "new", stores.version_of("d"))
    assert (order.assets, [alias.name for alias in order.aliases]) == ((), ["found"]), "the asset is e's"
    publish(store, [published("d", schedule_assets=(RAW, FOUND), catchup=True, **wanted)])
    assert len(stores.rows("work")) == 1


# ------------------------------------------------------------------ what tasks ask


def test_a_task_asks_which_of_its_assets_are_not_active(stores: StoreWorld) -> None:
    emitted(stores)
    queries = stores.worker_database.worker_queries()
    keys = [["raw", "s3://raw"], ["raw", "s3://other"], ["nobody", "s3://raw"]]
    assert queries.assets_inactive(keys) == keys[1:]
    assert queries.assets_inactive([]) == []
    publish(stores.database.processor_store(), [published("d"), published("e")])
    assert queries.assets_inactive(keys) == keys, "no DAG names it any more"


def test_the_runs_that_consumed_an_event(stores: StoreWorld) -> None:
    _, event_id = emitted(stores)
    queries = stores.worker_database.worker_queries()
    assert queries.asset_event_runs_get(event_id) == []
    run_key, _ = stores.run("e")
    stores.commit(d.ConsumeEvents(run_key=run_key, dag_id="e", partition_id=0, event_ids=(event_id,)))
    (run,) = queries.asset_event_runs_get(event_id)
    (row,) = [row for row in stores.rows("dag_run") if row["run_key"] == run_key]
    assert (run["run_id"], run["dag_id"], run["state"]) == (row["run_id"], "e", str(row["state"]))
    assert run["logical_date"] is None or datetime.fromisoformat(run["logical_date"]).tzinfo is not None


def test_events_are_found_by_time_and_newest_first(stores: StoreWorld) -> None:
    raw, first = emitted(stores, key="eu")
    second = stores.database.new_id()
    stores.commit(d.WriteAssetEvent(event_id=second, asset_id=raw, at=NOW + LATER), now=NOW + LATER)
    queries = stores.worker_database.worker_queries()
    assert [each["id"] for each in queries.asset_events_get(name="raw")] == [first, second]
    assert [each["id"] for each in queries.asset_events_get(uri="s3://raw", ascending=False, limit=1)] == [second]
    since = (NOW + timedelta(seconds=1)).isoformat()
    assert [each["id"] for each in queries.asset_events_get(name="raw", after=since)] == [second]
    (event,) = queries.asset_events_get(name="raw", before=since)
    assert (event["extra"], event["partition_key"]) == ({"rows": 1}, "eu")
    assert queries.asset_events_get(name="no such") == []
    with pytest.raises(NotFound):
        queries.asset_get(name="no such")


def test_states_are_kept_until_they_expire(stores: StoreWorld) -> None:
    stores.dag("d", producer())
    _, (ti_id,) = stores.run("d", [producer()])
    queries = stores.worker_database.worker_queries()
    queries.task_state_set(ti_id, "k", "1")
    queries.task_state_set(ti_id, "k", "2", retention=3600)
    past = datetime.now(UTC) - timedelta(seconds=1)
    stores.insert("task_state_store", ti_id=ti_id, key="gone", value="3", updated_at=past, expires_at=past)
    assert queries.task_state_get(ti_id, "k") == "2"
    with pytest.raises(NotFound):
        queries.task_state_get(ti_id, "gone")
    queries.asset_state_set(ti_id, "mark", "7", name="raw")
    assert queries.asset_state_get("mark", uri="s3://raw") == "7"
    queries.asset_state_delete("mark", name="raw")
    with pytest.raises(NotFound):
        queries.asset_state_get("mark", name="raw")


# ------------------------------------------------------------------ watchers


def watched(path: str = "/in") -> ReferenceSpec:
    """An asset that a trigger watches."""
    trigger = WatcherSpec(name="w", class_path="dagdeck.triggers.file.FileDeleteTrigger", kwargs={"filepath": path})
    return ReferenceSpec(kind="asset", name="raw", uri="s3://raw", group="asset", watchers=(trigger,))


def test_watching_triggers_come_and_go_with_the_dags(stores: StoreWorld) -> None:
    store = stores.database.processor_store()
    publish(store, [published("d", schedule_assets=(watched(),)), published("e", schedule_assets=(watched(),))])
    (row,) = stores.rows("trigger")
    assert (row["owner"], row["owner_key"]) == ("asset", str(asset_id(stores)))
    assert row["kwargs"] != '{"filepath":"/in"}', "they are encrypted"
    assert [each["dag_id"] for each in stores.rows("asset_watcher")] == ["d", "e"]
    publish(store, [published("d", schedule_assets=(watched(),)), published("e")])
    assert [each["trigger_id"] for each in stores.rows("trigger")] == [row["trigger_id"]], "d still names it"
    publish(store, [published("d", schedule_assets=(watched("/other"),)), published("e")])
    (other,) = stores.rows("trigger")
    assert other["trigger_id"] != row["trigger_id"]
    publish(store, [published("e")])
    assert (stores.rows("trigger"), stores.rows("asset_watcher")) == ([], [])


def test_new_code_of_a_watching_trigger_is_claimed_anew(stores: StoreWorld) -> None:
    store = stores.database.processor_store()
    publish(store, [published("d", schedule_assets=(watched(),))])
    worker_id = stores.register()
    triggers = stores.worker_database.trigger_store()
    (claimed,) = triggers.claim(worker_id, 10)
    publish(store, [published("d", schedule_assets=(watched(),))])
    assert triggers.claim(worker_id, 10) == []
    publish(store, [published("d", schedule_assets=(watched(),), code="c2")])
    (again,) = triggers.claim(worker_id, 10)
    assert (again.trigger_id, again.version_id) == (claimed.trigger_id, stores.version_of("d"))
    assert again.claim_no > claimed.claim_no


def test_what_a_watching_trigger_yields_becomes_a_change(stores: StoreWorld) -> None:
    store = stores.database.processor_store()
    publish(store, [published("d", schedule_assets=(watched(),))])
    worker_id = stores.register()
    triggers = stores.worker_database.trigger_store()
    (claimed,) = triggers.claim(worker_id, 10)
    firing = TriggerFiring(
        trigger=claimed,
        event_id=triggers.new_id(),
        outcome=TriggerOutcome.RESUME,
        payload='{"file":"x"}',
        ends=False,
    )
    assert triggers.commit(worker_id, [firing]) == []
    triggers.commit(worker_id, [firing])  # its answer was lost
    (change,) = stores.scheduler.pending_asset_changes(10)
    extra = {"from_trigger": True, "payload": {"file": "x"}}
    assert change.events == (OutletEvent(asset_id=asset_id(stores), extra=extra),)
    assert (change.source_dag_id, change.source_map_index) == (None, -1)
    assert stores.rows("trigger_event") == []
    publish(store, [published("d")])
    triggers.commit(worker_id, [TriggerFiring(trigger=claimed, event_id=9, outcome=TriggerOutcome.RESUME, ends=False)])
    assert len(stores.scheduler.pending_asset_changes(10)) == 1, "nobody names the watcher any more"
