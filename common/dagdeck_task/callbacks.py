"""Calling a task's on_*_callback functions.

Decides which ones a state asks for. What they raise is logged and changes nothing. Called by
`dagdeck_task.execution` in the task's own process, when its outcome is known, and by `side_work` when that process
could not do it.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

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
_MAIL_ASKED = {
    TaskInstanceState.FAILED: "email_on_failure",
    TaskInstanceState.UP_FOR_RETRY: "email_on_retry",
}


def call_for_state(task: BaseOperator, state: TaskInstanceState, context: Context) -> bool:
    """Call what the task wants called in `state`, and send the mail that it wants; False when something failed."""
    name = _BY_STATE.get(state)
    if name is None:
        return True
    went_well = call(task, name, context)
    if task.email and _MAIL_ASKED.get(state) and getattr(task, _MAIL_ASKED[state]):
        return _send_mail(task, state, context) and went_well
    return went_well


def call(task: BaseOperator, name: str, context: Context) -> bool:
    """Call the callback, or each of several, that the task has under `name`; False when one failed."""
    callbacks = getattr(task, name)
    return call_each(callbacks, name, context) if callbacks else True


def call_each(callbacks: Any, name: str, context: Context) -> bool:
    """Call a callback, or each of several; False when one failed."""
    went_well = True
    for callback in callbacks if isinstance(callbacks, (list, tuple)) else (callbacks,):
        try:
            callback(context)
        except Exception:  # noqa: BLE001 - a callback's failure never changes the task
            _log.exception("%s failed: %r", name, callback)
            went_well = False
    return went_well


def _send_mail(task: BaseOperator, state: TaskInstanceState, context: Context) -> bool:
    """Tell the people named in the task's `email`."""
    # Only tasks that want mail pay for it.
    from dagdeck import email_messages

    try:
        email_messages.send_task_mail(task.email, context, will_retry=state is TaskInstanceState.UP_FOR_RETRY)
    except Exception:  # noqa: BLE001 - neither does a mail server's
        _log.exception("the mail about this task could not be sent")
        return False
    return True
