"""Deadlines: by when a run should have ended, and what is called when it has not.

Decides how an author says so, in Airflow's words, and how that becomes data (`DeadlineAlert.spec`). Does not watch
anything: the scheduler does (`dagdeck_core.scheduling.deadlines`), and calls what is to be called as work of its own.
Used in DAG files as `DAG(deadline=…)`.
"""

from __future__ import annotations

import importlib
import inspect
import keyword
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

from dagdeck.exceptions import invalid
from dagdeck.json_view import viewed
from dagdeck_core.spec import DeadlineSpec, ReferencePoint

DEFAULT_RUNS = 10
"""Past runs whose average counts, unless something else is asked for."""


# ---------------------------------------------------------------- what is called


class DeadlineCallback:
    """Something to call: a function at the top level of a module, or its import path, with keyword arguments.

    It is called with `kwargs`, and with `context` if it takes that. Raises UserError for what has no import path.
    """

    is_async: ClassVar[bool] = False

    def __init__(self, callback_callable: Callable[..., Any] | str, kwargs: dict[str, Any] | None = None) -> None:
        self.kwargs = dict(kwargs or {})
        if "context" in self.kwargs:
            raise invalid("the argument context is given by DagDeck", field="kwargs", value=self.kwargs)
        self.path = self._path_of(callback_callable)

    def _path_of(self, found: Callable[..., Any] | str) -> str:
        if isinstance(found, str):
            path = found.strip()
            parts = path.split(".")
            if len(parts) < 2 or not all(part.isidentifier() and not keyword.iskeyword(part) for part in parts):
                raise invalid("this is no import path", field="callback", value=found, remedy="Write package.function")
            return path
        self._check(found)
        name = getattr(found, "__qualname__", "")
        if not name or "<" in name:
            raise invalid(
                "a deadline calls a function by its name, so this must stand at the top level of a module",
                field="callback",
                value=found,
            )
        return f"{found.__module__}.{name}"

    def _check(self, found: Callable[..., Any]) -> None:
        if not callable(found):
            raise invalid("a callback must be callable", field="callback", value=found)

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and vars(other) == vars(self)

    def __hash__(self) -> int:
        return hash((type(self), self.path))


class SyncCallback(DeadlineCallback):
    """A function, or a notifier's class."""

    def __init__(
        self,
        callback_callable: Callable[..., Any] | str,
        kwargs: dict[str, Any] | None = None,
        executor: str | None = None,
    ) -> None:
        super().__init__(callback_callable, kwargs)
        self.executor = executor


class AsyncCallback(DeadlineCallback):
    """A coroutine function, or the class of a notifier that can be awaited."""

    is_async: ClassVar[bool] = True

    def _check(self, found: Callable[..., Any]) -> None:
        super()._check(found)
        if not (inspect.iscoroutinefunction(found) or inspect.isclass(found) or hasattr(found, "__await__")):
            raise invalid("an AsyncCallback needs something that can be awaited", field="callback", value=found)


# ---------------------------------------------------------------- references


class BaseDeadlineReference:
    """The moment that a deadline is counted from. Subclasses of one's own override `_evaluate_with`."""

    @property
    def reference_name(self) -> str:
        """The class's name."""
        return type(self).__name__

    def serialize_reference(self) -> dict[str, Any]:
        """The reference as data."""
        return {"reference_type": self.reference_name}

    @classmethod
    def deserialize_reference(cls, reference_data: dict[str, Any]) -> BaseDeadlineReference:
        """The reference that `serialize_reference` described."""
        return cls()

    def _evaluate_with(self, *, session: Any = None, **facts: Any) -> datetime | None:
        """The moment, aware; None: no deadline for this run. `facts` are dag_id, run_id, logical_date, queued_at, …"""
        raise NotImplementedError(f"{type(self).__name__} must override _evaluate_with")

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, BaseDeadlineReference):
            return NotImplemented
        return self.serialize_reference() == other.serialize_reference()

    def __hash__(self) -> int:
        return hash(self.reference_name)


