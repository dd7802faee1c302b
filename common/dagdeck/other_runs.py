"""Other DAGs' runs and tasks, as a running task or trigger sees and changes them.

Decides which questions there are and how long a task waits for what it asked for. Does not answer them: they go
through `dagdeck.runtime` to the process that holds the database, and what changes something goes from there to the
scheduler as an action. Used by TriggerDagRunOperator, ExternalTaskSensor, their triggers and `ti.get_task_states`.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from dagdeck import runtime
from dagdeck.exceptions import AirflowException, DagRunAlreadyExists

FIRST_LOOK = 0.02
"""Seconds between the first looks at an action that is under way."""
LAST_LOOK = 0.5
"""Seconds between looks after a while."""
LONGEST_WAIT = 600.0
"""Seconds that a task waits for the scheduler to carry out what it asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Runs of one DAG, by their ids or logical dates, and tasks in them; None: all."""

    dag_id: str
    run_ids: Sequence[str] | None = None
    logical_dates: Sequence[datetime] | None = None
    task_ids: Sequence[str] | None = None
    task_group_id: str | None = None
    map_index: int | None = None

    def arguments(self, *, of_tasks: bool) -> dict[str, Any]:
        """As the arguments of a request."""
        asked: dict[str, Any] = {
            "dag_id": self.dag_id,
            "run_ids": None if self.run_ids is None else list(self.run_ids),
            "logical_dates": None
            if self.logical_dates is None
            else [datetime.fromtimestamp(date.timestamp(), date.tzinfo).isoformat() for date in self.logical_dates],
        }
        if of_tasks:
            asked["task_ids"] = None if self.task_ids is None else list(self.task_ids)
            asked["task_group_id"] = self.task_group_id
            asked["map_index"] = self.map_index
        return asked


def count_tasks(selection: Selection, states: Collection[str] | None = None) -> int:
    """How many task instances are selected, in one of `states` if given. Raises NotFound for an unknown group."""
    asked = {**selection.arguments(of_tasks=True), "states": _texts(states)}
    return int(_ask("task_count", asked))


def task_states(selection: Selection) -> dict[str, dict[str, str | None]]:
    """States by run id and task id; a mapped one is named `task_id_index`. Raises NotFound for an unknown group."""
    found: dict[str, dict[str, str | None]] = _ask("task_states_get", selection.arguments(of_tasks=True))
    return found


def count_runs(selection: Selection, states: Collection[str] | None = None) -> int:
    """How many runs are selected, in one of `states` if given."""
    asked = {**selection.arguments(of_tasks=False), "states": _texts(states)}
    return int(_ask("dag_run_count", asked))


def run_state(dag_id: str, run_id: str) -> str:
    """The state of a run. Raises NotFound."""
    return str(_ask("dag_run_get", {"dag_id": dag_id, "run_id": run_id})["state"])


def dag_facts(
    dag_id: str, *, task_ids: Collection[str] | None = None, task_group_id: str | None = None
) -> dict[str, Any]:
    """{"is_paused", "is_stale", "missing_task_ids", "has_task_group"} of a DAG. Raises NotFound."""
    asked = {"dag_id": dag_id, "task_ids": _texts(task_ids), "task_group_id": task_group_id}
    found: dict[str, Any] = _ask("dag_get", asked)
    return found


def trigger(
    key: str,
    dag_id: str,
    *,
    run_id: str | None = None,
    logical_date: datetime | None = None,
    conf: Mapping[str, Any] | None = None,
    note: str | None = None,
) -> str:
    """Trigger a run and wait until it exists; its run id. The same `key` of one dispatch triggers once.

    Raises NotFound for an unknown DAG, DagRunAlreadyExists, RequestFailed or AirflowException for other refusals.
    """
    asked = {
        "key": key,
        "dag_id": dag_id,
        "run_id": run_id,
        "logical_date": None if logical_date is None else logical_date.isoformat(),
        "conf": None if conf is None else dict(conf),
        "note": note,
    }
    ended = _await_action(_ask("dag_run_trigger", asked)["action_id"])
    if ended["refused"] is None:
        return str(ended["result"]["run_id"])
    if ended["result"].get("kind") == "exists":
        raise DagRunAlreadyExists(dag_id, run_id or "", ended["refused"])
    raise AirflowException(f"the run of {dag_id!r} was not triggered: {ended['refused']}")


def clear(key: str, dag_id: str, *, run_id: str | None, logical_date: datetime | None) -> str:
    """Clear a whole run, so that it runs again, and wait until that has happened; its run id. Raises as `trigger`."""
    date = None if logical_date is None else logical_date.isoformat()
    answer = _ask("dag_run_clear", {"key": key, "dag_id": dag_id, "run_id": run_id, "logical_date": date})
    ended = _await_action(answer["action_id"])
    if ended["refused"] is not None:
        raise AirflowException(f"the run {answer['run_id']!r} of {dag_id!r} was not cleared: {ended['refused']}")
    return str(answer["run_id"])


def _await_action(action_id: int) -> dict[str, Any]:
    deadline = time.monotonic() + LONGEST_WAIT
    pause = FIRST_LOOK
    while True:
        found: dict[str, Any] = _ask("action_get", {"action_id": action_id})
        if found["state"] != "pending":
            return found
        if time.monotonic() > deadline:
            raise AirflowException(
                f"the scheduler has not carried out action {action_id} within {LONGEST_WAIT:g} s; it was stored and "
                "will still be carried out"
            )
        time.sleep(pause)
        pause = min(pause * 1.3, LAST_LOOK)


def _ask(method: str, arguments: dict[str, Any]) -> Any:
    requests = runtime.current_requests()
    if requests is None:
        raise AirflowException("other DAGs' runs can be asked for only while a task is running")
    return requests.request(method, arguments)


def _texts(values: Collection[Any] | None) -> list[Any] | None:
    return None if values is None else [None if value is None else str(value) for value in values]
