"""Assets in the machine: registering events, conditions, consuming, aliases, pauses, partitions, failed commits."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dagdeck import Asset, AssetAlias, AssetAll, AssetAny, PartitionedAssetTimetable
from dagdeck.assets import BaseAsset
from dagdeck.partition_mappers import (
    AllowedKeyMapper,
    FanOutMapper,
    FixedKeyMapper,
    IdentityMapper,
    MinimumCount,
    PartitionMapper,
    RollupMapper,
    SegmentWindow,
    StartOfDayMapper,
    StartOfHourMapper,
)
from dagdeck_core.actions import CreateAssetEvent, DeleteQueuedEvents
from dagdeck_core.asset_records import AssetRecord, AssetState, OutletEvent
from dagdeck_core.scheduling import asset_queueing
from dagdeck_core.scheduling import assets as machine_assets
from dagdeck_core.scheduling.asset_conditions import AssetNames, holds
from dagdeck_core.scheduling.events import AssetNamesLoaded
from dagdeck_core.spec import DagSpec
from dagdeck_core.states import DagRunState, DagRunType
from dagdeck_core.timetables import AssetOrTimeSpec, AssetTriggeredSpec, CronPartitionSpec, CronTriggerSpec
from dagdeck_core.work import AssetNews
from tests.core.machine_driver import START, Driver, dag

A, B, C = (Asset(name) for name in "abc")
ALIAS = AssetAlias("alias")
PRODUCER = dag("p", "t")


def listens(dag_id: str, condition: BaseAsset, **fields: Any) -> DagSpec:
    """A DAG that listens."""
    fields.setdefault("timetable", AssetTriggeredSpec())
    return dag(dag_id, "c", asset_expression=condition.as_expression(), **fields)


def partitioned(dag_id: str, condition: BaseAsset, mapper: PartitionMapper, **config: Any) -> DagSpec:
    """A DAG with a run for each partition."""
    timetable = PartitionedAssetTimetable(assets=condition, default_partition_mapper=mapper, **config)
    return listens(dag_id, condition, timetable=timetable.spec)


class World(Driver):
    """A driver with a producer and three assets, which are always compared with a fresh machine's."""

    def __init__(self, *specs: DagSpec, **settings: Any) -> None:
        self.known: dict[str, int] = {}
        super().__init__(PRODUCER, *specs, **settings)
        for number, name in enumerate(("a", "b", "c"), start=1):
            self.db.assets[number] = AssetRecord(asset_id=number, name=name, uri=name)
        self.settle(AssetNamesLoaded(assets=tuple(self.db.assets.values()), aliases=()))
        self.number = 0

    def emit(self, *names: str | OutletEvent, **run: Any) -> list[str]:
        """A task of a new run emits events; the scheduler hears of it."""
        self.ended(*names, **run)
        return self.settle(self.changes())

    def ended(self, *names: str | OutletEvent, **run: Any) -> None:
        """A task of a new run emits events, which nobody has heard of."""
        self.now += timedelta(seconds=1)
        self.number += 1
        self.trigger(f"p{self.number}", "p", **run)
        events = [OutletEvent(name=each, uri=each) if isinstance(each, str) else each for each in names]
        self.settle(self.finished(f"p{self.number}.t", emits=events))

    def consumed(self, dag_id: str) -> list[list[str]]:
        """The names of the assets whose events each run of a DAG has consumed, in order."""
        found = []
        for run in self.db.runs.values():
            if run.dag_id == dag_id:
                ids = sorted(event_id for key, event_id in self.db.consumed if key == run.run_key)
                found.append([self.db.assets[self.db.asset_events[each].asset_id].name for each in ids])
        return found

    def keys(self, dag_id: str) -> list[str | None]:
        """The partition keys of a DAG's runs."""
        return [run.partition_key for run in self.db.runs.values() if run.dag_id == dag_id]

    def problems(self) -> list[str]:
        """What people are told."""
        return [problem.event for problem in self.db.asset_problems.values()]

    def step(self, *events: Any) -> list[str]:
        told = super().step(*events)
        fresh = self.fresh_machine().world.assets
        own = self.machine.world.assets
        assert _held(own) == _held(fresh)
        assert vars_of(own.names) == vars_of(fresh.names)
        return told


