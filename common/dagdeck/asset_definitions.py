"""`@asset` and `@asset.multi`: a function that makes assets, as a DAG of one task.

Decides the DAG and the task that a decorated function becomes and what its parameters mean: `self` is the asset,
`context` and `outlet_events` are those of the task, every other parameter without default names an asset that is read.
Used in DAG files.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

from dagdeck import runtime
from dagdeck.assets import Asset, AssetAll, BaseAsset
from dagdeck.context import Context
from dagdeck.dags import DAG
from dagdeck.decorators.task_factory import TaskFactory
from dagdeck.exceptions import AirflowException, InvalidArguments, invalid
from dagdeck.operators.python import PythonOperator

_GIVEN = ("self", "context", "outlet_events")
"""Parameters of a decorated function that name no asset."""


class AssetMainOperator(PythonOperator):
    """Calls the function of an `@asset`."""

    def __init__(self, *, definition: AssetDefinition | MultiAssetDefinition, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._definition = definition

    def determine_kwargs(self, context: Context) -> Mapping[str, Any]:
        """The arguments, each by its parameter's name. Raises AirflowException for an asset that nobody defines."""
        values: dict[str, Any] = {}
        for name, parameter in inspect.signature(self.python_callable).parameters.items():
            if parameter.default is not inspect.Parameter.empty:
                values[name] = parameter.default
            elif name == "self":
                values[name] = self._definition.as_argument()
            elif name == "context":
                values[name] = context
            elif name == "outlet_events":
                values[name] = context["outlet_events"]
            else:
                values[name] = find_asset(name=name)
        return values


def find_asset(*, name: str = "", uri: str = "") -> Asset:
    """The active asset of that name or URI, asked of the cluster. Raises AirflowException when there is none."""
    requests = runtime.current_requests()
    asked = f"name {name!r}" if name else f"uri {uri!r}"
    if requests is None:
        raise AirflowException(f"the asset with the {asked} can be looked up only while a task runs")
    try:
        found = requests.request("asset_get", {"name": name, "uri": uri})
    except runtime.NotFound:
        raise AirflowException(f"no active asset has the {asked}; a DAG must define it") from None
    return Asset(name=found["name"], uri=found["uri"], group=found["group"], extra=found["extra"])


class AssetDefinition(Asset):
    """The asset that a function decorated with `@asset` makes, by its `dag`; usable wherever an asset is."""

    def __init__(self, *, function: Any, source: asset, name: str, **arguments: Any) -> None:
        super().__init__(name=name, **arguments)
        self._function = function
        self.dag = source.create_dag(default_dag_id=name)
        with self.dag:
            _make_task(self, function)

    def iter_outlets(self) -> Iterator[BaseAsset]:
        """Itself."""
        yield self

    def as_argument(self) -> Asset:
        """What the function gets as `self`."""
        return Asset(name=self.name, uri=self.uri, group=self.group, extra=self.extra)


class MultiAssetDefinition(AssetAll):
    """The assets that a function decorated with `@asset.multi` makes."""

    def __init__(self, *, function: Any, source: _Multi) -> None:
        super().__init__(*source.outlets)
        self._outlets = list(source.outlets)
        self.name = _name_of(function)
        self._function = function
        self.dag = source.create_dag(default_dag_id=self.name)
        with self.dag:
            _make_task(self, function)

    def iter_outlets(self) -> Iterator[BaseAsset]:
        """The assets and aliases."""
        yield from self._outlets

    def as_argument(self) -> MultiAssetDefinition:
        """What the function gets as `self`."""
        return self


def _name_of(function: Any) -> str:
    return str(function.function.__name__ if isinstance(function, TaskFactory) else function.__name__)


