"""What is cleared with a task: its setups and teardowns, and by markers the tasks of other DAGs."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import airflow_client.client.api as api
import airflow_client.client.models as models
import pytest
from airflow_client.client.exceptions import BadRequestException, NotFoundException

from dagdeck_core.spec import DagSpec, MarkerSpec, TaskSpec, TriggerRule
from tests.integration.api_cluster import FILE, ApiCluster, api_cluster, sample_specs

Clear = models.ClearTaskInstancesBody
DATE = datetime(2026, 3, 4, tzinfo=UTC)


def task(task_id: str, *upstream: str, **fields: Any) -> TaskSpec:
    """A task."""
    return TaskSpec(task_id=task_id, task_type="PythonOperator", upstream=upstream, **fields)


def dag(dag_id: str, *tasks: TaskSpec) -> DagSpec:
    """A DAG."""
    return DagSpec(dag_id=dag_id, fileloc=FILE, tasks=tasks, is_paused_upon_creation=False)


SCOPED = dag(
    "scoped",
    task("set", is_setup=True),
    task("a", "set"),
    task("b", "a"),
    task("tear", "b", "set", is_teardown=True, trigger_rule=TriggerRule.ALL_DONE_SETUP_SUCCESS),
)
PARENT = dag("parent", task("first"), task("mark", "first", marker=MarkerSpec(dag_id="child", task_id="wait")))
CHILD = dag(
    "child",
    task("wait"),
    task("use", "wait"),
    task("mark", "use", marker=MarkerSpec(dag_id="grandchild", task_id="end", logical_date=DATE.isoformat())),
    task("beside"),
)
GRANDCHILD = dag("grandchild", task("end"))
LOOP = dag("loop", task("mark", marker=MarkerSpec(dag_id="loop", task_id="mark", depth=3)))
CIRCLE = dag("circle", task("mark", marker=MarkerSpec(dag_id="circle2", task_id="mark", depth=1)))
CIRCLE2 = dag("circle2", task("mark", marker=MarkerSpec(dag_id="grandchild", task_id="end")))
BROKEN = dag("broken", task("mark", marker=MarkerSpec(dag_id="nowhere", task_id="x")))
RENDERED = dag(
    "rendered", task("mark", marker=MarkerSpec(dag_id="grandchild", task_id="end", logical_date="{{ whenever }}"))
)
ALL = [SCOPED, PARENT, CHILD, GRANDCHILD, LOOP, CIRCLE, CIRCLE2, BROKEN, RENDERED]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiCluster]:
    with api_cluster(tmp_path_factory.mktemp("home")) as running:
        running.publish([*sample_specs(), *ALL])
        for spec in ALL:
            run(running, spec.dag_id)
        yield running


def run(cluster: ApiCluster, dag_id: str) -> None:
    """A run of DATE, to its end."""
    runs = api.DagRunApi(cluster.client())
    cluster.until(lambda: cluster.call("GET", f"/api/v2/dags/{dag_id}").status_code == 200, f"{dag_id} is known")
    made = runs.trigger_dag_run(dag_id, models.TriggerDAGRunPostBody(dag_run_id="r", logical_date=DATE))
    cluster.until(lambda: runs.get_dag_run(dag_id, made.dag_run_id).state == "success", f"{dag_id} ends")


def cleared(cluster: ApiCluster, dag_id: str, *task_ids: str, dry_run: bool = True, **options: Any) -> set[str]:
    """What is cleared with these tasks, as dag.task."""
    named = [models.ClearTaskInstancesBodyTaskIdsInner(task_id) for task_id in task_ids]
    body = Clear(dag_run_id="r", task_ids=named or None, dry_run=dry_run, only_failed=False, **options)
    page = api.TaskInstanceApi(cluster.client()).post_clear_task_instances(dag_id, body)
    return {f"{each.dag_id}.{each.task_id}" for each in page.task_instances}


@pytest.mark.parametrize(
    ("chosen", "options", "expected"),
    [
        ("b", {}, {"set", "b", "tear"}),
        ("tear", {}, {"tear"}),
        ("set", {"include_downstream": True}, {"set", "a", "b", "tear"}),
        ("a", {"include_downstream": True}, {"set", "a", "b", "tear"}),
    ],
)
def test_setups_and_teardowns(cluster: ApiCluster, chosen: str, options: Any, expected: set[str]) -> None:
    assert cleared(cluster, "scoped", chosen, **options) == {f"scoped.{name}" for name in expected}


def test_markers_lead_from_dag_to_dag(cluster: ApiCluster) -> None:
    assert cleared(cluster, "parent", "first") == {"parent.first"}
    assert cleared(cluster, "parent", "first", include_downstream=True) == {
        "parent.first",
        "parent.mark",
        "child.wait",
        "child.use",
        "child.mark",
        "grandchild.end",
    }


def test_what_markers_lead_to_runs_again(cluster: ApiCluster) -> None:
    tis = api.TaskInstanceApi(cluster.client())
    before = {name: tis.get_task_instance("child", "r", name).try_number for name in ("wait", "use", "mark", "beside")}
    cleared(cluster, "parent", "mark", dry_run=False)
    runs = api.DagRunApi(cluster.client())
    for dag_id in ("parent", "child", "grandchild"):
        cluster.until(
            lambda dag_id=dag_id: runs.get_dag_run(dag_id, "r").state == "success",  # type: ignore[misc]
            f"{dag_id} ends again",
        )
    after = {name: tis.get_task_instance("child", "r", name).try_number for name in before}
    assert {name: after[name] - before[name] for name in before} == {"wait": 1, "use": 1, "mark": 1, "beside": 0}


def test_a_whole_run_leads_on_too(cluster: ApiCluster) -> None:
    answer = cluster.call("POST", "/api/v2/dags/parent/dagRuns/r/clear", json={"dry_run": True}).json()
    assert {each["dag_id"] for each in answer["task_instances"]} == {"parent", "child", "grandchild"}


def test_circles_end_and_depth_is_kept(cluster: ApiCluster) -> None:
    assert cleared(cluster, "loop", "mark") == {"loop.mark"}
    with pytest.raises(BadRequestException, match="leads further than the recursion_depth"):
        cleared(cluster, "circle", "mark")


def test_a_marker_to_nowhere(cluster: ApiCluster) -> None:
    with pytest.raises(NotFoundException, match="nowhere"):
        cleared(cluster, "broken", "mark")
    with pytest.raises(BadRequestException, match="no date that can be read"):
        cleared(cluster, "rendered", "mark")