def _held(assets: machine_assets.Assets) -> dict[str, Any]:
    return {
        dag_id: (
            backlog.queue.events(),
            {key: (pending.record, pending.queue.events()) for key, pending in backlog.partitions.items()},
        )
        for dag_id, backlog in assets.backlogs.items()
        if backlog
    }


def vars_of(names: AssetNames) -> tuple[Any, ...]:
    plain = [msgspec.structs.replace(asset, extra={}) for _, asset in sorted(names.by_id.items())]
    return plain, {alias: sorted(ids) for alias, ids in names.of_alias.items()}


# ---------------------------------------------------------------- conditions


def test_an_event_starts_who_listens() -> None:
    world = World(listens("c", A), listens("other", B), listens("ref", Asset.ref(uri="a")))
    world.emit(OutletEvent(name="a", uri="a", extra={"rows": 3}), partition_key=None)
    (run,) = [run for run in world.db.runs.values() if run.dag_id == "c"]
    assert (run.run_type, run.logical_date, run.data_interval_start, run.triggered_by, run.run_after) == (
        DagRunType.ASSET_TRIGGERED,
        None,
        None,
        "asset",
        world.now,
    )
    assert run.run_id.startswith(f"asset_triggered__{world.now.isoformat()}_")
    (event,) = world.db.asset_events.values()
    assert (event.extra, event.source_dag_id, event.source_run_id, event.source_task_id) == (
        {"rows": 3},
        "p",
        "p1",
        "t",
    )
    assert (world.consumed("c"), world.consumed("other"), world.consumed("ref")) == ([["a"]], [], [["a"]])
    assert (world.db.asset_changes, world.db.queued) == ({}, {})


def test_events_gather_until_the_condition_holds() -> None:
    world = World(listens("c", A & B))
    world.emit("a")
    world.emit("a")
    assert world.consumed("c") == []
    world.emit("b")
    assert world.consumed("c") == [["a", "a", "b"]]
    world.emit("b")
    assert world.consumed("c") == [["a", "a", "b"]]


@pytest.mark.parametrize(
    ("condition", "emitted", "runs"),
    [
        (A | B, "ab", 2),
        (A & B, "ab", 1),
        (A & (B | C), "ac", 1),
        (A & (B | C), "bc", 0),
        ((A | B) & (B | C), "b", 1),
        (AssetAll(Asset.ref(name="a"), Asset.ref(uri="b")), "ab", 1),
        (AssetAny(ALIAS), "a", 0),
        (Asset("unknown"), "a", 0),
    ],
)
def test_conditions(condition: BaseAsset, emitted: str, runs: int) -> None:
    world = World(listens("c", condition))
    for name in emitted:
        world.emit(name)
    assert len(world.consumed("c")) == runs


_leaf = st.sampled_from([A, B, C, Asset.ref(name="a"), Asset.ref(uri="c"), ALIAS])
_conditions = st.recursive(
    _leaf,
    lambda inner: st.builds(
        lambda kind, items: kind(*items), st.sampled_from([AssetAny, AssetAll]), st.lists(inner, min_size=1, max_size=3)
    ),
)


@given(_conditions, st.sets(st.sampled_from("abc")), st.sets(st.sampled_from("abc")))
def test_conditions_mean_what_they_say(condition: BaseAsset, changed: set[str], of_alias: set[str]) -> None:
    names = AssetNames()
    for number, name in enumerate("abc"):
        names.add(AssetRecord(asset_id=number, name=name, uri=name))
        if name in of_alias:
            names.link("alias", number)

    def obvious(item: Any) -> bool:
        if isinstance(item, AssetAny):
            return any(map(obvious, item.objects))
        if isinstance(item, AssetAll):
            return all(map(obvious, item.objects))
        if isinstance(item, AssetAlias):
            return bool(changed & of_alias)
        return (item.name or item.uri) in changed

    assert holds(condition.as_expression(), names, lambda asset_id: "abc"[asset_id] in changed) is obvious(condition)


