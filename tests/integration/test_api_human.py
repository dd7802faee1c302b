"""Questions to people, and deadlines of runs, through the control API, driven by Airflow's own client."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import airflow_client.client.api as api
import airflow_client.client.models as models
import pytest
from airflow_client.client.exceptions import ApiException, BadRequestException, ConflictException, NotFoundException

from dagdeck_core.human_input import Question
from dagdeck_core.spec import DagSpec, DeadlineSpec, ReferencePoint, TaskSpec
from tests.integration.api_cluster import FILE, ApiCluster, api_cluster, sample_specs

Answer = models.UpdateHITLDetailPayload
QUESTIONS = {
    "which": Question(
        subject="Which one?",
        options=("left", "right"),
        next_method="execute_complete",
        body="Please *choose*.",
        defaults=("left",),
        params={"why": {"value": "", "description": "A reason", "schema": {"type": "string"}}},
    ),
    "hers": Question(
        subject="Yours",
        options=("a", "b", "c"),
        next_method="execute_complete",
        multiple=True,
        assigned_users=({"id": "olga", "name": "olga"},),
    ),
}
ASKING = DagSpec(
    dag_id="asking",
    max_active_runs=100,
    fileloc=FILE,
    is_paused_upon_creation=False,
    deadlines=(
        DeadlineSpec(reference=ReferencePoint.QUEUED_AT, interval=3600.0, callback="samples.late", name="an hour"),
    ),
    tasks=tuple(TaskSpec(task_id=name, task_type="HITLOperator") for name in QUESTIONS),
)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiCluster]:
    with api_cluster(tmp_path_factory.mktemp("home")) as running:
        running.worker.questions.update(QUESTIONS)
        running.publish([*sample_specs(), ASKING])
        running.until(lambda: triggered(running), "the scheduler has heard of the DAG")
        yield running


def triggered(cluster: ApiCluster) -> str | None:
    """The id of a new run; None while the scheduler does not know the DAG."""
    try:
        run = api.DagRunApi(cluster.client()).trigger_dag_run("asking", models.TriggerDAGRunPostBody())
    except NotFoundException:
        return None
    return str(run.dag_run_id)


@pytest.fixture
def tis(cluster: ApiCluster) -> api.TaskInstanceApi:
    return api.TaskInstanceApi(cluster.client())


@pytest.fixture
def run_id(cluster: ApiCluster, tis: api.TaskInstanceApi) -> str:
    run_id = triggered(cluster)
    assert run_id is not None
    cluster.until(
        lambda: tis.get_hitl_details("asking", run_id, state=["awaiting_input"]).total_entries == 2,
        "both tasks ask",
    )
    return run_id


def asked(page: models.HITLDetailCollection) -> list[str]:
    return sorted(each.task_instance.task_id for each in page.hitl_details)


def test_a_question_is_shown_and_answered_once(cluster: ApiCluster, tis: api.TaskInstanceApi, run_id: str) -> None:
    detail = tis.get_hitl_detail("asking", run_id, "which", -1)
    assert (detail.subject, detail.body, detail.options, detail.defaults) == (
        "Which one?",
        "Please *choose*.",
        ["left", "right"],
        ["left"],
    )
    assert detail.params == {"why": {"value": "", "description": "A reason", "schema": {"type": "string"}}}
    assert detail.task_instance.state == models.TaskInstanceState.AWAITING_INPUT
    assert (detail.response_received, detail.responded_at, detail.chosen_options) == (False, None, None)

    answer = Answer(chosen_options=["right"], params_input={"why": "it's better"})
    reply = tis.update_hitl_detail("asking", run_id, "which", -1, answer)
    assert (reply.chosen_options, reply.params_input) == (["right"], {"why": "it's better"})
    assert reply.responded_by.id == "alice"
    with pytest.raises(ConflictException):
        tis.update_hitl_detail("asking", run_id, "which", -1, answer)
    cluster.until(
        lambda: tis.get_task_instance("asking", run_id, "which").state == models.TaskInstanceState.SUCCESS,
        "the task goes on",
    )
    detail = tis.get_hitl_detail("asking", run_id, "which", -1)
    assert (detail.response_received, detail.chosen_options) == (True, ["right"])
    assert detail.params_input == {"why": "it's better"}
    assert detail.responded_by_user is not None
    assert detail.responded_by_user.id == "alice"
    assert detail.responded_at == reply.responded_at


@pytest.mark.parametrize(
    "options", [["middle"], ["left", "right"], ["left", "middle"]], ids=["unknown", "too many", "both"]
)
def test_what_is_no_answer_is_a_400(tis: api.TaskInstanceApi, run_id: str, options: list[str]) -> None:
    with pytest.raises(BadRequestException):
        tis.update_hitl_detail("asking", run_id, "which", -1, Answer(chosen_options=options))
    assert not tis.get_hitl_detail("asking", run_id, "which", -1).response_received


def test_only_who_is_asked_answers(cluster: ApiCluster, tis: api.TaskInstanceApi, run_id: str) -> None:
    assert [user.id for user in tis.get_hitl_detail("asking", run_id, "hers", -1).assigned_users or []] == ["olga"]
    answer = Answer(chosen_options=["a", "c"])
    for name in ("alice", "victor"):
        with pytest.raises(ApiException) as raised:
            api.TaskInstanceApi(cluster.client(name)).update_hitl_detail("asking", run_id, "hers", -1, answer)
        assert raised.value.status == 403
    reply = api.TaskInstanceApi(cluster.client("olga")).update_hitl_detail("asking", run_id, "hers", -1, answer)
    assert reply.chosen_options == ["a", "c"]


def test_a_viewer_reads_but_does_not_answer(cluster: ApiCluster, run_id: str) -> None:
    tis = api.TaskInstanceApi(cluster.client("victor"))
    assert tis.get_hitl_detail("asking", run_id, "which", -1).subject == "Which one?"
    with pytest.raises(ApiException) as raised:
        tis.update_hitl_detail("asking", run_id, "which", -1, Answer(chosen_options=["left"]))
    assert raised.value.status == 403


def test_a_body_that_chooses_nothing_is_a_422(cluster: ApiCluster, run_id: str) -> None:
    path = f"/api/v2/dags/asking/dagRuns/{run_id}/taskInstances/which/-1/hitlDetails"
    bodies: list[dict[str, Any]] = [{"chosen_options": []}, {}, {"chosen_options": "left"}]
    for body in bodies:
        assert cluster.call("PATCH", path, json=body).status_code == 422


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ({}, ["hers", "which"]),
        ({"task_id": "hers"}, ["hers"]),
        ({"task_id_pattern": "hic"}, ["which"]),
        ({"subject_search": "one"}, ["which"]),
        ({"body_search": "choose"}, ["which"]),
        ({"map_index": 3}, []),
        ({"response_received": False}, ["hers", "which"]),
        ({"response_received": True}, []),
        ({"state": ["success"]}, []),
        ({"responded_by_user_id": ["alice"]}, []),
    ],
)
def test_filters(tis: api.TaskInstanceApi, run_id: str, filters: dict[str, Any], found: list[str]) -> None:
    assert asked(tis.get_hitl_details("asking", run_id, **filters)) == found


def test_of_all_runs_by_who_answered(tis: api.TaskInstanceApi, run_id: str) -> None:
    tis.update_hitl_detail("asking", run_id, "which", -1, Answer(chosen_options=["left"]))
    page = tis.get_hitl_details("~", "~", responded_by_user_id=["alice"], order_by=["-created_at"])
    assert run_id in {each.task_instance.dag_run_id for each in page.hitl_details}
    assert asked(tis.get_hitl_details("asking", run_id, responded_by_user_name=["alice"])) == ["which"]
    assert asked(tis.get_hitl_details("asking", run_id, responded_by_user_name=["ali"])) == []
    assert tis.get_hitl_details("~", "~", limit=1).total_entries == tis.get_hitl_details("asking", "~").total_entries


def test_of_a_try(tis: api.TaskInstanceApi, run_id: str) -> None:
    detail = tis.get_hitl_detail_try_detail("asking", run_id, "which", -1, 1)
    assert (detail.subject, detail.task_instance.try_number) == ("Which one?", 1)
    with pytest.raises(NotFoundException):
        tis.get_hitl_detail_try_detail("asking", run_id, "which", -1, 2)


def test_of_an_earlier_try(cluster: ApiCluster, tis: api.TaskInstanceApi, run_id: str) -> None:
    tis.update_hitl_detail("asking", run_id, "which", -1, Answer(chosen_options=["right"]))
    cluster.until(lambda: tis.get_task_instance("asking", run_id, "which").state == "success", "it has gone on")
    body = models.ClearTaskInstancesBody(
        dag_run_id=run_id,
        dry_run=False,
        only_failed=False,
        task_ids=[models.ClearTaskInstancesBodyTaskIdsInner("which")],
    )
    tis.post_clear_task_instances("asking", body)
    cluster.until(lambda: tis.get_task_instance("asking", run_id, "which").try_number == 2, "it is tried again")
    asks = models.TaskInstanceState.AWAITING_INPUT
    cluster.until(lambda: tis.get_task_instance("asking", run_id, "which").state == asks, "it asks again")
    first = tis.get_hitl_detail_try_detail("asking", run_id, "which", -1, 1)
    assert (first.chosen_options, first.task_instance.try_number) == (["right"], 1)
    second = tis.get_hitl_detail_try_detail("asking", run_id, "which", -1, 2)
    assert (second.response_received, second.task_instance.try_number) == (False, 2)


def test_what_is_not_there(tis: api.TaskInstanceApi, run_id: str) -> None:
    for dag_id, run, task_id in (("nothing", run_id, "which"), ("asking", "no", "which"), ("asking", run_id, "who")):
        with pytest.raises(NotFoundException):
            tis.get_hitl_detail(dag_id, run, task_id, -1)
        with pytest.raises(NotFoundException):
            tis.update_hitl_detail(dag_id, run, task_id, -1, Answer(chosen_options=["left"]))


def test_a_mark_ends_the_question(cluster: ApiCluster, tis: api.TaskInstanceApi, run_id: str) -> None:
    tis.patch_task_instance(
        "asking", run_id, "which", models.PatchTaskInstanceBody(new_state=models.TaskInstanceState.FAILED)
    )
    with pytest.raises(ConflictException):
        tis.update_hitl_detail("asking", run_id, "which", -1, Answer(chosen_options=["left"]))


def test_deadlines_of_a_run(cluster: ApiCluster, run_id: str) -> None:
    page = cluster.call("GET", f"/api/dagdeck/v1/dags/asking/dagRuns/{run_id}/deadlines", user="victor").json()
    assert page["total_entries"] == 1
    (deadline,) = page["deadlines"]
    assert {name: deadline[name] for name in ("alert_name", "callback", "interval", "missed", "callback_state")} == {
        "alert_name": "an hour",
        "callback": "samples.late",
        "interval": 3600.0,
        "missed": False,
        "callback_state": None,
    }
    assert cluster.call("GET", "/api/dagdeck/v1/dags/asking/dagRuns/no/deadlines").status_code == 404
