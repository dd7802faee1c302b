"""A DAG of each family of operators on real processes: a standalone cluster, its triggerer included."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import sqlalchemy as sa

from dagdeck_core.actions import TriggerDagRun
from dagdeck_core.states import DagRunState
from dagdeck_io.db import tables as t
from tests.e2e.conftest import DAGS
from tests.e2e.harness import QUICK, ClusterUnderTest

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

DAG_IDS = ("branches", "target", "triggers", "watched", "watching", "sensors", "interpreters", "scoped", "stored")
DATE = datetime(2026, 3, 4, tzinfo=UTC)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClusterUnderTest]:
    """One cluster for all of them."""
    settings = {**QUICK, "worker.slots": "12"}
    folder = tmp_path_factory.mktemp("families")
    with ClusterUnderTest(folder, dags=[DAGS / "operator_families.py"], settings=settings) as running:
        running.start_standalone()
        running.wait_ready(*DAG_IDS)
        yield running


def play(cluster: ClusterUnderTest, dag_id: str, state: DagRunState | None = DagRunState.SUCCESS) -> dict[str, str]:
    """Run a DAG for DATE; the states of its tasks."""
    run_id = f"{dag_id}-run"
    cluster.database.act(TriggerDagRun(dag_id=dag_id, run_id=run_id, logical_date=DATE))
    cluster.wait_run(run_id, timeout=60, state=state)
    return states(cluster, run_id)


def states(cluster: ClusterUnderTest, run_id: str) -> dict[str, str]:
    """task_id → state."""
    return {ti.task_id: ti.state.value for ti in cluster.database.task_instances(run_id)}


def xcom(cluster: ClusterUnderTest, run_id: str, task_id: str, key: str = "return_value") -> Any:
    """What a task pushed, as JSON."""
    statement = (
        sa.select(t.xcom.c.value)
        .join(t.task_instance, t.task_instance.c.ti_id == t.xcom.c.ti_id)
        .join(t.dag_run, t.dag_run.c.run_key == t.task_instance.c.run_key)
        .where(t.dag_run.c.run_id == run_id, t.task_instance.c.task_id == task_id, t.xcom.c.key == key)
    )
    with cluster.database.engine.connect() as connection:
        return json.loads(connection.execute(statement).scalar_one())


def test_branches(cluster: ClusterUnderTest) -> None:
    assert play(cluster, "branches") == {
        "day": "success",
        "hours": "success",
        "taken": "success",
        "left_out": "skipped",
    }


def test_triggering_other_dags(cluster: ClusterUnderTest) -> None:
    assert play(cluster, "triggers", DagRunState.FAILED) == {
        "waits": "success",
        "defers": "success",
        "goes_on": "success",
        "again": "success",
        "twice": "skipped",
        "refused": "failed",
        "failing": "failed",
    }
    for name in ("waits", "defers", "goes_on"):
        run = cluster.wait_run(f"triggers-run-{name}", timeout=30)
        assert run.state == DagRunState.SUCCESS
        assert xcom(cluster, f"triggers-run-{name}", "told") == f"operator_triggered {name}"
    for name in ("waits", "defers"):
        assert xcom(cluster, "triggers-run", name, "trigger_run_id") == f"triggers-run-{name}"
    tries = {ti.task_id: ti.try_number for ti in cluster.database.task_instances("triggers-run")}
    assert (tries["refused"], tries["failing"]) == (1, 1), "what cannot get better is not tried again"
    again = {ti.task_id: ti.try_number for ti in cluster.database.task_instances("triggers-run-waits")}
    assert again["told"] == 2


def test_waiting_for_other_dags(cluster: ClusterUnderTest) -> None:
    cluster.database.act(TriggerDagRun(dag_id="watching", run_id="watching-run", logical_date=DATE))
    assert play(cluster, "watched") == {"slow": "success", "quick": "success", "marker": "success"}
    cluster.wait_run("watching-run", timeout=60, state=DagRunState.FAILED)
    assert states(cluster, "watching-run") == {
        "for_the_run": "success",
        "for_a_task": "success",
        "deferred": "success",
        "for_nothing": "failed",
    }


def test_sensors_in_every_mode(cluster: ClusterUnderTest) -> None:
    assert play(cluster, "sensors", DagRunState.FAILED) == {
        "file": "success",
        "file_deferred": "success",
        "bash": "success",
        "delta": "success",
        "delta_deferred": "success",
        "moment": "success",
        "arrive": "success",
        "never": "skipped",
        "never_deferred": "failed",
    }


def test_other_interpreters(cluster: ClusterUnderTest) -> None:
    assert play(cluster, "interpreters") == {
        "external": "success",
        "isolated": "success",
        "choose": "success",
        "left": "success",
        "right": "skipped",
    }
    assert xcom(cluster, "interpreters-run", "isolated") == [42, "2026-03-04", True]


def test_a_teardown_that_fails_does_not_fail_the_run(cluster: ClusterUnderTest) -> None:
    assert play(cluster, "scoped") == {"create": "success", "work": "success", "destroy": "failed"}


def test_paths_in_a_store_travel_as_xcoms(cluster: ClusterUnderTest) -> None:
    assert play(cluster, "stored") == {"put": "success", "fetch": "success"}
    assert xcom(cluster, "stored-run", "fetch") == "default"
