"""A plugin of a bundle on real processes: its macro in a task, its listeners told of the task and of the run."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.conftest import DAGS
from tests.e2e.harness import QUICK, ClusterUnderTest, wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

PLUGIN = """
import os, sys
from airflow.listeners import hookimpl
from airflow.plugins_manager import AirflowPlugin

def shout(text):
    return text.upper() + "!"

def note(*words):
    with open(os.environ["STAMP_FILE"] + ".heard", "a") as notes:
        notes.write(" ".join(str(word) for word in words) + "\\n")

@hookimpl
def on_task_instance_success(task_instance):
    note(task_instance.task_id, "succeeded in", task_instance.run_id)

@hookimpl
def on_dag_run_running(dag_run):
    note("run", dag_run.state, dag_run.run_id, dag_run.queued_at <= dag_run.start_date)

@hookimpl
def on_dag_run_success(dag_run, msg):
    note("run", dag_run.state, dag_run.run_id, msg)

@hookimpl
def on_asset_event_emitted(asset_event):
    note("event of", asset_event.asset.name, "from", asset_event.source_task_id, asset_event.extra)

@hookimpl
def on_asset_created(asset):
    note("new asset", asset.uri)

class HeardTools(AirflowPlugin):
    name = "heard_tools"
    macros = [shout]
    listeners = [sys.modules[__name__]]
"""


def test_a_plugin_is_heard(tmp_path: Path) -> None:
    with ClusterUnderTest(tmp_path, dags=[DAGS / "heard.py"], settings=QUICK) as cluster:
        (cluster.dags_folder / "plugins").mkdir()
        (cluster.dags_folder / "plugins" / "heard_tools.py").write_text(PLUGIN)
        cluster.start_standalone()
        cluster.wait_ready("heard")
        run_id = cluster.trigger("heard")
        cluster.wait_run(run_id)
        assert cluster.database.xcom(run_id, "speak") == "HEARD!"
        notes = Path(f"{cluster.stamps.path}.heard")
        wait_until(lambda: notes.exists() and len(notes.read_text().splitlines()) == 5, 20, "all listeners were told")
        assert sorted(notes.read_text().splitlines()) == sorted(
            [
                f"run running {run_id} True",
                f"speak succeeded in {run_id}",
                f"run success {run_id} success",
                "new asset s3://heard/it",
                "event of heard from speak {}",
            ]
        )
