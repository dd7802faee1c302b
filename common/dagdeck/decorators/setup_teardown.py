"""`@setup` and `@teardown`: tasks that prepare something and clean it up.

Decides how a function or a `@task` becomes one. Used in DAG files.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dagdeck.decorators.group_decorator import TaskGroupFactory
from dagdeck.decorators.task_decorators import task
from dagdeck.decorators.task_factory import TaskFactory
from dagdeck.exceptions import InvalidArguments, invalid


def setup(function: Callable[..., Any] | TaskFactory) -> TaskFactory:
    """Make the tasks of a function setup tasks: what they prepare is there for what runs after them."""
    factory = _factory(function, "@setup")
    factory.is_setup = True
    return factory


def teardown(function: Callable[..., Any] | TaskFactory | None = None, *, on_failure_fail_dagrun: bool = False) -> Any:
    """Make the tasks of a function teardown tasks, which run even if what they clean up after has failed."""

    def decorate(decorated: Callable[..., Any] | TaskFactory) -> TaskFactory:
        factory = _factory(decorated, "@teardown")
        factory.is_teardown = True
        factory.on_failure_fail_dagrun = on_failure_fail_dagrun
        return factory

    return decorate if function is None else decorate(function)


def _factory(function: Any, decorator: str) -> TaskFactory:
    if isinstance(function, TaskGroupFactory):
        raise invalid(f"task groups cannot be decorated with {decorator}", error=InvalidArguments)
    made: TaskFactory = function if isinstance(function, TaskFactory) else task(function)
    return made
