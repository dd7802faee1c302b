"""Tasks that ask people on real processes: answered through the control API, or by their defaults, without a slot."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import airflow_client.client as airflow
import airflow_client.client.api as api
import airflow_client.client.models as models
import pytest

from dagdeck_core.actions import RespondToInput
from dagdeck_core.states import TaskInstanceState
from tests.e2e.conftest import DAGS
from tests.e2e.harness import QUICK, ClusterUnderTest, wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]
S = TaskInstanceState


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClusterUnderTest]:
    """A standalone cluster with a DAG that asks."""
    folder: Path = tmp_path_factory.mktemp("asking")
    with ClusterUnderTest(folder, dags=[DAGS / "asking.py"], settings=QUICK) as cluster:
        cluster.start_standalone()
        cluster.wait_ready("asking")
        yield cluster


def state(cluster: ClusterUnderTest, run_id: str, task_id: str) -> TaskInstanceState | None:
    """A task instance's state."""
    found = [ti.state for ti in cluster.database.task_instances(run_id) if ti.task_id == task_id]
    return found[0] if found else None


def test_people_and_defaults_let_the_tasks_go_on(cluster: ClusterUnderTest) -> None:
    run_id = cluster.trigger("asking")
    cluster.client().close()
    token = json.loads((cluster.home / "token").read_text())["token"]
    configuration = airflow.Configuration(host=f"http://127.0.0.1:{cluster.api_port}", access_token=token)
    tis = api.TaskInstanceApi(airflow.ApiClient(configuration))

    def answer(task_id: str, option: str, **given: Any) -> None:
        wait_until(lambda: state(cluster, run_id, task_id) is S.AWAITING_INPUT, 30, f"{task_id} asks")
        body = models.UpdateHITLDetailPayload(chosen_options=[option], params_input=given)
        tis.update_hitl_detail("asking", run_id, task_id, -1, body)

    wait_until(lambda: state(cluster, run_id, "release") is S.AWAITING_INPUT, 30, "release asks")
    assert tis.get_hitl_detail("asking", run_id, "release", -1).subject == f"Release {run_id}?"
    wait_until(lambda: state(cluster, run_id, "release") is S.SUCCESS, 30, "release took its default")
    answer("name", "OK", who="Ann O'Brien")
    answer("publish", "Approve")
    cluster.wait_run(run_id)
    assert cluster.database.xcom(run_id, "use") == "Ann O'Brien"
    assert cluster.database.xcom(run_id, "published") == "out"
    assert cluster.database.xcom(run_id, "release")["responded_by_user"] is None
    assert [ti.try_number for ti in cluster.database.task_instances(run_id)] == [1] * 5


def test_a_rejection_skips_what_follows(cluster: ClusterUnderTest) -> None:
    run_id = cluster.trigger("asking")
    wait_until(lambda: state(cluster, run_id, "publish") is S.AWAITING_INPUT, 30, "publish asks")
    run_key = cluster.database.task_instances(run_id)[0].run_key
    for task_id, option, given in (("publish", "Reject", {}), ("name", "OK", {"who": "Bob"})):
        (target,) = cluster.database.targets(run_id, task_id)
        done = cluster.database.act_and_wait(
            RespondToInput(
                run_key=run_key,
                ti_id=target.ti_id,
                task_id=task_id,
                chosen_options=(option,),
                params_input=given,
                user_id="1",
                user_name="bob",
            )
        )
        assert str(done["state"]) == "done"
    cluster.wait_run(run_id)
    assert state(cluster, run_id, "published") is S.SKIPPED
    assert state(cluster, run_id, "use") is S.SUCCESS
