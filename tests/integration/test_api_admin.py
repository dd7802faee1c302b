"""Pools, variables, connections, audit, health, workers and queues through the control API."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import airflow_client.client.api as api
import airflow_client.client.models as models
import httpx
import pytest
import sqlalchemy as sa
from airflow_client.client.exceptions import BadRequestException, ConflictException, NotFoundException

from dagdeck_core.ports import SAMPLES
from dagdeck_core.wire import Hint, WorkerSample
from dagdeck_io.broker import MemoryBroker
from dagdeck_io.db.tables import connection as connection_table
from dagdeck_io.db.tables import variable
from tests.integration.api_cluster import ApiCluster, api_cluster

FAILED = models.DagRunMutableStates.FAILED


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiCluster]:
    with api_cluster(tmp_path_factory.mktemp("home")) as running:
        yield running


def own(cluster: ApiCluster, method: str, path: str, user: str = "alice", **arguments: Any) -> httpx.Response:
    """A call of DagDeck's own API."""
    return cluster.call(method, f"/api/dagdeck/v1{path}", user, **arguments)


class TestPools:
    @pytest.fixture
    def pools(self, cluster: ApiCluster) -> api.PoolApi:
        return api.PoolApi(cluster.client())

    def test_the_default_pool(self, pools: api.PoolApi) -> None:
        found = pools.get_pool("default_pool")
        assert found.slots == 128
        assert found.open_slots == 128
        with pytest.raises(BadRequestException, match="cannot be deleted"):
            pools.delete_pool("default_pool")

    def test_create_change_delete(self, pools: api.PoolApi) -> None:
        made = pools.post_pool(models.PoolBody(name="small", slots=2, description="two at a time"))
        assert (made.slots, made.include_deferred, made.description) == (2, False, "two at a time")
        with pytest.raises(ConflictException, match="already exists"):
            pools.post_pool(models.PoolBody(name="small", slots=3))
        changed = pools.patch_pool("small", models.PoolPatchBody(slots=5), update_mask=["slots"])
        assert (changed.slots, changed.description) == (5, "two at a time")
        changed = pools.patch_pool(
            "small", models.PoolPatchBody(include_deferred=True), update_mask=["include_deferred"]
        )
        assert (changed.slots, changed.include_deferred) == (5, True)
        assert [each.name for each in pools.get_pools(pool_name_pattern="SMA").pools] == ["small"]
        assert [each.name for each in pools.get_pools(order_by=["-slots"], limit=1).pools] == ["default_pool"]
        pools.delete_pool("small")
        with pytest.raises(NotFoundException):
            pools.get_pool("small")
        with pytest.raises(NotFoundException):
            pools.delete_pool("small")

    def test_bad_ones(self, cluster: ApiCluster, pools: api.PoolApi) -> None:
        with pytest.raises(NotFoundException):
            pools.patch_pool("nothing", models.PoolPatchBody(slots=5))
        answer = cluster.call(
            "POST",
            "/api/v2/pools",
            json={"name": "bad", "slots": -2},
        )
        assert answer.status_code == 422

    def test_slots_in_use(self, cluster: ApiCluster, pools: api.PoolApi) -> None:
        runs = api.DagRunApi(cluster.client())
        run = runs.trigger_dag_run("holding", models.TriggerDAGRunPostBody())
        found = cluster.until(
            lambda: (pool := pools.get_pool("default_pool")).running_slots == 1 and pool, "a task runs"
        )
        assert (found.occupied_slots, found.open_slots) == (1, 127)
        assert pools.get_pools().pools[0].running_slots == 1
        workers = own(cluster, "GET", "/workers").json()["workers"]
        assert [(each["name"], each["running"], each["slots"]) for each in workers] == [("stand-in", 1, 4)]
        runs.patch_dag_run("holding", run.dag_run_id, models.DAGRunPatchBody(state=FAILED))
        cluster.until(lambda: pools.get_pool("default_pool").occupied_slots == 0, "the slot is free again")


