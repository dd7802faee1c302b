"""Python's import system, told about the table: a meta-path finder and the modules that it makes.

Decides how a path of the table becomes a module or an attribute, where other parts of the `airflow` namespace are
looked for (provider packages, a bundle's own `airflow/` folder), and what an unknown name is told. Does not decide
what there is (`table`). Installed by `dagdeck.airflow_layer`.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterator, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any, overload

ROOT = "airflow"


class AirflowFinder(MetaPathFinder, Loader):
    """Finds `airflow` and everything below it that the table declares."""

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        """The spec of a module of the table, or of one that lies in the namespace's folders.

        Raises ModuleNotFoundError, which names what there is, for other modules right below one of the table.
        """
        if not fullname.startswith(ROOT) or (fullname != ROOT and not fullname.startswith("airflow.")):
            return None
        declared = _table()
        if fullname in declared.MODULES:
            return self._spec(fullname)
        parent = fullname.rpartition(".")[0]
        if not isinstance(sys.modules.get(parent), LayerModule):
            return None
        found = PathFinder.find_spec(fullname, list(SearchPath(parent)))
        if found is None and fullname in declared.STAND_INS:
            return self._spec(fullname)
        if found is None and _is_import_statement():
            raise ModuleNotFoundError(declared.explain(fullname), name=parent)
        return found

    def _spec(self, fullname: str) -> ModuleSpec:
        spec = ModuleSpec(fullname, self, origin="DagDeck", is_package=True)
        spec.submodule_search_locations = SearchPath(fullname)  # type: ignore[assignment]
        return spec

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """An empty module of the layer."""
        return LayerModule(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """Give the module what is known without looking anything up."""
        declared = _table()
        module.__doc__ = f"DagDeck in place of {module.__name__}."
        names = list(declared.NAMES.get(module.__name__, ()))
        if module.__name__ in declared.WHOLE:
            home = importlib.import_module(declared.WHOLE[module.__name__])
            names += getattr(home, "__all__", None) or [name for name in vars(home) if not name.startswith("_")]
        module.__dict__["__all__"] = list(dict.fromkeys(names))
        module.__dict__.update(declared.VERSIONS.get(module.__name__, {}))


class LayerModule(ModuleType):
    """A module whose names are looked up in the table when they are used."""

    def __getattr__(self, name: str) -> Any:
        """The object of the table. Raises AttributeError, which names what there is."""
        if name.startswith("__") and name.endswith("__"):
            raise AttributeError(name)
        declared = _table()
        path = f"{self.__name__}.{name}"
        entry = declared.ENTRIES.get(path)
        if entry is None:
            if path in declared.MODULES or path in declared.STAND_INS:
                return importlib.import_module(path)
            return self._from_whole(name, path)
        value = declared.resolve(path)
        if not entry.instead:
            self.__dict__[name] = value
        elif not _asked_by_import_system():
            from dagdeck.deprecation import warn_deprecated

            warn_deprecated(path, entry.instead)
        return value

    def __setattr__(self, name: str, value: Any) -> None:
        """As for every module; but a submodule does not take the place of an object with the same name."""
        if isinstance(value, ModuleType) and f"{self.__name__}.{name}" in _table().ENTRIES:
            return
        super().__setattr__(name, value)

    def _from_whole(self, name: str, path: str) -> Any:
        declared = _table()
        home = declared.WHOLE.get(self.__name__)
        if home is not None:
            try:
                return getattr(importlib.import_module(home), name)
            except AttributeError:
                pass
        raise AttributeError(declared.explain(path))

    def __dir__(self) -> list[str]:
        """Its own names and those of the table."""
        return sorted({*self.__dict__, *_table().NAMES.get(self.__name__, ())})


class SearchPath(Sequence[str]):
    """The folders that may hold further parts of a module of the layer, as sys.path stands when they are asked for.

    Folders of an installed Airflow itself are left out: its own modules must not mix with DagDeck's.
    """

    def __init__(self, module: str) -> None:
        self._parts = module.split(".")

    def _folders(self) -> list[str]:
        found = []
        for entry in sys.path:
            root = os.path.join(entry or os.getcwd(), ROOT)
            folder = os.path.join(root, *self._parts[1:])
            if os.path.isdir(folder) and (self._parts[1:2] == ["providers"] or not _is_airflow_itself(root)):
                found.append(folder)
        return found

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        return self._folders()[index]

    def __iter__(self) -> Iterator[str]:
        return iter(self._folders())

    def __len__(self) -> int:
        return len(self._folders())

    def append(self, folder: str) -> None:
        """Nothing: what is searched follows from sys.path."""

    def __repr__(self) -> str:
        return f"SearchPath({self._folders()!r})"


def _is_airflow_itself(folder: str) -> bool:
    """Whether `folder` is the package of an installed Airflow."""
    return os.path.isdir(os.path.join(folder, "models")) and os.path.isfile(os.path.join(folder, "__init__.py"))


def _table() -> Any:
    """The table, read when the first DAG file imports something of Airflow's."""
    from dagdeck.airflow_layer import table

    return table


def _asked_by_import_system() -> bool:
    """Whether the attribute is asked for by the import system, which asks once more than the author does."""
    return sys._getframe(2).f_code.co_filename.startswith("<frozen importlib")


def _is_import_statement() -> bool:
    """Whether a module is to be imported, and not only looked for (`importlib.util.find_spec`)."""
    frame = sys._getframe(2)
    while frame.f_code.co_name == "_find_spec" and frame.f_back is not None:
        frame = frame.f_back
    return frame.f_code.co_name == "_find_and_load_unlocked"
