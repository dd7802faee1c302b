"""What the stores that go through SQLAlchemy need of the database object.

Decides nothing; `Database` (engine.py) provides it. Apart, so that engine.py can import the stores.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Protocol

import sqlalchemy as sa


class DatabaseAccess(Protocol):
    """Short transactions and new ids. Thread-safe."""

    @property
    def clock(self) -> str:
        """The database's own time as an expression that fits an instant's column."""

    @property
    def kind(self) -> str:
        """The database's kind, mysql or sqlite."""

    def reading(self) -> AbstractContextManager[sa.Connection]:
        """A connection for reads that belong together."""

    def writing(self) -> AbstractContextManager[sa.Connection]:
        """A transaction that commits at the end of the block, or leaves nothing."""

    def new_id(self) -> int:
        """A new row id."""
