"""Bad tasks and bad surroundings, on real processes: a clear error, nothing lost, and everyone else goes on."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from dagdeck_client.requests import admin
from dagdeck_core.states import DagRunState
from tests.e2e.conftest import DAGS
from tests.e2e.harness import QUICK, ClusterUnderTest, wait_until
from tests.support.services import MariaDb, RedisServer

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

MB = 1024 * 1024
LOG_LIMIT = 4 * MB
SECRET = "correct-horse-battery-staple"
DAG_IDS = (
    "prints_100_mb",
    "returns_50_mb",
    "returns_no_json",
    "exits_hard",
    "crashes",
    "ignores_sigterm",
    "leaves_things_behind",
    "leaks_memory",
    "tells_secrets",
    "well_behaved",
)


@pytest.fixture(scope="module")
def bad_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClusterUnderTest]:
    """A standalone cluster that has the misbehaving DAGs, each triggered once."""
    settings = {
        **QUICK,
        "logs.max_bytes_per_try": str(LOG_LIMIT),
        "worker.memory_growth_limit": str(64 * MB),
        "worker.term_grace": "1",
    }
    folder = tmp_path_factory.mktemp("bad")
    with ClusterUnderTest(folder, dags=[DAGS / "misbehaving.py"], settings=settings) as cluster:
        cluster.start_standalone()
        cluster.wait_ready(*DAG_IDS)
        with cluster.client() as client:
            client.send(admin.create_variable("api_password", SECRET))
        for dag_id in DAG_IDS:
            cluster.trigger(dag_id, run_id=dag_id)
        yield cluster


def failure(cluster: ClusterUnderTest, run_id: str) -> str:
    """The error of a run's only task, which has failed."""
    cluster.wait_run(run_id, state=DagRunState.FAILED)
    [task] = cluster.database.task_instances(run_id)
    assert task.try_number == 1
    return task.error or ""


# ------------------------------------------------------------ tasks


def test_flood_is_cut_in_the_middle(bad_site: ClusterUnderTest) -> None:
    bad_site.wait_run("prints_100_mb", timeout=60)
    log = bad_site.database.task_log("prints_100_mb", "flood")
    assert len(log) <= LOG_LIMIT + 64 * 1024
    assert b"first line of the flood" in log
    assert b"last line of the flood" in log
    assert bad_site.database.xcom("prints_100_mb", "flood") == "done"


def test_too_large_a_result_fails_with_both_sizes(bad_site: ClusterUnderTest) -> None:
    error = failure(bad_site, "returns_50_mb")
    assert "50,000,002 bytes" in error
    assert "4,194,304 bytes" in error


def test_result_that_is_no_json_fails_and_says_where(bad_site: ClusterUnderTest) -> None:
    error = failure(bad_site, "returns_no_json")
    assert "lock" in error
    assert "cannot be passed between tasks" in error


def test_hard_exit_is_the_tasks_failure_and_keeps_its_log(bad_site: ClusterUnderTest) -> None:
    assert "7" in failure(bad_site, "exits_hard")
    assert b"about to leave" in bad_site.database.task_log("exits_hard", "vanish")


def test_crash_is_the_tasks_failure(bad_site: ClusterUnderTest) -> None:
    assert "SIGSEGV" in failure(bad_site, "crashes")


def test_task_that_ignores_everything_is_killed_with_its_children(bad_site: ClusterUnderTest) -> None:
    assert "execution_timeout" in failure(bad_site, "ignores_sigterm")
    pids = noted_pids(bad_site, "resisting")
    assert len(pids) == 2
    wait_until(lambda: not any(map(is_alive, pids)), 5, "it and its child are dead")


def test_what_a_task_leaves_behind_is_gone_before_the_next(bad_site: ClusterUnderTest) -> None:
    bad_site.wait_run("leaves_things_behind")
    pids = noted_pids(bad_site, "left")
    assert len(pids) == 2
    wait_until(lambda: not any(map(is_alive, pids)), 5, "its children are dead")
    same_process, variable, threads = bad_site.database.xcom("leaves_things_behind", "look_around")
    assert variable is None
    assert threads == 1
    assert not same_process


def test_process_that_grew_is_replaced(bad_site: ClusterUnderTest) -> None:
    bad_site.wait_run("leaks_memory")
    assert bad_site.database.xcom("leaks_memory", "fresh") == [False, False]


def test_secrets_are_masked_in_log_and_error(bad_site: ClusterUnderTest) -> None:
    error = failure(bad_site, "tells_secrets")
    log = bad_site.database.task_log("tells_secrets", "blab")
    assert SECRET.encode() not in log
    assert b"the password is ***!" in log
    assert error
    assert SECRET not in error
    assert SECRET not in bad_site.logs()


def test_neighbours_are_not_harmed(bad_site: ClusterUnderTest) -> None:
    bad_site.wait_run("well_behaved")
    run_id = bad_site.trigger("well_behaved")
    bad_site.wait_run(run_id)
    assert f"hello from {run_id}".encode() in bad_site.database.task_log(run_id, "greet")
    bad_site.check_running()


def noted_pids(cluster: ClusterUnderTest, what: str) -> list[int]:
    """The processes that a task wrote down."""
    notes = Path(f"{cluster.stamps.path}.notes").read_text().splitlines()
    return [int(pid) for line in notes if line.startswith(what) for pid in line.split()[1:]]


