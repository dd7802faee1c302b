"""What the control API shows of triggers and of who runs them, driven by Airflow's own client."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import airflow_client.client.api as api
import airflow_client.client.models as models
import pytest

from dagdeck_io.db.tables import trigger
from dagdeck_master.api.identity import id_of
from tests.integration.api_cluster import ApiCluster, api_cluster

AT = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiCluster]:
    with api_cluster(tmp_path_factory.mktemp("home")) as running:
        yield running


def test_a_waiting_task_shows_its_trigger_and_who_runs_it(cluster: ApiCluster) -> None:
    runs = api.DagRunApi(cluster.client())
    run = runs.trigger_dag_run("holding", models.TriggerDAGRunPostBody())
    tis = api.TaskInstanceApi(cluster.client())
    cluster.until(lambda: tis.get_task_instances("holding", run.dag_run_id).task_instances, "task instances")
    [first, *_] = tis.get_task_instances("holding", run.dag_run_id).task_instances
    assert (first.trigger, first.triggerer_job) == (None, None)
    store = cluster.database.lease_store()
    worker_id = store.register(
        name="triggers", hostname="far", slots=1, queues=["q"], version="1", pid=1, trigger_capacity=9
    )
    with cluster.database.writing() as connection:
        connection.execute(
            trigger.insert().values(
                trigger_id=5,
                ti_id=id_of(first.id),
                owner="task",
                classpath="x.Trigger",
                kwargs="secret",
                claim_no=1,
                log_offset=0,
                triggerer_id=worker_id,
                created_at=AT,
            )
        )
    shown = tis.get_task_instance("holding", run.dag_run_id, first.task_id)
    assert shown.trigger is not None
    assert (shown.trigger.id, shown.trigger.classpath, shown.trigger.triggerer_id) == (5, "x.Trigger", worker_id)
    assert "secret" not in shown.trigger.kwargs
    assert shown.triggerer_job is not None
    assert (shown.triggerer_job.hostname, shown.triggerer_job.state, shown.triggerer_job.job_type) == (
        "far",
        "running",
        "TriggererJob",
    )


def test_health_knows_the_triggerer(cluster: ApiCluster) -> None:
    monitor = api.MonitorApi(cluster.client())
    cluster.database.lease_store().register(
        name="healthy", hostname="here", slots=1, queues=["q"], version="1", pid=1, trigger_capacity=9
    )
    health = monitor.get_health()
    assert health.triggerer.status == "healthy"
    assert health.triggerer.latest_triggerer_heartbeat is not None


def test_workers_tell_how_many_triggers_they_take(cluster: ApiCluster) -> None:
    cluster.database.lease_store().register(
        name="full", hostname="here", slots=1, queues=["q"], version="1", pid=1, trigger_capacity=77
    )
    answer = cluster.call("GET", "/api/dagdeck/v1/workers", "alice").json()
    by_name = {worker["name"]: worker for worker in answer["workers"]}
    assert (by_name["full"]["trigger_capacity"], by_name["full"]["triggers"]) == (77, None)
