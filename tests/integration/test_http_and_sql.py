"""Requests to a real server and statements on a real database: hooks, operators and sensors."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from dagdeck import DAG, BaseHook
from dagdeck.connection import Connection
from dagdeck.exceptions import AirflowException
from dagdeck.hooks.http import HttpHook, base_url_of
from dagdeck.hooks.sql import SqlHook, split
from dagdeck.operators.http import HttpOperator
from dagdeck.operators.sql import SQLExecuteQueryOperator
from dagdeck.sensors.http import HttpSensor
from dagdeck.sensors.sql import SqlSensor


class Answers(BaseHTTPRequestHandler):
    """Echoes requests as JSON; /late is there at the third look, /broken never works."""

    looks = 0

    def _answer(self) -> None:
        size = int(self.headers.get("Content-Length") or 0)
        seen = {
            "method": self.command,
            "path": self.path,
            "body": self.rfile.read(size).decode(),
            "login": self.headers.get("Authorization"),
            "header": self.headers.get("X-Mine"),
        }
        status = 200
        if self.path.startswith("/late"):
            type(self).looks += 1
            status = 200 if type(self).looks >= 3 else 404
        elif self.path.startswith("/broken"):
            status = 500
        data = json.dumps(seen).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = _answer

    def log_message(self, *arguments: Any) -> None:
        """Quiet."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """A server, and the connection `http_default` to it."""
    Answers.looks = 0
    serving = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    thread = threading.Thread(target=serving.serve_forever)
    thread.start()
    port = serving.server_address[1]
    connection = Connection(
        "http_default", "http", host="127.0.0.1", port=port, login="me", password="pw", extra={"X-Mine": "yes"}
    )
    monkeypatch.setenv("AIRFLOW_CONN_HTTP_DEFAULT", connection.as_json())
    yield port
    serving.shutdown()
    serving.server_close()
    thread.join()


@pytest.mark.usefixtures("server")
def test_requests() -> None:
    with DAG("d") as dag:
        HttpOperator(
            task_id="get", method="GET", endpoint="/a", data={"q": "{{ ti.task_id }}"}, response_filter=_parsed
        )
        HttpOperator(
            task_id="post", endpoint="/b", data='{"x": 1}', response_filter=lambda response, ds: [ds, _parsed(response)]
        )
        HttpOperator(task_id="plain", method="GET", endpoint="/c", log_response=True)
        HttpOperator(task_id="refused", method="GET", endpoint="/d", response_check=lambda response: False)
        HttpOperator(task_id="broken", method="GET", endpoint="/broken")
        HttpOperator(task_id="lenient", method="GET", endpoint="/broken", extra_options={"check_response": False})
    run = dag.test()
    assert run.states == {
        "get": "success",
        "post": "success",
        "plain": "success",
        "refused": "failed",
        "broken": "failed",
        "lenient": "success",
    }
    got = run.xcom("get")
    assert (got["method"], got["path"], got["header"]) == ("GET", "/a?q=get", "yes")
    assert got["login"].startswith("Basic ")
    day, posted = run.xcom("post")
    assert (len(day), posted["method"], posted["body"]) == (10, "POST", '{"x": 1}')
    assert json.loads(run.xcom("plain"))["path"] == "/c"
    broken = run.tasks["broken"].error
    assert broken is not None
    assert "500" in broken.message


def _parsed(response: Any) -> Any:
    return response.json()


@pytest.mark.usefixtures("server")
def test_waiting_for_a_server() -> None:
    with DAG("d") as dag:
        HttpSensor(task_id="late", endpoint="/late", poke_interval=0.01)
        HttpSensor(task_id="broken", endpoint="/broken", poke_interval=0.01)
        HttpSensor(
            task_id="checked", endpoint="/a", response_check=lambda response: False, poke_interval=0.01, timeout=0.05
        )
    run = dag.test()
    assert run.states == {"late": "success", "broken": "failed", "checked": "failed"}
    assert Answers.looks == 3


def test_http_connections(server: int, monkeypatch: pytest.MonkeyPatch) -> None:
    assert HttpHook().test_connection() == (True, f"http://127.0.0.1:{server} answers with 200")
    assert base_url_of(Connection("c", "http", host="h", schema="https")) == "https://h"
    assert base_url_of(Connection("c", "http", host="https://h/api", port=1)) == "https://h/api:1"
    with pytest.raises(AirflowException, match="has no host"):
        base_url_of(Connection("c", "http"))
    monkeypatch.setenv("AIRFLOW_CONN_DEAD", Connection("dead", "http", host="127.0.0.1", port=1).as_json())
    assert HttpHook("GET", "dead").test_connection()[0] is False


# ---------------------------------------------------------------- SQL


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("SELECT 1", ["SELECT 1"]),
        ("SELECT ';'; SELECT \"a;b\";\n", ["SELECT ';'", 'SELECT "a;b"']),
        ("SELECT 1 -- a; b\n; /* c; d */ SELECT 2", ["SELECT 1 -- a; b", "/* c; d */ SELECT 2"]),
        ("; ;", []),
    ],
)
def test_statements_are_split(text: str, expected: list[str]) -> None:
    assert split(text) == expected


@pytest.fixture
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A SQLite file, and the connection `db` to it."""
    path = tmp_path / "data.db"
    monkeypatch.setenv("AIRFLOW_CONN_DB", Connection("db", "sqlite", host=str(path)).as_json())
    return path


