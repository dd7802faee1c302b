"""What running tasks may ask of the database, over every adapter."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from dagdeck_core.errors import UserError
from dagdeck_core.states import DagRunState, TaskInstanceState
from dagdeck_io.db.faults import NotFound
from dagdeck_io.db.worker_queries import SqlWorkerQueries
from tests.contract.store_world import NOW, StoreWorld, task_spec

S = TaskInstanceState
DAY = timedelta(days=1)


@pytest.fixture
def queries(stores: StoreWorld) -> Iterator[SqlWorkerQueries]:
    made = stores.database.worker_queries()
    yield made
    made.connection.close()


def push(stores: StoreWorld, ti_id: int, value: str, key: str = "k") -> None:
    run_key = stores.task(ti_id)["run_key"]
    stores.insert("xcom", ti_id=ti_id, key=key, run_key=run_key, value=value, timestamp=NOW)


def test_xcom_of_the_own_run(stores: StoreWorld, queries: SqlWorkerQueries) -> None:
    run_key, ti_ids = stores.run("d", [task_spec("a")], map_indexes=(0, 1, 2))
    other, (strange,) = stores.run("d", [task_spec("a")])
    for number, ti_id in enumerate(ti_ids):
        push(stores, ti_id, str(number))
    push(stores, strange, '"strange"')

    def get(**arguments: Any) -> Any:
        return queries.answer(ti_ids[0], "xcom_get", {"run_key": run_key, "key": "k", **arguments})

    assert get(task_id="a", map_index=None) == [[0, "0"], [1, "1"], [2, "2"]]
    assert get(task_id="a", map_index=1) == [[1, "1"]]
    assert get(task_id="b") == []
    assert get(task_id="a", key="K") == []
    assert queries.xcom_get("k", other, "a", -1) == [[-1, '"strange"']]
    assert len(get(task_id=None)) == 1


def test_xcom_of_another_dag_and_of_earlier_runs(stores: StoreWorld, queries: SqlWorkerQueries) -> None:
    first, (one,) = stores.run("d", run_id="r1", logical_date=NOW)
    second, _ = stores.run("d", run_id="r2", logical_date=NOW + DAY)
    third, (three,) = stores.run("d", run_id="r3", logical_date=NOW + 2 * DAY)
    own, _ = stores.run("e", logical_date=NOW)
    push(stores, one, '"first"')
    push(stores, three, '"third"')
    assert queries.xcom_get("k", own, "a", None, dag_id="d") == [[-1, '"first"']]
    assert queries.xcom_get("k", own, "a", None, dag_id="d", run_id="r3") == [[-1, '"third"']]
    assert queries.xcom_get("k", second, "a", None) == []
    assert queries.xcom_get("k", second, "a", None, include_prior_dates=True) == [[-1, '"first"']]
    assert queries.xcom_get("k", third, "a", None, include_prior_dates=True) == [[-1, '"third"']]
    assert queries.xcom_get("k", first, "a", None, include_prior_dates=True) == [[-1, '"first"']]


def test_xcom_of_the_asking_task_is_set_and_deleted(stores: StoreWorld, queries: SqlWorkerQueries) -> None:
    run_key, (ti_id,) = stores.run()
    stores.running(ti_id, stores.register())
    queries.answer(ti_id, "xcom_set", {"key": "k", "value": "1"})
    queries.answer(ti_id, "xcom_set", {"key": "k", "value": "2"})
    assert queries.xcom_get("k", run_key, "a") == [[-1, "2"]]
    queries.answer(ti_id, "xcom_delete", {"key": "k"})
    assert queries.xcom_get("k", run_key, "a") == []


def test_variables_are_encrypted(stores: StoreWorld, queries: SqlWorkerQueries) -> None:
    queries.answer(0, "variable_set", {"key": "v", "value": "it's secret ü", "description": "why"})
    assert queries.answer(0, "variable_get", {"key": "v"}) == "it's secret ü"
    (row,) = stores.rows("variable")
    assert "secret" not in row["value"]
    queries.variable_set("v", "")
    assert queries.variable_get("v") == ""
    assert stores.rows("variable")[0]["description"] == "why"
    queries.variable_delete("v")
    for missing in (lambda: queries.variable_get("v"), lambda: queries.variable_delete("v")):
        with pytest.raises(NotFound, match="'v'"):
            missing()


def test_connection_is_decrypted(stores: StoreWorld, queries: SqlWorkerQueries) -> None:
    vault = stores.database.vault
    stores.insert(
        "connection",
        conn_id="c",
        conn_type="mysql",
        host="h",
        schema="s",
        login="l",
        password=vault.encrypt("pw"),
        port=33,
        extra=vault.encrypt('{"a": 1}'),
    )
    assert queries.answer(0, "connection_get", {"conn_id": "c"}) == {
        "conn_id": "c",
        "conn_type": "mysql",
        "description": None,
        "host": "h",
        "login": "l",
        "password": "pw",
        "schema": "s",
        "port": 33,
        "extra": '{"a": 1}',
    }
    with pytest.raises(NotFound):
        queries.connection_get("x")


def test_states_and_runs(stores: StoreWorld, queries: SqlWorkerQueries) -> None:
    _, (one, two) = stores.run("d", [task_spec("a"), task_spec("b")], run_id="r1", logical_date=NOW)
    stores.commit(stores.move(one, S.SUCCESS))
    second, _ = stores.run("d", [task_spec("m")], run_id="r2", logical_date=NOW + DAY, map_indexes=(0, 1))
    stores.end_run(second)
    assert queries.task_states_get("d") == {"r1": {"a": "success", "b": None}, "r2": {"m_0": None, "m_1": None}}
    assert queries.task_states_get("d", ["r1"], ["a"]) == {"r1": {"a": "success"}}
    assert queries.task_states_get("d", []) == {}
    assert queries.dag_run_get("d", "r1")["logical_date"] == NOW
    with pytest.raises(NotFound, match="'r9'"):
        queries.dag_run_get("d", "r9")
    later = NOW + 2 * DAY
    previous = queries.answer(0, "previous_dag_run_get", {"dag_id": "d", "logical_date": later.isoformat()})
    assert previous["run_id"] == "r2"
    previous = queries.previous_dag_run_get("d", later, "running")
    assert previous is not None
    assert previous["run_id"] == "r1"
    assert queries.previous_dag_run_get("d", NOW) is None
    assert queries.dag_run_count("d") == 2
    assert queries.dag_run_count("d", states=["success", "failed"]) == 1
    assert queries.dag_run_count("d", run_ids=["r1"], states=[DagRunState.SUCCESS]) == 0
    assert two != one


def test_senseless_requests_are_refused(stores: StoreWorld, queries: SqlWorkerQueries) -> None:
    for method, arguments in (
        ("drop_tables", {}),
        ("variable_get", {"key": "k", "extra": 1}),
        ("variable_get", {}),
        ("dag_run_count", {"dag_id": "d", "states": ["flying"]}),
        ("previous_dag_run_get", {"dag_id": "d", "logical_date": "soon"}),
    ):
        with pytest.raises(UserError):
            queries.answer(0, method, arguments)
