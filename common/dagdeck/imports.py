"""`import_string`: the object that a dotted path names.

Decides nothing but the message for a path that leads nowhere. Used by provider packages and settings that hold paths.
"""

from __future__ import annotations

import importlib
from typing import Any

from dagdeck import airflow_layer


def import_string(dotted_path: str) -> Any:
    """The object at `package.module.name`. Raises ImportError."""
    airflow_layer.install()
    module, _, name = dotted_path.rpartition(".")
    if not module:
        raise ImportError(f"{dotted_path} does not look like a module path")
    try:
        return getattr(importlib.import_module(module), name)
    except AttributeError as error:
        raise ImportError(f'Module "{module}" does not define a "{name}" attribute/class') from error


def qualname(found: Any) -> str:
    """The dotted path of a class, a function, or an object's class."""
    named = found if hasattr(found, "__qualname__") and hasattr(found, "__module__") else type(found)
    return f"{named.__module__}.{named.__qualname__}"
