"""Mapped task instances through the control API, driven by Airflow's own client."""

from __future__ import annotations

from collections.abc import Iterator

import airflow_client.client.api as api
import airflow_client.client.models as models
import pytest
from airflow_client.client.exceptions import NotFoundException

from dagdeck_core.spec import DagSpec, LengthSpec, MappedSpec, TaskGroupSpec, TaskSpec, TriggerRule
from tests.integration.api_cluster import FILE, ApiCluster, api_cluster, log_of

Trigger = models.TriggerDAGRunPostBody
Clear = models.ClearTaskInstancesBody
Patch = models.PatchTaskInstanceBody
RUN = "shared"


def three() -> MappedSpec:
    return MappedSpec(kind="expand", inputs={"x": LengthSpec(length=3)})


SPEC = DagSpec(
    dag_id="mapped",
    fileloc=FILE,
    is_paused_upon_creation=False,
    tasks=(
        TaskSpec(task_id="rows", task_type="PythonOperator", mapped=three()),
        TaskSpec(task_id="total", task_type="PythonOperator", upstream=("rows",)),
        TaskSpec(task_id="g.one", task_type="PythonOperator", group_id="g"),
        TaskSpec(
            task_id="g.two",
            task_type="PythonOperator",
            group_id="g",
            upstream=("g.one",),
            trigger_rule=TriggerRule.ALL_DONE,
        ),
        TaskSpec(task_id="after", task_type="PythonOperator", upstream=("g.two",)),
        TaskSpec(
            task_id="nothing",
            task_type="PythonOperator",
            mapped=MappedSpec(kind="expand", inputs={"x": LengthSpec(length=0)}),
        ),
    ),
    groups=(TaskGroupSpec(group_id="g", label="g", mapped=three()),),
)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiCluster]:
    with api_cluster(tmp_path_factory.mktemp("home")) as running:
        running.publish([SPEC], content="2")
        runs = api.DagRunApi(running.client())
        running.until(lambda: is_triggered(runs), "the scheduler has heard of the DAG")
        running.until(lambda: runs.get_dag_run("mapped", RUN).state == "success", "the run ends")
        yield running


def is_triggered(runs: api.DagRunApi) -> bool:
    try:
        runs.trigger_dag_run("mapped", Trigger(dag_run_id=RUN, logical_date=None))
    except NotFoundException:
        return False
    return True


@pytest.fixture
def tis(cluster: ApiCluster) -> api.TaskInstanceApi:
    return api.TaskInstanceApi(cluster.client())


def names(page: models.TaskInstanceCollectionResponse) -> list[str]:
    return sorted(f"{each.task_id}[{each.map_index}]" for each in page.task_instances)


def test_instances_are_listed_and_found(tis: api.TaskInstanceApi) -> None:
    page = tis.get_task_instances("mapped", RUN)
    assert page.total_entries == 12
    rows = tis.get_mapped_task_instances("mapped", RUN, "rows", order_by=["-map_index"])
    assert [each.map_index for each in rows.task_instances] == [2, 1, 0]
    assert names(tis.get_mapped_task_instances("mapped", RUN, "g.two")) == ["g.two[0]", "g.two[1]", "g.two[2]"]
    one = tis.get_mapped_task_instance("mapped", RUN, "rows", 1)
    assert (one.map_index, one.task_id) == (1, "rows")
    assert one.state is not None
    assert one.state.value == "success"
    with pytest.raises(NotFoundException, match="Task instance is mapped, add the map_index value to the URL"):
        tis.get_task_instance("mapped", RUN, "rows")
    skipped = tis.get_task_instance("mapped", RUN, "nothing")
    assert skipped.state is not None
    assert skipped.state.value == "skipped"
    assert tis.get_mapped_task_instances("mapped", RUN, "nothing").task_instances == []


def test_tasks_say_that_they_are_mapped(cluster: ApiCluster) -> None:
    tasks = api.TaskApi(cluster.client()).get_tasks("mapped").tasks
    mapped = {task.task_id: task.is_mapped for task in tasks}
    assert mapped == {name: name in ("rows", "nothing") for name in mapped}


