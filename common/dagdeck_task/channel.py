"""Channel: the port through which a running task reaches the process that started it.

Decides what a task may ask and say. Does not decide how it travels: the worker's runner sends it over a
pipe, `dag.test()` answers it from memory. Implemented by both, used by `dagdeck_task.execution`.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Protocol

from dagdeck.runtime import NotFound, RequestFailed

__all__ = ["Channel", "NotFound", "RequestFailed"]


class Channel(Protocol):
    """One task's line to its parent; used from the task's threads, one call at a time."""

    def request(self, method: str, arguments: dict[str, Any]) -> Any:
        """The answer to one of `dagdeck_core.wire.REQUEST_METHODS`.

        `xcom_get` answers a list of (map_index, JSON text) pairs, by map_index; `variable_get` text;
        `connection_get` a dict of the connection's parts; `task_states_get` {run_id: {task_id: state}};
        `dag_run_get` and `previous_dag_run_get` a dict of the run's fields; `dag_run_count` a number; the
        others nothing. Raises NotFound when the thing asked for does not exist, RequestFailed when it
        cannot be had now.
        """
        ...

    def started(self, at: datetime) -> None:
        """User code begins now (aware UTC)."""
        ...

    def mask(self, value: str) -> None:
        """Hide `value` in this task's log from now on."""
        ...