class DagRunLogicalDateDeadline(BaseDeadlineReference):
    """From the run's logical date; a run without one has no such deadline."""


class DagRunQueuedAtDeadline(BaseDeadlineReference):
    """From the moment at which the run was queued, also when it is queued again."""


@dataclass(eq=False)
class FixedDatetimeDeadline(BaseDeadlineReference):
    """From a certain moment."""

    _datetime: datetime

    def serialize_reference(self) -> dict[str, Any]:
        """The reference as data."""
        return {**super().serialize_reference(), "datetime": self._datetime.timestamp()}

    @classmethod
    def deserialize_reference(cls, reference_data: dict[str, Any]) -> FixedDatetimeDeadline:
        """The reference that `serialize_reference` described."""
        return cls(datetime.fromtimestamp(reference_data["datetime"], UTC))


@dataclass(eq=False)
class AverageRuntimeDeadline(BaseDeadlineReference):
    """From the run's creation plus the average duration of the last runs; none before there are `min_runs`."""

    max_runs: int = DEFAULT_RUNS
    min_runs: int | None = None

    def __post_init__(self) -> None:
        if self.min_runs is None:
            self.min_runs = self.max_runs
        if self.min_runs < 1 or self.max_runs < 1:
            raise invalid("an average needs at least one run", field="min_runs", value=self.min_runs)

    def serialize_reference(self) -> dict[str, Any]:
        """The reference as data."""
        return {**super().serialize_reference(), "max_runs": self.max_runs, "min_runs": self.min_runs}

    @classmethod
    def deserialize_reference(cls, reference_data: dict[str, Any]) -> AverageRuntimeDeadline:
        """The reference that `serialize_reference` described."""
        runs = reference_data.get("max_runs", DEFAULT_RUNS)
        return cls(runs, reference_data.get("min_runs", runs))


ReferenceTypes = tuple[type[BaseDeadlineReference], ...]


class DeadlineReference:
    """The references that there are: DAGRUN_LOGICAL_DATE, DAGRUN_QUEUED_AT, FIXED_DATETIME(…), AVERAGE_RUNTIME(…).

    Those of one's own are added by `@deadline_reference`, under the name of their class.
    """

    class TYPES:
        """When a reference is looked at."""

        DAGRUN_CREATED: ReferenceTypes = (DagRunLogicalDateDeadline, FixedDatetimeDeadline, AverageRuntimeDeadline)
        DAGRUN_QUEUED: ReferenceTypes = (DagRunQueuedAtDeadline,)
        DAGRUN: ReferenceTypes = (*DAGRUN_CREATED, *DAGRUN_QUEUED)

    DAGRUN_LOGICAL_DATE: BaseDeadlineReference = DagRunLogicalDateDeadline()
    DAGRUN_QUEUED_AT: BaseDeadlineReference = DagRunQueuedAtDeadline()

    @classmethod
    def AVERAGE_RUNTIME(cls, max_runs: int = 0, min_runs: int | None = None) -> BaseDeadlineReference:
        """The average duration of the last `max_runs` runs (0: ten), once there are `min_runs`."""
        return AverageRuntimeDeadline(max_runs or DEFAULT_RUNS, min_runs)

    @classmethod
    def FIXED_DATETIME(cls, dt: datetime) -> BaseDeadlineReference:
        """A certain moment."""
        return FixedDatetimeDeadline(dt)

    @classmethod
    def register_custom_reference(
        cls, reference_class: type[BaseDeadlineReference], deadline_reference_type: ReferenceTypes | None = None
    ) -> type[BaseDeadlineReference]:
        """Make a reference of one's own available as `DeadlineReference.<its class's name>`."""
        if not issubclass(reference_class, BaseDeadlineReference):
            raise invalid("a reference extends BaseDeadlineReference", value=reference_class)
        try:
            instance = reference_class()
        except TypeError as error:
            raise invalid(
                f"a reference must be makeable without arguments: {error}",
                value=reference_class,
                remedy="Give every argument a default",
            ) from error
        setattr(cls, reference_class.__name__, instance)
        return reference_class


