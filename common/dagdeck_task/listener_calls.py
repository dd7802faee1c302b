"""Telling listeners what happens to a task or a run.

Decides which moment each end is and what listeners are given. Does not decide how they are called
(`dagdeck.listeners`). Called by `execution` in the task's process and by `side_work` for runs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dagdeck.listeners import get_listener_manager
from dagdeck_core.states import DagRunState, TaskInstanceState
from dagdeck_core.wire import DagRunContext
from dagdeck_core.work import RunBegun, RunCallback
from dagdeck_task.dag_run import DagRun, as_pendulum

if TYPE_CHECKING:
    from dagdeck_task.results import Ending
    from dagdeck_task.task_instance import TaskInstance

_S = TaskInstanceState
_manager = get_listener_manager()
_MOMENTS = {
    _S.SUCCESS: "on_task_instance_success",
    _S.SKIPPED: "on_task_instance_skipped",
    _S.FAILED: "on_task_instance_failed",
    _S.UP_FOR_RETRY: "on_task_instance_failed",
}


class TaskRunnerMarker:
    """The component that on_starting and before_stopping name in a task's process."""


_component = TaskRunnerMarker()


def task_begins(ti: TaskInstance) -> None:
    """A try begins."""
    if _manager.has_listeners:
        _manager.call("on_starting", component=_component)
        _manager.call("on_task_instance_running", previous_state=_S.QUEUED, task_instance=ti)


def task_ended(ti: TaskInstance, state: TaskInstanceState, ending: Ending) -> None:
    """A try ended in this process."""
    if not _manager.has_listeners:
        return
    values: dict[str, Any] = {"previous_state": _S.RUNNING, "task_instance": ti}
    moment = _MOMENTS.get(state)
    if moment == "on_task_instance_failed":
        values["error"] = ending.exception or (ending.error.message if ending.error else None)
    if moment is not None:
        _manager.call(moment, **values)
    _manager.call("before_stopping", component=_component)


def run_began(source: DagRunContext, order: RunBegun) -> None:
    """A run began; it may be further by now."""
    run = DagRun(source)
    run.state = DagRunState.RUNNING.value
    run.queued_at = as_pendulum(order.queued_at)
    run.__dict__["start_date"] = as_pendulum(order.start_date)
    run.__dict__["end_date"] = None
    _manager.call("on_dag_run_running", dag_run=run, msg="started")


def run_ended(source: DagRunContext, order: RunCallback) -> None:
    """A run ended by itself."""
    if _manager.has_listeners:
        moment = "on_dag_run_failed" if order.is_failure else "on_dag_run_success"
        _manager.call(moment, dag_run=DagRun(source), msg=order.reason)


__all__ = ["TaskRunnerMarker", "run_began", "run_ended", "task_begins", "task_ended"]
