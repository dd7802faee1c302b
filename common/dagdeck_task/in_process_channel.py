"""The channel of `dag.test()`: answers a task's questions from memory.

Decides what a task finds that no cluster stands behind: XComs of this run, and the Variables and Connections
that the author supplies in files. Used by `dagdeck_task.in_process` and by tests.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from dagdeck.connection import Connection
from dagdeck_core.errors import UserError
from dagdeck_task.channel import NotFound
from dagdeck_task.in_process_assets import AssetMemory

_log = logging.getLogger("dagdeck.test")


@dataclass(frozen=True, slots=True, kw_only=True)
class TriggeredRun:
    """A run of another DAG that a tested task asked for. Nothing runs; to whoever waits for it, it has succeeded."""

    dag_id: str
    run_id: str
    logical_date: str | None = None
    conf: dict[str, Any] | None = None


class RunMemory:
    """What the tasks of one run share: XComs by (task_id, map_index, key), Variables, Connections, states."""

    def __init__(
        self, *, variables: Mapping[str, str] | None = None, connections: Mapping[str, Connection] | None = None
    ) -> None:
        self.xcoms: dict[tuple[str, int, str], str] = {}
        self.variables: dict[str, str] = dict(variables or {})
        self.connections: dict[str, Connection] = dict(connections or {})
        self.states: dict[str, str] = {}
        self.instances: dict[str, int] = {}
        """How many instances each expanded task has."""
        self.triggered: list[TriggeredRun] = []
        self.assets = AssetMemory()


class InProcessChannel:
    """One task's channel onto a RunMemory."""

    def __init__(self, memory: RunMemory, dag_id: str, run_id: str, task_id: str, map_index: int = -1) -> None:
        self._memory = memory
        self._dag_id = dag_id
        self._run_id = run_id
        self._task_id = task_id
        self._map_index = map_index
        self._answers: dict[str, Callable[[dict[str, Any]], Any]] = {
            "xcom_get": self._xcom_get,
            "xcom_set": self._xcom_set,
            "xcom_delete": self._xcom_delete,
            "xcom_count": lambda asked: len(self._values(asked)),
            "xcom_page": lambda asked: self._values(asked)[asked["offset"] : asked["offset"] + asked["limit"]],
            "instance_count": lambda asked: self._memory.instances.get(asked["task_id"], 0),
            "variable_get": lambda asked: self._known(self._memory.variables, asked["key"], "Variable"),
            "variable_set": lambda asked: self._memory.variables.__setitem__(asked["key"], asked["value"]),
            "variable_delete": lambda asked: self._memory.variables.pop(asked["key"], None),
            "connection_get": lambda asked: self._connection(asked["conn_id"]),
            "task_states_get": self._task_states,
            "dag_run_get": self._dag_run,
            "previous_dag_run_get": lambda asked: self._nothing("an earlier run"),
            "dag_run_count": self._run_count,
            "task_count": self._task_count,
            "dag_run_trigger": self._trigger,
            "dag_run_clear": self._trigger,
            "action_get": self._action,
            "dag_get": self._dag,
            **memory.assets.answers((dag_id, run_id, task_id, map_index)),
        }

    def request(self, method: str, arguments: dict[str, Any]) -> Any:
        """See Channel."""
        return self._answers[method](arguments)

    def started(self, at: datetime) -> None:
        """Nobody waits for it."""

    def mask(self, value: str) -> None:
        """The task's own masker has done it."""

    def _xcom_get(self, asked: dict[str, Any]) -> list[tuple[int, str]]:
        if asked["dag_id"] not in (None, self._dag_id) or asked["run_id"] not in (None, self._run_id):
            return []
        index = asked["map_index"]
        return sorted(
            (at, text)
            for (task_id, at, key), text in self._memory.xcoms.items()
            if task_id == asked["task_id"] and key == asked["key"] and index in (None, at)
        )

    def _values(self, asked: dict[str, Any]) -> list[tuple[int, str]]:
        """What the instances of an expanded task have pushed, by map index."""
        return sorted(
            (at, text)
            for (task_id, at, key), text in self._memory.xcoms.items()
            if task_id == asked["task_id"] and key == asked["key"] and at >= 0
        )

    def _xcom_set(self, asked: dict[str, Any]) -> None:
        self._memory.xcoms[self._task_id, self._map_index, asked["key"]] = asked["value"]

    def _xcom_delete(self, asked: dict[str, Any]) -> None:
        self._memory.xcoms.pop((self._task_id, self._map_index, asked["key"]), None)

    def _connection(self, conn_id: str) -> dict[str, Any]:
        return self._known(self._memory.connections, conn_id, "Connection").to_dict()

    def _task_states(self, asked: dict[str, Any]) -> dict[str, dict[str, str]]:
        if asked["dag_id"] != self._dag_id or (asked["run_ids"] is not None and self._run_id not in asked["run_ids"]):
            return {}
        wanted = asked["task_ids"]
        if asked.get("task_group_id") is not None:
            prefix = f"{asked['task_group_id']}."
            wanted = [*(wanted or ()), *(name for name in self._memory.states if name.startswith(prefix))]
        return {
            self._run_id: {name: at for name, at in self._memory.states.items() if wanted is None or name in wanted}
        }

    def _task_count(self, asked: dict[str, Any]) -> int:
        states = asked["states"]
        found = self._task_states(asked).get(self._run_id, {})
        return sum(states is None or state in states for state in found.values())

    def _run_count(self, asked: dict[str, Any]) -> int:
        runs = {(run.dag_id, run.run_id): "success" for run in self._memory.triggered}
        runs[self._dag_id, self._run_id] = "running"
        return sum(
            dag_id == asked["dag_id"]
            and (asked["run_ids"] is None or run_id in asked["run_ids"])
            and (asked["states"] is None or state in asked["states"])
            for (dag_id, run_id), state in runs.items()
        )

    def _dag_run(self, asked: dict[str, Any]) -> dict[str, Any]:
        dag_id, run_id = asked["dag_id"], asked["run_id"]
        if any((run.dag_id, run.run_id) == (dag_id, run_id) for run in self._memory.triggered):
            return {"dag_id": dag_id, "run_id": run_id, "state": "success"}
        if (dag_id, run_id) != (self._dag_id, self._run_id):
            self._nothing("this run")
        return {"dag_id": self._dag_id, "run_id": self._run_id, "state": "running"}

    # ------------------------------------------------------------ other DAGs

    def _trigger(self, asked: dict[str, Any]) -> dict[str, Any]:
        run_id = asked["run_id"] or f"manual__{len(self._memory.triggered) + 1}"
        _log.warning("dag.test() runs no other DAG: the run %s of %s counts as a success", run_id, asked["dag_id"])
        run = TriggeredRun(
            dag_id=asked["dag_id"], run_id=run_id, logical_date=asked["logical_date"], conf=asked.get("conf")
        )
        self._memory.triggered.append(run)
        return {"action_id": len(self._memory.triggered) - 1, "run_id": run_id}

    def _action(self, asked: dict[str, Any]) -> dict[str, Any]:
        run = self._memory.triggered[asked["action_id"]]
        return {"state": "done", "refused": None, "result": {"run_id": run.run_id}}

    def _dag(self, asked: dict[str, Any]) -> dict[str, Any]:
        return {"is_paused": False, "is_stale": False, "missing_task_ids": [], "has_task_group": True}

    @staticmethod
    def _known(store: Mapping[str, Any], key: str, what: str) -> Any:
        if key not in store:
            raise NotFound(f"there is no {what} {key!r}")
        return store[key]

    @staticmethod
    def _nothing(what: str) -> Any:
        raise NotFound(f"dag.test() has no {what}")


def read_variables(path: str | Path) -> dict[str, str]:
    """Variables from a JSON file with one object; values that are no text are kept as JSON. Raises UserError."""
    values = _read_object(path)
    return {key: value if isinstance(value, str) else json.dumps(value) for key, value in values.items()}


def read_connections(path: str | Path) -> dict[str, Connection]:
    """Connections from a JSON file: `{"my_db": "postgres://…"}` or `{"my_db": {"conn_type": …}}`. Raises UserError."""
    return {
        conn_id: Connection(conn_id, uri=value)
        if isinstance(value, str)
        else Connection.from_json(json.dumps(value), conn_id)
        for conn_id, value in _read_object(path).items()
    }


def _read_object(path: str | Path) -> dict[str, Any]:
    try:
        values = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"this file cannot be read as JSON: {error}", file=str(path)) from error
    if not isinstance(values, dict):
        raise UserError("this file must hold one JSON object", file=str(path))
    return values
