"""Assets, their events and state stores through the control API, driven by Airflow's own client."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import airflow_client.client.api as api
import airflow_client.client.models as models
import pytest
from airflow_client.client.exceptions import ConflictException, NotFoundException

from dagdeck import Asset, AssetAlias
from dagdeck.assets import BaseAsset
from dagdeck_core.spec import DagSpec, ReferenceSpec, TaskSpec
from dagdeck_core.timetables import AssetTriggeredSpec
from tests.integration.api_cluster import FILE, ApiCluster, api_cluster, sample_specs

RAW = ReferenceSpec(kind="asset", name="raw", uri="s3://raw/", group="asset", extra={"owner": "me", "api_token": "x"})
CLEAN = ReferenceSpec(kind="asset", name="clean", uri="s3://clean/", group="asset")
LONE = ReferenceSpec(kind="asset", name="lone", uri="s3://lone/", group="asset")
FOUND = ReferenceSpec(kind="alias", name="found", group="asset")


def dag(
    dag_id: str, condition: BaseAsset | None = None, *, assets: tuple[ReferenceSpec, ...] = (), **task: Any
) -> DagSpec:
    """A DAG of one task, which runs when assets change if a condition is given."""
    return DagSpec(
        dag_id=dag_id,
        fileloc=FILE,
        is_paused_upon_creation=False,
        asset_expression=None if condition is None else condition.as_expression(),
        schedule_assets=assets,
        timetable=AssetTriggeredSpec(),
        tasks=(TaskSpec(task_id="t", task_type="PythonOperator", **task),),
    )


SPECS = [
    dag("maker", outlets=(RAW,)),
    dag("other_maker", outlets=(CLEAN,)),
    dag("third_maker", outlets=(CLEAN, FOUND)),
    dag("user", Asset("raw", "s3://raw") & Asset("clean", "s3://clean"), assets=(RAW, CLEAN), inlets=(RAW,)),
    dag("waits", Asset("never", "s3://never") & Asset("lone", "s3://lone"), assets=(RAW, LONE)),
    dag("aliased", AssetAlias("found"), assets=(FOUND,)),
]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiCluster]:
    with api_cluster(tmp_path_factory.mktemp("home")) as running:
        running.publish([*sample_specs(), *SPECS])
        yield running


@pytest.fixture
def assets(cluster: ApiCluster) -> api.AssetApi:
    return api.AssetApi(cluster.client())


@pytest.fixture
def runs(cluster: ApiCluster) -> api.DagRunApi:
    return api.DagRunApi(cluster.client())


def asset_id(assets: api.AssetApi, name: str) -> int:
    (found,) = assets.get_assets(name_pattern=name).assets
    return int(found.id)


def runs_of(cluster: ApiCluster, runs: api.DagRunApi, dag_id: str, count: int) -> list[models.DAGRunResponse]:
    def found() -> list[models.DAGRunResponse] | None:
        listed = runs.get_dag_runs(dag_id).dag_runs
        ended = all(run.state.value == "success" for run in listed)
        return listed if len(listed) == count and ended else None

    return cluster.until(found, f"{count} runs of {dag_id}")


class TestAssets:
    def test_what_dags_name_is_listed(self, assets: api.AssetApi) -> None:
        listed = assets.get_assets(order_by=["name"])
        assert [asset.name for asset in listed.assets] == ["clean", "lone", "raw"]
        raw = assets.get_asset(asset_id(assets, "raw"))
        assert (raw.uri, raw.group, raw.extra) == ("s3://raw/", "asset", {"owner": "me", "api_token": "***"})
        assert [each.dag_id for each in raw.scheduled_dags] == ["user", "waits"]
        assert [(each.dag_id, each.task_id) for each in raw.producing_tasks] == [("maker", "t")]
        assert [(each.dag_id, each.task_id) for each in raw.consuming_tasks] == [("user", "t")]
        assert (raw.aliases, raw.watchers) == ([], [])

    @pytest.mark.parametrize(
        ("filters", "names"),
        [
            ({"uri_pattern": "s3://l"}, ["lone"]),
            ({"name_prefix_pattern": "c"}, ["clean"]),
            ({"dag_ids": ["waits"]}, ["lone", "raw"]),
            ({"limit": 1, "offset": 1}, ["lone"]),
        ],
    )
    def test_filters(self, assets: api.AssetApi, filters: dict[str, Any], names: list[str]) -> None:
        assert [asset.name for asset in assets.get_assets(order_by=["name"], **filters).assets] == names

    def test_aliases(self, assets: api.AssetApi) -> None:
        (alias,) = assets.get_asset_aliases(name_pattern="fou").asset_aliases
        assert assets.get_asset_alias(alias.id) == {"id": alias.id, "name": "found", "group": "asset"}
        with pytest.raises(NotFoundException):
            assets.get_asset_alias(7)
        with pytest.raises(NotFoundException):
            assets.get_asset(7)

    def test_what_no_dag_names_any_more_is_not_active(self, cluster: ApiCluster, assets: api.AssetApi) -> None:
        gone = dag("gone", outlets=(ReferenceSpec(kind="asset", name="gone", uri="s3://gone", group="asset"),))
        cluster.publish([*sample_specs(), *SPECS, gone])
        assert assets.get_assets(name_pattern="gone").total_entries == 1
        cluster.publish([*sample_specs(), *SPECS])
        assert assets.get_assets(name_pattern="gone").total_entries == 0
        assert assets.get_assets(name_pattern="gone", only_active=False).total_entries == 1

    def test_assets_that_clash_are_told_of(self, cluster: ApiCluster, assets: api.AssetApi) -> None:
        clash = dag("clash", outlets=(ReferenceSpec(kind="asset", name="raw", uri="s3://elsewhere", group="asset"),))
        cluster.publish([*sample_specs(), *SPECS, clash])
        (warning,) = api.DagWarningApi(cluster.client()).list_dag_warnings(dag_id="clash").dag_warnings
        assert warning.warning_type.value == "asset conflict"
        assert 'Cannot activate asset Asset(name="raw", uri="s3://elsewhere"' in warning.message
        cluster.publish([*sample_specs(), *SPECS])


class TestEvents:
    def test_tasks_and_people_make_events_that_start_runs(
        self, cluster: ApiCluster, assets: api.AssetApi, runs: api.DagRunApi
    ) -> None:
        raw, clean = asset_id(assets, "raw"), asset_id(assets, "clean")
        run = runs.trigger_dag_run("maker", models.TriggerDAGRunPostBody(dag_run_id="m1"))
        cluster.until(lambda: assets.get_asset_events(source_dag_id="maker").asset_events, "an event")
        (waiting,) = assets.get_dag_asset_queued_events("user").queued_events
        assert (waiting.asset_id, waiting.dag_display_name) == (raw, "user")
        body = models.CreateAssetEventsBody(asset_id=clean, extra={"rows": 3})
        made = assets.create_asset_event(body)
        assert (made.extra, made.name, made.source_dag_id) == ({"rows": 3, "from_rest_api": True}, "clean", None)
        (started,) = runs_of(cluster, runs, "user", 1)
        assert (started.run_type.value, started.logical_date) == ("asset_triggered", None)
        upstream = runs.get_upstream_asset_events("user", started.dag_run_id)
        assert [(event.name, event.source_run_id) for event in upstream.asset_events] == [
            ("raw", run.dag_run_id),
            ("clean", None),
        ]
        created = {event.name: event.created_dagruns for event in upstream.asset_events}
        assert [(each.run_id, each.triggering) for each in created["clean"]] == [(started.dag_run_id, True)]
        assert [each.triggering for each in created["raw"]] == [False]
        last = assets.get_asset(clean).last_asset_event
        assert last is not None
        assert last.id == made.id
        assert assets.get_asset_events(asset_id=clean, timestamp_lt=made.timestamp).total_entries == 0
        assert assets.get_asset_events(order_by=["-timestamp"], limit=1).asset_events[0].id == made.id

    def test_waiting_events_are_shown_and_forgotten(self, cluster: ApiCluster, assets: api.AssetApi) -> None:
        lone = asset_id(assets, "lone")
        early = datetime(2020, 1, 1, tzinfo=UTC).isoformat()
        assets.create_asset_event(models.CreateAssetEventsBody(asset_id=lone))
        assert assets.get_dag_asset_queued_event("waits", lone).asset_id == lone
        assert [each.dag_id for each in assets.get_asset_queued_events(lone).queued_events] == ["waits"]
        assert assets.get_asset_queued_events(lone, before=early).total_entries == 0
        with pytest.raises(NotFoundException):
            assets.delete_asset_queued_events(lone, before=early)
        assets.delete_dag_asset_queued_event("waits", lone)
        with pytest.raises(NotFoundException):
            assets.get_dag_asset_queued_event("waits", lone)
        assets.create_asset_event(models.CreateAssetEventsBody(asset_id=lone))
        assets.delete_dag_asset_queued_events("waits")
        assets.create_asset_event(models.CreateAssetEventsBody(asset_id=lone))
        assets.delete_asset_queued_events(lone)
        assert assets.get_asset_queued_events(lone).total_entries == 0

    def test_events_of_nothing_are_refused(self, assets: api.AssetApi, cluster: ApiCluster) -> None:
        with pytest.raises(NotFoundException):
            assets.create_asset_event(models.CreateAssetEventsBody(asset_id=7))
        wrong = {"asset_id": 7, "partition_key": " "}
        assert cluster.call("POST", "/api/v2/assets/events", json=wrong).status_code == 422
        answer = cluster.call("POST", "/api/v2/assets/events", "victor", json={"asset_id": 7})
        assert answer.status_code == 403

    def test_materializing(self, cluster: ApiCluster, assets: api.AssetApi, runs: api.DagRunApi) -> None:
        run = assets.materialize_asset(asset_id(assets, "raw"))
        assert (run.dag_id, run.run_type.value) == ("maker", "asset_materialization")
        assert run.dag_run_id.startswith("asset_materialization__")
        with pytest.raises(ConflictException):
            assets.materialize_asset(asset_id(assets, "clean"))
        with pytest.raises(NotFoundException):
            assets.materialize_asset(asset_id(assets, "lone"))


class TestStates:
    def test_of_assets(self, cluster: ApiCluster, assets: api.AssetApi) -> None:
        store, raw = api.AssetStateStoreApi(cluster.client()), asset_id(assets, "raw")
        store.set_asset_state_store("a/mark", raw, models.AssetStateStoreBody(value={"n": 1}))
        store.set_asset_state_store("a/mark", raw, models.AssetStateStoreBody(value=[2]))
        store.set_asset_state_store("b", raw, models.AssetStateStoreBody(value="x"))
        found = cluster.call("GET", f"/api/v2/assets/{raw}/state-store/a/mark").json()
        assert (found["value"], found["last_updated_by"]["kind"]) == ([2], "api")
        assert [each.key for each in store.list_asset_state_store(raw).asset_state_store] == ["a/mark", "b"]
        store.delete_asset_state_store("b", raw)
        store.clear_asset_state_store(raw)
        assert store.list_asset_state_store(raw).total_entries == 0
        with pytest.raises(NotFoundException):
            store.get_asset_state_store("b", raw)
        with pytest.raises(NotFoundException):
            store.list_asset_state_store(7)
        answer = cluster.call("PUT", f"/api/v2/assets/{raw}/state-store/k", json={"value": None})
        assert answer.status_code == 422

    def test_of_task_instances(self, cluster: ApiCluster, runs: api.DagRunApi) -> None:
        runs.trigger_dag_run("maker", models.TriggerDAGRunPostBody(dag_run_id="states"))
        scope = ("maker", "states", "t")
        store = api.TaskStateStoreApi(cluster.client())
        path = "/api/v2/dags/maker/dagRuns/states/taskInstances/t/state-store"
        cluster.until(lambda: cluster.call("PUT", path + "/job", json={"value": 1}).status_code == 204, "the task")
        found = store.get_task_state_store("job", *scope)
        assert found.expires_at is not None
        assert cluster.call("PUT", path + "/job", json={"value": 2, "expires_at": None}).status_code == 204
        assert cluster.call("PATCH", path + "/job", json={"value": {"a": 3}}).json() is None
        shown = cluster.call("GET", path + "/job").json()
        assert (shown["value"], shown["expires_at"]) == ({"a": 3}, None)
        assert store.list_task_state_store(*scope).total_entries == 1
        assert cluster.call("PATCH", path + "/nothing", json={"value": 1}).status_code == 404
        store.delete_task_state_store("job", *scope)
        store.clear_task_state_store(*scope)
        store.clear_task_state_store(*scope, all_map_indices=True)
        assert store.list_task_state_store(*scope).total_entries == 0
        assert cluster.call("PUT", path.replace("/t/", "/nope/") + "/k", json={"value": 1}).status_code == 404
