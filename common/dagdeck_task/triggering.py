"""From a task that defers to its trigger's event: what is written down of a trigger, and a trigger made of that.

Decides how triggers, events and next arguments become JSON and back, which code a trigger's class comes from, and what
an event means for its task. Does not run event loops for long: the worker's triggerer does, with many triggers, and
`in_process` with one at a time; both by what stands here. Called by these and by `execution`.
"""

from __future__ import annotations

import importlib
import sys
import traceback
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from dagdeck import airflow_layer, collect, xcom_codec
from dagdeck.exceptions import AirflowException, TaskDeferred
from dagdeck.operator import BaseOperator
from dagdeck.templating import render
from dagdeck.triggers.base import BaseTaskEndEvent, BaseTrigger, StartTriggerArgs, TriggerEvent
from dagdeck_core.deferral import TriggerOutcome
from dagdeck_core.wire import Deferral

NO_EVENT = "the trigger ended without an event"


class TriggerError(AirflowException):
    """A trigger cannot be made, or what it yields is no event."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TriggerPlace:
    """Where the code of a trigger's class may be found: its bundle's folder and version, and the DAG file."""

    root: str
    version: str
    fileloc: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitingTaskInstance:
    """What a trigger may know of the task instance that waits for it."""

    dag_id: str
    run_id: str
    task_id: str
    map_index: int
    try_number: int

    @property
    def key(self) -> tuple[str, str, str, int, int]:
        """All of it."""
        return self.dag_id, self.task_id, self.run_id, self.try_number, self.map_index


# ---------------------------------------------------------------- deferring


def start_trigger(operator: BaseOperator, context: Any) -> TaskDeferred | None:
    """The deferral with which a task with `start_from_trigger` begins; None for every other task.

    The trigger's template fields are rendered for it, since nothing of the task itself will run.
    """
    arguments = operator.start_trigger_args
    if not operator.start_from_trigger or arguments is None:
        return None
    if not isinstance(arguments, StartTriggerArgs):
        raise TriggerError(f"start_trigger_args must be StartTriggerArgs, not {type(arguments).__name__}")
    cls = _import_class(arguments.trigger_cls)
    trigger = cls(**(arguments.trigger_kwargs or {}))
    for field in trigger.template_fields:
        setattr(trigger, field, render(getattr(trigger, field, None), context, operator))
    return TaskDeferred(
        trigger=trigger,
        method_name=arguments.next_method,
        kwargs=arguments.next_kwargs,
        timeout=arguments.timeout,
    )


def make_deferral(deferred: TaskDeferred, *, limit: int = 0) -> Deferral:
    """What is stored of a deferral. Raises TriggerError, XComError and whatever `serialize` raises."""
    trigger = deferred.trigger
    if not isinstance(trigger, BaseTrigger):
        raise TriggerError(f"a task defers to a trigger (a BaseTrigger), not to a {type(trigger).__name__}")
    classpath, kwargs = trigger.serialize()
    if "." not in classpath or not isinstance(kwargs, dict):
        raise TriggerError(
            f"{type(trigger).__name__}.serialize() gives a class path and a dict, not {classpath!r} and {kwargs!r}"
        )
    return Deferral(
        classpath=classpath,
        kwargs=xcom_codec.encode(kwargs, limit=limit, what="the trigger's arguments"),
        next_method=deferred.method_name,
        next_kwargs=xcom_codec.encode(dict(deferred.kwargs or {}), limit=limit, what="the next method's arguments"),
        timeout=_seconds(deferred.timeout),
    )


def _seconds(timeout: Any) -> float | None:
    if timeout is None:
        return None
    seconds = timeout.total_seconds() if isinstance(timeout, timedelta) else timeout
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or seconds < 0:
        raise TriggerError(f"the timeout of a deferral is a timedelta that is not negative, not {timeout!r}")
    return float(seconds)


def next_kwargs(text: str | None) -> dict[str, Any]:
    """The arguments of a next method."""
    kwargs = xcom_codec.decode(text) if text else {}
    return kwargs if isinstance(kwargs, dict) else {}


# ---------------------------------------------------------------- making triggers


class TriggerClasses:
    """Trigger classes of one process, by class path and place.

    Code of several bundles, and of several versions of one, may be needed side by side: each class keeps the modules
    that it was defined in, and these make way when code of another place is loaded. Not thread-safe.
    """

    def __init__(self) -> None:
        self._shared: dict[str, type[BaseTrigger]] = {}
        self._of_place: dict[tuple[TriggerPlace, str], type[BaseTrigger]] = {}
        self._root = ""

    def known(self, classpath: str, place: TriggerPlace) -> type[BaseTrigger] | None:
        """A class that was found before."""
        return self._shared.get(classpath) or self._of_place.get((place, classpath))

    def find(self, classpath: str, place: TriggerPlace) -> type[BaseTrigger]:
        """The class. Raises TriggerError when there is none of this name, or what importing its module raises."""
        found = self.known(classpath, place)
        if found is None:
            self._enter(place)
            found = self._load(classpath, place)
            if self._is_of(found, place.root):
                self._of_place[place, classpath] = found
            else:
                self._shared[classpath] = found
        return found

    def _load(self, classpath: str, place: TriggerPlace) -> type[BaseTrigger]:
        module, _, name = classpath.rpartition(".")
        file_module = collect.module_name(place.fileloc) if place.fileloc else ""
        if module == file_module:
            return _class_in(_load_dag_file(place), classpath, name)
        try:
            return _import_class(classpath)
        except ModuleNotFoundError as error:
            if not place.fileloc or not (error.name and (module == error.name or module.startswith(f"{error.name}."))):
                raise
            # A class of the DAG file itself, named as if the file were a module on the path.
            if module.rpartition(".")[2] != Path(place.fileloc).stem:
                raise
            return _class_in(_load_dag_file(place), classpath, name)

    def _enter(self, place: TriggerPlace) -> None:
        """Let imports look where those of the DAG file did, and forget the modules of the root before."""
        airflow_layer.install()
        if place.root and place.root != self._root:
            self._change_root(place.root)
        folder = str(Path(place.root, place.fileloc).resolve().parent) if place.fileloc else ""
        if folder and folder not in sys.path:
            sys.path.append(folder)

    def _change_root(self, root: str) -> None:
        if self._root:
            before = Path(self._root).resolve()
            for name, module in list(sys.modules.items()):
                file = getattr(module, "__file__", None)
                if isinstance(file, str) and Path(file).is_relative_to(before):
                    del sys.modules[name]
            sys.path[:] = [entry for entry in sys.path if not entry or not Path(entry).is_relative_to(before)]
            importlib.invalidate_caches()
        self._root = root
        sys.path.append(str(Path(root).resolve()))

    @staticmethod
    def _is_of(cls: type, root: str) -> bool:
        file = getattr(sys.modules.get(cls.__module__), "__file__", None)
        return bool(root) and isinstance(file, str) and Path(file).is_relative_to(Path(root).resolve())


def _load_dag_file(place: TriggerPlace) -> Any:
    name = collect.module_name(place.fileloc)
    module = sys.modules.get(name)
    if module is None:
        loaded = collect.load_file(Path(place.root, place.fileloc), place.root, fresh=False)
        if loaded.failures:
            raise TriggerError(f"the DAG file cannot be loaded: {loaded.failures[0].message}")
        module = sys.modules[name]
    return module


def _import_class(classpath: str) -> type[BaseTrigger]:
    airflow_layer.install()
    module, _, name = classpath.rpartition(".")
    return _class_in(sys.modules.get(module) or importlib.import_module(module), classpath, name)


def _class_in(module: Any, classpath: str, name: str) -> type[BaseTrigger]:
    found = getattr(module, name, None)
    if not (isinstance(found, type) and issubclass(found, BaseTrigger)):
        raise TriggerError(f"there is no trigger class {classpath}; serialize() gives the path of one")
    return found


def make_trigger(cls: type[BaseTrigger], kwargs: str, trigger_id: int, task_instance: Any) -> BaseTrigger:
    """The trigger that was written down. Raises what its constructor raises."""
    trigger = cls(**xcom_codec.decode(kwargs))
    trigger.trigger_id = trigger_id
    trigger.task_instance = task_instance
    return trigger


# ---------------------------------------------------------------- events


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """An event of a trigger as it is stored. `payload` and the values of `xcoms` are JSON text."""

    outcome: TriggerOutcome
    payload: str
    xcoms: tuple[tuple[str, str], ...] = ()


def described(event: Any) -> Event:
    """What is stored of an event. Raises TriggerError when it is none, XComError when it carries what is no data."""
    if not isinstance(event, TriggerEvent):
        raise TriggerError(f"a trigger yields a TriggerEvent, this is a {type(event).__name__}: {event!r}")
    payload = xcom_codec.encode(event.payload, what="the event's payload")
    if not isinstance(event, BaseTaskEndEvent):
        return Event(outcome=TriggerOutcome.RESUME, payload=payload)
    xcoms = tuple((key, xcom_codec.encode(value, what=f"XCom {key!r}")) for key, value in (event.xcoms or {}).items())
    return Event(outcome=TriggerOutcome(event.task_instance_state.value), payload=payload, xcoms=xcoms)


async def first_event(events: AsyncIterator[Any]) -> Event:
    """The first event, with the trigger's generator closed after it. Raises TriggerError when there is none."""
    async with aclosing(events) as stream:  # type: ignore[type-var]
        async for event in stream:
            return described(event)
    raise TriggerError(NO_EVENT)


def trace_of(error: BaseException) -> str:
    """The traceback of a trigger's failure."""
    return "".join(traceback.format_exception(error))


__all__ = [
    "NO_EVENT",
    "Event",
    "TriggerClasses",
    "TriggerError",
    "TriggerPlace",
    "WaitingTaskInstance",
    "described",
    "first_event",
    "make_deferral",
    "make_trigger",
    "next_kwargs",
    "start_trigger",
    "trace_of",
]
