"""Secrets are planted in connections, variables and passwords, written by tasks in every way, then searched."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import zlib
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
import sqlalchemy as sa

from dagdeck_core.states import DagRunState, TaskInstanceState
from dagdeck_io.db.engine import open_database
from dagdeck_io.db.tables import metadata
from tests.e2e.conftest import DAGS
from tests.e2e.daemon import wait_until
from tests.e2e.harness import QUICK, ClusterUnderTest

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

PASSWORD = "canary-Of/Connection+81"
VARIABLE = "canary-of-variable-82"
IN_EXTRA = "canary-in-extra-83"
OF_ENVIRONMENT = "canary-of-environment-84"
OF_ACCOUNT = "canary-of-account-85"
OF_PARAMS = "canary-of-params-86"
CANARIES = (PASSWORD, quote(PASSWORD, safe=""), VARIABLE, IN_EXTRA, OF_ENVIRONMENT, OF_ACCOUNT)
DAG_RUNS = "/api/v2/dags/canaries/dagRuns"
TASKS = ("tell", "fail", "render", "shell", "reveal", "hand_on", "by_param", "rendered_again")
PUSHING = ("tell", "reveal", "hand_on", "by_param", "rendered_again")


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """The cluster after the canaries' run."""

    cluster: ClusterUnderTest
    client: httpx.Client
    run_id: str
    answers: dict[str, str]
    """What the API answered to writes of secrets, good and bad ones."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A standalone cluster whose tasks have written secrets."""
    folder: Path = tmp_path_factory.mktemp("canaries")
    settings = QUICK | {"logging.level": "debug", "dag_processor.refresh_interval": "1"}
    dags = [DAGS / "canaries.py", DAGS / "canaries_broken.py"]
    with ClusterUnderTest(folder, dags=dags, settings=settings) as cluster:
        uri = f"postgres://me:{OF_ENVIRONMENT}@db:5432/x"
        daemon = cluster.daemon("standalone", "standalone")
        daemon.environment["AIRFLOW_CONN_FROM_ENVIRONMENT"] = uri
        daemon.start()
        cluster.wait_ready("canaries")
        cluster.client().close()
        token = json.loads((cluster.home / "token").read_text())["token"]
        with httpx.Client(
            base_url=f"http://127.0.0.1:{cluster.api_port}", headers={"Authorization": f"Bearer {token}"}, timeout=20
        ) as client:
            answers = plant(client)
            run_id = cluster.trigger("canaries", conf={"password": OF_PARAMS})
            cluster.wait_run(run_id, timeout=60, state=DagRunState.FAILED)
            yield Site(cluster=cluster, client=client, run_id=run_id, answers=answers)


def plant(client: httpx.Client) -> dict[str, str]:
    """Write the secrets through the API, well and badly; every answer."""
    connection: dict[str, Any] = {
        "connection_id": "canary_connection",
        "conn_type": "http",
        "host": "example.org",
        "login": "me",
        "password": PASSWORD,
        "extra": json.dumps({"api_key": IN_EXTRA}),
    }
    variable = {"key": "canary_password", "value": VARIABLE}
    account = {"username": "me", "password": OF_ACCOUNT}
    answers = {
        "connection": client.post("/api/v2/connections", json=connection),
        "connection again": client.post("/api/v2/connections", json=connection),
        "connection, port": client.post("/api/v2/connections", json=connection | {"port": PASSWORD}),
        "connection, unknown field": client.post("/api/v2/connections", json=connection | {"pass": PASSWORD}),
        "connection, patched": client.patch("/api/v2/connections/canary_connection", json=connection),
        "variable": client.post("/api/v2/variables", json=variable),
        "variable again": client.post("/api/v2/variables", json=variable),
        "variable, no key": client.post("/api/v2/variables", json={"value": VARIABLE, "key": 5}),
        "variable, patched": client.patch("/api/v2/variables/canary_password", json=variable),
        "sign-in": client.post("/auth/token", json=account),
        "sign-in, bad": client.post("/auth/token", json=account | {"username": 5}),
    }
    assert answers["connection"].status_code == 201, answers["connection"].text
    assert answers["variable"].status_code == 201, answers["variable"].text
    return {name: answer.text for name, answer in answers.items()}


def found_in(text: str) -> list[str]:
    """The canaries that stand in a text."""
    return [canary for canary in CANARIES if canary in text]


def test_answers_to_writes_do_not_repeat_secrets(site: Site) -> None:
    assert {name: found_in(text) for name, text in site.answers.items() if found_in(text)} == {}


def test_logs_of_tasks_hide_them_in_whatever_way_they_are_written(site: Site) -> None:
    for task_id in TASKS:
        log = site.cluster.database.task_log(site.run_id, task_id).decode()
        assert found_in(log) == [], log
        assert OF_PARAMS not in log, log
    told = site.cluster.database.task_log(site.run_id, "tell").decode()
    for word in ("printed ***", "complained ***", "logged ***", "written ***", "echoed ***"):
        assert word in told


