"""`@task_group`: a function whose calls make a task group.

Decides ids, what a call or an expansion makes and what it returns. Used in DAG files.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Any

from dagdeck.exceptions import InvalidArguments, invalid
from dagdeck.groups import TaskGroup
from dagdeck.mapping.expand_inputs import ExpandedKwargs, ExpandInput
from dagdeck.mapping.factories import ExpandableFactory
from dagdeck.mapping.mapped_group import MappedArgument, MappedTaskGroup
from dagdeck.mapping.signatures import named_parameters
from dagdeck.xcom_arg import NOTSET


class TaskGroupFactory(ExpandableFactory):
    """A decorated function. Calling it makes a group of the tasks that the function makes.

    A call returns what the function returns, so that its result can be passed on; else the group.
    """

    def __init__(self, function: Callable[..., Any], arguments: dict[str, Any]) -> None:
        if not callable(function):
            raise invalid("@task_group decorates a function", value=function, error=InvalidArguments)
        self.function = function
        self.arguments = arguments
        self.given: dict[str, Any] = {}
        """Arguments of the function, from `partial`."""
        functools.update_wrapper(self, function)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Make a group."""
        with TaskGroup(**self._options()) as group:
            result = self.function(*args, **{**self.given, **kwargs})
        return group if result is None else result

    def override(self, **arguments: Any) -> TaskGroupFactory:
        """The same function with other group arguments."""
        twin = TaskGroupFactory(self.function, {**self.arguments, **arguments})
        twin.given = dict(self.given)
        return twin

    def expand(self, **mapped: Any) -> Any:
        """A group whose tasks have one instance for each combination of the values of these arguments.

        Raises UserError for arguments that the function does not take, that cannot be mapped or are given already.
        """
        return self._expanded(self._expanded_lists(mapped), mapped)

    def expand_kwargs(self, kwargs: Any) -> Any:
        """A group whose tasks have one instance for each dict of arguments in this list, or in a task's result.

        Raises UserError when it is no list of dicts.
        """
        names = [name for name in named_parameters(self.function) if name not in self.given]
        return self._expanded(ExpandedKwargs(kwargs), names)

    def _expanded(self, expand_input: ExpandInput, names: Iterable[str]) -> Any:
        defaults = named_parameters(self.function)
        arguments = {name: MappedArgument(expand_input, name, defaults.get(name, NOTSET)) for name in names}
        group = MappedTaskGroup(expand_input=expand_input, **self._options())
        for argument in arguments.values():
            argument.group = group
        with group:
            result = self.function(**self.given, **arguments)
        return group if result is None else result

    def _options(self) -> dict[str, Any]:
        return {
            "group_id": self.function.__name__,
            "add_suffix_on_collision": True,
            "tooltip": self.function.__doc__ or "",
            **self.arguments,
        }


def task_group(group_id: str | Callable[..., Any] | None = None, **arguments: Any) -> Any:
    """Make a task group of the tasks that the function makes; takes all arguments of TaskGroup."""
    if callable(group_id):
        return TaskGroupFactory(group_id, arguments)
    if group_id is not None:
        arguments["group_id"] = group_id
    return lambda function: TaskGroupFactory(function, arguments)
