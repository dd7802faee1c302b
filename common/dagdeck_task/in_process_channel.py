"""The channel of `dag.test()`: answers a task's questions from memory.

Decides what a task finds that no cluster stands behind: XComs of this run, and the Variables and Connections
that the author supplies in files. Used by `dagdeck_task.in_process` and by tests.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from dagdeck.connection import Connection
from dagdeck_core.errors import UserError
from dagdeck_task.channel import NotFound


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
            "dag_run_count": lambda asked: int(asked["dag_id"] == self._dag_id),
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
        wanted = asked["task_ids"]
        found = {name: state for name, state in self._memory.states.items() if wanted is None or name in wanted}
        return {self._run_id: found} if asked["dag_id"] == self._dag_id else {}

    def _dag_run(self, asked: dict[str, Any]) -> dict[str, Any]:
        if (asked["dag_id"], asked["run_id"]) != (self._dag_id, self._run_id):
            self._nothing("this run")
        return {"dag_id": self._dag_id, "run_id": self._run_id, "state": "running"}

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
