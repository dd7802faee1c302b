"""Task instances, their tries, logs and XComs through the control API, driven by Airflow's own client."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import airflow_client.client.api as api
import airflow_client.client.models as models
import pytest
import sqlalchemy as sa
from airflow_client.client.exceptions import ApiException, BadRequestException, ConflictException, NotFoundException

from dagdeck_core.ports import LogChunk
from dagdeck_io.db.tables import task_instance, xcom
from dagdeck_master.api.identity import id_of
from tests.integration.api_cluster import ApiCluster, api_cluster, log_of

Trigger = models.TriggerDAGRunPostBody
Clear = models.ClearTaskInstancesBody
Patch = models.PatchTaskInstanceBody
FAILED = models.DagRunMutableStates.FAILED


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiCluster]:
    with api_cluster(tmp_path_factory.mktemp("home")) as running:
        yield running


@pytest.fixture
def tis(cluster: ApiCluster) -> api.TaskInstanceApi:
    return api.TaskInstanceApi(cluster.client())


def run_of(cluster: ApiCluster, dag_id: str, run_id: str | None = None, logical: datetime | None = None) -> str:
    """The id of a run that has ended (or, of the holding DAG, runs)."""
    runs = api.DagRunApi(cluster.client())
    run = runs.trigger_dag_run(dag_id, Trigger(dag_run_id=run_id, logical_date=logical))
    wanted = ("running",) if dag_id == "holding" else ("success", "failed")
    cluster.until(lambda: runs.get_dag_run(dag_id, run.dag_run_id).state in wanted, f"{run.dag_run_id} is {wanted}")
    return run.dag_run_id


@pytest.fixture(scope="module")
def pipeline_run(cluster: ApiCluster) -> str:
    return run_of(cluster, "pipeline", "shared")


@pytest.fixture
def failed_run(cluster: ApiCluster) -> str:
    return run_of(cluster, "failing")


def states(cluster: ApiCluster, dag_id: str, run_id: str) -> dict[str, str | None]:
    page = api.TaskInstanceApi(cluster.client()).get_task_instances(dag_id, run_id)
    return {each.task_id: each.state.value if each.state else None for each in page.task_instances}


class TestReading:
    def test_of_a_run(self, cluster: ApiCluster, tis: api.TaskInstanceApi, pipeline_run: str) -> None:
        page = tis.get_task_instances("pipeline", pipeline_run)
        assert page.total_entries == 4
        one = next(each for each in page.task_instances if each.task_id == "work.right")
        assert one.state is not None
        assert one.state.value == "success"
        assert one.executor_config == "{'cpu': 2}"
        assert one.rendered_fields == {"op_args": ["work.right"]}
        assert (one.hostname, one.pid, one.pool, one.queue) == ("test", 4711, "default_pool", "default")
        assert (one.try_number, one.map_index, one.operator) == (1, -1, "PythonOperator")
        assert one.dag_version is not None
        assert one.dag_version.version_number == 1
        assert id_of(one.id) is not None

    def test_one(self, tis: api.TaskInstanceApi, pipeline_run: str) -> None:
        one = tis.get_task_instance("pipeline", pipeline_run, "load")
        assert one.operator_name == "BashOperator"
        with pytest.raises(NotFoundException, match="task_id: `nothing`"):
            tis.get_task_instance("pipeline", pipeline_run, "nothing")
        with pytest.raises(NotFoundException, match="The DagRun"):
            tis.get_task_instance("pipeline", "nothing", "load")

    def test_mapped_ones(self, tis: api.TaskInstanceApi, pipeline_run: str) -> None:
        assert tis.get_mapped_task_instances("pipeline", pipeline_run, "load").task_instances == []
        with pytest.raises(NotFoundException):
            tis.get_mapped_task_instances("pipeline", pipeline_run, "nothing")
        with pytest.raises(NotFoundException, match="map_index: `3`"):
            tis.get_mapped_task_instance("pipeline", pipeline_run, "load", 3)
        assert tis.get_mapped_task_instance("pipeline", pipeline_run, "load", -1).task_id == "load"

    @pytest.mark.parametrize(
        ("filters", "expected"),
        [
            ({"task_id": "load"}, ["load"]),
            ({"task_display_name_pattern": "WORK"}, ["work.left", "work.right"]),
            ({"task_group_id": "work"}, ["work.left", "work.right"]),
            ({"state": ["failed"]}, []),
            ({"state": ["success", "failed"], "operator": ["BashOperator"]}, ["load"]),
            ({"operator_name_pattern": "bash"}, ["load"]),
            ({"pool": ["nothing"]}, []),
            ({"queue_name_pattern": "defa", "limit": 1, "order_by": ["-id"]}, ["load"]),
            ({"try_number": [2]}, []),
            ({"map_index": [-1], "limit": 1, "order_by": ["id"]}, ["extract"]),
            ({"version_number": [7]}, []),
            ({"duration_gt": 1000.0}, []),
            ({"logical_date_gte": datetime(2100, 1, 1, tzinfo=UTC)}, []),
            ({"order_by": ["-task_id"], "limit": 2}, ["work.right", "work.left"]),
        ],
    )
    def test_filters(
        self, tis: api.TaskInstanceApi, pipeline_run: str, filters: dict[str, Any], expected: list[str]
    ) -> None:
        page = tis.get_task_instances("pipeline", pipeline_run, **filters)
        assert [each.task_id for each in page.task_instances] == expected

    def test_a_wrong_state_is_a_422(self, tis: api.TaskInstanceApi, pipeline_run: str) -> None:
        with pytest.raises(ApiException, match="Invalid value for state") as refusal:
            tis.get_task_instances("pipeline", pipeline_run, state=["sleeping"])
        assert refusal.value.status == 422

    def test_unknown_groups(self, tis: api.TaskInstanceApi, pipeline_run: str) -> None:
        with pytest.raises(NotFoundException, match="task group"):
            tis.get_task_instances("pipeline", pipeline_run, task_group_id="nothing")
        with pytest.raises(BadRequestException, match="needs a dag_id"):
            tis.get_task_instances("~", "~", task_group_id="work")

    def test_wildcards_and_cursors(self, tis: api.TaskInstanceApi, pipeline_run: str) -> None:
        seen: list[str] = []
        cursor: str | None = ""
        while cursor is not None:
            page = tis.get_task_instances(
                "~", "~", cursor=cursor, limit=3, run_id_pattern=pipeline_run, order_by=["-start_date", "id"]
            )
            seen += [each.task_id for each in page.task_instances]
            cursor = page.next_cursor
        assert sorted(seen) == ["extract", "load", "work.left", "work.right"]
        assert seen[0] == "load"

    def test_batch(self, tis: api.TaskInstanceApi, pipeline_run: str) -> None:
        body = models.TaskInstancesBatchBody(
            dag_ids=["pipeline"], dag_run_ids=[pipeline_run], task_ids=["load", "extract"], order_by="-id"
        )
        page = tis.get_task_instances_batch("~", "~", body)
        assert [each.task_id for each in page.task_instances] == ["load", "extract"]


class TestTries:
    def test_every_try_is_kept(self, tis: api.TaskInstanceApi, failed_run: str) -> None:
        tries = tis.get_task_instance_tries("failing", failed_run, "fail_here")
        assert [(each.try_number, each.state.value) for each in tries.task_instances if each.state] == [
            (1, "up_for_retry"),
            (2, "failed"),
        ]
        one = tis.get_task_instance_try_details("failing", failed_run, "fail_here", 1)
        assert one.hostname == "test"
        assert tis.get_mapped_task_instance_tries("failing", failed_run, "fail_here", -1).total_entries == 2
        mapped = tis.get_mapped_task_instance_try_details(
            "failing", failed_run, "fail_here", map_index=-1, task_try_number=2
        )
        assert mapped.try_number == 2
        with pytest.raises(NotFoundException):
            tis.get_task_instance_try_details("failing", failed_run, "fail_here", 3)

    def test_a_task_that_never_ran_has_none(self, tis: api.TaskInstanceApi, failed_run: str) -> None:
        assert tis.get_task_instance_tries("failing", failed_run, "after").task_instances == []


class TestClear:
    def meant(self, page: models.TaskInstanceCollectionResponse) -> list[str]:
        return sorted(each.task_id for each in page.task_instances)

    def test_a_dry_run_changes_nothing(self, cluster: ApiCluster, tis: api.TaskInstanceApi, failed_run: str) -> None:
        page = tis.post_clear_task_instances("failing", Clear(dag_run_id=failed_run))
        assert self.meant(page) == ["after", "fail_here"]
        assert states(cluster, "failing", failed_run)["fail_here"] == "failed"

    @pytest.mark.parametrize(
        ("wish", "expected"),
        [
            ({"task_ids": ["extract"]}, ["extract"]),
            ({"task_ids": ["extract"], "include_downstream": True}, ["extract", "load", "work.left", "work.right"]),
            ({"task_ids": ["work.left"], "include_upstream": True}, ["extract", "work.left"]),
            ({"task_ids": ["work"]}, ["work.left", "work.right"]),
            ({"task_ids": [["load", -1]]}, ["load"]),
            ({"task_ids": [["load", 4]]}, []),
            ({"task_ids": ["load"], "only_failed": True}, []),
            ({"only_failed": False, "only_running": True}, []),
            ({}, ["extract", "load", "work.left", "work.right"]),
        ],
    )
    def test_what_is_meant(
        self, tis: api.TaskInstanceApi, pipeline_run: str, wish: dict[str, Any], expected: list[str]
    ) -> None:
        body = Clear.from_dict({"dag_run_id": pipeline_run, "only_failed": False, **wish})
        assert body is not None
        assert self.meant(tis.post_clear_task_instances("pipeline", body)) == expected

    def test_cleared_tasks_run_again(self, cluster: ApiCluster, tis: api.TaskInstanceApi, failed_run: str) -> None:
        body = Clear(dag_run_id=failed_run, dry_run=False, task_ids=None, note="again")
        page = tis.post_clear_task_instances("failing", body)
        assert self.meant(page) == ["after", "fail_here"]
        cluster.until(
            lambda: tis.get_task_instance("failing", failed_run, "fail_here").try_number == 4, "it is tried again"
        )
        assert tis.get_task_instance("failing", failed_run, "first").try_number == 1
        assert tis.get_task_instance("failing", failed_run, "fail_here").note == "again"

    def test_running_tasks_can_be_spared(self, cluster: ApiCluster, tis: api.TaskInstanceApi) -> None:
        run_id = run_of(cluster, "holding")
        cluster.until(lambda: states(cluster, "holding", run_id) == {"hold": "running"}, "the task runs")
        body = Clear(dag_run_id=run_id, dry_run=False, only_failed=False, prevent_running_task=True)
        with pytest.raises(ConflictException, match="running"):
            tis.post_clear_task_instances("holding", body)
        body.prevent_running_task = False
        tis.post_clear_task_instances("holding", body)
        cluster.until(
            lambda: (
                (one := tis.get_task_instance("holding", run_id, "hold")).try_number == 2 and one.state == "running"
            ),
            "it was ended and runs again",
        )
        api.DagRunApi(cluster.client()).patch_dag_run("holding", run_id, models.DAGRunPatchBody(state=FAILED))

    def test_past_and_future_runs(self, cluster: ApiCluster, tis: api.TaskInstanceApi) -> None:
        for day in (1, 2, 3):
            run_of(cluster, "pipeline", f"july{day}", datetime(2022, 7, day, tzinfo=UTC))

        def runs_meant(**wish: Any) -> list[str]:
            body = Clear.from_dict({"task_ids": ["load"], "only_failed": False, **wish})
            assert body is not None
            page = tis.post_clear_task_instances("pipeline", body)
            return [each.dag_run_id for each in page.task_instances]

        assert runs_meant(dag_run_id="july2") == ["july2"]
        assert runs_meant(dag_run_id="july2", include_future=True) == ["july2", "july3"]
        assert runs_meant(dag_run_id="july2", include_past=True) == ["july1", "july2"]
        window = {"start_date": "2022-07-02T00:00:00Z", "end_date": "2022-07-03T00:00:00Z"}
        assert runs_meant(**window) == ["july2", "july3"]
        with pytest.raises(BadRequestException, match="no logical date"):
            runs_meant(dag_run_id="shared", include_future=True)

    @pytest.mark.parametrize(
        "body",
        [
            {"only_failed": True, "only_running": True},
            {"include_future": True},
            {"start_date": "2024-02-01T00:00:00Z", "end_date": "2024-01-01T00:00:00Z"},
            {"unknown": 1},
        ],
    )
    def test_what_makes_no_sense_is_a_422(self, cluster: ApiCluster, body: dict[str, Any]) -> None:
        answer = cluster.call(
            "POST",
            "/api/v2/dags/pipeline/clearTaskInstances",
            json=body,
        )
        assert answer.status_code == 422

    def test_an_unknown_task(self, tis: api.TaskInstanceApi, pipeline_run: str) -> None:
        with pytest.raises(NotFoundException, match="task_id: `nothing`"):
            tis.post_clear_task_instances(
                "pipeline",
                Clear(dag_run_id=pipeline_run, task_ids=[models.ClearTaskInstancesBodyTaskIdsInner("nothing")]),
            )


class TestMarks:
    def test_a_dry_run(self, cluster: ApiCluster, tis: api.TaskInstanceApi, failed_run: str) -> None:
        body = Patch(new_state=models.TaskInstanceState.SUCCESS, include_downstream=True)
        page = tis.patch_task_instance_dry_run("failing", failed_run, "fail_here", body)
        assert sorted(each.task_id for each in page.task_instances) == ["after", "fail_here"]
        assert states(cluster, "failing", failed_run)["fail_here"] == "failed"
        same = tis.patch_task_instance_dry_run_by_map_index("failing", failed_run, "fail_here", -1, body)
        assert same.total_entries == 2

    def test_a_mark_lets_the_run_go_on(self, cluster: ApiCluster, tis: api.TaskInstanceApi, failed_run: str) -> None:
        page = tis.patch_task_instance(
            "failing", failed_run, "fail_here", Patch(new_state=models.TaskInstanceState.SUCCESS, note="fine")
        )
        assert [(each.task_id, each.note) for each in page.task_instances] == [("fail_here", "fine")]
        runs = api.DagRunApi(cluster.client())
        cluster.until(lambda: runs.get_dag_run("failing", failed_run).state == "success", "the run goes on")
        assert states(cluster, "failing", failed_run)["after"] == "success"

    def test_marking_what_is_marked_is_a_conflict(self, tis: api.TaskInstanceApi, pipeline_run: str) -> None:
        with pytest.raises(ConflictException, match="already in success state"):
            tis.patch_task_instance("pipeline", pipeline_run, "load", Patch(new_state=models.TaskInstanceState.SUCCESS))

    def test_other_states_cannot_be_set(self, tis: api.TaskInstanceApi, pipeline_run: str) -> None:
        with pytest.raises(ApiException) as refusal:
            tis.patch_task_instance("pipeline", pipeline_run, "load", Patch(new_state=models.TaskInstanceState.RUNNING))
        assert refusal.value.status == 422

    def test_notes(self, tis: api.TaskInstanceApi, pipeline_run: str) -> None:
        page = tis.patch_task_instance_by_map_index("pipeline", pipeline_run, "load", -1, Patch(note="look"))
        assert [each.note for each in page.task_instances] == ["look"]

    def test_unknown_ones(self, tis: api.TaskInstanceApi, pipeline_run: str) -> None:
        body = Patch(new_state=models.TaskInstanceState.FAILED)
        with pytest.raises(NotFoundException):
            tis.patch_task_instance("pipeline", pipeline_run, "nothing", body)
        with pytest.raises(NotFoundException):
            tis.patch_task_instance_by_map_index("pipeline", pipeline_run, "load", 5, body)


def lines_of(log: models.TaskInstancesLogResponse) -> Any:
    """The lines of a structured log."""
    return log.content.actual_instance


class TestLogs:
    def test_structured(self, tis: api.TaskInstanceApi, pipeline_run: str) -> None:
        log = tis.get_log("pipeline", pipeline_run, "extract", 1)
        lines = lines_of(log)
        assert [line.event for line in lines] == [
            "extract begins try 1",
            "plain print with ünïcode",
            "extract ends",
        ]
        assert lines[0].timestamp == datetime(2026, 11, 24, 5, 37, 21, 123456, tzinfo=UTC)
        assert lines[1].timestamp is None
        assert log.continuation_token is None

    def test_plain_text_and_lines_of_json(self, cluster: ApiCluster, pipeline_run: str) -> None:
        where = f"{cluster.url}/api/v2/dags/pipeline/dagRuns/{pipeline_run}/taskInstances/extract/logs/1"
        headers = {"Authorization": f"Bearer {cluster.tokens['victor']}"}
        plain = cluster.http.get(where, headers={**headers, "Accept": "text/plain"})
        assert plain.text == log_of("extract", 1)
        assert plain.headers["content-type"].startswith("text/plain")
        lines = cluster.http.get(where, headers={**headers, "Accept": "application/x-ndjson"}).text.splitlines()
        assert len(lines) == 3
        assert '"level":"error"' in lines[2]

    def test_each_try_has_its_own(self, tis: api.TaskInstanceApi, failed_run: str) -> None:
        for number in (1, 2):
            lines = lines_of(tis.get_log("failing", failed_run, "fail_here", number))
            assert lines[0].event == f"fail_here begins try {number}"
        with pytest.raises(NotFoundException):
            tis.get_log("failing", failed_run, "fail_here", 3)

    def test_bad_tokens(self, tis: api.TaskInstanceApi, pipeline_run: str) -> None:
        with pytest.raises(BadRequestException, match="Bad Signature"):
            tis.get_log("pipeline", pipeline_run, "extract", 1, token="rubbish")

    def test_a_growing_log_is_read_in_pieces(self, cluster: ApiCluster, tis: api.TaskInstanceApi) -> None:
        run_id = run_of(cluster, "holding")
        cluster.until(lambda: states(cluster, "holding", run_id) == {"hold": "running"}, "the task runs")
        held = id_of(tis.get_task_instance("holding", run_id, "hold").id)
        assert held is not None
        row = _row(cluster, held)
        store = cluster.database.worker_store()

        def ship(offset: int, data: bytes) -> None:
            chunk = LogChunk(ti_id=held, dispatch_no=row.dispatch_no, try_number=1, offset=offset, data=data)
            store.transact(cluster.worker.worker_id, [], [], [chunk])

        first = tis.get_log("holding", run_id, "hold", 1)
        assert (lines_of(first), first.continuation_token is None) == ([], False)
        ship(0, b"one\ntwo\nthr")
        page = tis.get_log("holding", run_id, "hold", 1, token=first.continuation_token)
        assert [line.event for line in lines_of(page)] == ["one", "two"]
        ship(11, b"ee\n")
        ship(200, b"after a gap\n")
        page = tis.get_log("holding", run_id, "hold", 1, token=page.continuation_token)
        assert [line.event for line in lines_of(page)] == ["three"]
        again = tis.get_log("holding", run_id, "hold", 1, token=page.continuation_token)
        assert lines_of(again) == []
        api.DagRunApi(cluster.client()).patch_dag_run("holding", run_id, models.DAGRunPatchBody(state=FAILED))

    def test_ranges(self, cluster: ApiCluster, pipeline_run: str) -> None:
        where = f"{cluster.url}/api/dagdeck/v1/dags/pipeline/dagRuns/{pipeline_run}/taskInstances/extract/logRange"
        headers = {"Authorization": f"Bearer {cluster.tokens['victor']}"}
        whole = log_of("extract", 1)
        text, offset = "", 0
        while True:
            part = cluster.http.get(where, params={"offset": offset, "limit": 7}, headers=headers).json()
            text += part["text"]
            assert part["size"] == len(whole.encode())
            offset = part["next_offset"]
            if part["is_complete"]:
                break
        assert text == whole
        beyond = cluster.http.get(where, params={"offset": 10_000}, headers=headers).json()
        assert (beyond["text"], beyond["is_complete"]) == ("", True)


def _row(cluster: ApiCluster, ti_id: int) -> sa.Row[tuple[object, ...]]:
    with cluster.database.reading() as connection:
        return connection.execute(sa.select(task_instance).where(task_instance.c.ti_id == ti_id)).one()


class TestXComs:
    def test_listing_and_values(self, cluster: ApiCluster, pipeline_run: str) -> None:
        xcoms = api.XComApi(cluster.client())
        page = xcoms.get_xcom_entries("pipeline", pipeline_run, "extract")
        assert [(each.key, each.task_id) for each in page.xcom_entries] == [("return_value", "extract")]
        everywhere = xcoms.get_xcom_entries("~", pipeline_run, "~", order_by=["task_id"])
        assert [each.task_id for each in everywhere.xcom_entries] == ["extract", "load", "work.left", "work.right"]
        assert xcoms.get_xcom_entries("~", "~", "~", task_id_pattern="work", run_id_pattern="shared").total_entries == 2
        assert xcoms.get_xcom_entries("pipeline", pipeline_run, "~", xcom_key="other").total_entries == 0
        where: dict[str, Any] = {"dag_id": "pipeline", "dag_run_id": pipeline_run, "task_id": "extract"}
        value: Any = xcoms.get_xcom_entry(**where, xcom_key="return_value").actual_instance
        assert value.value == {"rows": 3}
        text: Any = xcoms.get_xcom_entry(**where, xcom_key="return_value", stringify=True)
        assert text.actual_instance.value == '{"rows":3}'
        with pytest.raises(NotFoundException, match="XCom entry"):
            xcoms.get_xcom_entry(**where, xcom_key="nothing")


class TestWhy:
    def why(self, cluster: ApiCluster, path: str) -> Any:
        answer = cluster.call("GET", f"/api/dagdeck/v1/dags/{path}/explain", "victor")
        assert answer.status_code == 200, answer.text
        return answer.json()

    def test_what_holds_a_task_and_what_opens_it(self, cluster: ApiCluster, tis: api.TaskInstanceApi) -> None:
        run_id = run_of(cluster, "holding")
        cluster.until(lambda: states(cluster, "holding", run_id) == {"hold": "running"}, "the task runs")
        assert self.why(cluster, f"holding/dagRuns/{run_id}/taskInstances/hold")["gates"] == []
        assert tis.get_task_instance_dependencies("holding", run_id, "hold").dependencies == []
        api.DagRunApi(cluster.client()).patch_dag_run("holding", run_id, models.DAGRunPatchBody(state=FAILED))

    def test_a_run_that_is_not_due(self, cluster: ApiCluster, tis: api.TaskInstanceApi) -> None:
        later = datetime.now(UTC) + timedelta(days=1)
        run = api.DagRunApi(cluster.client()).trigger_dag_run("pipeline", Trigger(run_after=later))
        found = self.why(cluster, f"pipeline/dagRuns/{run.dag_run_id}")
        assert found["state"] == "queued"
        assert [gate["kind"] for gate in found["gates"]] == ["run_after"]
        assert "by itself" in found["gates"][0]["opens"]
        assert datetime.fromisoformat(found["gates"][0]["at"]) == run.run_after

    def test_waiting_for_upstream(self, cluster: ApiCluster, tis: api.TaskInstanceApi, failed_run: str) -> None:
        found = self.why(cluster, f"failing/dagRuns/{failed_run}/taskInstances/after")
        assert found["state"] == "upstream_failed"
        assert found["gates"][0]["subjects"] == ["fail_here"]
        dags = api.DAGApi(cluster.client())
        dags.patch_dag("failing", models.DAGPatchBody(is_paused=True))
        try:
            body = Clear(dag_run_id=failed_run, dry_run=False, only_failed=False)
            tis.post_clear_task_instances("failing", body)
            kinds = [
                each.name for each in tis.get_task_instance_dependencies("failing", failed_run, "after").dependencies
            ]
            assert "dag_paused" in kinds
            assert "upstream" in kinds
            same = tis.get_task_instance_dependencies_by_map_index("failing", failed_run, "after", -1)
            assert [each.name for each in same.dependencies] == kinds
        finally:
            dags.patch_dag("failing", models.DAGPatchBody(is_paused=False))

    def test_what_is_not_there(self, cluster: ApiCluster, pipeline_run: str) -> None:
        where = f"/api/dagdeck/v1/dags/pipeline/dagRuns/{pipeline_run}"
        assert cluster.call("GET", f"{where}/explain").json()["gates"] == []
        assert cluster.call("GET", f"{where}/taskInstances/nothing/explain").status_code == 404
        assert cluster.call("GET", "/api/dagdeck/v1/dags/pipeline/dagRuns/nothing/explain").status_code == 404


def test_extra_links_are_what_the_task_pushed_under_their_keys(cluster: ApiCluster, failed_run: str) -> None:
    links = api.ExtraLinksApi(cluster.client())
    ti = api.TaskInstanceApi(cluster.client()).get_task_instance("failing", failed_run, "first")
    ti_id = id_of(ti.id)
    with cluster.database.writing() as connection:
        row = connection.execute(sa.select(xcom).where(xcom.c.ti_id == ti_id)).one()
        values = {**row._mapping, "key": "_link_Job", "value": '"https://jobs.example.org/7"'}
        connection.execute(xcom.insert().values(values))
    found = links.get_extra_links("failing", failed_run, "first")
    assert found.extra_links == {"Job": "https://jobs.example.org/7", "Odd": "", "Wiki": ""}
    assert found.total_entries == 3
    assert links.get_extra_links("failing", failed_run, "after").extra_links == {}
    with pytest.raises(NotFoundException):
        links.get_extra_links("failing", failed_run, "nothing")
