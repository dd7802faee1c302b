"""Users' code runs in the Python that the setting names: DAG files are parsed there, and tasks run there."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.harness import QUICK, ClusterUnderTest
from tests.support.runner_wheel import build_runner_wheel, make_environment, site_packages

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

DAG_FILE = """
import only_in_users_python
from airflow.sdk import dag, task


@dag
def another_python():
    @task
    def where():
        import importlib.util
        import sys

        return [sys.executable, only_in_users_python.__file__, importlib.util.find_spec("dagdeck_io") is None]

    where()


another_python()
"""


def test_a_dag_imports_what_only_users_python_has(tmp_path: Path) -> None:
    python = make_environment(tmp_path / "environment", build_runner_wheel(tmp_path / "wheels"))
    (site_packages(python) / "only_in_users_python.py").touch()
    settings = {**QUICK, "core.runner_python": str(python)}
    with ClusterUnderTest(tmp_path, settings=settings) as cluster:
        (cluster.dags_folder / "another_python.py").write_text(DAG_FILE, encoding="utf-8")
        cluster.start_standalone()
        cluster.wait_ready("another_python")
        cluster.wait_run(cluster.trigger("another_python", run_id="mine"))
        executable, module, is_small = cluster.database.xcom("mine", "where")
    assert executable == str(python)
    assert module == str(site_packages(python) / "only_in_users_python.py")
    assert is_small, "the runner package must not bring the daemons' adapters"
