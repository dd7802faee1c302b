"""Producers and consumers of assets: plain ones, through an alias, with a condition, by partition, with states."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from dagdeck import (
    DAG,
    Asset,
    AssetAlias,
    FixedKeyMapper,
    Metadata,
    PartitionedAssetTimetable,
    PartitionedAtRuntime,
    RollupMapper,
    SegmentWindow,
    asset,
    task,
)
from dagdeck.partition_mappers import PartitionMapper, PartitionSatisfaction, WaitPolicy

RAW = Asset(name="raw", uri="s3://bucket/raw", extra={"owner": "team"})
CLEAN = Asset("s3://bucket/clean")
FOUND = AssetAlias("found")
REGIONS = Asset("regions")

with DAG("lineage_producer", schedule=None):

    @task(outlets=[RAW, FOUND], retries=1, retry_delay=timedelta(seconds=0))
    def produce(task_state_store: Any, asset_state_store: Any, ti: Any, outlet_events: Any) -> Any:
        if ti.try_number == 1:
            task_state_store.set("job", "j1")
            raise RuntimeError("the first try fails on purpose")
        asset_state_store[RAW].set("watermark", 7)
        outlet_events[FOUND].add(Asset("s3://bucket/found-at-run-time"), extra={"by": "alias"})
        yield Metadata(RAW, {"rows": 3, "job": task_state_store.get("job")})

    @task(outlets=[CLEAN])
    def clean() -> Any:
        return "cleaned"

    produce() >> clean()

with DAG("lineage_consumer", schedule=RAW & CLEAN):

    @task(inlets=[RAW])
    def consume(inlet_events: Any, triggering_asset_events: Any, asset_state_store: Any) -> Any:
        (raw,) = triggering_asset_events[RAW]
        (cleaned,) = triggering_asset_events[CLEAN]
        return {
            "extra": raw.extra,
            "newest": inlet_events[RAW][-1].extra,
            "from": [raw.source_dag_run.run_id, cleaned.source_task_instance.xcom_pull()],
            "watermark": asset_state_store.get("watermark"),
        }

    consume()

with DAG("lineage_alias_consumer", schedule=[FOUND]):

    @task(inlets=[FOUND])
    def consume_found(inlet_events: Any) -> Any:
        return [
            [event.asset.uri, event.extra, [alias.name for alias in event.source_aliases]]
            for event in inlet_events[FOUND]
        ]

    consume_found()


@asset(schedule=[Asset.ref(name="raw")], uri="s3://bucket/derived")
def derived(self: Any, raw: Any) -> Any:
    return [self.uri, raw.uri, raw.extra]


with DAG("lineage_regions", schedule=PartitionedAtRuntime()):

    @task(outlets=[REGIONS])
    def load(outlet_events: Any) -> Any:
        outlet_events[REGIONS].add_partitions(["us", "eu"])

    load()

with DAG("lineage_region", schedule=PartitionedAssetTimetable(assets=REGIONS)):

    @task
    def one(dag_run: Any, partition_key: Any) -> Any:
        return [dag_run.partition_key, partition_key]

    one()

with DAG(
    "lineage_all_regions",
    schedule=PartitionedAssetTimetable(
        assets=REGIONS,
        default_partition_mapper=RollupMapper(
            upstream_mapper=FixedKeyMapper("all"), window=SegmentWindow(["us", "eu"])
        ),
    ),
):

    @task
    def together(triggering_asset_events: Any) -> Any:
        return sorted(event.partition_key for event in triggering_asset_events[REGIONS])

    together()


class Continents(PartitionMapper):
    """Regions by their continent; evaluated where user code runs."""

    def to_downstream(self, key: str) -> str:
        return {"us": "america", "eu": "europe"}[key]


class AnyOfThem(WaitPolicy):
    """Enough is one expected region, and europe must be it."""

    def is_satisfied_by_keys(self, *, matched: Any, expected: Any) -> PartitionSatisfaction:
        return PartitionSatisfaction("eu" in matched & expected, unreachable=False, unreachable_reason=None)


with DAG(
    "lineage_continent",
    schedule=PartitionedAssetTimetable(assets=REGIONS, default_partition_mapper=Continents()),
):

    @task
    def continent(partition_key: Any, triggering_asset_events: Any, dag_run: Any) -> Any:
        (event,) = triggering_asset_events[REGIONS]
        assert [each.id for each in dag_run.consumed_asset_events] == [event.id]
        assert dag_run.run_id in [run.run_id for run in event.created_dagruns if run.state == "running"]
        return [partition_key, event.partition_key]

    continent()

with DAG(
    "lineage_europe",
    schedule=PartitionedAssetTimetable(
        assets=REGIONS,
        default_partition_mapper=RollupMapper(
            upstream_mapper=FixedKeyMapper("world"), window=SegmentWindow(["us", "eu"]), wait_policy=AnyOfThem()
        ),
    ),
):

    @task
    def europe(triggering_asset_events: Any) -> Any:
        return "eu" in [event.partition_key for event in triggering_asset_events[REGIONS]]

    europe()
