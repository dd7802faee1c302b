"""Small things that other people's DAG files rely on."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pendulum
import pytest

from dagdeck import DAG, Param, Variable, runtime
from dagdeck.configuration import conf
from dagdeck.deprecation import RemovedInAirflow3Warning
from dagdeck.operators.empty import EmptyOperator
from dagdeck.operators.sql import SQLExecuteQueryOperator
from dagdeck.serialize import serialize_dag
from dagdeck.timetables import DeltaTriggerTimetable, EventsTimetable
from dagdeck_core.spec import decode_spec, encode_spec
from dagdeck_core.timetables import EventsSpec


class Store:
    """Answers questions about Variables out of a dict."""

    def __init__(self, **values: str) -> None:
        self.values = values

    def request(self, method: str, arguments: dict[str, Any]) -> Any:
        if method == "variable_set":
            self.values[arguments["key"]] = arguments["value"]
            return None
        assert method == "variable_get"
        if arguments["key"] not in self.values:
            raise runtime.NotFound(arguments["key"])
        return self.values[arguments["key"]]

    def mask(self, value: str) -> None:
        """Nothing is shown."""


def test_a_missing_variable_is_a_key_error_and_default_var_is_a_default() -> None:
    with runtime.answering(Store(there="x")):
        with pytest.raises(KeyError, match="no Variable 'missing'"):
            Variable.get("missing")
        with pytest.warns(RemovedInAirflow3Warning, match="default="):
            assert Variable.get("missing", default_var=None) is None
        assert Variable.get("there", "other") == "x"
        assert Variable.get("missing", "other") == "other"


def test_setdefault_and_update() -> None:
    store = Store(there="x")
    with runtime.answering(store):
        assert Variable.setdefault("there", "y") == "x"
        assert Variable.setdefault("new", {"a": 1}, deserialize_json=True) == {"a": 1}
        assert Variable.get("new", deserialize_json=True) == {"a": 1}
        Variable.update("there", "z")
        assert store.values["there"] == "z"
        with pytest.raises(KeyError):
            Variable.update("missing", "z")


@pytest.mark.parametrize("nobody", [False, None, "", []])
def test_email_may_be_something_false(nobody: Any) -> None:
    with DAG("d", start_date=datetime(2026, 1, 1, tzinfo=UTC), schedule=None, default_args={"email": nobody}) as dag:
        EmptyOperator(task_id="t")
    assert serialize_dag(dag, root="/").tasks[0].email == ()


def test_a_params_schema_may_have_keys_of_several_kinds() -> None:
    shown = {1: "one", None: "none", "x": "letter"}
    with DAG("d", schedule=None, params={"p": Param(1, enum=[1, None, "x"], values_display=shown)}) as dag:
        EmptyOperator(task_id="t")
    assert serialize_dag(dag, root="/").params["p"].schema["values_display"] == {
        "1": "one",
        "None": "none",
        "x": "letter",
    }


def test_settings_of_airflows_executors_have_their_defaults() -> None:
    assert conf.get("kubernetes_executor", "worker_container_repository") == ""
    assert conf.get("kubernetes_executor", "namespace") == "default"


@pytest.mark.parametrize(
    "schedule",
    [
        EventsTimetable([pendulum.datetime(2026, 1, 1, 6, tz="Europe/Paris"), datetime(2026, 1, 2)]),  # noqa: DTZ001
        DeltaTriggerTimetable(pendulum.duration(days=2)),
        pendulum.duration(hours=1),
    ],
)
def test_pendulums_times_are_stored_as_plain_ones(schedule: Any) -> None:
    with DAG("d", start_date=pendulum.datetime(2026, 1, 1, tz="Europe/Paris"), schedule=schedule) as dag:
        EmptyOperator(task_id="t", start_date=pendulum.datetime(2026, 1, 2), retry_delay=pendulum.duration(minutes=3))
    spec = serialize_dag(dag, root="/")
    assert decode_spec(encode_spec(spec)) == spec
    if isinstance(spec.timetable, EventsSpec):
        assert spec.timetable.event_dates == (datetime(2026, 1, 1, 5, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC))


@pytest.mark.parametrize("name", ["mysql_conn_id", "postgres_conn_id", "sqlite_conn_id"])
def test_connections_named_after_their_database(name: str) -> None:
    with DAG("d", schedule=None, default_args={name: "of_the_dag"}):
        with pytest.warns(RemovedInAirflow3Warning, match="conn_id="):
            inherited = SQLExecuteQueryOperator(task_id="inherited", sql="SELECT 1")
        arguments: dict[str, Any] = {name: "mine"}
        given = SQLExecuteQueryOperator(task_id="given", sql="SELECT 1", **arguments)
    assert (inherited.conn_id, given.conn_id) == ("of_the_dag", "mine")


def test_the_schema_of_hook_params_is_the_database() -> None:
    task = SQLExecuteQueryOperator(task_id="t", sql="SELECT 1", hook_params={"schema": "sales"})
    assert task.database == "sales"
