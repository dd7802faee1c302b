"""Sensors that look at files and commands, and the hooks beneath them."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from dagdeck import DAG, BashOperator
from dagdeck.connection import Connection
from dagdeck.exceptions import AirflowException
from dagdeck.hooks.filesystem import FSHook
from dagdeck.hooks.package_index import PackageIndexHook
from dagdeck.hooks.subprocess import SubprocessHook
from dagdeck.sensors.bash import BashSensor
from dagdeck.sensors.filesystem import FileSensor


@pytest.fixture(autouse=True)
def _folder_connection(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_FOLDER", Connection("folder", "fs", extra={"path": str(tmp_path)}).as_json())
    monkeypatch.setenv("AIRFLOW_CONN_FS_DEFAULT", Connection("fs_default", "fs").as_json())


@pytest.mark.parametrize(
    ("there", "wanted", "recursive", "found"),
    [
        ("a.csv", "a.csv", False, True),
        ("a.csv", "b.csv", False, False),
        ("a.csv", "*.csv", False, True),
        ("in/a.csv", "in", False, True),
        ("in/deep/a.csv", "in", False, True),
        ("in/deep/", "in", False, False),
        ("in/deep/a.csv", "**/a.csv", False, False),
        ("in/deep/a.csv", "**/a.csv", True, True),
    ],
)
def test_file_sensor(tmp_path: Path, there: str, wanted: str, recursive: bool, found: bool) -> None:
    path = tmp_path / there
    (path if there.endswith("/") else path.parent).mkdir(parents=True, exist_ok=True)
    if not there.endswith("/"):
        path.touch()
    for options in ({"filepath": wanted, "fs_conn_id": "folder"}, {"filepath": str(tmp_path / wanted)}):
        sensor = FileSensor(task_id="t", recursive=recursive, **options)  # type: ignore[arg-type]
        assert sensor.poke({}) is found  # type: ignore[arg-type]


def test_file_sensor_in_a_dag_renders_its_path(tmp_path: Path) -> None:
    (tmp_path / "data_t.csv").touch()
    with DAG("d") as dag:
        FileSensor(task_id="t", fs_conn_id="folder", filepath="data_{{ ti.task_id }}.csv", poke_interval=0.01)
        FileSensor(task_id="gone", fs_conn_id="folder", filepath="x", poke_interval=0.01, timeout=0.02, soft_fail=True)
    assert dag.test().states == {"t": "success", "gone": "skipped"}


def test_folder_hook(tmp_path: Path) -> None:
    assert FSHook("folder").get_path() == str(tmp_path)
    assert FSHook("folder").test_connection()[0] is True
    assert FSHook("fs_default").test_connection() == (False, "File Path is undefined.")


def test_fs_default_need_not_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AIRFLOW_CONN_FS_DEFAULT")
    states: dict[str, Any] = {}
    with DAG("d") as dag:
        FileSensor(task_id="t", filepath=__file__)
        FileSensor(task_id="other", filepath=__file__, fs_conn_id="unknown")
    states = dag.test().states
    assert states == {"t": "success", "other": "failed"}


@pytest.mark.parametrize(
    ("command", "retry_code", "state"),
    [
        ("exit 0", None, "success"),
        ("test -e $MARK || { touch $MARK; exit 1; }", None, "success"),
        ("test -e $MARK || { touch $MARK; exit 7; }", 7, "success"),
        ("exit 8", 7, "failed"),
        ("exit 1", None, "skipped"),
    ],
)
def test_bash_sensor(tmp_path: Path, command: str, retry_code: int | None, state: str) -> None:
    soft = state == "skipped"
    with DAG("d") as dag:
        BashSensor(
            task_id="t",
            bash_command=command,
            env={"MARK": str(tmp_path / "mark"), "PATH": os.environ["PATH"]},
            retry_exit_code=retry_code,
            poke_interval=0.02,
            timeout=5 if not soft else 0.1,
            soft_fail=soft,
            retries=3,
        )
    run = dag.test()
    assert (run.states, run.tasks["t"].try_number) == ({"t": state}, 1)


def test_subprocess_hook_gives_the_last_line_and_the_code(tmp_path: Path) -> None:
    hook = SubprocessHook()
    result = hook.run_command(["bash", "-c", "echo one; pwd; exit 3"], cwd=str(tmp_path))
    assert result == (3, str(tmp_path))
    assert hook.sub_process is None
    with pytest.raises(AirflowException, match="cannot be started"):
        hook.run_command(["/nowhere/program"])


def test_subprocess_hook_ends_the_whole_group() -> None:
    hook = SubprocessHook()
    results: list[Any] = []
    thread = threading.Thread(target=lambda: results.append(hook.run_command(["bash", "-c", "sleep 60 & wait"])))
    thread.start()
    deadline = time.monotonic() + 10
    while hook.sub_process is None and time.monotonic() < deadline:
        time.sleep(0.01)
    hook.send_sigterm()
    thread.join(20)
    assert results[0].exit_code == -signal.SIGTERM


def test_bash_operator_and_its_environment(tmp_path: Path) -> None:
    with DAG("d") as dag:
        BashOperator(
            task_id="t",
            bash_command='echo "{\\"folder\\": \\"$PWD\\", \\"x\\": \\"$X\\", \\"task\\": \\"$AIRFLOW_CTX_TASK_ID\\"}"',
            env={"X": "{{ ds_nodash }}"},
            append_env=True,
            cwd=str(tmp_path),
            output_processor=lambda line: __import__("json").loads(line),
        )
    run = dag.test()
    found = run.xcom("t")
    assert (found["folder"], len(found["x"]), found["task"]) == (str(tmp_path), 8, "t")


@pytest.mark.parametrize(
    ("connection", "url"),
    [
        (
            Connection("p", "package_index", host="https://packages.example.com/simple"),
            "https://packages.example.com/simple",
        ),
        (
            Connection("p", "package_index", host="https://packages.example.com/simple", login="me", password="a b"),
            "https://me:a%20b@packages.example.com/simple",
        ),
        (Connection("p", "package_index", host="packages.example.com", login="me"), "https://me@packages.example.com"),
    ],
)
def test_package_index_url(monkeypatch: pytest.MonkeyPatch, connection: Connection, url: str) -> None:
    monkeypatch.setenv("DAGDECK_CONN_P", connection.as_json())
    assert PackageIndexHook("p").get_conn() == url


def test_a_package_index_needs_a_url(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAGDECK_CONN_P", Connection("p", "package_index").as_json())
    with pytest.raises(AirflowException, match="has no host"):
        PackageIndexHook("p").get_conn()
    with pytest.raises(AirflowException):
        PackageIndexHook("unknown")
