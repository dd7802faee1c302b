"""The sample DAGs through every daemon, on the embedded default and on MariaDB and Redis with two workers."""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib.resources import as_file, files
from pathlib import Path

import pytest

from dagdeck_core.states import DagRunState, TaskInstanceState
from tests.e2e.harness import QUICK, ClusterUnderTest
from tests.support.services import MariaDb, RedisServer

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

DAG_IDS = ("atlantic_hurricanes", "retry_on_purpose", "every_minute")


@pytest.fixture(scope="module", params=["standalone", "mariadb"])
def samples(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClusterUnderTest]:
    """A cluster with the sample DAGs."""
    folder: Path = tmp_path_factory.mktemp(request.param)
    database_url = queue_url = None
    if request.param == "mariadb":
        mariadb: MariaDb = request.getfixturevalue("mariadb")
        redis_server: RedisServer = request.getfixturevalue("redis_server")
        database_url, queue_url = mariadb.create_database(f"samples_{os.getpid()}"), redis_server.url()
    with (
        as_file(files("dagdeck_assets") / "sample_dags") as source,
        ClusterUnderTest(
            folder, dags=[source], database_url=database_url, queue_url=queue_url, settings=QUICK
        ) as cluster,
    ):
        if database_url is None:
            cluster.start_standalone()
        else:
            cluster.start_cluster()
        cluster.wait_ready(*DAG_IDS)
        yield cluster


def test_pipeline_writes_its_report(samples: ClusterUnderTest) -> None:
    run_id = samples.trigger("atlantic_hurricanes")
    samples.wait_run(run_id, timeout=60)
    states = samples.database.states(run_id)
    assert set(states.values()) <= {TaskInstanceState.SUCCESS, TaskInstanceState.SKIPPED}
    report = Path(samples.database.xcom(run_id, "write_report"))
    assert "<html" in report.read_text()[:500]


def test_retries_are_used_and_logged(samples: ClusterUnderTest) -> None:
    run_id = samples.trigger("retry_on_purpose")
    samples.wait_run(run_id)
    [task] = [ti for ti in samples.database.task_instances(run_id) if ti.task_id == "succeed_at_last"]
    assert task.try_number == 3
    tries = [d for d in samples.database.history(run_id) if d.ti_id == task.ti_id]
    assert [(d.try_number, d.state.value) for d in tries] == [(1, "up_for_retry"), (2, "up_for_retry"), (3, "success")]
    assert b"on purpose: try 2 of 3 fails" in samples.database.task_log(run_id, "succeed_at_last")


def test_failure_reaches_what_comes_after(samples: ClusterUnderTest) -> None:
    run_id = samples.trigger("retry_on_purpose", {"fail_finally": True})
    samples.wait_run(run_id, state=DagRunState.FAILED)
    states = samples.database.states(run_id)
    assert (states["fail_if_asked"], states["finish"]) == (TaskInstanceState.FAILED, TaskInstanceState.UPSTREAM_FAILED)


def test_schedule_makes_a_run_by_itself(samples: ClusterUnderTest) -> None:
    def scheduled() -> str | None:
        return next((run.run_id for run in samples.database.runs() if run.run_id.startswith("scheduled__")), None)

    from tests.e2e.daemon import wait_until

    wait_until(scheduled, 65, "a minute has passed")
    run_id = scheduled()
    assert run_id is not None
    samples.wait_run(run_id)