class TestVariables:
    @pytest.fixture
    def variables(self, cluster: ApiCluster) -> api.VariableApi:
        return api.VariableApi(cluster.client())

    def test_create_read_change_delete(self, cluster: ApiCluster, variables: api.VariableApi) -> None:
        made = variables.post_variable(models.VariableBody(key="a/b", value="text", description="d"))
        assert (made.value, made.description, made.is_encrypted) == ("text", "d", True)
        assert variables.get_variable("a/b").value == "text"
        with pytest.raises(ConflictException):
            variables.post_variable(models.VariableBody(key="a/b", value="again"))
        changed = variables.patch_variable("a/b", models.VariableBody(key="a/b", value={"n": 1}), update_mask=["value"])
        assert (changed.value, changed.description) == ('{"n":1}', "d")
        with pytest.raises(BadRequestException, match="doesn't match"):
            variables.patch_variable("a/b", models.VariableBody(key="other", value=""))
        variables.delete_variable("a/b")
        for call in (
            lambda: variables.get_variable("a/b"),
            lambda: variables.delete_variable("a/b"),
            lambda: variables.patch_variable("a/b", models.VariableBody(key="a/b", value="")),
        ):
            with pytest.raises(NotFoundException):
                call()

    def test_values_are_encrypted_at_rest(self, cluster: ApiCluster, variables: api.VariableApi) -> None:
        variables.post_variable(models.VariableBody(key="plain", value="readable words"))
        with cluster.database.reading() as connection:
            stored = connection.execute(sa.select(variable.c.value).where(variable.c.key == "plain")).scalar_one()
        assert "readable" not in stored
        assert cluster.database.vault.decrypt(stored) == "readable words"

    def test_secrets_are_hidden(self, variables: api.VariableApi) -> None:
        variables.post_variable(models.VariableBody(key="db_password", value="hunter2"))
        assert variables.get_variable("db_password").value == "***"
        variables.post_variable(
            models.VariableBody(key="service", value={"url": "x", "api_key": "k", "n": [{"token": 1}]})
        )
        shown = json.loads(variables.get_variable("service").value or "")
        assert shown == {"url": "x", "api_key": "***", "n": [{"token": "***"}]}

    def test_listing(self, variables: api.VariableApi) -> None:
        variables.post_variable(models.VariableBody(key="zz_one", value="1"))
        variables.post_variable(models.VariableBody(key="zz_two", value="2"))
        page = variables.get_variables(variable_key_pattern="ZZ_", order_by=["-key"], limit=1)
        assert ([each.key for each in page.variables], page.total_entries) == (["zz_two"], 2)


class TestConnections:
    @pytest.fixture
    def connections(self, cluster: ApiCluster) -> api.ConnectionApi:
        return api.ConnectionApi(cluster.client())

    def test_create_read_change_delete(self, cluster: ApiCluster, connections: api.ConnectionApi) -> None:
        body = models.ConnectionBody(
            connection_id="store",
            conn_type="postgres",
            host="db",
            login="me",
            password="hunter2",
            schema="main",
            port=5432,
            extra='{"sslmode": "require", "secret_key": "s3"}',
        )
        made = connections.post_connection(body)
        assert made.password == "***"
        assert json.loads(made.extra or "") == {"sslmode": "require", "secret_key": "***"}
        assert (made.host, made.login, made.port, made.var_schema) == ("db", "me", 5432, "main")
        with pytest.raises(ConflictException):
            connections.post_connection(body)
        changed = models.ConnectionBody(connection_id="store", conn_type="mysql", host="other")
        after = connections.patch_connection("store", changed, update_mask=["host"])
        assert (after.host, after.conn_type, after.login) == ("other", "postgres", "me")
        assert self.stored(cluster, "store") == ("hunter2", '{"sslmode": "require", "secret_key": "s3"}')
        connections.delete_connection("store")
        with pytest.raises(NotFoundException):
            connections.get_connection("store")

    def stored(self, cluster: ApiCluster, conn_id: str) -> tuple[str, str]:
        table = connection_table.c
        with cluster.database.reading() as connection:
            row = connection.execute(sa.select(table.password, table.extra).where(table.conn_id == conn_id)).one()
        assert "hunter2" not in row.password
        return cluster.database.vault.decrypt(row.password), cluster.database.vault.decrypt(row.extra)

    def test_what_was_hidden_and_comes_back_is_kept(self, cluster: ApiCluster, connections: api.ConnectionApi) -> None:
        body = models.ConnectionBody(
            connection_id="kept", conn_type="http", password="hunter2", extra='{"token": "t", "a": 1}'
        )
        shown = connections.post_connection(body)
        back = models.ConnectionBody(
            connection_id="kept", conn_type="http", host="new", password=shown.password, extra=shown.extra
        )
        assert connections.patch_connection("kept", back).host == "new"
        assert self.stored(cluster, "kept") == ("hunter2", '{"token": "t", "a": 1}')

    @pytest.mark.parametrize("extra", ["not json", "[1]"])
    def test_extra_must_be_a_json_object(self, connections: api.ConnectionApi, extra: str) -> None:
        with pytest.raises(BadRequestException, match="JSON object"):
            connections.post_connection(models.ConnectionBody(connection_id="bad", conn_type="x", extra=extra))

    def test_ids_are_checked(self, cluster: ApiCluster) -> None:
        body = models.ConnectionBody(connection_id="ab", conn_type="x").to_dict() | {"connection_id": "a b"}
        answer = cluster.call(
            "POST",
            "/api/v2/connections",
            json=body,
        )
        assert answer.status_code == 422

    def test_listing(self, connections: api.ConnectionApi) -> None:
        for name in ("list_one", "list_two"):
            connections.post_connection(models.ConnectionBody(connection_id=name, conn_type="x"))
        page = connections.get_connections(connection_id_pattern="list_", order_by=["-connection_id"])
        assert [each.connection_id for each in page.connections] == ["list_two", "list_one"]