# ---------------------------------------------------------------- limits, pauses, changes of DAGs


def test_a_full_dag_gathers_events() -> None:
    world = World(listens("c", A, max_active_runs=1))
    world.emit("a")
    world.emit("a")
    world.emit("a")
    assert world.consumed("c") == [["a"]]
    (run,) = [run for run in world.db.runs.values() if run.dag_id == "c"]
    world.end(f"{run.run_id}.c")
    assert world.consumed("c") == [["a"], ["a", "a"]]


def test_a_paused_dag_gathers_but_does_not_start() -> None:
    world = World(listens("c", A))
    world.pause(dag_id="c")
    world.emit("a")
    world.emit("a")
    assert [event.counts for event in world.db.queued.values()] == [False, False]
    world.pause(False, dag_id="c")
    assert world.consumed("c") == []
    world.emit("a")
    assert world.consumed("c") == [["a", "a", "a"]]


def test_a_condition_that_held_while_paused_starts_at_once() -> None:
    world = World(listens("c", A, max_active_runs=1))
    world.emit("a")
    world.emit("a")
    world.pause(dag_id="c")
    (run,) = [run for run in world.db.runs.values() if run.dag_id == "c"]
    world.end(f"{run.run_id}.c")
    assert len(world.consumed("c")) == 1
    world.pause(False, dag_id="c")
    assert world.consumed("c") == [["a"], ["a"]]


def test_a_dag_that_no_longer_listens_forgets() -> None:
    world = World(listens("c", A & B))
    world.emit("a")
    world.settle(world.put_dag(listens("c", C & B)))
    world.emit("b")
    assert (world.consumed("c"), len(world.db.queued)) == ([], 2)
    world.settle(world.put_dag(dag("c", "c")))
    assert world.db.queued == {}


def test_a_stale_dag_hears_nothing() -> None:
    world = World(listens("c", A))
    world.settle(world.put_dag(listens("c", A), is_stale=True))
    world.emit("a")
    assert (world.consumed("c"), world.db.queued) == ([], {})


def test_the_oldest_event_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asset_queueing, "MOST_QUEUED", 2)
    world = World(listens("c", A & B))
    for _ in range(4):
        world.emit("a")
    assert len(world.db.queued) == 2
    world.pause(dag_id="c")
    for _ in range(3):
        world.emit("a")
    world.pause(False, dag_id="c")
    world.emit("b")
    assert world.consumed("c") == [["a", "a", "b"]]


def test_time_and_assets() -> None:
    timetable = AssetOrTimeSpec(timetable=CronTriggerSpec(cron="0 1 * * *"))
    world = World(listens("c", A, timetable=timetable, start_date=START))
    world.emit("a")
    world.now = START + timedelta(hours=1)
    world.settle()
    types = [run.run_type for run in world.db.runs.values() if run.dag_id == "c"]
    assert types == [DagRunType.ASSET_TRIGGERED, DagRunType.SCHEDULED]


# ---------------------------------------------------------------- aliases, inactive assets


def test_an_alias_makes_its_asset() -> None:
    world = World(listens("c", ALIAS), listens("direct", Asset(name="new", uri="s3://new")))
    event = OutletEvent(name="new", uri="s3://new/", extra={"k": 1}, aliases=("alias", "second"), asset_extra={"e": 2})
    world.emit(event)
    made = next(asset for asset in world.db.assets.values() if asset.name == "new")
    assert (made.extra, made.is_active) == ({"e": 2}, True)
    assert sorted(world.db.aliases) == [("alias", made.asset_id), ("second", made.asset_id)]
    assert (world.consumed("c"), len(world.consumed("direct"))) == ([["new"]], 1)
    world.emit(OutletEvent(name="new", uri="s3://new/"))
    assert len(world.consumed("c")) == 1, (
        "an event that did not come through the alias does not start who listens to it"
    )


