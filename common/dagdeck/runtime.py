"""The port between authoring objects and the process that runs a task.

Decides how Variable, Connection and `get_current_context` reach whoever runs the task now. Does not
know who that is: `dagdeck_task` puts itself here for the time of a task, the DAG processor may for
the time of a parse. One task at a time per process, so this is plain process-wide state; threads that
a task starts see it too.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

from dagdeck.exceptions import AirflowException
from dagdeck_core.errors import EnvironmentFault

if TYPE_CHECKING:
    from dagdeck.context import Context


class RequestFailed(EnvironmentFault):
    """A question to the metadata database could not be answered."""


class NotFound(RequestFailed):
    """What was asked for does not exist."""

    def __init__(self, message: str) -> None:
        super().__init__(message, transient=False)


async def request_async(method: str, arguments: dict[str, Any]) -> Any:
    """The answer to one of `dagdeck_core.wire.REQUEST_METHODS`, for triggers and other coroutines.

    Raises NotFound, RequestFailed; AirflowException where nobody answers.
    """
    requests = current_requests()
    if requests is None:
        raise AirflowException(f"nobody answers {method!r} while a DAG file is being loaded")
    native = getattr(requests, "request_async", None)
    if native is not None:
        return await native(method, arguments)
    import asyncio  # only coroutines need it

    return await asyncio.to_thread(requests.request, method, arguments)


class Requests(Protocol):
    """Answers user code's questions; `dagdeck_core.wire.REQUEST_METHODS` lists them."""

    def request(self, method: str, arguments: dict[str, Any]) -> Any:
        """The answer. Raises NotFound, RequestFailed."""
        ...

    def mask(self, value: str) -> None:
        """Hide `value` in the task's log from now on."""
        ...


_requests: list[Requests] = []
_contexts: list[Context] = []


@contextmanager
def answering(requests: Requests) -> Iterator[None]:
    """Within the block, questions go to `requests`."""
    _requests.append(requests)
    try:
        yield
    finally:
        _requests.pop()


def push(requests: Requests, context: Context) -> None:
    """Begin a task: its questions go to `requests`, its context is the current one. Pair with `pop`."""
    _requests.append(requests)
    _contexts.append(context)


def pop() -> None:
    """End the task begun last."""
    _contexts.pop()
    _requests.pop()


def current_requests() -> Requests | None:
    """Whoever answers questions now; None while nobody does, as in a plain import of a DAG file."""
    return _requests[-1] if _requests else None


def get_current_context() -> Context:
    """The context of the task that is running. Raises AirflowException when none is."""
    if not _contexts:
        raise AirflowException(
            "there is no current context: get_current_context() works only while a task is running, "
            "so call it inside the task's function and not at the top of the DAG file"
        )
    return _contexts[-1]


def mask_secret(value: Any, name: str | None = None) -> None:
    """Hide `value` (text, or all texts in a container) in the log of the running task.

    With `name`, only when it is the name of something sensitive, such as `password`.
    """
    from dagdeck.secrecy import is_sensitive_name

    requests = current_requests()
    if requests is None or (name is not None and not is_sensitive_name(name)):
        return
    if isinstance(value, str):
        if value:
            requests.mask(value)
    elif isinstance(value, dict):
        for key, item in value.items():
            mask_secret(item, key if name is None and isinstance(key, str) else None)
    elif isinstance(value, (list, tuple, set)):
        for item in value:
            mask_secret(item)
