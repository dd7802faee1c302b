"""Rows for any table, out of nothing but its columns.

Decides a value for each type, different from row to row where it can be, with letters beyond ASCII. Called by tests
that have a whole database moved, upgraded or restored.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa

from dagdeck_core.spec import DagSpec
from dagdeck_io.db.types import EnumText, JsonText, SpecBlob, UtcDateTime

AT = datetime(2026, 11, 1, 12, 30, 15, 123456, tzinfo=UTC)


def any_value(column: sa.Column[Any], number: int) -> Any:
    """A value of the column's type that differs from row to row where it can, with letters beyond ASCII."""
    kind = column.type
    if isinstance(kind, EnumText):
        enum: Any = kind.enum
        return next(iter(enum))
    if isinstance(kind, UtcDateTime):
        return AT + timedelta(microseconds=number)
    if isinstance(kind, JsonText):
        return {"number": number, "text": "Grüße 🌊"}
    if isinstance(kind, SpecBlob):
        return DagSpec(dag_id=f"dag_{number}", fileloc="dags/ß.py")
    if isinstance(kind, sa.Boolean):
        return bool(number % 2)
    if isinstance(kind, sa.Integer):
        return number
    if isinstance(kind, sa.Float):
        return number + 0.1
    if isinstance(kind, sa.LargeBinary):
        return bytes([0, 255, number])
    assert isinstance(kind, sa.String), column
    return f"{number} ß{column.name}"[: kind.length or 40]