def test_an_asset_whose_name_is_taken_stays_inactive() -> None:
    world = World(listens("c", ALIAS), listens("ref", Asset.ref(name="a")))
    world.emit(OutletEvent(name="a", uri="other", aliases=("alias",)))
    made = next(asset for asset in world.db.assets.values() if asset.uri == "other")
    assert made.is_active is False
    assert len(world.consumed("c")) == 1


def test_an_event_of_an_inactive_asset_is_told_of() -> None:
    world = World(listens("c", A))
    world.db.assets[1] = msgspec.structs.replace(world.db.assets[1], is_active=False)
    world.settle(AssetNamesLoaded(assets=tuple(world.db.assets.values()), aliases=()))
    world.emit("a", OutletEvent(name="nobody"))
    assert (world.db.asset_events, world.problems()) == ({}, ["asset is not active"] * 2)
    assert world.db.asset_changes == {}


# ---------------------------------------------------------------- people


def test_people_make_events_and_forget_them() -> None:
    world = World(listens("c", A & B))
    assert world.act(CreateAssetEvent(asset_id=1, extra={"by": "hand"}))[-1] == "done 1"
    (event,) = world.db.asset_events.values()
    assert (event.extra, event.source_dag_id, len(world.db.queued)) == ({"by": "hand"}, None, 1)
    assert "there is no asset with id 9" in world.act(CreateAssetEvent(asset_id=9))[-1]
    assert "was not found" in world.act(DeleteQueuedEvents(dag_id="c", before=START))[-1]
    assert world.act(DeleteQueuedEvents(dag_id="c", asset_id=1))[-1].startswith("done")
    assert (world.db.queued, "was not found" in world.act(DeleteQueuedEvents(asset_id=1))[-1]) == ({}, True)


def test_a_materialization_is_a_run_of_its_own_type() -> None:
    world = World()
    world.trigger("m", "p", materializes=True)
    assert world.run("m", "p").run_type is DagRunType.ASSET_MATERIALIZATION


# ---------------------------------------------------------------- partitions


def key(text: str) -> OutletEvent:
    """An event of the asset a with a partition key."""
    return OutletEvent(name="a", uri="a", partition_key=text)


def test_a_run_for_each_partition() -> None:
    world = World(
        partitioned("same", A, IdentityMapper()), partitioned("day", A, StartOfDayMapper()), listens("plain", A)
    )
    date = datetime(2026, 1, 5, 7, tzinfo=UTC)
    world.emit(key("2026-01-05T07:30:00"), "a", partition_key="2026-01-05T07:00:00")
    assert world.keys("same") == ["2026-01-05T07:30:00", "2026-01-05T07:00:00"]
    assert world.keys("day") == ["2026-01-05"], "both came before the run was made"
    assert {run.partition_date for run in world.db.runs.values() if run.dag_id == "day"} == {date.replace(hour=0)}
    assert (world.keys("plain"), world.db.partitions) == ([], {})
    world.emit("a")
    assert (world.keys("plain"), world.problems()) == ([None], ["missing partition key"] * 2)


def test_partitions_wait_for_all_their_assets() -> None:
    world = World(partitioned("c", A & B, StartOfHourMapper()))
    world.emit("a", partition_key="2026-01-05T07:30:00")
    world.emit("a", partition_key="2026-01-05T08:00:00")
    world.emit("b", partition_key="2026-01-05T07:59:00")
    assert (world.keys("c"), len(world.db.partitions)) == (["2026-01-05T07"], 1)
    assert world.consumed("c") == [["a", "b"]]


