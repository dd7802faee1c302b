"""Seconds between two stored instants, in each database's own words.

Decides how a duration is computed in SQL, where instants are stored as different types. Used by filters and
orders on durations.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import GenericFunction


class seconds_elapsed(GenericFunction[float]):
    """Seconds from its first to its second argument, both instants; NULL when one is missing."""

    type = sa.Double()
    inherit_cache = True


@compiles(seconds_elapsed)
def _elsewhere(element: Any, compiler: Any, **options: Any) -> str:
    start, end = _arguments(element, compiler, options)
    return f"EXTRACT(EPOCH FROM ({end} - {start}))"


@compiles(seconds_elapsed, "sqlite")
def _on_sqlite(element: Any, compiler: Any, **options: Any) -> str:
    start, end = _arguments(element, compiler, options)
    return f"(({end} - {start}) / 1000000.0)"


@compiles(seconds_elapsed, "mysql", "mariadb")
def _on_mysql(element: Any, compiler: Any, **options: Any) -> str:
    # A double, by 1e6: a decimal is compared with more digits than it is shown with, and cursors come back as shown.
    start, end = _arguments(element, compiler, options)
    return f"(TIMESTAMPDIFF(MICROSECOND, {start}, {end}) / 1e6)"


def _arguments(element: Any, compiler: Any, options: dict[str, Any]) -> tuple[str, str]:
    start, end = (compiler.process(clause, **options) for clause in element.clauses)
    return start, end
