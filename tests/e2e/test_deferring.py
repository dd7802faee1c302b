"""Deferred tasks through every daemon: they wait without a slot, go on with their event, outlive their triggerer."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from dagdeck_core.actions import ClearTaskInstances, SetTaskInstanceState, TaskTarget
from dagdeck_core.states import DagRunState, TaskInstanceState
from tests.e2e.conftest import DAGS
from tests.e2e.daemon import wait_until
from tests.e2e.harness import QUICK, ClusterUnderTest
from tests.support.services import MariaDb, RedisServer

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

S = TaskInstanceState
DAG_IDS = ("flagged", "cancelled", "timed", "deadly", "many")


@pytest.fixture(scope="module", params=["standalone", "mariadb"])
def cluster(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClusterUnderTest]:
    """A cluster with the deferring DAGs."""
    folder: Path = tmp_path_factory.mktemp(request.param)
    database_url = queue_url = None
    if request.param == "mariadb":
        mariadb: MariaDb = request.getfixturevalue("mariadb")
        redis_server: RedisServer = request.getfixturevalue("redis_server")
        database_url, queue_url = mariadb.create_database(f"deferring_{os.getpid()}"), redis_server.url()
    settings = {**QUICK, "worker.trigger_poll_interval": "0.3"}
    dags = [DAGS / "deferring.py"]
    with ClusterUnderTest(folder, dags=dags, database_url=database_url, queue_url=queue_url, settings=settings) as made:
        if database_url is None:
            made.start_standalone()
        else:
            made.start_cluster()
        made.wait_ready(*DAG_IDS)
        yield made


def flags(cluster: ClusterUnderTest) -> Path:
    """Where triggers look for flags."""
    folder = cluster.folder / "flags"
    folder.mkdir(exist_ok=True)
    return folder


def told(cluster: ClusterUnderTest) -> list[str]:
    """What triggers have told."""
    file = flags(cluster) / "told"
    return file.read_text().splitlines() if file.exists() else []


def triggerers(cluster: ClusterUnderTest) -> list[psutil.Process]:
    """The processes that run triggers."""
    found = []
    for process in cluster.processes():
        try:
            if process.name() == "dagdeck-trigger":
                found.append(process)
        except psutil.Error:
            continue
    return found


def deferred(cluster: ClusterUnderTest, run_id: str, count: int = 1) -> list[Any]:
    """Wait until so many tasks of a run are deferred."""
    return cluster.wait_tasks(run_id, lambda tis: sum(ti.state is S.DEFERRED for ti in tis) >= count, "deferred")


def test_every_way_in_which_a_waiting_ends(cluster: ClusterUnderTest) -> None:
    run_id = cluster.trigger("timed")
    cluster.wait_run(run_id, state=DagRunState.FAILED)
    assert {name: state.value for name, state in cluster.database.states(run_id).items()} == {
        "short": "success",
        "late": "failed",
        "gives_up": "skipped",
        "success": "success",
        "skipped": "skipped",
        "raise": "failed",
        "block": "success",
        "begins": "success",
        "begins_and_ends": "success",
    }
    tasks = {ti.task_id: ti for ti in cluster.database.task_instances(run_id)}
    assert "TaskDeferralTimeout: Trigger timeout" in (tasks["late"].error or "")
    assert "TaskDeferralError: Trigger failure" in (tasks["raise"].error or "")
    assert cluster.database.xcom(run_id, "success") == "from the trigger"
    value = cluster.database.xcom(run_id, "short")
    assert (value["n"], value["try"]) == (5, 1)
    assert value["dispatch"] != cluster.database.xcom(run_id, "short", "before")
    assert cluster.database.xcom(run_id, "begins") == [6, "at last"]
    wait_until(lambda: "begins_and_ends is success, None" in told(cluster), 15, "its callback was called")
    assert b"this trigger is broken" in cluster.database.task_log(run_id, "raise")
    assert b"has been blocking the triggerer's event loop" in cluster.database.task_log(run_id, "block")


def test_a_killed_triggerer_loses_nothing_and_fires_nothing_twice(cluster: ClusterUnderTest) -> None:
    (flags(cluster) / "flag").unlink(missing_ok=True)
    run_id = cluster.trigger("flagged")
    deferred(cluster, run_id)
    wait_until(lambda: "flag begins" in told(cluster), 15, "the trigger runs")
    for process in triggerers(cluster):
        process.kill()
    before = told(cluster).count("flag begins")
    wait_until(lambda: told(cluster).count("flag begins") > before, 20, "the trigger runs again")
    [ti] = [ti for ti in cluster.database.task_instances(run_id) if ti.task_id == "waiting"]
    assert ti.state is S.DEFERRED
    (flags(cluster) / "flag").write_text("")
    cluster.wait_run(run_id)
    value = cluster.database.xcom(run_id, "after")
    assert value["event"]["variable"] == "none"
    history = [each.state.value for each in cluster.database.history(run_id) if each.ti_id == ti.ti_id]
    assert history == ["deferred", "success"]
    log = cluster.database.task_log(run_id, "waiting").decode()
    places = [log.index(text) for text in ("before the waiting", "printed: flag begins", "after the waiting")]
    assert places == sorted(places)
    assert "looking for flag of " + run_id in log


def test_who_clears_or_marks_a_waiting_task_ends_its_trigger(cluster: ClusterUnderTest) -> None:
    run_id = cluster.trigger("cancelled")
    [ti] = deferred(cluster, run_id)
    wait_until(lambda: "never begins" in told(cluster), 15, "the trigger runs")
    run = cluster.database.run(run_id)
    assert run is not None
    target = (TaskTarget(ti.ti_id, ti.task_id),)
    cluster.database.act(ClearTaskInstances(run_key=run.run_key, targets=target))
    wait_until(lambda: told(cluster)[-3:].count("never killed") == 1, 20, "the trigger was killed")
    cluster.wait_tasks(
        run_id, lambda tis: tis[0].state is S.DEFERRED and tis[0].dispatch_no != ti.dispatch_no, "deferred anew"
    )
    wait_until(lambda: told(cluster).count("never begins") == 2, 15, "the new trigger runs")
    cluster.database.act(SetTaskInstanceState(run_key=run.run_key, targets=target, state=S.SUCCESS))
    cluster.wait_run(run_id)
    wait_until(lambda: told(cluster).count("never killed") == 2, 20, "the new trigger was killed")
    assert told(cluster).count("never cleaned up") == 2


def test_many_wait_without_a_slot_and_a_stopped_worker_hands_them_over(cluster: ClusterUnderTest) -> None:
    (flags(cluster) / "all").unlink(missing_ok=True)
    run_id = cluster.trigger("many")
    deferred(cluster, run_id, 200)
    quick = cluster.trigger("timed")
    cluster.wait_tasks(quick, lambda tis: any(ti.state is S.SUCCESS for ti in tis), "others run meanwhile")
    if not cluster.is_standalone:
        # Whoever has them: each worker stops once, and the other one takes what it had.
        for name in ("worker-1", "worker-2"):
            assert cluster.daemons[name].stop() == 0
            cluster.daemons[name].start()
            cluster.wait_ready(workers=["worker-1", "worker-2"])
    (flags(cluster) / "all").write_text("")
    cluster.wait_run(run_id, timeout=90)
    ends = [each for each in cluster.database.history(run_id) if each.state is S.SUCCESS]
    assert len(ends) == 200


def test_a_trigger_that_kills_its_process_takes_no_other_along(cluster: ClusterUnderTest) -> None:
    run_id = cluster.trigger("deadly")
    cluster.wait_run(run_id, timeout=90, state=DagRunState.FAILED)
    assert {name: state.value for name, state in cluster.database.states(run_id).items()} == {
        "exit": "failed",
        "innocent": "success",
    }
    assert b"the triggerer's process died" in cluster.database.task_log(run_id, "exit")


def test_a_frozen_triggerer_goes_on(cluster: ClusterUnderTest) -> None:
    (flags(cluster) / "flag").unlink(missing_ok=True)
    run_id = cluster.trigger("flagged")
    deferred(cluster, run_id)
    wait_until(lambda: bool(triggerers(cluster)), 15, "a triggerer runs")
    frozen = triggerers(cluster)
    for process in frozen:
        process.send_signal(signal.SIGSTOP)
    (flags(cluster) / "flag").write_text("")
    for process in frozen:
        process.send_signal(signal.SIGCONT)
    cluster.wait_run(run_id)