def test_the_api_shows_none(site: Site) -> None:
    run = f"{DAG_RUNS}/{site.run_id}"
    paths = [
        "/api/v2/connections",
        "/api/v2/connections/canary_connection",
        "/api/v2/variables",
        "/api/v2/variables/canary_password",
        "/api/v2/eventLogs?limit=1000",
        run,
        f"{run}/taskInstances",
        *(f"{run}/taskInstances/{task_id}" for task_id in TASKS),
        *(f"{run}/taskInstances/{task_id}/logs/1" for task_id in TASKS),
        *(f"{run}/taskInstances/{task_id}/xcomEntries" for task_id in TASKS),
        *(f"{run}/taskInstances/{task_id}/xcomEntries/return_value" for task_id in PUSHING),
        *(f"{run}/taskInstances/{task_id}/xcomEntries/return_value?stringify=true" for task_id in PUSHING),
        *(f"{run}/taskInstances/each/xcomEntries/return_value?map_index={index}" for index in (0, 1)),
        "/api/v2/importErrors",
    ]
    leaks = {}
    for path in paths:
        answer = site.client.get(path)
        assert answer.status_code == 200, (path, answer.text)
        if found := found_in(answer.text):
            leaks[path] = found
    assert leaks == {}


def test_xcoms_are_shown_without_them_and_reach_tasks_as_they_are(site: Site) -> None:
    states = {ti.task_id: ti.state for ti in site.cluster.database.task_instances(site.run_id) if ti.map_index < 0}
    assert {states[task_id] for task_id in ("hand_on", "rendered_again", "by_param")} == {TaskInstanceState.SUCCESS}
    shown = _xcom(site, "reveal")
    assert shown["secret"] == "***"
    assert "***" in shown["uri"]
    assert len(shown["digest"]) == 64
    assert _xcom(site, "hand_on") == ["***", "***"]
    assert _xcom(site, "rendered_again") == _xcom(site, "by_param") == "***"
    for task_id, words in (("hand_on", "handed on ***"), ("rendered_again", "***"), ("by_param", "by param ***")):
        assert words in site.cluster.database.task_log(site.run_id, task_id).decode()
    again = site.client.get(f"{DAG_RUNS}/{site.run_id}/taskInstances/rendered_again").json()
    assert again["rendered_fields"]["bash_command"] == "echo ***"


def test_import_errors_hide_them(site: Site) -> None:
    def shown() -> str:
        (error,) = site.client.get("/api/v2/importErrors").json()["import_errors"]
        return str(error["stack_trace"])

    wait_until(lambda: "do not fit" in shown(), 20, "the file is loaded with the secrets that it asks for")
    assert "*** and *** do not fit" in shown()
    assert found_in(shown()) == []


def test_names_of_mapped_instances_hide_them(site: Site) -> None:
    listed = site.client.get(f"{DAG_RUNS}/{site.run_id}/taskInstances/each/listMapped")
    assert {each["rendered_map_index"] for each in listed.json()["task_instances"]} == {"***"}
    assert found_in(listed.text) == []


def _xcom(site: Site, task_id: str) -> Any:
    path = f"{DAG_RUNS}/{site.run_id}/taskInstances/{task_id}/xcomEntries/return_value"
    return site.client.get(path).json()["value"]


@pytest.mark.parametrize(
    "command",
    [
        ("connections", "list"),
        ("connections", "get", "canary_connection"),
        ("variables", "list"),
        ("variables", "get", "canary_password"),
        ("logs", "canaries", "RUN", "tell"),
    ],
    ids=" ".join,
)
def test_what_the_command_line_prints_or_exports_holds_none(site: Site, command: tuple[str, ...]) -> None:
    words = [site.run_id if word == "RUN" else word for word in command]
    url = f"http://127.0.0.1:{site.cluster.api_port}"
    token = site.client.headers["Authorization"].removeprefix("Bearer ")
    done = subprocess.run(
        [sys.executable, "-m", "dagdeck_client.cli", "--url", url, "-o", "json", *words],
        env=site.cluster.environment() | {"DAGDECK_TOKEN": token},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert len(done.stdout) > 20
    assert found_in(done.stdout + done.stderr) == []


def test_a_copy_of_the_database_holds_none_and_is_whole(site: Site, tmp_path: Path) -> None:
    source = site.cluster.home / "dagdeck.db"
    copied = tmp_path / "copied.db"
    with closing(sqlite3.connect(source)) as reading, closing(sqlite3.connect(copied)) as writing:
        reading.backup(writing)
    assert found_in(copied.read_bytes().decode("latin-1")) == []
    database = open_database(f"sqlite:///{copied}", key=(site.cluster.home / "secret.key").read_text().strip())
    (reveal,) = [ti for ti in site.cluster.database.task_instances(site.run_id) if ti.task_id == "reveal"]
    arguments = {"key": "return_value", "run_key": reveal.run_key, "task_id": "reveal"}
    with closing(database):
        found = database.worker_queries().answer(reveal.ti_id, "xcom_get", arguments)
    assert PASSWORD in found.secrets
    assert json.loads(found.value[0][1])["secret"] == PASSWORD


def test_logs_of_daemons_and_the_database_hold_none(site: Site) -> None:
    for daemon in site.cluster.daemons.values():
        assert found_in(daemon.log()) == []
    leaks = {}
    with site.cluster.database.connection() as connection:
        for table in metadata.sorted_tables:
            for row in connection.exec_driver_sql(f'SELECT * FROM "{table.name}"'):
                if found := found_in(" ".join(readable(value) for value in row)):
                    leaks[table.name] = found
        assert connection.execute(sa.select(sa.func.count()).select_from(metadata.tables["audit_log"])).scalar_one()
    assert leaks == {}
    assert found_in((site.cluster.home / "dagdeck.db").read_bytes().decode("latin-1")) == []


def readable(value: Any) -> str:
    """A column's value as text, unpacked where it is packed."""
    if not isinstance(value, bytes):
        return str(value)
    try:
        value = zlib.decompress(value)
    except zlib.error:
        pass
    return str(value.decode("utf-8", "replace"))