def is_alive(pid: int) -> bool:
    """Whether a process exists and is no zombie."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


# ------------------------------------------------------------ surroundings


def test_port_in_use_is_named_at_once(standalone: ClusterUnderTest) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        daemon = standalone.start_standalone({"api.port": str(port)})
        assert daemon.wait(15) == 3
    assert f"port {port} on 127.0.0.1 is in use by process {os.getpid()}" in daemon.log()
    assert "api.port" in daemon.log()


@pytest.mark.parametrize("command", ["master", "worker"])
def test_wrong_database_password_ends_the_daemon(mariadb: MariaDb, tmp_path: Path, command: str) -> None:
    mariadb.create_database(f"password_{command}")
    url = mariadb.url(f"password_{command}", password="not-the-password")
    with ClusterUnderTest(tmp_path, database_url=url, settings={**QUICK, "queue.url": "off"}) as cluster:
        daemon = cluster.daemon(command, command)
        daemon.start()
        assert daemon.wait(30) == 3, daemon.log()
        assert "password" in daemon.log()
        assert "not-the-password" not in daemon.log()
        assert "Traceback" not in daemon.log()


def test_daemons_wait_for_servers_that_are_down_at_start(
    mariadb: MariaDb, redis_server: RedisServer, tmp_path: Path
) -> None:
    url = mariadb.create_database("down_at_start")
    dags = [DAGS / "misbehaving.py"]
    settings = {**QUICK, "supervisor.restart_limit": "100"}
    with ClusterUnderTest(
        tmp_path, dags=dags, database_url=url, queue_url=redis_server.url(), settings=settings
    ) as cluster:
        cluster.command("db", "upgrade")
        try:
            mariadb.stop()
            redis_server.stop()
            cluster.start_master()
            cluster.start_worker("worker-1")
            time.sleep(3)
            cluster.check_running()
        finally:
            mariadb.start()
            redis_server.start()
        cluster.wait_ready("well_behaved", workers=["worker-1"])
        cluster.wait_run(cluster.trigger("well_behaved"))
        assert "Traceback" not in cluster.logs()


def test_full_disk_is_said_and_the_run_ends_when_there_is_room_again(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "48m") as disk:
        with ClusterUnderTest(tmp_path, dags=[DAGS / "misbehaving.py"], settings=QUICK) as cluster:
            cluster.move_home(disk / "home")
            cluster.start_standalone()
            cluster.wait_ready("well_behaved", "prints_100_mb")
            before = cluster.trigger("prints_100_mb")
            cluster.wait_tasks(before, lambda tis: any(ti.state == "running" for ti in tis), "it runs")
            ballast = disk / "ballast"
            fill(ballast)
            wait_until(lambda: "full" in cluster.daemons["standalone"].log(), 20, "the full disk is said")
            ballast.unlink()
            cluster.wait_run(before, timeout=40)
            cluster.wait_run(cluster.trigger("well_behaved"))
            assert "Traceback" not in cluster.daemons["standalone"].log()


@contextmanager
def small_disk(path: Path, size: str) -> Iterator[Path]:
    """A file system of its own; the test is skipped where none can be mounted."""
    path.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(path)], capture_output=True)
    if mounted.returncode:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.decode().strip()}")
    try:
        yield path
    finally:
        subprocess.run(["umount", "-l", str(path)], check=True)


def fill(path: Path) -> None:
    """Write until nothing more fits."""
    with path.open("wb", buffering=0) as file:
        for size in (1 << 20, 4096, 1):
            try:
                while True:
                    file.write(b"\0" * size)
            except OSError:
                continue


_OTHER_VERSION = """
import sys
from dagdeck_core import wire
wire.WIRE_VERSION += 1
import dagdeckd.cli
sys.exit(dagdeckd.cli.run(sys.argv[1:]))
"""


def test_worker_of_another_wire_version_gets_nothing_and_loses_nothing(
    mariadb: MariaDb, redis_server: RedisServer, tmp_path: Path
) -> None:
    url = mariadb.create_database("versions")
    with ClusterUnderTest(
        tmp_path, dags=[DAGS / "misbehaving.py"], database_url=url, queue_url=redis_server.url(), settings=QUICK
    ) as cluster:
        cluster.command("db", "upgrade")
        cluster.start_master()
        cluster.start_worker("fitting")
        cluster.wait_ready("well_behaved", workers=["fitting"])
        log_path = cluster.logs_folder / "newer.log"
        with log_path.open("wb") as log:
            newer = subprocess.Popen(
                [sys.executable, "-c", _OTHER_VERSION, "worker"],
                env=cluster.environment({"worker.name": "newer"}),
                stdout=log,
                stderr=log,
            )
        try:
            told = "worker newer gets no work: it speaks wire version 2 and this scheduler 1"
            wait_until(lambda: told in cluster.daemons["master"].log(), 20, "the scheduler says why")
            began = time.monotonic()
            for _ in range(8):
                run_id = cluster.trigger("well_behaved")
                cluster.wait_run(run_id)
                [task] = cluster.database.task_instances(run_id)
                [move] = [m for m in cluster.database.moves(run_id) if m.to_state == "queued" and m.ti_id]
                assert move.dispatch_no == task.dispatch_no
            # None of their hints went to the worker that cannot read them, and so had to be offered again.
            assert time.monotonic() - began < 8 * float(QUICK["scheduler.reoffer_after"]) / 2
            assert newer.poll() is None
        finally:
            newer.kill()
            newer.wait()
