"""Master and worker as services: ready when they are, watched by their loops, one JSON log."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.e2e.daemon import Daemon, wait_until
from tests.e2e.harness import ADMIN_PASSWORD, QUICK, ClusterUnderTest
from tests.support.notice_socket import NoticeSocket, notice_socket

pytestmark = pytest.mark.e2e
WATCHDOG = 6.0
PRYING = """
import os
from dagdeck import dag, task

@dag(schedule=None)
def prying():
    @task
    def look():
        assert not [name for name in os.environ if name.startswith(("NOTIFY_", "WATCHDOG_"))], os.environ
    look()

prying()
"""


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[ClusterUnderTest]:
    database = f"sqlite:///{tmp_path / 'dagdeck.db'}"
    settings = {**QUICK, "logging.format": "json"}
    with ClusterUnderTest(tmp_path, database_url=database, settings=settings) as made:
        (made.dags_folder / "prying.py").write_text(PRYING)
        made.command("db", "upgrade")
        made.command("users", "add", "admin", "--role", "admin", "--password-stdin", given=ADMIN_PASSWORD + "\n")
        yield made


def as_service(daemon: Daemon, manager: NoticeSocket) -> Daemon:
    """The daemon, which a service manager starts."""
    daemon.environment |= manager.environment(WATCHDOG)
    daemon.start()
    return daemon


def child(daemon: Daemon, name: str) -> psutil.Process:
    return next(each for each in daemon.children() if each.name() == f"dagdeck-{name}"[:15])


def test_master_and_worker_as_services(cluster: ClusterUnderTest, tmp_path: Path) -> None:
    (tmp_path / "of-master").mkdir()
    (tmp_path / "of-worker").mkdir()
    home = tmp_path / "home-w"
    home.mkdir()
    with notice_socket(tmp_path / "of-master") as of_master, notice_socket(tmp_path / "of-worker") as of_worker:
        master = as_service(cluster.daemon("master", "master"), of_master)
        own = {"worker.name": "w", "paths.home": str(home), "worker.slots": "2"}
        worker = as_service(cluster.daemon("w", "worker", settings=own), of_worker)
        for manager, shown in ((of_master, "dag-processor, scheduler, api are ready"), (of_worker, "the worker works")):
            manager.until(lambda manager=manager: manager.count("READY"), "ready", 60)  # type: ignore[misc]
            ready = [each for each in manager.notices if "READY" in each]
            assert ready == [{"READY": "1", "STATUS": shown}]
        # What was said to be ready is: requests are answered, a run is carried out.
        cluster.wait_ready("prying", workers=["w"])
        cluster.wait_run(cluster.trigger("prying"))
        for manager in (of_master, of_worker):
            before = manager.count("WATCHDOG")
            manager.until(lambda manager=manager, n=before: manager.count("WATCHDOG") >= n + 2, "life")  # type: ignore[misc]
        _freeze_the_scheduler(master, of_master)
        worker.signal(signal.SIGTERM)
        of_worker.until(lambda: of_worker.count("STOPPING"), "the worker says that it stops")
        wait_until(lambda: worker.exit_code == 0, 30, "the worker ends")
        master.signal(signal.SIGTERM)
        of_master.until(lambda: of_master.count("STOPPING"), "the master says that it stops")
        wait_until(lambda: master.exit_code == 0, 30, "the master ends")
    _all_lines_are_json(cluster)


def _freeze_the_scheduler(master: Daemon, manager: NoticeSocket) -> None:
    """While the scheduler stands still, the master does not say that all is well."""
    scheduler = child(master, "scheduler")
    os.kill(scheduler.pid, signal.SIGSTOP)
    manager.until(lambda: manager.read()[-1].get("STATUS") == "nothing is heard of scheduler", "it is noticed")
    assert manager.notices[-1] == {"STATUS": "nothing is heard of scheduler"}
    before = manager.count("WATCHDOG")
    os.kill(scheduler.pid, signal.SIGCONT)
    manager.until(lambda: manager.count("WATCHDOG") > before, "life again")


def _all_lines_are_json(cluster: ClusterUnderTest) -> None:
    processes = set()
    for name in ("master", "w"):
        lines = [line for line in cluster.daemons[name].log_path.read_text().splitlines() if not line.startswith("---")]
        told = [json.loads(line) for line in lines]
        assert all({"time", "level", "process", "message"} <= each.keys() for each in told)
        processes |= {each["process"] for each in told}
    assert {"supervisor", "scheduler", "dag-processor", "api", "worker"} <= processes
