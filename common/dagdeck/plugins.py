"""Plugins: what authors add to all their DAGs, from `plugins/` of a bundle or the folder of a setting.

Decides what a plugin may bring, when its files are loaded (before the first DAG file of their bundle) and what becomes
of what it brings. A plugin file that cannot be loaded is logged and does not keep others from loading. Called wherever
DAG files are loaded, in processes without credentials.
"""

from __future__ import annotations

import importlib
import importlib.util
import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any, ClassVar

from dagdeck import airflow_layer, configuration, listeners
from dagdeck_core.errors import UserError

if TYPE_CHECKING:
    from dagdeck.operator import BaseOperator

FOLDER = "plugins"
_log = logging.getLogger("dagdeck.plugins")


class AirflowPlugin:
    """Base of plugins: a subclass in a plugin file, with a `name` and the lists of what it brings.

    Timetables, priority strategies, partition mappers, windows and deadline references are found by the DAG files
    that import them, whether or not they are listed. What belongs to Airflow's web server is not used.
    """

    name: ClassVar[str | None] = None
    source: Any = None
    macros: ClassVar[list[Any]] = []
    listeners: ClassVar[list[Any]] = []
    operator_extra_links: ClassVar[list[Any]] = []
    global_operator_extra_links: ClassVar[list[Any]] = []
    timetables: ClassVar[list[Any]] = []
    priority_weight_strategies: ClassVar[list[Any]] = []
    partition_mappers: ClassVar[list[Any]] = []
    windows: ClassVar[list[Any]] = []
    deadline_references: ClassVar[list[Any]] = []
    hook_lineage_readers: ClassVar[list[Any]] = []
    admin_views: ClassVar[list[Any]] = []
    flask_blueprints: ClassVar[list[Any]] = []
    fastapi_apps: ClassVar[list[Any]] = []
    fastapi_root_middlewares: ClassVar[list[Any]] = []
    external_views: ClassVar[list[Any]] = []
    react_apps: ClassVar[list[Any]] = []
    menu_links: ClassVar[list[Any]] = []
    appbuilder_views: ClassVar[list[Any]] = []
    appbuilder_menu_items: ClassVar[list[Any]] = []

    @classmethod
    def validate(cls) -> None:
        """Raise UserError when there is no name."""
        if not cls.name:
            raise UserError("a plugin needs a name", field="name", value=cls.__qualname__)

    @classmethod
    def on_load(cls, *_: Any, **__: Any) -> None:
        """Called when the plugin has been found."""


_WEB_SERVER = (
    "admin_views",
    "flask_blueprints",
    "fastapi_apps",
    "fastapi_root_middlewares",
    "external_views",
    "react_apps",
    "menu_links",
    "appbuilder_views",
    "appbuilder_menu_items",
)


class _Loaded:
    """The plugins of this process."""

    def __init__(self) -> None:
        self.folders: tuple[Path, ...] | None = None
        self.plugins: dict[str, type[AirflowPlugin]] = {}
        self.problems: dict[str, str] = {}


_loaded = _Loaded()


def load(root: Path, *, fresh: bool = False) -> None:
    """Load the plugins of a bundle, unless they are the ones loaded last; `fresh` loads them again."""
    airflow_layer.install()
    set_folder = configuration.conf.get("core", "plugins_folder", fallback="")
    places = [root / FOLDER, *([Path(set_folder).expanduser()] if set_folder else [])]
    folders = tuple(place for place in dict.fromkeys(places) if place.is_dir())
    if folders == _loaded.folders and not (fresh and folders):
        return
    if _loaded.plugins:
        listeners.get_listener_manager().clear()
    _loaded.folders, _loaded.plugins, _loaded.problems = folders, {}, {}
    for folder in folders:
        if str(folder) not in sys.path:
            sys.path.append(str(folder))
        for path in _files(folder):
            _load_file(path, folder)


def load_once(root: Path) -> None:
    """Load the plugins beside a DAG file that was not loaded as one of a bundle."""
    if _loaded.folders is None:
        load(root)


def registered() -> dict[str, type[AirflowPlugin]]:
    """The plugins by name."""
    return _loaded.plugins


def problems() -> dict[str, str]:
    """Why plugin files could not be loaded, by path."""
    return _loaded.problems


def macros_of(name: str) -> Any:
    """What `macros.<name>` is in templates. Raises KeyError."""
    return SimpleNamespace(**{each.__name__: each for each in _loaded.plugins[name].macros})


def have_links() -> bool:
    """Whether any plugin gives links to operators."""
    return any(each.global_operator_extra_links or each.operator_extra_links for each in _loaded.plugins.values())


def links_for(operator: BaseOperator) -> Iterator[Any]:
    """The links that plugins give to an operator."""
    for plugin in _loaded.plugins.values():
        yield from plugin.global_operator_extra_links
        yield from (
            link
            for link in plugin.operator_extra_links
            if issubclass(operator.operator_class, tuple(getattr(link, "operators", ())))
        )


def _files(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*.py")):
        parts = path.relative_to(folder).parts
        if path.name != "__init__.py" and not any(part.startswith((".", "__pycache__")) for part in parts):
            yield path


def _load_file(path: Path, folder: Path) -> None:
    try:
        module = _module(path, folder)
        for value in list(vars(module).values()):
            if isinstance(value, type) and issubclass(value, AirflowPlugin) and value is not AirflowPlugin:
                _register(value, path)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever a plugin raises is its author's to see
        _loaded.problems[str(path)] = f"{type(error).__name__}: {error}"
        _log.exception("the plugin file %s cannot be loaded", path)


def _module(path: Path, folder: Path) -> ModuleType:
    """The file under the name by which a DAG file imports it, unless that name is another module's."""
    name = ".".join(path.relative_to(folder).with_suffix("").parts)
    found = sys.modules.get(name)
    if found is None and name.isidentifier() | ("." in name):
        try:
            found = importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name != name:
                raise
    if found is not None and getattr(found, "__file__", None) == str(path):
        return found
    own_name = f"dagdeck_plugin_{name.replace('.', '_')}"
    spec = importlib.util.spec_from_file_location(own_name, path)
    if spec is None or spec.loader is None:
        raise UserError("this is no Python file", file=str(path))
    module = sys.modules[own_name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _register(plugin: type[AirflowPlugin], path: Path) -> None:
    if plugin in _loaded.plugins.values():
        return
    plugin.validate()
    name = str(plugin.name)
    if name in _loaded.plugins:
        raise UserError("two plugins have the same name", field="name", value=name)
    unused = [field for field in _WEB_SERVER if getattr(plugin, field)]
    if unused:
        _log.warning("plugin %s (%s): %s belong to Airflow's web server and are not used", name, path, unused)
    for listener in plugin.listeners:
        listeners.get_listener_manager().add_listener(listener)
    _loaded.plugins[name] = plugin
    plugin.on_load()
