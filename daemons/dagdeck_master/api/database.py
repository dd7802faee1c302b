"""The part of the database object that the API uses.

Decides nothing; `dagdeck_io.db` provides it. Reads and the API's own small writes go through `reading` and `writing`,
which raise DagDeck's errors instead of a driver's: EnvironmentFault when the database does not answer, DuplicateRow
for a key that exists.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Protocol

import sqlalchemy as sa


class SecretBox(Protocol):
    """Encrypts what must not be readable in the database alone."""

    def encrypt(self, text: str) -> str:
        """`text` as it is stored."""

    def decrypt(self, stored: str) -> str:
        """The text stored as `stored`. Raises an error when no key fits."""


class ApiDatabase(Protocol):
    """Short transactions, new ids and the vault. Thread-safe."""

    @property
    def vault(self) -> SecretBox:
        """Encrypts and decrypts variables and connections."""

    @property
    def connections_in_use(self) -> int:
        """How many pooled connections are at work."""

    def reading(self) -> AbstractContextManager[sa.Connection]:
        """A connection for one request's reads."""

    def writing(self) -> AbstractContextManager[sa.Connection]:
        """A transaction that commits at the end of the block, or leaves nothing."""

    def new_id(self) -> int:
        """A new row id."""
