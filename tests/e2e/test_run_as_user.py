"""Tasks as other users and tasks with limits, from the DAG file to the log, on a cluster that runs as root."""

from __future__ import annotations

import hashlib
import os
import pwd
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.e2e.conftest import DAGS
from tests.e2e.harness import QUICK, ClusterUnderTest
from tests.support.open_python import open_folder, open_python
from tests.support.runner_wheel import build_runner_wheel, make_environment

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(240),
    pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root becomes somebody else"),
]


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that everybody may enter."""
    with open_folder() as folder:
        yield folder


@pytest.fixture
def settings(place: Path) -> Mapping[str, str]:
    """Settings of a worker whose Python and code everybody may read."""
    base, _ = open_python()
    python = make_environment(place / "environment", build_runner_wheel(place / "wheels"), base=base)
    return QUICK | {"core.runner_python": str(python), "worker.bundle_cache": str(place / "cache" / "bundles")}


def test_tasks_run_as_the_user_and_within_the_limits_that_they_name(place: Path, settings: Mapping[str, str]) -> None:
    folder = place / "work"
    folder.mkdir()
    folder.chmod(0o777)
    with ClusterUnderTest(place, dags=[DAGS / "as_somebody.py"], settings=settings) as cluster:
        cluster.start_standalone()
        cluster.wait_ready("as_somebody")
        run_id = cluster.trigger("as_somebody", {"folder": str(folder), "home": str(cluster.home)})
        cluster.wait_run(run_id, timeout=90, state=None)
        states = {ti.task_id: (ti.state.value, ti.error or "") for ti in cluster.database.task_instances(run_id)}
        assert (states["nobody"][0], states["plain"][0]) == ("success", "success"), states
        found = {name: cluster.database.xcom(run_id, name) for name in ("nobody", "plain")}
        log = cluster.database.task_log(run_id, "nobody").decode()
    ids = {name: pwd.getpwnam(name).pw_uid for name in ("nobody", "root")}
    assert found["nobody"] == {"user": "nobody", "owner": ids["nobody"], "readable": [], "code": True}
    assert (found["plain"]["user"], found["plain"]["owner"]) == ("root", 0)
    assert found["plain"]["readable"], "the worker's own user reads its state"
    assert {path.name: path.stat().st_uid for path in folder.iterdir()} == {"nobody": ids["nobody"], "plain": 0}
    assert "this is nobody, and in a child:\n" in log
    assert log.splitlines().count("nobody") == 1
    for task_id, words in (
        ("root", "worker.run_as_users"),
        ("unknown", "there is no user 'no-such-user' on this machine"),
        ("big", "its limit is 150 MB, by 'memory_limit' of its executor_config"),
        ("busy", "of CPU time and was ended: its limit is 0.5 s"),
    ):
        assert states[task_id][0] == "failed", states
        assert words in states[task_id][1]


def test_a_prying_task_of_another_user_finds_nothing_of_a_worker_that_runs_as_root(
    place: Path, settings: Mapping[str, str]
) -> None:
    """The same search as in test_prying_task.py, and all files of the state folder, the keys among them."""
    everybody = {**settings, "core.default_impersonation": "nobody"}
    with ClusterUnderTest(place, dags=[DAGS / "prying.py"], settings=everybody) as cluster:
        cluster.start_standalone()
        cluster.wait_ready("prying")
        keys = [(cluster.home / name).read_text().strip() for name in ("secret.key", "bundle_signing.key")]
        assert len(keys[0]) == 44
        digest = hashlib.sha256(keys[0].encode()).hexdigest()
        run_id = cluster.trigger("prying", {"sha256": digest, "mark": cluster.mark, "home": str(cluster.home)})
        cluster.wait_run(run_id, timeout=90)
        found = cluster.database.xcom(run_id, "look")
    assert found["found"] == [], found
    assert found["traceable"] == []
    assert set(found["readable"]) <= {"dagdeck-runner"}


def test_a_folder_that_the_user_cannot_enter_is_named(place: Path, settings: Mapping[str, str]) -> None:
    closed = place / "closed"
    closed.mkdir(mode=0o700)
    inside = {**settings, "worker.bundle_cache": str(closed / "bundles")}
    with ClusterUnderTest(place, dags=[DAGS / "as_somebody.py"], settings=inside) as cluster:
        cluster.start_standalone()
        cluster.wait_ready("as_somebody")
        run_id = cluster.trigger("as_somebody", {"folder": str(place), "home": str(place)})
        cluster.wait_run(run_id, timeout=90, state=None)
        errors = {ti.task_id: ti.error or "" for ti in cluster.database.task_instances(run_id)}
    assert errors["nobody"].startswith("RunAsUserError: run_as_user: the user 'nobody' cannot enter")
    assert "worker.bundle_cache" in errors["nobody"]
