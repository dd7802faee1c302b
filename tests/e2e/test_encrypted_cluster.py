"""A whole cluster whose database and queue take encrypted connections with a client's certificate, and no others."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dagdeck_core.states import TaskInstanceState
from tests.e2e.conftest import DAGS
from tests.e2e.harness import QUICK, ClusterUnderTest
from tests.support.private_authority import PrivateAuthority
from tests.support.services import MariaDb, RedisServer

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(150)]


def test_everything_runs_over_tls(tmp_path: Path) -> None:
    authority = PrivateAuthority(tmp_path)
    server, mine = authority.issue("server"), authority.issue("daemon")
    files = {"tls_ca": authority.file, "tls_certificate": mine.certificate, "tls_key": mine.key}
    settings = {f"{section}.{name}": str(path) for section in ("database", "queue") for name, path in files.items()}
    database = f"encrypted_{os.getpid()}"
    with (
        MariaDb(
            options=(f"--ssl-ca={authority.file}", f"--ssl-cert={server.certificate}", f"--ssl-key={server.key}")
        ) as mariadb,
        RedisServer(
            tls=(
                *("--tls-cert-file", str(server.certificate), "--tls-key-file", str(server.key)),
                *("--tls-ca-cert-file", str(authority.file), "--tls-auth-clients", "yes"),
            )
        ) as queue,
        ClusterUnderTest(
            tmp_path,
            dags=[DAGS / "mapped.py", DAGS / "deferring.py"],
            database_url=mariadb.create_database(database),
            queue_url=queue.url(),
            settings=QUICK | settings,
        ) as cluster,
    ):
        mariadb.execute(
            "CREATE USER 'daemon'@'127.0.0.1' IDENTIFIED BY 'pw' REQUIRE X509; "
            f"GRANT ALL PRIVILEGES ON `{database}`.* TO 'daemon'@'127.0.0.1'"
        )
        # The test itself reads with the account that needs no certificate.
        cluster.settings["database.url"] = mariadb.url(database, user="daemon", password="pw")
        cluster.start_cluster(workers=("worker-1",))
        cluster.wait_ready("mapped", "timed", workers=["worker-1"])
        runs = [cluster.trigger(dag_id) for dag_id in ("mapped", "timed")]
        cluster.wait_run(runs[0], timeout=60)
        cluster.wait_run(runs[1], timeout=60, state=None)
        assert cluster.database.states(runs[1])["short"] is TaskInstanceState.SUCCESS
        used = queue.execute("INFO", "commandstats")
        assert b"cmdstat_xreadgroup" in used
        for daemon in cluster.daemons.values():
            assert "cannot be used" not in daemon.log()
