"""Installed provider packages, as they describe themselves: hooks by connection type, kinds of `@task`.

Decides how they are found (entry points) and which hook a connection type has. Does not import their classes before
they are asked for. Used by `Connection.get_hook`, `@task.docker` and its kin, and provider packages themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from importlib import metadata
from typing import Any
from urllib.parse import SplitResult

from dagdeck import airflow_layer
from dagdeck.exceptions import AirflowException, close_match
from dagdeck.imports import import_string

GROUP = "apache_airflow_provider"
"""Entry points by which provider packages describe themselves."""
_OWN_HOOKS = {
    "fs": "dagdeck.hooks.filesystem.FSHook",
    "http": "dagdeck.hooks.http.HttpHook",
    "mariadb": "dagdeck.hooks.sql.SqlHook",
    "mysql": "dagdeck.hooks.sql.SqlHook",
    "package_index": "dagdeck.hooks.package_index.PackageIndexHook",
    "sqlite": "dagdeck.hooks.sql.SqlHook",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderInfo:
    """One package: its version and what it says of itself."""

    version: str
    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class HookInfo:
    """The hook of a connection type."""

    connection_type: str
    hook_class_name: str
    package_name: str

    @property
    def hook_class(self) -> Any:
        """The class. Raises ImportError."""
        return import_string(self.hook_class_name)

    @property
    def connection_id_attribute_name(self) -> str:
        """The argument of the class that takes the connection's id."""
        return str(getattr(self.hook_class, "conn_name_attr", "conn_id"))

    @property
    def hook_name(self) -> str:
        """What the hook is called."""
        return str(getattr(self.hook_class, "hook_name", self.connection_type))


@lru_cache(maxsize=1)
def installed() -> Mapping[str, ProviderInfo]:
    """All packages by name. One that cannot describe itself is left out."""
    airflow_layer.install()
    found: dict[str, ProviderInfo] = {}
    for point in metadata.entry_points(group=GROUP):
        try:
            data = point.load()()
        except Exception:  # noqa: BLE001 - a broken package must not stand in the way of others
            continue
        version = point.dist.version if point.dist is not None else ""
        found[str(data.get("package-name", point.name))] = ProviderInfo(version=version, data=data)
    return found


@lru_cache(maxsize=1)
def hooks() -> Mapping[str, HookInfo]:
    """Hooks by connection type: those of installed packages, and DagDeck's own where there is none."""
    found: dict[str, HookInfo] = {}
    for name, package in installed().items():
        for each in package.data.get("connection-types", ()):
            kind = each["connection-type"]
            info = HookInfo(connection_type=kind, hook_class_name=each["hook-class-name"], package_name=name)
            found.setdefault(kind, info)
    for kind, path in _OWN_HOOKS.items():
        found.setdefault(kind, HookInfo(connection_type=kind, hook_class_name=path, package_name="dagdeck"))
    return found


def hook_for(conn_type: str | None, conn_id: str | None, hook_params: Mapping[str, Any] | None = None) -> Any:
    """A hook for a connection. Raises AirflowException for a type that nothing installed here knows."""
    info = hooks().get(conn_type or "")
    if info is None:
        near = close_match(conn_type or "", hooks())
        raise AirflowException(
            f'Unknown hook type "{conn_type}" of connection {conn_id!r}{near}; there are hooks for '
            f"{', '.join(sorted(hooks()))}. Install the provider package of {conn_type}"
        )
    return info.hook_class(**{info.connection_id_attribute_name: conn_id}, **(hook_params or {}))


def task_decorator_of(kind: str) -> Any:
    """The decorator `@task.kind` of an installed package; None when none brings it. Raises ImportError."""
    for package in installed().values():
        for each in package.data.get("task-decorators", ()):
            if each["name"] == kind:
                return import_string(each["class-name"])
    return None


@lru_cache(maxsize=1)
def asset_uri_handlers() -> Mapping[str, Callable[[SplitResult], SplitResult]]:
    """What brings asset URIs into their form, by scheme. A handler that cannot be imported is left out."""
    found: dict[str, Callable[[SplitResult], SplitResult]] = {}
    for package in installed().values():
        for each in package.data.get("asset-uris", ()):
            if "schemes" not in each or "handler" not in each:
                continue
            try:
                handler = _as_it_is if each["handler"] is None else import_string(each["handler"])
            except Exception:  # noqa: BLE001 - as above
                continue
            found.update(dict.fromkeys(each["schemes"], handler))
    return found


def _as_it_is(parts: SplitResult) -> SplitResult:
    return parts


@dataclass
class ProvidersManager:
    """What provider packages ask about each other."""

    field_behaviours: dict[str, Any] = field(default_factory=dict)
    connection_form_widgets: dict[str, Any] = field(default_factory=dict)

    @property
    def providers(self) -> Mapping[str, ProviderInfo]:
        """See `installed`."""
        return installed()

    @property
    def asset_uri_handlers(self) -> Mapping[str, Callable[[SplitResult], SplitResult]]:
        """See the function of this name."""
        return asset_uri_handlers()

    @property
    def hooks(self) -> Mapping[str, HookInfo]:
        """See the function of this name."""
        return hooks()
