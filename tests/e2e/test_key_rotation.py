"""A new key while the cluster runs: tasks that read and write encrypted values all the time do not notice."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path

import pytest

from dagdeck_client.requests.admin import create_connection, create_variable, get_variable
from tests.e2e.conftest import DAGS
from tests.e2e.daemon import wait_until
from tests.e2e.harness import QUICK, ClusterUnderTest

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]


def test_a_running_cluster_does_not_notice(tmp_path: Path) -> None:
    with ClusterUnderTest(tmp_path, dags=[DAGS / "keyed.py"], settings=QUICK) as cluster:
        cluster.start_standalone()
        cluster.wait_ready("keyed")
        key_file = cluster.home / "secret.key"
        before = key_file.read_text()
        with cluster.client() as client:
            client.send(create_variable("known", "as it was"))
            client.send(create_connection("known", "http", password="a password"))
            run_id = cluster.trigger("keyed")
            cluster.wait_tasks(run_id, lambda tasks: any(ti.state == "running" for ti in tasks), "it runs")
            told = cluster.command("secrets", "rotate-key")
            assert "values are encrypted anew" in told
            assert key_file.read_text() != before
            cluster.wait_run(run_id, timeout=60)
            assert client.send(get_variable("own_1")).value == "39"
            # A process that is started again by the supervisor, which read its settings before the change.
            os.kill(int(_api_starts(cluster)[-1]), signal.SIGKILL)
            wait_until(lambda: len(_api_starts(cluster)) == 2, 30, "the API is started again")
            assert client.send(get_variable("known")).value == "as it was"
        told = cluster.command("secrets", "status")
        assert "workers without the newest key: none" in told
        assert "variable: 4 values under the newest key, 0 under others" in told


def _api_starts(cluster: ClusterUnderTest) -> list[str]:
    """Process ids of the API, one for each of its starts."""
    return re.findall(r"api\[(\d+)\].*: listening on", cluster.daemons["standalone"].log())
