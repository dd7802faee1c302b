"""The MetaData of all tables, and the kinds of columns that they are made of.

Decides names of constraints, character sets and lengths. Does not decide which tables exist (tables.py and the
modules that it joins). Called by these modules only.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy import Boolean, Column, Integer, MetaData, String

from dagdeck_core.states import TaskInstanceState
from dagdeck_io.db.types import EnumText, UtcDateTime, big_id

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

NAME = 250
"""Most characters of a dag_id, task_id, run_id and other names."""
PATH = 500
"""Most characters of a file's path within a bundle."""
REASON = 500
"""Most characters of a reason; longer ones are cut."""

ENCRYPTED = {"encrypted": True}
"""`info` of a column whose texts the vault encrypts; a rotation of keys finds it by that."""


def table_(name: str, *items: Any) -> sa.Table:
    """A table of ours."""
    return sa.Table(name, metadata, *items, mysql_engine="InnoDB", mysql_charset="utf8mb4", mysql_collate="utf8mb4_bin")


def id_(name: str, **options: Any) -> Column[int]:
    """An id of `dagdeck_core.ids`."""
    return Column(name, big_id(), autoincrement=False, **options)


def name_(name: str, **options: Any) -> Column[str]:
    """A name of a DAG, a run, a task, a user and the like."""
    return Column(name, String(NAME), **options)


def time_(name: str, **options: Any) -> Column[Any]:
    """An instant."""
    return Column(name, UtcDateTime(), **options)


def flag_(name: str) -> Column[bool]:
    """A yes or no; no at first."""
    return Column(name, Boolean(), nullable=False, default=False)


def count_(name: str, default: int = 0) -> Column[int]:
    """A number."""
    return Column(name, Integer(), nullable=False, default=default)


def state_(name: str, **options: Any) -> Column[Any]:
    """A task instance's state."""
    return Column(name, EnumText(TaskInstanceState), **options)
