"""The values of a task's context: how each is worked out.

Decides what the names of `dagdeck.context` mean in one try. Nothing is worked out before it is asked for, so
that a task that uses no context pays for none. Made through `TaskInstance.get_template_context`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from dagdeck import date_filters
from dagdeck.connection import Connection
from dagdeck.context import Context
from dagdeck.exceptions import AirflowNotFoundException
from dagdeck.params import merged_params
from dagdeck.variable import Variable
from dagdeck.xcom_arg import NOTSET
from dagdeck_task import airflow2_context
from dagdeck_task.asset_events import InletEventsAccessors, TriggeringAssetEvents
from dagdeck_task.dag_run import as_pendulum
from dagdeck_task.state_stores import AssetStateStores, TaskStateStore
from dagdeck_task.task_instance import TaskInstance


class VariableAccessor:
    """`var.value.name` and `var.json.name` in templates; `.get(name, default)` for other names."""

    def __init__(self, *, deserialize_json: bool) -> None:
        self._json = deserialize_json

    def __getattr__(self, key: str) -> Any:
        if key.startswith("__"):
            raise AttributeError(key)
        return Variable.get(key, deserialize_json=self._json)

    def get(self, key: str, default: Any = NOTSET) -> Any:
        """The Variable, or the default. Raises AirflowNotFoundException without one."""
        return Variable.get(key, default, deserialize_json=self._json)


class ConnectionAccessor:
    """`conn.name.host` in templates; `.get(name, default)` for other names."""

    def __getattr__(self, conn_id: str) -> Connection:
        if conn_id.startswith("__"):
            raise AttributeError(conn_id)
        return Connection.get(conn_id)

    def get(self, conn_id: str, default: Any = None) -> Any:
        """The Connection, or the default."""
        try:
            return Connection.get(conn_id)
        except AirflowNotFoundException:
            return default


_VAR = {"value": VariableAccessor(deserialize_json=False), "json": VariableAccessor(deserialize_json=True)}
_CONN = ConnectionAccessor()


def _macros(_: TaskInstance) -> Any:
    from dagdeck import macros

    return macros


def _params(ti: TaskInstance) -> dict[str, Any]:
    return merged_params(ti.task.dag, ti.task, ti._source.dag_run.conf)


def _of_run(name: str) -> Callable[[TaskInstance], Any]:
    return lambda ti: getattr(ti.dag_run, name)


def _date_text(name: str) -> Callable[[TaskInstance], str]:
    filter_ = date_filters.FILTERS[name]
    return lambda ti: filter_(ti._source.dag_run.logical_date)  # type: ignore[arg-type]


def _of_previous_success(name: str) -> Callable[[TaskInstance], Any]:
    def get(ti: TaskInstance) -> Any:
        found = ti.get_previous_dagrun("success")
        return as_pendulum(found.get(name)) if found else None

    return get


_ALWAYS: Mapping[str, Callable[[TaskInstance], Any]] = {
    "asset_state_store": lambda ti: AssetStateStores(ti.task.inlets, ti.task.outlets, ti.ask),
    "conn": lambda ti: _CONN,
    "dag": lambda ti: ti.task.dag,
    "dag_run": lambda ti: ti.dag_run,
    "expanded_ti_count": lambda ti: ti.expanded_ti_count,
    "inlet_events": lambda ti: InletEventsAccessors(ti.task.inlets, ti.ask),
    "inlets": lambda ti: ti.task.inlets,
    "macros": _macros,
    "map_index_template": lambda ti: ti.task.map_index_template,
    "outlet_events": lambda ti: ti.outlet_events,
    "outlets": lambda ti: ti.task.outlets,
    "params": _params,
    "partition_date": _of_run("partition_date"),
    "partition_key": _of_run("partition_key"),
    "prev_data_interval_end_success": _of_previous_success("data_interval_end"),
    "prev_data_interval_start_success": _of_previous_success("data_interval_start"),
    "prev_end_date_success": _of_previous_success("end_date"),
    "prev_start_date_success": _of_previous_success("start_date"),
    "run_after": _of_run("run_after"),
    "run_id": lambda ti: ti.run_id,
    "start_date": lambda ti: ti.start_date,
    "task": lambda ti: ti.task,
    "task_instance": lambda ti: ti,
    "task_instance_key_str": lambda ti: ti.key_str,
    "task_reschedule_count": lambda ti: 0,
    "task_state_store": lambda ti: TaskStateStore(ti.ask),
    "templates_dict": lambda ti: getattr(ti.task, "templates_dict", None),
    "test_mode": lambda ti: False,
    "ti": lambda ti: ti,
    "triggering_asset_events": lambda ti: TriggeringAssetEvents(ti.ask, ti._source.dag_run.run_key),
    "try_number": lambda ti: ti.try_number,
    "var": lambda ti: _VAR,
}
_WITH_DATE: Mapping[str, Callable[[TaskInstance], Any]] = {
    "logical_date": _of_run("logical_date"),
    **{name: _date_text(name) for name in date_filters.FILTERS},
}
_WITH_INTERVAL: Mapping[str, Callable[[TaskInstance], Any]] = {
    "data_interval_end": _of_run("data_interval_end"),
    "data_interval_start": _of_run("data_interval_start"),
}
_ASKING = frozenset(
    {"expanded_ti_count", *(f"prev_{name}_success" for name in ("start_date", "end_date"))}
    | {f"prev_data_interval_{end}_success" for end in ("start", "end")}
)

IN_PROCESS = "in-process"
"""Host name of tasks that `dag.test()` runs."""


@lru_cache(maxsize=4)
def _providers(dated: bool, has_interval: bool) -> Mapping[str, Callable[[TaskInstance], Any]]:
    return {**_ALWAYS, **(_WITH_DATE if dated else {}), **(_WITH_INTERVAL if has_interval else {})}


def make_context(ti: TaskInstance) -> Context:
    """The context of one try. A run without logical date has none of the names that are made of it."""
    run = ti._source.dag_run
    providers = _providers(run.logical_date is not None, run.data_interval_start is not None)
    old = airflow2_context.PROVIDERS if run.logical_date is not None else airflow2_context.DATELESS_PROVIDERS
    return Context(providers=providers, source=ti, asking=_ASKING, old=old)


__all__ = ["IN_PROCESS", "ConnectionAccessor", "VariableAccessor", "make_context"]