class TestAudit:
    def test_who_did_what(self, cluster: ApiCluster) -> None:
        events = api.EventLogApi(cluster.client("olga"))
        api.VariableApi(cluster.client()).post_variable(models.VariableBody(key="audited", value="secret value"))
        api.DagRunApi(cluster.client("olga")).trigger_dag_run(
            "pipeline", models.TriggerDAGRunPostBody(dag_run_id="audited")
        )
        page = events.get_event_logs(owner="alice", event="post_variable", order_by=["-when"], limit=1)
        assert json.loads(page.event_logs[0].extra or "") == {
            "key": "audited",
            "after": {"description": None, "value": "hidden"},
            "source": "rest_api",
        }
        page = events.get_event_logs(dag_id="pipeline", owner_pattern="OLG")
        assert [(each.event, each.run_id, each.owner) for each in page.event_logs] == [
            ("trigger_dag_run", "audited", "olga")
        ]
        one = events.get_event_log(page.event_logs[0].event_log_id)
        assert one.dag_display_name == "pipeline"
        assert "trigger_dag_run" in (one.extra or "")
        later = datetime.now(UTC) + timedelta(hours=1)
        assert events.get_event_logs(after=later).total_entries == 0
        assert events.get_event_logs(dag_id="pipeline", excluded_events=["trigger_dag_run"]).total_entries == 0
        assert (events.get_event_logs(included_events=["trigger_dag_run"], before=later).total_entries or 0) >= 1
        with pytest.raises(NotFoundException):
            events.get_event_log(1)


class TestCluster:
    def test_health(self, cluster: ApiCluster) -> None:
        health = api.MonitorApi(cluster.client()).get_health()
        assert health.metadatabase.status == "healthy"
        assert health.scheduler.status == "healthy"
        assert health.scheduler.latest_scheduler_heartbeat is not None
        assert datetime.fromisoformat(health.scheduler.latest_scheduler_heartbeat).tzinfo is not None
        assert health.triggerer.status is None
        assert health.dag_processor is not None
        assert health.dag_processor.status == "unhealthy"

    def test_version(self, cluster: ApiCluster) -> None:
        assert api.VersionApi(cluster.client()).get_version().version

    def test_draining_a_worker(self, cluster: ApiCluster) -> None:
        worker_id = cluster.worker.worker_id
        assert own(cluster, "POST", f"/workers/{worker_id}/drain", "olga").json()["state"] == "draining"
        assert own(cluster, "POST", f"/workers/{worker_id}/resume", "olga").json()["state"] == "active"
        assert own(cluster, "POST", "/workers/12345/drain").status_code == 404

    def test_samples_show_up_while_somebody_looks(self, cluster: ApiCluster) -> None:
        sample = WorkerSample(
            worker_id=cluster.worker.worker_id,
            at=datetime.now(UTC),
            slots=4,
            running=0,
            cpu=0.25,
            memory_used=10,
            memory_total=100,
            load1=0.5,
            net_received=1.0,
            net_sent=2.0,
        )

        def shown() -> bool:
            MemoryBroker(cluster.queues).append(SAMPLES, [sample])
            worker = own(cluster, "GET", "/workers", "victor").json()["workers"][0]
            return bool((worker["cpu"], worker["memory_total"], worker["load1"]) == (0.25, 100, 0.5))

        cluster.until(shown, "the sample is shown")

    def test_queues(self, cluster: ApiCluster) -> None:
        MemoryBroker(cluster.queues).offer("elsewhere", [Hint(((1, 1),))])
        store = cluster.database.worker_store()
        worker_id = store.register(
            name="second", hostname="b", slots=1, queues=["elsewhere", "default"], version="", pid=2
        )
        try:
            queues = own(cluster, "GET", "/queues", "victor").json()["queues"]
            assert [(each["name"], each["depth"], each["workers"]) for each in queues] == [
                ("default", 0, 2),
                ("elsewhere", 1, 1),
            ]
        finally:
            store.stop(worker_id)
        gone = own(cluster, "GET", "/workers", params={"include_gone": True}).json()["workers"]
        assert {each["name"]: each["state"] for each in gone} == {"second": "stopped", "stand-in": "active"}
