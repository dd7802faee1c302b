"""`dagdeck dags test` and `dagdeck dags migrate-check`: DAG files tried out on this machine."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from dagdeck_client.cli.root import run
from dagdeck_core.errors import UserError
from dagdeck_task import dags_test
from dagdeck_task.migration import files

AIRFLOW_2 = """
    from datetime import datetime, timedelta
    from airflow import DAG
    from airflow.operators.bash_operator import BashOperator
    from airflow.operators.python import PythonOperator

    def work(execution_date, **context):
        print("working on", context["ds"], context["params"]["size"])
        return {"day": execution_date.day}

    with DAG("old_style", start_date=datetime(2024, 1, 1), schedule_interval="@daily", params={"size": 3}) as dag:
        first = PythonOperator(task_id="first", python_callable=work, provide_context=True)
        first >> BashOperator(task_id="second", bash_command="test {{ yesterday_ds }} = 2024-02-01")
"""
SEVERAL = """
    from airflow.sdk import DAG, task

    for name in ("one", "two"):
        with DAG(name):

            @task
            def check(dag_run=None):
                assert dag_run.conf.get("ok", True)

            check()
"""


@pytest.fixture(autouse=True)
def own_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """What loading a file adds to sys.path is gone afterwards."""
    monkeypatch.setattr(sys, "path", sys.path[:])


def write(folder: Path, name: str, text: str) -> Path:
    """A DAG file."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(textwrap.dedent(text))
    return path