@pytest.mark.parametrize(
    ("mapper", "keys", "runs", "problems"),
    [
        (RollupMapper(upstream_mapper=FixedKeyMapper("all"), window=SegmentWindow(["us", "eu"])), ["us", "us"], [], []),
        (
            RollupMapper(upstream_mapper=FixedKeyMapper("all"), window=SegmentWindow(["us", "eu"])),
            ["us", "xx", "eu"],
            ["all"],
            [],
        ),
        (
            RollupMapper(
                upstream_mapper=FixedKeyMapper("all"),
                window=SegmentWindow(["us", "eu", "ap"]),
                wait_policy=MinimumCount(2),
            ),
            ["us", "ap", "eu"],
            ["all"],
            [],
        ),
        (
            RollupMapper(
                upstream_mapper=FixedKeyMapper("all"), window=SegmentWindow(["us"]), wait_policy=MinimumCount(2)
            ),
            ["us", "eu"],
            [],
            [],
        ),
        (
            FanOutMapper(
                upstream_mapper=IdentityMapper(), window=SegmentWindow(["x", "y"]), downstream_mapper=IdentityMapper()
            ),
            ["us"],
            ["x", "y"],
            [],
        ),
        (
            FanOutMapper(
                upstream_mapper=IdentityMapper(),
                window=SegmentWindow(["x", "y"]),
                downstream_mapper=IdentityMapper(),
                max_downstream_keys=1,
            ),
            ["us"],
            [],
            ["partition fan-out exceeded"],
        ),
        (AllowedKeyMapper(["us"]), ["eu", "us"], ["us"], ["failed to map partition_key"]),
    ],
)
def test_mappers_in_the_machine(mapper: PartitionMapper, keys: list[str], runs: list[str], problems: list[str]) -> None:
    world = World(partitioned("c", A, mapper))
    for each in keys:
        world.emit(key(each))
    assert (world.keys("c"), world.problems()) == (runs, problems)


def test_dates_that_disagree_are_left_out() -> None:
    world = World(partitioned("c", A & B & C, IdentityMapper()))
    dates = [datetime(2026, 1, day, tzinfo=UTC) for day in (1, 2)]
    for name, date in zip("ab", dates, strict=True):
        world.ended(name, partition_key="k")
        (change,) = world.db.asset_changes.values()
        world.db.asset_changes[change.change_id] = msgspec.structs.replace(change, partition_date=date)
        world.settle(world.changes())
    (pending,) = world.db.partitions.values()
    assert (pending.date, world.keys("c")) == (None, [])
    world.emit("c", partition_key="k")
    assert [(run.partition_key, run.partition_date) for run in world.db.runs.values() if run.dag_id == "c"] == [
        ("k", None)
    ]


def test_other_mappers_drop_what_was_mapped_before() -> None:
    world = World(partitioned("c", A & B, IdentityMapper()))
    world.emit(key("us"))
    world.settle(world.put_dag(partitioned("c", A & B, IdentityMapper())))
    assert len(world.db.partitions) == 1
    world.settle(world.put_dag(partitioned("c", A & B, FixedKeyMapper("x"))))
    assert (world.db.partitions, world.db.queued) == ({}, {})


def test_cron_partitions() -> None:
    spec = CronPartitionSpec(cron="0 0 * * *", run_offset=-1, key_format="%Y-%m-%d")
    world = World(dag("c", "t", timetable=spec, start_date=START, catchup=True), partitioned("d", A, IdentityMapper()))
    world.now = START + timedelta(days=1)
    world.settle()
    runs = [run for run in world.db.runs.values() if run.dag_id == "c"]
    assert [(run.partition_key, run.partition_date, run.logical_date) for run in runs] == [
        ("2025-12-31", datetime(2025, 12, 31, tzinfo=UTC), None),
        ("2026-01-01", datetime(2026, 1, 1, tzinfo=UTC), None),
    ]
    assert runs[0].run_id == "scheduled__2026-01-01T00:00:00+00:00__2025-12-31"
    world.settle(world.finished(f"{runs[1].run_id}.t", emits=[OutletEvent(name="a", uri="a")]))
    world.settle(world.changes())
    assert [(run.partition_key, run.partition_date) for run in world.db.runs.values() if run.dag_id == "d"] == [
        ("2026-01-01", datetime(2026, 1, 1, tzinfo=UTC))
    ]
    world.trigger("m", "c", partition_key="2026-02-01")
    assert world.run("m", "c").partition_date == datetime(2026, 2, 1, tzinfo=UTC)
    assert "is no partition of the DAG" in world.trigger("n", "c", partition_key="nonsense")[-1]