def test_statements_on_sqlite(database: Path, tmp_path: Path) -> None:
    (tmp_path / "query.sql").write_text("SELECT n FROM t WHERE n > {{ params.least }} ORDER BY n")
    with DAG("d", template_searchpath=[str(tmp_path)]) as dag:
        made = SQLExecuteQueryOperator(
            task_id="make",
            conn_id="db",
            sql="CREATE TABLE t (n INTEGER); INSERT INTO t VALUES (1), (2), (3)",
            split_statements=True,
        )
        read = SQLExecuteQueryOperator(task_id="read", conn_id="db", sql="query.sql", params={"least": 1})
        bound = SQLExecuteQueryOperator(task_id="bound", conn_id="db", sql="SELECT ?", parameters=["x"])
        every = SQLExecuteQueryOperator(task_id="every", conn_id="db", sql=["SELECT 1", "SELECT 2"], return_last=False)
        wrong = SQLExecuteQueryOperator(
            task_id="wrong", conn_id="db", sql=["INSERT INTO t VALUES (9)", "SELECT x FROM nothing"]
        )
        made >> [read, bound, every, wrong]
    run = dag.test()
    assert {name: state for name, state in run.states.items() if state != "success"} == {"wrong": "failed"}
    assert (run.xcom("read"), run.xcom("bound"), run.xcom("every")) == ([(2,), (3,)], [("x",)], [[(1,)], [(2,)]])
    with sqlite3.connect(database) as connection:
        assert connection.execute("SELECT COUNT(*) FROM t").fetchone() == (3,), "all or nothing"
    connection.close()


@pytest.mark.usefixtures("database")
def test_waiting_for_rows() -> None:
    hook = SqlHook("db")
    hook.run("CREATE TABLE t (n INTEGER)")
    hook.insert_rows("t", [(0,), (5,)], ["n"])
    assert hook.get_records("SELECT n FROM t ORDER BY n") == [(0,), (5,)]
    assert (hook.get_first("SELECT 7"), hook.test_connection()[0]) == ((7,), True)
    late = {"poke_interval": 0.01, "timeout": 0.05}
    with DAG("d") as dag:
        SqlSensor(task_id="there", conn_id="db", sql="SELECT MAX(n) FROM t", **late)  # type: ignore[arg-type]
        SqlSensor(task_id="zero", conn_id="db", sql="SELECT MIN(n) FROM t", soft_fail=True, **late)  # type: ignore[arg-type]
        SqlSensor(task_id="own", conn_id="db", sql="SELECT 0", success=lambda value: value == 0, **late)  # type: ignore[arg-type]
        SqlSensor(
            task_id="second",
            conn_id="db",
            sql="SELECT 0, 9",
            selector=lambda row: row[1],
            hook_params={"schema": None},
            **late,  # type: ignore[arg-type]
        )
        SqlSensor(task_id="bad", conn_id="db", sql="SELECT 9", failure=lambda value: value == 9, **late)  # type: ignore[arg-type]
        SqlSensor(task_id="empty", conn_id="db", sql="SELECT n FROM t WHERE n > 9", fail_on_empty=True, **late)  # type: ignore[arg-type]
    assert dag.test().states == {
        "there": "success",
        "zero": "skipped",
        "own": "success",
        "second": "success",
        "bad": "failed",
        "empty": "failed",
    }


def test_statements_on_mariadb(mariadb_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_MINE", mariadb_url.replace("mysql+pymysql", "mysql"))
    hook = SqlHook("mine")
    hook.run("CREATE TABLE t (n INTEGER)")
    hook.insert_rows("t", [(1,), (2,)])
    assert hook.get_records("SELECT n FROM t WHERE n > %s", [1]) == [(2,)]


def test_databases_that_cannot_be_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_ODD", Connection("odd", "oracle", host="h").as_json())
    with pytest.raises(AirflowException, match="none of mariadb, mysql, sqlite"):
        SqlHook("odd").get_conn()
    odd = Connection("odd", "oracle", extra={"driver": "no_such_driver"})
    monkeypatch.setenv("AIRFLOW_CONN_ODD", odd.as_json())
    with pytest.raises(AirflowException, match="no_such_driver is not installed"):
        SqlHook("odd").get_conn()
    with pytest.raises(AirflowException, match="no SQL statement"):
        SqlHook("odd").run(" ; ", split_statements=True)


def test_connections_find_their_hooks_and_are_tested(
    server: int, database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert type(BaseHook.get_hook("db")) is SqlHook
    assert type(Connection.get("http_default").get_hook(hook_params={"method": "GET"})) is HttpHook
    assert [Connection.get(name).test_connection()[0] for name in ("db", "http_default")] == [True, True]
    odd = Connection("odd", "oracle", host="127.0.0.1", port=server)
    assert odd.test_connection() == (True, f"127.0.0.1:{server} accepts connections")
    assert Connection("odd", "oracle", host="127.0.0.1", port=1).test_connection()[0] is False
    assert Connection("odd", "oracle").test_connection()[0] is False
    monkeypatch.setenv("AIRFLOW_CONN_GONE", Connection("gone", "sqlite", host="/nowhere/at/all.db").as_json())
    assert Connection.get("gone").test_connection()[0] is False
    with pytest.raises(AirflowException, match="there are hooks for fs, http"):
        odd.get_hook()
