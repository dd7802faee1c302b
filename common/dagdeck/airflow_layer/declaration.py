"""How the table of Airflow's names is written down, and what a written row means.

Decides the form of a row and how rows become entries by full path. Does not decide which names there are (the
`rows_…` modules). Read by `table`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What one full path, such as `airflow.operators.bash.BashOperator`, leads to."""

    home: str
    """The module that holds it."""
    name: str
    """Its name there."""
    instead: str = ""
    """What to write instead, for a path of an earlier Airflow; "" for a path of Airflow 3."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """Objects that live in one module, and the Airflow modules under which they are found.

    Modules are written without `airflow.`, which "." stands for alone. `module:Name` gives the object another name.
    """

    home: str
    """The module of the objects: of dagdeck, unless it begins with `airflow.providers.`."""
    names: str
    """The objects' names, with spaces between them; "" for all that the module holds."""
    now: str = ""
    """Airflow 3's modules; the first is the one that warnings recommend."""
    old: str = ""
    """Modules that only earlier versions had; using them gives a warning."""
    instead: str = ""
    """What the warning recommends, where there is no path of Airflow 3."""
    stands_in: bool = False
    """Whether `now` are modules of a provider package, which DagDeck has only while the package is not installed."""


def entries_of(rows: Iterable[Row]) -> Iterator[tuple[str, Entry]]:
    """All full paths of the rows."""
    for row in rows:
        home = row.home if row.home.startswith(("airflow.", "dagdeck")) else f"dagdeck.{row.home}"
        for name in row.names.split():
            yield from _paths_of(row, home, name)


def whole_modules_of(rows: Iterable[Row]) -> Iterator[tuple[str, str]]:
    """The modules of rows without names: path and home."""
    for row in rows:
        if not row.names:
            for place in row.now.split():
                yield f"airflow.{place}", f"dagdeck.{row.home}"


def _paths_of(row: Row, home: str, name: str) -> Iterator[tuple[str, Entry]]:
    now, old = row.now.split(), row.old.split()
    instead = row.instead or _recommended(now, home, name)
    for place in now:
        yield _path(place, name), Entry(home=home, name=name)
    for place in old:
        yield _path(place, name), Entry(home=home, name=name, instead=instead)


def _path(place: str, name: str) -> str:
    module, _, renamed = place.partition(":")
    parts = ["airflow", module if module != "." else "", renamed or name]
    return ".".join(part for part in parts if part)


def _recommended(now: list[str], home: str, name: str) -> str:
    path = _path(now[0], name) if now else f"{home}.{name}"
    module, _, wanted = path.rpartition(".")
    return f"Write: from {module} import {wanted}"


def stand_in_modules_of(rows: Iterable[Row]) -> frozenset[str]:
    """The modules of rows that stand in for a provider package, with their parents in it."""
    found: set[str] = set()
    for row in rows:
        for place in row.now.split() if row.stands_in else ():
            parts = f"airflow.{place.partition(':')[0]}".split(".")
            found.update(".".join(parts[:end]) for end in range(3, len(parts) + 1))
    return frozenset(found)


def modules_of(paths: Iterable[str], whole: Iterable[str]) -> frozenset[str]:
    """Every module that must exist for these paths: all their parents, and those that are modules themselves."""
    found: set[str] = set(whole)
    for path in paths:
        parent = path.rpartition(".")[0]
        while parent and parent not in found:
            found.add(parent)
            parent = parent.rpartition(".")[0]
    return frozenset(found)


def names_by_module(entries: Mapping[str, Entry]) -> dict[str, tuple[str, ...]]:
    """The names that each module offers, in the order of the table."""
    found: dict[str, list[str]] = {}
    for path in entries:
        module, _, name = path.rpartition(".")
        found.setdefault(module, []).append(name)
    return {module: tuple(names) for module, names in found.items()}