def _make_task(definition: AssetDefinition | MultiAssetDefinition, function: Any) -> None:
    outlets = list(definition.iter_outlets())
    if isinstance(function, TaskFactory):
        if "outlets" in function.arguments:
            raise invalid("a task of @asset takes no outlets", field="outlets", error=InvalidArguments)
        function.override(outlets=outlets)()
        return
    parameters = inspect.signature(function).parameters
    for name, parameter in parameters.items():
        if parameter.kind in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD):
            raise invalid(f"the function of @asset takes no *{name}", field=name, error=InvalidArguments)
        if parameter.kind is inspect.Parameter.POSITIONAL_ONLY and parameter.default is inspect.Parameter.empty:
            raise invalid(
                f"the function of @asset takes no positional-only {name!r}", field=name, error=InvalidArguments
            )
    AssetMainOperator(
        task_id=function.__name__,
        definition=definition,
        python_callable=function,
        outlets=outlets,
        inlets=[
            Asset.ref(name=name)
            for name, parameter in parameters.items()
            if name not in _GIVEN and parameter.default is inspect.Parameter.empty
        ],
    )


class _DagFactory:
    """The arguments that `@asset` and `@asset.multi` hand on to their DAG."""

    def __init__(
        self,
        *,
        schedule: Any,
        is_paused_upon_creation: bool | None = None,
        dag_id: str | None = None,
        dag_display_name: str | None = None,
        description: str | None = None,
        params: Mapping[str, Any] | None = None,
        on_success_callback: Any = None,
        on_failure_callback: Any = None,
        access_control: Mapping[str, Any] | None = None,
        owner_links: Mapping[str, str] | None = None,
        tags: Collection[str] = (),
    ) -> None:
        self.dag_id = dag_id
        self._dag_display_name = dag_display_name
        self._arguments: dict[str, Any] = {
            "schedule": schedule,
            "is_paused_upon_creation": is_paused_upon_creation,
            "description": description,
            "params": params,
            "on_success_callback": on_success_callback,
            "on_failure_callback": on_failure_callback,
            "access_control": access_control,
            "owner_links": owner_links,
            "tags": tags,
        }

    def create_dag(self, *, default_dag_id: str) -> DAG:
        """The DAG of the function."""
        dag_id = self.dag_id or default_dag_id
        return DAG(dag_id, catchup=False, dag_display_name=self._dag_display_name or dag_id, **self._arguments)

    @staticmethod
    def _check(function: Callable[..., Any]) -> None:
        name = _name_of(function)
        if name != (function.function if isinstance(function, TaskFactory) else function).__qualname__:
            raise invalid(
                f"@asset decorates functions at the top of a DAG file, {name!r} is inside of another",
                field="@asset",
                value=name,
            )


class _Multi(_DagFactory):
    """Make a DAG of one task that emits several assets."""

    def __init__(self, *, outlets: Collection[BaseAsset], **arguments: Any) -> None:
        super().__init__(**arguments)
        if not outlets:
            raise invalid("@asset.multi needs outlets", field="outlets", value=outlets)
        self.outlets = list(outlets)

    def __call__(self, function: Callable[..., Any]) -> MultiAssetDefinition:
        """The definition of the decorated function's assets."""
        self._check(function)
        return MultiAssetDefinition(function=function, source=self)


class asset(_DagFactory):
    """Make an asset by decorating the function that makes it."""

    multi = _Multi

    def __init__(
        self,
        *,
        name: str | None = None,
        uri: Any = None,
        group: str = Asset.asset_type,
        extra: Mapping[str, Any] | None = None,
        watchers: Collection[Any] = (),
        **arguments: Any,
    ) -> None:
        super().__init__(**arguments)
        self._asset: dict[str, Any] = {"name": name, "uri": uri, "group": group, "extra": extra, "watchers": watchers}

    def __call__(self, function: Callable[..., Any]) -> AssetDefinition:
        """The asset; its name is the function's unless another was given."""
        self._check(function)
        name = self._asset["name"] or _name_of(function)
        return AssetDefinition(function=function, source=self, **{**self._asset, "name": name})
