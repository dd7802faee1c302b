"""The one declared table: every `airflow…` path that DagDeck understands, and what it leads to.

Decides which paths exist, what each is told when it is old, and what an unknown one is told. The rows stand in the
`rows_…` modules. Read by `finder`, `dagdeck dags migrate-check` and the tests, which walk all of it.
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from dagdeck.airflow_layer import rows_authoring, rows_operators, rows_providers, rows_values
from dagdeck.airflow_layer.declaration import (
    Entry,
    entries_of,
    modules_of,
    names_by_module,
    stand_in_modules_of,
    whole_modules_of,
)
from dagdeck.airflow_layer.refusals import MODULES_REFUSED, refusal
from dagdeck.airflow_layer.versions import AIRFLOW_VERSION, SDK_VERSION

ROWS = (*rows_authoring.ROWS, *rows_operators.ROWS, *rows_values.ROWS, *rows_providers.ROWS)
PROVIDERS = "airflow.providers."

ENTRIES: Mapping[str, Entry] = MappingProxyType(dict(entries_of(ROWS)))
"""Full path → what it leads to. Of two rows for one path the later counts."""
WHOLE: Mapping[str, str] = MappingProxyType(dict(whole_modules_of(ROWS)))
"""Module → the module of dagdeck all of whose names it offers."""
_ALL_MODULES = modules_of([*ENTRIES, *(f"{path}.x" for path in WHOLE)], rows_values.EMPTY_MODULES)
STAND_INS: frozenset[str] = stand_in_modules_of(ROWS) - modules_of(
    [path for path, _ in entries_of(row for row in ROWS if not row.stands_in)], rows_values.EMPTY_MODULES
)
"""Modules of provider packages that the layer makes while the package is not installed."""
MODULES: frozenset[str] = _ALL_MODULES - STAND_INS
"""Every other module that the layer makes."""
NAMES: Mapping[str, tuple[str, ...]] = MappingProxyType(names_by_module(ENTRIES))
"""Module → the names that it offers."""

VERSIONS: Mapping[str, Mapping[str, str]] = {
    "airflow": {"__version__": AIRFLOW_VERSION},
    "airflow.sdk": {"__version__": SDK_VERSION},
}
"""What single modules say about their version."""
_NEAREST = 3


def resolve(path: str) -> Any:
    """The object that a path of the table leads to.

    Raises ImportError, which names the provider package to install where that is what is missing.
    """
    entry = ENTRIES[path]
    if entry.home.startswith(PROVIDERS):
        return _of_provider(path, entry)
    return getattr(importlib.import_module(entry.home), entry.name)


def _of_provider(path: str, entry: Entry) -> Any:
    try:
        return getattr(importlib.import_module(entry.home), entry.name)
    except ImportError as error:
        package = provider_package(entry.home)
        raise ImportError(
            f"{path} has moved to {entry.home}, which cannot be imported here ({error}). "
            f"Install {package} on every machine that parses or runs DAGs",
            name=entry.home,
        ) from error


def provider_package(module: str) -> str:
    """The distribution that a module below airflow.providers belongs to, judging by its path."""
    parts = module.removeprefix(PROVIDERS).split(".")
    ends = ("operators", "hooks", "sensors", "transfers", "triggers", "utils", "links", "notifications", "decorators")
    kept = []
    for part in parts:
        if part in ends:
            break
        kept.append(part)
    return "apache-airflow-providers-" + "-".join(kept)


def explain(path: str) -> str:
    """Why there is no such path, and what comes near it."""
    told = refusal(path)
    if told:
        return told
    module, _, name = path.rpartition(".")
    if path in _FAMILIES:
        return f"No provider package below {path} is installed here. Install the one of {provider_package(path)}-…"
    if path.startswith(PROVIDERS) and module in (PROVIDERS[:-1], *_FAMILIES):
        return f"{path} is no part of DagDeck and not installed here. Install {provider_package(path)}"
    if module in _PLACES_OF_1_10 and name.endswith(("_operator", "_hook", "_sensor")):
        return f"{path} of Airflow 1.10 is not available: it is in a package apache-airflow-providers-… today"
    if module in STAND_INS:
        return f"{path} comes with {provider_package(path)}, which is not installed here. Install it"
    return f"DagDeck's airflow layer has no {path}{_near(path, module, name)}"


_PLACES_OF_1_10 = ("airflow.operators", "airflow.hooks", "airflow.sensors")
_FAMILIES = frozenset(
    {
        "airflow.providers.common",
        "airflow.providers.apache",
        "airflow.providers.microsoft",
        "airflow.providers.atlassian",
    }
)


def _near(path: str, module: str, name: str) -> str:
    """The paths that the author may have meant: the same name elsewhere, then similar names of the module."""
    same = [known for known in ENTRIES if known.rpartition(".")[2] == name]
    current = [known for known in same if not ENTRIES[known].instead] or same
    if current:
        return f". {name} is found in: " + ", ".join(known.rpartition(".")[0] for known in current[:_NEAREST])
    offered = [*NAMES.get(module, ()), *_submodules(module)]
    close = difflib.get_close_matches(name, offered, n=_NEAREST, cutoff=0.6)
    if close:
        return ". Nearest: " + ", ".join(f"{module}.{found}" for found in close)
    names = {known.rpartition(".")[2]: known for known in ENTRIES}
    close = difflib.get_close_matches(name, names, n=_NEAREST, cutoff=0.75)
    if close:
        return ". Nearest: " + ", ".join(names[found] for found in close)
    if offered:
        return f". {module} has: " + ", ".join(offered)
    return ""


def _submodules(module: str) -> list[str]:
    start = module + "."
    return sorted({known.removeprefix(start).partition(".")[0] for known in MODULES if known.startswith(start)})


__all__ = [
    "ENTRIES",
    "MODULES",
    "MODULES_REFUSED",
    "NAMES",
    "ROWS",
    "STAND_INS",
    "WHOLE",
    "explain",
    "provider_package",
    "resolve",
]