# ---------------------------------------------------------------- bounds and failures


def test_a_large_change_goes_on_over_several_steps() -> None:
    world = World(listens("c", A), max_rows=10)
    world.emit(*["a"] * 25)
    assert len(world.db.asset_events) == 25
    assert sorted(name for names in world.consumed("c") for name in names) == ["a"] * 25
    assert (world.db.queued, world.db.asset_changes) == ({}, {})


@pytest.mark.parametrize("committed", [True, False])
@pytest.mark.parametrize("make", [lambda: listens("c", A), lambda: partitioned("c", A, IdentityMapper())])
def test_nothing_is_lost_or_consumed_twice_when_a_commit_fails(committed: bool, make: Callable[[], DagSpec]) -> None:
    world = World(make())
    world.ended(key("us") if make().timetable.partitioned else "a")  # type: ignore[union-attr]
    decisions = world.machine.step(world.now, [world.changes()])
    if committed:
        world.store.commit(world.epoch, world.now, world.written(decisions))
    world.recover(decisions)
    assert (len(world.db.asset_events), world.consumed("c"), world.db.asset_changes) == (1, [["a"]], {})


def test_a_new_leader_goes_on() -> None:
    world = World(listens("c", A & B))
    world.emit("a")
    world.ended("b")
    world.fail_over()
    assert world.consumed("c") == [["a", "b"]]
    (run,) = [run for run in world.db.runs.values() if run.dag_id == "c"]
    assert run.state is DagRunState.RUNNING


def test_an_empty_state_is_nothing() -> None:
    assert AssetState() == AssetState(assets=(), aliases=(), queued=(), partitions=())


# ---------------------------------------------------------------- listeners


def news(world: World) -> dict[str, list[AssetNews]]:
    """dag_id → what listeners among its plugins are told."""
    found: dict[str, list[AssetNews]] = {}
    for work in world.db.works.values():
        if isinstance(work.order, AssetNews):
            found.setdefault(work.dag_id, []).append(work.order)
    return found


def test_listeners_of_the_producing_dag_are_told_in_bounded_orders() -> None:
    heard = dag("p", "t", asset_listeners=("on_asset_changed",))
    world = World(heard, listens("c", A, asset_listeners=("on_asset_changed",)))
    found = OutletEvent(name="found", uri="s3://found", aliases=("alias",), extra={"n": 1})
    world.emit("a", found, found, *["b"] * 30, partition_key=None)
    (orders,) = news(world).values()
    assert list(news(world)) == ["p"]
    assert [len(order.events) for order in orders] == [20, 13]
    first, second, third = orders[0].events[:3]
    assert (first.asset.name, first.is_new, first.source_task_id) == ("a", False, "t")
    assert (second.asset.uri, second.is_new, second.aliases, second.extra) == ("s3://found", True, ("alias",), {"n": 1})
    assert third.is_new is False, "the first event made it"


def test_an_event_that_nobody_made_is_told_to_a_dag_that_listens() -> None:
    world = World(listens("c", A), listens("d", A, asset_listeners=("on_asset_changed",)))
    world.emit("a")
    assert news(world) == {}, "the producing DAG has no such listener"
    world.act(CreateAssetEvent(asset_id=1, extra={"x": "y" * 70_000}))
    world.act(CreateAssetEvent(asset_id=1))
    assert [[event.source_dag_id for event in order.events] for order in news(world)["d"]] == [[None], [None]]
