"""A disaster: the cluster is backed up while it works, dies, and goes on from the backup on other servers."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from dagdeck_core.states import DagRunState, TaskInstanceState
from tests.e2e.conftest import DAGS
from tests.e2e.harness import QUICK, ClusterUnderTest
from tests.e2e.promises import check_run
from tests.e2e.stamps import overlaps
from tests.support.services import MariaDb, RedisServer

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]
GUIDE = Path(__file__).parents[2] / "docs" / "operations.md"


def documented_options() -> list[str]:
    """The options of the dump as the guide has them, without those that name a server."""
    (line,) = re.findall(r"^mariadb-dump (.*) --host", GUIDE.read_text("utf-8"), re.MULTILINE)
    return str(line).split()


def dump(server: MariaDb, database: str) -> bytes:
    login = ["--host=127.0.0.1", f"--port={server.port}", "--user=dagdeck", "--password=dagdeck"]
    done = subprocess.run(
        ["mariadb-dump", *documented_options(), *login, database], capture_output=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def load(server: MariaDb, database: str, data: bytes) -> None:
    login = ["--host=127.0.0.1", f"--port={server.port}", "--user=dagdeck", "--password=dagdeck"]
    done = subprocess.run(["mariadb", *login, database], input=data, capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr.decode()


class Story:
    """What goes on in a cluster around its backup, and what must be true after the restore."""

    def __init__(self, cluster: ClusterUnderTest) -> None:
        self.cluster = cluster

    def before(self) -> None:
        """A run that has ended, and one at work."""
        self.ended = self.cluster.trigger("layers")
        self.cluster.wait_run(self.ended)
        self.ended_executions = len(self.cluster.stamps.executions(self.ended))
        self.working = self.cluster.trigger("long", {"seconds": 6})
        self.cluster.wait_running(self.working)

    def meanwhile(self) -> None:
        """Between backup and disaster: what ran ends, something new is begun."""
        self.cluster.wait_run(self.working)
        self.lost = self.cluster.trigger("layers")
        self.cluster.wait_running(self.lost)
        self.newest = max(each.dispatch_no for each in self.cluster.stamps.executions())

    def after(self) -> None:
        """The cluster has been restored and works."""
        cluster = self.cluster
        assert cluster.database.run(self.lost) is None
        cluster.wait_run(self.working, timeout=60)
        check_run(cluster, self.ended)
        assert len(cluster.stamps.executions(self.ended)) == self.ended_executions, "what had ended ran again"
        tasks = cluster.database.task_instances(self.working)
        assert {ti.state for ti in tasks} == {TaskInstanceState.SUCCESS}
        assert {ti.try_number for ti in tasks} == {1}, "the disaster used up a retry"
        again = [ti for ti in tasks if ti.dispatch_no > self.newest]
        assert again, "what ran at the backup runs again under a new dispatch"
        fresh = cluster.trigger("layers")
        cluster.wait_run(fresh, state=DagRunState.SUCCESS)
        check_run(cluster, fresh)
        every = cluster.stamps.executions()
        assert overlaps(every) == [], "two dispatches of one task instance ran at the same time"
        numbers = [(each.dispatch_no, each.run_id) for each in every]
        assert min(no for no, run in numbers if run == fresh) > self.newest, "a dispatch number came twice"
        assert "as this version needs it" in cluster.command("db", "check")


def test_a_cluster_goes_on_from_a_dump_on_another_server(
    tmp_path: Path, mariadb: MariaDb, redis_server: RedisServer
) -> None:
    url = mariadb.create_database("before")
    with ClusterUnderTest(
        tmp_path, dags=[DAGS / "stamped.py"], database_url=url, queue_url=redis_server.url(), settings=QUICK
    ) as cluster:
        cluster.start_cluster(["worker-1"])
        cluster.wait_ready("layers", "long", workers=["worker-1"])
        story = Story(cluster)
        story.before()
        data = dump(mariadb, "before")
        story.meanwhile()
        for daemon in list(cluster.daemons.values()):
            daemon.kill()
        mariadb.drop_database("before")
        redis_server.execute("FLUSHALL")
        with MariaDb() as other:
            restored = other.create_database("after")
            load(other, "after", data)
            cluster.move_database(restored)
            cluster.start_master("master")
            cluster.start_worker("worker-1")
            cluster.wait_ready("layers", "long", workers=["worker-1"])
            story.after()
            cluster.close()


def test_a_standalone_cluster_goes_on_from_its_online_backup(tmp_path: Path, standalone: ClusterUnderTest) -> None:
    cluster = standalone
    cluster.settings |= {**QUICK, "worker.slots": "8"}
    cluster.add_dag_file(DAGS / "stamped.py")
    daemon = cluster.start_standalone()
    cluster.wait_ready("layers", "long")
    story = Story(cluster)
    story.before()
    kept = tmp_path / "kept.db"
    assert "needs the key of this cluster" in cluster.command("db", "backup", str(kept))
    assert kept.stat().st_mode & 0o777 == 0o600
    story.meanwhile()
    daemon.kill()
    old = cluster.home
    cluster.database.engine.dispose()
    cluster.move_home(tmp_path / "other-home")
    cluster.home.mkdir(mode=0o700)
    shutil.copy(old / "secret.key", cluster.home)
    shutil.copy(kept, cluster.home / "dagdeck.db")
    cluster.start_standalone()
    cluster.wait_ready("layers", "long")
    story.after()
