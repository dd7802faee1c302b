"""Calling a task's on_*_callback functions.

Decides which ones a state asks for. What they raise is logged and changes nothing. Called by
`dagdeck_task.execution` in the task's own process, when its outcome is known.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from dagdeck_core.states import TaskInstanceState

if TYPE_CHECKING:
    from dagdeck.context import Context
    from dagdeck.operator import BaseOperator

_log = logging.getLogger("dagdeck.task")

_BY_STATE = {
    TaskInstanceState.SUCCESS: "on_success_callback",
    TaskInstanceState.FAILED: "on_failure_callback",
    TaskInstanceState.UP_FOR_RETRY: "on_retry_callback",
    TaskInstanceState.SKIPPED: "on_skipped_callback",
}


def call_for_state(task: BaseOperator, state: TaskInstanceState, context: Context) -> None:
    """Call what the task wants called in `state`."""
    name = _BY_STATE.get(state)
    if name is not None:
        call(task, name, context)


def call(task: BaseOperator, name: str, context: Context) -> None:
    """Call the callback, or each of several, that the task has under `name`."""
    callbacks = getattr(task, name)
    if not callbacks:
        return
    for callback in callbacks if isinstance(callbacks, (list, tuple)) else (callbacks,):
        try:
            callback(context)
        except Exception:  # noqa: BLE001 - a callback's failure never changes the task
            _log.exception("%s failed: %r", name, callback)
