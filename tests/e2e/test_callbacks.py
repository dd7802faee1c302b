"""Callbacks on real processes: they are called although the task's own process is dead."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from dagdeck_core.actions import SetTaskInstanceState
from dagdeck_core.states import DagRunState, TaskInstanceState
from tests.e2e.conftest import DAGS
from tests.e2e.harness import QUICK, ClusterUnderTest, wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClusterUnderTest]:
    """A standalone cluster with the DAGs that want to be told."""
    folder: Path = tmp_path_factory.mktemp("told")
    with ClusterUnderTest(folder, dags=[DAGS / "told.py"], settings=QUICK) as cluster:
        cluster.start_standalone()
        cluster.wait_ready("killed", "well", "marked", "late")
        yield cluster


def notes(cluster: ClusterUnderTest, about: str) -> list[str]:
    """What callbacks noted about a run."""
    path = Path(f"{cluster.stamps.path}.notes")
    return [line for line in path.read_text().splitlines() if about in line] if path.exists() else []


def test_a_killed_task_is_told_at_every_try_and_its_run_at_the_end(cluster: ClusterUnderTest) -> None:
    run_id = cluster.trigger("killed")
    cluster.wait_run(run_id, state=DagRunState.FAILED)
    wait_until(lambda: len(notes(cluster, run_id)) >= 4, 20, "four callbacks were called")
    lines = sorted(notes(cluster, run_id))
    assert [line.split()[0] for line in lines] == ["failure", "pager", "retry", "run"]
    assert lines[0].startswith(f"failure {run_id} dies failed 2 ")
    assert "killed" in lines[0].lower()
    assert lines[1] == f"pager killed of {run_id} failed: nobody"
    assert lines[2].startswith(f"retry {run_id} dies up_for_retry 1 ")
    assert lines[3] == f"run {run_id} task_failure failed dies"
    assert cluster.database.task_log(run_id, "dies").count(b"about to be killed") == 2
    wait_until(
        lambda: b"the callback failure speaks" in cluster.database.task_log(run_id, "dies"),
        20,
        "what a callback prints is in its task's log",
    )


def test_a_good_run_is_told(cluster: ClusterUnderTest) -> None:
    run_id = cluster.trigger("well")
    cluster.wait_run(run_id)
    wait_until(lambda: notes(cluster, run_id), 20, "the callback was called")
    assert notes(cluster, run_id) == [f"run {run_id} success success works"]


def test_a_running_task_that_is_marked_failed_is_told(cluster: ClusterUnderTest) -> None:
    run_id = cluster.trigger("marked")
    wait_until(lambda: notes(cluster, "sleeping"), 20, "the task runs")
    targets = cluster.database.targets(run_id, "sleeps")
    run_key = cluster.database.task_instances(run_id)[0].run_key
    cluster.database.act_and_wait(
        SetTaskInstanceState(run_key=run_key, targets=targets, state=TaskInstanceState.FAILED)
    )
    cluster.wait_run(run_id, state=DagRunState.FAILED)
    wait_until(lambda: notes(cluster, run_id), 20, "the callback was called")
    assert notes(cluster, run_id)[0].startswith(f"failure {run_id} sleeps failed 1 ")


def test_a_missed_deadline_is_told_while_the_run_goes_on(cluster: ClusterUnderTest) -> None:
    run_id = cluster.trigger("late")
    wait_until(lambda: notes(cluster, run_id), 20, "the callback was called")
    assert notes(cluster, run_id) == [f"late {run_id} ann slow"]
    run = cluster.database.run(run_id)
    assert run is not None
    assert run.state is DagRunState.RUNNING
    cluster.wait_run(run_id)
    assert len(notes(cluster, run_id)) == 1
