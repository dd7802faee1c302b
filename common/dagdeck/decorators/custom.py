"""Decorators of one's own: what `@task.docker` and its kin of provider packages are made with.

Decides how a decorated function becomes an operator of another class. Used by provider packages and DAG authors.
"""

from __future__ import annotations

import ast
import functools
import inspect
import textwrap
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from dagdeck.async_operator import is_async_callable
from dagdeck.decorators.operators import check_call, free_task_id
from dagdeck.decorators.task_factory import TaskFactory, task_decorator
from dagdeck.operator import BaseOperator

if TYPE_CHECKING:
    from dagdeck.dags import DAG
    from dagdeck.groups import TaskGroup


class DecoratedOperator(BaseOperator):
    """Keeps a function and its arguments; classes beside it among the bases of an operator do the work.

    `kwargs_to_upstream` are arguments that this class takes and the next one needs as well.
    """

    template_fields: ClassVar[Sequence[str]] = ("op_args", "op_kwargs")
    template_fields_renderers: ClassVar[Mapping[str, str]] = {"op_args": "py", "op_kwargs": "py"}
    shallow_copy_attrs: ClassVar[Sequence[str]] = ("python_callable",)

    def __init__(
        self,
        *,
        python_callable: Callable[..., Any],
        task_id: str,
        op_args: Collection[Any] | None = None,
        op_kwargs: Mapping[str, Any] | None = None,
        kwargs_to_upstream: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        check_call(python_callable, op_args or (), op_kwargs or {}, task_id)
        self.python_callable = python_callable
        self.op_args: Collection[Any] = op_args or []
        self.op_kwargs: Mapping[str, Any] = op_kwargs or {}
        super().__init__(task_id=free_task_id(task_id, kwargs), **(kwargs_to_upstream or {}), **kwargs)

    @property
    def is_async(self) -> bool:
        """Whether the function is a coroutine function."""
        return is_async_callable(self.python_callable)

    def get_python_source(self) -> str:
        """The function's source without the decorators that make a task of it. Raises AirflowException."""
        from dagdeck.operators.interpreter_call import makes_tasks, source_of

        return source_of(self.python_callable, makes_tasks)


def task_decorator_factory(
    python_callable: Callable[..., Any] | None = None,
    *,
    multiple_outputs: bool | None = None,
    decorated_operator_class: type[BaseOperator],
    **kwargs: Any,
) -> Any:
    """A decorator, with or without arguments, that makes tasks of the operator class."""
    name = getattr(decorated_operator_class, "custom_operator_name", None) or decorated_operator_class.__name__
    return task_decorator(
        python_callable,
        operator_class=decorated_operator_class,
        multiple_outputs=multiple_outputs,
        arguments=kwargs,
        decorator=name,
    )


def remove_task_decorator(python_source: str, task_decorator_name: str) -> str:
    """A function's source without the decorator of this name (`@task.docker`) and those of setups and teardowns."""
    gone = (task_decorator_name.lstrip("@"), "setup", "teardown", "task.skip_if", "task.run_if")
    source = textwrap.dedent(python_source)
    lines = source.splitlines(keepends=True)
    node = ast.parse(source).body[0]
    for decorator in reversed(getattr(node, "decorator_list", [])):
        named = decorator.func if isinstance(decorator, ast.Call) else decorator
        if ast.unparse(named) in gone:
            del lines[decorator.lineno - 1 : decorator.end_lineno]
    return "".join(lines)


def get_unique_task_id(task_id: str, dag: DAG | None = None, task_group: TaskGroup | None = None) -> str:
    """`task_id`, or with the next free `__N` where the DAG already has it."""
    return free_task_id(task_id, {"dag": dag, "task_group": task_group})


def unwrap_partial(function: Any) -> Any:
    """What `functools.partial` was given, however often."""
    while isinstance(function, functools.partial):
        function = function.func
    return function


def unwrap_callable(function: Any) -> Any:
    """The function behind `@task`, partials and other wrappers."""
    if isinstance(function, TaskFactory):
        function = function.function
    function = unwrap_partial(function)
    try:
        return inspect.unwrap(function)
    except ValueError:  # it wraps itself
        return function
