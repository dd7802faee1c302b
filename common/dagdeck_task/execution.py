"""Executing one task: from its definition to its outcome.

Decides the order of what happens in a try: params, templates, callbacks, hooks, the code itself, XCom.
Does not load DAG files (`definitions`) and does not decide what the outcome leads to (the scheduler).
Called by `runner_main` in a worker's runner and by `in_process` for `dag.test()`; never raises for what
the task's code does.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from types import GeneratorType
from typing import Any

import msgspec

from dagdeck import plugins, runtime
from dagdeck.context import Context
from dagdeck.exceptions import TaskAwaitingInput, TaskDeferred
from dagdeck.json_view import viewed
from dagdeck.operator import BaseOperator
from dagdeck.operators.yielded import exhausted
from dagdeck.xcom_arg import XCOM_RETURN_KEY
from dagdeck.xcom_codec import XComError
from dagdeck_core.outcome import decide
from dagdeck_core.states import TaskInstanceState
from dagdeck_core.wire import Effects, Outcome, RunTask, TaskError
from dagdeck_task import callbacks, extra_links, interruption, listener_calls, mapped, results, task_log
from dagdeck_task.channel import Channel
from dagdeck_task.definitions import Definition
from dagdeck_task.masking import Masker
from dagdeck_task.results import Ending
from dagdeck_task.task_instance import TaskInstance

_log = logging.getLogger("dagdeck.task")
_CONTAINERS = (list, dict, set)


class MaskingChannel:
    """The channel as Variables and Connections see it: a secret is hidden here and at the parent."""

    __slots__ = ("_channel", "_masker")

    def __init__(self, channel: Channel, masker: Masker) -> None:
        self._channel = channel
        self._masker = masker

    def request(self, method: str, arguments: dict[str, Any]) -> Any:
        """See Channel."""
        return self._channel.request(method, arguments)

    def mask(self, value: str) -> None:
        """Hide `value`."""
        if self._masker.add(value):
            self._channel.mask(value)


def run(task: RunTask, definition: Definition, channel: Channel, masker: Masker) -> Outcome:
    """Execute one dispatch and tell how it ended. KeyboardInterrupt passes through."""
    started = datetime.now(UTC)
    operator = _own_copy(definition.operator)
    ti = TaskInstance(task, operator, channel, started)
    tries = max(task.max_tries, task.try_number - 1) + 1
    task_log.say(
        f"Try {task.try_number} of {tries} of {ti.dag_id}.{ti.task_id}, run {ti.run_id}, dispatch {task.dispatch_no}"
    )
    channel.started(started)
    context = ti.get_template_context()
    attempt = _Attempt(operator, ti, context, masker)
    runtime.push(MaskingChannel(channel, masker), context)
    try:
        listener_calls.task_begins(ti)
        ending = attempt.guarded()
        if ti.task.retry_policy is not None and ending.result in results.RETRIED:
            ending = results.judged(ending, ti.task.retry_policy, task.try_number, task.max_tries, context)
        ended = datetime.now(UTC)
        state = _state_after(ending, task, definition, ended)
        ti.state = state.value
        _log_problem(ending)
        if operator.operator_extra_links or plugins.have_links():
            extra_links.push(ti)
        if not ending.was_terminated:
            callbacks.call_for_state(ti.task, state, context)
            listener_calls.task_ended(ti, state, ending)
        task_log.say(f"Ended as {state.value} after {(ended - started).total_seconds():.3f} s")
    finally:
        runtime.pop()
    return Outcome(
        task.dispatch_no,
        ending.result,
        started,
        ended,
        error=_masked(ending.error, masker),
        effects=attempt.effects(ending),
        reschedule_at=ending.reschedule_at,
        rendered_fields=attempt.rendered_fields(),
        rendered_map_index=None if ti.rendered_map_index is None else masker.mask(ti.rendered_map_index),
        callbacks_due=ending.was_terminated,
        retry_after=ending.retry_after,
        deferral=ending.deferral,
        question=ending.question,
    )


def _finished(result: Any) -> Any:
    """What `execute` gives; one that yields runs to its end first."""
    return exhausted(result) if type(result) is GeneratorType else result


def _own_copy(operator: BaseOperator) -> BaseOperator:
    """A copy that the try may change: rendered fields and what `execute` assigns must not outlive it."""
    twin: BaseOperator = object.__new__(type(operator))
    attributes = operator.__dict__.copy()
    for name, value in attributes.items():
        if type(value) in _CONTAINERS:
            attributes[name] = value.copy()
    object.__setattr__(twin, "__dict__", attributes)
    return twin


def _state_after(ending: Ending, task: RunTask, definition: Definition, now: datetime) -> TaskInstanceState:
    if ending.result == results.Result.SUCCESS:
        return TaskInstanceState.SUCCESS  # without the spec, which a warm process may never need
    return decide(
        ending.result,
        task=definition.spec,
        ti_id=task.ti_id,
        try_number=task.try_number,
        max_tries=task.max_tries,
        now=now,
        reschedule_at=ending.reschedule_at,
        retry_after=ending.retry_after,
    ).state


def _log_problem(ending: Ending) -> None:
    if ending.error is not None:
        _log.error("%s: %s", ending.error.kind, ending.error.message, exc_info=ending.exception)
    elif ending.exception is not None:
        _log.info("Skipped: %s", results.message_of(ending.exception))


def _masked(error: TaskError | None, masker: Masker) -> TaskError | None:
    return None if error is None else TaskError(error.kind, masker.mask(error.message))


class _Attempt:
    """The parts of one try, in order."""

    def __init__(self, operator: BaseOperator, ti: TaskInstance, context: Context, masker: Masker) -> None:
        self._operator = operator
        self._ti = ti
        self._context = context
        self._masker = masker
        self._kept: list[Any] = []
        """Values of a mapped instance that other tasks made: they are no templates."""
        self._mapped_length: int | None = None
        self._rendered: dict[str, Any] | None = None
        self._outlet_events: tuple[dict[str, Any], ...] = ()

    def guarded(self) -> Ending:
        """Run the task's code and turn whatever it raises into an ending."""
        try:
            with interruption.terminable(self._on_kill):
                self._execute()
            self._ti.rendered_map_index = mapped.shown_index(self._ti, self._context)
        except KeyboardInterrupt:
            raise
        except TaskDeferred as deferred:
            return self._deferred(deferred)
        except TaskAwaitingInput as asking:
            return self._asking(asking)
        except BaseException as error:  # noqa: BLE001 - user code may raise anything, SystemExit included
            self._context["exception"] = error
            self._note_shown_index()
            ending = results.ending_of(error)
            return self._with_events(ending) if ending.result == results.Result.SUCCESS else ending
        return results.SUCCESS

    def _on_kill(self) -> None:
        self._operator.on_kill()

    def _note_shown_index(self) -> None:
        """The index's name of a task that failed; what is wrong with it must not hide the failure."""
        try:
            self._ti.rendered_map_index = mapped.shown_index(self._ti, self._context)
        except Exception as error:  # noqa: BLE001 - a template of the author's may raise anything
            _log.warning("map_index_template cannot be rendered: %s", error)

    def _execute(self) -> None:
        context = self._context
        self._operator, self._kept = mapped.concrete(self._operator, context, self._ti)
        operator = self._operator
        if self._ti._source.dag_run.conf or operator.dag.params or operator._own_params:
            # Invalid params fail the task even if it never looks at them. Those with telling names are secrets.
            runtime.mask_secret(dict(context["params"]))
            runtime.mask_secret(self._ti._source.dag_run.conf)
        if operator.template_fields:
            operator.prepare_template()
            self._render()
        if operator.inlets or operator.outlets:
            from dagdeck_task.asset_checks import require_active  # most tasks do without

            require_active(operator, self._ti.ask)
        operator.pre_execute(context)
        callbacks.call(operator, "on_execute_callback", context)
        timeout = operator.execution_timeout
        if timeout:
            with interruption.time_limit(timeout.total_seconds(), operator.on_kill):
                result = _finished(self._call())
        else:
            result = _finished(self._call())
        operator.post_execute(context, result)
        self._push(result)
        if operator.outlets:
            self._collect_events()

    def _collect_events(self) -> None:
        events = self._ti.outlet_events.events(self._operator.outlets)
        self._outlet_events = tuple(msgspec.to_builtins(event) for event in events)

    def _with_events(self, ending: Ending) -> Ending:
        """A success that an exception told of has events as any other."""
        try:
            self._collect_events()
        except Exception as error:  # noqa: BLE001 - what a task emits may be wrong in any way
            return results.ending_of(error)
        return ending

    def _call(self) -> Any:
        """Begin the task, or go on after a deferral."""
        operator, source = self._operator, self._ti._source
        if source.next_method is not None:
            from dagdeck_task.triggering import next_kwargs

            return operator.resume_execution(source.next_method, next_kwargs(source.next_kwargs), self._context)
        if operator.start_from_trigger:
            from dagdeck_task.triggering import start_trigger

            deferred = start_trigger(operator, self._context)
            if deferred is not None:
                raise deferred
        return operator.execute(self._context)

    def _asking(self, asking: TaskAwaitingInput) -> Ending:
        from dagdeck_task.questions import make_question  # most tasks do without

        try:
            question = make_question(self._operator, asking)
        except Exception as error:  # noqa: BLE001 - a question of the author's may hold anything
            self._context["exception"] = error
            return results.ending_of(error)
        task_log.say(f"Waiting for a person: {question.subject}")
        return Ending(result=results.Result.AWAITING_INPUT, question=question)

    def _deferred(self, deferred: TaskDeferred) -> Ending:
        from dagdeck_task.triggering import make_deferral  # most tasks do without

        try:
            deferral = make_deferral(deferred, limit=self._ti._source.xcom_limit)
        except Exception as error:  # noqa: BLE001 - a trigger's serialize may raise anything
            self._context["exception"] = error
            return results.ending_of(error)
        task_log.say(f"Deferred: it goes on in {deferral.next_method} when {deferral.classpath} fires")
        return Ending(result=results.Result.DEFERRED, deferral=deferral)

    def _render(self) -> None:
        operator = self._operator
        if type(operator).render_template_fields is BaseOperator.render_template_fields:
            mapped.render_all(operator, self._context, self._kept)
        else:
            operator.render_template_fields(self._context)
        values = {field: getattr(operator, field, None) for field in operator.template_fields}
        shown = {field: value for field, value in values.items() if value not in (None, (), [], {})}
        if shown:
            self._rendered = {
                field: viewed(value, name=field, mask=self._masker.mask) for field, value in shown.items()
            }

    def _push(self, result: Any) -> None:
        operator, ti = self._operator, self._ti
        is_source = mapped.is_expanded_over(ti, result, ti._source.map_limit)
        if result is None or not operator.do_xcom_push:
            return
        if operator.multiple_outputs:
            if not isinstance(result, Mapping):
                raise XComError(
                    f"multiple_outputs needs a dict as return value, this is a {type(result).__name__}; "
                    "return a dict or set multiple_outputs=False"
                )
            wrong = next((key for key in result if not isinstance(key, str)), None)
            if wrong is not None:
                raise XComError(f"multiple_outputs needs text as keys of the returned dict, {wrong!r} is none")
            for key, value in result.items():
                ti.xcom_push(key, value)
        ti.xcom_push(XCOM_RETURN_KEY, result)
        if is_source or isinstance(result, (list, dict)):
            self._mapped_length = len(result)

    def effects(self, ending: Ending) -> Effects | None:
        """What the scheduler is to do for this task in its run; None when nothing."""
        skip = dict.fromkeys((*self._ti.skipped, *ending.skip)) if ending.result == "success" else {}
        returned = self._ti.map_index >= 0 and mapped.counts_for_expansion(self._ti)
        events = self._outlet_events if ending.result == "success" else ()
        if not skip and not self._ti.followed and self._mapped_length is None and not returned and not events:
            return None
        return Effects(
            skip=tuple(skip),
            followed=self._ti.followed,
            mapped_length=self._mapped_length,
            outlet_events=events,
            returned=returned,
        )

    def rendered_fields(self) -> dict[str, Any] | None:
        """The template fields as they were rendered, bounded and masked; None when all were empty."""
        late = self._ti.rendered_late
        if not late:
            return self._rendered
        seen = {name: viewed(value, name=name, mask=self._masker.mask) for name, value in late.items()}
        return {**(self._rendered or {}), **seen}


def failed_before_start(task: RunTask, error: BaseException) -> Outcome:
    """The outcome of a task whose code could not even be found."""
    now = datetime.now(UTC)
    _log.error("%s", error)
    problem = TaskError(type(error).__name__, results.message_of(error))
    return Outcome(task.dispatch_no, results.Result.FAILED, now, now, error=problem)


__all__ = ["MaskingChannel", "failed_before_start", "run"]
