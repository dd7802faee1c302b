"""`task`: the decorator that makes tasks of functions, and its kinds (`@task.bash`, `@task.branch`, …).

Decides which kinds there are. What they make is in `task_factory` and `operators`. Used in DAG files.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dagdeck.context import Context
from dagdeck.decorators.operators import (
    DecoratedSensorOperator,
    _BashDecoratedOperator,
    _BranchPythonDecoratedOperator,
    _PythonDecoratedOperator,
    _ShortCircuitDecoratedOperator,
)
from dagdeck.decorators.task_factory import TaskFactory, task_decorator
from dagdeck.exceptions import AirflowSkipException, InvalidArguments, close_match, invalid

Condition = Callable[[Context], "bool | tuple[bool, str | None]"]

_PACKAGES = {
    "docker": "docker",
    "kubernetes": "cncf-kubernetes",
    "kubernetes_cmd": "cncf-kubernetes",
    "llm": "common-ai",
    "pyspark": "apache-spark",
    "snowpark": "snowflake",
}
"""Kinds that provider packages bring, and which."""


class TaskDecorators:
    """`@task`, called with or without arguments, and the other kinds as attributes.

    Every kind takes `multiple_outputs` and all arguments of its operator.
    """

    def __call__(
        self, python_callable: Callable[..., Any] | None = None, multiple_outputs: bool | None = None, **kwargs: Any
    ) -> Any:
        """A task that calls the function: as `@task.python`."""
        return self.python(python_callable, multiple_outputs, **kwargs)

    def python(
        self, python_callable: Callable[..., Any] | None = None, multiple_outputs: bool | None = None, **kwargs: Any
    ) -> Any:
        """A task that calls the function and pushes what it returns."""
        return task_decorator(
            python_callable,
            operator_class=_PythonDecoratedOperator,
            multiple_outputs=multiple_outputs,
            arguments=kwargs,
            decorator="@task",
        )

    def bash(
        self, python_callable: Callable[..., Any] | None = None, multiple_outputs: bool = False, **kwargs: Any
    ) -> Any:
        """A task that runs the bash command which the function returns.

        With `multiple_outputs` an `output_processor` has to make a dict of the last output line.
        """
        return task_decorator(
            python_callable,
            operator_class=_BashDecoratedOperator,
            multiple_outputs=multiple_outputs,
            arguments=kwargs,
            decorator="@task.bash",
        )

    def branch(
        self, python_callable: Callable[..., Any] | None = None, multiple_outputs: bool | None = None, **kwargs: Any
    ) -> Any:
        """A task that follows the tasks whose ids the function returns, and skips its other downstream tasks."""
        return task_decorator(
            python_callable,
            operator_class=_BranchPythonDecoratedOperator,
            multiple_outputs=multiple_outputs,
            arguments=kwargs,
            decorator="@task.branch",
        )

    def short_circuit(
        self, python_callable: Callable[..., Any] | None = None, multiple_outputs: bool | None = None, **kwargs: Any
    ) -> Any:
        """A task after which nothing runs if the function returns something false."""
        return task_decorator(
            python_callable,
            operator_class=_ShortCircuitDecoratedOperator,
            multiple_outputs=multiple_outputs,
            arguments=kwargs,
            decorator="@task.short_circuit",
        )

    def virtualenv(
        self, python_callable: Callable[..., Any] | None = None, multiple_outputs: bool | None = None, **kwargs: Any
    ) -> Any:
        """A task that calls the function in a virtual environment made for it."""
        from dagdeck.decorators.interpreter_operators import _PythonVirtualenvDecoratedOperator

        return task_decorator(
            python_callable,
            operator_class=_PythonVirtualenvDecoratedOperator,
            multiple_outputs=multiple_outputs,
            arguments=kwargs,
            decorator="@task.virtualenv",
        )

    def external_python(
        self, python_callable: Callable[..., Any] | None = None, multiple_outputs: bool | None = None, **kwargs: Any
    ) -> Any:
        """A task that calls the function in the interpreter given as `python`."""
        from dagdeck.decorators.interpreter_operators import _PythonExternalDecoratedOperator

        return task_decorator(
            python_callable,
            operator_class=_PythonExternalDecoratedOperator,
            multiple_outputs=multiple_outputs,
            arguments=kwargs,
            decorator="@task.external_python",
        )

    def branch_virtualenv(
        self, python_callable: Callable[..., Any] | None = None, multiple_outputs: bool | None = None, **kwargs: Any
    ) -> Any:
        """As `virtualenv`; follows the tasks whose ids the function returns."""
        from dagdeck.decorators.interpreter_operators import _BranchPythonVirtualenvDecoratedOperator

        return task_decorator(
            python_callable,
            operator_class=_BranchPythonVirtualenvDecoratedOperator,
            multiple_outputs=multiple_outputs,
            arguments=kwargs,
            decorator="@task.branch_virtualenv",
        )

    def branch_external_python(
        self, python_callable: Callable[..., Any] | None = None, multiple_outputs: bool | None = None, **kwargs: Any
    ) -> Any:
        """As `external_python`; follows the tasks whose ids the function returns."""
        from dagdeck.decorators.interpreter_operators import _BranchExternalPythonDecoratedOperator

        return task_decorator(
            python_callable,
            operator_class=_BranchExternalPythonDecoratedOperator,
            multiple_outputs=multiple_outputs,
            arguments=kwargs,
            decorator="@task.branch_external_python",
        )

    def sensor(self, python_callable: Callable[..., Any] | None = None, **kwargs: Any) -> Any:
        """A task that waits until the function returns something true, or a PokeReturnValue."""
        kwargs.pop("multiple_outputs", None)
        return task_decorator(
            python_callable,
            operator_class=DecoratedSensorOperator,
            multiple_outputs=False,
            arguments=kwargs,
            decorator="@task.sensor",
        )

    def run_if(self, condition: Condition, skip_message: str | None = None) -> Callable[[TaskFactory], TaskFactory]:
        """Put above `@task`: skip the task unless `condition(context)` is true (or says `(True, reason)`)."""
        return _conditional(condition, skip_message, wanted=True, decorator="@task.run_if")

    def skip_if(self, condition: Condition, skip_message: str | None = None) -> Callable[[TaskFactory], TaskFactory]:
        """Put above `@task`: skip the task if `condition(context)` is true (or says `(True, reason)`)."""
        return _conditional(condition, skip_message, wanted=False, decorator="@task.skip_if")

    def __getattr__(self, name: str) -> Any:
        found = None if name.startswith("_") else _of_provider(name)
        if found is not None:
            return found
        if name in _PACKAGES:
            raise AttributeError(
                f"@task.{name} comes with the package apache-airflow-providers-{_PACKAGES[name]}, not installed here"
            )
        known = [kind for kind in vars(type(self)) if not kind.startswith("_")]
        raise AttributeError(f"there is no decorator @task.{name}{close_match(name, known)}")


def _of_provider(kind: str) -> Any:
    from dagdeck.provider_packages import task_decorator_of

    return task_decorator_of(kind)


def _conditional(condition: Condition, skip_message: str | None, *, wanted: bool, decorator: str) -> Any:
    def decorate(factory: TaskFactory) -> TaskFactory:
        if not isinstance(factory, TaskFactory):
            raise invalid(
                f"{decorator} decorates what @task has made",
                remedy=f"Put {decorator}(...) above @task",
                error=InvalidArguments,
            )
        earlier = factory.arguments.get("pre_execute")

        def check(context: Context) -> None:
            answer = condition(context)
            holds, reason = answer if isinstance(answer, tuple) else (answer, None)
            if bool(holds) is not wanted:
                raise AirflowSkipException(reason or skip_message or f"the condition of {decorator} says so")
            if earlier is not None:
                earlier(context)

        return factory.override(pre_execute=check)

    return decorate


task = TaskDecorators()
python_task = task.python
"""`@task` under the name that decorators of others call it by."""
