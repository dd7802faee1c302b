"""BaseTrigger and the events it fires: the waiting that a task hands over when it defers.

Decides what a trigger promises (it can be written down as a class path and arguments, and waits without blocking)
and which events end the waiting. Does not run triggers (`dagdeck_task.triggering` does, in the worker's triggerer and
in `dag.test()`). Subclassed by triggers; yielded and read in DAG files.
"""

from __future__ import annotations

import json
import logging
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Hashable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, ClassVar

from dagdeck_core.states import TaskInstanceState


@dataclass(kw_only=True)
class StartTriggerArgs:
    """How a task with `start_from_trigger` defers before anything of it has run.

    `trigger_cls` is the trigger's class path; the task goes on in `next_method` when it fires. Without an event for
    `timeout` the task fails.
    """

    trigger_cls: str
    next_method: str
    trigger_kwargs: dict[str, Any] | None = None
    next_kwargs: dict[str, Any] | None = None
    timeout: timedelta | None = None


class TriggerEvent:
    """What a trigger yields when what it waits for has come. `payload` reaches the task's next method as `event`.

    The payload is data that could be an XCom. Events are equal when their payloads are.
    """

    def __init__(self, payload: Any = None) -> None:
        self.payload = payload

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and vars(other) == vars(self)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"{type(self).__name__}<{self.payload!r}>"


class BaseTaskEndEvent(TriggerEvent):
    """An event that ends the task right away, without its going on in a worker. `xcoms` are pushed for it."""

    task_instance_state: ClassVar[TaskInstanceState]

    def __init__(self, *, xcoms: dict[str, Any] | None = None) -> None:
        super().__init__(str(self.task_instance_state))
        self.xcoms = xcoms


class TaskSuccessEvent(BaseTaskEndEvent):
    """The task has succeeded."""

    task_instance_state = TaskInstanceState.SUCCESS


class TaskFailedEvent(BaseTaskEndEvent):
    """The task has failed, for good."""

    task_instance_state = TaskInstanceState.FAILED


class TaskSkippedEvent(BaseTaskEndEvent):
    """The task is skipped."""

    task_instance_state = TaskInstanceState.SKIPPED


class BaseTrigger(ABC):
    """Waits in the triggerer's event loop beside thousands of others: nothing in `run` may block.

    A trigger is made by the task, written down by `serialize`, and made anew from that wherever it runs. It may be
    stopped and made again at any time; so it fires for what it finds, not for what it saw happen.
    """

    template_fields: ClassVar[Sequence[str]] = ()
    template_ext: ClassVar[Sequence[str]] = ()

    task_instance: Any = None
    """In the triggerer: the waiting task instance, with dag_id, task_id, run_id, map_index and try_number."""
    trigger_id: int | None = None
    """In the triggerer: which trigger this is."""

    def __init__(self, **kwargs: Any) -> None:
        self.task_instance = None
        self.trigger_id = None

    @property
    def log(self) -> logging.Logger:
        """The trigger's logger; in the triggerer its lines stand in the task's log."""
        return logging.getLogger(f"{type(self).__module__}.{type(self).__qualname__}")

    @abstractmethod
    def serialize(self) -> tuple[str, dict[str, Any]]:
        """The class path and the keyword arguments from which this trigger can be made again. Data only."""

    @abstractmethod
    def run(self) -> AsyncIterator[TriggerEvent]:
        """Yield a TriggerEvent when what is waited for has come (an async generator). The first event ends the
        waiting of a task; for an event trigger that watches for an asset, each event counts."""

    async def cleanup(self) -> None:  # noqa: B027 - most triggers have nothing to clean up
        """Called when the trigger is over, fired or not, and when it moves to another triggerer."""

    async def on_kill(self) -> None:  # noqa: B027 - nor anything to end
        """Called before `cleanup` when somebody cleared, marked or stopped the waiting task: end here what the trigger
        watches outside. Not called when the trigger merely moves."""

    @staticmethod
    def repr(classpath: str, kwargs: Mapping[str, Any]) -> str:
        """How a trigger is shown."""
        shown = ", ".join(f"{name}={value}" for name, value in kwargs.items())
        return f"<{classpath} {shown}>"

    def __repr__(self) -> str:
        return self.repr(*self.serialize())


class BaseEventTrigger(BaseTrigger):
    """Base of triggers that may watch for an asset's changes: they go on after an event, and equal ones are one.

    Those whose `shared_stream_key` is equal share one reading of the outside: `open_shared_stream` reads, and each
    trigger's `filter_shared_stream` makes its own events of it.
    """

    supports_triggerer_queue: ClassVar[bool] = False

    @staticmethod
    def hash(classpath: str, kwargs: Mapping[str, Any]) -> int:
        """A number that equal triggers share."""
        import hashlib

        text = json.dumps([classpath, kwargs], sort_keys=True, default=repr)
        return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big", signed=True)

    def shared_stream_key(self) -> Hashable | None:
        """What triggers that can share one stream have in common; None: this one reads by itself."""
        return None

    @classmethod
    def open_shared_stream(cls, kwargs: dict[str, Any]) -> AsyncIterator[Any]:
        """Read from the outside (an async generator); `kwargs` are those of one of the triggers that share it."""
        raise NotImplementedError(f"{cls.__name__} has a shared_stream_key, so it needs open_shared_stream(kwargs)")

    def filter_shared_stream(self, shared_stream: AsyncIterator[Any]) -> AsyncIterator[TriggerEvent]:
        """Make this trigger's events of what the stream brings (an async generator)."""
        raise NotImplementedError(
            f"{type(self).__name__} has a shared_stream_key, so it needs filter_shared_stream(shared_stream)"
        )
