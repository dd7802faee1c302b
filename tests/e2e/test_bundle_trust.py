"""Code that only the database vouches for does not run; the master's key can be replaced while a cluster runs."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import sqlalchemy as sa

from dagdeck_core.ports import BundleFile
from dagdeck_core.states import TaskInstanceState
from dagdeck_io.bundles.manifest import make_manifest
from dagdeck_io.bundles.signing import PUBLIC_FILE, SigningKey, fingerprint
from dagdeck_io.db.engine import open_database
from dagdeck_io.db.tables import dag_version
from dagdeck_io.secrets import generate_key
from tests.e2e.daemon import wait_until
from tests.e2e.harness import QUICK, ClusterUnderTest

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

DAG_FILE = """
from airflow.sdk import dag, task


@dag
def honest():
    @task
    def act(dag_run=None):
        open(dag_run.conf["file"], "a").write("{who}")

    act()


honest()
"""


def test_code_that_an_intruder_put_into_the_database_does_not_run(tmp_path: Path) -> None:
    done = tmp_path / "done"
    with ClusterUnderTest(tmp_path, settings=QUICK) as cluster:
        (cluster.dags_folder / "honest.py").write_text(DAG_FILE.replace("{who}", "honest"), encoding="utf-8")
        cluster.start_standalone()
        cluster.wait_ready("honest")
        key = plant(cluster, DAG_FILE.replace("{who}", "planted").encode())
        run_id = cluster.trigger("honest", {"file": str(done)})
        (task,) = cluster.wait_tasks(
            run_id, lambda found: any(ti.state == TaskInstanceState.UP_FOR_RESCHEDULE for ti in found), "it goes back"
        )
        assert f"is signed by the key {fingerprint(key.public_key)}" in str(task.error)
        assert "no try is used up" in cluster.database.task_log(run_id, "act").decode()
    assert not done.exists()


def plant(cluster: ClusterUnderTest, data: bytes) -> SigningKey:
    """Another version of the DAG file, signed by a key of one's own, for the stored DAG version; the key."""
    key = SigningKey.make()
    file = BundleFile(path="honest.py", sha256=hashlib.sha256(data).hexdigest(), size=len(data))
    manifest = make_manifest("dags-folder", [file])
    database = open_database(str(cluster.database.engine.url), key=generate_key())
    try:
        store = database.bundle_store()
        store.put(manifest, lambda path: data)
        store.sign(manifest.name, manifest.version, key.sign(manifest.name, manifest.version))
        with database.writing() as connection:
            changed = connection.execute(sa.update(dag_version).values(bundle_version=manifest.version))
            assert changed.rowcount == 1
    finally:
        database.close()
    return key


def test_the_key_is_replaced_while_the_cluster_runs(tmp_path: Path) -> None:
    done = tmp_path / "done"
    with ClusterUnderTest(tmp_path, settings=QUICK) as cluster:
        file = cluster.dags_folder / "honest.py"
        file.write_text(DAG_FILE.replace("{who}", "1"), encoding="utf-8")
        cluster.start_standalone()
        cluster.wait_ready("honest")
        before = (cluster.home / PUBLIC_FILE).read_text().strip()
        told = cluster.command("bundle-keys", "rotate")
        assert before in told
        assert (cluster.home / PUBLIC_FILE).read_text().strip() in told.replace(before, "")
        cluster.wait_run(cluster.trigger("honest", {"file": str(done)}))
        versions = sa.select(dag_version.c.version_id)
        file.write_text(DAG_FILE.replace("{who}", "2"), encoding="utf-8")
        wait_until(lambda: len(cluster.database.rows(versions)) == 2, 20, "the new version is there")
        cluster.wait_run(cluster.trigger("honest", {"file": str(done)}))
        assert "not signed   0 of 2" in cluster.command("bundle-keys", "show")
    assert done.read_text() == "12"
