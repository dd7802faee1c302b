"""DAGs through the control API, driven by Airflow's own client."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import airflow_client.client.api as api
import airflow_client.client.models as models
import pytest
import sqlalchemy as sa
from airflow_client.client.exceptions import ApiException, BadRequestException, ConflictException, NotFoundException

from dagdeck_core.errors import EnvironmentFault
from dagdeck_core.spec import DagSpec, TaskGroupSpec, TaskSpec
from dagdeck_io.db.processor_store import ImportFailure
from dagdeck_io.db.tables import dag_warning, parse_request
from dagdeck_master.api.queries import versions
from tests.integration.api_cluster import FILE, ApiCluster, api_cluster, sample_specs

FAILED = models.DagRunMutableStates.FAILED


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiCluster]:
    with api_cluster(tmp_path_factory.mktemp("home")) as running:
        yield running


@pytest.fixture
def dags(cluster: ApiCluster) -> api.DAGApi:
    return api.DAGApi(cluster.client())


def ids(page: models.DAGCollectionResponse) -> list[str]:
    return [each.dag_id for each in page.dags]


class TestListing:
    def test_all_dags_with_their_fields(self, dags: api.DAGApi) -> None:
        page = dags.get_dags()
        assert ids(page) == ["failing", "holding", "pipeline", "scheduled"]
        assert page.total_entries == 4
        pipeline = page.dags[2]
        assert pipeline.owners == ["airflow", "ann", "bob"]
        assert [tag.name for tag in pipeline.tags] == ["daily", "etl"]
        assert pipeline.relative_fileloc == FILE
        assert pipeline.description == "Four steps"
        assert not pipeline.is_paused
        assert page.dags[3].is_paused
        assert page.dags[3].timetable_summary == "0 3 * * *"
        assert page.dags[3].is_backfillable
        assert not pipeline.is_backfillable

    def test_limit_and_offset(self, dags: api.DAGApi) -> None:
        page = dags.get_dags(limit=2, offset=1)
        assert ids(page) == ["holding", "pipeline"]
        assert page.total_entries == 4

    def test_order(self, dags: api.DAGApi) -> None:
        assert ids(dags.get_dags(order_by=["-dag_id"]))[0] == "scheduled"
        assert ids(dags.get_dags(order_by=["-next_dagrun", "dag_id"]))[0] == "scheduled"

    def test_an_unknown_order_is_refused(self, dags: api.DAGApi) -> None:
        with pytest.raises(BadRequestException, match="Ordering with 'colour' is disallowed"):
            dags.get_dags(order_by=["colour"])

    @pytest.mark.parametrize(
        ("filters", "expected"),
        [
            ({"tags": ["etl"]}, ["failing", "pipeline"]),
            ({"tags": ["etl", "daily"], "tags_match_mode": "all"}, ["pipeline"]),
            ({"owners": ["bob"]}, ["pipeline"]),
            ({"owners": ["bo"]}, []),
            ({"owners": ["%"]}, []),
            ({"paused": True}, ["scheduled"]),
            ({"paused": False}, ["failing", "holding", "pipeline"]),
            ({"dag_id_pattern": "IL"}, ["failing"]),
            ({"dag_id_pattern": "fail|sched"}, ["failing", "scheduled"]),
            ({"dag_id_pattern": "~"}, ["failing", "holding", "pipeline", "scheduled"]),
            ({"dag_id_prefix_pattern": "pipe"}, ["pipeline"]),
            ({"dag_id_prefix_pattern": "PIPE"}, []),
            ({"dag_display_name_pattern": "hold"}, ["holding"]),
            ({"timetable_type": ["CronTriggerTimetable"]}, ["scheduled"]),
            ({"has_import_errors": True}, []),
            ({"bundle_name": "elsewhere"}, []),
            ({"has_asset_schedule": True}, []),
        ],
    )
    def test_filters(self, dags: api.DAGApi, filters: dict[str, Any], expected: list[str]) -> None:
        assert ids(dags.get_dags(**filters)) == expected

    def test_stale_dags_are_listed_on_request(self, cluster: ApiCluster, dags: api.DAGApi) -> None:
        gone = DagSpec(dag_id="gone", fileloc="gone.py", tasks=(TaskSpec(task_id="a", task_type="X"),))
        cluster.publish([*sample_specs(), gone], content="with gone")
        cluster.publish(sample_specs(), content="without gone")
        assert "gone" not in ids(dags.get_dags())
        listed = {each.dag_id: each for each in dags.get_dags(exclude_stale=False).dags}
        assert listed["gone"].is_stale

    def test_filters_by_runs(self, cluster: ApiCluster, dags: api.DAGApi) -> None:
        runs = api.DagRunApi(cluster.client())
        run = runs.trigger_dag_run("failing", models.TriggerDAGRunPostBody())
        cluster.until(lambda: runs.get_dag_run("failing", run.dag_run_id).state == "failed", "the run fails")
        assert ids(dags.get_dags(last_dag_run_state=models.DagRunState.FAILED)) == ["failing"]
        assert ids(dags.get_dags(dag_run_state=["failed"])) == ["failing"]
        future = datetime(2100, 1, 1, tzinfo=UTC)
        assert ids(dags.get_dags(dag_run_start_date_lt=future)) == ["failing"]
        assert ids(dags.get_dags(dag_run_end_date_gte=future)) == []
        assert ids(dags.get_dags(order_by=["-last_run_state"]))[0] == "failing"


class TestOneDag:
    def test_get(self, dags: api.DAGApi) -> None:
        assert dags.get_dag("holding").dag_display_name == "holding"

    def test_unknown(self, dags: api.DAGApi) -> None:
        with pytest.raises(NotFoundException, match="The Dag with dag_id: `nothing` was not found"):
            dags.get_dag("nothing")

    def test_details(self, dags: api.DAGApi) -> None:
        found = dags.get_dag_details("pipeline")
        assert found.doc_md == "# Pipeline"
        assert found.params is not None
        assert found.params["year"]["value"] == 2024
        assert found.params["year"]["schema"] == {"type": "integer", "minimum": 1900}
        assert found.latest_dag_version is not None
        assert found.latest_dag_version.bundle_name == "test_dags"
        assert found.active_runs_count == 0
        assert found.is_favorite is False

    def test_pausing(self, cluster: ApiCluster, dags: api.DAGApi) -> None:
        assert dags.patch_dag("holding", models.DAGPatchBody(is_paused=True)).is_paused
        assert dags.get_dag("holding").is_paused
        assert not dags.patch_dag("holding", models.DAGPatchBody(is_paused=False), update_mask=["is_paused"]).is_paused

    def test_another_field_in_the_mask_is_refused(self, dags: api.DAGApi) -> None:
        with pytest.raises(BadRequestException, match="update_mask"):
            dags.patch_dag("holding", models.DAGPatchBody(is_paused=True), update_mask=["description"])

    def test_pausing_many(self, dags: api.DAGApi) -> None:
        page = dags.patch_dags(models.DAGPatchBody(is_paused=True), dag_id_pattern="hold|fail")
        assert {each.dag_id: each.is_paused for each in page.dags} == {"failing": True, "holding": True}
        assert not dags.get_dag("pipeline").is_paused
        dags.patch_dags(models.DAGPatchBody(is_paused=False), dag_id_pattern="hold|fail")
        assert ids(dags.get_dags(paused=True)) == ["scheduled"]

    def test_pausing_many_needs_a_pattern(self, dags: api.DAGApi) -> None:
        with pytest.raises(BadRequestException, match="dag_id_pattern is required"):
            dags.patch_dags(models.DAGPatchBody(is_paused=True))

    def test_favourites_are_each_user_s_own(self, cluster: ApiCluster, dags: api.DAGApi) -> None:
        dags.favorite_dag("pipeline")
        dags.favorite_dag("pipeline")
        assert ids(dags.get_dags(is_favorite=True)) == ["pipeline"]
        assert ids(api.DAGApi(cluster.client("victor")).get_dags(is_favorite=True)) == []
        assert dags.get_dag_details("pipeline").is_favorite
        dags.unfavorite_dag("pipeline")
        with pytest.raises(ConflictException):
            dags.unfavorite_dag("pipeline")

    def test_deleting(self, cluster: ApiCluster, dags: api.DAGApi) -> None:
        doomed = DagSpec(dag_id="doomed", fileloc=FILE, tasks=(TaskSpec(task_id="a", task_type="X"),))
        cluster.publish([*sample_specs(), doomed], content="with doomed")
        cluster.until(lambda: _deleted(dags, "doomed"), "the scheduler knows the new DAG")
        with pytest.raises(NotFoundException):
            dags.get_dag("doomed")

    def test_deleting_a_dag_with_a_live_run_is_refused(self, cluster: ApiCluster, dags: api.DAGApi) -> None:
        runs = api.DagRunApi(cluster.client())
        run = runs.trigger_dag_run("holding", models.TriggerDAGRunPostBody())
        with pytest.raises(ConflictException, match="unfinished runs"):
            dags.delete_dag("holding")
        runs.patch_dag_run("holding", run.dag_run_id, models.DAGRunPatchBody(state=FAILED))


def _deleted(dags: api.DAGApi, dag_id: str) -> bool:
    try:
        dags.delete_dag(dag_id)
    except NotFoundException:
        return False
    return True


class TestDefinition:
    def test_tasks(self, cluster: ApiCluster) -> None:
        tasks = api.TaskApi(cluster.client())
        found = tasks.get_tasks("pipeline")
        assert [each.task_id for each in found.tasks] == ["extract", "load", "work.left", "work.right"]
        load = tasks.get_task("pipeline", "load")
        assert load.execution_timeout is not None
        assert (load.execution_timeout.seconds, load.execution_timeout.microseconds) == (90, 500_000)
        assert load.retry_delay is not None
        assert load.retry_delay.seconds == 61
        assert load.owner == "bob"
        assert load.class_ref == {"module_path": "", "class_name": "BashOperator"}
        assert tasks.get_task("pipeline", "extract").downstream_task_ids == ["work.left", "work.right"]
        backwards = tasks.get_tasks("pipeline", order_by="-owner").tasks
        assert backwards[0].owner == "bob"

    def test_bad_questions_about_tasks(self, cluster: ApiCluster) -> None:
        tasks = api.TaskApi(cluster.client())
        with pytest.raises(BadRequestException, match="not an attribute"):
            tasks.get_tasks("pipeline", order_by="nothing")
        with pytest.raises(NotFoundException):
            tasks.get_task("pipeline", "nothing")
        with pytest.raises(NotFoundException):
            tasks.get_tasks("nothing")

    def test_versions_and_sources(self, cluster: ApiCluster) -> None:
        versions = api.DagVersionApi(cluster.client())
        pipeline = sample_specs()[0]
        changed = DagSpec(dag_id="versioned", fileloc=FILE, tasks=pipeline.tasks[:1])
        cluster.publish([*sample_specs(), changed], content="one")
        changed = DagSpec(dag_id="versioned", fileloc=FILE, tasks=pipeline.tasks[:1], description="changed")
        cluster.publish([*sample_specs(), changed], content="two")
        page = versions.get_dag_versions("versioned", order_by=["-version_number"])
        assert [each.version_number for each in page.dag_versions] == [2, 1]
        one = versions.get_dag_version("versioned", 1)
        assert one.id == page.dag_versions[1].id
        assert versions.get_dag_versions("versioned", version_number=2).total_entries == 1
        sources = api.DagSourceApi(cluster.client())
        assert (sources.get_dag_source("versioned").content or "").endswith("two")
        assert (sources.get_dag_source("versioned", version_number=1).content or "").endswith("one")
        with pytest.raises(NotFoundException):
            sources.get_dag_source("versioned", version_number=9)
        with pytest.raises(NotFoundException):
            versions.get_dag_version("versioned", 9)
        with pytest.raises(NotFoundException):
            versions.get_dag_versions("nothing")

    def test_asking_for_a_file_to_be_parsed_again(self, cluster: ApiCluster, dags: api.DAGApi) -> None:
        token = dags.get_dag("pipeline").file_token
        api.DAGParsingApi(cluster.client()).reparse_dag_file(token)
        with cluster.database.reading() as connection:
            rows = connection.execute(sa.select(parse_request)).all()
        assert [(row.bundle_name, row.filename) for row in rows] == [("test_dags", FILE)]
        with pytest.raises(NotFoundException):
            api.DAGParsingApi(cluster.client()).reparse_dag_file("rubbish!")


class TestSummaries:
    def test_tags(self, dags: api.DAGApi) -> None:
        assert dags.get_dag_tags().tags == ["daily", "etl"]
        assert dags.get_dag_tags(tag_name_pattern="DAI").tags == ["daily"]
        assert dags.get_dag_tags(limit=1).total_entries == 2

    def test_statistics(self, cluster: ApiCluster) -> None:
        stats = api.DagStatsApi(cluster.client()).get_dag_stats(dag_ids=["pipeline", "scheduled"])
        assert [each.dag_id for each in stats.dags] == ["pipeline", "scheduled"]
        assert {each.state.value for each in stats.dags[0].stats} == {"queued", "running", "success", "failed"}
        runs = api.DagRunApi(cluster.client())
        before = _count(cluster, "success")
        run = runs.trigger_dag_run("pipeline", models.TriggerDAGRunPostBody())
        cluster.until(lambda: runs.get_dag_run("pipeline", run.dag_run_id).state == "success", "the run ends")
        assert _count(cluster, "success") == before + 1

    def test_import_errors(self, cluster: ApiCluster, dags: api.DAGApi) -> None:
        failures = [
            ImportFailure(filename="broken.py", message="invalid syntax", line=3),
            ImportFailure(filename="other.py", message="boom", stack_trace="Traceback: boom"),
        ]
        cluster.publish(sample_specs(), failures, content="broken")
        errors = api.ImportErrorApi(cluster.client())
        page = errors.get_import_errors(order_by=["filename"])
        assert [(each.filename, each.stack_trace) for each in page.import_errors] == [
            ("broken.py", "broken.py:3: invalid syntax"),
            ("other.py", "Traceback: boom"),
        ]
        one = errors.get_import_error(page.import_errors[0].import_error_id)
        assert one.bundle_name == "test_dags"
        assert errors.get_import_errors(filename_pattern="OTHER").total_entries == 1
        cluster.publish(sample_specs(), content="mended")
        assert errors.get_import_errors().total_entries == 0
        with pytest.raises(NotFoundException):
            errors.get_import_error(one.import_error_id)

    def test_warnings(self, cluster: ApiCluster) -> None:
        with cluster.database.writing() as connection:
            connection.execute(
                dag_warning.insert().values(
                    dag_id="pipeline",
                    warning_type="non-existent pool",
                    message="no pool p",
                    timestamp=datetime.now(UTC),
                )
            )
        warnings = api.DagWarningApi(cluster.client())
        found = warnings.list_dag_warnings(dag_id="pipeline")
        assert [(each.warning_type.value, each.message) for each in found.dag_warnings] == [
            ("non-existent pool", "no pool p")
        ]
        assert warnings.list_dag_warnings(dag_id="failing").total_entries == 0


def _count(cluster: ApiCluster, state: str) -> int:
    stats = api.DagStatsApi(cluster.client()).get_dag_stats(dag_ids=["pipeline"]).dags[0].stats
    return next(each.count for each in stats if each.state.value == state)


def test_a_wrong_type_is_a_422_of_fastapi_s_form(cluster: ApiCluster) -> None:
    with pytest.raises(ApiException) as refusal:
        api.DAGApi(cluster.client()).get_dags(tags_match_mode="some")
    assert refusal.value.status == 422
    detail: Any = refusal.value.data
    assert detail.detail[0].loc[1].actual_instance == "tags_match_mode"


class TestStructure:
    """DagDeck's own: the shape of a DAG for those who draw it."""

    WHERE = "/api/dagdeck/v1/dags/{}/structure"

    def test_tasks_groups_and_edges(self, cluster: ApiCluster) -> None:
        shape = cluster.call("GET", self.WHERE.format("pipeline"), "victor").json()
        assert (shape["dag_id"], shape["version_number"]) == ("pipeline", 1)
        nodes = {each["task_id"]: each for each in shape["nodes"]}
        assert nodes["work.left"] == {
            "task_id": "work.left",
            "label": "work.left",
            "group_id": "work",
            "operator": "PythonOperator",
            "is_mapped": False,
            "setup_teardown_type": None,
        }
        assert nodes["load"]["group_id"] is None
        assert [(each["source_id"], each["target_id"]) for each in shape["edges"]] == [
            ("extract", "work.left"),
            ("extract", "work.right"),
            ("work.left", "load"),
            ("work.right", "load"),
        ]
        assert shape["groups"] == [
            {"group_id": "work", "label": "work", "parent_id": None, "tooltip": None, "is_mapped": False}
        ]

    def test_groups_whose_names_are_not_in_task_ids_labels_and_kinds(self, cluster: ApiCluster) -> None:
        cluster.publish([*sample_specs(), _shapely(extra=False)], content="shape 1")
        cluster.publish([*sample_specs(), _shapely(extra=True)], content="shape 2")
        newest = cluster.call("GET", self.WHERE.format("shapely")).json()
        assert newest["version_number"] == 2
        assert {each["task_id"] for each in newest["nodes"]} == {"begin", "a", "b", "more"}
        assert [(each["group_id"], each["parent_id"], each["label"]) for each in newest["groups"]] == [
            ("outer", None, "Äußere"),
            ("outer.inner", "outer", "inner"),
        ]
        first = next(each for each in newest["nodes"] if each["task_id"] == "begin")
        assert (first["setup_teardown_type"], first["label"]) == ("setup", "Begin 🌱")
        assert newest["edges"][0] == {"source_id": "begin", "target_id": "a", "label": "if so"}
        older = cluster.call("GET", self.WHERE.format("shapely") + "?version_number=1").json()
        assert {each["task_id"] for each in older["nodes"]} == {"begin", "a", "b"}

    def test_a_run_keeps_the_shape_that_it_began_with(self, cluster: ApiCluster) -> None:
        where = "/api/v2/dags/keeps_shape/dagRuns"
        cluster.publish([*sample_specs(), _shapely(extra=False, dag_id="keeps_shape")], content="kept 1")
        # The scheduler hears of a new DAG a moment later.
        cluster.until(
            lambda: cluster.call("POST", where, json={"dag_run_id": "old"}).status_code in (200, 409), "a run"
        )
        cluster.publish([*sample_specs(), _shapely(extra=True, dag_id="keeps_shape")], content="kept 2")
        shape = cluster.call("GET", self.WHERE.format("keeps_shape") + "?dag_run_id=old").json()
        assert shape["version_number"] == 1
        assert "more" not in {each["task_id"] for each in shape["nodes"]}

    @pytest.mark.parametrize("name", ["nothing/structure", "pipeline/structure?version_number=99"])
    def test_what_there_is_not(self, cluster: ApiCluster, name: str) -> None:
        answer = cluster.call("GET", f"/api/dagdeck/v1/dags/{name}")
        assert answer.status_code == 404
        assert "not found" in answer.json()["detail"]

    def test_no_such_run(self, cluster: ApiCluster) -> None:
        answer = cluster.call("GET", self.WHERE.format("pipeline") + "?dag_run_id=never")
        assert answer.status_code == 404


