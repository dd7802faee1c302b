"""A standalone cluster without fork, inherited pipes and signals between its processes, as on Windows.

It starts, runs a DAG, survives a killed daemon, stops in good order, and nothing of it outlives a killed supervisor.
"""

from __future__ import annotations

import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from dagdeckd.windows_service import STOP_WITH_INPUT, ServiceProcess
from tests.e2e.harness import QUICK, ClusterUnderTest, wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]
FILE = """
from dagdeck import dag, task

@dag(schedule=None)
def counting():
    @task
    def numbers():
        return [1, 2, 3]

    @task
    def double(number):
        return number * 2

    @task
    def total(numbers):
        return sum(numbers)

    total(double.expand(number=numbers()))

counting()
"""
HANGING = """
import pathlib, time
from dagdeck import DAG
pathlib.Path({mark!r}).touch()
time.sleep(3600)
"""


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[ClusterUnderTest]:
    settings = {**QUICK, "supervisor.portable_processes": "true", "dag_processor.parse_timeout": "120"}
    with ClusterUnderTest(tmp_path, settings=settings) as made:
        (made.dags_folder / "counting.py").write_text(FILE)
        yield made


def test_a_cluster_over_standard_streams(cluster: ClusterUnderTest) -> None:
    daemon = cluster.start_standalone()
    cluster.wait_ready("counting")
    for name in ("api", "scheduler", "dag-processor", "worker"):
        command = daemon.part(name).cmdline()
        assert any(word.startswith("--over-stdio=") for word in command), command
        assert not any("-fd=" in word for word in command), command
    run_id = cluster.trigger("counting")
    cluster.wait_run(run_id)
    assert cluster.database.xcom(run_id, "total") == 12

    scheduler = daemon.part("scheduler").pid
    psutil.Process(scheduler).kill()
    wait_until(lambda: "it is started again" in daemon.log(), 20, "the supervisor sees that the scheduler has ended")
    cluster.wait_run(cluster.trigger("counting"))

    processes = daemon.children(recursive=True)
    assert daemon.stop() == 0
    assert not _alive(processes)
    assert "killing" not in daemon.log()
    assert "Traceback" not in daemon.log()


def test_nothing_outlives_a_killed_supervisor(cluster: ClusterUnderTest) -> None:
    mark = cluster.folder / "hangs"
    (cluster.dags_folder / "hanging.py").write_text(HANGING.format(mark=str(mark)))
    daemon = cluster.start_standalone()
    wait_until(mark.exists, 60, "a file is being parsed")
    wait_until(lambda: "takes" in daemon.log(), 60, "the worker works")
    processes = daemon.children(recursive=True)
    roles = " ".join(word for process in processes for word in process.cmdline())
    assert "dagdeck_master.dag_processor.child" in roles
    assert "dagdeck_worker.runner" in roles
    daemon.signal(signal.SIGKILL)
    wait_until(lambda: not _alive(processes), 20, "all other processes see that and end")


def test_a_master_is_told_to_stop_by_the_end_of_its_input(tmp_path: Path) -> None:
    """As below a Windows service; all its processes are then of the portable form by themselves."""
    log = tmp_path / "master.log"
    with ClusterUnderTest(tmp_path, database_url=f"sqlite:///{tmp_path / 'dagdeck.db'}", settings=QUICK) as cluster:
        cluster.command("db", "upgrade")
        command = [sys.executable, "-m", "dagdeckd", "master", STOP_WITH_INPUT]
        service = ServiceProcess(command, log, cluster.environment())
        wait_until(lambda: "scheduler, dag-processor and api are ready" in log.read_text(), 60, "the master is ready")
        with socket.create_connection(("127.0.0.1", cluster.api_port), timeout=10):
            pass
        processes = cluster.processes()
        assert sum(any(word.startswith("--over-stdio=") for word in each.cmdline()) for each in processes) == 3
        assert service.stop(30) == 0
        assert not _alive(processes)
        assert "Traceback" not in log.read_text()


def _alive(processes: list[psutil.Process]) -> list[psutil.Process]:
    return [each for each in processes if each.is_running() and each.status() != psutil.STATUS_ZOMBIE]
