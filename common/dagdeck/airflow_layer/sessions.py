"""`provide_session` and its kin, for files that were written when tasks still had the metadata database.

Decides that functions keep working without a session as long as they ask it nothing. Found by DAG files through the
table.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

from dagdeck.exceptions import AirflowException


class NoSession:
    """Stands where a database session was; any use of it is told what to do instead."""

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("__"):
            raise AttributeError(name)
        raise AirflowException(
            f"session.{name}: DAG files and tasks have no access to the metadata database. Use Variable, Connection, "
            "XCom, the task's context, or the REST API"
        )

    def __bool__(self) -> bool:
        return False


NEW_SESSION: Any = None


def provide_session(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, called with a `session` that holds nothing unless its caller gives one."""
    position = list(inspect.signature(function).parameters).index("session")

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        if "session" not in kwargs and len(args) <= position:
            kwargs["session"] = NoSession()
        return function(*args, **kwargs)

    return call


@contextmanager
def create_session(**_: Any) -> Iterator[NoSession]:
    """A session that holds nothing."""
    yield NoSession()