def program(module: str, arguments: Sequence[str], cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a program of ours as the command line does."""
    command = [sys.executable, "-m", module, *arguments]
    return subprocess.run(command, cwd=cwd, text=True, capture_output=True, timeout=120, check=False)


def test_a_file_is_run_with_its_logs_and_a_summary(tmp_path: Path) -> None:
    path = write(tmp_path, "old.py", AIRFLOW_2)
    done = program("dagdeck_task.dags_test", [str(path), "--logical-date", "2024-02-02"], tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "working on 2024-02-02 3" in done.stdout
    assert "old.py:4: RemovedInAirflow3Warning: airflow.operators.bash_operator.BashOperator is from" in done.stderr
    assert done.stdout.rstrip().endswith("first   success\nsecond  success\n\ndag old_style: success")


def test_data_stand_alone_on_standard_output(tmp_path: Path) -> None:
    write(tmp_path, "several.py", SEVERAL)
    arguments = ["two", "--folder", str(tmp_path), "--json", "--conf", '{"ok": false}']
    done = program("dagdeck_task.dags_test", arguments, tmp_path)
    found: dict[str, Any] = json.loads(done.stdout)
    assert (found["dag_id"], found["state"], found["tasks"][0]["state"]) == ("two", "failed", "failed")
    assert "AssertionError" in found["tasks"][0]["error"]
    assert "Ended as failed" in done.stderr
    assert done.returncode == 1


@pytest.mark.parametrize(
    ("target", "dag_id", "message"),
    [
        ("several.py", None, "this file has several DAGs.*Name one of one, two"),
        ("several.py", "three", "there is no dag 'three'.*There are: one, two"),
        ("broken.py", None, "cannot be loaded: .*line 2: ZeroDivisionError"),
        ("empty.py", None, "there is no DAG"),
        ("missing.py", None, "there is no such file"),
        ("nobody", None, "no file that can be loaded has dag 'nobody'; .*broken.py"),
    ],
)
def test_a_dag_that_cannot_be_run_is_told_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: str, dag_id: str | None, message: str
) -> None:
    write(tmp_path, "several.py", SEVERAL)
    write(tmp_path, "broken.py", "# a dag of airflow\n1 / 0\n")
    write(tmp_path, "empty.py", "")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=f"(?s){message}"):
        dags_test.find_dag(target, dag_id, str(tmp_path))


def test_the_command_line_passes_everything_on(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path, "several.py", SEVERAL)
    arguments = ["dags", "test", str(path), "one", "--conf", '{"ok": true}', "--mark-success", "nothing", "-o", "json"]
    assert run(arguments) == 0
    assert json.loads(capfd.readouterr().out)["conf"] == {"ok": True}
    assert run(["dags", "test", str(path), "one", "-o", "yaml"]) == 2


def test_a_file_runs_as_a_script_for_debuggers(tmp_path: Path) -> None:
    text = textwrap.dedent(SEVERAL) + '\nif __name__ == "__main__":\n    print("ended:", check.__module__)\n'
    path = write(tmp_path, "several.py", text)
    done = program("dagdeck.airflow_layer", [str(path)], tmp_path)
    assert done.stdout == "ended: __main__\n", done.stderr


def test_breakpoints_are_reached_in_the_process_that_was_started(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "stopping.py",
        """
        import os
        import sys
        from airflow.sdk import DAG, task

        started = os.getpid()
        sys.breakpointhook = lambda: print("stopped", os.getpid() == started)

        with DAG("stopping"):

            @task
            def stop():
                breakpoint()

            stop()
        """,
    )
    assert "stopped True" in program("dagdeck_task.dags_test", [str(path)], tmp_path).stdout


# ---------------------------------------------------------------------- migrate-check


@pytest.fixture
def estate(tmp_path: Path) -> Path:
    """A folder with files of several kinds."""
    write(tmp_path, "old.py", AIRFLOW_2)
    write(tmp_path, "team/new.py", SEVERAL)
    write(
        tmp_path,
        "dates.py",
        """
        from datetime import datetime, timedelta
        from airflow.models import DAG
        from airflow.operators.empty import EmptyOperator

        START = datetime(2024, 1, 1)
        with DAG("cron", schedule="0 6 * * *", start_date=START):
            EmptyOperator(task_id="t")
        with DAG("delta", schedule=timedelta(hours=2), start_date=START, catchup=False):
            EmptyOperator(task_id="t")
        with DAG("silent", start_date=START):
            EmptyOperator(task_id="t")
        with DAG("by_hand", schedule=None):
            EmptyOperator(task_id="t")
        """,
    )
    write(
        tmp_path,
        "broken.py",
        """
        from airflow import DAG
        from airflow.models import DagModel
        from airflow.operators.subdag import SubDagOperator
        from airflow.nonsense import Thing
        try:
            from airflow.providers.nowhere import Optional
        except ImportError:
            Optional = None
        """,
    )
    write(tmp_path, "hanging.py", "import time\nfrom airflow import DAG\nprint('dag')\ntime.sleep(60)\n")
    write(tmp_path, "ending.py", "import os\nfrom airflow import DAG\nos._exit(3)\n")
    write(tmp_path, "library.py", "x = 1\n")
    return tmp_path


def test_each_file_is_told_what_becomes_of_it(estate: Path) -> None:
    found = {each.file: each for each in files.check(estate, timeout=5).files}
    assert sorted(found) == ["broken.py", "dates.py", "ending.py", "hanging.py", "old.py", "team/new.py"]
    assert found["hanging.py"].error == "it took longer than 5 s to load"
    assert found["ending.py"].error == "loading it ended Python (3)"
    assert [use.name for use in found["broken.py"].unsupported] == [
        "airflow.models.DagModel",
        "airflow.operators.subdag.SubDagOperator",
        "airflow.nonsense.Thing",
    ]
    assert {name: each.written_for for name, each in found.items() if each.works} == {
        "dates.py": "Airflow 2",
        "old.py": "Airflow 2",
        "team/new.py": "Airflow 3",
    }


def test_changes_of_dates_and_runs_are_named(estate: Path) -> None:
    found = {dag.dag_id: dag for dag in files.check(estate / "dates.py").files[0].dags}
    cron, silent = found["cron"], found["silent"]
    assert cron.next_run is not None
    assert cron.next_run.endswith("T06:00:00+00:00")
    assert cron.next_ds == cron.next_run[:10]
    assert ["create_cron_data_intervals" in change.remedy for change in cron.changes] == [True, False]
    assert "Airflow 2 made up for the" in cron.changes[1].what
    assert ["create_delta_data_intervals" in change.remedy for change in found["delta"].changes] == [True]
    assert [change.remedy for change in silent.changes] == ['Write schedule="@daily" or schedule=None']
    assert found["by_hand"].changes == ()


def test_files_with_schedule_interval_keep_their_dates(estate: Path) -> None:
    found = files.check(estate / "old.py").files[0]
    dag = found.dags[0]
    assert (dag.changes, dag.catchup) == ((), True)
    assert dag.next_run is not None
    assert dag.next_ds is not None
    assert dag.next_ds < dag.next_run[:10]
    assert [use.name for use in found.outdated] == [
        "airflow.operators.bash_operator.BashOperator",
        "airflow.operators.python.PythonOperator",
        "schedule_interval= of a DAG",
        "provide_context= of PythonOperator",
        "execution_date in the context",
        "yesterday_ds in the context",
    ]


@pytest.mark.parametrize(
    ("name", "options", "code"),
    [("old.py", [], 0), ("dates.py", [], 0), ("dates.py", ["--strict"], 1), ("broken.py", [], 1), ("team", [], 0)],
)
def test_the_exit_code_says_whether_all_files_work(
    estate: Path, capfd: pytest.CaptureFixture[str], name: str, options: list[str], code: int
) -> None:
    assert run(["dags", "migrate-check", str(estate / name), *options]) == code
    printed = capfd.readouterr().out
    assert printed.count("written for Airflow") == 1
    assert " work, " in printed.splitlines()[-1]


def test_the_report_is_data_too(estate: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["dags", "migrate-check", str(estate / "old.py"), "-o", "json"]) == 0
    report = json.loads(capfd.readouterr().out)
    assert report["files"][0]["dags"][0]["dag_id"] == "old_style"
