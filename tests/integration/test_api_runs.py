"""Dag runs through the control API, driven by Airflow's own client."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import airflow_client.client.api as api
import airflow_client.client.models as models
import pytest
from airflow_client.client.exceptions import ApiException, BadRequestException, ConflictException, NotFoundException

from tests.integration.api_cluster import ApiCluster, api_cluster

Trigger = models.TriggerDAGRunPostBody
FAILED = models.DagRunMutableStates.FAILED


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiCluster]:
    with api_cluster(tmp_path_factory.mktemp("home")) as running:
        yield running


@pytest.fixture
def runs(cluster: ApiCluster) -> api.DagRunApi:
    return api.DagRunApi(cluster.client())


def finish(cluster: ApiCluster, runs: api.DagRunApi, run: models.DAGRunResponse) -> models.DAGRunResponse:
    """The run after its end."""
    return cluster.until(
        lambda: (found := runs.get_dag_run(run.dag_id, run.dag_run_id)).state in ("success", "failed") and found,
        f"{run.dag_run_id} ends",
    )


class TestTrigger:
    def test_a_run_runs_to_its_end(self, cluster: ApiCluster, runs: api.DagRunApi) -> None:
        logical = datetime(2024, 5, 1, 12, tzinfo=UTC)
        body = Trigger(dag_run_id="mine", logical_date=logical, conf={"year": 2020}, note="hello")
        run = runs.trigger_dag_run("pipeline", body)
        assert (run.dag_run_id, run.run_type.value, run.logical_date) == ("mine", "manual", logical)
        assert (run.conf, run.note) == ({"year": 2020}, "hello")
        assert run.triggering_user_name == "alice"
        assert run.triggered_by is not None
        assert run.triggered_by.value == "rest_api"
        ended = finish(cluster, runs, run)
        assert ended.state.value == "success"
        assert ended.duration is not None
        assert [version.version_number for version in ended.dag_versions] == [1]
        assert ended.bundle_version

    def test_a_run_without_a_logical_date_gets_an_id(self, runs: api.DagRunApi) -> None:
        run = runs.trigger_dag_run("pipeline", Trigger())
        assert run.dag_run_id.startswith("manual__")
        assert run.logical_date is None

    def test_a_given_interval_is_kept(self, runs: api.DagRunApi) -> None:
        start, end = datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 1, 2, tzinfo=UTC)
        run = runs.trigger_dag_run("pipeline", Trigger(data_interval_start=start, data_interval_end=end))
        assert (run.data_interval_start, run.data_interval_end) == (start, end)

    def test_half_an_interval_is_refused(self, runs: api.DagRunApi) -> None:
        with pytest.raises(ApiException, match="both data_interval_start and data_interval_end") as refusal:
            runs.trigger_dag_run("pipeline", Trigger(data_interval_start=datetime(2024, 1, 1, tzinfo=UTC)))
        assert refusal.value.status == 422

    def test_a_run_id_that_is_taken(self, runs: api.DagRunApi) -> None:
        runs.trigger_dag_run("pipeline", Trigger(dag_run_id="twice"))
        with pytest.raises(ConflictException, match="already has a run with run_id 'twice'"):
            runs.trigger_dag_run("pipeline", Trigger(dag_run_id="twice"))

    def test_a_logical_date_that_is_taken(self, runs: api.DagRunApi) -> None:
        logical = datetime(2024, 6, 1, tzinfo=UTC)
        runs.trigger_dag_run("pipeline", Trigger(logical_date=logical))
        with pytest.raises(ConflictException, match="already has a run with logical_date"):
            runs.trigger_dag_run("pipeline", Trigger(logical_date=logical, dag_run_id="another"))

    @pytest.mark.parametrize(
        ("conf", "words"),
        [
            ({"year": "soon"}, ["'year'", "soon", "is not of type 'integer'", '"minimum":1900']),
            ({"year": 1800}, ["'year'", "1800 is less than the minimum of 1900"]),
        ],
    )
    def test_conf_against_params(self, runs: api.DagRunApi, conf: dict[str, Any], words: list[str]) -> None:
        with pytest.raises(BadRequestException) as refusal:
            runs.trigger_dag_run("pipeline", Trigger(conf=conf))
        detail = json.loads(refusal.value.body or "")["detail"]
        assert [word for word in words if word not in detail] == []

    def test_an_unknown_dag(self, runs: api.DagRunApi) -> None:
        with pytest.raises(NotFoundException, match="nothing"):
            runs.trigger_dag_run("nothing", Trigger())

    def test_an_unknown_field_is_refused(self, cluster: ApiCluster) -> None:
        answer = cluster.call(
            "POST",
            "/api/v2/dags/pipeline/dagRuns",
            json={"konf": {}},
        )
        assert answer.status_code == 422
        assert answer.json()["detail"][0]["loc"] == ["body", "konf"]


@pytest.fixture(scope="module")
def seven_runs(cluster: ApiCluster) -> None:
    """Runs day1 to day7 of the failing DAG, all ended."""
    runs = api.DagRunApi(cluster.client())
    for day in range(1, 8):
        logical = datetime(2023, 3, day, tzinfo=UTC)
        runs.trigger_dag_run("failing", Trigger(dag_run_id=f"day{day}", logical_date=logical, conf={"d": day}))
    cluster.until(lambda: runs.get_dag_runs("failing", state=["failed"]).total_entries == 7, "all runs end")


@pytest.mark.usefixtures("seven_runs")
class TestListing:
    def ids(self, page: models.DAGRunCollectionResponse) -> list[str]:
        return [run.dag_run_id for run in page.dag_runs]

    def test_of_one_dag_and_of_all(self, runs: api.DagRunApi) -> None:
        page = runs.get_dag_runs("failing")
        assert self.ids(page) == [f"day{day}" for day in range(1, 8)]
        assert page.total_entries == 7
        assert page.next_cursor is None
        everything = runs.get_dag_runs("~", limit=1)
        assert (everything.total_entries or 0) > 7
        with pytest.raises(NotFoundException):
            runs.get_dag_runs("nothing")

    def test_counts_are_right_with_and_without_filters(self, runs: api.DagRunApi) -> None:
        assert runs.get_dag_runs("failing", limit=2).total_entries == 7
        assert runs.get_dag_runs("failing", limit=2, state=["failed"]).total_entries == 7
        assert runs.get_dag_runs("failing", limit=2, state=["queued"]).total_entries == 0
        assert runs.get_dag_runs("failing", limit=1, run_id_pattern="day").total_entries == 7

    @pytest.mark.parametrize(
        ("filters", "expected"),
        [
            ({"logical_date_gte": datetime(2023, 3, 6, tzinfo=UTC)}, ["day6", "day7"]),
            ({"logical_date_gt": datetime(2023, 3, 6, tzinfo=UTC)}, ["day7"]),
            ({"logical_date_lt": datetime(2023, 3, 2, tzinfo=UTC)}, ["day1"]),
            ({"run_id_pattern": "Y3|y4"}, ["day3", "day4"]),
            ({"run_id_prefix_pattern": "day7"}, ["day7"]),
            ({"run_id_prefix_pattern": "ay7"}, []),
            ({"conf_contains": '"d":5'}, ["day5"]),
            ({"conf_contains": "%"}, []),
            ({"triggering_user_name_pattern": "ALI", "limit": 1}, ["day1"]),
            ({"run_type": ["scheduled"]}, []),
            ({"dag_version": [2]}, []),
            ({"duration_gte": 3600.0}, []),
            ({"duration_lt": 3600.0, "limit": 1}, ["day1"]),
            ({"end_date_lt": datetime(2020, 1, 1, tzinfo=UTC)}, []),
            ({"updated_at_gte": datetime(2100, 1, 1, tzinfo=UTC)}, []),
            ({"order_by": ["-logical_date"], "limit": 2}, ["day7", "day6"]),
            ({"order_by": ["-dag_run_id"], "offset": 5}, ["day2", "day1"]),
        ],
    )
    def test_filters(self, runs: api.DagRunApi, filters: dict[str, Any], expected: list[str]) -> None:
        assert self.ids(runs.get_dag_runs("failing", **filters)) == expected

    @pytest.mark.parametrize("order", [["run_after"], ["-logical_date"], ["state", "-start_date"], ["-duration"]])
    def test_cursors_visit_every_run_once(self, runs: api.DagRunApi, order: list[str]) -> None:
        expected = self.ids(runs.get_dag_runs("failing", order_by=order))
        seen: list[str] = []
        cursor: str | None = ""
        back: list[str | None] = []
        while cursor is not None:
            page = runs.get_dag_runs("failing", cursor=cursor, limit=3, order_by=order)
            assert page.total_entries == 7
            assert page.total_entries_limit == 10_000
            seen += self.ids(page)
            back.append(page.previous_cursor)
            cursor = page.next_cursor
        assert seen == expected
        assert back[0] is None
        page = runs.get_dag_runs("failing", cursor=back[2], limit=3, order_by=order)
        assert self.ids(page) == expected[3:6]
        page = runs.get_dag_runs("failing", cursor=page.previous_cursor, limit=3, order_by=order)
        assert self.ids(page) == expected[:3]
        assert page.previous_cursor is None

    def test_bad_cursors(self, runs: api.DagRunApi) -> None:
        good = runs.get_dag_runs("failing", cursor="", limit=1, order_by=["run_after"]).next_cursor
        with pytest.raises(BadRequestException, match="another order_by"):
            runs.get_dag_runs("failing", cursor=good, order_by=["-run_after"])
        with pytest.raises(BadRequestException, match="not one of this server's"):
            runs.get_dag_runs("failing", cursor="rubbish")

    def test_batch(self, runs: api.DagRunApi) -> None:
        body = models.DAGRunsBatchBody(
            dag_ids=["failing"],
            states=[models.DagRunState.FAILED],
            logical_date_gte=datetime(2023, 3, 3, tzinfo=UTC),
            order_by="-logical_date",
            page_limit=2,
            page_offset=1,
        )
        page = runs.get_list_dag_runs_batch("~", body)
        assert self.ids(page) == ["day6", "day5"]
        assert page.total_entries == 5

    def test_the_cap(self, cluster: ApiCluster, runs: api.DagRunApi) -> None:
        assert len(runs.get_dag_runs("failing", limit=100_000).dag_runs) == 7
        assert runs.get_dag_runs("failing", limit=0).dag_runs == []


class TestChanges:
    def test_marking_a_running_run_ends_it(self, cluster: ApiCluster, runs: api.DagRunApi) -> None:
        run = runs.trigger_dag_run("holding", Trigger())
        tis = api.TaskInstanceApi(cluster.client())
        cluster.until(
            lambda: tis.get_task_instance("holding", run.dag_run_id, "hold").state == "running", "the task runs"
        )
        marked = runs.patch_dag_run("holding", run.dag_run_id, models.DAGRunPatchBody(state=FAILED, note="enough"))
        assert (marked.state.value, marked.note) == ("failed", "enough")
        cluster.until(
            lambda: tis.get_task_instance("holding", run.dag_run_id, "hold").state == "failed", "the task is ended"
        )

    def test_notes_alone(self, runs: api.DagRunApi) -> None:
        run = runs.trigger_dag_run("pipeline", Trigger())
        path = ("pipeline", run.dag_run_id)
        assert runs.patch_dag_run(*path, models.DAGRunPatchBody(note="first")).note == "first"
        kept = runs.patch_dag_run(*path, models.DAGRunPatchBody(note="second", state=FAILED), update_mask=["state"])
        assert kept.note == "first"
        assert runs.patch_dag_run(*path, models.DAGRunPatchBody(note=None), update_mask=["note"]).note is None

    def test_running_cannot_be_set(self, cluster: ApiCluster, runs: api.DagRunApi) -> None:
        run = runs.trigger_dag_run("pipeline", Trigger())
        answer = cluster.call(
            "PATCH",
            f"/api/v2/dags/pipeline/dagRuns/{run.dag_run_id}",
            json={"state": "running"},
        )
        assert answer.status_code == 422

    def test_clear_is_a_dry_run_by_default(self, cluster: ApiCluster, runs: api.DagRunApi) -> None:
        run = finish(cluster, runs, runs.trigger_dag_run("failing", Trigger()))
        # Not by Airflow's client: its model of this answer calls every task instance ambiguous.
        answer = cluster.call(
            "POST",
            f"/api/v2/dags/failing/dagRuns/{run.dag_run_id}/clear",
            json={"only_failed": True},
        )
        assert sorted(each["task_id"] for each in answer.json()["task_instances"]) == ["after", "fail_here"]
        assert runs.get_dag_run("failing", run.dag_run_id).state.value == "failed"

    def test_clear_runs_it_again(self, cluster: ApiCluster, runs: api.DagRunApi) -> None:
        run = finish(cluster, runs, runs.trigger_dag_run("failing", Trigger()))
        answer = runs.clear_dag_run("failing", run.dag_run_id, models.DAGRunClearBody(dry_run=False))
        assert isinstance(answer.actual_instance, models.DAGRunResponse)
        tries = api.TaskInstanceApi(cluster.client())
        cluster.until(
            lambda: tries.get_task_instance_tries("failing", run.dag_run_id, "first").total_entries == 2,
            "the first task runs again",
        )
        finish(cluster, runs, run)

    def test_delete(self, cluster: ApiCluster, runs: api.DagRunApi) -> None:
        run = finish(cluster, runs, runs.trigger_dag_run("pipeline", Trigger()))
        runs.delete_dag_run("pipeline", run.dag_run_id)
        with pytest.raises(NotFoundException):
            runs.get_dag_run("pipeline", run.dag_run_id)
        with pytest.raises(NotFoundException):
            runs.delete_dag_run("pipeline", run.dag_run_id)

    def test_deleting_a_live_run_is_refused(self, cluster: ApiCluster, runs: api.DagRunApi) -> None:
        run = runs.trigger_dag_run("holding", Trigger())
        tis = api.TaskInstanceApi(cluster.client())
        cluster.until(
            lambda: tis.get_task_instance("holding", run.dag_run_id, "hold").state == "running", "the task runs"
        )
        with pytest.raises(ConflictException, match="still queued or running"):
            runs.delete_dag_run("holding", run.dag_run_id)
        runs.patch_dag_run("holding", run.dag_run_id, models.DAGRunPatchBody(state=FAILED))


class TestWaiting:
    def test_lines_until_the_end_with_results(self, cluster: ApiCluster, runs: api.DagRunApi) -> None:
        run = runs.trigger_dag_run("pipeline", Trigger())
        with cluster.http.stream(
            "GET",
            f"{cluster.url}/api/v2/dags/pipeline/dagRuns/{run.dag_run_id}/wait",
            params={"interval": 0.2, "result": ["extract", "nothing"]},
            headers={"Authorization": f"Bearer {cluster.tokens['victor']}"},
        ) as answer:
            lines = [json.loads(line) for line in answer.iter_lines()]
        assert lines[-1] == {"state": "success", "results": {"extract": {"rows": 3}, "nothing": None}}

    def test_run_after_delays_the_start(self, runs: api.DagRunApi) -> None:
        later = datetime.now(UTC) + timedelta(days=1)
        run = runs.trigger_dag_run("pipeline", Trigger(run_after=later))
        assert run.state.value == "queued"
        assert abs((run.run_after - later).total_seconds()) < 0.001
