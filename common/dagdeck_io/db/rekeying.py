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
from dagdeck_io.db import sealed_xcoms
from dagdeck_io.db.engine import Database
from dagdeck_io.db.faults import Contention
from dagdeck_io.db.tables import metadata, worker, xcom
from dagdeck_io.secrets import Vault

ROWS_AT_ONCE = 100
BYTES_AT_ONCE = 1 << 20
"""About so much is read and written in one transaction."""
XCOMS_AT_ONCE = 2000
"""XComs that are looked through in one step."""
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
    before = found.rotated
    for rows in _sealed(database):
        _write(database, [_resealed(vault, row, found) for row in rows], found)
    if found.rotated > before:
        progress(xcom.name, found.rotated - before)
    return found


def count_by_key(database: Database, vault: Vault) -> dict[str, Counter[bool]]:
    """Table → how many of its values are (True) under the newest key, and how many are not (False)."""
    counted: dict[str, Counter[bool]] = {}
    for table, columns in encrypted_columns():
        counts = counted[table.name] = Counter()
        for rows in _batches(database, table, columns):
            counts.update(vault.is_newest(row[column.name]) for row in rows for column in columns if row[column.name])
    counted["xcom"] = Counter(sealed_xcoms.is_newest(row["value"], vault) for rows in _sealed(database) for row in rows)
    return counted


def workers_without(database: Database, key_id: str) -> list[str]:
    """Names of living workers that have not told that they know this key."""
    query = sa.select(worker.c.name, worker.c.key_ids).where(worker.c.state.in_(_LIVING)).order_by(worker.c.name)
    with database.reading() as connection:
        return [row.name for row in connection.execute(query) if key_id not in (row.key_ids or "").split()]


def _rotate_batch(
    database: Database, vault: Vault, table: sa.Table, columns: list[sa.Column[Any]], rows: list[_Row], found: Pass
) -> None:
    _write(database, [_change(vault, table, column, row, found) for row in rows for column in columns], found)


def _write(database: Database, wanted: list[sa.Update | None], found: Pass) -> None:
    changes = [change for change in wanted if change is not None]
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
        _note(found, table, column.name, row)
        return None
    return None if rotated is None else _update(table, column, row, rotated)


def _resealed(vault: Vault, row: _Row, found: Pass) -> sa.Update | None:
    try:
        rotated = sealed_xcoms.rotated(row["value"], vault)
    except EnvironmentFault:
        _note(found, xcom, "value", row)
        return None
    return None if rotated is None else _update(xcom, xcom.c.value, row, rotated)


def _note(found: Pass, table: sa.Table, column: str, row: _Row) -> None:
    found.unreadable += 1
    if len(found.named) < MOST_NAMED:
        key = ", ".join(str(row[each.name]) for each in table.primary_key.columns)
        found.named.append(f"{table.name} {key}: {column}")


def _update(table: sa.Table, column: sa.Column[Any], row: _Row, text: str) -> sa.Update:
    """Only what was read: a value that was set meanwhile is newer."""
    same = [each == row[each.name] for each in table.primary_key.columns]
    return table.update().where(*same, column == row[column.name]).values({column: text})


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


def _sealed(database: Database) -> Iterator[list[_Row]]:
    """XComs that are sealed, in bounded batches. Most are not, so the table is walked by its key in larger steps."""
    keys = (xcom.c.ti_id, xcom.c.key)
    after: tuple[int, str] | None = None
    while True:
        with database.reading() as connection:
            behind = sa.true() if after is None else _behind(after)
            page = connection.execute(sa.select(*keys).where(behind).order_by(*keys).limit(XCOMS_AT_ONCE)).all()
            if not page:
                return
            last = (page[-1].ti_id, page[-1].key)
            chosen = sa.select(*keys, xcom.c.value).where(
                behind, sa.not_(_behind(last)), xcom.c.value.startswith(sealed_xcoms.MARK)
            )
            rows = list(connection.execute(chosen.order_by(*keys)).mappings())
        yield from _small(rows, [xcom.c.value])
        after = last


def _behind(key: tuple[int, str]) -> sa.ColumnElement[bool]:
    """Rows behind `key` in the primary key's order, column by column: tuples would not use the index everywhere."""
    return sa.or_(xcom.c.ti_id > key[0], sa.and_(xcom.c.ti_id == key[0], xcom.c.key > key[1]))
