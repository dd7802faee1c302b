"""Copies a whole metadata database into another one, so that a cluster can move from SQLite to a server.

Decides the order of tables, how an interrupted copy is told from somebody's database, and how it goes on. Rows are
copied as they are: ids, encrypted values and states; the key of the old cluster is needed by the new one. Called by
`dagdeckd db copy`, with no daemon running on either side.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import sqlalchemy as sa

from dagdeck_core.errors import EnvironmentFault, UserError
from dagdeck_core.records import WorkerState
from dagdeck_io.db import migrations
from dagdeck_io.db.engine import Database, open_database
from dagdeck_io.db.tables import lease, metadata, worker

MARK = "copy"
"""Name of the lease row that stands in a database while it is being copied into."""
ROWS_AT_ONCE = 500
BYTES_AT_ONCE = 4 << 20
"""About so much is held in memory and written in one transaction."""
_EPHEMERAL = frozenset({"lease", "id_node", "measurement", "ready"})
"""Tables of processes that live now; the new cluster makes its own rows."""
_LIVING = (WorkerState.ACTIVE, WorkerState.DRAINING)
Progress = Callable[[str, int, int], None]
"""Called with a table's name, rows copied so far, and rows in all."""


def estimate(url: str) -> list[tuple[str, int]]:
    """How many rows each table of the database holds, the largest first; empty ones are left out."""
    migrations.check(url)
    with contextlib.closing(open_database(url)) as database, database.reading() as connection:
        counted = [(table.name, _count(connection, table)) for table in metadata.sorted_tables]
    return sorted([each for each in counted if each[1]], key=lambda each: -each[1])


def copy_database(source_url: str, target_url: str, progress: Progress) -> int:
    """Copy everything; how many rows were copied. An interrupted copy goes on when it is called again.

    Raises UserError when both are the same or the target is in use, EnvironmentFault when a scheduler leads on either
    side or the source has not the schema of this version.
    """
    if source_url == target_url:
        raise UserError(
            "source and target are the same database", field="--to", value="the same", remedy="Name another"
        )
    migrations.check(source_url)
    with contextlib.closing(open_database(source_url)) as source:
        _refuse_running(source)
        migrations.upgrade(target_url)
        with contextlib.closing(open_database(target_url)) as target:
            _refuse_running(target)
            _mark(target)
            return _copy_all(source, target, progress)


def _copy_all(source: Database, target: Database, progress: Progress) -> int:
    copied = 0
    with source.reading() as reading:
        for table in metadata.sorted_tables:
            if table.name not in _EPHEMERAL:
                copied += _copy_table(reading, target, table, progress)
    with target.writing() as connection:
        connection.execute(worker.update().where(worker.c.state.in_(_LIVING)).values(state=WorkerState.STOPPED))
        connection.execute(lease.delete().where(lease.c.name == MARK))
    return copied


def _refuse_running(database: Database) -> None:
    with database.reading() as connection:
        owner = connection.execute(sa.select(lease.c.owner).where(lease.c.name == "scheduler")).scalar()
    if owner:
        raise EnvironmentFault(
            f"the scheduler {owner} leads on {database.name}",
            transient=False,
            remedy="Stop the cluster first; after a crash, start and stop it once",
        )


def _mark(target: Database) -> None:
    """Make sure that nothing but an interrupted copy is in the target, and mark it as one."""
    with target.writing() as connection:
        if connection.execute(sa.select(lease.c.name).where(lease.c.name == MARK)).scalar() is not None:
            return
        for table in metadata.sorted_tables:
            if table.name not in _EPHEMERAL and table.name != "pool" and _count(connection, table):
                raise UserError(
                    f"the target holds rows already (table {table.name})",
                    field="--to",
                    value=target.name,
                    remedy="Name an empty database",
                )
        connection.execute(lease.insert().values(name=MARK, shard=0, owner=None, epoch=0, counter=0))


def _count(connection: sa.Connection, table: sa.Table) -> int:
    return int(connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one())


def _copy_table(source: sa.Connection, target: Database, table: sa.Table, progress: Progress) -> int:
    total = _count(source, table)
    after = _where_it_stopped(target, table)
    done = total - _rows_after(source, table, after)
    copied = 0
    for rows in _batches(source, table, after):
        with target.writing() as connection:
            connection.execute(table.insert(), rows)
        copied += len(rows)
        progress(table.name, done + copied, total)
    return copied


def _key(table: sa.Table) -> list[sa.Column[Any]]:
    return list(table.primary_key.columns)


def _where_it_stopped(target: Database, table: sa.Table) -> tuple[Any, ...] | None:
    """The key of the last row that the target has. A copied table is empty before; only `pool` has rows of its own."""
    with target.writing() as connection:
        if table.name == "pool":
            connection.execute(table.delete())
            return None
        row = connection.execute(sa.select(*_key(table)).order_by(*[c.desc() for c in _key(table)]).limit(1)).first()
    return None if row is None else tuple(row)


def _after(table: sa.Table, key: tuple[Any, ...] | None) -> sa.ColumnElement[bool]:
    """Rows behind `key` in the primary key's order, column by column (tuples would not use an index everywhere)."""
    if key is None:
        return sa.true()
    columns = _key(table)
    return sa.or_(
        *(
            sa.and_(*(columns[before] == key[before] for before in range(position)), columns[position] > key[position])
            for position in range(len(columns))
        )
    )


def _rows_after(source: sa.Connection, table: sa.Table, key: tuple[Any, ...] | None) -> int:
    statement = sa.select(sa.func.count()).select_from(table).where(_after(table, key))
    return int(source.execute(statement).scalar_one())


def _batches(source: sa.Connection, table: sa.Table, key: tuple[Any, ...] | None) -> Iterator[list[dict[str, Any]]]:
    """The table's rows behind `key`, in bounded batches."""
    statement = sa.select(table).where(_after(table, key)).order_by(*_key(table))
    batch: list[dict[str, Any]] = []
    size = 0
    for row in source.execute(statement, execution_options={"yield_per": ROWS_AT_ONCE}).mappings():
        batch.append(dict(row))
        size += sum(len(value) for value in row.values() if isinstance(value, (str, bytes)))
        if len(batch) >= ROWS_AT_ONCE or size >= BYTES_AT_ONCE:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
