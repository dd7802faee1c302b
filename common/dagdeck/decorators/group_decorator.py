"""`@task_group`: a function whose calls make a task group.

Decides ids and what a call returns. Used in DAG files.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from dagdeck.exceptions import InvalidArguments, invalid, unavailable
from dagdeck.groups import TaskGroup


class TaskGroupFactory:
    """A decorated function. Calling it makes a group of the tasks that the function makes.

    A call returns what the function returns, so that its result can be passed on; else the group.
    """

    def __init__(self, function: Callable[..., Any], arguments: dict[str, Any]) -> None:
        if not callable(function):
            raise invalid("@task_group decorates a function", value=function, error=InvalidArguments)
        self.function = function
        self.arguments = arguments
        functools.update_wrapper(self, function)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Make a group."""
        options = {
            "group_id": self.function.__name__,
            "add_suffix_on_collision": True,
            "tooltip": self.function.__doc__ or "",
            **self.arguments,
        }
        with TaskGroup(**options) as group:
            result = self.function(*args, **kwargs)
        return group if result is None else result

    def override(self, **arguments: Any) -> TaskGroupFactory:
        """The same function with other group arguments."""
        return TaskGroupFactory(self.function, {**self.arguments, **arguments})

    def partial(self, **arguments: Any) -> Any:
        """Expansion over values known at run time."""
        raise unavailable("mapped task groups (dynamic task mapping)")

    def expand(self, **arguments: Any) -> Any:
        """Expansion over values known at run time."""
        raise unavailable("mapped task groups (dynamic task mapping)")

    def expand_kwargs(self, *arguments: Any) -> Any:
        """Expansion over values known at run time."""
        raise unavailable("mapped task groups (dynamic task mapping)")


def task_group(group_id: str | Callable[..., Any] | None = None, **arguments: Any) -> Any:
    """Make a task group of the tasks that the function makes; takes all arguments of TaskGroup."""
    if callable(group_id):
        return TaskGroupFactory(group_id, arguments)
    if group_id is not None:
        arguments["group_id"] = group_id
    return lambda function: TaskGroupFactory(function, arguments)
