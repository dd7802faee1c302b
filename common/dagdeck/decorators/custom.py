"""Decorators of one's own: what `@task.docker` and its kin of provider packages are made with.

Decides how a decorated function becomes an operator of another class. Used by provider packages and DAG authors.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, ClassVar

from dagdeck.decorators.operators import check_call, free_task_id
from dagdeck.decorators.task_factory import task_decorator
from dagdeck.operator import BaseOperator


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

    def get_python_source(self) -> str:
        """The function's source without its decorators."""
        source = textwrap.dedent(inspect.getsource(self.python_callable))
        function = ast.parse(source).body[0]
        return "\n".join(source.splitlines()[function.lineno - 1 :]) + "\n"


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
