"""What `@task` turns a function into: something that makes a task each time it is called.

Decides ids, arguments and multiple outputs of the tasks it makes. The operator classes are in
`dagdeck.decorators.operators`. Used by every `@task…` decorator.
"""

from __future__ import annotations

import functools
import typing
from collections.abc import Callable, Mapping
from typing import Any

from dagdeck.decorators.operators import free_task_id
from dagdeck.exceptions import InvalidArguments, invalid
from dagdeck.mapping.expand_inputs import ExpandedKwargs, ExpandInput
from dagdeck.mapping.factories import ExpandableFactory
from dagdeck.mapping.partials import make_mapped
from dagdeck.operator import BaseOperator
from dagdeck.xcom_arg import XComArg

_DOC_ARGUMENTS = ("doc", "doc_md", "doc_json", "doc_yaml", "doc_rst")


class TaskFactory(ExpandableFactory):
    """A decorated function. Calling it makes a task and returns its result's stand-in (an XComArg).

    `override` gives a factory with other task arguments.
    """

    def __init__(
        self,
        *,
        function: Callable[..., Any],
        operator_class: type[BaseOperator],
        arguments: Mapping[str, Any],
        multiple_outputs: bool | None = None,
        decorator: str = "@task",
    ) -> None:
        if not callable(function) or isinstance(function, (type, staticmethod)):
            raise invalid(
                f"{decorator} decorates a function, not {function!r}",
                remedy=f"Give the arguments of {decorator} by name",
                error=InvalidArguments,
            )
        self.function = function
        self.operator_class = operator_class
        self.arguments = dict(arguments)
        self.given: dict[str, Any] = {}
        """Arguments of the function, from `partial`."""
        self.decorator = decorator
        self._multiple_outputs = multiple_outputs
        self.is_setup = False
        self.is_teardown = False
        self.on_failure_fail_dagrun = False
        self.returns_dag_result = False
        functools.update_wrapper(self, function)

    @property
    def multiple_outputs(self) -> bool:
        """Whether the items of a returned dict are pushed one by one: as given, else by the annotation."""
        if self._multiple_outputs is None:
            self._multiple_outputs = returns_mapping(self.function)
        return self._multiple_outputs

    def __call__(self, *args: Any, **kwargs: Any) -> XComArg:
        """A new task that calls the function with these arguments. Raises UserError when they do not fit."""
        operator = self.operator_class(
            python_callable=self.function,
            op_args=args,
            op_kwargs={**self.given, **kwargs} if self.given else kwargs,
            multiple_outputs=self.multiple_outputs,
            **{"task_id": self.function.__name__, **self.arguments},
        )
        if self.function.__doc__ and not any(self.arguments.get(name) for name in _DOC_ARGUMENTS):
            operator.doc_md = self.function.__doc__
        return self._finished(operator)

    def override(self, **arguments: Any) -> TaskFactory:
        """The same function with other task arguments (task_id, retries, pool, …)."""
        merged = {**self.arguments, **arguments}
        # Known by now or found out here, for all twins: reading annotations takes longer than making a task.
        multiple_outputs = merged.pop("multiple_outputs") if "multiple_outputs" in merged else self.multiple_outputs
        twin = TaskFactory(
            function=self.function,
            operator_class=self.operator_class,
            arguments=merged,
            multiple_outputs=multiple_outputs,
            decorator=self.decorator,
        )
        twin.given = dict(self.given)
        twin.is_setup, twin.is_teardown = self.is_setup, self.is_teardown
        twin.returns_dag_result = self.returns_dag_result
        twin.on_failure_fail_dagrun = merged.pop("on_failure_fail_dagrun", self.on_failure_fail_dagrun)
        twin.arguments.pop("on_failure_fail_dagrun", None)
        return twin

    def expand(self, **mapped: Any) -> XComArg:
        """A task with one instance for each combination of the values of these lists, dicts and results of tasks.

        Raises UserError for arguments that the function does not take, that cannot be mapped or are given already.
        """
        return self._expanded(self._expanded_lists(mapped), strict=False)

    def expand_kwargs(self, kwargs: Any, *, strict: bool = True) -> XComArg:
        """A task with one instance for each dict of arguments in this list, or in the list that a task returns.

        With `strict` they may not hold what `partial()` was given. Raises UserError when it is no list of dicts.
        """
        return self._expanded(ExpandedKwargs(kwargs), strict=strict)

    def _expanded(self, expand_input: ExpandInput, *, strict: bool) -> XComArg:
        arguments = {"task_id": self.function.__name__, **self.arguments}
        arguments["task_id"] = free_task_id(arguments["task_id"], arguments)
        if self.function.__doc__ and not any(self.arguments.get(name) for name in _DOC_ARGUMENTS):
            arguments["doc_md"] = self.function.__doc__
        operator = make_mapped(
            self.operator_class,
            {
                **arguments,
                "python_callable": self.function,
                "op_args": (),
                "op_kwargs": self.given,
                "multiple_outputs": self.multiple_outputs,
            },
            expand_input,
            strict=strict,
            values_are_op_kwargs=True,
        )
        return self._finished(operator)

    def _finished(self, operator: BaseOperator) -> XComArg:
        """A new task's result, after the task was made the setup or teardown that the function is."""
        if self.is_setup:
            operator.as_setup()
        if self.is_teardown:
            operator.as_teardown(on_failure_fail_dagrun=self.on_failure_fail_dagrun)
        if self.returns_dag_result:
            operator.returns_dag_result = True
        return XComArg(operator)

    def _depend(self, other: Any) -> Any:
        raise invalid(
            f"{self.function.__name__} is a decorated function, not a task",
            remedy=f"Call it to make a task: {self.function.__name__}()",
            error=InvalidArguments,
        )

    __rshift__ = __lshift__ = __rrshift__ = __rlshift__ = _depend


def returns_mapping(function: Callable[..., Any]) -> bool:
    """Whether the function's return annotation is a dict, a Mapping or a TypedDict."""
    annotation = getattr(function, "__annotations__", {}).get("return")
    if annotation is None:
        return False
    if isinstance(annotation, str):
        try:
            annotation = typing.get_type_hints(function).get("return")
        except Exception:  # noqa: BLE001 - annotations may name what exists only for type checkers
            return str(annotation).split("[")[0].rpartition(".")[2] in {"dict", "Dict", "Mapping"}
    found = typing.get_origin(annotation) or annotation
    return isinstance(found, type) and issubclass(found, Mapping)


def task_decorator(
    function: Any,
    *,
    operator_class: type[BaseOperator],
    multiple_outputs: bool | None,
    arguments: Mapping[str, Any],
    decorator: str,
) -> Any:
    """A TaskFactory for `@task` alone, or the decorator that makes one for `@task(...)`."""

    def make(decorated: Callable[..., Any]) -> TaskFactory:
        return TaskFactory(
            function=decorated,
            operator_class=operator_class,
            arguments=arguments,
            multiple_outputs=multiple_outputs,
            decorator=decorator,
        )

    return make if function is None else make(function)
