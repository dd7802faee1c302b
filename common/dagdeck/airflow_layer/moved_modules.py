"""`airflow.utils.deprecation_tools`: how provider packages announce that modules of theirs have moved.

Decides that old places lead to the new ones, with a warning. Found through the table.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping
from types import ModuleType
from typing import Any

from dagdeck.deprecation import warn_deprecated


class DeprecatedImportWarning(FutureWarning):
    """A DAG file imports something from a place that it has left."""


class _Moved(ModuleType):
    """A module whose names are elsewhere now."""

    def __init__(self, name: str, places: Mapping[str, str]) -> None:
        super().__init__(name)
        self._places = places

    def __getattr__(self, name: str) -> Any:
        path = self.__dict__["_places"].get(name)
        if path is None:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        warn_deprecated(f"{self.__name__}.{name}", f"Use {path}")
        module, _, last = path.rpartition(".")
        return getattr(importlib.import_module(module), last)


def add_deprecated_classes(
    module_imports: Mapping[str, Mapping[str, str]],
    package: str,
    override_deprecated_classes: Mapping[str, Mapping[str, str]] | None = None,
    extra_message: str | None = None,
) -> None:
    """Make `package.module` lead to the paths that `module_imports` gives for its names."""
    for module, places in module_imports.items():
        full = f"{package}.{module}"
        if module == "__init__":
            target = sys.modules[package]
            target.__dict__["__getattr__"] = _Moved(package, places).__getattr__
        elif full not in sys.modules:
            sys.modules[full] = _Moved(full, places)
