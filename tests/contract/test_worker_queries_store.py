"""What running tasks may ask of the database, over every adapter."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from dagdeck_core.actions import ActionState
from dagdeck_core.errors import DagDeckError, UserError
from dagdeck_core.spec import ParamSpec, TaskGroupSpec
from dagdeck_core.states import DagRunState, TaskInstanceState
from dagdeck_io.db.faults import NotFound
from dagdeck_io.db.worker_queries import SqlWorkerQueries
from tests.contract.store_world import NOW, StoreWorld, task_spec

S = TaskInstanceState
DAY = timedelta(days=1)


@pytest.fixture
def queries(stores: StoreWorld) -> Iterator[SqlWorkerQueries]:
    made = stores.worker_database.worker_queries()
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


def test_values_of_an_expanded_task_are_counted_and_read_in_pages(
    stores: StoreWorld, queries: SqlWorkerQueries
) -> None:
    run_key, ti_ids = stores.run("d", [task_spec("a"), task_spec("b")], map_indexes=range(5))
    for number, ti_id in enumerate(ti_ids[:4]):
        push(stores, ti_id, str(number))
    stores.commit(stores.move(ti_ids[2], S.REMOVED))
    asked = {"run_key": run_key, "task_id": "a", "key": "k"}
    assert queries.answer(1, "xcom_count", asked) == 3
    assert queries.answer(1, "xcom_page", {**asked, "offset": 1, "limit": 2}) == [[1, "1"], [3, "3"]]
    assert queries.answer(1, "xcom_page", {**asked, "offset": 3, "limit": 2}) == []
    assert queries.answer(1, "instance_count", {"run_key": run_key, "task_id": "a"}) == 4
    assert queries.answer(1, "instance_count", {"run_key": run_key, "task_id": "c"}) == 0


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


def test_xcom_of_another_dags_runs_up_to_the_one_that_asks(stores: StoreWorld, queries: SqlWorkerQueries) -> None:
    _, (dateless,) = stores.run("d", run_id="r1")
    _, (later,) = stores.run("d", run_id="r2", logical_date=NOW + DAY)
    own, _ = stores.run("e")
    after, _ = stores.run("e", logical_date=NOW + 2 * DAY)
    push(stores, dateless, '"dateless"')
    push(stores, later, '"later"')
    asked: dict[str, Any] = {"task_id": "a", "dag_id": "d", "include_prior_dates": True}
    assert queries.xcom_get("k", own, **asked) == [[-1, '"dateless"']], "its moment is when it might run"
    assert queries.xcom_get("k", after, **asked) == [[-1, '"later"']]
    assert queries.xcom_get("k", own, **asked, run_id="r2") == [[-1, '"later"']]


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


def test_tasks_by_date_group_and_index(stores: StoreWorld, queries: SqlWorkerQueries) -> None:
    tasks = [task_spec("a"), task_spec("g.b", group_id="g"), task_spec("g.h.c", group_id="g.h")]
    groups = (TaskGroupSpec(group_id="g"), TaskGroupSpec(group_id="g.h", parent_id="g"))
    stores.dag("d", *tasks, groups=groups)
    _, (one, two, _) = stores.run("d", tasks, run_id="r1", logical_date=NOW)
    stores.run("d", tasks, run_id="r2", logical_date=NOW + DAY)
    stores.commit(stores.move(one, S.SUCCESS), stores.move(two, S.SUCCESS))
    date = NOW.isoformat()
    assert queries.task_states_get("d", logical_dates=[date], task_group_id="g") == {
        "r1": {"g.b": "success", "g.h.c": None}
    }
    assert queries.task_count("d") == 6
    assert queries.task_count("d", logical_dates=[NOW], states=["success"]) == 2
    assert queries.task_count("d", task_group_id="g", states=["success"]) == 1
    assert queries.task_count("d", task_ids=["a"], states=[None]) == 1
    assert queries.task_count("d", map_index=3) == 0
    assert queries.task_count("d", logical_dates=[]) == 0
    assert queries.dag_run_count("d", logical_dates=[date, (NOW + DAY).isoformat()]) == 2
    assert queries.dag_run_count("d", logical_dates=[NOW + 5 * DAY]) == 0
    with pytest.raises(NotFound, match="no task group 'x'"):
        queries.task_count("d", task_group_id="x")
    with pytest.raises(NotFound, match="no DAG 'unknown'"):
        queries.task_states_get("unknown", task_group_id="g")


def test_facts_of_a_dag(stores: StoreWorld, queries: SqlWorkerQueries) -> None:
    stores.dag("d", task_spec("a"), groups=(TaskGroupSpec(group_id="g"),))
    facts = queries.dag_get("d", ["a", "b"], "g")
    paused = bool(stores.rows("dag", dag_id="d")[0]["is_paused"])
    assert facts == {"is_paused": paused, "is_stale": False, "missing_task_ids": ["b"], "has_task_group": True}
    assert queries.dag_get("d", None, "h")["has_task_group"] is False
    with pytest.raises(NotFound, match="no DAG 'e'"):
        queries.dag_get("e")


def test_a_task_triggers_a_run_by_an_action(stores: StoreWorld, queries: SqlWorkerQueries) -> None:
    params = {"size": ParamSpec(value=1, schema={"type": "integer"})}
    stores.dag("target", task_spec("a"), params=params)
    _, (asking,) = stores.run("d", run_id="r1")

    def trigger(key: str = "k", **arguments: Any) -> int:
        asked = {"key": key, "dag_id": "target", "run_id": "x", "logical_date": NOW.isoformat(), **arguments}
        return int(queries.answer(asking, "dag_run_trigger", asked)["action_id"])

    first = trigger(conf={"size": 2}, note="why")
    assert trigger(conf={"size": 2}, note="why") == first, "the same wish twice is one action"
    assert trigger("other") != first
    (row,) = stores.rows("action", action_id=first)
    assert (row["kind"], row["actor"], row["source"], row["state"]) == (
        "trigger_dag_run",
        "d.a",
        "operator",
        ActionState.PENDING,
    )
    assert row["payload"] | {"logical_date": None} == {
        "kind": "trigger_dag_run",
        "dag_id": "target",
        "run_id": "x",
        "logical_date": None,
        "conf": {"size": 2},
        "note": "why",
    }
    assert queries.action_get(first) == {"state": "pending", "refused": None, "result": {}}
    assert next(record.action_id for record in stores.scheduler.pending_actions(10)) == first
    for problem, arguments in (("size", {"conf": {"size": "big"}}), ("no DAG", {"dag_id": "nowhere"})):
        with pytest.raises(DagDeckError, match=problem):
            trigger("third", **arguments)
    with pytest.raises(NotFound):
        queries.action_get(1)


def test_a_task_clears_a_run_by_an_action(stores: StoreWorld, queries: SqlWorkerQueries) -> None:
    run_key, ti_ids = stores.run("target", [task_spec("a"), task_spec("b")], run_id="x", logical_date=NOW)
    stores.run("target", [task_spec("a")], run_id="y", logical_date=NOW + DAY)
    _, (asking,) = stores.run("d")
    by_id = queries.answer(asking, "dag_run_clear", {"key": "k", "dag_id": "target", "run_id": "x"})
    by_date = queries.answer(
        asking, "dag_run_clear", {"key": "l", "dag_id": "target", "run_id": "z", "logical_date": NOW.isoformat()}
    )
    assert (by_id["run_id"], by_date["run_id"]) == ("x", "x")
    (row,) = stores.rows("action", action_id=by_id["action_id"])
    assert row["payload"] == {
        "kind": "clear_task_instances",
        "run_key": run_key,
        "targets": [[ti_ids[0], "a", -1, None], [ti_ids[1], "b", -1, None]],
    }
    with pytest.raises(NotFound, match="no such run"):
        queries.answer(asking, "dag_run_clear", {"key": "k", "dag_id": "target", "run_id": "z"})
    with pytest.raises(UserError, match="needs a run_id"):
        queries.answer(asking, "dag_run_clear", {"key": "k", "dag_id": "target"})


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
