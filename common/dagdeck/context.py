"""Context: what a running task may know, by name.

Decides the names and that a value is worked out only when somebody asks for it. Does not work any out:
`dagdeck_task.run_context` supplies the ways to. Passed to `execute`, callbacks and templates, and given
by `get_current_context`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping
from typing import Any

from dagdeck.deprecation import warn_deprecated
from dagdeck.runtime import get_current_context

KNOWN_CONTEXT_KEYS: frozenset[str] = frozenset(
    {
        "asset_state_store",
        "conn",
        "dag",
        "dag_run",
        "data_interval_end",
        "data_interval_start",
        "ds",
        "ds_nodash",
        "exception",
        "expanded_ti_count",
        "inlet_events",
        "inlets",
        "logical_date",
        "macros",
        "map_index_template",
        "outlet_events",
        "outlets",
        "params",
        "partition_date",
        "partition_key",
        "prev_data_interval_end_success",
        "prev_data_interval_start_success",
        "prev_end_date_success",
        "prev_start_date_success",
        "reason",
        "run_after",
        "run_id",
        "start_date",
        "task",
        "task_instance",
        "task_instance_key_str",
        "task_reschedule_count",
        "task_state_store",
        "templates_dict",
        "test_mode",
        "ti",
        "triggering_asset_events",
        "try_number",
        "ts",
        "ts_nodash",
        "ts_nodash_with_tz",
        "var",
    }
)
"""Names that a task's function may have as parameters to be given the value."""

REMOVED_KEYS: Mapping[str, str] = {
    "conf": "dag_run.conf",
    "execution_date": "logical_date",
    "next_ds": "data_interval_end | ds",
    "next_ds_nodash": "data_interval_end | ds_nodash",
    "next_execution_date": "data_interval_end",
    "prev_ds": "prev_data_interval_start_success | ds",
    "prev_ds_nodash": "prev_data_interval_start_success | ds_nodash",
    "prev_execution_date": "prev_data_interval_start_success",
    "prev_execution_date_success": "prev_data_interval_start_success",
    "tomorrow_ds": "macros.ds_add(ds, 1)",
    "tomorrow_ds_nodash": "macros.ds_add(ds, 1) | replace('-', '')",
    "yesterday_ds": "macros.ds_add(ds, -1)",
    "yesterday_ds_nodash": "macros.ds_add(ds, -1) | replace('-', '')",
    "triggering_dataset_events": "triggering_asset_events",
}
"""Names that Airflow 2 had, and what to write instead."""


Provider = Callable[[Any], Any]
"""Works a value out, from the object that the context was made for."""

_NO_PROVIDERS: Mapping[str, Provider] = {}


