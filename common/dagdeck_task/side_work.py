"""Executing other work than tasks: callbacks whose task cannot call them, and questions to user code.

Decides what each order does in a runner and what its outcome says. Does not decide when such work is made
(`dagdeck_core.scheduling.side_work`). Called by `runner_main` with the orders of a worker, and by `in_process` for the
callbacks of a tested run; never raises for what user code does.
"""

from __future__ import annotations

import importlib
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec

from dagdeck import runtime
from dagdeck.context import Context
from dagdeck.dags import DAG
from dagdeck.exceptions import AirflowException
from dagdeck.operator import BaseOperator
from dagdeck_core import work
from dagdeck_core.errors import UserError
from dagdeck_core.outcome import Result
from dagdeck_core.states import TaskInstanceState
from dagdeck_core.wire import Outcome, RunTask, TaskError
from dagdeck_task import callbacks, interruption, listener_calls, results, task_log
from dagdeck_task.channel import Channel
from dagdeck_task.execution import MaskingChannel
from dagdeck_task.masking import Masker
from dagdeck_task.task_instance import TaskInstance

_log = logging.getLogger("dagdeck.task")


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """What carrying out one order needs."""

    task: RunTask
    dag: DAG
    channel: Channel
    masker: Masker


def run(task: RunTask, dag: DAG, channel: Channel, masker: Masker) -> Outcome:
    """Carry out one order and tell how it ended. KeyboardInterrupt passes through."""
    started = datetime.now(UTC)
    channel.started(started)
    order = task.order
    if order is None:
        text = f"this worker cannot execute work of the kind {task.kind!r}"
        refused = TaskError("FeatureNotAvailable", text)
        return Outcome(task.dispatch_no, Result.FAIL_WITHOUT_RETRY, started, started, error=refused)
    desk = Desk(task=task, dag=dag, channel=channel, masker=masker)
    answer: Any = None
    error: TaskError | None = None
    try:
        with interruption.terminable(lambda: None), interruption.time_limit(task.execution_timeout, lambda: None):
            answer = _bounded(_carry_out(desk, order))
    except KeyboardInterrupt:
        raise
    except BaseException as problem:  # noqa: BLE001 - user code may raise anything, SystemExit included
        _log.error("%s", results.message_of(problem), exc_info=problem)
        error = TaskError(type(problem).__name__, masker.mask(results.message_of(problem)))
    result = Result.SUCCESS if error is None else Result.FAILED
    return Outcome(task.dispatch_no, result, started, datetime.now(UTC), error=error, answer=answer)


class CallbackFailed(AirflowException):
    """A callback raised; the log says what."""


def _carry_out(desk: Desk, order: work.Order) -> Any:
    match order:
        case work.TaskCallback():
            return _task_callback(desk, order)
        case work.RunCallback():
            return call_for_run(desk, order)
        case work.RunBegun():
            return listener_calls.run_began(desk.task.dag_run, order)
        case _:
            importlib.import_module(_HOMES.get(type(order), __name__))
            if type(order) in _CARRIERS:
                return _CARRIERS[type(order)](desk, order)
    raise UserError(f"this worker cannot carry out the order {type(order).__name__}", remedy="Upgrade it")


_HOMES: dict[type, str] = {
    work.NextRuns: "dagdeck_task.timetable_questions",
    work.ManualInterval: "dagdeck_task.timetable_questions",
    work.AssetNews: "dagdeck_task.asset_news",
    work.MapKeys: "dagdeck_task.partition_questions",
    work.JudgePartition: "dagdeck_task.partition_questions",
    work.DeadlineCallback: "dagdeck_task.deadline_calls",
    work.DeadlineMoment: "dagdeck_task.deadline_calls",
}
"""Modules that carry out orders, imported when the first such order comes."""
_CARRIERS: dict[type, Callable[[Desk, Any], Any]] = {}


def carries(order: type) -> Callable[[Callable[[Desk, Any], Any]], Callable[[Desk, Any], Any]]:
    """Declare the function that carries out orders of this type."""

    def declare(function: Callable[[Desk, Any], Any]) -> Callable[[Desk, Any], Any]:
        _CARRIERS[order] = function
        return function

    return declare


def _bounded(answer: Any) -> Any:
    if answer is None:
        return None
    size = len(msgspec.json.encode(answer))
    if size > work.ANSWER_BYTES:
        raise UserError(f"the answer has {size:,} bytes as JSON; {work.ANSWER_BYTES:,} are the limit")
    return answer


# ---------------------------------------------------------------- callbacks


def _task_callback(desk: Desk, order: work.TaskCallback) -> None:
    """Call what a task's dead process could not call."""
    facts = order.task
    operator = desk.dag.get_task(facts.task_id)
    context = context_of_ended(desk, operator, facts)
    state = facts.state or TaskInstanceState.FAILED
    if state not in (TaskInstanceState.SUCCESS, TaskInstanceState.SKIPPED):
        context["exception"] = AirflowException(facts.error or "the task's process ended without saying why")
    task_log.say(f"{', '.join(order.names)} of {desk.dag.dag_id}.{facts.task_id}: {facts.error or state.value}")
    _called(desk, context, lambda: callbacks.call_for_state(operator, state, context))


def call_for_run(desk: Desk, order: work.RunCallback) -> None:
    """Call a DAG's on_success_callback or on_failure_callback."""
    dag = desk.dag
    called = dag.on_failure_callback if order.is_failure else dag.on_success_callback
    listener_calls.run_ended(desk.task.dag_run, order)
    if not called:
        return
    name = "on_failure_callback" if order.is_failure else "on_success_callback"
    facts = order.task or work.TaskFacts(ti_id=0, task_id=next(iter(dag.task_dict), ""))
    if not facts.task_id:
        raise UserError(f"dag {dag.dag_id!r} has no task whose context its {name} could be given")
    context = context_of_ended(desk, dag.get_task(facts.task_id), facts)
    context["reason"] = order.reason
    task_log.say(f"{name} of dag {dag.dag_id}, run {desk.task.dag_run.run_id}: {order.reason}")
    _called(desk, context, lambda: callbacks.call_each(called, name, context))


def context_of_ended(desk: Desk, operator: BaseOperator, facts: work.TaskFacts) -> Context:
    """The context of a task instance that has ended, for what is called after it."""
    ti = TaskInstance(desk.task, operator, desk.channel, facts.start_date or datetime.now(UTC))
    ti.end(facts.state, facts.end_date, dispatch_no=facts.dispatch_no, hostname=facts.hostname)
    return ti.get_template_context()


def _called(desk: Desk, context: Context, call: Callable[[], bool]) -> None:
    runtime.push(MaskingChannel(desk.channel, desk.masker), context)
    try:
        if not call():
            raise CallbackFailed("a callback failed; the log above says why")
    finally:
        runtime.pop()
