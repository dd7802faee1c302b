"""Encrypts everything that is stored encrypted anew with the newest key, while the cluster runs.

Decides the order (table by table, in order of keys), the size of its steps, and that a value which somebody changes
meanwhile stays theirs. What is under the newest key already is left alone, so an interrupted rotation is simply begun
again. Does not decide when that is safe (`dagdeckd.rotation`, its caller).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from dagdeck_core.errors import EnvironmentFault
from dagdeck_core.records import WorkerState
from dagdeck_io.db.engine import Database
from dagdeck_io.db.faults import Contention
from dagdeck_io.db.tables import metadata, worker
from dagdeck_io.secrets import Vault

ROWS_AT_ONCE = 100
BYTES_AT_ONCE = 1 << 20
"""About so much is read and written in one transaction."""
MOST_NAMED = 20
"""Unreadable values that are named; further ones are counted."""
_LIVING = (WorkerState.ACTIVE, WorkerState.DRAINING)
_Row = sa.RowMapping
Progress = Callable[[str, int], None]
"""Called with a table's name and how many of its values have been encrypted anew."""


@dataclass(slots=True, kw_only=True)
class Pass:
    """What one way through all values found."""

    rotated: int = 0
    contended: int = 0
    """Values that somebody else changed or held meanwhile."""
    unreadable: int = 0
    named: list[str] = field(default_factory=list)
    """Some of the unreadable ones, for people."""

    @property
    def is_clean(self) -> bool:
        """Whether everything readable is under the newest key."""
        return not self.rotated and not self.contended


def encrypted_columns() -> Iterator[tuple[sa.Table, list[sa.Column[Any]]]]:
    """Tables with their columns that hold encrypted texts."""
    for table in metadata.sorted_tables:
        columns = [column for column in table.columns if column.info.get("encrypted")]
        if columns:
            yield table, columns


def rotate_all(database: Database, vault: Vault, progress: Progress) -> Pass:
    """Go through all values once. Raises EnvironmentFault when the database is away; then begin again."""
    found = Pass()
    for table, columns in encrypted_columns():
        before = found.rotated
        for rows in _batches(database, table, columns):
            _rotate_batch(database, vault, table, columns, rows, found)
        if found.rotated > before:
            progress(table.name, found.rotated - before)
    return found


def count_by_key(database: Database, vault: Vault) -> dict[str, Counter[bool]]:
    """Table → how many of its values are (True) under the newest key, and how many are not (False)."""
    counted: dict[str, Counter[bool]] = {}
    for table, columns in encrypted_columns():
        counts = counted[table.name] = Counter()
        for rows in _batches(database, table, columns):
            counts.update(vault.is_newest(row[column.name]) for row in rows for column in columns if row[column.name])
    return counted


def workers_without(database: Database, key_id: str) -> list[str]:
    """Names of living workers that have not told that they know this key."""
    query = sa.select(worker.c.name, worker.c.key_ids).where(worker.c.state.in_(_LIVING)).order_by(worker.c.name)
    with database.reading() as connection:
        return [row.name for row in connection.execute(query) if key_id not in (row.key_ids or "").split()]


def _rotate_batch(
    database: Database, vault: Vault, table: sa.Table, columns: list[sa.Column[Any]], rows: list[_Row], found: Pass
) -> None:
    found_changes = [_change(vault, table, column, row, found) for row in rows for column in columns]
    changes = [change for change in found_changes if change is not None]
    if not changes:
        return
    try:
        with database.writing() as connection:
            hits = sum(connection.execute(change).rowcount for change in changes)
    except Contention:
        hits = 0
    found.rotated += hits
    found.contended += len(changes) - hits


def _change(vault: Vault, table: sa.Table, column: sa.Column[Any], row: _Row, found: Pass) -> sa.Update | None:
    stored = row[column.name]
    if not stored:
        return None
    try:
        rotated = vault.rotate(stored)
    except EnvironmentFault:
        found.unreadable += 1
        if len(found.named) < MOST_NAMED:
            key = ", ".join(str(row[each.name]) for each in table.primary_key.columns)
            found.named.append(f"{table.name} {key}: {column.name}")
        return None
    if rotated is None:
        return None
    same = [each == row[each.name] for each in table.primary_key.columns]
    # Only what was read: a value that was set meanwhile is newer.
    return table.update().where(*same, column == stored).values({column: rotated})


def _batches(database: Database, table: sa.Table, columns: list[sa.Column[Any]]) -> Iterator[list[_Row]]:
    """The table's rows in bounded batches, each read on its own so that no transaction stays open."""
    (key,) = table.primary_key.columns
    query = sa.select(key, *columns).order_by(key).limit(ROWS_AT_ONCE)
    after: Any = None
    while True:
        with database.reading() as connection:
            rows = list(connection.execute(query if after is None else query.where(key > after)).mappings())
        yield from _small(rows, columns)
        if len(rows) < ROWS_AT_ONCE:
            return
        after = rows[-1][key.name]


def _small(rows: list[_Row], columns: list[sa.Column[Any]]) -> Iterator[list[_Row]]:
    """The rows, in parts of about BYTES_AT_ONCE."""
    part: list[_Row] = []
    size = 0
    for row in rows:
        part.append(row)
        size += sum(len(row[column.name] or "") for column in columns)
        if size >= BYTES_AT_ONCE:
            yield part
            part, size = [], 0
    if part:
        yield part