class Context(MutableMapping[str, Any]):
    """A mapping whose values are worked out at first use and then kept.

    `providers` is shared by all contexts of a kind and called with `source`. Values of the providers named in
    `asking` cost a question to the database. `old` provides names of Airflow 2: they can be asked for, with a
    warning, but are not listed.
    """

    __slots__ = ("_asking", "_old", "_providers", "_source", "_values")

    def __init__(
        self,
        values: Mapping[str, Any] | None = None,
        *,
        providers: Mapping[str, Provider] = _NO_PROVIDERS,
        source: Any = None,
        asking: frozenset[str] = frozenset(),
        old: Mapping[str, Provider] = _NO_PROVIDERS,
    ) -> None:
        self._values: dict[str, Any] = dict(values or {})
        self._old = old
        self._providers = providers
        self._source = source
        self._asking = asking

    def __getitem__(self, key: str) -> Any:
        """The value. Raises KeyError, which names the successor of a name that Airflow 2 had."""
        try:
            return self._values[key]
        except KeyError:
            pass
        provider = self._providers.get(key)
        if provider is None:
            return self._old_value(key)
        value = self._values[key] = provider(self._source)
        return value

    def _old_value(self, key: str) -> Any:
        provider = self._old.get(key)
        if provider is None:
            raise KeyError(f"{key} (use {REMOVED_KEYS[key]} instead)" if key in REMOVED_KEYS else key)
        warn_deprecated(f"{key} in the context", f"Write {REMOVED_KEYS[key]}")
        return provider(self._source)

    def __setitem__(self, key: str, value: Any) -> None:
        self._values[key] = value

    def __delitem__(self, key: str) -> None:
        if key not in self:
            raise KeyError(key)
        self._values.pop(key, None)
        self._old = {name: provider for name, provider in self._old.items() if name != key}
        self._providers = {name: provider for name, provider in self._providers.items() if name != key}

    def __contains__(self, key: object) -> bool:
        return key in self._values or key in self._providers or key in self._old

    def __iter__(self) -> Iterator[str]:
        yield from self._values
        for key in self._providers:
            if key not in self._values:
                yield key

    def __len__(self) -> int:
        return len(self._values.keys() | self._providers.keys())

    def __repr__(self) -> str:
        return f"<Context: {', '.join(sorted(self))}>"

    @property
    def asking(self) -> frozenset[str]:
        """Names whose values cost a question to the database."""
        return self._asking

    def copy(self) -> Context:
        """A context of the same values that can be changed apart from this one."""
        return Context(self._values, providers=self._providers, source=self._source, asking=self._asking, old=self._old)

    def arguments(self, used: Iterable[str] = ()) -> dict[str, Any]:
        """All values by name, for a function that takes `**context`.

        Those that cost a question to the database are proxies, which ask at first use; so are Airflow 2's, except
        those that the function is known to use.
        """
        found = dict(self._values)
        for key in self._providers:
            if key not in found:
                lazy = key in self._asking
                found[key] = LazyValue(functools.partial(self.__getitem__, key)) if lazy else self[key]
        for key in self._old:
            if key not in found:
                known = key in used
                found[key] = self[key] if known else LazyValue(functools.partial(self.__getitem__, key))
        return found


def context_merge(context: MutableMapping[str, Any], *args: Any, **kwargs: Any) -> None:
    """Put further values into a context, as `dict.update` does."""
    context.update(*args, **kwargs)


class LazyValue:
    """Stands for a value and becomes it at first use; `is None` is the one question that it cannot answer."""

    __slots__ = ("_get", "_value")

    def __init__(self, get: Callable[[], Any]) -> None:
        object.__setattr__(self, "_get", get)

    def _resolved(self) -> Any:
        if self._get is not None:
            object.__setattr__(self, "_value", self._get())
            object.__setattr__(self, "_get", None)
        return self._value

    def __getattr__(self, name: str) -> Any:
        return getattr(self._resolved(), name)

    def __bool__(self) -> bool:
        return bool(self._resolved())

    def __eq__(self, other: object) -> bool:
        return bool(self._resolved() == other)

    def __hash__(self) -> int:
        return hash(self._resolved())

    def __lt__(self, other: Any) -> bool:
        return bool(self._resolved() < other)

    def __le__(self, other: Any) -> bool:
        return bool(self._resolved() <= other)

    def __gt__(self, other: Any) -> bool:
        return bool(self._resolved() > other)

    def __ge__(self, other: Any) -> bool:
        return bool(self._resolved() >= other)

    def __sub__(self, other: Any) -> Any:
        return self._resolved() - other

    def __add__(self, other: Any) -> Any:
        return self._resolved() + other

    def __rsub__(self, other: Any) -> Any:
        return other - self._resolved()

    def __str__(self) -> str:
        return str(self._resolved())

    def __repr__(self) -> str:
        return repr(self._resolved())

    def __format__(self, spec: str) -> str:
        return format(self._resolved(), spec)


__all__ = ["KNOWN_CONTEXT_KEYS", "REMOVED_KEYS", "Context", "LazyValue", "context_merge", "get_current_context"]
