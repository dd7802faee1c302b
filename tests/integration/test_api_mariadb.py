"""A sample of the control API on MariaDB: what depends on the database's own words."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import airflow_client.client.api as api
import airflow_client.client.models as models
import pytest

from tests.integration.api_cluster import PASSWORDS, ApiCluster, api_cluster


@pytest.fixture
def cluster(mariadb_url: str, tmp_path: Path) -> Iterator[ApiCluster]:
    with api_cluster(tmp_path, mariadb_url) as running:
        yield running


def test_from_sign_in_to_logs(cluster: ApiCluster) -> None:
    signed_in = cluster.http.post("/auth/token", json={"username": "alice", "password": PASSWORDS["alice"]})
    assert signed_in.status_code == 201
    client = cluster.client()
    dags, runs, tis = api.DAGApi(client), api.DagRunApi(client), api.TaskInstanceApi(client)

    page = dags.get_dags(owners=["bob"], tags=["etl"], dag_id_pattern="PIPE", order_by=["-last_run_state"])
    assert [each.dag_id for each in page.dags] == ["pipeline"]
    assert dags.get_dags(dag_id_prefix_pattern="PIPE").total_entries == 0
    assert dags.patch_dag("scheduled", models.DAGPatchBody(is_paused=True)).is_paused

    for day in (1, 2, 3):
        logical = datetime(2023, 3, day, 12, 30, 15, 123456, tzinfo=UTC)
        body = models.TriggerDAGRunPostBody(dag_run_id=f"day{day}", logical_date=logical, conf={"year": 1990 + day})
        assert runs.trigger_dag_run("pipeline", body).logical_date == logical
    cluster.until(lambda: runs.get_dag_runs("pipeline", state=["success"]).total_entries == 3, "all runs end")

    assert runs.get_dag_runs("pipeline", duration_gte=0.0, duration_lt=3600.0).total_entries == 3
    assert runs.get_dag_runs("pipeline", conf_contains='"year":1992').total_entries == 1
    seen: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        part = runs.get_dag_runs("pipeline", cursor=cursor, limit=2, order_by=["-duration", "-logical_date"])
        seen += [run.dag_run_id for run in part.dag_runs]
        cursor = part.next_cursor
    assert sorted(seen) == ["day1", "day2", "day3"]

    found = tis.get_task_instances("pipeline", "day1", order_by=["-duration", "state"], operator_name_pattern="bash")
    assert [each.task_id for each in found.task_instances] == ["load"]
    clear = models.ClearTaskInstancesBody(
        dag_run_id="day2",
        dry_run=False,
        only_failed=False,
        task_ids=[models.ClearTaskInstancesBodyTaskIdsInner("load")],
        include_past=True,
    )
    assert tis.post_clear_task_instances("pipeline", clear).total_entries == 2

    def has_run_again() -> bool:
        found = tis.get_task_instance("pipeline", "day2", "load")
        return (found.try_number, found.state) == (2, "success")

    cluster.until(has_run_again, "it has run again")
    log = tis.get_log("pipeline", "day2", "load", 2)
    assert log.continuation_token is None
    assert len(log.content.actual_instance or []) == 3
    source = api.DagSourceApi(client).get_dag_source("pipeline")
    assert "all sample DAGs" in (source.content or "")


def test_set_up_and_health(cluster: ApiCluster) -> None:
    client = cluster.client()
    variables = api.VariableApi(client)
    variables.post_variable(models.VariableBody(key="Key", value="one"))
    variables.post_variable(models.VariableBody(key="key", value={"unicode": "ünïcode 🚀"}))
    assert variables.get_variable("key").value == '{"unicode":"ünïcode 🚀"}'
    pools = api.PoolApi(client)
    pools.post_pool(models.PoolBody(name="small", slots=2))
    assert pools.get_pool("small").open_slots == 2
    health = api.MonitorApi(client).get_health()
    assert health.scheduler.status == "healthy"
    connections = api.ConnectionApi(client)
    connections.post_connection(models.ConnectionBody(connection_id="c", conn_type="http", password="p"))
    assert connections.get_connection("c").password == "***"
    assert api.EventLogApi(client).get_event_logs(owner="alice").total_entries == 4