def test_tries_logs_and_xcoms_of_one_instance(cluster: ApiCluster, tis: api.TaskInstanceApi) -> None:
    assert tis.get_mapped_task_instance_tries("mapped", RUN, "rows", 2).total_entries == 1
    one = tis.get_mapped_task_instance_try_details("mapped", RUN, "rows", map_index=2, task_try_number=1)
    assert one.map_index == 2
    headers = {"Authorization": f"Bearer {cluster.tokens['victor']}", "Accept": "text/plain"}
    path = f"{cluster.url}/api/v2/dags/mapped/dagRuns/{RUN}/taskInstances/rows/logs/1"
    assert cluster.http.get(path, params={"map_index": 2}, headers=headers).text == log_of("rows", 1)
    assert cluster.http.get(path, headers=headers).status_code == 404
    xcoms = api.XComApi(cluster.client())
    entry = xcoms.get_xcom_entry(dag_id="mapped", dag_run_id=RUN, task_id="rows", xcom_key="return_value", map_index=1)
    assert entry.actual_instance is not None
    found = xcoms.get_xcom_entries(dag_id="mapped", dag_run_id=RUN, task_id="rows")
    assert sorted(each.map_index for each in found.xcom_entries) == [0, 1, 2]


@pytest.mark.parametrize(
    ("task_ids", "expected"),
    [
        ([["g.one", 1]], ["after[-1]", "g.one[1]", "g.two[1]"]),
        ([["rows", 0]], ["rows[0]", "total[-1]"]),
        (["rows"], ["rows[0]", "rows[1]", "rows[2]", "total[-1]"]),
        (["g"], ["after[-1]", *(f"g.{task}[{index}]" for task in ("one", "two") for index in range(3))]),
    ],
)
def test_a_clear_by_map_index_takes_what_belongs_to_it(
    cluster: ApiCluster, task_ids: list[object], expected: list[str]
) -> None:
    body = {"dag_run_id": RUN, "task_ids": task_ids, "include_downstream": True, "only_failed": False, "dry_run": True}
    answer = cluster.call("POST", "/api/v2/dags/mapped/clearTaskInstances", json=body)
    found = sorted(f"{each['task_id']}[{each['map_index']}]" for each in answer.json()["task_instances"])
    assert found == expected


def test_marks_and_clears_of_one_instance(cluster: ApiCluster, tis: api.TaskInstanceApi) -> None:
    runs = api.DagRunApi(cluster.client())
    runs.trigger_dag_run("mapped", Trigger(dag_run_id="other", logical_date=None))
    cluster.until(lambda: runs.get_dag_run("mapped", "other").state == "success", "the run ends")
    failed = Patch(new_state=models.TaskInstanceState.FAILED)
    page = tis.patch_task_instance_by_map_index("mapped", "other", "rows", 1, failed)
    assert names(page) == ["rows[1]"]
    states = [each.state.value for each in _ordered(tis, "rows") if each.state]
    assert states == ["success", "failed", "success"]
    chosen = [models.ClearTaskInstancesBodyTaskIdsInner(["rows", 1])]
    tis.post_clear_task_instances("mapped", Clear(dag_run_id="other", task_ids=chosen, dry_run=False, only_failed=True))
    cluster.until(lambda: runs.get_dag_run("mapped", "other").state == "success", "the instance ran again")
    cluster.until(lambda: _ordered(tis, "rows")[1].try_number == 2, "it was its second try")
    assert [each.try_number for each in _ordered(tis, "rows")] == [1, 2, 1]
    everything = tis.patch_task_instance("mapped", "other", "rows", failed)
    assert names(everything) == ["rows[0]", "rows[1]", "rows[2]"]


def _ordered(tis: api.TaskInstanceApi, task_id: str) -> list[models.TaskInstanceResponse]:
    return list(tis.get_mapped_task_instances("mapped", "other", task_id, order_by=["map_index"]).task_instances)
