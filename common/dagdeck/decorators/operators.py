"""The operators behind `@task` and its kin.

Decides how a decorated function's arguments are checked and kept, and what each kind does with its result.
Made by `dagdeck.decorators.task_factory`. Class names are those that Airflow shows.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, ClassVar

from dagdeck import scope
from dagdeck.context import KNOWN_CONTEXT_KEYS, Context
from dagdeck.exceptions import AirflowException, InvalidArguments, invalid
from dagdeck.operators.bash import BashOperator
from dagdeck.operators.callable_arguments import keyword_arguments
from dagdeck.operators.python import BranchPythonOperator, PythonOperator, ShortCircuitOperator
from dagdeck.sensors.python import PythonSensor
from dagdeck.xcom_arg import NOTSET


def free_task_id(task_id: str, arguments: Mapping[str, Any]) -> str:
    """`task_id`, or with the next free `__N` where the DAG already has it."""
    group = arguments.get("task_group")
    dag = arguments.get("dag") or (group.dag if group is not None else scope.current_dag())
    if group is None:
        group = scope.current_group(dag)
    return task_id if group is None else group.free_id(task_id)


@functools.lru_cache(maxsize=1024)
def _signature_of(function: Callable[..., Any]) -> inspect.Signature | None:
    """The function's signature, found once however many tasks are made of it; None when it has none."""
    try:
        return inspect.signature(function)
    except (TypeError, ValueError):
        return None


def check_call(function: Callable[..., Any], args: Collection[Any], kwargs: Mapping[str, Any], task_id: str) -> None:
    """Raise UserError when the function cannot be called like this; context values are filled in later."""
    try:
        signature = _signature_of(function)
    except TypeError:
        signature = None  # a callable object without a hash; it is checked when it is called
    if signature is None:
        return
    lenient = []
    for parameter in signature.parameters.values():
        if parameter.name in KNOWN_CONTEXT_KEYS and parameter.kind not in (
            inspect.Parameter.VAR_KEYWORD,
            inspect.Parameter.VAR_POSITIONAL,
        ):
            if parameter.default not in (inspect.Parameter.empty, None):
                raise invalid(
                    f"parameter {parameter.name!r} is filled with a value of the context, so its default must be None",
                    subject=f"task {task_id!r}",
                    field=function.__name__,
                    value=parameter.default,
                )
            continue
        lenient.append(parameter)
    context_names = set(signature.parameters) & KNOWN_CONTEXT_KEYS
    try:
        if context_names & set(kwargs) or len(args) >= len(lenient):
            # Context values that the author gives, by name or by position, count like any other argument.
            _bind_with_defaults(signature, args, kwargs)
        else:
            signature.replace(parameters=lenient).bind(*args, **kwargs)
    except TypeError as error:
        raise invalid(
            f"{function.__name__}{signature} cannot be called like this: {error}",
            subject=f"task {task_id!r}",
            error=InvalidArguments,
        ) from error


def _bind_with_defaults(signature: inspect.Signature, args: Collection[Any], kwargs: Mapping[str, Any]) -> None:
    """Bind, with the context's parameters and all behind them optional where that is needed for a valid order."""
    bound = signature.bind_partial(*args, **kwargs)
    for parameter in signature.parameters.values():
        needed = parameter.default is inspect.Parameter.empty and parameter.kind not in (
            inspect.Parameter.VAR_KEYWORD,
            inspect.Parameter.VAR_POSITIONAL,
        )
        if needed and parameter.name not in bound.arguments and parameter.name not in KNOWN_CONTEXT_KEYS:
            raise TypeError(f"missing a required argument: {parameter.name!r}")


class _PythonDecoratedOperator(PythonOperator):
    """Calls the decorated function."""

    custom_operator_name = "@task"

    def __init__(
        self,
        *,
        python_callable: Callable[..., Any],
        task_id: str,
        op_args: Collection[Any] | None = None,
        op_kwargs: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        check_call(python_callable, op_args or (), op_kwargs or {}, task_id)
        super().__init__(
            task_id=free_task_id(task_id, kwargs),
            python_callable=python_callable,
            op_args=op_args or (),
            op_kwargs=op_kwargs or {},
            **kwargs,
        )


class _BranchPythonDecoratedOperator(_PythonDecoratedOperator, BranchPythonOperator):
    """Calls the decorated function and follows what it returns."""

    custom_operator_name = "@task.branch"


class _ShortCircuitDecoratedOperator(_PythonDecoratedOperator, ShortCircuitOperator):
    """Calls the decorated function and stops if it returns something false."""

    custom_operator_name = "@task.short_circuit"


class DecoratedSensorOperator(PythonSensor):
    """Calls the decorated function until it returns something true."""

    custom_operator_name = "@task.sensor"

    def __init__(
        self,
        *,
        python_callable: Callable[..., Any],
        task_id: str,
        op_args: Collection[Any] | None = None,
        op_kwargs: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        check_call(python_callable, op_args or (), op_kwargs or {}, task_id)
        kwargs["multiple_outputs"] = False
        super().__init__(
            task_id=free_task_id(task_id, kwargs),
            python_callable=python_callable,
            op_args=op_args,
            op_kwargs=op_kwargs,
            **kwargs,
        )


class _BashDecoratedOperator(BashOperator):
    """Runs the bash command that the decorated function returns."""

    custom_operator_name = "@task.bash"
    template_fields: ClassVar[Sequence[str]] = ("op_args", "op_kwargs", *BashOperator.template_fields)
    template_fields_renderers: ClassVar[Mapping[str, str]] = {
        **BashOperator.template_fields_renderers,
        "op_args": "py",
        "op_kwargs": "py",
    }

    def __init__(
        self,
        *,
        python_callable: Callable[..., Any],
        task_id: str,
        op_args: Collection[Any] | None = None,
        op_kwargs: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        check_call(python_callable, op_args or (), op_kwargs or {}, task_id)
        # What a bash task returns is one line, unless an output_processor makes a dict of it and says so.
        kwargs.setdefault("multiple_outputs", False)
        super().__init__(task_id=free_task_id(task_id, kwargs), bash_command=NOTSET, **kwargs)
        self.python_callable = python_callable
        self.op_args: Collection[Any] = op_args or ()
        self.op_kwargs: Mapping[str, Any] = op_kwargs or {}

    def execute(self, context: Context) -> Any:
        """Ask the function for the command, render it and run it."""
        kwargs = keyword_arguments(self.python_callable, self.op_args, self.op_kwargs, context)
        command = self.python_callable(*self.op_args, **kwargs)
        if not isinstance(command, str) or not command.strip():
            raise AirflowException(
                f"a function decorated with @task.bash returns the command as text, not {type(command).__name__}"
            )
        self.bash_command = self.render_template(command, context)
        context["ti"].note_rendered_field("bash_command", self.bash_command)
        return super().execute(context)
