"""Deadlines in a runner: calling what a missed one asks for, and asking when one is.

Decides what a callback is given and how something that can be awaited is run. Does not decide when a deadline is
missed (`dagdeck_core.scheduling.deadlines`). Carried out for `side_work`.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from dagdeck import runtime
from dagdeck.deadlines import DagRunLogicalDateDeadline, VariableInterval, import_callback
from dagdeck.exceptions import AirflowException
from dagdeck.notifier import BaseNotifier
from dagdeck_core.wire import RunTask
from dagdeck_core.work import DeadlineCallback, DeadlineMoment, TaskFacts
from dagdeck_task import task_log
from dagdeck_task.dag_run import DagRun, as_pendulum
from dagdeck_task.execution import MaskingChannel
from dagdeck_task.side_work import Desk, carries, context_of_ended


@carries(DeadlineCallback)
def call(desk: Desk, order: DeadlineCallback) -> None:
    """Call the callback of a missed deadline; what it raises is the order's failure."""
    context = _context(desk, order)
    task_log.say(f"Run {desk.task.dag_run.run_id} of dag {desk.dag.dag_id} missed its deadline {order.deadline_time}")
    callback = import_callback(order.path)
    arguments = dict(order.kwargs)
    with runtime.answering(MaskingChannel(desk.channel, desk.masker)):
        if inspect.isclass(callback) and issubclass(callback, BaseNotifier):
            callback(**arguments)(context)
            return
        if _takes_context(callback):
            arguments["context"] = context
        result = callback(**arguments)
        if inspect.isawaitable(result):
            asyncio.run(_awaited(result))


async def _awaited(result: Any) -> Any:
    return await result


def _takes_context(callback: Callable[..., Any]) -> bool:
    try:
        parameters = inspect.signature(callback).parameters
    except (TypeError, ValueError):
        return False
    return "context" in parameters or any(each.kind is each.VAR_KEYWORD for each in parameters.values())


def _context(desk: Desk, order: DeadlineCallback) -> Any:
    """What a callback is told: the run's context where the DAG has a task, and the deadline."""
    first = next(iter(desk.dag.task_dict.values()), None)
    context: Any = {"dag": desk.dag, "dag_run": DagRun(desk.task.dag_run), "run_id": desk.task.dag_run.run_id}
    if first is not None:
        context = context_of_ended(desk, first, TaskFacts(ti_id=0, task_id=first.task_id))
    context["deadline"] = {
        "id": order.deadline_id,
        "deadline_time": as_pendulum(order.deadline_time),
        "alert_name": order.name or None,
    }
    return context


@carries(DeadlineMoment)
def moment(desk: Desk, order: DeadlineMoment) -> str | None:
    """When the deadline is, as text; None when this run has none."""
    alert = desk.dag.deadline[order.number]
    with runtime.answering(MaskingChannel(desk.channel, desk.masker)):
        since = order.since or _since(desk.task, alert.reference, order.queued_at)
        if since is None:
            return None
        interval = alert.interval
        if isinstance(interval, VariableInterval):
            interval = _seconds_of_variable(interval.key)
    return (since + interval).astimezone(UTC).isoformat()


def _since(task: RunTask, reference: Any, queued_at: datetime) -> datetime | None:
    run = task.dag_run
    if isinstance(reference, DagRunLogicalDateDeadline):
        return run.logical_date
    facts = {
        "dag_id": run.dag_id,
        "run_id": run.run_id,
        "logical_date": as_pendulum(run.logical_date),
        "queued_at": as_pendulum(queued_at),
        "run_after": as_pendulum(run.run_after),
        "interval": None,
    }
    built_in = {"DagRunQueuedAtDeadline": queued_at, "FixedDatetimeDeadline": getattr(reference, "_datetime", None)}
    if type(reference).__name__ in built_in:
        return built_in[type(reference).__name__]
    found = reference._evaluate_with(session=None, **facts)
    if found is not None and (not isinstance(found, datetime) or found.utcoffset() is None):
        raise AirflowException(f"the deadline reference {reference.reference_name} answered {found!r}: no aware time")
    return found


def _seconds_of_variable(key: str) -> timedelta:
    from dagdeck.variable import Variable

    text = Variable.get(key)
    try:
        return timedelta(seconds=float(text))
    except (TypeError, ValueError) as error:
        raise AirflowException(f"the Variable {key!r} must hold seconds, not {text!r}") from error