def _shapely(*, extra: bool, dag_id: str = "shapely") -> DagSpec:
    tasks = [
        TaskSpec(
            task_id="begin",
            task_type="EmptyOperator",
            display_name="Begin 🌱",
            is_setup=True,
            edge_labels={"a": "if so"},
        ),
        TaskSpec(task_id="a", task_type="EmptyOperator", upstream=("begin",), group_id="outer"),
        TaskSpec(task_id="b", task_type="EmptyOperator", upstream=("a",), group_id="outer.inner"),
    ]
    if extra:
        tasks.append(TaskSpec(task_id="more", task_type="EmptyOperator", upstream=("b",)))
    groups = (
        TaskGroupSpec(group_id="outer", label="Äußere", prefix_group_id=False),
        TaskGroupSpec(group_id="outer.inner", parent_id="outer", prefix_group_id=False),
    )
    return DagSpec(dag_id=dag_id, fileloc=FILE, is_paused_upon_creation=False, tasks=tuple(tasks), groups=groups)


def test_stored_bytes_that_would_grow_without_end_are_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(versions, "LARGEST_STORED", 1000)
    assert versions.unpacked("zlib", zlib.compress(b"x" * 999)) == b"x" * 999
    for stored in (zlib.compress(b"x" * 1_000_000), zlib.compress(b"x" * 100)[:-3]):
        with pytest.raises(EnvironmentFault, match="not shown"):
            versions.unpacked("zlib", stored)
