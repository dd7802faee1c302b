"""BaseAsyncOperator: an operator whose work is a coroutine, run to its end in the task's own process.

Decides the event loop and its end. Does not defer: the coroutine holds the task's slot while it waits (a trigger does
not). Subclassed by PythonOperator for `async def` functions, and by DAG authors.
"""

from __future__ import annotations

import functools
import inspect
from typing import Any

from dagdeck.configuration import conf
from dagdeck.context import Context
from dagdeck.exceptions import unavailable
from dagdeck.operator import BaseOperator


class BaseAsyncOperator(BaseOperator):
    """Subclasses override `aexecute` instead of `execute`. execution_timeout and on_kill hold as for every operator."""

    @property
    def is_async(self) -> bool:
        """Whether the work is a coroutine."""
        return True

    async def aexecute(self, context: Context) -> Any:
        """Do the work; the return value becomes the task's XCom."""
        raise unavailable(
            f"{self.task_type} has no aexecute method: running it", "Override async aexecute(self, context)"
        )

    def execute(self, context: Context) -> Any:
        """Run `aexecute` to its end in an event loop of its own."""
        import asyncio  # most tasks do without

        return asyncio.run(self.aexecute(context))


def is_async_callable(function: Any) -> bool:
    """Whether calling `function` gives a coroutine: an `async def`, also behind partial, a wrapper or `__call__`."""
    while isinstance(function, functools.partial):
        function = function.func
    function = inspect.unwrap(function)
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
        getattr(type(function), "__call__", None)  # noqa: B004 - the class's, whether it is a coroutine function
    )


def default_deferrable() -> bool:
    """Whether operators that can defer do so when their author does not say (setting operators.default_deferrable)."""
    return bool(conf.getboolean("operators", "default_deferrable"))