def deadline_reference(deadline_reference_type: Any = None) -> Any:
    """Register a reference of one's own; with or without brackets."""
    if isinstance(deadline_reference_type, type):
        return DeadlineReference.register_custom_reference(deadline_reference_type)
    return lambda cls: DeadlineReference.register_custom_reference(cls, deadline_reference_type)


@dataclass(frozen=True)
class VariableInterval:
    """An interval whose seconds stand in the Variable `key` when the run is created."""

    key: str


# ---------------------------------------------------------------- alerts


class DeadlineAlert:
    """A run should have ended `interval` after `reference`; otherwise `callback` is called."""

    def __init__(
        self,
        reference: BaseDeadlineReference,
        interval: timedelta | VariableInterval,
        callback: DeadlineCallback,
        name: str | None = None,
    ) -> None:
        if not isinstance(callback, (AsyncCallback, SyncCallback)):
            raise invalid("a deadline needs an AsyncCallback or a SyncCallback", field="callback", value=callback)
        if not isinstance(interval, (timedelta, VariableInterval)):
            raise invalid("the interval of a deadline is a timedelta", field="interval", value=interval)
        if not isinstance(reference, BaseDeadlineReference):
            raise invalid("this is no deadline reference", field="reference", value=reference)
        self.reference = reference
        self.interval = interval
        self.callback = callback
        self.name = name

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, DeadlineAlert):
            return NotImplemented
        mine = (self.reference, self.interval, self.callback)
        return mine == (other.reference, other.interval, other.callback)

    def __hash__(self) -> int:
        return hash((type(self.reference), self.interval, self.callback))

    def spec(self) -> DeadlineSpec:
        """The alert as it is stored."""
        callback, interval = self.callback, self.interval
        values: dict[str, Any] = {
            "name": self.name or "",
            "callback": callback.path,
            "kwargs": viewed(callback.kwargs),
            "is_async": callback.is_async,
            "interval": interval.total_seconds() if isinstance(interval, timedelta) else None,
        }
        match self.reference:
            case DagRunLogicalDateDeadline():
                return DeadlineSpec(reference=ReferencePoint.LOGICAL_DATE, **values)
            case DagRunQueuedAtDeadline():
                return DeadlineSpec(reference=ReferencePoint.QUEUED_AT, **values)
            case FixedDatetimeDeadline(_datetime=at):
                aware = at if at.utcoffset() is not None else at.replace(tzinfo=UTC)
                plain = datetime.fromtimestamp(aware.timestamp(), UTC)
                return DeadlineSpec(reference=ReferencePoint.FIXED, at=plain, **values)
            case AverageRuntimeDeadline(max_runs=most, min_runs=least):
                return DeadlineSpec(
                    reference=ReferencePoint.AVERAGE_RUNTIME, max_runs=most, min_runs=least or most, **values
                )
            case _:
                return DeadlineSpec(reference=ReferencePoint.CUSTOM, **values)


def alerts(value: Any, *, subject: str, field: str) -> tuple[DeadlineAlert, ...]:
    """What `deadline=` names: one alert or several. Raises UserError."""
    found = tuple(value) if isinstance(value, (list, tuple)) else () if value is None else (value,)
    for alert in found:
        if not isinstance(alert, DeadlineAlert):
            raise invalid("a deadline is a DeadlineAlert", subject=subject, field=field, value=alert)
    return found


def import_callback(path: str) -> Any:
    """What a callback's path names. Raises ImportError, AttributeError."""
    parts = path.split(".")
    for split in range(len(parts) - 1, 0, -1):
        try:
            found: Any = importlib.import_module(".".join(parts[:split]))
        except ModuleNotFoundError as error:
            if error.name and not ".".join(parts[:split]).startswith(error.name):
                raise
            continue
        for name in parts[split:]:
            found = getattr(found, name)
        return found
    raise ImportError(f"there is no module in {path!r}")
