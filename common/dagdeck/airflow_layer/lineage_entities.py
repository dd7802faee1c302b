"""Entities of `airflow.lineage`: what inlets and outlets could name besides assets.

Decides their fields. They are kept with the task and lead to nothing. Found by DAG files through the table.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar


@dataclass
class File:
    """A file."""

    url: str
    type_hint: str | None = None
    template_fields: ClassVar[tuple[str, ...]] = ("url",)


@dataclass(kw_only=True)
class User:
    """A person."""

    email: str
    first_name: str | None = None
    last_name: str | None = None
    template_fields: ClassVar[tuple[str, ...]] = ("email", "first_name", "last_name")


@dataclass(kw_only=True)
class Tag:
    """A word about something."""

    tag_name: str
    template_fields: ClassVar[tuple[str, ...]] = ("tag_name",)


@dataclass(kw_only=True)
class Column:
    """A table's column."""

    name: str
    data_type: str
    description: str | None = None
    tags: list[Tag] = field(default_factory=list)
    template_fields: ClassVar[tuple[str, ...]] = ("name", "description", "data_type", "tags")


@dataclass(kw_only=True)
class Table:
    """A table."""

    database: str
    cluster: str
    name: str
    tags: list[Tag] = field(default_factory=list)
    description: str | None = None
    columns: list[Column] = field(default_factory=list)
    owners: list[User] = field(default_factory=list)
    extra: dict[str, Any] = field(default_factory=dict)
    type_hint: str | None = None
    template_fields: ClassVar[tuple[str, ...]] = ("database", "cluster", "name", "tags", "description", "columns")
