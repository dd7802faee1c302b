"""Listeners: functions of plugins that are told what happens to tasks and runs.

Decides how such functions are marked (`hookimpl`), found, and called: each gets the arguments that it names, the last
registered first, and what it raises is logged and changes nothing. Which moments there are is Airflow's list. Called by
runners, and for import errors where DAG files are parsed: in processes without credentials.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeVar, overload

from dagdeck.deprecation import warn_deprecated
from dagdeck_core.errors import UserError

_log = logging.getLogger("dagdeck.listeners")
_Function = TypeVar("_Function", bound=Callable[..., Any])
_MARK = "airflow_impl"  # the attribute in which pluggy keeps a mark of Airflow's project

_OLD = {
    "on_dataset_created": "on_asset_created",
    "on_dataset_alias_created": "on_asset_alias_created",
    "on_dataset_changed": "on_asset_changed",
}
"""Moments by their names in Airflow 2."""
OF_ASSETS = ("on_asset_created", "on_asset_alias_created", "on_asset_changed", "on_asset_event_emitted")
CALLED = frozenset(
    {
        "on_starting",
        "before_stopping",
        "on_task_instance_running",
        "on_task_instance_success",
        "on_task_instance_failed",
        "on_task_instance_skipped",
        "on_dag_run_running",
        "on_dag_run_success",
        "on_dag_run_failed",
        *OF_ASSETS,
        "on_new_dag_import_error",
        "on_existing_dag_import_error",
    }
)


@overload
def hookimpl(function: _Function) -> _Function: ...


@overload
def hookimpl(function: None = None, **options: Any) -> Callable[[_Function], _Function]: ...


def hookimpl(function: Any = None, **options: Any) -> Any:
    """Mark a function as a listener of the moment that its name tells (or `specname`).

    `tryfirst` and `trylast` move it in the order; `optionalhook` allows a name that is no moment.
    Raises UserError for hook wrappers.
    """
    if options.get("hookwrapper") or options.get("wrapper"):
        raise UserError("listeners cannot wrap other listeners", field="hookwrapper")

    def mark(marked: Any) -> Any:
        setattr(marked, _MARK, options)
        return marked

    return mark if function is None else mark(function)


@dataclass(frozen=True, slots=True)
class _Listener:
    function: Callable[..., Any]
    arguments: tuple[str, ...]
    rank: int

    def call(self, name: str, values: dict[str, Any]) -> None:
        try:
            self.function(**{argument: values[argument] for argument in self.arguments})
        except Exception:  # noqa: BLE001 - a listener's failure never changes a task
            _log.exception("the listener %s of %s failed", name, self.function.__module__)


@dataclass(slots=True)
class ListenerManager:
    """The listeners of this process."""

    _places: list[Any] = field(default_factory=list)
    _by_name: dict[str, list[_Listener]] = field(default_factory=dict)

    @property
    def has_listeners(self) -> bool:
        """Whether anything wants to be told of anything."""
        return bool(self._by_name)

    def wants(self, name: str) -> bool:
        """Whether anything wants to be told of this."""
        return name in self._by_name

    def add_listener(self, listener: Any) -> None:
        """Register a module or an object that has marked functions. Raises UserError for a mark that fits nothing."""
        if any(listener is place for place in self._places):
            return
        self._places.append(listener)
        for name, function, rank in _marked(listener):
            # The last registered is called first.
            found = [_Listener(function, _arguments(name, function), rank), *self._by_name.get(name, [])]
            self._by_name[name] = sorted(found, key=lambda each: each.rank)

    def clear(self) -> None:
        """Forget all."""
        self._places.clear()
        self._by_name.clear()

    def call(self, name: str, **values: Any) -> None:
        """Tell all that want to be told of this; those for Airflow 2 by its words."""
        for name_now, name_then in (("asset", "dataset"), ("asset_alias", "dataset_alias")):
            if name_now in values:
                values[name_then] = values[name_now]
        for listener in self._by_name.get(name, ()):
            listener.call(name, values)


_manager = ListenerManager()


def get_listener_manager() -> ListenerManager:
    """The one of this process."""
    return _manager


def _marked(listener: Any) -> Iterator[tuple[str, Callable[..., Any], int]]:
    for attribute in dir(listener):
        function = getattr(listener, attribute, None)
        options = getattr(function, _MARK, None)
        if not callable(function) or not isinstance(options, dict):
            continue
        name = options.get("specname") or attribute
        if name in _OLD:
            warn_deprecated(f"The listener {name}", f"Call it {_OLD[name]}")
            name = _OLD[name]
        if name in CALLED:
            yield name, function, -1 if options.get("tryfirst") else 1 if options.get("trylast") else 0
        elif not options.get("optionalhook"):
            raise UserError("there is no moment of this name that a listener is told of", field="hookimpl", value=name)


_GIVEN = {
    "on_starting": ("component",),
    "before_stopping": ("component",),
    "on_task_instance_failed": ("previous_state", "task_instance", "error"),
    "on_asset_created": ("asset", "dataset"),
    "on_asset_alias_created": ("asset_alias", "dataset_alias"),
    "on_asset_changed": ("asset", "dataset"),
    "on_asset_event_emitted": ("asset_event",),
    "on_new_dag_import_error": ("filename", "stacktrace"),
    "on_existing_dag_import_error": ("filename", "stacktrace"),
}


def _arguments(name: str, function: Callable[..., Any]) -> tuple[str, ...]:
    """What a listener wants to know, of what there is. Raises UserError for a name that is not among it."""
    import inspect

    usual = ("dag_run", "msg") if name.startswith("on_dag_run") else ("previous_state", "task_instance")
    given = _GIVEN.get(name, usual)
    wanted = []
    for parameter in inspect.signature(function).parameters.values():
        if parameter.name in given:
            wanted.append(parameter.name)
        elif parameter.default is parameter.empty and parameter.kind not in (
            parameter.VAR_POSITIONAL,
            parameter.VAR_KEYWORD,
        ):
            raise UserError(
                f"a listener of {name} is given {', '.join(given)}", field="arguments", value=parameter.name
            )
    return tuple(wanted)
